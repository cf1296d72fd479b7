//! Running by itself: launchd and systemd start the program, on a schedule and when a disk is plugged in.
//!
//! What the files say is rendered by pure functions ([`launchd`], [`systemd`]); writing them and telling the system
//! is a thin loop beside ([`schedule`]). Which system it is comes in as an argument, so that both are tested anywhere.
//!
//! What is absent, on purpose: no scheduled run depends on a disk being there. An absent disk is normal (D10), and the
//! work that needs no disk has to go on; so no unit has a condition on a mount.

pub mod launchd;
pub mod schedule;
pub mod systemd;

pub use schedule::{
    CommandRunner, FileState, Platform, Ran, Schedule, ScheduleError, Status, SystemCommands, UnitFile,
    UserDirs, install, remove, render, start, status,
};
