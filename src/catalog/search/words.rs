//! Words as the index has them: what a text is given as to the tokenizer, and what two words are compared by.
//!
//! The tokenizer (`unicode61`) parts words at everything that is no letter and no figure. Scripts that write without
//! spaces would become one endless word a sentence, so their characters are given to it one by one, and a word of them is
//! searched as the phrase of its characters: found wherever it stands, one character as well as ten.

use std::borrow::Cow;

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

pub(super) use crate::model::filter::fold;
use crate::model::filter::same_word;

/// Whether a character is of a script that parts no words: Chinese, Japanese, Thai, Lao, Burmese, Khmer. Of Korean too,
/// which does, but grows its endings onto the word.
pub(super) fn stands_alone(char: char) -> bool {
    matches!(char,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3040}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}')
}

/// A text as the tokenizer is given it: composed, for disks written by macOS hold names in parts, and with the characters
/// that stand alone apart.
pub(super) fn spaced(text: &str) -> Cow<'_, str> {
    // Nothing below U+0300 is changed by either, and most texts have nothing above.
    if text.bytes().all(|byte| byte < 0xcc) {
        return Cow::Borrowed(text);
    }
    let composed: Cow<'_, str> = match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    };
    if !composed.chars().any(stands_alone) {
        return composed;
    }
    let mut spaced = String::with_capacity(composed.len() * 4 / 3);
    for char in composed.chars() {
        if stands_alone(char) {
            spaced.push(' ');
            spaced.push(char);
            spaced.push(' ');
        } else {
            spaced.push(char);
        }
    }
    Cow::Owned(spaced)
}

/// The words of a text with the place of each, as the tokenizer parts them.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let begin = at + text[at..].find(char::is_alphanumeric)?;
        let first = text[begin..].chars().next()?;
        let rest = begin + first.len_utf8();
        let end = if stands_alone(first) {
            rest
        } else {
            text[rest..]
                .find(|char: char| !is_of_word(char) || stands_alone(char))
                .map_or(text.len(), |length| rest + length)
        };
        at = end;
        Some((begin, &text[begin..end]))
    })
}

/// Marks belong to the letter before them.
fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || is_combining_mark(char)
}

/// Whether the tokenizer finds anything in it.
pub(super) fn has_word(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

/// What a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Facet {
    /// The document's source type.
    Type,
    /// Its authority tier.
    Tier,
    /// One of its tags.
    Tag,
    /// Its language, or what that is a kind of.
    Language,
    /// Its type by content: `application/pdf`, or either half of it.
    Kind,
    /// The number of a library that has a file of it.
    Library,
}

/// A value that filters ask for as one word, which no text holds by chance: of any length and made of anything.
pub(super) fn term(facet: Facet, value: &str) -> String {
    let letter = match facet {
        Facet::Type => 'y',
        Facet::Tier => 'r',
        Facet::Tag => 't',
        Facet::Language => 'l',
        Facet::Kind => 'k',
        Facet::Library => 'b',
    };
    let hash = blake3::hash(same_word(value).as_bytes()).to_hex();
    format!("zz{letter}{}", &hash[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    // O3
    #[test]
    fn scripts_without_spaces_are_parted_character_by_character() {
        assert_eq!(spaced("a 京都庁 b"), "a  京  都  庁  b");
        assert!(matches!(spaced("Größe"), Cow::Borrowed(_)));
        // As macOS writes it: the letter and its voice mark apart.
        assert_eq!(spaced("か\u{3099}"), " が ");
    }

    #[test]
    fn words_come_with_their_places() {
        let found: Vec<(usize, &str)> = words("a_b, naïve 京都x!").collect();
        assert_eq!(found, [(0, "a"), (2, "b"), (5, "naïve"), (12, "京"), (15, "都"), (18, "x")]);
    }

    #[test]
    fn a_filters_value_is_one_word_whatever_it_is_made_of() {
        assert_eq!(term(Facet::Tag, "World  History"), term(Facet::Tag, "wörld history"));
        assert_ne!(term(Facet::Tag, "book"), term(Facet::Type, "book"));
        assert!(term(Facet::Tag, "a/b \"c\"").chars().all(|char| char.is_ascii_alphanumeric()));
    }
}
