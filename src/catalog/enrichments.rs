//! Enrichments: text and metadata, keyed by content, so that a move, a copy or a remount costs nothing.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::documents::Said;
use super::{Ids, Result, answers, documents, files, outbox, settings, word_of};
use crate::model::{Field, ProblemKind, RelPath, Source, Stat, words};

/// The present version of each reader, by its name; under the empty name that of the detection of types, which speaks for
/// whatever no reader was found for.
pub type Versions = BTreeMap<String, String>;

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
    /// Of the reader that made it, see [`Versions`]; empty where it is to be made again.
    pub version: String,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Type by content.
    pub mime: Option<String>,
    /// Which extractor read it, or failed to.
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
    /// Whether the content has an enrichment of today's version already.
    pub done: bool,
    /// Extractor and type, where the content was read before.
    pub before: Option<(Option<String>, Option<String>)>,
}

/// Marks for another look what a reader made that has another version today; what other readers made stays. Where no
/// version changed since the last run that is one look at a setting.
///
/// # Errors
/// SQLite's.
pub fn note_versions(conn: &Connection, versions: &Versions, now_ms: i64) -> Result<bool> {
    const KEY: &str = "internal.enrichment_versions";
    let today = serde_json::to_string(versions)?;
    if settings::noted(conn, KEY)?.as_deref() == Some(&today) {
        return Ok(false);
    }
    conn.execute(
        "WITH today (reader, version) AS MATERIALIZED (SELECT key, value FROM json_each(?1))
         UPDATE documents SET enrich_stale = 1 WHERE enrich_stale = 0 AND document_id IN (
             SELECT d.document_id FROM enrichments e
             LEFT JOIN today ON today.reader = coalesce(e.extractor, '')
             CROSS JOIN documents d ON substr(d.content_hash, 1, 8) = substr(e.content_hash, 1, 8) AND d.content_hash = e.content_hash
             WHERE e.version IS NOT today.version)",
        [&today],
    )?;
    settings::note(conn, KEY, &today, now_ms)?;
    Ok(true)
}

/// Puts every document with a text in line for the stores that are given rendered content, where the form of rendering
/// changed since the last run. Nothing is read again for it, and what comes out with the same bytes is not sent (E2).
///
/// # Errors
/// SQLite's.
pub fn note_rendering(conn: &Connection, ids: &mut Ids, version: u32, now_ms: i64) -> Result<()> {
    const KEY: &str = "internal.render_version";
    let today = version.to_string();
    let noted = settings::noted(conn, KEY)?;
    if noted.as_deref() == Some(&today) {
        return Ok(());
    }
    if noted.is_some() {
        outbox::enqueue_rendered(conn, ids, now_ms)?;
    }
    settings::note(conn, KEY, &today, now_ms)
}

/// Extractor and type of whatever was read, each pair once.
///
/// # Errors
/// SQLite's.
pub fn kinds(conn: &Connection) -> Result<Vec<(Option<String>, Option<String>)>> {
    let mut statement = conn.prepare("SELECT DISTINCT extractor, mime FROM enrichments")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Marks contents that have a present copy in one of these libraries to be read again though nothing changed: all, or those
/// of these kinds (extractor and type). A mark, so that a run that is interrupted is gone on with by the next.
///
/// # Errors
/// SQLite's.
pub fn mark_again(
    conn: &Connection,
    libraries: &[i64],
    kinds: Option<&[(Option<String>, Option<String>)]>,
) -> Result<()> {
    let (libraries, kinds) =
        (serde_json::to_string(libraries)?, kinds.map(serde_json::to_string).transpose()?);
    conn.execute(
        "WITH kinds AS MATERIALIZED (SELECT value ->> 0 AS extractor, value ->> 1 AS mime FROM json_each(?2))
         UPDATE enrichments SET version = ''
         WHERE (?2 IS NULL OR EXISTS (SELECT 1 FROM kinds k WHERE k.extractor IS enrichments.extractor AND k.mime IS enrichments.mime))
           AND content_hash IN (SELECT f.content_hash FROM dirs d CROSS JOIN files f USING (dir_id)
                                WHERE d.library_id IN (SELECT value FROM json_each(?1)) AND f.presence = 'present')",
        params![libraries, kinds],
    )?;
    conn.execute(
        "UPDATE documents SET enrich_stale = 1 WHERE enrich_stale = 0 AND document_id IN (
             SELECT d.document_id FROM enrichments e
             CROSS JOIN documents d ON substr(d.content_hash, 1, 8) = substr(e.content_hash, 1, 8) AND d.content_hash = e.content_hash
             WHERE e.version = '')",
        [],
    )?;
    Ok(())
}

