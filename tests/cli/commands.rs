//! The user's own enrichers: real programs, obliging and otherwise.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use serde_json::{Value, json};

use crate::desk::{Desk, Ran};

/// Writes down all it is told, and answers by `reply(question)`, an expression of Python.
fn script(desk: &Desk, name: &str, reply: &str) -> String {
    let told = desk.path(&format!("{name}.told"));
    raw_script(
        desk,
        name,
        &format!(
            "import json, sys\nfor line in sys.stdin:\n    open({told:?}, 'a').write(line)\n    q = json.loads(line)\n    print(json.dumps({{'id': q['id'], **({reply})}}), flush=True)\n"
        ),
    )
}

fn raw_script(desk: &Desk, name: &str, source: &str) -> String {
    let path = desk.path(&format!("{name}.py"));
    std::fs::write(&path, source).unwrap();
    format!("python3 {}", path.display())
}

fn add(desk: &Desk, name: &str, line: &str) {
    desk.run(&["config", "set", &format!("enrich.command.{name}"), line]).expect(0);
}

fn set(desk: &Desk, key: &str, value: &str) {
    desk.run(&["config", "set", &format!("enrich.command.{key}"), value]).expect(0);
}

/// Everything a command was ever told.
fn told(desk: &Desk, name: &str) -> Vec<Value> {
    let told = std::fs::read_to_string(desk.path(&format!("{name}.told"))).unwrap_or_default();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn enrich(desk: &Desk, args: &[&str], code: i32) -> Value {
    desk.run(&[&["enrich"], args, &["--json"]].concat()).expect(code).json()
}

/// Asked, answered, failed, withheld.
fn share(report: &Value) -> [u64; 4] {
    ["asked", "answered", "failed", "withheld"].map(|key| report["commands"][0][key].as_u64().unwrap())
}

/// What a command said of a file: field, values, confidence.
fn said(desk: &Desk, path: &str, agent: &str) -> Vec<(String, Vec<String>, f64)> {
    let shown = desk.json(&["show", path]);
    let of = |one: &Value| {
        let values = one["values"].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned());
        (one["field"].as_str().unwrap().to_owned(), values.collect(), one["confidence"].as_f64().unwrap())
    };
    let all = shown["annotations"].as_array().unwrap();
    all.iter().filter(|one| one["source"] == "command" && one["agent"] == agent).map(of).collect()
}

fn privacy(desk: &Desk, name: &str, word: &str) {
    desk.execute(&format!(
        "INSERT OR REPLACE INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'privacy', 'person', '[\"{word}\"]', 1.0, 0 FROM files WHERE name = CAST('{name}' AS BLOB)"
    ));
}

/// Two texts, scanned and read.
fn desk() -> Desk {
    let desk = Desk::with_files(&[
        ("a.txt", "alpha text"),
        ("sub/b.md", "# Beta\n\nbeta text"),
        ("c.bin", "\u{1}\0\0"),
    ]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    desk
}

const TAGGER: &str =
    "{'fields': {'tags': ['x', 'y'], 'date': {'value': '1999', 'confidence': 0.5}}, 'confidence': 0.9}";

// E3
#[test]
fn a_command_is_told_what_is_known_and_what_it_answers_is_an_annotation_with_its_confidence() {
    let desk = desk();
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    let report = enrich(&desk, &[], 0);
    assert_eq!(share(&report), [2, 2, 0, 0]);
    assert_eq!(
        (&report["commands"][0]["stopped"], &report["waiting_for_commands"]),
        (&Value::Null, &json!(0))
    );
    let questions = told(&desk, "tagger");
    let b = questions.iter().find(|question| question["mime"] == "text/markdown").unwrap();
    assert_eq!((&b["protocol"], &b["paths"]), (&json!(1), &json!(["sub/b.md"])));
    assert_eq!((&b["fields"], &b["text_truncated"]), (&json!({ "title": ["Beta"] }), &json!(false)));
    assert!(b["text"].as_str().unwrap().contains("beta text"));
    assert_eq!(b["content_hash"], desk.json(&["show", "sub/b.md"])["file"]["content_hash"]);
    assert_eq!(
        said(&desk, "a.txt", "tagger"),
        [
            ("date".to_owned(), vec!["1999".to_owned()], 0.5),
            ("tags".to_owned(), vec!["x".to_owned(), "y".to_owned()], 0.9)
        ]
    );
    // T1, E2: it is found, and the store is told.
    assert_eq!(desk.json(&["list", "--tag", "x"])["total"], 2);
    assert_eq!(desk.json(&["find", "x"])["total"], 2);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 2);
    assert!(
        desk.objects()
            .values()
            .any(|content| String::from_utf8_lossy(content).contains("tags: [\"x\", \"y\"]"))
    );
}

