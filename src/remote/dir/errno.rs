//! What the operating system's error numbers mean for a store.

use std::io;

use rustix::io::Errno;

use crate::remote::{AwayReason, StoreError};

/// The error of a call that failed in `doing`.
///
/// `NOENT` counts as away only where the caller says so: inside a verified root it is about one file.
pub(super) fn store_error(store: &str, error: io::Error, doing: impl FnOnce() -> String) -> StoreError {
    let store = store.to_owned();
    let Some(errno) = Errno::from_io_error(&error) else {
        return StoreError::Io { store, doing: doing(), source: error };
    };
    match errno {
        Errno::NOSPC | Errno::DQUOT => StoreError::Full { store, source: error },
        Errno::ACCESS | Errno::PERM | Errno::ROFS => {
            StoreError::Denied { store, doing: doing(), source: error }
        }
        // The file system cannot hold this object: FAT's 4 GiB, eCryptfs' short names.
        Errno::FBIG | Errno::NAMETOOLONG => StoreError::Refused {
            store,
            doing: doing(),
            reason: "its file system cannot hold such a file".to_owned(),
            source: Some(error),
        },
        // NFS and SMB whose server went, FUSE whose process died, a device that was pulled.
        Errno::STALE
        | Errno::NODEV
        | Errno::NXIO
        | Errno::NOTCONN
        | Errno::SHUTDOWN
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::CONNABORTED
        | Errno::CONNREFUSED
        | Errno::CONNRESET
        | Errno::TIMEDOUT => StoreError::Away { store, reason: AwayReason::Unreachable, source: Some(error) },
        _ => StoreError::Io { store, doing: doing(), source: error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::ErrorClass;

    fn of(errno: Errno) -> StoreError {
        store_error("dir:/x", errno.into(), || "write object a".to_owned())
    }

    #[test]
    fn only_what_will_never_work_is_a_verdict() {
        // T5
        for errno in
            [Errno::NOSPC, Errno::DQUOT, Errno::ACCESS, Errno::ROFS, Errno::IO, Errno::STALE, Errno::AGAIN]
        {
            assert_eq!(of(errno).class(), ErrorClass::Channel, "{errno:?}");
        }
        assert_eq!(of(Errno::FBIG).class(), ErrorClass::Verdict);
    }

    #[test]
    fn a_full_disk_and_a_quota_are_both_full() {
        assert!(matches!(of(Errno::NOSPC), StoreError::Full { .. }));
        assert!(matches!(of(Errno::DQUOT), StoreError::Full { .. }));
        assert!(matches!(of(Errno::NOTCONN), StoreError::Away { reason: AwayReason::Unreachable, .. }));
    }
}
