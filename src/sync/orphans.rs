//! Deletes what was replaced, by its id, after its grace, on a person's word.
//!
//! What a person took back, or a rule about privacy, is deleted at once instead: without grace, without a brake, by every
//! sync (decision 30). It stands in line from the moment of the word; what is carried out here is the same.
//!
//! Names that say their content can be shared: an orphan whose bytes another document needs loses its row, not the bytes.

use super::push::{PushReport, Run, open_known};
use super::{Away, Offline, SyncError};
use crate::catalog::ledger::{self, RemoteObject};
use crate::catalog::outbox::{self, Ending, Leased};
use crate::catalog::{Catalog, CatalogError, Ids, RunLock, settings, stores};
use crate::clock::Clock;
use crate::model::{ObjectState, setting};
use crate::monitor::Monitor;
use crate::power::point;
use crate::remote::{ErrorClass, ObjectKey, StoreError};

/// A clean-up of up to this many orphans is never braked: it would stop every small library.
const SMALL: u64 = 20;
/// More than this many at once want `--force`.
const LARGE: u64 = 1_000;
/// More than this share of a store's objects, in per cent, wants `--force`.
const SHARE_PERCENT: u64 = 5;

/// What a clean-up is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct CleanOptions {
    /// Say what would be deleted.
    pub dry_run: bool,
    /// Go over the brake.
    pub force: bool,
}

/// What a clean-up did.
#[derive(Debug, Default)]
pub struct CleanReport {
    /// Orphans whose grace is over: deleted now, or in line for it where the store is away.
    pub due: Vec<RemoteObject>,
    /// Orphans that are kept for now.
    pub in_grace: u64,
    /// Of the due ones, really gone.
    pub deleted: u64,
    /// Stores where the brake held: name, orphans due, objects in all.
    pub braked: Vec<(String, u64, u64)>,
    /// Stores that could not be reached.
    pub offline: Vec<Offline>,
}

/// Whether so many deletions from a store of so many objects want a second word.
#[must_use]
pub fn brake(due: u64, live: u64) -> bool {
    due > LARGE || (due > SMALL && due * 100 > (live + due) * SHARE_PERCENT)
}

/// Deletes the orphans whose grace is over.
///
/// # Errors
/// See [`SyncError`].
pub fn clean(
    catalog: &mut Catalog,
    _lock: &RunLock,
    options: CleanOptions,
    clock: &dyn Clock,
    monitor: &dyn Monitor,
) -> Result<CleanReport, SyncError> {
    let now_ms = clock.now_ms();
    let grace_days = settings::integer(catalog.read(), &setting::ORPHAN_GRACE_DAYS)?;
    let mut report = CleanReport::default();
    for row in stores::all(catalog.read())? {
        // What was taken back is no matter of grace or brake: it is in line, and every sync deletes it.
        let recalled = ledger::recalled(catalog.read(), Some(row.store_id))?;
        let orphans = |before_ms| -> Result<Vec<RemoteObject>, CatalogError> {
            let mut orphans = ledger::orphans(catalog.read(), Some(row.store_id), before_ms)?;
            orphans.retain(|orphan| !recalled.contains_key(&orphan.object_id));
            Ok(orphans)
        };
        let all = orphans(i64::MAX)?.len() as u64;
        let due = orphans(now_ms - grace_days * 24 * 60 * 60 * 1_000)?;
        let live = ledger::count_live(catalog.read(), row.store_id)?;
        report.in_grace += all - due.len() as u64;
        let n = due.len() as u64;
        if brake(n, live) && !options.force {
            report.braked.push((row.name, n, live + n));
            continue;
        }
        if !options.dry_run && !due.is_empty() {
            let mut ids = Ids::default();
            catalog.change::<_, CatalogError>(|tx| {
                outbox::recover(tx, now_ms)?;
                for object in &due {
                    outbox::enqueue_delete(tx, &mut ids, object.object_id, now_ms)?;
                }
                Ok(())
            })?;
            point("clean-queued");
        }
        report.due.extend(due);
        if options.dry_run || n == 0 {
            continue;
        }
        let error = match open_known(catalog, &row, clock)? {
            Ok(store) => {
                let mut pushed = PushReport::default();
                let mut run = Run {
                    catalog,
                    row: &row,
                    store: &*store,
                    here: &[],
                    clock,
                    monitor,
                    ids: Ids::default(),
                    report: &mut pushed,
                };
                loop {
                    let leased = run.lease("delete", now_ms)?;
                    if leased.is_empty() || monitor.cancelled() {
                        run.release(&leased)?;
                        break None;
                    }
                    match delete_all(&mut run, leased)? {
                        Ok(deleted) => report.deleted += deleted,
                        Err(error) => break Some(Away::Store(error)),
                    }
                }
            }
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            report.offline.push(Offline { store: row.name, url: row.url, error });
        }
    }
    Ok(report)
}

