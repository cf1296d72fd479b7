//! Whether the program knows which disk is there, tried on real disks: ext4 in loop devices, plugged in, pulled,
//! swapped, copied and covered; and a FUSE disk that breaks and hangs on command.

mod common;

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::broken_disk::{Behaviour, BrokenDisk, EACCES, EIO};
use common::disk::{LoopDisk, MountPoints, run};
use common::mounted::mounted_tests;
use shelflist::volume::identity::IdentifyError;
use shelflist::volume::marker::{self, Marker, MarkerError};
use shelflist::volume::{Expected, find_library, identify, mount_table, probe, verify};
use ulid::Ulid;

/// Longer than any test; what answers does so at once.
const LONG: Duration = Duration::from_secs(60);
/// For what is known to hang.
const SHORT: Duration = Duration::from_millis(200);
/// Another library's id.
const THEIRS: Ulid = Ulid::from_parts(1_700_000_000_000, 0);
/// The word that makes this program probe a library and say what it found, for a look as another user.
const PROBE: &str = "probe-for-test";

fn main() -> ExitCode {
    if let Some(availability) = probe_for_test() {
        return availability;
    }
    common::mounted::run(mounted_tests![
        a_library_on_its_disk_is_available,
        an_unplugged_disk_is_not_mounted,
        a_disk_that_is_plugged_in_again_is_available_again,
        a_copy_in_the_empty_mount_point_is_not_the_library,
        another_disk_in_its_place_is_the_wrong_disk,
        another_disk_with_the_librarys_marker_is_a_copy,
        a_disk_mounted_over_the_parent_directory_hides_the_library,
        a_root_that_was_renamed_or_became_a_file_is_missing,
        a_root_with_nothing_in_it_is_empty,
        a_read_only_disk_is_readable_and_says_so,
        another_user_is_denied,
        a_disk_that_fails_is_a_read_error_and_never_absent,
        a_disk_that_hangs_is_told_within_the_deadline_and_comes_back,
        a_network_mount_in_the_way_is_never_touched,
        a_link_to_another_disk_in_place_of_the_root_is_a_copy,
        an_unmarked_library_is_recognised_by_its_disk_alone,
        a_verified_root_stays_verified_and_keeps_no_disk_busy,
        a_recheck_notices_whatever_happens_to_the_disk,
        a_recheck_of_a_disk_that_hangs_or_fails_is_no_pass,
        a_bind_mount_of_the_root_is_the_library,
        a_library_mounted_elsewhere_is_found_by_its_marker,
        a_search_is_not_held_up_by_a_disk_that_hangs,
        a_mount_point_that_the_user_named_must_carry_the_root,
        a_full_disk_gets_no_marker_and_keeps_no_trace,
    ])
}

/// A library on a disk of its own, with everything that it takes to probe it.
struct Library {
    disk: LoopDisk,
    points: MountPoints,
    expected: Expected,
}

impl Library {
    fn new() -> Self {
        let points = MountPoints::new();
        let mut disk = LoopDisk::ext4("SHELF");
        disk.mount_at(&points.dir("disk"));
        let expected = make_library(&points.dir("disk/lib"), new_id());
        Library { disk, points, expected }
    }

    fn state(&self) -> String {
        probe(&self.expected, LONG).availability.to_string()
    }

    fn root(&self) -> &Path {
        &self.expected.root
    }

    /// Owned, so that a disk can be mounted there.
    fn point(&self) -> PathBuf {
        self.expected.identity.mount_point.clone()
    }
}

/// A library id that no other test has: tests run side by side, and one of them searches all mounts.
fn new_id() -> Ulid {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Ulid::from_parts(1_700_000_000_000, (LAST.fetch_add(1, Ordering::Relaxed) + 1).into())
}

fn marker_of(library_id: Ulid) -> Marker {
    Marker {
        library_id,
        name: "Lectures".into(),
        generation: 1,
        created: "2026-11-20T10:00:00Z".parse().unwrap(),
        last_scans: Vec::new(),
    }
}

/// Makes a library of a directory, as `init` does, and puts a file in it.
fn make_library(root: &Path, library_id: Ulid) -> Expected {
    std::fs::write(root.join("lecture.txt"), "one").unwrap();
    marker::create(root, &marker_of(library_id)).unwrap();
    expect(root, library_id)
}

