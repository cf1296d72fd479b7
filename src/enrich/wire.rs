//! What parent and worker say to each other: one JSON value a line. JSON escapes line feeds, and paths travel as base64,
//! so no name can break a line or claim to be UTF-8.

use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Kinds, Outcome};

/// The first line to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) memory_bytes: u64,
    pub(super) text_bytes: u64,
    /// Nothing else is read further than to tell its type.
    pub(super) only: Option<Kinds>,
}

/// Every further line to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Request {
    path: String,
}

impl Request {
    pub(super) fn new(path: &Path) -> Self {
        Request { path: STANDARD.encode(path.as_os_str().as_bytes()) }
    }

    pub(super) fn path(&self) -> io::Result<PathBuf> {
        let bytes = STANDARD.decode(&self.path).map_err(io::Error::other)?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
    }
}

/// A line from a worker. `Ready` comes once; for each request any number of `Reading`, `ReadFailed` and `Parsing` come before one of the
/// others, which ends it. Most files are read once and then parsed; of a file that is read in parts the two alternate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// The limits are set.
    Ready,
    /// The file is being read: until the next line, time runs on the disk's account, and nothing is held against the content.
    Reading,
    /// A read failed: whatever happens to the worker from here on says nothing about the content.
    ReadFailed,
    /// What is needed now was read; until the next line, everything is the content's doing.
    Parsing { mime: String, extractor: String },
    /// Done.
    Done(Outcome),
    /// The operating system would not let it be read.
    Unreadable { errno: Option<i32>, message: String },
    /// Not of the kinds that are asked for.
    OtherKind,
    /// Not a regular file.
    NotRegular,
    /// The file changed while it was read.
    Changed,
}

/// Writes one line and sends it off.
pub(super) fn send(out: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
    line.push(b'\n');
    out.write_all(&line)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_bytes_stays_on_one_line() {
        let path = PathBuf::from(std::ffi::OsString::from_vec(b"/a\nb/\xff\"\\.pdf".to_vec()));
        let mut line = Vec::new();
        send(&mut line, &Request::new(&path)).expect("memory does not fail");
        assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
        let back: Request = serde_json::from_slice(&line).expect("it is JSON");
        assert_eq!(back.path().expect("it is base64"), path);
    }
}
