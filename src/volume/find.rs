//! Looks for a library on the mounts there are, by its marker: a disk that was mounted under another name is found
//! without anybody typing a path.
//!
//! The same way `doubles` finds a copy of the disk that is mounted beside it.
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
use super::identity::{fs_id_text, uuid_of};
use super::marker::{self, Marker};
use super::mounts::{self, Mount, mount_of};
use super::platform;
use super::probe::Expected;

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

/// Where another disk is mounted that cannot be told from the one that carries the library: the same kind, the same ids,
/// the same directory on it, with a marker that knows as much (L9). A backup on another disk is none, and may stay mounted
/// beside the original: its ids are its own.
///
/// Disks are only touched where the mount table and `/dev` do not tell them apart already.
pub(super) fn doubles(expected: &Expected, carrier: Option<&Mount>, deadline: Duration) -> Vec<PathBuf> {
    let (Some(carrier), Some(rel_root)) = (carrier, expected.rel_root()) else { return Vec::new() };
    let can_be_copied = expected.marker && expected.identity.separate_mount && is_on_a_device(carrier);
    if !can_be_copied || !platform::LISTING_TOUCHES_NOTHING {
        return Vec::new();
    }
    let Ok(table) = platform::mount_table() else { return Vec::new() };
    let mut doubles = Vec::new();
    for (root, mount) in candidates(&table, rel_root) {
        if mount.device == carrier.device || !may_be_a_copy(expected, carrier, mount) {
            continue;
        }
        let (looked_at, mount_point, expected) = (root.clone(), mount.mount_point.clone(), expected.clone());
        if let Ok(true) = within(&root, deadline, move || is_a_double(&looked_at, &mount_point, &expected)) {
            doubles.push(root);
        }
    }
    doubles
}

fn is_on_a_device(mount: &Mount) -> bool {
    Path::new(&mount.source).starts_with("/dev")
}

/// As far as that can be told without touching it. Of two disks with one UUID udev links to one only, so that the other
/// has none to compare.
fn may_be_a_copy(expected: &Expected, carrier: &Mount, mount: &Mount) -> bool {
    // A snapshot that a backup program reads, beside a disk that is written: it has no life of its own.
    let is_snapshot = mount.read_only && !carrier.read_only;
    is_on_a_device(mount)
        && !is_snapshot
        && mounts::is_same_kind(&carrier.fs_type, &mount.fs_type)
        && match (&expected.identity.uuid, uuid_of(mount)) {
            (Some(ours), Some(theirs)) => *ours == theirs,
            _ => true,
        }
}

/// May hang, so it is only called under a deadline.
fn is_a_double(root: &Path, mount_point: &Path, expected: &Expected) -> bool {
    let identity = &expected.identity;
    let other_volume = || {
        let theirs = rustix::fs::statvfs(mount_point).ok().and_then(|statvfs| fs_id_text(statvfs.f_fsid));
        mounts::fs_id_names_the_volume(&identity.fs_type) && theirs != identity.fs_id
    };
    if other_volume() {
        return false;
    }
    let Some((marker, (_, inode))) = look(root, expected.library_id) else { return false };
    let other_directory = inode != identity.root_inode && !mounts::makes_up_inodes(&identity.fs_type);
    !other_directory
        && marker.generation == expected.marker_generation
        && !expected.last_scan.is_some_and(|known| marker.lags_behind(known))
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
