//! What the catalogue keeps to recognise the volume that carries a library, beside the marker.
//!
//! The marker says which library it is; this says which disk it was on. It is what tells a disk from its copy, makes
//! the messages name a disk instead of a path, and stands in where the user did not want a marker. Labels and UUIDs
//! are hints: Linux has them only where udev runs.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::deadline::{NoAnswer, within};
use super::mounts::Mount;
use super::platform;

/// What is known of the volume that carries a library. Kept as JSON; fields added later must have a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Where the volume was mounted.
    #[serde(with = "bytes_safe")]
    pub mount_point: PathBuf,
    /// Its type, as the operating system names it.
    pub fs_type: String,
    /// What was mounted: a device, `server:/export`, or any word.
    #[serde(with = "bytes_safe")]
    pub source: OsString,
    /// What people call the disk: the volume's label, else the last name of its mount point.
    pub label: Option<String>,
    /// `f_fsid` of `statvfs`, hexadecimal. Of many types of file system not the same after the next mount.
    pub fs_id: Option<String>,
    /// The volume's UUID, where the operating system tells it.
    pub uuid: Option<String>,
    /// Inode number of the root directory; not stable on every file system.
    pub root_inode: u64,
    /// Whether the library does not live on the root file system `/`: then it can be away.
    pub separate_mount: bool,
}

/// Why a volume could not be identified.
#[derive(Debug, thiserror::Error)]
pub enum IdentifyError {
    /// The root cannot be looked at: not there, no directory, not allowed, broken.
    #[error("{} cannot be looked at", root.display())]
    NotReadable {
        /// The root.
        root: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The root is not there in the way its path says: relative, or through a symbolic link.
    #[error("{} is really {}", root.display(), canonical.display())]
    NotCanonical {
        /// The root as it was given.
        root: PathBuf,
        /// Where it really is.
        canonical: PathBuf,
    },
    /// No mount in the operating system's table carries the root.
    #[error("no mounted volume carries {}", root.display())]
    NoMount {
        /// The root.
        root: PathBuf,
    },
    /// The library is not on the volume that the user expects it on: most likely that one is not mounted.
    #[error("{} is on the volume mounted at {}, not at {}", root.display(), actual.display(), expected.display())]
    OtherMountPoint {
        /// The root.
        root: PathBuf,
        /// The mount point that was asked for.
        expected: PathBuf,
        /// The mount point of the volume that carries the root.
        actual: PathBuf,
    },
    /// The look did not come back.
    #[error("{} does not answer", root.display())]
    NoAnswer {
        /// The root.
        root: PathBuf,
        /// How it failed.
        source: NoAnswer,
    },
}

/// What tells the volume under `root` from others. `mount_point`, where the user gave one, must be where that volume
/// is mounted: so nobody makes a library in the empty directory that an absent disk left behind.
///
/// `root` must be canonical, for what is kept of it is compared with mount points as text.
///
/// # Errors
/// Every case of [`IdentifyError`]; nothing is guessed.
pub fn identify(
    root: &Path,
    mount_point: Option<&Path>,
    deadline: Duration,
) -> Result<Identity, IdentifyError> {
    let (place, given) = (root.to_owned(), mount_point.map(Path::to_owned));
    within(root, deadline, move || identify_now(&place, given.as_deref()))
        .map_err(|source| IdentifyError::NoAnswer { root: root.to_owned(), source })?
}

fn identify_now(root: &Path, mount_point: Option<&Path>) -> Result<Identity, IdentifyError> {
    let not_readable = |source: std::io::Error| IdentifyError::NotReadable { root: root.to_owned(), source };
    let canonical = std::fs::canonicalize(root).map_err(not_readable)?;
    if canonical != root {
        return Err(IdentifyError::NotCanonical { root: root.to_owned(), canonical });
    }
    let dir = File::open(root).map_err(not_readable)?;
    let metadata = dir.metadata().map_err(not_readable)?;
    if !metadata.is_dir() {
        return Err(not_readable(std::io::ErrorKind::NotADirectory.into()));
    }
    let mount = platform::carrier_of(&dir, root)
        .map_err(not_readable)?
        .ok_or_else(|| IdentifyError::NoMount { root: root.to_owned() })?;
    if let Some(expected) = mount_point
        && expected.canonicalize().map_err(not_readable)? != mount.mount_point
    {
        return Err(IdentifyError::OtherMountPoint {
            root: root.to_owned(),
            expected: expected.to_owned(),
            actual: mount.mount_point,
        });
    }
    let statvfs = rustix::fs::fstatvfs(&dir).map_err(|error| not_readable(error.into()))?;
    let last_name =
        || mount.mount_point.file_name().map(|name| crate::model::path::display_name(name.as_bytes()));
    Ok(Identity {
        label: hint(&mount, "/dev/disk/by-label").or_else(last_name),
        fs_id: fs_id_text(statvfs.f_fsid),
        uuid: hint(&mount, "/dev/disk/by-uuid"),
        root_inode: metadata.ino(),
        separate_mount: is_separate(&mount.mount_point),
        mount_point: mount.mount_point,
        fs_type: mount.fs_type,
        source: mount.source,
    })
}

/// Whether what is mounted there can go away while the computer runs on. The data volume of macOS cannot: it is the
/// other half of `/`.
fn is_separate(mount_point: &Path) -> bool {
    mount_point != Path::new("/") && mount_point != Path::new("/System/Volumes/Data")
}

/// `f_fsid` as text; a file system that has none says 0.
pub(super) fn fs_id_text(fs_id: u64) -> Option<String> {
    (fs_id != 0).then(|| format!("{fs_id:016x}"))
}

/// The UUID of what is mounted, where the operating system tells it.
pub(super) fn uuid_of(mount: &Mount) -> Option<String> {
    hint(mount, "/dev/disk/by-uuid")
}

/// The name under which udev links to the device that is mounted. Only `/dev` is touched.
fn hint(mount: &Mount, links: &str) -> Option<String> {
    // Of btrfs and the like the table's device number is made up; its source is a device all the same.
    let source = Path::new(&mount.source);
    let of_source = if source.starts_with("/dev") {
        std::fs::metadata(source).ok().map(|metadata| metadata.rdev())
    } else {
        None
    };
    for entry in std::fs::read_dir(links).ok()?.flatten() {
        let Ok(metadata) = std::fs::metadata(entry.path()) else { continue };
        if metadata.rdev() == mount.device || Some(metadata.rdev()) == of_source {
            return Some(crate::model::path::display_name(&udev_unescape(entry.file_name().as_bytes())));
        }
    }
    None
}

/// udev writes what is awkward in a file name as `\xNN`.
fn udev_unescape(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'\\', [b'x', hex @ ..]) => hex
                .get(..2)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Names in JSON: a string where they are UTF-8, else `{"base64": ...}`. What goes in comes out, byte for byte.
mod bytes_safe {
    use super::{
        Deserialize, Deserializer, Engine, OsStr, OsStrExt, OsString, OsStringExt, STANDARD, Serialize,
        Serializer,
    };
    use serde::de::Error;

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Name {
        Text(String),
        Bytes { base64: String },
    }

