//! Contents brought back: from another library, from a store, from the catalogue's text.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::desk::{Desk, names_in};

/// `books` with three files, `backup` with copies of two of them, and a directory to fetch to. Scanned.
fn desk() -> Desk {
    let desk = Desk::with_files(&[
        ("novels/drawer.txt", "The drawer of disks"),
        ("dust.md", "# Dust\n\nas a primary source"),
        ("only.bin", "\u{1}\u{2}\0\0 in no other place"),
    ]);
    let backup = desk.path("backup");
    fs::create_dir_all(backup.join("old")).unwrap();
    fs::copy(desk.library().join("novels/drawer.txt"), backup.join("old/drawer (copy).txt")).unwrap();
    fs::copy(desk.library().join("dust.md"), backup.join("dust.md")).unwrap();
    desk.run(&["init", backup.to_str().unwrap(), "--name", "backup"]).expect(0);
    desk.run(&["scan"]).expect(0);
    fs::create_dir(desk.path("out")).unwrap();
    desk
}

/// The library's disk goes into the drawer.
fn unplug(desk: &Desk, name: &str) {
    fs::rename(desk.path(name), desk.path(&format!("{name} (unplugged)"))).unwrap();
}

// S11
#[test]
fn a_file_of_a_disk_that_is_away_comes_from_another_disk_with_the_same_content() {
    let desk = desk();
    let wanted = fs::metadata(desk.library().join("novels/drawer.txt")).unwrap().modified().unwrap();
    unplug(&desk, "library");
    let ran = desk.run(&["fetch", "novels/drawer.txt", "--to", "out", "--json"]).expect(0);
    let file = ran.file();
    let hash = blake3::hash(b"The drawer of disks").to_hex().to_string();
    assert_eq!(
        (&file["outcome"], &file["bytes"], &file["hash"], &file["path"], &file["library"]),
        (&json!("delivered"), &json!(19), &json!(hash), &json!("novels/drawer.txt"), &json!("books"))
    );
    assert_eq!(
        file["source"],
        json!({ "kind": "library", "library": "backup", "path": "old/drawer (copy).txt" })
    );
    let target = desk.path("out/drawer.txt");
    assert_eq!(fs::read_to_string(&target).unwrap(), "The drawer of disks");
    // Under the name and with the time that was asked for, not those of the copy.
    assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), wanted);
    assert_eq!(names_in(&desk.path("out")), ["drawer.txt"]);
}

// S11
#[test]
fn its_own_place_comes_first_and_a_store_comes_after_the_disks() {
    let desk = desk();
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    let kind = |desk: &Desk, to: &str| {
        fs::create_dir(desk.path(to)).unwrap();
        // By its whole name: the other library has one of that name, too.
        let path = desk.library().join("dust.md");
        desk.run(&["fetch", path.to_str().unwrap(), "--to", to, "--json"]).expect(0).file()["source"].take()
    };
    assert_eq!(kind(&desk, "1")["library"], "books");
    unplug(&desk, "library");
    assert_eq!(kind(&desk, "2")["library"], "backup");
    unplug(&desk, "backup");
    let from = kind(&desk, "3");
    assert_eq!((&from["kind"], &from["store"]), (&json!("store"), &json!("mirror")));
    for to in ["1", "2", "3"] {
        assert_eq!(
            fs::read_to_string(desk.path(to).join("dust.md")).unwrap(),
            "# Dust\n\nas a primary source"
        );
    }
}

// S11, L6
#[test]
fn a_missing_file_is_fetched_by_the_path_it_had_also_from_an_object_that_waits_for_the_clean_up() {
    let desk = desk();
    desk.add_mirror("both");
    desk.run(&["sync"]).expect(0);
    desk.remove("only.bin");
    desk.run(&["config", "set", "missing.grace_days", "0"]).expect(0);
    desk.run(&["config", "set", "missing.grace_scans", "1"]).expect(0);
    desk.run(&["sync"]).expect(0);
    let orphaned: i64 =
        desk.sql("SELECT count(*) FROM remote_objects WHERE state = 'orphaned' AND payload = 'original'");
    assert_eq!(orphaned, 1);
    desk.run(&["fetch", "only.bin", "--to", "out"]).expect(0);
    assert_eq!(fs::read(desk.path("out/only.bin")).unwrap(), b"\x01\x02\0\0 in no other place");
}

