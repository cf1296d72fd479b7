//! Object stores: `s3:`, `gcs:`, `azblob:`.
//!
//! What fits into memory is sent in one request; what does not, in parts, which become an object only when they are put
//! together, after the content was proved. So nothing is ever visible that is not the expected content. What a crash leaves
//! of parts is invisible, and costs storage until the bucket's own rule for incomplete uploads takes it away.

use std::fmt::Write;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use md5::{Digest, Md5};
use opendal::options::WriteOptions;
use opendal::{Buffer, ErrorKind, Operator, services};
use tokio::sync::Semaphore;

use super::dal::Dal;
use super::{Backend, Condition, GENERATION_OBJECT, Look, Names, Published, TEMPORARY_DIRECTORY, Unopened};
use crate::remote::credentials::{self, Access};
use crate::remote::generation::is_litter;
use crate::remote::http::{Call, Http};
use crate::remote::measured::Measured;
use crate::remote::runtime::Waiter;
use crate::remote::url::ObjectUrl;
use crate::remote::{AwayReason, Capabilities, StoreError, StoreUrl};

/// A content of up to so many bytes is sent in one request.
const SINGLE_BYTES: u64 = 16 << 20;
const PIECE_BYTES: usize = 256 << 10;
/// The size of a part, unless there would be too many.
const PART_BYTES: u64 = 8 << 20;
/// S3 allows 10,000 parts.
const MAX_PARTS: u64 = 9_000;
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
        let built = match url {
            StoreUrl::S3(place) => s3(place, access, &store)?,
            StoreUrl::Gcs(place) => gcs(place, access, &store)?,
            StoreUrl::Azblob(place) => azblob(place, access, &store)?,
            _ => unreachable!("only asked for these three"),
        };
        let operator = built.map_err(|error| StoreError::Refused {
            store: store.clone(),
            doing: "be opened".to_owned(),
            reason: error.message().to_owned(),
            source: None,
        })?;
        let found = access.found.unwrap_or_default();
        Ok(Cloud {
            dal: Dal { operator, http: Http::new(access.patience), waiter, store },
            conditional_put: found.conditional_put,
            lists_in_order: found.lists_in_order,
            max_object_bytes: match url {
                // 50,000 blocks of up to 4,000 MiB; the other two stop at 5 TiB.
                StoreUrl::Azblob(_) => 190 << 40,
                _ => 5 << 40,
            },
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
            Ok(said) => Ok(published(&said, &hash, 0)),
            Err(error) => self.not_written(name, &call, &error),
        }
    }

    fn publish_in_parts(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        options: WriteOptions,
        part_bytes: u64,
    ) -> Result<Published, StoreError> {
        let (operator, call) = self.dal.begin();
        let waiter = self.dal.waiter;
        // Each write is a part: without a chunk size nothing is gathered once more.
        let options = WriteOptions { concurrent: PARTS_AT_ONCE, ..options };
        let mut writer = match waiter.wait(operator.writer_options(name, options)) {
            Ok(writer) => writer,
            Err(error) => return self.not_written(name, &call, &error),
        };
        let (mut hashes, mut parts) = (Md5::new(), 0);
        let sent = loop {
            match pieces(content, part_bytes) {
                Ok(part) if part.is_empty() => match waiter.wait(writer.close()) {
                    Ok(said) => return Ok(published(&said, &hashes.finalize().into(), parts)),
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

fn md5(body: &Buffer) -> [u8; 16] {
    let mut hasher = Md5::new();
    body.clone().for_each(|piece| hasher.update(&piece));
    hasher.finalize().into()
}

/// What the server said of what it took, held against what was sent: S3's `ETag` is the MD5 of an object that came in one
/// request, and of its parts' hashes, with their number, of one that came in parts. Servers that encrypt with keys of their own
/// say something else: then the object is read back, as anywhere.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html>
fn published(said: &opendal::Metadata, hash: &[u8; 16], parts: u32) -> Published {
    let mut expected: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    if parts > 0 {
        let _ = write!(expected, "-{parts}");
    }
    match said.etag().map(|etag| etag.trim_matches('"')) {
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

type Built = opendal::Result<Operator>;

fn s3(place: &ObjectUrl, access: &Access, store: &str) -> Result<Built, StoreError> {
    let mut builder = services::S3::default()
        .bucket(&place.bucket)
        .root(&place.prefix)
        // A laptop has no such service, and asking for it takes until the connection times out.
        .disable_ec2_metadata();
    if let Some(endpoint) = &place.endpoint {
        builder = builder.endpoint(endpoint);
    }
    let region = place.region.clone().or_else(credentials::aws_region);
    // Servers of other makes do not look at it; Amazon's says which is right where this one is wrong.
    builder = builder.region(region.as_deref().unwrap_or("us-east-1"));
    if let Some(profile) = &place.profile {
        builder = builder.profile(profile);
    }
    if let Some((id, secret)) = credentials::s3_key(access, store)? {
        builder = builder.access_key_id(&id).secret_access_key(secret.expose());
    }
    Ok(Operator::new(builder))
}

fn gcs(place: &ObjectUrl, access: &Access, store: &str) -> Result<Built, StoreError> {
    use base64::Engine;
    let mut builder =
        services::Gcs::default().bucket(&place.bucket).root(&place.prefix).disable_vm_metadata();
    if let Some(endpoint) = &place.endpoint {
        builder = builder.endpoint(endpoint);
    }
    if let Some(json) = credentials::given(access, store)? {
        builder = builder.credential(&base64::engine::general_purpose::STANDARD.encode(json.expose()));
    }
    Ok(Operator::new(builder))
}

fn azblob(place: &ObjectUrl, access: &Access, store: &str) -> Result<Built, StoreError> {
    let mut builder = services::Azblob::default().container(&place.bucket).root(&place.prefix);
    let account =
        place.account.clone().or_else(credentials::azure_account).ok_or_else(|| StoreError::Refused {
            store: store.to_owned(),
            doing: "be opened".to_owned(),
            reason: "its account is not known; write azblob://CONTAINER/PREFIX?account=ACCOUNT".to_owned(),
            source: None,
        })?;
    let usual = format!("https://{account}.blob.core.windows.net");
    builder = builder.endpoint(place.endpoint.as_deref().unwrap_or(&usual)).account_name(&account);
    if let Some(key) = credentials::azure_key(access, store)? {
        builder = builder.account_key(key.expose());
    }
    Ok(Operator::new(builder))
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
        let part_bytes = PART_BYTES.max(bytes.div_ceil(MAX_PARTS));
        let in_memory = if bytes <= SINGLE_BYTES { bytes } else { part_bytes * (PARTS_AT_ONCE as u64 + 2) };
        let units = usize::try_from(in_memory.div_ceil(ROOM_UNIT)).unwrap_or(ROOM_UNITS).min(ROOM_UNITS);
        let _room = self
            .dal
            .waiter
            .wait(self.room.acquire_many(u32::try_from(units).expect("at most ROOM_UNITS")))
            .expect("it is never closed");
        let options =
            WriteOptions { if_not_exists: condition != Condition::Looked, ..WriteOptions::default() };
        if bytes <= SINGLE_BYTES {
            self.publish_whole(name, content, options)
        } else {
            self.publish_in_parts(name, content, options, part_bytes)
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

    fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.dal.server_time()
    }
}

/// Whether a name in a store's place is the store's own, or harmless.
pub(super) fn is_ours(name: &str) -> bool {
    [GENERATION_OBJECT, TEMPORARY_DIRECTORY, "original", "enriched", "devices", "probe"].contains(&name)
        || is_litter(name.as_bytes())
}
