//! Libraries: their names, where they were last, and how they were found.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};
use ulid::Ulid;

use super::documents::ulid_of;
use super::{CatalogError, Result};
use crate::model::Availability;

/// A library as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// Its number in this catalogue.
    pub library_id: i64,
    /// Its identity everywhere.
    pub ulid: Ulid,
    /// Its name.
    pub name: String,
    /// Where its root was last.
    pub root: PathBuf,
    /// Whether a marker identifies it.
    pub has_marker: bool,
    /// The marker's generation as last seen.
    pub marker_generation: u64,
    /// What recognises its volume, as the volume room writes it.
    pub identity: String,
    /// How it was found last, and since when (milliseconds).
    pub availability: Availability,
    /// See above.
    pub availability_since: i64,
    /// When its root was verified last, in milliseconds.
    pub last_seen: Option<i64>,
    /// When its last complete scan ended, in milliseconds.
    pub last_complete_scan: Option<i64>,
    /// What this catalogue is known to have left in the marker.
    pub marked: Option<MarkedScan>,
}

/// One catalogue's entry in a library's marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkedScan {
    /// The catalogue's key there.
    pub catalog: Ulid,
    /// Its last scan.
    pub scan: Ulid,
}

const COLUMNS: &str =
    "library_id, ulid, name, root, has_marker, marker_generation, identity, availability, reason,
     availability_since, last_seen, last_complete_scan,
     (SELECT catalog FROM marked_scans m WHERE m.library_id = libraries.library_id) AS marked_catalog,
     (SELECT scan FROM marked_scans m WHERE m.library_id = libraries.library_id) AS marked_scan";

fn library(row: &Row<'_>) -> rusqlite::Result<Library> {
    let state: String = row.get("availability")?;
    let reason: Option<String> = row.get("reason")?;
    let at = row.as_ref().column_index("availability")?;
    Ok(Library {
        library_id: row.get("library_id")?,
        ulid: ulid_of(row, row.as_ref().column_index("ulid")?)?,
        name: row.get("name")?,
        root: PathBuf::from(OsString::from_vec(row.get("root")?)),
        has_marker: row.get("has_marker")?,
        marker_generation: row.get::<_, i64>("marker_generation")?.cast_unsigned(),
        identity: row.get("identity")?,
        availability: Availability::from_words(&state, reason.as_deref()).map_err(|error| {
            rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
        })?,
        availability_since: row.get("availability_since")?,
        last_seen: row.get("last_seen")?,
        last_complete_scan: row.get("last_complete_scan")?,
        marked: match row.get::<_, Option<String>>("marked_scan")? {
            None => None,
            Some(_) => Some(MarkedScan {
                catalog: ulid_of(row, row.as_ref().column_index("marked_catalog")?)?,
                scan: ulid_of(row, row.as_ref().column_index("marked_scan")?)?,
            }),
        },
    })
}

/// The marker is known to hold this from now on.
///
/// # Errors
/// SQLite's.
pub fn set_marked(conn: &Connection, library_id: i64, marked: MarkedScan, now_ms: i64) -> Result<()> {
    conn.execute(
        "INSERT INTO marked_scans (library_id, catalog, scan, marked_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (library_id) DO UPDATE SET catalog = excluded.catalog, scan = excluded.scan,
                                                marked_at = excluded.marked_at",
        params![library_id, marked.catalog.to_string(), marked.scan.to_string(), now_ms],
    )?;
    Ok(())
}

/// Whether a scan has written down, since the marker was written last, that the disk was otherwise than before: one that was
/// killed before it could leave that in the marker, or one that was cut off and may have.
///
/// # Errors
/// SQLite's.
pub fn knows_more_than_marked(conn: &Connection, library_id: i64) -> Result<bool> {
    Ok(conn.query_row(
        "SELECT EXISTS (
             SELECT 1 FROM scans s JOIN marked_scans m USING (library_id)
             WHERE library_id = ?1 AND s.ended_at > m.marked_at AND coalesce(s.report ->> 'dry_run', 0) = 0
               AND (s.outcome IN ('interrupted', 'root-lost', 'abandoned')
                    OR (s.report ->> 'new') + (s.report ->> 'modified') + (s.report ->> 'touched') + (s.report ->> 'moved')
                       + (s.report ->> 'missing') + (s.report ->> 'restored') > 0))",
        [library_id],
        |row| row.get(0),
    )?)
}

/// Nothing is expected of the marker any more: it is another one, or it could not be written.
///
/// # Errors
/// SQLite's.
pub fn forget_marked(conn: &Connection, library_id: i64) -> Result<()> {
    conn.execute("DELETE FROM marked_scans WHERE library_id = ?1", [library_id])?;
    Ok(())
}

/// The generation that the marker has from now on.
///
/// # Errors
/// SQLite's.
pub fn set_marker_generation(conn: &Connection, library_id: i64, generation: u64, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE libraries SET marker_generation = ?2, updated_at = ?3 WHERE library_id = ?1",
        params![library_id, generation.cast_signed(), now_ms],
    )?;
    Ok(())
}

