//! Object stores: `s3:`, `gcs:`, `azblob:`.
//!
//! What fits into memory is sent in one request; what does not, in parts, which become an object only when they are put
//! together, after the content was proved. So nothing is ever visible that is not the expected content. What an interruption
//! leaves of parts is invisible, and taken up again by whoever sends the content next ([`parts`]).
//!
//! The storage library does everything but that: it does not tell what its uploads are called.

use std::fmt::Write;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use md5::{Digest, Md5};
use opendal::options::WriteOptions;
use opendal::{Buffer, ErrorKind};
use tokio::sync::Semaphore;

use super::cut::Cut;
use super::dal::Dal;
use super::{
    Backend, Condition, GENERATION_OBJECT, Look, Names, PartSizes, Published, TEMPORARY_DIRECTORY, Unopened,
};
use crate::remote::credentials::Access;
use crate::remote::generation::is_litter;
use crate::remote::http::{Call, Http};
use crate::remote::measured::Measured;
use crate::remote::runtime::Waiter;
use crate::remote::{AwayReason, Capabilities, StoreError, StoreUrl};
use parts::Dialect;

mod blocks;
mod families;
mod parts;
mod signed;
mod xml;

const PIECE_BYTES: usize = 256 << 10;
/// Parts of one object on their way at once.
const PARTS_AT_ONCE: usize = 2;
/// All contents in memory at once, in units of [`ROOM_UNIT`].
const ROOM_UNITS: usize = 64 << 10;
const ROOM_UNIT: u64 = 1 << 10;
/// Small objects wait for answers more than for bytes.
const PARALLEL: usize = 16;

/// An object store.
#[derive(Debug)]
pub(in crate::remote) struct Cloud {
    dal: Dal,
    conditional_put: bool,
    lists_in_order: bool,
    max_object_bytes: u64,
    /// How uploads in parts are spoken of; none where that is left to the storage library.
    dialect: Option<Box<dyn Dialect>>,
    sizes: PartSizes,
    /// Uploads that the server listed, and that could not be gone on with.
    over: parts::Over,
    /// Contents in memory: many small ones, or a few large ones.
    room: Arc<Semaphore>,
}

/// The store, not asked for yet.
pub(in crate::remote) fn unopened(url: &StoreUrl, access: &Access) -> Result<Box<dyn Unopened>, StoreError> {
    Ok(Box::new(Cloud::new(url, access)?))
}

impl Cloud {
    fn new(url: &StoreUrl, access: &Access) -> Result<Self, StoreError> {
        let store = url.to_string();
        let waiter = Waiter::new().map_err(|source| StoreError::Io {
            store: store.clone(),
            doing: "be opened".to_owned(),
            source,
        })?;
        let http = Http::new(access.patience);
        let family = families::family(url, access, &store, &http, waiter)?;
        let operator = family.operator.map_err(|error| StoreError::Refused {
            store: store.clone(),
            doing: "be opened".to_owned(),
            reason: error.message().to_owned(),
            source: None,
        })?;
        let found = access.found.unwrap_or_default();
        Ok(Cloud {
            dal: Dal { operator, http, waiter, store },
            conditional_put: found.conditional_put,
            lists_in_order: found.lists_in_order,
            max_object_bytes: match url {
                // 50,000 blocks of up to 4,000 MiB; the other two stop at 5 TiB.
                StoreUrl::Azblob(_) => 190 << 40,
                _ => 5 << 40,
            },
            dialect: family.dialect,
            sizes: access.parts,
            over: parts::Over::default(),
            room: Arc::new(Semaphore::new(ROOM_UNITS)),
        })
    }

    fn publish_whole(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        options: WriteOptions,
    ) -> Result<Published, StoreError> {
        let body = pieces(content, content.expected_bytes())?;
        // A piece more is asked for: only then is the content proved.
        if content.next(PIECE_BYTES)?.is_some() {
            unreachable!("all that was expected was read");
        }
        let hash = md5(&body);
        let (operator, call) = self.dal.begin();
        match self.dal.waiter.wait(operator.write_options(name, body, options)) {
            Ok(said) => Ok(proved(said.etag(), &hash, 0)),
            Err(error) => self.not_written(name, &call, &error),
        }
    }

    fn publish_in_parts(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        condition: Condition,
        cut: Cut,
    ) -> Result<Published, StoreError> {
        let only_if_absent = condition != Condition::Looked;
        match &self.dialect {
            Some(dialect) => {
                let sender = parts::Sender {
                    dialect: &**dialect,
                    waiter: self.dal.waiter,
                    store: &self.dal.store,
                    name,
                    cut,
                };
                sender.publish(content, only_if_absent, &self.over)
            }
            None => self.publish_by_the_library(name, content, only_if_absent, cut),
        }
    }

