//! What the volume that carries a library is like: how coarse its clock is, what of a stat means something there, how its
//! names behave, what kind of disk it is.
//!
//! The kind of file system says much of that and is wrong often enough: an ext4 disk of a small make stores whole seconds,
//! one driver of exFAT keeps the change time and another makes it up, a disk behind FUSE may be anything. So a volume is
//! measured once, and what was found is kept; each fact says how it is known. Measuring writes nothing but the marker
//! (D8): the clock is tried on the marker while that is being written, the rest is asked, or told from names and stats that
//! are there. On a disk that cannot be written more stays assumed, by the kind.
//!
//! Some things show only when the disk has been away: whether inode numbers are kept, and whether stamps were finer in
//! memory than they are on the disk. Those are told from a sample of known files at the first scan after a remount.
//!
//! Looking is [`look`], what it means is [`Profile::learn`], pure.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, statat};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::deadline::{NoAnswer, within};
use super::marker::{MARKER_DIR, PROBE_STAMP_NS, StampsSeen};
use super::mounts::{self, Mount};
use super::platform;
use super::verified::VerifiedRoot;
use crate::model::{RelPath, Stat, words};

const SECOND: i64 = 1_000_000_000;

/// Linux stamps files with the time of the last timer tick, at most 10 ms old.
const TICK_NS: i64 = 20_000_000;

/// Steps in which file systems are known to store times, the coarsest first: FAT, ext3 and HFS+, exFAT, NTFS, and those
/// that store what they are given.
const STEPS_NS: [i64; 7] = [2 * SECOND, SECOND, 10_000_000, 1_000_000, 1_000, 100, 1];

/// So many files without finer digits are needed before a clock is believed to be coarse: archives unpack with whole
/// seconds everywhere.
const COARSE_FILES: usize = 32;

/// So many known files have to be found again before their inode numbers prove anything.
const INODE_FILES: usize = 8;

/// So many known stamps have to be cut off alike before the disk is believed to store them so.
const CUT_FILES: usize = 8;

words! {
    /// How a fact of a volume is known.
    pub enum How {
        /// It was tried, or told from what is on the volume.
        Measured = "measured",
        /// The operating system says so.
        Asked = "asked",
        /// It is so with this kind of file system, as a rule.
        Assumed = "assumed",
    }
}

/// One fact of a volume, and how it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact<T> {
    /// What is the case.
    pub value: T,
    /// How that is known.
    pub how: How,
}

impl<T> Fact<T> {
    const fn assumed(value: T) -> Self {
        Fact { value, how: How::Assumed }
    }

    const fn measured(value: T) -> Self {
        Fact { value, how: How::Measured }
    }

    const fn asked(value: T) -> Self {
        Fact { value, how: How::Asked }
    }
}

/// What a volume is like. Kept as JSON; fields added later must have a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Its type, as the operating system names it.
    pub fs_type: String,
    /// The step in which it stores modification times, in nanoseconds.
    pub granularity_ns: Fact<i64>,
    /// How far its stamps may be behind our clock, in nanoseconds, beside that step.
    pub clock_doubt_ns: Fact<i64>,
    /// Whether it stores local time, so that all its times move with the time zone.
    pub local_time: Fact<bool>,
    /// Whether inode numbers are the same after it was mounted anew.
    pub stable_inodes: Fact<bool>,
    /// Whether ctime is the time of a file's last change, which nobody can set.
    pub ctime: Fact<bool>,
    /// Whether two names can differ in their case alone; none where that could not be told.
    pub case_sensitive: Fact<Option<bool>>,
    /// Whether two names can differ in their Unicode normalisation alone; none where that could not be told.
    pub normalisation_sensitive: Fact<Option<bool>>,
    /// Whether the disk spins; none where nobody knows.
    pub rotational: Fact<Option<bool>>,
    /// Whether the disk can be taken away.
    pub removable: Fact<Option<bool>>,
    /// Whether the volume is mounted read-only.
    pub read_only: Fact<bool>,
    /// What the next mounting is compared with.
    #[serde(default)]
    pub sentinel: Option<Sentinel>,
}

/// The mounting in which the volume was last looked at, and what should be the same in the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentinel {
    /// The mounting.
    pub mounting: Mounting,
    /// Inode number of the marker's directory, which is made once and never replaced.
    pub marker_inode: Option<u64>,
}

/// One mounting of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mounting {
    /// The run of the operating system.
    pub boot: String,
    /// Its number in that run.
    pub ticket: u64,
}

