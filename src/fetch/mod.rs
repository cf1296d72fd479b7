//! A content back in one's hands: from another disk that has it, from a store, or its text out of the catalogue.
//!
//! A catalogue that knows a content by its hash need not care where it comes from: whatever gives these bytes gives this
//! file. So every place that may have it is gone to in turn ([`plan()`]), what it gives is held against the hash while it is
//! written, and a disk that was pulled, a file that was changed or has rotted, a store that is away is passed over for the
//! next one, and said.
//!
//! What is absent, on purpose:
//! - Nothing gets a name that was not proved, byte by byte, to be what the catalogue knows.
//! - Nothing is written over anything, into a library or a store, or outside the directory that was named (`target`).
//! - Nothing is written into the catalogue: fetching waits for no other run, and none waits for it.
//! - Privacy is about what leaves this computer. It does not stop anybody from having his own file.

mod leftovers;
mod plan;
mod source;
mod target;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::query::FileCard;
use crate::catalog::{Catalog, CatalogError, enrichments, ledger, query};
use crate::clock::Clock;
use crate::library::outside::Forbidden;
use crate::model::{FileKind, RelPath};
use crate::monitor::{Counter, Monitor, Phase};
use crate::remote::Expect;
use crate::volume::{NoAnswer, Patience};

pub use plan::{Only, Source, plan};
pub use source::{Passed, StoreTrouble};
pub use target::TargetError;

use source::Sources;
use target::{Arrived, Stopped, Target, Wanted};

/// How much longer than a library's disk the target may be silent: it is written to, and waits for the source.
const TARGET_PATIENCE: u32 = 6;

/// What is wanted of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Itself.
    Content,
    /// Its text, as `NAME.txt`.
    Text,
}

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Options {
    /// Into which directory, which has to be there.
    pub to: PathBuf,
    /// Below the directories that it has in its library; else right there.
    pub tree: bool,
    /// What.
    pub what: What,
    /// From one place only.
    pub only: Option<Only>,
}

/// Why there is nothing to fetch with.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The directory.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The directory's disk does not answer.
    #[error("{} does not answer", .0.display())]
    NoAnswer(PathBuf, #[source] NoAnswer),
}

/// How one file came out.
#[derive(Debug)]
pub struct Fetched {
    /// How it ended.
    pub ended: Ended,
    /// Where it is, or would be.
    pub target: PathBuf,
    /// How many bytes.
    pub bytes: u64,
    /// BLAKE3 of them; none where the content never was proved.
    pub hash: Option<[u8; 32]>,
    /// Places that should have it and did not give it, in the order they were gone to.
    pub passed: Vec<(Source, Passed)>,
}

/// How one file's fetching ended.
#[derive(Debug)]
pub enum Ended {
    /// It is there now, from this place; from none where it is text of the catalogue.
    Delivered(Option<Source>),
    /// It was there, byte for byte.
    AlreadyThere,
    /// It is not there.
    Failed(Failed),
}

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It is a symbolic link.
    #[error("it is a symbolic link, which has no content")]
    Link,
    /// Nobody knows what its content should be.
    #[error("its content was never read, so that nothing could be held against it")]
    Unproved,
    /// No place has it, or none gave it; what the places said stands beside.
    #[error("no disk and no store that is here gives its content")]
    NowhereHere,
    /// There is no text.
    #[error("there is no text of it: {0}")]
    NoText(String),
    /// The directory.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The directory's disk does not answer.
    #[error("the directory does not answer")]
    NoAnswer(#[source] NoAnswer),
    /// The user stopped it.
    #[error("the run was stopped")]
    Cancelled,
}

