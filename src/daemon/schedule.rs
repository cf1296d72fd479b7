//! Installing, removing and asking after the schedule.
//!
//! The files are the schedule; telling the system about them may fail where the user has no session (a container,
//! `ssh` without lingering). Then the files stay, and the error says what to run in a session.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use jiff::Timestamp;

use super::{launchd, systemd};

/// More often than this is asking for a daemon.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(60);

/// What is to be run, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The program, by its absolute path: neither system has the user's `PATH`.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// How often, at least a minute; fractions of a second are rounded up.
    pub interval: Duration,
    /// `SHELFLIST_HOME`, where the user has set it.
    pub home: Option<PathBuf>,
    /// Where the libraries' disks are mounted: a run begins when one comes. launchd watches all disks and needs no
    /// list. `/` is no disk that comes.
    pub mount_points: Vec<PathBuf>,
    /// Where launchd puts what the program prints. systemd keeps that in its journal.
    pub log_dir: PathBuf,
}

/// What starts programs by itself on this computer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// macOS.
    Launchd,
    /// Linux.
    Systemd,
}

impl Platform {
    /// That of the computer this was compiled for; `None` where there is none that we know.
    #[must_use]
    pub const fn here() -> Option<Self> {
        if cfg!(target_os = "macos") {
            Some(Platform::Launchd)
        } else if cfg!(target_os = "linux") {
            Some(Platform::Systemd)
        } else {
            None
        }
    }
}

/// The user whose schedule it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDirs {
    /// The home directory.
    pub home: PathBuf,
    /// `XDG_CONFIG_HOME`, where it is set to an absolute path.
    pub config_home: Option<PathBuf>,
    /// The user's number.
    pub uid: u32,
}

/// One file that makes the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    /// Where it belongs.
    pub path: PathBuf,
    /// What it says.
    pub content: Vec<u8>,
}

/// How a file of the schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// It is not there.
    Absent,
    /// It says what this program would write now.
    Same,
    /// It was written for other settings, by another version, or edited by hand.
    Differs,
}

/// How the schedule is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its files.
    pub files: Vec<(PathBuf, FileState)>,
    /// Whether the system knows it and will run it; `None` where the system could not be asked.
    pub active: Option<bool>,
    /// When the last run began, where the system says so.
    pub last_run: Option<Timestamp>,
    /// The last run's exit code, where the system says so.
    pub last_exit: Option<i32>,
    /// When the next run is due, where the system says so.
    pub next_run: Option<Timestamp>,
}

impl Status {
    /// Whether all files are there, whatever they say.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.files.iter().all(|(_, state)| *state != FileState::Absent)
    }
}

/// What went wrong with the schedule.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// More often than the systems should be asked for.
    #[error("a schedule runs at most once a minute, not every {} s", .0.as_secs_f64())]
    TooOften(Duration),
    /// A path has to be absolute.
    #[error("the {what} of a schedule must be an absolute path, not {path:?}")]
    NotAbsolute {
        /// Which path.
        what: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The system's files cannot say it.
    #[error("{system} cannot be told the {what} {text:?}: {reason}")]
    NotRepresentable {
        /// launchd or systemd.
        system: &'static str,
        /// Which part.
        what: &'static str,
        /// What it is.
        text: OsString,
        /// Why not.
        reason: &'static str,
    },
    /// A file could not be written, read or removed.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The files are as they should be; the system was not told.
    #[error("the schedule's files are {files}, but `{command}` failed: {said}; run in the user's own session: {}", run.join(" && "))]
    NotTold {
        /// `written` or `removed`.
        files: &'static str,
        /// What failed.
        command: String,
        /// What it said.
        said: String,
        /// What has to be run, in order.
        run: Vec<String>,
    },
}

/// What a command answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs the system's commands; a test's runner only writes them down.
pub trait CommandRunner {
    /// Runs to the end, without standard input.
    ///
    /// # Errors
    /// Where it cannot be started.
    fn run(&self, program: &str, args: &[OsString]) -> io::Result<Ran>;
}

/// Runs them for real.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemCommands;

