//! The log of a file: every change of its status and its document's, with time and cause (L13), and of what people wrote on
//! the document's card (E4).
//!
//! Triggers write the log of statuses, so that no path through the program can forget to; this room only reads it, and that
//! of edits. Three things are no rows of
//! their own, because a first scan or a new store would write a million of them: that a file was seen first (its own row
//! says when), that its document was put in line together with that, and what adding or removing a whole store meant for
//! each document (one event of the store stands for all).

use rusqlite::{Connection, Row, params};

use super::edits::{self, Word};
use super::query::FileCard;
use super::{Result, documents};
use crate::model::{Field, FileKind, FileStatus, ObjectState, OperationState, Payload, Presence, RelPath};

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// The file was seen first.
    FirstSeen,
    /// Where it stands.
    Presence,
    /// What is in it; before and after are hashes in hexadecimal.
    Content,
    /// Its place.
    Place {
        /// Where it was.
        from: RelPath,
        /// Where it is since.
        to: RelPath,
    },
    /// Which document it is a copy of; before and after are their ids.
    Document,
    /// Trouble with the file; before and after are kinds.
    Problem,
    /// Trouble with reading its text.
    Text,
    /// What a store holds of the document; before and after are steps.
    Object {
        /// What of it; not kept by early versions.
        payload: Option<Payload>,
    },
    /// A change on its way.
    Operation {
        /// Idempotency key.
        op_id: String,
        /// Whether it takes something away rather than sends it.
        delete: bool,
    },
    /// A store as a whole was added or removed.
    Store,
    /// A person wrote on the card; the cause is what was asked.
    Edit {
        /// The edit's number.
        edit_id: i64,
        /// Which field.
        field: Field,
        /// The person's word before.
        before: Word,
        /// And since.
        after: Word,
    },
    /// Of a later version, or of another hand.
    Other(String),
}

impl About {
    /// The stable word for it, as `--json` shows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            About::FirstSeen => "first_seen",
            About::Presence => "presence",
            About::Content => "content",
            About::Place { .. } => "moved",
            About::Document => "document",
            About::Problem => "problem",
            About::Text => "text",
            About::Object { .. } => "object",
            About::Operation { .. } => "operation",
            About::Store => "store",
            About::Edit { .. } => "edit",
            About::Other(word) => word,
        }
    }

    fn of(what: &str, before: Option<&str>, after: Option<&str>) -> Self {
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        match word {
            "presence" => About::Presence,
            "content" => About::Content,
            "moved" => About::Place { from: place(before), to: place(after) },
            "document" => About::Document,
            "problem" => About::Problem,
            "text" => About::Text,
            "store" => About::Store,
            "object" => About::Object { payload: None },
            "operation" | "mirror" => About::Operation { op_id: rest.to_owned(), delete: false },
            "delete" => About::Operation { op_id: rest.to_owned(), delete: true },
            word => match word.parse() {
                Ok(payload) => About::Object { payload: Some(payload) },
                Err(_) => About::Other(what.to_owned()),
            },
        }
    }
}

/// A path out of the log: in hexadecimal, because names are bytes; of the root's children with a slash before it.
fn place(hex: Option<&str>) -> RelPath {
    let bytes: Option<Vec<u8>> = hex.and_then(|hex| {
        let digits = hex.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
    });
    let bytes = bytes.unwrap_or_default();
    RelPath::from_bytes(bytes.strip_prefix(b"/").unwrap_or(&bytes))
}

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds.
    pub at: i64,
    /// About what.
    pub about: About,
    /// How it stood.
    pub before: Option<String>,
    /// How it stands since.
    pub after: Option<String>,
    /// Why.
    pub cause: Option<String>,
    /// Which store, by the name it had then.
    pub store: Option<String>,
    /// Whether it is about the file that was asked for, or about its document: in which case a former copy may be meant.
    pub of_file: bool,
}

