//! From a leased operation to what the workers are handed: its bytes are made and fixed, and each step is written down before
//! anything is sent.

use super::channel::REFRESH_MS;
use super::line::{Erasure, Job, Line};
use super::making::{Making, fingerprint, make};
use super::plan::{Step, Wanted, plan};
use super::push::{Run, SOURCE_PAUSE_MS};
use super::transfer::{Bytes, Transfer};
use super::{SyncError, code};
use crate::catalog::outbox::{self, Ending, Leased};
use crate::catalog::{CatalogError, Connection, documents, ledger, privacy};
use crate::model::{ObjectState, Privacy};
use crate::monitor::Counter;
use crate::power::point;
use crate::remote::index::RemoteName;
use crate::remote::{Expect, Opened, StoreError};

/// After so long the deletion of the same bytes is over, in milliseconds, or it is looked at again.
const SHARED_PAUSE_MS: i64 = 1_000;

/// What an operation wants.
enum Work {
    Mirror(Making),
    Delete,
}

impl Run<'_> {
    /// Makes some of the leased operations ready: as many as fit into `room` bytes, one at least. The inner error is the
    /// channel's: what it met goes back into the queue.
    pub(super) fn make_ready(
        &mut self,
        line: &mut Line,
        room: u64,
    ) -> Result<Result<Vec<Job>, StoreError>, SyncError> {
        let mut works = Vec::new();
        let mut bytes = 0;
        while bytes < room
            && let Some(op) = line.waiting.pop_front()
        {
            let work = if op.object_id.is_some() {
                Work::Delete
            } else {
                let (now_ms, manner) = (self.now_ms(), self.manner.as_deref());
                let making =
                    make(self.catalog, self.row, manner, &self.still_here(), op.document_id, now_ms)?;
                let rendered = making.wanted.iter().filter_map(|(_, bytes)| bytes.as_ref());
                bytes += rendered.map(Bytes::in_memory).sum::<u64>();
                Work::Mirror(making)
            };
            works.push((op, work));
        }
        let mut jobs = self.write_down(works, line)?;
        point("push-planned");
        let looked = self.look_for_lost(&mut jobs)?;
        if let Ok(true) = looked {
            point("push-uploading");
            return Ok(Ok(jobs));
        }
        for job in jobs {
            if let Some(going) = line.going.remove(&job.seq()) {
                self.release(&[going.op])?;
            }
        }
        Ok(looked.map(|_| Vec::new()))
    }

    fn write_down(&mut self, works: Vec<(Leased, Work)>, line: &mut Line) -> Result<Vec<Job>, SyncError> {
        let now_ms = self.now_ms();
        let tx = self.catalog.write()?;
        // One that slept past its word while it made the bytes plans nothing beside who took over.
        if !self.sender.is_current(&tx)? {
            return Err(SyncError::TakenOver);
        }
        let mut jobs = Vec::new();
        for (op, work) in works {
            let seq = op.seq;
            let made = match work {
                Work::Mirror(making) => {
                    transfers(&tx, self.row.store_id, &mut self.ids, &op, making, now_ms)?
                }
                Work::Delete => erasure(&tx, &op, now_ms)?,
            };
            match made {
                Made::Jobs { jobs: mut made, halfway } => {
                    debug_assert!(made.iter().all(|job| job.seq() == seq), "they say whose they are");
                    line.go(op, made.len(), halfway);
                    jobs.append(&mut made);
                }
                Made::Done => self.monitor.count(Counter::OperationsDone, 1),
                Made::Ended => {}
                Made::Invalid => self.report.refused += 1,
                Made::Later(at_ms) => {
                    self.wakes.insert(at_ms);
                }
            }
        }
        tx.commit().map_err(CatalogError::from)?;
        Ok(jobs)
    }

    /// Objects that a former run gave to a store that names them, and whose names were lost with it. False where the user ended
    /// the run meanwhile.
    fn look_for_lost(&mut self, jobs: &mut [Job]) -> Result<Result<bool, StoreError>, SyncError> {
        let Opened::Index(index) = self.store else { return Ok(Ok(true)) };
        let unknown = self.unknown_ground;
        let mut lost: Vec<&mut Transfer> = Vec::new();
        for job in jobs {
            let Job::Carry(transfer) = job else { continue };
            if let Some(name) = &transfer.name {
                match index.is_former(name) {
                    Ok(false) => continue,
                    // Whatever step was reached was reached there. It may be there still, and is not taken away from there to
                    // make room for itself (T7).
                    Ok(true) => {
                        transfer.left = transfer.name.take();
                        transfer.state = ObjectState::Uploading;
                    }
                    Err(error) => return Ok(Err(error)),
                }
            }
            if unknown || !transfer.fresh {
                lost.push(transfer);
            }
        }
        if lost.is_empty() {
            return Ok(Ok(true));
        }
        let keys: Vec<_> = lost.iter().map(|transfer| transfer.key.clone()).collect();
        let goes_on = || !self.monitor.cancelled();
        let found = match index.locate_while(&keys.iter().collect::<Vec<_>>(), &goes_on) {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ok(false)),
            Err(error) => return Ok(Err(error)),
        };
        let store_id = self.row.store_id;
        let conn = self.catalog.read();
        for (transfer, names) in lost.iter_mut().zip(found) {
            for name in names {
                // One that is another row's is what is being replaced, not what was lost.
                if !ledger::is_claimed(conn, store_id, name.as_str(), transfer.object_id)? {
                    transfer.name = Some(name);
                    break;
                }
            }
        }
        Ok(Ok(true))
    }
}

