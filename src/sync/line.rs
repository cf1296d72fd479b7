//! The line from the outbox to one store: leased, made ready, carried by several workers at once, settled.
//!
//! One thread owns the catalogue. It leases a batch, fixes its bytes, hands the objects to the workers and writes down what
//! comes back, while they carry the next: what has come back by the time it looks is one transaction. Batches grow while
//! there is a backlog. Nothing is handed out before its lease and its step are committed (T1); a lease that is not ours any
//! more has nothing to say (T3).
//!
//! # Whose fault
//! A verdict is the operation's, and counts (T5). Trouble on the way counts for nobody, but has to be told from trouble with
//! one operation: a proxy that resets on one text would hold up all others for ever. So after such an error the store is
//! asked who it is. Where it does not answer, it is away, and the turn ends; where it does, this operation waits, longer each
//! time, and the others go on. Several such errors in a row are the channel's whatever it answers, and so is a turn in which
//! nothing got through.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::SyncError;
use super::backoff::backoff;
use super::carry::{Carried, Stopped, carry, erase};
use super::push::{Fate, Run};
use super::transfer::Transfer;
use crate::catalog::outbox::{self, Leased};
use crate::catalog::{CatalogError, Connection, documents, ledger, privacy};
use crate::power::point;
use crate::remote::index::RemoteName;
use crate::remote::{AwayReason, Deleted, ErrorClass, Identity, ObjectKey, Opened, StoreError};

/// How often a person's wish to end the run is looked for.
const TICK: Duration = Duration::from_millis(200);
/// So many operations in a row that do not get through are the channel's trouble, whatever the store says of itself.
const STRIKES: u32 = 5;
/// Longer waits that a busy store asks for are for the next run.
const PATIENCE_MS: u64 = 60 * 1_000;
/// So long a turn waits in all for what only needs time; the next run goes on with the rest.
const WAITING_MS: i64 = 2 * 60 * 1_000;

/// What a worker is handed.
#[derive(Debug)]
pub(super) enum Job {
    Carry(Box<Transfer>),
    Erase(Erasure),
}

/// An orphan that is to be deleted.
#[derive(Debug)]
pub(super) struct Erasure {
    pub(super) seq: i64,
    pub(super) object_id: i64,
    pub(super) key: ObjectKey,
    pub(super) name: Option<RemoteName>,
}

/// What a worker hands back.
#[derive(Debug)]
pub(super) enum Done {
    Carried(Box<Transfer>, Carried),
    /// Nothing where it cannot be told.
    Erased(Erasure, Option<Result<Deleted, StoreError>>),
    NotBegun(Job),
}

impl Job {
    pub(super) fn seq(&self) -> i64 {
        match self {
            Job::Carry(transfer) => transfer.seq,
            Job::Erase(erasure) => erasure.seq,
        }
    }

    fn in_memory(&self) -> u64 {
        match self {
            Job::Carry(transfer) => transfer.bytes.in_memory(),
            Job::Erase(_) => 0,
        }
    }
}

impl Done {
    pub(super) fn seq(&self) -> i64 {
        match self {
            Done::Carried(transfer, _) => transfer.seq,
            Done::Erased(erasure, _) => erasure.seq,
            Done::NotBegun(job) => job.seq(),
        }
    }

    fn in_memory(&self) -> u64 {
        match self {
            Done::Carried(transfer, _) => transfer.bytes.in_memory(),
            Done::Erased(..) => 0,
            Done::NotBegun(job) => job.in_memory(),
        }
    }

    /// The error that is about the way to the store.
    fn channel_error(&mut self) -> Option<StoreError> {
        match self {
            Done::Carried(_, Carried { stopped, .. }) => match stopped.take() {
                Some(Stopped::Error(error)) if error.class() == ErrorClass::Channel => Some(error),
                other => {
                    *stopped = other;
                    None
                }
            },
            // A key that may write and not delete says nothing of what is to be sent.
            Done::Erased(_, erased) => match erased.take() {
                Some(Err(error))
                    if error.class() == ErrorClass::Channel
                        && !matches!(error, StoreError::Denied { .. }) =>
                {
                    Some(error)
                }
                other => {
                    *erased = other;
                    None
                }
            },
            Done::NotBegun(_) => None,
        }
    }
}

/// An operation whose objects are with the workers.
#[derive(Debug)]
pub(super) struct Going {
    pub(super) op: Leased,
    /// Objects that have not come back.
    pub(super) left: usize,
    /// Objects that came back and can be used.
    pub(super) usable: Vec<i64>,
    pub(super) fate: Fate,
}

/// Trouble since something was done last.
#[derive(Debug, Default)]
struct Strikes {
    /// How often the store was busy.
    busy: u32,
    /// Which operations did not get through.
    strayed: BTreeSet<i64>,
    /// How often it could not be asked what it has.
    unasked: u32,
}

