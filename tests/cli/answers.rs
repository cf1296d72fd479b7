//! `explain`, `history`, `copies` and `doctor names`: what the catalogue says of a file, and why.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, SystemTime};

use rustix::fs::{Mode, OFlags};
use serde_json::{Value, json};

use crate::desk::Desk;

/// Written long ago, so that no stamp is too young to prove anything but by its ctime.
fn set_modified(desk: &Desk, path: &str, seconds: u64) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options().write(true).open(desk.library().join(path)).unwrap().set_modified(at).unwrap();
}

/// The statuses that a file's history tells, in order.
fn statuses(desk: &Desk, path: &str) -> Vec<String> {
    let history = desk.json(&["history", path]);
    let events = history["events"].as_array().unwrap();
    events.iter().filter_map(|event| Some(event["status"].as_str()?.to_owned())).collect()
}

// L13
#[test]
fn explain_tells_which_stat_field_differed_at_the_last_read() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.scan();
    let look = || desk.json(&["explain", "a.txt"])["last_look"].take();
    assert_eq!(look()["read_because"], json!([]), "read once, when it was new");
    let first_read = look()["read_at"].clone();

    desk.scan();
    assert_eq!(look()["read_at"], first_read, "an unchanged file is not read");

    set_modified(&desk, "a.txt", 1_000_000_000);
    assert_eq!(desk.scan()["touched"], 1);
    assert_eq!(look()["read_because"], json!(["mtime", "ctime"]));
    assert_eq!(look()["mtime"], "2001-09-09T01:46:40Z");
    assert_ne!(look()["read_at"], first_read);

    desk.write("a.txt", "alpha, revised");
    set_modified(&desk, "a.txt", 1_000_000_000);
    desk.scan();
    assert_eq!(look()["read_because"], json!(["size", "ctime"]));
    let text = desk.run(&["explain", "a.txt"]).expect(0).stdout;
    assert!(text.contains("because: its size differed, its ctime differed"), "{text}");

    desk.run(&["scan", "--full"]).expect(0);
    assert_eq!(look()["read_because"], json!(["full"]));
}

// L13, L6: a file that is back with its old stat was not read again, and is not said to have been
#[test]
fn what_was_not_read_is_not_said_to_have_been_verified() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
    desk.scan();
    let read_at = || desk.json(&["explain", "a.txt"])["last_look"]["read_at"].take();
    let first_read = read_at();
    fs::rename(desk.library().join("a.txt"), desk.path("aside")).unwrap();
    assert_eq!(desk.scan()["missing"], 1);
    // A rename changes the ctime; the catalogue is told the one of today.
    fs::rename(desk.path("aside"), desk.library().join("a.txt")).unwrap();
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::metadata(desk.library().join("a.txt")).unwrap();
    let ctime_ns = metadata.ctime() * 1_000_000_000 + metadata.ctime_nsec();
    desk.execute(&format!("UPDATE files SET ctime_ns = {ctime_ns} WHERE name = CAST('a.txt' AS BLOB)"));
    let report = desk.scan();
    assert_eq!((&report["restored"], &report["hashed_files"]), (&json!(1), &json!(0)));
    assert_eq!(read_at(), first_read);
}

// L13, D10
#[test]
fn explain_tells_how_the_root_stood_then_and_now() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.scan();
    fs::rename(desk.library(), desk.path("drawer")).unwrap();
    desk.run(&["sync"]).expect(0);
    let path = desk.library().join("a.txt");
    let explained = desk.json(&["explain", path.to_str().unwrap()]);
    assert_eq!(explained["known"], true);
    assert_eq!(explained["root_now"]["state"], "unavailable");
    assert_eq!(explained["root_now"]["reason"], "root-missing");
    assert_eq!(explained["said_by"]["root_then"], "available");
    assert_eq!(explained["said_by"]["scan"]["outcome"], "complete");
    assert_eq!(explained["presence"]["state"], "present", "a disk that is away proves nothing");
    // Back again: then and now are told apart by the log, not by the state at hand.
    fs::rename(desk.path("drawer"), desk.library()).unwrap();
    desk.run(&["status"]).expect(0);
    let explained = desk.json(&["explain", "a.txt"]);
    assert_eq!(explained["root_now"]["state"], "available");
    assert_eq!(explained["said_by"]["root_then"], "available");
    desk.remove("a.txt");
    desk.scan();
    let explained = desk.json(&["explain", "a.txt"]);
    assert_eq!(explained["presence"]["state"], "missing");
    assert_eq!(explained["presence"]["evidence"], "not in a complete listing");
    assert_eq!(explained["said_by"]["scan"]["outcome"], "complete");
    assert_eq!(explained["said_by"]["at"], explained["presence"]["missing_since"]);
    desk.scan();
    assert_eq!(desk.json(&["explain", "a.txt"])["presence"]["missing_scans"], 2);
}

