//! The mount table as plain data, and what can be told from it alone. Nothing here touches a file system.
//!
//! Linux gives the table as text, `/proc/self/mountinfo` (format: `proc_pid_mountinfo(5)`). Two of its traps shaped
//! this room. A mount point can carry several mounts, and only the topmost is seen; the order of the lines does not
//! tell which one (since Linux 6.8 they come in order of creation, and a mount can be moved), the parent ids do. And
//! a mount can be hidden altogether, by one over a directory above it. So [`mount_of`] walks down the tree of mounts
//! as the kernel walks down a path, and takes the longest prefix only where there are no ids to follow.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mounted file system, as the operating system lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The operating system's number of this mount; 0 where it gives none. Reused after an unmount.
    pub id: u64,
    /// The number of the mount it is mounted on; 0 where there is none.
    pub parent: u64,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its type, as the operating system names it: `ext4`, `fuse.sshfs`, `apfs`.
    pub fs_type: String,
    /// What is mounted: a device, `server:/export`, or any word.
    pub source: OsString,
    /// Which directory of the file system is seen at the mount point: `/` but for bind mounts and subvolumes.
    pub subroot: PathBuf,
    /// Mounted read-only, or its file system is.
    pub read_only: bool,
    /// Device number of the file system. On btrfs not the `st_dev` of its files.
    pub device: u64,
}

impl Mount {
    /// Whether what is mounted is reached over a network.
    #[must_use]
    pub fn is_network(&self) -> bool {
        is_network(&self.fs_type)
    }
}

