//! What may not leave, and what is taken back (S8, T8).

use std::fs;

use serde_json::{Value, json};

use crate::desk::Desk;

fn desk(payload: &str) -> Desk {
    let desk = Desk::with_files(&[("letters/a.txt", "alpha"), ("b.txt", "beta")]);
    desk.add_mirror(payload);
    desk.run(&["sync"]).expect(0);
    desk
}

/// What the objects in the mirror say, without their front matter.
fn texts(desk: &Desk) -> Vec<String> {
    let mut texts: Vec<String> = desk
        .objects()
        .values()
        .map(|content| String::from_utf8_lossy(content).rsplit("---\n").next().unwrap().trim().to_owned())
        .collect();
    texts.sort();
    texts
}

fn pending(desk: &Desk) -> i64 {
    desk.sql("SELECT count(*) FROM outbox WHERE state IN ('pending', 'leased', 'dead')")
}

fn rules(desk: &Desk, rules: &str, code: i32) -> Value {
    desk.run(&["config", "set", "privacy.rules", rules, "--json"]).expect(code).json()
}

fn said(desk: &Desk, path: &str) -> String {
    desk.run(&["history", path]).expect(0).stdout
}

// S8, T8
#[test]
fn what_becomes_local_only_is_deleted_from_its_store_by_the_next_sync() {
    let desk = desk("both");
    assert_eq!(texts(&desk), ["alpha", "alpha", "beta", "beta"]);
    let edited = desk.run(&["edit", "letters/a.txt", "--privacy", "local_only"]).expect(0).stdout;
    assert!(edited.contains("mirror holds what was sent before of 1 document"), "{edited}");
    let orphans = desk.json(&["orphans"]);
    let orphans = orphans["orphans"].as_array().unwrap();
    assert_eq!(orphans.len(), 2, "they stand in line");
    for orphan in orphans {
        assert_eq!(
            (&orphan["cause"], &orphan["taken_back"], &orphan["deletion"]),
            (&json!("local only"), &json!(true), &json!("pending"))
        );
    }
    assert!(desk.run(&["orphans"]).expect(0).stdout.contains("the next sync deletes it"));

    let synced = desk.json(&["sync"]);
    assert_eq!((&synced["recalled_objects"], &synced["uploaded_objects"]), (&json!(2), &json!(0)));
    assert_eq!(texts(&desk), ["beta", "beta"]);
    assert_eq!(pending(&desk), 0);
    let log = said(&desk, "letters/a.txt");
    assert!(log.contains("original was deleted from mirror because it became local only"), "{log}");
    assert!(log.contains("enriched was deleted from mirror because it became local only"), "{log}");
    let told = desk.json(&["explain", "letters/a.txt"]);
    assert_eq!((&told["privacy"], &told["privacy_rule"]), (&json!("local_only"), &Value::Null));

    // T8: a change of it enters no queue.
    desk.run(&["edit", "letters/a.txt", "--title", "Another"]).expect(0);
    desk.write("letters/a.txt", "alpha, edited");
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    assert_eq!(pending(&desk), 0);

    desk.run(&["edit", "letters/a.txt", "--privacy", "full"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha, edited", "alpha, edited", "beta", "beta"]);
}

// S8, E4: the person's word is put back by undo
#[test]
fn taking_the_word_back_in_time_deletes_nothing_and_sends_nothing() {
    let desk = desk("original");
    let before = desk.objects();
    desk.run(&["edit", "letters/a.txt", "--privacy", "local_only"]).expect(0);
    // Also with the disk away: nothing has to be read again.
    fs::rename(desk.library(), desk.path("away")).unwrap();
    desk.run(&["undo"]).expect(0);
    let synced = desk.run(&["sync", "--json"]).expect(0).json();
    assert_eq!((&synced["recalled_objects"], &synced["uploaded_objects"]), (&json!(0), &json!(0)));
    assert_eq!(desk.objects(), before);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 2);
    assert_eq!(pending(&desk), 0);
}

// S8, E4
#[test]
fn taking_the_word_back_later_sends_it_again() {
    for payload in ["original", "enriched", "both"] {
        let desk = desk(payload);
        let before = desk.objects();
        desk.run(&["edit", "letters/a.txt", "--privacy", "local_only"]).expect(0);
        desk.run(&["sync"]).expect(0);
        assert_eq!(desk.objects().len(), before.len() / 2, "{payload}");
        desk.run(&["undo"]).expect(0);
        desk.run(&["sync"]).expect(0);
        assert_eq!(desk.objects(), before, "{payload}");
        assert_eq!(pending(&desk), 0, "{payload}");
    }
}

// S8: the card stays, the text goes
#[test]
fn what_becomes_redacted_is_replaced_by_its_card_without_waiting_for_any_grace() {
    let desk = desk("both");
    // An older text of it is an orphan in its grace.
    desk.write("letters/a.txt", "alpha, edited");
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk).iter().filter(|text| text.starts_with("alpha")).count(), 4);
    desk.run(&["edit", "letters/a.txt", "--privacy", "redacted"]).expect(0);
    // The disk is not needed for it.
    fs::rename(desk.library(), desk.path("away")).unwrap();
    let synced = desk.run(&["sync", "--json"]).expect(0).json();
    assert_eq!((&synced["recalled_objects"], &synced["uploaded_objects"]), (&json!(4), &json!(1)));
    assert_eq!(texts(&desk), ["", "beta", "beta"]);
    assert_eq!(pending(&desk), 0);
    let log = said(&desk, "letters/a.txt");
    assert!(log.contains("was deleted from mirror because it became redacted"), "{log}");

    fs::rename(desk.path("away"), desk.library()).unwrap();
    desk.run(&["edit", "letters/a.txt", "--privacy", "full"]).expect(0);
    desk.run(&["sync"]).expect(0);
    let mut all = texts(&desk);
    all.retain(|text| !text.is_empty());
    assert_eq!(all, ["alpha, edited", "alpha, edited", "beta", "beta"]);
}