impl CommandRunner for SystemCommands {
    fn run(&self, program: &str, args: &[OsString]) -> io::Result<Ran> {
        let output = Command::new(program).args(args).stdin(Stdio::null()).output()?;
        Ok(Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

/// One command that the system is told by.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) program: &'static str,
    pub(super) args: Vec<OsString>,
    /// Whether it may fail: it clears away what may not be there.
    pub(super) may_fail: bool,
}

impl Step {
    pub(super) fn new(program: &'static str, args: &[&dyn AsRef<OsStr>]) -> Self {
        let args = args.iter().map(|arg| (*arg).as_ref().to_owned()).collect();
        Step { program, args, may_fail: false }
    }

    pub(super) fn may_fail(self) -> Self {
        Step { may_fail: true, ..self }
    }

    /// As a person types it.
    fn shell(&self) -> String {
        let mut line = self.program.to_owned();
        for arg in &self.args {
            let text = arg.to_string_lossy();
            line.push(' ');
            if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=@+,".contains(&byte)) {
                line.push_str(&text);
            } else {
                line.push('\'');
                line.push_str(&text.replace('\'', r"'\''"));
                line.push('\'');
            }
        }
        line
    }
}

/// The files that make the schedule.
///
/// # Errors
/// What of the schedule cannot be said to that system.
pub fn render(
    platform: Platform,
    dirs: &UserDirs,
    schedule: &Schedule,
) -> Result<Vec<UnitFile>, ScheduleError> {
    if schedule.interval < SHORTEST_INTERVAL {
        return Err(ScheduleError::TooOften(schedule.interval));
    }
    let absolute = [("program", Some(&schedule.program)), ("home", schedule.home.as_ref())];
    for (what, path) in absolute {
        if let Some(path) = path.filter(|path| !path.is_absolute()) {
            return Err(ScheduleError::NotAbsolute { what, path: path.clone() });
        }
    }
    let paths = paths(platform, dirs);
    let contents = match platform {
        Platform::Launchd => vec![launchd::render(schedule)?],
        Platform::Systemd => vec![systemd::render_service(schedule)?, systemd::render_timer(schedule)],
    };
    Ok(paths.into_iter().zip(contents).map(|(path, content)| UnitFile { path, content }).collect())
}

/// Where the files belong.
fn paths(platform: Platform, dirs: &UserDirs) -> Vec<PathBuf> {
    match platform {
        Platform::Launchd => vec![launchd::path(dirs)],
        Platform::Systemd => systemd::FILES.iter().map(|file| systemd::directory(dirs).join(file)).collect(),
    }
}

/// Writes the files and tells the system. Installing again renews it.
///
/// # Errors
/// [`ScheduleError::NotTold`] where the files are written and the system could not be told; what else went wrong
/// otherwise.
pub fn install(
    platform: Platform,
    dirs: &UserDirs,
    schedule: &Schedule,
    runner: &dyn CommandRunner,
) -> Result<Vec<PathBuf>, ScheduleError> {
    let files = render(platform, dirs, schedule)?;
    if platform == Platform::Launchd {
        // launchd makes no directory for what it is told to write, and then does not start the program.
        make_directory(&schedule.log_dir)?;
    }
    for file in &files {
        if state_of(file)? != FileState::Same {
            write_atomically(file)?;
        }
    }
    let steps = match platform {
        Platform::Launchd => launchd::install_steps(dirs),
        Platform::Systemd => systemd::install_steps(schedule),
    };
    tell(&steps, "written", runner)?;
    Ok(files.into_iter().map(|file| file.path).collect())
}

/// Takes the schedule away; the files that were there. Removing what is not installed is no error.
///
/// # Errors
/// [`ScheduleError::NotTold`] where the files are removed and the system could not be told; what else went wrong
/// otherwise.
pub fn remove(
    platform: Platform,
    dirs: &UserDirs,
    runner: &dyn CommandRunner,
) -> Result<Vec<PathBuf>, ScheduleError> {
    let mut files = paths(platform, dirs);
    let (before, after) = match platform {
        Platform::Launchd => (launchd::remove_steps(dirs), Vec::new()),
        Platform::Systemd => {
            let links = systemd::links(dirs).map_err(|source| ScheduleError::File {
                doing: "list",
                path: systemd::directory(dirs),
                source,
            })?;
            files.extend(links);
            (systemd::stop_steps(), systemd::reload_steps())
        }
    };
    if !files.iter().any(|path| path.is_symlink() || path.exists()) {
        return Ok(Vec::new());
    }
    let told = tell(&before, "removed", runner);
    let mut removed = Vec::new();
    for path in files {
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ScheduleError::File { doing: "remove", path, source }),
        }
    }
    match told {
        Ok(()) => tell(&after, "removed", runner)?,
        Err(ScheduleError::NotTold { files, command, said, mut run }) => {
            run.extend(after.iter().map(Step::shell));
            return Err(ScheduleError::NotTold { files, command, said, run });
        }
        Err(other) => return Err(other),
    }
    Ok(removed)
}

