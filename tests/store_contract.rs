//! What a `dir:` store must do, beside what every store must (tests/common/store_contract.rs).
//!
//! Tests that mount file systems are ignored by name; `test.sh` runs them where it is root.

#[path = "common/store_contract.rs"]
mod store_contract;

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use jiff::SignedDuration;
use shelflist::remote::fault::{Call, Fault, FaultyStore};
use shelflist::remote::{AwayReason, Deleted, DirStore, ErrorClass, Expect, Put, Store, StoreError};
use store_contract::{PulledDisk, Untouchable, holds_the_contract, key, list, now, put, read};

fn dir_store() -> (DirStore, tempfile::TempDir) {
    let place = tempfile::tempdir().unwrap();
    (DirStore::create(&place.path().join("store"), now()).unwrap(), place)
}

holds_the_contract!(a_dir_store, {
    let (store, place) = dir_store();
    (Box::new(store), place)
});
holds_the_contract!(a_faulty_store_without_faults, {
    let (store, place) = dir_store();
    (Box::new(FaultyStore::new(store)), place)
});

/// Every name under a directory, the store's own included.
fn everything_in(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut pending = vec![dir.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
            names.insert(entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned());
        }
    }
    names
}

/// What every call answers while the store is not there.
fn errors_of_every_call(store: &dyn Store) -> Vec<StoreError> {
    vec![
        put(store, "a/one", b"one").unwrap_err(),
        store.put_if_absent(&key("x/y"), &mut Untouchable, &Expect::of(b"one")).unwrap_err(),
        store.stat(&key("a/one")).unwrap_err(),
        store.get(&key("a/one")).err().unwrap(),
        store.list("").err().unwrap(),
        store.delete(&key("a/one")).unwrap_err(),
    ]
}

fn assert_away(error: &StoreError, expected: AwayReason) {
    assert!(matches!(error, StoreError::Away { reason, .. } if *reason == expected), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Channel);
}

// D2's sister: nothing is made, nothing is concluded.
#[test]
fn a_store_whose_directory_is_gone_is_away_and_is_not_made_again() {
    let (store, place) = dir_store();
    put(&store, "a/one", b"one").unwrap();
    let root = place.path().join("store");
    std::fs::rename(&root, place.path().join("unplugged")).unwrap();

    for error in errors_of_every_call(&store) {
        assert_away(&error, AwayReason::RootMissing);
    }
    assert_away(&store.generation().unwrap_err(), AwayReason::RootMissing);
    assert_away(&store.start_generation(now()).unwrap_err(), AwayReason::RootMissing);
    assert_away(&DirStore::open(&root, now()).unwrap_err(), AwayReason::RootMissing);
    assert!(!root.exists());

    std::fs::rename(place.path().join("unplugged"), &root).unwrap();
    assert_eq!(read(&store, "a/one"), b"one");
}

// D1, T7
#[test]
fn an_empty_directory_in_the_stores_place_is_away_and_stays_empty() {
    let (store, place) = dir_store();
    put(&store, "a/one", b"one").unwrap();
    let root = place.path().join("store");
    std::fs::rename(&root, place.path().join("unplugged")).unwrap();
    std::fs::create_dir(&root).unwrap();

    for error in errors_of_every_call(&store) {
        assert_away(&error, AwayReason::NoStoreInRoot);
    }
    assert_away(&store.generation().unwrap_err(), AwayReason::NoStoreInRoot);
    assert_away(&DirStore::open(&root, now()).unwrap_err(), AwayReason::NoStoreInRoot);
    assert_eq!(everything_in(&root), BTreeSet::new());
}

