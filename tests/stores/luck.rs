//! Bad luck, as the person before the screen meets it: what `sync` says and ends with when the network or a server fails it,
//! what waits afterwards, and that nobody is blamed for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use shelflist::clock::{Clock, SystemClock};
use ulid::Ulid;

use super::desk::{Desk, Ran};
use super::peers::proxy::{Fault, Proxy};
use super::peers::{self, PASSWORD, Peer, USER};
use super::place;

/// A library whose files go to a server behind a proxy. All is in line, nothing is sent.
struct Far {
    desk: Desk,
    proxy: Proxy,
    peer: &'static Peer,
    /// Its directory in the bucket.
    name: String,
}

const FILES: [(&str, &str); 2] = [("a.txt", "alpha"), ("b.txt", "beta")];

impl Far {
    fn s3(files: &[(&str, &str)]) -> Far {
        let (_, peer) = place::rclone_s3();
        Far::begin(files, peer, |port, name| {
            format!("s3://bucket/{name}?endpoint=http://127.0.0.1:{port}&region=r")
        })
    }

    fn webdav(files: &[(&str, &str)]) -> Far {
        let (_, peer) = place::webdav();
        Far::begin(files, peer, |port, name| format!("webdav+http://{USER}@127.0.0.1:{port}/bucket/{name}"))
    }

    fn begin(files: &[(&str, &str)], peer: &'static Peer, url: impl FnOnce(u16, &str) -> String) -> Far {
        let name = Ulid::generate().to_string();
        // Two writers who make one directory at once are answered 500 by this server: not the fault that is meant here.
        for prefix in 0..=255 {
            std::fs::create_dir_all(peer.data().join(format!("bucket/{name}/original/{prefix:02x}")))
                .unwrap();
        }
        let proxy = Proxy::before(peer.port);
        let desk = Desk::with_files(files);
        desk.scan();
        let far = Far { desk, proxy, peer, name };
        let url = url(far.proxy.port, &far.name);
        far.run(&["store", "add", &url, "--name", "far", "--payload", "original"], 0);
        far
    }

    fn try_to(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    fn command(&self, args: &[&str]) -> Command {
        logged_in(&self.desk, args)
    }

    #[track_caller]
    fn run(&self, args: &[&str], code: i32) -> Ran {
        self.try_to(args).expect(code)
    }

    #[track_caller]
    fn json(&self, args: &[&str], code: i32) -> Value {
        self.run(&[args, &["--json"]].concat(), code).json()
    }

    fn standing(&self) -> Value {
        self.json(&["sync", "status"], 0)["stores"][0].take()
    }

    /// Operations that had a verdict against them, were given up, or are in nobody's hands.
    fn blamed(&self) -> i64 {
        self.desk.sql("SELECT count(*) FROM outbox WHERE attempts > 0 OR state IN ('dead', 'leased')")
    }

    fn current(&self) -> i64 {
        self.desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'current'")
    }

    fn dir(&self) -> PathBuf {
        self.peer.data().join("bucket").join(&self.name)
    }

    /// What the server has, by its keys.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        for prefix in std::fs::read_dir(self.dir().join("original")).unwrap() {
            for object in std::fs::read_dir(prefix.unwrap().path()).unwrap() {
                let object = object.unwrap();
                let name = object.file_name().into_string().unwrap();
                objects.insert(name, std::fs::read(object.path()).unwrap());
            }
        }
        objects
    }

    /// All it has is what its key says.
    #[track_caller]
    fn assert_whole(&self, contents: &[&str]) {
        let expected: BTreeMap<String, Vec<u8>> = contents
            .iter()
            .map(|content| {
                (blake3::hash(content.as_bytes()).to_hex().to_string(), content.as_bytes().to_vec())
            })
            .collect();
        assert_eq!(self.objects(), expected);
    }

    fn url(&self) -> String {
        self.desk.sql("SELECT url FROM stores")
    }

    /// As a server that went away under its address.
    fn set_url(&self, url: &str) {
        self.desk.execute(&format!("UPDATE stores SET url = '{url}'"));
    }
}

