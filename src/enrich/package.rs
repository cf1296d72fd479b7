//! A ZIP archive that gives out only so much: what books and office documents come in.
//!
//! Read by hand, because the crates for such documents trust the archive: most cap nothing of what a member inflates to,
//! and a file of a few kilobytes took 4 GiB.

use std::io::{Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use super::extract::{Budget, Failure, MIB};
use super::text;
use super::xml::{Element, elements};

/// An archive, and what may still be read out of it.
pub(super) struct Package<'a> {
    archive: ZipArchive<Cursor<&'a [u8]>>,
    /// The most that one member may inflate to, in bytes.
    member_limit: u64,
    /// What all members together may still inflate to, in bytes.
    left: u64,
}

/// An OLE compound file. An office document with a password is one, with the encrypted archive as a stream in it.
pub(super) const COMPOUND_FILE: &[u8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";

impl<'a> Package<'a> {
    pub(super) fn open(bytes: &'a [u8], budget: Budget) -> Result<Self, Failure> {
        if bytes.starts_with(COMPOUND_FILE) {
            return Err(Failure::encrypted("it opens only with a password"));
        }
        let archive = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| Failure::damaged(format!("the archive cannot be read: {error}")))?;
        Ok(Package { archive, member_limit: budget.inflated(), left: 4 * budget.inflated() })
    }

    /// A member's bytes; `None` where there is no such member.
    pub(super) fn member(&mut self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        let mut bytes = Vec::new();
        Ok(self.inflate(name, self.member_limit, &mut bytes)?.then_some(bytes))
    }

    /// A member as text; `None` where there is no such member.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        Ok(self.member(name)?.map(|bytes| match String::from_utf8(bytes) {
            Ok(text) if !text.starts_with('\u{feff}') => text,
            Ok(marked) => marked['\u{feff}'.len_utf8()..].to_owned(),
            Err(error) => text::decode(error.as_bytes(), None),
        }))
    }

    /// A member that must be there, as XML.
    pub(super) fn xml(&mut self, name: &str) -> Result<Vec<Element>, Failure> {
        let xml =
            self.text(name)?.ok_or_else(|| Failure::damaged(format!("there is no {name} in the archive")))?;
        elements(&xml, name)
    }

    /// A member that may be missing, as XML.
    pub(super) fn xml_or_none(&mut self, name: &str) -> Result<Vec<Element>, Failure> {
        self.text(name)?.map_or_else(|| Ok(Vec::new()), |xml| elements(&xml, name))
    }

    /// Inflates a member for nothing but to see how large it gets, for a reader without limits that holds it in memory.
    pub(super) fn weigh_held(&mut self, name: &str) -> Result<(), Failure> {
        self.inflate(name, self.member_limit, &mut std::io::sink()).map(|_| ())
    }

    /// The same for a reader that streams it: then only all members together have a limit.
    pub(super) fn weigh_streamed(&mut self, name: &str) -> Result<(), Failure> {
        self.inflate(name, self.left, &mut std::io::sink()).map(|_| ())
    }

    /// The names of all members, as far as they are text.
    pub(super) fn names(&self) -> Vec<String> {
        self.archive.file_names().flatten().map(std::borrow::Cow::into_owned).collect()
    }

    fn inflate(&mut self, name: &str, most: u64, into: &mut impl std::io::Write) -> Result<bool, Failure> {
        let unreadable =
            |error: &dyn std::fmt::Display| Failure::damaged(format!("{name} cannot be read: {error}"));
        let member = match self.archive.by_name(name) {
            Ok(member) => member,
            Err(ZipError::FileNotFound) => return Ok(false),
            Err(ZipError::UnsupportedArchive(detail)) if detail == ZipError::PASSWORD_REQUIRED => {
                return Err(Failure::encrypted("the archive is locked with a password"));
            }
            Err(error) => return Err(unreadable(&error)),
        };
        let limit = most.min(self.left);
        // One byte more than allowed tells "too large" from "exactly full".
        let read = std::io::copy(&mut member.take(limit + 1), into).map_err(|error| unreadable(&error))?;
        if read > limit {
            return Err(Failure::too_large(format!("{name} inflates to more than {} MiB", limit / MIB)));
        }
        self.left -= read;
        Ok(true)
    }
}

/// A member's name out of a reference relative to a directory: fragment dropped, `%20` and `..` resolved.
pub(super) fn resolve(directory: &str, reference: &str) -> String {
    let reference = reference.split('#').next().unwrap_or(reference);
    let reference = percent_decode(reference);
    let (directory, reference) =
        reference.strip_prefix('/').map_or((directory, reference.as_str()), |rooted| ("", rooted));
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(reference.split('/')) {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = match (first, tail) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match code {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_and_never_leave_the_archive() {
        assert_eq!(resolve("OEBPS", "text/ch%201.xhtml#top"), "OEBPS/text/ch 1.xhtml");
        assert_eq!(resolve("OEBPS/pkg", "../../../x"), "x");
        assert_eq!(resolve("OEBPS", "/x"), "x");
        assert_eq!(resolve("", "100%.xhtml"), "100%.xhtml");
    }
}
