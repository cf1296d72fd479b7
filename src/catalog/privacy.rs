//! How far each document may leave, and what follows for the stores when that changes (S8, T8).
//!
//! Three say so: the word on its card, the rules of the setting `privacy.rules` about the places of its copies, and those
//! about its kind of source. The strictest counts ([`of`]). Whoever sends asks that at the moment of sending. Beside it the
//! table `withheld` keeps what the stores were last brought in line with: a document that may not leave enters no queue, and a
//! change can be told from a repetition.
//!
//! What becomes stricter is taken back: every object of the document becomes an orphan that is to be deleted at once
//! (`recall`), in the transaction of the change (T1). Upload first (T2) does not apply, nor the clean-up's grace and brake:
//! somebody wants it gone. A word on a card is a person's, and [`super::edits`] can put it back. A rule is one line that may be
//! about everything: where it takes back more than the guard allows, a decision waits (D6), while nothing more is sent.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::decisions::{self, DecisionKind};
use super::{Catalog, Ids, Result, documents, files, ledger, outbox, settings};
use crate::model::document::{self, effective};
use crate::model::privacy::Rules;
use crate::model::{Annotation, Field, ObjectState, Payload, Privacy, setting};

/// Documents settled in one transaction.
const PAGE: usize = 1_000;

/// The rules as they are set.
///
/// # Errors
/// [`super::CatalogError::Rules`] where they are not understood (an edit by hand): then nothing is to leave.
pub fn rules(conn: &Connection) -> Result<Arc<Rules>> {
    /// Read once, not once a document.
    static LAST: Mutex<Option<(String, Arc<Rules>)>> = Mutex::new(None);
    let (text, _) = settings::get(conn, &setting::PRIVACY_RULES)?;
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((known, rules)) = &*last
        && *known == text
    {
        return Ok(Arc::clone(rules));
    }
    let rules = Arc::new(Rules::parse(&text)?);
    *last = Some((text, Arc::clone(&rules)));
    Ok(rules)
}

/// How far a document may leave, with everything that is said of it at hand.
///
/// # Errors
/// SQLite's, and rules that are not understood.
pub fn of(conn: &Connection, document_id: i64, annotations: &[Annotation]) -> Result<Privacy> {
    Ok(why(conn, document_id, annotations)?.0)
}

/// As [`of`], and the rule that says so where it is stricter than the card.
///
/// # Errors
/// As [`of`].
pub fn why(
    conn: &Connection,
    document_id: i64,
    annotations: &[Annotation],
) -> Result<(Privacy, Option<String>)> {
    let mut strictest = (document::privacy(annotations), None);
    let rules = rules(conn)?;
    if rules.is_empty() {
        return Ok(strictest);
    }
    let mut hear = |said: Option<(Privacy, &str)>| {
        if let Some((privacy, line)) = said
            && privacy > strictest.0
        {
            strictest = (privacy, Some(line.to_owned()));
        }
    };
    if let Some(held) = effective(annotations).get(&Field::SourceType) {
        held.values.iter().for_each(|value| hear(rules.of_type(value)));
    }
    let mut has_place = false;
    if rules.are_about_places() {
        let mut statement = conn.prepare_cached(
            "SELECT d.path, f.name FROM files f JOIN dirs d USING (dir_id) WHERE f.document_id = ?1",
        )?;
        let mut rows = statement.query([document_id])?;
        while let Some(row) = rows.next()? {
            has_place = true;
            hear(rules.of_path(&files::join(row.get(0)?, row.get(1)?)));
        }
    }
    // A library that was removed, or a file that became another's, takes a document's place away, and not its privacy.
    if rules.are_about_places() && !has_place && !effective(annotations).contains_key(&Field::Privacy) {
        strictest.0 = strictest.0.max(kept(conn, document_id)?);
    }
    Ok(strictest)
}

/// What the stores were last brought in line with.
fn kept(conn: &Connection, document_id: i64) -> Result<Privacy> {
    let word: Option<String> = conn
        .prepare_cached("SELECT privacy FROM withheld WHERE document_id = ?1")?
        .query_row([document_id], |row| row.get(0))
        .optional()?;
    Ok(match word {
        Some(word) => word.parse()?,
        None => Privacy::Full,
    })
}

