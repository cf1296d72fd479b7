//! Files: where each stands, what its last proved look said.

use rusqlite::{Connection, Row, params};

use super::documents;
use super::newcomers::Newcomer;
use super::{Ids, Result, in_rows, outbox, privacy, replaced, scope, word_at, word_of};
use crate::model::{FileKind, LookCause, Presence, RelPath, Stat};

/// A file as the catalogue has it, as much as a scan needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFile {
    /// Its number.
    pub file_id: i64,
    /// Its name in its directory.
    pub name: Vec<u8>,
    /// Its stat at the last look.
    pub stat: Stat,
    /// At the last look its times were too close to the clock to tell a later change from them.
    pub young: bool,
    /// Where it stood.
    pub presence: Presence,
    /// Its last proved content; none where it could not be read yet, and for symbolic links.
    pub content_hash: Option<[u8; 32]>,
    /// The document it is a copy of.
    pub document_id: Option<i64>,
}

/// By place and not by name: a rescan reads every row there is, and a column is found by comparing names.
fn known_file(row: &Row<'_>) -> rusqlite::Result<KnownFile> {
    Ok(KnownFile {
        file_id: row.get(0)?,
        name: row.get(1)?,
        stat: Stat {
            kind: word_at::<FileKind>(row, 2)?,
            size: row.get::<_, i64>(3)?.cast_unsigned(),
            mtime_ns: row.get(4)?,
            ctime_ns: row.get(5)?,
            inode: row.get::<_, i64>(6)?.cast_unsigned(),
        },
        young: row.get(7)?,
        presence: word_at(row, 8)?,
        content_hash: row.get(9)?,
        document_id: row.get(10)?,
    })
}

pub(super) fn stat_of(row: &Row<'_>) -> rusqlite::Result<Stat> {
    Ok(Stat {
        kind: word_of::<FileKind>(row, "kind")?,
        size: row.get::<_, i64>("size")?.cast_unsigned(),
        mtime_ns: row.get("mtime_ns")?,
        ctime_ns: row.get("ctime_ns")?,
        inode: row.get::<_, i64>("inode")?.cast_unsigned(),
    })
}

/// What is known in one directory, in byte order of the names.
///
/// # Errors
/// SQLite's.
pub fn known_in(conn: &Connection, dir_id: i64) -> Result<Vec<KnownFile>> {
    let mut statement = conn.prepare_cached(
        "SELECT file_id, name, kind, size, mtime_ns, ctime_ns, inode, young, presence, content_hash, document_id
         FROM files WHERE dir_id = ?1 ORDER BY name",
    )?;
    let rows = statement.query_map([dir_id], known_file)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// One look at one file, ready to be written down.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its directory.
    pub dir_id: i64,
    /// Its name there.
    pub name: Vec<u8>,
    /// What the catalogue knew of it before.
    pub known: Option<KnownFile>,
    /// Its stat, from the descriptor that was read where it was read.
    pub stat: Stat,
    /// See [`KnownFile::young`].
    pub young: bool,
    /// Its proved content; none where it could not be read, and for symbolic links.
    pub content_hash: Option<[u8; 32]>,
    /// Where a symbolic link points.
    pub link_target: Option<Vec<u8>>,
    /// Why a known file was read; empty where it was not, or was not known.
    pub because: Vec<LookCause>,
    /// The file as which it was read, where it was not read now: its directory was renamed.
    pub read_as: Option<i64>,
}

impl Look {
    /// As the catalogue keeps it; none where nothing was read.
    fn because(&self) -> Option<String> {
        let words: Vec<&str> = self.because.iter().map(|cause| cause.as_str()).collect();
        (!words.is_empty()).then(|| words.join(","))
    }
}

/// What a look turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Not known before, or known by its name alone.
    New,
    /// Its content changed.
    Modified,
    /// Its stat changed, its content did not.
    Touched,
    /// It was missing, unknown or excluded, and is back with its content.
    Restored,
    /// It is there as before, but could not be read: what was proved before stands.
    Unread,
}

