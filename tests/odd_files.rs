//! Files that are no plain files, and files that do not hold still: links, FIFOs, sockets, devices, holes; files that grow,
//! are replaced and vanish while they are looked at. What is no file is never opened, and no content is catalogued that was
//! never there.

#![allow(missing_docs)]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use common::desk::{Desk, Ran};
use common::disk::run;
use common::names::naughty_names;
use common::saboteur::{Saboteur, Tick};
use common::{engine, state, wait};
use rstest::rstest;
use serde_json::{Value, json};
use shelflist::model::ProblemKind;
use shelflist::monitor::Counter;

/// A scan that meets problems.
#[track_caller]
fn troubled_scan(desk: &Desk) -> Value {
    desk.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take()
}

/// The paths of a report's problems that are of this kind.
fn problems(report: &Value, kind: &str) -> Vec<String> {
    let problems = report["problems"].as_array().unwrap();
    let mut paths: Vec<String> = problems
        .iter()
        .filter(|problem| problem["kind"] == kind)
        .map(|problem| problem["path"].as_str().unwrap().to_owned())
        .collect();
    paths.sort();
    paths
}

fn presence(desk: &Desk, path: &str) -> String {
    state::files(&desk.home())[path].0.clone()
}

fn hash(content: &[u8]) -> String {
    blake3::hash(content).to_hex().to_string()
}

fn make_fifo(path: &Path) {
    run(Command::new("mkfifo").arg(path));
}

// L11, D8: a FIFO without a writer would hang whoever opens it, a device might do anything
#[cfg(target_os = "linux")]
#[test]
fn fifos_sockets_and_devices_are_told_and_never_opened() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    let dir = desk.library().join("special");
    fs::create_dir(&dir).unwrap();
    make_fifo(&dir.join("fifo"));
    // Not even one that is called as a rule file is.
    make_fifo(&dir.join(".shelflistignore"));
    let _listener = UnixListener::bind(dir.join("socket")).unwrap();
    let mut names = vec!["special/.shelflistignore", "special/fifo", "special/socket"];
    if rustix::process::geteuid().is_root() {
        // Reading it would never end.
        run(Command::new("mknod").arg(dir.join("zero")).args(["c", "1", "5"]));
        names.push("special/zero");
    }
    let mut watch = wait::Watch::directories([dir.as_path()]);
    for args in [["scan", "--json"].as_slice(), &["scan", "--full", "--json"], &["sync", "--json"]] {
        let report = desk.run(args).expect(3).json()["libraries"][0].take();
        assert_eq!(problems(&report, "special"), names, "{args:?}");
        assert_eq!((&report["files_seen"], &report["complete"]), (&json!(1), &json!(true)), "{args:?}");
    }
    assert_eq!(watch.seen(), 0, "something in it was opened");
    assert_eq!(state::files(&desk.home()).len(), 1);

    // Whoever leaves them out is not told again.
    desk.write(".shelflistignore", "special/*\n");
    let report = desk.scan();
    assert_eq!((&report["problems"], &report["complete"]), (&json!([]), &json!(true)));
    assert_eq!(watch.seen(), 0);
}

// D1, L6: a file is not there, and yet its name is; a share shows what it cannot show as a file in the same way
#[test]
fn what_turned_into_something_that_is_never_opened_is_unknown_and_not_missing() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("dir/b.txt", "beta"), ("dir/deep/c.txt", "gamma")]);
    desk.scan();
    let before = state::of_catalogue(&desk.home());
    let aside = desk.path("aside");
    fs::create_dir(&aside).unwrap();
    for name in ["a.txt", "dir"] {
        fs::rename(desk.library().join(name), aside.join(name)).unwrap();
        make_fifo(&desk.library().join(name));
    }
    for _ in 0..3 {
        let report = troubled_scan(&desk);
        assert_eq!((&report["missing"], &report["frozen_dirs"]), (&json!(0), &json!(["dir"])), "{report:#}");
        assert_eq!(problems(&report, "special"), ["a.txt", "dir"]);
        for path in ["a.txt", "dir/b.txt", "dir/deep/c.txt"] {
            assert_eq!(presence(&desk, path), "unknown", "{path}");
        }
    }
    for name in ["a.txt", "dir"] {
        fs::remove_file(desk.library().join(name)).unwrap();
        fs::rename(aside.join(name), desk.library().join(name)).unwrap();
    }
    let report = desk.scan();
    assert_eq!((&report["restored"], &report["complete"]), (&json!(3), &json!(true)), "{report:#}");
    assert_eq!(state::of_catalogue(&desk.home()), before);
    // Gone for good, it is missing like anything else.
    desk.remove("a.txt");
    assert_eq!(desk.scan()["missing"], 1);
}

