//! Two processes for a command that touches a disk: the one that the shell, launchd or systemd waits for never does.
//!
//! A thread that the kernel keeps, in a read from a disk that does not answer, cannot be ended: not by `exit`, not by
//! `kill -9`. The process that has it stays a zombie with all that it had open, and whoever waits for it waits for the
//! disk. So this program starts itself once more, as its *worker*, and waits for what the worker says instead of for its
//! end: a worker that has done its work, flushed what it prints and let go of lock and catalogue says its exit code,
//! closes the terminal or pipe behind itself, and may stay in the kernel for as long as it takes.
//!
//! The two are bound by one socket, the worker's standard input. (No command reads its standard input. Another
//! descriptor would have to be handed over by number, which safe Rust cannot take up again.) Over it go
//! - from the supervisor: a byte for each signal that it was sent, so that stopping it stops the run as gracefully as
//!   Ctrl-C does. Ctrl-C in a terminal and a stopping systemd unit reach both processes: see [`super::stop`];
//! - from the worker: that it is one, as its first act, and its exit code, as its last;
//! - the end of either: a worker whose supervisor was killed is killed, too, as if there had been one process only.

use std::ffi::{OsStr, OsString};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::fs::FileType;
use rustix::process::{Signal, getpid, kill_process};

use super::exit::Exit;
use super::stop;

/// First argument of a worker.
const WORKER: &str = "__worker";

/// How long a worker that has said its code, or was told twice to stop, may take to be gone before it is left behind.
const GRACE: Duration = Duration::from_secs(1);

/// What the supervisor says for each signal.
const STOP: u8 = b's';

/// What the worker says first.
const READY: u8 = b'r';

/// What happens to a supervisor.
#[derive(Debug)]
enum Event {
    /// The worker has begun.
    Ready,
    /// The worker has done its work, with this exit code.
    Said(u8),
    /// The worker is gone.
    Gone(std::io::Result<ExitStatus>),
    /// Somebody wants the run to end.
    Asked,
}

/// Starts this program once more with these arguments, the first being its name, and waits for what it says.
///
/// # Errors
/// The worker could not be started; nothing was done.
pub(super) fn supervise(args: &[OsString]) -> std::io::Result<ExitCode> {
    let (ours, workers) = UnixStream::pair()?;
    let mut hears = ours.try_clone()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(WORKER)
        .args(args.iter().skip(1))
        .stdin(Stdio::from(OwnedFd::from(workers)))
        .spawn()?;

    let (tell, events) = mpsc::channel();
    let mut speaks = ours;
    let asked = tell.clone();
    // Until this stands, a signal ends this process, and with it the worker, as it would have ended the program.
    let _ = ctrlc::set_handler(move || {
        let _ = speaks.write_all(&[STOP]);
        if asked.send(Event::Asked).is_err() {
            // It came to nothing, and the command is carried out in this process.
            stop::signalled();
        }
    });
    std::thread::spawn(move || {
        let mut byte = [0];
        if hears.read_exact(&mut byte).is_ok() && byte == [READY] {
            let _ = tell.send(Event::Ready);
            if hears.read_exact(&mut byte).is_ok() {
                let _ = tell.send(Event::Said(byte[0]));
            }
        }
        // Afterwards, so that one that is gone was heard to its end.
        let _ = tell.send(Event::Gone(child.wait()));
    });
    outcome(&events, GRACE).map(ExitCode::from)
}

/// The exit code to pass on, as soon as it is known.
fn outcome(events: &mpsc::Receiver<Event>, grace: Duration) -> std::io::Result<u8> {
    let mut ready = false;
    let mut said = None;
    let mut asked = 0;
    let mut until: Option<Instant> = None;
    loop {
        let event = match until {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => events.recv_timeout(until.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(Event::Ready) => ready = true,
            Ok(Event::Said(code)) => said = Some(code),
            // This program is not where the operating system says it is: what was started is another.
            Ok(Event::Gone(Ok(status))) if !ready && status.signal().is_none() => {
                return Err(ErrorKind::NotFound.into());
            }
            Ok(Event::Gone(Ok(status))) => return Ok(said.unwrap_or_else(|| code_of(status))),
            Ok(Event::Asked) => asked += 1,
            Ok(Event::Gone(Err(_))) | Err(_) => {
                // By now somebody has asked twice, or the worker has said what there was to say.
                let unsaid = if asked > 0 { Exit::Interrupted } else { Exit::Failed };
                return Ok(said.unwrap_or(unsaid as u8));
            }
        }
        if until.is_none() && (said.is_some() || asked > 1) {
            until = Some(Instant::now() + grace);
        }
    }
}

/// As a shell says it.
fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(Exit::Failed as u8)
}

