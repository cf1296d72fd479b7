//! Who may do what on a catalogue: one scan at a time, and one sender.
//!
//! File locks of the operating system, not rows: a lock is gone with the process that held it, however it ended, and needs no
//! guess about time-outs. Reading and curating need none (C3), and scanning does not wait for an upload that takes hours.
//!
//! A sender may be alive and not sending: stopped, or stuck on a store that hangs. So it has a row beside its lock and says in
//! it until when it will have said so again. Past that another takes over, whoever holds the lock: the former's leases are
//! handed back, and what it still believes to have has no proof any more ([`super::outbox::is_mine`]).

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, params};

use super::{Catalog, CatalogError, Ids, Result, outbox};

/// A process that was killed takes some milliseconds to let go of its lock, and who killed it may start the next run in
/// that time. A run that goes on holds it longer than this.
const DYING: Duration = Duration::from_secs(1);

/// How often a lock that is held is tried.
const TICK: Duration = Duration::from_millis(10);

/// For so long a sender's word is good, in milliseconds. It says it again well before: see [`Sender::renew`].
pub const SENDER_MS: i64 = 10 * 60 * 1_000;

/// Said of a sender whose lock another process holds.
const WITHOUT_LOCK: &str = ", without the lock";

/// A file that this process has locked.
#[derive(Debug)]
struct Locked(File);

/// Locks a file beside the catalogue; `None` where another process goes on holding it.
fn lock_beside(catalog: &Path, name: &str) -> Result<Option<Locked>> {
    let path = catalog.with_file_name(name);
    let unusable = |source| CatalogError::File { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(unusable)?;
    let until = Instant::now() + DYING;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(Locked(file))),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::park_timeout(TICK),
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Said, not left to closing: a process that is started just then has the descriptor, too, for a moment.
        let _ = self.0.unlock();
    }
}

/// Held while the disks are looked at, and while what is known of them is changed.
#[derive(Debug)]
pub struct RunLock {
    _held: Locked,
}

impl RunLock {
    /// Takes the lock of the catalogue at `catalog`.
    ///
    /// # Errors
    /// [`CatalogError::Locked`] within about a second where another run has it.
    pub fn take(catalog: &Path) -> Result<Self> {
        match lock_beside(catalog, "run.lock")? {
            Some(held) => Ok(RunLock { _held: held }),
            None => Err(CatalogError::Locked(catalog.with_file_name("run.lock"))),
        }
    }
}

/// Held while things are sent to stores, or taken from them.
#[derive(Debug)]
pub struct Sender {
    token: String,
    held: Option<Locked>,
}

impl Sender {
    /// Has sent what there was. One that has no lock, which would tell that it is gone, says so: nobody need wait for its silence.
    ///
    /// # Errors
    /// SQLite's.
    pub fn rest(&self, catalog: &mut Catalog) -> Result<()> {
        if self.held.is_some() {
            return Ok(());
        }
        catalog.change::<_, CatalogError>(|tx| {
            tx.execute("UPDATE sender SET until = 0 WHERE token = ?1", [&self.token])?;
            Ok(())
        })
    }

    /// Becomes the sender of a catalogue, and hands back what the one before left leased.
    ///
    /// # Errors
    /// [`CatalogError::Locked`] within about a second where another process sends, and was heard of lately.
    pub fn take(catalog: &mut Catalog, now_ms: i64) -> Result<Self> {
        let path = catalog.path().to_owned();
        let held = lock_beside(&path, "send.lock")?;
        let token = Ids::default().next(now_ms).to_string();
        catalog.change::<_, CatalogError>(|tx| {
            let before: Option<(String, i64)> = tx
                .query_row("SELECT owner, until FROM sender", [], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let locked = || CatalogError::Locked(path.with_file_name("send.lock"));
            match (&held, before) {
                // Alive, and heard of lately; or so new that it has not said anything yet.
                (None, None) => return Err(locked()),
                (None, Some((_, until))) if until >= now_ms => return Err(locked()),
                // It took over from one that slept on the lock, and has none: nothing tells that it died but its silence.
                (Some(_), Some((owner, until))) if owner.ends_with(WITHOUT_LOCK) && until >= now_ms => {
                    return Err(locked());
                }
                _ => {}
            }
            let without = if held.is_none() { WITHOUT_LOCK } else { "" };
            tx.execute(
                "INSERT INTO sender (one, token, owner, until) VALUES (1, ?1, ?2, ?3)
                 ON CONFLICT (one) DO UPDATE SET token = ?1, owner = ?2, until = ?3",
                params![token, format!("process {}{without}", std::process::id()), now_ms + SENDER_MS],
            )?;
            outbox::recover(tx, now_ms)?;
            Ok(())
        })?;
        Ok(Sender { token, held })
    }

    /// Proof of its leases.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Says that it is at it still, and its leases hold on. `false` where another has taken over.
    ///
    /// # Errors
    /// SQLite's.
    pub fn renew(&self, conn: &Connection, now_ms: i64) -> Result<bool> {
        let until_ms = now_ms + SENDER_MS;
        let renewed = conn
            .prepare_cached("UPDATE sender SET until = ?2 WHERE token = ?1")?
            .execute(params![self.token, until_ms])?;
        if renewed == 1 {
            outbox::renew(conn, &self.token, until_ms, now_ms)?;
        }
        Ok(renewed == 1)
    }

    /// Whether it is the sender still.
    ///
    /// # Errors
    /// SQLite's.
    pub fn is_current(&self, conn: &Connection) -> Result<bool> {
        Ok(conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM sender WHERE token = ?1)")?
            .query_row([&self.token], |row| row.get(0))?)
    }
}
