//! shelflist: the shelf list of a file library on disks that come and go.
//!
//! The map, in reading order. Decisions are pure functions; input and output are thin loops round them.
//!
//! | room | what stands there |
//! |---|---|
//! | [`model`] | plain data: names, files, presence, availability, operations, problems; no input or output |
//! | [`clock`], [`monitor`], [`config`] | time, the watcher of a run, settings: leaves that come in as arguments |
//! | [`catalog`] | all SQLite: migrations, libraries, files, documents, enrichments, outbox, ledger, events |
//! | [`volume`] | mount table, marker, probe with a deadline, availability, profile, what hangs |
//! | [`content`] | reads a file and proves that it held still meanwhile |
//! | [`remote`] | stores, on disks and on the network, and those that can be asked: what they can do, and the doing; the one runtime |
//! | [`library`] | a library as a whole: make it, look whether it is there, find it again |
//! | [`scan`] | walk, judge, hash, record; moves; time shifts; guard; the watch over stuck threads |
//! | [`enrich`] | type, text and metadata in a limited child process; the canonical enriched content |
//! | [`curate`] | what people change on cards: edit, undo, lists that go through a spreadsheet |
//! | [`fetch`] | a content back: from another disk, a store, or its text out of the catalogue |
//! | [`sync`] | outbox to store: a line of lease, send, verify, switch; a queue that drains by itself; orphans, what is taken back, check, connectivity |
//! | [`daemon`] | running by itself: launchd and systemd |
//! | [`cli`] | the command line: supervisor and worker; parse, open, act in the library, print |
//!
//! What is absent, on purpose:
//! - Nothing here writes under a library's root, the marker apart ([`volume::marker`]).
//! - No look that failed, timed out or was skipped ever marks a file missing.
//! - No process that anybody waits for touches a disk: the worker does, and may stay with it ([`cli`]).
//! - Nothing is sent before the lease of its operation is committed, and nothing old is retired before the
//!   replacement was verified.
//! - The catalogue never touches the network or a library's disk; the stores never see the catalogue's SQL.
//! - No clock, environment variable or terminal is read outside [`clock`], [`config`] and [`cli`]; secrets alone are read
//!   where they are used, in [`remote`], so that no configuration holds them.
//! - Nothing known of the network stands outside [`remote`]: no runtime, no HTTP.

pub mod model;

pub mod clock;
pub mod config;
pub mod monitor;
mod power;

pub mod catalog;
pub mod content;
pub mod remote;
pub mod volume;

pub mod curate;
pub mod enrich;
pub mod fetch;
pub mod library;
pub mod scan;
pub mod sync;

pub mod cli;
pub mod daemon;
