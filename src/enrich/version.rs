//! By which version of which reader an enrichment was made. Each reader has its own, so that a better reader of PDFs has
//! PDFs read again and nothing else.
//!
//! What is not part of it: limits on time and memory, because they decide whether something comes out and not what; and
//! the form of rendering, because what was read stays read when it is only written out in another way.

use std::fmt::Write;

use super::extract;
use crate::catalog::enrichments::Versions;

/// Raised when a type is told that was not told before, or told otherwise. Whatever no reader was found for is then looked
/// at again; so it is when there is a new reader. A kind that goes from one reader to another raises the former reader's
/// version, too.
const DETECTION_VERSION: u32 = 1;

/// Today's version of each reader, for texts that are cut at so many bytes.
#[must_use]
pub fn versions(text_bytes: u64) -> Versions {
    let readers: Vec<(&str, u32)> =
        extract::ALL.iter().map(|extractor| (extractor.name(), extractor.version())).collect();
    of(&readers, text_bytes)
}

fn of(readers: &[(&str, u32)], text_bytes: u64) -> Versions {
    let mut detection = format!("detection {DETECTION_VERSION}\n");
    for (name, _) in readers {
        // A String takes every write.
        _ = writeln!(detection, "{name}");
    }
    let each = readers.iter().map(|(name, version)| {
        ((*name).to_owned(), digits(&format!("{name} {version}\ntext {text_bytes}\n")))
    });
    each.chain([(String::new(), digits(&detection))]).collect()
}

/// 8 hexadecimal digits.
pub(super) fn digits(of: &str) -> String {
    blake3::hash(of.as_bytes()).to_hex()[..8].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whose version differs.
    fn differ(one: &Versions, other: &Versions) -> Vec<String> {
        one.iter()
            .filter(|(name, version)| other.get(*name) != Some(version))
            .map(|(name, _)| name.clone())
            .collect()
    }

    // E2
    #[test]
    fn another_version_of_a_reader_is_its_own_business() {
        let before = of(&[("pdf", 1), ("text", 1)], 16);
        assert!(before.values().all(|version| version.len() == 8));
        assert_eq!(before, of(&[("pdf", 1), ("text", 1)], 16));
        assert_eq!(differ(&before, &of(&[("pdf", 2), ("text", 1)], 16)), ["pdf"]);
        assert_eq!(differ(&before, &of(&[("pdf", 1), ("text", 1)], 8)), ["pdf", "text"]);
    }

    // E2: and only that
    #[test]
    fn a_new_reader_tries_what_no_reader_was_found_for() {
        let before = of(&[("pdf", 1)], 16);
        assert_eq!(differ(&before, &of(&[("pdf", 1), ("rtf", 1)], 16)), [""]);
    }

    #[test]
    fn every_reader_has_a_version() {
        let versions = versions(16 << 20);
        assert_eq!(versions.len(), extract::ALL.len() + 1, "no two share a name, and none is nameless");
    }
}
