//! `dir:`: a store in a directory, on a disk or a mounted share.
//!
//! The layout is the keys: an object is the file of its key's name. Beside the objects stand two things of the
//! store's own, `.shelflist-store.json` (its generation) and `.tmp/` (what is being written).
//!
//! Every call opens the root anew, proves by the generation object that this is the store that was opened, and does
//! all its work relative to that one descriptor. So a disk that is swapped under a running program, or an empty mount
//! point that an unplugged one left behind, is never written to, and "not there" is never said of a store that could
//! not be looked at. Holding the descriptor only for a call lets the disk be unmounted between calls.
//!
//! What is absent, on purpose: nothing here replaces a file, makes the root while sending, follows a symbolic link
//! inside the store, or removes a directory.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{
    Capabilities, Deleted, Expect, Generation, Listing, ObjectKey, ObjectStat, Put, Store, StoreError,
};
use crate::model::path::display_name;
pub use crate::remote::generation::GENERATION_OBJECT;

mod create;
mod errno;
mod publish;
mod root;
mod temporary;
mod walk;

use publish::Published;

use root::OpenRoot;
use temporary::{Temporary, WriteError};

/// A store in a directory.
#[derive(Debug)]
pub struct DirStore {
    root: PathBuf,
    /// `dir:PATH`, for messages.
    name: String,
    /// The generation it was opened as; every call proves it again.
    known: Generation,
    /// Directories whose own entry this process has made durable.
    durable: Mutex<BTreeSet<String>>,
}

impl DirStore {
    /// Opens a store that was begun before. Makes nothing; clears away what writers left unfinished in `.tmp` more
    /// than a day before `now`.
    ///
    /// # Errors
    /// [`StoreError::Away`] where the directory or its generation object is not there.
    pub fn open(root: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let name = name_of(root);
        let (open, known) = OpenRoot::verified(root, &name)?;
        temporary::clear_stale(&open, now);
        Ok(DirStore { root: root.to_owned(), name, known, durable: Mutex::default() })
    }

    /// Begins a store in a directory, or opens the store that is there.
    ///
    /// Like `git init` this makes the directory itself where it is not there; unlike it, not the directories above:
    /// a path whose parent is missing is a typing error or a disk that is not plugged in, and making it would begin a
    /// store on the wrong disk. A directory that holds anything but an operating system's litter is refused, so is
    /// one inside a library (D8).
    ///
    /// # Errors
    /// [`StoreError::Away`] where the parent is not there, [`StoreError::Refused`] where something else is in the
    /// place.
    pub fn create(root: &Path, now: Timestamp) -> Result<Self, StoreError> {
        let name = name_of(root);
        create::make_root(root, &name)?;
        create::begin(root, &name, now)?;
        Self::open(root, now)
    }

    /// The root, proved to be the store that was opened.
    fn enter(&self) -> Result<OpenRoot, StoreError> {
        let (open, found) = OpenRoot::verified(&self.root, &self.name)?;
        if found != self.known {
            return Err(StoreError::GenerationChanged {
                store: self.name.clone(),
                known: Box::new(self.known),
                found: Box::new(found),
            });
        }
        Ok(open)
    }

    /// Opens the directory that an object lies in, making what is missing of it, and makes sure that the entries on
    /// the way are durable: also those that another thread or a run that crashed has made.
    fn directory_of(&self, root: &OpenRoot, key: &ObjectKey) -> Result<OwnedFd, StoreError> {
        let fail = |error: Errno| root.error(error, || format!("make the directory of object {key}"));
        let mut directory = root.duplicate().map_err(fail)?;
        let mut path = String::new();
        for component in key.split().0.split('/').filter(|component| !component.is_empty()) {
            path.push_str(component);
            path.push('/');
            let made = publish::make_directory(&directory, component).map_err(fail)?;
            let below = root::open_below(&directory, component).map_err(fail)?;
            if made || !self.lock_durable().contains(&path) {
                publish::sync_directory(&directory).map_err(fail)?;
                self.lock_durable().insert(path.clone());
            }
            directory = below;
        }
        Ok(directory)
    }

    fn lock_durable(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A panic between contains and insert leaves a smaller set, which only means one fsync more.
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a taken key means for a put: see [`Store::put_if_absent`].
    fn already_there(&self, key: &ObjectKey, found: ObjectStat, expect: &Expect) -> Result<Put, StoreError> {
        if found.bytes == expect.bytes {
            return Ok(Put::AlreadyThere);
        }
        Err(self.corrupt(key, format!("it has {} bytes where {} are expected", found.bytes, expect.bytes)))
    }

    fn corrupt(&self, key: &ObjectKey, reason: impl Into<String>) -> StoreError {
        StoreError::Corrupt { store: self.name.clone(), what: format!("object {key}"), reason: reason.into() }
    }

    fn stat_in(&self, root: &OpenRoot, key: &ObjectKey) -> Result<Option<ObjectStat>, StoreError> {
        let fail = |error: Errno| root.error(error, || format!("look at object {key}"));
        let (path, name) = key.split();
        let Some(directory) = root::find_directory(root, path).map_err(fail)? else { return Ok(None) };
        match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {
                Ok(Some(ObjectStat { bytes: u64::try_from(stat.st_size).unwrap_or(0), hash: None }))
            }
            Ok(_) => Err(self.corrupt(key, "it is not a file")),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(fail(error)),
        }
    }

