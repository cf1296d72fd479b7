//! `--wait`: who stays until the queue has drained.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::desk::{Desk, Ran};
use crate::wait::{has_said, signal, until, until_ended, until_said};

/// Two documents, read and in line, nothing sent; who is away is asked every second.
fn desk() -> Desk {
    let desk = Desk::with_files(&[("a.txt", "alpha beta"), ("b.txt", "beta gamma")]);
    desk.add_mirror("enriched");
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    desk.run(&["config", "set", "connectivity.interval_ms", "1000"]).expect(0);
    desk
}

fn take_away(desk: &Desk) {
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
}

fn bring_back(desk: &Desk) {
    fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
}

// O2: the queue drains by itself on return
#[test]
fn who_waits_for_a_store_has_its_queue_drained_when_it_is_back() {
    let desk = desk();
    take_away(&desk);
    let mut waiting = desk.command(&["sync", "now", "--wait"]);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until_said(&mut waiting, "mirror is away since ");
    assert_eq!(desk.objects().len(), 0);
    // S7: when it is tried again is known to everybody.
    let store = desk.json(&["sync", "status"])["stores"][0].take();
    assert_eq!(store["state"], "offline");
    assert!(store["next_try_at"].is_string(), "{store}");
    bring_back(&desk);
    let ran: Ran = waiting.wait_with_output().unwrap().into();
    assert!(ran.expect(0).stdout.contains("nothing waits"));
    assert_eq!(desk.objects().len(), 2);
    let store = desk.json(&["sync", "status"])["stores"][0].take();
    assert_eq!((&store["state"], &store["next_try_at"]), (&json!("online"), &json!(null)));
}

// O2: and by a sync that scans once, and then waits
#[test]
fn a_sync_may_wait_too() {
    let desk = desk();
    desk.write("c.txt", "gamma delta");
    let report = desk.json(&["sync", "--wait"]);
    assert_eq!(
        (&report["ended"], &report["uploaded_objects"], &report["libraries"][0]["new"]),
        (&json!("drained"), &json!(3), &json!(1))
    );
    assert_eq!(desk.json(&["sync"])["ended"], json!(null));
    let begun = Instant::now();
    assert_eq!(desk.json(&["sync", "now", "--wait=1h"])["ended"], "drained", "there is nothing to wait for");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

// O2, T5: 5, queued
#[test]
fn when_the_time_is_up_the_store_is_offline_and_the_work_is_queued() {
    let desk = desk();
    take_away(&desk);
    let ran = desk.run(&["sync", "now", "--wait=300ms", "--json"]).expect(5);
    let report = ran.json();
    assert_eq!(
        (&report["ended"], &report["queued"], &report["offline"][0]["code"]),
        (&json!("time_up"), &json!(2), &json!("SHELF-SYNC-001"))
    );
    assert_eq!(ran.stderr, "", "a script hears of it once");
    let ran = desk.run(&["sync", "--wait=300ms"]).expect(5);
    assert!(ran.stdout.contains("mirror: queued, offline: "), "{ran:?}");
    assert_eq!(ran.stderr.matches("mirror is away since").count(), 1, "said once: {ran:?}");
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
    for wrong in ["--wait=0s", "--wait=soon"] {
        let refused = desk.run(&["sync", "now", wrong]).expect(2);
        assert!(refused.stderr.contains("--wait"), "{refused:?}");
    }
}

// O2: nothing can be sent before it was read, and the store is away all the same
#[test]
fn what_waits_for_its_text_is_not_waited_for_and_its_store_is_offline() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    desk.write("new.txt", "not read yet");
    desk.scan();
    take_away(&desk);
    let report = desk.run(&["sync", "now", "--wait", "--json"]).expect(5).json();
    assert_eq!((&report["ended"], &report["queued"]), (&json!("drained"), &json!(1)), "{report}");
    bring_back(&desk);
    desk.run(&["sync", "now", "--wait"]).expect(0);
}

// O2: Ctrl-C is heard in the middle of waiting
#[test]
fn who_has_waited_enough_presses_ctrl_c() {
    let desk = desk();
    desk.run(&["config", "set", "connectivity.interval_ms", "3600000"]).expect(0);
    take_away(&desk);
    // Tried often enough for the next wait to be long.
    desk.execute("UPDATE channels SET state = 'offline', failures = 20, offline_since = 1, error_code = 'SHELF-SYNC-001'");
    let mut waiting = desk.command(&["sync", "now", "--wait", "--json"]);
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it to wait", || desk.sql::<i64>("SELECT failures FROM channels") > 20);
    signal(&waiting, Signal::INT);
    let pressed = Instant::now();
    let stdout = waiting.stdout.take().unwrap();
    assert!(has_said(&mut waiting, "stopping, what was done is kept"));
    assert_eq!(until_ended(&mut waiting).code(), Some(130));
    assert!(pressed.elapsed() < Duration::from_secs(10), "{:?}", pressed.elapsed());
    let report: serde_json::Value = serde_json::from_reader(stdout).unwrap();
    assert_eq!((&report["ended"], &report["queued"]), (&json!("interrupted"), &json!(2)));
}

