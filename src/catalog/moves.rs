//! Moves, as the catalogue sees them: what a scan lost, what appeared, and what becomes of both where they are one.
//!
//! Which is which is decided elsewhere (`scan::moves`); here stands what it is decided from. A file that another one was
//! moved over is lost like one that a complete listing does not show (see [`replaced`]), and its place is
//! where something appeared.

use std::collections::HashSet;

use rusqlite::{Connection, Row, params};

use super::files::{self, Recording};
use super::{Result, documents, hash_of, outbox, replaced, scans};
use crate::model::{RelPath, Stat};

/// How the evidence begins for a file that stands in another library now; the library's name follows.
pub const MOVED_TO: &str = "moved to ";

/// One side of a possible move: a file that was lost, or one that appeared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// Which file; 0 where a dry run gave none a number.
    pub file_id: i64,
    /// Where it was, or is.
    pub path: RelPath,
    /// What it was, or is.
    pub stat: Stat,
    /// Its content; none where it was never read, and for symbolic links.
    pub content_hash: Option<[u8; 32]>,
    /// Where a symbolic link points.
    pub link_target: Option<Vec<u8>>,
    /// Of a lost file, the last scan of which it is certain that it was there; of one that appeared, the first that saw it.
    pub scan: i64,
    /// Lost, and something else stands at its place; or appeared at a place where something else stood.
    pub in_place: bool,
    /// Lost, and an earlier scan had concluded that.
    pub missing: bool,
    /// Whether the scan has counted it: as modified if it was lost in place, as new if it appeared, as modified if it
    /// appeared where a link stood.
    pub counted: bool,
}

fn side(row: &Row<'_>) -> rusqlite::Result<Side> {
    Ok(Side {
        file_id: row.get("file_id")?,
        path: files::join(row.get("path")?, row.get("dir_name")?),
        stat: files::stat_of(row)?,
        content_hash: hash_of(row, "content_hash")?,
        link_target: row.get("link_target")?,
        scan: row.get("scan")?,
        in_place: row.get("in_place")?,
        missing: row.get("missing")?,
        counted: row.get("counted")?,
    })
}

/// What was lost, now or in earlier scans, and what appeared since: only files that some other side could be.
///
/// A file appeared if it was first seen after the lost one was last there; a scan that was cut off after it had seen the
/// new place is made good by the next one. A lost file that stood as present was there at the last scan that drew
/// conclusions, complete or not: a copy that is older than that is a copy, and not where the file went. One that could not
/// be looked at may have gone at any time since the last complete scan.
///
/// `foreseen` is what a dry run saw replaced, and what it saw appear: neither is in any row.
///
/// # Errors
/// SQLite's.
pub fn sides(
    conn: &Connection,
    library_id: i64,
    scan_id: i64,
    inodes: bool,
    foreseen: (Vec<Side>, Vec<Side>),
) -> Result<(Vec<Side>, Vec<Side>)> {
    let (replaced, foreseen) = foreseen;
    let since_complete = scans::last_conclusive(conn, scan_id, true)?;
    // Numbers of files rise with the scans that saw them first: nothing older is above this one. A first scan does not look
    // for it among all that it has just written down.
    let newest: i64 = match since_complete {
        0 => 0,
        _ => conn.query_row(
            "SELECT coalesce((SELECT file_id FROM files WHERE appeared_scan <= ?1 ORDER BY file_id DESC LIMIT 1), 0)",
            [since_complete],
            |row| row.get(0),
        )?,
    };
    let anything_new: bool = conn.query_row(
        "SELECT EXISTS (SELECT 1 FROM files WHERE file_id > ?1) OR EXISTS (SELECT 1 FROM replaced)",
        [newest],
        |row| row.get(0),
    )?;
    if (!anything_new && foreseen.is_empty())
        || collect_lost(conn, library_id, scan_id, inodes, &replaced)? == 0
    {
        return Ok((Vec::new(), foreseen));
    }
    let mut appeared = appeared(conn, library_id, scan_id, newest)?;
    let again: HashSet<i64> = foreseen.iter().map(|side| side.file_id).collect();
    appeared.retain(|side| !again.contains(&side.file_id));
    appeared.extend(foreseen);
    let (mut inode, mut content) = (HashSet::new(), HashSet::new());
    for side in &appeared {
        inode.insert(side.stat.inode);
        content.extend(side.content_hash);
    }
    let mut lost = lost(conn)?;
    lost.retain(|side| {
        inode.contains(&side.stat.inode) || side.content_hash.is_some_and(|hash| content.contains(&hash))
    });
    Ok((lost, appeared))
}

