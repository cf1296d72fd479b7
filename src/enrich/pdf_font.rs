//! A font of a PDF, as far as text goes: which characters its codes are, and how wide they are drawn.

use std::collections::HashMap;

use encoding_rs::Encoding as Charset;
use lopdf::{Dictionary, Document, Encoding, Error, Object};

use super::pdf_text::number_of;

/// A font as text sees it.
pub(super) struct Font<'a> {
    encoding: Encoding<'a>,
    widths: Widths,
    /// Lines run from top to bottom.
    pub(super) vertical: bool,
}

/// Widths of codes, in ems.
enum Widths {
    /// One byte a code.
    Simple { first: usize, widths: Vec<f64>, missing: f64 },
    /// Two bytes a code.
    Composite { widths: HashMap<u32, f64>, default: f64 },
    /// One of the fonts that every reader has, or codes of various lengths.
    Unknown,
}

impl<'a> Font<'a> {
    /// Fails where the font is none, or a map in it inflates beyond the limit.
    pub(super) fn read(document: &'a Document, font: &'a Dictionary, inflated: usize) -> Result<Self, Error> {
        let encoding = font.get_font_encoding_with_limit(document, inflated)?;
        let name = font.get(b"Encoding").and_then(Object::as_name).unwrap_or_default();
        let is_composite =
            font.get(b"Subtype").and_then(Object::as_name).is_ok_and(|subtype| subtype == b"Type0");
        let widths = if is_composite { composite(document, font, name) } else { simple(document, font) };
        Ok(Font {
            encoding,
            widths: widths.unwrap_or(Widths::Unknown),
            vertical: is_composite && name.ends_with(b"-V"),
        })
    }

    /// What a string of codes says. Codes that nobody knows are left out.
    pub(super) fn decode(&self, bytes: &[u8]) -> String {
        if let Encoding::SimpleEncoding(name) = &self.encoding
            && let Some(charset) = charset_of(name)
        {
            return charset.decode_without_bom_handling(bytes).0.replace('\u{fffd}', "");
        }
        let mut text = String::new();
        // What was understood before the error stays.
        _ = self.encoding.write_to_string(bytes, &mut text);
        text.retain(|char| char != '\u{fffd}' && char != '\0');
        text
    }

    /// How far a string moves the pen, in ems; `None` where the widths are not known.
    pub(super) fn advance(&self, bytes: &[u8]) -> Option<f64> {
        match &self.widths {
            Widths::Unknown => None,
            Widths::Simple { first, widths, missing } => Some(
                bytes
                    .iter()
                    .map(|&byte| {
                        let at = usize::from(byte).checked_sub(*first);
                        at.and_then(|at| widths.get(at)).copied().unwrap_or(*missing)
                    })
                    .sum(),
            ),
            Widths::Composite { widths, default } => Some(
                bytes
                    .chunks(2)
                    .map(|code| {
                        let code = code.iter().fold(0, |code, &byte| code << 8 | u32::from(byte));
                        widths.get(&code).copied().unwrap_or(*default)
                    })
                    .sum(),
            ),
        }
    }

    /// How many codes a string has.
    pub(super) fn codes(&self, bytes: &[u8]) -> usize {
        if matches!(self.widths, Widths::Composite { .. }) { bytes.len().div_ceil(2) } else { bytes.len() }
    }
}

fn simple(document: &Document, font: &Dictionary) -> Option<Widths> {
    let widths = font.get_deref(b"Widths", document).and_then(Object::as_array).ok()?;
    let first = font.get_deref(b"FirstChar", document).and_then(Object::as_i64).unwrap_or(0);
    // A Type 3 font has a scale of its own, all others 1000 units an em.
    let scale = font.get_deref(b"FontMatrix", document).and_then(Object::as_array).ok();
    let scale = scale.and_then(|matrix| matrix.first()).map_or(0.001, number_of).abs();
    let width = |object: &Object| {
        let object = document.dereference(object).map_or(object, |(_, object)| object);
        number_of(object) * scale
    };
    let descriptor = font.get_deref(b"FontDescriptor", document).and_then(Object::as_dict).ok();
    let missing = descriptor.and_then(|descriptor| descriptor.get(b"MissingWidth").ok()).map_or(0.0, width);
    // Codes are bytes.
    let widths = widths.iter().take(256).map(width).collect();
    Some(Widths::Simple { first: usize::try_from(first).ok()?, widths, missing })
}

