//! The catalogue: migrations, old versions, several processes at once.

#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use shelflist::catalog::files::{Look, Recording};
use shelflist::catalog::newcomers::Newcomers;
use shelflist::catalog::{Catalog, CatalogError, Ids, RunLock, SENDER_MS, Sender, migrate, outbox, settings};
use shelflist::model::{FileKind, Stat, setting};

const ROWS: &str = include_str!("../fixtures/catalogs/rows.sql");

fn stored(version: i64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/catalogs/v{version}.db"))
}

/// Every row of every table of our own, in the columns the two have in common, as text.
fn contents(conn: &Connection, columns_of: &Connection) -> BTreeMap<String, Vec<String>> {
    let tables = |conn: &Connection| -> Vec<String> {
        let mut statement = conn
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
                 AND name NOT LIKE 'search%' AND name NOT LIKE 'refinery%' ORDER BY name",
            )
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let columns = |conn: &Connection, table: &str| -> Vec<String> {
        let mut statement = conn.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
        statement.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let mut all = BTreeMap::new();
    for table in tables(columns_of) {
        // search_stale is no word of anybody's: a new index is made anew.
        let shared: Vec<String> = columns(conn, &table)
            .into_iter()
            .filter(|name| name != "search_stale" && columns(columns_of, &table).contains(name))
            .collect();
        let quoted: Vec<String> = shared.iter().map(|name| format!("quote({name})")).collect();
        let sql = format!("SELECT {} AS line FROM {table} ORDER BY line", quoted.join(" || '|' || "));
        let mut statement = conn.prepare(&sql).unwrap();
        all.insert(table, statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect());
    }
    all
}

fn schema(conn: &Connection, kind: &str) -> Vec<String> {
    let mut statement = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = ?1 AND name NOT LIKE 'sqlite_%' ORDER BY name")
        .unwrap();
    statement.query_map([kind], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

// C1: each stored catalogue of a version opens, and keeps every row
#[test]
fn the_catalogue_of_every_version_opens_and_keeps_every_row() {
    for version in 1..=migrate::LATEST {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("catalog.db");
        std::fs::copy(stored(version), &path)
            .unwrap_or_else(|error| panic!("fixtures/catalogs/v{version}.db: {error}"));
        let before = Connection::open(stored(version)).unwrap();
        let catalog = Catalog::open(&path, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(contents(catalog.read(), &before), contents(&before, &before), "version {version}");
        let problems: String =
            catalog.read().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(problems, "ok");
        // It is not only kept but understood.
        assert_eq!(shelflist::catalog::libraries::all(catalog.read()).unwrap()[0].name, "books");
        assert_eq!(settings::integer(catalog.read(), &setting::MISSING_GRACE_DAYS).unwrap(), 14);
        assert_eq!(shelflist::catalog::decisions::open(catalog.read()).unwrap().len(), 1);
    }
}

// C1: the schema of an old catalogue after its migrations is that of a new one
#[test]
fn a_migrated_catalogue_has_the_same_schema_as_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let new = Catalog::open_or_create(&dir.path().join("new.db"), Timestamp::UNIX_EPOCH).unwrap();
    std::fs::copy(stored(1), dir.path().join("old.db")).unwrap();
    let old = Catalog::open(&dir.path().join("old.db"), Timestamp::UNIX_EPOCH).unwrap();
    for kind in ["table", "index", "trigger", "view"] {
        assert_eq!(schema(old.read(), kind), schema(new.read(), kind), "{kind}");
    }
}

// C1: the table rebuild of version 2, with rows in every child
#[test]
fn a_table_rebuild_keeps_rows_indexes_triggers_and_foreign_keys() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let old = migrate::open_at(&path, 1, Timestamp::UNIX_EPOCH).unwrap();
    old.execute_batch(ROWS).unwrap();
    assert!(
        old.execute("UPDATE files SET presence = 'excluded' WHERE file_id = 1", []).is_err(),
        "the old constraint"
    );
    let (indexes, triggers) = (schema(&old, "index"), schema(&old, "trigger"));
    drop(old);

    let new = migrate::open_at(&path, 2, Timestamp::UNIX_EPOCH).unwrap();
    let count = |sql: &str| -> i64 { new.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(count("SELECT count(*) FROM files"), 3);
    // With foreign keys on, DROP TABLE would have deleted these without a word.
    assert_eq!(count("SELECT count(*) FROM file_problems WHERE file_id = 1"), 1);
    assert_eq!(count("SELECT count(*) FROM decision_files WHERE file_id = 2"), 1);
    assert_eq!((schema(&new, "index"), schema(&new, "trigger")), (indexes, triggers));
    new.execute("UPDATE files SET presence = 'excluded', updated_at = 3000 WHERE file_id = 1", []).unwrap();
    assert_eq!(
        count("SELECT count(*) FROM events WHERE file_id = 1 AND after = 'excluded'"),
        1,
        "the trigger works"
    );
    new.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    assert!(
        new.execute("UPDATE files SET dir_id = 99 WHERE file_id = 1", []).is_err(),
        "and so does the foreign key"
    );
    new.execute("DELETE FROM files WHERE file_id = 1", []).unwrap();
    assert_eq!(count("SELECT count(*) FROM file_problems"), 0, "and its children's");
}

// C1
#[test]
fn opening_twice_changes_nothing_and_a_backup_is_made_before_a_migration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    std::fs::copy(stored(1), &path).unwrap();
    let now = "2026-11-21T03:04:05Z".parse().unwrap();
    drop(Catalog::open(&path, now).unwrap());
    let backups = || -> Vec<String> {
        let entries = std::fs::read_dir(dir.path().join("backups")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    assert_eq!(backups(), ["catalog-v1-20261121T030405Z.db"]);
    let backup = Connection::open(dir.path().join("backups/catalog-v1-20261121T030405Z.db")).unwrap();
    let before = Connection::open(stored(1)).unwrap();
    assert_eq!(contents(&backup, &before), contents(&before, &before));
    drop(Catalog::open(&path, now).unwrap());
    assert_eq!(backups().len(), 1);
}

// C1
#[test]
fn a_migration_that_was_edited_after_its_release_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let conn = migrate::open_at(&path, 1, Timestamp::UNIX_EPOCH).unwrap();
    conn.execute("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1", []).unwrap();
    drop(conn);
    assert!(matches!(Catalog::open(&path, Timestamp::UNIX_EPOCH), Err(CatalogError::Migration(_))));
}

// C3: several writers and readers at once, none is told that the database is locked
#[test]
fn writers_and_readers_at_once_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    drop(Catalog::open_or_create(&path, Timestamp::UNIX_EPOCH).unwrap());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let path = &path;
            scope.spawn(move || {
                let mut catalog = Catalog::open(path, Timestamp::UNIX_EPOCH).unwrap();
                for n in 0..50_i64 {
                    catalog
                        .change::<_, CatalogError>(|tx| {
                            // Reads first: an upgraded deferred transaction would fail here.
                            let (value, _) = settings::get(tx, &setting::PROBE_DEADLINE_MS)?;
                            let next = value.parse::<i64>().unwrap_or(0) + 1;
                            settings::set(
                                tx,
                                &setting::PROBE_DEADLINE_MS,
                                &next.to_string(),
                                writer * 1000 + n,
                            )
                        })
                        .unwrap();
                }
            });
        }
        for _ in 0..2 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    let catalog = Catalog::open(path, Timestamp::UNIX_EPOCH).unwrap();
                    settings::get(catalog.read(), &setting::PROBE_DEADLINE_MS).unwrap();
                }
            });
        }
    });
    let catalog = Catalog::open(&path, Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(
        settings::integer(catalog.read(), &setting::PROBE_DEADLINE_MS).unwrap(),
        10_200,
        "no update was lost"
    );
}

