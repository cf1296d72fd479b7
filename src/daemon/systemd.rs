//! systemd: a service and a timer of the user.
//!
//! Source: systemd.service(5) "Command lines", systemd.syntax(7), systemd.timer(5), systemd.unit(5).

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::schedule::{Ran, Schedule, ScheduleError, Status, Step, UserDirs};

const SERVICE: &str = "shelflist-sync.service";
const TIMER: &str = "shelflist-sync.timer";

/// The files, in the order in which they are rendered.
pub(super) const FILES: [&str; 2] = [SERVICE, TIMER];

/// The longest that a run is put off at random, so that a house full of computers does not ask one server at once.
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// Where the user's units belong.
pub(super) fn directory(dirs: &UserDirs) -> PathBuf {
    dirs.config_home.clone().unwrap_or_else(|| dirs.home.join(".config")).join("systemd/user")
}

/// The service's file.
///
/// Exit codes that are no failure: 3 (done, with problems), 4 (another run is at it), 5 (remote away, work is queued),
/// 6 (a decision waits) and 130 (stopped). They are what a scheduled run is for; a service that counts as failed for
/// them is one nobody looks at when it really fails.
pub(super) fn render_service(schedule: &Schedule) -> Result<Vec<u8>, ScheduleError> {
    let mut command = program(&schedule.program)?;
    for arg in &schedule.args {
        // Variables are expanded in arguments, not in the program's path.
        let _ = write!(command, " {}", quote("argument", arg)?.replace('$', "$$"));
    }
    let mut unit = String::from(
        "# Written by `shelflist schedule install`, which overwrites it.\n\
         [Unit]\n\
         Description=shelflist: look at the libraries and send what changed\n\
         \n\
         [Service]\n\
         Type=oneshot\n",
    );
    let _ = writeln!(unit, "ExecStart={command}");
    if let Some(home) = &schedule.home {
        let mut assignment = std::ffi::OsString::from("SHELFLIST_HOME=");
        assignment.push(home);
        let _ = writeln!(unit, "Environment={}", quote("home", &assignment)?);
    }
    // Not a directory of the user's: without an argument a command means the library it is run in.
    unit.push_str(
        "WorkingDirectory=/\n\
         SuccessExitStatus=3 4 5 6 130\n\
         Nice=10\n\
         IOSchedulingClass=idle\n",
    );
    let mounts = mount_units(schedule);
    if !mounts.is_empty() {
        // A mount that comes starts what it wants: the run when a disk is plugged in.
        let _ = write!(unit, "\n[Install]\nWantedBy={}\n", mounts.join(" "));
    }
    Ok(unit.into_bytes())
}

/// The timer's file.
pub(super) fn render_timer(schedule: &Schedule) -> Vec<u8> {
    let delay = (schedule.interval / 10).min(LONGEST_DELAY).as_secs();
    let times = times(schedule.interval);
    format!(
        "# Written by `shelflist schedule install`, which overwrites it.\n\
         [Unit]\n\
         Description=shelflist: when to look at the libraries\n\
         \n\
         [Timer]\n\
         {times}\
         RandomizedDelaySec={delay}s\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n"
    )
    .into_bytes()
}

/// When the timer elapses. By the calendar where it has a way to say the interval: such a timer catches up after a
/// night in which the computer was off or asleep. A counting timer (`OnUnitActiveSec`) stands still while the computer
/// sleeps, so that "daily" can mean once a week on a laptop; it is for the intervals that divide no hour and no day.
fn times(interval: Duration) -> String {
    match calendar(interval) {
        Some(calendar) => format!("OnCalendar={calendar}\nPersistent=true\n"),
        None => {
            let seconds = interval.as_secs() + u64::from(interval.subsec_nanos() > 0);
            format!("OnStartupSec=2min\nOnUnitActiveSec={seconds}s\n")
        }
    }
}

fn calendar(interval: Duration) -> Option<String> {
    if !interval.as_secs().is_multiple_of(60) || interval.subsec_nanos() > 0 {
        return None;
    }
    match interval.as_secs() / 60 {
        minutes @ 1..60 if 60 % minutes == 0 => Some(format!("*-*-* *:00/{minutes}:00")),
        60 => Some("*-*-* *:00:00".to_owned()),
        1440 => Some("*-*-* 00:00:00".to_owned()),
        minutes if minutes % 60 == 0 && 1440 % minutes == 0 => {
            Some(format!("*-*-* 00/{}:00:00", minutes / 60))
        }
        _ => None,
    }
}

