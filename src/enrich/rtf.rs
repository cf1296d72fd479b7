//! RTF, read by a tokenizer of our own: groups, control words and bytes in the code page of the font that is switched on.
//!
//! The crate for it (`rtf-parser`) takes text and not bytes, so that what is not ASCII is lost or wrong, gives a file up
//! whose last brace is missing, knows no metadata, and calls itself for every control word. What is needed of the format
//! is little: which groups are shown, what ends a line, and how a character is written.

use std::collections::HashMap;

use encoding_rs::Encoding;

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::fields::push_split;
use super::office::{Lines, counted};
use super::package::hex_digit;
use crate::model::Field;

/// Rich Text Format.
pub(super) struct Rtf;

impl Extractor for Rtf {
    fn name(&self) -> &'static str {
        "rtf"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        // Pictures stand in it as digits.
        Appetite::Head((budget.memory / 4).min(256 * MIB))
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        if !bytes.starts_with(b"{\\rtf") {
            return Err(Failure::damaged("it does not begin as RTF does"));
        }
        Ok(Reader::new(budget.text).read(bytes))
    }
}

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Text,
    /// Behind the text: notes, comments, headers and footers, which would cut a sentence in two.
    Aside,
    Hidden,
    /// Where the fonts are told, and which code page each has.
    Fonts,
    /// What is in it and has no place of its own is hidden.
    Info,
    Field(Field),
    Created,
}

/// What a group changes and its end restores.
#[derive(Debug, Clone, Copy)]
struct Group {
    place: Place,
    encoding: &'static Encoding,
    /// How many characters stand behind a `\u` for readers that do not know it.
    fallback: usize,
    /// Hidden or deleted, as a property of characters.
    invisible: bool,
}

/// A tokenizer's state.
struct Reader {
    group: Group,
    groups: Vec<Group>,
    /// Bytes that were not decoded yet: a character may take two.
    bytes: Vec<u8>,
    /// The first half of a character beyond the basic plane.
    high: Option<u16>,
    /// Characters to be left out behind a `\u`.
    left_out: usize,
    /// The next control word may be one of a reader that knows more.
    starred: bool,
    fonts: HashMap<i32, &'static Encoding>,
    font: i32,
    default: &'static Encoding,
    text: Lines,
    aside: Lines,
    fields: HashMap<Field, String>,
    created: [i32; 5],
    pages: i32,
    words: i32,
}

/// A metadata value is not longer.
const MAX_FIELD: usize = 16 * 1024;

impl Reader {
    fn new(text_limit: usize) -> Self {
        let encoding = encoding_rs::WINDOWS_1252;
        Reader {
            group: Group { place: Place::Text, encoding, fallback: 1, invisible: false },
            groups: Vec::new(),
            bytes: Vec::new(),
            high: None,
            left_out: 0,
            starred: false,
            fonts: HashMap::new(),
            font: 0,
            default: encoding,
            text: Lines::new(text_limit),
            aside: Lines::new(text_limit),
            fields: HashMap::new(),
            created: [0; 5],
            pages: 0,
            words: 0,
        }
    }

    fn read(mut self, bytes: &[u8]) -> Raw {
        let mut rest = bytes;
        while let [first, tail @ ..] = rest {
            rest = tail;
            match first {
                b'{' => {
                    self.decode();
                    self.left_out = 0;
                    self.groups.push(self.group);
                }
                b'}' => {
                    self.decode();
                    self.left_out = 0;
                    self.leave();
                    if self.groups.is_empty() && !goes_on(tail) {
                        break;
                    }
                }
                b'\\' => rest = self.control(tail),
                b'\r' | b'\n' => {}
                byte => self.byte(*byte),
            }
            if self.text.is_full() {
                break;
            }
        }
        let whole = self.groups.is_empty() && !self.text.is_full();
        self.decode();
        self.finish(!whole)
    }

    fn leave(&mut self) {
        let left = self.group.place;
        if let Some(outer) = self.groups.pop() {
            self.group = outer;
        }
        if self.groups.is_empty() {
            self.group.encoding = self.default;
        }
        if left == Place::Aside && self.group.place != Place::Aside {
            self.aside.end_line();
        }
    }

