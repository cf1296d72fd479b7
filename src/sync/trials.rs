//! Turns against an index that misbehaves in ways that no peer can be told to.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use super::Here;
use super::line::{Line, What};
use super::making::{Making, make};
use super::plan::Wanted;
use super::push::{PushReport, Run, With};
use super::transfer::{Bytes, Rendered};
use super::{SyncError, channel, ready};
use crate::catalog::outbox::{self, Ask};
use crate::catalog::stores::{self, NewStore, StorePayload, StoreRow};
use crate::catalog::{Catalog, CatalogError, Connection, Ids, Sender, ledger, privacy, trial};
use crate::clock::{Clock, FixedClock};
use crate::model::{Payload, Privacy};
use crate::monitor::{Monitor, Unwatched};
use crate::remote::index::{Entry, Index, IndexListing, Readiness, RemoteName, Standing};
use crate::remote::{Capabilities, Deleted, Identity, ObjectKey, Opened, StoreError};

/// What the index takes that takes short texts: a card without much, and no more.
const SHORT_BYTES: u64 = 300;

/// What an index does otherwise than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Nothing.
    None,
    /// It cannot be listed, and answers everything else.
    NoList,
    /// One document is too much for us.
    Panics,
    /// It refuses every document.
    Refuses,
    /// It forgets everything a day after it was sent, and needs three looks to find it.
    Forgets,
    /// What it was sent can never be found.
    Never,
    /// It takes short texts only.
    Small,
    /// It refuses to delete.
    Keeps,
    /// It lets us write, and not delete.
    Forbids,
}

#[derive(Debug)]
struct Odd {
    habit: Habit,
    /// Which of its lives this is; the names of its objects begin with it.
    life: u8,
    there: There,
    puts: AtomicUsize,
    lists: AtomicUsize,
    looks: AtomicUsize,
}

/// What is in it; as good from another way to it.
type There = Arc<Mutex<BTreeSet<String>>>;

impl Odd {
    fn opened(habit: Habit) -> Opened {
        Odd::in_life(1, habit, &There::default())
    }

    fn in_life(life: u8, habit: Habit, there: &There) -> Opened {
        Opened::Index(Box::new(Odd {
            habit,
            life,
            there: there.clone(),
            puts: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            looks: AtomicUsize::new(0),
        }))
    }
}

fn identity() -> Identity {
    Identity { store: "s".to_owned(), generation: "g".to_owned() }
}

fn reset() -> StoreError {
    let source = io::Error::from(io::ErrorKind::ConnectionReset);
    StoreError::Io { store: "odd:".to_owned(), doing: "list".to_owned(), source }
}

fn refusal(doing: &str) -> StoreError {
    let reason = "so".to_owned();
    StoreError::Refused { store: "odd:".to_owned(), doing: doing.to_owned(), reason, source: None }
}

