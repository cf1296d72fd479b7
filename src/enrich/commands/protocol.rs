//! What is said to a command of the user and what it answers: one JSON object a line, both ways. Described for those who
//! write such commands in docs/scripting.md.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::{fields, normal};
use crate::catalog::answers::Facts;
use crate::catalog::documents::Said;
use crate::model::Field;

/// Raised when a line means something else than it did before.
const PROTOCOL: u32 = 1;

/// A question, as it is written down. What may not be told is `null`, so that a command that wants it notices.
#[derive(Debug, Serialize)]
struct Question<'a> {
    protocol: u32,
    id: String,
    content_hash: String,
    mime: Option<&'a str>,
    fields: &'a BTreeMap<Field, Vec<String>>,
    text: Option<&'a str>,
    text_truncated: bool,
    paths: Option<Vec<String>>,
}

/// The line that asks about a content.
pub(super) fn question(number: u64, content_hash: [u8; 32], facts: &Facts) -> Vec<u8> {
    let whole = facts.whole.as_ref();
    let question = Question {
        protocol: PROTOCOL,
        id: number.to_string(),
        content_hash: blake3::Hash::from_bytes(content_hash).to_hex().to_string(),
        mime: facts.mime.as_deref(),
        fields: &facts.fields,
        text: whole.map(|whole| whole.text.as_str()),
        text_truncated: whole.is_some_and(|whole| whole.truncated),
        paths: whole.map(|whole| whole.paths.iter().map(|path| path.json_text()).collect()),
    };
    let mut line = serde_json::to_vec(&question).expect("strings, numbers and maps of them are JSON");
    line.push(b'\n');
    line
}

/// What a command says to one question.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// These fields; none, where it has nothing to say.
    Said(Vec<Said>),
    /// That it cannot.
    Error {
        /// Why, in its words.
        message: String,
        /// Whether it may be able to another time.
        retry: bool,
    },
    /// Something that it may not say; nothing of it is believed.
    Refused(String),
}

/// How much of a command's own words is kept, in bytes.
const WORDS: usize = 500;

/// Reads an answer: to which question, and what it says.
///
/// # Errors
/// It is no answer at all. The line itself is not quoted: it may hold somebody's text.
pub(super) fn answer(line: &[u8]) -> Result<(u64, Reply), &'static str> {
    let Ok(Value::Object(mut answer)) = serde_json::from_slice(line) else {
        return Err("it wrote a line that is no JSON object");
    };
    let Some(number) = answer.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok()) else {
        return Err("it wrote a line without the id of a question");
    };
    let reply = match (answer.remove("error"), answer.remove("fields")) {
        (Some(Value::Null) | None, Some(fields)) => match said(fields, answer.get("confidence")) {
            Ok(said) => Reply::Said(said),
            Err(why) => Reply::Refused(why),
        },
        (Some(Value::String(mut message)), _) => {
            message.truncate(message.floor_char_boundary(WORDS));
            let retry = answer.get("retry").and_then(Value::as_bool).unwrap_or(false);
            Reply::Error { message, retry }
        }
        _ => Reply::Refused("the answer has neither fields nor an error in words".to_owned()),
    };
    Ok((number, reply))
}

fn said(given: Value, confidence: Option<&Value>) -> Result<Vec<Said>, String> {
    let Value::Object(given) = given else { return Err("its fields are no JSON object".to_owned()) };
    let usual = match confidence {
        None | Some(Value::Null) => 1.0,
        Some(value) => share(value).ok_or("its confidence is no number from 0 to 1")?,
    };
    let mut all: BTreeMap<Field, Said> = BTreeMap::new();
    for (name, value) in given {
        // Not by the words of the line: a name can be as long as the line.
        let shown = &name[..name.floor_char_boundary(50)];
        let field: Field = name.parse().map_err(|_| format!("there is no field {shown:?}"))?;
        if !field.is_for_commands() {
            return Err(format!("the field {shown:?} is not for a command to say"));
        }
        let (value, confidence) = match value {
            Value::Object(mut object) => {
                let confidence = match object.get("confidence") {
                    None | Some(Value::Null) => usual,
                    Some(value) => share(value)
                        .ok_or_else(|| format!("the confidence of {shown:?} is no number from 0 to 1"))?,
                };
                (object.remove("value").unwrap_or_default(), confidence)
            }
            value => (value, usual),
        };
        let values =
            values(value).ok_or_else(|| format!("the value of {shown:?} is no text and no list of texts"))?;
        if values.len() > 1 && !field.is_list() {
            return Err(format!("the field {shown:?} takes one value, not {}", values.len()));
        }
        let given: Vec<(Field, String)> = values.into_iter().map(|value| (field, value)).collect();
        // Empty is nothing said; that a field is empty is a person's word.
        if let Some((_, values)) = fields::tidy(&given).pop() {
            all.insert(field, Said { field, values, confidence });
        }
    }
    Ok(all.into_values().collect())
}

fn values(value: Value) -> Option<Vec<String>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(value) => Some(vec![value]),
        Value::Array(values) => values
            .into_iter()
            .map(|value| if let Value::String(value) = value { Some(value) } else { None })
            .filter(|value| value.as_deref().is_none_or(|value| normal::value(value).is_some()))
            .collect(),
        _ => None,
    }
}

