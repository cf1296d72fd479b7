//! A part of the library cannot be looked into: not allowed, or something else is mounted there. About that part nothing
//! negative is concluded; the rest goes on.

use std::cell::RefCell;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::common::desk::Ran;
use crate::common::disk::{LoopDisk, run};
use crate::common::shelf::{Shelf, write};
use crate::common::state;

/// Owns nothing here.
const NOBODY: u32 = 65534;

const FILES: &[(&str, &str)] = &[
    ("d.txt", "delta"),
    ("open/a.txt", "alpha"),
    ("open/gone.txt", "soon gone"),
    ("closed/b.txt", "beta"),
    ("closed/deep/c.txt", "gamma"),
];

/// A shelf that another user than root works with.
struct TheirShelf {
    program: PathBuf,
    shelf: Shelf,
}

impl TheirShelf {
    fn with_files(files: &[(&str, &str)]) -> Self {
        let shelf = Shelf::with_files(files);
        let program = shelf.desk.path("program");
        // The program itself may lie where that user may not go.
        fs::copy(env!("CARGO_BIN_EXE_shelflist"), &program).unwrap();
        mode(&shelf.desk.path(""), 0o755);
        run(Command::new("chown").args(["-R", "65534:65534"]).arg(shelf.desk.home()));
        TheirShelf { program, shelf }
    }

    /// The same command as the desk's, as that user.
    fn run(&self, args: &[&str]) -> Ran {
        let desks = self.shelf.desk.command(args);
        let mut theirs = Command::new(&self.program);
        theirs.args(desks.get_args()).current_dir("/").env_clear().uid(NOBODY).gid(NOBODY);
        for (name, value) in desks.get_envs() {
            theirs.env(name, value.unwrap_or_default());
        }
        theirs.output().unwrap().into()
    }

    /// A scan that ends with this code.
    #[track_caller]
    fn scan(&self, code: i32) -> Value {
        self.run(&["scan", "--json"]).expect(code).json()["libraries"][0].take()
    }

    /// The library's part of `status --json`.
    fn status(&self) -> Value {
        self.run(&["status", "--json"]).expect(0).json()["libraries"][0].take()
    }

    /// How many problems there are, and which directories cannot be looked into, by the status.
    fn troubles(&self) -> (u64, Vec<String>) {
        let status = self.status();
        let frozen = status["frozen_dirs"].as_array().unwrap();
        let paths = frozen.iter().map(|dir| dir["path"].as_str().unwrap().to_owned()).collect();
        (status["problems"].as_u64().unwrap(), paths)
    }

    fn show(&self, path: &str) -> Value {
        self.run(&["show", path, "--json"]).expect(0).json()["file"].take()
    }

    fn mode(&self, path: &str, permissions: u32) {
        mode(&self.shelf.root().join(path), permissions);
    }
}

fn mode(path: &Path, permissions: u32) {
    fs::set_permissions(path, Permissions::from_mode(permissions)).unwrap();
}

#[track_caller]
fn assert_counts(report: &Value, expected: &[(&str, u64)]) {
    for (count, expected) in expected {
        assert_eq!(report[*count], *expected, "{count}: {report:#}");
    }
}

const NOTHING_ELSE: &[(&str, u64)] =
    &[("new", 0), ("modified", 0), ("touched", 0), ("moved", 0), ("missing", 0), ("hashed_files", 0)];