/// How the schedule is. With the schedule that would be installed now, files that say something else are found.
///
/// # Errors
/// Where a file cannot be read. A system that cannot be asked is no error.
pub fn status(
    platform: Platform,
    dirs: &UserDirs,
    schedule: &Schedule,
    runner: &dyn CommandRunner,
) -> Result<Status, ScheduleError> {
    let files = render(platform, dirs, schedule)?
        .into_iter()
        .map(|file| state_of(&file).map(|state| (file.path, state)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut status = Status { files, active: None, last_run: None, last_exit: None, next_run: None };
    let questions = match platform {
        Platform::Launchd => launchd::questions(dirs),
        Platform::Systemd => systemd::questions(),
    };
    for question in questions {
        if let Ok(answer) = runner.run(question.program, &question.args) {
            match platform {
                Platform::Launchd => launchd::understand(&answer, &mut status),
                Platform::Systemd => systemd::understand(&answer, &mut status),
            }
        }
    }
    Ok(status)
}

/// Starts a run now, the way the schedule would: with the system's environment and permissions, not this shell's.
///
/// # Errors
/// [`ScheduleError::NotTold`].
pub fn start(platform: Platform, dirs: &UserDirs, runner: &dyn CommandRunner) -> Result<(), ScheduleError> {
    let steps = match platform {
        Platform::Launchd => launchd::start_steps(dirs),
        Platform::Systemd => systemd::start_steps(),
    };
    tell(&steps, "unchanged", runner)
}

fn tell(steps: &[Step], files: &'static str, runner: &dyn CommandRunner) -> Result<(), ScheduleError> {
    for (index, step) in steps.iter().enumerate() {
        let said = match runner.run(step.program, &step.args) {
            Ok(Ran { code: Some(0), .. }) => continue,
            _ if step.may_fail => continue,
            Ok(ran) => {
                let said = [ran.stderr.trim(), ran.stdout.trim()].into_iter().find(|said| !said.is_empty());
                said.unwrap_or("it gave no reason").to_owned()
            }
            Err(error) => error.to_string(),
        };
        return Err(ScheduleError::NotTold {
            files,
            command: step.shell(),
            said,
            run: steps[index..].iter().filter(|step| !step.may_fail).map(Step::shell).collect(),
        });
    }
    Ok(())
}

fn state_of(file: &UnitFile) -> Result<FileState, ScheduleError> {
    match fs::read(&file.path) {
        Ok(content) if content == file.content => Ok(FileState::Same),
        Ok(_) => Ok(FileState::Differs),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(FileState::Absent),
        Err(source) => Err(ScheduleError::File { doing: "read", path: file.path.clone(), source }),
    }
}

fn make_directory(path: &Path) -> Result<(), ScheduleError> {
    fs::create_dir_all(path).map_err(|source| ScheduleError::File {
        doing: "make the directory",
        path: path.to_owned(),
        source,
    })
}

fn write_atomically(file: &UnitFile) -> Result<(), ScheduleError> {
    let directory = file.path.parent().expect("a unit's path is made of a directory and a name");
    make_directory(directory)?;
    let mut unfinished = file.path.clone().into_os_string();
    unfinished.push(".new"); // neither system reads a file of that name
    let unfinished = PathBuf::from(unfinished);
    let write = || {
        let mut new = File::create(&unfinished)?;
        new.write_all(&file.content)?;
        new.sync_all()?;
        fs::rename(&unfinished, &file.path)
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&unfinished);
        ScheduleError::File { doing: "write", path: file.path.clone(), source }
    })
}
