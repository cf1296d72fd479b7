//! The program itself with Gemini File Search: a library goes there, is replaced, cleaned up and asked; and bad luck.

use std::os::unix::process::CommandExt;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use super::desk::{Desk, Ran};
use super::peers::gemini::{self, Gemini};
use super::peers::{PASSWORD, free_port};
use super::wait::{until, until_ended};

const CATS: &str = "# About cats\n\nCats sleep all day on warm shelves.\n";
const MOON: &str = "# Moon\n\nThe moon orbits the earth.\n";

fn desk() -> Desk {
    let desk = Desk::with_files(&[("cats.md", CATS), ("moon.md", MOON)]);
    desk.run(&["scan"]).expect(0);
    desk
}

fn run(desk: &Desk, args: &[&str]) -> Ran {
    desk.command(args).env("GEMINI_API_KEY", PASSWORD).output().unwrap().into()
}

fn json(desk: &Desk, args: &[&str]) -> Value {
    run(desk, &[args, &["--json"]].concat()).expect(0).json()
}

fn add(desk: &Desk, server: &Gemini) {
    let added = json(desk, &["store", "add", &server.url("papers"), "--name", "google"]);
    assert_eq!((&added["queued"], &added["probe"]), (&json!(2), &Value::Null));
}

/// With two documents that can be found.
fn synced() -> (Gemini, Desk) {
    let (server, desk) = (gemini::server(), desk());
    add(&desk, &server);
    let report = json(&desk, &["sync"]);
    assert_eq!((&report["uploaded_objects"], &report["queued"]), (&json!(2), &json!(0)), "{report}");
    (server, desk)
}

fn titles(server: &Gemini) -> Vec<String> {
    let mut titles: Vec<String> =
        server.documents().iter().map(|it| it["displayName"].as_str().unwrap().to_owned()).collect();
    titles.sort();
    titles
}

/// Of each document of ours how many there are in the store.
fn uploaded(desk: &Desk) -> Value {
    json(desk, &["store", "list"])["stores"][0]["uploaded"].clone()
}

// S9
#[test]
fn a_library_goes_to_gemini_once() {
    let (server, desk) = synced();
    assert_eq!(titles(&server), ["About cats", "Moon"]);
    assert_eq!(uploaded(&desk), 2);
    assert_eq!(server.finalized(), 2);
    let again = json(&desk, &["sync"]);
    assert_eq!((&again["uploaded_objects"], &again["queued"]), (&json!(0), &json!(0)));
    assert_eq!(server.finalized(), 2);
    // Another device joins the store, and finds what is there by its key. Its documents have ids of their own.
    assert_eq!(server.stores().len(), 1);
    let other = self::desk();
    add(&other, &server);
    assert_eq!(server.stores().len(), 1);
}

// S1: only text and metadata go there.
#[test]
fn files_do_not_go_to_gemini() {
    let (server, desk) = (gemini::server(), desk());
    run(&desk, &["store", "add", &server.url("papers"), "--payload", "original"]).expect(2);
    let bare: Ran = desk.command(&["store", "add", &server.url("papers")]).output().unwrap().into();
    let bare = bare.expect(1);
    assert!(bare.stderr.contains("GEMINI_API_KEY"), "{bare:?}");
    assert_eq!(server.stores(), Vec::<String>::new());
}

// S1: as Google's own clients choose.
#[test]
fn of_two_keys_in_the_environment_googles_own_counts() {
    let (server, desk) = (gemini::server(), desk());
    let url = server.url("papers");
    let add = |google: &str, gemini: &str| -> Ran {
        let mut command = desk.command(&["store", "add", &url]);
        command.env("GOOGLE_API_KEY", google).env("GEMINI_API_KEY", gemini).output().unwrap().into()
    };
    let refused = add("wrong", PASSWORD).expect(1);
    assert!(refused.stderr.contains("the API key is not valid"), "{refused:?}");
    add(PASSWORD, "wrong").expect(0);
}

