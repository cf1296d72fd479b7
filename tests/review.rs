//! What a doubter tried: random days of a librarian, clocks and disks that misbehave at the worst moment.

#![allow(missing_docs)]

#[path = "common/lent.rs"]
mod lent;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use rusqlite::Connection;
use shelflist::catalog::libraries::Library;
use shelflist::catalog::{
    Catalog, CatalogError, Ids, RunLock, Sender, libraries, migrate, query, settings, stores,
};
use shelflist::clock::{Clock, SystemClock};
use shelflist::enrich::{self, run::EnrichReport};
use shelflist::library::{self, InitOptions};
use shelflist::model::{RelPath, setting};
use shelflist::monitor::{Counter, Monitor, TestMonitor, Unwatched};
use shelflist::remote::{self, StoreUrl};
use shelflist::scan::{self, Ending, Options, Report};
use shelflist::sync::orphans::{self, CleanOptions};
use shelflist::sync::{self, Here, PushReport};
use shelflist::volume::VerifiedRoot;

/// A library, a store of originals, and a catalogue, in one directory.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.root()).unwrap();
        let mut catalog =
            Catalog::open_or_create(&desk.dir.path().join("home/catalog.db"), SystemClock.now()).unwrap();
        let root = desk.root();
        let options = InitOptions { root: &root, name: Some("books"), mount_point: None, marker: true };
        library::init(&mut catalog, &options, &SystemClock).unwrap();
        desk
    }

    fn with_mirror(self) -> Self {
        let url = StoreUrl::parse(&format!("dir:{}", self.mirror().display()), Path::new("/")).unwrap();
        let store = remote::create(&url, &remote::Access::default(), SystemClock.now()).unwrap();
        let identity = store.identity().unwrap().unwrap();
        let new = stores::NewStore {
            name: "mirror",
            url: &url.to_string(),
            payload: stores::StorePayload::Original,
            remote_store: &identity.store,
            generation: &identity.generation,
            password_command: None,
            found: None,
        };
        self.catalog()
            .change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, 0))
            .unwrap();
        self
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("library")
    }

    fn mirror(&self) -> PathBuf {
        self.dir.path().join("mirror")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn catalog(&self) -> Catalog {
        Catalog::open(&self.dir.path().join("home/catalog.db"), SystemClock.now()).unwrap()
    }

    fn set(&self, setting: &setting::Setting, value: &str) {
        self.catalog().change::<_, CatalogError>(|tx| settings::set(tx, setting, value, 0)).unwrap();
    }

    fn looked(&self, catalog: &mut Catalog) -> (Library, VerifiedRoot) {
        let library = libraries::all(catalog.read()).unwrap().remove(0);
        let root = library::look(catalog, &library, &SystemClock).unwrap().unwrap();
        (library, root)
    }

    fn scan_with(&self, options: &Options, clock: &dyn Clock, monitor: &dyn Monitor) -> Report {
        let mut catalog = self.catalog();
        let lock = RunLock::take(catalog.path()).unwrap();
        let (library, root) = self.looked(&mut catalog);
        lent::scan(&mut catalog, &lock, &library, &root, options, clock, monitor).unwrap()
    }

    fn scan(&self) -> Report {
        self.scan_with(&Options::default(), &SystemClock, &Unwatched)
    }

    fn push_with(&self, clock: &dyn Clock, monitor: &dyn Monitor) -> PushReport {
        let mut catalog = self.catalog();
        let (library, root) = self.looked(&mut catalog);
        let sender = Sender::take(&mut catalog, SystemClock.now_ms()).unwrap();
        sync::push(&mut catalog, &sender, &[Here { library, root }], None, clock, monitor).unwrap()
    }

    fn clean(&self) {
        let mut catalog = self.catalog();
        let options = CleanOptions { dry_run: false, force: true };
        let sender = Sender::take(&mut catalog, SystemClock.now_ms()).unwrap();
        orphans::clean(&mut catalog, &sender, options, &SystemClock, &Unwatched).unwrap();
    }

    fn sql<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        self.connection().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn connection(&self) -> Connection {
        Connection::open(self.dir.path().join("home/catalog.db")).unwrap()
    }

    /// What lies on the disk: content hashes of files, links by their target.
    fn on_disk(&self) -> BTreeMap<Vec<u8>, String> {
        let mut found = BTreeMap::new();
        let mut open = vec![(self.root(), RelPath::root())];
        while let Some((dir, rel)) = open.pop() {
            for entry in std::fs::read_dir(&dir).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name();
                if rel.is_root() && name == ".shelflist" {
                    continue;
                }
                let path = rel.join(name.as_encoded_bytes());
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    open.push((entry.path(), path));
                } else if kind.is_symlink() {
                    let target = std::fs::read_link(entry.path()).unwrap();
                    found.insert(path.as_bytes().to_vec(), format!("-> {}", target.display()));
                } else {
                    let hash = blake3::hash(&std::fs::read(entry.path()).unwrap());
                    found.insert(path.as_bytes().to_vec(), hash.to_hex().to_string());
                }
            }
        }
        found
    }

    /// What the catalogue says is there.
    fn catalogued(&self, presence: &str) -> BTreeMap<Vec<u8>, String> {
        let conn = self.connection();
        let mut statement = conn
            .prepare(
                "SELECT CASE WHEN d.path = x'' THEN f.name ELSE CAST(d.path || x'2F' || f.name AS BLOB) END,
                        CASE f.kind WHEN 'file' THEN coalesce(lower(hex(f.content_hash)), 'unread')
                             ELSE '-> ' || coalesce(CAST(f.link_target AS TEXT), '?') END
                 FROM files f JOIN dirs d USING (dir_id) WHERE f.presence = ?1",
            )
            .unwrap();
        let rows = statement.query_map([presence], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }
}

