//! How a text is cut into pieces that are embedded each for itself.
//!
//! Pure, and the same for ever under one [`VERSION`]: the pieces are what a proof compares, and a store holds what was cut
//! years ago. A piece is as long as what an embedding can say something of, ends where a thought ends, and shares its
//! beginning with the piece before it, so that a sentence on the border is whole in one of the two.

/// Raised when the same text is cut in another way: everything is then given anew.
pub(super) const VERSION: u32 = 1;
/// Longest piece, in characters.
const LONGEST: usize = 1_000;
/// A piece is not ended before so many, if that can be helped.
const SHORTEST: usize = 500;
/// How much two neighbours share at most, in characters.
const SHARED: usize = 150;

/// The pieces of a text, in order: nothing is left out, each begins behind the one before and not behind its end. None for a
/// text of nothing but white space.
pub(super) fn cut(text: &str) -> Vec<&str> {
    let text = text.trim();
    let mut pieces = Vec::new();
    let mut begin = 0;
    while begin < text.len() {
        let rest = &text[begin..];
        let end = begin + end_of_piece(rest);
        pieces.push(&text[begin..end]);
        if end == text.len() {
            break;
        }
        begin = end - shared(&text[begin..end]);
    }
    pieces
}

/// Where a piece that begins here ends: behind the last paragraph, else line, else sentence, else word that fits.
fn end_of_piece(rest: &str) -> usize {
    let Some((limit, _)) = rest.char_indices().nth(LONGEST) else { return rest.len() };
    let floor = rest.char_indices().nth(SHORTEST).map_or(0, |(at, _)| at);
    let window = &rest[floor..limit];
    let behind = |found: Option<usize>, length: usize| found.map(|at| floor + at + length);
    behind(window.rfind("\n\n"), 2)
        .or_else(|| behind(window.rfind('\n'), 1))
        .or_else(|| last_sentence(window).map(|at| floor + at))
        .or_else(|| last_space(window).map(|at| floor + at))
        .unwrap_or(limit)
}

/// Behind the last end of a sentence, and the space that follows it where there is one.
fn last_sentence(window: &str) -> Option<usize> {
    let mut before = None;
    let mut last = None;
    for (at, char) in window.char_indices() {
        let ends = match before {
            Some('.' | '!' | '?' | '…' | ':' | ';') => char.is_whitespace(),
            // Scripts that put no space between sentences.
            Some('。' | '！' | '？' | '।' | '؟' | '۔') => true,
            _ => false,
        };
        if ends {
            last = Some(if char.is_whitespace() { at + char.len_utf8() } else { at });
        }
        before = Some(char);
    }
    last
}

/// Behind the last white space.
fn last_space(window: &str) -> Option<usize> {
    window.char_indices().rev().find(|(_, char)| char.is_whitespace()).map(|(at, char)| at + char.len_utf8())
}

/// How many of a piece's last bytes the next one begins with: whole sentences, else whole words, else nothing. Always less than
/// the piece, so that there is an end.
fn shared(piece: &str) -> usize {
    let from = piece.char_indices().rev().nth(SHARED - 1).map_or(0, |(at, _)| at);
    let tail = &piece[from..];
    let first_space =
        tail.char_indices().find(|(_, char)| char.is_whitespace()).map(|(at, char)| at + char.len_utf8());
    let begins = first_sentence(tail).or(first_space).unwrap_or(tail.len());
    let shared = tail.len() - begins;
    if shared < piece.len() { shared } else { 0 }
}

/// Behind the first end of a sentence that something follows.
fn first_sentence(tail: &str) -> Option<usize> {
    let mut before = None;
    for (at, char) in tail.char_indices() {
        let ends = matches!(before, Some('.' | '!' | '?' | '…')) && char.is_whitespace();
        if ends && at + char.len_utf8() < tail.len() {
            return Some(at + char.len_utf8());
        }
        before = Some(char);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn offset(text: &str, piece: &str) -> usize {
        piece.as_ptr() as usize - text.as_ptr() as usize
    }

    fn check(text: &str) {
        let pieces = cut(text);
        let trimmed = text.trim();
        assert_eq!(pieces.is_empty(), trimmed.is_empty());
        let mut behind = 0;
        let mut last_begin = None;
        for piece in &pieces {
            let begin = offset(trimmed, piece);
            assert!(!piece.is_empty() && piece.chars().count() <= LONGEST);
            assert!(begin <= behind, "{behind}..{begin} is in no piece");
            assert!(last_begin.is_none_or(|last| begin > last), "no way on at {begin}");
            let shared = &trimmed[begin..behind.max(begin)];
            assert!(shared.chars().count() <= SHARED);
            assert!(begin + piece.len() > behind || pieces.len() == 1);
            (last_begin, behind) = (Some(begin), begin + piece.len());
        }
        assert_eq!(behind, trimmed.len(), "the end is in no piece");
        assert_eq!(cut(text), pieces);
    }

    proptest! {
        // S10
        #[test]
        fn nothing_of_a_text_is_lost(text in r"(\PC{0,40}[ .\n\r\t。]{0,3}){0,120}") {
            check(&text);
        }

        // S10
        #[test]
        fn nothing_of_words_without_an_end_is_lost(text in "[a-zåß漢🙂]{0,3000}") {
            check(&text);
        }
    }

    // S10
    #[test]
    fn a_piece_ends_where_a_thought_ends() {
        let paragraph = "A sentence of some length. ".repeat(27);
        let text = format!("{paragraph}\n\n{paragraph}\n\n{paragraph}");
        check(&text);
        for piece in cut(&text) {
            assert!(
                piece.ends_with("\n\n") || piece.ends_with(". ") || piece.ends_with("length."),
                "{piece:?}"
            );
            assert!(piece.starts_with("A sentence") || piece.starts_with('\n'), "{piece:?}");
        }
    }

    #[test]
    fn a_short_text_is_one_piece() {
        assert_eq!(cut("  a few words\n"), ["a few words"]);
        assert!(cut(" \n\t ").is_empty() && cut("").is_empty());
        check(&"x".repeat(LONGEST));
        check(&"x".repeat(LONGEST + 1));
        check(&format!("{}\n\n", "x ".repeat(5_000)));
    }

    // The pieces of one version are the same in every version of the program: a change of this text is a change of VERSION.
    #[test]
    fn a_text_is_cut_as_it_always_was() {
        let text: String = (0..400).map(|n| format!("Sentence {n} says {}. ", n * 7)).collect();
        let begins: Vec<usize> = cut(&text).iter().map(|piece| offset(&text, piece)).collect();
        assert_eq!(
            (VERSION, begins),
            (1, vec![0, 853, 1711, 2564, 3402, 4242, 5082, 5922, 6762, 7602, 8442])
        );
    }
}
