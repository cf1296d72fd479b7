//! The loop over what waits for enrichment: several worker processes, one writer.
//!
//! Work is keyed by content: what one copy gave serves every other, and a document whose content was enriched before is
//! only given its fields. A text belongs to a content hash, so it is kept only if the file still had the stat under which
//! that hash was proved, or else the very bytes, and held still while the worker read it.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{ChildError, ExtractorProcess, Limits, Outcome, enrichment_version};
use crate::catalog::enrichments::{self, Enrichment, OutcomeKind, Waiting};
use crate::catalog::{Catalog, CatalogError, Ids, RunLock, search, settings};
use crate::clock::Clock;
use crate::content::{self, ContentError};
use crate::model::{Problem, ProblemKind, Stat, setting};
use crate::monitor::{Counter, Monitor, Phase};
use crate::volume::{NoAnswer, Patience, Probe, VerifiedRoot};

/// Documents looked up, and results committed, at once.
const BATCH: usize = 200;

/// Documents indexed at once: small batches leave small pieces of index, which have to be merged over and over.
const INDEX_BATCH: usize = 5_000;

/// A library whose disk can be read: its number and its verified root.
pub type Root<'a> = (i64, &'a VerifiedRoot);

/// What a run of enrichment did.
#[derive(Debug, Default)]
pub struct EnrichReport {
    /// Contents whose text and metadata were read.
    pub enriched: u64,
    /// Contents of types that no extractor knows.
    pub unsupported: u64,
    /// Contents that could not be understood; each is among the problems.
    pub failed: u64,
    /// Documents that wait for their disk.
    pub waiting: u64,
    /// One file's trouble each.
    pub problems: Vec<Problem>,
    /// Libraries that went away meanwhile, by their number; nothing more was asked of them.
    pub lost: BTreeMap<i64, Probe>,
    /// Whether the user stopped it.
    pub interrupted: bool,
}

/// Why enrichment could not go on. One file's trouble is not among it.
#[derive(Debug, thiserror::Error)]
pub enum EnrichError {
    /// The catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The extractor process cannot be used at all.
    #[error("files cannot be read for their text")]
    Extractor(#[source] ChildError),
}

/// The version of enrichment under today's settings.
///
/// # Errors
/// SQLite's.
pub fn version(catalog: &Catalog) -> Result<String, CatalogError> {
    Ok(enrichment_version(limits(catalog)?.text_bytes))
}

fn limits(catalog: &Catalog) -> Result<Limits, CatalogError> {
    let number = |setting| settings::integer(catalog.read(), setting).map(i64::cast_unsigned);
    Ok(Limits {
        timeout: std::time::Duration::from_millis(number(&setting::EXTRACT_TIMEOUT_MS)?),
        memory_bytes: number(&setting::EXTRACT_MEMORY_MB)? << 20,
        text_bytes: number(&setting::EXTRACT_TEXT_MB)? << 20,
    })
}

/// What a worker is asked: about which document, where its file is, and how long that disk may be silent.
type Question = (Waiting, PathBuf, Patience);

/// What a worker says of one document.
type Answer = (Waiting, Result<Outcome, ChildError>);

/// Enriches what waits and can be read. `program` is this program: the workers are it, started once more.
///
/// # Errors
/// See [`EnrichError`]; what was committed until then is kept.
pub fn run(
    catalog: &mut Catalog,
    _lock: &RunLock,
    roots: &[Root<'_>],
    program: &Path,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<EnrichReport, EnrichError> {
    let version = version(catalog)?;
    let limits = limits(catalog)?;
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        enrichments::note_version(tx, &version, now_ms)?;
        enrichments::note_limits(tx, &format!("{:?} {}", limits.timeout, limits.memory_bytes), now_ms)
    })?;
    monitor.phase(Phase::Enrich, Some(enrichments::count_waiting(catalog.read())?));

    let mut report = EnrichReport::default();
    let mut ids = Ids::default();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| -> Result<(), EnrichError> {
        let (to_workers, work) = bounded::<Question>(BATCH);
        let (to_writer, answers) = bounded::<Answer>(BATCH);
        for _ in 0..threads {
            let (work, to_writer, program) = (work.clone(), to_writer.clone(), program.to_owned());
            scope.spawn(move || {
                extract_all(ExtractorProcess::new(program, limits), &work, &to_writer, monitor);
            });
        }
        drop((work, to_writer));
        let mut after = 0;
        loop {
            // One that went away is not gone back to: what was not seen in between proves nothing, and a disk that hangs
            // would cost a deadline a file.
            let libraries: Vec<i64> =
                roots.iter().map(|(id, _)| *id).filter(|id| !report.lost.contains_key(id)).collect();
            let waiting = enrichments::waiting(catalog.read(), &version, &libraries, after, BATCH)?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = last.document_id;
            // Two copies edited into the same content can be two documents: one reading serves both.
            let (done, open): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiting| waiting.done);
            let sent = open.len();
            for waiting in open {
                let (_, root) = roots
                    .iter()
                    .find(|(id, _)| *id == waiting.library_id)
                    .expect("only these were asked for");
                let path = waiting.path.under(root.path());
                if to_workers.send((waiting, path, root.patience())).is_err() {
                    break;
                }
            }
            let answered: Vec<Answer> = answers.iter().take(sent).collect();
            keep(catalog, &mut ids, &version, roots, &done, answered, &mut report, clock, monitor)?;
            if monitor.cancelled() {
                report.interrupted = true;
                return Ok(());
            }
        }
    })?;
    loop {
        let indexed = catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, INDEX_BATCH))?;
        if indexed == 0 || monitor.cancelled() {
            break;
        }
    }
    report.waiting = enrichments::count_waiting(catalog.read())?;
    Ok(report)
}

