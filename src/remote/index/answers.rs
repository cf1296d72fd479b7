//! Stores that answer questions out of what they hold.

use ulid::Ulid;

use crate::model::filter::Filter;
use crate::remote::{ObjectKey, StoreError};

/// An index that answers questions in words, and says what it has them from.
pub trait Answers: Send + Sync {
    /// Answers a question out of the documents whose cards fit the filter.
    ///
    /// # Errors
    /// The store's trouble; [`StoreError::Refused`] where it will not answer this.
    fn ask(&self, question: &str, filter: &Filter) -> Result<Answer, StoreError>;
}

/// What was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// In words.
    pub text: String,
    /// Who answered: a model's name.
    pub model: String,
    /// The passages that it has it from, the nearest first; none where it does not say.
    pub passages: Vec<Passage>,
    /// Which of its words it has from which passage.
    pub supports: Vec<Support>,
}

/// A passage that an answer was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// Of which document, where it says so.
    pub document: Option<Ulid>,
    /// Of which content of it, where it says so: the key that was written beside it. A former content stays until it is cleaned
    /// up, and answers are made of it, too.
    pub key: Option<ObjectKey>,
    /// What that is called there.
    pub title: String,
    /// Its words.
    pub text: String,
    /// On which page, where it says so.
    pub page: Option<u64>,
}

/// A piece of an answer, and what it has it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// Where the piece ends: a byte of the answer's text, between two characters.
    pub until: usize,
    /// Places in [`Answer::passages`], each once, in order.
    pub passages: Vec<usize>,
}
