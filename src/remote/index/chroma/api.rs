//! Chroma's HTTP API, version 2, as far as it is needed: one function a call, nothing decided.
//!
//! "There is no such collection" is data here ([`None`]), and is only believed where the server says it in its own words: a
//! proxy's 404 is trouble, no answer.

use std::time::Duration;

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::remote::credentials::chroma_login;
use crate::remote::http::{Network, Refusal};
use crate::remote::index::json::Json;
use crate::remote::url::Chroma as Address;
use crate::remote::{Access, Secret, StoreError};

/// Collections of one page of a list.
const PAGE: usize = 100;
/// Chroma's index of texts takes a repeated phrase at 12 KB/s where it takes other text at 300: a server that works through
/// one is not away.
const SLOWEST_BYTES_PER_S: u64 = 8 * 1024;
/// What it takes by its own settings, in bytes.
const MAX_BODY_BYTES: usize = 40 << 20;

/// A way to a database of a server.
#[derive(Debug)]
pub(super) struct Api {
    json: Json,
    database: Url,
    root: Url,
}

/// A collection, as the server tells of it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Collection {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) metadata: Option<Map<String, Value>>,
    #[serde(default)]
    configuration_json: Value,
}

impl Collection {
    /// By what it compares embeddings: `cosine`, `l2`, `ip`.
    pub(super) fn space(&self) -> Option<&str> {
        ["hnsw", "spann"].iter().find_map(|index| self.configuration_json[index]["space"].as_str())
    }
}

/// Records to be written.
#[derive(Debug, Default, Serialize)]
pub(super) struct Upsert {
    pub(super) ids: Vec<String>,
    pub(super) embeddings: Vec<Value>,
    pub(super) documents: Vec<String>,
    pub(super) metadatas: Vec<Map<String, Value>>,
}

/// Records that were asked for, in columns; those that are not there are left out.
#[derive(Debug, Deserialize)]
pub(super) struct Records {
    pub(super) ids: Vec<String>,
    #[serde(default)]
    pub(super) documents: Option<Vec<Option<String>>>,
    #[serde(default)]
    pub(super) metadatas: Option<Vec<Option<Map<String, Value>>>>,
}

/// Records near an embedding.
#[derive(Debug, Deserialize)]
pub(super) struct Nearest {
    pub(super) ids: Vec<Vec<String>>,
    pub(super) documents: Option<Vec<Vec<Option<String>>>>,
    pub(super) distances: Option<Vec<Vec<Option<f64>>>>,
}

/// What a server takes at once.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Limits {
    pub(super) max_batch_size: usize,
    #[serde(default)]
    pub(super) supports_base64_encoding: bool,
}

/// How a collection was given another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renamed {
    Done,
    /// Another has that name.
    Taken,
    /// It is not there any more.
    Gone,
}

#[derive(Deserialize)]
struct DeletedRecords {
    #[serde(default)]
    deleted: u64,
}

impl Api {
    pub(super) fn new(address: &Address, access: &Access, store: &str) -> Result<Self, StoreError> {
        let refused = |reason: &str| StoreError::Refused {
            store: store.to_owned(),
            doing: "be opened".to_owned(),
            reason: reason.to_owned(),
            source: None,
        };
        let scheme = if address.tls { "https" } else { "http" };
        let port = address.port.map_or_else(String::new, |port| format!(":{port}"));
        let root = Url::parse(&format!("{scheme}://{}{port}/api/v2", address.host))
            .map_err(|_| refused("its host is none"))?;
        let tenant = address.tenant.as_deref().unwrap_or("default_tenant");
        let database = address.database.as_deref().unwrap_or("default_database");
        let database = below(&root, &["tenants", tenant, "databases", database]);
        let login = chroma_login(access, store)?;
        let headers =
            headers(login.as_ref()).ok_or_else(|| refused("its token or password holds what none can"))?;
        let secret = login.map(|(_, secret)| secret);
        let json = Json::new(access.patience, headers, secret, store.to_owned())?;
        Ok(Api { json, database, root })
    }

    /// Asks; `None` where the server says that there is no such collection.
    fn ask(
        &self,
        method: Method,
        url: Url,
        body: Option<&impl Serialize>,
        doing: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let body = body.map(|body| serde_json::to_vec(body).expect("texts, numbers and lists are JSON"));
        let bytes = body.as_ref().map_or(0, Vec::len);
        let works = Duration::from_secs(bytes as u64 / SLOWEST_BYTES_PER_S);
        match self.json.ask(method, url, body, works) {
            Ok(answer) => Ok(Some(answer)),
            Err(refusal) if is_absent(&refusal) => Ok(None),
            Err(refusal) => Err(self.json.error(&over_the_limit(refusal, bytes), doing)),
        }
    }

