//! Looking after what waits to be sent: `sync status`, `now`, `retry`, `pause`, `resume`, `queue`.

use std::fs;

use serde_json::{Value, json};

use crate::desk::Desk;

/// Two documents, read and in line, nothing sent.
fn desk() -> Desk {
    let desk = Desk::with_files(&[("a.txt", "alpha beta"), ("b.txt", "beta gamma")]);
    desk.add_mirror("enriched");
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    desk
}

fn queue(desk: &Desk, args: &[&str]) -> Vec<Value> {
    desk.json(&[&["sync", "queue"], args].concat())["queue"].as_array().unwrap().clone()
}

/// As five verdicts against it leave an operation.
fn give_up(desk: &Desk, path: &str) -> String {
    let operation = queue(desk, &[]).into_iter().find(|operation| operation["path"] == path).unwrap();
    let id = operation["id"].as_str().unwrap().to_owned();
    desk.execute(&format!(
        "UPDATE outbox SET state = 'dead', attempts = 5, error_code = 'SHELF-SYNC-004', error_text = 'refused: too large',
                not_before = unixepoch() * 1000 + 300000 WHERE op_id = '{id}'"
    ));
    id
}

// S7, S3: what was given up is seen with its file and its reason, and tried again as if it had never been tried
#[test]
fn what_was_given_up_is_tried_again_by_its_id() {
    let desk = desk();
    assert_eq!(queue(&desk, &[]).len(), 2);
    assert_eq!(queue(&desk, &["--errors"]), [] as [Value; 0]);
    let id = give_up(&desk, "a.txt");
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 1, "the other one is not held up");

    let failed = queue(&desk, &["--errors", "--store", "mirror"]);
    assert_eq!(failed.len(), 1);
    assert_eq!(
        (&failed[0]["state"], &failed[0]["attempts"], &failed[0]["error"], &failed[0]["path"]),
        (&json!("dead"), &json!(5), &json!("refused: too large"), &json!("a.txt"))
    );
    let text = desk.run(&["sync", "queue"]).expect(0).stdout;
    assert!(text.contains("given up") && text.contains(&id) && text.contains("sync retry"), "{text}");
    let status = desk.json(&["sync", "status"]);
    assert_eq!(status["local_to_remote"], json!({ "pending": 0, "synced_today": 1, "failed": 1 }));

    // One that is not known: nothing of it is done.
    let unknown = desk.run(&["sync", "retry", &id, "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).expect(1);
    assert!(unknown.stderr.contains("no operation 01ARZ3NDEKTSV4RRFFQ69G5FAV"), "{unknown:?}");
    assert_eq!(queue(&desk, &["--errors"]).len(), 1);

    let retried = desk.json(&["sync", "retry", &id.to_lowercase()]);
    assert_eq!(retried, json!({ "retried": 1, "due": 0, "over": [] }));
    assert_eq!(queue(&desk, &[])[0]["attempts"], 0);
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
    assert_eq!(desk.json(&["sync", "retry", &id])["over"], json!([id]));
}

// S7
#[test]
fn all_that_was_given_up_is_tried_again_at_once() {
    let desk = desk();
    give_up(&desk, "a.txt");
    give_up(&desk, "b.txt");
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 0);
    assert_eq!(desk.json(&["sync", "retry"])["retried"], 2);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
    assert!(desk.run(&["sync", "retry"]).expect(0).stdout.contains("nothing was given up"));
}

// S7, S6: what waits for its next try is sent when somebody says so
#[test]
fn what_waits_for_its_time_is_sent_now() {
    let desk = desk();
    desk.execute("UPDATE outbox SET attempts = 1, not_before = unixepoch() * 1000 + 300000");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 0, "not due");
    assert!(desk.run(&["sync", "queue"]).expect(0).stdout.contains("until 2"));
    assert_eq!(queue(&desk, &["--errors"]).len(), 2);
    desk.write("c.txt", "not scanned");
    desk.run(&["sync", "now", "mirror"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
    assert_eq!(desk.json(&["list"])["files"].as_array().unwrap().len(), 2, "nothing is scanned");

    desk.run(&["sync"]).expect(0);
    desk.write("a.txt", "alpha, edited");
    desk.scan();
    desk.execute("UPDATE outbox SET not_before = unixepoch() * 1000 + 300000 WHERE state = 'pending'");
    let op = queue(&desk, &[])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        desk.json(&["sync", "retry"]),
        json!({ "retried": 0, "due": 0, "over": [] }),
        "it was not given up"
    );
    assert_eq!(desk.json(&["sync", "retry", &op])["due"], 1);
    desk.execute("UPDATE outbox SET not_before = unixepoch() * 1000 + 300000 WHERE state = 'pending'");
    assert_eq!(desk.json(&["sync", "retry", "--force"])["due"], 1);
    desk.run(&["sync"]).expect(0);
    assert_eq!(queue(&desk, &[]), [] as [Value; 0]);
}

