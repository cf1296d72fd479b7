//! Operations that nobody can carry out as they stand: damaged rows, rows of a newer version, rows whose document or object is gone.
//!
//! The program itself writes none of them. Where one is all the same it must not end a run, hold up its neighbours or be waited for
//! for ever: it is given up with a sentence, before anything is leased, and `sync queue --errors` shows it.

use rusqlite::{Connection, params};

use super::Result;

/// What is wrong with a row, the first that fits. A deletion says which object, and only that; what a lease has fixed is a hash.
const WRONG: &str = "CASE
    WHEN kind NOT IN ('mirror', 'delete')
        THEN 'this version of shelflist does not know operations of the kind ' || kind || '; a newer one may'
    WHEN NOT EXISTS (SELECT 1 FROM documents d WHERE d.document_id = outbox.document_id)
        THEN 'its document is not in the catalogue any more'
    WHEN kind = 'delete' AND object_id IS NULL THEN 'it is to delete an object and does not say which'
    WHEN kind = 'mirror' AND object_id IS NOT NULL THEN 'it names an object to delete and is no deletion'
    WHEN object_id IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM remote_objects r WHERE r.object_id = outbox.object_id AND r.store_id = channel_id)
        THEN 'the object that it is to delete is not in the ledger of this store'
    WHEN length(payload_hash) <> 32 THEN 'what was fixed to be sent is damaged'
    WHEN attempts < 0 OR leases < 0 THEN 'its row is damaged'
    END";

/// Gives up what waits and is invalid. Returns how many it was.
///
/// # Errors
/// SQLite's.
pub fn give_up(conn: &Connection, code: &str, now_ms: i64) -> Result<usize> {
    Ok(conn
        .prepare_cached(&format!(
            "UPDATE outbox SET state = 'dead', error_class = 'payload', error_code = ?1, error_text = {WRONG},
                    attempts = max(attempts, 0), leases = max(leases, 0),
                    payload_hash = CASE WHEN length(payload_hash) = 32 THEN payload_hash END, updated_at = ?2
             WHERE state = 'pending' AND {WRONG} IS NOT NULL"
        ))?
        .execute(params![code, now_ms])?)
}
