//! Keeps a queue draining (O2): sends what is due, waits until something is due again, and sends that; for a person who waits
//! for it, and for a daemon.
//!
//! When to wake is decided in [`super::wake`], from what the catalogue says of the channels and of the queue. So nothing is kept
//! here that would be lost with the process, and whoever begins goes on where another ended. Awake it was too early costs a look
//! at the catalogue, no more: what somebody else commits (a scan, an edit, another sender) is noticed soon (`sync.poll_ms`) by
//! a number that SQLite keeps for that, and everything is decided anew.
//!
//! The sender's lock is held while things are sent and not while they are waited for. Where another process sends it is waited
//! for: perhaps it leaves nothing to do. A disk is asked for its root once a minute at most, and only where files of it wait.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::backoff::backoff;
use super::connectivity::{self, Changed, Connectivity, Listener, Watch};
use super::push::{PushReport, SOURCE_PAUSE_MS, push_to};
use super::wake::{self, Channel, Wake, Why};
use super::{Here, SyncError};
use crate::catalog::stores::{self, ChannelState, StorePayload, StoreRow};
use crate::catalog::{Catalog, CatalogError, Connection, Sender, libraries, outbox, queue, scope, settings};
use crate::clock::Clock;
use crate::model::{Problem, setting};
use crate::monitor::{Counter, Monitor, Phase};

/// How often it is looked whether the user wants it to end, in milliseconds.
const TICK_MS: i64 = 100;
/// How often people are told for what it waits, in milliseconds.
const TELL_MS: i64 = 1_000;
/// When to try again to be the sender where another process is, in milliseconds.
const SENDER_PAUSE_MS: i64 = 2_000;
/// After so many turns that did nothing of what is due it is no matter of time.
const STUCK_TURNS: u32 = 2;
/// Nobody waits for longer without looking again, in milliseconds: the clock may have been set.
const LONGEST_MS: i64 = 10 * 60 * 1_000;

/// When it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When nothing waits that time alone would let go.
    Drained,
    /// Never.
    Cancelled,
}

/// What is kept draining, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// One store's queue; without it all.
    pub only: Option<i64>,
    /// Stores that are away are called at once the first time: who begins it has just found a network.
    pub at_once: bool,
    /// When it ends by itself.
    pub until: Until,
    /// When its time is up, in milliseconds.
    pub time_up_ms: Option<i64>,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Nothing waits that time alone would let go.
    Drained,
    /// The time was up, and something waits still.
    TimeUp,
    /// The user wanted it to end.
    Cancelled,
}

/// For what it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For<'a> {
    /// A store.
    Store {
        /// Its name.
        name: &'a str,
        /// What is waited for there.
        why: Why,
        /// Since when nothing gets there, in milliseconds, where nothing does.
        offline_since: Option<i64>,
    },
    /// Another process, which sends.
    Sender,
    /// Something new.
    News,
}

/// For what it waits, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// For what.
    pub what: For<'a>,
    /// Until when, in milliseconds.
    pub until_ms: i64,
    /// Operations that wait.
    pub queued: u64,
}

/// Who has a queue kept draining: it knows the disks, and people.
pub trait Host {
    /// The libraries whose disks can be read now.
    ///
    /// # Errors
    /// SQLite's.
    fn here(&mut self, catalog: &mut Catalog) -> Result<Vec<Here>, CatalogError>;

