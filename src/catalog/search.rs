//! Full text over documents. What was not indexed yet is still found by its name.

use rusqlite::{Connection, params};

use super::Result;
use super::documents;
use crate::model::Field;
use crate::model::document::effective;

/// Brings the index in line with documents that changed, at most so many. Returns how many it was.
///
/// # Errors
/// SQLite's.
pub fn index_stale(conn: &Connection, limit: usize) -> Result<usize> {
    let stale: Vec<(i64, Option<[u8; 32]>)> = {
        let mut statement = conn.prepare_cached(
            "SELECT document_id, content_hash FROM documents WHERE search_stale = 1 ORDER BY document_id LIMIT ?1",
        )?;
        let rows = statement
            .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    for (document_id, hash) in &stale {
        let annotations = documents::annotations(conn, *document_id)?;
        let fields = effective(&annotations);
        let joined = |field: Field| fields.get(&field).map(|held| held.values.join(" ")).unwrap_or_default();
        let text = match hash {
            Some(hash) => super::enrichments::text(conn, *hash)?.unwrap_or_default(),
            None => String::new(),
        };
        let mut paths = conn.prepare_cached(
            "SELECT d.path, f.name FROM files f JOIN dirs d USING (dir_id) WHERE f.document_id = ?1",
        )?;
        let paths: Vec<String> = paths
            .query_map([document_id], |row| Ok(super::files::join(row.get(0)?, row.get(1)?).display()))?
            .collect::<rusqlite::Result<_>>()?;
        conn.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([document_id])?;
        conn.prepare_cached(
            "INSERT INTO search (rowid, title, author, tags, notes, path, text) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            document_id,
            joined(Field::Title),
            joined(Field::Author),
            format!("{} {}", joined(Field::Tags), joined(Field::Subject)),
            joined(Field::Notes),
            // Words in names are joined by all kinds of marks; to the tokenizer most are separators, `_` among them.
            paths.join("\n"),
            text,
        ])?;
        conn.prepare_cached("UPDATE documents SET search_stale = 0 WHERE document_id = ?1")?
            .execute([document_id])?;
    }
    Ok(stale.len())
}

/// Every word quoted: nothing a person types is query syntax, so nothing is a syntax error.
fn literal(query: &str) -> Option<String> {
    let words: Vec<String> =
        query.split_whitespace().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
    if words.is_empty() { None } else { Some(words.join(" ")) }
}

/// Documents that fit a query, best first, and how many there are in all. Title and author weigh most.
///
/// # Errors
/// SQLite's.
pub fn find(conn: &Connection, query: &str, limit: usize) -> Result<(Vec<i64>, u64)> {
    let Some(query_text) = literal(query) else { return Ok((Vec::new(), 0)) };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = conn.prepare_cached(
        "SELECT rowid FROM search WHERE search MATCH ?1 ORDER BY bm25(search, 10.0, 8.0, 6.0, 4.0, 3.0, 1.0), rowid LIMIT ?2",
    )?;
    let mut found: Vec<i64> = statement
        .query_map(params![query_text, limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut total = conn
        .prepare_cached("SELECT count(*) FROM search WHERE search MATCH ?1")?
        .query_row([&query_text], |row| row.get::<_, i64>(0))?
        .cast_unsigned();
    // Not indexed yet (scanned, not synced): by name. Each word must be in the path, as it stands.
    let mut unindexed = conn.prepare_cached(
        "SELECT DISTINCT d.document_id FROM documents d JOIN files f USING (document_id) JOIN dirs r USING (dir_id)
         WHERE d.search_stale = 1 AND NOT EXISTS (
             SELECT 1 FROM json_each(?1) w
             WHERE instr(lower(CAST(r.path || x'2F' || f.name AS TEXT)), lower(w.value)) = 0)
         ORDER BY d.document_id",
    )?;
    let words: Vec<&str> = query.split_whitespace().collect();
    let mut rows = unindexed.query([serde_json::to_string(&words)?])?;
    let seen: std::collections::HashSet<i64> = found.iter().copied().collect();
    while let Some(row) = rows.next()? {
        let document_id: i64 = row.get(0)?;
        if !seen.contains(&document_id) {
            total += 1;
            if (found.len() as i64) < limit {
                found.push(document_id);
            }
        }
    }
    Ok((found, total))
}

/// All documents that fit a query, in the order of their numbers.
///
/// # Errors
/// SQLite's.
pub fn matching(conn: &Connection, query: &str) -> Result<Vec<i64>> {
    let (mut found, _) = find(conn, query, usize::MAX)?;
    found.sort_unstable();
    Ok(found)
}

/// A piece of a text round the first of the query's words, for people.
#[must_use]
pub fn snippet(text: &str, query: &str, around: usize) -> Option<String> {
    let lower = text.to_lowercase();
    let word = query.split_whitespace().map(str::to_lowercase).find(|word| lower.contains(word.as_str()))?;
    let at = lower.find(&word)?;
    // Lower case can be longer or shorter than the original: count characters, not bytes.
    let chars_before = lower[..at].chars().count();
    let start = chars_before.saturating_sub(around);
    let piece: String = text.chars().skip(start).take(word.chars().count() + 2 * around).collect();
    let piece = piece.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(format!("{}{piece}…", if start > 0 { "…" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // O3
    #[test]
    fn query_syntax_is_searched_literally() {
        assert_eq!(literal("a \"b AND (c*").as_deref(), Some("\"a\" \"\"\"b\" \"AND\" \"(c*\""));
        assert_eq!(literal("  "), None);
    }

    #[test]
    fn a_snippet_shows_the_word_with_its_neighbours() {
        let text = "Aß ".repeat(50) + "the Needle in the hay " + &"z ".repeat(50);
        let piece = snippet(&text, "absent needle", 10).expect("it is in there");
        assert!(piece.contains("Needle in the"), "{piece}");
        assert_eq!(snippet("abc", "x", 10), None);
    }
}