/// A small generator, so that a failure is named by its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}

const NAMES: &[&str] = &["a", "b", "c/a", "c/b", "c/d/a", "c/d/b", "e/a", "e/d/x", "c", "e", "c/d"];
const CONTENTS: &[&str] = &["", "one", "two", "three", "four", "five words of text"];

/// One random thing that happens to the disk. Whatever stands in the way of it, it does not happen.
fn disturb(desk: &Desk, dice: &mut Dice) -> String {
    let root = desk.root();
    let path = |name: &str| root.join(name);
    let (one, other) = (NAMES[dice.roll(NAMES.len())], NAMES[dice.roll(NAMES.len())]);
    let remove = |name: &str| {
        let path = path(name);
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => std::fs::remove_dir_all(&path).unwrap(),
            Ok(_) => std::fs::remove_file(&path).unwrap(),
            Err(_) => {}
        }
    };
    match dice.roll(10) {
        0..4 => {
            let content = CONTENTS[dice.roll(CONTENTS.len())];
            let _ = std::fs::create_dir_all(path(one).parent().unwrap());
            let _ = std::fs::write(path(one), content);
            format!("write {one} {content:?}")
        }
        4 => {
            remove(one);
            format!("remove {one}")
        }
        5..7 => {
            let _ = std::fs::create_dir_all(path(other).parent().unwrap());
            let done = std::fs::rename(path(one), path(other)).is_ok();
            format!("rename {one} {other}: {done}")
        }
        7 => {
            let _ = std::fs::copy(path(one), path(other));
            format!("copy {one} {other}")
        }
        8 => {
            // A swap of two.
            let aside = desk.dir.path().join("aside");
            let done = std::fs::rename(path(one), &aside).is_ok();
            if done {
                let _ = std::fs::rename(path(other), path(one));
                if std::fs::rename(&aside, path(other)).is_err() {
                    let _ = std::fs::rename(&aside, path(one));
                }
                let _ = std::fs::remove_dir_all(&aside);
                let _ = std::fs::remove_file(&aside);
            }
            format!("swap {one} {other}: {done}")
        }
        _ => {
            remove(one);
            let _ = std::fs::create_dir_all(path(one).parent().unwrap());
            let _ = std::os::unix::fs::symlink(other, path(one));
            format!("link {one} to {other}")
        }
    }
}

