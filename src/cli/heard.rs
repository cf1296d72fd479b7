//! What questions to stores say of the way there: kept as what is sent is, and told in the same words.

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::plural;
use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, queue};
use crate::clock::Clock;
use crate::remote::{AwayReason, StoreError};
use crate::sync::{code, connectivity};

/// Keeps what the answer says of the way to the store. A question is answered also where that cannot be kept.
pub(super) fn keep<T>(
    context: &Context,
    catalog: &mut Catalog,
    row: &StoreRow,
    answer: &Result<T, StoreError>,
) -> Result<(), Failure> {
    match connectivity::overhear(catalog, row, answer, context.clock.now_ms()) {
        Err(error) if error.is_for_want_of_writing() => {
            tracing::warn!(%error, "it is not remembered whether the store answered");
            Ok(())
        }
        kept => Ok(kept?),
    }
}

/// How a command ends whose question a store could not be asked.
pub(super) fn exit_of(error: &StoreError) -> Exit {
    match error {
        StoreError::Credentials { .. }
        | StoreError::Denied { .. }
        | StoreError::Away { reason: AwayReason::Untrusted, .. } => Exit::Failed,
        _ => Exit::Offline,
    }
}

/// SHELF-SYNC-001 where the store is away.
pub(super) fn code_of(exit: Exit) -> Option<&'static str> {
    (exit == Exit::Offline).then_some(code::CONNECTION)
}

/// Changes that the store was not given yet.
pub(super) fn unsent(context: &Context, catalog: &Catalog, row: &StoreRow) -> Result<u64, Failure> {
    let waiting = queue::standing(catalog.read(), Some(row.store_id), context.clock.now_ms())?;
    Ok(waiting.pending + waiting.leased)
}

/// That it is offline, and what waits for it.
pub(super) fn offline(row: &StoreRow, unsent: u64) -> String {
    let queued = match unsent {
        0 => "offline".to_owned(),
        _ => format!("queued, offline: {} for it", plural(unsent, "change waits", "changes wait")),
    };
    format!("{}: {queued} ({})", row.name, code::CONNECTION)
}
