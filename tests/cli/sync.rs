//! From the library to the store.

use std::fs;

use serde_json::{Value, json};

use crate::desk::Desk;

fn desk() -> Desk {
    let desk = Desk::with_files(&[
        ("a.txt", "alpha beta"),
        ("sub/b.md", "# Beta\n\ntext of b"),
        ("c.bin", "\u{1}\u{2}\0\0\0"),
    ]);
    desk.add_mirror("enriched");
    desk
}

/// How the store stands; as kept from the last count, which must not differ from a count made now.
fn store(desk: &Desk) -> Value {
    let status = || desk.json(&["status"])["libraries"][0]["stores"][0].take();
    let kept = status();
    desk.execute("DELETE FROM kept_store_counts");
    assert_eq!(kept, status(), "kept, counted");
    kept
}

// L5: what was counted is kept for the next who asks, and no longer than it is true
#[test]
fn the_counts_of_a_store_follow_every_step() {
    let desk = desk();
    let counts =
        |desk: &Desk| ["pending", "uploaded", "orphaned"].map(|key| store(desk)[key].as_u64().unwrap());
    desk.scan();
    assert_eq!(counts(&desk), [3, 0, 0]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(counts(&desk), [0, 2, 0]);
    desk.write("a.txt", "alpha, edited");
    desk.scan();
    assert_eq!(counts(&desk), [1, 2, 0]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(counts(&desk), [0, 2, 1]);
    // Long enough ago.
    desk.execute("UPDATE remote_objects SET orphaned_at = 0 WHERE state = 'orphaned'");
    desk.run(&["orphans", "clean", "--force"]).expect(0);
    let kept: i64 = desk.sql("SELECT count(*) FROM kept_store_counts");
    assert_eq!(kept, 0, "the clean-up changed what was counted");
    counts(&desk);
    // Five verdicts later.
    desk.write("a.txt", "alpha, edited again");
    desk.scan();
    assert_eq!(counts(&desk), [1, 2, 0]);
    desk.execute("UPDATE outbox SET state = 'dead' WHERE state = 'pending'");
    assert_eq!((counts(&desk), store(&desk)["failed"].take()), ([0, 2, 0], json!(1)));
    // A copy in another library: nothing of the store changes, but that library has documents there now.
    let other = desk.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("copy.md"), "# Beta\n\ntext of b").unwrap();
    desk.run(&["init", other.to_str().unwrap(), "--name", "other"]).expect(0);
    let of_other = || desk.json(&["status", "other"])["libraries"][0]["stores"][0]["uploaded"].take();
    assert_eq!(of_other(), 0);
    desk.run(&["scan", "other"]).expect(0);
    assert_eq!(of_other(), 1);
}

// S1, E2
#[test]
fn a_sync_sends_enriched_content_under_a_name_that_says_it() {
    let desk = desk();
    let report = desk.json(&["sync"]);
    assert_eq!(
        (&report["enriched"], &report["unsupported"], &report["uploaded_objects"]),
        (&json!(2), &json!(1), &json!(2))
    );
    let objects = desk.objects();
    assert_eq!(objects.len(), 2);
    for (name, content) in &objects {
        assert!(name.contains(&blake3::hash(content).to_hex().to_string()), "{name}");
        assert!(content.starts_with(b"---\n"));
    }
    assert!(objects.values().any(|content| String::from_utf8_lossy(content).contains("title: \"Beta\"")));
    assert_eq!(
        store(&desk),
        json!({ "store": "mirror", "uploaded": 2, "pending": 0, "uploading": 0, "failed": 0, "orphaned": 0 })
    );
    // L5
    let status = |path: &str| desk.json(&["show", path])["file"]["status"].take();
    assert_eq!((status("a.txt"), status("c.bin")), (json!("uploaded"), json!("skipped")));
}

#[test]
fn a_second_sync_reads_nothing_and_sends_nothing() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    let rows: i64 = desk.sql("SELECT count(*) FROM outbox");
    let before = desk.objects();
    let report = desk.json(&["sync"]);
    let scan = &report["libraries"][0];
    assert_eq!(
        (&scan["unchanged"], &scan["hashed_files"], &scan["hashed_bytes"]),
        (&json!(3), &json!(0), &json!(0))
    );
    assert_eq!(
        (&report["enriched"], &report["uploaded_objects"], &report["queued"]),
        (&json!(0), &json!(0), &json!(0))
    );
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox"), rows, "no operation was made");
    assert_eq!(desk.objects(), before);
}

