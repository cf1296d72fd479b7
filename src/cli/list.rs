use std::collections::HashMap;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{hex, put_path, rfc3339, size};
use crate::catalog::query::{self, FileCard, Filter};
use crate::catalog::{Catalog, CatalogError, libraries};
use crate::model::Presence;

/// List catalogued files. Works with the disk away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    library: Option<String>,
    /// Only missing files.
    #[arg(long)]
    missing: bool,
    /// Only documents of this source type.
    #[arg(long = "type", value_name = "TYPE")]
    source_type: Option<String>,
    /// Only documents of this authority tier.
    #[arg(long)]
    tier: Option<String>,
    /// Only documents with this tag.
    #[arg(long)]
    tag: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library, missing, source_type, tier, tag, limit } = args;
    let catalog = context.open()?;
    let libraries = context.libraries(&catalog, library.as_deref())?;
    let filter = Filter {
        libraries: Some(libraries.iter().map(|library| library.library_id).collect()),
        presence: missing.then_some(Presence::Missing),
        missing_before: None,
        source_type,
        tier,
        tag,
        limit,
    };
    let (cards, total) = query::list(catalog.read(), &filter)?;
    let names = names(&catalog)?;
    if context.json {
        let files: Vec<Value> = cards.iter().map(|card| card_json(card, &names)).collect();
        context.out.json(&json!({ "files": files, "total": total }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = cards
        .iter()
        .map(|card| {
            vec![
                card.status.to_string(),
                size(card.stat.size),
                names[&card.library_id].clone(),
                card.path.display(),
                card.title.clone().unwrap_or_default(),
            ]
        })
        .collect();
    context.out.table(&["STATUS", "SIZE", "LIBRARY", "PATH", "TITLE"], &rows)?;
    if total > cards.len() as u64 {
        context.out.line(format!("{} of {total}", cards.len()))?;
    }
    Ok(Exit::Done)
}

/// Names of libraries by their numbers.
pub(super) fn names(catalog: &Catalog) -> Result<HashMap<i64, String>, CatalogError> {
    Ok(libraries::all(catalog.read())?
        .into_iter()
        .map(|library| (library.library_id, library.name))
        .collect())
}

/// A file as scripts see it.
pub(super) fn card_json(card: &FileCard, names: &HashMap<i64, String>) -> Value {
    let mut object = json!({
        "library": names.get(&card.library_id),
        "kind": card.stat.kind,
        "size": card.stat.size,
        "content_hash": hex(card.content_hash),
        "status": card.status,
        "presence": card.presence,
        "title": card.title,
        "last_seen": rfc3339(card.last_seen),
    });
    put_path(&mut object, &card.path);
    object
}
