//! What can be done with a library as a whole: make it, look whether it is there, find it again.
//!
//! The verbs between the catalogue, which remembers, and the volume room, which looks. Nothing here walks or reads files. Whoever
//! writes what people ask for asks [`outside`] where.

mod adopt;
mod marks;
mod measured;
pub mod outside;

use std::path::{Path, PathBuf};
use std::time::Duration;

use ulid::Ulid;

use crate::catalog::libraries::{self, Library, NewLibrary};
use crate::catalog::{Catalog, CatalogError, Ids, settings, stores};
use crate::clock::Clock;
use crate::model::{Availability, setting};
use crate::remote::StoreUrl;
use crate::volume::find::FoundLibrary;
use crate::volume::identity::IdentifyError;
use crate::volume::marker::{self, Marker, MarkerError};
use crate::volume::{self, Expected, Identity, LastScan, Probe, VerifiedRoot};

pub use adopt::adopt;
pub use marks::mark_scan;
pub use measured::measure;

/// Why a library could not be made or found.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The root does not exist.
    #[error("{} does not exist", .0.display())]
    NoRoot(PathBuf),
    /// The root is no directory.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The root cannot be looked at.
    #[error("{} cannot be looked at", path.display())]
    Unreadable {
        /// The root.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Already a library of this catalogue.
    #[error("{} is the library {name:?} already", root.display())]
    AlreadyALibrary {
        /// The root.
        root: PathBuf,
        /// Its name.
        name: String,
    },
    /// A library inside a library would be catalogued twice.
    #[error("{} and the library {name:?} at {} lie one inside the other", root.display(), other.display())]
    Nested {
        /// The root that was asked for.
        root: PathBuf,
        /// The other library's name.
        name: String,
        /// Its root.
        other: PathBuf,
    },
    /// What we write there would be catalogued and sent again.
    #[error("{} and the store {store:?} at {} lie one inside the other", root.display(), path.display())]
    StoreInside {
        /// The library's root.
        root: PathBuf,
        /// The store's name or URL.
        store: String,
        /// Where it is.
        path: PathBuf,
    },
    /// The catalogue lies inside the library.
    #[error("the catalogue at {} would lie inside the library", .0.display())]
    CatalogInside(PathBuf),
    /// Another library has the name.
    #[error("there is a library named {0:?} already")]
    NameTaken(String),
    /// Names are for the command line.
    #[error("{0:?} cannot be the name of a library")]
    BadName(String),
    /// There is a marker of a library this catalogue does not know, or that lies elsewhere.
    #[error("{} has the marker of library {name:?} ({id})", root.display())]
    ForeignMarker {
        /// The root.
        root: PathBuf,
        /// The name in the marker.
        name: String,
        /// The id in the marker.
        id: Ulid,
    },
    /// The marker.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// The volume.
    #[error(transparent)]
    Identify(#[from] IdentifyError),
    /// Not found among the mounts.
    #[error("library {0:?} is on none of the mounted disks")]
    NowhereMounted(String),
    /// Found more than once.
    #[error("library {name:?} is at several places: {}", places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", "))]
    SeveralPlaces {
        /// Its name.
        name: String,
        /// Where.
        places: Vec<PathBuf>,
    },
    /// What is there has no marker, and too little of what the library held.
    #[error("{} has no marker, and {there} of {of} files that were looked for in it", root.display())]
    NotAlike {
        /// The root that was asked for.
        root: PathBuf,
        /// The library's name.
        name: String,
        /// How many files of the sample are there.
        there: usize,
        /// How many were looked for.
        of: usize,
    },
    /// What is there is not the library.
    #[error("{} is not the library {name:?}: {}", root.display(), probe.detail)]
    NotTheLibrary {
        /// The root that was asked for.
        root: PathBuf,
        /// The library's name.
        name: String,
        /// What was found.
        probe: Box<Probe>,
    },
}

/// What `init` is asked for.
#[derive(Debug, Clone)]
pub struct InitOptions<'a> {
    /// The root, as typed.
    pub root: &'a Path,
    /// Its name; that of the root's directory otherwise.
    pub name: Option<&'a str>,
    /// The mount point that is expected to carry it.
    pub mount_point: Option<&'a Path>,
    /// Whether to write a marker.
    pub marker: bool,
}

/// How long a look may take.
///
/// # Errors
/// SQLite's.
pub fn deadline(catalog: &Catalog) -> Result<Duration, CatalogError> {
    Ok(Duration::from_millis(settings::integer(catalog.read(), &setting::PROBE_DEADLINE_MS)?.cast_unsigned()))
}

