use std::path::PathBuf;

use super::context::Context;
use super::edited::Command;
use super::exit::{Exit, Failure};
use super::selection::of_paths;
use super::tag;
use crate::curate::change::Change;
use crate::curate::{Asked, CurateError};
use crate::model::Field;

/// Add a line to the note on a document's card, or show the note.
///
/// `shelflist edit PATH --note TEXT` replaces it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A path on disk, or relative to a library's root.
    path: PathBuf,
    /// The line; without it the note is shown.
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { path, text } = args;
    let mut catalog = context.open()?;
    let selected = of_paths(context, &catalog, &[path])?;
    if text.is_empty() {
        return tag::show(context, &catalog, &selected, Field::Notes);
    }
    let text = text.join(" ");
    let change = Change::append(Field::Notes, &text).map_err(CurateError::Value)?;
    let fields = [Asked::new(Field::Notes, change)];
    let said = format!("note {text}");
    Command { said, dry_run: false, yes: false, selected: &selected, fields: &fields }
        .run(context, &mut catalog)
}