// T7
#[test]
fn a_store_begun_anew_is_told_from_the_one_that_was_opened() {
    let (store, place) = dir_store();
    put(&store, "a/one", b"one").unwrap();
    let known = store.generation().unwrap().unwrap();
    let root = place.path().join("store");
    std::fs::remove_dir_all(&root).unwrap();
    std::fs::create_dir(&root).unwrap();

    let begun = store.start_generation(now()).unwrap();
    assert_ne!(begun, known);
    let before = everything_in(&root);
    for error in errors_of_every_call(&store) {
        assert!(
            matches!(&error, StoreError::GenerationChanged { known: k, found: f, .. } if **k == known && **f == begun)
        );
        assert_eq!(error.class(), ErrorClass::Channel);
    }
    assert_eq!(everything_in(&root), before);
    assert_eq!(store.generation().unwrap(), Some(begun));

    let reopened = DirStore::open(&root, now()).unwrap();
    assert_eq!(put(&reopened, "a/one", b"one").unwrap(), Put::Created);
}

#[test]
fn beginning_a_store_makes_its_directory_and_none_above() {
    let place = tempfile::tempdir().unwrap();
    let store = DirStore::create(&place.path().join("store"), now()).unwrap();
    let again = DirStore::create(&place.path().join("store"), now()).unwrap();
    assert_eq!(store.generation().unwrap(), again.generation().unwrap());
    assert_eq!(store.generation().unwrap().unwrap().created, now());

    let error = DirStore::create(&place.path().join("no-disk/store"), now()).unwrap_err();
    assert_away(&error, AwayReason::RootMissing);
    assert!(!place.path().join("no-disk").exists());
}

#[test]
fn a_directory_with_other_things_in_it_becomes_no_store() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("thesis.tex"), "").unwrap();
    let error = DirStore::create(place.path(), now()).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("thesis.tex"), "{error}");
    assert_eq!(everything_in(place.path()), BTreeSet::from(["thesis.tex".to_owned()]));

    std::fs::remove_file(place.path().join("thesis.tex")).unwrap();
    std::fs::write(place.path().join(".DS_Store"), "").unwrap();
    std::fs::create_dir(place.path().join("lost+found")).unwrap();
    DirStore::create(place.path(), now()).unwrap();

    std::fs::write(place.path().join("a-file"), "").unwrap();
    let error = DirStore::create(&place.path().join("a-file"), now()).unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
}