/// The worker's end of the socket. Dropped without a word it says that the program failed.
#[derive(Debug)]
pub(super) struct Line {
    speaks: UnixStream,
    said: bool,
}

impl Line {
    /// The line to the supervisor, where this process is a worker; its first argument is then taken away.
    pub(super) fn take(args: &mut Vec<OsString>) -> Option<Line> {
        if args.get(1).map(OsString::as_os_str) != Some(OsStr::new(WORKER)) {
            return None;
        }
        let stdin = std::io::stdin();
        let stat = rustix::fs::fstat(&stdin).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            // Typed by a person: no command of that name, then.
            return None;
        }
        let mut speaks = UnixStream::from(stdin.as_fd().try_clone_to_owned().ok()?);
        let hears = speaks.try_clone().ok()?;
        // What this process starts has no business on the line.
        let nothing = std::fs::File::open("/dev/null").ok()?;
        rustix::stdio::dup2_stdin(&nothing).ok()?;
        std::thread::Builder::new().name("supervisor".to_owned()).spawn(move || listen(hears)).ok()?;
        speaks.write_all(&[READY]).ok()?;
        args.remove(1);
        Some(Line { speaks, said: false })
    }

    /// The last act: what was opened is closed, what was to be printed is flushed.
    pub(super) fn done(mut self, code: u8) {
        self.say(code);
    }

    fn say(&mut self, code: u8) {
        self.said = true;
        hang_up(&self.speaks, code);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.said {
            // As Rust says of a panic.
            self.say(101);
        }
    }
}

/// Says the code. From then on nobody waits for this process: also not for the end of a pipe that it could not close any
/// more if it stuck.
fn hang_up(mut speaks: &UnixStream, code: u8) {
    let_go_of_output();
    let _ = speaks.write_all(&[code]);
}

/// Closes the terminal or pipe, for this process and whatever thread of it the kernel keeps.
pub(super) fn let_go_of_output() {
    if let Ok(nothing) = std::fs::File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }
}

/// Hears the supervisor, and dies with it.
fn listen(mut hears: UnixStream) {
    let mut byte = [0];
    loop {
        match hears.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {
                if stop::ask(stop::By::Supervisor) == stop::Answer::AtOnce {
                    hang_up(&hears, Exit::Interrupted as u8);
                    break;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // The supervisor was killed; what it was for has to die as it did: no destructors, nothing begun is brought to an end.
    let _ = kill_process(getpid(), Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn outcome_of(events: Vec<Event>, grace: Duration) -> u8 {
        let (tell, told) = mpsc::channel();
        tell.send(Event::Ready).unwrap();
        for event in events {
            tell.send(event).unwrap();
        }
        outcome(&told, grace).expect("the worker had begun")
    }

    fn gone(raw_status: i32) -> Event {
        Event::Gone(Ok(ExitStatus::from_raw(raw_status)))
    }

    #[test]
    fn the_workers_code_is_passed_on_as_a_shell_would_say_it() {
        assert_eq!(outcome_of(vec![gone(0)], LONG), 0);
        assert_eq!(outcome_of(vec![gone(7 << 8)], LONG), 7);
        assert_eq!(outcome_of(vec![gone(9)], LONG), 137);
        // What it said counts: after that it can only have been killed in the kernel.
        assert_eq!(outcome_of(vec![Event::Said(3), gone(9)], LONG), 3);
    }

    #[test]
    fn what_never_was_a_worker_has_no_code() {
        let (tell, told) = mpsc::channel();
        tell.send(gone(127 << 8)).unwrap();
        assert!(outcome(&told, LONG).is_err());
    }

    // L2: hung
    #[test]
    fn a_worker_that_said_its_code_is_not_waited_for_for_ever() {
        assert_eq!(outcome_of(vec![Event::Said(7)], Duration::ZERO), 7);
    }

    #[test]
    fn a_worker_that_was_told_twice_to_stop_is_not_waited_for_for_ever() {
        assert_eq!(outcome_of(vec![Event::Asked, Event::Asked], Duration::ZERO), 130);
        assert_eq!(outcome_of(vec![Event::Asked, gone(130 << 8)], Duration::ZERO), 130);
    }
}
