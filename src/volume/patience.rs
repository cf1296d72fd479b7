//! Work on a library's disk that takes as long as it takes, and is left behind when the disk falls silent.
//!
//! A look has a deadline as a whole; reading a film has not. Here every single answer of the disk has one: the work is done
//! in a thread of its own, which says a word whenever the disk has answered, and who waits for it waits no longer than the
//! deadline for the next word. Then the thread is left behind, and the place is known to hang ([`super::hung`]) until it
//! comes back.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::deadline::NoAnswer;
use super::hung::{Hung, is_hung};

/// Read at once: large enough that handing it from thread to thread costs little beside reading it.
const BUFFER_BYTES: usize = 256 * 1024;
/// Read first: most files are no larger, and a large buffer costs more than reading them does.
const FIRST_BYTES: usize = 16 * 1024;

/// How long a disk may be silent.
#[derive(Debug, Clone)]
pub struct Patience {
    place: PathBuf,
    silence: Duration,
}

/// What one who works at a place says to one who waits for him.
enum Said<T> {
    Alive,
    Done(T),
}

/// Held by one who works and one who waits, and by the former alone once the latter has given him up.
#[derive(Debug, Clone, Default)]
struct GivenUp(Arc<Mutex<Option<Hung>>>);

impl GivenUp {
    fn give_up(&self, patience: &Patience) {
        let hung = Hung::at(&patience.place, patience.silence);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(hung);
    }
}

impl Patience {
    /// `place` is what the work may get stuck on.
    #[must_use]
    pub fn new(place: &Path, silence: Duration) -> Self {
        Patience { place: place.to_owned(), silence }
    }

    /// What `work` says, however long it takes. It calls what it is given whenever the disk has answered, and is told by
    /// that whether to go on: as `go_on` says.
    ///
    /// # Errors
    /// [`NoAnswer::Overdue`] when the disk fell silent, or at once while somebody is stuck there.
    pub fn work<T: Send + 'static>(
        &self,
        go_on: &dyn Fn() -> bool,
        work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        if is_hung(&self.place, self.silence) {
            return Err(NoAnswer::Overdue(self.silence));
        }
        let (tell, told) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let given_up = GivenUp::default();
        let until_it_ends = given_up.clone();
        std::thread::Builder::new()
            .name("volume-work".to_owned())
            .spawn(move || {
                let done = work(&|| {
                    let _ = tell.send(Said::Alive);
                    !stopped.load(Ordering::Relaxed)
                });
                drop(until_it_ends);
                // Nobody may be waiting any more.
                let _ = tell.send(Said::Done(done));
            })
            .map_err(NoAnswer::NoThread)?;
        loop {
            match told.recv_timeout(self.silence) {
                Ok(Said::Done(done)) => return Ok(done),
                Ok(Said::Alive) if go_on() => {}
                Ok(Said::Alive) => stop.store(true, Ordering::Relaxed),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(NoAnswer::Died),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    given_up.give_up(self);
                    return Err(NoAnswer::Overdue(self.silence));
                }
            }
        }
    }

    /// Reads a file to its end. It is opened at the first read; one that fails because the disk is silent fails with
    /// [`io::ErrorKind::TimedOut`].
    pub fn reader<R: Read + 'static>(
        &self,
        open: impl FnOnce() -> io::Result<R> + Send + 'static,
    ) -> PatientReader {
        let open = move || open().map(|file| Box::new(file) as Box<dyn Read>);
        PatientReader { patience: self.clone(), source: Source::Unopened(Box::new(open)) }
    }
}

type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Read>> + Send>;

/// A file that is read with patience. A reader that is slow itself is no silence of the disk.
pub struct PatientReader {
    patience: Patience,
    source: Source,
}

enum Source {
    Unopened(Open),
    Open { buffers: mpsc::Receiver<io::Result<Vec<u8>>>, given_up: GivenUp, held: io::Cursor<Vec<u8>> },
    Ended,
}

impl std::fmt::Debug for PatientReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PatientReader").field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl Read for PatientReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(&mut self.source, Source::Ended) {
                Source::Unopened(open) => self.source = start(&self.patience, open)?,
                Source::Open { buffers, given_up, mut held } => {
                    let read = held.read(buffer)?;
                    if read > 0 {
                        self.source = Source::Open { buffers, given_up, held };
                        return Ok(read);
                    }
                    match buffers.recv_timeout(self.patience.silence) {
                        Ok(Ok(next)) if next.is_empty() => {}
                        Ok(next) => {
                            let held = io::Cursor::new(next?);
                            self.source = Source::Open { buffers, given_up, held };
                        }
                        Err(mpsc::RecvTimeoutError::Disconnected) => {
                            return Err(io::Error::other(NoAnswer::Died));
                        }
                        Err(mpsc::RecvTimeoutError::Timeout) => {
                            given_up.give_up(&self.patience);
                            return Err(silent(self.patience.silence));
                        }
                    }
                }
                Source::Ended => return Ok(0),
            }
        }
    }
}