const SKEWED: &str =
    "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference is too large.</Message></Error>";
const EXPIRED: &str = "<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>";
const DENIED: &str = "<Error><Code>AccessDenied</Code></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code></Error>";

// O2, T5: each says what it is and what to do, ends with 5, and counts for nobody
#[test]
fn what_stands_between_us_and_a_store_is_told_with_what_to_do_and_blames_nobody() {
    let far = Far::s3(&FILES);
    // One that answers, and takes nothing, is no matter of the connection.
    let (away, takes_nothing) = ("SHELF-SYNC-001", "SHELF-SYNC-002");
    let assert_told = |what: &str, code: &str, said: &str, hint: &str| {
        let report = far.json(&["sync"], 5);
        let offline = &report["offline"][0];
        assert_eq!((&report["queued"], &offline["code"]), (&json!(2), &json!(code)), "{what}");
        let message = offline["message"].as_str().unwrap();
        assert!(message.contains(said), "{what}: {message}");
        assert!(offline["hint"].as_str().unwrap_or_default().contains(hint), "{what}: {offline}");
        assert_eq!((far.blamed(), far.current()), (0, 0), "{what}");
        let text = far.run(&["sync", "now"], 5).stdout;
        assert!(text.contains("queued, offline") && text.contains(said) && text.contains(hint), "{text}");
        let standing = far.standing();
        assert_eq!((&standing["state"], &standing["code"]), (&json!("offline"), &json!(code)));
        assert!(standing["error"].as_str().unwrap().contains(said), "{standing}");
        far.assert_whole(&[]);
    };
    // Whatever is asked, or only what is sent: a key that expires in the middle, a bucket that can only be read.
    for (what, status, body, code, said, hint) in [
        ("/bucket", "400 Bad Request", EXPIRED, takes_nothing, "has expired", "docs/stores.md"),
        ("PUT /bucket", "400 Bad Request", EXPIRED, takes_nothing, "has expired", "docs/stores.md"),
        ("/bucket", "403 Forbidden", SKEWED, takes_nothing, "clocks are too far apart", "clock"),
        ("/bucket", "403 Forbidden", DENIED, takes_nothing, "does not let us", "permission"),
        ("PUT /bucket", "403 Forbidden", DENIED, takes_nothing, "does not let us write", "permission"),
        ("PUT /bucket", "507 Insufficient Storage", "", takes_nothing, "is full", "make room"),
        ("/bucket", "500 Internal Server Error", INTERNAL, away, "could not", ""),
        ("PUT /bucket", "500 Internal Server Error", INTERNAL, takes_nothing, "could not write", ""),
    ] {
        far.proxy.each(what, Fault::Say(status, body));
        assert_told(&format!("{what} {status}"), code, said, hint);
    }
    far.proxy.always(None);
    // Where the way itself leads nowhere.
    let url = far.url();
    let nobody = peers::free_port();
    let signs_itself = peers::rclone_webdav_tls();
    for (elsewhere, said, hint) in [
        (format!("s3://bucket/x?endpoint=http://127.0.0.1:{nobody}&region=r"), "does not answer", ""),
        ("s3://bucket/x?endpoint=http://no-such-host.invalid&region=r".to_owned(), "is not known", "network"),
        (
            format!("webdav+https://localhost:{}/x", signs_itself.port),
            "cannot prove who it is",
            "SSL_CERT_FILE",
        ),
        (
            url.replace("s3://bucket", "s3://no-such-bucket"),
            "bucket or container is not there",
            "make the bucket",
        ),
    ] {
        far.set_url(&elsewhere);
        assert_told(&elsewhere, away, said, hint);
    }
    far.set_url(&url);
    assert_eq!(far.json(&["sync"], 0)["uploaded_objects"], 2);
    assert_eq!((far.blamed(), far.current(), &far.standing()["state"]), (0, 2, &json!("online")));
    far.assert_whole(&["alpha", "beta"]);
}

