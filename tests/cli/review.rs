//! What a doubter tried with the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::json;

use crate::desk::{Desk, Ran};

const NOBODY: u32 = 65_534;

/// A desk whose librarian is not root, so that permissions mean something.
pub(crate) struct Plain(pub(crate) Desk);

impl Plain {
    pub(crate) fn with_files(files: &[(&str, &str)]) -> Self {
        let desk = Desk::new();
        for (path, content) in files {
            desk.write(path, content);
        }
        let plain = Plain(desk);
        plain.own();
        let library = plain.0.library();
        plain.run(&["init", library.to_str().unwrap(), "--name", "books"]).expect(0);
        plain
    }

    /// Everything on the desk is the librarian's.
    fn own(&self) {
        fn own(path: &Path) {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            if fs::symlink_metadata(path).unwrap().is_dir() {
                for entry in fs::read_dir(path).unwrap() {
                    own(&entry.unwrap().path());
                }
            }
        }
        let top = self.0.path("");
        fs::set_permissions(&top, fs::Permissions::from_mode(0o755)).unwrap();
        if rustix::process::getuid().is_root() {
            own(&top);
        }
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.0.command(args);
        if rustix::process::getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap().into()
    }

    pub(crate) fn forbid(&self, path: &str) {
        fs::set_permissions(self.0.library().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }

    pub(crate) fn allow(&self, path: &str) {
        fs::set_permissions(self.0.library().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write(&self, path: &str, content: &str) {
        self.0.write(path, content);
        self.own();
    }
}

const THREE: &[(&str, &str)] = &[("a.txt", "alpha"), ("sub/b.txt", "beta"), ("sub/deep/c.txt", "gamma")];

fn presence(desk: &Desk, path: &str) -> String {
    desk.json(&["show", path])["file"]["presence"].as_str().unwrap().to_owned()
}

fn status(desk: &Desk, path: &str) -> String {
    desk.json(&["show", path])["file"]["status"].as_str().unwrap().to_owned()
}

fn changed_en_masse() -> Desk {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("f{n}.txt"), &format!("file {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    for n in 0..30 {
        desk.write(&format!("f{n}.txt"), &format!("encrypted {n}"));
    }
    desk
}

// D6, T1: no to one change is not no to every later one
#[test]
fn a_file_that_is_edited_after_its_mass_change_was_rejected_is_sent() {
    let desk = changed_en_masse();
    let number = desk.run(&["sync", "--json"]).expect(6).json()["libraries"][0]["decision"].as_i64().unwrap();
    desk.run(&["reject", &number.to_string()]).expect(0);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
    desk.write("f3.txt", "written by hand");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 1);
    assert_eq!(status(&desk, "f3.txt"), "uploaded");
}

// L6, L7: in a library that is never seen completely, too
#[test]
fn a_copy_known_for_long_is_not_where_a_deleted_file_went() {
    let plain = Plain::with_files(&[("a.txt", "alpha"), ("copies/copy.txt", "alpha"), ("locked/x.txt", "x")]);
    plain.forbid("locked");
    plain.run(&["scan"]).expect(3);
    plain.run(&["scan"]).expect(3);
    plain.0.remove("a.txt");
    let report = plain.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    plain.allow("locked");
    assert_eq!((&report["missing"], &report["moved"]), (&json!(1), &json!(0)));
    assert_eq!(plain.run(&["missing", "--json"]).json()["missing"][0]["path"], "a.txt");
}

// D1, D4: what could not be looked at is unknown, and comes back
#[test]
fn files_below_a_directory_that_was_forbidden_for_a_while_are_back_without_being_read() {
    let plain = Plain::with_files(&[("a.txt", "a"), ("sub/b.txt", "b"), ("sub/deep/c.txt", "c")]);
    plain.run(&["scan"]).expect(0);
    plain.forbid("sub");
    let report = plain.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    assert_eq!((&report["missing"], &report["frozen_dirs"]), (&json!(0), &json!(["sub"])));
    let files = plain.run(&["status", "--json"]).json()["libraries"][0]["files"].take();
    assert_eq!(files, json!({ "present": 1, "missing": 0, "unknown": 2, "excluded": 0 }));
    plain.allow("sub");
    let report = plain.run(&["scan", "--json"]).expect(0).json()["libraries"][0].take();
    assert_eq!((&report["restored"], &report["hashed_files"]), (&json!(2), &json!(0)));
    // Gone while nobody could look: missing, and its copy elsewhere is where it went.
    plain.forbid("sub");
    plain.run(&["scan"]).expect(3);
    plain.write("found.txt", "c");
    plain.forbid("sub");
    plain.run(&["scan"]).expect(3);
    plain.allow("sub");
    fs::remove_dir_all(plain.0.library().join("sub/deep")).unwrap();
    let report = plain.run(&["scan", "--json"]).expect(0).json()["libraries"][0].take();
    assert_eq!((&report["moved"], &report["missing"], &report["new"]), (&json!(1), &json!(0), &json!(0)));
}

// D6, D1: a decision is about what is not there, not about what was not there some time ago
#[test]
fn approving_a_decision_does_not_touch_what_came_back_meanwhile() {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("shelf/f{n}.txt"), &format!("file {n}"));
    }
    desk.write("other.txt", "x");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    fs::rename(desk.library().join("shelf"), desk.path("aside")).unwrap();
    let number = desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0]["decision"].as_i64().unwrap();
    fs::rename(desk.path("aside"), desk.library().join("shelf")).unwrap();
    desk.remove("shelf/f7.txt");
    desk.run(&["scan", "--path", "shelf"]);
    desk.run(&["approve", &number.to_string()]);
    assert_eq!(desk.json(&["status"])["libraries"][0]["files"]["missing"], 1);
}

