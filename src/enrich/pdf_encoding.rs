//! What the codes of simple fonts mean: the encodings that a PDF can name, and the names of glyphs.

use std::collections::HashMap;
use std::sync::OnceLock;

/// An encoding that every reader knows. Codes below 32 mean nothing in any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Standard,
    WinAnsi,
    MacRoman,
    Symbol,
}

impl Base {
    pub(super) fn by_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"StandardEncoding" => Base::Standard,
            b"WinAnsiEncoding" => Base::WinAnsi,
            b"MacRomanEncoding" => Base::MacRoman,
            _ => return None,
        })
    }

    pub(super) fn char(self, code: u8) -> Option<char> {
        static TABLES: OnceLock<[[char; 224]; 4]> = OnceLock::new();
        let tables =
            TABLES.get_or_init(|| [table(STANDARD), table(WIN_ANSI), table(MAC_ROMAN), table(SYMBOL)]);
        let char = tables[self as usize][usize::from(code.checked_sub(32)?)];
        (char != '\0').then_some(char)
    }
}

fn table(chars: &str) -> [char; 224] {
    let mut table = ['\0'; 224];
    for (place, char) in table.iter_mut().zip(chars.chars()) {
        *place = char;
    }
    table
}

// From code 32 on; `\0` stands where a code means nothing.

const STANDARD: &str = concat!(
    " !\"#$%&’()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_‘abcdefghijklmnopqrstuvwxy",
    "z{|}~\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0¡¢£⁄¥ƒ§¤'“«‹›ﬁﬂ\0–†",
    "‡·\0¶•‚„”»…‰\0¿\0`´ˆ˜¯˘˙¨\0˚¸\0˝˛ˇ—\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0Æ\0ª\0\0\0\0ŁØŒº\0\0\0\0",
    "\0æ\0\0\0ı\0\0łøœß\0\0\0\0",
);

const WIN_ANSI: &str = concat!(
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxy",
    "z{|}~\0€\0‚ƒ„…†‡ˆ‰Š‹Œ\0Ž\0\0‘’“”•–—˜™š›œ\0žŸ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅ",
    "ÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
);

const MAC_ROMAN: &str = concat!(
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxy",
    "z{|}~\0ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨\0ÆØ\0±\0\0¥µ\0\0\0\0\0ªº\0æø¿¡¬\0ƒ\0\0«",
    "»…\u{a0}ÀÃÕŒœ–—“”‘’÷\0ÿŸ⁄¤‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\0ÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ",
);

/// The font of that name has it built in.
const SYMBOL: &str = concat!(
    " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧ∆ΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_\u{f8e5}αβχδεφγηιϕκλµνοπθρστ",
    "υϖωξψζ{|}∼\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓",
    "°±″≥×∝∂•÷≠≡≈…\u{f8e6}\u{f8e7}↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇\u{f6da}\u{f6d9}\u{f6db}∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈",
    "\u{f8e8}\u{f8e9}\u{f8ea}∑\u{f8eb}\u{f8ec}\u{f8ed}\u{f8ee}\u{f8ef}\u{f8f0}\u{f8f1}\u{f8f2}",
    "\u{f8f3}\u{f8f4}\0〉∫⌠\u{f8f5}⌡\u{f8f6}\u{f8f7}\u{f8f8}\u{f8f9}\u{f8fa}\u{f8fb}\u{f8fc}",
    "\u{f8fd}\u{f8fe}\0",
);

/// The Adobe Glyph List, its licence at its head.
const GLYPH_LIST: &str = include_str!("glyphlist.txt");

/// Names that TeX's fonts use besides, and what they mean; of Cyrillic and of symbols that occur in words and lists.
const TEX_NAMES: [(&str, &str); 11] = [
    ("ff", "ff"),
    ("ffi", "ffi"),
    ("ffl", "ffl"),
    ("fi", "fi"),
    ("fl", "fl"),
    ("dotlessj", "\u{237}"),
    ("visiblespace", "\u{2423}"),
    ("SS", "SS"),
    ("nobreakspace", "\u{a0}"),
    ("cwm", ""),
    ("compwordmark", ""),
];

/// The text that the name of a glyph stands for, by the rules of the Adobe Glyph List specification: a suffix (`a.sc`)
/// does not count, `f_i` is several, `uni0041` and `u1F4D6` are numbers.
pub(super) fn by_glyph_name(name: &str) -> Option<String> {
    static NAMES: OnceLock<HashMap<&str, &str>> = OnceLock::new();
    let names = NAMES.get_or_init(|| {
        GLYPH_LIST
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once(';'))
            .collect()
    });
    let name = name.split('.').next().filter(|name| !name.is_empty())?;
    let mut text = String::new();
    for part in name.split('_') {
        if let Some((_, meaning)) = TEX_NAMES.iter().find(|(tex, _)| *tex == part) {
            text.push_str(meaning);
        } else if let Some(codes) = names.get(part) {
            text.extend(
                codes.split(' ').filter_map(|code| char::from_u32(u32::from_str_radix(code, 16).ok()?)),
            );
        } else {
            text.push_str(&by_number(part)?);
        }
    }
    Some(text)
}

/// `uni00410042` or `u1F4D6`.
fn by_number(name: &str) -> Option<String> {
    let is_hex = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if let Some(digits) = name.strip_prefix("uni")
        && digits.len() >= 4
        && digits.len().is_multiple_of(4)
        && is_hex(digits)
    {
        let codes = digits
            .as_bytes()
            .chunks(4)
            .map(|code| u16::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        return String::from_utf16(&codes.collect::<Option<Vec<u16>>>()?).ok();
    }
    let digits = name.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len()) && is_hex(digits))?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_named_encodings() {
        assert_eq!(Base::Standard.char(0x27), Some('’'));
        assert_eq!(Base::Standard.char(0xfb), Some('ß'));
        assert_eq!(Base::Standard.char(0x80), None);
        assert_eq!(Base::WinAnsi.char(0x80), Some('€'));
        assert_eq!(Base::WinAnsi.char(0xff), Some('ÿ'));
        assert_eq!(Base::WinAnsi.char(0xb7), Some('·'));
        assert_eq!(Base::MacRoman.char(0x8a), Some('ä'));
        assert_eq!(Base::Symbol.char(b'a'), Some('α'));
        assert_eq!(Base::Symbol.char(0x1f), None);
    }

    #[test]
    fn names_of_glyphs_are_text() {
        let text = |name| by_glyph_name(name);
        assert_eq!(text("germandbls").as_deref(), Some("ß"));
        assert_eq!(text("afii10017").as_deref(), Some("А"));
        assert_eq!(text("a.sc").as_deref(), Some("a"));
        assert_eq!(text("f_f_i").as_deref(), Some("ffi"));
        assert_eq!(text("uni00410042").as_deref(), Some("AB"));
        assert_eq!(text("u1F4D6").as_deref(), Some("📖"));
        assert_eq!(text(".notdef"), None);
        assert_eq!(text("g123"), None);
    }
}
