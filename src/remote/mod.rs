//! Stores: remote places for content, behind one small trait.
//!
//! A [`Store`] puts, finds, reads and deletes whole objects under keys that we choose. It knows nothing of documents,
//! ledgers or queues: which object stands for which document, what is old and what may be deleted is decided by those
//! who call it. What stores can do differently is data ([`Capabilities`]); what can go wrong is sorted by what the
//! caller can do about it ([`StoreError`], [`ErrorClass`]).
//!
//! Stores that read what they are given and name it themselves stand behind another small trait, [`Index`]; which of the two
//! a URL leads to is an [`Opened`].
//!
//! What is absent, on purpose:
//! - Nothing here replaces an object. A put meets an object or makes it; a replacement is another key (T2).
//! - Nothing here concludes from silence. "There is no such object" is only said while the store proves, by its
//!   generation object, that it is the store it was opened as; an unplugged disk or an empty mount point is *away*.
//! - Nothing here retries or sleeps: back-off belongs to the channel, not to the call (T5).
//! - No error names a secret; a secret cannot be printed, and is kept nowhere ([`Secret`]).
//!
//! The failure that shaped it: a sync tool that met an empty mount point, took it for an empty remote, and filled the
//! computer's own disk with a second copy, which vanished from sight when the disk was plugged in again.

use std::io::Read;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

pub use crate::model::Found;

mod blocks;
mod credentials;
pub mod dir;
mod error;
#[doc(hidden)]
pub mod fault;
mod generation;
mod http;
pub mod index;
mod key;
mod measured;
mod object;
mod runtime;
mod secret;
pub mod url;

pub use credentials::{Access, Login};
pub use dir::DirStore;
pub use error::{AwayReason, ErrorClass, StoreError};
pub use http::Patience;
pub use index::Index;
pub use key::{KeyError, ObjectKey};
#[doc(hidden)]
pub use object::PartSizes;
pub use secret::Secret;
pub use url::{StoreUrl, UrlError};

/// A remote place for content. Calls block; any number of threads may call at once.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The store's canonical URL, for people and logs; names no secret.
    fn describe(&self) -> String;

    /// What this store can do. The same answer every time.
    fn capabilities(&self) -> Capabilities;

    /// Puts an object under a key that has none yet. The content is read at most once, and not at all where the key
    /// is taken.
    ///
    /// An object that the key already has stays as it is, or, where the store can replace a whole object and keeps no
    /// conditions, is replaced by the same content. Where it was met, it is told: of the expected length it is [`Put::AlreadyThere`] (its
    /// bytes are for the caller's verification), of another length it is [`StoreError::Corrupt`], because
    /// "already there" would be a claim that is plainly wrong; who wants it replaced deletes it first. Where this
    /// returns without error the object is durable, as far as the store can promise that.
    ///
    /// # Errors
    /// [`StoreError::ContentChanged`] where the content is not the expected one and [`StoreError::Source`] where it
    /// could not be read; nothing is published then. Otherwise what the store's trouble is.
    fn put_if_absent(
        &self,
        key: &ObjectKey,
        content: &mut dyn Read,
        expect: &Expect,
    ) -> Result<Put, StoreError>;

    /// What the store says of an object; `None` where the store is there and has no such object.
    ///
    /// # Errors
    /// The store's trouble. An absent store never answers `None`.
    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectStat>, StoreError>;

    /// An object's bytes, as stored: the caller holds them against the hash it knows.
    ///
    /// # Errors
    /// [`StoreError::NoSuchObject`], or the store's trouble. Reading may fail later, with the reader's own error.
    fn get(&self, key: &ObjectKey) -> Result<Box<dyn Read + Send>, StoreError>;

    /// A part of an object's bytes: as many as there are, from `start` on, up to `bytes`.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn get_part(&self, key: &ObjectKey, start: u64, bytes: u64) -> Result<Box<dyn Read + Send>, StoreError>;

    /// All objects whose key begins with `prefix`, in the order of their keys; all objects where it is empty.
    ///
    /// # Errors
    /// The store's trouble, at once or as an item; an item that is an error is the last one, and what came before it
    /// is then not the complete list.
    fn list(&self, prefix: &str) -> Result<Listing<'_>, StoreError>;

    /// Deletes an object by its key. Deleting what is not there is no error.
    ///
    /// # Errors
    /// The store's trouble.
    fn delete(&self, key: &ObjectKey) -> Result<Deleted, StoreError>;

    /// Which store this is, read from the store now; `None` where it can be told that a store is reachable and was
    /// never begun, or was wiped. Where that cannot be told from an absent disk (`dir:`), it is
    /// [`StoreError::Away`].
    ///
    /// # Errors
    /// The store's trouble.
    fn generation(&self) -> Result<Option<Generation>, StoreError>;

    /// Begins the store where it has no generation; answers the one it has otherwise. Only on a person's word
    /// (`store add`, `store check --repair`), never because a generation was found absent (T7).
    ///
    /// # Errors
    /// [`StoreError::Refused`] where something else stands in its place; otherwise the store's trouble.
    fn start_generation(&self, now: Timestamp) -> Result<Generation, StoreError>;
}

