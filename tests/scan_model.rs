//! Any sequence of changes and scans leaves the catalogue equal to the disk: an interpreter of steps, held against a map.

#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use shelflist::catalog::{Catalog, RunLock, libraries};
use shelflist::clock::{Clock, SystemClock};
use shelflist::library::{self, InitOptions};
use shelflist::model::RelPath;
use shelflist::monitor::Unwatched;
use shelflist::scan::{self, Ending, Options};

const DIRS: [&str; 4] = ["", "a/", "b/", "a/c/"];
const NAMES: [&str; 4] = ["x", "y", "z", "c"];
const CONTENTS: [&str; 4] = ["", "one", "two", "three, the longest"];

#[derive(Debug, Clone)]
enum Step {
    Write(String, &'static str),
    Delete(usize),
    Rename(usize, String),
    Copy(usize, String),
    RenameDir(&'static str, &'static str),
    /// Over another file, whose content is lost.
    Over(usize, usize),
    Swap(usize, usize),
    /// To another name, with a new file in its place.
    Aside(usize, String, &'static str),
    Scan,
    FullScan,
    ScanOf(&'static str),
}

fn path() -> impl Strategy<Value = String> {
    (0..DIRS.len(), 0..NAMES.len()).prop_map(|(dir, name)| format!("{}{}", DIRS[dir], NAMES[name]))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (path(), prop::sample::select(&CONTENTS[..])).prop_map(|(path, content)| Step::Write(path, content)),
        2 => any::<usize>().prop_map(Step::Delete),
        2 => (any::<usize>(), path()).prop_map(|(which, to)| Step::Rename(which, to)),
        2 => (any::<usize>(), path()).prop_map(|(which, to)| Step::Copy(which, to)),
        1 => (prop::sample::select(vec!["a", "b", "a/c"]), prop::sample::select(vec!["b", "d", "a/e"]))
            .prop_map(|(from, to)| Step::RenameDir(from, to)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(which, over)| Step::Over(which, over)),
        1 => (any::<usize>(), any::<usize>()).prop_map(|(one, other)| Step::Swap(one, other)),
        1 => (any::<usize>(), path(), prop::sample::select(&CONTENTS[..])).prop_map(|(which, to, content)| Step::Aside(which, to, content)),
        3 => Just(Step::Scan),
        1 => Just(Step::FullScan),
        1 => prop::sample::select(vec!["a", "b", "d"]).prop_map(Step::ScanOf),
    ]
}

/// Path, presence, content, document.
type Row = (String, String, Option<[u8; 32]>, Option<i64>);

struct World {
    dir: tempfile::TempDir,
    catalog: Catalog,
    /// What is on the disk.
    files: BTreeMap<String, &'static str>,
    /// Every path that a scan has seen.
    seen: BTreeSet<String>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("library")).unwrap();
        let mut catalog =
            Catalog::open_or_create(&dir.path().join("home/catalog.db"), SystemClock.now()).unwrap();
        let root = dir.path().join("library");
        let options = InitOptions { root: &root, name: None, mount_point: None, marker: true };
        library::init(&mut catalog, &options, &SystemClock).unwrap();
        // A store that nothing is ever sent to: the outbox is looked at.
        let tx = catalog.write().unwrap();
        tx.execute_batch(
            "INSERT INTO channels (channel_id, kind, name, updated_at) VALUES (1, 'store', 'nowhere', 0);
             INSERT INTO stores (store_id, url, payload, remote_store, generation, created_at, updated_at) VALUES (1, 'dir:/nowhere', 'enriched', 's', 'g', 0, 0);",
        )
        .unwrap();
        tx.commit().unwrap();
        World { dir, catalog, files: BTreeMap::new(), seen: BTreeSet::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("library").join(path)
    }

    /// Whether a file can be at `path`: nothing on the way to it is a file, and it is no directory.
    fn is_free(&self, path: &str) -> bool {
        let below = format!("{path}/");
        !self.at(path).is_dir()
            && !self
                .files
                .keys()
                .any(|file| file.starts_with(&below) || path.starts_with(&format!("{file}/")))
    }

    fn put(&mut self, path: &str, content: &'static str) {
        if self.is_free(path) {
            std::fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
            std::fs::write(self.at(path), content).unwrap();
            self.files.insert(path.to_owned(), content);
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        if to.starts_with(&format!("{from}/")) {
            return;
        }
        std::fs::create_dir_all(self.at(to).parent().unwrap()).unwrap();
        std::fs::rename(self.at(from), self.at(to)).unwrap();
        let content = self.files.remove(from).expect("it is there");
        self.files.insert(to.to_owned(), content);
    }

    fn pick(&self, which: usize) -> Option<(String, &'static str)> {
        let nth = which % self.files.len().max(1);
        self.files.iter().nth(nth).map(|(path, content)| (path.clone(), *content))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Write(path, content) => self.put(path, content),
            Step::Delete(which) => {
                if let Some((path, _)) = self.pick(*which) {
                    std::fs::remove_file(self.at(&path)).unwrap();
                    self.files.remove(&path);
                }
            }
            Step::Rename(which, to) => {
                if let Some((path, _)) = self.pick(*which)
                    && self.is_free(to)
                {
                    self.rename(&path, to);
                }
            }
            Step::Over(which, over) => {
                if let (Some((path, _)), Some((over, _))) = (self.pick(*which), self.pick(*over)) {
                    self.rename(&path, &over);
                }
            }
            Step::Swap(one, other) => {
                if let (Some((one, a)), Some((other, b))) = (self.pick(*one), self.pick(*other)) {
                    let aside = self.dir.path().join("aside");
                    std::fs::rename(self.at(&one), &aside).unwrap();
                    if one != other {
                        std::fs::rename(self.at(&other), self.at(&one)).unwrap();
                    }
                    std::fs::rename(&aside, self.at(&other)).unwrap();
                    self.files.insert(one, b);
                    self.files.insert(other, a);
                }
            }
            Step::Aside(which, to, content) => {
                if let Some((path, _)) = self.pick(*which)
                    && self.is_free(to)
                {
                    self.rename(&path, to);
                    self.put(&path, content);
                }
            }
            Step::Copy(which, to) => {
                if let Some((_, content)) = self.pick(*which) {
                    self.put(to, content);
                }
            }
            Step::RenameDir(from, to) => {
                if self.at(from).is_dir()
                    && !self.at(to).exists()
                    && !to.starts_with(&format!("{from}/"))
                    && self.is_free(to)
                {
                    std::fs::create_dir_all(self.at(to).parent().unwrap()).unwrap();
                    std::fs::rename(self.at(from), self.at(to)).unwrap();
                    let prefix = format!("{from}/");
                    self.files = std::mem::take(&mut self.files)
                        .into_iter()
                        .map(|(path, content)| match path.strip_prefix(&prefix) {
                            Some(rest) => (format!("{to}/{rest}"), content),
                            None => (path, content),
                        })
                        .collect();
                }
            }
            Step::Scan => self.scan("", false),
            Step::FullScan => self.scan("", true),
            Step::ScanOf(dir) => {
                if self.at(dir).is_dir() {
                    self.scan(dir, false);
                }
            }
        }
    }

    fn scan(&mut self, scope: &str, full: bool) {
        let lock = RunLock::take(self.catalog.path()).unwrap();
        let library = libraries::all(self.catalog.read()).unwrap().remove(0);
        let root = library::look(&mut self.catalog, &library, &SystemClock).unwrap().unwrap();
        let mut run = |dry_run| {
            let options = Options { full, dry_run, scope: RelPath::from(scope) };
            scan::run(
                &mut self.catalog,
                &lock,
                &library,
                &root,
                &options,
                Arc::new(SystemClock),
                Arc::new(Unwatched),
            )
            .unwrap()
        };
        let (foreseen, report) = (run(true), run(false));
        // L12: a dry run says what a scan would do.
        let counts = |report: &scan::Report| {
            [report.new, report.modified, report.moved, report.missing, report.restored]
        };
        assert_eq!(counts(&foreseen), counts(&report), "new, modified, moved, missing, restored");
        assert_eq!(report.ending, Ending::Complete);
        assert_eq!(report.decision, None);
        let inside = |path: &str| scope.is_empty() || path.starts_with(&format!("{scope}/"));
        self.seen.extend(self.files.keys().filter(|path| inside(path)).cloned());
        self.check(&inside);
    }

    fn rows(&self) -> Vec<Row> {
        let mut statement = self
            .catalog
            .read()
            .prepare(
                "SELECT CAST(CASE WHEN d.path = x'' THEN f.name ELSE d.path || x'2F' || f.name END AS TEXT), f.presence,
                        f.content_hash, f.document_id FROM files f JOIN dirs d USING (dir_id)",
            )
            .unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    fn count(&self, sql: &str) -> i64 {
        self.catalog.read().query_row(sql, [], |row| row.get(0)).unwrap()
    }

    fn check(&self, inside: &dyn Fn(&str) -> bool) {
        let rows = self.rows();
        // D1, L4: present is exactly what is there, with its content.
        let present: BTreeMap<&str, Option<[u8; 32]>> = rows
            .iter()
            .filter(|(path, presence, ..)| presence == "present" && inside(path))
            .map(|(path, _, hash, _)| (path.as_str(), *hash))
            .collect();
        let there: BTreeMap<&str, Option<[u8; 32]>> = self
            .files
            .iter()
            .filter(|(path, _)| inside(path))
            .map(|(path, content)| (path.as_str(), Some(*blake3::hash(content.as_bytes()).as_bytes())))
            .collect();
        assert_eq!(present, there);
        // L6: missing is only what was seen once and is not there; one row a path.
        let paths: BTreeSet<&str> = rows.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths.len(), rows.len());
        for (path, presence, ..) in rows.iter().filter(|(path, ..)| inside(path)) {
            assert!(
                presence == "present" || (presence == "missing" && self.seen.contains(path)),
                "{path} {presence}"
            );
        }
        // L15: what has the same content, and any, is a copy of the same document.
        let mut documents: BTreeMap<[u8; 32], BTreeSet<i64>> = BTreeMap::new();
        for (path, presence, hash, document) in &rows {
            let (Some(hash), Some(document)) = (hash, document) else {
                panic!("{path} {presence} has no content")
            };
            if *hash != *blake3::hash(b"").as_bytes() {
                documents.entry(*hash).or_default().insert(*document);
            }
        }
        assert!(documents.values().all(|ids| ids.len() == 1), "{documents:?}");
        assert_eq!(
            self.count("SELECT count(*) FROM files JOIN documents USING (document_id) WHERE files.content_hash <> documents.content_hash"),
            0
        );
        // T1: every document is in line for the store, once.
        assert_eq!(
            self.count("SELECT count(*) FROM documents WHERE (SELECT count(*) FROM outbox o WHERE o.document_id = documents.document_id) <> 1"),
            0
        );
        // D7's bookkeeping: without a copy is exactly who has no file.
        assert_eq!(
            self.count(
                "SELECT count(*) FROM documents d WHERE (copyless_since IS NULL) <>
                 EXISTS (SELECT 1 FROM files f WHERE f.document_id = d.document_id)"
            ),
            0
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]

    // D1, L4, L6, L7, L15, T1
    #[test]
    fn any_changes_and_scans_leave_the_catalogue_equal_to_the_disk(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
        }
        world.take(&Step::Scan);
    }
}
