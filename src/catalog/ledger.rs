//! The ledger: what each store holds for each document, step by step.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, hash_of, word_of};
use crate::model::{ObjectState, OperationState, Payload};

/// A remote object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteObject {
    /// Its number.
    pub object_id: i64,
    /// In which store.
    pub store_id: i64,
    /// Of which document.
    pub document_id: i64,
    /// What of it.
    pub payload: Payload,
    /// What we call it: the store, too, where we name its objects; elsewhere the key that travels beside it.
    pub remote_id: String,
    /// What the store calls it, where it names objects itself and has told.
    pub server_id: Option<String>,
    /// Of its bytes.
    pub upload_hash: [u8; 32],
    /// How many.
    pub bytes: u64,
    /// The document's content it was made from.
    pub content_hash: [u8; 32],
    /// Its step.
    pub state: ObjectState,
    /// Why it is in this state, where that needs saying.
    pub cause: Option<String>,
    /// Since when it is an orphan, in milliseconds.
    pub orphaned_at: Option<i64>,
    /// When it was sent, in milliseconds.
    pub uploaded_at: Option<i64>,
    /// When the store will forget it by itself, in milliseconds, where it does that.
    pub remote_expires_at: Option<i64>,
}

const COLUMNS: &str =
    "object_id, store_id, document_id, payload, remote_id, server_id, upload_hash, bytes, content_hash, state, cause,
     orphaned_at, uploaded_at, remote_expires_at";

fn object(row: &Row<'_>) -> rusqlite::Result<RemoteObject> {
    Ok(RemoteObject {
        object_id: row.get("object_id")?,
        store_id: row.get("store_id")?,
        document_id: row.get("document_id")?,
        payload: word_of(row, "payload")?,
        remote_id: row.get("remote_id")?,
        server_id: row.get("server_id")?,
        upload_hash: hash_of(row, "upload_hash")?.unwrap_or_default(),
        bytes: row.get::<_, i64>("bytes")?.cast_unsigned(),
        content_hash: hash_of(row, "content_hash")?.unwrap_or_default(),
        state: word_of(row, "state")?,
        cause: row.get("cause")?,
        orphaned_at: row.get("orphaned_at")?,
        uploaded_at: row.get("uploaded_at")?,
        remote_expires_at: row.get("remote_expires_at")?,
    })
}

/// What a store holds, or may hold, of a document: everything that was not deleted.
///
/// # Errors
/// SQLite's.
pub fn held(conn: &Connection, store_id: i64, document_id: i64) -> Result<Vec<RemoteObject>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM remote_objects WHERE document_id = ?2 AND store_id = ?1 AND state <> 'deleted' ORDER BY object_id"
    ))?;
    let rows = statement.query_map(params![store_id, document_id], object)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Every object of a document in every store, the deleted ones too, oldest first.
///
/// # Errors
/// SQLite's.
pub fn of_document(conn: &Connection, document_id: i64) -> Result<Vec<RemoteObject>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM remote_objects WHERE document_id = ?1 ORDER BY object_id"
    ))?;
    let rows = statement.query_map([document_id], object)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The objects that hold this very content, as a file has it; also those that only wait for the clean-up. `document_id` as
/// in [`super::query::copies_of_content`].
///
/// # Errors
/// SQLite's.
pub fn originals(conn: &Connection, hash: [u8; 32], document_id: Option<i64>) -> Result<Vec<RemoteObject>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM remote_objects
         WHERE document_id IN (SELECT document_id FROM documents
                               WHERE substr(content_hash, 1, 8) = substr(?1, 1, 8) AND content_hash = ?1 UNION SELECT ?2)
           AND upload_hash = ?1 AND payload = 'original'
           AND state IN ('uploaded', 'verified', 'searchable', 'current', 'orphaned')
         ORDER BY object_id"
    ))?;
    let rows = statement.query_map(params![hash, document_id], object)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The object of that number.
