//! The log of what people changed on cards: each command one edit, with what stood before, so that it can be taken back.
//!
//! What somebody says and the log of it are one transaction of the caller's ([`change`]). A document that is named here is
//! never discarded ([`super::documents`]): the log would point to nothing, or to another that got its number.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, word_of};
use crate::model::{Field, Source};

/// What a person says of one field: values, none at all (it is empty), or no word.
pub type Word = Option<Vec<String>>;

/// One command of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Its number.
    pub edit_id: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// What was asked, in words.
    pub said: String,
    /// The edit that it takes back.
    pub undoes: Option<i64>,
    /// Since when it is taken back itself, in milliseconds.
    pub undone_at: Option<i64>,
}

/// What an edit made of one field of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditChange {
    /// Which document.
    pub document_id: i64,
    /// Which field.
    pub field: Field,
    /// The person's word before.
    pub before: Word,
    /// The person's word since.
    pub after: Word,
}

/// That an edit changed a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// Which edit.
    pub edit_id: i64,
    /// The edit that it takes back.
    pub undoes: Option<i64>,
}

/// Begins an edit; its changes follow in the same transaction.
///
/// # Errors
/// SQLite's.
pub fn begin(conn: &Connection, said: &str, undoes: Option<i64>, now_ms: i64) -> Result<i64> {
    conn.prepare_cached("INSERT INTO edits (at, said, undoes) VALUES (?1, ?2, ?3)")?
        .execute(params![now_ms, said, undoes])?;
    Ok(conn.last_insert_rowid())
}

/// Writes down a person's word of one field, and in the log what it was before.
///
/// # Errors
/// SQLite's.
pub fn change(conn: &Connection, edit_id: i64, change: &EditChange, now_ms: i64) -> Result<()> {
    let EditChange { document_id, field, before, after } = change;
    let json = |word: &Word| word.as_ref().map(serde_json::to_string).transpose();
    let (before, after) = (json(before)?, json(after)?);
    conn.prepare_cached(
        "INSERT INTO edit_changes (edit_id, document_id, field, before, after) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![edit_id, document_id, field.as_str(), before, after])?;
    match after {
        Some(values) => conn
            .prepare_cached(
                "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
                 VALUES (?1, ?2, ?3, ?4, 1.0, ?5)
                 ON CONFLICT (document_id, field, source, agent) DO UPDATE
                 SET value = excluded.value, confidence = excluded.confidence, updated_at = excluded.updated_at",
            )?
            .execute(params![document_id, field.as_str(), Source::Person.as_str(), values, now_ms])?,
        None => conn
            .prepare_cached("DELETE FROM annotations WHERE document_id = ?1 AND field = ?2 AND source = ?3")?
            .execute(params![document_id, field.as_str(), Source::Person.as_str()])?,
    };
    Ok(())
}

/// What search shows of a document changed.
///
/// # Errors
/// SQLite's.
pub fn set_search_stale(conn: &Connection, document_id: i64) -> Result<()> {
    conn.prepare_cached("UPDATE documents SET search_stale = 1 WHERE document_id = ?1 AND search_stale = 0")?
        .execute([document_id])?;
    Ok(())
}

/// How many documents wait to be indexed; those beyond `limit` are not counted.
///
/// # Errors
/// SQLite's.
pub fn count_search_stale(conn: &Connection, limit: u32) -> Result<u64> {
    let n: i64 = conn
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM documents WHERE search_stale = 1 LIMIT ?1)")?
        .query_row([limit], |row| row.get(0))?;
    Ok(n.cast_unsigned())
}

const COLUMNS: &str = "edit_id, at, said, undoes, undone_at";

fn edit(row: &Row<'_>) -> rusqlite::Result<Edit> {
    Ok(Edit {
        edit_id: row.get("edit_id")?,
        at: row.get("at")?,
        said: row.get("said")?,
        undoes: row.get("undoes")?,
        undone_at: row.get("undone_at")?,
    })
}

/// The edit of that number.
///
/// # Errors
/// SQLite's.
pub fn by_id(conn: &Connection, edit_id: i64) -> Result<Option<Edit>> {
    Ok(conn
        .prepare_cached(&format!("SELECT {COLUMNS} FROM edits WHERE edit_id = ?1"))?
        .query_row([edit_id], edit)
        .optional()?)
}

