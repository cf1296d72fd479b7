//! Directories: each keeps its number while anything was ever known in it.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Result, word_of};
use crate::model::{RelPath, words};

words! {
    /// How a directory's last look ended.
    pub enum DirState {
        /// Its listing was complete.
        Listed = "listed",
        /// It could not be listed; nothing below is concluded.
        Frozen = "frozen",
        /// Proved absent.
        Gone = "gone",
        /// Left out by a rule.
        Excluded = "excluded",
    }
}

/// A directory as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDir {
    /// Its number.
    pub dir_id: i64,
    /// Where it is.
    pub path: RelPath,
    /// How its last look ended.
    pub state: DirState,
    /// Its inode number when it was listed last; none where that means nothing.
    pub inode: Option<u64>,
}

fn known_dir(row: &Row<'_>) -> rusqlite::Result<KnownDir> {
    Ok(KnownDir {
        dir_id: row.get("dir_id")?,
        path: RelPath::from_bytes(row.get::<_, Vec<u8>>("path")?),
        state: word_of(row, "state")?,
        inode: row.get::<_, Option<i64>>("dir_inode")?.map(i64::cast_unsigned),
    })
}

/// The smallest byte string after every path below `path`, so that `path/` .. this is its subtree.
fn subtree(path: &RelPath) -> (Vec<u8>, Vec<u8>) {
    let (mut from, mut until) = (path.as_bytes().to_vec(), path.as_bytes().to_vec());
    from.push(b'/');
    until.push(b'/' + 1);
    (from, until)
}

/// Directories directly under one, in byte order of their paths.
///
/// # Errors
/// SQLite's.
pub fn children(conn: &Connection, dir_id: i64) -> Result<Vec<KnownDir>> {
    let mut statement = conn.prepare_cached(
        "SELECT dir_id, path, state, dir_inode FROM dirs WHERE parent_id = ?1 ORDER BY path",
    )?;
    let rows = statement.query_map([dir_id], known_dir)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The directory at a path of a library.
///
/// # Errors
/// SQLite's.
pub fn at(conn: &Connection, library_id: i64, path: &RelPath) -> Result<Option<KnownDir>> {
    let mut statement = conn.prepare_cached(
        "SELECT dir_id, path, state, dir_inode FROM dirs WHERE library_id = ?1 AND path = ?2",
    )?;
    Ok(statement.query_row(params![library_id, path.as_bytes()], known_dir).optional()?)
}

/// Writes down a new directory under a number that the caller took from [`next_id`].
///
/// # Errors
/// SQLite's.
pub fn insert(
    conn: &Connection,
    dir_id: i64,
    library_id: i64,
    parent_id: Option<i64>,
    path: &RelPath,
) -> Result<()> {
    conn.prepare_cached("INSERT INTO dirs (dir_id, library_id, parent_id, path) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![dir_id, library_id, parent_id, path.as_bytes()])?;
    Ok(())
}

/// The number after the last. Only the holder of the run lock makes directories, so it may count on from here.
///
/// # Errors
/// SQLite's.
pub fn next_id(conn: &Connection) -> Result<i64> {
    Ok(conn.query_row("SELECT coalesce(max(dir_id), 0) + 1 FROM dirs", [], |row| row.get(0))?)
}

/// The directory at `path`, made with its ancestors where the catalogue has none yet.
///
/// # Errors
/// SQLite's.
pub fn ensure(conn: &Connection, library_id: i64, path: &RelPath) -> Result<KnownDir> {
    if let Some(known) = at(conn, library_id, path)? {
        return Ok(known);
    }
    let parent_id = match path.split() {
        None => None,
        Some((parent, _)) => Some(ensure(conn, library_id, &parent)?.dir_id),
    };
    let dir_id = next_id(conn)?;
    insert(conn, dir_id, library_id, parent_id, path)?;
    Ok(KnownDir { dir_id, path: path.clone(), state: DirState::Listed, inode: None })
}

/// Another directory of a library that had this inode number when it was listed last. Where several had it, one after the
/// other, one that is not known to be gone, and of these the latest.
///
/// # Errors
/// SQLite's.
pub fn other_with_inode(conn: &Connection, library_id: i64, inode: u64, dir_id: i64) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached(
            "SELECT dir_id FROM dirs WHERE library_id = ?1 AND dir_inode = ?2 AND dir_id <> ?3
             ORDER BY state = 'gone', dir_id DESC LIMIT 1",
        )?
        .query_row(params![library_id, inode.cast_signed(), dir_id], |row| row.get(0))
        .optional()?)
}

