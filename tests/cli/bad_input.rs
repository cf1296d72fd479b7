//! Bad input gets a clear error, and nothing is lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::desk::{Desk, Ran};

/// What happened, to which thing, and what to do next.
#[track_caller]
fn clear(ran: &Ran, code: i32, thing: &str) {
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(ran.stderr.starts_with("error: "), "{ran:?}");
    assert!(ran.stderr.contains(thing), "{ran:?}");
    assert!(ran.stderr.contains("\nhint: "), "{ran:?}");
}

// L1, D8
#[test]
fn a_root_that_does_not_exist_is_not_made() {
    let desk = Desk::new();
    let root = desk.path("nowhere");
    clear(&desk.run(&["init", root.to_str().unwrap()]), 1, "nowhere does not exist");
    assert!(!root.exists());
    assert!(!desk.home().exists(), "no catalogue is made for it either");
}

// L1
#[test]
fn a_root_that_is_a_file_is_refused() {
    let desk = Desk::new();
    desk.write("file.txt", "x");
    let file = desk.library().join("file.txt");
    clear(&desk.run(&["init", file.to_str().unwrap()]), 1, "is not a directory");
}

#[test]
fn a_command_without_a_catalogue_says_how_to_begin() {
    let desk = Desk::new();
    for args in [&["status"][..], &["scan"], &["sync"], &["find", "x"], &["list"], &["missing"], &["orphans"]]
    {
        clear(&desk.run(args), 1, "there is no catalogue at");
    }
    assert!(!desk.home().exists());
}

// L1
#[test]
fn libraries_do_not_lie_inside_each_other() {
    let desk = Desk::with_files(&[("sub/a.txt", "x")]);
    let sub = desk.library().join("sub");
    clear(&desk.run(&["init", sub.to_str().unwrap()]), 1, "lie one inside the other");
    let above = desk.library().parent().unwrap().to_owned();
    clear(&desk.run(&["init", above.to_str().unwrap()]), 1, "lie one inside the other");
    clear(&desk.run(&["init", desk.library().to_str().unwrap()]), 1, "already");
    assert!(!sub.join(".shelflist").exists());
}

// L1
#[test]
fn a_catalogue_does_not_lie_inside_its_library() {
    let desk = Desk::new();
    let (library, home) = (desk.library(), desk.library().join("home"));
    let args = ["--home", home.to_str().unwrap(), "init", library.to_str().unwrap()];
    clear(&desk.run(&args), 1, "inside the library");
    assert!(!desk.library().join(".shelflist").exists());
}

// S1
#[test]
fn a_store_inside_the_library_is_refused_and_not_made() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    let url = format!("dir:{}", desk.library().join("store").display());
    clear(&desk.run(&["store", "add", &url]), 1, "lie one inside the other");
    assert!(!desk.library().join("store").exists());
    // Also through a link.
    std::os::unix::fs::symlink(desk.library(), desk.path("link")).unwrap();
    let url = format!("dir:{}", desk.path("link/store").display());
    clear(&desk.run(&["store", "add", &url]), 1, "lie one inside the other");
    // And a library inside a store.
    desk.add_mirror("enriched");
    let inside = desk.mirror().join("books");
    fs::create_dir(&inside).unwrap();
    clear(&desk.run(&["init", inside.to_str().unwrap()]), 1, "lie one inside the other");
}

#[test]
fn urls_that_are_no_stores_are_explained() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    clear(&desk.run(&["store", "add", "s3:bucket/prefix"]), 2, "s3://BUCKET/PREFIX");
    let ran = desk.run(&["store", "add", "webdav+https://me:s3cret@host/path"]);
    clear(&ran, 2, "password");
    assert!(!ran.stderr.contains("s3cret"), "{ran:?}");
    clear(&desk.run(&["store", "add", "nonsense"]), 2, "SCHEME:REST");
}

