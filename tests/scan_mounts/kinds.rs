//! The same library on every kind of disk: what changes on it is found, and nothing else, whatever the kind keeps of stamps,
//! inode numbers and names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use shelflist::scan::Ending;

use crate::common::desk::Desk;
use crate::common::disk::{Kind, LoopDisk, run};
use crate::common::engine;
use crate::common::mounted::CaseTest;
use crate::common::names::naughty_names;
use crate::common::saboteur::{Saboteur, Tick};
use crate::common::shelf::{Shelf, write};
use crate::common::state;

/// Every test of this file, once for each kind it is about.
pub(crate) fn cases() -> Vec<CaseTest> {
    let mut cases = Vec::new();
    let mut add = |kind: Kind, name: &str, body: fn(Kind)| {
        let name = format!("{}::{name}", kind.name());
        cases.push(CaseTest { name, needs: kind.tools(), body: Box::new(move || body(kind)) });
    };
    for kind in Kind::WRITABLE {
        add(kind, "what_changes_is_found_and_nothing_else", what_changes_is_found_and_nothing_else);
        add(
            kind,
            "times_of_other_centuries_are_kept_as_they_are",
            times_of_other_centuries_are_kept_as_they_are,
        );
        add(
            kind,
            "a_change_of_equal_size_and_stamp_is_found_at_once",
            a_change_of_equal_size_and_stamp_is_found_at_once,
        );
        add(
            kind,
            "a_disk_pulled_in_the_middle_takes_nothing_along",
            a_disk_pulled_in_the_middle_takes_nothing_along,
        );
        add(kind, "names_are_kept_as_they_are", names_are_kept_as_they_are);
    }
    for kind in Kind::WRITTEN_ONCE {
        add(
            kind,
            "a_disk_written_once_is_a_library_like_any_other",
            a_disk_written_once_is_a_library_like_any_other,
        );
    }
    add(
        Kind::Btrfs,
        "a_volume_inside_the_volume_is_not_part_of_it",
        a_volume_inside_the_volume_is_not_part_of_it,
    );
    cases
}

/// Eleven years before the first scan.
const LONG_AGO_S: i64 = 1_420_000_000;

/// Sets a stamp, in whole seconds, which is the most that exFAT keeps here.
fn stamp(path: &Path, seconds: i64) -> std::io::Result<()> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time =
        if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance };
    // Both, for old FUSE libraries set either both or none.
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    File::options().write(true).open(path)?.set_times(times)
}

fn mtime_s(path: &Path) -> i64 {
    std::os::unix::fs::MetadataExt::mtime(&fs::metadata(path).unwrap())
}

/// As [`write`], with a stamp of so many seconds after the first ones.
fn write_at(root: &Path, path: &str, content: &str, later_s: i64) {
    write(root, path, content);
    stamp(&root.join(path), LONG_AGO_S + later_s).unwrap();
}

const DIRS: [&str; 4] = ["", "notes/", "notes/2021/", "Vorträge und Reden/"];
const FILES_EACH: usize = 12;
const ALL: u64 = (DIRS.len() * FILES_EACH) as u64 + 2;

fn fill(root: &Path) {
    for (number, dir) in DIRS.iter().enumerate() {
        for file in 0..FILES_EACH {
            write_at(root, &format!("{dir}file {file:02}.txt"), &format!("text {number} {file}"), 0);
        }
    }
    write_at(root, "notes/empty.txt", "", 0);
    write_at(root, "notes/large.bin", &"0123456789abcdef".repeat(40_000), 0);
}

/// Path and content hash of everything on the disk.
fn truth(root: &Path) -> BTreeMap<String, String> {
    fn collect(dir: &Path, prefix: &str, truth: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
            if entry.file_type().unwrap().is_file() {
                truth.insert(name, blake3::hash(&fs::read(entry.path()).unwrap()).to_hex().to_string());
            } else if name != ".shelflist" {
                collect(&entry.path(), &format!("{name}/"), truth);
            }
        }
    }
    let mut truth = BTreeMap::new();
    collect(root, "", &mut truth);
    truth
}

/// What is present is what is on the disk, with its content.
#[track_caller]
fn assert_true(shelf: &Shelf, missing: usize) {
    let files = state::files(&shelf.desk.home());
    let present: BTreeMap<String, String> = files
        .iter()
        .filter(|(_, (presence, _))| presence == "present")
        .map(|(path, (_, hash))| (path.clone(), hash.clone()))
        .collect();
    assert_eq!(present, truth(&shelf.root()));
    assert_eq!(files.len() - present.len(), missing, "missing");
}

