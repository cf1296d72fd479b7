//! HTTP as stores need it: one client, time-outs that suit large objects, and what an answer says beside its body.
//!
//! There is no time-out for a whole request: a gigabyte over a slow line is no error. There is one for connecting, and one
//! for the time in which not a byte moves, in either direction. The storage library is given this as its transport, one
//! [`Call`] for each call of ours, so that the status, error code and `Retry-After` of a refusal are had as data instead of
//! out of the library's error text, which also names URLs that may be signed.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter};
use reqwest::redirect::Policy;
use tokio::time::{Instant, Sleep};

use super::{AwayReason, StoreError};

/// How long to wait for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands.
    pub connect: Duration,
    /// While not a byte moves.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { connect: Duration::from_secs(10), idle: Duration::from_secs(60) }
    }
}

/// What went wrong below HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    /// The name of the server is not known.
    Dns,
    /// The server cannot prove who it is, or speaks no TLS.
    Tls,
    /// Nobody answers at its address.
    Connect,
    /// It went silent for longer than [`Patience::idle`].
    Silent,
    /// The connection ended in the middle.
    Cut,
}

/// What was seen of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status, where there was an answer.
    pub(super) status: Option<u16>,
    /// The server's own word for it: `NoSuchBucket`.
    pub(super) code: Option<String>,
    /// Its sentence for people.
    pub(super) message: Option<String>,
    /// How long it asks us to wait.
    pub(super) retry_after: Option<Duration>,
    /// What went wrong below HTTP, where there was no answer.
    pub(super) network: Option<Network>,
}

/// What a call has seen so far.
#[derive(Debug, Default)]
struct Seen {
    answered: bool,
    refusal: Option<Refusal>,
    date: Option<Timestamp>,
}

/// At least so fast does a server put an object together that it has all of.
pub(super) const SETTLED_BYTES_PER_S: u64 = 16 << 20;
/// Longest error body that is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Longest sentence of a server's that is repeated.
const MAX_MESSAGE_CHARS: usize = 200;

impl Refusal {
    /// The store is away, where there was no answer at all.
    pub(super) fn away(&self, store: &str) -> Option<StoreError> {
        let reason = match self.network? {
            Network::Dns => AwayReason::NameUnknown,
            Network::Tls => AwayReason::Untrusted,
            Network::Connect | Network::Silent | Network::Cut => AwayReason::Unreachable,
        };
        Some(StoreError::Away { store: store.to_owned(), reason, source: Some(self.said()) })
    }

    /// What the server said, in one line.
    pub(super) fn said(&self) -> io::Error {
        let status = self.status.map(|status| status.to_string());
        let silent = (self.network == Some(Network::Silent)).then(|| "no byte for too long".to_owned());
        let words: Vec<String> =
            [status, self.code.clone(), self.message.clone(), silent].into_iter().flatten().collect();
        let kind = match self.network {
            Some(Network::Silent) => io::ErrorKind::TimedOut,
            Some(Network::Cut) => io::ErrorKind::ConnectionReset,
            _ => io::ErrorKind::Other,
        };
        let text = if words.is_empty() { "it gave no reason".to_owned() } else { words.join(" ") };
        io::Error::new(kind, text)
    }
}

fn client(patience: Patience, redirects: Policy) -> reqwest::Client {
    static PROVIDER: OnceLock<()> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        // An error says that the process has one already: as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let builder = |redirects: Policy| {
        reqwest::Client::builder()
            .redirect(redirects)
            .connect_timeout(patience.connect)
            .user_agent(concat!("shelflist/", env!("CARGO_PKG_VERSION")))
            .tcp_keepalive(Duration::from_secs(30))
            // Sooner than servers end idle connections (node: 5 s): a request into one that is just ending fails.
            .pool_idle_timeout(Duration::from_secs(4))
    };
    // A policy cannot be had twice; without certificates there is no HTTPS to be sent elsewhere by.
    builder(redirects).build().unwrap_or_else(|error| {
        // A system without certificates: plain HTTP works there, and TLS finds nobody to trust.
        tracing::debug!(%error, "no certificates of the system's");
        let trusts_nobody = rustls::ClientConfig::builder()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder(Policy::none())
            .tls_backend_preconfigured(trusts_nobody)
            .build()
            .expect("a client needs nothing of the system but its certificates, and these were given")
    })
}

/// A client with its patience.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
    patience: Patience,
    /// Sent with every request, where it is set.
    authorization: Option<HeaderValue>,
}

impl Http {
    /// A client.
    pub(super) fn new(patience: Patience) -> Self {
        Http { client: client(patience, Policy::default()), patience, authorization: None }
    }

