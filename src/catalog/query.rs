//! What people ask: lists of files, the card of one, what is missing, how a library stands.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Catalog, CatalogError, Result, files, hash_of, libraries, word_of};
use crate::model::file::StatusFacts;
use crate::model::{FileKind, FileStatus, Presence, RelPath, Stat};

/// A file as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCard {
    /// Its number.
    pub file_id: i64,
    /// In which library.
    pub library_id: i64,
    /// Where.
    pub path: RelPath,
    /// Its stat as last proved.
    pub stat: Stat,
    /// Its content as last proved.
    pub content_hash: Option<[u8; 32]>,
    /// Where a symbolic link points.
    pub link_target: Option<Vec<u8>>,
    /// Its document.
    pub document_id: Option<i64>,
    /// Where it stood at the last look.
    pub presence: Presence,
    /// Why that is believed.
    pub evidence: Option<String>,
    /// Since when it is missing, in milliseconds.
    pub missing_since: Option<i64>,
    /// When it was seen first, in milliseconds.
    pub first_seen: i64,
    /// When it was seen last, in milliseconds: the last complete scan where that saw it.
    pub last_seen: i64,
    /// When its content was proved last, in milliseconds.
    pub hashed_at: Option<i64>,
    /// In one word.
    pub status: FileStatus,
    /// Its best title, if any source has one.
    pub title: Option<String>,
}

/// Scalar subqueries by indexes: a list of some rows never counts the whole catalogue.
///
/// What `||` makes of BLOBs is a TEXT to SQLite, and never equal to a BLOB. An object that was made from a former content
/// does not make the present one uploaded.
const SELECT: &str = "SELECT f.file_id, d.library_id, d.path AS dir, f.name, f.kind, f.size, f.mtime_ns, f.ctime_ns, f.inode,
    f.content_hash, f.link_target, f.document_id, f.presence, f.evidence, f.missing_since, f.first_seen, f.hashed_at,
    CASE WHEN f.presence = 'present' THEN max(f.seen_at, coalesce(l.last_complete_scan, 0)) ELSE f.seen_at END AS last_seen,
    (f.kind = 'file' AND f.content_hash IS NULL)
      OR EXISTS (SELECT 1 FROM file_problems p WHERE p.library_id = d.library_id AND p.path = CASE WHEN d.path = x'' THEN f.name ELSE CAST(d.path || x'2F' || f.name AS BLOB) END)
      OR EXISTS (SELECT 1 FROM enrichments e WHERE e.content_hash = f.content_hash AND e.outcome = 'failed') AS problem,
    EXISTS (SELECT 1 FROM outbox o WHERE o.document_id = f.document_id AND o.state = 'dead') AS dead,
    EXISTS (SELECT 1 FROM outbox o WHERE o.document_id = f.document_id AND o.state = 'leased') AS leased,
    EXISTS (SELECT 1 FROM outbox o WHERE o.document_id = f.document_id AND o.state = 'pending' AND o.kind = 'mirror') AS waiting,
    (SELECT count(*) FROM remote_objects r WHERE r.document_id = f.document_id AND r.state = 'current' AND r.content_hash = f.content_hash) AS current,
    (SELECT count(*) FROM remote_objects r WHERE r.document_id = f.document_id AND r.state IN ('orphaned', 'deleted') AND r.cause = 'missing') AS retired,
    EXISTS (SELECT 1 FROM stores) AS has_stores,
    (SELECT json_extract(a.value, '$[0]') FROM annotations a WHERE a.document_id = f.document_id AND a.field = 'title'
      ORDER BY CASE a.source WHEN 'person' THEN 0 WHEN 'command' THEN 1 WHEN 'extractor' THEN 2 ELSE 3 END, a.confidence DESC LIMIT 1) AS title
    FROM files f JOIN dirs d USING (dir_id) JOIN libraries l USING (library_id)";

