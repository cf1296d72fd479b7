//! The real binary reads every fixture in its real worker process. E1, E2.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use shelflist::enrich::{ChildError, Extraction, ExtractorProcess, Limits, Outcome};
use shelflist::model::{Field, ProblemKind};

const MIB: u64 = 1024 * 1024;

fn usual_limits() -> Limits {
    Limits { timeout: Duration::from_secs(60), memory_bytes: 1024 * MIB, text_bytes: 16 * MIB }
}

fn process(limits: Limits) -> ExtractorProcess {
    ExtractorProcess::new(PathBuf::from(env!("CARGO_BIN_EXE_shelflist")), limits)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn never() -> bool {
    false
}

fn extract(process: &mut ExtractorProcess, path: &Path) -> Outcome {
    process.extract(path, &never).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn extracted(process: &mut ExtractorProcess, path: &Path) -> Extraction {
    match extract(process, path) {
        Outcome::Extracted(extraction) => extraction,
        other => panic!("{}: {other:?}", path.display()),
    }
}

fn failure(outcome: &Outcome) -> (ProblemKind, &str) {
    match outcome {
        Outcome::Failed { kind, message, .. } => (*kind, message),
        other => panic!("no failure: {other:?}"),
    }
}

/// What fixtures/make.py says that it put in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    mime: String,
    outcome: String,
    title: Option<String>,
    authors: Vec<String>,
    words: Vec<String>,
    absent: Vec<String>,
    language: Option<String>,
    date: Option<String>,
    publisher: Option<String>,
    subjects: Option<Vec<String>>,
    description: Option<String>,
    part_of: Option<String>,
    format: Option<String>,
    extent: Option<String>,
    place: Option<String>,
    /// Part of it is missing; what is there is read.
    #[serde(default)]
    truncated: bool,
}

fn expectations() -> BTreeMap<String, BTreeMap<String, Expected>> {
    let json = std::fs::read(fixture("expected.json")).expect("fixtures/expected.json is there");
    serde_json::from_slice(&json).expect("it is what make.py writes")
}

/// Whatever differs from the expectation, in words.
fn differences(expected: &Expected, outcome: &Outcome) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |what: &str, found: &dyn std::fmt::Debug, wanted: &dyn std::fmt::Debug| {
        let (found, wanted) = (format!("{found:?}"), format!("{wanted:?}"));
        if found != wanted {
            wrong.push(format!("{what}: {found}, not {wanted}"));
        }
    };
    match outcome {
        Outcome::Unsupported { mime } => {
            check("outcome", &"unsupported", &expected.outcome);
            check("mime", mime, &expected.mime);
        }
        Outcome::Failed { mime, extractor, kind, message } => {
            check("an extractor is named", &extractor.is_some(), &true);
            check("outcome", &kind.as_str(), &expected.outcome);
            check("mime", &mime.as_ref(), &Some(&expected.mime));
            check("message is empty", &message.is_empty(), &false);
        }
        Outcome::Extracted(extraction) => {
            check("outcome", &"extracted", &expected.outcome);
            check("mime", &extraction.mime, &expected.mime);
            let fields: BTreeMap<Field, &Vec<String>> =
                extraction.fields.iter().map(|(field, values)| (*field, values)).collect();
            let one = |field| fields.get(&field).and_then(|values| values.first());
            check("title", &one(Field::Title), &expected.title.as_ref());
            let none = Vec::new();
            check("authors", fields.get(&Field::Author).unwrap_or(&&none), &expected.authors);
            for (field, wanted) in [
                (Field::Language, &expected.language),
                (Field::Date, &expected.date),
                (Field::Publisher, &expected.publisher),
                (Field::Description, &expected.description),
                (Field::PartOf, &expected.part_of),
                (Field::Format, &expected.format),
                (Field::Extent, &expected.extent),
                (Field::Place, &expected.place),
            ] {
                if wanted.is_some() {
                    check(field.as_str(), &one(field), &wanted.as_ref());
                }
            }
            if let Some(subjects) = &expected.subjects {
                check("subjects", fields.get(&Field::Subject).unwrap_or(&&none), subjects);
            }
            check("truncated", &extraction.truncated, &expected.truncated);
            let mut rest = extraction.text.as_str();
            for word in &expected.words {
                match rest.find(word.as_str()) {
                    Some(at) => rest = &rest[at + word.len()..],
                    None => wrong.push(format!("{word:?} is not in {rest:?}")),
                }
            }
            for word in expected.absent.iter().filter(|word| extraction.text.contains(word.as_str())) {
                wrong.push(format!("{word:?} is in the text"));
            }
            if extraction.text.chars().any(|char| char.is_control() && char != '\n' && char != '\t') {
                wrong.push("control characters are left".to_owned());
            }
        }
    }
    wrong
}