///
/// # Errors
/// SQLite's.
pub fn by_id(conn: &Connection, object_id: i64) -> Result<Option<RemoteObject>> {
    Ok(conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM remote_objects WHERE object_id = ?1"))?
        .query_row([object_id], object)
        .optional()?)
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan<'a> {
    /// To which store.
    pub store_id: i64,
    /// Of which document.
    pub document_id: i64,
    /// What of it.
    pub payload: Payload,
    /// What the store shall call it.
    pub remote_id: &'a str,
    /// Of its bytes.
    pub upload_hash: [u8; 32],
    /// How many.
    pub bytes: u64,
    /// The document's content it is made from.
    pub content_hash: [u8; 32],
}

/// Writes down what is to be sent, before anything is.
///
/// # Errors
/// SQLite's.
pub fn plan(conn: &Connection, plan: &Plan<'_>, now_ms: i64) -> Result<i64> {
    conn.prepare_cached(
        "INSERT INTO remote_objects (store_id, document_id, payload, remote_id, upload_hash, bytes, content_hash, state,
                                     created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'planned', ?8, ?8)",
    )?
    .execute(params![
        plan.store_id,
        plan.document_id,
        plan.payload.as_str(),
        plan.remote_id,
        plan.upload_hash,
        plan.bytes.cast_signed(),
        plan.content_hash,
        now_ms
    ])?;
    Ok(conn.last_insert_rowid())
}

/// One step on. Why an object was given up is kept when it is deleted: `status` tells it.
///
/// # Errors
/// SQLite's.
pub fn advance(conn: &Connection, object_id: i64, state: ObjectState, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE remote_objects SET state = ?2, cause = CASE WHEN ?2 = 'deleted' THEN cause END, updated_at = ?3, orphaned_at = NULL,
                uploaded_at = CASE WHEN ?2 = 'uploaded' THEN ?3 ELSE uploaded_at END,
                deleted_at = CASE WHEN ?2 = 'deleted' THEN ?3 END
         WHERE object_id = ?1",
    )?
    .execute(params![object_id, state.as_str(), now_ms])?;
    Ok(())
}

/// An orphan is wanted again: its deletion is off, and its steps begin anew, because the clean-up may have got at it.
///
/// # Errors
/// SQLite's.
pub fn revive(conn: &Connection, object_id: i64, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE outbox SET state = 'discarded', note = 'wanted again', updated_at = ?2
         WHERE object_id = ?1 AND kind = 'delete' AND state = 'pending'",
        params![object_id, now_ms],
    )?;
    // Who plans knows how far the document may leave: these bytes may.
    conn.execute(
        "UPDATE remote_objects SET recalled_at = NULL, was_current = 0 WHERE object_id = ?1",
        [object_id],
    )?;
    advance(conn, object_id, ObjectState::Planned, now_ms)
}

/// What the store calls an object, as soon as it has told; `None` where it has it no more.
///
/// # Errors
/// SQLite's.
pub fn set_server_id(conn: &Connection, object_id: i64, server_id: Option<&str>) -> Result<()> {
    conn.prepare_cached(
        "UPDATE remote_objects SET server_id = ?2, remote_expires_at = NULL WHERE object_id = ?1 AND server_id IS NOT ?2",
    )?
    .execute(params![object_id, server_id])?;
    Ok(())
}

/// An object gets another name, because the store was begun anew; what it was called in its former life may be there still. That
/// is an orphan of its own from now on: with its grace and the brake it is deleted there, and at once where it is taken back.
///
/// # Errors
/// SQLite's.
pub fn leave_behind(conn: &Connection, object_id: i64, server_id: &str, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO remote_objects (store_id, document_id, payload, remote_id, server_id, upload_hash, bytes, content_hash, state,
                                     cause, created_at, updated_at, uploaded_at, orphaned_at)
         SELECT store_id, document_id, payload, remote_id, ?2, upload_hash, bytes, content_hash, 'orphaned',
                'left in a former life of the store', ?3, ?3, uploaded_at, ?3
         FROM remote_objects r WHERE object_id = ?1
           AND NOT EXISTS (SELECT 1 FROM remote_objects o WHERE o.store_id = r.store_id AND o.server_id = ?2
                           AND o.state = 'orphaned')",
    )?
    .execute(params![object_id, server_id, now_ms])?;
    Ok(())
}

