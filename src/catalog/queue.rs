//! The queue as people see and steer it: what waits, what was given up, and to try it again.
//!
//! What workers do with it stands in [`super::outbox`].

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, word_of};
use crate::model::{OperationState, words};

/// How the queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Queue {
    /// Waiting.
    pub pending: u64,
    /// In a worker's hands.
    pub leased: u64,
    /// Waiting for a person.
    pub dead: u64,
    /// Age of the oldest that waits.
    pub oldest_pending_ms: Option<i64>,
    /// Whether a person paused any way out.
    pub paused: bool,
}

/// How the queue stands, of one channel or of all.
///
/// # Errors
/// SQLite's.
pub fn standing(conn: &Connection, channel_id: Option<i64>, now_ms: i64) -> Result<Queue> {
    Ok(conn
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'leased'),
                    count(*) FILTER (WHERE state = 'dead'), min(created_at) FILTER (WHERE state = 'pending'),
                    EXISTS (SELECT 1 FROM channels WHERE paused = 1 AND (?1 IS NULL OR channel_id = ?1))
             FROM outbox WHERE state IN ('pending', 'leased', 'dead') AND (?1 IS NULL OR channel_id = ?1)",
        )?
        .query_row([channel_id], |row| {
            Ok(Queue {
                pending: row.get::<_, i64>(0)?.cast_unsigned(),
                leased: row.get::<_, i64>(1)?.cast_unsigned(),
                dead: row.get::<_, i64>(2)?.cast_unsigned(),
                oldest_pending_ms: row.get::<_, Option<i64>>(3)?.map(|oldest| now_ms - oldest),
                paused: row.get(4)?,
            })
        })?)
}

words! {
    /// What an operation waits for, before its store.
    pub enum WaitsFor {
        /// Its content was not read yet: `sync` does that, `enrich` too.
        Text = "text",
        /// No disk with its content was here when it was looked last.
        Disk = "disk",
    }
}

/// An operation as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Which document it is about.
    pub document_id: i64,
    /// Idempotency key.
    pub op_id: String,
    /// The store's name.
    pub store: String,
    /// `mirror` or `delete`.
    pub kind: String,
    /// Where it stands.
    pub state: OperationState,
    /// Verdicts against it so far.
    pub attempts: u32,
    /// Not due before then, in milliseconds; 0 where it is due.
    pub not_before: i64,
    /// The last verdict's code.
    pub error_code: Option<String>,
    /// The last verdict.
    pub error_text: Option<String>,
    /// What there was to do, where it was nothing, or why it was given up.
    pub note: Option<String>,
    /// The decision that holds it back.
    pub held_by: Option<i64>,
    /// What it waits for otherwise.
    pub waits_for: Option<WaitsFor>,
    /// When it was put in line, in milliseconds.
    pub created_at: i64,
    /// When it changed last, in milliseconds.
    pub updated_at: i64,
}

const SELECT: &str =
    "SELECT o.document_id, o.op_id, c.name AS store, o.kind, o.state, o.attempts, o.not_before, o.error_code, o.error_text,
            o.note, o.held_by, o.created_at, o.updated_at,
            CASE WHEN o.state <> 'pending' OR o.kind <> 'mirror' THEN NULL
                 WHEN s.payload <> 'original' AND d.enrich_stale = 1 THEN 'text'
                 WHEN (s.payload = 'original' OR o.halfway = 1)
                      AND NOT EXISTS (SELECT 1 FROM withheld w WHERE w.document_id = o.document_id)
                      AND NOT EXISTS (SELECT 1 FROM remote_objects h WHERE h.document_id = o.document_id
                                      AND h.store_id = o.channel_id AND h.payload = 'original' AND h.state = 'current'
                                      AND h.upload_hash = d.content_hash)
                      AND NOT EXISTS (SELECT 1 FROM files f JOIN dirs r USING (dir_id) JOIN libraries l USING (library_id)
                                      WHERE f.document_id = o.document_id AND f.presence = 'present'
                                        AND f.content_hash = d.content_hash AND l.availability = 'available') THEN 'disk'
            END AS waits_for
     FROM outbox o JOIN channels c USING (channel_id) LEFT JOIN stores s ON s.store_id = o.channel_id
          LEFT JOIN documents d ON d.document_id = o.document_id";