fn share(value: &Value) -> Option<f64> {
    value.as_f64().filter(|share| (0.0..=1.0).contains(share))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::catalog::answers::Whole;
    use crate::model::RelPath;

    fn reply(line: &str) -> Reply {
        let (number, reply) = answer(line.as_bytes()).expect("it is an answer");
        assert_eq!(number, 7);
        reply
    }

    fn words(of: &str) -> Vec<String> {
        vec![of.to_owned()]
    }

    // E3
    #[test]
    fn fields_come_as_text_as_list_and_with_a_confidence_each() {
        let said = reply(
            r#"{"id": "7", "fields": {"title": " A  Title\n", "tags": ["a", "", "b", "a"],
                "date": {"value": "1999", "confidence": 0.25}, "author": null, "place": ""}, "confidence": 0.5, "cost": 3}"#,
        );
        assert_eq!(
            said,
            Reply::Said(vec![
                Said { field: Field::Title, values: words("A Title"), confidence: 0.5 },
                Said { field: Field::Date, values: words("1999"), confidence: 0.25 },
                Said { field: Field::Tags, values: vec!["a".to_owned(), "b".to_owned()], confidence: 0.5 },
            ])
        );
        assert_eq!(reply(r#"{"id": "7", "fields": {}}"#), Reply::Said(Vec::new()));
    }

    // E3: unknown fields are refused by name; nothing else of the answer counts
    #[rstest]
    #[case(r#"{"title": "A", "titel": "B"}"#, "there is no field \"titel\"")]
    #[case(r#"{"privacy": "full"}"#, "the field \"privacy\" is not for a command to say")]
    #[case(r#"{"notes": "x"}"#, "the field \"notes\" is not for a command to say")]
    #[case(r#"{"authority_tier": "primary"}"#, "the field \"authority_tier\" is not for a command to say")]
    #[case(r#"{"title": ["A", "B"]}"#, "the field \"title\" takes one value, not 2")]
    #[case(r#"{"title": 5}"#, "the value of \"title\" is no text and no list of texts")]
    #[case(r#"{"tags": ["a", 5]}"#, "the value of \"tags\" is no text and no list of texts")]
    #[case(
        r#"{"tags": {"value": "a", "confidence": 1.5}}"#,
        "the confidence of \"tags\" is no number from 0 to 1"
    )]
    #[case("[]", "its fields are no JSON object")]
    fn what_may_not_be_said_is_refused_by_name(#[case] fields: &str, #[case] why: &str) {
        assert_eq!(reply(&format!(r#"{{"id": "7", "fields": {fields}}}"#)), Reply::Refused(why.to_owned()));
    }

    // E3
    #[test]
    fn an_error_is_told_in_the_commands_words() {
        let error = reply(r#"{"id": "7", "error": "not found", "fields": {"title": "A"}}"#);
        assert_eq!(error, Reply::Error { message: "not found".to_owned(), retry: false });
        let later = reply(r#"{"id": "7", "error": "service away", "retry": true}"#);
        assert_eq!(later, Reply::Error { message: "service away".to_owned(), retry: true });
        for neither in [r#"{"id": "7"}"#, r#"{"id": "7", "error": 5}"#] {
            assert!(matches!(reply(neither), Reply::Refused(_)), "{neither}");
        }
    }

    #[test]
    fn a_line_that_is_no_answer_is_none_and_is_not_quoted() {
        for line in ["", "secret", "[1]", "{}", r#"{"id": 7}"#, r#"{"id": "x"}"#] {
            let why = answer(line.as_bytes()).expect_err("no answer");
            assert!(!why.contains("secret"));
        }
    }

    // S8
    #[test]
    fn a_question_of_a_redacted_document_has_no_text_and_no_paths() {
        let mut facts = Facts {
            mime: Some("text/plain".to_owned()),
            fields: BTreeMap::from([(Field::Title, words("A\nB"))]),
            whole: Some(Whole {
                text: "secret\n".to_owned(),
                truncated: true,
                paths: vec![RelPath::from_bytes(b"a/secret.txt".to_vec())],
            }),
        };
        let ask = |facts: &Facts| {
            let line = question(3, [0xab; 32], facts);
            assert_eq!(line.iter().filter(|&&byte| byte == b'\n').count(), 1);
            serde_json::from_slice::<Value>(&line).expect("it is JSON")
        };
        assert_eq!(
            ask(&facts),
            serde_json::json!({
                "protocol": 1, "id": "3", "content_hash": "ab".repeat(32), "mime": "text/plain",
                "fields": { "title": ["A\nB"] }, "text": "secret\n", "text_truncated": true, "paths": ["a/secret.txt"],
            })
        );
        facts.whole = None;
        let redacted = ask(&facts);
        assert!(!redacted.to_string().contains("secret"));
        assert_eq!((&redacted["text"], &redacted["paths"]), (&Value::Null, &Value::Null));
    }

    proptest! {
        // E3: whatever a command writes, nobody panics
        #[test]
        fn any_line_is_read(line in "\\PC*", id in 0u64..9, fields in "[{\\[\"a-z:,0-9\\]}]{0,40}") {
            _ = answer(line.as_bytes());
            _ = answer(format!(r#"{{"id": "{id}", "fields": {fields}}}"#).as_bytes());
        }
    }
}
