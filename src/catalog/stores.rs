//! Stores and the channels that lead to them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Ids, Result, outbox, word_of};
use crate::model::scope::Patterns;
use crate::model::{Found, Payload, words};

words! {
    /// What a store is given of each document.
    pub enum StorePayload {
        /// The files' own bytes.
        Original = "original",
        /// Front matter and text.
        Enriched = "enriched",
        /// Both, as two objects.
        Both = "both",
    }
}

impl StorePayload {
    /// The payloads one by one.
    #[must_use]
    pub fn payloads(self) -> &'static [Payload] {
        match self {
            StorePayload::Original => &[Payload::Original],
            StorePayload::Enriched => &[Payload::Enriched],
            StorePayload::Both => &[Payload::Original, Payload::Enriched],
        }
    }
}

words! {
    /// What is known of the way to a store.
    pub enum ChannelState {
        /// Not tried yet.
        Unknown = "unknown",
        /// The last try got through.
        Online = "online",
        /// The last try did not.
        Offline = "offline",
    }
}

/// A store with its channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreRow {
    /// Its number, and its channel's.
    pub store_id: i64,
    /// Its name.
    pub name: String,
    /// Where it is; holds no secret.
    pub url: String,
    /// What it gets.
    pub payload: StorePayload,
    /// The store's own id, out of its generation object.
    pub remote_store: String,
    /// The generation our ledger is about.
    pub generation: String,
    /// What is known of the way to it.
    pub state: ChannelState,
    /// Whether a person paused it.
    pub paused: bool,
    /// Failures in a row on the way to it.
    pub failures: u32,
    /// It asked not to be called before then, in milliseconds; 0 where it asked for nothing.
    pub not_before: i64,
    /// When something got through last, in milliseconds.
    pub last_ok: Option<i64>,
    /// Since when nothing gets through, in milliseconds.
    pub offline_since: Option<i64>,
    /// The last failure on the way: SHELF-SYNC-00N.
    pub error_code: Option<String>,
    /// The last failure on the way.
    pub error_text: Option<String>,
    /// When it was heard of last, be it a failure, in milliseconds.
    pub heard_at: i64,
    /// The command that prints its secret.
    pub password_command: Option<String>,
    /// What trying it out has found, where its family has to be tried out.
    pub found: Option<Found>,
    /// When that was, in milliseconds.
    pub probed_at: Option<i64>,
    /// What is for it; everything where there are no patterns.
    pub scope: Patterns,
}

impl StoreRow {
    /// Until when it asked not to be called, in milliseconds, where that is not over. A clock that was set back since it asked
    /// makes nobody wait for longer.
    #[must_use]
    pub fn asked_until(&self, now_ms: i64) -> Option<i64> {
        Some(self.not_before).filter(|at| *at > now_ms && self.heard_at <= now_ms)
    }
}

const SELECT: &str =
    "SELECT s.store_id, c.name, s.url, s.payload, s.remote_store, s.generation, c.state, c.paused,
     c.failures, c.not_before, c.last_ok, c.offline_since, c.error_code, c.error_text, c.updated_at AS heard_at,
     s.password_command, s.probe, s.probed_at, s.scope
     FROM stores s JOIN channels c ON c.channel_id = s.store_id";

fn store(row: &Row<'_>) -> rusqlite::Result<StoreRow> {
    Ok(StoreRow {
        store_id: row.get("store_id")?,
        name: row.get("name")?,
        url: row.get("url")?,
        payload: word_of(row, "payload")?,
        remote_store: row.get("remote_store")?,
        generation: row.get("generation")?,
        state: word_of(row, "state")?,
        paused: row.get("paused")?,
        failures: row.get("failures")?,
        not_before: row.get("not_before")?,
        last_ok: row.get("last_ok")?,
        offline_since: row.get("offline_since")?,
        error_code: row.get("error_code")?,
        error_text: row.get("error_text")?,
        heard_at: row.get("heard_at")?,
        password_command: row.get("password_command")?,
        // What a later version wrote down and this one does not understand was not found out.
        found: row.get::<_, Option<String>>("probe")?.and_then(|probe| serde_json::from_str(&probe).ok()),
        probed_at: row.get("probed_at")?,
        // Whoever sends reads it once more, and sends nothing where it is not understood.
        scope: row
            .get::<_, Option<String>>("scope")?
            .and_then(|scope| serde_json::from_str(&scope).ok())
            .unwrap_or_default(),
    })
}