/// When the store will forget an object by itself.
///
/// # Errors
/// SQLite's.
pub fn set_expiry(conn: &Connection, object_id: i64, at_ms: Option<i64>) -> Result<()> {
    conn.prepare_cached("UPDATE remote_objects SET remote_expires_at = ?2 WHERE object_id = ?1 AND remote_expires_at IS NOT ?2")?
        .execute(params![object_id, at_ms])?;
    Ok(())
}

/// Whether an object of another row has this name in the store: then it is not the one that was lost.
///
/// # Errors
/// SQLite's.
pub fn is_claimed(conn: &Connection, store_id: i64, server_id: &str, by_other_than: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_objects WHERE store_id = ?1 AND server_id = ?2 AND object_id <> ?3
                            AND state <> 'deleted')",
        )?
        .query_row(params![store_id, server_id, by_other_than], |row| row.get(0))?)
}

/// The document whose current object a store calls so.
///
/// # Errors
/// SQLite's.
pub fn current_under(conn: &Connection, store_id: i64, server_id: &str) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached(
            "SELECT document_id FROM remote_objects WHERE store_id = ?1 AND server_id = ?2 AND state = 'current'",
        )?
        .query_row(params![store_id, server_id], |row| row.get(0))
        .optional()?)
}

impl RemoteObject {
    /// Whether the store will forget it so soon that it is given anew: within `refresh_ms`, and not before half of its life
    /// there is over, or what lives shorter would be given anew by every run.
    #[must_use]
    pub fn is_fading(&self, refresh_ms: i64, now_ms: i64) -> bool {
        self.remote_expires_at.is_some_and(|at| {
            let half = self.uploaded_at.map_or(refresh_ms, |from| (at - from).max(0) / 2);
            at - now_ms < refresh_ms.min(half)
        })
    }
}

/// The documents of current objects that a store will forget soon ([`RemoteObject::is_fading`]); not those that it was given
/// anew in vain.
///
/// # Errors
/// SQLite's.
pub fn expiring(conn: &Connection, store_id: i64, refresh_ms: i64, now_ms: i64) -> Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM remote_objects r
         WHERE store_id = ?1 AND remote_expires_at IS NOT NULL AND remote_expires_at < ?2 AND state = 'current'
           AND NOT {GIVEN_UP} ORDER BY document_id"
    ))?;
    let rows = statement.query_map(params![store_id, now_ms + refresh_ms], object)?;
    let mut documents = Vec::new();
    for object in rows {
        let object = object?;
        if object.is_fading(refresh_ms, now_ms) {
            documents.push(object.document_id);
        }
    }
    Ok(documents)
}

/// A store has said no for good to what a document is now: only a change, or a person, has it asked again.
const GIVEN_UP: &str =
    "EXISTS (SELECT 1 FROM outbox o WHERE o.document_id = r.document_id AND o.channel_id = r.store_id
                                AND o.state = 'dead' AND o.kind = 'mirror')";

/// The documents of current objects that were given in another manner than this; not those that were given anew in vain, nor
/// those that have no text any more to be given.
///
/// # Errors
/// SQLite's.
pub fn of_other_manner(conn: &Connection, store_id: i64, manner: &str) -> Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT DISTINCT document_id FROM remote_objects r
         WHERE store_id = ?1 AND state = 'current' AND substr(remote_id, -length(?2)) <> ?2
           AND EXISTS (SELECT 1 FROM documents d JOIN enrichments e USING (content_hash)
                       WHERE d.document_id = r.document_id AND (e.outcome = 'extracted' OR d.enrich_stale = 1))
           AND NOT {GIVEN_UP} ORDER BY document_id"
    ))?;
    let rows = statement.query_map(params![store_id, format!("/{manner}")], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The replacement is verified and usable: it is current from now on, and the former object an orphan (T2).
///
/// # Errors
/// SQLite's.
pub fn switch(conn: &Connection, object_id: i64, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE remote_objects SET state = 'orphaned', cause = 'replaced', orphaned_at = ?2, updated_at = ?2
         WHERE state = 'current' AND object_id <> ?1
           AND (store_id, document_id, payload) = (SELECT store_id, document_id, payload FROM remote_objects WHERE object_id = ?1)",
    )?
    .execute(params![object_id, now_ms])?;
    advance(conn, object_id, ObjectState::Current, now_ms)
}

