//! The disk is away, or another one is in its place.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::broken_disk::BrokenDisk;
use crate::common::desk::{Desk, Ran};
use crate::common::disk::{LoopDisk, run};
use crate::common::shelf::{Shelf, write};
use crate::common::state;

const FILES: &[(&str, &str)] = &[
    ("a.txt", "alpha"),
    ("sub/b.md", "# Beta\n\ntext of b"),
    ("sub/deep/c.txt", "gamma"),
    ("d.bin", "\0\u{1}\0"),
];

/// Scanned, enriched and mirrored.
fn shelf() -> Shelf {
    let shelf = Shelf::with_files(FILES);
    shelf.desk.add_mirror("enriched");
    shelf.desk.run(&["sync"]).expect(0);
    shelf
}

/// Everything that is known, and everything that was sent.
fn known(shelf: &Shelf) -> (Vec<String>, Vec<String>) {
    (state::of_catalogue(&shelf.desk.home()), shelf.desk.objects().into_keys().collect())
}

/// The scan of a library that is not there: exit code 7, nothing done, and words that help.
#[track_caller]
fn expect_away(shelf: &Shelf, availability: &Value) -> Ran {
    let report = shelf.desk.run(&["scan", "books", "--json"]).expect(7).json()["libraries"][0].take();
    assert_eq!(&report["availability"], availability);
    for count in ["files_seen", "new", "modified", "missing", "hashed_files"] {
        assert_eq!(report[count], 0, "{count}");
    }
    assert_eq!(report["complete"], false);
    shelf.desk.run(&["scan", "books"]).expect(7)
}

/// The disk is where it was, as it was: nothing is read, nothing is sent, nothing is known that was not known before.
#[track_caller]
fn expect_as_before(shelf: &Shelf, before: &(Vec<String>, Vec<String>)) {
    let report = shelf.desk.json(&["sync"]);
    let scan = &report["libraries"][0];
    assert_eq!(scan["unchanged"], FILES.len());
    for count in
        ["new", "modified", "touched", "moved", "missing", "restored", "hashed_files", "hashed_bytes"]
    {
        assert_eq!(scan[count], 0, "{count}");
    }
    assert_eq!((&report["enriched"], &report["uploaded_objects"]), (&json!(0), &json!(0)));
    assert_eq!(&known(shelf), before);
}

// D1, D2, D10, L3, O3
pub(crate) fn an_unplugged_disk_makes_no_file_missing_and_every_question_is_answered() {
    let mut shelf = shelf();
    let before = known(&shelf);
    shelf.disk.unmount();

    let told = expect_away(&shelf, &json!({ "state": "unavailable", "reason": "not-mounted" }));
    let point = shelf.point().display().to_string();
    for help in ["not-mounted", "Connect the disk \"disk\"", "last seen", &point, "shelflist scan books"] {
        assert!(told.stdout.contains(help), "{help}: {told:?}");
    }
    // A schedule's run is none the worse for it, and says so.
    let told = shelf.desk.run(&["sync"]).expect(0);
    assert!(told.stdout.contains("books: unavailable(not-mounted)"), "{told:?}");

    let desk = &shelf.desk;
    let found = desk.json(&["find", "gamma"]);
    let hit = &found["hits"][0];
    assert_eq!(
        (&hit["path"], &hit["available"], &hit["presence"]),
        (&json!("sub/deep/c.txt"), &json!(false), &json!("present"))
    );
    assert!(hit["last_seen"].is_string());
    let told = desk.run(&["find", "gamma"]).expect(0);
    assert!(told.stdout.contains("books: sub/deep/c.txt (disk \"disk\" away, last seen 2"), "{told:?}");
    assert_eq!(desk.json(&["list"])["files"].as_array().unwrap().len(), FILES.len());
    let shown = desk.json(&["show", "sub/b.md"]);
    assert_eq!(
        (&shown["file"]["presence"], &shown["file"]["status"]),
        (&json!("present"), &json!("uploaded"))
    );
    // As it was typed when the disk was there, too.
    let place = shelf.root().join("sub/b.md");
    assert_eq!(desk.json(&["show", place.to_str().unwrap()])["file"]["path"], "sub/b.md");
    assert_eq!(desk.json(&["missing"])["missing"], json!([]));
    let status = shelf.status();
    assert_eq!(status["availability"]["state"], "unavailable");
    assert_eq!(status["availability"]["reason"], "not-mounted");
    assert_eq!(status["files"], json!({ "present": FILES.len(), "missing": 0, "unknown": 0, "excluded": 0 }));
    let listed = desk.json(&["library", "list"]);
    assert_eq!(listed["libraries"][0]["availability"]["reason"], "not-mounted");

    shelf.plug_in();
    expect_as_before(&shelf, &before);
    assert_eq!(shelf.status()["availability"]["state"], "available");
}

