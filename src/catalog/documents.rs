//! Documents: which work a file is a copy of, and what is written on its card.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};
use ulid::Ulid;

use super::files::{Look, Recording};
use super::newcomers::Newcomer;
use super::{Ids, Result, answers, in_rows, outbox, replaced, word_of};
use crate::model::{Annotation, Field, Source};

/// What happens to the document of a file whose content is new to it. Pure, see [`adopt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// The content is a document's already: the file is one more copy of it.
    Join(i64),
    /// The file was its document's only copy: the document goes along with the edit.
    Carry(i64),
    /// A document of its own; where it was one copy among others, with their curation.
    Found {
        /// The document it was a copy of before.
        origin: Option<i64>,
    },
}

/// Decides whose copy a file is now.
///
/// `known` is the document that has this content already, `before` the file's former document and whether another file
/// still has that one's content. Empty files stand alone: that nothing is in them makes them no copies of each other.
#[must_use]
pub fn adopt(size: u64, known: Option<i64>, before: Option<(i64, bool)>) -> Adoption {
    match (known, before) {
        (Some(document_id), _) if size > 0 => Adoption::Join(document_id),
        (_, Some((document_id, false))) => Adoption::Carry(document_id),
        (_, Some((document_id, true))) => Adoption::Found { origin: Some(document_id) },
        (_, None) => Adoption::Found { origin: None },
    }
}

/// The document of a file that now has this content; made, joined or carried along, with the operations that follow.
///
/// `before` is the file's former document and the file's own number.
///
/// # Errors
/// SQLite's.
pub fn of_new_content(
    conn: &Connection,
    recording: &mut Recording<'_>,
    before: Option<(i64, i64)>,
    hash: [u8; 32],
    size: u64,
) -> Result<i64> {
    let now_ms = recording.now_ms;
    let mut known = of_content(conn, &hash)?;
    if known.is_none() && size > 0 && *recording.replaced {
        known = replaced::give_back(conn, recording, hash, size, before.map(|(former, _)| former))?;
    }
    let before = match before {
        None => None,
        Some((document_id, file_id)) => Some((document_id, has_other_copy(conn, document_id, file_id)?)),
    };
    let document_id = match adopt(size, known, before) {
        Adoption::Join(document_id) => {
            // One more place to find it at.
            conn.prepare_cached(
                "UPDATE documents SET search_stale = 1 WHERE document_id = ?1 AND search_stale = 0",
            )?
            .execute([document_id])?;
            if let Some((former, shared)) = before
                && former != document_id
                && is_first_met(conn, document_id, recording.scan_id)?
            {
                if shared {
                    inherit(conn, document_id, former)?;
                } else {
                    // Had the edited file been read first, the other would have joined it.
                    set_content(conn, former, hash, size, now_ms)?;
                    merge(conn, document_id, former, now_ms)?;
                    outbox::release_rejected(conn, former)?;
                    outbox::enqueue_mirror_to(conn, recording, former)?;
                    return Ok(former);
                }
            }
            // A document found again by its content may have lost its remote objects while nobody had it.
            if before.is_none_or(|(former, _)| former != document_id) && !has_present_copy(conn, document_id)?
            {
                outbox::release_rejected(conn, document_id)?;
                outbox::enqueue_mirror_to(conn, recording, document_id)?;
                set_copyless(conn, document_id, None)?;
            }
            if let Some((former, false)) = before
                && former != document_id
            {
                set_copyless(conn, former, Some(now_ms))?;
            }
            return Ok(document_id);
        }
        Adoption::Carry(document_id) => {
            set_content(conn, document_id, hash, size, now_ms)?;
            outbox::release_rejected(conn, document_id)?;
            document_id
        }
        Adoption::Found { origin } => found(conn, recording.ids, origin, hash, size, now_ms)?,
    };
    outbox::enqueue_mirror_to(conn, recording, document_id)?;
    Ok(document_id)
}

/// The first document that has a content.
pub(super) fn of_content(conn: &Connection, hash: &[u8; 32]) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached(
            "SELECT document_id FROM documents WHERE substr(content_hash, 1, 8) = substr(?1, 1, 8) AND content_hash = ?1
             ORDER BY document_id LIMIT 1",
        )?
        .query_row([hash], |row| row.get(0))
        .optional()?)
}

