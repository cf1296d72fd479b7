//! One command of the user: started at its first question, asked one question at a time, replaced when it ends or is late.
//!
//! Unlike the workers that read files it is somebody else's program. It has the user's environment (it may need a key) and no
//! limits but time and the length of its lines. It may fork, ignore signals, stop reading or never stop writing; so it has a
//! process group of its own, which is ended as a whole, and nothing here waits for it without a deadline. Its words are
//! quoted in a message to its user and go nowhere else.

use std::io::{self, BufReader, Write};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::super::piped::{self, Line, Piped, next_line, reap, tail_of};
use super::protocol::{self, Reply};
use crate::catalog::answers::Facts;

/// How often the user is asked whether to stop.
const TICK: Duration = Duration::from_millis(50);

/// The longest answer, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Answers to earlier questions that are passed over while one is waited for.
const STRAY: usize = 1000;

/// How long a command may take to end by itself, once its input has, and again once it was told to.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long the last words of one that was ended may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why there is no reply.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It cannot be started at all.
    Start(io::Error),
    /// It ended, or would not listen or speak any more.
    Ended(String),
    /// It took too long.
    Late,
    /// What it wrote is no answer.
    Garbled(String),
    /// The user wants the run to end.
    Cancelled,
}

/// A command of the user. Dropped, it is ended by force; [`CommandProcess::finish`] is the polite way.
#[derive(Debug)]
pub(super) struct CommandProcess {
    words: Vec<String>,
    timeout: Duration,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Option<Child>,
    group: Pid,
    /// Lines on their way to it; written by a thread, because a pipe that nobody reads takes no more at 64 KiB.
    questions: Option<SyncSender<Vec<u8>>>,
    /// Says when writing failed.
    deaf: Receiver<()>,
    lines: Receiver<Line>,
    /// Says when it is gone. It is not reaped before its group is ended: the number is not given again until then.
    gone: Receiver<()>,
    last_words: Receiver<Vec<u8>>,
    asked: u64,
}

impl CommandProcess {
    /// Will run this program with these arguments.
    pub(super) fn new(words: Vec<String>, timeout: Duration) -> Self {
        CommandProcess { words, timeout, running: None }
    }

