//! What of everything is for each store (S1), and that what is not is left where it is (D5).

use std::fs;

use serde_json::{Value, json};

use crate::desk::Desk;

fn desk() -> Desk {
    Desk::with_files(&[("letters/a.txt", "alpha"), ("letters/drafts/b.txt", "beta"), ("c.txt", "gamma")])
}

fn add(desk: &Desk, payload: &str, scope: &[&str]) -> Value {
    let url = format!("dir:{}", desk.mirror().display());
    desk.json(&[&["store", "add", &url, "--payload", payload], scope].concat())
}

fn scope(desk: &Desk, args: &[&str]) -> Value {
    desk.json(&[&["store", "scope", "mirror"], args].concat())
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

fn orphans(desk: &Desk) -> usize {
    desk.json(&["orphans"])["orphans"].as_array().unwrap().len()
}

fn numbers(said: &Value) -> [u64; 5] {
    ["documents", "coming", "going", "staying", "retired"].map(|key| said[key].as_u64().unwrap())
}

fn uploaded(desk: &Desk) -> u64 {
    desk.json(&["sync"])["uploaded_objects"].as_u64().unwrap()
}

fn status(desk: &Desk, path: &str) -> String {
    let listed = desk.json(&["list"]);
    let files = listed["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == path).unwrap();
    file["status"].as_str().unwrap().to_owned()
}

// S1
#[test]
fn a_store_is_given_what_is_for_it() {
    for payload in ["original", "enriched", "both"] {
        let desk = desk();
        desk.run(&["sync"]).expect(0);
        let added = add(&desk, payload, &["--include", "/letters/", "--exclude", "drafts/"]);
        assert_eq!((&added["queued"], &added["scope"]["include"]), (&json!(1), &json!(["/letters/"])));
        let times = if payload == "both" { 2 } else { 1 };
        assert_eq!(uploaded(&desk), times, "{payload}");
        assert_eq!(texts(&desk), vec!["alpha"; usize::try_from(times).unwrap()]);
        assert_eq!(pending(&desk), 0);
        assert_eq!([status(&desk, "letters/a.txt"), status(&desk, "c.txt")], ["uploaded", "skipped"]);

        // What comes later, too.
        desk.write("d.txt", "delta");
        desk.write("letters/e.txt", "epsilon");
        assert_eq!(uploaded(&desk), times);
        assert!(!texts(&desk).contains(&"delta".to_owned()));
        assert_eq!(pending(&desk), 0);
    }
}

// S1
#[test]
fn what_is_for_a_store_is_shown() {
    let desk = desk();
    add(&desk, "enriched", &["--include", "/letters/", "--exclude", "drafts/"]);
    desk.run(&["sync"]).expect(0);
    let listed = desk.json(&["store", "list"]);
    assert_eq!(listed["stores"][0]["scope"], json!({ "include": ["/letters/"], "exclude": ["drafts/"] }));
    let listed = desk.run(&["store", "list"]).expect(0).stdout;
    assert!(listed.contains("SCOPE") && listed.contains("/letters/, not drafts/"), "{listed}");
    let shown = desk.run(&["store", "scope", "mirror"]).expect(0).stdout;
    assert!(shown.contains("for mirror is: /letters/, not drafts/\n  1 document\n"), "{shown}");
    for (path, is_in, pattern, words) in [
        ("letters/a.txt", true, json!("/letters/"), "for mirror, by /letters/"),
        ("letters/drafts/b.txt", false, json!("drafts/"), "not for mirror: left out by drafts/"),
        ("c.txt", false, Value::Null, "not for mirror: no pattern takes it in"),
    ] {
        let told = desk.json(&["explain", path]);
        assert_eq!(
            told["stores"],
            json!([{ "store": "mirror", "in_scope": is_in, "pattern": pattern }]),
            "{path}"
        );
        let told = desk.run(&["explain", path]).expect(0).stdout;
        assert!(told.contains(words), "{told}");
    }
    scope(&desk, &["--all"]);
    let listed = desk.run(&["store", "list"]).expect(0).stdout;
    assert!(!listed.contains("SCOPE"), "{listed}");
    assert_eq!(desk.json(&["store", "list"])["stores"][0]["scope"], Value::Null);
    let told = desk.run(&["explain", "c.txt"]).expect(0).stdout;
    assert!(!told.contains("scope"), "{told}");
}

// S1, D5
#[test]
fn what_goes_out_of_scope_stays_as_it_is_and_nothing_of_it_is_sent() {
    for payload in ["original", "enriched", "both"] {
        let desk = desk();
        add(&desk, payload, &[]);
        desk.run(&["sync"]).expect(0);
        let before = desk.objects();
        let said = scope(&desk, &["--include", "/letters/"]);
        assert_eq!(numbers(&said), [2, 0, 1, 1, 0]);
        let said = desk.run(&["store", "scope", "mirror"]).expect(0).stdout;
        assert!(said.contains("stays there as it is and is not brought up to date"), "{said}");
        assert!(said.contains("store scope mirror --retire"), "{said}");

        desk.write("c.txt", "gamma, edited");
        desk.run(&["edit", "c.txt", "--title", "Another"]).expect(0);
        assert_eq!(uploaded(&desk), 0, "{payload}");
        assert_eq!(desk.objects(), before);
        assert_eq!((orphans(&desk), pending(&desk)), (0, 0));
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state <> 'current'"), 0);

        // And comes back as it is now.
        let said = scope(&desk, &["--all"]);
        assert_eq!(numbers(&said), [3, 1, 0, 0, 0]);
        desk.run(&["sync"]).expect(0);
        assert!(texts(&desk).contains(&"gamma, edited".to_owned()), "{payload}");
    }
}

// S1: nothing waits for ever for a store that it is not for
#[test]
fn what_is_not_for_a_store_does_not_wait_for_a_disk() {
    let desk = desk();
    add(&desk, "original", &[]);
    desk.scan();
    fs::rename(desk.library(), desk.path("away")).unwrap();
    assert_eq!(pending(&desk), 3);
    scope(&desk, &["--exclude", "/c.txt"]);
    assert_eq!(pending(&desk), 2);
    // What is put in line later is found out before anything is sent.
    desk.run(&["edit", "c.txt", "--title", "Another"]).expect(0);
    assert_eq!(pending(&desk), 3);
    desk.run(&["sync"]).expect(0);
    assert_eq!(pending(&desk), 2);
    assert_eq!(status(&desk, "c.txt"), "skipped");
    let log = desk.run(&["history", "c.txt"]).expect(0).stdout;
    assert!(log.contains("not for this store"), "{log}");
}

// S1, L7
#[test]
fn what_is_moved_into_scope_is_sent_and_what_is_moved_out_stays() {
    let desk = desk();
    add(&desk, "enriched", &["--include", "/letters/"]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "beta"]);
    desk.rename("c.txt", "letters/c.txt");
    desk.rename("letters/a.txt", "a.txt");
    assert_eq!(uploaded(&desk), 1);
    assert_eq!(texts(&desk), ["alpha", "beta", "gamma"]);
    assert_eq!((orphans(&desk), pending(&desk)), (0, 0));
    // Edited outside, and moved back.
    desk.run(&["edit", "a.txt", "--title", "Another"]).expect(0);
    assert_eq!(uploaded(&desk), 0);
    desk.rename("a.txt", "letters/a.txt");
    assert_eq!(uploaded(&desk), 1);
    assert!(desk.objects().values().any(|object| String::from_utf8_lossy(object).contains("Another")));
    assert_eq!(pending(&desk), 0);
}

// S1, L15: a missing copy's place counts, too
#[test]
fn a_copy_in_scope_is_enough_also_when_it_is_missing() {
    let desk = desk();
    add(&desk, "original", &["--include", "/letters/"]);
    desk.run(&["sync"]).expect(0);
    desk.write("letters/c.txt", "gamma");
    assert_eq!(uploaded(&desk), 1);
    assert_eq!(texts(&desk), ["alpha", "beta", "gamma"]);
    desk.remove("letters/c.txt");
    desk.run(&["sync"]).expect(0);
    let told = desk.json(&["explain", "c.txt"]);
    assert_eq!(told["stores"][0]["in_scope"], json!(true));
}

// S1
#[test]
fn a_kind_of_source_can_be_what_is_for_a_store() {
    let desk = desk();
    add(&desk, "enriched", &["--include", "type:diary", "--exclude", "drafts/"]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 0);
    desk.run(&["edit", "c.txt", "--type", "Diary"]).expect(0);
    desk.run(&["edit", "letters/drafts/b.txt", "--type", "diary"]).expect(0);
    assert_eq!(uploaded(&desk), 1);
    assert_eq!(texts(&desk), ["gamma"]);
    // Taking the word back takes it out, and nothing away.
    desk.run(&["edit", "c.txt", "--clear", "type"]).expect(0);
    desk.run(&["edit", "c.txt", "--title", "Another"]).expect(0);
    assert_eq!(uploaded(&desk), 0);
    assert_eq!((texts(&desk).len(), orphans(&desk), pending(&desk)), (1, 0, 0));
}

// S1: also where nothing else would put it in line
#[test]
fn what_a_word_left_out_comes_in_when_the_word_is_taken_back() {
    let desk = desk();
    desk.scan();
    desk.run(&["edit", "c.txt", "--type", "diary"]).expect(0);
    add(&desk, "original", &["--exclude", "type:diary"]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "beta"]);
    desk.execute("DELETE FROM annotations WHERE field = 'source_type'");
    assert_eq!(uploaded(&desk), 1);
    assert_eq!(texts(&desk), ["alpha", "beta", "gamma"]);
}

