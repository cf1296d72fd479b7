//! `sync now`: sends what waits, and scans nothing.

use serde_json::json;

use super::{offline_json, print_offline, print_sent, store_named};
use crate::catalog::{CatalogError, Sender, libraries, queue, stores};
use crate::cli::context::Context;
use crate::cli::enrich::look_all;
use crate::cli::exit::{Exit, Failure};
use crate::cli::orphans::kept_json;
use crate::cli::output::plural;
use crate::cli::scan::{print_problems, went_away};
use crate::clock::Clock;
use crate::sync::{self, Here};

pub(super) fn run(context: &mut Context, store: Option<&str>) -> Result<Exit, Failure> {
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
    let sender = Sender::take(&mut catalog, context.clock.now_ms())?;
    let all = libraries::all(catalog.read())?;
    let mut turns = look_all(context, &mut catalog, all)?;
    let here: Vec<Here> = turns
        .iter()
        .filter_map(|turn| Some(Here { library: turn.library.clone(), root: turn.root.clone()? }))
        .collect();
    let now_ms = context.clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        for store in &wanted {
            stores::call_at_once(tx, store.store_id, now_ms)?;
        }
        queue::make_due(tx, only, now_ms)
    })?;
    let ui = context.ui();
    let pushed = sync::push(&mut catalog, &sender, &here, only, &context.clock, &ui)?;
    ui.clear();
    for (library_id, probe) in &pushed.lost {
        went_away(context, &mut catalog, &mut turns, *library_id, probe)?;
    }
    let exit = Exit::worst([
        if pushed.interrupted { Exit::Interrupted } else { Exit::Done },
        if pushed.offline.is_empty() { Exit::Done } else { Exit::Offline },
        if pushed.problems.is_empty() && pushed.refused == 0 { Exit::Done } else { Exit::Problems },
        if pushed.decisions.is_empty() { Exit::Done } else { Exit::Decision },
    ]);
    if context.json {
        context.out.json(&json!({
            "uploaded_objects": pushed.uploaded_objects,
            "uploaded_bytes": pushed.uploaded_bytes,
            "retired_objects": pushed.retired_objects,
            "recalled_objects": pushed.recalled_objects,
            "decisions": pushed.decisions,
            "kept": pushed.kept.iter().map(kept_json).collect::<Vec<_>>(),
            "queued": pushed.queued,
            "offline": offline_json(&pushed.offline),
            "problems": pushed.problems,
        }))?;
        return Ok(exit);
    }
    let out = &mut context.out;
    print_sent(out, &pushed)?;
    print_offline(out, &pushed.offline)?;
    print_problems(out, &pushed.problems)?;
    if pushed.queued > 0 {
        out.line(format!("queue: {} wait", plural(pushed.queued, "operation", "operations")))?;
    } else {
        out.line("nothing waits")?;
    }
    Ok(exit)
}