const COUNTS: [&str; 7] = ["files_seen", "unchanged", "new", "modified", "moved", "missing", "restored"];

/// A complete scan without a problem, and what it counts, in the order of [`COUNTS`].
#[track_caller]
fn scan(desk: &Desk) -> ([u64; 7], Value) {
    let report = desk.scan();
    assert_eq!((&report["complete"], &report["problems"]), (&json!(true), &json!([])), "{report:#}");
    (COUNTS.map(|count| report[count].as_u64().unwrap()), report)
}

/// Nothing changed, and nothing is read to know that.
#[track_caller]
fn assert_unchanged(desk: &Desk, files: u64) {
    let (counts, report) = scan(desk);
    assert_eq!(counts, [files, files, 0, 0, 0, 0, 0], "{report:#}");
    assert_eq!((&report["hashed_files"], &report["touched"]), (&json!(0), &json!(0)), "{report:#}");
}

// L4, L6, L7, D9, D10: the same report on every kind of disk
fn what_changes_is_found_and_nothing_else(kind: Kind) {
    let mut shelf = Shelf::on(LoopDisk::of(kind, "SHELF"), fill);
    come_of_age(&shelf.desk, kind);
    let (counts, report) = scan(&shelf.desk);
    assert_eq!(counts, [ALL, 0, ALL, 0, 0, 0, 0], "{report:#}");
    assert_eq!(report["hashed_files"], ALL);
    assert_true(&shelf, 0);
    assert_unchanged(&shelf.desk, ALL);
    let before = state::of_catalogue(&shelf.desk.home());
    for _ in 0..2 {
        shelf.replug();
        assert_unchanged(&shelf.desk, ALL);
    }
    assert_eq!(state::of_catalogue(&shelf.desk.home()), before);

    let root = shelf.root();
    // Longer, and as long as it was.
    write_at(&root, "file 00.txt", "a longer text than before", 100);
    write_at(&root, "file 01.txt", "TEXT 0 1", 100);
    // The same again, written anew.
    write_at(&root, "file 02.txt", "text 0 2", 100);
    write_at(&root, "notes/new.txt", "a new one", 100);
    fs::remove_file(root.join("notes/file 03.txt")).unwrap();
    fs::rename(root.join("notes/file 04.txt"), root.join("file 04, renamed.txt")).unwrap();
    fs::rename(root.join("notes/2021"), root.join("2021")).unwrap();
    come_of_age(&shelf.desk, kind);
    let (counts, report) = scan(&shelf.desk);
    let moved = 1 + FILES_EACH as u64;
    assert_eq!(counts, [ALL, ALL - moved - 4, 1, 2, moved, 1, 0], "{report:#}");
    assert_eq!(report["touched"], 1);
    assert_true(&shelf, 1);
    let before = state::of_catalogue(&shelf.desk.home());
    assert_unchanged(&shelf.desk, ALL);
    shelf.replug();
    assert_unchanged(&shelf.desk, ALL);
    // Away in between, and asked.
    shelf.disk.unmount();
    shelf.desk.run(&["scan", "books"]).expect(7);
    shelf.plug_in();
    assert_eq!(state::of_catalogue(&shelf.desk.home()), before);

    // Back, and gone as a whole directory.
    write_at(&root, "notes/file 03.txt", "text 1 3", 200);
    fs::remove_dir_all(root.join("2021")).unwrap();
    come_of_age(&shelf.desk, kind);
    let (counts, report) = scan(&shelf.desk);
    let gone = FILES_EACH as u64;
    assert_eq!(counts, [ALL + 1 - gone, ALL - gone, 0, 0, 0, gone, 1], "{report:#}");
    assert_true(&shelf, FILES_EACH);
    shelf.replug();
    assert_unchanged(&shelf.desk, ALL + 1 - gone);

    // Read-only, and whatever happens to its stamps then: nothing changed.
    let point = shelf.point();
    shelf.disk.unmount();
    shelf.disk.mount_read_only_at(&point);
    let (counts, report) = scan(&shelf.desk);
    assert_eq!(counts[1..], [ALL + 1 - gone, 0, 0, 0, 0, 0], "{report:#}");
    assert_eq!(report["availability"], json!({ "state": "degraded", "reason": "read-only" }));
    assert_eq!(report["hashed_files"], 0);
}