/// What happens between two looks at the whole: scans of a part, scans and pushes that are stopped, clean-ups.
fn work(desk: &Desk, dice: &mut Dice) -> String {
    let stop = |counter, n: usize| {
        let monitor = TestMonitor::default();
        monitor.cancel_after(counter, n as u64);
        monitor
    };
    match dice.roll(8) {
        0 | 1 => {
            let n = 1 + dice.roll(3);
            let report = desk.scan_with(&Options::default(), &SystemClock, &stop(Counter::FilesHashed, n));
            format!("scan stopped after {n}: {:?}", report.ending)
        }
        2 | 3 => {
            let scope = ["c", "c/d", "e"][dice.roll(3)];
            if !std::fs::symlink_metadata(desk.root().join(scope)).is_ok_and(|metadata| metadata.is_dir()) {
                return "nothing".to_owned();
            }
            if scope == "c/d"
                && !std::fs::symlink_metadata(desk.root().join("c")).is_ok_and(|metadata| metadata.is_dir())
            {
                return "nothing".to_owned();
            }
            let options = Options { scope: scope.into(), ..Options::default() };
            let report = desk.scan_with(&options, &SystemClock, &Unwatched);
            format!("scan of {scope}: {:?}", report.ending)
        }
        4 => {
            let n = 1 + dice.roll(2);
            desk.push_with(&SystemClock, &stop(Counter::ObjectsWritten, n));
            format!("push stopped after {n}")
        }
        5 => {
            desk.clean();
            "clean".to_owned()
        }
        6 => {
            let options = Options { dry_run: true, ..Options::default() };
            desk.scan_with(&options, &SystemClock, &Unwatched);
            "dry run".to_owned()
        }
        _ => {
            desk.push_with(&SystemClock, &Unwatched);
            "push".to_owned()
        }
    }
}

/// After a complete scan the catalogue says what the disk has, and nothing else.
fn assert_scanned(desk: &Desk, log: &[String]) {
    let report = desk.scan();
    assert_eq!((&report.ending, report.decision), (&Ending::Complete, None), "{log:#?}");
    let disk = desk.on_disk();
    assert_eq!(desk.catalogued("present"), disk, "{log:#?}");
    for path in desk.catalogued("missing").keys() {
        assert!(!disk.contains_key(path), "{path:?} is called missing: {log:#?}");
    }
    assert_eq!(desk.catalogued("unknown"), BTreeMap::new(), "{log:#?}");
    let dangling: i64 = desk.sql("SELECT count(*) FROM pragma_foreign_key_check");
    assert_eq!(dangling, 0, "{log:#?}");
    let apart: i64 = desk.sql(
        "SELECT count(*) FROM files f JOIN documents d USING (document_id) WHERE f.content_hash IS NOT d.content_hash",
    );
    assert_eq!(apart, 0, "a copy of a document has other content: {log:#?}");
    let strays: i64 = desk.sql(
        "SELECT count(*) FROM documents d WHERE (copyless_since IS NULL) <> EXISTS (SELECT 1 FROM files f WHERE f.document_id = d.document_id)",
    );
    assert_eq!(strays, 0, "copyless_since is wrong: {log:#?}");
    assert_eq!(desk.scan().hashed_files, 0, "a second scan reads nothing: {log:#?}");
}

/// Ten minutes on: every pause is over.
struct Later;

impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now() + jiff::SignedDuration::from_mins(10)
    }
}

