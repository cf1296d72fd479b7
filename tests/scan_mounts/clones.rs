//! A copy of the disk, bit by bit the same: in its place, beside it, and in its place for good.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use shelflist::volume::marker;

use crate::common::desk::Ran;
use crate::common::disk::{LoopDisk, run};
use crate::common::shelf::{Shelf, write};

const FILES: &[(&str, &str)] = &[("a.txt", "alpha"), ("sub/b.txt", "beta"), ("sub/c.txt", "gamma")];

/// Scanned once.
fn shelf() -> Shelf {
    let shelf = Shelf::with_files(FILES);
    shelf.desk.run(&["scan"]).expect(0);
    shelf
}

/// A copy of the disk as it is now.
fn copied(shelf: &mut Shelf) -> LoopDisk {
    shelf.disk.unmount();
    let copy = shelf.disk.clone_bits();
    shelf.plug_in();
    copy
}

/// Another place for a disk on the desk.
fn beside(shelf: &Shelf) -> PathBuf {
    let point = shelf.desk.path("disk-2");
    fs::create_dir_all(&point).unwrap();
    point
}

/// No scan, no conclusion: it asks.
#[track_caller]
fn expect_cloned(shelf: &Shelf) -> Ran {
    let before: i64 = shelf.desk.sql("SELECT count(*) FROM files WHERE presence = 'present'");
    let report = shelf.desk.run(&["scan", "--json"]).expect(7).json()["libraries"][0].take();
    assert_eq!(report["availability"], json!({ "state": "degraded", "reason": "cloned" }));
    assert_eq!((&report["missing"], &report["files_seen"]), (&json!(0), &json!(0)));
    assert_eq!(shelf.desk.sql::<i64>("SELECT count(*) FROM files WHERE presence = 'present'"), before);
    assert_eq!(shelf.status()["availability"]["reason"], "cloned");
    // In a schedule's run it is a reason to worry, unlike a disk that is away.
    shelf.desk.run(&["sync"]).expect(3);
    shelf.desk.run(&["scan"]).expect(7)
}

#[track_caller]
fn expect_here(shelf: &Shelf) {
    let report = shelf.desk.run(&["scan", "--json"]).expect(0).json()["libraries"][0].take();
    assert_eq!((&report["availability"]["state"], &report["complete"]), (&json!("available"), &json!(true)));
}

fn marker(root: &Path) -> marker::Marker {
    marker::read(root).unwrap().unwrap()
}

// L9, D2
pub(crate) fn a_copy_that_lags_behind_is_not_the_library() {
    let mut shelf = shelf();
    let mut copy = copied(&mut shelf);
    shelf.write("new.txt", "after the copy was made");
    expect_here(&shelf);
    shelf.disk.unmount();

    copy.mount_at(&shelf.point());
    let told = expect_cloned(&shelf);
    for help in ["cloned", "lags behind", "Connect the original alone", "shelflist library adopt books "] {
        assert!(told.stdout.contains(help), "{help}: {told:?}");
    }
    // Not taken for the original by its marker either.
    let told = shelf.desk.run(&["library", "relocate", "books"]).expect(1);
    assert!(told.stderr.contains("library adopt"), "{told:?}");
    copy.unmount();

    shelf.plug_in();
    expect_here(&shelf);
    assert_eq!(shelf.missing(), 0);
}

// L9, D2
pub(crate) fn two_disks_that_are_alike_wait_for_a_person() {
    let mut shelf = shelf();
    let mut copy = copied(&mut shelf);
    let point = beside(&shelf);
    copy.mount_at(&point);
    let told = expect_cloned(&shelf);
    let (here, there) = (shelf.root().display().to_string(), point.join("lib").display().to_string());
    assert!(told.stdout.contains(&format!("{here} and {there} carry the same library")), "{told:?}");
    // Alone, each would pass: that is why it has to be asked.
    copy.unmount();
    // Nor is one that is only read beside it, as backup programs do it, anything to ask about.
    copy.mount_read_only_at(&point);
    assert_eq!(shelf.status()["availability"]["state"], "available");
    copy.unmount();
    shelf.write("new.txt", "after the copy was made");
    expect_here(&shelf);
    copy.mount_at(&point);
    // After that scan the copy lags behind, and is none that could be taken for the original.
    expect_here(&shelf);
    copy.unmount();
    shelf.disk.unmount();
    copy.mount_at(&shelf.point());
    expect_cloned(&shelf);
    copy.unmount();
}