fn card(row: &Row<'_>) -> rusqlite::Result<FileCard> {
    let presence: Presence = word_of(row, "presence")?;
    let stat = files::stat_of(row)?;
    let facts = StatusFacts {
        missing: presence == Presence::Missing,
        excluded: presence == Presence::Excluded,
        problem: row.get("problem")?,
        dead: row.get("dead")?,
        leased: row.get("leased")?,
        waiting: row.get("waiting")?,
        current: row.get("current")?,
        retired: row.get("retired")?,
        nothing_to_send: row.get::<_, bool>("has_stores")? || stat.kind == FileKind::Symlink,
    };
    Ok(FileCard {
        file_id: row.get("file_id")?,
        library_id: row.get("library_id")?,
        path: files::join(row.get("dir")?, row.get("name")?),
        stat,
        content_hash: hash_of(row, "content_hash")?,
        link_target: row.get("link_target")?,
        document_id: row.get("document_id")?,
        presence,
        evidence: row.get("evidence")?,
        missing_since: row.get("missing_since")?,
        first_seen: row.get("first_seen")?,
        last_seen: row.get("last_seen")?,
        hashed_at: row.get("hashed_at")?,
        status: FileStatus::derive(facts),
        title: row.get("title")?,
    })
}

/// The file at a path of a library.
///
/// # Errors
/// SQLite's.
pub fn file_at(conn: &Connection, library_id: i64, path: &RelPath) -> Result<Option<FileCard>> {
    let Some((dir, name)) = path.split() else { return Ok(None) };
    Ok(conn
        .prepare_cached(&format!("{SELECT} WHERE d.library_id = ?1 AND d.path = ?2 AND f.name = ?3"))?
        .query_row(params![library_id, dir.as_bytes(), name], card)
        .optional()?)
}

