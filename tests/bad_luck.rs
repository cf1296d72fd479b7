//! What can go wrong on the way to a store, against the whole line from the outbox: nothing is lost, nothing is sent twice, and
//! nobody is blamed for it.

#![allow(missing_docs)]

#[path = "common/lent.rs"]
mod lent;
#[path = "peers/mod.rs"]
mod peers;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use jiff::SignedDuration;
use peers::proxy::{Fault, Proxy};
use peers::{PASSWORD, Peer, USER, rclone_s3, rclone_webdav};
use shelflist::catalog::queue::{self, Operation};
use shelflist::catalog::{Catalog, CatalogError, Ids, RunLock, Sender, libraries, settings, stores};
use shelflist::clock::{Clock, FixedClock, SystemClock};
use shelflist::library::{self, InitOptions};
use shelflist::model::{OperationState, setting};
use shelflist::monitor::{Counter, Monitor, TestMonitor};
use shelflist::remote::{self, Access, StoreUrl};
use shelflist::scan::Options;
use shelflist::sync::keep::{Ended, Host, Keep, Until, Waiting, keep_sending};
use shelflist::sync::{self, Here, PushReport};

/// A library whose originals go to one store, and a clock that stands.
struct Office {
    dir: tempfile::TempDir,
    clock: FixedClock,
}

impl Office {
    fn new(files: usize, url: &str) -> Office {
        let dir = tempfile::tempdir().unwrap();
        let office = Office { clock: FixedClock::at(SystemClock.now()), dir };
        std::fs::create_dir(office.root()).unwrap();
        for n in 0..files {
            std::fs::write(office.root().join(format!("{n:05}.txt")), format!("content {n}")).unwrap();
        }
        let mut catalog = Catalog::open_or_create(&office.home(), office.clock.now()).unwrap();
        let root = office.root();
        let options = InitOptions { root: &root, name: Some("books"), mount_point: None, marker: true };
        library::init(&mut catalog, &options, &SystemClock).unwrap();
        drop(catalog);
        office.scan();
        let mut catalog = office.catalog();
        let url = StoreUrl::parse(url, Path::new("/")).unwrap();
        let command = match &url {
            StoreUrl::WebDav(_) => format!("printf {PASSWORD}"),
            _ => format!("printf {USER}:{PASSWORD}"),
        };
        let access = Access::known(Some(&command), None);
        let identity =
            remote::create(&url, &access, office.clock.now()).unwrap().identity().unwrap().unwrap();
        let new = stores::NewStore {
            name: "mirror",
            url: &url.to_string(),
            payload: stores::StorePayload::Original,
            remote_store: &identity.store,
            generation: &identity.generation,
            password_command: Some(&command),
            found: remote::try_out(&url, &access, office.clock.now()).unwrap(),
        };
        catalog.change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, 0)).unwrap();
        office
    }

    /// With a proxy before an S3 server.
    fn behind_a_proxy(files: usize) -> (Office, Proxy, Peer) {
        let peer = rclone_s3();
        // Two writers who make one directory at once are answered 500 by this server: not the fault that is meant here.
        for prefix in 0..=255 {
            std::fs::create_dir_all(peer.data().join(format!("bucket/original/{prefix:02x}"))).unwrap();
        }
        let proxy = Proxy::before(peer.port);
        let url = format!("s3://bucket?endpoint=http://127.0.0.1:{}&region=r", proxy.port);
        (Office::new(files, &url), proxy, peer)
    }

    /// With a proxy before a server that says no hash of what it took: all is read back.
    fn at_webdav(files: usize) -> (Office, Proxy, Peer) {
        let peer = rclone_webdav();
        let proxy = Proxy::before(peer.port);
        let url = format!("webdav+http://{USER}@127.0.0.1:{}/bucket/far", proxy.port);
        (Office::new(files, &url), proxy, peer)
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home/catalog.db")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("library")
    }

    fn catalog(&self) -> Catalog {
        Catalog::open(&self.home(), self.clock.now()).unwrap()
    }

    fn here(&self, catalog: &mut Catalog) -> Here {
        let library = libraries::all(catalog.read()).unwrap().remove(0);
        let root = library::look(catalog, &library, &SystemClock).unwrap().unwrap();
        Here { library, root }
    }

    fn scan(&self) {
        let mut catalog = self.catalog();
        let lock = RunLock::take(catalog.path()).unwrap();
        let Here { library, root } = self.here(&mut catalog);
        let (options, monitor) = (Options::default(), TestMonitor::default());
        lent::scan(&mut catalog, &lock, &library, &root, &options, &SystemClock, &monitor).unwrap();
    }

    fn push(&self) -> PushReport {
        self.push_watched(&TestMonitor::default())
    }

    fn push_watched(&self, monitor: &dyn Monitor) -> PushReport {
        let mut catalog = self.catalog();
        let here = [self.here(&mut catalog)];
        let sender = Sender::take(&mut catalog, self.clock.now_ms()).unwrap();
        sync::push(&mut catalog, &sender, &here, None, &self.clock, monitor).unwrap()
    }

    fn store(&self) -> stores::StoreRow {
        stores::by_name(self.catalog().read(), "mirror").unwrap().unwrap()
    }

    fn queue(&self) -> Vec<Operation> {
        queue::listed(self.catalog().read(), None, false, usize::MAX).unwrap()
    }

    /// Objects that are current by the ledger, and operations that counted a verdict or were given up.
    fn current_and_blamed(&self) -> (i64, i64) {
        let catalog = self.catalog();
        let count = |sql: &str| catalog.read().query_row(sql, [], |row| row.get(0)).unwrap();
        (
            count("SELECT count(*) FROM remote_objects WHERE state = 'current'"),
            count("SELECT count(*) FROM outbox WHERE attempts > 0 OR state = 'dead'"),
        )
    }
}