// E3, L7: answers are of contents
#[test]
fn nobody_is_asked_twice_about_a_content() {
    let desk = desk();
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    desk.run(&["sync"]).expect(0);
    assert_eq!(told(&desk, "tagger").len(), 2);
    desk.rename("a.txt", "elsewhere/moved.txt");
    desk.write("copy.md", "# Beta\n\nbeta text");
    let report = desk.json(&["sync"]);
    assert_eq!((share(&report), told(&desk, "tagger").len()), ([0, 0, 0, 0], 2));
    // An edit is another content; taken back, it was asked about before.
    desk.write("elsewhere/moved.txt", "alpha, edited");
    desk.run(&["sync"]).expect(0);
    assert_eq!(told(&desk, "tagger").len(), 3);
    desk.write("elsewhere/moved.txt", "alpha text");
    desk.run(&["sync"]).expect(0);
    assert_eq!(told(&desk, "tagger").len(), 3);
    // Another version, and a person's word.
    set(&desk, "tagger.version", "2");
    desk.run(&["sync"]).expect(0);
    assert_eq!(told(&desk, "tagger").len(), 5);
    assert_eq!(share(&enrich(&desk, &["--redo", "--kind", "markdown"], 0)), [1, 1, 0, 0]);
    assert_eq!(share(&enrich(&desk, &["--redo"], 0)), [2, 2, 0, 0]);
    assert_eq!(share(&enrich(&desk, &[], 0)), [0, 0, 0, 0]);
}

// E3, D10
#[test]
fn commands_need_no_disk() {
    let desk = desk();
    std::fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    assert_eq!(share(&enrich(&desk, &[], 0)), [2, 2, 0, 0]);
}

// E3: which contents, how much of them, for how long
#[test]
fn a_command_is_asked_about_its_kinds() {
    let desk = desk();
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    set(&desk, "tagger.kinds", "markdown, application/octet-stream");
    desk.run(&["config", "set", "enrich.command_text_kb", "0"]).expect(0);
    assert_eq!(share(&enrich(&desk, &[], 0)), [2, 2, 0, 0]);
    let questions = told(&desk, "tagger");
    let of = |mime: &str| questions.iter().find(|question| question["mime"] == mime).unwrap();
    assert_eq!(
        (&of("text/markdown")["text"], &of("text/markdown")["text_truncated"]),
        (&json!(""), &json!(true))
    );
    assert_eq!(of("application/octet-stream")["text_truncated"], json!(false));
    // It is not for these any more: what it said goes.
    set(&desk, "tagger.kinds", "text/plain");
    enrich(&desk, &[], 0);
    assert_eq!(said(&desk, "sub/b.md", "tagger"), []);
    assert_eq!(said(&desk, "a.txt", "tagger").len(), 2);
}

// E3, L14
#[test]
fn commands_are_settings_that_can_be_listed_and_removed() {
    let desk = desk();
    for (key, value) in [
        ("enrich.command.tagger.timeout_ms", "5000"),
        ("enrich.command.Tagger", "python3 x.py"),
        ("enrich.command.tagger", "python3 'x"),
        ("enrich.command.tagger", "./x.py"),
    ] {
        let refused = desk.run(&["config", "set", key, value]).expect(2);
        assert!(refused.stderr.contains("hint: "), "{refused:?}");
    }
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    set(&desk, "tagger.timeout_ms", "5000");
    desk.run(&["config", "set", "enrich.command.tagger.kinds", "pfd"]).expect(2);
    let listed = desk.json(&["config", "list"]);
    let keys: Vec<&str> =
        listed["settings"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert!(keys.ends_with(&["enrich.command.tagger", "enrich.command.tagger.timeout_ms"]), "{keys:?}");
    assert_eq!(desk.json(&["config", "get", "enrich.command.tagger.timeout_ms"])["value"], "5000");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.json(&["list", "--tag", "x"])["total"], 2);
    let sent = desk.objects().len();

    desk.run(&["config", "unset", "enrich.command.tagger"]).expect(0);
    assert_eq!(
        desk.json(&["config", "get", "enrich.command.tagger.timeout_ms"])["value"],
        "60000",
        "all of it is gone"
    );
    assert_eq!(
        desk.json(&["sync"])["uploaded_objects"],
        0,
        "what was before it is there still, and current again"
    );
    assert_eq!(desk.objects().len(), sent);
    assert_eq!(
        (desk.json(&["list", "--tag", "x"])["total"].take(), desk.json(&["find", "x"])["total"].take()),
        (json!(0), json!(0))
    );
    assert_eq!(desk.json(&["sync"])["commands"], json!([]));
    // Another one of that name starts afresh.
    add(&desk, "tagger", &script(&desk, "tagger", "{'fields': {}}"));
    assert_eq!(share(&enrich(&desk, &[], 0)), [2, 2, 0, 0]);
}