// T1
#[test]
fn a_scan_alone_puts_its_documents_in_line() {
    let desk = desk();
    desk.run(&["scan"]).expect(0);
    let status = desk.json(&["status"]);
    assert_eq!(status["queue"]["pending"], 3);
    assert_eq!(status["libraries"][0]["stores"][0]["pending"], 3);
    assert_eq!(desk.objects().len(), 0);
}

// T2, S2
#[test]
fn an_edit_uploads_the_new_object_and_keeps_the_old_one_until_the_clean_up() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    let before = desk.objects();
    desk.write("a.txt", "alpha gamma");
    let report = desk.json(&["sync"]);
    assert_eq!(report["uploaded_objects"], 1);
    let after = desk.objects();
    assert_eq!(after.len(), 3);
    assert!(
        before.iter().all(|(name, content)| after.get(name) == Some(content)),
        "the old ones are still there"
    );
    let orphans = desk.json(&["orphans"])["orphans"].take();
    assert_eq!((&orphans[0]["path"], &orphans[0]["cause"]), (&json!("a.txt"), &json!("replaced")));

    // In its grace nothing is deleted.
    let cleaned = desk.json(&["orphans", "clean"]);
    assert_eq!((&cleaned["deleted"], &cleaned["in_grace"]), (&json!(0), &json!(1)));
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    let dry = desk.json(&["orphans", "clean", "--dry-run"]);
    assert_eq!((dry["orphans"].as_array().unwrap().len(), &dry["deleted"]), (1, &json!(0)));
    assert_eq!(desk.objects().len(), 3);
    assert_eq!(desk.json(&["orphans", "clean"])["deleted"], 1);
    assert_eq!(desk.objects().len(), 2);
    assert_eq!(desk.json(&["orphans"])["orphans"], json!([]));
    assert_eq!(store(&desk)["uploaded"], 2);
}

// S2: a mistake of many is asked about before it is deleted
#[test]
fn a_clean_up_of_much_wants_a_second_word() {
    let desk = Desk::with_files(&[]);
    for n in 0..30 {
        desk.write(&format!("{n}.txt"), &format!("text {n}"));
    }
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    desk.run(&["config", "set", "guard.changed_count", "1000"]).expect(0);
    for n in 0..21 {
        desk.write(&format!("{n}.txt"), &format!("text {n}, edited"));
    }
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 51);
    let refused = desk.run(&["orphans", "clean"]).expect(1).stdout;
    assert!(
        refused.contains("21 of 51 objects would be deleted") && refused.contains("--force"),
        "{refused}"
    );
    assert_eq!(desk.objects().len(), 51);
    // Nor does the next sync do it.
    desk.run(&["sync"]).expect(0);
    assert_eq!(
        (desk.objects().len(), desk.sql::<i64>("SELECT count(*) FROM outbox WHERE kind = 'delete'")),
        (51, 0)
    );
    assert_eq!(desk.json(&["orphans", "clean", "--force"])["deleted"], 21);
    assert_eq!(desk.objects().len(), 30);
}

// L7
#[test]
fn a_move_sends_nothing() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    let before = desk.objects();
    desk.rename("sub/b.md", "elsewhere/renamed.md");
    let report = desk.json(&["sync"]);
    assert_eq!((&report["libraries"][0]["moved"], &report["uploaded_objects"]), (&json!(1), &json!(0)));
    assert_eq!(desk.objects(), before);
    assert_eq!(desk.json(&["show", "elsewhere/renamed.md"])["file"]["status"], "uploaded");
}

// L15
#[test]
fn copies_are_sent_once() {
    let desk = desk();
    desk.write("copy of a.txt", "alpha beta");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 2);
    assert_eq!(desk.json(&["show", "copy of a.txt"])["document"]["copies"].as_array().unwrap().len(), 2);
}

// T2: an orphan that is wanted again comes back without being sent
#[test]
fn an_edit_taken_back_revives_the_former_object() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    let before = desk.objects();
    desk.write("a.txt", "alpha gamma");
    desk.run(&["sync"]).expect(0);
    desk.write("a.txt", "alpha beta");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    assert_eq!(desk.json(&["orphans", "clean"])["deleted"], 1);
    assert_eq!(desk.objects(), before);
}