/// All libraries, by name.
///
/// # Errors
/// SQLite's.
pub fn all(conn: &Connection) -> Result<Vec<Library>> {
    let mut statement = conn.prepare(&format!("SELECT {COLUMNS} FROM libraries ORDER BY name"))?;
    let rows = statement.query_map([], library)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The library of that name or id.
///
/// # Errors
/// SQLite's.
pub fn by_name_or_id(conn: &Connection, wanted: &str) -> Result<Option<Library>> {
    Ok(conn
        .query_row(
            &format!("SELECT {COLUMNS} FROM libraries WHERE name = ?1 OR ulid = upper(?1)"),
            [wanted],
            library,
        )
        .optional()?)
}

/// The library of that number.
///
/// # Errors
/// SQLite's.
pub fn by_id(conn: &Connection, library_id: i64) -> Result<Library> {
    Ok(conn.query_row(
        &format!("SELECT {COLUMNS} FROM libraries WHERE library_id = ?1"),
        [library_id],
        library,
    )?)
}

/// What `init` writes down.
#[derive(Debug, Clone)]
pub struct NewLibrary<'a> {
    /// Its identity everywhere.
    pub ulid: Ulid,
    /// Its name.
    pub name: &'a str,
    /// Its root.
    pub root: &'a Path,
    /// Whether a marker identifies it.
    pub has_marker: bool,
    /// The marker's generation.
    pub marker_generation: u64,
    /// What recognises its volume.
    pub identity: &'a str,
    /// How it was found.
    pub availability: Availability,
}

/// Writes a new library down, verified just now.
///
/// # Errors
/// SQLite's; a name or id that is taken is the caller's to check before.
pub fn insert(conn: &Connection, new: &NewLibrary<'_>, now_ms: i64) -> Result<i64> {
    conn.execute(
        "INSERT INTO libraries (ulid, name, root, has_marker, marker_generation, identity, availability, reason,
                                availability_since, last_seen, created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?9, ?9)",
        params![
            new.ulid.to_string(),
            new.name,
            new.root.as_os_str().as_bytes(),
            new.has_marker,
            new.marker_generation.cast_signed(),
            new.identity,
            new.availability.state(),
            new.availability.reason().map(crate::model::Reason::as_str),
            now_ms,
        ],
    )?;
    Ok(conn.last_insert_rowid())
}

/// How a library was found just now. `availability_since` moves only when the answer changes.
///
/// # Errors
/// SQLite's.
pub fn set_availability(
    conn: &Connection,
    library_id: i64,
    availability: Availability,
    now_ms: i64,
) -> Result<()> {
    let reason = availability.reason().map(crate::model::Reason::as_str);
    conn.execute(
        "UPDATE libraries SET
            availability_since = CASE WHEN availability = ?2 AND reason IS ?3 THEN availability_since ELSE ?4 END,
            availability = ?2, reason = ?3, last_seen = CASE WHEN ?5 THEN ?4 ELSE last_seen END, updated_at = ?4
         WHERE library_id = ?1",
        params![library_id, availability.state(), reason, now_ms, availability.is_readable()],
    )?;
    Ok(())
}

/// The library was found at another place.
///
/// # Errors
/// SQLite's.
pub fn relocate(conn: &Connection, library_id: i64, root: &Path, identity: &str, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE libraries SET root = ?2, identity = ?3, updated_at = ?4 WHERE library_id = ?1",
        params![library_id, root.as_os_str().as_bytes(), identity, now_ms],
    )?;
    Ok(())
}

/// Forgets a library and its files. Their documents stay, with curation, enrichment and remote objects: that somebody
/// removed a library says nothing about them (D5). What its decisions hold back is given up with them, and so is what
/// could only be sent from its disk; made a library again, its files put their documents in line anew.
///
/// # Errors
/// SQLite's.
pub fn remove(conn: &Connection, library_id: i64) -> Result<()> {
    conn.execute(
        "UPDATE outbox SET held_by = NULL, note = 'its library was removed',
                state = CASE state WHEN 'pending' THEN 'discarded' ELSE state END
         WHERE held_by IN (SELECT decision_id FROM decisions WHERE library_id = ?1)",
        [library_id],
    )?;
    conn.execute("DELETE FROM libraries WHERE library_id = ?1", [library_id])?;
    conn.execute(
        "UPDATE outbox SET state = 'discarded', note = 'its library was removed'
         WHERE state = 'pending' AND kind = 'mirror'
           AND NOT EXISTS (SELECT 1 FROM files f WHERE f.document_id = outbox.document_id)
           AND (EXISTS (SELECT 1 FROM documents d WHERE d.document_id = outbox.document_id AND d.enrich_stale = 1)
                OR EXISTS (SELECT 1 FROM stores s WHERE s.store_id = outbox.channel_id AND s.payload <> 'enriched'))",
        [],
    )?;
    Ok(())
}

/// The library with the longest root that `path` lies in, by the recorded roots alone: works with the disk away.
///
/// # Errors
/// SQLite's.
pub fn containing(conn: &Connection, path: &Path) -> Result<Option<Library>, CatalogError> {
    Ok(all(conn)?
        .into_iter()
        .filter(|library| path.starts_with(&library.root))
        .max_by_key(|library| library.root.as_os_str().len()))
}
