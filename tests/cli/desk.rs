//! A librarian's desk: a home, a library, and the program.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

pub(crate) struct Desk {
    dir: tempfile::TempDir,
}

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Of a report of files, the only one.
    #[track_caller]
    pub(crate) fn file(&self) -> Value {
        let mut report = self.json();
        assert_eq!(report["files"].as_array().map(Vec::len), Some(1), "{self:?}");
        report["files"][0].take()
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl std::fmt::Debug for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The names in a directory, in order.
pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

impl Desk {
    /// Nothing but an empty directory for the library.
    pub(crate) fn new() -> Self {
        let desk = Desk { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.library()).unwrap();
        desk
    }

    /// A library named `books` with these files, not scanned yet.
    pub(crate) fn with_files(files: &[(&str, &str)]) -> Self {
        let desk = Desk::new();
        for (path, content) in files {
            desk.write(path, content);
        }
        desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
        desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.path("home")
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.path("library")
    }

    pub(crate) fn mirror(&self) -> PathBuf {
        self.path("mirror")
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.library().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.library().join(path)).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        let to = self.library().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::rename(self.library().join(from), to).unwrap();
    }

    #[expect(clippy::disallowed_methods, reason = "the program finds systemctl and mkfifo by it")]
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shelflist"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("user"))
            .env("TZ", "UTC")
            .env("SHELFLIST_HOME", self.home());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// The object that a command prints with `--json`; it has to end with 0.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["--json"]].concat()).expect(0).json()
    }

    /// Scans, and gives the one library's report.
    #[track_caller]
    pub(crate) fn scan(&self) -> Value {
        self.json(&["scan"])["libraries"][0].take()
    }

    pub(crate) fn add_mirror(&self, payload: &str) {
        let url = format!("dir:{}", self.mirror().display());
        self.run(&["store", "add", &url, "--payload", payload]).expect(0);
    }

    /// Every object in the mirror with its content.
    pub(crate) fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut objects = BTreeMap::new();
        for kind in ["enriched", "original"] {
            collect(&self.mirror().join(kind), kind, &mut objects);
        }
        objects
    }

    /// One cell out of the catalogue.
    pub(crate) fn sql<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let conn = rusqlite::Connection::open(self.home().join("catalog.db")).unwrap();
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        let conn = rusqlite::Connection::open(self.home().join("catalog.db")).unwrap();
        conn.execute_batch(sql).unwrap();
    }
}

fn collect(dir: &Path, prefix: &str, objects: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &name, objects);
        } else {
            objects.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
}
