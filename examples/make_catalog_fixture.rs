//! Makes the stored catalogue of one version, with a row of every kind: `fixtures/catalogs/vN.db`.
//!
//! usage: cargo run --example make_catalog_fixture -- VERSION FILE [ROWS.sql ...]
//!
//! Run once when a version is released, and commit the file: later versions must open it (C1). The rows are in the words of
//! version 1, so a later catalogue is one of version 1 that was migrated; what later tables and columns hold comes out of the ROWS
//! that are given.

#![allow(clippy::print_stderr, reason = "a tool for developers")]

use std::path::PathBuf;
use std::process::ExitCode;

use jiff::Timestamp;
use shelflist::catalog::migrate;

const ROWS: &str = include_str!("../fixtures/catalogs/rows.sql");

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (Some(version), Some(path)) =
        (args.next().and_then(|text| text.parse().ok()), args.next().map(PathBuf::from))
    else {
        eprintln!("usage: make_catalog_fixture VERSION FILE [ROWS.sql ...]");
        return ExitCode::from(2);
    };
    let made = migrate::open_at(&path, 1, Timestamp::UNIX_EPOCH)
        .map_err(|error| error.to_string())
        .and_then(|conn| conn.execute_batch(ROWS).map_err(|error| error.to_string()))
        .and_then(|()| {
            migrate::open_at(&path, version, Timestamp::UNIX_EPOCH).map_err(|error| error.to_string())
        })
        .and_then(|conn| {
            args.try_for_each(|rows| {
                let rows = std::fs::read_to_string(rows).map_err(|error| error.to_string())?;
                conn.execute_batch(&rows).map_err(|error| error.to_string())
            })
        });
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
