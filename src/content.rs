//! Reads a file and proves that it held still meanwhile (D9).
//!
//! Stat, read, stat, all on one descriptor: a file that is replaced, grows or changes under the reader is read again, and
//! after some tries is a problem, never a wrong hash. Nothing is memory-mapped: a disk that is pulled while a mapped page
//! is touched kills the process with SIGBUS, where a read just fails.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::model::{FileKind, Stat};

/// How often a file that changes while it is read is read again.
const TRIES: u32 = 3;

/// Read buffer: large enough that a spinning disk is not asked for crumbs, small enough for the processor's cache.
pub const BUFFER_BYTES: usize = 256 * 1024;

/// Why a file's content could not be proved.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The operating system says so.
    #[error("it could not be read")]
    Io(#[from] io::Error),
    /// It is not (any more) a regular file.
    #[error("it is not a regular file")]
    NotRegular,
    /// What is at its path is on another file system than it was.
    #[error("another file system is mounted over it")]
    Elsewhere,
    /// It changed during every one of several tries.
    #[error("it changed while it was read, {TRIES} times in a row")]
    Unstable,
    /// The user stopped the run.
    #[error("the run was stopped")]
    Cancelled,
}

/// A content that was proved: these bytes, with this stat before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proved {
    /// The descriptor's stat.
    pub stat: Stat,
    /// BLAKE3 of the bytes.
    pub hash: [u8; 32],
}

/// The catalogue's kind of stat out of the operating system's; `None` for what is neither regular file nor link.
#[must_use]
pub fn stat_from(stat: &rustix::fs::Stat) -> Option<Stat> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Symlink => FileKind::Symlink,
        _ => return None,
    };
    Some(Stat {
        kind,
        size: stat.st_size.cast_unsigned(),
        mtime_ns: Stat::stamp(stat.st_mtime, stat.st_mtime_nsec as i64),
        ctime_ns: Stat::stamp(stat.st_ctime, stat.st_ctime_nsec as i64),
        inode: stat.st_ino,
    })
}

/// Opens a regular file for reading: no link followed in its last name, no waiting for a FIFO's writer.
///
/// # Errors
/// [`ContentError::NotRegular`] for anything else.
pub fn open_regular(path: &Path) -> Result<(File, Stat), ContentError> {
    open_regular_in(CWD, path)
}

/// As [`open_regular`], relative to an open directory.
///
/// # Errors
/// As for [`open_regular`].
pub fn open_regular_in(dir: impl AsFd, path: &Path) -> Result<(File, Stat), ContentError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, path, flags, Mode::empty()).map_err(|error| {
        // A link where a file was: ELOOP.
        if error == rustix::io::Errno::LOOP {
            ContentError::NotRegular
        } else {
            ContentError::Io(error.into())
        }
    })?;
    let stat = fstat(&fd)?;
    Ok((File::from(fd), stat))
}

fn fstat(fd: impl AsFd) -> Result<Stat, ContentError> {
    let stat = rustix::fs::fstat(fd).map_err(io::Error::from)?;
    match stat_from(&stat) {
        Some(stat) if stat.kind == FileKind::Regular => Ok(stat),
        _ => Err(ContentError::NotRegular),
    }
}

/// Reads and hashes the file at `path`. `is_meant` says of the open file whether it is on the disk that is meant: a path
/// leads to whatever is mounted there at the moment. `read_bytes` is told how many bytes came in, as they come, and answers
/// whether to go on.
///
/// # Errors
/// See [`ContentError`].
pub fn prove(
    path: &Path,
    is_meant: &dyn Fn(BorrowedFd<'_>) -> io::Result<bool>,
    buffer: &mut [u8],
    read_bytes: &dyn Fn(u64) -> bool,
) -> Result<Proved, ContentError> {
    for _ in 0..TRIES {
        let (mut file, before) = open_regular(path)?;
        if !is_meant(file.as_fd())? {
            return Err(ContentError::Elsewhere);
        }
        let mut hasher = blake3::Hasher::new();
        let mut length = 0_u64;
        // Up to the size that was promised: the second stat says whether there is more, so the read that would only
        // find the end is saved, which counts with small files.
        while length < before.size {
            let n = match file.read(buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            hasher.update(&buffer[..n]);
            length += n as u64;
            if !read_bytes(n as u64) {
                return Err(ContentError::Cancelled);
            }
        }
        let after = fstat(&file)?;
        if before == after && length == after.size {
            return Ok(Proved { stat: after, hash: *hasher.finalize().as_bytes() });
        }
    }
    Err(ContentError::Unstable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::Write;

    const HERE: &dyn Fn(BorrowedFd<'_>) -> io::Result<bool> = &|_| Ok(true);

    fn buffer() -> Vec<u8> {
        vec![0; 1024]
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let proved = prove(&path, HERE, &mut buffer(), &|_| true).unwrap();
        assert_eq!(proved.hash, *blake3::hash(&[7; 5000]).as_bytes());
        assert_eq!(proved.stat.size, 5000);
    }

    // D9
    #[test]
    fn a_file_that_grows_while_it_is_read_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let grown = Cell::new(false);
        let proved = prove(&path, HERE, &mut buffer(), &|_| {
            if !grown.replace(true) {
                std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"more").unwrap();
            }
            true
        })
        .unwrap();
        assert_eq!(proved.stat.size, 5004);
    }

    // D9
    #[test]
    fn a_file_that_never_holds_still_has_no_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"x").unwrap();
        let result = prove(&path, HERE, &mut buffer(), &|_| {
            std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"y").unwrap();
            // Endless growth would never let the reader end: cut it back under its feet.
            std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1).unwrap();
            true
        });
        assert!(matches!(result, Err(ContentError::Unstable)), "{result:?}");
    }

    // D2
    #[test]
    fn a_file_of_another_disk_has_no_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, b"x").unwrap();
        let result = prove(&path, &|_| Ok(false), &mut buffer(), &|_| unreachable!("not a byte is read"));
        assert!(matches!(result, Err(ContentError::Elsewhere)), "{result:?}");
    }

    #[test]
    fn links_and_fifos_are_never_opened_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        std::fs::write(&file, b"x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(prove(&link, HERE, &mut buffer(), &|_| true), Err(ContentError::NotRegular)));
        let fifo = dir.path().join("p");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(matches!(prove(&fifo, HERE, &mut buffer(), &|_| true), Err(ContentError::NotRegular)));
    }
}
