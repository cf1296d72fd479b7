//! Stores on a network: `s3:`, `gcs:`, `azblob:`, `webdav:`, `sftp:`.
//!
//! What they have in common stands here: the generation object, what may be concluded from "not there", what a taken key
//! means. How each family looks, reads, publishes and lists is a [`Backend`].
//!
//! # Only if absent
//! A key names a content, so two writers of one key write the same bytes, and the worst that a missing condition does is
//! that both believe to be the creator. Where the server decides "only if absent" in one step
//! ([`Capabilities::conditional_put`]: asked at `store add`, because some servers take the condition and ignore it) that is
//! used; elsewhere it is looked first and put then. Of small objects that nobody has ever found there, most are put without a
//! look ([`Looks`]): what such a put may write over is the same content, or a damaged one.
//!
//! # What an absence proves
//! An object that is absent is only said to be so after the generation object was read once more: a server may have lost
//! the disk behind it and serve an empty directory, a bucket may have been emptied and begun anew. Puts read it only when it
//! was not read for [`PROOF_GOOD_FOR`]: what they write is named by its content and harms nobody, and the families where an
//! empty directory can stand in for the store (WebDAV, SFTP) write through `.tmp/`, which only beginning a store makes.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Read;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use ulid::Ulid;

use super::generation::{self, GENERATION_OBJECT, MAX_GENERATION_BYTES};
use super::measured::Measured;
use super::{
    AwayReason, Capabilities, Deleted, Expect, Found, Generation, Listed, Listing, ObjectKey, ObjectStat,
    Put, Store, StoreError,
};

pub(super) mod cloud;
mod cut;
mod dal;
pub(super) mod sftp;
mod sort;
mod tree;
pub(super) mod webdav;

pub use cut::PartSizes;

/// For so long a put trusts that the store is still the one it was.
const PROOF_GOOD_FOR: Duration = Duration::from_secs(30);
/// An unfinished object that was begun so long ago is litter, unless something was added to it since.
const STALE_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Where unfinished files are, in families that have directories.
const TEMPORARY_DIRECTORY: &str = ".tmp";

/// What a look at a name found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// An object of so many bytes.
    Bytes(u64),
    /// Nothing.
    Absent,
    /// We may not know: S3 says so of what is not there to those who may not list.
    Hidden,
}

/// How publishing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Published {
    /// The name is this content's.
    Created,
    /// And the server said a hash of it that is right.
    Proved,
    /// The name was taken, and is still the other's.
    Taken,
}

/// How "only if absent" is to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// The server cannot: it was looked first.
    Looked,
    /// By the server, which was found to do it.
    Asked,
    /// By the server, or not at all: this is how it is found out.
    Proved,
}

/// Names with their sizes, in order; also of things that are no objects.
type Names<'a> = Box<dyn Iterator<Item = Result<(String, u64), StoreError>> + Send + 'a>;

/// One family's way of doing things. Names are keys, or the store's own names, which begin with a dot.
trait Backend: Send + Sync + fmt::Debug {
    /// The store's canonical URL.
    fn describe(&self) -> String;
    fn capabilities(&self) -> Capabilities;
    /// Whether publishing without a condition puts the same bytes in the place of what is there, in one step and harmlessly.
    fn may_replace(&self) -> bool;
    fn look(&self, name: &str) -> Result<Look, StoreError>;
    /// `None` where it is not there.
    fn read(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError>;
    /// So many bytes from `start` on; `None` where it is not there.
    fn read_part(
        &self,
        name: &str,
        start: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, StoreError>;
    /// Makes an object of the content, durable, in one step.
    fn publish(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        condition: Condition,
    ) -> Result<Published, StoreError>;
    fn remove(&self, name: &str) -> Result<(), StoreError>;
    fn names(&self, prefix: &str) -> Result<Names<'_>, StoreError>;
    /// Makes the place for a store where that can be made. Only on a person's word.
    fn make_place(&self) -> Result<(), StoreError>;
    /// The name of something in the place that is not ours, where there is something.
    fn stranger(&self) -> Result<Option<String>, StoreError>;
    /// Why "no generation object" may mean that the store is away rather than wiped; `None` where it cannot.
    fn absence(&self) -> Result<Option<AwayReason>, StoreError>;
    /// What stands under `.tmp/`, in families that have directories.
    fn unfinished(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
    /// Takes away what was being put together and has got nothing more since then, in families that list it.
    fn clear_unfinished(&self, _since: Timestamp) -> Result<(), StoreError> {
        Ok(())
    }
    /// What the server says the time is.
    fn server_time(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// A store on a network that nobody has asked for yet.
pub(super) trait Unopened {
    /// Opens it. Makes nothing.
    fn open(self: Box<Self>, now: Timestamp) -> Result<Box<dyn Store>, StoreError>;
    /// Begins it, or opens the one that is there.
    fn create(self: Box<Self>, now: Timestamp) -> Result<Box<dyn Store>, StoreError>;
    /// Finds out what it can do.
    fn try_out(self: Box<Self>, now: Timestamp) -> Result<Found, StoreError>;
}

impl<B: Backend + 'static> Unopened for B {
    fn open(self: Box<Self>, now: Timestamp) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(ObjectStore::open(*self, now)?))
    }

    fn create(self: Box<Self>, now: Timestamp) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(ObjectStore::create(*self, now)?))
    }

