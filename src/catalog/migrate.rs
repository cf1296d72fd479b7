//! Numbered migrations: each in one transaction, checked by its checksum, with a backup before.
//!
//! Foreign keys are switched off around them, on the connection, because inside a transaction the pragma does nothing
//! and with them on a rebuilt table (`DROP TABLE`) silently deletes its children's rows. Afterwards
//! `foreign_key_check` must find nothing new. Where a migration fails the catalogue is put back to what it was.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use refinery::{Migration, Runner, Target};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{CatalogError, Result};

/// In the file's header, so that tools and people can tell a catalogue from other SQLite files: "SHLF".
const APPLICATION_ID: i32 = 0x5348_4C46;

/// Never edited after a release: refinery keeps each one's checksum.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__initial", include_str!("../../migrations/catalog/0001_initial.sql")),
    (
        "V2__presence_unknown_excluded",
        include_str!("../../migrations/catalog/0002_presence_unknown_excluded.sql"),
    ),
    ("V3__search", include_str!("../../migrations/catalog/0003_search.sql")),
    ("V4__documents_lean", include_str!("../../migrations/catalog/0004_documents_lean.sql")),
    ("V5__answers", include_str!("../../migrations/catalog/0005_answers.sql")),
    ("V6__volume_profile", include_str!("../../migrations/catalog/0006_volume_profile.sql")),
    ("V7__moves", include_str!("../../migrations/catalog/0007_moves.sql")),
    ("V8__kept_store_counts", include_str!("../../migrations/catalog/0008_kept_store_counts.sql")),
    ("V9__agents", include_str!("../../migrations/catalog/0009_agents.sql")),
    ("V10__edits", include_str!("../../migrations/catalog/0010_edits.sql")),
    ("V11__commands", include_str!("../../migrations/catalog/0011_commands.sql")),
    ("V12__search_index", include_str!("../../migrations/catalog/0012_search_index.sql")),
    ("V13__store_probe", include_str!("../../migrations/catalog/0013_store_probe.sql")),
    ("V14__outbox_by_kind", include_str!("../../migrations/catalog/0014_outbox_by_kind.sql")),
    ("V15__server_id", include_str!("../../migrations/catalog/0015_server_id.sql")),
    ("V16__privacy", include_str!("../../migrations/catalog/0016_privacy.sql")),
    ("V17__sender", include_str!("../../migrations/catalog/0017_sender.sql")),
    ("V18__halfway_and_devices", include_str!("../../migrations/catalog/0018_halfway_and_devices.sql")),
    ("V19__scope", include_str!("../../migrations/catalog/0019_scope.sql")),
];

/// The version this program's catalogues have.
pub const LATEST: i64 = MIGRATIONS.len() as i64;

/// Opens `path`, creating and migrating as needed.
pub(super) fn open_migrated(path: &Path, now: Timestamp) -> Result<Connection> {
    open_at(path, LATEST, now)
}

/// Opens `path` and brings it to `version`: for tests and for making the stored catalogues of each version.
///
/// # Errors
/// See [`CatalogError`]; a newer, foreign or damaged file is left untouched.
#[doc(hidden)]
pub fn open_at(path: &Path, version: i64, now: Timestamp) -> Result<Connection> {
    // One process migrates; whoever comes meanwhile waits here and then finds nothing to do.
    let lock_path = path.with_file_name("migrate.lock");
    let file_error = |path: &Path| {
        let path = path.to_owned();
        move |source| CatalogError::File { path, source }
    };
    let exists = path.try_exists().map_err(file_error(path))?;
    if exists && found_version(path)? == version {
        return Ok(Connection::open(path)?);
    }
    let lock = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .map_err(file_error(&lock_path))?;
    lock.lock().map_err(file_error(&lock_path))?;

    let found = if path.try_exists().map_err(file_error(path))? { found_version(path)? } else { 0 };
    let mut conn = Connection::open(path)?;
    if found < version {
        let backup = if found > 0 { Some(back_up(&conn, path, found, now)?) } else { None };
        if let Err(error) = run(&mut conn, version) {
            match (&error, backup) {
                // A copy of what was not changed would only fill the disk further, and one more with every try.
                (CatalogError::Full(_), Some(backup))
                    if found_version(path).is_ok_and(|still| still == found) =>
                {
                    let _ = std::fs::remove_file(backup);
                }
                (CatalogError::Full(_), _) | (_, None) => {}
                // Of several migrations the first may have been kept: the catalogue goes back to what it was, so that
                // the program it belongs to can open it. Where even that fails, the backup is there.
                (_, Some(backup)) => {
                    if let Err(restoring) = restore(&mut conn, &backup) {
                        tracing::error!(error = %restoring, backup = %backup.display(), "the catalogue could not be put back");
                    }
                }
            }
            return Err(error);
        }
    }
    Ok(conn)
}

