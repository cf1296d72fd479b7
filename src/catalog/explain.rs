//! What `explain` asks: how a file was looked at last, which scan says so, and how its root stood then.
//!
//! Everything comes out of the catalogue: the disk may be away, and the question is what was believed and why, not what a
//! fresh look would say.

use rusqlite::{Connection, OptionalExtension, params};

use super::Result;
use super::libraries::Library;
use super::query::FileCard;
use super::scans::ScanOutcome;
use super::word_of;
use crate::model::{LookCause, Presence, RelPath};

/// How a file was looked at last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastLook {
    /// Its times were too close to the clock to tell a later change from them.
    pub young: bool,
    /// Why it was read the last time; empty where it was read only once.
    pub because: Vec<LookCause>,
    /// How many complete scans did not find it, counted up to those of the grace.
    pub missing_scans: u32,
    /// Since when it stands as it does, in milliseconds.
    pub since: i64,
    /// When what is said of it was found out, in milliseconds.
    pub said_at: i64,
}

/// How a file was looked at last.
///
/// # Errors
/// SQLite's.
pub fn last_look(conn: &Connection, card: &FileCard) -> Result<LastLook> {
    let (young, because, missing_scans, updated_at): (bool, Option<String>, u32, i64) = conn
        .prepare_cached(
            "SELECT young, looked_because, missing_scans, updated_at FROM files WHERE file_id = ?1",
        )?
        .query_row([card.file_id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    let because =
        because.as_deref().map_or(Ok(Vec::new()), |words| words.split(',').map(str::parse).collect())?;
    let changed: Option<i64> = conn
        .prepare_cached(
            "SELECT at FROM events WHERE file_id = ?1 AND what = 'presence' ORDER BY event_id DESC LIMIT 1",
        )?
        .query_row([card.file_id], |row| row.get(0))
        .optional()?;
    let said_at = match card.presence {
        Presence::Present => card.last_seen,
        Presence::Missing => card.missing_since.unwrap_or(updated_at),
        Presence::Unknown | Presence::Excluded => changed.unwrap_or(updated_at),
    };
    Ok(LastLook { young, because, missing_scans, since: changed.unwrap_or(card.first_seen), said_at })
}

/// A scan as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanCard {
    /// Its number.
    pub scan_id: i64,
    /// How it ended.
    pub outcome: ScanOutcome,
    /// Which directory was asked for; the root for all of the library.
    pub scope: RelPath,
    /// When it began, in milliseconds.
    pub started_at: i64,
    /// When it ended, in milliseconds.
    pub ended_at: Option<i64>,
}

/// The scan of a library that was running at a time; none where it was no scan that said so, but a person.
///
/// # Errors
/// SQLite's.
pub fn scan_at(conn: &Connection, library_id: i64, at_ms: i64) -> Result<Option<ScanCard>> {
    Ok(conn
        .prepare_cached(
            "SELECT scan_id, outcome, scope, started_at, ended_at FROM scans
             WHERE library_id = ?1 AND started_at <= ?2 AND coalesce(ended_at, ?2) >= ?2
               AND coalesce(json_extract(report, '$.dry_run'), 0) = 0
             ORDER BY scan_id DESC LIMIT 1",
        )?
        .query_row(params![library_id, at_ms], |row| {
            Ok(ScanCard {
                scan_id: row.get("scan_id")?,
                outcome: word_of(row, "outcome")?,
                scope: RelPath::from_bytes(row.get::<_, Vec<u8>>("scope")?),
                started_at: row.get("started_at")?,
                ended_at: row.get("ended_at")?,
            })
        })
        .optional()?)
}

/// How a library's root stood at a time, in the words of [`crate::model::Availability`]; none where that was not kept.
///
/// # Errors
/// SQLite's.
pub fn root_at(conn: &Connection, library: &Library, at_ms: i64) -> Result<Option<String>> {
    if library.availability_since <= at_ms {
        return Ok(Some(library.availability.to_string()));
    }
    let before = "SELECT after FROM events WHERE library_id = ?1 AND what = 'availability' AND at <= ?2 ORDER BY event_id DESC LIMIT 1";
    let after = "SELECT before FROM events WHERE library_id = ?1 AND what = 'availability' AND at > ?2 ORDER BY event_id LIMIT 1";
    for sql in [before, after] {
        let found = conn
            .prepare_cached(sql)?
            .query_row(params![library.library_id, at_ms], |row| row.get(0))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Since when a directory cannot be listed, in milliseconds.
///
/// # Errors
/// SQLite's.
pub fn frozen_since(conn: &Connection, dir_id: i64) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached("SELECT frozen_since FROM dirs WHERE dir_id = ?1")?
        .query_row([dir_id], |row| row.get(0))?)
}
