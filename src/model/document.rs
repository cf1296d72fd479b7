//! A work as the library knows it, and what is written on its card.

use super::words;

words! {
    /// A field of a document. Dublin Core's terms where it has one.
    pub enum Field {
        /// The name of the work.
        Title = "title",
        /// Who made it; several people are several values.
        Author = "author",
        /// When it was made or published, as its source writes it.
        Date = "date",
        /// BCP 47 language tag.
        Language = "language",
        /// ISBN, DOI, URN.
        Identifier = "identifier",
        /// Who published it.
        Publisher = "publisher",
        /// What it is about, as the file says it.
        Subject = "subject",
        /// What kind of source this is: book, paper, transcript, ...
        SourceType = "source_type",
        /// How far it can be relied on.
        AuthorityTier = "authority_tier",
        /// The librarian's own keywords.
        Tags = "tags",
        /// Free text.
        Notes = "notes",
        /// `local_only`, `redacted` or `full`.
        Privacy = "privacy",
    }
}

impl Field {
    /// Whether the field holds a list; its value is then a JSON array.
    #[must_use]
    pub const fn is_list(self) -> bool {
        matches!(self, Field::Author | Field::Subject | Field::Tags | Field::Identifier)
    }
}

words! {
    /// Who says so, from the weakest to the strongest word.
    pub enum Source {
        /// Read off the path.
        Path = "path",
        /// Read out of the file.
        Extractor = "extractor",
        /// An enrichment command of the user.
        Command = "command",
        /// A person.
        Person = "person",
    }
}

/// One field of a document, from one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Which field.
    pub field: Field,
    /// One value; several for a list field.
    pub values: Vec<String>,
    /// Who says so.
    pub source: Source,
    /// From 0 to 1.
    pub confidence: f64,
}

/// Of several annotations, the one that counts for each field: the strongest source, then the higher confidence.
#[must_use]
pub fn effective(annotations: &[Annotation]) -> std::collections::BTreeMap<Field, &Annotation> {
    let mut best: std::collections::BTreeMap<Field, &Annotation> = std::collections::BTreeMap::new();
    for annotation in annotations {
        let stronger = best
            .get(&annotation.field)
            .is_none_or(|held| (annotation.source, annotation.confidence) > (held.source, held.confidence));
        if stronger {
            best.insert(annotation.field, annotation);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_persons_word_beats_what_was_extracted() {
        let of = |source, value: &str, confidence| Annotation {
            field: Field::Title,
            values: vec![value.to_owned()],
            source,
            confidence,
        };
        let all = [of(Source::Person, "Right", 0.5), of(Source::Extractor, "untitled.doc", 1.0)];
        assert_eq!(effective(&all)[&Field::Title].values, ["Right"]);
    }
}