// L13
#[test]
fn explain_tells_of_operations_objects_copies_and_problems() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("copy.txt", "alpha"), ("b.pdf", "%PDF-1.7 cut off")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]);
    let explained = desk.json(&["explain", "a.txt"]);
    assert_eq!(explained["operations"][0]["state"], "done");
    assert_eq!(explained["operations"][0]["store"], "mirror");
    assert_eq!(explained["remote_objects"][0]["state"], "current");
    assert_eq!(explained["copies"].as_array().unwrap().len(), 2);
    assert_eq!(
        explained["document"]["document_id"],
        desk.json(&["copies", "copy.txt"])["document"]["document_id"]
    );
    let explained = desk.json(&["explain", "b.pdf"]);
    assert_eq!(
        (&explained["status"], &explained["problems"][0]["kind"]),
        (&json!("error"), &json!("damaged"))
    );
    desk.execute(
        "UPDATE outbox SET state = 'dead', attempts = 5, error_code = 'SHELF-SYNC-004', error_text = 'no', updated_at = updated_at + 1
         WHERE document_id = (SELECT document_id FROM files WHERE name = CAST('a.txt' AS BLOB))",
    );
    let text = desk.run(&["explain", "a.txt"]).expect(0).stdout;
    assert!(text.contains("mirror mirror: dead"), "{text}");
    assert!(text.contains("5 attempts failed, SHELF-SYNC-004: no"), "{text}");
}

// L13, L8
#[test]
fn explain_names_the_decision_that_holds_a_file() {
    let names: Vec<String> = (0..30).map(|n| format!("{n}.txt")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), name.as_str())).collect();
    let desk = Desk::with_files(&files);
    desk.scan();
    for name in &names[..25] {
        desk.remove(name);
    }
    desk.run(&["scan"]).expect(6);
    assert_eq!(desk.json(&["explain", "3.txt"])["decisions"][0]["kind"], "mass-missing");
    assert_eq!(desk.json(&["explain", "29.txt"])["decisions"], json!([]));
    let text = desk.run(&["explain", "3.txt"]).expect(0).stdout;
    assert!(text.contains("decision show 1"), "{text}");
}

// L13, L11: what the catalogue does not know is explained, too
#[test]
fn explain_tells_why_a_path_is_not_known() {
    let desk = Desk::with_files(&[
        ("a.txt", "alpha"),
        (".DS_Store", "x"),
        ("drafts/one/b.txt", "beta"),
        ("sub/.shelflistignore", "*.bak\n"),
        ("sub/c.bak", "gamma"),
    ]);
    let why = |path: &str| {
        let explained = desk.json(&["explain", path]);
        assert_eq!(explained["known"], false, "{explained}");
        explained["places"][0].clone()
    };
    let said = |path: &str| why(path)["why"].as_str().unwrap().to_owned();
    assert!(said("a.txt").contains("never scanned completely"));
    desk.run(&["config", "set", "scan.exclude", "/drafts/"]).expect(0);
    std::os::unix::net::UnixListener::bind(desk.library().join("socket")).unwrap();
    desk.run(&["scan"]).expect(3);
    assert!(said("none.txt").contains("not there at the last complete scan"));
    assert!(said("drafts/one/b.txt").contains("the rule /drafts/, in the setting scan.exclude"));
    assert_eq!(
        why("drafts/one/b.txt")["rule"],
        json!({ "path": "drafts", "pattern": "/drafts/", "origin": "setting" })
    );
    assert!(said(".DS_Store").contains("built in"));
    assert_eq!(why("sub/c.bak")["rule_files"], json!([{ "path": "sub/.shelflistignore" }]));
    assert!(said("socket").contains("a socket is never opened"));
    assert!(said(".shelflist/library.json").contains("never catalogued"));
    assert_eq!(why("sub")["directory"], "listed");
    desk.run(&["explain", "/nowhere/at/all"]).expect(1);

    desk.execute("UPDATE dirs SET state = 'frozen', frozen_since = 0 WHERE path = CAST('sub' AS BLOB)");
    let frozen = why("sub/new.txt");
    assert_eq!(frozen["frozen_dir"], json!({ "path": "sub", "since": "1970-01-01T00:00:00Z" }));
    assert!(
        frozen["why"].as_str().unwrap().contains("sub cannot be listed since 1970-01-01 00:00"),
        "{frozen}"
    );
}