// C1: many processes may open a catalogue that is to be migrated
#[test]
fn a_catalogue_that_is_migrated_by_many_at_once_is_migrated_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    std::fs::copy(stored(1), &path).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Catalog::open(&path, Timestamp::UNIX_EPOCH).unwrap());
        }
    });
    assert_eq!(std::fs::read_dir(dir.path().join("backups")).unwrap().count(), 1);
}

// S3: a run's lock is gone with its holder
#[test]
fn only_one_run_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.db");
    let held = RunLock::take(&path).unwrap();
    assert!(matches!(RunLock::take(&path), Err(CatalogError::Locked(_))));
    drop(held);
    RunLock::take(&path).unwrap();
}

// S3: a worker stopped past its lease cannot acknowledge
#[test]
fn a_sender_that_slept_past_its_word_has_nothing_to_say_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let enqueue = |tx: &rusqlite::Connection| outbox::enqueue_mirror(tx, &mut Ids::default(), 1, 0);
    catalog.change::<_, CatalogError>(|tx| enqueue(tx)).unwrap();
    let asleep = Sender::take(&mut catalog, 0).unwrap();
    let op = lease(&mut catalog, asleep.token(), 0).remove(0);
    let too_early = Sender::take(&mut catalog, SENDER_MS);
    assert!(matches!(too_early, Err(CatalogError::Locked(_))), "it may wake up in time");

    let now_ms = SENDER_MS + 1;
    let awake = Sender::take(&mut catalog, now_ms).unwrap();
    let again = lease(&mut catalog, awake.token(), now_ms);
    assert_eq!(again[0].seq, op.seq, "what it had is handed back");
    let said = catalog.change::<_, CatalogError>(|tx| {
        assert!(!asleep.is_current(tx)? && awake.is_current(tx)?);
        assert!(!asleep.renew(tx, now_ms)?, "it does not become the sender again by saying so");
        assert!(!outbox::is_mine(tx, &op)? && outbox::is_mine(tx, &again[0])?);
        outbox::end(tx, &op, outbox::Ending::Done { note: None }, now_ms)
    });
    assert!(!said.unwrap(), "acknowledged by one who has no lease");
    let ended = catalog.change::<_, CatalogError>(|tx| {
        outbox::end(tx, &again[0], outbox::Ending::Done { note: None }, now_ms)
    });
    assert!(ended.unwrap());

    // The one that took over has no lock: when the sleeper lets go of it, nobody else begins beside it.
    drop(asleep);
    let beside = Sender::take(&mut catalog, now_ms + 1);
    assert!(matches!(beside, Err(CatalogError::Locked(_))), "it is heard of still");
    awake.rest(&mut catalog).unwrap();
    // One that has the lock and died is gone at once, whatever it said.
    drop(Sender::take(&mut catalog, now_ms + 1).unwrap());
    Sender::take(&mut catalog, now_ms + 2).unwrap();
}

