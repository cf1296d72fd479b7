mod now;
mod queue;
mod standing;
mod steer;
mod wait;

use std::sync::Arc;

use clap::Subcommand;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::context::Context;
use super::enrich::{commands_json, exit_of_commands, print_commands, print_read};
use super::exit::{Exit, Failure, chain, hint_of_away};
use super::orphans::{kept_json, print_kept};
use super::output::{Out, plural, size};
use super::scan::{exit_of, no_library, print_problems, print_turn, scan_all, turn_json, went_away};
use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, CatalogError, RunLock, Sender, stores};
use crate::clock::Clock;
use crate::enrich;
use crate::enrich::commands::{self, AskReport};
use crate::scan::Options;
use crate::sync::keep::Ended;
use crate::sync::{self, Here, Offline, PushReport};

/// Scan, read text and metadata, and bring the stores in line; or look after what waits to be sent.
///
/// What a schedule runs. A disk that is away is normal: everything that needs no disk is done, and the exit code is 0.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Name, id or root of a library to scan; without it all of them.
    library: Option<String>,
    /// Stay until nothing waits that can be sent, for instance for a store that is away; for so long at most: --wait=20m.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = wait::duration)]
    wait: Option<Option<SignedDuration>>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say how the stores and the queue stand.
    Status {
        /// Ask each store whether it is there, before.
        #[arg(long)]
        probe: bool,
    },
    /// Send what waits, without scanning, and without regard to when it would be tried again.
    Now {
        /// Name or URL of a store; without it to all of them.
        store: Option<String>,
        /// Stay until nothing waits that can be sent, for instance for a store that is away; for so long at most: --wait=20m.
        #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, value_parser = wait::duration)]
        wait: Option<Option<SignedDuration>>,
    },
    /// Put what was given up in line again: with its id, or all of it.
    Retry {
        /// Ids, as `sync queue` shows them.
        ids: Vec<String>,
        /// Also what waits for its next try: it is due now.
        #[arg(long, conflicts_with = "ids")]
        force: bool,
    },
    /// Send nothing until `sync resume`: changes are kept in line.
    Pause {
        /// Name or URL of a store; without it all of them.
        store: Option<String>,
    },
    /// Go on sending.
    Resume {
        /// Name or URL of a store; without it all of them.
        store: Option<String>,
    },
    /// List what waits, and what was given up.
    Queue {
        /// Only what had a verdict against it.
        #[arg(long)]
        errors: bool,
        /// Name or URL of a store; without it all of them.
        #[arg(long)]
        store: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
}

impl Args {
    /// Whether it goes to a library's disk or to a store.
    pub(super) fn may_touch_a_disk(&self) -> bool {
        matches!(self.command, None | Some(Command::Now { .. } | Command::Status { probe: true }))
    }
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { command, library, wait } = args;
    match command {
        None => scan_and_send(context, library, wait),
        Some(Command::Status { probe }) => standing::run(context, probe),
        Some(Command::Now { store, wait }) => now::run(context, store.as_deref(), wait),
        Some(Command::Retry { ids, force }) => steer::retry(context, &ids, force),
        Some(Command::Pause { store }) => steer::pause(context, store.as_deref(), true),
        Some(Command::Resume { store }) => steer::pause(context, store.as_deref(), false),
        Some(Command::Queue { errors, store, limit }) => queue::run(context, errors, store.as_deref(), limit),
    }
}

/// The store of that name or URL.
fn store_named(catalog: &Catalog, named: &str) -> Result<StoreRow, Failure> {
    stores::by_name(catalog.read(), named)?.ok_or_else(|| {
        Failure::new(Exit::Failed, format!("there is no store {named}")).hint("see: shelflist store list")
    })
}

/// What the sending part of a run comes to.
fn exit_of_sending(pushed: &PushReport, ended: Option<Ended>) -> Exit {
    Exit::worst([
        match ended {
            // Who has waited knows more than that a store was away once.
            Some(Ended::TimeUp) => Exit::Offline,
            None if !pushed.offline.is_empty() => Exit::Offline,
            // What waits there waits for something else first, a text for instance; its store is away all the same.
            Some(Ended::Drained) if !pushed.offline.is_empty() && pushed.queued > 0 => Exit::Offline,
            Some(Ended::Drained | Ended::Cancelled) | None => Exit::Done,
        },
        if pushed.interrupted { Exit::Interrupted } else { Exit::Done },
        if pushed.problems.is_empty() && pushed.refused + pushed.strayed == 0 {
            Exit::Done
        } else {
            Exit::Problems
        },
        if pushed.decisions.is_empty() { Exit::Done } else { Exit::Decision },
    ])
}