    fn open_object(&self, key: &ObjectKey) -> Result<File, StoreError> {
        let root = self.enter()?;
        let fail = |error: Errno| root.error(error, || format!("read object {key}"));
        let absent = || StoreError::NoSuchObject { store: self.name.clone(), key: key.clone() };
        let (path, name) = key.split();
        let directory = root::find_directory(&root, path).map_err(fail)?.ok_or_else(absent)?;
        // NONBLOCK: somebody's FIFO in the store must not hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&directory, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Err(absent()),
            Err(error) => return Err(fail(error)),
        };
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(file),
            Ok(_) => Err(self.corrupt(key, "it is not a file")),
            Err(error) => Err(root.io_error(error, || format!("read object {key}"))),
        }
    }
}

fn name_of(root: &Path) -> String {
    format!("dir:{}", display_name(root.as_os_str().as_encoded_bytes()))
}

impl Store for DirStore {
    fn describe(&self) -> String {
        self.name.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: true,
            conditional_put: true,
            server_hash: false,
            needs_searchable: false,
            // Depends on the file system (FAT: 4 GiB less one byte); a put over it is refused when it gets there.
            max_object_bytes: None,
            // A store on a disk gains little from more, and each holds a buffer.
            parallel: 4,
        }
    }

    fn put_if_absent(
        &self,
        key: &ObjectKey,
        content: &mut dyn Read,
        expect: &Expect,
    ) -> Result<Put, StoreError> {
        let root = self.enter()?;
        if let Some(found) = self.stat_in(&root, key)? {
            let put = self.already_there(key, found, expect)?;
            // Another writer may have published it a moment ago and not yet have made its entry durable.
            let directory = self.directory_of(&root, key)?;
            publish::sync_directory(&directory)
                .map_err(|error| root.error(error, || format!("make object {key} durable")))?;
            return Ok(put);
        }

        let fail = |error: Errno| root.error(error, || format!("write object {key}"));
        let mut temporary = Temporary::create(&root).map_err(fail)?;
        temporary.write(content, expect).map_err(|error| match error {
            WriteError::Read(source) => StoreError::Source { key: key.clone(), source },
            WriteError::Write(error) => fail(error),
            WriteError::Changed { found_bytes } => {
                StoreError::ContentChanged { key: key.clone(), expected: Box::new(*expect), found_bytes }
            }
        })?;

        let directory = self.directory_of(&root, key)?;
        let published = temporary.publish(&directory, key.split().1).map_err(fail)?;
        publish::sync_directory(&directory).map_err(fail)?;
        match published {
            Published::Created => Ok(Put::Created),
            Published::AlreadyThere => match self.stat_in(&root, key)? {
                Some(found) => self.already_there(key, found, expect),
                // Made by one writer and deleted by another while we wrote: nobody is wrong, the channel tries again.
                None => Err(fail(Errno::AGAIN)),
            },
        }
    }

    fn stat(&self, key: &ObjectKey) -> Result<Option<ObjectStat>, StoreError> {
        self.stat_in(&self.enter()?, key)
    }

    fn get(&self, key: &ObjectKey) -> Result<Box<dyn Read + Send>, StoreError> {
        Ok(Box::new(self.open_object(key)?))
    }

    fn get_part(&self, key: &ObjectKey, start: u64, bytes: u64) -> Result<Box<dyn Read + Send>, StoreError> {
        let mut file = self.open_object(key)?;
        file.seek(SeekFrom::Start(start)).map_err(|source| StoreError::Io {
            store: self.name.clone(),
            doing: format!("read object {key}"),
            source,
        })?;
        Ok(Box::new(file.take(bytes)))
    }

    fn list(&self, prefix: &str) -> Result<Listing<'_>, StoreError> {
        Ok(Box::new(walk::Walk::begin(self.enter()?, prefix)))
    }

    fn delete(&self, key: &ObjectKey) -> Result<Deleted, StoreError> {
        let root = self.enter()?;
        let fail = |error: Errno| root.error(error, || format!("delete object {key}"));
        let (path, name) = key.split();
        let Some(directory) = root::find_directory(&root, path).map_err(fail)? else {
            return Ok(Deleted::WasAbsent);
        };
        let deleted = match rustix::fs::unlinkat(&directory, name, AtFlags::empty()) {
            Ok(()) => Deleted::Deleted,
            Err(Errno::NOENT) => Deleted::WasAbsent,
            Err(error) => return Err(fail(error)),
        };
        // Also where it was absent: a deletion that crashed before this line may not be durable yet.
        publish::sync_directory(&directory).map_err(fail)?;
        Ok(deleted)
    }

    fn generation(&self) -> Result<Option<Generation>, StoreError> {
        let (_, found) = OpenRoot::verified(&self.root, &self.name)?;
        Ok(Some(found))
    }

    fn start_generation(&self, now: Timestamp) -> Result<Generation, StoreError> {
        create::begin(&self.root, &self.name, now)
    }
}
