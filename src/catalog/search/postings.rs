//! Which documents a query fits: the lists of its words and values, run through side by side.
//!
//! Every list is in the order of the documents' numbers. Whoever is furthest behind jumps to where the one in front is, so
//! the rarest list sets the pace and the commonest are only looked into. Lists are fetched in blocks: a short one is whole
//! after the first, a long one is never read to its end for a search that shows twenty hits.

use rusqlite::{Connection, params};

use super::index::Tables;
use super::query::{Atom, Clause, Query};
use super::words::{self, Facet};
use crate::catalog::{Result, libraries};

/// Of a list, at first; what has fewer is rare.
pub(super) const FIRST_BLOCK: usize = 2048;
/// After a jump.
const JUMP_BLOCK: usize = 16;
/// At most.
const LAST_BLOCK: usize = 65_536;
/// The beginning of a word has a list that SQLite makes anew for each block.
const PREFIX_BLOCK: usize = 200_000;

/// What may still be spent, in rows that are read; a block costs as many as it takes to begin one. None: no end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget(pub(super) Option<u64>);

impl Budget {
    const OF_A_BLOCK: u64 = 100;

    fn spend(&mut self, rows: usize) {
        if let Some(left) = &mut self.0 {
            *left = left.saturating_sub(Self::OF_A_BLOCK + rows as u64);
        }
    }

    fn is_spent(self) -> bool {
        self.0 == Some(0)
    }
}

/// One list.
#[derive(Debug)]
struct List {
    sql: String,
    asks: Option<String>,
    block: Vec<i64>,
    at: usize,
    size: usize,
    is_prefix: bool,
    ended: bool,
}

impl List {
    fn new(sql: String, asks: Option<String>) -> Self {
        List { sql, asks, block: Vec::new(), at: 0, size: 0, is_prefix: false, ended: false }
    }

    fn matching(table: &str, expression: String, is_prefix: bool) -> Self {
        let sql = format!("SELECT rowid FROM {table} WHERE {table} MATCH ?2 AND rowid >= ?1 ORDER BY rowid");
        List { is_prefix, ..List::new(sql, Some(expression)) }
    }

    /// Its first document from `from` on.
    fn first_from(&mut self, conn: &Connection, from: i64, budget: &mut Budget) -> Result<Option<i64>> {
        self.at += self.block[self.at..].partition_point(|id| *id < from);
        if let Some(id) = self.block.get(self.at) {
            return Ok(Some(*id));
        }
        if self.ended {
            return Ok(None);
        }
        let goes_on = self.block.last().is_some_and(|last| from - last <= 2);
        self.size = match self.size {
            _ if self.is_prefix => PREFIX_BLOCK,
            0 => FIRST_BLOCK,
            size if goes_on => (size * 4).min(LAST_BLOCK),
            _ => JUMP_BLOCK,
        };
        // Written out: SQLite prepares a statement anew whenever another limit is bound to it.
        let mut statement = conn.prepare_cached(&format!("{} LIMIT {}", self.sql, self.size))?;
        self.block.clear();
        let mut rows = match &self.asks {
            Some(asks) => statement.query(params![from, asks])?,
            None => statement.query([from])?,
        };
        while let Some(row) = rows.next()? {
            self.block.push(row.get(0)?);
        }
        self.at = 0;
        self.ended = self.block.len() < self.size;
        budget.spend(self.block.len());
        Ok(self.block.first().copied())
    }
}

/// The lists of one clause: a document in any of them fits.
#[derive(Debug)]
struct Lists(Vec<List>);

impl Lists {
    fn first_from(&mut self, conn: &Connection, from: i64, budget: &mut Budget) -> Result<Option<i64>> {
        let mut first: Option<i64> = None;
        for list in &mut self.0 {
            // What stands at the very place already cannot be bettered.
            if first == Some(from) {
                break;
            }
            if let Some(id) = list.first_from(conn, from, budget)? {
                first = Some(first.map_or(id, |first| first.min(id)));
            }
        }
        Ok(first)
    }

    /// How long it is, as far as that is known by now.
    fn length(&self) -> usize {
        self.0.iter().map(|list| if list.ended { list.block.len() } else { usize::MAX / 64 }).sum()
    }
}

/// Documents that fit, in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Fitting {
    pub(super) documents: Vec<i64>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// Documents that fit, at most so many, and those only that `wanted` wants.
pub(super) fn fitting(
    conn: &Connection,
    tables: Tables,
    query: &Query,
    limit: usize,
    mut budget: Budget,
    wanted: impl Fn(i64) -> bool,
) -> Result<Fitting> {
    let (positive, negative): (Vec<&Clause>, Vec<&Clause>) =
        query.clauses.iter().partition(|clause| !clause.not);
    let mut lists = Vec::new();
    // What only cards can answer is asked in one go: SQLite runs through its own lists faster than we do.
    let (on_cards, elsewhere): (Vec<&Clause>, Vec<&Clause>) = positive
        .into_iter()
        .partition(|clause| card_expression(clause).is_some() && is_of_cards_only(clause));
    let expressions: Vec<String> = on_cards.iter().filter_map(|clause| card_expression(clause)).collect();
    if !expressions.is_empty() {
        let is_prefix = on_cards.iter().any(|clause| has_prefix(clause));
        lists.push(Lists(vec![List::matching(tables.cards, expressions.join(" AND "), is_prefix)]));
    }
    for clause in elsewhere {
        lists.push(lists_of(conn, tables, clause)?);
    }
    let mut refused =
        negative.into_iter().map(|clause| lists_of(conn, tables, clause)).collect::<Result<Vec<_>>>()?;
    if lists.is_empty() {
        let all = format!("SELECT document_id FROM {} WHERE document_id >= ?1 ORDER BY 1", tables.documents);
        lists.push(Lists(vec![List::new(all, None)]));
    }
    // The shortest leads.
    for list in &mut lists {
        if list.first_from(conn, 0, &mut budget)?.is_none() {
            return Ok(Fitting { documents: Vec::new(), complete: true });
        }
    }
    lists.sort_by_key(Lists::length);

    let mut documents = Vec::new();
    let mut from = 0;
    'documents: loop {
        if documents.len() >= limit || budget.is_spent() {
            return Ok(Fitting { documents, complete: false });
        }
        for list in &mut lists {
            match list.first_from(conn, from, &mut budget)? {
                None => return Ok(Fitting { documents, complete: true }),
                Some(id) if id > from => {
                    from = id;
                    continue 'documents;
                }
                Some(_) => {}
            }
        }
        let mut fits = wanted(from);
        for list in &mut refused {
            fits = fits && list.first_from(conn, from, &mut budget)? != Some(from);
        }
        if fits {
            documents.push(from);
        }
        from += 1;
    }
}