// C2
#[test]
fn a_damaged_catalogue_is_told_and_left_untouched() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    desk.run(&["scan"]).expect(0);
    let path = desk.home().join("catalog.db");
    let mut bytes = fs::read(&path).unwrap();
    bytes[..100].fill(b'#');
    fs::write(&path, &bytes).unwrap();
    for args in [&["status"][..], &["scan"], &["sync"], &["list"]] {
        clear(&desk.run(args), 1, "damaged");
    }
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

// C1
#[test]
fn a_catalogue_from_the_future_is_refused_and_left_untouched() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    desk.execute("INSERT INTO refinery_schema_history VALUES (999, 'future', '2030-01-01T00:00:00Z', '1'); PRAGMA wal_checkpoint(TRUNCATE)");
    let before = fs::read(desk.home().join("catalog.db")).unwrap();
    clear(&desk.run(&["scan"]), 1, "version 999");
    assert_eq!(fs::read(desk.home().join("catalog.db")).unwrap(), before);
}

#[test]
fn a_file_of_another_program_is_not_taken_for_a_catalogue() {
    let desk = Desk::new();
    fs::create_dir(desk.home()).unwrap();
    let path = desk.home().join("catalog.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    clear(&desk.run(&["init", desk.library().to_str().unwrap()]), 1, "not a shelflist catalogue");
    assert!(!desk.library().join(".shelflist").exists());
}

#[test]
fn an_empty_file_left_by_an_interrupted_creation_becomes_a_catalogue() {
    let desk = Desk::new();
    fs::create_dir(desk.home()).unwrap();
    fs::write(desk.home().join("catalog.db"), b"").unwrap();
    desk.run(&["init", desk.library().to_str().unwrap()]).expect(0);
}

#[test]
fn a_catalogue_that_may_not_be_read_is_told() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    if rustix::process::getuid().is_root() {
        // Root may read everything: what it may not is open a directory as a file.
        fs::rename(desk.home().join("catalog.db"), desk.home().join("kept.db")).unwrap();
        fs::create_dir(desk.home().join("catalog.db")).unwrap();
    } else {
        fs::set_permissions(desk.home().join("catalog.db"), fs::Permissions::from_mode(0o000)).unwrap();
    }
    clear(&desk.run(&["scan"]), 1, "catalogue");
}

#[test]
fn an_unknown_library_or_path_is_told() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    clear(&desk.run(&["scan", "films"]), 2, "\"films\"");
    clear(&desk.run(&["show", "no/such.txt"]), 1, "no/such.txt");
    clear(&desk.run(&["config", "set", "missing.grace_days", "many"]), 2, "many");
    clear(&desk.run(&["config", "get", "no.such"]), 2, "no.such");
    clear(&desk.run(&["missing", "--min-age", "soon"]), 2, "soon");
    clear(&desk.run(&["approve", "7"]), 2, "decision 7");
    clear(&desk.run(&["store", "remove", "cloud"]), 2, "cloud");
    desk.run(&["scna"]).expect(2);
}

#[test]
fn a_root_whose_disk_is_away_is_unavailable_and_no_file_is_missing() {
    let desk = Desk::with_files(&[("a.txt", "x"), ("b.txt", "y")]);
    desk.run(&["scan"]).expect(0);
    fs::rename(desk.library(), desk.path("drawer")).unwrap();
    let ran = desk.run(&["scan", "books", "--json"]).expect(7);
    assert_eq!(
        ran.json()["libraries"][0]["availability"],
        json!({ "state": "unavailable", "reason": "root-missing" })
    );
    // D10
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE presence = 'present'"), 2);
    // O3: the catalogue answers without the disk.
    assert_eq!(desk.json(&["find", "a.txt"])["hits"][0]["available"], false);
    assert_eq!(desk.json(&["list"])["total"], 2);
    desk.run(&["show", desk.library().join("a.txt").to_str().unwrap()]).expect(0);
    // L9
    let drawer = desk.path("drawer");
    desk.run(&["library", "relocate", "books", drawer.to_str().unwrap()]).expect(0);
    assert_eq!(desk.scan()["unchanged"], 2);
}

