//! Disks for tests: a file system in an image file, mounted for real. Whatever a test does with one, and however it
//! ends, the disk is unmounted and gone with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::wait;

/// Longer than it takes to start a program.
const BUSY: Duration = Duration::from_secs(2);

/// A kind of file system, as disks have it. (FAT is not among them: this kernel has it not, and the one FUSE driver there is
/// loses files when a directory is renamed.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
    /// As FUSE mounts it: whole seconds, inode numbers made up at every mount, no links, no permissions, case kept and ignored.
    Exfat,
    /// As FUSE mounts it.
    Ntfs,
    /// Written once, in whole seconds.
    Squashfs,
    /// Written once.
    Erofs,
}

impl Kind {
    /// Kinds of disk that people write to.
    pub(crate) const WRITABLE: [Kind; 5] = [Kind::Ext4, Kind::Xfs, Kind::Btrfs, Kind::Exfat, Kind::Ntfs];
    /// Kinds that are made whole and never written again.
    pub(crate) const WRITTEN_ONCE: [Kind; 2] = [Kind::Squashfs, Kind::Erofs];

    /// The kernel's word, or that of the program that makes one.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Exfat => "exfat",
            Kind::Ntfs => "ntfs",
            Kind::Squashfs => "squashfs",
            Kind::Erofs => "erofs",
        }
    }

    /// The programs that make one, and what mounts it.
    pub(crate) fn tools(self) -> &'static [&'static str] {
        match self {
            Kind::Ext4 => &["mkfs.ext4"],
            Kind::Xfs => &["mkfs.xfs", "kernel:xfs"],
            Kind::Btrfs => &["mkfs.btrfs", "btrfs", "kernel:btrfs"],
            Kind::Exfat => &["mkfs.exfat", "mount.exfat-fuse"],
            Kind::Ntfs => &["mkntfs", "ntfs-3g"],
            Kind::Squashfs => &["mksquashfs", "kernel:squashfs"],
            Kind::Erofs => &["mkfs.erofs", "kernel:erofs"],
        }
    }

    /// The smallest that its maker makes, with some room.
    fn size_mib(self) -> u64 {
        match self {
            Kind::Ext4 | Kind::Squashfs | Kind::Erofs => 8,
            Kind::Xfs => 300,
            Kind::Btrfs => 128,
            Kind::Exfat | Kind::Ntfs => 32,
        }
    }

    /// Whether names may hold any byte but `/` and NUL.
    pub(crate) fn keeps_any_name(self) -> bool {
        !matches!(self, Kind::Exfat | Kind::Ntfs)
    }
}

/// A disk in a drawer: it exists, and can be plugged in at any directory.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    kind: Kind,
    image: PathBuf,
    mounted_at: Vec<PathBuf>,
    /// The program that serves it, where the kernel does not.
    server: Option<Child>,
    _drawer: TempDir,
}

impl LoopDisk {
    /// A new disk with an empty file system of this size.
    pub(crate) fn create(size_mib: u64, kind: Kind, label: &str) -> Self {
        let (drawer, image) = drawer();
        let file = std::fs::File::create(&image).expect("an image file");
        file.set_len(size_mib * 1024 * 1024).expect("a sparse image");
        let (maker, label_option): (&str, &[&str]) = match kind {
            Kind::Ext4 => ("mkfs.ext4", &["-L"]),
            Kind::Xfs => ("mkfs.xfs", &["-L"]),
            Kind::Btrfs => ("mkfs.btrfs", &["-L"]),
            Kind::Exfat => ("mkfs.exfat", &["-L"]),
            Kind::Ntfs => ("mkntfs", &["--force", "--fast", "-L"]),
            Kind::Squashfs | Kind::Erofs => panic!("{kind:?} is made of what is to be in it"),
        };
        run(Command::new(maker).args(label_option).arg(label).arg(&image));
        LoopDisk { kind, image, mounted_at: Vec::new(), server: None, _drawer: drawer }
    }

    /// An ext4 disk with inodes too small for more than whole seconds, as disks of long ago have them.
    pub(crate) fn of_whole_seconds() -> Self {
        let disk = LoopDisk::of(Kind::Ext4, "OLD");
        run(Command::new("mkfs.ext4").args(["-q", "-F", "-I", "128"]).arg(&disk.image));
        disk
    }

    /// A new disk, as small as may be.
    pub(crate) fn of(kind: Kind, label: &str) -> Self {
        LoopDisk::create(kind.size_mib(), kind, label)
    }

    /// A disk that holds what this directory holds, for good.
    pub(crate) fn written_once(kind: Kind, content: &Path) -> Self {
        let (drawer, image) = drawer();
        let mut maker = match kind {
            Kind::Squashfs => Command::new("mksquashfs"),
            Kind::Erofs => Command::new("mkfs.erofs"),
            _ => panic!("{kind:?} is written to"),
        };
        // One wants the image first, the other what is to be in it.
        run(match kind {
            Kind::Erofs => maker.arg(&image).arg(content),
            _ => maker.arg(content).arg(&image).args(["-quiet", "-no-progress"]),
        });
        LoopDisk { kind, image, mounted_at: Vec::new(), server: None, _drawer: drawer }
    }

