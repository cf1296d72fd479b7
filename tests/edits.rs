//! Any sequence of edits, of taking them back, and of changes on the disk leaves the cards as a plain map says; and edits
//! beside a scan that is at work.

#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;

use common::desk::{Desk, Ran};
use common::wait;
use proptest::prelude::*;
use shelflist::catalog::edits::Word;
use shelflist::catalog::{Care, Catalog, RunLock, documents, libraries};
use shelflist::clock::{Clock, SystemClock};
use shelflist::curate::change::{Change, persons_word};
use shelflist::curate::{self, Ask, Asked, CurateError};
use shelflist::library::{self, InitOptions};
use shelflist::model::Field;
use shelflist::monitor::Unwatched;
use shelflist::scan::{self, Options};

const NAMES: [&str; 5] = ["a", "b", "c", "d/a", "d/b"];
const CONTENTS: [&str; 4] = ["one", "two", "three, the longest", "four"];
const FIELDS: [Field; 3] = [Field::Title, Field::Tags, Field::Privacy];
const WORDS: [&str; 3] = ["full", "redacted", "local_only"];

#[derive(Debug, Clone)]
enum Step {
    /// Of so many documents at once.
    Edit {
        documents: Vec<usize>,
        field: Field,
        how: How,
    },
    UndoLast,
    Undo(usize),
    Write(usize, usize),
    Rename(usize, usize),
    Delete(usize),
    Scan,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Set(&'static str),
    Empty,
    TakeBack,
    Add(&'static str),
    Remove(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let word = || prop::sample::select(&WORDS[..]);
    let how = prop_oneof![
        3 => word().prop_map(How::Set),
        1 => Just(How::Empty),
        1 => Just(How::TakeBack),
        1 => word().prop_map(How::Add),
        1 => word().prop_map(How::Remove),
    ];
    let edit = (prop::collection::vec(any::<usize>(), 1..4), prop::sample::select(&FIELDS[..]), how)
        .prop_map(|(documents, field, how)| Step::Edit { documents, field, how });
    prop_oneof![
        6 => edit,
        2 => Just(Step::UndoLast),
        2 => any::<usize>().prop_map(Step::Undo),
        3 => (0..NAMES.len(), 0..CONTENTS.len()).prop_map(|(name, content)| Step::Write(name, content)),
        2 => (0..NAMES.len(), 0..NAMES.len()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (0..NAMES.len()).prop_map(Step::Delete),
        3 => Just(Step::Scan),
    ]
}

/// What people said of a document: by its name everywhere, which nobody gets again.
type Cards = BTreeMap<String, BTreeMap<Field, Vec<String>>>;

struct Edited {
    changes: Vec<(String, Field, Word, Word)>,
    /// Of each change, the edits whose words stood one above the other, before and after.
    stood: Vec<(Vec<usize>, Vec<usize>)>,
    undoes: Option<usize>,
    undone: bool,
}

struct World {
    dir: tempfile::TempDir,
    catalog: Catalog,
    cards: Cards,
    /// Whose words stand one above the other now.
    standing: BTreeMap<(String, Field), Vec<usize>>,
    /// Edit N stands at N - 1.
    log: Vec<Edited>,
    now_ms: i64,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("library/d")).unwrap();
        let mut catalog =
            Catalog::open_or_create(&dir.path().join("home/catalog.db"), SystemClock.now()).unwrap();
        let root = dir.path().join("library");
        let options = InitOptions { root: &root, name: None, mount_point: None, marker: true };
        library::init(&mut catalog, &options, &SystemClock).unwrap();
        // A store that nothing is ever sent to: the outbox is looked at.
        catalog
            .read()
            .execute_batch(
                "INSERT INTO channels (channel_id, kind, name, updated_at) VALUES (1, 'store', 'nowhere', 0);
                 INSERT INTO stores (store_id, url, payload, remote_store, generation, created_at, updated_at) VALUES (1, 'dir:/nowhere', 'enriched', 's', 'g', 0, 0);",
            )
            .unwrap();
        World {
            dir,
            catalog,
            cards: Cards::new(),
            standing: BTreeMap::new(),
            log: Vec::new(),
            now_ms: SystemClock.now_ms(),
        }
    }

    fn documents(&self) -> BTreeMap<String, (i64, Option<String>)> {
        let mut statement = self
            .catalog
            .read()
            .prepare("SELECT d.ulid, d.document_id, o.ulid FROM documents d LEFT JOIN documents o ON o.document_id = d.origin_id")
            .unwrap();
        statement
            .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    fn take(&mut self, step: &Step) {
        self.now_ms += 1;
        // Nothing here is about power cuts.
        self.catalog.set_care(Care::Light).unwrap();
        let at = |name: usize| self.dir.path().join("library").join(NAMES[name]);
        match step {
            Step::Write(name, content) => std::fs::write(at(*name), CONTENTS[*content]).unwrap(),
            Step::Rename(from, to) => drop(std::fs::rename(at(*from), at(*to))),
            Step::Delete(name) => drop(std::fs::remove_file(at(*name))),
            Step::Scan => self.scan(),
            Step::Edit { documents, field, how } => self.edit(documents, *field, *how),
            Step::UndoLast => {
                let last = self.log.iter().rposition(|edit| !edit.undone && edit.undoes.is_none());
                self.undo(None, last);
            }
            Step::Undo(which) => {
                let which = which % self.log.len().max(1);
                self.undo(Some(which as i64 + 1), (which < self.log.len()).then_some(which));
            }
        }
        self.check();
    }

    fn scan(&mut self) {
        let lock = RunLock::take(self.catalog.path()).unwrap();
        let library = libraries::all(self.catalog.read()).unwrap().remove(0);
        let root = library::look(&mut self.catalog, &library, &SystemClock).unwrap().unwrap();
        let options = Options { full: true, ..Options::default() };
        let clock = Arc::new(SystemClock);
        scan::run(&mut self.catalog, &lock, &library, &root, &options, clock, Arc::new(Unwatched)).unwrap();
        // A document that was edited apart begins with what was said of its origin by then.
        for (ulid, (_, origin)) in self.documents() {
            if !self.cards.contains_key(&ulid) {
                let inherited =
                    origin.and_then(|origin| self.cards.get(&origin)).cloned().unwrap_or_default();
                self.cards.insert(ulid, inherited);
            }
        }
    }

    fn edit(&mut self, which: &[usize], field: Field, how: How) {
        let known = self.documents();
        if known.is_empty() {
            return;
        }
        let mut chosen: Vec<String> =
            which.iter().map(|nth| known.keys().nth(nth % known.len()).unwrap().clone()).collect();
        chosen.sort();
        chosen.dedup();
        let change = match how {
            How::Set(word) => Change::set(field, &[word]),
            How::Empty => Change::empty(field),
            How::TakeBack => Ok(Change::TakeBack),
            How::Add(word) => Change::members(field, &[word], &[]),
            How::Remove(word) => Change::members(field, &[], &[word]),
        };
        let Ok(change) = change else { return };
        let fields = [Asked::new(field, change)];
        let asks = chosen.iter().map(|ulid| Ask {
            document_id: known[ulid].0,
            ulid: ulid.parse().unwrap(),
            fields: &fields,
        });
        let report =
            curate::edit(&mut self.catalog, "an edit", asks, None, self.now_ms, &mut |_| {}).unwrap();
        let mut changes = Vec::new();
        for ulid in chosen {
            let card = self.cards.entry(ulid.clone()).or_default();
            let before = card.get(&field).cloned();
            let after = match how {
                How::Set(word) => Some(vec![word.to_owned()]),
                How::Empty => Some(Vec::new()),
                How::TakeBack => None,
                How::Add(word) => {
                    let mut list = before.clone().unwrap_or_default();
                    match list.iter().any(|held| held == word) {
                        true => before.clone(),
                        false => {
                            list.push(word.to_owned());
                            Some(list)
                        }
                    }
                }
                How::Remove(word) => {
                    let held = before.clone().unwrap_or_default();
                    let left: Vec<String> = held.iter().filter(|held| *held != word).cloned().collect();
                    if left == held {
                        before.clone()
                    } else {
                        // Nothing was read out of these files: nothing weaker would show.
                        Some(left).filter(|left| !left.is_empty())
                    }
                }
            };
            if before != after {
                put(card, field, after.clone());
                changes.push((ulid, field, before, after));
            }
        }
        assert_eq!(report.documents, changes.len() as u64);
        assert_eq!(report.edit_id, (!changes.is_empty()).then_some(self.log.len() as i64 + 1));
        if !changes.is_empty() {
            let mut stood = Vec::new();
            for (ulid, field, ..) in &changes {
                let standing = self.standing.entry((ulid.clone(), *field)).or_default();
                let before = standing.clone();
                standing.push(self.log.len());
                stood.push((before, standing.clone()));
            }
            self.log.push(Edited { changes, stood, undoes: None, undone: false });
        }
    }

    fn undo(&mut self, asked: Option<i64>, which: Option<usize>) {
        let done = curate::undo(&mut self.catalog, asked, self.now_ms, &mut |_| {});
        let Some(which) = which else {
            assert!(matches!(done, Err(CurateError::NothingToUndo | CurateError::NoSuchEdit(_))), "{done:?}");
            return;
        };
        if self.log[which].undone {
            assert!(matches!(done, Err(CurateError::UndoneAlready { .. })), "{done:?}");
            return;
        }
        let done = done.unwrap();
        assert_eq!(done.edit.edit_id, which as i64 + 1);
        let (mut changes, mut stood, mut left) = (Vec::new(), Vec::new(), 0);
        let of_edit = self.log[which].changes.iter().cloned().zip(self.log[which].stood.clone());
        for ((ulid, field, before, after), (stood_before, stood_after)) in of_edit {
            let card = self.cards.get_mut(&ulid).unwrap();
            let now = card.get(&field).cloned();
            let standing = self.standing.entry((ulid.clone(), field)).or_default();
            // The same words said anew by somebody else are his.
            if *standing == stood_after {
                assert_eq!(now, after);
                put(card, field, before.clone());
                changes.push((ulid, field, after, before));
                standing.clone_from(&stood_before);
                stood.push((stood_after, stood_before));
            } else if now != before {
                left += 1;
            }
        }
        assert_eq!((done.report.fields, done.left.len()), (changes.len() as u64, left));
        if changes.is_empty() && left > 0 {
            return;
        }
        let mut next = Some(which);
        let mut undone = true;
        while let Some(edit) = next {
            self.log[edit].undone = undone;
            undone = !undone;
            next = self.log[edit].undoes;
        }
        if !changes.is_empty() {
            self.log.push(Edited { changes, stood, undoes: Some(which), undone: false });
        }
    }

    fn check(&self) {
        let known = self.documents();
        // Nothing that anybody said is lost, and no document that was ever edited.
        for (ulid, card) in &self.cards {
            let Some((document_id, _)) = known.get(ulid) else {
                assert!(card.is_empty(), "{ulid} is gone with {card:?}");
                assert!(
                    !self.log.iter().any(|edit| edit.changes.iter().any(|(of, ..)| of == ulid)),
                    "{ulid} is gone"
                );
                continue;
            };
            let annotations = documents::annotations(self.catalog.read(), *document_id).unwrap();
            for field in FIELDS {
                assert_eq!(persons_word(&annotations, field), card.get(&field).cloned(), "{ulid} {field}");
            }
        }
        let rows = |sql: &str| -> Vec<String> {
            let mut statement = self.catalog.read().prepare(sql).unwrap();
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
        };
        // The log names the documents it was about.
        let logged = rows(
            "SELECT edit_id || ' ' || coalesce(d.ulid, '?') || ' ' || field FROM edit_changes LEFT JOIN documents d USING (document_id)",
        );
        let mut expected: Vec<String> = Vec::new();
        for (at, edit) in self.log.iter().enumerate() {
            expected
                .extend(edit.changes.iter().map(|(ulid, field, ..)| format!("{} {ulid} {field}", at + 1)));
        }
        assert_eq!(sorted(logged), sorted(expected));
        let in_effect =
            rows("SELECT CAST(edit_id AS TEXT) FROM edits WHERE undone_at IS NULL ORDER BY edit_id");
        let expected: Vec<String> = self
            .log
            .iter()
            .enumerate()
            .filter(|(_, edit)| !edit.undone)
            .map(|(at, _)| (at + 1).to_string())
            .collect();
        assert_eq!(sorted(in_effect), sorted(expected));
        assert_eq!(rows("SELECT 'dangling' FROM pragma_foreign_key_check"), [""; 0]);
    }
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

fn put(card: &mut BTreeMap<Field, Vec<String>>, field: Field, word: Word) {
    match word {
        Some(values) => drop(card.insert(field, values)),
        None => drop(card.remove(&field)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 400, ..ProptestConfig::default() })]

    // E4, L6, L7, L15
    #[test]
    fn any_edits_and_scans_leave_the_cards_as_people_wrote_them(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
    }
}

/// What may stand on a card: anything, and what spreadsheets have a mind of their own about.
fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "['=+@#(]{0,2}(May|SEPT|März|TRUE|1e|vol\\.|€)?[ ./-]{0,1}[0-9]{0,14}[-/:.,)% ;\n]{0,2}[0-9]{0,4}(PM|Mai|;)?",
        "[\\\\;' ]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // E4: whatever stands there, whoever said it
    #[test]
    fn a_list_that_nobody_touched_changes_nothing(
        said in prop::collection::vec(
            (prop::sample::select(Field::ALL), any::<bool>(), prop::collection::vec(value(), 0..4)), 1..60)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut catalog = Catalog::open_or_create(&dir.path().join("catalog.db"), SystemClock.now()).unwrap();
        catalog.set_care(Care::Light).unwrap();
        for (at, (field, by_person, values)) in said.iter().enumerate() {
            let conn = catalog.read();
            conn.execute(
                "INSERT INTO documents (ulid, size, created_at, updated_at) VALUES (?1, 0, 0, 0)",
                [ulid::Ulid::from_parts(at as u64, 7).to_string()],
            )
            .unwrap();
            conn.execute(
                "INSERT INTO annotations (document_id, field, source, value, confidence, updated_at)
                 VALUES (last_insert_rowid(), ?1, ?2, ?3, 1.0, 0)",
                [
                    field.as_str(),
                    if *by_person { "person" } else { "extractor" },
                    &serde_json::to_string(values).unwrap(),
                ],
            )
            .unwrap();
        }
        let mut list = Vec::new();
        let format = curate::Format::Csv { bom: true };
        curate::export(&catalog, &curate::Scope::All, format, &mut list).unwrap();
        let import = curate::read(&catalog, &mut &list[..]).unwrap();
        prop_assert_eq!(import, curate::Import { rows: said.len() as u64, ..curate::Import::default() });
    }
}

// C3, E4
#[test]
fn cards_are_edited_while_a_scan_is_at_work() {
    let desk = Desk::with_files(&[("a.txt", "alpha"), ("b.txt", "beta")]);
    desk.run(&["sync"]).expect(0);
    // A file that takes minutes to read: the scan holds the lock of runs until it is stopped.
    let endless = std::fs::File::create(desk.library().join("endless.img")).unwrap();
    endless.set_len(1 << 40).unwrap();
    wait::until_of_age(&desk.path("probe"));
    let mut command = desk.command(&["scan", "--json"]);
    let mut scan =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let running = "SELECT count(*) FROM scans WHERE outcome = 'running'";
    wait::until("the scan to begin", || desk.sql::<i64>(running) == 1);
    desk.run(&["scan"]).expect(4);
    desk.run(&["edit", "a.txt", "--title", "Alpha"]).expect(0);
    desk.run(&["tag", "--library", "books", "x"]).expect(0);
    desk.run(&["undo"]).expect(0);
    let list = desk.path("list.csv");
    desk.run(&["export", "--out", list.to_str().unwrap()]).expect(0);
    std::fs::write(&list, std::fs::read_to_string(&list).unwrap().replace("Alpha", "Omega")).unwrap();
    assert_eq!(desk.json(&["import", list.to_str().unwrap()])["fields"], 1);
    assert_eq!(desk.sql::<i64>(running), 1, "it is at work still");
    wait::signal(&scan, rustix::process::Signal::INT);
    wait::until_ended(&mut scan);
    let title = desk.json(&["show", "a.txt"])["annotations"][0].take();
    assert_eq!(title["values"], serde_json::json!(["Omega"]));
    let ran: Ran = desk.run(&["undo"]);
    ran.expect(0);
}