/// What came of writing an operation down.
#[derive(Debug)]
pub(super) enum Made {
    Jobs {
        jobs: Vec<Job>,
        /// And something that there is no disk for.
        halfway: bool,
    },
    /// There was nothing to do.
    Done,
    /// It went back, or another takes its place.
    Ended,
    /// It was given up.
    Invalid,
    /// It went back, and is due then, in milliseconds.
    Later(i64),
}

/// Fixes the bytes of a mirror operation and writes down what is to be sent.
pub(super) fn transfers(
    tx: &Connection,
    store_id: i64,
    ids: &mut crate::catalog::Ids,
    op: &Leased,
    making: Making,
    now_ms: i64,
) -> Result<Made, CatalogError> {
    let (wanted, mut bytes): (Vec<Wanted>, Vec<Option<Bytes>>) = making.wanted.into_iter().unzip();
    let fingerprint = fingerprint(&wanted);
    if op.payload_hash.is_some_and(|fixed| fixed != fingerprint) {
        // Leased before with other bytes, which may have arrived: the document has changed since (T4).
        outbox::end(tx, op, Ending::Superseded, now_ms)?;
        outbox::enqueue_mirror_for(tx, ids, store_id, op.document_id, now_ms)?;
        return Ok(Made::Ended);
    }
    // Its bytes were made before this transaction. What was taken back since is not wanted again (T8).
    let said = documents::annotations(tx, op.document_id)?;
    if Some(privacy::of(tx, op.document_id, &said)?) > making.privacy.or(Some(Privacy::LocalOnly)) {
        outbox::end(tx, op, Ending::Released { not_before: now_ms }, now_ms)?;
        return Ok(Made::Ended);
    }
    for want in &wanted {
        if ledger::is_being_deleted(tx, store_id, &want.remote_id)? {
            // Another document's orphan of the same bytes. Found there now, it would be current and gone a moment later (T2).
            let at_ms = now_ms + SHARED_PAUSE_MS;
            outbox::end(tx, op, Ending::Released { not_before: at_ms }, now_ms)?;
            return Ok(Made::Later(at_ms));
        }
    }
    let total = wanted.iter().map(|wanted| wanted.bytes).sum();
    outbox::fix_payload(tx, op, fingerprint, total, now_ms)?;
    let held = ledger::held(tx, store_id, op.document_id)?;
    let (mut jobs, mut halfway) = (Vec::new(), false);
    for step in plan(&wanted, &held, |object| object.is_fading(REFRESH_MS, now_ms)) {
        if let Step::Continue { wanted, .. } | Step::Revive { wanted, .. } | Step::Send { wanted } = step
            && bytes[wanted].is_none()
        {
            halfway = true;
            continue;
        }
        let (object_id, state, of, fresh) = match step {
            Step::Keep => continue,
            Step::Abandon { object_id } => {
                ledger::orphan(tx, object_id, "abandoned", now_ms)?;
                continue;
            }
            Step::Continue { object_id, state, wanted } => (object_id, state, wanted, false),
            Step::Revive { object_id, wanted } => {
                ledger::revive(tx, object_id, now_ms)?;
                (object_id, ObjectState::Planned, wanted, false)
            }
            Step::Send { wanted: of } => {
                let want = &wanted[of];
                let row = ledger::Plan {
                    store_id,
                    document_id: op.document_id,
                    payload: want.payload,
                    remote_id: &want.remote_id,
                    upload_hash: want.upload_hash,
                    bytes: want.bytes,
                    content_hash: making.content_hash,
                };
                (ledger::plan(tx, &row, now_ms)?, ObjectState::Planned, of, true)
            }
        };
        let row = held.iter().find(|row| row.object_id == object_id);
        let state = if state == ObjectState::Planned {
            ledger::advance(tx, object_id, ObjectState::Uploading, now_ms)?;
            ObjectState::Uploading
        } else {
            state
        };
        jobs.push(Job::Carry(Box::new(Transfer {
            seq: op.seq,
            object_id,
            state,
            key: wanted[of].remote_id.parse().expect("made by ObjectKey itself"),
            name: row.and_then(|row| row.server_id.clone()).map(RemoteName::new),
            left: None,
            fresh,
            uploaded_at: row.and_then(|row| row.uploaded_at),
            expect: Expect { bytes: wanted[of].bytes, hash: wanted[of].upload_hash },
            bytes: bytes[of]
                .take()
                .expect("each wanted object has one step, and those without bytes are left out"),
            document_id: op.document_id,
            privacy: making.privacy,
        })));
    }
    if jobs.is_empty() && halfway {
        let ending = match op.halfway {
            false => Ending::Halfway,
            // It was leased because the disk was here a moment ago.
            true => Ending::Released { not_before: now_ms + SOURCE_PAUSE_MS },
        };
        outbox::end(tx, op, ending, now_ms)?;
        return Ok(Made::Ended);
    }
    if jobs.is_empty() {
        outbox::end(tx, op, Ending::Done { note: making.note }, now_ms)?;
        return Ok(Made::Done);
    }
    Ok(Made::Jobs { jobs, halfway })
}