/// The number of the last document.
pub(super) fn last_id(conn: &Connection) -> Result<i64> {
    Ok(conn
        .prepare_cached("SELECT coalesce(max(document_id), 0) FROM documents")?
        .query_row([], |row| row.get(0))?)
}

/// The documents of files without a past.
pub(super) fn insert_all(conn: &Connection, newcomers: &[Newcomer], now_ms: i64) -> Result<()> {
    let documents: Vec<(i64, Ulid, &Look)> = newcomers
        .iter()
        .filter_map(|newcomer| {
            newcomer.document.map(|(document_id, ulid)| (document_id, ulid, &newcomer.look))
        })
        .collect();
    in_rows(
        conn,
        "INSERT OR FAIL INTO documents (document_id, ulid, content_hash, size, created_at, updated_at) VALUES ",
        "(?, ?, ?, ?, ?, ?)",
        &documents,
        |statement, at, (document_id, ulid, look)| {
            statement.raw_bind_parameter(at, document_id)?;
            statement.raw_bind_parameter(at + 1, &*ulid.array_to_str(&mut [0; ulid::ULID_LEN]))?;
            statement.raw_bind_parameter(at + 2, look.content_hash)?;
            statement.raw_bind_parameter(at + 3, look.stat.size.cast_signed())?;
            statement.raw_bind_parameter(at + 4, now_ms)?;
            statement.raw_bind_parameter(at + 5, now_ms)
        },
    )
}

pub(super) fn found(
    conn: &Connection,
    ids: &mut Ids,
    origin: Option<i64>,
    hash: [u8; 32],
    size: u64,
    now_ms: i64,
) -> Result<i64> {
    conn.prepare_cached(
        "INSERT INTO documents (ulid, content_hash, size, origin_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?
    .execute(params![ids.next(now_ms).to_string(), hash, size.cast_signed(), origin, now_ms])?;
    let document_id = conn.last_insert_rowid();
    if let Some(origin) = origin {
        copy_curation(conn, document_id, origin)?;
    }
    Ok(document_id)
}

/// What people and their commands said of the work holds for the edited copy; what was read out of the old bytes does not.
fn copy_curation(conn: &Connection, document_id: i64, origin: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO annotations (document_id, field, source, agent, value, confidence, updated_at)
         SELECT ?1, field, source, agent, value, confidence, updated_at FROM annotations
         WHERE document_id = ?2 AND source IN ('person', 'command')",
    )?
    .execute(params![document_id, origin])?;
    Ok(())
}

/// A document that was found before its origin was known.
fn inherit(conn: &Connection, document_id: i64, origin: i64) -> Result<()> {
    conn.prepare_cached("UPDATE documents SET origin_id = ?2 WHERE document_id = ?1 AND origin_id IS NULL")?
        .execute(params![document_id, origin])?;
    copy_curation(conn, document_id, origin)
}

pub(super) fn set_content(
    conn: &Connection,
    document_id: i64,
    hash: [u8; 32],
    size: u64,
    now_ms: i64,
) -> Result<()> {
    answers::queue_kin(conn, document_id)?;
    conn.prepare_cached(
        "UPDATE documents SET content_hash = ?2, size = ?3, enrich_stale = 1, search_stale = 1, updated_at = ?4 WHERE document_id = ?1",
    )?
    .execute(params![document_id, hash, size.cast_signed(), now_ms])?;
    Ok(())
}

/// Whether a document was made by this scan, for files that nobody knew: nobody has said a word of it yet.
fn is_first_met(conn: &Connection, document_id: i64, scan_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT origin_id IS NULL
               AND created_at >= (SELECT started_at FROM scans WHERE scan_id = ?2)
               AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.document_id = ?1 AND a.source IN ('person', 'command'))
               AND NOT EXISTS (SELECT 1 FROM edit_changes e WHERE e.document_id = ?1)
               AND NOT EXISTS (SELECT 1 FROM remote_objects r WHERE r.document_id = ?1)
             FROM documents WHERE document_id = ?1",
        )?
        .query_row(params![document_id, scan_id], |row| row.get(0))?)
}

