//! Uploads in parts as S3 has them, and whoever speaks like it: Google's XML interface, too.
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html>
//! <https://cloud.google.com/storage/docs/multipart-uploads>
//!
//! Servers of other makes know less of it. One that lists nothing, or lists something else, is believed to have nothing.

use std::fmt::Write;
use std::time::Duration;

use bytes::Buf;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, header};
use jiff::Timestamp;
use opendal::Buffer;
use opendal::raw::{build_abs_path, percent_encode_path};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::hex;
use super::parts::{Dialect, Part, Upload};
use super::signed::{Refused, Signed};
use crate::remote::http::{Refusal, SETTLED_BYTES_PER_S};

/// More pages than any list has that ends.
const MAX_PAGES: usize = 10_000;

/// A bucket's way of having uploads.
#[derive(Debug)]
pub(super) struct Xml {
    pub(super) signed: Signed,
    /// `https://server/bucket`.
    pub(super) base: String,
    /// What stands before all names, as the storage library has it: `/` or `/a/b/`.
    pub(super) root: String,
    /// Completing heeds "only if absent".
    pub(super) heeds_conditions: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    upload_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Uploads {
    #[serde(default)]
    upload: Vec<ListedUpload>,
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
    initiated: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parts {
    #[serde(default)]
    part: Vec<ListedPart>,
    #[serde(default)]
    is_truncated: bool,
    next_part_number_marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPart {
    part_number: u32,
    size: u64,
    #[serde(rename = "ETag")]
    etag: String,
    last_modified: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Completed {
    #[serde(rename = "ETag")]
    etag: Option<String>,
    code: Option<String>,
    message: Option<String>,
}

/// What an answer's body says. It may have been kept waiting with blanks.
fn read<T: DeserializeOwned>(answer: Response<Buffer>) -> Result<T, Refused> {
    let body = answer.into_body().to_bytes();
    quick_xml::de::from_reader(body.trim_ascii_start().reader()).map_err(|_| Refused::Strange)
}

fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// As a hash is written: quotes are around it in some answers.
fn bare(etag: &str) -> String {
    etag.trim_matches('"').to_ascii_lowercase()
}

impl Xml {
    fn key(&self, name: &str) -> String {
        build_abs_path(&self.root, name)
    }

    fn url(&self, name: &str, query: &str) -> String {
        format!("{}/{}?{query}", self.base, percent_encode_path(&self.key(name)))
    }

    /// What was begun and not completed under keys that begin so.
    fn begun(&self, prefix: &str) -> Result<Vec<ListedUpload>, Refused> {
        let mut all = Vec::new();
        let mut more = String::new();
        for _ in 0..MAX_PAGES {
            let url = format!("{}?uploads&prefix={}{more}", self.base, percent_encode_path(prefix));
            let page: Uploads = read(self.signed.wait(Request::get(url).body(Buffer::new()))?)?;
            let ended = page.upload.is_empty() || !page.is_truncated;
            all.extend(page.upload);
            let (Some(key), false) = (page.next_key_marker.filter(|key| !key.is_empty()), ended) else {
                break;
            };
            more = format!("&key-marker={}", percent_encode_path(&key));
            if let Some(id) = page.next_upload_id_marker.filter(|id| !id.is_empty()) {
                let _ = write!(more, "&upload-id-marker={}", percent_encode_path(&id));
            }
        }
        Ok(all)
    }

    fn parts(&self, name: &str, id: &str) -> Result<Vec<ListedPart>, Refused> {
        let mut all: Vec<ListedPart> = Vec::new();
        let mut more = String::new();
        for _ in 0..MAX_PAGES {
            let url = self.url(name, &format!("uploadId={}{more}", percent_encode_path(id)));
            let page: Parts = read(self.signed.wait(Request::get(url).body(Buffer::new()))?)?;
            let ended = page.part.is_empty() || !page.is_truncated;
            all.extend(page.part);
            let (Some(last), false) = (page.next_part_number_marker.filter(|last| last != "0"), ended) else {
                break;
            };
            more = format!("&part-number-marker={}", percent_encode_path(&last));
        }
        Ok(all)
    }

    fn abort_at(&self, name: &str, id: &str) -> Result<(), Refused> {
        let url = self.url(name, &format!("uploadId={}", percent_encode_path(id)));
        match self.signed.wait(Request::delete(url).body(Buffer::new())) {
            Err(refused) if !refused.is_of_upload() => Err(refused),
            _ => Ok(()),
        }
    }
}

impl Dialect for Xml {
    fn unfinished(&self, name: &str) -> Result<Vec<Upload>, Refused> {
        let key = self.key(name);
        let mut uploads = Vec::new();
        for begun in self.begun(&key)?.into_iter().filter(|begun| begun.key == key) {
            let parts = match self.parts(name, &begun.upload_id) {
                Ok(parts) => parts,
                // Over since it was listed.
                Err(refused) if refused.is_of_upload() => continue,
                Err(refused) => return Err(refused),
            };
            let parts = parts.into_iter().map(|part| (part.part_number, part.size, bare(&part.etag)));
            let begun_at = time(begun.initiated.as_deref());
            uploads.push(Upload { id: begun.upload_id, begun: begun_at, parts: parts.collect() });
        }
        Ok(uploads)
    }

    fn begin(&self, name: &str) -> Result<String, Refused> {
        let request = Request::post(self.url(name, "uploads")).body(Buffer::new());
        read::<Begun>(self.signed.wait(request)?).map(|begun| begun.upload_id)
    }

    fn proof(&self, _: u32, _: &Buffer, md5: &[u8; 16]) -> String {
        hex(md5)
    }

    fn send(&self, part: Part) -> BoxFuture<'static, Result<String, Refused>> {
        let Part { name, id, number, bytes, md5: _ } = part;
        let url = self.url(&name, &format!("partNumber={number}&uploadId={}", percent_encode_path(&id)));
        let signed = self.signed.clone();
        Box::pin(async move {
            let answer = signed.ask(Request::put(url).body(bytes)).await?;
            let etag = answer.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
            etag.map(str::to_owned).ok_or(Refused::Strange)
        })
    }

    fn met(&self, proof: String) -> String {
        format!("\"{proof}\"")
    }

    fn complete(
        &self,
        name: &str,
        id: &str,
        parts: &[String],
        bytes: u64,
        only_if_absent: bool,
    ) -> Result<Option<String>, Refused> {
        let mut body = "<CompleteMultipartUpload>".to_owned();
        for (number, etag) in (1..).zip(parts) {
            let etag = quick_xml::escape::escape(etag.as_str());
            let _ = write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        body.push_str("</CompleteMultipartUpload>");
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.url(name, &format!("uploadId={}", percent_encode_path(id))))
            .header(header::CONTENT_TYPE, "application/xml");
        if only_if_absent && self.heeds_conditions {
            request = request.header(header::IF_NONE_MATCH, "*");
        }
        // It puts the object together, and may be silent meanwhile.
        let longer = Duration::from_secs(bytes / SETTLED_BYTES_PER_S);
        let answer = self.signed.wait_longer(request.body(Buffer::from(body)), longer)?;
        let status = answer.status().as_u16();
        let completed: Completed = read(answer)?;
        match completed.code {
            None => Ok(completed.etag),
            // "200" was said before it was known.
            Some(code) => Err(Refused::Said(Refusal {
                status: Some(status),
                code: Some(code),
                message: completed.message,
                ..Refusal::default()
            })),
        }
    }

    fn abort(&self, name: &str, id: &str) -> Result<(), Refused> {
        self.abort_at(name, id)
    }

    fn clear(&self, since: Timestamp, is_ours: &dyn Fn(&str) -> bool) -> Result<(), Refused> {
        let root = self.root.trim_start_matches('/');
        for begun in self.begun(root)? {
            let Some(name) = begun.key.strip_prefix(root).filter(|name| is_ours(name)) else { continue };
            let old = |at: Option<Timestamp>| at.is_some_and(|at| at < since);
            if !old(time(begun.initiated.as_deref())) {
                continue;
            }
            // One that takes longer than that is still being sent.
            let parts = self.parts(name, &begun.upload_id)?;
            if parts.iter().all(|part| old(time(part.last_modified.as_deref()))) {
                self.abort_at(name, &begun.upload_id)?;
            }
        }
        Ok(())
    }
}
