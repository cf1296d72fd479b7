//! What is written beside a document: who it is, so that it is found again, and what its card says, so that questions can be
//! kept to some documents. Pure.
//!
//! Filters compare whole values, with case. So what they ask for (type, tier, tags, languages) is written folded, as the
//! catalogue's own search folds it, and dates as the days that they may mean.

use std::collections::BTreeMap;

use ulid::Ulid;

use super::wire::{Document, Metadata, StringList, Upload, text_beside};
use crate::model::Field;
use crate::model::dates;
use crate::model::filter::{Clause, Filter, Term, languages, same_word};
use crate::remote::ObjectKey;
use crate::remote::index::Entry;
use crate::remote::url::Gemini as Place;

/// Which document: its ULID.
const ID: &str = "shelf_id";
/// Which content: the key that it would have where we choose names.
const KEY: &str = "shelf_key";
/// Longest value that is sent, in characters. No limit is documented; a value is there to be filtered by, not read.
const MAX_VALUE_CHARS: usize = 256;
/// Most values of a list that are sent.
const MAX_VALUES: usize = 64;
/// Always this, whatever the text is: of the types that are documented, many were refused
/// (<https://github.com/googleapis/python-genai/issues/1900>).
pub(super) const MIME_TYPE: &str = "text/plain";

/// The beginning of its upload.
pub(super) fn upload(entry: &Entry<'_>) -> Upload {
    Upload {
        display_name: display_name(entry.title, entry.document),
        mime_type: MIME_TYPE,
        custom_metadata: metadata(entry),
    }
}

/// What people see, also where an answer names its sources: the title, as long as a name may be.
fn display_name(title: &str, document: Ulid) -> String {
    let name = cut(title, Place::MAX_NAME_CHARS);
    if name.is_empty() { document.to_string() } else { name }
}

fn cut(text: &str, chars: usize) -> String {
    let plain: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    plain.trim().chars().take(chars).collect::<String>().trim_end().to_owned()
}

/// At most 11 entries, of the 20 that a document may have.
fn metadata(entry: &Entry<'_>) -> Vec<Metadata> {
    let bare = |key: &str| Metadata {
        key: key.to_owned(),
        string_value: None,
        numeric_value: None,
        string_list_value: None,
    };
    let text = |key: &str, value: &str| Metadata { string_value: Some(value.to_owned()), ..bare(key) };
    let mut all = vec![text(ID, &entry.document.to_string()), text(KEY, entry.key.as_str())];
    let fields = entry.fields;
    for (key, value) in [
        ("title", Some(entry.title)),
        ("date", first(fields, Field::Date)),
        ("type", first(fields, Field::SourceType).map(same_word).as_deref()),
        ("tier", first(fields, Field::AuthorityTier).map(same_word).as_deref()),
    ] {
        let value = value.map(|value| cut(value, MAX_VALUE_CHARS)).filter(|value| !value.is_empty());
        all.extend(value.map(|value| text(key, &value)));
    }
    let folded_languages =
        values(fields, Field::Language).flat_map(languages).map(same_word).collect::<Vec<_>>();
    for (key, values) in [
        ("author", values(fields, Field::Author).map(str::to_owned).collect::<Vec<_>>()),
        ("tags", values(fields, Field::Tags).map(same_word).collect()),
        ("language", folded_languages),
    ] {
        let mut list: Vec<String> = Vec::new();
        for value in values.iter().map(|value| cut(value, MAX_VALUE_CHARS)) {
            if !value.is_empty() && !list.contains(&value) && list.len() < MAX_VALUES {
                list.push(value);
            }
        }
        if !list.is_empty() {
            all.push(Metadata { string_list_value: Some(StringList { values: list }), ..bare(key) });
        }
    }
    if let Some(days) = first(fields, Field::Date).and_then(dates::days) {
        for (key, day) in [("date_from", days.from), ("date_until", days.until)] {
            #[expect(clippy::cast_precision_loss, reason = "a day has eight digits")]
            all.push(Metadata { numeric_value: Some(day as f64), ..bare(key) });
        }
    }
    all
}

fn values(fields: &BTreeMap<Field, Vec<String>>, field: Field) -> impl Iterator<Item = &str> {
    fields.get(&field).into_iter().flatten().map(String::as_str)
}

fn first(fields: &BTreeMap<Field, Vec<String>>, field: Field) -> Option<&str> {
    values(fields, field).next()
}

/// Which content a document is, where it is one of ours.
pub(super) fn key_of(document: &Document) -> Option<ObjectKey> {
    key_among(&document.custom_metadata)
}

/// Which content something is about, where it is one of ours.
pub(super) fn key_among(metadata: &[Metadata]) -> Option<ObjectKey> {
    text_beside(metadata, KEY)?.parse().ok()
}

/// Which document of ours something is about.
pub(super) fn document_of(metadata: &[Metadata]) -> Option<Ulid> {
    text_beside(metadata, ID)?.parse().ok()
}

/// A filter in the words of <https://google.aip.dev/160>, over what is written beside documents; none where it asks for nothing.
/// Parentheses stand wherever both AND and OR do: AIP-160 binds OR closer, which nobody expects.
pub(super) fn filter(filter: &Filter) -> Option<String> {
    let clauses: Vec<String> = filter.0.iter().map(clause).collect();
    (!clauses.is_empty()).then(|| clauses.join(" AND "))
}

