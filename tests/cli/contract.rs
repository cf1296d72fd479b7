//! The command line as a contract: the shapes of `--json`, help, and what people read.

use serde_json::Value;

use crate::desk::Desk;

/// The keys of an object, nested ones with a dot, of lists those of the first element.
fn shape(value: &Value) -> Vec<String> {
    fn walk(value: &Value, prefix: &str, keys: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                    keys.push(key.clone());
                    walk(value, &key, keys);
                }
            }
            Value::Array(array) => {
                if let Some(first) = array.first() {
                    walk(first, &format!("{prefix}[]"), keys);
                }
            }
            _ => {}
        }
    }
    let mut keys = Vec::new();
    walk(value, "", &mut keys);
    keys
}

#[track_caller]
fn has(value: &Value, wanted: &[&str]) {
    let keys = shape(value);
    let absent: Vec<&&str> = wanted.iter().filter(|key| !keys.iter().any(|have| have == **key)).collect();
    assert!(absent.is_empty(), "{absent:?} are not in {keys:?}");
}

fn desk() -> Desk {
    let desk =
        Desk::with_files(&[("notes/a.md", "# Shelf marks\n\nOf disks and drawers"), ("b.txt", "beta")]);
    std::os::unix::net::UnixListener::bind(desk.library().join("socket")).unwrap();
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(3);
    desk.write("b.txt", "beta two");
    desk.run(&["sync"]).expect(3);
    desk
}

const SCAN: &[&str] = &[
    "libraries",
    "libraries[].library",
    "libraries[].library_id",
    "libraries[].root",
    "libraries[].availability.state",
    "libraries[].availability.reason",
    "libraries[].files_seen",
    "libraries[].unchanged",
    "libraries[].new",
    "libraries[].modified",
    "libraries[].touched",
    "libraries[].moved",
    "libraries[].missing",
    "libraries[].restored",
    "libraries[].excluded",
    "libraries[].hashed_files",
    "libraries[].hashed_bytes",
    "libraries[].problems",
    "libraries[].problems[].path",
    "libraries[].problems[].kind",
    "libraries[].problems[].message",
    "libraries[].frozen_dirs",
    "libraries[].decision",
    "libraries[].complete",
    "libraries[].elapsed_ms",
];

#[test]
fn the_json_of_scan_and_sync_has_its_shape() {
    let desk = desk();
    has(&desk.run(&["scan", "--json"]).expect(3).json(), SCAN);
    let sync = desk.run(&["sync", "--json"]).expect(3).json();
    has(&sync, SCAN);
    has(
        &sync,
        &[
            "enriched",
            "uploaded_objects",
            "uploaded_bytes",
            "retired_objects",
            "pulled",
            "queued",
            "problems",
        ],
    );
}

#[test]
fn the_json_of_status_has_its_shape() {
    let desk = desk();
    let status = desk.json(&["status"]);
    has(
        &status,
        &[
            "libraries",
            "libraries[].library",
            "libraries[].library_id",
            "libraries[].root",
            "libraries[].volume_label",
            "libraries[].availability.state",
            "libraries[].availability.reason",
            "libraries[].availability.since",
            "libraries[].last_seen",
            "libraries[].last_complete_scan",
            "libraries[].files.present",
            "libraries[].files.missing",
            "libraries[].files.unknown",
            "libraries[].files.excluded",
            "libraries[].bytes",
            "libraries[].problems",
            "libraries[].stores[].store",
            "libraries[].stores[].uploaded",
            "libraries[].stores[].pending",
            "libraries[].stores[].uploading",
            "libraries[].stores[].failed",
            "libraries[].stores[].orphaned",
            "queue.pending",
            "queue.leased",
            "queue.dead",
            "queue.oldest_pending_ms",
            "queue.paused",
            "channels[].target",
            "channels[].state",
            "channels[].last_ok",
            "channels[].offline_ms",
            "decisions",
            "conflicts",
        ],
    );
    assert!(status["libraries"][0]["last_seen"].as_str().unwrap().ends_with('Z'), "UTC");
    assert_eq!(status["libraries"][0]["bytes"], 43);
}

