//! What a store says when the network or the server fails it.

use std::io::Read;
use std::time::{Duration, Instant};

use shelflist::remote::{
    self, AwayReason, ErrorClass, Expect, Login, Patience, Put, Secret, Store, StoreError,
};

use super::peers::proxy::{Fault, Proxy};
use super::peers::stub::Stub;
use super::peers::{self, Peer};
use super::place::{self, Place};
use super::store_contract::{key, list, now, put, read};

/// Silence is noticed after this.
const IDLE: Duration = Duration::from_millis(500);
/// And this is far too long for it.
const FAR_TOO_LONG: Duration = Duration::from_secs(15);

/// A store behind a proxy. It was begun without.
fn behind_a_proxy(place: &Place, peer: &Peer) -> (Proxy, Box<dyn Store>) {
    place.store();
    let proxy = Proxy::before(peer.port);
    let store = through(&proxy, place, peer);
    (proxy, store)
}

/// The same again, with connections of its own: what the proxy has cut is noticed only when it is used.
fn through(proxy: &Proxy, place: &Place, peer: &Peer) -> Box<dyn Store> {
    let mut place = place.through(peer.port, proxy.port);
    place.access.patience = Patience { connect: Duration::from_secs(5), idle: IDLE };
    place.open().unwrap()
}