/// What a look turns out to be.
#[must_use]
pub fn classify(look: &Look) -> Recorded {
    let Some(known) = &look.known else { return Recorded::New };
    let unread = look.content_hash.is_none() && look.stat.kind == FileKind::Regular;
    let same_content = look.content_hash == known.content_hash && look.stat.kind == known.stat.kind;
    let first_read = known.content_hash.is_none() && known.stat.kind == look.stat.kind;
    match (known.presence, same_content) {
        (Presence::Present, _) if unread => Recorded::Unread,
        (_, _) if unread => Recorded::Restored,
        // Nothing was proved before that could have changed: permissions that were mended are no mass change (D6).
        (_, false) if first_read => Recorded::New,
        (_, false) => Recorded::Modified,
        (Presence::Present, true) => Recorded::Touched,
        (_, true) => Recorded::Restored,
    }
}

/// What all looks that are written down in one transaction have in common.
#[derive(Debug)]
pub struct Recording<'a> {
    /// Where new identifiers come from.
    pub ids: &'a mut Ids,
    /// The stores that changed documents are put in line for.
    pub stores: &'a [i64],
    /// Whether anything is kept of what stood where something else does now (see [`replaced`]).
    pub replaced: &'a mut bool,
    /// The scan.
    pub scan_id: i64,
    /// The time.
    pub now_ms: i64,
}

/// Writes a look down: the file's row, its document and the operations that follow, all in the caller's transaction.
///
/// # Errors
/// SQLite's.
pub fn record(conn: &Connection, recording: &mut Recording<'_>, look: &Look) -> Result<Recorded> {
    let Recording { scan_id, now_ms, .. } = *recording;
    let Some(known) = &look.known else {
        let document_id = match look.content_hash {
            Some(hash) => Some(documents::of_new_content(conn, recording, None, hash, look.stat.size)?),
            None => None,
        };
        insert(conn, look, document_id, scan_id, now_ms)?;
        read_before(conn, conn.last_insert_rowid(), look)?;
        return Ok(Recorded::New);
    };
    let recorded = classify(look);
    let known_document = match *recording.replaced {
        true => replaced::document_of(conn, known.file_id)?,
        false => known.document_id,
    };
    if recorded == Recorded::Modified {
        replaced::keep(conn, recording, known.file_id)?;
    }
    if look.content_hash.is_none() && look.stat.kind == FileKind::Regular {
        // What was proved before stays, and so does the old stat, so that the next scan looks again.
        seen_again(conn, known.file_id, look, now_ms)?;
        if let (Presence::Missing, Some(document_id)) = (known.presence, known_document) {
            // As below: once it can be read it counts as touched only, and nobody would ask any more (L6).
            outbox::enqueue_mirror_to(conn, recording, document_id)?;
        }
        return Ok(recorded);
    }
    let before = known_document.map(|document_id| (document_id, known.file_id));
    let document_id = match look.content_hash {
        Some(_) if recorded != Recorded::Modified && before.is_some() => known_document,
        Some(hash) => Some(documents::of_new_content(conn, recording, before, hash, look.stat.size)?),
        None => {
            if let Some((document_id, file_id)) = before {
                documents::leave(conn, document_id, file_id, now_ms)?;
            }
            None
        }
    };
    update(conn, known.file_id, look, document_id, now_ms)?;
    read_before(conn, known.file_id, look)?;
    if let (Recorded::Restored, Presence::Missing, Some(document_id)) =
        (recorded, known.presence, document_id)
    {
        // Its remote objects may have been retired meanwhile; planning finds out (L6).
        outbox::enqueue_mirror_to(conn, recording, document_id)?;
    }
    Ok(recorded)
}

fn insert(conn: &Connection, look: &Look, document_id: Option<i64>, scan_id: i64, now_ms: i64) -> Result<()> {
    // Perhaps one more copy. What has no past has a document of its own, which is put in line.
    scope::mark(conn, document_id)?;
    insert_rows(conn, &[(look, document_id)], scan_id, now_ms)
}

/// Of what was not read now nobody says that it was.
fn read_before(conn: &Connection, file_id: i64, look: &Look) -> Result<()> {
    let Some(read_as) = look.read_as else { return Ok(()) };
    conn.prepare_cached(
        "UPDATE files SET hashed_at = (SELECT hashed_at FROM files WHERE file_id = ?2) WHERE file_id = ?1",
    )?
    .execute([file_id, read_as])?;
    Ok(())
}

