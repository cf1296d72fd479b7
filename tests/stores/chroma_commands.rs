//! The program itself with a Chroma store: add, sync, ask, another model, a store that was wiped, the power cut in between.

use std::sync::OnceLock;

use serde_json::{Value, json};
use ulid::Ulid;

use super::desk::{Desk, Ran};
use super::model::tiny_model;
use super::peers::{self, PASSWORD, Peer};

fn server() -> &'static Peer {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(peers::chroma)
}

fn ask(method: &str, path: &str, body: &Value) -> Value {
    let (status, said) = peers::ask_chroma(server().port, method, path, body);
    assert!(status == 200 || status == 404, "{method} {path}: {status} {said}");
    said
}

fn collection(name: &str) -> Value {
    ask("GET", &format!("collections/{name}"), &Value::Null)
}

/// The texts that a collection has.
fn texts(name: &str) -> Vec<String> {
    let id = collection(name)["id"].as_str().unwrap_or_else(|| panic!("there is no {name}")).to_owned();
    let held = ask("POST", &format!("collections/{id}/get"), &json!({ "include": ["documents"] }));
    let mut texts: Vec<String> =
        held["documents"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

/// What its records are called.
#[cfg(feature = "failpoints")]
fn ids(name: &str) -> Vec<String> {
    let id = collection(name)["id"].as_str().unwrap().to_owned();
    let held = ask("POST", &format!("collections/{id}/get"), &json!({ "include": [] }));
    held["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// A desk with a store, whose model is the folder `model` of the desk.
struct Shelf {
    desk: Desk,
    collection: String,
}

impl Shelf {
    fn with(files: &[(&str, &str)]) -> Shelf {
        let desk = Desk::with_files(files);
        desk.run(&["scan"]).expect(0);
        let shelf = Shelf { desk, collection: format!("shelf-{}", Ulid::generate()) };
        shelf.take_model(1);
        shelf.desk.run(&["store", "add", &shelf.url(), "--name", "meanings"]).expect(0);
        shelf
    }

    fn url(&self) -> String {
        // Relative to where the command is run.
        format!("chroma+http://127.0.0.1:{}/{}?embed=model", server().port, self.collection)
    }

    /// Puts another model into the folder.
    fn take_model(&self, seed: u8) {
        let to = self.desk.path("model");
        std::fs::create_dir_all(&to).unwrap();
        let from = tiny_model(seed);
        for name in ["model.safetensors", "tokenizer.json"] {
            std::fs::copy(from.path().join(name), to.join(name)).unwrap();
        }
    }

    fn sync(&self) -> Value {
        self.desk.json(&["sync"])
    }

    fn manner(&self) -> Value {
        collection(&self.collection)["metadata"]["shelflist_manner"].clone()
    }

    fn find(&self, more: &[&str]) -> Value {
        self.desk.json(&[&["find", "--meaning"], more].concat())
    }
}

fn titles(found: &Value) -> Vec<&str> {
    found["hits"].as_array().unwrap().iter().map(|hit| hit["path"].as_str().unwrap()).collect()
}

// S10
#[test]
fn a_library_goes_to_chroma_and_is_found_by_what_it_means() {
    let shelf =
        Shelf::with(&[("sea.txt", "whale ship harbour"), ("pond.md", "fish water"), ("x.txt", "document")]);
    let synced = shelf.sync();
    assert_eq!(synced["uploaded_objects"], 3, "{synced}");
    assert_eq!(shelf.sync()["uploaded_objects"], 0);
    assert_eq!(texts(&shelf.collection), ["document", "fish water", "whale ship harbour"]);

    let found = shelf.find(&["ship harbour"]);
    assert_eq!(titles(&found)[0], "sea.txt", "{found}");
    let hit = &found["hits"][0];
    assert!(hit["nearness"].as_f64().unwrap() > 0.5, "{hit}");
    assert_eq!((&hit["snippet"], &hit["available"]), (&json!("whale ship harbour"), &json!(true)));
    assert_eq!(hit["stores"], json!(["meanings"]));
    assert_eq!(found["meaning"], json!({ "store": "meanings", "unsent": 0, "error": null, "code": null }));
    assert_eq!(titles(&shelf.find(&["ship", "--limit", "1"])).len(), 1);

    // For people.
    let said = shelf.desk.run(&["find", "--meaning", "fish water"]).expect(0).stdout;
    assert!(said.contains("pond") && said.contains("near)") && said.contains("fish water"), "{said}");
    // The disk is away, and the answer is there.
    std::fs::rename(shelf.desk.library(), shelf.desk.path("unplugged")).unwrap();
    let found = shelf.find(&["ship harbour"]);
    assert_eq!((titles(&found)[0], &found["hits"][0]["available"]), ("sea.txt", &json!(false)));
}

// S10, E5
#[test]
fn a_question_is_narrowed_by_what_cards_say() {
    let shelf = Shelf::with(&[("a.txt", "whale ship"), ("b.txt", "whale fish"), ("c.txt", "whale water")]);
    let tag = |file: &str, more: &[&str]| {
        shelf.desk.run(&[&["edit", file], more].concat()).expect(0);
    };
    tag("a.txt", &["--tag", "Sea", "--type", "book"]);
    tag("b.txt", &["--tag", "Sea", "--type", "paper"]);
    shelf.sync();
    let found = |more: &[&str]| {
        let found = shelf.find(&[&["whale"], more].concat());
        let mut found: Vec<String> = titles(&found).iter().map(|title| (*title).to_owned()).collect();
        found.sort();
        found
    };
    assert_eq!(found(&[]), ["a.txt", "b.txt", "c.txt"]);
    assert_eq!(found(&["--tag", "sea"]), ["a.txt", "b.txt"]);
    assert_eq!(found(&["--tag", "sea", "--type", "Book"]), ["a.txt"]);
    assert_eq!(found(&["--type", "map"]), Vec::<String>::new());
    assert_eq!(found(&["--tier", "1"]), Vec::<String>::new());
    assert_eq!(found(&["--lang", "xx"]), Vec::<String>::new());
}

// T2: the new is there before the old goes.
#[test]
fn an_edit_is_given_before_what_it_replaces_goes() {
    let shelf = Shelf::with(&[("a.txt", "whale ship"), ("b.txt", "fish")]);
    shelf.sync();
    shelf.desk.write("a.txt", "harbour water");
    let synced = shelf.sync();
    assert_eq!(synced["uploaded_objects"], 1, "{synced}");
    assert_eq!(texts(&shelf.collection), ["fish", "harbour water", "whale ship"], "the former waits");
    let found = shelf.find(&["whale ship"]);
    assert!(!found.to_string().contains("whale ship"), "what was replaced is no hit: {found}");
    assert_eq!(found["hits"].as_array().unwrap().len(), 2);
    shelf.desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    shelf.desk.run(&["orphans", "clean", "--force"]).expect(0);
    assert_eq!(texts(&shelf.collection), ["fish", "harbour water"]);
}

// S10: nothing is missing from what people ask, at any moment of the change.
#[test]
fn another_model_is_another_collection_that_takes_the_name_when_it_is_full() {
    let shelf = Shelf::with(&[("a.txt", "whale ship"), ("b.txt", "fish water")]);
    shelf.sync();
    let (old, before) = (shelf.manner(), texts(&shelf.collection));
    let old_id = collection(&shelf.collection)["id"].clone();

    shelf.take_model(2);
    let found = shelf.find(&["ship"]);
    assert_eq!(found["hits"], json!([]), "embeddings of another model are not asked");
    let synced = shelf.sync();
    assert_eq!(synced["uploaded_objects"], 2, "{synced}");
    assert_ne!(shelf.manner(), old);
    assert_eq!(texts(&shelf.collection), before);
    let aside = format!("{}.{}", shelf.collection, old.as_str().unwrap());
    assert_eq!(collection(&aside)["id"], old_id, "the former one is kept until the clean-up");
    assert_eq!(texts(&aside), before);
    assert_eq!(titles(&shelf.find(&["whale ship"])), ["a.txt", "b.txt"]);
    assert_eq!(shelf.sync()["uploaded_objects"], 0);

    shelf.desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    shelf.desk.run(&["orphans", "clean", "--force"]).expect(0);
    shelf.sync();
    assert_eq!(collection(&aside)["id"], Value::Null, "emptied, it goes");
    assert_eq!(texts(&shelf.collection), before);
}

// S10: back to the former model before its collection went.
#[test]
fn a_model_that_comes_back_finds_what_it_had() {
    let shelf = Shelf::with(&[("a.txt", "whale ship"), ("b.txt", "fish water")]);
    shelf.sync();
    shelf.take_model(2);
    shelf.sync();
    shelf.take_model(1);
    shelf.sync();
    assert_eq!(titles(&shelf.find(&["whale ship"])), ["a.txt", "b.txt"]);
    // What the other had goes with the clean-up, and then the name comes back.
    shelf.desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    shelf.desk.run(&["orphans", "clean", "--force"]).expect(0);
    shelf.sync();
    assert_eq!(texts(&shelf.collection), ["fish water", "whale ship"]);
    assert_eq!(titles(&shelf.find(&["whale ship"])), ["a.txt", "b.txt"]);
}

// T7, O2
#[test]
fn a_store_that_was_wiped_waits_for_a_person() {
    let shelf = Shelf::with(&[("a.txt", "whale ship")]);
    shelf.sync();
    ask("DELETE", &format!("collections/{}", shelf.collection), &Value::Null);
    shelf.desk.write("b.txt", "fish");
    let ran = shelf.desk.run(&["sync", "--json"]).expect(5);
    assert_eq!(ran.json()["queued"], 1, "{ran:?}");
    assert_eq!(collection(&shelf.collection)["id"], Value::Null, "it was not begun anew");
    assert_eq!(shelf.desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 1);
    assert_eq!(shelf.desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);

    // A person's word: added again, filled again.
    shelf.desk.run(&["store", "remove", "meanings"]).expect(0);
    shelf.desk.run(&["store", "add", &shelf.url(), "--name", "meanings"]).expect(0);
    assert_eq!(shelf.sync()["uploaded_objects"], 2);
    assert_eq!(texts(&shelf.collection), ["fish", "whale ship"]);
}

// O2, S10
#[test]
fn with_the_store_away_the_words_are_searched() {
    let shelf = Shelf::with(&[("a.txt", "whale ship"), ("b.txt", "fish")]);
    shelf.sync();
    let here = shelf.desk.sql::<String>("SELECT url FROM stores");
    let away = here.replace(&format!(":{}/", server().port), &format!(":{}/", peers::free_port()));
    shelf.desk.execute(&format!("UPDATE stores SET url = '{away}'"));
    let ran = shelf.desk.run(&["find", "--meaning", "whale", "--json"]).expect(5);
    let found = ran.json();
    assert_eq!(titles(&found), ["a.txt"], "{found}");
    assert!(found["meaning"]["error"].as_str().unwrap().contains("is away"), "{found}");
    assert_eq!(found["hits"][0]["nearness"], Value::Null);
    // Nobody's text has all the words of a question.
    let ran = shelf.desk.run(&["find", "--meaning", "Which whale was seen?", "--json"]).expect(5);
    assert_eq!(titles(&ran.json()), ["a.txt"], "{ran:?}");
    let ran = shelf.desk.run(&["find", "--meaning", "Which whale?", "--tag", "none", "--json"]).expect(5);
    assert_eq!(ran.json()["total"], 0, "{ran:?}");
    let ran = shelf.desk.run(&["find", "--meaning", "whale"]).expect(5);
    assert!(
        ran.stderr.contains("is away") && ran.stderr.contains("searched in the catalogue instead"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("whale ship"), "{ran:?}");
    assert!(ran.stderr.contains("offline (SHELF-SYNC-001)"), "{ran:?}");
    assert_eq!(found["meaning"]["code"], "SHELF-SYNC-001");
    // O1: nobody answered four times, and somebody does.
    let state = || shelf.desk.json(&["sync", "status"])["stores"][0]["state"].take();
    assert_eq!(state(), "offline");
    shelf.desk.execute(&format!("UPDATE stores SET url = '{here}'"));
    shelf.desk.run(&["find", "--meaning", "whale"]).expect(0);
    assert_eq!(state(), "online");
}

#[test]
fn a_question_that_nobody_can_be_asked_says_what_to_do() {
    let desk = Desk::with_files(&[("a.txt", "whale ship")]);
    desk.run(&["scan"]).expect(0);
    let ran = desk.run(&["find", "--meaning", "whale"]).expect(2);
    assert!(
        ran.stderr.contains("no store that finds by meaning") && ran.stderr.contains("store add"),
        "{ran:?}"
    );
    desk.add_mirror("enriched");
    let ran = desk.run(&["find", "--meaning", "whale", "--store", "mirror"]).expect(2);
    assert!(ran.stderr.contains("finds nothing by meaning"), "{ran:?}");
    desk.run(&["find", "--meaning", "whale", "--store", "nowhere"]).expect(2);
    desk.run(&["find", "--meaning", " "]).expect(2);
    desk.run(&["find", "--meaning", "x", "--before", "2020"]).expect(2);
    desk.run(&["find", "--store", "mirror", "x"]).expect(2);
}

#[test]
fn a_store_without_a_model_is_not_added() {
    let desk = Desk::with_files(&[("a.txt", "whale ship")]);
    let url = |rest: &str| format!("chroma+http://127.0.0.1:{}/shelf{rest}", server().port);
    let ran = desk.run(&["store", "add", &url("")]).expect(1);
    assert!(ran.stderr.contains("embed=FOLDER"), "{ran:?}");
    let ran = desk.run(&["store", "add", &url("?embed=nowhere")]).expect(5);
    assert!(ran.stderr.contains("is not there") && ran.stderr.contains("nowhere"), "{ran:?}");
    desk.run(&["store", "add", &url("?embed=nowhere"), "--payload", "both"]).expect(2);
    assert_eq!(desk.json(&["store", "list"])["stores"], json!([]));
}

// R5, S10
#[test]
fn an_endpoint_makes_the_embeddings_and_its_key_is_nowhere_to_be_read() {
    let embedder = peers::embedder();
    let desk = Desk::with_files(&[("a.txt", "whale ship"), ("b.txt", "fish water"), ("c.txt", "document")]);
    desk.run(&["scan"]).expect(0);
    let url = format!(
        "chroma+http://127.0.0.1:{}/shelf-{}?embed={}/v1&model=words-16",
        server().port,
        Ulid::generate(),
        embedder.http()
    );
    let run = |key: &str, args: &[&str]| -> Ran {
        let ran: Ran =
            desk.command(args).env("OPENAI_API_KEY", key).env("RUST_LOG", "trace").output().unwrap().into();
        assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
        ran
    };
    let wrong = run("sk-wrong", &["store", "add", &url, "--name", "far"]).expect(1);
    assert!(wrong.stderr.contains("does not let us in"), "{wrong:?}");
    assert!(!wrong.stderr.contains("sk-wrong"), "the endpoint repeats it, we do not: {wrong:?}");
    run(PASSWORD, &["store", "add", &url, "--name", "far"]).expect(0);
    let synced = run(PASSWORD, &["sync", "--json", "-vv"]).expect(0).json();
    assert_eq!(synced["uploaded_objects"], 3, "{synced}");
    let found = run(PASSWORD, &["find", "--meaning", "water fish", "--json"]).expect(0).json();
    assert_eq!(titles(&found)[0], "b.txt", "{found}");
    assert!(found["hits"][0]["nearness"].as_f64().unwrap() > 0.99);

    // It is another model by another name.
    let store = desk.sql::<String>("SELECT url FROM stores");
    assert!(store.ends_with("&model=words-16"), "{store}");
    for name in ["catalog.db", "catalog.db-wal"] {
        let bytes = std::fs::read(desk.home().join(name)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD), "{name}");
    }
    let seen = std::fs::read_to_string(embedder.dir.path().join("seen")).unwrap();
    assert!(seen.contains("whale ship"), "{seen}");

    // With the endpoint away: the words are searched, and what is to be sent waits.
    drop(embedder);
    let found = run(PASSWORD, &["find", "--meaning", "water", "--json"]).expect(5).json();
    assert_eq!(titles(&found), ["b.txt"]);
    desk.write("d.txt", "harbour");
    let ran = run(PASSWORD, &["sync", "--json"]).expect(5);
    assert_eq!(ran.json()["queued"], 1, "{ran:?}");
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
}

#[cfg(feature = "failpoints")]
fn cut(shelf: &Shelf, point: &str) {
    let ran = shelf.desk.command(&["sync"]).env("FAILPOINTS", format!("{point}=return")).output().unwrap();
    assert_eq!(ran.status.code(), Some(128 + 9), "{point}: {ran:?}");
}

#[cfg(feature = "failpoints")]
fn long_text() -> String {
    (0..9_000).map(|n| format!("Sentence {n} of {} and {}. ", n * 7919 % 1009, n * 104_729 % 9973)).collect()
}

// T3
#[cfg(feature = "failpoints")]
#[test]
fn a_sync_that_is_cut_off_anywhere_is_finished_by_the_next() {
    let long = long_text();
    for point in [
        "push-leased",
        "push-uploading",
        "chroma-in-the-middle",
        "chroma-before-the-last",
        "push-sent",
        "push-uploaded",
        "push-current",
    ] {
        let shelf = Shelf::with(&[("a.txt", &long), ("b.txt", "fish")]);
        cut(&shelf, point);
        if point == "chroma-in-the-middle" {
            let held = ids(&shelf.collection);
            assert!(held.iter().any(|id| id.ends_with(".256")), "{}", held.len());
            assert!(
                !held.iter().any(|id| id.ends_with(".1")),
                "the first records come last, so that half is nothing"
            );
        }
        let synced = shelf.sync();
        assert_eq!((&synced["queued"], &synced["offline"]), (&json!(0), &json!([])), "{point}: {synced}");
        let texts = texts(&shelf.collection);
        let longest = texts.iter().filter(|text| text.contains("Sentence")).count();
        assert!(longest > 256 && texts.len() == longest + 1, "{point}: {}", texts.len());
        assert_eq!(
            shelf.desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"),
            2,
            "{point}"
        );
        assert_eq!(
            shelf.desk.sql::<i64>("SELECT count(*) FROM remote_objects"),
            2,
            "{point}: nothing was begun twice"
        );
        assert_eq!(shelf.desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0, "{point}");
        let found = shelf.find(&["fish"]);
        assert_eq!(titles(&found), ["b.txt", "a.txt"], "{point}: {found}");
    }
}

// T3, T2
#[cfg(feature = "failpoints")]
#[test]
fn a_change_of_models_that_is_cut_off_anywhere_is_finished_by_the_next_sync() {
    for point in [
        "push-leased",
        "chroma-manner-begun",
        "push-sent",
        "push-current",
        "chroma-nobody-has-the-name",
        "chroma-switched",
    ] {
        let shelf = Shelf::with(&[("a.txt", "whale ship"), ("b.txt", "fish water")]);
        shelf.sync();
        let (old, before) = (shelf.manner(), texts(&shelf.collection));
        let aside = format!("{}.{}", shelf.collection, old.as_str().unwrap());
        shelf.take_model(2);
        cut(&shelf, point);
        // At every moment one of the two names leads to all of it.
        let held = [&shelf.collection, &aside].into_iter().find(|name| collection(name)["id"].is_string());
        assert_eq!(texts(held.unwrap()), before, "{point}");
        let synced = shelf.sync();
        assert_eq!(synced["queued"], 0, "{point}: {synced}");
        assert_ne!(shelf.manner(), old, "{point}");
        assert_eq!(texts(&shelf.collection), before, "{point}");
        assert_eq!(texts(&aside), before, "{point}");
        assert_eq!(
            shelf.desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"),
            2,
            "{point}"
        );
        assert_eq!(titles(&shelf.find(&["whale ship"])), ["a.txt", "b.txt"], "{point}");
    }
}

// S10: two computers, each with its own catalogue.
#[test]
fn two_devices_share_a_store() {
    let one = Shelf::with(&[("a.txt", "whale ship")]);
    one.sync();
    let mut two = Shelf::with(&[("b.txt", "fish water")]);
    two.desk.run(&["store", "remove", "meanings"]).expect(0);
    two.collection.clone_from(&one.collection);
    two.desk.run(&["store", "add", &two.url(), "--name", "meanings"]).expect(0);
    two.sync();
    assert_eq!(texts(&one.collection), ["fish water", "whale ship"]);
    // What the other's catalogue knows is no hit here.
    assert_eq!(titles(&one.find(&["fish water"])), ["a.txt"]);

    // One takes another model; the name stays where everything is until the other has come along.
    let old = one.manner();
    one.take_model(2);
    one.sync();
    assert_eq!(one.manner(), old);
    assert_eq!(titles(&one.find(&["ship"])), ["a.txt"]);
    two.take_model(2);
    two.sync();
    assert_ne!(one.manner(), old);
    assert_eq!(texts(&one.collection), ["fish water", "whale ship"]);
}
