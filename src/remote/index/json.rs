//! JSON over HTTP, as indexes and makers of embeddings speak it: one request, one answer, and what a refusal means.

use std::fmt;
use std::io;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use reqwest::Url;
use serde::de::DeserializeOwned;

use crate::remote::http::{Http, Refusal, body_of};
use crate::remote::runtime::Waiter;
use crate::remote::{Patience, Secret, StoreError};

/// Longer answers are none that were asked for.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// A way to a server.
pub(super) struct Json {
    http: Http,
    waiter: Waiter,
    headers: HeaderMap,
    /// What must not be repeated, though a server may do so.
    secret: Option<Secret>,
    store: String,
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Json").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Json {
    /// A way to a server, with headers that are sent with every request. `store` is what its errors name.
    pub(super) fn new(
        patience: Patience,
        headers: HeaderMap,
        secret: Option<Secret>,
        store: String,
    ) -> Result<Self, StoreError> {
        let waiter = Waiter::new().map_err(|source| StoreError::Io {
            store: store.clone(),
            doing: "begin to speak to the network".to_owned(),
            source,
        })?;
        Ok(Json { http: Http::staying(patience), waiter, headers, secret, store })
    }

    /// What errors name.
    pub(super) fn store(&self) -> &str {
        &self.store
    }

    /// Asks, and waits for the whole answer; longer by `extra` than for others where the work takes long.
    pub(super) fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<Vec<u8>>,
        extra: Duration,
    ) -> Result<Vec<u8>, Refusal> {
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = self.headers.clone();
        if let Some(body) = body {
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
            *request.body_mut() = Some(body_of(body.into()));
        }
        let call = self.http.patient_by(extra).call();
        let answer = self.waiter.wait(async {
            let (_, _, body) = call.send(request).await.ok()?;
            body.read_all(MAX_ANSWER_BYTES).await.ok()
        });
        match answer {
            Some(answer) if !call.was_refused() => Ok(answer),
            _ => Err(self.without_secret(call.refusal())),
        }
    }

    fn without_secret(&self, mut refusal: Refusal) -> Refusal {
        if let (Some(secret), Some(message)) = (&self.secret, &mut refusal.message)
            && message.contains(secret.expose())
        {
            *message = message.replace(secret.expose(), "***");
        }
        refusal
    }

    /// An answer in the form that was expected of it.
    pub(super) fn read<T: DeserializeOwned>(&self, answer: &[u8], doing: &str) -> Result<T, StoreError> {
        serde_json::from_slice(answer).map_err(|error| StoreError::Io {
            store: self.store.clone(),
            doing: doing.to_owned(),
            source: io::Error::new(
                io::ErrorKind::InvalidData,
                format!("its answer is not what such a server says ({error})"),
            ),
        })
    }

    /// What a refusal means.
    pub(super) fn error(&self, refusal: &Refusal, doing: &str) -> StoreError {
        store_error(&self.store, refusal, doing)
    }
}

/// The error of a call that failed in `doing`.
fn store_error(store: &str, refusal: &Refusal, doing: &str) -> StoreError {
    if let Some(away) = refusal.away(store) {
        return away;
    }
    let (store, doing) = (store.to_owned(), doing.to_owned());
    let source = refusal.said();
    let message = refusal.message.as_deref().unwrap_or_default();
    let refused = |reason: &str, source| StoreError::Refused {
        store: store.clone(),
        doing: doing.clone(),
        reason: reason.to_owned(),
        source: Some(source),
    };
    match refusal.status.unwrap_or_default() {
        401 => StoreError::Credentials {
            store,
            problem: "the token, or the user and password, are wrong or missing".to_owned(),
            source: Some(source),
        },
        403 => StoreError::Denied { store, doing, source },
        408 | 423 | 425 | 429 | 502..=504 => {
            StoreError::Busy { store, retry_after: refusal.retry_after, source }
        }
        507 => StoreError::Full { store, source },
        410 => refused("it speaks another version of its protocol", source),
        413 => refused("it is larger than the store takes", source),
        // SQLite's limit inside of it: the same request will always be too much.
        500 if message.contains("too many SQL variables") => refused("it asks for too much at once", source),
        400 | 405 | 409 | 414 | 415 | 422 | 501 => refused("it does not take such a request", source),
        _ => StoreError::Io { store, doing, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::ErrorClass;

    fn of(status: u16, message: &str) -> StoreError {
        let refusal = Refusal {
            status: Some(status),
            message: Some(message.to_owned()),
            retry_after: Some(Duration::from_secs(7)),
            ..Refusal::default()
        };
        store_error("chroma+http://host/docs", &refusal, "take a document")
    }

    // T5
    #[test]
    fn what_is_wrong_with_the_way_is_no_verdict() {
        for status in [401, 403, 404, 408, 429, 500, 502, 503, 504, 507, 520] {
            assert_eq!(of(status, "").class(), ErrorClass::Channel, "{status}");
        }
        for status in [400, 409, 410, 413, 415, 422, 501] {
            assert_eq!(of(status, "").class(), ErrorClass::Verdict, "{status}");
        }
        assert_eq!(of(500, "(code: 1) too many SQL variables").class(), ErrorClass::Verdict);
        assert_eq!(of(429, "").retry_after(), Some(Duration::from_secs(7)));
    }
}
