//! The index: what it holds of each document, and how it is kept in line with the catalogue.
//!
//! A document whose card changed in any way is marked (`documents.search_stale`) by whoever changed it, and indexed anew
//! here. Its text, which is nearly all of the work, only where it is another than the one that was indexed.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, params};

use super::dates;
use super::words::{self, Facet};
use crate::catalog::{Catalog, CatalogError, Result, documents, enrichments, files};
use crate::model::Field;
use crate::model::document::effective;
use crate::model::filter::languages;

/// Documents indexed at once: small batches leave small pieces of index, which have to be merged over and over.
const BATCH: usize = 5_000;
/// Text that is taken into one batch, in bytes: the index holds as much again in memory until it is written.
const BATCH_TEXT: usize = 32 << 20;
/// What FTS5 collects before it writes a piece, in bytes: a batch is one piece. Its own megabyte would make ten of it.
const PIECE: i64 = 32 << 20;
/// Of the catalogue kept in memory while much is indexed, in KiB: texts are looked up by their hashes, all over the place.
const WIDE_CACHE: i64 = 128 << 10;
/// Pages of an index that are merged in one transaction.
const MERGED: i64 = 4_000;

/// The tables of one index.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tables {
    pub(super) cards: &'static str,
    pub(super) texts: &'static str,
    pub(super) documents: &'static str,
}

/// The catalogue's own.
pub(super) const KEPT: Tables =
    Tables { cards: "search_cards", texts: "search_texts", documents: "search_documents" };

/// Brings the whole index in line with the catalogue, a batch a transaction, for as long as `go_on` says so of the documents
/// indexed so far. Returns how many it was.
///
/// # Errors
/// SQLite's, or [`CatalogError::Busy`]; what was indexed until then stays.
pub fn index_all(catalog: &mut Catalog, mut go_on: impl FnMut(u64) -> bool) -> Result<u64> {
    let indexed = catalog.change(|tx| index_stale(tx, BATCH))? as u64;
    if indexed == 0 || !go_on(indexed) || stale(catalog.read(), 0, 1)?.is_empty() {
        return Ok(indexed);
    }
    let cache: i64 = catalog.read().pragma_query_value(None, "cache_size", |row| row.get(0))?;
    catalog.read().pragma_update(None, "cache_size", -WIDE_CACHE)?;
    let all = index_rest(catalog, indexed, &mut go_on);
    catalog.read().pragma_update(None, "cache_size", cache)?;
    all
}

fn index_rest(catalog: &mut Catalog, mut indexed: u64, go_on: &mut dyn FnMut(u64) -> bool) -> Result<u64> {
    for table in [KEPT.cards, KEPT.texts] {
        catalog.change::<_, CatalogError>(|tx| {
            Ok(tx.execute(&format!("INSERT INTO {table} ({table}, rank) VALUES ('hashsize', ?1)"), [PIECE])?)
        })?;
    }
    loop {
        match catalog.change(|tx| index_stale(tx, BATCH))? {
            0 => break,
            batch => indexed += batch as u64,
        }
        if !go_on(indexed) {
            return Ok(indexed);
        }
    }
    // Whoever searches looks into every piece, at every jump: so many are left only where little was added to much.
    let highest: Option<i64> =
        catalog
            .read()
            .query_row(&format!("SELECT max(document_id) FROM {}", KEPT.documents), [], |row| row.get(0))?;
    if indexed >= highest.unwrap_or(0).unsigned_abs() / 10 {
        for table in [KEPT.cards, KEPT.texts] {
            merge(catalog, table, indexed, go_on)?;
        }
    }
    Ok(indexed)
}

/// Makes one piece of an index, by and by; one that was begun and not ended is taken up again by FTS5 itself.
fn merge(catalog: &mut Catalog, table: &str, indexed: u64, go_on: &mut dyn FnMut(u64) -> bool) -> Result<()> {
    // Below nothing: pieces of all sizes. Then so many pages more, until there is nothing to do, which is one change.
    let mut pages = -MERGED;
    loop {
        let changes = catalog.change::<_, CatalogError>(|tx| {
            let before = tx.total_changes();
            tx.execute(&format!("INSERT INTO {table} ({table}, rank) VALUES ('merge', ?1)"), [pages])?;
            Ok(tx.total_changes() - before)
        })?;
        if changes < 2 || !go_on(indexed) {
            return Ok(());
        }
        pages = MERGED;
    }
}

