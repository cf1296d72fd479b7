//! OpenDocument texts, presentations, drawings and spreadsheets, as LibreOffice and others write them (ISO 26300): one
//! part with the content of each, whatever it is.
//!
//! Spreadsheets are read here too and not by the crate that reads Excel's: what is shown in a cell stands in the file as
//! text, dates and currencies included, and a cell that is repeated a million times is not unrolled.

use super::{Lines, Skipping, counted, unless_full};
use crate::enrich::extract::{Appetite, Budget, Extractor, Failure, Raw};
use crate::enrich::fields::push_split;
use crate::enrich::package::Package;
use crate::enrich::xml::{Element, Piece, Tag, walk};
use crate::model::Field;

/// ODT, ODP, ODG, ODS and their templates.
pub(in crate::enrich) struct OpenDocument;

impl Extractor for OpenDocument {
    fn name(&self) -> &'static str {
        "opendocument"
    }

    fn version(&self) -> u32 {
        1
    }

    fn appetite(&self, budget: Budget) -> Appetite {
        Appetite::whole(budget)
    }

    fn extract(&self, bytes: &[u8], budget: Budget) -> Result<Raw, Failure> {
        let mut package = Package::open(bytes, budget)?;
        refuse_locked(&mut package)?;
        let mut reader = Reader::new(budget.text, Region::Body);
        match package.text("content.xml")? {
            Some(content) => reader.read(&content, "content.xml")?,
            // A template may consist of styles alone.
            None if package.names().iter().any(|name| name == "styles.xml") => {}
            None => {
                return Err(Failure::damaged("there is neither content.xml nor styles.xml in the archive"));
            }
        }

        let mut lines = Lines::new(budget.text);
        let (headers, footers) = match reader.kind.as_str() {
            // Those of presentations are hints of the template, those of spreadsheets the names of sheets.
            "text" => margins(&mut package, budget)?,
            _ => (String::new(), String::new()),
        };
        let cut = reader.lines.is_full() || reader.notes.is_full();
        let (body, notes) = (reader.lines.finish(), reader.notes.finish());
        for part in [&headers, &body, &notes, &footers] {
            lines.push(part);
            lines.end_part();
        }

        let mut fields = Vec::new();
        metadata(&package.xml_or_none("meta.xml")?, &mut fields);
        let template =
            package.text("mimetype")?.is_some_and(|mimetype| mimetype.trim().ends_with("-template"));
        fields.push((Field::Format, format(&reader.kind, template, &reader.version)));
        let counted = match reader.kind.as_str() {
            "presentation" => Some(counted(reader.pages, "slide")),
            "spreadsheet" => Some(counted(reader.sheets, "sheet")),
            "drawing" => Some(counted(reader.pages, "page")),
            _ => None,
        };
        if let Some(extent) = counted {
            fields.retain(|(field, _)| *field != Field::Extent);
            fields.push((Field::Extent, extent));
        }
        Ok(Raw { fields, text: lines.finish(), cut })
    }
}

