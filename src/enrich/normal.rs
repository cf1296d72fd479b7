//! One form for all text, whatever it came out of, so that the same words give the same bytes.

use unicode_normalization::UnicodeNormalization;

/// Text as it is kept: NFC, lines ended by `\n` (form feeds too), no control character but `\n` and tab, no byte order
/// mark, at most `limit` bytes. Also whether something was cut off.
pub(super) fn text(raw: &str, limit: usize) -> (String, bool) {
    let mut text = String::with_capacity(raw.len().min(limit));
    for char in lines(raw).nfc() {
        if text.len() + char.len_utf8() > limit {
            return (text, true);
        }
        text.push(char);
    }
    (text, false)
}

fn lines(raw: &str) -> impl Iterator<Item = char> {
    let mut chars = raw.chars().peekable();
    std::iter::from_fn(move || {
        loop {
            let char = chars.next()?;
            match char {
                '\r' => {
                    chars.next_if_eq(&'\n');
                    return Some('\n');
                }
                // A form feed parts pages, a vertical tab or NEL lines.
                '\u{c}' | '\u{b}' | '\u{85}' => return Some('\n'),
                '\n' | '\t' => return Some(char),
                '\u{feff}' => {}
                _ if char.is_control() => {}
                _ => return Some(char),
            }
        }
    })
}

/// The longest value of a field, in bytes. Longer ones are an abstract in the wrong place, or an attack.
const VALUE_LIMIT: usize = 4096;

/// One value of a field: NFC, on one line, white space collapsed; `None` where nothing is left.
pub(super) fn value(raw: &str) -> Option<String> {
    let mut value = String::new();
    // Only so much is looked at: a title of 100 MB is not worth normalising.
    let head = &raw[..raw.floor_char_boundary(VALUE_LIMIT * 4)];
    for word in head.split(|char: char| char.is_whitespace() || char.is_control() || char == '\u{feff}') {
        if !word.is_empty() {
            if !value.is_empty() {
                value.push(' ');
            }
            value.extend(word.nfc());
        }
    }
    value.truncate(value.floor_char_boundary(VALUE_LIMIT));
    // Cut behind a word.
    value.truncate(value.trim_end().len());
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_one_kind_and_control_characters_go() {
        assert_eq!(
            text("\u{feff}a\r\nb\rc\u{c}d\0e\u{1b}[0m\tf\n", 100),
            ("a\nb\nc\nde[0m\tf\n".to_owned(), false)
        );
    }

    #[test]
    fn text_is_composed() {
        assert_eq!(text("cafe\u{301}", 100).0, "café");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(text("añb", 2), ("a".to_owned(), true));
        assert_eq!(text("añb", 3), ("añ".to_owned(), true));
        assert_eq!(text("añb", 4), ("añb".to_owned(), false));
    }

    #[test]
    fn a_value_stands_on_one_line() {
        assert_eq!(value("  The\r\n  Drawer\0\t of\u{a0}Disks "), Some("The Drawer of Disks".to_owned()));
        assert_eq!(value(" \n\0 "), None);
        assert_eq!(value(&"é".repeat(9_000)).map(|value| value.len()), Some(VALUE_LIMIT));
        assert_eq!(value(&"abc ".repeat(9_000)).map(|value| value.len()), Some(VALUE_LIMIT - 1));
    }
}