// Design 7: secrets are in no catalogue, and in no output
#[test]
fn a_command_line_that_holds_a_secret_is_refused_and_never_shown() {
    let desk = desk();
    let refused = desk.run(&["config", "set", "enrich.command.tagger", "tagger --token hush-hush"]).expect(2);
    assert!(
        refused.stderr.contains("what follows --token") && refused.stderr.contains("environment"),
        "{refused:?}"
    );
    assert!(!refused.stderr.contains("hush"), "{refused:?}");
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM settings WHERE value LIKE '%hush%'"), 0);
    // Kept by an earlier version.
    desk.execute("INSERT INTO settings VALUES ('enrich.command.old', '/none/tagger --token hush-hush', 0)");
    for args in [
        &["config", "list"][..],
        &["config", "list", "--json"],
        &["config", "get", "enrich.command.old"],
        &["config", "get", "enrich.command.old", "--json"],
        &["enrich"],
        &["enrich", "--json"],
        &["-v", "show", "a.txt"],
    ] {
        let ran = desk.run(args);
        assert!(!format!("{ran:?}").contains("hush"), "{args:?}: {ran:?}");
    }
    assert_eq!(desk.run(&["config", "get", "enrich.command.old"]).expect(0).stdout, "/none/tagger ***\n");
}

// S8, T8: proved by what reached its standard input
#[test]
fn nothing_is_told_that_privacy_forbids() {
    let desk = Desk::with_files(&[
        ("open.txt", "open words"),
        ("secret.txt", "secret words"),
        ("held/back.txt", "held words"),
        ("odd.txt", "odd words"),
    ]);
    desk.scan();
    privacy(&desk, "secret.txt", "local_only");
    privacy(&desk, "back.txt", "redacted");
    privacy(&desk, "odd.txt", "for my eyes");
    desk.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'notes', 'person', '[\"private notes\"]', 1.0, 0 FROM files;
         INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'title', 'person', '[\"A Title\"]', 1.0, 0 FROM files WHERE name <> CAST('open.txt' AS BLOB)",
    );
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    let report = enrich(&desk, &[], 0);
    assert_eq!(share(&report), [2, 2, 0, 2]);
    let all = std::fs::read_to_string(desk.path("tagger.told")).unwrap();
    for word in ["secret", "held", "back", "odd", "private", "local_only", "redacted"] {
        assert!(!all.contains(word), "{word}: {all}");
    }
    let redacted = told(&desk, "tagger").into_iter().find(|question| question["text"].is_null()).unwrap();
    assert_eq!((&redacted["paths"], &redacted["fields"]), (&Value::Null, &json!({ "title": ["A Title"] })));
    assert_eq!(said(&desk, "secret.txt", "tagger"), []);

    // A person's other word is heard at the next run; without one nobody is asked.
    assert_eq!(share(&enrich(&desk, &[], 0)), [0, 0, 0, 0]);
    privacy(&desk, "back.txt", "full");
    privacy(&desk, "open.txt", "local_only");
    desk.write("open again.txt", "open words");
    desk.run(&["scan"]).expect(0);
    assert_eq!(share(&enrich(&desk, &["--redo"], 0)), [1, 1, 0, 3]);
    let last = told(&desk, "tagger").pop().unwrap();
    assert_eq!((&last["text"], &last["paths"]), (&json!("held words"), &json!(["held/back.txt"])));
}