/// The files of a document, those that are there first.
///
/// # Errors
/// SQLite's.
pub fn copies(conn: &Connection, document_id: i64) -> Result<Vec<FileCard>> {
    let mut statement = conn.prepare_cached(&format!(
        "{SELECT} WHERE f.document_id = ?1 ORDER BY f.presence <> 'present', f.file_id"
    ))?;
    let rows = statement.query_map([document_id], card)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Where a present copy with this content is, in one of these libraries: one that could be read at the last look, if any.
///
/// # Errors
/// SQLite's.
pub fn copy_with_content(
    conn: &Connection,
    hash: [u8; 32],
    libraries: &[i64],
) -> Result<Option<(i64, RelPath)>> {
    Ok(conn
        .prepare_cached(
            "SELECT d.library_id, d.path, f.name FROM files f JOIN dirs d USING (dir_id)
             WHERE f.document_id IN (SELECT document_id FROM documents
                                     WHERE substr(content_hash, 1, 8) = substr(?1, 1, 8) AND content_hash = ?1)
               AND f.content_hash = ?1 AND f.presence = 'present' AND d.library_id IN (SELECT value FROM json_each(?2))
             ORDER BY f.evidence IS 'seen, not read', f.file_id LIMIT 1",
        )?
        .query_row(params![hash, serde_json::to_string(libraries)?], |row| {
            Ok((row.get(0)?, files::join(row.get(1)?, row.get(2)?)))
        })
        .optional()?)
}

/// The files that have this content as far as is known, those that were proved to be there first; missing ones are not among
/// them. `document_id` is where it is asked from: a document that went on to another content may have left a copy behind.
///
/// # Errors
/// SQLite's.
pub fn copies_of_content(
    conn: &Connection,
    hash: [u8; 32],
    document_id: Option<i64>,
) -> Result<Vec<FileCard>> {
    let mut statement = conn.prepare_cached(&format!(
        "{SELECT} WHERE f.document_id IN (SELECT document_id FROM documents
                                          WHERE substr(content_hash, 1, 8) = substr(?1, 1, 8) AND content_hash = ?1
                                          UNION SELECT ?2)
           AND f.content_hash = ?1 AND f.kind = 'file' AND f.presence <> 'missing'
         ORDER BY f.presence <> 'present', f.evidence IS 'seen, not read', f.file_id"
    ))?;
    let rows = statement.query_map(params![hash, document_id], card)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Which files a list shows.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these libraries.
    pub libraries: Option<Vec<i64>>,
    /// Only where a file stands so.
    pub presence: Option<Presence>,
    /// Only what is missing since before then, in milliseconds.
    pub missing_before: Option<i64>,
    /// Only files of these documents, see [`super::search::fitting_all`].
    pub documents: Option<Vec<i64>>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// Documents that are looked up one by one and sorted afterwards; of more, every file is looked at, in the order it is listed.
const LOOKED_UP: usize = 20_000;

/// Files that fit, by library and path.
///
/// # Errors
/// SQLite's.
pub fn list(conn: &Connection, filter: &Filter) -> Result<Vec<FileCard>> {
    let mut cards = Vec::new();
    each(conn, filter, |card| {
        cards.push(card);
        Ok::<_, CatalogError>(())
    })?;
    Ok(cards)
}

/// Hands over the files that fit, one after the other, by library and path: a million of them need not be held at once.
/// Returns how many there are in all, those beyond the limit too.
///
/// # Errors
/// SQLite's, and those of `take`.
pub fn each<E: From<CatalogError>>(
    conn: &Connection,
    filter: &Filter,
    mut take: impl FnMut(FileCard) -> Result<(), E>,
) -> Result<u64, E> {
    let Listing { tables, conditions, sorted } = listing(conn, filter)?;
    let mut library_ids: Vec<i64> = Vec::new();
    for library in libraries::all(conn)? {
        if filter.libraries.as_ref().is_none_or(|wanted| wanted.contains(&library.library_id)) {
            library_ids.push(library.library_id);
        }
    }
    let select = SELECT.rsplit_once("FROM files f").expect("it selects from files").0;
    let order = if sorted { "d.path || x'', f.name || x''" } else { "d.path, f.name" };
    let sql = format!(
        "{select} FROM {tables} CROSS JOIN libraries l ON l.library_id = d.library_id WHERE d.library_id = ?1 {conditions}
         ORDER BY {order} LIMIT ?2"
    );
    let mut left = filter.limit.unwrap_or(usize::MAX);
    let mut listed = 0;
    for library_id in &library_ids {
        let mut statement = conn.prepare_cached(&sql).map_err(CatalogError::from)?;
        let limit = i64::try_from(left).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![library_id, limit]).map_err(CatalogError::from)?;
        while let Some(row) = rows.next().map_err(CatalogError::from)? {
            take(card(row).map_err(CatalogError::from)?)?;
            listed += 1;
            left -= 1;
        }
    }
    if left > 0 {
        return Ok(listed);
    }
    let mut total = 0;
    let counting = format!("SELECT count(*) FROM {tables} WHERE d.library_id = ?1 {conditions}");
    let kept: Option<i64> = conn
        .prepare_cached(
            "SELECT CASE WHEN count(counts) = count(*) THEN sum((counts ->> 0) + (counts ->> 1) + (counts ->> 2) + (counts ->> 3)) END
             FROM libraries WHERE library_id IN (SELECT value FROM json_each(?1))",
        )
        .and_then(|mut statement| {
            statement.query_row([serde_json::to_string(&library_ids).unwrap_or_default()], |row| row.get(0))
        })
        .map_err(CatalogError::from)?;
    if let (Some(kept), true) = (kept, conditions.is_empty()) {
        return Ok(kept.cast_unsigned());
    }
    for library_id in &library_ids {
        total += conn
            .prepare_cached(&counting)
            .and_then(|mut statement| statement.query_row([library_id], |row| row.get::<_, i64>(0)))
            .map_err(CatalogError::from)?;
    }
    Ok(total.cast_unsigned())
}

/// From where the files of one library are read.
struct Listing {
    tables: &'static str,
    conditions: String,
    /// They come out of order.
    sorted: bool,
}

