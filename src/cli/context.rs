//! What every command needs: catalogue, clock, output, and which libraries are meant.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::output::Out;
use super::ui::Ui;
use crate::catalog::libraries::{self, Library};
use crate::catalog::query::{self, FileCard};
use crate::catalog::{Catalog, CatalogError};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, ConfigError};
use crate::model::path::display_name;
use crate::model::{Availability, Reason, RelPath};
use crate::volume;

/// Commands that only ask do not wait longer than this for a disk that does not answer.
pub(super) const QUICK_LOOK: Duration = Duration::from_secs(1);

/// What every command needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) config: Config,
    pub(super) json: bool,
    pub(super) verbose: u8,
    pub(super) clock: SystemClock,
    pub(super) out: Out,
}

impl Context {
    pub(super) fn new(home: Option<&Path>, json: bool, verbose: u8) -> Result<Self, ConfigError> {
        let config = config::load(home)?;
        volume::hung::keep_in(config.home.join("hung"));
        let filter = match (&config.log, verbose) {
            (Some(filter), _) => filter.clone(),
            (None, 0) => "error".to_owned(),
            (None, 1) => "shelflist=info".to_owned(),
            (None, _) => "shelflist=debug".to_owned(),
        };
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
            .with_writer(std::io::stderr)
            .try_init();
        Ok(Context { config, json, verbose, clock: SystemClock, out: Out::new() })
    }

    /// The catalogue, which has to be there.
    pub(super) fn open(&self) -> Result<Catalog, Failure> {
        self.refuse_network()?;
        Ok(Catalog::open(&self.config.catalog(), self.clock.now())?)
    }

    /// The catalogue, made where it is not there.
    pub(super) fn open_or_create(&self) -> Result<Catalog, Failure> {
        self.refuse_network()?;
        Ok(Catalog::open_or_create(&self.config.catalog(), self.clock.now())?)
    }

    /// SQLite's locks do not hold on network file systems: two computers would damage the catalogue.
    fn refuse_network(&self) -> Result<(), Failure> {
        let table = volume::mount_table()?;
        let network = |place: &Path| volume::mount_of(&table, place).filter(|mount| mount.is_network());
        let home = &self.config.home;
        // As it is written first: whatever is touched on a network may hang. Then where its links lead, or those of what is
        // there of it so far.
        let really = || home.ancestors().find_map(|place| place.canonicalize().ok());
        match network(home).or_else(|| network(&really()?)) {
            Some(mount) => Err(Failure::new(
                Exit::Failed,
                format!(
                    "the catalogue's directory {} is on a network file system ({})",
                    home.display(),
                    mount.fs_type
                ),
            )
            .hint("give --home, or set SHELFLIST_HOME to, a directory on a disk of this computer")),
            None => Ok(()),
        }
    }

    pub(super) fn ui(&self) -> Ui {
        Ui::new(self.json, self.verbose > 0)
    }

    /// The libraries a command is about: the named one, else the one the current directory lies in, else all.
    pub(super) fn libraries(&self, catalog: &Catalog, named: Option<&str>) -> Result<Vec<Library>, Failure> {
        if let Some(named) = named {
            return Ok(vec![self.library(catalog, named)?]);
        }
        let here = std::env::current_dir().ok();
        if let Some(here) = here
            && let Some(library) = libraries::containing(catalog.read(), &here)?
        {
            return Ok(vec![library]);
        }
        Ok(libraries::all(catalog.read())?)
    }

    /// The library of that name or id, or with that root.
    pub(super) fn library(&self, catalog: &Catalog, named: &str) -> Result<Library, Failure> {
        if let Some(library) = libraries::by_name_or_id(catalog.read(), named)? {
            return Ok(library);
        }
        let real = |path: PathBuf| volume::real_path(&path, QUICK_LOOK).unwrap_or(path);
        let as_path = std::path::absolute(named).map(real).ok();
        let all = libraries::all(catalog.read())?;
        if let Some(library) = as_path.and_then(|path| all.iter().find(|library| library.root == path)) {
            return Ok(library.clone());
        }
        let known: Vec<&str> = all.iter().map(|library| library.name.as_str()).collect();
        let known = if known.is_empty() {
            "there is none yet".to_owned()
        } else {
            format!("known: {}", known.join(", "))
        };
        Err(Failure::usage(format!("there is no library {named:?}")).hint(known))
    }

