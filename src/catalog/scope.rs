//! What of everything is for each store (S1), and what follows when that changes.
//!
//! Whoever sends asks at the moment of sending ([`standing`]): what is not for a store ends there with a note. Beside that it
//! is seen to that nothing waits for a store that it is not for, perhaps for a disk and for ever, and that what has come to be
//! for it is in line: when the scope is set ([`change`]), and before anything is sent ([`settle`]) for what was put in line
//! since, and for documents that lie elsewhere since, or are of another kind. Those are marked where that is written down
//! (migration 0019), so that nobody has to go through a million documents after each scan.
//!
//! Out of scope is not deleted (D5): what a store has of such a document stays there, current, and is not brought up to date.
//! Only on a person's word does it become an orphan, with the grace and the brake of orphans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Catalog, CatalogError, Ids, Result, documents, files, ledger, outbox};
use crate::model::document::effective;
use crate::model::scope::{Patterns, Place, Scope, Standing};
use crate::model::{Field, ObjectState};

/// Why there is nothing to send, or why an object is an orphan.
pub const NOT_FOR_IT: &str = "not for this store";

/// Documents settled in one transaction.
const PAGE: usize = 1_000;

/// What is for a store; none where everything is.
///
/// # Errors
/// [`super::CatalogError::Scope`] where it is not understood (an edit by hand): then nothing is to be sent there.
pub fn of_store(conn: &Connection, store_id: i64) -> Result<Option<Arc<Scope>>> {
    let text: Option<String> = conn
        .prepare_cached("SELECT scope FROM stores WHERE store_id = ?1")?
        .query_row([store_id], |row| row.get(0))
        .optional()?
        .flatten();
    text.map(|text| read(&text)).transpose()
}

/// Read once, not once a document.
fn read(text: &str) -> Result<Arc<Scope>> {
    static READ: Mutex<Option<HashMap<String, Arc<Scope>>>> = Mutex::new(None);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let read = read.get_or_insert_default();
    if let Some(scope) = read.get(text) {
        return Ok(Arc::clone(scope));
    }
    let patterns: Patterns = serde_json::from_str(text)?;
    let scope = Arc::new(Scope::parse(&patterns)?);
    read.insert(text.to_owned(), Arc::clone(&scope));
    Ok(scope)
}

/// How a document stands to a scope. A place counts whether its file is there or missing: what is unplugged is not gone.
///
/// # Errors
/// SQLite's.
pub fn standing<'a>(conn: &Connection, scope: &'a Scope, document_id: i64) -> Result<Standing<'a>> {
    let (places, types) = facts(conn, document_id, scope.is_about_types())?;
    Ok(scope.of(&places, &types))
}

/// Where a document's copies lie, and of which kinds it is.
fn facts(conn: &Connection, document_id: i64, with_types: bool) -> Result<(Vec<Place>, Vec<String>)> {
    let mut statement = conn.prepare_cached(
        "SELECT l.name, d.path, f.name FROM files f JOIN dirs d USING (dir_id) JOIN libraries l USING (library_id)
         WHERE f.document_id = ?1",
    )?;
    let rows = statement.query_map([document_id], |row| {
        Ok(Place { library: row.get(0)?, path: files::join(row.get(1)?, row.get(2)?) })
    })?;
    let places = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let mut types = Vec::new();
    if with_types {
        let said = documents::annotations(conn, document_id)?;
        if let Some(held) = effective(&said).get(&Field::SourceType) {
            types.clone_from(&held.values);
        }
    }
    Ok((places, types))
}

/// Whether a document is for a store.
///
/// # Errors
/// SQLite's, and a scope that is not understood.
pub fn is_for(conn: &Connection, store_id: i64, document_id: i64) -> Result<bool> {
    match of_store(conn, store_id)? {
        None => Ok(true),
        Some(scope) => Ok(standing(conn, &scope, document_id)?.is_in()),
    }
}

/// What another scope comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Documents that are for the store.
    pub documents: u64,
    /// Of those, the ones that were not before.
    pub coming: u64,
    /// Documents that are not for it any more.
    pub going: u64,
    /// Of all that are not for it, those that it has all the same.
    pub staying: u64,
    /// Of those, the ones that are orphans from now on.
    pub retired: u64,
}

/// What another scope would come to.
///
/// # Errors
/// SQLite's, and a former scope that is not understood.
pub fn compare(conn: &Connection, store_id: i64, after: &Scope) -> Result<Changed> {
    walk(conn, store_id, after, |_, _| Ok(()))
}