fn a_catalogue_with_a_store(dir: &Path) -> Catalog {
    let path = dir.join("catalog.db");
    let conn = migrate::open_at(&path, migrate::LATEST, Timestamp::UNIX_EPOCH).unwrap();
    conn.execute_batch(ROWS).unwrap();
    conn.execute_batch("DELETE FROM outbox; UPDATE documents SET enrich_stale = 0").unwrap();
    drop(conn);
    Catalog::open(&path, Timestamp::UNIX_EPOCH).unwrap()
}

fn ask(token: &str, now_ms: i64) -> outbox::Ask<'_> {
    outbox::Ask {
        channel_id: 1,
        kind: "mirror",
        owner: "test",
        token,
        until_ms: now_ms + 1000,
        only_recalled: false,
        readable: &[],
        limit: 50,
    }
}

fn lease(catalog: &mut Catalog, token: &str, now_ms: i64) -> Vec<outbox::Leased> {
    let ask = ask(token, now_ms);
    catalog.change::<_, CatalogError>(|tx| outbox::lease(tx, &ask, now_ms)).unwrap()
}

fn states(catalog: &Catalog) -> Vec<(String, i64)> {
    let mut statement = catalog.read().prepare("SELECT state, attempts FROM outbox ORDER BY seq").unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

// S3, T4: one row serves any number of changes until it is leased; a later change is a row of its own
#[test]
fn operations_are_coalesced_only_until_their_first_lease() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let mut ids = Ids::default();
    let mut enqueue = |catalog: &mut Catalog| {
        catalog.change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut ids, 1, 5)).unwrap();
    };
    enqueue(&mut catalog);
    enqueue(&mut catalog);
    assert_eq!(states(&catalog).len(), 1);
    let held = lease(&mut catalog, "t1", 10);
    assert_eq!(held.len(), 1);
    enqueue(&mut catalog);
    enqueue(&mut catalog);
    assert_eq!(states(&catalog).len(), 2);
    assert!(lease(&mut catalog, "t2", 10).is_empty(), "in order for each document");
    // Released without blame, it goes first again, and the newer one stays behind it.
    catalog
        .change::<_, CatalogError>(|tx| {
            outbox::end(tx, &held[0], outbox::Ending::Released { not_before: 0 }, 11)
        })
        .unwrap();
    let held = lease(&mut catalog, "t3", 12);
    assert_eq!((held.len(), states(&catalog)[0].0.as_str()), (1, "leased"));
    // Also where it has to wait and the newer one has not.
    let waits = outbox::Ending::Released { not_before: 1_000 };
    catalog.change::<_, CatalogError>(|tx| outbox::end(tx, &held[0], waits, 13)).unwrap();
    assert!(lease(&mut catalog, "t4", 20).is_empty(), "the newer one overtakes");
    assert_eq!(lease(&mut catalog, "t5", 1_000)[0].op_id, held[0].op_id);
}

