//! Searching: what fits, the best first, within bounds that hold for a million documents; and, for bulk work, all that fits.
//!
//! What changed since it was indexed is indexed for the moment, in tables of this connection that nobody else sees: a
//! search writes nothing that is kept and waits for nobody who writes. Beyond [`FRESH`] documents only their names are
//! looked at, and beyond [`BY_NAME`] not even these; the answer says so.

use std::collections::HashSet;

use rusqlite::Connection;

use super::index::{self, KEPT, Tables};
use super::postings::{Budget, Fitting, fitting, with_libraries};
use super::query::{Atom, Clause, Query, Scope, Words};
use super::{rank, slips};
use crate::catalog::Result;

/// Documents that are ranked: the commonest words are in a million of them, and nobody reads more than a few.
const RANKED: usize = 1000;
/// What one search may cost beyond that, see [`Budget`].
const COST: u64 = 250_000;
/// Documents that are indexed for a search.
const FRESH: usize = 500;
/// Documents of which the name is looked at.
const BY_NAME: usize = 50_000;
/// With fewer hits than this, slips are thought of.
const LITTLE: usize = 3;

/// The tables of what is indexed for a search.
const FRESH_TABLES: Tables =
    Tables { cards: "fresh_cards", texts: "fresh_texts", documents: "fresh_documents" };

/// A document that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Which.
    pub document_id: i64,
    /// Not what was typed fits it, but what may have been meant.
    pub approximate: bool,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The best, best first.
    pub hits: Vec<Hit>,
    /// How many there are in all, as far as it was counted.
    pub total: u64,
    /// There are more than were counted.
    pub total_is_at_least: bool,
    /// Documents that were only looked at by their names, for they are not indexed yet; so many at least, where that is over
    /// fifty thousand.
    pub unindexed: u64,
}

/// Documents that fit a query, best first: at most `limit`, and how many there are in all.
///
/// # Errors
/// SQLite's.
pub fn find(conn: &Connection, query: &Query, limit: usize) -> Result<Found> {
    if query.is_empty() {
        return Ok(Found::default());
    }
    let query = with_libraries(conn, query)?;
    let stale = index::stale(conn, 0, BY_NAME + 1)?;
    let (fresh, rest) = stale.split_at(stale.len().min(FRESH));
    let fresh_ids: HashSet<i64> = fresh.iter().copied().collect();
    let asked = Asked { conn, limit: limit.max(RANKED), cost: COST };
    let kept = asked.of(KEPT, &query, |id| !fresh_ids.contains(&id))?;
    let mut complete = kept.complete && rest.len() <= BY_NAME;
    let mut ranked = kept.ranked;
    if !fresh.is_empty() {
        make_fresh(conn, fresh)?;
        let fresh = asked.of(FRESH_TABLES, &query, |id| fresh_ids.contains(&id))?;
        complete &= fresh.complete;
        ranked.extend(fresh.ranked);
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    }
    let mut seen: HashSet<i64> = ranked.iter().map(|(id, _)| *id).collect();
    let mut hits: Vec<Hit> =
        ranked.into_iter().map(|(document_id, _)| Hit { document_id, approximate: false }).collect();
    for document_id in by_name(conn, &query, &rest[..rest.len().min(BY_NAME)])? {
        if seen.insert(document_id) {
            hits.push(Hit { document_id, approximate: false });
        }
    }
    if complete
        && hits.len() < LITTLE.min(limit)
        && let Some(meant) = meant(conn, &query)?
    {
        for tables in [Some(KEPT), (!fresh.is_empty()).then_some(FRESH_TABLES)].into_iter().flatten() {
            let wanted = |id: i64| (tables.cards == FRESH_TABLES.cards) == fresh_ids.contains(&id);
            for (document_id, _) in asked.of(tables, &meant, wanted)?.ranked {
                if seen.insert(document_id) {
                    hits.push(Hit { document_id, approximate: true });
                }
            }
        }
    }
    let total = hits.len() as u64;
    hits.truncate(limit);
    Ok(Found { hits, total, total_is_at_least: !complete, unindexed: rest.len() as u64 })
}

struct Asked<'a> {
    conn: &'a Connection,
    limit: usize,
    cost: u64,
}

struct Ranked {
    ranked: Vec<(i64, f64)>,
    complete: bool,
}

impl Asked<'_> {
    fn of(&self, tables: Tables, query: &Query, wanted: impl Fn(i64) -> bool) -> Result<Ranked> {
        let fits = |query: &Query, cost: u64| {
            fitting(self.conn, tables, query, self.limit, Budget(Some(cost)), &wanted)
        };
        let Fitting { mut documents, complete, last_text } = fits(query, self.cost)?;
        if !complete && let Some(titled) = titled(query) {
            // Of so many the first were taken, whatever they are like. Those with the words in their titles are better.
            documents.extend(fits(&titled, self.cost / 4)?.documents);
            documents.sort_unstable();
            documents.dedup();
        }
        Ok(Ranked { ranked: rank::ranked(self.conn, tables, query, documents, last_text)?, complete })
    }
}

