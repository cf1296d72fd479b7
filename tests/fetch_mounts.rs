//! Contents brought back from and to real disks: unplugged, failing in the middle, hanging, full, and such as cannot hold
//! every name.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::broken_disk::{Behaviour, BrokenDisk, Call, EIO};
use common::desk::{Desk, names_in};
use common::disk::{Kind, LoopDisk, run};
use common::mounted::{CaseTest, mounted_tests};
use common::shelf::Shelf;
use serde_json::json;
use shelflist::catalog::{Catalog, query};
use shelflist::clock::{Clock, SystemClock};
use shelflist::fetch::{self, Ended, Failed, Options, What};
use shelflist::monitor::Monitor;
use shelflist::volume::Marker;

fn main() -> ExitCode {
    let tests = mounted_tests![
        a_disk_in_the_drawer_is_named_and_another_that_is_mounted_delivers,
        a_disk_that_fails_in_the_middle_is_passed_over_for_the_next,
        a_disk_that_hangs_in_the_middle_is_left_in_time,
        a_store_that_hangs_is_left_in_time,
        a_full_disk_gets_nothing_and_is_told_how_much_is_missing,
        a_stopped_fetch_leaves_nothing_behind,
    ];
    let cases = [Kind::Ext4, Kind::Exfat, Kind::Ntfs].into_iter().map(|kind| CaseTest {
        name: format!("{}::a_file_is_fetched_to_every_kind_of_disk_and_replaces_nothing", kind.name()),
        needs: kind.tools(),
        body: Box::new(move || a_file_is_fetched_to_every_kind_of_disk_and_replaces_nothing(kind)),
    });
    common::mounted::run_with_cases(tests, cases.collect())
}

/// Another library, `backup`, which holds this and is on no disk of its own.
fn add_backup(desk: &Desk, name: &str, content: &[u8]) {
    let backup = desk.path("backup");
    fs::create_dir(&backup).unwrap();
    fs::write(backup.join(name), content).unwrap();
    desk.run(&["init", backup.to_str().unwrap(), "--name", "backup"]).expect(0);
    desk.run(&["scan", "backup"]).expect(0);
    fs::create_dir(desk.path("out")).unwrap();
}

// S11, L3
fn a_disk_in_the_drawer_is_named_and_another_that_is_mounted_delivers() {
    let mut shelf = Shelf::with_files(&[("a.txt", "alpha"), ("only.txt", "nowhere else")]);
    shelf.desk.run(&["scan"]).expect(0);
    add_backup(&shelf.desk, "copy.txt", b"alpha");
    shelf.disk.unmount();
    let ran = shelf.desk.run(&["fetch", "only.txt", "--to", "out"]).expect(7);
    for said in ["unavailable(not-mounted)", "the disk ", "last seen", shelf.point().to_str().unwrap()] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    let file = shelf.desk.run(&["fetch", "a.txt", "--to", "out", "--json"]).expect(0).file();
    assert_eq!(file["source"], json!({ "kind": "library", "library": "backup", "path": "copy.txt" }));
    assert_eq!(names_in(&shelf.desk.path("out")), ["a.txt"]);
    // Plugged in at another place it is another place: what is here counts, not what was.
    shelf.plug_in();
    shelf.desk.run(&["fetch", "only.txt", "--to", "out"]).expect(0);
    shelf.disk.unmount();
}

const LARGE: usize = 3 << 20;

/// The library `books` with one large file, on a disk that breaks on command, scanned.
fn broken(desk: &Desk, content: &[u8]) -> BrokenDisk {
    let point = desk.path("disk");
    fs::create_dir(&point).unwrap();
    let marker = Marker {
        library_id: ulid::Ulid::generate(),
        name: "books".into(),
        generation: 1,
        created: "2026-11-20T10:00:00Z".parse().unwrap(),
        last_scans: Vec::new(),
    };
    let marker = serde_json::to_vec(&marker).unwrap();
    let files: [(&str, &[u8]); 2] = [("lib/.shelflist/library.json", &marker), ("lib/film.bin", content)];
    let disk = BrokenDisk::mount_at(&point, &files);
    desk.run(&["init", point.join("lib").to_str().unwrap(), "--name", "books"]).expect(0);
    desk.run(&["scan"]).expect(0);
    disk
}

fn large() -> Vec<u8> {
    (0..LARGE).map(|at| (at / 7 % 251) as u8).collect()
}

