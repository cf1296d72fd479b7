use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::context::{Context, QUICK_LOOK, clean};
use super::exit::{Exit, Failure, chain};
use super::output::plural;
use super::selection::Query;
use crate::catalog::{Catalog, libraries};
use crate::curate::{self, CurateError, Format, Scope};
use crate::library::outside::{self, Forbidden, OutsideError};
use crate::model::path::display_name;
use crate::volume::Patience;

/// Write the cards of documents as a list: for a spreadsheet and back with `import`, or for scripts.
///
/// One row a document, with the values that count. Works with the disk and the network away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    #[arg(value_name = "LIBRARY", conflicts_with_all = ["library", "fits", "id"])]
    named: Option<String>,
    #[command(flatten)]
    query: Query,
    /// In which form.
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Into this file, which is put in its place when it is whole; else to standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file where there is one.
    #[arg(long, requires = "out")]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A table: with a byte-order mark in a file, so that Excel reads it as UTF-8; without one on standard output.
    Csv,
    /// One object with all documents.
    Json,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { named, query, format, out, force } = args;
    let format = match (format, context.json, &out) {
        (Some(Form::Csv), true, None) => {
            return Err(Failure::usage("--json and --format csv both want standard output")
                .hint("write the table to a file with --out FILE"));
        }
        (Some(Form::Json), _, _) | (None, true, None) => Format::Json,
        (Some(Form::Csv) | None, _, out) => Format::Csv { bom: out.is_some() },
    };
    let catalog = context.open()?;
    let scope = if query.is_given() {
        Scope::Documents(query.documents(context, &catalog)?.documents)
    } else {
        let meant = context.libraries(&catalog, named.as_deref())?;
        let all = libraries::all(catalog.read())?.len();
        // Works without a file belong to no library.
        if named.is_none() && meant.len() == all {
            Scope::All
        } else {
            Scope::Libraries(meant.iter().map(|library| library.library_id).collect())
        }
    };
    let Some(out) = out else {
        let documents = match curate::export(&catalog, &scope, format, &mut context.out) {
            Ok(documents) => documents,
            // A reader that has seen enough is no error.
            Err(CurateError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
                return Ok(Exit::Done);
            }
            Err(error) => return Err(error.into()),
        };
        tracing::info!(documents, "exported");
        return Ok(Exit::Done);
    };
    let documents = write(&catalog, &scope, format, &out, force)?;
    let name = display_name(out.as_os_str().as_bytes());
    if context.json {
        context.out.json(&json!({ "file": name, "documents": documents }))?;
    } else {
        context.out.line(format!("{name}: {}", plural(documents, "document", "documents")))?;
    }
    Ok(Exit::Done)
}

fn unusable(name: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, format!("the directory of {name} cannot be used: {}", chain(error)))
        .hint("give a directory that is there; shelflist makes none for a list")
}

/// Writes the list beside its name, and gives it the name when it is whole.
fn write(catalog: &Catalog, scope: &Scope, format: Format, out: &Path, force: bool) -> Result<u64, Failure> {
    let name = display_name(out.as_os_str().as_bytes());
    let absolute = clean(&std::path::absolute(out)?);
    let (Some(dir), Some(_)) = (absolute.parent(), absolute.file_name()) else {
        return Err(Failure::usage(format!("{name} is no name of a file")));
    };
    let forbidden = Forbidden::of(catalog.read())?;
    let asked = dir.to_owned();
    let opened = Patience::new(dir, QUICK_LOOK)
        .work(&|| true, move |_| outside::open(&asked, &forbidden))
        .map_err(|silent| unusable(&name, &silent))?;
    let real = match opened {
        Ok((_, real)) => real,
        Err(inside @ (OutsideError::InLibrary { .. } | OutsideError::InStore { .. })) => {
            return Err(Failure::new(Exit::Failed, inside.to_string())
                .hint("shelflist writes no lists into libraries and stores; give a place outside"));
        }
        Err(error) => return Err(unusable(&name, &error)),
    };
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Failed, format!("{name} could not be written: {error}"))
            .hint("nothing was left behind; make room, or give another place")
    };
    let taken = || {
        Failure::new(Exit::Failed, format!("{name} is there already"))
            .hint("give another name, or --force to replace it")
    };
    if !force && absolute.symlink_metadata().is_ok() {
        return Err(taken());
    }
    let mut file = tempfile::Builder::new()
        .prefix(".shelflist-export-")
        // Less what the user's mask takes away, as with every other file of his.
        .permissions(std::fs::Permissions::from_mode(0o666))
        .tempfile_in(&real)
        .map_err(failed)?;
    let mut writer = std::io::BufWriter::with_capacity(1 << 16, file.as_file_mut());
    let documents = match curate::export(catalog, scope, format, &mut writer) {
        Ok(documents) => documents,
        Err(CurateError::Io(error)) => return Err(failed(error)),
        Err(error) => return Err(error.into()),
    };
    writer.flush().map_err(failed)?;
    drop(writer);
    file.as_file().sync_all().map_err(failed)?;
    let target = real.join(absolute.file_name().expect("looked at above"));
    let placed = if force { file.persist(&target) } else { file.persist_noclobber(&target) };
    match placed {
        Ok(_) => Ok(documents),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Err(taken()),
        Err(error) => Err(failed(error.error)),
    }
}
