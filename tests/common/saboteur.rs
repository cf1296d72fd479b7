//! Watches a run as its monitor and its clock, and does something to the disk at a moment that a test has chosen: the
//! engine itself says what moment it is, so that a test can reach every one of them without sleeping.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use shelflist::clock::{Clock, SystemClock};
use shelflist::model::Problem;
use shelflist::monitor::{Counter, Monitor, TestMonitor};

/// What is counted to know the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tick {
    /// The engine counted something of this kind: for [`Counter::FilesSeen`] that is a directory that was listed.
    Counted(Counter),
    /// It asked what time it is: the writer does so before each of its transactions, a hasher before each file.
    Asked,
    /// Either.
    Anything,
}

impl Tick {
    fn covers(self, tick: Tick) -> bool {
        self == Tick::Anything || self == tick
    }
}

type Act<'a> = Box<dyn FnOnce() + Send + 'a>;

/// The watcher that acts.
#[derive(Default)]
pub(crate) struct Saboteur<'a> {
    /// What was counted.
    pub(crate) monitor: TestMonitor,
    plan: Mutex<Plan<'a>>,
}

#[derive(Default)]
struct Plan<'a> {
    ticks: Vec<(Tick, u64)>,
    /// In order; each with the ticks that are still to come after the one before.
    acts: VecDeque<(Tick, u64, Act<'a>)>,
    acting: bool,
}

impl std::fmt::Debug for Saboteur<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saboteur").field("acts_left", &self.acts_left()).finish_non_exhaustive()
    }
}

impl<'a> Saboteur<'a> {
    /// Does this at the tick of that number, the first being 1; further acts are counted from the end of the one before.
    pub(crate) fn at(self, tick: Tick, number: u64, act: impl FnOnce() + Send + 'a) -> Self {
        self.plan().acts.push_back((tick, number, Box::new(act)));
        self
    }

    /// How many ticks there were.
    pub(crate) fn ticks(&self, of: Tick) -> u64 {
        self.plan().ticks.iter().filter(|(tick, _)| of.covers(*tick)).map(|(_, count)| count).sum()
    }

    /// Acts that were not done, because the run ended before.
    pub(crate) fn acts_left(&self) -> usize {
        self.plan().acts.len()
    }

    fn plan(&self) -> MutexGuard<'_, Plan<'a>> {
        // An act that panics fails the test in any case.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self, tick: Tick) {
        let mut plan = self.plan();
        match plan.ticks.iter_mut().find(|(known, _)| *known == tick) {
            Some((_, count)) => *count += 1,
            None => plan.ticks.push((tick, 1)),
        }
        if plan.acting {
            return;
        }
        let Some((_, left, _)) = plan.acts.front_mut().filter(|(of, _, _)| of.covers(tick)) else { return };
        *left -= 1;
        if *left > 0 {
            return;
        }
        let (_, _, act) = plan.acts.pop_front().expect("it was looked at just now");
        plan.acting = true;
        // Without the lock: the other threads go on meanwhile, as they would beside a person at the disk.
        drop(plan);
        act();
        self.plan().acting = false;
    }
}

impl Monitor for Saboteur<'_> {
    fn count(&self, counter: Counter, n: u64) {
        self.monitor.count(counter, n);
        self.tick(Tick::Counted(counter));
    }

    fn problem(&self, problem: &Problem) {
        self.monitor.problem(problem);
    }

    fn cancelled(&self) -> bool {
        self.monitor.cancelled()
    }
}

impl Clock for Saboteur<'_> {
    fn now(&self) -> Timestamp {
        self.tick(Tick::Asked);
        SystemClock.now()
    }
}