/// After a push the store has every present document, and the ledger says so.
fn assert_pushed(desk: &Desk, log: &[String]) {
    let report = desk.push_with(&Later, &Unwatched);
    assert_eq!((report.refused, report.problems.len()), (0, 0), "{log:#?}");
    // What no disk has just now may come back within its grace.
    let waiting: i64 = desk.sql(
        "SELECT count(*) FROM outbox o WHERE state IN ('pending', 'leased', 'dead')
         AND (EXISTS (SELECT 1 FROM files f WHERE f.document_id = o.document_id AND f.presence = 'present')
              OR (SELECT value FROM settings WHERE key = 'missing.grace_days') = '0')",
    );
    assert_eq!(waiting, 0, "{log:#?}");
    let without: i64 = desk.sql(
        "SELECT count(*) FROM documents d WHERE EXISTS (SELECT 1 FROM files f WHERE f.document_id = d.document_id AND f.presence = 'present')
         AND NOT EXISTS (SELECT 1 FROM remote_objects r WHERE r.document_id = d.document_id AND r.state = 'current' AND r.upload_hash = d.content_hash)",
    );
    assert_eq!(without, 0, "a document is not in the store: {log:#?}");
    let conn = desk.connection();
    let mut statement = conn
        .prepare("SELECT remote_id, lower(hex(upload_hash)) FROM remote_objects WHERE state = 'current'")
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    for row in rows {
        let (key, hash): (String, String) = row.unwrap();
        let bytes = std::fs::read(desk.mirror().join(&key))
            .unwrap_or_else(|error| panic!("{key}: {error}: {log:#?}"));
        assert_eq!(blake3::hash(&bytes).to_hex().to_string(), hash, "{log:#?}");
    }
}

fn a_life(seed: u64, days: usize) {
    let desk = Desk::new().with_mirror();
    desk.set(&setting::GUARD_MISSING_COUNT, "1000");
    desk.set(&setting::GUARD_CHANGED_COUNT, "1000");
    desk.set(&setting::ORPHAN_GRACE_DAYS, "0");
    if seed.is_multiple_of(2) {
        desk.set(&setting::MISSING_GRACE_DAYS, "0");
        desk.set(&setting::MISSING_GRACE_SCANS, "1");
    }
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut log = vec![format!("seed {seed}")];
    for _ in 0..days {
        for _ in 0..1 + dice.roll(5) {
            log.push(disturb(&desk, &mut dice));
            if dice.roll(3) == 0 {
                log.push(work(&desk, &mut dice));
            }
        }
        if dice.roll(2) == 0 {
            log.push("scan".to_owned());
            assert_scanned(&desk, &log);
        }
        if dice.roll(3) == 0 {
            log.push("scan and push".to_owned());
            assert_scanned(&desk, &log);
            assert_pushed(&desk, &log);
        }
        if dice.roll(6) == 0 {
            log.push("clean".to_owned());
            desk.clean();
        }
    }
}

// D1, D4, L6, L7, L15, T1, T2, T3
#[test]
fn whatever_happens_the_catalogue_and_the_store_say_what_the_disk_has() {
    let seeds = std::option_env!("SHELFLIST_LIVES").map_or(12, |lives| lives.parse().unwrap());
    for seed in 1..=seeds {
        a_life(seed, 8);
    }
}

/// Time flies: every look at the clock is a minute and a second later.
#[derive(Debug, Default)]
struct Flying(AtomicI64);

impl Clock for Flying {
    fn now(&self) -> Timestamp {
        let seconds = 61 * self.0.fetch_add(1, Ordering::Relaxed);
        SystemClock.now() + jiff::SignedDuration::from_secs(seconds)
    }
}

/// Asks to stop after so many questions whether to: something that should have ended long ago.
#[derive(Debug, Default)]
struct Impatient(AtomicI64);

impl Monitor for Impatient {
    fn cancelled(&self) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed) > 10_000
    }
}

// T5: what cannot be read from its disk is not tried again and again in one run, however slow the run is
#[test]
fn a_push_whose_sources_changed_comes_to_an_end() {
    let desk = Desk::new().with_mirror();
    for n in 0..120 {
        desk.write(&format!("f{n}"), &format!("file {n}"));
    }
    desk.scan();
    for n in 0..120 {
        desk.write(&format!("f{n}"), &format!("other {n}"));
    }
    let report = desk.push_with(&Flying::default(), &Impatient::default());
    assert_eq!((report.interrupted, report.queued, report.problems.len()), (false, 120, 120));
    let attempts: i64 = desk.sql("SELECT max(attempts) FROM outbox");
    assert_eq!(attempts, 0);
}

