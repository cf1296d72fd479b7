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
        /// What it is about, as the file says it: keywords.
        Subject = "subject",
        /// A summary, as the file gives it.
        Description = "description",
        /// The larger work it belongs to: an album, a series, a journal.
        PartOf = "part_of",
        /// The format as people name it, with its version where it has one: `PDF 1.7`, `JPEG`.
        Format = "format",
        /// How large the work is, in the measure of its kind: `261 pages`, `0:03:42`, `4032 x 3024 pixels`.
        Extent = "extent",
        /// Where it is about or was taken: a name, or latitude and longitude in degrees as ISO 6709.
        Place = "place",
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

    /// Whether a command may say something of it. Notes are the librarian's own. How far a source can be relied on is not
    /// for a program to say that reads what the source says of itself. What may leave this computer is not for one to say
    /// that may send it.
    #[must_use]
    pub const fn is_for_commands(self) -> bool {
        !matches!(self, Field::Notes | Field::AuthorityTier | Field::Privacy)
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

words! {
    /// How far a document may leave this computer, the strictest last.
    pub enum Privacy {
        /// As everything else.
        Full = "full",
        /// What is on its card, not what is in it.
        Redacted = "redacted",
        /// Not at all.
        LocalOnly = "local_only",
    }
}

/// One field of a document, from one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// Which field.
    pub field: Field,
    /// One value; several for a list field. None at all is a word too: the field is empty, whatever weaker sources say.
    pub values: Vec<String>,
    /// Who says so.
    pub source: Source,
    /// Which command, where a command says so; else empty.
    pub agent: String,
    /// From 0 to 1.
    pub confidence: f64,
    /// Since when, in milliseconds.
    pub updated_at: i64,
}

/// Of several annotations, the one that counts for each field: the strongest source, then the higher confidence. A field
/// that somebody emptied is not among them.
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
    best.retain(|_, annotation| !annotation.values.is_empty());
    best
}

/// All words of each field, the strongest first: the one that counts, and those it beats.
#[must_use]
pub fn ranked(annotations: &[Annotation]) -> std::collections::BTreeMap<Field, Vec<&Annotation>> {
    let mut ranked: std::collections::BTreeMap<Field, Vec<&Annotation>> = std::collections::BTreeMap::new();
    for annotation in annotations {
        ranked.entry(annotation.field).or_default().push(annotation);
    }
    for words in ranked.values_mut() {
        // Stable: of equals the first counts, as in `effective`.
        words.sort_by(|a, b| {
            (b.source, b.confidence)
                .partial_cmp(&(a.source, a.confidence))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    ranked
}

/// How far a document may leave, by the word that counts; a word that is none of the three forbids, since it was meant to.
#[must_use]
pub fn privacy(annotations: &[Annotation]) -> Privacy {
    let fields = effective(annotations);
    let word = fields.get(&Field::Privacy).and_then(|held| held.values.first());
    word.map_or(Privacy::Full, |word| word.parse().unwrap_or(Privacy::LocalOnly))
}

#[cfg(test)]
mod tests {
    use super::*;

    // S8
    #[test]
    fn a_word_on_privacy_that_nobody_knows_lets_nothing_out() {
        let of = |word: &str| Annotation {
            field: Field::Privacy,
            values: vec![word.to_owned()],
            source: Source::Person,
            agent: String::new(),
            confidence: 1.0,
            updated_at: 0,
        };
        assert_eq!(privacy(&[of("redacted")]), Privacy::Redacted);
        assert_eq!(privacy(&[of("Local Only!")]), Privacy::LocalOnly);
        assert_eq!(privacy(&[]), Privacy::Full);
        assert!(Privacy::Full < Privacy::Redacted && Privacy::Redacted < Privacy::LocalOnly);
    }

    #[test]
    fn a_persons_word_beats_what_was_extracted() {
        let of = |source, value: &str, confidence| Annotation {
            field: Field::Title,
            values: vec![value.to_owned()],
            source,
            agent: String::new(),
            confidence,
            updated_at: 0,
        };
        let all = [of(Source::Person, "Right", 0.5), of(Source::Extractor, "untitled.doc", 1.0)];
        assert_eq!(effective(&all)[&Field::Title].values, ["Right"]);
    }

    // E4
    #[test]
    fn the_word_that_counts_is_the_first_of_its_field() {
        let of = |source, confidence| Annotation {
            field: Field::Title,
            values: vec![format!("{source} {confidence}")],
            source,
            agent: String::new(),
            confidence,
            updated_at: 0,
        };
        let all = [
            of(Source::Path, 1.0),
            of(Source::Command, 0.4),
            of(Source::Command, 0.9),
            of(Source::Extractor, 1.0),
        ];
        let words: Vec<&str> =
            ranked(&all)[&Field::Title].iter().map(|word| word.values[0].as_str()).collect();
        assert_eq!(words, ["command 0.9", "command 0.4", "extractor 1", "path 1"]);
        assert_eq!(effective(&all)[&Field::Title], ranked(&all)[&Field::Title][0]);
    }

    // E4
    #[test]
    fn what_a_person_emptied_is_empty_whatever_the_file_says() {
        let emptied = Annotation {
            field: Field::Title,
            values: Vec::new(),
            source: Source::Person,
            agent: String::new(),
            confidence: 1.0,
            updated_at: 0,
        };
        let extracted = Annotation {
            values: vec!["untitled.doc".to_owned()],
            source: Source::Extractor,
            ..emptied.clone()
        };
        assert!(effective(&[extracted, emptied]).is_empty());
    }
}
