//! What a store should have of a document: rendered from the catalogue, or read from a disk that is here.

use std::collections::BTreeMap;

use super::Here;
use super::channel::REFRESH_MS;
use super::plan::{Wanted, in_progress};
use super::transfer::{Bytes, Rendered};
use crate::catalog::enrichments::{self, OutcomeKind};
use crate::catalog::ledger::{self, RemoteObject};
use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, CatalogError, documents, privacy, query, scope};
use crate::enrich::render::{Card, is_rendered, render, upload_hash};
use crate::model::document::effective;
use crate::model::{Field, ObjectState, Payload, Privacy};
use crate::remote::ObjectKey;

/// What a document is to be turned into, or why into nothing.
#[derive(Debug, Default)]
pub(super) struct Making {
    pub(super) content_hash: [u8; 32],
    /// With the bytes; without where no disk that could be read has them.
    pub(super) wanted: Vec<(Wanted, Option<Bytes>)>,
    pub(super) note: Option<&'static str>,
    /// What it was made for.
    pub(super) privacy: Option<Privacy>,
}

/// Renders what the store should have of a document.
pub(super) fn make(
    catalog: &Catalog,
    store: &StoreRow,
    manner: Option<&str>,
    here: &[&Here],
    document_id: i64,
    now_ms: i64,
) -> Result<Making, CatalogError> {
    let conn = catalog.read();
    let document = documents::by_id(conn, document_id)?;
    let Some(content_hash) = document.content_hash else {
        return Ok(Making { note: Some("no content"), ..Making::default() });
    };
    let mut making = Making { content_hash, ..Making::default() };
    // Asked anew for each document: a person may say so while a long sync is at it.
    let held = match scope::is_for(conn, store.store_id, document_id)? {
        true => None,
        false => Some(ledger::held(conn, store.store_id, document_id)?),
    };
    let is_lost = |object: &RemoteObject| will_not_stay(object, manner, now_ms);
    if let Some(held) = &held
        && !held.iter().any(is_lost)
    {
        making.note = Some(scope::NOT_FOR_IT);
        return Ok(making);
    }
    let annotations = documents::annotations(conn, document_id)?;
    let shown: BTreeMap<Field, Vec<String>> = effective(&annotations)
        .into_iter()
        .filter(|(field, _)| is_rendered(*field))
        .map(|(field, held)| (field, held.values.clone()))
        .collect();
    let privacy = privacy::of(conn, document_id, &annotations)?;
    making.privacy = Some(privacy);
    if privacy == Privacy::LocalOnly {
        making.note = Some("local only");
        return Ok(making);
    }
    for payload in store.payload.payloads() {
        match payload {
            Payload::Enriched => {
                let enrichment = enrichments::get(conn, content_hash)?;
                let Some(enrichment) = enrichment.filter(|it| it.outcome == OutcomeKind::Extracted) else {
                    making.note = Some("no text");
                    continue;
                };
                let text = match privacy {
                    Privacy::Redacted => String::new(),
                    _ => enrichments::text(conn, content_hash)?.unwrap_or_default(),
                };
                let card = Card {
                    document: document.ulid,
                    content_hash,
                    mime: enrichment.mime.as_deref().unwrap_or("application/octet-stream"),
                    fields: shown.clone(),
                };
                let page = render(&card, &text);
                let hash = upload_hash(page.content.as_bytes());
                let wanted = Wanted {
                    payload: Payload::Enriched,
                    remote_id: ObjectKey::of_content(Payload::Enriched, &hash).in_manner(manner).to_string(),
                    upload_hash: hash,
                    bytes: page.content.len() as u64,
                };
                let rendered = Rendered {
                    document: document.ulid,
                    title: title(&card),
                    fields: card.fields,
                    content: page.content,
                    text_at: page.text_at,
                };
                making.wanted.push((wanted, Some(Bytes::Rendered(Box::new(rendered)))));
            }
            Payload::Original if privacy == Privacy::Redacted => making.note = Some("redacted"),
            Payload::Original => {
                let readable: Vec<i64> = here.iter().map(|one| one.library.library_id).collect();
                let bytes = match query::copy_with_content(conn, content_hash, &readable)? {
                    Some((library_id, rel)) => {
                        let root = here.iter().find(|one| one.library.library_id == library_id);
                        let root = &root.expect("the query was asked for these libraries only").root;
                        let (path, patience) = (rel.under(root.path()), root.patience());
                        Some(Bytes::File { library_id, path, rel, patience })
                    }
                    None => None,
                };
                let wanted = Wanted {
                    payload: Payload::Original,
                    remote_id: ObjectKey::of_content(Payload::Original, &content_hash).to_string(),
                    upload_hash: content_hash,
                    bytes: document.size,
                };
                making.wanted.push((wanted, bytes));
            }
        }
    }
    if let Some(held) = held {
        making.note = Some(scope::NOT_FOR_IT);
        making.wanted.retain(|(wanted, _)| {
            held.iter()
                .filter(|object| object.payload == wanted.payload && is_lost(object))
                .any(|object| object.state == ObjectState::Current || object.remote_id == wanted.remote_id)
        });
    }
    Ok(making)
}

