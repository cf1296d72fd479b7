//! The scan's own bookkeeping: candidates, moves, and what is missing in the end.
//!
//! Files that a complete listing did not show are collected in a temporary table, which is gone with the connection: a
//! scan that dies has concluded nothing. Only [`finish_missing`] turns candidates into missing files, after the root was
//! verified once more and the guard has agreed.

use rusqlite::{Connection, OptionalExtension, params};

use super::Result;
use crate::model::{RelPath, words};

words! {
    /// How a scan ended.
    pub enum ScanOutcome {
        /// It runs.
        Running = "running",
        /// All of the library was looked at.
        Complete = "complete",
        /// A part was asked for, or some directories could not be listed.
        Partial = "partial",
        /// The user stopped it; what was done is kept.
        Interrupted = "interrupted",
        /// The root went away; nothing negative was concluded.
        RootLost = "root-lost",
        /// It was killed.
        Abandoned = "abandoned",
    }
}

/// Begins a scan. Earlier ones of the library that still say `running` were killed: the caller holds the run lock.
///
/// # Errors
/// SQLite's.
pub fn begin(conn: &Connection, library_id: i64, scope: &RelPath, now_ms: i64) -> Result<i64> {
    conn.execute(
        "UPDATE scans SET outcome = 'abandoned', ended_at = ?2 WHERE library_id = ?1 AND outcome = 'running'",
        params![library_id, now_ms],
    )?;
    conn.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS scan_candidates (file_id INTEGER PRIMARY KEY, elsewhere TEXT) STRICT;
         DELETE FROM scan_candidates;",
    )?;
    conn.execute(
        "INSERT INTO scans (library_id, scope, outcome, started_at) VALUES (?1, ?2, 'running', ?3)",
        params![library_id, scope.as_bytes(), now_ms],
    )?;
    Ok(conn.last_insert_rowid())
}

/// How many files the last complete scan of a library saw: about as many as the next one will.
///
/// # Errors
/// SQLite's.
pub fn files_seen_last(conn: &Connection, library_id: i64) -> Result<Option<u64>> {
    let seen: Option<i64> = conn
        .query_row(
            "SELECT json_extract(report, '$.files_seen') FROM scans WHERE library_id = ?1 AND outcome = 'complete'
             ORDER BY scan_id DESC LIMIT 1",
            [library_id],
            |row| row.get(0),
        )
        .optional()?
        .flatten();
    Ok(seen.map(i64::cast_unsigned))
}

/// Ends a scan.
///
/// # Errors
/// SQLite's.
pub fn end(conn: &Connection, scan_id: i64, outcome: ScanOutcome, report: &str, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE scans SET outcome = ?2, report = ?3, ended_at = ?4 WHERE scan_id = ?1",
        params![scan_id, outcome.as_str(), report, now_ms],
    )?;
    if outcome == ScanOutcome::Complete {
        conn.execute(
            "UPDATE libraries SET last_complete_scan = ?2, updated_at = ?2
             WHERE library_id = (SELECT library_id FROM scans WHERE scan_id = ?1)",
            params![scan_id, now_ms],
        )?;
    }
    Ok(())
}

/// The number of the last scan before this one that asked for the whole library and drew its conclusions, also where it
/// could not list everything; or, if `complete`, of the last that saw everything. 0 where there was none.
pub(super) fn last_conclusive(conn: &Connection, scan_id: i64, complete: bool) -> Result<i64> {
    Ok(conn.query_row(
        "SELECT coalesce(max(scan_id), 0) FROM scans
         WHERE library_id = (SELECT library_id FROM scans WHERE scan_id = ?1) AND scan_id < ?1
           AND (outcome = 'complete' OR (NOT ?2 AND outcome = 'partial' AND scope = x''
                                         AND coalesce(json_extract(report, '$.dry_run'), 0) = 0))",
        params![scan_id, complete],
        |row| row.get(0),
    )?)
}

/// Since when scans that came to no conclusion have been writing down what changed; `None` where the last scan before
/// this one came to its end. Nobody has asked yet whether what they saw is to be believed (D6).
///
/// # Errors
/// SQLite's.
pub fn cut_off_since(conn: &Connection, scan_id: i64) -> Result<Option<i64>> {
    Ok(conn.query_row(
        "SELECT min(started_at) FROM scans
         WHERE library_id = (SELECT library_id FROM scans WHERE scan_id = ?1) AND scan_id < ?1
           AND outcome IN ('interrupted', 'root-lost', 'abandoned')
           AND scan_id > (SELECT coalesce(max(scan_id), 0) FROM scans
                          WHERE library_id = (SELECT library_id FROM scans WHERE scan_id = ?1) AND scan_id < ?1
                            AND outcome IN ('complete', 'partial') AND coalesce(json_extract(report, '$.dry_run'), 0) = 0)",
        [scan_id],
        |row| row.get(0),
    )?)
}