// L11, D5: asking for a part does not bring back what a rule leaves out, nor what is no part of the library
#[test]
fn a_scan_of_a_part_that_is_left_out_is_refused() {
    let desk = Desk::with_files(THREE);
    desk.write(".shelflistignore", "/sub/\n");
    fs::create_dir(desk.path("outside")).unwrap();
    fs::create_dir(desk.path("outside/dir")).unwrap();
    fs::write(desk.path("outside/dir/secret.txt"), "not yours").unwrap();
    std::os::unix::fs::symlink(desk.path("outside"), desk.library().join("link")).unwrap();
    for scope in ["sub", "sub/deep", ".shelflist", "link", "link/dir"] {
        desk.run(&["scan", "--path", scope]).expect(2);
    }
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files"), 0);
    assert_eq!(desk.scan()["missing"], 0);
}

// L11, T8: rules that cannot be read do not let everything in
#[test]
fn a_rule_file_that_cannot_be_read_lets_nothing_in() {
    let plain = Plain::with_files(THREE);
    plain.write("diary/.shelflistignore", "*.private\n");
    plain.write("diary/day.private", "secret");
    plain.forbid("diary/.shelflistignore");
    for args in [&["scan"][..], &["scan", "--path", "diary"]] {
        plain.run(args);
    }
    fs::create_dir(plain.0.library().join("diary/deep")).unwrap();
    plain.write("diary/deep/x.private", "secret");
    plain.forbid("diary/.shelflistignore");
    plain.run(&["scan", "--path", "diary/deep"]);
    assert_eq!(plain.0.sql::<i64>("SELECT count(*) FROM files WHERE name LIKE '%.private'"), 0);
    plain.allow("diary/.shelflistignore");
    plain.run(&["scan"]).expect(0);
    assert_eq!(plain.0.sql::<i64>("SELECT count(*) FROM files WHERE name LIKE '%.private'"), 0);
}

// L6
#[test]
fn a_missing_file_that_comes_back_unreadable_gets_its_remote_copy_back_once_it_is_read() {
    let plain = Plain::with_files(THREE);
    let url = format!("dir:{}", plain.0.mirror().display());
    plain.run(&["store", "add", &url]).expect(0);
    plain.run(&["sync"]).expect(0);
    plain.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    plain.run(&["config", "set", "missing.grace_scans", "1"]).expect(0);
    plain.0.remove("a.txt");
    assert_eq!(plain.run(&["sync", "--json"]).expect(0).json()["retired_objects"], 1);
    plain.write("a.txt", "alpha");
    plain.forbid("a.txt");
    plain.run(&["sync"]).expect(3);
    plain.allow("a.txt");
    plain.run(&["sync"]).expect(0);
    let shown = plain.run(&["show", "a.txt", "--json"]).expect(0).json();
    assert_eq!(shown["file"]["status"], "uploaded");
}

