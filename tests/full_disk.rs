//! Full disks: the one that carries the catalogue, and the one that carries a store; and a store whose disk is pulled in
//! the middle. A full disk is one in memory that gets larger when somebody makes room.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

use common::desk::{Desk, Ran};
use common::disk::{LoopDisk, run};
use common::mounted::mounted_tests;
use common::saboteur::{Saboteur, Tick};
use common::{engine, state};
use rusqlite::Connection;
use serde_json::json;
use shelflist::catalog::migrate;
use shelflist::catalog::{Catalog, Sender};
use shelflist::clock::{Clock, SystemClock};
use shelflist::monitor::Counter;
use shelflist::sync::{self, PushReport};

fn main() -> ExitCode {
    common::mounted::run(mounted_tests![
        a_full_disk_under_the_catalogue_is_told_and_nothing_is_lost,
        a_disk_that_fills_up_during_a_scan_keeps_what_was_committed_and_concludes_nothing,
        a_full_library_disk_gets_no_marker_and_no_library,
        a_library_is_made_once_there_is_room,
        questions_are_answered_on_a_full_disk,
        a_migration_on_a_full_disk_leaves_the_old_catalogue,
        a_full_store_keeps_the_queue_and_no_half_objects,
        a_store_whose_disk_is_pulled_in_the_middle_is_filled_by_the_next_run,
    ])
}

/// A disk in memory, of a size that can be changed.
struct SmallDisk {
    point: PathBuf,
}

/// Room enough for everything here.
const PLENTY_KIB: u64 = 64 * 1024;

impl SmallDisk {
    /// With room for everything, for now.
    fn mount_at(point: &Path) -> Self {
        fs::create_dir_all(point).unwrap();
        let size = format!("size={PLENTY_KIB}k");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "small-disk"]).arg(point));
        SmallDisk { point: point.to_owned() }
    }

    /// Leaves so much room beside what is on it.
    fn leave_kib(&self, free_kib: u64) {
        let facts = rustix::fs::statvfs(&self.point).unwrap();
        let used_kib = (facts.f_blocks - facts.f_bfree) * facts.f_frsize / 1024;
        self.resize(used_kib + free_kib);
    }

    fn make_room(&self) {
        self.resize(PLENTY_KIB);
    }

    fn resize(&self, kib: u64) {
        run(Command::new("mount").args(["-o", &format!("remount,size={kib}k")]).arg(&self.point));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.point).output();
    }
}

/// A desk whose catalogue, or whatever else `place` says, is on a disk of its own.
struct Room {
    // In this order: the disk has to be gone from the desk before the desk is cleared.
    disk: SmallDisk,
    desk: Desk,
}

impl Room {
    fn with_files(place: impl FnOnce(&Desk) -> PathBuf, files: usize, size: usize) -> Self {
        let desk = Desk::new();
        for n in 0..files {
            let text = format!("text number {n}. ");
            desk.write(&format!("dir-{}/file-{n:03}.txt", n % 10), &text.repeat(size.div_ceil(text.len())));
        }
        Room { disk: SmallDisk::mount_at(&place(&desk)), desk }
    }

    fn init(&self) -> Ran {
        self.desk.run(&["init", self.desk.library().to_str().unwrap(), "--name", "books"])
    }
}

/// Exit code 1, what is full, and what to do.
#[track_caller]
fn expect_full(ran: Ran) {
    let ran = ran.expect(1);
    assert!(ran.stderr.contains("the disk that carries the catalogue is full"), "{ran:?}");
    assert!(
        ran.stderr.contains("hint: nothing is lost; make room on that disk and run the command again"),
        "{ran:?}"
    );
}

const FILES: usize = 120;

fn outcome(desk: &Desk) -> (Vec<String>, Vec<String>) {
    (state::of_catalogue(&desk.home()), desk.objects().into_keys().collect())
}

// T1, C1: full at many places of a scan and of what follows
fn a_full_disk_under_the_catalogue_is_told_and_nothing_is_lost() {
    let room = || {
        let room = Room::with_files(Desk::home, FILES, 1);
        room.init().expect(0);
        room.desk.add_mirror("enriched");
        room
    };
    let undisturbed = room();
    undisturbed.desk.run(&["sync"]).expect(0);
    // Objects carry the ids of their documents: how many there are is what can be compared.
    let (expected, objects) = outcome(&undisturbed.desk);
    drop(undisturbed);
    let mut ended_full = 0;
    for free_kib in [0, 32, 60, 140, 300, 600, 900, 2400, 4800] {
        let room = room();
        room.disk.leave_kib(free_kib);
        let ran = room.desk.run(&["sync"]);
        if ran.code != 0 {
            ended_full += 1;
            expect_full(ran);
            // Again, and it is still told.
            let again = room.desk.run(&["sync"]);
            if again.code != 0 {
                expect_full(again);
            }
        }
        room.disk.make_room();
        state::assert_whole(&room.desk.home());
        room.desk.run(&["sync"]).expect(0);
        state::assert_whole(&room.desk.home());
        let (found, found_objects) = outcome(&room.desk);
        state::assert_same(&found, &expected, &format!("{free_kib} KiB free"));
        assert_eq!(found_objects.len(), objects.len(), "{free_kib} KiB free");
    }
    assert!((4..9).contains(&ended_full), "{ended_full} of the runs met a full disk");
}