fn extract_all(
    mut process: ExtractorProcess,
    work: &Receiver<Question>,
    to_writer: &Sender<Answer>,
    monitor: &dyn Monitor,
) {
    for (waiting, path, patience) in work {
        let result = if monitor.cancelled() {
            Err(ChildError::Cancelled)
        } else {
            // The writer waits for as many answers as it has asked questions: a panic must not cost it one, or the run
            // would stand still for ever instead of failing.
            catch_unwind(AssertUnwindSafe(|| extract_one(&mut process, &waiting, &path, &patience, monitor)))
                .unwrap_or_else(|_| {
                    Err(ChildError::Garbled { message: "its answer was not understood".to_owned() })
                })
        };
        if to_writer.send((waiting, result)).is_err() {
            return;
        }
    }
}

fn extract_one(
    process: &mut ExtractorProcess,
    waiting: &Waiting,
    path: &Path,
    patience: &Patience,
    monitor: &dyn Monitor,
) -> Result<Outcome, ChildError> {
    let open = || {
        let asked = path.to_owned();
        let opened = patience.work(&|| true, move |_| content::open_regular(&asked).map(|(_, stat)| stat));
        opened.map_err(|error| silent(path, error))?.map_err(|error| child_error(path, error))
    };
    let changed = || ChildError::Changed { path: path.to_owned() };
    let before = open()?;
    if before != waiting.stat && prove(path, patience, monitor)? != waiting.content_hash {
        // Some file systems (FAT, whatever is behind FUSE) make up inode numbers at every mount; a scan knows which and does
        // not mind, so nobody would ever write the new one down. The content says what it is.
        return Err(changed());
    }
    let outcome = match process.extract(path, &|| monitor.cancelled()) {
        // The worker is stuck in a read. Whether that is the whole disk, or is over, is found out by who can leave it.
        Err(error @ ChildError::Unreadable { .. }) if is_silence(&error) => {
            prove(path, patience, monitor)?;
            return Err(error);
        }
        outcome => outcome?,
    };
    let after = open()?;
    if (Stat { inode: before.inode, ..after }) != before {
        return Err(changed());
    }
    monitor.count(Counter::FilesExtracted, 1);
    Ok(outcome)
}

/// The hash of the content as it is now.
fn prove(path: &Path, patience: &Patience, monitor: &dyn Monitor) -> Result<[u8; 32], ChildError> {
    let asked = path.to_owned();
    let proved = patience.work(&|| !monitor.cancelled(), move |alive| {
        let mut buffer = vec![0; content::BUFFER_BYTES];
        // Where it lies does not matter.
        content::prove(&|| content::open(&asked, content::READ), &mut buffer, &|_| alive())
    });
    let proved = proved.map_err(|error| silent(path, error))?;
    Ok(proved.map_err(|error| child_error(path, error))?.hash)
}

fn silent(path: &Path, error: NoAnswer) -> ChildError {
    let source = io::Error::new(io::ErrorKind::TimedOut, error);
    ChildError::Unreadable { path: path.to_owned(), source }
}