// D8: the marker is written for a reason or not at all
pub(crate) fn a_scan_that_finds_nothing_changed_writes_nothing() {
    let shelf = shelf();
    let written = || marker(&shelf.root()).last_scans[0].scan;
    // A file as young as the first scan is read again by the next.
    expect_here(&shelf);
    let before = written();
    expect_here(&shelf);
    assert_eq!(written(), before);
    shelf.write("new.txt", "x");
    expect_here(&shelf);
    let after = written();
    assert_ne!(after, before);
    // One that was killed may have written down what the next finds unchanged.
    shelf.desk.execute(
        "UPDATE scans SET outcome = 'abandoned', ended_at = (SELECT marked_at + 1 FROM marked_scans), report = NULL
         WHERE scan_id = (SELECT max(scan_id) FROM scans)",
    );
    expect_here(&shelf);
    assert_ne!(written(), after);
}

// L9
pub(crate) fn a_disk_that_moved_is_found_beside_a_copy_that_lags_behind() {
    let mut shelf = shelf();
    let mut copy = copied(&mut shelf);
    shelf.write("new.txt", "after the copy was made");
    expect_here(&shelf);
    shelf.disk.unmount();
    copy.mount_at(&shelf.point());
    let point = beside(&shelf);
    shelf.disk.mount_at(&point);
    shelf.desk.run(&["library", "relocate", "books"]).expect(0);
    let report = shelf.desk.scan();
    assert_eq!((&report["root"], &report["unchanged"]), (&json!(point.join("lib")), &json!(4)));
    copy.unmount();
}

// L9, D8: killed between the marker and the catalogue's note of it
pub(crate) fn a_scan_that_is_killed_while_it_rewrites_the_marker_harms_nothing() {
    let shelf = shelf();
    for (turn, point) in
        ["marker-written", "marker-replaced", "marker-written", "marker-replaced"].iter().enumerate()
    {
        shelf.write(&format!("{turn}.txt"), "x");
        let ran =
            shelf.desk.command(&["scan"]).env("FAILPOINTS", format!("{point}=return")).output().unwrap();
        // Without the feature it is a scan like any other.
        let killed = if cfg!(feature = "failpoints") { 128 + 9 } else { 0 };
        assert_eq!(ran.status.code(), Some(killed), "{point}");
        expect_here(&shelf);
        assert_eq!(fs::read_dir(shelf.root().join(".shelflist")).unwrap().count(), 1, "{point}");
    }
}

// L9
pub(crate) fn an_adopted_copy_is_told_from_the_original() {
    let mut shelf = shelf();
    let mut copy = copied(&mut shelf);
    shelf.write("only-there.txt", "on the original");
    expect_here(&shelf);
    // The original is broken; the copy takes its place, first beside it.
    let point = beside(&shelf);
    copy.mount_at(&point);
    let root = point.join("lib");
    shelf.desk.run(&["library", "adopt", "books", root.to_str().unwrap()]).expect(0);
    assert_eq!((marker(&shelf.root()).generation, marker(&root).generation), (1, 2));
    let report = shelf.desk.json(&["scan", "books"])["libraries"][0].take();
    assert_eq!((&report["missing"], &report["unchanged"]), (&json!(1), &json!(3)), "what the copy never had");
    copy.unmount();
    shelf.disk.unmount();
    // Now either is in the old place: the copy is the library, the original is not.
    shelf.plug_in();
    shelf.desk.run(&["library", "relocate", "books", shelf.root().to_str().unwrap()]).expect(1);
    shelf.disk.unmount();
    copy.mount_at(&shelf.point());
    shelf.desk.run(&["library", "relocate", "books", shelf.root().to_str().unwrap()]).expect(0);
    expect_here(&shelf);
    copy.unmount();
    shelf.plug_in();
    let told = expect_cloned(&shelf);
    assert!(told.stdout.contains("generation 1, the catalogue knows generation 2"), "{told:?}");
}

// L9: the false alarm that would make people switch this off.
pub(crate) fn a_backup_on_another_disk_may_stay_mounted() {
    let shelf = shelf();
    let mut other = LoopDisk::ext4("BACKUP");
    let point = beside(&shelf);
    other.mount_at(&point);
    run(std::process::Command::new("cp").arg("-a").arg(shelf.root()).arg(&point));
    assert_eq!(marker(&point.join("lib")), marker(&shelf.root()));
    expect_here(&shelf);
    assert_eq!(shelf.status()["availability"]["state"], "available");
    other.unmount();
}

