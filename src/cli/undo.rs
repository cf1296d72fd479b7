use serde_json::{Value, json};

use super::context::Context;
use super::edited::{self, Changes, Places};
use super::exit::{Exit, Failure};
use super::output::{local_time, plural, rfc3339, rfc3339_or_null};
use crate::catalog::edits::{self, Edit, Word};
use crate::clock::Clock;
use crate::curate::{self, Left};
use crate::model::path::display_name;

/// Take back an edit: the last one, or that of a number. Works with the disk and the network away.
///
/// Done again, it goes on to the one before. Only fields that still say what the edit made of them go back; what was changed
/// since is named and left, and the command ends with 3. Taking back is an edit itself: `undo` with its number brings the
/// first one into effect again.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The number of an edit; without it, the last one that is in effect.
    #[arg(value_name = "EDIT", conflicts_with = "list")]
    edit: Option<i64>,
    /// List the last edits.
    #[arg(long, conflicts_with = "dry_run")]
    list: bool,
    /// Of the list, at most so many.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "list")]
    limit: usize,
    /// Show what would go back, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { edit, list: as_list, limit, dry_run } = args;
    if as_list {
        return list(context, limit);
    }
    let mut catalog = context.open()?;
    let now_ms = context.clock.now_ms();
    let mut changes = Changes::new(context.json);
    let undone = if dry_run {
        curate::preview_undo(&catalog, edit, now_ms, &mut |told| changes.take(told))?
    } else {
        curate::undo(&mut catalog, edit, now_ms, &mut |told| changes.take(told))?
    };
    let places = Places::of(&catalog)?;
    let mut object = json!({ "dry_run": dry_run, "undone": edit_json(&undone.edit) });
    if context.json {
        let left = undone.left.iter().map(|left| {
            let Left { change, now } = left;
            let mut object = places.json(&catalog, change.document_id)?;
            object["field"] = json!(change.field);
            object["edited_to"] = json!(change.after);
            object["now"] = json!(now);
            Ok(object)
        });
        object["left"] = json!(left.collect::<Result<Vec<Value>, crate::catalog::CatalogError>>()?);
    } else {
        context.out.line(format!("edit {}: {}", undone.edit.edit_id, undone.edit.said))?;
        for Left { change, now } in &undone.left {
            let place = places.text(&catalog, change.document_id)?;
            let (field, says) = (change.field, word(now));
            context.out.line(if *now == change.after {
                format!("{place}: {field} is left, it was changed since and says {says} again")
            } else {
                format!("{place}: {field} is left, it says {says} since")
            })?;
        }
    }
    edited::print(context, &catalog, &undone.report, &changes, object)?;
    if !dry_run {
        edited::let_be_found(&mut catalog)?;
    }
    Ok(if undone.left.is_empty() { Exit::Done } else { Exit::Problems })
}

fn word(word: &Word) -> String {
    match word {
        None => "what was found out".to_owned(),
        Some(values) if values.is_empty() => "that there is none".to_owned(),
        Some(values) => format!("\"{}\"", display_name(values.join("; ").as_bytes())),
    }
}

fn list(context: &mut Context, limit: usize) -> Result<Exit, Failure> {
    let catalog = context.open()?;
    let all = edits::list(catalog.read(), Some(limit))?;
    if context.json {
        let edits: Vec<Value> = all
            .iter()
            .map(|(edit, documents, fields)| {
                let mut object = edit_json(edit);
                object["documents"] = json!(documents);
                object["fields"] = json!(fields);
                object
            })
            .collect();
        context.out.json(&json!({ "edits": edits }))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        context.out.line("nothing was edited yet")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = all
        .into_iter()
        .map(|(edit, documents, _)| {
            let undone =
                edit.undone_at.map_or_else(String::new, |at| format!("taken back {}", local_time(at)));
            vec![
                edit.edit_id.to_string(),
                local_time(edit.at),
                plural(documents, "document", "documents"),
                edit.said,
                undone,
            ]
        })
        .collect();
    context.out.table(&["EDIT", "AT", "CHANGED", "WHAT", ""], &rows)?;
    Ok(Exit::Done)
}

fn edit_json(edit: &Edit) -> Value {
    json!({
        "edit": edit.edit_id,
        "at": rfc3339(edit.at),
        "said": edit.said,
        "undoes": edit.undoes,
        "undone_at": rfc3339_or_null(edit.undone_at),
    })
}