/// Makes a library of a directory: marker, identity of its volume, row in the catalogue. Makes no directory (D8).
///
/// # Errors
/// See [`LibraryError`]; nothing is kept then, and a marker that was written is the only thing that may stay behind.
pub fn init(
    catalog: &mut Catalog,
    options: &InitOptions<'_>,
    clock: &dyn Clock,
) -> Result<Library, LibraryError> {
    let root = canonical(options.root, deadline(catalog)?)?;
    let name = match options.name {
        Some(name) => name.to_owned(),
        None => {
            root.file_name().map_or_else(|| "library".to_owned(), |name| name.to_string_lossy().into_owned())
        }
    };
    if name.trim().is_empty()
        || name.contains('/')
        || name.contains(char::is_control)
        || name.starts_with('-')
    {
        return Err(LibraryError::BadName(name));
    }
    refuse_overlap(catalog, &root)?;
    let known = libraries::all(catalog.read())?;
    if known.iter().any(|library| library.name == name) {
        return Err(LibraryError::NameTaken(name));
    }
    let identity = volume::identify(&root, options.mount_point, deadline(catalog)?)?;
    let now_ms = clock.now_ms();
    let mut marker = Marker {
        library_id: Ids::default().next(now_ms),
        name: name.clone(),
        generation: 1,
        created: clock.now(),
        last_scans: Vec::new(),
    };
    let mut stamps = None;
    match marker::read(&root)? {
        Some(found) => match known.iter().find(|library| library.ulid == found.library_id) {
            Some(library) => {
                return Err(LibraryError::ForeignMarker {
                    root,
                    name: library.name.clone(),
                    id: library.ulid,
                });
            }
            // The catalogue was lost, or belongs to another device: the disk says who it is, and stays so.
            None if options.marker => marker = Marker { name: name.clone(), ..found },
            None => return Err(LibraryError::ForeignMarker { root, name: found.name, id: found.library_id }),
        },
        None if options.marker => stamps = marker::create(&root, &marker)?,
        None => {}
    }
    let identity = serde_json::to_string(&identity).map_err(CatalogError::from)?;
    let new = NewLibrary {
        ulid: marker.library_id,
        name: &name,
        root: &root,
        has_marker: options.marker,
        marker_generation: marker.generation,
        identity: &identity,
        availability: Availability::Available,
    };
    let library_id = catalog.change::<_, CatalogError>(|tx| libraries::insert(tx, &new, now_ms))?;
    let library = libraries::by_id(catalog.read(), library_id)?;
    // What goes wrong with that now is told by the first scan, which measures where this has not.
    if let Ok(root) = volume::verify(&expected(&library)?, deadline(catalog)?) {
        measure(catalog, &library, &root, stamps, clock)?;
    }
    Ok(library)
}

fn canonical(root: &Path, deadline: Duration) -> Result<PathBuf, LibraryError> {
    // With the dot it has to be a directory, and only one question is put to a disk that may not answer.
    volume::real_path(&root.join("."), deadline).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LibraryError::NoRoot(root.to_owned()),
        std::io::ErrorKind::NotADirectory => LibraryError::NotADirectory(root.to_owned()),
        _ => LibraryError::Unreadable { path: root.to_owned(), source: error },
    })
}

/// Whether a path in a library leads to a directory. A disk that does not answer is no "no": looking at the library tells.
///
/// # Errors
/// The catalogue's.
pub fn may_be_directory(catalog: &Catalog, path: &Path) -> Result<bool, CatalogError> {
    Ok(match volume::real_path(&path.join("."), deadline(catalog)?) {
        Ok(_) => true,
        // One that is longer than the operating system takes at once is left to who opens it in steps.
        Err(error) => {
            matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::InvalidFilename)
        }
    })
}

fn refuse_overlap(catalog: &Catalog, root: &Path) -> Result<(), LibraryError> {
    for library in libraries::all(catalog.read())? {
        if library.root == root {
            return Err(LibraryError::AlreadyALibrary { root: root.to_owned(), name: library.name });
        }
        if overlap(&library.root, root) {
            return Err(LibraryError::Nested {
                root: root.to_owned(),
                name: library.name,
                other: library.root,
            });
        }
    }
    for store in stores::all(catalog.read())? {
        if let Ok(StoreUrl::Dir { path }) = StoreUrl::parse(&store.url, Path::new("/"))
            && overlap(&path, root)
        {
            return Err(LibraryError::StoreInside { root: root.to_owned(), store: store.name, path });
        }
    }
    let home = catalog.path().parent().and_then(|home| home.canonicalize().ok());
    match home {
        Some(home) if home.starts_with(root) => Err(LibraryError::CatalogInside(catalog.path().to_owned())),
        _ => Ok(()),
    }
}

fn overlap(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// A store may not stand in a library, nor a library in a store: what is written would be catalogued and sent again.
///
/// # Errors
/// [`LibraryError::StoreInside`].
pub fn refuse_store_inside(catalog: &Catalog, url: &StoreUrl) -> Result<(), LibraryError> {
    let Some(path) = url.directory() else { return Ok(()) };
    // The store itself may not be there yet: what it would be, with the links of its parent resolved.
    let real = match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(real), _, _) => real,
        (Err(_), Some(parent), Some(name)) => {
            parent.canonicalize().unwrap_or_else(|_| parent.to_owned()).join(name)
        }
        (Err(_), _, _) => path.to_owned(),
    };
    for library in libraries::all(catalog.read())? {
        if overlap(&library.root, &real) || overlap(&library.root, path) {
            return Err(LibraryError::StoreInside { root: library.root, store: url.to_string(), path: real });
        }
    }
    Ok(())
}

