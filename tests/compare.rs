//! A store that names its objects itself, held against the ledger.

#![allow(missing_docs)]

use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use shelflist::catalog::stores::{self, NewStore, StorePayload, StoreRow};
use shelflist::catalog::{Catalog, CatalogError, Ids, Sender, compare};
use shelflist::clock::{Clock, SystemClock};
use shelflist::model::Payload;
use shelflist::monitor::{Monitor, Unwatched};
use shelflist::remote::fault::{Call, Fault, FaultyStore};
use shelflist::remote::index::{Entry, IndexListing, Indexed, Readiness, RemoteName, Standing};
use shelflist::remote::{
    Capabilities, Deleted, DirStore, Expect, Identity, Index, ObjectKey, Opened, Store, StoreError,
};
use shelflist::sync::check::{CheckOptions, Counts, Outcome, compare_with};

/// An index that lists what it is told to.
#[derive(Debug)]
struct Listed(Mutex<Vec<Indexed>>);

impl Index for Listed {
    fn describe(&self) -> String {
        "listed:".to_owned()
    }
    fn capabilities(&self) -> Capabilities {
        unreachable!("nothing is sent")
    }
    fn manner(&self) -> Option<String> {
        None
    }
    fn identity(&self) -> Result<Option<Identity>, StoreError> {
        unreachable!("it was opened")
    }
    fn begin(&self, _: Timestamp) -> Result<Identity, StoreError> {
        unreachable!("it is there")
    }
    fn put(&self, _: &Entry<'_>) -> Result<RemoteName, StoreError> {
        unreachable!("a check sends nothing")
    }
    fn locate_while(
        &self,
        _: &[&ObjectKey],
        _: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<RemoteName>>>, StoreError> {
        unreachable!("a check lists")
    }
    fn prove(&self, _: &RemoteName, _: &Entry<'_>) -> Result<Option<Standing>, StoreError> {
        unreachable!("a check sends nothing")
    }
    fn standing(&self, _: &RemoteName) -> Result<Standing, StoreError> {
        unreachable!("a check lists")
    }
    fn remove(&self, _: &RemoteName) -> Result<Deleted, StoreError> {
        unreachable!("a check deletes nothing")
    }
    fn list(&self) -> Result<IndexListing<'_>, StoreError> {
        let all = self.0.lock().unwrap().clone();
        Ok(Box::new(all.into_iter().map(Ok)))
    }
}

fn key(n: u8) -> ObjectKey {
    ObjectKey::of_content(Payload::Enriched, &[n; 32])
}

fn listed(name: &str, key: Option<ObjectKey>, readiness: Readiness) -> Indexed {
    Indexed { name: RemoteName::new(name), key, readiness }
}

/// A catalogue whose ledger has four objects in one index: the last was on its way when its run died.
fn catalog(dir: &Path) -> (Catalog, StoreRow) {
    let mut catalog = Catalog::open_or_create(&dir.join("catalog.db"), Timestamp::UNIX_EPOCH).unwrap();
    let new = NewStore {
        name: "index",
        url: "listed:",
        payload: StorePayload::Enriched,
        remote_store: "s",
        generation: "g",
        password_command: None,
        found: None,
    };
    catalog.change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, 0)).unwrap();
    for (n, name, state) in [
        (1, Some("n1"), "current"),
        (2, Some("n2"), "current"),
        (3, Some("n3"), "current"),
        (4, None, "uploading"),
    ] {
        catalog
            .read()
            .execute_batch(&format!(
                "INSERT INTO documents (document_id, ulid, content_hash, size, created_at, updated_at)
                 VALUES ({n}, '01ARZ3NDEKTSV4RRFFQ69G5FA{n}', zeroblob(32), 1, 0, 0);
                 INSERT INTO remote_objects (object_id, store_id, document_id, payload, remote_id, server_id, upload_hash,
                                             bytes, content_hash, state, created_at, updated_at)
                 VALUES ({n}, 1, {n}, 'enriched', '{}', {}, zeroblob(32), 9, zeroblob(32), '{state}', 0, 0);",
                key(n),
                name.map_or("NULL".to_owned(), |name| format!("'{name}'")),
            ))
            .unwrap();
    }
    let row = stores::by_name(catalog.read(), "index").unwrap().unwrap();
    (catalog, row)
}

