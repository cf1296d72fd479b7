//! Chroma's own server: what every index must do, and each trap of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use shelflist::model::Field;
use shelflist::remote::index::{ByMeaning, Only, Question, Readiness, RemoteName, by_meaning};
use shelflist::remote::{
    self, Access, AwayReason, Deleted, ErrorClass, Index, Opened, Patience, StoreError, StoreUrl,
};
use ulid::Ulid;

use super::index_contract::{self, Given, listed, locate, now, readiness};
use super::model::tiny_model;
use super::peers::proxy::{Fault, Proxy};
use super::peers::stub::Stub;
use super::peers::{self, PASSWORD, Peer};

/// One server for all tests of the process; each has a collection of its own.
fn server() -> &'static Peer {
    static PEER: OnceLock<Peer> = OnceLock::new();
    PEER.get_or_init(peers::chroma)
}

fn fresh() -> String {
    format!("shelf-{}", Ulid::generate())
}

/// A store on a server, with its model.
struct Place {
    port: u16,
    collection: String,
    model: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { port: server().port, collection: fresh(), model: tiny_model(1) }
    }

    /// The same store, with another model.
    fn with_model(&self, seed: u8) -> Place {
        Place { model: tiny_model(seed), collection: self.collection.clone(), ..*self }
    }

    fn text(&self) -> String {
        let model = self.model.path().display();
        format!("chroma+http://127.0.0.1:{}/{}?embed={model}", self.port, self.collection)
    }

    fn url(&self) -> StoreUrl {
        StoreUrl::parse(&self.text(), Path::new("/")).unwrap()
    }

    fn index(&self) -> Box<dyn Index> {
        index_of(remote::open(&self.url(), &access(), now()).unwrap())
    }

    fn begun(&self) -> Box<dyn Index> {
        let index = self.index();
        index.begin(now()).unwrap();
        index
    }

    fn asked(&self) -> Box<dyn ByMeaning> {
        by_meaning(&self.url(), &access()).unwrap().unwrap()
    }
}

fn index_of(opened: Opened) -> Box<dyn Index> {
    match opened {
        Opened::Index(index) => index,
        Opened::Objects(store) => panic!("{store:?} is no index"),
    }
}

fn access() -> Access {
    let patience = Patience { connect: Duration::from_secs(5), idle: Duration::from_secs(20) };
    Access { patience, ..Access::default() }
}

/// Asks the server itself.
fn ask(method: &str, path: &str, body: &Value) -> (u16, Value) {
    peers::ask_chroma(server().port, method, path, body)
}

fn collection(name: &str) -> Value {
    ask("GET", &format!("collections/{name}"), &Value::Null).1
}

fn id_of(name: &str) -> String {
    collection(name)["id"].as_str().unwrap_or_else(|| panic!("there is no {name}")).to_owned()
}

fn records(collection: &str) -> Value {
    let asked = json!({ "include": ["documents", "metadatas", "embeddings"] });
    ask("POST", &format!("collections/{}/get", id_of(collection)), &asked).1
}

fn upsert(collection: &str, records: &Value) {
    let (status, said) = ask("POST", &format!("collections/{}/upsert", id_of(collection)), records);
    assert_eq!(status, 200, "{said}");
}

/// A text of many pieces, none of which is like another.
fn long_text(sentences: usize) -> String {
    (0..sentences)
        .map(|n| format!("Sentence {n} speaks of {} and of {}. ", n * 7919 % 1009, n * 104_729 % 9973))
        .collect()
}

// S10
#[test]
fn it_is_an_index_as_every_other() {
    index_contract::all(&*Place::new().begun());
}