/// The text of a file, for those who want it elsewhere than in a file; and whether it was cut.
///
/// # Errors
/// The inner one says why there is none.
pub fn text(catalog: &Catalog, card: &FileCard) -> Result<Result<String, Failed>, CatalogError> {
    let Some(hash) = card.content_hash else { return Ok(Err(Failed::Unproved)) };
    let conn = catalog.read();
    if let Some(text) = enrichments::text(conn, hash)? {
        return Ok(Ok(text));
    }
    let why = match enrichments::get(conn, hash)? {
        None => "nobody has read it yet".to_owned(),
        Some(enrichment) => match enrichment.problem {
            Some((kind, message)) => format!("{message} ({kind})"),
            None => format!("none is read out of {}", enrichment.mime.as_deref().unwrap_or("its type")),
        },
    };
    Ok(Err(Failed::NoText(why)))
}

/// Fetches files, one after the other, into one directory. What became of each is told to `tell` as it ends.
///
/// # Errors
/// See [`FetchError`]; nothing was written then.
pub fn fetch(
    catalog: &Catalog,
    files: &[FileCard],
    options: &Options,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
    tell: &mut dyn FnMut(&FileCard, Fetched),
) -> Result<(), FetchError> {
    let mut sources = Sources::new(catalog)?;
    let forbidden = Forbidden::of(catalog.read())?;
    let to = std::path::absolute(&options.to)
        .map_err(|source| TargetError::Io { dir: options.to.clone(), source })?;
    let patience = Patience::new(&to, sources.deadline() * TARGET_PATIENCE);
    let open = to.clone();
    let target = patience
        .work(&|| true, move |_| Target::open(&open, forbidden))
        .map_err(|silent| FetchError::NoAnswer(to, silent))??;
    let target = Arc::new(target);
    monitor.phase(Phase::Fetch, Some(files.len() as u64));
    for card in files {
        let mut run = Run {
            catalog,
            options,
            clock,
            monitor,
            target: &target,
            patience: &patience,
            sources: &mut sources,
        };
        let fetched = run.one(card)?;
        tell(card, fetched);
        monitor.count(Counter::FilesFetched, 1);
    }
    Ok(())
}

struct Run<'a> {
    catalog: &'a Catalog,
    options: &'a Options,
    clock: &'a dyn Clock,
    monitor: &'a dyn Monitor,
    target: &'a Arc<Target>,
    patience: &'a Patience,
    sources: &'a mut Sources,
}

/// A place below the target: its directory there, and its name.
#[derive(Debug, Clone)]
struct Spot {
    dir: RelPath,
    name: OsString,
}

impl Spot {
    fn of(path: &RelPath, tree: bool, what: What) -> Self {
        let (dir, name) = path.split().unwrap_or((RelPath::root(), b""));
        let mut name = name.to_owned();
        if what == What::Text {
            name.extend_from_slice(b".txt");
        }
        Spot { dir: if tree { dir } else { RelPath::root() }, name: OsString::from_vec(name) }
    }

    fn under(&self, target: &Target) -> PathBuf {
        target.path_of(OsStr::from_bytes(self.dir.join(self.name.as_bytes()).as_bytes()))
    }
}

