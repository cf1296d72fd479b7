//! The writer: one thread that owns the catalogue while a scan runs.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use rusqlite::Connection;
use serde_json::json;

use super::guard::{Findings, Limits, guard};
use super::moves::{Tally, pair_moves, tally};
use super::shift::{self, Shifted};
use super::walk::{KnownOrNew, Place};
use super::{Ending, Options, Report, ScanError, Vigil};
use crate::catalog::decisions::{self, DecisionKind};
use crate::catalog::dirs::{self, DirState, KnownDir};
use crate::catalog::files::{self, Look, Recorded, Recording};
use crate::catalog::libraries::Library;
use crate::catalog::moves::{self, Side};
use crate::catalog::newcomers::Newcomers;
use crate::catalog::scans::{self, ScanOutcome};
use crate::catalog::{Care, Catalog, CatalogError, Ids, outbox, problems, query, replaced, settings};
use crate::clock::Clock;
use crate::model::{Presence, Problem, ProblemKind, RelPath, setting};
use crate::volume::{Probe, VerifiedRoot};

/// Records in one transaction: a commit writes every page of the index of contents that it touched, which in a large
/// catalogue is a page for each file, so the larger the better; few enough that others get their turn to write.
const BATCH: usize = 16_384;

/// So many records are worth a transaction; fewer wait for others to come, without one.
const WORTH_IT: usize = 1024;

/// A transaction that waits longer than this for the next records is committed: the disk is slow, and others may want to
/// write.
const PAUSE: Duration = Duration::from_millis(5);

/// A batch is committed after this time at the latest, so that slow disks lose little, too.
const BATCH_TIME: Duration = Duration::from_secs(2);

/// What walkers and hashers tell the writer.
#[derive(Debug)]
pub(super) enum Record {
    /// A directory that was not known before.
    NewDir { dir_id: i64, parent_id: i64, path: RelPath },
    /// A directory can be listed again.
    Listed { dir_id: i64 },
    /// A directory could not be listed, or not to the end: then some of it was.
    Frozen { dir_id: i64, problem: Problem, listed: bool },
    /// A listing that broke off did not get to a known file, or it could not be looked at.
    Unseen { file_id: i64, kind: ProblemKind },
    /// Nor to a known directory.
    UnseenDir { path: RelPath, kind: ProblemKind },
    /// A directory has another inode number than it had, or none was known.
    DirInode { dir_id: i64, inode: u64 },
    /// A known directory is not there.
    GoneDir { dir: KnownDir },
    /// A rule leaves a known directory out.
    ExcludeDir { dir: KnownDir },
    /// A file was looked at.
    Look { look: Box<Look>, place: Arc<Place> },
    /// Of a file that was not read only the times are others, as they are of all files of the disk.
    Shifted { file: Shifted },
    /// A rule leaves a known file out.
    Exclude { file_id: i64 },
    /// A known file is not in a complete listing.
    Candidate { file_id: i64 },
    /// One file's trouble.
    Problem { problem: Problem, file_id: Option<i64> },
}

/// How far the writer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// All there was to write.
    All,
    /// The root went away: the batch at hand was discarded (D3).
    RootLost,
    /// Somebody is stuck at the disk, and nobody waits for what he would have said.
    Stuck,
}

/// Writes what a scan finds.
pub(super) struct Writer<'a> {
    catalog: &'a mut Catalog,
    library: &'a Library,
    root: &'a VerifiedRoot,
    options: &'a Options,
    clock: &'a dyn Clock,
    ids: Ids,
    newcomers: Newcomers,
    scan_id: i64,
    started_ms: i64,
    report: Report,
    frozen: BTreeSet<RelPath>,
    gone: Vec<RelPath>,
    root_lost: Option<Probe>,
    /// Of a dry run, which writes no rows that could be asked later.
    appeared: Vec<Side>,
    /// As `appeared`: what stood where something else does now.
    replaced: Vec<Side>,
    /// As `appeared`: files that were missing, and are not any more.
    back: HashSet<i64>,
    /// Kept until the end: while the walk goes on, a directory is looked for by the number it had before.
    dir_inodes: Vec<(i64, u64)>,
}

