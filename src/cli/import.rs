use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::edited::{self, Changes};
use super::exit::{Exit, Failure};
use super::output::plural;
use crate::clock::Clock;
use crate::curate::{self, Import, Trouble};
use crate::model::path::display_name;

/// Troubles that people are shown; scripts get all.
const SHOWN: usize = 50;

/// Take over what was changed in a list that `export --format csv` wrote. Works with the disk and the network away.
///
/// Only cells that differ from what was exported are taken over, as one edit that `undo` takes back. Where a card was changed
/// meanwhile in the same field, or a row cannot be meant, the line is named and nothing is changed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The list.
    file: PathBuf,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leave out rows whose cards were changed meanwhile, and take over the others.
    #[arg(long)]
    skip_conflicts: bool,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { file, dry_run, skip_conflicts } = args;
    let name = display_name(file.as_os_str().as_bytes());
    let mut list = std::fs::File::open(&file).map_err(|error| {
        Failure::new(Exit::Failed, format!("{name} cannot be read: {error}"))
            .hint("give a file that `shelflist export --format csv --out FILE` wrote")
    })?;
    let mut catalog = context.open()?;
    let import = curate::read(&catalog, &mut list)?;
    let refused = !import.errors.is_empty() || (!import.conflicts.is_empty() && !skip_conflicts);
    if refused {
        return refuse(context, &name, &import, dry_run);
    }
    let now_ms = context.clock.now_ms();
    let mut changes = Changes::new(context.json);
    let report = if dry_run {
        curate::preview(&catalog, import.asks(), now_ms, &mut |told| changes.take(told))?
    } else {
        let said = format!("import {name}");
        curate::edit(&mut catalog, &said, import.asks(), None, now_ms, &mut |told| changes.take(told))?
    };
    let object = json!({
        "dry_run": dry_run,
        "rows": import.rows,
        "conflicts": troubles_json(&import.conflicts),
        "errors": [],
    });
    if !context.json {
        context.out.line(format!("{name}: {} read", plural(import.rows, "row", "rows")))?;
        print(context, "left out", &import.conflicts)?;
    }
    edited::print(context, &catalog, &report, &changes, object)?;
    if !dry_run {
        edited::let_be_found(&mut catalog)?;
    }
    Ok(if import.conflicts.is_empty() { Exit::Done } else { Exit::Problems })
}

fn refuse(context: &mut Context, name: &str, import: &Import, dry_run: bool) -> Result<Exit, Failure> {
    let mut what = Vec::new();
    if !import.errors.is_empty() {
        what.push(plural(import.errors.len() as u64, "row cannot be meant", "rows cannot be meant"));
    }
    if !import.conflicts.is_empty() {
        what.push(plural(
            import.conflicts.len() as u64,
            "cell was changed in the catalogue since",
            "cells were changed in the catalogue since",
        ));
    }
    let message = format!("{name}: {}; nothing was changed", what.join(", "));
    let hint = if import.errors.is_empty() {
        "export it anew, or take over the other rows with --skip-conflicts"
    } else {
        "mend these lines, then import the file again"
    };
    if context.json {
        context.out.json(&json!({
            "error": { "message": message, "hint": hint, "exit_code": Exit::Failed as u8 },
            "dry_run": dry_run,
            "edit": null,
            "rows": import.rows,
            "conflicts": troubles_json(&import.conflicts),
            "errors": troubles_json(&import.errors),
        }))?;
        return Ok(Exit::Failed);
    }
    print(context, "refused", &import.errors)?;
    print(context, "conflict", &import.conflicts)?;
    Err(Failure::new(Exit::Failed, message).hint(hint))
}

fn print(context: &mut Context, how: &str, troubles: &[Trouble]) -> Result<(), Failure> {
    for trouble in troubles.iter().take(SHOWN) {
        let Trouble { line, id: _, field, what, listed, now } = trouble;
        let field = field.map_or_else(String::new, |field| format!(", {field}"));
        let values = match (listed, now) {
            (Some(listed), Some(now)) => format!(": the list says {listed:?}, the card {now:?}"),
            _ => String::new(),
        };
        context.out.line(format!("line {line}{field}: {how}, {what}{values}"))?;
    }
    if troubles.len() > SHOWN {
        context.out.line(format!("and {} more; --json lists all", troubles.len() - SHOWN))?;
    }
    Ok(())
}

fn troubles_json(troubles: &[Trouble]) -> Vec<Value> {
    troubles
        .iter()
        .map(|trouble| {
            let Trouble { line, id, field, what, listed, now } = trouble;
            json!({ "line": line, "document_id": id, "field": field, "message": what, "listed": listed, "catalogue": now })
        })
        .collect()
}
