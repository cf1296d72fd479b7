use std::collections::HashMap;

use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{Out, ago, plural, rfc3339_or_null};
use crate::catalog::ledger::RemoteObject;
use crate::catalog::{Catalog, CatalogError, Sender, ledger, query, stores};
use crate::clock::Clock;
use crate::model::OperationState;
use crate::sync::devices::Kept;
use crate::sync::orphans::{self, CleanOptions};

/// List remote objects that were replaced or are no longer wanted, or delete them.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List orphans.
    List,
    /// Delete the orphans whose grace is over (setting orphans.grace_days).
    Clean {
        /// Say what would be deleted.
        #[arg(long)]
        dry_run: bool,
        /// Also where it is more than 5 % of a store's objects, or more than 1,000.
        #[arg(long)]
        force: bool,
    },
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    match args.command {
        None | Some(Command::List) => list(context),
        Some(Command::Clean { dry_run, force }) => clean(context, dry_run, force),
    }
}

/// Those that are to be deleted at once, and how that stands.
type Recalled = HashMap<i64, Option<OperationState>>;

fn orphan_json(catalog: &Catalog, orphan: &RemoteObject, recalled: &Recalled) -> Result<Value, CatalogError> {
    let store = stores::all(catalog.read())?.into_iter().find(|store| store.store_id == orphan.store_id);
    let file = query::copies(catalog.read(), orphan.document_id)?.into_iter().next();
    Ok(json!({
        "store": store.map(|store| store.name),
        "path": file.as_ref().map(|file| file.path.json_text()),
        "path_bytes": file.as_ref().and_then(|file| file.path.json_bytes()),
        "payload": orphan.payload,
        "remote_id": orphan.remote_id,
        "bytes": orphan.bytes,
        "cause": orphan.cause,
        "orphaned_at": rfc3339_or_null(orphan.orphaned_at),
        "taken_back": recalled.contains_key(&orphan.object_id),
        "deletion": recalled.get(&orphan.object_id).copied().flatten(),
    }))
}

fn print(context: &mut Context, catalog: &Catalog, orphans: &[RemoteObject]) -> Result<(), Failure> {
    let now_ms = context.clock.now_ms();
    let mut rows = Vec::new();
    let recalled = ledger::recalled(catalog.read(), None)?;
    for orphan in orphans {
        let object = orphan_json(catalog, orphan, &recalled)?;
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let age = orphan.orphaned_at.map_or_else(String::new, |at| ago(now_ms - at));
        let path = crate::model::path::display_name(text("path").as_bytes());
        let cause = match recalled.get(&orphan.object_id) {
            Some(Some(OperationState::Dead)) => format!("{}, its deletion failed", text("cause")),
            Some(_) => format!("{}, the next sync deletes it", text("cause")),
            None => text("cause"),
        };
        rows.push(vec![text("store"), age, cause, path, orphan.remote_id.clone()]);
    }
    Ok(context.out.table(&["STORE", "AGE", "CAUSE", "FILE", "OBJECT"], &rows)?)
}

fn list(context: &mut Context) -> Result<Exit, Failure> {
    let catalog = context.open()?;
    let orphans = ledger::orphans(catalog.read(), None, i64::MAX)?;
    if context.json {
        let recalled = ledger::recalled(catalog.read(), None)?;
        let orphans: Vec<Value> = orphans
            .iter()
            .map(|orphan| orphan_json(&catalog, orphan, &recalled))
            .collect::<Result<_, _>>()?;
        context.out.json(&json!({ "orphans": orphans }))?;
    } else if orphans.is_empty() {
        context.out.line("no orphans")?;
    } else {
        print(context, &catalog, &orphans)?;
    }
    Ok(Exit::Done)
}

/// Orphans that stay because other devices may need them.
pub(super) fn kept_json(kept: &Kept) -> Value {
    json!({ "store": kept.store, "orphans": kept.orphans, "devices": kept.devices })
}

pub(super) fn print_kept(out: &mut Out, kept: &[Kept]) -> std::io::Result<()> {
    for Kept { store, orphans, devices } in kept {
        let n = plural(*orphans, "orphan stays", "orphans stay");
        let Some(devices) = devices else {
            out.line(format!(
                "{store}: {n}: its key may not list, so other devices that may need them are not known; if there are none: shelflist orphans clean --force"
            ))?;
            continue;
        };
        let others = plural(devices.len() as u64, "other device keeps", "other devices keep");
        out.line(format!(
            "{store}: {n}: {others} objects there, and may need them; see: shelflist store devices {store}; then: shelflist orphans clean --force"
        ))?;
    }
    Ok(())
}

fn clean(context: &mut Context, dry_run: bool, force: bool) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let sender = Sender::take(&mut catalog, context.clock.now_ms())?;
    let ui = context.ui();
    let report = orphans::clean(&mut catalog, &sender, CleanOptions { dry_run, force }, &context.clock, &ui)?;
    ui.clear();
    let exit = if !report.braked.is_empty() || !report.kept.is_empty() {
        Exit::Failed
    } else if !report.offline.is_empty() {
        Exit::Offline
    } else {
        Exit::Done
    };
    if context.json {
        let none = Recalled::new();
        let due: Vec<Value> =
            report.due.iter().map(|orphan| orphan_json(&catalog, orphan, &none)).collect::<Result<_, _>>()?;
        context.out.json(&json!({
            "dry_run": dry_run,
            "orphans": due,
            "deleted": report.deleted,
            "in_grace": report.in_grace,
            "refused": report.braked.iter().map(|(store, due, all)| json!({ "store": store, "due": due, "objects": all })).collect::<Vec<_>>(),
            "kept": report.kept.iter().map(kept_json).collect::<Vec<_>>(),
            "offline": report.offline.iter().map(|offline| json!({
                "store": offline.store, "code": offline.code, "message": chain(&offline.error),
            })).collect::<Vec<_>>(),
        }))?;
        return Ok(exit);
    }
    if dry_run && !report.due.is_empty() {
        print(context, &catalog, &report.due)?;
    }
    let out = &mut context.out;
    for (store, due, all) in &report.braked {
        out.line(format!(
            "{store}: {due} of {all} objects would be deleted; look at them with: shelflist orphans; then: shelflist orphans clean --force"
        ))?;
    }
    print_kept(out, &report.kept)?;
    for offline in &report.offline {
        let why = chain(&offline.error);
        out.line(format!("{}: queued, offline: {why} ({})", offline.store, offline.code))?;
    }
    let deleted = plural(report.deleted, "orphan deleted", "orphans deleted");
    let grace = if report.in_grace > 0 {
        format!(", {} still in their grace", report.in_grace)
    } else {
        String::new()
    };
    if dry_run {
        out.line(format!(
            "dry run: {} would be deleted{grace}",
            plural(report.due.len() as u64, "orphan", "orphans")
        ))?;
    } else {
        out.line(format!("{deleted}{grace}"))?;
    }
    Ok(exit)
}
