//! A font of a PDF, as far as text goes: which characters its codes are, and how wide they are drawn.
//!
//! In this order: what the document says a code means (`ToUnicode`), the name of its glyph in the encoding, the encoding
//! that is built into the font, the character collection of East Asian fonts. Only where all are silent a code means
//! nothing. A font program is opened for its encoding alone, and only where nothing else tells it.

use std::collections::HashMap;
use std::rc::Rc;

use hayro_cmap::{BfString, CMap, CMapName, CidFamily, WritingMode, load_embedded};
use hayro_syntax::object::{Array, Dict, Name, Object, Stream, String as PdfString};
use unicode_normalization::UnicodeNormalization;

use super::pdf_encoding::{Base, by_glyph_name};
use super::pdf_stream::{Unplain, plain};

/// A font as text sees it.
#[derive(Debug)]
pub(super) struct Font {
    codes: Codes,
    /// What was looked up once: by code, 256 of them a page, a place in `glyphs` and 1. In pages, because a long document
    /// has thousands of fonts, each with a few letters.
    known: Vec<Vec<u32>>,
    glyphs: Vec<Glyph>,
    /// The text of all glyphs.
    text: String,
    /// Lines run from top to bottom.
    pub(super) vertical: bool,
    /// Whether the widths are known.
    pub(super) exact: bool,
}

#[derive(Debug, Clone, Copy)]
struct Glyph {
    start: u32,
    length: u32,
    /// In ems.
    width: f32,
}

/// What a string of codes is.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Shown {
    /// How far it moves the pen, in ems.
    pub(super) advance: f64,
    /// How many codes it has.
    pub(super) codes: usize,
    /// How many of them are the one-byte code 32.
    pub(super) spaces: usize,
}

#[derive(Debug)]
enum Codes {
    /// One byte a code, each looked up beforehand.
    Simple,
    Composite(Box<Composite>),
}

#[derive(Debug)]
struct Composite {
    /// From codes to glyphs; none where they are the same, two bytes each.
    encoding: Option<Rc<CMap>>,
    to_unicode: Option<CMap>,
    /// From glyphs of a known collection to characters.
    collection: Option<Rc<CMap>>,
    widths: HashMap<u32, f32>,
    default_width: f32,
}

impl Font {
    /// Fails where a map in it inflates beyond the limit.
    pub(super) fn read(font: &Dict<'_>, maps: &mut Maps, inflated: usize) -> Result<Self, Unplain> {
        let to_unicode = match font.get::<Stream<'_>>(b"ToUnicode") {
            Some(stream) => read_map(&stream, inflated)?,
            None => None,
        };
        if font.get::<Name<'_>>(b"Subtype").is_some_and(|subtype| &*subtype == b"Type0") {
            composite(font, to_unicode, maps, inflated)
        } else {
            simple(font, to_unicode.as_ref(), inflated)
        }
    }

    /// Appends what a string of codes says. Codes that nobody knows are left out.
    pub(super) fn show(&mut self, bytes: &[u8], into: &mut String) -> Shown {
        let mut shown = Shown::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (code, length) = self.next_code(rest);
            rest = &rest[length..];
            let glyph = self.glyph(code, length);
            shown.advance += f64::from(glyph.width);
            shown.codes += 1;
            shown.spaces += usize::from(length == 1 && code == 32);
            into.push_str(&self.text[glyph.start as usize..(glyph.start + glyph.length) as usize]);
        }
        shown
    }

    fn next_code(&self, bytes: &[u8]) -> (u32, usize) {
        let Codes::Composite(composite) = &self.codes else { return (u32::from(bytes[0]), 1) };
        let Some(encoding) = &composite.encoding else {
            let code = bytes.iter().take(2).fold(0, |code, &byte| code << 8 | u32::from(byte));
            return (code, bytes.len().min(2));
        };
        let mut code = 0;
        for (length, &byte) in (1_u8..=4).zip(bytes) {
            code = code << 8 | u32::from(byte);
            if encoding.lookup_cid_code(code, length).is_some() {
                return (code, usize::from(length));
            }
        }
        (u32::from(bytes[0]), 1)
    }

    fn glyph(&mut self, code: u32, length: usize) -> Glyph {
        // Codes of different lengths are different codes; a map that has both is rare, and small.
        let (page, place) = (code as usize / 256 + usize::from(length > 1), code as usize % 256);
        if let Some(&at) = self.known.get(page).and_then(|page| page.get(place))
            && at > 0
        {
            return self.glyphs[at as usize - 1];
        }
        let Codes::Composite(composite) = &self.codes else {
            return Glyph { start: 0, length: 0, width: 0.0 };
        };
        let start = self.text.len();
        let width = composite.look_up(code, length, self.vertical, &mut self.text);
        let glyph = self.remember(start, width);
        if page <= MOST_PAGES {
            if self.known.len() <= page {
                self.known.resize(page + 1, Vec::new());
            }
            let page = &mut self.known[page];
            page.resize(256, 0);
            page[place] = u32::try_from(self.glyphs.len()).unwrap_or(0);
        }
        glyph
    }

    /// The glyph whose text was just appended.
    fn remember(&mut self, start: usize, width: f32) -> Glyph {
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let glyph = Glyph { start: place(start), length: place(self.text.len() - start), width };
        self.glyphs.push(glyph);
        glyph
    }
}