// O2, T5: the real servers' own words
#[test]
fn a_wrong_key_is_told_by_every_server_and_blames_nobody() {
    for far in [Far::s3(&FILES), Far::webdav(&FILES)] {
        let wrong = [("AWS_SECRET_ACCESS_KEY", "wrong"), ("SHELFLIST_WEBDAV_PASSWORD", "wrong")];
        let ran: Ran = far.command(&["sync"]).envs(wrong).output().unwrap().into();
        let said = ran.expect(5).stdout;
        assert!(said.contains("does not let us in") && said.contains("docs/stores.md"), "{said}");
        assert_eq!((far.blamed(), far.current()), (0, 0));
        far.run(&["sync"], 0);
        assert_eq!((far.blamed(), far.current()), (0, 2));
    }
}

// S6, T5, S7: when it will be called again stands in its row, is kept by every run, and a person may know better
#[test]
fn a_store_that_asked_for_an_hour_is_left_alone_for_an_hour() {
    let far = Far::s3(&FILES);
    far.proxy.each("PUT /bucket", Fault::Say("429 Too Many Requests\r\nRetry-After: 3600", ""));
    let begun = SystemClock.now();
    let report = far.json(&["sync"], 5);
    assert!(report["offline"][0]["message"].as_str().unwrap().contains("is busy"), "{report}");
    let until: i64 = far.desk.sql("SELECT not_before FROM channels");
    let waits = until - begun.as_millisecond();
    assert!((3_600_000..3_660_000).contains(&waits), "{waits}");
    let standing = far.standing();
    assert_eq!(standing["state"], "offline");
    assert!(standing["error"].as_str().unwrap().contains("is busy"), "{standing}");
    let connections = far.proxy.connections();
    let report = far.json(&["sync"], 5);
    let message = report["offline"][0]["message"].as_str().unwrap();
    assert!(message.contains("not to be called before") && message.contains("sync now"), "{message}");
    assert_eq!((far.proxy.connections(), far.blamed()), (connections, 0));
    far.proxy.always(None);
    far.run(&["sync", "now"], 0);
    assert_eq!((far.blamed(), far.current()), (0, 2));
    assert_eq!(far.desk.sql::<i64>("SELECT not_before FROM channels"), 0);
}

// S1: who may write and read, and not list, is told 403 of what is not there
#[test]
fn a_key_that_may_not_list_sends_all_the_same() {
    let far = Far::s3(&FILES);
    far.proxy.each("HEAD /bucket", Fault::Say("403 Forbidden", ""));
    assert_eq!(far.json(&["sync"], 0)["uploaded_objects"], 2);
    far.assert_whole(&["alpha", "beta"]);
    assert_eq!((far.blamed(), far.current()), (0, 2));
}

// S1, S2: nor does it delete what other devices may need, of whom it is not told
#[test]
fn a_key_that_may_not_list_deletes_nothing_without_a_word_and_sends_all_the_same() {
    let far = Far::s3(&FILES);
    far.run(&["config", "set", "orphans.grace_days", "0"], 0);
    far.run(&["sync"], 0);
    far.desk.write("a.txt", "alpha two");
    far.run(&["sync"], 0);
    far.proxy.always(Some(Fault::Refuse));
    far.run(&["orphans", "clean"], 5);
    far.proxy.always(None);
    far.proxy.each("list-type=2", Fault::Say("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"));
    far.desk.write("b.txt", "beta two");
    let synced = far.json(&["sync"], 0);
    assert_eq!((&synced["uploaded_objects"], &synced["queued"]), (&json!(1), &json!(1)), "{synced}");
    let kept = json!([{ "store": "far", "orphans": 1, "devices": null }]);
    assert_eq!(synced["kept"], kept);
    let cleaned = far.json(&["orphans", "clean"], 1);
    assert_eq!(
        (&cleaned["kept"][0]["devices"], &cleaned["offline"]),
        (&json!(null), &json!([])),
        "{cleaned}"
    );
    assert!(far.run(&["sync"], 0).stdout.contains("may not list"));
    assert_eq!(far.blamed(), 0);
    far.run(&["orphans", "clean", "--force"], 0);
    far.assert_whole(&["alpha two", "beta two"]);
}

