//! Which of the documents that fit comes first.
//!
//! `bm25` weighs a word by how rare it is, and for that runs through its whole list, at every search. So it is asked of words
//! whose list is short, and their weight is what matters; among documents that have the same common words it decides
//! little. What counts there is asked for outright: all words in the title, next to each other in the title, next to each
//! other in the text.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::index::Tables;
use super::postings::{FIRST_BLOCK, card_expression, text_expression};
use super::query::{Atom, Clause, Query, Scope};
use crate::catalog::Result;

/// Of title, author, tags, notes, about, path, terms: a word in a title says most of what a document is about.
const WEIGHTS: &str = "10.0, 8.0, 6.0, 4.0, 3.0, 3.0, 0.0";
/// As much as a rare word in a title.
const ALL_IN_TITLE: f64 = 20.0;
const NEXT_IN_TITLE: f64 = 20.0;
const ALL_ON_CARD: f64 = 10.0;
const NEXT_IN_TEXT: f64 = 6.0;

/// Documents, the best first.
pub(super) fn ranked(
    conn: &Connection,
    tables: Tables,
    query: &Query,
    documents: Vec<i64>,
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
        let mut add = |sql: &str, expression: &str, of_row: &dyn Fn(f64) -> f64| -> Result<()> {
            let mut statement = conn.prepare_cached(sql)?;
            let mut rows = statement.query(params![expression, span.0, span.1])?;
            while let Some(row) = rows.next()? {
                if let Some(score) = scores.get_mut(&row.get(0)?) {
                    *score += of_row(row.get(1)?);
                }
            }
            Ok(())
        };
        for (table, weights, expressions) in [
            (
                tables.cards,
                format!(", {WEIGHTS}"),
                asked.iter().filter_map(|clause| card_expression(clause)).collect(),
            ),
            (
                tables.texts,
                String::new(),
                asked.iter().filter_map(|clause| text_expression(clause)).collect::<Vec<_>>(),
            ),
        ] {
            let mut rare = Vec::new();
            for expression in expressions {
                if is_rare(conn, table, &expression)? {
                    rare.push(expression);
                }
            }
            if !rare.is_empty() {
                add(
                    &format!(
                        "SELECT rowid, bm25({table}{weights}) FROM {table} WHERE {table} MATCH ?1 AND rowid BETWEEN ?2 AND ?3"
                    ),
                    &rare.join(" OR "),
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
            add(&cards, &plain.join(" AND "), &|_| ALL_ON_CARD)?;
            add(&cards, &format!("{{title}} : ({})", plain.join(" AND ")), &|_| ALL_IN_TITLE)?;
            if plain.len() > 1 && plain.iter().all(|phrase| phrase.ends_with('"')) {
                let next = plain.join(" + ");
                add(&cards, &format!("{{title}} : {next}"), &|_| NEXT_IN_TITLE)?;
                add(&texts, &next, &|_| NEXT_IN_TEXT)?;
            }
        }
    }
    let mut ranked: Vec<(i64, f64)> = documents.into_iter().map(|id| (id, scores[&id])).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Ok(ranked)
}

fn is_rare(conn: &Connection, table: &str, expression: &str) -> Result<bool> {
    let length: i64 = conn
        .prepare_cached(&format!(
            "SELECT count(*) FROM (SELECT 1 FROM {table} WHERE {table} MATCH ?1 LIMIT {FIRST_BLOCK})"
        ))?
        .query_row([expression], |row| row.get(0))?;
    Ok(length < FIRST_BLOCK as i64)
}