/// Fails where the content is locked with a password: then the archive opens, and each part is noise.
fn refuse_locked(package: &mut Package<'_>) -> Result<(), Failure> {
    let locked = "it opens only with a password";
    // Since version 1.3 of LibreOffice's own making the whole document may be one member.
    if package.names().iter().any(|name| name == "encrypted-package") {
        return Err(Failure::encrypted(locked));
    }
    let manifest = package.xml_or_none("META-INF/manifest.xml")?;
    let mut entry = None;
    for element in &manifest {
        match element.name.as_str() {
            "file-entry" => entry = element.attribute("full-path"),
            "encryption-data" if matches!(entry, Some("content.xml" | "/")) => {
                return Err(Failure::encrypted(locked));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Headers and footers of a text, which stand with the styles of its pages.
fn margins(package: &mut Package<'_>, budget: Budget) -> Result<(String, String), Failure> {
    let Some(styles) = package.text("styles.xml")? else { return Ok((String::new(), String::new())) };
    let of = |region| {
        let mut reader = Reader::new(budget.text, region);
        reader.read(&styles, "styles.xml").map(|()| without_repeats(&reader.lines.finish()))
    };
    Ok((of(Region::Headers)?, of(Region::Footers)?))
}

/// The header of the first page is mostly that of the others.
fn without_repeats(text: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines() {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

/// Whoever began it is its author; `dc:creator` is whoever saved it last.
fn metadata(meta: &[Element], fields: &mut Vec<(Field, String)>) {
    let (mut began, mut saved, mut created, mut modified) = (None, None, None, None);
    for element in meta {
        let text = || element.text.clone();
        match element.name.as_str() {
            "title" => fields.push((Field::Title, text())),
            "initial-creator" => began = Some(text()),
            "creator" => saved = Some(text()),
            "creation-date" => created = Some(text()),
            "date" => modified = Some(text()),
            "language" => fields.push((Field::Language, text())),
            "subject" => fields.push((Field::Subject, text())),
            "keyword" => push_split(fields, Field::Subject, &element.text, &[',', ';']),
            "description" => fields.push((Field::Description, text())),
            "publisher" => fields.push((Field::Publisher, text())),
            "identifier" => fields.push((Field::Identifier, text())),
            "document-statistic" => {
                let count = |name| element.attribute(name)?.parse::<u64>().ok().filter(|&count| count > 0);
                let pages = count("page-count").map(|pages| counted(pages, "page"));
                let words = count("word-count").map(|words| counted(words, "word"));
                let extent: Vec<String> = pages.into_iter().chain(words).collect();
                fields.push((Field::Extent, extent.join(", ")));
            }
            _ => {}
        }
    }
    let author = [began, saved].into_iter().flatten().find(|name| !name.trim().is_empty());
    if let Some(author) = author {
        push_split(fields, Field::Author, &author, &[';']);
    }
    fields.extend([created, modified].into_iter().flatten().map(|date| (Field::Date, date)));
}

/// `Text document (ODF 1.3)`.
fn format(kind: &str, template: bool, version: &str) -> String {
    let name = match (kind, template) {
        ("text", false) => "Text document",
        ("text", true) => "Text template",
        ("presentation", false) => "Presentation",
        ("presentation", true) => "Presentation template",
        ("spreadsheet", false) => "Spreadsheet",
        ("spreadsheet", true) => "Spreadsheet template",
        ("drawing", _) => "Drawing",
        _ => "Document",
    };
    format!("{name} (ODF {version})").replace(" )", ")")
}

/// Which part of a file's text is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Region {
    Body,
    Headers,
    Footers,
}

/// Deleted text, descriptions of pictures, the numbers of notes, who wrote a comment and when.
const LEFT_OUT: [&str; 9] = [
    "text:tracked-changes",
    "table:tracked-changes",
    "svg:title",
    "svg:desc",
    "office:binary-data",
    "text:note-citation",
    "dc:creator",
    "dc:date",
    "meta:date-string",
];

#[derive(Debug)]
struct Reader {
    region: Region,
    /// How many elements of the region are open.
    inside: usize,
    lines: Lines,
    /// Footnotes and comments, which would cut the sentence that they hang on in two.
    notes: Lines,
    note: usize,
    /// How many paragraphs are open: text stands only there.
    paragraphs: usize,
    skipping: Skipping,
    /// What the body is: `text`, `presentation`, `spreadsheet`, `drawing`.
    kind: String,
    version: String,
    pages: u64,
    sheets: u64,
    /// How often the open cell stands again behind itself.
    repeated: usize,
}

impl Reader {
    fn new(text_limit: usize, region: Region) -> Self {
        Reader {
            region,
            inside: 0,
            lines: Lines::new(text_limit),
            notes: Lines::new(text_limit),
            note: 0,
            paragraphs: 0,
            skipping: Skipping::default(),
            kind: String::new(),
            version: String::new(),
            pages: 0,
            sheets: 0,
            repeated: 0,
        }
    }

    fn read(&mut self, xml: &str, what: &str) -> Result<(), Failure> {
        walk(xml, what, |piece| {
            match piece {
                Piece::Start(tag) => self.start(&tag),
                Piece::Text(text) => {
                    if self.inside > 0 && self.paragraphs > 0 && !self.skipping.is_inside() {
                        self.out().push_words(text);
                    }
                }
                Piece::End(name) => self.end(name),
            }
            unless_full(&self.lines)
        })
    }

    fn out(&mut self) -> &mut Lines {
        if self.note > 0 { &mut self.notes } else { &mut self.lines }
    }

    fn is_region(&self, name: &str) -> bool {
        match self.region {
            Region::Body => name == "body",
            Region::Headers => matches!(name, "header" | "header-left" | "header-first"),
            Region::Footers => matches!(name, "footer" | "footer-left" | "footer-first"),
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        let name = tag.name();
        if self.skipping.enters(tag.prefixed(), &LEFT_OUT) {
            return;
        }
        if self.inside > 0 && self.region == Region::Body && self.kind.is_empty() {
            name.clone_into(&mut self.kind);
        }
        if self.is_region(name) {
            self.inside += 1;
        }
        match name {
            "document-content" => self.version = tag.attribute("version").unwrap_or_default(),
            "note-body" | "annotation" => self.note += 1,
            "p" | "h" => self.paragraphs += 1,
            "s" => self.out().space(),
            "tab" => self.out().push("\t"),
            "line-break" => self.out().end_line(),
            "page" => self.pages += 1,
            "table" if self.kind == "spreadsheet" && self.inside > 0 => {
                self.sheets += 1;
                self.lines.end_part();
                self.lines.push_words(&tag.attribute("name").unwrap_or_default());
                self.lines.end_row();
            }
            "table-cell" | "covered-table-cell" => {
                let repeated = tag.attribute("number-columns-repeated").and_then(|times| times.parse().ok());
                self.repeated = repeated.unwrap_or(1_usize).saturating_sub(1);
                self.out().start_cell();
            }
            _ => {}
        }
    }

    fn end(&mut self, name: &str) {
        if self.skipping.leaves() {
            return;
        }
        match name {
            "note-body" | "annotation" => {
                self.notes.end_line();
                self.note = self.note.saturating_sub(1);
            }
            "p" | "h" => {
                self.paragraphs = self.paragraphs.saturating_sub(1);
                self.out().end_line();
            }
            "page" => self.lines.end_part(),
            "table-cell" | "covered-table-cell" => {
                let repeated = std::mem::take(&mut self.repeated);
                self.out().end_cell();
                // Once is enough for who searches.
                self.out().skip_cells(repeated);
            }
            "table-row" => self.out().end_row(),
            _ => {}
        }
        if self.is_region(name) {
            self.inside = self.inside.saturating_sub(1);
        }
    }
}
