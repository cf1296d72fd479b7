//! What several test files share. Each uses a part of it.
#![allow(dead_code, unused_imports, unused_macros)]

pub(crate) mod broken_disk;
#[path = "../cli/desk.rs"]
pub(crate) mod desk;
pub(crate) mod disk;
pub(crate) mod engine;
pub(crate) mod lent;
pub(crate) mod mounted;
pub(crate) mod names;
pub(crate) mod saboteur;
pub(crate) mod shelf;
pub(crate) mod state;
pub(crate) mod wait;