/// The order of the tables is the plan: directories by path and files by name come sorted out of their indexes, and the first
/// hundred of a million cost no more than a hundred.
fn listing(conn: &Connection, filter: &Filter) -> Result<Listing> {
    let mut conditions = String::new();
    if let Some(presence) = filter.presence {
        // The second says nothing new to a reader, but lets SQLite use the partial index.
        conditions.push_str(&format!(" AND f.presence = '{presence}'"));
        if presence != Presence::Present {
            conditions.push_str(" AND f.presence <> 'present'");
        }
    }
    if let Some(before) = filter.missing_before {
        conditions.push_str(&format!(" AND f.missing_since <= {before}"));
    }
    let few = match &filter.documents {
        None => false,
        Some(documents) => {
            conn.execute_batch(
                "CREATE TEMP TABLE IF NOT EXISTS listed (document_id INTEGER PRIMARY KEY) STRICT; DELETE FROM temp.listed;",
            )?;
            conn.prepare_cached("INSERT OR IGNORE INTO temp.listed SELECT value FROM json_each(?1)")?
                .execute([serde_json::to_string(documents)?])?;
            documents.len() <= LOOKED_UP
        }
    };
    Ok(if few {
        Listing {
            tables: "temp.listed w CROSS JOIN files f ON f.document_id = w.document_id CROSS JOIN dirs d ON d.dir_id = f.dir_id",
            conditions,
            sorted: true,
        }
    } else {
        if filter.documents.is_some() {
            conditions
                .push_str(" AND EXISTS (SELECT 1 FROM temp.listed w WHERE w.document_id = f.document_id)");
        }
        match filter.presence {
            Some(presence) if presence != Presence::Present => Listing {
                tables: "files f INDEXED BY files_not_present CROSS JOIN dirs d ON d.dir_id = f.dir_id",
                conditions,
                sorted: true,
            },
            _ => Listing {
                tables: "dirs d CROSS JOIN files f ON f.dir_id = d.dir_id",
                conditions,
                sorted: false,
            },
        }
    })
}

/// How many files of a library stand how, and the bytes of those present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Seen at the last look.
    pub present: u64,
    /// Proved missing.
    pub missing: u64,
    /// Could not be looked at.
    pub unknown: u64,
    /// Left out by a rule.
    pub excluded: u64,
    /// Of the present ones, in bytes.
    #[serde(skip)]
    pub bytes: u64,
}

/// One library's counts: as kept, else counted anew and kept. Counting a million files takes a noticeable while, and
/// most of the time nothing has changed since `status` was asked last.
///
/// # Errors
/// SQLite's.
pub fn counts(catalog: &mut Catalog, library_id: i64) -> Result<Counts> {
    let kept: Option<String> = catalog.read().query_row(
        "SELECT counts FROM libraries WHERE library_id = ?1",
        [library_id],
        |row| row.get(0),
    )?;
    let kept: Option<[u64; 5]> = kept.and_then(|kept| serde_json::from_str(&kept).ok());
    if let Some([present, missing, unknown, excluded, bytes]) = kept {
        return Ok(Counts { present, missing, unknown, excluded, bytes });
    }
    let counted: Result<Counts> = catalog.change(|tx| {
        let counts = count(tx, library_id)?;
        let Counts { present, missing, unknown, excluded, bytes } = counts;
        let kept = serde_json::to_string(&[present, missing, unknown, excluded, bytes])?;
        tx.execute("UPDATE libraries SET counts = ?2 WHERE library_id = ?1", params![library_id, kept])?;
        Ok(counts)
    });
    match counted {
        Err(error) if error.is_for_want_of_writing() => count(catalog.read(), library_id),
        counted => counted,
    }
}

/// The counts that were kept are of before a change that is being made.
///
/// # Errors
/// SQLite's.
pub fn forget_counts(conn: &Connection, library_id: i64) -> Result<()> {
    conn.prepare_cached("UPDATE libraries SET counts = NULL WHERE library_id = ?1 AND counts IS NOT NULL")?
        .execute([library_id])?;
    conn.prepare_cached("DELETE FROM kept_store_counts WHERE library_id = ?1")?.execute([library_id])?;
    Ok(())
}

fn count(conn: &Connection, library_id: i64) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut statement = conn.prepare_cached(
        "SELECT f.presence, count(*), sum(f.size) FROM dirs d JOIN files f USING (dir_id) WHERE d.library_id = ?1 GROUP BY 1",
    )?;
    let mut rows = statement.query([library_id])?;
    while let Some(row) = rows.next()? {
        let n = row.get::<_, i64>(1)?.cast_unsigned();
        match word_of(row, "presence")? {
            Presence::Present => {
                counts.present = n;
                counts.bytes = row.get::<_, i64>(2)?.cast_unsigned();
            }
            Presence::Missing => counts.missing = n,
            Presence::Unknown => counts.unknown = n,
            Presence::Excluded => counts.excluded = n,
        }
    }
    Ok(counts)
}

