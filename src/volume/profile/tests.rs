use rstest::rstest;

use super::*;
use crate::model::FileKind;

const MS: i64 = 1_000_000;

fn mounting(ticket: u64) -> Option<Mounting> {
    Some(Mounting { boot: "this".into(), ticket })
}

fn stat(mtime_ns: i64, inode: u64) -> Stat {
    Stat { kind: FileKind::Regular, size: 5, mtime_ns, ctime_ns: mtime_ns, inode }
}

/// Known files with odd stamps, each as `change` finds it.
fn known(n: i64, change: impl Fn(i64, Stat) -> Stat) -> Vec<(Stat, Stat)> {
    (0..n)
        .map(|at| {
            let before = stat((1_000 + at) * SECOND + at * 7_777_777 + 123_456_789, 100 + at.unsigned_abs());
            (before, change(at, before))
        })
        .collect()
}

/// A volume of that kind, looked at once in the first mounting.
fn looked_at(fs_type: &str) -> Profile {
    let seen = Seen { mounting: mounting(1), marker_inode: Some(12), ..Seen::default() };
    Profile::assumed(fs_type).learn(&seen)
}

/// The same after the next mounting.
fn remounted(profile: Profile, marker_inode: u64, known: Vec<(Stat, Stat)>) -> Profile {
    let seen = Seen { mounting: mounting(2), marker_inode: Some(marker_inode), known, ..Seen::default() };
    profile.learn(&seen)
}

// L10
#[rstest]
#[case::as_it_was_set(PROBE_STAMP_NS, Some(1))]
#[case::ntfs(PROBE_STAMP_NS - 89, Some(100))]
#[case::micro(PROBE_STAMP_NS - 789, Some(1_000))]
#[case::exfat(PROBE_STAMP_NS - 3_456_789, Some(10 * MS))]
#[case::hfs(PROBE_STAMP_NS - 123_456_789, Some(SECOND))]
#[case::rounded_up(PROBE_STAMP_NS - 123_456_789 + SECOND, Some(2 * SECOND))]
#[case::fat(PROBE_STAMP_NS - 123_456_789 - SECOND, Some(2 * SECOND))]
#[case::not_set_at_all(PROBE_STAMP_NS + 77 * SECOND, None)]
fn the_step_of_a_clock_shows_on_a_time_that_is_tried(#[case] got: i64, #[case] step: Option<i64>) {
    assert_eq!(step_between(PROBE_STAMP_NS, got), step);
}

// L10
#[test]
fn what_was_tried_on_the_marker_is_measured() {
    let tried = |fs_type, mtime_ns, ctime_apart| {
        let seen = Seen { stamps: Some(StampsSeen { mtime_ns, ctime_apart }), ..Seen::default() };
        Profile::assumed(fs_type).learn(&seen)
    };
    let small_ext4 = tried("ext4", PROBE_STAMP_NS - 123_456_789, true);
    assert_eq!(small_ext4.granularity_ns, Fact::measured(SECOND));
    assert_eq!(small_ext4.doubt_ns(), SECOND + TICK_NS, "a change within the second leaves the same stamp");
    assert_eq!(tried("ext4", PROBE_STAMP_NS, true).doubt_ns(), TICK_NS);
    // Behind FUSE the clock may be another one, however fine it is.
    assert_eq!(tried("fuse.x", PROBE_STAMP_NS, true).doubt_ns(), 2 * SECOND);
    assert_eq!(tried("fuse.x", PROBE_STAMP_NS, false).ctime, Fact::measured(false));
    assert_eq!(
        tried("vfat", PROBE_STAMP_NS, true).ctime,
        Fact::assumed(false),
        "the time of making, that is"
    );
    // Where the time could not be set, nothing is told by it.
    let not_set = tried("ext4", PROBE_STAMP_NS + 9 * SECOND, false);
    assert_eq!((not_set.granularity_ns, not_set.ctime), (Fact::assumed(1), Fact::assumed(true)));
}

// L10, D9
#[test]
fn a_time_beyond_2262_proves_no_fine_clock() {
    let in_2300 = stat(Stat::stamp(10_413_792_000, 0), 9);
    let mut known = known(40, |_, before| Stat { mtime_ns: before.mtime_ns / SECOND * SECOND, ..before });
    known.push((in_2300, in_2300));
    let seen = Seen { mounting: mounting(1), known, ..Seen::default() };
    assert_eq!(Profile::assumed("vfat").learn(&seen).granularity_ns, Fact::assumed(SECOND));
}

