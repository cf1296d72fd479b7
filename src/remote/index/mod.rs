//! Stores that read what they are given and can be asked about it: `gemini:`, `chroma:`.
//!
//! They differ from [`super::Store`] in what the engine has to know. They are given a document with its card, not bytes
//! under a key; they cut it up and find it by meaning; what they hold of it has a name that they choose ([`RemoteName`]), so
//! that a lost answer is a lost name, and has to be looked for by what we wrote beside it ([`Index::locate`]); and an object
//! that they took can be found only some time later, or never ([`Readiness`]).
//!
//! What is absent, on purpose: nothing here gives a document back as it was. An index is asked; a content is fetched from a
//! disk or a [`super::Store`].

mod chroma;
pub mod embed;
mod json;

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use ulid::Ulid;

pub use answers::{Answer, Answers, Passage, Support};

use super::{Access, Capabilities, Deleted, Identity, ObjectKey, StoreError, StoreUrl};
use crate::model::Field;

pub mod answers;
mod gemini;

/// What an index calls an object: `fileSearchStores/S/documents/D`. Never made up by us, never empty.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

impl RemoteName {
    /// What an index answered, or what the ledger kept of it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        RemoteName(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A document on its way into an index.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The key that it would have in a store where we choose names: it says the content (and the [`Index::manner`]). It
    /// travels beside the document, and is what a lost answer is looked for by.
    pub key: &'a ObjectKey,
    /// Which document.
    pub document: Ulid,
    /// What people call it.
    pub title: &'a str,
    /// What is on its card: the fields that stores are given.
    pub fields: &'a BTreeMap<Field, Vec<String>>,
    /// Its enriched content, whose hash is in the key: front matter, then the text.
    pub content: &'a str,
    /// The text alone; empty where a document leaves without its content.
    pub text: &'a str,
}

/// How far an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It can be found.
    Searchable,
    /// It was taken, and cannot be found yet.
    NotYet,
    /// The index says that it could not read it, and why. Some say so of objects that can be found a minute later: the caller
    /// decides how long it goes on looking.
    Failed(String),
    /// There is no such object.
    Gone,
}

/// What an index says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How far it is.
    pub readiness: Readiness,
    /// When the index will forget it by itself, where it does that.
    pub expires_at: Option<Timestamp>,
}

/// One object of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// What the index calls it.
    pub name: RemoteName,
    /// The key that was written beside it; none where somebody else made it.
    pub key: Option<ObjectKey>,
    /// How far it is.
    pub readiness: Readiness,
}

/// A store that names its objects itself. Calls block; any number of threads may call at once.
///
/// Trouble is told as everywhere ([`StoreError`], [`super::ErrorClass`]). Nothing here retries, and nothing waits for an object
/// to become searchable: both are the channel's business.
pub trait Index: Send + Sync + fmt::Debug {
    /// The store's canonical URL, for people and logs; names no secret.
    fn describe(&self) -> String;

    /// What it can do. The same answer every time.
    fn capabilities(&self) -> Capabilities;

    /// How it reads what it is given, where that can change: eight hex digits of the embedding model and of how texts are cut
    /// up. It is part of every key, so that a new manner means that everything is given anew, beside the old (T2).
    fn manner(&self) -> Option<String>;

    /// Which store this is, read now; `None` where it is reachable and there is none.
    ///
    /// # Errors
    /// The store's trouble.
    fn identity(&self) -> Result<Option<Identity>, StoreError>;

    /// Begins it where there is none. Only on a person's word (T7).
    ///
    /// # Errors
    /// [`StoreError::Refused`] where something else stands in its place; otherwise the store's trouble.
    fn begin(&self, now: Timestamp) -> Result<Identity, StoreError>;