    fn try_out(self: Box<Self>, now: Timestamp) -> Result<Found, StoreError> {
        ObjectStore::open(*self, now)?.try_out(now)
    }
}

/// A store on a network.
#[derive(Debug)]
pub(super) struct ObjectStore<B> {
    backend: B,
    /// The generation it was opened as; none where it was found wiped, until it is begun anew.
    known: OnceLock<Generation>,
    proved: Mutex<Instant>,
    writing: Writing,
    looks: Looks,
}

/// Whether it is worth while to look before a small object is put. Where nothing was found the last times, nothing will be,
/// and a look costs as much as the put; where a store holds what a lost catalogue gave it, a look saves sending it again.
#[derive(Debug, Default)]
struct Looks {
    /// Looks that found nothing since one that found something.
    vain: AtomicU32,
    puts: AtomicU32,
}

impl Looks {
    /// So many looks have to be in vain before one is saved.
    const CONVINCED: u32 = 16;
    /// Of so many puts one is looked for all the same.
    const DOUBT: u32 = 32;
    /// What is larger is always looked for.
    const SMALL_BYTES: u64 = 1 << 20;

    fn is_worth_while(&self, bytes: u64) -> bool {
        bytes > Self::SMALL_BYTES
            || self.vain.load(Ordering::Relaxed) < Self::CONVINCED
            || self.puts.fetch_add(1, Ordering::Relaxed).is_multiple_of(Self::DOUBT)
    }

    fn found(&self, something: bool) {
        match something {
            true => self.vain.store(0, Ordering::Relaxed),
            false => _ = self.vain.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// Keys that are being written by this process. Of two threads with one key the second waits and then finds it taken, instead
/// of sending the same bytes, and of being refused by servers that lock what is being written (WebDAV's 423).
#[derive(Debug, Default)]
struct Writing {
    keys: Mutex<BTreeSet<ObjectKey>>,
    ended: Condvar,
}

/// While it is held, nobody else in this process writes the key.
struct WritingOne<'a> {
    writing: &'a Writing,
    key: &'a ObjectKey,
}

impl Writing {
    fn begin<'a>(&'a self, key: &'a ObjectKey) -> WritingOne<'a> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        while !keys.insert(key.clone()) {
            keys = self.ended.wait(keys).unwrap_or_else(PoisonError::into_inner);
        }
        WritingOne { writing: self, key }
    }
}

impl Drop for WritingOne<'_> {
    fn drop(&mut self) {
        self.writing.keys.lock().unwrap_or_else(PoisonError::into_inner).remove(self.key);
        self.writing.ended.notify_all();
    }
}

#[expect(private_bounds, reason = "what a backend is, is this room's own business")]
impl<B: Backend> ObjectStore<B> {
    /// Opens a store. Makes nothing; clears away what writers left unfinished more than [`STALE_AFTER`] before `now`.
    fn open(backend: B, now: Timestamp) -> Result<Self, StoreError> {
        let store = ObjectStore {
            backend,
            known: OnceLock::new(),
            proved: Mutex::new(Instant::now()),
            writing: Writing::default(),
            looks: Looks::default(),
        };
        match store.read_generation()? {
            Some(generation) => {
                let _ = store.known.set(generation);
            }
            None => {
                if let Some(reason) = store.backend.absence()? {
                    return Err(store.away(reason));
                }
            }
        }
        if let Err(error) = store.clear_stale(now) {
            // Litter is no reason not to open a store.
            tracing::debug!(store = store.backend.describe(), %error, "cannot clear stale unfinished objects");
        }
        Ok(store)
    }

