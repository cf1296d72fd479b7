//! Uploads: a session is begun, bytes are sent in chunks, the last one finishes it.
//!
//! The session's URL is its credential: our key is not sent there, it is in no error and no log, and no redirection is
//! followed. A chunk whose answer was lost is asked about ("how far did it come?") and gone on from there. The last one is not:
//! its answer is the only place where the document's name stands, and sent again it may be a second document. So its loss goes
//! up as an error, and the document is looked for before it is sent again.
//!
//! The first error is what is shown. Clients that send a chunk again, whatever was answered, get "Upload has already been
//! terminated" for what was "Failed to count tokens" (<https://github.com/googleapis/python-genai/issues/1658>).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::Url;

use super::calls::Server;
use super::errors::{is_missing, store_error};
use super::wire::{Operation, Upload};
use crate::remote::StoreError;
use crate::remote::http::{NoAnswer, Refusal, body_of};

/// What is sent at a time, in bytes: as Google's own clients do.
const CHUNK_BYTES: usize = 8 << 20;
/// Chunks have to be a multiple of what the server names. One that names more than this is not followed.
const MAX_GRANULARITY: usize = 64 << 20;
/// How often in one upload it is asked how far it came. More is not a passing trouble, and belongs to the channel.
const QUESTIONS: u32 = 3;
/// Longest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// An upload that did not end well.
#[derive(Debug)]
pub(super) struct Failed {
    /// What happened.
    pub(super) error: StoreError,
    /// The document may be in the store all the same.
    pub(super) may_be_there: bool,
}

impl Failed {
    fn for_sure(error: StoreError) -> Self {
        Failed { error, may_be_there: false }
    }
}

/// Gives a store a document.
pub(super) fn upload(
    server: &Server,
    store: &str,
    document: &Upload,
    content: &str,
    doing: &str,
) -> Result<Operation, Failed> {
    let session = begin(server, store, document, content.len(), doing).map_err(Failed::for_sure)?;
    let sending = Sending { server, session: &session, content: content.as_bytes(), doing };
    sending.all()
}

/// Where the bytes go.
struct Session {
    url: Url,
    chunk_bytes: usize,
}

fn begin(
    server: &Server,
    store: &str,
    document: &Upload,
    length: usize,
    doing: &str,
) -> Result<Session, StoreError> {
    let url = format!("{}/upload/{}/{store}:uploadToFileSearchStore", server.base, server.version);
    let mut request = server.json(url.parse().expect("a server's URL and a checked name"), document);
    let headers = request.headers_mut();
    headers.insert("x-goog-upload-protocol", HeaderValue::from_static("resumable"));
    headers.insert("x-goog-upload-command", HeaderValue::from_static("start"));
    headers.insert("x-goog-upload-header-content-length", HeaderValue::from(length));
    headers.insert("x-goog-upload-header-content-type", HeaderValue::from_static(document.mime_type));
    let call = server.http.call();
    let (status, headers) = match server.waiter.wait(call.send(request)) {
        Ok((status, headers, _)) => (status, headers),
        Err(NoAnswer) => return Err(store_error(&server.store, &call.refusal(), doing)),
    };
    if !status.is_success() {
        return Err(store_error(&server.store, &call.refusal(), doing));
    }
    let odd = |what: &str| odd(server, doing, what);
    let url = text(&headers, "x-goog-upload-url").ok_or_else(|| odd("it began no upload"))?;
    // An error of parsing is left out: it might repeat the URL.
    let url = Url::parse(url).map_err(|_| odd("it began an upload at an address that is none"))?;
    let home: Url = server.base.parse().expect("it was parsed before");
    if url.scheme() != "https" && url.origin() != home.origin() {
        return Err(odd("it wants the document at another address, unencrypted"));
    }
    let granularity = text(&headers, "x-goog-upload-chunk-granularity").and_then(|text| text.parse().ok());
    Ok(Session { url, chunk_bytes: chunk_bytes(granularity) })
}

/// A multiple of what the server names, as near to [`CHUNK_BYTES`] as that lets it be.
fn chunk_bytes(granularity: Option<usize>) -> usize {
    match granularity {
        Some(unit @ 1..=MAX_GRANULARITY) => unit * (CHUNK_BYTES / unit).max(1),
        _ => CHUNK_BYTES,
    }
}

struct Sending<'a> {
    server: &'a Server,
    session: &'a Session,
    content: &'a [u8],
    doing: &'a str,
}

/// What became of a chunk.
enum Sent {
    /// The server has it.
    Taken,
    /// Nobody knows; the error that was met.
    Unknown(StoreError),
}