// D7
#[test]
fn a_missing_file_is_retired_only_after_its_grace_in_days_and_complete_scans() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "missing.grace_scans", "5"]).expect(0);
    desk.remove("a.txt");
    for _ in 0..3 {
        assert_eq!(desk.json(&["sync"])["retired_objects"], 0, "seven days are not over");
    }
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    assert_eq!(desk.json(&["sync"])["retired_objects"], 0, "the fourth scan");
    assert_eq!(desk.json(&["missing"])["missing"][0]["status"], "missing");
    assert_eq!(desk.json(&["sync"])["retired_objects"], 1);
    assert_eq!(desk.json(&["missing"])["missing"][0]["status"], "local_delete");
    assert_eq!(desk.objects().len(), 2, "the clean-up is another step");

    // L6: back before the clean-up, nothing is sent.
    desk.write("a.txt", "alpha beta");
    let report = desk.json(&["sync"]);
    assert_eq!((&report["libraries"][0]["restored"], &report["uploaded_objects"]), (&json!(1), &json!(0)));
    assert_eq!(desk.json(&["show", "a.txt"])["file"]["status"], "uploaded");
    assert_eq!(store(&desk)["orphaned"], 0);
}

// O2, T5, D10
#[test]
fn a_store_that_is_away_queues_the_work_and_blames_no_operation() {
    let desk = desk();
    fs::rename(desk.mirror(), desk.path("unplugged")).unwrap();
    let report = desk.run(&["sync", "--json"]).expect(5).json();
    assert_eq!((&report["queued"], &report["offline"][0]["code"]), (&json!(3), &json!("SHELF-SYNC-001")));
    desk.run(&["sync"]).expect(5);
    let status = desk.json(&["status"]);
    assert_eq!(status["channels"][0]["state"], "offline");
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
    assert!(!desk.mirror().exists(), "the store's directory is not made");
    // An empty mount point that was left behind is no store either.
    fs::create_dir(desk.mirror()).unwrap();
    desk.run(&["sync"]).expect(5);
    assert_eq!(fs::read_dir(desk.mirror()).unwrap().count(), 0);
    fs::remove_dir(desk.mirror()).unwrap();
    fs::rename(desk.path("unplugged"), desk.mirror()).unwrap();
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 2);
    assert_eq!(desk.json(&["status"])["channels"][0]["state"], "online");
}

// T7
#[test]
fn another_store_at_the_same_place_is_left_alone() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    fs::rename(desk.mirror(), desk.path("mine")).unwrap();
    let other = Desk::with_files(&[("x.txt", "x")]);
    let url = format!("dir:{}", desk.mirror().display());
    other.run(&["store", "add", &url]).expect(0);
    desk.write("a.txt", "alpha gamma");
    let ran = desk.run(&["sync"]).expect(5);
    assert!(ran.stdout.contains("another store is at this place"), "{ran:?}");
    assert_eq!(desk.objects().len(), 0);
}

// T2: what the store damaged is found and replaced where it is wanted
#[test]
fn an_object_that_is_damaged_on_arrival_is_never_called_current() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    let (name, good) = desk.objects().into_iter().next().unwrap();
    // The same key is wanted anew by a second catalogue's eyes: forget the ledger, damage the object.
    fs::write(desk.mirror().join(&name), b"rot of another length").unwrap();
    desk.execute("DELETE FROM outbox; DELETE FROM remote_objects;");
    desk.execute(
        "INSERT INTO outbox (op_id, channel_id, document_id, kind, created_at, updated_at)
         SELECT 'op' || document_id, 1, document_id, 'mirror', 0, 0 FROM documents",
    );
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects()[&name], good);
    let mut same_length = good.clone();
    same_length[10] ^= 1;
    fs::write(desk.mirror().join(&name), &same_length).unwrap();
    desk.execute("DELETE FROM outbox; DELETE FROM remote_objects;");
    desk.execute(
        "INSERT INTO outbox (op_id, channel_id, document_id, kind, created_at, updated_at)
         SELECT 'again' || document_id, 1, document_id, 'mirror', 0, 0 FROM documents",
    );
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects()[&name], good);
}

// S7: what a person can do about it
#[test]
fn the_queue_says_what_was_not_read_yet() {
    let desk = desk();
    desk.scan();
    let queue = desk.json(&["sync", "queue"])["queue"].take();
    assert!(queue.as_array().unwrap().iter().all(|operation| operation["waits_for"] == "text"), "{queue}");
    let said = desk.run(&["sync", "queue"]).expect(0).stdout;
    assert!(said.contains("until it is read") && said.contains("shelflist enrich"), "{said}");
    desk.run(&["enrich"]).expect(0);
    let queue = desk.json(&["sync", "queue"])["queue"].take();
    assert!(queue.as_array().unwrap().iter().all(|operation| operation["waits_for"].is_null()), "{queue}");
}

