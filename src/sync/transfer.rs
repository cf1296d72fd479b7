//! One object on its way to a store, and where its bytes come from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ulid::Ulid;

use crate::model::{Field, ObjectState, Privacy, RelPath};
use crate::remote::index::{Entry, RemoteName};
use crate::remote::{Expect, ObjectKey};
use crate::volume::Patience;

/// Where the bytes of an object come from.
#[derive(Debug)]
pub(super) enum Bytes {
    Rendered(Box<Rendered>),
    File { library_id: i64, path: PathBuf, rel: RelPath, patience: Patience },
}

/// Enriched content, with what an index is told beside it.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) document: Ulid,
    pub(super) title: String,
    pub(super) fields: BTreeMap<Field, Vec<String>>,
    /// Front matter, then the text.
    pub(super) content: String,
    /// Where the text begins.
    pub(super) text_at: usize,
}

/// One object on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Its operation, by its place in the queue.
    pub(super) seq: i64,
    pub(super) object_id: i64,
    pub(super) state: ObjectState,
    pub(super) key: ObjectKey,
    /// What the store calls it, where it has told.
    pub(super) name: Option<RemoteName>,
    /// What it was called in a former life of the store, where that is the last that was heard of it.
    pub(super) left: Option<RemoteName>,
    /// Nobody has tried to send it before: no answer can have been lost.
    pub(super) fresh: bool,
    /// When it was sent, in milliseconds, where it was.
    pub(super) uploaded_at: Option<i64>,
    pub(super) expect: Expect,
    pub(super) bytes: Bytes,
    /// Of which document, and how far it might leave when its bytes were made.
    pub(super) document_id: i64,
    pub(super) privacy: Option<Privacy>,
}

impl Bytes {
    /// Bytes held in memory until they are sent.
    pub(super) fn in_memory(&self) -> u64 {
        match self {
            Bytes::Rendered(rendered) => rendered.content.len() as u64,
            Bytes::File { .. } => 0,
        }
    }
}

impl Rendered {
    /// As an index is given it.
    pub(super) fn entry<'a>(&'a self, key: &'a ObjectKey) -> Entry<'a> {
        Entry {
            key,
            document: self.document,
            title: &self.title,
            fields: &self.fields,
            content: &self.content,
            text: self.content.get(self.text_at..).unwrap_or_default(),
        }
    }
}
