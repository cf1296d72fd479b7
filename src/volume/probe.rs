//! Answers, within a deadline, whether a library can be looked at now.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ulid::Ulid;

use super::deadline::{NoAnswer, within};
use super::find::doubles;
use super::findings::{self, Answer, Findings};
use super::identity::Identity;
use super::judge::judge;
use super::marker::LastScan;
use super::mounts::Mount;
use crate::model::Availability;

/// What the catalogue knows of a library: what a probe holds the disk against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Which library.
    pub library_id: Ulid,
    /// Its name, for messages.
    pub name: String,
    /// Where it was; absolute and without symbolic links.
    pub root: PathBuf,
    /// Whether it has a marker; `false` after `init --no-marker`.
    pub marker: bool,
    /// The volume it was on.
    pub identity: Identity,
    /// When it was last verified, milliseconds since 1970.
    pub last_seen_ms: Option<i64>,
    /// The generation its marker should have.
    pub marker_generation: u64,
    /// What the catalogue is known to have left in the marker.
    pub last_scan: Option<LastScan>,
}

impl Expected {
    /// The root relative to its volume's mount point: where [`super::find_library`] looks on other mounts.
    #[must_use]
    pub fn rel_root(&self) -> Option<&Path> {
        self.root.strip_prefix(&self.identity.mount_point).ok()
    }
}

/// What a probe found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether the library can be looked at, and if not, why not.
    pub availability: Availability,
    /// The mount that carries the root's path now. Boxed because a probe is also what a failed check returns.
    pub mount: Option<Box<Mount>>,
    /// What was found, in one sentence for people, without a trailing stop.
    pub detail: String,
}

/// Looks whether the library is there. Comes back within `deadline`, and a little for starting a thread, whatever the
/// disk does. A library that never answers is `degraded(hung)`.
///
/// Touches nothing but the mount table, the root and its marker, the library's own mount point, and disks that may be
/// copies of the library's, bit by bit.
#[must_use]
pub fn probe(expected: &Expected, deadline: Duration) -> Probe {
    conclude(expected, &look(expected, deadline))
}

/// The path without links, as the operating system resolves it, if it says so within `deadline`.
///
/// # Errors
/// That nothing is there, among others; where no answer came, [`std::io::ErrorKind::TimedOut`].
pub fn real_path(path: &Path, deadline: Duration) -> std::io::Result<PathBuf> {
    let asked = path.to_owned();
    within(path, deadline, move || asked.canonicalize())
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::TimedOut, error))?
}

/// One look under the deadline.
pub(super) fn look(expected: &Expected, deadline: Duration) -> Findings {
    let begun = Instant::now();
    let looked_for = expected.clone();
    match within(&expected.root, deadline, move || findings::look(&looked_for)) {
        Ok(mut findings) => {
            if findings.answer == Answer::InTime {
                findings.answer = in_time_or_slowly(begun.elapsed(), deadline);
            }
            if judge(expected, &findings).availability().is_readable() {
                findings.doubles = doubles(expected, findings.carrier.as_ref(), deadline);
            }
            findings
        }
        Err(error) => Findings::none(no_answer(&error)),
    }
}

/// An answer that took half the deadline is slow: the next one may not make it.
fn in_time_or_slowly(took: Duration, deadline: Duration) -> Answer {
    if took >= deadline / 2 { Answer::Slowly(took) } else { Answer::InTime }
}

fn no_answer(error: &NoAnswer) -> Answer {
    match error {
        NoAnswer::Overdue(after) => Answer::Hung(*after),
        NoAnswer::NoThread(_) | NoAnswer::Died => Answer::Failed(error.to_string()),
    }
}

/// What the findings mean, in words.
pub(super) fn conclude(expected: &Expected, findings: &Findings) -> Probe {
    let verdict = judge(expected, findings);
    Probe {
        availability: verdict.availability(),
        mount: findings.carrier.clone().map(Box::new),
        detail: verdict.detail(expected, findings.carrier.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // L2: slow
    #[test]
    fn half_the_deadline_is_slow() {
        let ms = Duration::from_millis;
        assert_eq!(in_time_or_slowly(ms(4999), ms(10_000)), Answer::InTime);
        assert_eq!(in_time_or_slowly(ms(5000), ms(10_000)), Answer::Slowly(ms(5000)));
    }
}
