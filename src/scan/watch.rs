//! Notices a thread that does not come back from the disk.
//!
//! Walkers and hashers say a word before, between and after what they ask of the disk: they count, each in a place of his
//! own. That costs a nanosecond and no look at the clock, so it can be done for every single stat. Who watches looks at the
//! counts some times a second, and at his own clock: a count that says "at the disk" and has not moved for longer than the
//! deadline is a thread that is stuck. A slow disk counts slowly, and goes on.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Odd while its thread is at the disk. Alone in its cache line, lest threads wait for each other's counts.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Count(AtomicU64);

impl Count {
    /// Only its own thread counts, so that nothing is lost between reading and writing.
    fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    fn at_disk(&self) -> bool {
        self.0.load(Ordering::Relaxed) % 2 == 1
    }
}

thread_local! {
    static OWN: RefCell<Option<Arc<Count>>> = const { RefCell::new(None) };
}

fn own<R>(act: impl FnOnce(&Count) -> R) -> Option<R> {
    OWN.with_borrow(|own| own.as_deref().map(act))
}

/// The threads of a scan that are watched.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Vec<Arc<Count>>>);

impl Watch {
    /// From now on the thread that calls is watched.
    pub(super) fn join(&self) {
        let count = Arc::new(Count::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&count));
        OWN.set(Some(count));
    }
}

/// As long as it lives, its thread is at the disk.
#[derive(Debug)]
#[must_use]
pub(super) struct AtDisk(());

/// What follows is asked of the disk.
pub(super) fn at_disk() -> AtDisk {
    own(|count| count.add(1));
    AtDisk(())
}

impl Drop for AtDisk {
    fn drop(&mut self) {
        own(|count| count.add(1));
    }
}

/// The disk has answered, and is asked for more.
pub(super) fn answered() {
    own(|count| count.add(2));
}

/// Waits for something that is not the disk.
pub(super) fn elsewhere<R>(wait: impl FnOnce() -> R) -> R {
    let interrupts = own(Count::at_disk) == Some(true);
    if interrupts {
        own(|count| count.add(1));
    }
    let waited = wait();
    if interrupts {
        own(|count| count.add(1));
    }
    waited
}

/// Looks at the counts from time to time.
#[derive(Debug, Default)]
pub(super) struct Watcher(Vec<(u64, Option<Instant>)>);

impl Watcher {
    /// How long somebody has been waiting for one answer of the disk, at least: since it was first seen here.
    pub(super) fn longest_wait(&mut self, watch: &Watch, now: Instant) -> Duration {
        let counts = watch.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.resize(counts.len(), (0, None));
        let waits = counts.iter().zip(&mut self.0).map(|(count, (seen, since))| {
            let counted = count.0.load(Ordering::Relaxed);
            if counted % 2 == 0 {
                *since = None;
            } else if since.is_none() || counted != *seen {
                *since = Some(now);
            }
            *seen = counted;
            since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
        });
        waits.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // L2: hung; and slow, which is not hung
    #[test]
    fn only_who_waits_for_one_answer_is_waited_for() {
        let (watch, mut watcher) = (Watch::default(), Watcher::default());
        let start = Instant::now();
        let second = |n| start + Duration::from_secs(n);
        let mut waits = |n| watcher.longest_wait(&watch, second(n)).as_secs();
        watch.join();
        assert_eq!((waits(0), waits(100)), (0, 0), "not at the disk");
        let at = at_disk();
        // Since it was first seen there.
        assert_eq!((waits(110), waits(115)), (0, 5));
        answered();
        assert_eq!((waits(116), waits(120)), (0, 4));
        elsewhere(|| assert_eq!((waits(130), waits(140)), (0, 0), "the queue is full"));
        assert_eq!((waits(150), waits(151)), (0, 1));
        drop(at);
        assert_eq!((waits(152), waits(160)), (0, 0));
        let _again = at_disk();
        assert_eq!((waits(170), waits(178)), (0, 8));
        // Beside one who counts, one who does not.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                watch.join();
                let at = at_disk();
                answered();
                drop(at);
            });
        });
        assert_eq!(waits(180), 10);
    }

    #[test]
    fn a_thread_that_nobody_watches_need_not_care() {
        let at = at_disk();
        answered();
        assert_eq!(elsewhere(|| 7), 7);
        drop(at);
    }
}
