//! What the user's commands said: which documents they are to be asked about, what they are told, what they answered.
//!
//! Answers are kept by content, as texts are: a copy, a move or a remount asks nobody again. A document waits in `to_ask`
//! when its content was read anew, when commands changed, and when its privacy did, or that of another with its content; where
//! there is no command, the next run takes it out again.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::documents::{self, Said};
use super::enrichments::{self, OutcomeKind};
use super::settings::{self, EnrichCommand};
use super::{Catalog, Ids, Result, files, outbox, word_of};
use crate::model::{Field, Privacy, RelPath, Source, document, words};

words! {
    /// How a question ended.
    pub enum AnswerKind {
        /// The command said something, or that there is nothing to say.
        Answered = "answered",
        /// It said that it cannot, said what it may not, or nothing at all.
        Failed = "failed",
    }
}

/// A command's answer about a content.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The command's version then, as its user calls it.
    pub version: String,
    /// Digits of its command line then.
    pub line: String,
    /// Whether it was asked without text and paths.
    pub redacted: bool,
    /// Whether it is to be asked again.
    pub again: bool,
    /// How it ended.
    pub outcome: AnswerKind,
    /// What it said.
    pub said: Vec<Said>,
    /// Why there is no answer.
    pub problem: Option<String>,
    /// Since when, in milliseconds.
    pub updated_at: i64,
}

/// Puts a document in line for commands, where there are any.
///
/// # Errors
/// SQLite's.
pub(super) fn queue(conn: &Connection, document_id: i64) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR IGNORE INTO to_ask (document_id) SELECT ?1
         WHERE EXISTS (SELECT 1 FROM settings WHERE key > 'enrich.command.' AND key < 'enrich.command/')",
    )?
    .execute([document_id])?;
    Ok(())
}

/// A document leaves its content: the others that have it are put in line, in case it was kept back for the sake of this one.
///
/// # Errors
/// SQLite's.
pub(super) fn queue_kin(conn: &Connection, document_id: i64) -> Result<()> {
    // Nothing is in an empty file, which any number of documents have in common.
    conn.prepare_cached(
        "INSERT OR IGNORE INTO to_ask (document_id)
         SELECT kin.document_id FROM documents d JOIN documents kin
             ON substr(kin.content_hash, 1, 8) = substr(d.content_hash, 1, 8) AND kin.content_hash = d.content_hash
         WHERE d.document_id = ?1 AND kin.document_id <> ?1 AND d.size > 0
           AND EXISTS (SELECT 1 FROM annotations WHERE document_id = ?1 AND field = 'privacy')
           AND EXISTS (SELECT 1 FROM settings WHERE key > 'enrich.command.' AND key < 'enrich.command/')",
    )?
    .execute([document_id])?;
    Ok(())
}