/// Brings the index in line with documents that changed, at most so many, and fewer where their texts are long. Returns how
/// many it was; 0 when there are no more.
///
/// # Errors
/// SQLite's.
pub fn index_stale(conn: &Connection, limit: usize) -> Result<usize> {
    let mut vocabulary = HashSet::new();
    let mut indexed = Vec::new();
    let mut bytes = 0;
    for document_id in stale(conn, 0, limit)? {
        let one = index(conn, KEPT, document_id, Some(&mut vocabulary))?;
        bytes += one.bytes;
        indexed.push(one);
        if bytes >= BATCH_TEXT {
            break;
        }
    }
    // Not one by one, between the others: before a statement that may have to be undone FTS5 writes out what it has collected,
    // which takes fifty times as long as to collect it.
    for one in &indexed {
        one.keep(conn, KEPT)?;
        conn.prepare_cached("UPDATE documents SET search_stale = 0 WHERE document_id = ?1")?
            .execute([one.document_id])?;
    }
    // In their order: neighbours stand on one page.
    let mut vocabulary: Vec<String> = vocabulary.into_iter().collect();
    vocabulary.sort_unstable();
    for word in vocabulary {
        let backwards: String = word.chars().rev().collect();
        conn.prepare_cached("INSERT OR IGNORE INTO search_words (word, backwards) VALUES (?1, ?2)")?
            .execute([word, backwards])?;
    }
    Ok(indexed.len())
}

/// A document whose words are in the index, but not yet what goes with it.
#[derive(Debug)]
pub(super) struct Indexed {
    document_id: i64,
    stamp: i64,
    days: Option<dates::Days>,
    /// Of text that was indexed.
    bytes: usize,
}

impl Indexed {
    pub(super) fn keep(&self, conn: &Connection, tables: Tables) -> Result<()> {
        conn.prepare_cached(&format!(
            "INSERT OR REPLACE INTO {} (document_id, text_stamp, day_from, day_until) VALUES (?1, ?2, ?3, ?4)",
            tables.documents
        ))?
        .execute(params![
            self.document_id,
            self.stamp,
            self.days.map(|days| days.from),
            self.days.map(|days| days.until)
        ])?;
        Ok(())
    }
}

