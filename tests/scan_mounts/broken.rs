//! A disk that fails: input/output errors in listings and files, at once or in the middle, and a disk that stops answering.

use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use shelflist::catalog::{Catalog, RunLock, libraries};
use shelflist::clock::{Clock, SystemClock};
use shelflist::library;
use shelflist::scan::{self, Ending, Options, Report};
use shelflist::volume::Marker;

use crate::common::broken_disk::{Behaviour, BrokenDisk, EIO};
use crate::common::desk::Desk;
use crate::common::saboteur::{Saboteur, Tick};
use crate::common::{state, wait};

const FILES_EACH: usize = 20;
const DIRS: [&str; 5] = ["a", "b", "b/c", "d", "d/e"];
const ALL: u64 = (FILES_EACH * DIRS.len()) as u64;

/// A library `books` on a disk that breaks on command.
struct BrokenShelf {
    disk: BrokenDisk,
    desk: Desk,
}

impl BrokenShelf {
    /// Not scanned yet.
    fn new() -> Self {
        let desk = Desk::new();
        let point = desk.path("disk");
        std::fs::create_dir(&point).unwrap();
        let marker = Marker {
            // Random, for tests run side by side.
            library_id: ulid::Ulid::generate(),
            name: "books".into(),
            generation: 1,
            created: "2026-11-20T10:00:00Z".parse().unwrap(),
            last_scans: Vec::new(),
        };
        let mut files =
            vec![("lib/.shelflist/library.json".to_owned(), serde_json::to_vec(&marker).unwrap())];
        for dir in DIRS {
            for file in 0..FILES_EACH {
                let path = format!("lib/{dir}/file-{file:02}.txt");
                files.push((path.clone(), path.into_bytes()));
            }
        }
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        let disk = BrokenDisk::mount_at(&point, &files);
        let shelf = BrokenShelf { disk, desk };
        shelf.desk.run(&["init", shelf.root().to_str().unwrap(), "--name", "books"]).expect(0);
        shelf
    }

    fn scanned() -> Self {
        let shelf = BrokenShelf::new();
        let report = shelf.desk.scan();
        assert_eq!((&report["new"], &report["complete"]), (&json!(ALL), &json!(true)));
        shelf
    }

    fn root(&self) -> PathBuf {
        self.desk.path("disk/lib")
    }

    fn files(&self) -> Value {
        self.desk.json(&["status"])["libraries"][0]["files"].take()
    }

    /// It works again: everything is as before, and nothing is read to know that.
    #[track_caller]
    fn expect_as(&self, before: &[String], restored: u64) {
        self.disk.set(Behaviour::Answers);
        let report = self.desk.scan();
        assert_eq!(
            (&report["complete"], &report["hashed_files"], &report["restored"]),
            (&json!(true), &json!(0), &json!(restored))
        );
        state::assert_same(&state::of_catalogue(&self.desk.home()), before, "after the disk works again");
    }
}

fn counts(present: u64, unknown: u64) -> Value {
    json!({ "present": present, "missing": 0, "unknown": unknown, "excluded": 0 })
}

// D4
pub(crate) fn a_listing_that_breaks_off_freezes_its_directory_and_what_is_below() {
    let shelf = BrokenShelf::scanned();
    let before = state::of_catalogue(&shelf.desk.home());
    for after in [0, 1, 7, FILES_EACH] {
        shelf.disk.set(Behaviour::BreaksOffListing { dir: shelf.disk.number_of("lib/b"), after });
        let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
        assert_eq!((&report["frozen_dirs"], &report["missing"]), (&json!(["b"]), &json!(0)), "after {after}");
        let problem = &report["problems"][0];
        assert_eq!((&problem["path"], &problem["kind"]), (&json!("b"), &json!("read-error")));
        let frozen = 2 * FILES_EACH as u64;
        assert_eq!(shelf.files(), counts(ALL - frozen, frozen), "after {after}");
        shelf.expect_as(&before, frozen);
    }
}

// D4: the root itself
pub(crate) fn a_listing_of_the_root_that_breaks_off_freezes_everything() {
    let shelf = BrokenShelf::scanned();
    let before = state::of_catalogue(&shelf.desk.home());
    for after in [1, 2] {
        shelf.disk.set(Behaviour::BreaksOffListing { dir: shelf.disk.number_of("lib"), after });
        let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
        assert_eq!((&report["frozen_dirs"], &report["missing"]), (&json!([""]), &json!(0)));
        assert_eq!(shelf.files(), counts(0, ALL));
        shelf.expect_as(&before, ALL);
    }
}

