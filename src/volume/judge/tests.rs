use proptest::prelude::*;
use rstest::rstest;
use ulid::Ulid;

use super::super::marker::LastScan;
use super::*;

const OURS: Ulid = Ulid::from_parts(1, 1);
const INODE: u64 = 12;

/// A library on an ext4 disk at `/media/disk`.
fn expected() -> Expected {
    Expected {
        library_id: OURS,
        name: "Lectures".into(),
        root: "/media/disk/lib".into(),
        marker: true,
        identity: Identity {
            mount_point: "/media/disk".into(),
            fs_type: "ext4".into(),
            source: "/dev/sda1".into(),
            label: Some("SHELF".into()),
            fs_id: Some("a".into()),
            uuid: Some("A-A".into()),
            root_inode: INODE,
            separate_mount: true,
        },
        last_seen_ms: None,
        marker_generation: 1,
        last_scan: None,
    }
}

fn unmarked() -> Expected {
    Expected { marker: false, ..expected() }
}

/// A library on the system disk.
fn on_system_disk() -> Expected {
    let mut expected = expected();
    expected.identity.mount_point = "/".into();
    expected.identity.separate_mount = false;
    expected
}

fn mount(mount_point: &str, fs_type: &str) -> Mount {
    Mount {
        id: 40,
        parent: 20,
        mount_point: mount_point.into(),
        fs_type: fs_type.into(),
        source: "/dev/sdb1".into(),
        subroot: "/".into(),
        read_only: false,
        device: 7,
    }
}

fn marker_of(library_id: Ulid, generation: u64) -> MarkerSeen {
    MarkerSeen::Found(Marker {
        library_id,
        name: "N".into(),
        generation,
        created: "2026-01-01T00:00:00Z".parse().unwrap(),
        last_scans: Vec::new(),
    })
}

/// This catalogue's last scan was the fifth.
const LAST_SCAN: LastScan = LastScan { catalog: Ulid::from_parts(1, 7), scan: scan_id(5) };

/// One a day.
const fn scan_id(scan: u64) -> Ulid {
    Ulid::from_parts(1_700_000_000_000 + scan * 86_400_000, 0)
}

/// The marker after a scan of this catalogue.
fn scanned(scan: u64) -> MarkerSeen {
    let MarkerSeen::Found(mut marker) = marker_of(OURS, 1) else { unreachable!() };
    marker.last_scans = vec![LastScan { scan: scan_id(scan), ..LAST_SCAN }];
    MarkerSeen::Found(marker)
}

/// All as it should be.
fn right() -> Findings {
    Findings {
        answer: Answer::InTime,
        carrier: Some(mount("/media/disk", "ext4")),
        root: RootSeen::Directory(Place { device: 7, inode: INODE, mount_ticket: 1 }),
        contents: ContentsSeen::Something,
        marker: marker_of(OURS, 1),
        fs_id: Some("a".into()),
        uuid: Some("A-A".into()),
        read_only: false,
        doubles: Vec::new(),
    }
}

/// The disk is away: the path is on the system disk, which has other ids.
fn away(root: RootSeen, contents: ContentsSeen, marker: MarkerSeen) -> Findings {
    Findings {
        carrier: Some(mount("/", "ext4")),
        root,
        contents,
        marker,
        fs_id: Some("b".into()),
        uuid: Some("B-B".into()),
        ..right()
    }
}

fn directory(inode: u64) -> RootSeen {
    RootSeen::Directory(Place { device: 7, inode, mount_ticket: 1 })
}

fn but(change: impl FnOnce(&mut Findings)) -> Findings {
    let mut findings = right();
    change(&mut findings);
    findings
}

const MS: Duration = Duration::from_millis(1);
const EIO: &str = "Input/output error (os error 5)";