/// The mounts in the text of `/proc/self/mountinfo`, in its order. A line that is not understood is left out: what it
/// mounts is then unknown, and no library on it is ever verified.
#[must_use]
pub fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    // Split at single spaces, not at runs: a source can be empty.
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let subroot = unescape(fields.next()?);
    let mount_point = PathBuf::from(OsString::from_vec(unescape(fields.next()?)));
    let options = fields.next()?;
    // Then any number of optional fields, closed by a dash.
    fields.by_ref().find(|&field| field == b"-")?;
    let fs_type = unescape(fields.next()?);
    let source = unescape(fields.next()?);
    let super_options = fields.next().unwrap_or_default();
    if !mount_point.is_absolute() || fs_type.is_empty() {
        return None;
    }
    Some(Mount {
        id,
        parent,
        mount_point,
        fs_type: String::from_utf8_lossy(&fs_type).into_owned(),
        source: OsString::from_vec(source),
        subroot: PathBuf::from(OsString::from_vec(subroot)),
        read_only: has_option(options, b"ro") || has_option(super_options, b"ro"),
        device,
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<u64> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some(device_number(major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(not(target_os = "macos"))]
fn device_number(major: u32, minor: u32) -> u64 {
    rustix::fs::makedev(major, minor)
}

/// There is no mountinfo here; the parser is only tested.
#[cfg(target_os = "macos")]
fn device_number(_major: u32, _minor: u32) -> u64 {
    0
}

fn has_option(options: &[u8], wanted: &[u8]) -> bool {
    options.split(|&byte| byte == b',').any(|option| option == wanted)
}

/// Undoes the kernel's `\ooo`: space, tab, newline and backslash inside a field are written in octal.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

/// The mount that carries `path`, told from the table alone. `path` must be absolute and without symbolic links, or
/// the answer is about another place.
#[must_use]
pub fn mount_of<'table>(table: &'table [Mount], path: &Path) -> Option<&'table Mount> {
    let carries = |mount: &&Mount| path.starts_with(&mount.mount_point);
    // The tree's root: the mount whose parent is not listed. Where there are no ids every mount is one, and then this
    // is the whole answer: the longest mount point, and of several the last.
    let mut current = table
        .iter()
        .filter(|mount| mount.parent == mount.id || table.iter().all(|other| other.id != mount.parent))
        .filter(carries)
        .max_by_key(|mount| mount.mount_point.components().count())?;
    // Down the path as the kernel goes: of the mounts on this one, the path meets the highest first. A table that was
    // read while it changed may hold a circle, hence the count.
    for _ in 0..table.len() {
        let below = table
            .iter()
            .filter(|mount| mount.parent == current.id && mount.id != current.id && current.id != 0)
            .filter(carries)
            .min_by_key(|mount| mount.mount_point.components().count());
        match below {
            Some(mount) => current = mount,
            None => return Some(current),
        }
    }
    None
}

/// Whether a file system of this type is reached over a network, and may therefore hang whoever touches it.
#[must_use]
pub fn is_network(fs_type: &str) -> bool {
    let kind = fs_type.strip_prefix("fuse.").or_else(|| fs_type.strip_prefix("macfuse_")).unwrap_or(fs_type);
    matches!(
        kind,
        "nfs"
            | "nfs3"
            | "nfs4"
            | "cifs"
            | "smb"
            | "smb2"
            | "smb3"
            | "smbfs"
            | "afpfs"
            | "afs"
            | "auristorfs"
            | "openafs"
            | "webdav"
            | "davfs"
            | "davfs2"
            | "ftp"
            | "ncpfs"
            | "9p"
            | "ceph"
            | "ceph-fuse"
            | "glusterfs"
            | "lustre"
            | "beegfs"
            | "beegfs_nodev"
            | "gpfs"
            | "orangefs"
            | "pvfs2"
            | "coda"
            | "moosefs"
            | "mfs"
            | "juicefs"
            | "JuiceFS"
            | "sshfs"
            | "rclone"
            | "s3fs"
            | "s3ql"
            | "goofys"
            | "geesefs"
            | "mountpoint-s3"
            | "gcsfuse"
            | "blobfuse"
            | "blobfuse2"
            | "curlftpfs"
            | "gvfsd-fuse"
            | "kio-fuse"
            | "portal"
            | "google-drive-ocamlfuse"
            | "onedriver"
    )
}

/// Whether a file system of this type holds no files of anybody: kernel tables, and what mounts others on touch.
#[must_use]
pub fn is_pseudo(fs_type: &str) -> bool {
    matches!(
        fs_type,
        "autofs"
            | "binfmt_misc"
            | "bpf"
            | "cgroup"
            | "cgroup2"
            | "configfs"
            | "debugfs"
            | "devfs"
            | "devpts"
            | "devtmpfs"
            | "efivarfs"
            | "fusectl"
            | "hugetlbfs"
            | "mqueue"
            | "nsfs"
            | "nullfs"
            | "proc"
            | "pstore"
            | "rpc_pipefs"
            | "securityfs"
            | "selinuxfs"
            | "sysfs"
            | "tracefs"
    )
}

/// Whether both names can mean the same file system on disk: drivers come under several names, and an update of the
/// operating system may change which one mounts a disk.
#[must_use]
pub fn is_same_kind(one: &str, other: &str) -> bool {
    fn family(fs_type: &str) -> &str {
        match fs_type {
            "ext2" | "ext3" | "ext4" => "ext",
            "msdos" | "vfat" => "fat",
            "ntfs" | "ntfs3" | "ufsd" | "ufsd_NTFS" | "ufsd_ntfs" | "tuxera_ntfs" | "fuse.ntfs-3g" => "ntfs",
            "exfat" | "fuse.exfat" | "texfat" => "exfat",
            "hfs" | "hfsplus" => "hfs",
            "nfs" | "nfs3" | "nfs4" => "nfs",
            "cifs" | "smb" | "smb2" | "smb3" | "smbfs" => "smb",
            "afs" | "auristorfs" | "openafs" => "afs",
            other => other,
        }
    }
    let (one, other) = (family(one), family(other));
    // ntfs-3g, exfat-fuse and their like all call themselves `fuseblk`.
    let of_disks = |family: &str| matches!(family, "ntfs" | "exfat" | "fat" | "hfs" | "ext");
    one == other || (one == "fuseblk" && of_disks(other)) || (other == "fuseblk" && of_disks(one))
}

/// Whether the file system id that `statvfs` gives is made of the volume's own UUID, and so stays the same wherever
/// and whenever it is mounted. For most types it is made of the device number, which is dealt out anew at each mount.
#[must_use]
pub fn fs_id_names_the_volume(fs_type: &str) -> bool {
    matches!(fs_type, "ext2" | "ext3" | "ext4")
}

/// Whether a file system of this type makes up inode numbers, so that a directory may have another one as soon as the
/// kernel has forgotten it and meets it again.
#[must_use]
pub fn makes_up_inodes(fs_type: &str) -> bool {
    fs_type.starts_with("fuse")
        || matches!(
            fs_type,
            "msdos" | "vfat" | "exfat" | "cifs" | "smb3" | "smbfs" | "9p" | "webdav" | "iso9660" | "udf"
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn mount(id: u64, parent: u64, mount_point: &str) -> Mount {
        Mount {
            id,
            parent,
            mount_point: mount_point.into(),
            fs_type: "ext4".into(),
            source: format!("/dev/{id}").into(),
            subroot: "/".into(),
            read_only: false,
            device: id,
        }
    }

    fn carrier(table: &[Mount], path: &str) -> Option<u64> {
        mount_of(table, Path::new(path)).map(|mount| mount.id)
    }

    #[test]
    fn every_field_of_a_line_is_read() {
        let table = parse_mountinfo(
            b"36 35 98:1 /mnt1 /mnt/my\\040disk\\011\\134 rw,noatime master:1 shared:2 - ext3 /dev/r\\040o ro,errors=continue\n",
        );
        assert_eq!(
            table,
            [Mount {
                id: 36,
                parent: 35,
                mount_point: "/mnt/my disk\t\\".into(),
                fs_type: "ext3".into(),
                source: "/dev/r o".into(),
                subroot: "/mnt1".into(),
                read_only: true,
                device: device_number(98, 1),
            }]
        );
    }

    #[test]
    fn lines_that_are_not_understood_are_left_out_alone() {
        let table = parse_mountinfo(
            b"garbage\n1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:x / /x rw - ext4 s rw\n3 1 8:2 / /y rw no dash\n\
              4 1 0:40 /@home /home rw - btrfs /dev/sdb1 rw,subvol=/@home\n5 1 0:41 / /z rw - fuse.weird  rw\n",
        );
        assert_eq!(table.iter().map(|mount| mount.id).collect::<Vec<_>>(), [1, 4, 5]);
        assert_eq!(table[1].subroot, Path::new("/@home"));
        assert_eq!(table[2].source, "");
    }

    #[test]
    fn a_mount_point_that_is_not_utf8_keeps_its_bytes() {
        let table = parse_mountinfo(b"1 0 8:1 / /caf\xe9 rw - ext4 x rw\n");
        assert_eq!(table[0].mount_point.as_os_str().as_encoded_bytes(), b"/caf\xe9");
    }

    #[test]
    fn the_longest_mount_point_by_names_carries_a_path() {
        let table = [mount(1, 0, "/"), mount(2, 1, "/media"), mount(3, 2, "/media/disk")];
        assert_eq!(carrier(&table, "/media/disk/lib"), Some(3));
        assert_eq!(carrier(&table, "/media/disk"), Some(3));
        assert_eq!(carrier(&table, "/media/disk-2/lib"), Some(2));
        assert_eq!(carrier(&table, "/home"), Some(1));
    }

    #[test]
    fn of_stacked_mounts_the_one_on_top_is_seen_whatever_their_order() {
        // Mount 2 was made first and then moved over mount 3: it is on top although it is listed first.
        let table = [mount(1, 0, "/"), mount(2, 3, "/media/disk"), mount(3, 1, "/media/disk")];
        assert_eq!(carrier(&table, "/media/disk/lib"), Some(2));
    }

    #[test]
    fn a_mount_hidden_by_one_above_it_carries_nothing() {
        let table = [mount(1, 0, "/"), mount(2, 1, "/media/disk"), mount(3, 1, "/media")];
        assert_eq!(carrier(&table, "/media/disk/lib"), Some(3));
    }

    #[test]
    fn without_ids_the_last_of_several_wins() {
        let table: Vec<Mount> = ["/", "/Volumes/A", "/Volumes/A"]
            .iter()
            .enumerate()
            .map(|(n, point)| Mount { device: n as u64, ..mount(0, 0, point) })
            .collect();
        assert_eq!(mount_of(&table, Path::new("/Volumes/A/x")).map(|mount| mount.device), Some(2));
        assert_eq!(mount_of(&table, Path::new("/Users")).map(|mount| mount.device), Some(0));
    }

    #[test]
    fn in_a_change_root_the_listed_part_of_the_tree_is_enough() {
        let table = [mount(7, 3, "/"), mount(8, 7, "/disk")];
        assert_eq!(carrier(&table, "/disk/lib"), Some(8));
        assert_eq!(carrier(&[mount(8, 7, "/disk")], "/elsewhere"), None);
    }

    #[test]
    fn a_table_with_a_circle_ends_without_an_answer() {
        let table = [mount(1, 0, "/"), mount(2, 3, "/a"), mount(3, 2, "/a"), mount(4, 1, "/b")];
        assert_eq!(carrier(&table, "/a/x"), Some(1));
        assert_eq!(carrier(&[mount(1, 1, "/"), mount(2, 1, "/"), mount(1, 2, "/")], "/x"), None);
    }

    #[rstest]
    #[case("nfs4", true)]
    #[case("cifs", true)]
    #[case("smb3", true)]
    #[case("fuse.sshfs", true)]
    #[case("fuse.rclone", true)]
    #[case("9p", true)]
    #[case("webdav", true)]
    #[case("ext4", false)]
    #[case("fuseblk", false)]
    #[case("fuse.mergerfs", false)]
    #[case("apfs", false)]
    #[case("overlay", false)]
    fn network_file_systems_are_known_by_type(#[case] fs_type: &str, #[case] network: bool) {
        assert_eq!(is_network(fs_type), network);
    }

    #[rstest]
    #[case("ntfs3", "fuseblk", true)]
    #[case("ext3", "ext4", true)]
    #[case("cifs", "smb3", true)]
    #[case("ext4", "xfs", false)]
    #[case("fuseblk", "nfs4", false)]
    #[case("exfat", "vfat", false)]
    fn one_disk_may_come_under_several_types(#[case] one: &str, #[case] other: &str, #[case] same: bool) {
        assert_eq!(is_same_kind(one, other), same);
        assert_eq!(is_same_kind(other, one), same);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in prop::collection::vec(any::<u8>(), 0..400), path in "(/[a-c]){0,4}") {
            let table = parse_mountinfo(&text);
            let _ = mount_of(&table, Path::new(&path));
        }

        #[test]
        fn no_tree_of_mounts_makes_the_walk_panic_or_hang(
            tree in prop::collection::vec((0u64..5, 0u64..5, "/([ab](/[ab]){0,2})?"), 0..8), path in "/[ab]/[ab]/[ab]"
        ) {
            let table: Vec<Mount> = tree.iter().map(|(id, parent, point)| mount(*id, *parent, point)).collect();
            if let Some(found) = mount_of(&table, Path::new(&path)) {
                prop_assert!(Path::new(&path).starts_with(&found.mount_point));
            }
        }

        #[test]
        fn a_path_comes_back_out_of_its_escapes(name in prop::collection::vec(1u8.., 1..30)) {
            let mut line = b"1 0 8:1 / /".to_vec();
            for &byte in &name {
                if matches!(byte, b' ' | b'\t' | b'\n' | b'\\') {
                    line.extend_from_slice(format!("\\{byte:03o}").as_bytes());
                } else {
                    line.push(byte);
                }
            }
            line.extend_from_slice(b" rw - ext4 /dev/sda1 rw");
            let table = parse_mountinfo(&line);
            prop_assert_eq!(&table[0].mount_point.as_os_str().as_encoded_bytes()[1..], &name[..]);
        }
    }
}
