//! launchd: one agent of the user, a property list.
//!
//! Source: launchd.plist(5), launchctl(1).

use std::ffi::OsStr;
use std::path::PathBuf;

use plist::{Dictionary, Value};

use super::schedule::{Ran, Schedule, ScheduleError, Status, Step, UserDirs};

/// The agent's name.
pub const LABEL: &str = "dev.shelflist.sync";

/// Where the agent belongs.
pub(super) fn path(dirs: &UserDirs) -> PathBuf {
    dirs.home.join("Library/LaunchAgents").join(format!("{LABEL}.plist"))
}

/// The agent's property list.
///
/// `StartInterval` counts on while the computer sleeps and starts one run on waking, however many it has missed.
pub(super) fn render(schedule: &Schedule) -> Result<Vec<u8>, ScheduleError> {
    let mut arguments = vec![text("program", schedule.program.as_os_str())?];
    for arg in &schedule.args {
        arguments.push(text("argument", arg)?);
    }
    let mut agent = Dictionary::new();
    let mut set = |key: &str, value: Value| agent.insert(key.to_owned(), value);
    set("Label", LABEL.into());
    set("ProgramArguments", Value::Array(arguments));
    // Not a directory of the user's: without an argument a command means the library it is run in.
    set("WorkingDirectory", "/".into());
    set("StartInterval", Value::from(whole_seconds(schedule)));
    set("StartOnMount", true.into());
    // Installing is no reason to scan at once, nor is logging in: the interval and the disks are.
    set("RunAtLoad", false.into());
    set("ProcessType", "Background".into());
    set("LowPriorityIO", true.into());
    set("StandardOutPath", text("log", schedule.log_dir.join("scheduled.out.log").as_os_str())?);
    set("StandardErrorPath", text("log", schedule.log_dir.join("scheduled.err.log").as_os_str())?);
    if let Some(home) = &schedule.home {
        let mut environment = Dictionary::new();
        environment.insert("SHELFLIST_HOME".to_owned(), text("home", home.as_os_str())?);
        set("EnvironmentVariables", Value::Dictionary(environment));
    }
    let mut content = Vec::new();
    Value::Dictionary(agent).to_writer_xml(&mut content).expect("writing to memory does not fail");
    content.push(b'\n');
    Ok(content)
}

/// XML has no way to say a control character, and a property list none to say bytes that are no text.
fn text(what: &'static str, text: &OsStr) -> Result<Value, ScheduleError> {
    match text.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(Value::String(text.to_owned())),
        _ => Err(ScheduleError::NotRepresentable {
            system: "launchd",
            what,
            text: text.to_owned(),
            reason: "it must be UTF-8 without control characters",
        }),
    }
}

fn whole_seconds(schedule: &Schedule) -> u64 {
    schedule.interval.as_secs() + u64::from(schedule.interval.subsec_nanos() > 0)
}

fn domain(dirs: &UserDirs) -> String {
    format!("gui/{}", dirs.uid)
}

fn target(dirs: &UserDirs) -> String {
    format!("{}/{LABEL}", domain(dirs))
}

pub(super) fn install_steps(dirs: &UserDirs) -> Vec<Step> {
    vec![
        // launchd keeps what it read before; an agent that is there is not read again.
        Step::new("launchctl", &[&"bootout", &target(dirs)]).may_fail(),
        // It may have been disabled in the System Settings, which outlives its file.
        Step::new("launchctl", &[&"enable", &target(dirs)]),
        Step::new("launchctl", &[&"bootstrap", &domain(dirs), &path(dirs)]),
    ]
}

pub(super) fn remove_steps(dirs: &UserDirs) -> Vec<Step> {
    vec![Step::new("launchctl", &[&"bootout", &target(dirs)]).may_fail()]
}

pub(super) fn start_steps(dirs: &UserDirs) -> Vec<Step> {
    vec![Step::new("launchctl", &[&"kickstart", &target(dirs)])]
}

pub(super) fn questions(dirs: &UserDirs) -> Vec<Step> {
    vec![Step::new("launchctl", &[&"print", &target(dirs)])]
}

/// Reads what `launchctl print` says. Its text is for people and not promised; what is not understood stays unknown.
pub(super) fn understand(answer: &Ran, status: &mut Status) {
    match answer.code {
        Some(0) => status.active = Some(true),
        Some(_) if answer.stderr.contains("Could not find") => status.active = Some(false),
        _ => return,
    }
    for line in answer.stdout.lines() {
        if let Some((key, value)) = line.split_once(" = ")
            && key.trim() == "last exit code"
        {
            // "0", "78: EX_CONFIG", "(never exited)"
            status.last_exit = value.split(':').next().and_then(|code| code.trim().parse().ok());
        }
    }
}
