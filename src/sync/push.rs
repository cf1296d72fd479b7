//! Sends what waits in the outbox to the stores.
//!
//! In chunks, each step of a chunk one transaction: leased and planned, uploading, uploaded, verified, current. One fsync
//! serves the whole chunk, and a process that dies between two steps leaves every object at a step from which the next
//! run goes on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::backoff::backoff;
use super::making::{Making, fingerprint, make};
use super::plan::{Step, Wanted, plan};
use super::transfer::{Bytes, Transfer, prove, send, side_by_side};
use super::{Away, Here, Offline, SyncError, code};
use crate::catalog::outbox::{self, Ask, Ending, Leased};
use crate::catalog::stores::{self, StorePayload, StoreRow};
use crate::catalog::{
    Catalog, CatalogError, Connection, Ids, RunLock, documents, ledger, privacy, queue, settings,
};
use crate::clock::Clock;
use crate::model::{ObjectState, Problem, ProblemKind, setting};
use crate::monitor::{Counter, Monitor, Phase};
use crate::power::point;
use crate::remote::{self, Access, ErrorClass, Expect, Put, Store, StoreError, StoreUrl};
use crate::volume::Probe;

/// Operations leased at once.
const BATCH: usize = 50;
/// Rendered bytes in memory at once, beyond the one object that passes it.
const CHUNK_BYTES: u64 = 8 << 20;
/// A lease is good for so long; the run lock makes sure that nobody waits for it.
const LEASE_MS: i64 = 10 * 60 * 1_000;
/// Verdicts that end an operation.
const VERDICTS: u32 = 5;
/// What could not be read from a library's disk is not tried again in the same run.
const SOURCE_PAUSE_MS: i64 = 60 * 1_000;
/// Done operations are kept for so long, for people who ask what happened.
const KEEP_DONE_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// What a push did.
#[derive(Debug, Default)]
pub struct PushReport {
    /// Objects that stores took from us.
    pub uploaded_objects: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Objects that became orphans because no disk has their document any more.
    pub retired_objects: u64,
    /// Objects that were deleted because their document may not be there any more.
    pub recalled_objects: u64,
    /// Decisions that wait because a rule about privacy would take back too much.
    pub decisions: Vec<i64>,
    /// Operations that ended with a verdict against them.
    pub refused: u64,
    /// Operations that wait still.
    pub queued: u64,
    /// Stores that could not be reached.
    pub offline: Vec<Offline>,
    /// One file's trouble each.
    pub problems: Vec<Problem>,
    /// Libraries that went away meanwhile, by their number; nothing more was read from them.
    pub lost: BTreeMap<i64, Probe>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// Sends what is due to every store that can be reached, or to one `only`.
///
/// # Errors
/// See [`SyncError`]; what was committed until then is kept.
pub fn push(
    catalog: &mut Catalog,
    _lock: &RunLock,
    here: &[Here],
    only: Option<i64>,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<PushReport, SyncError> {
    let now_ms = clock.now_ms();
    let mut report = PushReport::default();
    // Before anything leaves: what is new, or moved, or of another kind.
    report.decisions = privacy::settle(catalog, now_ms)?.decisions;
    let grace_days = settings::integer(catalog.read(), &setting::MISSING_GRACE_DAYS)?;
    let grace_scans = settings::integer(catalog.read(), &setting::MISSING_GRACE_SCANS)?;
    report.retired_objects = catalog.change::<_, CatalogError>(|tx| {
        outbox::recover(tx, now_ms)?;
        outbox::prune(tx, KEEP_DONE_MS, now_ms)?;
        ledger::retire_gone(tx, now_ms - grace_days * 24 * 60 * 60 * 1_000, grace_scans, now_ms)
    })?;
    let waiting = queue::standing(catalog.read(), None, now_ms)?;
    monitor.phase(Phase::Push, Some(waiting.pending));
    for row in stores::all(catalog.read())? {
        if row.paused || only.is_some_and(|only| only != row.store_id) || monitor.cancelled() {
            continue;
        }
        if row.not_before > clock.now_ms() {
            let until = Timestamp::from_millisecond(row.not_before).unwrap_or(Timestamp::MAX);
            let error = Away::AskedToWait { until };
            report.offline.push(Offline { store: row.name, url: row.url, error });
            continue;
        }
        let store = match open_known(catalog, &row, clock)? {
            Ok(store) => store,
            Err(error) => {
                note_offline(catalog, &row, &error, clock)?;
                report.offline.push(Offline { store: row.name, url: row.url, error });
                continue;
            }
        };
        let mut run = Run {
            catalog,
            row: &row,
            store: &*store,
            here,
            clock,
            monitor,
            ids: Ids::default(),
            report: &mut report,
        };
        if let Err(error) = run.drain()? {
            let error = Away::Store(error);
            note_offline(catalog, &row, &error, clock)?;
            report.offline.push(Offline { store: row.name, url: row.url, error });
        }
    }
    report.interrupted = monitor.cancelled();
    report.queued = queue::standing(catalog.read(), None, clock.now_ms())?.pending;
    Ok(report)
}

fn note_offline(
    catalog: &mut Catalog,
    row: &StoreRow,
    error: &Away,
    clock: &dyn Clock,
) -> Result<(), CatalogError> {
    let now_ms = clock.now_ms();
    // A store that says when to come back is not called before (S6). Otherwise the next run tries again: whoever runs a sync
    // has just plugged in a disk or found a network.
    let asked = match error {
        Away::Store(error) => error.retry_after(),
        _ => None,
    };
    let not_before =
        asked.map_or(0, |asked| now_ms.saturating_add(i64::try_from(asked.as_millis()).unwrap_or(i64::MAX)));
    catalog.change(|tx| {
        stores::channel_failed(tx, row.store_id, code::CONNECTION, &chain(error), not_before, now_ms)
    })
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Opens a store and makes sure that it is the one our ledger is about (T7).
pub(super) fn open_known(
    catalog: &mut Catalog,
    row: &StoreRow,
    clock: &dyn Clock,
) -> Result<Result<Box<dyn Store>, Away>, SyncError> {
    let url = StoreUrl::parse(&row.url, std::path::Path::new("/"))
        .map_err(|source| SyncError::Url { store: row.name.clone(), source })?;
    let access = Access::known(row.password_command.as_deref(), row.found);
    let opened = remote::open(&url, &access, clock.now()).and_then(|store| Ok((store.identity()?, store)));
    let (identity, store) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error.into())),
    };
    let Some(identity) = identity else { return Ok(Err(Away::NotAStore)) };
    if identity.store != row.remote_store {
        return Ok(Err(Away::OtherStore { expected: row.remote_store.clone(), found: identity.store }));
    }
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        if identity.generation != row.generation {
            stores::refill(tx, &mut Ids::default(), row.store_id, &identity.generation, now_ms)?;
        }
        stores::channel_ok(tx, row.store_id, now_ms)
    })?;
    Ok(Ok(store.into_objects().expect("TODO")))
}

