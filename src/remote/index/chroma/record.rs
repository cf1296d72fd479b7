//! A document as records: what each says beside its piece of text, and how they are called.
//!
//! All records of one content begin alike, `DOCUMENT.KEY.`, and number 0 is written last: where it is, all are. Chroma's
//! `upsert` merges, so every field that a card can have is said each time, those that it has not as null, which takes away
//! what an earlier writing left. Keys of metadata come from this file alone: one that begins `chroma:` would mean something
//! else to the server (`chroma:document` replaces the text), and is refused.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use ulid::Ulid;

use super::cut::cut;
use crate::model::Field;
use crate::model::filter::{languages, same_word};
use crate::remote::index::{Entry, RemoteName};

/// A document without any text nor card.
const NOTHING: &str = "untitled";
/// Fields of cards that people filter by, and what they are called there.
pub(super) const FIELDS: [(Field, &str); 8] = [
    (Field::Author, "author"),
    (Field::SourceType, "type"),
    (Field::AuthorityTier, "tier"),
    (Field::Tags, "tags"),
    (Field::Language, "language"),
    (Field::Date, "date"),
    (Field::Identifier, "identifier"),
    (Field::Publisher, "publisher"),
];

/// What the records of one content are called, but for their number: `DOCUMENT.KEY`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prefix(String);

impl Prefix {
    pub(super) fn of(document: Ulid, key: &str) -> Self {
        Prefix(format!("{document}.{}", &blake3::hash(key.as_bytes()).to_hex()[..8]))
    }

