//! Names of objects in stores.
//!
//! Keys must mean the same on every store: a case-insensitive disk, a Windows share, S3. So they are lower case ASCII
//! without anything that some store treats specially, and nothing ever has to be escaped. A name that begins with a
//! dot is the store's own (`.tmp`, `.shelflist-store.json`) or litter of an operating system (`.DS_Store`, `._x`),
//! and is never an object.

use std::fmt;
use std::str::FromStr;

use crate::model::Payload;

/// Longest key, in bytes. S3 and GCS allow 1024 with the bucket's own prefix in front.
const MAX_KEY_BYTES: usize = 512;
/// Longest component, in bytes. File systems allow 255; encrypting ones (eCryptfs) 143.
const MAX_COMPONENT_BYTES: usize = 128;

/// An object's name in a store: lower-case components joined by `/`, relative, without `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The content-addressed key of a payload: `enriched/ab/abcd…`, with the hash in hex.
    ///
    /// Two hex digits make 256 directories: a million objects are then 4,000 a directory, which every file system
    /// lists quickly.
    #[must_use]
    pub fn of_content(payload: Payload, hash: &[u8; 32]) -> Self {
        let hex = blake3::Hash::from_bytes(*hash).to_hex();
        ObjectKey(format!("{payload}/{}/{hex}", &hex[..2]))
    }

    /// The key of the same content as a store has it that reads in this manner ([`super::Index::manner`]).
    #[must_use]
    pub fn in_manner(self, manner: Option<&str>) -> Self {
        match manner {
            Some(manner) => ObjectKey(format!("{}/{manner}", self.0)),
            None => self,
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the last `/`, and what after it; the first is empty for a key of one component.
    #[must_use]
    pub fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key:?} is no object key: {reason}")]
pub struct KeyError {
    /// What was given.
    pub key: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl FromStr for ObjectKey {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(KeyError { key: key.to_owned(), reason });
        if key.len() > MAX_KEY_BYTES {
            return refuse("it is longer than 512 bytes");
        }
        for component in key.split('/') {
            if component.is_empty() {
                return refuse("it is empty, begins or ends with a slash, or has two slashes in a row");
            }
            if component.len() > MAX_COMPONENT_BYTES {
                return refuse("a part of it is longer than 128 bytes");
            }
            if component.starts_with('.') || component.ends_with('.') {
                return refuse("a part of it begins or ends with a dot");
            }
            if !component.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
                return refuse("only a-z, 0-9, '-', '_' and '.' may stand in it");
            }
        }
        Ok(ObjectKey(key.to_owned()))
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_could_leave_the_store_or_mean_two_things_is_refused() {
        for bad in [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", ".tmp/x", "a/.x", "A", "a b", "a\\b",
            "é", "a\0", "a.", "c:d",
        ] {
            assert!(bad.parse::<ObjectKey>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(129).parse::<ObjectKey>().is_err());
        assert!(["x"; 300].join("/").parse::<ObjectKey>().is_err());
        for good in ["a", "original/ab/abc.epub", "a-b_c/0"] {
            assert_eq!(good.parse::<ObjectKey>().map(|key| key.to_string()).as_deref(), Ok(good));
        }
    }

    #[test]
    fn a_content_key_is_a_valid_key() {
        let key = ObjectKey::of_content(Payload::Enriched, &[0xab; 32]);
        assert_eq!(key.as_str(), format!("enriched/ab/{}", "ab".repeat(32)));
        assert_eq!(key.as_str().parse(), Ok(key.clone()));
        assert_eq!(key.split().0, "enriched/ab");
        assert_eq!(key.split().1.len(), 64);
    }
}