fn keep(conn: &Connection, document_id: i64, privacy: Privacy) -> Result<()> {
    if privacy == Privacy::Full {
        conn.prepare_cached("DELETE FROM withheld WHERE document_id = ?1")?.execute([document_id])?;
    } else {
        conn.prepare_cached(
            "INSERT INTO withheld (document_id, privacy) VALUES (?1, ?2)
             ON CONFLICT (document_id) DO UPDATE SET privacy = excluded.privacy",
        )?
        .execute(params![document_id, privacy.as_str()])?;
    }
    // What may be told to the user's commands changes with it.
    conn.prepare_cached(
        "INSERT INTO to_ask (document_id) SELECT ?1 WHERE NOT EXISTS (SELECT 1 FROM to_ask WHERE document_id = ?1)",
    )?
    .execute([document_id])?;
    Ok(())
}

/// Marks documents that are new at a place, where places matter.
///
/// # Errors
/// SQLite's.
pub(super) fn mark(conn: &Connection, document_ids: impl Iterator<Item = i64>) -> Result<()> {
    let is_ruled: bool = conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM settings WHERE key = 'privacy.rules')")?
        .query_row([], |row| row.get(0))?;
    if is_ruled {
        for document_id in document_ids {
            conn.prepare_cached("INSERT OR IGNORE INTO to_settle (document_id) VALUES (?1)")?
                .execute([document_id])?;
        }
    }
    Ok(())
}

/// Marks every document: the rules changed.
///
/// # Errors
/// SQLite's.
pub fn mark_all(conn: &Connection) -> Result<()> {
    conn.execute("INSERT OR IGNORE INTO to_settle (document_id) SELECT document_id FROM documents", [])?;
    Ok(())
}

/// Whether any store has something of a document, or may have, that nobody has taken back yet.
fn is_held(conn: &Connection, document_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_objects WHERE document_id = ?1 AND state <> 'deleted'
                            AND recalled_at IS NULL AND NOT (state = 'planned' AND uploaded_at IS NULL))",
        )?
        .query_row([document_id], |row| row.get(0))?)
}

/// A person's word, or what follows from one for the whole document: carried out at once, whatever it is about.
///
/// # Errors
/// SQLite's.
pub fn change(conn: &Connection, ids: &mut Ids, document_id: i64, after: Privacy, now_ms: i64) -> Result<()> {
    let before = kept(conn, document_id)?;
    unmark(conn, document_id)?;
    let waited =
        conn.prepare_cached("DELETE FROM recalls WHERE document_id = ?1")?.execute([document_id])? > 0;
    if before != after {
        keep(conn, document_id, after)?;
    }
    // Also what a rule held back already, and somebody decided to leave where it is: here a person says it of this one.
    let is_left = after == before && after > Privacy::Full && (waited || is_held(conn, document_id)?);
    if after > before || (waited && after > Privacy::Full) || is_left {
        recall(conn, ids, document_id, after, now_ms)
    } else if after < before {
        allow(conn, ids, document_id, after, now_ms)
    } else {
        Ok(())
    }
}

fn unmark(conn: &Connection, document_id: i64) -> Result<()> {
    conn.prepare_cached("DELETE FROM to_settle WHERE document_id = ?1")?.execute([document_id])?;
    Ok(())
}

/// Why an object was taken back, as the ledger and the log keep it.
#[must_use]
pub fn cause(privacy: Privacy) -> &'static str {
    match privacy {
        Privacy::LocalOnly => "local only",
        Privacy::Redacted => "redacted",
        Privacy::Full => "may leave",
    }
}

/// Takes back from every store what it has of a document. Objects that are only planned were never sent and are over; of all
/// others, those on their way too, a store may have something.
fn recall(conn: &Connection, ids: &mut Ids, document_id: i64, after: Privacy, now_ms: i64) -> Result<()> {
    let objects = ledger::of_document(conn, document_id)?;
    for object in objects.iter().filter(|object| object.state != ObjectState::Deleted) {
        let was_current = object.state == ObjectState::Current;
        ledger::orphan(conn, object.object_id, cause(after), now_ms)?;
        ledger::recall(conn, object.object_id, was_current, cause(after), now_ms)?;
        outbox::enqueue_delete(conn, ids, object.object_id, now_ms)?;
    }
    if after == Privacy::LocalOnly {
        outbox::withdraw(conn, document_id, true, now_ms)
    } else {
        outbox::enqueue_mirror(conn, ids, document_id, now_ms)
    }
}