fn expect(root: &Path, library_id: Ulid) -> Expected {
    Expected {
        library_id,
        name: "Lectures".into(),
        root: root.to_owned(),
        marker: true,
        identity: identify(root, None, LONG).unwrap(),
        last_seen_ms: None,
        marker_generation: 1,
        last_scan: None,
    }
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

// L1, L2
fn a_library_on_its_disk_is_available() {
    let library = Library::new();
    assert_eq!(library.state(), "available");
    let identity = &library.expected.identity;
    assert_eq!(identity.mount_point, library.points.path().join("disk"));
    assert_eq!(identity.fs_type, "ext4");
    assert!(identity.separate_mount);
    assert!(identity.fs_id.is_some());
    assert_eq!(identity.label.as_deref(), Some("disk"), "no udev here, so its mount point gives the name");
    assert_eq!(identity.root_inode, std::fs::metadata(library.root()).unwrap().ino());
    assert_eq!(library.expected.rel_root(), Some(Path::new("lib")));

    let verified = verify(&library.expected, LONG).unwrap();
    assert_eq!(verified.path(), library.root());
    assert_eq!(verified.device(), std::fs::metadata(library.root()).unwrap().dev());
    assert_eq!(verified.mount().mount_point, library.point());
}

// D2, D10
fn an_unplugged_disk_is_not_mounted() {
    let mut library = Library::new();
    library.disk.unmount();
    // Its mount point stayed behind, empty.
    assert_eq!(library.state(), "unavailable(not-mounted)");
    assert!(verify(&library.expected, LONG).is_err());
    // Somebody made the root in it, by mistake or by `mkdir -p`.
    std::fs::create_dir(library.root()).unwrap();
    assert_eq!(library.state(), "unavailable(not-mounted)");
    std::fs::write(library.root().join("stray.txt"), "x").unwrap();
    assert_eq!(library.state(), "unavailable(not-mounted)");
    // Gone with its mount point, as desktops and macOS do it.
    std::fs::remove_dir_all(library.points.path().join("disk")).unwrap();
    assert_eq!(library.state(), "unavailable(not-mounted)");
    let probe = probe(&library.expected, LONG);
    assert!(probe.detail.starts_with("nothing is mounted at "), "{}", probe.detail);
    // D8: nothing of it was made.
    assert!(!library.points.path().join("disk").exists());
}

// L2, D10
fn a_disk_that_is_plugged_in_again_is_available_again() {
    let mut library = Library::new();
    for _ in 0..3 {
        library.disk.unmount();
        assert_eq!(library.state(), "unavailable(not-mounted)");
        // Another disk takes the device that it had.
        let mut other = LoopDisk::ext4("OTHER");
        other.mount_at(&library.points.dir("other"));
        library.disk.mount_at(&library.points.dir("disk"));
        assert_eq!(library.state(), "available");
    }
}

// D2: a backup that ran while the disk was away.
fn a_copy_in_the_empty_mount_point_is_not_the_library() {
    let mut library = Library::new();
    let copied = library.points.dir("copied");
    copy(library.root(), &copied);
    library.disk.unmount();
    copy(&copied.join("lib"), library.root());
    assert_eq!(library.state(), "degraded(cloned)");
    assert!(verify(&library.expected, LONG).is_err());
    // The disk comes back over it.
    library.disk.mount_at(&library.points.dir("disk"));
    assert_eq!(library.state(), "available");
}

// D2
fn another_disk_in_its_place_is_the_wrong_disk() {
    let mut library = Library::new();
    library.disk.unmount();
    let mut other = LoopDisk::ext4("OTHER");
    other.mount_at(&library.point());
    // Without the root, with an empty one, with files in it, with another library in it.
    assert_eq!(library.state(), "degraded(wrong-disk)");
    std::fs::create_dir(library.root()).unwrap();
    assert_eq!(library.state(), "degraded(wrong-disk)");
    std::fs::write(library.root().join("lecture.txt"), "one").unwrap();
    assert_eq!(library.state(), "degraded(wrong-disk)");
    marker::create(library.root(), &marker_of(THEIRS)).unwrap();
    assert_eq!(library.state(), "degraded(wrong-disk)");
    let probe = probe(&library.expected, LONG);
    assert!(probe.detail.contains(&THEIRS.to_string()), "{}", probe.detail);
    assert!(verify(&library.expected, LONG).is_err());
    // Mounted over the right disk it is what is seen; taken away again, the right one is.
    other.unmount();
    library.disk.mount_at(&library.point());
    assert_eq!(library.state(), "available");
    other.mount_at(&library.point());
    assert_eq!(library.state(), "degraded(wrong-disk)");
    other.unmount();
    assert_eq!(library.state(), "available");
}

// D2, L9
fn another_disk_with_the_librarys_marker_is_a_copy() {
    let mut library = Library::new();
    let mut other = LoopDisk::ext4("COPY");
    other.mount_at(&library.points.dir("other"));
    copy(library.root(), &library.points.dir("other"));
    other.unmount();
    library.disk.unmount();
    other.mount_at(&library.point());
    assert_eq!(library.state(), "degraded(cloned)");
    assert!(verify(&library.expected, LONG).is_err());

    // A copy of the original, bit by bit, is told by its generation once it has one of its own.
    other.unmount();
    let mut clone = library.disk.clone_bits();
    clone.mount_at(&library.point());
    let path = marker::marker_path(library.root());
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"generation\": 1", "\"generation\": 2")).unwrap();
    assert_eq!(library.state(), "degraded(cloned)");
}

