//! What people write on cards: editing, tags, notes, taking back, and lists that go through a spreadsheet.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::desk::{Desk, Ran};

/// Three files, one of them a copy of another; read.
fn desk() -> Desk {
    let desk = Desk::with_files(&[
        ("notes/marks.md", "# Shelf marks\n\nthe marks on the shelves"),
        ("copy/marks.md", "# Shelf marks\n\nthe marks on the shelves"),
        ("b.txt", "beta"),
    ]);
    desk.run(&["sync"]).expect(0);
    desk
}

/// What is said of a field: the words with their sources, the one that counts first.
#[track_caller]
fn words(desk: &Desk, path: &str, field: &str) -> Vec<(String, String)> {
    let shown = desk.json(&["show", path]);
    let of_field = shown["annotations"].as_array().unwrap().iter().filter(|word| word["field"] == field);
    let all: Vec<&Value> = of_field.collect();
    for (at, word) in all.iter().enumerate() {
        assert_eq!(word["effective"], at == 0, "{all:?}");
        assert!(word["updated_at"].is_string());
    }
    let joined = |word: &&Value| {
        let values: Vec<&str> =
            word["values"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
        (values.join("; "), word["source"].as_str().unwrap().to_owned())
    };
    all.iter().map(joined).collect()
}

/// What a field shows.
#[track_caller]
fn shown(desk: &Desk, path: &str, field: &str) -> Option<String> {
    words(desk, path, field).into_iter().next().map(|(values, _)| values)
}

fn document(desk: &Desk, path: &str) -> String {
    desk.json(&["show", path])["document"]["document_id"].as_str().unwrap().to_owned()
}

/// Everything that an edit writes.
fn written(desk: &Desk) -> Vec<String> {
    [
        "SELECT coalesce(group_concat(quote(document_id) || field || source || value || updated_at), '') FROM annotations",
        "SELECT coalesce(group_concat(quote(edit_id) || said || coalesce(undone_at, '')), '') FROM edits",
        "SELECT coalesce(group_concat(quote(edit_id) || document_id || field), '') FROM edit_changes",
        "SELECT coalesce(group_concat(seq || state), '') FROM outbox",
        "SELECT group_concat(document_id || search_stale) FROM documents",
    ]
    .map(|sql| desk.sql::<String>(sql))
    .to_vec()
}

// E4
#[test]
fn a_persons_word_counts_until_it_is_taken_back() {
    let desk = desk();
    let path = "notes/marks.md";
    assert_eq!(words(&desk, path, "title"), [("Shelf marks".to_owned(), "extractor".to_owned())]);
    let edited = desk.json(&["edit", path, "--title", " A title ", "--author", "A", "--author", "B; C"]);
    assert_eq!((&edited["edit"], &edited["documents"], &edited["fields"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!(edited["changes"][0]["before"]["values"], json!(["Shelf marks"]));
    assert_eq!(
        edited["changes"][0]["after"],
        json!({ "values": ["A title"], "source": "person", "agent": null })
    );
    let of = |values: &str, source: &str| (values.to_owned(), source.to_owned());
    assert_eq!(words(&desk, path, "title"), [of("A title", "person"), of("Shelf marks", "extractor")]);
    assert_eq!(words(&desk, path, "author"), [of("A; B; C", "person")]);
    desk.run(&["edit", path, "--clear", "title", "--empty", "author"]).expect(0);
    assert_eq!(words(&desk, path, "title"), [of("Shelf marks", "extractor")]);
    assert_eq!(words(&desk, path, "author"), [of("", "person")]);
    desk.run(&["edit", path, "--empty", "title"]).expect(0);
    assert_eq!(words(&desk, path, "title"), [of("", "person"), of("Shelf marks", "extractor")]);
    let text = desk.run(&["show", path]).expect(0).stdout;
    assert!(
        text.contains("title      none  (person, since ") && text.contains("beats Shelf marks"),
        "{text}"
    );
    assert_eq!(desk.json(&["edit", path, "--empty", "title"])["edit"], json!(null), "nothing changes twice");
}

// E4, O3
#[test]
fn what_was_written_is_found_at_once() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--title", "Xylophones"]).expect(0);
    assert_eq!(desk.json(&["find", "xylophones"])["hits"][0]["path"], "b.txt");
    desk.run(&["undo"]).expect(0);
    assert_eq!(desk.json(&["find", "xylophones"])["total"], 0);
}

// E4, L15: a card is the document's
#[test]
fn a_card_belongs_to_all_copies() {
    let desk = desk();
    desk.run(&["tag", "copy/marks.md", "x"]).expect(0);
    assert_eq!(shown(&desk, "notes/marks.md", "tags").as_deref(), Some("x"));
    let both = desk.json(&["edit", "copy/marks.md", "notes/marks.md", "--tier", "primary"]);
    assert_eq!(both["documents"], 1, "one document, named twice");
    let by_id = desk.json(&["edit", "--id", &document(&desk, "b.txt"), "--tier", "secondary"]);
    assert_eq!(by_id["changes"][0]["path"], "b.txt");
}

// E4: also when disk and network are away
#[test]
fn cards_are_edited_with_every_disk_away() {
    let desk = desk();
    desk.add_mirror("both");
    desk.run(&["sync"]).expect(0);
    let list = desk.path("list.csv");
    let list = list.to_str().unwrap();
    std::fs::rename(desk.library(), desk.path("gone")).unwrap();
    std::fs::rename(desk.mirror(), desk.path("gone-mirror")).unwrap();
    desk.run(&["edit", "b.txt", "--title", "Beta"]).expect(0);
    desk.run(&["tag", "b.txt", "x", "y"]).expect(0);
    desk.run(&["note", "b.txt", "lent", "out"]).expect(0);
    assert_eq!(desk.run(&["note", "b.txt"]).expect(0).stdout, "lent out\n");
    assert_eq!(desk.run(&["tag", "b.txt"]).expect(0).stdout, "x\ny\n");
    desk.run(&["undo"]).expect(0);
    desk.run(&["export", "--out", list]).expect(0);
    std::fs::write(list, std::fs::read_to_string(list).unwrap().replace("Beta", "Gamma")).unwrap();
    desk.run(&["import", list]).expect(0);
    assert_eq!(shown(&desk, "b.txt", "title").as_deref(), Some("Gamma"));
    assert_eq!(shown(&desk, "b.txt", "tags").as_deref(), Some("x; y"));
    assert_eq!(shown(&desk, "b.txt", "notes"), None);
    std::fs::rename(desk.path("gone"), desk.library()).unwrap();
    std::fs::rename(desk.path("gone-mirror"), desk.mirror()).unwrap();
    desk.run(&["sync"]).expect(0);
    let objects = desk.objects();
    let beta =
        objects.values().map(|bytes| String::from_utf8_lossy(bytes)).find(|text| text.contains("Gamma"));
    assert!(beta.is_some_and(|text| text.contains("tags: [\"x\", \"y\"]")), "sent when everything is back");
}

// E4
#[test]
fn tags_are_added_and_removed_and_notes_get_lines() {
    let desk = desk();
    desk.run(&["tag", "b.txt", "a", "b", "-x"]).expect(2);
    desk.run(&["tag", "b.txt", "a", "b", "--add", "c"]).expect(1);
    desk.run(&["tag", "b.txt", "a", "b"]).expect(0);
    desk.run(&["tag", "b.txt", "c", "--remove", "a", "--remove", "nowhere"]).expect(0);
    assert_eq!(shown(&desk, "b.txt", "tags").as_deref(), Some("b; c"));
    desk.run(&["tag", "--add", "d", "--add", "-x", "b.txt", "notes/marks.md"]).expect(0);
    assert_eq!(shown(&desk, "b.txt", "tags").as_deref(), Some("b; c; d; -x"));
    assert_eq!(shown(&desk, "copy/marks.md", "tags").as_deref(), Some("d; -x"));
    assert_eq!(desk.json(&["tag", "--library", "books", "e"])["documents"], 2);
    assert_eq!(desk.json(&["tag", "b.txt"])["documents"][0]["values"], json!(["b", "c", "d", "-x", "e"]));
    desk.run(&["note", "b.txt", "first"]).expect(0);
    desk.run(&["note", "b.txt", "second", "line"]).expect(0);
    assert_eq!(desk.run(&["note", "b.txt"]).expect(0).stdout, "first\nsecond line\n");
    desk.run(&["edit", "b.txt", "--note", "only"]).expect(0);
    assert_eq!(desk.run(&["note", "b.txt"]).expect(0).stdout, "only\n");
}

// E4
#[test]
fn a_dry_run_shows_all_and_changes_nothing() {
    let desk = desk();
    desk.add_mirror("enriched");
    let before = written(&desk);
    let args = ["edit", "--where", "marks", "--title", "New", "--dry-run"];
    let text = desk.run(&args).expect(0).stdout;
    assert!(
        text.contains("Shelf marks (extractor)") && text.contains("1 field of 1 document would change"),
        "{text}"
    );
    let dry = desk.json(&args);
    assert_eq!((&dry["edit"], &dry["documents"], &dry["dry_run"]), (&json!(null), &json!(1), &json!(true)));
    assert_eq!(written(&desk), before);
    assert_eq!(desk.json(&args[..5])["changes"], dry["changes"], "and that is what happens");
}

// E4
#[test]
fn more_than_twenty_documents_are_changed_only_by_who_says_so() {
    let names: Vec<String> = (0..21).map(|n| format!("note-{n:02}.txt")).collect();
    let contents: Vec<String> = (0..21).map(|n| format!("shelf {n}")).collect();
    let files: Vec<(&str, &str)> =
        names.iter().zip(&contents).map(|(name, content)| (name.as_str(), content.as_str())).collect();
    let desk = Desk::with_files(&files);
    desk.run(&["sync"]).expect(0);
    let before = written(&desk);
    let refused = desk.run(&["tag", "--where", "shelf", "x"]).expect(1);
    assert!(
        refused.stderr.contains("21 documents would be changed") && refused.stderr.contains("--yes"),
        "{refused:?}"
    );
    assert_eq!(written(&desk), before);
    assert_eq!(desk.json(&["tag", "--where", "shelf", "x", "--dry-run"])["documents"], 21);
    let done = desk.json(&["tag", "--where", "shelf", "x", "--yes"]);
    assert_eq!((&done["edit"], done["changes"].as_array().unwrap().len()), (&json!(1), 21));
    assert_eq!(desk.json(&["undo"])["documents"], 21, "one edit, taken back as one");
}

// E4, T1, E2
#[test]
fn stores_are_told_of_what_they_are_given_and_of_nothing_else() {
    let desk = desk();
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    let waiting = || desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state = 'pending'");
    for quiet in [
        &["note", "b.txt", "mine alone"][..],
        &["edit", "notes/marks.md", "--title", "Shelf marks"],
        &["edit", "b.txt", "--privacy", "full"],
        &["edit", "b.txt", "--empty", "tags"],
    ] {
        assert!(desk.json(quiet)["edit"].is_i64(), "{quiet:?}");
        assert_eq!(waiting(), 0, "{quiet:?}");
    }
    desk.run(&["edit", "notes/marks.md", "--title", "Other marks"]).expect(0);
    assert_eq!(waiting(), 1);
    let sent = desk.json(&["sync"]);
    assert_eq!(sent["uploaded_objects"], 1);
    desk.run(&["undo"]).expect(0);
    assert_eq!(waiting(), 1, "taking back is a change");
}

// S8, T8
#[test]
fn what_is_to_stay_here_is_not_sent_and_stores_that_have_it_are_named() {
    let desk = desk();
    desk.add_mirror("enriched");
    let stays = desk.json(&["edit", "b.txt", "--privacy", "local_only"]);
    assert_eq!(stays["held_by_stores"], json!([]));
    let states = |path: &str| {
        desk.sql::<String>(&format!(
            "SELECT coalesce(group_concat(state), '') FROM outbox WHERE document_id =
             (SELECT document_id FROM documents WHERE ulid = '{}')",
            document(&desk, path)
        ))
    };
    assert_eq!(states("b.txt"), "discarded");
    desk.run(&["edit", "b.txt", "--title", "Secret"]).expect(0);
    assert_eq!(states("b.txt"), "discarded", "nothing of it goes into the queue any more");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 1, "only the other document");
    let dry = desk.run(&["edit", "notes/marks.md", "--privacy", "local_only", "--dry-run"]).expect(0).stdout;
    assert!(dry.contains("mirror holds what was sent before of 1 document"), "{dry}");
    let stays = desk.json(&["edit", "notes/marks.md", "--privacy", "local_only"]);
    assert_eq!(stays["held_by_stores"], json!([{ "store": "mirror", "documents": 1 }]));
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.objects().len(), 0, "what was there was taken back");
    desk.run(&["edit", "b.txt", "--privacy", "redacted"]).expect(0);
    desk.run(&["sync"]).expect(0);
    let objects = desk.objects();
    let secret: Vec<_> = objects
        .values()
        .map(|bytes| String::from_utf8_lossy(bytes))
        .filter(|text| text.contains("Secret"))
        .collect();
    assert!(secret.len() == 1 && !secret[0].contains("beta"), "{secret:?}");
}

// E4
#[test]
fn an_edit_is_taken_back_where_nobody_was_there_since() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--title", "One", "--tier", "primary"]).expect(0);
    desk.run(&["edit", "b.txt", "--title", "Two"]).expect(0);
    let partly = desk.run(&["undo", "1", "--json"]).expect(3).json();
    assert_eq!((&partly["edit"], &partly["fields"]), (&json!(3), &json!(1)));
    assert_eq!(partly["left"][0]["field"], "title");
    assert_eq!(
        (&partly["left"][0]["edited_to"], &partly["left"][0]["now"]),
        (&json!(["One"]), &json!(["Two"]))
    );
    assert_eq!(shown(&desk, "b.txt", "title").as_deref(), Some("Two"));
    assert_eq!(shown(&desk, "b.txt", "authority_tier"), None);
    let again = desk.run(&["undo", "1"]).expect(1);
    assert!(again.stderr.contains("taken back already") && again.stderr.contains("undo 3"), "{again:?}");
    assert_eq!(desk.json(&["undo"])["undone"]["edit"], 2);
    assert_eq!(shown(&desk, "b.txt", "title").as_deref(), Some("One"));
    desk.run(&["undo"]).expect(1);
    desk.run(&["undo", "99"]).expect(2);
    let listed = desk.json(&["undo", "--list"]);
    let numbers: Vec<i64> =
        listed["edits"].as_array().unwrap().iter().map(|edit| edit["edit"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [4, 3, 2, 1]);
    assert_eq!(listed["edits"][0]["undoes"], 2);
}

// E4: the same word said by another edit is that edit's
#[test]
fn what_was_changed_and_changed_back_since_is_left() {
    let desk = desk();
    for title in ["One", "Two", "One"] {
        desk.run(&["edit", "b.txt", "--title", title]).expect(0);
    }
    let before = written(&desk);
    let left = desk.run(&["undo", "1", "--json"]).expect(3).json();
    assert_eq!((&left["edit"], &left["fields"]), (&json!(null), &json!(0)));
    assert_eq!((&left["left"][0]["edited_to"], &left["left"][0]["now"]), (&json!(["One"]), &json!(["One"])));
    let said = desk.run(&["undo", "1"]).expect(3);
    assert!(said.stdout.contains("was changed since"), "{said:?}");
    assert_eq!(written(&desk), before);
    // What was changed since and taken back is as if it had never been said.
    desk.run(&["undo"]).expect(0);
    desk.run(&["undo"]).expect(0);
    desk.run(&["undo", "1"]).expect(0);
    assert_eq!(shown(&desk, "b.txt", "title"), None);
}

// E4
#[test]
fn taking_back_what_took_back_does_it_again() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--title", "One"]).expect(0);
    desk.run(&["edit", "b.txt", "--title", "Two"]).expect(0);
    let title = || shown(&desk, "b.txt", "title");
    for (undo, then) in [
        (&["undo"][..], Some("One")),
        (&["undo", "3"], Some("Two")),
        (&["undo"], Some("One")),
        (&["undo"], None),
        (&["undo", "6"], Some("One")),
        (&["undo", "7"], None),
    ] {
        desk.run(undo).expect(0);
        assert_eq!(title().as_deref(), then, "{undo:?}");
    }
    let before = written(&desk);
    assert_eq!(desk.json(&["undo", "8", "--dry-run"])["changes"][0]["after"]["values"], json!(["One"]));
    assert_eq!(written(&desk), before);
}

