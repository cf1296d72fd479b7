//! Large contents, sent in parts, and taken up again where an upload was interrupted: by Ctrl-C, by a line that went, by the
//! end of the process. Whoever comes next, another process, on another day, from another computer, goes on.
//!
//! Nothing is kept for that on our side. A key names a content, so what was begun under it was begun with the same content,
//! and the server is asked what it has. It is not believed: the content is read from its beginning in any case, because it
//! has to be hashed as a whole, and a part is only spared where the server names the very length and hash of the bytes
//! that were just read. All others are sent (again). Where the server cannot be asked, everything is sent.
//!
//! Two writers may work on one upload at once. Both send the same bytes to the same places, and the second to complete it
//! learns that it is over, and looks.
//!
//! What is left behind: an upload that was interrupted. What is taken away: one whose content is not what it should have been,
//! one that the server will not have, one that somebody else's object made useless; and, after a week without a new part, any
//! ([`Dialect::clear`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use futures_util::future::BoxFuture;
use jiff::Timestamp;
use md5::{Digest, Md5};
use opendal::Buffer;
use tokio::task::JoinSet;

use super::super::Published;
use super::super::cut::Cut;
use super::signed::Refused;
use super::{PARTS_AT_ONCE, md5, pieces, proved};
use crate::remote::measured::Measured;
use crate::remote::runtime::Waiter;
use crate::remote::{ErrorClass, ObjectKey, StoreError};

/// How a server is spoken to of uploads in parts.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// The uploads of a name that were begun and not completed, with what they have.
    fn unfinished(&self, name: &str) -> Result<Vec<Upload>, Refused>;
    /// Begins an upload; what it is called.
    fn begin(&self, name: &str) -> Result<String, Refused>;
    /// What the server will call this part when it lists what it has: nothing but the same bytes at the same place are called
    /// that.
    fn proof(&self, number: u32, part: &Buffer, md5: &[u8; 16]) -> String;
    /// Sends a part. What it has to be called when the object is put together.
    fn send(&self, part: Part) -> BoxFuture<'static, Result<String, Refused>>;
    /// What a part that was found there has to be called.
    fn met(&self, proof: String) -> String;
    /// Makes an object of the parts: what the server says is its hash.
    fn complete(
        &self,
        name: &str,
        id: &str,
        parts: &[String],
        bytes: u64,
        only_if_absent: bool,
    ) -> Result<Option<String>, Refused>;
    /// Takes an upload and what it has away.
    fn abort(&self, name: &str, id: &str) -> Result<(), Refused>;
    /// Takes away what has got no part since then, of names that are ours.
    fn clear(&self, since: Timestamp, is_ours: &dyn Fn(&str) -> bool) -> Result<(), Refused>;
}

/// A part on its way.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) bytes: Buffer,
    pub(super) md5: [u8; 16],
}

/// An upload that was begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Upload {
    /// What the server calls it.
    pub(super) id: String,
    /// When it was begun, where the server says so.
    pub(super) begun: Option<Timestamp>,
    /// Its parts: number, length, and what proves them.
    pub(super) parts: BTreeSet<(u32, u64, String)>,
}

/// How much of an upload may be spared, as far as lengths tell.
fn fits(cut: Cut, upload: &Upload) -> u64 {
    let fitting = |(number, bytes, _): &&(u32, u64, String)| cut.bytes_of(*number) == Some(*bytes);
    upload.parts.iter().filter(fitting).map(|(_, bytes, _)| bytes).sum()
}

/// Which of a name's uploads is to be taken up: the one that has most that may be spared, of equals the newest. Then those of no
/// use, which were cut in another way; then the others, which somebody may be working on.
pub(super) fn choose(found: Vec<Upload>, cut: Cut) -> (Option<Upload>, Vec<Upload>, Vec<Upload>) {
    let (mut usable, useless): (Vec<Upload>, Vec<Upload>) =
        found.into_iter().partition(|upload| upload.parts.is_empty() || fits(cut, upload) > 0);
    usable.sort_by_key(|upload| (fits(cut, upload), upload.begun));
    (usable.pop(), useless, usable)
}

/// Uploads that are known not to be gone on with, by name and id.
pub(super) type Over = Mutex<BTreeSet<(String, String)>>;

/// What a store needs to send in parts.
pub(super) struct Sender<'a> {
    pub(super) dialect: &'a dyn Dialect,
    pub(super) waiter: Waiter,
    /// The store's canonical URL.
    pub(super) store: &'a str,
    pub(super) name: &'a str,
    pub(super) cut: Cut,
}