    /// Of a record's name, with its number; none where it is not one of ours.
    pub(super) fn of_record(id: &str) -> Option<(Self, usize)> {
        let (prefix, part) = id.rsplit_once('.')?;
        let part = part.parse().ok().filter(|number: &usize| number.to_string() == part)?;
        Some((Prefix::parse(prefix)?, part))
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (document, key) = text.split_once('.')?;
        let fine = Ulid::from_string(document).is_ok_and(|ulid| ulid.to_string() == document)
            && key.len() == 8
            && key.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fine.then(|| Prefix(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn document(&self) -> Ulid {
        let document = self.0.split('.').next().and_then(|text| Ulid::from_string(text).ok());
        document.expect("every way to make a prefix begins with a document")
    }

    pub(super) fn record(&self, part: usize) -> String {
        format!("{}.{part}", self.0)
    }
}

/// What an object is called: `COLLECTION-UUID/PREFIX`, and for other people's records `COLLECTION-UUID/RECORD`. A collection
/// keeps its UUID whatever it is called, so a switch of collections leaves the ledger right.
pub(super) fn name_of(collection: &str, in_it: &str) -> RemoteName {
    RemoteName::new(format!("{collection}/{in_it}"))
}

/// The parts of an object's name.
pub(super) fn parts_of(name: &RemoteName) -> Option<(&str, &str)> {
    name.as_str().split_once('/').filter(|(collection, in_it)| !collection.is_empty() && !in_it.is_empty())
}

/// What is embedded of a document: its pieces; of one without text what is on its card.
pub(super) fn pieces<'a>(entry: &Entry<'a>) -> Vec<Cow<'a, str>> {
    let pieces = cut(entry.text);
    if !pieces.is_empty() {
        return pieces.into_iter().map(Cow::Borrowed).collect();
    }
    let shown = [Field::Title, Field::Author, Field::Description, Field::Subject, Field::Tags, Field::Date];
    let mut lines = vec![entry.title.trim().to_owned()];
    for field in shown {
        let values = entry.fields.get(&field).map(Vec::as_slice).unwrap_or_default();
        let line = values.join(", ");
        if !line.trim().is_empty() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    let card = lines.join("\n");
    let first = cut(&card).first().map_or_else(|| NOTHING.to_owned(), |piece| (*piece).to_owned());
    vec![Cow::Owned(first)]
}

/// Which model made the embeddings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Model<'a> {
    pub(super) name: &'a str,
    pub(super) dimension: usize,
}

/// What a record says beside its text.
pub(super) fn metadata(
    entry: &Entry<'_>,
    prefix: &Prefix,
    model: Model<'_>,
    part: usize,
    parts: usize,
) -> Map<String, Value> {
    let mut said = Map::new();
    said.insert("shelf_id".to_owned(), json!(entry.document.to_string()));
    said.insert("shelf_key".to_owned(), json!(entry.key.as_str()));
    said.insert("shelf_object".to_owned(), json!(prefix.as_str()));
    said.insert("shelf_part".to_owned(), json!(part));
    said.insert("shelf_parts".to_owned(), json!(parts));
    said.insert("shelf_model".to_owned(), json!(model.name));
    said.insert("shelf_dimension".to_owned(), json!(model.dimension));
    let facets = facets(entry);
    said.insert("shelf_facets".to_owned(), if facets.is_empty() { Value::Null } else { json!(facets) });
    let title = Some(entry.title).filter(|title| !title.is_empty());
    said.insert("title".to_owned(), json!(title));
    for (field, name) in FIELDS {
        let values = entry.fields.get(&field).map(Vec::as_slice).unwrap_or_default();
        let value = match values {
            [] => Value::Null,
            values if field.is_list() => json!(values),
            [first, ..] => json!(first),
        };
        said.insert(name.to_owned(), value);
    }
    said
}

/// What a facet's value is asked for by: without case and diacritics, as everywhere else in the program.
pub(super) fn facet(name: &str, value: &str) -> String {
    format!("{name}={}", same_word(value))
}

/// All of a document's. A language is asked for by what it is a kind of, too: `en` finds `en-GB`.
fn facets(entry: &Entry<'_>) -> Vec<String> {
    let values = |field| entry.fields.get(&field).map(Vec::as_slice).unwrap_or_default();
    let mut all = Vec::new();
    for (field, name) in [(Field::SourceType, "type"), (Field::AuthorityTier, "tier"), (Field::Tags, "tag")] {
        all.extend(values(field).iter().map(|value| facet(name, value)));
    }
    for language in values(Field::Language) {
        all.extend(languages(language).into_iter().map(|language| facet("lang", language)));
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// How far an embedding is moved, as a share of its length.
const APART: f64 = 0.001;

/// Moves an embedding by a thousandth, in a direction that follows from its record's name.
///
/// Chroma finds neighbours by walking from one to the next. Equal embeddings have no neighbours but each other, and what was
/// given before or after them cannot be reached any more: beside 2,000 copies of one page, between 41 and 100 of 100 other
/// documents were not found by their own words. Moved apart by this much it was about 10, and none once the graph was also built
/// and searched more widely than is usual (`api.rs`). No nearness changes by more than a thousandth.
pub(super) fn apart(mut vector: Vec<f32>, record: &str) -> Vec<f32> {
    let length = vector.iter().map(|number| f64::from(*number) * f64::from(*number)).sum::<f64>().sqrt();
    // Evenly drawn numbers between -1 and 1 have this length.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand numbers")]
    let drawn = (vector.len() as f64 / 3.0).sqrt();
    let mut bytes = blake3::Hasher::new().update(record.as_bytes()).finalize_xof();
    for number in &mut vector {
        let mut four = [0; 4];
        bytes.fill(&mut four);
        let draw = f64::from(i32::from_le_bytes(four)) / f64::from(i32::MAX);
        #[expect(clippy::cast_possible_truncation, reason = "it is as long as it was")]
        let moved = (f64::from(*number) + draw * APART * length / drawn) as f32;
        *number = moved;
    }
    vector
}

/// A key of metadata that the server would take for something else.
pub(super) fn reserved(said: &Map<String, Value>) -> Option<&str> {
    said.keys().map(String::as_str).find(|key| key.is_empty() || key.starts_with("chroma:"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::remote::ObjectKey;

    fn with_entry<T>(
        title: &str,
        fields: &[(Field, &[&str])],
        text: &str,
        use_it: impl FnOnce(&Entry<'_>) -> T,
    ) -> T {
        let fields: BTreeMap<Field, Vec<String>> = fields
            .iter()
            .map(|(field, values)| (*field, values.iter().map(|value| (*value).to_owned()).collect()))
            .collect();
        let key: ObjectKey = "enriched/ab/abcd".parse().unwrap();
        let document = Ulid::from_string("01JD0000000000000000000000").unwrap();
        use_it(&Entry { key: &key, document, title, fields: &fields, content: "", text })
    }

    // S10: an upsert merges, and takes away only what is null.
    #[test]
    fn a_field_that_is_not_on_the_card_is_said_to_be_none() {
        let model = Model { name: "m", dimension: 3 };
        let fields: [(Field, &[&str]); 3] =
            [(Field::Author, &["Ann", "Bob"]), (Field::Tags, &[]), (Field::Notes, &["mine"])];
        let said = with_entry("T", &fields, "text", |entry| {
            metadata(entry, &Prefix::of(entry.document, "k"), model, 1, 2)
        });
        assert_eq!(said["author"], json!(["Ann", "Bob"]));
        assert_eq!((&said["tags"], &said["tier"]), (&Value::Null, &Value::Null));
        assert_eq!((&said["shelf_part"], &said["shelf_parts"]), (&json!(1), &json!(2)));
        assert!(!Value::Object(said.clone()).to_string().contains("mine"), "notes are the librarian's own");
        assert_eq!(reserved(&said), None);
    }

    // S10
    #[test]
    fn a_key_that_the_server_would_take_for_something_else_is_found() {
        let mut said = Map::new();
        said.insert("chroma:document".to_owned(), json!("x"));
        assert_eq!(reserved(&said), Some("chroma:document"));
        assert_eq!(reserved(&[(String::new(), json!(1))].into_iter().collect()), Some(""));
    }

    // S10
    #[test]
    fn equal_embeddings_are_moved_apart_and_mean_the_same() {
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let same: Vec<f32> = (0..=255_u8).map(|n| f32::from(n % 7) - 3.0).collect();
        let (one, two) = (apart(same.clone(), "d.k.0"), apart(same.clone(), "d.k.1"));
        assert_eq!(one, apart(same.clone(), "d.k.0"));
        assert_ne!(one, two);
        assert!(cosine(&one, &same) > 0.999_99 && cosine(&one, &two) < 1.0 - 1e-7, "{}", cosine(&one, &two));
        // What means nothing is not given a meaning by chance.
        assert_eq!(apart(vec![0.0; 8], "d.k.0"), [0.0; 8]);
    }

    // E5
    #[test]
    fn a_document_is_asked_for_by_its_facets_in_any_case() {
        let fields: [(Field, &[&str]); 3] = [
            (Field::SourceType, &["Book"]),
            (Field::Tags, &["Sea", "sea"]),
            (Field::Language, &["zh-Hant-TW"]),
        ];
        let all = with_entry("T", &fields, "text", facets);
        assert_eq!(all, ["lang=zh", "lang=zh-hant-tw", "tag=sea", "type=book"]);
        assert!(with_entry("T", &[], "text", facets).is_empty());
    }

    #[test]
    fn a_document_without_text_is_its_card() {
        let pieces = |title: &str, fields: &[(Field, &[&str])]| {
            with_entry(title, fields, " \n", |entry| {
                pieces(entry).into_iter().map(Cow::into_owned).collect::<Vec<_>>()
            })
        };
        assert_eq!(
            pieces("A map", &[(Field::Author, &["Ann", "Bob"]), (Field::Title, &["A map"])]),
            ["A map\nAnn, Bob"]
        );
        assert_eq!(pieces("", &[]), ["untitled"]);
    }

    #[test]
    fn a_records_name_says_its_content_and_number() {
        let document = Ulid::from_string("01JD0000000000000000000000").unwrap();
        let prefix = Prefix::of(document, "enriched/ab/abcd");
        assert_eq!(Prefix::of_record(&prefix.record(7)), Some((prefix.clone(), 7)));
        assert_eq!(prefix.document(), document);
        assert_ne!(prefix, Prefix::of(document, "enriched/ab/abce"));
        for other in
            ["", "a", "a.b.0", "01JD0000000000000000000000.0123abcd", "01jd0000000000000000000000.0123abcd.0"]
        {
            assert_eq!(Prefix::of_record(other), None, "{other}");
        }
        let record = format!("{}.07", prefix.as_str());
        assert_eq!(Prefix::of_record(&record), None);
    }
}
