//! One look at a library's root: what is found, without an opinion. [`super::judge`] has the opinion.
//!
//! The order matters. First the mount table, which touches nothing; only if the volume that should carry the root
//! does carry it, or what carries it instead is a local disk, the root itself. Then everything is asked of one open
//! directory, so that all answers are about the same place even while disks come and go.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Dir, Mode, OFlags, StatVfsMountFlags};

use super::identity::{Identity, fs_id_text, uuid_of};
use super::marker::{self, Marker, MarkerError};
use super::mounts::Mount;
use super::{platform, probe::Expected};

/// What one look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    /// How the look as a whole went.
    pub answer: Answer,
    /// The mount that carries the root, or would if it were there; `None` when none does.
    pub carrier: Option<Mount>,
    /// The root itself.
    pub root: RootSeen,
    /// What is in the root.
    pub contents: ContentsSeen,
    /// The marker in the root.
    pub marker: MarkerSeen,
    /// File system id of the volume that carries the root, hexadecimal.
    pub fs_id: Option<String>,
    /// UUID of that volume, where the operating system tells it.
    pub uuid: Option<String>,
    /// That volume is mounted read-only.
    pub read_only: bool,
    /// Where else a disk is mounted that cannot be told from the library's.
    pub doubles: Vec<PathBuf>,
}

/// How a look went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It came back well within its deadline.
    InTime,
    /// It came back, after so long.
    Slowly(Duration),
    /// It did not come back within so long, or one before it has not yet.
    Hung(Duration),
    /// It could not be made at all: no thread, no mount table.
    Failed(String),
}

/// The root as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSeen {
    /// Not looked at, because what carries its path is not to be touched.
    NotLookedAt,
    /// Nothing of that name is there.
    Missing,
    /// Something is there that is no directory.
    NotADirectory,
    /// The operating system does not let us look.
    Denied,
    /// Looking failed otherwise; what the operating system says.
    Failed(String),
    /// A directory.
    Directory(Place),
}

/// Numbers that tell a directory from any other, and this mounting of its volume from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `st_dev`.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Number of the mounting; 0 where the operating system has none.
    pub mount_ticket: u64,
}

/// What is in the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentsSeen {
    /// Not looked at.
    NotLookedAt,
    /// Nothing at all.
    Empty,
    /// At least one name.
    Something,
    /// The operating system does not let us list it.
    Denied,
    /// Listing failed otherwise; what the operating system says.
    Failed(String),
}

/// The marker as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkerSeen {
    /// Not looked at.
    NotLookedAt,
    /// Certainly none.
    Absent,
    /// The operating system does not let us look.
    Denied,
    /// Looking failed otherwise; what the operating system says.
    Failed(String),
    /// Something is there that makes no sense; why not.
    NotUnderstood(String),
    /// A marker, not necessarily the expected one.
    Found(Marker),
}

impl Findings {
    /// Of a look that ended before it saw anything.
    #[must_use]
    pub fn none(answer: Answer) -> Self {
        Findings {
            answer,
            carrier: None,
            root: RootSeen::NotLookedAt,
            contents: ContentsSeen::NotLookedAt,
            marker: MarkerSeen::NotLookedAt,
            fs_id: None,
            uuid: None,
            read_only: false,
            doubles: Vec::new(),
        }
    }
}

/// Looks. May hang, so it is only called under a deadline.
pub(super) fn look(expected: &Expected) -> Findings {
    let mut findings = Findings::none(Answer::InTime);
    if let Err(error) = look_into(expected, &mut findings) {
        findings.answer = Answer::Failed(format!("the mounted volumes cannot be listed: {error}"));
    }
    findings
}

fn look_into(expected: &Expected, findings: &mut Findings) -> io::Result<()> {
    let root = &expected.root;
    findings.carrier = platform::carrier_by_path(root)?;
    if !findings.carrier.as_ref().is_some_and(|carrier| may_be_entered(&expected.identity, carrier)) {
        return Ok(());
    }
    match open_directory(root) {
        Ok(dir) => look_inside(&dir, expected, findings)?,
        Err(seen) => {
            findings.root = seen;
            // Opening may have mounted the volume (autofs).
            findings.carrier = platform::carrier_by_path(root)?;
            // What is mounted in the volume's place may tell which it is, when the root does not.
            if findings
                .carrier
                .as_ref()
                .is_some_and(|carrier| carrier.mount_point == expected.identity.mount_point)
                && let Ok(top) = open_directory(&expected.identity.mount_point)
            {
                look_at_volume(&top, expected, findings);
            }
        }
    }
    Ok(())
}

