//! Scanning, as a librarian sees it.

use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;

use crate::desk::Desk;

const THREE: &[(&str, &str)] = &[("a.txt", "alpha"), ("sub/b.txt", "beta"), ("sub/deep/c.txt", "gamma")];

// L4
#[test]
fn an_unchanged_file_is_not_read_again() {
    let desk = Desk::with_files(THREE);
    let first = desk.scan();
    assert_eq!(
        (&first["new"], &first["hashed_files"], &first["complete"]),
        (&json!(3), &json!(3), &json!(true))
    );
    let second = desk.scan();
    assert_eq!((&second["unchanged"], &second["hashed_files"]), (&json!(3), &json!(0)));
}

// L4
#[test]
fn a_changed_file_is_read_and_a_touched_one_only_gets_its_stat_refreshed() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.write("a.txt", "alpha, revised");
    let touched = File::options().write(true).open(desk.library().join("sub/b.txt")).unwrap();
    touched
        .set_times(FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)))
        .unwrap();
    let report = desk.scan();
    assert_eq!(
        (&report["modified"], &report["touched"], &report["unchanged"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(report["hashed_files"], 2);
    assert_eq!(desk.scan()["hashed_files"], 0);
}

// L4: an edit that keeps size and mtime shows in ctime
#[test]
fn an_edit_that_keeps_size_and_mtime_is_found() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    let path = desk.library().join("a.txt");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "ALPHA").unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(FileTimes::new().set_modified(before))
        .unwrap();
    assert_eq!(desk.scan()["modified"], 1);
}

// L6, D1
#[test]
fn a_deleted_file_is_missing_since_the_first_scan_that_did_not_see_it() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.remove("a.txt");
    assert_eq!(desk.scan()["missing"], 1);
    let since: i64 = desk.sql("SELECT missing_since FROM files WHERE presence = 'missing'");
    assert_eq!(desk.scan()["missing"], 0, "not again");
    assert_eq!(desk.sql::<i64>("SELECT missing_since FROM files WHERE presence = 'missing'"), since);
    let missing = desk.json(&["missing"]);
    assert_eq!(missing["missing"][0]["path"], "a.txt");
    assert_eq!(missing["missing"][0]["status"], "missing");
    assert_eq!(desk.json(&["missing", "--min-age", "30d"])["missing"], json!([]));
    desk.write("a.txt", "alpha");
    assert_eq!(desk.scan()["restored"], 1);
    assert_eq!(desk.json(&["missing"])["missing"], json!([]));
    assert_eq!(desk.sql::<Option<i64>>("SELECT missing_since FROM files WHERE name = x'612E747874'"), None);
}

// L7
#[test]
fn a_renamed_directory_keeps_its_documents() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    let before: String = desk.sql("SELECT group_concat(file_id || ':' || document_id) FROM files");
    desk.rename("sub", "moved/here");
    let report = desk.scan();
    assert_eq!((&report["moved"], &report["new"], &report["missing"]), (&json!(2), &json!(0), &json!(0)));
    assert_eq!(desk.sql::<String>("SELECT group_concat(file_id || ':' || document_id) FROM files"), before);
    assert_eq!(desk.json(&["show", "moved/here/deep/c.txt"])["file"]["status"], "pending");
    assert_eq!(desk.run(&["show", "sub/b.txt"]).code, 1);
    assert_eq!(desk.scan()["unchanged"], 3);
}

// L6: the same content elsewhere, after it was missing
#[test]
fn a_missing_file_that_comes_back_elsewhere_is_the_same_document() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    let document: i64 = desk.sql("SELECT document_id FROM files WHERE name = x'612E747874'");
    desk.remove("a.txt");
    desk.scan();
    desk.write("found/again.txt", "alpha");
    let report = desk.scan();
    assert_eq!((&report["moved"], &report["new"]), (&json!(1), &json!(0)));
    assert_eq!(
        desk.sql::<i64>("SELECT document_id FROM files WHERE name = CAST('again.txt' AS BLOB)"),
        document
    );
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM documents"), 3);
}

