//! Reads a file and proves that it held still meanwhile (D9).
//!
//! Stat, read, stat, all on one descriptor: a file that is replaced, grows or changes under the reader is read again, and
//! after some tries is a problem, never a wrong hash. Nothing is memory-mapped: a disk that is pulled while a mapped page
//! is touched kills the process with SIGBUS, where a read just fails.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

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

/// How a file is opened for reading: no link followed in its last name, no waiting for a FIFO's writer.
pub const READ: OFlags =
    OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// How a directory is opened to be listed, or to open what is in it.
pub const LIST: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A path longer than this is opened in steps. An operating system takes 4,096 bytes at once (Linux) or 1,024 (macOS);
/// a disk holds directories as deep as somebody made them.
const STEP_BYTES: usize = 1000;

/// Opens an absolute path of any length.
///
/// # Errors
/// The operating system's.
pub fn open(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let mut rest = path.as_os_str().as_bytes();
    let mut dir: Option<OwnedFd> = None;
    while rest.len() > STEP_BYTES {
        // No name is longer than 255 bytes, so there is a slash; where there is none all the same, the system shall say so.
        let Some(at) = rest[..STEP_BYTES].iter().rposition(|&byte| byte == b'/').filter(|&at| at > 0) else {
            break;
        };
        let step = Path::new(OsStr::from_bytes(&rest[..at]));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        dir = Some(open_from(dir.as_ref(), step, flags)?);
        rest = &rest[at + 1..];
    }
    Ok(open_from(dir.as_ref(), Path::new(OsStr::from_bytes(rest)), flags)?)
}

fn open_from(dir: Option<&OwnedFd>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match dir {
        Some(dir) => rustix::fs::openat(dir, path, flags, Mode::empty()),
        None => rustix::fs::open(path, flags, Mode::empty()),
    }
}

/// Opens a regular file for reading.
///
/// # Errors
/// [`ContentError::NotRegular`] for anything else.
pub fn open_regular(path: &Path) -> Result<(File, Stat), ContentError> {
    regular(open(path, READ))
}

/// As [`open_regular`], relative to an open directory.
///
/// # Errors
/// As for [`open_regular`].
pub fn open_regular_in(dir: impl AsFd, name: &Path) -> Result<(File, Stat), ContentError> {
    regular(rustix::fs::openat(dir, name, READ, Mode::empty()).map_err(io::Error::from))
}

fn regular(opened: io::Result<OwnedFd>) -> Result<(File, Stat), ContentError> {
    let fd = opened.map_err(|error| match Errno::from_io_error(&error) {
        // A link where a file was.
        Some(Errno::LOOP) => ContentError::NotRegular,
        Some(Errno::XDEV) => ContentError::Elsewhere,
        _ => ContentError::Io(error),
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

/// Reads and hashes the file that `open` opens, with [`READ`]; it is asked again for every try, and answers `EXDEV` for what
/// is not on the disk that is meant: a name leads to whatever is mounted there at the moment. `read_bytes` is told how many
/// bytes came in, as they come, and answers whether to go on.
///
/// # Errors
/// See [`ContentError`].
pub fn prove(
    open: &dyn Fn() -> io::Result<OwnedFd>,
    buffer: &mut [u8],
    read_bytes: &dyn Fn(u64) -> bool,
) -> Result<Proved, ContentError> {
    for _ in 0..TRIES {
        let (mut file, before) = regular(open())?;
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

    fn at(path: &Path) -> impl Fn() -> io::Result<OwnedFd> {
        move || open(path, READ)
    }

    fn buffer() -> Vec<u8> {
        vec![0; 1024]
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, vec![7; 5000]).unwrap();
        let proved = prove(&at(&path), &mut buffer(), &|_| true).unwrap();
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
        let proved = prove(&at(&path), &mut buffer(), &|_| {
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
        let result = prove(&at(&path), &mut buffer(), &|_| {
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
        let elsewhere = || Err(Errno::XDEV.into());
        let result = prove(&elsewhere, &mut buffer(), &|_| unreachable!("not a byte is read"));
        assert!(matches!(result, Err(ContentError::Elsewhere)), "{result:?}");
    }

    #[test]
    fn a_path_longer_than_the_system_takes_is_opened_in_steps() {
        let top = tempfile::tempdir().unwrap();
        let mut dir = open(top.path(), LIST).unwrap();
        let mut path = top.path().to_owned();
        // Odd lengths, so that the steps end in all places of a name.
        for depth in 0..60 {
            let name = "d".repeat(90 + depth);
            rustix::fs::mkdirat(&dir, &name, Mode::RWXU).unwrap();
            dir = rustix::fs::openat(&dir, &name, LIST, Mode::empty()).unwrap();
            path.push(name);
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&dir, "leaf", flags, Mode::RUSR | Mode::WUSR).unwrap();
        File::from(file).write_all(b"deep").unwrap();
        path.push("leaf");
        assert!(path.as_os_str().len() > 4096);
        let proved = prove(&at(&path), &mut buffer(), &|_| true).unwrap();
        assert_eq!(proved.hash, *blake3::hash(b"deep").as_bytes());
        path.set_file_name("nothing");
        assert_eq!(open(&path, READ).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_and_fifos_are_never_opened_for_reading() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("f"), dir.path().join("l"));
        std::fs::write(&file, b"x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(prove(&at(&link), &mut buffer(), &|_| true), Err(ContentError::NotRegular)));
        let fifo = dir.path().join("p");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        assert!(matches!(prove(&at(&fifo), &mut buffer(), &|_| true), Err(ContentError::NotRegular)));
    }
}
