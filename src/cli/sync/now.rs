//! `sync now`: sends what waits, and scans nothing.

use serde_json::json;

use super::{exit_of_sending, offline_json, print_offline, print_sent, store_named, wait};
use crate::catalog::{Catalog, CatalogError, Sender, libraries, queue, stores};
use crate::cli::context::Context;
use crate::cli::enrich::look_all;
use crate::cli::exit::{Exit, Failure};
use crate::cli::orphans::kept_json;
use crate::cli::output::plural;
use crate::cli::scan::{print_problems, went_away};
use crate::cli::ui::Ui;
use crate::clock::Clock;
use crate::sync::{self, Here, PushReport};

pub(super) fn run(
    context: &mut Context,
    store: Option<&str>,
    wait: Option<wait::Wait>,
) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let only = store.map(|named| store_named(&catalog, named)).transpose()?;
    let wanted = match &only {
        Some(store) => vec![store.clone()],
        None => stores::all(catalog.read())?,
    };
    if !wanted.is_empty() && wanted.iter().all(|store| store.paused) {
        let names: Vec<&str> = wanted.iter().map(|store| store.name.as_str()).collect();
        return Err(Failure::new(Exit::Failed, format!("nothing is sent: {} is paused", names.join(", ")))
            .hint("to go on: shelflist sync resume"));
    }
    let only = only.map(|store| store.store_id);
    let ui = context.ui();
    let (pushed, ended) = match wait {
        None => (send(context, &mut catalog, only, &ui)?, None),
        Some(wait) => {
            call_at_once(&mut catalog, only, context.clock.now_ms())?;
            let (pushed, ended) = wait::send(context, &mut catalog, only, wait, &ui)?;
            (pushed, Some(ended))
        }
    };
    ui.clear();
    let exit = exit_of_sending(&pushed, ended);
    if context.json {
        context.out.json(&json!({
            "uploaded_objects": pushed.uploaded_objects,
            "uploaded_bytes": pushed.uploaded_bytes,
            "retired_objects": pushed.retired_objects,
            "recalled_objects": pushed.recalled_objects,
            "decisions": pushed.decisions,
            "kept": pushed.kept.iter().map(kept_json).collect::<Vec<_>>(),
            "strayed": pushed.strayed,
            "queued": pushed.queued,
            "offline": offline_json(&pushed.offline),
            "ended": ended.map(wait::word),
            "problems": pushed.problems,
        }))?;
        return Ok(exit);
    }
    let out = &mut context.out;
    print_sent(out, &pushed)?;
    print_offline(out, &pushed.offline)?;
    print_problems(out, &pushed.problems)?;
    if pushed.queued > 0 {
        out.line(format!(
            "queue: {}; see: shelflist sync queue",
            plural(pushed.queued, "operation waits", "operations wait")
        ))?;
    } else {
        out.line("nothing waits")?;
    }
    Ok(exit)
}

/// A person's word: without regard to when it would be tried again.
fn call_at_once(catalog: &mut Catalog, only: Option<i64>, now_ms: i64) -> Result<(), CatalogError> {
    catalog.change(|tx| {
        for store in stores::all(tx)?.iter().filter(|store| only.is_none_or(|only| only == store.store_id)) {
            stores::call_at_once(tx, store.store_id)?;
        }
        queue::make_due(tx, only, now_ms)?;
        Ok(())
    })
}

fn send(context: &Context, catalog: &mut Catalog, only: Option<i64>, ui: &Ui) -> Result<PushReport, Failure> {
    let sender = Sender::take(catalog, context.clock.now_ms())?;
    let all = libraries::all(catalog.read())?;
    let mut turns = look_all(context, catalog, all)?;
    let here: Vec<Here> = turns
        .iter()
        .filter_map(|turn| Some(Here { library: turn.library.clone(), root: turn.root.clone()? }))
        .collect();
    call_at_once(catalog, only, context.clock.now_ms())?;
    let pushed = sync::push(catalog, &sender, &here, only, &context.clock, ui)?;
    for (library_id, probe) in &pushed.lost {
        went_away(context, catalog, &mut turns, *library_id, probe)?;
    }
    Ok(pushed)
}