impl Event {
    /// The status the file had from then on, where the event alone tells it (L5).
    #[must_use]
    pub fn status(&self) -> Option<FileStatus> {
        let after = self.after.as_deref();
        match &self.about {
            About::FirstSeen if after == Some(FileKind::Symlink.as_str()) => Some(FileStatus::Skipped),
            About::FirstSeen => Some(FileStatus::Pending),
            About::Presence if !self.of_file => None,
            About::Presence => match after?.parse().ok()? {
                Presence::Missing => Some(FileStatus::Missing),
                Presence::Excluded => Some(FileStatus::Skipped),
                Presence::Present | Presence::Unknown => None,
            },
            About::Problem | About::Text => {
                let is_trouble = after.is_some_and(|after| !matches!(after, "extracted" | "unsupported"));
                is_trouble.then_some(FileStatus::Error)
            }
            About::Object { .. } => match after?.parse().ok()? {
                ObjectState::Uploading => Some(FileStatus::Uploading),
                ObjectState::Current => Some(FileStatus::Uploaded),
                ObjectState::Orphaned if self.cause.as_deref() == Some("missing") => {
                    Some(FileStatus::LocalDelete)
                }
                _ => None,
            },
            About::Operation { delete, .. } => match after?.parse().ok()? {
                OperationState::Dead => Some(FileStatus::Failed),
                OperationState::Pending if !delete => Some(FileStatus::Pending),
                OperationState::Leased if !delete => Some(FileStatus::Uploading),
                OperationState::Done if !delete => Some(FileStatus::Skipped),
                _ => None,
            },
            // A document of its own, and a store that has nothing yet: both put it in line.
            About::Document => (self.cause.as_deref() == Some("edited apart")).then_some(FileStatus::Pending),
            About::Store => after.map(|_| FileStatus::Pending),
            // Its first content made a document, which is in line from then on.
            About::Content if self.before.is_none() => after.map(|_| FileStatus::Pending),
            About::Content | About::Place { .. } | About::Edit { .. } | About::Other(_) => None,
        }
    }
}

fn event(row: &Row<'_>) -> rusqlite::Result<(bool, Event)> {
    let (before, after): (Option<String>, Option<String>) = (row.get("before")?, row.get("after")?);
    let about = About::of(row.get_ref("what")?.as_str()?, before.as_deref(), after.as_deref());
    let of_file: bool = row.get("of_file")?;
    Ok((
        of_file,
        Event {
            at: row.get("at")?,
            about,
            before,
            after,
            cause: row.get("cause")?,
            store: row.get("channel")?,
            of_file,
        },
    ))
}

/// The log of a file and of the documents it was a copy of, in the order it was written: that is the order of time, except
/// where somebody set a clock back.
///
/// # Errors
/// SQLite's.
pub fn of_file(conn: &Connection, card: &FileCard) -> Result<Vec<Event>> {
    let mut statement = conn.prepare_cached(
        "SELECT at, what, before, after, cause, channel, file_id IS ?1 AS of_file FROM events WHERE event_id IN (
             SELECT event_id FROM events WHERE file_id = ?1
             UNION SELECT event_id FROM events WHERE document_id = ?2 AND file_id IS NULL
             -- What befell a document while the file was a copy of it.
             UNION SELECT x.event_id FROM events left_behind
                 JOIN events x ON x.document_id = CAST(left_behind.before AS INTEGER) AND x.file_id IS NULL
                     AND x.event_id < left_behind.event_id
                 WHERE left_behind.file_id = ?1 AND left_behind.what = 'document'
             UNION SELECT event_id FROM events WHERE what = 'store' AND at >= ?3)
         ORDER BY event_id",
    )?;
    let rows = statement.query_map(params![card.file_id, card.document_id, card.first_seen], event)?;
    let mut log = Vec::new();
    let mut first = Some(Event {
        at: card.first_seen,
        about: About::FirstSeen,
        before: None,
        after: Some(card.stat.kind.to_string()),
        cause: None,
        store: None,
        of_file: true,
    });
    for row in rows {
        let (of_file, mut event) = row?;
        if event.about == About::Document {
            for number in [&mut event.before, &mut event.after].into_iter().flatten() {
                if let Ok(document_id) = number.parse() {
                    *number = documents::by_id(conn, document_id)?.ulid.to_string();
                }
            }
        }
        // A document may have been known before this copy of it.
        if of_file || event.at >= card.first_seen {
            log.extend(first.take());
        }
        log.push(event);
    }
    log.extend(first);
    let edited = edits_of(conn, card)?;
    Ok(in_time(log, edited))
}

