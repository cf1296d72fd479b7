//! What is found out about disks of several kinds, and that a scan heeds it.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::common::disk::{Kind, LoopDisk};
use crate::common::mounted::CaseTest;
use crate::common::shelf::{Shelf, write};

/// Every test of this file, once for each kind it is about.
pub(crate) fn cases() -> Vec<CaseTest> {
    let mut cases = Vec::new();
    let mut add = |kind: Kind, name: &str, body: Box<dyn FnOnce() + Send>| {
        cases.push(CaseTest { name: format!("{}::{name}", kind.name()), needs: kind.tools(), body });
    };
    for kind in Kind::WRITABLE {
        add(
            kind,
            "a_disk_is_what_it_was_measured_to_be",
            Box::new(move || a_disk_is_what_it_was_measured_to_be(kind)),
        );
    }
    add(Kind::Ext4, "an_old_disk_stores_whole_seconds", Box::new(an_old_disk_stores_whole_seconds));
    add(
        Kind::Ext4,
        "what_was_written_in_the_second_of_the_scan_is_looked_at_again",
        Box::new(|| what_was_written_within_the_step_is_looked_at_again(LoopDisk::of_whole_seconds())),
    );
    add(
        Kind::Exfat,
        "what_was_written_in_the_second_of_the_scan_is_looked_at_again",
        Box::new(|| {
            what_was_written_within_the_step_is_looked_at_again(LoopDisk::of(Kind::Exfat, "SHELF"));
        }),
    );
    add(Kind::Exfat, "all_times_moved_by_an_hour", Box::new(all_times_moved_by_an_hour));
    add(
        Kind::Ext4,
        "a_disk_that_was_never_written_is_measured_by_what_is_on_it",
        Box::new(a_disk_that_was_never_written_is_measured_by_what_is_on_it),
    );
    cases
}

fn fact(value: impl Into<Value>, how: &str) -> Value {
    json!({ "value": value.into(), "how": how })
}

fn profile(shelf: &Shelf) -> Value {
    shelf.desk.json(&["library", "show", "books"])["libraries"][0]["profile"].take()
}

/// Forty files with stamps of odd nanoseconds, none of them young.
fn shelf_on(disk: LoopDisk) -> Shelf {
    Shelf::on(disk, |root| {
        for n in 0..40_u64 {
            write(root, &format!("sub/{n:02}.txt"), &format!("text {n}"));
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000 + n * 61, 123_456_789);
            let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
            let file = File::options().write(true).open(root.join(format!("sub/{n:02}.txt"))).unwrap();
            file.set_times(times).unwrap();
        }
    })
}

// L10, L1, D8
fn a_disk_is_what_it_was_measured_to_be(kind: Kind) {
    let mut shelf = shelf_on(LoopDisk::of(kind, "SHELF"));
    let (step, ctime, case) = match kind {
        Kind::Exfat => (1_000_000_000, fact(false, "measured"), false),
        // Its ctime is real, and not believed of what calls itself fuseblk.
        Kind::Ntfs => (100, fact(false, "assumed"), true),
        _ => (1, fact(true, "measured"), true),
    };
    let fuse = matches!(kind, Kind::Exfat | Kind::Ntfs);
    let found = profile(&shelf);
    assert_eq!(found["granularity_ns"], fact(step, "measured"));
    assert_eq!(found["ctime"], ctime);
    assert_eq!(found["case_sensitive"], fact(case, "measured"));
    assert_eq!(found["stable_inodes"], fact(!fuse, "assumed"));
    assert_eq!(found["read_only"], fact(false, "asked"));
    // A loop device claims that it spins.
    assert_eq!(found["rotational"], fact(Value::Null, "assumed"));
    assert!(found["measured_at"].is_string());
    let names = fs::read_dir(shelf.root().join(".shelflist")).unwrap().count();
    assert_eq!(names, 1, "the marker and nothing else");

    assert_eq!(shelf.desk.scan()["new"], 40);
    assert_eq!(profile(&shelf)["stable_inodes"], fact(!fuse, "assumed"));
    shelf.disk.unmount();
    assert_eq!(profile(&shelf)["granularity_ns"], fact(step, "measured"), "it is kept");
    shelf.plug_in();
    let report = shelf.desk.scan();
    assert_eq!((&report["unchanged"], &report["hashed_files"]), (&json!(40), &json!(0)));
    let stable = kind != Kind::Exfat;
    assert_eq!(profile(&shelf)["stable_inodes"], fact(stable, "measured"));
    let told = shelf.desk.run(&["library", "show"]).expect(0);
    for words in ["books at ", "marker of generation 1", "a name in other case", "KNOWN BY", "measured"] {
        assert!(told.stdout.contains(words), "{words}: {told:?}");
    }
}

