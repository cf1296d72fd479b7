//! What launchd and systemd are told, read back by readers that are not ours: Python's plistlib and shlex, and
//! systemd's own tools.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use shelflist::daemon::{
    CommandRunner, FileState, Platform, Ran, Schedule, ScheduleError, UserDirs, install, remove, render,
    start, status,
};

/// Everything that a shell, XML, systemd and property lists treat specially, as far as each can be told it.
const AWKWARD: &str = r#"a b  c'd"e\f\\g\"h%h$HOME${X}<&>é#;"#;

fn schedule() -> Schedule {
    Schedule {
        program: PathBuf::from("/opt/shelf list/bin/shelflist"),
        args: vec!["sync".into(), "--scheduled".into()],
        interval: Duration::from_secs(1800),
        home: None,
        mount_points: Vec::new(),
        log_dir: PathBuf::from("/home/ann/logs"),
    }
}

fn dirs(home: &Path) -> UserDirs {
    UserDirs { home: home.to_owned(), config_home: None, uid: 501 }
}

fn rendered(platform: Platform, schedule: &Schedule) -> Vec<String> {
    let files = render(platform, &dirs(Path::new("/home/ann")), schedule).unwrap();
    files.into_iter().map(|file| String::from_utf8(file.content).unwrap()).collect()
}

/// Runs a tool that the tests need; a missing one is a failure.
fn output(command: &mut Command) -> String {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; ./test.sh installs it"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn python(script: &str, argument: &str) -> serde_json::Value {
    serde_json::from_str(&output(Command::new("python3").args(["-c", script, argument]))).unwrap()
}

/// Remembers what it was asked to run; answers by rule.
struct Recorder {
    lines: RefCell<Vec<String>>,
    answer: fn(&str) -> io::Result<Ran>,
}

impl Recorder {
    fn new(answer: fn(&str) -> io::Result<Ran>) -> Self {
        Recorder { lines: RefCell::default(), answer }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.take()
    }
}

impl CommandRunner for Recorder {
    fn run(&self, program: &str, args: &[OsString]) -> io::Result<Ran> {
        let args: Vec<_> = args.iter().map(|arg| arg.to_str().unwrap()).collect();
        let line = format!("{program} {}", args.join(" "));
        let answer = (self.answer)(&line);
        self.lines.borrow_mut().push(line);
        answer
    }
}

fn ran(code: i32, stdout: &str, stderr: &str) -> io::Result<Ran> {
    Ok(Ran { code: Some(code), stdout: stdout.to_owned(), stderr: stderr.to_owned() })
}

// R2
#[test]
fn a_launchd_agent_says_what_was_asked_to_an_independent_reader() {
    let schedule = Schedule {
        program: PathBuf::from(format!("/opt/{AWKWARD}/shelflist")),
        args: vec!["sync".into(), AWKWARD.into(), "".into()],
        interval: Duration::from_millis(90_500),
        home: Some(PathBuf::from(format!("/data/{AWKWARD}"))),
        ..schedule()
    };
    let [agent] = &rendered(Platform::Launchd, &schedule)[..] else { panic!("one file") };
    let read =
        python("import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.argv[1].encode())))", agent);
    assert_eq!(
        read,
        serde_json::json!({
            "Label": "dev.shelflist.sync",
            "ProgramArguments": [format!("/opt/{AWKWARD}/shelflist"), "sync", AWKWARD, ""],
            "WorkingDirectory": "/",
            "StartInterval": 91,
            "StartOnMount": true,
            "RunAtLoad": false,
            "ProcessType": "Background",
            "LowPriorityIO": true,
            "StandardOutPath": "/home/ann/logs/scheduled.out.log",
            "StandardErrorPath": "/home/ann/logs/scheduled.err.log",
            "EnvironmentVariables": {"SHELFLIST_HOME": format!("/data/{AWKWARD}")},
        })
    );
    let [agent] = &rendered(Platform::Launchd, &self::schedule())[..] else { panic!("one file") };
    assert!(!agent.contains("EnvironmentVariables"));
}