/// Objects as they are listed.
pub type Listing<'a> = Box<dyn Iterator<Item = Result<Listed, StoreError>> + Send + 'a>;

/// What a store can do, as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// We choose the keys. Elsewhere the store names objects, and ours travel as metadata.
    pub client_names_objects: bool,
    /// "Only if absent" is decided by the store in one step, so that two writers cannot both be the creator. Elsewhere two
    /// devices may both write and both believe to be it; since keys name contents, they write the same bytes.
    pub conditional_put: bool,
    /// The store tells a BLAKE3 hash of what it has, so that verification need not read it back.
    pub server_hash: bool,
    /// An object is usable only some time after it was taken, once the store says that it can be found.
    pub needs_searchable: bool,
    /// The largest object it takes, in bytes, where that is known beforehand.
    pub max_object_bytes: Option<u64>,
    /// How many calls at once it is worth while to make.
    pub parallel: usize,
}

/// What a content must be for it to be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expect {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its BLAKE3 hash.
    pub hash: [u8; 32],
}

impl Expect {
    /// Of bytes that are in memory.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Expect { bytes: content.len() as u64, hash: *blake3::hash(content).as_bytes() }
    }
}

/// How a put went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object was made by this call, from the expected bytes.
    Created,
    /// The same, and the store answered with a hash of what it took, computed by it, that is the right one: nothing need be
    /// read back.
    Proved,
    /// The key had an object of the expected length; nothing was sent. Its bytes are not proved.
    AlreadyThere,
}

impl Put {
    /// Whether it was this call that made the object.
    #[must_use]
    pub const fn made_it(self) -> bool {
        matches!(self, Put::Created | Put::Proved)
    }
}

/// How a delete went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The object was there and is gone.
    Deleted,
    /// The store is there, the object was not.
    WasAbsent,
}

/// What a store says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectStat {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its BLAKE3 hash as the store computed it, where [`Capabilities::server_hash`].
    pub hash: Option<[u8; 32]>,
}

/// One object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Which store this is. It changes when a store is begun anew: what the ledger says of another generation must be
/// looked at again, and what is not there sent again (T7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The store.
    pub store_id: Ulid,
    /// Its present life.
    pub generation: Ulid,
    /// When this life began, UTC.
    pub created: Timestamp,
}

impl Generation {
    /// A store's first life.
    #[must_use]
    pub fn begin(now: Timestamp) -> Self {
        let id = || Ulid::from_datetime(now.into());
        Generation { store_id: id(), generation: id(), created: now }
    }
}

/// Which store something is, and which life of it, in the store's own words. What the ledger says is about one of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The store.
    pub store: String,
    /// Its present life: changes where it was begun anew.
    pub generation: String,
}

impl From<Generation> for Identity {
    fn from(generation: Generation) -> Self {
        Identity { store: generation.store_id.to_string(), generation: generation.generation.to_string() }
    }
}