/// The key of a file's object.
fn key_of(n: usize) -> String {
    blake3::hash(format!("content {n}").as_bytes()).to_hex().to_string()
}

// T5: a proxy that resets on one text holds up nobody else
#[test]
fn one_object_in_fifty_that_never_gets_through_holds_up_nobody() {
    let (office, proxy, _peer) = Office::behind_a_proxy(50);
    proxy.each(&key_of(17), Fault::CutQuestion(100));
    let report = office.push();
    assert_eq!((report.queued, report.offline.len(), report.refused), (1, 0, 0), "{report:?}");
    assert_eq!(office.current_and_blamed(), (49, 0));
    let waiting = office.queue();
    assert_eq!((waiting[0].document_id, waiting[0].attempts), (18, 0));
    assert_eq!(waiting[0].error_code.as_deref(), Some("SHELF-SYNC-001"), "it says why it waits");
    // It waits longer each time, and does not end the turn for what is new.
    std::fs::write(office.root().join("new.txt"), "content 50").unwrap();
    for _ in 0..8 {
        office.clock.advance(SignedDuration::from_mins(10));
        let report = office.push();
        assert_eq!((report.queued, report.offline.len()), (1, 0), "{report:?}");
    }
    assert_eq!(office.current_and_blamed(), (49, 0), "it is waited for, and never given up");
    proxy.always(None);
    office.clock.advance(SignedDuration::from_mins(10));
    assert_eq!(office.push().queued, 0);
    assert_eq!(office.current_and_blamed(), (50, 0));
    assert!(office.queue().is_empty());
}

// T5, S6: what the store will not have is that operation's own
#[test]
fn one_object_in_fifty_that_is_refused_is_given_up_alone() {
    let (office, proxy, _peer) = Office::behind_a_proxy(50);
    proxy.each(&key_of(17), Fault::Say("400 Bad Request", "<Error><Code>InvalidRequest</Code></Error>"));
    for verdicts in 1..=5 {
        let report = office.push();
        assert_eq!((report.refused, report.offline.len()), (1, 0), "{report:?}");
        assert_eq!(office.current_and_blamed(), (49, 1));
        assert_eq!(office.queue()[0].attempts, verdicts);
        office.clock.advance(SignedDuration::from_mins(10));
    }
    let given_up = &office.queue()[0];
    assert_eq!(
        (given_up.state, given_up.error_code.as_deref()),
        (OperationState::Dead, Some("SHELF-SYNC-004"))
    );
    assert_eq!(office.push().refused, 0, "a sixth time nobody asks");
}