/// A program's path. systemd refuses one with quotes or backslashes however they are escaped ("Executable name
/// contains special characters"), and does not expand variables in it.
fn program(path: &Path) -> Result<String, ScheduleError> {
    if path.as_os_str().as_bytes().iter().any(|byte| b"\"'\\".contains(byte)) {
        return Err(ScheduleError::NotRepresentable {
            system: "systemd",
            what: "program",
            text: path.as_os_str().to_owned(),
            reason: "it runs no program whose path has quotes or backslashes in it",
        });
    }
    quote("program", path.as_os_str())
}

/// A word in double quotes: quotes and backslashes escaped, `%` doubled because `%h` and the like are expanded
/// everywhere.
fn quote(what: &'static str, text: &OsStr) -> Result<String, ScheduleError> {
    let Some(text) = text.to_str().filter(|text| !text.chars().any(char::is_control)) else {
        return Err(ScheduleError::NotRepresentable {
            system: "systemd",
            what,
            text: text.to_owned(),
            reason: "it must be UTF-8 without control characters",
        });
    };
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%");
    Ok(format!("\"{escaped}\""))
}

fn mount_units(schedule: &Schedule) -> Vec<String> {
    let mut units: Vec<String> = schedule.mount_points.iter().filter_map(|path| mount_unit(path)).collect();
    units.sort_unstable();
    units.dedup();
    units
}

/// The name of a mount's unit, as `systemd-escape --path --suffix=mount` makes it; `None` for `/`.
fn mount_unit(path: &Path) -> Option<String> {
    let names: Vec<&OsStr> = path
        .components()
        .filter_map(|component| match component {
            std::path::Component::Normal(name) => Some(name),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut unit = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            unit.push('-');
        }
        for (at, &byte) in name.as_bytes().iter().enumerate() {
            let leading_dot = byte == b'.' && index == 0 && at == 0;
            if !leading_dot && (byte.is_ascii_alphanumeric() || b":_.".contains(&byte)) {
                unit.push(char::from(byte));
            } else {
                let _ = write!(unit, "\\x{byte:02x}");
            }
        }
    }
    unit.push_str(".mount");
    Some(unit)
}

fn systemctl(args: &[&dyn AsRef<OsStr>]) -> Step {
    let mut all: Vec<&dyn AsRef<OsStr>> = vec![&"--user"];
    all.extend_from_slice(args);
    Step::new("systemctl", &all)
}

pub(super) fn install_steps(schedule: &Schedule) -> Vec<Step> {
    let mut steps = vec![systemctl(&[&"daemon-reload"])];
    if mount_units(schedule).is_empty() {
        steps.push(systemctl(&[&"disable", &SERVICE]).may_fail());
    } else {
        // Again, so that mounts of an earlier schedule are let go.
        steps.push(systemctl(&[&"reenable", &SERVICE]));
    }
    steps.push(systemctl(&[&"enable", &TIMER]));
    // Not `enable --now`: a timer that runs would keep its former times.
    steps.push(systemctl(&[&"restart", &TIMER]));
    steps
}

/// Before the files are removed.
pub(super) fn stop_steps() -> Vec<Step> {
    vec![systemctl(&[&"stop", &TIMER])]
}

/// After they were removed.
pub(super) fn reload_steps() -> Vec<Step> {
    vec![systemctl(&[&"daemon-reload"])]
}

pub(super) fn start_steps() -> Vec<Step> {
    vec![systemctl(&[&"start", &SERVICE])]
}

/// The links that enabling has made: `NAME.wants/shelflist-sync.*`. They are removed with the files rather than by
/// `systemctl disable`, which needs a session.
pub(super) fn links(dirs: &UserDirs) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(directory(dirs)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut links = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "wants") {
            let linked = FILES.iter().map(|file| path.join(file));
            links.extend(linked.filter(|link| link.is_symlink()));
        }
    }
    Ok(links)
}