// S10
#[test]
fn it_is_an_index_with_a_real_model_too() {
    let mut place = Place::new();
    place.model = peers::static_model();
    let index = place.begun();
    index_contract::what_was_put_is_found_proved_and_listed(&*index);
    let recipe = Given::new("Cake", "Beat the eggs with sugar, fold in the flour and bake it in the oven.");
    let tax = Given::new("Tax", "The invoice has to be paid within thirty days, value added tax included.");
    for given in [&recipe, &tax] {
        index.put(&given.entry()).unwrap();
    }
    let asked = |text: &str| nearest(&place, text, Only::default(), 1)[0].0;
    assert_eq!(asked("how do I make a dessert"), recipe.document);
    assert_eq!(asked("when is the payment due"), tax.document);
}

fn nearest(place: &Place, text: &str, only: Only<'_>, limit: usize) -> Vec<(Ulid, RemoteName, f64, String)> {
    let question = Question { text, only, wanted: &|_| true, limit };
    let near = place.asked().nearest(&question).unwrap();
    near.into_iter().map(|near| (near.document, near.name, near.nearness, near.text)).collect()
}

// S10
#[test]
fn a_long_document_is_many_records_that_say_whose_they_are() {
    let place = Place::new();
    let index = place.begun();
    let card: [(Field, &[&str]); 4] = [
        (Field::Author, &["Ann", "Bob"]),
        (Field::SourceType, &["book"]),
        (Field::Tags, &["a", "b"]),
        (Field::Notes, &["for nobody"]),
    ];
    let given = Given::of(Ulid::generate(), "A title", &long_text(600), &card);
    let name = index.put(&given.entry()).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());

    let held = records(&place.collection);
    let ids = held["ids"].as_array().unwrap();
    assert!(ids.len() > 25, "{}", ids.len());
    for (id, said) in ids.iter().zip(held["metadatas"].as_array().unwrap()) {
        assert!(id.as_str().unwrap().starts_with(&given.document.to_string()), "{id}");
        assert_eq!(said["shelf_id"], given.document.to_string());
        assert_eq!(said["shelf_key"], given.key().as_str());
        assert_eq!(said["shelf_parts"], ids.len());
        assert_eq!(said["shelf_dimension"], 8);
        assert!(said["shelf_model"].as_str().unwrap().starts_with("static-"), "{said}");
        assert_eq!((&said["title"], &said["type"]), (&json!("A title"), &json!("book")));
        assert_eq!((&said["author"], &said["tags"]), (&json!(["Ann", "Bob"]), &json!(["a", "b"])));
        assert!(said.get("notes").is_none() && said.get("date").is_none(), "{said}");
    }
    assert_eq!(index.remove(&name).unwrap(), Deleted::Deleted);
    assert_eq!(records(&place.collection)["ids"], json!([]));
}

// S10: an upsert merges; what is not said again stays, unless it is taken away.
#[test]
fn a_field_that_left_the_card_leaves_the_record() {
    let place = Place::new();
    let index = place.begun();
    let given =
        Given::of(Ulid::generate(), "t", "words", &[(Field::Tags, &["old"]), (Field::Date, &["2020"])]);
    let name = index.put(&given.entry()).unwrap();
    // The same content with another card cannot come about by itself; a server must not keep it if it does.
    let emptied = BTreeMap::new();
    let mut entry = given.entry();
    entry.fields = &emptied;
    assert_eq!(index.put(&entry).unwrap(), name);
    let said = &records(&place.collection)["metadatas"][0];
    assert!(said.get("tags").is_none() && said.get("date").is_none(), "{said}");
    assert_eq!(said["title"], "t");
}

// T3: an answer is lost, and what was done is found.
#[test]
fn what_a_lost_answer_was_about_is_located() {
    let place = Place::new();
    place.begun();
    let proxy = Proxy::before(server().port);
    let through = Place { port: proxy.port, model: tiny_model(1), collection: place.collection.clone() };
    let index = through.index();
    let given = Given::new("t", "a few words");
    locate(&*index, &given);
    // Everything it posts: limits are asked for by GET, so the next is the upsert.
    proxy.on("POST", Fault::DropAnswer);
    let error = index.put(&given.entry()).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Channel, "{error:?}");
    let name = locate(&*index, &given).expect("the server had done it");
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    assert_eq!(index.put(&given.entry()).unwrap(), name, "giving it again changes nothing");
    assert_eq!(listed(&*index).len(), 1);
}