/// Waits until what was just written is clearly older than the clock, where the kind keeps a ctime that nobody can set.
fn come_of_age(desk: &Desk, kind: Kind) {
    if kind != Kind::Exfat {
        crate::common::wait::until_of_age(&desk.path("probe"));
    }
}

/// Before the epoch, at the ends of what 32 and 64 bits hold, and beyond.
const FAR_TIMES_S: [i64; 9] = [
    -2_147_483_648, // 1901
    -1_000_000_000, // 1938
    -1,             // the last second of 1969
    0,
    315_532_800,    // 1980, where FAT begins
    4_294_967_296,  // 2106
    7_258_118_400,  // 2200
    10_413_792_000, // 2300, beyond what nanoseconds in 64 bits hold
    13_569_465_600, // 2400
];

// D9, L4: also where a kind cannot keep the stamp, and shows another one after it was mounted anew
fn times_of_other_centuries_are_kept_as_they_are(kind: Kind) {
    let name = |at: usize| format!("file {at}.txt");
    let mut kept = Vec::new();
    let mut shelf = Shelf::on(LoopDisk::of(kind, "SHELF"), |root| {
        for (at, seconds) in FAR_TIMES_S.into_iter().enumerate() {
            write(root, &name(at), &format!("text {at}"));
            // A kind that cannot keep it says so, or keeps the nearest that it can.
            match stamp(&root.join(name(at)), seconds) {
                Ok(()) => kept.push((at, seconds)),
                Err(_) => fs::remove_file(root.join(name(at))).unwrap(),
            }
        }
    });
    assert!(kept.len() >= 2, "{kept:?}");
    let all = kept.len() as u64;
    come_of_age(&shelf.desk, kind);
    let (counts, report) = scan(&shelf.desk);
    assert_eq!(counts[..3], [all, 0, all], "{report:#}");
    assert_true(&shelf, 0);
    assert_unchanged(&shelf.desk, all);

    shelf.replug();
    let (counts, report) = scan(&shelf.desk);
    assert_eq!((counts[3..].iter().sum::<u64>(), counts[2]), (0, 0), "{report:#}");
    if matches!(kind, Kind::Ext4 | Kind::Xfs | Kind::Btrfs) {
        assert_eq!((counts[1], &report["hashed_files"]), (all, &json!(0)), "{report:#}");
    }
    assert_true(&shelf, 0);
    assert_unchanged(&shelf.desk, all);

    // What is shown is what the disk says, or nothing.
    for (at, _) in &kept {
        let path = shelf.root().join(name(*at));
        let seconds = mtime_s(&path);
        let shown = shelf.desk.json(&["show", path.to_str().unwrap()])["file"]["mtime"].take();
        let fits = i64::try_from(i128::from(seconds) * 1_000_000_000).is_ok();
        let shown = shown.as_str().map(|shown| shown.parse::<jiff::Timestamp>().unwrap().as_second());
        assert_eq!(shown, fits.then_some(seconds));
    }

    // A day later, and nothing else that shows.
    for (at, seconds) in &kept {
        write(&shelf.root(), &name(*at), &format!("TEXT {at}"));
        let _ = stamp(&shelf.root().join(name(*at)), seconds + 86_400);
    }
    come_of_age(&shelf.desk, kind);
    scan(&shelf.desk);
    assert_true(&shelf, 0);
}

// D9: by a program that puts the stamp back; where no ctime tells, the stamp is too young to be believed
fn a_change_of_equal_size_and_stamp_is_found_at_once(kind: Kind) {
    let shelf = Shelf::on(LoopDisk::of(kind, "SHELF"), |root| write(root, "a.txt", "0000"));
    let path = shelf.root().join("a.txt");
    for n in 1..6 {
        let content = format!("{n:04}");
        shelf.desk.scan();
        let stamp = fs::metadata(&path).unwrap().modified().unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, content.as_bytes()).unwrap();
        file.set_times(fs::FileTimes::new().set_accessed(stamp).set_modified(stamp)).unwrap();
        drop(file);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), stamp);
        shelf.desk.scan();
        assert_true(&shelf, 0);
        // Written by nobody else meanwhile: the next one begins in the tick that there is then.
        fs::write(&path, content).unwrap();
    }
}

