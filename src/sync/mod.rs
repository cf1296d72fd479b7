//! From the outbox to the stores: lease, send, verify, switch; and the clean-up of what was replaced.
//!
//! Upload first (T2): the replacement is sent, proved and usable before the former object becomes an orphan, and only the
//! clean-up, on a person's word, deletes orphans. Every step is committed before the next begins, so that a process that
//! dies anywhere leaves a ledger from which the next run goes on (T3). What is wrong with the way to a store is the
//! channel's business and counts against no operation (T5).
//!
//! | in reading order | |
//! |---|---|
//! | [`push()`] | a turn for each store; `channel` opens it and writes down what was heard |
//! | `line` | leases, hands out to workers, settles; whose fault trouble is |
//! | `making`, [`plan`], `ready` | what a store should have of a document, what is to be done for that, written down before it is |
//! | `carry`, `sample`, `transfer` | one object: sent, proved, found |
//! | `settle`, [`backoff`](mod@backoff) | what came back is written down |
//! | [`wake`], [`keep`] | when to wake next, and the loop that does |
//! | [`connectivity`] | whether the way to a store is open |
//! | [`orphans`], [`devices`] | the clean-up, and who else needs what it would delete |
//! | [`check`] | a store held against its ledger |

pub mod backoff;
mod carry;
mod channel;
pub mod check;
pub mod connectivity;
pub mod devices;
pub mod keep;
mod line;
mod making;
pub mod orphans;
pub mod plan;
pub mod push;
mod ready;
mod sample;
mod settle;
mod transfer;
#[cfg(test)]
mod trials;
pub mod wake;

use jiff::Timestamp;

use crate::catalog::CatalogError;
use crate::catalog::libraries::Library;
use crate::remote::{StoreError, UrlError};
use crate::volume::VerifiedRoot;

pub use push::{PushReport, push};

/// A library whose disk can be read now.
#[derive(Debug, Clone)]
pub struct Here {
    /// Which library.
    pub library: Library,
    /// Its verified root.
    pub root: VerifiedRoot,
}

/// Why a sync could not go on. Trouble on the way to a store is not among it: that is in the report.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// This process slept for so long that another has taken over.
    #[error("another shelflist has taken over sending meanwhile")]
    TakenOver,
    /// A store's URL in the catalogue is not understood.
    #[error("the URL of store {store} is not understood")]
    Url {
        /// Which store.
        store: String,
        /// What is wrong with it.
        #[source]
        source: UrlError,
    },
}

/// A store that could not be reached.
#[derive(Debug)]
pub struct Offline {
    /// Which store.
    pub store: String,
    /// Where it is.
    pub url: String,
    /// SHELF-SYNC-00N.
    pub code: &'static str,
    /// Why.
    pub error: Away,
}

/// Why a store cannot be used now.
#[derive(Debug, thiserror::Error)]
pub enum Away {
    /// The way to it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Something else stands there.
    #[error("another store is at this place: expected {expected}, found {found}")]
    OtherStore {
        /// The store's id as recorded.
        expected: String,
        /// The store's id as found.
        found: String,
    },
    /// It said when to come back.
    #[error("it asked not to be called before {until}; to do so all the same: shelflist sync now")]
    AskedToWait {
        /// Until when.
        until: Timestamp,
    },
    /// It is reachable and holds no sign of ever having been a store of ours.
    #[error("there is no store at this place any more")]
    NotAStore,
}

/// Errors of SHELF-SYNC, as far as stores go.
pub mod code {
    /// Connection failed.
    pub const CONNECTION: &str = "SHELF-SYNC-001";
    /// The batch, or this operation of it, was refused.
    pub const REFUSED: &str = "SHELF-SYNC-002";
    // -003, conflict detected, is the hub's, and -004, max retries exceeded, the outbox's own.
    /// The operation as it stands cannot be carried out by anybody, or not by this store.
    pub const INVALID: &str = "SHELF-SYNC-005";
}
