//! The worker: this program started once more, with limits, to read files that may be out to break their reader.
//!
//! It has two threads. The one that was there first only listens to the parent: when the parent is gone it returns, and
//! with it the process ends, however deep the other one is in a file. The other one opens, reads and parses.

use std::io::{self, BufRead, Write};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::mpsc;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::detect::{Detected, detect};
use super::extract::{self, Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::input::{Input, Unread, Watched};
use super::parts::{Ended, Parts, Turn};
use super::wire::{Hello, Reply, Request, send};
use super::{Extraction, Kinds, Outcome, fields, language, normal};
use crate::model::{Field, ProblemKind};

/// What the hidden subcommand `__extract` runs: answers requests on standard input until its end.
///
/// # Errors
/// The parent spoke out of turn, the limits could not be set, or standard input failed.
pub fn child_main() -> io::Result<()> {
    let mut lines = io::stdin().lock().lines();
    let Some(hello) = lines.next() else { return Ok(()) };
    let hello: Hello = serde_json::from_str(&hello?).map_err(io::Error::other)?;

    let (requests, inbox) = mpsc::channel::<Request>();
    std::thread::Builder::new().name("extract".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let served = std::panic::catch_unwind(AssertUnwindSafe(|| serve(&hello, &inbox)));
        if let Ok(Err(error)) = served {
            // Standard error is a pipe to the parent, which quotes the last line of a worker that failed.
            _ = writeln!(io::stderr(), "{error}");
        }
        // Without this thread the process is of no use; the parent must not wait for an answer until the deadline.
        std::process::abort();
    })?;
    for line in lines {
        let request = serde_json::from_str(&line?).map_err(io::Error::other)?;
        if requests.send(request).is_err() {
            break;
        }
    }
    Ok(())
}

/// Parsers that recurse need some; address space only, until it is used.
const STACK_BYTES: usize = 16 * 1024 * 1024;

fn serve(hello: &Hello, inbox: &mpsc::Receiver<Request>) -> io::Result<()> {
    let mut out = io::stdout();
    limit(hello.memory_bytes)?;
    send(&mut out, &Reply::Ready)?;
    let budget = Budget {
        memory: hello.memory_bytes,
        text: usize::try_from(hello.text_bytes).unwrap_or(usize::MAX / 16),
    };
    loop {
        let Ok(request) = inbox.recv() else {
            // The listening thread saw the end of standard input and is ending the process.
            loop {
                std::thread::park();
            }
        };
        let reply =
            answer(&request.path()?, budget, hello.only.as_ref(), &mut |reply| send(&mut out, reply))?;
        send(&mut out, &reply)?;
    }
}

/// Limits that cannot be raised again: memory, no core dumps, no written files, few open ones. Time is the parent's
/// business, because a limit on processor time would count the whole life of the worker.
fn limit(memory_bytes: u64) -> io::Result<()> {
    let set = |resource, most| {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).map_err(io::Error::from)
    };
    set(Resource::Core, 0)?;
    set(Resource::Fsize, 0)?;
    set(Resource::Nofile, 16)?;
    let address_space = set(Resource::As, own_address_space().saturating_add(memory_bytes));
    // macOS does not enforce this limit, and refuses it where less than what is mapped is asked for. There the caps of
    // the extractors and the deadline are the guard.
    if cfg!(target_os = "macos") { Ok(()) } else { address_space }
}

/// What the program has mapped for itself before it reads anything, in bytes.
#[cfg(target_os = "linux")]
fn own_address_space() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_ascii_whitespace().next()?.parse::<u64>().ok());
    pages.map_or(USUAL_ADDRESS_SPACE, |pages| pages * rustix::param::page_size() as u64)
}

#[cfg(not(target_os = "linux"))]
fn own_address_space() -> u64 {
    USUAL_ADDRESS_SPACE
}

/// Program, stacks and the allocator's arenas.
const USUAL_ADDRESS_SPACE: u64 = 256 * 1024 * 1024;