    pub(super) fn serialize<S: Serializer>(
        name: &impl AsRef<OsStr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let name = name.as_ref();
        match name.to_str() {
            Some(text) => Name::Text(text.to_owned()),
            None => Name::Bytes { base64: STANDARD.encode(name.as_bytes()) },
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: From<OsString>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let bytes = match Name::deserialize(deserializer)? {
            Name::Text(text) => text.into_bytes(),
            Name::Bytes { base64 } => STANDARD.decode(base64).map_err(D::Error::custom)?,
        };
        Ok(T::from(OsString::from_vec(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_secs(60);

    fn identity(mount_point: PathBuf, source: OsString) -> Identity {
        Identity {
            mount_point,
            fs_type: "ext4".into(),
            source,
            label: Some("SHELF".into()),
            fs_id: fs_id_text(0xabc),
            uuid: None,
            root_inode: 12,
            separate_mount: true,
        }
    }

    #[test]
    fn the_json_of_an_identity_is_plain_where_its_names_are() {
        let json = serde_json::to_string(&identity("/media/disk".into(), "/dev/sda1".into())).unwrap();
        insta::assert_snapshot!(json, @r#"{"mount_point":"/media/disk","fs_type":"ext4","source":"/dev/sda1","label":"SHELF","fs_id":"0000000000000abc","uuid":null,"root_inode":12,"separate_mount":true}"#);
        let odd = identity(OsString::from_vec(b"/caf\xe9".to_vec()).into(), "x".into());
        let json = serde_json::to_value(&odd).unwrap();
        assert_eq!(json["mount_point"]["base64"], "L2NhZuk=");
    }

    proptest! {
        #[test]
        fn names_come_back_byte_for_byte(point in prop::collection::vec(any::<u8>(), 0..20), source in any::<Vec<u8>>()) {
            let one = identity(OsString::from_vec(point).into(), OsString::from_vec(source));
            let json = serde_json::to_string(&one).unwrap();
            prop_assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), one);
        }

        #[test]
        fn no_name_of_udev_makes_us_panic(name in prop::collection::vec(prop::sample::select(b"\\x2f0aG".to_vec()), 0..12)) {
            let _ = udev_unescape(&name);
        }
    }

    #[test]
    fn labels_with_spaces_are_read_as_people_wrote_them() {
        assert_eq!(udev_unescape(br"My\x20Disk\x"), br"My Disk\x");
        assert_eq!(udev_unescape(br"a\x2"), br"a\x2");
    }

    // L1
    #[test]
    fn a_directory_here_is_identified_by_its_inode_and_its_mount() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let identity = identify(&root, None, LONG).unwrap();
        assert_eq!(identity.root_inode, std::fs::metadata(&root).unwrap().ino());
        assert!(root.starts_with(&identity.mount_point));
        assert_eq!(identity.separate_mount, identity.mount_point != Path::new("/"));
    }

    #[test]
    fn nothing_is_guessed_about_a_root_that_is_not_plainly_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().canonicalize().unwrap();
        std::fs::create_dir(place.join("real")).unwrap();
        std::os::unix::fs::symlink("real", place.join("link")).unwrap();
        std::fs::write(place.join("file"), "").unwrap();

        let fails = |name: &str, point: Option<&Path>| identify(&place.join(name), point, LONG).unwrap_err();
        assert!(matches!(fails("missing", None), IdentifyError::NotReadable { .. }));
        assert!(matches!(fails("file", None), IdentifyError::NotReadable { .. }));
        assert!(matches!(fails("link", None), IdentifyError::NotCanonical { .. }));
        assert!(matches!(fails("real", Some(&place)), IdentifyError::OtherMountPoint { .. }));
    }
}