/// What people wrote on the card of a file's document, and on those of the documents it was a copy of, while it was.
fn edits_of(conn: &Connection, card: &FileCard) -> Result<Vec<Event>> {
    let mut statement = conn.prepare_cached(
        "SELECT CAST(before AS INTEGER) AS document_id, max(at) AS until FROM events
         WHERE file_id = ?1 AND what = 'document' AND before IS NOT NULL
           AND EXISTS (SELECT 1 FROM edit_changes c WHERE c.document_id = CAST(before AS INTEGER))
         GROUP BY 1",
    )?;
    let mut documents: Vec<(i64, i64)> = statement
        .query_map([card.file_id], |row| Ok((row.get("document_id")?, row.get("until")?)))?
        .collect::<rusqlite::Result<_>>()?;
    documents.retain(|(document_id, _)| Some(*document_id) != card.document_id);
    documents.extend(card.document_id.map(|document_id| (document_id, i64::MAX)));
    let mut all = Vec::new();
    for (document_id, until) in documents {
        for (edit, change) in edits::of_document(conn, document_id)? {
            if edit.at > until {
                continue;
            }
            all.push(Event {
                at: edit.at,
                before: None,
                after: None,
                cause: Some(edit.said),
                store: None,
                of_file: false,
                about: About::Edit {
                    edit_id: edit.edit_id,
                    field: change.field,
                    before: change.before,
                    after: change.after,
                },
            });
        }
    }
    all.sort_by_key(|event| event.at);
    Ok(all)
}

/// Two logs as one. Each keeps its order, also where somebody set a clock back.
fn in_time(log: Vec<Event>, edits: Vec<Event>) -> Vec<Event> {
    let mut edits = edits.into_iter().peekable();
    let mut all = Vec::with_capacity(log.len() + edits.len());
    for event in log {
        while let Some(edit) = edits.next_if(|edit| edit.at < event.at) {
            all.push(edit);
        }
        all.push(event);
    }
    all.extend(edits);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn said(what: &str, before: Option<&str>, after: Option<&str>, cause: Option<&str>) -> Event {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Event {
            at: 0,
            about: About::of(what, before, after),
            before: owned(before),
            after: owned(after),
            cause: owned(cause),
            store: None,
            of_file: true,
        }
    }

    // L5, L13
    #[rstest]
    #[case(said("presence", Some("present"), Some("missing"), None), Some(FileStatus::Missing))]
    #[case(said("presence", Some("present"), Some("excluded"), None), Some(FileStatus::Skipped))]
    #[case(said("mirror 01", None, Some("pending"), None), Some(FileStatus::Pending))]
    #[case(said("mirror 01", Some("pending"), Some("leased"), None), Some(FileStatus::Uploading))]
    #[case(
        said("mirror 01", Some("leased"), Some("done"), Some("nothing to send")),
        Some(FileStatus::Skipped)
    )]
    #[case(said("operation 01", Some("leased"), Some("dead"), None), Some(FileStatus::Failed))]
    #[case(said("delete 01", Some("pending"), Some("leased"), None), None)]
    #[case(said("enriched 7", Some("verified"), Some("current"), None), Some(FileStatus::Uploaded))]
    #[case(
        said("object 7", Some("current"), Some("orphaned"), Some("missing")),
        Some(FileStatus::LocalDelete)
    )]
    #[case(said("original 7", Some("current"), Some("orphaned"), Some("replaced")), None)]
    #[case(said("problem", None, Some("permission"), None), Some(FileStatus::Error))]
    #[case(said("problem", Some("permission"), None, None), None)]
    #[case(said("text", Some("extracted"), Some("failed"), None), Some(FileStatus::Error))]
    #[case(said("text", Some("failed"), Some("extracted"), None), None)]
    fn an_event_tells_the_status_from_then_on(#[case] event: Event, #[case] status: Option<FileStatus>) {
        assert_eq!(event.status(), status);
    }

    // E4
    #[test]
    fn two_logs_are_one_in_order_of_time() {
        let at = |at, what: &str| Event { at, ..said(what, None, None, None) };
        let log = vec![at(10, "a"), at(5, "a"), at(20, "a")];
        let edits = vec![at(5, "e"), at(15, "e"), at(30, "e")];
        let times: Vec<(i64, String)> =
            in_time(log, edits).iter().map(|event| (event.at, event.about.as_str().to_owned())).collect();
        let expected = [(5, "e"), (10, "a"), (5, "a"), (15, "e"), (20, "a"), (30, "e")];
        assert_eq!(times, expected.map(|(at, what)| (at, what.to_owned())));
    }

    #[test]
    fn places_are_bytes_in_the_log() {
        let event = said("moved", Some("2f636166e9"), Some("612f620a"), None);
        let (from, to) = (RelPath::from_bytes(b"caf\xe9".to_vec()), RelPath::from("a/b\n"));
        assert_eq!(event.about, About::Place { from, to });
    }
}
