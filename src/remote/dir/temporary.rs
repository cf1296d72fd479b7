//! What is being written: a file under `.tmp/` in the store, on the same file system as the objects, so that
//! publishing it is one step. It is removed when it is dropped unpublished; what a crash leaves behind is cleared
//! after a day.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use ulid::Ulid;

use super::publish::{self, Published};
use super::root::{self, OpenRoot};
use crate::remote::Expect;

/// Where unfinished files are.
pub(super) const TEMPORARY_DIRECTORY: &str = ".tmp";
/// How long nobody has to have written to an unfinished file for it to be litter. A slow writer's is touched with
/// every block.
const STALE_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// Large enough for a spinning disk, small enough for many writers.
const BUFFER_BYTES: usize = 256 * 1024;

/// An unfinished file.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: OwnedFd,
    name: String,
    file: File,
}

/// Why a content is not in the temporary file now.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The reader failed: the source's trouble.
    Read(io::Error),
    /// The store's disk failed.
    Write(Errno),
    /// The reader gave something else than was expected.
    Changed {
        /// How many bytes were read: at most one more than expected.
        found_bytes: u64,
    },
}

impl Temporary {
    /// A new unfinished file, empty.
    pub(super) fn create(root: &OpenRoot) -> Result<Self, Errno> {
        publish::make_directory(root, TEMPORARY_DIRECTORY)?;
        let directory = root::open_below(root, TEMPORARY_DIRECTORY)?;
        let name = Ulid::generate().to_string();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // As any program's new file: the umask decides who may read the store.
        let file = File::from(rustix::fs::openat(&directory, &name, flags, Mode::from_raw_mode(0o666))?);
        Ok(Temporary { directory, name, file })
    }

    /// Writes the content, proves that it is the expected one, and makes it durable.
    pub(super) fn write(&mut self, content: &mut dyn Read, expect: &Expect) -> Result<(), WriteError> {
        let mut hasher = blake3::Hasher::new();
        let mut found_bytes = 0_u64;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(WriteError::Read(error)),
            };
            found_bytes += read as u64;
            // A file that grows while it is read must not fill the store first.
            if found_bytes > expect.bytes {
                return Err(WriteError::Changed { found_bytes: expect.bytes + 1 });
            }
            hasher.update(&buffer[..read]);
            self.file.write_all(&buffer[..read]).map_err(|error| write_error(&error))?;
        }
        if found_bytes != expect.bytes || hasher.finalize() != expect.hash {
            return Err(WriteError::Changed { found_bytes });
        }
        publish::sync_file(&self.file).map_err(WriteError::Write)
    }

    /// Gives the file its name in another directory of the store, unless that name is taken.
    pub(super) fn publish(self, into: &OwnedFd, name: &str) -> Result<Published, Errno> {
        publish::publish(self.directory.as_fd(), &self.name, into.as_fd(), name)
        // Dropping takes away the name under .tmp, where publishing has left one.
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        match rustix::fs::unlinkat(&self.directory, &self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => {
                tracing::debug!(name = self.name, %error, "an unfinished file stays until it is stale");
            }
        }
    }
}

fn write_error(error: &io::Error) -> WriteError {
    // `write_all` has one error without a number: a write of nothing, which a full FUSE disk may answer.
    WriteError::Write(publish::from_io(error))
}

/// Removes unfinished files that nobody has written to for a day. What cannot be removed stays: litter is no reason
/// not to open a store.
pub(super) fn clear_stale(root: &OpenRoot, now: Timestamp) {
    if let Err(error) = try_clear_stale(root, now)
        && error != Errno::NOENT
    {
        tracing::debug!(store = root.store(), %error, "cannot clear stale unfinished files");
    }
}

fn try_clear_stale(root: &OpenRoot, now: Timestamp) -> Result<(), Errno> {
    let directory = root::open_below(root, TEMPORARY_DIRECTORY)?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let entry = entry?;
        // Only names that we give: a person may have put something here.
        let Some(name) = entry.file_name().to_str().ok().filter(|name| Ulid::from_string(name).is_ok())
        else {
            continue;
        };
        let written_s = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime;
        let idle_s = now.as_second().saturating_sub(written_s);
        if idle_s > STALE_AFTER.as_secs() {
            rustix::fs::unlinkat(&directory, name, AtFlags::empty())?;
            tracing::debug!(store = root.store(), name, "cleared a stale unfinished file");
        }
    }
    Ok(())
}