/// No longer wanted. What was never sent is simply over.
///
/// # Errors
/// SQLite's.
pub fn orphan(conn: &Connection, object_id: i64, cause: &str, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE remote_objects SET orphaned_at = CASE WHEN state = 'planned' AND uploaded_at IS NULL THEN NULL ELSE ?3 END,
                deleted_at = CASE WHEN state = 'planned' AND uploaded_at IS NULL THEN ?3 END,
                state = CASE WHEN state = 'planned' AND uploaded_at IS NULL THEN 'deleted' ELSE 'orphaned' END,
                cause = ?2, updated_at = ?3
         WHERE object_id = ?1 AND state NOT IN ('orphaned', 'deleted')",
    )?
    .execute(params![object_id, cause, now_ms])?;
    Ok(())
}

/// An orphan that a store is to delete at once, because its document may not be there any more (S8).
///
/// # Errors
/// SQLite's.
pub fn recall(conn: &Connection, object_id: i64, was_current: bool, cause: &str, now_ms: i64) -> Result<()> {
    // Not of its state: what is recalled keeps that (migration 0016). Taken back twice it was current before the first time.
    conn.prepare_cached(
        "UPDATE remote_objects SET recalled_at = ?3, cause = ?2, updated_at = ?3, was_current = max(was_current, ?4)
         WHERE object_id = ?1 AND state = 'orphaned'",
    )?
    .execute(params![object_id, cause, now_ms, was_current])?;
    Ok(())
}

/// A recalled object may be there after all: its deletion is off as far as nobody has begun it, and it is an orphan like
/// others, with its grace. Where it `is_wanted` it is current again, if it was, and nobody has touched it since.
///
/// # Errors
/// SQLite's.
pub fn allow(conn: &Connection, object_id: i64, is_wanted: bool, now_ms: i64) -> Result<()> {
    let is_recalled: bool = conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_objects WHERE object_id = ?1 AND recalled_at IS NOT NULL AND state <> 'deleted')",
        )?
        .query_row([object_id], |row| row.get(0))?;
    if !is_recalled {
        return Ok(());
    }
    let untouched: bool = is_wanted
        && conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM remote_objects WHERE object_id = ?1 AND was_current = 1)
                    AND EXISTS (SELECT 1 FROM outbox WHERE object_id = ?1 AND kind = 'delete' AND state = 'pending' AND leases = 0)
                    AND NOT EXISTS (SELECT 1 FROM remote_objects o JOIN remote_objects c USING (store_id, document_id, payload)
                                    WHERE o.object_id = ?1 AND c.state = 'current')",
            )?
            .query_row([object_id], |row| row.get(0))?;
    conn.prepare_cached(
        "UPDATE outbox SET state = 'discarded', note = 'it may leave again', updated_at = ?2
         WHERE object_id = ?1 AND kind = 'delete' AND state IN ('pending', 'dead')",
    )?
    .execute(params![object_id, now_ms])?;
    conn.prepare_cached(
        "UPDATE remote_objects SET recalled_at = NULL, was_current = 0, orphaned_at = ?2, updated_at = ?2 WHERE object_id = ?1",
    )?
    .execute(params![object_id, now_ms])?;
    if untouched { advance(conn, object_id, ObjectState::Current, now_ms) } else { Ok(()) }
}

/// Whether an object is to be deleted at once.
///
/// # Errors
/// SQLite's.
pub fn is_recalled(conn: &Connection, object_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached("SELECT recalled_at IS NOT NULL FROM remote_objects WHERE object_id = ?1")?
        .query_row([object_id], |row| row.get(0))?)
}