fn silent(silence: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, NoAnswer::Overdue(silence))
}

fn start(patience: &Patience, open: Open) -> io::Result<Source> {
    if is_hung(&patience.place, patience.silence) {
        return Err(silent(patience.silence));
    }
    // One buffer is read while the one before is made use of.
    let (to, buffers) = mpsc::sync_channel(1);
    let given_up = GivenUp::default();
    let until_it_ends = given_up.clone();
    std::thread::Builder::new().name("volume-read".to_owned()).spawn(move || {
        // An empty buffer is the end: a thread that panicked says nothing, and has not read all.
        let end = read_all(open, &to).map(|()| Vec::new());
        drop(until_it_ends);
        let _ = to.send(end);
    })?;
    Ok(Source::Open { buffers, given_up, held: io::Cursor::new(Vec::new()) })
}

/// Reads until the end, or until nobody wants any more.
fn read_all(open: Open, to: &mpsc::SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut file = open()?;
    let mut bytes = FIRST_BYTES;
    loop {
        let mut buffer = vec![0; bytes];
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                bytes = if read < bytes { FIRST_BYTES } else { BUFFER_BYTES };
                buffer.truncate(read);
                if to.send(Ok(buffer)).is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::deadline::within;
    use std::fs::File;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    // L2: slow is not hung
    #[test]
    fn work_may_take_long_if_it_is_not_silent_for_long() {
        let patience = Patience::new(Path::new("/works"), Duration::from_millis(500));
        let begun = Instant::now();
        let silence = patience.silence;
        let done = patience.work(&|| true, move |alive| {
            while begun.elapsed() < silence * 2 {
                std::thread::park_timeout(SHORT);
                alive();
            }
            5
        });
        assert_eq!(done.unwrap(), 5);
    }

    #[test]
    fn work_that_is_not_wanted_any_more_is_told_so() {
        let patience = Patience::new(Path::new("/unwanted"), LONG);
        let rounds = patience.work(&|| false, |alive| {
            while alive() {
                std::thread::yield_now();
            }
        });
        assert!(rounds.is_ok());
    }

    // L2: hung
    #[test]
    fn work_that_falls_silent_is_left_behind_and_nobody_joins_it() {
        let (place, below) = (Path::new("/falls-silent"), Path::new("/falls-silent/below"));
        let (release, stuck) = mpsc::channel::<()>();
        let left = Patience::new(place, SHORT).work(&|| true, move |_| _ = stuck.recv());
        assert!(matches!(left, Err(NoAnswer::Overdue(_))));
        for place in [place, below] {
            assert!(within(place, SHORT, || unreachable!("somebody is stuck there")).is_err());
            let patience = Patience::new(place, SHORT);
            assert!(patience.work(&|| true, |_| unreachable!("somebody is stuck there")).is_err());
            let mut reader =
                patience.reader(|| -> io::Result<File> { unreachable!("somebody is stuck there") });
            assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        drop(release);
        // He comes back a moment later.
        while within(place, LONG, || ()).is_err() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_is_read_to_its_end_and_errors_are_handed_on() {
        let content: Vec<u8> = (0..3 * BUFFER_BYTES + 7).map(|n| n.to_le_bytes()[0]).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &content).unwrap();
        let patience = Patience::new(file.path(), LONG);
        let path = file.path().to_owned();
        let mut read = Vec::new();
        patience.reader(move || File::open(path)).read_to_end(&mut read).unwrap();
        assert!(read == content);
        let mut absent = patience.reader(|| File::open("/nowhere/at/all"));
        assert_eq!(absent.read(&mut [0; 9]).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(absent.read(&mut [0; 9]).unwrap(), 0);
    }

    // L2: hung
    #[test]
    fn a_file_whose_disk_falls_silent_is_no_end_of_it() {
        let place = Path::new("/silent-file");
        let (release, stuck) = mpsc::channel::<()>();
        let mut reader = Patience::new(place, SHORT).reader(move || {
            let _ = stuck.recv();
            Err::<File, _>(io::ErrorKind::NotFound.into())
        });
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(is_hung(place, SHORT));
        drop(release);
        drop(reader);
        while is_hung(place, SHORT) {
            std::thread::yield_now();
        }
    }
}