// D2
fn a_disk_mounted_over_the_parent_directory_hides_the_library() {
    let mut library = Library::new();
    let mut other = LoopDisk::ext4("OTHER");
    other.mount_at(&library.points.path());
    assert_eq!(library.state(), "unavailable(not-mounted)");
    other.unmount();
    assert_eq!(library.state(), "available");
    // And over the root alone.
    other.mount_at(&library.expected.root);
    assert_eq!(library.state(), "degraded(wrong-disk)");
    other.unmount();
    library.disk.unmount();
}

// L2
fn a_root_that_was_renamed_or_became_a_file_is_missing() {
    let library = Library::new();
    std::fs::rename(library.root(), library.point().join("renamed")).unwrap();
    assert_eq!(library.state(), "unavailable(root-missing)");
    std::fs::write(library.root(), "a file").unwrap();
    let probe = probe(&library.expected, LONG);
    assert_eq!(probe.availability.to_string(), "unavailable(root-missing)");
    assert!(probe.detail.ends_with("is not a directory"), "{}", probe.detail);
    // A FIFO must not make anybody wait for a writer.
    std::fs::remove_file(library.root()).unwrap();
    run(Command::new("mkfifo").arg(library.root()));
    assert_eq!(library.state(), "unavailable(root-missing)");
    std::fs::remove_file(library.root()).unwrap();
    std::fs::rename(library.point().join("renamed"), library.root()).unwrap();
    assert_eq!(library.state(), "available");
}

// L2
fn a_root_with_nothing_in_it_is_empty() {
    let library = Library::new();
    std::fs::rename(library.root(), library.point().join("renamed")).unwrap();
    std::fs::create_dir(library.root()).unwrap();
    assert_eq!(library.state(), "degraded(empty)");
    std::fs::write(library.root().join("something"), "").unwrap();
    assert_eq!(library.state(), "degraded(wrong-disk)");
    // With its marker, a library without files is a library all the same.
    std::fs::remove_file(library.root().join("something")).unwrap();
    marker::create(library.root(), &marker_of(library.expected.library_id)).unwrap();
    assert_eq!(library.state(), "available");
}

// L2
fn a_read_only_disk_is_readable_and_says_so() {
    let mut library = Library::new();
    let verified = verify(&library.expected, LONG).unwrap();
    let other = library.points.dir("disk/other");
    library.disk.remount_read_only();
    assert_eq!(library.state(), "degraded(read-only)");
    assert!(matches!(marker::create(&other, &marker_of(THEIRS)), Err(MarkerError::NotWritten { .. })));
    // In the middle of a scan it is no reason to throw anything away.
    verified.recheck().unwrap();
    verify(&library.expected, LONG).unwrap().recheck().unwrap();

    library.disk.unmount();
    library.disk.mount_read_only_at(&library.point());
    assert_eq!(library.state(), "degraded(read-only)");
}

