//! Where a content is looked for, in which order. A pure decision: what is really there is found out by going.

use crate::catalog::ledger::RemoteObject;
use crate::catalog::query::FileCard;
use crate::model::{ObjectState, Presence, RelPath, Stat};

/// A place that may have a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of a library.
    Copy {
        /// Which library.
        library_id: i64,
        /// Where in it.
        path: RelPath,
        /// Its stat as last proved.
        stat: Stat,
    },
    /// An object in a store.
    Object {
        /// Which store.
        store_id: i64,
        /// What the store calls it.
        remote_id: String,
    },
}

/// Only from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Only {
    /// A library.
    Library(i64),
    /// A store.
    Store(i64),
}

/// The places to try, the best first: disks before stores, which may be far. Of the disks those that were here at the last
/// look (`was_here`), lest one that hangs is waited for while another has the file; of a disk's files the one that was asked
/// for, then those that were proved to be there. A store's object that waits for the clean-up is as good as any until it is
/// gone: it is held against the hash like all.
#[must_use]
pub fn plan(
    asked: &FileCard,
    copies: &[FileCard],
    objects: &[RemoteObject],
    was_here: &dyn Fn(i64) -> bool,
    only: Option<Only>,
) -> Vec<Source> {
    let mut copies: Vec<&FileCard> = copies
        .iter()
        .filter(|copy| copy.presence != Presence::Missing)
        .filter(|copy| match only {
            None => true,
            Some(Only::Library(library_id)) => copy.library_id == library_id,
            Some(Only::Store(_)) => false,
        })
        .collect();
    copies.sort_by_key(|copy| {
        let is_asked = copy.file_id == asked.file_id;
        (!was_here(copy.library_id), !is_asked, copy.presence != Presence::Present, copy.file_id)
    });
    let mut objects: Vec<&RemoteObject> = objects
        .iter()
        .filter(|object| match only {
            None => true,
            Some(Only::Library(_)) => false,
            Some(Only::Store(store_id)) => object.store_id == store_id,
        })
        .collect();
    objects.sort_by_key(|object| (object.state != ObjectState::Current, object.object_id));
    // Several rows may stand for one object of a store.
    let mut sources: Vec<Source> = Vec::new();
    let copies = copies.into_iter().map(|copy| Source::Copy {
        library_id: copy.library_id,
        path: copy.path.clone(),
        stat: copy.stat,
    });
    let objects = objects
        .into_iter()
        .map(|object| Source::Object { store_id: object.store_id, remote_id: object.remote_id.clone() });
    for source in copies.chain(objects) {
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileKind, FileStatus, Payload};

    fn copy(file_id: i64, library_id: i64, presence: Presence) -> FileCard {
        FileCard {
            file_id,
            library_id,
            path: RelPath::from(format!("file-{file_id}").as_str()),
            stat: Stat { kind: FileKind::Regular, size: 1, mtime_ns: 0, ctime_ns: 0, inode: 1 },
            content_hash: Some([1; 32]),
            link_target: None,
            document_id: Some(1),
            presence,
            evidence: None,
            missing_since: None,
            first_seen: 0,
            last_seen: 0,
            hashed_at: Some(0),
            status: FileStatus::Pending,
            title: None,
        }
    }

    fn object(object_id: i64, store_id: i64, state: ObjectState) -> RemoteObject {
        RemoteObject {
            object_id,
            store_id,
            document_id: 1,
            payload: Payload::Original,
            server_id: None,
            remote_expires_at: None,
            remote_id: "original/01".to_owned(),
            upload_hash: [1; 32],
            bytes: 1,
            content_hash: [1; 32],
            state,
            cause: None,
            orphaned_at: None,
            uploaded_at: None,
        }
    }

    /// `c7` is the copy with number 7, `s3` the object in store 3.
    fn order(asked: &FileCard, copies: &[FileCard], objects: &[RemoteObject], only: Option<Only>) -> String {
        let names = plan(asked, copies, objects, &|library_id| library_id != 9, only);
        let names = names.iter().map(|source| match source {
            Source::Copy { path, .. } => path.display().replace("file-", "c"),
            Source::Object { store_id, .. } => format!("s{store_id}"),
        });
        names.collect::<Vec<_>>().join(" ")
    }

    // S11
    #[test]
    fn disks_that_are_here_come_first_then_disks_that_are_away_then_stores() {
        let copies = [
            copy(1, 9, Presence::Present),
            copy(2, 1, Presence::Unknown),
            copy(3, 1, Presence::Present),
            copy(4, 2, Presence::Missing),
            copy(5, 2, Presence::Present),
        ];
        let objects = [
            object(1, 1, ObjectState::Orphaned),
            object(2, 2, ObjectState::Current),
            object(3, 2, ObjectState::Orphaned),
        ];
        assert_eq!(order(&copies[4], &copies, &objects, None), "c5 c3 c2 c1 s2 s1");
        assert_eq!(order(&copies[0], &copies, &objects, None), "c3 c5 c2 c1 s2 s1");
        assert_eq!(order(&copies[3], &copies, &objects, Some(Only::Library(1))), "c3 c2");
        assert_eq!(order(&copies[3], &copies, &objects, Some(Only::Store(1))), "s1");
    }
}
