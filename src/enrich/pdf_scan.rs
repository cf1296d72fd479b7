//! The words of a PDF content stream: operands and operators, one at a time and without a copy.
//!
//! Brackets are not kept: nothing that text needs is told by nesting. `[(a) -20 (b)] TJ` has the operands `(a)`, `-20`,
//! `(b)`, and `/Span <</ActualText (x)>> BDC` a name, a name and a string. That makes a page cost no allocation, where a
//! tree of objects cost most of the time.

use std::ops::Range;

/// What stands before an operator.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand<'c> {
    Number(f64),
    /// Without its slash; `#20` is not resolved.
    Name(&'c [u8]),
    /// A string that says what it means.
    Plain(&'c [u8]),
    /// A string with escapes, or in hexadecimal: where it stands in [`Scan::string`].
    Decoded(Range<usize>),
}

/// Goes through a content stream.
#[derive(Debug)]
pub(super) struct Scan<'c> {
    rest: &'c [u8],
    /// The operands of the operator that [`Scan::next`] returned last, nested ones in line with the others.
    pub(super) operands: Vec<Operand<'c>>,
    decoded: Vec<u8>,
}

/// Real ones have some hundred, in a justified line; more are an attack on memory.
const MAX_OPERANDS: usize = 65_536;

impl<'c> Scan<'c> {
    pub(super) fn new(content: &'c [u8]) -> Self {
        Scan { rest: content, operands: Vec::new(), decoded: Vec::new() }
    }

    /// The next operator, `None` at the end. What is no word of the language is passed over.
    pub(super) fn next(&mut self) -> Option<&'c [u8]> {
        self.operands.clear();
        self.decoded.clear();
        loop {
            let (&first, tail) = self.rest.split_first()?;
            match first {
                b'\0' | b'\t' | b'\n' | b'\x0c' | b'\r' | b' ' | b'[' | b']' | b'{' | b'}' | b')' | b'>' => {
                    self.rest = tail;
                }
                b'0'..=b'9' | b'-' | b'+' | b'.' => self.number(),
                b'(' => self.literal(tail),
                b'<' if tail.first() == Some(&b'<') => self.rest = &tail[1..],
                b'<' => self.hexadecimal(tail),
                b'/' => {
                    let (name, rest) = regular(tail);
                    self.rest = rest;
                    self.push(Operand::Name(name));
                }
                b'%' => {
                    let end = tail.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                    self.rest = end.map_or(&[], |end| &tail[end..]);
                }
                _ => {
                    let (operator, rest) = regular(self.rest);
                    self.rest = rest;
                    match operator {
                        b"true" | b"false" | b"null" => {}
                        // Its data may be anything.
                        b"ID" => self.skip_image(),
                        _ => return Some(operator),
                    }
                }
            }
        }
    }

    /// An operand as a string.
    pub(super) fn string<'s>(&'s self, operand: &'s Operand<'c>) -> Option<&'s [u8]> {
        match operand {
            Operand::Plain(bytes) => Some(bytes),
            Operand::Decoded(range) => self.decoded.get(range.clone()),
            Operand::Number(_) | Operand::Name(_) => None,
        }
    }

    /// An operand as a number; 0 where it is none or is missing.
    pub(super) fn number_at(&self, at: usize) -> f64 {
        match self.operands.get(at) {
            Some(Operand::Number(number)) => *number,
            _ => 0.0,
        }
    }

    /// The name among the operands at that place.
    pub(super) fn name_at(&self, at: usize) -> Option<&'c [u8]> {
        match self.operands.get(at) {
            Some(Operand::Name(name)) => Some(name),
            _ => None,
        }
    }

    fn push(&mut self, operand: Operand<'c>) {
        if self.operands.len() < MAX_OPERANDS {
            self.operands.push(operand);
        }
    }

    fn number(&mut self) {
        let mut negative = false;
        let mut whole = 0.0_f64;
        let mut scale = 0.0_f64;
        let mut used = 0;
        for &byte in self.rest {
            match byte {
                b'-' => negative = true,
                b'+' => {}
                b'0'..=b'9' => {
                    whole = whole * 10.0 + f64::from(byte - b'0');
                    scale *= 10.0;
                }
                // A second point ends it in every reader; here it only begins the fraction anew.
                b'.' => scale = 1.0,
                _ => break,
            }
            used += 1;
        }
        self.rest = &self.rest[used..];
        let number = if scale > 1.0 { whole / scale } else { whole };
        self.push(Operand::Number(if negative { -number } else { number }));
    }

    fn literal(&mut self, string: &'c [u8]) {
        // Nearly all strings are plain.
        for (at, &byte) in string.iter().enumerate() {
            match byte {
                b')' => {
                    self.push(Operand::Plain(&string[..at]));
                    self.rest = &string[at + 1..];
                    return;
                }
                b'\\' | b'(' | b'\r' => break,
                _ => {}
            }
        }
        let start = self.decoded.len();
        let mut open = 1_usize;
        let mut at = 0;
        while let Some(&byte) = string.get(at) {
            at += 1;
            match byte {
                b'\\' => at += self.escape(&string[at..]),
                b'(' => {
                    open += 1;
                    self.decoded.push(byte);
                }
                b')' => {
                    open -= 1;
                    if open == 0 {
                        break;
                    }
                    self.decoded.push(byte);
                }
                // All line ends are one in a string.
                b'\r' => {
                    at += usize::from(string.get(at) == Some(&b'\n'));
                    self.decoded.push(b'\n');
                }
                _ => self.decoded.push(byte),
            }
        }
        self.rest = &string[at..];
        let range = start..self.decoded.len();
        self.push(Operand::Decoded(range));
    }

    /// What stands behind a backslash; how many bytes of it that is.
    fn escape(&mut self, rest: &[u8]) -> usize {
        let Some(&first) = rest.first() else { return 0 };
        let byte = match first {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'\r' => return 1 + usize::from(rest.get(1) == Some(&b'\n')),
            b'\n' => return 1,
            b'0'..=b'7' => {
                let digits = rest.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                let code =
                    rest[..digits].iter().fold(0_u32, |code, digit| code * 8 + u32::from(digit - b'0'));
                // The specification drops what overflows.
                self.decoded.push((code & 0xff) as u8);
                return digits;
            }
            other => other,
        };
        self.decoded.push(byte);
        1
    }

    fn hexadecimal(&mut self, string: &'c [u8]) {
        let start = self.decoded.len();
        let mut high = None;
        let mut used = 0;
        for &byte in string {
            used += 1;
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                b'A'..=b'F' => byte - b'A' + 10,
                b'>' => break,
                _ => continue,
            };
            match high.take() {
                None => high = Some(digit << 4),
                Some(high) => self.decoded.push(high | digit),
            }
        }
        self.decoded.extend(high);
        self.rest = &string[used..];
        let range = start..self.decoded.len();
        self.push(Operand::Decoded(range));
    }

    /// Behind the data of a picture in the content: to `EI` between white space, with what looks like content behind it.
    fn skip_image(&mut self) {
        let mut from = 0;
        while let Some(found) = self.rest[from..].windows(2).position(|pair| pair == b"EI") {
            let at = from + found;
            let behind = &self.rest[at + 2..];
            let is_word =
                at > 0 && is_space(self.rest[at - 1]) && behind.first().is_none_or(|&byte| is_space(byte));
            if is_word && behind.iter().take(12).all(|&byte| is_space(byte) || (0x20..0x7f).contains(&byte)) {
                self.rest = behind;
                return;
            }
            from = at + 2;
        }
        self.rest = &[];
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\0' | b'\t' | b'\n' | b'\x0c' | b'\r' | b' ')
}

