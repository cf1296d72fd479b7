use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::{Context, is_absent};
use super::exit::{Exit, Failure};
use super::output::{Out, plural, size};
use super::ui::Ui;
use crate::catalog::libraries::Library;
use crate::catalog::{Catalog, RunLock};
use crate::clock::Clock;
use crate::library;
use crate::model::{Availability, Reason, RelPath};
use crate::scan::{self, Ending, Options, Report};
use crate::volume::{self, Probe, VerifiedRoot};

/// Look at the disk and bring the catalogue in line with it.
///
/// Unchanged files are not read; changed ones are read and hashed. A disk that is away, or a directory that cannot be
/// listed, makes no file missing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    library: Option<String>,
    /// Say what would be found, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Read every file again, also where its stat is unchanged.
    #[arg(long)]
    full: bool,
    /// Only this directory of the library and what is below it.
    #[arg(long, value_name = "SUB")]
    path: Option<PathBuf>,
}

/// One library's turn in a run.
#[derive(Debug)]
pub(super) struct Turn {
    pub(super) library: Library,
    pub(super) availability: Availability,
    /// The scan's report, where the library was there.
    pub(super) report: Option<Report>,
    /// Why it was not, for people.
    pub(super) advice: Option<String>,
    /// The root as verified, for what follows a scan.
    pub(super) root: Option<VerifiedRoot>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library, dry_run, full, path } = args;
    let mut catalog = context.open()?;
    let mut libraries = context.libraries(&catalog, library.as_deref())?;
    let mut scope = RelPath::root();
    if let Some(path) = path {
        (libraries, scope) = scoped(context, &catalog, libraries, &path)?;
    }
    if libraries.is_empty() {
        return Err(no_library());
    }
    let lock = RunLock::take(catalog.path())?;
    let ui = Arc::new(context.ui());
    let options = Options { full, dry_run, scope };
    let turns = scan_all(context, &mut catalog, &lock, libraries, &options, &ui)?;
    ui.clear();
    let exit = exit_of(&turns, true);
    if context.json {
        context.out.json(&json!({ "libraries": turns.iter().map(turn_json).collect::<Vec<_>>() }))?;
    } else {
        for turn in &turns {
            print_turn(&mut context.out, turn, dry_run)?;
        }
    }
    Ok(exit)
}

pub(super) fn no_library() -> Failure {
    Failure::new(Exit::Failed, "there is no library yet").hint("make one with: shelflist init ROOT")
}

/// The library and the directory in it that `--path` means.
fn scoped(
    context: &Context,
    catalog: &Catalog,
    libraries: Vec<Library>,
    path: &std::path::Path,
) -> Result<(Vec<Library>, RelPath), Failure> {
    // As the user typed it: relative to the library's root first, then as a place on disk.
    if let [library] = libraries.as_slice()
        && let Some(rel) = RelPath::from_relative(path)
        && library::may_be_directory(catalog, &rel.under(&library.root))?
    {
        return Ok((libraries, rel));
    }
    for (library, rel) in context.resolve(catalog, path)? {
        if libraries.iter().any(|known| known.ulid == library.ulid)
            && library::may_be_directory(catalog, &rel.under(&library.root))?
        {
            return Ok((vec![library], rel));
        }
    }
    Err(Failure::usage(format!("{} is not a directory in the library", path.display()))
        .hint("give --path relative to the library's root; is its disk mounted?"))
}

/// Looks at each library and scans those that are there.
pub(super) fn scan_all(
    context: &Context,
    catalog: &mut Catalog,
    lock: &RunLock,
    libraries: Vec<Library>,
    options: &Options,
    ui: &Arc<Ui>,
) -> Result<Vec<Turn>, Failure> {
    let mut turns = Vec::new();
    for library in libraries {
        let turn = match library::look(catalog, &library, &context.clock)? {
            Err(probe) => away(context, library, &probe)?,
            Ok(root) => {
                library::measure(catalog, &library, &root, None, &context.clock)?;
                let (clock, monitor) = (Arc::new(context.clock), Arc::clone(ui));
                let report = scan::run(catalog, lock, &library, &root, options, clock, monitor)?;
                match report.ending.clone() {
                    Ending::RootLost(probe) => {
                        library::note(catalog, &library, probe.availability, &context.clock)?;
                        Turn { report: Some(report), ..away(context, library, &probe)? }
                    }
                    _ => {
                        let concluded = matches!(report.ending, Ending::Complete | Ending::Partial);
                        if concluded && !options.dry_run {
                            library::mark_scan(
                                catalog,
                                &library,
                                &root,
                                report.found_changes(),
                                &context.clock,
                            )?;
                        }
                        Turn {
                            library,
                            availability: root.availability(),
                            report: Some(report),
                            advice: None,
                            root: Some(root),
                        }
                    }
                }
            }
        };
        let stop = matches!(&turn.report, Some(report) if report.ending == Ending::Interrupted);
        turns.push(turn);
        if stop {
            break;
        }
    }
    Ok(turns)
}

/// A library went away after it was scanned.
pub(super) fn went_away(
    context: &Context,
    catalog: &mut Catalog,
    turns: &mut [Turn],
    library_id: i64,
    probe: &Probe,
) -> Result<(), Failure> {
    for turn in turns.iter_mut().filter(|turn| turn.library.library_id == library_id) {
        library::note(catalog, &turn.library, probe.availability, &context.clock)?;
        let Turn { availability, advice, root, .. } = away(context, turn.library.clone(), probe)?;
        (turn.availability, turn.advice, turn.root) = (availability, advice, root);
    }
    Ok(())
}