/// Files without a past.
pub(super) fn insert_all(conn: &Connection, newcomers: &[Newcomer], scan_id: i64, now_ms: i64) -> Result<()> {
    let rows: Vec<(&Look, Option<i64>)> = newcomers
        .iter()
        .map(|newcomer| (&newcomer.look, newcomer.document.map(|(document_id, _)| document_id)))
        .collect();
    insert_rows(conn, &rows, scan_id, now_ms)
}

fn insert_rows(conn: &Connection, rows: &[(&Look, Option<i64>)], scan_id: i64, now_ms: i64) -> Result<()> {
    privacy::mark(conn, rows.iter().filter_map(|(_, document_id)| *document_id))?;
    in_rows(
        conn,
        "INSERT OR FAIL INTO files (dir_id, name, nfc_key, fold_key, kind, size, mtime_ns, ctime_ns, inode, young, content_hash,
                            link_target, document_id, presence, appeared_scan, first_seen, seen_at, hashed_at, updated_at)
         VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'present', ?, ?, ?, ?, ?)",
        rows,
        |statement, at, (look, document_id)| {
            let differs = |key: Vec<u8>| (key != look.name).then_some(key);
            statement.raw_bind_parameter(at, look.dir_id)?;
            statement.raw_bind_parameter(at + 1, &look.name)?;
            statement.raw_bind_parameter(at + 2, differs(crate::model::path::nfc_key(&look.name)))?;
            statement.raw_bind_parameter(at + 3, differs(crate::model::path::fold_key(&look.name)))?;
            statement.raw_bind_parameter(at + 4, look.stat.kind.as_str())?;
            statement.raw_bind_parameter(at + 5, look.stat.size.cast_signed())?;
            statement.raw_bind_parameter(at + 6, look.stat.mtime_ns)?;
            statement.raw_bind_parameter(at + 7, look.stat.ctime_ns)?;
            statement.raw_bind_parameter(at + 8, look.stat.inode.cast_signed())?;
            statement.raw_bind_parameter(at + 9, look.young)?;
            statement.raw_bind_parameter(at + 10, look.content_hash)?;
            statement.raw_bind_parameter(at + 11, &look.link_target)?;
            statement.raw_bind_parameter(at + 12, document_id)?;
            statement.raw_bind_parameter(at + 13, scan_id)?;
            statement.raw_bind_parameter(at + 14, now_ms)?;
            statement.raw_bind_parameter(at + 15, now_ms)?;
            statement.raw_bind_parameter(at + 16, look.content_hash.map(|_| now_ms))?;
            statement.raw_bind_parameter(at + 17, now_ms)
        },
    )
}

fn update(conn: &Connection, file_id: i64, look: &Look, document_id: Option<i64>, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE files SET kind = ?2, size = ?3, mtime_ns = ?4, ctime_ns = ?5, inode = ?6, young = ?7, content_hash = ?8,
                link_target = ?9, document_id = ?10, presence = 'present', evidence = 'seen', missing_since = NULL,
                missing_scans = 0, seen_at = ?11, updated_at = ?11, looked_because = coalesce(?12, looked_because),
                hashed_at = CASE WHEN ?8 IS NULL THEN NULL WHEN ?12 IS NULL THEN hashed_at ELSE ?11 END
         WHERE file_id = ?1",
    )?
    .execute(params![
        file_id,
        look.stat.kind.as_str(),
        look.stat.size.cast_signed(),
        look.stat.mtime_ns,
        look.stat.ctime_ns,
        look.stat.inode.cast_signed(),
        look.young,
        look.content_hash,
        look.link_target,
        document_id,
        now_ms,
        look.because(),
    ])?;
    Ok(())
}

/// It is there, but what is in it could not be proved this time.
fn seen_again(conn: &Connection, file_id: i64, look: &Look, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE files SET presence = 'present', evidence = 'seen, not read', missing_since = NULL, missing_scans = 0,
                seen_at = ?2, updated_at = ?2, looked_because = coalesce(?3, looked_because)
         WHERE file_id = ?1",
    )?
    .execute(params![file_id, now_ms, look.because()])?;
    Ok(())
}

