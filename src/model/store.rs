//! What is known of a store beside its address.

use serde::{Deserialize, Serialize};

/// What trying a store out has found: recorded when it is added, and given back whenever it is opened. A server may take a
/// condition and ignore it, so what it can do is only known by trying.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// It refused to replace an object that it was asked to make only if absent.
    pub conditional_put: bool,
    /// It lists objects in the order of their keys.
    pub lists_in_order: bool,
    /// How far its clock is ahead of ours, in milliseconds, where it says the time; about a second is the doubt of that.
    pub clock_ahead_ms: Option<i64>,
}