// L10
fn an_old_disk_stores_whole_seconds() {
    let shelf = shelf_on(LoopDisk::of_whole_seconds());
    let found = profile(&shelf);
    assert_eq!(found["granularity_ns"], fact(1_000_000_000, "measured"));
    assert_eq!(found["ctime"], fact(true, "measured"));
    assert_eq!(shelf.desk.scan()["new"], 40);
    // On a busy machine the scan may come a second later than the file; then the next one is caught.
    let is_doubted = (0..30).any(|n| {
        shelf.write(&format!("of-this-second-{n}.txt"), "x");
        shelf.desk.scan();
        shelf.desk.scan()["hashed_files"] != 0
    });
    assert!(is_doubted, "a change time of the second of the scan proves nothing");
}

// D9: the same size and the same stamp, as a second write within one step leaves them.
fn what_was_written_within_the_step_is_looked_at_again(disk: LoopDisk) {
    let shelf = shelf_on(disk);
    let path = shelf.root().join("racy.txt");
    fs::write(&path, "before").unwrap();
    let stamp = fs::metadata(&path).unwrap().modified().unwrap();
    shelf.desk.scan();
    let young = "SELECT young FROM files WHERE name = CAST('racy.txt' AS BLOB)";
    assert_eq!(shelf.desk.sql::<i64>(young), 1, "proved, and not for long");
    fs::write(&path, "after!").unwrap();
    let times = fs::FileTimes::new().set_accessed(stamp).set_modified(stamp);
    File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    assert_eq!(shelf.desk.scan()["modified"], 1);
    assert_eq!(
        shelf.desk.sql::<Vec<u8>>("SELECT content_hash FROM files WHERE name = CAST('racy.txt' AS BLOB)"),
        blake3::hash(b"after!").as_bytes()
    );
}

// L10
fn all_times_moved_by_an_hour() {
    let times = |root: &std::path::Path, hours: u64| {
        for n in 0..100_u64 {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + n * 61 + hours * 3600);
            let file = File::options().write(true).open(root.join(format!("{n:02}.txt"))).unwrap();
            file.set_times(fs::FileTimes::new().set_accessed(time).set_modified(time)).unwrap();
        }
    };
    let mut shelf = Shelf::on(LoopDisk::of(Kind::Exfat, "SHELF"), |root| {
        for n in 0..100 {
            write(root, &format!("{n:02}.txt"), &format!("text {n}"));
        }
        times(root, 0);
    });
    assert_eq!(shelf.desk.scan()["new"], 100);
    times(&shelf.root(), 1);
    shelf.disk.unmount();
    shelf.plug_in();
    let report = shelf.desk.scan();
    assert_eq!(
        (&report["hashed_files"], &report["touched"], &report["time_shift_min"]),
        (&json!(64), &json!(100), &json!(60))
    );
    assert_eq!(profile(&shelf)["local_time"], fact(true, "measured"));
    assert_eq!(shelf.desk.scan()["unchanged"], 100);
}

// L10, L1: a marker that another catalogue left, on a disk that is read-only to this one.
fn a_disk_that_was_never_written_is_measured_by_what_is_on_it() {
    let mut shelf = shelf_on(LoopDisk::of(Kind::Ext4, "SHELF"));
    shelf.disk.unmount();
    let point = shelf.point();
    shelf.disk.mount_read_only_at(&point);
    let home = shelf.desk.path("second-home");
    let home = home.to_str().unwrap();
    let root = shelf.root();
    shelf.desk.run(&["--home", home, "init", root.to_str().unwrap(), "--name", "lent"]).expect(0);
    let profile = |shelf: &Shelf| {
        shelf.desk.json(&["--home", home, "library", "show"])["libraries"][0]["profile"].take()
    };
    let found = profile(&shelf);
    assert_eq!(found["read_only"], fact(true, "asked"));
    assert_eq!(found["case_sensitive"], fact(true, "measured"), "asked for, not tried");
    assert_eq!(found["granularity_ns"], fact(1, "assumed"));
    assert_eq!(found["ctime"], fact(true, "assumed"));
    shelf.desk.run(&["--home", home, "scan"]).expect(0);
    shelf.disk.unmount();
    shelf.disk.mount_read_only_at(&point);
    shelf.desk.run(&["--home", home, "scan"]).expect(0);
    let found = profile(&shelf);
    assert_eq!(found["granularity_ns"], fact(1, "measured"), "by the stamps of its files");
    assert_eq!(found["stable_inodes"], fact(true, "measured"));
}
