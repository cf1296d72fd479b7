//! Names that trouble somebody: which file systems cannot hold them, and which names are hard to tell apart.
//!
//! A library is catalogued whatever its names are. This is about the day its files are to be copied to another disk.

use std::collections::BTreeMap;

use super::words;

words! {
    /// What is the matter with a name.
    pub enum NameTrouble {
        /// The same name as another in its directory, but for Unicode normalisation (NFC, NFD).
        NormalisationTwin = "normalisation-twin",
        /// The same name as another in its directory, but for upper and lower case.
        CaseTwin = "case-twin",
        /// Its bytes are not UTF-8.
        NotUtf8 = "not-utf8",
        /// A character that Windows and FAT do not allow in names.
        ReservedCharacter = "reserved-character",
        /// A line break or another control character.
        ControlCharacter = "control-character",
        /// Ends in a dot or a space, which Windows drops.
        TrailingDotOrSpace = "trailing-dot-or-space",
        /// A device on Windows, with any ending: CON, NUL, COM1, ...
        ReservedName = "reserved-name",
        /// Longer than most file systems allow.
        NameTooLong = "name-too-long",
        /// The path is longer than macOS takes from a program.
        PathOver1024 = "path-over-1024",
        /// The path is longer than Linux takes from a program.
        PathOver4096 = "path-over-4096",
    }
}

impl NameTrouble {
    /// Whom it troubles, and what to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            NameTrouble::NormalisationTwin => {
                "macOS and most people see one name; rename all but one, or compare them with `shelflist copies` and delete what is there twice"
            }
            NameTrouble::CaseTwin => {
                "on Windows, macOS and FAT one would replace the other; rename all but one before copying them there"
            }
            NameTrouble::NotUtf8 => {
                "macOS, Windows and many programs cannot hold it; rename it, for instance with convmv"
            }
            NameTrouble::ReservedCharacter => {
                "Windows, FAT and exFAT cannot hold any of < > : \" \\ | ? *; rename it before copying it there"
            }
            NameTrouble::ControlCharacter => {
                "Windows, FAT and exFAT cannot hold it, and scripts stumble over it; rename it"
            }
            NameTrouble::TrailingDotOrSpace => {
                "Windows drops it and then does not find the file; rename it before copying it there"
            }
            NameTrouble::ReservedName => {
                "on Windows it is a device and no file; rename it before copying it there"
            }
            NameTrouble::NameTooLong => {
                "most file systems hold at most 255 bytes (Linux) or 255 UTF-16 units (Windows, macOS, exFAT); shorten it before copying it there"
            }
            NameTrouble::PathOver1024 => {
                "programs on macOS cannot open it; shorten or move a directory above it"
            }
            NameTrouble::PathOver4096 => {
                "most programs on Linux cannot open it by its path; shorten or move a directory above it"
            }
        }
    }
}

/// Limits of paths in bytes, the closing NUL included: PATH_MAX of macOS and of Linux.
const PATH_LIMITS: [(NameTrouble, usize); 2] =
    [(NameTrouble::PathOver1024, 1024), (NameTrouble::PathOver4096, 4096)];

/// What is the matter with one name, twins apart.
///
/// The rules of Windows are those of
/// <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>.
#[must_use]
pub fn troubles(name: &[u8]) -> Vec<NameTrouble> {
    let text = std::str::from_utf8(name);
    let stem = name.split(|&byte| byte == b'.').next().unwrap_or_default().trim_ascii_end();
    let checks = [
        (NameTrouble::NotUtf8, text.is_err()),
        (NameTrouble::ReservedCharacter, name.iter().any(|byte| b"<>:\"\\|?*".contains(byte))),
        (NameTrouble::ControlCharacter, name.iter().any(u8::is_ascii_control)),
        (NameTrouble::TrailingDotOrSpace, matches!(name.last(), Some(b'.' | b' '))),
        (NameTrouble::ReservedName, is_device(stem)),
        // More UTF-16 units than bytes cannot be: one bound in bytes serves for both.
        (NameTrouble::NameTooLong, name.len() > 255),
    ];
    checks.into_iter().filter_map(|(trouble, holds)| holds.then_some(trouble)).collect()
}

fn is_device(stem: &[u8]) -> bool {
    const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
    let Ok(stem) = std::str::from_utf8(stem) else { return false };
    if DEVICES.iter().any(|device| stem.eq_ignore_ascii_case(device)) {
        return true;
    }
    // COM1 to COM9, LPT1 to LPT9, and the superscript digits of Latin-1.
    let mut chars = stem.chars();
    let port: String = chars.by_ref().take(3).collect();
    let digit = matches!(chars.next(), Some('1'..='9' | '¹' | '²' | '³'));
    digit && chars.next().is_none() && ["COM", "LPT"].iter().any(|known| port.eq_ignore_ascii_case(known))
}