fn clause(Clause { not, any }: &Clause) -> String {
    let terms: Vec<String> = any.iter().map(term).collect();
    let any = terms.join(" OR ");
    match (not, terms.len()) {
        (true, _) => format!("NOT ({any})"),
        (false, 1) => any,
        (false, _) => format!("({any})"),
    }
}

fn term(term: &Term) -> String {
    match term {
        Term::Type(value) => format!("type = {}", quoted(value)),
        Term::Tier(value) => format!("tier = {}", quoted(value)),
        Term::Tag(value) => format!("tags:{}", quoted(value)),
        Term::Language(value) => format!("language:{}", quoted(value)),
        Term::Before(day) => format!("date_until < {day}"),
        Term::After(day) => format!("date_from >= {day}"),
    }
}

fn quoted(value: &str) -> String {
    format!("\"{}\"", cut(value, MAX_VALUE_CHARS).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(title: &str, fields: &[(Field, &[&str])]) -> Upload {
        let fields = fields
            .iter()
            .map(|(field, values)| (*field, values.iter().map(|value| (*value).to_owned()).collect()))
            .collect();
        let key = "enriched/ab/abcd".parse().unwrap();
        upload(&Entry { key: &key, document: Ulid::from(7), title, fields: &fields, content: "", text: "" })
    }

    // S9
    #[test]
    fn a_card_is_written_beside_its_document_in_the_form_that_filters_ask_for() {
        let card = of(
            "Über Müll",
            &[
                (Field::Author, &["Ann", "Bob"]),
                (Field::SourceType, &["Book"]),
                (Field::AuthorityTier, &["1"]),
                (Field::Tags, &["World  History", "world history", "Öl"]),
                (Field::Language, &["de-AT"]),
                (Field::Date, &["May 2020"]),
                (Field::Notes, &["mine alone"]),
                (Field::Privacy, &["full"]),
            ],
        );
        assert_eq!(
            serde_json::to_string(&card).unwrap(),
            concat!(
                r#"{"displayName":"Über Müll","mimeType":"text/plain","customMetadata":["#,
                r#"{"key":"shelf_id","stringValue":"00000000000000000000000007"},{"key":"shelf_key","stringValue":"enriched/ab/abcd"},"#,
                r#"{"key":"title","stringValue":"Über Müll"},{"key":"date","stringValue":"May 2020"},"#,
                r#"{"key":"type","stringValue":"book"},{"key":"tier","stringValue":"1"},"#,
                r#"{"key":"author","stringListValue":{"values":["Ann","Bob"]}},"#,
                r#"{"key":"tags","stringListValue":{"values":["world history","ol"]}},"#,
                r#"{"key":"language","stringListValue":{"values":["de-at","de"]}},"#,
                r#"{"key":"date_from","numericValue":20200101.0},{"key":"date_until","numericValue":20201231.0}]}"#
            )
        );
    }

    // S9
    #[test]
    fn a_card_keeps_the_limits_whatever_is_on_it() {
        let many: Vec<String> = (0..1000).map(|n| format!("{n:0>300}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let fields: Vec<(Field, &[&str])> = Field::ALL.iter().map(|field| (*field, &many[..])).collect();
        let card = of(&"å\n".repeat(2000), &fields);
        assert!(card.custom_metadata.len() <= 20);
        assert_eq!(card.display_name.chars().count(), 511, "of 512 the last is a space");
        for entry in &card.custom_metadata {
            assert!(entry.string_value.as_ref().is_none_or(|value| value.chars().count() <= MAX_VALUE_CHARS));
            assert!(entry.string_list_value.as_ref().is_none_or(|list| list.values.len() <= MAX_VALUES));
        }
        let empty = of(" \n", &[(Field::Tags, &["", " "]), (Field::SourceType, &[])]);
        assert_eq!(empty.display_name, "00000000000000000000000007");
        assert_eq!(empty.custom_metadata.len(), 2, "{empty:?}");
    }

    // S9
    #[rstest]
    #[case(vec![], None)]
    #[case(vec![(false, vec![Term::Type("book".into())])], Some(r#"type = "book""#))]
    #[case(
        vec![
            (false, vec![Term::Tag("a".into()), Term::Tag("b \"c\\d\"".into())]),
            (true, vec![Term::Language("de".into())]),
        ],
        Some(r#"(tags:"a" OR tags:"b \"c\\d\"") AND NOT (language:"de")"#)
    )]
    #[case(
        vec![
            (false, vec![Term::Before(20200101)]),
            (false, vec![Term::After(20190501)]),
            (false, vec![Term::Tier("1".into())]),
        ],
        Some(r#"date_until < 20200101 AND date_from >= 20190501 AND tier = "1""#)
    )]
    fn a_filter_is_written_as_aip_160(
        #[case] clauses: Vec<(bool, Vec<Term>)>,
        #[case] expected: Option<&str>,
    ) {
        let clauses = clauses.into_iter().map(|(not, any)| Clause { not, any }).collect();
        assert_eq!(filter(&Filter(clauses)).as_deref(), expected);
    }
}
