use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{Out, plural};
use super::scan::{Turn, away, exit_of, no_library, print_problems, print_turn, went_away};
use crate::catalog::libraries::Library;
use crate::catalog::{Catalog, RunLock, enrichments, queue};
use crate::clock::Clock;
use crate::enrich::commands::{self, AskReport, CommandReport};
use crate::enrich::run::{self, EnrichReport};
use crate::enrich::{Kinds, UnknownKind};
use crate::library;

/// Read text and metadata of what was scanned, and ask the enrichment commands.
///
/// What `sync` does between scanning and sending, by itself: nothing is scanned and nothing is sent. Files are read where
/// their disk is here; commands need no disk. What is stopped is gone on with by the next run.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    library: Option<String>,
    /// Only this kind: an extractor (pdf), a family (audio) or a media type (image/jpeg, image/*). Several are allowed.
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Do it again, also where nothing changed and where it failed.
    #[arg(long)]
    redo: bool,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library, kinds, redo } = args;
    let kinds = Kinds::parse(&kinds).map_err(|error: UnknownKind| Failure::from(error))?;
    let mut catalog = context.open()?;
    let libraries = context.libraries(&catalog, library.as_deref())?;
    if libraries.is_empty() {
        return Err(no_library());
    }
    let is_all = libraries.len() == crate::catalog::libraries::all(catalog.read())?.len();
    let asked_for: Vec<i64> = libraries.iter().map(|library| library.library_id).collect();
    let lock = RunLock::take(catalog.path())?;
    let ui = context.ui();
    let program = std::env::current_exe()?;

    let mut turns = look_all(context, &mut catalog, libraries)?;
    let here: Vec<_> =
        turns.iter().filter_map(|turn| Some((turn.library.library_id, turn.root.clone()?))).collect();
    let roots: Vec<run::Root<'_>> = here.iter().map(|(library_id, root)| (*library_id, root)).collect();
    let options = run::Options { kinds: kinds.clone(), redo };
    let read = run::run(&mut catalog, &lock, &roots, &options, &program, &context.clock, &ui)?;
    for (library_id, probe) in &read.lost {
        went_away(context, &mut catalog, &mut turns, *library_id, probe)?;
    }
    let options = commands::Options { libraries: (!is_all).then(|| asked_for.clone()), kinds, redo };
    let asked = commands::run(&mut catalog, &lock, &options, &context.clock, &ui)?;
    ui.clear();

    let still_here: Vec<i64> =
        turns.iter().filter(|turn| turn.root.is_some()).map(|turn| turn.library.library_id).collect();
    let waiting_for_disk = enrichments::count_away(catalog.read(), &asked_for, &still_here)?;
    let exit = exit(&turns, &read, &asked, waiting_for_disk);
    if context.json {
        context.out.json(&json!({
            "libraries": turns.iter().map(|turn| json!({
                "library": turn.library.name,
                "library_id": turn.library.ulid.to_string(),
                "availability": turn.availability,
            })).collect::<Vec<_>>(),
            "enriched": read.enriched,
            "unsupported": read.unsupported,
            "failed": read.failed,
            "waiting_for_disk": waiting_for_disk,
            "commands": commands_json(&asked),
            "waiting_for_commands": asked.waiting,
            "problems": read.problems.iter().chain(&asked.problems).collect::<Vec<_>>(),
            "interrupted": read.interrupted || asked.interrupted,
        }))?;
        return Ok(exit);
    }
    let out = &mut context.out;
    for turn in &turns {
        print_turn(out, turn, false)?;
    }
    if read.enriched + read.unsupported + read.failed > 0 {
        print_read(out, &read)?;
    } else if waiting_for_disk == 0 {
        out.line("no text to read")?;
    }
    if waiting_for_disk > 0 {
        out.line(format!(
            "{} for a disk that is away",
            plural(waiting_for_disk, "document waits", "documents wait")
        ))?;
    }
    print_commands(out, &asked)?;
    print_problems(out, &[read.problems, asked.problems].concat())?;
    let queue = queue::standing(catalog.read(), None, context.clock.now_ms())?;
    if queue.pending > 0 {
        let wait = plural(queue.pending, "operation waits", "operations wait");
        context.out.line(format!("{wait} to be sent; next: shelflist sync"))?;
    }
    Ok(exit)
}

/// Looks at each library; nothing is scanned.
pub(super) fn look_all(
    context: &Context,
    catalog: &mut Catalog,
    libraries: Vec<Library>,
) -> Result<Vec<Turn>, Failure> {
    libraries
        .into_iter()
        .map(|library| match library::look(catalog, &library, &context.clock)? {
            Err(probe) => away(context, library, &probe),
            Ok(root) => Ok(Turn {
                library,
                availability: root.availability(),
                report: None,
                advice: None,
                root: Some(root),
            }),
        })
        .collect()
}

fn exit(turns: &[Turn], read: &EnrichReport, asked: &AskReport, waiting_for_disk: u64) -> Exit {
    // Only where nothing could be done for want of a disk was the disk needed.
    let needed = waiting_for_disk > 0 && asked.commands.iter().all(|command| command.asked == 0);
    Exit::worst([
        exit_of(turns, needed),
        if read.interrupted || asked.interrupted { Exit::Interrupted } else { Exit::Done },
        if read.problems.is_empty() { Exit::Done } else { Exit::Problems },
        exit_of_commands(asked),
    ])
}

/// What the commands' part of a run comes to.
pub(super) fn exit_of_commands(asked: &AskReport) -> Exit {
    let stopped = asked.commands.iter().any(|command| command.stopped.is_some());
    if asked.problems.is_empty() && !stopped { Exit::Done } else { Exit::Problems }
}

pub(super) fn commands_json(asked: &AskReport) -> Value {
    json!(asked.commands)
}

pub(super) fn print_read(out: &mut Out, read: &EnrichReport) -> std::io::Result<()> {
    out.line(format!(
        "text: {} read, {} of types without text, {} not readable",
        read.enriched, read.unsupported, read.failed
    ))
}

pub(super) fn print_commands(out: &mut Out, asked: &AskReport) -> std::io::Result<()> {
    for CommandReport { command, asked, answered, failed, withheld, stopped } in &asked.commands {
        let mut parts = vec![format!("{asked} asked"), format!("{answered} answered")];
        if *failed > 0 {
            parts.push(format!("{failed} without an answer"));
        }
        if *withheld > 0 {
            parts.push(format!("{withheld} not told of (privacy)"));
        }
        if asked + withheld > 0 {
            out.line(format!("{command}: {}", parts.join(", ")))?;
        }
        if let Some(why) = stopped {
            out.line(format!("{command}: not asked any more: {why}. Mend it, then run: shelflist enrich"))?;
        }
    }
    if asked.waiting > 0 {
        out.line(format!("{} for commands", plural(asked.waiting, "document waits", "documents wait")))?;
    }
    Ok(())
}
