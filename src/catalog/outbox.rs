//! The outbox: changes on their way. Rows are written in the transaction of the change they follow (T1).
//!
//! A `mirror` operation says "bring this store in line with this document". Its bytes are rendered when it is leased and
//! fixed from then on (T4); until its first lease one row serves any number of changes. After a lease that ended without
//! an answer the same bytes go out again, or the row is superseded by a fresh one.

use std::collections::HashSet;

use rusqlite::{Connection, Row, params};

use super::files::Recording;
use super::{Ids, Result, settings};
use crate::model::setting;

/// An operation that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// Place in the queue.
    pub seq: i64,
    /// Idempotency key.
    pub op_id: String,
    /// Which document.
    pub document_id: i64,
    /// For a deletion: which object.
    pub object_id: Option<i64>,
    /// What the first lease fixed.
    pub payload_hash: Option<[u8; 32]>,
    /// Verdicts against it so far.
    pub attempts: u32,
    /// How often it was leased, this time included.
    pub leases: u32,
    /// Whether what can be sent without a disk was.
    pub halfway: bool,
    /// Proof of the lease: whoever cannot show it can no longer acknowledge.
    pub token: String,
}

/// Puts a document in line for every store. Cheap where it is in line already.
///
/// # Errors
/// SQLite's.
pub fn enqueue_mirror(conn: &Connection, ids: &mut Ids, document_id: i64, now_ms: i64) -> Result<()> {
    for store_id in all_stores(conn)? {
        insert_mirror(conn, ids, store_id, document_id, now_ms)?;
    }
    Ok(())
}

/// Puts a document in line for one store.
///
/// # Errors
/// SQLite's.
pub fn enqueue_mirror_for(
    conn: &Connection,
    ids: &mut Ids,
    store_id: i64,
    document_id: i64,
    now_ms: i64,
) -> Result<()> {
    insert_mirror(conn, ids, store_id, document_id, now_ms)
}

/// As [`enqueue_mirror`], for stores that were asked for once in a transaction and not once a document.
pub(super) fn enqueue_mirror_to(
    conn: &Connection,
    recording: &mut Recording<'_>,
    document_id: i64,
) -> Result<()> {
    for &store_id in recording.stores {
        insert_mirror(conn, recording.ids, store_id, document_id, recording.now_ms)?;
    }
    Ok(())
}

/// The stores that changed documents are put in line for.
///
/// # Errors
/// SQLite's.
pub fn all_stores(conn: &Connection) -> Result<Vec<i64>> {
    let mut statement = conn.prepare_cached("SELECT store_id FROM stores")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

/// A document changed anew: a person's no to its former change says nothing about this one. What an open decision holds
/// stays held.
///
/// # Errors
/// SQLite's.
pub fn release_rejected(conn: &Connection, document_id: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE outbox SET held_by = NULL WHERE document_id = ?1 AND state = 'pending' AND held_by IS NOT NULL
         AND held_by NOT IN (SELECT decision_id FROM decisions WHERE state = 'open')",
    )?
    .execute([document_id])?;
    Ok(())
}

/// A document is to leave this catalogue no more (T8): what waits of it is given up. Of what was leased before something may
/// have begun: where that is `recalled`, nothing is left to do; otherwise it is left to the next lease, which finds nothing to
/// send and abandons what was begun.
///
/// # Errors
/// SQLite's.
pub fn withdraw(conn: &Connection, document_id: i64, recalled: bool, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE outbox SET state = 'discarded', held_by = NULL, note = 'local only', updated_at = ?2
         WHERE document_id = ?1 AND kind = 'mirror' AND (state = 'dead' OR (state = 'pending' AND (leases = 0 OR ?3)))",
    )?
    .execute(params![document_id, now_ms, recalled])?;
    Ok(())
}

