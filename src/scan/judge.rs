//! Has this file changed? Decided from stats alone.

use crate::catalog::files::KnownFile;
use crate::model::{Presence, Stat};

/// What of a stat means something on this volume, and how coarse its clock is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatRule {
    /// Whether inode numbers survive a remount.
    pub inode: bool,
    /// Whether ctime means something.
    pub ctime: bool,
    /// How far the file system's stamps may lag behind the clock, in nanoseconds: two changes within that time can leave
    /// the same stamp.
    pub doubt_ns: i64,
}

impl StatRule {
    /// By the kind of file system, until a volume's profile is measured.
    ///
    /// Linux stamps files with the time of the last timer tick, at most 10 ms old; FAT stores two seconds, in local time,
    /// and has neither inodes nor ctime; what is behind a network or FUSE may be stamped by another clock.
    #[must_use]
    pub fn of_file_system(fs_type: &str) -> Self {
        match fs_type {
            "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "zfs" | "tmpfs" | "overlay"
            | "bcachefs" | "apfs" => StatRule { inode: true, ctime: true, doubt_ns: 20_000_000 },
            "hfs" => StatRule { inode: true, ctime: true, doubt_ns: 1_000_000_000 },
            "vfat" | "msdos" | "exfat" | "fuseblk" | "ntfs" | "ntfs3" => {
                StatRule { inode: false, ctime: false, doubt_ns: 2_000_000_000 }
            }
            _ => StatRule { inode: false, ctime: true, doubt_ns: 2_000_000_000 },
        }
    }

    /// Whether the stamp is so close to the time of the look that a later change could leave the same one.
    ///
    /// A stamp well in the future is not close: the file got it from somewhere else, and the next change brings the
    /// clock's time.
    #[must_use]
    pub fn is_young(&self, stat: &Stat, look_ns: i64) -> bool {
        let close = |stamp_ns: i64| {
            let age = i128::from(look_ns) - i128::from(stamp_ns);
            age.abs() <= i128::from(self.doubt_ns)
        };
        // A ctime after the look: the clock was set back, and may pass that moment again.
        let from_the_future = self.ctime && stat.ctime_ns > look_ns;
        close(stat.mtime_ns) || (self.ctime && close(stat.ctime_ns)) || from_the_future
    }
}

/// What a look at a known file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changed: not read, not written.
    Unchanged,
    /// Nothing changed, but it did not stand as present: only that is written.
    Back,
    /// Its stat differs, or its content was never proved: read it.
    Differs,
    /// Its stat is the same, but was too young at the last look to prove anything: read it.
    TooYoung,
}

/// Judges a file by what was known and what is seen.
#[must_use]
pub fn judge(known: &KnownFile, seen: &Stat, rule: &StatRule) -> Verdict {
    let before = &known.stat;
    let same = before.kind == seen.kind
        && before.size == seen.size
        && before.mtime_ns == seen.mtime_ns
        && (!rule.ctime || before.ctime_ns == seen.ctime_ns)
        && (!rule.inode || before.inode == seen.inode);
    let proved = known.content_hash.is_some() || seen.kind == crate::model::FileKind::Symlink;
    match (same && proved, known.young, known.presence) {
        (false, _, _) => Verdict::Differs,
        (true, true, _) => Verdict::TooYoung,
        (true, false, Presence::Present) => Verdict::Unchanged,
        (true, false, _) => Verdict::Back,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileKind;
    use rstest::rstest;

    const RULE: StatRule = StatRule { inode: true, ctime: true, doubt_ns: 1_000 };
    const STAT: Stat =
        Stat { kind: FileKind::Regular, size: 5, mtime_ns: 100_000, ctime_ns: 100_000, inode: 7 };

    fn known() -> KnownFile {
        KnownFile {
            file_id: 1,
            name: b"a".to_vec(),
            stat: STAT,
            young: false,
            presence: Presence::Present,
            content_hash: Some([0; 32]),
            document_id: Some(1),
        }
    }

    // L4
    #[rstest]
    #[case::nothing(STAT, Verdict::Unchanged)]
    #[case::size(Stat { size: 6, ..STAT }, Verdict::Differs)]
    #[case::mtime_one_nanosecond(Stat { mtime_ns: 100_001, ..STAT }, Verdict::Differs)]
    #[case::mtime_back(Stat { mtime_ns: 1, ..STAT }, Verdict::Differs)]
    #[case::ctime(Stat { ctime_ns: 100_001, ..STAT }, Verdict::Differs)]
    #[case::inode(Stat { inode: 8, ..STAT }, Verdict::Differs)]
    #[case::kind(Stat { kind: FileKind::Symlink, ..STAT }, Verdict::Differs)]
    fn a_file_is_read_only_where_its_stat_changed(#[case] seen: Stat, #[case] verdict: Verdict) {
        assert_eq!(judge(&known(), &seen, &RULE), verdict);
    }

    #[test]
    fn what_means_nothing_on_the_volume_is_not_compared() {
        let fat = StatRule { inode: false, ctime: false, doubt_ns: 1_000 };
        let seen = Stat { inode: 8, ctime_ns: 5, ..STAT };
        assert_eq!(judge(&known(), &seen, &fat), Verdict::Unchanged);
    }

    // D9
    #[test]
    fn a_file_that_was_too_young_to_prove_is_looked_at_again() {
        assert_eq!(judge(&KnownFile { young: true, ..known() }, &STAT, &RULE), Verdict::TooYoung);
        assert!(RULE.is_young(&STAT, 100_000));
        assert!(RULE.is_young(&STAT, 101_000));
        assert!(!RULE.is_young(&STAT, 101_001));
        assert!(RULE.is_young(&Stat { ctime_ns: 900_000_000, ..STAT }, 500_000), "the clock was set back");
        assert!(
            !RULE.is_young(&Stat { mtime_ns: 900_000_000, ctime_ns: 1, ..STAT }, 500_000),
            "stamped from elsewhere"
        );
    }

    #[test]
    fn a_file_without_proved_content_is_read() {
        assert_eq!(judge(&KnownFile { content_hash: None, ..known() }, &STAT, &RULE), Verdict::Differs);
    }

    // L6
    #[test]
    fn a_missing_file_that_is_back_unchanged_is_not_read() {
        assert_eq!(judge(&KnownFile { presence: Presence::Missing, ..known() }, &STAT, &RULE), Verdict::Back);
    }
}
