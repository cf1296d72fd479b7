//! Text of PDF pages: runs what a page says, follows where each string is put, and so tells words and lines apart.
//!
//! Strings alone do not tell words: many programs part them by moving on instead of by a space character. Read without
//! places, "QuillfeatherInstitute of Attics" would be the text, and a search for either word would find nothing.

use std::collections::HashMap;

use hayro_syntax::object::{Array, Dict, MaybeRef, Name, Object, Stream, String as PdfString};
use hayro_syntax::page::Page;

use super::pdf_fields::text_string;
use super::pdf_font::{Font, Maps};
use super::pdf_order::{Piece, in_order, is_rtl};
use super::pdf_scan::{Operand, Scan};
use super::pdf_stream::{Unplain, plain};

/// Reads page after page into one text.
#[derive(Debug)]
pub(super) struct TextReader {
    /// The most that one stream may inflate to, in bytes.
    inflated: usize,
    maps: Maps,
    fonts: Vec<Font>,
    /// By object number, or by where a dictionary without one lies; parsing a font's maps is the dearest part of a page.
    /// `None` where it cannot be understood: its text is skipped, the page goes on.
    known: HashMap<(usize, i32), Option<usize>>,
    pub(super) text: String,
    /// More than this is not needed, in bytes.
    pub(super) enough: usize,
    pen: Option<Pen>,
    line: Line,
    /// The string that is being shown.
    shown: String,
    /// What was shown last: where it began, and its length in `text`.
    last: Option<((f64, f64), usize)>,
    /// How many pieces of marked content are open, and the text that the document gives instead of what is drawn there.
    marked: usize,
    instead: Option<Instead>,
}

/// Where the last string ended, in the coordinates of the page.
#[derive(Debug, Clone, Copy)]
struct Pen {
    x: f64,
    y: f64,
    /// Height of the font there.
    em: f64,
    /// Whether the widths of the font are known.
    exact: bool,
    /// Whether what it drew runs to the left.
    rtl: bool,
}

/// The line that is being written: needed again where scripts run from right to left.
#[derive(Debug, Default)]
struct Line {
    /// Where it begins in the text.
    start: usize,
    rtl: bool,
    /// From, to and em along the line, and where the piece stands in the text.
    pieces: Vec<(f64, f64, f64, usize, usize)>,
}

/// `/Span <</ActualText (...)>> BDC`.
#[derive(Debug)]
struct Instead {
    text: String,
    depth: usize,
}

/// A form drawn by a form drawn by ... is read so deep.
const MAX_DEPTH: usize = 6;

/// `q` without `Q` is forgotten beyond this.
const MAX_SAVED: usize = 256;

/// Documents put together from others have a font a page and letter; no more than these are kept from page to page.
const MOST_FONTS: usize = 500;

/// A line of more pieces than this is none.
const MAX_PIECES: usize = 4096;

/// What a page or form can name.
#[derive(Debug, Clone)]
struct Resources<'a> {
    fonts: Dict<'a>,
    forms: Dict<'a>,
    properties: Dict<'a>,
}

impl<'a> Resources<'a> {
    fn of(dict: &Dict<'a>) -> Self {
        let part = |key: &[u8]| dict.get::<Dict<'_>>(key).unwrap_or_default();
        Resources { fonts: part(b"Font"), forms: part(b"XObject"), properties: part(b"Properties") }
    }
}

impl TextReader {
    pub(super) fn new(inflated: usize, enough: usize) -> Self {
        TextReader {
            inflated,
            maps: Maps::default(),
            fonts: Vec::new(),
            known: HashMap::new(),
            text: String::new(),
            enough,
            pen: None,
            line: Line::default(),
            shown: String::new(),
            last: None,
            marked: 0,
            instead: None,
        }
    }

    /// Appends the text of one page. Fails where something in it is larger than allowed.
    pub(super) fn page(&mut self, page: &Page<'_>) -> Result<(), Unplain> {
        if !self.text.is_empty() {
            self.text.truncate(self.text.trim_end().len());
            self.text.push_str("\n\n");
        }
        if self.fonts.len() > MOST_FONTS {
            self.fonts.clear();
            self.known.clear();
        }
        (self.marked, self.instead) = (0, None);
        self.start_line();
        let content = self.contents(page.raw())?;
        let named = page.resources();
        let resources = Resources {
            fonts: named.fonts.clone(),
            forms: named.x_objects.clone(),
            properties: named.properties.clone(),
        };
        self.run(&content, &[resources], IDENTITY, 0)?;
        self.notes(page.raw())?;
        self.end_line();
        Ok(())
    }

