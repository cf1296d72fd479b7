//! Settings that belong to the catalogue (L14).

use rusqlite::{Connection, OptionalExtension, params};

use super::Result;
use crate::model::setting::{self, CommandPart, Setting, SettingKind};

/// The value of a setting: what was set, else its default.
///
/// # Errors
/// SQLite's.
pub fn get(conn: &Connection, setting: &Setting) -> Result<(String, Option<i64>)> {
    let found = conn
        .prepare_cached("SELECT value, updated_at FROM settings WHERE key = ?1")?
        .query_row([&setting.key], |row| Ok((row.get(0)?, Some(row.get(1)?))))
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

/// The value of a setting that is a number from 0 to 1. One that is none (an edit by hand) counts as its default.
///
/// # Errors
/// SQLite's.
pub fn share(conn: &Connection, setting: &Setting) -> Result<f64> {
    let (value, _) = get(conn, setting)?;
    debug_assert_eq!(setting.kind, SettingKind::Share, "{} is a share", setting.key);
    let value = if setting.check(&value).is_ok() { value } else { setting.default.to_owned() };
    Ok(value.trim().parse().expect("checked just above, and every default is checked by a test"))
}

/// An enrichment command as its user has set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrichCommand {
    /// Its name.
    pub name: String,
    /// Its command line.
    pub line: String,
    /// How long an answer may take.
    pub timeout_ms: u64,
    /// Which kinds it is asked about, as it was typed; empty where nothing was said.
    pub kinds: String,
    /// Which version of it this is, as its user says.
    pub version: String,
}

/// Every key under which something of an enrichment command was set, in order.
///
/// # Errors
/// SQLite's.
pub fn command_keys(conn: &Connection) -> Result<Vec<String>> {
    // What begins with the prefix lies between it and the prefix with its dot raised by one.
    let mut statement = conn.prepare_cached(
        "SELECT key FROM settings WHERE key > 'enrich.command.' AND key < 'enrich.command/' ORDER BY key",
    )?;
    let rows = statement.query_map([], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The enrichment commands, by name.
///
/// # Errors
/// SQLite's.
pub fn commands(conn: &Connection) -> Result<Vec<EnrichCommand>> {
    let mut commands = Vec::new();
    for key in command_keys(conn)? {
        let Some((name, None)) = setting::command_of(&key) else { continue };
        let about = |part| setting::of_command(name, Some(part));
        commands.push(EnrichCommand {
            name: name.to_owned(),
            line: get(conn, &setting::of_command(name, None))?.0,
            timeout_ms: integer(conn, &about(CommandPart::TimeoutMs))?.cast_unsigned(),
            kinds: get(conn, &about(CommandPart::Kinds))?.0,
            version: get(conn, &about(CommandPart::Version))?.0,
        });
    }
    Ok(commands)
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

/// Back to the default. With its command line goes whatever else was said about a command.
///
/// # Errors
/// SQLite's.
pub fn unset(conn: &Connection, setting: &Setting) -> Result<()> {
    if let Some((name, None)) = setting::command_of(&setting.key) {
        for part in CommandPart::ALL {
            unset(conn, &setting::of_command(name, Some(*part)))?;
        }
    }
    conn.execute("DELETE FROM settings WHERE key = ?1", [&setting.key])?;
    Ok(())
}
