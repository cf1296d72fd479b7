//! What an interrupted upload leaves under `.tmp/`, and how the next one goes on with it.
//!
//! Each writer has a file of its own, named by its ULID, and never writes into another's: who was only suspended, a laptop that
//! was closed, would wake up and write on in the middle of what had long been proved, or published. So a leftover is not
//! taken over but copied from, by the server itself (`copy-data`, OpenSSH 9.0), which costs the line nothing.
//!
//! Beside the file stands its record, `ULID-KEY`: the BLAKE3 of each part, written after the part was made durable, so that a
//! server which lost its power has no part that its record has and the file has not. Nothing in a recorded part is ever
//! written again. A part is copied where the bytes that were just read from the source have the recorded hash; any other
//! is sent. On a server that cannot copy, or cannot make durable, no record is written, and nothing is left.

use std::io::{Read, SeekFrom};
use std::num::NonZeroU64;
use std::path::Path;

use bytes::Bytes;
use openssh_sftp_client::error::SftpErrorKind;
use openssh_sftp_client::file::File;
use tokio::io::AsyncSeekExt;
use ulid::Ulid;

use super::super::cut::{Cut, MAX_PARTS};
use super::super::{Backend, TEMPORARY_DIRECTORY, begun_by};
use super::{PIECE_BYTES, Sftp};
use crate::remote::StoreError;
use crate::remote::measured::Measured;

const HASH_BYTES: usize = 32;

/// A file that is being written, with its record.
#[derive(Debug)]
pub(super) struct Writing {
    /// Its name.
    pub(super) temporary: String,
    record: Option<Record>,
}

/// What is said of a file's parts.
#[derive(Debug)]
struct Record {
    name: String,
    /// Made with the first part.
    file: Option<File>,
}

/// What an interrupted upload left.
#[derive(Debug)]
struct Leftover {
    temporary: String,
    record: String,
    hashes: Vec<[u8; HASH_BYTES]>,
    file: File,
    /// Its length when it was found.
    bytes: u64,
}

/// What names of records end with, for one object.
fn suffix_of(name: &str) -> String {
    format!("-{}", &blake3::hash(name.as_bytes()).to_hex()[..16])
}

impl Writing {
    pub(super) fn of(name: &str, is_recorded: bool) -> Self {
        let temporary = format!("{TEMPORARY_DIRECTORY}/{}", Ulid::generate());
        let record = || Record { name: format!("{temporary}{}", suffix_of(name)), file: None };
        let record = is_recorded.then(record);
        Writing { temporary, record }
    }

    /// Whether it may be gone on with.
    pub(super) fn is_recorded(&self) -> bool {
        self.record.is_some()
    }

    /// Whether there is a part to go on from.
    pub(super) fn has_parts(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.file.is_some())
    }
}

impl Sftp {
    /// Whether a server can do all that going on with an upload takes.
    pub(super) fn can_go_on(&self) -> Result<bool, StoreError> {
        let can = self.ask(|session| async move {
            Ok(session.client.support_copy() && session.client.support_fsync())
        })?;
        Ok(can.unwrap_or(false))
    }

    /// Writes a large content, part by part; what a leftover has of it is copied.
    pub(super) fn write_parts(
        &self,
        writing: &mut Writing,
        file: &mut File,
        name: &str,
        content: &mut Measured<'_>,
        cut: Cut,
    ) -> Result<(), StoreError> {
        let mut leftover = self.leftover(name)?;
        for number in 1.. {
            let Some(bytes) = cut.bytes_of(number) else { break };
            let recorded = leftover.as_ref().and_then(|leftover| leftover.hash_of(number, cut));
            if recorded.is_none()
                && let Some(emptied) = leftover.take()
            {
                self.put_away(emptied);
            }
            let hash = match (recorded, &mut leftover) {
                (Some(recorded), Some(leftover)) => {
                    let (pieces, hash) = read_part(content, bytes)?;
                    if hash == recorded {
                        self.copy_part(leftover, file, bytes)?;
                    } else {
                        for piece in pieces {
                            self.write_piece(writing, file, &piece)?;
                        }
                        leftover.skip(self, bytes)?;
                    }
                    hash
                }
                _ => self.write_part(writing, file, content, bytes)?,
            };
            self.record(writing, file, &hash)?;
        }
        // Only that proves the content.
        while content.next(PIECE_BYTES)?.is_some() {}
        match self.metadata(&writing.temporary)? {
            Ok((true, found)) if found == cut.bytes() => Ok(()),
            // Another took us for dead, and goes on with a copy: seen when this one is to get its name.
            Err(SftpErrorKind::NoSuchFile) => Ok(()),
            // A copy that stopped short leaves a hole.
            _ => Err(self.error(SftpErrorKind::Failure, || format!("write {}", writing.temporary))),
        }
    }

