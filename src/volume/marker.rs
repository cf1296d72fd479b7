//! The marker, `.shelflist/library.json` under a library's root: which library this is, wherever it is mounted.
//!
//! [`create`] and [`VerifiedRoot::rewrite_marker`](super::VerifiedRoot::rewrite_marker) are the only things in the whole
//! program that write under a root (D8). The first never makes the root and never replaces a marker that is there; the
//! second replaces the marker of the library that was verified, by itself with another generation or other last scans.
//! Both leave nothing behind when they fail.
//!
//! A marker names the last scan of each catalogue that uses the disk ([`Marker::last_scans`]), under a key that only that
//! catalogue knows. That is what tells a disk from an older copy of it, bit by bit the same: the copy does not know the
//! scans that came after it was made. A catalogue asks for its own entry only, so that a disk that goes from desk to desk,
//! each with a catalogue of its own, is nobody's copy.
//!
//! Reading follows no symbolic link below the root, opens nothing but a regular file and reads at most 64 KiB: what
//! lies there is whatever somebody else's disk holds. It keeps three cases apart that must never be taken for each
//! other: there is no marker, the marker cannot be read now, the marker makes no sense.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::power::point;

/// The directory under the root that holds the marker.
pub const MARKER_DIR: &str = ".shelflist";
/// The marker's name in [`MARKER_DIR`].
pub const MARKER_FILE: &str = "library.json";
/// The longest marker that is read, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;

/// Entries of [`Marker::last_scans`] that are kept: the newest. A disk that more catalogues than this use is rare, and
/// where the list is full a missing entry proves nothing.
pub const MAX_LAST_SCANS: usize = 16;

/// What a marker says. Fields that a later version adds are ignored on reading, and kept on rewriting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Which library this is: its only identity.
    pub library_id: Ulid,
    /// What it was called when the marker was made; for people.
    pub name: String,
    /// Counted up when a copy of the disk is told from its original.
    pub generation: u64,
    /// When the marker was made.
    pub created: Timestamp,
    /// The last complete scan of each catalogue, the newest first. Markers of the first version have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub last_scans: Vec<LastScan>,
}

/// The last complete scan of one catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastScan {
    /// A key that the catalogue made up for this library.
    pub catalog: Ulid,
    /// The scan. Later scans of one catalogue have greater ids, also when its clock was set back.
    pub scan: Ulid,
}

impl Marker {
    /// The scan that stands under a catalogue's key.
    #[must_use]
    pub fn last_scan_of(&self, catalog: Ulid) -> Option<Ulid> {
        self.last_scans.iter().find(|entry| entry.catalog == catalog).map(|entry| entry.scan)
    }

    /// Puts a catalogue's entry in front; beyond [`MAX_LAST_SCANS`] the oldest is forgotten.
    pub fn put_last_scan(&mut self, entry: LastScan) {
        self.last_scans.retain(|other| other.catalog != entry.catalog);
        self.last_scans.insert(0, entry);
        self.last_scans.truncate(MAX_LAST_SCANS);
    }

    /// Whether the marker does not know a scan that was certainly written into it: it is an older copy's.
    ///
    /// A later entry than the known one is none: the catalogue was restored from a backup, or the program was killed
    /// before it had noted what it had written.
    #[must_use]
    pub fn lags_behind(&self, known: LastScan) -> bool {
        match self.last_scan_of(known.catalog) {
            Some(scan) => scan < known.scan,
            None => self.last_scans.len() < MAX_LAST_SCANS,
        }
    }
}

/// What the file system made of a time that was set on the marker while it was being written: the only way to measure its
/// clock without writing anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StampsSeen {
    /// The modification time that came back for [`PROBE_STAMP_NS`], in nanoseconds.
    pub mtime_ns: i64,
    /// Whether the change time took no part in that, and stayed with the clock: then it means something.
    pub ctime_apart: bool,
}

/// An odd second with nine different digits, so that whatever is cut off of it shows.
pub const PROBE_STAMP_NS: i64 = 1_000_000_001_123_456_789;

