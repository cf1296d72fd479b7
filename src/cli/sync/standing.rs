//! `sync status`: how the stores and the queue stand; without asking anybody outside, unless somebody wants that.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, libraries, queue, stores};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{ago, local_time, plural, rfc3339_or_null};
use crate::clock::Clock;
use crate::model::path::display_name;
use crate::sync::connectivity::{self, Connectivity, Watch};
use crate::sync::wake::Channel;
use crate::sync::{code, keep};

pub(super) fn run(context: &mut Context, probe: bool) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    if probe {
        for store in stores::all(catalog.read())? {
            connectivity::probe(&mut catalog, &store, &[], &context.clock)?;
        }
    }
    let now_ms = context.clock.now_ms();
    let all = stores::all(catalog.read())?;
    let next = next_tries(&catalog, &all, now_ms)?;
    let queue = queue::standing(catalog.read(), None, now_ms)?;
    let today = queue::done_since(catalog.read(), midnight(context.clock.now()))?;
    let last = all.iter().filter_map(|store| store.last_ok).max();
    let mode = mode(&all);
    if context.json {
        context.out.json(&json!({
            "mode": mode,
            "last_sync": rfc3339_or_null(last),
            "queue": queue,
            "local_to_remote": { "pending": queue.pending, "synced_today": today, "failed": queue.dead },
            // There is no hub yet to pull from.
            "remote_to_local": null,
            "stores": all.iter().zip(&next).map(|(store, next)| store_json(store, *next, now_ms)).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    out.line(format!("mode: {mode}"))?;
    out.line(format!("last sync: {}", last.map_or_else(|| "never".to_owned(), local_time)))?;
    let oldest = queue.oldest_pending_ms.filter(|_| queue.pending > 0);
    let oldest = oldest.map_or_else(String::new, |age| format!(", the oldest since {}", ago(age)));
    out.line(format!("queue: {} pending{oldest}, {} in hand", queue.pending, queue.leased))?;
    out.line(format!(
        "local to remote: {} pending, {today} synced today, {} failed",
        queue.pending, queue.dead
    ))?;
    for (store, next) in all.iter().zip(&next) {
        let next = next.filter(|at| *at > now_ms).map_or_else(String::new, |at| {
            format!("; what waits is tried again in {}, or by: shelflist sync now", ago(at - now_ms))
        });
        out.line(format!("{}: {}{next}", store.name, told(store, now_ms)))?;
    }
    if queue.dead > 0 {
        let failed = plural(queue.dead, "operation was", "operations were");
        out.line(format!("{failed} given up; see: shelflist sync queue --errors"))?;
    }
    Ok(Exit::Done)
}

/// What sends: nothing while all stores are paused.
fn mode(all: &[StoreRow]) -> &'static str {
    match all {
        [] => "no store",
        all if all.iter().all(|store| store.paused) => "paused",
        all if all.iter().any(|store| store.paused) => "paused in part",
        _ => "active",
    }
}

/// When each store is tried next by who waits for it (`--wait`): as the catalogue has it, without looking at a disk.
fn next_tries(catalog: &Catalog, all: &[StoreRow], now_ms: i64) -> Result<Vec<Option<i64>>, Failure> {
    let conn = catalog.read();
    let libraries = libraries::all(conn)?;
    let readable = libraries.iter().filter(|library| library.availability.is_readable());
    let readable: Vec<i64> = readable.map(|library| library.library_id).collect();
    let watch = Watch::of(conn)?;
    let channels = keep::channels(conn, all, &readable, &|_| false, None, now_ms)?;
    let next = |channel: &Channel| {
        let wake = channel.wake(&watch, now_ms).filter(|_| channel.has_work());
        wake.map(|wake| wake.at_ms.max(now_ms))
    };
    Ok(channels.iter().map(next).collect())
}

fn told(store: &StoreRow, now_ms: i64) -> String {
    let paused = if store.paused { ", paused" } else { "" };
    let why = display_name(store.error_text.as_deref().unwrap_or_default().as_bytes());
    match Connectivity::of(store).offline_ms(now_ms) {
        Some(offline_ms) => {
            let code = store.error_code.as_deref().unwrap_or(code::CONNECTION);
            format!("{} since {}{paused}: {why} ({code})", store.state, ago(offline_ms))
        }
        None if store.failures > 0 => {
            let times = plural(store.failures.into(), "question", "questions");
            format!("{}{paused}; it left {times} unanswered: {why} ({})", store.state, code::CONNECTION)
        }
        None => format!("{}{paused}", store.state),
    }
}

fn store_json(store: &StoreRow, next: Option<i64>, now_ms: i64) -> Value {
    let known = Connectivity::of(store);
    json!({
        "store": store.name,
        "state": store.state,
        "paused": store.paused,
        "last_ok": rfc3339_or_null(store.last_ok),
        "is_online": known.is_online(),
        "last_online_at": rfc3339_or_null(store.last_ok),
        "offline_ms": known.offline_ms(now_ms),
        "offline_duration_seconds": known.offline_ms(now_ms).map(|ms| ms / 1_000),
        "next_try_at": rfc3339_or_null(next),
        "code": store.error_code.as_deref().filter(|_| store.failures > 0),
        "failures": store.failures,
        "error": store.error_text,
    })
}

/// When today began where the user is, in milliseconds.
fn midnight(now: Timestamp) -> i64 {
    let today = now.to_zoned(TimeZone::system()).start_of_day();
    today.map_or_else(|_| now.as_millisecond() - 24 * 60 * 60 * 1_000, |day| day.timestamp().as_millisecond())
}