    /// It waits. Said when it begins to, and about once a second.
    fn waits(&mut self, waiting: &Waiting<'_>);
}

/// Sends what is due, waits, and sends again. Trouble on the way is in the report: what it lists as offline is so at the end.
///
/// # Errors
/// See [`SyncError`]; what was committed until then is kept.
pub fn keep_sending(
    catalog: &mut Catalog,
    keep: &Keep,
    host: &mut dyn Host,
    listeners: &[&dyn Listener],
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<(PushReport, Ended), SyncError> {
    let watched = Watched {
        monitor,
        clock,
        time_up_ms: keep.time_up_ms.map(AtomicI64::new),
        seen_ms: AtomicI64::new(clock.now_ms()),
        done: AtomicU64::new(0),
    };
    let mut kept = Keeping {
        catalog,
        keep: *keep,
        host,
        listeners,
        clock,
        watched: &watched,
        report: PushReport::default(),
        disks: None,
        idle: HashMap::new(),
    };
    let ended = kept.run()?;
    let mut report = kept.report;
    if ended == Ended::Drained {
        report.strayed = 0;
    }
    report.interrupted = ended == Ended::Cancelled;
    report.queued = queue::standing(catalog.read(), keep.only, clock.now_ms())?.pending;
    Ok((report, ended))
}

/// Hears the user, and lets a turn end when the time is up.
struct Watched<'a> {
    monitor: &'a dyn Monitor,
    clock: &'a dyn Clock,
    time_up_ms: Option<AtomicI64>,
    /// The time when it was asked last, in milliseconds.
    seen_ms: AtomicI64,
    /// Operations done so far.
    done: AtomicU64,
}

impl Watched<'_> {
    fn time_is_up(&self) -> bool {
        let now_ms = self.clock.now_ms();
        self.time_up_ms(now_ms).is_some_and(|at| at <= now_ms)
    }

    /// When the time is up, in milliseconds: earlier by as much as the clock is set back meanwhile.
    fn time_up_ms(&self, now_ms: i64) -> Option<i64> {
        let time_up_ms = self.time_up_ms.as_ref()?;
        // Workers ask, too, and one may have looked at the clock before another and say so after it.
        let back_ms = self.seen_ms.swap(now_ms, Ordering::Relaxed).saturating_sub(now_ms);
        let back_ms = if back_ms > TELL_MS { back_ms } else { 0 };
        Some(time_up_ms.fetch_sub(back_ms, Ordering::Relaxed) - back_ms)
    }
}

impl Monitor for Watched<'_> {
    fn phase(&self, phase: Phase, total: Option<u64>) {
        self.monitor.phase(phase, total);
    }
    fn count(&self, counter: Counter, n: u64) {
        if counter == Counter::OperationsDone {
            self.done.fetch_add(n, Ordering::Relaxed);
        }
        self.monitor.count(counter, n);
    }
    fn problem(&self, problem: &Problem) {
        self.monitor.problem(problem);
    }
    fn cancelled(&self) -> bool {
        self.monitor.cancelled() || self.time_is_up()
    }
}

/// The disks as they were found.
struct Disks {
    here: Vec<Here>,
    looked_at: i64,
}

/// Turns of a store that did nothing of what was due, in a row, and until when it therefore rests, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Idle {
    turns: u32,
    rests_until: i64,
}

struct Keeping<'a> {
    catalog: &'a mut Catalog,
    keep: Keep,
    host: &'a mut dyn Host,
    listeners: &'a [&'a dyn Listener],
    clock: &'a dyn Clock,
    watched: &'a Watched<'a>,
    report: PushReport,
    disks: Option<Disks>,
    idle: HashMap<i64, Idle>,
}

