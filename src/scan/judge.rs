//! Has this file changed? Decided from stats alone.

use crate::catalog::files::KnownFile;
use crate::model::{Presence, Stat};
use crate::volume::Profile;
use crate::volume::profile::is_same_stamp;

/// How far in the future a stamp may be to be one of a clock that was set back, or of another time zone's: three days.
const SOON_NS: i64 = 3 * 86_400 * 1_000_000_000;

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
    /// The step in which stamps are stored, in nanoseconds: memory may keep finer ones until the volume was away.
    pub granularity_ns: i64,
}

impl StatRule {
    /// By the volume's profile.
    #[must_use]
    pub fn of_profile(profile: &Profile) -> Self {
        StatRule {
            inode: profile.stable_inodes.value,
            ctime: profile.ctime.value,
            doubt_ns: profile.doubt_ns(),
            granularity_ns: profile.granularity_ns.value,
        }
    }

    /// By the kind of file system, where a volume's profile was not measured.
    #[must_use]
    pub fn of_file_system(fs_type: &str) -> Self {
        Self::of_profile(&Profile::assumed(fs_type))
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
        // A ctime after the look: the clock was set back, and may pass that moment again. Where there is none to speak of, an
        // mtime that the clock passes within days must do; what is farther off was stamped by somebody.
        let from_the_future = match self.ctime {
            true => stat.ctime_ns > look_ns,
            false => (look_ns..=look_ns.saturating_add(SOON_NS)).contains(&stat.mtime_ns),
        };
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
        && is_same_stamp(before.mtime_ns, seen.mtime_ns, rule.granularity_ns)
        && (!rule.ctime || is_same_stamp(before.ctime_ns, seen.ctime_ns, rule.granularity_ns))
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

    const RULE: StatRule = StatRule { inode: true, ctime: true, doubt_ns: 1_000, granularity_ns: 1 };
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
        let fat = StatRule { inode: false, ctime: false, ..RULE };
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

    // D9: what is written while the clock passes a moment for the second time may leave the stamp of the first.
    #[test]
    fn a_stamp_of_before_the_clock_was_set_back_proves_nothing() {
        let rule = StatRule { ctime: false, ..RULE };
        let stamped = |mtime_ns| Stat { mtime_ns, ctime_ns: mtime_ns, ..STAT };
        assert!(
            rule.is_young(&stamped(3_600_000_000_000), 500_000),
            "an hour ahead, and no ctime to tell why"
        );
        assert!(
            !rule.is_young(&stamped(i64::MAX), 500_000),
            "stamped from elsewhere, and not read at every scan"
        );
        assert!(!rule.is_young(&stamped(1), 500_000));
    }

    // L10: in memory to the nanosecond, on the disk to two seconds.
    #[rstest]
    #[case::as_it_was(5_300_000_000, Verdict::Unchanged)]
    #[case::what_the_disk_kept_of_it(4_000_000_000, Verdict::Unchanged)]
    #[case::the_next_step(6_000_000_000, Verdict::Differs)]
    #[case::the_step_before(2_000_000_000, Verdict::Differs)]
    #[case::a_finer_stamp_is_a_new_one(4_000_000_001, Verdict::Differs)]
    fn a_stamp_that_was_cut_off_while_the_disk_was_away_is_the_same(
        #[case] mtime_ns: i64,
        #[case] verdict: Verdict,
    ) {
        let fat = StatRule { inode: false, ctime: false, granularity_ns: 2_000_000_000, ..RULE };
        let known = KnownFile { stat: Stat { mtime_ns: 5_300_000_000, ..STAT }, ..known() };
        assert_eq!(judge(&known, &Stat { mtime_ns, ..STAT }, &fat), verdict);
    }

    // Times before 1677, which NTFS has where it has none, are kept at the end of the range.
    #[test]
    fn a_stamp_from_the_end_of_the_range_is_compared_like_any_other() {
        let fat = StatRule { inode: false, ctime: false, granularity_ns: 2_000_000_000, ..RULE };
        let known = KnownFile { stat: Stat { mtime_ns: i64::MIN + 1, ..STAT }, ..known() };
        assert_eq!(judge(&known, &STAT, &fat), Verdict::Differs);
    }

    // L10
    #[rstest]
    #[case::ext4("ext4", StatRule { inode: true, ctime: true, doubt_ns: 20_000_000, granularity_ns: 1 })]
    #[case::fat("vfat", StatRule { inode: false, ctime: false, doubt_ns: 2_020_000_000, granularity_ns: 2_000_000_000 })]
    #[case::fuse("fuse.x", StatRule { inode: false, ctime: true, doubt_ns: 2_000_000_000, granularity_ns: 1 })]
    fn until_it_is_measured_a_volume_is_judged_by_its_kind(#[case] fs_type: &str, #[case] rule: StatRule) {
        assert_eq!(StatRule::of_file_system(fs_type), rule);
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
