//! The lock of a run: one scan or sync at a time changes what is known of the disks and sends.
//!
//! A file lock of the operating system, not a row: it is gone with the process that held it, however it ended, and
//! needs no guess about time-outs. Reading and curating do not need it (C3).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{CatalogError, Result};

/// A process that was killed takes some milliseconds to let go of its lock, and who killed it may start the next run in
/// that time. A run that goes on holds it longer than this.
const DYING: Duration = Duration::from_secs(1);

/// How often a lock that is held is tried.
const TICK: Duration = Duration::from_millis(10);

/// Held while a scan or a sync runs on the catalogue beside it.
#[derive(Debug)]
pub struct RunLock {
    file: File,
}

impl RunLock {
    /// Takes the lock of the catalogue at `catalog`.
    ///
    /// # Errors
    /// [`CatalogError::Locked`] within about a second where another run has it.
    pub fn take(catalog: &Path) -> Result<Self> {
        let path = catalog.with_file_name("run.lock");
        let unusable = |source| CatalogError::File { path: path.clone(), source };
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
        let until = Instant::now() + DYING;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(RunLock { file }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::park_timeout(TICK),
                Err(TryLockError::WouldBlock) => return Err(CatalogError::Locked(path)),
                Err(TryLockError::Error(source)) => return Err(unusable(source)),
            }
        }
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Said, not left to closing: a process that is started just then has the descriptor, too, for a moment.
        let _ = self.file.unlock();
    }
}
