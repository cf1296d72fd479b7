//! What a worker does with one object: send it, prove it, ask whether it can be found. No catalogue in here: what was reached
//! is told, and written down by who leased the operation.
//!
//! Every step may have been done by a run before this one, and cut off before it was written down (T3). Where we name objects,
//! a put meets what is there. Where the store names them, it is looked before it is given again, by the key that travels
//! beside the object: the answer that told the name may have been lost.

use std::io::{self, Read};

use super::sample::{Sampled, Samples, WHOLE_BYTES};
use super::transfer::{Bytes, Transfer};
use crate::content;
use crate::model::ObjectState;
use crate::monitor::{Counter, Monitor};
use crate::power::point;
use crate::remote::index::{Index, Readiness, RemoteName};
use crate::remote::{Deleted, ObjectKey, Opened, Put, Store, StoreError};

/// How far an object came.
#[derive(Debug)]
pub(super) struct Carried {
    /// The last step that was reached.
    pub(super) state: ObjectState,
    /// Whether it was this call that the store took the bytes from.
    pub(super) sent: bool,
    /// What the store calls it.
    pub(super) name: Option<RemoteName>,
    /// When the store will forget it, in milliseconds.
    pub(super) expires_at: Option<i64>,
    /// Why it came no further.
    pub(super) stopped: Option<Stopped>,
}

/// Why an object came no further.
#[derive(Debug)]
pub(super) enum Stopped {
    /// Something went wrong.
    Error(StoreError),
    /// Its document may not leave any more, or not as far.
    Withdrawn,
    /// The user wants the run to end.
    Cancelled,
    /// The store has it, and it cannot be found yet.
    NotYet,
}

/// An index that says it could not read an object may find it a minute later; so long it is watched, in milliseconds.
const UNREAD_MS: i64 = 3 * 60 * 1_000;

/// Takes an object as far as it goes.
pub(super) fn carry(store: &Opened, transfer: &Transfer, now_ms: i64, monitor: &dyn Monitor) -> Carried {
    let mut carried = Carried {
        state: transfer.state,
        sent: false,
        name: transfer.name.clone(),
        expires_at: None,
        stopped: None,
    };
    let done = match store {
        Opened::Objects(store) => carry_object(&**store, transfer, monitor, &mut carried),
        Opened::Index(index) => carry_entry(&**index, transfer, now_ms, monitor, &mut carried),
    };
    if let Err(error) = done {
        let given_up = monitor.cancelled() && matches!(error, StoreError::Source { .. });
        carried.stopped = Some(if given_up { Stopped::Cancelled } else { Stopped::Error(error) });
    }
    carried
}

fn counted(transfer: &Transfer, monitor: &dyn Monitor) {
    monitor.count(Counter::ObjectsWritten, 1);
    monitor.count(Counter::BytesSent, transfer.expect.bytes);
}

fn carry_object(
    store: &dyn Store,
    transfer: &Transfer,
    monitor: &dyn Monitor,
    carried: &mut Carried,
) -> Result<(), StoreError> {
    if matches!(carried.state, ObjectState::Planned | ObjectState::Uploading) {
        let (put, samples) = send(store, transfer, monitor)?;
        carried.sent = put.made_it();
        if carried.sent {
            counted(transfer, monitor);
        }
        point("push-sent");
        carried.state = match put {
            Put::Proved => ObjectState::Verified,
            Put::Created | Put::AlreadyThere => ObjectState::Uploaded,
        };
        if put == Put::Created
            && let Some(samples) = samples
            && samples.prove(store, &transfer.key)?
        {
            carried.state = ObjectState::Verified;
        }
    }
    if carried.state == ObjectState::Uploaded {
        prove(store, transfer, monitor)?;
        carried.state = ObjectState::Verified;
    }
    // What was proved is usable: such a store has nothing to make of it.
    carried.state = ObjectState::Searchable;
    Ok(())
}

