//! XMP: the properties of a packet, flat. Of ISO 16684-1 as much as pictures and documents use.
//!
//! RDF lets one property be written in several ways: as an attribute, as text, as a list (`Alt`, `Seq`, `Bag`) of texts.
//! Here each becomes its name with its prefix and its values. Prefixes are taken by their usual names: the programs that
//! write others could not be found.

use quick_xml::events::{BytesStart, Event};

/// What a packet says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Xmp {
    properties: Vec<(String, String)>,
}

/// So deep, and no deeper.
const MAX_DEPTH: usize = 64;

/// So many values, and no more.
const MAX_VALUES: usize = 10_000;

impl Xmp {
    /// As much as can be understood; a packet that breaks off says what it said before.
    pub(super) fn read(xml: &str) -> Self {
        let mut xmp = Xmp::default();
        let mut reader = quick_xml::Reader::from_str(xml);
        let mut open: Vec<Open> = Vec::new();
        while xmp.properties.len() < MAX_VALUES && open.len() < MAX_DEPTH {
            match reader.read_event() {
                Ok(Event::Start(start)) => {
                    xmp.attributes(&start);
                    open.push(Open::of(&start));
                }
                Ok(Event::Empty(start)) => xmp.attributes(&start),
                Ok(Event::End(_)) => {
                    let Some(Open { is_default, text, name }) = open.pop() else { break };
                    xmp.close(&open, &name, &text, is_default);
                }
                Ok(Event::Text(text)) => append(&mut open, &text.xml10_content()),
                Ok(Event::CData(text)) => append(&mut open, &text.xml10_content()),
                Ok(Event::GeneralRef(reference)) => {
                    if let Ok(Some(char)) = reference.resolve_char_ref() {
                        append(&mut open, char.encode_utf8(&mut [0; 4]));
                    } else if let Some(text) = quick_xml::escape::resolve_xml_entity(&reference) {
                        append(&mut open, text);
                    }
                }
                Ok(Event::Eof) | Err(_) => break,
                Ok(_) => {}
            }
        }
        xmp
    }

    /// All values of a property, for instance of `dc:creator`.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = String> {
        self.properties.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.clone())
    }

    /// The first of several, which is the default of several languages.
    pub(super) fn one(&self, name: &str) -> Option<String> {
        self.all(name).next()
    }

    /// The short way: properties as attributes.
    fn attributes(&mut self, start: &BytesStart<'_>) {
        if start.name().as_ref() != "rdf:Description" {
            return;
        }
        for attribute in start.attributes().with_checks(false).flatten() {
            let name = attribute.key.as_ref().to_owned();
            let value =
                quick_xml::escape::unescape(&attribute.value).unwrap_or_else(|_| attribute.value.clone());
            if !name.starts_with("xmlns") && !name.starts_with("rdf:") && !value.trim().is_empty() {
                self.properties.push((name, value.trim().to_owned()));
            }
        }
    }

    fn close(&mut self, open: &[Open], name: &str, text: &str, is_default: bool) {
        let value = text.trim();
        if value.is_empty() {
            return;
        }
        // An item belongs to the property around its list.
        let property = match name {
            "rdf:li" => {
                open.iter().rev().map(|open| open.name.as_str()).find(|name| !name.starts_with("rdf:"))
            }
            _ => Some(name),
        };
        let Some(property) = property else { return };
        let entry = (property.to_owned(), value.to_owned());
        match self.properties.iter().position(|(key, _)| key == property).filter(|_| is_default) {
            Some(first) => self.properties.insert(first, entry),
            None => self.properties.push(entry),
        }
    }
}

struct Open {
    name: String,
    /// Of several languages the one for everybody.
    is_default: bool,
    text: String,
}

impl Open {
    fn of(start: &BytesStart<'_>) -> Self {
        let is_default = |value: &str| value == "x-default";
        let mut attributes = start.attributes();
        let mut attributes = attributes.with_checks(false).flatten();
        Open {
            name: start.name().as_ref().to_owned(),
            is_default: attributes
                .any(|attribute| attribute.key.as_ref() == "xml:lang" && is_default(&attribute.value)),
            text: String::new(),
        }
    }
}

fn append(open: &mut [Open], text: &str) {
    if let Some(innermost) = open.last_mut() {
        innermost.text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // E1
    #[test]
    fn the_three_ways_to_write_a_property_are_one() {
        let xmp = Xmp::read(
            "<?xpacket begin='\u{feff}'?><x:xmpmeta><rdf:RDF><rdf:Description rdf:about='' xmp:CreateDate='2023-11-04' \
             xmlns:dc='http://purl.org/dc/elements/1.1/'><dc:title><rdf:Alt><rdf:li xml:lang='de'>Abend &amp; Regal</rdf:li>\
             <rdf:li xml:lang='x-default'>Dusk</rdf:li></rdf:Alt></dc:title><dc:creator><rdf:Seq><rdf:li>A</rdf:li>\
             <rdf:li>B</rdf:li></rdf:Seq></dc:creator><photoshop:City> Oslo </photoshop:City><dc:subject/>\
             </rdf:Description></rdf:RDF></x:xmpmeta>",
        );
        assert_eq!(xmp.all("dc:title").collect::<Vec<_>>(), ["Dusk", "Abend & Regal"]);
        assert_eq!(xmp.all("dc:creator").collect::<Vec<_>>(), ["A", "B"]);
        assert_eq!(xmp.one("xmp:CreateDate").as_deref(), Some("2023-11-04"));
        assert_eq!(xmp.one("photoshop:City").as_deref(), Some("Oslo"));
        assert_eq!(xmp.one("dc:subject"), None);
    }

    #[test]
    fn a_packet_that_breaks_off_says_what_it_said_before() {
        let xmp = Xmp::read("<rdf:Description><dc:format>x</dc:format><dc:title><rdf:Alt><rdf:li>cut");
        assert_eq!(xmp.properties, [("dc:format".to_owned(), "x".to_owned())]);
        assert_eq!(Xmp::read(&"<a>".repeat(100_000)), Xmp::default());
    }
}
