//! Embeddings by a server that speaks OpenAI's `/v1/embeddings`, as Ollama, vLLM, llama.cpp and many others do, too.
//!
//! Nothing that it answers is taken on trust: as many embeddings as there were texts, each number of one only once, all of one
//! length, now and ever after. Some servers answer in another order than they were asked; `index` says which is which.

use std::sync::OnceLock;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;

use super::Embedder;
use crate::remote::credentials::openai_key;
use crate::remote::http::Network;
use crate::remote::index::json::Json;
use crate::remote::{Access, AwayReason, StoreError};

/// Texts a request. OpenAI takes 2,048, smaller servers far fewer at once; more makes no server faster.
const BATCH: usize = 64;
/// How long a model may think about a text, beyond what the network is given: a small computer's takes a second.
const THINKS: Duration = Duration::from_secs(2);

/// A model on a server.
#[derive(Debug)]
pub(super) struct Endpoint {
    model: String,
    url: Url,
    json: Json,
    /// Learned from the first answer.
    dimension: OnceLock<usize>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    /// Left out by some servers; then the order is the one that was asked in.
    index: Option<usize>,
    embedding: Vec<f32>,
}

impl Endpoint {
    /// A way to it. Asks it nothing yet.
    pub(super) fn new(base: &str, model: &str, access: &Access, store: &str) -> Result<Self, StoreError> {
        let refused = |reason: &str| StoreError::Refused {
            store: store.to_owned(),
            doing: "be opened".to_owned(),
            reason: reason.to_owned(),
            source: None,
        };
        let url = Url::parse(&format!("{}/embeddings", base.trim_end_matches('/')))
            .map_err(|_| refused("that is no URL"))?;
        let mut headers = HeaderMap::new();
        let key = openai_key();
        if let Some(key) = &key {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", key.expose()))
                .map_err(|_| refused("OPENAI_API_KEY holds what no key can"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let json = Json::new(access.patience, headers, key, store.to_owned())?;
        Ok(Endpoint { model: model.to_owned(), url, json, dimension: OnceLock::new() })
    }

    fn embed_batch(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, StoreError> {
        const DOING: &str = "make embeddings";
        let body = json!({ "model": self.model, "input": texts, "encoding_format": "float" });
        let body = serde_json::to_vec(&body).expect("texts and a name are JSON");
        let thinks = THINKS * u32::try_from(texts.len()).unwrap_or(u32::MAX);
        let answer = self.json.ask(Method::POST, self.url.clone(), Some(body), thinks).map_err(
            |refusal| match self.json.error(&refusal, DOING) {
                // Not about this text: the store answers all the while, and would be taken for well.
                StoreError::Away { store, source, .. } if refusal.network == Some(Network::Connect) => {
                    StoreError::Away { store, reason: AwayReason::NoEmbedder, source }
                }
                error => error,
            },
        )?;
        let answer: Answer = self.json.read(&answer, DOING)?;
        in_order(answer.data, texts.len(), &self.dimension).map_err(|reason| StoreError::Refused {
            store: self.json.store().to_owned(),
            doing: format!("work with the embeddings of model {}", self.model),
            reason,
            source: None,
        })
    }
}

impl Embedder for Endpoint {
    fn name(&self) -> &str {
        &self.model
    }

    fn dimension(&self) -> Option<usize> {
        self.dimension.get().copied()
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, StoreError> {
        let mut all = Vec::with_capacity(texts.len());
        for batch in texts.chunks(BATCH) {
            all.extend(self.embed_batch(batch)?);
        }
        Ok(all)
    }
}

/// The embeddings in the order of their texts, or why they cannot be those of the texts.
fn in_order(
    answered: Vec<Embedding>,
    asked: usize,
    dimension: &OnceLock<usize>,
) -> Result<Vec<Vec<f32>>, String> {
    if answered.len() != asked {
        return Err(format!("{} came for {asked} texts", answered.len()));
    }
    let mut ordered: Vec<Option<Vec<f32>>> = vec![None; asked];
    for (at, Embedding { index, embedding }) in answered.into_iter().enumerate() {
        if embedding.is_empty() || !embedding.iter().all(|number| number.is_finite()) {
            return Err("one has no numbers, or such as are none".to_owned());
        }
        let length = *dimension.get_or_init(|| embedding.len());
        if embedding.len() != length {
            return Err(format!("one has {} numbers, others {length}", embedding.len()));
        }
        match ordered.get_mut(index.unwrap_or(at)) {
            Some(place @ None) => *place = Some(embedding),
            Some(Some(_)) => return Err("two say that they are of the same text".to_owned()),
            None => return Err("one says that it is of a text that was not asked for".to_owned()),
        }
    }
    Ok(ordered.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answered: &[(Option<usize>, &[f32])], asked: usize) -> Result<Vec<Vec<f32>>, String> {
        let answered = answered
            .iter()
            .map(|(index, numbers)| Embedding { index: *index, embedding: numbers.to_vec() })
            .collect();
        in_order(answered, asked, &OnceLock::new())
    }

    // S10
    #[test]
    fn embeddings_belong_to_the_texts_whose_number_they_bear() {
        let ordered = of(&[(Some(1), &[1.0, 0.0]), (Some(0), &[0.0, 1.0])], 2).unwrap();
        assert_eq!(ordered, [[0.0, 1.0], [1.0, 0.0]]);
        assert_eq!(of(&[(None, &[1.0]), (None, &[2.0])], 2).unwrap(), [[1.0], [2.0]]);
    }

    // S10
    #[test]
    fn embeddings_that_cannot_be_those_of_the_texts_are_refused() {
        for (answered, asked, why) in [
            (&[(Some(0), &[1.0_f32][..])][..], 2, "1 came for 2"),
            (&[(Some(0), &[1.0]), (Some(0), &[1.0])], 2, "the same text"),
            (&[(Some(0), &[1.0]), (Some(2), &[1.0])], 2, "not asked for"),
            (&[(Some(0), &[1.0]), (Some(1), &[1.0, 2.0])], 2, "one has 2 numbers, others 1"),
            (&[(Some(0), &[])], 1, "no numbers"),
            (&[(Some(0), &[f32::NAN])], 1, "no numbers"),
        ] {
            let error = of(answered, asked).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
