//! Whether the way to each store is open (O1): a state machine a channel, and who wants to know of its changes.
//!
//! Real traffic counts as a probe: while things are sent nobody has to ask. A probe that stays without answer can be chance, so
//! several in a row make a channel offline; a turn in which nothing got through has tried hard enough, and makes it so at
//! once. One that gets through makes it online, whatever was before. Nothing here waits or knows a network: times come in,
//! and a probe is an `identity()` of the store, asked by [`probe`] in a thread that nobody waits for beyond its time.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::channel::chain;
use super::{Away, SyncError, code};
use crate::catalog::stores::{self, ChannelState, StoreRow};
use crate::catalog::{Catalog, CatalogError, Connection, settings};
use crate::clock::Clock;
use crate::model::setting;
use crate::remote::{self, Access, AwayReason, StoreError, StoreUrl};

/// That a store answered is written down again after so long, in milliseconds.
const FRESH_MS: i64 = 10_000;
/// How often it is looked whether a probe is still wanted, in milliseconds.
const TICK_MS: u64 = 100;

/// How channels are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// A channel of which nothing was heard for so long is probed, in milliseconds.
    pub interval_ms: i64,
    /// A probe that is not answered for so long has failed, in milliseconds.
    pub timeout_ms: u64,
    /// So many probes that failed in a row make a channel offline.
    pub failures: u32,
}

impl Watch {
    /// As it is set.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of(conn: &Connection) -> Result<Self, CatalogError> {
        Ok(Watch {
            interval_ms: settings::integer(conn, &setting::CONNECTIVITY_INTERVAL_MS)?,
            timeout_ms: settings::integer(conn, &setting::CONNECTIVITY_TIMEOUT_MS)?.unsigned_abs(),
            failures: u32::try_from(settings::integer(conn, &setting::CONNECTIVITY_FAILURES)?)
                .expect("the setting is from 1 to 100"),
        })
    }
}

/// What was heard of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Something got through.
    Answer,
    /// A probe did not.
    NoAnswer,
    /// A whole turn did not: nothing gets through.
    NothingGotThrough,
    /// It answered, and the turn broke off all the same: it is full, or lets us in and not write.
    BrokeOff,
}

impl Heard {
    /// SHELF-SYNC-00N, of trouble.
    #[must_use]
    pub(super) const fn code(self) -> &'static str {
        match self {
            Heard::BrokeOff => code::REFUSED,
            Heard::Answer | Heard::NoAnswer | Heard::NothingGotThrough => code::CONNECTION,
        }
    }

    /// What it says of the way that a store could not be opened.
    #[must_use]
    pub(super) const fn at_the_door(away: &Away) -> Heard {
        match away {
            // It answered: that it lets us not in, or has no room. Asked every half a minute it may lock us out.
            Away::Store(
                StoreError::Credentials { .. }
                | StoreError::Denied { .. }
                | StoreError::ClockSkew { .. }
                | StoreError::Full { .. }
                | StoreError::Busy { .. },
            ) => Heard::BrokeOff,
            _ => Heard::NothingGotThrough,
        }
    }

    /// What the answer to one question says of the way. Nothing, where it is about something else: that the store is busy, does not
    /// let us in or is another one, is found out by what is sent there.
    #[must_use]
    pub fn in_answer<T>(answer: &Result<T, StoreError>) -> Option<Heard> {
        match answer {
            Ok(_) => Some(Heard::Answer),
            Err(StoreError::Away { .. } | StoreError::Io { .. }) => Some(Heard::NoAnswer),
            Err(_) => None,
        }
    }
}

/// What is known of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connectivity {
    /// As people are shown it.
    pub state: ChannelState,
    /// Failures in a row.
    pub failures: u32,
    /// When something got through last, in milliseconds.
    pub last_ok: Option<i64>,
    /// Since when nothing gets through, in milliseconds: since the first failure of those that made it offline.
    pub offline_since: Option<i64>,
    /// When something was heard last, be it a failure, in milliseconds.
    pub heard_at: Option<i64>,
    /// Whether the last failure was a turn that broke off although it answered.
    pub broke_off: bool,
}

