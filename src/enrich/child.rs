//! The parent's side of the worker: starts it, asks it, and replaces it when it crashes or is late.
//!
//! Whatever ends a worker is judged here. What the content did becomes an [`Outcome`], which is remembered for that
//! content for good; whatever else happened becomes a [`ChildError`], and the file gets another chance. So a worker that
//! was used before and dies is replaced and asked once more: it may have died of an earlier file. And the deadline of
//! an outcome runs only while the worker parses, added up where it reads in between; a read that hangs is the disk's.
//!
//! Nothing here waits without a limit, not even for a killed worker to be gone: in the middle of a read from a disk that
//! hangs, a process cannot be killed.

use std::io::{self, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::piped::{self, Line, Piped, next_line, reap, tail_of};
use super::wire::{Hello, Reply, Request, send};
use super::{Kinds, Limits, Outcome};
use crate::model::ProblemKind;

/// Why there is no outcome. Says nothing about the content; the file should be looked at again.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The extractor process could not be started.
    #[error("the extractor process {program:?} could not be started")]
    Start {
        /// What was started.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It started, and ended or stood still before it was ready.
    #[error("the extractor process {program:?} did not get ready: {message}")]
    NotReady {
        /// What was started.
        program: PathBuf,
        /// What it said last, or how it ended.
        message: String,
    },
    /// The file could not be opened or read, or its disk does not answer.
    #[error("{path:?} could not be read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: io::Error,
    },
    /// It is no regular file (any more).
    #[error("{path:?} is not a regular file")]
    NotRegular {
        /// Which path.
        path: PathBuf,
    },
    /// The file changed while it was read.
    #[error("{path:?} changed while it was read")]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// Somebody else ended the process: a shutdown, a lack of memory elsewhere, a person.
    #[error("the extractor process was ended from outside by signal {signal}")]
    Killed {
        /// Which signal.
        signal: i32,
    },
    /// The process said something that it should not.
    #[error("the extractor process gave no sensible answer: {message}")]
    Garbled {
        /// What was wrong.
        message: String,
    },
    /// It is not of the kinds that are to be read.
    #[error("{path:?} is of another kind")]
    OtherKind {
        /// Which file.
        path: PathBuf,
    },
    /// The user wants the run to end.
    #[error("extraction was cancelled")]
    Cancelled,
}

/// A long-lived worker process, started at the first file and replaced when it has to be. Ends with this value.
#[derive(Debug)]
pub struct ExtractorProcess {
    program: PathBuf,
    limits: Limits,
    only: Option<Kinds>,
    worker: Option<Worker>,
    starts: u64,
}

impl ExtractorProcess {
    /// Will run `program __extract` (this program itself) within these limits.
    #[must_use]
    pub fn new(program: PathBuf, limits: Limits) -> Self {
        ExtractorProcess { program, limits, only: None, worker: None, starts: 0 }
    }

    /// How many workers were started so far: one, and one more for each that had to be replaced.
    #[must_use]
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Reads nothing but these kinds: of anything else only the type is found out, and the answer is
    /// [`ChildError::OtherKind`].
    #[must_use]
    pub fn only(self, kinds: Option<Kinds>) -> Self {
        ExtractorProcess { only: kinds, ..self }
    }

    /// What is in a file. Waits until that is known, at most about [`Limits::timeout`] for each step; `cancelled` is
    /// asked many times a second.
    ///
    /// # Errors
    /// Whatever is not the content's doing.
    pub fn extract(&mut self, path: &Path, cancelled: &dyn Fn() -> bool) -> Result<Outcome, ChildError> {
        // The worker's working directory is not ours: it stands where it keeps no disk busy.
        let path = std::path::absolute(path)
            .map_err(|source| ChildError::Unreadable { path: path.to_owned(), source })?;
        loop {
            if cancelled() {
                return Err(ChildError::Cancelled);
            }
            let (mut worker, used) = match self.worker.take() {
                Some(worker) => (worker, true),
                None => (self.start(cancelled)?, false),
            };
            match worker.ask(&path, self.limits, cancelled) {
                Ok(reply) => {
                    self.worker = Some(worker);
                    return settle(reply, path);
                }
                // What this worker died of may be an earlier file's leavings: only a fresh one gives a verdict.
                Err(Stop { how: How::Ended, .. }) if used => {}
                Err(stop) => return verdict(stop, worker, &path, self.limits),
            }
        }
    }

