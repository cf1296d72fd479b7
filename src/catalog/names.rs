//! What `doctor names` asks: the names of a library, directory by directory.
//!
//! One directory at a time is held in memory, never a library; the keys of twins were made when a file was catalogued.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, params};

use super::Result;
use crate::model::RelPath;
use crate::model::name::{self, Keyed, NameTrouble};
use crate::model::path::{fold_key, nfc_key};

/// One thing that is the matter with a name, or with several that are twins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub trouble: NameTrouble,
    /// Where; of twins, the one that comes first.
    pub path: RelPath,
    /// The other twins.
    pub twins: Vec<RelPath>,
}

/// Looks at every name of a library that is there or could not be looked at, of files and of directories; gives each finding
/// to `found` as it is met, and returns how many names there are. What is missing or left out by a rule troubles nobody.
///
/// # Errors
/// SQLite's.
pub fn check(conn: &Connection, library_id: i64, root: &Path, found: &mut dyn FnMut(Finding)) -> Result<u64> {
    let mut names = 0;
    let mut dirs = conn.prepare_cached(
        "SELECT dir_id, path, parent_id, state IN ('listed', 'frozen') FROM dirs WHERE library_id = ?1 ORDER BY path",
    )?;
    let mut files = conn.prepare_cached(
        "SELECT name, coalesce(nfc_key, name), coalesce(fold_key, name) FROM files
         WHERE dir_id = ?1 AND presence IN ('present', 'unknown') ORDER BY name",
    )?;
    // A directory's name is the end of its path; the root's children have no slash before it.
    let mut subdirs = conn.prepare_cached(
        "SELECT CAST(substr(path, ?2) AS BLOB) FROM dirs WHERE parent_id = ?1 AND state IN ('listed', 'frozen') ORDER BY path",
    )?;
    let mut rows = dirs.query([library_id])?;
    // Below a directory that a rule leaves out the others keep their state; a directory comes before what is in it.
    let mut left_out = HashSet::new();
    while let Some(row) = rows.next()? {
        let (dir_id, parent_id): (i64, Option<i64>) = (row.get(0)?, row.get(2)?);
        if !row.get::<_, bool>(3)? || parent_id.is_some_and(|parent_id| left_out.contains(&parent_id)) {
            left_out.insert(dir_id);
            continue;
        }
        let dir = RelPath::from_bytes(row.get::<_, Vec<u8>>(1)?);
        let mut here: Vec<Keyed> = files
            .query_map([dir_id], |row| Ok(Keyed { name: row.get(0)?, nfc: row.get(1)?, fold: row.get(2)? }))?
            .collect::<rusqlite::Result<_>>()?;
        let from = if dir.is_root() { 1 } else { dir.as_bytes().len() + 2 };
        let below = subdirs.query_map(params![dir_id, i64::try_from(from).unwrap_or(i64::MAX)], |row| {
            row.get::<_, Vec<u8>>(0)
        })?;
        for name in below {
            let name = name?;
            here.push(Keyed { nfc: nfc_key(&name), fold: fold_key(&name), name });
        }
        // A file where a directory was, until somebody decides that the directory is gone: one name.
        here.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        here.dedup_by(|a, b| a.name == b.name);
        names += here.len() as u64;
        look(&dir, root, &here, found);
    }
    Ok(names)
}

fn look(dir: &RelPath, root: &Path, here: &[Keyed], found: &mut dyn FnMut(Finding)) {
    let bytes = |path: &RelPath| path.under(root).as_os_str().as_bytes().len();
    let dir_bytes = bytes(dir);
    for Keyed { name, .. } in here {
        let path = dir.join(name);
        let troubles = name::troubles(name).into_iter().chain(name::path_troubles(dir_bytes, bytes(&path)));
        for trouble in troubles {
            found(Finding { trouble, path: path.clone(), twins: Vec::new() });
        }
    }
    for (trouble, mut twins) in name::twins(here) {
        let first = twins.remove(0);
        let twins = twins.iter().map(|name| dir.join(name)).collect();
        found(Finding { trouble, path: dir.join(&first), twins });
    }
}