// L10
#[rstest]
#[case::one_fine_stamp_proves_it(1, 123_456_789, Fact::measured(1))]
#[case::few_coarse_ones_prove_nothing(31, 0, Fact::assumed(2 * SECOND))]
#[case::many_make_it_likely(32, 0, Fact::assumed(SECOND))]
fn a_disk_that_cannot_be_written_is_measured_by_its_files(
    #[case] files: i64,
    #[case] fraction: i64,
    #[case] step: Fact<i64>,
) {
    let known = (0..files).map(|at| (stat(0, 1), stat((1_001 + at) * SECOND + fraction, 1))).collect();
    let seen = Seen { known, read_only: true, ..Seen::default() };
    let profile = Profile::assumed("vfat").learn(&seen);
    assert_eq!((profile.granularity_ns, profile.read_only), (step, Fact::asked(true)));
}

// L10: a library that was unpacked from an archive
#[test]
fn files_with_whole_seconds_do_not_outweigh_what_was_tried() {
    let tried = Seen {
        stamps: Some(StampsSeen { mtime_ns: PROBE_STAMP_NS, ctime_apart: true }),
        mounting: mounting(1),
        marker_inode: Some(12),
        ..Seen::default()
    };
    let whole = |_, before: Stat| Stat { mtime_ns: 1_000 * SECOND, ..before };
    let unpacked = (0..64).map(|at| (whole(at, stat(0, 1)), whole(at, stat(0, 1)))).collect();
    let profile = remounted(Profile::assumed("ext4").learn(&tried), 12, unpacked);
    assert_eq!(profile.granularity_ns, Fact::measured(1));
    // What was cut off outweighs it: memory is finer than the disk.
    let cut = known(64, |_, before| Stat {
        mtime_ns: before.mtime_ns - before.mtime_ns.rem_euclid(SECOND),
        ..before
    });
    let profile = remounted(Profile::assumed("ext4").learn(&tried), 12, cut);
    assert_eq!(profile.granularity_ns, Fact::measured(SECOND));
    assert_eq!(profile.learn(&tried).granularity_ns, Fact::measured(SECOND));
    // Unless they are other files, out of an archive.
    let unpacked = known(64, |_, before| Stat {
        mtime_ns: before.mtime_ns - before.mtime_ns.rem_euclid(SECOND),
        inode: before.inode + 1_000,
        ..before
    });
    let profile = remounted(Profile::assumed("ext4").learn(&tried), 12, unpacked);
    assert_eq!(profile.granularity_ns, Fact::measured(1));
}

// L10
#[test]
fn inode_numbers_are_assumed_until_the_disk_was_away() {
    let same = |_, before| before;
    let profile = looked_at("ext4");
    assert_eq!(profile.stable_inodes, Fact::assumed(true));
    let not_away = Seen { mounting: mounting(1), marker_inode: Some(99), ..Seen::default() };
    assert_eq!(profile.clone().learn(&not_away).stable_inodes, Fact::assumed(true), "not mounted anew");
    assert_eq!(remounted(profile.clone(), 12, known(0, same)).stable_inodes, Fact::measured(true));
    assert_eq!(remounted(profile, 13, known(64, same)).stable_inodes, Fact::measured(false));
}

// L10: numbers that are made up in the order of looking give the marker the same one each time.
#[test]
fn a_disk_that_makes_up_its_inodes_is_not_fooled_by_the_marker() {
    let same = |_, before| before;
    let other = |at: i64, before| Stat { inode: 900 - at.unsigned_abs(), ..before };
    let a_few_replaced = |at: i64, before| if at < 5 { other(at, before) } else { before };
    let half = |at: i64, before| if at % 3 == 0 { other(at, before) } else { before };
    let edited = |at: i64, before: Stat| Stat { size: 6, ..other(at, before) };
    let after = |known| remounted(looked_at("fuseblk"), 12, known).stable_inodes;
    assert_eq!(after(known(7, same)), Fact::assumed(false), "too few");
    assert_eq!(after(known(64, same)), Fact::measured(true), "ntfs-3g");
    assert_eq!(after(known(64, a_few_replaced)), Fact::measured(true));
    assert_eq!(after(known(64, other)), Fact::measured(false));
    assert_eq!(after(known(64, half)), Fact::assumed(false), "neither");
    assert_eq!(after(known(64, edited)), Fact::assumed(false), "other files");
    // What was believed once is given up as soon as it is contradicted.
    let stable = remounted(looked_at("fuseblk"), 12, known(64, same));
    let seen =
        Seen { mounting: mounting(3), marker_inode: Some(12), known: known(64, other), ..Seen::default() };
    assert_eq!(stable.learn(&seen).stable_inodes, Fact::measured(false));
}

