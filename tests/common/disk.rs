//! Disks for tests: a file system in an image file, mounted for real. Whatever a test does with one, and however it
//! ends, the disk is unmounted and gone with it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A disk in a drawer: it exists, and can be plugged in at any directory.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    image: PathBuf,
    mounted_at: Vec<PathBuf>,
    _drawer: TempDir,
}

impl LoopDisk {
    /// A new disk with an empty file system; `fs` is any for which the machine has a `mkfs`.
    pub(crate) fn create(size_mib: u64, fs: &str, label: &str) -> Self {
        let drawer =
            tempfile::Builder::new().prefix("shelflist-disk-").tempdir().expect("a temporary directory");
        let image = drawer.path().join("image");
        let file = std::fs::File::create(&image).expect("an image file");
        file.set_len(size_mib * 1024 * 1024).expect("a sparse image");
        let label_option = if fs == "vfat" { "-n" } else { "-L" };
        run(Command::new(format!("mkfs.{fs}")).args([label_option, label]).arg(&image));
        LoopDisk { image, mounted_at: Vec::new(), _drawer: drawer }
    }

    /// An ext4 disk, as most tests want one.
    pub(crate) fn ext4(label: &str) -> Self {
        LoopDisk::create(8, "ext4", label)
    }

    /// A disk that is this one bit by bit, as `dd` makes it: same UUID, same label. This one must not be mounted.
    pub(crate) fn clone_bits(&self) -> Self {
        assert!(self.mounted_at.is_empty(), "a mounted disk has no settled bits");
        let drawer =
            tempfile::Builder::new().prefix("shelflist-disk-").tempdir().expect("a temporary directory");
        let image = drawer.path().join("image");
        std::fs::copy(&self.image, &image).expect("a copy of the image");
        LoopDisk { image, mounted_at: Vec::new(), _drawer: drawer }
    }

    /// Plugs the disk in at a directory that exists.
    pub(crate) fn mount_at(&mut self, dir: &Path) {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(dir));
        self.mounted_at.push(dir.to_owned());
    }

    /// As [`LoopDisk::mount_at`], read-only.
    pub(crate) fn mount_read_only_at(&mut self, dir: &Path) {
        run(Command::new("mount").args(["-o", "loop,ro"]).arg(&self.image).arg(dir));
        self.mounted_at.push(dir.to_owned());
    }

    /// Whether it is in use anywhere.
    pub(crate) fn is_mounted(&self) -> bool {
        !self.mounted_at.is_empty()
    }

    /// Ejects it from where it was mounted last. Fails the test if something keeps it busy.
    pub(crate) fn unmount(&mut self) {
        let dir = self.mounted_at.pop().expect("it is mounted");
        run(Command::new("umount").arg(dir));
    }

    /// Pulls it: gone from the directory at once, behind the back of whoever has files of it open.
    pub(crate) fn lazy_unmount(&mut self) {
        let dir = self.mounted_at.pop().expect("it is mounted");
        run(Command::new("umount").arg("--lazy").arg(dir));
    }

    /// What the kernel does to a disk with errors.
    pub(crate) fn remount_read_only(&self) {
        let dir = self.mounted_at.last().expect("it is mounted");
        run(Command::new("mount").args(["-o", "remount,ro"]).arg(dir));
    }

    /// Moves the mount itself to another directory, without unmounting.
    pub(crate) fn move_to(&mut self, dir: &Path) {
        let from = self.mounted_at.pop().expect("it is mounted");
        run(Command::new("mount").arg("--move").arg(from).arg(dir));
        self.mounted_at.push(dir.to_owned());
    }

    /// Shows a directory of the disk at another place as well.
    pub(crate) fn bind(&mut self, from: &Path, dir: &Path) {
        run(Command::new("mount").arg("--bind").arg(from).arg(dir));
        self.mounted_at.push(dir.to_owned());
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        for dir in self.mounted_at.drain(..).rev() {
            // Lazily: a failed test may still have files of it open. Its failure is what matters then.
            let _ = Command::new("umount").arg("--lazy").arg(dir).output();
        }
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A directory for mount points that every user may enter; gone with the value, unless something is mounted in it.
#[derive(Debug)]
pub(crate) struct MountPoints(TempDir);

impl MountPoints {
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::Builder::new()
            .prefix("shelflist-mounts-")
            .permissions(std::fs::Permissions::from_mode(0o755))
            .tempdir()
            .expect("a temporary directory");
        MountPoints(dir)
    }

    /// The directory itself, canonical.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().canonicalize().expect("it exists")
    }

    /// A directory in it, made if need be.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.path().join(name);
        std::fs::create_dir_all(&dir).expect("a directory");
        dir
    }
}