fn operation(row: &Row<'_>) -> rusqlite::Result<Operation> {
    Ok(Operation {
        document_id: row.get("document_id")?,
        op_id: row.get("op_id")?,
        store: row.get("store")?,
        kind: row.get("kind")?,
        state: word_of(row, "state")?,
        attempts: row.get("attempts")?,
        not_before: row.get("not_before")?,
        error_code: row.get("error_code")?,
        error_text: row.get("error_text")?,
        note: row.get("note")?,
        held_by: row.get("held_by")?,
        waits_for: row.get::<_, Option<String>>("waits_for")?.and_then(|word| word.parse().ok()),
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// The operations of a document, oldest first; those that were done some days ago are forgotten.
///
/// # Errors
/// SQLite's.
pub fn of_document(conn: &Connection, document_id: i64) -> Result<Vec<Operation>> {
    let mut statement = conn.prepare_cached(&format!("{SELECT} WHERE o.document_id = ?1 ORDER BY o.seq"))?;
    let rows = statement.query_map([document_id], operation)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What is not done, in the order of the queue; where only the `failed` are asked for, those that had a verdict against them,
/// given up or not, and those that alone did not get through.
///
/// # Errors
/// SQLite's.
pub fn listed(
    conn: &Connection,
    channel_id: Option<i64>,
    failed: bool,
    limit: usize,
) -> Result<Vec<Operation>> {
    let mut statement = conn.prepare_cached(&format!(
        "{SELECT} WHERE o.state IN ('pending', 'leased', 'dead') AND (?1 IS NULL OR o.channel_id = ?1)
           AND (NOT ?2 OR o.state = 'dead' OR o.attempts > 0 OR o.error_text IS NOT NULL)
         ORDER BY o.seq LIMIT ?3"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![channel_id, failed, limit], operation)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Whether an operation waits because it alone did not get through.
///
/// # Errors
/// SQLite's.
pub fn is_astray(conn: &Connection, seq: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE seq = ?1 AND state = 'pending' AND error_class = 'channel')",
        )?
        .query_row([seq], |row| row.get(0))?)
}

/// What became of one that was to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// It is in line again, as if it had never been tried.
    Again,
    /// It was in line; it is due now.
    Due,
    /// There is nothing to try again: it is done, superseded, or a worker has it.
    Over,
    /// There is none of this id.
    Unknown,
}

/// Puts one operation in line again.
///
/// # Errors
/// SQLite's.
pub fn retry(conn: &Connection, op_id: &str, now_ms: i64) -> Result<Retried> {
    let state: Option<String> = conn
        .prepare_cached("SELECT state FROM outbox WHERE op_id = upper(?1)")?
        .query_row([op_id], |row| row.get(0))
        .optional()?;
    let Some(state) = state else { return Ok(Retried::Unknown) };
    let again =
        conn.prepare_cached(&format!("{AGAIN} AND op_id = upper(?2)"))?.execute(params![now_ms, op_id])?;
    let due =
        conn.prepare_cached(&format!("{DUE} AND op_id = upper(?2)"))?.execute(params![now_ms, op_id])?;
    Ok(match (again, due) {
        (0, 0) if state == "pending" => Retried::Due,
        (0, 0) => Retried::Over,
        (0, _) => Retried::Due,
        _ => Retried::Again,
    })
}

/// What was given up, in line as if it had never been tried. Its bytes stay fixed (T4): where the document has changed since,
/// the next lease supersedes it.
const AGAIN: &str =
    "UPDATE outbox SET state = 'pending', attempts = 0, not_before = 0, error_code = NULL, updated_at = ?1
                     WHERE state = 'dead'";
const DUE: &str =
    "UPDATE outbox SET not_before = 0, updated_at = ?1 WHERE state = 'pending' AND not_before > ?1";

/// Puts all that was given up in line again. Returns how many it was.
///
/// # Errors
/// SQLite's.
pub fn retry_all(conn: &Connection, channel_id: Option<i64>, now_ms: i64) -> Result<usize> {
    Ok(conn.execute(&format!("{AGAIN} AND (?2 IS NULL OR channel_id = ?2)"), params![now_ms, channel_id])?)
}

/// Makes all due that waits for its time: what was refused, and what could not be read. Returns how many it was.
///
/// # Errors
/// SQLite's.
pub fn make_due(conn: &Connection, channel_id: Option<i64>, now_ms: i64) -> Result<usize> {
    Ok(conn.execute(&format!("{DUE} AND (?2 IS NULL OR channel_id = ?2)"), params![now_ms, channel_id])?)
}

/// Operations that were done since then.
///
/// # Errors
/// SQLite's.
pub fn done_since(conn: &Connection, since_ms: i64) -> Result<u64> {
    Ok(conn
        .prepare_cached("SELECT count(*) FROM outbox WHERE state = 'done' AND updated_at >= ?1")?
        .query_row([since_ms], |row| row.get::<_, i64>(0))?
        .cast_unsigned())
}