// S11: never over an existing different file
#[test]
fn what_is_there_already_is_left_alone() {
    let desk = desk();
    let args = ["fetch", "dust.md", "--to", "out", "--json"];
    desk.run(&args).expect(0);
    // The same again: nothing is read from anywhere.
    unplug(&desk, "library");
    unplug(&desk, "backup");
    assert_eq!(desk.run(&args).expect(0).file()["outcome"], "already_there");
    // Another, of another length and of the same.
    for other in ["mine", "# Dust\n\nas a primary sourcE"] {
        fs::write(desk.path("out/dust.md"), other).unwrap();
        let ran = desk.run(&args).expect(1);
        assert_eq!(ran.file()["outcome"], "occupied", "{ran:?}");
        assert!(ran.file()["message"].as_str().unwrap().contains("out/dust.md"), "{ran:?}");
        assert_eq!(fs::read_to_string(desk.path("out/dust.md")).unwrap(), other);
    }
    // A link, wherever it leads, and a directory.
    fs::remove_file(desk.path("out/dust.md")).unwrap();
    fs::write(desk.path("elsewhere"), "# Dust\n\nas a primary source").unwrap();
    for to in [desk.path("elsewhere"), desk.path("nowhere")] {
        std::os::unix::fs::symlink(to, desk.path("out/dust.md")).unwrap();
        assert_eq!(desk.run(&args).expect(1).file()["outcome"], "occupied");
        fs::remove_file(desk.path("out/dust.md")).unwrap();
    }
    fs::create_dir(desk.path("out/dust.md")).unwrap();
    assert_eq!(desk.run(&args).expect(1).file()["outcome"], "occupied");
    assert!(!desk.path("nowhere").exists());
    assert_eq!(names_in(&desk.path("out")), ["dust.md"]);
}

/// Gives a catalogued file another name, as no scan does.
fn rename_in_catalogue(desk: &Desk, from: &str, to: &[u8]) {
    let conn = rusqlite::Connection::open(desk.home().join("catalog.db")).unwrap();
    let changed = conn
        .execute("UPDATE files SET name = ?2 WHERE name = ?1", rusqlite::params![from.as_bytes(), to])
        .unwrap();
    assert_eq!(changed, 1);
}

fn move_in_catalogue(desk: &Desk, from: &str, to: &[u8]) {
    let conn = rusqlite::Connection::open(desk.home().join("catalog.db")).unwrap();
    let changed = conn
        .execute("UPDATE dirs SET path = ?2 WHERE path = ?1", rusqlite::params![from.as_bytes(), to])
        .unwrap();
    assert_eq!(changed, 1);
}

/// Fetches all that is catalogued under the number, whatever its path: as the command does once it knows the file.
fn fetch_card(desk: &Desk, name: &[u8], tree: bool) -> String {
    use shelflist::catalog::{Catalog, query};
    use shelflist::clock::{Clock, SystemClock};
    use shelflist::fetch::{self, Ended, Options, What};
    use shelflist::monitor::Unwatched;

    let catalog = Catalog::open(&desk.home().join("catalog.db"), SystemClock.now()).unwrap();
    let cards = query::list(catalog.read(), &query::Filter::default()).unwrap();
    let card =
        cards.into_iter().find(|card| card.path.split().is_some_and(|(_, last)| last == name)).unwrap();
    let options = Options { to: desk.path("out"), tree, what: What::Content, only: None };
    let mut told = String::new();
    fetch::fetch(&catalog, &[card], &options, &SystemClock, &Unwatched, &mut |_, fetched| {
        told = match fetched.ended {
            Ended::Failed(failed) => failed.to_string(),
            ended => format!("{ended:?}"),
        };
    })
    .unwrap();
    told
}

