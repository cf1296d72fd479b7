//! The catalogue: everything shelflist knows, in one SQLite file. All SQL for SQLite stands in this room.
//!
//! One catalogue holds all libraries, so that one search covers every disk in the drawer. This room never touches the
//! network or a library's disk, and decides nothing about them; it keeps what the verbs tell it, in transactions that
//! hold a change and its outbox operations together (T1).
//!
//! Every write begins with `BEGIN IMMEDIATE`: a transaction that starts by reading and upgrades later fails with
//! "database is locked" at once, whatever the busy time-out, when somebody else wrote in between.

pub mod answers;
pub mod compare;
pub mod decisions;
pub mod device;
pub mod dirs;
pub mod documents;
pub mod edits;
pub mod enrichments;
pub mod explain;
pub mod export;
pub mod files;
pub mod history;
mod ids;
pub mod invalid;
pub mod ledger;
pub mod libraries;
mod lock;
pub mod migrate;
pub mod moves;
pub mod names;
pub mod newcomers;
pub mod outbox;
pub mod privacy;
pub mod problems;
pub mod profiles;
pub mod query;
pub mod queue;
pub mod replaced;
pub mod review;
pub mod scans;
pub mod scope;
pub mod search;
pub mod settings;
pub mod stores;
#[cfg(test)]
pub(crate) mod trial;

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
/// What the functions of this room read and write through; a transaction is one, too.
pub use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::{OpenFlags, Transaction, TransactionBehavior};

pub use ids::Ids;
pub use lock::{RunLock, SENDER_MS, Sender};

/// How long a writer waits for another one before it gives up. Longer than an edit of a million documents takes, which is one
/// transaction (decision 21): whoever waits shall not fail (C3). A writer that died waits for nobody: its lock goes with it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(180);

