//! Which of the files that appeared is which of those that were lost?

use std::collections::HashMap;

use crate::catalog::scans::Side;

/// Pairs files that were lost with files that appeared, by content. Of several candidates the one with the same name is
/// taken, then one in the same directory, then the first; each is used once.
#[must_use]
pub fn pair_moves(lost: &[Side], appeared: &[Side]) -> Vec<(i64, i64)> {
    let mut by_content: HashMap<[u8; 32], Vec<&Side>> = HashMap::new();
    for side in appeared {
        by_content.entry(side.content_hash).or_default().push(side);
    }
    let mut pairs = Vec::new();
    // The best kind of fit first, over all lost files: a later one with the right name must not find it taken.
    let mut open: Vec<&Side> = lost.iter().collect();
    for fit in [same_name as fn(&Side, &Side) -> bool, same_directory, |_, _| true] {
        open.retain(|side| {
            let Some(candidates) = by_content.get_mut(&side.content_hash) else { return false };
            match candidates.iter().position(|candidate| fit(side, candidate)) {
                Some(at) => {
                    pairs.push((side.file_id, candidates.remove(at).file_id));
                    false
                }
                None => !candidates.is_empty(),
            }
        });
    }
    pairs
}

fn same_name(a: &Side, b: &Side) -> bool {
    matches!((a.path.split(), b.path.split()), (Some((_, a)), Some((_, b))) if a == b)
}

fn same_directory(a: &Side, b: &Side) -> bool {
    matches!((a.path.split(), b.path.split()), (Some((a, _)), Some((b, _))) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(file_id: i64, content: u8, path: &str) -> Side {
        Side { file_id, content_hash: [content; 32], path: path.into() }
    }

    // L7
    #[test]
    fn a_file_with_the_same_name_is_preferred_over_one_that_comes_first() {
        let lost = [side(1, 7, "old/x"), side(2, 7, "old/y")];
        let appeared = [side(11, 7, "new/y"), side(12, 7, "new/x")];
        let mut pairs = pair_moves(&lost, &appeared);
        pairs.sort_unstable();
        assert_eq!(pairs, [(1, 12), (2, 11)]);
    }

    // L7
    #[test]
    fn each_file_is_paired_once_and_only_by_content() {
        let lost = [side(1, 7, "a"), side(2, 7, "b"), side(3, 8, "c")];
        let appeared = [side(11, 7, "z"), side(12, 9, "c")];
        assert_eq!(pair_moves(&lost, &appeared), [(1, 11)]);
        assert_eq!(pair_moves(&[], &appeared), []);
    }
}
