//! Enrichments: text and metadata, keyed by content, so that a move, a copy or a remount costs nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::{Ids, Result, documents, files, outbox, word_of};
use crate::model::{Field, ProblemKind, RelPath, Source, Stat, words};

words! {
    /// How extraction ended.
    pub enum OutcomeKind {
        /// Text and metadata were found.
        Extracted = "extracted",
        /// No extractor knows the type.
        Unsupported = "unsupported",
        /// The file is damaged, encrypted or beyond a limit.
        Failed = "failed",
    }
}

/// An enrichment, without its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Enrichment {
    /// Of the settings and extractors that made it.
    pub version: String,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Type by content.
    pub mime: Option<String>,
    /// Which extractor.
    pub extractor: Option<String>,
    /// Its version.
    pub extractor_version: Option<u32>,
    /// What it read.
    pub fields: BTreeMap<Field, Vec<String>>,
    /// Whether the text was cut at the limit.
    pub truncated: bool,
    /// Why it failed.
    pub problem: Option<(ProblemKind, String)>,
}

/// A document that waits for enrichment, with one of its present copies.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// Which document.
    pub document_id: i64,
    /// Its content.
    pub content_hash: [u8; 32],
    /// Where a present copy is.
    pub library_id: i64,
    /// Its path there.
    pub path: RelPath,
    /// The copy's stat as last proved: reading anything else is not reading this content.
    pub stat: Stat,
    /// Whether the content has an enrichment of this version already.
    pub done: bool,
}

/// Marks every document for another look when settings or extractors changed since the last run.
///
/// # Errors
/// SQLite's.
pub fn note_version(conn: &Connection, version: &str, now_ms: i64) -> Result<bool> {
    let known: Option<String> = conn
        .query_row("SELECT value FROM settings WHERE key = 'internal.enrichment_version'", [], |row| {
            row.get(0)
        })
        .optional()?;
    if known.as_deref() == Some(version) {
        return Ok(false);
    }
    conn.execute(
        "UPDATE documents SET enrich_stale = 1 WHERE content_hash IS NOT NULL AND enrich_stale = 0",
        [],
    )?;
    conn.execute(
        "INSERT INTO settings (key, value, updated_at) VALUES ('internal.enrichment_version', ?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        params![version, now_ms],
    )?;
    Ok(true)
}

/// Lets contents that went over a limit be tried again when the limits changed since the last run: such a verdict was
/// about the limit as much as about the content.
///
/// # Errors
/// SQLite's.
pub fn note_limits(conn: &Connection, limits: &str, now_ms: i64) -> Result<()> {
    let known: Option<String> = conn
        .query_row("SELECT value FROM settings WHERE key = 'internal.extract_limits'", [], |row| row.get(0))
        .optional()?;
    if known.as_deref() == Some(limits) {
        return Ok(());
    }
    const OVER: &str = "outcome = 'failed' AND problem_kind IN ('too-large', 'timed-out')";
    conn.execute_batch(&format!(
        "UPDATE documents SET enrich_stale = 1 WHERE content_hash IN (SELECT content_hash FROM enrichments WHERE {OVER});
         UPDATE enrichments SET version = '' WHERE {OVER};"
    ))?;
    conn.execute(
        "INSERT INTO settings (key, value, updated_at) VALUES ('internal.extract_limits', ?1, ?2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        params![limits, now_ms],
    )?;
    Ok(())
}