    fn nothing<'a>() -> Option<&'a Value> {
        None
    }

    /// What the server takes at once.
    pub(super) fn limits(&self) -> Result<Limits, StoreError> {
        const DOING: &str = "say what it takes at once";
        let answer =
            self.ask(Method::GET, below(&self.root, &["pre-flight-checks"]), Api::nothing(), DOING)?;
        // One that does not say takes what all do.
        let unsaid = Limits { max_batch_size: 100, supports_base64_encoding: false };
        answer.map_or(Ok(unsaid), |answer| self.json.read(&answer, DOING))
    }

    /// The collection of that name.
    pub(super) fn collection(&self, name: &str) -> Result<Option<Collection>, StoreError> {
        const DOING: &str = "look its collection up";
        let answer =
            self.ask(Method::GET, below(&self.database, &["collections", name]), Api::nothing(), DOING)?;
        answer.map(|answer| self.json.read(&answer, DOING)).transpose()
    }

    /// All collections of the database whose name begins so.
    pub(super) fn collections(&self, begins: &str) -> Result<Vec<Collection>, StoreError> {
        const DOING: &str = "list its collections";
        let mut all: Vec<Collection> = Vec::new();
        for page in 0.. {
            let mut url = below(&self.database, &["collections"]);
            url.query_pairs_mut()
                .append_pair("limit", &PAGE.to_string())
                .append_pair("offset", &(page * PAGE).to_string());
            let answer = self.ask(Method::GET, url, Api::nothing(), DOING)?.unwrap_or_else(|| b"[]".to_vec());
            let found: Vec<Collection> = self.json.read(&answer, DOING)?;
            let last = found.len() < PAGE;
            all.extend(found.into_iter().filter(|it| it.name.starts_with(begins)));
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Makes a collection, or answers the one of that name that there is, as it is: what came back is to be looked at.
    pub(super) fn get_or_create(
        &self,
        name: &str,
        metadata: &Map<String, Value>,
    ) -> Result<Collection, StoreError> {
        const DOING: &str = "make a collection";
        let body = json!({
            "name": name,
            "get_or_create": true,
            // Wider than Chroma's own 100 and 100: its graph loses what lies apart from a crowd (see `record::apart`).
            "configuration": { "hnsw": { "space": "cosine", "ef_construction": 400, "ef_search": 200 } },
            "metadata": metadata,
        });
        let answer = self.ask(Method::POST, below(&self.database, &["collections"]), Some(&body), DOING)?;
        self.json.read(&answer.unwrap_or_default(), DOING)
    }

    /// Gives a collection another name.
    pub(super) fn rename(&self, id: &str, name: &str) -> Result<Renamed, StoreError> {
        let url = below(&self.database, &["collections", id]);
        let body = serde_json::to_vec(&json!({ "new_name": name })).expect("a name is JSON");
        match self.json.ask(Method::PUT, url, Some(body), Duration::ZERO) {
            Ok(_) => Ok(Renamed::Done),
            Err(refusal) if is_absent(&refusal) => Ok(Renamed::Gone),
            // This server says 500 and SQLite's words; 409 is what others say of a name that is taken.
            Err(refusal)
                if refusal.status == Some(409)
                    || refusal.message.as_ref().is_some_and(|said| said.contains("UNIQUE constraint")) =>
            {
                Ok(Renamed::Taken)
            }
            Err(refusal) => Err(self.json.error(&refusal, "rename a collection")),
        }
    }

    /// Deletes the collection of that name with everything in it.
    pub(super) fn delete_collection(&self, name: &str) -> Result<(), StoreError> {
        let url = below(&self.database, &["collections", name]);
        self.ask(Method::DELETE, url, Api::nothing(), "delete a collection").map(drop)
    }

    fn in_collection(&self, id: &str, verb: &str) -> Url {
        below(&self.database, &["collections", id, verb])
    }

    /// How many records a collection has.
    pub(super) fn count(&self, id: &str) -> Result<Option<u64>, StoreError> {
        const DOING: &str = "count its records";
        let answer = self.ask(Method::GET, self.in_collection(id, "count"), Api::nothing(), DOING)?;
        answer.map(|answer| self.json.read(&answer, DOING)).transpose()
    }

    /// Writes records.
    pub(super) fn upsert(&self, id: &str, records: &Upsert) -> Result<Option<()>, StoreError> {
        let url = self.in_collection(id, "upsert");
        Ok(self.ask(Method::POST, url, Some(records), "take a document")?.map(drop))
    }

    /// Reads records.
    pub(super) fn get(&self, id: &str, asked: &Value) -> Result<Option<Records>, StoreError> {
        const DOING: &str = "read its records";
        let answer = self.ask(Method::POST, self.in_collection(id, "get"), Some(asked), DOING)?;
        answer.map(|answer| self.json.read(&answer, DOING)).transpose()
    }

    /// Finds records.
    pub(super) fn query(&self, id: &str, asked: &Value) -> Result<Option<Nearest>, StoreError> {
        const DOING: &str = "answer a question";
        let answer = self.ask(Method::POST, self.in_collection(id, "query"), Some(asked), DOING)?;
        answer.map(|answer| self.json.read(&answer, DOING)).transpose()
    }

    /// Deletes records; how many, as far as the server counts them.
    pub(super) fn delete(&self, id: &str, which: &Value) -> Result<Option<u64>, StoreError> {
        const DOING: &str = "delete records";
        let answer = self.ask(Method::POST, self.in_collection(id, "delete"), Some(which), DOING)?;
        let deleted: Option<DeletedRecords> =
            answer.map(|answer| self.json.read(&answer, DOING)).transpose()?;
        Ok(deleted.map(|deleted| deleted.deleted))
    }
}

/// An embedding, in the shortest form that the server reads.
pub(super) fn embedding(numbers: &[f32], limits: Limits) -> Value {
    if !limits.supports_base64_encoding {
        return json!(numbers);
    }
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

/// Whether the server itself says that there is no such collection.
fn is_absent(refusal: &Refusal) -> bool {
    refusal.status == Some(404)
        && refusal.code.as_deref() == Some("NotFoundError")
        && refusal.message.as_ref().is_some_and(|said| said.starts_with("Collection "))
}

/// A connection that breaks while too much is sent is the server's way to say so.
fn over_the_limit(refusal: Refusal, bytes: usize) -> Refusal {
    match refusal.network {
        Some(Network::Cut) if bytes > MAX_BODY_BYTES => {
            Refusal { status: Some(413), network: None, ..refusal }
        }
        _ => refusal,
    }
}

fn below(url: &Url, segments: &[&str]) -> Url {
    let mut url = url.clone();
    url.path_segments_mut().expect("an http URL has a path").extend(segments);
    url
}

fn headers(login: Option<&(Option<String>, Secret)>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut add = |name: HeaderName, text: String| {
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Some(())
    };
    match login {
        None => {}
        Some((Some(user), secret)) => {
            let pair = format!("{user}:{}", secret.expose());
            let pair = base64::engine::general_purpose::STANDARD.encode(pair);
            add(header::AUTHORIZATION, format!("Basic {pair}"))?;
        }
        Some((None, secret)) => {
            add(HeaderName::from_static("x-chroma-token"), secret.expose().to_owned())?;
            add(header::AUTHORIZATION, format!("Bearer {}", secret.expose()))?;
        }
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    // T5: only the server itself knows that something is not there.
    #[test]
    fn a_proxys_404_says_nothing_of_a_collection() {
        let of = |code: Option<&str>, message: &str| {
            let (code, message) = (code.map(str::to_owned), Some(message.to_owned()));
            is_absent(&Refusal { status: Some(404), code, message, ..Refusal::default() })
        };
        assert!(of(Some("NotFoundError"), "Collection [lib] does not exist"));
        assert!(!of(Some("NotFoundError"), "Tenant [acme] not found"));
        assert!(!of(None, "<html>Not found</html>"));
        assert!(!of(Some("not_found"), "Collection of pages not found"));
        assert!(!is_absent(&Refusal { status: Some(404), ..Refusal::default() }));
    }

    #[test]
    fn a_connection_that_breaks_under_too_much_means_too_much() {
        let cut = || Refusal { network: Some(Network::Cut), ..Refusal::default() };
        assert_eq!(over_the_limit(cut(), MAX_BODY_BYTES + 1).status, Some(413));
        assert_eq!(over_the_limit(cut(), MAX_BODY_BYTES), cut());
    }
}
