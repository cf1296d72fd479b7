//! Gemini File Search: the contract of every index, the traps of the service as its users found them, and bad luck.

use std::sync::Barrier;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use shelflist::model::Field;
use shelflist::model::filter::{Clause, Filter, Term};
use shelflist::remote::index::{Entry, Readiness, RemoteName};
use shelflist::remote::{
    self, Access, AwayReason, Deleted, ErrorClass, Identity, Index, Login, Opened, Patience, Secret,
    StoreError, StoreUrl,
};
use ulid::Ulid;

use super::index_contract::{self, Given, listed, locate, now, readiness, searchable};
use super::peers::PASSWORD;
use super::peers::gemini::{self, Gemini};
use super::peers::proxy::{Fault, Proxy};
use super::peers::stub::Stub;

fn access(key: &str) -> Access {
    Access {
        login: Some(Login { user: String::new(), secret: Secret::new(key) }),
        patience: Patience { connect: Duration::from_secs(5), idle: Duration::from_secs(20) },
        ..Access::default()
    }
}

fn open_with(url: &str, access: &Access) -> Result<Box<dyn Index>, StoreError> {
    let url = StoreUrl::parse(url, std::path::Path::new("/")).unwrap();
    match remote::open(&url, access, now())? {
        Opened::Index(index) => Ok(index),
        Opened::Objects(_) => panic!("it is an index"),
    }
}

fn open(url: &str) -> Box<dyn Index> {
    open_with(url, &access(PASSWORD)).unwrap()
}

/// A server, and a store on it that was begun.
fn begun() -> (Gemini, Box<dyn Index>) {
    let server = gemini::server();
    let index = open(&server.url("papers"));
    index.begin(now()).unwrap();
    (server, index)
}

/// The error with all that it says, for people and for developers.
fn said(error: &StoreError) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error} {error:?} {source:?}")
}

fn put(index: &dyn Index, given: &Given) -> Result<RemoteName, StoreError> {
    index.put(&given.entry())
}

fn a_document() -> Given {
    Given::new("A title", "Cats sleep all day.")
}

// S9
#[rstest]
#[case::as_it_is(json!({}))]
#[case::missing_is_404(json!({ "missing": 404, "pending_polls": 0 }))]
#[case::lists_in_another_order(json!({ "reverse_lists": true, "frozen_time": "2026-11-21T01:40:00Z" }))]
#[case::as_seen_in_the_wild(json!({ "response_without_done": true, "pending_polls": 0, "strict_mime": true }))]
#[case::operations_of_other_names(json!({ "own_operation_names": true, "pending_polls": 3 }))]
fn it_keeps_the_contract_of_every_index(#[case] settings: Value) {
    let (server, index) = begun();
    server.set(&settings);
    index_contract::all(&*index);
    // And for somebody who comes later, with nothing remembered.
    index_contract::all(&*open(&server.url("papers")));
}

// The server is held against clients that are not ours.
#[test]
fn googles_client_for_python_accepts_our_server() {
    let ran = gemini::python_sdk().output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("14 passed, 0 failed"),
        "{ran:?}; run: tests/peers/install.sh"
    );
}

#[test]
fn googles_client_for_javascript_accepts_our_server() {
    let server = gemini::server();
    let ran = gemini::javascript_sdk(&server).output().expect("the program node is not installed");
    assert!(ran.status.success(), "{ran:?}; run: tests/peers/install.sh");
}

// S9
#[test]
fn a_document_travels_with_its_card_as_plain_text_and_the_key_in_a_header_alone() {
    let (server, index) = begun();
    let document = Ulid::generate();
    let card = [(Field::SourceType, &["Book"][..]), (Field::Tags, &["Öl", "x"])];
    let given = Given::of(document, &"ü".repeat(600), "text", &card);
    put(&*index, &given).unwrap();

    let log = server.log();
    let start = log.iter().find(|entry| entry["line"].as_str().unwrap().ends_with(" start")).unwrap();
    assert!(start["line"].as_str().unwrap().starts_with("POST /upload/v1beta/fileSearchStores/papers-"));
    let body = &start["json"];
    assert_eq!(body["displayName"].as_str().unwrap(), "ü".repeat(512));
    assert_eq!(body["mimeType"], "text/plain");
    assert_eq!(start["headers"]["x-goog-upload-header-content-type"], "text/plain");
    assert_eq!(body["customMetadata"][0], json!({ "key": "shelf_id", "stringValue": document.to_string() }));
    assert_eq!(body["customMetadata"][1], json!({ "key": "shelf_key", "stringValue": given.key().as_str() }));
    let tags = json!({ "key": "tags", "stringListValue": { "values": ["ol", "x"] } });
    assert!(body["customMetadata"].as_array().unwrap().contains(&tags), "{body}");

    for entry in &log {
        assert_eq!(entry["query"]["key"], Value::Null);
        let is_session = entry["query"].get("upload_id").is_some();
        let header = entry["headers"].get("x-goog-api-key");
        assert_eq!(header.is_some(), !is_session, "the upload's URL is its own credential: {entry}");
    }
}