/// Puts a backup in the catalogue's place, in one transaction.
fn restore(conn: &mut Connection, backup: &Path) -> Result<()> {
    const PAGES: i32 = 1024;
    let source = Connection::open_with_flags(backup, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    rusqlite::backup::Backup::new(&source, conn)?.run_to_completion(
        PAGES,
        std::time::Duration::ZERO,
        None,
    )?;
    Ok(())
}

fn count_dangling(conn: &Connection) -> Result<usize> {
    Ok(conn.prepare("PRAGMA foreign_key_check")?.query_map([], |_| Ok(()))?.count())
}

/// The version of the catalogue at `path`; 0 where the file is empty, as an interrupted creation leaves it.
fn found_version(path: &Path) -> Result<i64> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.busy_timeout(super::BUSY_TIMEOUT)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(0);
    }
    let application_id: i32 = conn.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let has_history: Option<i64> = conn
        .query_row("SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'", [], |row| row.get(0))
        .optional()?;
    if has_history.is_none() || (application_id != APPLICATION_ID && application_id != 0) {
        return Err(CatalogError::Foreign(path.to_owned()));
    }
    let found: i64 =
        conn.query_row("SELECT coalesce(max(version), 0) FROM refinery_schema_history", [], |row| {
            row.get(0)
        })?;
    if found > LATEST {
        return Err(CatalogError::Newer { found, known: LATEST });
    }
    if found > 0 && application_id != APPLICATION_ID {
        return Err(CatalogError::Foreign(path.to_owned()));
    }
    Ok(found)
}

fn run(conn: &mut Connection, version: i64) -> Result<()> {
    let migrations: Vec<Migration> = MIGRATIONS
        .iter()
        .map(|(name, sql)| Migration::unapplied(name, sql).expect("the names above are of refinery's form"))
        .collect();
    // The id comes first: a creation that is cut off after it leaves an empty file of ours, not a foreign one.
    conn.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA foreign_keys = OFF;"))?;
    let target = i32::try_from(version).expect("versions are small");
    // Not this program's doing, and no reason to lock its owner out.
    let before = count_dangling(conn)?;
    Runner::new(&migrations)
        .set_abort_divergent(true)
        .set_abort_missing(true)
        .set_target(Target::Version(target))
        .run(conn)
        .map_err(migration_error)?;
    let dangling = count_dangling(conn)?.saturating_sub(before);
    if dangling > 0 {
        return Err(CatalogError::Dangling(dangling));
    }
    conn.execute_batch("PRAGMA foreign_keys = ON;")?;
    Ok(())
}

/// A full disk during a migration is a full disk, not a broken migration.
fn migration_error(error: refinery::Error) -> CatalogError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(cause) = source {
        if let Some(sqlite) = cause.downcast_ref::<rusqlite::Error>()
            && sqlite.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        {
            return CatalogError::Full(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL),
                Some(sqlite.to_string()),
            ));
        }
        source = cause.source();
    }
    CatalogError::Migration(Box::new(error))
}

/// A copy as of now, beside the catalogue: `backups/catalog-v1-20261121T030405Z.db`.
fn back_up(conn: &Connection, path: &Path, version: i64, now: Timestamp) -> Result<PathBuf> {
    let dir = path.with_file_name("backups");
    std::fs::create_dir_all(&dir).map_err(|source| CatalogError::File { path: dir.clone(), source })?;
    let target = dir.join(format!("catalog-v{version}-{}.db", now.strftime("%Y%m%dT%H%M%SZ")));
    let part = target.with_extension("part");
    let file_error = |source| CatalogError::File { path: target.clone(), source };
    // Whoever holds the lock of migrations is alone: these are of runs that were killed.
    clear_parts(&dir).map_err(|source| CatalogError::File { path: dir.clone(), source })?;
    // VACUUM INTO reads one consistent snapshot, the write-ahead log included, and writes a compact copy.
    let text = part.to_str().ok_or_else(|| file_error(std::io::ErrorKind::InvalidFilename.into()))?;
    if let Err(error) = conn.execute("VACUUM INTO ?1", [text]) {
        let _ = std::fs::remove_file(&part);
        return Err(error.into());
    }
    std::fs::File::open(&part).and_then(|file| file.sync_all()).map_err(file_error)?;
    std::fs::rename(&part, &target).map_err(file_error)?;
    Ok(target)
}

fn clear_parts(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "part") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