/// Document 1 in line for a store that gets text and original, and the text has gone ahead: no disk is here.
fn halfway(dir: &Path) -> Catalog {
    let mut catalog = a_catalogue_with_a_store(dir);
    catalog.read().execute("UPDATE stores SET payload = 'both'", []).unwrap();
    put_in_line(&mut catalog);
    let held = lease(&mut catalog, "t1", 10).remove(0);
    catalog.change::<_, CatalogError>(|tx| outbox::end(tx, &held, outbox::Ending::Halfway, 11)).unwrap();
    assert!(lease(&mut catalog, "t2", 12).is_empty(), "the rest waits for a disk");
    catalog
}

fn put_in_line(catalog: &mut Catalog) {
    let mut ids = Ids::default();
    catalog.change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut ids, 1, 5)).unwrap();
}

// T6: also where the disk came, and its sender died before the original was sent
#[test]
fn what_waits_for_an_original_holds_up_no_newer_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = halfway(dir.path());
    catalog
        .read()
        .execute("UPDATE outbox SET state = 'leased', leases = 2, lease_token = 't3', lease_until = 99", [])
        .unwrap();
    put_in_line(&mut catalog);
    catalog.change::<_, CatalogError>(|tx| outbox::recover(tx, 20)).unwrap();
    // Where no disk is needed for either: in order, and not both at once.
    let tx = catalog.read().unchecked_transaction().unwrap();
    tx.execute("UPDATE stores SET payload = 'enriched'", []).unwrap();
    let both = outbox::lease(&tx, &ask("t", 20), 20).unwrap();
    assert_eq!(both.iter().map(|op| op.halfway).collect::<Vec<_>>(), [true]);
    drop(tx);
    let held = lease(&mut catalog, "t4", 21);
    assert_eq!((held.len(), held[0].halfway), (1, false), "the newer one");
    assert!(lease(&mut catalog, "t5", 22).is_empty(), "one at a time");
    catalog.change::<_, CatalogError>(|tx| outbox::end(tx, &held[0], outbox::Ending::Halfway, 23)).unwrap();
    let waiting: i64 = catalog
        .read()
        .query_row("SELECT sum(halfway) FROM outbox WHERE state = 'pending'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(waiting, 1, "one of them waits for the disk");
}

