//! Giving a finished file its name, and making that durable.
//!
//! POSIX `rename` replaces what is there; a store must not. A hard link does not replace, and every real file system
//! of Linux and macOS has one; FAT, exFAT and many shares have none. There `renameat2(NOREPLACE)` does the same, and
//! where that is missing too, a look before the rename has to do: two writers of one key at the same moment could
//! then replace each other's file, by one with the same bytes, since keys name contents.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, RenameFlags};
use rustix::io::Errno;

/// How publishing went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// The name is this file's.
    Created,
    /// The name was taken, and is still the other's.
    AlreadyThere,
}

/// The ways to give a file a name without replacing another, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Link,
    RenameNoReplace,
    LookThenRename,
}

/// Gives `from/temporary` the name `into/name`, unless it is taken. The old name may stay as a second one.
pub(super) fn publish(
    from: BorrowedFd<'_>,
    temporary: &str,
    into: BorrowedFd<'_>,
    name: &str,
) -> Result<Published, Errno> {
    for way in [Way::Link, Way::RenameNoReplace] {
        if let Some(published) = publish_by(way, from, temporary, into, name)? {
            return Ok(published);
        }
    }
    publish_by(Way::LookThenRename, from, temporary, into, name)
        .map(|published| published.expect("looking and renaming is always supported"))
}

/// One way; `None` where the file system does not have it.
fn publish_by(
    way: Way,
    from: BorrowedFd<'_>,
    temporary: &str,
    into: BorrowedFd<'_>,
    name: &str,
) -> Result<Option<Published>, Errno> {
    let done = match way {
        Way::Link => rustix::fs::linkat(from, temporary, into, name, AtFlags::empty()),
        Way::RenameNoReplace => {
            rustix::fs::renameat_with(from, temporary, into, name, RenameFlags::NOREPLACE)
        }
        Way::LookThenRename => match rustix::fs::statat(into, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Err(Errno::EXIST),
            Err(Errno::NOENT) => rustix::fs::renameat(from, temporary, into, name),
            Err(error) => Err(error),
        },
    };
    match done {
        Ok(()) => Ok(Some(Published::Created)),
        Err(Errno::EXIST) => Ok(Some(Published::AlreadyThere)),
        Err(error) if is_unsupported(way, error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether an error says that the file system has no such call, rather than that the call failed.
fn is_unsupported(way: Way, error: Errno) -> bool {
    match way {
        // Linux says PERM for a file system without links; FUSE and SMB say what they please.
        Way::Link => {
            [Errno::PERM, Errno::ACCESS, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS, Errno::MLINK]
                .contains(&error)
        }
        Way::RenameNoReplace => {
            [Errno::INVAL, Errno::OPNOTSUPP, Errno::NOTSUP, Errno::NOSYS].contains(&error)
        }
        Way::LookThenRename => false,
    }
}

/// Makes a directory; whether this call made it.
pub(super) fn make_directory(at: impl AsFd, name: &str) -> Result<bool, Errno> {
    match rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes a file's bytes durable, through the disk's own cache where the system offers that.
pub(super) fn sync_file(file: &File) -> Result<(), Errno> {
    match file.sync_all() {
        Ok(()) => Ok(()),
        Err(error) => match from_io(&error) {
            // macOS, where `sync_all` is F_FULLFSYNC: some file systems and shares only have the plain call.
            error if is_no_sync(error) => rustix::io::retry_on_intr(|| rustix::fs::fsync(file)),
            error => Err(error),
        },
    }
}

/// Makes a directory's entries durable. Where the file system cannot do that for a directory (some shares and FUSE),
/// there is nothing more to be had, and the file's own fsync has to do.
pub(super) fn sync_directory(directory: impl AsFd) -> Result<(), Errno> {
    let directory = directory.as_fd().try_clone_to_owned().map_err(|error| from_io(&error))?;
    match sync_file(&File::from(directory)) {
        Err(error) if is_no_sync(error) => Ok(()),
        synced => synced,
    }
}

/// The number of an error of the standard library.
pub(super) fn from_io(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn is_no_sync(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::NOTTY, Errno::BADF].contains(&error)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn publish_into(way: Way, dir: &Path, content: &str) -> Option<Published> {
        std::fs::write(dir.join("temporary"), content).unwrap();
        let fd = File::open(dir).unwrap();
        let published = publish_by(way, fd.as_fd(), "temporary", fd.as_fd(), "object").unwrap();
        let _ = std::fs::remove_file(dir.join("temporary"));
        published
    }

    #[test]
    fn no_way_of_publishing_replaces_a_file() {
        // T2
        for way in [Way::Link, Way::RenameNoReplace, Way::LookThenRename] {
            let dir = tempfile::tempdir().unwrap();
            assert_eq!(publish_into(way, dir.path(), "first"), Some(Published::Created), "{way:?}");
            assert_eq!(publish_into(way, dir.path(), "second"), Some(Published::AlreadyThere), "{way:?}");
            assert_eq!(std::fs::read_to_string(dir.path().join("object")).unwrap(), "first", "{way:?}");
        }
    }

    #[test]
    fn only_a_missing_call_leads_to_the_next_way() {
        assert!(is_unsupported(Way::Link, Errno::PERM));
        assert!(is_unsupported(Way::RenameNoReplace, Errno::INVAL));
        for way in [Way::Link, Way::RenameNoReplace, Way::LookThenRename] {
            for error in [Errno::NOSPC, Errno::IO, Errno::ROFS, Errno::NOENT, Errno::STALE] {
                assert!(!is_unsupported(way, error), "{way:?} {error:?}");
            }
        }
        assert!(!is_unsupported(Way::LookThenRename, Errno::PERM));
    }

    #[test]
    fn an_fsync_that_fails_is_not_one_that_is_missing() {
        assert!(!is_no_sync(Errno::IO));
        assert!(!is_no_sync(Errno::NOSPC));
        assert!(is_no_sync(Errno::INVAL));
    }
}
