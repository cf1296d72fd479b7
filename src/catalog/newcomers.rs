//! Looks are written down here, and those at files that nobody knew before many at a time: a first scan does nothing else.
//!
//! [`files::record`] writes one look with four statements. For a file without a past most of what it asks is known
//! beforehand: there is no former document, nothing to release, nothing that could be restored. So those wait, and go down
//! as one statement for many; and whether their content is known is mostly answered without SQLite, by a bit for every way
//! in which a known content's hash begins. Whatever is not plainly new takes the ordinary way.

use rusqlite::Connection;
use ulid::Ulid;

use super::files::{self, Look, Recorded, Recording};
use super::{Result, documents, outbox, replaced};

/// Files in one statement.
pub(super) const ROWS: usize = 32;

/// Lookups that are asked of the index before the set of contents is made, at least: that reads the whole index.
const WORTH_IT: u64 = 1024;

/// Writes down the looks of one scan.
#[derive(Debug, Default)]
pub struct Newcomers {
    waiting: Vec<Newcomer>,
    contents: Option<KnownContents>,
    lookups: u64,
    /// The number of the last document when our last transaction ended; none within one that has not asked yet.
    last_document_id: i64,
}

#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) look: Look,
    pub(super) document: Option<(i64, Ulid)>,
}

impl Newcomers {
    /// Begins in a transaction that holds the write lock.
    ///
    /// # Errors
    /// SQLite's.
    pub fn begin(&mut self, conn: &Connection) -> Result<()> {
        self.waiting.clear();
        let last = documents::last_id(conn)?;
        if last != self.last_document_id {
            // Our last transaction was rolled back, or somebody else made documents. A set that lacks a content would make
            // two documents of one work; one that has too many is merely slower.
            self.contents = None;
            self.lookups = 0;
        }
        self.last_document_id = last;
        Ok(())
    }

    /// Takes a look, and writes it down now or at the next [`Newcomers::flush`].
    ///
    /// # Errors
    /// SQLite's.
    pub fn record(
        &mut self,
        conn: &Connection,
        recording: &mut Recording<'_>,
        look: Look,
    ) -> Result<Recorded> {
        let document = match (&look.known, look.content_hash) {
            (None, None) => None,
            // Empty files stand alone: that another is empty, too, makes no copy of them.
            // What was not read now keeps the time of its reading, which the ordinary way sees to.
            (None, Some(hash))
                if look.read_as.is_none()
                    && (look.stat.size == 0 || !self.is_known(conn, recording, &hash)?) =>
            {
                self.last_document_id += 1;
                self.note(&hash);
                Some((self.last_document_id, recording.ids.next(recording.now_ms)))
            }
            _ => {
                self.flush(conn, recording)?;
                let recorded = files::record(conn, recording, &look)?;
                if let Some(hash) = look.content_hash {
                    self.note(&hash);
                }
                self.last_document_id = documents::last_id(conn)?;
                return Ok(recorded);
            }
        };
        self.waiting.push(Newcomer { look, document });
        if self.waiting.len() >= ROWS {
            self.flush(conn, recording)?;
        }
        Ok(Recorded::New)
    }

    /// Writes down what waits.
    ///
    /// # Errors
    /// SQLite's.
    pub fn flush(&mut self, conn: &Connection, recording: &mut Recording<'_>) -> Result<()> {
        documents::insert_all(conn, &self.waiting, recording.now_ms)?;
        for newcomer in &self.waiting {
            if let Some((document_id, _)) = newcomer.document {
                outbox::enqueue_mirror_to(conn, recording, document_id)?;
            }
        }
        files::insert_all(conn, &self.waiting, recording.scan_id, recording.now_ms)?;
        self.waiting.clear();
        Ok(())
    }

    fn note(&mut self, hash: &[u8; 32]) {
        if let Some(contents) = &mut self.contents {
            contents.insert(hash);
        }
    }

    /// Whether a document has this content, in the catalogue or among those that wait, or had it a moment ago.
    fn is_known(&mut self, conn: &Connection, recording: &Recording<'_>, hash: &[u8; 32]) -> Result<bool> {
        if *recording.replaced && replaced::holds(conn, hash)? {
            return Ok(true);
        }
        if self.contents.is_none() {
            self.lookups += 1;
            // A catalogue is read as a whole only for a scan that would ask for a good part of it.
            if self.lookups >= WORTH_IT.max(self.last_document_id.unsigned_abs() / 64) {
                let mut contents = KnownContents::read(conn)?;
                self.waiting
                    .iter()
                    .filter_map(|waiting| waiting.look.content_hash)
                    .for_each(|hash| contents.insert(&hash));
                self.contents = Some(contents);
            }
        }
        if self.contents.as_ref().is_some_and(|contents| !contents.may_hold(hash)) {
            return Ok(false);
        }
        let waits = self.waiting.iter().any(|waiting| waiting.look.content_hash.as_ref() == Some(hash));
        Ok(waits || documents::of_content(conn, hash)?.is_some())
    }
}

/// Which contents are known, roughly: a bit for every way in which a hash can begin. BLAKE3 spreads them evenly, so no
/// further hashing is needed. Says "perhaps" of what is known, always, and of a thirtieth of what is not, with a million.
#[derive(Debug)]
struct KnownContents(Vec<u64>);

impl KnownContents {
    /// Leading bits that are told apart: 4 MiB.
    const BITS: u32 = 25;

    fn read(conn: &Connection) -> Result<Self> {
        let mut contents = KnownContents(vec![0; 1 << (Self::BITS - 6)]);
        // As the index has it, so that the index alone is read.
        let mut statement =
            conn.prepare("SELECT substr(content_hash, 1, 8) FROM documents INDEXED BY documents_by_content")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(start) = row.get_ref(0)?.as_blob_or_null().map_err(rusqlite::Error::from)?
                && let Some(start) = start.first_chunk()
            {
                contents.set(*start);
            }
        }
        Ok(contents)
    }

    fn place(start: [u8; 4]) -> (usize, u64) {
        let at = u32::from_be_bytes(start) >> (32 - Self::BITS);
        (at as usize >> 6, 1 << (at & 63))
    }

    fn set(&mut self, start: [u8; 4]) {
        let (word, bit) = Self::place(start);
        self.0[word] |= bit;
    }

    fn insert(&mut self, hash: &[u8; 32]) {
        self.set(start_of(hash));
    }

    fn may_hold(&self, hash: &[u8; 32]) -> bool {
        let (word, bit) = Self::place(start_of(hash));
        self.0[word] & bit != 0
    }
}

fn start_of(hash: &[u8; 32]) -> [u8; 4] {
    [hash[0], hash[1], hash[2], hash[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_content_is_never_denied() {
        let mut contents = KnownContents(vec![0; 1 << (KnownContents::BITS - 6)]);
        let hashes: Vec<[u8; 32]> =
            (0..10_000_u32).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes()).collect();
        hashes.iter().for_each(|hash| contents.insert(hash));
        assert!(hashes.iter().all(|hash| contents.may_hold(hash)));
        let others = (10_000..20_000_u32).map(|n| *blake3::hash(&n.to_le_bytes()).as_bytes());
        let wrongly = others.filter(|hash| contents.may_hold(hash)).count();
        assert!(wrongly < 20, "{wrongly} of 10,000 would be looked up for nothing");
    }
}