// L9: a disk that goes from desk to desk.
pub(crate) fn a_disk_that_two_catalogues_use_is_nobodys_copy() {
    let mut shelf = shelf();
    let second = shelf.desk.path("second-home");
    let home = second.to_str().unwrap();
    let root = shelf.root();
    shelf.desk.run(&["--home", home, "init", root.to_str().unwrap(), "--name", "lent"]).expect(0);
    for turn in 0..3 {
        shelf.write(&format!("{turn}.txt"), "x");
        shelf.desk.run(&["--home", home, "scan"]).expect(0);
        expect_here(&shelf);
    }
    assert_eq!(marker(&root).last_scans.len(), 2);
    // And a copy that lags behind one of them lags behind both.
    let mut copy = copied(&mut shelf);
    shelf.write("new.txt", "after the copy was made");
    shelf.desk.run(&["--home", home, "scan"]).expect(0);
    shelf.disk.unmount();
    copy.mount_at(&shelf.point());
    shelf.desk.run(&["--home", home, "scan"]).expect(7);
    copy.unmount();
}

// L9: each catalogue that raised the generation in its turn would shut out the other.
pub(crate) fn a_copy_that_a_second_catalogue_adopts_keeps_its_generation() {
    let mut shelf = shelf();
    let second = shelf.desk.path("second-home");
    let home = second.to_str().unwrap();
    let root = shelf.root().to_str().unwrap().to_owned();
    shelf.desk.run(&["--home", home, "init", &root, "--name", "lent"]).expect(0);
    shelf.desk.run(&["--home", home, "scan"]).expect(0);
    let mut copy = copied(&mut shelf);
    shelf.disk.unmount();
    copy.mount_at(&shelf.point());
    shelf.desk.run(&["library", "adopt", "books", &root]).expect(0);
    shelf.desk.run(&["--home", home, "scan"]).expect(7);
    shelf.desk.run(&["--home", home, "library", "adopt", "lent", &root]).expect(0);
    for _ in 0..2 {
        shelf.desk.run(&["--home", home, "scan"]).expect(0);
        expect_here(&shelf);
    }
    assert_eq!(marker(&shelf.root()).generation, 2);
    copy.unmount();
}

// L9, C2
pub(crate) fn a_catalogue_out_of_a_backup_knows_its_disk() {
    let shelf = shelf();
    let catalogue = shelf.desk.home().join("catalog.db");
    let backup = shelf.desk.path("backup.db");
    shelf.desk.execute(&format!("VACUUM INTO '{}'", backup.display()));
    shelf.write("new.txt", "after the backup");
    expect_here(&shelf);
    let later = marker(&shelf.root()).last_scans[0].scan;
    for beside in ["catalog.db-wal", "catalog.db-shm"] {
        let _ = fs::remove_file(shelf.desk.home().join(beside));
    }
    fs::copy(&backup, &catalogue).unwrap();
    expect_here(&shelf);
    assert!(marker(&shelf.root()).last_scans[0].scan > later, "later than what stood there");
    expect_here(&shelf);
}

// L2, L9, D8
pub(crate) fn a_read_only_disk_keeps_its_marker_and_is_no_copy_later() {
    let mut shelf = shelf();
    let before = marker(&shelf.root());
    shelf.disk.unmount();
    let point = shelf.point();
    shelf.disk.mount_read_only_at(&point);
    for _ in 0..2 {
        shelf.desk.run(&["scan"]).expect(0);
    }
    assert_eq!(marker(&shelf.root()), before);
    // A copy of it, which can be written no more than this one, takes its place.
    let root = shelf.root().to_str().unwrap().to_owned();
    shelf.desk.run(&["library", "adopt", "books", &root]).expect(0);
    shelf.desk.run(&["scan"]).expect(0);
    assert_eq!(marker(&shelf.root()), before);
    shelf.disk.unmount();
    shelf.plug_in();
    write(&shelf.root(), "later.txt", "x");
    expect_here(&shelf);
    expect_here(&shelf);
    assert!(marker(&shelf.root()).last_scans[0].scan > before.last_scans[0].scan);
}