#[test]
fn the_json_of_the_other_commands_has_its_shape() {
    let desk = desk();
    has(
        &desk.json(&["find", "drawers"]),
        &[
            "hits[].path",
            "hits[].library",
            "hits[].title",
            "hits[].snippet",
            "hits[].available",
            "hits[].last_seen",
            "hits[].stores",
            "total",
        ],
    );
    has(
        &desk.json(&["show", "b.txt"]),
        &[
            "file.path",
            "file.library",
            "file.size",
            "file.status",
            "file.presence",
            "file.content_hash",
            "document.document_id",
            "document.copies[].path",
            "annotations",
            "grade",
            "lacks",
            "commands",
            "enrichment.enrichment_version",
            "enrichment.mime",
            "remote_objects[].store",
            "remote_objects[].state",
            "remote_objects[].upload_hash",
        ],
    );
    has(
        &desk.json(&["orphans"]),
        &["orphans[].store", "orphans[].path", "orphans[].remote_id", "orphans[].orphaned_at"],
    );
    has(
        &desk.json(&["copies", "b.txt"]),
        &[
            "path",
            "library",
            "document.document_id",
            "document.content_hash",
            "copies[].path",
            "copies[].library",
            "copies[].presence",
            "copies[].available",
            "copies[].availability.since",
            "copies[].last_seen",
            "copies[].hashed_at",
            "copies[].asked_for",
            "edited_apart_from",
            "edited_apart",
        ],
    );
    has(
        &desk.json(&["history", "b.txt"]),
        &[
            "path",
            "library",
            "status",
            "events[].at",
            "events[].what",
            "events[].before",
            "events[].after",
            "events[].cause",
            "events[].store",
            "events[].status",
            "events[].of_file",
            "total",
        ],
    );
    has(
        &desk.json(&["explain", "b.txt"]),
        &[
            "known",
            "path",
            "library",
            "library_id",
            "root",
            "root_now.state",
            "root_now.reason",
            "root_now.since",
            "last_complete_scan",
            "status",
            "presence.state",
            "presence.evidence",
            "presence.since",
            "presence.missing_since",
            "last_look.last_seen",
            "last_look.size",
            "last_look.mtime",
            "last_look.young",
            "last_look.read_at",
            "last_look.read_because",
            "said_by.at",
            "said_by.root_then",
            "said_by.scan.outcome",
            "said_by.scan.started_at",
            "frozen_dir",
            "excluded_dir",
            "rule",
            "rule_files",
            "document.document_id",
            "copies[].path",
            "operations[].store",
            "operations[].state",
            "operations[].attempts",
            "operations[].error_text",
            "remote_objects[].store",
            "remote_objects[].state",
            "decisions",
            "problems",
        ],
    );
    has(
        &desk.json(&["explain", "none.txt"]),
        &[
            "known",
            "places[].path",
            "places[].library",
            "places[].why",
            "places[].directory",
            "places[].root_now.state",
        ],
    );
    has(
        &desk.json(&["doctor", "names"]),
        &["libraries[].library", "libraries[].library_id", "libraries[].names", "libraries[].findings"],
    );
    has(&desk.json(&["list"]), &["files[].path", "files[].status", "total"]);
    has(&desk.json(&["missing"]), &["missing"]);
    has(&desk.json(&["decisions"]), &["decisions"]);
    has(
        &desk.json(&["store", "list"]),
        &["stores[].store", "stores[].url", "stores[].payload", "stores[].state"],
    );
    has(&desk.json(&["library", "list"]), &["libraries[].library", "libraries[].availability.state"]);
    has(&desk.json(&["config", "list"]), &["settings[].key", "settings[].value", "settings[].updated_at"]);
}

#[test]
fn an_error_is_an_object_too() {
    let desk = Desk::new();
    let ran = desk.run(&["status", "--json"]).expect(1);
    has(&ran.json(), &["error.message", "error.hint", "error.exit_code"]);
}

