//! Looks for a library on the mounts there are, by its marker: a disk that was mounted under another name is found
//! without anybody typing a path.
//!
//! Looked at is one place a mount, where the library was on its own. Network mounts, kernel tables and mounts that
//! others cover are left alone; a link on somebody's disk is not followed; each look has its own deadline.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use ulid::Ulid;

use super::deadline::within;
use super::marker::{self, Marker};
use super::mounts::{self, Mount, mount_of};

/// A place that has the library's marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLibrary {
    /// The root there.
    pub root: PathBuf,
    /// The mount that carries it.
    pub mount: Mount,
    /// Its marker.
    pub marker: Marker,
}

/// What a search came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Every place with the library's marker; more than one when a copy of the disk is mounted as well.
    pub found: Vec<FoundLibrary>,
    /// Where a look did not come back in time: the library may be there all the same.
    pub unanswered: Vec<PathBuf>,
}

/// Looks for the library's marker at `rel_root` on every local mount of `table`, each within `deadline`.
///
/// `rel_root` is the root's path relative to its own mount point ([`super::Expected::rel_root`]).
#[must_use]
pub fn find_library(library_id: Ulid, table: &[Mount], rel_root: &Path, deadline: Duration) -> Search {
    let mut search = Search::default();
    let mut places = Vec::new();
    for (root, mount) in candidates(table, rel_root) {
        let looked_at = root.clone();
        match within(&root, deadline, move || look(&looked_at, library_id)) {
            // A bind mount shows the same directory a second time.
            Ok(Some((marker, place))) if !places.contains(&place) => {
                places.push(place);
                search.found.push(FoundLibrary { root, mount: mount.clone(), marker });
            }
            Ok(_) => {}
            Err(_) => search.unanswered.push(root),
        }
    }
    search
}

/// The places to look at, told from the table alone.
fn candidates<'table>(table: &'table [Mount], rel_root: &Path) -> Vec<(PathBuf, &'table Mount)> {
    if !rel_root.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Vec::new();
    }
    table
        .iter()
        .filter(|mount| !mount.is_network() && !mounts::is_pseudo(&mount.fs_type))
        .map(|mount| (mount.mount_point.join(rel_root).components().collect::<PathBuf>(), mount))
        // Not what is covered there by another mount, wholly or at that place.
        .filter(|(root, mount)| mount_of(table, root) == Some(*mount))
        .collect()
}

/// The library's marker, and numbers that tell the directory from others.
fn look(root: &Path, library_id: Ulid) -> Option<(Marker, (u64, u64))> {
    let dir = open_without_links(root)?;
    let marker =
        marker::read_in(&dir, root).ok().flatten().filter(|marker| marker.library_id == library_id)?;
    let metadata = dir.metadata().ok()?;
    Some((marker, (metadata.dev(), metadata.ino())))
}

/// The directory, name by name, so that no link leads the look off this disk.
fn open_without_links(path: &Path) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut dir = rustix::fs::open("/", flags, Mode::empty()).ok()?;
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => dir = rustix::fs::openat(&dir, name, flags, Mode::empty()).ok()?,
            _ => return None,
        }
    }
    Some(File::from(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u64, parent: u64, mount_point: &str, fs_type: &str) -> Mount {
        Mount {
            id,
            parent,
            mount_point: mount_point.into(),
            fs_type: fs_type.into(),
            source: "x".into(),
            subroot: "/".into(),
            read_only: false,
            device: id,
        }
    }

    fn roots(table: &[Mount], rel_root: &str) -> Vec<String> {
        let candidates = candidates(table, Path::new(rel_root));
        candidates.into_iter().map(|(root, _)| root.into_os_string().into_string().unwrap()).collect()
    }

    // L9
    #[test]
    fn only_local_mounts_that_can_be_seen_are_looked_at() {
        let table = [
            mount(1, 0, "/", "ext4"),
            mount(2, 1, "/proc", "proc"),
            mount(3, 1, "/net", "autofs"),
            mount(4, 1, "/nas", "nfs4"),
            mount(5, 1, "/remote", "fuse.sshfs"),
            mount(6, 1, "/media/a", "exfat"),
            mount(7, 6, "/media/a", "ntfs3"),
            mount(8, 1, "/media/b", "btrfs"),
            mount(9, 8, "/media/b/lib", "nfs"),
        ];
        assert_eq!(roots(&table, "lib"), ["/lib", "/media/a/lib"]);
        assert_eq!(roots(&table, ""), ["/", "/media/a", "/media/b"]);
        assert!(roots(&table, "../etc").is_empty());
        assert!(roots(&table, "/etc").is_empty());
    }
}