// L10: memory shows nanoseconds of what the disk keeps to two seconds.
#[test]
fn stamps_that_were_cut_off_while_the_disk_was_away_tell_its_step() {
    let cut = |step: i64| {
        move |_, before: Stat| Stat { mtime_ns: before.mtime_ns - before.mtime_ns.rem_euclid(step), ..before }
    };
    let after = |known| remounted(looked_at("fuse.x"), 12, known).granularity_ns;
    assert_eq!(after(known(64, cut(2 * SECOND))), Fact::measured(2 * SECOND));
    assert_eq!(after(known(64, cut(10 * MS))), Fact::measured(10 * MS));
    let one_edited = move |at, before: Stat| match at {
        0 => Stat { mtime_ns: before.mtime_ns + 77, ..before },
        _ => cut(SECOND)(at, before),
    };
    assert_eq!(after(known(64, one_edited)), Fact::measured(SECOND));
    assert_eq!(after(known(7, cut(2 * SECOND))).value, 1, "too few");
    // And their inodes are compared all the same.
    let profile = remounted(looked_at("fuse.x"), 12, known(64, cut(2 * SECOND)));
    assert_eq!(profile.stable_inodes, Fact::measured(true));
}

#[rstest]
#[case(5_300, 5_300, true)]
#[case(5_300, 4_000, true)]
#[case(5_300, 6_000, false)]
#[case(4_000, 5_300, false)]
#[case(-5_300, -6_000, true)]
#[case(-5_300, -4_000, false)]
fn a_stamp_is_cut_off_towards_the_past(#[case] known: i64, #[case] seen: i64, #[case] same: bool) {
    assert_eq!(is_same_stamp(known, seen, 2_000), same);
    assert_eq!(is_same_stamp(known, seen, 1), known == seen);
}

// L10
#[test]
fn a_disk_that_spins_gets_one_reader() {
    let on = |rotational| {
        let disk = DiskFacts { rotational, removable: None };
        Profile::assumed("ext4").learn(&Seen { disk, ..Seen::default() }).readers(8)
    };
    assert_eq!((on(Some(true)), on(Some(false)), on(None)), (1, 8, 8));
}

// L10
#[test]
fn how_names_behave_is_asked_and_never_tried() {
    let dir = tempfile::tempdir().unwrap();
    let names = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
    for name in ["lower", "caf\u{e9}"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let here = names(&["lower", "caf\u{e9}"]);
    assert_eq!(told_apart(dir.path(), &here, other_case), Some(true));
    assert_eq!(told_apart(dir.path(), &here, other_normalisation), Some(true));
    assert_eq!(told_apart(dir.path(), &names(&["123"]), other_case), None);
    assert_eq!(told_apart(dir.path(), &names(&["lower"]), other_normalisation), None);
    // As a file system answers that does not tell them apart: found, though not listed.
    for name in ["LOWER", "cafe\u{301}"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    assert_eq!(told_apart(dir.path(), &here, other_case), Some(false));
    assert_eq!(told_apart(dir.path(), &here, other_normalisation), Some(false));
    // Twins in one listing are two.
    assert_eq!(told_apart(dir.path(), &names(&["lower", "LOWER"]), other_case), Some(true));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing was made");
}

#[test]
fn a_profile_is_kept_as_it_is() {
    let profile = remounted(looked_at("ext4"), 12, known(64, |_, before| before)).with_local_time();
    let text = serde_json::to_string(&profile).unwrap();
    assert_eq!(serde_json::from_str::<Profile>(&text).unwrap(), profile);
}
