//! The directory that files are fetched into: held open, and never left.
//!
//! Names come out of a catalogue, and a catalogue may hold anything. So nothing is ever opened by a path: each name is one
//! component in a directory that is open, no link is followed below the one that was given, and a file gets its name only
//! where nobody has it. Every directory that is written to was proved to lie in no library and in no store (D8).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::leftovers;
use crate::content::{self, BUFFER_BYTES};
use crate::library::outside::{self, Forbidden, OutsideError};
use crate::model::RelPath;
use crate::model::path::display_name;
use crate::remote::Expect;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

/// Made durable at once: a slow stick takes less for that than anybody waits for one answer.
const SYNC_BYTES: u64 = 32 << 20;

/// Why nothing can be fetched to a place.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be used, or lies in a library or a store (D8).
    #[error(transparent)]
    Outside(#[from] OutsideError),
    /// A link or a file is where a directory is needed.
    #[error("{} is in the way: a directory is needed there, and no link is followed", display(.0))]
    InTheWay(PathBuf),
    /// Something else is there already. It is left alone.
    #[error("{} is there already and is {what}", display(path))]
    Occupied {
        /// Where.
        path: PathBuf,
        /// `another file`, `a link`, ...
        what: &'static str,
    },
    /// No name of a file.
    #[error("{} cannot be the name of a file here: it could lead elsewhere", display_name(.0.as_bytes()))]
    Name(OsString),
    /// The file system there does not take the name.
    #[error("the file system of {} cannot hold the name {}", display(dir), display_name(name.as_bytes()))]
    Unnameable {
        /// In which directory.
        dir: PathBuf,
        /// Which name.
        name: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// No room.
    #[error("the disk of {} is full: {}", display(dir), missing(*needed, *free))]
    Full {
        /// In which directory.
        dir: PathBuf,
        /// For the file, in bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// The file system there holds no file that large.
    #[error("the file system of {} cannot hold a file of {bytes} bytes", display(dir))]
    TooLarge {
        /// In which directory.
        dir: PathBuf,
        /// How large it is.
        bytes: u64,
    },
    /// Anything else.
    #[error("{} cannot be written to", display(dir))]
    Io {
        /// Which directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn display(path: &Path) -> String {
    display_name(path.as_os_str().as_bytes())
}

fn missing(needed: u64, free: u64) -> String {
    match needed.checked_sub(free) {
        Some(missing) if missing > 0 => {
            format!("{needed} bytes are needed and {free} are free, {missing} are missing")
        }
        _ => format!("it takes no more files, or not {needed} bytes more of this user"),
    }
}

/// An open directory that may be written to.
#[derive(Debug)]
pub(super) struct Target {
    fd: OwnedFd,
    /// Free of links.
    path: PathBuf,
    forbidden: Forbidden,
    /// Directories that leftovers were looked for in, of all that were opened from one.
    swept: Arc<Mutex<HashSet<PathBuf>>>,
}

/// How a file came to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    /// Now.
    Written,
    /// It was there, byte for byte.
    WasThere,
}

/// Why a file did not come to its place.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The source's trouble.
    Source(io::Error),
    /// The source had something else.
    Differs,
    /// The target's trouble.
    Target(TargetError),
    /// Nobody wants it any more.
    Cancelled,
}

impl From<TargetError> for Stopped {
    fn from(error: TargetError) -> Self {
        Stopped::Target(error)
    }
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) expect: Expect,
    /// Modification time, in nanoseconds; without it the time of writing stays.
    pub(super) mtime_ns: Option<i64>,
}

impl Target {
    /// Opens a directory by a person's path, through links, and proves that it may be written to. May hang.
    pub(super) fn open(path: &Path, forbidden: Forbidden) -> Result<Self, TargetError> {
        let (fd, path) = outside::open(path, &forbidden)?;
        Ok(Target { fd, path, forbidden, swept: Arc::default() })
    }

    /// The directory of a relative path below this one; `None` where it is not there and is not to be made.
    pub(super) fn below(&self, dir: &RelPath, make: bool) -> Result<Option<Target>, TargetError> {
        let mut at = self.duplicate()?;
        for name in dir.as_bytes().split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            let name = checked(OsStr::from_bytes(name))?;
            match at.enter(name, make)? {
                Some(below) => at = below,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    fn enter(&self, name: &OsStr, make: bool) -> Result<Option<Target>, TargetError> {
        let path = self.path.join(name);
        // Before it is made: a library's root that is gone from its place shall not be made by us (D8).
        self.forbidden.refuse(&path)?;
        if make {
            match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(self.error(error, name, 0)),
            }
        }
        let fd = match rustix::fs::openat(&self.fd, name, content::LIST, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP | Errno::NOTDIR | Errno::MLINK) => return Err(TargetError::InTheWay(path)),
            Err(error) => return Err(self.error(error, name, 0)),
        };
        outside::refuse_marked(&fd, &path)?;
        Ok(Some(Target { fd, path, forbidden: self.forbidden.clone(), swept: Arc::clone(&self.swept) }))
    }

