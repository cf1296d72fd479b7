//! What a catalogue says, without what may differ between two ways to the same end: numbers, keys and times.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;

/// One line for each fact; two catalogues that say the same give the same lines.
pub(crate) fn of_catalogue(home: &Path) -> Vec<String> {
    let conn = open(home);
    let mut lines = of_query(
        &conn,
        "SELECT 'file ' || CAST(path AS TEXT) || ' ' || kind || ' ' || size || ' ' || presence || ' ' || iif(content_hash IS NULL, '-', lower(hex(content_hash)))
             || CASE WHEN missing_since IS NULL THEN '' ELSE ' since' END
         FROM (SELECT CASE WHEN d.path = x'' THEN f.name ELSE d.path || x'2F' || f.name END AS path, f.* FROM files f JOIN dirs d USING (dir_id))
         ORDER BY path",
    );
    // Which files are copies of one document.
    lines.extend(of_query(
        &conn,
        "SELECT 'document of ' || group_concat(path, ', ') || ' enriched ' || (enrich_stale = 0) FROM
           (SELECT f.document_id, CAST(CASE WHEN d.path = x'' THEN f.name ELSE d.path || x'2F' || f.name END AS TEXT) AS path
            FROM files f JOIN dirs d USING (dir_id) ORDER BY 2)
         JOIN documents USING (document_id) GROUP BY document_id ORDER BY 1",
    ));
    for count in ["SELECT count(*) FROM documents", "SELECT count(*) FROM texts"] {
        lines.extend(of_query(&conn, &format!("SELECT '{count}: ' || ({count})")));
    }
    lines.extend(of_query(
        &conn,
        "SELECT 'object ' || state || ' ' || payload || ' ' || coalesce(cause, '-') || ' ' || count(*)
         FROM remote_objects WHERE cause IS NOT 'abandoned' GROUP BY state, payload, cause ORDER BY 1",
    ));
    lines.extend(of_query(
        &conn,
        "SELECT 'waiting ' || kind || ' ' || state || ' ' || count(*) FROM outbox
         WHERE state NOT IN ('done', 'superseded') GROUP BY kind, state ORDER BY 1",
    ));
    lines.extend(of_query(&conn, "SELECT 'attempts ' || coalesce(max(attempts), 0) FROM outbox"));
    lines.extend(of_query(
        &conn,
        "SELECT 'problem ' || CAST(path AS TEXT) || ' ' || kind FROM file_problems ORDER BY 1",
    ));
    lines
}

/// Path and content of every file that is known, in hexadecimal, with its presence.
pub(crate) fn files(home: &Path) -> BTreeMap<String, (String, String)> {
    let conn = open(home);
    let mut statement = conn
        .prepare(
            "SELECT CAST(CASE WHEN d.path = x'' THEN f.name ELSE d.path || x'2F' || f.name END AS TEXT), f.presence,
                    iif(f.content_hash IS NULL, '-', lower(hex(f.content_hash)))
             FROM files f JOIN dirs d USING (dir_id)",
        )
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))).unwrap();
    rows.map(Result::unwrap).collect()
}

/// The rows of a table of any catalogue, in order, in the columns that it has in the catalogue `as_in`.
pub(crate) fn of_table(path: &Path, table: &str, as_in: &Path) -> Vec<String> {
    let columns = of_query(
        &Connection::open(as_in).unwrap(),
        &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"),
    );
    let conn = Connection::open(path).unwrap();
    let mut statement =
        conn.prepare(&format!("SELECT {} FROM {table} ORDER BY 1", columns.join(", "))).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cells: rusqlite::Result<Vec<rusqlite::types::Value>> =
            (0..columns).map(|at| row.get(at)).collect();
        Ok(format!("{:?}", cells?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// The file itself is whole, and so are its references.
#[track_caller]
pub(crate) fn assert_whole(home: &Path) {
    let conn = open(home);
    assert_eq!(of_query(&conn, "PRAGMA integrity_check"), ["ok"]);
    let dangling =
        conn.prepare("PRAGMA foreign_key_check").unwrap().query_map([], |_| Ok(())).unwrap().count();
    assert_eq!(dangling, 0);
}

/// The first lines in which two states differ, for a message that people can read.
#[track_caller]
pub(crate) fn assert_same(found: &[String], expected: &[String], context: &str) {
    if found == expected {
        return;
    }
    let only_in = |these: &[String], those: &[String]| -> Vec<String> {
        let those: std::collections::BTreeSet<&String> = those.iter().collect();
        these.iter().filter(|line| !those.contains(line)).take(8).cloned().collect()
    };
    panic!(
        "{context}: found only {:#?}, expected only {:#?}",
        only_in(found, expected),
        only_in(expected, found)
    );
}

fn open(home: &Path) -> Connection {
    Connection::open(home.join("catalog.db")).unwrap()
}

fn of_query(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}
