//! Who this installation is to others that keep objects in the same stores.

use rusqlite::{Connection, OptionalExtension, params};
use ulid::Ulid;

use super::{Ids, Result};

/// This device's own number: made when it is asked for first, and kept. A catalogue that is copied is the same device.
///
/// # Errors
/// SQLite's.
pub fn of(conn: &Connection, now_ms: i64) -> Result<Ulid> {
    let known: Option<String> =
        conn.prepare_cached("SELECT device_id FROM device")?.query_row([], |row| row.get(0)).optional()?;
    if let Some(known) = known.and_then(|known| Ulid::from_string(&known).ok()) {
        return Ok(known);
    }
    let device = Ids::default().next(now_ms);
    conn.execute("INSERT INTO device (device_id) VALUES (?1)", [device.to_string()])?;
    Ok(device)
}

/// Whether a store, in its present life, was told that this device keeps objects there.
///
/// # Errors
/// SQLite's.
pub fn is_registered(conn: &Connection, store_id: i64) -> Result<bool> {
    Ok(conn
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM stores JOIN device USING (device_id) WHERE store_id = ?1)",
        )?
        .query_row([store_id], |row| row.get(0))?)
}

/// A store will be told again by whoever sends to it next.
///
/// # Errors
/// SQLite's.
pub fn unset_registered(conn: &Connection, store_id: i64) -> Result<()> {
    conn.execute("UPDATE stores SET device_id = NULL WHERE store_id = ?1", [store_id])?;
    Ok(())
}

/// A store was told.
///
/// # Errors
/// SQLite's.
pub fn set_registered(conn: &Connection, store_id: i64, device: Ulid) -> Result<()> {
    conn.execute(
        "UPDATE stores SET device_id = ?2 WHERE store_id = ?1",
        params![store_id, device.to_string()],
    )?;
    Ok(())
}