fn files_below(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("fixtures can be listed") {
        let path = entry.expect("fixtures can be listed").path();
        // The marker that README's first command leaves there.
        if path.ends_with(".shelflist") {
            continue;
        }
        if path.is_dir() { files_below(&path, into) } else { into.push(path) }
    }
}

// E1
#[test]
fn every_fixture_gives_what_was_put_in() {
    let mut process = process(usual_limits());
    let mut wrong = Vec::new();
    for (shelf, expected) in expectations() {
        let folder = fixture(&shelf);
        for (name, expected) in &expected {
            let outcome = extract(&mut process, &folder.join(name));
            wrong
                .extend(differences(expected, &outcome).iter().map(|what| format!("{shelf}/{name}: {what}")));
        }
        let mut there = Vec::new();
        files_below(&folder, &mut there);
        assert_eq!(there.len(), expected.len(), "{shelf} holds what expected.json lists, and nothing else");
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

// E1: a reader that panics is contained, but what it panics at is damage; what it can read without that is read
#[test]
fn what_damaged_documents_found_is_damage_at_worst() {
    let mut files = Vec::new();
    files_below(&fixture("found"), &mut files);
    assert!(!files.is_empty());
    let mut process = process(usual_limits());
    for path in files {
        let outcome = extract(&mut process, &path);
        if !matches!(outcome, Outcome::Extracted(_)) {
            assert_eq!(failure(&outcome).0, ProblemKind::Damaged, "{}: {outcome:?}", path.display());
        }
    }
}

// E2
#[test]
fn the_same_content_gives_the_same_extraction_whatever_its_name() {
    let mut process = process(usual_limits());
    let one = extract(&mut process, &fixture("library/books/the-drawer-of-disks.epub"));
    let other = extract(&mut process, &fixture("library/books/lent out/the drawer of disks (copy).epub"));
    assert_eq!(one, other);
}

// E1
#[test]
fn a_file_over_the_deadline_is_timed_out_and_the_next_one_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("long.html");
    std::fs::write(&path, "<p>a</p>".repeat(8_000_000)).expect("written");
    let limits = Limits { timeout: Duration::from_millis(700), text_bytes: 64 * MIB, ..usual_limits() };
    let mut slow = process(limits);
    let started = Instant::now();
    let outcome = extract(&mut slow, &path);
    assert_eq!(failure(&outcome).0, ProblemKind::TimedOut, "{outcome:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!extracted(&mut slow, &fixture("library/notes/README.md")).text.is_empty());
}

// E1
#[test]
fn a_file_over_the_memory_limit_is_too_large_and_the_next_one_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("latin.txt");
    // The input fits, what becomes of it does not.
    std::fs::write(&path, b"caf\xe9 ".repeat(10_000_000)).expect("written");
    let limits = Limits { memory_bytes: 16 * MIB, text_bytes: 64 * MIB, ..usual_limits() };
    let mut small = process(limits);
    assert!(!extracted(&mut small, &fixture("library/notes/README.md")).text.is_empty());
    let outcome = extract(&mut small, &path);
    let (kind, message) = failure(&outcome);
    assert_eq!(kind, ProblemKind::TooLarge, "{outcome:?}");
    assert!(message.contains("memory"), "the worker ran into its limit: {message}");
    assert!(!extracted(&mut small, &fixture("library/notes/README.md")).text.is_empty());
}

/// An EPUB of one chapter.
fn book_of(path: &Path, chapter: &[u8]) {
    use std::io::Write;
    let mut book = zip::ZipWriter::new(std::fs::File::create(path).expect("created"));
    let package = r#"<package><manifest><item id="c" href="c.xhtml"/></manifest><spine><itemref idref="c"/></spine></package>"#;
    let container = r#"<container><rootfiles><rootfile full-path="p.opf"/></rootfiles></container>"#;
    for (name, content) in [
        ("mimetype", &b"application/epub+zip"[..]),
        ("META-INF/container.xml", container.as_bytes()),
        ("p.opf", package.as_bytes()),
        ("c.xhtml", chapter),
    ] {
        book.start_file(name, zip::write::SimpleFileOptions::default()).expect("begun");
        book.write_all(content).expect("written");
    }
    book.finish().expect("finished");
}

// E1: what is wrong with a page is not kept, however much it is
#[test]
fn a_page_with_millions_of_errors_needs_no_more_memory_than_a_good_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("nuls.epub");
    let mut process = process(Limits { memory_bytes: 96 * MIB, ..usual_limits() });
    for chapter in [
        [b"<p>before</p>".to_vec(), vec![0; 4 << 20], b"<p>after</p>".to_vec()].concat(),
        [b"<p>before</p><p ".to_vec(), b"a ".repeat(2 << 20), b">after</p>".to_vec()].concat(),
        [b"<p>before</p>".to_vec(), vec![b'\x01'; 4 << 20], b"<p>after</p>".to_vec()].concat(),
    ] {
        book_of(&path, &chapter);
        let extraction = extracted(&mut process, &path);
        assert_eq!(extraction.text.split_whitespace().collect::<Vec<_>>(), ["before", "after"]);
    }
}