/// How many files of a library have another content than at a time.
///
/// # Errors
/// SQLite's.
pub fn count_changed_since(conn: &Connection, library_id: i64, since_ms: i64) -> Result<u64> {
    let changed: i64 = conn.query_row(
        "SELECT count(DISTINCT e.file_id) FROM events e JOIN files f ON f.file_id = e.file_id JOIN dirs d USING (dir_id)
         WHERE e.what = 'content' AND e.before IS NOT NULL AND e.at >= ?2 AND d.library_id = ?1",
        params![library_id, since_ms],
        |row| row.get(0),
    )?;
    Ok(changed.cast_unsigned())
}

/// A file was not in the complete listing of its directory.
///
/// # Errors
/// SQLite's.
pub fn add_candidate(conn: &Connection, file_id: i64) -> Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO temp.scan_candidates (file_id) VALUES (?1)")?
        .execute([file_id])?;
    Ok(())
}

/// A candidate was found elsewhere.
///
/// # Errors
/// SQLite's.
pub fn drop_candidate(conn: &Connection, file_id: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM temp.scan_candidates WHERE file_id = ?1")?.execute([file_id])?;
    Ok(())
}

/// Whether any file was not in a complete listing.
///
/// # Errors
/// SQLite's.
pub fn any_candidate(conn: &Connection) -> Result<bool> {
    Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM temp.scan_candidates)", [], |row| row.get(0))?)
}

/// No file of a directory can be where it was, because the directory itself is not there. What a rule leaves out stays
/// so: nobody looks for it, so nobody misses it (D5).
///
/// # Errors
/// SQLite's.
pub fn add_candidates_of_dir(conn: &Connection, dir_id: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO temp.scan_candidates (file_id)
         SELECT file_id FROM files WHERE dir_id = ?1 AND presence IN ('present', 'unknown')",
    )?
    .execute([dir_id])?;
    Ok(())
}

/// How many candidates there are that were not missing before, and are at no other place.
///
/// # Errors
/// SQLite's.
pub fn count_candidates(conn: &Connection) -> Result<u64> {
    // CROSS: the few candidates first, whatever SQLite thinks of a temporary table that it knows nothing of.
    let lost: i64 = conn.query_row(
        "SELECT count(*) FROM temp.scan_candidates c CROSS JOIN files f USING (file_id)
         WHERE f.presence <> 'missing' AND c.elsewhere IS NULL",
        [],
        |row| row.get(0),
    )?;
    Ok(lost.cast_unsigned())
}

/// How many candidates stand in another library now.
///
/// # Errors
/// SQLite's.
pub fn count_elsewhere(conn: &Connection) -> Result<u64> {
    let moved: i64 = conn.query_row(
        "SELECT count(*) FROM temp.scan_candidates c CROSS JOIN files f USING (file_id)
         WHERE f.presence <> 'missing' AND c.elsewhere IS NOT NULL",
        [],
        |row| row.get(0),
    )?;
    Ok(moved.cast_unsigned())
}

/// How many files the library had: what the guard's share is a share of.
///
/// All there are, less the few that are not: the one is told by an index alone, the other by that of what is not present,
/// and no row of a library that stands as it should is read.
///
/// # Errors
/// SQLite's.
pub fn count_known(conn: &Connection, library_id: i64) -> Result<u64> {
    let known: i64 = conn.query_row(
        "SELECT (SELECT count(*) FROM dirs JOIN files USING (dir_id) WHERE library_id = ?1)
              - (SELECT count(*) FROM files JOIN dirs USING (dir_id)
                 WHERE library_id = ?1 AND presence <> 'present' AND presence IN ('missing', 'excluded'))",
        [library_id],
        |row| row.get(0),
    )?;
    Ok(known.cast_unsigned())
}

/// The candidates are missing. `missing_since` is set once and kept by later scans (L6). Returns how many are new.
///
/// # Errors
/// SQLite's.
pub fn finish_missing(conn: &Connection, now_ms: i64) -> Result<u64> {
    let newly = conn.execute(
        "UPDATE files SET presence = 'missing', evidence = 'not in a complete listing', missing_since = ?1,
                missing_scans = 0, updated_at = ?1
         WHERE file_id IN (SELECT file_id FROM temp.scan_candidates WHERE elsewhere IS NULL) AND presence <> 'missing'",
        [now_ms],
    )?;
    Ok(newly as u64)
}

/// One more complete scan did not find what is missing in this library (D7). Counts up to `enough`, then writes no more.
/// Below a directory that a rule leaves out nobody looked, and nothing is counted.
///
/// # Errors
/// SQLite's.
pub fn count_missing_scan(conn: &Connection, library_id: i64, enough: i64) -> Result<()> {
    // BLOB || BLOB is a TEXT to SQLite, and no TEXT is ever equal to or greater than a BLOB.
    conn.execute(
        "UPDATE files SET missing_scans = missing_scans + 1
         WHERE presence <> 'present' AND presence = 'missing' AND missing_scans < ?2
           AND dir_id IN (SELECT dir_id FROM dirs WHERE library_id = ?1)
           AND dir_id NOT IN (
               SELECT d.dir_id FROM dirs x JOIN dirs d ON d.library_id = x.library_id
                  AND (d.path = x.path OR (d.path >= CAST(x.path || x'2F' AS BLOB) AND d.path < CAST(x.path || x'30' AS BLOB)))
               WHERE x.library_id = ?1 AND x.state = 'excluded')",
        params![library_id, enough],
    )?;
    Ok(())
}