    /// The library and the path in it that somebody means by `path`: on disk (here or recorded), or inside a library.
    pub(super) fn resolve(&self, catalog: &Catalog, path: &Path) -> Result<Vec<(Library, RelPath)>, Failure> {
        let mut meant: Vec<(Library, RelPath)> = Vec::new();
        let is_among = |meant: &[(Library, RelPath)], library: &Library, rel: &RelPath| {
            meant.iter().any(|(known, path)| known.ulid == library.ulid && path == rel)
        };
        let absolute = clean(&std::path::absolute(path)?);
        // A disk that was away at the last look may hang now: its links are not asked for.
        let away = self
            .by_recorded_root(catalog, &absolute)?
            .is_some_and(|(library, _)| !library.availability.is_readable());
        let real = if away { None } else { real_parent(&absolute) };
        for candidate in [Some(absolute), real].into_iter().flatten() {
            if let Some((library, rel)) = self.by_recorded_root(catalog, &candidate)?
                && !is_among(&meant, &library, &rel)
            {
                meant.push((library, rel));
            }
        }
        if let Some(rel) = RelPath::from_relative(path) {
            for library in libraries::all(catalog.read())? {
                // From within the library both ways lead to one place.
                if !is_among(&meant, &library, &rel) {
                    meant.push((library, rel.clone()));
                }
            }
        }
        Ok(meant)
    }

    /// The catalogued file that somebody means by `path`. One that is known by the recorded root is found without asking
    /// any disk, which may hang.
    pub(super) fn file(
        &self,
        catalog: &Catalog,
        path: &Path,
    ) -> Result<Option<(Library, FileCard)>, Failure> {
        if let Some((library, rel)) = self.by_recorded_root(catalog, &clean(&std::path::absolute(path)?))?
            && let Some(card) = query::file_at(catalog.read(), library.library_id, &rel)?
        {
            return Ok(Some((library, card)));
        }
        for (library, rel) in self.resolve(catalog, path)? {
            if let Some(card) = query::file_at(catalog.read(), library.library_id, &rel)? {
                return Ok(Some((library, card)));
            }
        }
        Ok(None)
    }

    /// The same, where a command has nothing to say about a file that is not known.
    pub(super) fn known_file(&self, catalog: &Catalog, path: &Path) -> Result<(Library, FileCard), Failure> {
        self.file(catalog, path)?.ok_or_else(|| {
            Failure::new(Exit::Failed, format!("{} is not in the catalogue", display_name(path.as_os_str().as_bytes())))
                .hint("give a path on disk or relative to the library's root; `shelflist explain PATH` says why it is not known, `shelflist scan` catalogues new files")
        })
    }

    fn by_recorded_root(
        &self,
        catalog: &Catalog,
        absolute: &Path,
    ) -> Result<Option<(Library, RelPath)>, Failure> {
        let Some(library) = libraries::containing(catalog.read(), absolute)? else { return Ok(None) };
        let rel = absolute.strip_prefix(&library.root).ok().and_then(RelPath::from_relative);
        Ok(rel.map(|rel| (library, rel)))
    }

    /// How a library is now, for commands that only ask: looked at quickly, not written down.
    pub(super) fn availability(&self, library: &Library) -> Result<Availability, CatalogError> {
        Ok(volume::probe(&crate::library::expected(library)?, QUICK_LOOK).availability)
    }
}

/// `.` and `..` resolved by their names alone: the disk may be away.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                clean.pop();
            }
            std::path::Component::CurDir => {}
            component => clean.push(component),
        }
    }
    clean
}

/// With the links of its directory resolved, but not the last name: that may be a link in the catalogue.
fn real_parent(path: &Path) -> Option<PathBuf> {
    Some(volume::real_path(path.parent()?, QUICK_LOOK).ok()?.join(path.file_name()?))
}

/// Whether a disk that is not there is simply away, and not a reason to worry (D10).
pub(super) fn is_absent(availability: Availability) -> bool {
    matches!(availability, Availability::Unavailable(Reason::NotMounted | Reason::RootMissing))
}
