//! What only the operating system can say about mounts, a few small functions for each.
//!
//! Linux lists its mounts without touching them and names the mount of an open directory by number. macOS can only
//! be asked place by place (`statfs`), so there every question is put to the one place it is about; its list of all
//! mounts would ask network mounts for their properties, and a dead one does not answer.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::mounts::Mount;
use super::profile::DiskFacts;

/// Whether asking for all mounts leaves every one of them alone, so that it can be done with every look.
pub(super) const LISTING_TOUCHES_NOTHING: bool = cfg!(not(target_os = "macos"));

#[cfg(not(target_os = "macos"))]
pub use linux::mount_table;
#[cfg(not(target_os = "macos"))]
pub(super) use linux::{boot, carrier_by_path, carrier_of, disk_facts, mount_ticket, open_without_crossing};
#[cfg(target_os = "macos")]
pub use macos::mount_table;
#[cfg(target_os = "macos")]
pub(super) use macos::{boot, carrier_by_path, carrier_of, disk_facts, mount_ticket, open_without_crossing};

#[cfg(not(target_os = "macos"))]
mod linux {
    use super::{AsFd, DiskFacts, File, Mount, Path, io};
    use crate::volume::mounts::{mount_of, parse_mountinfo};
    use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat2, statx};
    use rustix::io::Errno;
    use std::os::fd::OwnedFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// All mounts, as the operating system lists them. None of them is touched.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn mount_table() -> io::Result<Vec<Mount>> {
        std::fs::read("/proc/self/mountinfo").map(|text| parse_mountinfo(&text))
    }

    /// The mount that carries a path, told without touching it.
    pub(in crate::volume) fn carrier_by_path(path: &Path) -> io::Result<Option<Mount>> {
        Ok(mount_of(&mount_table()?, path).cloned())
    }

    /// The mount that an open directory is on; `path` is where it was opened.
    pub(in crate::volume) fn carrier_of(dir: &File, path: &Path) -> io::Result<Option<Mount>> {
        // The number first: a mount that goes away in between is then not in the table, and the answer is "none".
        let id = ask(dir, StatxFlags::MNT_ID)?.map(|statx| statx.stx_mnt_id);
        let table = mount_table()?;
        Ok(match id {
            Some(id) => table.into_iter().find(|mount| mount.id == id),
            // Before Linux 5.8 the path must do.
            None => mount_of(&table, path).cloned(),
        })
    }

    /// A number that tells this mounting of a file system from the next one at the same place.
    pub(in crate::volume) fn mount_ticket(open: impl AsFd) -> io::Result<u64> {
        // STATX_MNT_ID_UNIQUE, since Linux 6.8: never dealt out again. The older id is, to the very next mount.
        let unique = StatxFlags::from_bits_retain(0x4000);
        let statx = match ask(&open, unique)? {
            Some(statx) => Some(statx),
            None => ask(&open, StatxFlags::MNT_ID)?,
        };
        Ok(statx.map_or(0, |statx| statx.stx_mnt_id))
    }

    /// What tells this run of the operating system from the next.
    pub(in crate::volume) fn boot() -> Option<String> {
        Some(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned())
    }

    /// What is known of the disk behind a device number. Only `/dev` and `/sys` are touched.
    pub(in crate::volume) fn disk_facts(device: u64, source: &Path) -> DiskFacts {
        // Of btrfs and the like the number is made up; what was mounted is a device all the same.
        let device = match rustix::fs::major(device) {
            0 if source.starts_with("/dev") => {
                std::fs::metadata(source).ok().map(|metadata| std::os::unix::fs::MetadataExt::rdev(&metadata))
            }
            0 => None,
            _ => Some(device),
        };
        device.map_or_else(DiskFacts::default, |device| {
            let number = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
            facts_in(&Path::new("/sys/dev/block").join(number), DEPTH)
        })
    }

    /// Disks that are made of disks that are made of disks.
    const DEPTH: u32 = 8;

    /// As `sysfs` shows a block device: a partition lies in the directory of its disk, what is made of others links to them
    /// under `slaves`, and the path names the bus.
    fn facts_in(device: &Path, depth: u32) -> DiskFacts {
        let Ok(device) = device.canonicalize() else { return DiskFacts::default() };
        let disk = if device.join("partition").exists() { device.parent() } else { Some(device.as_path()) };
        let Some(disk) = disk else { return DiskFacts::default() };
        let slaves = std::fs::read_dir(disk.join("slaves")).into_iter().flatten().flatten();
        let below: Vec<DiskFacts> =
            slaves.filter(|_| depth > 0).map(|slave| facts_in(&slave.path(), depth - 1)).collect();
        if !below.is_empty() {
            // One that spins makes all of it slow, and one that goes away takes it along.
            let worst = |fact: fn(&DiskFacts) -> Option<bool>| {
                let told = below.iter().map(fact).collect::<Option<Vec<bool>>>();
                match below.iter().any(|facts| fact(facts) == Some(true)) {
                    true => Some(true),
                    false => told.map(|_| false),
                }
            };
            return DiskFacts {
                rotational: worst(|facts| facts.rotational),
                removable: worst(|facts| facts.removable),
            };
        }
        let flag = |name: &str| match std::fs::read_to_string(disk.join(name)).ok()?.trim() {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        };
        let on = |bus: &str| disk.iter().any(|part| part.as_encoded_bytes().starts_with(bus.as_bytes()));
        // A virtual machine's disk says that it spins, whatever it is made of; a loop device says what it likes.
        let on_virtual_bus = on("virtio") || on("virtual") || on("vbd") || on("vmbus");
        let is_virtual = on_virtual_bus
            || ["device/vendor", "device/model"].iter().any(|name| {
                let made_by = std::fs::read_to_string(disk.join(name)).unwrap_or_default();
                ["QEMU", "VMware", "VBOX", "Virtual", "Msft"].iter().any(|maker| made_by.contains(maker))
            });
        let hot = on("usb") || on("mmc_host") || on("thunderbolt");
        DiskFacts {
            rotational: flag("queue/rotational").filter(|_| !is_virtual),
            removable: flag("removable").filter(|_| !is_virtual).map(|removable| removable || hot),
        }
    }

    /// Opens a name in an open directory, and fails with `EXDEV` where another mounting lies over it: one call for a file,
    /// where opening and then asking for its mount takes two. `None` where this system has no such call.
    pub(in crate::volume) fn open_without_crossing(
        dir: impl AsFd,
        name: &Path,
        flags: OFlags,
    ) -> Option<rustix::io::Result<OwnedFd>> {
        /// Asked once: before Linux 5.6 there is none, and some sandboxes forbid what they do not know.
        static ABSENT: AtomicBool = AtomicBool::new(false);
        if ABSENT.load(Ordering::Relaxed) {
            return None;
        }
        match openat2(dir, name, flags, Mode::empty(), ResolveFlags::NO_XDEV) {
            Err(Errno::NOSYS) => {
                ABSENT.store(true, Ordering::Relaxed);
                None
            }
            // The sandbox's no, or the file's: the ordinary call tells.
            Err(Errno::PERM) => None,
            opened => Some(opened),
        }
    }

    /// `None` where this kernel does not know what is asked for.
    fn ask(open: impl AsFd, what: StatxFlags) -> io::Result<Option<Statx>> {
        match statx(open, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, what) {
            Ok(statx) => Ok((statx.stx_mask & what.bits() != 0).then_some(statx)),
            Err(rustix::io::Errno::NOSYS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::os::unix::fs::symlink;

        /// A `sysfs` with these files, and links `name -> target`.
        fn sysfs(files: &[(&str, &str)], links: &[(&str, &str)]) -> tempfile::TempDir {
            let sys = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = sys.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            for (name, target) in links {
                let name = sys.path().join(name);
                std::fs::create_dir_all(name.parent().unwrap()).unwrap();
                symlink(sys.path().join(target), name).unwrap();
            }
            sys
        }

        const DISKS: &[(&str, &str)] = &[
            ("devices/pci/ata1/block/sda/queue/rotational", "1\n"),
            ("devices/pci/ata1/block/sda/removable", "0\n"),
            ("devices/pci/ata1/block/sda/sda1/partition", "1\n"),
            ("devices/pci/usb2/2-1/block/sdb/queue/rotational", "0\n"),
            ("devices/pci/usb2/2-1/block/sdb/removable", "0\n"),
            ("devices/pci/virtio1/block/vda/queue/rotational", "1\n"),
            ("devices/pci/virtio1/block/vda/removable", "0\n"),
            ("devices/pci/ata2/block/sdc/queue/rotational", "1\n"),
            ("devices/pci/ata2/block/sdc/removable", "0\n"),
            ("devices/pci/ata2/block/sdc/device/model", "VBOX HARDDISK   \n"),
            ("devices/virtual/block/dm-0/queue/rotational", "0\n"),
            ("devices/virtual/block/loop0/queue/rotational", "1\n"),
        ];

        // L10
        #[test]
        fn a_disk_is_known_through_partitions_and_mappings() {
            let sys = sysfs(
                DISKS,
                &[
                    ("dev/block/8:1", "devices/pci/ata1/block/sda/sda1"),
                    ("dev/block/8:16", "devices/pci/usb2/2-1/block/sdb"),
                    ("dev/block/253:0", "devices/virtual/block/dm-0"),
                    ("devices/virtual/block/dm-0/slaves/sda1", "devices/pci/ata1/block/sda/sda1"),
                    ("devices/virtual/block/dm-0/slaves/sdb", "devices/pci/usb2/2-1/block/sdb"),
                ],
            );
            let facts = |number: &str| facts_in(&sys.path().join("dev/block").join(number), DEPTH);
            let known = |rotational, removable| DiskFacts {
                rotational: Some(rotational),
                removable: Some(removable),
            };
            assert_eq!(facts("8:1"), known(true, false));
            assert_eq!(facts("8:16"), known(false, true), "a bus that one unplugs");
            assert_eq!(facts("253:0"), known(true, true), "made of both");
            assert_eq!(facts("9:9"), DiskFacts::default());
        }

        // One reader on a disk that does not spin would make the first scan of a virtual machine several times as long.
        #[test]
        fn a_virtual_disk_that_says_it_spins_is_not_believed() {
            let sys = sysfs(
                DISKS,
                &[
                    ("dev/block/254:0", "devices/pci/virtio1/block/vda"),
                    ("dev/block/7:0", "devices/virtual/block/loop0"),
                    ("dev/block/8:32", "devices/pci/ata2/block/sdc"),
                ],
            );
            for number in ["254:0", "7:0", "8:32"] {
                assert_eq!(facts_in(&sys.path().join("dev/block").join(number), DEPTH), DiskFacts::default());
            }
        }

        #[test]
        fn mappings_in_a_circle_come_to_an_end() {
            let sys = sysfs(
                DISKS,
                &[
                    ("dev/block/253:0", "devices/virtual/block/dm-0"),
                    ("devices/virtual/block/dm-0/slaves/dm-0", "devices/virtual/block/dm-0"),
                ],
            );
            assert_eq!(facts_in(&sys.path().join("dev/block/253:0"), DEPTH), DiskFacts::default());
        }
    }
}

#[cfg(target_os = "macos")]
mod macos {
    use super::{AsFd, DiskFacts, File, Mount, Path, io};
    use crate::volume::deadline;
    use rustix::fs::{StatFs, fstatfs, statfs};
    use std::ffi::{OsString, c_char};
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;
    use std::time::Duration;

    /// How long one volume may take to say what it is.
    const ONE_VOLUME: Duration = Duration::from_secs(2);
    /// `MNT_RDONLY` of `<sys/mount.h>`.
    const MNT_RDONLY: u32 = 1;

    /// The volumes of this computer: the system's and those in `/Volumes`. One that does not answer is left out.
    ///
    /// # Errors
    /// `/Volumes` cannot be listed.
    pub fn mount_table() -> io::Result<Vec<Mount>> {
        let mut places = vec![PathBuf::from("/"), PathBuf::from("/System/Volumes/Data")];
        for entry in std::fs::read_dir("/Volumes")? {
            places.push(entry?.path());
        }
        let mut table: Vec<Mount> = Vec::new();
        for place in places {
            let asked = place.clone();
            if let Ok(Ok(facts)) = deadline::within(&place, ONE_VOLUME, move || statfs(&asked)) {
                let mount = mount_from(&facts);
                // A plain directory or a link answers with the volume it lies on.
                if mount.mount_point == place {
                    table.push(mount);
                }
            }
        }
        Ok(table)
    }

    /// The mount that carries a path. A path that is not there is carried by what carries its nearest directory.
    pub(in crate::volume) fn carrier_by_path(path: &Path) -> io::Result<Option<Mount>> {
        for place in path.ancestors() {
            match statfs(place) {
                Ok(facts) => return Ok(Some(mount_from(&facts))),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                // The volume itself cannot say; opening the root will tell what is wrong.
                Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The mount that an open directory is on.
    pub(in crate::volume) fn carrier_of(dir: &File, _path: &Path) -> io::Result<Option<Mount>> {
        Ok(Some(mount_from(&fstatfs(dir)?)))
    }

    /// There is no number for one mounting of a file system here; device and inode must do.
    pub(in crate::volume) fn mount_ticket(_open: impl AsFd) -> io::Result<u64> {
        Ok(0)
    }

    /// Mountings have no numbers here, so there is none to compare with the last one's either.
    pub(in crate::volume) fn boot() -> Option<String> {
        None
    }

    /// The kinds of disks are told by IOKit alone, through frameworks that this program does without.
    pub(in crate::volume) fn disk_facts(_device: u64, _source: &Path) -> DiskFacts {
        DiskFacts::default()
    }

    /// There is no such call here.
    pub(in crate::volume) fn open_without_crossing(
        _dir: impl AsFd,
        _name: &Path,
        _flags: rustix::fs::OFlags,
    ) -> Option<rustix::io::Result<std::os::fd::OwnedFd>> {
        None
    }

    fn mount_from(facts: &StatFs) -> Mount {
        Mount {
            id: 0,
            parent: 0,
            mount_point: PathBuf::from(text(&facts.f_mntonname)),
            fs_type: text(&facts.f_fstypename).to_string_lossy().into_owned(),
            source: text(&facts.f_mntfromname),
            subroot: PathBuf::from("/"),
            read_only: facts.f_flags & MNT_RDONLY != 0,
            device: 0,
        }
    }

    fn text(field: &[c_char]) -> OsString {
        let bytes = field.iter().take_while(|&&byte| byte != 0).map(|&byte| byte.to_ne_bytes()[0]);
        OsString::from_vec(bytes.collect())
    }
}
