//! The disk is pulled, swapped or covered in the middle of a scan, at every kind of moment: the scan itself says when.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use shelflist::catalog::{Catalog, RunLock, libraries};
use shelflist::clock::{Clock, SystemClock};
use shelflist::library;
use shelflist::model::ProblemKind;
use shelflist::monitor::Counter;
use shelflist::scan::{Ending, Options, Report};

use crate::common::disk::{Kind, LoopDisk};
use crate::common::lent;
use crate::common::saboteur::{Saboteur, Tick};
use crate::common::shelf::{Shelf, write};
use crate::common::state;

/// Directories of [`FILES_EACH`] files; every tenth lies in another.
const DIRS: usize = 60;
const FILES_EACH: usize = 50;

fn dir_name(dir: usize) -> String {
    if dir.is_multiple_of(10) {
        format!("shelf-{dir:02}")
    } else {
        format!("shelf-{:02}/row-{dir:02}", dir / 10 * 10)
    }
}

fn file_name(dir: usize, file: usize) -> String {
    format!("{}/file-{file:02}.txt", dir_name(dir))
}

/// The same names for every `whose`, with other contents.
fn fill(root: &Path, whose: &str) {
    for dir in 0..DIRS {
        fs::create_dir_all(root.join(dir_name(dir))).unwrap();
        for file in 0..FILES_EACH {
            fs::write(root.join(file_name(dir, file)), format!("{whose} {dir} {file}\n")).unwrap();
        }
        std::os::unix::fs::symlink(format!("target of {whose}"), root.join(dir_name(dir)).join("link"))
            .unwrap();
    }
    fs::write(root.join(dir_name(7)).join(".shelflistignore"), "*.tmp\n").unwrap();
    fs::write(root.join(dir_name(7)).join("scratch.tmp"), whose).unwrap();
}

/// What happens to a library between two scans.
fn change(root: &Path) {
    for file in 0..30 {
        write(root, &file_name(3, file), &format!("edited {file}\n"));
        fs::remove_file(root.join(file_name(14, file))).unwrap();
        write(root, &format!("new/note-{file:02}.txt"), &format!("note {file}\n"));
    }
    fs::remove_dir_all(root.join(dir_name(25))).unwrap();
    fs::rename(root.join(dir_name(36)), root.join("moved")).unwrap();
}

/// A disk that is in two hands: the test's and the saboteur's.
#[derive(Clone)]
struct Disk {
    disk: Arc<Mutex<LoopDisk>>,
    point: PathBuf,
}

impl Disk {
    fn hold(&self) -> MutexGuard<'_, LoopDisk> {
        self.disk.lock().unwrap()
    }

    fn plug_in(&self) {
        self.hold().mount_at(&self.point);
    }

    /// Also while files of it are open.
    fn pull(&self) {
        self.hold().lazy_unmount();
    }
}

/// A library on a disk, another disk with the same names, and the program as a library.
struct Bench {
    disk: Disk,
    other: Disk,
    shelf: Shelf,
}

impl Bench {
    fn new() -> Self {
        let shelf = Shelf::filled_by(48, |root| fill(root, "ours"));
        Bench::of(shelf, |root| fill(root, "theirs"))
    }

    fn of(mut shelf: Shelf, fill_other: impl FnOnce(&Path)) -> Self {
        let point = shelf.point();
        let mut other = LoopDisk::create(48, Kind::Ext4, "OTHER");
        shelf.disk.unmount();
        other.mount_at(&point);
        fs::create_dir(shelf.root()).unwrap();
        fill_other(&shelf.root());
        other.unmount();
        // The desk keeps a disk of its own, which nobody mounts.
        let disk = std::mem::replace(&mut shelf.disk, LoopDisk::create(1, Kind::Ext4, "UNUSED"));
        let in_two_hands = |disk| Disk { disk: Arc::new(Mutex::new(disk)), point: point.clone() };
        let bench = Bench { disk: in_two_hands(disk), other: in_two_hands(other), shelf };
        bench.disk.plug_in();
        bench
    }

    fn home(&self) -> PathBuf {
        self.shelf.desk.home()
    }

    fn scan(&self, saboteur: &Saboteur<'_>) -> Report {
        let mut catalog = Catalog::open(&self.home().join("catalog.db"), SystemClock.now()).unwrap();
        let lock = RunLock::take(catalog.path()).unwrap();
        let library = libraries::all(catalog.read()).unwrap().remove(0);
        let root = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
        lent::scan(&mut catalog, &lock, &library, &root, &Options::default(), saboteur, saboteur).unwrap()
    }

    fn undisturbed(&self) -> (Report, Saboteur<'_>) {
        let nobody = Saboteur::default();
        (self.scan(&nobody), nobody)
    }

    fn state(&self) -> Vec<String> {
        state::of_catalogue(&self.home())
    }

    /// Puts the catalogue aside, to come back to it.
    fn keep(&self, name: &str) {
        copy_files(&self.home(), &self.shelf.desk.path(name));
    }