/// Stores that could not be reached, as both ways to send tell of them.
fn offline_json(offline: &[Offline]) -> Vec<Value> {
    let one = |offline: &Offline| {
        json!({
            "store": offline.store, "url": offline.url, "code": offline.code, "message": chain(&offline.error),
            "hint": hint_of_away(&offline.error),
        })
    };
    offline.iter().map(one).collect()
}

fn print_offline(out: &mut Out, offline: &[Offline]) -> std::io::Result<()> {
    for offline in offline {
        let Offline { store, code, error, .. } = offline;
        out.line(format!("{store}: queued, offline: {} ({code})", chain(error)))?;
        if let Some(hint) = hint_of_away(error) {
            out.line(format!("  hint: {hint}"))?;
        }
    }
    Ok(())
}

fn print_sent(out: &mut Out, pushed: &PushReport) -> std::io::Result<()> {
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
    if pushed.recalled_objects > 0 {
        let n = plural(pushed.recalled_objects, "object", "objects");
        out.line(format!("taken back: {n} of documents that may leave no more, or less far"))?;
    }
    print_kept(out, &pushed.kept)?;
    if pushed.strayed > 0 {
        let n = plural(pushed.strayed, "operation", "operations");
        out.line(format!(
            "{n} did not get through, to be tried again later; see: shelflist sync queue --errors"
        ))?;
    }
    for decision in &pushed.decisions {
        out.line(format!(
            "decision {decision}: a rule about privacy would take back much; nothing more of it is sent; see: shelflist decision show {decision}"
        ))?;
    }
    Ok(())
}

fn scan_and_send(
    context: &mut Context,
    library: Option<String>,
    wait: Option<wait::Wait>,
) -> Result<Exit, Failure> {
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
    // Who scans next need not wait until all is sent.
    drop(lock);
    let mut another_sends = false;
    let (pushed, ended) = match wait {
        Some(wait) => {
            let (pushed, ended) = wait::send(context, &mut catalog, None, wait, &ui)?;
            (pushed, Some(ended))
        }
        None => match Sender::take(&mut catalog, context.clock.now_ms()) {
            Ok(sender) => (sync::push(&mut catalog, &sender, &here, None, &context.clock, &*ui)?, None),
            Err(CatalogError::Locked(_)) => {
                another_sends = true;
                let now_ms = context.clock.now_ms();
                let queued = crate::catalog::queue::standing(catalog.read(), None, now_ms)?.pending;
                (PushReport { queued, ..PushReport::default() }, None)
            }
            Err(error) => return Err(error.into()),
        },
    };
    ui.clear();
    let enriched = enriched?;
    for (library_id, probe) in enriched.lost.iter().chain(&pushed.lost) {
        went_away(context, &mut catalog, &mut turns, *library_id, probe)?;
    }

    let mut problems = enriched.problems.clone();
    problems.extend(asked.problems.iter().cloned());
    problems.extend(pushed.problems.iter().cloned());
    let exit = Exit::worst([
        exit_of(&turns, false),
        if enriched.interrupted || asked.interrupted { Exit::Interrupted } else { Exit::Done },
        exit_of_sending(&pushed, ended),
        if another_sends { Exit::Locked } else { Exit::Done },
        if problems.is_empty() { Exit::Done } else { Exit::Problems },
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
            "recalled_objects": pushed.recalled_objects,
            "decisions": pushed.decisions,
            "kept": pushed.kept.iter().map(kept_json).collect::<Vec<_>>(),
            "pulled": 0,
            "strayed": pushed.strayed,
            "queued": pushed.queued,
            "offline": offline_json(&pushed.offline),
            "ended": ended.map(wait::word),
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
    print_sent(out, &pushed)?;
    print_offline(out, &pushed.offline)?;
    print_problems(out, &problems)?;
    if another_sends {
        out.line("another shelflist is sending, and sends what waits, too; see: shelflist sync status")?;
    }
    if pushed.queued > 0 {
        out.line(format!(
            "queue: {}; see: shelflist sync queue",
            plural(pushed.queued, "operation waits", "operations wait")
        ))?;
    } else if stores::all(catalog.read())?.is_empty() {
        out.line("no store yet; add one with: shelflist store add dir:PATH")?;
    }
    Ok(exit)
}
