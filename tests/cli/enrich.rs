//! Reading text by itself.

use serde_json::{Value, json};

use crate::desk::Desk;

fn desk() -> Desk {
    let desk = Desk::with_files(&[
        ("a.txt", "alpha"),
        ("b.md", "# Beta\n\ntext"),
        ("c.bin", "\u{1}\u{2}\0\0\0"),
        ("broken.pdf", "%PDF-1.4\nbroken"),
    ]);
    desk.scan();
    desk
}

/// Read, of no known type, failed.
fn did(report: &Value) -> [u64; 3] {
    ["enriched", "unsupported", "failed"].map(|key| report[key].as_u64().unwrap())
}

fn enrich(desk: &Desk, args: &[&str], code: i32) -> Value {
    desk.run(&[&["enrich"], args, &["--json"]].concat()).expect(code).json()
}

// E1, E2
#[test]
fn enrich_reads_what_waits_once_and_sends_nothing() {
    let desk = desk();
    desk.add_mirror("enriched");
    let report = enrich(&desk, &[], 3);
    assert_eq!(did(&report), [2, 1, 1]);
    assert_eq!((&report["waiting_for_disk"], &report["interrupted"]), (&json!(0), &json!(false)));
    assert_eq!(report["problems"][0]["path"], "broken.pdf");
    assert_eq!(report["libraries"][0]["availability"]["state"], "available");
    assert_eq!(desk.objects().len(), 0);
    assert_eq!(desk.json(&["find", "beta"])["total"], 1, "it can be found");
    let again = enrich(&desk, &[], 0);
    assert_eq!(did(&again), [0, 0, 0], "also what failed is not tried again");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 2);
}

// E1
#[test]
fn a_kind_is_read_and_the_rest_waits() {
    let desk = desk();
    assert_eq!(did(&enrich(&desk, &["--kind", "markdown"], 0)), [1, 0, 0]);
    assert_eq!(did(&enrich(&desk, &["--kind", "application/pdf"], 3)), [0, 0, 1]);
    assert_eq!(did(&enrich(&desk, &["--kind", "image", "--kind", "audio/*"], 0)), [0, 0, 0]);
    assert_eq!(
        did(&enrich(&desk, &["--kind", "text"], 0)),
        [1, 0, 0],
        "Markdown, of the same family, is read"
    );
    assert_eq!(did(&enrich(&desk, &[], 0)), [0, 1, 0]);
    let refused = desk.run(&["enrich", "--kind", "pfd"]).expect(2);
    assert!(refused.stderr.contains("pfd") && refused.stderr.contains("epub"), "{refused:?}");
}

// E2
#[test]
fn a_redo_reads_its_kind_again_failures_too_and_sends_nothing_that_is_the_same() {
    let desk = desk();
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(3);
    assert_eq!(did(&enrich(&desk, &["--redo", "--kind", "pdf"], 3)), [0, 0, 1]);
    assert_eq!(did(&enrich(&desk, &[], 0)), [0, 0, 0], "nothing else was marked");
    assert_eq!(did(&enrich(&desk, &["--redo"], 3)), [2, 1, 1]);
    assert_eq!(did(&enrich(&desk, &[], 0)), [0, 0, 0]);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
}

// D10, L3
#[test]
fn what_waits_for_its_disk_is_counted_and_not_touched() {
    let desk = desk();
    std::fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    let report = enrich(&desk, &[], 7);
    assert_eq!((did(&report), &report["waiting_for_disk"]), ([0, 0, 0], &json!(4)));
    let ran = desk.run(&["enrich"]).expect(7);
    assert!(ran.stdout.contains("4 documents wait for a disk"), "{ran:?}");
    let redone = enrich(&desk, &["--redo"], 7);
    assert_eq!(redone["waiting_for_disk"], 4, "nothing is marked that cannot be read");
    std::fs::rename(desk.path("unplugged"), desk.library()).unwrap();
    desk.run(&["enrich"]).expect(3);
    std::fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    assert_eq!(enrich(&desk, &["--redo"], 0)["waiting_for_disk"], 0, "nothing needs the disk");
}

// E1: one library's documents, and not the other's
#[test]
fn a_library_that_is_named_is_the_only_one_read() {
    let desk = desk();
    let other = desk.path("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("z.txt"), "zeta").unwrap();
    desk.run(&["init", other.to_str().unwrap(), "--name", "other"]).expect(0);
    desk.run(&["scan", "other"]).expect(0);
    assert_eq!(did(&enrich(&desk, &["other"], 0)), [1, 0, 0]);
    assert_eq!(did(&enrich(&desk, &[], 3)), [2, 1, 1]);
}

// L12, T3
#[test]
fn a_second_run_at_the_same_time_is_told_to_wait() {
    let desk = desk();
    let lock = std::fs::File::create(desk.home().join("run.lock")).unwrap();
    lock.lock().unwrap();
    desk.run(&["enrich"]).expect(4);
}