// D2
#[test]
fn an_empty_directory_or_another_library_in_its_place_is_not_believed() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    desk.run(&["scan"]).expect(0);
    fs::rename(desk.library(), desk.path("drawer")).unwrap();
    fs::create_dir(desk.library()).unwrap();
    let ran = desk.run(&["scan", "--json"]).expect(7).json();
    assert_eq!(ran["libraries"][0]["availability"], json!({ "state": "degraded", "reason": "empty" }));
    fs::create_dir(desk.library().join(".shelflist")).unwrap();
    let marker = fs::read_to_string(desk.path("drawer/.shelflist/library.json")).unwrap();
    let id = desk.sql::<String>("SELECT ulid FROM libraries");
    fs::write(
        desk.library().join(".shelflist/library.json"),
        marker.replace(&id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
    )
    .unwrap();
    let ran = desk.run(&["scan", "--json"]).expect(7).json();
    assert_eq!(ran["libraries"][0]["availability"]["reason"], "wrong-disk");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE presence = 'present'"), 1);
    let elsewhere = desk.library();
    clear(&desk.run(&["library", "relocate", "books", elsewhere.to_str().unwrap()]), 1, "is not the library");
}

// L1: a catalogue was lost, the disk still says who it is
#[test]
fn a_library_that_is_made_again_keeps_the_id_in_its_marker() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    let id: String = desk.sql("SELECT ulid FROM libraries");
    fs::remove_dir_all(desk.home()).unwrap();
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    assert_eq!(desk.sql::<String>("SELECT ulid FROM libraries"), id);
    assert_eq!(desk.scan()["new"], 1);
}

// L1
#[test]
fn without_a_marker_nothing_at_all_is_written() {
    let desk = Desk::new();
    desk.write("a.txt", "x");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books", "--no-marker"]).expect(0);
    assert_eq!(desk.scan()["new"], 1);
    assert_eq!(fs::read_dir(desk.library()).unwrap().count(), 1);
    fs::rename(desk.library(), desk.path("drawer")).unwrap();
    fs::create_dir(desk.library()).unwrap();
    desk.write("a.txt", "another disk");
    desk.run(&["scan"]).expect(7);
}

// L9
#[test]
fn a_library_that_lost_its_marker_is_adopted_on_the_evidence_of_its_files() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
    desk.run(&["scan"]).expect(0);
    let root = desk.library();
    fs::remove_dir_all(root.join(".shelflist")).unwrap();
    let ran = desk.run(&["scan"]).expect(7);
    assert!(ran.stdout.contains("library adopt books"), "{ran:?}");
    let other = desk.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.txt"), "not it").unwrap();
    clear(&desk.run(&["library", "adopt", "books", other.to_str().unwrap()]), 1, "0 of 2 files");
    assert!(!other.join(".shelflist").exists());
    desk.run(&["library", "adopt", "books", root.to_str().unwrap()]).expect(0);
    assert_eq!(desk.scan()["unchanged"], 2);
}

// L9, D5
#[test]
fn a_removed_library_deletes_nothing_and_is_taken_back_with_its_documents() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'notes', 'person', '[\"mine\"]', 1.0, 0 FROM documents",
    );
    desk.run(&["library", "remove", "books"]).expect(0);
    assert!(desk.library().join(".shelflist/library.json").exists());
    assert_eq!(desk.objects().len(), 2);
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    let report = desk.json(&["sync"]);
    assert_eq!((&report["uploaded_objects"], &report["retired_objects"]), (&json!(0), &json!(0)));
    assert_eq!(desk.json(&["show", "a.txt"])["annotations"][0]["values"], json!(["mine"]));
}