// E4, L13
#[test]
fn history_tells_what_people_changed() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--title", "One"]).expect(0);
    desk.run(&["edit", "b.txt", "--empty", "title"]).expect(0);
    desk.run(&["undo"]).expect(0);
    let events = desk.json(&["history", "b.txt"])["events"].take();
    let edits: Vec<&Value> =
        events.as_array().unwrap().iter().filter(|event| event["what"] == "edit").collect();
    let told: Vec<_> = edits.iter().map(|event| (&event["before"], &event["after"])).collect();
    assert_eq!(
        told,
        [(&json!(null), &json!(["One"])), (&json!(["One"]), &json!([])), (&json!([]), &json!(["One"]))]
    );
    assert_eq!(
        (&edits[0]["by"], &edits[0]["field"], &edits[0]["edit"]),
        (&json!("person"), &json!("title"), &json!(1))
    );
    let text = desk.run(&["history", "b.txt"]).expect(0).stdout;
    assert!(
        text.contains("a person changed title from nothing said to \"One\" (edit 1: edit title to One)"),
        "{text}"
    );
}

// E4, L6, L7, L15
#[test]
fn a_card_stays_with_its_document_wherever_that_goes() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--title", "Beta", "--tag", "x"]).expect(0);
    desk.rename("b.txt", "deep/er/c.txt");
    desk.run(&["sync"]).expect(0);
    assert_eq!(shown(&desk, "deep/er/c.txt", "title").as_deref(), Some("Beta"), "moved");
    desk.write("deep/er/c.txt", "beta, revised and longer");
    desk.run(&["sync"]).expect(0);
    assert_eq!(shown(&desk, "deep/er/c.txt", "tags").as_deref(), Some("x"), "edited");
    desk.remove("deep/er/c.txt");
    desk.run(&["sync"]).expect(0);
    assert_eq!(desk.json(&["missing"])["missing"][0]["path"], "deep/er/c.txt");
    desk.run(&["edit", "deep/er/c.txt", "--tier", "primary"]).expect(0);
    desk.write("back.txt", "beta, revised and longer");
    desk.run(&["sync"]).expect(0);
    assert_eq!(shown(&desk, "back.txt", "title").as_deref(), Some("Beta"), "back elsewhere");
    assert_eq!(
        shown(&desk, "back.txt", "authority_tier").as_deref(),
        Some("primary"),
        "edited while it was missing"
    );
    desk.run(&["undo"]).expect(0);
    desk.run(&["undo"]).expect(0);
    assert_eq!(shown(&desk, "back.txt", "title"), None, "and taken back there");
    // A copy that is edited apart takes along what was said until then.
    desk.run(&["tag", "copy/marks.md", "both"]).expect(0);
    desk.write("copy/marks.md", "# Shelf marks, apart");
    desk.run(&["sync"]).expect(0);
    desk.run(&["tag", "copy/marks.md", "apart"]).expect(0);
    assert_eq!(shown(&desk, "copy/marks.md", "tags").as_deref(), Some("both; apart"));
    assert_eq!(shown(&desk, "notes/marks.md", "tags").as_deref(), Some("both"));
}