/// What the volume room holds the disk against.
///
/// # Errors
/// The identity in the catalogue is not understood.
pub fn expected(library: &Library) -> Result<Expected, CatalogError> {
    let identity: Identity = serde_json::from_str(&library.identity)?;
    Ok(Expected {
        library_id: library.ulid,
        name: library.name.clone(),
        root: library.root.clone(),
        marker: library.has_marker,
        identity,
        last_seen_ms: library.last_seen,
        marker_generation: library.marker_generation,
        last_scan: library.marked.map(|marked| LastScan { catalog: marked.catalog, scan: marked.scan }),
    })
}

/// Looks whether a library is there, and remembers the answer.
///
/// # Errors
/// The catalogue's. That the library is not there is an answer, the inner error.
pub fn look(
    catalog: &mut Catalog,
    library: &Library,
    clock: &dyn Clock,
) -> Result<Result<VerifiedRoot, Probe>, CatalogError> {
    let answer = volume::verify(&expected(library)?, deadline(catalog)?);
    let availability = match &answer {
        Ok(root) => root.availability(),
        Err(probe) => probe.availability,
    };
    note(catalog, library, availability, clock)?;
    Ok(answer)
}

/// Remembers how a library was found.
///
/// # Errors
/// SQLite's.
pub fn note(
    catalog: &mut Catalog,
    library: &Library,
    availability: Availability,
    clock: &dyn Clock,
) -> Result<(), CatalogError> {
    let now_ms = clock.now_ms();
    catalog.change(|tx| libraries::set_availability(tx, library.library_id, availability, now_ms))
}

/// The library is somewhere else now: at `to`, or, without that, wherever its marker is among the mounted disks (L9).
///
/// # Errors
/// See [`LibraryError`]; nothing is changed where what is there is not the library.
pub fn relocate(
    catalog: &mut Catalog,
    library: &Library,
    to: Option<&Path>,
    clock: &dyn Clock,
) -> Result<Library, LibraryError> {
    let before = expected(library)?;
    let root = match to {
        Some(to) => canonical(to, deadline(catalog)?)?,
        None => search(catalog, &before)?,
    };
    for other in
        libraries::all(catalog.read())?.into_iter().filter(|other| other.library_id != library.library_id)
    {
        if overlap(&other.root, &root) {
            return Err(LibraryError::Nested { root, name: other.name, other: other.root });
        }
    }
    let deadline = deadline(catalog)?;
    let identity = volume::identify(&root, None, deadline)?;
    // The volume has to be the old one, mounted elsewhere: a copy of the disk has the same marker, and may be older.
    let moved = Identity {
        mount_point: identity.mount_point.clone(),
        source: identity.source.clone(),
        separate_mount: identity.separate_mount,
        ..before.identity.clone()
    };
    let expected = Expected { root: root.clone(), identity: moved, ..before };
    if let Err(probe) = volume::verify(&expected, deadline) {
        return Err(LibraryError::NotTheLibrary { root, name: library.name.clone(), probe: Box::new(probe) });
    }
    settle(catalog, library, &root, &identity, clock)
}

/// Writes down where a library is now.
fn settle(
    catalog: &mut Catalog,
    library: &Library,
    root: &Path,
    identity: &Identity,
    clock: &dyn Clock,
) -> Result<Library, LibraryError> {
    let identity = serde_json::to_string(identity).map_err(CatalogError::from)?;
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        libraries::relocate(tx, library.library_id, root, &identity, now_ms)?;
        libraries::set_availability(tx, library.library_id, Availability::Available, now_ms)
    })?;
    Ok(libraries::by_id(catalog.read(), library.library_id)?)
}

fn search(catalog: &Catalog, expected: &Expected) -> Result<PathBuf, LibraryError> {
    let nowhere = || LibraryError::NowhereMounted(expected.name.clone());
    let table = volume::mount_table()
        .map_err(|source| LibraryError::Unreadable { path: "/proc/self/mountinfo".into(), source })?;
    let rel_root = expected.rel_root().ok_or_else(nowhere)?;
    let found = volume::find_library(expected.library_id, &table, rel_root, deadline(catalog)?).found;
    // Beside the library itself a copy that lags behind is none of its places.
    let up_to_date = |found: &FoundLibrary| {
        found.marker.generation == expected.marker_generation
            && !expected.last_scan.is_some_and(|known| found.marker.lags_behind(known))
    };
    let (library, copies): (Vec<_>, Vec<_>) = found.into_iter().partition(up_to_date);
    let found = if library.is_empty() { copies } else { library };
    let mut places: Vec<PathBuf> = found.into_iter().map(|found| found.root).collect();
    match places.len() {
        0 => Err(nowhere()),
        1 => Ok(places.remove(0)),
        _ => Err(LibraryError::SeveralPlaces { name: expected.name.clone(), places }),
    }
}