/// What one look at a volume found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What a time that was tried on the marker became.
    pub stamps: Option<StampsSeen>,
    /// The mounting, where the operating system numbers them.
    pub mounting: Option<Mounting>,
    /// Inode number of the marker's directory.
    pub marker_inode: Option<u64>,
    /// Known files: as the catalogue has them, and as they are.
    pub known: Vec<(Stat, Stat)>,
    /// Whether names are told apart by case.
    pub case_sensitive: Option<bool>,
    /// Whether names are told apart by normalisation.
    pub normalisation_sensitive: Option<bool>,
    /// The disk.
    pub disk: DiskFacts,
    /// The volume is mounted read-only.
    pub read_only: bool,
}

/// What the operating system says of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskFacts {
    /// It spins. A virtual disk claims that as a matter of form, and is not believed.
    pub rotational: Option<bool>,
    /// It can be taken away.
    pub removable: Option<bool>,
}

impl Profile {
    /// What is assumed of a volume of this kind until it is measured.
    ///
    /// FAT stores two seconds, in local time, and has neither inodes nor ctime; what is behind a network or FUSE may be
    /// stamped by another clock.
    #[must_use]
    pub fn assumed(fs_type: &str) -> Self {
        let assume = |granularity_ns, clock_doubt_ns, stable_inodes, ctime| Profile {
            fs_type: fs_type.to_owned(),
            granularity_ns: Fact::assumed(granularity_ns),
            clock_doubt_ns: Fact::assumed(clock_doubt_ns),
            local_time: Fact::assumed(matches!(fs_type, "vfat" | "msdos")),
            stable_inodes: Fact::assumed(stable_inodes),
            ctime: Fact::assumed(ctime),
            case_sensitive: Fact::assumed(None),
            normalisation_sensitive: Fact::assumed(None),
            rotational: Fact::assumed(None),
            removable: Fact::assumed(None),
            read_only: Fact::assumed(false),
            sentinel: None,
        };
        match fs_type {
            "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "zfs" | "tmpfs" | "overlay"
            | "bcachefs" | "apfs" => assume(1, TICK_NS, true, true),
            "hfs" => assume(SECOND, TICK_NS, true, true),
            "vfat" | "msdos" => assume(2 * SECOND, TICK_NS, false, false),
            "exfat" | "fuseblk" | "ntfs" | "ntfs3" => assume(1, 2 * SECOND, false, false),
            _ => assume(1, 2 * SECOND, false, true),
        }
    }

    /// How far a stamp may be from our clock: two changes within that time can leave the same one. In nanoseconds.
    #[must_use]
    pub fn doubt_ns(&self) -> i64 {
        match self.granularity_ns.value {
            ..=TICK_NS => self.clock_doubt_ns.value,
            coarse => self.clock_doubt_ns.value.max(coarse + TICK_NS),
        }
    }

    /// How many files are read at a time where `cores` could be: a disk that spins gets one reader, for whom its head need
    /// not jump.
    #[must_use]
    pub fn readers(&self, cores: usize) -> usize {
        if self.rotational.value == Some(true) { 1 } else { cores }
    }

    /// Whether the volume is mounted anew since it was last looked at, as far as that can be told.
    #[must_use]
    pub fn is_remounted(&self, mounting: Option<&Mounting>) -> bool {
        matches!((&self.sentinel, mounting), (Some(before), Some(now)) if before.mounting != *now)
    }

    /// The profile after a look.
    #[must_use]
    pub fn learn(mut self, seen: &Seen) -> Self {
        let remounted = self.is_remounted(seen.mounting.as_ref());
        self.granularity_ns = granularity(&self, seen, remounted);
        // Where the kind has none to speak of, a stamp that was apart for once proves nothing: older drivers of FAT show
        // the time of making there.
        if let Some(stamps) =
            seen.stamps.filter(|stamps| step_between(PROBE_STAMP_NS, stamps.mtime_ns).is_some())
            && (!stamps.ctime_apart || self.ctime.value)
        {
            self.ctime = Fact::measured(stamps.ctime_apart);
        }
        if remounted && let Some(stable) = stable_inodes(&self, seen) {
            self.stable_inodes = Fact::measured(stable);
        }
        let told = |before: Fact<Option<bool>>, now: Option<bool>| match now {
            Some(_) => Fact::measured(now),
            None => before,
        };
        self.case_sensitive = told(self.case_sensitive, seen.case_sensitive);
        self.normalisation_sensitive = told(self.normalisation_sensitive, seen.normalisation_sensitive);
        let asked = |now: Option<bool>| match now {
            Some(_) => Fact::asked(now),
            None => Fact::assumed(None),
        };
        self.rotational = asked(seen.disk.rotational);
        self.removable = asked(seen.disk.removable);
        self.read_only = Fact::asked(seen.read_only);
        if let Some(mounting) = &seen.mounting {
            self.sentinel = Some(Sentinel { mounting: mounting.clone(), marker_inode: seen.marker_inode });
        }
        self
    }

