//! A disk that takes what it is asked and never answers. The kernel lets go of nobody who asked, not of a killed process
//! either: so what is tested is that the program ends all the same, in time, with its lock free, and that nobody joins who
//! is stuck.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::broken::{ALL, BrokenShelf, counts};
use crate::common::broken_disk::{Behaviour, BrokenDisk, Call};
use crate::common::desk::{Desk, Ran};
use crate::common::{state, wait};

/// What the tests allow a disk.
const DEADLINE: Duration = Duration::from_millis(300);
/// The deadline, a second for the stuck process to be gone, which it is not, and a busy computer.
const IN_TIME: Duration = Duration::from_secs(10);

fn allow(shelf: &BrokenShelf, deadline: Duration) {
    shelf.desk.run(&["config", "set", "probe.deadline_ms", &deadline.as_millis().to_string()]).expect(0);
}

/// Runs it, which has to come to an end soon.
#[track_caller]
fn run_in_time(shelf: &BrokenShelf, args: &[&str]) -> Ran {
    let begun = Instant::now();
    let ran = shelf.desk.run(args);
    assert!(begun.elapsed() < IN_TIME, "{args:?} took {:?}: {ran:?}", begun.elapsed());
    ran
}

/// While somebody is stuck there, every command has its answer and asks nothing of the disk.
#[track_caller]
fn expect_nobody_joins(shelf: &BrokenShelf) {
    let asked = shelf.disk.asked();
    for args in [&["scan"][..], &["scan", "--path", "b"]] {
        let told = shelf.desk.run(args).expect(7);
        assert!(told.stdout.contains("degraded(hung)"), "{told:?}");
    }
    let told = shelf.desk.run(&["sync"]).expect(3);
    assert!(told.stdout.contains("degraded(hung)"), "{told:?}");
    let listed = shelf.desk.json(&["library", "list"]);
    assert_eq!(listed["libraries"][0]["availability"]["reason"], "hung");
    let status = shelf.desk.json(&["status"]);
    assert_eq!(status["libraries"][0]["availability"]["reason"], "hung");
    shelf.desk.run(&["find", "book"]).expect(0);
    shelf.desk.run(&["show", shelf.root().join("a/file-00.txt").to_str().unwrap()]);
    assert_eq!(shelf.disk.asked(), asked, "nobody touched the disk");
}

/// It answers again: whoever was stuck is gone a moment later, and everything is as before.
#[track_caller]
fn expect_recovers(shelf: &BrokenShelf) {
    shelf.disk.set(Behaviour::Answers);
    allow(shelf, wait::LONG);
    wait::until("the stuck process to be gone", || shelf.desk.run(&["scan"]).code == 0);
    assert_eq!(shelf.files(), counts(ALL, 0));
}

// L2, D1: at the probe
pub(crate) fn a_look_at_a_disk_that_hangs_ends_and_nobody_joins_who_is_stuck() {
    let shelf = BrokenShelf::scanned();
    let before = state::of_catalogue(&shelf.desk.home());
    for command in [&["scan", "--json"][..], &["status", "--json"], &["library", "list", "--json"]] {
        allow(&shelf, DEADLINE);
        shelf.disk.set(Behaviour::Swallows);
        let ran = run_in_time(&shelf, command).expect(if command[0] == "scan" { 7 } else { 0 });
        assert_eq!(ran.json()["libraries"][0]["availability"]["reason"], "hung", "{command:?}");
        assert_eq!(shelf.disk.swallowed(), 1, "{command:?}: somebody is stuck");
        expect_nobody_joins(&shelf);
        expect_recovers(&shelf);
    }
    state::assert_same(&state::of_catalogue(&shelf.desk.home()), &before, "nothing was concluded");
}

// L1, D8: and no library is made of what does not answer
pub(crate) fn a_disk_that_hangs_is_made_no_library_of_and_lets_the_program_go() {
    let desk = Desk::with_files(&[]);
    desk.run(&["config", "set", "probe.deadline_ms", "300"]).expect(0);
    let point = desk.path("disk");
    std::fs::create_dir(&point).unwrap();
    let disk = BrokenDisk::mount_at(&point, &[("lib/book.txt", b"a book")]);
    disk.set(Behaviour::Swallows);
    let begun = Instant::now();
    let ran = desk.run(&["init", point.join("lib").to_str().unwrap()]).expect(1);
    assert!(begun.elapsed() < IN_TIME && ran.stderr.contains("did not answer"), "{ran:?}");
    assert!(ran.stderr.contains("its cable"), "L3: what to do: {ran:?}");
    // Who comes next asks nothing of it.
    let asked = disk.asked();
    desk.run(&["init", point.join("lib").to_str().unwrap()]).expect(1);
    assert_eq!(disk.asked(), asked);
}