// S11: never outside the target
#[test]
fn no_name_in_the_catalogue_leads_out_of_the_target() {
    for name in [&b".."[..], b"."] {
        let desk = desk();
        rename_in_catalogue(&desk, "only.bin", name);
        for tree in [false, true] {
            let told = fetch_card(&desk, name, tree);
            assert!(told.contains("cannot be the name of a file"), "{told}");
        }
        assert!(names_in(&desk.path("out")).is_empty());
    }
    for dir in [&b"../escaped"[..], b"a/../../escaped", b"/tmp/../escaped", b"a\0b"] {
        let desk = desk();
        move_in_catalogue(&desk, "novels", dir);
        let told = fetch_card(&desk, b"drawer.txt", true);
        assert!(told.contains("cannot be the name of a file") || told.contains("Delivered"), "{told}");
        assert!(!desk.path("escaped").exists() && !Path::new("/escaped").exists(), "{told}");
        assert!(
            names_in(&desk.path("out")).iter().all(|name| ["a", "tmp"].contains(&name.as_str())),
            "{told}"
        );
        assert!(!told.contains("Delivered"), "{told}");
    }
}

// S11: never outside the target
#[test]
fn no_link_below_the_target_is_followed() {
    let desk = desk();
    fs::create_dir(desk.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(desk.path("elsewhere"), desk.path("out/novels")).unwrap();
    let ran = desk.run(&["fetch", "novels/drawer.txt", "--tree", "--to", "out"]).expect(1);
    assert!(ran.stderr.contains("out/novels is in the way"), "{ran:?}");
    assert!(ran.stderr.contains("hint: "), "{ran:?}");
    assert!(names_in(&desk.path("elsewhere")).is_empty());
    // The one that a person named is his own word.
    std::os::unix::fs::symlink(desk.path("elsewhere"), desk.path("way")).unwrap();
    desk.run(&["fetch", "novels/drawer.txt", "--tree", "--to", "way"]).expect(0);
    assert!(desk.path("elsewhere/novels/drawer.txt").exists());
}

// S11
#[test]
fn files_of_one_name_are_kept_apart_by_their_directories() {
    let desk = Desk::with_files(&[("1/notes.txt", "first"), ("2/notes.txt", "second"), ("top.txt", "third")]);
    desk.run(&["scan"]).expect(0);
    fs::create_dir(desk.path("out")).unwrap();
    let ran = desk.run(&["fetch", "1/notes.txt", "2/notes.txt", "--to", "out"]).expect(3);
    assert!(ran.stderr.contains("another file") && ran.stderr.contains("--tree"), "{ran:?}");
    assert!(ran.stdout.ends_with("1 of 2 files are there\n"), "{ran:?}");
    assert_eq!(fs::read_to_string(desk.path("out/notes.txt")).unwrap(), "first");
    desk.run(&["fetch", "1/notes.txt", "2/notes.txt", "top.txt", "--to", "out", "--tree"]).expect(0);
    assert_eq!(fs::read_to_string(desk.path("out/2/notes.txt")).unwrap(), "second");
    assert_eq!(names_in(&desk.path("out")), ["1", "2", "notes.txt", "top.txt"]);
}

// D8
#[test]
fn nothing_is_fetched_into_a_library_or_a_store() {
    let desk = desk();
    desk.add_mirror("original");
    fs::create_dir(desk.path("mirror/mine")).unwrap();
    let refused = |to: PathBuf, what: &str| {
        let ran = desk.run(&["fetch", "dust.md", "--to", to.to_str().unwrap()]).expect(1);
        assert!(ran.stderr.contains(what) && ran.stderr.contains("hint: "), "{ran:?}");
    };
    refused(desk.library(), "lies in the library");
    refused(desk.library().join("novels"), "lies in the library");
    refused(desk.path("mirror/mine"), "lies in the store");
    // Through a link, and by another catalogue, which knows them by what they hold alone.
    std::os::unix::fs::symlink(desk.library().join("novels"), desk.path("way")).unwrap();
    refused(desk.path("way"), "lies in the library");
    let other = Desk::with_files(&[("x.txt", "x")]);
    other.run(&["scan"]).expect(0);
    for (to, what) in [(desk.library().join("novels"), "library"), (desk.path("mirror/mine"), "store")] {
        let ran = other.run(&["fetch", "x.txt", "--to", to.to_str().unwrap()]).expect(1);
        assert!(ran.stderr.contains(&format!("lies in the {what}")), "{ran:?}");
    }
    assert_eq!(names_in(&desk.library().join("novels")), ["drawer.txt"]);
    // Nor by way of directories that are kept: the place of a library, whether it is there or not.
    move_in_catalogue(&desk, "novels", b"library/novels");
    let told = fetch_card_to(&desk, b"drawer.txt");
    assert!(told.contains("lies in the library"), "{told}");
    assert_eq!(names_in(&desk.library().join("novels")), ["drawer.txt"]);
}

fn fetch_card_to(desk: &Desk, name: &[u8]) -> String {
    // The desk itself as the target: the library lies below it.
    fs::remove_dir(desk.path("out")).unwrap();
    std::os::unix::fs::symlink(desk.path(""), desk.path("out")).unwrap();
    fetch_card(desk, name, true)
}

#[test]
fn a_directory_that_is_not_there_is_not_made() {
    let desk = desk();
    let ran = desk.run(&["fetch", "dust.md", "--to", "absent/dir"]).expect(1);
    assert!(ran.stderr.contains("does not exist") && ran.stderr.contains("mkdir"), "{ran:?}");
    assert!(!desk.path("absent").exists());
    let ran = desk.run(&["fetch", "dust.md", "--to", "library/dust.md"]).expect(1);
    assert!(ran.stderr.contains("is not a directory"), "{ran:?}");
}

// S11, D9: the hash decides, whatever the stat says
#[test]
fn a_source_that_was_changed_or_has_rotted_is_passed_over_for_the_next() {
    let desk = desk();
    let place = desk.library().join("dust.md");
    let before = fs::metadata(&place).unwrap().modified().unwrap();
    let good = "# Dust\n\nas a primary source";
    let cases = [
        ("another length", false, "changed"),
        ("# Dust\n\nas a primary sourcE", false, "changed"),
        ("# Dust\n\nas a primary sourcE", true, "rotten"),
    ];
    for (at, (content, same_time, reason)) in cases.into_iter().enumerate() {
        fs::write(&place, content).unwrap();
        if same_time {
            fs::File::options().write(true).open(&place).unwrap().set_modified(before).unwrap();
        }
        let to = format!("to-{at}");
        fs::create_dir(desk.path(&to)).unwrap();
        let file = desk.run(&["fetch", place.to_str().unwrap(), "--to", &to, "--json"]).expect(0).file();
        assert_eq!((&file["outcome"], &file["source"]["library"]), (&json!("delivered"), &json!("backup")));
        assert_eq!(
            (&file["passed"][0]["library"], &file["passed"][0]["reason"]),
            (&json!("books"), &json!(reason))
        );
        assert_eq!(fs::read_to_string(desk.path(&to).join("dust.md")).unwrap(), good);
        // For people, too.
        fs::remove_file(desk.path(&to).join("dust.md")).unwrap();
        let ran = desk.run(&["fetch", place.to_str().unwrap(), "--to", &to]).expect(0);
        assert!(ran.stdout.contains("dust.md: not from books: dust.md: "), "{ran:?}");
    }
    // Where nobody else has it, nothing is delivered and nothing is left behind.
    let ran = desk.run(&["fetch", "dust.md", "--from", "books", "--to", "out", "--json"]).expect(1);
    assert_eq!(
        (&ran.file()["outcome"], &ran.file()["passed"][0]["reason"]),
        (&json!("no_source"), &json!("rotten"))
    );
    assert!(names_in(&desk.path("out")).is_empty());
}

// S11
#[test]
fn an_object_that_is_damaged_or_lost_is_not_delivered() {
    let desk = desk();
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    unplug(&desk, "library");
    unplug(&desk, "backup");
    let args = ["fetch", "dust.md", "--from", "mirror", "--to", "out", "--json"];
    let name = desk.objects().into_iter().find(|(_, content)| content.starts_with(b"# Dust")).unwrap().0;
    fs::write(desk.mirror().join(&name), "# Dust\n\nas a primary sourcE").unwrap();
    assert_eq!(desk.run(&args).expect(1).file()["passed"][0]["reason"], "damaged");
    fs::write(desk.mirror().join(&name), "# Dust\n\nand more and more and more and more").unwrap();
    assert_eq!(desk.run(&args).expect(1).file()["passed"][0]["reason"], "damaged");
    fs::remove_file(desk.mirror().join(&name)).unwrap();
    assert_eq!(desk.run(&args).expect(1).file()["passed"][0]["reason"], "lost");
    assert!(names_in(&desk.path("out")).is_empty());
}

// S11, L3: what to plug in
#[test]
fn what_is_away_is_named_and_its_text_is_offered() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    unplug(&desk, "library");
    unplug(&desk, "backup");
    let ran = desk.run(&["fetch", "dust.md", "--to", "out"]).expect(7);
    for said in
        ["what has its content is away", "books: dust.md", "backup: dust.md", "last seen", "expected at"]
    {
        assert!(ran.stderr.contains(said), "{said}: {ran:?}");
    }
    assert!(ran.stderr.contains("shelflist fetch --text dust.md"), "{ran:?}");
    let file = desk.run(&["fetch", "dust.md", "--to", "out", "--json"]).expect(7).file();
    assert_eq!((&file["outcome"], &file["passed"][1]["reason"]), (&json!("away"), &json!("away")));
    assert!(names_in(&desk.path("out")).is_empty());
    // Of two, one is at hand: done, with problems.
    fs::rename(desk.path("backup (unplugged)"), desk.path("backup")).unwrap();
    desk.run(&["fetch", "dust.md", "only.bin", "--to", "out"]).expect(3);
    assert_eq!(names_in(&desk.path("out")), ["dust.md"]);
}