    /// The whole text, ended by a line feed where there is any.
    pub(super) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text
    }

    /// A page's content, which may be cut into several streams at any white space. A stream that cannot be read costs
    /// its part only.
    fn contents(&self, page: &Dict<'_>) -> Result<Vec<u8>, Unplain> {
        let mut content = Vec::new();
        let one = page.get::<Stream<'_>>(b"Contents");
        let many = page.get::<Array<'_>>(b"Contents");
        let many = many.iter().flat_map(|list| list.iter::<Object<'_>>()).filter_map(Object::into_stream);
        for stream in one.into_iter().chain(many) {
            match plain(&stream, self.inflated.saturating_sub(content.len())) {
                Ok(part) if content.is_empty() => content = part.into_owned(),
                Ok(part) => {
                    content.push(b'\n');
                    content.extend_from_slice(&part);
                }
                Err(Unplain::TooLarge) => return Err(Unplain::TooLarge),
                Err(Unplain::Foreign) => {}
            }
        }
        Ok(content)
    }

    /// What was typed into forms and written over the page.
    fn notes(&mut self, page: &Dict<'_>) -> Result<(), Unplain> {
        let Some(notes) = page.get::<Array<'_>>(b"Annots") else { return Ok(()) };
        for note in notes.iter::<Dict<'_>>().take(MAX_PIECES) {
            let kind = note.get::<Name<'_>>(b"Subtype");
            // Links and the like have nothing of their own to say; hidden ones (bit 2) are not seen.
            let is_text = kind.is_some_and(|kind| matches!(&*kind, b"Widget" | b"FreeText" | b"Stamp"));
            if !is_text || note.get::<i32>(b"F").is_some_and(|flags| flags & 2 != 0) {
                continue;
            }
            let looks = note.get::<Dict<'_>>(b"AP").unwrap_or_default();
            let form = looks.get::<Stream<'_>>(b"N").or_else(|| {
                let state = note.get::<Name<'_>>(b"AS")?;
                looks.get::<Dict<'_>>(b"N")?.get::<Stream<'_>>(&*state)
            });
            if let Some(form) = form {
                self.break_line();
                self.form(&form, &[], IDENTITY, 0)?;
            }
        }
        Ok(())
    }

    fn run(
        &mut self,
        content: &[u8],
        resources: &[Resources<'_>],
        base: Matrix,
        depth: usize,
    ) -> Result<(), Unplain> {
        let mut state = State::new(base);
        let mut saved = Vec::new();
        let mut scan = Scan::new(content);
        let outside = self.marked;
        while let Some(operator) = scan.next() {
            if self.text.len() > self.enough {
                return Ok(());
            }
            let number = |at| scan.number_at(at);
            let matrix = || [number(0), number(1), number(2), number(3), number(4), number(5)];
            match operator {
                b"q" if saved.len() < MAX_SAVED => saved.push(state.clone()),
                b"Q" => state = saved.pop().unwrap_or(state),
                b"cm" => state.page = multiply(matrix(), state.page),
                b"BT" => state.start_text(IDENTITY),
                b"Tm" => state.start_text(matrix()),
                b"Td" => state.next_line(number(0), number(1)),
                b"TD" => {
                    state.leading = -number(1);
                    state.next_line(number(0), number(1));
                }
                b"T*" => state.next_line(0.0, -state.leading),
                b"TL" => state.leading = number(0),
                b"Tc" => state.char_space = number(0),
                b"Tw" => state.word_space = number(0),
                b"Tz" => state.stretch = number(0) / 100.0,
                b"Ts" => state.rise = number(0),
                b"Tf" => {
                    state.font = match scan.name_at(0) {
                        Some(name) => self.font(name, resources)?,
                        None => None,
                    };
                    state.size = number(1);
                }
                b"Tj" | b"TJ" | b"'" | b"\"" => {
                    if operator == b"\"" {
                        (state.word_space, state.char_space) = (number(0), number(1));
                    }
                    if operator == b"\"" || operator == b"'" {
                        state.next_line(0.0, -state.leading);
                    }
                    for operand in &scan.operands {
                        match operand {
                            Operand::Number(kern) if operator == b"TJ" => self.kern(&mut state, *kern),
                            Operand::Plain(_) | Operand::Decoded(_) => {
                                self.show(&mut state, scan.string(operand).unwrap_or_default());
                            }
                            Operand::Number(_) | Operand::Name(_) => {}
                        }
                    }
                }
                b"Do" if depth < MAX_DEPTH => {
                    let named =
                        |name| resources.iter().rev().find_map(|own| own.forms.get::<Stream<'_>>(name));
                    if let Some(form) = scan.name_at(0).and_then(named) {
                        self.form(&form, resources, state.page, depth)?;
                    }
                }
                b"BMC" => self.marked += 1,
                b"BDC" => {
                    self.marked += 1;
                    if self.instead.is_none() {
                        let text = actual_text(&scan, resources);
                        self.instead = text.map(|text| Instead { text, depth: self.marked });
                    }
                }
                b"EMC" if self.marked > outside => {
                    if self.instead.as_ref().is_some_and(|instead| instead.depth == self.marked) {
                        self.instead = None;
                    }
                    self.marked -= 1;
                }
                _ => {}
            }
        }
        self.marked = outside;
        if self.instead.as_ref().is_some_and(|instead| instead.depth > outside) {
            self.instead = None;
        }
        Ok(())
    }

    /// A form: a piece of page with resources of its own. Pictures are drawn the same way, and are none.
    fn form(
        &mut self,
        form: &Stream<'_>,
        outer: &[Resources<'_>],
        page: Matrix,
        depth: usize,
    ) -> Result<(), Unplain> {
        let dict = form.dict();
        if dict.get::<Name<'_>>(b"Subtype").is_none_or(|subtype| &*subtype != b"Form") {
            return Ok(());
        }
        let content = match plain(form, self.inflated) {
            Ok(content) => content,
            Err(Unplain::TooLarge) => return Err(Unplain::TooLarge),
            Err(Unplain::Foreign) => return Ok(()),
        };
        let mut resources = outer.to_vec();
        resources.extend(dict.get::<Dict<'_>>(b"Resources").map(|own| Resources::of(&own)));
        let matrix = dict.get::<Array<'_>>(b"Matrix").and_then(|matrix| {
            let numbers: Vec<f64> = matrix.iter::<Object<'_>>().map(number_of).collect();
            <Matrix>::try_from(numbers).ok()
        });
        self.run(&content, &resources, multiply(matrix.unwrap_or(IDENTITY), page), depth + 1)
    }

    /// A font by its name, parsed once.
    fn font(&mut self, name: &[u8], resources: &[Resources<'_>]) -> Result<Option<usize>, Unplain> {
        let named = |own: &Resources<'_>| own.fonts.contains_key(name);
        let Some(fonts) = resources.iter().rev().find(|own| named(own)).map(|own| &own.fonts) else {
            return Ok(None);
        };
        let key = match fonts.get_raw::<Dict<'_>>(name) {
            Some(MaybeRef::Ref(reference)) => (reference.obj_number as usize, reference.gen_number),
            Some(MaybeRef::NotRef(direct)) => (direct.data().as_ptr() as usize, -1),
            None => return Ok(None),
        };
        if let Some(font) = self.known.get(&key) {
            return Ok(*font);
        }
        let font = match fonts.get::<Dict<'_>>(name) {
            Some(font) => {
                self.fonts.push(Font::read(&font, &mut self.maps, self.inflated)?);
                Some(self.fonts.len() - 1)
            }
            None => None,
        };
        self.known.insert(key, font);
        Ok(font)
    }

    /// A number between the strings of `TJ`, in thousandths of the font's size, backwards.
    fn kern(&self, state: &mut State, number: f64) {
        let vertical = state.font.is_some_and(|font| self.fonts[font].vertical);
        state.advance(-number / 1000.0 * state.size, vertical);
        state.moved |= number < -150.0;
    }

    fn show(&mut self, state: &mut State, bytes: &[u8]) {
        let Some(font) = state.font.and_then(|font| self.fonts.get_mut(font)) else { return };
        self.shown.clear();
        let drawn = font.show(bytes, &mut self.shown);
        let (vertical, exact) = (font.vertical, font.exact);
        let start = state.position();
        let along = state.direction(vertical);
        let advance = drawn.advance * state.size
            + drawn.codes as f64 * state.char_space
            + drawn.spaces as f64 * state.word_space;
        state.advance(advance, vertical);
        let moved = std::mem::take(&mut state.moved);
        if self.instead.is_some() {
            self.shown.clear();
            if let Some(instead) = &mut self.instead {
                std::mem::swap(&mut self.shown, &mut instead.text);
            }
        }
        if self.shown.is_empty() {
            return;
        }
        let em = state.em();
        let (x, y) = state.position();
        // Bold letters are made of ordinary ones by drawing them twice, a hair apart.
        if let Some((at, length)) = self.last
            && (start.0 - at.0).abs() < 0.1 * em
            && (start.1 - at.1).abs() < 0.1 * em
            && self.text.get(self.text.len().saturating_sub(length)..) == Some(self.shown.as_str())
        {
            return;
        }
        let rtl = !self.shown.is_ascii() && self.shown.chars().any(is_rtl);
        if let Some(pen) = self.pen {
            self.part(pen, start, along, (em, rtl), moved);
        }
        let written = self.text.len();
        self.text.push_str(&self.shown);
        self.line.rtl |= rtl;
        if self.line.pieces.len() < MAX_PIECES {
            let place = |(x, y): (f64, f64)| x * along.0 + y * along.1;
            self.line.pieces.push((place(start), place((x, y)), em, written, self.text.len()));
        }
        self.last = Some((start, self.shown.len()));
        self.pen = Some(Pen { x, y, em, exact, rtl });
    }

    /// Puts a space or a line end where the pen moved on before this string.
    fn part(&mut self, pen: Pen, start: (f64, f64), along: (f64, f64), (em, rtl): (f64, bool), moved: bool) {
        let (dx, dy) = (start.0 - pen.x, start.1 - pen.y);
        let forward = dx * along.0 + dy * along.1;
        let aside = dx * along.1 - dy * along.0;
        let own = em;
        let em = em.max(pen.em).max(f64::MIN_POSITIVE);
        // What runs to the left may go far back; its places are sorted at the end of the line.
        let leftwards = rtl || pen.rtl;
        if aside.abs() > 0.6 * em || (forward < -4.0 * em && !leftwards) {
            if self.text.ends_with(is_hyphen) && continues_word(&self.text, &self.shown) && !self.line.rtl {
                self.text.pop();
                self.start_line();
            } else {
                self.break_line();
            }
            return;
        }
        // TeX puts an accent there first, and then the letter under it.
        if forward < -0.1 * em
            && let Some(mark) = self.text.chars().next_back().and_then(combining)
            && let Some(letter) = self.shown.chars().next().filter(|char| char.is_alphabetic())
        {
            self.text.pop();
            // It was the end of the piece before.
            if let Some((_, _, _, _, end)) = self.line.pieces.last_mut() {
                *end = self.text.len().min(*end);
            }
            self.shown.insert(letter.len_utf8(), mark);
            return;
        }
        if self.is_mark(pen, aside, own) && !self.text.ends_with([' ', '\n']) {
            self.text.push(' ');
            return;
        }
        // Without widths nobody knows where the last string ended; that the pen was set anew must do.
        let apart = if pen.exact { forward > 0.15 * em } else { moved };
        if apart && !self.text.ends_with([' ', '\n']) && !self.shown.starts_with(' ') {
            self.text.push(' ');
        }
    }

    /// Whether a footnote's mark begins or ends here: small raised digits, which are no part of the word beside them. Without
    /// a space nobody would find that word.
    fn is_mark(&self, pen: Pen, aside: f64, em: f64) -> bool {
        let digit = |char: char| char.is_ascii_digit();
        if em < 0.85 * pen.em {
            aside < -0.15 * pen.em && self.shown.starts_with(digit)
        } else {
            pen.em < 0.85 * em && aside > 0.15 * em && self.text.ends_with(digit)
        }
    }

    fn break_line(&mut self) {
        self.end_line();
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push('\n');
        }
        self.start_line();
    }

    fn start_line(&mut self) {
        self.pen = None;
        self.last = None;
        self.line.rtl = false;
        self.line.pieces.clear();
        self.line.start = self.text.len();
    }

    /// Puts the line that ends here into the order in which it is read.
    fn end_line(&mut self) {
        if !self.line.rtl || self.line.pieces.len() >= MAX_PIECES {
            return;
        }
        let pieces = self.line.pieces.iter().map(|&(from, to, em, start, end)| {
            let text = self.text.get(start..end).unwrap_or_default();
            Piece { from, to, em, text }
        });
        let line = in_order(pieces.collect());
        self.text.truncate(self.line.start);
        self.text.push_str(&line);
    }
}