// T3: record 0 comes last, so that half a document is none.
#[test]
fn half_a_document_is_not_taken_for_the_whole() {
    let place = Place::new();
    let index = place.begun();
    let given = Given::new("t", &long_text(400));
    let name = index.put(&given.entry()).unwrap();
    let (_, in_it) = name.as_str().split_once('/').unwrap();
    let zero = format!("{in_it}.0");
    let path = format!("collections/{}/delete", id_of(&place.collection));
    ask("POST", &path, &json!({ "ids": [zero] }));

    assert_eq!(readiness(&*index, &name), Readiness::Gone);
    assert!(index.prove(&name, &given.entry()).unwrap().is_none());
    assert!(
        nearest(&place, "Sentence 300", Only::default(), 5).is_empty(),
        "half a document answers nothing"
    );
    // But somebody can find it to take it away.
    assert_eq!(locate(&*index, &given), Some(name.clone()));
    let seen = listed(&*index);
    assert!(
        matches!(&seen[..], [one] if matches!(one.readiness, Readiness::Failed(_)) && one.name == name),
        "{seen:?}"
    );
    assert_eq!(index.remove(&name).unwrap(), Deleted::Deleted);
    assert_eq!(records(&place.collection)["ids"], json!([]));
}

#[test]
fn a_record_that_was_changed_behind_our_back_is_no_proof() {
    let place = Place::new();
    let index = place.begun();
    let given = Given::new("t", "the true words");
    let name = index.put(&given.entry()).unwrap();
    let id = records(&place.collection)["ids"][0].clone();
    let path = format!("collections/{}/update", id_of(&place.collection));
    ask("POST", &path, &json!({ "ids": [id], "documents": ["other words"] }));
    assert!(index.prove(&name, &given.entry()).unwrap().is_none());
    index.put(&given.entry()).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
}

// T7, S12
#[test]
fn somebody_elses_collection_is_refused_and_not_touched() {
    for metadata in [Value::Null, json!({ "app": "another" }), json!({ "shelflist_format": 99 })] {
        let place = Place::new();
        let mut asked = json!({ "name": place.collection });
        if !metadata.is_null() {
            asked["metadata"] = metadata;
        }
        assert_eq!(ask("POST", "collections", &asked).0, 200);
        let before = collection(&place.collection);
        let index = place.index();
        let given = Given::new("t", "words");
        for error in [
            index.begin(now()).unwrap_err(),
            index.identity().unwrap_err(),
            index.put(&given.entry()).unwrap_err(),
            index.list().err().unwrap(),
            index.settle().unwrap_err(),
        ] {
            assert!(
                matches!(&error, StoreError::Refused { reason, .. } if reason.contains("not made by shelflist")),
                "{error:?}"
            );
        }
        assert_eq!(collection(&place.collection), before);
        assert_eq!(records(&place.collection)["ids"], json!([]));
    }
}

// Somebody made it between our look and our making: what comes back has our name and not our space.
#[test]
fn a_collection_of_another_space_is_refused() {
    let place = Place::new();
    place.begun();
    let metadata = collection(&place.collection)["metadata"].clone();
    let other = Place::new();
    ask("POST", "collections", &json!({ "name": other.collection, "metadata": metadata }));
    let beside = format!("{}.{}", place.collection, other.with_model(2).index().manner().unwrap());
    let mut wrong = metadata;
    wrong["shelflist_manner"] = json!(other.with_model(2).index().manner());
    ask("POST", "collections", &json!({ "name": beside, "metadata": wrong }));
    // It compares by l2, and says that it is ours.
    let index = place.with_model(2).index();
    let error = index.put(&Given::new("t", "words").entry()).unwrap_err();
    assert!(matches!(&error, StoreError::Refused { reason, .. } if reason.contains("l2")), "{error:?}");
}