impl Index for Odd {
    fn describe(&self) -> String {
        "odd:".to_owned()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            client_names_objects: false,
            conditional_put: false,
            server_hash: false,
            needs_searchable: true,
            max_object_bytes: (self.habit == Habit::Small).then_some(SHORT_BYTES),
            parallel: 2,
        }
    }
    fn manner(&self) -> Option<String> {
        Some("0123abcd".to_owned())
    }
    fn identity(&self) -> Result<Option<Identity>, StoreError> {
        Ok(Some(identity()))
    }
    fn begin(&self, _: Timestamp) -> Result<Identity, StoreError> {
        Ok(identity())
    }
    fn put(&self, entry: &Entry<'_>) -> Result<RemoteName, StoreError> {
        assert!(self.habit != Habit::Panics, "what nobody thought of");
        let is_long = self.habit == Habit::Small && entry.content.len() as u64 > SHORT_BYTES;
        if self.habit == Habit::Refuses || is_long {
            return Err(refusal("take it"));
        }
        let n = self.puts.fetch_add(1, Ordering::Relaxed);
        assert!(n < 1_000, "sent for ever");
        let name = format!("{}:{}#{n}", self.life, entry.key);
        self.there.lock().unwrap().insert(name.clone());
        Ok(RemoteName::new(name))
    }
    fn locate_while(
        &self,
        keys: &[&ObjectKey],
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<Vec<RemoteName>>>, StoreError> {
        let n = self.lists.fetch_add(1, Ordering::Relaxed);
        assert!(n < 1_000, "listed for ever");
        if self.habit == Habit::NoList {
            return Err(reset());
        }
        if !goes_on() {
            return Ok(None);
        }
        let there = self.there.lock().unwrap();
        let under = |key: &&ObjectKey| {
            let names = there.iter().filter(|name| name.starts_with(&format!("{}:{key}#", self.life)));
            names.map(RemoteName::new).collect()
        };
        Ok(Some(keys.iter().map(under).collect()))
    }
    fn prove(&self, name: &RemoteName, _: &Entry<'_>) -> Result<Option<Standing>, StoreError> {
        let is_there = self.there.lock().unwrap().contains(name.as_str());
        is_there.then(|| self.standing(name)).transpose()
    }
    fn is_former(&self, name: &RemoteName) -> Result<bool, StoreError> {
        Ok(!name.as_str().starts_with(&format!("{}:", self.life)))
    }
    fn standing(&self, _: &RemoteName) -> Result<Standing, StoreError> {
        let n = self.looks.fetch_add(1, Ordering::Relaxed);
        assert!(n < 1_000, "looked at for ever");
        let expires_at = (self.habit == Habit::Forgets).then(|| start() + SignedDuration::from_hours(24));
        let readiness = match self.habit {
            Habit::Never => Readiness::NotYet,
            Habit::Forgets if n < 2 => Readiness::NotYet,
            _ => Readiness::Searchable,
        };
        Ok(Standing { readiness, expires_at })
    }
    fn remove(&self, name: &RemoteName) -> Result<Deleted, StoreError> {
        match self.habit {
            Habit::Keeps => return Err(refusal("delete it")),
            Habit::Forbids => {
                let source = io::Error::other("403");
                return Err(StoreError::Denied {
                    store: "odd:".to_owned(),
                    doing: "delete it".to_owned(),
                    source,
                });
            }
            _ => {}
        }
        self.there.lock().unwrap().remove(name.as_str());
        Ok(Deleted::Deleted)
    }
    fn list(&self) -> Result<IndexListing<'_>, StoreError> {
        Err(reset())
    }
}

/// A clock that does not go, whatever is waited for.
#[derive(Debug)]
struct Standing0;

impl Clock for Standing0 {
    fn now(&self) -> Timestamp {
        start()
    }
    fn pause(&self, _: std::time::Duration) {}
}

/// Ends the run at the n-th time it is asked.
struct CancelsAt(AtomicI64);

impl Monitor for CancelsAt {
    fn cancelled(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) <= 0
    }
}

/// The user has ended the run.
struct Cancelled;

impl Monitor for Cancelled {
    fn cancelled(&self) -> bool {
        true
    }
}

fn start() -> Timestamp {
    Timestamp::from_second(1_700_000_000).unwrap()
}

struct Desk {
    _dir: tempfile::TempDir,
    catalog: Catalog,
    row: StoreRow,
    sender: Sender,
    clock: FixedClock,
    report: PushReport,
}

impl Desk {
    /// So many documents with a text, in line for one store.
    fn of(documents: u8) -> Desk {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::open_or_create(&dir.path().join("catalog.db"), start()).unwrap();
        let new = NewStore {
            name: "odd",
            url: "odd:",
            payload: StorePayload::Enriched,
            remote_store: "s",
            generation: "g",
            password_command: None,
            found: None,
        };
        let now_ms = start().as_millisecond();
        catalog
            .change::<_, CatalogError>(|tx| {
                stores::insert(tx, &mut Ids::default(), &new, 0)?;
                for n in 1..=documents {
                    trial::add_document(tx, n)?;
                }
                outbox::enqueue_all(tx, &mut Ids::default(), 1, now_ms)
            })
            .unwrap();
        let sender = Sender::take(&mut catalog, now_ms).unwrap();
        let row = stores::by_name(catalog.read(), "odd").unwrap().unwrap();
        let clock = FixedClock::at(start());
        Desk { _dir: dir, catalog, row, sender, clock, report: PushReport::default() }
    }