    fn write_part(
        &self,
        writing: &Writing,
        file: &mut File,
        content: &mut Measured<'_>,
        bytes: u64,
    ) -> Result<[u8; HASH_BYTES], StoreError> {
        let mut hasher = blake3::Hasher::new();
        let mut left = bytes;
        while let Some(piece) = next_piece(content, left)? {
            hasher.update(&piece);
            left -= piece.len() as u64;
            self.write_piece(writing, file, &piece)?;
        }
        Ok(*hasher.finalize().as_bytes())
    }

    fn copy_part(&self, leftover: &mut Leftover, file: &mut File, bytes: u64) -> Result<(), StoreError> {
        let Some(bytes) = NonZeroU64::new(bytes) else { return Ok(()) };
        let from = &mut leftover.file;
        let copied = self.ask(|_| async move { from.copy_to(file, bytes).await })?;
        copied.map_err(|kind| self.error(kind, || format!("copy what is there of {}", leftover.temporary)))
    }

    /// Makes a part durable and says so in the record.
    fn record(&self, writing: &mut Writing, file: &File, hash: &[u8; HASH_BYTES]) -> Result<(), StoreError> {
        let Some(record) = &mut writing.record else { return Ok(()) };
        let mut synced = file.clone();
        match self.ask(|_| async move { synced.sync_all().await })? {
            Ok(()) => {}
            Err(SftpErrorKind::OpUnsupported) => {
                // Announced, and not there on this file system: what cannot be relied upon is not recorded.
                writing.record = None;
                return Ok(());
            }
            Err(kind) => return Err(self.error(kind, || format!("write {}", writing.temporary))),
        }
        let failed = |kind| self.error(kind, || format!("write {}", record.name));
        if record.file.is_none() {
            let path = self.path(&record.name);
            let made = self.ask(|session| async move {
                session.client.options().write(true).create_new(true).open(Path::new(&path)).await
            })?;
            record.file = Some(made.map_err(failed)?);
        }
        let into = record.file.as_mut().expect("made just now");
        self.ask(|_| async move { into.write_all(hash).await })?.map_err(failed)
    }

    /// What an earlier upload of this object left: the one that has most.
    fn leftover(&self, name: &str) -> Result<Option<Leftover>, StoreError> {
        let mut best: Option<Leftover> = None;
        for record in self.records_of(name)? {
            let hashes = self.read_record(&record)?;
            if best.as_ref().is_some_and(|best| best.hashes.len() >= hashes.len()) || hashes.is_empty() {
                continue;
            }
            let temporary = file_of(&record);
            let path = self.path(&temporary);
            let opened = self.ask(|session| async move {
                let mut file = session.client.open(Path::new(&path)).await?;
                let bytes = file.metadata().await?.len().unwrap_or(0);
                Ok((file, bytes))
            })?;
            // It may have been published since it was listed.
            let Ok((file, bytes)) = opened else { continue };
            best = Some(Leftover { temporary, record, hashes, file, bytes });
        }
        Ok(best)
    }

    fn records_of(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let suffix = suffix_of(name);
        let names = self.unfinished()?.into_iter();
        let records = names.filter(|record| record.ends_with(&suffix) && begun_by(record).is_some());
        Ok(records.map(|record| format!("{TEMPORARY_DIRECTORY}/{record}")).collect())
    }