    fn duplicate(&self) -> Result<Target, TargetError> {
        let fd = self.fd.try_clone().map_err(|source| TargetError::Io { dir: self.path.clone(), source })?;
        Ok(Target {
            fd,
            path: self.path.clone(),
            forbidden: self.forbidden.clone(),
            swept: Arc::clone(&self.swept),
        })
    }

    /// The path of a name in it, for people.
    pub(super) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Whether this very content is at a name; an error where something else is. `alive` is called as it is read.
    pub(super) fn holds(
        &self,
        name: &OsStr,
        expect: &Expect,
        alive: &dyn Fn() -> bool,
    ) -> Result<bool, Stopped> {
        let name = checked(name)?;
        let occupied = |what| TargetError::Occupied { path: self.path_of(name), what };
        let stat = match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(false),
            Err(error) => return Err(self.error(error, name, 0).into()),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_size.cast_unsigned() != expect.bytes => {
                return Err(occupied("another file").into());
            }
            FileType::RegularFile => {}
            FileType::Directory => return Err(occupied("a directory").into()),
            FileType::Symlink => return Err(occupied("a link").into()),
            _ => return Err(occupied("no file").into()),
        }
        let unread = |source| Stopped::Target(TargetError::Io { dir: self.path.clone(), source });
        let file = rustix::fs::openat(&self.fd, name, content::READ, Mode::empty());
        let mut file = File::from(file.map_err(|error| unread(error.into()))?);
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => _ = hasher.update(&buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unread(error)),
            }
            if !alive() {
                return Err(Stopped::Cancelled);
            }
        }
        if hasher.finalize() == expect.hash { Ok(true) } else { Err(occupied("another file").into()) }
    }

    /// Writes a file that is there at once and whole, or not at all. `alive` is called whenever a disk has answered, and says
    /// whether to go on.
    pub(super) fn write(
        &self,
        name: &OsStr,
        wanted: &Wanted,
        content: &mut dyn Read,
        alive: &dyn Fn() -> bool,
    ) -> Result<Arrived, Stopped> {
        let name = checked(name)?;
        let bytes = wanted.expect.bytes;
        let free = self.free();
        if free < bytes {
            return Err(TargetError::Full { dir: self.path.clone(), needed: bytes, free }.into());
        }
        let mut temporary = self.temporary().map_err(|error| self.error(error, name, bytes))?;
        let written = temporary.fill(wanted, content, alive);
        if let Err(Unfilled::Target(error)) = written {
            // What it takes itself is free again before it is told how much is missing.
            drop(temporary);
            return Err(self.error(error, name, bytes).into());
        }
        written.map_err(|unfilled| match unfilled {
            Unfilled::Source(error) => Stopped::Source(error),
            Unfilled::Differs => Stopped::Differs,
            Unfilled::Cancelled => Stopped::Cancelled,
            Unfilled::Target(_) => unreachable!("returned above"),
        })?;
        let named = temporary.publish(name).map_err(|error| self.error(error, name, bytes))?;
        drop(temporary);
        if !named {
            // Somebody was faster.
            self.holds(name, &wanted.expect, alive)?;
            return Ok(Arrived::WasThere);
        }
        sync_directory(&self.fd).map_err(|error| self.error(error, name, bytes))?;
        Ok(Arrived::Written)
    }

    fn temporary(&self) -> Result<Temporary<'_>, Errno> {
        if let Some(file) = leftovers::nameless(&self.fd)? {
            return Ok(Temporary { dir: &self.fd, name: None, file });
        }
        // A directory of thousands of files is not listed for each.
        if self.swept.lock().is_ok_and(|mut swept| swept.insert(self.path.clone())) {
            leftovers::sweep(&self.fd);
        }
        Temporary::create_named(&self.fd)
    }

    fn free(&self) -> u64 {
        rustix::fs::fstatvfs(&self.fd).map_or(u64::MAX, |facts| facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    /// What an error of a call about a name in this directory means.
    fn error(&self, error: Errno, name: &OsStr, bytes: u64) -> TargetError {
        let dir = self.path.clone();
        match error {
            Errno::NOSPC | Errno::DQUOT => TargetError::Full { dir, needed: bytes, free: self.free() },
            Errno::FBIG => TargetError::TooLarge { dir, bytes },
            Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG => {
                TargetError::Unnameable { dir, name: name.to_owned(), source: error.into() }
            }
            error => TargetError::Io { dir, source: error.into() },
        }
    }
}

/// A name that stays in its directory.
fn checked(name: &OsStr) -> Result<&OsStr, TargetError> {
    let bytes = name.as_bytes();
    let leads_away = matches!(bytes, b"" | b"." | b"..") || bytes.contains(&b'/') || bytes.contains(&0);
    if leads_away { Err(TargetError::Name(name.to_owned())) } else { Ok(name) }
}

/// What is being written: without a name where the system can do that, so that nothing is left behind whatever happens; else
/// under one that nobody else gives, locked, and gone when it is dropped.
#[derive(Debug)]
struct Temporary<'a> {
    dir: &'a OwnedFd,
    name: Option<String>,
    file: File,
}

