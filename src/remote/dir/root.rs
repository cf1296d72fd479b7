//! The root of a `dir:` store, opened and proved.
//!
//! The precondition of everything is a type: who has an [`OpenRoot`] from [`OpenRoot::verified`] holds a descriptor of
//! a directory in which a generation object was just read, and whatever happens to the path meanwhile, work relative
//! to the descriptor stays in that store.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::errno;
use crate::remote::generation::{self, GENERATION_OBJECT, MAX_GENERATION_BYTES};
use crate::remote::{AwayReason, Generation, StoreError};

/// A store's root, open.
#[derive(Debug)]
pub(super) struct OpenRoot {
    fd: OwnedFd,
    store: String,
}

impl OpenRoot {
    /// Opens a store's root and reads which store it is.
    pub(super) fn verified(path: &Path, store: &str) -> Result<(Self, Generation), StoreError> {
        let root = Self::unverified(path, store)?;
        match root.read_generation()? {
            Some(generation) => Ok((root, generation)),
            None => {
                Err(StoreError::Away { store: root.store, reason: AwayReason::NoStoreInRoot, source: None })
            }
        }
    }

    /// Opens a directory in which there may be no store: only for beginning one.
    pub(super) fn unverified(path: &Path, store: &str) -> Result<Self, StoreError> {
        match open_path(path) {
            Ok(fd) => Ok(OpenRoot { fd, store: store.to_owned() }),
            Err(error @ (Errno::NOENT | Errno::NOTDIR)) => Err(StoreError::Away {
                store: store.to_owned(),
                reason: AwayReason::RootMissing,
                source: Some(error.into()),
            }),
            Err(error) => Err(errno::store_error(store, error.into(), || "open its directory".to_owned())),
        }
    }

    /// Which store this is; `None` where the directory has no generation object.
    pub(super) fn read_generation(&self) -> Result<Option<Generation>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, GENERATION_OBJECT, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.error(error, || "read its generation object".to_owned())),
        };
        let mut text = Vec::new();
        file.take(MAX_GENERATION_BYTES)
            .read_to_end(&mut text)
            .map_err(|error| self.io_error(error, || "read its generation object".to_owned()))?;
        generation::parse(&self.store, &text).map(Some)
    }

    /// The store's name, for messages.
    pub(super) fn store(&self) -> &str {
        &self.store
    }

    /// A second descriptor of the root.
    pub(super) fn duplicate(&self) -> Result<OwnedFd, Errno> {
        open_below(&self.fd, ".")
    }

    /// What an error of a call relative to this root means.
    pub(super) fn error(&self, error: Errno, doing: impl FnOnce() -> String) -> StoreError {
        self.io_error(error.into(), doing)
    }

    /// What an error of a call relative to this root means.
    pub(super) fn io_error(&self, error: io::Error, doing: impl FnOnce() -> String) -> StoreError {
        errno::store_error(&self.store, error, doing)
    }
}

impl AsFd for OpenRoot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens a directory by its path from the root on; `None` where it is not there. Symbolic links are not followed.
pub(super) fn find_directory(root: &OpenRoot, path: &str) -> Result<Option<OwnedFd>, Errno> {
    let mut directory = root.duplicate()?;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        directory = match open_below(&directory, name) {
            Ok(below) => below,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error),
        };
    }
    Ok(Some(directory))
}

/// Opens a directory by its name in another. A symbolic link is an error: inside a store there is none of ours.
pub(super) fn open_below(at: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::io::retry_on_intr(|| rustix::fs::openat(&at, name, flags, Mode::empty()))
}

/// Opens a directory by a person's path, through symbolic links.
pub(super) fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::io::retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))
}
