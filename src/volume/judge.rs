//! What findings mean: pure, and on the side of doubt.
//!
//! The one question is whether what lies at the root's path is the library, the whole library, on its own disk. A
//! marker alone does not answer it: markers are copied with the files. The case that shaped this: a backup program
//! ran while the disk was away and filled the empty mount point on the system disk with half a copy, marker and all.
//! So a right marker counts only on the expected kind of mount (D2): the volume mounted where it was, or one that is
//! proved to be the same. A right marker anywhere else is a copy, and a person says whether it has taken over.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ulid::Ulid;

use crate::model::path::display_name;
use crate::model::{Availability, Reason};

use super::findings::{Answer, ContentsSeen, Findings, MarkerSeen, Place, RootSeen};
use super::identity::Identity;
use super::marker::Marker;
use super::mounts::{self, Mount};
use super::probe::Expected;

/// What a look amounts to. Finer than [`Reason`], for the sake of what is told to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is the library, on its own volume.
    Verified,
    /// The same, on a volume that is mounted read-only.
    VerifiedReadOnly,
    /// The same, but it took long.
    VerifiedSlowly(Duration),
    /// The volume that carries the library is not mounted.
    NotMounted,
    /// The volume is there, the root on it is not.
    RootMissing,
    /// The volume is there, and what has the root's name is no directory.
    RootNotADirectory,
    /// Another volume is mounted where the library's should be.
    OtherVolume,
    /// The marker there is of another library.
    OtherLibrary(Marker),
    /// Something is there, without a marker.
    NoMarker,
    /// What should be the marker makes no sense; why not.
    MarkerNotUnderstood(String),
    /// A library without a marker cannot be recognised there.
    NotRecognised,
    /// The right marker, but not on the volume where the library was.
    CopyElsewhere,
    /// The right marker in the right place, but the volume is another one.
    CopyInPlace,
    /// The right marker, but of another generation than the catalogue knows.
    OtherGeneration(u64),
    /// The right marker, but it does not know the last scan that was written into it; which it knows instead.
    OlderCopy(Option<Ulid>),
    /// The library, and somewhere else another that is just like it.
    SeveralAlike(Vec<PathBuf>),
    /// The operating system does not let us look at something.
    Denied(&'static str),
    /// Looking at something failed; what the operating system says.
    Failed(&'static str, String),
    /// The root is there, with nothing in it.
    Empty,
    /// The look did not come back within so long.
    Hung(Duration),
    /// There was no look.
    NoLook(String),
}

impl Verdict {
    /// The availability that this is.
    #[must_use]
    pub fn availability(&self) -> Availability {
        use Availability::{Available, Degraded, Unavailable};
        match self {
            Verdict::Verified => Available,
            Verdict::VerifiedReadOnly => Degraded(Reason::ReadOnly),
            Verdict::VerifiedSlowly(_) => Degraded(Reason::Slow),
            Verdict::NotMounted => Unavailable(Reason::NotMounted),
            Verdict::RootMissing | Verdict::RootNotADirectory => Unavailable(Reason::RootMissing),
            Verdict::OtherVolume
            | Verdict::OtherLibrary(_)
            | Verdict::NoMarker
            | Verdict::MarkerNotUnderstood(_)
            | Verdict::NotRecognised => Degraded(Reason::WrongDisk),
            Verdict::CopyElsewhere
            | Verdict::CopyInPlace
            | Verdict::OtherGeneration(_)
            | Verdict::OlderCopy(_)
            | Verdict::SeveralAlike(_) => Degraded(Reason::Cloned),
            Verdict::Denied(_) => Degraded(Reason::Permission),
            Verdict::Failed(..) | Verdict::NoLook(_) => Degraded(Reason::ReadError),
            Verdict::Empty => Degraded(Reason::Empty),
            Verdict::Hung(_) => Degraded(Reason::Hung),
        }
    }

    /// What was found, in one sentence for people, without a trailing stop.
    #[must_use]
    pub fn detail(&self, expected: &Expected, carrier: Option<&Mount>) -> String {
        let root = shown(&expected.root);
        let point = shown(&expected.identity.mount_point);
        let on = carrier.map_or_else(|| "no mounted volume".to_owned(), describe);
        match self {
            Verdict::Verified => format!("{root} is the library, on {on}"),
            Verdict::VerifiedReadOnly => format!("{root} is the library, on {on}, mounted read-only"),
            Verdict::VerifiedSlowly(after) => {
                format!("{root} is the library, on {on}; it took {} ms to answer", after.as_millis())
            }
            Verdict::NotMounted if carrier.is_some() => {
                format!("nothing is mounted at {point}; that path is now on {on}")
            }
            Verdict::NotMounted => format!("nothing is mounted at {point}"),
            Verdict::RootMissing => format!("{root} does not exist on {on}"),
            Verdict::RootNotADirectory => format!("{root} on {on} is not a directory"),
            Verdict::OtherVolume => format!("{root} is now on another volume: {on}"),
            Verdict::OtherLibrary(marker) => format!(
                "the marker in {root} is that of the library {} ({})",
                display_name(marker.name.as_bytes()),
                marker.library_id
            ),
            Verdict::NoMarker => format!("{root} on {on} holds files, but no marker of a library"),
            Verdict::MarkerNotUnderstood(why) => {
                format!("the marker in {root} makes no sense: {}", display_name(why.as_bytes()))
            }
            Verdict::NotRecognised => {
                format!("what is at {root} on {on} cannot be recognised as the library, which has no marker")
            }
            Verdict::CopyElsewhere => format!(
                "{root} has the library's marker, but is on {on} and not on the volume that was mounted at {point}"
            ),
            Verdict::CopyInPlace => {
                format!("{root} has the library's marker, but {on} is another volume than the library's")
            }
            Verdict::OtherGeneration(generation) => format!(
                "the marker in {root} is of generation {generation}, the catalogue knows generation {}",
                expected.marker_generation
            ),
            Verdict::OlderCopy(found) => {
                let written = expected.last_scan.map_or_else(String::new, |known| time_of(known.scan));
                let knows = match found {
                    Some(scan) => format!("knows the scan of {}, not that of {written}", time_of(*scan)),
                    None => format!("does not know the scan of {written}"),
                };
                format!(
                    "the marker in {root} {knows} that the catalogue wrote into it; this is a copy of the disk that lags \
                     behind, or the disk was put back to an earlier state"
                )
            }
            Verdict::SeveralAlike(places) => {
                let places: Vec<String> = places.iter().map(|place| shown(place)).collect();
                format!(
                    "{root} and {} carry the same library, and nothing tells which of the disks is the copy",
                    places.join(" and ")
                )
            }
            Verdict::Denied(what) => format!("the operating system does not allow to {what} {root}"),
            Verdict::Failed(what, why) => format!("trying to {what} {root} failed: {why}"),
            Verdict::Empty => format!("{root} on {on} is empty"),
            Verdict::Hung(after) => format!("{root} did not answer within {} ms", after.as_millis()),
            Verdict::NoLook(why) => why.clone(),
        }
    }
}

/// When an id was given out, for people.
fn time_of(id: Ulid) -> String {
    let at = i64::try_from(id.timestamp_ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(|| id.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
}

fn shown(path: &Path) -> String {
    display_name(path.as_os_str().as_encoded_bytes())
}

/// `/media/disk (ext4, /dev/sda1)`.
fn describe(mount: &Mount) -> String {
    let source = display_name(mount.source.as_encoded_bytes());
    format!("{} ({}, {source})", shown(&mount.mount_point), mount.fs_type)
}

/// The availability that the findings prove.
#[must_use]
pub fn judge_availability(expected: &Expected, findings: &Findings) -> Availability {
    judge(expected, findings).availability()
}

/// What the findings amount to.
#[must_use]
pub fn judge(expected: &Expected, findings: &Findings) -> Verdict {
    match &findings.answer {
        Answer::Hung(after) => return Verdict::Hung(*after),
        Answer::Failed(why) => return Verdict::NoLook(why.clone()),
        Answer::InTime | Answer::Slowly(_) => {}
    }
    let Some(carrier) = &findings.carrier else {
        // Nothing that the operating system lists carries the root: unmounted while we looked.
        return Verdict::NotMounted;
    };
    let kinship = kinship(&expected.identity, carrier, findings);
    match whereabouts(&expected.identity, carrier) {
        Whereabouts::InPlace => judge_in_place(expected, findings, kinship),
        // Mounted another way round, and proved to be the same directory: as good as in place.
        _ if kinship == Kinship::Same => judge_in_place(expected, findings, kinship),
        _ if has_right_marker(expected, findings) => Verdict::CopyElsewhere,
        // Whatever lies there now, the volume that we ask about is not here.
        Whereabouts::Away => Verdict::NotMounted,
        Whereabouts::Covered => match judge_in_place(expected, findings, Kinship::Different) {
            // A directory on a volume that is not the library's proves nothing about the library.
            Verdict::RootMissing | Verdict::RootNotADirectory | Verdict::Empty => Verdict::OtherVolume,
            verdict => verdict,
        },
    }
}

/// Where the root's path leads now, seen from where the volume was mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whereabouts {
    /// To what is mounted where the volume was.
    InPlace,
    /// To what carried the volume's mount point: the volume is away.
    Away,
    /// To a volume mounted over a part of the path, or to somewhere else by a link.
    Covered,
}

fn whereabouts(identity: &Identity, carrier: &Mount) -> Whereabouts {
    if carrier.mount_point == identity.mount_point {
        // autofs in its place is only the promise to mount it.
        let promised_only = carrier.fs_type == "autofs" && identity.fs_type != "autofs";
        if promised_only { Whereabouts::Away } else { Whereabouts::InPlace }
    } else if identity.separate_mount && identity.mount_point.starts_with(&carrier.mount_point) {
        Whereabouts::Away
    } else {
        Whereabouts::Covered
    }
}

/// Whether the volume is the one that carried the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinship {
    /// Proved: the volume, and on it the very directory.
    Same,
    /// Proved: another volume.
    Different,
    /// Neither.
    Unsure,
}

fn kinship(identity: &Identity, carrier: &Mount, findings: &Findings) -> Kinship {
    if !mounts::is_same_kind(&identity.fs_type, &carrier.fs_type) {
        return Kinship::Different;
    }
    let same_directory =
        matches!(findings.root, RootSeen::Directory(Place { inode, .. }) if inode == identity.root_inode);
    match (&identity.uuid, &findings.uuid) {
        (Some(known), Some(found)) if known != found => return Kinship::Different,
        (Some(_), Some(_)) if same_directory => return Kinship::Same,
        _ => {}
    }
    match (&identity.fs_id, &findings.fs_id) {
        (Some(known), Some(found)) if known == found && same_directory => Kinship::Same,
        // Of other types it changes from mount to mount, and says nothing when it differs.
        (Some(known), Some(found))
            if known != found
                && mounts::fs_id_names_the_volume(&identity.fs_type)
                && mounts::fs_id_names_the_volume(&carrier.fs_type) =>
        {
            Kinship::Different
        }
        _ => Kinship::Unsure,
    }
}

fn has_right_marker(expected: &Expected, findings: &Findings) -> bool {
    expected.marker
        && matches!(findings.root, RootSeen::Directory(_))
        && matches!(&findings.marker, MarkerSeen::Found(marker) if marker.library_id == expected.library_id)
}

fn judge_in_place(expected: &Expected, findings: &Findings, kinship: Kinship) -> Verdict {
    match &findings.root {
        RootSeen::NotLookedAt => return Verdict::OtherVolume,
        RootSeen::Missing if kinship == Kinship::Different => return Verdict::OtherVolume,
        RootSeen::Missing => return Verdict::RootMissing,
        RootSeen::NotADirectory if kinship == Kinship::Different => return Verdict::OtherVolume,
        RootSeen::NotADirectory => return Verdict::RootNotADirectory,
        RootSeen::Denied => return Verdict::Denied("open"),
        RootSeen::Failed(why) => return Verdict::Failed("open", why.clone()),
        RootSeen::Directory(_) => {}
    }
    if expected.marker {
        judge_marker(expected, findings, kinship)
    } else {
        judge_unmarked(expected, findings)
    }
    .unwrap_or_else(|| verified(findings))
}

/// What speaks against a root that should have a marker; `None` if nothing does.
fn judge_marker(expected: &Expected, findings: &Findings, kinship: Kinship) -> Option<Verdict> {
    // Another library's marker says more than a listing that failed.
    if let MarkerSeen::Found(marker) = &findings.marker
        && marker.library_id != expected.library_id
    {
        return Some(Verdict::OtherLibrary(marker.clone()));
    }
    let unlisted = judge_contents(findings);
    match &findings.marker {
        MarkerSeen::NotLookedAt => Some(Verdict::NoLook("the marker was not looked at".to_owned())),
        MarkerSeen::Denied => Some(Verdict::Denied("read the marker in")),
        MarkerSeen::Failed(why) => Some(Verdict::Failed("read the marker in", why.clone())),
        MarkerSeen::NotUnderstood(why) => Some(Verdict::MarkerNotUnderstood(why.clone())),
        MarkerSeen::Absent => Some(unlisted.unwrap_or_else(|| match findings.contents {
            _ if kinship == Kinship::Different => Verdict::OtherVolume,
            ContentsSeen::Empty => Verdict::Empty,
            _ => Verdict::NoMarker,
        })),
        MarkerSeen::Found(marker) if marker.generation != expected.marker_generation => {
            Some(Verdict::OtherGeneration(marker.generation))
        }
        MarkerSeen::Found(_) if kinship == Kinship::Different => Some(Verdict::CopyInPlace),
        MarkerSeen::Found(marker) => match expected.last_scan {
            Some(known) if marker.lags_behind(known) => {
                Some(Verdict::OlderCopy(marker.last_scan_of(known.catalog)))
            }
            _ => unlisted,
        },
    }
}

/// What speaks against a root that has no marker by the user's wish. Type, directory and volume must all fit.
fn judge_unmarked(expected: &Expected, findings: &Findings) -> Option<Verdict> {
    let identity = &expected.identity;
    let same_directory =
        matches!(findings.root, RootSeen::Directory(place) if place.inode == identity.root_inode);
    let same_kind = findings
        .carrier
        .as_ref()
        .is_some_and(|carrier| mounts::is_same_kind(&identity.fs_type, &carrier.fs_type));
    let same_volume = match (&identity.uuid, &findings.uuid) {
        (Some(known), Some(found)) => known == found,
        _ => identity.fs_id.is_some() && identity.fs_id == findings.fs_id,
    };
    judge_contents(findings).or(match findings.contents {
        _ if !(same_directory && same_kind && same_volume) => Some(Verdict::NotRecognised),
        ContentsSeen::Empty => Some(Verdict::Empty),
        _ => None,
    })
}

/// What speaks against a root because it cannot be listed.
fn judge_contents(findings: &Findings) -> Option<Verdict> {
    match &findings.contents {
        ContentsSeen::NotLookedAt => Some(Verdict::NoLook("the root was not listed".to_owned())),
        ContentsSeen::Denied => Some(Verdict::Denied("list")),
        ContentsSeen::Failed(why) => Some(Verdict::Failed("list", why.clone())),
        ContentsSeen::Empty | ContentsSeen::Something => None,
    }
}

fn verified(findings: &Findings) -> Verdict {
    match findings.answer {
        _ if !findings.doubles.is_empty() => Verdict::SeveralAlike(findings.doubles.clone()),
        _ if findings.read_only => Verdict::VerifiedReadOnly,
        Answer::Slowly(after) => Verdict::VerifiedSlowly(after),
        _ => Verdict::Verified,
    }
}

#[cfg(test)]
mod tests;
