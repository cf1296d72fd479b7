//! Stores on a network, against real servers and through a proxy that breaks connections.

#![allow(missing_docs)]

#[path = "../peers/mod.rs"]
mod peers;
#[path = "../common/store_contract.rs"]
mod store_contract;
#[path = "../common/wait.rs"]
#[allow(dead_code)]
mod wait;

mod chroma;
mod chroma_commands;
mod commands;
#[path = "../cli/desk.rs"]
#[allow(dead_code)]
mod desk;
mod embedders;
mod families;
mod faults;
mod gemini;
mod gemini_commands;
#[path = "../common/index_contract.rs"]
mod index_contract;
mod luck;
mod model;
mod place;
mod resumed;
