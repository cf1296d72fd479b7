//! `--wait`: what `sync` and `sync now` do until nothing waits any more, and what people are told meanwhile.

use std::collections::HashSet;

use indicatif::HumanCount;
use jiff::{SignedDuration, Timestamp};

use crate::catalog::{Catalog, CatalogError, libraries};
use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::{ago, local_time};
use crate::cli::ui::Ui;
use crate::clock::{Clock, SystemClock};
use crate::library;
use crate::sync::keep::{self, Ended, For, Host, Keep, Until, Waiting};
use crate::sync::wake::Why;
use crate::sync::{Here, PushReport};

/// How long: without a duration for as long as it takes.
pub(super) type Wait = Option<SignedDuration>;

/// A duration that can be waited for.
pub(super) fn duration(typed: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration = typed.parse().map_err(|error: jiff::Error| error.to_string())?;
    match duration.is_positive() {
        true => Ok(duration),
        false => Err("give a time to wait for, for instance 20m".to_owned()),
    }
}

/// Sends until nothing waits that can be sent, or the time is up. A person has just said so: who is away is called at once.
pub(super) fn send(
    context: &Context,
    catalog: &mut Catalog,
    only: Option<i64>,
    wait: Wait,
    ui: &Ui,
) -> Result<(PushReport, Ended), Failure> {
    let now_ms = context.clock.now_ms();
    let longest_ms = wait.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
    let keep = Keep {
        only,
        at_once: true,
        until: Until::Drained,
        time_up_ms: longest_ms.map(|longest_ms| now_ms.saturating_add(longest_ms)),
    };
    let mut waits = Waits { clock: context.clock, ui, said: HashSet::new() };
    let kept = keep::keep_sending(catalog, &keep, &mut waits, &[], &context.clock, ui)?;
    for (library_id, probe) in &kept.0.lost {
        let all = libraries::all(catalog.read())?;
        if let Some(library) = all.iter().find(|library| library.library_id == *library_id) {
            library::note(catalog, library, probe.availability, &context.clock)?;
        }
    }
    Ok(kept)
}

/// In a word, for scripts.
pub(super) const fn word(ended: Ended) -> &'static str {
    match ended {
        Ended::Drained => "drained",
        Ended::TimeUp => "time_up",
        Ended::Cancelled => "interrupted",
    }
}

/// Knows the libraries, and tells people for what it waits.
struct Waits<'a> {
    clock: SystemClock,
    ui: &'a Ui,
    /// What was waited for so far: where lines stay, each is said once.
    said: HashSet<(String, Option<i64>)>,
}

impl Host for Waits<'_> {
    fn here(&mut self, catalog: &mut Catalog) -> Result<Vec<Here>, CatalogError> {
        let mut here = Vec::new();
        for library in libraries::all(catalog.read())? {
            if let Ok(root) = library::look(catalog, &library, &self.clock)? {
                here.push(Here { library, root });
            }
        }
        Ok(here)
    }

    fn waits(&mut self, waiting: &Waiting<'_>) {
        let now = self.clock.now();
        let key = match waiting.what {
            For::Store { name, why, offline_since } => (format!("{name} {why:?}"), offline_since),
            For::Sender | For::News => (String::new(), None),
        };
        let is_new = self.said.insert(key);
        self.ui.waits(&told(waiting, now), is_new);
    }
}

/// For what it waits, until when, and how much waits.
fn told(waiting: &Waiting<'_>, now: Timestamp) -> String {
    let left_ms = waiting.until_ms - now.as_millisecond();
    // Of 24.9 seconds 25 are left.
    let again = format!("tried again in {}", ago(left_ms + 999));
    let what = match waiting.what {
        For::Store { name, why: Why::Asked, .. } => {
            format!("{name} asked to be left alone until {}", short_time(waiting.until_ms, now))
        }
        For::Store { name, why: Why::Broken, offline_since: Some(since) } => {
            format!("{name} takes nothing since {}; {again}", short_time(since, now))
        }
        For::Store { name, offline_since: Some(since), .. } => {
            format!("{name} is away since {}; {again}", short_time(since, now))
        }
        For::Store { why: Why::Source, .. } => format!("files that could not be read are {again}"),
        For::Store { name, .. } => format!("{name}: {again}"),
        For::Sender => "another shelflist is sending".to_owned(),
        For::News => "nothing can be sent".to_owned(),
    };
    let waits = if waiting.queued == 1 { "waits" } else { "wait" };
    format!("{what}; {} {waits}", HumanCount(waiting.queued))
}

/// Without the day where it is today.
fn short_time(ms: i64, now: Timestamp) -> String {
    let (at, today) = (local_time(ms), local_time(now.as_millisecond()));
    match (at.split_once(' '), today.split_once(' ')) {
        (Some((day, time)), Some((today, _))) if day == today => time.to_owned(),
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // O2
    #[test]
    fn people_are_told_for_what_it_waits_and_until_when() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let ms = now.as_millisecond();
        let line = |what| told(&Waiting { what, until_ms: ms + 24_500, queued: 1_204 }, now);
        let nas = |why, offline_since| For::Store { name: "nas", why, offline_since };
        assert!(line(nas(Why::Away, Some(ms - 90_000))).starts_with("nas is away since "));
        assert!(line(nas(Why::Away, Some(ms))).ends_with("; tried again in 25 s; 1,204 wait"));
        assert!(line(nas(Why::Broken, Some(ms))).starts_with("nas takes nothing since "));
        assert!(line(nas(Why::Asked, None)).starts_with("nas asked to be left alone until "));
        assert_eq!(line(nas(Why::Due, None)), "nas: tried again in 25 s; 1,204 wait");
        assert_eq!(line(For::Sender), "another shelflist is sending; 1,204 wait");
    }

    #[test]
    fn a_wait_of_no_time_is_none() {
        assert!(duration("0s").is_err() && duration("-5m").is_err() && duration("soon").is_err());
        assert_eq!(duration("90s").unwrap(), SignedDuration::from_secs(90));
    }
}