fn is_silence(error: &ChildError) -> bool {
    matches!(error, ChildError::Unreadable { source, .. } if source.kind() == io::ErrorKind::TimedOut)
}

fn child_error(path: &Path, error: ContentError) -> ChildError {
    let path = path.to_owned();
    match error {
        ContentError::Io(source) => ChildError::Unreadable { path, source },
        ContentError::Cancelled => ChildError::Cancelled,
        ContentError::Unstable => ChildError::Changed { path },
        ContentError::NotRegular | ContentError::Elsewhere => ChildError::NotRegular { path },
    }
}

/// Commits a batch: enrichments, fields and the operations that follow, together (T1); discarded where a root went away
/// meanwhile (D3).
#[expect(
    clippy::too_many_arguments,
    reason = "the loop's own state, nothing that belongs together elsewhere"
)]
fn keep(
    catalog: &mut Catalog,
    ids: &mut Ids,
    version: &str,
    roots: &[Root<'_>],
    done: &[Waiting],
    answers: Vec<Answer>,
    report: &mut EnrichReport,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<(), EnrichError> {
    let now_ms = clock.now_ms();
    for (library_id, root) in roots {
        if !report.lost.contains_key(library_id)
            && let Err(probe) = root.recheck()
        {
            report.lost.insert(*library_id, probe);
        }
    }
    let tx = catalog.write()?;
    for waiting in done {
        enrichments::apply(&tx, ids, waiting.document_id, waiting.content_hash, now_ms)?;
    }
    for (waiting, result) in answers {
        if report.lost.contains_key(&waiting.library_id) {
            continue;
        }
        let (enrichment, text) = match result {
            Ok(outcome) => enrichment_of(version, outcome),
            Err(ChildError::Cancelled | ChildError::Killed { .. }) => continue,
            Err(error @ (ChildError::Start { .. } | ChildError::NotReady { .. })) => {
                return Err(EnrichError::Extractor(error));
            }
            Err(error) => {
                let problem = problem_of(&waiting, &error);
                monitor.problem(&problem);
                report.problems.push(problem);
                continue;
            }
        };
        match (enrichment.outcome, &enrichment.problem) {
            (OutcomeKind::Extracted, _) => report.enriched += 1,
            (OutcomeKind::Unsupported, _) => report.unsupported += 1,
            (OutcomeKind::Failed, problem) => {
                report.failed += 1;
                if let Some((kind, message)) = problem {
                    let problem = Problem::new(waiting.path.clone(), *kind, message.clone());
                    monitor.problem(&problem);
                    report.problems.push(problem);
                }
            }
        }
        enrichments::put(&tx, waiting.content_hash, &enrichment, text.as_deref(), now_ms)?;
        enrichments::apply(&tx, ids, waiting.document_id, waiting.content_hash, now_ms)?;
    }
    tx.commit().map_err(CatalogError::from)?;
    Ok(())
}

fn enrichment_of(version: &str, outcome: Outcome) -> (Enrichment, Option<String>) {
    let blank = Enrichment {
        version: version.to_owned(),
        outcome: OutcomeKind::Extracted,
        mime: None,
        extractor: None,
        extractor_version: None,
        fields: std::collections::BTreeMap::new(),
        truncated: false,
        problem: None,
    };
    match outcome {
        Outcome::Extracted(extraction) => (
            Enrichment {
                mime: Some(extraction.mime),
                extractor: Some(extraction.extractor),
                extractor_version: Some(extraction.extractor_version),
                fields: extraction.fields.into_iter().collect(),
                truncated: extraction.truncated,
                ..blank
            },
            Some(extraction.text),
        ),
        Outcome::Unsupported { mime } => {
            (Enrichment { outcome: OutcomeKind::Unsupported, mime: Some(mime), ..blank }, None)
        }
        Outcome::Failed { mime, kind, message } => {
            (Enrichment { outcome: OutcomeKind::Failed, mime, problem: Some((kind, message)), ..blank }, None)
        }
    }
}

fn problem_of(waiting: &Waiting, error: &ChildError) -> Problem {
    match error {
        ChildError::Unreadable { source, .. } => Problem::from_io(waiting.path.clone(), source),
        ChildError::Changed { .. } | ChildError::NotRegular { .. } => {
            let message = "it changed since it was scanned; the next scan looks at it again";
            Problem::new(waiting.path.clone(), ProblemKind::Unstable, message)
        }
        error => Problem::new(waiting.path.clone(), ProblemKind::Crashed, error.to_string()),
    }
}