/// A recalled object is gone from its store. The log tells when and why; and where its bytes are another document's, too, that
/// they stay.
///
/// # Errors
/// SQLite's.
pub fn note_shared(conn: &Connection, object_id: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE remote_objects SET cause = cause || '; its bytes stay, another document has the same'
         WHERE object_id = ?1 AND recalled_at IS NOT NULL",
    )?
    .execute([object_id])?;
    Ok(())
}

/// The orphans that are to be deleted at once, each with how its deletion stands.
///
/// # Errors
/// SQLite's.
pub fn recalled(conn: &Connection, store_id: Option<i64>) -> Result<HashMap<i64, Option<OperationState>>> {
    let mut statement = conn.prepare_cached(
        "SELECT r.object_id, (SELECT o.state FROM outbox o WHERE o.object_id = r.object_id AND o.kind = 'delete'
                              ORDER BY o.seq DESC LIMIT 1)
         FROM remote_objects r WHERE r.recalled_at IS NOT NULL AND r.state = 'orphaned' AND (?1 IS NULL OR r.store_id = ?1)",
    )?;
    let mut rows = statement.query([store_id])?;
    let mut all = HashMap::new();
    while let Some(row) = rows.next()? {
        let state: Option<String> = row.get(1)?;
        all.insert(row.get(0)?, state.map(|state| state.parse()).transpose()?);
    }
    Ok(all)
}

/// Orphans since before `before_ms`, oldest first; of every store, or of one.
///
/// # Errors
/// SQLite's.
pub fn orphans(conn: &Connection, store_id: Option<i64>, before_ms: i64) -> Result<Vec<RemoteObject>> {
    let mut statement = conn.prepare(&format!(
        "SELECT {COLUMNS} FROM remote_objects WHERE state = 'orphaned' AND orphaned_at <= ?2
         AND (?1 IS NULL OR store_id = ?1) ORDER BY orphaned_at, object_id"
    ))?;
    let rows = statement.query_map(params![store_id, before_ms], object)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many objects of a store are current: what the brake on deletions is measured against.
///
/// # Errors
/// SQLite's.
pub fn count_live(conn: &Connection, store_id: i64) -> Result<u64> {
    Ok(conn
        .query_row("SELECT count(*) FROM remote_objects WHERE store_id = ?1 AND state NOT IN ('orphaned', 'deleted')", [store_id], |row| {
            row.get::<_, i64>(0)
        })?
        .cast_unsigned())
}

/// Whether another row needs the same remote object. Names that say their content are shared: deleting the orphan's
/// bytes would delete the other's. A name that the store gave is one object's.
///
/// # Errors
/// SQLite's.
pub fn is_shared(conn: &Connection, object: &RemoteObject) -> Result<bool> {
    if object.server_id.is_some() {
        return Ok(false);
    }
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_objects WHERE store_id = ?1 AND remote_id = ?2 AND object_id <> ?3
                            AND server_id IS NULL AND state NOT IN ('orphaned', 'deleted'))",
        )?
        .query_row(params![object.store_id, object.remote_id, object.object_id], |row| row.get(0))?)
}

/// Whether a worker may be deleting an object of this name just now: what it finds there is not there for long.
///
/// # Errors
/// SQLite's.
pub fn is_being_deleted(conn: &Connection, store_id: i64, remote_id: &str) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_objects r JOIN outbox o
                            ON o.document_id = r.document_id AND o.state = 'leased' AND o.object_id = r.object_id
                            WHERE r.store_id = ?1 AND r.remote_id = ?2 AND r.server_id IS NULL AND o.kind = 'delete')",
        )?
        .query_row(params![store_id, remote_id], |row| row.get(0))?)
}