// S8, S6: it waits for nothing, whatever else of the document has to wait for its next try
#[test]
fn what_is_taken_back_does_not_wait_behind_what_was_refused() {
    let desk = desk("enriched");
    desk.write("letters/a.txt", "alpha, edited");
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    desk.execute(
        "UPDATE outbox SET leases = 1, attempts = 1, not_before = unixepoch() * 1000 + 300000 WHERE state = 'pending'",
    );
    desk.run(&["edit", "letters/a.txt", "--privacy", "redacted"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
    desk.run(&["sync", "now"]).expect(0);
    assert_eq!(texts(&desk), ["", "beta"]);
}

// S8: a text without words looks redacted already
#[test]
fn a_replacement_with_the_same_bytes_stays() {
    let desk = Desk::with_files(&[("a.txt", "")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    let before = desk.objects();
    desk.run(&["edit", "a.txt", "--privacy", "redacted"]).expect(0);
    desk.run(&["sync"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before);
    assert_eq!(pending(&desk), 0);
}

// S8, T8: the rule stands before the outbox
#[test]
fn what_a_rule_holds_back_is_never_sent() {
    let desk =
        Desk::with_files(&[("letters/a.txt", "alpha"), ("letters/public/c.txt", "gamma"), ("b.txt", "beta")]);
    rules(&desk, "local_only /letters/\nfull /letters/public/", 0);
    desk.add_mirror("both");
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta", "beta", "gamma", "gamma"]);
    let told = desk.json(&["explain", "letters/a.txt"]);
    assert_eq!(
        (&told["privacy"], &told["privacy_rule"]),
        (&json!("local_only"), &json!("local_only /letters/"))
    );
    assert!(desk.run(&["explain", "letters/a.txt"]).expect(0).stdout.contains("by the rule"));

    // A person's word does not go farther than a rule, and is told so.
    let edited = desk.run(&["edit", "letters/a.txt", "--privacy", "full"]).expect(0).stdout;
    assert!(edited.contains("held back farther by a rule"), "{edited}");
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta", "beta", "gamma", "gamma"]);
    desk.run(&["config", "unset", "privacy.rules"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "alpha", "beta", "beta", "gamma", "gamma"]);
}

// S8
#[test]
fn a_rule_about_few_documents_takes_them_back() {
    let desk = desk("enriched");
    let set = rules(&desk, "local_only /letters/", 0);
    assert_eq!((&set["documents"], &set["recalled"], &set["decisions"]), (&json!(1), &json!(1), &json!([])));
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
    let wrong = desk.run(&["config", "set", "privacy.rules", "secret /letters/"]).expect(2);
    assert!(wrong.stderr.contains("secret /letters/"), "{wrong:?}");
}

// S8: by kind of source, also where that is said later
#[test]
fn a_rule_about_a_kind_of_source_follows_what_is_said_of_it() {
    let desk = desk("enriched");
    rules(&desk, "local_only type:diary", 0);
    desk.run(&["edit", "letters/a.txt", "--type", "Diary"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
    desk.run(&["undo"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "beta"]);
}

// S8: the strictest of its copies' rules
#[test]
fn a_document_is_as_private_as_its_most_private_copy() {
    let desk = desk("enriched");
    rules(&desk, "local_only /private/", 0);
    desk.write("private/copy of b.txt", "beta");
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha"], "a copy appeared where it may not leave");
    desk.rename("private/copy of b.txt", "public/copy of b.txt");
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "beta"], "and was moved out");
    desk.rename("letters/a.txt", "private/a.txt");
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"], "another was moved in");
}

fn many() -> Desk {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("letters/{n}.txt"), &format!("letter {n}"));
    }
    desk.write("b.txt", "beta");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk
}

// S8, D6, L8: a mistaken rule empties no store
#[test]
fn a_rule_that_would_take_back_much_waits_for_a_decision() {
    let desk = many();
    let set = rules(&desk, "local_only /letters/", 6);
    assert_eq!((&set["waiting"], &set["recalled"]), (&json!(30), &json!(0)));
    desk.run(&["sync"]).expect(6);
    assert_eq!(desk.objects().len(), 31);
    // Nothing more of them leaves meanwhile.
    desk.write("letters/1.txt", "letter 1, edited");
    desk.write("letters/new.txt", "letter new");
    desk.run(&["sync"]).expect(6);
    assert!(!texts(&desk).iter().any(|text| text.contains("edited") || text.contains("new")));
    let listed = desk.json(&["decisions"]);
    let decision = &listed["decisions"][0];
    assert_eq!((&decision["kind"], &decision["counts"]["documents"]), (&json!("mass-recall"), &json!(30)));
    assert_eq!(decision["samples"].as_array().unwrap().len(), 20);
    let number = decision["decision"].to_string();

    // One of them somebody says of himself: that does not wait.
    desk.run(&["edit", "letters/2.txt", "--privacy", "local_only"]).expect(0);
    desk.run(&["sync"]).expect(6);
    assert_eq!(desk.objects().len(), 30);

    desk.run(&["approve", &number]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
    assert_eq!(pending(&desk), 0);
    assert!(said(&desk, "letters/0.txt").contains("because it became local only"));
}

// S8, L8
#[test]
fn a_decision_against_it_leaves_the_stores_alone_and_sends_nothing_more() {
    let desk = many();
    rules(&desk, "local_only /letters/", 6);
    let number = desk.json(&["decisions"])["decisions"][0]["decision"].to_string();
    desk.run(&["reject", &number]).expect(0);
    desk.write("letters/1.txt", "letter 1, edited");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 31);
    assert!(!texts(&desk).iter().any(|text| text.contains("edited")));
    desk.run(&["config", "unset", "privacy.rules"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert!(texts(&desk).iter().any(|text| text.contains("edited")));
}

// S8, L8: the rule was a mistake, and is taken back before anybody decides
#[test]
fn a_decision_about_nothing_any_more_is_settled() {
    let desk = many();
    rules(&desk, "redacted *", 6);
    desk.run(&["config", "unset", "privacy.rules"]).expect(0);
    assert_eq!(desk.json(&["decisions"]), json!({ "decisions": [] }));
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk).iter().filter(|text| text.starts_with("letter")).count(), 30);
}

// S8, L8: somebody decided to leave all of them, and says otherwise of one
#[test]
fn a_persons_word_counts_also_after_a_decision_to_leave_it() {
    let desk = many();
    rules(&desk, "local_only /letters/", 6);
    let number = desk.json(&["decisions"])["decisions"][0]["decision"].to_string();
    desk.run(&["reject", &number]).expect(0);
    desk.run(&["edit", "letters/1.txt", "--privacy", "local_only"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 30);
    assert!(!texts(&desk).iter().any(|text| text == "letter 1"));
}

// S8, D5: its texts are in the catalogue still
#[test]
fn a_library_that_is_removed_makes_nothing_public() {
    let desk = Desk::with_files(&[("letters/a.txt", "alpha"), ("b.txt", "beta")]);
    rules(&desk, "local_only /letters/", 0);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    let other = desk.path("other");
    fs::create_dir(&other).unwrap();
    desk.run(&["init", other.to_str().unwrap(), "--name", "other"]).expect(0);
    desk.run(&["library", "remove", "books"]).expect(0);
    let url = format!("dir:{}", desk.path("second").display());
    desk.run(&["store", "add", &url]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
    let second: i64 =
        desk.sql("SELECT count(*) FROM remote_objects WHERE store_id = 2 AND state = 'current'");
    assert_eq!(second, 1, "that which may leave");
    // Not even where the rules are looked at anew.
    rules(&desk, "local_only /letters/\nredacted *.eml", 0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
}

// S8, O2
#[test]
fn what_a_store_that_is_away_has_is_deleted_when_it_is_back() {
    let desk = desk("both");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    desk.run(&["edit", "letters/a.txt", "--privacy", "local_only"]).expect(0);
    let away = desk.run(&["sync", "--json"]).expect(5).json();
    assert_eq!((&away["queued"], &away["recalled_objects"]), (&json!(2), &json!(0)));
    let orphan = desk.json(&["orphans"])["orphans"][0].take();
    assert_eq!((&orphan["taken_back"], &orphan["deletion"]), (&json!(true), &json!("pending")));
    // The clean-up has nothing to say about it: neither grace nor brake.
    let clean = desk.run(&["orphans", "clean", "--json"]).expect(0).json();
    assert_eq!((&clean["in_grace"], &clean["orphans"]), (&json!(0), &json!([])));
    fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta", "beta"]);
}

// S8: the name of an original says its content, and another document may have the same
#[test]
fn bytes_that_another_document_needs_stay_and_the_log_says_so() {
    // Empty files stand alone.
    let desk = Desk::with_files(&[("a.txt", ""), ("b.txt", "")]);
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 1);
    desk.run(&["edit", "a.txt", "--privacy", "local_only"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 1);
    let log = said(&desk, "a.txt");
    assert!(log.contains("local only; its bytes stay, another document has the same"), "{log}");
    desk.run(&["edit", "b.txt", "--privacy", "local_only"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 0);
}

// S8: what was written on cards before this could be done
#[test]
fn an_early_word_takes_back_what_it_could_not_then() {
    let desk = desk("enriched");
    desk.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'privacy', 'person', '[\"local_only\"]', 1.0, 0 FROM files WHERE name = CAST('a.txt' AS BLOB)",
    );
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["beta"]);
}

#[cfg(feature = "failpoints")]
fn cut(desk: &Desk, args: &[&str], point: &str) {
    let ran = desk.command(args).env("FAILPOINTS", format!("{point}=return")).output().unwrap();
    assert_eq!(ran.status.code(), Some(128 + 9), "{point}: {ran:?}");
}

// S8, T3: the power is cut between any two steps of taking back
#[cfg(feature = "failpoints")]
#[test]
fn what_is_taken_back_is_gone_whenever_the_power_was_cut() {
    for point in ["edit-document", "edit-written", "edit-committed"] {
        let desk = desk("both");
        cut(&desk, &["edit", "letters/a.txt", "--privacy", "local_only"], point);
        let kept = point == "edit-committed";
        desk.run(&["sync"]).expect(0);
        assert_eq!(desk.objects().len(), if kept { 2 } else { 4 }, "{point}: all of it or nothing");
    }
    for point in ["push-leased", "clean-deleted", "push-planned", "push-sent", "push-current"] {
        for word in ["local_only", "redacted"] {
            let desk = desk("both");
            desk.run(&["edit", "letters/a.txt", "--privacy", word]).expect(0);
            let ran = desk.command(&["sync"]).env("FAILPOINTS", format!("{point}=return")).output().unwrap();
            let killed = ran.status.code() == Some(128 + 9);
            assert!(killed || (word == "local_only" && point.starts_with("push-")), "{point} {word}");
            desk.run(&["sync"]).expect(0);
            let expected: &[&str] =
                if word == "redacted" { &["", "beta", "beta"] } else { &["beta", "beta"] };
            assert_eq!(texts(&desk), expected, "{point} {word}");
            assert_eq!(pending(&desk), 0, "{point} {word}");
        }
    }
}

// S8, T2, T3: what was never proved is not current for having been taken back and allowed again
#[cfg(feature = "failpoints")]
#[test]
fn what_was_on_its_way_is_proved_when_it_may_leave_again() {
    let desk = Desk::with_files(&[("letters/a.txt", "alpha"), ("b.txt", "beta")]);
    desk.add_mirror("original");
    cut(&desk, &["sync"], "push-uploading");
    desk.run(&["edit", "letters/a.txt", "--privacy", "local_only"]).expect(0);
    desk.run(&["undo"]).expect(0);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "beta"]);
    desk.run(&["store", "check", "--read"]).expect(0);
}

// S8, T8, T3: it was on its way when the run died, and is taken back before the next
#[cfg(feature = "failpoints")]
#[test]
fn what_was_on_its_way_when_it_was_taken_back_does_not_stay() {
    for point in [
        "push-leased",
        "push-planned",
        "push-uploading",
        "push-sent",
        "push-uploaded",
        "push-verified",
        "push-searchable",
        "push-current",
    ] {
        let desk = Desk::with_files(&[("letters/a.txt", "alpha"), ("b.txt", "beta")]);
        desk.add_mirror("both");
        cut(&desk, &["sync"], point);
        desk.run(&["edit", "letters/a.txt", "--privacy", "local_only"]).expect(0);
        // Deleting needs no disk, whatever else of the document waits for one.
        fs::rename(desk.library(), desk.path("away")).unwrap();
        desk.run(&["sync"]).expect(0);
        assert!(!texts(&desk).iter().any(|text| text == "alpha"), "{point}");
        let a = "document_id = (SELECT document_id FROM files WHERE name = CAST('a.txt' AS BLOB))";
        let left: i64 = desk.sql(&format!(
            "SELECT (SELECT count(*) FROM outbox WHERE {a} AND state IN ('pending', 'leased', 'dead'))
                  + (SELECT count(*) FROM remote_objects WHERE {a} AND state <> 'deleted')"
        ));
        assert_eq!(left, 0, "{point}");
        fs::rename(desk.path("away"), desk.library()).unwrap();
        desk.run(&["sync"]).expect(0);
        assert_eq!(texts(&desk), ["beta", "beta"], "{point}");
    }
}