/// Where commands were added, changed or removed since the last run: puts every document that was read in line, and takes
/// back what commands said that are no more, with the operations that follow. One look at a setting where nothing changed, and
/// at a table that is empty where there are no commands.
///
/// # Errors
/// SQLite's.
pub fn note_commands(
    conn: &Connection,
    ids: &mut Ids,
    commands: &[EnrichCommand],
    now_ms: i64,
) -> Result<()> {
    const KEY: &str = "internal.enrich_commands";
    let tell = |command: &EnrichCommand| {
        [&command.name, &command.line, &command.kinds, &command.version].map(Clone::clone)
    };
    let today = serde_json::to_string(&commands.iter().map(tell).collect::<Vec<_>>())?;
    let noted = settings::noted(conn, KEY)?;
    if commands.is_empty() {
        // Words about privacy put documents in line whoever is there: a trigger knows no settings.
        conn.execute("DELETE FROM to_ask", [])?;
    }
    if noted.as_ref() == Some(&today) || (noted.is_none() && commands.is_empty()) {
        return Ok(());
    }
    let names = serde_json::to_string(&commands.iter().map(|command| &command.name).collect::<Vec<_>>())?;
    let gone: Vec<i64> = {
        let mut statement = conn.prepare(
            "SELECT DISTINCT document_id FROM annotations
             WHERE source = 'command' AND agent NOT IN (SELECT value FROM json_each(?1))",
        )?;
        statement.query_map([&names], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?
    };
    conn.execute(
        "DELETE FROM annotations WHERE source = 'command' AND agent NOT IN (SELECT value FROM json_each(?1))",
        [&names],
    )?;
    for document_id in gone {
        conn.prepare_cached("UPDATE documents SET search_stale = 1 WHERE document_id = ?1")?
            .execute([document_id])?;
        outbox::enqueue_mirror(conn, ids, document_id, now_ms)?;
    }
    conn.execute(
        "DELETE FROM command_answers WHERE command NOT IN (SELECT value FROM json_each(?1))",
        [&names],
    )?;
    conn.execute(
        "INSERT OR IGNORE INTO to_ask (document_id)
         SELECT document_id FROM documents d WHERE ?1
           AND EXISTS (SELECT 1 FROM enrichments e WHERE e.content_hash = d.content_hash)",
        [!commands.is_empty()],
    )?;
    settings::note(conn, KEY, &today, now_ms)
}

/// Has the commands asked again about contents in these libraries: all, or those of these kinds (extractor and type). What
/// they said counts until they have answered.
///
/// # Errors
/// SQLite's.
pub fn mark_again(
    conn: &Connection,
    libraries: &[i64],
    kinds: Option<&[(Option<String>, Option<String>)]>,
) -> Result<()> {
    const THESE: &str = "WITH kinds AS MATERIALIZED (SELECT value ->> 0 AS extractor, value ->> 1 AS mime FROM json_each(?2)),
             these AS MATERIALIZED (
                 SELECT d.document_id, d.content_hash FROM documents d JOIN enrichments e ON e.content_hash = d.content_hash
                 WHERE (?2 IS NULL OR EXISTS (SELECT 1 FROM kinds k WHERE k.extractor IS e.extractor AND k.mime IS e.mime))
                   AND EXISTS (SELECT 1 FROM files f JOIN dirs r USING (dir_id)
                               WHERE f.document_id = d.document_id AND r.library_id IN (SELECT value FROM json_each(?1))))";
    let (libraries, kinds) =
        (serde_json::to_string(libraries)?, kinds.map(serde_json::to_string).transpose()?);
    for mark in [
        "INSERT OR IGNORE INTO to_ask (document_id) SELECT document_id FROM these",
        "UPDATE command_answers SET again = 1 WHERE again = 0 AND content_hash IN (SELECT content_hash FROM these)",
    ] {
        conn.execute(&format!("{THESE} {mark}"), params![libraries, kinds])?;
    }
    Ok(())
}

/// A document that waits for commands.
#[derive(Debug, Clone)]
pub struct ToAsk {
    /// Which document.
    pub document_id: i64,
    /// Its content, and what is known of it; none where it was not read yet and cannot be asked about.
    pub content: Option<ReadContent>,
}

/// A content that was read.
#[derive(Debug, Clone)]
pub struct ReadContent {
    /// Which content.
    pub content_hash: [u8; 32],
    /// How reading it ended.
    pub outcome: OutcomeKind,
    /// Which extractor.
    pub extractor: Option<String>,
    /// Type by content.
    pub mime: Option<String>,
}

/// The next documents, after `after`, that wait for commands; of these libraries, where some are named.
///
/// # Errors
/// SQLite's.
pub fn to_ask(conn: &Connection, libraries: Option<&[i64]>, after: i64, limit: usize) -> Result<Vec<ToAsk>> {
    let mut statement = conn.prepare_cached(
        "SELECT t.document_id, e.content_hash, e.outcome, e.extractor, e.mime
         FROM to_ask t LEFT JOIN documents d USING (document_id) LEFT JOIN enrichments e ON e.content_hash = d.content_hash
         WHERE t.document_id > ?1
           AND (?2 IS NULL OR EXISTS (SELECT 1 FROM files f JOIN dirs r USING (dir_id)
                WHERE f.document_id = t.document_id AND r.library_id IN (SELECT value FROM json_each(?2))))
         ORDER BY t.document_id LIMIT ?3",
    )?;
    let libraries = libraries.map(serde_json::to_string).transpose()?;
    let mut rows = statement.query(params![after, libraries, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut waiting = Vec::new();
    while let Some(row) = rows.next()? {
        let content = match row.get("content_hash")? {
            None => None,
            Some(content_hash) => Some(ReadContent {
                content_hash,
                outcome: word_of(row, "outcome")?,
                extractor: row.get("extractor")?,
                mime: row.get("mime")?,
            }),
        };
        waiting.push(ToAsk { document_id: row.get("document_id")?, content });
    }
    Ok(waiting)
}

/// How many documents wait for commands.
///
/// # Errors
/// SQLite's.
pub fn count_to_ask(conn: &Connection) -> Result<u64> {
    let count: i64 = conn.query_row("SELECT count(*) FROM to_ask", [], |row| row.get(0))?;
    Ok(count.cast_unsigned())
}

/// Every command that is to be asked about a document was, or has answered its content before. Returns whether it was in
/// line.
///
/// # Errors
/// SQLite's.
pub fn settle(conn: &Connection, document_id: i64) -> Result<bool> {
    let settled = conn.prepare_cached("DELETE FROM to_ask WHERE document_id = ?1")?.execute([document_id])?;
    Ok(settled > 0)
}

/// What the commands answered about a content, by their names.
///
/// # Errors
/// SQLite's.
pub fn of_content(conn: &Connection, content_hash: [u8; 32]) -> Result<BTreeMap<String, Answer>> {
    let mut statement = conn.prepare_cached(
        "SELECT command, version, line, redacted, again, outcome, said, problem, updated_at
         FROM command_answers WHERE content_hash = ?1",
    )?;
    let mut rows = statement.query([content_hash])?;
    let mut answers = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let answer = Answer {
            version: row.get("version")?,
            line: row.get("line")?,
            redacted: row.get("redacted")?,
            again: row.get("again")?,
            outcome: word_of(row, "outcome")?,
            said: serde_json::from_str(row.get_ref("said")?.as_str().map_err(rusqlite::Error::from)?)?,
            problem: row.get("problem")?,
            updated_at: row.get("updated_at")?,
        };
        answers.insert(row.get("command")?, answer);
    }
    Ok(answers)
}

/// Keeps a command's answer about a content.
///
/// # Errors
/// SQLite's.
pub fn put(conn: &Connection, content_hash: [u8; 32], command: &str, answer: &Answer) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO command_answers (content_hash, command, version, line, redacted, again, outcome, said, problem, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)
         ON CONFLICT (content_hash, command) DO UPDATE SET version = excluded.version, line = excluded.line,
             redacted = excluded.redacted, again = excluded.again, outcome = excluded.outcome, said = excluded.said,
             problem = excluded.problem, updated_at = excluded.updated_at",
    )?
    .execute(params![
        content_hash,
        command,
        answer.version,
        answer.line,
        answer.redacted,
        answer.again,
        answer.outcome.as_str(),
        serde_json::to_string(&answer.said)?,
        answer.problem,
        answer.updated_at,
    ])?;
    Ok(())
}