// D1, D3: `umount --lazy` while walkers and hashers are at it
fn a_disk_pulled_in_the_middle_takes_nothing_along(kind: Kind) {
    let mut shelf = Shelf::on(LoopDisk::of(kind, "SHELF"), fill);
    come_of_age(&shelf.desk, kind);
    scan(&shelf.desk);
    let root = shelf.root();
    write_at(&root, "file 00.txt", "a longer text than before", 100);
    write_at(&root, "notes/new.txt", "a new one", 100);
    fs::remove_file(root.join("notes/2021/file 03.txt")).unwrap();
    fs::rename(root.join("notes/file 04.txt"), root.join("renamed.txt")).unwrap();
    come_of_age(&shelf.desk, kind);
    let mut lost = 0;
    for moment in [1, 3, 5] {
        let Shelf { disk, desk } = shelf;
        let disk = Mutex::new(disk);
        let saboteur = Saboteur::default().at(Tick::Anything, moment, || disk.lock().unwrap().lazy_unmount());
        let report = engine::scan(&desk, &saboteur).unwrap();
        assert_eq!(
            (saboteur.acts_left(), report.missing, report.decision),
            (0, 0, None),
            "{moment}: {report:?}"
        );
        lost += u64::from(matches!(report.ending, Ending::RootLost(_)));
        drop(saboteur);
        shelf = Shelf { disk: disk.into_inner().unwrap(), desk };
        assert_eq!(shelf.missing(), 0, "{moment}");
        assert_eq!(fs::read_dir(shelf.point()).unwrap().count(), 0, "the mount point is empty, and stays so");
        shelf.plug_in();
    }
    assert_eq!(lost, 3);
    let (counts, report) = scan(&shelf.desk);
    assert_eq!(counts[5], 1, "{report:#}");
    assert_true(&shelf, 1);
    assert_unchanged(&shelf.desk, ALL);
}

/// Every path under the root, by its bytes.
fn paths(root: &Path) -> Vec<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    let mut paths = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let name = entry.unwrap().file_name();
        if name == "dir" {
            for below in fs::read_dir(root.join("dir")).unwrap() {
                paths.push([b"dir/", below.unwrap().file_name().as_bytes()].concat());
            }
        } else if name != ".shelflist" {
            paths.push(name.as_bytes().to_vec());
        }
    }
    paths.sort();
    paths
}

/// The paths that the catalogue has as present, by its own columns and by what `list` prints.
fn catalogued(desk: &Desk) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    use base64::Engine;
    let conn = rusqlite::Connection::open(desk.home().join("catalog.db")).unwrap();
    let mut statement = conn
        .prepare(
            "SELECT CASE WHEN d.path = x'' THEN CAST(f.name AS BLOB) ELSE CAST(d.path || x'2F' || f.name AS BLOB) END AS path
             FROM files f JOIN dirs d USING (dir_id) WHERE presence = 'present' ORDER BY path",
        )
        .unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let listed = desk.json(&["list"]);
    let mut printed: Vec<Vec<u8>> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| match file["path_bytes"].as_str() {
            Some(bytes) => base64::engine::general_purpose::STANDARD.decode(bytes).unwrap(),
            None => file["path"].as_str().unwrap().as_bytes().to_vec(),
        })
        .collect();
    printed.sort();
    (rows, printed)
}