/// Why an upload did not become an object.
enum Stopped {
    /// Somebody else completed it, or took it away.
    Over,
    /// The name has an object.
    Taken,
    Error(StoreError),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Stopped::Error(error)
    }
}

impl Sender<'_> {
    /// Sends what is not there yet, and makes an object of it. What is `over` is not taken up, whatever the server lists.
    pub(super) fn publish(
        &self,
        content: &mut Measured<'_>,
        only_if_absent: bool,
        over: &Over,
    ) -> Result<Published, StoreError> {
        let over = || over.lock().unwrap_or_else(PoisonError::into_inner);
        let named = |upload: &Upload| (self.name.to_owned(), upload.id.clone());
        let mut found = self.unfinished()?;
        found.retain(|upload| !over().contains(&named(upload)));
        let (mut upload, useless, others) = choose(found, self.cut);
        useless.iter().for_each(|upload| self.abort(&upload.id));
        let taken_up = upload.is_some();
        match self.send(&mut upload, content, only_if_absent) {
            Ok(published) => {
                // The object is there: whoever works on another upload of it is told so by its end.
                others.iter().for_each(|upload| self.abort(&upload.id));
                Ok(published)
            }
            Err(Stopped::Over) => {
                over().extend(upload.as_ref().map(named));
                // Whether there is an object now is looked for by who asked for it.
                Ok(Published::Taken)
            }
            Err(Stopped::Taken) => {
                upload.iter().for_each(|upload| self.abort(&upload.id));
                Ok(Published::Taken)
            }
            Err(Stopped::Error(error)) => {
                let no_use = matches!(error, StoreError::ContentChanged { .. })
                    || error.class() == ErrorClass::Verdict;
                if no_use {
                    upload.iter().for_each(|upload| self.abort(&upload.id));
                }
                if taken_up && error.class() == ErrorClass::Verdict {
                    // It was what we met that the server will not have gone on with: some cannot put another part in the place
                    // of a damaged one. No verdict on the content, which is sent from its beginning the next time.
                    tracing::debug!(store = self.store, name = self.name, %error, "an upload cannot be taken up");
                    over().extend(upload.as_ref().map(named));
                    return Ok(Published::Taken);
                }
                Err(error)
            }
        }
    }

    fn unfinished(&self) -> Result<Vec<Upload>, StoreError> {
        let refused = match self.dialect.unfinished(self.name) {
            Ok(found) => return Ok(found),
            Err(refused) => refused,
        };
        match refused.error(self.store, || format!("look for begun uploads of object {}", self.name)) {
            // Who begins anew because of a moment's trouble sends everything again.
            error @ (StoreError::Away { .. } | StoreError::Busy { .. }) => Err(error),
            error => {
                tracing::debug!(store = self.store, name = self.name, %error, "begun uploads cannot be listed");
                Ok(Vec::new())
            }
        }
    }

    fn send(
        &self,
        upload: &mut Option<Upload>,
        content: &mut Measured<'_>,
        only_if_absent: bool,
    ) -> Result<Published, Stopped> {
        let mut hashes = Md5::new();
        let mut names = BTreeMap::new();
        let (mut number, mut spared_bytes) = (0, 0);
        let mut sending = JoinSet::new();
        loop {
            let part = pieces(content, self.cut.part_bytes)?;
            if part.is_empty() {
                break; // and all of it is the expected content
            }
            number += 1;
            let md5 = md5(&part);
            hashes.update(md5);
            let proof = self.dialect.proof(number, &part, &md5);
            let entry = (number, part.len() as u64, proof);
            if upload.as_ref().is_some_and(|upload| upload.parts.contains(&entry)) {
                spared_bytes += entry.1;
                names.insert(number, self.dialect.met(entry.2));
                continue;
            }
            let id = match upload {
                Some(upload) => upload.id.clone(),
                None => {
                    let id = self.dialect.begin(self.name).map_err(|refused| self.stopped(&refused))?;
                    upload.insert(Upload { id, ..Upload::default() }).id.clone()
                }
            };
            if sending.len() >= PARTS_AT_ONCE {
                self.one_arrived(&mut sending, &mut names)?;
            }
            let sent = self.dialect.send(Part { name: self.name.to_owned(), id, number, bytes: part, md5 });
            // Another thread sends while this one reads on. Whatever ends this call ends what is on its way.
            self.waiter.wait(async { sending.spawn(async move { (number, sent.await) }) });
        }
        while !sending.is_empty() {
            self.one_arrived(&mut sending, &mut names)?;
        }
        if spared_bytes > 0 {
            tracing::debug!(store = self.store, name = self.name, spared_bytes, "an upload was taken up");
        }
        let id = upload.as_ref().map_or("", |upload| &upload.id);
        let names: Vec<String> = names.into_values().collect();
        let said = self
            .dialect
            .complete(self.name, id, &names, self.cut.bytes(), only_if_absent)
            .map_err(|refused| self.stopped(&refused))?;
        Ok(proved(said.as_deref(), &hashes.finalize().into(), number))
    }

    fn one_arrived(
        &self,
        sending: &mut JoinSet<(u32, Result<String, Refused>)>,
        names: &mut BTreeMap<u32, String>,
    ) -> Result<(), Stopped> {
        let Some(arrived) = self.waiter.wait(sending.join_next()) else { return Ok(()) };
        let (number, sent) = arrived.expect("it does not panic, and only this thread ends it");
        names.insert(number, sent.map_err(|refused| self.stopped(&refused))?);
        Ok(())
    }

    fn stopped(&self, refused: &Refused) -> Stopped {
        match (refused.status(), refused.code()) {
            (Some(412), _) | (_, "PreconditionFailed" | "ConditionNotMet" | "BlobAlreadyExists") => {
                Stopped::Taken
            }
            // "Begin the upload anew", say Amazon's instructions of this one: somebody else was at the name. A look tells.
            (_, "ConditionalRequestConflict") => Stopped::Taken,
            _ if refused.is_of_upload() => Stopped::Over,
            _ => Stopped::Error(refused.error(self.store, || format!("write object {}", self.name))),
        }
    }

    fn abort(&self, id: &str) {
        if let Err(refused) = self.dialect.abort(self.name, id) {
            let error = refused.error(self.store, || "take an upload away".to_owned());
            tracing::debug!(store = self.store, name = self.name, %error, "parts of an upload stay");
        }
    }
}