impl Sending<'_> {
    fn all(&self) -> Result<Operation, Failed> {
        let mut at = 0;
        let mut questions = QUESTIONS;
        loop {
            let end = self.content.len().min(at + self.session.chunk_bytes);
            if end == self.content.len() {
                return self.last(at);
            }
            match self.chunk(at, end).map_err(Failed::for_sure)? {
                Sent::Taken => at = end,
                Sent::Unknown(error) if questions == 0 => return Err(Failed::for_sure(error)),
                Sent::Unknown(error) => {
                    questions -= 1;
                    match self.received() {
                        Some(received) if (at..=end).contains(&received) => at = received,
                        // The question was no luckier: the first error is what happened.
                        _ => return Err(Failed::for_sure(error)),
                    }
                }
            }
        }
    }

    fn request(&self, command: &'static str, at: usize, end: usize) -> reqwest::Request {
        let mut request = reqwest::Request::new(Method::POST, self.session.url.clone());
        let headers = request.headers_mut();
        headers.insert("x-goog-upload-command", HeaderValue::from_static(command));
        headers.insert("x-goog-upload-offset", HeaderValue::from(at));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(end - at));
        *request.body_mut() = Some(body_of(Bytes::copy_from_slice(&self.content[at..end])));
        request
    }

    fn chunk(&self, at: usize, end: usize) -> Result<Sent, StoreError> {
        let call = self.server.http.call();
        let sent = self.server.waiter.wait(call.send(self.request("upload", at, end)));
        match sent {
            Ok((status, headers, _)) if status.is_success() => match status_of(&headers) {
                Some("active") => Ok(Sent::Taken),
                _ => Err(self.odd("it ended the upload in the middle")),
            },
            // What answers in a server's place when that does not: it may have the chunk or not.
            Ok((status, ..)) if status.is_server_error() => Ok(Sent::Unknown(self.refused(&call.refusal()))),
            Ok(_) => Err(self.refused(&call.refusal())),
            Err(NoAnswer) => Ok(Sent::Unknown(self.refused(&call.refusal()))),
        }
    }

    /// How far it came; `None` where that cannot be had, or the upload is over.
    fn received(&self) -> Option<usize> {
        let mut request = self.request("query", 0, 0);
        request.headers_mut().remove("x-goog-upload-offset");
        let call = self.server.http.call();
        let (status, headers, _) = self.server.waiter.wait(call.send(request)).ok()?;
        let goes_on = status.is_success() && status_of(&headers) == Some("active");
        if goes_on { text(&headers, "x-goog-upload-size-received")?.parse().ok() } else { None }
    }

    fn last(&self, at: usize) -> Result<Operation, Failed> {
        let call = self.server.http.call();
        let request = self.request("upload, finalize", at, self.content.len());
        let answered = self.server.waiter.wait(async {
            let (status, headers, body) = call.send(request).await?;
            Ok::<_, NoAnswer>((status, headers, body.read_all(MAX_ANSWER_BYTES).await))
        });
        let perhaps = |error| Failed { error, may_be_there: true };
        let Ok((status, headers, body)) = answered else {
            return Err(perhaps(self.refused(&call.refusal())));
        };
        if !status.is_success() {
            let may_be_there = status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT;
            return Err(Failed { error: self.refused(&call.refusal()), may_be_there });
        }
        if status_of(&headers).is_some_and(|status| status != "final") {
            return Err(perhaps(self.odd("it did not end the upload")));
        }
        let body = body.map_err(|_| perhaps(self.refused(&call.refusal())))?;
        serde_json::from_slice(&body).map_err(|_| perhaps(self.odd("its answer is not what was expected")))
    }

    fn refused(&self, refusal: &Refusal) -> StoreError {
        if is_missing(refusal) {
            // The session, not the store.
            let source = refusal.said();
            return StoreError::Io { store: self.server.store.clone(), doing: self.doing.to_owned(), source };
        }
        store_error(&self.server.store, refusal, self.doing)
    }

    fn odd(&self, what: &str) -> StoreError {
        odd(self.server, self.doing, what)
    }
}

fn odd(server: &Server, doing: &str, what: &str) -> StoreError {
    StoreError::Io {
        store: server.store.clone(),
        doing: doing.to_owned(),
        source: std::io::Error::other(what.to_owned()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn status_of(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-goog-upload-status")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_a_multiple_of_what_the_server_names() {
        assert_eq!(chunk_bytes(Some(256 << 10)), CHUNK_BYTES);
        assert_eq!(chunk_bytes(Some(3 << 20)), 6 << 20);
        assert_eq!(chunk_bytes(Some(10 << 20)), 10 << 20);
        for odd in [None, Some(0), Some(usize::MAX)] {
            assert_eq!(chunk_bytes(odd), CHUNK_BYTES);
        }
    }
}