// L13, L11
#[test]
fn explain_names_the_rule_that_leaves_a_known_file_out() {
    let desk = Desk::with_files(&[("a.tmp", "alpha"), ("b.bak", "beta")]);
    desk.scan();
    desk.run(&["config", "set", "scan.exclude", "*.tmp"]).expect(0);
    desk.write(".shelflistignore", "*.bak\n");
    desk.scan();
    let explained = desk.json(&["explain", "a.tmp"]);
    assert_eq!(
        (&explained["presence"]["state"], &explained["rule"]["pattern"]),
        (&json!("excluded"), &json!("*.tmp"))
    );
    // Which line of a file on the disk it was is not known without reading it; which files may have said so is.
    let explained = desk.json(&["explain", "b.bak"]);
    assert_eq!((&explained["presence"]["state"], &explained["rule"]), (&json!("excluded"), &Value::Null));
    assert_eq!(explained["rule_files"], json!([{ "path": ".shelflistignore" }]));
    let text = desk.run(&["explain", "b.bak"]).expect(0).stdout;
    assert!(text.contains("left out at the last look by .shelflistignore"), "{text}");
}

// L13, L5: every change of a status is an event
#[test]
fn history_tells_every_status_a_file_had() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
    desk.scan();
    assert_eq!(statuses(&desk, "a.txt"), ["pending"]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    let sent = ["pending", "pending", "uploading", "uploading", "uploaded"];
    assert_eq!(statuses(&desk, "a.txt"), sent);
    desk.write("a.txt", "alpha, revised");
    desk.run(&["sync"]).expect(0);
    assert_eq!(statuses(&desk, "a.txt")[sent.len()..], ["pending", "uploading", "uploading", "uploaded"]);
    desk.remove("a.txt");
    desk.scan();
    assert_eq!(statuses(&desk, "a.txt").last().unwrap(), "missing");
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    desk.run(&["config", "set", "missing.grace_scans", "1"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(statuses(&desk, "a.txt").last().unwrap(), "local_delete");
    desk.write("a.txt", "alpha, revised");
    desk.run(&["sync"]).expect(0);
    assert_eq!(statuses(&desk, "a.txt").last().unwrap(), "uploaded");
    desk.run(&["config", "set", "scan.exclude", "a.txt"]).expect(0);
    desk.scan();
    assert_eq!(statuses(&desk, "a.txt").last().unwrap(), "skipped");

    let events = desk.json(&["history", "a.txt"]);
    for (event, shown) in events["events"].as_array().unwrap().iter().map(|event| (event, event.to_string()))
    {
        assert!(event["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");
        let needs_cause = matches!(event["status"].as_str(), Some("missing" | "local_delete" | "skipped"));
        assert!(!needs_cause || event["cause"].is_string(), "{shown}");
    }
    assert_eq!(events["events"][0]["what"], "first_seen");
    let limited = desk.json(&["history", "a.txt", "--limit", "2"]);
    assert_eq!(limited["events"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&limited["total"], &limited["events"][1]["cause"]),
        (&events["total"], &json!("left out by a rule"))
    );
}

// L13, L5
#[test]
fn history_tells_of_trouble_and_of_its_end() {
    let desk = Desk::with_files(&[("b.pdf", "%PDF-1.7 cut off"), ("c.bin", "\u{1}\u{2}")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]);
    assert!(statuses(&desk, "b.pdf").contains(&"error".to_owned()));
    assert_eq!(statuses(&desk, "c.bin").last().unwrap(), "skipped", "nothing to send");
    desk.execute(
        "INSERT INTO file_problems (library_id, file_id, path, kind, message, scan_id, first_seen, updated_at)
           SELECT 1, file_id, name, 'permission', 'not allowed', 1, updated_at + 1, updated_at + 1 FROM files WHERE name = CAST('c.bin' AS BLOB);
         UPDATE outbox SET state = 'dead', error_text = 'too large', updated_at = updated_at + 1
           WHERE document_id = (SELECT document_id FROM files WHERE name = CAST('c.bin' AS BLOB));",
    );
    let told = statuses(&desk, "c.bin");
    assert_eq!(told[told.len() - 2..], ["error", "failed"]);
    desk.execute("DELETE FROM file_problems");
    let text = desk.run(&["history", "c.bin"]).expect(0).stdout;
    assert!(text.contains("problem (permission): not allowed"), "{text}");
    assert!(text.contains("its sending to mirror failed for good: too large"), "{text}");
    assert!(text.ends_with("no problem any more (permission)\n"), "{text}");
}

// L13, L7: places are bytes
#[test]
fn history_tells_moves_between_names_that_are_not_text() {
    let desk = Desk::with_files(&[("plain.txt", "alpha"), ("b.txt", "beta")]);
    desk.scan();
    let name = OsString::from_vec(b"caf\xe9\n\"x\".txt".to_vec());
    fs::create_dir(desk.library().join("sub")).unwrap();
    fs::rename(desk.library().join("plain.txt"), desk.library().join("sub").join(&name)).unwrap();
    desk.scan();
    let path = OsString::from_vec([b"sub/".as_slice(), name.as_encoded_bytes()].concat());
    let history = desk.run(&["history".into(), path.clone(), "--json".into()]).expect(0).json();
    let moved = &history["events"][1];
    assert_eq!((&moved["what"], &moved["before"]), (&json!("moved"), &json!("plain.txt")));
    assert_eq!(moved["before_bytes"], Value::Null);
    assert_eq!(moved["after"], "sub/caf\\xe9\n\"x\".txt");
    assert_eq!(moved["after_bytes"], history["path_bytes"]);
    let text = desk.run(&["history".into(), path]).expect(0).stdout;
    assert!(text.contains(r#"moved from "plain.txt" to "sub/caf\xe9\n"x".txt""#), "{text}");
}

// L13: numbers of rows are given again
#[test]
fn a_new_library_does_not_inherit_the_history_of_a_removed_one() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.scan();
    desk.remove("a.txt");
    desk.scan();
    fs::rename(desk.library(), desk.path("drawer")).unwrap();
    desk.run(&["scan"]).expect(7);
    desk.run(&["library", "remove", "books"]).expect(0);
    fs::create_dir(desk.library()).unwrap();
    desk.write("new.txt", "beta");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "films"]).expect(0);
    desk.scan();
    assert_eq!(desk.sql::<i64>("SELECT file_id FROM files"), 1, "the same number");
    assert_eq!(statuses(&desk, "new.txt"), ["pending"]);
    assert_eq!(desk.json(&["explain", "new.txt"])["said_by"]["root_then"], "available");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM events WHERE library_id IS NOT NULL"), 0);
}

// L15
#[test]
fn copies_are_told_with_their_disks() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "alpha"), ("c.txt", "alpha")]);
    let other = desk.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("d.txt"), "alpha").unwrap();
    desk.run(&["init", other.to_str().unwrap(), "--name", "films"]).expect(0);
    desk.run(&["scan"]).expect(0);
    fs::rename(&other, desk.path("drawer")).unwrap();
    desk.run(&["sync"]).expect(0);
    let copies = desk.json(&["copies", "a.txt"]);
    let places: Vec<(&str, bool)> = copies["copies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|copy| (copy["path"].as_str().unwrap(), copy["available"].as_bool().unwrap()))
        .collect();
    assert_eq!(places, [("a.txt", true), ("b.txt", true), ("c.txt", true), ("d.txt", false)]);
    assert_eq!(copies["copies"][3]["library"], "films");
    assert_eq!(copies["copies"][3]["availability"]["reason"], "root-missing");
    assert!(copies["copies"][3]["hashed_at"].is_string());
    let of_absent = other.join("d.txt");
    assert_eq!(desk.json(&["copies", of_absent.to_str().unwrap()])["copies"].as_array().unwrap().len(), 4);

    desk.write("b.txt", "alpha, edited apart");
    desk.scan();
    let copies = desk.json(&["copies", "a.txt"]);
    assert_eq!(copies["copies"].as_array().unwrap().len(), 3);
    assert_eq!(copies["edited_apart"][0]["copies"][0]["path"], "b.txt");
    let apart = desk.json(&["copies", "b.txt"]);
    assert_eq!(apart["edited_apart_from"]["document_id"], copies["document"]["document_id"]);
    let text = desk.run(&["copies", "a.txt"]).expect(0).stdout;
    assert!(text.contains("disk away since"), "{text}");
    assert!(text.contains("a copy was edited apart:"), "{text}");
    assert!(statuses(&desk, "b.txt").contains(&"pending".to_owned()));
    assert!(desk.run(&["history", "b.txt"]).stdout.contains("edited apart"));
}