/// Candidates of this scan, what was missing before, and what was replaced. `<> 'present'` says nothing new to a reader,
/// but without it SQLite does not see that the partial index serves, and reads a million rows to find none. What was
/// edited in place still has its inode number there, and is not lost.
fn collect_lost(
    conn: &Connection,
    library_id: i64,
    scan_id: i64,
    inodes: bool,
    foreseen: &[Side],
) -> Result<usize> {
    conn.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS scan_lost (
             file_id INTEGER NOT NULL, kind TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
             ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, content_hash BLOB, link_target BLOB, scan INTEGER NOT NULL,
             in_place INTEGER NOT NULL, missing INTEGER NOT NULL, counted INTEGER NOT NULL) STRICT;
         CREATE INDEX IF NOT EXISTS temp.scan_lost_by_inode ON scan_lost (inode);
         CREATE INDEX IF NOT EXISTS temp.scan_lost_by_content ON scan_lost (content_hash) WHERE content_hash IS NOT NULL;
         DELETE FROM temp.scan_lost;",
    )?;
    let since_complete = scans::last_conclusive(conn, scan_id, true)?;
    let since_conclusive = scans::last_conclusive(conn, scan_id, false)?;
    let gone = conn.execute(
        "INSERT INTO temp.scan_lost
         SELECT f.file_id, f.kind, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.content_hash, f.link_target,
                CASE WHEN f.presence = 'unknown' THEN ?2 ELSE ?3 END, 0, f.presence = 'missing', 0
         FROM files f CROSS JOIN dirs d USING (dir_id)
         WHERE d.library_id = ?1 AND f.file_id IN (
             SELECT file_id FROM temp.scan_candidates
             UNION ALL SELECT file_id FROM files WHERE presence <> 'present' AND presence = 'missing')",
        params![library_id, since_complete, since_conclusive],
    )?;
    let replaced = conn.execute(
        "INSERT INTO temp.scan_lost
         SELECT r.file_id, r.kind, r.size, r.mtime_ns, r.ctime_ns, r.inode, r.content_hash, r.link_target, ?2, 1, 0,
                r.scan_id = ?3
         FROM replaced r CROSS JOIN files f USING (file_id) CROSS JOIN dirs d USING (dir_id)
         WHERE d.library_id = ?1 AND f.presence = 'present' AND f.file_id NOT IN (SELECT file_id FROM temp.scan_candidates)
           AND (r.kind <> f.kind OR r.content_hash IS NOT f.content_hash) AND (NOT ?4 OR r.inode <> f.inode)",
        params![library_id, since_conclusive, scan_id, inodes],
    )?;
    let mut statement = conn.prepare(
        "INSERT INTO temp.scan_lost
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 1, 0, 1 WHERE NOT EXISTS (SELECT 1 FROM replaced WHERE file_id = ?1)",
    )?;
    for side in foreseen {
        statement.execute(params![
            side.file_id,
            side.stat.kind.as_str(),
            side.stat.size.cast_signed(),
            side.stat.mtime_ns,
            side.stat.ctime_ns,
            side.stat.inode.cast_signed(),
            side.content_hash,
            side.link_target,
            since_conclusive
        ])?;
    }
    Ok(gone + replaced + foreseen.len())
}