// S1: what cannot be a store is not added, and says what to do
#[test]
fn a_place_that_cannot_be_written_to_becomes_no_store() {
    let far = Far::s3(&FILES);
    let url = far.url().replace(&far.name, "another");
    let nobody = peers::free_port();
    let closed = format!("s3://bucket?endpoint=http://127.0.0.1:{nobody}&region=r");
    let add = |url: &str, code: i32| far.run(&["store", "add", url, "--name", "another"], code).stderr;
    for (status, body, code, said, hint) in [
        ("403 Forbidden", DENIED, 1, "does not let us write", "permission"),
        ("507 Insufficient Storage", "", 5, "is full", "make room"),
        ("403 Forbidden", SKEWED, 1, "clocks are too far apart", "clock"),
        ("400 Bad Request", EXPIRED, 1, "has expired", "docs/stores.md"),
        ("429 Too Many Requests", "", 5, "is busy", "wait a while"),
    ] {
        far.proxy.each("PUT /bucket", Fault::Say(status, body));
        let stderr = add(&url, code);
        assert!(
            stderr.contains(said) && stderr.contains("hint: ") && stderr.contains(hint),
            "{status}: {stderr}"
        );
    }
    far.proxy.always(None);
    let stderr = add(&url.replace("s3://bucket", "s3://no-such-bucket"), 1);
    assert!(
        stderr.contains("bucket or container is not there") && stderr.contains("make the bucket"),
        "{stderr}"
    );
    let stderr = add(&closed, 5);
    assert!(stderr.contains("does not answer") && stderr.contains("check the network"), "{stderr}");
    assert_eq!(far.json(&["store", "list"], 0)["stores"].as_array().unwrap().len(), 1);
    assert!(!far.dir().with_file_name("another").exists(), "nothing is left there");
}

// S4, T3: several at once, each object once
#[test]
fn several_syncs_at_once_send_each_file_once() {
    let texts: Vec<(String, String)> = (0..60).map(|n| (format!("{n}.txt"), format!("text {n}"))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let far = Far::s3(&files);
    let runs: Vec<_> = ["sync", "now", "sync", "now"]
        .iter()
        .map(|kind| if *kind == "now" { vec!["sync", "now"] } else { vec!["sync"] })
        .map(|args| {
            let mut command = far.command(&args);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut run in runs {
        let code = run.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 4)), "{code:?}");
    }
    far.run(&["sync", "now"], 0);
    assert_eq!((far.blamed(), far.current()), (0, 60));
    let puts = far.proxy.asked("PUT");
    let of_objects: Vec<_> = puts.iter().filter(|(line, _)| line.contains("/original/")).collect();
    assert_eq!(
        (of_objects.len(), of_objects.iter().all(|(_, asked)| **asked == 1)),
        (60, true),
        "{of_objects:?}"
    );
    far.assert_whole(&files.iter().map(|(_, text)| *text).collect::<Vec<_>>());
}

fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