/// The words of a line of a systemd unit, by another unquoter than systemd's, which knows neither `%` nor `$`.
fn words(unit: &str, key: &str) -> Vec<String> {
    let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    let words = python("import json, shlex, sys; print(json.dumps(shlex.split(sys.argv[1])))", line);
    words.as_array().unwrap().iter().map(|word| word.as_str().unwrap().replace("%%", "%")).collect()
}

// R2
#[test]
fn a_systemd_service_says_what_was_asked_to_an_independent_reader() {
    let schedule = Schedule {
        program: PathBuf::from("/opt/a b%h$HOME/shelflist"),
        args: vec!["sync".into(), AWKWARD.into(), "".into()],
        home: Some(PathBuf::from(format!("/data/{AWKWARD}"))),
        ..schedule()
    };
    let [service, _timer] = &rendered(Platform::Systemd, &schedule)[..] else { panic!("two files") };
    let command = words(service, "ExecStart");
    assert_eq!(command[0], "/opt/a b%h$HOME/shelflist", "variables are not expanded in the program's path");
    let args: Vec<_> = command[1..].iter().map(|arg| arg.replace("$$", "$")).collect();
    assert_eq!(args, ["sync", AWKWARD, ""]);
    assert_eq!(command[2].matches('$').count(), 2 * AWKWARD.matches('$').count());
    assert_eq!(words(service, "Environment"), [format!("SHELFLIST_HOME=/data/{AWKWARD}")]);
    // D10: 3 problems, 4 another run, 5 remote away, 6 a decision waits, 130 stopped; 1, 2 and 7 are failures.
    assert!(service.contains("\nSuccessExitStatus=3 4 5 6 130\n"));
    assert!(!service.contains("Condition"), "an absent disk is no reason not to send what is queued");
}

#[test]
fn what_a_system_cannot_be_told_is_an_error_and_not_a_file() {
    let not_text = OsString::from_vec(b"caf\xe9".to_vec());
    for (platform, change) in [
        (Platform::Launchd, Schedule { args: vec![not_text.clone()], ..schedule() }),
        (Platform::Launchd, Schedule { home: Some("/a\nb".into()), ..schedule() }),
        (Platform::Systemd, Schedule { args: vec![not_text], ..schedule() }),
        (Platform::Systemd, Schedule { home: Some("/a\nExecStart=b".into()), ..schedule() }),
        (Platform::Systemd, Schedule { program: "/opt/a\"b".into(), ..schedule() }),
        (Platform::Systemd, Schedule { program: "/opt/a\\b".into(), ..schedule() }),
    ] {
        let error = render(platform, &dirs(Path::new("/home/ann")), &change).unwrap_err();
        assert!(matches!(error, ScheduleError::NotRepresentable { .. }), "{error:?}");
    }
    let dirs = dirs(Path::new("/home/ann"));
    let often = Schedule { interval: Duration::from_secs(59), ..schedule() };
    assert!(matches!(render(Platform::Systemd, &dirs, &often), Err(ScheduleError::TooOften(_))));
    let relative = Schedule { program: "shelflist".into(), ..schedule() };
    assert!(matches!(render(Platform::Launchd, &dirs, &relative), Err(ScheduleError::NotAbsolute { .. })));
}

#[cfg(target_os = "linux")]
mod systemd {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// systemd's tools for a user want these, and otherwise look at ours.
    fn tool(program: &str, place: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("XDG_RUNTIME_DIR", place).env("HOME", place).env("TZ", "UTC").env("SYSTEMD_COLORS", "0");
        command
    }

    fn verified(schedule: &Schedule) {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("a b%h$HOME é").join("shelflist");
        std::fs::create_dir(program.parent().unwrap()).unwrap();
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let schedule = Schedule { program, ..schedule.clone() };

        let files = render(Platform::Systemd, &dirs(place.path()), &schedule).unwrap();
        std::fs::create_dir_all(files[0].path.parent().unwrap()).unwrap();
        let mut verify = tool("systemd-analyze", place.path());
        verify.args(["--user", "verify"]);
        for file in &files {
            std::fs::write(&file.path, &file.content).unwrap();
            verify.arg(&file.path);
        }
        let output = verify.output().expect("systemd-analyze; ./test.sh installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{}: {said}", output.status);
    }

