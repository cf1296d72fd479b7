use std::path::PathBuf;
use std::time::Duration;

use clap::Subcommand;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::local_time;
use crate::catalog::{CatalogError, libraries, settings};
use crate::clock::Clock;
use crate::daemon::schedule::{self, FileState, Platform, Schedule, SystemCommands, UserDirs};
use crate::library;
use crate::model::setting;

/// Let the computer run `shelflist sync` by itself: launchd on macOS, systemd on Linux.
///
/// It runs at an interval, and when a disk is mounted. A disk that is away is normal: the run says so and ends with 0.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install it, or renew it.
    Install {
        /// How often, for instance 30m or 2h; at least a minute. Kept as the setting schedule.every_minutes.
        #[arg(long, value_name = "TIME")]
        every: Option<String>,
    },
    /// Take it away.
    Remove,
    /// Say whether it is installed, and when it ran and will run.
    Status,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let platform = Platform::here().ok_or_else(|| {
        Failure::new(Exit::Failed, "this system has neither launchd nor systemd")
            .hint("let its own scheduler run: shelflist sync")
    })?;
    let dirs = UserDirs {
        home: context.config.user_home.clone(),
        config_home: context.config.xdg_config_home.clone(),
        uid: rustix::process::getuid().as_raw(),
    };
    match args.command {
        Command::Install { every } => install(context, platform, &dirs, every.as_deref()),
        Command::Remove => {
            let removed = schedule::remove(platform, &dirs, &SystemCommands)?;
            if context.json {
                context.out.json(&json!({ "removed": removed }))?;
            } else if removed.is_empty() {
                context.out.line("no schedule is installed")?;
            } else {
                context.out.line("the schedule is removed")?;
            }
            Ok(Exit::Done)
        }
        Command::Status => status(context, platform, &dirs),
    }
}

fn install(
    context: &mut Context,
    platform: Platform,
    dirs: &UserDirs,
    every: Option<&str>,
) -> Result<Exit, Failure> {
    if let Some(every) = every {
        let minutes = parse_minutes(every)?;
        let mut catalog = context.open()?;
        let now_ms = context.clock.now_ms();
        catalog.change::<_, CatalogError>(|tx| {
            settings::set(tx, &setting::SCHEDULE_EVERY_MINUTES, &minutes.to_string(), now_ms)
        })?;
    }
    let wanted = wanted(context)?;
    let files = schedule::install(platform, dirs, &wanted, &SystemCommands)?;
    if context.json {
        context.out.json(&json!({ "files": files, "every_minutes": wanted.interval.as_secs() / 60 }))?;
    } else {
        context.out.line(format!("shelflist sync runs every {} minutes", wanted.interval.as_secs() / 60))?;
        for file in files {
            context.out.line(format!("  {}", file.display()))?;
        }
    }
    Ok(Exit::Done)
}

/// "30m", "2h", in whole minutes.
fn parse_minutes(text: &str) -> Result<i64, Failure> {
    let refuse = || {
        Failure::usage(format!("{text:?} is not an interval of at least a minute and at most a week"))
            .hint("for instance: --every 30m, --every 2h")
    };
    let duration: SignedDuration = text.parse().map_err(|_| refuse())?;
    let minutes = duration.as_mins();
    setting::SCHEDULE_EVERY_MINUTES.check(&minutes.to_string()).map_err(|_| refuse())?;
    Ok(minutes)
}

/// The schedule as it would be installed now.
fn wanted(context: &Context) -> Result<Schedule, Failure> {
    let catalog = context.open()?;
    let minutes = settings::integer(catalog.read(), &setting::SCHEDULE_EVERY_MINUTES)?;
    let mut mount_points: Vec<PathBuf> = Vec::new();
    for library in libraries::all(catalog.read())? {
        let identity = library::expected(&library)?.identity;
        if identity.separate_mount && !mount_points.contains(&identity.mount_point) {
            mount_points.push(identity.mount_point);
        }
    }
    Ok(Schedule {
        program: std::env::current_exe()?,
        args: vec!["sync".into()],
        interval: Duration::from_secs(minutes.unsigned_abs() * 60),
        home: context.config.home_is_set.then(|| context.config.home.clone()),
        mount_points,
        log_dir: context.config.home.join("logs"),
    })
}

fn status(context: &mut Context, platform: Platform, dirs: &UserDirs) -> Result<Exit, Failure> {
    let wanted = wanted(context)?;
    let status = schedule::status(platform, dirs, &wanted, &SystemCommands)?;
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    if context.json {
        let files: Vec<Value> =
            status.files.iter().map(|(path, state)| json!({ "path": path, "state": word(*state) })).collect();
        context.out.json(&json!({
            "installed": status.is_installed(),
            "active": status.active,
            "every_minutes": wanted.interval.as_secs() / 60,
            "last_run": time(status.last_run),
            "last_exit": status.last_exit,
            "next_run": time(status.next_run),
            "files": files,
        }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    if !status.is_installed() {
        out.line("no schedule is installed; install one with: shelflist schedule install")?;
        return Ok(Exit::Done);
    }
    for (path, state) in &status.files {
        out.line(format!("{}  {}", path.display(), word(*state)))?;
    }
    if status.files.iter().any(|(_, state)| *state == FileState::Differs) {
        out.line(
            "its files differ from what would be installed now; renew them with: shelflist schedule install",
        )?;
    }
    match status.active {
        Some(true) => out.line("active")?,
        Some(false) => out.line("not active; start it with: shelflist schedule install")?,
        None => out.line("the system could not be asked whether it is active")?,
    }
    if let Some(at) = status.last_run {
        let exit = status.last_exit.map_or_else(String::new, |exit| format!(", ended with {exit}"));
        out.line(format!("last run: {}{exit}", local_time(at.as_millisecond())))?;
    }
    if let Some(at) = status.next_run {
        out.line(format!("next run: {}", local_time(at.as_millisecond())))?;
    }
    Ok(Exit::Done)
}

fn word(state: FileState) -> &'static str {
    match state {
        FileState::Absent => "absent",
        FileState::Same => "installed",
        FileState::Differs => "differs",
    }
}
