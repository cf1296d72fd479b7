//! `gemini:`: Google's File Search.
//!
//! | room | what stands there |
//! |---|---|
//! | `calls` | single requests, with our key |
//! | `wire` | what travels |
//! | `errors` | what a refusal means |
//! | `upload` | how a document gets there |
//! | `card` | what is written beside it, and filters over that |
//! | `held` | what the store was seen to hold |
//! | `ask` | questions and answers |
//!
//! Everything there has a name that Google chooses, stores too; nothing can be changed, no content is given back, and no hash
//! told. So a store is known by what it is called, and a document by the key that we write beside it (decision 28).
//!
//! What is absent, on purpose:
//! - No waiting: an upload returns before its document can be found, and the engine looks again.
//! - No second sending of what may have arrived, see [`upload`].
//! - "There is no such document" is never concluded from one answer: the store is asked for, too, because Google has the same
//!   words for what is gone and for what a key may not see.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use http::{HeaderValue, Method};
use jiff::Timestamp;

use super::{Answers, Entry, Index, IndexListing, Indexed, Readiness, RemoteName, Standing};
use crate::remote::credentials::{self, Access};
use crate::remote::http::{Http, Patience};
use crate::remote::runtime::Waiter;
use crate::remote::url::Gemini as Place;
use crate::remote::{AwayReason, Capabilities, Deleted, Identity, ObjectKey, StoreError, StoreUrl};

mod ask;
mod calls;
mod card;
mod errors;
mod held;
mod upload;
mod wire;

use calls::{Server, identity_of, is_document, is_store, store_of};
use held::{Held, Seen};

/// More uploads at once leave documents FAILED that were taken without complaint, as users found out: 84 of 100 at 100.
const PARALLEL: usize = 8;
/// Largest document, in bytes.
const MAX_OBJECT_BYTES: u64 = 100_000_000;

/// A File Search store.
#[derive(Debug)]
pub(super) struct Gemini {
    place: Place,
    server: Server,
    /// What Google calls it: `fileSearchStores/S`, once it was looked for.
    resource: Mutex<Option<String>>,
    held: Held,
    patience: Patience,
}

/// What a look at one document is called in errors.
const LOOK: &str = "look at a document";

impl Gemini {
    /// A way to it. Asks it nothing yet.
    pub(super) fn new(place: &Place, access: &Access) -> Result<Self, StoreError> {
        let store = StoreUrl::Gemini(place.clone()).to_string();
        let key = credentials::gemini_key(access, &store)?;
        let mut key = HeaderValue::from_str(key.expose()).map_err(|_| StoreError::Credentials {
            store: store.clone(),
            problem: "the API key has characters that no key has".to_owned(),
            source: None,
        })?;
        key.set_sensitive(true);
        let waiter = Waiter::new().map_err(|source| StoreError::Io {
            store: store.clone(),
            doing: "be opened".to_owned(),
            source,
        })?;
        let server = Server {
            http: Http::staying(access.patience),
            waiter,
            base: place.base.clone().unwrap_or_else(|| Place::BASE.to_owned()),
            version: place.version.clone().unwrap_or_else(|| Place::VERSION.to_owned()),
            key,
            store,
        };
        Ok(Gemini {
            place: place.clone(),
            server,
            resource: Mutex::default(),
            held: Held::default(),
            patience: access.patience,
        })
    }

    fn identity_as(&self, resource: &str) -> Identity {
        Identity { store: identity_of(&self.place), generation: resource.to_owned() }
    }

    /// The store of our name; of several the oldest, then the one of the smallest name, so that devices that began it at the
    /// same moment agree on one.
    fn look_for_it(&self) -> Result<Option<String>, StoreError> {
        let named = self
            .server
            .stores()?
            .into_iter()
            .filter(|store| store.display_name == self.place.name && is_store(&store.name));
        let found = named
            .min_by_key(|store| (store.create_time.unwrap_or(Timestamp::MAX), store.name.clone()))
            .map(|store| store.name);
        let mut resource = self.lock();
        if *resource != found {
            if resource.is_some() {
                self.held.forget();
            }
            (*resource).clone_from(&found);
        }
        Ok(found)
    }

    /// What Google calls it.
    fn resource(&self) -> Result<String, StoreError> {
        let known = self.lock().clone();
        match known {
            Some(resource) => Ok(resource),
            None => self.look_for_it()?.ok_or_else(|| self.server.not_there()),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.resource.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is not where it was. Another may be next.
    fn lose(&self) {
        *self.lock() = None;
        self.held.forget();
    }

    /// A name that may stand in a path.
    fn checked<'a>(&self, name: &'a RemoteName, doing: &str) -> Result<&'a str, StoreError> {
        match is_document(name.as_str()) {
            true => Ok(name.as_str()),
            false => Err(StoreError::Refused {
                store: self.server.store.clone(),
                doing: doing.to_owned(),
                reason: format!("{:?} is no name of a document there", name.as_str()),
                source: None,
            }),
        }
    }

