//! Counts the work: what does not need doing is not done.

#![allow(missing_docs)]

#[path = "common/lent.rs"]
mod lent;

use std::path::{Path, PathBuf};

use shelflist::catalog::{Catalog, CatalogError, Ids, RunLock, Sender, libraries, stores};
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
        let store = remote::create(&url, &remote::Access::default(), SystemClock.now()).unwrap();
        let identity = store.identity().unwrap().unwrap();
        let new = stores::NewStore {
            name: "mirror",
            url: &url.to_string(),
            payload: stores::StorePayload::Both,
            remote_store: &identity.store,
            generation: &identity.generation,
            password_command: None,
            found: None,
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
        let options = enrich::run::Options::default();
        enrich::run::run(&mut catalog, &lock, &roots, &options, program, &SystemClock, monitor).unwrap();
        let here = [Here { library, root: root.clone() }];
        let sender = Sender::take(&mut catalog, SystemClock.now_ms()).unwrap();
        sync::push(&mut catalog, &sender, &here, None, &SystemClock, monitor).unwrap()
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

/// As if this program's reader of that name (of types no reader knows, where it is empty) were newer than the one at work
/// before.
fn with_former_version(desk: &Desk, reader: &str) {
    let conn = rusqlite::Connection::open(desk.catalog_path()).unwrap();
    let noted = conn
        .execute(
            "UPDATE settings SET value = json_set(value, '$.\"' || ?1 || '\"', 'former')
             WHERE key = 'internal.enrichment_versions' AND value ->> ('$.\"' || ?1 || '\"') IS NOT NULL",
            [reader],
        )
        .unwrap();
    let made = conn
        .execute("UPDATE enrichments SET version = 'former' WHERE coalesce(extractor, '') = ?1", [reader])
        .unwrap();
    assert!(noted == 1 && made > 0, "{reader:?}: {noted} {made}");
}

fn mixed() -> Desk {
    let desk = Desk::new(10);
    for n in 0..5 {
        std::fs::write(desk.root().join(format!("{n}.md")), format!("# Note {n}\n\ntext")).unwrap();
        std::fs::write(desk.root().join(format!("{n}.bin")), [0, 1, 2, 3, n]).unwrap();
        std::fs::write(desk.root().join(format!("{n}.pdf")), format!("%PDF-1.4\nbroken {n}")).unwrap();
    }
    desk.add_store();
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!(monitor.counted(Counter::FilesExtracted), 25);
    assert_eq!(monitor.problems().len(), 5, "{:?}", monitor.problems());
    desk
}

// E2
#[test]
fn a_new_version_of_a_reader_redoes_its_kind_and_sends_nothing_that_is_the_same() {
    let desk = mixed();
    with_former_version(&desk, "markdown");
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!(monitor.counted(Counter::FilesExtracted), 5);
    assert_eq!(monitor.counted(Counter::OperationsDone), 5, "nothing else was put in line");
    assert_eq!(monitor.counted(Counter::ObjectsWritten), 0, "the same bytes came out");
    let again = TestMonitor::default();
    desk.sync(&again);
    assert_eq!(ALL.map(|counter| again.counted(counter)), [0; 6]);
}

// E2
#[test]
fn a_new_reader_has_only_that_tried_that_no_reader_was_found_for() {
    let desk = mixed();
    with_former_version(&desk, "");
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!(monitor.counted(Counter::FilesExtracted), 5);
}

// E1: a failure is remembered, until its reader has another version
#[test]
fn what_failed_is_tried_again_by_a_new_version_of_the_reader_that_failed() {
    let desk = mixed();
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!((monitor.counted(Counter::FilesExtracted), monitor.problems().len()), (0, 0));
    with_former_version(&desk, "pdf");
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!((monitor.counted(Counter::FilesExtracted), monitor.problems().len()), (5, 5));
}

// E2: another form of rendering reads nothing again, and sends what differs
#[test]
fn another_form_of_rendering_puts_texts_in_line_and_reads_nothing() {
    let desk = mixed();
    let conn = rusqlite::Connection::open(desk.catalog_path()).unwrap();
    conn.execute("UPDATE settings SET value = 'former' WHERE key = 'internal.render_version'", []).unwrap();
    let monitor = TestMonitor::default();
    desk.sync(&monitor);
    assert_eq!(monitor.counted(Counter::OperationsDone), 15, "texts and notes");
    assert_eq!(ALL.map(|counter| monitor.counted(counter))[..3], [0; 3]);
    assert_eq!(monitor.counted(Counter::ObjectsWritten), 0, "the same bytes came out");
    // As if the former form had other bytes: the store has others.
    conn.execute_batch(
        "UPDATE settings SET value = 'former' WHERE key = 'internal.render_version';
         UPDATE remote_objects SET upload_hash = zeroblob(32), remote_id = 'enriched/former'
         WHERE object_id = (SELECT max(object_id) FROM remote_objects WHERE payload = 'enriched');",
    )
    .unwrap();
    let monitor = TestMonitor::default();
    let report = desk.sync(&monitor);
    assert_eq!((report.uploaded_objects, monitor.counted(Counter::FilesExtracted)), (0, 0));
    let revived: i64 = conn
        .query_row("SELECT count(*) FROM remote_objects WHERE state = 'orphaned'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(revived, 1, "what differed was replaced");
}