#[test]
fn what_cannot_be_meant_is_said_and_nothing_is_changed() {
    let desk = desk();
    std::os::unix::fs::symlink("b.txt", desk.library().join("link")).unwrap();
    desk.run(&["scan"]).expect(0);
    let before = written(&desk);
    for (args, code, part) in [
        (&["edit", "b.txt"][..], 2, "nothing to change"),
        (&["edit", "--title", "x"], 2, "PATH"),
        (&["edit", "b.txt", "--where", "x", "--title", "x"], 2, "cannot be used"),
        (&["edit", "b.txt", "--title", "x", "--clear", "title"], 2, "two things were asked of title"),
        (&["edit", "b.txt", "--title", " "], 2, "title: an empty value"),
        (&["edit", "b.txt", "--title", "a\nb"], 2, "control character"),
        (&["edit", "b.txt", "--privacy", "secret"], 2, "local_only, redacted, full"),
        (&["edit", "b.txt", "--empty", "privacy"], 2, "cannot be empty"),
        (&["edit", "b.txt", "--clear", "colour"], 2, "fields are title"),
        (&["edit", "nowhere.txt", "--title", "x"], 1, "not in the catalogue"),
        (&["edit", "link", "--title", "x"], 1, "has no card"),
        (&["edit", "b.txt", "nowhere.txt", "--title", "x"], 1, "not in the catalogue"),
        (&["edit", "--id", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--title", "x"], 1, "there is no document"),
        (&["edit", "--id", "x", "--title", "x"], 2, "invalid value"),
        (&["edit", "--where", " ", "--title", "x"], 2, "empty query"),
        (&["edit", "--library", "nowhere", "--title", "x"], 2, "there is no library"),
        (&["note", "b.txt", "a\u{7}"], 2, "control character"),
        (&["undo"], 1, "no edit that could be taken back"),
        (&["import", "nowhere.csv"], 1, "cannot be read"),
        (&["export", "--json", "--format", "csv"], 2, "standard output"),
    ] {
        let ran = desk.run(args).expect(code);
        assert!(ran.stderr.contains(part), "{args:?}: {ran:?}");
    }
    assert_eq!(written(&desk), before);
    let fits = desk.json(&["edit", "--where", "nothing like this", "--title", "x"]);
    assert_eq!((&fits["edit"], &fits["documents"]), (&json!(null), &json!(0)));
}

/// Exports everything, and gives the file's name.
fn exported(desk: &Desk) -> String {
    let list = desk.path("list.csv").to_str().unwrap().to_owned();
    desk.run(&["export", "--out", &list, "--force"]).expect(0);
    list
}

/// Lets Python's csv module change the list: `change` sees `rows`, a list of dictionaries, and `write`, how to write them.
#[track_caller]
fn in_python(list: &str, change: &str) {
    let script = format!(
        r#"
import csv, sys
path = sys.argv[1]
with open(path, encoding='utf-8', newline='') as file:
    delimiter = max(',;\t', key=file.readline().count)
    file.seek(0)
    if file.read(1) != '\ufeff': file.seek(0)
    rows = list(csv.DictReader(file, delimiter=delimiter))
names = list(rows[0])
write = dict(encoding='utf-8', delimiter=',', lineterminator='\r\n')
by_path = {{row.get('path'): row for row in rows}}
{change}
with open(path, 'w', encoding=write['encoding'], newline='') as file:
    writer = csv.DictWriter(file, names, delimiter=write['delimiter'], lineterminator=write['lineterminator'], extrasaction='ignore')
    writer.writeheader()
    writer.writerows(rows)
"#
    );
    let mut python = Command::new("python3")
        .args(["-", list])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let ended = python.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[track_caller]
fn import(desk: &Desk, list: &str, code: i32) -> Value {
    desk.run(&["import", list, "--json"]).expect(code).json()
}

// E4, O6
#[test]
fn a_list_goes_through_a_spreadsheet_and_back() {
    for dialect in [
        "pass",
        "write['delimiter'] = ';'",
        "write['delimiter'] = '\\t'",
        "write['encoding'] = 'utf-8-sig'",
        "write['lineterminator'] = '\\n'",
        "names.reverse()",
        "names = ['version', 'tags', 'title', 'notes', 'id']",
        "rows.reverse()",
    ] {
        let desk = desk();
        desk.run(&["edit", "b.txt", "--title", "=cmd|'calc'!A1", "--tag", "a;b", "--tag", "c\\d"]).expect(0);
        desk.run(&[
            "edit",
            "b.txt",
            "--note",
            "one\ntwo, \"three\"",
            "--date",
            "2020-05",
            "--identifier",
            "9783161484100",
        ])
        .expect(0);
        let list = exported(&desk);
        in_python(&list, dialect);
        let same = import(&desk, &list, 0);
        assert_eq!(
            (&same["rows"], &same["edit"], &same["fields"]),
            (&json!(2), &json!(null), &json!(0)),
            "{dialect}"
        );
        in_python(
            &list,
            "row = [row for row in rows if row['title'].startswith(\"'=cmd\")][0]\n\
             row['title'] = 'Caf\u{e9} 棚'\n\
             row['tags'] += '; new one'\n\
             row['notes'] = row['notes'].replace('two', 'zwei')",
        );
        let done = import(&desk, &list, 0);
        assert_eq!(
            (&done["edit"], &done["documents"], &done["fields"]),
            (&json!(3), &json!(1), &json!(3)),
            "{dialect}"
        );
        assert_eq!(shown(&desk, "b.txt", "title").as_deref(), Some("Caf\u{e9} 棚"));
        assert_eq!(shown(&desk, "b.txt", "tags").as_deref(), Some("a;b; c\\d; new one"));
        assert_eq!(shown(&desk, "b.txt", "notes").as_deref(), Some("one\nzwei, \"three\""));
        assert_eq!(shown(&desk, "b.txt", "date").as_deref(), Some("2020-05"));
        assert_eq!(words(&desk, "notes/marks.md", "title").len(), 1, "what nobody touched is nobody's word");
        assert_eq!(desk.json(&["undo"])["fields"], 3, "one edit");
        assert_eq!(shown(&desk, "b.txt", "title").as_deref(), Some("=cmd|'calc'!A1"));
    }
}

// E4
#[test]
fn an_emptied_cell_empties_the_field() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--title", "Beta", "--privacy", "redacted"]).expect(0);
    let list = exported(&desk);
    in_python(&list, "for row in rows: row['title'] = ''");
    import(&desk, &list, 0);
    assert_eq!(words(&desk, "b.txt", "title"), [], "the person's own word is gone");
    assert_eq!(shown(&desk, "notes/marks.md", "title").as_deref(), Some(""), "the file's is beaten");
    let list = exported(&desk);
    in_python(&list, "by_path['b.txt']['privacy'] = ''");
    let refused = import(&desk, &list, 1);
    assert_eq!(refused["errors"][0]["field"], "privacy");
}

// E4: conflicts refused with line numbers
#[test]
fn what_was_changed_meanwhile_is_refused_by_its_line() {
    let desk = desk();
    let list = exported(&desk);
    in_python(&list, "for row in rows: row['title'] = 'Mine'; row['tags'] = 'x'");
    desk.run(&["edit", "b.txt", "--title", "Theirs"]).expect(0);
    let before = written(&desk);
    let refused = import(&desk, &list, 1);
    let line = refused["conflicts"][0]["line"].as_u64().unwrap();
    let text = std::fs::read_to_string(&list).unwrap();
    assert!(
        text.lines().nth(usize::try_from(line).unwrap() - 1).unwrap().contains("b.txt"),
        "{line}: {text}"
    );
    assert_eq!(refused["conflicts"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&refused["conflicts"][0]["listed"], &refused["conflicts"][0]["catalogue"]),
        (&json!("Mine"), &json!("Theirs"))
    );
    assert_eq!(
        (&refused["conflicts"][0]["field"], &refused["error"]["exit_code"]),
        (&json!("title"), &json!(1))
    );
    let told = desk.run(&["import", &list]).expect(1);
    assert!(told.stdout.contains(&format!("line {line}, title: conflict")), "{told:?}");
    assert!(told.stderr.contains("--skip-conflicts"), "{told:?}");
    assert_eq!(written(&desk), before, "nothing half done");
    let rest = desk.run(&["import", &list, "--skip-conflicts", "--json"]).expect(3).json();
    assert_eq!((&rest["documents"], rest["conflicts"].as_array().unwrap().len()), (&json!(1), 1));
    assert_eq!(shown(&desk, "b.txt", "title").as_deref(), Some("Theirs"));
    assert_eq!(shown(&desk, "b.txt", "tags"), None, "the whole row was left out");
    assert_eq!(shown(&desk, "notes/marks.md", "title").as_deref(), Some("Mine"));
    // Another field of the same card is no conflict, and neither is the same value.
    let list = exported(&desk);
    in_python(&list, "by_path['b.txt']['tags'] = 'y'; by_path['b.txt']['title'] = 'Same'");
    desk.run(&["edit", "b.txt", "--title", "Same", "--tier", "primary"]).expect(0);
    assert_eq!(import(&desk, &list, 0)["fields"], 1);
}

// E4
#[test]
fn rows_that_cannot_be_meant_are_refused_by_their_lines() {
    let desk = desk();
    desk.run(&["edit", "b.txt", "--description", &"ä".repeat(32_769)]).expect(2);
    desk.run(&["edit", "b.txt", "--description", &"d".repeat(40_000)]).expect(0);
    let before = written(&desk);
    for (change, part) in [
        ("rows[0]['id'] = 'nonsense'", "is no id of a document"),
        ("rows[0]['id'] = '01ARZ3NDEKTSV4RRFFQ69G5FAV'", "no such document"),
        ("rows[0]['version'], rows[1]['version'] = rows[1]['version'], rows[0]['version']", "sorted apart"),
        ("rows[0]['version'] = rows[0]['version'][:-1]", "version"),
        ("rows.append(dict(rows[0]))", "the same document as in line"),
        ("rows[0]['privacy'] = 'secret'", "local_only"),
        ("rows[0]['title'] = 'x' * 5000", "too long"),
        ("by_path['b.txt']['description'] = by_path['b.txt']['description'][:32767]", "cut off"),
        ("names.append('colour')", "there is no field \"colour\""),
        ("names.append('title')", "two columns"),
        ("names.remove('version')", "there is no column version"),
        ("names.remove('id')", "there is no column id"),
        ("rows[0]['title'] = 'caf\u{e9}'; write['encoding'] = 'latin-1'", "not UTF-8"),
        ("write['encoding'] = 'utf-16'", "line 1"),
    ] {
        let list = exported(&desk);
        in_python(&list, change);
        let ran = desk.run(&["import", &list]).expect(1);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains(part) && told.contains("line "), "{change}: {ran:?}");
        assert_eq!(written(&desk), before, "{change}");
    }
    let list = desk.path("list.csv");
    for (text, part) in [("", "empty"), ("id,version\n01,2,3\n", "3 cells where the first line has 2")] {
        std::fs::write(&list, text).unwrap();
        let ran = desk.run(&["import", list.to_str().unwrap()]).expect(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(part), "{ran:?}");
    }
}

// E4, O6
#[test]
fn an_export_is_whole_or_not_there_and_replaces_nothing_unasked() {
    let desk = desk();
    desk.write("odd\u{1f4da}\n=x.txt", "odd");
    desk.run(&["sync"]).expect(0);
    let list = desk.path("list.csv");
    let name = list.to_str().unwrap();
    std::fs::write(&list, "mine").unwrap();
    let refused = desk.run(&["export", "--out", name]).expect(1);
    assert!(refused.stderr.contains("--force"), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "mine");
    assert_eq!(desk.json(&["export", "--out", name, "--force"])["documents"], 3);
    let inside = desk.library().join("list.csv");
    let refused = desk.run(&["export", "--out", inside.to_str().unwrap()]).expect(1);
    assert!(refused.stderr.contains("lies in the library at"), "{refused:?}");
    // Also where it is none of this catalogue's, and also a store; below both, and through a link.
    let marker = std::fs::read(desk.library().join(".shelflist/library.json")).unwrap();
    for (place, mark, content, what) in [
        ("theirs", ".shelflist/library.json", &marker[..], "the library at"),
        ("objects", ".shelflist-store.json", b"{}", "the store at"),
    ] {
        let below = desk.path(place).join("deep/er");
        std::fs::create_dir_all(&below).unwrap();
        std::fs::create_dir_all(desk.path(place).join(".shelflist")).unwrap();
        std::fs::write(desk.path(place).join(mark), content).unwrap();
        let link = desk.path(&format!("link to {place}"));
        std::os::unix::fs::symlink(&below, &link).unwrap();
        for dir in [&below, &link, &desk.path(place)] {
            let to = dir.join("list.csv");
            let refused = desk.run(&["export", "--out", to.to_str().unwrap()]).expect(1);
            assert!(refused.stderr.contains(what) && refused.stderr.contains("hint: "), "{refused:?}");
            assert!(!to.exists());
        }
    }
    desk.run(&["export", "--out", desk.path("none/list.csv").to_str().unwrap()]).expect(1);
    let left: Vec<String> = std::fs::read_dir(desk.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("export"))
        .collect();
    assert!(left.is_empty() && !inside.exists(), "{left:?}");
    let table = desk.run(&["export", "--format", "csv"]).expect(0).stdout;
    assert!(std::fs::read_to_string(&list).unwrap() == format!("\u{feff}{table}"), "{table}");
    assert!(table.starts_with("id,library,path,path_bytes,title,"), "{table}");
    let listed = desk.json(&["export"]);
    let all = listed["documents"].as_array().unwrap();
    assert_eq!(all.len(), 3);
    let marks = all.iter().find(|one| one["fields"]["title"] == "Shelf marks").unwrap();
    assert_eq!(marks["sources"]["title"], "extractor");
    assert!(all.iter().any(|one| one["path"] == "odd\u{1f4da}\n=x.txt"), "{all:?}");
    assert_eq!(desk.json(&["export", "--where", "shelves"])["documents"].as_array().unwrap().len(), 1);
    assert_eq!(desk.json(&["export", "books"])["documents"].as_array().unwrap().len(), 3);
}

// C3, E4
#[test]
fn edits_of_many_processes_at_once_wait_for_each_other() {
    let desk = desk();
    let running: Vec<_> = (0..8)
        .map(|n| {
            let tag = format!("tag-{n}");
            let mut command = desk.command(&["tag", "b.txt", &tag]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in running {
        Ran::from(child.wait_with_output().unwrap()).expect(0);
    }
    let tags = shown(&desk, "b.txt", "tags").unwrap();
    assert_eq!(tags.split("; ").count(), 8, "{tags}");
    for left in (0..8).rev() {
        assert_eq!(desk.json(&["undo"])["fields"], 1, "{left}");
    }
    assert_eq!(shown(&desk, "b.txt", "tags"), None);
}

#[cfg(feature = "failpoints")]
mod power {
    use super::*;

    // E4, T1
    #[test]
    fn an_edit_of_many_is_there_wholly_or_not_at_all() {
        let desk = Desk::with_files(&[("a.txt", "a"), ("b.txt", "b"), ("c.txt", "c"), ("d.txt", "d")]);
        desk.add_mirror("enriched");
        desk.run(&["sync"]).expect(0);
        let before = written(&desk);
        let cut = |args: &[&str], point: &str| {
            let ran = desk.command(args).env("FAILPOINTS", point).output().unwrap();
            // Of a command that no disk can hold up there is one process only.
            let killed = matches!(ran.status.code(), None | Some(137));
            assert!(killed, "{point}: {ran:?}");
        };
        let edit = ["edit", "--library", "books", "--title", "T", "--tag", "x"];
        for point in ["edit-document=return", "edit-document=2*off->return", "edit-written=return"] {
            cut(&edit, point);
            assert_eq!(written(&desk), before, "{point}");
        }
        cut(&edit, "edit-committed=return");
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM edit_changes"), 8);
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM annotations WHERE source = 'person'"), 8);
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM outbox WHERE state = 'pending'"), 4);
        let after = written(&desk);
        cut(&["undo"], "edit-document=2*off->return");
        assert_eq!(written(&desk), after);
        assert_eq!(desk.json(&["undo"])["documents"], 4);
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM annotations WHERE source = 'person'"), 0);
    }
}

// E4: curated beats extracted, extracted beats path
#[test]
fn the_name_is_the_title_until_somebody_knows_better() {
    let desk = Desk::with_files(&[
        ("The_drawer (2019).txt", "no title in it"),
        ("page_one.html", "<title>Page One</title>"),
    ]);
    desk.run(&["sync"]).expect(0);
    let line = |path: &str| {
        let shown = desk.run(&["show", path]).expect(0).stdout;
        shown
            .lines()
            .find(|line| line.trim_start().starts_with("title"))
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    assert_eq!(line("The_drawer (2019).txt"), "title      The drawer  (path, confidence 0.30)");
    assert!(line("page_one.html").contains("Page One  (extractor"), "{}", line("page_one.html"));
    desk.run(&["edit", "page_one.html", "--title", "First"]).expect(0);
    assert!(line("page_one.html").contains("First  (person"), "{}", line("page_one.html"));
    let shown = desk.json(&["show", "The_drawer (2019).txt"]);
    assert_eq!(shown["said_by_path"][1], json!({ "field": "date", "values": ["2019"] }));
    assert_eq!(shown["grade"], "none", "a guess is no knowledge");
}

// S8: what may leave is made stricter as often as somebody wants, whether or not anything ran in between
#[test]
fn a_word_on_privacy_is_changed_again_and_again() {
    let desk = desk();
    for word in ["full", "local_only", "redacted", "local_only"] {
        desk.run(&["edit", "b.txt", "--privacy", word]).expect(0);
        assert_eq!(shown(&desk, "b.txt", "privacy").as_deref(), Some(word));
    }
    desk.run(&["undo"]).expect(0);
    assert_eq!(shown(&desk, "b.txt", "privacy").as_deref(), Some("redacted"));
}
