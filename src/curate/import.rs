//! A list of cards that comes back from a spreadsheet.
//!
//! Only cells that differ from what was exported become a person's word ([`version::judge`]); a card that was changed
//! meanwhile in the same field is a conflict. The file is read against one moment of the catalogue, without the write lock:
//! a long file holds nobody up. What it wants is then one edit, which makes sure that its fields still show what was read.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use ulid::Ulid;

use super::change::Change;
use super::edit::{Ask, Asked};
use super::export::{ID, PLACE, VERSION};
use super::rewritten::is_date_of;
use super::value::{checked, plain};
use super::version::{self, Judgement, Mark};
use super::{CurateError, cell};
use crate::catalog::{Catalog, Connection, documents};
use crate::model::Field;
use crate::model::document::effective;

/// Excel keeps so many UTF-16 units of a cell, and saves no more.
const CELL_UNITS: usize = 32_767;

/// What a list wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Import {
    /// Rows that were read.
    pub rows: u64,
    /// What is asked of which document, with the line of its row.
    pub wanted: Vec<(u64, (i64, Ulid), Vec<Asked>)>,
    /// Rows whose cards were changed meanwhile, in a field that the list changes, too.
    pub conflicts: Vec<Trouble>,
    /// Rows that cannot be meant.
    pub errors: Vec<Trouble>,
}

impl Import {
    /// What is asked, for [`super::edit()`]. Rows with a conflict are not among it.
    pub fn asks(&self) -> impl Iterator<Item = Ask<'_>> {
        self.wanted.iter().map(|(_, (document_id, ulid), fields)| Ask {
            document_id: *document_id,
            ulid: *ulid,
            fields,
        })
    }
}

/// What is the matter with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The line its row begins in, from 1.
    pub line: u64,
    /// Its document.
    pub id: Option<String>,
    /// Which field.
    pub field: Option<Field>,
    /// What is the matter.
    pub what: String,
    /// Of a conflict: what the list says.
    pub listed: Option<String>,
    /// Of a conflict: what the card says by now.
    pub now: Option<String>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Version,
    /// For people.
    Place,
    Of(Field),
}

fn column(name: &str) -> Option<Column> {
    match name.trim() {
        ID => Some(Column::Id),
        VERSION => Some(Column::Version),
        name if PLACE.contains(&name) => Some(Column::Place),
        name => name.parse().ok().map(Column::Of),
    }
}

/// Reads a list that [`super::export()`] wrote, in whatever dialect a spreadsheet saved it since: commas, semicolons or tabs,
/// with a byte-order mark or without, any order of columns. Missing columns change nothing.
///
/// # Errors
/// [`CurateError::NoList`] where it cannot be read as one. What is the matter with single rows is in what is returned.
pub fn read(catalog: &Catalog, from: &mut dyn Read) -> Result<Import, CurateError> {
    let mut from = std::io::BufReader::with_capacity(1 << 16, from);
    let head = head(&mut from)?;
    if head.contains(&b'\r') && !head.ends_with(b"\r") {
        return Err(no_list(1, "its lines end as on Macs of old; save the table as \"CSV UTF-8\""));
    }
    let mut table = table(delimiter(&head), SkipBom::new(from));
    let mut record = csv::StringRecord::new();
    if !next(&mut table, &mut record)? {
        return Err(no_list(1, "the file is empty"));
    }
    let columns = columns(&record)?;
    let snapshot = catalog.snapshot()?;
    let mut import = Import::default();
    let mut lines: HashMap<i64, u64> = HashMap::new();
    // No index leads from ids to numbers: a look at all once, and not one for each row. 40 MB for a million.
    let known = documents::by_ulids(&snapshot)?;
    while next(&mut table, &mut record)? {
        // Excel leaves rows of nothing behind.
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        import.rows += 1;
        let line = record.position().map_or(0, csv::Position::line);
        let row = Row { line, columns: &columns, record: &record };
        row.read(&snapshot, &known, &mut lines, &mut import)?;
    }
    Ok(import)
}

fn table<R: Read>(delimiter: u8, from: R) -> csv::Reader<R> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        // Not CRLF: csv then counts a line from before the line feed of the one above, one too few.
        .terminator(csv::Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .from_reader(from)
}

fn no_list(line: u64, message: impl Into<String>) -> CurateError {
    CurateError::NoList { line, message: message.into() }
}

fn next<R: Read>(table: &mut csv::Reader<R>, record: &mut csv::StringRecord) -> Result<bool, CurateError> {
    table.read_record(record).map_err(|error| {
        let line = error.position().map_or_else(|| table.position().line(), csv::Position::line);
        match error.into_kind() {
            csv::ErrorKind::Io(error) => CurateError::Io(error),
            csv::ErrorKind::Utf8 { .. } => no_list(line, "it is not UTF-8; save the table as \"CSV UTF-8\""),
            kind => no_list(line, format!("it is no CSV: {kind:?}")),
        }
    })
}