/// How many problems a library has: of the disk, and of its documents' extraction.
///
/// # Errors
/// SQLite's.
pub fn count_problems(conn: &Connection, library_id: i64) -> Result<u64> {
    let disk: i64 =
        conn.query_row("SELECT count(*) FROM file_problems WHERE library_id = ?1", [library_id], |row| {
            row.get(0)
        })?;
    let extraction: i64 = conn.query_row(
        "SELECT count(*) FROM enrichments e
         CROSS JOIN documents w ON substr(w.content_hash, 1, 8) = substr(e.content_hash, 1, 8) AND w.content_hash = e.content_hash
         JOIN files f ON f.document_id = w.document_id JOIN dirs d USING (dir_id)
         WHERE e.outcome = 'failed' AND f.presence = 'present' AND d.library_id = ?1",
        [library_id],
        |row| row.get(0),
    )?;
    Ok((disk + extraction).cast_unsigned())
}

/// How one store stands with the documents of one library.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct StoreCounts {
    /// Objects that are current.
    pub uploaded: u64,
    /// Documents that wait.
    pub pending: u64,
    /// Documents on their way.
    pub uploading: u64,
    /// Documents with five verdicts against them.
    pub failed: u64,
    /// Objects that wait for the clean-up.
    pub orphaned: u64,
}

/// How a store stands with the documents that have a file in the library: as kept, else counted anew and kept.
///
/// # Errors
/// SQLite's.
pub fn store_counts(catalog: &mut Catalog, store_id: i64, library_id: i64) -> Result<StoreCounts> {
    let kept: Option<String> = catalog
        .read()
        .query_row(
            "SELECT counts FROM kept_store_counts WHERE store_id = ?1 AND library_id = ?2",
            [store_id, library_id],
            |row| row.get(0),
        )
        .optional()?;
    let kept: Option<[u64; 5]> = kept.and_then(|kept| serde_json::from_str(&kept).ok());
    if let Some([uploaded, pending, uploading, failed, orphaned]) = kept {
        return Ok(StoreCounts { uploaded, pending, uploading, failed, orphaned });
    }
    let counted: Result<StoreCounts> = catalog.change(|tx| {
        let counts = count_of_store(tx, store_id, library_id)?;
        let StoreCounts { uploaded, pending, uploading, failed, orphaned } = counts;
        let kept = serde_json::to_string(&[uploaded, pending, uploading, failed, orphaned])?;
        tx.execute(
            "INSERT OR REPLACE INTO kept_store_counts (store_id, library_id, counts) VALUES (?1, ?2, ?3)",
            params![store_id, library_id, kept],
        )?;
        Ok(counts)
    });
    match counted {
        Err(error) if error.is_for_want_of_writing() => count_of_store(catalog.read(), store_id, library_id),
        counted => counted,
    }
}

fn count_of_store(conn: &Connection, store_id: i64, library_id: i64) -> Result<StoreCounts> {
    const HERE: &str = "EXISTS (SELECT 1 FROM files f JOIN dirs d USING (dir_id)
                                WHERE f.document_id = x.document_id AND d.library_id = ?2)";
    let mut counts = StoreCounts::default();
    let mut read = |sql: String| -> Result<()> {
        let mut statement = conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params![store_id, library_id])?;
        while let Some(row) = rows.next()? {
            let n = row.get::<_, i64>(1)?.cast_unsigned();
            match row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)? {
                "current" => counts.uploaded = n,
                "orphaned" => counts.orphaned = n,
                "pending" => counts.pending = n,
                "leased" => counts.uploading = n,
                "dead" => counts.failed = n,
                _ => {}
            }
        }
        Ok(())
    };
    read(format!(
        "SELECT x.state, count(*) FROM remote_objects x WHERE x.store_id = ?1 AND x.state IN ('current', 'orphaned') AND {HERE} GROUP BY 1"
    ))?;
    read(format!(
        "SELECT x.state, count(*) FROM outbox x WHERE x.channel_id = ?1 AND x.kind = 'mirror'
         AND x.state IN ('pending', 'leased', 'dead') AND {HERE} GROUP BY 1"
    ))?;
    Ok(counts)
}
