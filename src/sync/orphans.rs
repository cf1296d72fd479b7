//! Deletes what was replaced, by its id, after its grace, on a person's word.
//!
//! What a person took back, or a rule about privacy, is deleted at once instead: without grace, without a brake, by every
//! sync (decision 30). It stands in line from the moment of the word; how it is carried out is the same.
//!
//! Names that say their content can be shared: an orphan whose bytes another document needs loses its row, not the bytes.

use super::channel::{enter, note_offline};
use super::connectivity::Heard;
use super::devices::{self, Kept};
use super::line::What;
use super::push::{PushReport, Run, With};
use super::{Away, Offline, SyncError};
use crate::catalog::ledger::{self, RemoteObject};
use crate::catalog::outbox;
use crate::catalog::{Catalog, CatalogError, Ids, Sender, settings, stores};
use crate::clock::Clock;
use crate::model::setting;
use crate::monitor::Monitor;
use crate::power::point;

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
    /// Stores that other devices keep objects in.
    pub kept: Vec<Kept>,
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
    sender: &Sender,
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
        if options.dry_run || due.is_empty() {
            report.due.extend(due);
            continue;
        }
        let entered = match enter(catalog, &row, clock)? {
            Ok(store) if options.force => Ok((store, Some(Vec::new()))),
            Ok(store) => devices::others_as_told(catalog, &store, now_ms)?
                .map(|others| (store, others))
                .map_err(|error| (Heard::BrokeOff, Away::Store(error))),
            Err(away) => Err(away),
        };
        if let Ok((_, others)) = &entered
            && others.as_ref().is_none_or(|others| !others.is_empty())
        {
            report.kept.push(Kept { store: row.name, orphans: n, devices: others.clone() });
            continue;
        }
        // Also where the store is away: the next sync looks once more whether another device keeps objects there.
        catalog.change::<_, CatalogError>(|tx| {
            let mut ids = Ids::default();
            due.iter().try_for_each(|object| outbox::enqueue_delete(tx, &mut ids, object.object_id, now_ms))
        })?;
        point("clean-queued");
        report.due.extend(due);
        let trouble = match entered {
            Ok((store, _)) => {
                let mut pushed = PushReport::default();
                let mut turn = Run::begin(
                    catalog,
                    &row,
                    &store,
                    With { sender, here: &[], clock, monitor },
                    &mut pushed,
                )?;
                let drained = turn.drain(What::Deletions)?;
                report.deleted += pushed.deleted_objects;
                drained.err().map(|error| (Heard::BrokeOff, Away::Store(error)))
            }
            Err(away) => Some(away),
        };
        if let Some((heard, error)) = trouble {
            report.offline.push(note_offline(catalog, &row, heard, error, clock)?);
        }
    }
    sender.rest(catalog)?;
    Ok(report)
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
