//! A librarian's desk whose library is on a disk of its own, to be unplugged, swapped and covered.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::desk::Desk;
use super::disk::{Kind, LoopDisk};

/// The library `books` at `lib` on a disk that is mounted at `disk` on the desk.
pub(crate) struct Shelf {
    // In this order: the disk has to be gone from the desk before the desk is cleared.
    pub(crate) disk: LoopDisk,
    pub(crate) desk: Desk,
}

impl Shelf {
    /// With these files, not scanned yet.
    pub(crate) fn with_files(files: &[(&str, &str)]) -> Self {
        Shelf::filled_by(8, |root| {
            for (path, content) in files {
                write(root, path, content);
            }
        })
    }

    /// With what `fill` puts under the root, not scanned yet.
    pub(crate) fn filled_by(size_mib: u64, fill: impl FnOnce(&Path)) -> Self {
        Shelf::on(LoopDisk::create(size_mib, Kind::Ext4, "SHELF"), fill)
    }

    /// On this disk, which is new, with what `fill` puts under the root, not scanned yet.
    pub(crate) fn on(mut disk: LoopDisk, fill: impl FnOnce(&Path)) -> Self {
        let desk = Desk::new();
        let point = desk.path("disk");
        std::fs::create_dir(&point).unwrap();
        disk.mount_at(&point);
        let shelf = Shelf { disk, desk };
        std::fs::create_dir(shelf.root()).unwrap();
        fill(&shelf.root());
        let root = shelf.root();
        shelf.desk.run(&["init", root.to_str().unwrap(), "--name", "books"]).expect(0);
        shelf
    }

    pub(crate) fn point(&self) -> PathBuf {
        self.desk.path("disk")
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.desk.path("disk/lib")
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        write(&self.root(), path, content);
    }

    pub(crate) fn remove(&self, path: &str) {
        std::fs::remove_file(self.root().join(path)).unwrap();
    }

    /// Puts the disk back where it was.
    pub(crate) fn plug_in(&mut self) {
        let point = self.point();
        self.disk.mount_at(&point);
    }

    /// Takes the disk away and puts it back.
    pub(crate) fn replug(&mut self) {
        self.disk.unmount();
        self.plug_in();
    }

    /// The library's part of `status --json`.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.desk.json(&["status"])["libraries"][0].take()
    }

    /// How many files are missing, by the catalogue itself.
    pub(crate) fn missing(&self) -> i64 {
        self.desk.sql("SELECT count(*) FROM files WHERE presence = 'missing'")
    }
}

pub(crate) fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}