    /// The profile after it was proved that all times of the volume moved with the time zone.
    #[must_use]
    pub fn with_local_time(mut self) -> Self {
        self.local_time = Fact::measured(true);
        self
    }
}

/// The step in which times are stored, as far as a look tells.
fn granularity(profile: &Profile, seen: &Seen, remounted: bool) -> Fact<i64> {
    let before = profile.granularity_ns;
    if remounted && let Some(step) = cut_off(&seen.known, profile.stable_inodes.value) {
        return Fact::measured(step);
    }
    let tried = seen.stamps.and_then(|stamps| step_between(PROBE_STAMP_NS, stamps.mtime_ns));
    match (before.how, tried) {
        // What was cut off once is coarse, whatever memory makes of a time that was just set.
        (_, Some(step)) if before.how == How::Assumed || step > before.value => return Fact::measured(step),
        (_, Some(_)) | (How::Measured | How::Asked, None) => return before,
        (How::Assumed, None) => {}
    }
    // One that is too far away to be kept is kept by a number that is no time.
    let stamps: Vec<i64> =
        seen.known.iter().filter(|(_, now)| now.mtime_ms().is_some()).map(|(_, now)| now.mtime_ns).collect();
    match common_step(&stamps) {
        _ if stamps.is_empty() => before,
        // One fine stamp proves a fine clock; any number of coarse ones may have been brought along.
        step if step < TICK_NS => Fact::measured(step),
        step if stamps.len() >= COARSE_FILES => Fact::assumed(step),
        _ => before,
    }
}

/// The coarsest step that makes `got` of `asked`, by cutting off or by rounding up.
fn step_between(asked: i64, got: i64) -> Option<i64> {
    STEPS_NS.into_iter().find(|step| {
        let cut = asked - asked.rem_euclid(*step);
        got == cut || (*step > 1 && got == cut + step)
    })
}

/// The coarsest step of which all stamps are multiples.
fn common_step(stamps: &[i64]) -> i64 {
    STEPS_NS.into_iter().find(|step| stamps.iter().all(|stamp| stamp.rem_euclid(*step) == 0)).unwrap_or(1)
}

/// The step at which known stamps were cut off while the volume was away; `None` where they are what they were. Files that
/// came back out of an archive, with the stamps that it keeps, have other inode numbers where these mean something.
fn cut_off(known: &[(Stat, Stat)], stable_inodes: bool) -> Option<i64> {
    STEPS_NS.into_iter().filter(|step| *step > 1).find(|step| {
        let fits = |was: &Stat, is: &Stat| {
            was.size == is.size
                && (!stable_inodes || was.inode == is.inode)
                && is_same_stamp(was.mtime_ns, is.mtime_ns, *step)
        };
        let fitting = known.iter().filter(|(was, is)| fits(was, is)).count();
        let cut = known.iter().filter(|(was, is)| was.mtime_ns != is.mtime_ns && fits(was, is)).count();
        // A few may have been changed by somebody meanwhile.
        cut >= CUT_FILES && fitting * 10 >= known.len() * 9
    })
}

/// Whether inode numbers survived the remount. Files that were replaced by a copy with the same time are not many.
fn stable_inodes(profile: &Profile, seen: &Seen) -> Option<bool> {
    let marker = match (profile.sentinel.as_ref().and_then(|before| before.marker_inode), seen.marker_inode) {
        (Some(before), Some(now)) => Some(before == now),
        _ => None,
    };
    if marker == Some(false) {
        // Nobody replaces that directory.
        return Some(false);
    }
    let step = profile.granularity_ns.value;
    let same_file = |(before, now): &&(Stat, Stat)| {
        before.size == now.size && is_same_stamp(before.mtime_ns, now.mtime_ns, step)
    };
    let found: Vec<_> = seen.known.iter().filter(same_file).collect();
    let kept = found.iter().filter(|(before, now)| before.inode == now.inode).count();
    match found.len() {
        compared if compared >= INODE_FILES && kept * 10 >= compared * 9 => Some(true),
        compared if compared >= INODE_FILES && kept * 2 < compared => Some(false),
        // Few files. Where numbers are made up in the order of looking, the marker always comes first.
        _ if marker == Some(true) && profile.stable_inodes.value => Some(true),
        _ => None,
    }
}

/// Whether a stamp is the one that was known: the same, or what is left of it after the volume was away, where it stores
/// times in steps of `step` nanoseconds. Memory may keep a finer one than the disk until then.
#[must_use]
pub fn is_same_stamp(known_ns: i64, seen_ns: i64, step: i64) -> bool {
    known_ns == seen_ns || (step > 1 && known_ns.checked_sub(known_ns.rem_euclid(step)) == Some(seen_ns))
}