enum Unfilled {
    Source(io::Error),
    Differs,
    Target(Errno),
    Cancelled,
}

impl<'a> Temporary<'a> {
    fn create_named(dir: &'a OwnedFd) -> Result<Self, Errno> {
        let (name, file) = leftovers::named(dir)?;
        Ok(Temporary { dir, name: Some(name), file })
    }

    /// Writes the content, proves it, stamps it and makes it durable.
    fn fill(
        &mut self,
        wanted: &Wanted,
        content: &mut dyn Read,
        alive: &dyn Fn() -> bool,
    ) -> Result<(), Unfilled> {
        let Wanted { expect, mtime_ns } = wanted;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut found_bytes, mut unsynced) = (0_u64, 0_u64);
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Unfilled::Source(error)),
            };
            if !alive() {
                return Err(Unfilled::Cancelled);
            }
            found_bytes += read as u64;
            // A file that grows while it is read must not fill the disk first.
            if found_bytes > expect.bytes {
                return Err(Unfilled::Differs);
            }
            hasher.update(&buffer[..read]);
            self.file.write_all(&buffer[..read]).map_err(|error| Unfilled::Target(errno(&error)))?;
            unsynced += read as u64;
            if unsynced >= SYNC_BYTES {
                sync(&self.file).map_err(Unfilled::Target)?;
                unsynced = 0;
            }
            if !alive() {
                return Err(Unfilled::Cancelled);
            }
        }
        if found_bytes != expect.bytes || hasher.finalize() != expect.hash {
            return Err(Unfilled::Differs);
        }
        if let Some(mtime) = mtime_ns.map(timespec) {
            let omit = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
            // A file system that cannot keep this time has the file all the same.
            let _ =
                rustix::fs::futimens(&self.file, &Timestamps { last_access: omit, last_modification: mtime });
        }
        sync(&self.file).map_err(Unfilled::Target)
    }

    /// Gives it its name, unless that is taken; whether it was free.
    fn publish(&self, name: &OsStr) -> Result<bool, Errno> {
        let Some(own) = &self.name else {
            return match leftovers::link(&self.file, self.dir, name) {
                Ok(()) => Ok(true),
                Err(Errno::EXIST) => Ok(false),
                Err(error) => Err(error),
            };
        };
        let named = [Way::RenameNoReplace, Way::Link, Way::Claim]
            .into_iter()
            .find_map(|way| self.publish_by(way, own, name).transpose())
            .expect("the last way is always there");
        match named {
            // exFAT by FUSE says this of a name that it does not take. The directory at least is there.
            Err(Errno::NOENT) if self.is_there(own) => Err(Errno::INVAL),
            named => named,
        }
    }

    fn is_there(&self, own: &str) -> bool {
        rustix::fs::statat(self.dir, own, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// `None` where the file system does not have this way.
    fn publish_by(&self, way: Way, own: &str, name: &OsStr) -> Result<Option<bool>, Errno> {
        let done = match way {
            Way::RenameNoReplace => {
                rustix::fs::renameat_with(self.dir, own, self.dir, name, RenameFlags::NOREPLACE)
            }
            Way::Link => rustix::fs::linkat(self.dir, own, self.dir, name, AtFlags::empty()),
            Way::Claim => self.claim_and_rename(own, name),
        };
        match (way, done) {
            (_, Ok(())) => Ok(Some(true)),
            (_, Err(Errno::EXIST)) => Ok(Some(false)),
            // Also for a name that it does not take: the last way tells the two apart.
            (Way::RenameNoReplace, Err(error)) if error == Errno::INVAL || is_no_call(error) => Ok(None),
            // Linux says PERM for a file system without links; FUSE and SMB say what they please.
            (Way::Link, Err(Errno::PERM | Errno::ACCESS | Errno::INVAL | Errno::MLINK)) => Ok(None),
            (Way::Link, Err(error)) if is_no_call(error) => Ok(None),
            (_, Err(error)) => Err(error),
        }
    }

    /// Where a file system (FAT, exFAT, some shares) can neither rename without replacing nor link: an empty file takes the
    /// name, which replaces nothing, and is then replaced by the whole one.
    fn claim_and_rename(&self, own: &str, name: &OsStr) -> Result<(), Errno> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        drop(rustix::fs::openat(self.dir, name, flags, Mode::from_raw_mode(0o666))?);
        rustix::fs::renameat(self.dir, own, self.dir, name).inspect_err(|_| {
            let _ = rustix::fs::unlinkat(self.dir, name, AtFlags::empty());
        })
    }
}

