//! What a card can hold. Pure.

use unicode_normalization::UnicodeNormalization;

use crate::model::{Field, Privacy};

/// The longest value of most fields, in bytes.
pub const VALUE_BYTES: usize = 4 << 10;
/// The longest note or description, in bytes.
pub const TEXT_BYTES: usize = 64 << 10;
/// The longest list.
pub const MEMBERS: usize = 1000;

/// A value that a card cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub struct ValueError {
    /// Of which field.
    pub field: Field,
    /// What is the matter with it.
    pub fault: Fault,
}

/// What is the matter with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing is written there.
    #[error("an empty value")]
    Empty,
    /// A field of one value got several.
    #[error("it holds one value, not {0}")]
    Several(usize),
    /// A field of one value was treated as a list.
    #[error("it holds one value and is no list")]
    NoList,
    /// Something that terminals and spreadsheets obey.
    #[error("it holds a control character ({:?})", .0)]
    Control(char),
    /// Longer than is sensible.
    #[error("{bytes} bytes are too long, {most} is the most")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What it may have.
        most: usize,
    },
    /// A list that is longer than is sensible.
    #[error("{0} values are too many, {MEMBERS} is the most")]
    TooMany(usize),
    /// None of the three words.
    #[error("{0:?} is none of local_only, redacted, full")]
    NoPrivacy(String),
    /// Whether a document may leave is a question that has an answer.
    #[error("it cannot be empty; full says that the document may leave")]
    NoPrivacyAtAll,
}

/// Whether a field holds text of several lines.
#[must_use]
pub const fn has_lines(field: Field) -> bool {
    matches!(field, Field::Notes | Field::Description)
}

/// A value as it is kept: composed characters (NFC), no space round it, one kind of line break.
///
/// # Errors
/// What a card cannot hold.
pub fn checked(field: Field, typed: &str) -> Result<String, ValueError> {
    let fail = |fault| ValueError { field, fault };
    let value = lines(typed).nfc().collect::<String>().trim().to_owned();
    let obeyed = |char: &char| char.is_control() && !(has_lines(field) && matches!(char, '\n' | '\t'));
    if let Some(char) = value.chars().find(obeyed) {
        return Err(fail(Fault::Control(char)));
    }
    let most = if has_lines(field) { TEXT_BYTES } else { VALUE_BYTES };
    match value.len() {
        0 => Err(fail(Fault::Empty)),
        bytes if bytes > most => Err(fail(Fault::TooLong { bytes, most })),
        _ if field == Field::Privacy && value.parse::<Privacy>().is_err() => {
            Err(fail(Fault::NoPrivacy(value)))
        }
        _ => Ok(value),
    }
}

/// Values as they are kept: each checked, none twice.
///
/// # Errors
/// What a card cannot hold.
pub fn all_checked(field: Field, typed: &[impl AsRef<str>]) -> Result<Vec<String>, ValueError> {
    let mut values: Vec<String> = Vec::with_capacity(typed.len());
    for one in typed {
        let value = checked(field, one.as_ref())?;
        if !values.contains(&value) {
            values.push(value);
        }
    }
    counted(field, &values)?;
    Ok(values)
}

/// Refuses more values than a field can hold.
///
/// # Errors
/// [`Fault::Several`], [`Fault::TooMany`].
pub fn counted(field: Field, values: &[String]) -> Result<(), ValueError> {
    let fault = match values.len() {
        several if several > 1 && !field.is_list() => Fault::Several(several),
        many if many > MEMBERS => Fault::TooMany(many),
        _ => return Ok(()),
    };
    Err(ValueError { field, fault })
}

/// Values as they are shown and compared, whoever said them: a field of one value has one, no space round any, nothing that
/// a terminal or a spreadsheet obeys. What is kept by [`checked`] stays as it is.
#[must_use]
pub fn plain(field: Field, values: &[String]) -> Vec<String> {
    let one = |value: &String| -> Option<String> {
        let text: String = lines(value)
            .chars()
            .filter_map(|char| match char {
                '\n' | '\t' if has_lines(field) => Some(char),
                '\n' | '\t' => Some(' '),
                char if char.is_control() => None,
                char => Some(char),
            })
            .nfc()
            .collect();
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let plain: Vec<String> = values.iter().filter_map(one).collect();
    if field.is_list() || plain.len() < 2 { plain } else { vec![plain.join("; ")] }
}

fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // E4
    #[rstest]
    #[case(Field::Title, "  The Title ", Ok("The Title"))]
    #[case(Field::Title, "Cafe\u{301}", Ok("Caf\u{e9}"))]
    #[case(Field::Title, " ", Err(Fault::Empty))]
    #[case(Field::Title, "a\u{1b}[31m", Err(Fault::Control('\u{1b}')))]
    #[case(Field::Title, "a\nb", Err(Fault::Control('\n')))]
    #[case(Field::Notes, "a\r\nb\tc", Ok("a\nb\tc"))]
    #[case(Field::Notes, "a\0", Err(Fault::Control('\0')))]
    #[case(Field::Date, "c. 1920, spring", Ok("c. 1920, spring"))]
    #[case(Field::Privacy, "redacted", Ok("redacted"))]
    #[case(Field::Privacy, "secret", Err(Fault::NoPrivacy("secret".to_owned())))]
    fn a_value_is_kept_as_a_card_can_hold_it(
        #[case] field: Field,
        #[case] typed: &str,
        #[case] kept: Result<&str, Fault>,
    ) {
        let kept = kept.map(str::to_owned).map_err(|fault| ValueError { field, fault });
        assert_eq!(checked(field, typed), kept);
    }

    // E4
    #[test]
    fn what_is_too_long_or_too_much_is_refused() {
        let long = "x".repeat(VALUE_BYTES + 1);
        assert!(matches!(checked(Field::Title, &long), Err(ValueError { fault: Fault::TooLong { .. }, .. })));
        assert!(checked(Field::Notes, &long).is_ok());
        assert!(all_checked(Field::Title, &["a", "b"]).is_err());
        assert_eq!(all_checked(Field::Tags, &["a", "b", "a "]).unwrap(), ["a", "b"]);
        let many: Vec<String> = (0..=MEMBERS).map(|n| n.to_string()).collect();
        assert!(all_checked(Field::Tags, &many).is_err());
    }

    #[test]
    fn plain_values_have_nothing_that_is_obeyed() {
        let said = [" a\u{7}b ".to_owned(), String::new(), "c\nd".to_owned()];
        assert_eq!(plain(Field::Tags, &said), ["ab", "c d"]);
        assert_eq!(plain(Field::Title, &said), ["ab; c d"]);
        assert_eq!(plain(Field::Notes, &["a\r\nb".to_owned()]), ["a\nb"]);
    }
}
