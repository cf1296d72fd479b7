//! Files that are somewhere else than they were: renamed, swapped, aside, in another library; and what only looks so.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::review::Plain;

const COUNTS: [&str; 5] = ["new", "modified", "moved", "missing", "restored"];

/// Scans; a dry run before has to foresee what is counted.
#[track_caller]
fn scan(desk: &Desk) -> Value {
    let counts = |report: &Value| COUNTS.map(|key| report[key].as_u64().unwrap());
    let foreseen = desk.json(&["scan", "--dry-run"])["libraries"][0].take();
    let report = desk.scan();
    assert_eq!(counts(&foreseen), counts(&report), "{COUNTS:?}, foreseen and found: {foreseen} {report}");
    report
}

/// Scans, and holds the report's counts against the expected ones; those not named are 0.
#[track_caller]
fn expect(desk: &Desk, expected: &[(&str, u64)]) -> Value {
    let report = scan(desk);
    for key in COUNTS {
        let count = expected.iter().find(|(name, _)| *name == key).map_or(0, |(_, count)| *count);
        assert_eq!(report[key], count, "{key} in {report}");
    }
    report
}

/// Somebody says a title of a file's document.
fn entitle(desk: &Desk, path: &str, title: &str) {
    let ulid = document(desk, path);
    desk.execute(&format!(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'title', 'person', '[\"{title}\"]', 1.0, 0 FROM documents WHERE ulid = '{ulid}'"
    ));
}

#[track_caller]
fn shown(desk: &Desk, path: &str) -> Value {
    desk.json(&["show", desk.library().join(path).to_str().unwrap()])
}

#[track_caller]
fn title(desk: &Desk, path: &str) -> Option<String> {
    shown(desk, path)["annotations"][0]["values"][0].as_str().map(str::to_owned)
}

#[track_caller]
fn document(desk: &Desk, path: &str) -> String {
    shown(desk, path)["document"]["document_id"].as_str().unwrap().to_owned()
}

fn documents(desk: &Desk) -> i64 {
    desk.sql("SELECT count(*) FROM documents")
}

/// Documents that no file belongs to: works that were overwritten, and nothing else.
fn copyless(desk: &Desk) -> i64 {
    let copyless = desk.sql("SELECT count(*) FROM documents WHERE copyless_since IS NOT NULL");
    let counted: i64 = desk.sql(
        "SELECT count(*) FROM documents d WHERE NOT EXISTS (SELECT 1 FROM files f WHERE f.document_id = d.document_id)",
    );
    assert_eq!(copyless, counted);
    copyless
}

// L7
#[test]
fn a_renamed_file_keeps_its_document() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("sub/b.txt", "beta")]);
    desk.scan();
    entitle(&desk, "a.txt", "Alpha");
    for (from, to) in [("a.txt", "z.txt"), ("z.txt", "sub/deep/z.txt"), ("sub/deep/z.txt", "a.txt")] {
        desk.rename(from, to);
        expect(&desk, &[("moved", 1)]);
        assert_eq!(title(&desk, to).as_deref(), Some("Alpha"));
    }
    assert_eq!(documents(&desk), 2);
    assert_eq!(desk.scan()["unchanged"], 2);
}