// T2
#[test]
fn a_replacement_stands_before_what_it_replaces_goes() {
    let (server, desk) = synced();
    desk.write("cats.md", "# About cats\n\nCats hunt at night.\n");
    let report = json(&desk, &["sync"]);
    assert_eq!(report["uploaded_objects"], 1, "{report}");
    assert_eq!(titles(&server), ["About cats", "About cats", "Moon"]);
    // The store answers out of both; what is former is said to be.
    let answer = json(&desk, &["ask", "when do cats sleep or hunt"]);
    let passages = answer["sources"][0]["passages"].as_array().unwrap();
    let hunts = |it: &Value| it["text"].as_str().unwrap().contains("hunt");
    assert!(passages.iter().any(|it| hunts(it) && it["current"] == true), "{answer}");
    assert!(passages.iter().any(|it| !hunts(it) && it["current"] == false), "{answer}");

    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    let cleaned = json(&desk, &["orphans", "clean"]);
    assert_eq!(titles(&server), ["About cats", "Moon"], "{cleaned}");
    assert_eq!(uploaded(&desk), 2);
}

// T2, T3: nothing is retired before the new one can be found, and nothing is sent twice however often it is killed.
#[test]
fn a_document_that_cannot_be_found_yet_retires_nothing() {
    let (server, desk) = synced();
    server.set(&json!({ "document_state": "STATE_FAILED", "pending_polls": 0 }));
    desk.write("cats.md", "# About cats\n\nCats hunt at night.\n");
    let both = ["About cats", "About cats", "Moon"];
    for (signal, code) in [(Signal::KILL, None), (Signal::INT, Some(130))] {
        let mut syncing = desk.command(&["sync", "now"]);
        if server.finalized() == 2 {
            syncing = desk.command(&["sync"]);
        }
        let mut syncing = syncing.env("GEMINI_API_KEY", PASSWORD).process_group(0).spawn().unwrap();
        // It is there, and was looked at: the program waits for it to be found.
        let looked = server.asked().len();
        until("the document to be looked at", || {
            server.asked()[looked..].iter().filter(|line| line.contains("/documents/about-cats")).count() > 3
        });
        kill_process_group(Pid::from_child(&syncing), signal).unwrap();
        assert_eq!(until_ended(&mut syncing).code(), code);
        let orphans = json(&desk, &["orphans"]);
        assert_eq!(orphans["orphans"], json!([]), "{orphans}");
        assert_eq!((titles(&server), server.finalized()), (both.map(str::to_owned).to_vec(), 3));
    }
    // Seen in the wild: it turns after all.
    server.turn_searchable();
    let report = json(&desk, &["sync", "now"]);
    assert_eq!((&report["queued"], server.finalized()), (&json!(0), 3), "{report}");
    assert_eq!(json(&desk, &["orphans"])["orphans"].as_array().map(Vec::len), Some(1));
}

// S2, T3: the whole way round.
#[test]
fn an_answer_that_was_lost_in_a_sync_leaves_one_document() {
    let (server, desk) = (gemini::server(), desk());
    add(&desk, &server);
    server.fault(&json!({ "match": "finalize$", "drop": "after" }));
    // What only waits is no trouble of the run.
    run(&desk, &["sync"]).expect(0);
    let report = json(&desk, &["sync", "now"]);
    assert_eq!(report["queued"], 0, "{report}");
    assert_eq!(titles(&server), ["About cats", "Moon"]);
    assert_eq!(server.finalized(), 2, "{:?}", server.asked());
    assert_eq!(uploaded(&desk), 2);
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0, "nobody's verdict (T5)");
}

// S6, T5
#[test]
fn a_store_that_is_full_or_away_keeps_the_queue() {
    let (server, desk) = (gemini::server(), desk());
    add(&desk, &server);
    server.set(&json!({ "storage_limit_bytes": 5 }));
    let full = run(&desk, &["sync", "--json"]).expect(5).json();
    assert!(full["offline"][0]["message"].as_str().unwrap().contains("is full"), "{full}");
    server.set(&json!({ "storage_limit_bytes": 1_000_000 }));
    server.fault(&json!({ "match": "start$", "times": 99, "status": 400, "message": "API key not valid.",
        "details": [{ "reason": "API_KEY_INVALID" }] }));
    let denied = run(&desk, &["sync", "now", "--json"]).expect(5).json();
    assert!(denied["offline"][0]["message"].as_str().unwrap().contains("not valid"), "{denied}");
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state = 'dead'"), 0);
}