impl<'a> Writer<'a> {
    pub(super) fn begin(
        catalog: &'a mut Catalog,
        library: &'a Library,
        root: &'a VerifiedRoot,
        options: &'a Options,
        clock: &'a dyn Clock,
    ) -> Result<Self, CatalogError> {
        let now_ms = clock.now_ms();
        let scan_id = catalog
            .change::<_, CatalogError>(|tx| scans::begin(tx, library.library_id, &options.scope, now_ms))?;
        // What a scan writes as it goes can be seen again; what it concludes is kept for good (`finish`).
        catalog.set_care(Care::Bulk)?;
        let report = Report {
            files_seen: 0,
            unchanged: 0,
            new: 0,
            modified: 0,
            touched: 0,
            moved: 0,
            missing: 0,
            restored: 0,
            excluded: 0,
            hashed_files: 0,
            hashed_bytes: 0,
            problems: Vec::new(),
            frozen_dirs: Vec::new(),
            decision: None,
            time_shift_min: None,
            ending: Ending::Complete,
            elapsed_ms: 0,
            whole: options.scope.is_root(),
        };
        Ok(Writer {
            catalog,
            library,
            root,
            options,
            clock,
            ids: Ids::default(),
            newcomers: Newcomers::default(),
            scan_id,
            started_ms: now_ms,
            report,
            frozen: BTreeSet::new(),
            gone: Vec::new(),
            root_lost: None,
            appeared: Vec::new(),
            replaced: Vec::new(),
            back: HashSet::new(),
            dir_inodes: Vec::new(),
        })
    }

    /// The directory the walk begins at, with its number.
    pub(super) fn scope_dir(&mut self) -> Result<KnownOrNew, CatalogError> {
        let (library_id, scope) = (self.library.library_id, self.options.scope.clone());
        if self.options.dry_run && dirs::at(self.catalog.read(), library_id, &scope)?.is_none() {
            // No row is ever written under this number.
            return Ok(KnownOrNew { dir_id: 0, path: scope, state: None, inode: None });
        }
        let known = self.catalog.change::<_, CatalogError>(|tx| dirs::ensure(tx, library_id, &scope))?;
        Ok(KnownOrNew {
            dir_id: known.dir_id,
            path: known.path,
            state: Some(known.state),
            inode: known.inode,
        })
    }

    pub(super) fn connection(&self) -> &Connection {
        self.catalog.read()
    }

    pub(super) fn reader(&self) -> Result<Connection, CatalogError> {
        self.catalog.reader()
    }

    /// Takes records until there are no more, or it is of no use to go on.
    pub(super) fn write_all(
        &mut self,
        records: &Receiver<Vec<Record>>,
        vigil: &mut Vigil<'_>,
    ) -> Result<Written, ScanError> {
        let mut first = Vec::with_capacity(WORTH_IT);
        loop {
            // Waits without a transaction: others may write meanwhile.
            match records.recv_timeout(vigil.tick()) {
                Ok(some) => first.extend(some),
                Err(RecvTimeoutError::Disconnected) => return Ok(Written::All),
                Err(RecvTimeoutError::Timeout) if vigil.sees_stuck() => return Ok(Written::Stuck),
                Err(RecvTimeoutError::Timeout) => continue,
            }
            let deadline = Instant::now() + BATCH_TIME;
            while first.len() < WORTH_IT {
                match records.recv_deadline(deadline) {
                    Ok(more) => first.extend(more),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                }
            }
            if !self.commit(&mut first, records)? {
                return Ok(Written::RootLost);
            }
            if vigil.sees_stuck() {
                return Ok(Written::Stuck);
            }
        }
    }