/// The text that the document gives for a piece of marked content, in its own words or in its properties.
fn actual_text(scan: &Scan<'_>, resources: &[Resources<'_>]) -> Option<String> {
    let mut operands = scan.operands.iter();
    if operands.any(|operand| *operand == Operand::Name(b"ActualText")) {
        return operands.next().and_then(|text| scan.string(text)).map(text_string);
    }
    let name = scan.name_at(1)?;
    let properties = resources.iter().rev().find_map(|own| own.properties.get::<Dict<'_>>(name))?;
    properties.get::<PdfString<'_>>(b"ActualText").map(|text| text_string(text.as_bytes()))
}

/// The accent that is put over or under a letter, for the one that stands by itself.
fn combining(accent: char) -> Option<char> {
    Some(match accent {
        '`' => '\u{300}',
        '´' => '\u{301}',
        'ˆ' | '^' => '\u{302}',
        '˜' | '~' => '\u{303}',
        '¯' => '\u{304}',
        '˘' => '\u{306}',
        '˙' => '\u{307}',
        '¨' => '\u{308}',
        '˚' => '\u{30a}',
        '˝' => '\u{30b}',
        'ˇ' => '\u{30c}',
        '¸' => '\u{327}',
        '˛' => '\u{328}',
        _ => return None,
    })
}

fn is_hyphen(char: char) -> bool {
    matches!(char, '-' | '\u{ad}' | '\u{2010}')
}

/// Whether a word was divided here at the end of a line: letters before the hyphen, a small letter behind it. That takes
/// the hyphen of "well-known" away, too, where a line ends in it, as every reader of PDF does.
fn continues_word(text: &str, next: &str) -> bool {
    let before = text.chars().rev().nth(1);
    before.is_some_and(char::is_alphabetic) && next.chars().next().is_some_and(char::is_lowercase)
}

/// What the operators of text change.
#[derive(Debug, Clone)]
struct State {
    page: Matrix,
    line: Matrix,
    text: Matrix,
    font: Option<usize>,
    size: f64,
    char_space: f64,
    word_space: f64,
    stretch: f64,
    leading: f64,
    rise: f64,
    /// The pen was moved since the last string was shown.
    moved: bool,
}

impl State {
    fn new(page: Matrix) -> Self {
        State {
            page,
            line: IDENTITY,
            text: IDENTITY,
            font: None,
            size: 0.0,
            char_space: 0.0,
            word_space: 0.0,
            stretch: 1.0,
            leading: 0.0,
            rise: 0.0,
            moved: false,
        }
    }

    fn start_text(&mut self, matrix: Matrix) {
        (self.line, self.text) = (matrix, matrix);
        self.moved = true;
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = shifted(x, y, self.line);
        self.text = self.line;
        self.moved = true;
    }

    fn advance(&mut self, by: f64, vertical: bool) {
        let (x, y) = if vertical { (0.0, -by) } else { (by * self.stretch, 0.0) };
        self.text = shifted(x, y, self.text);
    }

    fn position(&self) -> (f64, f64) {
        let [a, b, c, d, e, f] = self.page;
        let [_, _, up_x, up_y, x, y] = self.text;
        let (x, y) = (x + self.rise * up_x, y + self.rise * up_y);
        (x * a + y * c + e, x * b + y * d + f)
    }

    /// The way a line runs on the page, as a vector of length 1.
    fn direction(&self, vertical: bool) -> (f64, f64) {
        let [a, b, c, d, ..] = self.page;
        let (x, y) = if vertical { (-self.text[2], -self.text[3]) } else { (self.text[0], self.text[1]) };
        let (x, y) = (x * a + y * c, x * b + y * d);
        let length = x.hypot(y);
        if length > 0.0 && length.is_finite() { (x / length, y / length) } else { (1.0, 0.0) }
    }

    fn em(&self) -> f64 {
        let [a, b, c, d, ..] = self.page;
        let (x, y) = (self.text[2], self.text[3]);
        (self.size * (x * a + y * c).hypot(x * b + y * d)).abs()
    }
}

/// `[a b c d e f]` of the PDF specification.
type Matrix = [f64; 6];

const IDENTITY: Matrix = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];

fn multiply(first: Matrix, then: Matrix) -> Matrix {
    let [a, b, c, d, e, f] = first;
    let [g, h, i, j, k, l] = then;
    [a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + l]
}

/// A matrix behind a move.
fn shifted(x: f64, y: f64, then: Matrix) -> Matrix {
    let [a, b, c, d, e, f] = then;
    [a, b, c, d, x * a + y * c + e, x * b + y * d + f]
}

fn number_of(object: Object<'_>) -> f64 {
    object.into_number().map_or(0.0, |number| number.as_f64())
}
