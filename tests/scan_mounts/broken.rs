//! A disk that fails: input/output errors in listings and files, at once or in the middle, and a disk that stops answering.

use std::path::PathBuf;

use serde_json::{Value, json};
use shelflist::catalog::{Catalog, RunLock, libraries};
use shelflist::clock::{Clock, SystemClock};
use shelflist::library;
use shelflist::scan::{Ending, Options, Report};
use shelflist::volume::Marker;

use crate::common::broken_disk::{Behaviour, BrokenDisk, EIO};
use crate::common::desk::Desk;
use crate::common::saboteur::{Saboteur, Tick};
use crate::common::{lent, state};

pub(crate) const FILES_EACH: usize = 20;
const DIRS: [&str; 5] = ["a", "b", "b/c", "d", "d/e"];
pub(crate) const ALL: u64 = (FILES_EACH * DIRS.len()) as u64;

/// A library `books` on a disk that breaks on command.
pub(crate) struct BrokenShelf {
    pub(crate) disk: BrokenDisk,
    pub(crate) desk: Desk,
}

impl BrokenShelf {
    /// Not scanned yet.
    pub(crate) fn new() -> Self {
        BrokenShelf::with(&[])
    }

    /// Not scanned yet, with more files.
    fn with(more: &[(&str, &str)]) -> Self {
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
        files.extend(more.iter().map(|(path, content)| ((*path).to_owned(), (*content).into())));
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        let disk = BrokenDisk::mount_at(&point, &files);
        let shelf = BrokenShelf { disk, desk };
        shelf.desk.run(&["init", shelf.root().to_str().unwrap(), "--name", "books"]).expect(0);
        shelf
    }

    pub(crate) fn scanned() -> Self {
        let shelf = BrokenShelf::new();
        let report = shelf.desk.scan();
        assert_eq!((&report["new"], &report["complete"]), (&json!(ALL), &json!(true)));
        shelf
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.desk.path("disk/lib")
    }

    pub(crate) fn files(&self) -> Value {
        self.desk.json(&["status"])["libraries"][0]["files"].take()
    }

    /// It works again: everything is as before, and nothing is read to know that.
    #[track_caller]
    pub(crate) fn expect_as(&self, before: &[String], restored: u64) {
        self.disk.set(Behaviour::Answers);
        let report = self.desk.scan();
        assert_eq!(
            (&report["complete"], &report["hashed_files"], &report["restored"]),
            (&json!(true), &json!(0), &json!(restored))
        );
        state::assert_same(&state::of_catalogue(&self.desk.home()), before, "after the disk works again");
    }
}

pub(crate) fn counts(present: u64, unknown: u64) -> Value {
    json!({ "present": present, "missing": 0, "unknown": unknown, "excluded": 0 })
}

// D1, D4: what it did not get to is unknown; what was seen before it broke off is there
pub(crate) fn a_listing_that_breaks_off_freezes_what_it_did_not_get_to() {
    let shelf = BrokenShelf::scanned();
    let before = state::of_catalogue(&shelf.desk.home());
    // The directory `b/c` comes first, then the files.
    let each = FILES_EACH as u64;
    for (after, frozen) in [(0, 2 * each), (1, each), (7, each - 6), (FILES_EACH, 1)] {
        shelf.disk.set(Behaviour::BreaksOffListing { dir: shelf.disk.number_of("lib/b"), after });
        let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
        assert_eq!((&report["frozen_dirs"], &report["missing"]), (&json!(["b"]), &json!(0)), "after {after}");
        let problem = &report["problems"][0];
        assert_eq!((&problem["path"], &problem["kind"]), (&json!("b"), &json!("read-error")));
        assert_eq!(shelf.files(), counts(ALL - frozen, frozen), "after {after}");
        shelf.expect_as(&before, frozen);
    }
}

// D5: a rule leaves a file out whether or not the listing got to the rule
pub(crate) fn rules_hold_in_a_listing_that_breaks_off_before_them() {
    let shelf = BrokenShelf::with(&[("lib/b/!draft.tmp", "a draft"), ("lib/b/.shelflistignore", "*.tmp\n")]);
    // The draft comes first, then the rules.
    shelf.disk.set(Behaviour::BreaksOffListing { dir: shelf.disk.number_of("lib/b"), after: 1 });
    let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    let elsewhere = 3 * FILES_EACH;
    assert_eq!((&report["new"], &report["excluded"]), (&json!(elsewhere), &json!(1)));
}

// D4: the root itself
pub(crate) fn a_listing_of_the_root_that_breaks_off_freezes_the_rest() {
    let shelf = BrokenShelf::scanned();
    let before = state::of_catalogue(&shelf.desk.home());
    // After the marker's directory, and after `a`.
    for (after, frozen) in [(1, ALL), (2, ALL - FILES_EACH as u64)] {
        shelf.disk.set(Behaviour::BreaksOffListing { dir: shelf.disk.number_of("lib"), after });
        let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
        assert_eq!((&report["frozen_dirs"], &report["missing"]), (&json!([""]), &json!(0)));
        assert_eq!(shelf.files(), counts(ALL - frozen, frozen));
        shelf.expect_as(&before, frozen);
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
    lent::scan(&mut catalog, &lock, &library, &root, &Options::default(), saboteur, saboteur).unwrap()
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
