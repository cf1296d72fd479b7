//! Problems: one file's trouble, remembered until a later look finds it gone.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, word_of};
use crate::model::{Problem, RelPath};

/// Writes a problem down as seen by this scan. Where the caller does not know the file's number (a walker met it for the
/// first time), it is looked up: the file's history shall tell of it.
///
/// # Errors
/// SQLite's.
pub fn record(
    conn: &Connection,
    library_id: i64,
    file_id: Option<i64>,
    problem: &Problem,
    scan_id: i64,
    now_ms: i64,
) -> Result<()> {
    let file_id = match (file_id, problem.path.split()) {
        (None, Some((dir, name))) => conn
            .prepare_cached(
                "SELECT file_id FROM files JOIN dirs USING (dir_id) WHERE library_id = ?1 AND path = ?2 AND name = ?3",
            )?
            .query_row(params![library_id, dir.as_bytes(), name], |row| row.get(0))
            .optional()?,
        (file_id, _) => file_id,
    };
    conn.prepare_cached(
        "INSERT INTO file_problems (library_id, file_id, path, kind, message, scan_id, first_seen, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)
         ON CONFLICT (library_id, path) DO UPDATE SET file_id = excluded.file_id, kind = excluded.kind,
             message = excluded.message, scan_id = excluded.scan_id, updated_at = excluded.updated_at",
    )?
    .execute(params![
        library_id,
        file_id,
        problem.path.as_bytes(),
        problem.kind.as_str(),
        problem.message,
        scan_id,
        now_ms
    ])?;
    Ok(())
}

/// Forgets the problems that a complete scan did not meet again. Those below frozen directories stay: nobody looked.
///
/// # Errors
/// SQLite's.
pub fn settle(conn: &Connection, library_id: i64, scan_id: i64, frozen: &[RelPath]) -> Result<()> {
    let mut stale: Vec<(i64, RelPath)> = Vec::new();
    {
        let mut statement = conn.prepare_cached(
            "SELECT problem_id, path FROM file_problems WHERE library_id = ?1 AND scan_id <> ?2",
        )?;
        let mut rows = statement.query(params![library_id, scan_id])?;
        while let Some(row) = rows.next()? {
            stale.push((row.get(0)?, RelPath::from_bytes(row.get::<_, Vec<u8>>(1)?)));
        }
    }
    for (problem_id, path) in stale {
        if !frozen.iter().any(|dir| path.starts_with(dir)) {
            conn.prepare_cached("DELETE FROM file_problems WHERE problem_id = ?1")?.execute([problem_id])?;
        }
    }
    Ok(())
}

/// The problems of a library, by path: those of the disk, then those of extraction.
///
/// # Errors
/// SQLite's.
pub fn of_library(conn: &Connection, library_id: i64) -> Result<Vec<Problem>> {
    let mut statement = conn.prepare_cached(
        "SELECT path, kind, message FROM file_problems WHERE library_id = ?1 ORDER BY path",
    )?;
    let rows = statement.query_map([library_id], problem)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn problem(row: &Row<'_>) -> rusqlite::Result<Problem> {
    Ok(Problem {
        path: RelPath::from_bytes(row.get::<_, Vec<u8>>("path")?),
        kind: word_of(row, "kind")?,
        message: row.get("message")?,
    })
}

/// The problem of one path, and since when, in milliseconds.
///
/// # Errors
/// SQLite's.
pub fn at(conn: &Connection, library_id: i64, path: &RelPath) -> Result<Option<(Problem, i64)>> {
    Ok(conn
        .prepare_cached(
            "SELECT path, kind, message, first_seen FROM file_problems WHERE library_id = ?1 AND path = ?2",
        )?
        .query_row(params![library_id, path.as_bytes()], |row| Ok((problem(row)?, row.get("first_seen")?)))
        .optional()?)
}

/// Whether a library has any.
///
/// # Errors
/// SQLite's.
pub fn any(conn: &Connection, library_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM file_problems WHERE library_id = ?1)")?
        .query_row([library_id], |row| row.get(0))?)
}

/// A later look found nothing wrong.
///
/// # Errors
/// SQLite's.
pub fn resolve(conn: &Connection, library_id: i64, path: &RelPath) -> Result<()> {
    conn.prepare_cached("DELETE FROM file_problems WHERE library_id = ?1 AND path = ?2")?
        .execute(params![library_id, path.as_bytes()])?;
    Ok(())
}