// L4: recorded, not followed
#[test]
fn links_are_recorded_and_never_followed() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("dir/b.txt", "beta")]);
    let outside = desk.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("private.txt"), "not part of the library").unwrap();
    let links = [
        ("loop", "loop"),
        ("dir/up", ".."),
        ("dir/self", "."),
        ("ping", "pong"),
        ("pong", "ping"),
        ("dangling", "nothing/there"),
        ("out", outside.to_str().unwrap()),
        ("out of it.txt", "../outside/private.txt"),
        ("to a file.txt", "a.txt"),
        ("passwd", "/etc/passwd"),
    ];
    for (name, target) in links {
        symlink(target, desk.library().join(name)).unwrap();
    }
    let report = desk.scan();
    assert_eq!((&report["new"], &report["hashed_files"]), (&json!(2 + links.len()), &json!(2)), "{report:#}");
    let files = state::files(&desk.home());
    assert_eq!(files.len(), 2 + links.len());
    for (name, target) in links {
        assert_eq!(files[name], ("present".to_owned(), "-".to_owned()), "{name}");
        let shown = desk.json(&["show", name]);
        assert_eq!(shown["file"]["link_target"], target, "{name}");
    }
    let report = desk.scan();
    assert_eq!((&report["unchanged"], &report["hashed_files"]), (&json!(2 + links.len()), &json!(0)));
    // One that points elsewhere is another link; one that became a file is read.
    fs::remove_file(desk.library().join("loop")).unwrap();
    symlink("elsewhere", desk.library().join("loop")).unwrap();
    fs::remove_file(desk.library().join("dangling")).unwrap();
    desk.write("dangling", "a file by now");
    let report = desk.scan();
    assert_eq!((&report["missing"], &report["hashed_files"]), (&json!(0), &json!(1)), "{report:#}");
    assert_eq!(desk.json(&["show", "loop"])["file"]["link_target"], "elsewhere");
    assert_eq!(state::files(&desk.home())["dangling"].1, hash(b"a file by now"));
}

// D9, L15: holes are zeroes; what is empty is nobody's copy
#[test]
fn sparse_and_empty_files_are_what_they_read_as() {
    let desk = Desk::with_files(&[("empty.txt", ""), ("dir/also empty.txt", "")]);
    let mut content = vec![0; 3 << 20];
    content[(1 << 20) + 5..][..6].copy_from_slice(b"island");
    let mut file = File::create(desk.library().join("sparse.img")).unwrap();
    file.seek(SeekFrom::Start((1 << 20) + 5)).unwrap();
    file.write_all(b"island").unwrap();
    file.set_len(content.len() as u64).unwrap();
    drop(file);
    File::create(desk.library().join("all hole.img")).unwrap().set_len(10 << 20).unwrap();
    wait::until_of_age(&desk.path("probe"));
    let report = desk.scan();
    assert_eq!(report["hashed_bytes"], (3 << 20) + (10 << 20));
    let files = state::files(&desk.home());
    assert_eq!(files["sparse.img"].1, hash(&content));
    assert_eq!(files["all hole.img"].1, hash(&vec![0; 10 << 20]));
    assert_eq!(files["empty.txt"].1, hash(b""));
    let documents: i64 = desk.sql("SELECT count(DISTINCT document_id) FROM files");
    assert_eq!(documents, 4);
    // Longer by a hole: the same bytes, and zeroes.
    content.resize(4 << 20, 0);
    File::options().write(true).open(desk.library().join("sparse.img")).unwrap().set_len(4 << 20).unwrap();
    assert_eq!(desk.scan()["modified"], 1);
    assert_eq!(state::files(&desk.home())["sparse.img"].1, hash(&content));
}

/// What somebody does to a file of two megabytes while it is read.
type Deed = fn(&Path);

fn append(path: &Path) {
    File::options().append(true).open(path).unwrap().write_all(b"and more").unwrap();
}

fn overwrite_the_beginning(path: &Path) {
    File::options().write(true).open(path).unwrap().write_all(b"another beginning").unwrap();
}