// S12: a store that names its objects lists them in no order, other people's among them
#[test]
fn an_index_is_compared_by_the_names_it_gave() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, row) = catalog(dir.path());
    // One is there, one gone, one unreadable, and one lost its name with the run that sent it.
    let index = Opened::Index(Box::new(Listed(Mutex::new(vec![
        listed("n9", Some(key(9)), Readiness::Searchable),
        listed("theirs", None, Readiness::Searchable),
        listed("n4", Some(key(4)), Readiness::NotYet),
        listed("n3", Some(key(3)), Readiness::Failed("a page is missing".to_owned())),
        // What it has twice under one key is another object.
        listed("n1 again", Some(key(1)), Readiness::Searchable),
        listed("n1", Some(key(1)), Readiness::Searchable),
    ]))));
    let options = CheckOptions { repair: true, read: true, ..CheckOptions::default() };
    let sender = Sender::take(&mut catalog, SystemClock.now_ms()).unwrap();
    let report =
        compare_with(&mut catalog, &sender, &row, &index, options, &SystemClock, &Unwatched).unwrap();
    let counts = Counts { missing: 1, size: 0, bytes: 0, unsearchable: 1, strangers: 2 };
    assert_eq!((report.counts, report.foreign, report.current), (counts, 1, 3));
    assert_eq!((report.in_line, report.adopted, report.left()), (2, 2, 0));
    let orphan: (String, String) = catalog
        .read()
        .query_row(
            "SELECT group_concat(server_id, ','), group_concat(DISTINCT state) FROM remote_objects WHERE cause = ?1",
            [compare::STRANGER],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(orphan, ("n9,n1 again".to_owned(), "orphaned".to_owned()));
    let again = compare_with(&mut catalog, &sender, &row, &index, options, &SystemClock, &Unwatched).unwrap();
    assert_eq!((again.counts.strangers, again.adopted), (0, 0));
}

struct Stopped;

impl Monitor for Stopped {
    fn cancelled(&self) -> bool {
        true
    }
}

// S12, D4: what was not seen is not missing
#[test]
fn a_list_that_does_not_come_to_its_end_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut catalog, row) = catalog(dir.path());
    let options = CheckOptions { repair: true, ..CheckOptions::default() };
    let index =
        Opened::Index(Box::new(Listed(Mutex::new(vec![listed("n1", Some(key(1)), Readiness::Searchable)]))));
    let sender = Sender::take(&mut catalog, SystemClock.now_ms()).unwrap();
    let stopped = compare_with(&mut catalog, &sender, &row, &index, options, &SystemClock, &Stopped).unwrap();
    assert!(matches!(stopped.outcome, Outcome::Interrupted), "{stopped:?}");
    assert_eq!((stopped.counts, stopped.in_line), (Counts::default(), 0));

    let place = dir.path().join("store");
    let store = FaultyStore::new(DirStore::create(&place, Timestamp::UNIX_EPOCH).unwrap());
    for text in [b"one", b"two"] {
        let expect = Expect::of(text);
        let key = ObjectKey::of_content(Payload::Original, &expect.hash);
        store.put_if_absent(&key, &mut text.as_slice(), &expect).unwrap();
    }
    store.fail(Call::List, 1, Fault::HalfWay);
    let opened = Opened::Objects(Box::new(store));
    let away = compare_with(&mut catalog, &sender, &row, &opened, options, &SystemClock, &Unwatched).unwrap();
    assert!(matches!(away.outcome, Outcome::Away(_)), "{away:?}");
    assert_eq!((away.counts.missing, away.in_line), (0, 0));
}