/// A directory has this inode number.
///
/// # Errors
/// SQLite's.
pub fn set_inode(conn: &Connection, dir_id: i64, inode: u64) -> Result<()> {
    conn.prepare_cached("UPDATE dirs SET dir_inode = ?2 WHERE dir_id = ?1")?
        .execute(params![dir_id, inode.cast_signed()])?;
    Ok(())
}

/// A look at the directory ended so. `frozen_since` is kept over several failed looks and cleared by a good one.
///
/// # Errors
/// SQLite's.
pub fn set_state(conn: &Connection, dir_id: i64, state: DirState, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE dirs SET state = ?2, frozen_since = CASE WHEN ?2 = 'frozen' THEN coalesce(frozen_since, ?3) END
         WHERE dir_id = ?1",
    )?
    .execute(params![dir_id, state.as_str(), now_ms])?;
    Ok(())
}

/// A rule leaves a directory out: that something below it could not be listed is nobody's trouble any more.
///
/// # Errors
/// SQLite's.
pub fn set_excluded(conn: &Connection, library_id: i64, dir: &KnownDir, now_ms: i64) -> Result<()> {
    let (from, until) = subtree(&dir.path);
    conn.prepare_cached(
        "UPDATE dirs SET state = 'listed', frozen_since = NULL
         WHERE library_id = ?1 AND path >= ?2 AND path < ?3 AND state = 'frozen'",
    )?
    .execute(params![library_id, from, until])?;
    set_state(conn, dir.dir_id, DirState::Excluded, now_ms)
}

/// Marks a directory and everything below it as gone.
///
/// # Errors
/// SQLite's.
pub fn set_gone(conn: &Connection, library_id: i64, path: &RelPath) -> Result<()> {
    let (from, until) = subtree(path);
    conn.prepare_cached(
        "UPDATE dirs SET state = 'gone', frozen_since = NULL
         WHERE library_id = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4)) AND state <> 'gone'",
    )?
    .execute(params![library_id, path.as_bytes(), from, until])?;
    Ok(())
}

/// A directory's number and those of all below it, in path order.
///
/// # Errors
/// SQLite's.
pub fn ids_in_subtree(conn: &Connection, library_id: i64, path: &RelPath) -> Result<Vec<i64>> {
    if path.is_root() {
        let mut statement =
            conn.prepare_cached("SELECT dir_id FROM dirs WHERE library_id = ?1 ORDER BY path")?;
        let rows = statement.query_map([library_id], |row| row.get(0))?;
        return Ok(rows.collect::<rusqlite::Result<_>>()?);
    }
    let (from, until) = subtree(path);
    let mut statement = conn.prepare_cached(
        "SELECT dir_id FROM dirs WHERE library_id = ?1 AND (path = ?2 OR (path >= ?3 AND path < ?4)) ORDER BY path",
    )?;
    let rows = statement.query_map(params![library_id, path.as_bytes(), from, until], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The directories that a path lies in, as far as they are known, the root first; the path itself too, if it is one.
///
/// # Errors
/// SQLite's.
pub fn lineage(conn: &Connection, library_id: i64, path: &RelPath) -> Result<Vec<KnownDir>> {
    let mut lineage = Vec::new();
    let mut at_path = Some(path.clone());
    while let Some(path) = at_path {
        lineage.extend(at(conn, library_id, &path)?);
        at_path = path.split().map(|(dir, _)| dir);
    }
    lineage.reverse();
    Ok(lineage)
}

/// Directories that cannot be listed now, with the time since when, in path order.
///
/// # Errors
/// SQLite's.
pub fn frozen(conn: &Connection, library_id: i64) -> Result<Vec<(RelPath, i64)>> {
    let mut statement = conn.prepare_cached(
        "SELECT path, frozen_since FROM dirs WHERE library_id = ?1 AND state = 'frozen' ORDER BY path",
    )?;
    let rows = statement.query_map([library_id], |row| {
        Ok((RelPath::from_bytes(row.get::<_, Vec<u8>>(0)?), row.get::<_, Option<i64>>(1)?.unwrap_or(0)))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