/// Up to the next white space or delimiter. Of something at least, so that nobody stands still.
fn regular(from: &[u8]) -> (&[u8], &[u8]) {
    let is_end = |byte: &u8| {
        is_space(*byte) || matches!(byte, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
    };
    from.split_at(from.iter().position(is_end).unwrap_or(from.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(content: &[u8]) -> Vec<(String, Vec<String>)> {
        let mut scan = Scan::new(content);
        let mut words = Vec::new();
        while let Some(operator) = scan.next() {
            let operands = scan.operands.iter().map(|operand| match operand {
                Operand::Number(number) => number.to_string(),
                Operand::Name(name) => format!("/{}", String::from_utf8_lossy(name)),
                string => String::from_utf8_lossy(scan.string(string).expect("a string")).into_owned(),
            });
            words.push((String::from_utf8_lossy(operator).into_owned(), operands.collect()));
        }
        words
    }

    fn word(operator: &str, operands: &[&str]) -> (String, Vec<String>) {
        (operator.to_owned(), operands.iter().map(|&operand| operand.to_owned()).collect())
    }

    #[test]
    fn operands_come_in_line_before_their_operator() {
        assert_eq!(
            words(b"BT/F1 9.5 Tf[(a)-20.25(b)]TJ % (no)\n.5 -1 +2 Td /Span<</ActualText<4142>>>BDC EMC"),
            [
                word("BT", &[]),
                word("Tf", &["/F1", "9.5"]),
                word("TJ", &["a", "-20.25", "b"]),
                word("Td", &["0.5", "-1", "2"]),
                word("BDC", &["/Span", "/ActualText", "AB"]),
                word("EMC", &[]),
            ]
        );
    }

    #[test]
    fn strings_are_unescaped() {
        assert_eq!(words(b"(a\\(b\\)\\101\\n(c)\\\nd\r\ne\\7)Tj"), [word("Tj", &["a(b)A\n(c)d\ne\u{7}"])]);
        assert_eq!(words(b"<4 1 4>Tj"), [word("Tj", &["A@"])]);
    }

    #[test]
    fn a_picture_in_the_content_is_passed_over() {
        assert_eq!(words(b"BI /W 2 ID \x01EI EIx\x02 EI Q (x) Tj").last(), Some(&word("Tj", &["x"])));
    }

    #[test]
    fn what_is_cut_off_or_nonsense_comes_to_an_end() {
        for content in
            [&b"(abc"[..], b"<41", b"/", b"\\\\", b"]]>>)", b"1 2 3", b"BI ID abc", b"(\\", b"--.."]
        {
            _ = words(content);
        }
        assert_eq!(words(b"q (ab"), [word("q", &[])]);
    }
}
