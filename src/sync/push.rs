//! Sends what waits in the outbox to the stores, one store's turn after the other.
//!
//! A turn is a `Run`; how it goes from lease to verdict stands in `line`, `ready`, `carry` and `settle`. A process that dies
//! anywhere leaves every object at a step from which the next run goes on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::channel::{enter, note_offline};
use super::connectivity::{self, Connectivity, Heard};
use super::devices::{self, Kept};
use super::line::What;
use super::{Away, Here, Offline, SyncError, code};
use crate::catalog::outbox::{self, Ask, Ending, Leased};
use crate::catalog::stores::{self, StorePayload, StoreRow};
use crate::catalog::{
    Catalog, CatalogError, Ids, SENDER_MS, Sender, invalid, ledger, privacy, queue, scope, settings,
};
use crate::clock::Clock;
use crate::model::{Problem, setting};
use crate::monitor::{Monitor, Phase};
use crate::remote::Opened;
use crate::volume::Probe;

/// What could not be read from a library's disk is not tried again in the same run.
pub(super) const SOURCE_PAUSE_MS: i64 = 60 * 1_000;
/// Done operations are kept for so long, for people who ask what happened.
const KEEP_DONE_MS: i64 = 30 * 24 * 60 * 60 * 1_000;

/// What a push did.
#[derive(Debug, Default)]
pub struct PushReport {
    /// Objects that stores took from us.
    pub uploaded_objects: u64,
    /// Their bytes.
    pub uploaded_bytes: u64,
    /// Orphans that were deleted.
    pub deleted_objects: u64,
    /// Objects that became orphans because no disk has their document any more.
    pub retired_objects: u64,
    /// Of those that were deleted, those whose document may not be there any more.
    pub recalled_objects: u64,
    /// Deletions that wait, because other devices may need the objects.
    pub kept: Vec<Kept>,
    /// Decisions that wait because a rule about privacy would take back too much.
    pub decisions: Vec<i64>,
    /// Operations that ended with a verdict against them.
    pub refused: u64,
    /// Operations that alone did not get through; they wait, too.
    pub strayed: u64,
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
    sender: &Sender,
    here: &[Here],
    only: Option<i64>,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<PushReport, SyncError> {
    push_to(catalog, sender, here, &|row| only.is_none_or(|only| only == row.store_id), clock, monitor)
}

/// The same, to those that are `wanted`.
pub(super) fn push_to(
    catalog: &mut Catalog,
    sender: &Sender,
    here: &[Here],
    wanted: &dyn Fn(&StoreRow) -> bool,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<PushReport, SyncError> {
    let now_ms = clock.now_ms();
    // Before anything leaves: what is new, or moved, or of another kind.
    let decisions = privacy::settle(catalog, now_ms)?.decisions;
    scope::settle(catalog, now_ms)?;
    let mut report = PushReport { decisions, ..PushReport::default() };
    let grace_days = settings::integer(catalog.read(), &setting::MISSING_GRACE_DAYS)?;
    let grace_scans = settings::integer(catalog.read(), &setting::MISSING_GRACE_SCANS)?;
    report.retired_objects = catalog.change::<_, CatalogError>(|tx| {
        outbox::prune(tx, KEEP_DONE_MS, now_ms)?;
        report.refused += invalid::give_up(tx, code::INVALID, now_ms)? as u64;
        ledger::retire_gone(tx, now_ms - grace_days * 24 * 60 * 60 * 1_000, grace_scans, now_ms)
    })?;
    let waiting = queue::standing(catalog.read(), None, now_ms)?;
    monitor.phase(Phase::Push, Some(waiting.pending));
    for row in stores::all(catalog.read())? {
        if row.paused || !wanted(&row) || monitor.cancelled() {
            continue;
        }
        if let Some(until_ms) = row.asked_until(clock.now_ms()) {
            let until = Timestamp::from_millisecond(until_ms).unwrap_or(Timestamp::MAX);
            let error = Away::AskedToWait { until };
            report.offline.push(Offline {
                store: row.name,
                url: row.url,
                code: Heard::BrokeOff.code(),
                error,
            });
            continue;
        }
        let entered = match enter(catalog, &row, clock)? {
            Ok(store) => match keeps(catalog, &row, &store, clock, &mut report)? {
                Ok(keeps) => Ok((store, keeps)),
                Err(error) => Err((Heard::BrokeOff, error)),
            },
            Err(error) => Err(error),
        };
        let (store, only_recalled) = match entered {
            Ok(entered) => entered,
            Err((heard, error)) => {
                report.offline.push(note_offline(catalog, &row, heard, error, clock)?);
                continue;
            }
        };
        let with = With { sender, here, clock, monitor };
        let mut turn = Run::begin(catalog, &row, &store, with, &mut report)?;
        turn.only_recalled = only_recalled;
        let drained = turn.drain(What::Everything)?;
        turn.count_strayed()?;
        // Whatever is left in line: whether what people ask can become the new is for the index to see.
        let settled = drained.and_then(|()| match &store {
            Opened::Index(index) if !monitor.cancelled() => index.settle(),
            _ => Ok(()),
        });
        match settled {
            Err(error) => {
                let error = Away::Store(error);
                report.offline.push(note_offline(catalog, &row, Heard::BrokeOff, error, clock)?);
            }
            // Said only now of one that answered before, too, and took nothing.
            Ok(()) if Connectivity::of(&row).is_broken() && !monitor.cancelled() => {
                connectivity::hear(catalog, &row, Heard::Answer, None, &[], clock.now_ms())?;
            }
            Ok(()) => {}
        }
    }
    sender.rest(catalog)?;
    report.interrupted = monitor.cancelled();
    report.queued = queue::standing(catalog.read(), None, clock.now_ms())?.pending;
    Ok(report)
}

/// Whether what stands in line to be deleted stays, because other devices keep objects there: the word for it was given while
/// that could not be asked.
fn keeps(
    catalog: &mut Catalog,
    row: &StoreRow,
    store: &Opened,
    clock: &dyn Clock,
    report: &mut PushReport,
) -> Result<Result<bool, Away>, CatalogError> {
    let deletions = outbox::deletions(catalog.read(), row.store_id)?;
    if deletions == 0 {
        return Ok(Ok(false));
    }
    Ok(match devices::others_as_told(catalog, store, clock.now_ms())? {
        Ok(Some(others)) if others.is_empty() => Ok(false),
        Ok(devices) => {
            report.kept.push(Kept { store: row.name.clone(), orphans: deletions, devices });
            Ok(true)
        }
        Err(error) => Err(Away::Store(error)),
    })
}

/// How much at once, and how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Operations leased at once, to begin with.
    pub(super) batch: usize,
    /// Operations leased at once while there is a backlog.
    pub(super) batch_max: usize,
    /// Rendered bytes in memory at once, beyond the one object that passes it.
    pub(super) room_bytes: u64,
    /// Verdicts that end an operation.
    pub(super) verdicts: u32,
}

impl Limits {
    fn read(catalog: &Catalog) -> Result<Self, CatalogError> {
        let integer = |setting| settings::integer(catalog.read(), setting);
        let batch = usize::try_from(integer(&setting::SYNC_BATCH)?).unwrap_or(1).max(1);
        Ok(Limits {
            batch,
            batch_max: usize::try_from(integer(&setting::SYNC_BATCH_MAX)?).unwrap_or(1).max(batch),
            room_bytes: u64::try_from(integer(&setting::SYNC_ROOM_KB)?).unwrap_or(0) << 10,
            verdicts: u32::try_from(integer(&setting::SYNC_VERDICTS)?).unwrap_or(1),
        })
    }
}

/// What a turn is taken with.
#[derive(Clone, Copy)]
pub(super) struct With<'a> {
    pub(super) sender: &'a Sender,
    /// Libraries whose disks can be read.
    pub(super) here: &'a [Here],
    pub(super) clock: &'a dyn Clock,
    pub(super) monitor: &'a dyn Monitor,
}