// S8: what is sent is the content, so the strictest of its documents counts
#[test]
fn a_content_that_one_document_keeps_back_is_kept_back_for_all() {
    let desk = desk();
    twin(&desk, "local_only");
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    assert_eq!(share(&enrich(&desk, &[], 0)), [1, 1, 0, 1]);
    assert_eq!(told(&desk, "tagger")[0]["mime"], "text/markdown");
}

/// A second document of the content of `a.txt`, with a word about privacy of its own.
fn twin(desk: &Desk, word: &str) {
    desk.execute(&format!(
        "INSERT INTO documents (ulid, content_hash, size, enrich_stale, created_at, updated_at)
         SELECT '01HF7YAT00000000000000001A', content_hash, size, 0, 0, 0 FROM files WHERE name = CAST('a.txt' AS BLOB);
         INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT max(document_id), 'privacy', 'person', '[\"{word}\"]', 1.0, 0 FROM documents;"
    ));
}

// S8, E3: what one document kept back is asked about when it does not any more, be it by another word or another content
#[test]
fn a_content_that_was_kept_back_for_another_document_is_asked_about_when_that_ends() {
    let desk = desk();
    twin(&desk, "local_only");
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    enrich(&desk, &[], 0);
    assert_eq!(said(&desk, "a.txt", "tagger"), []);
    desk.execute(
        "UPDATE annotations SET value = '[\"full\"]' WHERE document_id = (SELECT max(document_id) FROM documents)",
    );
    assert_eq!(share(&enrich(&desk, &[], 0)), [1, 1, 0, 0], "one content, one question");
    assert_eq!(said(&desk, "a.txt", "tagger").len(), 2);
    assert_eq!(
        desk.sql::<i64>("SELECT count(*) FROM annotations WHERE agent = 'tagger'"),
        6,
        "and both have it"
    );

    let desk = self::desk();
    privacy(&desk, "b.md", "local_only");
    desk.execute(
        "UPDATE documents SET content_hash = (SELECT content_hash FROM files WHERE name = CAST('a.txt' AS BLOB))
         WHERE document_id = (SELECT document_id FROM files WHERE name = CAST('b.md' AS BLOB))",
    );
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    assert_eq!(share(&enrich(&desk, &[], 0)), [0, 0, 0, 1]);
    desk.write("sub/b.md", "# Beta\n\nanother text");
    desk.scan();
    assert_eq!(share(&enrich(&desk, &[], 0)), [1, 1, 0, 1]);
    assert_eq!(told(&desk, "tagger")[0]["paths"], json!(["a.txt"]));
}

// S8, E3: the word of a person who is faster than the command
#[test]
fn a_word_about_privacy_while_a_command_is_asked_is_heard() {
    let desk = desk();
    privacy(&desk, "a.txt", "redacted");
    let (program, told_to) = (env!("CARGO_BIN_EXE_shelflist"), desk.path("slow.told"));
    let path = desk.library().join("a.txt");
    let source = format!(
        "import json, subprocess, sys\nfor line in sys.stdin:\n    open({told_to:?}, 'a').write(line)\n    q = json.loads(line)\n    if q['text'] is None:\n        subprocess.run([{program:?}, 'edit', {path:?}, '--privacy', 'full'], check=True, stdout=subprocess.DEVNULL)\n    print(json.dumps({{'id': q['id'], **({TAGGER})}}), flush=True)\n"
    );
    add(&desk, "slow", &raw_script(&desk, "slow", &source));
    let report = enrich(&desk, &[], 0);
    assert_eq!((share(&report), &report["waiting_for_commands"]), ([2, 2, 0, 0], &json!(1)));
    assert_eq!(said(&desk, "a.txt", "slow").len(), 2, "what it said counts until then");
    let report = enrich(&desk, &[], 0);
    assert_eq!((share(&report), &report["waiting_for_commands"]), ([1, 1, 0, 0], &json!(0)));
    assert_eq!(told(&desk, "slow").pop().unwrap()["text"], "alpha text");
}