// D7: by days and complete scans, also where the file lives on with another content
#[test]
fn a_work_that_was_overwritten_is_retired_only_after_complete_scans() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    desk.write("a.txt", "beta");
    assert_eq!(desk.json(&["sync"])["retired_objects"], 0, "the first complete scan");
    assert_eq!(desk.json(&["sync"])["retired_objects"], 1, "the second");
    desk.write("a.txt", "alpha");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
    assert_eq!(status(&desk, "a.txt"), "uploaded");
}

// D7: nobody sends what is gone, and nothing waits for ever
#[test]
fn operations_of_files_that_are_gone_do_not_wait_for_ever_and_are_not_sent() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    desk.write("new.txt", "scanned, never read for its text");
    desk.run(&["scan"]).expect(0);
    desk.remove("new.txt");
    desk.remove("a.txt");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.json(&["sync"])["queued"], 0);
    // A new store is not filled with what no disk has.
    let url = format!("dir:{}", desk.path("second").display());
    desk.run(&["store", "add", &url]).expect(0);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 2);
    desk.write("a.txt", "alpha");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 1, "and is given it when it is back");
}

// D6, D7: files overwritten with one and the same content leave their works without a copy
#[test]
fn a_mass_change_into_one_content_retires_nothing_before_it_is_approved() {
    let desk = changed_en_masse();
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    for n in 0..30 {
        desk.write(&format!("f{n}.txt"), "all the same now");
    }
    let number = desk.run(&["sync", "--json"]).expect(6).json()["libraries"][0]["decision"].as_i64().unwrap();
    for _ in 0..3 {
        assert_eq!(desk.run(&["sync", "--json"]).json()["retired_objects"], 0);
    }
    desk.run(&["reject", &number.to_string()]).expect(0);
    assert_eq!(desk.json(&["sync"])["retired_objects"], 0);
    assert_eq!(desk.objects().len(), 30);
}

// D5, D6
#[test]
fn what_a_rule_leaves_out_is_not_missing_when_its_directory_goes() {
    let desk =
        Desk::with_files(&[("a.txt", "a"), ("sub/b.txt", "b"), ("sub/x.bak", "x"), ("sub/deep/y.bak", "y")]);
    desk.scan();
    desk.run(&["config", "set", "scan.exclude", "*.bak"]).expect(0);
    desk.scan();
    fs::remove_dir_all(desk.library().join("sub")).unwrap();
    assert_eq!(desk.scan()["missing"], 1);
    assert_eq!(presence(&desk, "sub/x.bak"), "excluded");
}

// D1, D5
#[test]
fn a_missing_file_that_is_back_and_left_out_by_a_rule_is_not_missing() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.remove("a.txt");
    desk.scan();
    desk.write("a.txt", "alpha");
    desk.run(&["config", "set", "scan.exclude", "/a.txt"]).expect(0);
    desk.scan();
    assert_eq!(presence(&desk, "a.txt"), "excluded");
    desk.run(&["config", "unset", "scan.exclude"]).expect(0);
    desk.scan();
    assert_eq!(presence(&desk, "a.txt"), "present");
    // And one that is really gone is missing once somebody looks for it again.
    desk.run(&["config", "set", "scan.exclude", "/a.txt"]).expect(0);
    desk.scan();
    desk.remove("a.txt");
    desk.scan();
    assert_eq!(presence(&desk, "a.txt"), "excluded");
    desk.run(&["config", "unset", "scan.exclude"]).expect(0);
    assert_eq!(desk.scan()["missing"], 1);
}