// L2, D2: every reason, and every way to it.
#[rstest]
#[case::right(right(), "available")]
#[case::read_only(but(|f| f.read_only = true), "degraded(read-only)")]
#[case::slow(but(|f| f.answer = Answer::Slowly(MS)), "degraded(slow)")]
#[case::slow_and_read_only(but(|f| { f.answer = Answer::Slowly(MS); f.read_only = true }), "degraded(read-only)")]
#[case::another_disk_just_like_it(but(|f| f.doubles = vec!["/media/disk-2/lib".into()]), "degraded(cloned)")]
#[case::an_empty_library_with_its_marker_is_there(but(|f| f.contents = ContentsSeen::Something), "available")]
// Hung, and no look at all.
#[case::hung(Findings::none(Answer::Hung(MS)), "degraded(hung)")]
#[case::hung_says_nothing_of_the_rest(but(|f| f.answer = Answer::Hung(MS)), "degraded(hung)")]
#[case::no_mount_table(but(|f| f.answer = Answer::Failed("no /proc".into())), "degraded(read-error)")]
// The volume is away.
#[case::no_mount_at_all(but(|f| f.carrier = None), "unavailable(not-mounted)")]
#[case::away_and_mount_point_gone(
    away(RootSeen::Missing, ContentsSeen::NotLookedAt, MarkerSeen::NotLookedAt),
    "unavailable(not-mounted)"
)]
#[case::away_and_an_empty_directory_left_behind(
    away(directory(99), ContentsSeen::Empty, MarkerSeen::Absent),
    "unavailable(not-mounted)"
)]
#[case::away_and_something_else_in_its_place(
    away(directory(99), ContentsSeen::Something, MarkerSeen::Absent),
    "unavailable(not-mounted)"
)]
#[case::away_and_another_library_in_its_place(
    away(directory(99), ContentsSeen::Something, marker_of(Ulid::from_parts(1, 2), 1)),
    "unavailable(not-mounted)"
)]
#[case::away_and_not_allowed(
    away(RootSeen::Denied, ContentsSeen::NotLookedAt, MarkerSeen::NotLookedAt),
    "unavailable(not-mounted)"
)]
#[case::away_and_not_looked_at(
    away(RootSeen::NotLookedAt, ContentsSeen::NotLookedAt, MarkerSeen::NotLookedAt),
    "unavailable(not-mounted)"
)]
// A backup that ran into the empty mount point, or a user who moved the files: a copy, either way.
#[case::away_and_a_copy_in_its_place(
    away(directory(99), ContentsSeen::Something, marker_of(OURS, 1)),
    "degraded(cloned)"
)]
#[case::autofs_has_not_mounted_it(
    but(|f| { f.carrier = Some(mount("/media/disk", "autofs")); f.root = RootSeen::Missing }),
    "unavailable(not-mounted)"
)]
// The volume is there, the root is not.
#[case::root_missing(but(|f| f.root = RootSeen::Missing), "unavailable(root-missing)")]
#[case::root_is_a_file(but(|f| f.root = RootSeen::NotADirectory), "unavailable(root-missing)")]
#[case::root_missing_on_another_disk(
    but(|f| { f.root = RootSeen::Missing; f.uuid = Some("B-B".into()) }),
    "degraded(wrong-disk)"
)]
#[case::root_a_file_on_another_disk(
    but(|f| { f.root = RootSeen::NotADirectory; f.uuid = None; f.fs_id = Some("b".into()) }),
    "degraded(wrong-disk)"
)]
// Something else is there.
#[case::another_library(but(|f| f.marker = marker_of(Ulid::from_parts(1, 2), 1)), "degraded(wrong-disk)")]
#[case::another_library_that_cannot_be_listed(
    but(|f| { f.marker = marker_of(Ulid::from_parts(1, 2), 1); f.contents = ContentsSeen::Failed(EIO.into()) }),
    "degraded(wrong-disk)"
)]
#[case::files_without_a_marker(but(|f| f.marker = MarkerSeen::Absent), "degraded(wrong-disk)")]
#[case::a_marker_that_makes_no_sense(
    but(|f| f.marker = MarkerSeen::NotUnderstood("EOF".into())),
    "degraded(wrong-disk)"
)]
#[case::nothing_at_all(
    but(|f| { f.marker = MarkerSeen::Absent; f.contents = ContentsSeen::Empty }),
    "degraded(empty)"
)]
#[case::nothing_at_all_on_another_disk(
    but(|f| { f.marker = MarkerSeen::Absent; f.contents = ContentsSeen::Empty; f.uuid = Some("B-B".into()) }),
    "degraded(wrong-disk)"
)]
// Copies.
#[case::other_generation(but(|f| f.marker = marker_of(OURS, 2)), "degraded(cloned)")]
#[case::older_generation(but(|f| f.marker = marker_of(OURS, 0)), "degraded(cloned)")]
#[case::right_marker_on_another_uuid(but(|f| f.uuid = Some("B-B".into())), "degraded(cloned)")]
#[case::right_marker_on_another_ext4(but(|f| { f.uuid = None; f.fs_id = Some("b".into()) }), "degraded(cloned)")]
#[case::right_marker_on_another_type(
    but(|f| { f.uuid = None; f.carrier = Some(mount("/media/disk", "xfs")) }),
    "degraded(cloned)"
)]
#[case::right_marker_under_a_mount_on_the_volume(
    but(|f| { f.carrier = Some(mount("/media/disk/lib", "ext4")); f.uuid = Some("B-B".into()) }),
    "degraded(cloned)"
)]
#[case::a_bind_mount_of_the_same_directory(
    but(|f| f.carrier = Some(mount("/media/disk/lib", "ext4"))),
    "available"
)]
#[case::the_same_volume_mounted_higher_up(but(|f| f.carrier = Some(mount("/media", "ext4"))), "available")]
#[case::the_same_file_system_but_another_directory(
    but(|f| { f.carrier = Some(mount("/media", "ext4")); f.root = directory(99) }),
    "degraded(cloned)"
)]
#[case::a_network_mount_over_it(
    but(|f| { f.carrier = Some(mount("/media/disk/lib", "nfs4")); f.root = RootSeen::NotLookedAt }),
    "degraded(wrong-disk)"
)]
#[case::an_empty_disk_mounted_over_the_root(
    but(|f| {
        f.carrier = Some(mount("/media/disk/lib", "ext4"));
        f.root = directory(2);
        f.contents = ContentsSeen::Empty;
        f.marker = MarkerSeen::Absent;
    }),
    "degraded(wrong-disk)"
)]
// Not allowed, and broken.
#[case::may_not_open(but(|f| f.root = RootSeen::Denied), "degraded(permission)")]
#[case::may_not_list(but(|f| f.contents = ContentsSeen::Denied), "degraded(permission)")]
#[case::may_not_list_nor_find_a_marker(
    but(|f| { f.contents = ContentsSeen::Denied; f.marker = MarkerSeen::Absent }),
    "degraded(permission)"
)]
#[case::may_not_read_the_marker(but(|f| f.marker = MarkerSeen::Denied), "degraded(permission)")]
#[case::cannot_open(but(|f| f.root = RootSeen::Failed(EIO.into())), "degraded(read-error)")]
#[case::cannot_list(but(|f| f.contents = ContentsSeen::Failed(EIO.into())), "degraded(read-error)")]
#[case::cannot_read_the_marker(but(|f| f.marker = MarkerSeen::Failed(EIO.into())), "degraded(read-error)")]
fn a_marked_library_is_what_was_found(#[case] findings: Findings, #[case] availability: &str) {
    assert_eq!(judge_availability(&expected(), &findings).to_string(), availability);
}