    fn start(&mut self, cancelled: &dyn Fn() -> bool) -> Result<Worker, ChildError> {
        self.starts += 1;
        let not_ready = |message| ChildError::NotReady { program: self.program.clone(), message };
        let mut worker = Worker::start(&self.program, self.limits)
            .map_err(|source| ChildError::Start { program: self.program.clone(), source })?;
        let Limits { memory_bytes, text_bytes, .. } = self.limits;
        let hello = Hello { memory_bytes, text_bytes, only: self.only.clone() };
        let ready = send(&mut worker.requests, &hello)
            .map_err(|_| How::Ended)
            .and_then(|()| worker.receive(Instant::now() + START_TIMEOUT, cancelled));
        match ready {
            Ok(Reply::Ready) => Ok(worker),
            Ok(reply) => Err(not_ready(format!("it said {reply:?}"))),
            Err(How::Cancelled) => Err(ChildError::Cancelled),
            Err(How::Late) => Err(not_ready("it took too long".to_owned())),
            Err(How::TooLong) => Err(not_ready("it said too much".to_owned())),
            Err(How::Garbled(message)) => Err(not_ready(message)),
            Err(How::Ended) => {
                let end = worker.end();
                Err(not_ready(match end.status {
                    Some(status) => format!("{status}; {}", end.last_words),
                    None => end.last_words,
                }))
            }
        }
    }
}

/// Starting takes milliseconds; a laptop that was just woken up may take long.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often `cancelled` is asked.
const TICK: Duration = Duration::from_millis(50);

/// How long a worker whose output has ended may take to be gone.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How a worker stopped without giving an answer, and how far it had come.
#[derive(Debug)]
struct Stop {
    how: How,
    progress: Progress,
}

/// How far a worker has come with a file, and on whose account time runs.
#[derive(Debug)]
struct Progress {
    /// The type of the content and its extractor, once its parsing had begun.
    parsing: Option<(String, String)>,
    /// Whether the disk was asked and has not answered yet.
    reading: bool,
    /// Whether it has answered that it cannot.
    read_failed: bool,
    /// How long the parsing took until now, all reading left out.
    parsed: Duration,
}

impl Progress {
    fn begun() -> Self {
        Progress { parsing: None, reading: true, read_failed: false, parsed: Duration::ZERO }
    }

    /// How long the next reply may take: any single read as long as all parsing together.
    fn patience(&self, timeout: Duration) -> Duration {
        if self.reading { timeout } else { timeout.saturating_sub(self.parsed) }
    }

    /// So long nothing was heard.
    fn passed(&mut self, time: Duration) {
        if !self.reading {
            self.parsed += time;
        }
    }

    /// Takes in a reply; gives back one that ends the request.
    fn heard(&mut self, reply: Reply) -> Result<Option<Reply>, How> {
        match reply {
            Reply::Reading => self.reading = true,
            Reply::ReadFailed => self.read_failed = true,
            Reply::Parsing { mime, extractor } if self.reading => {
                (self.parsing, self.reading) = (Some((mime, extractor)), false);
            }
            Reply::Parsing { .. } | Reply::Ready => {
                return Err(How::Garbled(format!("{reply:?} out of turn")));
            }
            reply => return Ok(Some(reply)),
        }
        Ok(None)
    }

    /// Whether a worker that ends here may have died of an error of the disk: it said that it met one, or had asked for a
    /// further part of a file whose parsing had begun. (The beginning is read while its type is found out. That takes no time
    /// to speak of, and is on the disk's account; what it dies of is the content's, unless it said so.)
    fn is_disks(&self) -> bool {
        self.read_failed || (self.reading && self.parsing.is_some())
    }
}

#[derive(Debug)]
enum How {
    Ended,
    Late,
    TooLong,
    Cancelled,
    Garbled(String),
}

/// One running worker. Dropped, it is killed.
#[derive(Debug)]
struct Worker {
    child: Option<Child>,
    requests: ChildStdin,
    replies: Receiver<Line>,
    last_words: Receiver<Vec<u8>>,
}

/// How a worker's life ended.
#[derive(Debug)]
struct End {
    status: Option<ExitStatus>,
    last_words: String,
}