/// The ways to give a file a name without replacing another, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    RenameNoReplace,
    Link,
    Claim,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        match rustix::fs::unlinkat(self.dir, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => tracing::debug!(name, %error, "an unfinished file stays"),
        }
    }
}

fn timespec(time_ns: i64) -> Timespec {
    Timespec { tv_sec: time_ns.div_euclid(1_000_000_000), tv_nsec: time_ns.rem_euclid(1_000_000_000) }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn sync(file: &File) -> Result<(), Errno> {
    match file.sync_all().map_err(|error| errno(&error)) {
        Err(error) if is_no_sync(error) => Ok(()),
        synced => synced,
    }
}

fn sync_directory(dir: &OwnedFd) -> Result<(), Errno> {
    sync(&File::from(dir.try_clone().map_err(|error| errno(&error))?))
}

/// The file system has no such call: some shares, and FUSE.
fn is_no_call(error: Errno) -> bool {
    // Two names of one number on Linux, not on macOS.
    [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&error)
}

fn is_no_sync(error: Errno) -> bool {
    is_no_call(error) || [Errno::INVAL, Errno::NOTTY, Errno::BADF].contains(&error)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists a directory whenever something is read of it.
    struct Looks<'a> {
        content: &'a [u8],
        dir: &'a Path,
        seen: Vec<OsString>,
    }

    impl Read for Looks<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let names = std::fs::read_dir(self.dir)?.map(|entry| entry.map(|entry| entry.file_name()));
            self.seen.extend(names.collect::<io::Result<Vec<_>>>()?);
            self.content.read(buffer)
        }
    }

    // S11: after kill -9, too
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_not_finished_has_no_name_where_the_file_system_can_do_that() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::open(folder.path(), Forbidden::default()).unwrap();
        assert!(leftovers::nameless(&target.fd).unwrap().is_some(), "tests run on a disk that can");
        let mut content = Looks { content: b"alpha", dir: folder.path(), seen: Vec::new() };
        let wanted = Wanted { expect: Expect::of(b"alpha"), mtime_ns: Some(1_000_000_000) };
        let name = OsStr::new("a.txt");
        assert_eq!(target.write(name, &wanted, &mut content, &|| true).unwrap(), Arrived::Written);
        assert_eq!(content.seen, [""; 0]);
        assert_eq!(std::fs::read(folder.path().join("a.txt")).unwrap(), b"alpha");
        // Somebody was faster.
        assert_eq!(target.write(name, &wanted, &mut &b"alpha"[..], &|| true).unwrap(), Arrived::WasThere);
        let other = Wanted { expect: Expect::of(b"other"), ..wanted };
        assert!(matches!(
            target.write(name, &other, &mut &b"other"[..], &|| true),
            Err(Stopped::Target(TargetError::Occupied { .. }))
        ));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    // S11: elsewhere it has one for a while
    #[test]
    fn a_named_one_takes_its_place_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::open(folder.path(), Forbidden::default()).unwrap();
        for (name, free) in [("a.txt", true), ("a.txt", false)] {
            let temporary = Temporary::create_named(&target.fd).unwrap();
            assert_eq!(temporary.publish(OsStr::new(name)).unwrap(), free);
        }
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.txt"]);
    }
}