// S1
#[test]
fn a_library_can_be_what_is_for_a_store() {
    let desk = desk();
    let films = desk.path("films");
    fs::create_dir(&films).unwrap();
    fs::write(films.join("f.txt"), "film").unwrap();
    desk.run(&["init", films.to_str().unwrap(), "--name", "films"]).expect(0);
    add(&desk, "enriched", &["--include", "library:films"]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["film"]);
    scope(&desk, &["--exclude", "library:films", "--exclude", "drafts/"]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(texts(&desk), ["alpha", "film", "gamma"]);
}

// S1
#[test]
fn a_pattern_that_is_not_understood_is_a_usage_error() {
    let desk = desk();
    let url = format!("dir:{}", desk.mirror().display());
    for (pattern, says) in [
        ("[z-a]", "is no pattern"),
        ("!a", "an exception is a pattern of --exclude"),
        ("type:", "names no kind of source"),
        ("library:boks", "there is no library \"boks\""),
    ] {
        for add in [vec!["store", "add", &url], vec!["store", "scope", "mirror"]] {
            let is_new = add[1] == "add";
            let ran = desk.run(&[&add[..], &["--exclude", pattern]].concat()).expect(2);
            assert!(ran.stderr.contains(says) && ran.stderr.contains("hint:"), "{ran:?}");
            if is_new {
                assert!(!desk.mirror().exists(), "nothing was made");
                desk.run(&["store", "add", &url]).expect(0);
            }
        }
        desk.run(&["store", "remove", "mirror"]).expect(0);
        fs::remove_dir_all(desk.mirror()).unwrap();
    }
    desk.run(&["store", "add", &url]).expect(0);
    desk.run(&["store", "scope", "mirror", "--all", "--include", "a"]).expect(2);
}

// S1
#[test]
fn a_dry_run_says_what_comes_and_goes_and_changes_nothing() {
    let desk = desk();
    add(&desk, "enriched", &["--include", "/letters/"]);
    desk.run(&["sync"]).expect(0);
    let said = scope(&desk, &["--exclude", "drafts/", "--dry-run"]);
    assert_eq!(numbers(&said), [2, 1, 1, 1, 0]);
    let said =
        desk.run(&["store", "scope", "mirror", "--exclude", "drafts/", "--retire", "--dry-run"]).expect(0);
    assert!(said.stdout.contains("for mirror would be: all, not drafts/"), "{said:?}");
    assert!(said.stdout.contains("of 1 document that is not for it would be orphaned"), "{said:?}");
    assert_eq!((pending(&desk), orphans(&desk)), (0, 0));
    assert_eq!(
        desk.json(&["store", "list"])["stores"][0]["scope"],
        json!({ "include": ["/letters/"], "exclude": [] })
    );
    assert_eq!(uploaded(&desk), 0);
}

// S1, D5, S2: only on a word, with the grace of orphans
#[test]
fn what_is_not_for_a_store_is_retired_on_a_word_and_comes_back_without_an_upload() {
    let desk = desk();
    add(&desk, "both", &[]);
    desk.run(&["sync"]).expect(0);
    let before = desk.objects();
    scope(&desk, &["--include", "/letters/"]);
    let said = scope(&desk, &["--retire"]);
    assert_eq!(numbers(&said), [2, 0, 0, 1, 1]);
    assert_eq!(said["scope"]["include"], json!(["/letters/"]), "what is for it is as it was");
    let listed = desk.json(&["orphans"]);
    assert_eq!(listed["orphans"].as_array().unwrap().len(), 2);
    assert_eq!(listed["orphans"][0]["cause"], json!("not for this store"));
    desk.run(&["orphans", "clean"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before, "they have a grace");

    scope(&desk, &["--all"]);
    assert_eq!(uploaded(&desk), 0);
    assert_eq!((orphans(&desk), pending(&desk)), (0, 0));

    scope(&desk, &["--include", "/letters/", "--retire"]);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    desk.run(&["orphans", "clean"]).expect(0);
    assert_eq!(desk.objects().len(), 4);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 4);
}

// S1, D5: what was begun and never arrived is given up; the next sync has nothing left to do for it
#[test]
fn what_was_begun_when_it_went_out_of_scope_is_given_up() {
    let desk = desk();
    add(&desk, "original", &[]);
    desk.run(&["sync"]).expect(0);
    desk.write("c.txt", "gamma, edited");
    desk.scan();
    // A run was cut off while it sent the replacement, and then the disk was unplugged.
    desk.execute(
        "INSERT INTO remote_objects (store_id, document_id, payload, remote_id, upload_hash, bytes, content_hash, state, created_at,
                                     updated_at)
         SELECT 1, d.document_id, 'original', 'original/' || lower(hex(d.content_hash)), d.content_hash, d.size, d.content_hash,
                'uploading', 1, 1 FROM documents d JOIN files f USING (document_id) WHERE f.name = CAST('c.txt' AS BLOB);
         UPDATE outbox SET leases = 1 WHERE state = 'pending'",
    );
    fs::rename(desk.library(), desk.path("away")).unwrap();
    scope(&desk, &["--include", "/letters/"]);
    desk.run(&["sync"]).expect(0);
    assert_eq!(pending(&desk), 0);
    let states: String = desk
        .sql("SELECT group_concat(state, ' ') FROM (SELECT state FROM remote_objects ORDER BY object_id)");
    assert_eq!(states, "current current current orphaned");
}