// L15
#[test]
fn copies_share_a_document_until_one_is_edited_apart() {
    let desk =
        Desk::with_files(&[("a.txt", "alpha"), ("copy.txt", "alpha"), ("empty-1", ""), ("empty-2", "")]);
    desk.scan();
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM documents"), 3, "empty files stand alone");
    desk.execute("INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'title', 'person', '[\"Alpha\"]', 1.0, 0 FROM files WHERE name = x'612E747874'");
    desk.write("copy.txt", "alpha, my own way");
    assert_eq!(desk.scan()["modified"], 1);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM documents"), 4);
    let copy = desk.json(&["show", "copy.txt"]);
    assert_eq!(copy["annotations"][0]["values"], json!(["Alpha"]), "the curation is inherited");
    let original = desk.json(&["show", "a.txt"]);
    assert_ne!(copy["document"]["document_id"], original["document"]["document_id"]);
}

// L11, D5
#[test]
fn what_a_rule_leaves_out_is_excluded_and_comes_back_without_being_read() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.write(".shelflistignore", "/sub/\n.shelflistignore\n");
    let report = desk.scan();
    assert_eq!((&report["missing"], &report["excluded"]), (&json!(0), &json!(2)));
    let files = desk.json(&["status"])["libraries"][0]["files"].take();
    assert_eq!(files, json!({ "present": 1, "missing": 0, "unknown": 0, "excluded": 2 }));
    // Also when it is deleted meanwhile: nobody looked.
    desk.remove("sub/b.txt");
    assert_eq!(desk.scan()["missing"], 0);
    desk.remove(".shelflistignore");
    let report = desk.scan();
    assert_eq!((&report["restored"], &report["hashed_files"]), (&json!(1), &json!(0)));
}

// L12
#[test]
fn a_dry_run_tells_what_a_scan_would_do_and_writes_nothing() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.write("new.txt", "delta");
    desk.write("a.txt", "alpha, revised");
    desk.rename("sub/b.txt", "b-moved.txt");
    desk.remove("sub/deep/c.txt");
    let report = desk.json(&["scan", "--dry-run"])["libraries"][0].take();
    let counts = ["new", "modified", "moved", "missing"].map(|key| report[key].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1, 1], "{report}");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE presence = 'present'"), 3);
    let report = desk.scan();
    assert_eq!(["new", "modified", "moved", "missing"].map(|key| report[key].as_u64().unwrap()), counts);
}

// L12, D5
#[test]
fn a_scan_of_a_part_concludes_nothing_about_the_rest() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.remove("a.txt");
    desk.remove("sub/b.txt");
    let report = desk.json(&["scan", "--path", "sub"])["libraries"][0].take();
    assert_eq!((&report["missing"], &report["complete"]), (&json!(1), &json!(false)));
    assert_eq!(
        desk.sql::<String>("SELECT CAST(name AS TEXT) FROM files WHERE presence = 'missing'"),
        "b.txt"
    );
    desk.run(&["scan", "--path", "nowhere"]).expect(2);
}

// L12
#[test]
fn a_full_scan_reads_everything_again() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    let report = desk.json(&["scan", "--full"])["libraries"][0].take();
    assert_eq!(
        (&report["hashed_files"], &report["touched"], &report["modified"]),
        (&json!(3), &json!(3), &json!(0))
    );
}

// D6, L8
#[test]
fn a_mass_deletion_waits_for_a_decision() {
    let desk = Desk::new();
    for n in 0..40 {
        desk.write(&format!("f{n}.txt"), &format!("file {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    for n in 0..30 {
        desk.remove(&format!("f{n}.txt"));
    }
    desk.write("added.txt", "the other half of the run goes on");
    let report = desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0].take();
    assert_eq!((&report["missing"], &report["new"]), (&json!(0), &json!(1)));
    let number = report["decision"].as_i64().unwrap().to_string();
    assert_eq!(
        desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0]["decision"],
        report["decision"],
        "asked again"
    );
    let decision = desk.json(&["decisions"])["decisions"][0].take();
    assert_eq!(decision["counts"], json!({ "known": 41, "missing": 30 }));
    assert_eq!(decision["samples"].as_array().unwrap().len(), 20);
    assert!(desk.run(&["decision", "show", &number]).expect(0).stdout.contains("30 of 41 files"));

    desk.run(&["reject", &number]).expect(0);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE presence = 'missing'"), 0);
    let number = desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0]["decision"].as_i64().unwrap();
    desk.run(&["approve", &number.to_string()]).expect(0);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE presence = 'missing'"), 30);
    assert_eq!(desk.scan()["decision"], json!(null));
    desk.run(&["approve", &number.to_string()]).expect(2);
}

