//! Why a known file is read again: what `explain` tells of the last look (L13).
//!
//! Apart from the judgement, which is asked for every file of every scan and stops at the first difference; this is asked
//! only for what is read anyway.

use super::judge::StatRule;
use crate::catalog::files::KnownFile;
use crate::model::{FileKind, LookCause, Stat};
use crate::volume::profile::is_same_stamp;

/// Every reason there is, in order of weight; never empty for a file that is to be read.
pub(super) fn causes(known: &KnownFile, seen: &Stat, rule: &StatRule, full: bool) -> Vec<LookCause> {
    let before = &known.stat;
    let same = |a, b| is_same_stamp(a, b, rule.granularity_ns);
    let differs = [
        (LookCause::Kind, before.kind != seen.kind),
        (LookCause::Size, before.size != seen.size),
        (LookCause::Mtime, !same(before.mtime_ns, seen.mtime_ns)),
        (LookCause::Ctime, rule.ctime && !same(before.ctime_ns, seen.ctime_ns)),
        (LookCause::Inode, rule.inode && before.inode != seen.inode),
        (LookCause::Unproved, known.content_hash.is_none() && seen.kind == FileKind::Regular),
    ];
    let mut causes: Vec<LookCause> =
        differs.into_iter().filter_map(|(cause, holds)| holds.then_some(cause)).collect();
    if causes.is_empty() {
        causes.push(match (known.young, full) {
            (true, _) => LookCause::Young,
            (false, true) => LookCause::Full,
            (false, false) => LookCause::Back,
        });
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Presence;
    use rstest::rstest;

    const STAT: Stat =
        Stat { kind: FileKind::Regular, size: 5, mtime_ns: 100_000, ctime_ns: 100_000, inode: 7 };
    const PROVED: Option<[u8; 32]> = Some([0; 32]);

    // L13
    #[rstest]
    #[case::mtime(Stat { mtime_ns: 1, ..STAT }, PROVED, false, false, &[LookCause::Mtime])]
    #[case::an_edit(Stat { size: 6, mtime_ns: 1, ctime_ns: 1, ..STAT }, PROVED, false, false,
                    &[LookCause::Size, LookCause::Mtime, LookCause::Ctime])]
    #[case::what_means_nothing_here(Stat { inode: 8, ..STAT }, PROVED, false, true, &[LookCause::Full])]
    #[case::young(STAT, PROVED, true, true, &[LookCause::Young])]
    #[case::never_read(STAT, None, true, false, &[LookCause::Unproved])]
    #[case::a_link_where_a_file_was(Stat { kind: FileKind::Symlink, ..STAT }, None, false, false, &[LookCause::Kind])]
    #[case::back(STAT, PROVED, false, false, &[LookCause::Back])]
    fn a_look_has_its_causes(
        #[case] seen: Stat,
        #[case] content_hash: Option<[u8; 32]>,
        #[case] young: bool,
        #[case] full: bool,
        #[case] expected: &[LookCause],
    ) {
        let rule = StatRule { inode: false, ctime: true, doubt_ns: 1_000, granularity_ns: 1 };
        let known = KnownFile {
            file_id: 1,
            name: b"a".to_vec(),
            stat: STAT,
            young,
            presence: Presence::Present,
            content_hash,
            document_id: Some(1),
        };
        assert_eq!(causes(&known, &seen, &rule, full), expected);
    }
}