fn send(
    store: &dyn Store,
    transfer: &Transfer,
    monitor: &dyn Monitor,
) -> Result<(Put, Option<Samples>), StoreError> {
    // Its answer may have been lost: what is there need not be sent again.
    if !transfer.fresh && store.stat(&transfer.key)?.is_some_and(|stat| stat.bytes == transfer.expect.bytes) {
        return Ok((Put::AlreadyThere, None));
    }
    match put(store, transfer, monitor) {
        // Something else stands under a name that says its content: whatever it is, it is not that content.
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(key = %transfer.key, %error, "replacing a damaged object");
            store.delete(&transfer.key)?;
            put(store, transfer, monitor)
        }
        result => result,
    }
}

/// With what is remembered of a large content for its proof.
fn put(
    store: &dyn Store,
    transfer: &Transfer,
    monitor: &dyn Monitor,
) -> Result<(Put, Option<Samples>), StoreError> {
    let put = |content: &mut dyn Read| {
        let expect = &transfer.expect;
        if expect.bytes <= WHOLE_BYTES {
            return Ok((store.put_if_absent(&transfer.key, content, expect)?, None));
        }
        let mut content = Sampled::new(content, expect.bytes, &expect.hash);
        let put = store.put_if_absent(&transfer.key, &mut content, expect)?;
        Ok((put, Some(content.finish())))
    };
    match &transfer.bytes {
        Bytes::Rendered(rendered) => put(&mut rendered.content.as_bytes()),
        Bytes::File { path, patience, .. } => {
            // Opened at the first read: an object that is there already needs no disk.
            let path = path.clone();
            let mut reader = patience
                .reader(move || content::open_regular(&path).map(|(file, _)| file).map_err(io::Error::other));
            put(&mut UntilCancelled { inner: &mut reader, monitor })
        }
    }
}

/// Ends a long upload soon after the user said so: nothing was published, and the operation goes back into the queue.
struct UntilCancelled<'a> {
    inner: &'a mut dyn Read,
    monitor: &'a dyn Monitor,
}

impl Read for UntilCancelled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.monitor.cancelled() {
            return Err(io::Error::other("the run is ended"));
        }
        self.inner.read(buffer)
    }
}

/// Reads the whole object back and holds it against its hash: what a store says it has is not proof.
fn prove(store: &dyn Store, transfer: &Transfer, monitor: &dyn Monitor) -> Result<(), StoreError> {
    let read = |again: bool| match matches(store, transfer, monitor) {
        // A short answer looks like damage: before anything is deleted it is read once more.
        Ok(false) if !again => None,
        read => Some(read),
    };
    let proved = match read(false).or_else(|| read(true)).expect("the second time decides") {
        // It was there before the run was cut off, and the store was put back to a time before that: no verdict (T3).
        Err(StoreError::NoSuchObject { .. }) => false,
        result => result?,
    };
    match proved {
        true => Ok(()),
        false => {
            // Damaged on its way or in the store. It is nobody's current object under that hash: send it anew, once.
            store.delete(&transfer.key)?;
            put(store, transfer, monitor)?;
            if matches(store, transfer, monitor)? {
                Ok(())
            } else {
                Err(damaged(store.describe(), &transfer.key))
            }
        }
    }
}

fn damaged(store: String, key: &ObjectKey) -> StoreError {
    let reason = "it was sent twice and came back with other bytes".to_owned();
    StoreError::Corrupt { store, what: format!("object {key}"), reason }
}

fn matches(store: &dyn Store, transfer: &Transfer, monitor: &dyn Monitor) -> Result<bool, StoreError> {
    let mut reader = store.get(&transfer.key)?;
    // What is read back in a moment is ended, not begun again by the next run.
    let unwatched = &crate::monitor::Unwatched;
    let monitor: &dyn Monitor = if transfer.expect.bytes > WHOLE_BYTES { monitor } else { unwatched };
    let mut reader = UntilCancelled { inner: &mut reader, monitor };
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
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Not damaged, only not read to its end.
            Err(source) if monitor.cancelled() => {
                return Err(StoreError::Source { key: transfer.key.clone(), source });
            }
            Err(source) => {
                let doing = format!("read object {} back", transfer.key);
                return Err(StoreError::Io { store: store.describe(), doing, source });
            }
        }
    }
    Ok(length == transfer.expect.bytes && *hasher.finalize().as_bytes() == transfer.expect.hash)
}