// L2, L3
fn another_user_is_denied() {
    let library = Library::new();
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let root = library.root();
    assert_eq!(state_for_another_user(&library), "available");
    for (place, denied) in [
        (root.to_owned(), 0o700),
        // May be entered, and its marker read, but not listed.
        (root.to_owned(), 0o711),
        // May be listed, but not entered.
        (root.to_owned(), 0o744),
        (root.join(marker::MARKER_DIR), 0o700),
        (library.point(), 0o700),
    ] {
        mode(&place, denied);
        assert_eq!(
            state_for_another_user(&library),
            "degraded(permission)",
            "{denied:o} {}",
            place.display()
        );
        mode(&place, 0o755);
    }
    let marker = marker::marker_path(root);
    mode(&marker, 0o600);
    assert_eq!(state_for_another_user(&library), "degraded(permission)");
    mode(&marker, 0o644);
    assert_eq!(state_for_another_user(&library), "available");
}

/// What the library is for a user who owns nothing here.
fn state_for_another_user(library: &Library) -> String {
    let nobody = 65534;
    // The program itself may lie where that user may not go.
    let program = library.points.path().join("program");
    if !program.exists() {
        std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    }
    let output = Command::new(&program)
        .arg(PROBE)
        .arg(library.expected.library_id.to_string())
        .arg(library.root())
        .arg(serde_json::to_string(&library.expected.identity).unwrap())
        .current_dir("/")
        .uid(nobody)
        .gid(nobody)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The other side of [`state_for_another_user`].
fn probe_for_test() -> Option<ExitCode> {
    use std::io::Write;
    let mut args = std::env::args_os().skip(1);
    if args.next()? != PROBE {
        return None;
    }
    let library_id = args.next()?.to_str()?.parse().unwrap();
    let root = PathBuf::from(args.next()?);
    let identity = serde_json::from_str(args.next()?.to_str()?).unwrap();
    let expected = Expected {
        library_id,
        name: "Lectures".into(),
        root,
        marker: true,
        identity,
        last_seen_ms: None,
        marker_generation: 1,
        last_scan: None,
    };
    std::io::stdout().write_all(probe(&expected, LONG).availability.to_string().as_bytes()).unwrap();
    Some(ExitCode::SUCCESS)
}

/// A disk that breaks on command, with a library on it.
fn broken_library(points: &MountPoints) -> (BrokenDisk, Expected) {
    let library_id = new_id();
    let marker = serde_json::to_vec(&marker_of(library_id)).unwrap();
    let dir = points.dir("broken");
    let disk =
        BrokenDisk::mount_at(&dir, &[("lib/.shelflist/library.json", &marker), ("lib/lecture.txt", b"one")]);
    let expected = expect(&dir.join("lib"), library_id);
    (disk, expected)
}

// D1, L2
fn a_disk_that_fails_is_a_read_error_and_never_absent() {
    let points = MountPoints::new();
    let (disk, expected) = broken_library(&points);
    let state = || probe(&expected, LONG).availability.to_string();
    assert_eq!(state(), "degraded(read-only)");
    disk.set(Behaviour::Fails(EIO));
    assert_eq!(state(), "degraded(read-error)");
    disk.set(Behaviour::FailsToRead(EIO));
    assert_eq!(state(), "degraded(read-error)");
    disk.set(Behaviour::Fails(EACCES));
    assert_eq!(state(), "degraded(permission)");
    disk.set(Behaviour::FailsToRead(EACCES));
    assert_eq!(state(), "degraded(permission)");
    disk.set(Behaviour::Answers);
    assert_eq!(state(), "degraded(read-only)");
}

// L2: hung
fn a_disk_that_hangs_is_told_within_the_deadline_and_comes_back() {
    let points = MountPoints::new();
    let (disk, expected) = broken_library(&points);
    disk.set(Behaviour::Hangs);
    assert_eq!(probe(&expected, SHORT).availability.to_string(), "degraded(hung)");
    // The next one does not wait at all.
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(probe(&expected, SHORT).availability.to_string(), "degraded(hung)");
        assert!(verify(&expected, SHORT).is_err());
    }
    assert!(begun.elapsed() < SHORT * 10);
    // Once it answers again, so does the probe, as soon as the stuck one is through.
    disk.set(Behaviour::Answers);
    let begun = Instant::now();
    while probe(&expected, LONG).availability.to_string() != "degraded(read-only)" {
        assert!(begun.elapsed() < LONG, "still {:?}", probe(&expected, LONG));
        std::thread::yield_now();
    }
}