/// The first line, which stays to be read.
fn head(from: &mut impl std::io::BufRead) -> Result<Vec<u8>, CurateError> {
    let buffer = from.fill_buf()?;
    let end = buffer.iter().position(|byte| *byte == b'\n').unwrap_or(buffer.len());
    Ok(buffer[..end].to_vec())
}

/// What stands between the names of columns we know.
fn delimiter(head: &[u8]) -> u8 {
    let known = |delimiter: u8| {
        let names = head.split(|byte| *byte == delimiter);
        let name = |name: &[u8]| {
            let text = String::from_utf8_lossy(name);
            column(text.trim_start_matches('\u{feff}').trim().trim_matches('"')).is_some()
        };
        names.filter(|text| name(text)).count()
    };
    // Of equals the last: the comma.
    *b"\t;,".iter().max_by_key(|delimiter| known(**delimiter)).expect("there are three")
}

fn columns(head: &csv::StringRecord) -> Result<Vec<Column>, CurateError> {
    let mut columns = Vec::with_capacity(head.len());
    for name in head {
        let Some(column) = column(name) else {
            let known: Vec<&str> = version::COLUMNS.iter().map(|(field, _)| field.as_str()).collect();
            return Err(no_list(
                1,
                format!(
                    "there is no field {:?}; columns are {ID}, {VERSION}, {} and {}",
                    name.trim(),
                    PLACE.join(", "),
                    known.join(", ")
                ),
            ));
        };
        if column != Column::Place && columns.contains(&column) {
            return Err(no_list(1, format!("there are two columns {:?}", name.trim())));
        }
        columns.push(column);
    }
    for (needed, name) in [(Column::Id, ID), (Column::Version, VERSION)] {
        if !columns.contains(&needed) {
            return Err(no_list(
                1,
                format!(
                    "there is no column {name}: it says which card a row belongs to and what it said when it was exported"
                ),
            ));
        }
    }
    Ok(columns)
}

struct Row<'a> {
    line: u64,
    columns: &'a [Column],
    record: &'a csv::StringRecord,
}

impl Row<'_> {
    fn read(
        &self,
        conn: &Connection,
        known: &HashMap<Ulid, i64>,
        lines: &mut HashMap<i64, u64>,
        import: &mut Import,
    ) -> Result<(), CurateError> {
        let trouble = |field: Option<Field>, what: String| Trouble {
            line: self.line,
            id: self.cell(Column::Id).map(str::to_owned),
            field,
            what,
            listed: None,
            now: None,
        };
        if self.record.len() != self.columns.len() {
            import.errors.push(trouble(
                None,
                format!("{} cells where the first line has {}", self.record.len(), self.columns.len()),
            ));
            return Ok(());
        }
        let (document_id, ulid, marks) = match self.document(known) {
            Ok(known) => known,
            Err(what) => {
                import.errors.push(trouble(None, what));
                return Ok(());
            }
        };
        if let Some(earlier) = lines.insert(document_id, self.line) {
            import.errors.push(trouble(None, format!("the same document as in line {earlier}")));
            return Ok(());
        }
        let annotations = documents::annotations(conn, document_id)?;
        let counts = effective(&annotations);
        let mut wanted = Vec::new();
        let mut conflicts = Vec::new();
        for (column, cell) in self.columns.iter().zip(self.record) {
            let Column::Of(field) = *column else { continue };
            // What is left of CRLF in the last one; no value ends in it.
            let cell = cell.strip_suffix('\r').unwrap_or(cell);
            let listed = cell::read(field, cell);
            let now = counts.get(&field).map(|word| plain(field, &word.values)).unwrap_or_default();
            match version::judge(marks.get(&field).copied(), &listed, &now) {
                Judgement::Untouched | Judgement::Same => {}
                Judgement::Conflict => conflicts.push(Trouble {
                    listed: Some(listed.join("; ")),
                    now: Some(now.join("; ")),
                    ..trouble(Some(field), "changed in the catalogue since the export".to_owned())
                }),
                Judgement::Changed => match change(field, cell, &listed, &now) {
                    Ok(change) => wanted.push(Asked { field, change, expects: Some(now) }),
                    Err(what) => import.errors.push(trouble(Some(field), what)),
                },
            }
        }
        if !conflicts.is_empty() {
            import.conflicts.append(&mut conflicts);
        } else if !wanted.is_empty() {
            import.wanted.push((self.line, (document_id, ulid), wanted));
        }
        Ok(())
    }

    fn cell(&self, wanted: Column) -> Option<&str> {
        let at = self.columns.iter().position(|column| *column == wanted)?;
        self.record.get(at).map(str::trim)
    }

    /// The row's document, and what it was when it was exported; else what is the matter.
    fn document(&self, known: &HashMap<Ulid, i64>) -> Result<(i64, Ulid, BTreeMap<Field, Mark>), String> {
        let id = self.cell(Column::Id).unwrap_or_default();
        let Ok(ulid) = Ulid::from_string(id) else {
            return Err(format!("{id:?} is no id of a document"));
        };
        let Some(document_id) = known.get(&ulid).copied() else {
            return Err("there is no such document in this catalogue".to_owned());
        };
        let Some(marks) = version::read(ulid, self.cell(Column::Version).unwrap_or_default()) else {
            return Err("the version is not that of this document: were the columns sorted apart?".to_owned());
        };
        Ok((document_id, ulid, marks))
    }
}

