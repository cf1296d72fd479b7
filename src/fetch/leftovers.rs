//! The unfinished file of a fetch, and what is left of one whose process was killed.
//!
//! On Linux most file systems of its own can hold a file that has no name until it is whole (`O_TMPFILE`): nothing of it is
//! left, whatever happens. Elsewhere (FAT, exFAT, NTFS, shares) it has a name, and the next fetch into the directory takes away
//! what was left behind; only what is provably ours and in nobody's hands:
//! - the name is of our form, it is a regular file of this user with no other name;
//! - its writer holds a lock on it as long as it lives, and the lock is free. That proves something only where every lock
//!   goes through this very system: on disks of this computer. On a share, or a file system in user space, another computer
//!   may be writing it; there nothing is taken away.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use ulid::Ulid;

const PREFIX: &str = ".shelflist-fetch-";

/// As any program's new file: the umask decides who may read it.
const MODE: Mode = Mode::from_raw_mode(0o666);

/// A file without a name, that can be given one; `None` where the file system or this process cannot do that.
#[cfg(target_os = "linux")]
pub(super) fn nameless(dir: &OwnedFd) -> Result<Option<File>, Errno> {
    let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, ".", flags, MODE) {
        Ok(file) => File::from(file),
        // What is wrong with the disk is said by the next try, as is what is wrong with the call.
        Err(_) => return Ok(None),
    };
    // It is given its name by its number among the open files: without /proc it would stay without one.
    let there = rustix::fs::stat(by_number(&file)).map(|stat| (stat.st_dev, stat.st_ino));
    let here = rustix::fs::fstat(&file).map(|stat| (stat.st_dev, stat.st_ino))?;
    Ok((there == Ok(here)).then_some(file))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn nameless(_: &OwnedFd) -> Result<Option<File>, Errno> {
    Ok(None)
}

/// Gives such a file its name, if that is free.
pub(super) fn link(file: &File, dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    rustix::fs::linkat(rustix::fs::CWD, by_number(file), dir, name, AtFlags::SYMLINK_FOLLOW)
}

fn by_number(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// A file with a name of our form, locked.
pub(super) fn named(dir: &OwnedFd) -> Result<(String, File), Errno> {
    loop {
        let name = format!("{PREFIX}{}", Ulid::generate());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(dir, &name, flags, MODE)?);
        // A file system without locks has nothing taken away either.
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Between the two somebody may have taken it for a leftover.
        if locked != Err(Errno::WOULDBLOCK) && is_at(dir, &name, &file) {
            return Ok((name, file));
        }
    }
}

fn is_at(dir: &OwnedFd, name: &str, file: &File) -> bool {
    let there = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let here = rustix::fs::fstat(file);
    matches!((there, here), (Ok(there), Ok(here)) if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino))
}

/// Takes away what processes left in a directory that live no more. That it cannot be done is nobody's trouble.
#[cfg(target_os = "linux")]
pub(super) fn sweep(dir: &OwnedFd) {
    if !locks_are_told(dir) {
        return;
    }
    let Ok(entries) = rustix::fs::Dir::read_from(dir) else { return };
    for entry in entries.map_while(Result::ok) {
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.strip_prefix(PREFIX).is_some_and(|id| Ulid::from_string(id).is_ok()) && is_nobodys(dir, name)
        {
            let removed = rustix::fs::unlinkat(dir, name, AtFlags::empty());
            tracing::debug!(name, ?removed, "left behind by a fetch that was killed");
        }
    }
}

/// Whether locks that hold elsewhere could be free here is known of Linux only.
#[cfg(not(target_os = "linux"))]
pub(super) fn sweep(_: &OwnedFd) {}

#[cfg(target_os = "linux")]
fn is_nobodys(dir: &OwnedFd, name: &str) -> bool {
    use rustix::fs::FileType;

    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::openat(dir, name, flags, Mode::empty()).map(File::from) else { return false };
    let Ok(stat) = rustix::fs::fstat(&file) else { return false };
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_nlink == 1
        && stat.st_uid == rustix::process::geteuid().as_raw()
        && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        && is_at(dir, name, &file)
}

/// Whether a directory lies on a file system that only this computer's kernel writes to.
#[cfg(target_os = "linux")]
fn locks_are_told(dir: &OwnedFd) -> bool {
    // ext2 to ext4, XFS, Btrfs, F2FS, tmpfs, FAT, exFAT, NTFS (by the kernel), HFS+.
    const OURS: [u64; 9] = [
        0xef53,
        0x5846_5342,
        0x9123_683e,
        0xf2f5_2010,
        0x0102_1994,
        0x4d44,
        0x2011_bab0,
        0x7366_746e,
        0x482b,
    ];
    rustix::fs::fstatfs(dir).is_ok_and(|facts| OURS.contains(&(facts.f_type as u64 & 0xffff_ffff)))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::content;

    // S11: what is provably ours and in nobody's hands
    #[test]
    fn only_what_a_killed_fetch_left_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let ours = || format!("{PREFIX}{}", Ulid::generate());
        let dir = content::open(folder.path(), content::LIST).unwrap();
        assert!(locks_are_told(&dir), "tests run on a disk of this computer");
        let (alive, held) = named(&dir).unwrap();
        let (left, directory, link, twice) = (ours(), ours(), ours(), ours());
        let names = [".shelflist-fetch-", ".shelflist-fetch-notes.txt", "film.bin"];
        for name in names.iter().copied().chain([left.as_str(), twice.as_str()]) {
            std::fs::write(path(name), "x").unwrap();
        }
        std::fs::create_dir(path(&directory)).unwrap();
        std::os::unix::fs::symlink(path("film.bin"), path(&link)).unwrap();
        std::fs::hard_link(path(&twice), path("mine")).unwrap();
        sweep(&dir);
        assert!(!path(&left).exists(), "it was nobody's");
        for name in names.iter().copied().chain([&*alive, &*directory, &*link, &*twice, "mine"]) {
            assert!(path(name).symlink_metadata().is_ok(), "{name}");
        }
        drop(held);
        sweep(&dir);
        assert!(!path(&alive).exists(), "its writer is gone");
    }
}
