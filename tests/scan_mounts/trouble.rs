//! One place of the disk is in trouble, in every way that a disk has. About that place nothing is concluded; everywhere else
//! what is new, changed and gone is found as on any day; and when the trouble is over, what happened meanwhile is found, too.

use serde_json::{Value, json};

use crate::broken::{ALL, BrokenShelf, FILES_EACH};
use crate::common::broken_disk::{Behaviour, EACCES, EIO, Question};
use crate::common::state;

/// A scan that meets trouble: exit code 3.
#[track_caller]
fn scan(shelf: &BrokenShelf) -> Value {
    shelf.desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take()
}

/// The frozen directories, and since when, by the status.
fn frozen(shelf: &BrokenShelf) -> Vec<(String, String)> {
    let status = shelf.desk.json(&["status"])["libraries"][0].take();
    let dirs = status["frozen_dirs"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    dirs.iter().map(|dir| (text(&dir["path"]), text(&dir["since"]))).collect()
}

fn presence(shelf: &BrokenShelf, path: &str) -> String {
    state::files(&shelf.desk.home())[path].0.clone()
}

#[track_caller]
fn assert_counts(report: &Value, expected: &[(&str, u64)]) {
    for (count, expected) in expected {
        assert_eq!(report[*count], *expected, "{count}: {report:#}");
    }
}

// D1, D4, L3: what can be known of the rest is known
pub(crate) fn trouble_at_one_place_stops_nothing_elsewhere() {
    let ways: [(&str, &dyn Fn(u64) -> Behaviour); 6] = [
        ("stat", &|of| Behaviour::FailsAt { question: Question::Stat, of, error: EIO }),
        ("open", &|of| Behaviour::FailsAt { question: Question::Open, of, error: EIO }),
        ("list", &|of| Behaviour::FailsAt { question: Question::Read, of, error: EIO }),
        ("stat, not allowed", &|of| Behaviour::FailsAt { question: Question::Stat, of, error: EACCES }),
        ("open, not allowed", &|of| Behaviour::FailsAt { question: Question::Open, of, error: EACCES }),
        ("breaks off", &|dir| Behaviour::BreaksOffListing { dir, after: 0 }),
    ];
    for (way, behaviour) in ways {
        let shelf = BrokenShelf::scanned();
        let disk = &shelf.disk;
        // What happens meanwhile: elsewhere, and where nobody can look.
        disk.put("lib/a/new.txt", b"a new one");
        disk.put("lib/d/file-01.txt", b"revised");
        disk.put("lib/d/e/file-02.txt", b"lib/d/E/file-02.txt");
        disk.remove("lib/a/file-03.txt");
        disk.put("lib/b/hidden.txt", b"new where nobody looks");
        disk.put("lib/b/c/file-01.txt", b"revised where nobody looks");
        disk.remove("lib/b/c/file-04.txt");
        disk.set(behaviour(disk.number_of("lib/b")));

        let report = scan(&shelf);
        assert_counts(&report, &[("new", 1), ("modified", 2), ("missing", 1), ("hashed_files", 3)]);
        assert_eq!((&report["frozen_dirs"], &report["complete"]), (&json!(["b"]), &json!(false)), "{way}");
        assert_eq!(report["problems"].as_array().unwrap().len(), 1, "{way}: {report:#}");
        assert_eq!(report["problems"][0]["path"], "b", "{way}");
        let kind = if way.ends_with("not allowed") { "permission" } else { "read-error" };
        assert_eq!(report["problems"][0]["kind"], kind, "{way}");
        let since = frozen(&shelf);
        assert_eq!(since.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["b"], "{way}");
        for path in ["b/c/file-01.txt", "b/c/file-04.txt"] {
            assert_eq!(presence(&shelf, path), "unknown", "{way}: {path}");
        }
        assert_eq!(presence(&shelf, "a/file-03.txt"), "missing");
        assert_eq!(shelf.files()["missing"], 1, "{way}");
        assert_eq!(shelf.files()["unknown"], 2 * FILES_EACH, "{way}");
        let told = shelf.desk.run(&["scan"]).expect(3);
        assert!(told.stdout.contains("could not look into b"), "{way}: {told:?}");
        // Again and again: the date stays, and nothing is read twice.
        let report = scan(&shelf);
        assert_counts(&report, &[("new", 0), ("modified", 0), ("missing", 0), ("hashed_files", 0)]);
        assert_eq!(frozen(&shelf), since, "{way}");

        disk.set(Behaviour::Answers);
        let report = shelf.desk.scan();
        assert_eq!((&report["complete"], &report["frozen_dirs"]), (&json!(true), &json!([])), "{way}");
        assert_counts(&report, &[("new", 1), ("modified", 1), ("missing", 1), ("hashed_files", 2)]);
        assert_eq!((frozen(&shelf), &shelf.files()["unknown"]), (vec![], &json!(0)), "{way}");
        assert_eq!(shelf.files()["present"], ALL, "{way}");
    }
}

// D1, D9: no file's trouble is the directory's, or makes it missing
pub(crate) fn trouble_with_one_file_is_a_problem_of_that_file() {
    for question in [Question::Stat, Question::Open, Question::Read] {
        for error in [EIO, EACCES] {
            let context = format!("{question:?} fails with {error}");
            let shelf = BrokenShelf::scanned();
            let disk = &shelf.disk;
            let before = state::files(&shelf.desk.home());
            // Both have to be read: one that is known, one that is not.
            disk.put("lib/b/file-03.txt", b"revised");
            disk.put("lib/b/later.txt", b"another new one");
            disk.remove("lib/b/file-07.txt");
            disk.set(Behaviour::FailsAt { question, of: disk.number_of("lib/b/file-03.txt"), error });
            for round in 0..2 {
                let report = scan(&shelf);
                let first = u64::from(round == 0);
                assert_counts(
                    &report,
                    &[("new", first), ("modified", 0), ("missing", first), ("hashed_files", first)],
                );
                assert_eq!(report["frozen_dirs"], json!([]), "{context}");
                let problem = &report["problems"][0];
                let kind = if error == EIO { "read-error" } else { "permission" };
                assert_eq!(
                    (&problem["path"], &problem["kind"]),
                    (&json!("b/file-03.txt"), &json!(kind)),
                    "{context}"
                );
                let (_, hash) = &state::files(&shelf.desk.home())["b/file-03.txt"];
                assert_eq!(hash, &before["b/file-03.txt"].1, "{context}: what was proved stands");
            }
            // Seen to be there, or not even that.
            let expected = if question == Question::Stat { "unknown" } else { "present" };
            assert_eq!(presence(&shelf, "b/file-03.txt"), expected, "{context}");
            assert_eq!(presence(&shelf, "b/file-07.txt"), "missing", "{context}");
            disk.set(Behaviour::Answers);
            let report = shelf.desk.scan();
            assert_counts(&report, &[("modified", 1), ("missing", 0), ("hashed_files", 1)]);
            assert_eq!(shelf.files()["present"], ALL, "{context}");
            assert_eq!(shelf.desk.json(&["status"])["libraries"][0]["problems"], 0, "{context}");
        }
    }
}

// D1, D4: listed as a name, and not to be looked at when its turn comes
pub(crate) fn a_directory_that_turns_into_trouble_during_the_scan_is_frozen() {
    for reads in 1..12 {
        let shelf = BrokenShelf::scanned();
        let disk = &shelf.disk;
        disk.remove("lib/d/e/file-02.txt");
        disk.put("lib/a/new.txt", b"a new one");
        let of = disk.number_of("lib/d");
        disk.set_after(reads, Behaviour::FailsAt { question: Question::Open, of, error: EIO });
        let report = shelf.desk.run(&["scan", "--json"]).json()["libraries"][0].take();
        let was_in_time = report["complete"] == true;
        assert_eq!(report["new"], 1, "after {reads}: {report:#}");
        assert_eq!(report["missing"], u64::from(was_in_time), "after {reads}: {report:#}");
        assert_eq!(
            report["frozen_dirs"],
            if was_in_time { json!([]) } else { json!(["d"]) },
            "after {reads}"
        );
        disk.set(Behaviour::Answers);
        assert_counts(&shelf.desk.scan(), &[("new", 0), ("missing", u64::from(!was_in_time))]);
        assert_eq!(shelf.files(), json!({ "present": ALL, "missing": 1, "unknown": 0, "excluded": 0 }));
    }
}

/// `ENOENT`.
const ENOENT: i32 = 2;

// D1, D4, D9: listed, and gone when its turn comes; it may be on its way to another place that was listed before
pub(crate) fn what_vanishes_between_two_looks_is_not_missing_yet() {
    for question in [Question::Stat, Question::Open] {
        for path in ["lib/b/file-03.txt", "lib/b/c"] {
            let context = format!("{path} at {question:?}");
            let shelf = BrokenShelf::scanned();
            let disk = &shelf.disk;
            let before = state::files(&shelf.desk.home());
            if path.ends_with(".txt") {
                disk.put(path, b"revised");
            }
            disk.set(Behaviour::FailsAt { question, of: disk.number_of(path), error: ENOENT });
            let ran = shelf.desk.run(&["scan", "--json"]);
            let report = ran.json()["libraries"][0].take();
            assert_counts(&report, &[("new", 0), ("modified", 0), ("missing", 0)]);
            // Of a directory that does not open nobody knows what is below; a file is just looked at again next time.
            let frozen =
                if (question, path) == (Question::Open, "lib/b/c") { json!(["b/c"]) } else { json!([]) };
            assert_eq!(
                (&report["frozen_dirs"], ran.code == 0),
                (&frozen, frozen == json!([])),
                "{context}: {report:#}"
            );
            let after = state::files(&shelf.desk.home());
            let gone = after.values().filter(|(presence, _)| presence == "missing").count();
            assert_eq!((gone, after.len()), (0, before.len()), "{context}");

            // It was on its way out.
            disk.remove(path);
            disk.set(Behaviour::Answers);
            let missing = if path.ends_with(".txt") { 1 } else { FILES_EACH as u64 };
            assert_counts(&shelf.desk.scan(), &[("missing", missing), ("modified", 0)]);
            assert_eq!(shelf.files()["unknown"], 0, "{context}");
        }
    }
}