/// Documents that are not indexed as they are now, after `after`.
pub(super) fn stale(conn: &Connection, after: i64, limit: usize) -> Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT document_id FROM documents INDEXED BY documents_to_index
         WHERE search_stale = 1 AND document_id > ?1 ORDER BY document_id LIMIT ?2",
    )?;
    let rows =
        statement.query_map(params![after, i64::try_from(limit).unwrap_or(i64::MAX)], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Puts one document's words into the index; [`Indexed::keep`] has to follow, once all of a batch are there.
pub(super) fn index(
    conn: &Connection,
    tables: Tables,
    document_id: i64,
    vocabulary: Option<&mut HashSet<String>>,
) -> Result<Indexed> {
    let Tables { cards, texts, documents } = tables;
    let hash: Option<[u8; 32]> = conn
        .prepare_cached("SELECT content_hash FROM documents WHERE document_id = ?1")?
        .query_row([document_id], |row| row.get(0))?;
    let text = match hash {
        Some(hash) => enrichments::text(conn, hash)?.unwrap_or_default(),
        None => String::new(),
    };
    let stamp = stamp(&text);
    let known: Option<i64> = conn
        .prepare_cached(&format!("SELECT text_stamp FROM {documents} WHERE document_id = ?1"))?
        .query_row([document_id], |row| row.get(0))
        .optional()?;
    let mut bytes = 0;
    if known.unwrap_or(0) != stamp {
        if known.is_some_and(|known| known != 0) {
            conn.prepare_cached(&format!("DELETE FROM {texts} WHERE rowid = ?1"))?.execute([document_id])?;
        }
        if stamp != 0 {
            conn.prepare_cached(&format!("INSERT INTO {texts} (rowid, text) VALUES (?1, ?2)"))?
                .execute(params![document_id, words::spaced(&text)])?;
            bytes = text.len();
        }
    }
    drop(text);

    let card = card(conn, document_id, hash)?;
    if let Some(vocabulary) = vocabulary {
        for text in [&card.title, &card.author] {
            vocabulary
                .extend(words::words(text).map(|(_, word)| words::fold(word)).filter(|word| is_name(word)));
        }
    }
    if known.is_some() {
        conn.prepare_cached(&format!("DELETE FROM {cards} WHERE rowid = ?1"))?.execute([document_id])?;
    }
    conn.prepare_cached(&format!(
        "INSERT INTO {cards} (rowid, title, author, tags, notes, about, path, terms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
    ))?
    .execute(params![
        document_id,
        words::spaced(&card.title),
        words::spaced(&card.author),
        words::spaced(&card.tags),
        words::spaced(&card.notes),
        words::spaced(&card.about),
        words::spaced(&card.path),
        card.terms.join(" "),
    ])?;
    Ok(Indexed { document_id, stamp, days: card.days, bytes })
}

/// Tells one text from another; 0 for none.
fn stamp(text: &str) -> i64 {
    if !words::has_word(text) {
        return 0;
    }
    let hash = blake3::hash(text.as_bytes());
    let start = hash.as_bytes().first_chunk().expect("a hash has more than eight bytes");
    match i64::from_le_bytes(*start) {
        0 => 1,
        stamp => stamp,
    }
}

/// Whether a slip in it can be told: short words are too like others, figures are right or another number.
fn is_name(word: &str) -> bool {
    (4..=40).contains(&word.chars().count()) && word.chars().all(char::is_alphabetic)
}

/// What the index holds of a document beside its text.
#[derive(Debug, Default)]
struct Card {
    title: String,
    author: String,
    tags: String,
    notes: String,
    about: String,
    path: String,
    terms: Vec<String>,
    days: Option<dates::Days>,
}

fn card(conn: &Connection, document_id: i64, hash: Option<[u8; 32]>) -> Result<Card> {
    let annotations = documents::annotations(conn, document_id)?;
    let fields = effective(&annotations);
    let values = |field: Field| fields.get(&field).map_or(&[][..], |held| &held.values);
    let joined = |wanted: &[Field]| {
        wanted.iter().flat_map(|field| values(*field)).map(String::as_str).collect::<Vec<_>>().join("\n")
    };
    let mut terms = Vec::new();
    for (field, facet) in
        [(Field::SourceType, Facet::Type), (Field::AuthorityTier, Facet::Tier), (Field::Tags, Facet::Tag)]
    {
        terms.extend(values(field).iter().map(|value| words::term(facet, value)));
    }
    for language in values(Field::Language) {
        terms.extend(languages(language).into_iter().map(|tag| words::term(Facet::Language, tag)));
    }
    if let Some(mime) = mime(conn, hash)? {
        terms.push(words::term(Facet::Kind, &mime));
        terms.extend(mime.split('/').map(|half| words::term(Facet::Kind, half)));
    }
    let mut places = conn.prepare_cached(
        "SELECT d.library_id, d.path, f.name FROM files f JOIN dirs d USING (dir_id) WHERE f.document_id = ?1",
    )?;
    let mut rows = places.query([document_id])?;
    let mut paths = Vec::new();
    while let Some(row) = rows.next()? {
        let library = words::term(Facet::Library, &row.get::<_, i64>(0)?.to_string());
        if !terms.contains(&library) {
            terms.push(library);
        }
        paths.push(files::join(row.get(1)?, row.get(2)?).display());
    }
    Ok(Card {
        title: joined(&[Field::Title]),
        author: joined(&[Field::Author]),
        tags: joined(&[Field::Tags, Field::Subject]),
        notes: joined(&[Field::Notes]),
        about: joined(&[
            Field::Description,
            Field::PartOf,
            Field::Publisher,
            Field::Identifier,
            Field::Place,
        ]),
        // Words in names are joined by all kinds of marks; to the tokenizer most are separators, `_` among them.
        path: paths.join("\n"),
        terms,
        days: values(Field::Date).first().and_then(|date| dates::days(date)),
    })
}

fn mime(conn: &Connection, hash: Option<[u8; 32]>) -> Result<Option<String>> {
    let Some(hash) = hash else { return Ok(None) };
    Ok(conn
        .prepare_cached("SELECT mime FROM enrichments WHERE content_hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?
        .flatten())
}
