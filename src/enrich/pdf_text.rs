//! Text of PDF pages: runs what a page says, follows where each string is put, and so tells words and lines apart.
//!
//! The library's own extraction looks at strings only, and glues words together that are parted by moving on instead of
//! by a space character: "QuillfeatherInstitute of Attics". A search for either would find nothing.

use std::collections::HashMap;
use std::rc::Rc;

use lopdf::content::Content;
use lopdf::{DecompressError, Dictionary, Document, Error, Object, ObjectId, Stream};

use super::pdf_font::Font;

/// Reads page after page into one text.
pub(super) struct TextReader<'a> {
    document: &'a Document,
    /// The most that one stream may inflate to, in bytes.
    inflated: usize,
    /// By where their dictionary lies in the document; parsing a font's maps is the dearest part of a page.
    fonts: HashMap<*const Dictionary, Option<Rc<Font<'a>>>>,
    pub(super) text: String,
    /// More than this is not needed, in bytes.
    pub(super) enough: usize,
    pen: Option<Pen>,
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
}

/// A form drawn by a form drawn by ... is read so deep.
const MAX_DEPTH: usize = 6;

/// `q` without `Q` is forgotten beyond this.
const MAX_SAVED: usize = 256;

impl<'a> TextReader<'a> {
    pub(super) fn new(document: &'a Document, inflated: usize, enough: usize) -> Self {
        TextReader { document, inflated, fonts: HashMap::new(), text: String::new(), enough, pen: None }
    }

    /// Appends the text of one page.
    pub(super) fn page(&mut self, page: ObjectId) -> Result<(), Error> {
        if !self.text.is_empty() {
            self.text.truncate(self.text.trim_end().len());
            self.text.push_str("\n\n");
        }
        self.pen = None;
        let content = self.document.get_page_content_with_limit(page, self.inflated)?;
        let content = Content::decode(&content)?;
        let (direct, referenced) = self.document.get_page_resources(page)?;
        let referenced = referenced.into_iter().filter_map(|id| self.document.get_dictionary(id).ok());
        let resources: Vec<&'a Dictionary> = direct.into_iter().chain(referenced).collect();
        self.run(&content, &resources, IDENTITY, 0)
    }