/// Names that have broken programs before, one in each directory that has room for it.
fn naughty() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "new\nline",
        "tab\there",
        "carriage\rreturn",
        "\u{1b}[31mred\u{1b}[0m",
        "bell\u{7}",
        "-rf",
        "--json",
        " ",
        "  two  ",
        "'; DROP TABLE files; --",
        "\"quoted\"",
        "back\\slash",
        "$(reboot)",
        "`id`",
        "%s%n%x",
        "<img src=x onerror=alert(1)>",
        "&amp;",
        "*",
        "?",
        "[a]",
        "#",
        "~",
        "CON",
        "NUL.txt",
        "trailing.",
        "...",
        "e\u{301}",
        "é",
        "ÉCOLE",
        "école",
        "\u{202e}gpj.exe",
        "\u{200b}",
        "\u{feff}bom",
        "田中さん",
        "🏳️‍🌈",
        "ﷺ",
        "null",
        "undefined",
        "0",
        "NaN",
        "a:b",
        "a|b",
        "{\"path\": 1}",
        "\u{7f}",
        "\u{85}next",
        "\u{2028}",
    ]
    .into_iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend([
        b"caf\xe9".to_vec(),
        b"\xff\xfe".to_vec(),
        b"\xc3\x28\n".to_vec(),
        b"\xed\xa0\x80".to_vec(),
    ]);
    names.extend([vec![b'x'; 255], "é".repeat(127).into_bytes(), vec![b'\n'; 255], vec![0xe9; 255]]);
    names
}

