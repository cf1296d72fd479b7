//! Stamps that a later change may leave a second time: the clock was set back, and passes the same moments again.

#![allow(missing_docs)]

use std::fs::{File, FileTimes};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use shelflist::catalog::libraries::{self, Library};
use shelflist::catalog::{Catalog, RunLock};
use shelflist::clock::{Clock, FixedClock, SystemClock};
use shelflist::library::{self, InitOptions};
use shelflist::monitor::Unwatched;
use shelflist::scan::{self, Options, Report};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.root()).unwrap();
        let root = desk.root();
        let options = InitOptions { root: &root, name: Some("books"), mount_point: None, marker: true };
        library::init(&mut desk.catalog(), &options, &SystemClock).unwrap();
        desk
    }

    /// As if its disk had no change times to speak of.
    fn without_ctime(self) -> Self {
        let conn = rusqlite::Connection::open(self.dir.path().join("home/catalog.db")).unwrap();
        let changed = conn
            .execute(
                "UPDATE volume_profiles SET profile = json_set(profile, '$.ctime.value', json('false'))",
                [],
            )
            .unwrap();
        assert_eq!(changed, 1);
        self
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("library").canonicalize().unwrap_or_else(|_| self.dir.path().join("library"))
    }

    fn catalog(&self) -> Catalog {
        Catalog::open_or_create(&self.dir.path().join("home/catalog.db"), SystemClock.now()).unwrap()
    }

    /// Writes a file with this stamp.
    fn write(&self, content: &str, stamp: SystemTime) {
        let path = self.root().join("a.txt");
        std::fs::write(&path, content).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(stamp)).unwrap();
    }

    fn scan_at(&self, now: Timestamp) -> Report {
        let mut catalog = self.catalog();
        let lock = RunLock::take(catalog.path()).unwrap();
        let library: Library = libraries::all(catalog.read()).unwrap().remove(0);
        let root = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
        let (clock, monitor) = (Arc::new(FixedClock::at(now)), Arc::new(Unwatched));
        scan::run(&mut catalog, &lock, &library, &root, &Options::default(), clock, monitor).unwrap()
    }
}

fn as_system(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(at.as_nanosecond().try_into().unwrap())
}

// D9
#[test]
fn what_is_written_while_the_clock_passes_a_moment_again_is_found() {
    let desk = Desk::new().without_ctime();
    let moment = SystemClock.now();
    desk.write("before", as_system(moment));
    // The clock was set back by an hour since.
    assert_eq!(desk.scan_at(moment - HOUR).new, 1);
    desk.write("after!", as_system(moment));
    assert_eq!(desk.scan_at(moment + HOUR).modified, 1);
    // Now the moment lies an hour back for good.
    assert_eq!(desk.scan_at(moment + HOUR).hashed_files, 0);
}

// D9: nobody can set a change time, so one ahead of the clock says that the clock was set back.
#[test]
fn a_change_time_ahead_of_the_clock_is_no_proof() {
    let desk = Desk::new();
    desk.write("before", SystemTime::UNIX_EPOCH);
    assert_eq!(desk.scan_at(SystemClock.now() - HOUR).new, 1);
    assert_eq!(desk.scan_at(SystemClock.now() + HOUR).hashed_files, 1, "looked at again");
    assert_eq!(desk.scan_at(SystemClock.now() + HOUR).hashed_files, 0);
}

// D9: what somebody stamped with the year 2200 is not read at every scan until then.
#[test]
fn a_stamp_of_another_century_is_proof_enough() {
    let desk = Desk::new().without_ctime();
    desk.write("before", SystemTime::UNIX_EPOCH + Duration::from_secs(7_258_118_400));
    let later = SystemClock.now() + HOUR;
    assert_eq!(desk.scan_at(later).new, 1);
    assert_eq!(desk.scan_at(later).hashed_files, 0);
}