/// Reads one file. An error is one of talking to the parent.
fn answer(path: &Path, budget: Budget, only: Option<&Kinds>, say: &mut Say<'_>) -> io::Result<Reply> {
    Ok(match load(path, budget, only, say)? {
        Err(unread) => unread_reply(&unread),
        Ok(Loaded::Crashed(failure)) => Reply::Done(failed(None, None, failure)),
        Ok(Loaded::OtherKind) => Reply::OtherKind,
        Ok(Loaded::Unsupported { mime }) => Reply::Done(Outcome::Unsupported { mime }),
        Ok(Loaded::OverLimit { mime, extractor, size, limit }) => {
            Reply::Done(failed(Some(mime), Some(extractor), over_limit(size, limit)))
        }
        Ok(Loaded::Bytes { mime, extractor, bytes, cut }) => {
            say(&Reply::Parsing { mime: mime.clone(), extractor: extractor.name().to_owned() })?;
            Reply::Done(parse(mime, extractor, cut, budget, || extractor.extract(&bytes, budget)))
        }
        Ok(Loaded::Parts { mime, extractor, input, limit }) => {
            let mut turn = |turn| match turn {
                Turn::Disk => say(&Reply::Reading),
                Turn::Content => {
                    say(&Reply::Parsing { mime: mime.clone(), extractor: extractor.name().to_owned() })
                }
            };
            turn(Turn::Content)?;
            let mut parts = Parts::of(&input, limit, &mut turn);
            let outcome =
                parse(mime.clone(), extractor, false, budget, || extractor.extract_parts(&mut parts, budget));
            match parts.end()? {
                Ended::Well => Reply::Done(outcome),
                Ended::OverLimit => {
                    let message = format!("more than {} MiB of it would have to be read", limit / MIB);
                    Reply::Done(failed(Some(mime), Some(extractor), Failure::too_large(message)))
                }
                Ended::Unread(unread) => unread_reply(&unread),
            }
        }
    })
}

fn unread_reply(unread: &Unread) -> Reply {
    match unread {
        Unread::Io(error) => Reply::Unreadable { errno: error.raw_os_error(), message: error.to_string() },
        Unread::NotRegular => Reply::NotRegular,
        Unread::Changed => Reply::Changed,
        Unread::OverLimit { size, limit } => Reply::Done(failed(None, None, over_limit(*size, *limit))),
    }
}

enum Loaded {
    /// Finding out its type did, of its content alone.
    Crashed(Failure),
    OtherKind,
    OverLimit {
        mime: String,
        extractor: &'static dyn extract::Extractor,
        size: u64,
        limit: u64,
    },
    Unsupported {
        mime: String,
    },
    Bytes {
        mime: String,
        extractor: &'static dyn Extractor,
        bytes: Vec<u8>,
        cut: bool,
    },
    Parts {
        mime: String,
        extractor: &'static dyn Extractor,
        input: Input,
        limit: u64,
    },
}

type Say<'a> = dyn FnMut(&Reply) -> io::Result<()> + 'a;

/// Everything that touches the disk before parsing begins; unless parts are wanted, the file is closed when it returns. The
/// outer error is one of talking to the parent, the inner one says nothing about the content.
fn load(
    path: &Path,
    budget: Budget,
    only: Option<&Kinds>,
    say: &mut Say<'_>,
) -> io::Result<Result<Loaded, Unread>> {
    let mut talk = Ok(());
    let loaded = load_and_say(path, budget, only, &mut |reply| {
        talk = say(reply);
        talk.as_ref().copied().map_err(|error| io::Error::from(error.kind()))
    });
    talk.map(|()| loaded)
}

fn load_and_say(
    path: &Path,
    budget: Budget,
    only: Option<&Kinds>,
    say: &mut Say<'_>,
) -> Result<Loaded, Unread> {
    use std::os::unix::ffi::OsStrExt;

    let mut input = Input::open(path)?;
    let name = path.file_name().map_or(b"".as_slice(), |name| name.as_bytes());
    let Detected { mime, kind } = match type_of(&mut input, say, |input| detect(input, name))? {
        Ok(detected) => detected,
        Err(failure) => return Ok(Loaded::Crashed(failure)),
    };
    let extractor = extract::of(kind);
    if only.is_some_and(|only| !only.fit(extractor.map(|extractor| extractor.name()), &mime)) {
        return Ok(Loaded::OtherKind);
    }
    let Some(extractor) = extractor else {
        input.prove_still()?;
        return Ok(Loaded::Unsupported { mime });
    };
    match extractor.appetite(budget) {
        Appetite::Parts(limit) => Ok(Loaded::Parts { mime, extractor, input, limit }),
        appetite => match input.read(appetite, || say(&Reply::Reading)) {
            Err(Unread::OverLimit { size, limit }) => Ok(Loaded::OverLimit { mime, extractor, size, limit }),
            read => {
                let (bytes, cut) = read?;
                Ok(Loaded::Bytes { mime, extractor, bytes, cut })
            }
        },
    }
}

