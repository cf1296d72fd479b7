//! `webdav+http:`, `webdav+https:`: a store on a WebDAV server.
//!
//! The storage library looks, reads, lists and deletes here. It does not write: it holds a whole content in memory, makes
//! every missing directory up to the server's root (so that a disk that is not mounted there would be filled in its place),
//! and moves with `Overwrite: T`. So a content is streamed here to a name of its own under `.tmp/`, and moved to its key with
//! `Overwrite: F`, which is the one "only if absent" that WebDAV has (RFC 4918, 9.9.3).
//!
//! `.tmp/` is made when a store is begun and never again: where the server has lost its disk there is none, and nothing can
//! be written.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use opendal::{Operator, services};
use reqwest::Url;
use tokio::sync::mpsc;
use ulid::Ulid;

use super::cloud::is_ours;
use super::dal::Dal;
use super::{Backend, Condition, Look, Names, Published, TEMPORARY_DIRECTORY, Unopened, sort, tree};
use crate::remote::credentials::{self, Access};
use crate::remote::http::{Call, Http, NoAnswer};
use crate::remote::measured::Measured;
use crate::remote::runtime::Waiter;
use crate::remote::url::{WebDav as Place, encode_path};
use crate::remote::{AwayReason, Capabilities, StoreError, StoreUrl};

/// Blocks on their way from the content to the connection.
const BLOCKS: usize = 2;
const BLOCK_BYTES: usize = 1 << 20;
/// Many servers at home are small.
const PARALLEL: usize = 8;

/// A store on a WebDAV server.
#[derive(Debug)]
pub(in crate::remote) struct WebDav {
    dal: Dal,
    /// The place's URL, without a slash at its end.
    base: String,
    conditional_put: bool,
    /// Directories that are known to be there.
    made: Mutex<BTreeSet<String>>,
    /// Held while directories are made: servers answer 423 to two who make the same one.
    making: Mutex<()>,
}

/// The store, not asked for yet.
pub(in crate::remote) fn unopened(place: &Place, access: &Access) -> Result<Box<dyn Unopened>, StoreError> {
    Ok(Box::new(WebDav::new(place, access)?))
}