// D1, D4
pub(crate) fn a_directory_that_may_not_be_listed_freezes_its_files_and_no_others() {
    let shelf = TheirShelf::with_files(FILES);
    assert_counts(&shelf.scan(0), &[("new", 5), ("hashed_files", 5)]);
    shelf.mode("closed", 0o000);
    shelf.shelf.write("open/new.txt", "a new one");
    shelf.shelf.write("d.txt", "delta, revised");
    shelf.shelf.remove("open/gone.txt");

    let report = shelf.scan(3);
    assert_counts(
        &report,
        &[("new", 1), ("modified", 1), ("missing", 1), ("hashed_files", 2), ("files_seen", 3)],
    );
    assert_eq!((&report["frozen_dirs"], &report["complete"]), (&json!(["closed"]), &json!(false)));
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1);
    assert_eq!((&problems[0]["path"], &problems[0]["kind"]), (&json!("closed"), &json!("permission")));
    for path in ["closed/b.txt", "closed/deep/c.txt"] {
        let file = shelf.show(path);
        assert_eq!(
            (&file["presence"], &file["evidence"]),
            (&json!("unknown"), &json!("permission")),
            "{path}"
        );
        assert_eq!(file["missing_since"], Value::Null);
    }
    let status = shelf.status();
    assert_eq!(status["files"], json!({ "present": 3, "missing": 1, "unknown": 2, "excluded": 0 }));
    assert_eq!(shelf.troubles(), (1, vec!["closed".to_owned()]));
    let told = shelf.run(&["scan"]).expect(3);
    assert!(told.stdout.contains("could not look into closed"), "{told:?}");

    // As often as it is looked at, and also by a sync: no date is set, nothing is retired.
    shelf.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    for _ in 0..3 {
        shelf.run(&["sync"]).expect(3);
    }
    assert_eq!(shelf.status()["files"]["unknown"], 2);
    assert_eq!(shelf.run(&["missing", "--json"]).expect(0).json()["missing"].as_array().unwrap().len(), 1);

    shelf.mode("closed", 0o755);
    let report = shelf.scan(0);
    assert_counts(&report, NOTHING_ELSE);
    assert_counts(&report, &[("restored", 2)]);
    assert_eq!((&report["frozen_dirs"], &report["complete"]), (&json!([]), &json!(true)));
    let status = shelf.status();
    assert_eq!(status["files"], json!({ "present": 5, "missing": 1, "unknown": 0, "excluded": 0 }));
    assert_eq!(shelf.troubles(), (0, vec![]));

    // What was deleted while nobody could look is found missing once somebody can.
    shelf.mode("closed", 0o000);
    shelf.scan(3);
    shelf.shelf.remove("closed/deep/c.txt");
    fs::remove_dir(shelf.shelf.root().join("closed/deep")).unwrap();
    assert_counts(&shelf.scan(3), NOTHING_ELSE);
    shelf.mode("closed", 0o755);
    assert_counts(&shelf.scan(0), &[("restored", 1), ("missing", 1)]);
}

// D1, D4: may be listed and not entered, may be entered and not listed
pub(crate) fn a_directory_of_which_only_half_is_allowed_makes_nothing_missing() {
    for permissions in [0o444, 0o111] {
        let shelf = TheirShelf::with_files(FILES);
        shelf.scan(0);
        let before = state::files(&shelf.shelf.desk.home());
        shelf.mode("closed", permissions);
        let report = shelf.scan(3);
        assert_counts(&report, NOTHING_ELSE);
        assert_eq!(report["complete"], false, "{permissions:o}: {report:#}");
        assert!(!report["problems"].as_array().unwrap().is_empty());
        assert_eq!(shelf.show("closed/deep/c.txt")["presence"], "unknown", "{permissions:o}");
        assert_eq!(shelf.show("closed/b.txt")["missing_since"], Value::Null);
        assert_eq!(shelf.show("open/a.txt")["presence"], "present");
        shelf.mode("closed", 0o755);
        let report = shelf.scan(0);
        assert_counts(&report, NOTHING_ELSE);
        assert_eq!(state::files(&shelf.shelf.desk.home()), before, "{permissions:o}");
        assert_eq!(shelf.status()["problems"], 0, "{permissions:o}");
    }
}

// A problem that is over is forgotten, whatever is still wrong elsewhere.
pub(crate) fn a_directory_that_opens_again_is_no_problem_while_another_stays_closed() {
    let shelf = TheirShelf::with_files(FILES);
    shelf.scan(0);
    shelf.mode("closed", 0o000);
    shelf.mode("open", 0o000);
    shelf.scan(3);
    assert_eq!(shelf.troubles(), (2, vec!["closed".to_owned(), "open".to_owned()]));
    shelf.mode("open", 0o755);
    shelf.scan(3);
    assert_eq!(shelf.troubles(), (1, vec!["closed".to_owned()]));
    // What is wrong below a directory that nobody can look into stays wrong.
    shelf.mode("closed", 0o755);
    shelf.mode("closed/deep", 0o000);
    shelf.scan(3);
    shelf.mode("closed", 0o000);
    shelf.scan(3);
    assert_eq!(shelf.status()["problems"], 2);
}

