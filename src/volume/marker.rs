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
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn marker(id: u64) -> Marker {
        Marker {
            library_id: Ulid::from_parts(1_700_000_000_000, id.into()),
            name: "Lectures".into(),
            generation: 1,
            created: "2026-11-20T10:00:00Z".parse().unwrap(),
            last_scans: Vec::new(),
        }
    }

    fn root() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn put(root: &Path, text: &[u8]) {
        std::fs::create_dir_all(root.join(MARKER_DIR)).unwrap();
        std::fs::write(marker_path(root), text).unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    // L1
    #[test]
    fn a_marker_that_was_made_is_read_back_and_stands_alone() {
        let root = root();
        create(root.path(), &marker(1)).unwrap();
        assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
        assert_eq!(names(root.path()), [MARKER_DIR]);
        assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
    }

    fn scan(catalog: u64, scan: u64) -> LastScan {
        LastScan { catalog: Ulid::from_parts(1, catalog.into()), scan: Ulid::from_parts(scan, 0) }
    }

    fn with(entries: &[LastScan]) -> Marker {
        Marker { last_scans: entries.to_vec(), ..marker(1) }
    }

    // L9, D2
    #[rstest::rstest]
    #[case::the_same(&[scan(1, 5)], false)]
    #[case::older(&[scan(1, 4)], true)]
    #[case::newer_than_a_restored_catalogue(&[scan(1, 6)], false)]
    #[case::none_at_all(&[], true)]
    #[case::only_anothers(&[scan(2, 9)], true)]
    #[case::among_others(&[scan(2, 9), scan(1, 5), scan(3, 1)], false)]
    fn a_copy_does_not_know_the_scans_that_came_after_it(#[case] entries: &[LastScan], #[case] lags: bool) {
        assert_eq!(with(entries).lags_behind(scan(1, 5)), lags);
    }

    // L9
    #[test]
    fn a_disk_that_many_catalogues_use_forgets_the_oldest_and_is_no_copy_for_it() {
        let mut marker = with(&[]);
        for catalog in 0..100 {
            marker.put_last_scan(scan(catalog, 7));
        }
        assert_eq!(marker.last_scans.len(), MAX_LAST_SCANS);
        assert_eq!(marker.last_scan_of(scan(99, 7).catalog), Some(scan(99, 7).scan));
        assert_eq!(marker.last_scan_of(scan(0, 7).catalog), None);
        assert!(!marker.lags_behind(scan(0, 7)), "it may have been forgotten");
        marker.put_last_scan(scan(90, 8));
        assert_eq!(marker.last_scans.len(), MAX_LAST_SCANS);
        assert_eq!(marker.last_scans[0], scan(90, 8));
    }

    fn rewrite(root: &Path, change: impl FnOnce(&mut Marker)) -> Result<Marker, MarkerError> {
        rewrite_in(&open_root(root).unwrap(), root, marker(1).library_id, change).map(|(marker, _)| marker)
    }

    // L9, D8
    #[test]
    fn a_marker_is_rewritten_whole_and_keeps_what_it_does_not_know() {
        let root = root();
        create(root.path(), &marker(1)).unwrap();
        let text = std::fs::read_to_string(marker_path(root.path())).unwrap();
        put(root.path(), text.replace('{', "{ \"of_a_later_version\": [1, 2],").as_bytes());
        let written = rewrite(root.path(), |marker| marker.put_last_scan(scan(1, 5))).unwrap();
        assert_eq!(written, with(&[scan(1, 5)]));
        assert_eq!(read(root.path()).unwrap(), Some(written));
        let text = std::fs::read_to_string(marker_path(root.path())).unwrap();
        assert!(text.contains("of_a_later_version"), "{text}");
        assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
    }

    // D8
    #[test]
    fn what_killed_rewritings_left_behind_is_cleared() {
        let root = root();
        create(root.path(), &marker(1)).unwrap();
        for attempt in 0..3 {
            let left = temporary_name(marker(1).library_id, attempt);
            std::fs::write(root.path().join(MARKER_DIR).join(left), "{").unwrap();
        }
        rewrite(root.path(), |marker| marker.generation = 9).unwrap();
        assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
    }

    // D8
    #[test]
    fn only_the_marker_of_that_library_is_rewritten_and_none_is_made() {
        let root = root();
        assert!(matches!(rewrite(root.path(), |_| ()), Err(MarkerError::NotWritten { .. })));
        assert!(names(root.path()).is_empty());
        create(root.path(), &marker(2)).unwrap();
        let before = std::fs::read(marker_path(root.path())).unwrap();
        let refused = rewrite(root.path(), |marker| marker.generation = 9);
        assert!(matches!(refused, Err(MarkerError::NotUnderstood { .. })), "{refused:?}");
        assert_eq!(std::fs::read(marker_path(root.path())).unwrap(), before);
    }

    // D2: a scan by root, or under a narrow umask, must not lock the others out who use the disk.
    #[test]
    fn a_rewritten_marker_is_whose_it_was_and_read_by_whom_it_was() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let root = root();
        create(root.path(), &marker(1)).unwrap();
        let path = marker_path(root.path());
        for mode in [0o666, 0o640, 0o444] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            // Only root can give it away.
            let given_away = std::os::unix::fs::chown(&path, Some(12345), Some(54321)).is_ok();
            rewrite(root.path(), |marker| marker.generation += 1).unwrap();
            let metadata = std::fs::metadata(&path).unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode, "{:o}", metadata.mode());
            assert!(!given_away || (metadata.uid(), metadata.gid()) == (12345, 54321), "{metadata:?}");
        }
    }

    // D2: whoever read it afterwards would not understand it.
    #[test]
    fn a_marker_is_not_rewritten_longer_than_it_may_be() {
        let root = root();
        let mut text = serde_json::to_vec(&marker(1)).unwrap();
        let rest = usize::try_from(MAX_BYTES).unwrap() - text.len() - 20;
        text.splice(1..1, format!("\"later\":\"{}\",", "x".repeat(rest)).into_bytes());
        put(root.path(), &text);
        assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
        let refused = rewrite(root.path(), |marker| marker.put_last_scan(scan(1, 5)));
        assert!(matches!(refused, Err(MarkerError::NotWritten { .. })), "{refused:?}");
        assert_eq!(std::fs::read(marker_path(root.path())).unwrap(), text);
        assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
    }

    // L9: each would put back the entry that the other has just replaced.
    #[test]
    fn of_two_that_rewrite_a_marker_at_once_one_leaves_it() {
        let root = root();
        create(root.path(), &marker(1)).unwrap();
        let held = File::open(root.path().join(MARKER_DIR)).unwrap();
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        let refused = rewrite(root.path(), |marker| marker.generation = 9);
        assert!(matches!(refused, Err(MarkerError::NotWritten { .. })), "{refused:?}");
        drop(held);
        assert_eq!(rewrite(root.path(), |marker| marker.generation = 9).unwrap().generation, 9);
    }

    // L10
    #[test]
    fn the_time_that_is_tried_on_a_marker_does_not_stay_on_it() {
        use std::os::unix::fs::MetadataExt;
        let root = root();
        let stamps = create(root.path(), &marker(1)).unwrap().unwrap();
        assert_eq!(
            stamps,
            StampsSeen { mtime_ns: PROBE_STAMP_NS, ctime_apart: true },
            "as ext4 and tmpfs do"
        );
        let metadata = std::fs::metadata(marker_path(root.path())).unwrap();
        assert!(metadata.mtime().abs_diff(metadata.ctime()) < 60);
    }

    #[test]
    fn no_directory_and_no_file_both_mean_no_marker() {
        let root = root();
        assert_eq!(read(root.path()).unwrap(), None);
        std::fs::create_dir(root.path().join(MARKER_DIR)).unwrap();
        assert_eq!(read(root.path()).unwrap(), None);
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let root = root();
        put(
            root.path(),
            br#"{"library_id":"01HF7YAT00000000000000000A","name":"n","generation":3,"created":"2026-01-01T00:00:00Z","colour":"red"}"#,
        );
        assert_eq!(read(root.path()).unwrap().unwrap().generation, 3);
    }

    // D1
    #[test]
    fn what_makes_no_sense_is_neither_a_marker_nor_none() {
        let mut long = serde_json::to_vec(&marker(1)).unwrap();
        long.resize(usize::try_from(MAX_BYTES).unwrap() + 1, b' ');
        for text in [&b""[..], b"{", b"null", b"[]", br#"{"library_id":"x"}"#, b"\xff\xfe", &long] {
            let root = root();
            put(root.path(), text);
            assert!(
                matches!(read(root.path()), Err(MarkerError::NotUnderstood { .. })),
                "{:?}",
                text.get(..20)
            );
        }
    }

    #[test]
    fn the_longest_marker_allowed_is_read() {
        let root = root();
        let mut text = serde_json::to_vec(&marker(1)).unwrap();
        text.resize(usize::try_from(MAX_BYTES).unwrap(), b' ');
        put(root.path(), &text);
        assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
    }

    #[test]
    fn links_are_not_followed_and_nothing_but_a_file_is_opened() {
        let elsewhere = root();
        create(elsewhere.path(), &marker(1)).unwrap();

        let linked_dir = root();
        symlink(elsewhere.path().join(MARKER_DIR), linked_dir.path().join(MARKER_DIR)).unwrap();
        let linked_file = root();
        std::fs::create_dir(linked_file.path().join(MARKER_DIR)).unwrap();
        symlink(marker_path(elsewhere.path()), marker_path(linked_file.path())).unwrap();
        let dir_for_file = root();
        std::fs::create_dir_all(marker_path(dir_for_file.path())).unwrap();
        let file_for_dir = root();
        std::fs::write(file_for_dir.path().join(MARKER_DIR), "x").unwrap();
        // A FIFO would make a careless reader wait for ever.
        let fifo = root();
        std::fs::create_dir(fifo.path().join(MARKER_DIR)).unwrap();
        let made = std::process::Command::new("mkfifo").arg(marker_path(fifo.path())).status();
        assert!(made.unwrap().success());

        for case in [&linked_dir, &linked_file, &dir_for_file, &file_for_dir, &fifo] {
            let read = read(case.path());
            assert!(matches!(read, Err(MarkerError::NotUnderstood { .. })), "{read:?}");
        }
        for case in [&linked_dir, &file_for_dir] {
            assert!(matches!(create(case.path(), &marker(2)), Err(MarkerError::NotWritten { .. })));
        }
        assert_eq!(names(&elsewhere.path().join(MARKER_DIR)), [MARKER_FILE]);
    }

    // D8
    #[test]
    fn a_root_that_is_not_there_is_not_made() {
        let place = root();
        let missing = place.path().join("library");
        assert!(matches!(create(&missing, &marker(1)), Err(MarkerError::NoRoot { .. })));
        assert!(matches!(read(&missing), Err(MarkerError::NoRoot { .. })));
        assert!(names(place.path()).is_empty());
        std::fs::write(&missing, "a file").unwrap();
        assert!(matches!(create(&missing, &marker(1)), Err(MarkerError::NoRoot { .. })));
    }

    // D8
    #[test]
    fn a_marker_that_is_there_is_never_replaced_whatever_it_is() {
        for there in [&b"not even a marker"[..], b""] {
            let root = root();
            put(root.path(), there);
            assert!(matches!(create(root.path(), &marker(1)), Err(MarkerError::AlreadyThere { .. })));
            assert_eq!(std::fs::read(marker_path(root.path())).unwrap(), there);
            assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
        }
        let dangling = root();
        std::fs::create_dir(dangling.path().join(MARKER_DIR)).unwrap();
        symlink("nowhere", marker_path(dangling.path())).unwrap();
        assert!(matches!(create(dangling.path(), &marker(1)), Err(MarkerError::AlreadyThere { .. })));
    }

    #[test]
    fn of_many_that_make_a_marker_at_once_one_wins() {
        for publish_only in [false, true] {
            let root = root();
            let start = std::sync::Barrier::new(8);
            let won: Vec<u64> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    .map(|id| {
                        let (root, start) = (root.path(), &start);
                        scope.spawn(move || {
                            start.wait();
                            if publish_only {
                                last_resort(root, &marker(id))
                            } else {
                                create(root, &marker(id)).is_ok()
                            }
                        })
                    })
                    .collect();
                (0..).zip(threads).filter_map(|(id, thread)| thread.join().unwrap().then_some(id)).collect()
            });
            assert_eq!(won.len(), 1, "{won:?}");
            assert_eq!(read(root.path()).unwrap(), Some(marker(won[0])));
            assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
        }
    }

    /// What happens on a file system that can neither rename without replacing nor link.
    fn last_resort(root: &Path, marker: &Marker) -> bool {
        let (marker_dir, _) = make_marker_dir(&open_root(root).unwrap()).unwrap();
        let (temporary, file) = open_temporary(&marker_dir, marker).unwrap();
        write_durably(file, &serde_json::to_vec(marker).unwrap()).unwrap();
        let outcome = reserve_and_replace(&marker_dir, &temporary);
        if outcome.is_err() {
            remove(&marker_dir, &temporary);
        }
        outcome.is_ok()
    }

    #[test]
    fn what_a_killed_process_left_behind_is_in_nobodys_way() {
        let root = root();
        std::fs::create_dir(root.path().join(MARKER_DIR)).unwrap();
        let left = format!("{MARKER_FILE}.{}.0.new", marker(1).library_id);
        std::fs::write(root.path().join(MARKER_DIR).join(&left), "{").unwrap();
        assert_eq!(read(root.path()).unwrap(), None);
        create(root.path(), &marker(1)).unwrap();
        assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
    }
}