/// Gives a document what a command said of its content, and lets the outbox bring the stores in line (T1).
///
/// # Errors
/// SQLite's.
pub fn apply(
    conn: &Connection,
    ids: &mut Ids,
    document_id: i64,
    command: &str,
    said: &[Said],
    now_ms: i64,
) -> Result<()> {
    if documents::replace_annotations(conn, document_id, Source::Command, command, said, now_ms)? {
        outbox::enqueue_mirror(conn, ids, document_id, now_ms)?;
    }
    Ok(())
}

/// Every document that has a content.
///
/// # Errors
/// SQLite's.
pub fn documents_of(conn: &Connection, content_hash: [u8; 32]) -> Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT document_id FROM documents
         WHERE substr(content_hash, 1, 8) = substr(?1, 1, 8) AND content_hash = ?1 ORDER BY document_id",
    )?;
    let documents = statement.query_map([content_hash], |row| row.get(0))?;
    Ok(documents.collect::<rusqlite::Result<_>>()?)
}

/// What a command may be told of a content now. Of several documents with this content the strictest privacy counts: what is
/// sent is the content.
///
/// # Errors
/// SQLite's.
pub fn privacy(conn: &Connection, content_hash: [u8; 32]) -> Result<Privacy> {
    let mut strictest = Privacy::Full;
    for document_id in documents_of(conn, content_hash)? {
        let annotations = documents::annotations(conn, document_id)?;
        strictest = strictest.max(super::privacy::of(conn, document_id, &annotations)?);
    }
    Ok(strictest)
}

