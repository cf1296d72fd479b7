//! What can go wrong with a store, sorted by what the caller can do about it.

use std::io;
use std::time::Duration;

use super::{Expect, Generation, ObjectKey};

/// Why a store is not there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwayReason {
    /// Its directory is not there: the disk is unplugged, or the share not mounted.
    RootMissing,
    /// Its directory is there and has no store in it: an empty mount point that was left behind, or a wiped store.
    NoStoreInRoot,
    /// It is there and does not answer: a dead share, a device that went away, a server that is down.
    Unreachable,
    /// Its bucket or container is not there.
    NoBucket,
    /// There is no store of its name.
    NoneOfThatName,
    /// Nobody is there who makes its embeddings, for whatever text.
    NoEmbedder,
    /// The name of its server is not known: no network, or a typing error.
    NameUnknown,
    /// Its server cannot prove who it is.
    Untrusted,
}

impl std::fmt::Display for AwayReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            AwayReason::RootMissing => "its directory is not there",
            AwayReason::NoStoreInRoot => "its directory is there, but no store is in it",
            AwayReason::Unreachable => "it does not answer",
            AwayReason::NoBucket => "its bucket or container is not there",
            AwayReason::NoneOfThatName => "there is none of that name",
            AwayReason::NoEmbedder => "what makes its embeddings does not answer",
            AwayReason::NameUnknown => "the name of its server is not known",
            AwayReason::Untrusted => "its server cannot prove who it is",
        })
    }
}

/// Who is at fault, and so what is counted and what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// The way to the store, or the store as a whole. The channel backs off; no operation is judged (T5).
    Channel,
    /// This operation, as it is, will not go through: it counts as an attempt.
    Verdict,
    /// What was to be sent: the library's disk or the file itself. The store is not to blame, and the operation has to
    /// be planned again from the library.
    Source,
}

/// A store's trouble. Names the store and the thing; names no secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store is not there now. Wait for it.
    #[error("store {store} is away: {reason}")]
    Away {
        /// The store.
        store: String,
        /// In what way.
        reason: AwayReason,
        /// What the system said, where it said something.
        #[source]
        source: Option<io::Error>,
    },
    /// The store was begun anew, or another one stands in its place. Open it again, verify, refill (T7).
    #[error("store {store} is not the one that was opened: its generation was {} and is {}", known.generation, found.generation)]
    GenerationChanged {
        /// The store.
        store: String,
        /// When it was opened.
        known: Box<Generation>,
        /// Now.
        found: Box<Generation>,
    },
    /// No room, or over a quota. Wait for somebody to make room.
    #[error("store {store} is full")]
    Full {
        /// The store.
        store: String,
        /// What the system said.
        source: io::Error,
    },
    /// It asks us to come back later.
    #[error("store {store} is busy")]
    Busy {
        /// The store.
        store: String,
        /// How long it asks us to wait, where it said so: the next call comes no sooner.
        retry_after: Option<Duration>,
        /// What it said.
        source: io::Error,
    },
    /// There is no key or password for it, or it does not accept the one there is. A person has to give another.
    #[error("store {store} does not let us in: {problem}")]
    Credentials {
        /// The store.
        store: String,
        /// What is wrong with them; names no secret.
        problem: String,
        /// What it said, where it said something.
        #[source]
        source: Option<io::Error>,
    },
    /// This computer's clock and the store's are too far apart for its signatures. A person has to set one.
    #[error("store {store} says that the clocks are too far apart")]
    ClockSkew {
        /// The store.
        store: String,
        /// What it said.
        source: io::Error,
    },
    /// The store does not let us in, or not write. A person has to change a permission.
    #[error("store {store} does not let us {doing}")]
    Denied {
        /// The store.
        store: String,
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The store will never do this.
    #[error("store {store} refuses to {doing}: {reason}")]
    Refused {
        /// The store.
        store: String,
        /// What was tried.
        doing: String,
        /// Why not.
        reason: String,
        /// What the system said, where it said something.
        #[source]
        source: Option<io::Error>,
    },
    /// The store is there, the object that was to be read is not.
    #[error("store {store} has no object {key}")]
    NoSuchObject {
        /// The store.
        store: String,
        /// The object.
        key: ObjectKey,
    },
    /// The content that was to be sent is not the one that was expected. Nothing was published.
    #[error("the content for object {key} is not the expected one: {} bytes expected, {}", expected.bytes, describe_found(*.found_bytes, expected.bytes))]
    ContentChanged {
        /// The object that was to be made.
        key: ObjectKey,
        /// What it should have been.
        expected: Box<Expect>,
        /// How many bytes were read: one more than expected where there was more.
        found_bytes: u64,
    },
    /// The content that was to be sent could not be read. Nothing was published.
    #[error("cannot read the content for object {key}")]
    Source {
        /// The object that was to be made.
        key: ObjectKey,
        /// What the reader said.
        source: io::Error,
    },
    /// Something in the store is not what was put there. It has to be deleted before it can be put again.
    #[error("{what} in store {store} is damaged: {reason}")]
    Corrupt {
        /// The store.
        store: String,
        /// Which thing: `object KEY`, `the generation object`.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Any other input/output error of the store.
    #[error("store {store} could not {doing}")]
    Io {
        /// The store.
        store: String,
        /// What was tried.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

fn describe_found(found: u64, expected: u64) -> String {
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => format!("{found} read"),
        std::cmp::Ordering::Equal => "as many with another hash read".to_owned(),
        std::cmp::Ordering::Greater => "more read".to_owned(),
    }
}

impl StoreError {
    /// Who is at fault.
    ///
    /// A refused password or a full disk says nothing of the operation that met it first: were that a verdict, one
    /// such night would kill a whole queue. So both are the channel's.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            StoreError::Away { .. }
            | StoreError::GenerationChanged { .. }
            | StoreError::Full { .. }
            | StoreError::Busy { .. }
            | StoreError::Credentials { .. }
            | StoreError::ClockSkew { .. }
            | StoreError::Denied { .. }
            | StoreError::Io { .. } => ErrorClass::Channel,
            StoreError::Refused { .. } | StoreError::NoSuchObject { .. } | StoreError::Corrupt { .. } => {
                ErrorClass::Verdict
            }
            StoreError::ContentChanged { .. } | StoreError::Source { .. } => ErrorClass::Source,
        }
    }

    /// How long the store asked us to wait before anything else is sent to it.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            StoreError::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
