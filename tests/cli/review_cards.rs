//! What a person should look at.

use serde_json::{Value, json};

use crate::desk::Desk;

/// What somebody says of a file's document: field, source, agent, value, confidence.
fn say(desk: &Desk, name: &str, words: &[(&str, &str, &str, &str, f64)]) {
    for (field, source, agent, value, confidence) in words {
        desk.execute(&format!(
            "INSERT OR REPLACE INTO annotations (document_id, field, source, agent, value, confidence, updated_at)
             SELECT document_id, '{field}', '{source}', '{agent}', '[\"{value}\"]', {confidence}, 0
             FROM files WHERE name = CAST('{name}' AS BLOB)"
        ));
    }
}

fn desk() -> Desk {
    let desk = Desk::with_files(&[
        ("bare.txt", "bare"),
        ("it's here/b.md", "# Beta\n\ntext"),
        ("c.txt", "gamma"),
        ("d.txt", "delta"),
    ]);
    desk.run(&["sync"]).expect(0);
    say(
        &desk,
        "b.md",
        &[("date", "command", "years", "1987", 0.4), ("tags", "command", "tagger", "x y", 0.79)],
    );
    say(
        &desk,
        "c.txt",
        &[("title", "command", "tagger", "Gamma", 0.1), ("tags", "command", "tagger", "z", 0.8)],
    );
    // A person has said it; another command is surer.
    say(&desk, "c.txt", &[("title", "person", "", "Gamma rays", 1.0)]);
    say(
        &desk,
        "d.txt",
        &[("title", "command", "tagger", "Delta?", 0.1), ("title", "command", "years", "Delta", 0.9)],
    );
    say(
        &desk,
        "d.txt",
        &[
            ("author", "person", "", "A", 0.2),
            ("date", "person", "", "1999", 1.0),
            ("language", "person", "", "en", 1.0),
        ],
    );
    desk
}

fn paths(review: &Value) -> Vec<&str> {
    review["review"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect()
}

// E3
#[test]
fn a_word_that_counts_and_is_not_sure_is_listed_with_what_to_do() {
    let desk = desk();
    let review = desk.json(&["review"]);
    assert_eq!(paths(&review), ["it's here/b.md"]);
    let one = &review["review"][0];
    assert_eq!(
        one["fields"],
        json!([
            { "field": "date", "values": ["1987"], "source": "command", "agent": "years", "confidence": 0.4 },
            { "field": "tags", "values": ["x y"], "source": "command", "agent": "tagger", "confidence": 0.79 },
        ])
    );
    assert_eq!(
        (&one["grade"], &one["lacks"]),
        (&json!("partial"), &json!([["author"], ["language", "identifier"]]))
    );
    let accept = one["accept"].as_str().unwrap();
    assert!(
        accept.starts_with("shelflist edit '") && accept.ends_with("--date 1987 --tag 'x y'"),
        "{accept}"
    );
    let shell =
        std::process::Command::new("sh").args(["-c", &format!("printf '%s\\n' {accept}")]).output().unwrap();
    let words = String::from_utf8(shell.stdout).unwrap();
    assert_eq!(words.lines().nth(2).unwrap(), desk.library().join("it's here/b.md").to_str().unwrap());

    let told = desk.run(&["review"]).expect(0);
    assert!(told.stdout.contains("(command years, confidence 0.40)"), "{told:?}");
    assert!(told.stdout.contains("partial: lacks author, language or identifier"), "{told:?}");
    assert!(told.stdout.contains("accept or correct: shelflist edit "), "{told:?}");
}

// E3
#[test]
fn the_limit_is_a_setting_and_a_flag() {
    let desk = desk();
    assert_eq!(paths(&desk.json(&["review", "--below", "0.4"])), Vec::<&str>::new());
    let below = desk.json(&["review", "--below", "0.95"]);
    assert_eq!(paths(&below), ["d.txt", "it's here/b.md", "c.txt"], "the least sure word first");
    assert_eq!(below["review"][0]["fields"][0]["values"], json!(["Delta"]), "of two commands the surer");
    assert_eq!(below["review"][0]["fields"].as_array().unwrap().len(), 1, "a person's word is not in doubt");
    desk.run(&["config", "set", "review.confidence", "0.3"]).expect(0);
    assert_eq!(paths(&desk.json(&["review"])), Vec::<&str>::new());
    assert!(desk.run(&["review"]).expect(0).stdout.contains("nothing to look at"));
    desk.run(&["config", "set", "review.confidence", "1.5"]).expect(2);
    desk.run(&["review", "--below", "2"]).expect(2);
}

// E3: quality grade
#[test]
fn documents_of_which_little_is_known_are_listed_by_grade() {
    let desk = desk();
    let none = desk.json(&["review", "--grade", "none"]);
    assert_eq!(paths(&none), ["bare.txt"]);
    assert_eq!((&none["review"][0]["fields"], &none["more"]), (&json!([]), &json!(false)));
    let mut partial = desk.json(&["review", "--grade", "partial"]);
    let mut listed = paths(&partial);
    listed.sort_unstable();
    assert_eq!(listed, ["bare.txt", "c.txt", "it's here/b.md"]);
    partial = desk.json(&["review", "--grade", "partial", "--limit", "1"]);
    assert_eq!((paths(&partial).len(), &partial["more"]), (1, &json!(true)));
    let both = desk.json(&["review", "--grade", "none", "--below", "0.8"]);
    assert_eq!(paths(&both), ["it's here/b.md", "bare.txt"], "doubts first, each document once");
    assert_eq!(desk.json(&["show", "d.txt"])["grade"], "complete");
    let shown = desk.run(&["show", "bare.txt"]).expect(0);
    assert!(shown.stdout.contains("none: lacks title, author, date, language or identifier"), "{shown:?}");
    desk.run(&["review", "--grade", "complete"]).expect(2);
}

// D10: with the disk away, of one library
#[test]
fn a_review_needs_no_disk_and_is_of_the_library_that_is_named() {
    let desk = desk();
    std::fs::rename(desk.library(), desk.path("unplugged")).unwrap();
    assert_eq!(paths(&desk.json(&["review", "books"])), ["it's here/b.md"]);
    let other = desk.path("other");
    std::fs::create_dir(&other).unwrap();
    desk.run(&["init", other.to_str().unwrap(), "--name", "other"]).expect(0);
    assert_eq!(paths(&desk.json(&["review", "other"])), Vec::<&str>::new());
}

// E3: however many words there are, one that a person emptied is none
#[test]
fn a_field_that_a_person_emptied_is_lacking() {
    let desk = desk();
    desk.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'title', 'person', '[]', 1.0, 0 FROM files WHERE name = CAST('d.txt' AS BLOB);
         DELETE FROM annotations WHERE document_id = (SELECT document_id FROM files WHERE name = CAST('c.txt' AS BLOB));
         INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'title', 'extractor', '[\"untitled\"]', 1.0, 0 FROM files WHERE name = CAST('c.txt' AS BLOB);
         INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         SELECT document_id, 'title', 'person', '[]', 1.0, 0 FROM files WHERE name = CAST('c.txt' AS BLOB);",
    );
    let none = desk.json(&["review", "--grade", "none"]);
    assert_eq!(paths(&none), ["bare.txt", "c.txt"]);
    let partial = desk.json(&["review", "--grade", "partial"]);
    assert!(paths(&partial).contains(&"d.txt"), "{partial}");
    // What was not read yet is no one's fault.
    desk.write("new.txt", "new");
    desk.scan();
    assert_eq!(paths(&desk.json(&["review", "--grade", "none"])), ["bare.txt", "c.txt"]);
}