// E3: words about privacy put documents in line, whoever is there to be asked
#[test]
fn nothing_waits_for_commands_that_there_are_not() {
    let desk = desk();
    let waiting = || desk.sql::<i64>("SELECT count(*) FROM to_ask");
    desk.run(&["edit", "a.txt", "--privacy", "redacted"]).expect(0);
    desk.run(&["sync"]).expect(0);
    assert_eq!(waiting(), 0, "there never was one");
    add(&desk, "tagger", &script(&desk, "tagger", TAGGER));
    enrich(&desk, &[], 0);
    desk.run(&["config", "unset", "enrich.command.tagger"]).expect(0);
    enrich(&desk, &[], 0);
    desk.run(&["edit", "a.txt", "--privacy", "full"]).expect(0);
    enrich(&desk, &[], 0);
    assert_eq!(waiting(), 0, "there is none any more");
}

// E3: errors are remembered, by whose word they are
#[test]
fn an_error_is_a_problem_that_is_remembered_until_something_changes() {
    let desk = desk();
    let reply = "{'error': 'no such book'} if q['mime'] == 'text/plain' else {'fields': {'titel': 'B'}}";
    let line = script(&desk, "lookup", reply);
    add(&desk, "lookup", &line);
    let report = enrich(&desk, &[], 3);
    assert_eq!(share(&report), [2, 0, 2, 0]);
    let mut messages: Vec<&str> =
        report["problems"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["lookup: no such book", "lookup: there is no field \"titel\""]);
    assert_eq!(report["problems"][0]["kind"], "command");
    assert_eq!(desk.json(&["show", "a.txt"])["commands"][0]["problem"], "no such book");
    assert_eq!(share(&enrich(&desk, &[], 0)), [0, 0, 0, 0]);
    add(&desk, "lookup", &format!("{line} --mended"));
    assert_eq!(share(&enrich(&desk, &[], 3)), [2, 0, 2, 0], "who mended it wants to see");
}

