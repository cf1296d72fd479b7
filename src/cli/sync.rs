use std::sync::Arc;

use serde_json::json;

use super::context::Context;
use super::enrich::{commands_json, exit_of_commands, print_commands, print_read};
use super::exit::{Exit, Failure, chain};
use super::output::{plural, size};
use super::scan::{exit_of, no_library, print_problems, print_turn, scan_all, turn_json, went_away};
use crate::catalog::{RunLock, stores};
use crate::enrich;
use crate::enrich::commands::{self, AskReport};
use crate::scan::Options;
use crate::sync::{self, Here};

/// Scan, read text and metadata, and bring the stores in line.
///
/// What a schedule runs. A disk that is away is normal: everything that needs no disk is done, and the exit code is 0.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library to scan; without it all of them.
    library: Option<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library } = args;
    let mut catalog = context.open()?;
    // All of them also from within a library's directory: the outbox is everybody's.
    let libraries = match library.as_deref() {
        Some(named) => vec![context.library(&catalog, named)?],
        None => crate::catalog::libraries::all(catalog.read())?,
    };
    if libraries.is_empty() {
        return Err(no_library());
    }
    let lock = RunLock::take(catalog.path())?;
    let ui = Arc::new(context.ui());
    let program = std::env::current_exe()?;

    let mut turns = scan_all(context, &mut catalog, &lock, libraries, &Options::default(), &ui)?;
    let here: Vec<Here> = turns
        .iter()
        .filter_map(|turn| Some(Here { library: turn.library.clone(), root: turn.root.clone()? }))
        .collect();
    let roots: Vec<enrich::run::Root<'_>> =
        here.iter().map(|here| (here.library.library_id, &here.root)).collect();
    let options = enrich::run::Options::default();
    let enriched = enrich::run::run(&mut catalog, &lock, &roots, &options, &program, &context.clock, &*ui);
    let asked = match &enriched {
        Ok(_) => commands::run(&mut catalog, &lock, &commands::Options::default(), &context.clock, &*ui)?,
        Err(_) => AskReport::default(),
    };
    // What was enriched before is sent also where no file can be read for its text today.
    let here: Vec<Here> = match &enriched {
        Ok(report) => {
            here.into_iter().filter(|here| !report.lost.contains_key(&here.library.library_id)).collect()
        }
        Err(_) => here,
    };
    let pushed = sync::push(&mut catalog, &lock, &here, &context.clock, &*ui)?;
    ui.clear();
    let enriched = enriched?;
    for (library_id, probe) in enriched.lost.iter().chain(&pushed.lost) {
        went_away(context, &mut catalog, &mut turns, *library_id, probe)?;
    }

    let mut problems = enriched.problems.clone();
    problems.extend(asked.problems.iter().cloned());
    problems.extend(pushed.problems);
    let exit = Exit::worst([
        exit_of(&turns, false),
        if enriched.interrupted || asked.interrupted || pushed.interrupted {
            Exit::Interrupted
        } else {
            Exit::Done
        },
        if pushed.offline.is_empty() { Exit::Done } else { Exit::Offline },
        if problems.is_empty() && pushed.refused == 0 { Exit::Done } else { Exit::Problems },
        exit_of_commands(&asked),
    ]);
    if context.json {
        context.out.json(&json!({
            "libraries": turns.iter().map(turn_json).collect::<Vec<_>>(),
            "enriched": enriched.enriched,
            "unsupported": enriched.unsupported,
            "waiting_for_disk": enriched.waiting,
            "commands": commands_json(&asked),
            "waiting_for_commands": asked.waiting,
            "uploaded_objects": pushed.uploaded_objects,
            "uploaded_bytes": pushed.uploaded_bytes,
            "retired_objects": pushed.retired_objects,
            "pulled": 0,
            "queued": pushed.queued,
            "offline": pushed.offline.iter().map(|offline| json!({
                "store": offline.store, "url": offline.url, "code": sync::code::CONNECTION, "message": chain(&offline.error),
            })).collect::<Vec<_>>(),
            "problems": problems,
        }))?;
        return Ok(exit);
    }
    for turn in &turns {
        print_turn(&mut context.out, turn, false)?;
    }
    let out = &mut context.out;
    if enriched.enriched + enriched.unsupported + enriched.failed > 0 {
        print_read(out, &enriched)?;
    }
    print_commands(out, &asked)?;
    if pushed.uploaded_objects > 0 {
        out.line(format!(
            "sent: {}, {}",
            plural(pushed.uploaded_objects, "object", "objects"),
            size(pushed.uploaded_bytes)
        ))?;
    }
    if pushed.retired_objects > 0 {
        let n = plural(pushed.retired_objects, "object", "objects");
        out.line(format!("retired: {n} of files that are gone; see: shelflist orphans"))?;
    }
    for offline in &pushed.offline {
        out.line(format!(
            "{}: queued, offline: {} ({})",
            offline.store,
            chain(&offline.error),
            sync::code::CONNECTION
        ))?;
    }
    print_problems(out, &problems)?;
    if pushed.queued > 0 {
        out.line(format!("queue: {} wait", plural(pushed.queued, "operation", "operations")))?;
    } else if stores::all(catalog.read())?.is_empty() {
        out.line("no store yet; add one with: shelflist store add dir:PATH")?;
    }
    Ok(exit)
}