/// Puts every document in line for one store.
///
/// # Errors
/// SQLite's.
pub fn enqueue_all(conn: &Connection, ids: &mut Ids, store_id: i64, now_ms: i64) -> Result<()> {
    let mut statement = conn
        .prepare("SELECT document_id FROM documents WHERE content_hash IS NOT NULL ORDER BY document_id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        insert_mirror(conn, ids, store_id, row.get(0)?, now_ms)?;
    }
    Ok(())
}

/// Puts every document with a text in line for the stores that are given it rendered.
///
/// # Errors
/// SQLite's.
pub(super) fn enqueue_rendered(conn: &Connection, ids: &mut Ids, now_ms: i64) -> Result<()> {
    let mut statement = conn.prepare(
        "SELECT s.store_id, d.document_id FROM stores s CROSS JOIN documents d
         WHERE s.payload <> 'original'
           AND EXISTS (SELECT 1 FROM enrichments e WHERE e.content_hash = d.content_hash AND e.outcome = 'extracted')
         ORDER BY s.store_id, d.document_id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        insert_mirror(conn, ids, row.get(0)?, row.get(1)?, now_ms)?;
    }
    Ok(())
}

fn insert_mirror(
    conn: &Connection,
    ids: &mut Ids,
    channel_id: i64,
    document_id: i64,
    now_ms: i64,
) -> Result<()> {
    // The document changed: a verdict against its former bytes says nothing about the new ones, and what waits for a disk with
    // the rest of them is for the new ones to send. What a person has not answered stays, and goes first.
    conn.prepare_cached(
        "UPDATE outbox SET state = 'superseded', updated_at = ?3
         WHERE document_id = ?2 AND channel_id = ?1 AND kind = 'mirror'
           AND (state = 'dead' OR (state = 'pending' AND halfway = 1 AND held_by IS NULL))",
    )?
    .execute(params![channel_id, document_id, now_ms])?;
    conn.prepare_cached(
        "INSERT INTO outbox (op_id, channel_id, document_id, kind, created_at, updated_at)
         SELECT ?1, ?2, ?3, 'mirror', ?4, ?4
         WHERE NOT EXISTS (SELECT 1 FROM withheld WHERE document_id = ?3 AND privacy = 'local_only')
         ON CONFLICT DO NOTHING",
    )?
    .execute(params![ids.next(now_ms).to_string(), channel_id, document_id, now_ms])?;
    Ok(())
}

/// Puts the deletion of an orphan in line. Cheap where it is in line already; one that failed for good is tried anew.
///
/// # Errors
/// SQLite's.
pub fn enqueue_delete(conn: &Connection, ids: &mut Ids, object_id: i64, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE outbox SET state = 'superseded', updated_at = ?2
         WHERE document_id = (SELECT document_id FROM remote_objects WHERE object_id = ?1) AND state = 'dead'
           AND object_id = ?1 AND kind = 'delete'",
    )?
    .execute(params![object_id, now_ms])?;
    conn.prepare_cached(
        "INSERT INTO outbox (op_id, channel_id, document_id, kind, object_id, created_at, updated_at)
         SELECT ?1, store_id, document_id, 'delete', object_id, ?3, ?3 FROM remote_objects
         WHERE object_id = ?2 AND state = 'orphaned' ON CONFLICT DO NOTHING",
    )?
    .execute(params![ids.next(now_ms).to_string(), object_id, now_ms])?;
    Ok(())
}

/// How many orphans of a store stand in line to be deleted; without what was taken back.
///
/// # Errors
/// SQLite's.
pub fn deletions(conn: &Connection, store_id: i64) -> Result<u64> {
    Ok(conn
        .prepare_cached(
            "SELECT count(*) FROM outbox o JOIN remote_objects r USING (object_id)
             WHERE o.channel_id = ?1 AND o.state = 'pending' AND o.kind = 'delete' AND r.recalled_at IS NULL",
        )?
        .query_row([store_id], |row| row.get::<_, i64>(0))?
        .cast_unsigned())
}