fn carry_entry(
    index: &dyn Index,
    transfer: &Transfer,
    now_ms: i64,
    monitor: &dyn Monitor,
    carried: &mut Carried,
) -> Result<(), StoreError> {
    let Bytes::Rendered(rendered) = &transfer.bytes else {
        return Err(StoreError::Refused {
            store: index.describe(),
            doing: "take a file".to_owned(),
            reason: "it takes text and metadata only (store add --payload enriched)".to_owned(),
            source: None,
        });
    };
    let entry = rendered.entry(&transfer.key);
    if carried.name.is_some() && matches!(carried.state, ObjectState::Planned | ObjectState::Uploading) {
        // Found by its key, or an orphan that is wanted again.
        carried.state = ObjectState::Uploaded;
    }
    let mut proved = None;
    if carried.state == ObjectState::Uploaded
        && let Some(name) = &carried.name
    {
        proved = index.prove(name, &entry)?;
        if proved.is_none() {
            // Gone, or something else, or half of it: nobody's current object. Given anew, once.
            index.remove(name)?;
            carried.name = None;
        }
    }
    if carried.name.is_none() {
        carried.state = ObjectState::Uploading;
        let name = index.put(&entry)?;
        carried.sent = true;
        counted(transfer, monitor);
        point("push-sent");
        carried.state = ObjectState::Uploaded;
        carried.name = Some(name.clone());
        proved = index.prove(&name, &entry)?;
        if proved.is_none() {
            return Err(damaged(index.describe(), &transfer.key));
        }
    }
    let name = carried.name.as_ref().expect("put or found just now");
    let standing = match proved {
        Some(standing) => {
            carried.state = ObjectState::Verified;
            standing
        }
        // Proved by a run before this one.
        None => index.standing(name)?,
    };
    carried.expires_at = standing.expires_at.map(|at| at.as_millisecond());
    match standing.readiness {
        Readiness::Searchable => carried.state = ObjectState::Searchable,
        Readiness::NotYet => carried.stopped = Some(Stopped::NotYet),
        Readiness::Failed(_) if transfer.uploaded_at.is_none_or(|at| now_ms - at < UNREAD_MS) => {
            carried.stopped = Some(Stopped::NotYet);
        }
        Readiness::Failed(reason) => {
            index.remove(name)?;
            carried.name = None;
            carried.state = ObjectState::Planned;
            return Err(StoreError::Refused {
                store: index.describe(),
                doing: format!("read object {}", transfer.key),
                reason,
                source: None,
            });
        }
        Readiness::Gone => {
            // Deleted behind our back, just now. The next lease gives it anew.
            carried.name = None;
            carried.state = ObjectState::Planned;
            carried.stopped = Some(Stopped::NotYet);
        }
    }
    Ok(())
}

/// Deletes an orphan: by its name where the store has told one, else by every name that it may have got.
pub(super) fn erase(
    store: &Opened,
    key: &ObjectKey,
    name: Option<&RemoteName>,
    is_claimed: &dyn Fn(&RemoteName) -> bool,
) -> Result<Deleted, StoreError> {
    match (store, name) {
        (Opened::Objects(store), _) => store.delete(key),
        (Opened::Index(index), Some(name)) => index.remove(name),
        // It was being sent when a run died, and never looked for since.
        (Opened::Index(index), None) => {
            let mut deleted = Deleted::WasAbsent;
            for name in index.locate(&[key])?.into_iter().flatten().filter(|name| !is_claimed(name)) {
                deleted = index.remove(&name)?;
            }
            Ok(deleted)
        }
    }
}