// L9, D2
#[rstest]
#[case::its_last_scan_is_known(but(|f| f.marker = scanned(5)), "available")]
#[case::a_catalogue_that_was_restored(but(|f| f.marker = scanned(6)), "available")]
#[case::a_copy_that_lags_behind(but(|f| f.marker = scanned(4)), "degraded(cloned)")]
#[case::a_copy_of_before_the_first_scan(right(), "degraded(cloned)")]
#[case::a_copy_that_lags_behind_and_cannot_be_listed(
    but(|f| { f.marker = scanned(4); f.contents = ContentsSeen::Failed(EIO.into()) }),
    "degraded(cloned)"
)]
#[case::it_cannot_be_listed(
    but(|f| { f.marker = scanned(5); f.contents = ContentsSeen::Failed(EIO.into()) }),
    "degraded(read-error)"
)]
fn a_copy_is_told_by_the_scans_it_does_not_know(#[case] findings: Findings, #[case] availability: &str) {
    let expected = Expected { last_scan: Some(LAST_SCAN), ..expected() };
    assert_eq!(judge_availability(&expected, &findings).to_string(), availability);
}

// L9, L3
#[test]
fn what_is_said_of_copies_names_times_and_places() {
    let expected = Expected { last_scan: Some(LAST_SCAN), ..expected() };
    let said = |findings: &Findings| judge(&expected, findings).detail(&expected, findings.carrier.as_ref());
    insta::assert_snapshot!(said(&but(|f| f.marker = scanned(4))), @"the marker in /media/disk/lib knows the scan of 2023-11-18 22:13:20 UTC, not that of 2023-11-19 22:13:20 UTC that the catalogue wrote into it; this is a copy of the disk that lags behind, or the disk was put back to an earlier state");
    insta::assert_snapshot!(said(&right()), @"the marker in /media/disk/lib does not know the scan of 2023-11-19 22:13:20 UTC that the catalogue wrote into it; this is a copy of the disk that lags behind, or the disk was put back to an earlier state");
    let double = but(|f| {
        f.marker = scanned(5);
        f.doubles = vec!["/media/disk-2/lib".into()];
    });
    insta::assert_snapshot!(said(&double), @"/media/disk/lib and /media/disk-2/lib carry the same library, and nothing tells which of the disks is the copy");
}

