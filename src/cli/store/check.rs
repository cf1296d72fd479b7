use jiff::SignedDuration;
use serde_json::{Value, json};

use super::store_named;
use crate::catalog::stores::{self, StoreRow};
use crate::catalog::{Catalog, Sender};
use crate::cli::context::Context;
use crate::cli::edited::Places;
use crate::cli::exit::{Exit, Failure, chain};
use crate::cli::output::plural;
use crate::clock::Clock;
use crate::remote::{AwayReason, StoreError};
use crate::sync::check::{self, CheckOptions, CheckReport, Difference, Differs, Outcome};
use crate::sync::{Away, code};

/// Differences that people are shown; scripts get more.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name or URL of a store; without it all of them.
    store: Option<String>,
    /// Put in line what is missing or damaged, make orphans of objects of ours that nobody knows of, and begin a wiped store
    /// anew.
    #[arg(long)]
    repair: bool,
    /// With --repair, also where the place is empty and could be an unplugged disk's: only you know that it is the right one.
    #[arg(long, requires = "repair", requires = "store")]
    anew: bool,
    /// Read every object back and hash it.
    #[arg(long)]
    read: bool,
    /// Read for so long at most, for instance 20m; the next check goes on there.
    #[arg(long, requires = "read", value_name = "DURATION")]
    max_time: Option<SignedDuration>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { store, repair, anew, read, max_time } = args;
    let mut catalog = context.open()?;
    let rows = match store.as_deref() {
        Some(named) => vec![store_named(&catalog, named)?],
        None => stores::all(catalog.read())?,
    };
    let max_read_ms = max_time.map(|time| u64::try_from(time.as_millis()).unwrap_or(0));
    let options = CheckOptions { repair, anew, read, max_read_ms };
    let sender = Sender::take(&mut catalog, context.clock.now_ms())?;
    let ui = context.ui();
    let mut reports = Vec::with_capacity(rows.len());
    for row in rows {
        let report = check::check(&mut catalog, &sender, &row, options, &context.clock, &ui)?;
        let interrupted = matches!(report.outcome, Outcome::Interrupted);
        reports.push((row, report));
        if interrupted {
            break;
        }
    }
    ui.clear();
    let exit = Exit::worst(reports.iter().map(|(_, report)| exit_of(report, repair)));
    if context.json {
        let places = Places::of(&catalog)?;
        let mut all = Vec::with_capacity(reports.len());
        for (row, report) in &reports {
            all.push(report_json(&catalog, &places, row, report)?);
        }
        context.out.json(&json!({ "stores": all }))?;
        return Ok(exit);
    }
    if reports.is_empty() {
        context.out.line("no store yet; add one with: shelflist store add dir:PATH")?;
    }
    for (row, report) in &reports {
        print(context, &catalog, row, report, options)?;
    }
    Ok(exit)
}

fn exit_of(report: &CheckReport, repair: bool) -> Exit {
    match &report.outcome {
        Outcome::Interrupted => Exit::Interrupted,
        Outcome::Away(_) => Exit::Offline,
        Outcome::Wiped => Exit::Problems,
        Outcome::BegunAnew if repair => Exit::Done,
        Outcome::BegunAnew => Exit::Problems,
        Outcome::Compared if report.left() == 0 => Exit::Done,
        Outcome::Compared => Exit::Problems,
    }
}

const fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Compared => "compared",
        Outcome::BegunAnew => "begun_anew",
        Outcome::Wiped => "wiped",
        Outcome::Away(_) => "away",
        Outcome::Interrupted => "interrupted",
    }
}