/// The limits that a path of `bytes` is over and its directory is not: whatever lies deeper is over it as well, and need
/// not be told one by one.
#[must_use]
pub fn path_troubles(dir_bytes: usize, bytes: usize) -> Vec<NameTrouble> {
    let over = |bytes: usize, limit: usize| bytes + 1 > limit;
    PATH_LIMITS
        .into_iter()
        .filter(|(_, limit)| over(bytes, *limit) && !over(dir_bytes, *limit))
        .map(|(trouble, _)| trouble)
        .collect()
}

/// A name with the keys under which it has twins, see [`super::path::nfc_key`] and [`super::path::fold_key`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// As the disk has it.
    pub name: Vec<u8>,
    /// Normalised.
    pub nfc: Vec<u8>,
    /// Normalised and in lower case.
    pub fold: Vec<u8>,
}

/// The names of one directory that are twins of each other, by what they differ in.
///
/// Names that differ only in normalisation are no case twins as well: one name of each such group stands for all of it.
#[must_use]
pub fn twins(names: &[Keyed]) -> Vec<(NameTrouble, Vec<Vec<u8>>)> {
    let mut by_nfc: BTreeMap<&[u8], Vec<&Keyed>> = BTreeMap::new();
    for name in names {
        by_nfc.entry(&name.nfc).or_default().push(name);
    }
    let mut by_fold: BTreeMap<&[u8], Vec<&Keyed>> = BTreeMap::new();
    for group in by_nfc.values() {
        by_fold.entry(&group[0].fold).or_default().push(group[0]);
    }
    let several = |trouble, groups: BTreeMap<&[u8], Vec<&Keyed>>| {
        let groups = groups.into_values().filter(|group| group.len() > 1);
        groups
            .map(|group| (trouble, group.into_iter().map(|name| name.name.clone()).collect()))
            .collect::<Vec<_>>()
    };
    let mut found = several(NameTrouble::NormalisationTwin, by_nfc);
    found.extend(several(NameTrouble::CaseTwin, by_fold));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::path::{fold_key, nfc_key};
    use rstest::rstest;

    #[rstest]
    #[case(b"plain name.txt", &[])]
    #[case("Bücher (alt), 2. Band; Teil 'a'.pdf".as_bytes(), &[])]
    #[case(b"caf\xe9", &[NameTrouble::NotUtf8])]
    #[case(b"what?.txt", &[NameTrouble::ReservedCharacter])]
    #[case(b"12:30", &[NameTrouble::ReservedCharacter])]
    #[case(b"a\nb", &[NameTrouble::ControlCharacter])]
    #[case(b"del\x7f", &[NameTrouble::ControlCharacter])]
    #[case(b"etc.", &[NameTrouble::TrailingDotOrSpace])]
    #[case(b"a ", &[NameTrouble::TrailingDotOrSpace])]
    #[case(b"CON", &[NameTrouble::ReservedName])]
    #[case(b"nul.tar.gz", &[NameTrouble::ReservedName])]
    #[case(b"Aux .txt", &[NameTrouble::ReservedName])]
    #[case(b"com1.txt", &[NameTrouble::ReservedName])]
    #[case("LPT³".as_bytes(), &[NameTrouble::ReservedName])]
    #[case(b"com0.txt", &[])]
    #[case(b"com10.txt", &[])]
    #[case(b"console.log", &[])]
    #[case(b".hidden", &[])]
    fn a_name_that_some_file_system_cannot_hold_is_told(
        #[case] name: &[u8],
        #[case] expected: &[NameTrouble],
    ) {
        assert_eq!(troubles(name), expected);
    }

    #[test]
    fn lengths_are_told_beyond_their_limits() {
        assert_eq!(troubles(&[b'a'; 255]), []);
        assert_eq!(troubles(&[b'a'; 256]), [NameTrouble::NameTooLong]);
        assert_eq!(path_troubles(900, 1023), []);
        assert_eq!(path_troubles(1023, 1024), [NameTrouble::PathOver1024]);
        assert_eq!(path_troubles(1024, 1300), [], "its directory was told");
        assert_eq!(path_troubles(1000, 5000), [NameTrouble::PathOver1024, NameTrouble::PathOver4096]);
    }

    fn keyed(names: &[&str]) -> Vec<Keyed> {
        let keyed = |name: &&str| {
            let name = name.as_bytes();
            Keyed { name: name.to_vec(), nfc: nfc_key(name), fold: fold_key(name) }
        };
        names.iter().map(keyed).collect()
    }

    #[test]
    fn twins_are_told_by_what_they_differ_in() {
        let found = twins(&keyed(&["a", "A", "b", "é", "e\u{301}", "É"]));
        let text = |names: &[Vec<u8>]| -> Vec<String> {
            names.iter().map(|name| String::from_utf8(name.clone()).unwrap()).collect()
        };
        let found: Vec<(NameTrouble, Vec<String>)> =
            found.iter().map(|(trouble, names)| (*trouble, text(names))).collect();
        assert_eq!(
            found,
            [
                (NameTrouble::NormalisationTwin, vec!["é".to_owned(), "e\u{301}".to_owned()]),
                (NameTrouble::CaseTwin, vec!["A".to_owned(), "a".to_owned()]),
                (NameTrouble::CaseTwin, vec!["É".to_owned(), "é".to_owned()]),
            ]
        );
    }
}