/// Hands back what a sender left leased that died, or slept past its word. Only for the one who takes over.
///
/// # Errors
/// SQLite's.
pub fn recover(conn: &Connection, now_ms: i64) -> Result<usize> {
    Ok(conn.execute(
        "UPDATE outbox SET state = 'pending', lease_owner = NULL, lease_token = NULL, lease_until = NULL, updated_at = ?1
         WHERE state = 'leased'",
        [now_ms],
    )?)
}

/// What a lease asks for.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// On the way to which store.
    pub channel_id: i64,
    /// `mirror` or `delete`.
    pub kind: &'a str,
    /// Who.
    pub owner: &'a str,
    /// Proof of the lease.
    pub token: &'a str,
    /// Until when, in milliseconds.
    pub until_ms: i64,
    /// Of deletions only those of what was taken back.
    pub only_recalled: bool,
    /// Libraries whose disks can be read now: originals come from nowhere else.
    pub readable: &'a [i64],
    /// At most so many.
    pub limit: usize,
}

/// Leases the next due operations: in order for each document, one at a time, freely across documents. A dead row keeps its document
/// waiting; a dead deletion does not, because nothing that comes after it builds on it. What was taken back is deleted before
/// whatever waits for its turn, perhaps for a disk (S8).
///
/// A `mirror` of enriched content waits until the content was enriched; one of originals until a disk with a copy is here,
/// unless the store has the original already and only what is said of it has changed, or the original may not leave. One of
/// both goes halfway without a disk, once; what it waits for then holds up no newer text of its document.
///
/// # Errors
/// SQLite's.
pub fn lease(conn: &Connection, ask: &Ask<'_>, now_ms: i64) -> Result<Vec<Leased>> {
    let mut seqs = Vec::new();
    let Ask { channel_id, kind, readable, only_recalled, limit, .. } = *ask;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let far_ms = ask.until_ms.saturating_add(PUT_OFF_MS);
    let mut mirrored = HashSet::new();
    leasable(
        conn,
        &Heads { channel_id, kind, readable, only_recalled, due_ms: now_ms, far_ms, limit },
        |head| {
            // One that waited for a disk, and the newer one that it does not hold up, are not sent at once.
            if kind == "delete" || mirrored.insert(head.document_id) {
                seqs.push(head.seq);
            }
            true
        },
    )?;
    let mut leased = Vec::with_capacity(seqs.len());
    for seq in seqs {
        leased.push(
            conn.prepare_cached(
                "UPDATE outbox SET state = 'leased', leases = leases + 1, lease_owner = ?2, lease_token = ?3,
                        lease_until = ?4, updated_at = ?5
                 WHERE seq = ?1 RETURNING seq, op_id, document_id, object_id, payload_hash, attempts, leases,
                           halfway, lease_token",
            )?
            .query_row(
                params![seq, ask.owner, ask.token, ask.until_ms, now_ms],
                |row: &Row<'_>| {
                    Ok(Leased {
                        seq: row.get(0)?,
                        op_id: row.get(1)?,
                        document_id: row.get(2)?,
                        object_id: row.get(3)?,
                        payload_hash: row.get(4)?,
                        attempts: row.get(5)?,
                        leases: row.get(6)?,
                        halfway: row.get(7)?,
                        token: row.get(8)?,
                    })
                },
            )?,
        );
    }
    Ok(leased)
}

/// Nothing is put off for so long, in milliseconds; what is, was put off before the clock was set back.
const PUT_OFF_MS: i64 = 10 * 60 * 1_000;

/// An operation that nothing holds back but the time.
struct Head {
    seq: i64,
    document_id: i64,
    not_before: i64,
    /// Its file could not be read the last time.
    is_unread: bool,
    /// Verdicts against it so far.
    attempts: i64,
}

/// Which operations are asked for.
struct Heads<'a> {
    channel_id: i64,
    kind: &'a str,
    readable: &'a [i64],
    only_recalled: bool,
    due_ms: i64,
    /// What is put off to a time after this is due, too.
    far_ms: i64,
    /// At most so many; all where that is negative.
    limit: i64,
}

