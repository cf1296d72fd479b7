//! Office documents: ZIP archives of XML parts, and the compound files of the programs before them.
//!
//! | room | what it reads |
//! |---|---|
//! | [`word`] | Word documents (OOXML) |
//! | [`slides`] | PowerPoint presentations (OOXML) |
//! | [`opendocument`] | texts, presentations and spreadsheets of LibreOffice and others (ODF) |
//! | [`sheets`] | Excel workbooks: OOXML, its binary kind, and those before |
//! | [`ooxml`] | what the parts of OOXML files have in common |
//! | [`lines`] | paragraphs, rows and cells as text |
//! | [`container`] | which of them a container holds |
//!
//! What a part may inflate to is capped ([`package`](super::package)), the parts are read as streams, and no entity is
//! expanded: an archive that is out to break its reader becomes "too large" or "damaged". The texts of Word and
//! PowerPoint before 2007 stay closed: no kept crate reads them.

use std::ops::ControlFlow;

pub(super) mod container;
mod lines;
mod ooxml;
pub(super) mod opendocument;
pub(super) mod sheets;
pub(super) mod slides;
pub(super) mod word;

pub(in crate::enrich) use lines::Lines;

/// `1 page`, `2 pages`.
pub(in crate::enrich) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Goes on until there is text enough.
fn unless_full(lines: &Lines) -> ControlFlow<()> {
    if lines.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// How deep inside elements that are left out a reader is.
#[derive(Debug, Default)]
struct Skipping(usize);

impl Skipping {
    /// Whether a start tag is left out: one of these, or inside one.
    fn enters(&mut self, name: &str, left_out: &[&str]) -> bool {
        if self.0 > 0 || left_out.contains(&name) {
            self.0 += 1;
        }
        self.0 > 0
    }

    /// Whether an end tag belongs to what is left out.
    fn leaves(&mut self) -> bool {
        let inside = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        inside
    }

    fn is_inside(&self) -> bool {
        self.0 > 0
    }
}