/// The next documents, after `after`, that wait for enrichment and have a present copy in one of these libraries.
///
/// # Errors
/// SQLite's.
pub fn waiting(
    conn: &Connection,
    version: &str,
    libraries: &[i64],
    after: i64,
    limit: usize,
) -> Result<Vec<Waiting>> {
    let mut statement = conn.prepare_cached(
        "SELECT d.document_id, d.content_hash, r.library_id, r.path AS dir, f.name, f.kind, f.size, f.mtime_ns,
                f.ctime_ns, f.inode,
                EXISTS (SELECT 1 FROM enrichments e WHERE e.content_hash = d.content_hash AND e.version = ?1) AS done
         FROM documents d
         JOIN files f ON f.file_id = (
             SELECT c.file_id FROM files c JOIN dirs cd USING (dir_id)
             WHERE c.document_id = d.document_id AND c.content_hash = d.content_hash AND c.presence = 'present'
               AND cd.library_id IN (SELECT value FROM json_each(?2))
             ORDER BY c.evidence IS 'seen, not read', c.file_id LIMIT 1)
         JOIN dirs r ON r.dir_id = f.dir_id
         WHERE d.enrich_stale = 1 AND d.document_id > ?3
         ORDER BY d.document_id LIMIT ?4",
    )?;
    let rows = statement.query_map(
        params![version, serde_json::to_string(libraries)?, after, i64::try_from(limit).unwrap_or(i64::MAX)],
        |row| {
            Ok(Waiting {
                document_id: row.get("document_id")?,
                content_hash: row.get("content_hash")?,
                library_id: row.get("library_id")?,
                path: files::join(row.get("dir")?, row.get("name")?),
                stat: files::stat_of(row)?,
                done: row.get("done")?,
            })
        },
    )?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// How many documents wait for enrichment, wherever their copies are.
///
/// # Errors
/// SQLite's.
pub fn count_waiting(conn: &Connection) -> Result<u64> {
    Ok(conn
        .query_row("SELECT count(*) FROM documents WHERE enrich_stale = 1", [], |row| row.get::<_, i64>(0))?
        .cast_unsigned())
}

/// Keeps an enrichment and its text.
///
/// # Errors
/// SQLite's.
pub fn put(
    conn: &Connection,
    hash: [u8; 32],
    enrichment: &Enrichment,
    text: Option<&str>,
    now_ms: i64,
) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO enrichments (content_hash, version, outcome, mime, extractor, extractor_version, fields, truncated,
                                  problem_kind, problem_message, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11)
         ON CONFLICT (content_hash) DO UPDATE SET version = excluded.version, outcome = excluded.outcome,
             mime = excluded.mime, extractor = excluded.extractor, extractor_version = excluded.extractor_version,
             fields = excluded.fields, truncated = excluded.truncated, problem_kind = excluded.problem_kind,
             problem_message = excluded.problem_message, updated_at = excluded.updated_at",
    )?
    .execute(params![
        hash,
        enrichment.version,
        enrichment.outcome.as_str(),
        enrichment.mime,
        enrichment.extractor,
        enrichment.extractor_version,
        serde_json::to_string(&enrichment.fields)?,
        enrichment.truncated,
        enrichment.problem.as_ref().map(|(kind, _)| kind.as_str()),
        enrichment.problem.as_ref().map(|(_, message)| message),
        now_ms,
    ])?;
    match text {
        Some(text) => conn
            .prepare_cached(
                "INSERT INTO texts (content_hash, text) VALUES (?1, ?2)
                 ON CONFLICT (content_hash) DO UPDATE SET text = excluded.text",
            )?
            .execute(params![hash, text])?,
        None => conn.prepare_cached("DELETE FROM texts WHERE content_hash = ?1")?.execute([hash])?,
    };
    Ok(())
}

/// Gives a document what was read out of its content, and lets the outbox bring the stores in line.
///
/// # Errors
/// SQLite's.
pub fn apply(conn: &Connection, ids: &mut Ids, document_id: i64, hash: [u8; 32], now_ms: i64) -> Result<()> {
    let fields: Vec<(Field, Vec<String>)> =
        get(conn, hash)?.map(|enrichment| enrichment.fields.into_iter().collect()).unwrap_or_default();
    documents::replace_annotations(conn, document_id, Source::Extractor, &fields, 1.0, now_ms)?;
    conn.prepare_cached(
        "UPDATE documents SET enrich_stale = 0, search_stale = 1 WHERE document_id = ?1 AND content_hash = ?2",
    )?
    .execute(params![document_id, hash])?;
    outbox::enqueue_mirror(conn, ids, document_id, now_ms)
}

/// The enrichment of a content.
///
/// # Errors
/// SQLite's.
pub fn get(conn: &Connection, hash: [u8; 32]) -> Result<Option<Enrichment>> {
    let mut statement = conn.prepare_cached(
        "SELECT version, outcome, mime, extractor, extractor_version, fields, truncated, problem_kind, problem_message
         FROM enrichments WHERE content_hash = ?1",
    )?;
    let mut rows = statement.query([hash])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let problem = match row.get::<_, Option<String>>("problem_kind")? {
        None => None,
        Some(kind) => {
            Some((kind.parse()?, row.get::<_, Option<String>>("problem_message")?.unwrap_or_default()))
        }
    };
    Ok(Some(Enrichment {
        version: row.get("version")?,
        outcome: word_of(row, "outcome")?,
        mime: row.get("mime")?,
        extractor: row.get("extractor")?,
        extractor_version: row.get("extractor_version")?,
        fields: serde_json::from_str(&row.get::<_, String>("fields")?)?,
        truncated: row.get("truncated")?,
        problem,
    }))
}

/// The text of a content.
///
/// # Errors
/// SQLite's.
pub fn text(conn: &Connection, hash: [u8; 32]) -> Result<Option<String>> {
    Ok(conn
        .prepare_cached("SELECT text FROM texts WHERE content_hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?)
}
