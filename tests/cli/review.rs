//! What a doubter tried with the program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use serde_json::json;

use crate::desk::{Desk, Ran};

const NOBODY: u32 = 65_534;

/// A desk whose librarian is not root, so that permissions mean something.
struct Plain(Desk);

impl Plain {
    fn with_files(files: &[(&str, &str)]) -> Self {
        let desk = Desk::new();
        for (path, content) in files {
            desk.write(path, content);
        }
        let plain = Plain(desk);
        plain.own();
        let library = plain.0.library();
        plain.run(&["init", library.to_str().unwrap(), "--name", "books"]).expect(0);
        plain
    }

    /// Everything on the desk is the librarian's.
    fn own(&self) {
        fn own(path: &Path) {
            std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            if fs::symlink_metadata(path).unwrap().is_dir() {
                for entry in fs::read_dir(path).unwrap() {
                    own(&entry.unwrap().path());
                }
            }
        }
        let top = self.0.path("");
        fs::set_permissions(&top, fs::Permissions::from_mode(0o755)).unwrap();
        if rustix::process::getuid().is_root() {
            own(&top);
        }
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.0.command(args);
        if rustix::process::getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap().into()
    }

    fn forbid(&self, path: &str) {
        fs::set_permissions(self.0.library().join(path), fs::Permissions::from_mode(0o000)).unwrap();
    }

    fn allow(&self, path: &str) {
        fs::set_permissions(self.0.library().join(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write(&self, path: &str, content: &str) {
        self.0.write(path, content);
        self.own();
    }
}

const THREE: &[(&str, &str)] = &[("a.txt", "alpha"), ("sub/b.txt", "beta"), ("sub/deep/c.txt", "gamma")];

fn presence(desk: &Desk, path: &str) -> String {
    desk.json(&["show", path])["file"]["presence"].as_str().unwrap().to_owned()
}

fn status(desk: &Desk, path: &str) -> String {
    desk.json(&["show", path])["file"]["status"].as_str().unwrap().to_owned()
}

fn changed_en_masse() -> Desk {
    let desk = Desk::new();
    for n in 0..30 {
        desk.write(&format!("f{n}.txt"), &format!("file {n}"));
    }
    desk.run(&["init", desk.library().to_str().unwrap(), "--name", "books"]).expect(0);
    desk.add_mirror("enriched");
    desk.run(&["sync"]).expect(0);
    for n in 0..30 {
        desk.write(&format!("f{n}.txt"), &format!("encrypted {n}"));
    }
    desk
}

// D6, T1: no to one change is not no to every later one
#[test]
fn a_file_that_is_edited_after_its_mass_change_was_rejected_is_sent() {
    let desk = changed_en_masse();
    let number = desk.run(&["sync", "--json"]).expect(6).json()["libraries"][0]["decision"].as_i64().unwrap();
    desk.run(&["reject", &number.to_string()]).expect(0);
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 0);
    desk.write("f3.txt", "written by hand");
    assert_eq!(desk.json(&["sync"])["uploaded_objects"], 1);
    assert_eq!(status(&desk, "f3.txt"), "uploaded");
}