    /// A document; `None` where its store is there and it is not.
    fn document(&self, name: &str, doing: &str) -> Result<Option<wire::Document>, StoreError> {
        let found = self.server.get(name, doing)?;
        if found.is_none() {
            self.store_is_there(store_of(name), doing)?;
        }
        Ok(found)
    }

    /// An error where a store cannot be seen: what is missing in it may be there. A store of a former life, where another has
    /// its name now, was deleted, and all that was in it.
    fn store_is_there(&self, store: &str, doing: &str) -> Result<(), StoreError> {
        if self.server.get::<wire::FileSearchStore>(store, doing)?.is_some() {
            return Ok(());
        }
        match self.look_for_it()? {
            Some(present) if present != store => Ok(()),
            _ => {
                self.lose();
                Err(self.server.not_there())
            }
        }
    }

    /// What the store calls the document that an upload made.
    fn name_of(
        &self,
        store: &str,
        operation: &wire::Operation,
        entry: &Entry<'_>,
        doing: &str,
    ) -> Result<RemoteName, StoreError> {
        let answered = |operation: &wire::Operation| {
            let name = operation.response.as_ref().map(|response| response.document_name.clone());
            name.filter(|name| is_document(name) && store_of(name) == store).map(RemoteName::new)
        };
        if let Some(name) = answered(operation) {
            return Ok(name);
        }
        // It is still at work, or has failed already. Documents were seen to have their operation's last name, which is no
        // promise; what is written beside them is proof.
        let last = operation.name.rsplit('/').next().unwrap_or_default();
        let guessed = format!("{store}/documents/{last}");
        if is_document(&guessed)
            && let Some(document) = self.document(&guessed, doing)?
            && card::key_of(&document).as_ref() == Some(entry.key)
        {
            return Ok(RemoteName::new(guessed));
        }
        if let Some(error) = &operation.error {
            return Err(errors::of_operation(&self.server.store, error, doing));
        }
        self.held.doubt();
        if let Some(name) = self.locate(&[entry.key])?.remove(0).into_iter().next() {
            return Ok(name);
        }
        Err(StoreError::Io {
            store: self.server.store.clone(),
            doing: doing.to_owned(),
            source: std::io::Error::other("it took the document and does not say under which name"),
        })
    }

    fn standing_of(&self, path: &str, document: &wire::Document) -> Standing {
        let readiness = match document.readiness() {
            Readiness::Failed(said) if document.error.is_none() => {
                Readiness::Failed(self.why_failed(path).unwrap_or(said))
            }
            readiness => readiness,
        };
        Standing { readiness, expires_at: document.expiration_time }
    }

    /// Why a document could not be read, where its upload's operation still says so.
    fn why_failed(&self, name: &str) -> Option<String> {
        let (store, last) = name.split_once("/documents/")?;
        let path = format!("{store}/upload/operations/{last}");
        let operation: wire::Operation = self.server.get(&path, "say why").ok()??;
        operation.error.map(|error| error.message).filter(|message| !message.is_empty())
    }

    /// All documents, page by page.
    fn documents(&self) -> Result<Pages<'_>, StoreError> {
        let path = format!("{}/documents", self.resource()?);
        Ok(Pages { gemini: self, path, token: None, read: VecDeque::new(), ended: false })
    }
}

