//! Every invariant of looking at disks and every requirement of the scanner has a test that names it, in a comment above:
//! `// D3` or `// D1, L6: why`.

#![allow(missing_docs)]

#[path = "common/sources.rs"]
mod sources;

use std::collections::BTreeSet;
use std::path::Path;

use sources::sources;

/// How many there are of each: the design's invariants, the requirements of libraries, disks and scanning.
const ROWS: [(char, u32); 2] = [('D', 10), ('L', 15)];

/// The rows that a comment names: before its colon, separated by commas.
fn rows_in(comment: &str) -> impl Iterator<Item = &str> {
    let named = comment.split(':').next().unwrap_or_default();
    named.split(", ").map(str::trim)
}

/// Whether a comment stands above a function: only attributes and further lines of comment between them.
fn stands_above_a_function<'a>(mut below: impl Iterator<Item = &'a str>) -> bool {
    let line = below.find(|line| {
        let line = line.trim_start();
        !(line.starts_with("//") || line.starts_with('#') || line.is_empty())
    });
    line.is_some_and(|line| line.contains("fn "))
}

#[test]
fn every_row_has_a_test_that_names_it() {
    let mut files = Vec::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for dir in ["src", "tests"] {
        sources(&here.join(dir), &mut files);
    }
    let mut named = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(comment) = line.trim_start().strip_prefix("// ") else { continue };
            if stands_above_a_function(lines[at + 1..].iter().copied()) {
                named.extend(rows_in(comment).map(str::to_owned));
            }
        }
    }
    let without: Vec<String> = ROWS
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")))
        .filter(|row| !named.contains(row))
        .collect();
    assert!(without.is_empty(), "no test names {without:?}");
}
