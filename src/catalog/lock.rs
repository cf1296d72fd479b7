//! The lock of a run: one scan or sync at a time changes what is known of the disks and sends.
//!
//! A file lock of the operating system, not a row: it is gone with the process that held it, however it ended, and
//! needs no guess about time-outs. Reading and curating do not need it (C3).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use super::{CatalogError, Result};

/// Held while a scan or a sync runs on the catalogue beside it.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
}

impl RunLock {
    /// Takes the lock of the catalogue at `catalog`.
    ///
    /// # Errors
    /// [`CatalogError::Locked`] at once where another run has it.
    pub fn take(catalog: &Path) -> Result<Self> {
        let path = catalog.with_file_name("run.lock");
        let file = |source| CatalogError::File { path: path.clone(), source };
        let handle = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(file)?;
        match handle.try_lock() {
            Ok(()) => Ok(RunLock { _file: handle }),
            Err(TryLockError::WouldBlock) => Err(CatalogError::Locked(path)),
            Err(TryLockError::Error(source)) => Err(CatalogError::File { path, source }),
        }
    }
}