// E1
#[test]
fn text_over_the_limit_is_cut_and_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("long.txt");
    std::fs::write(&path, "é".repeat(400_000)).expect("written");
    let mut process = process(Limits { text_bytes: 1001, ..usual_limits() });
    let extraction = extracted(&mut process, &path);
    assert_eq!((extraction.text.len(), extraction.truncated), (1000, true));
    std::fs::write(&path, "é".repeat(500)).expect("written");
    let extraction = extracted(&mut process, &path);
    assert_eq!((extraction.text.len(), extraction.truncated), (1000, false));
    // Little text comes of what is read, but not all was read.
    std::fs::write(&path, format!("begin{}end", "\u{8}".repeat(400_000))).expect("written");
    let extraction = extracted(&mut process, &path);
    assert_eq!((extraction.text.as_str(), extraction.truncated), ("begin", true));
}

// E1
#[test]
fn a_text_larger_than_the_memory_is_cut_not_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log.txt");
    let file = std::fs::File::create(&path).expect("created");
    std::io::Write::write_all(&mut &file, "line\n".repeat(900_000).as_bytes()).expect("written");
    file.set_len(4 << 30).expect("a sparse file of 4 GiB");
    let limits = Limits { memory_bytes: 64 * MIB, text_bytes: MIB, ..usual_limits() };
    let extraction = extracted(&mut process(limits), &path);
    assert!(extraction.truncated);
    assert_eq!(extraction.text.len() as u64, MIB);
}

#[test]
fn a_name_that_is_not_utf8_and_has_a_line_break_in_it_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(OsStr::from_bytes(b"caf\xe9\n{\"x\":1}.md"));
    std::fs::write(&path, "# Heading\n").expect("written");
    let extraction = extracted(&mut process(usual_limits()), &path);
    assert_eq!(extraction.fields, [(Field::Title, vec!["Heading".to_owned()])]);
}

// D1
#[test]
fn what_cannot_be_read_is_unreadable_and_never_damaged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = process(usual_limits());
    let gone = process.extract(&folder.path().join("gone.pdf"), &never);
    assert!(
        matches!(&gone, Err(ChildError::Unreadable { source, .. }) if source.kind() == std::io::ErrorKind::NotFound),
        "{gone:?}"
    );
    // Linux answers EIO to a read at address 0 of a process, which is a regular file to everybody who asks.
    #[cfg(target_os = "linux")]
    {
        let broken = process.extract(Path::new("/proc/self/mem"), &never);
        assert!(
            matches!(&broken, Err(ChildError::Unreadable { source, .. }) if source.raw_os_error() == Some(5)),
            "{broken:?}"
        );
    }
    // The superuser may read everything; there is nothing to see then.
    if !rustix::process::geteuid().is_root() {
        let locked = folder.path().join("locked.txt");
        std::fs::write(&locked, "x").expect("written");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("locked");
        let denied = process.extract(&locked, &never);
        let kind = std::io::ErrorKind::PermissionDenied;
        assert!(
            matches!(&denied, Err(ChildError::Unreadable { source, .. }) if source.kind() == kind),
            "{denied:?}"
        );
    }
    // The worker is none the worse for it.
    assert!(!extracted(&mut process, &fixture("library/notes/README.md")).text.is_empty());
}

#[test]
fn what_is_no_regular_file_is_not_opened() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = process(usual_limits());
    let link = folder.path().join("link.md");
    std::os::unix::fs::symlink(fixture("library/notes/README.md"), &link).expect("linked");
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
    assert!(made.success());
    let socket = folder.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    for path in [&link, &fifo, &socket, &folder.path().to_owned()] {
        let outcome = process.extract(path, &never);
        assert!(matches!(&outcome, Err(ChildError::NotRegular { .. })), "{}: {outcome:?}", path.display());
    }
}