/// One store's turn.
pub(super) struct Run<'a> {
    pub(super) catalog: &'a mut Catalog,
    pub(super) row: &'a StoreRow,
    pub(super) store: &'a dyn Store,
    pub(super) here: &'a [Here],
    pub(super) clock: &'a dyn Clock,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) ids: Ids,
    pub(super) report: &'a mut PushReport,
}

/// How the objects of one operation came out so far.
#[derive(Debug)]
enum Fate {
    Going,
    Refused(String),
    Source,
}

/// Whether a document may leave as far as when its bytes were made. Where that cannot be found out, it stays.
fn may_still_leave(conn: &Mutex<Connection>, transfer: &Transfer) -> bool {
    let conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
    let said = documents::annotations(&conn, transfer.document_id);
    let now = said.and_then(|said| privacy::of(&conn, transfer.document_id, &said));
    now.is_ok_and(|now| Some(now) <= transfer.privacy)
}

impl Run<'_> {
    fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Leases and sends until nothing is due that was due when it began: what failed meanwhile waits for the next run, or
    /// a queue whose sources cannot be read would come due again faster than it is gone through, for ever. The inner
    /// error is the channel's: the store cannot be reached any more.
    fn drain(&mut self) -> Result<Result<(), StoreError>, SyncError> {
        let due_ms = self.now_ms();
        loop {
            if self.monitor.cancelled() {
                return Ok(Ok(()));
            }
            let deletions = self.lease("delete", due_ms)?;
            let mirrors = self.lease("mirror", due_ms)?;
            point("push-leased");
            if deletions.is_empty() && mirrors.is_empty() {
                return Ok(Ok(()));
            }
            if let Err(error) = super::orphans::delete_all(self, deletions)? {
                self.release(&mirrors)?;
                return Ok(Err(error));
            }
            if let Err(error) = self.mirror_all(mirrors)? {
                return Ok(Err(error));
            }
        }
    }

    /// Leases what was due at `due_ms`.
    pub(super) fn lease(&mut self, kind: &str, due_ms: i64) -> Result<Vec<Leased>, CatalogError> {
        let now_ms = self.now_ms();
        let token = self.ids.next(now_ms).to_string();
        let readable = self.readable();
        let owner = format!("process {}", std::process::id());
        let ask = Ask {
            channel_id: self.row.store_id,
            kind,
            owner: &owner,
            token: &token,
            until_ms: now_ms + LEASE_MS,
            readable: &readable,
            limit: BATCH,
        };
        self.catalog.change(|tx| outbox::lease(tx, &ask, due_ms))
    }

    /// The libraries whose disk is still here (D3): one that was pulled meanwhile has nothing to send from.
    fn readable(&mut self) -> Vec<i64> {
        if self.row.payload == StorePayload::Enriched {
            // Rendered from the catalogue: no disk is asked.
            return Vec::new();
        }
        for library_id in self.still_here().iter().map(|here| here.library.library_id).collect::<Vec<_>>() {
            self.look_again(library_id);
        }
        self.still_here().iter().map(|here| here.library.library_id).collect()
    }

    /// Those that have not gone away so far. One that has is not gone back to in the same run: a disk that hangs would cost
    /// a deadline a file.
    fn still_here(&self) -> Vec<&Here> {
        self.here.iter().filter(|here| !self.report.lost.contains_key(&here.library.library_id)).collect()
    }

    /// Notices whether a library has gone away.
    fn look_again(&mut self, library_id: i64) {
        let gone = self.still_here().into_iter().find(|here| here.library.library_id == library_id);
        if let Some(Err(probe)) = gone.map(|here| here.root.recheck()) {
            self.report.lost.insert(library_id, probe);
        }
    }

    /// Hands leases back without blame.
    pub(super) fn release(&mut self, ops: &[Leased]) -> Result<(), CatalogError> {
        let now_ms = self.now_ms();
        self.catalog.change(|tx| {
            for op in ops {
                outbox::end(tx, op, Ending::Released { not_before: now_ms }, now_ms)?;
            }
            Ok(())
        })
    }

    fn mirror_all(&mut self, ops: Vec<Leased>) -> Result<Result<(), StoreError>, SyncError> {
        let mut waiting = ops.into_iter().peekable();
        while waiting.peek().is_some() {
            let mut chunk = Vec::new();
            let mut bytes = 0;
            while bytes < CHUNK_BYTES
                && let Some(op) = waiting.next()
            {
                let making = make(self.catalog, self.row, &self.still_here(), op.document_id)?;
                bytes += making
                    .wanted
                    .iter()
                    .filter_map(|(_, bytes)| bytes.as_ref())
                    .map(Bytes::in_memory)
                    .sum::<u64>();
                chunk.push((op, making));
            }
            let cancelled = self.monitor.cancelled();
            let sent = if cancelled {
                let ops: Vec<Leased> = chunk.into_iter().map(|(op, _)| op).collect();
                self.release(&ops)?;
                Ok(())
            } else {
                self.mirror_chunk(chunk)?
            };
            if cancelled || sent.is_err() {
                let rest: Vec<Leased> = waiting.collect();
                self.release(&rest)?;
                return Ok(sent);
            }
        }
        Ok(Ok(()))
    }

    fn mirror_chunk(&mut self, chunk: Vec<(Leased, Making)>) -> Result<Result<(), StoreError>, SyncError> {
        let (ops, mut transfers) = self.plan_chunk(chunk)?;
        point("push-planned");
        let mut fates: Vec<Fate> = ops.iter().map(|_| Fate::Going).collect();
        let mut away = None;
        let parallel = self.store.capabilities().parallel;

        self.advance(&transfers, &[ObjectState::Planned], ObjectState::Uploading)?;
        point("push-uploading");
        let to_send =
            |transfer: &Transfer| matches!(transfer.state, ObjectState::Planned | ObjectState::Uploading);
        let still = Mutex::new(self.catalog.reader()?);
        let results = side_by_side(&transfers, parallel, to_send, |transfer| {
            // A chunk may take hours to send: what somebody took back meanwhile is not sent. Its operation goes back, and
            // ends at its next lease.
            may_still_leave(&still, transfer).then(|| send(self.store, transfer, self.monitor))
        });
        point("push-sent");
        let mut sent = (0, 0);
        for (at, result) in results {
            let Some(result) = result else { continue };
            match result {
                Ok(Put::Created) => {
                    sent.0 += 1;
                    sent.1 += transfers[at].expect.bytes;
                    transfers[at].state = ObjectState::Uploaded;
                }
                Ok(Put::AlreadyThere) => transfers[at].state = ObjectState::Uploaded,
                Err(error) => self.judge(&transfers[at], error, &mut fates, &mut away),
            }
        }
        self.report.uploaded_objects += sent.0;
        self.report.uploaded_bytes += sent.1;
        self.keep(&transfers, ObjectState::Uploaded)?;
        point("push-uploaded");

        let to_prove = |transfer: &Transfer| transfer.state == ObjectState::Uploaded;
        for (at, result) in
            side_by_side(&transfers, parallel, to_prove, |transfer| prove(self.store, transfer))
        {
            match result {
                Ok(()) => transfers[at].state = ObjectState::Verified,
                Err(error) => self.judge(&transfers[at], error, &mut fates, &mut away),
            }
        }
        self.keep(&transfers, ObjectState::Verified)?;
        point("push-verified");

        // A store that must say first that an object can be found is asked here; a directory has nothing to say.
        for transfer in transfers.iter_mut().filter(|transfer| transfer.state == ObjectState::Verified) {
            transfer.state = ObjectState::Searchable;
        }
        self.keep(&transfers, ObjectState::Searchable)?;
        point("push-searchable");
        self.conclude(&ops, &transfers, &fates)?;
        point("push-current");
        Ok(match away {
            Some(error) => Err(error),
            None => Ok(()),
        })
    }

    /// Fixes the bytes of each operation and writes down what is to be sent.
    fn plan_chunk(
        &mut self,
        chunk: Vec<(Leased, Making)>,
    ) -> Result<(Vec<Leased>, Vec<Transfer>), SyncError> {
        let now_ms = self.now_ms();
        let store_id = self.row.store_id;
        let tx = self.catalog.write()?;
        let mut ops = Vec::new();
        let mut transfers = Vec::new();
        for (op, making) in chunk {
            if making.source_away {
                outbox::end(&tx, &op, Ending::Released { not_before: now_ms + SOURCE_PAUSE_MS }, now_ms)?;
                continue;
            }
            let (wanted, mut bytes): (Vec<Wanted>, Vec<Option<Bytes>>) = making.wanted.into_iter().unzip();
            let fingerprint = fingerprint(&wanted);
            if op.payload_hash.is_some_and(|fixed| fixed != fingerprint) {
                // Leased before with other bytes, which may have arrived: the document has changed since (T4).
                outbox::end(&tx, &op, Ending::Superseded, now_ms)?;
                outbox::enqueue_mirror(&tx, &mut self.ids, op.document_id, now_ms)?;
                continue;
            }
            let total = wanted.iter().map(|wanted| wanted.bytes).sum();
            outbox::fix_payload(&tx, &op, fingerprint, total, now_ms)?;
            let held = ledger::held(&tx, store_id, op.document_id)?;
            let at = ops.len();
            let mut going = false;
            for step in plan(&wanted, &held) {
                let (object_id, state, of) = match step {
                    Step::Keep => continue,
                    Step::Abandon { object_id } => {
                        ledger::orphan(&tx, object_id, "abandoned", now_ms)?;
                        continue;
                    }
                    Step::Continue { object_id, state, wanted } => (object_id, state, wanted),
                    Step::Revive { object_id, wanted } => {
                        ledger::revive(&tx, object_id, now_ms)?;
                        (object_id, ObjectState::Planned, wanted)
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
                        (ledger::plan(&tx, &row, now_ms)?, ObjectState::Planned, of)
                    }
                };
                going = true;
                transfers.push(Transfer {
                    op: at,
                    object_id,
                    state,
                    key: wanted[of].remote_id.parse().expect("made by ObjectKey itself"),
                    expect: Expect { bytes: wanted[of].bytes, hash: wanted[of].upload_hash },
                    bytes: bytes[of]
                        .take()
                        .expect("each wanted object has one step, and what needs no bytes is kept"),
                    document_id: op.document_id,
                    privacy: making.privacy,
                });
            }
            if going {
                ops.push(op);
            } else {
                outbox::end(&tx, &op, Ending::Done { note: making.note }, now_ms)?;
                self.monitor.count(Counter::OperationsDone, 1);
            }
        }
        tx.commit().map_err(CatalogError::from)?;
        Ok((ops, transfers))
    }

    /// Writes down that these go on to a step.
    fn advance(
        &mut self,
        transfers: &[Transfer],
        from: &[ObjectState],
        to: ObjectState,
    ) -> Result<(), CatalogError> {
        let now_ms = self.clock.now_ms();
        self.catalog.change(|tx| {
            for transfer in transfers.iter().filter(|transfer| from.contains(&transfer.state)) {
                ledger::advance(tx, transfer.object_id, to, now_ms)?;
            }
            Ok(())
        })
    }

    fn keep(&mut self, transfers: &[Transfer], reached: ObjectState) -> Result<(), CatalogError> {
        self.advance(transfers, &[reached], reached)
    }

    /// Whose fault is it? (T5)
    fn judge(
        &mut self,
        transfer: &Transfer,
        error: StoreError,
        fates: &mut [Fate],
        away: &mut Option<StoreError>,
    ) {
        match error.class() {
            ErrorClass::Channel => {
                away.get_or_insert(error);
            }
            ErrorClass::Verdict => fates[transfer.op] = Fate::Refused(chain(&error)),
            ErrorClass::Source => {
                if let Bytes::File { rel, library_id, .. } = &transfer.bytes {
                    self.look_again(*library_id);
                    let message = format!("not sent, the next scan looks at it again: {}", chain(&error));
                    let problem = Problem::new(rel.clone(), ProblemKind::ReadError, message);
                    self.monitor.problem(&problem);
                    self.report.problems.push(problem);
                }
                fates[transfer.op] = Fate::Source;
            }
        }
    }

    /// Switches what is usable, and ends the leases.
    fn conclude(
        &mut self,
        ops: &[Leased],
        transfers: &[Transfer],
        fates: &[Fate],
    ) -> Result<(), CatalogError> {
        let now_ms = self.clock.now_ms();
        let mut of_op: HashMap<usize, Vec<&Transfer>> = HashMap::new();
        for transfer in transfers {
            of_op.entry(transfer.op).or_default().push(transfer);
        }
        let random = u64::from(self.clock.now().subsec_nanosecond().unsigned_abs());
        let mut done = 0;
        let mut refused = 0;
        self.catalog.change::<_, CatalogError>(|tx| {
            for (at, op) in ops.iter().enumerate() {
                let objects = of_op.get(&at).map_or(&[][..], Vec::as_slice);
                for object in objects.iter().filter(|object| object.state == ObjectState::Searchable) {
                    ledger::switch(tx, object.object_id, now_ms)?;
                }
                let ending = match &fates[at] {
                    Fate::Refused(text) => {
                        refused += 1;
                        let wait = backoff(op.attempts + 1, random);
                        let not_before = now_ms + i64::try_from(wait).unwrap_or(0);
                        Ending::Refused { text, code: code::REFUSED, not_before, limit: VERDICTS }
                    }
                    Fate::Source => Ending::Released { not_before: now_ms + SOURCE_PAUSE_MS },
                    Fate::Going if objects.iter().all(|object| object.state == ObjectState::Searchable) => {
                        done += 1;
                        Ending::Done { note: None }
                    }
                    Fate::Going => Ending::Released { not_before: now_ms },
                };
                outbox::end(tx, op, ending, now_ms)?;
            }
            Ok(())
        })?;
        self.report.refused += refused;
        self.monitor.count(Counter::OperationsDone, done);
        Ok(())
    }
}