// D6
#[test]
fn a_decision_is_settled_when_the_files_are_back() {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("shelf/f{n}.txt"), &format!("file {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    fs::rename(desk.library().join("shelf"), desk.path("aside")).unwrap();
    desk.run(&["scan"]).expect(6);
    fs::rename(desk.path("aside"), desk.library().join("shelf")).unwrap();
    assert_eq!(desk.scan()["unchanged"], 30);
    assert_eq!(desk.json(&["decisions"])["decisions"], json!([]));
}

#[test]
fn links_are_recorded_and_special_files_are_never_opened() {
    let desk = Desk::with_files(THREE);
    std::os::unix::fs::symlink("nowhere/at all", desk.library().join("link")).unwrap();
    std::os::unix::fs::symlink("..", desk.library().join("sub/loop")).unwrap();
    assert!(
        std::process::Command::new("mkfifo").arg(desk.library().join("pipe")).status().unwrap().success()
    );
    let report = desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    assert_eq!(report["files_seen"], 5);
    assert_eq!(
        (&report["problems"][0]["path"], &report["problems"][0]["kind"]),
        (&json!("pipe"), &json!("special"))
    );
    assert_eq!(desk.json(&["show", "link"])["file"]["link_target"], "nowhere/at all");
    assert_eq!(desk.json(&["status"])["libraries"][0]["problems"], 1);
    fs::remove_file(desk.library().join("pipe")).unwrap();
    desk.scan();
    assert_eq!(desk.json(&["status"])["libraries"][0]["problems"], 0, "a problem that is gone is forgotten");
}

#[test]
fn a_name_that_is_not_utf8_is_catalogued_and_shown_escaped() {
    let desk = Desk::with_files(THREE);
    let name = std::ffi::OsString::from_vec(b"caf\xe9\n.txt".to_vec());
    fs::write(desk.library().join(&name), "noisette").unwrap();
    assert_eq!(desk.scan()["new"], 4);
    let files = desk.json(&["list"])["files"].take();
    let file = files.as_array().unwrap().iter().find(|file| file["path_bytes"].is_string()).unwrap();
    assert_eq!((&file["path"], &file["path_bytes"]), (&json!("caf\\xe9\n.txt"), &json!("Y2Fm6QoudHh0")));
    let listed = desk.run(&["list"]).expect(0).stdout;
    assert!(listed.contains(r"caf\xe9\n.txt"), "{listed}");
    let path = desk.library().join(&name);
    let shown =
        desk.run(&[std::ffi::OsStr::new("show"), path.as_os_str(), "--json".as_ref()]).expect(0).json();
    assert_eq!(shown["file"]["presence"], "present");
}

// L13, in its simple form: the log of statuses
#[test]
fn every_change_of_a_status_is_an_event() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.remove("a.txt");
    desk.scan();
    desk.write("a.txt", "alpha");
    desk.scan();
    desk.write("a.txt", "alpha, revised");
    desk.scan();
    let log: String = desk.sql(
        "SELECT group_concat(what || ' ' || CASE what WHEN 'presence' THEN before || ' > ' || after ELSE '' END, ', ')
         FROM (SELECT * FROM events ORDER BY event_id)",
    );
    assert_eq!(log, "presence present > missing, presence missing > present, content ");
}

// D8
#[test]
fn nothing_but_the_marker_is_written_under_the_root() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("both");
    desk.run(&["sync"]).expect(0);
    let mut names: Vec<String> = fs::read_dir(desk.library())
        .unwrap()
        .chain(fs::read_dir(desk.library().join(".shelflist")).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".shelflist", "a.txt", "library.json", "sub"]);
}