// L2, D1, T5: while text is read
pub(crate) fn a_disk_that_hangs_while_text_is_read_is_left_and_nothing_is_held_against_its_files() {
    for call in [Call::Open, Call::Read] {
        let shelf = BrokenShelf::scanned();
        allow(&shelf, DEADLINE);
        shelf.desk.run(&["config", "set", "extract.timeout_ms", "500"]).expect(0);
        shelf.disk.set(Behaviour::SwallowsAt(call, shelf.disk.number_of("lib/b/file-07.txt")));
        let ran = run_in_time(&shelf, &["sync"]).expect(3);
        assert!(ran.stdout.contains("degraded(hung)"), "{call:?}: {ran:?}");
        let failed: i64 = shelf.desk.sql("SELECT count(*) FROM enrichments WHERE outcome <> 'extracted'");
        assert_eq!((failed, shelf.files()), (0, counts(ALL, 0)), "{call:?}");
        expect_nobody_joins(&shelf);
        expect_recovers(&shelf);
        shelf.desk.run(&["sync"]).expect(0);
        let extracted: i64 = shelf.desk.sql("SELECT count(*) FROM enrichments WHERE outcome = 'extracted'");
        assert_eq!((extracted.cast_unsigned(), shelf.files()), (ALL, counts(ALL, 0)), "{call:?}");
    }
}

// L2, T5: while originals are sent
pub(crate) fn a_disk_that_hangs_while_it_is_sent_is_left_and_no_operation_is_blamed() {
    for call in [Call::Open, Call::Read] {
        let shelf = BrokenShelf::scanned();
        shelf.desk.run(&["sync"]).expect(0);
        shelf.desk.add_mirror("original");
        allow(&shelf, DEADLINE);
        shelf.disk.set(Behaviour::SwallowsAt(call, shelf.disk.number_of("lib/b/file-07.txt")));
        let ran = run_in_time(&shelf, &["sync"]).expect(3);
        assert!(ran.stdout.contains("degraded(hung)"), "{call:?}: {ran:?}");
        let blamed = "SELECT count(*) FROM outbox WHERE attempts > 0 OR state IN ('leased', 'dead')";
        assert_eq!(shelf.desk.sql::<i64>(blamed), 0, "{call:?}");
        expect_nobody_joins(&shelf);
        expect_recovers(&shelf);
        // What could not be read from its disk is not tried again at once.
        shelf.desk.execute("UPDATE outbox SET not_before = 0");
        shelf.desk.run(&["sync"]).expect(0);
        assert_eq!(shelf.desk.objects().len() as u64, ALL, "{call:?}");
    }
}

/// A scan that comes upon a place that hangs ends in time, concludes nothing and keeps what it had.
#[track_caller]
fn expect_scan_is_left(shelf: &BrokenShelf, args: &[&str], context: &str) -> Value {
    let ran = run_in_time(shelf, args).expect(7);
    let report = ran.json()["libraries"][0].take();
    assert_eq!(report["availability"], json!({ "state": "degraded", "reason": "hung" }), "{context}");
    assert_eq!((&report["complete"], &report["missing"]), (&json!(false), &json!(0)), "{context}");
    let outcome: String = shelf.desk.sql("SELECT outcome FROM scans ORDER BY scan_id DESC LIMIT 1");
    assert_eq!(outcome, "root-lost", "{context}");
    let known: String = shelf.desk.sql("SELECT reason FROM libraries");
    assert_eq!(known, "hung", "{context}: written down");
    report
}