    /// A control word or symbol; the rest behind it.
    fn control<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let Some((&symbol, behind)) = rest.split_first() else { return rest };
        if !symbol.is_ascii_alphabetic() {
            return self.symbol(symbol, behind);
        }
        let letters = rest.iter().position(|byte| !byte.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(letters);
        let minus = usize::from(rest.first() == Some(&b'-'));
        let digits =
            rest[minus..].iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len() - minus);
        let (number, rest) = rest.split_at(if digits == 0 { 0 } else { minus + digits });
        let number = std::str::from_utf8(number).ok().and_then(|number| number.parse::<i32>().ok());
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        if word == b"bin" {
            // So many bytes are no text, whatever is in them.
            let skipped = usize::try_from(number.unwrap_or(0)).unwrap_or(0);
            return &rest[skipped.min(rest.len())..];
        }
        self.word(word, number);
        self.starred = false;
        rest
    }

    fn symbol<'a>(&mut self, symbol: u8, rest: &'a [u8]) -> &'a [u8] {
        match symbol {
            b'\'' => {
                let code = match rest {
                    [high, low, ..] => hex_digit(*high).zip(hex_digit(*low)),
                    _ => None,
                };
                let Some((high, low)) = code else { return rest };
                self.byte(high << 4 | low);
                return &rest[2..];
            }
            b'*' => self.starred = true,
            b'\\' | b'{' | b'}' => self.byte(symbol),
            b'~' => self.char('\u{a0}'),
            b'_' => self.char('\u{2011}'),
            b'\r' | b'\n' => self.end_line(),
            _ => {}
        }
        rest
    }

    fn word(&mut self, word: &[u8], number: Option<i32>) {
        if word == b"u" {
            self.unit(number.unwrap_or(0));
            return;
        }
        self.decode();
        match word {
            b"uc" => self.group.fallback = usize::try_from(number.unwrap_or(1)).unwrap_or(0).min(16),
            b"par" | b"line" | b"page" | b"sect" | b"column" => self.end_line(),
            b"tab" => self.char('\t'),
            b"cell" | b"nestcell" => self.with_lines(|lines| lines.skip_cells(1)),
            b"row" | b"nestrow" => self.with_lines(Lines::end_row),
            b"emdash" => self.char('—'),
            b"endash" => self.char('–'),
            b"lquote" => self.char('‘'),
            b"rquote" => self.char('’'),
            b"ldblquote" => self.char('“'),
            b"rdblquote" => self.char('”'),
            b"bullet" => self.char('•'),
            b"emspace" | b"enspace" | b"qmspace" => self.char(' '),
            b"v" | b"deleted" => self.group.invisible = number != Some(0),
            b"plain" => self.group.invisible = false,
            b"ansicpg" => self.set_default(encoding_of_page(number.unwrap_or(0))),
            b"mac" => self.set_default(Some(encoding_rs::MACINTOSH)),
            b"f" | b"deff" => self.switch_font(number.unwrap_or(0)),
            b"fcharset" if self.group.place == Place::Fonts => {
                if let Some(encoding) = encoding_of_charset(number.unwrap_or(0)) {
                    self.fonts.insert(self.font, encoding);
                }
            }
            b"cpg" if self.group.place == Place::Fonts => {
                if let Some(encoding) = encoding_of_page(number.unwrap_or(0)) {
                    self.fonts.insert(self.font, encoding);
                }
            }
            b"nofpages" => self.pages = number.unwrap_or(0),
            b"nofwords" => self.words = number.unwrap_or(0),
            b"yr" => self.created(0, number),
            b"mo" => self.created(1, number),
            b"dy" => self.created(2, number),
            b"hr" => self.created(3, number),
            b"min" => self.created(4, number),
            _ => self.destination(word),
        }
    }

    /// Words that say where the text of their group goes.
    fn destination(&mut self, word: &[u8]) {
        let place = match word {
            b"fonttbl" => Place::Fonts,
            b"info" => Place::Info,
            b"title" if self.in_info() => Place::Field(Field::Title),
            b"author" if self.in_info() => Place::Field(Field::Author),
            b"subject" if self.in_info() => Place::Field(Field::Subject),
            // Apart from the subject, which is one value whatever commas are in it.
            b"keywords" if self.in_info() => Place::Field(Field::Tags),
            b"doccomm" if self.in_info() => Place::Field(Field::Description),
            b"creatim" if self.in_info() => Place::Created,
            b"footnote" | b"annotation" | b"header" | b"headerl" | b"headerr" | b"headerf" | b"footer"
            | b"footerl" | b"footerr" | b"footerf" => Place::Aside,
            // Text boxes are for readers that know more.
            b"shpinst" | b"shptxt" => return,
            b"colortbl"
            | b"stylesheet"
            | b"listtable"
            | b"listoverridetable"
            | b"rsidtbl"
            | b"generator"
            | b"pict"
            | b"objdata"
            | b"objclass"
            | b"objname"
            | b"themedata"
            | b"colorschememapping"
            | b"datastore"
            | b"latentstyles"
            | b"xmlnstbl"
            | b"fldinst"
            | b"sp"
            | b"nonshppict"
            | b"listtext"
            | b"pntext"
            | b"revtbl"
            | b"filetbl"
            | b"template"
            | b"operator"
            | b"company"
            | b"manager"
            | b"category"
            | b"hlinkbase"
            | b"ftnsep"
            | b"ftnsepc"
            | b"aftnsep"
            | b"aftnsepc"
            | b"bkmkstart"
            | b"bkmkend"
            | b"atnid"
            | b"atnauthor"
            | b"xe"
            | b"tc"
            | b"nextfile" => Place::Hidden,
            _ if self.starred => Place::Hidden,
            _ => return,
        };
        if self.group.place != Place::Hidden {
            self.group.place = place;
        }
    }

    fn in_info(&self) -> bool {
        self.group.place == Place::Info
    }

    fn set_default(&mut self, encoding: Option<&'static Encoding>) {
        if let Some(encoding) = encoding {
            self.default = encoding;
            self.group.encoding = encoding;
        }
    }

    fn switch_font(&mut self, font: i32) {
        self.font = font;
        if self.group.place != Place::Fonts {
            self.group.encoding = self.fonts.get(&font).copied().unwrap_or(self.default);
        }
    }

    fn created(&mut self, part: usize, number: Option<i32>) {
        if self.group.place == Place::Created {
            self.created[part] = number.unwrap_or(0);
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.left_out > 0 {
            self.left_out -= 1;
        } else if self.is_shown() {
            self.bytes.push(byte);
        }
    }

    /// A UTF-16 unit, written as a signed number.
    fn unit(&mut self, number: i32) {
        self.decode_bytes();
        self.left_out = self.group.fallback;
        // 65,535 and below as the format says, some write what is above zero as it is.
        let unit = (number & 0xffff) as u16;
        let high = self.high.take();
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            0xdc00..=0xdfff => {
                let pair = high.map(|high| char::decode_utf16([high, unit]).next());
                if let Some(Some(Ok(char))) = pair {
                    self.show(char.encode_utf8(&mut [0; 4]));
                }
            }
            _ => {
                if let Some(char) = char::from_u32(u32::from(unit)) {
                    self.show(char.encode_utf8(&mut [0; 4]));
                }
            }
        }
    }

    fn char(&mut self, char: char) {
        self.decode();
        if self.left_out > 0 {
            self.left_out -= 1;
        } else {
            self.show(char.encode_utf8(&mut [0; 4]));
        }
    }

    fn decode(&mut self) {
        self.high = None;
        self.decode_bytes();
    }

    fn decode_bytes(&mut self) {
        if !self.bytes.is_empty() {
            let bytes = std::mem::take(&mut self.bytes);
            let text = self.group.encoding.decode_without_bom_handling(&bytes).0;
            self.show(&text);
        }
    }

    fn is_shown(&self) -> bool {
        !self.group.invisible && matches!(self.group.place, Place::Text | Place::Aside | Place::Field(_))
    }

    fn show(&mut self, text: &str) {
        if !self.is_shown() {
            return;
        }
        match self.group.place {
            Place::Text => self.text.push(text),
            Place::Aside if !self.aside.is_full() => self.aside.push(text),
            Place::Field(field) => {
                let value = self.fields.entry(field).or_default();
                if value.len() < MAX_FIELD {
                    value.push_str(text);
                }
            }
            _ => {}
        }
    }

    fn end_line(&mut self) {
        self.decode();
        self.with_lines(Lines::end_line);
    }

    fn with_lines(&mut self, change: impl Fn(&mut Lines)) {
        match self.group.place {
            Place::Text => change(&mut self.text),
            Place::Aside => change(&mut self.aside),
            _ => {}
        }
    }

    fn finish(mut self, cut: bool) -> Raw {
        let mut fields = Vec::new();
        for field in [Field::Title, Field::Subject, Field::Description] {
            fields.extend(self.fields.remove(&field).map(|value| (field, value)));
        }
        let list = |field| self.fields.get(&field).map(String::as_str).unwrap_or_default();
        push_split(&mut fields, Field::Author, list(Field::Author), &[';']);
        push_split(&mut fields, Field::Subject, list(Field::Tags), &[',', ';']);
        let [year, month, day, hour, minute] = self.created;
        if year > 0 && (1..=12).contains(&month) && (1..=31).contains(&day) {
            fields.push((Field::Date, format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}")));
        }
        fields.push((Field::Format, "RTF".to_owned()));
        let count = |count: i32| u64::try_from(count).ok().filter(|&count| count > 0);
        if let Some(words) = count(self.words) {
            let pages = count(self.pages).map(|pages| counted(pages, "page") + ", ").unwrap_or_default();
            fields.push((Field::Extent, pages + &counted(words, "word")));
        }
        self.text.end_part();
        self.text.push(&self.aside.finish());
        Raw { fields, text: self.text.finish(), cut }
    }
}

