//! Which documents a command is about: those of files that are named, or those that fit a query.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use ulid::Ulid;

use super::context::Context;
use super::exit::{Exit, Failure};
use crate::catalog::{Catalog, CatalogError, Connection, documents, export, search};
use crate::model::path::display_name;

/// More documents than this are changed only by who says so.
pub(super) const MANY: u64 = 20;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct Query {
    /// The document of this id, as `show --json` and `export` tell it; several times for several.
    #[arg(long, value_name = "ULID")]
    id: Vec<Ulid>,
    /// All documents that fit this query, as `find` understands it.
    #[arg(long = "where", value_name = "QUERY", conflicts_with = "id")]
    fits: Option<String>,
    /// Only documents with a file in this library: all of it, or those of it that fit --where.
    #[arg(long, value_name = "LIBRARY", conflicts_with = "id")]
    library: Option<String>,
}

impl Query {
    /// Whether it says which documents; else paths do.
    pub(super) fn is_given(&self) -> bool {
        !self.id.is_empty() || self.fits.is_some() || self.library.is_some()
    }

    /// In words, for the log.
    pub(super) fn words(&self) -> String {
        let Query { id: _, fits, library } = self;
        let mut words = String::new();
        if let Some(fits) = fits {
            words.push_str(&format!(", where {fits}"));
        }
        if let Some(library) = library {
            words.push_str(&format!(", in {library}"));
        }
        words
    }

    /// The documents. What waits to be indexed is indexed for the question, so that none is missed.
    pub(super) fn documents(&self, context: &Context, catalog: &Catalog) -> Result<Selected, Failure> {
        // A scan beside it may discard what was found a moment ago.
        let _moment = catalog.snapshot()?;
        let conn = catalog.read();
        let Query { id, fits, library } = self;
        let mut selected = Selected::default();
        for ulid in id {
            selected.documents.push(documents::by_ulid(conn, *ulid)?.ok_or_else(|| {
                Failure::new(Exit::Failed, format!("there is no document {ulid}"))
                    .hint("`shelflist show PATH --json` tells the id of a file's document")
            })?);
        }
        if let Some(fits) = fits {
            if fits.trim().is_empty() {
                return Err(Failure::usage("--where got an empty query")
                    .hint("say what the documents have in common, or give --library for all of a library"));
            }
            selected.documents = search::matching(conn, fits)?;
        }
        if let Some(library) = library {
            let of_library = export::of_libraries(conn, &[context.library(catalog, library)?.library_id])?;
            match fits {
                Some(_) => selected.documents.retain(|document| of_library.binary_search(document).is_ok()),
                None => selected.documents = of_library,
            }
        }
        Selected::of(conn, selected.documents)
    }
}

/// Documents that are meant.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) documents: Vec<i64>,
    /// Their ids, in the same order.
    pub(super) ulids: Vec<Ulid>,
}

impl Selected {
    fn of(conn: &Connection, mut documents: Vec<i64>) -> Result<Selected, Failure> {
        documents.sort_unstable();
        documents.dedup();
        let ulids = documents
            .iter()
            .map(|document_id| Ok(documents::by_id(conn, *document_id)?.ulid))
            .collect::<Result<_, CatalogError>>()?;
        Ok(Selected { documents, ulids })
    }
}

/// The documents of files that are named.
pub(super) fn of_paths(context: &Context, catalog: &Catalog, paths: &[PathBuf]) -> Result<Selected, Failure> {
    let _moment = catalog.snapshot()?;
    let mut documents = Vec::with_capacity(paths.len());
    for path in paths {
        let (_, card) = context.known_file(catalog, path)?;
        documents.push(card.document_id.ok_or_else(|| {
            let path = display_name(path.as_os_str().as_bytes());
            Failure::new(Exit::Failed, format!("{path} has no card: it is a link, or was never read"))
                .hint("a file that can be read gets one with the next: shelflist scan")
        })?);
    }
    Selected::of(catalog.read(), documents)
}
