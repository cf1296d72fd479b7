//! Uploads in parts as Azure has them: a blob has blocks that are not part of it until they are named in its list.
//! <https://learn.microsoft.com/rest/api/storageservices/put-block>
//!
//! What a block is called is ours to choose, so its name says what it is: its number and the hash of its bytes, which the server
//! holds against a hash in the request when it takes them. Blocks of other names do no harm: they go when the list is
//! written, and all of them after a week without a new one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Buf;
use futures_util::future::BoxFuture;
use http::{HeaderName, Request, header};
use jiff::Timestamp;
use opendal::Buffer;
use opendal::raw::{build_abs_path, percent_encode_path};
use serde::Deserialize;

use super::parts::{Dialect, Part, Upload};
use super::signed::{Refused, Signed};
use crate::remote::http::SETTLED_BYTES_PER_S;

/// A name has so many bytes. All of a blob's have to be of one length: that of the storage library's own, whose blocks an
/// earlier version may have left.
const NAME_BYTES: usize = 16;
const NUMBER_BYTES: usize = 4;

/// A container's way of having uploads.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) signed: Signed,
    /// `https://server/container`.
    pub(super) base: String,
    /// What stands before all names, as the storage library has it: `/` or `/a/b/`.
    pub(super) root: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct BlockList {
    uncommitted_blocks: Listed,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Listed {
    block: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Block {
    name: String,
    size: u64,
}

/// The name of a block: its number and the beginning of its hash.
fn name_of(number: u32, bytes: &Buffer) -> String {
    let mut hasher = blake3::Hasher::new();
    bytes.clone().for_each(|piece| _ = hasher.update(&piece));
    let mut name = [0; NAME_BYTES];
    name[..NUMBER_BYTES].copy_from_slice(&number.to_be_bytes());
    name[NUMBER_BYTES..].copy_from_slice(&hasher.finalize().as_bytes()[..NAME_BYTES - NUMBER_BYTES]);
    BASE64.encode(name)
}

/// The number in a block's name; none in names of others.
fn number_of(name: &str) -> Option<u32> {
    let name: [u8; NAME_BYTES] = BASE64.decode(name).ok()?.try_into().ok()?;
    Some(u32::from_be_bytes(name[..NUMBER_BYTES].try_into().expect("as many as a number has")))
}

impl Blocks {
    fn url(&self, name: &str, query: &str) -> String {
        format!("{}/{}?{query}", self.base, percent_encode_path(&build_abs_path(&self.root, name)))
    }
}

impl Dialect for Blocks {
    fn unfinished(&self, name: &str) -> Result<Vec<Upload>, Refused> {
        let url = self.url(name, "comp=blocklist&blocklisttype=uncommitted");
        let answer = match self.signed.wait(Request::get(url).body(Buffer::new())) {
            Ok(answer) => answer,
            Err(refused) if refused.is_of_upload() => return Ok(Vec::new()), // no such blob
            Err(refused) => return Err(refused),
        };
        let body = answer.into_body().to_bytes();
        // It may begin with a byte order mark.
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&body);
        let list: BlockList = quick_xml::de::from_reader(body.reader()).map_err(|_| Refused::Strange)?;
        let parts = list
            .uncommitted_blocks
            .block
            .into_iter()
            .filter_map(|block| Some((number_of(&block.name)?, block.size, block.name)));
        Ok(vec![Upload { parts: parts.collect(), ..Upload::default() }])
    }

    fn begin(&self, _: &str) -> Result<String, Refused> {
        Ok(String::new()) // The first block begins it.
    }

    fn proof(&self, number: u32, part: &Buffer, _: &[u8; 16]) -> String {
        name_of(number, part)
    }

    fn send(&self, part: Part) -> BoxFuture<'static, Result<String, Refused>> {
        let Part { name, id: _, number, bytes, md5 } = part;
        let block = name_of(number, &bytes);
        let url = self.url(&name, &format!("comp=block&blockid={}", escaped(&block)));
        let signed = self.signed.clone();
        Box::pin(async move {
            let request = Request::put(url)
                .header(HeaderName::from_static("content-md5"), BASE64.encode(md5))
                .body(bytes);
            signed.ask(request).await.map(|_| block)
        })
    }

    fn met(&self, proof: String) -> String {
        proof
    }

    fn complete(
        &self,
        name: &str,
        _: &str,
        parts: &[String],
        bytes: u64,
        only_if_absent: bool,
    ) -> Result<Option<String>, Refused> {
        let blocks: String = parts.iter().map(|block| format!("<Latest>{block}</Latest>")).collect();
        let body = format!("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>{blocks}</BlockList>");
        let mut request =
            Request::put(self.url(name, "comp=blocklist")).header(header::CONTENT_TYPE, "application/xml");
        if only_if_absent {
            request = request.header(header::IF_NONE_MATCH, "*");
        }
        let longer = Duration::from_secs(bytes / SETTLED_BYTES_PER_S);
        // Its ETag is no hash.
        self.signed.wait_longer(request.body(Buffer::from(body)), longer).map(|_| None)
    }

    fn abort(&self, _: &str, _: &str) -> Result<(), Refused> {
        Ok(()) // There is no such call; the server does it after a week.
    }

    fn clear(&self, _: Timestamp, _: &dyn Fn(&str) -> bool) -> Result<(), Refused> {
        Ok(())
    }
}

/// As a query has it: base64 has a plus, a slash and an equals sign.
fn escaped(name: &str) -> String {
    percent_encode_path(name).replace('/', "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    // S2: a name proves a block
    #[test]
    fn a_blocks_name_tells_its_number_and_is_no_other_blocks() {
        let of = |number, bytes: &'static [u8]| name_of(number, &Buffer::from(bytes));
        assert_eq!(number_of(&of(7, b"seven")), Some(7));
        assert_ne!(of(7, b"seven"), of(7, b"Seven"));
        assert_ne!(of(7, b"seven"), of(8, b"seven"));
        assert_eq!(of(1, b"a").len(), of(9_000, b"").len());
        for other in ["", "YQ==", "no base64"] {
            assert_eq!(number_of(other), None);
        }
    }
}
