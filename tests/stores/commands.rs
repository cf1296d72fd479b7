//! The program itself with stores on a network: add, sync, fetch, and no secret anywhere.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::desk::{Desk, Ran};
use super::peers::proxy::{Fault, Proxy};
use super::peers::{PASSWORD, USER};
use super::place;
use super::wait::until;

/// Runs with what the environment says of stores.
fn run(desk: &Desk, environment: &[(&str, &str)], args: &[&str]) -> Ran {
    desk.command(args).envs(environment.iter().copied()).output().unwrap().into()
}

fn desk() -> Desk {
    let desk =
        Desk::with_files(&[("notes/å b.txt", "shelves and their order"), ("two.md", "# Two\n\nwords")]);
    desk.run(&["scan"]).expect(0);
    desk
}

const AWS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", USER), ("AWS_SECRET_ACCESS_KEY", PASSWORD)];
const WEBDAV: [(&str, &str); 2] = [("SHELFLIST_WEBDAV_USER", USER), ("SHELFLIST_WEBDAV_PASSWORD", PASSWORD)];

fn goes_there_and_comes_back(desk: &Desk, environment: &[(&str, &str)], url: &str) -> Value {
    let added =
        run(desk, environment, &["store", "add", url, "--name", "far", "--payload", "both", "--json"]);
    let added = added.expect(0).json();
    assert_eq!(added["queued"], 2);
    let synced = run(desk, environment, &["sync", "--json"]).expect(0).json();
    assert_eq!(synced["uploaded_objects"], 4, "{synced}");
    let again = run(desk, environment, &["sync", "--json"]).expect(0).json();
    assert_eq!(again["uploaded_objects"], 0, "{again}");

    // The disk goes; the content comes back from the store.
    std::fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    let to = desk.path("back");
    std::fs::create_dir(&to).unwrap();
    run(desk, environment, &["fetch", "notes/å b.txt", "--to", to.to_str().unwrap()]).expect(0);
    assert_eq!(std::fs::read_to_string(to.join("å b.txt")).unwrap(), "shelves and their order");
    let listed = run(desk, environment, &["store", "list", "--json"]).expect(0).json();
    assert_eq!(listed["stores"][0]["uploaded"], 4, "{listed}");
    assert_eq!(listed["stores"][0]["state"], "online");
    listed["stores"][0]["probe"].clone()
}

// S1, S11
#[test]
fn a_library_goes_to_s3_and_comes_back() {
    let (place, _peer) = place::moto();
    let probe = goes_there_and_comes_back(&desk(), &AWS, &place.url);
    assert_eq!(probe["conditional_put"], true);
    assert!(probe["clock_ahead_ms"].as_i64().unwrap().abs() < 60_000, "{probe}");
    assert!(probe["probed_at"].is_string());

    let (place, _peer) = place::rclone_s3();
    let probe = goes_there_and_comes_back(&desk(), &AWS, &place.url);
    assert_eq!(probe["conditional_put"], false, "it takes the condition and ignores it");
}

#[test]
fn a_library_goes_to_webdav_and_comes_back() {
    let (place, _peer) = place::webdav();
    let probe = goes_there_and_comes_back(&desk(), &WEBDAV, &place.url);
    assert_eq!(probe["conditional_put"], true);
}

#[test]
fn a_library_goes_to_sftp_and_comes_back() {
    let (place, _peer) = place::sftp();
    let ssh = place.access.ssh.as_ref().unwrap().join(" ");
    let probe = goes_there_and_comes_back(&desk(), &[("SHELFLIST_SSH_COMMAND", &ssh)], &place.url);
    assert_eq!(probe["conditional_put"], false, "it has no links");
    assert_eq!(probe["clock_ahead_ms"], Value::Null);
}

#[test]
fn a_library_goes_to_azure_and_comes_back() {
    let (place, _peer) = place::azurite();
    let key = [("AZURE_STORAGE_ACCOUNT_KEY", super::peers::AZURITE_KEY)];
    assert_eq!(goes_there_and_comes_back(&desk(), &key, &place.url)["conditional_put"], true);
}

#[test]
fn a_library_goes_to_google_and_comes_back() {
    let (place, peer) = place::gcs();
    let key = peer.dir.path().join("key.json");
    std::fs::write(&key, super::peers::gcs_key(peer)).unwrap();
    let key = [("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().unwrap())];
    assert_eq!(goes_there_and_comes_back(&desk(), &key, &place.url)["conditional_put"], true);
}

/// Every byte below a directory.
fn everything_in(dir: &Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            everything_in(&entry.path(), into);
        } else if entry.file_type().unwrap().is_file() {
            into.extend(entry.file_name().as_encoded_bytes());
            into.extend(std::fs::read(entry.path()).unwrap());
        }
    }
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
}