/// What is handed out and not settled.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Leased, and not made ready.
    pub(super) waiting: VecDeque<Leased>,
    /// By their place in the queue.
    pub(super) going: HashMap<i64, Going>,
    /// Objects with the workers.
    jobs: usize,
    in_memory: u64,
    /// Operations that did not get through lately.
    strayed: BTreeSet<i64>,
}

impl Line {
    /// Takes what was made ready for an operation.
    pub(super) fn go(&mut self, op: Leased, jobs: usize, halfway: bool) {
        let fate = if halfway { Fate::Halfway } else { Fate::Going };
        let going = Going { left: jobs, usable: Vec::new(), fate, op };
        self.going.insert(going.op.seq, going);
    }
}

/// The workers, as the line sees them.
struct Workers<'a> {
    jobs: &'a Sender<Job>,
    done: &'a Receiver<Done>,
    /// What is not begun is handed back.
    halt: &'a AtomicBool,
    /// One of them has panicked: what it held never comes back.
    fell: &'a AtomicBool,
}

/// Says that a worker fell, so that nobody waits for what it held.
struct Falls<'a> {
    fell: &'a AtomicBool,
    halt: &'a AtomicBool,
}

impl Drop for Falls<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fell.store(true, Ordering::Relaxed);
            self.halt.store(true, Ordering::Relaxed);
        }
    }
}

/// Which operations a turn is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Deletions,
    Everything,
}