#[test]
fn the_version_of_the_interface_is_a_setting() {
    let server = gemini::server();
    let index = open(&format!("{}&version=v1", server.url("papers")));
    index.begin(now()).unwrap();
    put(&*index, &a_document()).unwrap();
    let asked = server.asked();
    assert!(asked.iter().all(|line| line.contains(" /v1/") || line.contains(" /upload/v1/")), "{asked:?}");
}

#[test]
fn a_document_of_no_bytes_arrives() {
    let (server, index) = begun();
    let given = a_document();
    let entry = Entry { content: "", text: "", ..given.entry() };
    let name = index.put(&entry).unwrap();
    assert!(index.prove(&name, &entry).unwrap().is_some());
    assert_eq!(server.documents()[0]["sizeBytes"], Value::Null);
}

#[test]
fn a_document_that_is_too_large_is_refused_before_anything_is_sent() {
    let (server, index) = begun();
    let asked = server.asked().len();
    let given = Given::new("large", &"x".repeat(100_000_001));
    let error = put(&*index, &given).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Verdict);
    assert_eq!(server.asked().len(), asked);
}

/// 20 MiB and some: three chunks.
fn large() -> Given {
    Given::new("large", &"0123456789abcdef".repeat(20 * 65_536 + 1))
}

fn chunks(server: &Gemini) -> Vec<(String, u64)> {
    let of_sessions = server.log();
    let of_sessions = of_sessions.iter().filter(|entry| entry["query"].get("upload_id").is_some());
    of_sessions
        .map(|entry| {
            let command = entry["line"].as_str().unwrap().splitn(3, ' ').nth(2).unwrap().to_owned();
            (command, entry["bytes"].as_u64().unwrap())
        })
        .collect()
}

// S9
#[test]
fn a_large_document_goes_in_chunks() {
    let (server, index) = begun();
    let given = large();
    let name = put(&*index, &given).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    const MIB: u64 = 1 << 20;
    let rest = given.bytes() as u64 - 16 * MIB;
    let expected = [("upload", 8 * MIB), ("upload", 8 * MIB), ("upload, finalize", rest)];
    assert_eq!(chunks(&server), expected.map(|(command, bytes)| (command.to_owned(), bytes)));
}

// S9: it is asked how far it came, and gone on from there.
#[rstest]
#[case::it_arrived("after", 8 << 20)]
#[case::it_did_not("before", 0)]
fn a_chunk_whose_answer_was_lost_is_asked_about(#[case] drop: &str, #[case] received: u64) {
    let (server, index) = begun();
    let given = large();
    server.fault(&json!({ "match": "upload$", "drop": drop }));
    let name = put(&*index, &given).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    let chunks = chunks(&server);
    assert_eq!(chunks[1], ("query".to_owned(), 0));
    let after: u64 = chunks[2..].iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(after, given.bytes() as u64 - received);
    assert_eq!(server.documents().len(), 1);
}

// T5: a store that is cut off again and again is the channel's business, not this upload's.
#[test]
fn a_large_document_that_does_not_get_through_ends_with_the_first_trouble() {
    let (server, index) = begun();
    server.fault(
        &json!({ "match": "upload$", "times": 99, "status": 503, "retry_after": 7, "message": "first" }),
    );
    let error = put(&*index, &large()).unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error:?}");
    assert!(chunks(&server).len() <= 8, "{:?}", chunks(&server));
    assert_eq!(server.documents().len(), 0);
}