// L2, D1, D3, D4: while a directory is listed, a file is opened, a file is read
pub(crate) fn a_scan_that_comes_upon_what_hangs_is_left_in_time_and_concludes_nothing() {
    for (call, path) in [
        (Call::List, "lib"),
        (Call::List, "lib/b"),
        (Call::List, "lib/d/e"),
        (Call::Open, "lib/b/file-07.txt"),
        (Call::Read, "lib/d/e/file-19.txt"),
    ] {
        let context = format!("{call:?} {path}");
        for scanned_before in [false, true] {
            let shelf = if scanned_before { BrokenShelf::scanned() } else { BrokenShelf::new() };
            allow(&shelf, DEADLINE);
            let before = state::of_catalogue(&shelf.desk.home());
            // The probe lists the root, too: it hangs there only once it was verified.
            shelf.disk.set_once_verified(Behaviour::SwallowsAt(call, shelf.disk.number_of(path)));
            let full =
                if call == Call::List { &["scan", "--json"][..] } else { &["scan", "--full", "--json"] };
            let report = expect_scan_is_left(&shelf, full, &context);
            let files = shelf.files();
            if scanned_before {
                assert_eq!(files, counts(ALL, 0), "{context}");
                state::assert_same(&state::of_catalogue(&shelf.desk.home()), &before, &context);
            } else {
                assert!(files["present"].as_u64() <= report["hashed_files"].as_u64(), "{context}: {files}");
            }
            if scanned_before {
                expect_nobody_joins(&shelf);
            }
            expect_recovers(&shelf);
        }
    }
}

// L2: of two libraries one hangs
pub(crate) fn a_disk_that_hangs_holds_up_no_other() {
    let shelf = BrokenShelf::new();
    shelf.desk.write("one.txt", "a text on another disk");
    shelf.desk.run(&["init", shelf.desk.library().to_str().unwrap(), "--name", "other"]).expect(0);
    allow(&shelf, DEADLINE);
    shelf.disk.set(Behaviour::SwallowsAt(Call::List, shelf.disk.number_of("lib/b")));
    let ran = run_in_time(&shelf, &["sync", "--json"]).expect(3).json();
    let [books, other] = ran["libraries"].as_array().unwrap().as_slice() else { panic!("{ran}") };
    assert_eq!((&books["availability"]["reason"], &books["complete"]), (&json!("hung"), &json!(false)));
    assert_eq!((&other["complete"], &other["new"], &ran["enriched"]), (&json!(true), &json!(1), &json!(1)));
    run_in_time(&shelf, &["scan"]).expect(3);
    expect_recovers(&shelf);
}

// L2, D5: the rules above the part that is asked for are read before the walk begins
pub(crate) fn a_scan_of_a_part_whose_rules_hang_is_left_in_time() {
    let shelf = BrokenShelf::scanned();
    allow(&shelf, DEADLINE);
    shelf.disk.set(Behaviour::SwallowsAt(Call::Lookup, shelf.disk.number_of("lib/b")));
    expect_scan_is_left(&shelf, &["scan", "--path", "b/c", "--json"], "rules");
    expect_nobody_joins(&shelf);
    expect_recovers(&shelf);
}

// L2: slow is not hung
pub(crate) fn a_scan_of_a_disk_that_is_slow_with_every_answer_goes_on() {
    let shelf = BrokenShelf::scanned();
    // One directory takes longer than one answer may, all of them many times as long.
    let deadline = Duration::from_secs(1);
    allow(&shelf, deadline);
    shelf.disk.set(Behaviour::LooksUpSlowly(Duration::from_millis(40)));
    let begun = Instant::now();
    let report = shelf.desk.scan();
    assert!(begun.elapsed() > deadline * 4, "{:?}", begun.elapsed());
    assert_eq!((&report["complete"], &report["unchanged"]), (&json!(true), &json!(ALL)));
}

// L2, L12: nobody waits for the deadline who does not want to
pub(crate) fn a_scan_on_a_disk_that_hangs_is_left_by_pressing_ctrl_c_once() {
    let shelf = BrokenShelf::new();
    allow(&shelf, Duration::from_secs(600));
    shelf.disk.set(Behaviour::SwallowsAt(Call::Read, shelf.disk.number_of("lib/d/e/file-19.txt")));
    let mut scan = shelf.desk.command(&["scan"]);
    let mut scan = scan.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    wait::until("somebody to be stuck", || shelf.disk.swallowed() > 0);
    wait::signal(&scan, Signal::INT);
    assert_eq!(wait::until_ended(&mut scan).code(), Some(130));
    let outcome: String = shelf.desk.sql("SELECT outcome FROM scans ORDER BY scan_id DESC LIMIT 1");
    assert_eq!(outcome, "interrupted");
    assert!(shelf.files()["present"].as_u64() > Some(0), "what was done is kept");
    expect_recovers(&shelf);
}
