//! How long it takes to put a change in line, and to lease what is next, with a long queue.
//!
//! usage: cargo run --release --example outbox_bench -- DIR [PENDING]
//!
//! Makes a catalogue in DIR with one store and so many documents in line (100,000 by default), and prints milliseconds: of
//! transactions that put one changed document in line, durable, and of leases of fifty as `sync` asks for them. What it means:
//! docs/performance.md.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers")]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::params;
use shelflist::catalog::outbox::{self, Ask, Ending};
use shelflist::catalog::stores::{self, NewStore, StorePayload};
use shelflist::catalog::{Catalog, CatalogError, Ids};

type Failure = Box<dyn std::error::Error>;

/// How often each is timed.
const TIMES: i64 = 400;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let done = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [dir] => bench(Path::new(dir), 100_000),
        [dir, pending] => pending.parse().map_err(Failure::from).and_then(|n| bench(Path::new(dir), n)),
        _ => {
            eprintln!("usage: outbox_bench DIR [PENDING]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn tell(name: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("| {name} | {:.2} | {:.2} | {:.2} |", at(0.5), at(0.99), at(1.0));
}

fn bench(dir: &Path, pending: i64) -> Result<(), Failure> {
    let mut catalog = Catalog::open_or_create(&dir.join("catalog.db"), Timestamp::UNIX_EPOCH)?;
    let mut ids = Ids::default();
    let store_id = catalog.change::<_, CatalogError>(|tx| {
        for n in 1..=pending {
            let hash = *blake3::hash(&n.to_le_bytes()).as_bytes();
            tx.prepare_cached(
                "INSERT INTO documents (document_id, ulid, content_hash, size, enrich_stale, search_stale, created_at, updated_at)
                 VALUES (?1, ?2, ?3, 1, 0, 0, 0, 0)",
            )?
            .execute(params![n, format!("01HZZZZZZZZZZ{n:013}"), hash])?;
        }
        let new = NewStore {
            name: "nowhere",
            url: "dir:/nowhere",
            payload: StorePayload::Enriched,
            remote_store: "s",
            generation: "g",
            password_command: None,
            found: None,
        };
        stores::insert(tx, &mut ids, &new, 1)
    })?;
    println!("| {pending} in line | p50 ms | p99 ms | max ms |\n|---|---|---|---|");

    let mut times = Vec::new();
    for n in 0..TIMES {
        let document_id = 1 + n * 7_919 % pending;
        let begin = Instant::now();
        catalog.change::<_, CatalogError>(|tx| {
            tx.execute("UPDATE documents SET updated_at = ?2 WHERE document_id = ?1", [document_id, n])?;
            outbox::enqueue_mirror(tx, &mut ids, document_id, n)
        })?;
        times.push(begin.elapsed());
    }
    tell("a change and its operation, durable", times);

    for kind in ["mirror", "delete"] {
        let mut times = Vec::new();
        for n in 0..TIMES / 4 {
            let token = n.to_string();
            let ask = Ask {
                channel_id: store_id,
                kind,
                owner: "bench",
                token: &token,
                until_ms: i64::MAX,
                only_recalled: false,
                readable: &[],
                limit: 50,
            };
            let begin = Instant::now();
            let leased = catalog.change::<_, CatalogError>(|tx| outbox::lease(tx, &ask, 1_000_000))?;
            times.push(begin.elapsed());
            catalog.change::<_, CatalogError>(|tx| {
                for op in &leased {
                    outbox::end(tx, op, Ending::Done { note: None }, 2)?;
                }
                Ok(())
            })?;
        }
        tell(&format!("lease of fifty, {kind}"), times);
    }
    Ok(())
}