impl Run<'_> {
    /// Leases and carries until nothing is due that was due when it began: what failed meanwhile waits for the next run, or
    /// a queue whose sources cannot be read would come due again faster than it is gone through, for ever. The inner
    /// error is the channel's: the store cannot be reached any more.
    pub(super) fn drain(&mut self, what: What) -> Result<Result<(), StoreError>, SyncError> {
        let reader = Mutex::new(self.catalog.reader()?);
        let (store, monitor, clock) = (self.store, self.monitor, self.clock);
        let store_id = self.row.store_id;
        let (jobs, to_do) = unbounded::<Job>();
        let (to_settle, done) = unbounded();
        let (halt, fell) = (AtomicBool::new(false), AtomicBool::new(false));
        // The sender goes with the closure, also when that panics: the workers wait for its end.
        std::thread::scope(|scope| {
            let jobs = jobs;
            for _ in 0..store.capabilities().parallel.max(1) {
                let (to_do, to_settle) = (to_do.clone(), to_settle.clone());
                let (halt, fell, reader) = (&halt, &fell, &reader);
                scope.spawn(move || {
                    let _falls = Falls { fell, halt };
                    for job in to_do {
                        let done = if halt.load(Ordering::Relaxed) {
                            Done::NotBegun(job)
                        } else {
                            work(store, job, store_id, reader, clock.now_ms(), monitor)
                        };
                        // The other end is gone only when the line gave up: nobody needs to know then.
                        let _ = to_settle.send(done);
                    }
                });
            }
            let outcome =
                self.run_line(what, &Workers { jobs: &jobs, done: &done, halt: &halt, fell: &fell });
            halt.store(true, Ordering::Relaxed);
            drop(jobs);
            outcome
        })
    }

    fn run_line(&mut self, what: What, workers: &Workers<'_>) -> Result<Result<(), StoreError>, SyncError> {
        let mut line = Line::default();
        let mut batch = self.limits.batch;
        let mut due_ms = self.now_ms();
        let mut patience_ms = WAITING_MS;
        let mut strikes = Strikes::default();
        // Whether anything was done in this turn; and the trouble it went on after.
        let (mut any_done, mut survived) = (false, None);
        loop {
            self.renew()?;
            if self.monitor.cancelled() {
                workers.halt.store(true, Ordering::Relaxed);
                self.settle_rest(&mut line, workers)?;
                return Ok(Ok(()));
            }
            let mut trouble = self.hand_out(what, &mut line, &mut batch, due_ms, workers)?;
            // Ended by the user while it was handed out: what waits is given back above.
            if trouble.is_none() && line.jobs == 0 && line.waiting.is_empty() {
                // All is settled. What was taken and cannot be found yet, and what alone did not get through, is waited for,
                // a while (T6).
                let now_ms = self.now_ms();
                // What was due by then was leased just now.
                self.wakes = self.wakes.split_off(&(due_ms + 1));
                // What was said in so many words is not asked twice.
                let is_said = survived.as_ref().is_some_and(says_no);
                match self.wakes.first().copied() {
                    Some(at) if at - now_ms <= patience_ms && (any_done || !is_said) => {
                        patience_ms -= self.pause(u64::try_from(at - now_ms).unwrap_or(0));
                        due_ms = self.now_ms();
                        continue;
                    }
                    // Where nothing got through at all it was nobody in particular.
                    _ if !any_done && (is_said || self.strayed.len() > 1) => {
                        if let Some(error) = survived {
                            return self.ends_with(error, &strikes);
                        }
                    }
                    _ => {}
                }
                return Ok(Ok(()));
            }
            if trouble.is_none() {
                trouble = self.take_back(&mut line, workers)?;
            }
            if trouble.is_some() {
                workers.halt.store(true, Ordering::Relaxed);
                self.settle_rest(&mut line, workers)?;
            }
            let strayed = std::mem::take(&mut line.strayed);
            if std::mem::take(&mut self.got_through) {
                strikes = Strikes::default();
                any_done = true;
            } else {
                strikes.strayed.extend(&strayed);
            }
            let Some(error) = trouble else { continue };
            // What was not handed out at all strays nowhere: the store could not be asked for what was lost.
            strikes.unasked += u32::from(strayed.is_empty());
            match self.goes_on(&error, &mut strikes) {
                true => {
                    survived = Some(error);
                    workers.halt.store(false, Ordering::Relaxed);
                }
                false => {
                    strikes.strayed.extend(strayed);
                    return self.ends_with(error, &strikes);
                }
            }
            due_ms = self.now_ms();
            batch = self.limits.batch;
        }
    }

    /// Ends the turn with trouble that was everybody's: nobody strayed in it.
    fn ends_with(
        &mut self,
        error: StoreError,
        strikes: &Strikes,
    ) -> Result<Result<(), StoreError>, SyncError> {
        let now_ms = self.now_ms();
        let mut nobodys = strikes.strayed.clone();
        if says_no(&error) {
            // Also of those before, between which something small still went in.
            nobodys.extend(&self.strayed);
        }
        self.catalog.change::<_, CatalogError>(|tx| {
            nobodys.iter().try_for_each(|seq| outbox::clear_stray(tx, *seq, now_ms))
        })?;
        Ok(Err(error))
    }

    /// Whether the turn goes on after trouble on the way.
    fn goes_on(&mut self, error: &StoreError, strikes: &mut Strikes) -> bool {
        match error {
            StoreError::Busy { .. } if strikes.busy >= STRIKES => false,
            StoreError::Busy { retry_after, .. } => {
                let wait_ms = match retry_after {
                    Some(asked) => u64::try_from(asked.as_millis()).unwrap_or(u64::MAX),
                    None => backoff(strikes.busy + 1, self.random()),
                };
                strikes.busy += 1;
                if wait_ms > PATIENCE_MS {
                    return false;
                }
                self.pause(wait_ms);
                !self.monitor.cancelled()
            }
            StoreError::Io { .. } | StoreError::Away { reason: AwayReason::Unreachable, .. } => {
                strikes.unasked < STRIKES && self.others_may_get_through(strikes)
            }
            error if says_no(error) => strikes.unasked == 0 && self.others_may_get_through(strikes),
            _ => false,
        }
    }

    /// One operation may fail for ever without saying anything of the others.
    fn others_may_get_through(&self, strikes: &Strikes) -> bool {
        strikes.strayed.len() < STRIKES as usize
            && matches!(self.who_is_it(), Ok(Some(identity)) if identity.store == self.row.remote_store)
    }

    /// Asks the store who it is. A connection that was kept may have gone with the one that broke, and says nothing of the next.
    fn who_is_it(&self) -> Result<Option<Identity>, StoreError> {
        match self.store.identity() {
            Err(StoreError::Away { source: Some(source), .. })
                if source.kind() == std::io::ErrorKind::ConnectionReset =>
            {
                self.store.identity()
            }
            answer => answer,
        }
    }

    /// Lets time pass, unless the user wants the run to end. Returns how much, in milliseconds.
    fn pause(&self, wait_ms: u64) -> i64 {
        let begun = self.now_ms();
        let mut left_ms = wait_ms;
        while left_ms > 0 && !self.monitor.cancelled() {
            let slice_ms = left_ms.min(200);
            self.clock.pause(Duration::from_millis(slice_ms));
            left_ms -= slice_ms;
        }
        // A clock that stands, or was set back, makes no patience.
        (self.now_ms() - begun).max(i64::try_from(wait_ms - left_ms).unwrap_or(0))
    }

    /// Keeps the workers busy. Trouble that comes of asking the store for what was lost is handed back.
    fn hand_out(
        &mut self,
        what: What,
        line: &mut Line,
        batch: &mut usize,
        due_ms: i64,
        workers: &Workers<'_>,
    ) -> Result<Option<StoreError>, SyncError> {
        loop {
            while line.in_memory < self.limits.room_bytes
                && !line.waiting.is_empty()
                && line.going.len() < *batch
                && !self.monitor.cancelled()
            {
                let room = self.limits.room_bytes - line.in_memory;
                let jobs = match self.make_ready(line, room)? {
                    Ok(jobs) => jobs,
                    Err(error) => return Ok(Some(error)),
                };
                for job in jobs {
                    line.in_memory += job.in_memory();
                    line.jobs += 1;
                    workers.jobs.send(job).expect("the workers wait for this channel to end");
                }
            }
            // Leases more before the workers run out of work.
            if !line.waiting.is_empty() || line.going.len() * 2 > *batch || self.monitor.cancelled() {
                return Ok(None);
            }
            let mut leased = self.lease("delete", *batch, due_ms)?;
            if what == What::Everything {
                leased.append(&mut self.lease("mirror", *batch, due_ms)?);
            }
            point("push-leased");
            if leased.is_empty() {
                return Ok(None);
            }
            if leased.len() >= *batch {
                *batch = (*batch * 2).min(self.limits.batch_max);
            }
            line.waiting.extend(leased);
        }
    }

    /// Waits for something to come back, and settles all that has.
    fn take_back(&mut self, line: &mut Line, workers: &Workers<'_>) -> Result<Option<StoreError>, SyncError> {
        let Ok(first) = workers.done.recv_timeout(TICK) else {
            assert!(!workers.fell.load(Ordering::Relaxed), "a worker has panicked, and says why itself");
            return Ok(None);
        };
        let mut back = vec![first];
        back.extend(workers.done.try_iter());
        let mut trouble = None;
        for done in &mut back {
            line.jobs -= 1;
            line.in_memory -= done.in_memory();
            if let Some(error) = done.channel_error() {
                line.strayed.insert(done.seq());
                if let Some(going) = line.going.get_mut(&done.seq()) {
                    going.fate.turn(Fate::Strayed(super::channel::chain(&error)));
                }
                trouble.get_or_insert(error);
            }
        }
        self.settle(line, back)?;
        Ok(trouble)
    }

    /// Waits for all that is with the workers, and gives back what was not begun.
    fn settle_rest(&mut self, line: &mut Line, workers: &Workers<'_>) -> Result<(), SyncError> {
        while line.jobs > 0 {
            self.take_back(line, workers)?;
        }
        let waiting: Vec<Leased> = line.waiting.drain(..).collect();
        Ok(self.release(&waiting)?)
    }
}

