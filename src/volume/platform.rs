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

#[cfg(not(target_os = "macos"))]
pub use linux::mount_table;
#[cfg(not(target_os = "macos"))]
pub(super) use linux::{carrier_by_path, carrier_of, mount_ticket, open_without_crossing};
#[cfg(target_os = "macos")]
pub use macos::mount_table;
#[cfg(target_os = "macos")]
pub(super) use macos::{carrier_by_path, carrier_of, mount_ticket, open_without_crossing};

#[cfg(not(target_os = "macos"))]
mod linux {
    use super::{AsFd, File, Mount, Path, io};
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
}

#[cfg(target_os = "macos")]
mod macos {
    use super::{AsFd, File, Mount, Path, io};
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