/// All codes of two bytes, behind those of one.
const MOST_PAGES: usize = 256;

/// The maps that a PDF only names, each parsed once: they have tens of thousands of entries.
#[derive(Debug, Default)]
pub(super) struct Maps {
    known: HashMap<Vec<u8>, Option<Rc<CMap>>>,
}

impl Maps {
    fn named(&mut self, name: CMapName<'_>) -> Option<Rc<CMap>> {
        // A name that means nothing is not worth keeping.
        let map = load_embedded(name)?;
        let parse = || CMap::parse(map, load_embedded).map(Rc::new);
        self.known.entry(name.to_bytes().to_vec()).or_insert_with(parse).clone()
    }
}

impl Composite {
    /// Appends the text of a code; its width in ems.
    fn look_up(&self, code: u32, length: usize, vertical: bool, text: &mut String) -> f32 {
        let glyph = match &self.encoding {
            Some(encoding) => encoding.lookup_cid_code(code, u8::try_from(length).unwrap_or(4)).unwrap_or(0),
            None => code,
        };
        let meaning = match &self.to_unicode {
            Some(map) => map.lookup_bf_string(code),
            None => None,
        };
        match meaning.or_else(|| self.collection.as_ref()?.lookup_bf_string(glyph)) {
            Some(BfString::Char(char)) => push_text(char.encode_utf8(&mut [0; 4]), text),
            Some(BfString::String(string)) => push_text(&string, text),
            None => {}
        }
        // Ideographs stand one em below each other.
        if vertical { 1.0 } else { self.widths.get(&glyph).copied().unwrap_or(self.default_width) }
    }
}

/// Appends the text of one glyph: ligatures as the letters that people type, nothing that is no character.
fn push_text(meaning: &str, text: &mut String) {
    let start = text.len();
    for char in meaning.chars() {
        match char {
            '\0' | '\u{fffd}' | '\u{feff}' => {}
            // Latin ligatures. Arabic ones stay until their line is in order.
            '\u{fb00}'..='\u{fb06}' => text.extend(std::iter::once(char).nfkc()),
            _ => text.push(char),
        }
    }
    // One glyph of several letters that run to the left: the line around it is turned as a whole, they with it.
    if text[start..].chars().nth(1).is_some()
        && text[start..].chars().next().is_some_and(super::pdf_order::is_rtl)
    {
        let turned: String = text[start..].chars().rev().collect();
        text.replace_range(start.., &turned);
    }
}

fn read_map(stream: &Stream<'_>, inflated: usize) -> Result<Option<CMap>, Unplain> {
    match plain(stream, inflated) {
        Ok(map) => Ok(CMap::parse(&map, load_embedded)),
        Err(Unplain::TooLarge) => Err(Unplain::TooLarge),
        Err(Unplain::Foreign) => Ok(None),
    }
}

fn number(object: Object<'_>) -> f32 {
    object.into_f32().unwrap_or(0.0)
}

fn composite(
    font: &Dict<'_>,
    to_unicode: Option<CMap>,
    maps: &mut Maps,
    inflated: usize,
) -> Result<Font, Unplain> {
    let mut vertical = false;
    let encoding = match font.get::<Object<'_>>(b"Encoding") {
        Some(Object::Name(name)) => {
            vertical = name.ends_with(b"-V") || &*name == b"V";
            match CMapName::from_bytes(&name) {
                CMapName::IdentityH | CMapName::IdentityV => None,
                name => maps.named(name),
            }
        }
        Some(Object::Stream(stream)) => {
            let map = read_map(&stream, inflated)?.map(Rc::new);
            vertical =
                map.as_ref().is_some_and(|map| map.metadata().writing_mode == Some(WritingMode::Vertical));
            map
        }
        _ => None,
    };
    let descendant =
        font.get::<Array<'_>>(b"DescendantFonts").and_then(|list| list.iter::<Dict<'_>>().next());
    let descendant = descendant.unwrap_or_default();
    let collection = match &to_unicode {
        Some(_) => None,
        None => collection_of(&descendant, encoding.as_deref(), maps),
    };
    let list = descendant.get::<Array<'_>>(b"W");
    let composite = Composite {
        encoding,
        to_unicode,
        collection,
        widths: list.map(|list| widths_by_glyph(&list)).unwrap_or_default(),
        default_width: descendant.get::<f32>(b"DW").unwrap_or(1000.0) / 1000.0,
    };
    Ok(Font {
        codes: Codes::Composite(Box::new(composite)),
        known: Vec::new(),
        glyphs: Vec::new(),
        text: String::new(),
        vertical,
        exact: true,
    })
}

