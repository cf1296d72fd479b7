//! What a store should have of a document: rendered from the catalogue, or read from a disk that is here.

use std::collections::BTreeMap;

use super::Here;
use super::plan::Wanted;
use super::transfer::{Bytes, Rendered};
use crate::catalog::enrichments::{self, OutcomeKind};
use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, CatalogError, documents, privacy, query};
use crate::enrich::render::{Card, is_rendered, render, upload_hash};
use crate::model::document::effective;
use crate::model::{Field, Payload, Privacy};
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
) -> Result<Making, CatalogError> {
    let conn = catalog.read();
    let document = documents::by_id(conn, document_id)?;
    let Some(content_hash) = document.content_hash else {
        return Ok(Making { note: Some("no content"), ..Making::default() });
    };
    let mut making = Making { content_hash, ..Making::default() };
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
    Ok(making)
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
