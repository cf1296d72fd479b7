//! Has extractors read damaged documents, in real workers with real limits, until somebody has enough or finds something.
//!
//! usage: cargo run --release --example fuzz_extract -- PROGRAM [SEEDS...] [--family NAME]... [--minutes N | --runs N] [--seed N]
//!
//! PROGRAM is the built `shelflist`, which is its own worker. Ends with 1 where something was found; every finding is told with
//! what gives it again (`--seed N --case M`), and the document is kept. See tests/fuzz for what is damaged and what must hold.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for developers")]

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use fuzz::{Case, Seed, Tester, Tried};
use shelflist::enrich::{self, Limits};

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;

/// Has extractors read damaged documents.
#[derive(Debug, Parser)]
struct Args {
    /// The built shelflist.
    program: PathBuf,
    /// Documents, or directories of them; fixtures/library and fixtures/damaged by default.
    seeds: Vec<PathBuf>,
    /// Only documents that this extractor reads; all of them by default, one after the other.
    #[arg(long)]
    family: Vec<String>,
    /// How long each family is tried.
    #[arg(long, default_value_t = 1.0, conflicts_with = "runs")]
    minutes: f64,
    /// How many cases of each family, instead of a time.
    #[arg(long)]
    runs: Option<u64>,
    /// Another one gives other cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the case of this number; it is kept, and what came of it is told.
    #[arg(long)]
    case: Option<u64>,
    /// So many at a time.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Where findings are kept.
    #[arg(long, default_value = "target/fuzz")]
    keep: PathBuf,
    /// Time limit for one document, in milliseconds.
    #[arg(long, default_value_t = 20_000)]
    timeout_ms: u64,
}

/// The parent may hold one answer a thread, and is measured against what it had once it was warm. Most of what it grows by is
/// what glibc keeps of the large documents that are made here; `MALLOC_MMAP_THRESHOLD_=262144` in the environment makes it
/// give that back.
const GROWTH_ALLOWED_KIB: u64 = 256 * 1024;
/// Cases until it is warm.
const WARM: u64 = 100;
/// One case of so many is asked twice.
const TWICE: u64 = 4;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: Args) -> io::Result<u64> {
    let Args { program, seeds, family, minutes, runs, seed, case, threads, keep, timeout_ms } = args;
    // A worker stands elsewhere.
    let program = program.canonicalize()?;
    let paths = match seeds.as_slice() {
        [] => vec![PathBuf::from("fixtures/library"), PathBuf::from("fixtures/damaged")],
        _ => seeds,
    };
    let all = fuzz::seeds_below(&paths)?;
    let known = enrich::extractors();
    let families = if family.is_empty() { known.iter().map(|&it| it.to_owned()).collect() } else { family };
    let limits =
        Limits { timeout: Duration::from_millis(timeout_ms), memory_bytes: 1 << 30, text_bytes: 16 << 20 };
    let mut findings = 0;
    for family in families {
        let chosen: Vec<&Seed> = all.iter().filter(|seed| seed.family == Some(family.as_str())).collect();
        if chosen.is_empty() {
            let message =
                format!("no document among the seeds is read by {family:?}; known: {}", known.join(", "));
            return Err(io::Error::other(message));
        }
        let until = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
        let shared = Shared {
            program: &program,
            limits,
            family: &family,
            chosen: &chosen,
            all: &all,
            seed,
            next: AtomicU64::new(case.unwrap_or(0)),
            last: case.map_or(runs.map_or(u64::MAX, |runs| runs.saturating_sub(1)), |case| case),
            until: runs.or(case).is_none().then_some(until),
            keep: &keep,
            tells: case.is_some(),
            figures: Mutex::default(),
        };
        findings += shared.run(threads)?;
    }
    Ok(findings)
}

