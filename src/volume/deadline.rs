//! A look that may hang, made so that it cannot hang the caller: it happens in a thread of its own, and the caller
//! waits no longer than its deadline.
//!
//! A thread that hangs in the kernel cannot be ended, only left behind. So there is at most one look a root at any
//! time: who comes second waits for the first, and once one has been waited for as long as anybody would wait, everybody
//! is told so at once until it comes back; other processes, too, by [`super::hung`]. A dead network mount thus costs the computer one thread, not
//! one a minute.
//!
//! What this cannot do: let the process end before the kernel lets go of a stuck thread. A hard NFS mount does so at
//! once; a FUSE daemon that took the request and a block device that does not answer may take as long as they like
//! (seen with FUSE: the process stays a zombie until its connection is aborted). So nobody waits for the end of the
//! process that looks, see the command line's supervisor.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hung::{Hung, is_hung};

/// Why a look gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// It did not come back in time, or one before it has not come back yet.
    #[error("it did not answer within {} ms", .0.as_millis())]
    Overdue(Duration),
    /// The thread could not be started.
    #[error("the thread that should look could not be started")]
    NoThread(#[source] std::io::Error),
    /// The look panicked: a bug of ours, and no reason to believe anything.
    #[error("the look ended without an answer")]
    Died,
}

#[derive(Debug)]
struct UnderWay {
    /// Tells this look from the next one at the same root.
    ticket: u64,
    overdue: Option<Hung>,
}

/// The looks under way, by root.
static LOOKS: Mutex<BTreeMap<PathBuf, UnderWay>> = Mutex::new(BTreeMap::new());
/// Told whenever a look ends or becomes overdue.
static CHANGED: Condvar = Condvar::new();
static TICKETS: AtomicU64 = AtomicU64::new(0);

fn looks() -> MutexGuard<'static, BTreeMap<PathBuf, UnderWay>> {
    // Nobody panics while holding it, and if somebody did, the map would still be right.
    LOOKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the root out of the looks under way when the look ends, be it by a panic.
struct Ends(PathBuf);

impl Drop for Ends {
    fn drop(&mut self) {
        // First nobody is stuck here any more, then the next may look: he would be told otherwise.
        let hung = looks().get_mut(&self.0).and_then(|state| state.overdue.take());
        drop(hung);
        looks().remove(&self.0);
        CHANGED.notify_all();
    }
}