// L2: other mounts are not touched, and a network mount that does not answer is one.
fn a_network_mount_in_the_way_is_never_touched() {
    let mut library = Library::new();
    for place in [library.root().to_owned(), library.points.path()] {
        let network = BrokenDisk::mount_as("fuse.sshfs", &place, &[("file", b"x")]);
        network.set(Behaviour::Hangs);
        let begun = Instant::now();
        let found = probe(&library.expected, LONG);
        assert!(!found.availability.is_readable());
        assert_ne!(found.availability.to_string(), "degraded(hung)");
        assert!(begun.elapsed() < LONG / 2);
        assert_eq!(search(&library, LONG).1, [] as [PathBuf; 0]);
        drop(network);
        assert_eq!(library.state(), "available");
    }
    library.disk.unmount();
}

// D2: the library was moved to another disk, and a link left behind.
fn a_link_to_another_disk_in_place_of_the_root_is_a_copy() {
    let library = Library::new();
    let mut other = LoopDisk::ext4("OTHER");
    other.mount_at(&library.points.dir("other"));
    copy(library.root(), &library.points.dir("other"));
    std::fs::rename(library.root(), library.point().join("renamed")).unwrap();
    symlink(library.points.path().join("other/lib"), library.root()).unwrap();
    let found = probe(&library.expected, LONG);
    assert_eq!(found.availability.to_string(), "degraded(cloned)");
    assert_eq!(
        found.mount.unwrap().mount_point,
        library.points.path().join("other"),
        "where the link really leads"
    );
    // A link within the disk leads to the same library.
    std::fs::remove_file(library.root()).unwrap();
    symlink("renamed", library.root()).unwrap();
    assert_eq!(library.state(), "available");
}

// L1: --no-marker
fn an_unmarked_library_is_recognised_by_its_disk_alone() {
    let mut library = Library::new();
    std::fs::remove_dir_all(library.root().join(marker::MARKER_DIR)).unwrap();
    library.expected.marker = false;
    assert_eq!(library.state(), "available");
    verify(&library.expected, LONG).unwrap().recheck().unwrap();
    // The same directory, by name and content, made anew.
    std::fs::rename(library.root(), library.point().join("renamed")).unwrap();
    std::fs::create_dir(library.root()).unwrap();
    std::fs::write(library.root().join("lecture.txt"), "one").unwrap();
    assert_eq!(library.state(), "degraded(wrong-disk)");
    std::fs::remove_dir_all(library.root()).unwrap();
    std::fs::rename(library.point().join("renamed"), library.root()).unwrap();
    assert_eq!(library.state(), "available");

    library.disk.unmount();
    assert_eq!(library.state(), "unavailable(not-mounted)");
    let mut other = LoopDisk::ext4("OTHER");
    other.mount_at(&library.point());
    std::fs::create_dir(library.root()).unwrap();
    std::fs::write(library.root().join("lecture.txt"), "one").unwrap();
    let same_inode = std::fs::metadata(library.root()).unwrap().ino() == library.expected.identity.root_inode;
    assert!(same_inode, "both disks are made alike, so that only the volume tells them apart");
    assert_eq!(library.state(), "degraded(wrong-disk)");
    other.unmount();
    library.disk.mount_at(&library.point());
    assert_eq!(library.state(), "available");
}

// D3
fn a_verified_root_stays_verified_and_keeps_no_disk_busy() {
    let mut library = Library::new();
    let verified = verify(&library.expected, LONG).unwrap();
    for n in 0..200 {
        std::fs::write(library.root().join(format!("{n}.txt")), "x").unwrap();
        verified.recheck().unwrap();
    }
    // The user may eject his disk while we hold the proof.
    library.disk.unmount();
    verified.recheck().unwrap_err();
}