/// The last edit that is in effect and takes back no other.
///
/// # Errors
/// SQLite's.
pub fn last_in_effect(conn: &Connection) -> Result<Option<Edit>> {
    Ok(conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM edits WHERE undone_at IS NULL AND undoes IS NULL ORDER BY edit_id DESC LIMIT 1"
        ))?
        .query_row([], edit)
        .optional()?)
}

/// The edit that took back another one last.
///
/// # Errors
/// SQLite's.
pub fn undoer_of(conn: &Connection, edit_id: i64) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached(
            "SELECT edit_id FROM edits WHERE undoes = ?1 AND undone_at IS NULL ORDER BY edit_id DESC LIMIT 1",
        )?
        .query_row([edit_id], |row| row.get(0))
        .optional()?)
}

/// The last edits, the latest first, each with how many documents and fields it changed.
///
/// # Errors
/// SQLite's.
pub fn list(conn: &Connection, limit: Option<usize>) -> Result<Vec<(Edit, u64, u64)>> {
    let limit = limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX));
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS},
                (SELECT count(DISTINCT document_id) FROM edit_changes c WHERE c.edit_id = edits.edit_id) AS documents,
                (SELECT count(*) FROM edit_changes c WHERE c.edit_id = edits.edit_id) AS fields
         FROM edits ORDER BY edit_id DESC LIMIT ?1"
    ))?;
    let rows = statement.query_map([limit], |row| {
        let count = |column| Ok::<_, rusqlite::Error>(row.get::<_, i64>(column)?.cast_unsigned());
        Ok((edit(row)?, count("documents")?, count("fields")?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What an edit changed, by document; at most `limit` documents after that one.
///
/// # Errors
/// SQLite's.
pub fn changes(conn: &Connection, edit_id: i64, after: i64, limit: usize) -> Result<Vec<EditChange>> {
    let mut statement = conn.prepare_cached(
        "SELECT document_id, field, before, after FROM edit_changes WHERE edit_id = ?1 AND document_id IN (
             SELECT DISTINCT document_id FROM edit_changes WHERE edit_id = ?1 AND document_id > ?2
             ORDER BY document_id LIMIT ?3)
         ORDER BY document_id, field",
    )?;
    let mut rows = statement.query(params![edit_id, after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        changes.push(EditChange {
            document_id: row.get("document_id")?,
            field: word_of(row, "field")?,
            before: word(row, "before")?,
            after: word(row, "after")?,
        });
    }
    Ok(changes)
}

/// Which edits changed a field of a document, in their order.
///
/// # Errors
/// SQLite's.
pub fn log_of(conn: &Connection, document_id: i64, field: Field) -> Result<Vec<Logged>> {
    let mut statement = conn.prepare_cached(
        "SELECT c.edit_id, e.undoes FROM edit_changes c JOIN edits e USING (edit_id)
         WHERE c.document_id = ?1 AND c.field = ?2 ORDER BY c.edit_id",
    )?;
    let rows = statement.query_map(params![document_id, field.as_str()], |row| {
        Ok(Logged { edit_id: row.get(0)?, undoes: row.get(1)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn word(row: &Row<'_>, column: &str) -> Result<Word> {
    let json: Option<String> = row.get(column)?;
    Ok(json.as_deref().map(serde_json::from_str).transpose()?)
}

/// An edit is taken back, or in effect again.
///
/// # Errors
/// SQLite's.
pub fn set_undone(conn: &Connection, edit_id: i64, at: Option<i64>) -> Result<()> {
    conn.prepare_cached("UPDATE edits SET undone_at = ?2 WHERE edit_id = ?1")?
        .execute(params![edit_id, at])?;
    Ok(())
}

/// What people changed on the card of a document, in the order they did.
///
/// # Errors
/// SQLite's.
pub fn of_document(conn: &Connection, document_id: i64) -> Result<Vec<(Edit, EditChange)>> {
    let mut statement = conn.prepare_cached(
        "SELECT e.edit_id, e.at, e.said, e.undoes, e.undone_at, c.document_id, c.field, c.before, c.after
         FROM edit_changes c JOIN edits e USING (edit_id) WHERE c.document_id = ?1 ORDER BY c.edit_id, c.field",
    )?;
    let mut rows = statement.query([document_id])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let change = EditChange {
            document_id,
            field: word_of(row, "field")?,
            before: word(row, "before")?,
            after: word(row, "after")?,
        };
        all.push((edit(row)?, change));
    }
    Ok(all)
}