    /// Asks one question, and starts the command where it is not running. One that ends and had answered before is
    /// replaced, and its successor is asked: it may have ended of an earlier question.
    pub(super) fn ask(
        &mut self,
        content_hash: [u8; 32],
        facts: &Facts,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Reply, Trouble> {
        loop {
            if cancelled() {
                return Err(Trouble::Cancelled);
            }
            let mut running = match self.running.take() {
                Some(running) => running,
                None => Running::start(&self.words).map_err(Trouble::Start)?,
            };
            let used = running.asked > 0;
            match running.ask(content_hash, facts, Instant::now() + self.timeout, cancelled) {
                Ok(reply) => {
                    self.running = Some(running);
                    return Ok(reply);
                }
                Err(Trouble::Ended(_)) if used => running.end(),
                Err(trouble) => {
                    running.end();
                    return Err(running.with_last_words(trouble));
                }
            }
        }
    }

    /// Ends it: by the end of its input, else by asking, else by force.
    pub(super) fn finish(mut self, cancelled: &dyn Fn() -> bool) {
        if let Some(mut running) = self.running.take() {
            running.say_goodbye(cancelled);
        }
    }
}

impl Running {
    fn start(words: &[String]) -> io::Result<Self> {
        let (program, arguments) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let Piped { child, mut stdin, stdout, stderr } = piped::start(Command::new(program).args(arguments))?;
        let group = Pid::from_child(&child);
        let (questions, inbox) = mpsc::sync_channel::<Vec<u8>>(1);
        let (not_heard, deaf) = mpsc::sync_channel(1);
        let (heard, lines) = mpsc::sync_channel(16);
        let (tell_gone, gone) = mpsc::sync_channel(1);
        let (ended, last_words) = mpsc::sync_channel(1);
        // From here on dropping it ends the process.
        let running = Running {
            child: Some(child),
            group,
            questions: Some(questions),
            deaf,
            lines,
            gone,
            last_words,
            asked: 0,
        };
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.to_owned()).spawn(work).map(|_| ())
        };
        thread(
            "command questions",
            Box::new(move || {
                for line in inbox {
                    if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
                        _ = not_heard.send(());
                        return;
                    }
                }
            }),
        )?;
        thread(
            "command answers",
            Box::new(move || {
                let mut stdout = BufReader::new(stdout);
                while let Some(line) = next_line(&mut stdout, LONGEST) {
                    let last = matches!(line, Line::TooLong);
                    if heard.send(line).is_err() || last {
                        return;
                    }
                }
            }),
        )?;
        thread("command stderr", Box::new(move || _ = ended.send(tail_of(stderr))))?;
        thread(
            "command end",
            Box::new(move || {
                // An error means that it is no child of ours any more.
                _ = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
                _ = tell_gone.send(());
            }),
        )?;
        Ok(running)
    }

    fn ask(
        &mut self,
        content_hash: [u8; 32],
        facts: &Facts,
        deadline: Instant,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Reply, Trouble> {
        self.asked += 1;
        let line = protocol::question(self.asked, content_hash, facts);
        let sent = self.questions.as_ref().is_some_and(|questions| questions.try_send(line).is_ok());
        if !sent {
            return Err(Trouble::Ended("it does not listen any more".to_owned()));
        }
        let mut gone = false;
        let mut stray = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(TICK)) {
                Ok(Line::Reply(line)) => match protocol::answer(&line) {
                    Ok((number, reply)) if number == self.asked => return Ok(reply),
                    // A second word about something that was answered: too late to count, no reason to end it.
                    Ok((number, _)) if number < self.asked && stray < STRAY => stray += 1,
                    Ok(_) => return Err(Trouble::Garbled("it answered what it was not asked".to_owned())),
                    Err(why) => return Err(Trouble::Garbled(why.to_owned())),
                },
                Ok(Line::TooLong) => {
                    return Err(Trouble::Garbled(format!("it wrote a line of more than {LONGEST} bytes")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Trouble::Ended("it stopped speaking".to_owned()));
                }
                // What it wrote before it was gone has been heard by now, one tick later.
                Err(RecvTimeoutError::Timeout) if gone => return Err(Trouble::Ended("it ended".to_owned())),
                Err(RecvTimeoutError::Timeout) if cancelled() => return Err(Trouble::Cancelled),
                Err(RecvTimeoutError::Timeout) if left.is_zero() => return Err(Trouble::Late),
                Err(RecvTimeoutError::Timeout) if self.deaf.try_recv().is_ok() => {
                    return Err(Trouble::Ended("it closed its input".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => gone = self.gone.try_recv().is_ok(),
            }
        }
    }

    /// Whether it is gone, after waiting so long at most.
    fn is_gone_within(&self, time: Duration, cancelled: &dyn Fn() -> bool) -> bool {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.gone.recv_timeout(left.min(TICK)) {
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return true,
                Err(RecvTimeoutError::Timeout) if left.is_zero() || cancelled() => return false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn say_goodbye(&mut self, cancelled: &dyn Fn() -> bool) {
        self.questions = None;
        if !self.is_gone_within(FAREWELL, cancelled) {
            // What cannot be told is ended all the same.
            _ = kill_process_group(self.group, Signal::TERM);
            self.is_gone_within(FAREWELL, cancelled);
        }
        self.end();
    }

    /// Ends it and whatever it started that stayed with it, by force.
    fn end(&mut self) {
        self.questions = None;
        if let Some(mut child) = self.child.take() {
            // Not reaped yet, so the number is still this group's.
            _ = kill_process_group(self.group, Signal::KILL);
            reap(move || _ = child.wait());
        }
    }

    /// The trouble, with what it said last.
    fn with_last_words(&mut self, trouble: Trouble) -> Trouble {
        let said = self.last_words.recv_timeout(LAST_WORDS).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let Some(line) = said.lines().rev().map(str::trim).find(|line| !line.is_empty()) else {
            return trouble;
        };
        let line = &line[..line.floor_char_boundary(300)];
        match trouble {
            Trouble::Ended(how) => Trouble::Ended(format!("{how}; its last words: {line}")),
            Trouble::Garbled(how) => Trouble::Garbled(format!("{how}; its last words: {line}")),
            trouble => trouble,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
