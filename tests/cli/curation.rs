//! What is found again, with and without the disk.

use serde_json::json;

use crate::desk::Desk;

// O3
#[test]
fn a_document_is_found_by_title_text_and_name_also_before_it_was_indexed() {
    let desk = Desk::with_files(&[
        ("notes/meeting.md", "# Annual shelf count\n\nThe café opens at nine"),
        ("b.txt", "beta"),
    ]);
    desk.run(&["scan"]).expect(0);
    assert_eq!(desk.json(&["find", "meeting"])["total"], 1, "by name, not indexed yet");
    assert_eq!(desk.json(&["find", "café"])["total"], 0);
    desk.run(&["sync"]).expect(0);
    for query in [&["find", "meeting"][..], &["find", "annual", "count"], &["find", "CAFE"]] {
        let found = desk.json(query);
        assert_eq!(found["hits"][0]["path"], "notes/meeting.md", "{query:?}");
    }
    assert_eq!(desk.json(&["find", "opens"])["hits"][0]["title"], "Annual shelf count");
    assert_eq!(
        desk.json(&["find", "nowhere"]),
        json!({ "hits": [], "total": 0, "total_is_at_least": false, "unindexed": 0 })
    );
}

// O3
#[test]
fn what_looks_like_query_syntax_is_searched_literally() {
    let desk = Desk::with_files(&[("a.txt", "say \"yes\" AND (no) title: NEAR(x)")]);
    desk.run(&["sync"]).expect(0);
    for query in ["\"yes", "AND (no)", "title:", "NEAR(x", "*", "-", "'; DROP TABLE files", "a OR", "^"] {
        desk.run(&["find", "--", query]).expect(0);
    }
    assert_eq!(desk.json(&["find", "yes"])["total"], 1);
}

// O3
#[test]
fn each_hit_says_where_its_copies_are() {
    let desk = Desk::with_files(&[("a.txt", "needle"), ("copy.txt", "needle")]);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    let hit = desk.json(&["find", "needle"])["hits"][0].take();
    assert_eq!(hit["copies"].as_array().unwrap().len(), 2);
    assert_eq!((&hit["available"], &hit["stores"]), (&json!(true), &json!(["mirror"])));
    desk.remove("a.txt");
    desk.run(&["scan"]).expect(0);
    assert_eq!(desk.json(&["find", "needle"])["hits"][0]["path"], "copy.txt", "the copy at hand comes first");
}

// O4
#[test]
fn a_list_is_filtered_and_limited() {
    let desk = Desk::with_files(&[("a.txt", "a"), ("b.txt", "b"), ("c.txt", "c")]);
    desk.run(&["scan"]).expect(0);
    desk.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'authority_tier', 'person', '[\"primary\"]', 1.0, 0 FROM files WHERE name = CAST('b.txt' AS BLOB);
         INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) SELECT document_id, 'tags', 'person', '[\"x\", \"disk\"]', 1.0, 0 FROM files WHERE name = CAST('c.txt' AS BLOB);",
    );
    let paths = |args: &[&str]| -> Vec<String> {
        let listed = desk.json(args);
        listed["files"]
            .as_array()
            .unwrap()
            .iter()
            .map(|file| file["path"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(paths(&["list", "--tier", "primary"]), ["b.txt"]);
    assert_eq!(paths(&["list", "--tag", "disk"]), ["c.txt"]);
    assert_eq!(paths(&["list", "--limit", "2"]), ["a.txt", "b.txt"]);
    assert_eq!(desk.json(&["list", "--limit", "2"])["total"], 3);
}

// L14
#[test]
fn settings_are_kept_in_the_catalogue() {
    let desk = Desk::with_files(&[("a.txt", "a"), ("b.bak", "b")]);
    assert_eq!(desk.json(&["config", "get", "scan.exclude"])["updated_at"], json!(null));
    desk.run(&["config", "set", "scan.exclude", "*.bak"]).expect(0);
    let held = desk.json(&["config", "get", "scan.exclude"]);
    assert_eq!(held["value"], "*.bak");
    assert!(held["updated_at"].is_string());
    assert_eq!(desk.scan()["new"], 1);
    desk.run(&["config", "unset", "scan.exclude"]).expect(0);
    assert_eq!(desk.scan()["new"], 1);
}