/// What a store has of a document that is not for it stays there as it is (D5). Some of it would not stay by itself: what the
/// store will forget, what was given in another manner and has to be in the new place before that can be asked (decision 29),
/// and what has to be proved again (T7). That is given once more.
fn will_not_stay(object: &RemoteObject, manner: Option<&str>, now_ms: i64) -> bool {
    match object.state {
        ObjectState::Current => {
            let is_elsewhere =
                manner.is_some_and(|manner| !object.remote_id.ends_with(&format!("/{manner}")));
            is_elsewhere || object.is_fading(REFRESH_MS, now_ms)
        }
        state => in_progress(state) && object.uploaded_at.is_some(),
    }
}

/// What people call a document; its number where nobody has said.
fn title(card: &Card<'_>) -> String {
    let said = card.fields.get(&Field::Title).and_then(|values| values.first());
    said.filter(|title| !title.trim().is_empty()).cloned().unwrap_or_else(|| card.document.to_string())
}

/// What an operation's lease fixes: everything it sends.
pub(super) fn fingerprint(wanted: &[Wanted]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for want in wanted {
        hasher.update(want.payload.as_str().as_bytes());
        hasher.update(&want.upload_hash);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

    // D5, S9, S10, T7
    #[rstest]
    #[case::current(ObjectState::Current, Some(0), None, true)]
    #[case::will_be_forgotten(ObjectState::Current, Some(0), Some(101 * DAY_MS), false)]
    #[case::not_for_long(ObjectState::Current, Some(0), Some(200 * DAY_MS), true)]
    #[case::to_be_proved_again(ObjectState::Planned, Some(0), None, false)]
    #[case::was_only_begun(ObjectState::Uploading, None, None, true)]
    #[case::an_orphan(ObjectState::Orphaned, Some(0), Some(101 * DAY_MS), true)]
    fn what_would_not_stay_by_itself_is_given_once_more(
        #[case] state: ObjectState,
        #[case] uploaded_at: Option<i64>,
        #[case] remote_expires_at: Option<i64>,
        #[case] is_left_alone: bool,
    ) {
        let object = RemoteObject {
            object_id: 1,
            store_id: 1,
            document_id: 1,
            payload: Payload::Enriched,
            remote_id: "enriched/aa/new".to_owned(),
            server_id: None,
            upload_hash: [1; 32],
            bytes: 1,
            content_hash: [9; 32],
            state,
            cause: None,
            orphaned_at: None,
            uploaded_at,
            remote_expires_at,
        };
        assert_eq!(!will_not_stay(&object, None, 100 * DAY_MS), is_left_alone);
        assert_eq!(!will_not_stay(&object, Some("new"), 100 * DAY_MS), is_left_alone);
        if state == ObjectState::Current {
            assert!(will_not_stay(&object, Some("other"), 100 * DAY_MS), "it is in the former collection");
        }
    }
}
