//! Beginning a store: the one place where a store's root is made, and the only one where a directory without a
//! generation object is written to. Only on a person's word.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, Mode};
use rustix::io::Errno;

use super::publish::{self, Published};
use super::root::{self, OpenRoot};
use super::temporary::{TEMPORARY_DIRECTORY, Temporary, WriteError};
use crate::remote::generation::{self, GENERATION_OBJECT, is_litter};
use crate::remote::{AwayReason, Expect, Generation, StoreError};

/// What makes a directory a library's root.
const LIBRARY_MARKER: &str = ".shelflist/library.json";

/// Makes the store's directory where it is not there, and its parent is. Refuses a place inside a library.
pub(super) fn make_root(path: &Path, store: &str) -> Result<(), StoreError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refused(store, "the root of the file system is no place for a store"));
    };
    let away = |error: Errno| StoreError::Away {
        store: store.to_owned(),
        reason: AwayReason::RootMissing,
        source: Some(error.into()),
    };
    let parent_fd = match root::open_path(parent) {
        Ok(fd) => fd,
        Err(error @ (Errno::NOENT | Errno::NOTDIR)) => return Err(away(error)),
        Err(error) => return Err(denied_or_io(store, error)),
    };
    // Before anything is made: a library's disk gets nothing from us (D8).
    refuse_inside_library(path, store)?;
    match rustix::fs::mkdirat(&parent_fd, name, Mode::from_raw_mode(0o777)) {
        Ok(()) => publish::sync_directory(&parent_fd).map_err(|error| denied_or_io(store, error)),
        Err(Errno::EXIST) if path.is_file() => Err(refused(store, "a file is in its place")),
        Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(denied_or_io(store, error)),
    }
}

/// Begins a store in a directory that is there; answers its generation where it was begun before.
pub(super) fn begin(path: &Path, store: &str, now: Timestamp) -> Result<Generation, StoreError> {
    let root = OpenRoot::unverified(path, store)?;
    if let Some(generation) = root.read_generation()? {
        return Ok(generation);
    }
    refuse_inside_library(path, store)?;
    refuse_unless_empty(&root)?;

    let generation = Generation::begin(now);
    let text = generation::render(&generation);
    let fail = |error: Errno| root.error(error, || "write its generation object".to_owned());
    let mut temporary = Temporary::create(&root).map_err(fail)?;
    temporary.write(&mut text.as_slice(), &Expect::of(&text)).map_err(|error| match error {
        WriteError::Write(error) => fail(error),
        WriteError::Read(source) => root.io_error(source, || "write its generation object".to_owned()),
        WriteError::Changed { .. } => fail(Errno::IO),
    })?;
    let directory = root.duplicate().map_err(fail)?;
    let published = temporary.publish(&directory, GENERATION_OBJECT).map_err(fail)?;
    publish::sync_directory(&directory).map_err(fail)?;
    match published {
        Published::Created => Ok(generation),
        // Two devices began the store at the same moment; the first one's word holds.
        Published::AlreadyThere => OpenRoot::verified(path, store).map(|(_, generation)| generation),
    }
}

/// Refuses a directory that is a library or lies in one, through whatever symbolic links it is named.
fn refuse_inside_library(path: &Path, store: &str) -> Result<(), StoreError> {
    let place = path
        .canonicalize()
        .or_else(|_| path.parent().unwrap_or(path).canonicalize())
        .map_err(|error| super::errno::store_error(store, error, || "find its directory".to_owned()))?;
    for ancestor in place.ancestors() {
        match rustix::fs::statat(CWD, ancestor.join(LIBRARY_MARKER), AtFlags::empty()) {
            Ok(_) => {
                let library = crate::model::path::display_name(ancestor.as_os_str().as_bytes());
                return Err(refused(store, &format!("it would lie inside the library at {library}")));
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(denied_or_io(store, error)),
        }
    }
    Ok(())
}

fn refuse_unless_empty(root: &OpenRoot) -> Result<(), StoreError> {
    let fail = |error: Errno| root.error(error, || "list its directory".to_owned());
    for entry in rustix::fs::Dir::read_from(root).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_bytes();
        let ours = name == TEMPORARY_DIRECTORY.as_bytes();
        if !(name == b"." || name == b".." || ours || is_litter(name)) {
            let name = crate::model::path::display_name(name);
            return Err(refused(root.store(), &format!("its directory holds {name:?} and no store")));
        }
    }
    Ok(())
}

fn refused(store: &str, reason: &str) -> StoreError {
    StoreError::Refused {
        store: store.to_owned(),
        doing: "be begun".to_owned(),
        reason: reason.to_owned(),
        source: None,
    }
}

fn denied_or_io(store: &str, error: Errno) -> StoreError {
    super::errno::store_error(store, error.into(), || "make its directory".to_owned())
}