/// What a command is told of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Type by content.
    pub mime: Option<String>,
    /// The fields that count, notes and what commands said apart: what one says shall not depend on which was asked before.
    pub fields: BTreeMap<Field, Vec<String>>,
    /// Text and paths, where they may be told.
    pub whole: Option<Whole>,
}

/// What is not told of a redacted document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The beginning of its text.
    pub text: String,
    /// Whether there is more.
    pub truncated: bool,
    /// Its places, in the libraries that have it.
    pub paths: Vec<RelPath>,
}

/// Reads what commands are told, beside the writer: at the moment when it is told, so that no earlier word about privacy
/// counts.
#[derive(Debug)]
pub struct Teller {
    conn: Connection,
    text_bytes: usize,
}

impl Teller {
    /// One more reader of the catalogue, for texts of at most so many bytes.
    ///
    /// # Errors
    /// SQLite's.
    pub fn open(catalog: &Catalog, text_bytes: usize) -> Result<Self> {
        Ok(Teller { conn: catalog.reader()?, text_bytes })
    }

    /// What a command may be told of a document with this content now; nothing, where it may be told nothing.
    ///
    /// # Errors
    /// SQLite's.
    pub fn facts(&self, document_id: i64, content_hash: [u8; 32]) -> Result<Option<Facts>> {
        // All of one moment.
        let conn = self.conn.unchecked_transaction()?;
        let privacy = privacy(&conn, content_hash)?;
        if privacy == Privacy::LocalOnly {
            return Ok(None);
        }
        let mut annotations = documents::annotations(&conn, document_id)?;
        annotations.retain(|annotation| annotation.source != Source::Command);
        let fields = document::effective(&annotations)
            .into_iter()
            .filter(|(field, _)| !matches!(field, Field::Notes | Field::Privacy))
            .map(|(field, held)| (field, held.values.clone()))
            .collect();
        let whole = match privacy {
            Privacy::Full => Some(self.whole(&conn, document_id, content_hash)?),
            Privacy::Redacted | Privacy::LocalOnly => None,
        };
        let mime = enrichments::get(&conn, content_hash)?.and_then(|enrichment| enrichment.mime);
        Ok(Some(Facts { mime, fields, whole }))
    }

    fn whole(&self, conn: &Connection, document_id: i64, content_hash: [u8; 32]) -> Result<Whole> {
        // So many characters are at least so many bytes.
        let most = i64::try_from(self.text_bytes).unwrap_or(i64::MAX);
        let found: Option<(String, bool)> = conn
            .prepare_cached(
                "SELECT substr(text, 1, ?2), length(text) > ?2 FROM texts WHERE content_hash = ?1",
            )?
            .query_row(params![content_hash, most], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let (mut text, more) = found.unwrap_or_default();
        let cut = text.floor_char_boundary(self.text_bytes);
        let truncated = more || cut < text.len();
        text.truncate(cut);
        Ok(Whole { text, truncated, paths: places(conn, document_id)? })
    }
}

/// Where a document's files are, those that are there first.
///
/// # Errors
/// SQLite's.
pub fn places(conn: &Connection, document_id: i64) -> Result<Vec<RelPath>> {
    /// More copies than that tell nothing more.
    const MOST: i64 = 20;
    let mut statement = conn.prepare_cached(
        "SELECT d.path, f.name FROM files f JOIN dirs d USING (dir_id) WHERE f.document_id = ?1
         ORDER BY f.presence <> 'present', f.file_id LIMIT ?2",
    )?;
    let rows = statement.query_map([document_id, MOST], |row| Ok(files::join(row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
