//! What was measured of the volumes that carry libraries. What it means is the volume room's.

use rusqlite::{Connection, OptionalExtension, params};

use super::Result;

/// A volume's profile as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptProfile {
    /// Which volume was measured.
    pub volume: String,
    /// What was found, as JSON.
    pub profile: String,
    /// When it was last measured or corrected, in milliseconds.
    pub measured_at: i64,
}

/// The profile of the volume that carries a library; `None` where none was measured yet.
///
/// # Errors
/// SQLite's.
pub fn get(conn: &Connection, library_id: i64) -> Result<Option<KeptProfile>> {
    Ok(conn
        .query_row(
            "SELECT volume, profile, measured_at FROM volume_profiles WHERE library_id = ?1",
            [library_id],
            |row| Ok(KeptProfile { volume: row.get(0)?, profile: row.get(1)?, measured_at: row.get(2)? }),
        )
        .optional()?)
}

/// Keeps a profile in place of the one before.
///
/// # Errors
/// SQLite's.
pub fn put(conn: &Connection, library_id: i64, volume: &str, profile: &str, now_ms: i64) -> Result<()> {
    conn.execute(
        "INSERT INTO volume_profiles (library_id, volume, profile, measured_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (library_id) DO UPDATE SET volume = excluded.volume, profile = excluded.profile,
                                                measured_at = excluded.measured_at",
        params![library_id, volume, profile, now_ms],
    )?;
    Ok(())
}

/// Forgets a profile: another disk carries the library now.
///
/// # Errors
/// SQLite's.
pub fn forget(conn: &Connection, library_id: i64) -> Result<()> {
    conn.execute("DELETE FROM volume_profiles WHERE library_id = ?1", [library_id])?;
    Ok(())
}
