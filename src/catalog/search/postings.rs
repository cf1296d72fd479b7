//! Which documents a query fits: the lists of its words and values, run through side by side.
//!
//! Every list is in the order of the documents' numbers: what one index answers to all that it is asked (see [`super::ways`]),
//! or what the catalogue's own tables say. Whoever is furthest behind jumps to where the one in front is, so the rarest list
//! sets the pace and the commonest are only looked into. Lists are fetched in blocks: a short one is whole after the first, a
//! long one is never read to its end for a search that shows twenty hits.

use rusqlite::{Connection, params};

use super::index::Tables;
use super::query::{Atom, Clause, Query};
use super::ways::{Asked, Way, card_expression, has_prefix, text_expression, ways};
use super::words::Facet;
use crate::catalog::{Result, libraries};

/// After jumps in an index, at least: to begin costs more than these.
const JUMP_BLOCK: usize = 16;
/// After jumps in a table, at least: what fits may be far apart in it.
const LOOK: usize = 1;
/// At first, so many times that.
const FIRST: usize = 16;
/// A list of that kind is taken whole; a word with fewer documents is rare.
pub(super) const SHORT: usize = 2048;
/// At most.
const LAST_BLOCK: usize = 65_536;
/// The beginning of a word has a list that SQLite makes anew for each block.
const PREFIX_BLOCK: usize = 1_000_000;

/// What may still be spent, in rows that are read; a block costs as many as it takes to begin one. None: no end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget(pub(super) Option<u64>);

impl Budget {
    const OF_A_BLOCK: u64 = 50;

    fn half(self) -> Self {
        Budget(self.0.map(|left| left / 2))
    }

    /// What was spent of a part.
    fn spend_as(&mut self, before: Self, after: Self) {
        if let (Some(left), Some(before), Some(after)) = (&mut self.0, before.0, after.0) {
            *left = left.saturating_sub(before - after);
        }
    }

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
    /// The smallest block.
    least: usize,
    is_prefix: bool,
    ended: bool,
}

impl List {
    fn new(sql: String, asks: Option<String>) -> Self {
        List { sql, asks, block: Vec::new(), at: 0, size: 0, least: LOOK, is_prefix: false, ended: false }
    }

    fn matching(table: &str, asked: &Asked) -> Self {
        let sql = format!("SELECT rowid FROM {table} WHERE {table} MATCH ?2 AND rowid >= ?1 ORDER BY rowid");
        List {
            least: JUMP_BLOCK,
            is_prefix: asked.has_prefix,
            ..List::new(sql, Some(asked.expression.clone()))
        }
    }

    /// About how many documents of the list stand between the block and `from`, if it goes on as it was.
    fn left_out(&self, from: i64) -> usize {
        let (Some(first), Some(last)) = (self.block.first(), self.block.last()) else { return 0 };
        let share = self.block.len() as f64 / (last - first + 1) as f64;
        ((from - last - 1) as f64 * share) as usize
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
        self.size = match self.size {
            _ if self.is_prefix => PREFIX_BLOCK,
            0 => self.least * FIRST,
            size => match self.left_out(from) {
                // What is begun again costs as much as to read on for some fifty.
                rows if rows <= size / 2 => (size * 4).min(LAST_BLOCK),
                rows if rows <= size * 4 => size,
                _ => (size / 4).max(self.least),
            },
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
        // What a beginning costs is spent before its first row.
        budget.spend(if self.is_prefix { 0 } else { self.block.len() });
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
    /// The last that has everything in its text; those that have it on their cards stand anywhere.
    pub(super) last_text: i64,
}

/// Those of one way.
struct Fits {
    documents: Vec<i64>,
    complete: bool,
}

/// Documents that fit, of each way at most so many, and those only that `wanted` wants.
pub(super) fn fitting(
    conn: &Connection,
    tables: Tables,
    query: &Query,
    limit: usize,
    budget: Budget,
    wanted: impl Fn(i64) -> bool,
) -> Result<Fitting> {
    let (ways, checked) = ways(query);
    let mut all = Fitting { documents: Vec::new(), complete: true, last_text: 0 };
    let mut left = budget;
    for (n, way) in ways.iter().enumerate() {
        // On the card or in the text as a whole is best; what is mixed is not looked for where there is enough.
        if n >= 2 && all.documents.len() >= limit {
            all.complete = false;
            break;
        }
        // No way may leave nothing for those after it.
        let mut may_spend = if n + 1 < ways.len() { left.half() } else { left };
        let before = may_spend;
        let fits = fitting_so(conn, tables, way, &checked, limit, &mut may_spend, &wanted)?;
        left.spend_as(before, may_spend);
        all.complete &= fits.complete;
        if n == 1 || ways.len() == 1 {
            all.last_text = fits.documents.last().copied().unwrap_or(0);
        }
        all.documents.extend(fits.documents);
    }
    all.documents.sort_unstable();
    all.documents.dedup();
    Ok(all)
}

/// Documents that fit in one way, in the order of their numbers.
fn fitting_so(
    conn: &Connection,
    tables: Tables,
    way: &Way,
    checked: &[&Clause],
    limit: usize,
    budget: &mut Budget,
    wanted: &impl Fn(i64) -> bool,
) -> Result<Fits> {
    let of = |cards: &Option<Asked>, texts: &Option<Asked>| -> Vec<Lists> {
        [(tables.cards, cards), (tables.texts, texts)]
            .into_iter()
            .filter_map(|(table, asked)| Some(Lists(vec![List::matching(table, asked.as_ref()?)])))
            .collect()
    };
    let mut lists = of(&way.cards, &way.texts);
    let mut refused = of(&way.refused_cards, &way.refused_texts);
    for clause in checked {
        let side = if clause.not { &mut refused } else { &mut lists };
        side.push(lists_of(conn, tables, clause)?);
    }
    if lists.is_empty() {
        let all = format!("SELECT document_id FROM {} WHERE document_id >= ?1 ORDER BY 1", tables.documents);
        lists.push(Lists(vec![List::new(all, None)]));
    }
    // The shortest leads.
    for list in &mut lists {
        if list.first_from(conn, 0, budget)?.is_none() {
            return Ok(Fits { documents: Vec::new(), complete: true });
        }
    }
    lists.sort_by_key(Lists::length);

    let mut documents = Vec::new();
    let mut from = 0;
    'documents: loop {
        if documents.len() >= limit || budget.is_spent() {
            return Ok(Fits { documents, complete: false });
        }
        for list in &mut lists {
            match list.first_from(conn, from, budget)? {
                None => return Ok(Fits { documents, complete: true }),
                Some(id) if id > from => {
                    from = id;
                    continue 'documents;
                }
                Some(_) => {}
            }
        }
        let mut fits = wanted(from);
        for list in &mut refused {
            fits = fits && list.first_from(conn, from, budget)? != Some(from);
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

/// The lists of a clause that is checked by itself.
fn lists_of(conn: &Connection, tables: Tables, clause: &Clause) -> Result<Lists> {
    let asked = |expression| Asked { expression, has_prefix: has_prefix(clause) };
    let mut lists = Vec::new();
    if let Some(expression) = card_expression(clause) {
        lists.push(List::matching(tables.cards, &asked(expression)));
    }
    if let Some(expression) = text_expression(clause) {
        lists.push(List::matching(tables.texts, &asked(expression)));
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
    let rows = statement.query_map([i64::try_from(SHORT).expect("small")], |row| row.get(0))?;
    let mut block: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
    if block.len() >= SHORT {
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