fn report_json(
    catalog: &Catalog,
    places: &Places,
    row: &StoreRow,
    report: &CheckReport,
) -> Result<Value, Failure> {
    let mut differences = Vec::with_capacity(report.differences.len());
    for Difference { differs, key, document_id } in &report.differences {
        let mut object = match document_id {
            Some(document_id) => places.json(catalog, *document_id)?,
            None => json!({ "document_id": null, "library": null, "path": null }),
        };
        object["differs"] = json!(differs);
        object["key"] = json!(key);
        differences.push(object);
    }
    let (code, message) = match &report.outcome {
        Outcome::Away(away) => (Some(code::CONNECTION), Some(chain(away))),
        _ => (None, None),
    };
    Ok(json!({
        "store": row.name,
        "url": row.url,
        "state": word(&report.outcome),
        "code": code,
        "message": message,
        "objects": report.listed,
        "foreign": report.foreign,
        "current": report.current,
        "counts": report.counts,
        "differences": differences,
        "more_differences": report.counts.all() - report.differences.len() as u64,
        "in_line": report.in_line,
        "adopted": report.adopted,
        "other_devices": report.other_devices,
        "left": report.left(),
        "read": report.read,
        "unread": report.unread,
    }))
}

fn print(
    context: &mut Context,
    catalog: &Catalog,
    row: &StoreRow,
    report: &CheckReport,
    options: CheckOptions,
) -> Result<(), Failure> {
    let places = Places::of(catalog)?;
    let out = &mut context.out;
    let name = &row.name;
    match &report.outcome {
        Outcome::Away(away) => {
            out.line(format!("{name}: away: {} ({})", chain(away), code::CONNECTION))?;
            let may_be_empty = matches!(
                away,
                Away::OtherStore { .. }
                    | Away::Store(StoreError::Away { reason: AwayReason::NoStoreInRoot, .. })
            );
            out.line("  nothing was concluded")?;
            if may_be_empty {
                out.line(format!(
                    "  only where you know that the place is the right one, and empty: shelflist store check {name} --repair --anew"
                ))?;
            }
            return Ok(());
        }
        Outcome::Interrupted => {
            out.line(format!("{name}: stopped; nothing was concluded from what was not seen"))?;
        }
        Outcome::Wiped => {
            out.line(format!("{name}: nothing of a store is there any more"))?;
            out.line(format!(
                "  to begin it anew and send everything again: shelflist store check {name} --repair"
            ))?;
            return Ok(());
        }
        Outcome::BegunAnew => {
            out.line(format!(
                "{name}: it was begun anew; everything is in line to be proved or sent: shelflist sync"
            ))?;
            return Ok(());
        }
        Outcome::Compared => {
            let same = if report.counts.all() == 0 { ", as they should be" } else { "" };
            out.line(format!("{name}: {} there{same}", plural(report.listed, "object", "objects")))?;
        }
    }
    for difference in report.differences.iter().take(SHOWN) {
        let what = match difference.differs {
            Differs::Missing => "is not there",
            Differs::Size => "has another length",
            Differs::Bytes => "has other bytes",
            Differs::Unsearchable => "cannot be found",
            Differs::Stranger => "is there, and nobody knows of it",
        };
        let place = match difference.document_id {
            Some(document_id) => format!("  ({})", places.text(catalog, document_id)?),
            None => String::new(),
        };
        out.line(format!("  {} {what}{place}", difference.key))?;
    }
    let more = report.counts.all().saturating_sub(SHOWN as u64);
    if more > 0 {
        out.line(format!("  and {more} more"))?;
    }
    if report.foreign > 0 {
        let n = plural(report.foreign, "object is", "objects are");
        out.line(format!("  {n} not ours, and let alone"))?;
    }
    if options.read {
        let unread =
            if report.unread > 0 { format!(", {} for another time", report.unread) } else { String::new() };
        out.line(format!("  {} read back{unread}", plural(report.read, "object", "objects")))?;
    }
    if report.in_line > 0 {
        let n = plural(report.in_line, "object is", "objects are");
        out.line(format!("  {n} in line again: shelflist sync"))?;
    }
    if report.adopted > 0 {
        let n = plural(report.adopted, "object is an orphan", "objects are orphans");
        out.line(format!("  {n} now: shelflist orphans"))?;
    }
    if report.counts.strangers > 0 && !report.other_devices.is_empty() {
        let others = plural(report.other_devices.len() as u64, "other device keeps", "other devices keep");
        out.line(format!(
            "  {others} objects there: what nobody knows of may be theirs, and is let alone; see: shelflist store devices {name}"
        ))?;
    }
    if report.left() > 0 && !options.repair {
        out.line(format!("  to put this in order: shelflist store check {name} --repair"))?;
    }
    Ok(())
}
