//! Knows whether a library is really there: mount table, marker, identity of the volume, probe with a deadline.
//!
//! Everything else in the program believes this room, so it is made to doubt. It shaped itself on one failure that
//! every catalogue of removable disks has had: the disk is away, its mount point stayed behind as an empty
//! directory, a scan finds nothing in it, and a thousand files are "deleted". Hence:
//! - a root is verified, never assumed: the marker must be the expected one, on the expected kind of mount (D2);
//! - a look that was refused, failed or did not come back in time is its own answer, never "nothing there" (D1);
//! - what was verified is verified again at every commit ([`VerifiedRoot::recheck`], D3);
//! - other mounts are not touched: the mount table is read from the operating system, never by a `stat` of what it
//!   lists, and network mounts that are not the library's own are never entered;
//! - no look can hang the caller: each happens in a thread with a deadline, one at a time for a root, and a place where
//!   somebody is stuck is not touched by anybody else ([`hung`]);
//! - the marker is the only thing ever written under a root ([`marker`], D8), and the root itself is never made.
//!
//! Reading order: [`mounts`], [`marker`], [`identity`], [`findings`] (what a look saw), [`judge`] (what that means,
//! pure), [`probe`](mod@probe) (both, with a deadline), [`verified`], [`find`], [`profile`] (what the volume is like),
//! [`advice`](mod@advice).

mod deadline;
pub mod hung;
mod patience;
mod platform;

pub mod mounts;

pub mod identity;
pub mod marker;

pub mod findings;
pub mod judge;
pub mod probe;
pub mod verified;

pub mod advice;
pub mod find;
pub mod profile;

pub use advice::{advice, whereabouts};
pub use deadline::NoAnswer;
pub use find::find_library;
pub use identity::{Identity, identify};
pub use judge::judge_availability;
pub use marker::{LastScan, Marker};
pub use mounts::{Mount, mount_of};
pub use patience::{Patience, PatientReader};
pub use platform::mount_table;
pub use probe::{Expected, Probe, probe, real_path};
pub use profile::Profile;
pub use verified::{VerifiedRoot, verify};