/// What can be wrong with the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is none at that place yet.
    #[error("there is no catalogue at {}", .0.display())]
    Absent(PathBuf),
    /// The file is no catalogue, or its pages are damaged.
    #[error("the catalogue is damaged")]
    Corrupt(#[source] rusqlite::Error),
    /// Written by a later version of the program.
    #[error("the catalogue has version {found}, this program knows up to {known}")]
    Newer {
        /// The catalogue's version.
        found: i64,
        /// This program's version of the catalogue.
        known: i64,
    },
    /// An SQLite file of some other program.
    #[error("{} is an SQLite database, but not a shelflist catalogue", .0.display())]
    Foreign(PathBuf),
    /// The disk that carries the catalogue is full.
    #[error("the disk that carries the catalogue is full")]
    Full(#[source] rusqlite::Error),
    /// The operating system does not let us read or write it.
    #[error("the catalogue cannot be opened")]
    Denied(#[source] rusqlite::Error),
    /// Another process held the write lock too long.
    #[error("the catalogue is in use by another process")]
    Busy(#[source] rusqlite::Error),
    /// A migration failed; the catalogue is as it was, and a backup stands beside it.
    #[error("migrating the catalogue failed")]
    Migration(#[source] Box<refinery::Error>),
    /// A migration would leave rows that point nowhere; the catalogue was put back to what it was.
    #[error("migrating the catalogue would leave {0} rows that point nowhere")]
    Dangling(usize),
    /// A row holds a word this program does not know.
    #[error("the catalogue holds a value that is not understood")]
    Word(#[from] crate::model::UnknownWord),
    /// A row holds JSON this program does not understand.
    #[error("the catalogue holds JSON that is not understood")]
    Json(#[from] serde_json::Error),
    /// Rules about privacy that this program does not understand: nothing is to leave then.
    #[error("the setting privacy.rules is not understood")]
    Rules(#[from] crate::model::privacy::RuleError),
    /// What is for a store is said in a way that this program does not understand: nothing is to be sent there then.
    #[error("what is for a store is not understood")]
    Scope(#[from] crate::model::scope::PatternError),
    /// A file beside the catalogue (lock, backup, directory).
    #[error("{} cannot be used", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another run (scan or sync) holds the lock.
    #[error("another run holds the lock {}", .0.display())]
    Locked(PathBuf),
    /// Anything else SQLite says.
    #[error("the catalogue could not be read or written")]
    Sqlite(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        // Reading, too, needs 32 KiB beside the catalogue: the index of its write-ahead log.
        let no_room_to_share = rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
        match error.sqlite_error_code() {
            _ if error.sqlite_error().is_some_and(|error| error.extended_code == no_room_to_share) => {
                CatalogError::Full(error)
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => CatalogError::Corrupt(error),
            Some(ErrorCode::DiskFull) => CatalogError::Full(error),
            Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                CatalogError::Denied(error)
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => CatalogError::Busy(error),
            _ => CatalogError::Sqlite(error),
        }
    }
}

impl CatalogError {
    /// Whether only keeping failed, for now: who merely wanted to remember what he was asked can answer all the same.
    #[must_use]
    pub fn is_for_want_of_writing(&self) -> bool {
        matches!(self, CatalogError::Full(_) | CatalogError::Busy(_))
    }
}

/// What the functions of this room return.
pub type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// How much care a transaction gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Care {
    /// On the disk when its commit returns, every row held to its parents. What everybody gets who asked for no less.
    Full,
    /// For rows by the ten thousand that can be seen again and name parents of the same transaction. A commit survives the
    /// death of the process; with the power the last ones may go, whole ones from the end, never the file, and the next that
    /// is made with full care takes all before it to the disk. Nothing cascades in this mode: who deletes deletes what belongs to it.
    Bulk,
    /// For remarks of somebody who only wanted to know: what he found will be found again. Nothing waits for the disk.
    Light,
}

/// An open catalogue, migrated to this program's version.
#[derive(Debug)]
pub struct Catalog {
    conn: Connection,
    path: PathBuf,
}

impl Catalog {
    /// Opens the catalogue at `path` and migrates it where it is older; a backup is made before.
    ///
    /// # Errors
    /// [`CatalogError::Absent`] where there is none; it is not created.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self> {
        match path.try_exists() {
            Ok(true) => Self::open_or_create(path, now),
            Ok(false) => Err(CatalogError::Absent(path.to_owned())),
            Err(source) => Err(CatalogError::File { path: path.to_owned(), source }),
        }
    }

    /// Opens the catalogue at `path`, and creates it and its directory where they are absent.
    ///
    /// # Errors
    /// A damaged, foreign or newer catalogue is left untouched.
    pub fn open_or_create(path: &Path, now: Timestamp) -> Result<Self> {
        if let Some(parent) = path.parent() {
            create_private_dir(parent)
                .map_err(|source| CatalogError::File { path: parent.to_owned(), source })?;
        }
        let conn = migrate::open_migrated(path, now)?;
        configure(&conn)?;
        Ok(Catalog { conn, path: path.to_owned() })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One more connection, that can only read: for walkers beside the writer.
    ///
    /// # Errors
    /// SQLite's.
    pub fn reader(&self) -> Result<Connection> {
        let conn = Connection::open_with_flags(
            &self.path,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        conn.set_prepared_statement_cache_capacity(32);
        Ok(conn)
    }

    /// The connection, to read.
    #[must_use]
    pub fn read(&self) -> &Connection {
        &self.conn
    }

    /// As long as it lives, everything that is read is of one moment: who asks twice gets answers that fit.
    ///
    /// # Errors
    /// SQLite's.
    pub fn snapshot(&self) -> Result<Transaction<'_>> {
        Ok(self.conn.unchecked_transaction()?)
    }

    /// Another number whenever somebody else has changed something: another process, or another connection of this one.
    ///
    /// # Errors
    /// SQLite's.
    pub fn others_changes(&self) -> Result<i64> {
        Ok(self.conn.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }

    /// How it is written from now on.
    ///
    /// # Errors
    /// SQLite's.
    pub fn set_care(&mut self, care: Care) -> Result<()> {
        // The last who closes a catalogue takes its log into the file, which waits for the disk twice.
        self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, care == Care::Light)?;
        Ok(self.conn.execute_batch(match care {
            Care::Light => "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;",
            Care::Full => {
                "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 1000;"
            }
            Care::Bulk => {
                "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = OFF; PRAGMA wal_autocheckpoint = 2000;"
            }
        })?)
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// [`CatalogError::Busy`] where another process writes for longer than the busy time-out.
    pub fn write(&mut self) -> Result<Transaction<'_>> {
        Ok(self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Runs `change` in one transaction.
    ///
    /// # Errors
    /// The change's own; nothing is kept then.
    pub fn change<T, E: From<CatalogError>>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let tx = self.write()?;
        let answer = change(&tx)?;
        tx.commit().map_err(CatalogError::from)?;
        Ok(answer)
    }
}

fn configure(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    // FULL: the lease of an operation must be on the disk before anything is sent (T1); NORMAL would lose the last
    // commits with the power, though never the file.
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cache_size = -32768;
         PRAGMA temp_store = MEMORY;",
    )?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// The catalogue says what somebody reads: only its owner may look.
fn create_private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Inserts many rows with few statements: running a statement costs as much as writing a row of it.
fn in_rows<T>(
    conn: &Connection,
    insert_into: &str,
    row: &str,
    things: &[T],
    bind: impl Fn(&mut rusqlite::CachedStatement<'_>, usize, &T) -> rusqlite::Result<()>,
) -> Result<()> {
    let columns = row.matches('?').count();
    for chunk in things.chunks(newcomers::ROWS) {
        // Two statements are kept, for a full chunk and for one row; what is between comes at the end of a batch only.
        for rows in chunk.chunks(if chunk.len() == newcomers::ROWS { newcomers::ROWS } else { 1 }) {
            let sql = format!("{insert_into}{row}{}", format!(", {row}").repeat(rows.len() - 1));
            let mut statement = conn.prepare_cached(&sql)?;
            for (at, thing) in rows.iter().enumerate() {
                bind(&mut statement, 1 + at * columns, thing)?;
            }
            statement.raw_execute()?;
        }
    }
    Ok(())
}

/// A 32-byte hash out of a row.
pub(crate) fn hash_of(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<Option<[u8; 32]>> {
    row.get::<_, Option<[u8; 32]>>(column)
}

/// A word of the model out of a row.
pub(crate) fn word_of<W: std::str::FromStr<Err = crate::model::UnknownWord>>(
    row: &rusqlite::Row<'_>,
    column: &str,
) -> rusqlite::Result<W> {
    word_at(row, row.as_ref().column_index(column)?)
}

/// A word of the model out of a row, by its place.
pub(crate) fn word_at<W: std::str::FromStr<Err = crate::model::UnknownWord>>(
    row: &rusqlite::Row<'_>,
    at: usize,
) -> rusqlite::Result<W> {
    row.get_ref(at)?.as_str()?.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
    })
}