    // R2: the program's path is checked too, so its quoting is systemd's own.
    #[test]
    fn systemd_finds_nothing_wrong_with_the_units() {
        verified(&schedule());
        verified(&Schedule {
            args: vec![AWKWARD.into()],
            home: Some(PathBuf::from(format!("/data/{AWKWARD}"))),
            mount_points: vec!["/media/ann/My Disk-2".into()],
            interval: Duration::from_secs(45 * 60),
            ..schedule()
        });
    }

    #[test]
    fn a_calendar_timer_elapses_at_the_interval() {
        let place = tempfile::tempdir().unwrap();
        for minutes in [1, 5, 15, 20, 60, 120, 360, 720, 1440] {
            let every = Schedule { interval: Duration::from_secs(minutes * 60), ..schedule() };
            let timer = &rendered(Platform::Systemd, &every)[1];
            let calendar = timer.lines().find_map(|line| line.strip_prefix("OnCalendar=")).unwrap();
            let mut analyze = tool("systemd-analyze", place.path());
            let said = output(analyze.args(["calendar", "--iterations=30", calendar]));
            let times: Vec<i64> = said
                .lines()
                .filter(|line| {
                    line.contains("Next elapse") || line.contains("Iteration #") || line.contains("Iter. #")
                })
                .map(|line| {
                    let utc = line.split_once(": ").unwrap().1.trim().split_once(' ').unwrap().1;
                    let time = utc.strip_suffix(" UTC").unwrap();
                    jiff::civil::DateTime::strptime("%Y-%m-%d %H:%M:%S", time)
                        .unwrap()
                        .to_zoned(jiff::tz::TimeZone::UTC)
                        .unwrap()
                        .timestamp()
                        .as_second()
                })
                .collect();
            assert_eq!(times.len(), 30, "{said}");
            assert!(
                times.windows(2).all(|pair| pair[1] - pair[0] == minutes as i64 * 60),
                "{minutes}: {said}"
            );
        }
    }

    // R2: a disk that comes starts a run, so the name of its mount must be the one systemd gives it.
    #[test]
    fn a_mount_is_named_as_systemd_names_it() {
        let place = tempfile::tempdir().unwrap();
        for path in ["/mnt/a", "/media/ann/My Disk-2", "/.hidden/.x", "/a.b_c:d/é\\x", "/trailing//slash/"] {
            let with_disk = Schedule { mount_points: vec![path.into(), "/".into()], ..schedule() };
            let service = &rendered(Platform::Systemd, &with_disk)[0];
            let wanted = service.lines().find_map(|line| line.strip_prefix("WantedBy=")).unwrap();
            let escaped =
                output(tool("systemd-escape", place.path()).args(["--path", "--suffix=mount", path]));
            assert_eq!(wanted, escaped.trim(), "{path}");
        }
        let root_only = Schedule { mount_points: vec!["/".into()], ..schedule() };
        assert!(!rendered(Platform::Systemd, &root_only)[0].contains("[Install]"));
    }
}

