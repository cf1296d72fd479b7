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
use shelflist::catalog::{Catalog, CatalogError, Ids, Sender, libraries};
use shelflist::clock::{Clock, FixedClock, SystemClock};
use shelflist::library;
use shelflist::monitor::{Counter, TestMonitor};
use shelflist::sync::connectivity::{Changed, Connectivity, Listener, probe};
use shelflist::sync::keep::{Ended, For, Host, Keep, Until, Waiting, channels, keep_sending};
use shelflist::sync::wake::{Channel, Why};
use shelflist::sync::{Here, PushReport};

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

/// Two documents, read and in line, nothing sent.
fn waiting_desk(payload: &str) -> Desk {
    let desk = Desk::with_files(&[("a.txt", "alpha beta"), ("b.txt", "beta gamma")]);
    desk.add_mirror(payload);
    desk.scan();
    desk.run(&["enrich"]).expect(0);
    desk
}

/// Somebody who has the queue kept draining, with a clock that only waiting moves.
struct Evening<'a> {
    desk: &'a Desk,
    clock: &'a FixedClock,
    begun: jiff::Timestamp,
    /// What happens while it waits, told how many seconds it has.
    happens: &'a mut dyn FnMut(i64, &Waiting<'_>),
}

impl Host for Evening<'_> {
    fn here(&mut self, catalog: &mut Catalog) -> Result<Vec<Here>, CatalogError> {
        let all = libraries::all(catalog.read())?;
        let mut here = Vec::new();
        for library in all {
            if let Ok(root) = library::look(catalog, &library, &SystemClock)? {
                here.push(Here { library, root });
            }
        }
        Ok(here)
    }

    fn waits(&mut self, waiting: &Waiting<'_>) {
        let seconds = self.clock.now().duration_since(self.begun).as_secs();
        assert!(seconds < 100_000, "it waits for ever: {waiting:?} {:?}", self.desk.json(&["sync", "queue"]));
        (self.happens)(seconds, waiting);
    }
}

const ALL: Keep = Keep { only: None, at_once: true, until: Until::Drained, time_up_ms: None };