pub(super) fn away(context: &Context, library: Library, probe: &Probe) -> Result<Turn, Failure> {
    let mut advice = volume::advice(&library::expected(&library)?, probe, context.clock.now());
    if probe.availability.reason() == Some(Reason::Cloned) {
        // What to do depends on which of the copies it is, and on where the others are.
        let mut found = probe.detail.clone();
        if let Some(first) = found.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        advice = format!("{found}. {advice}");
    }
    Ok(Turn { library, availability: probe.availability, report: None, advice: Some(advice), root: None })
}

/// `needed`: the command is for nothing where no library is there.
pub(super) fn exit_of(turns: &[Turn], needed: bool) -> Exit {
    let all_away = turns.iter().all(|turn| turn.root.is_none());
    Exit::worst(turns.iter().map(|turn| match &turn.report {
        Some(report) if report.ending == Ending::Interrupted => Exit::Interrupted,
        _ if turn.root.is_none() && needed && all_away => Exit::Unavailable,
        _ if turn.root.is_none() && is_absent(turn.availability) => Exit::Done,
        _ if turn.root.is_none() => Exit::Problems,
        Some(report) if report.decision.is_some() => Exit::Decision,
        Some(report) if !report.problems.is_empty() => Exit::Problems,
        _ => Exit::Done,
    }))
}

/// Design section 9.
pub(super) fn turn_json(turn: &Turn) -> Value {
    let report = turn.report.as_ref();
    let number = |of: fn(&Report) -> u64| report.map_or(0, of);
    let frozen: Vec<Value> = report.map_or_else(Vec::new, |report| {
        report.frozen_dirs.iter().map(|dir| Value::String(dir.json_text())).collect()
    });
    json!({
        "library": turn.library.name,
        "library_id": turn.library.ulid.to_string(),
        "root": turn.library.root.to_string_lossy(),
        "availability": turn.availability,
        "files_seen": number(|r| r.files_seen),
        "unchanged": number(|r| r.unchanged),
        "new": number(|r| r.new),
        "modified": number(|r| r.modified),
        "touched": number(|r| r.touched),
        "moved": number(|r| r.moved),
        "missing": number(|r| r.missing),
        "restored": number(|r| r.restored),
        "excluded": number(|r| r.excluded),
        "hashed_files": number(|r| r.hashed_files),
        "hashed_bytes": number(|r| r.hashed_bytes),
        "problems": report.map_or(&[][..], |report| &report.problems),
        "frozen_dirs": frozen,
        "decision": report.and_then(|report| report.decision),
        "time_shift_min": report.and_then(|report| report.time_shift_min),
        "complete": report.is_some_and(Report::is_complete),
        "elapsed_ms": report.map_or(0, |report| report.elapsed_ms),
    })
}

pub(super) fn print_turn(out: &mut Out, turn: &Turn, dry_run: bool) -> std::io::Result<()> {
    let name = &turn.library.name;
    if let Some(report) = &turn.report {
        let would = if dry_run { "dry run, nothing was written: " } else { "" };
        let mut parts = vec![plural(report.files_seen, "file seen", "files seen")];
        for (n, what) in [
            (report.new, "new"),
            (report.modified, "modified"),
            (report.touched, "touched"),
            (report.moved, "moved"),
            (report.missing, "missing"),
            (report.restored, "back"),
            (report.excluded, "left out by rules"),
        ] {
            if n > 0 {
                parts.push(format!("{n} {what}"));
            }
        }
        if report.hashed_files > 0 {
            parts.push(format!("{} read", size(report.hashed_bytes)));
        }
        out.line(format!(
            "{name}: {would}{} ({:.1} s)",
            parts.join(", "),
            report.elapsed_ms as f64 / 1000.0
        ))?;
        if let Some(minutes) = report.time_shift_min {
            out.line(format!(
                "  all times on the disk moved by {minutes:+} minutes; a sample of the files was read and is unchanged"
            ))?;
        }
        for dir in &report.frozen_dirs {
            out.line(format!("  could not look into {dir}: nothing is concluded about its files"))?;
        }
        print_problems(out, &report.problems)?;
        if let Some(decision) = report.decision {
            out.line(format!("  a decision waits for you: shelflist decision show {decision}"))?;
        }
        match &report.ending {
            Ending::Interrupted => out.line("  stopped; what was done is kept")?,
            Ending::RootLost(_) => {
                out.line("  the library went away meanwhile; no file was called missing")?;
            }
            Ending::Complete | Ending::Partial => {}
        }
    }
    if let Some(advice) = &turn.advice {
        out.line(format!("{name}: {}. {advice}", turn.availability))?;
    }
    Ok(())
}

/// The first few; all with `--json`.
pub(super) fn print_problems(out: &mut Out, problems: &[crate::model::Problem]) -> std::io::Result<()> {
    const SHOWN: usize = 10;
    for problem in problems.iter().take(SHOWN) {
        out.line(format!("  {}: {} ({})", problem.path, problem.message, problem.kind))?;
    }
    match problems.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => out.line(format!("  and {more} more problems; see all with --json")),
    }
}
