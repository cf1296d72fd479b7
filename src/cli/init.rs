use std::path::PathBuf;

use serde_json::json;

use super::context::{Context, QUICK_LOOK};
use super::exit::{Exit, Failure};
use crate::library::{self, InitOptions};
use crate::volume;

/// Make a library of a directory.
///
/// Writes the marker .shelflist/library.json under ROOT, by which the library is known wherever its disk is mounted;
/// nothing else is ever written there. The directory has to exist.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The directory that holds the files.
    root: PathBuf,
    /// What to call it; the directory's own name otherwise.
    #[arg(long)]
    name: Option<String>,
    /// The mount point that has to carry ROOT; refused where another volume does.
    #[arg(long, value_name = "DIR")]
    mount_point: Option<PathBuf>,
    /// Write nothing at all; the volume itself is recognised instead, which is less sure.
    #[arg(long)]
    no_marker: bool,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { root, name, mount_point, no_marker } = args;
    // Looked at before a catalogue is made for it.
    let seen = volume::real_path(&root, QUICK_LOOK);
    if seen.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
        return Err(crate::library::LibraryError::NoRoot(root).into());
    }
    let mut catalog = context.open_or_create()?;
    let options = InitOptions {
        root: &root,
        name: name.as_deref(),
        mount_point: mount_point.as_deref(),
        marker: !no_marker,
    };
    let library = library::init(&mut catalog, &options, &context.clock)?;
    if context.json {
        context.out.json(&json!({
            "library": library.name,
            "library_id": library.ulid.to_string(),
            "root": library.root.to_string_lossy(),
            "marker": library.has_marker,
        }))?;
    } else {
        context.out.line(format!("library {} at {}", library.name, library.root.display()))?;
        context.out.line(format!("next: shelflist scan {}", library.name))?;
    }
    Ok(Exit::Done)
}
