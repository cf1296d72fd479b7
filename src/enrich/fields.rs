//! Metadata as files give it, brought into one shape.

use std::collections::BTreeMap;

use super::{identifiers, language, normal};
use crate::model::Field;

/// More values than this of one field are not metadata.
const MAX_VALUES: usize = 100;

/// Each field once, in order; values normalised, no empty one, none twice; one value where the field is no list.
/// Identifiers and languages are brought into their one form.
pub(super) fn tidy(raw: &[(Field, String)]) -> Vec<(Field, Vec<String>)> {
    let mut tidy: BTreeMap<Field, Vec<String>> = BTreeMap::new();
    for (field, value) in raw {
        let values = tidy.entry(*field).or_default();
        let most = if field.is_list() { MAX_VALUES } else { 1 };
        let value = normal::value(value).and_then(|value| match field {
            Field::Identifier => Some(identifiers::normal(&value)),
            Field::Language => language::tag(&value),
            _ => Some(value),
        });
        if values.len() < most
            && let Some(value) = value
            && !values.contains(&value)
        {
            values.push(value);
        }
    }
    tidy.into_iter().filter(|(_, values)| !values.is_empty()).collect()
}

/// Splits a list that a file keeps in one string, for instance keywords.
pub(super) fn push_split(into: &mut Vec<(Field, String)>, field: Field, list: &str, separators: &[char]) {
    into.extend(list.split(separators).map(|value| (field, value.to_owned())));
}

/// The field that a name of a metadata scheme means: HTML meta names, Dublin Core, Highwire, Markdown front matter.
pub(super) fn by_name(name: &str) -> Option<Field> {
    let name = name.trim().to_ascii_lowercase();
    let plain = ["dc.", "dcterms.", "dc:", "dcterms:", "citation_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(&name);
    Some(match plain {
        "title" => Field::Title,
        "author" | "authors" | "creator" | "article:author" => Field::Author,
        "date" | "issued" | "created" | "publication_date" | "published" | "article:published_time" => {
            Field::Date
        }
        "language" | "lang" | "content-language" => Field::Language,
        "publisher" => Field::Publisher,
        "description" | "abstract" => Field::Description,
        "subject" | "subjects" | "keywords" | "tags" => Field::Subject,
        "identifier" | "doi" | "isbn" => Field::Identifier,
        "ispartof" | "journal_title" | "series" => Field::PartOf,
        _ => return None,
    })
}

/// Whether the values of a name are a list in one string.
pub(super) fn is_comma_list(name: &str) -> bool {
    matches!(name.trim().to_ascii_lowercase().as_str(), "keywords" | "tags" | "subjects")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_comes_once_and_nothing_empty_or_twice() {
        let raw = [
            (Field::Author, " B ".to_owned()),
            (Field::Title, "\0".to_owned()),
            (Field::Title, "One".to_owned()),
            (Field::Title, "Two".to_owned()),
            (Field::Author, "A".to_owned()),
            (Field::Author, "B".to_owned()),
            (Field::Language, String::new()),
        ];
        assert_eq!(
            tidy(&raw),
            [(Field::Title, vec!["One".to_owned()]), (Field::Author, vec!["B".to_owned(), "A".to_owned()])]
        );
    }
}