// S7
#[test]
fn a_paused_store_is_sent_nothing_until_it_is_resumed() {
    let desk = desk();
    assert_eq!(desk.json(&["sync", "status"])["mode"], "active");
    assert_eq!(desk.json(&["sync", "pause", "mirror"]), json!({ "stores": ["mirror"], "paused": true }));
    let status = desk.json(&["sync", "status"]);
    assert_eq!((&status["mode"], &status["stores"][0]["paused"]), (&json!("paused"), &json!(true)));
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 0);
    let refused = desk.run(&["sync", "now"]).expect(1);
    assert!(
        refused.stderr.contains("mirror is paused") && refused.stderr.contains("sync resume"),
        "{refused:?}"
    );
    assert_eq!(queue(&desk, &[]).len(), 2, "kept in line");

    desk.run(&["sync", "resume"]).expect(0);
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
    let wrong = desk.run(&["sync", "pause", "mirrow"]).expect(1);
    assert!(wrong.stderr.contains("no store mirrow"), "{wrong:?}");
}

// S6: what a store asks for is kept, until a person knows better
#[test]
fn a_store_that_asked_to_be_left_alone_is_not_called_before() {
    let desk = desk();
    desk.execute("UPDATE channels SET not_before = 9999999999999");
    let waited = desk.run(&["sync", "--json"]).expect(5).json();
    assert_eq!((&waited["queued"], &waited["uploaded_objects"]), (&json!(2), &json!(0)));
    let message = waited["offline"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("not to be called before 2286-11-20T17:46:39") && message.contains("sync now"),
        "{message}"
    );
    assert_eq!(desk.json(&["sync", "status"])["stores"][0]["state"], "online", "nothing failed");
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
}

// O2, S7: a store that is away is no failure of what waits for it
#[test]
fn what_waits_for_a_store_that_is_away_stays_in_line() {
    let desk = desk();
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let away = desk.run(&["sync", "now", "--json"]).expect(5).json();
    assert_eq!((&away["queued"], &away["offline"][0]["code"]), (&json!(2), &json!("SHELF-SYNC-001")));
    let status = desk.json(&["sync", "status"]);
    assert_eq!(status["stores"][0]["state"], "offline");
    assert!(status["stores"][0]["offline_ms"].is_i64(), "{status}");
    let text = desk.run(&["sync", "status"]).expect(0).stdout;
    assert!(text.contains("mirror: offline since") && text.contains("2 pending"), "{text}");
    assert!(queue(&desk, &[]).iter().all(|operation| operation["attempts"] == 0));

    fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 2);
    assert_eq!(desk.json(&["sync", "status"])["stores"][0]["state"], "online");
}

// S6: SHELF-SYNC-005: rows as no version of this program writes them
#[test]
fn an_operation_that_nobody_can_carry_out_is_given_up_and_holds_up_nobody() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    desk.write("a.txt", "alpha, edited");
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    // Before what is really to be sent, of the same documents.
    desk.execute(
        "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;
         UPDATE outbox SET seq = seq + 100 WHERE state = 'pending';
         INSERT INTO outbox (seq, op_id, channel_id, document_id, kind, object_id, payload_hash, attempts, created_at, updated_at)
         VALUES (11, 'newer', 1, 1, 'teleport', NULL, NULL, 0, 0, 0),
                (12, 'no document', 1, 999, 'mirror', NULL, NULL, 0, 0, 0),
                (13, 'no object', 1, 1, 'delete', 999, NULL, 0, 0, 0),
                (14, 'which object', 1, 1, 'delete', NULL, NULL, 0, 0, 0),
                (15, 'a hash', 1, 2, 'mirror', NULL, x'00', 0, 0, 0),
                (16, 'minus', 1, 2, 'delete', (SELECT min(object_id) FROM remote_objects), NULL, -3, 0, 0);",
    );
    let report = desk.run(&["sync", "now", "--wait", "--json"]).expect(3).json();
    assert_eq!((&report["ended"], &report["uploaded_objects"]), (&json!("drained"), &json!(1)), "{report}");
    let failed = queue(&desk, &["--errors"]);
    let told: Vec<(&str, &str)> =
        failed.iter().map(|it| (it["id"].as_str().unwrap(), it["error"].as_str().unwrap())).collect();
    assert_eq!(
        told,
        [
            (
                "newer",
                "this version of shelflist does not know operations of the kind teleport; a newer one may"
            ),
            ("no document", "its document is not in the catalogue any more"),
            ("no object", "the object that it is to delete is not in the ledger of this store"),
            ("which object", "it is to delete an object and does not say which"),
            ("a hash", "what was fixed to be sent is damaged"),
            ("minus", "its row is damaged"),
        ]
    );
    assert!(failed.iter().all(|it| it["error_code"] == "SHELF-SYNC-005" && it["state"] == "dead"));
    assert!(failed.iter().all(|it| it["attempts"] == 0), "nobody was asked (T5)");
    let text = desk.run(&["sync", "queue", "--errors"]).expect(0).stdout;
    assert!(text.contains("given up") && text.contains("teleport"), "{text}");
    // Another run has nothing to say of it.
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(desk.objects().len(), 3);
}
