//! Places that are known not to answer, told to every process there is.
//!
//! Somebody who is stuck at a place cannot be helped, but nobody else need join him: not another thread, and not the next
//! run, which a schedule starts every hour. So for as long as a thread is stuck its process holds a file lock in the
//! directory of the catalogue, one file a place, and whoever is about to touch the place tries that lock first. It is a lock
//! and not a note because it cannot be left behind: when the disk answers the thread comes back and lets go, and a process
//! that was killed meanwhile lets go when the kernel lets go of it, which is the same moment.
//!
//! In the file stands since when there was no answer. Who is more patient than the one who is stuck waits the rest of
//! his time for him to come back: `status` gives a disk that spins up one second, and a scan after it shall not take that
//! for its own ten. After that time everybody has his answer at once.
//!
//! It is the place that hangs, not the library: two libraries on one dead disk are stuck once each, and a library that was
//! relocated to a disk that answers is not held up by the one that does not.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Where the locks are, once somebody has said so.
static DIR: OnceLock<PathBuf> = OnceLock::new();
/// Where threads of this process are stuck: how many, since when, and the lock that says so.
static PLACES: Mutex<BTreeMap<PathBuf, Place>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Place {
    stuck: usize,
    since: Instant,
    lock: Option<File>,
}

/// Who asks holds a lock for some microseconds; who is stuck himself need not have it, too.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(2);
/// How often who waits for one who is stuck looks whether he has come back.
const TICK: Duration = Duration::from_millis(20);

fn places() -> MutexGuard<'static, BTreeMap<PathBuf, Place>> {
    // Nobody panics while holding it, and if somebody did, the map would still be right.
    PLACES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says where processes tell each other of places that hang: a directory on a local disk, made when it is first needed.
/// Without it only the threads of this process know. The first word counts.
pub fn keep_in(dir: PathBuf) {
    let _ = DIR.set(dir);
}

/// As long as it lives, the place is known to hang. Belongs into the hands of who is stuck there, to be dropped when he
/// comes back.
#[derive(Debug)]
pub struct Hung {
    place: PathBuf,
}

impl Hung {
    /// Somebody did not come back from this place, which he asked so long ago.
    #[must_use]
    pub fn at(place: &Path, silent_for: Duration) -> Self {
        // The lock first and without the map's: it may have to be waited for a little.
        let known = places().contains_key(place);
        let lock = DIR.get().filter(|_| !known).and_then(|dir| lock(dir, place, silent_for));
        let mut places = places();
        let now = Instant::now();
        let since = now.checked_sub(silent_for).unwrap_or(now);
        let known = places.entry(place.to_owned()).or_insert(Place { stuck: 0, since, lock: None });
        known.stuck += 1;
        if known.lock.is_none() {
            known.lock = lock;
        }
        Hung { place: place.to_owned() }
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        let mut places = places();
        if let Some(known) = places.get_mut(&self.place) {
            known.stuck -= 1;
            if known.stuck == 0 {
                places.remove(&self.place);
            }
        }
    }
}

/// Whether somebody, in whatever process, has been stuck at this path or at a place above it for longer than `patience`.
/// Who has not yet is waited for. Does not touch the path.
pub(super) fn is_hung(path: &Path, patience: Duration) -> bool {
    while let Some(since) = stuck_here_since(path) {
        if since.elapsed() >= patience {
            return true;
        }
        std::thread::park_timeout(TICK);
    }
    match DIR.get() {
        // Mostly nothing has ever hung here.
        Some(dir) if dir.exists() => {
            path.ancestors().any(|place| is_locked_for(&lock_file(dir, place), patience))
        }
        _ => false,
    }
}

fn stuck_here_since(path: &Path) -> Option<Instant> {
    let places = places();
    if places.is_empty() {
        return None;
    }
    path.ancestors().filter_map(|place| places.get(place)).map(|place| place.since).min()
}