    fn turn<'a>(&'a mut self, store: &'a Opened, monitor: &'a dyn Monitor) -> Run<'a> {
        let Desk { catalog, row, sender, clock, report, .. } = self;
        Run::begin(catalog, row, store, With { sender, here: &[], clock, monitor }, report).unwrap()
    }

    fn drain(&mut self, store: &Opened) -> Result<(), StoreError> {
        self.turn(store, &Unwatched).drain(What::Everything).unwrap()
    }

    fn count(&self, what: &str) -> i64 {
        trial::count(self.catalog.read(), what)
    }

    /// What a sender that took over would have made of it.
    fn lose_the_word(&self) {
        self.catalog.read().execute("UPDATE sender SET token = 'another'", []).unwrap();
    }

    fn lease(&mut self, kind: &str) -> outbox::Leased {
        let now_ms = self.clock.now_ms();
        let ask = Ask {
            channel_id: 1,
            kind,
            owner: "a test",
            token: self.sender.token(),
            until_ms: now_ms + 1,
            only_recalled: false,
            readable: &[],
            limit: 1,
        };
        self.catalog.change::<_, CatalogError>(|tx| outbox::lease(tx, &ask, now_ms)).unwrap().remove(0)
    }
}

// T6: each turn ends
#[test]
fn a_store_that_answers_and_cannot_be_listed_ends_the_turn() {
    let mut desk = Desk::of(3);
    let error = desk.drain(&Odd::opened(Habit::NoList)).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert_eq!(desk.count("outbox WHERE state = 'pending' AND attempts = 0"), 3);
}

// T6
#[test]
fn a_clock_that_stands_ends_the_turn_all_the_same() {
    let mut desk = Desk::of(1);
    let store = Odd::opened(Habit::Never);
    let Desk { catalog, row, sender, report, .. } = &mut desk;
    let with = With { sender, here: &[], clock: &Standing0, monitor: &Unwatched };
    Run::begin(catalog, row, &store, with, report).unwrap().drain(What::Everything).unwrap().unwrap();
    assert_eq!(desk.count("outbox WHERE state = 'pending'"), 1);
}

// T3
#[test]
fn a_panic_with_one_object_ends_the_run_and_hangs_nobody() {
    let (say, said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut desk = Desk::of(3);
        let store = Odd::opened(Habit::Panics);
        let ended = catch_unwind(AssertUnwindSafe(|| desk.drain(&store)));
        let _ = say.send(ended.is_err());
    });
    let panicked = said.recv_timeout(std::time::Duration::from_secs(20));
    assert_eq!(panicked, Ok(true), "it waits for a worker that is gone");
}

// T3: whenever the user ends a run, nothing stays leased
#[test]
fn a_run_that_is_ended_at_any_moment_keeps_no_lease() {
    for asked in 0..40 {
        let mut desk = Desk::of(3);
        let monitor = CancelsAt(AtomicI64::new(asked));
        desk.turn(&Odd::opened(Habit::None), &monitor).drain(What::Everything).unwrap().unwrap();
        assert_eq!(desk.count("outbox WHERE state = 'leased'"), 0, "ended at question {asked}");
    }
}

