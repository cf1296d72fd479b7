//! When to wake next, and why (T6). Pure: what is known of each channel comes in, and the time.
//!
//! What is due makes its channel wake when it is due, unless the channel itself is to be left alone for a while. Why it may be:
//!
//! | the store | is called again |
//! |---|---|
//! | asked us to wait (`Retry-After`) | when it said |
//! | is away: it does not answer | by a probe, which costs it next to nothing: soon at first, and once an interval from then on; what waits goes as soon as one is answered |
//! | answers and takes nothing: full, read-only, a wrong key | by what waits, which may cost it much: less and less often, every five minutes at last |
//! | is open, and nothing is due | not at all; where probes were left unanswered lately, by one more |
//!
//! Waits are spread by full jitter. The luck in it is taken from the store and the time of its failure instead of drawn: so
//! every process that asks (`sync status`, too) is told the same time, and none has to keep it.

use super::backoff::backoff;
use super::connectivity::{Connectivity, Watch};

/// One channel, as far as waking goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Which store's.
    pub store_id: i64,
    /// Whether a person paused it.
    pub paused: bool,
    /// It asked not to be called before then, in milliseconds; 0 where it asked for nothing.
    pub not_before: i64,
    /// Whether it is there.
    pub known: Connectivity,
    /// When work is due that time alone makes so, in milliseconds.
    pub due_at: Option<i64>,
    /// When to look again whether files and disks can be read, in milliseconds.
    pub look_at: Option<i64>,
}

/// What is done then, and what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Work is due.
    Due,
    /// Work is due, and the store asked to be left alone until then.
    Asked,
    /// Work is due, and the store answered and took nothing the last time.
    Broken,
    /// A disk, or a file on it, may be readable again.
    Source,
    /// The store did not answer the last time. It is asked who it is, no more.
    Away,
}

/// When to wake, why, and for which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wake {
    /// When, in milliseconds; in the past where it is time.
    pub at_ms: i64,
    /// Why.
    pub why: Why,
    /// For which store.
    pub store_id: i64,
}

impl Channel {
    /// When there is something to do on it next. `None` where only a person, or something new, can change that.
    #[must_use]
    pub fn wake(&self, watch: &Watch, now_ms: i64) -> Option<Wake> {
        if self.paused {
            return None;
        }
        let work = [self.due_at.map(|at| (at, Why::Due)), self.look_at.map(|at| (at, Why::Source))];
        let work = work.into_iter().flatten().min_by_key(|(at, _)| *at);
        let again_at = self.again_at(watch, now_ms);
        let (mut at_ms, mut why) = match (work, again_at) {
            (Some((at, _)), Some(again_at)) if self.known.is_broken() => (at.max(again_at), Why::Broken),
            (_, Some(again_at)) if !self.known.is_online() => (again_at, Why::Away),
            (Some((at, why)), _) => (at, why),
            (None, Some(again_at)) => (again_at, Why::Away),
            (None, None) => return None,
        };
        if self.not_before > at_ms && !self.was_set_back(now_ms) {
            at_ms = self.not_before;
            why = if why == Why::Due { Why::Asked } else { why };
        }
        Some(Wake { at_ms, why, store_id: self.store_id })
    }

    /// Whether the clock was set back since it was heard of: no time that was reckoned from then means anything.
    fn was_set_back(&self, now_ms: i64) -> bool {
        self.known.heard_at.is_some_and(|at| at > now_ms)
    }

    /// When one in trouble is called again, in milliseconds.
    fn again_at(&self, watch: &Watch, now_ms: i64) -> Option<i64> {
        let failed_at = self.known.heard_at.filter(|_| self.known.failures > 0)?;
        if self.was_set_back(now_ms) {
            // At once. Reckoned from now it would never come.
            return Some(now_ms);
        }
        let wait_ms = i64::try_from(backoff(self.known.failures, luck(self.store_id, failed_at)))
            .expect("a wait has a cap of minutes");
        let wait_ms = if self.known.is_broken() { wait_ms } else { wait_ms.min(watch.interval_ms) };
        Some(failed_at.saturating_add(wait_ms))
    }