impl Connectivity {
    /// Nothing was heard yet.
    #[must_use]
    pub const fn unknown() -> Self {
        Connectivity {
            state: ChannelState::Unknown,
            failures: 0,
            last_ok: None,
            offline_since: None,
            heard_at: None,
            broke_off: false,
        }
    }

    /// As the catalogue keeps it.
    #[must_use]
    pub fn of(row: &StoreRow) -> Self {
        Connectivity {
            state: row.state,
            failures: row.failures,
            last_ok: row.last_ok,
            offline_since: row.offline_since,
            heard_at: if row.failures > 0 { Some(row.heard_at) } else { row.last_ok },
            broke_off: row.error_code.as_deref() == Some(code::REFUSED),
        }
    }

    /// Whether things are to be sent: also while it is not known, and while a few probes have failed.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state != ChannelState::Offline
    }

    /// Whether it is there and takes nothing.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broke_off && !self.is_online()
    }

    /// For how long it has been offline, in milliseconds.
    #[must_use]
    pub fn offline_ms(&self, now_ms: i64) -> Option<i64> {
        let since = self.offline_since.filter(|_| !self.is_online())?;
        // A clock that was set back makes no negative time.
        Some((now_ms - since).max(0))
    }

    /// What is known after this.
    #[must_use]
    pub fn after(self, heard: Heard, watch: &Watch, now_ms: i64) -> Self {
        if heard == Heard::Answer {
            return Connectivity {
                state: ChannelState::Online,
                failures: 0,
                last_ok: Some(now_ms),
                offline_since: None,
                heard_at: Some(now_ms),
                broke_off: false,
            };
        }
        let failures = self.failures.saturating_add(1);
        let is_over = matches!(heard, Heard::NothingGotThrough | Heard::BrokeOff)
            || failures >= watch.failures
            || self.state == ChannelState::Offline;
        Connectivity {
            state: if is_over { ChannelState::Offline } else { self.state },
            failures,
            last_ok: self.last_ok,
            offline_since: self.offline_since.or(Some(now_ms)),
            heard_at: Some(now_ms),
            broke_off: heard == Heard::BrokeOff,
        }
    }
}

/// A channel has come or gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed<'a> {
    /// The store's name.
    pub channel: &'a str,
    /// How it stood.
    pub before: ChannelState,
    /// How it stands.
    pub after: Connectivity,
}