// S2, T3: the document is there, its name was lost.
#[test]
fn a_document_whose_last_answer_was_lost_is_found_and_not_sent_twice() {
    let server = gemini::server();
    let proxy = Proxy::before(server.peer.port);
    let index = open(&server.url("papers").replace(&server.peer.port.to_string(), &proxy.port.to_string()));
    index.begin(now()).unwrap();
    let given = a_document();
    // The list is known already; it is not believed any more after that.
    assert_eq!(locate(&*index, &given), None);
    proxy.on_text("upload, finalize", Fault::DropAnswer);
    let error = put(&*index, &given).unwrap_err();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::Unreachable, .. }), "{error:?}");
    assert_eq!(server.finalized(), 1, "nothing was tried again");
    let name = locate(&*index, &given).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    assert_eq!(server.documents().len(), 1);
    // Also for the run after that.
    assert_eq!(locate(&*open(&server.url("papers")), &given), Some(name));
}

#[rstest]
#[case::broken_off(json!({ "match": "finalize$", "drop": "after" }), 1)]
#[case::never_arrived(json!({ "match": "finalize$", "drop": "before" }), 0)]
#[case::a_gateway(json!({ "match": "finalize$", "status": 502, "body": "<html>Bad Gateway</html>" }), 0)]
fn a_lost_last_answer_says_nothing_of_the_document(#[case] fault: Value, #[case] there: usize) {
    let (server, index) = begun();
    let given = a_document();
    assert_eq!(locate(&*index, &given), None);
    server.fault(&fault);
    let error = put(&*index, &given).unwrap_err();
    assert_eq!(error.class(), ErrorClass::Channel, "{error:?}");
    assert_eq!(server.finalized(), 1);
    assert_eq!(locate(&*index, &given).is_some(), there == 1);
    if there == 0 {
        put(&*index, &given).unwrap();
    }
    assert_eq!(server.documents().len(), 1);
}

#[rstest]
#[case::cut(Fault::CutAnswer(150))]
#[case::silent(Fault::StallAnswer(0))]
#[case::black_hole(Fault::BlackHole)]
#[case::refused(Fault::Refuse)]
fn trouble_with_the_network_is_the_channels(#[case] fault: Fault) {
    let (server, _) = begun();
    let proxy = Proxy::before(server.peer.port);
    let url = server.url("papers").replace(&server.peer.port.to_string(), &proxy.port.to_string());
    let patience = Patience { connect: Duration::from_secs(5), idle: Duration::from_millis(300) };
    let index = open_with(&url, &Access { patience, ..access(PASSWORD) }).unwrap();
    let given = a_document();
    let name = put(&*index, &given).unwrap();
    proxy.always(Some(fault));
    for error in [
        index.identity().unwrap_err(),
        index.standing(&name).unwrap_err(),
        index.prove(&name, &given.entry()).unwrap_err(),
        index.remove(&name).unwrap_err(),
        put(&*index, &a_document()).unwrap_err(),
        index.locate(&[given.key()]).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Away { reason: AwayReason::Unreachable, .. }), "{error:?}");
    }
    // What was asked may have been done: once.
    assert!(server.documents().len() <= 2 && server.finalized() <= 2, "{:?}", server.asked());
}

// S9: the first error, not what a second attempt would meet.
#[test]
fn what_the_store_says_first_is_what_is_shown() {
    let (server, index) = begun();
    for message in
        ["Failed to count tokens.", "* UploadToFileSearchStoreRequest.mime_type: When provided ..."]
    {
        server.fault(&json!({ "match": "finalize$", "status": 400, "message": message }));
        let before = server.finalized();
        let error = put(&*index, &a_document()).unwrap_err();
        assert!(said(&error).contains(message), "{error:?}");
        assert_eq!((error.class(), server.finalized()), (ErrorClass::Verdict, before + 1));
    }
}

// S9
#[test]
fn a_document_that_it_could_not_read_is_failed_and_says_why() {
    let (server, index) = begun();
    for pending_polls in [0, 1] {
        let error = json!({ "code": 13, "message": "Failed to count tokens." });
        server.set(&json!({ "pending_polls": pending_polls, "op_error": error }));
        let given = a_document();
        let name = put(&*index, &given).unwrap();
        let seen = (0..3).map(|_| readiness(&*index, &name)).find(|seen| *seen != Readiness::NotYet);
        assert_eq!(seen, Some(Readiness::Failed("Failed to count tokens.".to_owned())));
        assert_eq!(locate(&*index, &given), Some(name));
    }
}

