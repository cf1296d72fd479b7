//! How well a document is described: what a librarian would expect to be known of such a thing, and what of it is.
//!
//! Only the fields that count are looked at, whoever says them and however sure. Nobody expects an author of a photograph or a
//! language of a sound, so the expectation follows the family of the media type. The rule stands in docs/scripting.md, too.

use std::collections::BTreeMap;

use super::document::{Annotation, Field};
use super::family::Family;
use super::words;

words! {
    /// How well a document is described, the worst first.
    pub enum Grade {
        /// Nothing is known that would tell it from others.
        None = "none",
        /// Something is, but not all that is expected.
        Partial = "partial",
        /// All that is expected is known.
        Complete = "complete",
    }
}

/// What is expected of a family: of each line one field at least.
const fn expected(family: Family) -> &'static [&'static [Field]] {
    match family {
        Family::Text | Family::Document | Family::Book => {
            &[&[Field::Title], &[Field::Author], &[Field::Date], &[Field::Language, Field::Identifier]]
        }
        Family::Sheet | Family::Slides | Family::Mail => &[&[Field::Title], &[Field::Author], &[Field::Date]],
        Family::Audio => {
            &[&[Field::Title], &[Field::Author], &[Field::Date, Field::PartOf, Field::Identifier]]
        }
        Family::Image => {
            &[&[Field::Date], &[Field::Title, Field::Description, Field::Subject, Field::Tags, Field::Place]]
        }
        Family::Video => &[&[Field::Title], &[Field::Date]],
        Family::Archive | Family::Other => {
            &[&[Field::Title], &[Field::Author, Field::Date, Field::Description]]
        }
    }
}

/// Fields of which one is more than nothing. A language, a format or an extent tells no work from another.
pub const TELLING: [Field; 9] = [
    Field::Title,
    Field::Author,
    Field::Date,
    Field::Identifier,
    Field::Subject,
    Field::Description,
    Field::PartOf,
    Field::Place,
    Field::Tags,
];

/// The grade of a document with these effective fields and this type.
#[must_use]
pub fn grade(fields: &BTreeMap<Field, &Annotation>, mime: Option<&str>) -> Grade {
    if lacking(fields, mime).is_empty() {
        Grade::Complete
    } else if TELLING.iter().any(|field| fields.contains_key(field)) {
        Grade::Partial
    } else {
        Grade::None
    }
}

/// What would have to be known for it to be complete: of each list one field.
#[must_use]
pub fn lacking(fields: &BTreeMap<Field, &Annotation>, mime: Option<&str>) -> Vec<&'static [Field]> {
    let expected = expected(Family::of(mime.unwrap_or_default()));
    expected.iter().filter(|any| !any.iter().any(|field| fields.contains_key(field))).copied().collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::{Source, document::effective};

    fn said(field: Field) -> Annotation {
        Annotation {
            field,
            values: vec!["x".to_owned()],
            source: Source::Extractor,
            agent: String::new(),
            confidence: 1.0,
            updated_at: 0,
        }
    }

    // E3
    #[rstest]
    #[case::nothing("text/plain", &[], Grade::None)]
    #[case::a_language_tells_nothing("text/plain", &[Field::Language, Field::Format, Field::Extent], Grade::None)]
    #[case::privacy_and_notes_describe_nothing("text/plain", &[Field::Privacy, Field::Notes], Grade::None)]
    #[case::a_title("text/plain", &[Field::Title], Grade::Partial)]
    #[case::no_author("application/pdf", &[Field::Title, Field::Date, Field::Language], Grade::Partial)]
    #[case::with_language("application/pdf", &[Field::Title, Field::Author, Field::Date, Field::Language], Grade::Complete)]
    #[case::with_identifier("application/epub+zip", &[Field::Title, Field::Author, Field::Date, Field::Identifier], Grade::Complete)]
    #[case::a_photograph_needs_no_author("image/jpeg", &[Field::Date, Field::Place], Grade::Complete)]
    #[case::a_photograph_without_a_date("image/jpeg", &[Field::Title], Grade::Partial)]
    #[case::a_song_on_its_record("audio/flac", &[Field::Title, Field::Author, Field::PartOf], Grade::Complete)]
    #[case::a_letter("message/rfc822", &[Field::Title, Field::Author, Field::Date], Grade::Complete)]
    #[case::who_knows("application/octet-stream", &[Field::Title, Field::Description], Grade::Complete)]
    fn a_grade_is_what_is_known_of_what_is_expected(
        #[case] mime: &str,
        #[case] known: &[Field],
        #[case] wanted: Grade,
    ) {
        let annotations: Vec<Annotation> = known.iter().map(|field| said(*field)).collect();
        assert_eq!(grade(&effective(&annotations), Some(mime)), wanted);
    }

    #[test]
    fn what_is_lacking_is_said() {
        let annotations = [said(Field::Title), said(Field::Date)];
        let lacks = lacking(&effective(&annotations), Some("application/pdf"));
        assert_eq!(lacks, [&[Field::Author][..], &[Field::Language, Field::Identifier]]);
    }

    // The review of a million documents leaves these out before it looks closer.
    #[test]
    fn what_is_enough_for_a_book_is_enough_for_anything() {
        let enough = [Field::Title, Field::Author, Field::Date];
        for (family, other) in
            Family::ALL.iter().flat_map(|one| [(one, Field::Language), (one, Field::Identifier)])
        {
            let known = [&enough[..], &[other]].concat();
            for any in expected(*family) {
                assert!(any.iter().any(|field| known.contains(field)), "{family}: {any:?}");
            }
        }
    }

    #[test]
    fn every_family_expects_something_that_tells() {
        for family in Family::ALL {
            let expected = expected(*family);
            assert!(!expected.is_empty());
            assert!(expected.iter().any(|any| any.iter().all(|field| TELLING.contains(field))), "{family}");
        }
    }
}
