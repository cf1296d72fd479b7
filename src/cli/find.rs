use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{local_time, put_path, rfc3339};
use crate::catalog::libraries::Library;
use crate::catalog::query::FileCard;
use crate::catalog::{documents, enrichments, ledger, libraries, query, search, stores};
use crate::model::path::display_name;
use crate::model::{ObjectState, Presence};

/// Search titles, authors, tags, paths and text. Works with the disk and the network away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The words to look for; all of them have to be there.
    #[arg(required = true)]
    query: Vec<String>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

struct Hit {
    copies: Vec<FileCard>,
    snippet: Option<String>,
    stores: Vec<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { query, limit } = args;
    let query = query.join(" ");
    let catalog = context.open()?;
    let conn = catalog.read();
    let (found, total) = search::find(conn, &query, limit)?;
    let store_names: HashMap<i64, String> =
        stores::all(conn)?.into_iter().map(|store| (store.store_id, store.name)).collect();
    let mut hits = Vec::new();
    for document_id in found {
        let document = documents::by_id(conn, document_id)?;
        let text = match document.content_hash {
            Some(hash) => enrichments::text(conn, hash)?,
            None => None,
        };
        let mut stores: Vec<String> = ledger::of_document(conn, document_id)?
            .into_iter()
            .filter(|object| object.state == ObjectState::Current)
            .filter_map(|object| store_names.get(&object.store_id).cloned())
            .collect();
        stores.dedup();
        hits.push(Hit {
            copies: query::copies(conn, document_id)?,
            snippet: text.and_then(|text| search::snippet(&text, &query, 60)),
            stores,
        });
    }
    // Each disk that a hit is on is looked at once.
    let mut here: HashMap<i64, (Library, bool)> = HashMap::new();
    for library in libraries::all(conn)? {
        if hits.iter().any(|hit| hit.copies.iter().any(|copy| copy.library_id == library.library_id)) {
            let available = context.availability(&library)?.is_readable();
            here.insert(library.library_id, (library, available));
        }
    }
    if context.json {
        let hits: Vec<Value> = hits.iter().map(|hit| hit_json(hit, &here)).collect();
        context.out.json(&json!({ "hits": hits, "total": total }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    for hit in &hits {
        for (at, copy) in hit.copies.iter().enumerate() {
            let (library, available) = &here[&copy.library_id];
            let place = if !*available {
                format!(
                    "{}: {} (disk away, last seen {})",
                    library.name,
                    copy.path,
                    local_time(copy.last_seen)
                )
            } else if copy.presence == Presence::Present {
                display_name(copy.path.under(&library.root).as_os_str().as_bytes())
            } else {
                format!(
                    "{}: {} ({}, last seen {})",
                    library.name,
                    copy.path,
                    copy.presence,
                    local_time(copy.last_seen)
                )
            };
            match (at, &copy.title) {
                (0, Some(title)) => {
                    out.line(title)?;
                    out.line(format!("  {place}"))?;
                }
                (0, None) => out.line(place)?,
                _ => out.line(format!("  {place}"))?,
            }
        }
        if let Some(snippet) = &hit.snippet {
            out.line(format!("  {}", display_name(snippet.as_bytes())))?;
        }
        if !hit.stores.is_empty() {
            out.line(format!("  in {}", hit.stores.join(", ")))?;
        }
    }
    match (total, hits.len() as u64) {
        (0, _) => out.line("nothing found")?,
        (total, shown) if total > shown => out.line(format!("{shown} of {total}; more with --limit"))?,
        _ => {}
    }
    Ok(Exit::Done)
}

fn hit_json(hit: &Hit, here: &HashMap<i64, (Library, bool)>) -> Value {
    let place = |copy: &FileCard| {
        let (library, available) = &here[&copy.library_id];
        let mut object = json!({
            "library": library.name,
            "available": *available && copy.presence != Presence::Missing,
            "presence": copy.presence,
            "last_seen": rfc3339(copy.last_seen),
        });
        put_path(&mut object, &copy.path);
        object
    };
    let copies: Vec<Value> = hit.copies.iter().map(place).collect();
    let mut object = json!({
        "path": null,
        "library": null,
        "title": hit.copies.first().and_then(|copy| copy.title.clone()),
        "snippet": hit.snippet,
        "available": false,
        "last_seen": null,
        "stores": hit.stores,
        "copies": copies,
    });
    // The first copy is the one that is most likely at hand.
    if let Some(Value::Object(first)) = copies.first() {
        for (key, value) in first {
            object[key] = value.clone();
        }
    }
    object
}
