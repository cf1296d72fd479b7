//! `find --meaning`: a store that holds embeddings is asked what lies near a question.
//!
//! The store answers with what it was given; what it is called now, and where it is, comes out of the catalogue. What the store
//! holds of former contents is not shown. With the store away the words of the question are searched, and the exit code says
//! that this is second best.

use std::path::Path;

use serde_json::json;

use super::{Filters, by_words};
use crate::catalog::search::{self, Query};
use crate::catalog::stores::{self, StoreRow};
use crate::catalog::{Catalog, ledger};
use crate::cli::ask::any_word;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, chain};
use crate::cli::heard;
use crate::cli::hits::Hits;
use crate::cli::output::plural;
use crate::model::path::display_name;
use crate::remote::index::{ByMeaning, Near, Question, by_meaning};
use crate::remote::{Access, AwayReason, ErrorClass, StoreError, StoreUrl};

pub(super) fn run(
    context: &mut Context,
    question: &str,
    store: Option<&str>,
    filters: Filters,
    limit: usize,
) -> Result<Exit, Failure> {
    if question.trim().is_empty() {
        return Err(Failure::usage("--meaning needs a question")
            .hint("for instance: --meaning \"how ships were named\""));
    }
    let mut catalog = context.open()?;
    let row = chosen(&catalog, store)?;
    let near = ask(&catalog, &row, question, &filters, limit);
    heard::keep(context, &mut catalog, &row, &near)?;
    let near = match near {
        Ok(near) => near,
        Err(error) if error.class() == ErrorClass::Channel => {
            return instead(context, &catalog, &row, question, filters, limit, &error);
        }
        Err(error) => return Err(error.into()),
    };
    let _moment = catalog.snapshot()?;
    let conn = catalog.read();
    let mut found = Vec::new();
    let mut pieces = Vec::new();
    for Near { name, nearness, text, .. } in near {
        // What was replaced or forgotten in this moment is no hit any more.
        let Some(document_id) = ledger::current_under(conn, row.store_id, name.as_str())? else { continue };
        found.push(search::Hit { document_id, approximate: false });
        pieces.push((nearness, text));
    }
    let hits = Hits::gather(context, &catalog, &found, None)?.with_nearness(pieces);
    let unsent = heard::unsent(context, &catalog, &row)?;
    if context.json {
        context.out.json(&json!({
            "hits": hits.json(),
            "total": hits.len(),
            // There is always something a little farther away.
            "total_is_at_least": hits.len() == limit,
            "unindexed": 0,
            "meaning": { "store": row.name, "unsent": unsent, "error": null, "code": null },
        }))?;
        return Ok(Exit::Done);
    }
    hits.print(context)?;
    let out = &mut context.out;
    if hits.len() == 0 {
        out.line("nothing found")?;
    }
    if unsent > 0 {
        let wait = plural(unsent, "change waits", "changes wait");
        out.line(format!(
            "{wait} for store {} and cannot be found there yet; next: shelflist sync",
            row.name
        ))?;
    }
    Ok(Exit::Done)
}

/// The store that is asked: the named one, or the only one that can be.
fn chosen(catalog: &Catalog, named: Option<&str>) -> Result<StoreRow, Failure> {
    let can = |row: &StoreRow| row.url.starts_with("chroma+");
    if let Some(named) = named {
        let Some(row) = stores::by_name(catalog.read(), named)? else {
            return Err(Failure::usage(format!("there is no store {named:?}"))
                .hint("see all with: shelflist store list"));
        };
        if !can(&row) {
            return Err(Failure::usage(format!("store {named} finds nothing by meaning"))
                .hint("give one whose URL begins with chroma+http:"));
        }
        return Ok(row);
    }
    let mut able: Vec<StoreRow> = stores::all(catalog.read())?.into_iter().filter(can).collect();
    match (able.pop(), able.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Failure::usage("there is no store that finds by meaning").hint(
            "add one: shelflist store add 'chroma+http://HOST:8000/NAME?embed=FOLDER' (docs/stores.md says which models)",
        )),
        (Some(last), _) => {
            let names: Vec<String> = able.into_iter().chain([last]).map(|row| row.name).collect();
            Err(Failure::usage(format!("several stores find by meaning: {}", names.join(", ")))
                .hint("say which with --store NAME"))
        }
    }
}

fn ask(
    catalog: &Catalog,
    row: &StoreRow,
    question: &str,
    filters: &Filters,
    limit: usize,
) -> Result<Vec<Near>, StoreError> {
    let refused = |reason: String| StoreError::Refused {
        store: row.url.clone(),
        doing: "be asked".to_owned(),
        reason,
        source: None,
    };
    let url = StoreUrl::parse(&row.url, Path::new("/")).map_err(|error| refused(error.to_string()))?;
    let access = Access::known(row.password_command.as_deref(), row.found);
    let store: Box<dyn ByMeaning> =
        by_meaning(&url, &access)?.ok_or_else(|| refused("it finds nothing by meaning".to_owned()))?;
    match store.identity()? {
        Some(identity) if identity.store == row.remote_store => {}
        Some(_) => return Err(refused("another store stands in its place".to_owned())),
        None => {
            let reason = AwayReason::NoneOfThatName;
            return Err(StoreError::Away { store: row.url.clone(), reason, source: None });
        }
    }
    // Where the ledger cannot be read nothing is shown, and the catalogue says why when it is read next.
    let wanted = |name: &_| is_current(catalog, row, name);
    store.nearest(&Question { text: question, only: filters.only(), wanted: &wanted, limit })
}

fn is_current(catalog: &Catalog, row: &StoreRow, name: &crate::remote::index::RemoteName) -> bool {
    matches!(ledger::current_under(catalog.read(), row.store_id, name.as_str()), Ok(Some(_)))
}

/// The store cannot be asked now: the words are searched.
fn instead(
    context: &mut Context,
    catalog: &Catalog,
    row: &StoreRow,
    question: &str,
    filters: Filters,
    limit: usize,
    error: &StoreError,
) -> Result<Exit, Failure> {
    let said = chain(error);
    let mut asked = Query::parse(question);
    filters.clone().add_to(&mut asked)?;
    let any = any_word(question);
    // Nobody's text has all the words of a question.
    if !any.is_empty() && search::find(catalog.read(), &asked, 1)?.hits.is_empty() {
        asked = Query::parse(&any);
        filters.add_to(&mut asked)?;
    }
    let (unsent, exit) = (heard::unsent(context, catalog, row)?, heard::exit_of(error));
    if !context.json {
        // Not among the hits, which a script reads.
        eprintln!(
            "note: {}",
            display_name(format!("{said}; its words are searched in the catalogue instead").as_bytes())
        );
        if exit == Exit::Offline {
            eprintln!("{}", display_name(heard::offline(row, unsent).as_bytes()));
        }
    }
    let meaning = json!({ "store": row.name, "unsent": unsent, "error": said, "code": heard::code_of(exit) });
    by_words(context, catalog, &asked, limit, Some(meaning))?;
    Ok(exit)
}