// D7, D5: a scan that does not look there is no evidence
#[test]
fn a_missing_file_below_a_directory_that_is_left_out_is_not_retired() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    desk.remove("sub/deep/c.txt");
    desk.run(&["scan"]).expect(0);
    desk.write("sub/deep/c.txt", "gamma");
    desk.run(&["config", "set", "scan.exclude", "/sub/"]).expect(0);
    for _ in 0..3 {
        assert_eq!(desk.json(&["sync"])["retired_objects"], 0);
    }
}

// A deletion that the store refuses says nothing against what comes after it
#[test]
fn a_deletion_that_failed_does_not_keep_its_document_from_being_sent() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.write("a.txt", "alpha, revised");
    desk.run(&["sync"]).expect(0);
    desk.execute(
        "INSERT INTO outbox (op_id, channel_id, document_id, kind, object_id, state, attempts, created_at, updated_at)
         SELECT 'refused', store_id, document_id, 'delete', object_id, 'dead', 1, 0, 0 FROM remote_objects WHERE state = 'orphaned'",
    );
    desk.write("a.txt", "alpha, revised again");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 1);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    assert_eq!(desk.json(&["orphans", "clean"])["deleted"], 2);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state = 'dead'"), 0);
}

// L5
#[test]
fn a_problem_below_a_directory_shows_in_the_status() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    for path in ["a.txt", "sub/b.txt"] {
        desk.remove(path);
        assert!(
            std::process::Command::new("mkfifo").arg(desk.library().join(path)).status().unwrap().success()
        );
    }
    desk.run(&["scan"]).expect(3);
    assert_eq!(status(&desk, "a.txt"), "error");
    assert_eq!(status(&desk, "sub/b.txt"), "error");
}

// L5
#[test]
fn a_file_whose_objects_were_retired_says_so_after_the_clean_up_too() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    for setting in ["missing.grace_days", "orphans.grace_days"] {
        desk.run(&["config", "set", setting, "0"]).expect(0);
    }
    desk.remove("a.txt");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.json(&["sync"])["retired_objects"], 1);
    assert_eq!(status(&desk, "a.txt"), "local_delete");
    assert_eq!(desk.json(&["orphans", "clean"])["deleted"], 1);
    assert_eq!(status(&desk, "a.txt"), "local_delete");
}

// L5: "uploaded" is said of the content that is there
#[test]
fn a_file_edited_into_something_without_text_is_not_called_uploaded() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.write("a.txt", "\u{1}\u{2}\0\0\0");
    desk.run(&["sync"]).expect(0);
    assert_eq!(status(&desk, "a.txt"), "skipped");
}

#[test]
fn a_link_that_comes_back_still_points_where_it_did() {
    let desk = Desk::with_files(THREE);
    std::os::unix::fs::symlink("b.txt", desk.library().join("sub/link")).unwrap();
    desk.scan();
    fs::rename(desk.library().join("sub"), desk.path("aside")).unwrap();
    desk.scan();
    fs::rename(desk.path("aside"), desk.library().join("sub")).unwrap();
    assert_eq!(desk.scan()["restored"], 3);
    assert_eq!(desk.json(&["show", "sub/link"])["file"]["link_target"], "b.txt");
}

// L12: counts are of this scan
#[test]
fn a_directory_that_becomes_a_file_and_a_link_and_back_loses_nothing() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    let sub = desk.library().join("sub");
    fs::rename(&sub, desk.path("aside")).unwrap();
    fs::write(&sub, "a file now").unwrap();
    let report = desk.json(&["sync"])["libraries"][0].take();
    assert_eq!((&report["missing"], &report["new"]), (&json!(2), &json!(1)));
    fs::remove_file(&sub).unwrap();
    std::os::unix::fs::symlink(desk.path("aside"), &sub).unwrap();
    assert_eq!(desk.json(&["sync"])["libraries"][0]["modified"], 1);
    fs::remove_file(&sub).unwrap();
    fs::rename(desk.path("aside"), &sub).unwrap();
    let report = desk.json(&["sync"]);
    assert_eq!((&report["libraries"][0]["restored"], &report["uploaded_objects"]), (&json!(2), &json!(0)));
    assert_eq!(status(&desk, "sub/deep/c.txt"), "uploaded");
}