fn http_places() -> [(Place, &'static Peer); 4] {
    [place::moto(), place::rclone_s3(), place::azurite(), place::webdav()]
}

/// Google's, too: its server is slow, and takes what has come for all there is when a line is cut.
fn with_google() -> impl Iterator<Item = (Place, &'static Peer)> {
    http_places().into_iter().chain([place::gcs()])
}

#[track_caller]
fn assert_unreachable(error: &StoreError) {
    assert!(matches!(error, StoreError::Away { reason: AwayReason::Unreachable, .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Channel);
}

// T3: the work was done, the answer was lost.
#[test]
fn what_arrived_although_its_answer_was_lost_is_found_there() {
    for (place, peer) in with_google() {
        let (proxy, store) = behind_a_proxy(&place, peer);
        // WebDAV gives the name with a request of its own.
        let method = match &place.url[..3] {
            "web" => "MOVE",
            "gcs" => "POST",
            _ => "PUT",
        };
        proxy.on(method, Fault::DropAnswer);
        assert_unreachable(&put(&*store, "a/one", b"one").unwrap_err());
        assert_eq!(put(&*store, "a/one", b"one").unwrap(), Put::AlreadyThere, "{}", place.url);
        assert_eq!(read(&*store, "a/one"), b"one");
    }
}

#[test]
fn a_truncated_object_is_an_error_and_never_a_short_one() {
    for (place, peer) in with_google() {
        let (proxy, store) = behind_a_proxy(&place, peer);
        let content = vec![b'x'; 3_000_000];
        put(&*store, "a/one", &content).unwrap();
        for fault in [Fault::CutAnswer(1_000_000), Fault::StallAnswer(1_000_000)] {
            proxy.always(Some(fault));
            let begun = Instant::now();
            let mut bytes = Vec::new();
            let result = store.get(&key("a/one")).map(|mut reader| reader.read_to_end(&mut bytes));
            assert!(!matches!(result, Ok(Ok(_))), "{} {fault:?}: {} bytes", place.url, bytes.len());
            assert!(begun.elapsed() < FAR_TOO_LONG, "{} {fault:?}", place.url);
            proxy.always(None);
            assert_eq!(read(&*through(&proxy, &place, peer), "a/one").len(), content.len());
        }
    }
}

#[test]
fn a_black_hole_ends_within_the_patience() {
    for (place, peer) in http_places() {
        let (proxy, store) = behind_a_proxy(&place, peer);
        proxy.always(Some(Fault::BlackHole));
        let begun = Instant::now();
        let large = vec![b'x'; 1_000_000];
        for error in [
            put(&*store, "a/one", &large).unwrap_err(),
            store.stat(&key("a/one")).unwrap_err(),
            store.get(&key("a/one")).err().unwrap(),
            store.list("").err().unwrap(),
            store.delete(&key("a/one")).unwrap_err(),
            store.generation().unwrap_err(),
        ] {
            assert_unreachable(&error);
        }
        assert!(begun.elapsed() < FAR_TOO_LONG, "{}: {:?}", place.url, begun.elapsed());
        proxy.always(None);
        assert_eq!(
            put(&*store, "a/one", &large).unwrap(),
            Put::Created,
            "it goes on where the way is free again"
        );
    }
}

#[test]
fn a_black_hole_before_ssh_ends_within_the_patience() {
    let (place, peer) = place::sftp();
    place.store();
    let proxy = Proxy::before(peer.port);
    let mut place = place.through(peer.port, proxy.port);
    let known = |port: u16| format!("[127.0.0.1]:{port}");
    let ssh = place.access.ssh.as_mut().unwrap();
    let hosts = std::path::Path::new(&ssh[2]).with_file_name("known_hosts");
    let text = std::fs::read_to_string(&hosts).unwrap();
    let ours = hosts.with_file_name(format!("known_hosts_{}", proxy.port));
    std::fs::write(&ours, text.replace(&known(peer.port), &known(proxy.port))).unwrap();
    ssh.extend(["-o".to_owned(), format!("UserKnownHostsFile={}", ours.display())]);
    place.access.patience = Patience { connect: Duration::from_secs(2), idle: Duration::from_secs(2) };

    let store = place.open().unwrap();
    assert_eq!(put(&*store, "a/one", b"one").unwrap(), Put::Created);
    proxy.always(Some(Fault::BlackHole));
    let begun = Instant::now();
    assert_unreachable(&store.stat(&key("a/one")).unwrap_err());
    assert_unreachable(&put(&*store, "a/two", b"two").unwrap_err());
    assert!(begun.elapsed() < FAR_TOO_LONG, "{:?}", begun.elapsed());
    proxy.always(None);
    assert_eq!(read(&*store, "a/one"), b"one");
}

/// It takes three times as long as the line may be silent, and is never silent for so long.
#[test]
fn a_slow_line_is_no_error() {
    let (place, peer) = place::webdav();
    place.store();
    let proxy = Proxy::before(peer.port);
    let mut place = place.through(peer.port, proxy.port);
    place.access.patience = Patience { connect: Duration::from_secs(5), idle: Duration::from_secs(1) };
    let store = place.open().unwrap();
    proxy.always(Some(Fault::Throttle(5_000_000)));
    let content = vec![b'x'; 32_000_000];
    assert_eq!(put(&*store, "a/one", &content).unwrap(), Put::Created);
}

#[test]
fn a_put_that_is_cut_in_the_middle_publishes_nothing() {
    for (place, peer) in http_places() {
        let (proxy, store) = behind_a_proxy(&place, peer);
        let content = vec![b'x'; 3_000_000];
        proxy.on("PUT", Fault::CutQuestion(1_000_000));
        let error = put(&*store, "a/one", &content).unwrap_err();
        assert_eq!(error.class(), ErrorClass::Channel, "{}: {error:?}", place.url);
        assert_eq!(store.stat(&key("a/one")).unwrap(), None, "{}", place.url);
        assert_eq!(put(&*store, "a/one", &content).unwrap(), Put::Created);
    }
}

fn s3_at(port: u16) -> Result<Box<dyn Store>, StoreError> {
    let url = format!("s3://bucket?endpoint=http://127.0.0.1:{port}&region=r");
    let login = Login { user: "user".to_owned(), secret: Secret::new("secret") };
    let access = remote::Access { login: Some(login), ..remote::Access::default() };
    let url = remote::StoreUrl::parse(&url, std::path::Path::new("/")).unwrap();
    remote::open(&url, &access, now()).map(|store| store.into_objects().unwrap())
}

fn said_by(status: &str, headers: &str, body: &str) -> StoreError {
    let stub = Stub::saying(status, headers, body);
    let error = s3_at(stub.port).err().unwrap();
    assert_eq!(stub.asked().len(), 1, "nothing is tried again by itself: {:?}", stub.asked());
    error
}

// S6, T5
#[test]
fn a_busy_server_is_not_asked_again_and_its_wait_is_kept() {
    for status in ["429 Too Many Requests", "503 Slow Down"] {
        let error = said_by(status, "Retry-After: 17\r\n", "");
        assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(17)));
        assert_eq!(said_by(status, "", "").retry_after(), None);
    }
}

#[test]
fn what_a_server_says_is_understood() {
    let says = |status: &str, code: &str| {
        said_by(status, "", &format!("<Error><Code>{code}</Code><Message>sorry</Message></Error>"))
    };
    assert!(matches!(says("500 Internal", "InternalError"), StoreError::Io { .. }));
    assert!(matches!(says("507 Insufficient Storage", "QuotaExceeded"), StoreError::Full { .. }));
    assert!(matches!(says("403 Forbidden", "RequestTimeTooSkewed"), StoreError::ClockSkew { .. }));
    assert!(matches!(says("400 Bad Request", "ExpiredToken"), StoreError::Credentials { .. }));
    assert!(matches!(says("403 Forbidden", "AccessDenied"), StoreError::Denied { .. }));
    let error = says("404 Not Found", "NoSuchBucket");
    assert!(matches!(error, StoreError::Away { reason: AwayReason::NoBucket, .. }), "{error:?}");
}

#[test]
fn a_bucket_that_is_missing_is_told_from_an_object_that_is() {
    for (mut place, _peer) in [place::moto(), place::rclone_s3()] {
        place.url = place.url.replace("s3://bucket", "s3://no-such-bucket");
        let error = place.open().err().unwrap();
        assert!(matches!(error, StoreError::Away { reason: AwayReason::NoBucket, .. }), "{error:?}");
    }
    let (mut place, _peer) = place::azurite();
    place.url = place.url.replace("azblob://container", "azblob://no-such-container");
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::NoBucket, .. }), "{error:?}");
}

