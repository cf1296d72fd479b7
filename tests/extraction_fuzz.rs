//! Damaged documents through the real worker: a short run of what `examples/fuzz_extract.rs` does for as long as one likes.

#![allow(missing_docs)]

mod fuzz;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fuzz::{Seed, Tester};
use shelflist::enrich::{self, Limits};

/// Cases of all extractors together: seconds, also where nothing is optimised.
const CASES: u64 = 240;

// E1
#[test]
fn damaged_documents_get_an_honest_outcome_whoever_reads_them() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let all = fuzz::seeds_below(&[fixtures.join("library"), fixtures.join("damaged")]).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let limits = Limits { timeout: Duration::from_secs(60), memory_bytes: 512 << 20, text_bytes: 4 << 20 };
    let mut tester = Tester::new(&PathBuf::from(env!("CARGO_BIN_EXE_shelflist")), limits, scratch.path());
    let mut wrong = Vec::new();
    let families = enrich::extractors();
    let cases_each = CASES / families.len() as u64;
    for family in families {
        let seeds: Vec<&Seed> = all.iter().filter(|seed| seed.family == Some(family)).collect();
        assert!(!seeds.is_empty(), "no fixture is read by {family}");
        for number in 0..cases_each {
            let case = fuzz::case(&seeds, &all, 1, number);
            let tried = tester.try_out(&case, number.is_multiple_of(4)).unwrap();
            if !tried.wrong.is_empty() {
                wrong.push(format!("{family}, case {number}, {}: {}", case.story, tried.wrong.join("; ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_case_is_the_same_whenever_it_is_made() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let cases = || {
        let all = fuzz::seeds_below(&[fixtures.join("library")]).unwrap();
        let seeds: Vec<&Seed> = all.iter().collect();
        (0..100).map(|number| fuzz::case(&seeds, &all, 7, number).bytes).collect::<Vec<_>>()
    };
    let (one, other) = (cases(), cases());
    assert!(one == other);
}