#[test]
fn no_name_title_or_message_controls_the_terminal() {
    let desk = Desk::with_files(&[("a\u{1b}[31m.txt", "needle"), ("bad\u{7}.pdf", "%PDF-1.4 nothing")]);
    desk.run(&["sync"]);
    desk.execute("INSERT OR REPLACE INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'title', 'person', json_array('A' || char(27) || ']0;pwned' || char(7) || char(10) || 'x'), 1.0, 0 FROM files");
    for args in [
        &["list"][..],
        &["find", "needle"],
        &["show", "a\u{1b}[31m.txt"],
        &["sync"],
        &["status"],
        &["scan", "--full"],
    ] {
        let ran = desk.run(args);
        assert!(!ran.stdout.contains(['\u{1b}', '\u{7}']), "{args:?}: {ran:?}");
    }
    assert_eq!(desk.run(&["list"]).stdout.lines().count(), 3);
    let red = desk.path("red\u{1b}[31m");
    fs::create_dir(&red).unwrap();
    let ran = desk.run(&["init", red.to_str().unwrap()]).expect(2);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:?}");
}

// D6, L8
#[test]
fn a_mass_change_is_asked_again_until_it_is_answered() {
    let desk = changed_en_masse();
    let report = desk.run(&["sync", "--json"]).expect(6).json();
    let again = desk.run(&["sync", "--json"]).expect(6).json();
    assert_eq!(report["libraries"][0]["decision"], again["libraries"][0]["decision"]);
    assert_eq!((&report["uploaded_objects"], &again["uploaded_objects"]), (&json!(0), &json!(0)));
    let number = report["libraries"][0]["decision"].as_i64().unwrap().to_string();
    desk.run(&["approve", &number]).expect(0);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 30);
}

// O3
#[test]
fn a_hit_that_is_missing_is_not_said_to_be_at_hand() {
    let desk = Desk::with_files(THREE);
    desk.run(&["sync"]).expect(0);
    desk.remove("a.txt");
    desk.run(&["scan"]).expect(0);
    let hit = desk.json(&["find", "alpha"])["hits"][0].take();
    assert_eq!((&hit["presence"], &hit["available"]), (&json!("missing"), &json!(false)));
    let said = desk.run(&["find", "alpha"]).expect(0).stdout;
    assert!(said.contains("missing"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_listed_is_not_complained_of_once_it_is_left_out() {
    let plain = Plain::with_files(&[("a.txt", "a"), ("sub/locked/x.txt", "x")]);
    plain.forbid("sub/locked");
    plain.run(&["scan"]).expect(3);
    plain.run(&["config", "set", "scan.exclude", "/sub/"]).expect(0);
    plain.run(&["scan"]).expect(0);
    plain.allow("sub/locked");
    let library = plain.run(&["status", "--json"]).json()["libraries"][0].take();
    assert_eq!((&library["frozen_dirs"], &library["problems"]), (&json!([]), &json!(0)));
}

#[test]
fn a_problem_that_is_gone_is_forgotten_also_where_a_directory_cannot_be_listed() {
    let plain = Plain::with_files(&[("a.txt", "a"), ("locked/x.txt", "x")]);
    plain.forbid("locked");
    assert!(
        std::process::Command::new("mkfifo").arg(plain.0.library().join("pipe")).status().unwrap().success()
    );
    plain.run(&["scan"]).expect(3);
    fs::remove_file(plain.0.library().join("pipe")).unwrap();
    plain.run(&["scan"]).expect(3);
    plain.allow("locked");
    assert_eq!(plain.run(&["status", "--json"]).json()["libraries"][0]["problems"], 1);
}

// L12
#[test]
fn a_dry_run_counts_what_was_missing_before_as_found_not_as_less_missing() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.remove("a.txt");
    desk.scan();
    desk.write("new/place.txt", "alpha");
    desk.remove("sub/b.txt");
    let counts = ["new", "moved", "missing"];
    let dry = desk.json(&["scan", "--dry-run"])["libraries"][0].take();
    let wet = desk.scan();
    assert_eq!(counts.map(|key| &dry[key]), counts.map(|key| &wet[key]), "{dry}");
    assert_eq!(counts.map(|key| &wet[key]), [&json!(0), &json!(1), &json!(1)]);
}

// L12
#[test]
fn a_dry_run_of_a_new_directory_leaves_no_trace_of_it() {
    let desk = Desk::with_files(THREE);
    desk.scan();
    desk.write("new/deep/x.txt", "x");
    let report = desk.json(&["scan", "--dry-run", "--path", "new/deep"])["libraries"][0].take();
    assert_eq!(report["new"], 1);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM dirs"), 3);
}

// T3: the store was put back to a time before the object arrived
#[test]
fn an_object_that_vanished_before_it_was_proved_is_sent_again() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.execute("UPDATE remote_objects SET state = 'uploaded'; UPDATE outbox SET state = 'pending' WHERE seq = (SELECT max(seq) FROM outbox)");
    let name = desk.objects().into_keys().next().unwrap();
    fs::remove_file(desk.mirror().join(&name)).unwrap();
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().into_keys().collect::<Vec<_>>(), [name]);
}