// T7
#[test]
fn a_store_that_was_deleted_is_away_and_is_not_made_anew_by_sending() {
    let place = Place::new();
    let index = place.begun();
    let given = Given::new("t", "words");
    let name = index.put(&given.entry()).unwrap();
    ask("DELETE", &format!("collections/{}", place.collection), &Value::Null);
    assert_eq!(index.identity().unwrap(), None);
    let is_away = |error: StoreError| {
        assert!(matches!(error, StoreError::Away { reason: AwayReason::NoneOfThatName, .. }), "{error:?}");
    };
    is_away(index.put(&given.entry()).unwrap_err());
    is_away(index.standing(&name).unwrap_err());
    is_away(index.prove(&name, &given.entry()).unwrap_err());
    is_away(index.remove(&name).unwrap_err());
    is_away(index.locate(&[given.key()]).unwrap_err());
    is_away(index.list().err().unwrap());
    assert_eq!(collection(&place.collection)["id"], Value::Null);
    // On a person's word it is another life.
    let begun = index.begin(now()).unwrap();
    assert_eq!(index.identity().unwrap(), Some(begun));
    assert_eq!(readiness(&*index, &name), Readiness::Gone);
    let again = index.put(&given.entry()).unwrap();
    assert_ne!(again, name, "it has another UUID");
}

// S10: the whole way from one model to the next.
#[test]
fn a_new_model_fills_a_collection_beside_and_takes_the_name_when_it_is_full() {
    let place = Place::new();
    let old = place.begun();
    let identity = old.identity().unwrap();
    let given: Vec<Given> = (0..3).map(|n| Given::new("t", &format!("words of document {n}"))).collect();
    let old_names: Vec<RemoteName> = given.iter().map(|given| old.put(&given.entry()).unwrap()).collect();
    let old_id = id_of(&place.collection);

    let newer = place.with_model(2);
    let new = newer.index();
    assert_ne!(new.manner(), old.manner());
    assert_eq!(new.identity().unwrap(), identity);
    assert_eq!(locate(&*new, &given[0]), None, "what the other model made is not what this one needs");
    new.settle().unwrap();
    for given in &given {
        assert_eq!(id_of(&place.collection), old_id, "the former one answers until then");
        let name = new.put(&given.entry()).unwrap();
        assert!(new.prove(&name, &given.entry()).unwrap().is_some());
        new.settle().unwrap();
    }
    let new_id = id_of(&place.collection);
    assert_ne!(new_id, old_id, "it has taken the name");
    assert_eq!(id_of(&format!("{}.{}", place.collection, old.manner().unwrap())), old_id);
    assert_eq!(new.identity().unwrap(), identity);
    // The ledger's names are right still, of both.
    assert_eq!(readiness(&*new, &old_names[0]), Readiness::Searchable);
    assert!(new.prove(&old_names[0], &given[0].entry()).unwrap().is_some());
    assert_eq!(listed(&*new).len(), 6);
    // A device with the former model goes on, and takes nothing back.
    old.settle().unwrap();
    assert_eq!(id_of(&place.collection), new_id);
    let late = Given::new("t", "late words");
    assert!(old.put(&late.entry()).unwrap().as_str().starts_with(&old_id));

    // The clean-up empties the former one, and then it goes.
    for name in old_names.iter().chain(&locate(&*old, &late)) {
        new.settle().unwrap();
        assert_eq!(new.remove(name).unwrap(), Deleted::Deleted);
    }
    new.settle().unwrap();
    assert_eq!(
        ask("GET", &format!("collections/{}.{}", place.collection, old.manner().unwrap()), &Value::Null).0,
        404
    );
    assert_eq!(listed(&*new).len(), 3);
    // What is named in it is gone, and the store is there.
    assert_eq!(readiness(&*new, &old_names[0]), Readiness::Gone);
    assert_eq!(new.remove(&old_names[0]).unwrap(), Deleted::WasAbsent);
}

