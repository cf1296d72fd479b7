//! What is known of one path in a library.

use super::words;

words! {
    /// What a catalogued path is.
    pub enum FileKind {
        /// A regular file.
        Regular = "file",
        /// A symbolic link: recorded, never followed.
        Symlink = "symlink",
    }
}

words! {
    /// Where a file stands, with the evidence for it.
    pub enum Presence {
        /// Seen where it should be at the last look.
        Present = "present",
        /// Proved absent: its directory was listed completely on a verified root, and it was not there.
        Missing = "missing",
        /// Its directory could not be looked at; nothing is concluded.
        Unknown = "unknown",
        /// Out of scope by a rule of the user; not looked at, not gone.
        Excluded = "excluded",
    }
}

words! {
    /// Why a known file was read again, although it had been read before.
    pub enum LookCause {
        /// Another kind of thing stands there.
        Kind = "kind",
        /// Another size.
        Size = "size",
        /// Another time of modification.
        Mtime = "mtime",
        /// Another time of change of the inode.
        Ctime = "ctime",
        /// Another inode number.
        Inode = "inode",
        /// Its content had never been proved.
        Unproved = "unproved",
        /// The same stat, but too young at the look before to prove anything.
        Young = "young",
        /// The same stat; somebody wanted everything read.
        Full = "full",
        /// A link that was back: read again rather than remembered.
        Back = "back",
    }
}

/// The part of a file's `stat` that tells whether its content may have changed.
///
/// Times are nanoseconds since 1970-01-01 UTC and may be negative; see [`Stat::stamp`] for those that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Regular file or symbolic link.
    pub kind: FileKind,
    /// Size in bytes.
    pub size: u64,
    /// Time of last modification of the content.
    pub mtime_ns: i64,
    /// Time of last change of the inode.
    pub ctime_ns: i64,
    /// Inode number; not stable on every file system.
    pub inode: u64,
}

/// The ends of the range, 18 minutes each, stand for the times beyond it.
const BEYOND_NS: i64 = 1 << 40;

impl Stat {
    /// A time of the operating system as it is kept. File systems keep years that nanoseconds in 64 bits cannot hold, those
    /// before 1677 and after 2262. All of them land at the ends of the range, so that they neither pass for another time
    /// nor for a young file; and each at a place of its own there, so that two that differ still differ.
    #[must_use]
    pub fn stamp(seconds: i64, nanoseconds: i64) -> i64 {
        let time_ns = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
        let place = || i64::try_from(time_ns.rem_euclid(i128::from(BEYOND_NS))).expect("less than 2^40");
        match i64::try_from(time_ns) {
            Ok(time_ns) if Stat::is_known(time_ns) => time_ns,
            _ if time_ns < 0 => i64::MIN + place(),
            _ => i64::MAX - place(),
        }
    }

    /// The modification time in milliseconds; `None` where it is too far away to be kept.
    #[must_use]
    pub fn mtime_ms(&self) -> Option<i64> {
        milliseconds(self.mtime_ns)
    }

    /// The change time of the inode, as [`Stat::mtime_ms`].
    #[must_use]
    pub fn ctime_ms(&self) -> Option<i64> {
        milliseconds(self.ctime_ns)
    }

    fn is_known(stamp_ns: i64) -> bool {
        (i64::MIN + BEYOND_NS..=i64::MAX - BEYOND_NS).contains(&stamp_ns)
    }
}

fn milliseconds(stamp_ns: i64) -> Option<i64> {
    Stat::is_known(stamp_ns).then(|| stamp_ns.div_euclid(1_000_000))
}

words! {
    /// The one word that answers "how is this file?", derived from presence, ledger and outbox.
    pub enum FileStatus {
        /// Waits to be enriched or sent.
        Pending = "pending",
        /// Its operation is leased right now.
        Uploading = "uploading",
        /// Every store that wants it has it, verified.
        Uploaded = "uploaded",
        /// Its operation is dead: five verdicts against it.
        Failed = "failed",
        /// Catalogued, but no store gets it: excluded, or nothing to extract.
        Skipped = "skipped",
        /// Missing beyond the grace period: its remote objects are being retired.
        LocalDelete = "local_delete",
        /// Proved missing, within the grace period.
        Missing = "missing",
        /// It could not be read or understood; see its problem.
        Error = "error",
    }
}