// T7
#[test]
fn a_store_that_was_wiped_is_no_store_and_nothing_is_deleted() {
    let (server, desk) = synced();
    server.delete(&server.stores()[0]);
    desk.write("new.md", "# New\n\nwords\n");
    let report = run(&desk, &["sync", "--json"]).expect(5).json();
    assert_eq!(report["queued"], 1, "{report}");
    assert_eq!(uploaded(&desk), 2, "the ledger is kept");
    assert!(server.stores().is_empty(), "nobody begins it anew by himself");
    // Whoever begins it anew has it filled.
    server.make_store("papers");
    let report = json(&desk, &["sync"]);
    assert_eq!((&report["queued"], server.documents().len()), (&json!(0), 3), "{report}");
}

// S9: requests are counted there
#[test]
fn a_document_is_looked_at_for_its_name_and_for_its_proof() {
    let (server, desk) = (gemini::server(), desk());
    add(&desk, &server);
    let asked =
        || server.asked().iter().filter(|it| it.starts_with("GET ") && it.contains("/documents/")).count();
    let before = asked();
    json(&desk, &["sync"]);
    assert_eq!((uploaded(&desk), asked() - before), (json!(2), 4), "{:#?}", server.asked());
}

// S9: the list was late, and two devices had begun a store each.
#[test]
fn what_is_in_the_younger_of_two_stores_moves_to_the_older() {
    let (server, desk) = (gemini::server(), desk());
    server.set(&json!({ "frozen_time": "2026-11-21T02:00:00Z" }));
    add(&desk, &server);
    json(&desk, &["sync"]);
    server.set(&json!({ "frozen_time": "2026-11-21T01:00:00Z" }));
    let older = server.make_store("papers");
    json(&desk, &["sync"]);
    let of_older = || {
        let documents = server.documents();
        let of = documents.iter().filter(|it| it["name"].as_str().unwrap().starts_with(&older)).count();
        (of, documents.len())
    };
    assert_eq!((of_older(), uploaded(&desk)), ((2, 4), json!(2)), "T7: nothing is deleted by a refill");
    // T2: what is left in the younger one is the clean-up's.
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    json(&desk, &["orphans", "clean"]);
    assert_eq!((of_older(), uploaded(&desk)), ((2, 2), json!(2)));
    let answer = json(&desk, &["ask", "where do cats sleep"]);
    assert_eq!(answer["sources"][0]["document"]["path"], "cats.md");
}

// S9
#[test]
fn what_will_be_forgotten_soon_is_given_anew_before() {
    let (server, desk) = (gemini::server(), desk());
    add(&desk, &server);
    server.set(&json!({ "expires_in_s": 24 * 60 * 60 }));
    json(&desk, &["sync"]);
    server.set(&json!({ "expires_in_s": null }));
    json(&desk, &["sync"]);
    assert_eq!(titles(&server), ["About cats", "Moon"], "not before half of its life is over");
    desk.execute("UPDATE remote_objects SET uploaded_at = uploaded_at - 86400000");
    json(&desk, &["sync"]);
    assert_eq!(titles(&server), ["About cats", "About cats", "Moon", "Moon"]);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    json(&desk, &["orphans", "clean"]);
    assert_eq!(titles(&server), ["About cats", "Moon"]);
    assert!(server.documents().iter().all(|it| it["expirationTime"].is_null()));
}

// S12, S2
#[test]
fn a_check_finds_what_is_missing_and_what_is_there_twice() {
    let (server, desk) = synced();
    run(&desk, &["store", "check"]).expect(0);
    // A list that was late, or another program: the same document under a second name.
    let copied = server.copy_document("Moon");
    let cats = server.documents().into_iter().find(|it| it["displayName"] == "About cats").unwrap();
    server.delete(cats["name"].as_str().unwrap());
    let found = run(&desk, &["store", "check", "--json"]).expect(3).json();
    let counts = &found["stores"][0]["counts"];
    assert_eq!((&counts["missing"], &counts["strangers"]), (&json!(1), &json!(1)), "{found}");
    run(&desk, &["store", "check", "--repair"]);
    json(&desk, &["sync"]);
    assert_eq!(titles(&server), ["About cats", "Moon", "Moon"], "nothing is deleted by a check");
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    json(&desk, &["orphans", "clean"]);
    assert_eq!(titles(&server), ["About cats", "Moon"]);
    assert!(server.documents().iter().all(|it| it["name"] != copied.as_str()), "the copy goes, not ours");
    run(&desk, &["store", "check"]).expect(0);
}

