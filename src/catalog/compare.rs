//! The ledger as `store check` holds it against a store: which rows an object of a list may be, which objects have to be
//! there, and what becomes of the differences.

use rusqlite::{Connection, OptionalExtension, params};
use ulid::Ulid;

use super::ledger::{self, RemoteObject};
use super::{Ids, Result, documents, outbox, settings, word_of};
use crate::model::{ObjectState, Payload, Privacy};

/// A row that an object of a list may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub object_id: i64,
    /// Its step.
    pub state: ObjectState,
    /// How many bytes it has to have.
    pub bytes: u64,
}

/// The rows that an object may be: by what the store calls it, where it names objects itself, else by its key. One that is
/// deleted is none.
///
/// # Errors
/// SQLite's.
pub fn rows_of(conn: &Connection, store_id: i64, key: &str, server_id: Option<&str>) -> Result<Vec<Row>> {
    // Between its upload and the answer that told its name an object has none in the ledger.
    let mut statement = conn.prepare_cached(if server_id.is_some() {
        "SELECT object_id, state, bytes FROM remote_objects WHERE store_id = ?1 AND server_id = ?3 AND state <> 'deleted'
         UNION SELECT object_id, state, bytes FROM remote_objects
         WHERE store_id = ?1 AND remote_id = ?2 AND server_id IS NULL AND state <> 'deleted'"
    } else {
        "SELECT object_id, state, bytes FROM remote_objects
         WHERE store_id = ?1 AND remote_id = ?2 AND ?3 IS NULL AND state <> 'deleted'"
    })?;
    let rows = statement.query_map(params![store_id, key, server_id], |row| {
        Ok(Row {
            object_id: row.get("object_id")?,
            state: word_of(row, "state")?,
            bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The next objects that have to be in a store, by their number.
///
/// # Errors
/// SQLite's.
pub fn current(conn: &Connection, store_id: i64, after: i64, limit: usize) -> Result<Vec<RemoteObject>> {
    let mut statement = conn.prepare_cached(
        "SELECT object_id FROM remote_objects WHERE store_id = ?1 AND state = 'current' AND object_id > ?2
         ORDER BY object_id LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let numbers: Vec<i64> = statement
        .query_map(params![store_id, after, limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut objects = Vec::with_capacity(numbers.len());
    for number in numbers {
        objects.extend(ledger::by_id(conn, number)?);
    }
    Ok(objects)
}

/// An object is not there, or is not what it was: its document is in line for this store, to be proved or sent again.
///
/// # Errors
/// SQLite's.
pub fn put_in_line_again(
    conn: &Connection,
    ids: &mut Ids,
    object: &RemoteObject,
    cause: &str,
    now_ms: i64,
) -> Result<()> {
    conn.prepare_cached(
        "UPDATE remote_objects SET state = 'planned', cause = ?2, server_id = NULL, remote_expires_at = NULL, updated_at = ?3
         WHERE object_id = ?1 AND state = 'current'",
    )?
    .execute(params![object.object_id, cause, now_ms])?;
    outbox::enqueue_mirror_for(conn, ids, object.store_id, object.document_id, now_ms)
}

/// An object of ours that no row knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger<'a> {
    /// In which store.
    pub store_id: i64,
    /// What of a document it is, by its key.
    pub payload: Payload,
    /// Its key.
    pub key: &'a str,
    /// What the store calls it, where it names objects itself.
    pub server_id: Option<&'a str>,
    /// Of its bytes, by its key.
    pub hash: [u8; 32],
    /// How many, where the list says so.
    pub bytes: u64,
}

/// Why it is an orphan.
pub const STRANGER: &str = "found by store check";

/// A stranger is an orphan from now on: listed with the others, deleted by the clean-up when its grace is over, and not sent
/// again where its document wants it. It is the document's that had it once (the store was put back to an earlier day), or an
/// original of its content; otherwise it is not known whose it is.
///
/// # Errors
/// SQLite's.
pub fn adopt(conn: &Connection, ids: &mut Ids, stranger: &Stranger<'_>, now_ms: i64) -> Result<()> {
    let once: Option<i64> = conn
        .prepare_cached(
            "SELECT document_id FROM remote_objects WHERE store_id = ?1 AND remote_id = ?2 ORDER BY object_id DESC LIMIT 1",
        )?
        .query_row(params![stranger.store_id, stranger.key], |row| row.get(0))
        .optional()?;
    let known = match (once, stranger.payload) {
        (Some(document_id), _) => Some(document_id),
        (None, Payload::Original) => documents::of_content(conn, &stranger.hash)?,
        (None, Payload::Enriched) => None,
    };
    let document_id = match known {
        Some(document_id) => document_id,
        None => nobodys(conn, ids, now_ms)?,
    };
    conn.prepare_cached(
        "INSERT INTO remote_objects (store_id, document_id, payload, remote_id, server_id, upload_hash, bytes, content_hash,
                                     state, cause, created_at, updated_at, uploaded_at, orphaned_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6, 'orphaned', ?8, ?9, ?9, ?9, ?9)",
    )?
    .execute(params![
        stranger.store_id,
        document_id,
        stranger.payload.as_str(),
        stranger.key,
        stranger.server_id,
        stranger.hash,
        stranger.bytes.cast_signed(),
        STRANGER,
        now_ms
    ])?;
    let object_id = conn.last_insert_rowid();
    // What may not be there has no grace (S8).
    let withheld: Option<String> = conn
        .prepare_cached("SELECT privacy FROM withheld WHERE document_id = ?1")?
        .query_row([document_id], |row| row.get(0))
        .optional()?;
    if let Some(word) = withheld {
        let privacy: Privacy = word.parse()?;
        ledger::recall(conn, object_id, false, super::privacy::cause(privacy), now_ms)?;
        outbox::enqueue_delete(conn, ids, object_id, now_ms)?;
    }
    Ok(())
}

/// The document of what is nobody's: without content or file, so that nothing is ever sent for it.
fn nobodys(conn: &Connection, ids: &mut Ids, now_ms: i64) -> Result<i64> {
    const KEY: &str = "check.nobodys";
    if let Some(ulid) = settings::noted(conn, KEY)?.and_then(|ulid| ulid.parse::<Ulid>().ok())
        && let Some(document_id) = documents::by_ulid(conn, ulid)?
    {
        return Ok(document_id);
    }
    let ulid = ids.next(now_ms).to_string();
    conn.execute(
        "INSERT INTO documents (ulid, content_hash, size, enrich_stale, search_stale, created_at, updated_at)
         VALUES (?1, NULL, 0, 0, 0, ?2, ?2)",
        params![ulid, now_ms],
    )?;
    let document_id = conn.last_insert_rowid();
    settings::note(conn, KEY, &ulid, now_ms)?;
    Ok(document_id)
}

/// After which object the last check of a store stopped reading; 0 where it came to the end.
///
/// # Errors
/// SQLite's.
pub fn read_until(conn: &Connection, store_id: i64) -> Result<i64> {
    let noted = settings::noted(conn, &format!("check.read_until.{store_id}"))?;
    Ok(noted.and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// Keeps where a check stopped reading.
///
/// # Errors
/// SQLite's.
pub fn keep_read_until(conn: &Connection, store_id: i64, object_id: i64, now_ms: i64) -> Result<()> {
    settings::note(conn, &format!("check.read_until.{store_id}"), &object_id.to_string(), now_ms)
}
