use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::json;

use super::context::Context;
use super::edited::{Command, Places};
use super::exit::{Exit, Failure};
use super::selection::{Query, Selected, of_paths};
use crate::catalog::{Catalog, documents};
use crate::curate::Asked;
use crate::curate::CurateError;
use crate::curate::change::Change;
use crate::curate::value::plain;
use crate::model::Field;
use crate::model::document::effective;

/// Add tags to a document and remove some, or show them.
///
/// `shelflist tag PATH TAG...` adds to one file's document. With --add, or with --remove and one argument, every argument is a
/// path. With --where, --library or --id every argument is a tag.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file, and the tags to add; see above.
    #[arg(value_name = "PATH OR TAG", required_unless_present_any = ["id", "fits", "library"])]
    words: Vec<OsString>,
    #[command(flatten)]
    query: Query,
    /// A tag to add; several times for several.
    #[arg(long, value_name = "TAG", allow_hyphen_values = true)]
    add: Vec<String>,
    /// A tag to remove; several times for several.
    #[arg(long, value_name = "TAG", allow_hyphen_values = true)]
    remove: Vec<String>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Change more than 20 documents, too.
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { words, query, mut add, remove, dry_run, yes } = args;
    let paths_end = match (query.is_given(), add.is_empty()) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => words.len(),
    };
    let (paths, tags) = words.split_at(paths_end);
    for tag in tags {
        add.push(tag.to_str().map(str::to_owned).ok_or_else(|| Failure::usage("a tag has to be UTF-8"))?);
    }
    let mut catalog = context.open()?;
    let selected = if query.is_given() {
        query.documents(context, &catalog)?
    } else {
        of_paths(context, &catalog, &paths.iter().map(PathBuf::from).collect::<Vec<_>>())?
    };
    if add.is_empty() && remove.is_empty() {
        return show(context, &catalog, &selected, Field::Tags);
    }
    let change = Change::members(Field::Tags, &add, &remove).map_err(CurateError::Value)?;
    let mut said = Vec::new();
    if !add.is_empty() {
        said.push(format!("add {}", add.join("; ")));
    }
    if !remove.is_empty() {
        said.push(format!("remove {}", remove.join("; ")));
    }
    let said = format!("tag {}{}", said.join(", "), query.words());
    let fields = [Asked::new(Field::Tags, change)];
    Command { said, dry_run, yes, selected: &selected, fields: &fields }.run(context, &mut catalog)
}

/// What a field of these documents shows.
pub(super) fn show(
    context: &mut Context,
    catalog: &Catalog,
    selected: &Selected,
    field: Field,
) -> Result<Exit, Failure> {
    let places = Places::of(catalog)?;
    let mut shown = Vec::with_capacity(selected.documents.len());
    for document_id in &selected.documents {
        let annotations = documents::annotations(catalog.read(), *document_id)?;
        let values =
            effective(&annotations).get(&field).map(|word| plain(field, &word.values)).unwrap_or_default();
        if context.json {
            let mut object = places.json(catalog, *document_id)?;
            object["field"] = json!(field);
            object["values"] = json!(values);
            shown.push(object);
            continue;
        }
        if selected.documents.len() > 1 {
            let place = places.text(catalog, *document_id)?;
            context.out.line(place)?;
        }
        // Each line by itself: the output escapes what controls a terminal, line breaks among it.
        for line in values.iter().flat_map(|value| value.lines()) {
            context.out.line(line)?;
        }
    }
    if context.json {
        context.out.json(&json!({ "documents": shown }))?;
    }
    Ok(Exit::Done)
}
