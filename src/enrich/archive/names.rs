//! Names of members as text, one a line. What they were written in nobody says, or says wrongly.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, EUC_JP, EUC_KR, Encoding, GBK, IBM866, SHIFT_JIS};

/// Names, up to so many bytes.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Each ended by a line feed.
    lines: Vec<u8>,
    most: usize,
    full: bool,
    /// Names that are not UTF-8 were written by a system whose code page was that of DOS, as ZIP's own rule has it.
    dos: bool,
}

impl Names {
    pub(super) fn new(most: usize) -> Self {
        Names { most, ..Names::default() }
    }

    /// Whether something was left out.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// Notes a name; shown as it is, whatever it would do if it were followed.
    pub(super) fn push(&mut self, name: &[u8]) {
        if self.full || self.lines.len() + name.len() >= self.most {
            self.full = true;
            return;
        }
        // One member, one line.
        self.lines.extend(name.iter().map(|&byte| if byte < b' ' { b' ' } else { byte }));
        self.lines.push(b'\n');
    }

    /// As [`Self::push`], of a member made on DOS or Windows.
    pub(super) fn push_dos(&mut self, name: &[u8]) {
        self.dos |= std::str::from_utf8(name).is_err();
        self.push(name);
    }

    /// One encoding for all that is not UTF-8: they were written by one program, and a single name is too little to tell.
    pub(super) fn into_text(self) -> String {
        let lines = match String::from_utf8(self.lines) {
            Ok(text) => return text,
            Err(error) => error.into_bytes(),
        };
        let is_odd = |line: &&[u8]| std::str::from_utf8(line).is_err();
        let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
        for line in lines.split(|&byte| byte == b'\n').filter(is_odd).take(10_000) {
            detector.feed(line, false);
            detector.feed(b"\n", false);
        }
        detector.feed(b"", true);
        let guess = detector.guess(None, Utf8Detection::Deny);
        // What the detector does not know is the code page of the first PCs, the one that ZIP names. Letters with an accent
        // stand alone among others, and a single one of them looks to it like half of a Chinese character.
        let is_wide = [BIG5, EUC_JP, EUC_KR, GBK, SHIFT_JIS].contains(&guess) && !stand_alone(&lines);
        let dos = self.dos && !is_wide && guess != IBM866;
        lines.split_inclusive(|&byte| byte == b'\n').map(|line| decode(line, guess, dos)).collect()
    }
}

/// Whether most of the bytes that are not ASCII have only ASCII beside them.
fn stand_alone(lines: &[u8]) -> bool {
    let (mut alone, mut together) = (0, 0);
    for line in lines.split(|&byte| byte == b'\n').filter(|line| std::str::from_utf8(line).is_err()) {
        for run in
            line.chunk_by(|one, next| one.is_ascii() == next.is_ascii()).filter(|run| !run[0].is_ascii())
        {
            if run.len() == 1 { alone += 1 } else { together += run.len() }
        }
    }
    alone > together
}

fn decode(line: &[u8], guess: &'static Encoding, dos: bool) -> String {
    match std::str::from_utf8(line) {
        Ok(line) => line.to_owned(),
        Err(_) if dos => line.iter().map(|&byte| of_437(byte)).collect(),
        Err(_) => guess.decode_without_bom_handling(line).0.into_owned(),
    }
}

fn of_437(byte: u8) -> char {
    const UPPER: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";
    match byte.checked_sub(0x80) {
        Some(upper) => UPPER.chars().nth(usize::from(upper)).unwrap_or(char::REPLACEMENT_CHARACTER),
        None => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &[&[u8]], dos: bool) -> String {
        let mut all = Names::new(1000);
        for name in names {
            if dos { all.push_dos(name) } else { all.push(name) }
        }
        all.into_text()
    }

    // E1
    #[test]
    fn names_of_any_bytes_are_shown_one_a_line() {
        assert_eq!(
            text(&[b"../../etc/passwd", b"/abs", b"two\nlines\0"], false),
            "../../etc/passwd\n/abs\ntwo lines \n"
        );
        assert_eq!(text(&[b"M\x81ller.txt", "bücher".as_bytes()], true), "Müller.txt\nbücher\n");
        assert_eq!(text(&[b"caf\xe9 et th\xe9.txt"], false), "café et thé.txt\n");
        let japanese = [&b"\x93\xfa\x96\x7b\x8c\xea\x82\xcc\x83t\x83@\x83C\x83\x8b.txt"[..]];
        assert_eq!(text(&japanese, true), "日本語のファイル.txt\n", "Windows in Japan");
    }

    #[test]
    fn the_upper_half_of_the_code_page_is_complete() {
        assert_eq!((of_437(0x80), of_437(0xe1), of_437(0xff), of_437(b'a')), ('Ç', 'ß', '\u{a0}', 'a'));
        assert!((0x80..=0xff).all(|byte| of_437(byte) != char::REPLACEMENT_CHARACTER));
    }

    #[test]
    fn names_over_the_cap_are_left_out() {
        let mut names = Names::new(10);
        names.push(b"abcd");
        names.push(b"efghij");
        names.push(b"k");
        assert!(names.is_full());
        assert_eq!(names.into_text(), "abcd\n");
    }
}