    /// Writes one batch: what was collected, and what comes in while that is written.
    fn commit(&mut self, first: &mut Vec<Record>, more: &Receiver<Vec<Record>>) -> Result<bool, ScanError> {
        let now_ms = self.clock.now_ms();
        let mut tally = self.report.clone();
        let (mut frozen, mut gone) = (BTreeSet::new(), Vec::new());
        let tx = self.catalog.write()?;
        if !self.options.dry_run {
            query::forget_counts(&tx, self.library.library_id)?;
        }
        let stores = outbox::all_stores(&tx)?;
        let mut troubled = problems::any(&tx, self.library.library_id)?;
        let mut any_replaced = replaced::any(&tx)?;
        self.newcomers.begin(&tx)?;
        let mut context = Context {
            recording: Recording {
                ids: &mut self.ids,
                stores: &stores,
                replaced: &mut any_replaced,
                scan_id: self.scan_id,
                now_ms,
            },
            newcomers: &mut self.newcomers,
            library_id: self.library.library_id,
            report: &mut tally,
            frozen: &mut frozen,
            gone: &mut gone,
            appeared: &mut self.appeared,
            replaced: &mut self.replaced,
            back: &mut self.back,
            dir_inodes: &mut self.dir_inodes,
            troubled: &mut troubled,
            dry_run: self.options.dry_run,
        };
        let (mut written, deadline) = (first.len(), Instant::now() + BATCH_TIME);
        for record in first.drain(..) {
            write_one(&tx, &mut context, record)?;
        }
        while written < BATCH && Instant::now() < deadline {
            let Ok(records) = more.recv_timeout(PAUSE) else { break };
            written += records.len();
            for record in records {
                write_one(&tx, &mut context, record)?;
            }
        }
        context.newcomers.flush(&tx, &mut context.recording)?;
        if let Err(probe) = self.root.recheck() {
            // Dropping the transaction rolls it back.
            self.root_lost = Some(probe);
            return Ok(false);
        }
        tx.commit().map_err(CatalogError::from)?;
        self.report = tally;
        self.frozen.append(&mut frozen);
        self.gone.append(&mut gone);
        Ok(true)
    }

    /// The root does not answer any more: what is not committed by now is discarded.
    pub(super) fn lose_root(&mut self) {
        let root = self.root;
        self.root_lost.get_or_insert_with(|| root.hung());
    }

    /// Pairs moves, asks the guard, verifies the root once more and concludes.
    pub(super) fn finish(&mut self, interrupted: bool, inodes: bool) -> Result<Report, ScanError> {
        self.catalog.set_care(Care::Full)?;
        self.report.frozen_dirs = self.frozen.iter().cloned().collect();
        if let Some(probe) = self.root_lost.take() {
            self.report.ending = Ending::RootLost(probe);
            return Ok(self.report.clone());
        }
        if interrupted {
            self.report.ending = Ending::Interrupted;
            return Ok(self.report.clone());
        }
        if let Err(probe) = self.root.recheck() {
            self.report.ending = Ending::RootLost(probe);
            return Ok(self.report.clone());
        }
        self.report.ending = if self.frozen.is_empty() { Ending::Complete } else { Ending::Partial };
        if self.options.dry_run {
            self.foresee(inodes)?;
        } else {
            self.conclude(inodes)?;
        }
        Ok(self.report.clone())
    }

    /// What [`Writer::conclude`] would count, without its writing.
    fn foresee(&mut self, inodes: bool) -> Result<(), ScanError> {
        let conn = self.catalog.read();
        let library_id = self.library.library_id;
        let (mut replaced, appeared) =
            (std::mem::take(&mut self.replaced), std::mem::take(&mut self.appeared));
        if inodes {
            // What was edited in place still has its number there, and is not lost.
            let edited: HashSet<(i64, u64)> =
                appeared.iter().map(|side| (side.file_id, side.stat.inode)).collect();
            replaced.retain(|side| !edited.contains(&(side.file_id, side.stat.inode)));
        }
        let (mut lost, appeared) =
            moves::sides(conn, library_id, self.scan_id, inodes, (replaced, appeared))?;
        lost.retain(|side| side.in_place || !self.back.contains(&side.file_id));
        let pairs = pair_moves(&lost, &appeared, inodes);
        for (lost, _) in &pairs {
            scans::drop_candidate(conn, lost.file_id)?;
        }
        correct(&mut self.report, tally(&pairs));
        moves::mark_elsewhere(conn, library_id, self.scan_id)?;
        self.report.moved += scans::count_elsewhere(conn)?;
        self.report.missing = scans::count_candidates(conn)?;
        Ok(())
    }

