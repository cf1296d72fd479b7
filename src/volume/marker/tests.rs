use super::*;
use std::os::unix::fs::symlink;

fn marker(id: u64) -> Marker {
    Marker {
        library_id: Ulid::from_parts(1_700_000_000_000, id.into()),
        name: "Lectures".into(),
        generation: 1,
        created: "2026-11-20T10:00:00Z".parse().unwrap(),
        last_scans: Vec::new(),
    }
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn put(root: &Path, text: &[u8]) {
    std::fs::create_dir_all(root.join(MARKER_DIR)).unwrap();
    std::fs::write(marker_path(root), text).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

// L1
#[test]
fn a_marker_that_was_made_is_read_back_and_stands_alone() {
    let root = root();
    create(root.path(), &marker(1)).unwrap();
    assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
    assert_eq!(names(root.path()), [MARKER_DIR]);
    assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
}

fn scan(catalog: u64, scan: u64) -> LastScan {
    LastScan { catalog: Ulid::from_parts(1, catalog.into()), scan: Ulid::from_parts(scan, 0) }
}

fn with(entries: &[LastScan]) -> Marker {
    Marker { last_scans: entries.to_vec(), ..marker(1) }
}

// L9, D2
#[rstest::rstest]
#[case::the_same(&[scan(1, 5)], false)]
#[case::older(&[scan(1, 4)], true)]
#[case::newer_than_a_restored_catalogue(&[scan(1, 6)], false)]
#[case::none_at_all(&[], true)]
#[case::only_anothers(&[scan(2, 9)], true)]
#[case::among_others(&[scan(2, 9), scan(1, 5), scan(3, 1)], false)]
fn a_copy_does_not_know_the_scans_that_came_after_it(#[case] entries: &[LastScan], #[case] lags: bool) {
    assert_eq!(with(entries).lags_behind(scan(1, 5)), lags);
}

// L9
#[test]
fn a_disk_that_many_catalogues_use_forgets_the_oldest_and_is_no_copy_for_it() {
    let mut marker = with(&[]);
    for catalog in 0..100 {
        marker.put_last_scan(scan(catalog, 7));
    }
    assert_eq!(marker.last_scans.len(), MAX_LAST_SCANS);
    assert_eq!(marker.last_scan_of(scan(99, 7).catalog), Some(scan(99, 7).scan));
    assert_eq!(marker.last_scan_of(scan(0, 7).catalog), None);
    assert!(!marker.lags_behind(scan(0, 7)), "it may have been forgotten");
    marker.put_last_scan(scan(90, 8));
    assert_eq!(marker.last_scans.len(), MAX_LAST_SCANS);
    assert_eq!(marker.last_scans[0], scan(90, 8));
}

fn rewrite(root: &Path, change: impl FnOnce(&mut Marker)) -> Result<Marker, MarkerError> {
    rewrite_in(&open_root(root).unwrap(), root, marker(1).library_id, change).map(|(marker, _)| marker)
}

// L9, D8
#[test]
fn a_marker_is_rewritten_whole_and_keeps_what_it_does_not_know() {
    let root = root();
    create(root.path(), &marker(1)).unwrap();
    let text = std::fs::read_to_string(marker_path(root.path())).unwrap();
    put(root.path(), text.replace('{', "{ \"of_a_later_version\": [1, 2],").as_bytes());
    let written = rewrite(root.path(), |marker| marker.put_last_scan(scan(1, 5))).unwrap();
    assert_eq!(written, with(&[scan(1, 5)]));
    assert_eq!(read(root.path()).unwrap(), Some(written));
    let text = std::fs::read_to_string(marker_path(root.path())).unwrap();
    assert!(text.contains("of_a_later_version"), "{text}");
    assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
}

// D8
#[test]
fn what_killed_rewritings_left_behind_is_cleared() {
    let root = root();
    create(root.path(), &marker(1)).unwrap();
    for attempt in 0..3 {
        let left = temporary_name(marker(1).library_id, attempt);
        std::fs::write(root.path().join(MARKER_DIR).join(left), "{").unwrap();
    }
    rewrite(root.path(), |marker| marker.generation = 9).unwrap();
    assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
}

// D8
#[test]
fn only_the_marker_of_that_library_is_rewritten_and_none_is_made() {
    let root = root();
    assert!(matches!(rewrite(root.path(), |_| ()), Err(MarkerError::NotWritten { .. })));
    assert!(names(root.path()).is_empty());
    create(root.path(), &marker(2)).unwrap();
    let before = std::fs::read(marker_path(root.path())).unwrap();
    let refused = rewrite(root.path(), |marker| marker.generation = 9);
    assert!(matches!(refused, Err(MarkerError::NotUnderstood { .. })), "{refused:?}");
    assert_eq!(std::fs::read(marker_path(root.path())).unwrap(), before);
}

// D2: a scan by root, or under a narrow umask, must not lock the others out who use the disk.
#[test]
fn a_rewritten_marker_is_whose_it_was_and_read_by_whom_it_was() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let root = root();
    create(root.path(), &marker(1)).unwrap();
    let path = marker_path(root.path());
    for mode in [0o666, 0o640, 0o444] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        // Only root can give it away.
        let given_away = std::os::unix::fs::chown(&path, Some(12345), Some(54321)).is_ok();
        rewrite(root.path(), |marker| marker.generation += 1).unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!(metadata.mode() & 0o7777, mode, "{:o}", metadata.mode());
        assert!(!given_away || (metadata.uid(), metadata.gid()) == (12345, 54321), "{metadata:?}");
    }
}

