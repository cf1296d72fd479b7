//! Reads files as enrichment does, in worker processes, and prints what came out: a JSON object a line.
//!
//! usage: cargo run --release --example extract -- PROGRAM [WORKERS] < PATHS > LINES
//!
//! PROGRAM is the built `shelflist`, which is its own worker; PATHS are one a line; without WORKERS there is one a core. For the comparisons in `benches/`: what is
//! compared is the worker that a library is read with, its limits and its start included.

#![allow(clippy::print_stderr, reason = "a tool for developers")]

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::json;
use shelflist::enrich::{ExtractorProcess, Limits, Outcome};

fn main() -> ExitCode {
    let Some(program) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return usage();
    };
    let workers = match std::env::args().nth(2).map(|workers| workers.parse()) {
        None => std::thread::available_parallelism().map_or(2, usize::from),
        Some(Ok(workers)) if workers > 0 => workers,
        Some(_) => return usage(),
    };
    match extract_all(&program, workers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: extract PROGRAM [WORKERS] < PATHS > LINES");
    ExitCode::from(2)
}

fn extract_all(program: &std::path::Path, workers: usize) -> io::Result<()> {
    // A worker stands elsewhere.
    let program = &program.canonicalize()?;
    let limits = Limits { timeout: Duration::from_secs(60), memory_bytes: 1 << 30, text_bytes: 16 << 20 };
    let paths: Vec<String> = io::stdin().lock().lines().collect::<io::Result<_>>()?;
    let (next, out) = (Mutex::new(paths.into_iter()), Mutex::new(io::stdout()));
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| {
                scope.spawn(|| -> io::Result<()> {
                    let mut process = ExtractorProcess::new(program.to_owned(), limits);
                    loop {
                        let path = next.lock().expect("no thread panics with the lock").next();
                        let Some(path) = path else { return Ok(()) };
                        let line = match process.extract(path.as_ref(), &|| false) {
                            Ok(Outcome::Extracted(found)) => json!({
                                "path": path, "mime": found.mime, "extractor": found.extractor, "text": found.text,
                                "fields": found.fields.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                            }),
                            Ok(Outcome::Unsupported { mime }) => json!({ "path": path, "mime": mime }),
                            Ok(Outcome::Failed { mime, kind, message, .. }) => {
                                json!({ "path": path, "mime": mime, "problem": kind, "message": message })
                            }
                            Err(error) => json!({ "path": path, "error": error.to_string() }),
                        };
                        writeln!(out.lock().expect("no thread panics with the lock"), "{line}")?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no thread panics"))
    })
}
