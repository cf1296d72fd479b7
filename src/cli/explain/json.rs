//! The answer for scripts.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Known, Place};
use crate::catalog::libraries::Library;
use crate::catalog::queue::Operation;
use crate::cli::copies::copy_json;
use crate::cli::decisions::question;
use crate::cli::output::{hex, put_path, rfc3339, rfc3339_or_null};
use crate::model::RelPath;

pub(super) fn place_json(place: &Place) -> Value {
    let Place { library, .. } = place;
    let path_json = |path: &RelPath| {
        let mut object = json!({});
        put_path(&mut object, path);
        object
    };
    let mut object = json!({
        "library": library.name,
        "library_id": library.ulid.to_string(),
        "root": library.root.to_string_lossy(),
        "root_now": {
            "state": library.availability.state(),
            "reason": library.availability.reason(),
            "since": rfc3339(library.availability_since),
        },
        "last_complete_scan": rfc3339_or_null(library.last_complete_scan),
        "frozen_dir": place.frozen.as_ref().map(|(path, since)| {
            let mut object = path_json(path);
            object["since"] = rfc3339_or_null(*since);
            object
        }),
        "excluded_dir": place.excluded_dir.as_ref().map(path_json),
        "rule": place.rule.as_ref().map(|rule| {
            let mut object = path_json(&rule.path);
            object["pattern"] = json!(rule.pattern);
            object["origin"] = json!(rule.origin);
            object
        }),
        "rule_files": place.rule_files.iter().map(path_json).collect::<Vec<_>>(),
    });
    let problem = place.problem.as_ref().map(|(problem, since)| {
        json!({ "kind": problem.kind, "message": problem.message, "since": rfc3339(*since) })
    });
    object["problems"] = json!(problem.into_iter().collect::<Vec<_>>());
    put_path(&mut object, &place.path);
    object
}

pub(super) fn known_json(place: &Place, known: &Known, libraries: &HashMap<i64, Library>) -> Value {
    let Known { card, look, .. } = known;
    let mut object = place_json(place);
    object["known"] = json!(true);
    object["status"] = json!(card.status);
    object["presence"] = json!({
        "state": card.presence,
        "evidence": card.evidence,
        "since": rfc3339(look.since),
        "missing_since": rfc3339_or_null(card.missing_since),
        "missing_scans": look.missing_scans,
    });
    object["last_look"] = json!({
        "last_seen": rfc3339(card.last_seen),
        "kind": card.stat.kind,
        "size": card.stat.size,
        "mtime": rfc3339_or_null(card.stat.mtime_ms()),
        "ctime": rfc3339_or_null(card.stat.ctime_ms()),
        "inode": card.stat.inode,
        "young": look.young,
        "content_hash": hex(card.content_hash),
        "read_at": rfc3339_or_null(card.hashed_at),
        "read_because": look.because,
    });
    object["said_by"] = json!({
        "at": rfc3339(look.said_at),
        "scan": known.scan.as_ref().map(|scan| {
            let mut object = json!({
                "scan": scan.scan_id,
                "outcome": scan.outcome,
                "started_at": rfc3339(scan.started_at),
                "ended_at": rfc3339_or_null(scan.ended_at),
            });
            put_path(&mut object, &scan.scope);
            object
        }),
        "root_then": known.root_then,
    });
    object["document"] = json!(known.document.as_ref().map(|document| json!({
        "document_id": document.ulid.to_string(),
        "title": card.title,
        "content_hash": hex(document.content_hash),
    })));
    object["privacy"] = json!(known.privacy.as_ref().map(|(privacy, _)| privacy));
    object["privacy_rule"] = json!(known.privacy.as_ref().and_then(|(_, rule)| rule.as_ref()));
    object["stores"] = known
        .scopes
        .iter()
        .map(|scope| json!({ "store": scope.store, "in_scope": scope.is_in, "pattern": scope.pattern }))
        .collect::<Vec<_>>()
        .into();
    object["copies"] =
        known.copies.iter().map(|copy| copy_json(copy, card, libraries)).collect::<Vec<_>>().into();
    object["operations"] = known.operations.iter().map(operation_json).collect::<Vec<_>>().into();
    object["remote_objects"] = known
        .objects
        .iter()
        .map(|(store, object)| {
            json!({
                "store": store,
                "payload": object.payload,
                "state": object.state,
                "cause": object.cause,
                "remote_id": object.remote_id,
                "uploaded_at": rfc3339_or_null(object.uploaded_at),
                "orphaned_at": rfc3339_or_null(object.orphaned_at),
            })
        })
        .collect::<Vec<_>>()
        .into();
    object["decisions"] = known
        .decisions
        .iter()
        .map(|decision| {
            json!({
                "decision": decision.decision_id,
                "kind": decision.kind,
                "question": question(decision),
                "created_at": rfc3339(decision.created_at),
            })
        })
        .collect::<Vec<_>>()
        .into();
    if let Some((kind, message)) = &known.text_problem
        && let Some(problems) = object["problems"].as_array_mut()
    {
        problems.push(json!({ "kind": kind, "message": message, "since": null }));
    }
    object
}

fn operation_json(operation: &Operation) -> Value {
    json!({
        "op_id": operation.op_id,
        "store": operation.store,
        "kind": operation.kind,
        "state": operation.state,
        "attempts": operation.attempts,
        "not_before": rfc3339_or_null((operation.not_before > 0).then_some(operation.not_before)),
        "error_code": operation.error_code,
        "error_text": operation.error_text,
        "note": operation.note,
        "held_by": operation.held_by,
        "created_at": rfc3339(operation.created_at),
        "updated_at": rfc3339(operation.updated_at),
    })
}