#[test]
fn a_wrong_key_is_a_matter_of_credentials() {
    let login = |user: &str, secret: &str| Some(Login { user: user.to_owned(), secret: Secret::new(secret) });
    for (user, secret) in [(peers::USER, "wrong"), ("nobody", peers::PASSWORD)] {
        for (mut place, _peer) in [place::rclone_s3(), place::webdav()] {
            place.access.login = login(user, secret);
            let error = place.open().err().unwrap();
            assert!(matches!(error, StoreError::Credentials { .. }), "{}: {error:?}", place.url);
            assert_eq!(error.class(), ErrorClass::Channel);
        }
    }
    let (mut place, _peer) = place::azurite();
    place.access.login = login(peers::AZURITE_ACCOUNT, "d3Jvbmc=");
    let error = place.open().err().unwrap();
    // Azurite says "not authorised" where Azure says "not authenticated".
    assert!(matches!(error, StoreError::Credentials { .. } | StoreError::Denied { .. }), "{error:?}");

    // ssh without the key.
    let (mut place, _peer) = place::sftp();
    let ssh = place.access.ssh.as_mut().unwrap();
    ssh.extend([
        "-o".to_owned(),
        "IdentityFile=/dev/null".to_owned(),
        "-o".to_owned(),
        "PubkeyAuthentication=no".to_owned(),
    ]);
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Credentials { .. }), "{error:?}");
}

#[test]
fn a_host_that_ssh_does_not_know_is_not_trusted() {
    let (mut place, _peer) = place::sftp();
    let ssh = place.access.ssh.as_mut().unwrap();
    ssh.extend(["-o".to_owned(), "UserKnownHostsFile=/dev/null".to_owned()]);
    let error = place.open().err().unwrap();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::Untrusted, .. }), "{error:?}");
}

#[test]
fn nobody_there_and_nobody_known_and_nobody_trusted_are_three_things() {
    let open = |url: String| {
        let login = Login { user: "user".to_owned(), secret: Secret::new("secret") };
        let access = remote::Access { login: Some(login), ..remote::Access::default() };
        let url = remote::StoreUrl::parse(&url, std::path::Path::new("/")).unwrap();
        match remote::open(&url, &access, now()).err().unwrap() {
            StoreError::Away { reason, .. } => reason,
            error => panic!("{error:?}"),
        }
    };
    let nobody = peers::free_port();
    for url in [
        format!("s3://bucket?endpoint=http://127.0.0.1:{nobody}"),
        format!("webdav+http://127.0.0.1:{nobody}/x"),
    ] {
        assert_eq!(open(url), AwayReason::Unreachable);
    }
    assert_eq!(open("s3://bucket?endpoint=http://no-such-host.invalid".to_owned()), AwayReason::NameUnknown);
    let signs_itself = peers::rclone_webdav_tls();
    assert_eq!(open(format!("webdav+https://localhost:{}/x", signs_itself.port)), AwayReason::Untrusted);
}

