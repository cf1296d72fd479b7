//! What is printed: text for people, one JSON object for scripts.

use std::io::{BufWriter, ErrorKind, Write};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::model::RelPath;
use crate::model::path::display_name;

/// Standard output. A reader that has seen enough (`| head`) is no error.
#[derive(Debug)]
pub(super) struct Out {
    writer: BufWriter<std::io::Stdout>,
    closed: bool,
}

impl Out {
    pub(super) fn new() -> Self {
        Out { writer: BufWriter::new(std::io::stdout()), closed: false }
    }

    /// One line for people. Titles, names and messages come out of files: whatever controls a terminal is escaped here,
    /// where nobody can forget it.
    pub(super) fn line(&mut self, line: impl AsRef<str>) -> std::io::Result<()> {
        self.write(display_name(line.as_ref().as_bytes()).as_bytes())?;
        self.write(b"\n")
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.writer.write_all(bytes);
        self.heed(result)
    }

    pub(super) fn json(&mut self, object: &Value) -> std::io::Result<()> {
        // JSON has its own escapes.
        self.write(object.to_string().as_bytes())?;
        self.write(b"\n")
    }

    pub(super) fn finish(&mut self) -> std::io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let result = self.writer.flush();
        self.heed(result)
    }

    fn heed(&mut self, result: std::io::Result<()>) -> std::io::Result<()> {
        match result {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result,
        }
    }

    /// Rows under a heading, columns as wide as they need be.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> std::io::Result<()> {
        self.begin_table(head, rows).map(|_| ())
    }

    /// The same of the first rows of more: returns how wide the columns are.
    pub(super) fn begin_table(&mut self, head: &[&str], rows: &[Vec<String>]) -> std::io::Result<Vec<usize>> {
        let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(display_name(cell.as_bytes()).chars().count());
            }
        }
        self.row(&widths, head)?;
        for row in rows {
            self.row(&widths, row)?;
        }
        Ok(widths)
    }

    /// One more row of a table.
    pub(super) fn row(&mut self, widths: &[usize], cells: &[impl AsRef<str>]) -> std::io::Result<()> {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(cells) {
            line.push_str(&format!("{:<width$}  ", display_name(cell.as_ref().as_bytes())));
        }
        self.line(line.trim_end())
    }

    /// A line with some places of it in bold.
    pub(super) fn marked(
        &mut self,
        indent: &str,
        text: &str,
        marks: &[std::ops::Range<usize>],
    ) -> std::io::Result<()> {
        // Whatever controls a terminal is escaped before our own marks come in.
        let mut line = indent.to_owned();
        let mut at = 0;
        for mark in marks {
            line.push_str(&display_name(&text.as_bytes()[at..mark.start]));
            line.push_str("\x1b[1m");
            line.push_str(&display_name(&text.as_bytes()[mark.clone()]));
            line.push_str("\x1b[0m");
            at = mark.end;
        }
        line.push_str(&display_name(&text.as_bytes()[at..]));
        line.push('\n');
        self.write(line.as_bytes())
    }
}

/// What writes its own form: lists of cards. A reader that has seen enough is told to whom it concerns.
impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        Out::write(self, bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.finish()
    }
}

/// RFC 3339, UTC: what `--json` shows of a time in milliseconds.
pub(super) fn rfc3339(ms: i64) -> Value {
    Timestamp::from_millisecond(ms).map_or(Value::Null, |at| Value::String(at.to_string()))
}

/// The same of a time that may be absent.
pub(super) fn rfc3339_or_null(ms: Option<i64>) -> Value {
    ms.map_or(Value::Null, rfc3339)
}

/// A time for people, in their time zone.
pub(super) fn local_time(ms: i64) -> String {
    match Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => "?".to_owned(),
    }
}

/// A size for people, in powers of 1024 as `ls -h` and file managers show it.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// One thing, or several.
pub(super) fn plural(n: u64, one: &str, several: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {several}") }
}

/// A duration for people, in its largest unit.
pub(super) fn ago(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Puts a path into a JSON object: `path`, and `path_bytes` where it is not UTF-8.
pub(super) fn put_path(object: &mut Value, path: &RelPath) {
    object["path"] = json!(path.json_text());
    if let Some(bytes) = path.json_bytes() {
        object["path_bytes"] = json!(bytes);
    }
}

/// Bytes in hexadecimal.
pub(super) fn hex(hash: Option<[u8; 32]>) -> Option<String> {
    hash.map(|hash| blake3::Hash::from_bytes(hash).to_hex().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_readable() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
        assert_eq!(ago(119_000), "119 s");
        assert_eq!(ago(3 * 86_400_000), "3 days");
        assert_eq!(rfc3339(0), json!("1970-01-01T00:00:00Z"));
    }
}