// Names are bytes throughout: output, JSON and SQL
#[test]
fn naughty_names_break_no_output() {
    let desk = Desk::with_files(&[]);
    for (n, name) in naughty().into_iter().enumerate() {
        let dir = desk.library().join(OsString::from_vec(name.clone()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(OsString::from_vec(name)), format!("text number {n}")).unwrap();
    }
    let mut twins = naughty();
    twins.truncate(8);
    for name in twins {
        fs::write(
            desk.library().join(OsString::from_vec([b"copy of ".as_slice(), &name].concat())),
            "text number 1",
        )
        .unwrap();
    }
    desk.add_mirror("enriched");
    let files = i64::try_from(naughty().len()).unwrap() + 8;
    desk.run(&["sync"]).expect(0);
    for name in naughty().iter().take(5) {
        fs::remove_file(
            desk.library().join(OsString::from_vec(name.clone())).join(OsString::from_vec(name.clone())),
        )
        .unwrap();
    }
    desk.run(&["sync", "--json"]).expect(0).json();
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files"), files);

    let no_path: [&[&str]; 12] = [
        &["scan"],
        &["scan", "--dry-run"],
        &["sync"],
        &["status"],
        &["find", "text"],
        &["list"],
        &["missing"],
        &["orphans"],
        &["decisions"],
        &["doctor", "names"],
        &["store", "list"],
        &["library", "list"],
    ];
    for args in no_path {
        let code = if args[0] == "doctor" { 3 } else { 0 };
        let text = desk.run(args).expect(code);
        // No name controls the terminal, or makes a line of its own.
        assert!(!text.stdout.contains(|char: char| char.is_control() && char != '\n'), "{args:?}: {text:?}");
        assert_eq!(text.stderr, "", "{args:?}");
        desk.run(&[args, &["--json"]].concat()).expect(code).json();
    }
    let listed = desk.json(&["list"]);
    assert_eq!(listed["total"], files);
    assert_eq!(desk.run(&["list"]).stdout.lines().count() as i64, files + 1, "a line each, under a heading");

    for file in listed["files"].as_array().unwrap() {
        let bytes = match file["path_bytes"].as_str() {
            Some(bytes) => base64::Engine::decode(&base64::engine::general_purpose::STANDARD, bytes).unwrap(),
            None => file["path"].as_str().unwrap().as_bytes().to_vec(),
        };
        let on_disk = desk.library().join(OsString::from_vec(bytes));
        for command in ["show", "explain", "history", "copies"] {
            let text = desk.run(&[OsString::from(command), on_disk.clone().into()]).expect(0);
            assert!(
                !text.stdout.contains(|char: char| char.is_control() && char != '\n'),
                "{command}: {text:?}"
            );
            let object = desk
                .run(&[command.into(), on_disk.clone().into(), OsString::from("--json")])
                .expect(0)
                .json();
            let place = if command == "show" { &object["file"] } else { &object };
            assert_eq!(
                (&place["path"], &place["path_bytes"]),
                (&file["path"], &file["path_bytes"]),
                "{command}"
            );
        }
    }
}

// Paths that no program could open by name are shown all the same
#[test]
fn paths_beyond_4096_bytes_are_shown() {
    let desk = Desk::with_files(&[]);
    let name = "d".repeat(200);
    let mut open =
        rustix::fs::open(desk.library(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..25 {
        rustix::fs::mkdirat(&open, &*name, Mode::RWXU).unwrap();
        open = rustix::fs::openat(&open, &*name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    rustix::fs::openat(&open, "a.txt", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR | Mode::WUSR).unwrap();
    assert_eq!(desk.scan()["new"], 1);
    let dir = vec![name; 25].join("/");
    let path = format!("{dir}/a.txt");
    let absolute = desk.library().join(&path);
    for command in ["show", "explain", "history", "copies"] {
        for path in [path.as_str(), absolute.to_str().unwrap()] {
            assert!(desk.run(&[command, path]).expect(0).stdout.contains("a.txt"), "{command}");
            desk.run(&[command, path, "--json"]).expect(0).json();
        }
    }
    let unknown = format!("{}/none", absolute.display());
    assert_eq!(desk.json(&["explain", &unknown])["known"], false);
    let report = desk.run(&["doctor", "names", "--json"]).expect(3).json();
    let kinds: Vec<&str> = report["libraries"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["kind"].as_str().unwrap())
        .filter(|kind| kind.starts_with("path-over"))
        .collect();
    assert_eq!(kinds, ["path-over-1024", "path-over-4096"], "the topmost directory, once each");
}

// Trust 9
#[test]
fn doctor_names_finds_twins_and_names_that_other_disks_cannot_hold() {
    let desk = Desk::with_files(&[("plain.txt", "a"), ("sub/ok.txt", "b")]);
    desk.scan();
    assert_eq!(desk.run(&["doctor", "names"]).expect(0).stdout, "books: 3 names, nothing found\n");

    for name in [
        "sub/é.txt",
        "sub/e\u{301}.txt",
        "sub/OK.txt",
        "Sub/in/si:de/x",
        "what?.txt",
        "NUL.txt",
        "end.",
        "two\nlines",
    ] {
        desk.write(name, name);
    }
    fs::write(desk.library().join(OsString::from_vec(b"caf\xe9".to_vec())), "c").unwrap();
    desk.scan();
    let report = desk.run(&["doctor", "names", "books", "--json"]).expect(3).json();
    let mut found: Vec<String> = report["libraries"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| {
            assert!(finding["remedy"].as_str().unwrap().len() > 20);
            let twins =
                finding["twins"].as_array().unwrap().iter().map(|twin| twin["path"].as_str().unwrap());
            let paths: Vec<&str> = std::iter::once(finding["path"].as_str().unwrap()).chain(twins).collect();
            format!("{} {}", finding["kind"].as_str().unwrap(), paths.join(" = "))
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "case-twin Sub = sub",
            "case-twin sub/OK.txt = sub/ok.txt",
            "control-character two\nlines",
            "normalisation-twin sub/e\u{301}.txt = sub/é.txt",
            "not-utf8 caf\\xe9",
            "reserved-character Sub/in/si:de",
            "reserved-character what?.txt",
            "reserved-name NUL.txt",
            "trailing-dot-or-space end.",
        ]
    );
    let text = desk.run(&["doctor", "names"]).expect(3).stdout;
    assert!(text.contains(r"sub/e\u{301}.txt  =  sub/\u{e9}.txt"), "{text}");
    // What is missing, or left out by a rule, is on nobody's way.
    desk.remove("sub/OK.txt");
    desk.run(&["config", "set", "scan.exclude", "/Sub/"]).expect(0);
    desk.scan();
    let text = desk.run(&["doctor", "names"]).expect(3).stdout;
    assert!(!text.contains("case-twin") && !text.contains("si:de"), "{text}");
}
