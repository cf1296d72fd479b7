//! Some kinds of content, as people name them: by extractor (`pdf`), by family (`audio`) or by media type (`image/jpeg`,
//! `image/*`).

use serde::{Deserialize, Serialize};

use super::extract;
use crate::model::family::Family;

/// The kinds that somebody named; never none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kinds(Vec<String>);

/// A word that names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no kind {word:?}; a kind is an extractor ({extractors}), a family ({families}) or a media type such as image/jpeg or image/*"
)]
pub struct UnknownKind {
    /// What was said.
    pub word: String,
    /// What could have been said.
    pub extractors: String,
    /// See there.
    pub families: String,
}

impl Kinds {
    /// What these words mean together; none where there is no word.
    ///
    /// # Errors
    /// The first word that names nothing.
    pub fn parse<W: AsRef<str>>(words: &[W]) -> Result<Option<Kinds>, UnknownKind> {
        let words: Vec<String> = words.iter().map(|word| word.as_ref().trim().to_ascii_lowercase()).collect();
        for word in &words {
            let is_known = word.split_once('/').is_some_and(|(top, sub)| !top.is_empty() && !sub.is_empty())
                || word.parse::<Family>().is_ok()
                || extract::ALL.iter().any(|extractor| extractor.name() == word);
            if !is_known {
                let list =
                    |words: &mut dyn Iterator<Item = &'static str>| words.collect::<Vec<_>>().join(", ");
                return Err(UnknownKind {
                    word: word.clone(),
                    extractors: list(&mut extract::ALL.iter().map(|extractor| extractor.name())),
                    families: list(&mut Family::ALL.iter().map(|family| family.as_str())),
                });
            }
        }
        Ok(if words.is_empty() { None } else { Some(Kinds(words)) })
    }

    /// Whether a content of that type, read by that extractor, is of these kinds.
    #[must_use]
    pub fn fit(&self, extractor: Option<&str>, mime: &str) -> bool {
        let family = Family::of(mime).as_str();
        self.0.iter().any(|word| {
            word == mime
                || extractor == Some(word)
                || word == family
                || word.strip_suffix('*').is_some_and(|top| top.ends_with('/') && mime.starts_with(top))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(words: &[&str]) -> Kinds {
        Kinds::parse(words).expect("they are kinds").expect("there are some")
    }

    // E1
    #[test]
    fn a_kind_is_an_extractor_a_family_or_a_media_type() {
        assert!(kinds(&["pdf"]).fit(Some("pdf"), "application/pdf"));
        assert!(!kinds(&["pdf"]).fit(Some("text"), "text/plain"));
        assert!(kinds(&["Image"]).fit(None, "image/jpeg"));
        assert!(kinds(&["image/*"]).fit(None, "image/jpeg"));
        assert!(!kinds(&["image/*"]).fit(None, "imagery/jpeg"));
        assert!(kinds(&["audio", "image/jpeg"]).fit(None, "image/jpeg"));
        assert!(!kinds(&["image/png"]).fit(None, "image/jpeg"));
        assert_eq!(Kinds::parse::<&str>(&[]), Ok(None));
    }

    #[test]
    fn a_word_that_is_no_kind_is_refused_with_those_that_are() {
        let refused = Kinds::parse(&["pdf", "pfd"]).expect_err("it is misspelt").to_string();
        assert!(
            refused.contains("\"pfd\"") && refused.contains("epub") && refused.contains("audio"),
            "{refused}"
        );
        assert!(Kinds::parse(&["/"]).is_err());
        assert!(Kinds::parse(&[""]).is_err());
    }
}
