//! Each family holds the contract of every store, on a server of its own kind.

use shelflist::remote::{self, Access, AwayReason, ErrorClass, Found, Put, StoreError};

use super::place;
use super::store_contract::{holds_the_contract, key, list, now, put, read};

// S1
macro_rules! family {
    ($family:ident) => {
        holds_the_contract!($family, {
            let (place, peer) = place::$family();
            (place.store(), peer)
        });
    };
}

family!(rclone_s3);
family!(moto);
family!(azurite);
family!(gcs);
family!(webdav);
family!(sftp);
family!(openssh);

#[track_caller]
fn found(place: &place::Place) -> Found {
    place.store();
    remote::try_out(&place.url(), &place.access, now()).unwrap().unwrap()
}

// A server that takes a condition and ignores it is found out.
#[test]
fn what_a_server_really_does_is_found_out_by_trying() {
    assert!(!found(&place::rclone_s3().0).conditional_put, "it takes the condition and replaces");
    assert!(found(&place::moto().0).conditional_put);
    assert!(found(&place::azurite().0).conditional_put);
    assert!(found(&place::gcs().0).conditional_put);
    assert!(found(&place::webdav().0).conditional_put, "MOVE with Overwrite: F");
    let (openssh, _dir) = place::openssh();
    assert!(found(&openssh).conditional_put, "a link");
    assert!(!found(&place::sftp().0).conditional_put, "no links");
    for place in [place::rclone_s3().0, place::moto().0, place::azurite().0, place::webdav().0] {
        let ahead_ms = found(&place).clock_ahead_ms.expect("HTTP says the time");
        // `now` of these tests is a day of its own.
        let days = ahead_ms / (24 * 60 * 60 * 1_000);
        assert!(days.abs() < 100_000, "{days}");
    }
}

#[test]
fn trying_out_leaves_nothing_behind() {
    let (openssh, _dir) = place::openssh();
    for place in [place::rclone_s3().0, place::moto().0, place::webdav().0, openssh] {
        assert_eq!(list(&*place.store(), ""), [], "{}", place.url);
    }
}

// Several devices: each with a handle of its own, so that only the server can decide.
#[test]
fn of_several_devices_one_is_the_creator() {
    let (openssh, _dir) = place::openssh();
    // (rclone's S3 answers 500 to writers of one object at the same moment.)
    for place in [place::moto().0, place::azurite().0, place::gcs().0, openssh] {
        let first = place.store();
        let found = Some(found(&place));
        let access = Access { found, ..place.access.clone() };
        let devices: Vec<_> = (0..4)
            .map(|_| remote::open(&place.url(), &access, now()).unwrap().into_objects().unwrap())
            .collect();
        for round in 0..5 {
            let name = format!("race/{round}");
            let content = vec![b'x'; 100_000];
            let made: Vec<Put> = std::thread::scope(|scope| {
                let writers: Vec<_> =
                    devices.iter().map(|device| scope.spawn(|| put(&**device, &name, &content))).collect();
                writers.into_iter().map(|writer| writer.join().unwrap().unwrap()).collect()
            });
            let creators = made.iter().filter(|put| **put == Put::Created).count();
            assert!(creators >= 1, "{}", place.url);
            if first.capabilities().conditional_put {
                assert_eq!(creators, 1, "{}", place.url);
            }
            assert_eq!(read(&*first, &name), content, "{}", place.url);
        }
    }
}

// T7
#[test]
fn a_store_that_was_wiped_has_no_generation_and_is_begun_anew_on_a_persons_word_only() {
    {
        let (place, peer) = place::moto();
        let store = place.store();
        put(&*store, "a/one", b"one").unwrap();
        let known = store.generation().unwrap().unwrap();
        place::wipe(&place, peer, &["a/one"]);

        assert_eq!(store.generation().unwrap(), None, "{}", place.url);
        for error in [
            store.stat(&key("a/one")).unwrap_err(),
            store.get(&key("a/one")).err().unwrap(),
            store.list("").err().unwrap(),
            store.delete(&key("a/one")).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Away { reason: AwayReason::NoStoreInRoot, .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::Channel);
        }
        let reopened = place.open().unwrap();
        assert_eq!(reopened.generation().unwrap(), None);
        assert!(put(&*reopened, "a/two", b"two").is_err(), "it is nobody's store until it is begun");

        let begun = reopened.start_generation(now()).unwrap();
        assert_ne!(begun, known);
        assert_eq!(put(&*reopened, "a/one", b"one").unwrap(), Put::Created);
        // Who still has the former one in mind is told.
        let error = store.stat(&key("a/two")).unwrap_err();
        assert!(matches!(error, StoreError::GenerationChanged { .. }), "{error:?}");
    }
}

