//! Search as a library: nothing typed is an error, and what is found at once is what is found at leisure.

#![allow(missing_docs)]

use jiff::Timestamp;
use proptest::prelude::*;
use rusqlite::params;
use shelflist::catalog::search::{self, Query};
use shelflist::catalog::{Catalog, CatalogError};

const WORDS: [&str; 8] = ["harbour", "siege", "the", "Größe", "東京", "a", "of", "letter"];

/// Documents whose titles, paths and texts are of a few words; every third is not indexed.
fn catalogue(dir: &std::path::Path, documents: i64) -> Catalog {
    let mut catalog = Catalog::open_or_create(&dir.join("catalog.db"), Timestamp::UNIX_EPOCH).unwrap();
    catalog
        .change::<_, CatalogError>(|tx| {
            tx.execute_batch(
                "INSERT INTO libraries (library_id, ulid, name, root, has_marker, marker_generation, identity, availability, availability_since, created_at, updated_at)
                 VALUES (1, '01HZZZZZZZZZZZZZZZZZZZZZZ1', 'books', x'2F78', 0, 1, '{}', 'available', 0, 0, 0);
                 INSERT INTO dirs (dir_id, library_id, path) VALUES (1, 1, x'');",
            )?;
            for n in 1..=documents {
                let hash = *blake3::hash(&n.to_le_bytes()).as_bytes();
                let pick = |salt: i64| WORDS[((n * 7 + salt * n / 3 + salt) % 8) as usize];
                tx.execute("INSERT INTO documents (document_id, ulid, content_hash, size, enrich_stale, created_at, updated_at) VALUES (?1, '01HZZZZZZZZZZZZZZZZZZZZZD1', ?2, 1, 0, 0, 0)", params![n, hash])?;
                tx.execute("INSERT INTO files (dir_id, name, kind, size, mtime_ns, ctime_ns, inode, young, content_hash, document_id, presence, appeared_scan, first_seen, seen_at, updated_at) VALUES (1, ?1, 'file', 1, 0, 0, ?2, 0, ?3, ?2, ?4, 1, 0, 0, 0)",
                    params![format!("{}-{n}.txt", pick(1)).as_bytes(), n, hash, if n % 11 == 0 { "missing" } else { "present" }])?;
                tx.execute("INSERT INTO enrichments (content_hash, version, outcome, created_at, updated_at) VALUES (?1, '0', 'extracted', 0, 0)", [hash])?;
                tx.execute("INSERT INTO texts (content_hash, text) VALUES (?1, ?2)", params![hash, format!("{} {} {}", pick(2), pick(3), pick(5))])?;
                tx.execute("INSERT INTO annotations (document_id, field, source, value, confidence, updated_at) VALUES (?1, 'title', 'person', json_array(?2), 1, 0)", params![n, format!("{} {}", pick(4), pick(6))])?;
            }
            Ok(())
        })
        .unwrap();
    while catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, 64)).unwrap() > 0 {}
    catalog
        .change::<_, CatalogError>(|tx| {
            tx.execute("UPDATE documents SET search_stale = 1 WHERE document_id % 3 = 0", [])?;
            Ok(())
        })
        .unwrap();
    catalog
}

fn a_query() -> impl Strategy<Value = String> {
    let word = prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned);
    let item = prop_oneof![
        4 => word.clone(),
        1 => word.clone().prop_map(|word| format!("-{word}")),
        1 => word.clone().prop_map(|word| format!("{}*", word.chars().take(3).collect::<String>())),
        1 => (word.clone(), word.clone()).prop_map(|(one, two)| format!("\"{one} {two}\"")),
        1 => (word.clone(), word.clone()).prop_map(|(one, two)| format!("{one} OR {two}")),
        1 => (prop::sample::select(vec!["title", "text", "path", "author", "-title"]), word).prop_map(|(field, word)| format!("{field}:{word}")),
        1 => Just("missing:yes".to_owned()),
        1 => Just("library:books".to_owned()),
    ];
    prop::collection::vec(item, 1..7).prop_map(|items| items.join(" "))
}

// O3: what is found at once is what is found at leisure, and what looking at every document finds
#[test]
fn a_search_finds_all_that_fits_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = catalogue(dir.path(), 300);
    let conn = catalog.read();
    proptest!(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }, |(typed in a_query())| {
        let found = search::find(conn, &Query::parse(&typed), usize::MAX).unwrap();
        prop_assert!(!found.total_is_at_least);
        let mut exact: Vec<i64> = found.hits.iter().filter(|hit| !hit.approximate).map(|hit| hit.document_id).collect();
        exact.sort_unstable();
        prop_assert_eq!(&exact, &search::matching(conn, &typed).unwrap());
        // One clause after the other narrows what was found.
        let mut narrowed: Option<Vec<i64>> = None;
        for clause in by_clause(&typed) {
            let fits = search::matching(conn, &clause).unwrap();
            narrowed = Some(match narrowed {
                None => fits,
                Some(before) => before.into_iter().filter(|id| fits.contains(id)).collect(),
            });
        }
        prop_assert_eq!(exact, narrowed.unwrap());
    });
}