// S12, T7: a server that was put back to yesterday's backup
#[test]
fn a_server_of_yesterday_is_verified_and_filled_again_and_nothing_is_deleted() {
    let peer = peers::rclone_s3();
    let desk = Desk::with_files(&FILES);
    desk.scan();
    let run = |args: &[&str], code: i32| -> Ran {
        Ran::from(logged_in(&desk, args).output().unwrap()).expect(code)
    };
    let url = |peer: &Peer| format!("s3://bucket?endpoint={}&region=r", peer.http());
    run(&["store", "add", &url(&peer), "--name", "far", "--payload", "original"], 0);
    run(&["sync"], 0);
    let backup = desk.path("backup");
    copy_tree(&peer.data(), &backup);
    desk.write("a.txt", "alpha, edited");
    desk.write("c.txt", "gamma");
    run(&["sync"], 0);
    let after = desk.path("after");
    copy_tree(&peer.data(), &after);
    drop(peer);
    let peer = peers::rclone_s3();
    copy_tree(&backup, &peer.data());
    desk.execute(&format!("UPDATE stores SET url = '{}'", url(&peer)));

    // Nobody can tell by its name that it is an older self; a look can.
    let found = run(&["store", "check", "far", "--json"], 3).json()["stores"][0].take();
    assert_eq!((&found["counts"]["missing"], &found["state"]), (&json!(2), &json!("compared")), "{found}");
    run(&["store", "check", "far", "--repair"], 0);
    let synced = run(&["sync", "--json"], 0).json();
    assert_eq!((&synced["uploaded_objects"], &synced["queued"]), (&json!(2), &json!(0)), "{synced}");
    let read = run(&["store", "check", "far", "--read", "--json"], 0).json()["stores"][0].take();
    assert_eq!(read["read"], 3, "{read}");
    assert_eq!(names_below(&peer.data()), names_below(&after), "all that was there, and nothing else");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE attempts > 0"), 0);
}

// T5, O2: the real servers' own words; and who only reads is served
#[test]
fn a_server_that_became_read_only_is_told_keeps_the_queue_and_can_be_read() {
    for kind in ["s3", "webdav"] {
        let peer = if kind == "s3" { peers::rclone_s3() } else { peers::rclone_webdav() };
        let desk = Desk::with_files(&FILES);
        desk.scan();
        let run = |args: &[&str], code: i32| -> Ran {
            Ran::from(logged_in(&desk, args).output().unwrap()).expect(code)
        };
        let url = |peer: &Peer| match kind {
            "s3" => format!("s3://bucket/far?endpoint={}&region=r", peer.http()),
            _ => format!("webdav+http://{USER}@127.0.0.1:{}/bucket/far", peer.port),
        };
        run(&["store", "add", &url(&peer), "--name", "far", "--payload", "original"], 0);
        run(&["sync"], 0);
        let data = desk.path("data");
        copy_tree(&peer.data(), &data);
        drop(peer);
        let peer = peers::rclone_read_only(kind);
        copy_tree(&data, &peer.data());
        desk.execute(&format!("UPDATE stores SET url = '{}'", url(&peer)));
        desk.write("a.txt", "alpha, edited");
        desk.write("c.txt", "gamma");
        let said = run(&["sync"], 5).stdout;
        assert!(said.contains("queued, offline") && said.contains("write"), "{kind}: {said}");
        assert!(!said.contains("is away"), "{kind}: it is there: {said}");
        assert_eq!(
            desk.sql::<i64>("SELECT count(*) FROM outbox WHERE attempts > 0 OR state IN ('dead', 'leased')"),
            0
        );
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM remote_objects WHERE state = 'current'"), 2);
        run(&["store", "check", "far", "--read"], 0);
        assert_eq!(names_below(&peer.data()), names_below(&data));
    }
}

/// The program, with the keys to the servers.
fn logged_in(desk: &Desk, args: &[&str]) -> Command {
    let mut command = desk.command(args);
    command.envs([
        ("AWS_ACCESS_KEY_ID", USER),
        ("AWS_SECRET_ACCESS_KEY", PASSWORD),
        ("SHELFLIST_WEBDAV_USER", USER),
        ("SHELFLIST_WEBDAV_PASSWORD", PASSWORD),
    ]);
    command
}