/// A person who wants the run to end while a file is read.
struct Impatient {
    asked: AtomicU32,
    owner: std::thread::ThreadId,
}

impl Monitor for Impatient {
    fn cancelled(&self) -> bool {
        if std::thread::current().id() == self.owner {
            return self.asked.load(Ordering::SeqCst) >= 3;
        }
        self.asked.fetch_add(1, Ordering::SeqCst) >= 2
    }
}

// T3, T5: a large upload is ended soon, publishes nothing, and goes back into the queue without blame
#[test]
fn an_upload_that_a_person_ends_publishes_nothing_and_is_begun_again() {
    for (office, _proxy, peer) in [Office::behind_a_proxy(0), Office::at_webdav(0)] {
        std::fs::write(office.root().join("large.bin"), vec![b'x'; 20_000_000]).unwrap();
        office.scan();
        let impatient = Impatient { asked: AtomicU32::new(0), owner: std::thread::current().id() };
        let report = office.push_watched(&impatient);
        assert!(report.interrupted && report.problems.is_empty(), "{report:?}");
        assert_eq!((report.queued, office.current_and_blamed()), (1, (0, 0)), "{report:?}");
        assert_eq!(office.queue()[0].state, OperationState::Pending);
        assert_eq!(objects_in(&peer), [], "half of it");
        assert_eq!((office.push().queued, office.current_and_blamed()), (0, (1, 0)));
    }
}

// S6: after a verdict it waits, with full jitter below a ceiling that doubles
#[test]
fn what_is_refused_is_not_asked_again_before_its_time() {
    let (office, proxy, _peer) = Office::behind_a_proxy(3);
    proxy.each(&key_of(1), Fault::Say("400 Bad Request", "<Error><Code>InvalidRequest</Code></Error>"));
    let mut waits = Vec::new();
    for verdicts in 1..=4 {
        let report = office.push();
        assert_eq!(report.refused, 1, "{report:?}");
        let refused = office.queue().remove(0);
        let wait_ms = refused.not_before - office.clock.now_ms();
        assert!((0..=1_000 << (verdicts - 1)).contains(&wait_ms), "{verdicts}: {wait_ms}");
        waits.push(wait_ms);
        if wait_ms > 0 {
            office.clock.advance(SignedDuration::from_millis(wait_ms - 1));
            assert_eq!((office.push().refused, office.queue()[0].attempts), (0, verdicts), "it was early");
        }
        office.clock.advance(SignedDuration::from_millis(1));
    }
    assert!(waits.iter().sum::<i64>() > 0, "they are no waits: {waits:?}");
}

/// Lets half a minute pass whenever the run is asked whether it is to end, and looks whether its word is good.
struct LongRun<'a> {
    clock: &'a FixedClock,
    catalog: PathBuf,
    asked: AtomicU32,
}

impl Monitor for LongRun<'_> {
    fn cancelled(&self) -> bool {
        let conn = rusqlite::Connection::open(&self.catalog).unwrap();
        let until: i64 = conn.query_row("SELECT until FROM sender", [], |row| row.get(0)).unwrap();
        let leased_until: Option<i64> = conn
            .query_row("SELECT min(lease_until) FROM outbox WHERE state = 'leased'", [], |row| row.get(0))
            .unwrap();
        let now_ms = self.clock.now_ms();
        assert!(until > now_ms, "its word has run out, and anybody may take over");
        assert!(leased_until.is_none_or(|until| until > now_ms), "its leases have");
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.clock.advance(SignedDuration::from_secs(10));
        false
    }
}

// S3, T3: a run of hours says again and again that it is at it
#[test]
fn a_long_run_is_not_taken_over_from() {
    let (office, _proxy, _peer) = Office::behind_a_proxy(60);
    let mut catalog = office.catalog();
    for setting in [&setting::SYNC_BATCH, &setting::SYNC_BATCH_MAX] {
        catalog.change::<_, CatalogError>(|tx| settings::set(tx, setting, "2", 0)).unwrap();
    }
    let monitor = LongRun { clock: &office.clock, catalog: office.home(), asked: AtomicU32::new(0) };
    let report = office.push_watched(&monitor);
    assert!(monitor.asked.load(Ordering::SeqCst) > 100, "it was not long");
    assert_eq!(
        (report.queued, report.offline.len(), office.current_and_blamed()),
        (0, 0, (60, 0)),
        "{report:?}"
    );
}