    /// Gives it a document. Where this returns without error the index has the whole of it, under the name it answers. Where
    /// it does not, the index may have it all the same: [`Index::locate`] is asked before it is given again.
    ///
    /// # Errors
    /// The store's trouble; [`StoreError::Refused`] where it will never take this document.
    fn put(&self, entry: &Entry<'_>) -> Result<RemoteName, StoreError>;

    /// What the index has under each of these keys, the best first (searchable before not yet before failed, then the newest).
    ///
    /// # Errors
    /// The store's trouble; never an incomplete answer.
    fn locate(&self, keys: &[&ObjectKey]) -> Result<Vec<Vec<RemoteName>>, StoreError> {
        let found = self.locate_while(keys, &|| true)?;
        Ok(found.expect("it goes on to its end where nobody ends it"))
    }

    /// As [`Index::locate`], which may be as expensive as a complete list; asked for many keys at once for that reason. `None`
    /// where `goes_on` has said no meanwhile.
    ///
    /// # Errors
    /// The store's trouble.
    fn locate_while(
        &self,
        keys: &[&ObjectKey],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<RemoteName>>>, StoreError>;

    /// How far an object is that is this document, as far as the index lets it be proved: the key beside it, its length, its
    /// texts read back. `None` where it is something else, half of it, or nothing.
    ///
    /// # Errors
    /// The store's trouble.
    fn prove(&self, name: &RemoteName, entry: &Entry<'_>) -> Result<Option<Standing>, StoreError>;

    /// Whether a name is of a former life of this store, or of another that was called the same: what it stands for is not
    /// looked at when the store is filled again, and not deleted to make room for it (T7).
    ///
    /// # Errors
    /// The store's trouble.
    fn is_former(&self, _name: &RemoteName) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// How far an object is.
    ///
    /// # Errors
    /// The store's trouble.
    fn standing(&self, name: &RemoteName) -> Result<Standing, StoreError>;

    /// Deletes an object with all that was made of it. Deleting what is not there is no error.
    ///
    /// # Errors
    /// The store's trouble.
    fn remove(&self, name: &RemoteName) -> Result<Deleted, StoreError>;

    /// All that was to be given in the present manner has been: what of a former manner is not needed any more can go, and what
    /// people ask becomes the present one. Asked after a queue was drained; may be asked at any time, by any device, and looks
    /// for itself whether it is so.
    ///
    /// # Errors
    /// The store's trouble; nothing is worse than before then.
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// All objects, other people's too, of the present manner and of former ones.
    ///
    /// # Errors
    /// The store's trouble, also as an item; an item that is an error is the last one.
    fn list(&self) -> Result<IndexListing<'_>, StoreError>;

    /// Itself, where it answers questions in words.
    fn answers(&self) -> Option<&dyn Answers> {
        None
    }
}

/// Objects as an index lists them, in no order.
pub type IndexListing<'a> = Box<dyn Iterator<Item = Result<Indexed, StoreError>> + Send + 'a>;

/// A question to an index that finds by meaning.
pub struct Question<'a> {
    /// In a person's words.
    pub text: &'a str,
    /// What documents must say.
    pub only: Only<'a>,
    /// Which objects may be answered: not former contents that wait for the clean-up.
    pub wanted: &'a dyn Fn(&RemoteName) -> bool,
    /// At most so many documents.
    pub limit: usize,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("text", &self.text).field("only", &self.only).finish_non_exhaustive()
    }
}

/// What a document's card must say, in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only<'a> {
    /// Its source type.
    pub source_type: Option<&'a str>,
    /// Its authority tier.
    pub tier: Option<&'a str>,
    /// Its language.
    pub language: Option<&'a str>,
    /// Tags that it must all have.
    pub tags: Vec<String>,
}

/// A document near a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// Which document.
    pub document: Ulid,
    /// What the index calls the content that was found.
    pub name: RemoteName,
    /// How near: 1 is the same direction, 0 is none.
    pub nearness: f64,
    /// The piece of its text that lies nearest.
    pub text: String,
}

/// An index that finds documents by what they mean.
pub trait ByMeaning: Send + Sync + fmt::Debug {
    /// As [`Index::identity`].
    ///
    /// # Errors
    /// The store's trouble.
    fn identity(&self) -> Result<Option<Identity>, StoreError>;

    /// The nearest documents, the nearest first, one hit each. Only those that were given in the present manner are found.
    ///
    /// # Errors
    /// The store's trouble, or of what makes embeddings.
    fn nearest(&self, question: &Question<'_>) -> Result<Vec<Near>, StoreError>;
}

/// A way to ask the store that a URL names by meaning; `None` where its family cannot be asked so.
///
/// # Errors
/// [`StoreError::Refused`] where its URL does not say enough, or what makes embeddings is not there.
pub fn by_meaning(url: &StoreUrl, access: &Access) -> Result<Option<Box<dyn ByMeaning>>, StoreError> {
    Ok(match url {
        StoreUrl::Chroma(address) => Some(Box::new(chroma::Chroma::open(url, address, access)?)),
        _ => None,
    })
}

/// A way to the index that a URL names. Asks it nothing yet.
pub(super) fn open(url: &StoreUrl, access: &Access) -> Result<Box<dyn Index>, StoreError> {
    match url {
        StoreUrl::Gemini(place) => Ok(Box::new(gemini::Gemini::new(place, access)?)),
        StoreUrl::Chroma(address) => Ok(Box::new(chroma::Chroma::open(url, address, access)?)),
        _ => Err(StoreError::Refused {
            store: url.to_string(),
            doing: "be opened".to_owned(),
            reason: "we name the objects of such a store".to_owned(),
            source: None,
        }),
    }
}