#[test]
fn a_cancelled_extraction_ends_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut hanging = actor(folder.path(), &format!("{PARSING}; read -r forever"));
    let asked = std::cell::Cell::new(0);
    let cancelled = || asked.replace(asked.get() + 1) > 1;
    let outcome = hanging.extract(Path::new("/x"), &cancelled);
    assert!(matches!(outcome, Err(ChildError::Cancelled)), "{outcome:?}");
}

/// A worker that gets ready and then, for each request, does what the shell script says.
fn actor(folder: &Path, script: &str) -> ExtractorProcess {
    actor_within(Duration::from_secs(60), folder, script)
}

fn actor_within(timeout: Duration, folder: &Path, script: &str) -> ExtractorProcess {
    let program = folder.join("actor.sh");
    if !program.exists() {
        let played = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/actor.sh");
        std::os::unix::fs::symlink(played, &program).expect("linked");
    }
    std::fs::write(folder.join("script"), script).expect("written");
    ExtractorProcess::new(program, Limits { timeout, ..usual_limits() })
}

const PARSING: &str = r#"echo '{"Parsing":{"mime":"application/x-hard","extractor":"hard"}}'"#;

// E1
#[test]
fn a_crash_while_parsing_is_the_contents_and_names_its_type() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut crashing =
        actor(folder.path(), &format!("{PARSING}; echo 'overflowed its stack' >&2; kill -SEGV $$"));
    let outcome = extract(&mut crashing, Path::new("/x"));
    let Outcome::Failed { mime, extractor, kind, message } = outcome else { panic!("{outcome:?}") };
    assert_eq!((mime.as_deref(), kind), (Some("application/x-hard"), ProblemKind::Crashed));
    assert_eq!(extractor.as_deref(), Some("hard"));
    assert!(message.contains("overflowed its stack"), "{message}");
}

// E1
#[test]
fn an_aborted_allocation_is_too_large() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = format!("{PARSING}; echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$");
    let outcome = extract(&mut actor(folder.path(), &script), Path::new("/x"));
    assert_eq!(failure(&outcome).0, ProblemKind::TooLarge, "{outcome:?}");
}

#[test]
fn a_worker_that_somebody_shot_says_nothing_about_the_content() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, number) in [("KILL", 9), ("TERM", 15)] {
        let outcome =
            actor(folder.path(), &format!("{PARSING}; kill -{name} $$")).extract(Path::new("/x"), &never);
        assert!(matches!(outcome, Err(ChildError::Killed { signal }) if signal == number), "{outcome:?}");
    }
}

#[test]
fn a_read_that_hangs_is_the_disks_and_a_parse_that_hangs_the_contents() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let soon = Duration::from_millis(500);
    let reading = actor_within(soon, folder.path(), "read -r forever").extract(Path::new("/x"), &never);
    let kind = std::io::ErrorKind::TimedOut;
    assert!(
        matches!(&reading, Err(ChildError::Unreadable { source, .. }) if source.kind() == kind),
        "{reading:?}"
    );
    let forever = format!("{PARSING}; read -r forever");
    let parsing = extract(&mut actor_within(soon, folder.path(), &forever), Path::new("/x"));
    assert_eq!(failure(&parsing).0, ProblemKind::TimedOut, "{parsing:?}");
}

// D1
#[test]
fn in_the_middle_of_a_parse_a_read_that_hangs_or_fails_is_still_the_disks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let soon = Duration::from_millis(500);
    let further = format!("{PARSING}; echo '\"Reading\"'");
    let hanging = actor_within(soon, folder.path(), &format!("{further}; read -r forever"));
    let dying = actor(folder.path(), "");
    for (mut process, end, kind) in [
        (hanging, "read -r forever", std::io::ErrorKind::TimedOut),
        (dying, "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$", std::io::ErrorKind::Other),
    ] {
        std::fs::write(folder.path().join("script"), format!("{further}; {end}")).expect("written");
        let outcome = process.extract(Path::new("/x"), &never);
        assert!(
            matches!(&outcome, Err(ChildError::Unreadable { source, .. }) if source.kind() == kind),
            "{outcome:?}"
        );
    }
}

