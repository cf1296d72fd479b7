//! Names and paths inside a library: bytes, as the disk has them.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use unicode_normalization::UnicodeNormalization;

/// A path relative to a library's root: names joined by `/`, no leading or trailing slash; empty is the root.
///
/// A name is what the disk says it is: bytes, perhaps not UTF-8. Display is for people ([`RelPath::display`]);
/// comparison and storage use the bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// The root itself.
    #[must_use]
    pub const fn root() -> Self {
        RelPath(Vec::new())
    }

    /// From bytes that were stored by [`RelPath::as_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        RelPath(bytes.into())
    }

    /// From a relative path; `None` where it is absolute or climbs with `..`.
    #[must_use]
    pub fn from_relative(path: &Path) -> Option<Self> {
        let mut rel = RelPath::root();
        for component in path.components() {
            match component {
                std::path::Component::Normal(name) => rel = rel.join(name.as_bytes()),
                std::path::Component::CurDir => {}
                _ => return None,
            }
        }
        Some(rel)
    }

    /// The path's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the library's root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path with one more name.
    #[must_use]
    pub fn join(&self, name: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        RelPath(bytes)
    }

    /// The directory, and the last name; `None` for the root.
    #[must_use]
    pub fn split(&self) -> Option<(RelPath, &[u8])> {
        if self.is_root() {
            return None;
        }
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(at) => Some((RelPath(self.0[..at].to_vec()), &self.0[at + 1..])),
            None => Some((RelPath::root(), &self.0)),
        }
    }

    /// Whether this path is `ancestor` or lies below it.
    #[must_use]
    pub fn starts_with(&self, ancestor: &RelPath) -> bool {
        ancestor.is_root()
            || self.0 == ancestor.0
            || (self.0.starts_with(&ancestor.0) && self.0.get(ancestor.0.len()) == Some(&b'/'))
    }

    /// Under a root on disk.
    #[must_use]
    pub fn under(&self, root: &Path) -> PathBuf {
        if self.is_root() { root.to_owned() } else { root.join(OsStr::from_bytes(&self.0)) }
    }

    /// As text for people: control characters and bytes that are not UTF-8 escaped as `\xNN`, `\n`, ...
    #[must_use]
    pub fn display(&self) -> String {
        if self.is_root() { ".".to_owned() } else { display_name(&self.0) }
    }

    /// As text for `--json`: bytes that are not UTF-8 escaped; control characters are JSON's own business.
    #[must_use]
    pub fn json_text(&self) -> String {
        escape(&self.0, false)
    }

    /// The bytes in base64 where the path is not UTF-8: what `path_bytes` shows in `--json`.
    #[must_use]
    pub fn json_bytes(&self) -> Option<String> {
        match std::str::from_utf8(&self.0) {
            Ok(_) => None,
            Err(_) => Some(base64::engine::general_purpose::STANDARD.encode(&self.0)),
        }
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.display())
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.display())
    }
}

impl From<&str> for RelPath {
    fn from(path: &str) -> Self {
        RelPath(path.as_bytes().to_vec())
    }
}

impl From<RelPath> for PathBuf {
    fn from(path: RelPath) -> Self {
        PathBuf::from(std::ffi::OsString::from_vec(path.0))
    }
}

/// A name for people: control characters and bytes that are not UTF-8 escaped, so that no name breaks a terminal.
#[must_use]
pub fn display_name(name: &[u8]) -> String {
    escape(name, true)
}

fn escape(bytes: &[u8], control_too: bool) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if control_too && is_obeyed(char) {
                let _ = write!(text, "{}", char.escape_default());
            } else {
                text.push(char);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Whether a terminal does something at this character instead of showing it: control characters, and those of Unicode that
/// break a line or turn the direction of all that follows on it, so that `exe.txt` may be shown of what ends in `txt.exe`.
/// Marks that belong to one word, as of Hebrew or of joined emoji, are left alone.
fn is_obeyed(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The key under which names that differ only in normalisation are twins: NFC where the name is UTF-8, else its bytes.
#[must_use]
pub fn nfc_key(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) if !text.is_ascii() => text.nfc().collect::<String>().into_bytes(),
        _ => name.to_vec(),
    }
}

/// The key under which names that differ only in case or normalisation are twins.
///
/// Lower case of NFC, without language rules: the same relation that the usual case-insensitive file systems use for
/// the names people give, though not for every exotic letter.
#[must_use]
pub fn fold_key(name: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(name) {
        Ok(text) if text.is_ascii() => name.to_ascii_lowercase(),
        Ok(text) => text.nfc().collect::<String>().to_lowercase().nfc().collect::<String>().into_bytes(),
        Err(_) => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_utf8_is_shown_escaped_and_kept_as_bytes() {
        let path = RelPath::from_bytes(b"caf\xe9/a\nb".to_vec());
        assert_eq!(path.display(), "caf\\xe9/a\\nb");
        assert_eq!(path.json_text(), "caf\\xe9/a\nb");
        assert_eq!(path.json_bytes().as_deref(), Some("Y2Fm6S9hCmI="));
        assert_eq!(RelPath::from("plain").json_bytes(), None);
    }

    #[test]
    fn a_name_does_not_turn_round_the_line_it_is_shown_in() {
        assert_eq!(
            display_name("a\u{202e}txt.exe\u{2028}b\u{feff}".as_bytes()),
            "a\\u{202e}txt.exe\\u{2028}b\\u{feff}"
        );
        // What belongs to a word is left alone: joined emoji, Hebrew with its mark.
        let words = "\u{1f469}\u{200d}\u{1f3eb} \u{5e9}\u{5dc}\u{5d5}\u{5dd}\u{200f}";
        assert_eq!(display_name(words.as_bytes()), words);
    }

    #[test]
    fn a_sibling_with_the_same_beginning_is_not_below() {
        let dir = RelPath::from("shelf");
        assert!(RelPath::from("shelf/a").starts_with(&dir));
        assert!(!RelPath::from("shelf-2/a").starts_with(&dir));
        assert!(RelPath::from("anything").starts_with(&RelPath::root()));
    }

    #[test]
    fn twins_share_a_key() {
        assert_eq!(nfc_key("e\u{301}".as_bytes()), nfc_key("é".as_bytes()));
        assert_eq!(fold_key("É".as_bytes()), fold_key("e\u{301}".as_bytes()));
        assert_ne!(nfc_key(b"A"), nfc_key(b"a"));
        assert_eq!(fold_key(b"caf\xe9"), b"caf\xe9");
    }

    #[test]
    fn a_path_that_climbs_is_refused() {
        assert_eq!(RelPath::from_relative(Path::new("a/../../b")), None);
        assert_eq!(RelPath::from_relative(Path::new("/a")), None);
        assert_eq!(RelPath::from_relative(Path::new("./a//b/")), Some(RelPath::from("a/b")));
    }
}
