//! The power is cut after every step; the next run finishes what was begun.

#![cfg(feature = "failpoints")]

use serde_json::json;

use crate::desk::Desk;

const STEPS: &[&str] = &[
    "push-leased",
    "push-planned",
    "push-uploading",
    "push-sent",
    "push-uploaded",
    "push-verified",
    "push-searchable",
    "push-current",
];

fn cut(desk: &Desk, args: &[&str], point: &str) {
    let ran = desk.command(args).env("FAILPOINTS", format!("{point}=return")).output().unwrap();
    // The worker was killed, and the supervisor says so as a shell does.
    assert_eq!(ran.status.code(), Some(128 + 9), "{point}: {ran:?}");
}

fn texts(desk: &Desk) -> Vec<String> {
    let mut texts: Vec<String> = desk
        .objects()
        .values()
        .map(|content| String::from_utf8_lossy(content).rsplit("---\n").next().unwrap().trim().to_owned())
        .collect();
    texts.sort();
    texts
}

// T3, T2: the first upload
#[test]
fn a_first_upload_that_is_cut_off_anywhere_is_finished_by_the_next_run() {
    for point in STEPS {
        let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
        desk.add_mirror("enriched");
        cut(&desk, &["sync"], point);
        desk.run(&["sync"]).expect(0);
        assert_eq!(texts(&desk), ["alpha", "beta"], "{point}");
        let current: i64 = desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'current'");
        let all: i64 = desk.sql("SELECT count(*) FROM remote_objects");
        assert_eq!((current, all), (2, 2), "{point}: nothing was begun twice");
        assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0, "{point}");
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state <> 'done'"), 0, "{point}");
    }
}

// T3, T2: the replacement
#[test]
fn a_replacement_that_is_cut_off_anywhere_never_leaves_the_store_without_the_document() {
    for point in STEPS {
        let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
        desk.add_mirror("enriched");
        desk.run(&["sync"]).expect(0);
        desk.write("a.txt", "alpha, revised");
        cut(&desk, &["sync"], point);
        assert!(texts(&desk).contains(&"alpha".to_owned()), "{point}: the old one is there");
        assert_eq!(
            desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"),
            2,
            "{point}"
        );
        desk.run(&["sync"]).expect(0);
        assert_eq!(texts(&desk), ["alpha", "alpha, revised", "beta"], "{point}");
        assert_eq!(desk.json(&["orphans"])["orphans"].as_array().unwrap().len(), 1, "{point}");
        assert_eq!(
            desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state NOT IN ('current', 'orphaned')"),
            0
        );
        desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
        desk.run(&["orphans", "clean"]).expect(0);
        assert_eq!(texts(&desk), ["alpha, revised", "beta"], "{point}");
    }
}

// T4: edited again while an operation with fixed bytes was cut off
#[test]
fn an_operation_whose_document_changed_after_its_lease_is_superseded() {
    for point in &STEPS[1..6] {
        let desk = Desk::with_files(&[("a.txt", "alpha")]);
        desk.add_mirror("enriched");
        cut(&desk, &["sync"], point);
        desk.write("a.txt", "alpha, revised");
        desk.run(&["sync"]).expect(0);
        assert!(texts(&desk).contains(&"alpha, revised".to_owned()), "{point}");
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state = 'superseded'"), 1, "{point}");
        assert_eq!(
            desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"),
            1,
            "{point}"
        );
        // What may have arrived is an orphan, what was never sent is over.
        desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
        desk.run(&["orphans", "clean"]).expect(0);
        assert_eq!(texts(&desk), ["alpha, revised"], "{point}");
    }
}

// T3: the clean-up
#[test]
fn a_clean_up_that_is_cut_off_is_finished_by_the_next() {
    for point in ["clean-queued", "clean-deleted"] {
        let desk = Desk::with_files(&[("a.txt", "alpha")]);
        desk.add_mirror("enriched");
        desk.run(&["sync"]).expect(0);
        desk.write("a.txt", "alpha, revised");
        desk.run(&["sync"]).expect(0);
        desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
        cut(&desk, &["orphans", "clean"], point);
        // Also a sync goes on with it.
        desk.run(&["sync"]).expect(0);
        assert_eq!(texts(&desk), ["alpha, revised"], "{point}");
        assert_eq!(desk.json(&["orphans"])["orphans"], json!([]), "{point}");
    }
}