// L5, D9
pub(crate) fn a_file_that_may_not_be_read_is_a_problem_and_is_tried_again() {
    let shelf = TheirShelf::with_files(FILES);
    shelf.scan(0);
    let before = state::files(&shelf.shelf.desk.home());
    shelf.mode("open/a.txt", 0o000);
    shelf.shelf.write("open/secret.txt", "not for everybody");
    shelf.mode("open/secret.txt", 0o000);
    for _ in 0..2 {
        let report = shelf.scan(3);
        let problems = report["problems"].as_array().unwrap();
        let mut paths: Vec<&str> = problems.iter().map(|problem| problem["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["open/a.txt", "open/secret.txt"]);
        assert!(problems.iter().all(|problem| problem["kind"] == "permission"));
        assert_counts(&report, &[("hashed_files", 0), ("modified", 0), ("missing", 0), ("files_seen", 6)]);
        for path in paths {
            let file = shelf.show(path);
            assert_eq!((&file["presence"], &file["status"]), (&json!("present"), &json!("error")), "{path}");
        }
        assert_eq!(shelf.status()["problems"], 2);
    }
    // What was proved before stands.
    assert_eq!(state::files(&shelf.shelf.desk.home())["open/a.txt"], before["open/a.txt"]);

    shelf.mode("open/a.txt", 0o644);
    shelf.mode("open/secret.txt", 0o644);
    assert_counts(&shelf.scan(0), &[("hashed_files", 2), ("modified", 0), ("missing", 0)]);
    assert_eq!(shelf.status()["problems"], 0);
    assert_eq!(shelf.show("open/secret.txt")["status"], "pending");
    assert_eq!(state::files(&shelf.shelf.desk.home())["open/a.txt"], before["open/a.txt"]);
    assert_counts(&shelf.scan(0), &[("unchanged", 6), ("hashed_files", 0)]);
}

// D6: nothing was known of them that could have changed
pub(crate) fn files_that_may_be_read_at_last_are_no_mass_change() {
    let shelf = TheirShelf::with_files(FILES);
    for file in 0..30 {
        shelf.shelf.write(&format!("open/{file}.txt"), &format!("text {file}"));
        shelf.mode(&format!("open/{file}.txt"), 0o000);
    }
    assert_counts(&shelf.scan(3), &[("new", 35), ("hashed_files", 5)]);
    for file in 0..30 {
        shelf.mode(&format!("open/{file}.txt"), 0o644);
    }
    let report = shelf.scan(0);
    assert_counts(&report, &[("new", 30), ("modified", 0), ("hashed_files", 30)]);
    assert_eq!(report["decision"], Value::Null);
}

// L11, T8: what somebody has left out must not be catalogued and sent because the rule could not be read
pub(crate) fn rules_that_may_not_be_read_freeze_their_directory() {
    let shelf = TheirShelf::with_files(FILES);
    shelf.shelf.write("open/.shelflistignore", "*.secret\n");
    shelf.shelf.write("open/diary.secret", "nobody's business");
    shelf.shelf.write("open/below/letters.secret", "neither");
    assert_counts(&shelf.scan(0), &[("new", 6), ("excluded", 2)]);
    let before = state::files(&shelf.shelf.desk.home());
    shelf.mode("open/.shelflistignore", 0o000);
    shelf.shelf.write("d.txt", "delta, revised");
    let report = shelf.scan(3);
    assert_counts(&report, &[("new", 0), ("modified", 1), ("missing", 0), ("hashed_files", 1)]);
    assert_eq!(report["frozen_dirs"], json!(["open"]));
    let problem = &report["problems"][0];
    assert_eq!((&problem["path"], &problem["kind"]), (&json!("open"), &json!("bad-rule")));
    assert!(problem["message"].as_str().unwrap().contains("rule file"), "{problem}");
    assert_eq!(shelf.status()["files"]["unknown"], 3);
    shelf.mode("open/.shelflistignore", 0o644);
    assert_counts(&shelf.scan(0), &[("new", 0), ("excluded", 2), ("restored", 3)]);
    assert_eq!(state::files(&shelf.shelf.desk.home()).len(), before.len());
}

/// Mounts something over a directory of a scanned library by `mount`, scans, unmounts by `unmount`, scans.
fn cover_a_directory(mount: impl FnOnce(&mut Shelf, &Path), unmount: impl FnOnce(&mut Shelf)) {
    let mut shelf = Shelf::with_files(FILES);
    shelf.desk.scan();
    let before = state::files(&shelf.desk.home());
    let closed = shelf.root().join("closed");
    mount(&mut shelf, &closed);

    let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    assert_counts(&report, NOTHING_ELSE);
    assert_eq!((&report["frozen_dirs"], &report["complete"]), (&json!(["closed"]), &json!(false)));
    assert_eq!(report["problems"][0]["kind"], "other-file-system");
    assert_eq!(shelf.status()["files"], json!({ "present": 3, "missing": 0, "unknown": 2, "excluded": 0 }));
    assert_eq!(
        state::files(&shelf.desk.home()).len(),
        before.len(),
        "nothing of what is mounted is catalogued"
    );

    unmount(&mut shelf);
    let report = shelf.desk.scan();
    assert_counts(&report, NOTHING_ELSE);
    assert_counts(&report, &[("restored", 2)]);
    assert_eq!(state::files(&shelf.desk.home()), before);
    assert_eq!(shelf.status()["problems"], 0);
}

fn other_disk() -> LoopDisk {
    let mut other = LoopDisk::ext4("OTHER");
    let point = tempfile::tempdir().unwrap();
    other.mount_at(point.path());
    write(point.path(), "b.txt", "another beta");
    write(point.path(), "theirs.txt", "a file of the other disk");
    other.unmount();
    other
}

// D2, D4
pub(crate) fn a_disk_mounted_over_a_catalogued_directory_hides_its_files_only() {
    let other = RefCell::new(other_disk());
    cover_a_directory(|_, closed| other.borrow_mut().mount_at(closed), |_| other.borrow_mut().unmount());
}

// D2, D4: the same device, another mount
pub(crate) fn a_directory_of_the_same_disk_mounted_over_a_catalogued_one_hides_its_files_only() {
    cover_a_directory(
        |shelf, closed| {
            write(&shelf.point(), "beside/b.txt", "beside the library");
            let beside = shelf.point().join("beside");
            shelf.disk.bind(&beside, closed);
        },
        |shelf| shelf.disk.unmount(),
    );
}

/// Mounts something in an empty directory of the library by `mount` before the first scan.
fn nest(mount: impl FnOnce(&mut Shelf, &Path), unmount: impl FnOnce(&mut Shelf)) {
    let mut shelf = Shelf::with_files(FILES);
    let nested = shelf.root().join("nested");
    fs::create_dir(&nested).unwrap();
    mount(&mut shelf, &nested);
    for _ in 0..2 {
        let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
        assert_eq!(report["frozen_dirs"], json!(["nested"]));
        assert_eq!(report["problems"][0]["kind"], "other-file-system");
        assert_eq!(state::files(&shelf.desk.home()).len(), FILES.len());
    }
    unmount(&mut shelf);
    let report = shelf.desk.scan();
    assert_counts(&report, NOTHING_ELSE);
    assert_counts(&report, &[("unchanged", FILES.len() as u64), ("restored", 0)]);
    assert_eq!((&report["frozen_dirs"], &report["complete"]), (&json!([]), &json!(true)));
    assert_eq!(shelf.status()["problems"], 0);
}

// D2, D4
pub(crate) fn a_disk_mounted_inside_the_library_is_not_part_of_it() {
    let other = RefCell::new(other_disk());
    nest(|_, nested| other.borrow_mut().mount_at(nested), |_| other.borrow_mut().unmount());
}

// D2, D4: its files would all be missing on the day when it is not mounted
pub(crate) fn a_directory_of_the_same_disk_mounted_inside_the_library_is_not_part_of_it() {
    nest(
        |shelf, nested| {
            write(&shelf.point(), "beside/b.txt", "beside the library");
            let beside = shelf.point().join("beside");
            shelf.disk.bind(&beside, nested);
        },
        |shelf| shelf.disk.unmount(),
    );
}

// D2: as containers do it with single files
pub(crate) fn a_file_mounted_over_a_catalogued_one_is_not_believed() {
    let mut shelf = Shelf::with_files(FILES);
    shelf.desk.scan();
    let before = state::files(&shelf.desk.home());
    let beside = shelf.desk.path("beside.txt");
    fs::write(&beside, "from elsewhere").unwrap();
    let place = shelf.root().join("open/a.txt");
    shelf.disk.bind(&beside, &place);
    let report = shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    assert_counts(&report, NOTHING_ELSE);
    assert_eq!(
        (&report["problems"][0]["path"], &report["problems"][0]["kind"]),
        (&json!("open/a.txt"), &json!("other-file-system"))
    );
    assert_eq!(state::files(&shelf.desk.home()), before);
    shelf.disk.unmount();
    assert_counts(&shelf.desk.scan(), NOTHING_ELSE);
    assert_eq!(shelf.status()["problems"], 0);
}

// L13, L5: the questions about what nobody could look at, and its history
pub(crate) fn what_could_not_be_looked_at_is_explained_and_has_its_history() {
    let shelf = TheirShelf::with_files(FILES);
    shelf.mode("open/a.txt", 0o000);
    shelf.scan(3);
    shelf.mode("closed", 0o000);
    shelf.scan(3);
    let ask = |command: &str, path: &str| shelf.run(&[command, path, "--json"]).expect(0).json();
    let history = |path: &str| -> Vec<(String, Value)> {
        let events = ask("history", path)["events"].take();
        let told = |event: &Value| (event["what"].as_str().unwrap().to_owned(), event["after"].clone());
        events.as_array().unwrap().iter().map(told).collect()
    };

    let below = ask("explain", "closed/deep/c.txt");
    assert_eq!(below["presence"]["state"], "unknown");
    assert_eq!(below["presence"]["evidence"], "permission");
    assert_eq!(below["frozen_dir"]["path"], "closed");
    assert!(below["frozen_dir"]["since"].is_string());
    assert_eq!(
        (&below["said_by"]["scan"]["outcome"], &below["said_by"]["root_then"]),
        (&json!("partial"), &json!("available"))
    );
    let nobody_knows = ask("explain", "closed/never/seen.txt");
    assert!(nobody_knows["places"][0]["why"].as_str().unwrap().contains("closed cannot be listed since"));

    // Met by a first scan, before the file had a row.
    let unread = ask("explain", "open/a.txt");
    assert_eq!((&unread["status"], &unread["problems"][0]["kind"]), (&json!("error"), &json!("permission")));
    assert_eq!(unread["last_look"]["read_at"], Value::Null);
    assert_eq!(unread["last_look"]["read_because"], json!(["unproved"]), "tried again");
    assert_eq!(history("open/a.txt")[1], ("problem".to_owned(), json!("permission")));

    shelf.mode("closed", 0o755);
    shelf.mode("open/a.txt", 0o644);
    shelf.scan(0);
    assert_eq!(
        history("closed/b.txt")[1..],
        [("presence".to_owned(), json!("unknown")), ("presence".to_owned(), json!("present"))]
    );
    let told = history("open/a.txt");
    let trouble: Vec<&Value> =
        told.iter().filter(|(what, _)| what == "problem").map(|(_, after)| after).collect();
    assert_eq!(trouble, [&json!("permission"), &Value::Null], "its end: {told:?}");
    let events = ask("history", "open/a.txt")["events"].take();
    let content = events.as_array().unwrap().iter().find(|event| event["what"] == "content").unwrap();
    assert_eq!((&content["before"], &content["status"]), (&Value::Null, &json!("pending")));
}