/// Carries out leased deletions. The inner error is the channel's. Returns how many objects are gone.
pub(super) fn delete_all(run: &mut Run<'_>, ops: Vec<Leased>) -> Result<Result<u64, StoreError>, SyncError> {
    let mut ops = ops.into_iter();
    let mut deleted = 0;
    while let Some(op) = ops.next() {
        match delete_one(run, &op)? {
            Ok(gone) => deleted += u64::from(gone),
            Err(error) => {
                run.release(&[op])?;
                let rest: Vec<Leased> = ops.collect();
                run.release(&rest)?;
                return Ok(Err(error));
            }
        }
    }
    Ok(Ok(deleted))
}

fn delete_one(run: &mut Run<'_>, op: &Leased) -> Result<Result<bool, StoreError>, SyncError> {
    let now_ms = run.clock.now_ms();
    let object = match op.object_id {
        Some(object_id) => ledger::by_id(run.catalog.read(), object_id)?,
        None => None,
    };
    // Wanted again since it was put in line: nothing is deleted.
    let Some(object) = object.filter(|object| object.state == ObjectState::Orphaned) else {
        run.catalog.change(|tx| outbox::end(tx, op, Ending::Done { note: Some("wanted again") }, now_ms))?;
        return Ok(Ok(false));
    };
    let shared = ledger::is_shared(run.catalog.read(), &object)?;
    let key: ObjectKey = object.remote_id.parse().expect("the ledger holds only names we made");
    if !shared && let Err(error) = run.store.delete(&key) {
        return match error.class() {
            ErrorClass::Channel => Ok(Err(error)),
            ErrorClass::Verdict | ErrorClass::Source => {
                let ending = Ending::Refused {
                    text: &error.to_string(),
                    code: super::code::REFUSED,
                    not_before: now_ms,
                    limit: 1,
                };
                run.catalog.change(|tx| outbox::end(tx, op, ending, now_ms))?;
                Ok(Ok(false))
            }
        };
    }
    point("clean-deleted");
    let recalled = run.catalog.change::<_, CatalogError>(|tx| {
        let recalled = ledger::is_recalled(tx, object.object_id)?;
        if shared {
            ledger::note_shared(tx, object.object_id)?;
        }
        ledger::advance(tx, object.object_id, ObjectState::Deleted, now_ms)?;
        outbox::end(
            tx,
            op,
            Ending::Done { note: shared.then_some("its bytes are another document's, too") },
            now_ms,
        )?;
        Ok(recalled)
    })?;
    run.report.recalled_objects += u64::from(recalled);
    Ok(Ok(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // S2
    #[rstest]
    #[case(20, 0, false)]
    #[case(21, 100, true)]
    #[case(21, 1_000, false)]
    #[case(1_000, 1_000_000, false)]
    #[case(1_001, 1_000_000, true)]
    fn a_large_clean_up_wants_a_second_word(#[case] due: u64, #[case] live: u64, #[case] braked: bool) {
        assert_eq!(brake(due, live), braked);
    }
}