/// Gives what a lease may take, in its order, for as long as `more` are wanted.
fn leasable(conn: &Connection, asked: &Heads<'_>, mut more: impl FnMut(&Head) -> bool) -> Result<()> {
    let mut statement = conn.prepare_cached(
        "SELECT o.seq, o.document_id, o.not_before, o.error_class IS 'source', o.attempts
         FROM outbox o JOIN documents d USING (document_id) JOIN stores s ON s.store_id = o.channel_id
         WHERE o.channel_id = ?1 AND o.state = 'pending' AND o.kind = ?2 AND (o.not_before <= ?3 OR o.not_before > ?7) AND o.held_by IS NULL
           AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.document_id = o.document_id
                           AND (e.state = 'leased' OR (((e.state = 'pending'
                                                         AND NOT (e.halfway = 1 AND e.held_by IS NULL AND o.kind = 'mirror'))
                                                        OR (e.state = 'dead' AND e.kind = 'mirror'))
                                AND NOT (o.kind = 'delete' AND EXISTS (SELECT 1 FROM remote_objects t
                                         WHERE t.object_id = o.object_id AND t.recalled_at IS NOT NULL))))
                           AND e.channel_id = o.channel_id AND (e.seq < o.seq OR e.state = 'leased'))
           AND (NOT ?6 OR o.kind <> 'delete' OR EXISTS (SELECT 1 FROM remote_objects t
                                                        WHERE t.object_id = o.object_id AND t.recalled_at IS NOT NULL))
           AND (o.kind = 'delete' OR (
                (s.payload = 'original' OR d.enrich_stale = 0)
                AND (s.payload = 'enriched' OR (s.payload = 'both' AND o.halfway = 0)
                    OR EXISTS (SELECT 1 FROM withheld w WHERE w.document_id = d.document_id)
                    OR EXISTS (
                     SELECT 1 FROM files f JOIN dirs r USING (dir_id)
                     WHERE f.document_id = d.document_id AND f.presence = 'present'
                       AND f.content_hash = d.content_hash
                       AND r.library_id IN (SELECT value FROM json_each(?4)))
                    OR EXISTS (
                     SELECT 1 FROM remote_objects h WHERE h.document_id = d.document_id AND h.store_id = s.store_id
                       AND h.payload = 'original' AND h.state = 'current' AND h.upload_hash = d.content_hash))))
         ORDER BY o.seq LIMIT ?5",
    )?;
    let readable = serde_json::to_string(asked.readable)?;
    let mut rows = statement.query(params![
        asked.channel_id,
        asked.kind,
        asked.due_ms,
        readable,
        asked.limit,
        asked.only_recalled,
        asked.far_ms
    ])?;
    while let Some(row) = rows.next()? {
        let head = Head {
            seq: row.get(0)?,
            document_id: row.get(1)?,
            not_before: row.get(2)?,
            is_unread: row.get(3)?,
            attempts: row.get(4)?,
        };
        if !more(&head) {
            break;
        }
    }
    Ok(())
}

/// When there is something to do on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Due {
    /// When something is due that time alone makes so, in milliseconds: long ago where it is now. What waits for a person, a disk
    /// or a text is not meant.
    pub at: Option<i64>,
    /// When that is tried again which may not be a matter of time, in milliseconds: files that could not be read, and what was
    /// taken back and a store has refused to delete as often as it may refuse anything.
    pub doubtful_at: Option<i64>,
}

