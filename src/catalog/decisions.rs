//! Decisions: plans that wait for a person. Asked again by every scan, never answered by time (L8).

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, files, privacy, word_of};
use crate::model::{RelPath, words};

words! {
    /// What is to be decided.
    pub enum DecisionKind {
        /// So many files are newly missing that somebody should look.
        MassMissing = "mass-missing",
        /// So many files changed that somebody should look.
        MassChange = "mass-change",
        /// So much is to be taken back from stores that somebody should look.
        MassRecall = "mass-recall",
    }
}

words! {
    /// How a decision stands.
    pub enum DecisionState {
        /// It waits.
        Open = "open",
        /// Yes: it was done.
        Approved = "approved",
        /// No: nothing was done; the next scan asks again where it still sees the same.
        Rejected = "rejected",
        /// A later scan found nothing to decide any more.
        Settled = "settled",
    }
}

/// A decision.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Its number.
    pub decision_id: i64,
    /// About which library.
    pub library_id: i64,
    /// What is to be decided.
    pub kind: DecisionKind,
    /// How it stands.
    pub state: DecisionState,
    /// Counts by cause.
    pub facts: serde_json::Value,
    /// When it was asked first, in milliseconds.
    pub created_at: i64,
}

fn decision(row: &Row<'_>) -> rusqlite::Result<Decision> {
    let facts: String = row.get("facts")?;
    Ok(Decision {
        decision_id: row.get("decision_id")?,
        library_id: row.get("library_id")?,
        kind: word_of(row, "kind")?,
        state: word_of(row, "state")?,
        facts: serde_json::from_str(&facts).unwrap_or(serde_json::Value::Null),
        created_at: row.get("created_at")?,
    })
}

const COLUMNS: &str = "decision_id, library_id, kind, state, facts, created_at";

/// Open decisions, oldest first.
///
/// # Errors
/// SQLite's.
pub fn open(conn: &Connection) -> Result<Vec<Decision>> {
    let mut statement =
        conn.prepare(&format!("SELECT {COLUMNS} FROM decisions WHERE state = 'open' ORDER BY decision_id"))?;
    let rows = statement.query_map([], decision)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The oldest decision about a library that waits.
///
/// # Errors
/// SQLite's.
pub fn first_open(conn: &Connection, library_id: i64) -> Result<Option<i64>> {
    Ok(conn.query_row(
        "SELECT min(decision_id) FROM decisions WHERE library_id = ?1 AND state = 'open'",
        [library_id],
        |row| row.get(0),
    )?)
}

/// The decision of that number.
///
/// # Errors
/// SQLite's.
pub fn by_id(conn: &Connection, decision_id: i64) -> Result<Option<Decision>> {
    Ok(conn
        .query_row(
            &format!("SELECT {COLUMNS} FROM decisions WHERE decision_id = ?1"),
            [decision_id],
            decision,
        )
        .optional()?)
}

/// Asks, or asks again with today's numbers. The files it is about are the scan's candidates for `mass-missing`.
///
/// # Errors
/// SQLite's.
pub fn ask(
    conn: &Connection,
    library_id: i64,
    kind: DecisionKind,
    facts: &serde_json::Value,
    now_ms: i64,
) -> Result<i64> {
    let decision_id: i64 = conn.query_row(
        "INSERT INTO decisions (library_id, kind, state, facts, created_at, updated_at) VALUES (?1, ?2, 'open', ?3, ?4, ?4)
         ON CONFLICT (library_id, kind) WHERE state = 'open' DO UPDATE SET facts = excluded.facts, updated_at = excluded.updated_at
         RETURNING decision_id",
        params![library_id, kind.as_str(), facts.to_string(), now_ms],
        |row| row.get(0),
    )?;
    if kind == DecisionKind::MassMissing {
        conn.execute("DELETE FROM decision_files WHERE decision_id = ?1", [decision_id])?;
        conn.execute(
            "INSERT INTO decision_files (decision_id, file_id)
             SELECT ?1, c.file_id FROM temp.scan_candidates c CROSS JOIN files f USING (file_id)
             WHERE f.presence <> 'missing' AND c.elsewhere IS NULL",
            [decision_id],
        )?;
    }
    Ok(decision_id)
}

/// A scan that drew conclusions has looked at a part of the library, or all of it: what an open `mass-missing` decision is
/// about and was seen there is not missing, and an answer is not about it any more. Where nothing is left of it, it is
/// settled.
///
/// # Errors
/// SQLite's.
pub fn forget_seen(conn: &Connection, library_id: i64, scope: &RelPath, now_ms: i64) -> Result<()> {
    let open = open_of(conn, library_id, DecisionKind::MassMissing)?;
    let Some(decision_id) = open else { return Ok(()) };
    for dir_id in super::dirs::ids_in_subtree(conn, library_id, scope)? {
        // Who was not seen is a candidate, or unknown where nobody could look.
        conn.prepare_cached(
            "DELETE FROM decision_files WHERE decision_id = ?1 AND file_id IN (
                 SELECT file_id FROM files WHERE dir_id = ?2 AND presence = 'present'
                 AND file_id NOT IN (SELECT file_id FROM temp.scan_candidates))",
        )?
        .execute(params![decision_id, dir_id])?;
    }
    if samples(conn, decision_id, 1)?.is_empty() {
        close(conn, decision_id, DecisionState::Settled, now_ms)?;
    }
    Ok(())
}

