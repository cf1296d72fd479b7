//! HTML and XHTML, read as a stream of tokens: no tree is built, because tree builders are quadratic in open elements and
//! a page of 100,000 nested `div`s held one for more than 20 seconds.

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Span, State, Tokenizer};

use super::extract::{Appetite, Budget, Extractor, Failure, MIB, Raw};
use super::gap::Gap;
use super::{fields, text};
use crate::model::Field;

/// Web pages.
pub(super) struct Html;

impl Extractor for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn version(&self) -> u32 {
        4
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        // Saved pages are mostly markup and embedded pictures.
        Appetite::Head((budget.text as u64 * 8 + 64 * MIB).min(budget.memory / 8))
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let page = decode(bytes);
        let head = &page[..page.floor_char_boundary(1024)];
        Ok(read(&page, head.trim_start().starts_with("<?xml") || head.contains("//DTD XHTML"), budget.text))
    }
}

/// Decodes as a browser would: byte order mark, declaration, else a guess.
pub(super) fn decode(bytes: &[u8]) -> String {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).to_ascii_lowercase();
    let declared = ["charset=", "encoding="].iter().find_map(|key| {
        let label = head.split_once(key)?.1.trim_start_matches(['"', '\'', ' ']);
        let end = label
            .find(|char: char| !char.is_ascii_alphanumeric() && !"-_:".contains(char))
            .unwrap_or(label.len());
        encoding_rs::Encoding::for_label(&label.as_bytes()[..end])
    });
    // A page that could be read to find the word "utf-16" in it is not UTF-16.
    text::decode(bytes, declared.map(encoding_rs::Encoding::output_encoding))
}

/// Text and metadata of a page. In XHTML, `<script/>` is complete; in HTML it opens a script.
pub(super) fn read(page: &str, xhtml: bool, text_limit: usize) -> Raw {
    let mut reader = PageReader { text_limit, ..PageReader::default() };
    let mut pieces = Tokenizer::new_with_emitter(page, CallbackEmitter::new(Wanted::default()));
    // Not a `for` loop: the state of the tokenizer is switched on the way.
    while let Some(Ok(piece)) = pieces.next() {
        match piece {
            Piece::Start { name, attributes, self_closing } => {
                let held = |key: &[u8]| attributes.iter().find(|(held, _)| *held == key);
                reader.start(&name, |key| held(key).map(|(_, value)| String::from_utf8_lossy(value)));
                if !(xhtml && self_closing)
                    && let Some((state, hidden)) = raw_state(&name)
                {
                    pieces.set_state(state);
                    reader.enter(hidden);
                }
            }
            Piece::End(name) => reader.end(&name),
            Piece::Text(text) => reader.string(&String::from_utf8_lossy(&text)),
        }
        if reader.is_full() {
            break;
        }
    }
    reader.finish()
}

/// What is made of a page.
#[derive(Debug)]
enum Piece {
    Start { name: Vec<u8>, attributes: Vec<(&'static [u8], Vec<u8>)>, self_closing: bool },
    End(Vec<u8>),
    Text(Vec<u8>),
}

/// The attributes that somebody asks for.
const ATTRIBUTES: [&[u8]; 6] = [b"lang", b"xml:lang", b"name", b"property", b"http-equiv", b"content"];

/// Keeps of a page what is asked for, and nothing of what is wrong with it. The tokenizer's own emitter keeps every error until
/// the text it is in has ended, and every attribute until its tag has: of 16 MiB of NULs that made more than a gigabyte.
#[derive(Debug, Default)]
struct Wanted {
    name: Vec<u8>,
    attributes: Vec<(&'static [u8], Vec<u8>)>,
    /// Whether the value that comes next is wanted.
    is_wanted: bool,
}

impl Callback<Piece, ()> for Wanted {
    fn handle_event(&mut self, event: CallbackEvent<'_>, _: Span<()>) -> Option<Piece> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.name = name.to_vec();
                self.attributes.clear();
                None
            }
            CallbackEvent::AttributeName { name } => {
                let known = ATTRIBUTES.iter().find(|known| **known == name);
                // Of two the first counts.
                let wanted = known.filter(|known| self.attributes.iter().all(|(held, _)| held != *known));
                self.is_wanted = wanted.is_some();
                self.attributes.extend(wanted.map(|known| (*known, Vec::new())));
                None
            }
            CallbackEvent::AttributeValue { value } => {
                if self.is_wanted
                    && let Some((_, held)) = self.attributes.last_mut()
                {
                    held.extend_from_slice(value);
                }
                None
            }
            CallbackEvent::CloseStartTag { self_closing } => Some(Piece::Start {
                name: std::mem::take(&mut self.name),
                attributes: std::mem::take(&mut self.attributes),
                self_closing,
            }),
            CallbackEvent::EndTag { name } => {
                // Such as were on it.
                self.attributes.clear();
                Some(Piece::End(name.to_vec()))
            }
            CallbackEvent::String { value } => Some(Piece::Text(value.to_vec())),
            CallbackEvent::Comment { .. } | CallbackEvent::Doctype { .. } | CallbackEvent::Error(_) => None,
        }
    }
}

/// Elements whose content is no markup, and where their text goes.
fn raw_state(name: &[u8]) -> Option<(State, Inside)> {
    Some(match name {
        b"script" => (State::ScriptData, Inside::Hidden),
        b"style" | b"iframe" | b"xmp" | b"noembed" | b"noframes" | b"noscript" => {
            (State::RawText, Inside::Hidden)
        }
        b"textarea" => (State::RcData, Inside::Text),
        b"title" => (State::RcData, Inside::Title),
        _ => return None,
    })
}

/// Where strings go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Inside {
    #[default]
    Text,
    Title,
    Hidden,
}