// D8
#[test]
fn no_store_is_begun_inside_a_library() {
    let place = tempfile::tempdir().unwrap();
    let library = place.path().join("library");
    std::fs::create_dir_all(library.join(".shelflist")).unwrap();
    std::fs::write(library.join(".shelflist/library.json"), "{}").unwrap();
    std::fs::create_dir_all(library.join("shelf/empty")).unwrap();
    symlink(library.join("shelf"), place.path().join("link")).unwrap();
    let before = everything_in(&library);

    let places: [PathBuf; 4] = [
        library.clone(),
        library.join("shelf/new"),
        library.join("shelf/empty"),
        place.path().join("link/new"),
    ];
    for root in places {
        let error = DirStore::create(&root, now()).unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{root:?}: {error:?}");
        assert!(error.to_string().contains("library"), "{error}");
    }
    assert_eq!(everything_in(&library), before);
    DirStore::create(&place.path().join("beside"), now()).unwrap();
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_a_damaged_one_told() {
    let (store, place) = dir_store();
    let object = place.path().join("store/.shelflist-store.json");
    let text = std::fs::read_to_string(&object).unwrap();

    std::fs::write(&object, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert!(matches!(store.stat(&key("a")), Err(StoreError::Refused { .. })));
    for damaged in ["", "{", "{\"format\": 1}", "\0\0\0"] {
        std::fs::write(&object, damaged).unwrap();
        let error = DirStore::open(&place.path().join("store"), now()).unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{damaged:?}: {error:?}");
        assert!(matches!(put(&store, "a", b"a"), Err(StoreError::Corrupt { .. })));
    }
    std::fs::write(&object, text).unwrap();
    assert_eq!(put(&store, "a", b"a").unwrap(), Put::Created);
}

// T3
#[test]
fn unfinished_files_are_cleared_after_a_day_and_not_before() {
    let (store, place) = dir_store();
    let root = place.path().join("store");
    let unfinished = root.join(".tmp/01ARZ3NDEKTSV4RRFFQ69G5FAV");
    let foreign = root.join(".tmp/mine.txt");
    for path in [&unfinished, &foreign] {
        std::fs::write(path, "half").unwrap();
        let written = std::time::SystemTime::from(now());
        std::fs::File::options().write(true).open(path).unwrap().set_modified(written).unwrap();
    }
    let after = |hours| now().checked_add(SignedDuration::from_hours(hours)).unwrap();

    DirStore::open(&root, after(-48)).unwrap();
    DirStore::open(&root, after(24)).unwrap();
    assert!(unfinished.exists());
    assert_eq!(list(&store, ""), []);
    DirStore::open(&root, after(25)).unwrap();
    assert!(!unfinished.exists());
    assert!(foreign.exists());
}

#[test]
fn a_put_that_fails_leaves_no_unfinished_file() {
    let (store, place) = dir_store();
    let expect = Expect { bytes: 1_000_000, hash: [0; 32] };
    store.put_if_absent(&key("a"), &mut PulledDisk(400_000), &expect).unwrap_err();
    store.put_if_absent(&key("a"), &mut &b"other"[..], &expect).unwrap_err();
    put(&store, "b", b"fine").unwrap();
    assert_eq!(
        everything_in(&place.path().join("store")),
        BTreeSet::from([".tmp", ".shelflist-store.json", "b"].map(str::to_owned))
    );
}

#[test]
fn litter_in_a_store_is_no_object() {
    let (store, place) = dir_store();
    put(&store, "a/one", b"one").unwrap();
    let root = place.path().join("store");
    for litter in
        [".DS_Store", "a/._one", "a/.x", "README.txt", "a/caf\u{e9}", ".tmp/01ARZ3NDEKTSV4RRFFQ69G5FAV"]
    {
        std::fs::write(root.join(litter), "litter").unwrap();
    }
    symlink("one", root.join("a/link")).unwrap();
    assert_eq!(list(&store, ""), [("a/one".to_owned(), 3)]);
}

#[test]
fn what_is_no_file_is_told_and_does_not_hang() {
    let (store, place) = dir_store();
    let root = place.path().join("store");
    std::fs::create_dir_all(root.join("a/directory")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(root.join("a/fifo")).status().unwrap();
    assert!(made.success());
    for name in ["a/directory", "a/fifo"] {
        assert!(matches!(store.stat(&key(name)), Err(StoreError::Corrupt { .. })), "{name}");
        assert!(matches!(store.get(&key(name)).err(), Some(StoreError::Corrupt { .. })), "{name}");
        assert!(matches!(put(&store, name, b"x"), Err(StoreError::Corrupt { .. })), "{name}");
    }
}

#[test]
fn a_symbolic_link_inside_the_store_leads_nowhere() {
    let (store, place) = dir_store();
    let elsewhere = place.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("one"), "one").unwrap();
    symlink(&elsewhere, place.path().join("store/a")).unwrap();

    let errors = [
        put(&store, "a/two", b"two").unwrap_err(),
        store.stat(&key("a/one")).unwrap_err(),
        store.get(&key("a/one")).err().unwrap(),
        store.delete(&key("a/one")).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    }
    assert_eq!(everything_in(&elsewhere), BTreeSet::from(["one".to_owned()]));
}

// D4's sister
#[test]
fn a_directory_that_cannot_be_listed_ends_the_list_with_an_error() {
    let (store, place) = dir_store();
    for name in ["a/1", "b/1", "c/1"] {
        put(&store, name, b"1").unwrap();
    }
    let mut listing = store.list("").unwrap();
    assert_eq!(listing.next().unwrap().unwrap().key, key("a/1"));
    std::fs::remove_dir_all(place.path().join("store/b")).unwrap();
    symlink("a", place.path().join("store/b")).unwrap();
    assert!(matches!(listing.next(), Some(Err(StoreError::Io { .. }))));
    assert!(listing.next().is_none());
}

#[test]
fn a_fault_happens_where_it_was_planned_and_once() {
    let (store, _place) = dir_store();
    let store = FaultyStore::new(store);
    store.fail(Call::Put, 2, Fault::Before);
    assert_eq!(put(&store, "a", b"aaaa").unwrap(), Put::Created);
    assert_away(&put(&store, "b", b"bbbb").unwrap_err(), AwayReason::Unreachable);
    assert_eq!(store.stat(&key("b")).unwrap(), None);

    store.fail(Call::Put, 1, Fault::HalfWay);
    assert_away(&put(&store, "b", b"bbbb").unwrap_err(), AwayReason::Unreachable);
    assert_eq!(store.stat(&key("b")).unwrap(), None);

    store.fail(Call::Put, 1, Fault::After);
    assert_away(&put(&store, "b", b"bbbb").unwrap_err(), AwayReason::Unreachable);
    assert_eq!(put(&store, "b", b"bbbb").unwrap(), Put::AlreadyThere);

    store.fail(Call::Put, 1, Fault::LeavesHalf);
    assert_away(&put(&store, "c", b"cccc").unwrap_err(), AwayReason::Unreachable);
    assert!(matches!(put(&store, "c", b"cccc"), Err(StoreError::Corrupt { .. })));

    store.fail(Call::Put, 1, Fault::Full);
    assert!(matches!(put(&store, "d", b"dddd"), Err(StoreError::Full { .. })));
    store.fail(Call::Put, 1, Fault::WrongBytes);
    assert_eq!(put(&store, "d", b"dddd").unwrap(), Put::Created);
    assert_eq!(read(&store, "d"), b"ddde");
    assert_eq!(store.calls(Call::Put), 9);

    store.fail(Call::Get, 1, Fault::Truncated);
    store.fail(Call::Get, 2, Fault::HalfWay);
    assert_eq!(read(&store, "a"), b"aaa");
    let mut bytes = Vec::new();
    assert!(store.get(&key("a")).unwrap().read_to_end(&mut bytes).is_err());
    assert_eq!(bytes, b"aa");
    assert_eq!(read(&store, "a"), b"aaaa");

    store.fail(Call::List, 1, Fault::HalfWay);
    let listed: Vec<_> = store.list("").unwrap().collect();
    assert_eq!(listed.len(), 3);
    assert!(listed[2].is_err());

    store.fail(Call::Delete, 1, Fault::After);
    assert_away(&store.delete(&key("a")).unwrap_err(), AwayReason::Unreachable);
    assert_eq!(store.delete(&key("a")).unwrap(), Deleted::WasAbsent);

    store.set_away(true);
    for error in errors_of_every_call(&store) {
        assert_away(&error, AwayReason::Unreachable);
    }
    store.set_away(false);
    assert_eq!(read(&store, "b"), b"bbbb");
}

#[cfg(target_os = "linux")]
mod disks {
    //! `dir:` stores on file systems that fill up, go away and are swapped.

    use std::process::Command;

    use super::*;

    /// A mounted file system; unmounted when it is dropped.
    struct Mounted {
        at: PathBuf,
    }

    impl Mounted {
        fn mount(arguments: &[&str], at: &Path) -> Self {
            run(Command::new("mount").args(arguments).arg(at));
            Mounted { at: at.to_owned() }
        }

        fn tmpfs(at: &Path) -> Self {
            Self::mount(&["-t", "tmpfs", "-o", "size=1m", "tmpfs"], at)
        }

        fn ext4(image: &Path, at: &Path) -> Self {
            Self::mount(&["-o", "loop", image.to_str().unwrap()], at)
        }

        /// Fails where something still holds the file system. Tried again, because a child that another test is
        /// just starting holds copies of all descriptors until it has become its program.
        fn unmount(self) {
            let mut umount = Command::new("umount");
            umount.arg(&self.at);
            assert!((0..50).any(|_| umount.status().unwrap().success()), "{umount:?}");
            std::mem::forget(self);
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
        }
    }

    fn run(command: &mut Command) {
        let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(status.success(), "{command:?}: {status}");
    }

    fn mount_point(place: &tempfile::TempDir, name: &str) -> PathBuf {
        let path = place.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn fills_up_and_recovers(disk: &Path) {
        let store = DirStore::create(&disk.join("store"), now()).unwrap();
        put(&store, "a/small", &[1; 100_000]).unwrap();
        let large = vec![2; 20_000_000];
        let error = put(&store, "a/large", &large).unwrap_err();
        assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Channel, "a full store is no verdict about an operation"); // T5
        assert_eq!(
            everything_in(&disk.join("store")),
            BTreeSet::from([".tmp", ".shelflist-store.json", "a", "a/small"].map(str::to_owned))
        );
        assert_eq!(put(&store, "a/other", &[3; 100_000]).unwrap(), Put::Created);
        assert_eq!(read(&store, "a/small"), [1; 100_000]);
    }

    #[test]
    #[ignore = "needs root: mounts a disk"]
    fn a_full_tmpfs_is_full_and_keeps_nothing_unfinished() {
        let place = tempfile::tempdir().unwrap();
        let at = mount_point(&place, "disk");
        let _disk = Mounted::tmpfs(&at);
        fills_up_and_recovers(&at);
    }

    /// ext4 allocates late: "no room" may only be said when the bytes are made durable.
    #[test]
    #[ignore = "needs root: mounts a disk"]
    fn a_full_ext4_is_full_and_keeps_nothing_unfinished() {
        let place = tempfile::tempdir().unwrap();
        let image = place.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let at = mount_point(&place, "disk");
        let _disk = Mounted::ext4(&image, &at);
        fills_up_and_recovers(&at);
    }

    // D2's sister
    #[test]
    #[ignore = "needs root: mounts a disk"]
    fn an_empty_mount_point_left_behind_is_away_and_stays_empty() {
        let place = tempfile::tempdir().unwrap();
        let image = place.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let at = mount_point(&place, "disk");

        let disk = Mounted::ext4(&image, &at);
        let on_top = DirStore::create(&at, now()).unwrap();
        put(&on_top, "a/one", b"one").unwrap();
        disk.unmount(); // an open store does not hold its disk

        for error in errors_of_every_call(&on_top) {
            assert_away(&error, AwayReason::NoStoreInRoot);
        }
        assert_away(&DirStore::open(&at, now()).unwrap_err(), AwayReason::NoStoreInRoot);
        assert_eq!(everything_in(&at), BTreeSet::new());

        let _disk = Mounted::ext4(&image, &at);
        assert_eq!(read(&on_top, "a/one"), b"one");
        assert_eq!(put(&on_top, "a/two", b"two").unwrap(), Put::Created);
    }

    // T7
    #[test]
    #[ignore = "needs root: mounts a disk"]
    fn another_disk_at_the_same_mount_point_gets_nothing() {
        let place = tempfile::tempdir().unwrap();
        let at = mount_point(&place, "disk");
        let first_disk = Mounted::tmpfs(&at);
        let store = DirStore::create(&at.join("store"), now()).unwrap();
        first_disk.unmount();

        let _other_disk = Mounted::tmpfs(&at);
        for error in errors_of_every_call(&store) {
            assert_away(&error, AwayReason::RootMissing);
        }
        DirStore::create(&at.join("store"), now()).unwrap();
        let before = everything_in(&at);
        for error in errors_of_every_call(&store) {
            assert!(matches!(error, StoreError::GenerationChanged { .. }), "{error:?}");
        }
        assert_eq!(everything_in(&at), before);
    }

    #[test]
    #[ignore = "needs root: mounts a disk"]
    fn a_read_only_store_can_be_read_and_denies_the_rest() {
        let place = tempfile::tempdir().unwrap();
        let at = mount_point(&place, "disk");
        let _disk = Mounted::tmpfs(&at);
        let store = DirStore::create(&at.join("store"), now()).unwrap();
        put(&store, "a/one", b"one").unwrap();
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(&at));

        let store = DirStore::open(&at.join("store"), now()).unwrap();
        assert_eq!(read(&store, "a/one"), b"one");
        assert_eq!(put(&store, "a/one", b"one").unwrap(), Put::AlreadyThere);
        for error in [put(&store, "a/two", b"two").unwrap_err(), store.delete(&key("a/one")).unwrap_err()] {
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::Channel);
        }
    }
}