// T6: a computer whose battery was empty begins in another year, and is put right
#[test]
fn what_was_put_off_before_the_clock_was_set_back_is_due() {
    const LATE: i64 = 1_000_000_000_000;
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    put_in_line(&mut catalog);
    let held = lease(&mut catalog, "t1", LATE).remove(0);
    let waits = outbox::Ending::Released { not_before: LATE + 300_000 };
    catalog.change::<_, CatalogError>(|tx| outbox::end(tx, &held, waits, LATE)).unwrap();
    let due = |catalog: &Catalog, now_ms| outbox::due(catalog.read(), 1, &[], false, now_ms).unwrap().at;
    assert_eq!(due(&catalog, LATE), Some(LATE + 300_000));
    assert!(lease(&mut catalog, "t2", LATE).is_empty(), "not before its time");
    assert_eq!(due(&catalog, 5_000), Some(5_000));
    assert_eq!(lease(&mut catalog, "t3", 5_000).len(), 1);
}

// T6, S8: what a store refuses to delete is asked for again, and nobody waits for it
#[test]
fn what_was_refused_as_often_as_may_be_is_no_matter_of_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    put_in_line(&mut catalog);
    let due = |catalog: &Catalog| outbox::due(catalog.read(), 1, &[], false, 5_000).unwrap();
    assert_eq!((due(&catalog).at, due(&catalog).doubtful_at), (Some(0), None));
    catalog.read().execute("UPDATE outbox SET attempts = 5, not_before = 9000", []).unwrap();
    assert_eq!((due(&catalog).at, due(&catalog).doubtful_at), (None, Some(9_000)));
}

// D6: what a decision holds stays held, whatever else becomes of its document
#[test]
fn what_is_held_and_waits_for_an_original_stays_held_when_a_card_is_edited() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = halfway(dir.path());
    let decision =
        "INSERT INTO decisions (decision_id, library_id, kind, state, facts, created_at, updated_at)
                    SELECT 77, min(library_id), 'mass-change', 'open', '{}', 0, 0 FROM libraries";
    catalog.read().execute(decision, []).unwrap();
    catalog.read().execute("UPDATE outbox SET held_by = 77 WHERE state = 'pending'", []).unwrap();
    put_in_line(&mut catalog);
    assert!(lease(&mut catalog, "t3", 20).is_empty(), "nobody has answered");
    catalog.read().execute("UPDATE outbox SET held_by = NULL", []).unwrap();
    assert_eq!(lease(&mut catalog, "t4", 21).len(), 1);
}

// S3: whoever was stopped past his lease can no longer acknowledge
#[test]
fn a_lease_that_is_not_ours_any_more_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    catalog.change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut Ids::default(), 1, 5)).unwrap();
    let stale = lease(&mut catalog, "stale", 10);
    catalog.change::<_, CatalogError>(|tx| outbox::recover(tx, 20).map(|_| ())).unwrap();
    let fresh = lease(&mut catalog, "fresh", 30);
    let done = outbox::Ending::Done { note: None };
    assert!(!catalog.change::<_, CatalogError>(|tx| outbox::end(tx, &stale[0], done, 31)).unwrap());
    assert_eq!(states(&catalog), [("leased".to_owned(), 0)]);
    assert!(catalog.change::<_, CatalogError>(|tx| outbox::end(tx, &fresh[0], done, 32)).unwrap());
    assert_eq!(states(&catalog), [("done".to_owned(), 0)]);
}

