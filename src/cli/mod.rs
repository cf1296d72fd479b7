//! The command line: parse, open, act in the library, print. The only room that prints and that knows exit codes.
//!
//! One file a command. Its `Args` are what was typed, their comments are the help; a small function turns them into the
//! checked options of a verb.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is where people are spoken to")]
#![allow(
    clippy::needless_pass_by_value,
    reason = "a command consumes its arguments, so that none is left unused"
)]

mod ask;
mod completions;
mod config;
mod context;
mod copies;
mod decisions;
mod doctor;
mod edit;
mod edited;
mod enrich;
mod exit;
mod explain;
mod export;
mod fetch;
mod fields;
mod find;
mod heard;
mod history;
mod hits;
mod import;
mod init;
mod library;
mod list;
mod missing;
mod note;
mod orphans;
mod output;
mod review;
mod scan;
mod schedule;
mod selection;
mod show;
mod status;
mod stop;
mod store;
mod supervisor;
mod sync;
mod tag;
mod ui;
mod undo;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use context::Context;
use exit::{Exit, Failure};

/// Keep the shelf list of file libraries on disks that come and go.
///
/// shelflist catalogues libraries of files, knows an unplugged disk from deleted files, keeps enriched copies in stores,
/// and lets you search when the disk is away. Begin with `shelflist init ROOT`.
#[derive(Debug, Parser)]
#[command(
    name = "shelflist",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 done with problems, 4 another run holds the lock, \
                  5 remote away and work queued, 6 a decision waits for you, 7 library unavailable, 130 interrupted."
)]
struct Cli {
    /// Directory of the catalogue, instead of SHELFLIST_HOME and the platform's data directory.
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print one JSON object on standard output.
    #[arg(long, global = true)]
    json: bool,
    /// Say more; twice for developers.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Scan(scan::Args),
    Sync(sync::Args),
    Enrich(enrich::Args),
    Status(status::Args),
    Find(find::Args),
    Ask(ask::Args),
    List(list::Args),
    Show(show::Args),
    Edit(Box<edit::Args>),
    Tag(tag::Args),
    Note(note::Args),
    Undo(undo::Args),
    Export(export::Args),
    Import(import::Args),
    Copies(copies::Args),
    Fetch(fetch::Args),
    History(history::Args),
    Explain(explain::Args),
    Missing(missing::Args),
    Review(review::Args),
    Library(library::Args),
    Store(store::Args),
    Orphans(orphans::Args),
    Decisions(decisions::ListArgs),
    Decision(decisions::ShowArgs),
    /// Answer a decision with yes.
    Approve(decisions::AnswerArgs),
    /// Answer a decision with no.
    Reject(decisions::AnswerArgs),
    Doctor(doctor::Args),
    Config(config::Args),
    Schedule(schedule::Args),
    Completions(completions::Args),
    /// Read files for their text, as told on standard input.
    #[command(name = "__extract", hide = true)]
    Extract,
}

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let mut args: Vec<_> = std::env::args_os().collect();
    let line = supervisor::Line::take(&mut args);
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers; everything else is a usage error, in clap's words.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return code.into();
        }
    };
    if let Command::Extract = cli.command {
        return match crate::enrich::child_main() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    if line.is_none() && cli.command.may_touch_a_disk() {
        // Without a second process there is one at least: all is well as long as the disks answer.
        if let Ok(code) = supervisor::supervise(&args) {
            return code;
        }
    }
    let exit = carry_out(cli);
    if let Some(line) = line {
        line.done(exit as u8);
    }
    exit.into()
}

/// When it returns, the catalogue is closed, the lock of the run is free, and everything is printed.
fn carry_out(cli: Cli) -> Exit {
    let Cli { home, json, verbose, command } = cli;
    let result =
        Context::new(home.as_deref(), json, verbose).map_err(Failure::from).and_then(|mut context| {
            let exit = run(&mut context, command)?;
            context.out.finish()?;
            Ok(exit)
        });
    match result {
        Ok(exit) => exit,
        Err(failure) => failure.report(json),
    }
}

impl Command {
    /// Whether it may get stuck on a disk, a library's or a store's: then it is done by a process that nobody waits for.
    /// The others are spared the second process.
    fn may_touch_a_disk(&self) -> bool {
        match self {
            Command::Sync(args) => args.may_touch_a_disk(),
            Command::Init(_)
            | Command::Scan(_)
            | Command::Enrich(_)
            | Command::Status(_)
            | Command::Find(_)
            | Command::Ask(_)
            | Command::List(_)
            | Command::Show(_)
            | Command::Edit(_)
            | Command::Tag(_)
            | Command::Note(_)
            | Command::Export(_)
            | Command::Import(_)
            | Command::Copies(_)
            | Command::Fetch(_)
            | Command::History(_)
            | Command::Explain(_)
            | Command::Missing(_)
            | Command::Review(_)
            | Command::Library(_)
            | Command::Doctor(_)
            | Command::Store(_)
            | Command::Orphans(_) => true,
            Command::Decisions(_)
            | Command::Decision(_)
            | Command::Approve(_)
            | Command::Reject(_)
            | Command::Undo(_)
            | Command::Config(_)
            | Command::Schedule(_)
            | Command::Completions(_)
            | Command::Extract => false,
        }
    }
}

fn run(context: &mut Context, command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(context, args),
        Command::Scan(args) => scan::run(context, args),
        Command::Sync(args) => sync::run(context, args),
        Command::Enrich(args) => enrich::run(context, args),
        Command::Status(args) => status::run(context, args),
        Command::Find(args) => find::run(context, args),
        Command::Ask(args) => ask::run(context, args),
        Command::List(args) => list::run(context, args),
        Command::Show(args) => show::run(context, args),
        Command::Edit(args) => edit::run(context, *args),
        Command::Tag(args) => tag::run(context, args),
        Command::Note(args) => note::run(context, args),
        Command::Undo(args) => undo::run(context, args),
        Command::Export(args) => export::run(context, args),
        Command::Import(args) => import::run(context, args),
        Command::Copies(args) => copies::run(context, args),
        Command::Fetch(args) => fetch::run(context, args),
        Command::History(args) => history::run(context, args),
        Command::Explain(args) => explain::run(context, args),
        Command::Missing(args) => missing::run(context, args),
        Command::Review(args) => review::run(context, args),
        Command::Library(args) => library::run(context, args),
        Command::Store(args) => store::run(context, args),
        Command::Orphans(args) => orphans::run(context, args),
        Command::Decisions(args) => decisions::list(context, args),
        Command::Decision(args) => decisions::show(context, args),
        Command::Approve(args) => decisions::approve(context, args),
        Command::Reject(args) => decisions::reject(context, args),
        Command::Doctor(args) => doctor::run(context, args),
        Command::Config(args) => config::run(context, args),
        Command::Schedule(args) => schedule::run(context, args),
        Command::Completions(args) => completions::run(context, args),
        Command::Extract => unreachable!("taken care of before the context is made"),
    }
}