// S1, T4: of `both` the text needs no disk
#[test]
fn a_text_goes_ahead_of_its_original_while_the_disk_is_away() {
    let desk = Desk::with_files(&[("a.txt", "alpha beta"), ("c.bin", "\u{1}\u{2}\0\0\0")]);
    desk.add_mirror("both");
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    let drawer = desk.path("drawer");
    fs::rename(desk.library(), &drawer).unwrap();
    let sent = |desk: &Desk| {
        let objects = desk.objects();
        let of = |kind| objects.keys().filter(|name| name.starts_with(kind)).count();
        (of("enriched"), of("original"))
    };
    let waiting =
        |desk: &Desk| desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state = 'pending' AND attempts = 0");
    desk.run(&["sync"]).expect(0);
    assert_eq!((sent(&desk), waiting(&desk)), ((1, 0), 2));
    let queue = desk.json(&["sync", "queue"])["queue"].take();
    assert!(queue.as_array().unwrap().iter().all(|operation| operation["waits_for"] == "disk"), "{queue}");
    // Nothing is gone through for nothing by each run.
    let leases = |desk: &Desk| desk.sql::<i64>("SELECT sum(leases) FROM outbox");
    let before = leases(&desk);
    desk.run(&["sync"]).expect(0);
    assert_eq!((sent(&desk), leases(&desk)), ((1, 0), before));
    // What waits for the original holds up no newer text.
    for title in ["Alpha", "Alpha and beta"] {
        desk.run(&["edit", "a.txt", "--title", title]).expect(0);
        desk.run(&["sync", "now"]).expect(0);
    }
    assert_eq!((sent(&desk), waiting(&desk)), ((3, 0), 2));
    fs::rename(&drawer, desk.library()).unwrap();
    desk.run(&["sync"]).expect(0);
    assert_eq!((sent(&desk), waiting(&desk)), ((3, 2), 0));
    let current = "SELECT count(*) FROM remote_objects WHERE state = 'current'";
    assert_eq!(desk.sql::<i64>(current), 3, "two originals and the last text");
    assert_eq!(
        desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state IN ('pending', 'leased', 'dead')"),
        0
    );
}

// S1: --payload both
#[test]
fn originals_are_sent_byte_by_byte() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("big.bin", &"x".repeat(3_000_000))]);
    desk.add_mirror("both");
    let report = desk.json(&["sync"]);
    assert_eq!(report["uploaded_objects"], 4, "two originals, two texts");
    let objects = desk.objects();
    let hash = blake3::hash("x".repeat(3_000_000).as_bytes()).to_hex().to_string();
    assert!(objects.iter().any(|(name, content)| name.starts_with("original/")
        && name.contains(&hash)
        && content.len() == 3_000_000));
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
}

// T8
#[test]
fn what_is_local_only_never_leaves() {
    let desk = desk();
    desk.run(&["scan"]).expect(0);
    desk.execute("INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'privacy', 'person', '[\"local_only\"]', 1.0, 0 FROM files WHERE name = x'612E747874'");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 1);
    assert!(desk.objects().values().all(|content| !String::from_utf8_lossy(content).contains("alpha")));
}

// S1
#[test]
fn a_removed_store_keeps_what_it_holds() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    desk.run(&["store", "remove", "mirror"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
    assert_eq!(desk.json(&["store", "list"])["stores"], json!([]));
    desk.run(&["sync"]).expect(0);
    desk.add_mirror("enriched");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0, "it is all there already");
    assert_eq!(store(&desk)["uploaded"], 2);
}

// L12, T3
#[test]
fn a_second_run_at_the_same_time_is_told_to_wait() {
    let desk = desk();
    let lock = fs::File::create(desk.home().join("run.lock")).unwrap();
    lock.lock().unwrap();
    let ran = desk.run(&["sync"]).expect(4);
    assert!(ran.stderr.contains("hint: "), "{ran:?}");
    // C3: whoever only reads is not bothered.
    desk.run(&["status"]).expect(0);
    desk.run(&["list"]).expect(0);
}

// E2
#[test]
fn other_settings_of_enrichment_send_only_what_changed_in_bytes() {
    let desk = desk();
    desk.write("long.txt", &"word ".repeat(400_000));
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "extract.text_mb", "1"]).expect(0);
    let report = desk.json(&["sync"]);
    assert_eq!((&report["enriched"], &report["uploaded_objects"]), (&json!(3), &json!(1)));
}