// S6, T5: five verdicts end an operation; it blocks only its document, and a change of that gives it another chance
#[test]
fn five_verdicts_end_an_operation() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let mut ids = Ids::default();
    for document_id in [1, 2] {
        catalog.change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut ids, document_id, 5)).unwrap();
    }
    for n in 1..=5 {
        let held = lease(&mut catalog, &format!("t{n}"), n * 10);
        let (first, rest) = held.split_first().unwrap();
        catalog
            .change::<_, CatalogError>(|tx| {
                for op in rest {
                    outbox::end(tx, op, outbox::Ending::Released { not_before: 0 }, n * 10)?;
                }
                let ending = outbox::Ending::Refused {
                    text: "no",
                    code: "SHELF-SYNC-002",
                    not_before: n * 10,
                    limit: 5,
                };
                outbox::end(tx, first, ending, n * 10)
            })
            .unwrap();
    }
    assert_eq!(states(&catalog), [("dead".to_owned(), 5), ("pending".to_owned(), 0)]);
    let code: String = catalog
        .read()
        .query_row("SELECT error_code FROM outbox WHERE state = 'dead'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(code, "SHELF-SYNC-004");
    assert_eq!(lease(&mut catalog, "other", 100).len(), 1, "the other document goes on");
    catalog.change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut ids, 1, 200)).unwrap();
    assert_eq!(states(&catalog)[0].0, "superseded");
    assert_eq!(lease(&mut catalog, "again", 300).len(), 1);
}

// S4: the same key twice is one operation
#[test]
fn an_operation_is_written_once_for_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let insert = "INSERT INTO outbox (op_id, channel_id, document_id, kind, created_at, updated_at) VALUES (?1, 1, ?2, 'mirror', 0, 0)";
    let tx = catalog.write().unwrap();
    tx.execute(insert, params!["01HZZZZZZZZZZZZZZZZZZZZZP9", 1]).unwrap();
    assert!(tx.execute(insert, params!["01HZZZZZZZZZZZZZZZZZZZZZP9", 2]).is_err());
}

// L13: a walker that meets trouble with a file before it has a number, as in a first scan
#[test]
fn a_problem_finds_its_file_and_its_history_tells_of_it() {
    use shelflist::catalog::{history, problems, query};
    use shelflist::model::{FileStatus, Problem, ProblemKind, RelPath};

    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let path = RelPath::from_bytes(b"sub/caf\xe9".to_vec());
    let record = |catalog: &mut Catalog, message: &str, now_ms| {
        let problem = Problem::new(path.clone(), ProblemKind::Permission, message);
        catalog.change::<_, CatalogError>(|tx| problems::record(tx, 1, None, &problem, 1, now_ms)).unwrap();
    };
    record(&mut catalog, "no", 5_000);
    // The same trouble again is no news; another is.
    record(&mut catalog, "no", 6_000);
    record(&mut catalog, "never", 7_000);
    catalog.change::<_, CatalogError>(|tx| problems::resolve(tx, 1, &path)).unwrap();
    let card = query::file_at(catalog.read(), 1, &path).unwrap().unwrap();
    let log = history::of_file(catalog.read(), &card).unwrap();
    let told: Vec<(i64, Option<&str>, Option<FileStatus>)> = log
        .iter()
        .filter(|event| event.about == history::About::Problem)
        .map(|event| (event.at, event.cause.as_deref(), event.status()))
        .collect();
    assert_eq!(
        told[..2],
        [(5_000, Some("no"), Some(FileStatus::Error)), (7_000, Some("never"), Some(FileStatus::Error))]
    );
    assert_eq!((told.len(), told[2].2), (3, None), "its end");
    assert!(told[2].0 >= 7_000);
}

// L13: what is kept about a row that is gone is not another row's
#[test]
fn the_log_of_a_file_that_is_gone_is_not_the_next_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let count = |catalog: &Catalog, sql: &str| -> i64 {
        catalog.read().query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&catalog, "SELECT count(*) FROM events WHERE file_id = 2"), 1);
    catalog
        .change::<_, CatalogError>(|tx| {
            tx.execute("DELETE FROM decision_files", [])?;
            tx.execute("DELETE FROM files WHERE file_id = 2", [])?;
            Ok(())
        })
        .unwrap();
    assert_eq!(count(&catalog, "SELECT count(*) FROM events WHERE file_id = 2"), 0);
    assert_eq!(
        count(&catalog, "SELECT count(*) FROM events WHERE document_id = 2"),
        1,
        "its document's log stays"
    );
}