/// What the glyphs of an East Asian collection mean.
fn collection_of(descendant: &Dict<'_>, encoding: Option<&CMap>, maps: &mut Maps) -> Option<Rc<CMap>> {
    let named = encoding.and_then(|encoding| encoding.metadata().character_collection.clone());
    let family = match named.map(|collection| collection.family) {
        Some(family) if family != CidFamily::AdobeIdentity => family,
        _ => {
            let info = descendant.get::<Dict<'_>>(b"CIDSystemInfo")?;
            let string = |key: &[u8]| info.get::<PdfString<'_>>(key);
            CidFamily::from_registry_ordering(&string(b"Registry")?, &string(b"Ordering")?)
        }
    };
    maps.named(family.ucs2_cmap()?)
}

/// Either `first [width width ...]` or `first last width`, again and again; in ems.
fn widths_by_glyph(list: &Array<'_>) -> HashMap<u32, f32> {
    let mut widths = HashMap::new();
    let mut list = list.iter::<Object<'_>>();
    while let (Some(first), Some(second)) = (list.next(), list.next()) {
        let Some(first) = first.into_i32().and_then(|first| u32::try_from(first).ok()) else { break };
        match second {
            Object::Array(run) => {
                widths.extend((first..).zip(run.iter::<Object<'_>>().map(|width| number(width) / 1000.0)));
            }
            last => {
                let (last, width) = (last.into_i32(), list.next().map_or(0.0, number) / 1000.0);
                // Two bytes a code: a range beyond that is nonsense.
                let last = last.and_then(|last| u32::try_from(last).ok()).unwrap_or(first).min(0xffff);
                widths.extend((first..=last).map(|glyph| (glyph, width)));
            }
        }
    }
    widths
}

fn simple(font: &Dict<'_>, to_unicode: Option<&CMap>, inflated: usize) -> Result<Font, Unplain> {
    let meanings = Meanings::read(font, to_unicode.is_some(), inflated)?;
    let (widths, exact) = simple_widths(font);
    let mut read = Font {
        codes: Codes::Simple,
        known: vec![(1..=256).collect()],
        glyphs: Vec::with_capacity(256),
        text: String::new(),
        vertical: false,
        exact,
    };
    for code in 0..=255 {
        let start = read.text.len();
        match to_unicode.and_then(|map| map.lookup_bf_string(u32::from(code))) {
            Some(BfString::Char(char)) if char != '\0' => {
                push_text(char.encode_utf8(&mut [0; 4]), &mut read.text);
            }
            Some(BfString::String(string)) => push_text(&string, &mut read.text),
            _ => meanings.push(code, &mut read.text),
        }
        read.remember(start, widths[usize::from(code)]);
    }
    Ok(read)
}

/// Widths of the codes in ems, and whether they are known.
fn simple_widths(font: &Dict<'_>) -> ([f32; 256], bool) {
    // Half an em is what letters take on average.
    let mut widths = [0.5; 256];
    let Some(list) = font.get::<Array<'_>>(b"Widths") else {
        let is_courier = font.get::<Name<'_>>(b"BaseFont").is_some_and(|name| name.starts_with(b"Courier"));
        return if is_courier { ([0.6; 256], true) } else { (widths, false) };
    };
    // A Type 3 font has a scale of its own, all others 1000 units an em.
    let matrix = font.get::<Array<'_>>(b"FontMatrix");
    let scale = matrix.and_then(|matrix| matrix.iter::<Object<'_>>().next()).map_or(0.001, number).abs();
    let descriptor = font.get::<Dict<'_>>(b"FontDescriptor").unwrap_or_default();
    widths.fill(descriptor.get::<f32>(b"MissingWidth").unwrap_or(0.0) * scale);
    let first = font.get::<i32>(b"FirstChar").and_then(|first| usize::try_from(first).ok()).unwrap_or(0);
    for (place, width) in widths.iter_mut().skip(first).zip(list.iter::<Object<'_>>()) {
        *place = number(width) * scale;
    }
    (widths, true)
}

/// What codes of a simple font mean, where the document does not say so itself.
#[derive(Debug)]
struct Meanings {
    base: Base,
    /// What the font itself says, by code.
    built_in: HashMap<u8, String>,
    /// What the document says, by code.
    names: HashMap<u8, String>,
}

impl Meanings {
    fn read(font: &Dict<'_>, is_told: bool, inflated: usize) -> Result<Self, Unplain> {
        let name = font.get::<Name<'_>>(b"BaseFont");
        let name = name.as_deref().unwrap_or_default();
        let is_symbol = name.ends_with(b"Symbol") || name.ends_with(b"SymbolMT");
        let mut meanings = Meanings {
            base: if is_symbol { Base::Symbol } else { Base::Standard },
            built_in: HashMap::new(),
            names: HashMap::new(),
        };
        let mut is_named = false;
        match font.get::<Object<'_>>(b"Encoding") {
            Some(Object::Name(name)) => {
                if let Some(base) = Base::by_name(&name) {
                    (meanings.base, is_named) = (base, true);
                }
            }
            Some(Object::Dict(encoding)) => {
                if let Some(base) =
                    encoding.get::<Name<'_>>(b"BaseEncoding").and_then(|name| Base::by_name(&name))
                {
                    (meanings.base, is_named) = (base, true);
                }
                if let Some(list) = encoding.get::<Array<'_>>(b"Differences") {
                    meanings.names = differences(&list);
                }
            }
            _ => {}
        }
        if !is_named && !is_told {
            meanings.built_in = built_in(font, inflated)?;
        }
        Ok(meanings)
    }

    fn push(&self, code: u8, text: &mut String) {
        if let Some(name) = self.names.get(&code).or_else(|| self.built_in.get(&code)) {
            match by_glyph_name(name) {
                Some(meaning) => push_text(&meaning, text),
                None => push_numbered(name, code, text),
            }
        } else if let Some(char) = self.base.char(code) {
            push_text(char.encode_utf8(&mut [0; 4]), text);
        }
    }
}

