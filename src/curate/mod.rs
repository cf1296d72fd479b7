//! What people do to the cards of documents: change a field, take it back, carry a list of them through a spreadsheet.
//!
//! A person's word beats a command's, that beats what was read out of the file, and that what the path says. So nobody
//! overwrites anything here: a word is put above the others, or taken away, and the next one counts again. Pure functions
//! decide ([`change`], [`cell`], [`version`]); thin loops write what they decided, with the log of it and with what follows
//! for stores and search, in one transaction each (T1). Everything works with the disks and the network away, and beside a
//! running scan: nobody takes the lock of runs.
//!
//! An edit belongs to a document, hence to all its copies.

pub mod cell;
pub mod change;
mod edit;
mod export;
mod import;
pub mod rewritten;
mod undo;
pub mod value;
pub mod version;

pub use edit::{Ask, Asked, Report, Told, edit, index_now, preview};
pub use export::{Format, Scope, export};
pub use import::{Import, Trouble, read};
pub use undo::{Left, Undone, preview_undo, undo};

use crate::catalog::CatalogError;
use crate::model::Field;
use value::ValueError;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum CurateError {
    /// The catalogue's.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A value that a card cannot hold.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// More documents would change than somebody may have meant.
    #[error("{documents} documents would be changed")]
    TooMany {
        /// How many would be.
        documents: u64,
    },
    /// There is no edit of that number.
    #[error("there is no edit {0}")]
    NoSuchEdit(i64),
    /// Nothing was edited, or everything was taken back.
    #[error("there is no edit that could be taken back")]
    NothingToUndo,
    /// It was taken back before.
    #[error("edit {edit_id} was taken back already")]
    UndoneAlready {
        /// Which one.
        edit_id: i64,
        /// The edit that did it.
        by: Option<i64>,
    },
    /// Somebody else was faster.
    #[error("the {field} of a document was changed while the file was read")]
    ChangedMeanwhile {
        /// Its number.
        document_id: i64,
        /// Which field.
        field: Field,
    },
    /// A scan was faster: the file turned out to be another document's.
    #[error("document {ulid} is not there any more")]
    GoneMeanwhile {
        /// Its id.
        ulid: ulid::Ulid,
    },
    /// A file that is no list of cards.
    #[error("line {line}: {message}")]
    NoList {
        /// Where.
        line: u64,
        /// What is the matter.
        message: String,
    },
    /// Reading or writing a list failed.
    #[error("the list could not be read or written")]
    Io(#[from] std::io::Error),
}