    fn bring_back(&self, name: &str) {
        copy_files(&self.shelf.desk.path(name), &self.home());
    }

    /// Whatever was done, the disk is in its place and nothing over it.
    fn set_right(&self) {
        for disk in [&self.other, &self.disk] {
            while disk.hold().is_mounted() {
                disk.hold().unmount();
            }
        }
        self.disk.plug_in();
    }
}

/// No run is open on it: then the catalogue is one file.
fn copy_files(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// What is done to the disk at the chosen moment; the second number is a later one.
#[derive(Debug, Clone, Copy)]
enum Deed {
    /// Pulled: an empty mount point stays behind.
    Pull,
    /// Pulled, and back at once.
    PullAndPlugIn,
    /// Pulled, and another disk mounted there.
    Swap,
    /// Another disk mounted over it.
    Cover,
    /// Another disk mounted over it, and taken away again some moments later.
    CoverForAWhile(u64),
    /// Read-only from then on, as the kernel does it to a disk with errors: no reason to stop reading.
    MakeReadOnly,
}

fn sabotage<'a>(bench: &'a Bench, deed: Deed, tick: Tick, moment: u64) -> Saboteur<'a> {
    let saboteur = Saboteur::default();
    let (disk, other) = (&bench.disk, &bench.other);
    match deed {
        Deed::Pull => saboteur.at(tick, moment, || disk.pull()),
        Deed::PullAndPlugIn => saboteur.at(tick, moment, || {
            disk.pull();
            disk.plug_in();
        }),
        Deed::Swap => saboteur.at(tick, moment, || {
            disk.pull();
            other.plug_in();
        }),
        Deed::Cover => saboteur.at(tick, moment, || other.plug_in()),
        Deed::CoverForAWhile(later) => {
            saboteur.at(tick, moment, || other.plug_in()).at(tick, later, || other.pull())
        }
        Deed::MakeReadOnly => saboteur.at(tick, moment, || disk.hold().remount_read_only()),
    }
}

/// Moments that are spread over a run, the first and the last ones among them.
fn moments(of: u64, how_many: u64, offset: u64) -> Vec<u64> {
    let mut moments: Vec<u64> =
        (0..how_many).map(|n| 1 + ((of - 1) * n + offset * (of - 1) / 7) / how_many).collect();
    moments.extend([of.saturating_sub(offset % 4).max(1)]);
    moments
}

/// After a scan that was disturbed: nothing is missing that is there, no content is believed that was never there.
fn check_disturbed(
    bench: &Bench,
    before: &BTreeMap<String, (String, String)>,
    truth: &BTreeMap<String, (String, String)>,
    context: &str,
) {
    for (path, (presence, hash)) in state::files(&bench.home()) {
        let really = truth.get(&path);
        if presence == "missing" {
            // Not at its place any more, or found at another one by a scan that sees all of them.
            let gone = really.is_none_or(|(presence, _)| presence == "missing");
            assert!(gone, "{context}: {path} is there and was called missing");
        }
        let possible = [before.get(&path), really].into_iter().flatten().any(|(_, known)| *known == hash);
        assert!(possible || hash == "-", "{context}: {path} never had the content {hash}");
    }
}

/// From the same beginning, a scan disturbed by each deed at many moments, then one in peace: it has to end where an
/// undisturbed one ends. Returns how many were ended by their disturbance.
fn disturb(bench: &Bench, deeds: &[Deed], how_many: u64) -> u64 {
    let before = state::files(&bench.home());
    bench.keep("before");
    let (report, counted) = bench.undisturbed();
    let ticks = counted.ticks(Tick::Anything);
    assert!(report.is_complete(), "{report:?}");
    let (expected, truth) = (bench.state(), state::files(&bench.home()));
    let mut lost = 0;
    for (at, deed) in deeds.iter().enumerate() {
        for moment in moments(ticks, how_many, at as u64) {
            let context = format!("{deed:?} at {moment} of {ticks}");
            bench.bring_back("before");
            let report = bench.scan(&sabotage(bench, *deed, Tick::Anything, moment));
            lost += u64::from(matches!(report.ending, Ending::RootLost(_)));
            assert!(!matches!(deed, Deed::MakeReadOnly) || report.is_complete(), "{context}: {report:?}");
            if matches!(report.ending, Ending::RootLost(_)) {
                assert_eq!((report.missing, report.decision), (0, None), "{context}");
            }
            check_disturbed(bench, &before, &truth, &context);
            bench.set_right();
            let (report, _) = bench.undisturbed();
            assert!(report.is_complete(), "{context}: {report:?}");
            state::assert_same(&bench.state(), &expected, &context);
        }
    }
    lost
}

const DEEDS: [Deed; 7] = [
    Deed::Pull,
    Deed::PullAndPlugIn,
    Deed::Swap,
    Deed::Cover,
    Deed::CoverForAWhile(3),
    Deed::CoverForAWhile(300),
    Deed::MakeReadOnly,
];