    fn conclude(&mut self, inodes: bool) -> Result<(), ScanError> {
        let now_ms = self.clock.now_ms();
        let library_id = self.library.library_id;
        let limits = limits(self.catalog.read())?;
        let grace_scans = settings::integer(self.catalog.read(), &setting::MISSING_GRACE_SCANS)?;
        let complete = self.report.is_complete();
        // Told only if it is kept.
        let mut report = self.report.clone();
        let tx = self.catalog.write()?;
        if report.new + report.modified + report.restored > 0 || scans::any_candidate(&tx)? {
            query::forget_counts(&tx, library_id)?;
        }

        for (dir_id, inode) in self.dir_inodes.drain(..) {
            dirs::set_inode(&tx, dir_id, inode)?;
        }
        // What scans that were cut off have written down since the last conclusion counts with what this one saw.
        let cut_off_since = scans::cut_off_since(&tx, self.scan_id)?;
        let changed_since = cut_off_since
            .map(|since_ms| scans::count_changed_since(&tx, library_id, since_ms))
            .transpose()?;
        let (lost, appeared) = moves::sides(&tx, library_id, self.scan_id, inodes, Default::default())?;
        let mut pairs = pair_moves(&lost, &appeared, inodes);
        // First those whose own place is taken: what takes it brings an end to the row that tells what they were.
        pairs.sort_by_key(|(lost, _)| !lost.in_place);
        let stores = outbox::all_stores(&tx)?;
        let mut recording = Recording {
            ids: &mut self.ids,
            stores: &stores,
            replaced: &mut replaced::any(&tx)?,
            scan_id: self.scan_id,
            now_ms,
        };
        for (lost, appeared) in &pairs {
            moves::apply_move(&tx, &mut recording, lost, appeared)?;
        }
        let tally = tally(&pairs);
        correct(&mut report, tally);
        if moves::mark_elsewhere(&tx, library_id, self.scan_id)? {
            report.moved += moves::finish_elsewhere(&tx, now_ms)?;
        }
        if report.moved > 0 {
            query::forget_counts(&tx, library_id)?;
        }

        let missing = scans::count_candidates(&tx)?;
        let since_ms = cut_off_since.unwrap_or(self.started_ms);
        let changed = changed_since.map_or(report.modified, |n| n.saturating_sub(tally.replaced));
        // An unchanged library is not counted to find out that nothing of it is too much.
        let known = if missing + changed > 0 { scans::count_known(&tx, library_id)? } else { 0 };
        let holds = guard(Findings { known, missing, changed }, limits);
        if holds.missing {
            let facts = json!({ "known": known, "missing": missing });
            report.decision =
                Some(decisions::ask(&tx, library_id, DecisionKind::MassMissing, &facts, now_ms)?);
        } else {
            decisions::forget_seen(&tx, library_id, &self.options.scope, now_ms)?;
            report.missing = scans::finish_missing(&tx, now_ms)?;
            for path in &self.gone {
                dirs::set_gone(&tx, library_id, path)?;
            }
            if complete {
                decisions::settle(&tx, library_id, DecisionKind::MassMissing, now_ms)?;
            }
        }
        if holds.changed {
            let facts = json!({ "known": known, "changed": changed });
            let decision = decisions::ask(&tx, library_id, DecisionKind::MassChange, &facts, now_ms)?;
            decisions::hold_changed(&tx, decision, library_id, since_ms)?;
            report.decision = report.decision.or(Some(decision));
        }
        if complete {
            scans::count_missing_scan(&tx, library_id, grace_scans)?;
        }
        // One that an earlier scan asked is asked again, until somebody answers (L8).
        report.decision = report.decision.or(decisions::first_open(&tx, library_id)?);
        if report.whole {
            replaced::forget(&tx, library_id)?;
            problems::settle(&tx, library_id, self.scan_id, &report.frozen_dirs)?;
        }
        // The last look before anything negative is kept (D3).
        if let Err(probe) = self.root.recheck() {
            self.report.ending = Ending::RootLost(probe);
            return Ok(());
        }
        tx.commit().map_err(CatalogError::from)?;
        self.report = report;
        Ok(())
    }

    /// Writes the scan's end down.
    pub(super) fn end(&mut self, report: &Report) -> Result<(), CatalogError> {
        let outcome = match &report.ending {
            Ending::Complete if report.whole && !self.options.dry_run => ScanOutcome::Complete,
            Ending::Complete | Ending::Partial => ScanOutcome::Partial,
            Ending::Interrupted => ScanOutcome::Interrupted,
            Ending::RootLost(_) => ScanOutcome::RootLost,
        };
        let summary = json!({
            "files_seen": report.files_seen, "unchanged": report.unchanged, "new": report.new,
            "modified": report.modified, "touched": report.touched, "moved": report.moved, "missing": report.missing,
            "restored": report.restored, "hashed_files": report.hashed_files, "hashed_bytes": report.hashed_bytes,
            "problems": report.problems.len(), "dry_run": self.options.dry_run,
            "time_shift_min": report.time_shift_min,
        });
        let (now_ms, scan_id) = (self.clock.now_ms(), self.scan_id);
        self.catalog.change(|tx| scans::end(tx, scan_id, outcome, &summary.to_string(), now_ms))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // After an error, too, the next who writes gets what he expects. Where even this fails, nobody will write.
        let _ = self.catalog.set_care(Care::Full);
    }
}

