//! What several test files share. Each uses a part of it.
#![allow(dead_code, unused_imports, unused_macros)]

pub(crate) mod broken_disk;
pub(crate) mod disk;
pub(crate) mod mounted;
