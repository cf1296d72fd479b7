//! Words that somebody may have meant: those of titles and authors that are a slip away from what was typed.
//!
//! Whoever slips once leaves the first half of the word right or the last one, so both halves are looked up, one of
//! them backwards; of a long word, which may have two slips, the first and the last third. That misses no word that is one
//! slip away, which shared groups of three letters do (`cat` and `cut` share none), and reads a handful of words. How far a
//! word is then decides the distance of Damerau: a letter too many, too few, another, or two that changed places.

use rusqlite::Connection;

use super::words;
use crate::catalog::Result;

/// Words that are looked at on either side.
const LOOKED_AT: i64 = 4000;
/// Words that are taken.
const TAKEN: usize = 8;

/// Words that may have been meant by `typed`, the nearest first; none where it is too short to tell.
pub(super) fn meant(conn: &Connection, typed: &str) -> Result<Vec<String>> {
    let typed = words::fold(typed);
    let letters: Vec<char> = typed.chars().collect();
    if letters.len() < 4
        || !letters.iter().all(|char| char.is_alphabetic())
        || letters.iter().any(|char| words::stands_alone(*char))
    {
        return Ok(Vec::new());
    }
    let slips = if letters.len() < 8 { 1 } else { 2 };
    let right = letters.len() / (slips + 1);
    let first: String = letters[..right].iter().collect();
    let last: String = letters[letters.len() - right..].iter().rev().collect();
    let mut found = Vec::new();
    for (column, beginning) in [("word", first), ("backwards", last)] {
        let mut statement = conn.prepare_cached(&format!(
            "SELECT word FROM search_words WHERE {column} >= ?1 AND {column} < ?1 || char(0x10ffff) LIMIT ?2"
        ))?;
        let mut rows = statement.query(rusqlite::params![beginning, LOOKED_AT])?;
        while let Some(row) = rows.next()? {
            let word = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            if let Some(distance) = near(&typed, word, slips) {
                found.push((distance, word.to_owned()));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found.truncate(TAKEN);
    Ok(found.into_iter().map(|(_, word)| word).collect())
}

/// How many slips away, where it is another word and no more than `slips` are.
fn near(typed: &str, word: &str, slips: usize) -> Option<usize> {
    if typed.chars().count().abs_diff(word.chars().count()) > slips {
        return None;
    }
    let distance = strsim::osa_distance(typed, word);
    (1..=slips).contains(&distance).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // O3
    #[rstest]
    #[case::a_letter_too_few("shelflst", "shelflist", Some(1))]
    #[case::two_changed_places("shefllist", "shelflist", Some(1))]
    #[case::another_letter("cut", "cat", Some(1))]
    #[case::the_word_itself("cat", "cat", None)]
    #[case::another_word("house", "mouth", None)]
    fn a_slip_is_told_from_another_word(
        #[case] typed: &str,
        #[case] word: &str,
        #[case] distance: Option<usize>,
    ) {
        assert_eq!(near(typed, word, 1), distance);
    }
}