    /// The whole text, ended by a line feed where there is any.
    pub(super) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text
    }

    fn run(
        &mut self,
        content: &Content,
        resources: &[&'a Dictionary],
        base: Matrix,
        depth: usize,
    ) -> Result<(), Error> {
        let mut state = State::new(base);
        let mut saved = Vec::new();
        for operation in &content.operations {
            if self.text.len() > self.enough {
                return Ok(());
            }
            let operands = &operation.operands;
            let number = |at: usize| operands.get(at).map_or(0.0, number_of);
            let matrix = || [number(0), number(1), number(2), number(3), number(4), number(5)];
            match operation.operator.as_str() {
                "q" if saved.len() < MAX_SAVED => saved.push(state.clone()),
                "Q" => state = saved.pop().unwrap_or(state),
                "cm" => state.page = multiply(matrix(), state.page),
                "BT" => state.start_text(IDENTITY),
                "Tm" => state.start_text(matrix()),
                "Td" => state.next_line(number(0), number(1)),
                "TD" => {
                    state.leading = -number(1);
                    state.next_line(number(0), number(1));
                }
                "T*" => state.next_line(0.0, -state.leading),
                "TL" => state.leading = number(0),
                "Tc" => state.char_space = number(0),
                "Tw" => state.word_space = number(0),
                "Tz" => state.stretch = number(0) / 100.0,
                "Ts" => state.rise = number(0),
                "Tf" => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    state.font = match name.and_then(|name| resource(self.document, resources, b"Font", name))
                    {
                        Some(Object::Dictionary(font)) => self.font(font)?,
                        _ => None,
                    };
                    state.size = number(1);
                }
                "Tj" => self.show(&mut state, operands.first()),
                "'" => {
                    state.next_line(0.0, -state.leading);
                    self.show(&mut state, operands.first());
                }
                "\"" => {
                    (state.word_space, state.char_space) = (number(0), number(1));
                    state.next_line(0.0, -state.leading);
                    self.show(&mut state, operands.get(2));
                }
                "TJ" => {
                    for part in operands.first().and_then(|parts| parts.as_array().ok()).into_iter().flatten()
                    {
                        match part {
                            Object::String(..) => self.show(&mut state, Some(part)),
                            _ => state.kern(number_of(part)),
                        }
                    }
                }
                "Do" if depth < MAX_DEPTH => {
                    let name = operands.first().and_then(|name| name.as_name().ok());
                    if let Some(Object::Stream(form)) =
                        name.and_then(|name| resource(self.document, resources, b"XObject", name))
                    {
                        self.form(form, resources, state.page, depth)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A form: a piece of page with resources of its own. Pictures are drawn the same way, and are none.
    fn form(
        &mut self,
        form: &'a Stream,
        outer: &[&'a Dictionary],
        page: Matrix,
        depth: usize,
    ) -> Result<(), Error> {
        if !form.dict.get(b"Subtype").and_then(Object::as_name).is_ok_and(|subtype| subtype == b"Form") {
            return Ok(());
        }
        let own = form.dict.get_deref(b"Resources", self.document).and_then(Object::as_dict).ok();
        let resources: Vec<&'a Dictionary> = own.into_iter().chain(outer.iter().copied()).collect();
        let matrix = form.dict.get_deref(b"Matrix", self.document).and_then(Object::as_array);
        let matrix = matrix.ok().and_then(|numbers| {
            let numbers: Vec<f64> = numbers.iter().map(number_of).collect();
            <Matrix>::try_from(numbers).ok()
        });
        let content = Content::decode(&form.get_plain_content_with_limit(self.inflated)?)?;
        self.run(&content, &resources, multiply(matrix.unwrap_or(IDENTITY), page), depth + 1)
    }

    /// A font, parsed once. `None` where it cannot be understood: its text is skipped, the page goes on.
    fn font(&mut self, dictionary: &'a Dictionary) -> Result<Option<Rc<Font<'a>>>, Error> {
        let key = std::ptr::from_ref(dictionary);
        if let Some(font) = self.fonts.get(&key) {
            return Ok(font.clone());
        }
        let font = match Font::read(self.document, dictionary, self.inflated) {
            Ok(font) => Some(Rc::new(font)),
            Err(bomb @ Error::Decompress(DecompressError::MemoryLimitExceeded { .. })) => return Err(bomb),
            Err(_) => None,
        };
        self.fonts.insert(key, font.clone());
        Ok(font)
    }

    fn show(&mut self, state: &mut State<'a>, string: Option<&Object>) {
        let Some(Object::String(bytes, _)) = string else { return };
        let Some(font) = state.font.clone() else { return };
        let string = font.decode(bytes);
        let start = state.position();
        let (along_x, along_y) = state.direction(font.vertical);
        let em = state.em();
        if let Some(pen) = self.pen
            && !string.is_empty()
        {
            self.part(pen, start, (along_x, along_y), em, state.moved, &string);
        }
        for char in string.chars() {
            match ligature(char) {
                Some(letters) => self.text.push_str(letters),
                None => self.text.push(char),
            }
        }
        let (advance, exact) = match font.advance(bytes) {
            Some(advance) => (advance, true),
            // Half an em is what letters take on average.
            None => (bytes.len() as f64 * 0.5, false),
        };
        let spaces = bytes.iter().filter(|&&byte| byte == b' ').count() as f64;
        let advance =
            advance * state.size + font.codes(bytes) as f64 * state.char_space + spaces * state.word_space;
        state.advance(advance, font.vertical);
        state.moved = false;
        if !string.is_empty() {
            let (x, y) = state.position();
            self.pen = Some(Pen { x, y, em, exact });
        }
    }

    /// Puts a space or a line end where the pen moved on before this string.
    fn part(&mut self, pen: Pen, start: (f64, f64), along: (f64, f64), em: f64, moved: bool, string: &str) {
        let (dx, dy) = (start.0 - pen.x, start.1 - pen.y);
        let forward = dx * along.0 + dy * along.1;
        let aside = dx * along.1 - dy * along.0;
        let em = em.max(pen.em).max(f64::MIN_POSITIVE);
        if aside.abs() > 0.6 * em || forward < -4.0 * em {
            if self.text.ends_with(is_hyphen) && continues_word(&self.text, string) {
                self.text.pop();
            } else if !self.text.ends_with('\n') {
                self.text.truncate(self.text.trim_end_matches(' ').len());
                self.text.push('\n');
            }
            return;
        }
        // Without widths nobody knows where the last string ended; that the pen was set anew must do.
        let apart = if pen.exact { forward > 0.15 * em } else { moved };
        if apart && !self.text.ends_with([' ', '\n']) && !string.starts_with(' ') {
            self.text.push(' ');
        }
    }
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
#[derive(Clone)]
struct State<'a> {
    page: Matrix,
    line: Matrix,
    text: Matrix,
    font: Option<Rc<Font<'a>>>,
    size: f64,
    char_space: f64,
    word_space: f64,
    stretch: f64,
    leading: f64,
    rise: f64,
    /// The pen was moved since the last string was shown.
    moved: bool,
}

impl State<'_> {
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
        self.line = multiply([1.0, 0.0, 0.0, 1.0, x, y], self.line);
        self.text = self.line;
        self.moved = true;
    }

    /// A number between the strings of `TJ`, in thousandths of the font's size, backwards.
    fn kern(&mut self, number: f64) {
        let vertical = self.font.as_ref().is_some_and(|font| font.vertical);
        self.advance(-number / 1000.0 * self.size, vertical);
        self.moved |= number < -150.0;
    }

    fn advance(&mut self, by: f64, vertical: bool) {
        let (x, y) = if vertical { (0.0, -by) } else { (by * self.stretch, 0.0) };
        self.text = multiply([1.0, 0.0, 0.0, 1.0, x, y], self.text);
    }

    fn position(&self) -> (f64, f64) {
        let whole = multiply([1.0, 0.0, 0.0, 1.0, 0.0, self.rise], multiply(self.text, self.page));
        (whole[4], whole[5])
    }

    /// The way a line runs on the page, as a vector of length 1.
    fn direction(&self, vertical: bool) -> (f64, f64) {
        let whole = multiply(self.text, self.page);
        let (x, y) = if vertical { (-whole[2], -whole[3]) } else { (whole[0], whole[1]) };
        let length = x.hypot(y);
        if length > 0.0 && length.is_finite() { (x / length, y / length) } else { (1.0, 0.0) }
    }

    fn em(&self) -> f64 {
        let whole = multiply(self.text, self.page);
        (self.size * whole[2].hypot(whole[3])).abs()
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

pub(super) fn number_of(object: &Object) -> f64 {
    object.as_float().map_or(0.0, f64::from)
}

fn resource<'a>(
    document: &'a Document,
    resources: &[&'a Dictionary],
    kind: &[u8],
    name: &[u8],
) -> Option<&'a Object> {
    resources.iter().find_map(|resources| {
        let of_kind = resources.get_deref(kind, document).and_then(Object::as_dict).ok()?;
        of_kind.get_deref(name, document).ok()
    })
}

/// Fonts draw these as one glyph; people who search type letters.
fn ligature(char: char) -> Option<&'static str> {
    Some(match char {
        'ﬀ' => "ff",
        'ﬁ' => "fi",
        'ﬂ' => "fl",
        'ﬃ' => "ffi",
        'ﬄ' => "ffl",
        'ﬅ' | 'ﬆ' => "st",
        _ => return None,
    })
}
