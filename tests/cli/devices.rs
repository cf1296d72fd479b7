//! Two devices that keep objects in one store, each with a catalogue of its own.

use std::fs;

use serde_json::{Value, json};

use crate::desk::{Desk, Ran};

/// Two devices; the first one's store is the other's, too, and both have `shared.txt`.
fn desks() -> [Desk; 2] {
    let desks = [("a.txt", "only here"), ("b.txt", "only there")]
        .map(|own| Desk::with_files(&[("shared.txt", "on both"), own]));
    for desk in &desks {
        let url = format!("dir:{}", desks[0].mirror().display());
        desk.run(&["store", "add", &url, "--payload", "original", "--name", "nas"]).expect(0);
        desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
        desk.run(&["sync"]).expect(0);
    }
    desks
}

fn run(desk: &Desk, args: &[&str]) -> Ran {
    desk.run(&[args, &["--json"]].concat())
}

fn text_is_there(desks: &[Desk; 2], text: &str) -> bool {
    desks[0].objects().values().any(|content| content == text.as_bytes())
}

fn devices(desk: &Desk) -> Vec<Value> {
    run(desk, &["store", "devices", "nas"]).expect(0).json()["devices"].as_array().unwrap().clone()
}

// S2: an object may be the only copy of another device
#[test]
fn what_another_device_may_need_is_not_deleted_without_a_word() {
    let desks = desks();
    desks[0].write("shared.txt", "on the first one edited");
    desks[0].run(&["sync"]).expect(0);
    let cleaned = run(&desks[0], &["orphans", "clean"]).expect(1).json();
    let other = devices(&desks[1]).into_iter().find(|it| it["own"] == true).unwrap()["device"].take();
    assert_eq!(cleaned["kept"], json!([{ "store": "nas", "orphans": 1, "devices": [other] }]));
    assert_eq!(cleaned["deleted"], 0);
    let said = desks[0].run(&["orphans", "clean"]).expect(1).stdout;
    assert!(said.contains("1 orphan stays") && said.contains("orphans clean --force"), "{said}");
    assert!(text_is_there(&desks, "on both"));
    desks[0].run(&["orphans", "clean", "--force"]).expect(0);
    assert!(!text_is_there(&desks, "on both"));
}

// S2: the word for it was given while nobody could be asked
#[test]
fn a_deletion_that_was_put_in_line_offline_waits_for_a_word_too() {
    let desks = desks();
    desks[0].write("shared.txt", "on the first one edited");
    desks[0].run(&["sync"]).expect(0);
    fs::rename(desks[0].mirror(), desks[0].path("unplugged")).unwrap();
    desks[0].run(&["orphans", "clean"]).expect(5);
    fs::rename(desks[0].path("unplugged"), desks[0].mirror()).unwrap();
    let synced = run(&desks[0], &["sync"]).expect(0).json();
    assert_eq!(synced["kept"][0]["orphans"], 1, "{synced}");
    // T6: no time changes that, so nobody waits for it.
    let waited = run(&desks[0], &["sync", "now", "--wait=10m"]).expect(0).json();
    assert_eq!((&waited["ended"], &waited["queued"]), (&json!("drained"), &json!(1)), "{waited}");
    assert!(desks[0].run(&["sync", "now"]).expect(0).stdout.contains("1 orphan stays"));
    assert!(text_is_there(&desks, "on both"));
    // S8: what is taken back is not for others to keep.
    desks[0].run(&["edit", "a.txt", "--privacy", "local_only"]).expect(0);
    desks[0].run(&["sync"]).expect(0);
    assert!(!text_is_there(&desks, "only here") && text_is_there(&desks, "on both"));
    // The other one is no more.
    let other = devices(&desks[0]).into_iter().find(|it| it["own"] == false).unwrap()["device"].take();
    let left =
        run(&desks[0], &["store", "devices", "nas", "--forget", other.as_str().unwrap()]).expect(0).json();
    assert_eq!(left["devices"].as_array().map(Vec::len), Some(1));
    desks[0].run(&["sync"]).expect(0);
    assert!(!text_is_there(&desks, "on both"));
}

// S12
#[test]
fn a_repair_lets_other_devices_objects_alone() {
    let desks = desks();
    let found = run(&desks[0], &["store", "check", "--repair"]).expect(0).json()["stores"][0].take();
    assert_eq!(
        (&found["counts"]["strangers"], &found["adopted"], &found["left"]),
        (&json!(1), &json!(0), &json!(0))
    );
    assert_eq!((&found["foreign"], found["other_devices"].as_array().map(Vec::len)), (&json!(0), Some(1)));
    assert_eq!(desks[0].json(&["orphans"])["orphans"], json!([]));
    // Alone, what nobody knows of is an orphan.
    desks[0]
        .run(&["store", "devices", "nas", "--forget", found["other_devices"][0].as_str().unwrap()])
        .expect(0);
    let found = run(&desks[0], &["store", "check", "--repair"]).expect(0).json()["stores"][0].take();
    assert_eq!((&found["counts"]["strangers"], &found["adopted"]), (&json!(1), &json!(1)));
}

// S2, T7
#[test]
fn a_device_says_that_it_uses_a_store_and_says_so_again_to_one_that_was_begun_anew() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    let added = run(&desk, &["store", "add", &format!("dir:{}", desk.mirror().display()), "--name", "nas"]);
    assert_eq!(added.expect(0).json()["other_devices"], json!([]));
    let one = devices(&desk);
    assert_eq!(one.len(), 1);
    // A catalogue of a version that did not say it.
    fs::remove_dir_all(desk.mirror().join("devices")).unwrap();
    desk.execute("DELETE FROM device; UPDATE stores SET device_id = NULL");
    assert!(devices(&desk).is_empty(), "who only looks says nothing");
    desk.run(&["sync"]).expect(0);
    assert_eq!(devices(&desk).len(), 1);
    let other = Desk::with_files(&[]);
    let url = format!("dir:{}", desk.mirror().display());
    let said = other.run(&["store", "add", &url]).expect(0).stdout;
    assert!(said.contains("1 other device keeps objects there"), "{said}");
    for entry in fs::read_dir(desk.mirror()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    desk.run(&["store", "check", "nas", "--repair", "--anew"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(devices(&desk).len(), 1);
}

// S2: who forgets itself by mistake is known again before it sends anything more
#[test]
fn a_device_that_forgets_itself_says_with_the_next_sync_that_it_uses_the_store() {
    let desks = desks();
    let own = devices(&desks[0]).into_iter().find(|it| it["own"] == true).unwrap()["device"].take();
    run(&desks[0], &["store", "devices", "nas", "--forget", own.as_str().unwrap()]).expect(0);
    assert_eq!(devices(&desks[0]).len(), 1);
    desks[0].run(&["sync"]).expect(0);
    assert_eq!(devices(&desks[0]).len(), 2, "the other would delete what only this one needs");
}