// T3: cut off between the two renamings.
#[test]
fn a_switch_that_was_cut_off_is_ended_by_whoever_finds_it() {
    for finder in [1, 2] {
        let place = Place::new();
        let old = place.begun();
        let given = Given::new("t", "words");
        old.put(&given.entry()).unwrap();
        let new = place.with_model(2).index();
        new.put(&given.entry()).unwrap();
        let aside = format!("{}.{}", place.collection, old.manner().unwrap());
        let old_id = id_of(&place.collection);
        assert_eq!(ask("PUT", &format!("collections/{old_id}"), &json!({ "new_name": aside })).0, 200);

        let finder = place.with_model(finder).index();
        let identity = finder.identity().unwrap();
        assert!(identity.is_some(), "the store is there");
        assert!(locate(&*finder, &given).is_some());
        assert!(finder.put(&given.entry()).is_ok());
        finder.settle().unwrap();
        assert_eq!(collection(&place.collection)["metadata"]["shelflist_manner"], json!(new.manner()));
        assert_eq!(finder.identity().unwrap(), identity);
        assert_eq!(id_of(&aside), old_id);
    }
}

// S10
#[test]
fn a_document_that_only_the_former_collection_has_keeps_the_name_there() {
    let place = Place::new();
    let old = place.begun();
    let (here, of_another_device) = (Given::new("t", "here"), Given::new("t", "of another device"));
    old.put(&here.entry()).unwrap();
    let name = old.put(&of_another_device.entry()).unwrap();
    let new = place.with_model(2).index();
    new.put(&here.entry()).unwrap();
    new.settle().unwrap();
    assert_eq!(collection(&place.collection)["metadata"]["shelflist_manner"], json!(old.manner()));
    old.remove(&name).unwrap();
    new.settle().unwrap();
    assert_eq!(collection(&place.collection)["metadata"]["shelflist_manner"], json!(new.manner()));
}

// T7: what is left of a store whose named collection was deleted is no store.
#[test]
fn a_former_collection_alone_is_no_store() {
    let place = Place::new();
    let old = place.begun();
    let given = Given::new("t", "words");
    old.put(&given.entry()).unwrap();
    let new = place.with_model(2).index();
    new.put(&given.entry()).unwrap();
    new.settle().unwrap();
    ask("DELETE", &format!("collections/{}", place.collection), &Value::Null);
    for index in [&new, &old] {
        assert_eq!(index.identity().unwrap(), None);
    }
    let again = place.with_model(2).index();
    assert!(matches!(again.put(&given.entry()), Err(StoreError::Away { .. })));
}