/// All stores, by name.
///
/// # Errors
/// SQLite's.
pub fn all(conn: &Connection) -> Result<Vec<StoreRow>> {
    let mut statement = conn.prepare_cached(&format!("{SELECT} ORDER BY c.name"))?;
    let rows = statement.query_map([], store)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The store of that name or URL.
///
/// # Errors
/// SQLite's.
pub fn by_name(conn: &Connection, name: &str) -> Result<Option<StoreRow>> {
    Ok(conn.query_row(&format!("{SELECT} WHERE c.name = ?1 OR s.url = ?1"), [name], store).optional()?)
}

/// What `store add` writes down.
#[derive(Debug, Clone)]
pub struct NewStore<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where it is; holds no secret.
    pub url: &'a str,
    /// What it gets.
    pub payload: StorePayload,
    /// The store's own id.
    pub remote_store: &'a str,
    /// Its generation.
    pub generation: &'a str,
    /// The command that prints its secret.
    pub password_command: Option<&'a str>,
    /// What trying it out has found.
    pub found: Option<Found>,
}

/// Writes a store down and puts every document in line for it, in one transaction (T1).
///
/// # Errors
/// SQLite's; a name or URL that is taken is the caller's to check before.
pub fn insert(conn: &Connection, ids: &mut Ids, new: &NewStore<'_>, now_ms: i64) -> Result<i64> {
    conn.execute(
        "INSERT INTO channels (kind, name, state, last_ok, updated_at) VALUES ('store', ?1, 'online', ?2, ?2)",
        params![new.name, now_ms],
    )?;
    let store_id = conn.last_insert_rowid();
    conn.execute(
        "INSERT INTO stores (store_id, url, payload, remote_store, generation, password_command, probe, probed_at,
                             created_at, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
        params![
            store_id,
            new.url,
            new.payload.as_str(),
            new.remote_store,
            new.generation,
            new.password_command,
            new.found.map(|found| serde_json::to_string(&found)).transpose()?,
            new.found.map(|_| now_ms),
            now_ms
        ],
    )?;
    outbox::enqueue_all(conn, ids, store_id, now_ms)?;
    Ok(store_id)
}

/// The store began a new generation (it was wiped or restored): everything it held is to be proved again and sent where
/// it is not there; nothing is deleted (T7).
///
/// # Errors
/// SQLite's.
pub fn refill(conn: &Connection, ids: &mut Ids, store_id: i64, generation: &str, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE stores SET generation = ?2, device_id = NULL, updated_at = ?3 WHERE store_id = ?1",
        params![store_id, generation, now_ms],
    )?;
    conn.execute(
        "UPDATE remote_objects SET state = 'planned', cause = 'the store began a new generation', updated_at = ?2
         WHERE store_id = ?1 AND state IN ('uploading', 'uploaded', 'verified', 'searchable', 'current')",
        params![store_id, now_ms],
    )?;
    // What was taken back is nowhere to be believed in either.
    conn.execute(
        "UPDATE remote_objects SET was_current = 0 WHERE store_id = ?1 AND recalled_at IS NOT NULL",
        [store_id],
    )?;
    outbox::enqueue_all(conn, ids, store_id, now_ms)
}

/// A store was begun anew in the place of one that is gone: it is another one from now on.
///
/// # Errors
/// SQLite's.
pub fn set_identity(conn: &Connection, store_id: i64, remote_store: &str, now_ms: i64) -> Result<()> {
    conn.execute(
        "UPDATE stores SET remote_store = ?2, updated_at = ?3 WHERE store_id = ?1",
        params![store_id, remote_store, now_ms],
    )?;
    Ok(())
}

