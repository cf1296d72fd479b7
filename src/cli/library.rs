mod show;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::rfc3339_or_null;
use crate::catalog::libraries::{self, Library};
use crate::catalog::{Catalog, CatalogError, RunLock};
use crate::clock::SystemClock;
use crate::library::{self, LibraryError};

/// List libraries, or say where one is now.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the libraries.
    List,
    /// Show what is known of a library and of the volume that carries it.
    Show {
        /// Name, id or root of the library; without it the one of the current directory, else all.
        library: Option<String>,
    },
    /// A library is at another place now: find it by its marker among the mounted disks, or take the place given.
    Relocate {
        /// Name, id or root of the library.
        library: String,
        /// Its root now.
        root: Option<PathBuf>,
    },
    /// What lies at ROOT is the library from now on: a copy that takes its disk's place, or the library itself that
    /// lost its marker. Its marker, or a sample of its files, has to be there.
    Adopt {
        /// Name, id or root of the library.
        library: String,
        /// Its root now.
        root: PathBuf,
    },
    /// Forget a library. Nothing is deleted: its documents stay, what stores hold stays, its marker stays.
    Remove {
        /// Name, id or root of the library.
        library: String,
    },
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::List => list(context),
        Command::Show { library } => show::run(context, library.as_deref()),
        Command::Relocate { library, root } => place(context, &library, |catalog, library, clock| {
            library::relocate(catalog, library, root.as_deref(), clock)
        }),
        Command::Adopt { library, root } => {
            place(context, &library, |catalog, library, clock| library::adopt(catalog, library, &root, clock))
        }
        Command::Remove { library } => remove(context, &library),
    }
}

fn list(context: &mut Context) -> Result<Exit, Failure> {
    let catalog = context.open()?;
    let mut rows = Vec::new();
    for library in libraries::all(catalog.read())? {
        let label = library::expected(&library)?.identity.label;
        let availability = context.availability(&library)?;
        rows.push((library, label, availability));
    }
    if context.json {
        let all: Vec<Value> = rows
            .iter()
            .map(|(library, label, availability)| {
                json!({
                    "library": library.name,
                    "library_id": library.ulid.to_string(),
                    "root": library.root.to_string_lossy(),
                    "marker": library.has_marker,
                    "volume_label": label,
                    "availability": availability,
                    "last_seen": rfc3339_or_null(library.last_seen),
                    "last_complete_scan": rfc3339_or_null(library.last_complete_scan),
                })
            })
            .collect();
        context.out.json(&json!({ "libraries": all }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(library, label, availability)| {
            vec![
                library.name,
                availability.to_string(),
                label.unwrap_or_default(),
                library.root.display().to_string(),
                library.ulid.to_string(),
            ]
        })
        .collect();
    context.out.table(&["LIBRARY", "AVAILABILITY", "DISK", "ROOT", "ID"], &rows)?;
    Ok(Exit::Done)
}

/// A library gets another place, by one of the two ways there are.
fn place(
    context: &mut Context,
    named: &str,
    verb: impl FnOnce(&mut Catalog, &Library, &SystemClock) -> Result<Library, LibraryError>,
) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let before = context.library(&catalog, named)?;
    let _lock = RunLock::take(catalog.path())?;
    let after = verb(&mut catalog, &before, &context.clock)?;
    if context.json {
        context.out.json(&json!({
            "library": after.name,
            "library_id": after.ulid.to_string(),
            "root": after.root.to_string_lossy(),
            "root_before": before.root.to_string_lossy(),
        }))?;
    } else {
        context.out.line(format!("{} is at {} now", after.name, after.root.display()))?;
    }
    Ok(Exit::Done)
}

fn remove(context: &mut Context, named: &str) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let library = context.library(&catalog, named)?;
    let _lock = RunLock::take(catalog.path())?;
    catalog.change::<_, CatalogError>(|tx| libraries::remove(tx, library.library_id))?;
    if context.json {
        context.out.json(&json!({ "library": library.name, "library_id": library.ulid.to_string() }))?;
    } else {
        context.out.line(format!("library {} is forgotten; nothing was deleted", library.name))?;
        context.out.line(format!("take it back with: shelflist init {}", library.root.display()))?;
    }
    Ok(Exit::Done)
}
