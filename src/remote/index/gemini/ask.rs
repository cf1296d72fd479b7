//! Questions. There is no call that only searches: a model answers, and what it has it from comes beside the answer, or not.

use serde_json::json;

use super::calls::Server;
use super::wire::{Candidate, Generated, Grounding};
use super::{Gemini, Place, card};
use crate::model::filter::Filter;
use crate::remote::StoreError;
use crate::remote::http::{Http, Patience};
use crate::remote::index::answers::{Answer, Answers, Passage, Support};

/// Passages that the model is given, at most.
const PASSAGES: u32 = 10;
/// So many times longer than other answers may one of a model be silent.
const PATIENCE: u32 = 3;

impl Answers for Gemini {
    fn ask(&self, question: &str, filter: &Filter) -> Result<Answer, StoreError> {
        const DOING: &str = "answer a question";
        let mut search = json!({ "fileSearchStoreNames": [self.resource()?], "topK": PASSAGES });
        if let Some(filter) = card::filter(filter) {
            search["metadataFilter"] = filter.into();
        }
        let body = json!({
            "contents": [{ "role": "user", "parts": [{ "text": question }] }],
            "tools": [{ "fileSearch": search }],
        });
        let model = self.place.model.as_deref().unwrap_or(Place::MODEL);
        // A model thinks before it says its first word.
        let patience = Patience { idle: self.patience.idle * PATIENCE, ..self.patience };
        let server = &Server { http: Http::staying(patience), ..self.server.clone() };
        let request = server.json(server.at(&format!("models/{model}:generateContent")), &body);
        let found = server.find::<Generated>(request, DOING)?;
        let Some(generated) = found else {
            // The store, or the model: both are missing in the same words.
            self.store_is_there(&self.resource()?, DOING)?;
            return Err(
                self.refuses(DOING, format!("it has no model {model:?} (?model= in the store's URL)"))
            );
        };
        let blocked = generated.prompt_feedback.and_then(|feedback| feedback.block_reason);
        let Some(candidate) = generated.candidates.into_iter().next() else {
            let why = blocked.unwrap_or_else(|| "it does not say why".to_owned());
            return Err(self.refuses(DOING, format!("the model gave no answer ({why})")));
        };
        let by = Some(generated.model_version).filter(|name| !name.is_empty());
        answer(candidate, by.unwrap_or_else(|| model.to_owned()))
            .map_err(|why| self.refuses(DOING, format!("the model gave no answer ({why})")))
    }
}

impl Gemini {
    fn refuses(&self, doing: &str, reason: String) -> StoreError {
        StoreError::Refused {
            store: self.server.store.clone(),
            doing: doing.to_owned(),
            reason,
            source: None,
        }
    }
}

/// An answer out of what a model said; why there is none, where it said nothing.
fn answer(candidate: Candidate, model: String) -> Result<Answer, String> {
    let mut text = String::new();
    // Where each part begins: segments are counted from there, in bytes.
    let mut begins = Vec::new();
    for part in &candidate.content.parts {
        begins.push((!part.thought).then_some(text.len()));
        if !part.thought {
            text.push_str(&part.text);
        }
    }
    if text.trim().is_empty() {
        return Err(candidate.finish_reason.unwrap_or_else(|| "it is empty".to_owned()));
    }
    let Grounding { grounding_chunks, grounding_supports } = candidate.grounding_metadata.unwrap_or_default();
    // Chunks of other kinds (the web) are not ours; indices count them all the same.
    let mut places = Vec::new();
    let mut passages = Vec::new();
    for chunk in grounding_chunks {
        places.push(chunk.retrieved_context.is_some().then_some(passages.len()));
        passages.extend(chunk.retrieved_context.map(|context| Passage {
            document: card::document_of(&context.custom_metadata),
            key: card::key_among(&context.custom_metadata),
            title: context.title,
            text: context.text,
            page: context.page_number,
        }));
    }
    let mut supports: Vec<Support> = grounding_supports
        .into_iter()
        .filter_map(|support| {
            let begin = (*begins.get(support.segment.part_index)?)?;
            let until = text.floor_char_boundary(begin.saturating_add(support.segment.end_index));
            let mut of: Vec<usize> =
                support.grounding_chunk_indices.iter().filter_map(|at| *places.get(*at)?).collect();
            of.sort_unstable();
            of.dedup();
            (until > 0 && !of.is_empty()).then_some(Support { until, passages: of })
        })
        .collect();
    supports.sort_by_key(|support| support.until);
    Ok(Answer { text, model, passages, supports })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Answer, String> {
        answer(serde_json::from_str(json).unwrap(), "m".to_owned())
    }

    // S9
    #[test]
    fn what_is_from_where_is_counted_in_bytes_and_in_parts() {
        let answer = read(
            r#"{"content": {"parts": [{"text": "hm", "thought": true}, {"text": "Größe. "}, {"text": "Ja."}]},
                "groundingMetadata": {
                  "groundingChunks": [
                    {"web": {"uri": "x"}},
                    {"retrievedContext": {"title": "a", "text": "p", "pageNumber": 3,
                       "customMetadata": [{"key": "shelf_id", "stringValue": "00000000000000000000000007"}]}},
                    {"retrievedContext": {"title": "b", "customMetadata": [{"key": "shelf_id", "stringValue": "no"}]}}],
                  "groundingSupports": [
                    {"segment": {"partIndex": 2, "endIndex": 3}, "groundingChunkIndices": [2, 1, 2]},
                    {"segment": {"partIndex": 1, "endIndex": 8}, "groundingChunkIndices": [1]},
                    {"segment": {"partIndex": 1, "endIndex": 4}, "groundingChunkIndices": [0, 9]},
                    {"segment": {"partIndex": 9}, "groundingChunkIndices": [1]},
                    {"segment": {"partIndex": 0, "endIndex": 2}, "groundingChunkIndices": [1]},
                    {"segment": {"partIndex": 2, "endIndex": 99999}, "groundingChunkIndices": [1]}]}}"#,
        )
        .unwrap();
        assert_eq!(answer.text, "Größe. Ja.");
        let passages: Vec<_> =
            answer.passages.iter().map(|it| (it.title.as_str(), it.document, it.page)).collect();
        assert_eq!(passages, [("a", Some(ulid::Ulid::from(7)), Some(3)), ("b", None, None)]);
        let supports: Vec<_> =
            answer.supports.iter().map(|it| (&answer.text[..it.until], it.passages.as_slice())).collect();
        let all = "Größe. Ja.";
        assert_eq!(supports, [("Größe.", &[0][..]), (all, &[0, 1]), (all, &[0])]);
    }

    // S9: the model did not search, or found nothing, or does not say. That is an answer without sources.
    #[test]
    fn an_answer_without_grounding_is_an_answer() {
        let answer =
            read(r#"{"content": {"parts": [{"text": "I do not know."}]}, "groundingMetadata": {}}"#).unwrap();
        assert_eq!((answer.text.as_str(), answer.passages.len()), ("I do not know.", 0));
        let answer = read(r#"{"content": {"parts": [{"text": "No."}]}}"#).unwrap();
        assert!(answer.supports.is_empty());
    }

    #[test]
    fn an_answer_of_no_words_says_why() {
        assert_eq!(read(r#"{"finishReason": "SAFETY"}"#), Err("SAFETY".to_owned()));
        let thought =
            r#"{"content": {"parts": [{"text": "hm", "thought": true}]}, "finishReason": "MAX_TOKENS"}"#;
        assert_eq!(read(thought), Err("MAX_TOKENS".to_owned()));
    }
}