    fn read_record(&self, record: &str) -> Result<Vec<[u8; HASH_BYTES]>, StoreError> {
        let Some(reader) = self.read(record)? else { return Ok(Vec::new()) };
        let mut bytes = Vec::new();
        reader.take(MAX_PARTS * HASH_BYTES as u64).read_to_end(&mut bytes).map_err(|source| {
            let doing = format!("read {record}");
            StoreError::Io { store: self.store.clone(), doing, source }
        })?;
        // The last hash may be half of one.
        Ok(bytes.chunks_exact(HASH_BYTES).map(|hash| hash.try_into().expect("as long as a hash")).collect())
    }

    /// Takes a leftover away of which everything was copied. One that has grown meanwhile has a writer who is alive; it goes when
    /// the object is there.
    fn put_away(&self, leftover: Leftover) {
        let Leftover { temporary, record, hashes: _, file, bytes } = leftover;
        let _ = self.ask(|_| file.close());
        if let Ok(Ok((true, now))) = self.metadata(&temporary)
            && now == bytes
        {
            self.remove_quietly(&record);
            self.remove_quietly(&temporary);
        }
    }

    /// Takes everything away that was ever left of an object.
    pub(super) fn clear_leftovers(&self, name: &str) {
        match self.records_of(name) {
            Ok(records) => {
                for record in records {
                    self.remove_quietly(&record);
                    self.remove_quietly(&file_of(&record));
                }
            }
            Err(error) => tracing::debug!(store = self.store, name, %error, "unfinished objects stay"),
        }
    }

    /// Takes a file and its record away.
    pub(super) fn discard(&self, writing: &Writing) {
        if let Some(Record { name, file: Some(_) }) = &writing.record {
            self.remove_quietly(name);
        }
        self.remove_quietly(&writing.temporary);
    }

    fn remove_quietly(&self, temporary: &str) {
        if let Err(error) = self.remove(temporary) {
            tracing::debug!(store = self.store, temporary, %error, "an unfinished object stays");
        }
    }
}

impl Leftover {
    /// The recorded hash of a part that is there whole.
    fn hash_of(&self, number: u32, cut: Cut) -> Option<[u8; HASH_BYTES]> {
        let hash = self.hashes.get(usize::try_from(number).ok()?.checked_sub(1)?)?;
        (cut.end_of(number)? <= self.bytes).then_some(*hash)
    }

    fn skip(&mut self, sftp: &Sftp, bytes: u64) -> Result<(), StoreError> {
        let bytes = i64::try_from(bytes).expect("a part is no longer than a file");
        let file = &mut self.file;
        // Only our own place in it is moved: nothing is asked of the server.
        sftp.waiter.wait(file.seek(SeekFrom::Current(bytes))).map(drop).map_err(|source| {
            let doing = format!("read {}", self.temporary);
            StoreError::Io { store: sftp.store.clone(), doing, source }
        })
    }
}

/// The file that a record is about.
fn file_of(record: &str) -> String {
    record.rsplit_once('-').map_or(record, |(file, _)| file).to_owned()
}

fn next_piece(content: &mut Measured<'_>, left: u64) -> Result<Option<Bytes>, StoreError> {
    match usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES) {
        0 => Ok(None),
        bytes => content.next(bytes),
    }
}

/// A part in memory, with its hash.
fn read_part(content: &mut Measured<'_>, bytes: u64) -> Result<(Vec<Bytes>, [u8; HASH_BYTES]), StoreError> {
    let mut hasher = blake3::Hasher::new();
    let mut pieces = Vec::new();
    let mut left = bytes;
    while let Some(piece) = next_piece(content, left)? {
        hasher.update(&piece);
        left -= piece.len() as u64;
        pieces.push(piece);
    }
    Ok((pieces, *hasher.finalize().as_bytes()))
}

/// An error after which another run goes on with what is there.
pub(super) fn is_interruption(error: &StoreError) -> bool {
    matches!(error, StoreError::Source { .. } | StoreError::Away { .. } | StoreError::Busy { .. })
}