// S9: a store that forgets everything within three days
#[test]
fn what_is_forgotten_soon_is_sent_once_and_given_anew_in_time() {
    let mut desk = Desk::of(1);
    let store = Odd::opened(Habit::Forgets);
    desk.drain(&store).unwrap();
    assert_eq!(desk.count("remote_objects"), 1, "sent again while it could not be found yet");
    assert_eq!(desk.count("remote_objects WHERE state = 'current'"), 1);
    let again = |desk: &mut Desk| {
        let now_ms = desk.clock.now_ms();
        let row = desk.row.clone();
        desk.catalog
            .change::<_, CatalogError>(|tx| channel::put_in_line_anew(tx, &row, &store, now_ms))
            .unwrap();
        desk.drain(&store).unwrap();
        desk.count("remote_objects")
    };
    desk.clock.advance(SignedDuration::from_mins(1));
    assert_eq!(again(&mut desk), 1, "its life has only begun");
    desk.clock.advance(SignedDuration::from_hours(13));
    assert_eq!(again(&mut desk), 2, "half of it is over");
}

// S6, S10: what is given up is not taken up again by every run
#[test]
fn what_was_given_up_is_not_put_in_line_anew_for_its_manner() {
    let mut desk = Desk::of(1);
    desk.drain(&Odd::opened(Habit::None)).unwrap();
    desk.catalog
        .read()
        .execute("UPDATE remote_objects SET remote_id = 'enriched/00/11/ffffffff'", [])
        .unwrap();
    let store = Odd::opened(Habit::Refuses);
    for _ in 0..12 {
        let now_ms = desk.clock.now_ms();
        let row = desk.row.clone();
        desk.catalog
            .change::<_, CatalogError>(|tx| channel::put_in_line_anew(tx, &row, &store, now_ms))
            .unwrap();
        desk.drain(&store).unwrap();
        desk.clock.advance(SignedDuration::from_mins(10));
    }
    assert_eq!(desk.report.refused, 5);
    assert_eq!(desk.count("outbox WHERE state = 'dead'"), 1);
}

/// A person takes document 1 back.
fn take_back(desk: &mut Desk) {
    let now_ms = desk.clock.now_ms();
    let made = desk.catalog.change::<_, CatalogError>(|tx| {
        make_local_only(tx, now_ms);
        Ok(())
    });
    made.unwrap();
}

// T7: another store stands under its name, and what was sent to the former one may still be there
#[test]
fn what_is_in_a_former_life_of_a_store_is_not_taken_away_for_a_refill() {
    let mut desk = Desk::of(1);
    let there = There::default();
    desk.drain(&Odd::in_life(1, Habit::None, &there)).unwrap();
    let former = there.lock().unwrap().first().cloned().unwrap();
    let refill = |desk: &mut Desk| {
        let now_ms = desk.clock.now_ms();
        desk.catalog
            .change::<_, CatalogError>(|tx| stores::refill(tx, &mut Ids::default(), 1, "another", now_ms))
            .unwrap();
    };
    refill(&mut desk);
    desk.drain(&Odd::in_life(2, Habit::Keeps, &there)).unwrap();
    assert_eq!(desk.report.refused, 0, "it was to be deleted there");
    let names = || there.lock().unwrap().iter().cloned().collect::<Vec<_>>();
    assert_eq!(names().len(), 2);
    assert_eq!(desk.count("remote_objects WHERE state = 'current' AND server_id LIKE '2:%'"), 1);
    let left = format!("remote_objects WHERE state = 'orphaned' AND server_id = '{former}'");
    assert_eq!(desk.count(&left), 1);
    // S2: sent to the new one already, by a run that died before it wrote the name down
    desk.catalog
        .read()
        .execute("UPDATE remote_objects SET server_id = ?1 WHERE state = 'current'", [&former])
        .unwrap();
    refill(&mut desk);
    desk.drain(&Odd::in_life(2, Habit::None, &there)).unwrap();
    assert_eq!(names().len(), 2, "it was sent twice");
    assert_eq!(desk.count("remote_objects WHERE state = 'current' AND server_id LIKE '2:%'"), 1);
    assert_eq!(desk.count(&left), 1, "left once");
    // S8: who takes it back means all of it
    take_back(&mut desk);
    desk.drain(&Odd::in_life(2, Habit::None, &there)).unwrap();
    assert_eq!(names(), [""; 0]);
    assert_eq!((desk.report.recalled_objects, desk.count("remote_objects WHERE state = 'deleted'")), (2, 2));
}

