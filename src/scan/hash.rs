//! Reads what changed, and proves what it read.
//!
//! A file so young that a later change could leave the same stamp is read last: by then it has mostly come of age, and the
//! next scan need not read it again.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TryRecvError};

use super::Shared;
use super::batches::Batches;
use super::record::Record;
use super::walk::{Place, is_the_librarys};
use super::watch;
use crate::catalog::files::{KnownFile, Look};
use crate::content::{self, ContentError};
use crate::model::{LookCause, Problem, ProblemKind, RelPath, Stat};
use crate::monitor::Counter;

/// Longest wait for young files to come of age; where the clock is coarser the next scan reads them again.
const PATIENCE: Duration = Duration::from_millis(50);

/// Young files put aside by one hasher; more than that are read at once, so that memory stays bounded.
const ASIDE: usize = 100_000;

/// One file to read.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) place: Arc<Place>,
    /// The directory as it was listed; none where it has to be opened again, because too many would be held open.
    pub(super) dir: Option<Arc<OwnedFd>>,
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) known: Option<KnownFile>,
    pub(super) because: Vec<LookCause>,
}

/// Reads files until there are no more, or nobody wants to know.
pub(super) fn hash_all(shared: &Shared, work: &Receiver<Vec<Work>>, to_writer: &Sender<Vec<Record>>) {
    let to_writer = Batches::new(to_writer);
    hash_until_done(shared, work, &to_writer);
    // What was read before a stop is kept, too.
    if to_writer.flush().is_err() {
        shared.stop.store(true, Ordering::Relaxed);
    }
}

fn hash_until_done(shared: &Shared, work: &Receiver<Vec<Work>>, to_writer: &Batches<Record>) {
    let mut buffer = vec![0; content::BUFFER_BYTES];
    let mut aside = Vec::new();
    while let Some(batch) = next(shared, work, to_writer) {
        for mut file in batch {
            if shared.stopped() {
                // Goes on taking, so that no walker waits for ever for a place in the queue.
                continue;
            }
            if aside.len() < ASIDE && shared.rule.is_young(&file.stat, shared.look_ns()) {
                file.dir = None;
                aside.push(file);
            } else if !hash_one(shared, file, &mut buffer, to_writer) {
                shared.stop.store(true, Ordering::Relaxed);
            }
        }
    }
    if aside.is_empty() || shared.stopped() {
        return;
    }
    if Duration::from_nanos(shared.rule.doubt_ns.unsigned_abs()) <= PATIENCE
        && aside.iter().any(|file| shared.rule.is_young(&file.stat, shared.look_ns()))
    {
        // A thread may be woken for no reason, and is where a channel it waited on woke it before.
        let until = Instant::now() + PATIENCE;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|_| !shared.stopped()) {
            std::thread::park_timeout(left);
        }
    }
    for file in aside {
        if shared.stopped() || !hash_one(shared, file, &mut buffer, to_writer) {
            return;
        }
    }
}

/// The next batch of work. Where that has to be waited for, what was read goes to the writer first, so that a run that is
/// killed meanwhile has it.
fn next(shared: &Shared, work: &Receiver<Vec<Work>>, to_writer: &Batches<Record>) -> Option<Vec<Work>> {
    match work.try_recv() {
        Ok(batch) => Some(batch),
        Err(TryRecvError::Disconnected) => None,
        Err(TryRecvError::Empty) => {
            if to_writer.flush().is_err() {
                shared.stop.store(true, Ordering::Relaxed);
            }
            work.recv().ok()
        }
    }
}

/// Proves one file's content.
pub(super) fn prove_one(
    shared: &Shared,
    file: &Work,
    buffer: &mut [u8],
) -> Result<content::Proved, ContentError> {
    let open = || {
        watch::answered();
        let dir = match &file.dir {
            Some(dir) => Arc::clone(dir),
            None => Arc::new(open_again(shared, &file.place)?),
        };
        watch::answered();
        shared.root.open_in(dir.as_ref(), Path::new(OsStr::from_bytes(&file.name)), content::READ)
    };
    let _at_disk = watch::at_disk();
    let proved = content::prove(&open, buffer, &|bytes| {
        watch::answered();
        shared.hashed_bytes.fetch_add(bytes, Ordering::Relaxed);
        shared.monitor.count(Counter::BytesHashed, bytes);
        !shared.stopped()
    })?;
    shared.hashed_files.fetch_add(1, Ordering::Relaxed);
    shared.monitor.count(Counter::FilesHashed, 1);
    Ok(proved)
}

/// Reads one file. Returns false where the writer is gone.
fn hash_one(shared: &Shared, file: Work, buffer: &mut [u8], to_writer: &Batches<Record>) -> bool {
    // Before the read: a change during it shows in the second stat, one after it must find an older stamp.
    let look_ns = shared.look_ns();
    let (stat, young, content_hash, problem) = match prove_one(shared, &file, buffer) {
        Ok(proved) => (proved.stat, shared.rule.is_young(&proved.stat, look_ns), Some(proved.hash), None),
        Err(ContentError::Cancelled) => return true,
        // Listed a moment ago and gone now: nothing is concluded, the next listing tells.
        Err(ContentError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return true,
        Err(error) => (file.stat, true, None, Some(problem_of(&file.place.path.join(&file.name), &error))),
    };
    let file_id = file.known.as_ref().map(|known| known.file_id);
    let look = Look {
        dir_id: file.place.dir_id,
        name: file.name,
        known: file.known,
        stat,
        young,
        content_hash,
        link_target: None,
        because: file.because,
        read_as: None,
    };
    // By weight: what took long to read is not kept waiting for a hundred others.
    let bytes = look.stat.size;
    if to_writer.send_work(Record::Look { look: Box::new(look), place: file.place }, bytes).is_err() {
        return false;
    }
    match problem {
        Some(problem) => {
            shared.monitor.problem(&problem);
            to_writer.send(Record::Problem { problem, file_id }).is_ok()
        }
        None => true,
    }
}

/// The directory of a file that was put aside. Listed on the verified disk; by now another one may be mounted there.
fn open_again(shared: &Shared, place: &Place) -> io::Result<OwnedFd> {
    let dir = content::open(&place.path.under(shared.root.path()), content::LIST)?;
    if is_the_librarys(shared, &dir)? { Ok(dir) } else { Err(rustix::io::Errno::XDEV.into()) }
}

fn problem_of(path: &RelPath, error: &ContentError) -> Problem {
    match error {
        ContentError::Io(error) => Problem::from_io(path.clone(), error),
        ContentError::Elsewhere => {
            Problem::new(path.clone(), ProblemKind::OtherFileSystem, error.to_string())
        }
        ContentError::Unstable => Problem::new(path.clone(), ProblemKind::Unstable, error.to_string()),
        ContentError::NotRegular => Problem::new(
            path.clone(),
            ProblemKind::Unstable,
            "it was replaced by something else while it was looked at",
        ),
        ContentError::Cancelled => unreachable!("a stopped read is no problem, see the caller"),
    }
}