/// Gives a store another scope. What is for it from now on is put in line; what is not any more waits no longer. With `retire`
/// all that the store has of what is not for it becomes orphans: nobody may be sending to it then.
///
/// # Errors
/// SQLite's, and patterns that are not understood.
pub fn change(
    conn: &Connection,
    ids: &mut Ids,
    store_id: i64,
    patterns: &Patterns,
    retire: bool,
    now_ms: i64,
) -> Result<Changed> {
    let after = Scope::parse(patterns)?;
    let mut retired = 0;
    let mut changed = walk(conn, store_id, &after, |document_id, standing| {
        match standing {
            Turn::Came => outbox::enqueue_mirror_for(conn, ids, store_id, document_id, now_ms)?,
            Turn::Stayed => {}
            Turn::Out if retire => {
                let held = ledger::held(conn, store_id, document_id)?;
                let live = held.iter().filter(|object| object.state != ObjectState::Orphaned);
                retired += u64::from(held.iter().any(|object| object.state == ObjectState::Current));
                for object in live {
                    ledger::orphan(conn, object.object_id, NOT_FOR_IT, now_ms)?;
                }
                set_aside(conn, store_id, document_id, true, now_ms)?;
            }
            Turn::Out => {
                set_aside(conn, store_id, document_id, false, now_ms)?;
                // Somebody may be sending it at this moment: what was begun is given up by the next sync.
                conn.prepare_cached(&format!(
                    "INSERT OR IGNORE INTO to_scope (document_id)
                     SELECT ?1 WHERE EXISTS (SELECT 1 FROM outbox WHERE document_id = ?1 AND channel_id = ?2 AND kind = 'mirror'
                                             AND state IN ('pending', 'leased'))
                                  OR EXISTS (SELECT 1 FROM remote_objects r WHERE r.document_id = ?1 AND r.store_id = ?2
                                             AND {BEGUN})"
                ))?
                .execute([document_id, store_id])?;
            }
        }
        Ok(())
    })?;
    changed.retired = retired;
    let text = if patterns.is_empty() { None } else { Some(serde_json::to_string(patterns)?) };
    conn.execute(
        "UPDATE stores SET scope = ?2, scoped_seq = (SELECT coalesce(max(seq), 0) FROM outbox), updated_at = ?3
         WHERE store_id = ?1",
        params![store_id, text, now_ms],
    )?;
    Ok(changed)
}

/// How a document stands after a change.
enum Turn {
    Came,
    Stayed,
    Out,
}

/// Goes through all documents.
fn walk(
    conn: &Connection,
    store_id: i64,
    after: &Scope,
    mut meet: impl FnMut(i64, Turn) -> Result<()>,
) -> Result<Changed> {
    let before = match of_store(conn, store_id) {
        Ok(scope) => Some(scope.unwrap_or_default()),
        // While it stood nothing was sent: everything is to be looked at.
        Err(CatalogError::Scope(_) | CatalogError::Json(_)) => None,
        Err(error) => return Err(error),
    };
    let with_types = after.is_about_types() || before.as_ref().is_some_and(|before| before.is_about_types());
    let mut changed = Changed::default();
    let mut statement = conn
        .prepare("SELECT document_id FROM documents WHERE content_hash IS NOT NULL ORDER BY document_id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let document_id: i64 = row.get(0)?;
        let (places, types) = facts(conn, document_id, with_types)?;
        let was_in = before.as_ref().is_some_and(|before| before.of(&places, &types).is_in());
        let is_in = after.of(&places, &types).is_in();
        changed.documents += u64::from(is_in);
        changed.coming += u64::from(is_in && !was_in);
        changed.going += u64::from(was_in && !is_in);
        if !is_in {
            changed.staying += u64::from(is_current(conn, store_id, document_id)?);
        }
        meet(
            document_id,
            match (was_in, is_in) {
                (false, true) => Turn::Came,
                (true, true) => Turn::Stayed,
                (_, false) => Turn::Out,
            },
        )?;
    }
    Ok(changed)
}

fn is_current(conn: &Connection, store_id: i64, document_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_objects WHERE document_id = ?1 AND store_id = ?2 AND state = 'current')",
        )?
        .query_row([document_id, store_id], |row| row.get(0))?)
}

/// Objects on their way.
const BEGUN: &str = "r.state IN ('planned', 'uploading', 'uploaded', 'verified', 'searchable')";

/// What waits of a document for a store that it is not for is done, as if it had been leased; what was `begun` only where nobody
/// is sending. What the store had and is to be proved again stays in line: it is to be there still (T7, D5).
fn set_aside(conn: &Connection, store_id: i64, document_id: i64, begun: bool, now_ms: i64) -> Result<()> {
    conn.prepare_cached(&format!(
        "UPDATE outbox SET state = 'done', held_by = NULL, note = ?4, error_text = NULL, updated_at = ?5
         WHERE document_id = ?1 AND channel_id = ?2 AND kind = 'mirror'
           AND (state = 'dead' OR (state = 'pending' AND (leases = 0 OR ?3)))
           AND NOT EXISTS (SELECT 1 FROM remote_objects r WHERE r.document_id = ?1 AND r.store_id = ?2 AND {BEGUN}
                           AND r.uploaded_at IS NOT NULL)"
    ))?
    .execute(params![document_id, store_id, begun, NOT_FOR_IT, now_ms])?;
    Ok(())
}