/// Which volume a profile is of: another one is measured anew.
#[must_use]
pub fn volume_key(root: &VerifiedRoot) -> String {
    let identity = &root.expected().identity;
    let fs_type = &root.mount().fs_type;
    let fs_id = identity.fs_id.as_deref().filter(|_| mounts::fs_id_names_the_volume(&identity.fs_type));
    format!("{fs_type} {} {}", identity.uuid.as_deref().unwrap_or("-"), fs_id.unwrap_or("-"))
}

/// The mounting that carries a root now.
#[must_use]
pub fn mounting(root: &VerifiedRoot) -> Option<Mounting> {
    match root.mount_ticket() {
        0 => None,
        ticket => platform::boot().map(|boot| Mounting { boot, ticket }),
    }
}

/// Looks at the volume under a verified root. `known` are some of its files as the catalogue has them; `names` says whether
/// to find out how names behave, too. Comes back within the root's deadline.
///
/// # Errors
/// The disk did not answer in time.
pub fn look(
    root: &VerifiedRoot,
    known: Vec<(RelPath, Stat)>,
    names: bool,
    stamps: Option<StampsSeen>,
) -> Result<Seen, NoAnswer> {
    let (path, mount, device) = (root.path().to_owned(), root.mount().clone(), root.device());
    let mounting = mounting(root);
    let read_only = root.is_read_only();
    within(root.path(), root.deadline(), move || {
        let mut seen = Seen { stamps, mounting, read_only, ..Seen::default() };
        seen.marker_inode = std::fs::symlink_metadata(path.join(MARKER_DIR)).ok().map(|dir| dir.ino());
        if names {
            let listed = some_names(&path).unwrap_or_default();
            seen.case_sensitive = told_apart(&path, &listed, other_case);
            seen.normalisation_sensitive =
                told_apart(&path, &listed, other_normalisation).or_else(|| told_apart_below(&path, &known));
        }
        seen.known = known
            .into_iter()
            .filter_map(|(rel, before)| Some((before, stat_of(&rel.under(&path), &before)?)))
            .collect();
        seen.disk = disk_facts(&mount, device);
        seen
    })
}

fn disk_facts(mount: &Mount, device: u64) -> DiskFacts {
    platform::disk_facts(device, Path::new(&mount.source))
}

/// A known file's stat now, where it is still one of the kind.
fn stat_of(path: &Path, before: &Stat) -> Option<Stat> {
    let metadata = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let ns = |seconds: i64, rest: i64| seconds.wrapping_mul(SECOND).wrapping_add(rest);
    Some(Stat {
        kind: before.kind,
        size: metadata.size(),
        mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
        ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        inode: metadata.ino(),
    })
}

/// Names in the root that are looked at.
const NAMES: usize = 1000;

/// The first names in the root, the marker's among them.
fn some_names(root: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root)?.take(NAMES) {
        names.push(entry?.file_name().as_bytes().to_vec());
    }
    if names.len() == NAMES {
        // There may be more, among them the very name that would be asked for.
        names.retain(|name| name == MARKER_DIR.as_bytes());
    }
    Ok(names)
}

/// Whether a name in another spelling is another name. It is asked for, not made; one that is listed in both spellings
/// settles it.
fn told_apart(root: &Path, listed: &[Vec<u8>], respell: fn(&str) -> Option<String>) -> Option<bool> {
    for name in listed {
        let Some(other) = std::str::from_utf8(name).ok().and_then(respell) else { continue };
        if listed.iter().any(|name| name == other.as_bytes()) {
            return Some(true);
        }
        match is_there(&root.join(&other)) {
            Ok(there) => return Some(!there),
            Err(_) => continue,
        }
    }
    None
}

/// The same of names deeper down, one at a time: the directory is not listed, so only a refusal proves anything.
fn told_apart_below(root: &Path, known: &[(RelPath, Stat)]) -> Option<bool> {
    for (path, _) in known {
        let Some((parent, name)) = path.split() else { continue };
        let Some(other) = std::str::from_utf8(name).ok().and_then(other_normalisation) else { continue };
        let there = |name: &[u8]| is_there(&parent.join(name).under(root));
        if let (Ok(true), Ok(false)) = (there(name), there(other.as_bytes())) {
            return Some(true);
        }
    }
    None
}

fn is_there(path: &PathBuf) -> io::Result<bool> {
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn other_case(name: &str) -> Option<String> {
    let other: String =
        name.chars()
            .map(|char| {
                if char.is_ascii_lowercase() { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() }
            })
            .collect();
    (other != name).then_some(other)
}

fn other_normalisation(name: &str) -> Option<String> {
    let (composed, decomposed): (String, String) = (name.nfc().collect(), name.nfd().collect());
    match (composed != name, decomposed != name) {
        (true, _) => Some(composed),
        (_, true) => Some(decomposed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
