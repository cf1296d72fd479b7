//! Waiting for what can be seen, never for time to pass: a condition, an event in a directory, the end of a process.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Longer than anything takes that works.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "waited for {what} in vain");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Waits until whatever was stamped before this is clearly older than the clock (D9). Writes the file `probe`.
pub(crate) fn until_of_age(probe: &Path) {
    use shelflist::clock::{Clock, SystemClock};
    std::fs::write(probe, "the youngest file of all").unwrap();
    let newest = std::fs::metadata(probe).unwrap().modified().unwrap();
    let newest = jiff::Timestamp::try_from(newest).unwrap();
    until("the files to come of age", || {
        SystemClock.now().duration_since(newest) > jiff::SignedDuration::from_millis(100)
    });
}

/// Waits for the end of a process and of those that it has started: until nobody can write any more to what it was given
/// as a pipe.
#[track_caller]
pub(crate) fn until_ended(child: &mut Child) -> ExitStatus {
    let mut status = None;
    until("the process to end", || {
        status = child.try_wait().expect("our own child");
        status.is_some()
    });
    if let Some(mut stdout) = child.stdout.take() {
        let (ended, end) = mpsc::channel();
        std::thread::spawn(move || ended.send(std::io::copy(&mut stdout, &mut std::io::sink())));
        end.recv_timeout(LONG).expect("its worker ends with it").expect("a pipe can be read");
    }
    status.expect("it ended")
}

/// Waits until a process has said this on its standard error, which it has to be given as a pipe.
#[track_caller]
pub(crate) fn until_said(child: &mut Child, text: &str) {
    assert!(has_said(child, text), "it ended and never said {text:?}");
}

/// As [`until_said`]; false where the process ended without it.
#[track_caller]
pub(crate) fn has_said(child: &mut Child, text: &str) -> bool {
    let stderr = child.stderr.take().expect("a pipe, not taken yet");
    let (said, saying) = mpsc::channel();
    // Reads to the end, whoever listens: a process must not die of a pipe that nobody reads.
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let _ = said.send(line);
        }
    });
    loop {
        match saying.recv_timeout(LONG) {
            Ok(line) if line.contains(text) => return true,
            Ok(_) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return false,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{text:?} was waited for in vain"),
        }
    }
}

/// Sends a signal to a process of ours.
pub(crate) fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).expect("it was not waited for yet");
}

/// Counts what happens in directories: opened, written, made, moved. An event is seen some microseconds after it
/// happened, so that a test can act in the middle of what another process does.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: std::os::fd::OwnedFd,
    seen: u64,
}

#[cfg(target_os = "linux")]
impl Watch {
    /// Watches these directories, not what is below them.
    pub(crate) fn directories<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Self {
        use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
        let flags = WatchFlags::OPEN | WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        for dir in dirs {
            inotify::add_watch(&inotify, dir, flags | WatchFlags::ONLYDIR).expect("a watch");
        }
        Watch { inotify, seen: 0 }
    }

    /// Events so far. Asked from time to time, lest the kernel's queue (16,384 events) overflows.
    pub(crate) fn seen(&mut self) -> u64 {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 64 * 1024];
        let mut reader = rustix::fs::inotify::Reader::new(&self.inotify, &mut buffer);
        while let Ok(event) = reader.next() {
            // The directory itself is opened to be listed: not counted, for how often is nobody's business.
            self.seen += u64::from(event.file_name().is_some());
        }
        self.seen
    }

    /// Waits until so many events were seen. Returns false where the process ended before.
    #[track_caller]
    pub(crate) fn until_seen(&mut self, events: u64, child: &mut Child) -> bool {
        let begun = Instant::now();
        while self.seen() < events {
            assert!(begun.elapsed() < LONG, "{} events, {events} waited for", self.seen);
            if child.try_wait().expect("our own child").is_some() {
                return false;
            }
            let mut fds = [rustix::event::PollFd::new(&self.inotify, rustix::event::PollFlags::IN)];
            let timeout = rustix::event::Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
            let _ = rustix::event::poll(&mut fds, Some(&timeout));
        }
        true
    }
}