/// The same store is at another address, where what it can do was tried out anew.
///
/// # Errors
/// SQLite's; a URL that is taken is the caller's to check before.
pub fn relocate(
    conn: &Connection,
    store_id: i64,
    url: &str,
    password_command: Option<&str>,
    found: Option<Found>,
    now_ms: i64,
) -> Result<()> {
    conn.execute(
        "UPDATE stores SET url = ?2, password_command = ?3, probe = ?4, probed_at = ?5, updated_at = ?6 WHERE store_id = ?1",
        params![
            store_id,
            url,
            password_command,
            found.map(|found| serde_json::to_string(&found)).transpose()?,
            found.map(|_| now_ms),
            now_ms
        ],
    )?;
    Ok(())
}

/// Forgets a store, its ledger and its queue. What the store holds stays there.
///
/// # Errors
/// SQLite's.
pub fn remove(conn: &Connection, store_id: i64) -> Result<()> {
    // Operations point at objects: they go first.
    conn.execute("DELETE FROM outbox WHERE channel_id = ?1", [store_id])?;
    conn.execute("DELETE FROM remote_objects WHERE store_id = ?1", [store_id])?;
    conn.execute("DELETE FROM channels WHERE channel_id = ?1", [store_id])?;
    Ok(())
}

/// Whether anything is sent is a person's word, and says nothing of the way: `updated_at` of a channel is when it was heard of.
///
/// # Errors
/// SQLite's.
pub fn pause(conn: &Connection, store_id: i64, paused: bool) -> Result<()> {
    conn.execute("UPDATE channels SET paused = ?2 WHERE channel_id = ?1", params![store_id, paused])?;
    Ok(())
}

/// A person's word goes before what a store asked for: it is called at once.
///
/// # Errors
/// SQLite's.
pub fn call_at_once(conn: &Connection, store_id: i64) -> Result<()> {
    conn.execute("UPDATE channels SET not_before = 0 WHERE channel_id = ?1 AND not_before > 0", [store_id])?;
    Ok(())
}

/// Something got through.
///
/// # Errors
/// SQLite's.
pub fn channel_ok(conn: &Connection, channel_id: i64, now_ms: i64) -> Result<()> {
    conn.prepare_cached(
        "UPDATE channels SET state = 'online', failures = 0, not_before = 0, last_ok = ?2, offline_since = NULL,
                error_code = NULL, error_text = NULL, updated_at = ?2 WHERE channel_id = ?1",
    )?
    .execute(params![channel_id, now_ms])?;
    Ok(())
}

/// Something did not get through: counted, and kept with the state that follows from it. No operation is blamed for it (T5).
///
/// # Errors
/// SQLite's.
pub fn channel_missed(
    conn: &Connection,
    channel_id: i64,
    state: ChannelState,
    code: &str,
    text: &str,
    now_ms: i64,
) -> Result<()> {
    conn.prepare_cached(
        "UPDATE channels SET state = ?3, failures = failures + 1, offline_since = coalesce(offline_since, ?2),
                error_code = ?4, error_text = ?5, updated_at = ?2,
                not_before = CASE WHEN updated_at > ?2 THEN 0 ELSE not_before END
         WHERE channel_id = ?1",
    )?
    .execute(params![channel_id, now_ms, state.as_str(), code, text])?;
    Ok(())
}

/// It asked not to be called before then, in milliseconds; 0 where it asked for nothing.
///
/// # Errors
/// SQLite's.
pub fn set_not_before(conn: &Connection, channel_id: i64, not_before: i64) -> Result<()> {
    conn.prepare_cached("UPDATE channels SET not_before = ?2 WHERE channel_id = ?1")?
        .execute(params![channel_id, not_before])?;
    Ok(())
}