/// Whether a name of an upload is one that a store here gives: in a bucket may be what others upload.
pub(super) fn is_our_name(name: &str) -> bool {
    let first = name.split('/').next().unwrap_or_default();
    name.contains('/') && name.parse::<ObjectKey>().is_ok() && ["original", "enriched"].contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::PartSizes;

    fn upload(id: &str, begun: &str, lengths: &[(u32, u64)]) -> Upload {
        let parts = lengths.iter().map(|(number, bytes)| (*number, *bytes, String::new()));
        Upload { id: id.to_owned(), begun: begun.parse().ok(), parts: parts.collect() }
    }

    // S2
    #[test]
    fn of_several_uploads_the_one_is_taken_up_that_has_most() {
        let cut = Cut::of(25, PartSizes { single_bytes: 10, part_bytes: 10 });
        let of = |found: &[Upload]| {
            let ids = |uploads: Vec<Upload>| uploads.into_iter().map(|upload| upload.id).collect::<Vec<_>>();
            let (taken, useless, others) = choose(found.to_vec(), cut);
            (taken.map(|upload| upload.id).unwrap_or_default(), ids(useless).join(" "), ids(others).join(" "))
        };
        let (early, late) = ("2026-11-20T09:00:00Z", "2026-11-21T09:00:00Z");
        let most = upload("most", early, &[(1, 10), (3, 5)]);
        let less = upload("less", late, &[(1, 10)]);
        let equal = upload("equal", late, &[(2, 10), (3, 5)]);
        let empty = upload("empty", late, &[]);
        let wrong = upload("wrong", late, &[(1, 7), (2, 7), (3, 7), (4, 4)]);
        let text = |taken: &str, useless: &str, others: &str| {
            (taken.to_owned(), useless.to_owned(), others.to_owned())
        };
        assert_eq!(of(&[]), text("", "", ""));
        assert_eq!(of(std::slice::from_ref(&empty)), text("empty", "", ""));
        assert_eq!(of(&[less.clone(), most.clone(), empty]), text("most", "", "empty less"));
        assert_eq!(of(&[equal, most]), text("equal", "", "most"));
        assert_eq!(of(&[wrong.clone(), less]), text("less", "wrong", ""));
        assert_eq!(of(&[wrong]), text("", "wrong", ""));
    }

    #[test]
    fn only_names_that_we_give_are_ours() {
        for ours in ["original/ab/abcd", "enriched/ab/abcd"] {
            assert!(is_our_name(ours), "{ours}");
        }
        for others in
            ["", "original", "thesis/original/ab", "original/Thesis.pdf", ".tmp/x", "originals/ab/cd"]
        {
            assert!(!is_our_name(others), "{others}");
        }
    }
}
