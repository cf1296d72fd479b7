//! Who watches a run: a progress bar, a log, a test. Engines tell it what they do and ask it whether to stop.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::Problem;

/// What a run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Walking, judging and hashing.
    Scan,
    /// Extracting text and metadata.
    Enrich,
    /// Asking the user's commands.
    Ask,
    /// Sending to stores.
    Push,
    /// Holding the ledger against a store.
    Check,
    /// Bringing contents back.
    Fetch,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Files seen by the walk.
    FilesSeen,
    /// Files whose bytes were read to the end and hashed.
    FilesHashed,
    /// Bytes read to hash them.
    BytesHashed,
    /// Files opened and read for text and metadata.
    FilesExtracted,
    /// Documents about which every command was asked that is to be asked.
    DocumentsAsked,
    /// Questions sent to commands.
    QuestionsAsked,
    /// Operations done.
    OperationsDone,
    /// Objects that a store took from us.
    ObjectsWritten,
    /// Bytes sent to stores.
    BytesSent,
    /// Objects held against the ledger.
    ObjectsChecked,
    /// Files brought back, or tried to.
    FilesFetched,
}

/// Watches a run. Called from many threads.
pub trait Monitor: Send + Sync {
    /// A phase begins, of so much work where that is known.
    fn phase(&self, _phase: Phase, _total: Option<u64>) {}

    /// So much was done.
    fn count(&self, _counter: Counter, _n: u64) {}

    /// One file's trouble; the run goes on.
    fn problem(&self, _problem: &Problem) {}

    /// Whether the user wants the run to end. What was done so far is kept.
    fn cancelled(&self) -> bool {
        false
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Monitor for Unwatched {}

/// Remembers everything, for tests that count work.
#[derive(Debug, Default)]
pub struct TestMonitor {
    counts: Mutex<std::collections::BTreeMap<Counter, u64>>,
    problems: Mutex<Vec<Problem>>,
    cancelled: AtomicBool,
    cancel_after: Mutex<Option<(Counter, u64)>>,
}

impl TestMonitor {
    /// How much of it was counted.
    #[must_use]
    pub fn counted(&self, counter: Counter) -> u64 {
        self.counts.lock().expect("no holder panics").get(&counter).copied().unwrap_or(0)
    }

    /// What went wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        self.problems.lock().expect("no holder panics").clone()
    }

    /// Stops the run once so much was counted.
    pub fn cancel_after(&self, counter: Counter, n: u64) {
        *self.cancel_after.lock().expect("no holder panics") = Some((counter, n));
    }
}

impl Monitor for TestMonitor {
    fn count(&self, counter: Counter, n: u64) {
        let mut counts = self.counts.lock().expect("no holder panics");
        let sum = counts.entry(counter).or_default();
        *sum += n;
        if let Some((limit_of, limit)) = *self.cancel_after.lock().expect("no holder panics")
            && limit_of == counter
            && *sum >= limit
        {
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }

    fn problem(&self, problem: &Problem) {
        self.problems.lock().expect("no holder panics").push(problem.clone());
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