#[derive(Debug, Default)]
struct PageReader {
    text: String,
    text_limit: usize,
    gap: Gap,
    inside: Inside,
    /// How many `pre` are open: there white space counts.
    pre: usize,
    /// The first `<title>`; pictures in SVG have titles too.
    title: Option<String>,
    /// The first `<h1>`, a title where the page has no other.
    heading: Option<String>,
    in_heading: bool,
    site_title: Option<String>,
    fields: Vec<(Field, String)>,
}

/// A title or heading longer than this is an unclosed element.
const TITLE_LIMIT: usize = 16 * 1024;

impl PageReader {
    fn start<'a>(&mut self, name: &[u8], attribute: impl Fn(&[u8]) -> Option<std::borrow::Cow<'a, str>>) {
        self.part(gap_of(name));
        match name {
            b"html" => {
                if let Some(language) = attribute(b"lang").or_else(|| attribute(b"xml:lang")) {
                    self.fields.push((Field::Language, language.into_owned()));
                }
            }
            b"meta" => {
                let key = attribute(b"name")
                    .or_else(|| attribute(b"property"))
                    .or_else(|| attribute(b"http-equiv"));
                if let (Some(key), Some(content)) = (key, attribute(b"content")) {
                    self.meta(&key, &content);
                }
            }
            b"h1" if self.heading.is_none() => {
                self.heading = Some(String::new());
                self.in_heading = true;
            }
            b"pre" => self.pre += 1,
            _ => {}
        }
    }

    /// Into an element whose content is no markup.
    fn enter(&mut self, inside: Inside) {
        self.inside = inside;
        if inside == Inside::Title {
            if self.title.is_some() {
                self.inside = Inside::Hidden;
            } else {
                self.title = Some(String::new());
            }
        }
    }

    fn end(&mut self, name: &[u8]) {
        self.part(gap_of(name));
        self.inside = Inside::Text;
        match name {
            b"h1" => self.in_heading = false,
            b"pre" => self.pre = self.pre.saturating_sub(1),
            // An empty one does not count: perhaps another comes.
            b"title" if self.title.as_deref().is_some_and(|title| title.trim().is_empty()) => {
                self.title = None;
            }
            _ => {}
        }
    }

    fn meta(&mut self, key: &str, content: &str) {
        match fields::by_name(key) {
            // `<title>` is what people see; a meta title is the next best.
            Some(Field::Title) => _ = self.site_title.get_or_insert_with(|| content.to_owned()),
            Some(field) if fields::is_comma_list(key) => {
                fields::push_split(&mut self.fields, field, content, &[',']);
            }
            // The name says what kind of number it is.
            Some(field) if key.to_ascii_lowercase().ends_with("isbn") => {
                self.fields.push((field, format!("isbn:{content}")));
            }
            Some(field) => self.fields.push((field, content.to_owned())),
            None if key.eq_ignore_ascii_case("og:title") => {
                _ = self.site_title.get_or_insert_with(|| content.to_owned());
            }
            None => {}
        }
    }

    fn string(&mut self, string: &str) {
        match self.inside {
            Inside::Hidden => {}
            Inside::Title => {
                if let Some(title) = &mut self.title
                    && title.len() < TITLE_LIMIT
                {
                    title.push_str(string);
                }
            }
            Inside::Text => {
                if self.in_heading
                    && let Some(heading) = &mut self.heading
                    && heading.len() < TITLE_LIMIT
                {
                    heading.push_str(string);
                }
                self.push(string);
            }
        }
    }

    fn push(&mut self, string: &str) {
        if self.pre > 0 {
            if !string.is_empty() {
                self.fill_gap();
                self.text.push_str(string);
            }
            return;
        }
        // The white space of HTML: a no-break space is a character.
        let space = |char: char| matches!(char, ' ' | '\t' | '\n' | '\r' | '\u{c}');
        for (at, word) in string.split(space).enumerate() {
            if at > 0 {
                self.part(Gap::Space);
            }
            if !word.is_empty() {
                self.fill_gap();
                self.text.push_str(word);
            }
        }
    }

    fn part(&mut self, gap: Gap) {
        self.gap = self.gap.max(gap);
    }

    fn fill_gap(&mut self) {
        std::mem::take(&mut self.gap).write_to(&mut self.text);
    }

    fn is_full(&self) -> bool {
        self.text.len() > self.text_limit.saturating_mul(2)
    }

    fn finish(mut self) -> Raw {
        let cut = self.is_full();
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        let titles = [self.title, self.site_title, self.heading];
        if let Some(title) = titles.into_iter().flatten().find(|title| !title.trim().is_empty()) {
            self.fields.push((Field::Title, title));
        }
        Raw { fields: self.fields, text: self.text, cut }
    }
}