    /// Whether work is left that can go once its time and its store come.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.paused && self.due_at.is_some()
    }
}

/// The next wake of all.
#[must_use]
pub fn next(channels: &[Channel], watch: &Watch, now_ms: i64) -> Option<Wake> {
    channels.iter().filter_map(|channel| channel.wake(watch, now_ms)).min_by_key(|wake| wake.at_ms)
}

/// A number that differs from failure to failure and from store to store, and is the same for everybody who asks.
fn luck(store_id: i64, failed_at: i64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&store_id.to_le_bytes());
    hasher.update(&failed_at.to_le_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::connectivity::Heard;
    use proptest::prelude::*;

    const WATCH: Watch = Watch { interval_ms: 30_000, timeout_ms: 5_000, failures: 3 };
    const FIVE_MIN: i64 = 300_000;

    fn open() -> Channel {
        let known = Connectivity::unknown().after(Heard::Answer, &WATCH, 0);
        Channel { store_id: 1, paused: false, not_before: 0, known, due_at: None, look_at: None }
    }

    fn after(heard: &[Heard], every_ms: i64) -> Connectivity {
        let steps = heard.iter().zip(0..);
        steps.fold(Connectivity::unknown(), |known, (heard, n)| known.after(*heard, &WATCH, n * every_ms))
    }

    // T6
    #[test]
    fn nothing_that_time_cannot_mend_wakes_anybody() {
        assert_eq!(open().wake(&WATCH, 0), None);
        assert_eq!(Channel { paused: true, due_at: Some(0), ..open() }.wake(&WATCH, 0), None);
        assert!(!Channel { paused: true, due_at: Some(0), ..open() }.has_work());
        assert!(!Channel { look_at: Some(0), ..open() }.has_work(), "a file that cannot be read");
        assert_eq!(next(&[open()], &WATCH, 0), None);
    }

    // S6
    #[test]
    fn what_a_store_asked_for_is_kept() {
        let asked = Channel { due_at: Some(5), not_before: 900_000, ..open() };
        assert_eq!(
            asked.wake(&WATCH, 10),
            Some(Wake { at_ms: 900_000, why: Why::Asked, store_id: 1 }),
            "also where it is much"
        );
    }

    // T6: of the time of a failure that lies in the future nothing can be said but that the clock was set back since
    #[test]
    fn a_clock_that_was_set_back_puts_nothing_off() {
        for heard in [Heard::NothingGotThrough, Heard::BrokeOff] {
            let known = Connectivity::unknown().after(heard, &WATCH, 90_000_000);
            let channel = Channel { known, due_at: Some(0), not_before: 99_000_000, ..open() };
            assert_eq!(channel.wake(&WATCH, 5_000).unwrap().at_ms, 5_000, "{heard:?}");
            assert_eq!(channel.wake(&WATCH, 95_000_000).unwrap().at_ms, 99_000_000, "{heard:?}");
        }
    }

    // O1: real traffic counts as a probe
    #[test]
    fn one_that_was_heard_of_is_not_probed() {
        let known = after(&[Heard::NoAnswer, Heard::Answer], 1_000);
        assert_eq!(Channel { known, ..open() }.wake(&WATCH, 99_000), None);
        let doubtful = Channel { known: after(&[Heard::Answer, Heard::NoAnswer], 1_000), ..open() };
        assert_eq!(doubtful.wake(&WATCH, 2_000).unwrap().why, Why::Away);
        let busy = Channel { due_at: Some(0), ..doubtful };
        assert_eq!(busy.wake(&WATCH, 2_000).unwrap().why, Why::Due, "what is due is the better probe");
    }

    // S6: a store that is full is not filled every thirty seconds
    #[test]
    fn one_that_answers_and_takes_nothing_is_called_less_and_less_often() {
        let heard: Vec<Heard> = [Heard::Answer].into_iter().chain([Heard::BrokeOff; 12]).collect();
        let known = after(&heard, 1_000);
        let luckless = (0..200).map(|store_id| {
            Channel { known, store_id, due_at: Some(0), ..open() }.wake(&WATCH, 12_000).unwrap()
        });
        let wakes: Vec<Wake> = luckless.collect();
        assert!(wakes.iter().all(|wake| wake.why == Why::Broken && wake.at_ms <= 12_000 + FIVE_MIN));
        assert!(wakes.iter().filter(|wake| wake.at_ms > 12_000 + WATCH.interval_ms).count() > 150);
        let idle = Channel { known, ..open() };
        assert_eq!(
            idle.wake(&WATCH, 12_000).unwrap().why,
            Why::Away,
            "nothing waits: it is asked whether it is well"
        );
    }

    fn channels() -> impl Strategy<Value = Channel> {
        let times = || prop_oneof![Just(None), (0_i64..2_000_000).prop_map(Some)];
        let heard = proptest::collection::vec((0_u8..4, 0_i64..400_000), 0..12);
        (any::<bool>(), prop_oneof![Just(0), 0_i64..2_000_000], heard, times(), times(), 1_i64..4).prop_map(
            |(paused, not_before, heard, due_at, look_at, store_id)| {
                let mut at = 0;
                let mut known = Connectivity::unknown();
                for (heard, later) in heard {
                    at += later;
                    let all = [Heard::Answer, Heard::NoAnswer, Heard::NothingGotThrough, Heard::BrokeOff];
                    known = known.after(all[usize::from(heard)], &WATCH, at);
                }
                Channel { store_id, paused, not_before, known, due_at, look_at }
            },
        )
    }

    proptest! {
        // T6: while due work exists and its channel is not paused, the next wake is not later than the work is due; a channel that
        // is to be left alone is not left alone for longer than it asked for, or than an interval where it is away
        #[test]
        fn nobody_oversleeps(channels in proptest::collection::vec(channels(), 0..6), now_ms in 0_i64..5_000_000) {
            let woken = next(&channels, &WATCH, now_ms).map_or(i64::MAX, |wake| wake.at_ms);
            for channel in channels.iter().filter(|channel| channel.has_work()) {
                let due_at = channel.due_at.unwrap().max(channel.not_before);
                let failed_at = channel.known.heard_at.unwrap_or(0).min(now_ms);
                let latest = match (channel.known.is_online(), channel.known.is_broken()) {
                    (true, _) => due_at,
                    (false, true) => due_at.max(failed_at + FIVE_MIN),
                    (false, false) => channel.not_before.max(failed_at + WATCH.interval_ms),
                };
                prop_assert!(woken <= latest, "{woken} > {latest}: {channel:?}");
            }
        }

        // T6, O1: a store that is away for any time is noticed within an interval when it is back, and was not hammered meanwhile
        #[test]
        fn a_store_that_comes_back_is_noticed_within_an_interval(away_ms in 1_000_i64..7_200_000, store_id: i64) {
            let known = Connectivity::unknown().after(Heard::NothingGotThrough, &WATCH, 0);
            let mut channel = Channel { store_id, known, due_at: Some(0), ..open() };
            let (mut now_ms, mut probes) = (0, 0);
            while !channel.known.is_online() {
                let wake = channel.wake(&WATCH, now_ms).unwrap();
                prop_assert_eq!(wake.why, Why::Away);
                // A probe takes its time.
                now_ms = now_ms.max(wake.at_ms) + 5;
                probes += 1;
                let heard = if now_ms >= away_ms { Heard::Answer } else { Heard::NoAnswer };
                channel.known = channel.known.after(heard, &WATCH, now_ms);
            }
            prop_assert!(now_ms - away_ms <= WATCH.interval_ms + 5, "noticed after {} ms", now_ms - away_ms);
            prop_assert!(probes <= 20 + 3 * away_ms / WATCH.interval_ms, "{probes} probes in {away_ms} ms");
            let wake = channel.wake(&WATCH, now_ms).unwrap();
            prop_assert_eq!((wake.at_ms, wake.why), (0, Why::Due), "what waits goes at once");
        }
    }
}
