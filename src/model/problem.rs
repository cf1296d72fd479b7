//! One file's trouble: reported, counted, remembered; the run goes on.

use super::{RelPath, words};

words! {
    /// What kind of trouble.
    pub enum ProblemKind {
        /// A socket, FIFO or device: never opened.
        Special = "special",
        /// The operating system refuses to let us look.
        Permission = "permission",
        /// Input/output error.
        ReadError = "read-error",
        /// It changed while it was read, again and again.
        Unstable = "unstable",
        /// Listed, and gone before it could be looked at.
        Vanished = "vanished",
        /// Another file system is mounted inside the library: not entered.
        OtherFileSystem = "other-file-system",
        /// A rule file that could not be understood.
        BadRule = "bad-rule",
        /// Encrypted: no text without its password.
        Encrypted = "encrypted",
        /// Not what its format says it should be: truncated, broken.
        Damaged = "damaged",
        /// Over a limit of size or memory while extracting; bombs end here.
        TooLarge = "too-large",
        /// Extraction took longer than it may.
        TimedOut = "timed-out",
        /// The extractor crashed.
        Crashed = "crashed",
        /// A command of the user had no answer about it.
        Command = "command",
    }
}

/// One file's trouble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which file or directory.
    pub path: RelPath,
    /// What kind of trouble.
    pub kind: ProblemKind,
    /// What happened, for people; names no secret.
    pub message: String,
}

impl Problem {
    /// A problem of `path`.
    pub fn new(path: RelPath, kind: ProblemKind, message: impl Into<String>) -> Self {
        Problem { path, kind, message: message.into() }
    }

    /// The problem that an error of the operating system about `path` is.
    #[must_use]
    pub fn from_io(path: RelPath, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::PermissionDenied => ProblemKind::Permission,
            std::io::ErrorKind::NotFound => ProblemKind::Vanished,
            _ => ProblemKind::ReadError,
        };
        Problem { path, kind, message: error.to_string() }
    }
}

impl serde::Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let bytes = self.path.json_bytes();
        let mut object = serializer.serialize_struct("Problem", 3 + usize::from(bytes.is_some()))?;
        object.serialize_field("path", &self.path.json_text())?;
        if let Some(bytes) = bytes {
            object.serialize_field("path_bytes", &bytes)?;
        }
        object.serialize_field("kind", &self.kind)?;
        object.serialize_field("message", &self.message)?;
        object.end()
    }
}