// D1: it says so before its parser can die of it
#[test]
fn a_worker_that_dies_of_a_failed_read_says_nothing_about_the_content() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for death in [
        "echo 'overflowed its stack' >&2; kill -SEGV $$",
        "echo 'memory allocation of 9 bytes failed' >&2; kill -ABRT $$",
    ] {
        let outcome =
            actor(folder.path(), &format!("echo '\"ReadFailed\"'; {death}")).extract(Path::new("/x"), &never);
        assert!(matches!(&outcome, Err(ChildError::Unreadable { .. })), "{outcome:?}");
        // Without a failed read it is the content's, also before its type is known.
        let outcome = extract(&mut actor(folder.path(), death), Path::new("/x"));
        assert!(matches!(outcome, Outcome::Failed { mime: None, .. }), "{outcome:?}");
    }
}

// E1
#[test]
fn a_parser_that_asks_the_disk_again_and_again_is_timed_out_all_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let forever = format!("while :; do {PARSING}; echo '\"Reading\"'; done");
    let outcome =
        extract(&mut actor_within(Duration::from_millis(300), folder.path(), &forever), Path::new("/x"));
    assert_eq!(failure(&outcome).0, ProblemKind::TimedOut, "{outcome:?}");
}

#[test]
fn a_used_worker_that_dies_is_replaced_and_asked_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Answers its first file and dies of its second.
    let answer = r#"[ -n "$used" ] && kill -SEGV $$; used=1; echo '{"Done":{"Unsupported":{"mime":"x"}}}'"#;
    let mut process = actor(folder.path(), answer);
    for _ in 0..3 {
        let outcome = extract(&mut process, Path::new("/x"));
        assert_eq!(outcome, Outcome::Unsupported { mime: "x".to_owned() });
    }
}

// Secrets in the environment are not its business, no disk is kept busy, and Ctrl-C in the terminal does not reach it.
#[cfg(target_os = "linux")]
#[test]
fn a_worker_has_no_environment_no_place_and_a_group_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let answer = r#"read -r pid comm state parent group rest < /proc/$$/stat
        echo '{"Done":{"Unsupported":{"mime":"'$(pwd)' '$CARGO_MANIFEST_DIR' '$((group == pid))'"}}}'"#;
    let outcome = extract(&mut actor(folder.path(), answer), Path::new("/x"));
    assert_eq!(outcome, Outcome::Unsupported { mime: "/  1".to_owned() });
}

#[test]
fn an_answer_without_end_is_too_large() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut process = actor(folder.path(), &format!("{PARSING}; exec cat /dev/zero"));
    let outcome = extract(&mut process, Path::new("/x"));
    assert_eq!(failure(&outcome).0, ProblemKind::TooLarge, "{outcome:?}");
}

#[test]
fn a_program_that_is_no_extractor_is_an_error_not_an_outcome() {
    let absent = ExtractorProcess::new(PathBuf::from("/nonexistent/shelflist"), usual_limits())
        .extract(Path::new("/x"), &never);
    assert!(matches!(absent, Err(ChildError::Start { .. })), "{absent:?}");
    let wrong =
        ExtractorProcess::new(PathBuf::from("/bin/false"), usual_limits()).extract(Path::new("/x"), &never);
    assert!(matches!(wrong, Err(ChildError::NotReady { .. })), "{wrong:?}");
}

#[test]
fn the_worker_ends_when_its_parent_does() {
    use std::io::{BufRead, Write};
    use std::process::{Command, Stdio};

    let mut worker = Command::new(env!("CARGO_BIN_EXE_shelflist"))
        .arg("__extract")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the worker starts");
    let mut requests = worker.stdin.take().expect("piped");
    let mut replies = std::io::BufReader::new(worker.stdout.take().expect("piped"));
    writeln!(requests, r#"{{"memory_bytes":1073741824,"text_bytes":1048576}}"#).expect("sent");
    let mut ready = String::new();
    replies.read_line(&mut ready).expect("answered");
    assert_eq!(ready, "\"Ready\"\n");
    // It is deep in a file when its parent goes away.
    let path = fixture("damaged/flate-bomb.pdf");
    let path =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, path.as_os_str().as_bytes());
    writeln!(requests, r#"{{"path":"{path}"}}"#).expect("sent");
    let mut line = String::new();
    while !line.contains("Parsing") {
        line.clear();
        assert_ne!(replies.read_line(&mut line).expect("answered"), 0);
    }
    drop(requests);
    let mut rest = String::new();
    replies.read_line(&mut rest).expect("read to the end");
    assert_eq!(rest, "", "it ended without finishing");
    assert!(worker.wait().expect("waited for").success());
}