// D2: file system ids that change from mount to mount never speak against a right marker.
#[rstest]
fn a_changed_file_system_id_alone_is_no_reason_to_doubt(
    #[values("xfs", "btrfs", "vfat", "exfat", "fuseblk", "apfs", "nfs4", "overlay")] fs_type: &str,
) {
    let mut expected = expected();
    expected.identity.fs_type = fs_type.into();
    let findings = but(|f| {
        f.carrier = Some(mount("/media/disk", fs_type));
        f.uuid = None;
        f.fs_id = Some("b".into());
        f.root = directory(99);
    });
    assert_eq!(judge_availability(&expected, &findings), Availability::Available);
}

#[test]
fn the_same_disk_under_another_driver_is_the_same_disk() {
    let mut expected = expected();
    expected.identity.fs_type = "ntfs3".into();
    let findings = but(|f| f.carrier = Some(mount("/media/disk", "fuseblk")));
    assert_eq!(judge_availability(&expected, &findings), Availability::Available);
}

#[rstest]
#[case::right(but(|f| f.carrier = Some(mount("/", "ext4"))), "available")]
#[case::missing(but(|f| { f.carrier = Some(mount("/", "ext4")); f.root = RootSeen::Missing }), "unavailable(root-missing)")]
#[case::moved_to_a_volume_of_its_own(
    but(|f| { f.uuid = Some("B-B".into()); f.root = directory(99) }),
    "degraded(cloned)"
)]
#[case::another_volume_over_it(
    but(|f| { f.uuid = Some("B-B".into()); f.marker = MarkerSeen::Absent }),
    "degraded(wrong-disk)"
)]
#[case::a_volume_without_the_root_over_it(
    but(|f| { f.uuid = Some("B-B".into()); f.root = RootSeen::Missing }),
    "degraded(wrong-disk)"
)]
fn a_library_on_the_system_disk_is_what_was_found(#[case] findings: Findings, #[case] availability: &str) {
    assert_eq!(judge_availability(&on_system_disk(), &findings).to_string(), availability);
}

// L1: --no-marker
#[rstest]
#[case::all_fits(right(), "available")]
#[case::without_uuid(but(|f| f.uuid = None), "available")]
#[case::without_file_system_id(but(|f| f.fs_id = None), "available")]
#[case::uuid_decides(but(|f| f.fs_id = Some("b".into())), "available")]
#[case::neither_is_known(but(|f| { f.uuid = None; f.fs_id = None }), "degraded(wrong-disk)")]
#[case::other_uuid(but(|f| f.uuid = Some("B-B".into())), "degraded(wrong-disk)")]
#[case::other_file_system_id(but(|f| { f.uuid = None; f.fs_id = Some("b".into()) }), "degraded(wrong-disk)")]
#[case::other_directory(but(|f| f.root = directory(99)), "degraded(wrong-disk)")]
#[case::other_type(but(|f| f.carrier = Some(mount("/media/disk", "xfs"))), "degraded(wrong-disk)")]
#[case::empty(but(|f| f.contents = ContentsSeen::Empty), "degraded(empty)")]
#[case::empty_and_other(
    but(|f| { f.contents = ContentsSeen::Empty; f.root = directory(99) }),
    "degraded(wrong-disk)"
)]
#[case::not_listed(but(|f| f.contents = ContentsSeen::Denied), "degraded(permission)")]
#[case::away(away(directory(99), ContentsSeen::Empty, MarkerSeen::NotLookedAt), "unavailable(not-mounted)")]
#[case::away_with_files_there(
    away(directory(99), ContentsSeen::Something, MarkerSeen::NotLookedAt),
    "unavailable(not-mounted)"
)]
#[case::a_marker_there_is_not_ours_to_ask_for(but(|f| f.marker = marker_of(OURS, 1)), "available")]
fn an_unmarked_library_is_recognised_by_its_volume(#[case] findings: Findings, #[case] availability: &str) {
    assert_eq!(judge_availability(&unmarked(), &findings).to_string(), availability);
}