// S7: what a store refused for good, and what waits for a person, is said by the exit code and not waited for
#[test]
fn what_was_given_up_is_not_waited_for() {
    let desk = desk();
    desk.execute(
        "UPDATE outbox SET state = 'dead', attempts = 5, error_code = 'SHELF-SYNC-004' WHERE seq = 1",
    );
    assert_eq!(desk.json(&["sync", "now", "--wait"])["ended"], "drained");
    assert_eq!(desk.objects().len(), 1);
    desk.run(&["sync", "pause"]).expect(0);
    let paused = desk.run(&["sync", "now", "--wait"]).expect(1);
    assert!(paused.stderr.contains("is paused"), "{paused:?}");
}

// S6, R5: what a full store says is kept, and seen, while nothing of it is tried again
#[test]
fn a_store_that_answers_and_takes_nothing_says_why() {
    let desk = desk();
    // More than can be several operations' own trouble.
    for n in 0..6 {
        desk.write(&format!("{n}.txt"), &format!("text {n}"));
    }
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    // Nothing can be made there, whoever one is.
    fs::remove_dir_all(desk.mirror().join(".tmp")).unwrap();
    fs::write(desk.mirror().join(".tmp"), "in the way").unwrap();
    let ran = desk.run(&["sync", "now", "--wait=300ms", "--json"]);
    assert_eq!(ran.code, 5, "{ran:?}");
    let store = desk.json(&["sync", "status"])["stores"][0].take();
    assert_eq!((&store["state"], &store["code"]), (&json!("offline"), &json!("SHELF-SYNC-002")), "{store}");
    assert!(store["next_try_at"].is_string(), "{store}");
    let text = desk.run(&["sync", "status"]).expect(0).stdout;
    assert!(text.contains("(SHELF-SYNC-002)"), "{text}");
    fs::remove_file(desk.mirror().join(".tmp")).unwrap();
    fs::create_dir(desk.mirror().join(".tmp")).unwrap();
    desk.run(&["sync", "now"]).expect(0);
    let store = desk.json(&["sync", "status"])["stores"][0].take();
    assert_eq!(
        (&store["state"], &store["code"], &store["error"]),
        (&json!("online"), &json!(null), &json!(null))
    );
}

// O2: whichever command needs the store says that it is offline, and ends with 5
#[test]
fn no_command_that_needs_a_store_fails_because_it_is_away() {
    let desk = Desk::with_files(&[("a.txt", "alpha beta")]);
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    desk.write("a.txt", "alpha, edited");
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    desk.write("b.txt", "not sent yet");
    desk.scan();
    take_away(&desk);
    let commands: [&[&str]; 4] = [&["sync"], &["sync", "now"], &["orphans", "clean"], &["store", "check"]];
    for command in commands {
        let failures = || desk.json(&["sync", "status"])["stores"][0]["failures"].as_u64().unwrap();
        let before = failures();
        let ran = desk.run(command).expect(5);
        assert!(ran.stdout.contains("offline") || ran.stdout.contains("away"), "{command:?}: {ran:?}");
        assert_eq!(failures(), before + 1, "{command:?} is traffic, too (O1)");
        let json = desk.run(&[command, &["--json"]].concat()).expect(5);
        assert!(json.stdout.contains("SHELF-SYNC-001"), "{command:?}: {json:?}");
    }
    let queued = desk.json(&["sync", "queue"])["queue"].take();
    let kinds: Vec<&str> = queued.as_array().unwrap().iter().map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["mirror", "delete"]);
    // One that cannot be reached is not added, and nothing of it is kept.
    let add = ["store", "add", "webdav+http://127.0.0.1:1/x", "--password-command", "printf a:b"];
    let ran = desk.run(&add).expect(5);
    assert!(ran.stderr.contains("is away") && ran.stderr.contains("hint: "), "{ran:?}");
    let relocated = desk.run(&[
        "store",
        "relocate",
        "mirror",
        "webdav+http://127.0.0.1:1/x",
        "--password-command",
        "printf a:b",
    ]);
    assert!(relocated.expect(5).stderr.contains("is away"));
    assert_eq!(desk.json(&["store", "list"])["stores"].as_array().unwrap().len(), 1);
}