/// Names like `c65` or `a65` for code 65: the font was made by a program that only numbers what it draws, TeX's bitmaps
/// above all. Its numbers are ASCII, the letters above it in most languages those of Latin 1, and its ligatures stand where
/// TeX has them. Other names, like `g17`, mean nothing.
fn push_numbered(name: &str, code: u8, text: &mut String) {
    let digits = name.trim_start_matches(|char: char| char.is_ascii_alphabetic());
    if digits.parse() != Ok(code) || name.len() - digits.len() > 2 {
        return;
    }
    match code {
        0x0b | 0x1b => text.push_str("ff"),
        0x0c | 0x1c => text.push_str("fi"),
        0x0d | 0x1d => text.push_str("fl"),
        0x0e | 0x1e => text.push_str("ffi"),
        0x0f | 0x1f => text.push_str("ffl"),
        0x20..=0x7e | 0xa1..=0xfe => text.push(char::from(code)),
        0xff => text.push('ß'),
        _ => {}
    }
}

fn differences(list: &Array<'_>) -> HashMap<u8, String> {
    let mut names = HashMap::new();
    let mut code = 0_i32;
    for object in list.iter::<Object<'_>>() {
        match object {
            Object::Number(number) => code = i32::try_from(number.as_i64()).unwrap_or(-1),
            Object::Name(name) => {
                if let Ok(code) = u8::try_from(code) {
                    names.insert(code, String::from_utf8_lossy(&name).into_owned());
                }
                code = code.saturating_add(1);
            }
            _ => {}
        }
    }
    names
}

/// The encoding that a font program has built in: Type 1, as PostScript or compact (CFF).
fn built_in(font: &Dict<'_>, inflated: usize) -> Result<HashMap<u8, String>, Unplain> {
    let descriptor = font.get::<Dict<'_>>(b"FontDescriptor").unwrap_or_default();
    let (postscript, compact) =
        (descriptor.get::<Stream<'_>>(b"FontFile"), descriptor.get::<Stream<'_>>(b"FontFile3"));
    let Some(stream) = postscript.as_ref().or(compact.as_ref()) else { return Ok(HashMap::new()) };
    match plain(stream, inflated) {
        Ok(program) if postscript.is_some() => Ok(type_1_encoding(&program)),
        Ok(program) => Ok(compact_encoding(&program)),
        Err(Unplain::TooLarge) => Err(Unplain::TooLarge),
        Err(Unplain::Foreign) => Ok(HashMap::new()),
    }
}