struct Shared<'a> {
    program: &'a Path,
    limits: Limits,
    family: &'a str,
    chosen: &'a [&'a Seed],
    all: &'a [Seed],
    seed: u64,
    next: AtomicU64,
    last: u64,
    until: Option<Instant>,
    keep: &'a Path,
    tells: bool,
    figures: Mutex<Figures>,
}

#[derive(Default)]
struct Figures {
    cases: u64,
    bytes: u64,
    kinds: BTreeMap<String, u64>,
    slowest: Option<(Duration, u64)>,
    starts: u64,
    /// By their words, without numbers: one mistake is met a thousand times.
    findings: BTreeMap<String, u64>,
    warm_kib: u64,
    most_kib: u64,
}

impl Shared<'_> {
    fn run(&self, threads: usize) -> io::Result<u64> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(|| self.work())).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })?;
        let mut figures = self.figures();
        let grown_kib = figures.most_kib.saturating_sub(figures.warm_kib);
        if grown_kib > GROWTH_ALLOWED_KIB {
            println!("FOUND {}: the parent grew by {} MiB", self.family, grown_kib / 1024);
            *figures.findings.entry("the parent grew".to_owned()).or_default() += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let (slowest, at) = figures.slowest.unwrap_or_default();
        println!(
            "{}: {} cases of {} seeds in {seconds:.0} s ({:.0} a second, {} KiB on average), {}; slowest {} ms (case {at}); \
             {} workers started; parent {} MiB when warm, {} MiB at most; {} findings",
            self.family,
            figures.cases,
            self.chosen.len(),
            figures.cases as f64 / seconds,
            figures.bytes / 1024 / figures.cases.max(1),
            figures.kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect::<Vec<_>>().join(", "),
            slowest.as_millis(),
            figures.starts,
            figures.warm_kib / 1024,
            figures.most_kib / 1024,
            figures.findings.len(),
        );
        Ok(figures.findings.len() as u64)
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> io::Result<()> {
        let scratch = tempfile::tempdir()?;
        let mut tester = Tester::new(self.program, self.limits, scratch.path());
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number > self.last || self.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            let case = fuzz::case(self.chosen, self.all, self.seed, number);
            let tried = tester.try_out(&case, number.is_multiple_of(TWICE) || self.tells)?;
            if self.tells {
                let path = self.keep_case(&case)?;
                println!("{}: {}, {}: {tried:?}", self.family, path.display(), case.story);
            }
            self.note(&case, &tried)?;
        }
        self.figures().starts += tester.starts();
        Ok(())
    }

    fn keep_case(&self, case: &Case) -> io::Result<PathBuf> {
        std::fs::create_dir_all(self.keep)?;
        let name = format!("{}-{}-{}", self.family, self.seed, case.number);
        let path = self.keep.join(name).with_extension(&case.extension);
        std::fs::write(&path, &case.bytes)?;
        Ok(path)
    }

    fn note(&self, case: &Case, tried: &Tried) -> io::Result<()> {
        let Tried { kind, message: _, took, wrong } = tried;
        let mut figures = self.figures();
        figures.cases += 1;
        figures.bytes += case.bytes.len() as u64;
        *figures.kinds.entry(kind.clone()).or_default() += 1;
        figures.slowest = figures.slowest.max(Some((*took, case.number)));
        let kib = resident_kib();
        if figures.cases <= WARM {
            figures.warm_kib = figures.warm_kib.max(kib);
        }
        figures.most_kib = figures.most_kib.max(kib);
        for wrong in wrong {
            let words: String = wrong.chars().filter(|char| !char.is_ascii_digit()).take(80).collect();
            let times = figures.findings.entry(words).or_default();
            *times += 1;
            if *times > 3 {
                continue;
            }
            let path = self.keep_case(case)?;
            println!(
                "FOUND {}: {wrong}\n  --family {} --seed {} --case {}  {}\n  kept as {}",
                self.family,
                self.family,
                self.seed,
                case.number,
                case.story,
                path.display()
            );
        }
        Ok(())
    }
}

/// What this process has in memory; 0 where the system does not say.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
