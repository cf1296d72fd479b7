//! What every store must do, written once as functions over `&dyn Store`.
#![allow(dead_code)]

use std::io::{self, Read};

use jiff::{SignedDuration, Timestamp};
use shelflist::remote::{Deleted, ErrorClass, Expect, ObjectKey, Put, Store, StoreError};

pub(crate) fn now() -> Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

pub(crate) fn key(key: &str) -> ObjectKey {
    key.parse().unwrap()
}

/// Whether a store could prove by its answer what it took is its own affair: made is made.
pub(crate) fn put(store: &dyn Store, name: &str, content: &[u8]) -> Result<Put, StoreError> {
    let put = store.put_if_absent(&key(name), &mut &content[..], &Expect::of(content))?;
    Ok(if put.made_it() { Put::Created } else { put })
}

pub(crate) fn read(store: &dyn Store, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.get(&key(name)).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// A part of an object is what stands there in the whole.
pub(crate) fn parts_are_read(store: &dyn Store) {
    let content: Vec<u8> = (0..300_000_u32).map(|i| (i % 251) as u8).collect();
    put(store, "a/parts", &content).unwrap();
    for (start, bytes) in [(0, 1), (0, 65_536), (123_457, 65_536), (299_999, 1), (299_000, 1_000)] {
        let mut part = Vec::new();
        store.get_part(&key("a/parts"), start as u64, bytes as u64).unwrap().read_to_end(&mut part).unwrap();
        assert_eq!(part, content[start..start + bytes], "{bytes} bytes from {start}");
    }
    let error = store.get_part(&key("a/nothing"), 0, 1).err().unwrap();
    assert!(matches!(error, StoreError::NoSuchObject { .. }), "{error:?}");
}

pub(crate) fn list(store: &dyn Store, prefix: &str) -> Vec<(String, u64)> {
    store
        .list(prefix)
        .unwrap()
        .map(|item| item.map(|listed| (listed.key.to_string(), listed.bytes)).unwrap())
        .collect()
}

/// A reader that fails after some bytes, as a library's disk does that is pulled.
pub(crate) struct PulledDisk(pub(crate) usize);

impl Read for PulledDisk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::from_raw_os_error(5));
        }
        let read = self.0.min(buffer.len());
        buffer[..read].fill(b'x');
        self.0 -= read;
        Ok(read)
    }
}

/// A reader nobody may read.
pub(crate) struct Untouchable;

impl Read for Untouchable {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("the content was read");
    }
}

pub(crate) fn what_was_put_is_read_back(store: &dyn Store) {
    let large: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
    for (name, content) in [("a/one", &b"one"[..]), ("a/empty", b""), ("a/b/large", &large), ("top", b"t")] {
        assert_eq!(put(store, name, content).unwrap(), Put::Created, "{name}");
        assert_eq!(read(store, name), content, "{name}");
        let stat = store.stat(&key(name)).unwrap().unwrap();
        assert_eq!(stat.bytes, content.len() as u64);
        assert_eq!(stat.hash.is_some(), store.capabilities().server_hash);
        assert!(stat.hash.is_none_or(|hash| hash == Expect::of(content).hash));
    }
}

// T3
pub(crate) fn a_second_put_changes_nothing_and_reads_nothing(store: &dyn Store) {
    assert_eq!(put(store, "a/one", b"one").unwrap(), Put::Created);
    let again = store.put_if_absent(&key("a/one"), &mut Untouchable, &Expect::of(b"one")).unwrap();
    assert_eq!(again, Put::AlreadyThere);
    assert_eq!(put(store, "a/one", b"two").unwrap(), Put::AlreadyThere);
    assert_eq!(read(store, "a/one"), b"one");
}

// T2
pub(crate) fn an_object_of_another_length_is_damaged_and_not_replaced(store: &dyn Store) {
    put(store, "a/one", b"half").unwrap();
    let error = put(store, "a/one", b"the whole").unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    assert_eq!(error.class(), ErrorClass::Verdict);
    assert_eq!(read(store, "a/one"), b"half");

    assert_eq!(store.delete(&key("a/one")).unwrap(), Deleted::Deleted);
    assert_eq!(put(store, "a/one", b"the whole").unwrap(), Put::Created);
    assert_eq!(read(store, "a/one"), b"the whole");
}

// D9, T4
pub(crate) fn other_bytes_than_expected_publish_nothing(store: &dyn Store) {
    let expect = Expect::of(b"expected");
    for content in [&b"Expected"[..], b"expecte", b"expected!", b"", &[b'x'; 600_000]] {
        let error = store.put_if_absent(&key("a/one"), &mut &content[..], &expect).unwrap_err();
        assert!(matches!(error, StoreError::ContentChanged { .. }), "{error:?}");
        assert_eq!(error.class(), ErrorClass::Source);
        assert_eq!(store.stat(&key("a/one")).unwrap(), None);
    }
    assert_eq!(list(store, ""), []);
}