// S10
#[test]
fn two_devices_that_begin_at_once_begin_one_store() {
    let place = Place::new();
    let identities: Vec<_> = std::thread::scope(|scope| {
        let begun: Vec<_> = (0..4).map(|_| scope.spawn(|| place.index().begin(now()).unwrap())).collect();
        begun.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(identities.iter().all(|identity| *identity == identities[0]), "{identities:?}");
}

// S10: records by other people are seen, and taken away only by name.
#[test]
fn other_peoples_records_are_listed_without_a_key() {
    let place = Place::new();
    let index = place.begun();
    let given = Given::new("t", "words");
    index.put(&given.entry()).unwrap();
    let numbers = vec![0.5; 8];
    upsert(
        &place.collection,
        &json!({ "ids": ["theirs/x.0"], "embeddings": [numbers], "documents": ["theirs"] }),
    );
    let theirs: Vec<_> = listed(&*index).into_iter().filter(|one| one.key.is_none()).collect();
    assert_eq!(theirs.len(), 1);
    assert_eq!(readiness(&*index, &theirs[0].name), Readiness::Searchable);
    let asked = nearest(&place, "words", Only::default(), 10);
    assert_eq!(asked.len(), 1, "they are no documents: {asked:?}");
    assert_eq!(index.remove(&theirs[0].name).unwrap(), Deleted::Deleted);
    assert_eq!(index.remove(&theirs[0].name).unwrap(), Deleted::WasAbsent);
    assert_eq!(listed(&*index).len(), 1);
}

// S10
#[test]
fn a_question_finds_each_document_once_and_only_what_it_may() {
    let place = Place::new();
    let index = place.begun();
    let book: [(Field, &[&str]); 3] =
        [(Field::SourceType, &["book"]), (Field::Tags, &["sea", "north"]), (Field::Language, &["en-GB"])];
    let ships =
        Given::of(Ulid::generate(), "Ships", &format!("whale ship harbour. {}", long_text(200)), &book);
    let paper: [(Field, &[&str]); 2] = [(Field::SourceType, &["paper"]), (Field::Tags, &["sea"])];
    let fish = Given::of(Ulid::generate(), "Fish", "whale fish water", &paper);
    let plain = Given::new("Plain", "whale.");
    let names: Vec<RemoteName> =
        [&ships, &fish, &plain].iter().map(|given| index.put(&given.entry()).unwrap()).collect();

    let found = |only: Only<'_>| {
        let mut found: Vec<Ulid> =
            nearest(&place, "whale ship", only, 10).into_iter().map(|hit| hit.0).collect();
        found.sort_unstable();
        found
    };
    let of = |given: &[&Given]| {
        let mut all: Vec<Ulid> = given.iter().map(|given| given.document).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(found(Only::default()), of(&[&ships, &fish, &plain]));
    assert_eq!(found(Only { source_type: Some("Paper"), ..Only::default() }), of(&[&fish]));
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    assert_eq!(found(Only { tags: tags(&["sea"]), ..Only::default() }), of(&[&ships, &fish]));
    assert_eq!(found(Only { tags: tags(&["sea", "north"]), ..Only::default() }), of(&[&ships]));
    assert_eq!(
        found(Only { source_type: Some("book"), language: Some("en"), tags: tags(&["sea"]), tier: None }),
        of(&[&ships])
    );
    assert_eq!(found(Only { tier: Some("1"), ..Only::default() }), of(&[]));

    let first = &nearest(&place, "whale fish water", Only::default(), 1)[0];
    assert_eq!((first.0, first.3.as_str()), (fish.document, "whale fish water"));
    assert!(first.2 > 0.99, "{}", first.2);
    // A former content that waits for the clean-up takes nobody's place.
    let question = Question {
        text: "whale fish water",
        only: Only::default(),
        wanted: &|name| *name != names[1],
        limit: 1,
    };
    let near = place.asked().nearest(&question).unwrap();
    assert!(near.len() == 1 && near[0].document != fish.document, "{near:?}");
}

// S10: a graph of neighbours falls apart where embeddings are equal.
#[test]
fn many_equal_texts_hide_no_other() {
    let place = Place::new();
    let index = place.begun();
    let others: Vec<Given> =
        ["whale", "ship", "fish", "water", "harbour"].map(|word| Given::new("t", word)).into();
    let mut all: Vec<Given> = (0..350).map(|_| Given::new("t", "words")).collect();
    for (at, other) in others.iter().enumerate() {
        all.insert(at * 70, other.clone());
    }
    let all = std::sync::Mutex::new(all.into_iter());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some(given) = all.lock().unwrap().next() else { return };
                    index.put(&given.entry()).unwrap();
                }
            });
        }
    });
    for other in &others {
        let near = nearest(&place, &other.text, Only::default(), 3);
        assert_eq!(near[0].0, other.document, "{}", other.text);
        assert!(near[0].2 > 0.999, "{}", near[0].2);
    }
}

