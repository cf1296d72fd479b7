//! What is asked of one field, and what the person's word of it is then. Pure.

use super::value::{Fault, ValueError, all_checked, checked, counted, plain};
use crate::catalog::edits::Word;
use crate::model::{Annotation, Field, Source};

/// What is asked of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These are its values.
    Set(Vec<String>),
    /// It has none, whatever weaker sources say, now or later.
    Empty,
    /// What the person said is taken back: the next weaker word counts again.
    TakeBack,
    /// It is to show nothing: as [`Change::TakeBack`] where nothing weaker would show, else as [`Change::Empty`].
    Blank,
    /// A list without some members and with some more.
    Members {
        /// Put at its end where they are not in it.
        add: Vec<String>,
        /// Taken out of it.
        remove: Vec<String>,
    },
    /// A text with one more line.
    Append(String),
}

impl Change {
    /// Sets values, once each was checked.
    ///
    /// # Errors
    /// What a card cannot hold.
    pub fn set(field: Field, typed: &[impl AsRef<str>]) -> Result<Self, ValueError> {
        if typed.is_empty() {
            return Err(ValueError { field, fault: Fault::Empty });
        }
        Ok(Change::Set(all_checked(field, typed)?))
    }

    /// Says that there is none.
    ///
    /// # Errors
    /// [`Fault::NoPrivacyAtAll`].
    pub fn empty(field: Field) -> Result<Self, ValueError> {
        match field {
            Field::Privacy => Err(ValueError { field, fault: Fault::NoPrivacyAtAll }),
            _ => Ok(Change::Empty),
        }
    }

    /// Changes a list.
    ///
    /// # Errors
    /// What a card cannot hold, and a field that is no list.
    pub fn members<T: AsRef<str>>(field: Field, add: &[T], remove: &[T]) -> Result<Self, ValueError> {
        if !field.is_list() {
            return Err(ValueError { field, fault: Fault::NoList });
        }
        Ok(Change::Members { add: all_checked(field, add)?, remove: all_checked(field, remove)? })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// What a card cannot hold.
    pub fn append(field: Field, typed: &str) -> Result<Self, ValueError> {
        Ok(Change::Append(checked(field, typed)?))
    }
}

/// What the person says of a field, of everything that is said of a document.
#[must_use]
pub fn persons_word(annotations: &[Annotation], field: Field) -> Word {
    annotations
        .iter()
        .find(|annotation| annotation.field == field && annotation.source == Source::Person)
        .map(|annotation| annotation.values.clone())
}

/// What the person says of a field once the change is made. `words` is everything that is said of it, the strongest first.
///
/// # Errors
/// A list or a text that becomes too long.
pub fn decide(field: Field, change: &Change, words: &[&Annotation]) -> Result<Word, ValueError> {
    let present = words.iter().find(|word| word.source == Source::Person).map(|word| word.values.clone());
    let counts = words.first().map_or(&[][..], |word| &word.values);
    Ok(match change {
        Change::Set(values) => Some(values.clone()),
        Change::Empty => Some(Vec::new()),
        Change::TakeBack => None,
        Change::Blank => blank(words),
        Change::Members { add, remove } => {
            // Against what is shown: a librarian who adds a tag to those a command found means to keep them.
            let shown = plain(field, counts);
            let mut values: Vec<String> =
                shown.iter().filter(|value| !remove.contains(value)).cloned().collect();
            values
                .extend(add.iter().filter(|value| !shown.contains(value) || remove.contains(value)).cloned());
            counted(field, &values)?;
            match values {
                values if values == shown => present,
                values if values.is_empty() => blank(words),
                values => Some(values),
            }
        }
        Change::Append(line) => {
            let text = match plain(field, counts).pop() {
                Some(text) => checked(field, &format!("{text}\n{line}"))?,
                None => line.clone(),
            };
            Some(vec![text])
        }
    })
}

fn blank(words: &[&Annotation]) -> Word {
    let weaker = words.iter().find(|word| word.source != Source::Person);
    weaker.is_some_and(|word| !word.values.is_empty()).then(Vec::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn word(source: Source, values: &[&str]) -> Annotation {
        Annotation {
            field: Field::Tags,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            source,
            agent: String::new(),
            confidence: 1.0,
            updated_at: 0,
        }
    }

    fn members(add: &[&str], remove: &[&str]) -> Change {
        Change::members(Field::Tags, add, remove).unwrap()
    }

    // E4
    #[rstest]
    #[case::set(Change::set(Field::Tags, &["c"]).unwrap(), None, None, Some(vec!["c"]))]
    #[case::emptied(Change::Empty, None, None, Some(vec![]))]
    #[case::taken_back(Change::TakeBack, Some(vec!["p"]), Some(vec!["x"]), None)]
    #[case::blank_over_the_file(Change::Blank, Some(vec!["p"]), Some(vec!["x"]), Some(vec![]))]
    #[case::blank_alone(Change::Blank, Some(vec!["p"]), None, None)]
    #[case::added_to_what_is_shown(members(&["c"], &[]), None, Some(vec!["x"]), Some(vec!["x", "c"]))]
    #[case::there_already(members(&["x"], &[]), None, Some(vec!["x"]), None)]
    #[case::not_there(members(&[], &["z"]), Some(vec!["p"]), None, Some(vec!["p"]))]
    #[case::last_one_removed(members(&[], &["p"]), Some(vec!["p"]), None, None)]
    #[case::last_one_of_the_file_removed(members(&[], &["x"]), None, Some(vec!["x"]), Some(vec![]))]
    #[case::in_its_place(members(&["d"], &["p"]), Some(vec!["p", "q"]), None, Some(vec!["q", "d"]))]
    fn a_change_makes_the_persons_word(
        #[case] change: Change,
        #[case] person: Option<Vec<&str>>,
        #[case] file: Option<Vec<&str>>,
        #[case] then: Option<Vec<&str>>,
    ) {
        let words: Vec<Annotation> = [(Source::Person, person), (Source::Extractor, file)]
            .into_iter()
            .filter_map(|(source, values)| values.map(|values| word(source, &values)))
            .collect();
        let then: Word = then.map(|values| values.into_iter().map(str::to_owned).collect());
        assert_eq!(decide(Field::Tags, &change, &words.iter().collect::<Vec<_>>()).unwrap(), then);
    }

    // E4
    #[test]
    fn a_note_is_added_as_a_line() {
        let note = Annotation { field: Field::Notes, ..word(Source::Person, &["first"]) };
        let change = Change::append(Field::Notes, "second ").unwrap();
        let then = |words: &[&Annotation]| decide(Field::Notes, &change, words).unwrap().unwrap();
        assert_eq!(then(&[&note]), ["first\nsecond"]);
        assert_eq!(then(&[]), ["second"]);
        let long = Annotation { values: vec!["x".repeat(super::super::value::TEXT_BYTES)], ..note };
        assert!(decide(Field::Notes, &change, &[&long]).is_err());
    }

    // E4, S8
    #[test]
    fn privacy_is_never_emptied() {
        assert!(Change::empty(Field::Privacy).is_err());
        assert!(Change::set(Field::Privacy, &["secret"]).is_err());
        assert!(Change::members(Field::Privacy, &["full"], &["full"]).is_err());
    }
}
