//! Damaged documents for the extractors, made from good ones, and what must be true of every answer to one (E1).
//!
//! A case is known by two numbers: the run's seed and its own. They give the same bytes on every machine, whatever ran
//! before and however many threads run, so that a finding can be told in one line. What is to be found out is whether the
//! *parent* stays safe and right: whatever is in a file, an honest outcome in time, the same one every time, and no memory
//! of the parent's kept.
#![allow(dead_code, reason = "the example and the test each use a part of it")]

mod judge;
mod mutate;
mod seeds;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shelflist::enrich::{ExtractorProcess, Limits, Outcome};

pub(crate) use judge::wrong_with;
pub(crate) use mutate::mutated;
pub(crate) use seeds::{Seed, seeds_below};

/// One damaged document.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) number: u64,
    /// What was done to which seed.
    pub(crate) story: String,
    pub(crate) extension: String,
    pub(crate) bytes: Vec<u8>,
}

/// The case of that number. `family` are the seeds to be damaged, `all` those whose parts may be put into them.
pub(crate) fn case(family: &[&Seed], all: &[Seed], seed: u64, number: u64) -> Case {
    // Neighbouring numbers must not give neighbouring generators.
    let mixed = blake3::hash(&[seed.to_le_bytes(), number.to_le_bytes()].concat());
    let mixed = u64::from_le_bytes(mixed.as_bytes()[..8].try_into().expect("a hash has 32 bytes"));
    let mut rng = fastrand::Rng::with_seed(mixed);
    let chosen = family[rng.usize(..family.len())];
    let (bytes, steps) = mutated(&mut rng, chosen, family, all);
    Case {
        number,
        story: format!("{}: {}", chosen.name, steps.join(", ")),
        extension: chosen.extension.clone(),
        bytes,
    }
}

/// How a case went.
#[derive(Debug)]
pub(crate) struct Tried {
    /// `extracted`, `unsupported`, or the kind of the problem.
    pub(crate) kind: String,
    /// Of a problem: what was said of it.
    pub(crate) message: String,
    pub(crate) took: Duration,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

/// Two workers that are asked the same.
#[derive(Debug)]
pub(crate) struct Tester {
    first: ExtractorProcess,
    second: ExtractorProcess,
    limits: Limits,
    scratch: PathBuf,
}

impl Tester {
    /// `scratch` is a directory of its own.
    pub(crate) fn new(program: &Path, limits: Limits, scratch: &Path) -> Self {
        let process = || ExtractorProcess::new(program.to_owned(), limits);
        Tester { first: process(), second: process(), limits, scratch: scratch.to_owned() }
    }

    /// Workers started so far.
    pub(crate) fn starts(&self) -> u64 {
        self.first.starts() + self.second.starts()
    }

    /// Has a document read, and judges the answer; where `twice`, also by another worker with another past.
    pub(crate) fn try_out(&mut self, case: &Case, twice: bool) -> std::io::Result<Tried> {
        let path = self.scratch.join(match case.extension.as_str() {
            "" => "case".to_owned(),
            extension => format!("case.{extension}"),
        });
        std::fs::write(&path, &case.bytes)?;
        let begun = Instant::now();
        let answer = self.first.extract(&path, &|| false);
        let took = begun.elapsed();
        let mut wrong = wrong_with(&answer, took, self.limits);
        if twice && wrong.is_empty() {
            let again = self.second.extract(&path, &|| false);
            match (&answer, &again) {
                (Ok(one), Ok(other)) if one == other => {}
                _ => wrong.push(format!("asked twice, two answers: {}", difference(&answer, &again))),
            }
        }
        let kind = match &answer {
            Ok(Outcome::Extracted(_)) => "extracted".to_owned(),
            Ok(Outcome::Unsupported { .. }) => "unsupported".to_owned(),
            Ok(Outcome::Failed { kind, .. }) => kind.to_string(),
            Err(_) => "no outcome".to_owned(),
        };
        let message = match answer {
            Ok(Outcome::Failed { message, .. }) => message,
            _ => String::new(),
        };
        std::fs::remove_file(&path)?;
        Ok(Tried { kind, message, took, wrong })
    }
}

/// Two answers, cut to where they part.
fn difference<T: std::fmt::Debug>(one: &T, other: &T) -> String {
    let (one, other) = (format!("{one:?}"), format!("{other:?}"));
    let same = one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count();
    let from = |text: &str| {
        let (begin, end) =
            (text.floor_char_boundary(same.saturating_sub(40)), text.floor_char_boundary(same + 120));
        text[begin..end].to_owned()
    };
    format!("…{} and …{}", from(&one), from(&other))
}