/// A document may leave farther than before: what was taken back and is there still is wanted again, and what is not is sent.
fn allow(conn: &Connection, ids: &mut Ids, document_id: i64, after: Privacy, now_ms: i64) -> Result<()> {
    if after == Privacy::Full {
        let content = documents::by_id(conn, document_id)?.content_hash;
        for object in ledger::of_document(conn, document_id)? {
            // It is as good as it was; no disk has to be here for that. What is rendered is proved again, which costs little.
            let is_wanted = object.payload == Payload::Original && Some(object.upload_hash) == content;
            ledger::allow(conn, object.object_id, is_wanted, now_ms)?;
        }
    }
    outbox::enqueue_mirror(conn, ids, document_id, now_ms)
}

/// What settling came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settled {
    /// Documents that may leave less far than before, or farther.
    pub documents: u64,
    /// Of those that may leave less far, those of which something is taken back from a store.
    pub recalled: u64,
    /// Those for which that waits for a decision.
    pub waiting: u64,
    /// The decisions.
    pub decisions: Vec<i64>,
}

/// Finds out anew how far marked documents may leave, and carries out what follows: before anything is sent, and when the
/// rules have changed. In many transactions: what is not settled yet is found out by whoever sends it.
///
/// # Errors
/// SQLite's, and rules that are not understood.
pub fn settle(catalog: &mut Catalog, now_ms: i64) -> Result<Settled> {
    let mut ids = Ids::default();
    let mut documents = 0;
    loop {
        let (changed, more) = catalog.change(|tx| settle_some(tx, &mut ids, now_ms))?;
        documents += changed;
        if !more {
            break;
        }
    }
    let settled = catalog.change(|tx| conclude(tx, &mut ids, now_ms))?;
    Ok(Settled { documents, ..settled })
}

/// Finds out anew how far the next marked documents may leave. Returns how many of them have changed, and whether there are more.
///
/// What a rule takes back from a store waits for [`conclude`].
fn settle_some(conn: &Connection, ids: &mut Ids, now_ms: i64) -> Result<(u64, bool)> {
    let marked: Vec<i64> = {
        let mut statement =
            conn.prepare_cached("SELECT document_id FROM to_settle ORDER BY document_id LIMIT ?1")?;
        let limit = i64::try_from(PAGE).unwrap_or(i64::MAX);
        let rows = statement.query_map([limit], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    let mut changed = 0;
    for &document_id in &marked {
        unmark(conn, document_id)?;
        // A scan has found out that it was another one, and its number may be given again.
        let is_there: bool = conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM documents WHERE document_id = ?1)")?
            .query_row([document_id], |row| row.get(0))?;
        if !is_there {
            continue;
        }
        let after = of(conn, document_id, &documents::annotations(conn, document_id)?)?;
        let before = kept(conn, document_id)?;
        if before == after {
            continue;
        }
        changed += 1;
        let waits: bool = conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM recalls WHERE document_id = ?1)")?
            .query_row([document_id], |row| row.get(0))?;
        if after == Privacy::Full || !(waits || is_held(conn, document_id)?) {
            change(conn, ids, document_id, after, now_ms)?;
            continue;
        }
        if after < before && !waits {
            change(conn, ids, document_id, after, now_ms)?;
            continue;
        }
        // Nothing more of it leaves from now on; what has left already is for the guard to say.
        keep(conn, document_id, after)?;
        conn.prepare_cached(
            "INSERT INTO recalls (document_id, library_id, privacy)
             SELECT ?1, coalesce((SELECT d.library_id FROM files f JOIN dirs d USING (dir_id) WHERE f.document_id = ?1
                                  ORDER BY f.file_id LIMIT 1), (SELECT min(library_id) FROM libraries), 0), ?2
             WHERE true ON CONFLICT (document_id) DO UPDATE SET privacy = excluded.privacy",
        )?
        .execute(params![document_id, after.as_str()])?;
        match after {
            Privacy::LocalOnly => outbox::withdraw(conn, document_id, false, now_ms)?,
            _ => outbox::enqueue_mirror(conn, ids, document_id, now_ms)?,
        }
    }
    Ok((changed, marked.len() == PAGE))
}