/// The files of one document are copies of another's.
fn merge(conn: &Connection, document_id: i64, into: i64, now_ms: i64) -> Result<()> {
    conn.prepare_cached("UPDATE files SET document_id = ?2 WHERE document_id = ?1")?
        .execute([document_id, into])?;
    discard(conn, document_id, into, now_ms)
}

/// A document that has no file any more, because its file turned out to be another document's: it goes, unless somebody
/// has said something of it, be it taken back since, or a store was told of it.
pub(super) fn discard(conn: &Connection, document_id: i64, heir: i64, now_ms: i64) -> Result<()> {
    let unused: bool = conn
        .prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM annotations a WHERE a.document_id = ?1 AND a.source IN ('person', 'command'))
                AND NOT EXISTS (SELECT 1 FROM edit_changes e WHERE e.document_id = ?1)
                AND NOT EXISTS (SELECT 1 FROM remote_objects r WHERE r.document_id = ?1)
                AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.document_id = ?1 AND (o.leases > 0 OR o.state <> 'pending'))
                AND NOT EXISTS (SELECT 1 FROM documents d WHERE d.origin_id = ?1)
                AND NOT EXISTS (SELECT 1 FROM replaced r WHERE r.document_id = ?1)",
        )?
        .query_row([document_id], |row| row.get(0))?;
    if has_other_copy(conn, document_id, 0)? {
        return Ok(());
    }
    if !unused {
        return set_copyless(conn, document_id, Some(now_ms));
    }
    // Its number is given again: what was told of it is told of the one it turned out to be.
    conn.prepare_cached(
        "DELETE FROM events WHERE document_id = ?2 AND what = 'document' AND before = CAST(?1 AS TEXT)",
    )?
    .execute([document_id, heir])?;
    conn.prepare_cached(
        "UPDATE events SET document_id = ?2,
                after = CASE WHEN what = 'document' AND after = CAST(?1 AS TEXT) THEN CAST(?2 AS TEXT) ELSE after END
         WHERE document_id = ?1",
    )?
    .execute([document_id, heir])?;
    answers::queue_kin(conn, document_id)?;
    // One by one: while a scan writes, nothing cascades.
    for sql in [
        "DELETE FROM annotations WHERE document_id = ?1",
        "DELETE FROM to_ask WHERE document_id = ?1",
        "DELETE FROM to_settle WHERE document_id = ?1",
        "DELETE FROM withheld WHERE document_id = ?1",
        "DELETE FROM recalls WHERE document_id = ?1",
        "DELETE FROM search_cards WHERE rowid = ?1",
        "DELETE FROM search_texts WHERE rowid = ?1",
        "DELETE FROM search_documents WHERE document_id = ?1",
        "DELETE FROM outbox WHERE document_id = ?1",
        "DELETE FROM documents WHERE document_id = ?1",
    ] {
        conn.prepare_cached(sql)?.execute([document_id])?;
    }
    Ok(())
}

/// Whether another file has the document's content, wherever it is now: a missing copy may come back.
fn has_other_copy(conn: &Connection, document_id: i64, file_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM files WHERE document_id = ?1 AND file_id <> ?2)")?
        .query_row(params![document_id, file_id], |row| row.get(0))?)
}

/// A file is no copy of its document any more, and of no other instead (a link stands in its place).
///
/// # Errors
/// SQLite's.
pub(super) fn leave(conn: &Connection, document_id: i64, file_id: i64, now_ms: i64) -> Result<()> {
    if has_other_copy(conn, document_id, file_id)? {
        return Ok(());
    }
    set_copyless(conn, document_id, Some(now_ms))
}

/// Since when no file at all belongs to the document: its work was edited into another's.
pub(super) fn set_copyless(conn: &Connection, document_id: i64, since_ms: Option<i64>) -> Result<()> {
    conn.prepare_cached("UPDATE documents SET copyless_since = ?2 WHERE document_id = ?1")?
        .execute(params![document_id, since_ms])?;
    Ok(())
}