/// What `look` says, if it says it within `deadline`. `root` is what the look may get stuck on.
///
/// # Errors
/// [`NoAnswer::Overdue`] when it did not, or at once while an earlier look at `root` has taken that long already.
pub(super) fn within<T: Send + 'static>(
    root: &Path,
    deadline: Duration,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let begun = Instant::now();
    let left = || deadline.saturating_sub(begun.elapsed());
    if is_hung(root, deadline) {
        return Err(NoAnswer::Overdue(deadline));
    }
    let mut under_way = looks();
    // Also behind one that is overdue by now, for the rest of one's own time.
    while under_way.contains_key(root) {
        if left().is_zero() {
            return Err(NoAnswer::Overdue(deadline));
        }
        under_way = CHANGED.wait_timeout(under_way, left()).unwrap_or_else(PoisonError::into_inner).0;
    }
    let ticket = TICKETS.fetch_add(1, Ordering::Relaxed);
    under_way.insert(root.to_owned(), UnderWay { ticket, overdue: None });
    drop(under_way);

    let ends = Ends(root.to_owned());
    let (answer_to, answer) = mpsc::sync_channel(1);
    let spawned = std::thread::Builder::new().name("volume-look".to_owned()).spawn(move || {
        let ends = ends;
        let said = look();
        // First the entry goes, then the answer: a caller with the answer in hand can look again at once.
        drop(ends);
        // Nobody may be waiting any more.
        let _ = answer_to.send(said);
    });
    if let Err(source) = spawned {
        return Err(NoAnswer::NoThread(source));
    }
    match answer.recv_timeout(left()) {
        Ok(said) => Ok(said),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(NoAnswer::Died),
        Err(mpsc::RecvTimeoutError::Timeout) => {
            let hung = Hung::at(root, begun.elapsed());
            // Its entry may be gone by now, or already be that of the next one.
            match looks().get_mut(root).filter(|state| state.ticket == ticket) {
                Some(state) => state.overdue = Some(hung),
                None => drop(hung),
            }
            answer.try_recv().map_err(|_| NoAnswer::Overdue(deadline))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn an_answer_in_time_is_handed_over_and_the_next_look_may_begin() {
        for n in 0..100 {
            assert_eq!(within(Path::new("/answers"), LONG, move || n).unwrap(), n);
        }
    }

    // L2: hung
    #[test]
    fn a_stuck_look_costs_one_thread_and_frees_the_root_when_it_comes_back() {
        let root = Path::new("/stuck");
        let (release, stuck) = mpsc::channel::<()>();
        let (tell, came_back) = mpsc::channel();
        let deadline = Duration::from_secs(1);
        let first = within(root, deadline, move || {
            let _ = stuck.recv();
            tell.send(()).unwrap();
        });
        assert!(matches!(first, Err(NoAnswer::Overdue(_))));

        // The next are told at once, and their looks never begin.
        let begun = Instant::now();
        for _ in 0..10 {
            let next = within(root, deadline, || unreachable!("the first look is still stuck"));
            assert!(matches!(next, Err(NoAnswer::Overdue(_))), "{next:?}");
        }
        assert!(begun.elapsed() < deadline);
        // Another root has nothing to do with it.
        assert_eq!(within(Path::new("/stuck-not"), LONG, || 1).unwrap(), 1);

        drop(release);
        came_back.recv().unwrap();
        // Its entry goes a moment after it came back.
        while looks().contains_key(root) {
            std::thread::yield_now();
        }
        assert_eq!(within(root, LONG, || 2).unwrap(), 2);
    }

    #[test]
    fn who_comes_second_waits_for_a_look_that_is_in_time() {
        let root = Path::new("/shared");
        let (release, held) = mpsc::channel::<()>();
        let (tell, begun) = mpsc::channel();
        let first = std::thread::spawn(move || {
            within(Path::new("/shared"), LONG, move || {
                tell.send(()).unwrap();
                let _ = held.recv();
            })
        });
        begun.recv().unwrap();
        let second = std::thread::spawn(|| within(Path::new("/shared"), LONG, || 2));
        drop(release);
        first.join().unwrap().unwrap();
        assert_eq!(second.join().unwrap().unwrap(), 2);
        assert!(!looks().contains_key(root));
    }

    #[test]
    fn who_waits_behind_a_look_that_becomes_overdue_waits_his_own_time() {
        let root = Path::new("/queue");
        let (release, held) = mpsc::channel::<()>();
        let (tell, begun) = mpsc::channel();
        let first = std::thread::spawn(move || {
            within(root, SHORT, move || {
                tell.send(()).unwrap();
                let _ = held.recv();
            })
        });
        begun.recv().unwrap();
        // One comes before it is overdue, or just then; one comes later.
        let patient = std::thread::spawn(move || within(root, LONG, || 2));
        assert!(first.join().unwrap().is_err());
        let later = std::thread::spawn(move || within(root, LONG, || 3));
        assert!(within(root, SHORT, || unreachable!("the first look is still stuck")).is_err());
        drop(release);
        assert_eq!((patient.join().unwrap().unwrap(), later.join().unwrap().unwrap()), (2, 3));
    }

    #[test]
    fn a_look_that_panics_is_no_answer_and_frees_the_root() {
        let look = || within(Path::new("/panics"), LONG, || panic!("on purpose"));
        assert!(matches!(look(), Err(NoAnswer::Died)));
        assert!(matches!(look(), Err(NoAnswer::Died)));
    }
}