// T7, S12: begun anew by another computer, which knows nothing of what we had there
#[test]
fn a_store_that_was_begun_anew_is_filled_again_by_the_next_turn() {
    let (office, _proxy, peer) = Office::behind_a_proxy(20);
    office.push();
    let mut before = objects_in(&peer);
    let marker = "bucket/.shelflist-store.json";
    let text = std::fs::read_to_string(peer.data().join(marker)).unwrap();
    let anew = text.replace(&office.store().generation, "01K00000000000000000000000");
    assert!(anew.contains(&office.store().remote_store) && anew != text, "{text}");
    // Another server in its place: this one would go on listing for minutes what is deleted below it.
    let (_gone, peer) = (peer, rclone_s3());
    std::fs::write(peer.data().join(marker), anew).unwrap();
    let url = format!("s3://bucket?endpoint={}&region=r", peer.http());
    office.catalog().read().execute("UPDATE stores SET url = ?1", [url]).unwrap();

    let mut report = office.push();
    // Two writers who make one directory at once are answered 500 by this server.
    office.clock.advance(SignedDuration::from_mins(10));
    report.queued = office.push().queued;
    assert_eq!((report.queued, report.deleted_objects, report.retired_objects), (0, 0, 0), "{report:?}");
    assert_eq!(office.current_and_blamed(), (20, 0));
    let mut after = objects_in(&peer);
    after.sort();
    before.sort();
    assert_eq!(after, before);
    assert_eq!(office.store().generation, "01K00000000000000000000000");
}

// T5: a firewall that forbids one text, a film that does not fit into what is left
#[test]
fn one_object_in_fifty_that_is_forbidden_or_does_not_fit_holds_up_nobody() {
    for (status, body) in
        [("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"), ("507 Insufficient Storage", "")]
    {
        let (office, proxy, _peer) = Office::behind_a_proxy(50);
        proxy.each(&key_of(17), Fault::Say(status, body));
        let report = office.push();
        assert_eq!((report.queued, report.offline.len(), report.refused), (1, 0, 0), "{status}: {report:?}");
        assert_eq!(report.strayed, 1, "{status}: and it is said");
        assert_eq!(office.current_and_blamed(), (49, 0), "{status}");
        proxy.always(None);
        office.clock.advance(SignedDuration::from_mins(10));
        assert_eq!((office.push().strayed, office.current_and_blamed()), (0, (50, 0)), "{status}");
    }
}

// T5, O2: a bucket that can only be read, a disk that is full, a server that cannot write: nothing got through at all
#[test]
fn a_turn_in_which_nothing_gets_through_is_the_stores_trouble() {
    for (files, status) in [
        (1, "403 Forbidden"),
        (20, "403 Forbidden"),
        (1, "507 Insufficient Storage"),
        (3, "500 Internal Server Error"),
        (20, "500 Internal Server Error"),
    ] {
        let (office, proxy, _peer) = Office::behind_a_proxy(files);
        proxy.each("PUT ", Fault::Say(status, ""));
        let begun = office.clock.now();
        let report = office.push();
        let waits = u64::try_from(files).unwrap();
        assert_eq!(
            (report.offline.len(), report.strayed, report.queued),
            (1, 0, waits),
            "{status} {report:?}"
        );
        assert!(
            office.clock.now().duration_since(begun) < SignedDuration::from_secs(3),
            "it is not waited for"
        );
        assert_eq!(office.current_and_blamed(), (0, 0), "{status}");
        let due =
            office.queue().iter().all(|op| op.not_before <= office.clock.now_ms() && op.error_text.is_none());
        assert!(due, "{files} {status}: nobody waits longer for it");
        proxy.each("nothing", Fault::Refuse);
        assert_eq!((office.push().queued, office.current_and_blamed().0 as u64), (0, waits), "{status}");
    }
}

