//! Where the program writes what people ask it for: outside of every library and every store (D8).
//!
//! Those of this catalogue are known by their paths, also while their disks are away. Those of other catalogues are known by
//! what they hold, looked for from an open directory upwards: whatever path led there, through whatever links or mounts.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use crate::catalog::{CatalogError, Connection, libraries, stores};
use crate::content;
use crate::model::path::display_name;
use crate::remote::StoreUrl;
use crate::remote::dir::GENERATION_OBJECT;
use crate::volume::marker::{MARKER_DIR, MARKER_FILE};

/// Why a directory is none that may be written to.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// It is not there; it is not made, for it may be a disk that is not plugged in.
    #[error("the directory {} does not exist", display(.0))]
    Absent(PathBuf),
    /// It is something else.
    #[error("{} is not a directory", display(.0))]
    NotADirectory(PathBuf),
    /// Nothing is written into libraries.
    #[error("{} lies in the library at {}", display(path), display(library))]
    InLibrary {
        /// Where to.
        path: PathBuf,
        /// The root of the library.
        library: PathBuf,
    },
    /// Nor into stores, beside their own objects.
    #[error("{} lies in the store at {}", display(path), display(store))]
    InStore {
        /// Where to.
        path: PathBuf,
        /// The store's directory.
        store: PathBuf,
    },
    /// It cannot be looked at, or what is above it.
    #[error("{} cannot be used", display(dir))]
    Io {
        /// Which directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn display(path: &Path) -> String {
    display_name(path.as_os_str().as_bytes())
}

/// The places of this catalogue that nothing is written into.
#[derive(Debug, Clone, Default)]
pub struct Forbidden {
    libraries: Vec<PathBuf>,
    stores: Vec<PathBuf>,
}

impl Forbidden {
    /// The roots of all libraries, and the directories of all stores.
    ///
    /// # Errors
    /// SQLite's.
    pub fn of(conn: &Connection) -> Result<Self, CatalogError> {
        let libraries = libraries::all(conn)?.into_iter().map(|library| library.root).collect();
        let dir_of = |url: &str| StoreUrl::parse(url, Path::new("/")).ok()?.directory().map(Path::to_owned);
        let stores = stores::all(conn)?.iter().filter_map(|store| dir_of(&store.url)).collect();
        Ok(Forbidden { libraries, stores })
    }

    /// Fails where `path`, which is free of links, lies in one of them.
    ///
    /// # Errors
    /// [`OutsideError::InLibrary`], [`OutsideError::InStore`].
    pub fn refuse(&self, path: &Path) -> Result<(), OutsideError> {
        let lies_in = |roots: &[PathBuf]| roots.iter().find(|root| path.starts_with(root)).cloned();
        if let Some(library) = lies_in(&self.libraries) {
            return Err(OutsideError::InLibrary { path: path.to_owned(), library });
        }
        if let Some(store) = lies_in(&self.stores) {
            return Err(OutsideError::InStore { path: path.to_owned(), store });
        }
        Ok(())
    }
}

/// A directory that may be written to, open; and its path, free of links. It is opened by a person's path, through links. May
/// hang.
///
/// # Errors
/// Why it may not, or cannot.
pub fn open(path: &Path, forbidden: &Forbidden) -> Result<(OwnedFd, PathBuf), OutsideError> {
    let fail = |error: io::Error| match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => OutsideError::Absent(path.to_owned()),
        Some(Errno::NOTDIR) => OutsideError::NotADirectory(path.to_owned()),
        _ => OutsideError::Io { dir: path.to_owned(), source: error },
    };
    let real = path.canonicalize().map_err(fail)?;
    let fd = content::open(&real, content::LIST).map_err(fail)?;
    forbidden.refuse(&real)?;
    refuse_above(&fd, &real)?;
    Ok((fd, real))
}

/// Fails where a directory is the root of a library or a store, whoever knows it. `path` is what it is called.
///
/// # Errors
/// [`OutsideError::InLibrary`], [`OutsideError::InStore`].
pub fn refuse_marked(at: impl AsFd, path: &Path) -> Result<(), OutsideError> {
    refuse_below(at, path, path)
}

/// `at` is `dir` or above it, `path` what it is called.
fn refuse_below(at: impl AsFd, dir: &Path, path: &Path) -> Result<(), OutsideError> {
    let has = |name: &Path| rustix::fs::statat(&at, name, AtFlags::SYMLINK_NOFOLLOW).is_ok();
    if has(&Path::new(MARKER_DIR).join(MARKER_FILE)) {
        return Err(OutsideError::InLibrary { path: dir.to_owned(), library: path.to_owned() });
    }
    if has(Path::new(GENERATION_OBJECT)) {
        return Err(OutsideError::InStore { path: dir.to_owned(), store: path.to_owned() });
    }
    Ok(())
}

fn refuse_above(dir: &OwnedFd, dir_path: &Path) -> Result<(), OutsideError> {
    let fail = |source: io::Error| OutsideError::Io { dir: dir_path.to_owned(), source };
    let mut at = dir.try_clone().map_err(fail)?;
    let mut path = dir_path.to_owned();
    loop {
        refuse_below(&at, dir_path, &path)?;
        let above = match rustix::fs::openat(&at, "..", content::LIST, Mode::empty()) {
            Ok(above) => above,
            // One who may not look there could not have made a library of it either.
            Err(Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(fail(error.into())),
        };
        let stat = |fd: &OwnedFd| rustix::fs::fstat(fd).map_err(|error| fail(error.into()));
        let (here, there) = (stat(&at)?, stat(&above)?);
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino) {
            return Ok(());
        }
        path.pop();
        at = above;
    }
}