/// Who wants to know when a channel comes or goes: a queue that may drain again, a page that shows it. Called once a change.
pub trait Listener: Send + Sync {
    /// A channel has come or gone.
    fn changed(&self, changed: &Changed<'_>);
}

impl<F: Fn(&Changed<'_>) + Send + Sync> Listener for F {
    fn changed(&self, changed: &Changed<'_>) {
        self(changed);
    }
}

/// Keeps what was heard of a channel. Returns how it stood before, and how it stands.
///
/// # Errors
/// SQLite's.
pub(super) fn note(
    conn: &Connection,
    row: &StoreRow,
    heard: Heard,
    error: Option<&str>,
    now_ms: i64,
) -> Result<(Connectivity, Connectivity), CatalogError> {
    // Read anew: another process may have got through meanwhile.
    let known = stores::by_name(conn, &row.name)?;
    let before = known.as_ref().map_or(Connectivity::unknown(), Connectivity::of);
    let after = before.after(heard, &Watch::of(conn)?, now_ms);
    match heard {
        Heard::Answer => stores::channel_ok(conn, row.store_id, now_ms)?,
        Heard::NoAnswer | Heard::NothingGotThrough | Heard::BrokeOff => {
            let text = error.unwrap_or("no answer");
            let code = if after.broke_off { code::REFUSED } else { code::CONNECTION };
            stores::channel_missed(conn, row.store_id, after.state, code, text, now_ms)?;
        }
    }
    Ok((before, after))
}

/// As `note`, in a transaction of its own; who wants to know is told once that is kept. What a store asked for holds until
/// something gets through.
///
/// # Errors
/// SQLite's; then nobody is told.
pub fn hear(
    catalog: &mut Catalog,
    row: &StoreRow,
    heard: Heard,
    error: Option<&str>,
    listeners: &[&dyn Listener],
    now_ms: i64,
) -> Result<Connectivity, CatalogError> {
    let (before, after) = catalog.change(|tx| note(tx, row, heard, error, now_ms))?;
    if before.state != after.state {
        let changed = Changed { channel: &row.name, before: before.state, after };
        listeners.iter().for_each(|listener| listener.changed(&changed));
    }
    Ok(after)
}

/// A store was asked something by somebody who waits for the answer: real traffic, as what is sent is. Nothing is written where
/// that is no news.
///
/// # Errors
/// SQLite's.
pub fn overhear<T>(
    catalog: &mut Catalog,
    row: &StoreRow,
    answer: &Result<T, StoreError>,
    now_ms: i64,
) -> Result<(), CatalogError> {
    let Some(heard) = Heard::in_answer(answer) else { return Ok(()) };
    let known = Connectivity::of(row);
    let is_no_news = known.state == ChannelState::Online
        && known.failures == 0
        && known.last_ok.is_some_and(|at| (now_ms - at).abs() < FRESH_MS);
    // One that answers and takes nothing answers, and takes nothing.
    if heard == Heard::Answer && (is_no_news || known.is_broken()) {
        return Ok(());
    }
    let error = answer.as_ref().err().map(|error| chain(error));
    hear(catalog, row, heard, error.as_deref(), &[], now_ms)?;
    Ok(())
}

/// Asks a store who it is, for so long at most, and keeps what came of it.
///
/// # Errors
/// See [`SyncError`]; that the store is away is no error.
pub fn probe(
    catalog: &mut Catalog,
    row: &StoreRow,
    listeners: &[&dyn Listener],
    clock: &dyn Clock,
) -> Result<Connectivity, SyncError> {
    let known = probe_while(catalog, row, listeners, &|| true, clock)?;
    Ok(known.expect("nobody ends it"))
}

/// The same, as long as it `goes_on`. Returns nothing where it was ended: then nothing was heard.
pub(super) fn probe_while(
    catalog: &mut Catalog,
    row: &StoreRow,
    listeners: &[&dyn Listener],
    goes_on: &dyn Fn() -> bool,
    clock: &dyn Clock,
) -> Result<Option<Connectivity>, SyncError> {
    let url = StoreUrl::parse(&row.url, Path::new("/"))
        .map_err(|source| SyncError::Url { store: row.name.clone(), source })?;
    let watch = Watch::of(catalog.read())?;
    let access = Access::known(row.password_command.as_deref(), row.found);
    let (now, store) = (clock.now(), row.remote_store.clone());
    let (say, said) = mpsc::channel();
    let described = url.to_string();
    // A disk may never answer: the thread is left to it, and ends with the process at the latest.
    std::thread::spawn(move || {
        let answer = remote::open(&url, &access, now).and_then(|opened| opened.identity());
        let _ = say.send(answer);
    });
    let mut left_ms = watch.timeout_ms;
    let said = loop {
        let slice_ms = left_ms.min(TICK_MS);
        left_ms -= slice_ms;
        match said.recv_timeout(Duration::from_millis(slice_ms)) {
            Err(RecvTimeoutError::Timeout) if !goes_on() => return Ok(None),
            Err(RecvTimeoutError::Timeout) if left_ms > 0 => {}
            said => break said,
        }
    };
    let answer = match said {
        Ok(Ok(Some(identity))) if identity.store == store => Ok(()),
        Ok(Ok(Some(identity))) => Err(Away::OtherStore { expected: store, found: identity.store }),
        Ok(Ok(None)) => Err(Away::NotAStore),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => {
            let reason = AwayReason::Unreachable;
            Err(StoreError::Away { store: described, reason, source: None }.into())
        }
    };
    let now_ms = clock.now_ms();
    Ok(Some(match answer {
        Ok(()) => hear(catalog, row, Heard::Answer, None, listeners, now_ms)?,
        Err(away) => hear(catalog, row, Heard::NoAnswer, Some(&chain(&away)), listeners, now_ms)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WATCH: Watch = Watch { interval_ms: 30_000, timeout_ms: 5_000, failures: 3 };

    fn all(heard: &[Heard]) -> Connectivity {
        let mut known = Connectivity::unknown();
        for (at, heard) in heard.iter().enumerate() {
            known = known.after(*heard, &WATCH, at as i64 * 1_000);
        }
        known
    }

    // O1
    #[test]
    fn three_probes_without_answer_make_a_channel_offline() {
        use Heard::{Answer, NoAnswer};
        let doubtful = all(&[Answer, NoAnswer, NoAnswer]);
        assert_eq!((doubtful.state, doubtful.is_online()), (ChannelState::Online, true));
        assert_eq!(doubtful.offline_ms(9_000), None);
        let gone = all(&[Answer, NoAnswer, NoAnswer, NoAnswer]);
        assert_eq!((gone.state, gone.failures, gone.last_ok), (ChannelState::Offline, 3, Some(0)));
        assert_eq!((gone.offline_since, gone.offline_ms(9_000)), (Some(1_000), Some(8_000)));
        assert_eq!(gone.offline_ms(0), Some(0), "a clock that was set back");
        let back = gone.after(Answer, &WATCH, 60_000);
        assert_eq!((back.state, back.failures, back.last_ok), (ChannelState::Online, 0, Some(60_000)));
        assert_eq!((back.offline_since, back.offline_ms(99_000)), (None, None));
    }

    // O1
    #[test]
    fn a_turn_in_which_nothing_got_through_makes_it_offline_at_once() {
        let gone = all(&[Heard::Answer, Heard::NothingGotThrough]);
        assert_eq!((gone.state, gone.offline_since), (ChannelState::Offline, Some(1_000)));
        // Until something gets through, a probe without answer changes nothing.
        assert!(!gone.after(Heard::NoAnswer, &WATCH, 5_000).is_online());
    }

    // S6: one that answers and takes nothing is told from one that is away
    #[test]
    fn what_breaks_off_at_a_store_that_answers_is_another_thing_than_a_store_that_is_away() {
        let full = all(&[Heard::Answer, Heard::BrokeOff]);
        assert!(full.is_broken() && !full.is_online());
        assert!(!full.after(Heard::NothingGotThrough, &WATCH, 5_000).is_broken());
        assert!(!full.after(Heard::Answer, &WATCH, 5_000).is_broken());
    }

    proptest! {
        // O1
        #[test]
        fn it_is_offline_only_when_nothing_got_through_since(turns in proptest::collection::vec(0_u8..3, 0..40)) {
            let heard: Vec<Heard> = turns
                .iter()
                .map(|turn| [Heard::Answer, Heard::NoAnswer, Heard::NothingGotThrough][usize::from(*turn)])
                .collect();
            let known = all(&heard);
            let since: Vec<Heard> =
                heard.iter().rev().take_while(|heard| **heard != Heard::Answer).copied().collect();
            prop_assert_eq!(known.failures as usize, since.len());
            let is_over = since.len() >= 3 || since.contains(&Heard::NothingGotThrough);
            prop_assert_eq!(known.state == ChannelState::Offline, is_over);
            prop_assert_eq!(known.offline_since.is_some(), !since.is_empty());
        }
    }
}