    fn clear_stale(&self, now: Timestamp) -> Result<(), StoreError> {
        for name in self.backend.unfinished()? {
            // The name says when it was begun. Only names that we give: a person may have put something there.
            let Some(begun) = begun_by(&name) else { continue };
            let age_ms = now.as_millisecond() - i64::try_from(begun.timestamp_ms()).unwrap_or(i64::MAX);
            if age_ms > i64::try_from(STALE_AFTER.as_millis()).unwrap_or(i64::MAX) {
                self.backend.remove(&format!("{TEMPORARY_DIRECTORY}/{name}"))?;
            }
        }
        match now.checked_sub(STALE_AFTER) {
            Ok(since) => self.backend.clear_unfinished(since),
            Err(_) => Ok(()), // nothing is older than time
        }
    }

    /// Begins a store, or opens the one that is there.
    fn create(backend: B, now: Timestamp) -> Result<Self, StoreError> {
        let store = ObjectStore {
            backend,
            known: OnceLock::new(),
            proved: Mutex::new(Instant::now()),
            writing: Writing::default(),
            looks: Looks::default(),
        };
        store.begin(now)?;
        Ok(store)
    }

    fn begin(&self, now: Timestamp) -> Result<Generation, StoreError> {
        let generation = match self.read_generation()? {
            Some(generation) => generation,
            None => {
                self.backend.make_place()?;
                if let Some(name) = self.backend.stranger()? {
                    return Err(self.refused("be begun", format!("its place holds {name:?} and no store")));
                }
                self.write_generation(now)?
            }
        };
        let _ = self.known.set(generation);
        Ok(generation)
    }

    fn write_generation(&self, now: Timestamp) -> Result<Generation, StoreError> {
        let text = generation::render(&Generation::begin(now));
        let key = "generation".parse().expect("a key that only error messages show");
        let expect = Expect::of(&text);
        let publish = |condition| {
            let mut content = text.as_slice();
            self.backend.publish(
                GENERATION_OBJECT,
                &mut Measured::new(&key, &mut content, &expect),
                condition,
            )
        };
        match publish(Condition::Asked) {
            // It does not even take the condition.
            Err(StoreError::Refused { .. }) => publish(Condition::Looked)?,
            published => published?,
        };
        // Two devices may have begun it at the same moment; what stands there now holds for both.
        self.read_generation()?.ok_or_else(|| self.away(AwayReason::NoStoreInRoot))
    }

    fn read_generation(&self) -> Result<Option<Generation>, StoreError> {
        let Some(reader) = self.backend.read(GENERATION_OBJECT)? else { return Ok(None) };
        let mut text = Vec::new();
        reader.take(MAX_GENERATION_BYTES).read_to_end(&mut text).map_err(|source| StoreError::Io {
            store: self.backend.describe(),
            doing: "read its generation object".to_owned(),
            source,
        })?;
        generation::parse(&self.backend.describe(), &text).map(Some)
    }

    /// Reads which store this is now, and holds it against the one that was opened.
    fn prove(&self) -> Result<(), StoreError> {
        let Some(found) = self.read_generation()? else {
            return Err(self.away(self.backend.absence()?.unwrap_or(AwayReason::NoStoreInRoot)));
        };
        match self.known.get() {
            Some(known) if *known == found => {
                *self.proved.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                Ok(())
            }
            // Found wiped when it was opened, and begun by another device since.
            None => Err(self.away(AwayReason::NoStoreInRoot)),
            Some(known) => Err(StoreError::GenerationChanged {
                store: self.backend.describe(),
                known: Box::new(*known),
                found: Box::new(found),
            }),
        }
    }

    fn prove_now_and_then(&self) -> Result<(), StoreError> {
        let proved = *self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        if self.known.get().is_some() && proved.elapsed() < PROOF_GOOD_FOR { Ok(()) } else { self.prove() }
    }

    fn look(&self, key: &ObjectKey) -> Result<Option<u64>, StoreError> {
        match self.backend.look(key.as_str())? {
            Look::Bytes(bytes) => Ok(Some(bytes)),
            // Whose keys are right for the generation object and not for this one: it is not there, or not for us to see.
            Look::Absent | Look::Hidden => Ok(None),
        }
    }