// E3: what it cannot for now is asked again, and not a hundred times
#[test]
fn a_command_that_cannot_for_now_is_asked_by_the_next_run() {
    let files: Vec<(String, String)> = (0..9).map(|n| (format!("{n}.txt"), format!("text {n}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let desk = Desk::with_files(&files);
    desk.scan();
    add(&desk, "lookup", &script(&desk, "lookup", "{'error': 'service away', 'retry': True}"));
    let report = enrich(&desk, &[], 3);
    assert_eq!((share(&report), &report["waiting_for_commands"]), ([3, 0, 0, 0], &json!(9)));
    assert!(report["commands"][0]["stopped"].as_str().unwrap().contains("service away"));
    script(&desk, "lookup", "{'fields': {}}");
    assert_eq!(share(&enrich(&desk, &[], 0)), [9, 9, 0, 0]);
}

/// Longer than any of these takes on a busy machine: whoever waits for that was not answered.
const PATIENT_MS: u32 = 60_000;

/// A command of its own source on some texts, beside one that is well: what came of it, in how long.
fn with_rogue(source: &str, texts: usize, timeout_ms: u32) -> (Desk, Value, Duration) {
    let files: Vec<(String, String)> =
        (0..texts).map(|n| (format!("{n}.txt"), format!("text {n}"))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let desk = Desk::with_files(&files);
    desk.scan();
    add(&desk, "rogue", &raw_script(&desk, "rogue", source));
    set(&desk, "rogue.timeout_ms", &timeout_ms.to_string());
    add(&desk, "well", &script(&desk, "well", "{'fields': {'tags': 'well'}}"));
    let began = Instant::now();
    let report = desk.run(&["enrich", "--json"]).json();
    let took = began.elapsed();
    assert_eq!(report["commands"][1]["answered"], texts, "the other command is not held up: {report}");
    (desk, report, took)
}

/// Its loop over questions; the body answers with `say(q, ..)`.
const LOOP: &str = "import json, os, sys, time, signal
def say(q, **reply): print(json.dumps({'id': q['id'], **reply}), flush=True)
n = 0
for line in sys.stdin:
    q = json.loads(line)
    n += 1
";

// E3
#[test]
fn a_command_that_dies_at_every_question_is_asked_three_times_and_nothing_is_held_against_the_documents() {
    let source = format!("{LOOP}    print('no key given', file=sys.stderr)\n    sys.exit(3)\n");
    let (desk, report, _) = with_rogue(&source, 5, PATIENT_MS);
    assert_eq!(share(&report), [3, 0, 0, 0]);
    let stopped = report["commands"][0]["stopped"].as_str().unwrap();
    assert!(stopped.contains("its last words: no key given"), "{stopped}");
    assert_eq!((&report["problems"], &report["waiting_for_commands"]), (&json!([]), &json!(5)));
    let told = desk.run(&["enrich"]).expect(3);
    assert!(told.stdout.contains("no key given") && told.stdout.contains("Mend it"), "{told:?}");
    raw_script(&desk, "rogue", &format!("{LOOP}    say(q, fields={{}})\n"));
    assert_eq!(share(&enrich(&desk, &[], 0)), [5, 5, 0, 0]);
}

// E3
#[test]
fn a_document_that_kills_a_command_is_remembered_and_the_others_are_answered() {
    let source = format!(
        "{LOOP}    if 'text 2' in q['text']: os.kill(os.getpid(), signal.SIGSEGV)\n    say(q, fields={{}})\n"
    );
    let (desk, report, _) = with_rogue(&source, 5, PATIENT_MS);
    assert_eq!(share(&report), [5, 4, 1, 0], "{report}");
    assert_eq!(report["problems"][0]["path"], "2.txt");
    assert_eq!(share(&enrich(&desk, &[], 0)), [0, 0, 0, 0]);
}

// E3: time-out
#[test]
fn a_command_that_is_late_is_ended_with_all_it_started() {
    let source = format!(
        "{LOOP}    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    child = os.fork()\n    if child == 0: time.sleep(600)\n    open('PIDS', 'a').write(f'{{os.getpid()}} {{child}} ')\n    time.sleep(600)\n"
    );
    let pids = tempfile::NamedTempFile::new().unwrap();
    let source = source.replace("PIDS", pids.path().to_str().unwrap());
    let (_desk, report, took) = with_rogue(&source, 4, 5000);
    assert_eq!(share(&report), [3, 0, 0, 0]);
    assert!(report["commands"][0]["stopped"].as_str().unwrap().contains("longer than it may"), "{report}");
    assert!(took < Duration::from_secs(45), "{took:?}");
    let pids = std::fs::read_to_string(pids.path()).unwrap();
    let pids: Vec<Pid> =
        pids.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect();
    assert_eq!(pids.len(), 6);
    for pid in pids {
        assert!(is_gone(pid), "{pid:?} lives on");
    }
}

/// Whether a process is gone, or a zombie that nobody waits for any more.
fn is_gone(pid: Pid) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while Instant::now() < until {
        let state = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        let is_zombie =
            state.is_ok_and(|stat| stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'));
        if is_zombie || test_kill_process(pid).is_err() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

// E3: garbage, lines without end, answers to what was not asked
#[test]
fn what_is_no_answer_is_none() {
    for (body, why) in [
        ("    print('hello', flush=True)\n", "no JSON object"),
        (
            "    sys.stdout.write('x' * 3_000_000); sys.stdout.flush(); time.sleep(600)\n",
            "a line of more than 1048576 bytes",
        ),
        ("    print(json.dumps({'id': '99', 'fields': {}}), flush=True)\n", "what it was not asked"),
        ("    os.write(1, b'\\xff\\xfe\\0\\n')\n", "no JSON object"),
        ("    os.close(1); time.sleep(600)\n", "stopped speaking"),
        ("    print('half an answer', end='', flush=True); sys.exit()\n", "stopped speaking"),
    ] {
        let (_desk, report, took) = with_rogue(&format!("{LOOP}{body}"), 3, PATIENT_MS);
        let stopped = report["commands"][0]["stopped"].as_str().unwrap();
        assert!(stopped.contains(why), "{stopped}");
        assert!(took < Duration::from_secs(45), "{took:?}");
    }
}

// E3
#[test]
fn a_second_answer_is_passed_over_and_a_process_that_stops_listening_is_replaced() {
    let twice = format!("{LOOP}    say(q, fields={{'tags': 'once'}}); say(q, fields={{'tags': 'twice'}})\n");
    let (desk, report, _) = with_rogue(&twice, 5, PATIENT_MS);
    assert_eq!(share(&report), [5, 5, 0, 0]);
    assert_eq!(said(&desk, "4.txt", "rogue")[0].1, ["once"]);
    // Closes its input before its first answer, so that the second question finds nobody.
    let deaf = format!("{LOOP}    os.close(0); say(q, fields={{}}); time.sleep(600)\n");
    let (_desk, report, took) = with_rogue(&deaf, 4, PATIENT_MS);
    assert_eq!(share(&report), [4, 4, 0, 0], "{report}");
    assert!(took < Duration::from_secs(45), "{took:?}");
    let forks = format!(
        "{LOOP}    say(q, fields={{}})\n    if os.fork() == 0: os.setsid(); time.sleep(5)\n    os._exit(0)\n"
    );
    let (_desk, report, took) = with_rogue(&forks, 4, PATIENT_MS);
    assert_eq!(share(&report), [4, 4, 0, 0], "{report}");
    assert!(took < Duration::from_secs(45), "{took:?}");
}

// E3: nothing of the kind
#[test]
fn a_command_that_is_not_there_is_said_so_with_what_to_do() {
    let desk = desk();
    add(&desk, "tagger", "no-such-program --x");
    let ran = desk.run(&["enrich"]).expect(3);
    assert!(ran.stdout.contains("tagger: not asked any more: it could not be started: "), "{ran:?}");
    assert!(ran.stdout.contains("2 documents wait for commands"), "{ran:?}");
    // A schedule goes on with the rest.
    desk.write("new.txt", "new");
    assert_eq!(desk.run(&["sync", "--json"]).expect(3).json()["uploaded_objects"], 1);
}

/// Starts `enrich` in a process group of its own, and waits until the command says that it was asked.
fn begun(desk: &Desk, source: &str) -> (Child, String) {
    let fifo = desk.path("asked");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let source = source.replace("FIFO", fifo.to_str().unwrap());
    add(desk, "slow", &raw_script(desk, "slow", &source));
    let child = desk
        .command(&["enrich", "--json"])
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut asked = String::new();
    BufReader::new(std::fs::File::open(&fifo).unwrap()).read_line(&mut asked).unwrap();
    (child, asked)
}

const ASKED: &str = "    if n == 2:\n        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        open('FIFO', 'w').write(f'{os.getpid()}\\n')\n        time.sleep(600)\n    say(q, fields={'tags': 'answered'})\n";

// E3, T3: Ctrl-C
#[test]
fn a_command_does_not_hold_up_ctrl_c_and_what_it_answered_is_kept() {
    let desk = desk();
    let (child, pid) = begun(&desk, &format!("{LOOP}{ASKED}"));
    let began = Instant::now();
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let report = ran.expect(130).json();
    assert_eq!((&report["interrupted"], &report["waiting_for_commands"]), (&json!(true), &json!(1)));
    assert_eq!(desk.json(&["list", "--tag", "answered"])["total"], 1);
    assert!(is_gone(Pid::from_raw(pid.trim().parse().unwrap()).unwrap()));
    raw_script(&desk, "slow", &format!("{LOOP}    say(q, fields={{}})\n"));
    assert_eq!(share(&enrich(&desk, &[], 0)), [1, 1, 0, 0], "the next run goes on");
}

// T3: kill -9
#[test]
fn what_was_answered_before_a_kill_is_kept() {
    let desk = desk();
    // The second question comes when the first answer was heard; it is committed a moment later.
    let (mut child, _) = begun(&desk, &format!("{LOOP}{ASKED}"));
    let until = Instant::now() + Duration::from_secs(20);
    while desk.sql::<i64>("SELECT count(*) FROM command_answers") == 0 && Instant::now() < until {
        std::thread::yield_now();
    }
    kill_process_group(Pid::from_child(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    raw_script(&desk, "slow", &format!("{LOOP}    say(q, fields={{}})\n"));
    assert_eq!(share(&enrich(&desk, &[], 0)), [1, 1, 0, 0], "the next run goes on");
}

// E3: what the documentation shows works as it stands there
#[test]
fn the_example_in_the_documentation_runs() {
    let desk = desk();
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scripting.md")).unwrap();
    let source = docs.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    assert!(source.lines().count() <= 14, "it is short");
    add(&desk, "years", &raw_script(&desk, "years", source));
    desk.write("y.txt", "printed 1987 in Leiden");
    let report = desk.json(&["sync"]);
    assert_eq!(share(&report), [3, 3, 0, 0]);
    assert_eq!(said(&desk, "y.txt", "years"), [("date".to_owned(), vec!["1987".to_owned()], 0.4)]);
    assert_eq!(said(&desk, "a.txt", "years"), []);
}