/// Whether a store says that it will not write, to all or to one: a firewall before it that forbids one text, and a last
/// gigabyte that one film does not fit into, say so in the words of a bucket that can only be read and of a full disk.
const fn says_no(error: &StoreError) -> bool {
    matches!(error, StoreError::Denied { .. } | StoreError::Full { .. })
}

fn work(
    store: &Opened,
    job: Job,
    store_id: i64,
    reader: &Mutex<Connection>,
    now_ms: i64,
    monitor: &dyn crate::monitor::Monitor,
) -> Done {
    match job {
        Job::Carry(transfer) if !may_still_leave(reader, &transfer) => {
            let carried = Carried {
                state: transfer.state,
                sent: false,
                name: transfer.name.clone(),
                expires_at: None,
                stopped: Some(Stopped::Withdrawn),
            };
            Done::Carried(transfer, carried)
        }
        Job::Carry(transfer) => {
            let carried = carry(store, &transfer, now_ms, monitor);
            Done::Carried(transfer, carried)
        }
        Job::Erase(erasure) => {
            let doubted = Cell::new(false);
            let is_claimed = |name: &RemoteName| {
                let conn = reader.lock().unwrap_or_else(PoisonError::into_inner);
                // Where that cannot be found out, nothing is deleted, and nothing is said to be.
                ledger::is_claimed(&conn, store_id, name.as_str(), erasure.object_id).unwrap_or_else(|_| {
                    doubted.set(true);
                    true
                })
            };
            let erased = erase(store, &erasure.key, erasure.name.as_ref(), &is_claimed);
            point("clean-deleted");
            match doubted.get() {
                true => Done::NotBegun(Job::Erase(erasure)),
                false => Done::Erased(erasure, Some(erased)),
            }
        }
    }
}

/// Whether a document may leave as far as when its bytes were made: it may have waited for hours. Where that cannot be found
/// out, it stays.
fn may_still_leave(reader: &Mutex<Connection>, transfer: &Transfer) -> bool {
    let conn = reader.lock().unwrap_or_else(PoisonError::into_inner);
    let said = documents::annotations(&conn, transfer.document_id);
    let now = said.and_then(|said| privacy::of(&conn, transfer.document_id, &said));
    now.is_ok_and(|now| Some(now) <= transfer.privacy)
}
