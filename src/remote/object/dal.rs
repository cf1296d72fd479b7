//! The storage library, from threads that block, with errors of ours.

use std::io::{self, Read};
use std::sync::Mutex;

use bytes::Buf;
use futures_util::StreamExt;
use jiff::Timestamp;
use opendal::{Buffer, BufferStream, ErrorKind, Operator};

use super::tree::Entry;
use super::{Look, Names, sort};
use crate::remote::http::{Call, Http, Network};
use crate::remote::runtime::Waiter;
use crate::remote::{AwayReason, StoreError};

/// An operator of the library with what every call of it needs.
#[derive(Debug)]
pub(super) struct Dal {
    pub(super) operator: Operator,
    pub(super) http: Http,
    pub(super) waiter: Waiter,
    /// The store's canonical URL.
    pub(super) store: String,
}

impl Dal {
    /// For one call: an operator whose requests are seen by the call.
    pub(super) fn begin(&self) -> (Operator, Call) {
        let call = self.http.call();
        let context = self.operator.base_context().with_http_transport(call.transporter());
        (self.operator.clone().with_context(context), call)
    }

    /// What an error of the library means. Its own text is not repeated: it names URLs that may be signed.
    pub(super) fn error(
        &self,
        call: &Call,
        error: &opendal::Error,
        doing: impl FnOnce() -> String,
    ) -> StoreError {
        let store = self.store.clone();
        if call.was_refused() {
            return sort::store_error(&store, &call.refusal(), doing);
        }
        if call.was_answered() {
            let source = io::Error::other(format!("its answer is not understood ({})", error.kind()));
            return StoreError::Io { store, doing: doing(), source };
        }
        match error.kind() {
            ErrorKind::ConfigInvalid | ErrorKind::Unsupported => StoreError::Refused {
                store,
                doing: doing(),
                reason: error.message().to_owned(),
                source: None,
            },
            // Nothing was sent: there was nothing to sign it with.
            _ => {
                StoreError::Credentials { store, problem: "no key was found for it".to_owned(), source: None }
            }
        }
    }

    pub(super) fn look(&self, name: &str) -> Result<Look, StoreError> {
        let (operator, call) = self.begin();
        match self.waiter.wait(operator.stat(name)) {
            Ok(found) if found.is_file() => Ok(Look::Bytes(found.content_length())),
            Ok(_) => Ok(Look::Absent),
            Err(error) => {
                let refusal = call.refusal();
                match (error.kind(), refusal.status, &refusal.code) {
                    (ErrorKind::NotFound, ..) => Ok(Look::Absent),
                    // A HEAD has no body, and so no word for what is refused.
                    (_, Some(403), None) => Ok(Look::Hidden),
                    _ => Err(self.error(&call, &error, || format!("look at object {name}"))),
                }
            }
        }
    }

    pub(super) fn read(
        &self,
        name: &str,
        range: impl std::ops::RangeBounds<u64>,
    ) -> Result<Option<Box<dyn Read + Send>>, StoreError> {
        let (operator, call) = self.begin();
        let first = self.waiter.wait(async {
            let mut stream = operator.reader(name).await?.into_stream(range).await?;
            Ok::<_, opendal::Error>((stream.next().await.transpose()?, stream))
        });
        match first {
            Ok((first, stream)) => {
                let current = first.unwrap_or_default();
                // A reader is used by one thread at a time; the lock lets it change threads in between.
                Ok(Some(Box::new(Reader { waiter: self.waiter, stream: Mutex::new(stream), current, call })))
            }
            Err(error) if error.kind() == ErrorKind::NotFound && !sort::is_of_bucket(&call.refusal()) => {
                Ok(None)
            }
            Err(error) => Err(self.error(&call, &error, || format!("read object {name}"))),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let (operator, call) = self.begin();
        match self.waiter.wait(operator.delete(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(self.error(&call, &error, || format!("delete object {name}")))
            }
            _ => Ok(()),
        }
    }

    /// Everything below a directory, as the server lists it.
    pub(super) fn all_below(&self, directory: &str) -> Result<Names<'_>, StoreError> {
        let (operator, call) = self.begin();
        let doing = || "list its objects".to_owned();
        let path = if directory.is_empty() { "/" } else { directory };
        let lister = self
            .waiter
            .wait(async { operator.lister_with(path).recursive(true).await })
            .map_err(|error| self.error(&call, &error, doing))?;
        let mut lister = lister;
        Ok(Box::new(std::iter::from_fn(move || {
            loop {
                match self.waiter.wait(lister.next())? {
                    Ok(entry) if !entry.metadata().is_file() => {}
                    Ok(entry) => {
                        let bytes = entry.metadata().content_length();
                        return Some(Ok((entry.path().to_owned(), bytes)));
                    }
                    Err(error) => return Some(Err(self.error(&call, &error, doing))),
                }
            }
        })))
    }

    /// What stands in one directory; nothing where it is not there.
    pub(super) fn entries(&self, directory: &str) -> Result<Vec<Entry>, StoreError> {
        let (operator, call) = self.begin();
        let path = if directory.is_empty() { "/" } else { directory };
        match self.waiter.wait(operator.list(path)) {
            Ok(entries) => Ok(entries
                .into_iter()
                .filter_map(|entry| {
                    let name = entry.path().strip_prefix(directory)?.trim_matches('/').to_owned();
                    // The directory lists itself, too.
                    let below = !name.is_empty() && !name.contains('/');
                    let metadata = entry.metadata();
                    let bytes = if metadata.is_file() { metadata.content_length() } else { 0 };
                    below.then(|| Entry { name, is_directory: metadata.is_dir(), bytes })
                })
                .collect()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(self.error(&call, &error, || format!("list {directory:?}"))),
        }
    }

    /// What the server says the time is, whatever else it says.
    pub(super) fn server_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let (operator, call) = self.begin();
        let name = super::GENERATION_OBJECT;
        match self.waiter.wait(operator.stat(name)) {
            Err(error) if !call.was_answered() => {
                Err(self.error(&call, &error, || "ask for the time".to_owned()))
            }
            _ => Ok(call.date()),
        }
    }

    pub(super) fn away(&self, reason: AwayReason) -> StoreError {
        StoreError::Away { store: self.store.clone(), reason, source: None }
    }
}

/// An object on its way to us.
struct Reader {
    waiter: Waiter,
    stream: Mutex<BufferStream>,
    current: Buffer,
    call: Call,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while !self.current.has_remaining() {
            let stream = self.stream.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
            match self.waiter.wait(stream.next()) {
                None => return Ok(0),
                Some(Ok(next)) => self.current = next,
                Some(Err(_)) => {
                    let kind = match self.call.refusal().network {
                        Some(Network::Silent) => io::ErrorKind::TimedOut,
                        _ => io::ErrorKind::UnexpectedEof,
                    };
                    return Err(io::Error::new(kind, "the object broke off on its way"));
                }
            }
        }
        let read = self.current.remaining().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