    /// An ext4 disk, as most tests want one.
    pub(crate) fn ext4(label: &str) -> Self {
        LoopDisk::of(Kind::Ext4, label)
    }

    /// A disk that is this one bit by bit, as `dd` makes it: same UUID, same label. This one must not be mounted.
    pub(crate) fn clone_bits(&self) -> Self {
        assert!(self.mounted_at.is_empty(), "a mounted disk has no settled bits");
        let (drawer, image) = drawer();
        std::fs::copy(&self.image, &image).expect("a copy of the image");
        LoopDisk { kind: self.kind, image, mounted_at: Vec::new(), server: None, _drawer: drawer }
    }

    /// Plugs the disk in at a directory that exists.
    pub(crate) fn mount_at(&mut self, dir: &Path) {
        self.mount_with(dir, "rw");
    }

    /// As [`LoopDisk::mount_at`], read-only.
    pub(crate) fn mount_read_only_at(&mut self, dir: &Path) {
        self.mount_with(dir, "ro");
    }

    fn mount_with(&mut self, dir: &Path, option: &str) {
        self.wait_for_server();
        let fuse = |program: &str, source: &Path, args: &[&str]| {
            let mut command = Command::new(program);
            command.arg(source).arg(dir).args(args).arg("-o").arg(option);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let child = command.spawn().unwrap_or_else(|error| panic!("{program} does not start: {error}"));
            wait::until("the disk to be mounted", || is_mount_point(dir));
            child
        };
        match self.kind {
            // In the foreground: their end says that everything is written.
            Kind::Exfat => {
                let device = loop_device(&self.image);
                self.server = Some(fuse("mount.exfat-fuse", &device, &["-d"]));
                let_go_when_unused(&device);
            }
            Kind::Ntfs => {
                let device = loop_device(&self.image);
                self.server = Some(fuse("ntfs-3g", &device, &["-o", "no_detach"]));
                let_go_when_unused(&device);
            }
            _ => run(Command::new("mount").arg("-o").arg(format!("loop,{option}")).arg(&self.image).arg(dir)),
        }
        self.mounted_at.push(dir.to_owned());
    }

    /// Whoever serves it has written everything, and is gone. Called once nothing of it is mounted.
    fn wait_for_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            wait::until_ended(&mut server);
        }
    }

    /// Whether it is in use anywhere.
    pub(crate) fn is_mounted(&self) -> bool {
        !self.mounted_at.is_empty()
    }

    /// Ejects it from where it was mounted last. Fails the test if something keeps it busy; not for a moment, for which a
    /// program that another test is just starting has all that is open here open, too.
    pub(crate) fn unmount(&mut self) {
        let dir = self.mounted_at.pop().expect("it is mounted");
        let begun = Instant::now();
        let unmount = || Command::new("umount").arg(&dir).output().expect("umount starts");
        let mut output = unmount();
        while !output.status.success() && begun.elapsed() < BUSY {
            std::thread::park_timeout(Duration::from_millis(10));
            output = unmount();
        }
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        if self.mounted_at.is_empty() {
            self.wait_for_server();
        }
    }

    /// Pulls it: gone from the directory at once, behind the back of whoever has files of it open.
    pub(crate) fn lazy_unmount(&mut self) {
        let dir = self.mounted_at.pop().expect("it is mounted");
        run(Command::new("umount").arg("--lazy").arg(dir));
    }

    /// What the kernel does to a disk with errors.
    pub(crate) fn remount_read_only(&self) {
        self.remount("remount,ro");
    }

    /// The other way round.
    pub(crate) fn remount_writable(&self) {
        self.remount("remount,rw");
    }

    fn remount(&self, options: &str) {
        let dir = self.mounted_at.last().expect("it is mounted");
        run(Command::new("mount").args(["-o", options]).arg(dir));
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
        if let Some(server) = &mut self.server {
            // Unmounted, it ends by itself; where it hangs, the test has failed anyway.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn drawer() -> (TempDir, PathBuf) {
    let drawer = tempfile::Builder::new().prefix("shelflist-disk-").tempdir().expect("a temporary directory");
    let image = drawer.path().join("image");
    (drawer, image)
}

fn is_mount_point(dir: &Path) -> bool {
    let table = shelflist::volume::mount_table().expect("a mount table");
    table.iter().any(|mount| mount.mount_point == dir)
}

/// A device that shows an image, for programs that want a device.
fn loop_device(image: &Path) -> PathBuf {
    let output =
        Command::new("losetup").args(["--find", "--show"]).arg(image).output().expect("losetup starts");
    assert!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim_end().into()
}

/// The kernel keeps it for as long as somebody has it open.
fn let_go_when_unused(device: &Path) {
    run(Command::new("losetup").arg("--detach").arg(device));
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
