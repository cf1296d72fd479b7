//! Going to the places that may have a content. Each disk and each store is looked at once in a run, and again when it
//! failed: what was pulled in the middle is away for the files that follow.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::plan::Source;
use crate::catalog::libraries::{self, Library};
use crate::catalog::stores::{self, StoreRow};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::Clock;
use crate::content::{self, ContentError};
use crate::library;
use crate::model::{FileKind, Stat};
use crate::remote::{self, Access, ErrorClass, Store, StoreError, StoreUrl};
use crate::volume::{self, NoAnswer, Patience, PatientReader, Probe, VerifiedRoot};

/// Why a place that should have a content did not give it.
#[derive(Debug, thiserror::Error)]
pub enum Passed {
    /// The library's disk is not here.
    #[error("{}: {}", .0.availability, .0.detail)]
    LibraryAway(Box<Probe>),
    /// The store is not here.
    #[error("the store is away")]
    StoreAway(#[source] StoreTrouble),
    /// The system would not let it be read.
    #[error("it could not be read")]
    Unreadable(#[source] io::Error),
    /// Something else is there: the file was changed since the last scan.
    #[error("the file was changed since it was scanned")]
    Changed,
    /// Its size and time are what they were, and its content is not: the disk does not give back what was written.
    #[error("its content is not what it was, though its size and time are: the disk may be failing")]
    Rotten,
    /// The store does not give back what it was given.
    #[error("the store's object is damaged")]
    Damaged,
    /// The store has lost it.
    #[error("the store does not have it any more")]
    Lost,
}

/// Why a store gives nothing now.
#[derive(Debug, thiserror::Error)]
pub enum StoreTrouble {
    /// The way to it.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// Its disk does not answer.
    #[error("its disk does not answer")]
    NoAnswer(#[from] Arc<NoAnswer>),
    /// Another one is there.
    #[error("another store is at this place")]
    Other,
    /// Its address is not understood by this version.
    #[error("its address is not understood: {0}")]
    Url(String),
}

impl Clone for StoreTrouble {
    fn clone(&self) -> Self {
        match self {
            StoreTrouble::Store(error) => StoreTrouble::Store(Arc::clone(error)),
            StoreTrouble::NoAnswer(error) => StoreTrouble::NoAnswer(Arc::clone(error)),
            StoreTrouble::Other => StoreTrouble::Other,
            StoreTrouble::Url(text) => StoreTrouble::Url(text.clone()),
        }
    }
}

/// A place's trouble on its way through [`io::Error`].
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Content(ContentError),
    #[error(transparent)]
    Store(StoreError),
    #[error("it has another size")]
    Size,
}

struct StoreHere {
    row: StoreRow,
    url: Result<StoreUrl, String>,
    opened: Option<Result<Arc<dyn Store>, StoreTrouble>>,
}

/// The disks and stores of a run.
pub(super) struct Sources {
    libraries: HashMap<i64, (Library, Option<Result<VerifiedRoot, Probe>>)>,
    stores: HashMap<i64, StoreHere>,
    deadline: Duration,
}

/// A source that is being read. What it was when it was opened is told later.
pub(super) struct Opened {
    pub(super) reader: PatientReader,
    stat: Arc<Mutex<Option<Stat>>>,
}

impl Sources {
    pub(super) fn new(catalog: &Catalog) -> Result<Self, CatalogError> {
        let conn = catalog.read();
        let libraries = libraries::all(conn)?;
        let stores = stores::all(conn)?.into_iter().map(|row| {
            let url = StoreUrl::parse(&row.url, Path::new("/")).map_err(|error| error.to_string());
            (row.store_id, StoreHere { row, url, opened: None })
        });
        Ok(Sources {
            libraries: libraries.into_iter().map(|library| (library.library_id, (library, None))).collect(),
            stores: stores.collect(),
            deadline: library::deadline(catalog)?,
        })
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Whether a library could be read when it was looked at last.
    pub(super) fn was_here(&self, library_id: i64) -> bool {
        match self.libraries.get(&library_id) {
            Some((_, Some(looked))) => looked.is_ok(),
            Some((library, None)) => library.availability.is_readable(),
            None => false,
        }
    }

    fn root(&mut self, library_id: i64) -> Result<Result<VerifiedRoot, Probe>, CatalogError> {
        let (library, looked) = self.libraries.get_mut(&library_id).expect("files are of known libraries");
        if looked.is_none() {
            *looked = Some(volume::verify(&library::expected(library)?, self.deadline));
        }
        Ok(looked.clone().expect("looked at just now"))
    }

    fn store(
        &mut self,
        store_id: i64,
        clock: &dyn Clock,
    ) -> (Result<Arc<dyn Store>, StoreTrouble>, Patience) {
        let deadline = self.deadline;
        let store = self.stores.get_mut(&store_id).expect("objects are of known stores");
        let directory = store.url.as_ref().ok().and_then(StoreUrl::directory);
        let place = directory.map_or_else(|| PathBuf::from(&store.row.url), Path::to_owned);
        let patience = Patience::new(&place, deadline);
        let opened = store.opened.get_or_insert_with(|| {
            let url = store.url.clone().map_err(StoreTrouble::Url)?;
            let now = clock.now();
            let access = Access::known(store.row.password_command.as_deref(), store.row.found);
            let opened = patience
                .work(&|| true, move |_| {
                    let store = remote::open(&url, &access, now)?;
                    Ok::<_, StoreError>((store.identity()?, store))
                })
                .map_err(|silent| StoreTrouble::NoAnswer(Arc::new(silent)))?;
            let (identity, opened) = opened.map_err(|error| StoreTrouble::Store(Arc::new(error)))?;
            match (identity, opened.into_objects()) {
                (Some(identity), Some(opened)) if identity.store == store.row.remote_store => {
                    Ok(Arc::from(opened))
                }
                // The ledger has no originals of an index.
                _ => Err(StoreTrouble::Other),
            }
        });
        (opened.clone(), patience)
    }

    /// Begins to read what is at a place.
    pub(super) fn open(
        &mut self,
        source: &Source,
        bytes: u64,
        clock: &dyn Clock,
    ) -> Result<Result<Opened, Passed>, CatalogError> {
        let seen = Arc::new(Mutex::new(None));
        let reader = match source {
            Source::Copy { library_id, path, .. } => {
                let root = match self.root(*library_id)? {
                    Ok(root) => root,
                    Err(probe) => return Ok(Err(Passed::LibraryAway(Box::new(probe)))),
                };
                let path = path.under(root.path());
                let seen = Arc::clone(&seen);
                root.patience().reader(move || {
                    let (file, stat) = content::open_regular(&path)
                        .map_err(|error| io::Error::other(Trouble::Content(error)))?;
                    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(stat);
                    // Not a byte need be read of what cannot be it.
                    if stat.size == bytes { Ok(file) } else { Err(io::Error::other(Trouble::Size)) }
                })
            }
            Source::Object { store_id, remote_id } => {
                let (store, patience) = self.store(*store_id, clock);
                let store = match store {
                    Ok(store) => store,
                    Err(trouble) => return Ok(Err(Passed::StoreAway(trouble))),
                };
                let Ok(key) = remote_id.parse() else { return Ok(Err(Passed::Lost)) };
                patience
                    .reader(move || store.get(&key).map_err(|error| io::Error::other(Trouble::Store(error))))
            }
        };
        Ok(Ok(Opened { reader, stat: seen }))
    }

    /// What it means that reading a place ended with this error.
    pub(super) fn failed(&mut self, source: &Source, error: io::Error) -> Passed {
        let trouble = error.downcast::<Trouble>();
        match source {
            Source::Copy { library_id, .. } => {
                if let Err(probe) = self.look_again(*library_id) {
                    return Passed::LibraryAway(Box::new(probe));
                }
                match trouble {
                    Ok(Trouble::Size | Trouble::Content(ContentError::NotRegular)) => Passed::Changed,
                    Ok(Trouble::Content(ContentError::Io(error))) | Err(error) => Passed::Unreadable(error),
                    Ok(trouble) => Passed::Unreadable(io::Error::other(trouble)),
                }
            }
            Source::Object { store_id, .. } => {
                let away = match trouble {
                    Ok(Trouble::Store(error @ StoreError::NoSuchObject { .. })) => {
                        tracing::debug!(%error, "the ledger says otherwise");
                        return Passed::Lost;
                    }
                    Ok(Trouble::Store(error)) if error.class() == ErrorClass::Channel => {
                        StoreTrouble::Store(Arc::new(error))
                    }
                    Ok(Trouble::Store(error)) => return Passed::Unreadable(io::Error::other(error)),
                    Ok(trouble) => return Passed::Unreadable(io::Error::other(trouble)),
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        StoreTrouble::NoAnswer(Arc::new(NoAnswer::Overdue(self.deadline)))
                    }
                    Err(error) => return Passed::Unreadable(error),
                };
                if let Some(store) = self.stores.get_mut(store_id) {
                    store.opened = Some(Err(away.clone()));
                }
                Passed::StoreAway(away)
            }
        }
    }

    /// What it means that a place had something else.
    pub(super) fn differs(&self, source: &Source, opened: &Arc<Mutex<Option<Stat>>>) -> Passed {
        let Source::Copy { stat: known, .. } = source else { return Passed::Damaged };
        let seen = opened.lock().unwrap_or_else(PoisonError::into_inner);
        let same = seen.is_some_and(|seen| {
            (seen.kind, seen.size, seen.mtime_ns) == (FileKind::Regular, known.size, known.mtime_ns)
        });
        if same { Passed::Rotten } else { Passed::Changed }
    }

    fn look_again(&mut self, library_id: i64) -> Result<(), Probe> {
        let Some((_, Some(looked))) = self.libraries.get_mut(&library_id) else { return Ok(()) };
        if let Ok(root) = looked
            && let Err(probe) = root.recheck()
        {
            *looked = Err(probe.clone());
            return Err(probe);
        }
        Ok(())
    }
}

impl Opened {
    /// For [`Sources::differs`], once the reader is given away.
    pub(super) fn stat(&self) -> Arc<Mutex<Option<Stat>>> {
        Arc::clone(&self.stat)
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}
