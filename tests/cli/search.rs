//! What is found, how, and what is said of it: with real files, real scans and the disk away.

use serde_json::{Value, json};

use crate::desk::Desk;

/// The paths of what is found, the best first.
#[track_caller]
fn paths(desk: &Desk, args: &[&str]) -> Vec<String> {
    let found = desk.run(&[&["find", "--json"], args].concat()).expect(0).json();
    found["hits"].as_array().unwrap().iter().map(|hit| hit["path"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn listed(desk: &Desk, args: &[&str]) -> Vec<String> {
    let listed = desk.json(&[&["list"], args].concat());
    listed["files"].as_array().unwrap().iter().map(|file| file["path"].as_str().unwrap().to_owned()).collect()
}

/// A word of a person on a document's card, as `edit` leaves it.
fn say(desk: &Desk, name: &str, field: &str, values: &Value) {
    desk.execute(&format!(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, '{field}', 'person', '{values}', 1.0, 0 FROM files WHERE name = CAST('{name}' AS BLOB);
         UPDATE documents SET search_stale = 1 WHERE document_id IN (SELECT document_id FROM files WHERE name = CAST('{name}' AS BLOB));"
    ));
}

/// Five documents with cards; `indexed` or as they are the moment after somebody wrote on them.
fn reading_room(indexed: bool) -> Desk {
    let desk = Desk::with_files(&[
        ("history/war.txt", "The siege of a harbour in the northern war"),
        ("history/peace.txt", "The treaty and the northern peace"),
        ("letters/anna.md", "# Letters to Anna\n\nA café by the harbour, before the siege"),
        ("letters/draft-2.txt", "Siege, siege and the harbour again"),
        ("技術/東京都庁.txt", "今日は東京都庁へ行く"),
    ]);
    desk.run(&["sync"]).expect(0);
    say(&desk, "war.txt", "title", &json!(["The Ångström Siege"]));
    say(&desk, "war.txt", "author", &json!(["Ada Marlowe", "Jonas Lindqvist"]));
    say(&desk, "war.txt", "tags", &json!(["World History", "sea"]));
    say(&desk, "war.txt", "source_type", &json!(["book"]));
    say(&desk, "war.txt", "authority_tier", &json!(["primary"]));
    say(&desk, "war.txt", "date", &json!(["2019-12-31"]));
    say(&desk, "war.txt", "language", &json!(["de-AT"]));
    say(&desk, "peace.txt", "notes", &json!(["lent to the neighbours"]));
    say(&desk, "peace.txt", "source_type", &json!(["paper"]));
    say(&desk, "peace.txt", "date", &json!(["2020-05"]));
    if indexed {
        desk.run(&["sync"]).expect(0);
        assert_eq!(desk.sql::<i64>("SELECT count(*) FROM documents WHERE search_stale = 1"), 0);
    }
    desk
}

// O3: each field, indexed and not indexed yet
#[test]
fn each_field_is_searched_alone() {
    for indexed in [true, false] {
        let desk = reading_room(indexed);
        let cases: &[(&str, &[&str])] = &[
            ("title:angstrom", &["history/war.txt"]),
            ("title:\"ångström siege\"", &["history/war.txt"]),
            ("title:harbour", &[]),
            ("author:marlowe", &["history/war.txt"]),
            ("creator:lind*", &["history/war.txt"]),
            ("tag:\"world history\"", &["history/war.txt"]),
            ("tag:world", &[]),
            ("tag:wor*", &["history/war.txt"]),
            ("type:Book", &["history/war.txt"]),
            ("tier:primary", &["history/war.txt"]),
            ("lang:de", &["history/war.txt"]),
            ("lang:de-at", &["history/war.txt"]),
            ("note:neighbours", &["history/peace.txt"]),
            ("text:neighbours", &[]),
            ("text:treaty", &["history/peace.txt"]),
            ("path:letters path:draft", &["letters/draft-2.txt"]),
            ("kind:markdown", &["letters/anna.md"]),
            ("before:2020", &["history/war.txt"]),
            ("after:2020", &["history/peace.txt"]),
            ("after:2020-06", &[]),
            ("library:books treaty", &["history/peace.txt"]),
            ("library:nowhere", &[]),
            ("missing:yes", &[]),
            ("missing:no treaty", &["history/peace.txt"]),
        ];
        for (query, expected) in cases {
            assert_eq!(paths(&desk, &["--", query]), *expected, "{query}, indexed: {indexed}");
        }
    }
}

// O3: a word on the card, another in the text, a third in the path
#[test]
fn words_are_found_wherever_each_of_them_is() {
    for indexed in [true, false] {
        let desk = reading_room(indexed);
        assert_eq!(paths(&desk, &["marlowe", "northern", "history"]), ["history/war.txt"], "{indexed}");
        assert_eq!(paths(&desk, &["marlowe", "treaty"]), [""; 0]);
        let either = paths(&desk, &["treaty OR café"]);
        assert_eq!((either.len(), either.contains(&"letters/anna.md".to_owned())), (2, true));
        assert_eq!(paths(&desk, &["--", "harbour -café -again"]), ["history/war.txt"]);
        assert_eq!(paths(&desk, &["--", "\"northern war\""]), ["history/war.txt"]);
        assert_eq!(paths(&desk, &["--", "\"war northern\""]), [""; 0]);
        assert_eq!(paths(&desk, &["trea*"]), ["history/peace.txt"]);
        assert_eq!(paths(&desk, &["CAFE"]), ["letters/anna.md"]);
    }
}

// O3
#[test]
fn a_word_in_the_title_comes_before_one_in_the_text() {
    let desk = reading_room(true);
    assert_eq!(paths(&desk, &["siege"])[0], "history/war.txt");
    assert_eq!(paths(&desk, &["harbour", "siege"])[0], "history/war.txt");
}

// O3: scripts without spaces, in titles, paths and texts, and one character as well as four
#[test]
fn words_in_scripts_without_spaces_are_found_inside_a_run() {
    let desk = reading_room(true);
    for query in ["京都庁", "都庁", "庁", "text:東京", "path:技術", "\"都庁へ\""] {
        assert_eq!(paths(&desk, &[query]), ["技術/東京都庁.txt"], "{query}");
    }
    assert_eq!(paths(&desk, &["京庁"]), [""; 0]);
    assert_eq!(desk.json(&["find", "都庁"])["hits"][0]["snippet"].as_str().unwrap(), "今日は東京都庁へ行く");
}

// O3: a slip in a title or a name; said to be only like it, and never beside enough exact hits
#[test]
fn slips_in_titles_and_names_are_forgiven() {
    let desk = reading_room(true);
    for query in ["angstorm", "ansgtrom", "ångstro", "marlow", "author:marlwoe", "lindquist"] {
        let found = desk.json(&["find", query]);
        assert_eq!(found["hits"][0]["path"], "history/war.txt", "{query}");
        assert_eq!(found["hits"][0]["approximate"], true, "{query}");
    }
    assert_eq!(paths(&desk, &["text:angstorm"]), [""; 0], "texts are full of words that are like others");
    assert_eq!(desk.json(&["find", "angstrom"])["hits"][0]["approximate"], false);
    assert!(desk.run(&["find", "angstorm"]).expect(0).stdout.contains("(similar)"));
    assert_eq!(paths(&desk, &["angstorm treaty"]), [""; 0], "the other word has to be there");
}

// O3: flags say the same as fields, and all together
#[test]
fn filters_are_flags_too() {
    let desk = reading_room(true);
    let war = ["history/war.txt"];
    assert_eq!(paths(&desk, &["harbour", "--type", "book"]), war);
    let all = [
        "--type",
        "book",
        "--tier",
        "primary",
        "--tag",
        "sea",
        "--tag",
        "world history",
        "--library",
        "books",
    ];
    assert_eq!(paths(&desk, &[&all[..], &["--before", "2020", "--after", "2019", "siege"]].concat()), war);
    assert_eq!(paths(&desk, &["--type", "book"]), war, "no word is needed");
    assert_eq!(paths(&desk, &["--tag", "sea", "--type", "paper"]), [""; 0]);
    assert_eq!(paths(&desk, &["siege", "--limit", "1"]).len(), 1);
    assert_eq!(desk.json(&["find", "siege", "--limit", "1"])["total"], 3);
    desk.run(&["find", "--before", "noon"]).expect(2);
    desk.run(&["find", "x", "--library", "nowhere"]).expect(2);
    desk.run(&["find"]).expect(2);
}

// O3, L6: what is missing is found as missing at once, and not when it is back
#[test]
fn what_is_missing_is_found_as_missing() {
    let desk = reading_room(true);
    desk.rename("history/war.txt", "../war.txt");
    desk.run(&["scan"]).expect(0);
    assert_eq!(paths(&desk, &["siege", "--missing"]), ["history/war.txt"]);
    assert_eq!(listed(&desk, &["--missing"]), ["history/war.txt"]);
    let hit = desk.json(&["find", "marlowe"])["hits"][0].take();
    assert_eq!((&hit["available"], &hit["presence"]), (&json!(false), &json!("missing")));
    desk.rename("../war.txt", "history/war.txt");
    desk.run(&["scan"]).expect(0);
    assert_eq!(paths(&desk, &["siege", "--missing"]), [""; 0]);
}

// O3, L7: before anything is indexed again, and after
#[test]
fn a_renamed_directory_is_found_under_its_new_name() {
    let desk = reading_room(true);
    let texts = |desk: &Desk| desk.sql::<i64>("SELECT count(*) FROM search_texts_docsize");
    let before = texts(&desk);
    desk.rename("history", "chronicles");
    desk.run(&["scan"]).expect(0);
    for indexed in [false, true] {
        assert_eq!(paths(&desk, &["path:chronicles", "treaty"]), ["chronicles/peace.txt"], "{indexed}");
        assert_eq!(paths(&desk, &["path:history"]), [""; 0], "{indexed}");
        desk.run(&["sync"]).expect(0);
    }
    assert_eq!(texts(&desk), before);
}

// O3, L15
#[test]
fn a_copy_is_found_by_its_own_name() {
    let desk = reading_room(true);
    desk.write("desk/second.txt", "The treaty and the northern peace");
    desk.run(&["scan"]).expect(0);
    for _ in 0..2 {
        let hit = desk.json(&["find", "path:second"])["hits"][0].take();
        assert_eq!(hit["copies"].as_array().unwrap().len(), 2);
        desk.run(&["sync"]).expect(0);
    }
    desk.remove("desk/second.txt");
    desk.run(&["scan"]).expect(0);
    assert_eq!(
        desk.json(&["find", "path:second"])["hits"][0]["path"],
        "history/peace.txt",
        "the copy at hand"
    );
}

// O3: what is gone for good is in none of the index's tables; a document that lost its files is found without a place
#[test]
fn a_removed_document_is_not_found() {
    let desk = reading_room(true);
    let count = |table: &str| desk.sql::<i64>(&format!("SELECT count(*) FROM {table}"));
    // The scan makes a document for what appears, and removes it when it turns out to be what was lost.
    desk.execute("UPDATE files SET inode = inode + 1000");
    desk.rename("letters/anna.md", "letters/bertha.md");
    desk.run(&["sync"]).expect(0);
    assert_eq!(paths(&desk, &["path:bertha"]), ["letters/bertha.md"]);
    for table in ["search_cards_docsize", "search_texts_docsize", "search_documents"] {
        assert_eq!(count(table), count("documents"), "{table}");
    }
    desk.run(&["library", "remove", "books"]).expect(0);
    for _ in 0..2 {
        assert_eq!(desk.json(&["find", "path:history"])["total"], 0);
        let hit = desk.json(&["find", "treaty"])["hits"][0].take();
        assert_eq!((&hit["path"], &hit["copies"]), (&json!(null), &json!([])));
        assert!(desk.run(&["find", "treaty"]).expect(0).stdout.contains("no file of it"));
        desk.run(&["sync"]);
    }
}

// O3: with its disk away, and what is said of it then
#[test]
fn a_hit_says_where_it_is_when_its_disk_is_away() {
    let desk = reading_room(true);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    std::fs::rename(desk.library(), desk.path("drawer")).unwrap();
    let hit = desk.json(&["find", "café"])["hits"][0].take();
    assert_eq!((&hit["path"], &hit["available"]), (&json!("letters/anna.md"), &json!(false)));
    assert_eq!(hit["stores"], json!(["mirror"]));
    assert!(hit["last_seen"].is_string() && hit["last_verified"].is_string(), "{hit}");
    assert_eq!(hit["volume_label"], hit["copies"][0]["volume_label"]);
    assert_eq!(hit["title"], "Letters to Anna");
    let said = desk.run(&["find", "café"]).expect(0).stdout;
    assert!(said.contains("away, last seen") && said.contains("in mirror"), "{said}");
    assert_eq!(listed(&desk, &["--where", "café"]), ["letters/anna.md"]);
}

// O3
#[test]
fn whatever_is_typed_is_an_answer() {
    let desk = reading_room(true);
    for query in [
        "\"yes",
        "AND (no)",
        "title:",
        "NEAR(x",
        "*",
        "-",
        "'; DROP TABLE files",
        "a OR",
        "^",
        "http://x",
        "12:30",
        "Foo::bar",
        "{title} : x",
        "col:on",
        "- title:x",
        "\"\"",
        "a*b*",
        "+",
        "before:",
        "-OR-",
        "\u{301}",
        "tag:\"",
    ] {
        desk.run(&["find", "--", query]).expect(0);
        desk.run(&["list", "--where", query]).expect(0);
    }
    assert_eq!(listed(&desk, &["--where", "-path:history -path:letters"]), ["技術/東京都庁.txt"]);
    assert_eq!(paths(&desk, &["northern", "AND", "war"]), [""; 0], "AND is a word");
}

// O4: by path, limited, and how many there are in all
#[test]
fn a_list_is_filtered_as_a_search_is() {
    let desk = reading_room(false);
    assert_eq!(
        listed(&desk, &["--where", "siege"]),
        ["history/war.txt", "letters/anna.md", "letters/draft-2.txt"]
    );
    assert_eq!(listed(&desk, &["--type", "paper"]), ["history/peace.txt"]);
    assert_eq!(
        listed(&desk, &["--tier", "primary", "--tag", "sea", "--where", "harbour"]),
        ["history/war.txt"]
    );
    assert_eq!(listed(&desk, &["--where", "*"]), [""; 0], "a query without a word fits nothing");
    let limited = desk.json(&["list", "--where", "siege", "--limit", "2"]);
    assert_eq!((limited["files"].as_array().unwrap().len(), &limited["total"]), (2, &json!(3)));
    assert_eq!(desk.json(&["list", "--limit", "0"])["total"], 5);
    let said = desk.run(&["list", "--limit", "2"]).expect(0).stdout;
    assert!(said.ends_with("2 of 5\n"), "{said}");
}
