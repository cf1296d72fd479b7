//! What to do about a library that is not plainly available: which disk, where it is expected, which command to run
//! again (L3). The probe's detail says what was found; this says what to do next, and leaves the other out.

use jiff::Timestamp;

use super::mounts::is_network;
use super::probe::{Expected, Probe};
use crate::model::Reason;
use crate::model::path::display_name;

/// The operating systems whose remedies differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Platform {
    MacOs,
    Other,
}

/// One or two sentences: what to do, and what to run then. Empty for a library that is plainly available.
#[must_use]
pub fn advice(expected: &Expected, probe: &Probe, now: Timestamp) -> String {
    let platform = if cfg!(target_os = "macos") { Platform::MacOs } else { Platform::Other };
    advice_for(platform, expected, probe, now)
}

/// Which disk a library is on, when that was seen last, and where it is expected, for one who needs it now: `the disk "SHELF"
/// (last seen 3 days ago, on 2026-11-18), expected at /mnt/shelf`.
#[must_use]
pub fn whereabouts(expected: &Expected, now: Timestamp) -> String {
    let point = path_text(&expected.identity.mount_point);
    format!("{}{}, expected at {point}", disk(expected), last_seen(expected, now))
}

fn advice_for(platform: Platform, expected: &Expected, probe: &Probe, now: Timestamp) -> String {
    let Some(reason) = probe.availability.reason() else { return String::new() };
    let name = quoted(&expected.name);
    let root = quoted(&path_text(&expected.root));
    let point = path_text(&expected.identity.mount_point);
    let again = format!("`shelflist scan {name}`");
    let disk = disk(expected);
    let seen = last_seen(expected, now);
    match reason {
        Reason::NotMounted => {
            let what = if is_network(&expected.identity.fs_type) {
                format!("Mount {disk}{seen} at {point}")
            } else {
                format!("Connect {disk}{seen} so that it is mounted at {point}")
            };
            let elsewhere = if expected.marker && !is_network(&expected.identity.fs_type) {
                format!("run `shelflist library relocate {name}`: it is found by its marker")
            } else {
                format!("run `shelflist library relocate {name} NEW_ROOT`")
            };
            format!("{what}, then run {again} again. If it is mounted elsewhere now, {elsewhere}.")
        }
        Reason::RootMissing => format!(
            "If the directory was moved or renamed on {disk}{seen}, run `shelflist library relocate {name} NEW_ROOT`; \
             else put it back at {root} and run {again} again. No file counts as missing meanwhile."
        ),
        Reason::WrongDisk => {
            let but = if expected.marker { " and only its marker was lost" } else { "" };
            format!(
                "Connect {disk}{seen} in place of what is at {point} now, then run {again} again. If this is the \
                 library all the same{but}, run `shelflist library adopt {name} {root}`."
            )
        }
        Reason::Cloned => format!(
            "Connect the original alone, {disk}{seen}, at {point} and run {again} again; or, if this one has taken its \
             place, say so with `shelflist library adopt {name} {root}`."
        ),
        Reason::Permission if platform == Platform::MacOs => format!(
            "Open System Settings > Privacy & Security > Files and Folders, allow the program that runs shelflist \
             (your terminal, or shelflist itself when it is scheduled) Removable Volumes, or give it Full Disk Access \
             there; then run {again} again."
        ),
        Reason::Permission => format!(
            "Give the user who runs shelflist the right to list and read {root} and the directories above it (`ls -ld \
             {root}` shows who may), then run {again} again."
        ),
        Reason::ReadError => format!(
            "Check {disk}{seen}: its cable, the system's log, its health. Then mount it anew at {point} and run {again} \
             again; no file counts as missing meanwhile."
        ),
        Reason::Hung => format!(
            "Check {disk}{seen}: its cable, or the network it is reached by. When `ls {root}` answers again, run {again} \
             again; if it is only slow, give it longer with `shelflist config set probe.deadline_ms 60000`."
        ),
        Reason::Empty => format!(
            "If the files were moved elsewhere, run `shelflist library relocate {name} NEW_ROOT`; else check that \
             {root} is the directory you mean on {disk}{seen}, and run {again} again. No file counts as missing \
             meanwhile."
        ),
        Reason::ReadOnly => {
            "Nothing needs to be done: a library that cannot be written is scanned and read like any other."
                .to_owned()
        }
        Reason::Slow => format!(
            "Nothing needs to be done. If it gets slower, check {disk}, or give it longer with `shelflist config set \
             probe.deadline_ms 60000`."
        ),
    }
}

/// `the disk "SHELF"`, or what else it is best known by.
fn disk(expected: &Expected) -> String {
    let identity = &expected.identity;
    let source = display_name(identity.source.as_encoded_bytes());
    match &identity.label {
        _ if is_network(&identity.fs_type) => format!("the network volume {source}"),
        _ if !identity.separate_mount => "the system disk".to_owned(),
        Some(label) => format!("the disk \"{}\"", display_name(label.as_bytes())),
        None => format!("the disk {source}"),
    }
}

/// ` (last seen 3 days ago, on 2026-11-18)`, or nothing where it is not known or makes no sense.
fn last_seen(expected: &Expected, now: Timestamp) -> String {
    let Some(seen) = expected.last_seen_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()) else {
        return String::new();
    };
    let days = now.duration_since(seen).as_hours() / 24;
    let date = seen.strftime("%F");
    match days {
        // A clock that was set back since.
        _ if now < seen => format!(" (last seen on {date})"),
        0 => format!(" (last seen less than a day ago, on {date})"),
        1 => format!(" (last seen 1 day ago, on {date})"),
        _ => format!(" (last seen {days} days ago, on {date})"),
    }
}

fn path_text(path: &std::path::Path) -> String {
    display_name(path.as_os_str().as_encoded_bytes())
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "/._-+:@%,=".contains(char);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests;
