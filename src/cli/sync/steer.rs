//! `sync retry`, `sync pause`, `sync resume`.

use serde_json::json;

use super::store_named;
use crate::catalog::queue::{self, Retried};
use crate::catalog::{CatalogError, stores};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::plural;
use crate::clock::Clock;

pub(super) fn retry(context: &mut Context, ids: &[String], force: bool) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let now_ms = context.clock.now_ms();
    let (again, due, over) = catalog.change::<_, Failure>(|tx| {
        if ids.is_empty() {
            let again = queue::retry_all(tx, None, now_ms)?;
            let due = if force { queue::make_due(tx, None, now_ms)? } else { 0 };
            return Ok((again, due, Vec::new()));
        }
        let (mut again, mut due, mut over) = (0, 0, Vec::new());
        for id in ids {
            match queue::retry(tx, id, now_ms)? {
                Retried::Again => again += 1,
                Retried::Due => due += 1,
                Retried::Over => over.push(id.clone()),
                // Nothing is half done: the transaction goes back.
                Retried::Unknown => {
                    return Err(Failure::new(Exit::Failed, format!("there is no operation {id}"))
                        .hint("ids are in the first column of: shelflist sync queue"));
                }
            }
        }
        Ok((again, due, over))
    })?;
    if context.json {
        context.out.json(&json!({ "retried": again, "due": due, "over": over }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    for id in &over {
        out.line(format!("{id} is not waiting: it is done, or being sent"))?;
    }
    let (again, due) = (again as u64, due as u64);
    if again > 0 {
        out.line(format!("{} in line again", plural(again, "operation", "operations")))?;
    }
    if due > 0 {
        out.line(format!("{} due now", plural(due, "operation", "operations")))?;
    }
    match again + due {
        0 if over.is_empty() => out.line("nothing was given up")?,
        0 => {}
        _ => out.line("next: shelflist sync now")?,
    }
    Ok(Exit::Done)
}

pub(super) fn pause(context: &mut Context, store: Option<&str>, paused: bool) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let wanted = match store {
        Some(named) => vec![store_named(&catalog, named)?],
        None => stores::all(catalog.read())?,
    };
    catalog.change::<_, CatalogError>(|tx| {
        for store in &wanted {
            stores::pause(tx, store.store_id, paused)?;
        }
        Ok(())
    })?;
    let names: Vec<&str> = wanted.iter().map(|store| store.name.as_str()).collect();
    if context.json {
        context.out.json(&json!({ "stores": names, "paused": paused }))?;
    } else if names.is_empty() {
        context.out.line("no store yet; add one with: shelflist store add dir:PATH")?;
    } else if paused {
        context.out.line(format!("{}: nothing is sent until: shelflist sync resume", names.join(", ")))?;
    } else {
        context.out.line(format!("{}: resumed; next: shelflist sync now", names.join(", ")))?;
    }
    Ok(Exit::Done)
}
