//! What a PDF says of itself: its document information, its XMP packet, its catalogue.
//!
//! Both information and packet hold title and authors, and programs that change one forget the other. The information
//! counts, as every viewer shows it, and the packet where it is silent; in PDF 2.0, which gave the information up (ISO
//! 32000-2, 14.3.3), it is the other way round.

use hayro_syntax::object::{DateTime, Dict, Stream, String as PdfString};
use hayro_syntax::{Pdf as Document, PdfVersion};

use super::pdf_encoding::Base;
use super::pdf_stream::plain;
use super::{fields, identifiers, text, xml};
use crate::model::Field;

/// Real packets have some kilobytes.
const LARGEST_PACKET: usize = 4 * 1024 * 1024;

pub(super) fn read(document: &Document, inflated: usize, text: &str) -> Vec<(Field, String)> {
    let root = document.xref().get::<Dict<'_>>(document.xref().root_id()).unwrap_or_default();
    let packet = root.get::<Stream<'_>>(b"Metadata").and_then(|stream| {
        let packet = plain(&stream, inflated.min(LARGEST_PACKET)).ok()?;
        Some(packet_fields(&text::decode(&packet, None)))
    });
    let (mut packet, mut information) = (packet.unwrap_or_default(), information(document));
    let is_2 = document.version() == PdfVersion::Pdf20;
    let (first, second) =
        if is_2 { (&mut packet, &mut information) } else { (&mut information, &mut packet) };
    second.retain(|(field, _)| *field == Field::Identifier || first.iter().all(|(held, _)| held != field));
    first.append(second);
    let mut fields = std::mem::take(first);
    if let Some(language) = root.get::<PdfString<'_>>(b"Lang") {
        fields.insert(0, (Field::Language, text_string(language.as_bytes())));
    }
    if fields.iter().all(|(field, _)| *field != Field::Identifier) {
        fields.extend(identifiers::doi_in(text).map(|doi| (Field::Identifier, doi)));
    }
    fields.push((Field::Format, format!("PDF {}", version(document.version()))));
    let pages = document.pages().len();
    fields.push((Field::Extent, format!("{pages} page{}", if pages == 1 { "" } else { "s" })));
    fields
}

fn version(version: PdfVersion) -> &'static str {
    match version {
        PdfVersion::Pdf10 => "1.0",
        PdfVersion::Pdf11 => "1.1",
        PdfVersion::Pdf12 => "1.2",
        PdfVersion::Pdf13 => "1.3",
        PdfVersion::Pdf14 => "1.4",
        PdfVersion::Pdf15 => "1.5",
        PdfVersion::Pdf16 => "1.6",
        PdfVersion::Pdf17 => "1.7",
        PdfVersion::Pdf20 => "2.0",
    }
}

fn information(document: &Document) -> Vec<(Field, String)> {
    let information = document.metadata();
    let string = |bytes: &Option<Box<[u8]>>| {
        bytes
            .as_deref()
            .map(text_string)
            .filter(|value| !value.trim_matches(['\0', ' ', '\n', '\r', '\t']).is_empty())
    };
    let mut fields = Vec::new();
    if let Some(title) = string(&information.title).as_deref().and_then(real_title) {
        fields.push((Field::Title, title.to_owned()));
    }
    if let Some(authors) = string(&information.author) {
        push_authors(&mut fields, &authors);
    }
    if let Some(date) = information.creation_date.as_ref().and_then(date) {
        fields.push((Field::Date, date));
    }
    // The XMP specification (part 1, 8.4) makes it dc:description.
    if let Some(subject) = string(&information.subject) {
        fields.push((Field::Description, subject));
    }
    if let Some(keywords) = string(&information.keywords) {
        fields::push_split(&mut fields, Field::Subject, &keywords, &[',', ';']);
    }
    fields
}

fn push_authors(fields: &mut Vec<(Field, String)>, authors: &str) {
    if !authors.trim().eq_ignore_ascii_case("unknown") {
        fields::push_split(fields, Field::Author, authors, &[';']);
    }
}

/// Dublin Core and PRISM out of an XMP packet. One that is not well-formed says nothing.
fn packet_fields(packet: &str) -> Vec<(Field, String)> {
    // White space for later changes, and a byte order mark, stand around it.
    let Some(start) = packet.find("<x:xmpmeta").or_else(|| packet.find("<rdf:RDF")) else {
        return Vec::new();
    };
    let end = ["</x:xmpmeta>", "</rdf:RDF>"].iter().find_map(|end| Some(packet.find(end)? + end.len()));
    let Some(packet) = end.and_then(|end| packet.get(start..end)) else { return Vec::new() };
    let Ok(elements) = xml::elements(packet, "XMP") else { return Vec::new() };
    let mut fields = Vec::new();
    let mut inside = None;
    for element in &elements {
        match element.name.as_str() {
            "Alt" | "Seq" | "Bag" => continue,
            "li" => {}
            name => inside = field_of(name),
        }
        let Some(field) = inside else { continue };
        // Of a title in several languages the first is the default one.
        if !field.is_list() && fields.iter().any(|(held, _)| *held == field) {
            continue;
        }
        let value = element.text.trim();
        match field {
            _ if value.is_empty() => {}
            Field::Title => fields.extend(real_title(value).map(|title| (field, title.to_owned()))),
            Field::Author => push_authors(&mut fields, value),
            Field::Subject => fields::push_split(&mut fields, field, value, &[',', ';']),
            _ => fields.push((field, value.to_owned())),
        }
    }
    fields
}

