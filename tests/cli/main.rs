//! Runs the program as people and scripts do: hermetic home, real directories, exit codes, output.

#![allow(missing_docs)]

mod answers;
mod bad_input;
mod cards;
mod commands;
mod contract;
mod curation;
mod desk;
mod devices;
mod draining;
mod enrich;
mod fetch;
mod kills;
mod moves;
mod power;
mod privacy;
mod queue;
mod review;
mod review_cards;
mod scan;
mod scope;
mod search;
mod shift;
mod store_check;
mod sync;
#[path = "../common/wait.rs"]
#[allow(dead_code)]
mod wait;