/// What turned out to have been moved was counted as something else.
fn correct(report: &mut Report, tally: Tally) {
    report.moved += tally.moved;
    // One that an earlier, interrupted scan saw first was counted there.
    report.modified = report.modified.saturating_sub(tally.modified);
    report.new = (report.new + tally.new_in_place).saturating_sub(tally.new);
}

fn limits(conn: &Connection) -> Result<Limits, CatalogError> {
    let number = |setting| settings::integer(conn, setting).map(i64::cast_unsigned);
    Ok(Limits {
        missing_count: number(&setting::GUARD_MISSING_COUNT)?,
        missing_percent: number(&setting::GUARD_MISSING_PERCENT)?,
        changed_count: number(&setting::GUARD_CHANGED_COUNT)?,
        changed_percent: number(&setting::GUARD_CHANGED_PERCENT)?,
    })
}

struct Context<'a> {
    recording: Recording<'a>,
    newcomers: &'a mut Newcomers,
    library_id: i64,
    report: &'a mut Report,
    frozen: &'a mut BTreeSet<RelPath>,
    gone: &'a mut Vec<RelPath>,
    appeared: &'a mut Vec<Side>,
    replaced: &'a mut Vec<Side>,
    back: &'a mut HashSet<i64>,
    dir_inodes: &'a mut Vec<(i64, u64)>,
    /// Whether the library has problems at all: where it has none, none is solved by a file that can be read.
    troubled: &'a mut bool,
    dry_run: bool,
}

impl Context<'_> {
    fn count(&mut self, recorded: Recorded) {
        match recorded {
            Recorded::New => self.report.new += 1,
            Recorded::Modified => self.report.modified += 1,
            Recorded::Touched => self.report.touched += 1,
            Recorded::Restored => self.report.restored += 1,
            Recorded::Unread => {}
        }
    }

    /// Remembers what a look could be a side of.
    fn foresee_move(&mut self, recorded: Recorded, look: &Look, place: &Place) {
        if let Some(known) = &look.known
            && known.presence == Presence::Missing
        {
            self.back.insert(known.file_id);
        }
        let known = match (recorded, &look.known) {
            (Recorded::New, None) => None,
            (Recorded::Modified, Some(known)) => Some(known),
            _ => return,
        };
        let now = Side {
            file_id: known.map_or(0, |known| known.file_id),
            path: place.path.join(&look.name),
            stat: look.stat,
            content_hash: look.content_hash,
            link_target: look.link_target.clone(),
            scan: self.recording.scan_id,
            in_place: known.is_some(),
            missing: false,
            // As modified where a link stood, which had no content to lose.
            counted: known.is_none_or(|known| known.content_hash.is_none()),
        };
        if let Some(known) = known {
            // Where a link pointed is not known here: it is told as modified.
            let before =
                Side { stat: known.stat, content_hash: known.content_hash, link_target: None, ..now.clone() };
            self.replaced.push(before);
        }
        self.appeared.push(now);
    }
}

/// Counts what a record says; only the temporary table of candidates is written, which no other connection sees.
fn foresee_one(tx: &Connection, context: &mut Context<'_>, record: Record) -> Result<(), CatalogError> {
    match record {
        Record::Frozen { problem, .. } => {
            context.frozen.insert(problem.path.clone());
            context.report.problems.push(problem);
        }
        Record::GoneDir { dir } => {
            for below in dirs::ids_in_subtree(tx, context.library_id, &dir.path)? {
                scans::add_candidates_of_dir(tx, below)?;
            }
        }
        Record::Look { look, place } => {
            let recorded = files::classify(&look);
            context.count(recorded);
            context.foresee_move(recorded, &look, &place);
        }
        Record::Shifted { .. } => context.count(Recorded::Touched),
        Record::Candidate { file_id } => scans::add_candidate(tx, file_id)?,
        Record::Problem { problem, .. } => context.report.problems.push(problem),
        Record::NewDir { .. }
        | Record::Listed { .. }
        | Record::Unseen { .. }
        | Record::UnseenDir { .. }
        | Record::DirInode { .. }
        | Record::ExcludeDir { .. }
        | Record::Exclude { .. } => {}
    }
    Ok(())
}

