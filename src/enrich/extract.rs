//! What all extractors have in common. One file each: [`text`], [`markdown`], [`html`], [`pdf`], [`epub`], [`rtf`], [`mail`],
//! [`audio`], [`archive`], [`image`], [`svg`]; those of
//! [`office`](super::office) stand together.
//!
//! An extractor is given bytes, never a file: the whole input was read before it starts, so no error that it meets can
//! be the disk's. Where the little that it wants lies scattered over a file that may be larger than any memory (the
//! directory of an archive, the tags of a recording), it is given [`Parts`](super::parts::Parts) to read from, which keep
//! the disk's errors and the disk's time apart from the content's. It runs in the worker and may take what memory and time
//! it is given; it must not trust a single length or count in the content.

use std::io::{Read, Seek};

use super::detect::Kind;
use super::office::{opendocument, sheets, slides, word};
use super::{archive, audio, epub, html, image, mail, markdown, pdf, rtf, svg, text};
use crate::model::{Field, ProblemKind};

/// Reads text and metadata out of one kind of content.
pub(super) trait Extractor: Sync {
    /// A stable name, kept with each enrichment.
    fn name(&self) -> &'static str;

    /// Raised whenever the same content would give another text or other fields: what this extractor read, or failed to
    /// read, is then extracted again.
    fn version(&self) -> u32;

    /// How much of a file it wants to see; what is read is cut there, or refused where `whole` is needed.
    fn appetite(&self, budget: Budget) -> Appetite;

    /// Reads it.
    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure>;

    /// Reads what it needs. Asked instead of [`Self::extract`] where the appetite is for [`Appetite::Parts`]. Whatever it
    /// makes of an error of `source` does not matter: the worker knows whose error it was.
    fn extract_parts(&self, source: &mut dyn Source, budget: Budget) -> Result<Raw, Failure> {
        let mut bytes = Vec::new();
        source
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::damaged(format!("it ends early: {error}")))?;
        self.extract(&bytes, budget)
    }
}

/// What parts are read from.
pub(super) trait Source: Read + Seek {}

impl<T: Read + Seek> Source for T {}

/// What an extractor may use, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Memory for the input and everything made of it.
    pub(super) memory: u64,
    /// Text that will be kept in the end. Collecting somewhat more is fine, much more is waste.
    pub(super) text: usize,
}

impl Budget {
    /// The most that one compressed stream or archive member may become.
    pub(super) fn inflated(self) -> u64 {
        (self.memory / 4).clamp(MIB, 256 * MIB)
    }
}

pub(super) const MIB: u64 = 1024 * 1024;

/// How much of a file an extractor reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Appetite {
    /// The beginning, up to so many bytes, will do: the text is cut.
    Head(u64),
    /// All of it; more than so many bytes are too many.
    Whole(u64),
    /// Parts of it, wherever they lie; more than so many bytes read in all are too many.
    Parts(u64),
}

impl Appetite {
    /// All of it, as long as that leaves half of the memory for what is made of it.
    pub(super) fn whole(budget: Budget) -> Self {
        Appetite::Whole((budget.memory / 2).min(512 * MIB))
    }
}

/// What an extractor found, before it is normalised.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) fields: Vec<(Field, String)>,
    pub(super) text: String,
    /// The extractor stopped early because it had text enough.
    pub(super) cut: bool,
}

/// Why a content gives no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    pub(super) kind: ProblemKind,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn damaged(message: impl Into<String>) -> Self {
        Failure { kind: ProblemKind::Damaged, message: message.into() }
    }

    pub(super) fn encrypted(message: impl Into<String>) -> Self {
        Failure { kind: ProblemKind::Encrypted, message: message.into() }
    }

    pub(super) fn too_large(message: impl Into<String>) -> Self {
        Failure { kind: ProblemKind::TooLarge, message: message.into() }
    }
}

/// Has somebody else's reader read. Some of them trust the numbers in a file and index beyond its end: that is damage, too,
/// and no crash of ours. Both that need it were found by damaged documents.
pub(super) fn tame<T>(reading: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(reading))
        .map_err(|_| Failure::damaged("its parts do not fit together"))
}

/// Every extractor there is, in a fixed order: each has its version, see [`version`](super::version).
pub(super) const ALL: &[&dyn Extractor] = &[
    &text::PlainText,
    &markdown::Markdown,
    &html::Html,
    &pdf::Pdf,
    &epub::Epub,
    &word::Word,
    &slides::Slides,
    &sheets::Sheets,
    &opendocument::OpenDocument,
    &rtf::Rtf,
    &mail::Mail,
    &audio::Audio,
    &image::Image,
    &svg::Svg,
    &archive::Archive,
];

/// The one for a kind of content.
pub(super) fn of(kind: Kind) -> Option<&'static dyn Extractor> {
    match kind {
        Kind::Text => Some(&text::PlainText),
        Kind::Markdown => Some(&markdown::Markdown),
        Kind::Html => Some(&html::Html),
        Kind::Pdf => Some(&pdf::Pdf),
        Kind::Epub => Some(&epub::Epub),
        Kind::Word => Some(&word::Word),
        Kind::Slides => Some(&slides::Slides),
        Kind::Sheets => Some(&sheets::Sheets),
        Kind::OpenDocument => Some(&opendocument::OpenDocument),
        Kind::Rtf => Some(&rtf::Rtf),
        Kind::Mail => Some(&mail::Mail),
        Kind::Audio => Some(&audio::Audio),
        Kind::Archive => Some(&archive::Archive),
        Kind::Image => Some(&image::Image),
        Kind::Svg => Some(&svg::Svg),
        Kind::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Versions are told of those in the list: what is read by another would never be read again.
    #[test]
    fn every_extractor_that_is_used_is_listed_once() {
        let names: std::collections::BTreeSet<_> = ALL.iter().map(|extractor| extractor.name()).collect();
        assert_eq!(names.len(), ALL.len());
        for kind in Kind::ALL {
            let name = of(*kind).map(Extractor::name);
            assert!(name.is_none_or(|name| names.contains(name)), "{kind:?}");
            assert_eq!(name.is_none(), *kind == Kind::Other);
        }
    }
}