// S11
#[test]
fn a_store_that_is_away_is_another_end_than_a_disk_that_is() {
    let desk = desk();
    desk.add_mirror("original");
    desk.run(&["sync"]).expect(0);
    unplug(&desk, "mirror");
    desk.remove("only.bin");
    desk.run(&["scan"]).expect(0);
    let ran = desk.run(&["fetch", "only.bin", "--to", "out"]).expect(5);
    assert!(
        ran.stderr.contains("store mirror") && ran.stderr.contains("its directory is not there"),
        "{ran:?}"
    );
    // Another store in its place is not asked.
    let other = Desk::with_files(&[]);
    let url = format!("dir:{}", desk.mirror().display());
    other.run(&["store", "add", &url]).expect(0);
    let ran = desk.run(&["fetch", "only.bin", "--to", "out"]).expect(5);
    assert!(ran.stderr.contains("another store is at this place"), "{ran:?}");
}

// S11, T8: privacy is about what leaves
#[test]
fn text_is_fetched_with_everything_away() {
    let desk = desk();
    desk.run(&["sync"]).expect(0);
    unplug(&desk, "library");
    unplug(&desk, "backup");
    desk.execute("INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'privacy', 'person', '[\"local_only\"]', 1.0, 0 FROM documents");
    let file = desk.run(&["fetch", "--text", "dust.md", "--to", "out", "--json"]).expect(0).file();
    let text = fs::read_to_string(desk.path("out/dust.md.txt")).unwrap();
    assert!(text.contains("as a primary source"));
    let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
    assert_eq!((&file["source"]["kind"], &file["hash"]), (&json!("text"), &json!(hash)));
    assert_eq!(
        desk.run(&["fetch", "--text", "dust.md", "--to", "out", "--json"]).expect(0).file()["outcome"],
        "already_there"
    );
    // To a pipe.
    let ran = desk.run(&["fetch", "--text", "dust.md", "--to", "-"]).expect(0);
    assert_eq!(ran.stdout, text);
    // Where there is none.
    let ran = desk.run(&["fetch", "--text", "only.bin", "--to", "out"]).expect(1);
    assert!(ran.stderr.contains("there is no text of it: none is read out of"), "{ran:?}");
    assert_eq!(names_in(&desk.path("out")), ["dust.md.txt"]);
}

