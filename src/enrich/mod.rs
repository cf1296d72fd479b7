//! What is in a file: its type, its metadata and its text, and the canonical content that stores are given.
//!
//! A library holds files from everywhere: truncated downloads, zip bombs, documents with passwords. So nothing here
//! parses a file in the process that holds the catalogue. [`ExtractorProcess`] starts this program once more as a
//! worker ([`child_main`]) that has limits on memory and files and is replaced when it crashes or is late.
//!
//! The rule that shaped this room: an [`Outcome`] is remembered for a *content*, for good, and is true of every copy of
//! it. So whatever is not the content's doing never becomes an outcome: a disk that was pulled in the middle of a PDF,
//! a file that changed under our eyes, a worker that the system shot. Those are a [`ChildError`], and the file is
//! looked at again another time.
//!
//! What is absent, on purpose:
//! - No path, time or device gets into the enriched content ([`render()`]): a move changes no byte of it.
//! - Nothing here writes files or opens what is not a regular file.

use serde::{Deserialize, Serialize};

use crate::model::{Field, ProblemKind};

mod archive;
mod audio;
mod child;
pub mod commands;
mod detect;
mod epub;
mod extract;
mod fields;
mod gap;
mod html;
mod identifiers;
mod image;
mod input;
mod kinds;
mod language;
mod mail;
mod markdown;
mod normal;
mod office;
mod package;
mod parts;
mod pdf;
mod pdf_encoding;
mod pdf_fields;
mod pdf_font;
mod pdf_order;
mod pdf_scan;
mod pdf_stream;
mod pdf_text;
mod piped;
pub mod render;
mod rtf;
pub mod run;
mod svg;
mod text;
mod version;
mod wire;
mod worker;
mod xml;
mod xmp;

pub use child::{ChildError, ExtractorProcess};
pub use detect::{Detected, Kind, detect};
pub use kinds::{Kinds, UnknownKind};
pub use render::{Card, render, upload_hash};
pub use version::versions;
pub use worker::child_main;

/// The names of all extractors, in a fixed order.
#[must_use]
pub fn extractors() -> Vec<&'static str> {
    extract::ALL.iter().map(|extractor| extractor.name()).collect()
}

/// The name of the extractor that reads this kind of content.
#[must_use]
pub fn extractor_of(kind: Kind) -> Option<&'static str> {
    extract::of(kind).map(extract::Extractor::name)
}

/// How much one file's extraction may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long the parsing of one file may take, and how long a single read from its disk may stand still.
    pub timeout: std::time::Duration,
    /// Memory beyond what the worker itself needs, in bytes.
    pub memory_bytes: u64,
    /// How much text is kept, in bytes of UTF-8; the rest is cut off.
    pub text_bytes: u64,
}

/// What was read out of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extraction {
    /// Type by content, for instance `application/pdf`.
    pub mime: String,
    /// Which extractor.
    pub extractor: String,
    /// Which version of it.
    pub extractor_version: u32,
    /// Metadata as the file gives it: each field once, in the order of [`Field`], no value empty.
    pub fields: Vec<(Field, Vec<String>)>,
    /// NFC, lines ended by `\n`, no other control character than `\n` and tab.
    pub text: String,
    /// Whether text was left out because of [`Limits::text_bytes`].
    pub truncated: bool,
}

/// What extraction found out about a content. True of every file with that content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Text and metadata.
    Extracted(Extraction),
    /// A type that has no extractor.
    Unsupported {
        /// Type by content.
        mime: String,
    },
    /// The content could not be read.
    Failed {
        /// Type by content, where it was known before the failure.
        mime: Option<String>,
        /// Which extractor failed, where there was one already.
        extractor: Option<String>,
        /// `Encrypted`, `Damaged`, `TooLarge`, `TimedOut` or `Crashed`.
        kind: ProblemKind,
        /// What happened, for people.
        message: String,
    },
}
