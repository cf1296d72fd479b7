//! Which of the files that appeared is which of those that were lost?
//!
//! Hard facts come before guesses: what has the inode number, size and modification time of a lost file is that file, whatever
//! else has the same content; it is the only evidence there is for files that are empty or could not be read. A rename
//! changes ctime, so that is not asked. An inode number alone proves nothing, because a file system gives it to the next
//! file as soon as it is free.
//!
//! A file may be lost although something stands at its place: another file was moved there. Two files that were swapped
//! are lost from their places, and appeared at each other's.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

use crate::catalog::moves::Side;
use crate::model::FileKind;

/// Pairs files that were lost with files that appeared; each is used once. `inodes` says whether inode numbers mean
/// something on the volume.
///
/// Of several candidates the one with the same name is taken, then one in the same directory, then the first by path: the
/// answer does not depend on the order in which the files were read.
#[must_use]
pub fn pair_moves<'a>(lost: &'a [Side], appeared: &'a [Side], inodes: bool) -> Vec<(&'a Side, &'a Side)> {
    let mut open: Vec<&Side> = lost.iter().collect();
    let mut found: Vec<&Side> = appeared.iter().collect();
    // What is gone, and since this scan, comes first: where there is one place for two, the other is lost either way.
    open.sort_by_key(|side| (side.missing, side.in_place, &side.path));
    found.sort_by_key(|side| &side.path);
    let mut pairs = Vec::new();
    if inodes {
        pair_by(&same_inode, &mut open, &mut found, &mut pairs);
        // A rename keeps the inode number. What was replaced, and whose number is nowhere, was overwritten: an equal
        // content elsewhere is a copy of it.
        open.retain(|side| !side.in_place);
    }
    pair_by(&same_content, &mut open, &mut found, &mut pairs);
    pairs
}

type Pairs<'a> = Vec<(&'a Side, &'a Side)>;

/// What the pairs say about what was counted while the files were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Files that were found at another place.
    pub moved: u64,
    /// Of these, the ones that something else was put in the place of: they count as changed until now, and were not.
    pub replaced: u64,
    /// Places that this scan counted as modified, and where nothing was lost by it.
    pub modified: u64,
    /// Places that this scan counted as new, and where a known file stands.
    pub new: u64,
    /// Places that it counted as modified, and where a new file stands.
    pub new_in_place: u64,
}

/// Counts what was moved. A place that a known file left, and that no known file took, has a new one.
#[must_use]
pub fn tally(pairs: &[(&Side, &Side)]) -> Tally {
    let taken: HashSet<i64> = pairs.iter().filter(|(_, to)| to.in_place).map(|(_, to)| to.file_id).collect();
    let left: HashSet<i64> =
        pairs.iter().filter(|(from, _)| from.in_place).map(|(from, _)| from.file_id).collect();
    let mut tally = Tally { moved: pairs.len() as u64, ..Tally::default() };
    for (lost, appeared) in pairs {
        // A link that a file was moved over had no content that could be lost.
        let over_a_link = appeared.in_place && appeared.counted && !left.contains(&appeared.file_id);
        tally.modified += u64::from(over_a_link);
        tally.replaced += u64::from(lost.in_place);
        tally.modified += u64::from(lost.in_place && lost.counted);
        tally.new += u64::from(!appeared.in_place && appeared.counted);
        tally.new_in_place += u64::from(lost.in_place && lost.counted && !taken.contains(&lost.file_id));
    }
    tally
}

/// Pairs what has the same `key`, and takes what was paired out of both lists.
fn pair_by<'a, K: Hash + Eq>(
    key: &dyn Fn(&'a Side) -> Option<K>,
    open: &mut Vec<&'a Side>,
    found: &mut Vec<&'a Side>,
    pairs: &mut Pairs<'a>,
) {
    // The best kind of fit first, over all lost files: a later one with the right name must not find it taken.
    for fit in [name as fn(&Side) -> &[u8], directory, anywhere] {
        let mut by_key: HashMap<(K, &[u8]), VecDeque<usize>> = HashMap::new();
        for (at, side) in found.iter().copied().enumerate() {
            if let Some(key) = key(side) {
                by_key.entry((key, fit(side))).or_default().push_back(at);
            }
        }
        let mut taken = vec![false; found.len()];
        open.retain(|side| {
            let Some(key) = key(side) else { return true };
            let Some(candidates) = by_key.get_mut(&(key, fit(side))) else { return true };
            let Some(at) = candidates.iter().position(|&at| can_be(side, found[at])) else { return true };
            let at = candidates.remove(at).expect("it was just found there");
            taken[at] = true;
            pairs.push((side, found[at]));
            false
        });
        let mut taken = taken.into_iter();
        found.retain(|_| !taken.next().expect("one for each"));
    }
}