// S11, D1: the cable is loose
fn a_disk_that_fails_in_the_middle_is_passed_over_for_the_next() {
    let content = large();
    for (after, behaviour) in [
        (0, Behaviour::FailsToRead(EIO)),
        (7, Behaviour::FailsToRead(EIO)),
        (12, Behaviour::Fails(EIO)),
        (20, Behaviour::Fails(EIO)),
    ] {
        let desk = Desk::new();
        let disk = broken(&desk, &content);
        add_backup(&desk, "film copy.bin", &content);
        let arm = || match after {
            0 => disk.set(Behaviour::FailsToReadFile(disk.number_of("lib/film.bin"))),
            _ => disk.set_after(after, behaviour),
        };
        arm();
        let file = desk.run(&["fetch", "film.bin", "--to", "out", "--json"]).expect(0).file();
        let context = format!("{behaviour:?} after {after}: {file}");
        assert_eq!(
            (&file["outcome"], &file["source"]["library"]),
            (&json!("delivered"), &json!("backup")),
            "{context}"
        );
        assert_eq!(file["passed"][0]["library"], "books", "{context}");
        assert!(fs::read(desk.path("out/film.bin")).unwrap() == content);
        assert_eq!(names_in(&desk.path("out")), ["film.bin"], "{context}");
        // With nobody else, nothing at all.
        fs::remove_file(desk.path("out/film.bin")).unwrap();
        arm();
        let ran = desk.run(&["fetch", "film.bin", "--from", "books", "--to", "out"]);
        assert!([1, 7].contains(&ran.code), "{context}: {ran:?}");
        assert!(names_in(&desk.path("out")).is_empty(), "{context}");
        disk.set(Behaviour::Answers);
        assert_eq!(desk.scan()["missing"], 0, "{context}");
    }
}

/// What the tests allow a disk, and a command on a busy computer.
const DEADLINE_MS: &str = "300";
const IN_TIME: Duration = Duration::from_secs(15);

// S11, L2: hung
fn a_disk_that_hangs_in_the_middle_is_left_in_time() {
    let content = large();
    let desk = Desk::new();
    let disk = broken(&desk, &content);
    add_backup(&desk, "film copy.bin", &content);
    desk.run(&["config", "set", "probe.deadline_ms", DEADLINE_MS]).expect(0);
    let hangs = Behaviour::SwallowsAt(Call::Read, disk.number_of("lib/film.bin"));
    disk.set(hangs);
    let begun = Instant::now();
    let file = desk.run(&["fetch", "film.bin", "--to", "out", "--json"]).expect(0).file();
    assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
    assert_eq!(
        (&file["source"]["library"], &file["passed"][0]["reason"]),
        (&json!("backup"), &json!("away"))
    );
    assert!(file["passed"][0]["message"].as_str().unwrap().contains("degraded(hung)"), "{file}");
    // The next one knows, asks nothing of it, and says which disk it is.
    fs::remove_file(desk.path("out/film.bin")).unwrap();
    let asked = disk.asked();
    let ran = desk.run(&["fetch", "film.bin", "--from", "books", "--to", "out"]).expect(7);
    assert!(ran.stderr.contains("degraded(hung)"), "{ran:?}");
    assert_eq!(disk.asked(), asked, "nobody joined who is stuck");
    assert!(names_in(&desk.path("out")).is_empty());
    disk.set(Behaviour::Answers);
}

// S11, L2: hung
fn a_store_that_hangs_is_left_in_time() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    let objects: Vec<(String, Vec<u8>)> = desk
        .objects()
        .into_iter()
        .chain([(
            ".shelflist-store.json".to_owned(),
            fs::read(desk.mirror().join(".shelflist-store.json")).unwrap(),
        )])
        .collect();
    let objects: Vec<(&str, &[u8])> =
        objects.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
    let disk = BrokenDisk::mount_at(&desk.mirror(), &objects);
    fs::create_dir(desk.path("out")).unwrap();
    let fetch = ["fetch", "a.txt", "--from", "mirror", "--to", "out", "--json"];
    assert_eq!(desk.run(&fetch).expect(0).file()["source"]["kind"], "store");
    fs::remove_file(desk.path("out/a.txt")).unwrap();
    desk.run(&["config", "set", "probe.deadline_ms", DEADLINE_MS]).expect(0);
    let object = objects[0].0;
    for behaviour in [Behaviour::SwallowsAt(Call::Read, disk.number_of(object)), Behaviour::Swallows] {
        disk.set(behaviour);
        let begun = Instant::now();
        let ran = desk.run(&fetch).expect(5);
        assert!(begun.elapsed() < IN_TIME, "{:?}", begun.elapsed());
        assert!(ran.file()["message"].as_str().unwrap().contains("its disk does not answer"), "{ran:?}");
        assert!(names_in(&desk.path("out")).is_empty());
        disk.set(Behaviour::Answers);
        common::wait::until("the stuck one to be gone", || desk.run(&fetch).code == 0);
        fs::remove_file(desk.path("out/a.txt")).unwrap();
    }
}