/// When a lease would find something, given the disks that can be read, and of deletions `only_recalled` ones where others are
/// kept for other devices. What another sender has, or had when it died, is due.
///
/// # Errors
/// SQLite's.
pub fn due(
    conn: &Connection,
    channel_id: i64,
    readable: &[i64],
    only_recalled: bool,
    now_ms: i64,
) -> Result<Due> {
    let leased: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM outbox WHERE channel_id = ?1 AND state = 'leased')")?
        .query_row([channel_id], |row| row.get(0))?;
    if leased {
        return Ok(Due { at: Some(i64::MIN), doubtful_at: None });
    }
    let mut due = Due::default();
    let far_ms = now_ms.saturating_add(PUT_OFF_MS);
    let verdicts = settings::integer(conn, &setting::SYNC_VERDICTS)?;
    for kind in ["delete", "mirror"] {
        let heads = Heads { channel_id, kind, readable, only_recalled, due_ms: i64::MAX, far_ms, limit: -1 };
        leasable(conn, &heads, |head| {
            let head_at = if head.not_before > far_ms { now_ms } else { head.not_before };
            let is_doubtful = head.is_unread || head.attempts >= verdicts;
            let sooner = if is_doubtful { &mut due.doubtful_at } else { &mut due.at };
            *sooner = Some(sooner.map_or(head_at, |at| at.min(head_at)));
            due.at.is_none_or(|at| at > now_ms)
        })?;
    }
    Ok(due)
}

/// Fixes the bytes of a leased operation (T4).
///
/// # Errors
/// SQLite's.
pub fn fix_payload(
    conn: &Connection,
    op: &Leased,
    payload_hash: [u8; 32],
    bytes: u64,
    now_ms: i64,
) -> Result<()> {
    conn.prepare_cached(
        "UPDATE outbox SET payload_hash = ?3, bytes = ?4, updated_at = ?5 WHERE seq = ?1 AND lease_token = ?2",
    )?
    .execute(params![op.seq, op.token, payload_hash, bytes.cast_signed(), now_ms])?;
    Ok(())
}

/// How a leased operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending<'a> {
    /// Done; `note` says what there was to do where it was nothing.
    Done {
        /// For instance "nothing to send: no text".
        note: Option<&'a str>,
    },
    /// Not its fault (T5): back into the queue, nothing counted.
    Released {
        /// Due again from then, in milliseconds.
        not_before: i64,
    },
    /// Its file could not be read, or is another one now: back into the queue, nothing counted (T5). The next scan looks at it.
    Unread {
        /// What happened.
        text: &'a str,
        /// Due again from then, in milliseconds.
        not_before: i64,
    },
    /// What can be sent without a disk was. The rest waits for one.
    Halfway,
    /// Not its fault as far as can be told (T5), but it alone did not get through: back into the queue with what happened to
    /// it, nothing counted.
    Waits {
        /// For people.
        text: &'a str,
        /// SHELF-SYNC-00N.
        code: &'a str,
        /// Due again from then, in milliseconds.
        not_before: i64,
    },
    /// A verdict about this operation: counted; `dead` after the last.
    Refused {
        /// For people.
        text: &'a str,
        /// SHELF-SYNC-00N.
        code: &'a str,
        /// Due again from then, in milliseconds.
        not_before: i64,
        /// How many verdicts end it.
        limit: u32,
    },
    /// As it stands it can never be carried out: given up at once, nothing counted.
    Invalid {
        /// For people.
        text: &'a str,
        /// SHELF-SYNC-00N.
        code: &'a str,
    },
    /// Its document changed since its bytes were fixed: a fresh operation stands in line for it.
    Superseded,
}