#[test]
fn what_cannot_be_meant_is_said_before_anything_is_done() {
    let desk = desk();
    desk.run(&["fetch", "dust.md", "--to", "-"]).expect(2);
    desk.run(&["fetch", "--text", "dust.md", "only.bin", "--to", "-"]).expect(2);
    desk.run(&["fetch", "--text", "dust.md", "--to", "-", "--json"]).expect(2);
    desk.run(&["fetch", "dust.md", "--from", "nobody", "--to", "out"]).expect(2);
    desk.run(&["fetch"]).expect(2);
    let ran = desk.run(&["fetch", "no such file", "dust.md", "--to", "out", "--json"]).expect(3);
    assert_eq!(ran.json()["files"][0]["outcome"], "unknown");
    assert_eq!(names_in(&desk.path("out")), ["dust.md"]);
}

// S11: what comes under a name is what was meant by it
#[test]
fn a_path_that_means_two_files_is_asked_about() {
    let desk = desk();
    desk.run(&["fetch", "dust.md", "--to", "out"]).expect(0);
    fs::write(desk.path("backup/dust.md"), "another dust").unwrap();
    desk.run(&["scan"]).expect(0);
    let ran = desk.run(&["fetch", "dust.md", "--to", "out"]).expect(2);
    assert!(ran.stderr.contains("dust.md is one file in backup and another in books"), "{ran:?}");
    desk.run(&["fetch", "dust.md", "only.bin", "--to", "out"]).expect(3);
    // Its whole path says it, also with the disk away.
    unplug(&desk, "backup");
    let whole = desk.library().join("dust.md");
    fs::create_dir(desk.path("2")).unwrap();
    desk.run(&["fetch", whole.to_str().unwrap(), "--to", "2"]).expect(0);
    assert_eq!(fs::read_to_string(desk.path("2/dust.md")).unwrap(), "# Dust\n\nas a primary source");
    desk.run(&["fetch", desk.path("backup/dust.md").to_str().unwrap(), "--to", "2"]).expect(1);
}