// S11
fn a_full_disk_gets_nothing_and_is_told_how_much_is_missing() {
    let desk = Desk::with_files(&[("large.txt", &"large ".repeat(50_000)), ("small.txt", "small")]);
    desk.run(&["scan"]).expect(0);
    let out = desk.path("out");
    fs::create_dir(&out).unwrap();
    let mount =
        |options: &str| run(Command::new("mount").args(["-t", "tmpfs", "-o", options, "small"]).arg(&out));
    mount("size=128k");
    let ran = desk.run(&["fetch", "large.txt", "small.txt", "--to", "out"]).expect(3);
    for said in [
        "is full",
        "300000 bytes are needed and 131072 are free, 168928 are missing",
        "hint: make room there",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    assert_eq!(names_in(&out), ["small.txt"]);
    run(Command::new("umount").arg(&out));
    // Full of files, not of bytes.
    mount("size=1m,nr_inodes=2");
    fs::write(out.join("mine"), "mine").unwrap();
    let ran = desk.run(&["fetch", "small.txt", "--to", "out"]).expect(1);
    assert!(ran.stderr.contains("it takes no more files"), "{ran:?}");
    assert_eq!(names_in(&out), ["mine"]);
    run(Command::new("umount").arg(&out));
}

/// Stops the run when it was asked so often whether it should.
struct StopsAfter(AtomicU64);

impl Monitor for StopsAfter {
    fn cancelled(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
    }
}

// S11
fn a_stopped_fetch_leaves_nothing_behind() {
    let desk = Desk::with_files(&[]);
    // Long enough for a word to come through in time.
    let file = fs::File::create(desk.library().join("film.bin")).unwrap();
    file.set_len(400 << 20).unwrap();
    desk.run(&["scan"]).expect(0);
    fs::create_dir(desk.path("out")).unwrap();
    let catalog = Catalog::open(&desk.home().join("catalog.db"), SystemClock.now()).unwrap();
    let cards = query::list(catalog.read(), &query::Filter::default()).unwrap();
    let options = Options { to: desk.path("out"), tree: false, what: What::Content, only: None };
    for after in [0, 1, 20] {
        let mut stopped = false;
        let monitor = StopsAfter(AtomicU64::new(after));
        fetch::fetch(&catalog, &cards, &options, &SystemClock, &monitor, &mut |_, fetched| {
            stopped = matches!(fetched.ended, Ended::Failed(Failed::Cancelled));
        })
        .unwrap();
        assert!(stopped, "after {after}");
        common::wait::until("the unfinished file to be gone", || names_in(&desk.path("out")).is_empty());
    }
}

// S11: names that the target cannot hold, and no way of renaming without replacing
fn a_file_is_fetched_to_every_kind_of_disk_and_replaces_nothing(kind: Kind) {
    let mut disk = LoopDisk::of(kind, "TARGET");
    let desk =
        Desk::with_files(&[("plain.txt", "plain"), ("a: b?.txt", "difficult"), ("sub/deep.txt", "deep")]);
    desk.run(&["scan"]).expect(0);
    let out = desk.path("out");
    fs::create_dir(&out).unwrap();
    disk.mount_at(&out);
    let before = names_in(&out);
    let with_before = |names: &[&str]| {
        let mut names: Vec<String> =
            names.iter().map(|&name| name.to_owned()).chain(before.clone()).collect();
        names.sort();
        names
    };
    // By FUSE it may be a share, and its writer on another computer: nothing is taken away that may be in somebody's hands.
    let left = out.join(".shelflist-fetch-01ARZ3NDEKTSV4RRFFQ69G5FAV");
    fs::write(&left, "half").unwrap();
    desk.run(&["fetch", "plain.txt", "sub/deep.txt", "--tree", "--to", "out"]).expect(0);
    fs::remove_file(&left).unwrap();
    assert_eq!(fs::read_to_string(out.join("plain.txt")).unwrap(), "plain");
    assert_eq!(fs::read_to_string(out.join("sub/deep.txt")).unwrap(), "deep");
    assert_eq!(names_in(&out), with_before(&["plain.txt", "sub"]));
    let times = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
    let (was, is) = (times(&desk.library().join("plain.txt")), times(&out.join("plain.txt")));
    let apart = was.duration_since(is).unwrap_or_else(|later| later.duration());
    assert!(apart <= Duration::from_secs(2), "{apart:?}");
    desk.run(&["fetch", "plain.txt", "--to", "out"]).expect(0);
    fs::write(out.join("plain.txt"), "plaiN").unwrap();
    desk.run(&["fetch", "plain.txt", "--to", "out"]).expect(1);
    assert_eq!(fs::read_to_string(out.join("plain.txt")).unwrap(), "plaiN");
    let ran = desk.run(&["fetch", "a: b?.txt", "--to", "out"]);
    if kind.keeps_any_name() {
        ran.expect(0);
        assert_eq!(fs::read_to_string(out.join("a: b?.txt")).unwrap(), "difficult");
    } else if ran.code != 0 {
        // ntfs-3g takes any name unless it is told not to.
        assert!(ran.stderr.contains("cannot hold the name a: b?.txt"), "{ran:?}");
        assert_eq!(names_in(&out), with_before(&["plain.txt", "sub"]));
    }
    disk.unmount();
}