// D1, C1, T3: full at every transaction of a scan, also while it concludes
fn a_disk_that_fills_up_during_a_scan_keeps_what_was_committed_and_concludes_nothing() {
    let room = || {
        let room = Room::with_files(Desk::home, 0, 1);
        // Enough changes that every transaction of the scan needs new pages.
        for n in 0..FILES {
            room.desk.write(&format!("dir-{}/file-{n:03}.txt", n % 10), &format!("text number {n}"));
        }
        room.init().expect(0);
        room.desk.scan();
        for n in 0..FILES {
            match n % 10 {
                0 => room.desk.remove(&format!("dir-0/file-{n:03}.txt")),
                1 => room.desk.write(&format!("dir-1/file-{n:03}.txt"), &format!("revised number {n}")),
                2 => room.desk.rename(&format!("dir-2/file-{n:03}.txt"), &format!("moved/file-{n:03}.txt")),
                _ => room.desk.write(&format!("new/{}/{n}.txt", "name ".repeat(40)), &format!("new {n}")),
            }
        }
        common::wait::until_of_age(&room.desk.path("probe"));
        room
    };
    let undisturbed = room();
    let counted = Saboteur::default();
    let report = engine::scan(&undisturbed.desk, &counted).unwrap();
    assert_eq!((report.missing, report.moved), (FILES as u64 / 10, FILES as u64 / 10));
    let (expected, truth) = (outcome(&undisturbed.desk).0, state::files(&undisturbed.desk.home()));
    let ticks = counted.ticks(Tick::Anything);
    drop(counted);
    drop(undisturbed);
    let mut ended_full = 0;
    for moment in (0..8).map(|n| 1 + n * (ticks - 1) / 8) {
        let room = room();
        let saboteur = Saboteur::default().at(Tick::Anything, moment, || room.disk.leave_kib(0));
        let result = engine::scan(&room.desk, &saboteur);
        if let Err(error) = &result {
            ended_full += 1;
            let told =
                std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            assert!(
                told.contains("full") || format!("{error:?}").contains("DiskFull"),
                "at {moment}: {error:?}"
            );
        }
        drop(saboteur);
        // Told by the program as well, for as long as it is so.
        let again = room.desk.run(&["scan"]);
        if again.code != 0 {
            expect_full(again);
        }
        room.disk.make_room();
        state::assert_whole(&room.desk.home());
        for (path, (presence, _)) in state::files(&room.desk.home()) {
            let gone = truth.get(&path).is_none_or(|(presence, _)| presence == "missing");
            assert!(presence != "missing" || gone, "at {moment}: {path} is there and was called missing");
        }
        room.desk.run(&["scan"]).expect(0);
        state::assert_same(&outcome(&room.desk).0, &expected, &format!("full at {moment} of {ticks}"));
    }
    assert!(ended_full >= 4, "{ended_full} scans met a full disk");
}

// L1, D8: the library's own disk is full
fn a_full_library_disk_gets_no_marker_and_no_library() {
    let room = Room::with_files(Desk::mirror, 0, 1);
    let root = room.desk.mirror();
    fs::write(root.join("a.txt"), "alpha").unwrap();
    room.disk.leave_kib(0);
    let entries = || fs::read_dir(&root).unwrap().count();
    for _ in 0..2 {
        let told = room.desk.run(&["init", root.to_str().unwrap(), "--name", "books"]);
        assert_eq!(told.code, 1, "{told:?}");
        assert!(told.stderr.contains("space") || told.stderr.contains("full"), "{told:?}");
        assert_eq!(entries(), 1, "something was left behind");
        assert_eq!(room.desk.json(&["library", "list"])["libraries"], json!([]));
    }
    room.disk.make_room();
    room.desk.run(&["init", root.to_str().unwrap(), "--name", "books"]).expect(0);
    assert_eq!(room.desk.scan()["new"], 1);
    // Once it is one, it may be as full as it likes.
    room.disk.leave_kib(0);
    assert_eq!(room.desk.scan()["unchanged"], 1);
}