impl WebDav {
    fn new(place: &Place, access: &Access) -> Result<Self, StoreError> {
        use base64::Engine;
        let store = StoreUrl::WebDav(place.clone()).to_string();
        let refused = |reason: String| StoreError::Refused {
            store: store.clone(),
            doing: "be opened".to_owned(),
            reason,
            source: None,
        };
        let waiter = Waiter::new().map_err(|source| StoreError::Io {
            store: store.clone(),
            doing: "be opened".to_owned(),
            source,
        })?;
        let mut http = Http::new(access.patience);
        let login = credentials::webdav_login(access, &store, &place.host, place.user.as_deref())?;
        if let Some((user, password)) = login {
            let both = format!("{user}:{}", password.expose());
            let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(both));
            let header = HeaderValue::from_str(&basic).expect("base64 is plain text");
            http = http.with_authorization(header);
        }
        let scheme = if place.tls { "https" } else { "http" };
        let port = place.port.map(|port| format!(":{port}")).unwrap_or_default();
        let endpoint = format!("{scheme}://{}{port}", place.host);
        let builder = services::Webdav::default().endpoint(&endpoint).root(&place.path);
        let operator = Operator::new(builder).map_err(|error| refused(error.message().to_owned()))?;
        Ok(WebDav {
            base: format!("{endpoint}{}", encode_path(&place.path)),
            dal: Dal { operator, http, waiter, store },
            conditional_put: access.found.is_some_and(|found| found.conditional_put),
            made: Mutex::default(),
            making: Mutex::default(),
        })
    }

    fn url(&self, name: &str) -> Url {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{}{slash}{}", self.base, encode_path(name))
            .parse()
            .expect("a server's URL and escaped names")
    }

    /// A request without a body; its status. Only what is not among `fine` is an error.
    fn ask(
        &self,
        request: reqwest::Request,
        fine: &[StatusCode],
        doing: impl FnOnce() -> String,
    ) -> Result<StatusCode, StoreError> {
        let call = self.dal.http.call();
        match self.dal.waiter.wait(call.send(request)) {
            Ok((status, ..)) if status.is_success() || fine.contains(&status) => Ok(status),
            _ => Err(sort::store_error(&self.dal.store, &call.refusal(), doing)),
        }
    }

    /// Makes one directory; whether its parent is there to make it in.
    fn make_directory(&self, path: &str) -> Result<bool, StoreError> {
        let method = Method::from_bytes(b"MKCOL").expect("a method of letters");
        let mut url = self.url(path);
        // Some servers send a name without the slash elsewhere.
        url.set_path(&format!("{}/", url.path().trim_end_matches('/')));
        let request = reqwest::Request::new(method, url);
        let fine = [
            StatusCode::METHOD_NOT_ALLOWED,
            StatusCode::CONFLICT,
            StatusCode::NOT_FOUND,
            // Another device makes it at this moment.
            StatusCode::LOCKED,
        ];
        let status = self.ask(request, &fine, || format!("make directory {path:?}"))?;
        Ok(![StatusCode::CONFLICT, StatusCode::NOT_FOUND].contains(&status))
    }

    fn make_directories_of(&self, name: &str) -> Result<(), StoreError> {
        let mut path = String::new();
        let Some((directory, _)) = name.rsplit_once('/') else { return Ok(()) };
        if self.lock_made().contains(directory) {
            return Ok(());
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        for part in directory.split('/') {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(part);
            if !self.lock_made().contains(&path) {
                if !self.make_directory(&path)? {
                    return Err(self.lost());
                }
                self.lock_made().insert(path.clone());
            }
        }
        Ok(())
    }

    fn lock_made(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        // A panic in between leaves a smaller set, which only means one request more.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store's place is not what it was.
    fn lost(&self) -> StoreError {
        self.lock_made().clear();
        match self.absence() {
            Ok(reason) => self.dal.away(reason.unwrap_or(AwayReason::NoStoreInRoot)),
            Err(error) => error,
        }
    }

    /// Whether the directory is there that all writing goes through.
    fn can_be_written_to(&self) -> Result<bool, StoreError> {
        let (operator, call) = self.dal.begin();
        match self.dal.waiter.wait(operator.stat(&format!("{TEMPORARY_DIRECTORY}/"))) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.dal.error(&call, &error, || "look at its directory".to_owned())),
        }
    }

    /// Streams a content to a name under `.tmp/`, where nobody looks.
    fn upload(&self, temporary: &str, content: &mut Measured<'_>) -> Result<(), StoreError> {
        let doing = || format!("write {temporary}");
        let (blocks, body) = mpsc::channel::<io::Result<Bytes>>(BLOCKS);
        let mut request = reqwest::Request::new(Method::PUT, self.url(temporary));
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(content.expected_bytes()));
        let octets = HeaderValue::from_static("application/octet-stream");
        request.headers_mut().insert(header::CONTENT_TYPE, octets);
        *request.body_mut() = Some(reqwest::Body::wrap(Fed { blocks: body, left: content.expected_bytes() }));
        let call = self.dal.http.call();
        let sending = self.dal.waiter.spawn({
            let call: Call = call.clone();
            async move { call.send(request).await.map(|(status, ..)| status) }
        });
        let proved = loop {
            match content.next(BLOCK_BYTES) {
                Ok(None) => break Ok(()),
                Ok(Some(block)) => {
                    // A request that has ended takes no more: its answer says why.
                    if self.dal.waiter.wait(blocks.send(Ok(block))).is_err() {
                        break Ok(());
                    }
                }
                Err(error) => {
                    let broken = io::Error::other("the content is not the expected one");
                    let _ = self.dal.waiter.wait(blocks.send(Err(broken)));
                    break Err(error);
                }
            }
        };
        drop(blocks);
        let answer = self.dal.waiter.wait(sending).unwrap_or(Err(NoAnswer));
        proved?;
        match answer {
            Ok(status) if status.is_success() => Ok(()),
            // RFC 4918, 9.7.1: the directory is not there.
            Ok(StatusCode::CONFLICT) => Err(self.lost()),
            // Of a directory that is there Go's server says so where nothing can be made in it.
            Ok(StatusCode::NOT_FOUND) if self.can_be_written_to()? => {
                let source = call.refusal().said();
                Err(StoreError::Denied { store: self.dal.store.clone(), doing: doing(), source })
            }
            Ok(StatusCode::NOT_FOUND) => Err(self.lost()),
            // It took one when the store was added. Go's server says so of a full disk: no verdict about what is sent (T5).
            Ok(StatusCode::METHOD_NOT_ALLOWED) => {
                let source = call.refusal().said();
                Err(StoreError::Io { store: self.dal.store.clone(), doing: doing(), source })
            }
            _ => Err(sort::store_error(&self.dal.store, &call.refusal(), doing)),
        }
    }

    /// Moves a finished content to its name, unless that is taken; `None` where a directory on the way is missing.
    fn rename(&self, temporary: &str, name: &str) -> Result<Option<Published>, StoreError> {
        let method = Method::from_bytes(b"MOVE").expect("a method of letters");
        let mut request = reqwest::Request::new(method, self.url(temporary));
        let destination = HeaderValue::from_str(self.url(name).as_str()).expect("URLs are plain text");
        request.headers_mut().insert("destination", destination);
        request.headers_mut().insert("overwrite", HeaderValue::from_static("F"));
        let fine = [StatusCode::PRECONDITION_FAILED, StatusCode::CONFLICT, StatusCode::LOCKED];
        Ok(match self.ask(request, &fine, || format!("give object {name} its name"))? {
            StatusCode::PRECONDITION_FAILED => Some(Published::Taken),
            StatusCode::CONFLICT => None,
            // Another device is giving the name to the same content at this moment: whose it became, a look tells.
            StatusCode::LOCKED => Some(Published::Taken),
            _ => Some(Published::Created),
        })
    }

    fn publish_uploaded(
        &self,
        temporary: &str,
        name: &str,
        condition: Condition,
    ) -> Result<Published, StoreError> {
        if condition == Condition::Looked
            && let Look::Bytes(_) = self.dal.look(name)?
        {
            // The upload took a while. Without a condition this is the nearest there is to it.
            return Ok(Published::Taken);
        }
        self.make_directories_of(name)?;
        if let Some(published) = self.rename(temporary, name)? {
            return Ok(published);
        }
        // Somebody has tidied up empty directories since they were made.
        self.lock_made().clear();
        self.make_directories_of(name)?;
        self.rename(temporary, name)?.ok_or_else(|| self.lost())
    }
}

