//! Counts the work: what does not need doing is not done.

#![allow(missing_docs)]

#[path = "common/lent.rs"]
mod lent;

use std::path::{Path, PathBuf};

use shelflist::catalog::{Catalog, CatalogError, Ids, RunLock, libraries, stores};
use shelflist::clock::{Clock, SystemClock};
use shelflist::enrich;
use shelflist::library::{self, InitOptions};
use shelflist::monitor::{Counter, TestMonitor};
use shelflist::remote::{self, StoreUrl};
use shelflist::scan::{Ending, Options, Report};
use shelflist::sync::{self, Here, PushReport};

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new(files: usize) -> Self {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        for n in 0..files {
            desk.write(n, &format!("text number {n}"));
        }
        let mut catalog = Catalog::open_or_create(&desk.catalog_path(), SystemClock.now()).unwrap();
        let root = desk.root();
        let options = InitOptions { root: &root, name: Some("books"), mount_point: None, marker: true };
        library::init(&mut catalog, &options, &SystemClock).unwrap();
        desk
    }

    fn catalog_path(&self) -> PathBuf {
        self.dir.path().join("home/catalog.db")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("library")
    }

    fn write(&self, n: usize, content: &str) {
        let path = self.root().join(format!("shelf-{}/file-{n}.txt", n % 7));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn catalog(&self) -> Catalog {
        Catalog::open(&self.catalog_path(), SystemClock.now()).unwrap()
    }

    fn add_store(&self) {
        let mut catalog = self.catalog();
        let url =
            StoreUrl::parse(&format!("dir:{}", self.dir.path().join("mirror").display()), Path::new("/"))
                .unwrap();
        let store = remote::create(&url, SystemClock.now()).unwrap();
        let generation = store.generation().unwrap().unwrap();
        let new = stores::NewStore {
            name: "mirror",
            url: &url.to_string(),
            payload: stores::StorePayload::Both,
            remote_store: &generation.store_id.to_string(),
            generation: &generation.generation.to_string(),
        };
        catalog.change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, 0)).unwrap();
    }

    fn scan(&self, options: &Options, monitor: &TestMonitor) -> Report {
        let mut catalog = self.catalog();
        let lock = RunLock::take(catalog.path()).unwrap();
        let library = libraries::all(catalog.read()).unwrap().remove(0);
        let root = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
        lent::scan(&mut catalog, &lock, &library, &root, options, &SystemClock, monitor).unwrap()
    }

    fn sync(&self, monitor: &TestMonitor) -> PushReport {
        let mut catalog = self.catalog();
        let lock = RunLock::take(catalog.path()).unwrap();
        let library = libraries::all(catalog.read()).unwrap().remove(0);
        let root = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
        lent::scan(&mut catalog, &lock, &library, &root, &Options::default(), &SystemClock, monitor).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_shelflist"));
        let roots = [(library.library_id, &root)];
        enrich::run::run(&mut catalog, &lock, &roots, program, &SystemClock, monitor).unwrap();
        let here = [Here { library, root: root.clone() }];
        sync::push(&mut catalog, &lock, &here, &SystemClock, monitor).unwrap()
    }

    fn rows_changed(&self, run: impl FnOnce()) -> i64 {
        let version = || -> i64 {
            let conn = rusqlite::Connection::open(self.catalog_path()).unwrap();
            conn.query_row("SELECT sum(updated_at) + count(*) FROM files", [], |row| row.get(0)).unwrap()
        };
        let before = version();
        run();
        version() - before
    }
}

const ALL: [Counter; 6] = [
    Counter::FilesHashed,
    Counter::BytesHashed,
    Counter::FilesExtracted,
    Counter::OperationsDone,
    Counter::ObjectsWritten,
    Counter::BytesSent,
];

#[test]
fn a_second_sync_without_changes_does_nothing_but_look() {
    let desk = Desk::new(120);
    desk.add_store();
    let first = TestMonitor::default();
    let report = desk.sync(&first);
    assert_eq!((report.uploaded_objects, report.queued), (240, 0));
    assert_eq!(first.counted(Counter::FilesHashed), 120);
    assert_eq!(first.counted(Counter::FilesExtracted), 120);
    assert_eq!(first.counted(Counter::ObjectsWritten), 240);

    let second = TestMonitor::default();
    let changed = desk.rows_changed(|| {
        desk.sync(&second);
    });
    assert_eq!(second.counted(Counter::FilesSeen), 120);
    assert_eq!(ALL.map(|counter| second.counted(counter)), [0; 6]);
    assert_eq!(changed, 0, "no row of a file was written");
}

#[test]
fn one_edit_costs_one_file() {
    let desk = Desk::new(120);
    desk.add_store();
    desk.sync(&TestMonitor::default());
    desk.write(5, "another text");
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!(ALL.map(|counter| monitor.counted(counter))[..5], [1, 12, 1, 1, 2]);
}

// L12, D1: what was hashed before the stop is not hashed again, and nothing is missing
#[test]
fn an_interrupted_scan_keeps_its_work() {
    let desk = Desk::new(3000);
    let stopped = TestMonitor::default();
    stopped.cancel_after(Counter::FilesHashed, 500);
    let report = desk.scan(&Options::default(), &stopped);
    assert_eq!(report.ending, Ending::Interrupted);
    let kept: u64 = {
        let catalog = desk.catalog();
        let sql = "SELECT count(*) FROM files WHERE content_hash IS NOT NULL";
        catalog.read().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    assert!(kept >= 400, "{kept} of at least 500");
    let rest = TestMonitor::default();
    let report = desk.scan(&Options::default(), &rest);
    assert_eq!((report.ending, report.files_seen, report.missing), (Ending::Complete, 3000, 0));
    assert_eq!(rest.counted(Counter::FilesHashed), 3000 - kept);
}

// L6: an interrupted scan that had seen only the new place of a moved file concludes nothing about the old one
#[test]
fn a_move_that_is_half_seen_by_an_interrupted_scan_is_made_good_by_the_next() {
    let desk = Desk::new(2000);
    desk.scan(&Options::default(), &TestMonitor::default());
    // One by one: a directory that is renamed as a whole is known by its number, and nothing in it is read.
    let (from, to) = (desk.root().join("shelf-3"), desk.root().join("a-new-shelf"));
    std::fs::create_dir(&to).unwrap();
    for entry in std::fs::read_dir(&from).unwrap() {
        let name = entry.unwrap().file_name();
        std::fs::rename(from.join(&name), to.join(&name)).unwrap();
    }
    let stopped = TestMonitor::default();
    stopped.cancel_after(Counter::FilesHashed, 50);
    let report = desk.scan(&Options::default(), &stopped);
    assert_eq!((report.ending, report.missing), (Ending::Interrupted, 0));
    let report = desk.scan(&Options::default(), &TestMonitor::default());
    let moved = std::fs::read_dir(desk.root().join("a-new-shelf")).unwrap().count() as u64;
    assert_eq!((report.moved, report.missing, report.decision), (moved, 0, None));
    let catalog = desk.catalog();
    let documents: i64 =
        catalog.read().query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
    let files: i64 = catalog.read().query_row("SELECT count(*) FROM files", [], |row| row.get(0)).unwrap();
    assert_eq!((documents, files), (2000, 2000));
}