/// Lets the type of a content be found out. That reads as it goes: a failed read, or a file that did not hold still, is never
/// a verdict on the content, whatever is made of it, be it a panic or the end of the process.
fn type_of(
    input: &mut Input,
    say: &mut Say<'_>,
    detect: impl FnOnce(&mut Watched<'_>) -> io::Result<Detected>,
) -> Result<Result<Detected, Failure>, Unread> {
    let mut said = Ok(());
    let detected = {
        let mut failed = || said = say(&Reply::ReadFailed);
        let mut watched = Watched { input, failed: &mut failed };
        caught("detection", || detect(&mut watched))
    };
    said?;
    input.check()?;
    match detected {
        Ok(detected) => Ok(Ok(detected?)),
        Err(failure) => input.prove_still().map(|()| Err(failure)),
    }
}

/// What the extractor says, in the one shape of all outcomes. `cut`: it was not given everything.
fn parse(
    mime: String,
    extractor: &'static dyn Extractor,
    cut: bool,
    budget: Budget,
    extract: impl FnOnce() -> Result<Raw, Failure>,
) -> Outcome {
    let extracted = caught("extractor", || {
        let raw = extract()?;
        let (text, truncated) = normal::text(&raw.text, budget.text);
        let mut found = fields::tidy(&raw.fields);
        if found.iter().all(|(field, _)| *field != Field::Language)
            && let Some(language) = language::of_text(&text)
        {
            // What a file does not say of its language its text does.
            let at = found.partition_point(|(field, _)| *field < Field::Language);
            found.insert(at, (Field::Language, vec![language.to_owned()]));
        }
        Ok(Extraction {
            mime: mime.clone(),
            extractor: extractor.name().to_owned(),
            extractor_version: extractor.version(),
            fields: found,
            text,
            truncated: truncated || raw.cut || cut,
        })
    });
    match extracted {
        Ok(Ok(extraction)) => Outcome::Extracted(extraction),
        Ok(Err(failure)) | Err(failure) => failed(Some(mime), Some(extractor), failure),
    }
}

/// The longest word on a failure, in bytes. It is kept and shown; parsers put what they stumbled over into it, which may be
/// half a document.
const MESSAGE_LIMIT: usize = 512;

fn over_limit(size: u64, limit: u64) -> Failure {
    Failure::too_large(format!("it has {size} bytes; at most {limit} can be read within the memory limit"))
}

fn failed(
    mime: Option<String>,
    extractor: Option<&'static dyn extract::Extractor>,
    Failure { kind, mut message }: Failure,
) -> Outcome {
    if message.len() > MESSAGE_LIMIT {
        message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
        message.push('…');
    }
    let extractor = extractor.map(|extractor| extractor.name().to_owned());
    Outcome::Failed { mime, extractor, kind, message }
}

/// A panic is the content's doing like any other crash. Extractors hold no state between files, so nothing half-changed
/// is seen again and the worker goes on.
fn caught<T>(who: &str, work: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Failure { kind: ProblemKind::Crashed, message: format!("the {who} crashed: {said}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // E1: found by damaged documents
    #[test]
    fn a_word_on_a_failure_is_no_document() {
        let Outcome::Failed { message, .. } = failed(None, None, Failure::damaged("é".repeat(500_000)))
        else {
            panic!("a failure is one")
        };
        assert_eq!(message, format!("{}…", "é".repeat(256)));
        let Outcome::Failed { message, .. } = failed(None, None, Failure::damaged("short")) else {
            panic!("a failure is one")
        };
        assert_eq!(message, "short");
    }

    /// What becomes of a panic while the type of this file is found out, and what the parent is told.
    fn panicking(
        path: &Path,
        before: impl FnOnce(&mut Watched<'_>),
    ) -> (Result<Failure, Unread>, Vec<Reply>) {
        let mut input = Input::open(path).expect("it opens");
        let mut told = Vec::new();
        let mut say = |reply: &Reply| {
            told.push(reply.clone());
            Ok(())
        };
        let found = type_of(&mut input, &mut say, |input| {
            before(input);
            panic!("of what it read")
        });
        (found.map(|found| found.expect_err("it panicked")), told)
    }

    // D1: outcomes are about contents only
    #[test]
    fn a_panic_after_a_failed_read_is_no_verdict_on_the_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x");
        std::fs::write(&path, "before").expect("written");
        let (found, told) = panicking(&path, |_| ());
        assert!(matches!(found, Ok(Failure { kind: ProblemKind::Crashed, .. })));
        assert_eq!(told, []);
        let (found, _) = panicking(&path, |_| std::fs::write(&path, "longer than before").expect("written"));
        assert!(matches!(found, Err(Unread::Changed)));
        // A read at address 0 of a process fails with EIO.
        #[cfg(target_os = "linux")]
        {
            let read_all = |input: &mut Watched<'_>| _ = io::copy(input, &mut io::sink());
            let (found, told) = panicking(Path::new("/proc/self/mem"), read_all);
            assert!(matches!(found, Err(Unread::Io(error)) if error.raw_os_error() == Some(5)));
            assert_eq!(told, [Reply::ReadFailed]);
        }
    }

    #[test]
    fn a_panic_is_a_crash_with_its_message() {
        let crash = caught("extractor", || -> () { panic!("index {} out of range", 7) });
        let crash = crash.expect_err("it panicked");
        assert_eq!(crash.kind, ProblemKind::Crashed);
        assert_eq!(crash.message, "the extractor crashed: index 7 out of range");
    }
}