// T5: the library's disk is not the store's fault.
pub(crate) fn a_content_that_cannot_be_read_is_the_sources_trouble(store: &dyn Store) {
    let expect = Expect { bytes: 1_000_000, hash: [0; 32] };
    for readable in [0, 1, 500_000] {
        let error = store.put_if_absent(&key("a/one"), &mut PulledDisk(readable), &expect).unwrap_err();
        assert!(matches!(&error, StoreError::Source { source, .. } if source.raw_os_error() == Some(5)));
        assert_eq!(error.class(), ErrorClass::Source);
        assert_eq!(store.stat(&key("a/one")).unwrap(), None);
    }
    assert_eq!(list(store, ""), []);
}

pub(crate) fn what_is_absent_is_said_to_be(store: &dyn Store) {
    put(store, "a/one", b"one").unwrap();
    for name in ["a/two", "b/one", "b"] {
        assert_eq!(store.stat(&key(name)).unwrap(), None);
        assert!(matches!(store.get(&key(name)).err(), Some(StoreError::NoSuchObject { .. })));
        assert_eq!(store.delete(&key(name)).unwrap(), Deleted::WasAbsent);
    }
}

pub(crate) fn a_deleted_object_is_gone_and_its_neighbours_stay(store: &dyn Store) {
    put(store, "a/one", b"one").unwrap();
    put(store, "a/two", b"two").unwrap();
    assert_eq!(store.delete(&key("a/one")).unwrap(), Deleted::Deleted);
    assert_eq!(store.delete(&key("a/one")).unwrap(), Deleted::WasAbsent);
    assert_eq!(store.stat(&key("a/one")).unwrap(), None);
    assert_eq!(read(store, "a/two"), b"two");
    assert_eq!(put(store, "a/one", b"one").unwrap(), Put::Created);
}

pub(crate) fn a_list_has_every_object_under_the_prefix_in_order(store: &dyn Store) {
    for name in ["b/1", "a/2", "a/10", "a-b/1", "a/1/x", "ab", "c"] {
        put(store, name, name.as_bytes()).unwrap();
    }
    let names = |prefix| list(store, prefix).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(""), ["a-b/1", "a/1/x", "a/10", "a/2", "ab", "b/1", "c"]);
    assert_eq!(names("a/"), ["a/1/x", "a/10", "a/2"]);
    assert_eq!(names("a"), ["a-b/1", "a/1/x", "a/10", "a/2", "ab"]);
    assert_eq!(names("a/1"), ["a/1/x", "a/10"]);
    assert_eq!(names("ab"), ["ab"]);
    for nothing in ["d", "a/3", "../", "/", ".tmp", ".", "a//"] {
        assert!(names(nothing).is_empty(), "{nothing}");
    }
    assert_eq!(list(store, "a/1/"), [("a/1/x".to_owned(), 5)]);
}

pub(crate) fn of_many_writers_of_one_key_one_is_the_creator(store: &dyn Store) {
    let content = vec![b'x'; 300_000];
    for round in 0..10 {
        let name = format!("race/{round}/object");
        let made = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(|| put(store, &name, &content))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap().unwrap()).collect::<Vec<_>>()
        });
        let creators = made.iter().filter(|put| **put == Put::Created).count();
        assert!(creators >= 1);
        if store.capabilities().conditional_put {
            assert_eq!(creators, 1);
        }
        assert_eq!(read(store, &name), content);
    }
}

// T7
pub(crate) fn a_store_that_was_begun_keeps_its_generation(store: &dyn Store) {
    let known = store.generation().unwrap().unwrap();
    let later = now().checked_add(SignedDuration::from_hours(1)).unwrap();
    assert_eq!(store.start_generation(later).unwrap(), known);
    assert_eq!(store.generation().unwrap(), Some(known));
    assert_eq!(list(store, ""), [], "the generation is no object");
}

/// Runs the contract over a family of stores. `$make` gives a fresh store and what keeps its place alive.
macro_rules! holds_the_contract {
    ($family:ident, $make:expr, [$($fact:ident),+ $(,)?]) => {
        mod $family {
            use super::*;
            $(#[test] fn $fact() {
                let (store, _place) = $make;
                $crate::store_contract::$fact(&*store);
            })+
        }
    };
    ($family:ident, $make:expr) => {
        holds_the_contract!($family, $make, [
            what_was_put_is_read_back,
            parts_are_read,
            a_second_put_changes_nothing_and_reads_nothing,
            an_object_of_another_length_is_damaged_and_not_replaced,
            other_bytes_than_expected_publish_nothing,
            a_content_that_cannot_be_read_is_the_sources_trouble,
            what_is_absent_is_said_to_be,
            a_deleted_object_is_gone_and_its_neighbours_stay,
            a_list_has_every_object_under_the_prefix_in_order,
            of_many_writers_of_one_key_one_is_the_creator,
            a_store_that_was_begun_keeps_its_generation,
        ]);
    };
}
pub(crate) use holds_the_contract;