/// Whether more comes behind what should be the last brace: Word has written one too many after pictures of formulas.
/// What else may stand there (line ends, zeros, a mail program's line) is no text.
fn goes_on(rest: &[u8]) -> bool {
    let next = rest.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(next, Some(b'{' | b'}' | b'\\'))
}

/// Windows' code pages by number. Those of DOS that no decoder is there for are left to the default.
fn encoding_of_page(page: i32) -> Option<&'static Encoding> {
    let label = match page {
        874 => "windows-874".to_owned(),
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        866 => "ibm866".to_owned(),
        10000 => "macintosh".to_owned(),
        10007 => "x-mac-cyrillic".to_owned(),
        65001 => "utf-8".to_owned(),
        1250..=1258 => format!("windows-{page}"),
        _ => return None,
    };
    Encoding::for_label(label.as_bytes())
}

/// A font's character set, in the numbers of Windows' font dialogues.
fn encoding_of_charset(charset: i32) -> Option<&'static Encoding> {
    let page = match charset {
        0 => 1252,
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    encoding_of_page(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(body: &str) -> String {
        Reader::new(10_000).read(format!("{{\\rtf1\\ansi {body}}}").as_bytes()).text
    }

    // E1
    #[test]
    fn what_stands_for_a_character_that_an_old_reader_does_not_know_is_left_out() {
        assert_eq!(text_of(r"\u8364?x"), "€x\n");
        assert_eq!(text_of(r"\u8364\'80x"), "€x\n");
        assert_eq!(text_of(r"{\uc0\u8364}x \uc2\u8364??y"), "€x €y\n");
        assert_eq!(text_of(r"\uc1\u-10179?\u-8956?."), "\u{1f504}.\n");
        assert_eq!(text_of(r"a{\u8364}b"), "a€b\n");
    }

    // E1
    #[test]
    fn bytes_are_in_the_code_page_of_their_font() {
        let fonts = r"{\fonttbl{\f0\fcharset0 A;}{\f1\fcharset128 B;}{\f2\fcharset238 C;}}";
        assert_eq!(text_of(&format!(r"{fonts}\f0\'e9 {{\f1\'92\'49}} {{\f2\'b9}}\'e9")), "é 棚 ąé\n");
        assert_eq!(text_of(r"\ansicpg1251 \'ea"), "к\n");
    }

    // E1
    #[test]
    fn what_is_for_other_readers_is_left_out() {
        assert_eq!(text_of(r"a{\*\future x {\b y}}b{\pict 0a}\bin2 }}c{\stylesheet{\s1 z;}}"), "abc\n");
        assert_eq!(text_of(r"{\v gone}{\deleted too}kept\v gone\v0 kept"), "keptkept\n");
    }

    // E1
    #[test]
    fn a_brace_too_many_does_not_end_the_text() {
        assert_eq!(text_of(r"one}{\b  two}\par}"), "one two\n");
        assert_eq!(text_of("one}\n\0more"), "one\n");
    }

    // E1
    #[test]
    fn a_file_without_its_end_is_read_as_far_as_it_goes() {
        let raw = Reader::new(100).read(br"{\rtf1 as far as {\b it");
        assert_eq!((raw.text.as_str(), raw.cut), ("as far as it\n", true));
        for end in [
            r"{\rtf1 \",
            r"{\rtf1 \'",
            r"{\rtf1 \'8",
            r"{\rtf1 \u",
            r"{\rtf1 \bin999999999999 x",
            r"{\rtf1 \b-",
        ] {
            assert!(Reader::new(100).read(end.as_bytes()).cut, "{end}");
        }
    }
}