/// What a changed cell asks for.
fn change(field: Field, cell: &str, listed: &[String], now: &[String]) -> Result<Change, String> {
    if listed.is_empty() {
        // Checked as if somebody had asked for it: privacy is never emptied.
        return Change::empty(field).map(|_| Change::Blank).map_err(|error| error.fault.to_string());
    }
    // As it would stand in the list: joined and guarded.
    let whole = lf(&cell::written(field, now));
    let begun = lf(cell);
    if cell.encode_utf16().count() == CELL_UNITS && whole.len() > begun.len() && whole.starts_with(&begun) {
        return Err(format!(
            "cut off after {CELL_UNITS} characters, as a spreadsheet does; edit this one with: shelflist edit"
        ));
    }
    // With an apostrophe it is no spreadsheet's word.
    if !cell.starts_with('\'') && is_date_of(cell, &whole) {
        return Err(format!(
            "a spreadsheet made a date of {:?}; if that is meant, edit this one with: shelflist edit",
            now.join("; ")
        ));
    }
    for value in listed {
        checked(field, value).map_err(|error| error.fault.to_string())?;
    }
    Change::set(field, listed).map_err(|error| error.fault.to_string())
}

/// A spreadsheet may write line ends in its own way.
fn lf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// What is read without the byte-order mark at its beginning.
struct SkipBom<R> {
    from: R,
    begun: bool,
}

impl<R: std::io::BufRead> SkipBom<R> {
    fn new(from: R) -> Self {
        SkipBom { from, begun: false }
    }
}

impl<R: std::io::BufRead> Read for SkipBom<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.begun {
            self.begun = true;
            if self.from.fill_buf()?.starts_with(super::export::BOM.as_bytes()) {
                self.from.consume(super::export::BOM.len());
            }
        }
        self.from.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // E4
    #[test]
    fn a_cell_that_was_cut_off_is_not_taken_over_whether_it_was_guarded_or_joined() {
        let note = vec![format!("- first\n{}", "x".repeat(40_000))];
        let tags: Vec<String> = (0..900).map(|n| format!("{n} {}", "y".repeat(45))).collect();
        for (field, now) in [(Field::Notes, note), (Field::Tags, tags)] {
            let whole = cell::written(field, &now);
            let cut: String = whole.chars().take(CELL_UNITS).collect();
            assert!(change(field, &cut, &cell::read(field, &cut), &now).is_err(), "{field}");
            assert!(change(field, &whole, &cell::read(field, &whole), &now).is_ok(), "{field}");
        }
    }

    // E4: a month of a language that nobody thought of
    #[test]
    fn a_date_that_a_spreadsheet_made_of_a_title_is_not_taken_over() {
        let now = vec!["Bealtaine 2020".to_owned()];
        let ask = |cell: &str| change(Field::Title, cell, &cell::read(Field::Title, cell), &now);
        assert!(ask("01/05/2020").unwrap_err().contains("a date of \"Bealtaine 2020\""));
        assert!(ask("Bealtaine 2021").is_ok());
        assert!(ask("'2020-05-01").is_ok());
    }

    // E4
    #[test]
    fn lines_are_counted_from_one_whatever_ends_them() {
        for (text, lines) in [
            ("id,version\n1,2\n3,4", [1, 2, 3]),
            ("id,version\r\n1,2\r\n3,4\r\n", [1, 2, 3]),
            ("id,version\r\n1,\"a\r\nb\"\r\n3,4\r\n", [1, 2, 4]),
        ] {
            let mut table = table(b',', text.as_bytes());
            let mut record = csv::StringRecord::new();
            for line in lines {
                assert!(next(&mut table, &mut record).unwrap());
                assert_eq!(record.position().unwrap().line(), line, "{text:?}");
            }
            assert!(!next(&mut table, &mut record).unwrap());
        }
    }

    // E4
    #[test]
    fn the_dialect_is_told_by_the_names_of_columns() {
        assert_eq!(delimiter(b"id,title,version"), b',');
        assert_eq!(delimiter("\u{feff}id;title;version\r".as_bytes()), b';');
        assert_eq!(delimiter(b"\"version\"\t\"id\""), b'\t');
        assert_eq!(delimiter(b"nonsense"), b',');
    }
}