impl Run<'_> {
    fn one(&mut self, card: &FileCard) -> Result<Fetched, FetchError> {
        let spot = Spot::of(&card.path, self.options.tree, self.options.what);
        let mut fetched = Fetched {
            ended: Ended::Failed(Failed::Cancelled),
            target: spot.under(self.target),
            bytes: card.stat.size,
            hash: card.content_hash,
            passed: Vec::new(),
        };
        if self.monitor.cancelled() {
            return Ok(fetched);
        }
        fetched.ended = match self.options.what {
            What::Content => self.content(card, &spot, &mut fetched.passed)?,
            What::Text => match text(self.catalog, card)? {
                Err(failed) => Ended::Failed(failed),
                Ok(text) => {
                    let expect = Expect::of(text.as_bytes());
                    (fetched.bytes, fetched.hash) = (expect.bytes, Some(expect.hash));
                    self.text(&spot, text, expect)
                }
            },
        };
        Ok(fetched)
    }

    fn text(&self, spot: &Spot, text: String, expect: Expect) -> Ended {
        let wanted = Wanted { expect, mtime_ns: None };
        match self.write(spot, wanted, move || std::io::Cursor::new(text.into_bytes())) {
            Ok(Arrived::Written) => Ended::Delivered(None),
            Ok(Arrived::WasThere) => Ended::AlreadyThere,
            Err(Ok(stopped)) => Ended::Failed(failed(stopped)),
            Err(Err(silent)) => Ended::Failed(Failed::NoAnswer(silent)),
        }
    }

    fn content(
        &mut self,
        card: &FileCard,
        spot: &Spot,
        passed: &mut Vec<(Source, Passed)>,
    ) -> Result<Ended, FetchError> {
        if card.stat.kind == FileKind::Symlink {
            return Ok(Ended::Failed(Failed::Link));
        }
        let Some(hash) = card.content_hash else { return Ok(Ended::Failed(Failed::Unproved)) };
        let expect = Expect { bytes: card.stat.size, hash };
        match self.holds(spot, expect) {
            Ok(true) => return Ok(Ended::AlreadyThere),
            Ok(false) => {}
            Err(failed) => return Ok(Ended::Failed(failed)),
        }
        let conn = self.catalog.read();
        let copies = query::copies_of_content(conn, hash, card.document_id)?;
        let objects = ledger::originals(conn, hash, card.document_id)?;
        let was_here = |library_id| self.sources.was_here(library_id);
        let sources = plan(card, &copies, &objects, &was_here, self.options.only);
        let wanted = Wanted { expect, mtime_ns: card.stat.mtime_ms().map(|_| card.stat.mtime_ns) };
        for source in sources {
            let opened = match self.sources.open(&source, expect.bytes, self.clock)? {
                Ok(opened) => opened,
                Err(why) => {
                    passed.push((source, why));
                    continue;
                }
            };
            let stat = opened.stat();
            let why = match self.write(spot, wanted, move || opened) {
                Ok(Arrived::Written) => return Ok(Ended::Delivered(Some(source))),
                Ok(Arrived::WasThere) => return Ok(Ended::AlreadyThere),
                Err(Err(silent)) => return Ok(Ended::Failed(Failed::NoAnswer(silent))),
                Err(Ok(Stopped::Source(error))) => self.sources.failed(&source, error),
                Err(Ok(Stopped::Differs)) => self.sources.differs(&source, &stat),
                Err(Ok(stopped)) => return Ok(Ended::Failed(failed(stopped))),
            };
            passed.push((source, why));
        }
        Ok(Ended::Failed(Failed::NowhereHere))
    }

    /// Whether it is there already.
    fn holds(&self, spot: &Spot, expect: Expect) -> Result<bool, Failed> {
        let (target, spot) = (Arc::clone(self.target), spot.clone());
        let go_on = || !self.monitor.cancelled();
        let held = self.patience.work(&go_on, move |alive| match target.below(&spot.dir, false)? {
            Some(dir) => dir.holds(&spot.name, &expect, alive),
            None => Ok(false),
        });
        match held {
            Ok(held) => held.map_err(failed),
            Err(silent) => Err(Failed::NoAnswer(silent)),
        }
    }

    /// Writes what is read. The inner error is the writing's, the outer one the silence of the target's disk.
    fn write<R: std::io::Read>(
        &self,
        spot: &Spot,
        wanted: Wanted,
        content: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Arrived, Result<Stopped, NoAnswer>> {
        let (target, spot) = (Arc::clone(self.target), spot.clone());
        let go_on = || !self.monitor.cancelled();
        let written = self.patience.work(&go_on, move |alive| {
            let dir = target.below(&spot.dir, true)?.expect("it was made where it was not there");
            dir.write(&spot.name, &wanted, &mut content(), alive)
        });
        match written {
            Ok(written) => written.map_err(Ok),
            Err(silent) => Err(Err(silent)),
        }
    }
}

fn failed(stopped: Stopped) -> Failed {
    match stopped {
        Stopped::Target(error) => Failed::Target(error),
        Stopped::Cancelled => Failed::Cancelled,
        // What is in memory can be read, and is what it is; of places this is judged before.
        Stopped::Source(_) | Stopped::Differs => Failed::NowhereHere,
    }
}