// D10: what needs no disk is done while it is away
#[test]
fn a_new_title_is_sent_while_the_disk_with_the_original_is_away() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("both");
    desk.run(&["sync"]).expect(0);
    fs::rename(desk.library(), desk.path("drawer")).unwrap();
    desk.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'title', 'person', '[\"Alpha\"]', 1.0, 0 FROM files WHERE name = x'612E747874';
         INSERT INTO outbox (op_id, channel_id, document_id, kind, created_at, updated_at)
         SELECT 'edit', 1, document_id, 'mirror', 0, 0 FROM files WHERE name = x'612E747874'",
    );
    let report = desk.json(&["sync"]);
    assert_eq!((&report["uploaded_objects"], &report["queued"]), (&json!(1), &json!(0)));
}

// L15
#[test]
fn a_copy_that_can_be_read_is_read_where_another_cannot() {
    let plain = Plain::with_files(&[("a.txt", "same words"), ("b.txt", "same words")]);
    plain.run(&["scan"]).expect(0);
    plain.forbid("a.txt");
    let report = plain.run(&["sync", "--json"]).json();
    assert_eq!(report["enriched"], 1, "{report}");
}

// S1: one store that is away does not keep the other waiting
#[test]
fn each_store_is_served_by_itself() {
    let desk = Desk::with_files(THREE);
    desk.add_mirror("enriched");
    for name in ["aaa", "zzz"] {
        let url = format!("dir:{}", desk.path(name).display());
        desk.run(&["store", "add", &url]).expect(0);
        fs::rename(desk.path(name), desk.path(&format!("{name} unplugged"))).unwrap();
    }
    assert_eq!(desk.run(&["sync", "--json"]).expect(5).json()["uploaded_objects"], 3);
}

// C1
#[test]
fn a_catalogue_that_is_refused_keeps_its_log_too() {
    let desk = Desk::with_files(THREE);
    desk.run(&["scan"]).expect(0);
    // A newer program that was killed: its last change is in the log only.
    let newer = rusqlite::Connection::open(desk.home().join("catalog.db")).unwrap();
    newer.execute_batch("PRAGMA wal_autocheckpoint = 0; INSERT INTO refinery_schema_history VALUES (999, 'future', '2030-01-01T00:00:00Z', '1')").unwrap();
    let aside = desk.path("aside");
    fs::create_dir(&aside).unwrap();
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(desk.home().join(name), aside.join(name)).unwrap();
    }
    drop(newer);
    for name in ["catalog.db", "catalog.db-wal"] {
        fs::copy(aside.join(name), desk.home().join(name)).unwrap();
    }
    let _ = fs::remove_file(desk.home().join("catalog.db-shm"));
    for args in [&["scan"][..], &["status"], &["sync"]] {
        let ran = desk.run(args).expect(1);
        assert!(ran.stderr.contains("version 999"), "{ran:?}");
        for name in ["catalog.db", "catalog.db-wal"] {
            assert_eq!(
                fs::read(desk.home().join(name)).unwrap(),
                fs::read(aside.join(name)).unwrap(),
                "{name}"
            );
        }
    }
}

