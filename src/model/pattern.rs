//! Patterns of `.gitignore` about the places of files, from a library's root: for whatever rule needs one. Pure.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use unicode_normalization::UnicodeNormalization;

use super::RelPath;
use super::path::nfc_key;

/// One pattern.
#[derive(Debug)]
pub(super) struct PathPattern(Gitignore);

/// A path in every spelling that a pattern may mean: a disk written by macOS holds decomposed names, and nobody types them.
#[derive(Debug)]
pub(super) struct Spelled<'a> {
    bytes: &'a [u8],
    nfc: Option<Vec<u8>>,
}

impl<'a> Spelled<'a> {
    pub(super) fn of(path: &'a RelPath) -> Self {
        let bytes = path.as_bytes();
        Spelled { bytes, nfc: (!bytes.is_ascii()).then(|| nfc_key(bytes)) }
    }
}

impl PathPattern {
    /// Reads a pattern, or says what is wrong with it.
    pub(super) fn parse(pattern: &str) -> Result<Self, Cow<'static, str>> {
        let pattern: String = pattern.nfc().collect();
        let mut builder = GitignoreBuilder::new("");
        let built = builder.add_line(None, &pattern).and_then(|builder| builder.build());
        let matcher = built.map_err(|error| Cow::Owned(error.to_string()))?;
        if matcher.is_empty() {
            return Err(Cow::Borrowed("its pattern says nothing"));
        }
        Ok(PathPattern(matcher))
    }

    /// Whether it is about a file, or about a directory above it.
    pub(super) fn fits(&self, path: &Spelled<'_>) -> bool {
        let fits = |bytes: &[u8]| {
            let path = Path::new(OsStr::from_bytes(bytes));
            self.0.matched_path_or_any_parents(path, false).is_ignore()
        };
        fits(path.bytes) || path.nfc.as_deref().is_some_and(fits)
    }
}
