//! The canonical enriched content: what a store is given and what its `upload_hash` is of.
//!
//! Pure: the same card and text give the same bytes, on every device, in every year. So no path stands in it (a move
//! changes nothing), no time, no version of this program (a new version re-renders everything, and what comes out with
//! the same bytes is not sent again).

use std::collections::BTreeMap;
use std::fmt::Write;

use ulid::Ulid;

use crate::model::Field;

/// Raised when the same card and text are rendered to other bytes.
pub const RENDER_VERSION: u32 = 1;

/// What is written on a document's card, as far as stores see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card<'a> {
    /// Which document.
    pub document: Ulid,
    /// BLAKE3 of the original file.
    pub content_hash: [u8; 32],
    /// Type of the original file.
    pub mime: &'a str,
    /// The fields that count: for each the strongest word. Notes and privacy are not rendered: the one are the
    /// librarian's own, the other is about the document, not in it.
    pub fields: BTreeMap<Field, Vec<String>>,
}

/// A rendered document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What is stored.
    pub content: String,
    /// Where in it the text begins.
    pub text_at: usize,
}

/// YAML front matter, then the text.
///
/// Keys come in a fixed order, values as quoted JSON strings, lists as `[..]`: YAML of any version reads them, and so does
/// somebody with a JSON parser and a split at `: `.
#[must_use]
pub fn render(card: &Card<'_>, text: &str) -> Page {
    let mut page = String::with_capacity(text.len() + 1024);
    page.push_str("---\n");
    line(&mut page, "document", &quoted(&card.document.to_string()));
    line(&mut page, "content_hash", &quoted(&hex(&card.content_hash)));
    line(&mut page, "mime", &quoted(card.mime));
    for (field, values) in &card.fields {
        let value = match (field, values.as_slice()) {
            (field, _) if !is_rendered(*field) => continue,
            (_, []) => continue,
            (field, [value]) if !field.is_list() => quoted(value),
            (_, values) => {
                format!("[{}]", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "))
            }
        };
        line(&mut page, field.as_str(), &value);
    }
    page.push_str("---\n");
    let mut text_at = page.len();
    if !text.is_empty() {
        page.push('\n');
        text_at = page.len();
        page.push_str(text);
        if !text.ends_with('\n') {
            page.push('\n');
        }
    }
    Page { content: page, text_at }
}

/// Whether a field is rendered. Notes are the librarian's own; privacy is about the document, not in it.
#[must_use]
pub const fn is_rendered(field: Field) -> bool {
    !matches!(field, Field::Notes | Field::Privacy)
}

/// The hash that tells whether a store has this very content: BLAKE3 of the rendered bytes.
#[must_use]
pub fn upload_hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

fn line(page: &mut String, key: &str, value: &str) {
    page.push_str(key);
    page.push_str(": ");
    page.push_str(value);
    page.push('\n');
}

/// A JSON string that is also a double-quoted YAML scalar: what YAML counts as a line break or as unprintable is escaped,
/// what needs a pair of surrogates in JSON is written out.
fn quoted(value: &str) -> String {
    let mut quoted = String::with_capacity(value.len() + 2);
    quoted.push('"');
    for char in value.chars() {
        match char {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                // A String takes every write.
                _ = write!(quoted, "\\u{:04x}", u32::from(char));
            }
            _ => quoted.push(char),
        }
    }
    quoted.push('"');
    quoted
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        // A String takes every write.
        _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yaml_rust2::{Yaml, YamlLoader};

    use super::*;

    fn card(fields: BTreeMap<Field, Vec<String>>) -> Card<'static> {
        let document = Ulid::from_parts(1_700_000_000_000, 42);
        Card { document, content_hash: [0xab; 32], mime: "application/pdf", fields }
    }

    /// Front matter as an independent parser reads it, and the text behind it.
    fn parse(page: &[u8]) -> (Yaml, String) {
        let page = std::str::from_utf8(page).expect("it is UTF-8");
        let (front, text) = page
            .strip_prefix("---\n")
            .and_then(|rest| rest.split_once("\n---\n"))
            .expect("there is front matter");
        let mut documents = YamlLoader::load_from_str(front).expect("it is YAML");
        assert_eq!(documents.len(), 1);
        (documents.remove(0), text.strip_prefix('\n').unwrap_or(text).to_owned())
    }

    // E2
    #[test]
    fn the_same_card_gives_these_very_bytes() {
        let fields = BTreeMap::from([
            (Field::Author, vec!["A".to_owned(), "B \"b\"".to_owned()]),
            (Field::Title, vec!["Shelves\nand disks".to_owned()]),
            (Field::Notes, vec!["my own".to_owned()]),
            (Field::Privacy, vec!["full".to_owned()]),
            (Field::Tags, vec![]),
        ]);
        let page = render(&card(fields), "Text.").content;
        let hash = "ab".repeat(32);
        assert_eq!(
            page,
            format!(
                "---\ndocument: \"01HF7YAT00000000000000001A\"\ncontent_hash: \"{hash}\"\nmime: \"application/pdf\"\ntitle: \"Shelves\\nand disks\"\nauthor: [\"A\", \"B \\\"b\\\"\"]\n---\n\nText.\n"
            )
        );
    }

    // YAML 1.1 folds these like line feeds, or refuses them; the parser of the property below reads YAML 1.2.
    #[test]
    fn what_an_older_yaml_would_change_is_escaped() {
        assert_eq!(
            quoted("\u{85}\u{2028}\u{2029}\u{feff}\u{ffff}\u{7f}\u{1}🗄"),
            r#""\u0085\u2028\u2029\ufeff\uffff\u007f\u0001🗄""#
        );
    }

    fn values() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            Just("---".to_owned()),
            Just("a\n---\nb: c".to_owned()),
            Just("\u{85}\u{2028}\u{2029}\u{feff}\u{fffe}\u{7f}\0".to_owned()),
            Just("🗄️ \"quoted\" \\ 'single' # no comment".to_owned()),
            Just("no".to_owned()),
            Just("2024-05-01".to_owned()),
        ]
    }

    proptest! {
        // E2
        #[test]
        fn every_value_survives_an_independent_parser(
            fields in proptest::collection::btree_map(
                proptest::sample::select(Field::ALL),
                proptest::collection::vec(values(), 1..4),
                0..12,
            ),
            text in any::<String>(),
        ) {
            let page = render(&card(fields.clone()), &text);
            let (front, body) = parse(page.content.as_bytes());
            let front = front.as_hash().expect("front matter is a map");
            for (field, values) in &fields {
                let found = front.get(&Yaml::String(field.as_str().to_owned()));
                if matches!(field, Field::Notes | Field::Privacy) {
                    prop_assert!(found.is_none());
                } else if field.is_list() || values.len() > 1 {
                    let list = Yaml::Array(values.iter().cloned().map(Yaml::String).collect());
                    prop_assert_eq!(found, Some(&list));
                } else {
                    prop_assert_eq!(found, Some(&Yaml::String(values[0].clone())));
                }
            }
            let known = fields.keys().filter(|field| !matches!(field, Field::Notes | Field::Privacy)).count();
            prop_assert_eq!(front.len(), 3 + known);
            prop_assert_eq!(body.strip_suffix('\n').unwrap_or(&body), text.strip_suffix('\n').unwrap_or(&text));
        }
    }
}
