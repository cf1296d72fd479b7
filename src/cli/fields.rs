//! What is said of a document: for each field the word that counts, who said it and since when, and the words it beats.

use serde_json::{Value, json};

use super::edited::agent;
use super::output::{local_time, rfc3339};
use crate::model::document::ranked;
use crate::model::path::display_name;
use crate::model::{Annotation, Source};

/// All words, those of a field in a row, the one that counts first.
pub(super) fn json(annotations: &[Annotation]) -> Vec<Value> {
    ranked(annotations)
        .into_values()
        .flat_map(|words| {
            words.into_iter().enumerate().map(|(at, word)| {
                json!({
                    "field": word.field,
                    "values": word.values,
                    "source": word.source,
                    "agent": agent(word),
                    "confidence": word.confidence,
                    "updated_at": rfc3339(word.updated_at),
                    "effective": at == 0,
                })
            })
        })
        .collect()
}

/// Lines for people.
pub(super) fn lines(annotations: &[Annotation]) -> Vec<String> {
    let mut lines = Vec::new();
    for (field, words) in ranked(annotations) {
        for (at, word) in words.into_iter().enumerate() {
            let values = values(word);
            lines.push(if at == 0 && word.source == Source::Path {
                format!("  {:<10} {values}  ({})", field.as_str(), said_by(word))
            } else if at == 0 {
                format!(
                    "  {:<10} {values}  ({}, since {})",
                    field.as_str(),
                    said_by(word),
                    local_time(word.updated_at)
                )
            } else {
                format!("  {:<10} beats {values}  ({})", "", said_by(word))
            });
        }
    }
    lines
}

fn values(word: &Annotation) -> String {
    if word.values.is_empty() { "none".to_owned() } else { display_name(word.values.join("; ").as_bytes()) }
}

/// Who says so: the source, of a command its name, and how sure it is where it is not.
pub(super) fn said_by(word: &Annotation) -> String {
    let mut said = word.source.to_string();
    if let Some(agent) = agent(word) {
        said.push_str(&format!(" {agent}"));
    }
    if word.confidence < 1.0 {
        said.push_str(&format!(", confidence {:.2}", word.confidence));
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Field;

    fn word(field: Field, source: Source, agent: &str, values: &[&str], confidence: f64) -> Annotation {
        Annotation {
            field,
            values: values.iter().map(|value| (*value).to_owned()).collect(),
            source,
            agent: agent.to_owned(),
            confidence,
            updated_at: 0,
        }
    }

    // E4
    #[test]
    fn every_word_tells_who_said_it_and_which_it_beats() {
        let said = [
            word(Field::Title, Source::Extractor, "", &["untitled.doc"], 1.0),
            word(Field::Title, Source::Person, "", &["The Title"], 1.0),
            word(Field::Tags, Source::Command, "tagger", &["a", "b"], 0.7),
            word(Field::Tags, Source::Person, "", &[], 1.0),
        ];
        let lines: Vec<String> =
            lines(&said).into_iter().map(|line| line.replace(&local_time(0), "DATE")).collect();
        assert_eq!(
            lines,
            [
                "  title      The Title  (person, since DATE)",
                "             beats untitled.doc  (extractor)",
                "  tags       none  (person, since DATE)",
                "             beats a; b  (command tagger, confidence 0.70)",
            ]
        );
        let json = json(&said);
        assert_eq!(json[0]["effective"], true);
        assert_eq!(json[1]["effective"], false);
        assert_eq!(json[3]["agent"], "tagger");
        assert_eq!(json[2]["updated_at"], "1970-01-01T00:00:00Z");
    }
}