fn write_one(tx: &Connection, context: &mut Context<'_>, record: Record) -> Result<(), CatalogError> {
    if context.dry_run {
        return foresee_one(tx, context, record);
    }
    if !matches!(record, Record::Look { .. } | Record::NewDir { .. } | Record::DirInode { .. }) {
        // What is written directory by directory is to find the files that were seen before it.
        context.newcomers.flush(tx, &mut context.recording)?;
    }
    let (library_id, scan_id, now_ms) =
        (context.library_id, context.recording.scan_id, context.recording.now_ms);
    match record {
        Record::NewDir { dir_id, parent_id, path } => {
            dirs::insert(tx, dir_id, library_id, Some(parent_id), &path)?;
        }
        Record::Listed { dir_id } => dirs::set_state(tx, dir_id, DirState::Listed, now_ms)?,
        Record::Frozen { dir_id, problem, listed } => {
            dirs::set_state(tx, dir_id, DirState::Frozen, now_ms)?;
            if !listed {
                set_unknown_below(tx, library_id, &problem.path, problem.kind, now_ms)?;
            }
            *context.troubled = true;
            problems::record(tx, library_id, None, &problem, scan_id, now_ms)?;
            context.frozen.insert(problem.path.clone());
            context.report.problems.push(problem);
        }
        Record::Unseen { file_id, kind } => files::set_unknown(tx, file_id, kind.as_str(), now_ms)?,
        Record::UnseenDir { path, kind } => set_unknown_below(tx, library_id, &path, kind, now_ms)?,
        Record::DirInode { dir_id, inode } => context.dir_inodes.push((dir_id, inode)),
        Record::GoneDir { dir } => {
            for below in dirs::ids_in_subtree(tx, library_id, &dir.path)? {
                scans::add_candidates_of_dir(tx, below)?;
            }
            context.gone.push(dir.path);
        }
        Record::ExcludeDir { dir } => {
            for below in dirs::ids_in_subtree(tx, library_id, &dir.path)? {
                let from = [Presence::Present, Presence::Unknown];
                files::set_presence_in_dir(
                    tx,
                    below,
                    &from,
                    Presence::Excluded,
                    "left out by a rule",
                    now_ms,
                )?;
            }
            dirs::set_excluded(tx, library_id, &dir, now_ms)?;
        }
        Record::Look { look, place } => {
            if *context.troubled && (look.content_hash.is_some() || look.link_target.is_some()) {
                problems::resolve(tx, library_id, &place.path.join(&look.name))?;
            }
            let recorded = context.newcomers.record(tx, &mut context.recording, *look)?;
            context.count(recorded);
        }
        Record::Shifted { file } => {
            let stamps = (file.mtime_ns, file.ctime_ns, file.inode);
            files::shift(tx, file.file_id, stamps, &shift::evidence(file.quarters), now_ms)?;
            context.count(Recorded::Touched);
        }
        Record::Exclude { file_id } => {
            files::exclude(tx, file_id, now_ms)?;
        }
        Record::Candidate { file_id } => scans::add_candidate(tx, file_id)?,
        Record::Problem { problem, file_id } => {
            *context.troubled = true;
            problems::record(tx, library_id, file_id, &problem, scan_id, now_ms)?;
            context.report.problems.push(problem);
        }
    }
    Ok(())
}

/// Nobody could look at what is in a directory and below it: what stood there as present is unknown.
fn set_unknown_below(
    tx: &Connection,
    library_id: i64,
    path: &RelPath,
    kind: ProblemKind,
    now_ms: i64,
) -> Result<(), CatalogError> {
    for below in dirs::ids_in_subtree(tx, library_id, path)? {
        files::set_presence_in_dir(
            tx,
            below,
            &[Presence::Present],
            Presence::Unknown,
            kind.as_str(),
            now_ms,
        )?;
    }
    Ok(())
}