#[test]
fn help_reads_well() {
    let desk = Desk::new();
    insta::assert_snapshot!(desk.run(&["--help"]).expect(0).stdout);
    for command in [
        "init",
        "scan",
        "sync",
        "status",
        "find",
        "list",
        "show",
        "edit",
        "tag",
        "note",
        "undo",
        "export",
        "import",
        "copies",
        "fetch",
        "history",
        "explain",
        "missing",
        "library",
        "store",
        "orphans",
        "doctor",
        "schedule",
        "config",
        "completions",
    ] {
        let help = desk.run(&[command, "--help"]).expect(0).stdout;
        assert!(
            help.lines().next().unwrap().ends_with(['.', ':']) || help.lines().next().unwrap().len() > 20,
            "{help}"
        );
    }
}

// R6
#[test]
fn completions_are_printed_for_every_shell() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(desk.run(&["completions", shell]).expect(0).stdout.contains("shelflist"), "{shell}");
    }
}

// R6: progress only on terminals
#[test]
fn nothing_but_the_answer_is_printed_where_there_is_no_terminal() {
    let desk = Desk::with_files(&[("a.txt", "x")]);
    let ran = desk.run(&["sync"]).expect(0);
    assert_eq!(ran.stderr, "");
    assert!(!ran.stdout.contains('\u{1b}'), "{ran:?}");
}

#[test]
fn a_session_reads_well() {
    let desk = desk();
    let mut said = String::new();
    for args in
        [&["scan"][..], &["status"], &["find", "drawers"], &["list"], &["orphans", "clean", "--dry-run"]]
    {
        let ran = desk.run(args);
        said.push_str(&format!("$ shelflist {}\n{}", args.join(" "), ran.stdout));
    }
    insta::with_settings!({ filters => vec![
        (r"/[^ \n]*/library", "/LIBRARY"),
        (r"\d\d\d\d-\d\d-\d\d \d\d:\d\d", "DATE"),
        (r"\(\d+\.\d s\)", "(TIME)"),
        (r" on [^ ,\n]+, ", " on DISK, "),
        (r"\d+ B  ", "SIZE  "),
    ]}, { insta::assert_snapshot!(said) });
}

// L13, L15
#[test]
fn the_answers_about_a_file_read_well() {
    let desk =
        Desk::with_files(&[("notes/a.md", "# Shelf marks"), ("b.txt", "beta"), ("copy/b.txt", "beta")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk.rename("notes/a.md", "notes/marks.md");
    desk.write("b.txt", "beta, apart");
    desk.run(&["sync"]).expect(0);
    desk.write("what?.txt", "x");
    desk.write("WHAT?.txt", "y");
    desk.remove("b.txt");
    desk.run(&["scan"]).expect(0);
    let mut said = String::new();
    for args in [
        &["explain", "b.txt"][..],
        &["explain", "drafts/none.txt"],
        &["history", "b.txt"],
        &["history", "notes/marks.md"],
        &["copies", "copy/b.txt"],
        &["doctor", "names"],
    ] {
        let ran = desk.run(args);
        said.push_str(&format!("$ shelflist {}\n{}", args.join(" "), ran.stdout));
    }
    insta::with_settings!({ filters => vec![
        (r"/[^ \n]*/library", "/LIBRARY"),
        (r"\d\d\d\d-\d\d-\d\d \d\d:\d\d", "DATE"),
        (r"[0-9A-Z]{26}", "ULID"),
        (r"[0-9a-f]{2}/[0-9a-f]{64}", "HASH"),
        (r"[0-9a-f]{12}…", "HASH…"),
        // A coarse clock leaves the ctime as it was, now and then.
        (r", its ctime differed", ""),
    ]}, { insta::assert_snapshot!(said) });
}

// R2, D10
#[test]
fn a_schedule_that_cannot_be_told_to_the_system_says_what_to_run() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let desk = Desk::with_files(&[("a.txt", "x")]);
    // An empty PATH: systemctl is not to be had.
    let output = desk.command(&["schedule", "install", "--every", "30m"]).env("PATH", "").output().unwrap();
    let ran = crate::desk::Ran::from(output).expect(1);
    assert!(ran.stderr.contains("systemctl --user daemon-reload"), "{ran:?}");
    let unit = desk.path("user/.config/systemd/user/shelflist-sync.service");
    assert!(std::fs::read_to_string(&unit).unwrap().contains("sync"));
    let status = desk.json(&["schedule", "status"]);
    assert_eq!((&status["installed"], &status["every_minutes"]), (&true.into(), &30.into()));
}
