//! Rows for tests of other rooms, which know no SQL.

use super::{Connection, Result};

/// A document with a text.
pub(crate) fn add_document(conn: &Connection, n: u8) -> Result<()> {
    conn.execute(
        "INSERT INTO documents (document_id, ulid, content_hash, size, enrich_stale, created_at, updated_at)
         VALUES (?1, ?2, ?3, 9, 0, 0, 0)",
        (n, format!("01ARZ3NDEKTSV4RRFFQ69G5{n:03}"), [n; 32]),
    )?;
    conn.execute(
        "INSERT INTO enrichments (content_hash, version, outcome, mime, created_at, updated_at)
         VALUES (?1, 'v', 'extracted', 'text/plain', 0, 0)",
        [[n; 32]],
    )?;
    conn.execute("INSERT INTO texts (content_hash, text) VALUES (?1, ?2)", ([n; 32], format!("text {n}")))?;
    Ok(())
}

/// Another text for a document of [`add_document`].
pub(crate) fn write_text(conn: &Connection, n: u8, text: &str) -> Result<()> {
    conn.execute("UPDATE texts SET text = ?2 WHERE content_hash = ?1", ([n; 32], text))?;
    Ok(())
}

/// A document whose text cannot be had any more.
pub(crate) fn lose_text(conn: &Connection, n: u8) -> Result<()> {
    conn.execute("UPDATE enrichments SET outcome = 'failed' WHERE content_hash = ?1", [[n; 32]])?;
    Ok(())
}

/// An original that is document 1's orphan.
pub(crate) fn add_orphan(conn: &Connection, object_id: i64, key: &str, hash: [u8; 32]) -> Result<()> {
    conn.execute(
        "INSERT INTO remote_objects (object_id, store_id, document_id, payload, remote_id, upload_hash, bytes, content_hash,
                                     state, created_at, updated_at, orphaned_at)
         VALUES (?1, 1, 1, 'original', ?2, ?3, 9, ?3, 'orphaned', 0, 0, 0)",
        (object_id, key, hash),
    )?;
    Ok(())
}

/// What a person writes on document 1's card.
pub(crate) fn say_local_only(conn: &Connection) -> Result<()> {
    conn.execute(
        "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
         VALUES (1, 'privacy', 'person', '[\"local_only\"]', 1, 0)",
        [],
    )?;
    Ok(())
}

/// How many rows there are of a table, under a condition.
pub(crate) fn count(conn: &Connection, what: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {what}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// The key of the ledger's only object.
pub(crate) fn only_remote_id(conn: &Connection) -> String {
    conn.query_row("SELECT remote_id FROM remote_objects", [], |row| row.get(0)).unwrap()
}