/// With names of libraries as their numbers.
pub(super) fn with_libraries(conn: &Connection, query: &Query) -> Result<Query> {
    let mut query = query.clone();
    for atom in query.clauses.iter_mut().flat_map(|clause| &mut clause.any) {
        if let Atom::Library(name) = atom {
            // Nothing is in a library that is not there.
            let id = libraries::by_name_or_id(conn, name)?.map_or(0, |library| library.library_id);
            *atom = Atom::Exact(Facet::Library, id.to_string());
        }
    }
    Ok(query)
}

fn has_prefix(clause: &Clause) -> bool {
    clause.any.iter().any(|atom| matches!(atom, Atom::Words(words) if words.prefix))
}

/// Whether nothing but the index of cards has a word in it.
fn is_of_cards_only(clause: &Clause) -> bool {
    clause.any.iter().all(|atom| match atom {
        Atom::Words(words) => words.in_texts().is_none() && words.on_cards().is_some(),
        Atom::Exact(..) => true,
        Atom::Library(_) | Atom::Missing | Atom::Before(_) | Atom::After(_) => false,
    })
}

/// A clause as the index of cards is asked, as far as it knows of it.
pub(super) fn card_expression(clause: &Clause) -> Option<String> {
    either(clause.any.iter().filter_map(|atom| match atom {
        Atom::Words(words) => words.on_cards(),
        Atom::Exact(facet, value) => Some(format!("{{terms}} : {}", words::term(*facet, value))),
        _ => None,
    }))
}

/// A clause as the index of texts is asked, as far as it knows of it.
pub(super) fn text_expression(clause: &Clause) -> Option<String> {
    either(clause.any.iter().filter_map(|atom| match atom {
        Atom::Words(words) => words.in_texts(),
        _ => None,
    }))
}

fn either(expressions: impl Iterator<Item = String>) -> Option<String> {
    let expressions: Vec<String> = expressions.collect();
    (!expressions.is_empty()).then(|| format!("({})", expressions.join(" OR ")))
}

fn lists_of(conn: &Connection, tables: Tables, clause: &Clause) -> Result<Lists> {
    let mut lists = Vec::new();
    if let Some(expression) = card_expression(clause) {
        lists.push(List::matching(tables.cards, expression, has_prefix(clause)));
    }
    if let Some(expression) = text_expression(clause) {
        lists.push(List::matching(tables.texts, expression, has_prefix(clause)));
    }
    for atom in &clause.any {
        match atom {
            Atom::Missing => lists.push(missing(conn, tables)?),
            Atom::Before(day) => lists.push(dated(conn, tables, "day_until < ", *day)?),
            Atom::After(day) => lists.push(dated(conn, tables, "day_from >= ", *day)?),
            Atom::Words(_) | Atom::Exact(..) | Atom::Library(_) => {}
        }
    }
    Ok(Lists(lists))
}

/// A list that is found by an index of its own where it is short, and by looking at every document where it is long.
fn short_or_long(conn: &Connection, short: &str, long: String) -> Result<List> {
    let mut statement = conn.prepare_cached(short)?;
    let rows = statement.query_map([i64::try_from(FIRST_BLOCK).expect("small")], |row| row.get(0))?;
    let mut block: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
    if block.len() >= FIRST_BLOCK {
        return Ok(List::new(long, None));
    }
    block.sort_unstable();
    block.dedup();
    Ok(List { block, ended: true, ..List::new(long, None) })
}

/// As the files stand now, indexed or not.
fn missing(conn: &Connection, tables: Tables) -> Result<List> {
    short_or_long(
        conn,
        // <> 'present' says nothing new to a reader, but lets SQLite use the partial index.
        "SELECT document_id FROM files WHERE presence <> 'present' AND presence = 'missing' AND document_id IS NOT NULL LIMIT ?1",
        format!(
            "SELECT document_id FROM {} d WHERE document_id >= ?1
               AND EXISTS (SELECT 1 FROM files f WHERE f.document_id = d.document_id AND f.presence = 'missing')
             ORDER BY document_id",
            tables.documents
        ),
    )
}

fn dated(conn: &Connection, tables: Tables, comparison: &str, day: i64) -> Result<List> {
    let table = tables.documents;
    short_or_long(
        conn,
        &format!(
            "SELECT document_id FROM {table} WHERE day_from IS NOT NULL AND {comparison} {day} LIMIT ?1"
        ),
        format!(
            "SELECT document_id FROM {table} WHERE document_id >= ?1 AND +{comparison} {day} ORDER BY document_id"
        ),
    )
}