/// The clauses of a query of [`a_query`], which has no spaces within one but in phrases and round OR.
fn by_clause(typed: &str) -> Vec<String> {
    let mut clauses: Vec<String> = Vec::new();
    let mut quoted = false;
    for item in typed.split(' ') {
        let goes_on = quoted || item == "OR" || clauses.last().is_some_and(|last| last.ends_with(" OR"));
        quoted ^= item.matches('"').count() % 2 == 1;
        match clauses.last_mut() {
            Some(last) if goes_on => last.push_str(&format!(" {item}")),
            _ => clauses.push(item.to_owned()),
        }
    }
    clauses
}

// O3
#[test]
fn nothing_that_is_typed_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = catalogue(dir.path(), 20);
    let conn = catalog.read();
    let marks = "[ \"*:(){}^+\\-a-cA東é\u{0}\u{301}]{0,24}|.{0,24}|(title|tag|before|missing|path|OR|AND|NOT|NEAR|-)[:( \"*]{0,3}[a-z\"* ]{0,8}";
    proptest!(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }, |(typed in marks)| {
        let query = Query::parse(&typed);
        let found = search::find(conn, &query, 5).unwrap();
        search::matching(conn, &typed).unwrap();
        for hit in found.hits {
            let hash = *blake3::hash(&hit.document_id.to_le_bytes()).as_bytes();
            let text = search::beginning(conn, hash).unwrap().unwrap();
            let _ = search::snippet(&text, &query, 10);
        }
    });
}

// O3: of what is not indexed a search looks at a part, and says so
#[test]
fn a_search_says_how_much_is_not_indexed() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = catalogue(dir.path(), 700);
    catalog
        .change::<_, CatalogError>(|tx| {
            tx.execute("UPDATE documents SET search_stale = 1", [])?;
            tx.execute_batch(
                "DELETE FROM search_cards; DELETE FROM search_texts; DELETE FROM search_documents;",
            )?;
            Ok(())
        })
        .unwrap();
    let found = search::find(catalog.read(), &Query::parse("699.txt"), 10).unwrap();
    assert_eq!((found.total, found.unindexed), (1, 200), "found by its name");
    assert_eq!(search::matching(catalog.read(), "699.txt").unwrap(), [699]);
    while catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, 64)).unwrap() > 0 {}
    assert_eq!(search::find(catalog.read(), &Query::parse("699.txt"), 10).unwrap().unindexed, 0);
}

// O3: the index is brought in line in steps, and a step that is undone is done again
#[test]
fn indexing_is_resumed_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = catalogue(dir.path(), 90);
    let tx = catalog.write().unwrap();
    assert_eq!(search::index_stale(&tx, 10).unwrap(), 10);
    tx.rollback().unwrap();
    assert_eq!(catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, 10)).unwrap(), 10);
    assert_eq!(catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, 100)).unwrap(), 20);
    assert_eq!(catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, 100)).unwrap(), 0);
    let rows: i64 =
        catalog.read().query_row("SELECT count(*) FROM search_cards_docsize", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 90, "each document once");
}

// O3: what was indexed in many pieces is one piece at the end: a search looks into every one, at every word
#[test]
fn a_whole_catalogue_is_indexed_in_batches_and_merged() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = catalogue(dir.path(), 5_100);
    catalog
        .change::<_, CatalogError>(|tx| Ok(tx.execute("UPDATE documents SET search_stale = 1", [])?))
        .unwrap();
    let number = |catalog: &Catalog, sql: &str| -> i64 {
        catalog.read().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let before = search::matching(catalog.read(), "siege").unwrap();
    let pieces = "SELECT count(DISTINCT segid) FROM search_cards_idx";
    assert!(number(&catalog, pieces) > 1);

    assert_eq!(search::index_all(&mut catalog, |_| false).unwrap(), 5_000, "stopped after a batch");
    assert_eq!(search::index_all(&mut catalog, |_| true).unwrap(), 100);
    catalog
        .change::<_, CatalogError>(|tx| Ok(tx.execute("UPDATE documents SET search_stale = 1", [])?))
        .unwrap();
    assert_eq!(search::index_all(&mut catalog, |_| true).unwrap(), 5_100);
    assert_eq!(number(&catalog, pieces), 1);
    assert_eq!(number(&catalog, "SELECT count(DISTINCT segid) FROM search_texts_idx"), 1);
    assert_eq!(number(&catalog, "PRAGMA cache_size"), -32_768, "as it was");
    assert_eq!(search::matching(catalog.read(), "siege").unwrap(), before);

    // A word that is in every path: a search takes some of them, says so, and does not miss the one with it in its title.
    catalog
        .change::<_, CatalogError>(|tx| {
            tx.execute(
                "UPDATE annotations SET value = '[\"Txt\"]' WHERE document_id = 5000 AND field = 'title'",
                [],
            )?;
            Ok(tx.execute("UPDATE documents SET search_stale = 1 WHERE document_id = 5000", [])?)
        })
        .unwrap();
    assert_eq!(search::index_all(&mut catalog, |_| true).unwrap(), 1);
    let found = search::find(catalog.read(), &Query::parse("txt"), 20).unwrap();
    assert!(found.total_is_at_least && found.total >= 1_000, "{found:?}");
    assert_eq!(found.hits[0].document_id, 5_000);
}