fn gap_of(name: &[u8]) -> Gap {
    match name {
        b"p" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6" | b"blockquote" | b"pre" | b"ul" | b"ol"
        | b"dl" | b"table" | b"section" | b"article" | b"aside" | b"header" | b"footer" | b"main"
        | b"nav" | b"figure" | b"hr" | b"form" | b"body" => Gap::Paragraph,
        b"br" | b"div" | b"li" | b"dt" | b"dd" | b"tr" | b"caption" | b"figcaption" | b"address"
        | b"option" | b"summary" | b"details" | b"title" | b"center" => Gap::Line,
        b"td" | b"th" | b"img" | b"button" | b"input" | b"select" | b"textarea" => Gap::Space,
        _ => Gap::None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fields::tidy;
    use super::*;

    fn text_of(page: &str) -> String {
        read(page, false, 1 << 20).text
    }

    #[test]
    fn markup_becomes_lines_and_paragraphs() {
        assert_eq!(
            text_of(
                "<html><head><title>T</title><style>p{}</style></head><body><h1>One</h1>\n<p>Two <b>bold</b>er\n words<br>three</p><ul><li>a</li><li>b</li></ul><table><tr><td>x</td><td>y</td></tr></table><pre>  k\n  l</pre>end"
            ),
            "One\n\nTwo bolder words\nthree\n\na\nb\n\nx y\n\n  k\n  l\n\nend\n"
        );
    }

    #[test]
    fn scripts_and_styles_are_no_text_and_entities_are_characters() {
        assert_eq!(
            text_of(
                "a<script>if (1 < 2) document.write('<p>no</p>')</script> b&amp;&eacute;<noscript>no</noscript>"
            ),
            "a b&é\n"
        );
    }

    #[test]
    fn an_empty_script_of_xhtml_does_not_swallow_the_chapter() {
        let page = "<html><head><title/><script src=\"a.js\"/></head><body>kept</body></html>";
        assert_eq!(read(page, true, 100).text, "kept\n");
        assert_eq!(read(page, true, 100).fields, []);
    }

    #[test]
    fn metadata_of_a_page() {
        let raw = read(
            "<html lang=en><head><title>The page</title><meta name=author content='Ada'><meta property='article:published_time' content=2024-05-01><meta name=keywords content='a, b'><meta name=description content='About, shelves'></head><svg><title>picture</title></svg><h1>Heading</h1>",
            false,
            100,
        );
        assert_eq!(
            tidy(&raw.fields),
            [
                (Field::Title, vec!["The page".to_owned()]),
                (Field::Author, vec!["Ada".to_owned()]),
                (Field::Date, vec!["2024-05-01".to_owned()]),
                (Field::Language, vec!["en".to_owned()]),
                (Field::Subject, vec!["a".to_owned(), "b".to_owned()]),
                (Field::Description, vec!["About, shelves".to_owned()]),
            ]
        );
    }

    // E1
    #[test]
    fn numbers_of_papers_and_books_come_in_one_form() {
        let page = "<meta name=citation_doi content='10.1000/ABC'><meta name=citation_isbn content=0306406152><meta name=citation_journal_title content='Shelves'>";
        assert_eq!(
            tidy(&read(page, false, 100).fields),
            [
                (Field::Identifier, vec!["doi:10.1000/abc".to_owned(), "isbn:9780306406157".to_owned()]),
                (Field::PartOf, vec!["Shelves".to_owned()]),
            ]
        );
    }

    #[test]
    fn without_a_title_the_first_heading_is_one() {
        assert_eq!(
            read("<h1>The <i>heading</i></h1>text", false, 100).fields,
            [(Field::Title, "The heading".to_owned())]
        );
    }

    #[test]
    fn the_declared_encoding_counts() {
        let page = b"<meta charset=\"iso-8859-2\"><p>\xb9koda</p>";
        assert!(decode(page).contains("škoda"));
        assert!(decode("<meta charset=utf-16><p>é</p>".as_bytes()).contains('é'));
    }

    #[test]
    fn text_enough_ends_the_reading() {
        let raw = read(&"<p>word</p>".repeat(1000), false, 100);
        assert!(raw.cut && raw.text.len() < 300);
    }
}