impl Worker {
    fn start(program: &Path, limits: Limits) -> io::Result<Self> {
        // Nothing of the environment is its business, least of all secrets.
        let Piped { child, stdin: requests, stdout, stderr } =
            piped::start(Command::new(program).arg("__extract").env_clear())?;
        let (heard, replies) = mpsc::sync_channel(16);
        let longest = answer_limit(limits);
        std::thread::Builder::new().name("extractor replies".to_owned()).spawn(move || {
            let mut stdout = BufReader::new(stdout);
            while let Some(line) = next_line(&mut stdout, longest) {
                if heard.send(line).is_err() {
                    break;
                }
            }
        })?;
        let (ended, last_words) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("extractor stderr".to_owned()).spawn(move || {
            _ = ended.send(tail_of(stderr));
        })?;
        Ok(Worker { child: Some(child), requests, replies, last_words })
    }

    /// Sends one request and waits for the reply that ends it.
    fn ask(&mut self, path: &Path, limits: Limits, cancelled: &dyn Fn() -> bool) -> Result<Reply, Stop> {
        let mut progress = Progress::begun();
        if send(&mut self.requests, &Request::new(path)).is_err() {
            return Err(Stop { how: How::Ended, progress });
        }
        loop {
            let asked = Instant::now();
            let reply = self.receive(asked + progress.patience(limits.timeout), cancelled);
            progress.passed(asked.elapsed());
            match reply.and_then(|reply| progress.heard(reply)) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(how) => return Err(Stop { how, progress }),
            }
        }
    }

    fn receive(&mut self, deadline: Instant, cancelled: &dyn Fn() -> bool) -> Result<Reply, How> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.replies.recv_timeout(left.min(TICK)) {
                Ok(Line::Reply(line)) => {
                    return serde_json::from_slice(&line).map_err(|error| How::Garbled(error.to_string()));
                }
                Ok(Line::TooLong) => return Err(How::TooLong),
                Err(RecvTimeoutError::Disconnected) => return Err(How::Ended),
                Err(RecvTimeoutError::Timeout) if cancelled() => return Err(How::Cancelled),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(How::Late),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// How it ended, once its output has.
    fn end(mut self) -> End {
        let (gone, status) = mpsc::sync_channel(1);
        if let Some(mut child) = self.child.take() {
            reap(move || _ = gone.send(child.wait()));
        }
        let status = status.recv_timeout(END_TIMEOUT).ok().and_then(Result::ok);
        let last_words = self.last_words.recv_timeout(END_TIMEOUT).unwrap_or_default();
        End { status, last_words: String::from_utf8_lossy(&last_words).trim().to_owned() }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill.
            _ = child.kill();
            reap(move || _ = child.wait());
        }
    }
}

/// The longest line that a truthful worker can send: JSON doubles at most line feeds, tabs, quotes and backslashes (no
/// other control character is left in text), fields are capped.
fn answer_limit(limits: Limits) -> u64 {
    limits.text_bytes.saturating_mul(2).saturating_add(8 * 1024 * 1024)
}

/// What a complete reply means.
fn settle(reply: Reply, path: PathBuf) -> Result<Outcome, ChildError> {
    match reply {
        Reply::Done(outcome) => Ok(outcome),
        Reply::Unreadable { errno, message } => {
            let source = errno.map_or_else(|| io::Error::other(message), io::Error::from_raw_os_error);
            Err(ChildError::Unreadable { path, source })
        }
        Reply::OtherKind => Err(ChildError::OtherKind { path }),
        Reply::NotRegular => Err(ChildError::NotRegular { path }),
        Reply::Changed => Err(ChildError::Changed { path }),
        Reply::Ready | Reply::Reading | Reply::ReadFailed | Reply::Parsing { .. } => {
            Err(ChildError::Garbled { message: format!("{reply:?} ends nothing") })
        }
    }
}

