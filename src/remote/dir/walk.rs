//! Listing a `dir:` store, in the order of its keys.
//!
//! One directory's names are in memory for each level, not the whole store. A directory that cannot be read ends the
//! list with an error: a list that leaves something out would make the caller send it again, or report it lost.

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::root::{self, OpenRoot};
use crate::remote::{Listed, ObjectKey, StoreError};

/// What is still to be looked at, the next one last.
#[derive(Debug)]
pub(super) struct Walk {
    root: OpenRoot,
    prefix: String,
    /// Paths from the root on; a directory's ends with a slash.
    pending: Vec<String>,
}

impl Walk {
    /// Begins at the root.
    pub(super) fn begin(root: OpenRoot, prefix: &str) -> Self {
        Walk { root, prefix: prefix.to_owned(), pending: vec![String::new()] }
    }

    fn open(&mut self, directory: &str) -> Result<(), Errno> {
        let Some(fd) = root::find_directory(&self.root, directory)? else {
            return Ok(()); // gone since its name was read
        };
        let first_new = self.pending.len();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.starts_with('.') {
                continue; // the store's own, and litter
            }
            let file_type = match entry.file_type() {
                FileType::Unknown => match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error),
                },
                known => known,
            };
            let path = match file_type {
                FileType::Directory => format!("{directory}{name}/"),
                FileType::RegularFile => format!("{directory}{name}"),
                _ => continue,
            };
            if path.starts_with(&self.prefix) || (path.ends_with('/') && self.prefix.starts_with(&path)) {
                self.pending.push(path);
            }
        }
        // With its slash a directory sorts as the keys below it do.
        self.pending[first_new..].sort_unstable_by(|a, b| b.cmp(a));
        Ok(())
    }

    fn look(&self, path: &str) -> Result<Option<Listed>, Errno> {
        let Ok(key) = path.parse::<ObjectKey>() else {
            tracing::debug!(store = self.root.store(), path, "a file in the store that is no object");
            return Ok(None);
        };
        let (directory, name) = key.split();
        let Some(fd) = root::find_directory(&self.root, directory)? else { return Ok(None) };
        match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Listed { key, bytes: u64::try_from(stat.st_size).unwrap_or(0) })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Iterator for Walk {
    type Item = Result<Listed, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(path) = self.pending.pop() {
            let looked = if path.is_empty() || path.ends_with('/') {
                self.open(&path).map(|()| None)
            } else {
                self.look(&path)
            };
            match looked {
                Ok(Some(listed)) => return Some(Ok(listed)),
                Ok(None) => {}
                Err(error) => {
                    self.pending.clear();
                    return Some(Err(self.root.error(error, || format!("list {path:?}"))));
                }
            }
        }
        None
    }
}