/// Retires the objects of documents that no disk has any more: every copy missing since `before_ms` at least and in at
/// least `scans` complete scans, or no copy at all for as long (D7). What was on its way for them is given up: nobody
/// sends what is gone, and nothing waits for it for ever; a file that comes back is put in line anew. Returns how many
/// current objects became orphans.
///
/// # Errors
/// SQLite's.
pub fn retire_gone(conn: &Connection, before_ms: i64, scans: i64, now_ms: i64) -> Result<u64> {
    const GONE: &str = "SELECT w.document_id FROM (
            SELECT document_id FROM files WHERE presence <> 'present' AND presence = 'missing' AND missing_since <= ?1 AND missing_scans >= ?2
            UNION SELECT document_id FROM documents WHERE copyless_since <= ?3 AND copyless_since > ?4) w
        WHERE w.document_id IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM files f WHERE f.document_id = w.document_id
                          AND (f.presence = 'missing' AND f.missing_since <= ?1 AND f.missing_scans >= ?2) IS NOT TRUE)";
    let copyless_until = before_ms.min(seen_completely_since(conn, scans)?);
    let copyless_after = last_doubted_change(conn)?;
    let gone: Vec<(i64, bool)> = {
        let mut statement = conn.prepare(&format!(
            "SELECT object_id, state = 'current' FROM remote_objects
             WHERE state NOT IN ('orphaned', 'deleted') AND document_id IN ({GONE})"
        ))?;
        let rows = statement.query_map(params![before_ms, scans, copyless_until, copyless_after], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (object_id, _) in &gone {
        orphan(conn, *object_id, "missing", now_ms)?;
    }
    conn.execute(
        &format!(
            "UPDATE outbox SET state = 'discarded', note = 'no disk has it any more', updated_at = ?5
             WHERE kind = 'mirror' AND state IN ('pending', 'dead') AND document_id IN ({GONE})"
        ),
        params![before_ms, scans, copyless_until, copyless_after, now_ms],
    )?;
    Ok(gone.iter().filter(|(_, current)| *current).count() as u64)
}

/// The time since which every library was seen completely in so many scans; before all times where one was not. A
/// document without any file does not tell in which library it lost its last one, so all of them have to be looked at.
fn seen_completely_since(conn: &Connection, scans: i64) -> Result<i64> {
    let mut statement = conn.prepare_cached(
        "SELECT (SELECT s.ended_at FROM scans s WHERE s.library_id = l.library_id AND s.outcome = 'complete'
                 ORDER BY s.scan_id DESC LIMIT 1 OFFSET max(?1, 1) - 1)
         FROM libraries l",
    )?;
    let rows = statement.query_map([scans], |row| row.get::<_, Option<i64>>(0))?;
    let ends = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(ends.into_iter().map(|end| end.unwrap_or(i64::MIN)).min().unwrap_or(i64::MIN))
}

/// When a person was last asked about a mass change and has not said yes: what files were overwritten until then is not
/// believed, and the stores keep what they have.
fn last_doubted_change(conn: &Connection) -> Result<i64> {
    Ok(conn.query_row(
        "SELECT coalesce(max(CASE state WHEN 'open' THEN 9223372036854775807 ELSE updated_at END), -1) FROM decisions
         WHERE kind = 'mass-change' AND state IN ('open', 'rejected')",
        [],
        |row| row.get(0),
    )?)
}

/// Objects of one store by state, for `status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    /// Current.
    pub uploaded: u64,
    /// Between planned and searchable.
    pub uploading: u64,
    /// Orphans.
    pub orphaned: u64,
}

/// Counts one store's objects.
///
/// # Errors
/// SQLite's.
pub fn count(conn: &Connection, store_id: i64) -> Result<Held> {
    Ok(conn.query_row(
        "SELECT count(*) FILTER (WHERE state = 'current'),
                count(*) FILTER (WHERE state IN ('planned', 'uploading', 'uploaded', 'verified', 'searchable')),
                count(*) FILTER (WHERE state = 'orphaned')
         FROM remote_objects WHERE store_id = ?1",
        [store_id],
        |row| {
            Ok(Held {
                uploaded: row.get::<_, i64>(0)?.cast_unsigned(),
                uploading: row.get::<_, i64>(1)?.cast_unsigned(),
                orphaned: row.get::<_, i64>(2)?.cast_unsigned(),
            })
        },
    )?)
}