/// A file's times have moved with those of all files of its disk. That it holds what it held was proved on a sample, not on
/// this file: when it was read last stays as it was.
///
/// # Errors
/// SQLite's.
pub fn shift(
    conn: &Connection,
    file_id: i64,
    (mtime_ns, ctime_ns, inode): (i64, i64, u64),
    evidence: &str,
    now_ms: i64,
) -> Result<()> {
    conn.prepare_cached(
        "UPDATE files SET mtime_ns = ?2, ctime_ns = ?3, inode = ?4, presence = 'present', evidence = ?5, missing_since = NULL,
                missing_scans = 0, seen_at = ?6, updated_at = ?6
         WHERE file_id = ?1",
    )?
    .execute(params![file_id, mtime_ns, ctime_ns, inode.cast_signed(), evidence, now_ms])?;
    Ok(())
}

/// A file by its number: its directory, that one's path, and what a scan needs to know of it.
///
/// # Errors
/// SQLite's; a number that is no file's is one.
pub fn known_by_id(conn: &Connection, file_id: i64) -> Result<(i64, RelPath, KnownFile)> {
    Ok(conn
        .prepare_cached(
            "SELECT file_id, name, kind, size, mtime_ns, ctime_ns, inode, young, presence, content_hash, document_id,
                    dir_id, path
             FROM files JOIN dirs USING (dir_id) WHERE file_id = ?1",
        )?
        .query_row([file_id], |row| {
            Ok((row.get(11)?, RelPath::from_bytes(row.get::<_, Vec<u8>>(12)?), known_file(row)?))
        })?)
}

/// When a file was read last, in milliseconds.
///
/// # Errors
/// SQLite's; a number that is no file's is one.
pub fn read_at(conn: &Connection, file_id: i64) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached("SELECT hashed_at FROM files WHERE file_id = ?1")?
        .query_row([file_id], |row| row.get(0))?)
}

/// A rule leaves out a file that was listed, or that nobody has looked for since it was there. One that was missing and is
/// listed again is not missing, whatever the rules say (D5).
///
/// # Errors
/// SQLite's.
pub fn exclude(conn: &Connection, file_id: i64, now_ms: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "UPDATE files SET presence = 'excluded', evidence = 'left out by a rule', missing_since = NULL, missing_scans = 0,
                    updated_at = ?2
             WHERE file_id = ?1 AND presence <> 'excluded'",
        )?
        .execute(params![file_id, now_ms])?
        > 0)
}

/// A file that stood there could not be looked at, for `evidence` (D1).
///
/// # Errors
/// SQLite's.
pub fn set_unknown(conn: &Connection, file_id: i64, evidence: &str, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE files SET presence = 'unknown', evidence = ?2, updated_at = ?3 WHERE file_id = ?1 AND presence = 'present'",
    )?
    .execute(params![file_id, evidence, now_ms])?;
    Ok(())
}

/// Every file of a directory that stood there is from now on `presence`, for `evidence`. Returns how many.
///
/// # Errors
/// SQLite's.
pub fn set_presence_in_dir(
    conn: &Connection,
    dir_id: i64,
    from: &[Presence],
    presence: Presence,
    evidence: &str,
    now_ms: i64,
) -> Result<u64> {
    let mut changed = 0;
    for from in from {
        changed += conn
            .prepare_cached(
                "UPDATE files SET presence = ?3, evidence = ?4, updated_at = ?5 WHERE dir_id = ?1 AND presence = ?2",
            )?
            .execute(params![dir_id, from.as_str(), presence.as_str(), evidence, now_ms])?;
    }
    Ok(changed as u64)
}

/// Some of a library's present files, spread over all of them, with their stats.
///
/// # Errors
/// SQLite's.
pub fn sample(conn: &Connection, library_id: i64, limit: u32) -> Result<Vec<(RelPath, Stat)>> {
    // By the hash, which is as good as a throw of dice and the same every time.
    let mut statement = conn.prepare(
        "SELECT d.path, f.name, f.kind, f.size, f.mtime_ns, f.ctime_ns, f.inode FROM files f JOIN dirs d USING (dir_id)
         WHERE d.library_id = ?1 AND f.presence = 'present' AND f.kind = 'file' AND f.size > 0
         ORDER BY f.content_hash LIMIT ?2",
    )?;
    let rows = statement
        .query_map(params![library_id, limit], |row| Ok((join(row.get(0)?, row.get(1)?), stat_of(row)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

#[expect(clippy::needless_pass_by_value, reason = "fresh out of a row")]
pub(super) fn join(dir: Vec<u8>, name: Vec<u8>) -> RelPath {
    RelPath::from_bytes(dir).join(&name)
}