fn any_findings() -> impl Strategy<Value = Findings> {
    let answers = prop_oneof![4 => Just(Answer::InTime), 1 => Just(Answer::Slowly(MS)), 1 => Just(Answer::Hung(MS)), 1 => Just(Answer::Failed("x".into()))];
    let points = prop::sample::select(vec!["/", "/media", "/media/disk", "/media/disk/lib", "/elsewhere"]);
    let types = prop::sample::select(vec!["ext4", "xfs", "nfs4", "autofs", "fuseblk"]);
    let carriers =
        prop_oneof![1 => Just(None), 6 => (points, types).prop_map(|(point, kind)| Some(mount(point, kind)))];
    let roots = prop_oneof![
        Just(RootSeen::NotLookedAt),
        Just(RootSeen::Missing),
        Just(RootSeen::NotADirectory),
        Just(RootSeen::Denied),
        Just(RootSeen::Failed(EIO.into())),
        Just(directory(INODE)),
        Just(directory(INODE)),
        Just(directory(99)),
    ];
    let contents = prop_oneof![
        Just(ContentsSeen::NotLookedAt),
        Just(ContentsSeen::Empty),
        Just(ContentsSeen::Something),
        Just(ContentsSeen::Denied),
        Just(ContentsSeen::Failed(EIO.into())),
    ];
    let markers = prop_oneof![
        Just(MarkerSeen::NotLookedAt),
        Just(MarkerSeen::Absent),
        Just(MarkerSeen::Denied),
        Just(MarkerSeen::Failed(EIO.into())),
        Just(MarkerSeen::NotUnderstood("x".into())),
        Just(marker_of(OURS, 1)),
        Just(marker_of(OURS, 1)),
        Just(marker_of(OURS, 2)),
        Just(marker_of(Ulid::from_parts(1, 2), 1)),
    ];
    let ids = || {
        prop::sample::select(vec![None, Some("a".to_owned()), Some("A-A".to_owned()), Some("b".to_owned())])
    };
    let doubles = prop::collection::vec(Just("/media/disk-2/lib".into()), 0..2);
    (answers, carriers, roots, contents, markers, ids(), ids(), any::<bool>(), doubles).prop_map(
        |(answer, carrier, root, contents, marker, fs_id, uuid, read_only, doubles)| Findings {
            answer,
            carrier,
            root,
            contents,
            marker,
            fs_id,
            uuid,
            read_only,
            doubles,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    // D1, D2: whatever else is found, no root is believed without all of this.
    #[test]
    fn nothing_is_believed_that_was_not_proved(findings in any_findings(), marked: bool, separate: bool) {
        let expected = Expected { marker: marked, ..if separate { expected() } else { on_system_disk() } };
        if judge_availability(&expected, &findings).is_readable() {
            prop_assert!(matches!(findings.answer, Answer::InTime | Answer::Slowly(_)));
            prop_assert!(findings.doubles.is_empty());
            let RootSeen::Directory(place) = findings.root else { return Err(TestCaseError::fail("no directory")) };
            prop_assert!(matches!(findings.contents, ContentsSeen::Something | ContentsSeen::Empty));
            let carrier = findings.carrier.expect("no mount carries it");
            prop_assert!(carrier.fs_type != "nfs4" && carrier.fs_type != "xfs" && carrier.fs_type != "autofs");
            let same_ids = findings.uuid == expected.identity.uuid || findings.fs_id == expected.identity.fs_id;
            prop_assert!(carrier.mount_point == expected.identity.mount_point || (same_ids && place.inode == INODE));
            if marked {
                prop_assert_eq!(findings.marker, marker_of(OURS, 1));
            } else {
                prop_assert!(same_ids && place.inode == INODE && findings.contents == ContentsSeen::Something);
            }
        }
    }

    // D2: an absent volume is never said to hold anything.
    #[test]
    fn without_the_right_marker_an_absent_volume_is_just_absent(findings in any_findings()) {
        let away = findings.carrier.as_ref().is_some_and(|carrier| carrier.mount_point == Path::new("/"));
        let foreign = !matches!(&findings.marker, MarkerSeen::Found(marker) if marker.library_id == OURS);
        let looked = matches!(findings.answer, Answer::InTime | Answer::Slowly(_));
        if away && foreign && looked && findings.root != directory(INODE) {
            let availability = judge_availability(&expected(), &findings);
            prop_assert_eq!(availability, Availability::Unavailable(Reason::NotMounted));
        }
    }
}

#[test]
fn what_was_found_is_said_in_one_sentence() {
    let cases = [
        right(),
        but(|f| f.read_only = true),
        but(|f| f.answer = Answer::Slowly(MS * 6000)),
        away(directory(99), ContentsSeen::Empty, MarkerSeen::Absent),
        but(|f| f.carrier = None),
        but(|f| f.root = RootSeen::Missing),
        but(|f| f.root = RootSeen::NotADirectory),
        but(|f| {
            f.root = RootSeen::Missing;
            f.uuid = Some("B-B".into());
        }),
        but(|f| f.marker = marker_of(Ulid::from_parts(1, 2), 1)),
        but(|f| f.marker = MarkerSeen::Absent),
        but(|f| f.marker = MarkerSeen::NotUnderstood("EOF while parsing\u{1b}".into())),
        away(directory(99), ContentsSeen::Something, marker_of(OURS, 1)),
        but(|f| f.uuid = Some("B-B".into())),
        but(|f| f.marker = marker_of(OURS, 2)),
        but(|f| f.contents = ContentsSeen::Denied),
        but(|f| f.marker = MarkerSeen::Failed(EIO.into())),
        but(|f| {
            f.marker = MarkerSeen::Absent;
            f.contents = ContentsSeen::Empty;
        }),
        but(|f| f.answer = Answer::Hung(MS * 10_000)),
    ];
    let mut said: Vec<String> = cases
        .iter()
        .map(|findings| judge(&expected(), findings).detail(&expected(), findings.carrier.as_ref()))
        .collect();
    let other = but(|f| f.root = directory(99));
    said.push(judge(&unmarked(), &other).detail(&unmarked(), other.carrier.as_ref()));
    insta::assert_snapshot!(said.join("\n"), @r#"
/media/disk/lib is the library, on /media/disk (ext4, /dev/sdb1)
/media/disk/lib is the library, on /media/disk (ext4, /dev/sdb1), mounted read-only
/media/disk/lib is the library, on /media/disk (ext4, /dev/sdb1); it took 6000 ms to answer
nothing is mounted at /media/disk; that path is now on / (ext4, /dev/sdb1)
nothing is mounted at /media/disk
/media/disk/lib does not exist on /media/disk (ext4, /dev/sdb1)
/media/disk/lib on /media/disk (ext4, /dev/sdb1) is not a directory
/media/disk/lib is now on another volume: /media/disk (ext4, /dev/sdb1)
the marker in /media/disk/lib is that of the library N (00000000010000000000000002)
/media/disk/lib on /media/disk (ext4, /dev/sdb1) holds files, but no marker of a library
the marker in /media/disk/lib makes no sense: EOF while parsing\u{1b}
/media/disk/lib has the library's marker, but is on / (ext4, /dev/sdb1) and not on the volume that was mounted at /media/disk
/media/disk/lib has the library's marker, but /media/disk (ext4, /dev/sdb1) is another volume than the library's
the marker in /media/disk/lib is of generation 2, the catalogue knows generation 1
the operating system does not allow to list /media/disk/lib
trying to read the marker in /media/disk/lib failed: Input/output error (os error 5)
/media/disk/lib on /media/disk (ext4, /dev/sdb1) is empty
/media/disk/lib did not answer within 10000 ms
what is at /media/disk/lib on /media/disk (ext4, /dev/sdb1) cannot be recognised as the library, which has no marker
"#);
}
