//! The order of a line's characters where scripts run from right to left.
//!
//! A page has no reading order, only places. Hebrew and Arabic are drawn either as they look, so that a string has its
//! words backwards, or letter by letter towards the left. A line that has such letters is therefore put into the order in
//! which it looks, and then into the one in which it is read.

use unicode_normalization::UnicodeNormalization;

/// A piece of a line: where it lies along it, and its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece<'a> {
    /// Left and right end, in the line's own direction.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) em: f64,
    pub(super) text: &'a str,
}

/// Letters of scripts that run to the left, presentation forms included.
pub(super) fn is_rtl(char: char) -> bool {
    matches!(char, '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}')
}

fn is_digit(char: char) -> bool {
    char.is_ascii_digit() || matches!(char, '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}')
}

fn is_ltr(char: char) -> bool {
    (char.is_alphabetic() && !is_rtl(char)) || is_digit(char)
}

/// A line as it is read.
pub(super) fn in_order(mut pieces: Vec<Piece<'_>>) -> String {
    pieces.sort_by(|a, b| a.from.total_cmp(&b.from));
    let mut looks = String::new();
    let mut pen: Option<f64> = None;
    for piece in &pieces {
        if pen.is_some_and(|pen| piece.from - pen > 0.12 * piece.em) && !looks.ends_with(' ') {
            looks.push(' ');
        }
        looks.push_str(piece.text);
        pen = Some(piece.to);
    }
    reads(&looks).nfkc().collect()
}

/// From the order in which a line looks to the one in which it is read.
fn reads(looks: &str) -> String {
    let chars: Vec<char> = looks.chars().collect();
    let (rtl, ltr) = chars.iter().fold((0, 0), |(rtl, ltr), &char| {
        if is_rtl(char) && !is_digit(char) {
            (rtl + 1, ltr)
        } else {
            (rtl, ltr + usize::from(is_ltr(char) && !is_digit(char)))
        }
    });
    if rtl >= ltr {
        let turned: Vec<char> = chars.into_iter().rev().collect();
        turn_runs(&turned, is_ltr)
    } else {
        turn_runs(&chars, |char| is_rtl(char) && !is_digit(char))
    }
}

/// Turns the runs that begin and end with such a character and have none of the others' letters in them.
fn turn_runs(chars: &[char], is_inner: impl Fn(char) -> bool) -> String {
    let is_letter = |char: char| is_rtl(char) || is_ltr(char);
    let mut text = String::with_capacity(chars.len() * 2);
    let mut at = 0;
    while at < chars.len() {
        if !is_inner(chars[at]) {
            text.push(chars[at]);
            at += 1;
            continue;
        }
        let run = chars[at..].iter().take_while(|&&char| is_inner(char) || !is_letter(char)).count();
        let run = chars[at..at + run].iter().rposition(|&char| is_inner(char)).map_or(1, |last| last + 1);
        text.extend(chars[at..at + run].iter().rev());
        at += run;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_runs_to_the_left_is_turned_and_its_numbers_are_not() {
        assert_eq!(reads("2024 םולש"), "שלום 2024");
        assert_eq!(reads("םלועה PDF 1.7 םולש"), "שלום PDF 1.7 העולם");
        assert_eq!(reads("the word םולש here"), "the word שלום here");
    }

    #[test]
    fn letters_that_were_drawn_one_by_one_come_together() {
        let piece = |from: f64, text| Piece { from, to: from + 5.0, em: 10.0, text };
        let pieces =
            vec![piece(20.0, "ש"), piece(15.0, "ל"), piece(10.0, "ו"), piece(5.0, "ם"), piece(-5.0, "א")];
        assert_eq!(in_order(pieces), "שלום א");
    }

    #[test]
    fn forms_of_letters_become_letters() {
        let piece = Piece { from: 0.0, to: 5.0, em: 10.0, text: "\u{fe8e}\u{fef3}" };
        assert_eq!(in_order(vec![piece]), "يا");
    }
}
