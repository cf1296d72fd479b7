//! Requests of our own, signed as the storage library signs its own: by the same code, with keys found in the same places.
//!
//! Only for what the library has no word for: uploads that were begun and not completed.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Request, Response, header};
use opendal::Buffer;
use reqsign_core::{Context, Signer};

use super::super::sort;
use crate::remote::StoreError;
use crate::remote::http::{Http, Refusal};
use crate::remote::runtime::Waiter;

/// What Azure's answers look like depends on the day that is named: the one that the storage library names.
const AZURE_VERSION: HeaderValue = HeaderValue::from_static("2022-11-02");

/// Who signs.
#[derive(Debug, Clone)]
pub(super) enum Keys {
    Aws(Signer<reqsign_aws_v4::Credential>),
    Google(Signer<reqsign_google::Credential>),
    Azure(Signer<reqsign_azure_storage::Credential>),
}

/// A way to a server that knows us.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    pub(super) http: Http,
    pub(super) waiter: Waiter,
    pub(super) keys: Keys,
    /// Where keys are looked for, without a way to ask for them over the network: that is each call's own.
    pub(super) context: Context,
}

/// What came instead of what was asked for.
#[derive(Debug)]
pub(super) enum Refused {
    /// The server said no, or nothing.
    Said(Refusal),
    /// There was nothing to sign it with.
    Unsigned,
    /// The answer is none to what was asked.
    Strange,
}

impl Refused {
    /// The server's word for it.
    pub(super) fn code(&self) -> &str {
        match self {
            Refused::Said(refusal) => refusal.code.as_deref().unwrap_or_default(),
            _ => "",
        }
    }

    /// The HTTP status, where there was one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Refused::Said(refusal) => refusal.status,
            _ => None,
        }
    }

    /// The upload that was asked about is not there, or not any more.
    pub(super) fn is_of_upload(&self) -> bool {
        let of_bucket = matches!(self, Refused::Said(refusal) if sort::is_of_bucket(refusal));
        self.code() == "NoSuchUpload" || (self.status() == Some(404) && !of_bucket)
    }

    pub(super) fn error(&self, store: &str, doing: impl FnOnce() -> String) -> StoreError {
        let store = store.to_owned();
        match self {
            Refused::Said(refusal) => sort::store_error(&store, refusal, doing),
            Refused::Unsigned => {
                StoreError::Credentials { store, problem: "no key was found for it".to_owned(), source: None }
            }
            Refused::Strange => {
                let source = std::io::Error::other("its answer is not understood");
                StoreError::Io { store, doing: doing(), source }
            }
        }
    }
}

impl Signed {
    /// Asks, and waits on this thread.
    pub(super) fn wait(&self, request: http::Result<Request<Buffer>>) -> Result<Response<Buffer>, Refused> {
        self.waiter.wait(self.ask(request))
    }

    /// The same, where the server may take so much longer to answer.
    pub(super) fn wait_longer(
        &self,
        request: http::Result<Request<Buffer>>,
        longer: Duration,
    ) -> Result<Response<Buffer>, Refused> {
        let patient = Signed { http: self.http.patient_by(longer), ..self.clone() };
        self.waiter.wait(patient.ask(request))
    }

    /// Asks. Only what is no refusal is an answer.
    pub(super) async fn ask(
        &self,
        request: http::Result<Request<Buffer>>,
    ) -> Result<Response<Buffer>, Refused> {
        let (mut head, body) = request.map_err(|_| Refused::Strange)?.into_parts();
        if body.is_empty() && [http::Method::PUT, http::Method::POST].contains(&head.method) {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        } else if !body.is_empty() {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let call = self.http.call();
        let context = self.context.clone().with_http_send(call.transporter());
        let signed = match &self.keys {
            Keys::Aws(signer) => signer.clone().with_context(context).sign(&mut head, None).await,
            Keys::Google(signer) => signer.clone().with_context(context).sign(&mut head, None).await,
            Keys::Azure(signer) => {
                head.headers.insert(HeaderName::from_static("x-ms-version"), AZURE_VERSION);
                signer.clone().with_context(context).sign(&mut head, None).await
            }
        };
        if signed.is_err() {
            // Keys may have to be asked for, and that may have been refused. The error's own text may name them.
            return Err(if call.was_refused() { Refused::Said(call.refusal()) } else { Refused::Unsigned });
        }
        // The client sends its own; a second one is refused by servers of HTTP/2.
        head.headers.remove(header::HOST);
        match call.transporter().send(Request::from_parts(head, body)).await {
            Ok(answer) if answer.status().is_success() => Ok(answer),
            _ if call.was_refused() => Err(Refused::Said(call.refusal())),
            _ => Err(Refused::Strange),
        }
    }
}
