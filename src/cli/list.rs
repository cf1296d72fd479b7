use std::collections::HashMap;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::find::Filters;
use super::output::{hex, put_path, rfc3339, size};
use crate::catalog::query::{self, FileCard, Filter};
use crate::catalog::search::{self, Query};
use crate::catalog::{Catalog, CatalogError, libraries};
use crate::model::Presence;

/// Rows that the widths of the columns are taken from; a table of more is not held back for the last of them.
const MEASURED: usize = 1000;

/// List catalogued files, by library and path. Works with the disk away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    library: Option<String>,
    /// Only missing files.
    #[arg(long)]
    missing: bool,
    #[command(flatten)]
    filters: Filters,
    /// Only files of documents that `find` finds so.
    #[arg(long = "where", value_name = "QUERY", allow_hyphen_values = true)]
    matching: Option<String>,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library, missing, filters, matching, limit } = args;
    let mut asked = Query::parse(matching.as_deref().unwrap_or_default());
    let asks_for_nothing = matching.is_some() && asked.is_empty();
    filters.add_to(&mut asked)?;
    let catalog = context.open()?;
    let _moment = catalog.snapshot()?;
    let libraries = context.libraries(&catalog, library.as_deref())?;
    let documents = match asked.is_empty() && !asks_for_nothing {
        true => None,
        false => Some(search::fitting_all(catalog.read(), &asked)?),
    };
    let filter = Filter {
        libraries: Some(libraries.iter().map(|library| library.library_id).collect()),
        presence: missing.then_some(Presence::Missing),
        missing_before: None,
        documents,
        limit,
    };
    let names = names(&catalog)?;
    if context.json {
        let mut separator = "";
        context.out.write(b"{\"files\":[")?;
        let total = query::each::<Failure>(catalog.read(), &filter, |card| {
            context.out.write(separator.as_bytes())?;
            context.out.write(card_json(&card, &names).to_string().as_bytes())?;
            separator = ",";
            Ok(())
        })?;
        context.out.write(format!("],\"total\":{total}}}\n").as_bytes())?;
        return Ok(Exit::Done);
    }
    let row = |card: &FileCard| {
        vec![
            card.status.to_string(),
            size(card.stat.size),
            names[&card.library_id].clone(),
            card.path.display(),
            card.title.clone().unwrap_or_default(),
        ]
    };
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut widths: Option<Vec<usize>> = None;
    let mut listed = 0;
    const HEAD: [&str; 5] = ["STATUS", "SIZE", "LIBRARY", "PATH", "TITLE"];
    let total = query::each::<Failure>(catalog.read(), &filter, |card| {
        listed += 1;
        match &widths {
            Some(widths) => context.out.row(widths, &row(&card))?,
            None => rows.push(row(&card)),
        }
        if rows.len() == MEASURED {
            widths = Some(context.out.begin_table(&HEAD, &std::mem::take(&mut rows))?);
        }
        Ok(())
    })?;
    if widths.is_none() {
        context.out.table(&HEAD, &rows)?;
    }
    if total > listed {
        context.out.line(format!("{listed} of {total}"))?;
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