// S9: seen in the wild up to 110 s after.
#[test]
fn a_document_that_is_failed_may_still_turn() {
    let (server, index) = begun();
    server.set(&json!({ "pending_polls": 0, "failed_polls": 3 }));
    let name = put(&*index, &a_document()).unwrap();
    assert!(matches!(readiness(&*index, &name), Readiness::Failed(_)));
    searchable_after_failures(&*index, &name);
}

fn searchable_after_failures(index: &dyn Index, name: &RemoteName) {
    let turned = (0..10).any(|_| readiness(index, name) == Readiness::Searchable);
    assert!(turned);
}

// S6
#[test]
fn too_much_asked_and_too_much_stored_are_told_apart() {
    let (server, index) = begun();
    let given = a_document();
    server.fault(&json!({ "match": "start$", "status": 429, "retry_after": 9 }));
    let error = put(&*index, &given).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));

    let told = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "16.5s" }]);
    server.fault(&json!({ "match": "start$", "status": 429, "details": told }));
    assert_eq!(put(&*index, &given).unwrap_err().retry_after(), Some(Duration::from_secs(17)));

    server.set(&json!({ "storage_limit_bytes": 5 }));
    let error = put(&*index, &given).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }) && error.retry_after().is_none(), "{error:?}");
    assert!(said(&error).contains("storage limit of 5 bytes"), "{error:?}");
    assert_eq!(server.finalized(), 1);
}

#[rstest]
#[case::no_words(json!({ "status": 503, "body": "" }), "503")]
#[case::odd_json(json!({ "status": 503, "body": "{\"error\":{\"message\":\"\",\"code\":503,\"status\":\"Service Unavailable\"}}" }), "Service Unavailable")]
#[case::a_list(json!({ "status": 500, "body": "[{\"error\":{\"message\":\"oh\",\"code\":500,\"status\":\"INTERNAL\"}}]" }), "oh")]
#[case::html(json!({ "status": 502, "body": "<html><body>Bad</body></html>" }), "502")]
#[case::not_json(json!({ "status": 200, "body": "<html>please log in</html>" }), "not what was expected")]
#[case::elsewhere(json!({ "status": 302, "headers": { "Location": "http://127.0.0.1:1/" }, "body": "" }), "302")]
fn whatever_a_gateway_answers_is_no_verdict(#[case] mut fault: Value, #[case] words: &str) {
    let (server, index) = begun();
    let name = put(&*index, &a_document()).unwrap();
    fault["times"] = 9.into();
    server.fault(&fault);
    for error in [
        index.identity().unwrap_err(),
        index.standing(&name).unwrap_err(),
        index.remove(&name).unwrap_err(),
        index.list().unwrap().next().unwrap().unwrap_err(),
        put(&*index, &a_document()).unwrap_err(),
    ] {
        assert_eq!(error.class(), ErrorClass::Channel, "{error:?}");
        let said = said(&error);
        assert!(said.contains(words) || said.contains("began no upload"), "{said}");
    }
}

// S1
#[test]
fn a_wrong_key_is_told_from_none_and_neither_is_repeated() {
    let (server, _) = begun();
    let error = open_with(&server.url("papers"), &access("wrong-key")).unwrap().identity().unwrap_err();
    assert!(matches!(&error, StoreError::Credentials { .. }), "{error:?}");
    assert!(said(&error).contains("not valid") && !said(&error).contains("wrong-key"), "{}", said(&error));
    server.fault(&json!({ "status": 401, "message": "Request had invalid authentication credentials." }));
    let error = open(&server.url("papers")).identity().unwrap_err();
    assert!(matches!(&error, StoreError::Credentials { .. }), "{error:?}");
    let error = open_with(&server.url("papers"), &access("a\nb")).unwrap_err();
    assert!(matches!(&error, StoreError::Credentials { .. }), "{error:?}");
}