fn same_inode(side: &Side) -> Option<(FileKind, u64, u64, i64)> {
    Some((side.stat.kind, side.stat.inode, side.stat.size, side.stat.mtime_ns))
}

/// Empty files are no evidence of anything.
fn same_content(side: &Side) -> Option<[u8; 32]> {
    side.content_hash.filter(|_| side.stat.size > 0)
}

/// Nothing that is known speaks against it.
fn can_be(lost: &Side, appeared: &Side) -> bool {
    let other_content = matches!((lost.content_hash, appeared.content_hash), (Some(a), Some(b)) if a != b);
    // A copy that was there while the lost file was still at its place is a copy.
    !other_content && lost.link_target == appeared.link_target && lost.scan < appeared.scan
}

fn name(side: &Side) -> &[u8] {
    let path = side.path.as_bytes();
    &path[path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1)..]
}

fn directory(side: &Side) -> &[u8] {
    let path = side.path.as_bytes();
    &path[..path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)]
}

fn anywhere(_: &Side) -> &[u8] {
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Stat;

    /// A file of 5 bytes that was there in scan 1, or appeared in scan 2.
    fn side(file_id: i64, inode: u64, content: u8, path: &str) -> Side {
        Side {
            file_id,
            path: path.into(),
            stat: Stat { kind: FileKind::Regular, size: 5, mtime_ns: 100, ctime_ns: 0, inode },
            content_hash: Some([content; 32]),
            link_target: None,
            scan: if file_id < 10 { 1 } else { 2 },
            in_place: false,
            missing: false,
            counted: file_id >= 10,
        }
    }

    fn paired(lost: &[Side], appeared: &[Side], inodes: bool) -> Vec<(i64, i64)> {
        let mut pairs: Vec<(i64, i64)> =
            pair_moves(lost, appeared, inodes).into_iter().map(|(a, b)| (a.file_id, b.file_id)).collect();
        pairs.sort_unstable();
        pairs
    }

    // L7
    #[test]
    fn a_file_with_the_same_name_is_preferred_over_one_that_comes_first() {
        let lost = [side(1, 0, 7, "old/x"), side(2, 0, 7, "old/y")];
        let appeared = [side(11, 0, 7, "new/y"), side(12, 0, 7, "new/x")];
        assert_eq!(paired(&lost, &appeared, false), [(1, 12), (2, 11)]);
    }

    // L7
    #[test]
    fn each_file_is_paired_once_and_only_by_content() {
        let lost = [side(1, 0, 7, "a"), side(2, 0, 7, "b"), side(3, 0, 8, "c")];
        let appeared = [side(11, 0, 7, "z"), side(12, 0, 9, "c")];
        assert_eq!(paired(&lost, &appeared, false), [(1, 11)]);
        assert_eq!(paired(&[], &appeared, false), []);
    }

    // L7
    #[test]
    fn of_several_copies_the_one_with_the_inode_is_it() {
        let lost = [side(1, 70, 7, "a"), side(2, 71, 7, "b")];
        let appeared = [side(11, 71, 7, "a"), side(12, 70, 7, "c")];
        assert_eq!(paired(&lost, &appeared, true), [(1, 12), (2, 11)]);
        assert_eq!(paired(&lost, &appeared, false), [(1, 11), (2, 12)], "where the number means nothing");
    }

    // L7
    #[test]
    fn an_inode_number_that_was_given_to_another_file_proves_nothing() {
        let lost = [side(1, 70, 7, "a")];
        assert_eq!(paired(&lost, &[side(11, 70, 8, "b")], true), [], "another content");
        let mut later = side(11, 70, 7, "b");
        later.content_hash = None;
        assert_eq!(paired(&lost, &[later.clone()], true), [(1, 11)], "not read, nothing speaks against it");
        later.stat.mtime_ns = 101;
        assert_eq!(paired(&lost, &[later.clone()], true), []);
        later.stat = Stat { size: 6, mtime_ns: 100, ..later.stat };
        assert_eq!(paired(&lost, &[later.clone()], true), []);
        later.stat = Stat { size: 5, kind: FileKind::Symlink, ..later.stat };
        assert_eq!(paired(&lost, &[later], true), []);
    }

    // L7: no content tells them apart, and there is nothing in the content to pair them by
    #[test]
    fn empty_files_and_links_are_paired_by_inode_alone() {
        let empty = |file_id, inode, path| {
            let mut side = side(file_id, inode, 0, path);
            side.stat.size = 0;
            side
        };
        let lost = [empty(1, 70, "a"), empty(2, 71, "b")];
        let appeared = [empty(11, 71, "x"), empty(12, 70, "y")];
        assert_eq!(paired(&lost, &appeared, true), [(1, 12), (2, 11)]);
        assert_eq!(paired(&lost, &appeared, false), []);

        let link = |file_id, target: &[u8]| {
            let mut side = side(file_id, 70, 0, "l");
            (side.stat.kind, side.content_hash) = (FileKind::Symlink, None);
            side.link_target = Some(target.to_vec());
            side
        };
        assert_eq!(paired(&[link(1, b"x")], &[link(11, b"x")], true), [(1, 11)]);
        assert_eq!(paired(&[link(1, b"x")], &[link(11, b"y")], true), []);
    }

    // L6, L7: what has been missing for long was not moved a moment ago
    #[test]
    fn what_was_there_at_the_last_scan_is_preferred() {
        let missing = Side { missing: true, ..side(1, 0, 7, "a") };
        assert_eq!(paired(&[missing.clone(), side(2, 0, 7, "b")], &[side(11, 0, 7, "c")], false), [(2, 11)]);
        assert_eq!(paired(&[missing], &[side(11, 0, 7, "c")], false), [(1, 11)]);
    }

    // L15
    #[test]
    fn a_copy_that_was_there_before_is_not_where_a_file_went() {
        let mut copy = side(11, 71, 7, "copy");
        copy.scan = 1;
        assert_eq!(paired(&[side(1, 70, 7, "a")], &[copy], true), []);
    }

    // L7
    #[test]
    fn files_that_were_swapped_are_at_each_others_place() {
        let was =
            |file_id, inode, content, path| Side { in_place: true, ..side(file_id, inode, content, path) };
        let is = |file_id, inode, content, path| Side { scan: 2, ..was(file_id, inode, content, path) };
        let lost = [was(1, 70, 7, "a"), was(2, 71, 8, "b")];
        let appeared = [is(1, 71, 8, "a"), is(2, 70, 7, "b")];
        assert_eq!(paired(&lost, &appeared, true), [(1, 2), (2, 1)]);
        assert_eq!(paired(&lost, &appeared, false), [(1, 2), (2, 1)]);
    }

    // L15: an editor wrote it anew, and somebody had made a copy before
    #[test]
    fn a_copy_of_what_was_overwritten_is_a_copy() {
        let was = Side { in_place: true, ..side(1, 70, 7, "a") };
        assert_eq!(paired(std::slice::from_ref(&was), &[side(11, 75, 7, "copy")], true), []);
        assert_eq!(paired(&[was], &[side(11, 70, 7, "away")], true), [(1, 11)]);
    }

    // D6: what the guard is asked about is what is left
    #[test]
    fn what_was_moved_is_neither_new_nor_changed() {
        let new = |file_id| Side { in_place: false, ..side(file_id, 0, 7, "x") };
        let was = |file_id| Side { in_place: true, counted: true, ..side(file_id, 0, 7, "x") };
        let place = |file_id| Side { in_place: true, counted: false, ..side(file_id, 0, 7, "x") };
        let gone = side(9, 0, 7, "gone");
        // a and b swapped.
        let swap = tally(&[(&was(1), &place(2)), (&was(2), &place(1))]);
        assert_eq!(swap, Tally { moved: 2, replaced: 2, modified: 2, ..Tally::default() });
        // 9 to 1, 1 to 2, 2 to the new name 11.
        let chain = tally(&[(&gone, &place(1)), (&was(1), &place(2)), (&was(2), &new(11))]);
        assert_eq!(chain, Tally { moved: 3, replaced: 2, modified: 2, new: 1, new_in_place: 0 });
        // 1 to the new name 11, and a new file in its place.
        let aside = tally(&[(&was(1), &new(11))]);
        assert_eq!(aside, Tally { moved: 1, replaced: 1, modified: 1, new: 1, new_in_place: 1 });
        // 9 over 1: what 1 was is nowhere, and stays a change.
        assert_eq!(tally(&[(&gone, &place(1))]), Tally { moved: 1, ..Tally::default() });
        let link = Side { counted: true, ..place(1) };
        assert_eq!(tally(&[(&gone, &link)]), Tally { moved: 1, modified: 1, ..Tally::default() });
    }

    #[test]
    fn many_copies_of_one_content_are_paired_in_good_time() {
        let lost: Vec<Side> = (1..20_000).map(|n| side(-n, 0, 7, &format!("old/{n}"))).collect();
        let appeared: Vec<Side> = (1..20_000).map(|n| side(n + 10, 0, 7, &format!("new/x{n}"))).collect();
        assert_eq!(pair_moves(&lost, &appeared, false).len(), lost.len());
    }
}