// L1, C1
fn a_library_is_made_once_there_is_room() {
    for kib in [4, 16, 64, 112, 160, 208, 256] {
        let room = Room::with_files(Desk::home, 3, 1);
        room.disk.resize(kib);
        expect_full(room.init());
        let marker = room.desk.library().join(".shelflist/library.json");
        let first = fs::read(&marker).ok();
        room.disk.make_room();
        room.init().expect(0);
        // D8: the library that was begun is the one that is made.
        assert!(first.is_none_or(|first| first == fs::read(&marker).unwrap()), "{kib} KiB");
        assert_eq!(room.desk.scan()["new"], 3);
        state::assert_whole(&room.desk.home());
    }
}

// O4: the index of SQLite's log needs 32 KiB; with them everything is answered
fn questions_are_answered_on_a_full_disk() {
    let room = Room::with_files(Desk::home, FILES, 1);
    room.init().expect(0);
    room.desk.run(&["sync"]).expect(0);
    room.disk.leave_kib(32);
    let asked: [&[&str]; 6] = [
        &["status"],
        &["list"],
        &["find", "number"],
        &["show", "dir-1/file-001.txt"],
        &["missing"],
        &["library", "list"],
    ];
    for question in asked {
        room.desk.run(question).expect(0);
    }
    let status = room.desk.json(&["status"])["libraries"][0].take();
    assert_eq!(
        (&status["availability"]["state"], &status["files"]["present"]),
        (&json!("available"), &json!(FILES))
    );
    expect_full(room.desk.run(&["scan", "--full"]));
    room.disk.leave_kib(0);
    for question in asked {
        expect_full(room.desk.run(question));
    }
    room.disk.make_room();
    assert_eq!(room.desk.scan()["unchanged"], FILES);
}