    /// As it was before uploads were taken up again: what is interrupted is sent anew.
    fn publish_by_the_library(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        only_if_absent: bool,
        cut: Cut,
    ) -> Result<Published, StoreError> {
        let (operator, call) = self.dal.begin();
        let waiter = self.dal.waiter;
        // Each write is a part: without a chunk size nothing is gathered once more.
        let options = WriteOptions {
            if_not_exists: only_if_absent,
            concurrent: PARTS_AT_ONCE,
            ..WriteOptions::default()
        };
        let mut writer = match waiter.wait(operator.writer_options(name, options)) {
            Ok(writer) => writer,
            Err(error) => return self.not_written(name, &call, &error),
        };
        let (mut hashes, mut parts) = (Md5::new(), 0);
        let sent = loop {
            match pieces(content, cut.part_bytes) {
                Ok(part) if part.is_empty() => match waiter.wait(writer.close()) {
                    Ok(said) => return Ok(proved(said.etag(), &hashes.finalize().into(), parts)),
                    Err(error) => break self.not_written(name, &call, &error),
                },
                Ok(part) => {
                    hashes.update(md5(&part));
                    parts += 1;
                    if let Err(error) = waiter.wait(writer.write(part)) {
                        break self.not_written(name, &call, &error);
                    }
                }
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = waiter.wait(writer.abort()) {
            tracing::debug!(store = self.dal.store, name, kind = %error.kind(), "parts of an upload stay");
        }
        sent
    }

    fn not_written(&self, name: &str, call: &Call, error: &opendal::Error) -> Result<Published, StoreError> {
        match error.kind() {
            ErrorKind::ConditionNotMatch | ErrorKind::AlreadyExists => Ok(Published::Taken),
            _ => Err(self.dal.error(call, error, || format!("write object {name}"))),
        }
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn md5(body: &Buffer) -> [u8; 16] {
    let mut hasher = Md5::new();
    body.clone().for_each(|piece| hasher.update(&piece));
    hasher.finalize().into()
}

/// What the server said of what it took, held against what was sent: S3's `ETag` is the MD5 of an object that came in one
/// request, and of its parts' hashes, with their number, of one that came in parts. Servers that encrypt with keys of their own
/// say something else: then the object is read back, as anywhere.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>
fn proved(etag: Option<&str>, hash: &[u8; 16], parts: u32) -> Published {
    let mut expected = hex(hash);
    if parts > 0 {
        let _ = write!(expected, "-{parts}");
    }
    match etag.map(|etag| etag.trim_matches('"')) {
        Some(etag) if etag.eq_ignore_ascii_case(&expected) => Published::Proved,
        _ => Published::Created,
    }
}

/// The next so many bytes of a content, in pieces that an allocator gives back to the system when they are freed: blocks of
/// megabytes stay with the thread that had them. Fewer at the end; none once all has been read and proved.
fn pieces(content: &mut Measured<'_>, bytes: u64) -> Result<Buffer, StoreError> {
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut left = bytes;
    while left > 0
        && let Some(piece) = content.next(PIECE_BYTES.min(usize::try_from(left).unwrap_or(PIECE_BYTES)))?
    {
        left -= piece.len() as u64;
        pieces.push(piece);
    }
    Ok(Buffer::from(pieces))
}

impl Backend for Cloud {
    fn describe(&self) -> String {
        self.dal.store.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: true,
            conditional_put: self.conditional_put,
            server_hash: false,
            needs_searchable: false,
            max_object_bytes: Some(self.max_object_bytes),
            parallel: PARALLEL,
        }
    }

    fn may_replace(&self) -> bool {
        true // A whole object takes the place of a whole object.
    }

    fn look(&self, name: &str) -> Result<Look, StoreError> {
        self.dal.look(name)
    }

    fn read(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.dal.read(name, ..)
    }

    fn read_part(
        &self,
        name: &str,
        start: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.dal.read(name, start..start + bytes)
    }

    fn publish(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        condition: Condition,
    ) -> Result<Published, StoreError> {
        let bytes = content.expected_bytes();
        let cut = Cut::of(bytes, self.sizes);
        let whole = bytes <= self.sizes.single_bytes;
        let in_memory = if whole { bytes } else { cut.part_bytes * (PARTS_AT_ONCE as u64 + 2) };
        let units = usize::try_from(in_memory.div_ceil(ROOM_UNIT)).unwrap_or(ROOM_UNITS).min(ROOM_UNITS);
        let _room = self
            .dal
            .waiter
            .wait(self.room.acquire_many(u32::try_from(units).expect("at most ROOM_UNITS")))
            .expect("it is never closed");
        if whole {
            let if_not_exists = condition != Condition::Looked;
            self.publish_whole(name, content, WriteOptions { if_not_exists, ..WriteOptions::default() })
        } else {
            self.publish_in_parts(name, content, condition, cut)
        }
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.dal.remove(name)
    }

    fn names(&self, prefix: &str) -> Result<Names<'_>, StoreError> {
        let directory = prefix.rfind('/').map_or("", |slash| &prefix[..=slash]);
        let prefix = prefix.to_owned();
        let names = self
            .dal
            .all_below(directory)?
            .filter(move |item| item.as_ref().map_or(true, |(name, _)| name.starts_with(&prefix)));
        if self.lists_in_order {
            return Ok(Box::new(names));
        }
        let mut all: Vec<(String, u64)> = Vec::new();
        for item in names {
            all.push(item?);
        }
        all.sort_unstable();
        Ok(Box::new(all.into_iter().map(Ok)))
    }

    fn make_place(&self) -> Result<(), StoreError> {
        Ok(()) // A prefix is no thing, and buckets are made by those who pay for them.
    }

    fn stranger(&self) -> Result<Option<String>, StoreError> {
        Ok(self.dal.entries("")?.into_iter().map(|entry| entry.name).find(|name| !is_ours(name)))
    }

    fn absence(&self) -> Result<Option<AwayReason>, StoreError> {
        Ok(None) // The server says it of a bucket that is there.
    }

    fn clear_unfinished(&self, since: Timestamp) -> Result<(), StoreError> {
        let Some(dialect) = &self.dialect else { return Ok(()) };
        dialect
            .clear(since, &parts::is_our_name)
            .map_err(|refused| refused.error(&self.dal.store, || "clear stale uploads".to_owned()))
    }

    fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.dal.server_time()
    }
}

/// Whether a name in a store's place is the store's own, or harmless.
pub(super) fn is_ours(name: &str) -> bool {
    [GENERATION_OBJECT, TEMPORARY_DIRECTORY, "original", "enriched", "devices", "probe"].contains(&name)
        || is_litter(name.as_bytes())
}