// D2, D3, D4
pub(crate) fn a_first_scan_that_is_disturbed_anywhere_is_made_good_by_the_next() {
    let bench = Bench::new();
    let lost = disturb(&bench, &[Deed::Pull, Deed::Swap, Deed::CoverForAWhile(3)], 1);
    // A disk that was covered for a moment may be itself again when the next transaction looks.
    assert!(lost >= 2, "{lost} scans were ended by what was done to the disk");
}

// D1, D2, D3, D4: while there is something to conclude
pub(crate) fn a_scan_of_changes_that_is_disturbed_anywhere_calls_nothing_missing_that_is_there() {
    let bench = Bench::new();
    bench.undisturbed();
    change(&bench.shelf.root());
    let lost = disturb(&bench, &DEEDS, 4);
    assert!(lost >= 12, "{lost} scans were ended by what was done to the disk");
}

/// Thirty files in one directory, scanned; another disk with the same names.
fn small_bench() -> Bench {
    let thirty = |root: &Path, whose: &str| {
        for file in 0..30 {
            write(root, &format!("file-{file:02}.txt"), &format!("{whose} {file}"));
        }
    };
    Bench::of(Shelf::filled_by(8, |root| thirty(root, "ours")), |root| thirty(root, "theirs"))
}

// D2: covered after the directory was listed, and taken away before the root is verified again
pub(crate) fn what_is_read_from_a_disk_mounted_over_the_library_is_not_believed() {
    let bench = small_bench();
    let truth: Vec<String> =
        (0..30).map(|file| blake3::hash(format!("ours {file}").as_bytes()).to_hex().to_string()).collect();
    // The listing is counted before anything in it is read; a hasher asks for the time before each file.
    let saboteur = Saboteur::default().at(Tick::Counted(Counter::FilesSeen), 1, || bench.other.plug_in()).at(
        Tick::Asked,
        30,
        || bench.other.pull(),
    );
    let report = bench.scan(&saboteur);
    assert_eq!(saboteur.acts_left(), 0, "all was done");
    for (path, (presence, hash)) in state::files(&bench.home()) {
        assert!(hash == "-" || truth.contains(&hash), "{path} {presence} {hash}");
    }
    // Told, and read at the next scan.
    assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::OtherFileSystem), "{report:?}");
    assert_eq!(report.hashed_files + report.problems.len() as u64, 30);
    bench.set_right();
    let (report, _) = bench.undisturbed();
    assert_eq!((report.is_complete(), report.problems.len()), (true, 0));
    assert_eq!(state::files(&bench.home()).values().filter(|(_, hash)| truth.contains(hash)).count(), 30);
}

// D3: between the last look and the commit of what it concludes
pub(crate) fn a_disk_that_is_pulled_while_conclusions_are_written_takes_them_along() {
    let bench = small_bench();
    bench.undisturbed();
    // Enough for a decision, and a move.
    for file in 1..30 {
        bench.shelf.remove(&format!("file-{file:02}.txt"));
    }
    fs::rename(bench.shelf.root().join("file-00.txt"), bench.shelf.root().join("renamed.txt")).unwrap();
    bench.keep("before");
    let (report, counted) = bench.undisturbed();
    let ticks = counted.ticks(Tick::Asked);
    assert_eq!((report.missing, report.moved, report.decision.is_some()), (0, 1, true));
    let mut lost = 0;
    for moment in 1..=ticks {
        bench.bring_back("before");
        let before = bench.state();
        let report = bench.scan(&sabotage(&bench, Deed::Pull, Tick::Asked, moment));
        bench.set_right();
        let (decisions, missing) =
            (bench.shelf.desk.sql::<i64>("SELECT count(*) FROM decisions"), bench.shelf.missing());
        assert_eq!(missing, 0, "at {moment}");
        if let Ending::RootLost(_) = report.ending {
            lost += 1;
            assert_eq!((report.missing, report.moved, report.decision), (0, 0, None), "at {moment}");
            assert_eq!(decisions, 0, "at {moment}");
            let said: String =
                bench.shelf.desk.sql("SELECT outcome FROM scans ORDER BY scan_id DESC LIMIT 1");
            assert_eq!(said, "root-lost", "at {moment}");
            let new_file = |line: &String| line.contains("renamed.txt");
            let after: Vec<String> = bench.state().into_iter().filter(|line| !new_file(line)).collect();
            let before: Vec<String> =
                before.into_iter().filter(|line| !line.contains("document of file-00")).collect();
            let after: Vec<String> =
                after.into_iter().filter(|line| !line.contains("document of file-00")).collect();
            state::assert_same(&after, &before, &format!("at {moment}"));
        } else {
            assert_eq!((report.moved, decisions), (1, 1), "at {moment}: after all was committed");
        }
    }
    // The last ticks are those of the report, after everything was committed.
    assert!(lost >= 5 && lost < ticks, "{lost} of {ticks}");
}