#[test]
fn a_full_and_a_read_only_bucket_say_so_at_the_put() {
    let generation = r#"{"format":1,"store_id":"01K00000000000000000000000","generation":"01K00000000000000000000000","created":"2026-11-21T09:00:00Z"}"#;
    let stub = Stub::saying("200 OK", "", generation);
    let store = s3_at(stub.port).unwrap();
    let put_while = |status: &str, body: &str| {
        stub.say("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
        stub.say_to("PUT", status, "", body);
        put(&*store, "a/one", b"one").unwrap_err()
    };
    let full = put_while("507 Insufficient Storage", "");
    assert!(matches!(full, StoreError::Full { .. }), "{full:?}");
    let read_only = put_while("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>");
    assert!(
        matches!(&read_only, StoreError::Denied { doing, .. } if doing.contains("a/one")),
        "{read_only:?}"
    );
    let elsewhere = put_while("301 Moved Permanently", "<Error><Code>PermanentRedirect</Code></Error>");
    assert!(
        matches!(&elsewhere, StoreError::Credentials { problem, .. } if problem.contains("region")),
        "{elsewhere:?}"
    );
    let large = put_while("400 Bad Request", "<Error><Code>EntityTooLarge</Code></Error>");
    assert_eq!(large.class(), ErrorClass::Verdict, "{large:?}");
}

#[test]
fn a_server_that_does_not_even_take_a_condition_is_asked_without_one() {
    let stub = Stub::saying("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>");
    stub.say_to("PUT", "501 Not Implemented", "", "<Error><Code>NotImplemented</Code></Error>");
    let url = format!("s3://bucket?endpoint=http://127.0.0.1:{}&region=r", stub.port);
    let url = remote::StoreUrl::parse(&url, std::path::Path::new("/")).unwrap();
    let login = Login { user: "user".to_owned(), secret: Secret::new("secret") };
    let access = remote::Access { login: Some(login), ..remote::Access::default() };
    let nothing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    stub.say_to("GET /bucket?", "200 OK", "", nothing);
    let error = remote::create(&url, &access, now()).err().unwrap();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    let puts = stub.asked().iter().filter(|line| line.starts_with("PUT ")).count();
    assert_eq!(puts, 2, "{:?}", stub.asked());
}

/// S3 says 403 of what is not there to those who may not list.
#[test]
fn a_403_that_means_404_is_no_error() {
    let generation = r#"{"format":1,"store_id":"01K00000000000000000000000","generation":"01K00000000000000000000000","created":"2026-11-21T09:00:00Z"}"#;
    let stub = Stub::saying("200 OK", "", generation);
    let store = s3_at(stub.port).unwrap();
    stub.say_to("HEAD", "403 Forbidden", "", "");
    assert_eq!(
        store.stat(&key("a/one")).unwrap(),
        None,
        "the generation object can be read, so the key is right"
    );
    let content = b"one";
    assert_eq!(
        store.put_if_absent(&key("a/one"), &mut &content[..], &Expect::of(content)).unwrap(),
        Put::Created
    );
    stub.say("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>");
    let error = store.stat(&key("a/one")).unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
}

#[test]
fn a_read_only_place_can_be_read_and_denies_the_rest() {
    let (place, dir) = place::openssh();
    let store = place.store();
    put(&*store, "a/one", b"one").unwrap();
    drop(store);
    let mut read_only = place.clone();
    let ssh = read_only.access.ssh.as_mut().unwrap();
    ssh[2].push_str(" -R");
    let store = read_only.open().unwrap();
    assert_eq!(read(&*store, "a/one"), b"one");
    assert_eq!(put(&*store, "a/one", b"one").unwrap(), Put::AlreadyThere);
    for error in [put(&*store, "a/two", b"two").unwrap_err(), store.delete(&key("a/one")).unwrap_err()] {
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    }
    assert_eq!(list(&*store, "").len(), 1);
    drop(dir);
}