/// Why a marker could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// The operating system says no, for now: says nothing about whether there is a marker.
    #[error("the marker {} cannot be read", path.display())]
    Unreadable {
        /// The marker, or the directory on the way to it.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Something is there, but it is no marker: a link, a directory, too long, not its JSON.
    #[error("the marker {} makes no sense: {why}", path.display())]
    NotUnderstood {
        /// What should be the marker.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A marker is there already. It was not touched.
    #[error("{} is there already", path.display())]
    AlreadyThere {
        /// The marker that is there.
        path: PathBuf,
    },
    /// The root is not there, or no directory. It is never made.
    #[error("{} cannot be opened as a directory", root.display())]
    NoRoot {
        /// The root.
        root: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The marker could not be written. Nothing of it was left behind.
    #[error("the marker {} cannot be written", path.display())]
    NotWritten {
        /// The marker.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

/// Where the marker of a library is.
#[must_use]
pub fn marker_path(root: &Path) -> PathBuf {
    root.join(MARKER_DIR).join(MARKER_FILE)
}

/// The marker under `root`; `None` where there certainly is none.
///
/// # Errors
/// [`MarkerError::NoRoot`], [`MarkerError::Unreadable`] and [`MarkerError::NotUnderstood`].
pub fn read(root: &Path) -> Result<Option<Marker>, MarkerError> {
    read_in(&open_root(root)?, root)
}

fn open_root(root: &Path) -> Result<File, MarkerError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match rustix::fs::open(root, flags, Mode::empty()) {
        Ok(dir) => Ok(File::from(dir)),
        Err(error) => Err(MarkerError::NoRoot { root: root.to_owned(), source: error.into() }),
    }
}

/// As [`read`], in a root that is already open, so that all that is said of it is said of the same directory.
pub(super) fn read_in(dir: &File, root: &Path) -> Result<Option<Marker>, MarkerError> {
    Ok(read_text_in(dir, root)?.map(|(_, marker)| marker))
}

fn read_text_in(dir: &File, root: &Path) -> Result<Option<(Vec<u8>, Marker)>, MarkerError> {
    let path = marker_path(root);
    let not_understood = |why: &str| MarkerError::NotUnderstood { path: path.clone(), why: why.to_owned() };
    let unreadable = |source: io::Error| MarkerError::Unreadable { path: path.clone(), source };

    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let marker_dir = match rustix::fs::openat(dir, MARKER_DIR, flags, Mode::empty()) {
        Ok(marker_dir) => marker_dir,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => return Err(not_understood("its directory is no directory")),
        Err(error) => return Err(unreadable(error.into())),
    };
    // Without NONBLOCK a FIFO of that name would make us wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(&marker_dir, MARKER_FILE, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(not_understood("it is a symbolic link")),
        Err(Errno::NXIO) => return Err(not_understood("it is no regular file")),
        Err(error) => return Err(unreadable(error.into())),
    };
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(not_understood("it is no regular file"));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(not_understood("it is longer than 64 KiB"));
    }
    match serde_json::from_slice(&text) {
        Ok(marker) => Ok(Some((text, marker))),
        Err(error) => Err(not_understood(&error.to_string())),
    }
}

/// Makes the marker under `root`, durably, unless one is there.
///
/// Of two that do this at once, one wins and the other is told [`MarkerError::AlreadyThere`]. The marker appears
/// whole or not at all. On failure nothing is left behind; a process that is killed in the middle may leave a
/// `.new` file in [`MARKER_DIR`], which nothing ever reads.
///
/// Returns what the file system made of the time that was tried on it, where it could be tried.
///
/// # Errors
/// [`MarkerError::NoRoot`], [`MarkerError::AlreadyThere`] and [`MarkerError::NotWritten`].
pub fn create(root: &Path, marker: &Marker) -> Result<Option<StampsSeen>, MarkerError> {
    let dir = open_root(root)?;
    let path = marker_path(root);
    let outcome = match make_marker_dir(&dir) {
        Ok((marker_dir, made_it)) => {
            let outcome = write_in(&marker_dir, marker).and_then(|stamps| {
                let synced = sync_directory(&marker_dir).and_then(|()| sync_directory(&dir));
                if synced.is_err() {
                    // Ours, and not durable: as if it had never been.
                    remove(&marker_dir, MARKER_FILE);
                }
                synced.map(|()| stamps)
            });
            if outcome.is_err() && made_it {
                // Fails, rightly, when somebody else's marker has come into it meanwhile.
                let _ = rustix::fs::unlinkat(&dir, MARKER_DIR, AtFlags::REMOVEDIR);
            }
            outcome
        }
        Err(error) => Err(error),
    };
    outcome.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => MarkerError::AlreadyThere { path },
        _ => MarkerError::NotWritten { path, source },
    })
}

/// The marker's directory, and whether it was made here.
fn make_marker_dir(dir: &File) -> io::Result<(File, bool)> {
    let made_it = match rustix::fs::mkdirat(dir, MARKER_DIR, Mode::from_raw_mode(0o777)) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(error) => return Err(error.into()),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir, MARKER_DIR, flags, Mode::empty()) {
        Ok(marker_dir) => Ok((File::from(marker_dir), made_it)),
        Err(error) => {
            if made_it {
                let _ = rustix::fs::unlinkat(dir, MARKER_DIR, AtFlags::REMOVEDIR);
            }
            Err(error.into())
        }
    }
}

