//! One object on its way to a store: sent, and read back.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::content;
use crate::model::{ObjectState, Privacy, RelPath};
use crate::monitor::{Counter, Monitor};
use crate::remote::{Expect, ObjectKey, Put, Store, StoreError};
use crate::volume::Patience;

/// Where the bytes of an object come from.
#[derive(Debug)]
pub(super) enum Bytes {
    Rendered(Vec<u8>),
    File { library_id: i64, path: std::path::PathBuf, rel: RelPath, patience: Patience },
}

/// One object on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Its operation's place in the chunk.
    pub(super) op: usize,
    pub(super) object_id: i64,
    pub(super) state: ObjectState,
    pub(super) key: ObjectKey,
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
            Bytes::Rendered(bytes) => bytes.len() as u64,
            Bytes::File { .. } => 0,
        }
    }
}

/// Does some work for each transfer that wants it, as many at a time as the store likes. Results come with their place, in order.
pub(super) fn side_by_side<R: Send>(
    transfers: &[Transfer],
    parallel: usize,
    wants: impl Fn(&Transfer) -> bool + Sync,
    work: impl Fn(&Transfer) -> R + Sync,
) -> Vec<(usize, R)> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(transfers.len()));
    let worker = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(transfer) = transfers.get(at) else { return };
        if wants(transfer) {
            let result = work(transfer);
            results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..parallel.min(transfers.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(at, _)| *at);
    results
}

pub(super) fn send(store: &dyn Store, transfer: &Transfer, monitor: &dyn Monitor) -> Result<Put, StoreError> {
    let put = match put(store, transfer) {
        // Something else stands under a name that says its content: whatever it is, it is not that content.
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(key = %transfer.key, %error, "replacing a damaged object");
            store.delete(&transfer.key)?;
            put(store, transfer)?
        }
        result => result?,
    };
    if put == Put::Created {
        monitor.count(Counter::ObjectsWritten, 1);
        monitor.count(Counter::BytesSent, transfer.expect.bytes);
    }
    Ok(put)
}

fn put(store: &dyn Store, transfer: &Transfer) -> Result<Put, StoreError> {
    match &transfer.bytes {
        Bytes::Rendered(bytes) => store.put_if_absent(&transfer.key, &mut bytes.as_slice(), &transfer.expect),
        Bytes::File { path, patience, .. } => {
            // Opened at the first read: an object that is there already needs no disk.
            let path = path.clone();
            let mut reader = patience.reader(move || {
                content::open_regular(&path).map(|(file, _)| file).map_err(std::io::Error::other)
            });
            store.put_if_absent(&transfer.key, &mut reader, &transfer.expect)
        }
    }
}

/// Reads the object back and holds it against its hash: what a store says it has is not proof.
pub(super) fn prove(store: &dyn Store, transfer: &Transfer) -> Result<(), StoreError> {
    let proved = match matches(store, transfer) {
        // It was there before the run was cut off, and the store was put back to a time before that: no verdict (T3).
        Err(StoreError::NoSuchObject { .. }) => false,
        result => result?,
    };
    match proved {
        true => Ok(()),
        false => {
            // Damaged on its way or in the store. It is nobody's current object under that hash: send it anew, once.
            store.delete(&transfer.key)?;
            put(store, transfer)?;
            if matches(store, transfer)? { Ok(()) } else { Err(damaged(store, &transfer.key)) }
        }
    }
}

fn damaged(store: &dyn Store, key: &ObjectKey) -> StoreError {
    let reason = "it was sent twice and came back with other bytes".to_owned();
    StoreError::Corrupt { store: store.describe(), what: format!("object {key}"), reason }
}

fn matches(store: &dyn Store, transfer: &Transfer) -> Result<bool, StoreError> {
    let mut reader = store.get(&transfer.key)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut length = 0_u64;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
                length += n as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => {
                let doing = format!("read object {} back", transfer.key);
                return Err(StoreError::Io { store: store.describe(), doing, source });
            }
        }
    }
    Ok(length == transfer.expect.bytes && *hasher.finalize().as_bytes() == transfer.expect.hash)
}