/// Lets contents that went over a limit be tried again when the limits changed since the last run: such a verdict was
/// about the limit as much as about the content.
///
/// # Errors
/// SQLite's.
pub fn note_limits(conn: &Connection, limits: &str, now_ms: i64) -> Result<()> {
    const KEY: &str = "internal.extract_limits";
    if settings::noted(conn, KEY)?.as_deref() == Some(limits) {
        return Ok(());
    }
    const OVER: &str = "outcome = 'failed' AND problem_kind IN ('too-large', 'timed-out')";
    conn.execute_batch(&format!(
        "UPDATE documents SET enrich_stale = 1 WHERE content_hash IN (SELECT content_hash FROM enrichments WHERE {OVER});
         UPDATE enrichments SET version = '' WHERE {OVER};"
    ))?;
    settings::note(conn, KEY, limits, now_ms)
}

/// The next documents, after `after`, that wait for enrichment and have a present copy in one of these libraries.
///
/// # Errors
/// SQLite's.
pub fn waiting(
    conn: &Connection,
    versions: &Versions,
    libraries: &[i64],
    after: i64,
    limit: usize,
) -> Result<Vec<Waiting>> {
    let mut statement = conn.prepare_cached(
        "WITH today (reader, version) AS MATERIALIZED (SELECT key, value FROM json_each(?1))
         SELECT d.document_id, d.content_hash, r.library_id, r.path AS dir, f.name, f.kind, f.size, f.mtime_ns,
                f.ctime_ns, f.inode, e.content_hash IS NOT NULL AS known, e.extractor, e.mime,
                EXISTS (SELECT 1 FROM today t WHERE t.reader = coalesce(e.extractor, '') AND t.version = e.version) AS done
         FROM documents d LEFT JOIN enrichments e ON e.content_hash = d.content_hash
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
        params![
            serde_json::to_string(versions)?,
            serde_json::to_string(libraries)?,
            after,
            i64::try_from(limit).unwrap_or(i64::MAX)
        ],
        |row| {
            Ok(Waiting {
                document_id: row.get("document_id")?,
                content_hash: row.get("content_hash")?,
                library_id: row.get("library_id")?,
                path: files::join(row.get("dir")?, row.get("name")?),
                stat: files::stat_of(row)?,
                done: row.get("done")?,
                before: match row.get("known")? {
                    true => Some((row.get("extractor")?, row.get("mime")?)),
                    false => None,
                },
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

/// How many documents wait for enrichment and have a present copy in one of these libraries.
///
/// # Errors
/// SQLite's.
pub fn count_readable(conn: &Connection, libraries: &[i64]) -> Result<u64> {
    count_with_copy(conn, libraries, &[])
}

/// How many documents wait for enrichment, have a present copy in one of the libraries that are `away`, and none in those
/// that are `here`.
///
/// # Errors
/// SQLite's.
pub fn count_away(conn: &Connection, away: &[i64], here: &[i64]) -> Result<u64> {
    count_with_copy(conn, away, here)
}

fn count_with_copy(conn: &Connection, among: &[i64], not_among: &[i64]) -> Result<u64> {
    if among.is_empty() {
        return Ok(0);
    }
    const COPY: &str = "EXISTS (SELECT 1 FROM files f JOIN dirs r USING (dir_id)
        WHERE f.document_id = d.document_id AND f.content_hash = d.content_hash AND f.presence = 'present' AND r.library_id IN";
    Ok(conn
        .query_row(
            &format!(
                "SELECT count(*) FROM documents d WHERE d.enrich_stale = 1
                 AND {COPY} (SELECT value FROM json_each(?1))) AND NOT {COPY} (SELECT value FROM json_each(?2)))"
            ),
            [serde_json::to_string(among)?, serde_json::to_string(not_among)?],
            |row| row.get::<_, i64>(0),
        )?
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
    let fields = get(conn, hash)?.map(|enrichment| enrichment.fields).unwrap_or_default();
    let said: Vec<Said> =
        fields.into_iter().map(|(field, values)| Said { field, values, confidence: 1.0 }).collect();
    documents::replace_annotations(conn, document_id, Source::Extractor, "", &said, now_ms)?;
    conn.prepare_cached(
        "UPDATE documents SET enrich_stale = 0, search_stale = 1 WHERE document_id = ?1 AND content_hash = ?2",
    )?
    .execute(params![document_id, hash])?;
    answers::queue(conn, document_id)?;
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