// S8
#[test]
fn what_becomes_private_is_taken_back_from_gemini() {
    let (server, desk) = synced();
    run(&desk, &["edit", "cats.md", "--privacy", "local_only"]).expect(0);
    json(&desk, &["sync"]);
    assert_eq!(titles(&server), ["Moon"]);
    run(&desk, &["edit", "moon.md", "--privacy", "redacted"]).expect(0);
    json(&desk, &["sync"]);
    let answer = json(&desk, &["ask", "what does orbit the earth"]);
    assert_eq!(
        (answer["sources"].as_array().map(Vec::len), titles(&server)),
        (Some(0), vec!["Moon".to_owned()])
    );
}

// S12: another model is no other store.
#[test]
fn a_store_may_be_asked_by_another_model_from_now_on() {
    let (server, desk) = synced();
    run(&desk, &["store", "relocate", "google", &format!("{}&model=gemini-9-pro", server.url("papers"))])
        .expect(0);
    let answer = json(&desk, &["ask", "where do cats sleep"]);
    assert_eq!((&answer["model"], &answer["answered"]), (&json!("gemini-9-pro"), &json!(true)));
    assert_eq!(json(&desk, &["sync"])["uploaded_objects"], 0);
    run(&desk, &["store", "relocate", "google", &server.url("others")]).expect(1);
}

// S9
#[test]
fn an_answer_names_documents_of_the_catalogue_with_their_places() {
    let (_server, desk) = synced();
    let answer = json(&desk, &["ask", "where", "do", "cats", "sleep"]);
    assert_eq!(answer["answered"], true);
    assert_eq!(answer["model"], "gemini-2.5-flash");
    assert_eq!(answer["answer"], "Cats sleep all day on warm shelves.");
    let source = &answer["sources"][0];
    assert_eq!(
        (&source["title"], &source["document"]["title"]),
        (&json!("About cats"), &json!("About cats"))
    );
    assert_eq!(source["document"]["path"], "cats.md");
    assert_eq!(source["document"]["available"], true);
    assert_eq!(source["passages"][0]["current"], true);
    assert_eq!(answer["citations"], json!([{ "until_byte": 35, "sources": [1] }]));

    let said = run(&desk, &["ask", "where do cats sleep"]).expect(0).stdout;
    assert!(said.starts_with("Cats sleep all day on warm shelves.[1]\n\n[1] About cats\n  "), "{said}");
    assert!(said.contains("cats.md") && said.contains("“Cats sleep all day"), "{said}");
    assert!(said.ends_with("answered by gemini-2.5-flash out of store google\n"), "{said}");

    // The disk goes; the answer says so.
    std::fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    let answer = json(&desk, &["ask", "where do cats sleep"]);
    assert_eq!(answer["sources"][0]["document"]["available"], false, "{answer}");
}

// S9
#[test]
fn an_answer_may_have_no_source_or_one_that_only_says_its_title() {
    let (server, desk) = synced();
    server.set(&json!({ "grounding": "none" }));
    let said = run(&desk, &["ask", "where do cats sleep"]).expect(0).stdout;
    assert!(said.contains("no source found"), "{said}");
    server.set(&json!({ "grounding": "title" }));
    let answer = json(&desk, &["ask", "where do cats sleep"]);
    assert_eq!(answer["sources"][0]["document"]["path"], "cats.md");
    // Two of one title: which one it is nobody knows.
    desk.write("cats2.md", "# About cats\n\nOther cats.\n");
    json(&desk, &["sync"]);
    let answer = json(&desk, &["ask", "where do cats sleep"]);
    assert_eq!(answer["sources"][0]["document"], Value::Null);
    let said = run(&desk, &["ask", "where do cats sleep"]).expect(0).stdout;
    assert!(said.contains("[1] About cats (not in this catalogue)"), "{said}");
}

