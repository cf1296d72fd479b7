//! A piece of a text round the words that were looked for.
//!
//! Texts may be long: no more of one is looked at than its first mebibyte, word by word, until enough was found.

use std::io::Read;
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension};

use super::query::{Query, Scope, Words};
use super::words;
use crate::catalog::Result;

/// So much of a text is looked at, in bytes.
pub(super) const LOOKED_AT: usize = 1 << 20;
/// Places that are weighed against each other.
const PLACES: usize = 64;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// The piece on one line, with `…` where it was cut.
    pub text: String,
    /// Where the words are in it, in bytes.
    pub marks: Vec<Range<usize>>,
}

/// The beginning of a content's text, as much as a snippet looks at: what follows is not even read.
///
/// # Errors
/// SQLite's.
pub fn beginning(conn: &Connection, hash: [u8; 32]) -> Result<Option<String>> {
    let rowid: Option<i64> = conn
        .prepare_cached("SELECT rowid FROM texts WHERE content_hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    let Some(rowid) = rowid else { return Ok(None) };
    let blob = conn.blob_open("main", "texts", "text", rowid, true)?;
    let mut bytes = Vec::with_capacity(blob.len().min(LOOKED_AT));
    blob.take(LOOKED_AT as u64).read_to_end(&mut bytes).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })?;
    // A character may be cut at the end.
    let whole = bytes.utf8_chunks().next().map_or(0, |chunk| chunk.valid().len());
    bytes.truncate(whole);
    Ok(String::from_utf8(bytes).ok())
}

/// The piece that holds most of the query's words, `around` characters on either side of the first. None where the text holds
/// none of them.
#[must_use]
pub fn snippet(text: &str, query: &Query, around: usize) -> Option<Snippet> {
    let wanted: Vec<Vec<String>> =
        query.shown().into_iter().filter(|words| words.scope != Scope::Path).map(folded).collect();
    let prefixes: Vec<bool> = query
        .shown()
        .into_iter()
        .filter(|words| words.scope != Scope::Path)
        .map(|words| words.prefix)
        .collect();
    let looked_at = &text[..text.floor_char_boundary(LOOKED_AT.min(text.len()))];
    let places = places(looked_at, &wanted, &prefixes);
    let span = around * 2;
    // The place that has most different words near it, the first of several.
    let (_, best) = places
        .iter()
        .enumerate()
        .map(|(at, (range, _))| {
            let near = places[at..].iter().take_while(|(other, _)| other.start < range.start + span);
            let kinds: std::collections::HashSet<usize> = near.map(|(_, kind)| *kind).collect();
            (kinds.len(), at)
        })
        .max_by_key(|(kinds, at)| (*kinds, std::cmp::Reverse(*at)))?;
    let first = &places[best].0;
    let begin = back(looked_at, first.start, around);
    let end = forth(text, first.end, around);
    let mut snippet = String::new();
    let mut marks = Vec::new();
    if begin > 0 {
        snippet.push('…');
    }
    let mut at = begin;
    for (range, _) in places.iter().filter(|(range, _)| range.start >= begin && range.end <= end) {
        if range.start < at {
            continue;
        }
        push_on_one_line(&mut snippet, &text[at..range.start]);
        let mark = snippet.len();
        push_on_one_line(&mut snippet, &text[range.clone()]);
        marks.push(mark..snippet.len());
        at = range.end;
    }
    push_on_one_line(&mut snippet, &text[at..end]);
    let length = snippet.trim_end().len();
    snippet.truncate(length);
    if end < text.len() {
        snippet.push('…');
    }
    Some(Snippet { text: snippet, marks })
}

fn folded(words: &Words) -> Vec<String> {
    words::words(&words::spaced(&words.text)).map(|(_, word)| words::fold(word)).collect()
}

/// Where the text holds one of the phrases, and which.
fn places(text: &str, wanted: &[Vec<String>], prefixes: &[bool]) -> Vec<(Range<usize>, usize)> {
    // The begun phrases: which one, how many of its words were met, where it begins.
    let mut begun: Vec<(usize, usize, usize)> = Vec::new();
    let mut places = Vec::new();
    for (at, word) in words::words(text) {
        let folded = words::fold(word);
        let end = at + word.len();
        begun.extend((0..wanted.len()).map(|which| (which, 0, at)));
        begun.retain_mut(|(which, met, begin)| {
            let phrase = &wanted[*which];
            let Some(next) = phrase.get(*met) else { return false };
            let last = *met + 1 == phrase.len();
            let fits = folded == *next || (last && prefixes[*which] && folded.starts_with(next.as_str()));
            *met += 1;
            if fits && last {
                places.push((*begin..end, *which));
            }
            fits && !last
        });
        if places.len() >= PLACES {
            break;
        }
    }
    places
}

/// So many characters before, not in the middle of a word.
fn back(text: &str, at: usize, chars: usize) -> usize {
    let begin = text[..at].char_indices().rev().take(chars).last().map_or(at, |(begin, _)| begin);
    match text[begin..at].find(char::is_whitespace) {
        Some(space) if begin > 0 => begin + space,
        _ => begin,
    }
}

/// So many characters after, not in the middle of a word.
fn forth(text: &str, at: usize, chars: usize) -> usize {
    let end = text[at..].char_indices().nth(chars).map_or(text.len(), |(length, _)| at + length);
    match text[at..end].rfind(char::is_whitespace) {
        Some(space) if end < text.len() && space > 0 => at + space,
        _ => end,
    }
}

fn push_on_one_line(line: &mut String, text: &str) {
    for char in text.chars() {
        if char.is_whitespace() {
            if !line.is_empty() && !line.ends_with([' ', '…']) {
                line.push(' ');
            }
        } else {
            line.push(char);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, query: &str) -> Option<String> {
        snippet(text, &Query::parse(query), 20).map(|snippet| {
            let mut shown = snippet.text;
            for mark in snippet.marks.into_iter().rev() {
                shown.insert(mark.end, ']');
                shown.insert(mark.start, '[');
            }
            shown
        })
    }

    // O3
    #[test]
    fn a_snippet_shows_the_words_with_their_neighbours() {
        let text = "Aß ".repeat(50) + "the Needle\n in the hay " + &"z ".repeat(50);
        assert_eq!(of(&text, "absent needle").unwrap(), "…Aß Aß Aß Aß Aß the [Needle] in the hay z z z…");
        assert_eq!(of("abc", "x"), None);
    }

    // O3
    #[test]
    fn a_snippet_knows_phrases_beginnings_and_diacritics() {
        assert_eq!(of("in a café society", "cafe").unwrap(), "in a [café] society");
        assert_eq!(of("the cafeteria", "caf*").unwrap(), "the [cafeteria]");
        assert_eq!(of("two three, one two", "\"one two\"").unwrap(), "two three, [one two]");
        assert_eq!(of("今日は東京都庁へ行く", "京都庁").unwrap(), "今日は東[京都庁]へ行く");
        assert_eq!(of("a path/word", "path:word"), None);
    }

    #[test]
    fn where_most_words_are_near_each_other_is_shown() {
        let text = format!("one {} one two {}", "x ".repeat(100), "y ".repeat(100));
        assert!(of(&text, "one two").unwrap().contains("[one] [two]"));
    }

    #[test]
    fn of_a_long_text_only_the_beginning_is_looked_at() {
        let text = "é".repeat(LOOKED_AT) + " needle";
        assert_eq!(of(&text, "needle"), None);
    }
}