/// Size and stamp as they were.
fn overwrite_in_secret(path: &Path) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    let mut file = File::options().write(true).open(path).unwrap();
    file.write_all(b"a secret beginning").unwrap();
    file.set_modified(before).unwrap();
}

fn cut_short(path: &Path) {
    File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
}

fn replace(path: &Path) {
    let new = path.with_extension("new");
    fs::write(&new, vec![b'r'; 2 << 20]).unwrap();
    fs::rename(new, path).unwrap();
}

fn delete(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn turn_into_a_fifo(path: &Path) {
    fs::remove_file(path).unwrap();
    make_fifo(path);
}

// D9: in the middle of the reading, at several places
#[rstest]
#[case::it_grows(append)]
#[case::it_is_overwritten(overwrite_the_beginning)]
#[case::it_is_overwritten_in_secret(overwrite_in_secret)]
#[case::it_is_cut_short(cut_short)]
#[case::it_is_replaced(replace)]
#[case::it_is_deleted(delete)]
#[case::it_becomes_a_fifo(turn_into_a_fifo)]
fn a_file_that_changes_while_it_is_read_gets_no_wrong_hash(#[case] deed: Deed) {
    for moment in [1, 4, 8] {
        let desk = Desk::with_files(&[("before.txt", "alpha")]);
        let path = desk.library().join("large.bin");
        fs::write(&path, vec![b'x'; 2 << 20]).unwrap();
        wait::until_of_age(&desk.path("probe"));
        desk.scan();
        let whole = hash(&vec![b'x'; 2 << 20]);
        assert_eq!(state::files(&desk.home())["large.bin"].1, whole);
        // Old, and read anew.
        fs::write(&path, vec![b'y'; 2 << 20]).unwrap();
        wait::until_of_age(&desk.path("probe"));
        let saboteur = Saboteur::default().at(Tick::Counted(Counter::BytesHashed), moment, || deed(&path));
        let report = engine::scan(&desk, &saboteur).unwrap();
        assert_eq!((saboteur.acts_left(), report.missing), (0, 0), "{moment}: {report:?}");

        // What was read is what was there, before or after; where neither can be said, what was known stands.
        let (presence, known) = state::files(&desk.home())["large.bin"].clone();
        assert_eq!(presence, "present", "{moment}");
        let now = fs::symlink_metadata(&path)
            .ok()
            .filter(fs::Metadata::is_file)
            .map(|_| hash(&fs::read(&path).unwrap()));
        let possible = [Some(whole.clone()), now.clone(), Some(hash(&vec![b'y'; 2 << 20]))];
        assert!(possible.contains(&Some(known.clone())), "{moment}: {known} was never there");
        // The next scan has it right, whatever this one had.
        desk.run(&["scan"]);
        let (presence, known) = state::files(&desk.home())["large.bin"].clone();
        assert_eq!(presence == "present", now.is_some(), "{moment}");
        assert!(now.is_none_or(|now| now == known), "{moment}");
    }
}

// D9: a log that somebody writes all the time
#[test]
fn a_file_that_never_holds_still_is_a_problem_and_keeps_what_was_proved() {
    let desk = Desk::with_files(&[("other.txt", "beta")]);
    let path = desk.library().join("log.txt");
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    wait::until_of_age(&desk.path("probe"));
    desk.scan();
    let proved = state::files(&desk.home())["log.txt"].clone();
    append(&path);
    wait::until_of_age(&desk.path("probe"));
    let mut saboteur = Saboteur::default();
    for _ in 0..100 {
        saboteur = saboteur.at(Tick::Counted(Counter::BytesHashed), 1, || append(&path));
    }
    let report = engine::scan(&desk, &saboteur).unwrap();
    assert!(saboteur.acts_left() > 80, "it was read only some times: {}", saboteur.acts_left());
    let kinds: Vec<ProblemKind> = report.problems.iter().map(|problem| problem.kind).collect();
    assert_eq!((kinds, report.modified), (vec![ProblemKind::Unstable], 0));
    assert_eq!(state::files(&desk.home())["log.txt"], proved);
    assert_eq!(desk.json(&["show", "log.txt"])["file"]["status"], "error");
    drop(saboteur);
    let report = desk.scan();
    assert_eq!((&report["modified"], &report["problems"]), (&json!(1), &json!([])));
    assert_eq!(state::files(&desk.home())["log.txt"].1, hash(&fs::read(&path).unwrap()));
}

// D9: found out before it is opened; the walker has listed it
#[test]
fn files_that_go_between_the_listing_and_the_reading_are_nobodys_problem() {
    let desk = Desk::new();
    for n in 0..40 {
        desk.write(&format!("file-{n:02}.txt"), &format!("text {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    wait::until_of_age(&desk.path("probe"));
    let gone = AtomicU64::new(0);
    let saboteur = Saboteur::default().at(Tick::Counted(Counter::FilesSeen), 1, || {
        for n in 0..40 {
            if n % 2 == 0 && fs::remove_file(desk.library().join(format!("file-{n:02}.txt"))).is_ok() {
                gone.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let report = engine::scan(&desk, &saboteur).unwrap();
    assert_eq!(
        (report.problems.len(), report.missing, gone.load(Ordering::Relaxed)),
        (0, 0, 20),
        "{report:?}"
    );
    assert!(report.is_complete());
    for (path, (presence, known)) in state::files(&desk.home()) {
        let number: u64 = path["file-".len()..][..2].parse().unwrap();
        assert_eq!(known, hash(format!("text {number}").as_bytes()), "{path} {presence}");
    }
    desk.scan();
    let present =
        state::files(&desk.home()).into_values().filter(|(presence, _)| presence == "present").count();
    assert_eq!(present, 20);
}

/// What was printed is lines of text: nothing in it that a terminal would obey, and names are whole lines of it.
#[track_caller]
fn assert_printable(told: &Ran) {
    for text in [&told.stdout, &told.stderr] {
        let obeyed = text.chars().find(|&c| c != '\n' && (c.is_control() || "\u{202e}\u{feff}".contains(c)));
        assert_eq!(obeyed, None, "{told:?}");
    }
}

// L5, L6, S1, E1: whatever is in a name, no answer is broken by it
#[test]
fn names_that_break_programs_break_no_answer() {
    let desk = Desk::new();
    let mut names = naughty_names();
    // A disk may refuse some, or take two for one.
    names.retain(|name| fs::create_dir(desk.library().join(OsStr::from_bytes(name))).is_ok());
    assert!(names.len() > 20, "{}", names.len());
    for (at, name) in names.iter().enumerate() {
        let dir = desk.library().join(OsStr::from_bytes(name));
        fs::write(dir.join(OsStr::from_bytes(name)), format!("the word is apple, number {at}")).unwrap();
        make_fifo(&dir.join("fifo"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.add_mirror("both");
    for args in [["scan", "--dry-run"].as_slice(), &["scan", "-v"], &["sync", "-v"]] {
        assert_printable(&desk.run(args).expect(3));
    }
    assert_eq!(desk.objects().len(), 2 * names.len());
    let paths: Vec<Vec<u8>> = names.iter().map(|name| [name.as_slice(), b"/", name].concat()).collect();
    for args in [["status"].as_slice(), &["list"], &["find", "apple"], &["library", "list"]] {
        assert_printable(&desk.run(args).expect(0));
        desk.json(args);
    }
    let found = desk.json(&["find", "apple", "--limit", "1000"]);
    assert_eq!(found["total"], names.len());
    for path in &paths {
        let place = desk.library().join(OsStr::from_bytes(path));
        for question in ["show", "explain", "history", "copies"] {
            let question = OsStr::new(question);
            assert_printable(&desk.run(&[question, place.as_os_str()]).expect(0));
            desk.run(&[question, place.as_os_str(), OsStr::new("--json")]).expect(0).json();
        }
        let shown = desk.run(&[OsStr::new("show"), place.as_os_str(), OsStr::new("--json")]).expect(0).json();
        assert_eq!(shown["file"]["status"], "uploaded", "{place:?}");
        // As SQL, as a pattern and as a search it is just text.
        let name = OsStr::from_bytes(&path[path.len() / 2 + 1..]);
        let searched = desk.run(&[OsStr::new("find"), OsStr::new("--"), name]);
        assert!([0, 2].contains(&searched.code), "{searched:?}");
        assert_printable(&searched);
    }
    assert_printable(&desk.run(&["doctor", "names"]).expect(3));
    for name in &names {
        fs::remove_dir_all(desk.library().join(OsStr::from_bytes(name))).unwrap();
    }
    let told = desk.run(&["scan"]).expect(6);
    assert_printable(&told);
    let decision = desk.json(&["decisions"])["decisions"][0]["decision"].to_string();
    for args in [["decision", "show", &decision].as_slice(), &["approve", &decision]] {
        assert_printable(&desk.run(args).expect(0));
    }
    for args in [["missing"].as_slice(), &["list", "--missing"], &["orphans"]] {
        assert_printable(&desk.run(args).expect(0));
        desk.json(args);
    }
    assert_eq!(desk.json(&["missing"])["missing"].as_array().unwrap().len(), names.len());
}

const LEVELS: usize = 40;

/// A directory of so many levels, each with a name of 200 bytes; opened step by step, for no system call takes such a path.
fn deep_dir(root: &Path) -> (std::os::fd::OwnedFd, String) {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut dir = rustix::fs::open(root, flags, Mode::empty()).unwrap();
    let mut path = Vec::new();
    for level in 0..LEVELS {
        let name = format!("{level:02}-{}", "d".repeat(197));
        match rustix::fs::mkdirat(&dir, name.as_str(), Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => panic!("{error}"),
        }
        dir = rustix::fs::openat(&dir, name.as_str(), flags, Mode::empty()).unwrap();
        path.push(name);
    }
    (dir, path.join("/"))
}

fn write_in(dir: &std::os::fd::OwnedFd, name: &str, content: &str) {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
    let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o644)).unwrap();
    File::from(file).write_all(content.as_bytes()).unwrap();
}

// L4, L6, L7, L12, S1: longer than 4,096 bytes, the most that the system takes at once
#[test]
fn files_at_the_end_of_very_long_paths_are_files_like_any_other() {
    let desk = Desk::with_files(&[("a.txt", "alpha")]);
    desk.add_mirror("both");
    let (dir, path) = deep_dir(&desk.library());
    assert!(path.len() > 8000);
    write_in(&dir, "deep.txt", "the text at the bottom");
    write_in(&dir, "other.txt", "beside it");
    rustix::fs::symlinkat("deep.txt", &dir, "link").unwrap();
    write_in(&dir, ".shelflistignore", "*.tmp\n");
    write_in(&dir, "scratch.tmp", "left out");
    wait::until_of_age(&desk.path("probe"));

    let report = desk.json(&["sync"]);
    let scan = &report["libraries"][0];
    assert_eq!(
        (&scan["new"], &scan["excluded"], &scan["problems"]),
        (&json!(5), &json!(1), &json!([])),
        "{report:#}"
    );
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let deep = format!("{path}/deep.txt");
    assert_eq!(state::files(&desk.home())[&deep], ("present".to_owned(), hash(b"the text at the bottom")));
    assert_eq!(desk.json(&["find", "bottom"])["hits"][0]["path"], deep);
    assert_eq!(desk.json(&["show", &deep])["file"]["status"], "uploaded");
    assert_eq!(desk.json(&["show", &format!("{path}/link")])["file"]["link_target"], "deep.txt");
    assert!(desk.objects().values().any(|content| content == b"the text at the bottom"));
    let report = desk.scan();
    assert_eq!((&report["unchanged"], &report["hashed_files"]), (&json!(5), &json!(0)));
    assert_eq!(desk.json(&["scan", "--full"])["libraries"][0]["hashed_files"], 4);

    write_in(&dir, "deep.txt", "another text at the bottom");
    write_in(&dir, "new.txt", "a new one");
    rustix::fs::unlinkat(&dir, "other.txt", rustix::fs::AtFlags::empty()).unwrap();
    wait::until_of_age(&desk.path("probe"));
    let part = desk.json(&["scan", "--path", &path])["libraries"][0].take();
    for (count, expected) in [("modified", 1), ("new", 1), ("missing", 1), ("hashed_files", 2)] {
        assert_eq!(part[count], expected, "{count}: {part:#}");
    }
    assert_eq!(desk.scan()["unchanged"], 5);
    // A name in the middle changes: every path below is another one.
    let top = format!("00-{}", "d".repeat(197));
    fs::rename(desk.library().join(&top), desk.library().join("renamed")).unwrap();
    let report = desk.scan();
    assert_eq!(report["problems"], json!([]), "{report:#}");
    let moved = deep.replacen(&top, "renamed", 1);
    let files = state::files(&desk.home());
    assert_eq!(files[&moved], ("present".to_owned(), hash(b"another text at the bottom")));
    assert!(!files.contains_key(&deep), "the file is the one that was there");
}
