//! `sync queue`: what waits, and what was given up.

use serde_json::{Value, json};

use super::store_named;
use crate::catalog::queue::{self, Operation, WaitsFor};
use crate::catalog::{Catalog, query};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{ago, local_time, rfc3339, rfc3339_or_null};
use crate::clock::Clock;
use crate::model::OperationState;
use crate::model::path::{RelPath, display_name};

pub(super) fn run(
    context: &mut Context,
    errors: bool,
    store: Option<&str>,
    limit: usize,
) -> Result<Exit, Failure> {
    let catalog = context.open()?;
    let store_id = store.map(|named| store_named(&catalog, named)).transpose()?.map(|store| store.store_id);
    let now_ms = context.clock.now_ms();
    // A list in JSON is complete.
    let limit = if context.json { usize::MAX } else { limit };
    let operations = queue::listed(catalog.read(), store_id, errors, limit)?;
    if context.json {
        let all: Vec<Value> = operations
            .iter()
            .map(|operation| Ok::<_, Failure>(operation_json(operation, path(&catalog, operation)?.as_ref())))
            .collect::<Result<_, _>>()?;
        context.out.json(&json!({ "queue": all }))?;
        return Ok(Exit::Done);
    }
    if operations.is_empty() {
        context.out.line(if errors { "nothing failed" } else { "nothing waits" })?;
        return Ok(Exit::Done);
    }
    let mut rows = Vec::new();
    for operation in &operations {
        let path = path(&catalog, operation)?;
        rows.push(vec![
            operation.op_id.clone(),
            operation.store.clone(),
            operation.kind.clone(),
            state(operation, now_ms),
            operation.attempts.to_string(),
            ago(now_ms - operation.created_at),
            path.map_or_else(String::new, |path| path.to_string()),
            display_name(operation.error_text.as_deref().unwrap_or_default().as_bytes()),
        ]);
    }
    context.out.table(&["ID", "STORE", "KIND", "STATE", "TRIES", "AGE", "FILE", "ERROR"], &rows)?;
    if operations.len() == limit {
        context.out.line("there may be more; all of them with --json, or --limit N")?;
    }
    if operations.iter().any(|operation| operation.waits_for == Some(WaitsFor::Text)) {
        context.out.line("what was not read yet is read by: shelflist sync, or shelflist enrich")?;
    }
    if operations.iter().any(|operation| operation.state == OperationState::Dead) {
        context.out.line("what was given up is tried again with: shelflist sync retry [ID]")?;
    }
    Ok(Exit::Done)
}

/// In a word or two; the decision or the time that it waits for.
fn state(operation: &Operation, now_ms: i64) -> String {
    match operation.state {
        OperationState::Dead => "given up".to_owned(),
        OperationState::Leased => "being sent".to_owned(),
        _ => match operation.held_by {
            Some(decision) => format!("decision {decision}"),
            None if operation.not_before > now_ms => format!("until {}", local_time(operation.not_before)),
            None => match operation.waits_for {
                Some(WaitsFor::Text) => "until it is read".to_owned(),
                Some(WaitsFor::Disk) => "for its disk".to_owned(),
                None => "waits".to_owned(),
            },
        },
    }
}

/// One of the files of its document, for people.
fn path(catalog: &Catalog, operation: &Operation) -> Result<Option<RelPath>, Failure> {
    Ok(query::copies(catalog.read(), operation.document_id)?.into_iter().next().map(|file| file.path))
}

fn operation_json(operation: &Operation, path: Option<&RelPath>) -> Value {
    json!({
        "id": operation.op_id,
        "store": operation.store,
        "kind": operation.kind,
        "state": operation.state,
        "attempts": operation.attempts,
        "not_before": rfc3339_or_null((operation.not_before > 0).then_some(operation.not_before)),
        "decision": operation.held_by,
        "waits_for": operation.waits_for,
        "error_code": operation.error_code,
        "error": operation.error_text,
        "path": path.map(RelPath::json_text),
        "path_bytes": path.and_then(RelPath::json_bytes),
        "created_at": rfc3339(operation.created_at),
        "updated_at": rfc3339(operation.updated_at),
    })
}