fn composite(document: &Document, font: &Dictionary, encoding: &[u8]) -> Option<Widths> {
    let vertical = encoding == b"Identity-V";
    if encoding != b"Identity-H" && !vertical {
        return None;
    }
    if vertical {
        // Ideographs stand one em below each other.
        return Some(Widths::Composite { widths: HashMap::new(), default: 1.0 });
    }
    let descendants = font.get_deref(b"DescendantFonts", document).and_then(Object::as_array).ok()?;
    let (_, descendant) = document.dereference(descendants.first()?).ok()?;
    let descendant = descendant.as_dict().ok()?;
    let default = descendant.get_deref(b"DW", document).map_or(1.0, |width| number_of(width) / 1000.0);
    let mut widths = HashMap::new();
    let list = descendant.get_deref(b"W", document).and_then(Object::as_array);
    let mut list = list.map_or(&[][..], Vec::as_slice);
    // Either `first [width width ...]` or `first last width`.
    while let [first, rest @ ..] = list {
        let Ok(first) = first.as_i64().and_then(|first| Ok(u32::try_from(first)?)) else { break };
        match rest {
            [run, rest @ ..] if let Ok((_, Object::Array(run))) = document.dereference(run) => {
                widths.extend((first..).zip(run.iter().map(|width| number_of(width) / 1000.0)));
                list = rest;
            }
            [last, width, rest @ ..] => {
                // Two bytes a code: a range beyond that is nonsense.
                let last = last.as_i64().ok().and_then(|last| u32::try_from(last).ok()).unwrap_or(first);
                let width = number_of(width) / 1000.0;
                widths.extend((first..=last.min(0xffff)).map(|code| (code, width)));
                list = rest;
            }
            _ => break,
        }
    }
    Some(Widths::Composite { widths, default })
}

/// The character set behind a predefined CMap of East Asia: its codes are text in it.
fn charset_of(cmap: &[u8]) -> Option<&'static Charset> {
    let name = std::str::from_utf8(cmap).ok()?;
    Some(match name {
        _ if name.starts_with("Uni") && (name.contains("UCS2") || name.contains("UTF16")) => {
            encoding_rs::UTF_16BE
        }
        _ if name.contains("RKSJ") => encoding_rs::SHIFT_JIS,
        _ if name.starts_with("GB") => encoding_rs::GB18030,
        _ if name.contains("B5") => encoding_rs::BIG5,
        _ if name.starts_with("KSC") => encoding_rs::EUC_KR,
        "EUC-H" | "EUC-V" => encoding_rs::EUC_JP,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predefined_maps_of_east_asia_are_character_sets() {
        let font = |name| Font {
            encoding: Encoding::SimpleEncoding(name),
            widths: Widths::Unknown,
            vertical: false,
        };
        assert_eq!(font(b"90ms-RKSJ-H").decode(b"\x93\xfa\x96\x7b"), "日本");
        assert_eq!(font(b"UniJIS-UTF16-H").decode(b"\x68\xda"), "棚");
        assert_eq!(font(b"GBK-EUC-H").decode(b"\xd6\xd0"), "中");
        assert_eq!(font(b"Nobody-Knows-H").decode(b"ab"), "");
    }

    #[test]
    fn widths_of_codes_are_added_up() {
        let simple = Widths::Simple { first: 65, widths: vec![0.5, 0.7], missing: 0.1 };
        let font =
            |widths| Font { encoding: Encoding::SimpleEncoding(b"WinAnsiEncoding"), widths, vertical: false };
        let near = |found: Option<f64>, wanted: f64| found.is_some_and(|found| (found - wanted).abs() < 1e-9);
        assert!(near(font(simple).advance(b"AB\x01"), 1.3));
        let wide = Widths::Composite { widths: HashMap::from([(258, 0.25)]), default: 1.0 };
        let wide = font(wide);
        assert!(near(wide.advance(b"\x01\x02\x00\x00"), 1.25));
        assert_eq!(wide.codes(b"\x01\x02\x00\x00"), 2);
    }
}
