//! The little XML that EPUB containers need: elements by their local names, in document order.
//!
//! Entities of a document's own are never expanded, so that an "XML bomb" stays as small as it is on disk.

use quick_xml::events::{BytesStart, Event};

use super::extract::Failure;

/// One element: its name without prefix, its attributes, and the text directly in it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    /// Names without prefix; values unescaped.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// So deep, and no deeper: real ones have less than ten levels.
const MAX_DEPTH: usize = 256;

/// All elements of a document in the order of their start tags. `what` names the document in the failure.
pub(super) fn elements(xml: &str, what: &str) -> Result<Vec<Element>, Failure> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let damaged =
        |detail: &dyn std::fmt::Display| Failure::damaged(format!("{what} is not well-formed: {detail}"));
    loop {
        match reader.read_event().map_err(|error| damaged(&error))? {
            Event::Start(start) => {
                if open.len() == MAX_DEPTH {
                    return Err(damaged(&"too deeply nested"));
                }
                open.push(elements.len());
                elements.push(element(&start));
            }
            Event::Empty(start) => elements.push(element(&start)),
            Event::End(_) => _ = open.pop(),
            Event::Text(text) => append(&mut elements, &open, &text.xml10_content()),
            Event::CData(text) => append(&mut elements, &open, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                if let Ok(Some(char)) = reference.resolve_char_ref() {
                    append(&mut elements, &open, char.encode_utf8(&mut [0; 4]));
                } else if let Some(text) = quick_xml::escape::resolve_xml_entity(&reference) {
                    append(&mut elements, &open, text);
                }
                // Any other entity stands for what the document itself declares: left out.
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof if open.is_empty() => return Ok(elements),
            Event::Eof => return Err(damaged(&"it ends early")),
        }
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    let mut attributes = start.attributes();
    let attributes = attributes.with_checks(false).flatten().map(|attribute| {
        let value = quick_xml::escape::unescape(&attribute.value).unwrap_or_else(|_| attribute.value.clone());
        (attribute.key.local_name().as_ref().to_owned(), value.into_owned())
    });
    Element {
        name: start.local_name().as_ref().to_owned(),
        attributes: attributes.collect(),
        text: String::new(),
    }
}

fn append(elements: &mut [Element], open: &[usize], text: &str) {
    if let Some(&innermost) = open.last() {
        elements[innermost].text.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_in_order_with_their_own_text() {
        let found = elements(
            "<?xml version='1.0'?><a x:k='1 &amp; 2'>t<x:b/>&#233;&lt;<c><![CDATA[<d>]]></c>u</a>",
            "it",
        )
        .expect("well-formed");
        let names: Vec<_> =
            found.iter().map(|element| (element.name.as_str(), element.text.as_str())).collect();
        assert_eq!(names, [("a", "té<u"), ("b", ""), ("c", "<d>")]);
        assert_eq!(found[0].attribute("k"), Some("1 & 2"));
    }

    #[test]
    fn entities_of_the_document_are_not_expanded() {
        let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;\">]><a>x&c;y</a>";
        assert_eq!(elements(bomb, "it").expect("well-formed")[0].text, "xy");
    }

    #[test]
    fn what_is_cut_off_or_bottomless_is_damaged() {
        assert!(elements("<a><b>", "it").is_err());
        assert!(elements("<a></b>", "it").is_err());
        assert!(elements(&"<a>".repeat(1000), "it").is_err());
    }
}