/// A store of either kind.
#[derive(Debug)]
pub enum Opened {
    /// We name its objects.
    Objects(Box<dyn Store>),
    /// It names them itself.
    Index(Box<dyn Index>),
}

impl Opened {
    /// The store's canonical URL.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Opened::Objects(store) => store.describe(),
            Opened::Index(index) => index.describe(),
        }
    }

    /// What it can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        match self {
            Opened::Objects(store) => store.capabilities(),
            Opened::Index(index) => index.capabilities(),
        }
    }

    /// Which store it is, read from it now; see [`Store::generation`] and [`Index::identity`].
    ///
    /// # Errors
    /// The store's trouble.
    pub fn identity(&self) -> Result<Option<Identity>, StoreError> {
        match self {
            Opened::Objects(store) => Ok(store.generation()?.map(Identity::from)),
            Opened::Index(index) => index.identity(),
        }
    }

    /// Begins it where there is none. Only on a person's word (T7).
    ///
    /// # Errors
    /// The store's trouble.
    pub fn begin(&self, now: Timestamp) -> Result<Identity, StoreError> {
        match self {
            Opened::Objects(store) => store.start_generation(now).map(Identity::from),
            Opened::Index(index) => index.begin(now),
        }
    }

    /// The store, where we name its objects: whole contents come from no other.
    #[must_use]
    pub fn into_objects(self) -> Option<Box<dyn Store>> {
        match self {
            Opened::Objects(store) => Some(store),
            Opened::Index(_) => None,
        }
    }
}

/// Opens the store that a URL names. Makes nothing.
///
/// # Errors
/// [`StoreError::Away`] where it is not there now; otherwise the store's trouble.
pub fn open(url: &StoreUrl, access: &Access, now: Timestamp) -> Result<Opened, StoreError> {
    Ok(match kind(url, access)? {
        Kind::Dir(path) => Opened::Objects(Box::new(DirStore::open(path, now)?)),
        Kind::Network(store) => Opened::Objects(store.open(now)?),
        Kind::Index(index) => Opened::Index(index),
    })
}

/// Begins the store that a URL names, or opens it where it was begun before: `store add`.
///
/// # Errors
/// [`StoreError::Refused`] where a store may not stand there; otherwise the store's trouble.
pub fn create(url: &StoreUrl, access: &Access, now: Timestamp) -> Result<Opened, StoreError> {
    Ok(match kind(url, access)? {
        Kind::Dir(path) => Opened::Objects(Box::new(DirStore::create(path, now)?)),
        Kind::Network(store) => Opened::Objects(store.create(now)?),
        Kind::Index(index) => {
            index.begin(now)?;
            Opened::Index(index)
        }
    })
}

/// Finds out what a store that was begun can really do, by doing it; `None` for a family that always can the same. What is
/// found goes into [`Access::found`].
///
/// # Errors
/// [`StoreError::Refused`] where it cannot do what every store must; otherwise the store's trouble.
pub fn try_out(url: &StoreUrl, access: &Access, now: Timestamp) -> Result<Option<Found>, StoreError> {
    match kind(url, access)? {
        Kind::Dir(_) | Kind::Index(_) => Ok(None),
        Kind::Network(store) => store.try_out(now).map(Some),
    }
}

/// Who a URL's store is spoken to by.
enum Kind<'a> {
    Dir(&'a std::path::Path),
    Network(Box<dyn object::Unopened>),
    Index(Box<dyn Index>),
}

fn kind<'a>(url: &'a StoreUrl, access: &Access) -> Result<Kind<'a>, StoreError> {
    Ok(match url {
        StoreUrl::Dir { path } => Kind::Dir(path),
        StoreUrl::S3(_) | StoreUrl::Gcs(_) | StoreUrl::Azblob(_) => {
            Kind::Network(object::cloud::unopened(url, access)?)
        }
        StoreUrl::WebDav(place) => Kind::Network(object::webdav::unopened(place, access)?),
        StoreUrl::Sftp(place) => Kind::Network(object::sftp::unopened(place, access)?),
        StoreUrl::Gemini(_) | StoreUrl::Chroma(_) => Kind::Index(index::open(url, access)?),
    })
}