// T5
#[test]
fn what_a_server_says_is_sorted_by_who_is_at_fault() {
    let stub = Stub::saying("500 Internal Server Error", "", "");
    let place = Place { port: stub.port, ..Place::new() };
    let index = place.index();
    let error = |status: &str, headers: &str, body: &str| {
        stub.say(status, headers, body);
        index.identity().unwrap_err()
    };
    let html = "<html><body>Who are you?</body></html>";
    assert!(matches!(error("401 Unauthorized", "", html), StoreError::Credentials { .. }));
    assert!(matches!(error("403 Forbidden", "", html), StoreError::Denied { .. }));
    assert!(matches!(error("404 Not Found", "", html), StoreError::Io { .. }), "a proxy's 404 says nothing");
    assert!(matches!(error("404 Not Found", "", ""), StoreError::Io { .. }));
    let busy = error("429 Too Many Requests", "Retry-After: 7\r\n", "");
    assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
    for status in
        ["500 Internal Server Error", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"]
    {
        assert_eq!(error(status, "", html).class(), ErrorClass::Channel, "{status}");
    }
    assert_eq!(error("200 OK", "", html).class(), ErrorClass::Channel, "a login page is no answer");
    assert_eq!(error("200 OK", "", "{}").class(), ErrorClass::Channel);
    let gone = r#"{"error":"Unimplemented","message":"The v1 API is deprecated. Please use /v2 apis"}"#;
    assert!(matches!(error("410 Gone", "", gone), StoreError::Refused { .. }));
    let too_much = r#"{"error":"InternalError","message":"(code: 1) too many SQL variables"}"#;
    assert_eq!(error("500 Internal Server Error", "", too_much).class(), ErrorClass::Verdict);
    assert!(matches!(error("413 Payload Too Large", "", "Payload too large"), StoreError::Refused { .. }));
    assert_eq!(error("413 Payload Too Large", "", "Payload too large").class(), ErrorClass::Verdict);
}

#[test]
fn a_server_that_is_not_there_is_away() {
    let place = Place { port: peers::free_port(), ..Place::new() };
    let error = place.index().identity().unwrap_err();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::Unreachable, .. }), "{error:?}");
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let place = Place::new();
    let text = format!("{}&database=nowhere", place.text());
    let url = StoreUrl::parse(&text, Path::new("/")).unwrap();
    let error = remote::create(&url, &access(), now()).unwrap_err();
    assert!(format!("{error:?}").contains("Database [nowhere] does not exist"), "{error:?}");
}

// R5
#[test]
fn a_token_goes_to_the_server_and_nowhere_else() {
    let stub = Stub::saying(
        "401 Unauthorized",
        "",
        &json!({ "error": "AuthError", "message": format!("{PASSWORD} is wrong") }).to_string(),
    );
    let place = Place { port: stub.port, ..Place::new() };
    for (command, headers) in [
        (
            format!("printf {PASSWORD}"),
            vec![format!("x-chroma-token: {PASSWORD}"), format!("authorization: Bearer {PASSWORD}")],
        ),
        // `ann:` and the password, in base64.
        (
            format!("printf ann:{PASSWORD}"),
            vec!["authorization: Basic YW5uOmh1bnRlcjJjb3JyZWN0aG9yc2ViYXR0ZXJ5".to_owned()],
        ),
    ] {
        let access = Access { password_command: Some(command), ..access() };
        let index = index_of(remote::open(&place.url(), &access, now()).unwrap());
        let error = index.identity().unwrap_err();
        let said = format!("{error} {error:?} {index:?}");
        assert!(said.contains("***") && !said.contains(PASSWORD), "{said}");
        let heads = stub.heads();
        for header in headers {
            assert!(heads.last().unwrap().contains(&header), "{heads:?}");
        }
    }
}

// S10
#[test]
fn a_url_that_does_not_say_what_makes_embeddings_is_refused() {
    let url = StoreUrl::parse("chroma+http://127.0.0.1:1/docs", Path::new("/")).unwrap();
    let error = remote::open(&url, &access(), now()).unwrap_err();
    assert!(format!("{error}").contains("embed="), "{error}");
    let url = StoreUrl::parse("chroma+http://127.0.0.1:1/docs?embed=http://h/v1", Path::new("/")).unwrap();
    let error = remote::open(&url, &access(), now()).unwrap_err();
    assert!(format!("{error}").contains("model=NAME"), "{error}");
}
