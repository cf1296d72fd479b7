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

use super::render::RENDER_VERSION;
use super::{ChildError, ExtractorProcess, Kinds, Limits, Outcome, versions};
use crate::catalog::enrichments::{self, Enrichment, OutcomeKind, Versions, Waiting};
use crate::catalog::{Catalog, CatalogError, Ids, RunLock, search, settings};
use crate::clock::Clock;
use crate::content::{self, ContentError};
use crate::model::{Problem, ProblemKind, Stat, setting};
use crate::monitor::{Counter, Monitor, Phase};
use crate::volume::{NoAnswer, Patience, Probe, VerifiedRoot};

/// Documents looked up, and results committed, at once.
const BATCH: usize = 200;

/// A library whose disk can be read: its number and its verified root.
pub type Root<'a> = (i64, &'a VerifiedRoot);

/// What is to be enriched of all that waits.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only these kinds; without it all.
    pub kinds: Option<Kinds>,
    /// Also what was read by today's version already, and what failed: all that can be read now.
    pub redo: bool,
}

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
    options: &Options,
    program: &Path,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<EnrichReport, EnrichError> {
    let Options { kinds, redo } = options;
    let limits = limits(catalog)?;
    let versions = versions(limits.text_bytes);
    let mut report = EnrichReport::default();
    let mut ids = Ids::default();
    let here: Vec<i64> = roots.iter().map(|(id, _)| *id).collect();
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        enrichments::note_versions(tx, &versions, now_ms)?;
        enrichments::note_limits(tx, &format!("{:?} {}", limits.timeout, limits.memory_bytes), now_ms)?;
        enrichments::note_rendering(tx, &mut ids, RENDER_VERSION, now_ms)?;
        if *redo {
            let chosen = match kinds {
                None => None,
                Some(kinds) => Some(those_of(kinds, enrichments::kinds(tx)?)),
            };
            enrichments::mark_again(tx, &here, chosen.as_deref())?;
        }
        Ok(())
    })?;
    monitor.phase(Phase::Enrich, Some(enrichments::count_readable(catalog.read(), &here)?));

    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| -> Result<(), EnrichError> {
        let (to_workers, work) = bounded::<Question>(BATCH);
        let (to_writer, answers) = bounded::<Answer>(BATCH);
        for _ in 0..threads {
            let (work, to_writer, program) = (work.clone(), to_writer.clone(), program.to_owned());
            scope.spawn(move || {
                let process = ExtractorProcess::new(program, limits).only(kinds.clone());
                extract_all(process, &work, &to_writer, monitor);
            });
        }
        drop((work, to_writer));
        let mut after = 0;
        loop {
            // One that went away is not gone back to: what was not seen in between proves nothing, and a disk that hangs
            // would cost a deadline a file.
            let libraries: Vec<i64> =
                roots.iter().map(|(id, _)| *id).filter(|id| !report.lost.contains_key(id)).collect();
            let waiting = enrichments::waiting(catalog.read(), &versions, &libraries, after, BATCH)?;
            let Some(last) = waiting.last() else { return Ok(()) };
            after = last.document_id;
            // Two copies edited into the same content can be two documents: one reading serves both.
            let (done, mut open): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|waiting| waiting.done);
            if let Some(kinds) = kinds {
                open.retain(|waiting| may_be(kinds, waiting));
            }
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
            keep(catalog, &mut ids, &versions, roots, &done, answered, &mut report, clock, monitor)?;
            if monitor.cancelled() {
                report.interrupted = true;
                return Ok(());
            }
        }
    })?;
    index(catalog, monitor)?;
    report.waiting = enrichments::count_waiting(catalog.read())?;
    Ok(report)
}

/// Brings the search in line with what was written down.
pub(super) fn index(catalog: &mut Catalog, monitor: &dyn Monitor) -> Result<(), CatalogError> {
    search::index_all(catalog, |_| !monitor.cancelled())?;
    Ok(())
}

/// Of what there is, the pairs of extractor and type that are of these kinds.
pub(super) fn those_of(
    kinds: &Kinds,
    mut there: Vec<(Option<String>, Option<String>)>,
) -> Vec<(Option<String>, Option<String>)> {
    there.retain(|(extractor, mime)| kinds.fit(extractor.as_deref(), mime.as_deref().unwrap_or_default()));
    there
}

/// Whether a document may be of these kinds. What no extractor was found for may have one today; who knows that is the
/// worker, which looks.
fn may_be(kinds: &Kinds, waiting: &Waiting) -> bool {
    match &waiting.before {
        Some((Some(extractor), mime)) => kinds.fit(Some(extractor), mime.as_deref().unwrap_or_default()),
        _ => true,
    }
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
    versions: &Versions,
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
            Ok(outcome) => enrichment_of(versions, outcome),
            Err(ChildError::Cancelled | ChildError::OtherKind { .. }) => continue,
            // Whoever ends everything ends the workers, too. Else it is told: memory may have run out, again and again.
            Err(ChildError::Killed { .. }) if monitor.cancelled() => continue,
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

fn enrichment_of(versions: &Versions, outcome: Outcome) -> (Enrichment, Option<String>) {
    let (outcome, mime, extractor, problem, extraction) = match outcome {
        Outcome::Extracted(extraction) => {
            let extractor = Some(extraction.extractor.clone());
            (OutcomeKind::Extracted, Some(extraction.mime.clone()), extractor, None, Some(extraction))
        }
        Outcome::Unsupported { mime } => (OutcomeKind::Unsupported, Some(mime), None, None, None),
        Outcome::Failed { mime, extractor, kind, message } => {
            (OutcomeKind::Failed, mime, extractor, Some((kind, message)), None)
        }
    };
    let version = versions.get(extractor.as_deref().unwrap_or_default()).cloned().unwrap_or_default();
    let extractor_version = extraction.as_ref().map(|extraction| extraction.extractor_version);
    let truncated = extraction.as_ref().is_some_and(|extraction| extraction.truncated);
    let (fields, text) = extraction.map(|it| (it.fields.into_iter().collect(), it.text)).unzip();
    let fields = fields.unwrap_or_default();
    (Enrichment { version, outcome, mime, extractor, extractor_version, fields, truncated, problem }, text)
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
