//! Who may import whom: the `use crate::` lines, held against the room table of the design.

#![allow(missing_docs)]

#[path = "common/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sources::sources;

/// A room, and the rooms it may know. `model` and the leaves `clock`, `monitor`, `power` and `config` come on top of each.
const TABLE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("clock", &[]),
    ("monitor", &[]),
    ("config", &[]),
    ("power", &[]),
    ("catalog", &[]),
    ("volume", &[]),
    ("content", &[]),
    ("remote", &[]),
    ("library", &["catalog", "volume", "content", "remote"]),
    ("scan", &["catalog", "volume", "content"]),
    ("enrich", &["catalog", "volume", "content"]),
    ("curate", &["catalog"]),
    ("sync", &["catalog", "volume", "content", "remote", "enrich"]),
    ("fetch", &["catalog", "volume", "content", "remote", "library"]),
    ("daemon", &[]),
    (
        "cli",
        &[
            "catalog", "volume", "content", "remote", "library", "scan", "enrich", "curate", "sync", "fetch",
            "daemon",
        ],
    ),
    ("main", &["cli"]),
];

const EVERYBODYS: &[&str] = &["model", "clock", "monitor", "power"];

/// The rooms that a source names after `crate::` or, in `main.rs`, `shelflist::`.
fn named(source: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for prefix in ["crate::", "shelflist::"] {
        for (at, _) in source.match_indices(prefix) {
            let rest = &source[at + prefix.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                // use crate::{a::b, c};
                let group = group.split('}').next().unwrap();
                rooms.extend(group.split(',').map(|path| path.trim().split("::").next().unwrap().to_owned()));
            } else {
                rooms
                    .insert(rest.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect());
            }
        }
    }
    rooms
}

/// Without comments: a room may be spoken of by everybody.
fn code(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

fn rooms() -> BTreeMap<String, Vec<(PathBuf, String)>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut rooms: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for path in files {
        let rel = path.strip_prefix(&src).unwrap().to_owned();
        let room = rel.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let source = code(&std::fs::read_to_string(&path).unwrap());
        rooms.entry(room).or_default().push((rel, source));
    }
    rooms.remove("lib");
    rooms
}

#[test]
fn rooms_know_only_whom_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = TABLE.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, files) in rooms() {
        let Some(allowed) = table.get(room.as_str()) else {
            wrong.push(format!("{room} is not in the table"));
            continue;
        };
        for (path, source) in files {
            for named in named(&source) {
                let fine = named == room
                    || EVERYBODYS.contains(&named.as_str())
                    || allowed.contains(&named.as_str());
                // The command line alone reads the configuration.
                let fine = fine || (named == "config" && room == "cli");
                if !fine && table.contains_key(named.as_str()) {
                    wrong.push(format!("{} knows {named}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn sql_stands_only_in_the_catalogue() {
    for (room, files) in rooms() {
        for (path, source) in files {
            let sql =
                ["rusqlite", "SELECT ", "INSERT INTO", "PRAGMA "].iter().find(|word| source.contains(**word));
            // A scan's writer and walkers hold connections of the catalogue, and hand them to its functions.
            let only_a_type = room == "scan"
                && sql == Some(&"rusqlite")
                && !source.contains("execute(")
                && !source.contains("prepare");
            assert!(room == "catalog" || sql.is_none() || only_a_type, "{}: {sql:?}", path.display());
        }
    }
}

#[test]
fn only_the_command_line_prints() {
    for (room, files) in rooms() {
        for (path, source) in files {
            // The worker's standard error is a pipe to its parent, which reads it as the reason of a crash.
            let is_worker = path == Path::new("enrich/worker.rs");
            let prints = ["println!", "eprintln!", "print!("].iter().any(|word| source.contains(word));
            assert!(room == "cli" || is_worker || !prints, "{} prints", path.display());
        }
    }
}

#[test]
fn the_network_is_known_only_to_remote_and_web() {
    for (room, files) in rooms() {
        for (path, source) in files {
            assert!(
                ["remote", "web"].contains(&room.as_str())
                    || !["tokio", "opendal", "reqwest", "openssh_sftp"]
                        .iter()
                        .any(|word| source.contains(word)),
                "{}",
                path.display()
            );
        }
    }
}