// R5, design section 7
#[test]
fn no_secret_is_kept_printed_or_seen_among_processes() {
    use base64::Engine;
    let engine = base64::engine::general_purpose::STANDARD;
    let forms = [PASSWORD.to_owned(), engine.encode(format!("{USER}:{PASSWORD}")), engine.encode(PASSWORD)];
    for (kind, (place, _peer)) in [("s3", place::rclone_s3()), ("webdav", place::webdav())] {
        let desk = desk();
        // The command looks round among the processes before it says the secret, and after it was asked before.
        let command = desk.path("password");
        let seen = desk.path("seen");
        let answer = if kind == "s3" { format!("{USER}:{PASSWORD}") } else { PASSWORD.to_owned() };
        std::fs::write(desk.path("secret"), answer).unwrap();
        let script = format!(
            "#!/bin/sh\ncat /proc/[0-9]*/cmdline >>{} 2>/dev/null\ncat {}\n",
            seen.display(),
            desk.path("secret").display()
        );
        std::fs::write(&command, script).unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o700)).unwrap();
        let command = command.to_str().unwrap();

        let mut said = Vec::new();
        let mut run = |args: &[&str], code: i32| {
            let ran = run(&desk, &[("SHELFLIST_LOG", "trace")], args);
            said.extend(ran.stdout.bytes());
            said.extend(ran.stderr.bytes());
            ran.expect(code)
        };
        let told = format!("printf %s --password={PASSWORD}");
        run(&["store", "add", &place.url, "--name", "far", "--password-command", &told], 2);
        run(&["-vv", "store", "add", &place.url, "--name", "far", "--password-command", command], 0);
        run(&["-vv", "sync"], 0);
        run(&["store", "list", "--json"], 0);
        run(&["status", "--json"], 0);
        // A wrong one is refused, and not repeated either.
        let wrong = format!("{USER}:{PASSWORD}-but-wrong");
        std::fs::write(desk.path("secret"), wrong).unwrap();
        desk.write("three.md", "# Three");
        run(&["-vv", "sync"], 5);
        run(&["store", "list", "--json"], 0);

        let mut kept = Vec::new();
        everything_in(&desk.home(), &mut kept);
        let processes = std::fs::read(&seen).unwrap();
        assert!(
            holds(&kept, "far") && holds(&said, "far") && holds(&processes, "shelflist"),
            "looked at the wrong place"
        );
        for form in &forms {
            assert!(!holds(&kept, form), "{kind}: in the catalogue");
            assert!(!holds(&said, form), "{kind}: in logs or messages: {}", String::from_utf8_lossy(&said));
            assert!(!holds(&processes, form), "{kind}: among the processes");
        }
    }
}

#[test]
fn a_store_that_is_printed_for_developers_shows_no_secret() {
    let (openssh, _dir) = place::openssh();
    for place in [place::moto().0, place::azurite().0, place::webdav().0, openssh] {
        let printed = format!("{:?} {:?}", place.store(), place.access);
        assert!(!printed.contains(PASSWORD) && !printed.contains(super::peers::AZURITE_KEY), "{printed}");
    }
}

#[test]
fn a_url_with_a_secret_is_refused_and_says_where_it_belongs() {
    let desk = Desk::new();
    let ran = desk.run(&["store", "add", "webdav+https://ann:hunter2@host/x"]).expect(2);
    assert!(!format!("{ran:?}").contains("hunter2"), "{ran:?}");
    assert!(ran.stderr.contains("SHELFLIST_WEBDAV_PASSWORD"), "{ran:?}");
}

#[test]
fn without_a_key_it_says_that_there_is_none() {
    let (place, _peer) = place::rclone_s3();
    let ran = desk().run(&["store", "add", &place.url].map(OsStr::new)).expect(1);
    assert!(ran.stderr.contains("no key was found"), "{ran:?}");
    assert!(ran.stderr.contains("docs/stores.md"), "{ran:?}");
}

// S8, S12, T7: what is taken back goes from a server, too; a bucket that was emptied is begun anew on a person's word
#[test]
fn a_server_gives_up_what_is_taken_back_and_is_filled_again_when_it_was_wiped() {
    let (place, peer) = place::moto();
    let desk = desk();
    let go = |args: &[&str], code: i32| run(&desk, &AWS, args).expect(code);
    let check = |args: &[&str], code: i32| {
        go(&[&["store", "check", "far", "--json"], args].concat(), code).json()["stores"][0].clone()
    };
    go(&["store", "add", &place.url, "--name", "far", "--payload", "both"], 0);
    go(&["sync"], 0);
    assert_eq!(check(&["--read"], 0)["read"], 4);
    let notes: String = desk.sql(
        "SELECT group_concat(remote_id) FROM remote_objects JOIN files USING (document_id) WHERE name <> CAST('two.md' AS BLOB)",
    );
    go(&["edit", "notes/å b.txt", "--privacy", "local_only"], 0);
    let synced = go(&["sync", "--json"], 0).json();
    assert_eq!(synced["recalled_objects"], 2, "{synced}");
    let store = place.open().unwrap();
    for key in notes.split(',') {
        assert_eq!(store.stat(&key.parse().unwrap()).unwrap(), None, "{key}");
    }
    assert_eq!(check(&[], 0)["objects"], 2);

    let all: String = desk.sql("SELECT group_concat(remote_id) FROM remote_objects WHERE state = 'current'");
    place::wipe(&place, peer, &all.split(',').collect::<Vec<_>>());
    assert_eq!(check(&[], 3)["state"], "wiped");
    go(&["sync"], 5);
    assert_eq!(check(&["--repair"], 0)["state"], "begun_anew");
    let synced = go(&["sync", "--json"], 0).json();
    assert_eq!(synced["uploaded_objects"], 2, "{synced}");
    let same = check(&["--read"], 0);
    assert_eq!((&same["objects"], &same["read"]), (&2.into(), &2.into()), "{same}");

    // The same bucket under another address of its server.
    let moved = place.url.replace("127.0.0.1", "localhost");
    go(&["store", "relocate", "far", &moved], 0);
    go(&["store", "relocate", "far", &place::moto().0.url], 1);
    desk.write("three.md", "# Three");
    assert_eq!(go(&["sync", "--json"], 0).json()["uploaded_objects"], 2);
    assert_eq!(check(&["--read"], 0)["objects"], 4);
}

