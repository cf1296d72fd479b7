//! What must be true of every answer, whatever was in the file.

use std::collections::BTreeSet;
use std::time::Duration;

use shelflist::enrich::{ChildError, Extraction, Limits, Outcome};
use shelflist::model::ProblemKind;
use unicode_normalization::is_nfc;

/// Beyond the time limit: starting a worker, reading the file, and a computer that has other things to do.
const MARGIN: Duration = Duration::from_secs(10);
/// Longest value of a field, in bytes, and most values of one.
const LONGEST_VALUE: usize = 4096;
const MOST_VALUES: usize = 100;
/// Longest word on what is wrong with a file, in bytes: it is kept and shown.
const LONGEST_MESSAGE: usize = 8192;

/// Everything that must not be, in words.
pub(crate) fn wrong_with(
    answer: &Result<Outcome, ChildError>,
    took: Duration,
    limits: Limits,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if took > limits.timeout + MARGIN {
        wrong.push(format!("it took {took:?}"));
    }
    match answer {
        // The file is there, nobody changes it, and nobody shoots the worker.
        Err(error) => wrong.push(format!("no outcome: {error}")),
        Ok(Outcome::Extracted(extraction)) => wrong_with_extraction(extraction, limits, &mut wrong),
        Ok(Outcome::Unsupported { mime }) => check(&mut wrong, !mime.is_empty(), || "no type".to_owned()),
        Ok(Outcome::Failed { kind, message, .. }) => {
            check(&mut wrong, !message.is_empty(), || "a failure without a word".to_owned());
            check(&mut wrong, message.len() <= LONGEST_MESSAGE, || {
                format!("a failure with a word of {} bytes", message.len())
            });
            match kind {
                ProblemKind::Damaged | ProblemKind::Encrypted | ProblemKind::TooLarge => {}
                kind => wrong.push(format!("{kind}: {message}")),
            }
        }
    }
    wrong
}

fn wrong_with_extraction(extraction: &Extraction, limits: Limits, wrong: &mut Vec<String>) {
    let Extraction { mime, extractor, extractor_version: _, fields, text, truncated: _ } = extraction;
    check(wrong, !mime.is_empty(), || "no type".to_owned());
    let known = shelflist::enrich::extractors();
    check(wrong, known.contains(&extractor.as_str()), || format!("unknown extractor {extractor}"));
    check(wrong, text.len() as u64 <= limits.text_bytes, || format!("text of {} bytes", text.len()));
    let control = text.chars().find(|char| char.is_control() && !matches!(char, '\n' | '\t'));
    check(wrong, control.is_none(), || format!("control character {control:?} in the text"));
    check(wrong, !text.contains('\u{feff}'), || "a byte order mark in the text".to_owned());
    check(wrong, is_nfc(text), || "text that is not composed".to_owned());
    check(wrong, fields.is_sorted_by_key(|(field, _)| *field), || "fields out of order".to_owned());
    let mut seen = BTreeSet::new();
    for (field, values) in fields {
        check(wrong, seen.insert(*field), || format!("{field} twice"));
        check(wrong, !values.is_empty(), || format!("{field} without a value"));
        let most = if field.is_list() { MOST_VALUES } else { 1 };
        check(wrong, values.len() <= most, || format!("{field} with {} values", values.len()));
        let distinct: BTreeSet<&String> = values.iter().collect();
        check(wrong, distinct.len() == values.len(), || format!("{field} with the same value twice"));
        for value in values {
            let is_tidy = !value.is_empty()
                && value.len() <= LONGEST_VALUE
                && value.trim() == value
                && !value.contains(char::is_control)
                && is_nfc(value);
            check(wrong, is_tidy, || format!("{field} is {:?}", value.chars().take(80).collect::<String>()));
        }
    }
}

fn check(wrong: &mut Vec<String>, is_right: bool, what: impl FnOnce() -> String) {
    if !is_right {
        wrong.push(what());
    }
}