/// Takes back what rules hold back since, or asks before (D6): of a library's documents that stores have something of, more
/// than so many and more than such a share.
fn conclude(conn: &Connection, ids: &mut Ids, now_ms: i64) -> Result<Settled> {
    let mut settled = Settled::default();
    let most = settings::integer(conn, &setting::GUARD_RECALL_COUNT)?;
    let percent = settings::integer(conn, &setting::GUARD_RECALL_PERCENT)?;
    let fresh: Vec<(i64, i64)> = {
        let mut statement = conn.prepare_cached(
            "SELECT library_id, count(*) FROM recalls WHERE decision_id IS NULL GROUP BY library_id",
        )?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (library_id, documents) in fresh {
        let open = decisions::open_of(conn, library_id, DecisionKind::MassRecall)?;
        let known = if documents > most || open.is_some() { held_of(conn, library_id)? } else { 0 };
        if open.is_none() && !(documents > most && documents * 100 > known * percent) {
            settled.recalled += carry_out(
                conn,
                ids,
                "SELECT document_id, privacy FROM recalls WHERE library_id = ?1 AND decision_id IS NULL",
                library_id,
                now_ms,
            )?;
            continue;
        }
        let before: i64 = conn.query_row(
            "SELECT count(*) FROM recalls WHERE library_id = ?1 AND decision_id IS NOT NULL",
            [library_id],
            |row| row.get(0),
        )?;
        let facts = serde_json::json!({ "documents": before + documents, "known": known });
        let decision_id = decisions::ask(conn, library_id, DecisionKind::MassRecall, &facts, now_ms)?;
        conn.execute(
            "UPDATE recalls SET decision_id = ?2 WHERE library_id = ?1 AND decision_id IS NULL",
            [library_id, decision_id],
        )?;
        conn.execute(
            "INSERT OR IGNORE INTO decision_files (decision_id, file_id)
             SELECT ?1, min(f.file_id) FROM recalls r JOIN files f USING (document_id) WHERE r.decision_id = ?1
             GROUP BY r.document_id",
            [decision_id],
        )?;
        settled.waiting += (before + documents).cast_unsigned();
        settled.decisions.push(decision_id);
    }
    decisions::settle_without_recalls(conn, now_ms)?;
    Ok(settled)
}

/// Of how many documents of a library stores have something.
fn held_of(conn: &Connection, library_id: i64) -> Result<i64> {
    Ok(conn.query_row(
        "SELECT count(*) FROM (SELECT DISTINCT document_id FROM remote_objects WHERE state <> 'deleted' AND recalled_at IS NULL) h
         WHERE EXISTS (SELECT 1 FROM files f JOIN dirs d USING (dir_id)
                       WHERE f.document_id = h.document_id AND d.library_id = ?1)",
        [library_id],
        |row| row.get(0),
    )?)
}

fn carry_out(conn: &Connection, ids: &mut Ids, these: &str, number: i64, now_ms: i64) -> Result<u64> {
    let all: Vec<(i64, String)> = {
        let mut statement = conn.prepare(these)?;
        let rows = statement.query_map([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (document_id, privacy) in &all {
        recall(conn, ids, *document_id, privacy.parse()?, now_ms)?;
        conn.prepare_cached("DELETE FROM recalls WHERE document_id = ?1")?.execute([document_id])?;
    }
    Ok(all.len() as u64)
}

/// A person says yes: it is taken back. Returns of how many documents.
pub(super) fn approve(conn: &Connection, decision_id: i64, now_ms: i64) -> Result<u64> {
    let these = "SELECT document_id, privacy FROM recalls WHERE decision_id = ?1";
    carry_out(conn, &mut Ids::default(), these, decision_id, now_ms)
}

/// A person says no: stores keep what they have; nothing more of it leaves all the same.
pub(super) fn reject(conn: &Connection, decision_id: i64) -> Result<()> {
    conn.execute("DELETE FROM recalls WHERE decision_id = ?1", [decision_id])?;
    Ok(())
}