impl Index for Gemini {
    fn describe(&self) -> String {
        self.server.store.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: false,
            conditional_put: false,
            server_hash: false,
            needs_searchable: true,
            max_object_bytes: Some(MAX_OBJECT_BYTES),
            parallel: PARALLEL,
        }
    }

    fn manner(&self) -> Option<String> {
        // The model that reads is fixed when a store is made.
        None
    }

    fn identity(&self) -> Result<Option<Identity>, StoreError> {
        Ok(self.look_for_it()?.map(|resource| self.identity_as(&resource)))
    }

    fn begin(&self, _now: Timestamp) -> Result<Identity, StoreError> {
        if let Some(resource) = self.look_for_it()? {
            return Ok(self.identity_as(&resource));
        }
        let body = serde_json::json!({ "displayName": self.place.name });
        let made: wire::FileSearchStore =
            self.server.ask(self.server.json(self.server.at("fileSearchStores"), &body), "begin it")?;
        // Another device may have done the same meanwhile.
        let agreed = self.look_for_it()?.unwrap_or_else(|| made.name.clone());
        if agreed != made.name && is_store(&made.name) {
            // Without force, so that only an empty one goes. Where it stays it harms nobody.
            let request = self.server.request(Method::DELETE, self.server.at(&made.name));
            let _ = self.server.find::<serde_json::Value>(request, "delete a store that was made twice");
        }
        *self.lock() = Some(agreed.clone());
        Ok(self.identity_as(&agreed))
    }

    fn put(&self, entry: &Entry<'_>) -> Result<RemoteName, StoreError> {
        let doing = format!("take document {}", entry.document);
        if entry.content.len() as u64 > MAX_OBJECT_BYTES {
            return Err(StoreError::Refused {
                store: self.server.store.clone(),
                doing,
                reason: format!("it has {} bytes, of {MAX_OBJECT_BYTES} at most", entry.content.len()),
                source: None,
            });
        }
        let store = self.resource()?;
        let named = upload::upload(&self.server, &store, &card::upload(entry), entry.content, &doing)
            .map_err(|failed| {
                if failed.may_be_there {
                    self.held.doubt();
                }
                if matches!(failed.error, StoreError::Away { reason: AwayReason::NoneOfThatName, .. }) {
                    self.lose();
                }
                failed.error
            })
            .and_then(|operation| {
                self.name_of(&store, &operation, entry, &doing).inspect_err(|_| self.held.doubt())
            })?;
        self.held.add(entry.key, &named);
        Ok(named)
    }

    fn locate_while(
        &self,
        keys: &[&ObjectKey],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<RemoteName>>>, StoreError> {
        self.held.under(keys, || {
            let mut ours = Vec::new();
            for document in self.documents()? {
                if !goes_on() {
                    return Ok(None);
                }
                let document = document?;
                if let Some(key) = card::key_of(&document) {
                    let readiness = document.readiness();
                    let created = document.create_time;
                    ours.push((key, Seen { name: RemoteName::new(document.name), readiness, created }));
                }
            }
            Ok(Some(ours))
        })
    }

    fn prove(&self, name: &RemoteName, entry: &Entry<'_>) -> Result<Option<Standing>, StoreError> {
        let path = self.checked(name, LOOK)?;
        if self.is_former(name)? {
            // Nobody asks that one.
            return Ok(None);
        }
        let Some(document) = self.document(path, LOOK)? else { return Ok(None) };
        // What is left out is zero, or not told; the key says the content.
        let length = entry.content.len() as u64;
        let is_it = document.size_bytes.is_none_or(|bytes| bytes == length)
            && card::key_of(&document).as_ref() == Some(entry.key);
        Ok(is_it.then(|| self.standing_of(path, &document)))
    }

    fn is_former(&self, name: &RemoteName) -> Result<bool, StoreError> {
        // Or in the younger of two that were made at once.
        Ok(store_of(self.checked(name, LOOK)?) != self.resource()?)
    }

    fn standing(&self, name: &RemoteName) -> Result<Standing, StoreError> {
        let path = self.checked(name, LOOK)?;
        Ok(match self.document(path, LOOK)? {
            Some(document) => self.standing_of(path, &document),
            None => Standing { readiness: Readiness::Gone, expires_at: None },
        })
    }

    fn remove(&self, name: &RemoteName) -> Result<Deleted, StoreError> {
        let doing = "delete a document";
        let path = self.checked(name, doing)?;
        let mut url = self.server.at(path);
        // Without it no document is ever deleted: each has its pieces.
        url.set_query(Some("force=true"));
        let deleted = self
            .server
            .find::<serde_json::Value>(self.server.request(Method::DELETE, url), doing)
            .inspect_err(|_| self.held.doubt())?;
        if deleted.is_none() {
            self.store_is_there(store_of(path), doing)?;
        }
        self.held.drop_name(name);
        Ok(if deleted.is_some() { Deleted::Deleted } else { Deleted::WasAbsent })
    }

    fn list(&self) -> Result<IndexListing<'_>, StoreError> {
        let indexed = |document: wire::Document| Indexed {
            key: card::key_of(&document),
            readiness: document.readiness(),
            name: RemoteName::new(document.name),
        };
        Ok(Box::new(self.documents()?.map(move |document| document.map(indexed))))
    }

    fn answers(&self) -> Option<&dyn Answers> {
        Some(self)
    }
}

/// Documents as they are listed. Ends with its first error.
struct Pages<'a> {
    gemini: &'a Gemini,
    path: String,
    token: Option<String>,
    read: VecDeque<wire::Document>,
    ended: bool,
}

impl Pages<'_> {
    fn read_page(&mut self) -> Result<(), StoreError> {
        const DOING: &str = "list its documents";
        let server = &self.gemini.server;
        let page: Option<wire::Documents> = server.page(&self.path, self.token.as_deref(), DOING)?;
        let page = page.ok_or_else(|| {
            self.gemini.lose();
            server.not_there()
        })?;
        self.read.extend(page.documents);
        self.token = server.next_token(self.token.as_deref(), page.next_page_token, DOING)?;
        self.ended = self.token.is_none();
        Ok(())
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<wire::Document, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.read.pop_front() {
                return Some(Ok(document));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read_page() {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }
}