// S6, T5: a store that says when to come back
#[test]
fn a_store_that_is_busy_is_waited_for_or_left_alone_until_it_said() {
    let (office, proxy, _peer) = Office::behind_a_proxy(3);
    // Soon: in the same turn.
    proxy.first("PUT /bucket/original", Fault::Say("429 Too Many Requests\r\nRetry-After: 7", ""));
    let begun = office.clock.now();
    let report = office.push();
    let waited = office.clock.now().duration_since(begun);
    assert_eq!((report.queued, report.strayed, report.offline.len()), (0, 0, 0), "{report:?}");
    assert!(waited >= SignedDuration::from_secs(7), "{waited:?}");
    assert_eq!(office.current_and_blamed(), (3, 0));

    // In an hour: nobody calls before.
    let (office, proxy, _peer) = Office::behind_a_proxy(20);
    proxy.each("PUT ", Fault::Say("503 Slow Down\r\nRetry-After: 3600", ""));
    let report = office.push();
    assert_eq!((report.offline.len(), report.queued), (1, 20));
    assert_eq!(office.store().not_before, office.clock.now_ms() + 3_600_000);
    proxy.each("nothing", Fault::Refuse);
    let connections = proxy.connections();
    office.clock.advance(SignedDuration::from_mins(59));
    let report = office.push();
    assert!(matches!(report.offline[0].error, sync::Away::AskedToWait { .. }), "{report:?}");
    assert_eq!((proxy.connections(), office.current_and_blamed()), (connections, (0, 0)), "it was called");
    office.clock.advance(SignedDuration::from_mins(1));
    assert_eq!((office.push().queued, office.current_and_blamed()), (0, (20, 0)));
    assert_eq!(office.store().not_before, 0);
}

// S6, T5: and one that does not say
#[test]
fn a_store_that_is_busy_for_ever_ends_the_turn_and_is_asked_again_by_the_next() {
    let (office, proxy, _peer) = Office::behind_a_proxy(20);
    proxy.each("PUT ", Fault::Say("429 Too Many Requests", ""));
    let begun = office.clock.now();
    let report = office.push();
    assert_eq!((report.offline.len(), report.queued, office.current_and_blamed()), (1, 20, (0, 0)));
    let waited = office.clock.now().duration_since(begun);
    assert!(waited < SignedDuration::from_secs(32), "full jitter: 1 + 2 + 4 + 8 + 16 s at most, {waited:?}");
    assert_eq!(office.store().not_before, 0, "it named no time");
    proxy.each("nothing", Fault::Refuse);
    assert_eq!((office.push().queued, office.current_and_blamed()), (0, (20, 0)));
}

/// Rewrites a file the n-th time a worker asks whether it is to go on: in the middle of sending it.
struct Rewrites {
    path: PathBuf,
    content: &'static str,
    asked: AtomicU32,
    owner: std::thread::ThreadId,
}

impl Monitor for Rewrites {
    fn cancelled(&self) -> bool {
        // The line asks, too; a worker asks once a read.
        if std::thread::current().id() != self.owner && self.asked.fetch_add(1, Ordering::SeqCst) == 2 {
            use std::io::{Seek, SeekFrom, Write};
            let mut file = std::fs::File::options().write(true).open(&self.path).unwrap();
            let end = self.content.len() as i64;
            file.seek(SeekFrom::End(-end)).unwrap();
            file.write_all(self.content.as_bytes()).unwrap();
        }
        false
    }
}