/// What it means that a worker stopped without a reply.
fn verdict(stop: Stop, worker: Worker, path: &Path, limits: Limits) -> Result<Outcome, ChildError> {
    let (mime, extractor) = stop.progress.parsing.clone().unzip();
    let failed = |kind, message| Ok(Outcome::Failed { mime, extractor, kind, message });
    let unreadable = |source| Err(ChildError::Unreadable { path: path.to_owned(), source });
    let is_disks = stop.progress.is_disks();
    match stop.how {
        How::Cancelled => Err(ChildError::Cancelled),
        How::Garbled(message) => Err(ChildError::Garbled { message }),
        How::Late if stop.progress.reading => {
            unreadable(io::Error::new(io::ErrorKind::TimedOut, "its disk does not answer"))
        }
        How::Late => failed(ProblemKind::TimedOut, format!("it took longer than {:?}", limits.timeout)),
        How::TooLong => failed(ProblemKind::TooLarge, "what was read out of it is too large".to_owned()),
        How::Ended => {
            let end = worker.end();
            match cause(&end) {
                Cause::Memory | Cause::Crash(_) if is_disks => unreadable(io::Error::other(
                    "its disk failed while it was read, and its extractor with it",
                )),
                Cause::Memory => failed(
                    ProblemKind::TooLarge,
                    format!("it needs more than {} MiB of memory", limits.memory_bytes / (1024 * 1024)),
                ),
                Cause::Crash(how) => failed(ProblemKind::Crashed, format!("its extractor crashed: {how}")),
                Cause::Outside(signal) => Err(ChildError::Killed { signal }),
                Cause::Quit(how) => Err(ChildError::Garbled { message: how }),
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Cause {
    /// The memory limit.
    Memory,
    /// The content broke its extractor.
    Crash(String),
    /// A signal that nothing inside a process raises.
    Outside(i32),
    /// It ended in order, which it should not while it owes an answer.
    Quit(String),
}

/// Why a worker ended that owed an answer.
fn cause(end: &End) -> Cause {
    use rustix::process::Signal;

    let Some(status) = end.status else { return Cause::Quit("it closed its output and lives on".to_owned()) };
    let last_line = end.last_words.lines().last().unwrap_or_default();
    match status.signal() {
        // Rust's allocator says so before it aborts.
        Some(_) if end.last_words.contains("memory allocation of") => Cause::Memory,
        Some(signal) if FROM_OUTSIDE.iter().any(|outside: &Signal| outside.as_raw() == signal) => {
            Cause::Outside(signal)
        }
        Some(_) => Cause::Crash(format!("{status}; {last_line}")),
        None if status.code() == Some(101) => Cause::Crash(last_line.to_owned()),
        None => Cause::Quit(format!("{status}; {last_line}")),
    }
}

/// Signals that people, service managers and an overcommitted kernel send.
const FROM_OUTSIDE: [rustix::process::Signal; 5] = [
    rustix::process::Signal::HUP,
    rustix::process::Signal::INT,
    rustix::process::Signal::QUIT,
    rustix::process::Signal::KILL,
    rustix::process::Signal::TERM,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn end(raw_status: i32, last_words: &str) -> End {
        End { status: Some(ExitStatus::from_raw(raw_status)), last_words: last_words.to_owned() }
    }

    #[test]
    fn only_what_a_content_can_cause_is_held_against_it() {
        assert_eq!(cause(&end(6, "memory allocation of 99 bytes failed")), Cause::Memory);
        assert!(matches!(cause(&end(6, "thread 'extract' has overflowed its stack")), Cause::Crash(_)));
        assert!(matches!(cause(&end(11, "")), Cause::Crash(_)));
        assert_eq!(cause(&end(9, "")), Cause::Outside(9));
        assert_eq!(cause(&end(15, "")), Cause::Outside(15));
        assert!(matches!(cause(&end(0, "")), Cause::Quit(_)));
        assert!(matches!(cause(&end(101 << 8, "panicked")), Cause::Crash(_)));
    }

    // D1
    #[test]
    fn a_slow_disk_costs_the_parser_no_time_and_a_parser_gets_no_new_time_by_reading() {
        let seconds = Duration::from_secs;
        let mut progress = Progress::begun();
        for _ in 0..100 {
            progress.heard(Reply::Reading).expect("in turn");
            assert_eq!(progress.patience(seconds(60)), seconds(60));
            progress.passed(seconds(59));
            progress
                .heard(Reply::Parsing { mime: "x".to_owned(), extractor: "y".to_owned() })
                .expect("in turn");
            progress.passed(Duration::from_millis(590));
        }
        assert_eq!(progress.patience(seconds(60)), seconds(1));
        progress.passed(seconds(2));
        assert_eq!(progress.patience(seconds(60)), Duration::ZERO);
        assert!(!progress.is_disks());
        progress.heard(Reply::Reading).expect("in turn");
        assert!(progress.is_disks());
        let mut progress = Progress::begun();
        assert!(!progress.is_disks());
        progress.heard(Reply::ReadFailed).expect("in turn");
        assert!(progress.is_disks());
    }
}