// S9
#[test]
fn a_question_is_kept_to_what_the_cards_say() {
    let (server, desk) = synced();
    run(&desk, &["edit", "cats.md", "--type", "Book", "--tag", "World History", "--date", "2019-05"])
        .expect(0);
    json(&desk, &["sync"]);
    let asked = |filter: &str| {
        let answer = json(&desk, &["ask", "cats and the moon", "--where", filter]);
        let sources = answer["sources"].as_array().unwrap().clone();
        sources.iter().map(|it| it["document"]["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(asked("type:book tag:\"world history\" before:2020"), ["cats.md"]);
    assert_eq!(asked("-type:book after:2018"), Vec::<String>::new());
    let log = server.log();
    let sent =
        log.iter().rev().find(|it| it["line"].as_str().unwrap().ends_with(":generateContent")).unwrap();
    let filter = &sent["json"]["tools"][0]["fileSearch"]["metadataFilter"];
    assert_eq!(filter, "NOT (type = \"book\") AND date_from >= 20180101");

    for (filter, named) in [("cats", "\"cats\""), ("library:books", "library:"), ("missing:yes", "missing:")]
    {
        let refused = run(&desk, &["ask", "cats", "--where", filter]).expect(2);
        assert!(refused.stderr.contains(named) && refused.stderr.contains("type:"), "{refused:?}");
    }
}

// O2
#[test]
fn a_question_without_a_network_is_answered_by_the_catalogue() {
    let (server, desk) = synced();
    let nobody = format!("gemini://papers?base=http://127.0.0.1:{}", free_port());
    desk.execute(&format!("UPDATE stores SET url = '{nobody}'"));
    let offline = run(&desk, &["ask", "where do cats sleep", "--json"]).expect(5).json();
    assert_eq!((&offline["answered"], &offline["answer"]), (&json!(false), &Value::Null));
    assert!(offline["reason"]["message"].as_str().unwrap().contains("does not answer"), "{offline}");
    assert_eq!(
        (&offline["reason"]["code"], &offline["reason"]["unsent"]),
        (&json!("SHELF-SYNC-001"), &json!(0))
    );
    assert_eq!(offline["hits"][0]["path"], "cats.md", "{offline}");
    let offline = run(&desk, &["ask", "cats", "--where", "lang:xx"]).expect(5);
    assert!(offline.stdout.contains("finds nothing"), "{offline:?}");
    desk.write("new.md", "# New\n\nAbout shelves.\n");
    desk.run(&["scan"]).expect(0);
    let offline = run(&desk, &["ask", "cats sleep"]).expect(5);
    assert!(offline.stderr.contains("no answer: store") && offline.stdout.contains("cats.md"), "{offline:?}");
    assert!(
        offline.stderr.contains("google: queued, offline: 1 change waits for it (SHELF-SYNC-001)"),
        "{offline:?}"
    );
    // O1: three questions that nobody answered, and one that somebody did.
    let status = || json(&desk, &["sync", "status"])["stores"][0].take();
    assert_eq!((&status()["is_online"], &status()["failures"]), (&json!(false), &json!(3)), "{}", status());
    desk.execute(&format!("UPDATE stores SET url = '{}'", server.url("papers")));
    assert_eq!(json(&desk, &["ask", "where do cats sleep"])["answered"], true);
    assert_eq!((&status()["is_online"], &status()["code"]), (&json!(true), &Value::Null), "{}", status());
}

// O2
#[test]
fn a_question_without_a_store_says_how_to_get_one() {
    let desk = desk();
    desk.add_mirror("enriched");
    let none = desk.run(&["ask", "cats", "--json"]).expect(3).json();
    assert!(none["reason"]["hint"].as_str().unwrap().contains("store add gemini://"), "{none}");
    assert_eq!(none["store"], Value::Null);
    desk.run(&["ask", "cats", "--store", "mirror"]).expect(2);
    desk.run(&["ask", "cats", "--store", "nowhere"]).expect(2);
    desk.run(&["ask"]).expect(2);
    desk.run(&["ask", " "]).expect(2);
}

#[test]
fn a_question_that_the_model_refuses_fails() {
    let (server, desk) = synced();
    let body = "{\"candidates\": [{\"finishReason\": \"SAFETY\"}]}";
    server.fault(&json!({ "match": "generateContent", "status": 200, "body": body }));
    let refused = run(&desk, &["ask", "cats"]).expect(1);
    assert!(refused.stderr.contains("SAFETY"), "{refused:?}");
}

// R5, design section 7
#[test]
fn the_key_is_kept_and_said_nowhere() {
    let (server, desk) = (gemini::server(), desk());
    add(&desk, &server);
    let mut said = String::new();
    server.fault(&json!({ "match": "finalize$", "drop": "after" }));
    server.fault(&json!({ "match": "^GET", "skip": 1, "status": 500 }));
    for args in [&["sync", "-vv"][..], &["sync", "-vv"], &["ask", "-vv", "cats"], &["sync", "status"]] {
        let ran: Ran = desk
            .command(args)
            .env("GEMINI_API_KEY", PASSWORD)
            .env("SHELFLIST_LOG", "trace")
            .output()
            .unwrap()
            .into();
        said.push_str(&ran.stdout);
        said.push_str(&ran.stderr);
    }
    assert!(said.len() > 100);
    for secret in [PASSWORD, "upload_id"] {
        assert!(!said.contains(secret), "{said}");
        let kept = std::fs::read(desk.home().join("catalog.db")).unwrap();
        assert!(!kept.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    // Out of a command, too.
    let key = desk.path("key");
    std::fs::write(&key, PASSWORD).unwrap();
    let other = self::desk();
    let command = format!("cat {}", key.display());
    let added = other.run(&["store", "add", &server.url("papers"), "--password-command", &command]);
    added.expect(0);
    other.run(&["sync"]).expect(0);
}

#[cfg(feature = "failpoints")]
mod power {
    use super::*;

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
        let mut command = desk.command(args);
        command.env("GEMINI_API_KEY", PASSWORD).env("FAILPOINTS", format!("{point}=return"));
        let ran = command.output().unwrap();
        assert_eq!(ran.status.code(), Some(128 + 9), "{point}: {ran:?}");
    }

    fn ready() -> (Gemini, Desk) {
        let (server, desk) = (gemini::server(), desk());
        server.set(&json!({ "pending_polls": 0 }));
        add(&desk, &server);
        (server, desk)
    }

    // T3, S2: a name that died with its run is found again; nothing is there twice.
    #[test]
    fn an_upload_that_is_cut_off_anywhere_leaves_each_document_once() {
        for point in STEPS {
            let (server, desk) = ready();
            cut(&desk, &["sync"], point);
            json(&desk, &["sync"]);
            assert_eq!(titles(&server), ["About cats", "Moon"], "{point}");
            assert_eq!(uploaded(&desk), 2, "{point}");
            assert_eq!(server.finalized(), 2, "{point}: what arrived is not sent again");
            assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state <> 'done'"), 0, "{point}");
            assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0, "{point}");
        }
    }

    // T2, T3, T4: what arrived and is not wanted any more is found by its key, and cleaned up.
    #[test]
    fn a_document_that_changed_while_its_name_was_lost_leaves_nothing_behind() {
        for point in ["push-uploading", "push-sent", "push-uploaded"] {
            let (server, desk) = ready();
            json(&desk, &["sync"]);
            desk.write("cats.md", "# About cats\n\nCats hunt at night.\n");
            cut(&desk, &["sync"], point);
            desk.write("cats.md", "# About cats\n\nCats purr.\n");
            json(&desk, &["sync"]);
            desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
            json(&desk, &["orphans", "clean"]);
            assert_eq!(titles(&server), ["About cats", "Moon"], "{point}");
            let answer = json(&desk, &["ask", "do cats purr"]);
            assert_eq!(answer["answer"], "Cats purr.", "{point}");
            assert_eq!(json(&desk, &["orphans"])["orphans"], json!([]), "{point}");
        }
    }

    // T3
    #[test]
    fn a_clean_up_that_is_cut_off_is_finished_by_the_next() {
        for point in ["clean-queued", "clean-deleted"] {
            let (server, desk) = ready();
            json(&desk, &["sync"]);
            desk.write("cats.md", "# About cats\n\nCats hunt at night.\n");
            json(&desk, &["sync"]);
            desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
            cut(&desk, &["orphans", "clean"], point);
            json(&desk, &["sync"]);
            assert_eq!(titles(&server), ["About cats", "Moon"], "{point}");
            assert_eq!(json(&desk, &["orphans"])["orphans"], json!([]), "{point}");
        }
    }
}