fn lost(conn: &Connection) -> Result<Vec<Side>> {
    let mut statement = conn.prepare(
        "SELECT l.*, d.path, f.name AS dir_name FROM temp.scan_lost l CROSS JOIN files f USING (file_id)
         CROSS JOIN dirs d USING (dir_id)",
    )?;
    let rows = statement.query_map([], side)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn appeared(conn: &Connection, library_id: i64, scan_id: i64, newest: i64) -> Result<Vec<Side>> {
    // CROSS JOIN: from the few that are new to their directories, never the other way round.
    const SELECT: &str =
        "SELECT f.file_id, f.kind, f.size, f.mtime_ns, f.ctime_ns, f.inode, f.content_hash, f.link_target,
        d.path, f.name AS dir_name";
    const COULD_BE: &str = "f.presence = 'present' AND d.library_id = ?1
        AND f.file_id NOT IN (SELECT file_id FROM temp.scan_candidates)
        AND (EXISTS (SELECT 1 FROM temp.scan_lost l WHERE l.inode = f.inode AND l.size = f.size AND l.mtime_ns = f.mtime_ns)
             OR (f.size > 0 AND f.content_hash IS NOT NULL
                 AND EXISTS (SELECT 1 FROM temp.scan_lost l WHERE l.content_hash = f.content_hash)))";
    let mut statement = conn.prepare(&format!(
        "{SELECT}, f.appeared_scan AS scan, 0 AS in_place, 0 AS missing, f.appeared_scan = ?2 AS counted
         FROM files f CROSS JOIN dirs d USING (dir_id)
         WHERE f.file_id > ?3 AND f.file_id NOT IN (SELECT file_id FROM replaced) AND {COULD_BE}
         UNION ALL
         {SELECT}, ?2, 1, 0, r.scan_id = ?2 AND r.content_hash IS NULL FROM replaced r CROSS JOIN files f USING (file_id) CROSS JOIN dirs d USING (dir_id) WHERE {COULD_BE}"
    ))?;
    let rows = statement.query_map(params![library_id, scan_id, newest], side)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The lost file is the one that appeared: it takes that place, keeps its number and with it its history. Where something
/// else stands at its own place by now, that keeps the number, and only the document goes along.
///
/// # Errors
/// SQLite's.
pub fn apply_move(
    conn: &Connection,
    recording: &mut Recording<'_>,
    lost: &Side,
    appeared: &Side,
) -> Result<()> {
    if lost.in_place {
        follow(conn, recording, lost, appeared)
    } else {
        take_place(conn, recording, lost, appeared)
    }
}

fn take_place(conn: &Connection, recording: &mut Recording<'_>, lost: &Side, appeared: &Side) -> Result<()> {
    struct Place {
        dir_id: i64,
        nfc_key: Option<Vec<u8>>,
        fold_key: Option<Vec<u8>>,
        name: Vec<u8>,
        young: bool,
        document_id: Option<i64>,
        hashed_at: Option<i64>,
    }
    let now_ms = recording.now_ms;
    let place = conn
        .prepare_cached(
            "SELECT dir_id, name, nfc_key, fold_key, young, document_id, hashed_at FROM files WHERE file_id = ?1",
        )?
        .query_row([appeared.file_id], |row| {
            Ok(Place {
                dir_id: row.get(0)?,
                name: row.get(1)?,
                nfc_key: row.get(2)?,
                fold_key: row.get(3)?,
                young: row.get(4)?,
                document_id: row.get(5)?,
                hashed_at: row.get(6)?,
            })
        })?;
    let (before, was_missing): (Option<i64>, bool) = conn
        .prepare_cached("SELECT document_id, presence = 'missing' FROM files WHERE file_id = ?1")?
        .query_row([lost.file_id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let first_read = lost.content_hash.is_none() && appeared.content_hash.is_some();
    conn.prepare_cached("DELETE FROM files WHERE file_id = ?1")?.execute([appeared.file_id])?;
    // What could not be read counts as young: it stands for what it was, and is read as soon as that can be done.
    conn.prepare_cached(
        "UPDATE files SET dir_id = ?2, name = ?3, nfc_key = ?4, fold_key = ?5, mtime_ns = ?6, ctime_ns = ?7, inode = ?8,
                young = ?9, presence = 'present', evidence = 'moved', missing_since = NULL, missing_scans = 0,
                seen_at = ?10, updated_at = ?10
         WHERE file_id = ?1",
    )?
    .execute(params![
        lost.file_id,
        place.dir_id,
        place.name,
        place.nfc_key,
        place.fold_key,
        appeared.stat.mtime_ns,
        appeared.stat.ctime_ns,
        appeared.stat.inode.cast_signed(),
        place.young,
        now_ms
    ])?;
    if first_read {
        conn.prepare_cached(
            "UPDATE files SET content_hash = ?2, document_id = ?3, hashed_at = ?4 WHERE file_id = ?1",
        )?
        .execute(params![
            lost.file_id,
            appeared.content_hash,
            place.document_id,
            place.hashed_at
        ])?;
    }
    scans::drop_candidate(conn, lost.file_id)?;
    let document_id = if first_read { place.document_id } else { before };
    if let Some(document_id) = document_id {
        reunite(conn, recording, document_id, place.document_id, was_missing)?;
    }
    Ok(())
}

/// Something else stands at the lost file's place: what appeared takes its document over.
fn follow(conn: &Connection, recording: &mut Recording<'_>, lost: &Side, appeared: &Side) -> Result<()> {
    let now_ms = recording.now_ms;
    let before: Option<i64> = conn
        .prepare_cached("SELECT document_id FROM replaced WHERE file_id = ?1")?
        .query_row([lost.file_id], |row| row.get(0))?;
    let found = replaced::document_of(conn, appeared.file_id)?;
    if let (Some(document_id), Some(hash)) = (before, lost.content_hash)
        && found != before
    {
        replaced::turn_back(conn, recording, document_id, hash, lost.stat.size)?;
        conn.prepare_cached("UPDATE files SET document_id = ?2, content_hash = ?3 WHERE file_id = ?1")?
            .execute(params![appeared.file_id, document_id, hash])?;
    }
    if let Some(document_id) = before {
        reunite(conn, recording, document_id, found, false)?;
    }
    // The trigger writes this down where a row changes its place.
    conn.prepare_cached(
        "INSERT INTO events (at, file_id, document_id, what, before, after, cause)
         VALUES (?1, ?2, ?3, 'moved', lower(hex(?4)), lower(hex(?5)), 'same content')",
    )?
    .execute(params![
        now_ms,
        appeared.file_id,
        before.or(found),
        slashed(&lost.path),
        slashed(&appeared.path)
    ])?;
    Ok(())
}

/// As the trigger writes it: the directory's path, a slash, the name.
fn slashed(path: &RelPath) -> Vec<u8> {
    match path.split() {
        Some((dir, name)) => [dir.as_bytes(), b"/", name].concat(),
        None => Vec::new(),
    }
}

/// A document has the copy it lost; the one that was made for that copy, in its stead, is not needed.
fn reunite(
    conn: &Connection,
    recording: &mut Recording<'_>,
    document_id: i64,
    stand_in: Option<i64>,
    was_missing: bool,
) -> Result<()> {
    conn.prepare_cached(
        "UPDATE documents SET search_stale = 1, copyless_since = NULL WHERE document_id = ?1",
    )?
    .execute([document_id])?;
    if stand_in == Some(document_id) {
        return Ok(());
    }
    if was_missing {
        // Its remote objects may have been retired meanwhile; planning finds out (L6).
        outbox::release_rejected(conn, document_id)?;
        outbox::enqueue_mirror_to(conn, recording, document_id)?;
    }
    match stand_in {
        Some(stand_in) => documents::discard(conn, stand_in, document_id, recording.now_ms),
        None => Ok(()),
    }
}

/// Candidates whose document has a copy with the same content in another library, that appeared there since they were last
/// seen here, or came back there: nobody has to be asked whether they are lost (L7). Returns whether there are any.
///
/// # Errors
/// SQLite's.
pub fn mark_elsewhere(conn: &Connection, library_id: i64, scan_id: i64) -> Result<bool> {
    let since_complete = scans::last_conclusive(conn, scan_id, true)?;
    let since_conclusive = scans::last_conclusive(conn, scan_id, false)?;
    conn.execute(
        "UPDATE temp.scan_candidates AS c SET elsewhere = (
             SELECT b.name FROM files l JOIN files f ON f.document_id = l.document_id AND f.content_hash = l.content_hash
             JOIN dirs d ON d.dir_id = f.dir_id JOIN libraries b ON b.library_id = d.library_id
             JOIN scans s ON s.scan_id = CASE WHEN l.presence = 'unknown' THEN ?2 ELSE ?3 END
             WHERE l.file_id = c.file_id AND l.size > 0 AND l.presence <> 'missing' AND f.presence = 'present'
               AND d.library_id <> ?1
               AND (f.appeared_scan > s.scan_id
                    OR EXISTS (SELECT 1 FROM events e WHERE e.file_id = f.file_id AND e.at >= s.started_at
                               AND ((e.what = 'presence' AND e.before = 'missing') OR e.what = 'content')))
             ORDER BY b.name LIMIT 1)",
        params![library_id, since_complete, since_conclusive],
    )?;
    Ok(scans::count_elsewhere(conn)? > 0)
}

/// What stands in another library now is not here any more. Returns how many files.
///
/// # Errors
/// SQLite's.
pub fn finish_elsewhere(conn: &Connection, now_ms: i64) -> Result<u64> {
    Ok(conn.execute(
        "UPDATE files SET presence = 'missing', missing_since = ?1, missing_scans = 0, updated_at = ?1,
                evidence = ?2 || (SELECT c.elsewhere FROM temp.scan_candidates c WHERE c.file_id = files.file_id)
         WHERE file_id IN (SELECT file_id FROM temp.scan_candidates WHERE elsewhere IS NOT NULL) AND presence <> 'missing'",
        params![now_ms, MOVED_TO],
    )? as u64)
}