/// Pulls the disk when the engine asks whether to stop for the nth time.
struct Puller<'a> {
    desk: &'a Desk,
    left: AtomicI64,
}

impl Monitor for Puller<'_> {
    fn cancelled(&self) -> bool {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            std::fs::rename(self.desk.root(), self.desk.dir.path().join("drawer")).unwrap();
        }
        false
    }
}

// D10, T5: a disk that is pulled while its originals are sent has a few files' trouble at most, not all files'
#[test]
fn a_push_whose_disk_is_pulled_leaves_the_rest_in_line() {
    let desk = Desk::new().with_mirror();
    for n in 0..300 {
        desk.write(&format!("f{n}"), &format!("file {n}"));
    }
    desk.scan();
    let report = desk.push_with(&SystemClock, &Puller { desk: &desk, left: AtomicI64::new(3) });
    assert!(report.problems.len() <= 50, "{}", report.problems.len());
    assert_eq!(report.uploaded_objects + report.queued, 300);
}

// D6: what a scan that was cut off has seen is not smuggled past the guard
#[test]
fn a_mass_change_seen_in_pieces_is_asked_about_as_a_whole() {
    let desk = Desk::new().with_mirror();
    for n in 0..100 {
        desk.write(&format!("f{n}"), &format!("file {n}"));
    }
    desk.scan();
    desk.push_with(&SystemClock, &Unwatched);
    for n in 0..100 {
        desk.write(&format!("f{n}"), &format!("encrypted {n}"));
    }
    let stopped = TestMonitor::default();
    stopped.cancel_after(Counter::FilesHashed, 80);
    assert_eq!(desk.scan_with(&Options::default(), &SystemClock, &stopped).ending, Ending::Interrupted);
    let report = desk.scan();
    assert!(report.modified <= 30, "{}", report.modified);
    assert!(report.decision.is_some());
    assert_eq!(desk.push_with(&SystemClock, &Unwatched).uploaded_objects, 0);
    let facts: String = desk.sql("SELECT facts FROM decisions");
    assert!(facts.contains("\"changed\":100"), "{facts}");
}

/// Takes the library away when somebody looks at the clock for the nth time, which engines do before and after their
/// steps.
struct Taker<'a> {
    desk: &'a Desk,
    left: AtomicI64,
}

impl Clock for Taker<'_> {
    fn now(&self) -> Timestamp {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            std::fs::rename(self.desk.root(), self.desk.dir.path().join("drawer")).unwrap();
        }
        SystemClock.now()
    }
}

// D1, D3: whenever the root goes away, nothing negative is kept, and nothing is told that was not kept
#[test]
fn a_root_that_goes_away_at_any_moment_of_a_scan_costs_nothing() {
    let mut endings = Vec::new();
    for moment in 0..40 {
        let desk = Desk::new();
        for n in 0..30 {
            desk.write(&format!("sub/f{n}"), &format!("file {n}"));
        }
        desk.write("moves", "moving");
        desk.scan();
        for n in 0..25 {
            std::fs::remove_file(desk.root().join(format!("sub/f{n}"))).unwrap();
        }
        std::fs::rename(desk.root().join("moves"), desk.root().join("moved")).unwrap();
        let taker = Taker { desk: &desk, left: AtomicI64::new(moment) };
        let report = desk.scan_with(&Options::default(), &taker, &Unwatched);
        if let Ending::RootLost(_) = report.ending {
            assert_eq!(desk.catalogued("missing"), BTreeMap::new(), "{moment}");
            assert_eq!(desk.sql::<i64>("SELECT count(*) FROM decisions"), 0, "{moment}");
            assert_eq!((report.moved, report.missing, report.decision), (0, 0, None), "{moment}");
            assert_eq!(report.frozen_dirs, [], "{moment}");
            assert_eq!(
                desk.sql::<String>("SELECT outcome FROM scans ORDER BY scan_id DESC LIMIT 1"),
                "root-lost"
            );
        }
        let lost = matches!(report.ending, Ending::RootLost(_));
        endings.push(lost);
        if desk.root().exists() {
            break;
        }
    }
    assert!(endings.iter().filter(|lost| **lost).count() > 3, "{endings:?}");
    assert!(endings.len() < 40 && endings.last() == Some(&false), "{endings:?}");
}