// D1, D9
pub(crate) fn a_file_that_fails_to_be_read_keeps_what_was_proved() {
    let shelf = BrokenShelf::scanned();
    let before = state::of_catalogue(&shelf.desk.home());
    shelf.disk.set(Behaviour::FailsToReadFile(shelf.disk.number_of("lib/d/file-03.txt")));
    // A scan that need not read it does not meet the error.
    shelf.desk.run(&["scan"]).expect(0);
    let report = shelf.desk.run(&["scan", "--full", "--json"]).expect(3).json()["libraries"][0].take();
    assert_eq!(report["hashed_files"], ALL - 1);
    let problem = &report["problems"][0];
    assert_eq!((&problem["path"], &problem["kind"]), (&json!("d/file-03.txt"), &json!("read-error")));
    assert_eq!(shelf.files(), counts(ALL, 0));
    shelf.expect_as(&before, 0);
}

fn scan_with(shelf: &BrokenShelf, saboteur: &Saboteur<'_>) -> Report {
    let mut catalog = Catalog::open(&shelf.desk.home().join("catalog.db"), SystemClock.now()).unwrap();
    let lock = RunLock::take(catalog.path()).unwrap();
    let library = libraries::all(catalog.read()).unwrap().remove(0);
    let root = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
    scan::run(&mut catalog, &lock, &library, &root, &Options::default(), saboteur, saboteur).unwrap()
}

// D1, D3, D4: the cable is loose
pub(crate) fn a_disk_that_fails_in_the_middle_makes_nothing_missing() {
    let undisturbed = BrokenShelf::scanned();
    let expected = state::of_catalogue(&undisturbed.desk.home());
    for (at, behaviour) in
        [Behaviour::Fails(EIO), Behaviour::FailsToRead(EIO)].into_iter().cycle().take(12).enumerate()
    {
        // A first scan, and one that has nothing to read.
        let shelf = if at % 4 < 2 { BrokenShelf::new() } else { BrokenShelf::scanned() };
        let moment = 2 + at as u64 * if at % 4 < 2 { 30 } else { 1 };
        let context = format!("{behaviour:?} at {moment}");
        let saboteur = Saboteur::default().at(Tick::Anything, moment, || shelf.disk.set(behaviour));
        let report = scan_with(&shelf, &saboteur);
        if saboteur.acts_left() == 0 {
            // Unless it came after all was done.
            assert!(
                matches!(report.ending, Ending::RootLost(_)) || report.problems.is_empty(),
                "{context}: {report:?}"
            );
        }
        assert_eq!((report.missing, report.decision), (0, None), "{context}");
        let files = shelf.files();
        assert_eq!((&files["missing"], &files["unknown"]), (&json!(0), &json!(0)), "{context}");
        shelf.disk.set(Behaviour::Answers);
        assert_eq!(shelf.desk.scan()["complete"], true, "{context}");
        state::assert_same(&state::of_catalogue(&shelf.desk.home()), &expected, &context);
    }
}

// D1: directories of damaged disks do that, and disks behind a program while somebody renames in them.
pub(crate) fn a_disk_that_lists_its_names_twice_is_scanned_all_the_same() {
    let shelf = BrokenShelf::new();
    shelf.disk.set(Behaviour::ListsTwice);
    let report = shelf.desk.scan();
    assert_eq!(
        (&report["files_seen"], &report["new"], &report["complete"]),
        (&json!(ALL), &json!(ALL), &json!(true))
    );
    assert_eq!(shelf.desk.scan()["files_seen"], ALL);
    assert_eq!(shelf.files()["present"], ALL);
}

// L2, D1: and the person in front of it gets out
pub(crate) fn a_scan_on_a_disk_that_hangs_is_left_by_pressing_ctrl_c_twice() {
    let shelf = BrokenShelf::new();
    shelf.desk.run(&["config", "set", "probe.deadline_ms", "300"]).expect(0);
    // The look at the root takes three; then the walk has begun.
    shelf.disk.set_after(40, Behaviour::Hangs);
    let mut scan = shelf
        .desk
        .command(&["scan"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait::until("the disk to hang", || shelf.disk.behaviour() == Behaviour::Hangs);
    wait::signal(&scan, Signal::INT);
    // The first asks it to stop, which it cannot.
    wait::until_said(&mut scan, "press Ctrl-C again");
    wait::signal(&scan, Signal::INT);
    assert_eq!(wait::until_ended(&mut scan).code(), Some(130));
    // Asked while it hangs, everything else says so and goes on.
    let told = shelf.desk.run(&["scan", "books"]).expect(7);
    assert!(told.stdout.contains("unavailable(hung)"), "{told:?}");
    assert_eq!(shelf.files(), counts(0, 0));
    shelf.disk.set(Behaviour::Answers);
    let report = shelf.desk.scan();
    assert_eq!((&report["complete"], &report["new"]), (&json!(true), &json!(ALL)));
}
