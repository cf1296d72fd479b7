//! Who asks the run to end, and how urgently.
//!
//! The first who asks gets what was begun brought to an end; who asks a second time ends the process. Ctrl-C in a
//! terminal reaches supervisor and worker, and so does systemd's SIGTERM; a `kill` of the process that is known reaches the
//! supervisor alone, which passes it on. So the worker hears of one press once or twice, by two ways, and counts each way
//! for itself: only a second word by the same way is somebody in a hurry.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::exit::Exit;
use super::supervisor;

/// By which way somebody asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum By {
    /// A signal to this process.
    Signal,
    /// A signal to the supervisor.
    Supervisor,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The run ends by itself, soon.
    Soon,
    /// The process is to end now.
    AtOnce,
}

/// Whether there is a run that looks at [`STOPPED`].
static HEEDED: AtomicBool = AtomicBool::new(false);
static STOPPED: AtomicBool = AtomicBool::new(false);
static SIGNALS: AtomicU32 = AtomicU32::new(0);
static WORDS: AtomicU32 = AtomicU32::new(0);

/// From now on somebody looks whether the run is to end.
pub(super) fn heed() {
    HEEDED.store(true, Ordering::Relaxed);
}

/// Whether the run is to end.
pub(super) fn is_asked() -> bool {
    STOPPED.load(Ordering::Relaxed)
}

/// Somebody wants the run to end.
pub(super) fn ask(by: By) -> Answer {
    let times = match by {
        By::Signal => &SIGNALS,
        By::Supervisor => &WORDS,
    };
    let again = times.fetch_add(1, Ordering::Relaxed) > 0;
    // A command without a run is short, and has nothing to bring to an end.
    if again || !HEEDED.load(Ordering::Relaxed) {
        return Answer::AtOnce;
    }
    if !STOPPED.swap(true, Ordering::Relaxed) {
        eprintln!("\nstopping, what was done is kept; press Ctrl-C again to stop at once");
    }
    Answer::Soon
}

/// This process was sent a signal.
pub(super) fn signalled() {
    if ask(By::Signal) == Answer::AtOnce {
        supervisor::let_go_of_output();
        #[expect(clippy::exit, reason = "the user has asked twice; everything committed is safe")]
        std::process::exit(Exit::Interrupted as i32);
    }
}