// L7: what an interrupted scan saw first is not taken off what this one found, nor left in counts that are kept
#[test]
fn counts_are_right_after_a_move_that_was_half_seen() {
    let desk = Desk::new();
    desk.write("z-old", "one");
    desk.write("other", "two");
    desk.scan();
    std::fs::remove_file(desk.root().join("z-old")).unwrap();
    desk.scan();
    desk.write("a-new", "one");
    let stopped = TestMonitor::default();
    stopped.cancel_after(Counter::FilesHashed, 1);
    assert_eq!(desk.scan_with(&Options::default(), &SystemClock, &stopped).ending, Ending::Interrupted);
    let library = libraries::all(desk.catalog().read()).unwrap().remove(0).library_id;
    let counts = || {
        let counts = query::counts(&mut desk.catalog(), library).unwrap();
        (counts.present, counts.missing)
    };
    assert_eq!(counts(), (2, 1), "it is not known yet that it is the same");
    let report = desk.scan();
    assert_eq!((report.moved, report.new), (1, 0));
    assert_eq!(counts(), (2, 0));
    desk.write("b-new", "two");
    let report = desk.scan();
    assert_eq!((report.moved, report.new), (0, 1));
}

// C1: of several migrations the second fails; the program that the catalogue belongs to can still open it
#[test]
fn a_catalogue_whose_migration_failed_half_way_is_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let conn = migrate::open_at(&path, 1, Timestamp::UNIX_EPOCH).unwrap();
    conn.execute_batch("CREATE TABLE search (in_the_way TEXT); INSERT INTO search VALUES ('kept')").unwrap();
    drop(conn);
    assert!(matches!(Catalog::open(&path, Timestamp::UNIX_EPOCH), Err(CatalogError::Migration(_))));
    let conn = Connection::open(&path).unwrap();
    let version: i64 =
        conn.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
    let kept: String = conn.query_row("SELECT in_the_way FROM search", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, "kept");
    drop(conn);
    // And again, with the same answer.
    assert!(matches!(Catalog::open(&path, Timestamp::UNIX_EPOCH), Err(CatalogError::Migration(_))));
}

// C1: a row that pointed nowhere before is not the migration's doing
#[test]
fn an_old_row_that_points_nowhere_does_not_keep_a_catalogue_from_being_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let conn = migrate::open_at(&path, 1, Timestamp::UNIX_EPOCH).unwrap();
    conn.execute_batch(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) VALUES (4711, 'title', 'person', '[\"of nothing\"]', 1.0, 0)",
    )
    .unwrap();
    drop(conn);
    Catalog::open(&path, Timestamp::UNIX_EPOCH).unwrap();
}

fn enrich(desk: &Desk, monitor: &dyn Monitor) -> EnrichReport {
    let mut catalog = desk.catalog();
    let lock = RunLock::take(catalog.path()).unwrap();
    let (library, root) = desk.looked(&mut catalog);
    let program = Path::new(env!("CARGO_BIN_EXE_shelflist"));
    let (roots, options) = ([(library.library_id, &root)], enrich::run::Options::default());
    enrich::run::run(&mut catalog, &lock, &roots, &options, program, &SystemClock, monitor).unwrap()
}