fn names_below(dir: &Path) -> std::collections::BTreeSet<PathBuf> {
    let mut names = std::collections::BTreeSet::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(at) = dirs.pop() {
        for entry in std::fs::read_dir(at).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => _ = names.insert(entry.path().strip_prefix(dir).unwrap().to_path_buf()),
            }
        }
    }
    names
}

// T3, T2, S4: the power is cut after every step, on real servers
#[cfg(feature = "failpoints")]
#[test]
fn a_sync_to_a_server_that_is_cut_off_anywhere_is_finished_by_the_next() {
    const STEPS: [&str; 8] = [
        "push-sent",
        "push-uploaded",
        "push-current",
        "push-leased",
        "push-planned",
        "push-uploading",
        "push-verified",
        "push-searchable",
    ];
    for (far, steps) in [(Far::s3(&FILES), &STEPS[..]), (Far::webdav(&FILES), &STEPS[..3])] {
        let mut expected = vec!["alpha".to_owned(), "beta".to_owned()];
        for (n, point) in steps.iter().enumerate() {
            if n > 0 {
                let content = format!("alpha, for the {n}th time");
                far.desk.write("a.txt", &content);
                expected.push(content);
            }
            let cut = far.command(&["sync"]).env("FAILPOINTS", format!("{point}=return")).output().unwrap();
            assert_eq!(cut.status.code(), Some(128 + 9), "{point}: {cut:?}");
            if n > 0 {
                assert_eq!(far.current(), 2, "{point}: what is there stays current (T2)");
            }
            far.run(&["sync"], 0);
            far.assert_whole(&expected.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!((far.blamed(), far.current()), (0, 2), "{point}");
        }
        let puts = far.proxy.asked("PUT");
        let twice: Vec<_> =
            puts.iter().filter(|(line, asked)| line.contains("/original/") && **asked > 1).collect();
        assert!(twice.is_empty(), "sent twice: {twice:?}");
        far.run(&["store", "check", "far", "--read"], 0);
        let rest: i64 =
            far.desk.sql("SELECT count(*) FROM remote_objects WHERE state NOT IN ('current', 'orphaned')");
        assert_eq!(rest, 0);
    }
}

// T5, O2: a server whose disk is full says what it likes
#[test]
#[ignore = "needs root: mounts a disk"]
fn a_server_whose_disk_is_full_keeps_the_queue_and_blames_nobody() {
    for kind in ["s3", "webdav"] {
        let peer = peers::rclone_on_a_small_disk(kind, 2 << 20);
        let large = "x".repeat(3_000_000);
        let desk = Desk::with_files(&[("large.txt", &large), ("small.txt", "small"), ("tiny.txt", "tiny")]);
        desk.scan();
        let port = peer.port;
        let url = match kind {
            "s3" => format!("s3://bucket?endpoint=http://127.0.0.1:{port}&region=r"),
            _ => format!("webdav+http://{USER}@127.0.0.1:{port}/bucket/far"),
        };
        let run = |args: &[&str], code: i32| -> Ran {
            Ran::from(logged_in(&desk, args).output().unwrap()).expect(code)
        };
        run(&["store", "add", &url, "--name", "far", "--payload", "original"], 0);
        let report = run(&["sync", "now", "--json"], 3).json();
        assert_eq!((&report["queued"], &report["strayed"]), (&json!(1), &json!(1)), "{kind}: {report}");
        let (current, blamed): (i64, i64) = (
            desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'current'"),
            desk.sql("SELECT count(*) FROM outbox WHERE attempts > 0 OR state IN ('dead', 'leased')"),
        );
        assert_eq!((current, blamed), (2, 0), "{kind}: what fits is there");
        let errors = run(&["sync", "queue", "--errors", "--json"], 0).json();
        assert_eq!(errors["queue"][0]["path"], "large.txt", "{kind}: {errors}");
    }
}