// D2, D8: a program that saved its files while the disk was away
pub(crate) fn what_lies_in_the_empty_mount_point_is_not_catalogued() {
    let mut shelf = shelf();
    let before = known(&shelf);
    shelf.disk.unmount();
    fs::create_dir(shelf.root()).unwrap();
    let not_mounted = json!({ "state": "unavailable", "reason": "not-mounted" });
    expect_away(&shelf, &not_mounted);
    shelf.write("a.txt", "written while the disk was away");
    shelf.write("stray.txt", "and this, too");
    expect_away(&shelf, &not_mounted);
    shelf.desk.run(&["sync"]).expect(0);
    assert_eq!(known(&shelf), before);
    // Gone with its mount point, as desktops do it: not made again.
    fs::remove_dir_all(shelf.point()).unwrap();
    expect_away(&shelf, &not_mounted);
    shelf.desk.run(&["sync"]).expect(0);
    assert!(!shelf.point().exists());
    fs::create_dir(shelf.point()).unwrap();
    shelf.plug_in();
    expect_as_before(&shelf, &before);
}

// D10
pub(crate) fn work_that_needs_no_disk_is_done_while_it_is_away() {
    let mut shelf = Shelf::with_files(FILES);
    shelf.desk.add_mirror("enriched");
    fs::rename(shelf.desk.mirror(), shelf.desk.path("elsewhere")).unwrap();
    shelf.desk.run(&["sync"]).expect(5);
    shelf.disk.unmount();
    fs::rename(shelf.desk.path("elsewhere"), shelf.desk.mirror()).unwrap();
    let report = shelf.desk.json(&["sync"]);
    assert_eq!((&report["uploaded_objects"], &report["queued"]), (&json!(3), &json!(0)));
    assert_eq!(shelf.desk.objects().len(), 3);
}

// D2
pub(crate) fn another_disk_in_its_place_is_not_believed() {
    let mut shelf = shelf();
    let before = known(&shelf);
    let mut other = LoopDisk::ext4("OTHER");
    shelf.disk.unmount();
    let wrong = json!({ "state": "degraded", "reason": "wrong-disk" });

    other.mount_at(&shelf.point());
    expect_away(&shelf, &wrong);
    // With a directory of that name, with nothing in it.
    fs::create_dir(shelf.root()).unwrap();
    expect_away(&shelf, &wrong);
    // With the same names in it, one of them with another content.
    for (path, content) in FILES {
        write(&shelf.root(), path, content);
    }
    shelf.write("a.txt", "another alpha");
    expect_away(&shelf, &wrong);
    let told = shelf.desk.run(&["sync"]).expect(3);
    assert!(told.stdout.contains("books: degraded(wrong-disk)"), "{told:?}");
    assert_eq!(known(&shelf), before);
    // As the library of somebody else.
    run(Command::new(env!("CARGO_BIN_EXE_shelflist"))
        .args(["init", "--name", "theirs"])
        .arg(shelf.root())
        .env("SHELFLIST_HOME", shelf.desk.path("their home")));
    expect_away(&shelf, &wrong);
    // With the marker of this one: an old backup, which has a file less.
    other.unmount();
    shelf.plug_in();
    let marker = fs::read(shelf.root().join(".shelflist/library.json")).unwrap();
    shelf.disk.unmount();
    other.mount_at(&shelf.point());
    fs::write(shelf.root().join(".shelflist/library.json"), marker).unwrap();
    shelf.remove("sub/b.md");
    expect_away(&shelf, &json!({ "state": "degraded", "reason": "cloned" }));
    shelf.desk.run(&["sync"]).expect(3);
    // Also mounted over the right one.
    other.unmount();
    shelf.plug_in();
    other.mount_at(&shelf.point());
    expect_away(&shelf, &json!({ "state": "degraded", "reason": "cloned" }));
    assert_eq!(known(&shelf), before);

    other.unmount();
    expect_as_before(&shelf, &before);
}

// L2, D2
pub(crate) fn a_root_that_is_gone_from_its_disk_makes_nothing_missing() {
    let shelf = shelf();
    let before = known(&shelf);
    let aside = shelf.point().join("renamed");
    fs::rename(shelf.root(), &aside).unwrap();
    let told = expect_away(&shelf, &json!({ "state": "unavailable", "reason": "root-missing" }));
    assert!(told.stdout.contains("shelflist library relocate books NEW_ROOT"), "{told:?}");
    shelf.desk.run(&["sync"]).expect(0);
    assert!(!shelf.root().exists(), "D8");
    // Made anew, empty.
    fs::create_dir(shelf.root()).unwrap();
    expect_away(&shelf, &json!({ "state": "degraded", "reason": "empty" }));
    shelf.desk.run(&["sync"]).expect(3);
    assert_eq!(known(&shelf), before);
    fs::remove_dir(shelf.root()).unwrap();
    // A root that was renamed is the library still: it says so itself.
    shelf.desk.run(&["library", "relocate", "books", aside.to_str().unwrap()]).expect(0);
    expect_as_before(&shelf, &before);
    fs::rename(&aside, shelf.root()).unwrap();
    shelf.desk.run(&["library", "relocate", "books", shelf.root().to_str().unwrap()]).expect(0);
    expect_as_before(&shelf, &before);
}