/// A request's body out of a channel, of a length that is known.
struct Fed {
    blocks: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        self.blocks.poll_recv(context).map(|block| {
            block.map(|block| {
                block.map(|bytes| {
                    self.left = self.left.saturating_sub(bytes.len() as u64);
                    http_body::Frame::data(bytes)
                })
            })
        })
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.left)
    }
}

impl Backend for WebDav {
    fn describe(&self) -> String {
        self.dal.store.clone()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: true,
            conditional_put: self.conditional_put,
            server_hash: false,
            needs_searchable: false,
            max_object_bytes: None,
            parallel: PARALLEL,
        }
    }

    fn may_replace(&self) -> bool {
        false
    }

    fn look(&self, name: &str) -> Result<Look, StoreError> {
        self.dal.look(name)
    }

    fn read(&self, name: &str) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.dal.read(name, ..)
    }

    fn read_part(
        &self,
        name: &str,
        start: u64,
        bytes: u64,
    ) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        self.dal.read(name, start..start + bytes)
    }

    fn publish(
        &self,
        name: &str,
        content: &mut Measured<'_>,
        condition: Condition,
    ) -> Result<Published, StoreError> {
        let temporary = format!("{TEMPORARY_DIRECTORY}/{}", Ulid::generate());
        let published = self
            .upload(&temporary, content)
            .and_then(|()| self.publish_uploaded(&temporary, name, condition));
        if !matches!(published, Ok(Published::Created))
            && let Err(error) = self.dal.remove(&temporary)
        {
            tracing::debug!(store = self.dal.store, temporary, %error, "an unfinished object stays");
        }
        published
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.dal.remove(name)
    }

    fn names(&self, prefix: &str) -> Result<Names<'_>, StoreError> {
        Ok(tree::walk(prefix, |directory| self.dal.entries(directory)))
    }

    fn make_place(&self) -> Result<(), StoreError> {
        if self.url("").path() != "/" && !self.make_directory("")? {
            return Err(self.dal.away(AwayReason::RootMissing));
        }
        self.make_directory(TEMPORARY_DIRECTORY).map(drop)
    }

    fn stranger(&self) -> Result<Option<String>, StoreError> {
        Ok(self.dal.entries("")?.into_iter().map(|entry| entry.name).find(|name| !is_ours(name)))
    }

    fn absence(&self) -> Result<Option<AwayReason>, StoreError> {
        // A file server hands out a directory, and a disk that is not mounted behind it is an empty one.
        let (operator, call) = self.dal.begin();
        match self.dal.waiter.wait(operator.stat("/")) {
            Ok(_) => Ok(Some(AwayReason::NoStoreInRoot)),
            Err(error) if error.kind() == opendal::ErrorKind::NotFound => Ok(Some(AwayReason::RootMissing)),
            Err(error) => Err(self.dal.error(&call, &error, || "look at its directory".to_owned())),
        }
    }

    fn unfinished(&self) -> Result<Vec<String>, StoreError> {
        Ok(self
            .dal
            .entries(&format!("{TEMPORARY_DIRECTORY}/"))?
            .into_iter()
            .map(|entry| entry.name)
            .collect())
    }

    fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.dal.server_time()
    }
}