// S8: nobody but the next try asks for it again
#[test]
fn what_is_taken_back_is_asked_for_until_the_store_deletes_it() {
    let mut desk = Desk::of(1);
    let there = There::default();
    desk.drain(&Odd::in_life(1, Habit::None, &there)).unwrap();
    take_back(&mut desk);
    for _ in 0..12 {
        desk.drain(&Odd::in_life(1, Habit::Keeps, &there)).unwrap();
        desk.clock.advance(SignedDuration::from_mins(10));
    }
    assert_eq!(desk.report.refused, 12);
    assert_eq!(desk.count("outbox WHERE state = 'pending' AND attempts = 12 AND error_text IS NOT NULL"), 1);
    desk.drain(&Odd::in_life(1, Habit::None, &there)).unwrap();
    assert!(there.lock().unwrap().is_empty());
    assert_eq!(desk.report.recalled_objects, 1);
}

// S6: a key that may write and not delete
#[test]
fn what_may_not_be_deleted_holds_up_nothing_that_is_to_be_sent() {
    let mut desk = Desk::of(9);
    let there = There::default();
    desk.drain(&Odd::in_life(1, Habit::None, &there)).unwrap();
    let now_ms = desk.clock.now_ms();
    let put_in_line = desk.catalog.change::<_, CatalogError>(|tx| {
        for object_id in 1..=8 {
            ledger::orphan(tx, object_id, "replaced", now_ms)?;
            outbox::enqueue_delete(tx, &mut Ids::default(), object_id, now_ms)?;
        }
        trial::add_document(tx, 10)?;
        outbox::enqueue_mirror(tx, &mut Ids::default(), 10, now_ms)
    });
    put_in_line.unwrap();
    desk.drain(&Odd::in_life(1, Habit::Forbids, &there)).unwrap();
    assert_eq!(desk.report.refused, 8);
    assert_eq!(desk.count("remote_objects WHERE state = 'current' AND document_id = 10"), 1);
}

// S10: a text that cannot be made any more is not asked for by every run
#[test]
fn a_document_without_a_text_is_not_put_in_line_anew_for_its_manner() {
    let mut desk = Desk::of(2);
    let store = Odd::opened(Habit::None);
    desk.drain(&store).unwrap();
    let conn = desk.catalog.read();
    conn.execute("UPDATE remote_objects SET remote_id = 'enriched/00/11/ffffffff'", []).unwrap();
    trial::lose_text(conn, 1).unwrap();
    let (now_ms, row) = (desk.clock.now_ms(), desk.row.clone());
    desk.catalog.change::<_, CatalogError>(|tx| channel::put_in_line_anew(tx, &row, &store, now_ms)).unwrap();
    assert_eq!(desk.count("outbox WHERE state = 'pending' AND document_id = 1"), 0);
    assert_eq!(desk.count("outbox WHERE state = 'pending' AND document_id = 2"), 1);
}

// T3: the list of a large index takes minutes
#[test]
fn a_run_that_is_ended_while_it_looks_for_what_was_lost_keeps_no_lease() {
    let mut desk = Desk::of(2);
    let store = Odd::opened(Habit::None);
    let mut line = Line::default();
    line.waiting.push_back(desk.lease("mirror"));
    let made = desk.turn(&store, &Cancelled).make_ready(&mut line, u64::MAX).unwrap().unwrap();
    assert!(made.is_empty() && line.going.is_empty(), "{made:?}");
    assert_eq!(desk.count("outbox WHERE state = 'pending' AND attempts = 0"), 2);
}