/// In UTC, because systemd prints times for people, in the zone that it is told, and a zone's short name is not
/// enough to know a time by. (`--timestamp=unix` is newer, and does not reach a timer's properties.)
pub(super) fn questions() -> Vec<Step> {
    let show = |unit: &str, properties: &str| {
        let properties = format!("--property={properties}");
        Step::new("env", &[&"TZ=UTC", &"systemctl", &"--user", &"show", &properties, &unit])
    };
    vec![
        show(TIMER, "ActiveState,LastTriggerUSec,NextElapseUSecRealtime"),
        show(SERVICE, "ExecMainStartTimestamp,ExecMainExitTimestamp,ExecMainStatus"),
    ]
}

/// Reads what `systemctl show` says, of the timer or of the service.
pub(super) fn understand(answer: &Ran, status: &mut Status) {
    if answer.code != Some(0) {
        return;
    }
    let value = |key: &str| answer.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let time = |key: &str| parse_time(value(key)?);
    if let Some(state) = value("ActiveState") {
        status.active = Some(state == "active");
        status.next_run = time("NextElapseUSecRealtime");
    }
    // The timer's word outlives a restart of the computer, the service's also knows of runs that a disk started.
    let last = [status.last_run, time("LastTriggerUSec"), time("ExecMainStartTimestamp")];
    status.last_run = last.into_iter().flatten().max();
    if time("ExecMainExitTimestamp").is_some() {
        status.last_exit = value("ExecMainStatus").and_then(|code| code.parse().ok());
    }
}

/// `Sat 2026-11-21 04:01:57 UTC`; nothing or `n/a` for a time that never was.
fn parse_time(text: &str) -> Option<Timestamp> {
    let (_weekday, date_and_time) = text.strip_suffix(" UTC")?.split_once(' ')?;
    let civil = jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", date_and_time).ok()?;
    civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_that_divides_an_hour_or_a_day_goes_by_the_calendar() {
        let calendar = |minutes: u64| calendar(Duration::from_secs(minutes * 60));
        assert_eq!(calendar(1).as_deref(), Some("*-*-* *:00/1:00"));
        assert_eq!(calendar(15).as_deref(), Some("*-*-* *:00/15:00"));
        assert_eq!(calendar(60).as_deref(), Some("*-*-* *:00:00"));
        assert_eq!(calendar(360).as_deref(), Some("*-*-* 00/6:00:00"));
        assert_eq!(calendar(1440).as_deref(), Some("*-*-* 00:00:00"));
        for minutes in [7, 45, 90, 300, 2880] {
            assert_eq!(calendar(minutes), None, "{minutes}");
        }
        assert_eq!(super::calendar(Duration::from_secs(61)), None);
        assert_eq!(times(Duration::from_millis(90_500)), "OnStartupSec=2min\nOnUnitActiveSec=91s\n");
    }

    #[test]
    fn a_status_of_systemd_is_understood() {
        let mut status =
            Status { files: Vec::new(), active: None, last_run: None, last_exit: None, next_run: None };
        let ran = |stdout: &str| Ran { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() };
        understand(
            &ran(
                "ActiveState=active\nLastTriggerUSec=Tue 2023-11-14 22:13:20 UTC\nNextElapseUSecRealtime=Tue 2023-11-14 23:13:20 UTC\n",
            ),
            &mut status,
        );
        understand(
            &ran(
                "ExecMainStartTimestamp=Tue 2023-11-14 22:21:40 UTC\nExecMainExitTimestamp=Tue 2023-11-14 22:23:20 UTC\nExecMainStatus=5\n",
            ),
            &mut status,
        );
        assert_eq!(status.active, Some(true));
        assert_eq!(status.last_run.map(Timestamp::as_second), Some(1_700_000_500));
        assert_eq!(status.next_run.map(Timestamp::as_second), Some(1_700_003_600));
        assert_eq!(status.last_exit, Some(5));
    }

    #[test]
    fn a_run_that_never_was_has_no_exit_code() {
        let mut status =
            Status { files: Vec::new(), active: None, last_run: None, last_exit: None, next_run: None };
        let stdout = "ExecMainStartTimestamp=\nExecMainExitTimestamp=\nExecMainStatus=0\n".to_owned();
        understand(&Ran { code: Some(0), stdout, stderr: String::new() }, &mut status);
        understand(
            &Ran {
                code: Some(0),
                stdout: "ActiveState=inactive\nLastTriggerUSec=n/a\n".to_owned(),
                stderr: String::new(),
            },
            &mut status,
        );
        assert_eq!((status.active, status.last_exit, status.last_run), (Some(false), None, None));
    }
}