// E1: a FAT disk has other inode numbers at every mount, and no scan writes them down
#[test]
fn a_file_with_a_made_up_inode_number_is_enriched() {
    let desk = Desk::new();
    desk.write("a.txt", "alpha");
    desk.write("b.txt", "beta");
    desk.scan();
    desk.connection().execute("UPDATE files SET inode = inode + 1000", []).unwrap();
    desk.write("b.txt", "other words");
    let report = enrich(&desk, &Unwatched);
    assert_eq!((report.enriched, report.problems.len()), (1, 1));
    assert_eq!(report.problems[0].path, RelPath::from("b.txt"));
}

/// Loses its head once.
#[derive(Default)]
struct Panics(AtomicI64);

impl Monitor for Panics {
    fn count(&self, counter: Counter, _n: u64) {
        let calm = counter != Counter::FilesExtracted || self.0.fetch_add(1, Ordering::Relaxed) != 0;
        assert!(calm, "on purpose");
    }
}

#[test]
fn a_panic_beside_one_file_does_not_make_the_run_stand_still() {
    let desk = Desk::new();
    for n in 0..20 {
        desk.write(&format!("f{n}.txt"), &format!("text {n}"));
    }
    desk.scan();
    let (done, waiting) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(enrich(&desk, &Panics::default())));
    let report = waiting.recv_timeout(std::time::Duration::from_secs(30)).expect("it comes to an end");
    assert_eq!((report.enriched, report.problems.len()), (19, 1));
}

/// From the third file on, sees to it that something of the first ones is in the catalogue by and by.
struct Keeper<'a> {
    desk: &'a Desk,
    read: AtomicI64,
    kept: AtomicI64,
}

impl Monitor for Keeper<'_> {
    fn count(&self, counter: Counter, _n: u64) {
        if counter != Counter::FilesHashed || self.read.fetch_add(1, Ordering::Relaxed) < 2 {
            return;
        }
        let begun = std::time::Instant::now();
        while self.kept.load(Ordering::Relaxed) == 0 && begun.elapsed() < std::time::Duration::from_secs(20) {
            self.kept.store(self.desk.sql("SELECT count(*) FROM files"), Ordering::Relaxed);
            std::thread::park_timeout(std::time::Duration::from_millis(20));
        }
    }
}

// Interrupted work is kept: what took long to read is not held back for what takes long to read
#[test]
fn large_files_are_written_down_while_others_are_read() {
    let desk = Desk::new();
    for n in 0..12 {
        desk.write(&format!("f{n}"), &format!("{n}").repeat(2 << 20));
    }
    let keeper = Keeper { desk: &desk, read: AtomicI64::new(0), kept: AtomicI64::new(0) };
    desk.scan_with(&Options::default(), &SystemClock, &keeper);
    assert!(keeper.kept.load(Ordering::Relaxed) > 0);
}

/// Panics when a directory was listed.
struct PanicsAtOnce;

impl Monitor for PanicsAtOnce {
    fn count(&self, counter: Counter, _n: u64) {
        assert_ne!(counter, Counter::FilesSeen, "on purpose");
    }
}

// D4: what a thread that broke down had not looked at does not pass for looked at
#[test]
fn a_walker_that_panics_ends_the_scan_without_conclusions() {
    let desk = Desk::new();
    desk.write("kept/a", "one");
    desk.write("gone/b", "two");
    desk.scan();
    std::fs::remove_file(desk.root().join("gone/b")).unwrap();
    let mut catalog = desk.catalog();
    let lock = RunLock::take(catalog.path()).unwrap();
    let (library, root) = desk.looked(&mut catalog);
    let scan = std::panic::AssertUnwindSafe(|| {
        let (clock, monitor) = (Arc::new(SystemClock), Arc::new(PanicsAtOnce));
        scan::run(&mut catalog, &lock, &library, &root, &Options::default(), clock, monitor)
    });
    assert!(std::panic::catch_unwind(scan).is_err());
    assert_eq!(desk.catalogued("missing"), BTreeMap::new());
    drop(lock);
    assert_eq!(desk.scan().missing, 1);
}