/// Whether a lock is held by who has been stuck for so long; who has not yet is waited for.
fn is_locked_for(path: &Path, patience: Duration) -> bool {
    while is_locked(path) {
        match silent_since(path) {
            Some(since) if uptime().saturating_sub(since) < patience => std::thread::park_timeout(TICK),
            _ => return true,
        }
    }
    false
}

/// A clock that all processes share, and that nobody sets.
fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

fn silent_since(path: &Path) -> Option<Duration> {
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(64).read_to_string(&mut text)).ok()?;
    text.trim().parse().ok().map(Duration::from_millis)
}

fn lock_file(dir: &Path, place: &Path) -> PathBuf {
    let name = blake3::hash(place.as_os_str().as_bytes()).to_hex();
    dir.join(&name[..32]).with_extension("lock")
}

/// The lock of a place; `None` where another process has it, which says the same, or where it cannot be had: then only
/// this process knows.
fn lock(dir: &Path, place: &Path, silent_for: Duration) -> Option<File> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    let opened = made.and_then(|()| {
        OpenOptions::new().create(true).truncate(false).write(true).open(lock_file(dir, place))
    });
    let file =
        opened.inspect_err(|error| tracing::warn!(%error, "other runs are not told what hangs")).ok()?;
    for _ in 0..TRIES {
        match file.try_lock() {
            Ok(()) => {
                let since = uptime().saturating_sub(silent_for).as_millis();
                // Without it who asks does not wait.
                let _ = file.set_len(0).and_then(|()| writeln!(&file, "{since}"));
                return Some(file);
            }
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(BETWEEN_TRIES),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Asked with a shared lock, so that two who ask do not take each other for stuck.
fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "whether it hangs is not known");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    // L2: hung
    #[test]
    fn a_place_hangs_as_long_as_one_is_stuck_there_and_what_is_below_it_too() {
        let place = Path::new("/hung/place");
        let below = Path::new("/hung/place/book");
        let is_hung = |place: &Path| is_hung(place, SHORT);
        assert!(!is_hung(place));
        let (one, two) = (Hung::at(place, SHORT), Hung::at(place, SHORT));
        assert!(is_hung(place) && is_hung(below));
        assert!(!is_hung(Path::new("/hung")) && !is_hung(Path::new("/hung/place-not")));
        drop(one);
        assert!(is_hung(place));
        drop(two);
        assert!(!is_hung(place) && !is_hung(below));
    }

    // L2: hung
    #[test]
    fn a_lock_tells_other_processes_and_is_gone_with_its_holder() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("hung");
        let place = Path::new("/media/disk");
        let asked = || is_locked(&lock_file(&dir, place));
        assert!(!asked());
        let held = lock(&dir, place, LONG).unwrap();
        // Another open file is to the lock what another process is.
        assert!(asked() && asked());
        assert!(lock(&dir, place, LONG).is_none(), "one is enough");
        assert!(!is_locked(&lock_file(&dir, Path::new("/media/other"))));
        drop(held);
        assert!(!asked());
    }

    // L2: a disk that spins up is slow, not hung
    #[test]
    fn who_is_more_patient_than_who_is_stuck_waits_the_rest_of_his_time() {
        let home = tempfile::tempdir().unwrap();
        let (dir, place) = (home.path().join("hung"), Path::new("/media/disk"));
        let path = lock_file(&dir, place);
        let second = Duration::from_secs(1);
        let held = lock(&dir, place, second).unwrap();
        let begun = Instant::now();
        assert!(is_locked_for(&path, second), "at once");
        assert!(is_locked_for(&path, second + second / 10), "and it does not come back");
        assert!(begun.elapsed() >= second / 20);
        std::thread::scope(|scope| {
            let patient = scope.spawn(|| is_locked_for(&path, LONG));
            drop(held);
            assert!(!patient.join().unwrap(), "it does");
        });
    }
}