// T7, D5: a store that was emptied is filled again with all that it had
#[test]
fn a_store_that_was_emptied_gets_back_what_it_had_out_of_scope() {
    let desk = desk();
    add(&desk, "original", &[]);
    desk.run(&["sync"]).expect(0);
    let before = desk.objects();
    scope(&desk, &["--include", "/letters/a.txt"]);
    fs::remove_dir_all(desk.mirror().join("original")).unwrap();
    desk.run(&["store", "check", "mirror", "--repair"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before);
    assert_eq!((orphans(&desk), pending(&desk)), (0, 0));

    // And begun anew. What it never had it is not given.
    desk.write("d.txt", "delta");
    desk.run(&["sync"]).expect(0);
    fs::remove_dir_all(desk.mirror()).unwrap();
    fs::create_dir(desk.mirror()).unwrap();
    desk.run(&["store", "check", "mirror", "--repair", "--anew"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects(), before);
    assert_eq!((orphans(&desk), pending(&desk)), (0, 0));
}

// S1, T7: also what is put in line within a sync, after it was asked what is for the store
#[test]
fn what_a_restored_store_never_had_out_of_scope_is_not_sent() {
    let desk = desk();
    add(&desk, "original", &["--include", "/letters/a.txt"]);
    desk.run(&["sync"]).expect(0);
    let card = desk.mirror().join(".shelflist-store.json");
    let mut said: Value = serde_json::from_str(&fs::read_to_string(&card).unwrap()).unwrap();
    said["generation"] = json!("01HZZZZZZZZZZZZZZZZZZZZZZZ");
    fs::write(&card, said.to_string()).unwrap();
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.sql::<String>("SELECT generation FROM stores"), "01HZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_eq!(texts(&desk), ["alpha"]);
    assert_eq!((orphans(&desk), pending(&desk)), (0, 0));
    let noted =
        "SELECT count(*) FROM outbox WHERE state = 'done' AND leases > 0 AND note = 'not for this store'";
    assert_eq!(desk.sql::<i64>(noted), 2);
}

// S1, S8: a scope that cannot be read sends nothing
#[test]
fn a_scope_that_is_not_understood_sends_nothing_and_can_be_said_anew() {
    let desk = desk();
    add(&desk, "enriched", &["--include", "/letters/"]);
    desk.execute("UPDATE stores SET scope = '{\"include\": [\"[z-a]\"], \"exclude\": []}'");
    let ran = desk.run(&["sync"]).expect(1);
    assert!(ran.stderr.contains("shelflist store scope STORE"), "{ran:?}");
    assert_eq!(desk.objects().len(), 0);
    scope(&desk, &["--all"]);
    assert_eq!(uploaded(&desk), 3);
}