fn a_look(n: u32, content: u32) -> Look {
    Look {
        dir_id: 1,
        name: format!("new {n}").into_bytes(),
        known: None,
        stat: Stat { kind: FileKind::Regular, size: 9, mtime_ns: 1, ctime_ns: 1, inode: n.into() },
        young: false,
        content_hash: Some(*blake3::hash(&content.to_le_bytes()).as_bytes()),
        link_target: None,
        read_as: None,
        because: Vec::new(),
    }
}

// L15, T1: however many files are written at once, a content has one document, and that stands in line once
#[test]
fn many_new_files_at_once_are_copies_where_their_content_is_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let (mut ids, mut newcomers) = (Ids::default(), Newcomers::default());
    let count = |catalog: &Catalog, what: &str| -> i64 {
        catalog.read().query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
    };
    let (documents, lines) = (count(&catalog, "documents"), count(&catalog, "outbox"));
    // Copies next to each other, some files apart, a whole batch apart; more than are looked up one by one.
    for batch in 0..3_u32 {
        catalog
            .change::<_, CatalogError>(|tx| {
                newcomers.begin(tx)?;
                let mut recording =
                    Recording { ids: &mut ids, stores: &[1], replaced: &mut false, scan_id: 1, now_ms: 9 };
                for n in 0..2000 {
                    let content = [n / 2, n % 1000, n][batch as usize];
                    newcomers.record(tx, &mut recording, a_look(batch * 2000 + n, content))?;
                }
                newcomers.flush(tx, &mut recording)
            })
            .unwrap();
    }
    assert_eq!(count(&catalog, "files WHERE name LIKE 'new %'"), 6000);
    assert_eq!(count(&catalog, "documents") - documents, 2000);
    assert_eq!(count(&catalog, "outbox") - lines, 2000);
    let odd = "files f JOIN documents d USING (document_id) WHERE f.content_hash <> d.content_hash";
    assert_eq!(count(&catalog, odd), 0);
    assert_eq!(count(&catalog, "pragma_foreign_key_check"), 0);
}

// L15: what is known in memory of the catalogue's contents is forgotten when somebody else writes
#[test]
fn a_content_that_somebody_else_wrote_meanwhile_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    let (mut ids, mut newcomers) = (Ids::default(), Newcomers::default());
    let mut write = |newcomers: &mut Newcomers, from: u32, until: u32, keep: bool| {
        let tx = catalog.write().unwrap();
        newcomers.begin(&tx).unwrap();
        let mut recording =
            Recording { ids: &mut ids, stores: &[], replaced: &mut false, scan_id: 1, now_ms: 9 };
        for n in from..until {
            newcomers.record(&tx, &mut recording, a_look(n, n % 3000)).unwrap();
        }
        newcomers.flush(&tx, &mut recording).unwrap();
        let documents: i64 = tx.query_row("SELECT count(*) FROM documents", [], |row| row.get(0)).unwrap();
        if keep {
            tx.commit().unwrap();
        }
        documents
    };
    assert_eq!(write(&mut newcomers, 0, 2000, true), 2002);
    assert_eq!(write(&mut newcomers, 2000, 2500, false), 2502, "rolled back");
    assert_eq!(write(&mut Newcomers::default(), 2000, 2600, true), 2602, "by another scan");
    assert_eq!(write(&mut newcomers, 5000, 5700, true), 2702);
}

// D6: a file that is read for the first time has not changed
#[test]
fn a_first_content_is_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalog = a_catalogue_with_a_store(dir.path());
    catalog
        .change::<_, CatalogError>(|tx| {
            let content =
                "UPDATE files SET content_hash = zeroblob(32), updated_at = 9000 WHERE file_id = ?1";
            tx.execute(content, [3])?;
            assert_eq!(shelflist::catalog::scans::count_changed_since(tx, 1, 8000)?, 0);
            tx.execute(content, [2])?;
            assert_eq!(shelflist::catalog::scans::count_changed_since(tx, 1, 8000)?, 1);
            Ok(())
        })
        .unwrap();
}