// D2: whoever read it afterwards would not understand it.
#[test]
fn a_marker_is_not_rewritten_longer_than_it_may_be() {
    let root = root();
    let mut text = serde_json::to_vec(&marker(1)).unwrap();
    let rest = usize::try_from(MAX_BYTES).unwrap() - text.len() - 20;
    text.splice(1..1, format!("\"later\":\"{}\",", "x".repeat(rest)).into_bytes());
    put(root.path(), &text);
    assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
    let refused = rewrite(root.path(), |marker| marker.put_last_scan(scan(1, 5)));
    assert!(matches!(refused, Err(MarkerError::NotWritten { .. })), "{refused:?}");
    assert_eq!(std::fs::read(marker_path(root.path())).unwrap(), text);
    assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
}

// L9: each would put back the entry that the other has just replaced.
#[test]
fn of_two_that_rewrite_a_marker_at_once_one_leaves_it() {
    let root = root();
    create(root.path(), &marker(1)).unwrap();
    let held = File::open(root.path().join(MARKER_DIR)).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    let refused = rewrite(root.path(), |marker| marker.generation = 9);
    assert!(matches!(refused, Err(MarkerError::NotWritten { .. })), "{refused:?}");
    drop(held);
    assert_eq!(rewrite(root.path(), |marker| marker.generation = 9).unwrap().generation, 9);
}

// L10
#[test]
fn the_time_that_is_tried_on_a_marker_does_not_stay_on_it() {
    use std::os::unix::fs::MetadataExt;
    let root = root();
    let stamps = create(root.path(), &marker(1)).unwrap().unwrap();
    assert_eq!(stamps, StampsSeen { mtime_ns: PROBE_STAMP_NS, ctime_apart: true }, "as ext4 and tmpfs do");
    let metadata = std::fs::metadata(marker_path(root.path())).unwrap();
    assert!(metadata.mtime().abs_diff(metadata.ctime()) < 60);
}

#[test]
fn no_directory_and_no_file_both_mean_no_marker() {
    let root = root();
    assert_eq!(read(root.path()).unwrap(), None);
    std::fs::create_dir(root.path().join(MARKER_DIR)).unwrap();
    assert_eq!(read(root.path()).unwrap(), None);
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let root = root();
    put(
        root.path(),
        br#"{"library_id":"01HF7YAT00000000000000000A","name":"n","generation":3,"created":"2026-01-01T00:00:00Z","colour":"red"}"#,
    );
    assert_eq!(read(root.path()).unwrap().unwrap().generation, 3);
}

// D1
#[test]
fn what_makes_no_sense_is_neither_a_marker_nor_none() {
    let mut long = serde_json::to_vec(&marker(1)).unwrap();
    long.resize(usize::try_from(MAX_BYTES).unwrap() + 1, b' ');
    for text in [&b""[..], b"{", b"null", b"[]", br#"{"library_id":"x"}"#, b"\xff\xfe", &long] {
        let root = root();
        put(root.path(), text);
        assert!(matches!(read(root.path()), Err(MarkerError::NotUnderstood { .. })), "{:?}", text.get(..20));
    }
}

#[test]
fn the_longest_marker_allowed_is_read() {
    let root = root();
    let mut text = serde_json::to_vec(&marker(1)).unwrap();
    text.resize(usize::try_from(MAX_BYTES).unwrap(), b' ');
    put(root.path(), &text);
    assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
}

