//! Settings that belong to the catalogue (L14).

use rusqlite::{Connection, OptionalExtension, params};

use super::Result;
use crate::model::setting::{Setting, SettingKind};

/// The value of a setting: what was set, else its default.
///
/// # Errors
/// SQLite's.
pub fn get(conn: &Connection, setting: &Setting) -> Result<(String, Option<i64>)> {
    let found = conn
        .prepare_cached("SELECT value, updated_at FROM settings WHERE key = ?1")?
        .query_row([setting.key], |row| Ok((row.get(0)?, Some(row.get(1)?))))
        .optional()?;
    Ok(found.unwrap_or_else(|| (setting.default.to_owned(), None)))
}

/// The value of a numeric setting. One that is out of range (an edit by hand) counts as its default.
///
/// # Errors
/// SQLite's.
pub fn integer(conn: &Connection, setting: &Setting) -> Result<i64> {
    let (value, _) = get(conn, setting)?;
    debug_assert!(matches!(setting.kind, SettingKind::Integer(..)), "{} is a number", setting.key);
    let value = if setting.check(&value).is_ok() { value } else { setting.default.to_owned() };
    Ok(value.trim().parse().expect("checked just above, and every default is checked by a test"))
}

/// Sets a value that [`Setting::check`] accepted.
///
/// # Errors
/// SQLite's.
pub fn set(conn: &Connection, setting: &Setting, value: &str, now_ms: i64) -> Result<()> {
    note(conn, &setting.key, value, now_ms)
}

/// What a run wrote down for itself under a key that is no setting, to compare with at the next.
///
/// # Errors
/// SQLite's.
pub(super) fn noted(conn: &Connection, key: &str) -> Result<Option<String>> {
    Ok(conn
        .prepare_cached("SELECT value FROM settings WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()?)
}

/// Writes such a note down.
///
/// # Errors
/// SQLite's.
pub(super) fn note(conn: &Connection, key: &str, value: &str, now_ms: i64) -> Result<()> {
    conn.execute(
        "INSERT INTO settings (key, value, updated_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        params![key, value, now_ms],
    )?;
    Ok(())
}

/// Back to the default.
///
/// # Errors
/// SQLite's.
pub fn unset(conn: &Connection, setting: &Setting) -> Result<()> {
    conn.execute("DELETE FROM settings WHERE key = ?1", [setting.key])?;
    Ok(())
}