// R5
#[test]
fn no_error_repeats_the_key_or_an_uploads_address() {
    let (server, index) = begun();
    let name = put(&*index, &a_document()).unwrap();
    let mut errors = Vec::new();
    for fault in [
        json!({ "drop": "before" }),
        json!({ "drop": "after" }),
        json!({ "status": 400 }),
        json!({ "status": 403 }),
        json!({ "status": 404 }),
        json!({ "status": 500 }),
        json!({ "status": 302, "headers": { "Location": "/elsewhere?upload_id=x" } }),
        json!({ "status": 200, "body": "?" }),
    ] {
        for (at, skip) in [("start$", 0), ("finalize$", 0), ("^GET", 0)] {
            let mut fault = fault.clone();
            fault["match"] = at.into();
            fault["skip"] = skip.into();
            server.fault(&fault);
            errors.extend(put(&*index, &a_document()).err());
            errors.extend(index.standing(&name).err());
        }
    }
    assert!(errors.len() >= 20, "{}", errors.len());
    for error in errors {
        assert!(!said(&error).contains(PASSWORD) && !said(&error).contains("upload_id"), "{}", said(&error));
    }
    assert!(!format!("{index:?}").contains(PASSWORD));
}

// S1: a redirection would take the key along.
#[test]
fn nobody_sends_the_key_or_a_document_to_another_host() {
    let elsewhere = Stub::saying("200 OK", "", "{}");
    let location = format!("Location: http://127.0.0.1:{}/v1beta/fileSearchStores\r\n", elsewhere.port);
    for status in ["301 Moved Permanently", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let sends = Stub::saying(status, &location, "");
        let index = open(&format!("gemini://papers?base=http://127.0.0.1:{}", sends.port));
        assert_eq!(index.identity().unwrap_err().class(), ErrorClass::Channel);
    }
    let (server, index) = begun();
    server.set(&json!({ "upload_origin": format!("http://127.0.0.1:{}", elsewhere.port) }));
    let error = put(&*index, &a_document()).unwrap_err();
    assert!(said(&error).contains("unencrypted"), "{}", said(&error));
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

// T7, S12
#[test]
fn a_store_that_is_not_there_is_not_an_empty_one() {
    for missing in [403, 404] {
        let server = gemini::server();
        server.set(&json!({ "missing": missing }));
        let index = open(&server.url("papers"));
        assert_eq!(index.identity().unwrap(), None);
        assert!(matches!(put(&*index, &a_document()), Err(StoreError::Away { .. })));
        assert!(matches!(index.locate(&[a_document().key()]), Err(StoreError::Away { .. })));
        assert!(server.stores().is_empty(), "only begin makes one");

        let identity = index.begin(now()).unwrap();
        let given = a_document();
        let name = put(&*index, &given).unwrap();
        server.delete(&identity.generation);
        for error in [
            index.standing(&name).unwrap_err(),
            index.prove(&name, &given.entry()).unwrap_err(),
            index.remove(&name).unwrap_err(),
            put(&*index, &given).unwrap_err(),
            index.list().err().unwrap_or_else(|| panic!("{missing}")),
        ] {
            assert!(
                matches!(error, StoreError::Away { reason: AwayReason::NoneOfThatName, .. }),
                "{error:?}"
            );
        }
        // Begun anew it is another life, and knows nothing of the former one.
        let again = index.begin(now()).unwrap();
        assert_eq!(again.store, identity.store);
        assert_ne!(again.generation, identity.generation);
        assert_eq!(locate(&*index, &given), None);
        assert_eq!(readiness(&*index, &name), Readiness::Gone);
        assert_eq!(index.remove(&name).unwrap(), Deleted::WasAbsent);
    }
}

// S2: what only a key may not see is not gone.
#[test]
fn a_document_that_may_not_exist_is_only_gone_where_its_store_is_seen() {
    let (server, index) = begun();
    let name = put(&*index, &a_document()).unwrap();
    let hidden = "You do not have permission to access the Document x or it may not exist.";
    let fault =
        json!({ "match": "(GET|DELETE) .*fileSearchStores/", "times": 99, "status": 403, "message": hidden });
    server.fault(&fault);
    assert!(matches!(index.standing(&name), Err(StoreError::Away { .. })));
    assert!(matches!(index.remove(&name), Err(StoreError::Away { .. })));
    let name = server.documents()[0]["name"].as_str().unwrap().to_owned();
    assert!(!name.is_empty());
}

#[test]
fn a_name_that_is_none_goes_into_no_address() {
    let (server, index) = begun();
    let asked = server.asked().len();
    for name in [
        "",
        "x",
        "fileSearchStores/s",
        "fileSearchStores/../documents/d",
        "fileSearchStores/s/documents/d?x",
        "a/b/c/d",
    ] {
        let name = RemoteName::new(name);
        assert!(matches!(index.remove(&name), Err(StoreError::Refused { .. })), "{name}");
        assert!(matches!(index.standing(&name), Err(StoreError::Refused { .. })), "{name}");
    }
    assert_eq!(server.asked().len(), asked);
}

// S9: two devices that both made one agree.
#[test]
fn of_several_stores_of_one_name_everybody_takes_the_oldest() {
    let server = gemini::server();
    for other in 0..25 {
        server.make_store(&format!("other {other}"));
    }
    server.set(&json!({ "frozen_time": "2026-11-21T01:40:00.5Z" }));
    let mut equals = [server.make_store("papers"), server.make_store("papers")];
    equals.sort();
    server.set(&json!({ "frozen_time": "2026-11-21T01:40:01Z" }));
    server.make_store("papers");
    for reverse in [false, true] {
        server.set(&json!({ "reverse_lists": reverse }));
        let identity = open(&server.url("papers")).identity().unwrap();
        let store = format!("gemini:papers@{}", server.peer.http());
        assert_eq!(identity, Some(Identity { store, generation: equals[0].clone() }));
    }
    assert_eq!(open(&server.url("papers")).begin(now()).unwrap().generation, equals[0]);
    assert_eq!(open(&server.url("nothing")).identity().unwrap(), None);
}

// S9
#[test]
fn devices_that_begin_it_at_the_same_moment_agree_on_one() {
    let server = gemini::server();
    // Both have looked and found none before either makes one.
    server.fault(&json!({ "match": "POST .*fileSearchStores$", "times": 2, "delay_ms": 300 }));
    let barrier = Barrier::new(2);
    let begin = || {
        let index = open(&server.url("papers"));
        barrier.wait();
        index.begin(now()).unwrap()
    };
    let both = std::thread::scope(|scope| {
        let other = scope.spawn(begin);
        [begin(), other.join().unwrap()]
    });
    let made = server.asked().iter().filter(|line| *line == "POST /v1beta/fileSearchStores").count();
    assert_eq!(made, 2, "the race was not run");
    // Who came first may have seen only its own; it is the oldest then.
    assert_eq!(both[0], both[1]);
    assert_eq!(server.stores(), [both[0].generation.clone()]);
}

// T3
#[test]
fn a_beginning_whose_answer_was_lost_is_found() {
    let server = gemini::server();
    server.fault(&json!({ "match": "POST .*fileSearchStores$", "drop": "after" }));
    let index = open(&server.url("papers"));
    assert!(matches!(index.begin(now()), Err(StoreError::Away { .. })));
    let identity = index.begin(now()).unwrap();
    assert_eq!(server.stores(), [identity.generation]);
}

// S9: 10,000 documents are 500 requests.
#[test]
fn a_list_is_read_to_its_end_and_remembered() {
    let (server, index) = begun();
    let given: Vec<Given> = (0..45).map(|n| Given::new("many", &format!("text {n}"))).collect();
    for one in &given {
        put(&*index, one).unwrap();
    }
    let index = open(&server.url("papers"));
    let pages = || {
        let log = server.log();
        log.iter()
            .filter(|entry| entry["line"].as_str().unwrap().ends_with("/documents"))
            .map(|entry| entry["query"]["pageSize"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let keys: Vec<_> = given.iter().map(Given::key).collect();
    assert!(index.locate(&keys).unwrap().iter().all(|names| names.len() == 1));
    for key in keys {
        assert_eq!(index.locate(&[key]).unwrap()[0].len(), 1);
    }
    let mine = a_document();
    let name = put(&*index, &mine).unwrap();
    assert_eq!(locate(&*index, &mine), Some(name.clone()));
    index.remove(&name).unwrap();
    assert_eq!(locate(&*index, &mine), None);
    assert_eq!(pages(), ["20", "20", "20"]);
    assert_eq!(listed(&*index).len(), 45);
}

#[test]
fn a_list_that_does_not_end_is_an_error() {
    let stub = Stub::saying("200 OK", "", "{\"documents\": [], \"nextPageToken\": \"again\"}");
    let stores = r#"{"fileSearchStores": [{"name": "fileSearchStores/s", "displayName": "papers"}]}"#;
    stub.say_to("GET /v1beta/fileSearchStores?", "200 OK", "", stores);
    let index = open(&format!("gemini://papers?base=http://127.0.0.1:{}", stub.port));
    let error = index.locate(&[a_document().key()]).unwrap_err();
    assert!(said(&error).contains("does not end"), "{error:?}");
    let items: Vec<_> = index.list().unwrap().collect();
    assert!(matches!(&items[..], [Err(_)]), "{items:?}");
}

// S2: an incomplete list is none.
#[test]
fn a_list_that_breaks_off_finds_nothing_and_says_so() {
    let (server, index) = begun();
    let given: Vec<Given> = (0..25).map(|n| Given::new("many", &format!("text {n}"))).collect();
    for one in &given {
        put(&*index, one).unwrap();
    }
    let index = open(&server.url("papers"));
    server.fault(&json!({ "match": "/documents$", "skip": 1, "status": 500 }));
    assert!(index.locate(&[given[24].key()]).is_err());
    assert!(locate(&*index, &given[24]).is_some(), "what was read by half is not remembered");
}

#[test]
fn what_others_put_there_is_listed_without_a_key() {
    let (server, index) = begun();
    let ran = gemini::javascript_sdk(&server).output().unwrap();
    assert!(ran.status.success(), "{ran:?}");
    let identity = index.identity().unwrap().unwrap();
    let other = open(&server.url("papers"));
    let given = a_document();
    put(&*other, &given).unwrap();
    // A document with our id and no key, by another program.
    let start = format!("/upload/v1beta/{}:uploadToFileSearchStore", identity.generation);
    upload_by_hand(&server, &start);
    let keys: Vec<_> = listed(&*index).into_iter().map(|one| one.key).collect();
    assert_eq!(keys, [Some(given.key().clone()), None]);
}

fn upload_by_hand(server: &Gemini, path: &str) {
    let port = server.peer.port;
    let send = |path: &str, headers: &str, body: &str| {
        super::peers::request(
            port,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nx-goog-api-key: {PASSWORD}\r\n{headers}\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ),
        )
    };
    let body =
        r#"{"displayName": "theirs", "customMetadata": [{"key": "shelf_key", "stringValue": "No Key!"}]}"#;
    let answer = send(path, "X-Goog-Upload-Protocol: resumable\r\nX-Goog-Upload-Command: start\r\n", body);
    let url = answer.lines().find_map(|line| line.strip_prefix("X-Goog-Upload-URL: ")).unwrap();
    let path = url.strip_prefix(&server.peer.http()).unwrap();
    let answer =
        send(path, "X-Goog-Upload-Command: upload, finalize\r\nX-Goog-Upload-Offset: 0\r\n", "theirs");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

// S9
#[test]
fn a_document_that_will_expire_says_when() {
    let (server, index) = begun();
    let name = put(&*index, &a_document()).unwrap();
    assert_eq!(index.standing(&name).unwrap().expires_at, None);
    server.set(&json!({ "expires_in_s": 172_800 }));
    let name = put(&*index, &a_document()).unwrap();
    let expires = index.standing(&name).unwrap().expires_at.unwrap();
    assert!(expires > now());
}

// S9: another document under a name that the ledger has, or half of ours, is not ours.
#[test]
fn a_document_of_another_length_is_not_proved() {
    let (_server, index) = begun();
    let given = a_document();
    let half = Entry { content: &given.entry().content[..20], ..given.entry() };
    let name = index.put(&half).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_none());
    assert_eq!(index.remove(&name).unwrap(), Deleted::Deleted);
}

/// Two documents that can be found.
fn with_documents(server: &Gemini, index: &dyn Index) -> (Given, Given) {
    server.set(&json!({ "pending_polls": 0 }));
    let moon = Given::of(
        Ulid::generate(),
        "Mond und Größe",
        "The moon orbits the earth.\n\nCats sleep all day.",
        &[(Field::Language, &["en-GB"]), (Field::Date, &["2024-05"]), (Field::Tags, &["World  History"])],
    );
    let pets = Given::of(
        Ulid::generate(),
        "Pets",
        "Cats and dogs.",
        &[(Field::Language, &["de"]), (Field::SourceType, &["Book"]), (Field::AuthorityTier, &["1"])],
    );
    for given in [&moon, &pets] {
        let name = put(index, given).unwrap();
        searchable(index, &name);
    }
    (moon, pets)
}

// S9
#[test]
fn a_question_is_answered_with_what_it_is_from() {
    let (server, index) = begun();
    let (moon, pets) = with_documents(&server, &*index);
    server.set(&json!({ "answer": "Überall. Sie schlafen." }));
    let asks = index.answers().unwrap();
    let answer = asks.ask("where do cats sleep", &Filter::default()).unwrap();
    assert_eq!((answer.text.as_str(), answer.model.as_str()), ("Überall. Sie schlafen.", "gemini-2.5-flash"));
    let from: Vec<_> =
        answer.passages.iter().map(|it| (it.document, it.title.as_str(), it.text.as_str())).collect();
    assert_eq!(
        from,
        [
            (Some(moon.document), "Mond und Größe", "Cats sleep all day."),
            (Some(pets.document), "Pets", "Cats and dogs.")
        ]
    );
    let pieces: Vec<_> =
        answer.supports.iter().map(|it| (&answer.text[..it.until], &it.passages[..])).collect();
    assert_eq!(pieces, [("Überall.", &[0][..]), ("Überall. Sie schlafen.", &[1])]);

    server.set(&json!({ "grounding": "title" }));
    let answer = asks.ask("where do cats sleep", &Filter::default()).unwrap();
    assert_eq!((answer.passages[0].document, answer.passages[0].title.as_str()), (None, "Mond und Größe"));
    server.set(&json!({ "grounding": "none" }));
    assert!(asks.ask("where do cats sleep", &Filter::default()).unwrap().passages.is_empty());
}

// S9
#[rstest]
#[case(&[(false, Term::Language("en".into()))], &["Mond und Größe"])]
#[case(&[(true, Term::Language("en".into()))], &["Pets"])]
#[case(&[(false, Term::Type("book".into())), (false, Term::Tier("1".into()))], &["Pets"])]
#[case(&[(false, Term::Tag("world history".into()))], &["Mond und Größe"])]
#[case(&[(false, Term::After(20240501)), (false, Term::Before(20240601))], &["Mond und Größe"])]
#[case(&[(false, Term::Before(20240531))], &[])]
#[case(&[(false, Term::Tag("no \"such\\ tag".into()))], &[])]
fn a_question_may_be_kept_to_some_documents(#[case] terms: &[(bool, Term)], #[case] titles: &[&str]) {
    let (server, index) = begun();
    with_documents(&server, &*index);
    let clauses = terms.iter().map(|(not, term)| Clause { not: *not, any: vec![term.clone()] }).collect();
    let answer = index.answers().unwrap().ask("cats", &Filter(clauses)).unwrap();
    let from: Vec<_> = answer.passages.iter().map(|it| it.title.as_str()).collect();
    assert_eq!(from, titles);
}

#[test]
fn a_question_that_cannot_be_answered_says_why() {
    let (server, index) = begun();
    let ask = |index: &dyn Index| index.answers().unwrap().ask("x", &Filter::default());
    server.fault(&json!({ "match": "generateContent", "status": 200, "body": "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}" }));
    let error = ask(&*index).unwrap_err();
    assert!(said(&error).contains("SAFETY") && error.class() == ErrorClass::Verdict, "{error:?}");
    server.fault(&json!({ "match": "generateContent", "status": 404, "message": "models/x is not found" }));
    let error = ask(&*index).unwrap_err();
    assert!(said(&error).contains("no model") && error.class() == ErrorClass::Verdict, "{error:?}");
    server.delete(&index.identity().unwrap().unwrap().generation);
    let error = ask(&*index).unwrap_err();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::NoneOfThatName, .. }), "{error:?}");

    let other = open(&format!("{}&model=gemini-9-pro", server.url("papers")));
    other.begin(now()).unwrap();
    assert_eq!(ask(&*other).unwrap().model, "gemini-9-pro");
}