fn write_in(marker_dir: &File, marker: &Marker) -> io::Result<Option<StampsSeen>> {
    // Only to spare the work and the message about a full disk: the rename below is what decides.
    match rustix::fs::statat(marker_dir, MARKER_FILE, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let mut text = serde_json::to_vec_pretty(marker)?;
    text.push(b'\n');
    let (temporary, file) = open_temporary(marker_dir, marker)?;
    let outcome =
        write_durably(file, &text).and_then(|stamps| publish(marker_dir, &temporary).map(|()| stamps));
    if outcome.is_err() {
        remove(marker_dir, &temporary);
    }
    outcome
}

/// Replaces the marker in an open root by itself, changed. Durable and whole or not at all; where it fails, the old marker
/// stands. Only that of the expected library is replaced.
///
/// Of two catalogues that do this at once, the second is told `WouldBlock` and leaves it: an entry that another one's
/// rewriting put back would make this disk look like an older copy of itself.
///
/// # Errors
/// As for reading and creating.
pub(super) fn rewrite_in(
    dir: &File,
    root: &Path,
    library_id: Ulid,
    change: impl FnOnce(&mut Marker),
) -> Result<(Marker, Option<StampsSeen>), MarkerError> {
    let path = marker_path(root);
    let not_written = |source: io::Error| MarkerError::NotWritten { path: path.clone(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let marker_dir = rustix::fs::openat(dir, MARKER_DIR, flags, Mode::empty())
        .map(File::from)
        .map_err(|error| not_written(error.into()))?;
    // Any other error: a file system without locks, where one has to do without.
    if let Err(Errno::WOULDBLOCK) = rustix::fs::flock(&marker_dir, FlockOperation::NonBlockingLockExclusive) {
        return Err(not_written(io::ErrorKind::WouldBlock.into()));
    }
    let Some((text, mut marker)) = read_text_in(dir, root)? else {
        return Err(not_written(io::ErrorKind::NotFound.into()));
    };
    if marker.library_id != library_id {
        let why = format!("it is that of the library {}", marker.library_id);
        return Err(MarkerError::NotUnderstood { path, why });
    }
    change(&mut marker);
    // With the lock in hand, these are of runs that were killed: a scan an hour must not leave one an hour.
    for attempt in 0..1000 {
        let name = temporary_name(library_id, attempt);
        if rustix::fs::unlinkat(&marker_dir, &name, AtFlags::empty()).is_err() {
            break;
        }
    }
    let text = merged(&text, &marker).map_err(|error| not_written(error.into()))?;
    if text.len() as u64 > MAX_BYTES {
        // Nobody would read it again: the library would be lost to all who use the disk.
        return Err(not_written(io::ErrorKind::FileTooLarge.into()));
    }
    let (temporary, file) = open_temporary(&marker_dir, &marker).map_err(&not_written)?;
    give_to_the_same(&marker_dir, &file);
    let outcome = write_durably(file, &text).and_then(|stamps| {
        point("marker-written");
        rustix::fs::renameat(&marker_dir, &temporary, &marker_dir, MARKER_FILE)?;
        point("marker-replaced");
        Ok(stamps)
    });
    let stamps = outcome.map_err(|error| {
        remove(&marker_dir, &temporary);
        not_written(error)
    })?;
    sync_directory(&marker_dir).map_err(not_written)?;
    Ok((marker, stamps))
}

/// The new file is whose the marker is, and open to whom that is: a scan by root, or under a narrow umask, would take the
/// library from everybody else who uses the disk. As far as the file system and the rights go; what cannot be given away
/// can still be read by whom it could before, mostly.
fn give_to_the_same(marker_dir: &File, file: &File) {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let (Ok(before), Ok(now)) =
        (rustix::fs::statat(marker_dir, MARKER_FILE, AtFlags::SYMLINK_NOFOLLOW), file.metadata())
    else {
        return;
    };
    let given = now.uid() != before.st_uid && fchown(file, Some(before.st_uid), Some(before.st_gid)).is_ok();
    if !given && now.gid() != before.st_gid {
        let _ = fchown(file, None, Some(before.st_gid));
    }
    #[allow(clippy::useless_conversion, reason = "u16 on macOS")]
    let mode = u32::from(before.st_mode) & 0o777;
    if now.mode() & 0o777 != mode {
        let _ = file.set_permissions(std::fs::Permissions::from_mode(mode));
    }
}

/// The marker's text with what `marker` says, and whatever else stood there.
fn merged(text: &[u8], marker: &Marker) -> serde_json::Result<Vec<u8>> {
    let mut there: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(text)?;
    if let serde_json::Value::Object(fields) = serde_json::to_value(marker)? {
        there.extend(fields);
    }
    let mut text = serde_json::to_vec_pretty(&there)?;
    text.push(b'\n');
    Ok(text)
}

fn temporary_name(library_id: Ulid, attempt: u32) -> String {
    format!("{MARKER_FILE}.{library_id}.{attempt}.new")
}

/// A new file beside the marker. A name that a killed process left behind is passed over.
fn open_temporary(marker_dir: &File, marker: &Marker) -> io::Result<(String, File)> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for attempt in 0..1000 {
        let name = temporary_name(marker.library_id, attempt);
        match rustix::fs::openat(marker_dir, &name, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => return Ok((name, File::from(file))),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("a thousand temporary names are taken"))
}

/// `sync_all` and not `fsync`: on macOS only the former reaches the disk.
fn write_durably(mut file: File, text: &[u8]) -> io::Result<Option<StampsSeen>> {
    file.write_all(text)?;
    let stamps = try_a_stamp(&file);
    file.sync_all()?;
    Ok(stamps)
}

/// Sets a time on a file of ours, looks what became of it, and lets it have the clock's again.
fn try_a_stamp(file: &File) -> Option<StampsSeen> {
    // Both times: old FUSE libraries set either both or none.
    let set = |time: Timespec| {
        rustix::fs::futimens(file, &Timestamps { last_access: time, last_modification: time })
    };
    let tried = Timespec { tv_sec: PROBE_STAMP_NS / 1_000_000_000, tv_nsec: PROBE_STAMP_NS % 1_000_000_000 };
    let seen = set(tried).ok().and_then(|()| file.metadata().ok());
    let back = set(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW });
    let metadata = seen.filter(|_| back.is_ok())?;
    use std::os::unix::fs::MetadataExt;
    Some(StampsSeen {
        mtime_ns: metadata.mtime().checked_mul(1_000_000_000)?.checked_add(metadata.mtime_nsec())?,
        // A day is more than any file system rounds, and the clock is decades later.
        ctime_apart: metadata.ctime().abs_diff(metadata.mtime()) > 86_400,
    })
}

/// Gives the temporary the marker's name, unless it is taken.
fn publish(marker_dir: &File, temporary: &str) -> io::Result<()> {
    let flags = RenameFlags::NOREPLACE;
    match rustix::fs::renameat_with(marker_dir, temporary, marker_dir, MARKER_FILE, flags) {
        Ok(()) => return Ok(()),
        Err(Errno::EXIST) => return Err(io::ErrorKind::AlreadyExists.into()),
        // NFS, SMB and many a FUSE file system have no such rename. A link does not replace either.
        Err(error) if is_unsupported(error) => {}
        Err(error) => return Err(error.into()),
    }
    match rustix::fs::linkat(marker_dir, temporary, marker_dir, MARKER_FILE, AtFlags::empty()) {
        Ok(()) => {
            remove(marker_dir, temporary);
            return Ok(());
        }
        Err(Errno::EXIST) => return Err(io::ErrorKind::AlreadyExists.into()),
        // No links either (exFAT through FUSE).
        Err(error) if is_unsupported(error) => {}
        Err(error) => return Err(error.into()),
    }
    reserve_and_replace(marker_dir, temporary)
}

/// The last resort: takes the name with an empty file, which only one can, and replaces that by the temporary. Who
/// reads in between finds a marker that makes no sense, never a wrong one.
fn reserve_and_replace(marker_dir: &File, temporary: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(marker_dir, MARKER_FILE, flags, Mode::from_raw_mode(0o666)) {
        Ok(_) => {}
        Err(Errno::EXIST) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) => return Err(error.into()),
    }
    rustix::fs::renameat(marker_dir, temporary, marker_dir, MARKER_FILE).map_err(|error| {
        remove(marker_dir, MARKER_FILE);
        error.into()
    })
}

/// The ways in which file systems say that they do not do such a thing. Compared one by one, because some of them are
/// one number on Linux and two on macOS.
fn is_unsupported(error: Errno) -> bool {
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::PERM, Errno::MLINK].contains(&error)
}

/// Best effort, where something has failed already and that is what is told.
fn remove(marker_dir: &File, name: &str) {
    let _ = rustix::fs::unlinkat(marker_dir, name, AtFlags::empty());
}

fn sync_directory(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        // Some network and FUSE file systems cannot sync a directory; then it is as durable as they make it.
        Err(error) if Errno::from_io_error(&error).is_some_and(is_unsupported) => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