#[test]
fn links_are_not_followed_and_nothing_but_a_file_is_opened() {
    let elsewhere = root();
    create(elsewhere.path(), &marker(1)).unwrap();

    let linked_dir = root();
    symlink(elsewhere.path().join(MARKER_DIR), linked_dir.path().join(MARKER_DIR)).unwrap();
    let linked_file = root();
    std::fs::create_dir(linked_file.path().join(MARKER_DIR)).unwrap();
    symlink(marker_path(elsewhere.path()), marker_path(linked_file.path())).unwrap();
    let dir_for_file = root();
    std::fs::create_dir_all(marker_path(dir_for_file.path())).unwrap();
    let file_for_dir = root();
    std::fs::write(file_for_dir.path().join(MARKER_DIR), "x").unwrap();
    // A FIFO would make a careless reader wait for ever.
    let fifo = root();
    std::fs::create_dir(fifo.path().join(MARKER_DIR)).unwrap();
    let made = std::process::Command::new("mkfifo").arg(marker_path(fifo.path())).status();
    assert!(made.unwrap().success());

    for case in [&linked_dir, &linked_file, &dir_for_file, &file_for_dir, &fifo] {
        let read = read(case.path());
        assert!(matches!(read, Err(MarkerError::NotUnderstood { .. })), "{read:?}");
    }
    for case in [&linked_dir, &file_for_dir] {
        assert!(matches!(create(case.path(), &marker(2)), Err(MarkerError::NotWritten { .. })));
    }
    assert_eq!(names(&elsewhere.path().join(MARKER_DIR)), [MARKER_FILE]);
}

// D8
#[test]
fn a_root_that_is_not_there_is_not_made() {
    let place = root();
    let missing = place.path().join("library");
    assert!(matches!(create(&missing, &marker(1)), Err(MarkerError::NoRoot { .. })));
    assert!(matches!(read(&missing), Err(MarkerError::NoRoot { .. })));
    assert!(names(place.path()).is_empty());
    std::fs::write(&missing, "a file").unwrap();
    assert!(matches!(create(&missing, &marker(1)), Err(MarkerError::NoRoot { .. })));
}

// D8
#[test]
fn a_marker_that_is_there_is_never_replaced_whatever_it_is() {
    for there in [&b"not even a marker"[..], b""] {
        let root = root();
        put(root.path(), there);
        assert!(matches!(create(root.path(), &marker(1)), Err(MarkerError::AlreadyThere { .. })));
        assert_eq!(std::fs::read(marker_path(root.path())).unwrap(), there);
        assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
    }
    let dangling = root();
    std::fs::create_dir(dangling.path().join(MARKER_DIR)).unwrap();
    symlink("nowhere", marker_path(dangling.path())).unwrap();
    assert!(matches!(create(dangling.path(), &marker(1)), Err(MarkerError::AlreadyThere { .. })));
}

#[test]
fn of_many_that_make_a_marker_at_once_one_wins() {
    for publish_only in [false, true] {
        let root = root();
        let start = std::sync::Barrier::new(8);
        let won: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|id| {
                    let (root, start) = (root.path(), &start);
                    scope.spawn(move || {
                        start.wait();
                        if publish_only {
                            last_resort(root, &marker(id))
                        } else {
                            create(root, &marker(id)).is_ok()
                        }
                    })
                })
                .collect();
            (0..).zip(threads).filter_map(|(id, thread)| thread.join().unwrap().then_some(id)).collect()
        });
        assert_eq!(won.len(), 1, "{won:?}");
        assert_eq!(read(root.path()).unwrap(), Some(marker(won[0])));
        assert_eq!(names(&root.path().join(MARKER_DIR)), [MARKER_FILE]);
    }
}

/// What happens on a file system that can neither rename without replacing nor link.
fn last_resort(root: &Path, marker: &Marker) -> bool {
    let (marker_dir, _) = make_marker_dir(&open_root(root).unwrap()).unwrap();
    let (temporary, file) = open_temporary(&marker_dir, marker).unwrap();
    write_durably(file, &serde_json::to_vec(marker).unwrap()).unwrap();
    let outcome = reserve_and_replace(&marker_dir, &temporary);
    if outcome.is_err() {
        remove(&marker_dir, &temporary);
    }
    outcome.is_ok()
}

#[test]
fn what_a_killed_process_left_behind_is_in_nobodys_way() {
    let root = root();
    std::fs::create_dir(root.path().join(MARKER_DIR)).unwrap();
    let left = format!("{MARKER_FILE}.{}.0.new", marker(1).library_id);
    std::fs::write(root.path().join(MARKER_DIR).join(&left), "{").unwrap();
    assert_eq!(read(root.path()).unwrap(), None);
    create(root.path(), &marker(1)).unwrap();
    assert_eq!(read(root.path()).unwrap(), Some(marker(1)));
}