// D9, T4, T5: nothing wrong is published, nobody is blamed, and the next scan sends what is there now
#[test]
fn a_file_that_is_rewritten_while_it_is_sent_is_sent_by_the_next_scan() {
    for large in [3_000_000, 20_000_000] {
        for (office, _proxy, peer) in [Office::behind_a_proxy(1), Office::at_webdav(1)] {
            let path = office.root().join("large.bin");
            std::fs::write(&path, vec![b'x'; large]).unwrap();
            office.scan();
            let rewrites = Rewrites {
                path: path.clone(),
                content: "other words",
                asked: AtomicU32::new(0),
                owner: std::thread::current().id(),
            };
            let report = office.push_watched(&rewrites);
            assert!(rewrites.asked.load(Ordering::SeqCst) > 2, "it was not in the middle of it");
            assert_eq!((report.problems.len(), report.refused, report.strayed), (1, 0, 0), "{report:?}");
            assert_eq!((report.offline.len(), report.queued, office.current_and_blamed()), (0, 1, (1, 0)));
            let wrong: Vec<_> = objects_in(&peer).into_iter().filter(|(name, hash)| name != hash).collect();
            assert!(wrong.is_empty(), "published under a name that is not its content's: {wrong:?}");
            assert_eq!(objects_in(&peer).len(), 1);

            // As an editor leaves it.
            let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            office.scan();
            office.clock.advance(SignedDuration::from_mins(10));
            let report = office.push();
            assert_eq!((report.queued, report.uploaded_objects, office.current_and_blamed()), (0, 1, (2, 0)));
            let now = blake3::hash(&std::fs::read(&path).unwrap()).to_hex().to_string();
            assert!(objects_in(&peer).contains(&(now.clone(), now)));
        }
    }
}

/// The originals that a server has: what each is called, and the hash of what it is.
fn objects_in(peer: &Peer) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![peer.data()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else if entry.path().components().any(|part| part.as_os_str() == "original") {
                found.push((name, blake3::hash(&std::fs::read(entry.path()).unwrap()).to_hex().to_string()));
            }
        }
    }
    found
}

// T2, T3: a short answer looks like damage, and is none
#[test]
fn a_proof_that_is_read_back_short_is_read_once_more_before_anything_is_deleted() {
    for fault in [Fault::Say("200 OK", "conte"), Fault::CutAnswer(300), Fault::DropAnswer] {
        let (office, proxy, peer) = Office::at_webdav(4);
        proxy.first("GET /bucket/far/original", fault);
        let named = || proxy.asked("MOVE").values().sum::<usize>();
        let before = named();
        let report = office.push();
        assert_eq!((report.queued, report.refused, report.offline.len()), (0, 0, 0), "{fault:?} {report:?}");
        assert_eq!((office.current_and_blamed(), objects_in(&peer).len()), ((4, 0), 4), "{fault:?}");
        assert!(proxy.asked("DELETE").keys().all(|line| !line.contains("/original/")), "{fault:?}");
        // The objects, and this device's number.
        assert_eq!(named() - before, 4 + 1, "{fault:?}: sent twice");
    }
}

