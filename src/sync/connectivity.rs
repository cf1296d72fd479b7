//! Whether the way to each store is open (O1): a state machine a channel, and who wants to know of its changes.
//!
//! Real traffic counts as a probe: while things are sent nobody has to ask. A probe that stays without answer can be chance, so
//! several in a row make a channel offline; a turn in which nothing got through has tried hard enough, and makes it so at
//! once. One that gets through makes it online, whatever was before. Nothing here waits or knows a network: times come in,
//! and a probe is an `identity()` of the store, asked by [`probe`] in a thread that nobody waits for beyond its time.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use super::channel::chain;
use super::{Away, SyncError, code};
use crate::catalog::stores::{self, ChannelState, StoreRow};
use crate::catalog::{Catalog, CatalogError, Connection, settings};
use crate::clock::Clock;
use crate::model::setting;
use crate::remote::{self, Access, AwayReason, StoreError, StoreUrl};

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
            heard_at: row.last_ok.max(row.offline_since),
        }
    }

    /// Whether things are to be sent: also while it is not known, and while a few probes have failed.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.state != ChannelState::Offline
    }

    /// For how long it has been offline, in milliseconds.
    #[must_use]
    pub fn offline_ms(&self, now_ms: i64) -> Option<i64> {
        let since = self.offline_since.filter(|_| !self.is_online())?;
        // A clock that was set back makes no negative time.
        Some((now_ms - since).max(0))
    }

    /// When it is to be probed next, in milliseconds.
    #[must_use]
    pub fn probe_at(&self, watch: &Watch) -> i64 {
        self.heard_at.map_or(i64::MIN, |at| at.saturating_add(watch.interval_ms))
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
            };
        }
        let failures = self.failures.saturating_add(1);
        let is_over = heard == Heard::NothingGotThrough
            || failures >= watch.failures
            || self.state == ChannelState::Offline;
        Connectivity {
            state: if is_over { ChannelState::Offline } else { self.state },
            failures,
            last_ok: self.last_ok,
            offline_since: self.offline_since.or(Some(now_ms)),
            heard_at: Some(now_ms),
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
        Heard::NoAnswer | Heard::NothingGotThrough => {
            let text = error.unwrap_or("no answer");
            stores::channel_missed(conn, row.store_id, after.state, code::CONNECTION, text, now_ms)?;
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
    let answer = match said.recv_timeout(Duration::from_millis(watch.timeout_ms)) {
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
    Ok(match answer {
        Ok(()) => hear(catalog, row, Heard::Answer, None, listeners, now_ms)?,
        Err(away) => hear(catalog, row, Heard::NoAnswer, Some(&chain(&away)), listeners, now_ms)?,
    })
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

    // O1: traffic counts as a probe
    #[test]
    fn what_was_heard_of_just_now_is_not_probed() {
        assert_eq!(Connectivity::unknown().probe_at(&WATCH), i64::MIN);
        assert_eq!(all(&[Heard::NoAnswer, Heard::Answer]).probe_at(&WATCH), 31_000);
        assert_eq!(all(&[Heard::Answer, Heard::NothingGotThrough]).probe_at(&WATCH), 31_000);
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
