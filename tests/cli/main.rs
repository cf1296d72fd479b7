//! Runs the program as people and scripts do: hermetic home, real directories, exit codes, output.

#![allow(missing_docs)]

mod answers;
mod bad_input;
mod contract;
mod curation;
mod desk;
mod moves;
mod power;
mod review;
mod scan;
mod search;
mod shift;
mod sync;