/// Of whom we know that he is stopped, and not merely slow.
fn is_stopped(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T')))
}

// S3, T3: a stopped laptop process, a second one, and the first goes on
#[test]
fn a_sync_that_was_stopped_past_its_lease_is_taken_over_from_and_says_so() {
    use rustix::process::{Pid, Signal, kill_process_group};
    use std::os::unix::process::CommandExt;
    let (place, _peer) = place::rclone_s3();
    let desk = desk();
    run(&desk, &AWS, &["store", "add", &place.url, "--name", "far", "--payload", "original"]).expect(0);
    let conn = rusqlite::Connection::open(desk.home().join("catalog.db")).unwrap();
    // It is stopped between writing down what it will send and sending it.
    let mut first = desk.command(&["sync", "now"]);
    let first = first.envs(AWS).env("FAILPOINTS", "push-uploading=sleep(1000)").process_group(0);
    let first =
        first.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    super::wait::until("the first to send", || {
        let sql = "SELECT count(*) FROM remote_objects WHERE state = 'uploading'";
        conn.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 2
    });
    let group = Pid::from_raw(i32::try_from(first.id()).unwrap()).unwrap();
    kill_process_group(group, Signal::STOP).unwrap();
    super::wait::until("the first to stop", || is_stopped(first.id()));

    run(&desk, &AWS, &["sync", "now"]).expect(4);
    conn.execute("UPDATE sender SET until = 1", []).unwrap();
    let second = run(&desk, &AWS, &["sync", "now", "--json"]).expect(0).json();
    assert_eq!((&second["uploaded_objects"], &second["queued"]), (&2.into(), &0.into()), "{second}");

    kill_process_group(group, Signal::CONT).unwrap();
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(4), "{}", String::from_utf8_lossy(&first.stderr));
    let said = String::from_utf8_lossy(&first.stderr).into_owned();
    assert!(said.contains("another shelflist has taken over"), "{said}");
    let (current, blamed): (i64, i64) = conn
        .query_row(
            "SELECT (SELECT count(*) FROM remote_objects WHERE state = 'current'),
                    (SELECT count(*) FROM outbox WHERE state <> 'done' OR attempts > 0)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((current, blamed), (2, 0));
}

// O1, O2: a server that is cut off while things are sent to it, and comes back, gets the rest without anybody's word
#[test]
fn a_server_that_comes_back_gets_what_waits_for_it() {
    let (place, peer) = place::rclone_s3();
    let proxy = Proxy::before(peer.port);
    let url = place.through(peer.port, proxy.port).url;
    let desk = desk();
    run(&desk, &AWS, &["store", "add", &url, "--name", "far", "--payload", "both"]).expect(0);
    desk.run(&["config", "set", "connectivity.interval_ms", "1000"]).expect(0);
    proxy.always(Some(Fault::Refuse));
    let mut waiting = desk.command(&["sync", "--wait", "--json"]);
    let waiting = waiting.envs(AWS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it to be away for a while", || desk.sql::<i64>("SELECT failures FROM channels") > 2);
    // T5, C3: an edit meanwhile is sent with the rest.
    desk.run(&["tag", "two.md", "meanwhile"]).expect(0);
    proxy.always(None);
    let ran: Ran = waiting.wait_with_output().unwrap().into();
    let report = ran.expect(0).json();
    assert_eq!(
        (&report["ended"], &report["queued"], &report["uploaded_objects"]),
        (&"drained".into(), &0.into(), &4.into())
    );
    assert_eq!(desk.sql::<i64>("SELECT max(attempts) FROM outbox"), 0);
    let listed = desk.json(&["store", "list"])["stores"][0].take();
    assert_eq!((&listed["state"], &listed["pending"]), (&"online".into(), &0.into()), "{listed}");
}
