//! Single calls: one request with its key, one answer read as JSON.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use reqwest::Url;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::errors::{is_missing, store_error};
use super::wire;
use crate::remote::http::{self as net, Http};
use crate::remote::runtime::Waiter;
use crate::remote::{StoreError, url};

/// Longest answer that is read, in bytes: a page of twenty documents, or an answer with its passages.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// The most that a page may have.
const PAGE: &str = "20";

/// The way to the server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    pub(super) http: Http,
    pub(super) waiter: Waiter,
    /// `http(s)://HOST`, without a slash at its end.
    pub(super) base: String,
    pub(super) version: String,
    /// The key, as a header that is not printed.
    pub(super) key: HeaderValue,
    /// The store's canonical URL.
    pub(super) store: String,
}

impl Server {
    /// Where a resource is: `fileSearchStores/S`.
    pub(super) fn at(&self, path: &str) -> Url {
        format!("{}/{}/{path}", self.base, self.version).parse().expect("a server's URL and checked names")
    }

    /// A request with our key.
    pub(super) fn request(&self, method: Method, url: Url) -> reqwest::Request {
        let mut request = reqwest::Request::new(method, url);
        request.headers_mut().insert("x-goog-api-key", self.key.clone());
        request
    }

    /// A request with our key and JSON.
    pub(super) fn json(&self, url: Url, body: &impl Serialize) -> reqwest::Request {
        let mut request = self.request(Method::POST, url);
        let body = serde_json::to_vec(body).expect("plain data");
        let length = HeaderValue::from(body.len());
        *request.body_mut() = Some(net::body_of(Bytes::from(body)));
        request.headers_mut().insert(header::CONTENT_LENGTH, length);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }

    /// Sends it; `None` where what it asks for is not there.
    pub(super) fn find<A: DeserializeOwned>(
        &self,
        request: reqwest::Request,
        doing: &str,
    ) -> Result<Option<A>, StoreError> {
        let call = self.http.call();
        let answered = self.waiter.wait(async {
            let (status, _, body) = call.send(request).await.ok()?;
            Some((status, body.read_all(MAX_ANSWER_BYTES).await))
        });
        let refusal = call.refusal();
        match answered {
            Some((status, Ok(body))) if status.is_success() => {
                // What has nothing to say may say nothing at all.
                let body = if body.is_empty() { b"{}".to_vec() } else { body };
                serde_json::from_slice(&body).map(Some).map_err(|error| StoreError::Io {
                    store: self.store.clone(),
                    doing: doing.to_owned(),
                    // A page to log in at, for instance.
                    source: std::io::Error::other(format!("its answer is not what was expected: {error}")),
                })
            }
            Some((status, Err(source))) if status.is_success() && !call.was_refused() => {
                Err(StoreError::Io { store: self.store.clone(), doing: doing.to_owned(), source })
            }
            _ if is_missing(&refusal) => Ok(None),
            _ => Err(store_error(&self.store, &refusal, doing)),
        }
    }

    /// Sends it; what it asks for has to be there.
    pub(super) fn ask<A: DeserializeOwned>(
        &self,
        request: reqwest::Request,
        doing: &str,
    ) -> Result<A, StoreError> {
        self.find(request, doing)?.ok_or_else(|| self.not_there())
    }

    pub(super) fn get<A: DeserializeOwned>(&self, path: &str, doing: &str) -> Result<Option<A>, StoreError> {
        self.find(self.request(Method::GET, self.at(path)), doing)
    }

    /// The store is not there.
    pub(super) fn not_there(&self) -> StoreError {
        let gone = net::Refusal { status: Some(StatusCode::NOT_FOUND.as_u16()), ..net::Refusal::default() };
        store_error(&self.store, &gone, "")
    }

    /// One page of a list, and the next one's token.
    pub(super) fn page<A: DeserializeOwned>(
        &self,
        path: &str,
        token: Option<&str>,
        doing: &str,
    ) -> Result<Option<A>, StoreError> {
        let mut url = self.at(path);
        url.query_pairs_mut().append_pair("pageSize", PAGE);
        if let Some(token) = token {
            url.query_pairs_mut().append_pair("pageToken", token);
        }
        self.find(self.request(Method::GET, url), doing)
    }

    /// A list that gives the same page's token twice would never end.
    pub(super) fn next_token(
        &self,
        before: Option<&str>,
        next: Option<String>,
        doing: &str,
    ) -> Result<Option<String>, StoreError> {
        let next = next.filter(|token| !token.is_empty());
        if next.is_some() && next.as_deref() == before {
            return Err(StoreError::Io {
                store: self.store.clone(),
                doing: doing.to_owned(),
                source: std::io::Error::other("its list does not end"),
            });
        }
        Ok(next)
    }

    /// All stores of the key's project.
    pub(super) fn stores(&self) -> Result<Vec<wire::FileSearchStore>, StoreError> {
        const DOING: &str = "list its stores";
        let mut all = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page: Option<wire::Stores> = self.page("fileSearchStores", token.as_deref(), DOING)?;
            let page = page.ok_or_else(|| self.not_there())?;
            all.extend(page.file_search_stores);
            token = self.next_token(token.as_deref(), page.next_page_token, DOING)?;
            if token.is_none() {
                return Ok(all);
            }
        }
    }
}

/// Whether a text is the name of a document, and so may stand in a path: `fileSearchStores/S/documents/D`.
pub(super) fn is_document(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts[..], ["fileSearchStores", store, "documents", document] if is_id(store) && is_id(document))
}

/// Whether a text is the name of a store.
pub(super) fn is_store(name: &str) -> bool {
    name.strip_prefix("fileSearchStores/").is_some_and(is_id)
}

fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// The store that a document is in.
pub(super) fn store_of(document: &str) -> &str {
    document.split("/documents/").next().unwrap_or_default()
}

/// What a store is told from others by, in words: its display name, and whose it is.
pub(super) fn identity_of(place: &url::Gemini) -> String {
    match &place.base {
        None => format!("gemini:{}", place.name),
        Some(base) => format!("gemini:{}@{base}", place.name),
    }
}