pub(super) fn has_present_copy(conn: &Connection, document_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM files WHERE document_id = ?1 AND presence = 'present')",
        )?
        .query_row([document_id], |row| row.get(0))?)
}

/// A document's identity and content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its number in this catalogue.
    pub document_id: i64,
    /// Its name everywhere.
    pub ulid: Ulid,
    /// Its content.
    pub content_hash: Option<[u8; 32]>,
    /// In bytes.
    pub size: u64,
}

/// The document of that number.
///
/// # Errors
/// SQLite's.
pub fn by_id(conn: &Connection, document_id: i64) -> Result<Document> {
    Ok(conn
        .prepare_cached("SELECT document_id, ulid, content_hash, size FROM documents WHERE document_id = ?1")?
        .query_row([document_id], |row| {
            Ok(Document {
                document_id: row.get(0)?,
                ulid: ulid_of(row, 1)?,
                content_hash: row.get(2)?,
                size: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        })?)
}

/// The number of the document that has that name everywhere.
///
/// # Errors
/// SQLite's.
pub fn by_ulid(conn: &Connection, ulid: Ulid) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached("SELECT document_id FROM documents WHERE ulid = ?1")?
        .query_row([ulid.to_string()], |row| row.get(0))
        .optional()?)
}

/// The numbers of all documents.
///
/// # Errors
/// SQLite's.
pub fn by_ulids(conn: &Connection) -> Result<HashMap<Ulid, i64>> {
    let mut statement = conn.prepare_cached("SELECT ulid, document_id FROM documents")?;
    let rows = statement.query_map([], |row| Ok((ulid_of(row, 0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The document that one was edited apart from, and those that were edited apart from it (L15).
///
/// # Errors
/// SQLite's.
pub fn kin(conn: &Connection, document_id: i64) -> Result<(Option<i64>, Vec<i64>)> {
    let origin = conn
        .prepare_cached("SELECT origin_id FROM documents WHERE document_id = ?1")?
        .query_row([document_id], |row| row.get(0))?;
    // IS NOT NULL says nothing new to a reader, but lets SQLite use the partial index.
    let mut statement = conn.prepare_cached(
        "SELECT document_id FROM documents WHERE origin_id = ?1 AND origin_id IS NOT NULL ORDER BY document_id",
    )?;
    let rows = statement.query_map([document_id], |row| row.get(0))?;
    Ok((origin, rows.collect::<rusqlite::Result<_>>()?))
}

pub(super) fn ulid_of(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<Ulid> {
    let text = row.get_ref(at)?.as_str()?;
    Ulid::from_string(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    })
}

/// Whether the document of this number is the one of this id: numbers are given again.
///
/// # Errors
/// SQLite's.
pub fn is(conn: &Connection, document_id: i64, ulid: Ulid) -> Result<bool> {
    Ok(conn
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM documents WHERE document_id = ?1 AND ulid = ?2)")?
        .query_row(params![document_id, ulid.to_string()], |row| row.get(0))?)
}

/// Everything anybody said of a document.
///
/// # Errors
/// SQLite's.
pub fn annotations(conn: &Connection, document_id: i64) -> Result<Vec<Annotation>> {
    let mut statement = conn.prepare_cached(
        "SELECT field, source, agent, value, confidence, updated_at FROM annotations WHERE document_id = ?1
         ORDER BY field, source, agent",
    )?;
    let mut rows = statement.query([document_id])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(Annotation {
            field: word_of::<Field>(row, "field")?,
            source: word_of::<Source>(row, "source")?,
            values: serde_json::from_str(row.get_ref("value")?.as_str().map_err(rusqlite::Error::from)?)?,
            agent: row.get("agent")?,
            confidence: row.get("confidence")?,
            updated_at: row.get("updated_at")?,
        });
    }
    Ok(all)
}

/// What somebody says of one field.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Said {
    /// Which field.
    pub field: Field,
    /// One value; several for a list field.
    pub values: Vec<String>,
    /// From 0 to 1.
    pub confidence: f64,
}

/// Replaces everything that one source, and of commands the one of that name, said of a document. Returns whether anything
/// changed.
///
/// # Errors
/// SQLite's.
pub fn replace_annotations(
    conn: &Connection,
    document_id: i64,
    source: Source,
    agent: &str,
    said: &[Said],
    now_ms: i64,
) -> Result<bool> {
    let mut changed = 0;
    let mut kept = Vec::with_capacity(said.len());
    for Said { field, values, confidence } in said {
        changed += conn
            .prepare_cached(
                "INSERT INTO annotations (document_id, field, source, agent, value, confidence, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                 ON CONFLICT (document_id, field, source, agent) DO UPDATE
                 SET value = excluded.value, confidence = excluded.confidence, updated_at = excluded.updated_at
                 WHERE value <> excluded.value OR confidence <> excluded.confidence",
            )?
            .execute(params![
                document_id,
                field.as_str(),
                source.as_str(),
                agent,
                serde_json::to_string(values)?,
                confidence,
                now_ms
            ])?;
        kept.push(field.as_str());
    }
    changed += conn
        .prepare_cached(
            "DELETE FROM annotations WHERE document_id = ?1 AND source = ?2 AND agent = ?3
             AND field NOT IN (SELECT value FROM json_each(?4))",
        )?
        .execute(params![document_id, source.as_str(), agent, serde_json::to_string(&kept)?])?;
    if changed > 0 {
        conn.prepare_cached("UPDATE documents SET search_stale = 1 WHERE document_id = ?1")?
            .execute([document_id])?;
    }
    Ok(changed > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::edits::{self, EditChange};
    use rstest::rstest;

    // L15
    #[rstest]
    #[case::first_of_its_content(9, None, None, Adoption::Found { origin: None })]
    #[case::known_content_is_a_copy(9, Some(1), None, Adoption::Join(1))]
    #[case::edited_only_copy_takes_its_document_along(9, None, Some((2, false)), Adoption::Carry(2))]
    #[case::edited_copy_among_others_starts_its_own(9, None, Some((2, true)), Adoption::Found { origin: Some(2) })]
    #[case::edited_into_known_content_joins_it(9, Some(1), Some((2, false)), Adoption::Join(1))]
    #[case::empty_files_stand_alone(0, Some(1), None, Adoption::Found { origin: None })]
    #[case::emptied_file_keeps_its_document(0, Some(1), Some((2, false)), Adoption::Carry(2))]
    fn a_file_belongs_to_the_document_of_its_content(
        #[case] size: u64,
        #[case] known: Option<i64>,
        #[case] before: Option<(i64, bool)>,
        #[case] adoption: Adoption,
    ) {
        assert_eq!(adopt(size, known, before), adoption);
    }

    // E4
    #[test]
    fn a_document_that_the_log_of_edits_names_is_never_discarded() {
        let dir = tempfile::tempdir().unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let catalog = crate::catalog::Catalog::open_or_create(&dir.path().join("catalog.db"), now).unwrap();
        let conn = catalog.read();
        let ids = &mut Ids::default();
        let document = |ids: &mut Ids, n: u8| found(conn, ids, None, [n; 32], 1, 0).unwrap();
        let (heir, named, unnamed) = (document(ids, 1), document(ids, 2), document(ids, 3));
        // Said, and taken back: no word is left of it but the log's.
        let said = Some(vec!["A title".to_owned()]);
        for (before, after) in [(None, said.clone()), (said, None)] {
            let edit_id = edits::begin(conn, "edit", None, 0).unwrap();
            let change = EditChange { document_id: named, field: Field::Title, before, after };
            edits::change(conn, edit_id, &change, 0).unwrap();
        }
        for document_id in [named, unnamed] {
            discard(conn, document_id, heir, 7).unwrap();
        }
        assert!(by_id(conn, unnamed).is_err(), "of this one nobody ever said a word");
        assert_eq!(by_id(conn, named).unwrap().content_hash, Some([2; 32]));
        let next = document(ids, 4);
        assert_ne!(next, named);
        assert_eq!(edits::of_document(conn, next).unwrap(), []);
    }
}