// T2, T3, T7: gone between its arrival and its proof
#[test]
fn what_is_deleted_behind_our_back_before_it_was_proved_is_sent_again() {
    let (office, proxy, peer) = Office::at_webdav(3);
    proxy.each("GET /bucket/far/original", Fault::DropAnswer);
    let report = office.push();
    assert_eq!((report.queued, office.current_and_blamed()), (3, (0, 0)), "{report:?}");
    assert_eq!(objects_in(&peer).len(), 3, "they have arrived");
    proxy.each("nothing", Fault::Refuse);
    for (name, _) in objects_in(&peer).into_iter().take(2) {
        // By its server, which would go on listing for minutes what is deleted below it.
        let login =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{USER}:{PASSWORD}"));
        let answer = peers::request(
            peer.port,
            &format!(
                "DELETE /bucket/far/original/{}/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Basic {login}\r\n\
                 Connection: close\r\n\r\n",
                &name[..2]
            ),
        );
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
    office.clock.advance(SignedDuration::from_mins(10));
    let report = office.push();
    assert_eq!(
        (report.queued, report.refused, office.current_and_blamed()),
        (0, 0, (3, 0)),
        "{report:?} {:?}",
        office.queue()
    );
    assert_eq!(objects_in(&peer).len(), 3);
}

// S4, T3: applied once, attempts 0
#[test]
fn of_a_thousand_objects_whose_answers_are_lost_each_is_sent_once() {
    const FILES: usize = 1_000;
    let (office, proxy, _peer) = Office::behind_a_proxy(FILES);
    proxy.first("PUT ", Fault::DropAnswer);
    let mut turns = 0;
    loop {
        let report = office.push();
        assert_eq!(report.refused, 0);
        office.clock.advance(SignedDuration::from_mins(10));
        turns += 1;
        assert!(turns <= FILES, "it never ends: {report:?}");
        if report.queued == 0 {
            break;
        }
    }
    assert_eq!(office.current_and_blamed(), (i64::try_from(FILES).unwrap(), 0));
    let puts = proxy.asked("PUT");
    let of_objects: Vec<_> = puts.iter().filter(|(line, _)| line.contains("/original/")).collect();
    assert_eq!(of_objects.len(), FILES);
    assert!(of_objects.iter().all(|(_, asked)| **asked == 1), "sent twice");
}

// S4: where looks were in vain so far, an answer that was lost is looked for all the same
#[test]
fn an_answer_lost_among_many_that_came_is_looked_for() {
    let (office, proxy, _peer) = Office::behind_a_proxy(300);
    proxy.first("PUT /bucket/original/f", Fault::DropAnswer);
    let report = office.push();
    assert_eq!(
        (report.queued, report.offline.len()),
        (0, 0),
        "they are tried once more in the same turn: {report:?}"
    );
    assert_eq!(office.current_and_blamed(), (300, 0));
    let puts = proxy.asked("PUT");
    let of_objects: Vec<_> = puts.iter().filter(|(line, _)| line.contains("/original/")).collect();
    assert!(
        of_objects.iter().filter(|(line, _)| line.contains("/original/f")).count() > 5,
        "some hashes begin so"
    );
    let twice: Vec<_> = of_objects.iter().filter(|(_, asked)| **asked > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
}

// T5, T6, S6: two hours without a network, and ten thousand edits meanwhile
#[test]
fn two_hours_without_a_network_cost_nobody_anything() {
    const FILES: usize = 1_500;
    let (office, proxy, _peer) = Office::behind_a_proxy(FILES);
    office.push();
    let files = i64::try_from(FILES).unwrap();
    assert_eq!(office.current_and_blamed(), (files, 0));
    proxy.always(Some(Fault::Refuse));
    let mut edits = 0;
    for round in 0..24 {
        // Fewer than a person would be asked about.
        for n in 0..420 {
            let path = office.root().join(format!("{n:05}.txt"));
            std::fs::write(&path, format!("content {n} of round {round}")).unwrap();
            let time = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + round);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
            edits += 1;
        }
        office.scan();
        office.clock.advance(SignedDuration::from_mins(5));
        let report = office.push();
        assert_eq!((report.offline.len(), report.uploaded_objects, report.queued), (1, 0, 420));
        assert_eq!(office.current_and_blamed(), (files, 0), "what is there stays current (T2)");
    }
    assert!(edits >= 10_000);
    proxy.always(None);
    let report = office.push();
    assert_eq!((report.queued, report.offline.len()), (0, 0), "{report:?}");
    assert_eq!(report.uploaded_objects, 420, "only what is wanted now is sent");
    assert_eq!(office.current_and_blamed(), (files, 0));
    let last = blake3::hash(b"content 7 of round 23").to_hex().to_string();
    let puts = proxy.asked("PUT");
    assert!(puts.keys().any(|line| line.contains(&last)), "the last edit is the one that counts");
}

// S6: 429 without Retry-After, 500, a dead line: each turn ends, and the next goes on
#[test]
fn whatever_the_way_does_is_held_against_no_operation() {
    let (office, proxy, _peer) = Office::behind_a_proxy(20);
    for fault in [Fault::Refuse, Fault::DropAnswer, Fault::CutAnswer(5), Fault::CutQuestion(150)] {
        proxy.always(Some(fault));
        let report = office.push();
        assert_eq!(report.offline.len(), 1, "{fault:?}");
        assert_eq!(office.current_and_blamed(), (0, 0), "{fault:?}");
        assert_eq!(report.queued, 20);
        office.clock.advance(SignedDuration::from_mins(10));
    }
    proxy.always(None);
    assert_eq!(office.push().queued, 0);
    assert_eq!(office.current_and_blamed(), (20, 0));
}

/// Panics in a worker's hands.
struct Clumsy;

impl Monitor for Clumsy {
    fn count(&self, counter: Counter, _: u64) {
        assert_ne!(counter, Counter::ObjectsWritten, "dropped");
    }
}

// T3: an error of our own is no reason to wait for ever
#[test]
fn a_worker_that_panics_ends_the_run_and_the_next_goes_on() {
    let (office, _proxy, _peer) = Office::behind_a_proxy(5);
    let mut catalog = office.catalog();
    let here = [office.here(&mut catalog)];
    let sender = Sender::take(&mut catalog, office.clock.now_ms()).unwrap();
    let run = std::panic::AssertUnwindSafe(|| {
        sync::push(&mut catalog, &sender, &here, None, &office.clock, &Clumsy).map(|_| ())
    });
    assert!(std::panic::catch_unwind(run).is_err());
    drop(sender);
    let report = office.push();
    assert_eq!((report.queued, office.current_and_blamed()), (0, (5, 0)), "{report:?}");
}

// S5: settings are honoured
#[test]
fn how_often_a_store_may_refuse_is_a_setting() {
    let (office, proxy, _peer) = Office::behind_a_proxy(3);
    let mut catalog = office.catalog();
    for setting in [&setting::SYNC_VERDICTS, &setting::SYNC_BATCH, &setting::SYNC_BATCH_MAX] {
        catalog.change::<_, CatalogError>(|tx| settings::set(tx, setting, "1", 0)).unwrap();
    }
    drop(catalog);
    proxy.each(&key_of(1), Fault::Say("400 Bad Request", "<Error><Code>InvalidRequest</Code></Error>"));
    office.push();
    assert_eq!(office.current_and_blamed(), (2, 1), "one at a time gets there, too");
    assert_eq!(office.queue()[0].state, OperationState::Dead, "after the first time");
}

// S1: a small object costs one request where nobody has ever found one
#[test]
fn looks_that_are_in_vain_are_saved() {
    const FILES: usize = 200;
    let (office, proxy, _peer) = Office::behind_a_proxy(FILES);
    assert_eq!(office.push().uploaded_objects, FILES as u64);
    let of_objects = |method: &str| {
        proxy
            .asked(method)
            .iter()
            .filter(|(line, _)| line.contains("/original/"))
            .map(|(_, asked)| asked)
            .sum::<usize>()
    };
    assert_eq!((of_objects("PUT"), of_objects("GET")), (FILES, 0), "its own hash is the proof");
    assert!(of_objects("HEAD") < FILES / 3, "{} looks", of_objects("HEAD"));
}

/// Lets things happen while it waits.
struct Night<'a>(&'a Office, &'a mut dyn FnMut());

impl Host for Night<'_> {
    fn here(&mut self, catalog: &mut Catalog) -> Result<Vec<Here>, CatalogError> {
        Ok(vec![self.0.here(catalog)])
    }

    fn waits(&mut self, _: &Waiting<'_>) {
        (self.1)();
    }
}

