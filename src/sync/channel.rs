//! The way to a store: opening it, making sure that it is the one our ledger is about, writing down what came of it.

use std::path::Path;

use super::connectivity::{self, Connectivity, Heard};
use super::{Away, Offline, SyncError, devices};
use crate::catalog::stores::{self, StoreRow};
use crate::catalog::{Catalog, CatalogError, Connection, Ids, ledger, outbox};
use crate::clock::Clock;
use crate::remote::{self, Access, Opened, StoreUrl};

/// What will be forgotten within this time is given anew now, in milliseconds: the next run may be days away.
pub(super) const REFRESH_MS: i64 = 3 * 24 * 60 * 60 * 1_000;

/// Opens a store and makes sure that it is the one our ledger is about (T7).
pub(super) fn open_known(
    catalog: &mut Catalog,
    row: &StoreRow,
    clock: &dyn Clock,
) -> Result<Result<Opened, Away>, SyncError> {
    let url = StoreUrl::parse(&row.url, Path::new("/"))
        .map_err(|source| SyncError::Url { store: row.name.clone(), source })?;
    let access = Access::known(row.password_command.as_deref(), row.found);
    let opened = remote::open(&url, &access, clock.now()).and_then(|store| Ok((store.identity()?, store)));
    let (identity, store) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error.into())),
    };
    let Some(identity) = identity else { return Ok(Err(Away::NotAStore)) };
    if identity.store != row.remote_store {
        return Ok(Err(Away::OtherStore { expected: row.remote_store.clone(), found: identity.store }));
    }
    let now_ms = clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        if identity.generation != row.generation {
            stores::refill(tx, &mut Ids::default(), row.store_id, &identity.generation, now_ms)?;
        }
        put_in_line_anew(tx, row, &store, now_ms)?;
        // One that answers and takes nothing is as it was until something gets through: or it would be called as often as it
        // answers, and nobody would be told why nothing gets there.
        if !Connectivity::of(row).is_broken() {
            connectivity::note(tx, row, Heard::Answer, None, now_ms)?;
        }
        Ok(())
    })?;
    Ok(Ok(store))
}

/// Opens a store to send to it: as [`open_known`], and it knows that this device does. What is away is told from what answers
/// and does not let us in, or not write.
pub(super) fn enter(
    catalog: &mut Catalog,
    row: &StoreRow,
    clock: &dyn Clock,
) -> Result<Result<Opened, (Heard, Away)>, SyncError> {
    let store = match open_known(catalog, row, clock)? {
        Ok(store) => store,
        Err(away) => return Ok(Err((Heard::at_the_door(&away), away))),
    };
    let registered = devices::register(catalog, row.store_id, &store, clock.now_ms())?;
    Ok(registered.map(|()| store).map_err(|error| (Heard::BrokeOff, Away::Store(error))))
}

/// What a store has and has to be given again: what it will soon forget, and what it was given in another manner.
pub(super) fn put_in_line_anew(
    conn: &Connection,
    row: &StoreRow,
    store: &Opened,
    now_ms: i64,
) -> Result<(), CatalogError> {
    let Opened::Index(index) = store else { return Ok(()) };
    let mut documents = ledger::expiring(conn, row.store_id, REFRESH_MS, now_ms)?;
    if let Some(manner) = index.manner() {
        documents.extend(ledger::of_other_manner(conn, row.store_id, &manner)?);
    }
    let mut ids = Ids::default();
    for document_id in documents {
        outbox::enqueue_mirror_for(conn, &mut ids, row.store_id, document_id, now_ms)?;
    }
    Ok(())
}

/// Nothing gets through, or not to the end. What a store asked for is kept.
pub(super) fn note_offline(
    catalog: &mut Catalog,
    row: &StoreRow,
    heard: Heard,
    error: Away,
    clock: &dyn Clock,
) -> Result<Offline, CatalogError> {
    let now_ms = clock.now_ms();
    // A store that says when to come back is not called before (S6). Otherwise the next run tries again: whoever runs a sync
    // has just plugged in a disk or found a network.
    let asked = match &error {
        Away::Store(error) => error.retry_after(),
        _ => None,
    };
    let not_before =
        asked.map_or(0, |asked| now_ms.saturating_add(i64::try_from(asked.as_millis()).unwrap_or(i64::MAX)));
    catalog.change(|tx| {
        connectivity::note(tx, row, heard, Some(&chain(&error)), now_ms)?;
        stores::set_not_before(tx, row.store_id, not_before)
    })?;
    Ok(Offline { store: row.name.clone(), url: row.url.clone(), code: heard.code(), error })
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