fn backups(desk: &Desk) -> Vec<String> {
    let dir = fs::read_dir(desk.home().join("backups")).unwrap();
    dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

// C1
fn a_migration_on_a_full_disk_leaves_the_old_catalogue() {
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/catalogs/v1.db");
    let version = |path: &Path| -> i64 {
        let conn = Connection::open(path).unwrap();
        conn.query_row("SELECT max(version) FROM refinery_schema_history", [], |row| row.get(0)).unwrap()
    };
    let mut ended_full = 0;
    for free_kib in [0, 20, 32, 60, 120, 180, 240, 300, 360, 420, 500, 600] {
        let room = Room::with_files(Desk::home, 0, 1);
        let path = room.desk.home().join("catalog.db");
        fs::copy(&stored, &path).unwrap();
        let before = state::of_table(&path, "files", &stored);
        assert!(!before.is_empty());
        // A run that was killed while it made a copy left it behind.
        fs::create_dir(room.desk.home().join("backups")).unwrap();
        fs::write(room.desk.home().join("backups/catalog-v1-20260101T000000Z.part"), "half a copy").unwrap();
        room.disk.leave_kib(free_kib);
        let ran = room.desk.run(&["list"]);
        if ran.code != 0 {
            ended_full += 1;
            expect_full(ran);
            room.disk.make_room();
            // Nothing is left that would fill the disk further with every try, but the copy of what was migrated.
            let changed = version(&path) > 1;
            assert!(
                backups(&room.desk).len() <= usize::from(changed),
                "{free_kib} KiB: {:?}",
                backups(&room.desk)
            );
            // As it was, or with some of its migrations, each of them whole; after the last one there may still be no room
            // for the index that several processes share.
            state::assert_whole(&room.desk.home());
            assert_eq!(state::of_table(&path, "files", &stored), before, "{free_kib} KiB");
            room.desk.run(&["list"]).expect(0);
        }
        room.disk.make_room();
        state::assert_whole(&room.desk.home());
        assert_eq!(version(&path), migrate::LATEST);
        assert_eq!(state::of_table(&path, "files", &stored), before, "{free_kib} KiB");
        let backups = backups(&room.desk);
        assert!(!backups.is_empty() && backups.iter().all(|name| name.ends_with(".db")), "{backups:?}");
    }
    assert!((4..12).contains(&ended_full), "{ended_full} of the migrations met a full disk");
}

/// Every object in the mirror is what its name says, and nothing is half written.
#[track_caller]
fn assert_store_is_whole(desk: &Desk) {
    for (name, content) in desk.objects() {
        assert!(name.contains(&blake3::hash(&content).to_hex().to_string()), "{name} has other bytes");
    }
    let unfinished = fs::read_dir(desk.mirror().join(".tmp")).map_or(0, Iterator::count);
    assert_eq!(unfinished, 0, "unfinished files");
}

// S6, T5, O2
fn a_full_store_keeps_the_queue_and_no_half_objects() {
    for payload in ["enriched", "original"] {
        let room = Room::with_files(Desk::mirror, 60, 20_000);
        room.init().expect(0);
        room.desk.add_mirror(payload);
        room.disk.leave_kib(500);
        for _ in 0..2 {
            let report = room.desk.run(&["sync", "--json"]).expect(5).json();
            assert_eq!(report["offline"][0]["code"], "SHELF-SYNC-002", "{report:#}");
            assert!(report["offline"][0]["message"].as_str().unwrap().contains("is full"), "{report:#}");
            let sent = room.desk.objects().len();
            assert!((1..60).contains(&sent), "{sent} objects");
            assert_eq!(report["queued"], 60 - sent, "{payload}");
            assert_eq!(room.desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
            assert_store_is_whole(&room.desk);
            let status = room.desk.json(&["status"]);
            assert_eq!(
                (&status["channels"][0]["state"], &status["queue"]["dead"]),
                (&json!("offline"), &json!(0))
            );
        }
        let sent = room.desk.objects().len();
        room.disk.make_room();
        let report = room.desk.json(&["sync"]);
        assert_eq!(
            (&report["uploaded_objects"], &report["queued"]),
            (&json!(60 - sent), &json!(0)),
            "{payload}"
        );
        assert_eq!(room.desk.objects().len(), 60);
        assert_store_is_whole(&room.desk);
        assert_eq!(room.desk.json(&["status"])["channels"][0]["state"], "online");
    }
}

fn push(desk: &Desk, saboteur: &Saboteur<'_>) -> PushReport {
    let mut catalog = Catalog::open(&desk.home().join("catalog.db"), SystemClock.now()).unwrap();
    let sender = Sender::take(&mut catalog, SystemClock.now_ms()).unwrap();
    sync::push(&mut catalog, &sender, &[], None, saboteur, saboteur).unwrap()
}

// T2, T3, T5
fn a_store_whose_disk_is_pulled_in_the_middle_is_filled_by_the_next_run() {
    for (tick, moment) in [
        (Tick::Counted(Counter::ObjectsWritten), 1),
        (Tick::Counted(Counter::ObjectsWritten), 49),
        (Tick::Counted(Counter::ObjectsWritten), 77),
        // Between sending, reading back and switching.
        (Tick::Asked, 9),
        (Tick::Asked, 10),
        (Tick::Asked, 11),
        (Tick::Asked, 12),
    ] {
        let context = format!("{tick:?} {moment}");
        let desk = Desk::new();
        for n in 0..FILES {
            desk.write(&format!("file-{n:03}.txt"), &format!("text number {n}"));
        }
        let mirror = desk.mirror();
        fs::create_dir(&mirror).unwrap();
        let disk = Mutex::new(LoopDisk::ext4("STORE"));
        disk.lock().unwrap().mount_at(&mirror);
        fs::remove_dir(mirror.join("lost+found")).unwrap();
        desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
        desk.run(&["sync"]).expect(0);
        desk.add_mirror("enriched");

        let saboteur = Saboteur::default().at(tick, moment, || disk.lock().unwrap().lazy_unmount());
        let report = push(&desk, &saboteur);
        assert_eq!(
            (saboteur.acts_left(), report.offline.len(), report.refused),
            (0, 1, 0),
            "{context}: {report:?}"
        );
        assert!(report.queued > 0, "{context}: {report:?}");
        assert_eq!(
            fs::read_dir(&mirror).unwrap().count(),
            0,
            "{context}: nothing is written to the empty mount point"
        );
        assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0, "{context}");
        assert_eq!(
            desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state IN ('leased', 'dead')"),
            0,
            "{context}"
        );

        disk.lock().unwrap().mount_at(&mirror);
        assert_store_is_whole(&desk);
        // What the ledger calls current is really there.
        let current: i64 = desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'current'");
        assert!(desk.objects().len() as i64 >= current, "{context}");
        let report = desk.json(&["sync"]);
        assert_eq!(
            (&report["queued"], &report["libraries"][0]["hashed_files"]),
            (&json!(0), &json!(0)),
            "{context}"
        );
        assert_eq!(desk.objects().len(), FILES, "{context}");
        assert_store_is_whole(&desk);
        let current: i64 = desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'current'");
        let all: i64 = desk.sql("SELECT count(*) FROM remote_objects");
        assert_eq!((current, all), (FILES as i64, FILES as i64), "{context}");
        disk.lock().unwrap().unmount();
    }
}