/// What has to be deleted for an operation that deletes an orphan.
fn erasure(tx: &Connection, op: &Leased, now_ms: i64) -> Result<Made, CatalogError> {
    let object = match op.object_id {
        Some(object_id) => ledger::by_id(tx, object_id)?,
        None => None,
    };
    // Wanted again since it was put in line: nothing is deleted.
    let Some(object) = object.filter(|object| object.state == ObjectState::Orphaned) else {
        outbox::end(tx, op, Ending::Done { note: Some("wanted again") }, now_ms)?;
        return Ok(Made::Ended);
    };
    if ledger::is_shared(tx, &object)? {
        // The bytes are another document's, too: the row goes, the bytes stay.
        ledger::note_shared(tx, object.object_id)?;
        ledger::advance(tx, object.object_id, ObjectState::Deleted, now_ms)?;
        outbox::end(tx, op, Ending::Done { note: Some("its bytes are another document's, too") }, now_ms)?;
        return Ok(Made::Ended);
    }
    let Ok(key) = object.remote_id.parse() else {
        let text = format!("the ledger calls the object {:?}, which is no name of ours", object.remote_id);
        outbox::end(tx, op, Ending::Invalid { text: &text, code: code::INVALID }, now_ms)?;
        return Ok(Made::Invalid);
    };
    let erasure = Erasure {
        seq: op.seq,
        object_id: object.object_id,
        key,
        name: object.server_id.map(RemoteName::new),
    };
    Ok(Made::Jobs { jobs: vec![Job::Erase(erasure)], halfway: false })
}