    /// What a taken key means for a put: see [`Store::put_if_absent`].
    fn already_there(&self, key: &ObjectKey, found: u64, expect: &Expect) -> Result<Put, StoreError> {
        if found == expect.bytes {
            return Ok(Put::AlreadyThere);
        }
        let reason = format!("it has {found} bytes where {} are expected", expect.bytes);
        Err(StoreError::Corrupt { store: self.backend.describe(), what: format!("object {key}"), reason })
    }

    fn away(&self, reason: AwayReason) -> StoreError {
        StoreError::Away { store: self.backend.describe(), reason, source: None }
    }

    fn refused(&self, doing: &str, reason: String) -> StoreError {
        StoreError::Refused { store: self.backend.describe(), doing: doing.to_owned(), reason, source: None }
    }

    /// Finds out what the store can really do.
    ///
    /// A server may take a condition and ignore it, list what it had a minute ago, or answer reads with something else: all
    /// of that is only seen by trying. What was made for it is deleted again, also where the probe fails.
    fn try_out(&self, now: Timestamp) -> Result<Found, StoreError> {
        let ahead_ms =
            self.backend.server_time()?.map(|server| server.as_millisecond() - now.as_millisecond());
        let place = format!("probe/{}", Ulid::from_datetime(now.into()).to_string().to_lowercase());
        // In the order in which they are to be listed: '-' sorts before '/', and both before letters.
        let names = ["a-1", "a/1", "a1"].map(|name| format!("{place}/{name}"));
        let tried = self.try_names(&names, &place);
        for name in &names {
            if let Err(error) = self.backend.remove(name) {
                tracing::debug!(name, %error, "an object of the probe stays");
                if tried.is_ok() {
                    return Err(error);
                }
            }
        }
        let (conditional_put, lists_in_order) = tried?;
        if let Look::Bytes(_) = self.backend.look(&names[0])? {
            return Err(self.refused("be used", "what is deleted there stays".to_owned()));
        }
        Ok(Found { conditional_put, lists_in_order, clock_ahead_ms: ahead_ms })
    }

    fn try_names(&self, names: &[String; 3], place: &str) -> Result<(bool, bool), StoreError> {
        let put = |name: &str, content: &[u8], condition: Condition| {
            let key: ObjectKey = name.parse().expect("made of what keys are made of");
            let (mut reader, expect) = (content, Expect::of(content));
            self.backend.publish(name, &mut Measured::new(&key, &mut reader, &expect), condition)
        };
        for name in &names[1..] {
            put(name, b"first", Condition::Looked)?;
        }
        let conditional = match put(&names[0], b"first", Condition::Proved) {
            Ok(Published::Created | Published::Proved) => {
                put(&names[0], b"other", Condition::Proved).map(|put| put == Published::Taken)
            }
            Ok(Published::Taken) => Ok(false),
            Err(error) => Err(error),
        };
        let conditional = match conditional {
            Ok(conditional) => conditional,
            // It does not even take the condition.
            Err(StoreError::Refused { .. }) => {
                put(&names[0], b"first", Condition::Looked)?;
                false
            }
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        if let Some(reader) = self.backend.read(&names[0])? {
            reader.take(64).read_to_end(&mut bytes).map_err(|source| StoreError::Io {
                store: self.backend.describe(),
                doing: "read the probe back".to_owned(),
                source,
            })?;
        }
        if bytes != b"first" && (conditional || bytes != b"other") {
            return Err(self.refused("be used", "it gives other bytes back than it was given".to_owned()));
        }
        let listed: Vec<String> = self
            .backend
            .names(&format!("{place}/"))?
            .map(|item| item.map(|(name, _)| name))
            .collect::<Result<_, _>>()?;
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        if sorted != names {
            return Err(self.refused("be used", "it does not list what was put a moment ago".to_owned()));
        }
        Ok((conditional, sorted == listed))
    }
}

impl<B: Backend> Store for ObjectStore<B> {
    fn describe(&self) -> String {
        self.backend.describe()
    }

    fn capabilities(&self) -> Capabilities {
        self.backend.capabilities()
    }