/// One store's turn.
pub(super) struct Run<'a> {
    pub(super) catalog: &'a mut Catalog,
    pub(super) row: &'a StoreRow,
    pub(super) store: &'a Opened,
    pub(super) here: &'a [Here],
    pub(super) clock: &'a dyn Clock,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) ids: Ids,
    pub(super) report: &'a mut PushReport,
    pub(super) limits: Limits,
    /// How an index reads what it is given; part of every key.
    pub(super) manner: Option<String>,
    /// Nothing is known of what the store has: it may have what another catalogue gave it.
    pub(super) unknown_ground: bool,
    /// Proof of this turn's leases.
    pub(super) sender: &'a Sender,
    /// When they were renewed last, in milliseconds.
    pub(super) renewed_ms: i64,
    /// When what this turn sent back comes due, in milliseconds: what cannot be found yet, what did not get through.
    pub(super) wakes: BTreeSet<i64>,
    /// Operations that did not get through once in this turn.
    pub(super) strayed: BTreeSet<i64>,
    /// Something was done since trouble was met last.
    pub(super) got_through: bool,
    /// What only was replaced stays: other devices may need it.
    pub(super) only_recalled: bool,
}

/// How the objects of one operation came out so far.
#[derive(Debug)]
pub(super) enum Fate {
    /// Well.
    Going,
    /// Well, as far as that goes without a disk.
    Halfway,
    /// It was not begun, or broken off: back into the queue.
    Back,
    /// Its objects cannot be found yet: looked at again at that time, in milliseconds.
    Waits(i64),
    /// What was to be sent could not be read.
    Source(String),
    /// It did not get through, and it cannot be told whose fault that was.
    Strayed(String),
    /// The store will not have it as it is.
    Refused(String),
    /// Nor will it ever, and it need not be asked again.
    Invalid(String),
    /// The lease is another's.
    Lost,
}