/// What [`FileStatus::derive`] looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct StatusFacts {
    /// Stored presence is missing.
    pub missing: bool,
    /// Stored presence is excluded.
    pub excluded: bool,
    /// The content has no hash yet, or an open problem stands against the file or its enrichment.
    pub problem: bool,
    /// Some operation of its document is dead.
    pub dead: bool,
    /// Some operation of its document is leased.
    pub leased: bool,
    /// Some operation of its document waits.
    pub waiting: bool,
    /// Objects of its document that are current in a store and made from its present content.
    pub current: u32,
    /// Objects of its document that were retired because the file is gone.
    pub retired: u32,
    /// A store is configured, and planning found nothing to send for it.
    pub nothing_to_send: bool,
}

impl FileStatus {
    /// The status, most urgent fact first.
    #[must_use]
    pub fn derive(facts: StatusFacts) -> Self {
        match facts {
            StatusFacts { missing: true, current: 0, retired: 1.., .. } => FileStatus::LocalDelete,
            StatusFacts { missing: true, .. } => FileStatus::Missing,
            StatusFacts { excluded: true, .. } => FileStatus::Skipped,
            StatusFacts { dead: true, .. } => FileStatus::Failed,
            StatusFacts { leased: true, .. } => FileStatus::Uploading,
            StatusFacts { problem: true, .. } => FileStatus::Error,
            StatusFacts { waiting: true, .. } => FileStatus::Pending,
            StatusFacts { current: 1.., .. } => FileStatus::Uploaded,
            StatusFacts { nothing_to_send: true, .. } => FileStatus::Skipped,
            StatusFacts { .. } => FileStatus::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // L4: a stamp that cannot be kept is no other stamp, and no two are the same
    #[rstest::rstest]
    #[case::the_epoch(0, 0, 0)]
    #[case::before_it(-1, 999_999_999, -1)]
    #[case::in_2200(7_258_118_400, 5, 7_258_118_400_000_000_005)]
    fn a_stamp_that_fits_is_kept(#[case] seconds: i64, #[case] nanoseconds: i64, #[case] kept: i64) {
        assert_eq!(Stat::stamp(seconds, nanoseconds), kept);
        let stat = Stat { kind: FileKind::Regular, size: 0, mtime_ns: kept, ctime_ns: 0, inode: 1 };
        assert_eq!(stat.mtime_ms(), Some(kept.div_euclid(1_000_000)));
    }

    // L4, D9
    #[test]
    fn stamps_beyond_what_can_be_kept_are_far_away_and_still_differ() {
        // The years 2300, 2400, 1600, and what a broken disk may say.
        let seconds = [10_413_792_000, 13_569_465_600, -11_676_096_000, i64::MAX, i64::MIN + 100_000];
        for seconds in seconds {
            let stamp = Stat::stamp(seconds, 0);
            assert_eq!(stamp < 0, seconds < 0);
            assert!(stamp.unsigned_abs() > i64::MAX.unsigned_abs() - (1 << 41), "{seconds}: {stamp}");
            let stat = Stat { kind: FileKind::Regular, size: 0, mtime_ns: stamp, ctime_ns: 0, inode: 1 };
            assert_eq!(stat.mtime_ms(), None);
            for later in [(0, 1), (1, 0), (86_400, 0)] {
                assert_ne!(Stat::stamp(seconds.saturating_sub(later.0), later.1), stamp, "{seconds}");
            }
        }
    }

    // L5
    #[rstest]
    #[case(StatusFacts::default(), FileStatus::Pending)]
    #[case(StatusFacts { current: 1, ..Default::default() }, FileStatus::Uploaded)]
    #[case(StatusFacts { current: 1, waiting: true, ..Default::default() }, FileStatus::Pending)]
    #[case(StatusFacts { current: 1, leased: true, ..Default::default() }, FileStatus::Uploading)]
    #[case(StatusFacts { dead: true, waiting: true, ..Default::default() }, FileStatus::Failed)]
    #[case(StatusFacts { excluded: true, current: 1, ..Default::default() }, FileStatus::Skipped)]
    #[case(StatusFacts { nothing_to_send: true, ..Default::default() }, FileStatus::Skipped)]
    #[case(StatusFacts { missing: true, current: 1, retired: 1, ..Default::default() }, FileStatus::Missing)]
    #[case(StatusFacts { missing: true, retired: 2, ..Default::default() }, FileStatus::LocalDelete)]
    #[case(StatusFacts { problem: true, ..Default::default() }, FileStatus::Error)]
    fn every_status_is_derived_from_facts(#[case] facts: StatusFacts, #[case] status: FileStatus) {
        assert_eq!(FileStatus::derive(facts), status);
    }
}