    fn put_if_absent(
        &self,
        key: &ObjectKey,
        content: &mut dyn Read,
        expect: &Expect,
    ) -> Result<Put, StoreError> {
        self.prove_now_and_then()?;
        let _writing = self.writing.begin(key);
        let capabilities = self.capabilities();
        let spared = capabilities.conditional_put || self.backend.may_replace();
        if !spared || self.looks.is_worth_while(expect.bytes) {
            let found = self.look(key)?;
            self.looks.found(found.is_some());
            if let Some(found) = found {
                return self.already_there(key, found, expect);
            }
        }
        if let Some(most) = capabilities.max_object_bytes.filter(|most| *most < expect.bytes) {
            return Err(
                self.refused("take object", format!("{key} has {} bytes, {most} are the most", expect.bytes))
            );
        }
        let conditional = capabilities.conditional_put;
        let condition = if conditional { Condition::Asked } else { Condition::Looked };
        let mut content = Measured::new(key, content, expect);
        match self.backend.publish(key.as_str(), &mut content, condition)? {
            Published::Created => Ok(Put::Created),
            Published::Proved => Ok(Put::Proved),
            Published::Taken => match self.look(key)? {
                Some(found) => {
                    self.looks.found(true);
                    self.already_there(key, found, expect)
                }
                // Made by one writer and deleted by another while we wrote: nobody is wrong, the channel tries again.
                None => Err(StoreError::Busy {
                    store: self.describe(),
                    retry_after: None,
                    source: std::io::Error::other(format!("object {key} comes and goes")),
                }),
            },
        }
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectStat>, StoreError> {
        let Some(bytes) = self.look(key)? else { return self.prove().map(|()| None) };
        Ok(Some(ObjectStat { bytes, hash: None }))
    }

    fn get(&self, key: &ObjectKey) -> Result<Box<dyn Read + Send>, StoreError> {
        match self.backend.read(key.as_str())? {
            Some(reader) => Ok(reader),
            None => {
                self.prove()?;
                Err(StoreError::NoSuchObject { store: self.describe(), key: key.clone() })
            }
        }
    }

    fn get_part(&self, key: &ObjectKey, start: u64, bytes: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        match self.backend.read_part(key.as_str(), start, bytes)? {
            Some(reader) => Ok(reader),
            None => {
                self.prove()?;
                Err(StoreError::NoSuchObject { store: self.describe(), key: key.clone() })
            }
        }
    }

    fn list(&self, prefix: &str) -> Result<Listing<'_>, StoreError> {
        self.prove()?;
        // No key begins so, and some of these would leave the store's place.
        if prefix.starts_with(['/', '.']) || prefix.contains("//") || prefix.contains("/.") {
            return Ok(Box::new(std::iter::empty()));
        }
        let objects = self.backend.names(prefix)?.filter_map(|item| match item {
            // The store's own names, and other people's.
            Ok((name, bytes)) => name.parse().ok().map(|key| Ok(Listed { key, bytes })),
            Err(error) => Some(Err(error)),
        });
        // A place that was emptied or swapped while it was listed has not told all.
        let proof = std::iter::once_with(|| self.prove()).filter_map(|proved| proved.err().map(Err));
        Ok(Box::new(UntilError { items: objects.chain(proof), ended: false }))
    }

    fn delete(&self, key: &ObjectKey) -> Result<Deleted, StoreError> {
        match self.backend.look(key.as_str())? {
            Look::Absent => self.prove().map(|()| Deleted::WasAbsent),
            // What we may not know of is deleted, if it is there.
            Look::Bytes(_) | Look::Hidden => self.backend.remove(key.as_str()).map(|()| Deleted::Deleted),
        }
    }

    fn generation(&self) -> Result<Option<Generation>, StoreError> {
        match self.read_generation()? {
            Some(generation) => Ok(Some(generation)),
            None => match self.backend.absence()? {
                Some(reason) => Err(self.away(reason)),
                None => Ok(None),
            },
        }
    }

    fn start_generation(&self, now: Timestamp) -> Result<Generation, StoreError> {
        match self.read_generation()? {
            Some(generation) => Ok(generation),
            None => match self.backend.absence()? {
                // The disk behind the server may be unplugged: beginning there is `store add`'s.
                Some(reason) => Err(self.away(reason)),
                None => self.begin(now),
            },
        }
    }
}

/// Whose a name under `.tmp/` is, and so since when: `ULID`, or `ULID-` and more.
fn begun_by(name: &str) -> Option<Ulid> {
    Ulid::from_string(name.split('-').next()?).ok()
}

/// Ends after the first error.
struct UntilError<I> {
    items: I,
    ended: bool,
}

impl<T, I: Iterator<Item = Result<T, StoreError>>> Iterator for UntilError<I> {
    type Item = Result<T, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.items.next();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}