// L7
#[test]
fn ten_thousand_files_of_a_renamed_directory_are_not_read_again() {
    let desk = Desk::new();
    for dir in 0..100 {
        for file in 0..100 {
            desk.write(&format!("shelf/row {dir}/book {file}.txt"), &format!("{dir} {file}"));
        }
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    let before = documents(&desk);
    entitle(&desk, "shelf/row 7/book 3.txt", "The third book");
    // And back, and to a third place: it was known at two by then.
    for (from, to) in [("shelf", "attic/shelf"), ("attic/shelf", "shelf"), ("shelf", "cellar/shelf")] {
        desk.rename(from, to);
        let report = expect(&desk, &[("moved", 10_000)]);
        assert_eq!((&report["hashed_files"], &report["decision"]), (&json!(0), &json!(null)));
        assert_eq!(title(&desk, &format!("{to}/row 7/book 3.txt")).as_deref(), Some("The third book"));
    }
    assert_eq!(documents(&desk), before);
    assert_eq!(desk.scan()["unchanged"], 10_000);
}

// L7
#[test]
fn directories_renamed_inside_each_other_are_followed() {
    let desk = Desk::with_files(&[("a/b/c/x", "x"), ("a/b/y", "y"), ("a/z", "z")]);
    desk.scan();
    for (from, to) in [("a/b/c", "free"), ("a/b", "other/b2"), ("a", "a2")] {
        desk.rename(from, to);
    }
    let report = expect(&desk, &[("moved", 3)]);
    assert_eq!(report["hashed_files"], 0);
    assert_eq!(desk.scan()["unchanged"], 3);
}

// L7
#[test]
fn directories_that_were_swapped_are_not_read_again() {
    let desk = Desk::new();
    for n in 0..40 {
        desk.write(&format!("left/{n}"), &format!("left {n}"));
        desk.write(&format!("right/{n}"), &format!("right {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    entitle(&desk, "left/7", "Left");
    desk.rename("left", "aside");
    desk.rename("right", "left");
    desk.rename("aside", "right");
    let report = expect(&desk, &[("moved", 80)]);
    assert_eq!((&report["hashed_files"], &report["decision"]), (&json!(0), &json!(null)));
    assert_eq!(title(&desk, "right/7").as_deref(), Some("Left"));
    assert_eq!(title(&desk, "left/7"), None);
}

// L4, D9: what was too young to be proved at its old place is not believed at its new one
#[test]
fn a_file_that_was_edited_in_a_renamed_directory_is_read() {
    let desk = Desk::with_files(&[("a/x", "before"), ("a/y", "y")]);
    desk.scan();
    desk.write("a/x", "after!");
    desk.rename("a", "b");
    let report = expect(&desk, &[("missing", 1), ("moved", 1), ("new", 1)]);
    assert_eq!(report["hashed_files"], 1);
    desk.execute("UPDATE files SET young = 1");
    desk.rename("b", "c");
    assert_eq!(expect(&desk, &[("moved", 2)])["hashed_files"], 2);
    desk.rename("c", "d");
    let full = desk.json(&["scan", "--full"])["libraries"][0].take();
    assert_eq!(full["hashed_files"], 2, "--full reads everything");
}

// L7: documents follow the content, whichever place is read first
#[test]
fn two_files_that_were_swapped_keep_their_documents() {
    let desk = Desk::with_files(&[("a", "alpha"), ("b", "beta")]);
    desk.scan();
    entitle(&desk, "a", "Alpha");
    entitle(&desk, "b", "Beta");
    desk.rename("a", "t");
    desk.rename("b", "a");
    desk.rename("t", "b");
    expect(&desk, &[("moved", 2)]);
    assert_eq!([title(&desk, "a"), title(&desk, "b")], [Some("Beta".into()), Some("Alpha".into())]);
    assert_eq!((documents(&desk), copyless(&desk)), (2, 0));
    assert_eq!(desk.scan()["unchanged"], 2);
}

// D6, L7: every name has another content now, and nothing was changed
#[test]
fn files_renamed_by_a_pattern_are_no_mass_change() {
    let desk = Desk::new();
    for n in 0..200 {
        desk.write(&format!("{n:03}"), &format!("file {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    entitle(&desk, "017", "Seventeen");
    for n in (0..200).rev() {
        desk.rename(&format!("{n:03}"), &format!("{:03}", n + 1));
    }
    expect(&desk, &[("moved", 200)]);
    assert_eq!(title(&desk, "018").as_deref(), Some("Seventeen"));
    // In a ring.
    desk.rename("200", "t");
    for n in (1..200).rev() {
        desk.rename(&format!("{n:03}"), &format!("{:03}", n + 1));
    }
    desk.rename("t", "001");
    expect(&desk, &[("moved", 200)]);
    assert_eq!(title(&desk, "019").as_deref(), Some("Seventeen"));
    assert_eq!((documents(&desk), copyless(&desk)), (200, 0));
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM files"), 200);
}

// D6: what was there is nowhere
#[test]
fn files_that_others_were_moved_over_are_a_mass_change() {
    let desk = Desk::new();
    for n in 0..40 {
        desk.write(&format!("old/{n}"), &format!("old {n}"));
        desk.write(&format!("new/{n}"), &format!("new {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    for n in 0..40 {
        desk.rename(&format!("new/{n}"), &format!("old/{n}"));
    }
    let report = desk.run(&["scan", "--json"]).expect(6).json()["libraries"][0].take();
    assert_eq!(
        ["moved", "modified", "missing", "new"].map(|key| report[key].as_u64().unwrap()),
        [40, 40, 0, 0]
    );
    assert_eq!(copyless(&desk), 40);
}

// D6, L7: no content tells empty files apart, their inode numbers do
#[test]
fn empty_files_and_links_keep_their_documents() {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("flags/{n}"), "");
        std::os::unix::fs::symlink(format!("../{n}"), desk.library().join(format!("flags/to-{n}"))).unwrap();
    }
    desk.write("book", "book");
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.scan();
    entitle(&desk, "flags/7", "Flag");
    desk.rename("flags", "banners");
    assert_eq!(expect(&desk, &[("moved", 60)])["decision"], json!(null));
    assert_eq!(title(&desk, "banners/7").as_deref(), Some("Flag"));
    // One by one, to other names, they are read.
    for n in 0..30 {
        desk.rename(&format!("banners/{n}"), &format!("pennants/{}", 29 - n));
    }
    assert_eq!(expect(&desk, &[("moved", 30)])["hashed_files"], 30);
    assert_eq!(title(&desk, "pennants/22").as_deref(), Some("Flag"));
    assert_eq!(desk.json(&["show", "banners/to-3"])["file"]["link_target"], "../3");
    assert_eq!((documents(&desk), copyless(&desk)), (31, 0), "none is left over");
    let waiting: i64 =
        desk.sql("SELECT count(*) FROM outbox WHERE document_id NOT IN (SELECT document_id FROM files)");
    assert_eq!(waiting, 0);
    assert_eq!(desk.scan()["unchanged"], 61);
}

// L7: two empty files that were swapped, and one that was moved away and replaced
#[test]
fn the_document_of_an_empty_file_follows_it() {
    for other in ["0-first", "z-last"] {
        let desk = Desk::with_files(&[("m", ""), ("n", ""), ("o", "")]);
        desk.scan();
        for name in ["m", "n", "o"] {
            entitle(&desk, name, name);
        }
        desk.rename("m", "t");
        desk.rename("n", "m");
        desk.rename("t", "n");
        desk.rename("o", other);
        desk.write("o", "not empty");
        // Nothing in a swap of two empty files shows but the numbers, and their content is the same.
        expect(&desk, &[("moved", 1), ("new", 1)]);
        assert_eq!(title(&desk, other).as_deref(), Some("o"), "{other}");
        assert_ne!(document(&desk, other), document(&desk, "o"));
        assert_eq!((documents(&desk), copyless(&desk)), (4, 0));
    }
}

// D6, L7
#[test]
fn files_that_cannot_be_read_any_more_are_found_where_they_were_moved() {
    let files: Vec<(String, String)> = (0..30).map(|n| (format!("f{n}"), format!("file {n}"))).collect();
    let files: Vec<(&str, &str)> =
        files.iter().map(|(path, content)| (path.as_str(), content.as_str())).collect();
    let plain = Plain::with_files(&files);
    plain.run(&["scan"]).expect(0);
    entitle(&plain.0, "f7", "Seven");
    for n in 0..30 {
        plain.0.rename(&format!("f{n}"), &format!("g{n}"));
        plain.forbid(&format!("g{n}"));
    }
    let report = plain.run(&["scan", "--json"]).expect(3).json()["libraries"][0].take();
    assert_eq!(
        (&report["moved"], &report["missing"], &report["decision"]),
        (&json!(30), &json!(0), &json!(null))
    );
    assert_eq!(title(&plain.0, "g7").as_deref(), Some("Seven"));
    for n in 0..30 {
        plain.allow(&format!("g{n}"));
    }
    let report = plain.run(&["scan", "--json"]).expect(0).json()["libraries"][0].take();
    assert_eq!(
        (&report["touched"], &report["modified"]),
        (&json!(30), &json!(0)),
        "and read once that can be done"
    );
    assert_eq!(documents(&plain.0), 30);
}

// L7: the other way round, what was never read takes what was read of it along
#[test]
fn a_file_that_could_never_be_read_is_known_by_its_number() {
    let plain = Plain::with_files(&[("closed", "content"), ("x", "x")]);
    plain.forbid("closed");
    plain.run(&["scan"]).expect(3);
    let number: i64 = plain.0.sql("SELECT file_id FROM files WHERE content_hash IS NULL");
    plain.0.rename("closed", "open");
    plain.allow("open");
    let report = plain.run(&["scan", "--json"]).expect(0).json()["libraries"][0].take();
    assert_eq!((&report["moved"], &report["new"], &report["missing"]), (&json!(1), &json!(0), &json!(0)));
    assert_eq!(plain.0.sql::<i64>("SELECT file_id FROM files WHERE name = CAST('open' AS BLOB) AND content_hash IS NOT NULL AND document_id IS NOT NULL AND hashed_at IS NOT NULL"), number);
}

// L7, L15: one order of reading says the same as the other
#[test]
fn a_file_that_was_moved_aside_keeps_its_document_and_the_new_one_has_its_curation() {
    for aside in ["a-before", "z-after", "sub/elsewhere"] {
        let desk = Desk::with_files(&[("m", "the work"), ("other", "other")]);
        desk.scan();
        entitle(&desk, "m", "The work");
        let before = document(&desk, "m");
        desk.rename("m", aside);
        desk.write("m", "another one in its place");
        expect(&desk, &[("moved", 1), ("new", 1)]);
        assert_eq!(document(&desk, aside), before, "{aside}");
        assert_ne!(document(&desk, "m"), before);
        for path in ["m", aside] {
            assert_eq!(title(&desk, path).as_deref(), Some("The work"), "{path} of {aside}");
        }
        assert_eq!((documents(&desk), copyless(&desk)), (3, 0));
        assert_eq!(desk.scan()["unchanged"], 3);
    }
}

// L7, L15: as above, and another file was overwritten with the same work
#[test]
fn a_document_that_was_moved_aside_is_not_taken_for_a_new_one() {
    for (aside, copy) in
        [("a-aside", "b-copy"), ("b-aside", "a-copy"), ("y-aside", "z-copy"), ("z-aside", "a-copy")]
    {
        let desk = Desk::with_files(&[("m", "the work"), (copy, "something else")]);
        desk.scan();
        let before = document(&desk, "m");
        desk.rename("m", aside);
        desk.write("m", "another one in its place");
        desk.remove(copy);
        desk.write(copy, "the work");
        scan(&desk);
        assert_eq!(
            [document(&desk, aside), document(&desk, copy)],
            [before.clone(), before.clone()],
            "{aside}"
        );
        assert_ne!(document(&desk, "m"), before);
        assert_eq!((documents(&desk), copyless(&desk)), (3, 1));
    }
}

// L15: as above, where the work was copied and then edited
#[test]
fn a_copy_made_before_an_edit_keeps_the_document() {
    for copy in ["a-before", "z-after"] {
        let desk = Desk::with_files(&[("m", "the work")]);
        desk.scan();
        entitle(&desk, "m", "The work");
        let before = document(&desk, "m");
        fs::copy(desk.library().join("m"), desk.library().join(copy)).unwrap();
        desk.write("m", "the work, revised");
        expect(&desk, &[("modified", 1), ("new", 1)]);
        assert_eq!(document(&desk, copy), before, "{copy}");
        assert_eq!(title(&desk, "m").as_deref(), Some("The work"));
        assert_ne!(document(&desk, "m"), before);
        assert_eq!((documents(&desk), copyless(&desk)), (2, 0));
    }
}

// L15: as above, where the work was edited and then copied
#[test]
fn a_copy_made_after_an_edit_joins_the_document() {
    for copy in ["a-before", "z-after"] {
        let desk = Desk::with_files(&[("m", "the work")]);
        desk.scan();
        entitle(&desk, "m", "The work");
        let before = document(&desk, "m");
        desk.write("m", "the work, revised");
        fs::copy(desk.library().join("m"), desk.library().join(copy)).unwrap();
        expect(&desk, &[("modified", 1), ("new", 1)]);
        assert_eq!([document(&desk, copy), document(&desk, "m")], [before.clone(), before], "{copy}");
        assert_eq!(title(&desk, copy).as_deref(), Some("The work"));
        assert_eq!((documents(&desk), copyless(&desk)), (1, 0));
    }
}

// L7: what one scan saw of a part, the next makes good
#[test]
fn a_file_that_was_moved_aside_is_found_by_a_later_scan() {
    let desk = Desk::with_files(&[("in/m", "the work"), ("out/x", "x")]);
    desk.scan();
    entitle(&desk, "in/m", "The work");
    let before = document(&desk, "in/m");
    desk.rename("in/m", "out/m");
    desk.write("in/m", "another one");
    let report = desk.json(&["scan", "--path", "in"])["libraries"][0].take();
    assert_eq!(report["modified"], 1, "nobody has looked further");
    assert_eq!(document(&desk, "in/m"), before);
    desk.scan();
    assert_eq!(document(&desk, "out/m"), before);
    assert_ne!(document(&desk, "in/m"), before);
    assert_eq!(
        [title(&desk, "in/m"), title(&desk, "out/m")],
        [Some("The work".into()), Some("The work".into())]
    );
    assert_eq!(desk.sql::<i64>("SELECT count(*) FROM replaced"), 0, "that is settled");
}

// L7: as on a file system that does not tell upper from lower case, where the old name is not free to be another's
#[test]
fn a_rename_that_changes_only_case_is_a_move() {
    let desk = Desk::with_files(&[("readme", "read me"), ("sub/x", "x")]);
    desk.scan();
    entitle(&desk, "readme", "Read me");
    desk.rename("readme", "README");
    desk.rename("sub", "Sub");
    assert_eq!(expect(&desk, &[("moved", 2)])["hashed_files"], 1);
    assert_eq!(title(&desk, "README").as_deref(), Some("Read me"));
}

// L6, L7
#[test]
fn a_file_that_becomes_a_directory_and_a_file_again_is_the_same_document() {
    let desk = Desk::with_files(&[("m", "the work"), ("other", "other")]);
    desk.scan();
    entitle(&desk, "m", "The work");
    let before = document(&desk, "m");
    // Into the directory that has its name.
    desk.rename("m", "t");
    desk.rename("t", "m/inside");
    expect(&desk, &[("moved", 1)]);
    assert_eq!(document(&desk, "m/inside"), before);
    desk.rename("m/inside", "t");
    fs::remove_dir(desk.library().join("m")).unwrap();
    desk.rename("t", "m");
    expect(&desk, &[("moved", 1)]);
    assert_eq!(document(&desk, "m"), before);
    // Away, and back after it was missing.
    desk.remove("m");
    desk.write("m/else", "something else");
    expect(&desk, &[("missing", 1), ("new", 1)]);
    fs::remove_dir_all(desk.library().join("m")).unwrap();
    desk.write("m", "the work");
    expect(&desk, &[("missing", 1), ("restored", 1)]);
    assert_eq!((document(&desk, "m"), title(&desk, "m").as_deref()), (before, Some("The work")));
}

// L6, L7
#[test]
fn a_file_that_leaves_a_link_behind_is_moved() {
    let desk = Desk::with_files(&[("other", "other")]);
    for n in 0..40 {
        desk.write(&format!("m{n}"), &format!("work {n}"));
    }
    desk.scan();
    entitle(&desk, "m7", "The work");
    let before = document(&desk, "m7");
    for n in 0..40 {
        desk.rename(&format!("m{n}"), &format!("kept/m{n}"));
        std::os::unix::fs::symlink(format!("kept/m{n}"), desk.library().join(format!("m{n}"))).unwrap();
    }
    assert_eq!(expect(&desk, &[("moved", 40), ("new", 40)])["decision"], json!(null));
    assert_eq!(document(&desk, "kept/m7"), before);
    assert_eq!(shown(&desk, "m7")["file"]["link_target"], "kept/m7");
    for n in 0..40 {
        desk.rename(&format!("kept/m{n}"), &format!("m{n}"));
    }
    desk.scan();
    assert_eq!((document(&desk, "m7"), title(&desk, "m7").as_deref()), (before, Some("The work")));
    assert_eq!((documents(&desk), copyless(&desk)), (41, 0));
}

// L15: two names of one file are two copies; there is no telling which is the first
#[test]
fn hard_links_are_copies() {
    let link = |desk: &Desk, from: &str, to: &str| {
        fs::hard_link(desk.library().join(from), desk.library().join(to)).unwrap();
    };
    let desk = Desk::with_files(&[("a", "alpha"), ("e", "")]);
    desk.scan();
    entitle(&desk, "a", "Alpha");
    link(&desk, "a", "b");
    link(&desk, "e", "f");
    expect(&desk, &[("new", 2)]);
    assert_eq!(document(&desk, "a"), document(&desk, "b"));
    // One of two names goes: that name is missing, and not moved to the other, which was there before.
    desk.remove("a");
    desk.remove("e");
    expect(&desk, &[("missing", 2)]);
    assert_eq!(title(&desk, "b").as_deref(), Some("Alpha"));
    // One of two names is changed.
    link(&desk, "b", "c");
    desk.scan();
    desk.rename("c", "d");
    expect(&desk, &[("moved", 1)]);
    // The directory of both is renamed.
    desk.rename("b", "sub/b");
    desk.rename("d", "sub/d");
    expect(&desk, &[("moved", 2)]);
    desk.rename("sub", "bus");
    assert_eq!(expect(&desk, &[("moved", 2)])["hashed_files"], 0);
    assert_eq!(document(&desk, "bus/b"), document(&desk, "bus/d"));
    assert_eq!(title(&desk, "bus/d").as_deref(), Some("Alpha"));
}

// L15
#[test]
fn a_copy_is_not_a_move() {
    let desk = Desk::with_files(&[("a", "alpha")]);
    desk.scan();
    let copy = |from: &str, to: &str| fs::copy(desk.library().join(from), desk.library().join(to)).unwrap();
    copy("a", "b");
    expect(&desk, &[("new", 1)]);
    assert_eq!(document(&desk, "a"), document(&desk, "b"));
    desk.remove("a");
    expect(&desk, &[("missing", 1)]);
    // Copied and deleted in one go is a move, as mv does it between two disks (L7).
    copy("b", "c");
    desk.remove("b");
    let report = scan(&desk);
    assert_eq!((&report["moved"], &report["missing"]), (&json!(1), &json!(0)));
    assert_eq!(documents(&desk), 1);
}

// L7: of several copies the one that was moved is told by its number
#[test]
fn of_two_moved_copies_each_is_where_it_was_moved() {
    let desk = Desk::with_files(&[("one/x", "same"), ("two/x", "same")]);
    desk.scan();
    let number = |path: &str| -> i64 {
        let (dir, name) = path.split_once('/').unwrap();
        desk.sql(&format!("SELECT file_id FROM files JOIN dirs USING (dir_id) WHERE path = CAST('{dir}' AS BLOB) AND name = CAST('{name}' AS BLOB)"))
    };
    let (one, two) = (number("one/x"), number("two/x"));
    desk.rename("one/x", "three/y");
    desk.rename("two/x", "three/x");
    expect(&desk, &[("moved", 2)]);
    assert_eq!((number("three/y"), number("three/x")), (one, two));
}

/// A second library, `attic`, beside `books`, and a mirror of both; scanned and sent.
fn two_libraries() -> Desk {
    let desk = Desk::new();
    for n in 0..60 {
        desk.write(&format!("f{n}.txt"), &format!("file {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    fs::create_dir(desk.path("attic")).unwrap();
    fs::write(desk.path("attic/old.txt"), "was here before").unwrap();
    desk.run(&["init", desk.path("attic").to_str().unwrap(), "--name", "attic"]).expect(0);
    desk.run(&["scan"]).expect(0);
    entitle(&desk, "f7.txt", "Seven");
    desk.add_mirror("both");
    desk.run(&["sync"]).expect(0);
    desk
}

fn move_to_attic(desk: &Desk, files: std::ops::Range<usize>) {
    for n in files {
        fs::rename(desk.library().join(format!("f{n}.txt")), desk.path(&format!("attic/f{n}.txt"))).unwrap();
    }
}

fn in_attic(desk: &Desk, path: &str) -> Value {
    desk.json(&["show", desk.path("attic").join(Path::new(path)).to_str().unwrap()])
}

// L7, D6: where both libraries are there, nobody is asked, and nothing is sent or retired
#[test]
fn files_moved_to_another_library_are_not_lost() {
    let desk = two_libraries();
    let (document_before, objects) = (document(&desk, "f7.txt"), desk.objects());
    move_to_attic(&desk, 0..40);
    assert_eq!(desk.json(&["scan", "attic"])["libraries"][0]["new"], 40);
    let foreseen = desk.json(&["scan", "books", "--dry-run"])["libraries"][0].take();
    let report = desk.json(&["scan", "books"])["libraries"][0].take();
    for report in [foreseen, report] {
        assert_eq!(
            (&report["moved"], &report["missing"], &report["decision"]),
            (&json!(40), &json!(0), &json!(null))
        );
    }
    let moved = in_attic(&desk, "f7.txt");
    assert_eq!(moved["document"]["document_id"], document_before.as_str());
    assert_eq!(moved["annotations"][0]["values"], json!(["Seven"]));
    // It is not at its old place, and that says where it is.
    let missing = desk.json(&["missing", "books"])["missing"].take();
    assert_eq!(missing.as_array().unwrap().len(), 40);
    assert_eq!(
        (&missing[0]["presence"], &missing[0]["evidence"]),
        (&json!("missing"), &json!("moved to attic"))
    );
    assert!(desk.run(&["missing", "books"]).expect(0).stdout.contains("moved to attic"));
    let synced = desk.json(&["sync"]);
    assert_eq!((&synced["uploaded_objects"], &synced["retired_objects"]), (&json!(0), &json!(0)));
    assert_eq!(desk.objects(), objects);
    assert_eq!(desk.json(&["status"])["queue"]["pending"], 0);
}

// L7, L6, D6: the old library is scanned first, so somebody is asked; the answer is not needed once the files are found
#[test]
fn files_moved_to_another_library_are_found_there_later() {
    let desk = two_libraries();
    let (document_before, objects) = (document(&desk, "f7.txt"), desk.objects());
    move_to_attic(&desk, 0..40);
    let report = desk.run(&["scan", "books", "--json"]).expect(6).json()["libraries"][0].take();
    assert_eq!(report["missing"], 0);
    desk.run(&["scan", "attic"]).expect(0);
    assert_eq!(desk.json(&["scan", "books"])["libraries"][0]["moved"], 40);
    assert_eq!(desk.json(&["decisions"])["decisions"], json!([]));
    // A few are believed to be missing at once.
    move_to_attic(&desk, 40..43);
    assert_eq!(desk.json(&["scan", "books"])["libraries"][0]["missing"], 3);
    desk.run(&["scan", "attic"]).expect(0);
    assert_eq!(in_attic(&desk, "f7.txt")["document"]["document_id"], document_before.as_str());
    let synced = desk.json(&["sync"]);
    assert_eq!((&synced["uploaded_objects"], &synced["retired_objects"]), (&json!(0), &json!(0)));
    assert_eq!(desk.objects(), objects);
    // And back home.
    for n in 0..43 {
        fs::rename(desk.path(&format!("attic/f{n}.txt")), desk.library().join(format!("f{n}.txt"))).unwrap();
    }
    let report = desk.json(&["scan", "books"])["libraries"][0].take();
    assert_eq!((&report["restored"], &report["new"]), (&json!(43), &json!(0)));
    assert_eq!(desk.json(&["scan", "attic"])["libraries"][0]["moved"], 43);
    assert_eq!(document(&desk, "f7.txt"), document_before);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
}

// D6: a copy that another library has had for long does not make up for a loss
#[test]
fn files_that_another_library_has_copies_of_are_missed_here() {
    let desk = two_libraries();
    for n in 0..40 {
        fs::copy(desk.library().join(format!("f{n}.txt")), desk.path(&format!("attic/f{n}.txt"))).unwrap();
    }
    desk.run(&["scan"]).expect(0);
    desk.run(&["scan"]).expect(0);
    for n in 0..40 {
        desk.remove(&format!("f{n}.txt"));
    }
    desk.run(&["scan"]).expect(6);
}

// L6
#[test]
fn what_comes_back_is_the_same_document_with_its_remote_copies() {
    let desk = two_libraries();
    let (seven, eight) = (document(&desk, "f7.txt"), document(&desk, "f8.txt"));
    let objects = desk.objects();
    for n in 5..10 {
        fs::rename(desk.library().join(format!("f{n}.txt")), desk.path(&format!("f{n}.txt"))).unwrap();
    }
    assert_eq!(desk.json(&["scan", "books"])["libraries"][0]["missing"], 5);
    fs::rename(desk.path("f7.txt"), desk.library().join("f7.txt")).unwrap();
    // By its content alone: a new file, with a number and times of its own.
    desk.write("again/eight.txt", "file 8");
    let report = desk.json(&["scan", "books"])["libraries"][0].take();
    assert_eq!((&report["restored"], &report["moved"], &report["new"]), (&json!(1), &json!(1), &json!(0)));
    assert_eq!((document(&desk, "f7.txt"), document(&desk, "again/eight.txt")), (seven, eight));
    assert_eq!(shown(&desk, "f7.txt")["file"]["missing_since"], json!(null));
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
    assert_eq!(desk.objects(), objects);
}