// D3
fn a_recheck_notices_whatever_happens_to_the_disk() {
    /// A disaster; what a recheck says then.
    type Disaster = (&'static str, fn(&mut Library), &'static str);
    let disasters: [Disaster; 11] = [
        ("unmounted", |library| library.disk.unmount(), "unavailable(not-mounted)"),
        ("pulled behind open files", |library| library.disk.lazy_unmount(), "unavailable(not-mounted)"),
        (
            "mounted elsewhere",
            |library| {
                library.disk.unmount();
                library.disk.mount_at(&library.points.dir("elsewhere"));
            },
            "unavailable(not-mounted)",
        ),
        (
            "its mount moved elsewhere",
            |library| library.disk.move_to(&library.points.dir("elsewhere")),
            "unavailable(not-mounted)",
        ),
        (
            // What was not seen in between proves nothing.
            "unmounted and mounted again",
            |library| {
                library.disk.unmount();
                library.disk.mount_at(&library.point());
            },
            "unavailable(not-mounted)",
        ),
        (
            "its root renamed",
            |library| std::fs::rename(library.root(), library.point().join("renamed")).unwrap(),
            "unavailable(root-missing)",
        ),
        (
            "its root replaced by a file",
            |library| {
                std::fs::rename(library.root(), library.point().join("renamed")).unwrap();
                std::fs::write(library.root(), "").unwrap();
            },
            "unavailable(root-missing)",
        ),
        (
            "its root replaced by a copy",
            |library| {
                std::fs::rename(library.root(), library.point().join("renamed")).unwrap();
                copy(&library.point().join("renamed"), library.root());
            },
            "unavailable(not-mounted)",
        ),
        (
            "its marker gone",
            |library| std::fs::remove_file(marker::marker_path(library.root())).unwrap(),
            "degraded(wrong-disk)",
        ),
        (
            "its marker another library's",
            |library| {
                std::fs::remove_file(marker::marker_path(library.root())).unwrap();
                marker::create(library.root(), &marker_of(THEIRS)).unwrap();
            },
            "degraded(wrong-disk)",
        ),
        (
            "its marker torn",
            |library| std::fs::write(marker::marker_path(library.root()), "{").unwrap(),
            "degraded(wrong-disk)",
        ),
    ];
    for (what, disaster, state) in disasters {
        let mut library = Library::new();
        let verified = verify(&library.expected, LONG).unwrap();
        verified.recheck().unwrap();
        let open = (what == "pulled behind open files")
            .then(|| std::fs::File::open(library.root().join("lecture.txt")).unwrap());
        disaster(&mut library);
        let found = verified.recheck().expect_err(what);
        assert_eq!(found.availability.to_string(), state, "{what}: {}", found.detail);
        drop(open);
    }

    let library = Library::new();
    let verified = verify(&library.expected, LONG).unwrap();
    let mut other = LoopDisk::ext4("OTHER");
    other.mount_at(&library.point());
    assert_eq!(verified.recheck().unwrap_err().availability.to_string(), "degraded(wrong-disk)");
    other.unmount();
    // It never left.
    verified.recheck().unwrap();
}

// D1, D3
fn a_recheck_of_a_disk_that_hangs_or_fails_is_no_pass() {
    let points = MountPoints::new();
    let (disk, expected) = broken_library(&points);
    let verified = verify(&expected, SHORT).unwrap();
    verified.recheck().unwrap();
    disk.set(Behaviour::Fails(EIO));
    assert_eq!(verified.recheck().unwrap_err().availability.to_string(), "degraded(read-error)");
    disk.set(Behaviour::Answers);
    verified.recheck().unwrap();
    disk.set(Behaviour::Hangs);
    assert_eq!(verified.recheck().unwrap_err().availability.to_string(), "degraded(hung)");
}

// D2: containers, and people with bind mounts in their fstab.
fn a_bind_mount_of_the_root_is_the_library() {
    let mut library = Library::new();
    let aside = library.points.dir("aside");
    let root = library.root().to_owned();
    library.disk.bind(&root, &aside);
    // The same directory at another path is a library of its own path; relocated there, it is recognised.
    let moved = Expected {
        root: aside.clone(),
        identity: identify(&aside, None, LONG).unwrap(),
        ..library.expected.clone()
    };
    assert_eq!(probe(&moved, LONG).availability.to_string(), "available");
    library.disk.unmount();
    assert_eq!(probe(&moved, LONG).availability.to_string(), "unavailable(not-mounted)");
    // Over its own place it changes nothing.
    library.disk.bind(&root, &root);
    assert_eq!(library.state(), "available");
}

