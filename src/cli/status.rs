use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{ago, local_time, plural, put_path, rfc3339, rfc3339_or_null, size};
use crate::catalog::libraries::{self, Library};
use crate::catalog::query::{self, Counts, StoreCounts};
use crate::catalog::stores::{self, ChannelState, StoreRow};
use crate::catalog::{Care, Catalog, decisions, dirs, queue};
use crate::clock::Clock;
use crate::library;
use crate::model::{Availability, RelPath};
use crate::sync::code;
use crate::sync::connectivity::Connectivity;
use crate::volume;

/// Say how libraries, stores and queue stand.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it all of them.
    library: Option<String>,
}

/// Directories that cannot be looked into, before "and more".
const SHOWN: usize = 5;

struct Row {
    library: Library,
    label: Option<String>,
    advice: Option<String>,
    counts: Counts,
    problems: u64,
    frozen: Vec<(RelPath, i64)>,
    stores: Vec<(String, StoreCounts)>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library } = args;
    let mut catalog = context.open()?;
    catalog.set_care(Care::Light)?;
    let wanted = match library.as_deref() {
        Some(named) => vec![context.library(&catalog, named)?],
        None => libraries::all(catalog.read())?,
    };
    let stores = stores::all(catalog.read())?;
    let rows = wanted
        .iter()
        .map(|library| look(context, &mut catalog, library, &stores))
        .collect::<Result<Vec<Row>, Failure>>()?;
    let now_ms = context.clock.now_ms();
    let queue = queue::standing(catalog.read(), None, now_ms)?;
    let decisions = decisions::open(catalog.read())?.len();
    if context.json {
        let channels: Vec<Value> = stores
            .iter()
            .map(|store| {
                let known = Connectivity::of(store);
                json!({
                    "target": store.name,
                    "state": store.state,
                    "last_ok": rfc3339_or_null(store.last_ok),
                    "offline_ms": known.offline_ms(now_ms),
                    "is_online": known.is_online(),
                    "last_online_at": rfc3339_or_null(store.last_ok),
                    "offline_duration_seconds": known.offline_ms(now_ms).map(|ms| ms / 1_000),
                    "code": store.error_code.as_deref().filter(|_| !known.is_online()),
                })
            })
            .collect();
        context.out.json(&json!({
            "libraries": rows.iter().map(row_json).collect::<Vec<_>>(),
            "queue": queue,
            "channels": channels,
            "decisions": decisions,
            // There is no hub yet, so no second opinion.
            "conflicts": 0,
        }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    if rows.is_empty() {
        out.line("no library yet; make one with: shelflist init ROOT")?;
    }
    for row in &rows {
        let library = &row.library;
        let disk = row.label.as_deref().map_or_else(String::new, |label| format!(" on {label}"));
        out.line(format!("{}: {}{disk}, {}", library.name, library.availability, library.root.display()))?;
        if let Some(advice) = &row.advice {
            out.line(format!("  {advice}"))?;
        }
        let mut files = vec![format!("{} present ({})", row.counts.present, size(row.counts.bytes))];
        for (n, what) in [
            (row.counts.missing, "missing"),
            (row.counts.unknown, "unknown"),
            (row.counts.excluded, "excluded"),
        ] {
            if n > 0 {
                files.push(format!("{n} {what}"));
            }
        }
        out.line(format!("  files: {}", files.join(", ")))?;
        match library.last_complete_scan {
            Some(at) => out.line(format!("  last complete scan: {}", local_time(at)))?,
            None => out.line("  never scanned completely")?,
        }
        if row.problems > 0 {
            out.line(format!("  {}", plural(row.problems, "problem", "problems")))?;
        }
        for (dir, since) in row.frozen.iter().take(SHOWN) {
            out.line(format!("  {dir} cannot be looked into since {}", local_time(*since)))?;
        }
        if row.frozen.len() > SHOWN {
            out.line(format!("  and {} more directories; see all with --json", row.frozen.len() - SHOWN))?;
        }
        for (name, counts) in &row.stores {
            let StoreCounts { uploaded, pending, uploading, failed, orphaned } = counts;
            out.line(format!(
                "  store {name}: {uploaded} uploaded, {pending} pending, {uploading} uploading, {failed} failed, {orphaned} orphaned"
            ))?;
        }
    }
    for store in &stores {
        if store.state == ChannelState::Offline {
            let offline_ms = Connectivity::of(store).offline_ms(now_ms);
            let since = offline_ms.map_or_else(String::new, |ms| format!(" for {}", ago(ms)));
            out.line(format!(
                "store {}: offline{since}: {} ({})",
                store.name,
                store.error_text.as_deref().unwrap_or("?"),
                store.error_code.as_deref().unwrap_or(code::CONNECTION)
            ))?;
        }
    }
    let oldest =
        queue.oldest_pending_ms.map_or_else(String::new, |ms| format!(", the oldest for {}", ago(ms)));
    out.line(format!("queue: {} pending{oldest}, {} failed", queue.pending, queue.dead))?;
    if decisions > 0 {
        out.line(format!(
            "{} for you: shelflist decisions",
            plural(decisions as u64, "decision waits", "decisions wait")
        ))?;
    }
    Ok(Exit::Done)
}

fn look(
    context: &Context,
    catalog: &mut Catalog,
    library: &Library,
    stores: &[StoreRow],
) -> Result<Row, Failure> {
    let expected = library::expected(library)?;
    let probe = volume::probe(&expected, library::deadline(catalog)?);
    match library::note(catalog, library, probe.availability, &context.clock) {
        // A question is answered also where the answer cannot be kept.
        Err(error) if error.is_for_want_of_writing() => tracing::warn!(%error, "the look is not remembered"),
        noted => noted?,
    }
    let advice = (probe.availability != Availability::Available)
        .then(|| volume::advice(&expected, &probe, context.clock.now()));
    let library_id = library.library_id;
    let counts = query::counts(catalog, library_id)?;
    let stores = stores
        .iter()
        .map(|store| Ok((store.name.clone(), query::store_counts(catalog, store.store_id, library_id)?)))
        .collect::<Result<_, crate::catalog::CatalogError>>()?;
    let conn = catalog.read();
    let mut library = libraries::by_id(conn, library_id)?;
    if library.availability != probe.availability {
        (library.availability, library.availability_since) = (probe.availability, context.clock.now_ms());
    }
    Ok(Row {
        library,
        label: expected.identity.label,
        advice,
        counts,
        problems: query::count_problems(conn, library_id)?,
        frozen: dirs::frozen(conn, library_id)?,
        stores,
    })
}

/// Design section 9.
fn row_json(row: &Row) -> Value {
    let library = &row.library;
    let stores: Vec<Value> = row
        .stores
        .iter()
        .map(|(name, counts)| {
            let mut object = json!(counts);
            object["store"] = json!(name);
            object
        })
        .collect();
    let frozen: Vec<Value> = row
        .frozen
        .iter()
        .map(|(dir, since)| {
            let mut object = json!({ "since": rfc3339(*since) });
            put_path(&mut object, dir);
            object
        })
        .collect();
    json!({
        "library": library.name,
        "library_id": library.ulid.to_string(),
        "root": library.root.to_string_lossy(),
        "volume_label": row.label,
        "availability": {
            "state": library.availability.state(),
            "reason": library.availability.reason(),
            "since": rfc3339(library.availability_since),
        },
        "last_seen": rfc3339_or_null(library.last_seen),
        "last_complete_scan": rfc3339_or_null(library.last_complete_scan),
        "files": row.counts,
        "bytes": row.counts.bytes,
        "problems": row.problems,
        "frozen_dirs": frozen,
        "stores": stores,
    })
}
