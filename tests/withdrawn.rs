//! What somebody takes back while it is being sent. A file of its own: the point in the middle of a push is everybody's in a
//! process.

#![allow(missing_docs)]

#[path = "common/lent.rs"]
mod lent;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use shelflist::catalog::{Catalog, CatalogError, Ids, RunLock, documents, libraries, stores};
use shelflist::clock::{Clock, SystemClock};
use shelflist::curate::change::Change;
use shelflist::curate::{self, Ask, Asked};
use shelflist::library::{self, InitOptions};
use shelflist::model::Field;
use shelflist::monitor::TestMonitor;
use shelflist::remote::{self, StoreUrl};
use shelflist::scan::Options;
use shelflist::sync::{self, Here, PushReport};

fn open(path: &Path) -> Catalog {
    Catalog::open_or_create(path, SystemClock.now()).unwrap()
}

fn push(path: &Path) -> PushReport {
    let mut catalog = open(path);
    let lock = RunLock::take(catalog.path()).unwrap();
    let library = libraries::all(catalog.read()).unwrap().remove(0);
    let root = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
    let here = [Here { library, root }];
    sync::push(&mut catalog, &lock, &here, None, &SystemClock, &TestMonitor::default()).unwrap()
}

fn objects(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found.extend(objects(&entry.path()));
        } else {
            found.extend(std::fs::read_to_string(entry.path()));
        }
    }
    found
}

/// As a person would, while somebody else has the catalogue open.
fn set_privacy(path: &Path, n: usize, word: &str) {
    let mut catalog = open(path);
    let (document_id, ulid): (i64, String) = catalog
        .read()
        .query_row(
            "SELECT document_id, ulid FROM documents JOIN files USING (document_id) WHERE name = CAST(?1 AS BLOB)",
            [format!("{n}.txt")],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let ulid = ulid.parse().unwrap();
    assert!(documents::is(catalog.read(), document_id, ulid).unwrap());
    let fields = [Asked::new(Field::Privacy, Change::set(Field::Privacy, &[word.to_owned()]).unwrap())];
    let asks = [Ask { document_id, ulid, fields: &fields }].into_iter();
    curate::edit(&mut catalog, "an edit", asks, None, SystemClock.now_ms(), &mut |_| {}).unwrap();
}

// S8, T8: a chunk may take hours to send
#[test]
fn what_is_made_local_only_while_its_chunk_is_sent_is_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let (home, root, mirror): (PathBuf, PathBuf, PathBuf) =
        (dir.path().join("home/catalog.db"), dir.path().join("library"), dir.path().join("mirror"));
    std::fs::create_dir(&root).unwrap();
    for n in 0..3 {
        std::fs::write(root.join(format!("{n}.txt")), format!("secret number {n}")).unwrap();
    }
    let mut catalog = open(&home);
    let options = InitOptions { root: &root, name: Some("books"), mount_point: None, marker: true };
    library::init(&mut catalog, &options, &SystemClock).unwrap();
    let url = StoreUrl::parse(&format!("dir:{}", mirror.display()), Path::new("/")).unwrap();
    let identity = remote::create(&url, &remote::Access::default(), SystemClock.now())
        .unwrap()
        .identity()
        .unwrap()
        .unwrap();
    let new = stores::NewStore {
        name: "mirror",
        url: &url.to_string(),
        payload: stores::StorePayload::Original,
        remote_store: &identity.store,
        generation: &identity.generation,
        password_command: None,
        found: None,
    };
    catalog.change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, 0)).unwrap();
    let lock = RunLock::take(catalog.path()).unwrap();
    let library = libraries::all(catalog.read()).unwrap().remove(0);
    let look = library::look(&mut catalog, &library, &SystemClock).unwrap().unwrap();
    lent::scan(
        &mut catalog,
        &lock,
        &library,
        &look,
        &Options::default(),
        &SystemClock,
        &TestMonitor::default(),
    )
    .unwrap();
    drop(lock);

    let path = home.clone();
    fail::cfg_callback("push-uploading", move || set_privacy(&path, 1, "local_only")).unwrap();
    let report = push(&home);
    fail::remove("push-uploading");
    assert_eq!(report.uploaded_objects, 2);
    let sent = |n: usize| objects(&mirror).iter().any(|object| *object == format!("secret number {n}"));
    assert_eq!([sent(0), sent(1), sent(2)], [true, false, true]);

    assert_eq!(push(&home).uploaded_objects, 0);
    assert!(!sent(1), "nor is it by the next run");

    // Another is taken back when it has just arrived, at each step that follows: its sender does not know it yet. The same
    // run, or the next, deletes it.
    set_privacy(&home, 2, "local_only");
    push(&home);
    assert!(!sent(2));
    for point in ["push-sent", "push-uploaded", "push-verified", "push-searchable", "push-current"] {
        set_privacy(&home, 2, "full");
        let path = home.clone();
        // In a thread of its own: some of these points lie within a transaction, which has to end before a person has his turn.
        let edits = Arc::new(Mutex::new(Vec::new()));
        let begun = Arc::clone(&edits);
        fail::cfg_callback(point, move || {
            let path = path.clone();
            begun.lock().unwrap().push(std::thread::spawn(move || set_privacy(&path, 2, "local_only")));
        })
        .unwrap();
        let report = push(&home);
        fail::remove(point);
        assert_eq!(report.uploaded_objects, 1, "{point}: it was on its way");
        let edits = std::mem::take(&mut *edits.lock().unwrap());
        assert!(!edits.is_empty(), "{point}");
        edits.into_iter().for_each(|edit| edit.join().unwrap());
        push(&home);
        assert!(!sent(2), "{point}");
        let left: i64 = catalog
            .read()
            .query_row(
                "SELECT count(*) FROM remote_objects JOIN files USING (document_id)
                 WHERE name = CAST('2.txt' AS BLOB) AND state <> 'deleted'",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(left, 0, "{point}");
    }
    assert_eq!([sent(0), sent(1), sent(2)], [true, false, false]);
    let waiting: i64 = catalog
        .read()
        .query_row("SELECT count(*) FROM outbox WHERE state IN ('pending', 'leased')", [], |row| row.get(0))
        .unwrap();
    assert_eq!(waiting, 0);
}