// D5, D6: a library with an unanswered mass change can be removed, and what it holds back is not sent because of that
#[test]
fn a_library_whose_changes_are_held_back_can_be_removed() {
    let desk = changed_en_masse();
    desk.run(&["sync"]).expect(6);
    desk.run(&["library", "remove", "books"]).expect(0);
    let queue = desk.json(&["status"])["queue"].take();
    assert_eq!((&queue["pending"], &queue["leased"], &queue["dead"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(desk.objects().len(), 30);
    // Made again, it is asked for anew.
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(status(&desk, "f3.txt"), "uploaded");
}

// D10: what was enriched before does not wait for what cannot be enriched today
#[cfg(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"))]
#[test]
fn what_can_be_sent_is_sent_where_no_file_can_be_read_for_its_text() {
    let desk = Desk::with_files(THREE);
    desk.run(&["sync"]).expect(0);
    desk.add_mirror("enriched");
    desk.write("new.txt", "delta");
    // Started through the loader, the program finds the loader in its own place, and no worker gets ready.
    let ran: Ran = std::process::Command::new("/lib64/ld-linux-x86-64.so.2")
        .args([env!("CARGO_BIN_EXE_shelflist"), "sync"])
        .env("SHELFLIST_HOME", desk.home())
        .output()
        .unwrap()
        .into();
    let ran = ran.expect(1);
    assert!(ran.stderr.contains("read for their text"), "{ran:?}");
    assert_eq!(desk.objects().len(), 3);
}

// L13: where somebody stands in his library, a path on the disk and one relative to the root are the same.
#[test]
fn what_a_path_means_is_told_once() {
    let desk = Desk::new();
    desk.write("shelf/a.txt", "text");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    for path in ["shelf", "shelf/nothing"] {
        let mut command = desk.command(&["explain", "--json", path]);
        let ran = Ran::from(command.current_dir(desk.library()).output().unwrap());
        let places = ran.expect(0).json()["places"].take();
        assert_eq!(places.as_array().map(Vec::len), Some(1), "{places}");
    }
}

// F1, L7: the fixity of a file counts from when its bytes were read, not from when its directory was renamed.
#[test]
fn what_came_along_with_its_directory_is_not_said_to_have_been_read() {
    let desk = Desk::new();
    desk.write("a/one.txt", "text");
    desk.write("a/empty.txt", "");
    desk.write("b/other.txt", "other");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    while desk.scan()["hashed_files"] != 0 {}
    desk.execute("UPDATE files SET hashed_at = 1000");
    fs::rename(desk.library().join("a"), desk.library().join("b/a")).unwrap();
    let report = desk.json(&["scan", "--path", "b"])["libraries"][0].take();
    assert_eq!((&report["new"], &report["hashed_files"]), (&json!(2), &json!(0)), "{report}");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE hashed_at = 1000"), 5);
    assert_eq!(desk.scan()["moved"], 2);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files WHERE hashed_at = 1000"), 3);
}

// L13: a scan that was killed long before stands there as running still, or as having ended when the next began.
#[test]
fn what_a_person_approved_was_said_by_no_scan() {
    let names: Vec<String> = (0..30).map(|n| format!("f{n}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let desk = Desk::with_files(&files);
    desk.scan();
    names.iter().for_each(|name| desk.remove(name));
    let number = desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0]["decision"].as_i64().unwrap();
    desk.execute(
        "INSERT INTO scans (library_id, scope, outcome, started_at)
         SELECT library_id, scope, 'running', ended_at + 1 FROM scans ORDER BY scan_id DESC LIMIT 1",
    );
    desk.run(&["approve", &number.to_string()]).expect(0);
    let explained = desk.json(&["explain", "f1.txt"]);
    assert_eq!(explained["presence"]["evidence"], "approved: not in a complete listing");
    assert_eq!(explained["said_by"]["scan"], json!(null), "{explained}");
}