// T3: a clock that was set back by an hour
#[test]
fn a_sender_whose_clock_was_set_back_says_that_it_is_at_it_still() {
    let mut desk = Desk::of(1);
    let op = desk.lease("mirror");
    let Desk { catalog, row, sender, report, clock, .. } = &mut desk;
    let store = Odd::opened(Habit::None);
    let with = With { sender, here: &[], clock, monitor: &Unwatched };
    let mut run = Run::begin(catalog, row, &store, with, report).unwrap();
    clock.advance(SignedDuration::from_hours(-1));
    run.renew().unwrap();
    let until = clock.now_ms() + crate::catalog::SENDER_MS;
    assert_eq!(desk.count(&format!("outbox WHERE seq = {} AND lease_until = {until}", op.seq)), 1);
}

// T3: a sender that slept between its lease and the ledger
#[test]
fn who_slept_past_his_word_writes_nothing_into_the_ledger() {
    let mut desk = Desk::of(1);
    let op = desk.lease("mirror");
    desk.lose_the_word();
    let store = Odd::opened(Habit::None);
    let mut line = Line::default();
    line.waiting.push_back(op);
    let ended = desk.turn(&store, &Unwatched).make_ready(&mut line, u64::MAX);
    assert!(matches!(ended, Err(SyncError::TakenOver)), "{ended:?}");
    assert_eq!(desk.count("remote_objects"), 0);
}

// T3: and one that slept before
#[test]
fn who_slept_past_his_word_leases_nothing() {
    let mut desk = Desk::of(3);
    desk.lose_the_word();
    let store = Odd::opened(Habit::None);
    let ended = desk.turn(&store, &Unwatched).drain(What::Everything);
    assert!(matches!(ended, Err(SyncError::TakenOver)), "{ended:?}");
    assert_eq!(desk.count("outbox WHERE state = 'pending' AND leases = 0"), 3);
}

// S4, S10: a catalogue that was lost, and its store that was not
#[test]
fn what_another_catalogue_gave_an_index_is_found_there_and_not_given_again() {
    let store = Odd::opened(Habit::None);
    Desk::of(1).drain(&store).unwrap();
    let mut anew = Desk::of(1);
    anew.drain(&store).unwrap();
    assert_eq!(anew.count("remote_objects WHERE state = 'current'"), 1);
    let key = trial::only_remote_id(anew.catalog.read());
    let Opened::Index(index) = &store else { unreachable!("opened as one") };
    assert_eq!(index.locate(&[&key.parse().unwrap()]).unwrap()[0].len(), 1, "it is there twice");
}

/// A person's word, as `edit` has it carried out.
fn make_local_only(conn: &Connection, now_ms: i64) {
    trial::say_local_only(conn).unwrap();
    privacy::change(conn, &mut Ids::default(), 1, Privacy::LocalOnly, now_ms).unwrap();
}

// S8, T8: between reading what is wanted and writing it down
#[test]
fn what_is_taken_back_while_its_bytes_are_made_stays_taken_back() {
    let mut desk = Desk::of(1);
    desk.drain(&Odd::opened(Habit::None)).unwrap();
    let now_ms = desk.clock.now_ms();
    desk.catalog
        .change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut Ids::default(), 1, now_ms))
        .unwrap();
    let op = desk.lease("mirror");
    let here: [&Here; 0] = [];
    let making = make(&desk.catalog, &desk.row, Some("0123abcd"), &here, 1, now_ms).unwrap();
    desk.catalog
        .change::<_, CatalogError>(|tx| {
            make_local_only(tx, now_ms);
            ready::transfers(tx, 1, &mut Ids::default(), &op, making, now_ms)
        })
        .unwrap();
    assert_eq!(desk.count("remote_objects WHERE recalled_at IS NOT NULL AND state = 'orphaned'"), 1);
    assert_eq!(desk.count("outbox WHERE kind = 'delete' AND state = 'pending'"), 1, "it is to be deleted");
}