/// Whether a root on this mount may be touched. Its own volume, always. Another one only if it is local: a copy of
/// the library may lie there, and a local disk answers. A network mount that is not the library's own is nobody's
/// business, and may hang. Below autofs the touch is what mounts the volume.
#[must_use]
pub fn may_be_entered(identity: &Identity, carrier: &Mount) -> bool {
    carrier.mount_point == identity.mount_point || !carrier.is_network()
}

fn look_inside(dir: &File, expected: &Expected, findings: &mut Findings) -> io::Result<()> {
    // Which mount it really is on: a link on the way may lead elsewhere than the path says.
    findings.carrier = platform::carrier_of(dir, &expected.root)?;
    findings.root = match place(dir) {
        Ok(place) => RootSeen::Directory(place),
        Err(error) if is_denied(&error) => RootSeen::Denied,
        Err(error) => RootSeen::Failed(error.to_string()),
    };
    look_at_volume(dir, expected, findings);
    findings.contents = contents(dir);
    findings.marker =
        if expected.marker { read_marker(dir, &expected.root) } else { MarkerSeen::NotLookedAt };
    Ok(())
}

fn look_at_volume(dir: &File, expected: &Expected, findings: &mut Findings) {
    if let Ok(statvfs) = rustix::fs::fstatvfs(dir) {
        findings.fs_id = fs_id_text(statvfs.f_fsid);
        findings.read_only = statvfs.f_flag.contains(StatVfsMountFlags::RDONLY);
    }
    // Only where there is one to compare it with.
    if expected.identity.uuid.is_some() {
        findings.uuid = findings.carrier.as_ref().and_then(uuid_of);
    }
}

/// The directory at `path`, or what is there instead of one.
pub(super) fn open_directory(path: &Path) -> Result<File, RootSeen> {
    // NONBLOCK: a FIFO of that name must not make us wait, not even to be told that it is no directory.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map(File::from).map_err(|errno| {
        let error = io::Error::from(errno);
        match error.kind() {
            io::ErrorKind::NotFound => RootSeen::Missing,
            io::ErrorKind::NotADirectory => RootSeen::NotADirectory,
            _ if is_denied(&error) => RootSeen::Denied,
            _ => RootSeen::Failed(error.to_string()),
        }
    })
}

/// The numbers of an open directory.
pub(super) fn place(dir: &File) -> io::Result<Place> {
    let metadata = dir.metadata()?;
    Ok(Place { device: metadata.dev(), inode: metadata.ino(), mount_ticket: platform::mount_ticket(dir)? })
}

fn contents(dir: &File) -> ContentsSeen {
    let failed = |error: rustix::io::Errno| {
        let error = io::Error::from(error);
        if is_denied(&error) { ContentsSeen::Denied } else { ContentsSeen::Failed(error.to_string()) }
    };
    let mut entries = match Dir::read_from(dir) {
        Ok(entries) => entries,
        Err(error) => return failed(error),
    };
    loop {
        match entries.read() {
            None => return ContentsSeen::Empty,
            Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            Some(Ok(_)) => return ContentsSeen::Something,
            Some(Err(error)) => return failed(error),
        }
    }
}

/// The marker in an open root.
pub(super) fn read_marker(dir: &File, root: &Path) -> MarkerSeen {
    match marker::read_in(dir, root) {
        Ok(Some(marker)) => MarkerSeen::Found(marker),
        Ok(None) => MarkerSeen::Absent,
        Err(MarkerError::NotUnderstood { why, .. }) => MarkerSeen::NotUnderstood(why),
        Err(MarkerError::Unreadable { source, .. }) if is_denied(&source) => MarkerSeen::Denied,
        Err(MarkerError::Unreadable { source, .. }) => MarkerSeen::Failed(source.to_string()),
        Err(other) => MarkerSeen::Failed(other.to_string()),
    }
}

/// Whether an error says "you may not", which is another matter than a broken disk. EPERM is in it: that is what
/// macOS answers where a privacy setting stands in the way.
fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