fn compact_encoding(program: &[u8]) -> HashMap<u8, String> {
    let Some(program) = ttf_parser::cff::Table::parse(program) else { return HashMap::new() };
    let name = |code| program.glyph_name(program.glyph_index(code)?);
    (0..=255)
        .filter_map(|code| Some((code, name(code).filter(|&name| name != ".notdef")?.to_owned())))
        .collect()
}

/// `dup 65 /A put`, again and again, between `/Encoding` and `def`. It stands in the part that is not encrypted.
fn type_1_encoding(program: &[u8]) -> HashMap<u8, String> {
    let clear = program.windows(5).position(|window| window == b"eexec").unwrap_or(program.len());
    let clear = String::from_utf8_lossy(&program[..clear]);
    let Some((_, encoding)) = clear.split_once("/Encoding") else { return HashMap::new() };
    let mut names = HashMap::new();
    let mut words = encoding.split_ascii_whitespace();
    while let Some(word) = words.next() {
        match word {
            "def" | "readonly" if !names.is_empty() => break,
            "StandardEncoding" => break,
            "dup" => {
                let (Some(code), Some(name)) = (words.next(), words.next()) else { break };
                // The slash may touch the number.
                if let (Ok(code), Some(name)) = (code.parse(), name.strip_prefix('/')) {
                    names.insert(code, name.to_owned());
                } else if let Some((code, name)) = code.split_once('/')
                    && let Ok(code) = code.parse()
                {
                    names.insert(code, name.to_owned());
                }
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use hayro_syntax::object::FromBytes;

    use super::*;

    fn font(dictionary: &'static [u8]) -> Font {
        let dictionary = Dict::from_bytes(dictionary).expect("a dictionary");
        Font::read(&dictionary, &mut Maps::default(), 1 << 20).expect("within the limit")
    }

    fn shown(font: &mut Font, bytes: &[u8]) -> (String, f64) {
        let mut text = String::new();
        let shown = font.show(bytes, &mut text);
        (text, (shown.advance * 1000.0).round() / 1000.0)
    }

    #[test]
    fn predefined_maps_of_east_asia_are_read() {
        let mut sjis = font(b"<</Type/Font/Subtype/Type0/Encoding/90ms-RKSJ-H/DescendantFonts[<</CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>>>]>>");
        assert_eq!(shown(&mut sjis, b"\x93\xfa\x96\x7b").0, "日本");
        let mut utf16 = font(b"<</Type/Font/Subtype/Type0/Encoding/UniJIS-UTF16-H/DescendantFonts[<</CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>>>]>>");
        assert_eq!(shown(&mut utf16, b"\x68\xda").0, "棚");
        let mut chinese = font(b"<</Type/Font/Subtype/Type0/Encoding/GBK-EUC-V/DescendantFonts[<</CIDSystemInfo<</Registry(Adobe)/Ordering(GB1)/Supplement 2>>>>]>>");
        assert_eq!(shown(&mut chinese, b"\xd6\xd0"), ("中".to_owned(), 1.0));
        assert!(chinese.vertical);
    }

    #[test]
    fn widths_of_codes_are_added_up() {
        let mut simple = font(b"<</Type/Font/Subtype/Type1/Encoding/WinAnsiEncoding/FirstChar 65/Widths[500 700]/FontDescriptor<</MissingWidth 100>>>>");
        assert_eq!(shown(&mut simple, b"AB\x01"), ("AB".to_owned(), 1.3));
        let mut wide = font(
            b"<</Type/Font/Subtype/Type0/Encoding/Identity-H/DescendantFonts[<</W[258[250] 300 301 500]>>]>>",
        );
        assert_eq!(shown(&mut wide, b"\x01\x02\x00\x00\x01\x2d").1, 1.75);
    }

    #[test]
    fn a_code_means_what_its_glyph_is_called() {
        let mut named =
            font(b"<</Type/Font/Subtype/Type1/Encoding<</Differences[1/ffi/afii10017 65/a65/g7/Euro]>>>>");
        assert_eq!(shown(&mut named, b"\x01\x02ABCD").0, "ffiАA€D");
    }

    #[test]
    fn a_type_1_program_says_what_its_codes_are() {
        let names = type_1_encoding(
            b"%!PS\n/Encoding 256 array\n0 1 255 {1 index exch /.notdef put} for\ndup 65 /alpha put\ndup 66/beta put\nreadonly def\n/x dup 67 /gamma put currentfile eexec\x80\x81 dup 68 /delta put",
        );
        assert_eq!(names, HashMap::from([(65, "alpha".to_owned()), (66, "beta".to_owned())]));
    }
}
