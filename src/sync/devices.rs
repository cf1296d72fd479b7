//! Which devices keep objects in a store, so that none of them deletes what another needs.
//!
//! Where we name objects, their names say their content, and two devices that send the same file share one object: the orphan of
//! one may be the only copy of the other. No ledger knows of the other's, so each device leaves its number in the store
//! (`devices/ULID`), and while there is another the clean-up deletes nothing without a person's word, and a check adopts
//! nothing. What is taken back is deleted all the same: that a document may not be there is said of its content.
//!
//! An index names an object for each document, and nobody else's are touched by its clean-up.

use ulid::Ulid;

use super::{Away, SyncError};
use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, CatalogError, device};
use crate::remote::{ErrorClass, Expect, ObjectKey, Opened, Store, StoreError};

/// Where the numbers stand.
const PLACE: &str = "devices/";

fn key_of(device: Ulid) -> ObjectKey {
    format!("{PLACE}{}", device.to_string().to_lowercase())
        .parse()
        .expect("a ULID is made of digits and letters")
}

/// Whether a key is a device's number, and no object.
pub(super) fn is_number(key: &ObjectKey) -> bool {
    key.as_str().starts_with(PLACE)
}

/// Tells a store that this device keeps objects there, where it was not told before.
///
/// # Errors
/// The catalogue's; the inner one is the store's.
pub fn register(
    catalog: &mut Catalog,
    store_id: i64,
    opened: &Opened,
    now_ms: i64,
) -> Result<Result<(), StoreError>, CatalogError> {
    let Opened::Objects(store) = opened else { return Ok(Ok(())) };
    if device::is_registered(catalog.read(), store_id)? {
        return Ok(Ok(()));
    }
    let device = catalog.change::<_, CatalogError>(|tx| device::of(tx, now_ms))?;
    let text = format!("{device}\n");
    match store.put_if_absent(&key_of(device), &mut text.as_bytes(), &Expect::of(text.as_bytes())) {
        Ok(_) => catalog.change::<_, CatalogError>(|tx| device::set_registered(tx, store_id, device)).map(Ok),
        Err(error) if error.class() == ErrorClass::Channel => Ok(Err(error)),
        // A store that takes objects and not this one: sending them is worth more.
        Err(error) => {
            tracing::warn!(store = store.describe(), %error, "cannot say there that this device uses it");
            Ok(Ok(()))
        }
    }
}

/// All devices that keep objects in a store.
///
/// # Errors
/// The store's trouble.
pub fn all(store: &dyn Store) -> Result<Vec<Ulid>, StoreError> {
    let mut devices = Vec::new();
    for item in store.list(PLACE)? {
        let key = item?.key;
        if let Ok(device) = Ulid::from_string(&key.split().1.to_uppercase()) {
            devices.push(device);
        }
    }
    Ok(devices)
}

/// Those of them that are not this one.
///
/// # Errors
/// The catalogue's; the inner one is the store's.
pub fn others(
    catalog: &mut Catalog,
    opened: &Opened,
    now_ms: i64,
) -> Result<Result<Vec<Ulid>, StoreError>, CatalogError> {
    let Opened::Objects(store) = opened else { return Ok(Ok(Vec::new())) };
    let own = catalog.change::<_, CatalogError>(|tx| device::of(tx, now_ms))?;
    Ok(all(&**store).map(|mut devices| {
        devices.retain(|device| *device != own);
        devices
    }))
}

/// The same, where something is to be deleted: `None` where the store does not let us list, so that nothing is known of them.
/// That is no trouble of the way, and holds up nothing that is to be sent.
pub(super) fn others_as_told(
    catalog: &mut Catalog,
    opened: &Opened,
    now_ms: i64,
) -> Result<Result<Option<Vec<Ulid>>, StoreError>, CatalogError> {
    Ok(match others(catalog, opened, now_ms)? {
        Err(StoreError::Denied { .. }) => Ok(None),
        others => others.map(Some),
    })
}

/// Orphans that are not deleted, because other devices may need them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// In which store.
    pub store: String,
    /// How many.
    pub orphans: u64,
    /// Who else keeps objects there; `None` where the store does not let us ask.
    pub devices: Option<Vec<Ulid>>,
}

/// What a person was told about a store's devices.
#[derive(Debug)]
pub struct Devices {
    /// This one.
    pub own: Ulid,
    /// All that keep objects there, this one among them where it was told of.
    pub all: Vec<Ulid>,
}

/// Looks which devices keep objects in a store, and forgets one where a person says that it is no more.
///
/// # Errors
/// See [`SyncError`]; the inner error says why the store cannot be asked.
pub fn look(
    catalog: &mut Catalog,
    row: &StoreRow,
    forget: Option<Ulid>,
    clock: &dyn crate::clock::Clock,
) -> Result<Result<Devices, Away>, SyncError> {
    let opened = match super::channel::open_known(catalog, row, clock)? {
        Ok(opened) => opened,
        Err(away) => return Ok(Err(away)),
    };
    let own = catalog.change::<_, CatalogError>(|tx| device::of(tx, clock.now_ms()))?;
    let Opened::Objects(store) = &opened else { return Ok(Ok(Devices { own, all: Vec::new() })) };
    if forget == Some(own) {
        // Whoever sends there again is known again: before, or a crash in between would leave it unknown for good.
        catalog.change::<_, CatalogError>(|tx| device::unset_registered(tx, row.store_id))?;
    }
    let looked = match forget {
        Some(device) => store.delete(&key_of(device)).and_then(|_| all(&**store)),
        None => all(&**store),
    };
    Ok(looked.map(|all| Devices { own, all }).map_err(Away::Store))
}