/// Ends a lease. Returns false where the lease is not ours any more: then nothing was changed.
///
/// # Errors
/// SQLite's.
pub fn end(conn: &Connection, op: &Leased, ending: Ending<'_>, now_ms: i64) -> Result<bool> {
    const FREE: &str = "lease_owner = NULL, lease_token = NULL, lease_until = NULL, updated_at = ?3";
    const MINE: &str = "WHERE seq = ?1 AND lease_token = ?2 AND state = 'leased'";
    let changed = match ending {
        Ending::Done { note } => conn
            .prepare_cached(&format!(
                "UPDATE outbox SET state = 'done', note = ?4, error_text = NULL, {FREE} {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms, note])?,
        Ending::Released { not_before } => conn
            .prepare_cached(&format!(
                "UPDATE outbox SET state = 'pending', not_before = ?4, {FREE},
                        error_text = CASE WHEN error_class IS 'source' THEN NULL ELSE error_text END,
                        error_class = nullif(error_class, 'source') {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms, not_before])?,
        Ending::Unread { text, not_before } => conn
            .prepare_cached(&format!(
                "UPDATE outbox SET state = 'pending', error_class = 'source', error_code = NULL, error_text = ?4,
                        not_before = ?5, {FREE} {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms, text, not_before])?,
        Ending::Halfway => conn
            // One that was put in line meanwhile must not wait for the rest of this one.
            .prepare_cached(&format!(
                "UPDATE outbox SET halfway = 1, error_class = NULL, error_text = NULL, {FREE},
                        state = CASE WHEN EXISTS (SELECT 1 FROM outbox n WHERE n.document_id = outbox.document_id
                                                  AND n.channel_id = outbox.channel_id AND n.state = 'pending'
                                                  AND n.kind = 'mirror') THEN 'superseded' ELSE 'pending' END
                 {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms])?,
        Ending::Waits { text, code, not_before } => conn
            .prepare_cached(&format!(
                "UPDATE outbox SET state = 'pending', error_class = 'channel', error_code = ?5, error_text = ?4,
                        not_before = ?6, {FREE} {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms, text, code, not_before])?,
        Ending::Refused { text, code, not_before, limit } => conn
            .prepare_cached(&format!(
                "UPDATE outbox SET state = CASE WHEN attempts + 1 >= ?7 THEN 'dead' ELSE 'pending' END,
                        attempts = attempts + 1, error_class = 'verdict',
                        error_code = CASE WHEN attempts + 1 >= ?7 THEN 'SHELF-SYNC-004' ELSE ?5 END,
                        error_text = ?4, not_before = ?6, {FREE} {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms, text, code, not_before, limit])?,
        Ending::Invalid { text, code } => conn
            .prepare_cached(&format!(
                "UPDATE outbox SET state = 'dead', error_class = 'payload', error_code = ?5, error_text = ?4, {FREE} {MINE}"
            ))?
            .execute(params![op.seq, op.token, now_ms, text, code])?,
        Ending::Superseded => conn
            .prepare_cached(&format!("UPDATE outbox SET state = 'superseded', {FREE} {MINE}"))?
            .execute(params![op.seq, op.token, now_ms])?,
    };
    Ok(changed == 1)
}

/// It was the way to the store after all: what was thought not to get through alone does not wait.
///
/// # Errors
/// SQLite's.
pub fn clear_stray(conn: &Connection, seq: i64, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE outbox SET not_before = ?2, error_class = NULL, error_code = NULL, error_text = NULL, updated_at = ?2
         WHERE seq = ?1 AND state = 'pending' AND error_class = 'channel'",
    )?
    .execute(params![seq, now_ms])?;
    Ok(())
}

/// Whether a lease is still ours: a worker that slept past its lease may find that another has taken over, and then has nothing
/// to say any more.
///
/// # Errors
/// SQLite's.
pub fn is_mine(conn: &Connection, op: &Leased) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM outbox WHERE seq = ?1 AND lease_token = ?2 AND state = 'leased')",
        )?
        .query_row(params![op.seq, op.token], |row| row.get(0))?)
}

/// A worker that is still at it says so: its leases hold until then.
///
/// # Errors
/// SQLite's.
pub fn renew(conn: &Connection, token: &str, until_ms: i64, now_ms: i64) -> Result<usize> {
    Ok(conn
        .prepare_cached(
            "UPDATE outbox SET lease_until = ?2, updated_at = ?3 WHERE state = 'leased' AND lease_token = ?1",
        )?
        .execute(params![token, until_ms, now_ms])?)
}

/// Forgets operations that were done more than `keep_ms` ago.
///
/// # Errors
/// SQLite's.
pub fn prune(conn: &Connection, keep_ms: i64, now_ms: i64) -> Result<usize> {
    Ok(conn.execute(
        "DELETE FROM outbox WHERE state IN ('done', 'superseded', 'discarded') AND updated_at < ?1",
        [now_ms - keep_ms],
    )?)
}