/// Marks documents that are at one place more, where places may matter.
///
/// # Errors
/// SQLite's.
pub(super) fn mark(conn: &Connection, document_id: Option<i64>) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO to_scope (document_id)
         SELECT ?1 WHERE ?1 IS NOT NULL AND EXISTS (SELECT 1 FROM stores WHERE scope IS NOT NULL)",
    )?
    .execute([document_id])?;
    Ok(())
}

/// Brings the queue in line with the scopes. Before anything is sent, and by whoever sends: what was begun of a document that
/// is not for a store any more is given up.
///
/// # Errors
/// SQLite's, and scopes that are not understood.
pub fn settle(catalog: &mut Catalog, now_ms: i64) -> Result<()> {
    let stores: Vec<i64> = {
        let mut statement = catalog.read().prepare("SELECT store_id FROM stores WHERE scope IS NOT NULL")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let mut ids = Ids::default();
    while is_unsettled(catalog.read())? {
        catalog.change(|tx| settle_marked(tx, &mut ids, &stores, now_ms))?;
    }
    for store_id in stores {
        while !waiting(catalog.read(), store_id, 1)?.is_empty() {
            catalog.change(|tx| settle_waiting(tx, store_id, now_ms))?;
        }
    }
    Ok(())
}

/// Whether there are documents of which it has to be found out anew what they are for.
///
/// # Errors
/// SQLite's.
pub fn is_unsettled(conn: &Connection) -> Result<bool> {
    Ok(!marked(conn, 1)?.is_empty())
}

fn marked(conn: &Connection, limit: usize) -> Result<Vec<i64>> {
    let mut statement =
        conn.prepare_cached("SELECT document_id FROM to_scope ORDER BY document_id LIMIT ?1")?;
    let rows = statement.query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Documents that lie elsewhere, or are of another kind.
fn settle_marked(conn: &Connection, ids: &mut Ids, stores: &[i64], now_ms: i64) -> Result<()> {
    for document_id in marked(conn, PAGE)? {
        conn.prepare_cached("DELETE FROM to_scope WHERE document_id = ?1")?.execute([document_id])?;
        // A scan has found out that it was another one, or it has no content and nothing to send.
        let has_content: bool = conn
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM documents WHERE document_id = ?1 AND content_hash IS NOT NULL)",
            )?
            .query_row([document_id], |row| row.get(0))?;
        if !has_content {
            continue;
        }
        for &store_id in stores {
            if !is_for(conn, store_id, document_id)? {
                give_up(conn, store_id, document_id, now_ms)?;
            } else if !has_all(conn, store_id, document_id)? {
                outbox::enqueue_mirror_for(conn, ids, store_id, document_id, now_ms)?;
            }
        }
    }
    Ok(())
}

/// Whether a store has what it is given of a document for sure. What is rendered may have changed while it was out of scope:
/// that is found out when it is rendered.
fn has_all(conn: &Connection, store_id: i64, document_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM stores s JOIN remote_objects r USING (store_id) JOIN documents d USING (document_id)
                            WHERE s.store_id = ?1 AND s.payload = 'original' AND r.document_id = ?2 AND r.state = 'current'
                              AND r.upload_hash = d.content_hash)",
        )?
        .query_row([store_id, document_id], |row| row.get(0))?)
}

/// What was put in line since it was asked last, in its order.
fn waiting(conn: &Connection, store_id: i64, limit: usize) -> Result<Vec<(i64, i64)>> {
    let mut statement = conn.prepare_cached(
        "SELECT seq, document_id FROM outbox WHERE channel_id = ?1 AND kind = 'mirror' AND state = 'pending'
           AND seq > (SELECT scoped_seq FROM stores WHERE store_id = ?1) ORDER BY seq LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map([store_id, limit], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn settle_waiting(conn: &Connection, store_id: i64, now_ms: i64) -> Result<()> {
    let waiting = waiting(conn, store_id, PAGE)?;
    for &(_, document_id) in &waiting {
        if !is_for(conn, store_id, document_id)? {
            give_up(conn, store_id, document_id, now_ms)?;
        }
    }
    if let Some((seq, _)) = waiting.last() {
        conn.prepare_cached("UPDATE stores SET scoped_seq = ?2 WHERE store_id = ?1")?
            .execute([store_id, *seq])?;
    }
    Ok(())
}

/// A document is not for a store: nothing of it waits, and what was begun of it and never arrived is an orphan. What is current
/// stays (D5), and what is to be proved again is brought to its end.
fn give_up(conn: &Connection, store_id: i64, document_id: i64, now_ms: i64) -> Result<()> {
    for object in ledger::held(conn, store_id, document_id)? {
        let is_over = matches!(object.state, ObjectState::Current | ObjectState::Orphaned);
        if !is_over && object.uploaded_at.is_none() {
            ledger::orphan(conn, object.object_id, NOT_FOR_IT, now_ms)?;
        }
    }
    set_aside(conn, store_id, document_id, true, now_ms)
}