// T2: names that say their content are shared, and a worker may be at the deletion just now
#[test]
fn what_is_being_deleted_is_not_found_there_by_another_document() {
    let mut desk = Desk::of(2);
    let key = ObjectKey::of_content(Payload::Original, &[2; 32]).to_string();
    trial::add_orphan(desk.catalog.read(), 7, &key, [2; 32]).unwrap();
    let now_ms = desk.clock.now_ms();
    desk.catalog
        .change::<_, CatalogError>(|tx| {
            tx.execute("DELETE FROM outbox WHERE document_id = 1", [])?;
            outbox::enqueue_delete(tx, &mut Ids::default(), 7, now_ms)
        })
        .unwrap();
    let (erase, mirror) = (desk.lease("delete"), desk.lease("mirror"));
    assert_eq!((erase.object_id, mirror.document_id), (Some(7), 2));
    let making = || Making {
        content_hash: [2; 32],
        wanted: vec![(
            Wanted {
                payload: Payload::Original,
                remote_id: ObjectKey::of_content(Payload::Original, &[2; 32]).to_string(),
                upload_hash: [2; 32],
                bytes: 9,
            },
            Some(Bytes::Rendered(Box::new(Rendered {
                document: ulid::Ulid::nil(),
                title: String::new(),
                fields: std::collections::BTreeMap::new(),
                content: "the bytes".to_owned(),
                text_at: 0,
            }))),
        )],
        note: None,
        privacy: Some(Privacy::Full),
    };
    let write_down = |desk: &mut Desk| {
        let planned = desk.catalog.change::<_, CatalogError>(|tx| {
            ready::transfers(tx, 1, &mut Ids::default(), &mirror, making(), now_ms)
        });
        planned.unwrap()
    };
    let made = write_down(&mut desk);
    assert!(matches!(made, ready::Made::Later(_)), "{made:?}");
    assert_eq!(desk.count("outbox WHERE kind = 'mirror' AND state = 'pending' AND attempts = 0"), 1);
    assert_eq!(desk.count("remote_objects"), 1, "nothing is written down that may be deleted");
}

// S6: SHELF-SYNC-005 at once, and nobody else is held up
#[test]
fn what_is_larger_than_a_store_takes_is_not_asked_for_five_times() {
    let mut desk = Desk::of(3);
    trial::write_text(desk.catalog.read(), 2, &"long ".repeat(200)).unwrap();
    let store = Odd::opened(Habit::Small);
    desk.drain(&store).unwrap();
    assert_eq!((desk.count("remote_objects WHERE state = 'current'"), desk.report.refused), (2, 1));
    let dead =
        "outbox WHERE state = 'dead' AND document_id = 2 AND attempts = 0 AND error_code = 'SHELF-SYNC-005'";
    assert_eq!(desk.count(dead), 1);
    // What becomes of it later is another matter.
    trial::write_text(desk.catalog.read(), 2, "short").unwrap();
    let now_ms = desk.clock.now_ms();
    desk.catalog
        .change::<_, CatalogError>(|tx| outbox::enqueue_mirror(tx, &mut Ids::default(), 2, now_ms))
        .unwrap();
    desk.drain(&store).unwrap();
    assert_eq!(desk.count("remote_objects WHERE state = 'current'"), 3);
}

// S6, T3: a ledger that was damaged ends no run
#[test]
fn a_name_that_is_none_of_ours_is_given_up_alone() {
    let mut desk = Desk::of(2);
    trial::add_orphan(desk.catalog.read(), 7, "no name/of ours", [1; 32]).unwrap();
    let now_ms = desk.clock.now_ms();
    desk.catalog
        .change::<_, CatalogError>(|tx| outbox::enqueue_delete(tx, &mut Ids::default(), 7, now_ms))
        .unwrap();
    desk.drain(&Odd::opened(Habit::None)).unwrap();
    assert_eq!((desk.count("outbox WHERE state = 'done'"), desk.report.refused), (2, 1));
    let dead = "outbox WHERE state = 'dead' AND kind = 'delete' AND error_code = 'SHELF-SYNC-005'";
    assert_eq!(desk.count(dead), 1);
}
