//! What travels: JSON as Google writes it. Numbers of 64 bits are strings, what is zero or empty is left out, and what is not
//! known is passed over.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::remote::index::Readiness;

/// A store.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileSearchStore {
    pub(super) name: String,
    #[serde(default)]
    pub(super) display_name: String,
    #[serde(default, deserialize_with = "time")]
    pub(super) create_time: Option<Timestamp>,
}

/// A page of stores.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Stores {
    pub(super) file_search_stores: Vec<FileSearchStore>,
    pub(super) next_page_token: Option<String>,
}

/// A document.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) name: String,
    #[serde(default)]
    pub(super) state: String,
    /// None where it does not say.
    #[serde(default, deserialize_with = "whole_number")]
    pub(super) size_bytes: Option<u64>,
    #[serde(default, deserialize_with = "time")]
    pub(super) create_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "time")]
    pub(super) expiration_time: Option<Timestamp>,
    #[serde(default)]
    pub(super) custom_metadata: Vec<Metadata>,
    #[serde(default)]
    pub(super) error: Option<Status>,
}

impl Document {
    /// `STATE_ACTIVE`, as it is written today; `ACTIVE` elsewhere in the same interface. A word that nobody knows says
    /// nothing, least of all that it can be found.
    pub(super) fn readiness(&self) -> Readiness {
        let state = self.state.to_ascii_uppercase();
        match state.strip_prefix("STATE_").unwrap_or(&state) {
            "ACTIVE" => Readiness::Searchable,
            "FAILED" => {
                let said = self.error.as_ref().map(|error| error.message.clone());
                Readiness::Failed(
                    said.filter(|said| !said.is_empty())
                        .unwrap_or_else(|| "it says that it could not read it, and not why".to_owned()),
                )
            }
            _ => Readiness::NotYet,
        }
    }
}

/// A page of documents.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Documents {
    pub(super) documents: Vec<Document>,
    pub(super) next_page_token: Option<String>,
}

/// Something that we write beside a document. One of the three values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) string_value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) numeric_value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) string_list_value: Option<StringList>,
}

/// A list among [`Metadata`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StringList {
    pub(super) values: Vec<String>,
}

/// Of metadata, the text under a key.
pub(super) fn text_beside<'a>(metadata: &'a [Metadata], key: &str) -> Option<&'a str> {
    metadata.iter().find(|entry| entry.key == key)?.string_value.as_deref()
}

/// Something long that was begun. What it answers may be there without `done`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) error: Option<Status>,
    pub(super) response: Option<Uploaded>,
}

/// How an upload ended.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Uploaded {
    pub(super) document_name: String,
}

/// An error inside of an answer: google.rpc's codes, not HTTP's.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) code: i64,
    pub(super) message: String,
}

/// The beginning of an upload.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Upload {
    pub(super) display_name: String,
    pub(super) mime_type: &'static str,
    pub(super) custom_metadata: Vec<Metadata>,
}

/// What a model answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Generated {
    pub(super) candidates: Vec<Candidate>,
    pub(super) prompt_feedback: Option<PromptFeedback>,
    pub(super) model_version: String,
}

/// Why it answers nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PromptFeedback {
    pub(super) block_reason: Option<String>,
}

/// One answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Candidate {
    pub(super) content: Content,
    pub(super) finish_reason: Option<String>,
    pub(super) grounding_metadata: Option<Grounding>,
}

/// Its words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Content {
    pub(super) parts: Vec<Part>,
}

/// Some of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    pub(super) text: String,
    /// What the model said to itself.
    pub(super) thought: bool,
}

/// What it has them from.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Grounding {
    pub(super) grounding_chunks: Vec<Chunk>,
    pub(super) grounding_supports: Vec<GroundingSupport>,
}

/// A source of any kind.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Chunk {
    pub(super) retrieved_context: Option<Retrieved>,
}

/// A passage of a document.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Retrieved {
    pub(super) title: String,
    pub(super) text: String,
    pub(super) page_number: Option<u64>,
    pub(super) custom_metadata: Vec<Metadata>,
}

/// Which words are from which sources.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct GroundingSupport {
    pub(super) segment: Segment,
    pub(super) grounding_chunk_indices: Vec<usize>,
}

/// Bytes of a part.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Segment {
    pub(super) part_index: usize,
    pub(super) end_index: usize,
}

/// A time that cannot be read is no reason not to read the rest.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A number, or its text.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(u64),
        Text(String),
    }
    Ok(match Option::<Either>::deserialize(deserializer)? {
        Some(Either::Number(number)) => Some(number),
        Some(Either::Text(text)) => text.parse().ok(),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn document(json: &str) -> Document {
        serde_json::from_str(json).unwrap()
    }

    // S9
    #[test]
    fn what_is_left_out_or_unknown_does_not_matter() {
        let read = document(
            r#"{"name": "fileSearchStores/s/documents/d", "sizeBytes": "145", "createTime": "2026-11-21T01:40:00Z",
                "expirationTime": "2026-11-21T01:40:00.123456789Z", "somethingNew": {"a": [1]},
                "customMetadata": [{"key": "n", "numericValue": 3}, {"key": "shelf_key", "stringValue": "k"}, {"key": "e"}]}"#,
        );
        let beside = |key| text_beside(&read.custom_metadata, key);
        assert_eq!((read.size_bytes, beside("shelf_key"), beside("n")), (Some(145), Some("k"), None));
        assert_eq!(read.create_time.unwrap().to_string(), "2026-11-21T01:40:00Z");
        assert_eq!(read.expiration_time.unwrap().subsec_nanosecond(), 123_456_789);
        let bare = document(r#"{"name": "x", "createTime": "yesterday", "sizeBytes": 7}"#);
        assert_eq!((bare.create_time, bare.size_bytes), (None, Some(7)));
        let none: Documents = serde_json::from_str("{}").unwrap();
        assert!(none.documents.is_empty() && none.next_page_token.is_none());
    }

    // S9
    #[rstest]
    #[case("STATE_ACTIVE", Readiness::Searchable)]
    #[case("ACTIVE", Readiness::Searchable)]
    #[case("active", Readiness::Searchable)]
    #[case("STATE_PENDING", Readiness::NotYet)]
    #[case("PROCESSING", Readiness::NotYet)]
    #[case("STATE_UNSPECIFIED", Readiness::NotYet)]
    #[case("STATE_OF_THE_ART", Readiness::NotYet)]
    #[case("", Readiness::NotYet)]
    fn a_state_is_read_leniently_and_only_active_is_searchable(
        #[case] state: &str,
        #[case] readiness: Readiness,
    ) {
        assert_eq!(document(&format!(r#"{{"name": "x", "state": "{state}"}}"#)).readiness(), readiness);
        let failed = document(r#"{"name": "x", "state": "STATE_FAILED", "error": {"message": "too odd"}}"#);
        assert_eq!(failed.readiness(), Readiness::Failed("too odd".to_owned()));
        let failed = document(r#"{"name": "x", "state": "FAILED"}"#);
        assert!(matches!(failed.readiness(), Readiness::Failed(why) if why.contains("not why")));
    }
}