// D8, L10: bytes throughout; what the disk keeps apart is kept apart
fn names_are_kept_as_they_are(kind: Kind) {
    use std::os::unix::ffi::OsStrExt;
    let mut shelf = Shelf::on(LoopDisk::of(kind, "SHELF"), |root| {
        fs::create_dir(root.join("dir")).unwrap();
        for (at, name) in naughty_names().iter().enumerate() {
            for dir in [root.to_owned(), root.join("dir")] {
                let path = dir.join(std::ffi::OsStr::from_bytes(name));
                // Kinds refuse some of them, or take two for one.
                let written = fs::write(&path, format!("text {at}"));
                assert!(written.is_ok() || !kind.keeps_any_name(), "{kind:?}: {path:?}: {written:?}");
                if written.is_ok() {
                    stamp(&path, LONG_AGO_S).unwrap();
                }
            }
        }
    });
    let names = paths(&shelf.root());
    if kind.keeps_any_name() {
        assert_eq!(names.len(), 2 * naughty_names().len());
    }
    assert!(names.len() > 20, "{kind:?} refuses nearly everything: {}", names.len());
    come_of_age(&shelf.desk, kind);
    let (counts, report) = scan(&shelf.desk);
    assert_eq!(counts[2], names.len() as u64, "{report:#}");
    let (rows, printed) = catalogued(&shelf.desk);
    assert_eq!(rows, names);
    assert_eq!(printed, names);
    // One line for each, whatever is in it, and nothing that a terminal would obey.
    let told = shelf.desk.run(&["list"]).expect(0);
    assert!(told.stdout.lines().count() >= names.len());
    assert!(told.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{told:?}");
    shelf.replug();
    assert_unchanged(&shelf.desk, names.len() as u64);
    assert_eq!(paths(&shelf.root()), names, "D8: nothing was renamed or normalised");

    // Another case is another name, also where the disk takes either.
    write_at(&shelf.root(), "Lecture.txt", "the one lecture", 0);
    scan(&shelf.desk);
    fs::rename(shelf.root().join("Lecture.txt"), shelf.root().join("LECTURE.TXT")).unwrap();
    come_of_age(&shelf.desk, kind);
    let (counts, report) = scan(&shelf.desk);
    assert_eq!((counts[2], counts[4], counts[5]), (0, 1, 0), "{report:#}");
}

// L2, L4, D8, D10
fn a_disk_written_once_is_a_library_like_any_other(kind: Kind) {
    let master = tempfile::tempdir().unwrap();
    let root = master.path().join("lib");
    fs::create_dir(&root).unwrap();
    fill(&root);
    // The marker has to be burned with it.
    let publisher = Desk::new();
    publisher.run(&["init", root.to_str().unwrap(), "--name", "books"]).expect(0);
    let mut disk = LoopDisk::written_once(kind, master.path());

    let desk = Desk::new();
    let point = desk.path("disk");
    fs::create_dir(&point).unwrap();
    disk.mount_read_only_at(&point);
    desk.run(&["init", point.join("lib").to_str().unwrap(), "--name", "books"]).expect(0);
    let (counts, report) = scan(&desk);
    assert_eq!(counts, [ALL, 0, ALL, 0, 0, 0, 0], "{report:#}");
    assert_eq!(report["availability"], json!({ "state": "degraded", "reason": "read-only" }));
    assert_unchanged(&desk, ALL);
    let before = state::of_catalogue(&desk.home());
    disk.unmount();
    desk.run(&["scan", "books"]).expect(7);
    disk.mount_read_only_at(&point);
    assert_unchanged(&desk, ALL);
    assert_eq!(state::of_catalogue(&desk.home()), before);

    // The next edition of it.
    write_at(&root, "file 00.txt", "a longer text than before", 100);
    write_at(&root, "file 01.txt", "TEXT 0 1", 100);
    fs::remove_file(root.join("file 02.txt")).unwrap();
    fs::rename(root.join("notes/file 03.txt"), root.join("moved.txt")).unwrap();
    let mut next = LoopDisk::written_once(kind, master.path());
    disk.unmount();
    next.mount_read_only_at(&point);
    let (counts, report) = scan(&desk);
    assert_eq!((counts[0], counts[2..].to_vec()), (ALL - 1, vec![0, 2, 1, 1, 0]), "{report:#}");
    assert_unchanged(&desk, ALL - 1);
    next.unmount();
}

// D2, D4: btrfs gives a volume in a volume a device of its own, and no mount
fn a_volume_inside_the_volume_is_not_part_of_it(kind: Kind) {
    let shelf = Shelf::on(LoopDisk::of(kind, "SHELF"), fill);
    let subvolume = |command: &[&str], path: &str| {
        run(Command::new("btrfs").arg("subvolume").args(command).arg(shelf.root().join(path)));
    };
    come_of_age(&shelf.desk, kind);
    scan(&shelf.desk);
    let before = state::of_catalogue(&shelf.desk.home());
    subvolume(&["create"], "notes/volume");
    write_at(&shelf.root(), "notes/volume/inside.txt", "a file of the other volume", 0);
    for _ in 0..2 {
        let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
        assert_eq!(
            (&report["frozen_dirs"], &report["new"], &report["missing"], &report["hashed_files"]),
            (&json!(["notes/volume"]), &json!(0), &json!(0), &json!(0))
        );
        assert_eq!(report["problems"][0]["kind"], "other-file-system");
    }
    subvolume(&["delete"], "notes/volume");
    assert_unchanged(&shelf.desk, ALL);
    assert_eq!(state::of_catalogue(&shelf.desk.home()), before);
}