/// Where the library is found on the mounts there are, and where no answer came.
fn search(library: &Library, deadline: Duration) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut table = mount_table().unwrap();
    // Not on the disks of tests beside this one: a look keeps a disk busy that they unmount just then.
    let points = library.points.path();
    table.retain(|mount| {
        !mount.mount_point.starts_with(points.parent().unwrap()) || mount.mount_point.starts_with(&points)
    });
    let expected = &library.expected;
    let search = find_library(expected.library_id, &table, expected.rel_root().unwrap(), deadline);
    assert!(search.found.iter().all(|found| found.marker == marker_of(expected.library_id)));
    (search.found.into_iter().map(|found| found.root).collect(), search.unanswered)
}

// L9
fn a_library_mounted_elsewhere_is_found_by_its_marker() {
    let mut library = Library::new();
    let found = |library: &Library| search(library, LONG).0;
    assert_eq!(found(&library), [library.root()]);
    library.disk.unmount();
    assert_eq!(found(&library), [] as [PathBuf; 0]);

    let elsewhere = library.points.dir("elsewhere");
    library.disk.mount_at(&elsewhere);
    assert_eq!(found(&library), [elsewhere.join("lib")]);

    // Seen twice by a bind mount it is one place; a copy of the disk is another.
    library.disk.bind(&elsewhere, &library.points.dir("bound"));
    assert_eq!(found(&library).len(), 1);
    let mut other = LoopDisk::ext4("COPY");
    let copied = library.points.dir("copy");
    other.mount_at(&copied);
    copy(&elsewhere.join("lib"), &copied);
    assert_eq!(found(&library).len(), 2);

    // A link on somebody's disk is not followed.
    std::fs::rename(copied.join("lib"), copied.join("other")).unwrap();
    symlink("other", copied.join("lib")).unwrap();
    assert_eq!(found(&library).len(), 1);
}

// L9
fn a_search_is_not_held_up_by_a_disk_that_hangs() {
    let mut library = Library::new();
    let (disk, broken) = broken_library(&library.points);
    disk.set(Behaviour::Hangs);
    library.disk.unmount();
    library.disk.mount_at(&library.points.dir("elsewhere"));
    let (found, unanswered) = search(&library, SHORT);
    assert_eq!(found, [library.points.path().join("elsewhere/lib")]);
    assert_eq!(unanswered, [broken.root]);
}

// L1
fn a_mount_point_that_the_user_named_must_carry_the_root() {
    let mut library = Library::new();
    let (root, point) = (library.root().to_owned(), library.point().to_owned());
    assert_eq!(identify(&root, Some(&point), LONG).unwrap(), library.expected.identity);
    library.disk.unmount();
    std::fs::create_dir(&root).unwrap();
    let refused = identify(&root, Some(&point), LONG).unwrap_err();
    assert!(matches!(refused, IdentifyError::OtherMountPoint { .. }), "{refused}");
}

// D8
fn a_full_disk_gets_no_marker_and_keeps_no_trace() {
    let library = Library::new();
    let root = library.points.dir("disk/new");
    let block = library.points.path().join("disk/block");
    std::fs::write(&block, [1; 1]).unwrap();
    // Until not one block is left.
    let filler = std::fs::File::create(library.points.path().join("disk/filler")).unwrap();
    let full = loop {
        if let Err(error) = std::io::Write::write_all(&mut &filler, &[1; 1024]) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    filler.sync_all().unwrap();
    let create = || marker::create(&root, &marker_of(THEIRS)).unwrap_err();
    assert!(matches!(create(), MarkerError::NotWritten { .. }));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    // Room for the directory, none for what goes into it.
    std::fs::remove_file(&block).unwrap();
    run(&mut Command::new("sync"));
    assert!(matches!(create(), MarkerError::NotWritten { .. }));
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
}
