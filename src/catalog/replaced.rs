//! What stood at a place where something else stands now.
//!
//! A file with another content than before was edited, or another file was put in its place and it stands elsewhere now.
//! Which of the two shows only when all has been read, and files are read in any order. So an edit takes its document along
//! at once, what the file was before is kept here, and the document goes back where its former content turns up: the same
//! as if that place had been read first.

use rusqlite::{Connection, OptionalExtension, params};

use super::files::Recording;
use super::{Result, documents, outbox};

/// Whether any is kept. Where none is, nobody asks for a single one.
///
/// # Errors
/// SQLite's.
pub fn any(conn: &Connection) -> Result<bool> {
    Ok(conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM replaced)")?.query_row([], |row| row.get(0))?)
}

/// Whether this content stood where something else does now.
pub(super) fn holds(conn: &Connection, hash: &[u8; 32]) -> Result<bool> {
    Ok(conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM replaced WHERE content_hash = ?1)")?
        .query_row([hash], |row| row.get(0))?)
}

/// Keeps what a file is, before it is written down as something else. What was kept by a scan that came to no conclusion
/// stays: that is what the last conclusion knew.
pub(super) fn keep(conn: &Connection, recording: &mut Recording<'_>, file_id: i64) -> Result<()> {
    *recording.replaced = true;
    conn.prepare_cached(
        "INSERT OR IGNORE INTO replaced (file_id, scan_id, kind, size, mtime_ns, ctime_ns, inode, content_hash, link_target, document_id)
         SELECT file_id, ?2, kind, size, mtime_ns, ctime_ns, inode, content_hash, link_target, document_id
         FROM files WHERE file_id = ?1",
    )?
    .execute(params![file_id, recording.scan_id])?;
    Ok(())
}

/// The document that a file is a copy of by now; a walker may have read of it before it was given back.
pub(super) fn document_of(conn: &Connection, file_id: i64) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached("SELECT document_id FROM files WHERE file_id = ?1")?
        .query_row([file_id], |row| row.get(0))?)
}

/// A content that no document has turned up: where an edit took its document along, the document comes back to it. The
/// edited file starts one of its own, with the curation it had. Returns the document.
pub(super) fn give_back(
    conn: &Connection,
    recording: &mut Recording<'_>,
    hash: [u8; 32],
    size: u64,
    before: Option<i64>,
) -> Result<Option<i64>> {
    let carried: Option<i64> = conn
        .prepare_cached(
            "SELECT document_id FROM replaced WHERE content_hash = ?1 AND document_id IS NOT NULL ORDER BY document_id LIMIT 1",
        )?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    match carried {
        // Edited back: it took the document along itself, and does so again.
        Some(document_id) if before != Some(document_id) => {
            turn_back(conn, recording, document_id, hash, size)?;
            Ok(Some(document_id))
        }
        _ => Ok(None),
    }
}

/// A document has its former content again. What it was carried to starts a document of its own.
pub(super) fn turn_back(
    conn: &Connection,
    recording: &mut Recording<'_>,
    document_id: i64,
    hash: [u8; 32],
    size: u64,
) -> Result<()> {
    let now = documents::by_id(conn, document_id)?;
    let Some(carried_to) = now.content_hash.filter(|content| *content != hash) else { return Ok(()) };
    let own =
        documents::found(conn, recording.ids, Some(document_id), carried_to, now.size, recording.now_ms)?;
    conn.prepare_cached("UPDATE files SET document_id = ?2 WHERE document_id = ?1 AND content_hash = ?3")?
        .execute(params![document_id, own, carried_to])?;
    documents::set_content(conn, document_id, hash, size, recording.now_ms)?;
    for document_id in [document_id, own] {
        outbox::enqueue_mirror_to(conn, recording, document_id)?;
    }
    Ok(())
}

/// A scan of the whole library has drawn its conclusions.
///
/// # Errors
/// SQLite's.
pub fn forget(conn: &Connection, library_id: i64) -> Result<()> {
    conn.execute(
        "DELETE FROM replaced WHERE file_id IN (
             SELECT file_id FROM replaced CROSS JOIN files USING (file_id) CROSS JOIN dirs USING (dir_id) WHERE library_id = ?1)",
        [library_id],
    )?;
    Ok(())
}