// S6, T5: a store that is full is not sent the same bytes every thirty seconds, and filled when there is room again
#[test]
fn a_full_store_is_tried_less_and_less_often() {
    let (office, proxy, _peer) = Office::behind_a_proxy(5);
    proxy.each("/original/", Fault::Say("507 Insufficient Storage", ""));
    let begun = office.clock.now();
    let until_ms = begun.as_millisecond() + 3_600_000;
    let (mut tried, mut mended) = (0, false);
    let all = Keep { only: None, at_once: true, until: Until::Drained, time_up_ms: Some(until_ms) };
    let (report, ended) = keep_sending(
        &mut office.catalog(),
        &all,
        &mut Night(&office, &mut || {
            if !mended && office.clock.now().duration_since(begun) > SignedDuration::from_mins(30) {
                mended = true;
                tried = stores::all(office.catalog().read()).unwrap()[0].failures;
                proxy.always(None);
            }
        }),
        &[],
        &office.clock,
        &TestMonitor::default(),
    )
    .unwrap();
    assert_eq!((ended, report.queued, office.current_and_blamed()), (Ended::Drained, 0, (5, 0)));
    // Full jitter up to five minutes: two and a half on average.
    assert!((8..50).contains(&tried), "tried {tried} times in half an hour");
    let took = office.clock.now().duration_since(begun);
    assert!(took <= SignedDuration::from_mins(36), "{took:?}");
}