// D2's sister: the disk behind a file server that is not mounted is an empty directory.
#[test]
fn an_empty_directory_behind_a_server_is_away_and_stays_empty() {
    let (place, dir) = place::openssh();
    let store = place.store();
    put(&*store, "a/one", b"one").unwrap();
    let root = dir.path().join("dir å").join("b c+d%e?f#g");
    assert!(root.join("a/one").exists(), "names are kept as they are");
    std::fs::rename(&root, dir.path().join("unplugged")).unwrap();
    std::fs::create_dir(&root).unwrap();

    for error in [
        put(&*store, "a/two", b"two").unwrap_err(),
        store.stat(&key("a/one")).unwrap_err(),
        store.list("").err().unwrap(),
        store.delete(&key("a/one")).unwrap_err(),
        store.generation().unwrap_err(),
        place.open().err().unwrap(),
    ] {
        assert!(matches!(error, StoreError::Away { reason: AwayReason::NoStoreInRoot, .. }), "{error:?}");
    }
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);

    std::fs::remove_dir(&root).unwrap();
    let error = store.stat(&key("a/one")).unwrap_err();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::RootMissing, .. }), "{error:?}");
    std::fs::rename(dir.path().join("unplugged"), &root).unwrap();
    assert_eq!(read(&*store, "a/one"), b"one");
}

#[test]
fn a_place_with_other_things_in_it_becomes_no_store() {
    let (place, dir) = place::openssh();
    let root = dir.path().join("dir å").join("b c+d%e?f#g");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("thesis.tex"), "").unwrap();
    let error = remote::create(&place.url(), &place.access, now()).err().unwrap();
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("thesis.tex")),
        "{error:?}"
    );

    let (mut place, _peer) = place::moto();
    place.store();
    place.url = place.url.replace("/b c+d%25e%3Ff%23g", "");
    let error = remote::create(&place.url(), &place.access, now()).err().unwrap();
    assert!(
        matches!(&error, StoreError::Refused { reason, .. } if reason.contains("b c+d%e?f#g")),
        "{error:?}"
    );
}

#[test]
fn no_directory_but_the_last_is_made() {
    let (mut place, dir) = place::openssh();
    place.url = format!("sftp://localhost{}/no-disk/store", dir.path().display());
    let error = remote::create(&place.url(), &place.access, now()).err().unwrap();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::RootMissing, .. }), "{error:?}");
    assert!(!dir.path().join("no-disk").exists());

    let (mut place, peer) = place::webdav();
    place.url = format!("webdav+http://127.0.0.1:{}/bucket/no-disk/store", peer.port);
    let error = remote::create(&place.url(), &place.access, now()).err().unwrap();
    assert!(matches!(error, StoreError::Away { reason: AwayReason::RootMissing, .. }), "{error:?}");
    assert!(!peer.data().join("bucket/no-disk").exists());
}

/// More than one part: of S3 and Azure, and of a stream.
#[test]
fn a_large_object_arrives_whole_and_a_changed_one_not_at_all() {
    let large: Vec<u8> = (0..21_000_003_u32).map(|at| (at / 7 % 251) as u8).collect();
    let mut changed = large.clone();
    changed[20_000_000] ^= 1;
    let expect = remote::Expect::of(&large);
    for place in [
        place::rclone_s3().0,
        place::moto().0,
        place::azurite().0,
        place::gcs().0,
        place::webdav().0,
        place::openssh().0,
    ] {
        let store = place.store();
        let error = store.put_if_absent(&key("a/large"), &mut changed.as_slice(), &expect).unwrap_err();
        assert!(matches!(error, StoreError::ContentChanged { .. }), "{error:?}");
        assert_eq!(store.stat(&key("a/large")).unwrap(), None, "{}", place.url);
        assert_eq!(put(&*store, "a/large", &large).unwrap(), Put::Created, "{}", place.url);
        assert!(read(&*store, "a/large") == large, "{}", place.url);
        assert_eq!(list(&*store, ""), [("a/large".to_owned(), 21_000_003)]);
        assert_eq!(put(&*store, "a/large", &large).unwrap(), Put::AlreadyThere);
    }
}

// T3
#[test]
fn what_a_crash_left_unfinished_is_cleared_after_a_week_and_not_before() {
    let (place, dir) = place::openssh();
    place.store();
    let unfinished = dir.path().join("dir å").join("b c+d%e?f#g").join(".tmp");
    let begun = |days: i64| {
        let time = now().checked_sub(jiff::SignedDuration::from_hours(24 * days)).unwrap();
        ulid::Ulid::from_datetime(time.into()).to_string()
    };
    let names = [begun(8), begun(6), "a note".to_owned()];
    for name in &names {
        std::fs::write(unfinished.join(name), "half").unwrap();
    }
    place.open().unwrap();
    let left = names.map(|name| unfinished.join(name).exists());
    assert_eq!(left, [false, true, true]);
}
