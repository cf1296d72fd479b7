//! A root that was verified, as a type: only who holds one may draw conclusions from what he does not see (D2).
//!
//! Verified once is not verified for good. [`VerifiedRoot::recheck`] is cheap enough for every commit (D3) and
//! notices what happens to disks: pulled, unmounted behind open files, covered by another, mounted anew, renamed.
//! It holds no file of the volume open in between: that would keep the user from unmounting his disk.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::deadline::{NoAnswer, within};
use super::findings::{self, Answer, Findings, MarkerSeen, Place, RootSeen};
use super::marker::{self, Marker, MarkerError, StampsSeen};
use super::mounts::{self, Mount};
use super::patience::Patience;
use super::platform;
use super::probe::{Expected, Probe, conclude, look};
use crate::model::{Availability, Reason};

/// Why the marker of a verified root could not be rewritten. The old one stands.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// The marker.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The path does not lead to the root that was verified any more.
    #[error("{} is not what it was when it was looked at", .0.display())]
    Gone(std::path::PathBuf),
    /// The disk does not answer.
    #[error("the marker could not be written in time")]
    NoAnswer(#[from] NoAnswer),
}

/// A library's root that was verified to be the library.
#[derive(Debug, Clone)]
pub struct VerifiedRoot {
    expected: Expected,
    place: Place,
    mount: Mount,
    availability: Availability,
    deadline: Duration,
}

/// Verifies the root: a probe that ends in a [`VerifiedRoot`] if what is there may be read and believed.
///
/// # Errors
/// The probe, where the library is not there or cannot be believed.
pub fn verify(expected: &Expected, deadline: Duration) -> Result<VerifiedRoot, Probe> {
    let findings = look(expected, deadline);
    let probe = conclude(expected, &findings);
    match findings {
        Findings { root: RootSeen::Directory(place), carrier: Some(mount), .. }
            if probe.availability.is_readable() =>
        {
            Ok(VerifiedRoot {
                expected: expected.clone(),
                place,
                mount,
                availability: probe.availability,
                deadline,
            })
        }
        _ => Err(probe),
    }
}

impl VerifiedRoot {
    /// The root directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.expected.root
    }

    /// `st_dev` of the root: what has another is another file system mounted inside.
    #[must_use]
    pub fn device(&self) -> u64 {
        self.place.device
    }

    /// Inode number of the root.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.place.inode
    }

    /// The mount that carries it.
    #[must_use]
    pub fn mount(&self) -> &Mount {
        &self.mount
    }

    /// As what it was verified: available, read-only or slow.
    #[must_use]
    pub fn availability(&self) -> Availability {
        self.availability
    }

    /// How long one answer of the disk may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// For reading its files: how long the disk may be silent.
    #[must_use]
    pub fn patience(&self) -> Patience {
        Patience::new(&self.expected.root, self.deadline)
    }

    /// Number of the mounting; 0 where the operating system has none.
    pub(super) fn mount_ticket(&self) -> u64 {
        self.place.mount_ticket
    }

    /// Whether its volume was mounted read-only when it was verified.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.availability == Availability::Degraded(Reason::ReadOnly)
    }

    /// Whether an open file or directory is on the very mounting that was verified: not on a disk, or a directory of the
    /// same disk, that is mounted inside the library, nor on one that was mounted over it since. A path alone cannot say;
    /// a disk that covered the library for a moment has the same names, and is gone again at the next recheck.
    ///
    /// Where the operating system does not number its mounts (before Linux 5.8, macOS) the device has to tell.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn carries(&self, open: impl AsFd) -> io::Result<bool> {
        match self.place.mount_ticket {
            0 => Ok(device_of(&rustix::fs::fstat(open)?) == self.place.device),
            ticket => Ok(platform::mount_ticket(open)? == ticket),
        }
    }

    /// Opens what a directory that [`VerifiedRoot::carries`] holds under one name, but not what is mounted over it: then the
    /// error is `EXDEV`.
    ///
    /// # Errors
    /// The operating system's.
    pub fn open_in(&self, dir: impl AsFd, name: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        if let Some(opened) = platform::open_without_crossing(&dir, name, flags) {
            return Ok(opened?);
        }
        let opened = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
        if self.carries(&opened)? { Ok(opened) } else { Err(rustix::io::Errno::XDEV.into()) }
    }

    /// Whether the path still leads to the same directory of the same mounting, with the same marker.
    ///
    /// A volume that went away and came back meanwhile does not pass: what was not seen in between proves nothing.
    /// (Before Linux 6.8 and on macOS such a volume is only told by its device number.)
    ///
    /// # Errors
    /// A fresh probe, never a readable one, that says what has become of the root.
    pub fn recheck(&self) -> Result<(), Probe> {
        let looked_for = self.clone();
        match within(&self.expected.root, self.deadline, move || looked_for.is_unchanged()) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(_) => return Err(self.hung()),
        }
        let mut probe = conclude(&self.expected, &look(&self.expected, self.deadline));
        if probe.availability.is_readable() {
            probe.availability = Availability::Unavailable(Reason::NotMounted);
            probe.detail = format!(
                "{} went away and came back while it was being looked at",
                crate::model::path::display_name(self.path().as_os_str().as_encoded_bytes())
            );
        }
        Err(probe)
    }

    /// What is to be said of it where somebody did not come back from it in time.
    #[must_use]
    pub fn hung(&self) -> Probe {
        conclude(&self.expected, &Findings::none(Answer::Hung(self.deadline)))
    }

    /// May hang, so it is only called under a deadline.
    fn is_unchanged(&self) -> bool {
        self.open_again().is_some_and(|dir| !self.expected.marker || self.has_its_marker(&dir))
    }

    /// The root, if the path still leads to the same directory of the same mounting. May hang.
    fn open_again(&self) -> Option<std::fs::File> {
        let dir = findings::open_directory(self.path()).ok()?;
        let place = findings::place(&dir).ok()?;
        // Some file systems make up an inode number whenever they meet the directory again.
        let same_inode = place.inode == self.place.inode
            || (self.expected.marker && mounts::makes_up_inodes(&self.mount.fs_type));
        let same_place = same_inode && Place { inode: self.place.inode, ..place } == self.place;
        same_place.then_some(dir)
    }

    /// What was expected of it, and found.
    #[must_use]
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// Rewrites the library's marker, on the very mounting that was verified. Comes back within the deadline.
    ///
    /// # Errors
    /// See [`RewriteError`]; the old marker stands.
    pub fn rewrite_marker(
        &self,
        change: impl FnOnce(&mut Marker) + Send + 'static,
    ) -> Result<(Marker, Option<StampsSeen>), RewriteError> {
        let root = self.clone();
        // Not under the root's own name: where others write much, making this durable takes long, and looking does not.
        let stuck_on = marker::marker_path(self.path());
        within(&stuck_on, self.deadline, move || {
            let dir = root.open_again().ok_or_else(|| RewriteError::Gone(root.path().to_owned()))?;
            Ok(marker::rewrite_in(&dir, root.path(), root.expected.library_id, change)?)
        })?
    }

    fn has_its_marker(&self, dir: &std::fs::File) -> bool {
        matches!(findings::read_marker(dir, self.path()), MarkerSeen::Found(marker)
            if marker.library_id == self.expected.library_id
                && marker.generation == self.expected.marker_generation)
    }
}

#[allow(clippy::unnecessary_cast, reason = "i32 on macOS")]
fn device_of(stat: &rustix::fs::Stat) -> u64 {
    stat.st_dev as u64
}
