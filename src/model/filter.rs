//! What a document's card must say, in the few terms that every store can be asked by.
//!
//! Pure data between who understands what was typed and who asks a store. Values are compared as the catalogue's own search
//! compares them: without case, diacritics and doubled spaces ([`same_word`]), languages also by what they are a kind of,
//! dates by the days that they may mean ([`super::dates`]).

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// All of its clauses must hold; an empty one asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter(pub Vec<Clause>);

/// Holds where one of its terms does, or, turned round, where none does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clause {
    /// Turned round.
    pub not: bool,
    /// Never empty.
    pub any: Vec<Term>,
}

/// One thing that a card may say. Words are as [`same_word`] makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Term {
    /// Its source type.
    Type(String),
    /// Its authority tier.
    Tier(String),
    /// One of its tags.
    Tag(String),
    /// Its language, or what that is a kind of.
    Language(String),
    /// Its date ends before this day: 20200531.
    Before(i64),
    /// Its date begins on this day or later.
    After(i64),
}

impl Filter {
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A word without case and diacritics: words that are the same to a reader in a hurry are equal.
#[must_use]
pub fn fold(word: &str) -> String {
    if word.is_ascii() {
        return word.to_ascii_lowercase();
    }
    word.nfd().filter(|char| !is_combining_mark(*char)).flat_map(char::to_lowercase).nfc().collect()
}

/// A value as filters compare it: folded, with single spaces.
#[must_use]
pub fn same_word(value: &str) -> String {
    fold(&value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A language, and what it is a kind of: `de-AT` is `de`.
#[must_use]
pub fn languages(tag: &str) -> Vec<&str> {
    let kind = tag.split_once(['-', '_']).map(|(primary, _)| primary);
    [Some(tag), kind].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // O3
    #[test]
    fn words_are_equal_without_case_and_diacritics() {
        assert_eq!(fold("Ångström"), "angstrom");
        assert_eq!(fold("A\u{30a}ngstro\u{308}m"), "angstrom");
        assert_eq!(fold("ΆΛΦΑ"), fold("άλφα"));
        assert_eq!(same_word("  World\u{a0}  History "), "world history");
        assert_eq!(languages("de-AT"), ["de-AT", "de"]);
        assert_eq!(languages("de"), ["de"]);
    }
}