/// The query with all of its words in the title; none where that is no other one.
fn titled(query: &Query) -> Option<Query> {
    let mut titled = query.clone();
    let mut any = false;
    for atom in titled.clauses.iter_mut().filter(|clause| !clause.not).flat_map(|clause| &mut clause.any) {
        if let Atom::Words(words) = atom
            && words.scope == Scope::Anywhere
        {
            words.scope = Scope::Title;
            any = true;
        }
    }
    any.then_some(titled)
}

/// All documents that fit a query, in the order of their numbers: however many, however long it takes.
///
/// # Errors
/// SQLite's.
pub fn matching(conn: &Connection, query: &str) -> Result<Vec<i64>> {
    fitting_all(conn, &Query::parse(query))
}

/// The same of a query that is understood already.
///
/// # Errors
/// SQLite's.
pub fn fitting_all(conn: &Connection, query: &Query) -> Result<Vec<i64>> {
    if query.is_empty() {
        return Ok(Vec::new());
    }
    let query = with_libraries(conn, query)?;
    let stale = index::stale(conn, 0, usize::MAX)?;
    let is_stale: HashSet<i64> = stale.iter().copied().collect();
    let all = |tables, wanted: &dyn Fn(i64) -> bool| {
        fitting(conn, tables, &query, usize::MAX, Budget(None), wanted).map(|fitting| fitting.documents)
    };
    let mut found = all(KEPT, &|id| !is_stale.contains(&id))?;
    for chunk in stale.chunks(FRESH) {
        make_fresh(conn, chunk)?;
        // Which files are missing is asked of the files themselves, of all documents.
        found.extend(all(FRESH_TABLES, &|id| chunk.binary_search(&id).is_ok())?);
    }
    found.sort_unstable();
    Ok(found)
}

/// Indexes documents for this connection alone, in place of those before.
fn make_fresh(conn: &Connection, documents: &[i64]) -> Result<()> {
    // Without a transaction every insert would be one.
    let within = conn.is_autocommit();
    if within {
        conn.execute_batch("BEGIN")?;
    }
    let made = fill_fresh(conn, documents);
    if within {
        conn.execute_batch(if made.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
    }
    made
}

fn fill_fresh(conn: &Connection, documents: &[i64]) -> Result<()> {
    let Tables { cards, texts, documents: kept } = FRESH_TABLES;
    conn.execute_batch(&format!(
        "DROP TABLE IF EXISTS temp.{cards}; DROP TABLE IF EXISTS temp.{texts}; DROP TABLE IF EXISTS temp.{kept};
         CREATE VIRTUAL TABLE temp.{cards} USING fts5 (title, author, tags, notes, about, path, terms,
             content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');
         CREATE VIRTUAL TABLE temp.{texts} USING fts5 (text,
             content = '', contentless_delete = 1, tokenize = 'unicode61 remove_diacritics 2');
         CREATE TEMP TABLE {kept} (document_id INTEGER PRIMARY KEY, text_stamp INTEGER NOT NULL, day_from INTEGER, day_until INTEGER) STRICT;"
    ))?;
    let mut indexed = Vec::with_capacity(documents.len());
    for document_id in documents {
        indexed.push(index::index(conn, FRESH_TABLES, *document_id, None)?);
    }
    indexed.iter().try_for_each(|one| one.keep(conn, FRESH_TABLES))
}

/// Of what is not indexed, documents with a file whose path holds all of the words as they stand; no other clause is asked.
fn by_name(conn: &Connection, query: &Query, documents: &[i64]) -> Result<Vec<i64>> {
    let mut words = Vec::new();
    for clause in &query.clauses {
        match &clause.any[..] {
            [Atom::Words(Words { scope: Scope::Anywhere | Scope::Path, text, .. })] if !clause.not => {
                words.push(text.to_lowercase());
            }
            _ => return Ok(Vec::new()),
        }
    }
    let mut paths = conn.prepare_cached(
        "SELECT r.path || x'2F' || f.name FROM files f JOIN dirs r USING (dir_id) WHERE f.document_id = ?1",
    )?;
    let mut found = Vec::new();
    for document_id in documents {
        let mut rows = paths.query([document_id])?;
        while let Some(row) = rows.next()? {
            let path = String::from_utf8_lossy(row.get_ref(0)?.as_bytes().map_err(rusqlite::Error::from)?)
                .to_lowercase();
            if words.iter().all(|word| path.contains(word.as_str())) {
                found.push(*document_id);
                break;
            }
        }
    }
    Ok(found)
}

/// The query with words of titles and authors in the place of words that may be slips of them; none where there are none.
fn meant(conn: &Connection, query: &Query) -> Result<Option<Query>> {
    let mut meant = query.clone();
    let mut any = false;
    for Clause { not, any: atoms } in &mut meant.clauses {
        let [Atom::Words(Words { scope, text, prefix: false })] = &atoms[..] else { continue };
        let scope = match scope {
            Scope::Anywhere => Scope::Names,
            Scope::Title | Scope::Author => *scope,
            _ => continue,
        };
        if *not {
            continue;
        }
        let words = slips::meant(conn, text)?;
        any |= !words.is_empty();
        atoms.extend(words.into_iter().map(|text| Atom::Words(Words { scope, text, prefix: false })));
    }
    Ok(any.then_some(meant))
}
