//! The little XML that containers of books and office documents need: as elements by their local names, in document
//! order, or as a stream where the document may be long.
//!
//! Entities of a document's own are never expanded, so that an "XML bomb" stays as small as it is on disk.

use std::ops::ControlFlow;

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

/// What a document consists of, in its order. Names are without prefix.
#[derive(Debug)]
pub(super) enum Piece<'a> {
    Start(Tag<'a>),
    Text(&'a str),
    End(&'a str),
}

/// A start tag.
#[derive(Debug)]
pub(super) struct Tag<'a>(&'a BytesStart<'a>);

impl<'a> Tag<'a> {
    pub(super) fn name(&self) -> &'a str {
        self.0.local_name().into_inner()
    }

    /// The name with its prefix, which every writer chooses as the standard does.
    pub(super) fn prefixed(&self) -> &'a str {
        self.0.name().into_inner()
    }

    /// The value of an attribute by its name without prefix, unescaped.
    pub(super) fn attribute(&self, name: &str) -> Option<String> {
        self.attributes().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    fn attributes(&self) -> impl Iterator<Item = (&'a str, String)> {
        let mut attributes = self.0.attributes();
        // An attribute given twice is the document's business.
        attributes.with_checks(false);
        attributes.flatten().map(|attribute| {
            let value =
                quick_xml::escape::unescape(&attribute.value).unwrap_or_else(|_| attribute.value.clone());
            (attribute.key.local_name().into_inner(), value.into_owned())
        })
    }
}

/// So deep, and no deeper: real ones have less than a hundred levels.
const MAX_DEPTH: usize = 256;

/// Visits a document until its end, or until the visitor breaks off. `what` names the document in the failure.
pub(super) fn walk(
    xml: &str,
    what: &str,
    mut visit: impl FnMut(Piece<'_>) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let mut reader = quick_xml::Reader::from_str(xml);
    let mut depth = 0_usize;
    let damaged =
        |detail: &dyn std::fmt::Display| Failure::damaged(format!("{what} is not well-formed: {detail}"));
    loop {
        let flow = match reader.read_event().map_err(|error| damaged(&error))? {
            Event::Start(start) => {
                if depth == MAX_DEPTH {
                    return Err(damaged(&"too deeply nested"));
                }
                depth += 1;
                visit(Piece::Start(Tag(&start)))
            }
            Event::Empty(start) => match visit(Piece::Start(Tag(&start))) {
                ControlFlow::Continue(()) => visit(Piece::End(start.local_name().into_inner())),
                enough => enough,
            },
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                visit(Piece::End(end.local_name().into_inner()))
            }
            Event::Text(text) => visit(Piece::Text(&text.xml10_content())),
            Event::CData(text) => visit(Piece::Text(&text.xml10_content())),
            Event::GeneralRef(reference) => {
                if let Ok(Some(char)) = reference.resolve_char_ref() {
                    visit(Piece::Text(char.encode_utf8(&mut [0; 4])))
                } else if let Some(text) = quick_xml::escape::resolve_xml_entity(&reference) {
                    visit(Piece::Text(text))
                } else {
                    // Any other entity stands for what the document itself declares: left out.
                    ControlFlow::Continue(())
                }
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {
                ControlFlow::Continue(())
            }
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(damaged(&"it ends early")),
        };
        if flow.is_break() {
            return Ok(());
        }
    }
}

/// All elements of a document in the order of their start tags. `what` names the document in the failure.
pub(super) fn elements(xml: &str, what: &str) -> Result<Vec<Element>, Failure> {
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    walk(xml, what, |piece| {
        match piece {
            Piece::Start(tag) => {
                open.push(elements.len());
                elements.push(Element {
                    name: tag.name().to_owned(),
                    attributes: tag.attributes().map(|(name, value)| (name.to_owned(), value)).collect(),
                    text: String::new(),
                });
            }
            Piece::Text(text) => {
                if let Some(&innermost) = open.last() {
                    elements[innermost].text.push_str(text);
                }
            }
            Piece::End(_) => _ = open.pop(),
        }
        ControlFlow::Continue(())
    })?;
    Ok(elements)
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