#[test]
fn installing_writes_the_agent_and_loads_it_anew() {
    let place = tempfile::tempdir().unwrap();
    let dirs = dirs(place.path());
    let schedule = Schedule { log_dir: place.path().join("data/logs"), ..schedule() };
    let runner =
        Recorder::new(
            |line| if line.contains("bootout") { ran(3, "", "No such process") } else { ran(0, "", "") },
        );

    let files = install(Platform::Launchd, &dirs, &schedule, &runner).unwrap();
    let agent = place.path().join("Library/LaunchAgents/dev.shelflist.sync.plist");
    assert_eq!(files, std::slice::from_ref(&agent));
    assert_eq!(
        std::fs::read(&agent).unwrap(),
        render(Platform::Launchd, &dirs, &schedule).unwrap()[0].content
    );
    assert!(schedule.log_dir.is_dir());
    assert_eq!(
        runner.lines(),
        [
            "launchctl bootout gui/501/dev.shelflist.sync".to_owned(),
            "launchctl enable gui/501/dev.shelflist.sync".to_owned(),
            format!("launchctl bootstrap gui/501 {}", agent.display()),
        ]
    );
    start(Platform::Launchd, &dirs, &runner).unwrap();
    assert_eq!(runner.lines(), ["launchctl kickstart gui/501/dev.shelflist.sync"]);

    assert_eq!(remove(Platform::Launchd, &dirs, &runner).unwrap(), std::slice::from_ref(&agent));
    assert_eq!(runner.lines(), ["launchctl bootout gui/501/dev.shelflist.sync"]);
    assert!(!agent.exists());
    assert_eq!(remove(Platform::Launchd, &dirs, &runner).unwrap(), [] as [PathBuf; 0]);
    assert_eq!(runner.lines(), [] as [String; 0]);
}

#[test]
fn installing_writes_the_units_and_starts_the_timer() {
    let place = tempfile::tempdir().unwrap();
    let dirs = UserDirs { config_home: Some(place.path().join("xdg")), ..dirs(place.path()) };
    let units = place.path().join("xdg/systemd/user");
    let with_disk = Schedule { mount_points: vec!["/mnt/a".into()], ..schedule() };
    let runner = Recorder::new(|_| ran(0, "", ""));

    let files = install(Platform::Systemd, &dirs, &with_disk, &runner).unwrap();
    assert_eq!(files, [units.join("shelflist-sync.service"), units.join("shelflist-sync.timer")]);
    assert_eq!(
        runner.lines(),
        [
            "systemctl --user daemon-reload",
            "systemctl --user reenable shelflist-sync.service",
            "systemctl --user enable shelflist-sync.timer",
            "systemctl --user restart shelflist-sync.timer",
        ]
    );

    // What enabling does.
    for link in ["timers.target.wants/shelflist-sync.timer", "mnt-a.mount.wants/shelflist-sync.service"] {
        std::fs::create_dir(units.join(link).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("../x", units.join(link)).unwrap();
    }
    std::os::unix::fs::symlink("../x", units.join("timers.target.wants/other.timer")).unwrap();

    assert_eq!(remove(Platform::Systemd, &dirs, &runner).unwrap().len(), 4);
    assert_eq!(
        runner.lines(),
        ["systemctl --user stop shelflist-sync.timer", "systemctl --user daemon-reload"]
    );
    let left: Vec<_> = walk(&units);
    assert_eq!(left, [units.join("timers.target.wants/other.timer")]);
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() { files.extend(walk(&path)) } else { files.push(path) }
    }
    files
}

// R2: in a container, or without lingering, there is no user session to talk to.
#[test]
fn without_a_session_the_files_stay_and_the_error_says_what_to_run() {
    let place = tempfile::tempdir().unwrap();
    let dirs = dirs(place.path());
    let runner = Recorder::new(|_| ran(1, "", "Failed to connect to bus: No medium found\n"));
    let error = install(Platform::Systemd, &dirs, &schedule(), &runner).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the schedule's files are written, but `systemctl --user daemon-reload` failed: \
         Failed to connect to bus: No medium found; run in the user's own session: \
         systemctl --user daemon-reload && systemctl --user enable shelflist-sync.timer && \
         systemctl --user restart shelflist-sync.timer"
    );
    assert!(place.path().join(".config/systemd/user/shelflist-sync.timer").is_file());

    let error = remove(Platform::Systemd, &dirs, &runner).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("systemctl --user stop shelflist-sync.timer && systemctl --user daemon-reload")
    );
    assert_eq!(walk(&place.path().join(".config")), [] as [PathBuf; 0]);

    let no_systemd = Recorder::new(|_| Err(io::Error::from(io::ErrorKind::NotFound)));
    let error = install(Platform::Systemd, &dirs, &schedule(), &no_systemd).unwrap_err();
    assert!(matches!(error, ScheduleError::NotTold { .. }));
    assert_eq!(
        status(Platform::Systemd, &dirs, &schedule(), &no_systemd).unwrap().active,
        None,
        "a system that cannot be asked is not one that says no"
    );
}

