//! Whether the way to a store is open, and who is told of it (O1).

#![allow(missing_docs)]

#[path = "cli/desk.rs"]
#[allow(dead_code)]
mod desk;

use std::fs;
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use desk::Desk;
use serde_json::json;
use shelflist::catalog::stores::{self, ChannelState, NewStore, StorePayload, StoreRow};
use shelflist::catalog::{Catalog, CatalogError, Ids};
use shelflist::clock::{Clock, SystemClock};
use shelflist::sync::connectivity::{Changed, Connectivity, probe};

fn open(desk: &Desk) -> (Catalog, StoreRow) {
    let catalog = Catalog::open(&desk.home().join("catalog.db"), SystemClock.now()).unwrap();
    let row = stores::all(catalog.read()).unwrap().remove(0);
    (catalog, row)
}

// O1: listeners are told once a change, and of nothing else
#[test]
fn who_listens_is_told_when_a_store_goes_and_when_it_is_back() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.add_mirror("enriched");
    let (mut catalog, row) = open(&desk);
    let told: Mutex<Vec<(String, ChannelState, ChannelState)>> = Mutex::default();
    let listener = |changed: &Changed<'_>| {
        told.lock().unwrap().push((changed.channel.to_owned(), changed.before, changed.after.state));
    };
    let mut ask = || -> Connectivity { probe(&mut catalog, &row, &[&listener], &SystemClock).unwrap() };
    assert!(ask().is_online());
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    assert_eq!([ask().state, ask().state], [ChannelState::Online; 2], "two are chance");
    assert!(told.lock().unwrap().is_empty());
    assert_eq!(ask().state, ChannelState::Offline);
    let gone = ask();
    assert_eq!(gone.failures, 4);
    fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
    let back = ask();
    assert_eq!((back.state, back.offline_since), (ChannelState::Online, None));
    let mirror = || "mirror".to_owned();
    assert_eq!(
        *told.lock().unwrap(),
        [
            (mirror(), ChannelState::Online, ChannelState::Offline),
            (mirror(), ChannelState::Offline, ChannelState::Online)
        ]
    );
}

// O1: real traffic counts as a probe
#[test]
fn a_sync_that_gets_through_is_heard() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.add_mirror("enriched");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    desk.run(&["sync"]).expect(5);
    let status = desk.json(&["sync", "status"]);
    let store = &status["stores"][0];
    assert_eq!((&store["is_online"], &store["code"]), (&json!(false), &json!("SHELF-SYNC-001")));
    assert!(store["last_online_at"].is_string() && store["offline_duration_seconds"].is_i64(), "{store}");
    fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
    let probed = desk.json(&["sync", "status", "--probe"]);
    let store = &probed["stores"][0];
    assert_eq!(
        (&store["is_online"], &store["code"], &store["offline_duration_seconds"]),
        (&json!(true), &json!(null), &json!(null))
    );
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let text = desk.run(&["sync", "status", "--probe"]).expect(0).stdout;
    assert!(
        text.contains("online; it left 1 question unanswered") && text.contains("SHELF-SYNC-001"),
        "{text}"
    );
    desk.run(&["config", "set", "connectivity.failures", "2"]).expect(0);
    let text = desk.run(&["sync", "status", "--probe"]).expect(0).stdout;
    assert!(text.contains("mirror: offline since"), "{text}");
    let channel = desk.json(&["status"])["channels"][0].take();
    assert_eq!((&channel["is_online"], &channel["code"]), (&json!(false), &json!("SHELF-SYNC-001")));
}

// O1: what does not answer is not waited for beyond its time
#[test]
fn a_server_that_says_nothing_is_given_so_long_and_no_longer() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.run(&["config", "set", "connectivity.timeout_ms", "200"]).expect(0);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut catalog = Catalog::open(&desk.home().join("catalog.db"), SystemClock.now()).unwrap();
    let url = format!("webdav+http://{}/x", silent.local_addr().unwrap());
    let new = NewStore {
        name: "silent",
        url: &url,
        payload: StorePayload::Enriched,
        remote_store: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        generation: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        password_command: None,
        found: None,
    };
    catalog.change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, 0)).unwrap();
    let (_, row) = open(&desk);
    let begun = Instant::now();
    let heard = probe(&mut catalog, &row, &[], &SystemClock).unwrap();
    assert_eq!(heard.failures, 1);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}