impl Keeping<'_> {
    fn run(&mut self) -> Result<Ended, SyncError> {
        let mut at_once = self.keep.at_once;
        loop {
            // Asked before anything is read: what changes from here on is news.
            let seen = self.catalog.others_changes()?;
            if self.watched.monitor.cancelled() {
                return Ok(Ended::Cancelled);
            }
            let rows = self.wanted()?;
            self.look_at_disks(&rows)?;
            let now_ms = self.clock.now_ms();
            let watch = Watch::of(self.catalog.read())?;
            let channels = self.channels(&rows, now_ms)?;
            // What turn after turn does not touch is waited for by nobody, whatever it waits for itself.
            let is_stuck = |channel: &Channel| {
                self.idle.get(&channel.store_id).is_some_and(|idle| idle.turns >= STUCK_TURNS)
            };
            let goes = |channel: &Channel| channel.has_work() && !is_stuck(channel);
            let is_drained = !at_once && !channels.iter().any(goes);
            if is_drained && self.keep.until == Until::Drained {
                return Ok(Ended::Drained);
            }
            if self.watched.time_is_up() {
                return Ok(Ended::TimeUp);
            }
            let due: Vec<Wake> = channels
                .iter()
                .filter_map(|channel| channel.wake(&watch, now_ms))
                .filter(|wake| wake.at_ms <= now_ms)
                .collect();
            let those = |wakes: &[Wake], away: bool| -> Vec<i64> {
                let of_kind = wakes.iter().filter(|wake| (wake.why == Why::Away) == away);
                of_kind.map(|wake| wake.store_id).collect()
            };
            let (to_ask, to_send) = match at_once {
                // Whoever begins this knows better than what was heard last.
                true => (Vec::new(), rows.iter().filter(|row| !row.paused).map(|row| row.store_id).collect()),
                false => (those(&due, true), those(&due, false)),
            };
            for row in rows.iter().filter(|row| to_ask.contains(&row.store_id)) {
                let goes_on = || !self.watched.cancelled();
                connectivity::probe_while(self.catalog, row, self.listeners, &goes_on, self.clock)?;
            }
            if !to_send.is_empty() {
                match self.send(&rows, &channels, &to_send)? {
                    true => at_once = false,
                    false => self.wait_for_sender()?,
                }
            } else if at_once {
                at_once = false;
            } else if to_ask.is_empty() {
                let wake = wake::next(&channels, &watch, now_ms);
                self.wait(wake, &rows, seen)?;
            }
        }
    }

    /// The stores it is about.
    fn wanted(&self) -> Result<Vec<StoreRow>, CatalogError> {
        let mut rows = stores::all(self.catalog.read())?;
        rows.retain(|row| self.keep.only.is_none_or(|only| only == row.store_id));
        Ok(rows)
    }

    /// Disks are looked at where files of them may be wanted, and not again and again.
    fn look_at_disks(&mut self, rows: &[StoreRow]) -> Result<(), SyncError> {
        let needs = |row: &StoreRow| !row.paused && row.payload != StorePayload::Enriched;
        let now_ms = self.clock.now_ms();
        // Also after a clock was set back.
        let is_fresh = |disks: &Disks| (0..SOURCE_PAUSE_MS).contains(&now_ms.saturating_sub(disks.looked_at));
        let is_fresh = self.disks.as_ref().is_some_and(is_fresh);
        if is_fresh || !rows.iter().any(needs) {
            return Ok(());
        }
        let here = self.host.here(self.catalog)?;
        self.report.lost.retain(|lost, _| here.iter().all(|here| here.library.library_id != *lost));
        self.disks = Some(Disks { here, looked_at: now_ms });
        Ok(())
    }

    /// The libraries whose disks can be read.
    fn readable(&self) -> Vec<i64> {
        let here = self.disks.iter().flat_map(|disks| &disks.here);
        here.map(|here| here.library.library_id).collect()
    }

    fn channels(&self, rows: &[StoreRow], now_ms: i64) -> Result<Vec<Channel>, CatalogError> {
        let readable = self.readable();
        // Whether a disk that is away is there again: the next look at them says it.
        let look_at = self.disks.as_ref().map(|disks| disks.looked_at + SOURCE_PAUSE_MS);
        let keeps = |row: &StoreRow| self.keeps(row);
        let mut channels = channels(self.catalog.read(), rows, &readable, &keeps, look_at, now_ms)?;
        for channel in &mut channels {
            if let Some(idle) = self.idle.get(&channel.store_id)
                && idle.rests_until <= now_ms.saturating_add(LONGEST_MS)
            {
                channel.due_at = channel.due_at.map(|at| at.max(idle.rests_until));
            }
        }
        Ok(channels)
    }

    /// Whether a store's deletions wait for a person, because other devices may need the objects: its last turn has found that out,
    /// and the next one asks anew.
    fn keeps(&self, row: &StoreRow) -> bool {
        self.report.kept.iter().any(|kept| kept.store == row.name)
    }

    /// Gives some stores their turns. False where another process sends.
    fn send(&mut self, rows: &[StoreRow], channels: &[Channel], to_send: &[i64]) -> Result<bool, SyncError> {
        let now_ms = self.clock.now_ms();
        let is_due = |channel: &&Channel| channel.due_at.is_some_and(|at| at <= now_ms);
        let due: Vec<i64> = channels.iter().filter(is_due).map(|channel| channel.store_id).collect();
        let sender = match Sender::take(self.catalog, now_ms) {
            Ok(sender) => sender,
            Err(CatalogError::Locked(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        for store_id in to_send {
            if self.watched.cancelled() {
                break;
            }
            let here: &[Here] = self.disks.as_ref().map_or(&[], |disks| &disks.here);
            let done_before = self.watched.done.load(Ordering::Relaxed);
            let wanted = |row: &StoreRow| row.store_id == *store_id;
            let pushed = match push_to(self.catalog, &sender, here, &wanted, self.clock, self.watched) {
                // This process slept, and another went on with it.
                Err(SyncError::TakenOver) => return Ok(false),
                pushed => pushed?,
            };
            let did_something = self.watched.done.load(Ordering::Relaxed) > done_before || pushed.refused > 0;
            // One that is away is called less often anyway.
            let is_stuck = !did_something && due.contains(store_id) && pushed.offline.is_empty();
            self.add(pushed, rows, *store_id);
            let keeps = rows.iter().any(|row| row.store_id == *store_id && self.keeps(row));
            let left = outbox::due(self.catalog.read(), *store_id, &self.readable(), keeps, now_ms)?.at;
            match is_stuck && left.is_some_and(|at| at <= now_ms) {
                true => self.rest(*store_id),
                false => drop(self.idle.remove(store_id)),
            }
        }
        self.tell_changes(rows, to_send)?;
        Ok(true)
    }

    /// Whatever it is that a turn does not touch and that is due all the same: it is not tried without a pause.
    fn rest(&mut self, store_id: i64) {
        let now = self.clock.now();
        let idle = self.idle.entry(store_id).or_default();
        idle.turns += 1;
        let luck = u64::from(now.subsec_nanosecond().unsigned_abs());
        let wait_ms =
            TELL_MS + i64::try_from(backoff(idle.turns, luck)).expect("a wait has a cap of minutes");
        idle.rests_until = now.as_millisecond() + wait_ms;
    }

    /// Adds what one store's turn came to.
    fn add(&mut self, pushed: PushReport, rows: &[StoreRow], store_id: i64) {
        let PushReport {
            uploaded_objects,
            uploaded_bytes,
            deleted_objects,
            retired_objects,
            recalled_objects,
            decisions,
            refused,
            strayed,
            queued: _,
            kept,
            offline,
            problems,
            lost,
            interrupted: _,
        } = pushed;
        let sum = &mut self.report;
        sum.uploaded_objects += uploaded_objects;
        sum.uploaded_bytes += uploaded_bytes;
        sum.deleted_objects += deleted_objects;
        sum.retired_objects += retired_objects;
        sum.recalled_objects += recalled_objects;
        sum.refused += refused;
        // What still waits for having strayed; those before have got through or stray again.
        sum.strayed = strayed;
        sum.decisions = decisions;
        let name = rows.iter().find(|row| row.store_id == store_id).map(|row| row.name.as_str());
        sum.offline.retain(|before| Some(before.store.as_str()) != name);
        sum.offline.extend(offline);
        sum.kept.retain(|before| Some(before.store.as_str()) != name);
        sum.kept.extend(kept);
        for problem in problems {
            // A file that cannot be read is tried again and again.
            if !sum.problems.contains(&problem) {
                sum.problems.push(problem);
            }
        }
        if let Some(disks) = &mut self.disks {
            disks.here.retain(|here| !lost.contains_key(&here.library.library_id));
        }
        sum.lost.extend(lost);
    }

    /// Who listens is told of what turns have heard.
    fn tell_changes(&self, before: &[StoreRow], sent: &[i64]) -> Result<(), CatalogError> {
        for after in self.wanted()?.into_iter().filter(|row| sent.contains(&row.store_id)) {
            let before = before.iter().find(|row| row.store_id == after.store_id).map(|row| row.state);
            let before = before.unwrap_or(ChannelState::Unknown);
            if before != after.state {
                let changed = Changed { channel: &after.name, before, after: Connectivity::of(&after) };
                self.listeners.iter().for_each(|listener| listener.changed(&changed));
            }
        }
        Ok(())
    }

    fn wait_for_sender(&mut self) -> Result<(), SyncError> {
        let until_ms = self.clock.now_ms() + SENDER_PAUSE_MS;
        let queued = self.queued()?;
        let waiting = Waiting { what: For::Sender, until_ms, queued };
        self.pause(&waiting, None)
    }

    /// Waits for what is next, or for news; without either for the user.
    fn wait(&mut self, wake: Option<Wake>, rows: &[StoreRow], seen: i64) -> Result<(), SyncError> {
        let now_ms = self.clock.now_ms();
        let latest_ms = self.watched.time_up_ms(now_ms).unwrap_or(i64::MAX).min(now_ms + LONGEST_MS);
        let row = |wake: Wake| rows.iter().find(|row| row.store_id == wake.store_id);
        let waiting = Waiting {
            what: match wake.and_then(|wake| Some((wake, row(wake)?))) {
                Some((wake, row)) => For::Store {
                    name: &row.name,
                    why: wake.why,
                    offline_since: row.offline_since.filter(|_| row.state == ChannelState::Offline),
                },
                None => For::News,
            },
            until_ms: wake.map_or(latest_ms, |wake| wake.at_ms.min(latest_ms)),
            queued: self.queued()?,
        };
        self.pause(&waiting, Some(seen))
    }

    fn queued(&self) -> Result<u64, CatalogError> {
        Ok(queue::standing(self.catalog.read(), self.keep.only, self.clock.now_ms())?.pending)
    }

    /// Lets time pass until then, or until somebody else has changed something since it was `seen`, or the user wants it to end.
    fn pause(&mut self, waiting: &Waiting<'_>, seen: Option<i64>) -> Result<(), SyncError> {
        // Counted, too: a clock that stands, or is set back, prolongs no wait.
        let mut left_ms = waiting.until_ms - self.clock.now_ms();
        let poll_ms = settings::integer(self.catalog.read(), &setting::SYNC_POLL_MS)?;
        let (mut to_poll_ms, mut to_tell_ms) = (0, 0);
        while left_ms > 0 && waiting.until_ms > self.clock.now_ms() && !self.watched.cancelled() {
            if to_poll_ms <= 0 {
                if seen.is_some_and(|seen| self.catalog.others_changes().is_ok_and(|now| now != seen)) {
                    return Ok(());
                }
                to_poll_ms = poll_ms;
            }
            if to_tell_ms <= 0 {
                self.host.waits(waiting);
                to_tell_ms = TELL_MS;
            }
            let slice_ms = left_ms.min(TICK_MS);
            self.clock.pause(Duration::from_millis(slice_ms.unsigned_abs()));
            left_ms -= slice_ms;
            to_poll_ms -= slice_ms;
            to_tell_ms -= slice_ms;
        }
        Ok(())
    }
}

/// The channels of these stores, as far as waking goes, given the libraries that can be read, which stores keep what other devices
/// may need, and when disks are looked at next.
///
/// # Errors
/// SQLite's.
pub fn channels(
    conn: &Connection,
    rows: &[StoreRow],
    readable: &[i64],
    keeps: &dyn Fn(&StoreRow) -> bool,
    look_at: Option<i64>,
    now_ms: i64,
) -> Result<Vec<Channel>, CatalogError> {
    let all: Vec<i64> = libraries::all(conn)?.iter().map(|library| library.library_id).collect();
    let mut channels = Vec::with_capacity(rows.len());
    for row in rows {
        let mut due = outbox::due(conn, row.store_id, readable, keeps(row), now_ms)?;
        if !row.scope.is_empty() && scope::is_unsettled(conn)? {
            // Whether something is to be sent there is only found out when it is begun.
            due.at = Some(i64::MIN);
        }
        let mut look_at = look_at;
        let is_due = due.at.is_some_and(|at| at <= now_ms);
        if is_due || row.payload == StorePayload::Enriched || readable.len() == all.len() {
            look_at = None;
        } else if look_at.is_some() {
            let with_all = outbox::due(conn, row.store_id, &all, keeps(row), now_ms)?.at;
            if with_all.is_none_or(|at| due.at.is_some_and(|due| due <= at)) {
                // No disk holds up anything that would be sooner.
                look_at = None;
            }
        }
        channels.push(Channel {
            store_id: row.store_id,
            paused: row.paused,
            not_before: row.not_before,
            known: Connectivity::of(row),
            due_at: due.at,
            look_at: due.doubtful_at.into_iter().chain(look_at).min(),
        });
    }
    Ok(channels)
}
