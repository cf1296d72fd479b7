use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::fields;
use super::list::{card_json, names};
use super::output::{hex, local_time, put_path, rfc3339, rfc3339_or_null, size};
use crate::catalog::{answers, documents, enrichments, ledger, query, stores};
use crate::model::Field;
use crate::model::document::effective;
use crate::model::grade::{Grade, grade, lacking};
use crate::model::named::said_by_path;
use crate::model::path::display_name;

/// Show everything that is known of a file. Works with the disk away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A path on disk, or relative to a library's root.
    path: PathBuf,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { path } = args;
    let catalog = context.open()?;
    let conn = catalog.read();
    let (library, card) = context.known_file(&catalog, &path)?;
    let names = names(&catalog)?;
    let document = card.document_id.map(|document_id| documents::by_id(conn, document_id)).transpose()?;
    let annotations = match card.document_id {
        Some(document_id) => documents::annotations(conn, document_id)?,
        None => Vec::new(),
    };
    let enrichment = match card.content_hash {
        Some(hash) => enrichments::get(conn, hash)?,
        None => None,
    };
    let answers = match card.content_hash {
        Some(hash) => answers::of_content(conn, hash)?,
        None => BTreeMap::new(),
    };
    let objects = match card.document_id {
        Some(document_id) => ledger::of_document(conn, document_id)?,
        None => Vec::new(),
    };
    let copies = match card.document_id {
        Some(document_id) => query::copies(conn, document_id)?,
        None => Vec::new(),
    };
    let store_name = {
        let stores = stores::all(conn)?;
        move |store_id: i64| {
            stores.iter().find(|store| store.store_id == store_id).map(|store| store.name.clone())
        }
    };
    let available = context.availability(&library)?;
    // What the name says is no knowledge of the document.
    let effective = effective(&annotations);
    let mime = enrichment.as_ref().and_then(|enrichment| enrichment.mime.as_deref());

    let said_by_path = said_by_path(&card.path);

    if context.json {
        let mut file = card_json(&card, &names);
        file["available"] = json!(available.is_readable());
        file["mtime"] = rfc3339_or_null(card.stat.mtime_ms());
        file["first_seen"] = rfc3339(card.first_seen);
        file["hashed_at"] = rfc3339_or_null(card.hashed_at);
        file["missing_since"] = rfc3339_or_null(card.missing_since);
        file["evidence"] = json!(card.evidence);
        file["link_target"] = json!(card.link_target.as_deref().map(display_name));
        let place = |copy: &query::FileCard| {
            let mut object = json!({ "library": names.get(&copy.library_id), "presence": copy.presence });
            put_path(&mut object, &copy.path);
            object
        };
        let object = json!({
            "file": file,
            "document": document.as_ref().map(|document| json!({
                "document_id": document.ulid.to_string(),
                "content_hash": hex(document.content_hash),
                "size": document.size,
                "copies": copies.iter().map(place).collect::<Vec<Value>>(),
            })),
            "annotations": fields::json(&annotations),
            "said_by_path": said_by_path.iter().map(|word| json!({ "field": word.field, "values": word.values })).collect::<Vec<_>>(),
            "enrichment": enrichment.as_ref().map(|enrichment| json!({
                "enrichment_version": enrichment.version,
                "outcome": enrichment.outcome,
                "mime": enrichment.mime,
                "extractor": enrichment.extractor,
                "extractor_version": enrichment.extractor_version,
                "truncated": enrichment.truncated,
                "problem": enrichment.problem.as_ref().map(|(kind, message)| json!({ "kind": kind, "message": message })),
            })),
            "grade": grade(&effective, mime),
            "lacks": lacking(&effective, mime),
            "commands": answers.iter().map(|(command, answer)| json!({
                "command": command,
                "outcome": answer.outcome,
                "version": answer.version,
                "problem": answer.problem,
                "answered_at": rfc3339(answer.updated_at),
            })).collect::<Vec<_>>(),
            "remote_objects": objects.iter().map(|object| json!({
                "store": store_name(object.store_id),
                "payload": object.payload,
                "remote_id": object.remote_id,
                "upload_hash": hex(Some(object.upload_hash)),
                "bytes": object.bytes,
                "state": object.state,
                "cause": object.cause,
                "uploaded_at": rfc3339_or_null(object.uploaded_at),
                "orphaned_at": rfc3339_or_null(object.orphaned_at),
            })).collect::<Vec<_>>(),
        });
        context.out.json(&object)?;
        return Ok(Exit::Done);
    }

    let out = &mut context.out;
    out.line(format!("{}: {}", library.name, card.path))?;
    out.line(format!("  library    {available}"))?;
    out.line(format!("  status     {}, {}, {}", card.status, card.presence, size(card.stat.size)))?;
    out.line(format!("  last seen  {}", local_time(card.last_seen)))?;
    if let Some(target) = &card.link_target {
        out.line(format!("  link to    {}", display_name(target)))?;
    }
    if let Some(hash) = hex(card.content_hash) {
        out.line(format!("  blake3     {hash}"))?;
    }
    let said: Vec<_> = annotations.iter().cloned().chain(said_by_path).collect();
    for line in fields::lines(&said) {
        out.line(line)?;
    }
    if document.is_some() {
        out.line(format!("  known      {}", standing(grade(&effective, mime), &lacking(&effective, mime))))?;
    }
    if let Some(enrichment) = &enrichment {
        let mime = enrichment.mime.as_deref().unwrap_or("unknown type");
        match &enrichment.problem {
            Some((kind, message)) => out.line(format!("  text       none: {message} ({kind}), {mime}"))?,
            None => out.line(format!("  text       {}, {mime}", enrichment.outcome))?,
        }
    }
    for (command, answer) in &answers {
        if let Some(problem) = &answer.problem {
            out.line(format!("  {command} had no answer: {problem}"))?;
        }
    }
    for copy in copies.iter().filter(|copy| copy.file_id != card.file_id) {
        out.line(format!("  copy       {}: {} ({})", names[&copy.library_id], copy.path, copy.presence))?;
    }
    for object in &objects {
        let store = store_name(object.store_id).unwrap_or_default();
        let cause = object.cause.as_deref().map_or_else(String::new, |cause| format!(", {cause}"));
        out.line(format!("  in {store}: {} {}{cause}, {}", object.payload, object.state, object.remote_id))?;
    }
    Ok(Exit::Done)
}

/// The grade, and what is lacking for the best, for people.
pub(super) fn standing(grade: Grade, lacks: &[&[Field]]) -> String {
    let any = |any: &&[Field]| any.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(" or ");
    let lacks: Vec<String> = lacks.iter().map(any).collect();
    if lacks.is_empty() { grade.to_string() } else { format!("{grade}: lacks {}", lacks.join(", ")) }
}