pub(super) fn open_of(conn: &Connection, library_id: i64, kind: DecisionKind) -> Result<Option<i64>> {
    Ok(conn
        .query_row(
            "SELECT decision_id FROM decisions WHERE library_id = ?1 AND kind = ?2 AND state = 'open'",
            params![library_id, kind.as_str()],
            |row| row.get(0),
        )
        .optional()?)
}

/// A complete scan found nothing to decide: what was open about this library is settled, and what it held goes on.
///
/// # Errors
/// SQLite's.
pub fn settle(conn: &Connection, library_id: i64, kind: DecisionKind, now_ms: i64) -> Result<()> {
    match open_of(conn, library_id, kind)? {
        Some(decision_id) => close(conn, decision_id, DecisionState::Settled, now_ms),
        None => Ok(()),
    }
}

/// Holds back the operations that wait for documents this scan changed, until the decision is answered.
///
/// # Errors
/// SQLite's.
pub fn hold_changed(conn: &Connection, decision_id: i64, library_id: i64, since_ms: i64) -> Result<u64> {
    Ok(conn.execute(
        "UPDATE outbox SET held_by = ?1 WHERE state = 'pending' AND kind = 'mirror' AND document_id IN (
             SELECT f.document_id FROM files f JOIN dirs USING (dir_id)
             WHERE library_id = ?2 AND f.hashed_at >= ?3 AND f.first_seen < ?3)",
        params![decision_id, library_id, since_ms],
    )? as u64)
}

/// The evidence of what is missing because a person said so.
pub const APPROVED: &str = "approved: not in a complete listing";

/// Approves: what waited is done. Returns how many files or operations it was about.
///
/// # Errors
/// SQLite's.
pub fn approve(conn: &Connection, decision: &Decision, now_ms: i64) -> Result<u64> {
    super::query::forget_counts(conn, decision.library_id)?;
    let done = match decision.kind {
        DecisionKind::MassMissing => conn.execute(
            "UPDATE files SET presence = 'missing', evidence = ?3, missing_since = ?2,
                    missing_scans = 0, updated_at = ?2
             WHERE file_id IN (SELECT file_id FROM decision_files WHERE decision_id = ?1) AND presence IN ('present', 'unknown')",
            params![decision.decision_id, now_ms, APPROVED],
        )?,
        DecisionKind::MassChange => held(conn, decision.decision_id)?,
        DecisionKind::MassRecall => {
            usize::try_from(privacy::approve(conn, decision.decision_id, now_ms)?).unwrap_or(usize::MAX)
        }
    };
    close(conn, decision.decision_id, DecisionState::Approved, now_ms)?;
    Ok(done as u64)
}

/// Rejects: nothing is concluded from what the scan saw. A held change stays in the queue, held.
///
/// # Errors
/// SQLite's.
pub fn reject(conn: &Connection, decision: &Decision, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE decisions SET state = 'rejected', updated_at = ?2 WHERE decision_id = ?1",
        params![decision.decision_id, now_ms],
    )?;
    privacy::reject(conn, decision.decision_id)
}

/// What was to be taken back may leave again, all of it: nothing is to be decided any more.
pub(super) fn settle_without_recalls(conn: &Connection, now_ms: i64) -> Result<()> {
    let over: Vec<i64> = {
        let mut statement = conn.prepare_cached(
            "SELECT decision_id FROM decisions d WHERE kind = 'mass-recall' AND state = 'open'
             AND NOT EXISTS (SELECT 1 FROM recalls r WHERE r.decision_id = d.decision_id)",
        )?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for decision_id in over {
        close(conn, decision_id, DecisionState::Settled, now_ms)?;
    }
    Ok(())
}

fn held(conn: &Connection, decision_id: i64) -> Result<usize> {
    Ok(conn
        .query_row("SELECT count(*) FROM outbox WHERE held_by = ?1", [decision_id], |row| {
            row.get::<_, i64>(0)
        })?
        .cast_unsigned() as usize)
}

fn close(conn: &Connection, decision_id: i64, state: DecisionState, now_ms: i64) -> Result<()> {
    conn.execute("UPDATE outbox SET held_by = NULL WHERE held_by = ?1", [decision_id])?;
    conn.execute(
        "UPDATE decisions SET state = ?2, updated_at = ?3 WHERE decision_id = ?1",
        params![decision_id, state.as_str(), now_ms],
    )?;
    Ok(())
}

/// Open decisions that are about a file, or hold back what waits for its document.
///
/// # Errors
/// SQLite's.
pub fn holding(conn: &Connection, file_id: i64, document_id: Option<i64>) -> Result<Vec<Decision>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM decisions WHERE state = 'open' AND decision_id IN (
             SELECT decision_id FROM decision_files WHERE file_id = ?1 AND decision_id IN (SELECT decision_id FROM decisions WHERE state = 'open')
             UNION SELECT held_by FROM outbox WHERE document_id = ?2 AND state = 'pending')
         ORDER BY decision_id"
    ))?;
    let rows = statement.query_map(params![file_id, document_id], decision)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Some of the files a decision is about.
///
/// # Errors
/// SQLite's.
pub fn samples(conn: &Connection, decision_id: i64, limit: u32) -> Result<Vec<RelPath>> {
    let mut statement = conn.prepare(
        "SELECT d.path, f.name FROM decision_files x JOIN files f USING (file_id) JOIN dirs d USING (dir_id)
         WHERE x.decision_id = ?1 ORDER BY d.path, f.name LIMIT ?2",
    )?;
    let rows =
        statement.query_map(params![decision_id, limit], |row| Ok(files::join(row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