// L9, L3
pub(crate) fn a_disk_that_is_back_at_another_place_is_found_by_its_marker() {
    let mut shelf = shelf();
    let before = known(&shelf);
    shelf.disk.unmount();
    let told = shelf.desk.run(&["library", "relocate", "books"]).expect(7);
    assert!(told.stderr.contains("is on none of the mounted disks"), "{told:?}");

    let elsewhere = shelf.desk.path("some where else");
    fs::create_dir(&elsewhere).unwrap();
    shelf.disk.mount_at(&elsewhere);
    let told = expect_away(&shelf, &json!({ "state": "unavailable", "reason": "not-mounted" }));
    assert!(told.stdout.contains("shelflist library relocate books"), "{told:?}");
    let moved = shelf.desk.json(&["library", "relocate", "books"]);
    assert_eq!(moved["root"], elsewhere.join("lib").to_str().unwrap());
    expect_as_before(&shelf, &before);
    let found = shelf.desk.run(&["find", "gamma"]).expect(0);
    assert!(found.stdout.contains("some where else/lib/sub/deep/c.txt"), "{found:?}");
    // And home again.
    shelf.disk.unmount();
    shelf.plug_in();
    shelf.desk.run(&["library", "relocate", "books"]).expect(0);
    expect_as_before(&shelf, &before);
}

// L2
pub(crate) fn a_read_only_disk_is_scanned_like_any_other() {
    let mut shelf = shelf();
    let before = known(&shelf);
    let read_only = json!({ "state": "degraded", "reason": "read-only" });
    shelf.disk.remount_read_only();
    assert_eq!(shelf.desk.scan()["availability"], read_only);
    expect_as_before(&shelf, &before);
    // Mounted so from the start; and what changed in between is found.
    shelf.disk.unmount();
    shelf.plug_in();
    shelf.remove("a.txt");
    shelf.write("sub/deep/new.txt", "delta");
    shelf.disk.unmount();
    let point = shelf.point();
    shelf.disk.mount_read_only_at(&point);
    let report = shelf.desk.scan();
    assert_eq!(report["availability"], read_only);
    assert_eq!(
        (&report["new"], &report["missing"], &report["complete"]),
        (&json!(1), &json!(1), &json!(true))
    );
}

// The other half of the rule: what a good look did not see is missing.
pub(crate) fn files_deleted_on_a_mounted_disk_are_missing() {
    let mut shelf = shelf();
    shelf.remove("a.txt");
    shelf.disk.unmount();
    expect_away(&shelf, &json!({ "state": "unavailable", "reason": "not-mounted" }));
    assert_eq!(shelf.missing(), 0);
    shelf.plug_in();
    assert_eq!(shelf.desk.scan()["missing"], 1);
    let since: i64 = shelf.desk.sql("SELECT missing_since FROM files WHERE presence = 'missing'");
    // L6: neither an absence nor a scan moves the date.
    shelf.disk.unmount();
    shelf.desk.run(&["scan", "books"]).expect(7);
    shelf.plug_in();
    assert_eq!(shelf.desk.scan()["missing"], 0);
    assert_eq!(shelf.desk.sql::<i64>("SELECT missing_since FROM files WHERE presence = 'missing'"), since);
    shelf.write("a.txt", "alpha");
    assert_eq!(shelf.desk.json(&["sync"])["uploaded_objects"], 0);
    assert_eq!(shelf.missing(), 0);
}

// L1: SQLite's locks do not hold there, and whoever pulls the cable has half a catalogue
pub(crate) fn a_catalogue_on_a_network_disk_is_refused() {
    let desk = Desk::new();
    let network = desk.path("network");
    fs::create_dir(&network).unwrap();
    let _network = BrokenDisk::mount_as("fuse.sshfs", &network, &[("dir/file", b"x")]);
    // Itself, by a link, and a place on it where nothing is yet.
    for place in [network.clone(), network.join("dir"), network.join("dir/none/yet")] {
        std::os::unix::fs::symlink(&place, desk.home()).unwrap();
        let (library, by_name) = (desk.library(), place.to_str().unwrap());
        let init = ["init", library.to_str().unwrap(), "--name", "books"];
        for args in [init.as_slice(), &["scan"], &["status"], &["find", "x"]] {
            // A link that leads nowhere is no place for a catalogue either.
            let by_link = place.exists().then(|| desk.run(args));
            for told in by_link.into_iter().chain([desk.run(&[&["--home", by_name], args].concat())]) {
                assert_eq!(told.code, 1, "{args:?}: {told:?}");
                for help in ["is on a network file system (fuse.sshfs)", "SHELFLIST_HOME"] {
                    assert!(told.stderr.contains(help), "{help}: {told:?}");
                }
            }
        }
        fs::remove_file(desk.home()).unwrap();
    }
    assert_eq!(
        fs::read_dir(desk.library()).unwrap().count(),
        0,
        "D8: no marker of a library that was not made"
    );
}
