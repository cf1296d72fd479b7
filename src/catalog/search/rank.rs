//! Which of the documents that fit comes first.
//!
//! `bm25` weighs a word by how rare it is, and for that runs through its whole list, at every search. So it is asked of words
//! whose list is short, and their weight is what matters; among documents that have the same common words it decides
//! little. What counts there is asked for outright: all words in the title, next to each other in the title, next to each
//! other in the text.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::index::Tables;
use super::postings::SHORT;
use super::query::{Atom, Clause, Query, Scope, Words};
use super::ways::{card_expression, text_expression};
use super::words;
use crate::catalog::Result;

/// Of title, author, tags, notes, about, path, terms: a word in a title says most of what a document is about.
const WEIGHTS: &str = "10.0, 8.0, 6.0, 4.0, 3.0, 3.0, 0.0";
/// As much as a rare word in a title.
const ALL_IN_TITLE: f64 = 20.0;
const NEXT_IN_TITLE: f64 = 20.0;
const ALL_ON_CARD: f64 = 10.0;
const NEXT_IN_TEXT: f64 = 6.0;

/// Documents, the best first. In texts, whose lists are long, neighbours are looked for as far as `last_text` only.
pub(super) fn ranked(
    conn: &Connection,
    tables: Tables,
    query: &Query,
    documents: Vec<i64>,
    last_text: i64,
) -> Result<Vec<(i64, f64)>> {
    let mut scores: HashMap<i64, f64> = documents.iter().map(|id| (*id, 0.0)).collect();
    let asked: Vec<&Clause> = query
        .clauses
        .iter()
        .filter(|clause| !clause.not && clause.any.iter().any(|atom| matches!(atom, Atom::Words(_))))
        .collect();
    if scores.len() > 1 && !asked.is_empty() {
        let span =
            (documents.iter().min().copied().unwrap_or(0), documents.iter().max().copied().unwrap_or(0));
        // To weigh a document its length is read, a row of another table: not of those that fit by one word only. The `+` keeps
        // FTS5 from going for each of them by itself.
        let these = serde_json::to_string(&documents)?;
        let mut add = |sql: &str, expression: &str, last: i64, of_row: &dyn Fn(f64) -> f64| -> Result<()> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = if statement.parameter_count() == 4 {
                statement.query(params![expression, span.0, last, these])?
            } else {
                statement.query(params![expression, span.0, last])?
            };
            while let Some(row) = rows.next()? {
                if let Some(score) = scores.get_mut(&row.get(0)?) {
                    *score += of_row(row.get(1)?);
                }
            }
            Ok(())
        };
        for (table, weights, expression) in [
            (tables.cards, format!(", {WEIGHTS}"), card_expression as fn(&Clause) -> Option<String>),
            (tables.texts, String::new(), text_expression),
        ] {
            let mut rare = Vec::new();
            for clause in &asked {
                if let Some(expression) = expression(clause)
                    && is_rare(conn, table, clause)?
                {
                    rare.push(expression);
                }
            }
            if !rare.is_empty() {
                add(
                    &format!(
                        "SELECT rowid, bm25({table}{weights}) FROM {table} WHERE {table} MATCH ?1 AND rowid BETWEEN ?2 AND ?3
                           AND +rowid IN (SELECT value FROM json_each(?4))"
                    ),
                    &rare.join(" OR "),
                    span.1,
                    &|bm25| -bm25,
                )?;
            }
        }
        let cards = format!(
            "SELECT rowid, 0.0 FROM {0} WHERE {0} MATCH ?1 AND rowid BETWEEN ?2 AND ?3",
            tables.cards
        );
        let texts = format!(
            "SELECT rowid, 0.0 FROM {0} WHERE {0} MATCH ?1 AND rowid BETWEEN ?2 AND ?3",
            tables.texts
        );
        let plain: Vec<String> = asked
            .iter()
            .filter_map(|clause| match &clause.any[..] {
                [Atom::Words(words)] if words.scope == Scope::Anywhere => Some(words.phrase()),
                _ => None,
            })
            .collect();
        if plain.len() == asked.len() {
            add(&cards, &plain.join(" AND "), span.1, &|_| ALL_ON_CARD)?;
            add(&cards, &format!("{{title}} : ({})", plain.join(" AND ")), span.1, &|_| ALL_IN_TITLE)?;
            if plain.len() > 1 && plain.iter().all(|phrase| phrase.ends_with('"')) {
                let next = plain.join(" + ");
                add(&cards, &format!("{{title}} : {next}"), span.1, &|_| NEXT_IN_TITLE)?;
                add(&texts, &next, last_text, &|_| NEXT_IN_TEXT)?;
            }
        }
    }
    let mut ranked: Vec<(i64, f64)> = documents.into_iter().map(|id| (id, scores[&id])).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(ranked)
}

/// Whether `bm25` is quick with it: every word or phrase of it holds a word with a short list. The beginning of a word has
/// none at all, it is made at every look.
fn is_rare(conn: &Connection, table: &str, clause: &Clause) -> Result<bool> {
    for atom in &clause.any {
        let Atom::Words(Words { text, prefix: false, .. }) = atom else { return Ok(false) };
        let mut any = false;
        for (_, word) in words::words(text) {
            any = any || is_short(conn, table, word)?;
        }
        if !any {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_short(conn: &Connection, table: &str, word: &str) -> Result<bool> {
    let length: i64 = conn
        .prepare_cached(&format!(
            "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ?1 LIMIT {SHORT})"
        ))?
        .query_row([format!("\"{word}\"")], |row| row.get(0))?;
    Ok(length < SHORT as i64)
}