fn field_of(name: &str) -> Option<Field> {
    Some(match name {
        "title" => Field::Title,
        "creator" => Field::Author,
        "description" => Field::Description,
        "subject" | "Keywords" => Field::Subject,
        "publisher" => Field::Publisher,
        "language" => Field::Language,
        "doi" | "isbn" => Field::Identifier,
        "publicationName" => Field::PartOf,
        "date" | "CreateDate" => Field::Date,
        _ => return None,
    })
}

/// A string of a PDF that is not on a page: UTF-16 or UTF-8 with a byte order mark, else PDFDocEncoding.
pub(super) fn text_string(bytes: &[u8]) -> String {
    if let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(bytes) {
        let text = encoding.decode_without_bom_handling(&bytes[mark..]).0;
        // An escape and two letters in it name a language (ISO 32000-1, 7.9.2.2).
        return match text.split_once('\u{1b}').and_then(|(_, rest)| rest.split_once('\u{1b}')) {
            Some((_, rest)) => rest.to_owned(),
            None => text.into_owned(),
        };
    }
    bytes.iter().map(|&byte| pdf_doc(byte)).collect()
}

/// PDFDocEncoding: Latin 1, with other signs from 24 to 31 and from 128 to 160.
fn pdf_doc(byte: u8) -> char {
    const LOW: [char; 8] = ['˘', 'ˇ', 'ˆ', '˙', '˝', '˛', '˚', '˜'];
    const HIGH: [char; 33] = [
        '•', '†', '‡', '…', '—', '–', 'ƒ', '⁄', '‹', '›', '−', '‰', '„', '“', '”', '‘', '’', '‚', '™', 'ﬁ',
        'ﬂ', 'Ł', 'Œ', 'Š', 'Ÿ', 'Ž', 'ı', 'ł', 'œ', 'š', 'ž', '\u{fffd}', '€',
    ];
    match byte {
        24..=31 => LOW[usize::from(byte - 24)],
        128..=160 => HIGH[usize::from(byte - 128)],
        32..=126 => Base::WinAnsi.char(byte).unwrap_or(' '),
        _ => char::from(byte),
    }
}

/// A title that a person gave, not one that a program left.
fn real_title(title: &str) -> Option<&str> {
    let title = title.trim();
    let title = title.strip_prefix("Microsoft Word - ").unwrap_or(title);
    let is_placeholder = ["untitled", "(anonymous)", "unknown", "document1"]
        .iter()
        .any(|placeholder| title.eq_ignore_ascii_case(placeholder));
    (!title.is_empty() && !is_placeholder).then_some(title)
}

/// The day. A year before PDF or before printing is a clock that stood still.
fn date(date: &DateTime) -> Option<String> {
    (date.year >= 1500).then(|| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_that_programs_leave_are_none() {
        assert_eq!(real_title("Microsoft Word - letter"), Some("letter"));
        assert_eq!(real_title(" Untitled "), None);
    }

    #[test]
    fn strings_are_of_three_encodings() {
        assert_eq!(text_string(b"\xfe\xff\x68\xda\x00a"), "棚a");
        assert_eq!(text_string("\u{feff}é".as_bytes()), "é");
        assert_eq!(text_string(b"caf\xe9 \x80 \x93fi"), "café • ﬁfi");
        assert_eq!(text_string(b"\xfe\xff\0\x1b\0d\0e\0\x1b\0x"), "x");
    }

    // E1
    #[test]
    fn the_packet_gives_dublin_core() {
        let packet = "<?xpacket begin=''?><x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF><rdf:Description xmp:CreatorTool='T'>\
            <dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Shelves</rdf:li><rdf:li xml:lang='de'>Regale</rdf:li></rdf:Alt></dc:title>\
            <dc:creator><rdf:Seq><rdf:li>Ada</rdf:li><rdf:li>Ben</rdf:li></rdf:Seq></dc:creator>\
            <xmp:CreatorTool>Tool</xmp:CreatorTool><prism:doi>10.1000/x</prism:doi>\
            <xmpMM:History><rdf:Seq><rdf:li>saved</rdf:li></rdf:Seq></xmpMM:History>\
            </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>";
        let value = |field, value: &str| (field, value.to_owned());
        assert_eq!(
            packet_fields(packet),
            [
                value(Field::Title, "Shelves"),
                value(Field::Author, "Ada"),
                value(Field::Author, "Ben"),
                value(Field::Identifier, "10.1000/x"),
            ]
        );
        assert_eq!(packet_fields("<x:xmpmeta><open>"), []);
    }
}