#[test]
fn a_link_and_a_file_that_was_never_read_have_nothing_to_be_held_against() {
    let desk = desk();
    std::os::unix::fs::symlink("dust.md", desk.library().join("link")).unwrap();
    desk.run(&["scan"]).expect(0);
    let file = desk.run(&["fetch", "link", "--to", "out", "--json"]).expect(1).file();
    assert_eq!(file["outcome"], "link");
    desk.execute("UPDATE files SET content_hash = NULL WHERE name = x'6F6E6C792E62696E'");
    let file = desk.run(&["fetch", "only.bin", "--to", "out", "--json"]).expect(1).file();
    assert_eq!((&file["outcome"], &file["hash"]), (&json!("unproved"), &Value::Null));
}

#[test]
fn names_of_any_bytes_are_fetched_as_they_are() {
    let desk = Desk::with_files(&[]);
    let names: Vec<&[u8]> = vec![b"caf\xe9.txt", b"new\nline.txt", b"-rf", b" ", b"..."];
    for name in &names {
        fs::write(desk.library().join(std::ffi::OsStr::from_bytes(name)), name).unwrap();
    }
    desk.run(&["scan"]).expect(0);
    fs::create_dir(desk.path("out")).unwrap();
    for name in names {
        let path = desk.library().join(std::ffi::OsStr::from_bytes(name));
        let args = [std::ffi::OsStr::new("fetch"), "--to".as_ref(), "out".as_ref(), path.as_os_str()];
        desk.run(&args).expect(0);
        let target = desk.path("out").join(std::ffi::OsStr::from_bytes(name));
        assert_eq!(fs::read(target).unwrap(), name);
    }
}

// C3: it neither waits for a run nor is waited for
#[test]
fn fetching_needs_no_lock_and_changes_nothing_in_the_catalogue() {
    let desk = desk();
    let lock = fs::File::create(desk.home().join("run.lock")).unwrap();
    lock.lock().unwrap();
    let before: i64 = desk.sql("PRAGMA data_version");
    let conn = rusqlite::Connection::open(desk.home().join("catalog.db")).unwrap();
    let version = || conn.query_row("PRAGMA data_version", [], |row| row.get::<_, i64>(0)).unwrap();
    let watched = version();
    desk.run(&["fetch", "dust.md", "--to", "out"]).expect(0);
    assert_eq!((version(), before), (watched, before), "nobody wrote");
}