fn keep(
    desk: &Desk,
    keep: Keep,
    clock: &FixedClock,
    monitor: &TestMonitor,
    listeners: &[&dyn Listener],
    happens: &mut dyn FnMut(i64, &Waiting<'_>),
) -> (PushReport, Ended) {
    let mut catalog = Catalog::open(&desk.home().join("catalog.db"), clock.now()).unwrap();
    let mut evening = Evening { desk, clock, begun: clock.now(), happens };
    keep_sending(&mut catalog, &keep, &mut evening, listeners, clock, monitor).unwrap()
}

fn now() -> FixedClock {
    FixedClock::at(SystemClock.now())
}

// O1, O2, T5: nobody has to say anything for what waits to go when its store is back
#[test]
fn what_waits_for_a_store_goes_within_an_interval_of_its_coming_back() {
    const BACK: i64 = 3_000;
    let desk = waiting_desk("enriched");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let (clock, told) = (now(), Mutex::new(Vec::new()));
    let begun = clock.now();
    let listener = |changed: &Changed<'_>| told.lock().unwrap().push(changed.after.state);
    let (report, ended) =
        keep(&desk, ALL, &clock, &TestMonitor::default(), &[&listener], &mut |at, waiting| {
            let For::Store { name: "mirror", why: Why::Away, offline_since: Some(_) } = waiting.what else {
                panic!("{waiting:?}");
            };
            assert_eq!(waiting.queued, 2);
            if at >= BACK && desk.path("elsewhere").exists() {
                fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
            }
        });
    assert_eq!((ended, report.uploaded_objects, report.queued), (Ended::Drained, 2, 0));
    assert!(report.offline.is_empty(), "it is back: {report:?}");
    let took = clock.now().duration_since(begun).as_secs();
    assert!((BACK..=BACK + 31).contains(&took), "{took} s");
    assert_eq!(*told.lock().unwrap(), [ChannelState::Offline, ChannelState::Online]);
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
    assert_eq!(desk.objects().len(), 2);
}

// T6: also where something else waits for a time that is later
#[test]
fn a_disk_is_looked_for_before_what_is_due_only_later() {
    const AT: i64 = 9_000_000_000_000;
    let desk = waiting_desk("original");
    // Needs no disk, and is put off.
    desk.execute(&format!(
        "INSERT INTO withheld (document_id, privacy) SELECT min(document_id), 'redacted' FROM documents;
         UPDATE outbox SET not_before = {AT} + 240000 WHERE document_id = (SELECT min(document_id) FROM documents)"
    ));
    let (catalog, row) = open(&desk);
    let channel = || {
        channels(catalog.read(), std::slice::from_ref(&row), &[], &|_| false, Some(AT + 60_000), AT).unwrap()
            [0]
    };
    let Channel { due_at, look_at, .. } = channel();
    assert_eq!((due_at, look_at), (Some(AT + 240_000), Some(AT + 60_000)));
    desk.execute("UPDATE outbox SET not_before = 0 WHERE not_before > 0");
    assert_eq!(channel().look_at, None, "there is something to do");
}

// T6: a computer whose battery was empty begins in another year, and is put right while it waits
#[test]
fn a_clock_that_is_set_back_makes_nobody_wait_for_longer() {
    const SET_BACK: i64 = 600;
    let desk = waiting_desk("both");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    let clock = now();
    let begun = clock.now();
    let mut was_set_back = false;
    let for_ever = Keep { until: Until::Cancelled, ..ALL };
    let monitor = TestMonitor::default();
    monitor.cancel_after(Counter::OperationsDone, 2);
    let mut waits = 0;
    let (report, ended) = keep(&desk, for_ever, &clock, &monitor, &[], &mut |at, waiting| {
        waits += 1;
        assert!(waits < 2_000, "it waits for ever: {waiting:?}");
        if at >= SET_BACK && !was_set_back {
            was_set_back = true;
            clock.advance(jiff::SignedDuration::from_hours(-24 * 365));
            fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
            fs::rename(desk.path("unplugged"), desk.library()).unwrap();
        }
    });
    assert_eq!((ended, report.queued), (Ended::Cancelled, 0), "{report:?}");
    assert_eq!(desk.objects().len(), 4);
    let took = clock.now().duration_since(begun) + jiff::SignedDuration::from_hours(24 * 365);
    assert!(took.as_secs() <= SET_BACK + 100, "{took}");
}

// T6: nor does one who said for how long
#[test]
fn a_time_that_is_up_comes_though_the_clock_is_set_back() {
    let desk = waiting_desk("enriched");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let clock = now();
    let soon = Keep { time_up_ms: Some(clock.now_ms() + 1_200_000), ..ALL };
    let (mut waits, mut was_set_back) = (0, false);
    let (_, ended) = keep(&desk, soon, &clock, &TestMonitor::default(), &[], &mut |at, _| {
        waits += 1;
        assert!(waits < 2_000, "it waits for ever");
        if at >= 600 && !was_set_back {
            was_set_back = true;
            clock.advance(jiff::SignedDuration::from_hours(-24 * 365));
        }
    });
    assert_eq!(ended, Ended::TimeUp);
    assert!((1_100..1_400).contains(&waits), "waited for {waits} s");
}

// O2: an hour of a store that is away costs it a question an interval
#[test]
fn when_the_time_is_up_what_waits_is_queued() {
    let desk = waiting_desk("enriched");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let clock = now();
    let begun = clock.now();
    let until_ms = begun.as_millisecond() + 3_600_000;
    let soon = Keep { time_up_ms: Some(until_ms), ..ALL };
    let (report, ended) = keep(&desk, soon, &clock, &TestMonitor::default(), &[], &mut |_, _| {});
    assert_eq!((ended, report.queued, report.offline.len()), (Ended::TimeUp, 2, 1));
    assert!((0..=200).contains(&(clock.now().as_millisecond() - until_ms)));
    let asked: i64 = desk.sql("SELECT failures FROM channels");
    assert!((120..200).contains(&asked), "asked {asked} times");
    assert_eq!(desk.json(&["sync", "queue"])["queue"][0]["attempts"], 0);
}

// T6, C3, S5: what another process commits is noticed, whoever it is
#[test]
fn what_somebody_else_puts_in_line_is_sent_soon() {
    for (poll_ms, from_ms, to_ms) in [("1000", 0, 2_000), ("30000", 20_000, 31_000)] {
        let desk = waiting_desk("enriched");
        desk.run(&["sync"]).expect(0);
        desk.run(&["config", "set", "sync.poll_ms", poll_ms]).expect(0);
        let (clock, monitor) = (now(), TestMonitor::default());
        monitor.cancel_after(Counter::OperationsDone, 1);
        let mut put_at = None;
        let for_ever = Keep { until: Until::Cancelled, at_once: false, ..ALL };
        let (report, ended) = keep(&desk, for_ever, &clock, &monitor, &[], &mut |_, waiting| {
            if put_at.is_none() {
                assert_eq!(waiting.what, For::News);
                desk.write("c.txt", "gamma delta");
                desk.scan();
                desk.run(&["enrich"]).expect(0);
                put_at = Some(clock.now());
            }
        });
        assert_eq!((ended, report.uploaded_objects, report.interrupted), (Ended::Cancelled, 1, true));
        let late_ms = clock.now().duration_since(put_at.unwrap()).as_millis();
        assert!((from_ms..=to_ms).contains(&late_ms), "{poll_ms}: {late_ms}");
    }
}

// T6, S2: what stays for another device is waited for by nobody, and hides nothing that has its time
#[test]
fn what_comes_due_is_sent_beside_deletions_that_wait_for_a_word() {
    let desk = waiting_desk("enriched");
    desk.run(&["sync"]).expect(0);
    desk.run(&["config", "set", "orphans.grace_days", "0"]).expect(0);
    desk.run(&["edit", "a.txt", "--title", "Alpha"]).expect(0);
    desk.run(&["sync"]).expect(0);
    std::fs::write(desk.mirror().join("devices/01arz3ndektsv4rrffq69g5fav"), "another\n").unwrap();
    std::fs::rename(desk.mirror(), desk.path("away")).unwrap();
    desk.run(&["orphans", "clean"]).expect(5);
    std::fs::rename(desk.path("away"), desk.mirror()).unwrap();
    desk.run(&["edit", "b.txt", "--title", "Beta"]).expect(0);
    let clock = now();
    let later = clock.now_ms() + 60_000;
    desk.execute(&format!(
        "UPDATE outbox SET not_before = {later} WHERE state = 'pending' AND kind = 'mirror'"
    ));
    let (report, ended) = keep(&desk, ALL, &clock, &TestMonitor::default(), &[], &mut |_, _| {});
    assert_eq!((ended, report.uploaded_objects, report.queued), (Ended::Drained, 1, 1), "{report:?}");
    assert_eq!(report.kept.len(), 1);
}

// T3: two at once are no error of the second
#[test]
fn a_sender_of_another_process_is_waited_for() {
    let desk = waiting_desk("enriched");
    let clock = now();
    let mut other = Catalog::open(&desk.home().join("catalog.db"), clock.now()).unwrap();
    let mut sender = Some(Sender::take(&mut other, clock.now_ms()).unwrap());
    let mut waited = 0;
    let (report, ended) = keep(&desk, ALL, &clock, &TestMonitor::default(), &[], &mut |_, waiting| {
        assert_eq!(waiting.what, For::Sender);
        waited += 1;
        sender = None;
    });
    assert_eq!((ended, report.uploaded_objects), (Ended::Drained, 2));
    assert!(waited > 0);
}

// T6: a scan that runs meanwhile can take the lock that it needs, and an edit can be made
#[test]
fn who_waits_holds_no_lock() {
    let desk = waiting_desk("enriched");
    fs::rename(desk.mirror(), desk.path("elsewhere")).unwrap();
    let (clock, mut done) = (now(), false);
    keep(&desk, ALL, &clock, &TestMonitor::default(), &[], &mut |_, _| {
        if !done {
            done = true;
            desk.run(&["tag", "a.txt", "red"]).expect(0);
            desk.run(&["sync", "now"]).expect(5);
            fs::rename(desk.path("elsewhere"), desk.mirror()).unwrap();
        }
    });
    assert!(done && desk.objects().values().any(|object| String::from_utf8_lossy(object).contains("red")));
}

// T6: what no time mends is not waited for
#[test]
fn what_waits_for_a_person_a_text_or_a_disk_holds_up_nobody() {
    let in_vain = |desk: &Desk| {
        let clock = now();
        let (report, ended) = keep(desk, ALL, &clock, &TestMonitor::default(), &[], &mut |_, waiting| {
            panic!("it waits: {waiting:?}");
        });
        assert_eq!(ended, Ended::Drained);
        report
    };
    let desk = waiting_desk("enriched");
    desk.run(&["sync", "pause"]).expect(0);
    assert_eq!(in_vain(&desk).queued, 2, "a person has paused it");
    desk.run(&["sync", "resume"]).expect(0);
    desk.execute("UPDATE documents SET enrich_stale = 1");
    assert_eq!(in_vain(&desk).queued, 2, "nobody has read its text");
    desk.execute("UPDATE documents SET enrich_stale = 0; UPDATE outbox SET state = 'dead', error_code = 'SHELF-SYNC-004'");
    in_vain(&desk);

    // A disk that is away, and a file that cannot be read.
    let desk = waiting_desk("original");
    fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    assert_eq!(in_vain(&desk).queued, 2);
    fs::rename(desk.path("unplugged"), desk.library()).unwrap();
    desk.remove("a.txt");
    let report = in_vain(&desk);
    assert_eq!((report.queued, report.uploaded_objects, report.problems.len()), (1, 1, 1), "{report:?}");
    let failed = desk.json(&["sync", "queue", "--errors"])["queue"].take();
    assert_eq!(failed.as_array().map(Vec::len), Some(1), "{failed}");
    assert!(failed[0]["error"].as_str().unwrap().contains("cannot read the content"), "{failed}");
}

// T6, D10: who goes on for ever looks for a disk once a minute
#[test]
fn a_disk_that_is_plugged_in_is_noticed_by_who_goes_on() {
    let desk = waiting_desk("original");
    fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    let (clock, monitor) = (now(), TestMonitor::default());
    monitor.cancel_after(Counter::OperationsDone, 2);
    let for_ever = Keep { until: Until::Cancelled, ..ALL };
    let mut last = 0;
    let (report, ended) = keep(&desk, for_ever, &clock, &monitor, &[], &mut |at, waiting| {
        last = at;
        if at < 500 {
            assert!(matches!(waiting.what, For::Store { why: Why::Source, .. }), "{waiting:?}");
        } else if desk.path("unplugged").exists() {
            fs::rename(desk.path("unplugged"), desk.library()).unwrap();
        }
    });
    assert_eq!((ended, report.uploaded_objects), (Ended::Cancelled, 2));
    assert!((500..=561).contains(&last), "{last}");
}