impl Fate {
    const fn weight(&self) -> u8 {
        match self {
            Fate::Going => 0,
            Fate::Halfway => 1,
            Fate::Waits(_) => 2,
            Fate::Back => 3,
            Fate::Source(_) => 4,
            Fate::Strayed(_) => 5,
            Fate::Refused(_) => 6,
            Fate::Invalid(_) => 7,
            Fate::Lost => 8,
        }
    }

    /// What one object met; what weighs more stays.
    pub(super) fn turn(&mut self, other: Fate) {
        if other.weight() > self.weight() {
            *self = other;
        }
    }
}

impl<'a> Run<'a> {
    /// Begins a store's turn.
    pub(super) fn begin(
        catalog: &'a mut Catalog,
        row: &'a StoreRow,
        store: &'a Opened,
        with: With<'a>,
        report: &'a mut PushReport,
    ) -> Result<Run<'a>, CatalogError> {
        let With { sender, here, clock, monitor } = with;
        let now_ms = clock.now_ms();
        let manner = match store {
            Opened::Objects(_) => None,
            Opened::Index(index) => index.manner(),
        };
        Ok(Run {
            limits: Limits::read(catalog)?,
            unknown_ground: ledger::count_live(catalog.read(), row.store_id)? == 0,
            catalog,
            row,
            store,
            here,
            clock,
            monitor,
            report,
            manner,
            sender,
            ids: Ids::default(),
            renewed_ms: now_ms,
            wakes: BTreeSet::new(),
            strayed: BTreeSet::new(),
            got_through: false,
            only_recalled: false,
        })
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub(super) fn random(&self) -> u64 {
        u64::from(self.clock.now().subsec_nanosecond().unsigned_abs())
    }

    /// Leases what was due at `due_ms`.
    pub(super) fn lease(&mut self, kind: &str, limit: usize, due_ms: i64) -> Result<Vec<Leased>, SyncError> {
        let now_ms = self.now_ms();
        let sender = self.sender;
        let readable = self.readable();
        let owner = format!("process {}", std::process::id());
        let ask = Ask {
            channel_id: self.row.store_id,
            kind,
            owner: &owner,
            token: sender.token(),
            until_ms: now_ms + SENDER_MS,
            only_recalled: self.only_recalled,
            readable: &readable,
            limit,
        };
        self.catalog.change::<_, SyncError>(|tx| {
            // One that slept past its word leases nothing any more.
            if sender.is_current(tx)? {
                Ok(outbox::lease(tx, &ask, due_ms)?)
            } else {
                Err(SyncError::TakenOver)
            }
        })
    }

    /// Says that this process is at it still, where it is time to: its leases hold on.
    pub(super) fn renew(&mut self) -> Result<(), SyncError> {
        let now_ms = self.now_ms();
        // Also after a clock was set back: others look at the same clock.
        if (now_ms - self.renewed_ms).abs() < SENDER_MS / 3 {
            return Ok(());
        }
        let sender = self.sender;
        if !self.catalog.change::<_, CatalogError>(|tx| sender.renew(tx, now_ms))? {
            return Err(SyncError::TakenOver);
        }
        self.renewed_ms = now_ms;
        Ok(())
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
    pub(super) fn still_here(&self) -> Vec<&Here> {
        self.here.iter().filter(|here| !self.report.lost.contains_key(&here.library.library_id)).collect()
    }

    /// Notices whether a library has gone away.
    pub(super) fn look_again(&mut self, library_id: i64) {
        let gone = self.still_here().into_iter().find(|here| here.library.library_id == library_id);
        if let Some(Err(probe)) = gone.map(|here| here.root.recheck()) {
            self.report.lost.insert(library_id, probe);
        }
    }

    /// Tells what did not get through, and does not by now.
    fn count_strayed(&mut self) -> Result<(), CatalogError> {
        for seq in &self.strayed {
            self.report.strayed += u64::from(queue::is_astray(self.catalog.read(), *seq)?);
        }
        Ok(())
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
}