#[test]
fn a_path_with_a_space_is_quoted_in_what_a_person_has_to_run() {
    let place = tempfile::Builder::new().prefix("an n's ").tempdir().unwrap();
    let schedule = Schedule { log_dir: place.path().join("logs"), ..schedule() };
    let runner = Recorder::new(|line| {
        if line.contains("bootstrap") {
            ran(125, "", "Domain does not support specified action")
        } else {
            ran(0, "", "")
        }
    });
    let error = install(Platform::Launchd, &dirs(place.path()), &schedule, &runner).unwrap_err();
    let ScheduleError::NotTold { run, .. } = error else { panic!("{error:?}") };
    let [line] = &run[..] else { panic!("{run:?}") };
    let words = python("import json, shlex, sys; print(json.dumps(shlex.split(sys.argv[1])))", line);
    let agent = place.path().join("Library/LaunchAgents/dev.shelflist.sync.plist");
    assert_eq!(words, serde_json::json!(["launchctl", "bootstrap", "gui/501", agent]));
}

#[test]
fn a_schedule_for_other_settings_is_told_and_renewed() {
    let place = tempfile::tempdir().unwrap();
    let dirs = dirs(place.path());
    let runner = Recorder::new(|line| match line {
        line if line.contains("show") && line.ends_with(".timer") => {
            ran(0, "ActiveState=active\nLastTriggerUSec=Tue 2023-11-14 22:13:20 UTC\n", "")
        }
        _ => ran(0, "", ""),
    });
    let states = |schedule: &Schedule| {
        let status = status(Platform::Systemd, &dirs, schedule, &runner).unwrap();
        (
            status.is_installed(),
            status.files.iter().map(|(_, state)| *state).collect::<Vec<_>>(),
            status.active,
        )
    };
    let hourly = Schedule { interval: Duration::from_secs(3600), ..schedule() };
    assert_eq!(states(&schedule()), (false, vec![FileState::Absent; 2], Some(true)));
    install(Platform::Systemd, &dirs, &schedule(), &runner).unwrap();
    assert_eq!(states(&schedule()), (true, vec![FileState::Same; 2], Some(true)));
    assert_eq!(states(&hourly), (true, vec![FileState::Same, FileState::Differs], Some(true)));
    install(Platform::Systemd, &dirs, &hourly, &runner).unwrap();
    assert_eq!(states(&hourly), (true, vec![FileState::Same; 2], Some(true)));
}

#[test]
fn a_status_of_launchd_is_understood() {
    let place = tempfile::tempdir().unwrap();
    let loaded = Recorder::new(|_| {
        ran(
            0,
            "gui/501/dev.shelflist.sync = {\n\tactive count = 0\n\truns = 4\n\tlast exit code = 78: EX_CONFIG\n}\n",
            "",
        )
    });
    let read = status(Platform::Launchd, &dirs(place.path()), &schedule(), &loaded).unwrap();
    assert_eq!((read.active, read.last_exit), (Some(true), Some(78)));
    let never = Recorder::new(|_| ran(0, "\tlast exit code = (never exited)\n", ""));
    let read = status(Platform::Launchd, &dirs(place.path()), &schedule(), &never).unwrap();
    assert_eq!((read.active, read.last_exit), (Some(true), None));
    let unknown = Recorder::new(|_| {
        ran(113, "", "Could not find service \"dev.shelflist.sync\" in domain for user gui: 501\n")
    });
    assert_eq!(
        status(Platform::Launchd, &dirs(place.path()), &schedule(), &unknown).unwrap().active,
        Some(false)
    );
}