    /// A client that goes where it is sent by nobody: what it carries is for one server, and a redirection would take keys in
    /// headers of their own names along to another.
    pub(super) fn staying(patience: Patience) -> Self {
        Http { client: client(patience, Policy::none()), patience, authorization: None }
    }

    /// With an `Authorization` header on every request.
    pub(super) fn with_authorization(mut self, mut header: HeaderValue) -> Self {
        header.set_sensitive(true);
        self.authorization = Some(header);
        self
    }

    /// As patient as this one, and so much more while a server works.
    pub(super) fn patient_by(&self, more: Duration) -> Self {
        let patience = Patience { idle: self.patience.idle.saturating_add(more), ..self.patience };
        Http { patience, ..self.clone() }
    }

    /// For one call of ours, which may be several requests.
    pub(super) fn call(&self) -> Call {
        Call { http: self.clone(), seen: Arc::default() }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub(super) struct Call {
    http: Http,
    seen: Arc<Mutex<Seen>>,
}

/// A request got no answer; what was seen is with the call.
#[derive(Debug)]
pub(super) struct NoAnswer;

impl Call {
    /// As the storage library's transport.
    pub(super) fn transporter(&self) -> HttpTransporter {
        HttpTransporter::new(self.clone())
    }

    /// The last refusal that was met.
    pub(super) fn refusal(&self) -> Refusal {
        self.lock().refusal.clone().unwrap_or_default()
    }

    /// Whether anything said no, or nothing answered.
    pub(super) fn was_refused(&self) -> bool {
        self.lock().refusal.is_some()
    }

    /// Whether there was an answer of any kind.
    pub(super) fn was_answered(&self) -> bool {
        self.lock().answered
    }

    /// What the server says the time is, in its first answer.
    pub(super) fn date(&self) -> Option<Timestamp> {
        self.lock().date
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Plain data, written in one go: right also after a panic.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_network(&self, network: Network, error: Option<&reqwest::Error>) {
        let message = error.map(innermost);
        self.lock().refusal = Some(Refusal { network: Some(network), message, ..Refusal::default() });
    }

    /// Sends a request. A status that says no is an answer, too; its body was read then and stands in the refusal.
    pub(super) async fn send(
        &self,
        mut request: reqwest::Request,
    ) -> Result<(StatusCode, HeaderMap, Body), NoAnswer> {
        if let Some(authorization) = &self.http.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
        }
        let moved = Moved::default();
        let mut idle = self.http.patience.idle;
        if let Some(body) = request.body_mut().take() {
            // Once it has all of a large object, a server may go silent to put it together and to hash it.
            let sent_bytes = http_body::Body::size_hint(&body).exact().unwrap_or(0);
            idle += Duration::from_secs(sent_bytes / SETTLED_BYTES_PER_S);
            *request.body_mut() = Some(reqwest::Body::wrap(Watched { inner: body, moved: moved.clone() }));
        }
        let answer = tokio::select! {
            answer = self.http.client.execute(request) => answer,
            () = moved.stands_still(idle) => {
                self.note_network(Network::Silent, None);
                return Err(NoAnswer);
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let error = error.without_url();
                self.note_network(network_of(&error), Some(&error));
                return Err(NoAnswer);
            }
        };
        let idle = self.http.patience.idle;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let date = header_text(&headers, header::DATE).and_then(http_date);
        {
            let mut seen = self.lock();
            seen.answered = true;
            seen.date = seen.date.or(date);
        }
        let expected = header_text(&headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let mut body = Body {
            inner: Box::pin(answer.bytes_stream()),
            patience: Box::pin(tokio::time::sleep(idle)),
            idle,
            call: self.clone(),
            left: expected,
        };
        // A redirection that could not be followed is a refusal, too: S3 says so that a bucket is in another region.
        let elsewhere = status.is_redirection() && status != StatusCode::NOT_MODIFIED;
        if elsewhere || status.is_client_error() || status.is_server_error() {
            let text = body.read_some(MAX_REFUSAL_BYTES).await;
            let (code, message) = words_of_refusal(&text);
            let retry_after = header_text(&headers, header::RETRY_AFTER)
                .and_then(|text| retry_after(text, date))
                .or_else(|| retry_info(&text));
            let refusal =
                Refusal { status: Some(status.as_u16()), code, message, retry_after, network: None };
            self.lock().refusal = Some(refusal);
            body = Body {
                inner: Box::pin(futures_util::stream::iter([Ok(Bytes::from(text))])),
                patience: Box::pin(tokio::time::sleep(idle)),
                idle,
                call: self.clone(),
                left: None,
            };
        }
        Ok((status, headers, body))
    }
}

impl HttpTransport for Call {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let uri = request.uri().clone();
        let is_head = request.method() == http::Method::HEAD;
        let (parts, body) = request.into_parts();
        let unexpected = |message: &str| opendal::Error::new(opendal::ErrorKind::Unexpected, message);
        let url =
            reqwest::Url::parse(&uri.to_string()).map_err(|_| unexpected("a request's URL is invalid"))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        if !body.is_empty() {
            *request.body_mut() = Some(reqwest::Body::wrap(BufferBody(body)));
        }
        let (status, headers, body) =
            self.send(request).await.map_err(|NoAnswer| unexpected("the server gave no answer"))?;
        // A HEAD tells the length of what it does not send.
        let length = if is_head || !status.is_success() { None } else { body.left };
        let stream = body.map_ok(Buffer::from).map_err(move |error| {
            opendal::Error::new(opendal::ErrorKind::Unexpected, "the answer broke off").set_source(error)
        });
        let mut answer = Response::builder().status(status).extension(uri);
        if let Some(into) = answer.headers_mut() {
            *into = headers;
        }
        answer.body(HttpBody::new(stream, length)).map_err(|_| unexpected("an answer's status is invalid"))
    }
}

/// When a request's body last moved.
#[derive(Debug, Clone)]
struct Moved(Arc<Mutex<Instant>>);

impl Default for Moved {
    fn default() -> Self {
        Moved(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Moved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends once nothing has moved for so long.
    async fn stands_still(&self, idle: Duration) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let until = last + idle;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// A request's body that tells when it moves.
struct Watched {
    inner: reqwest::Body,
    moved: Moved,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, reqwest::Error>>> {
        self.moved.now();
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// The storage library's buffers as a body, of a length that is known.
struct BufferBody(Buffer);

impl http_body::Body for BufferBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        // In pieces, so that a slow line is seen to move.
        const PIECE_BYTES: usize = 256 * 1024;
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.0.len().min(PIECE_BYTES);
        let piece = self.0.split_to(piece).to_bytes();
        Poll::Ready(Some(Ok(http_body::Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.len() as u64)
    }
}

/// An answer's body: ends with an error where it is silent for too long, or shorter than it was said to be.
pub(super) struct Body {
    inner: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send + Sync>>,
    patience: Pin<Box<Sleep>>,
    idle: Duration,
    call: Call,
    left: Option<u64>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("left", &self.left).finish_non_exhaustive()
    }
}

/// A request's body out of memory.
pub(super) fn body_of(bytes: Bytes) -> reqwest::Body {
    reqwest::Body::wrap(BufferBody(Buffer::from(bytes)))
}

impl Body {
    /// All of it.
    ///
    /// # Errors
    /// It broke off, or is longer than `limit` bytes.
    pub(super) async fn read_all(mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next().await {
            all.extend_from_slice(&bytes?);
            if all.len() > limit {
                return Err(io::Error::other(format!("its answer is longer than {limit} bytes")));
            }
        }
        Ok(all)
    }

    async fn read_some(&mut self, limit: usize) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(Ok(bytes)) = self.next().await {
            text.extend_from_slice(&bytes);
            if text.len() >= limit {
                text.truncate(limit);
                break;
            }
        }
        text
    }
}

impl Stream for Body {
    type Item = std::io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        match this.inner.as_mut().poll_next(context) {
            Poll::Ready(Some(Ok(bytes))) => {
                let deadline = Instant::now() + this.idle;
                this.patience.as_mut().reset(deadline);
                this.left = this.left.map(|left| left.saturating_sub(bytes.len() as u64));
                Poll::Ready(Some(Ok(bytes)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.without_url();
                this.call.note_network(Network::Cut, Some(&error));
                Poll::Ready(Some(Err(std::io::Error::new(
                    std::io::ErrorKind::UnexpectedEof,
                    innermost(&error),
                ))))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.patience.as_mut().poll(context) {
                Poll::Ready(()) => {
                    this.call.note_network(Network::Silent, None);
                    Poll::Ready(Some(Err(std::io::Error::from(std::io::ErrorKind::TimedOut))))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }
}

fn network_of(error: &reqwest::Error) -> Network {
    let mut source = error.source();
    let mut tls = false;
    let mut dns = false;
    while let Some(cause) = source {
        tls |= is_of_tls(cause);
        dns |= cause.to_string().starts_with("dns error");
        source = cause.source();
    }
    match () {
        () if tls => Network::Tls,
        () if dns => Network::Dns,
        () if error.is_connect() => Network::Connect,
        () if error.is_timeout() => Network::Silent,
        () => Network::Cut,
    }
}

/// An I/O error may hold another, which its chain of sources passes over.
fn is_of_tls(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.is::<rustls::Error>()
        || cause
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .is_some_and(|inner| is_of_tls(inner))
}

/// What the innermost cause says: what the system said, not what each layer said about it.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}

fn header_text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// `Sat, 21 Nov 2026 18:08:14 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

/// Seconds, or a date, which counts from the server's own clock. <https://www.rfc-editor.org/rfc/rfc9110#name-retry-after>
fn retry_after(text: &str, server_now: Option<Timestamp>) -> Option<Duration> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let until = http_date(text.trim())?;
            u64::try_from(until.as_second() - server_now?.as_second()).unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds))
}

/// What stands under `error` in JSON; some of Google's answers are a list of one such object.
fn error_of(body: &[u8]) -> Option<serde_json::Value> {
    let mut json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let object = if json.is_array() { json.get_mut(0)? } else { &mut json };
    object.get_mut("error").map(serde_json::Value::take)
}

fn details(error: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    error["details"].as_array().into_iter().flatten()
}

/// How long an error's body asks us to wait. <https://google.aip.dev/193#retry-info>
fn retry_info(body: &[u8]) -> Option<Duration> {
    let error = error_of(body)?;
    let delay = details(&error).find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds.ceil()).ok()
}

/// The code and sentence of an error's body: S3's and Azure's `<Code>` and `<Message>`, Google's, OpenAI's and Chroma's JSON.
fn words_of_refusal(body: &[u8]) -> (Option<String>, Option<String>) {
    let text = String::from_utf8_lossy(body);
    if let Some(error) = error_of(body) {
        // Chroma's is a word, with its sentence beside it.
        if let Some(code) = error.as_str() {
            let beside: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            return (Some(shortened(code)), beside["message"].as_str().map(shortened));
        }
        // The reason is the more exact word: `API_KEY_INVALID` of an `INVALID_ARGUMENT`.
        let reason = details(&error).find_map(|detail| detail["reason"].as_str());
        let code = error["errors"][0]["reason"].as_str().or(reason).or(error["status"].as_str());
        let code = code.or(error["code"].as_str());
        let message = error["message"].as_str().filter(|message| !message.is_empty());
        return (code.map(str::to_owned), message.map(shortened));
    }
    if !text.trim_start().starts_with('<') && !text.is_empty() {
        return (None, Some(shortened(&text)));
    }
    let between = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (inner, _) = rest.split_once(&format!("</{name}>"))?;
        Some(shortened(inner))
    };
    (between("Code").filter(|code| !code.contains(char::is_whitespace)), between("Message"))
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|char| !char.is_control()).take(MAX_MESSAGE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // S6
    #[test]
    fn a_wait_is_read_in_seconds_and_as_a_date() {
        let now = http_date("Sat, 21 Nov 2026 18:08:14 GMT");
        assert_eq!(now, Some("2026-11-21T18:08:14Z".parse().unwrap()));
        assert_eq!(retry_after("120", None), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 18:09:14 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Sat, 21 Nov 2026 18:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("Sat, 21 Nov 2026 18:09:14 GMT", None), None);
        assert_eq!(retry_after("soon", now), None);
        let told = br#"{"error": {"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "16.2s"}]}}"#;
        assert_eq!(retry_info(told), Some(Duration::from_secs(17)));
        assert_eq!(retry_info(br#"{"error": {"details": [{"retryDelay": "-1s"}]}}"#), None);
        assert_eq!(retry_info(b"<html>"), None);
    }

    #[test]
    fn the_words_of_a_refusal_are_read_out_of_xml_and_json() {
        let xml = b"<?xml version=\"1.0\"?><Error><Code>NoSuchBucket</Code><Message>The bucket is not\nthere</Message></Error>";
        assert_eq!(words_of_refusal(xml), (Some("NoSuchBucket".into()), Some("The bucket is not".into())));
        let json = br#"{"error": {"code": 403, "message": "no", "errors": [{"reason": "forbidden"}]}}"#;
        assert_eq!(words_of_refusal(json), (Some("forbidden".into()), Some("no".into())));
        let key = br#"[{"error": {"code": 400, "message": "", "status": "INVALID_ARGUMENT", "details": [{}, {"reason": "API_KEY_INVALID"}]}}]"#;
        assert_eq!(words_of_refusal(key), (Some("API_KEY_INVALID".into()), None));
        let json = br#"{"error": "NotFoundError", "message": "Collection [lib] does not exist"}"#;
        assert_eq!(
            words_of_refusal(json),
            (Some("NotFoundError".into()), Some("Collection [lib] does not exist".into()))
        );
        let json = br#"{"error": {"message": "no such model", "type": "t", "code": "model_not_found"}}"#;
        assert_eq!(words_of_refusal(json), (Some("model_not_found".into()), Some("no such model".into())));
        assert_eq!(words_of_refusal(b"<html>Bad gateway</html>"), (None, None));
        assert_eq!(words_of_refusal(b""), (None, None));
        assert_eq!(words_of_refusal(b"No such object: b/a"), (None, Some("No such object: b/a".into())));
    }
}
