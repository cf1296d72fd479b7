//! What of a document may leave this computer.

use std::collections::BTreeMap;

use super::document::{Annotation, Field};
use super::words;

words! {
    /// What of a document may leave this computer, the strictest last.
    pub enum Privacy {
        /// All of it.
        Full = "full",
        /// What is known of it, without its text and its paths.
        Redacted = "redacted",
        /// Nothing.
        LocalOnly = "local_only",
    }
}

impl Privacy {
    /// What the fields that count say. A word that nobody knows was meant to hold something back.
    #[must_use]
    pub fn of(fields: &BTreeMap<Field, &Annotation>) -> Privacy {
        match fields.get(&Field::Privacy).and_then(|held| held.values.first()) {
            None => Privacy::Full,
            Some(word) => word.parse().unwrap_or(Privacy::LocalOnly),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Source, document::effective};

    fn privacy(word: &str) -> Privacy {
        let said = Annotation {
            field: Field::Privacy,
            values: vec![word.to_owned()],
            source: Source::Person,
            agent: String::new(),
            confidence: 1.0,
            updated_at: 0,
        };
        Privacy::of(&effective(&[said]))
    }

    // S8
    #[test]
    fn a_word_that_nobody_knows_lets_nothing_out() {
        assert_eq!(privacy("redacted"), Privacy::Redacted);
        assert_eq!(privacy("Local Only!"), Privacy::LocalOnly);
        assert_eq!(Privacy::of(&BTreeMap::new()), Privacy::Full);
        assert!(Privacy::Full < Privacy::Redacted && Privacy::Redacted < Privacy::LocalOnly);
    }
}
