//! What a store was seen to hold, for the life of a way to it: its list is 500 requests for 10,000 documents, and who looks for
//! lost answers asks about one key after the other.
//!
//! What this way puts and removes itself is followed. What it may have put (an answer that was lost) makes the list one of
//! yesterday: the next question lists anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::super::{Readiness, RemoteName};
use crate::remote::{ObjectKey, StoreError};

/// One document of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: RemoteName,
    pub(super) readiness: Readiness,
    /// None, for one that was put just now, is the newest.
    pub(super) created: Option<Timestamp>,
}

impl Seen {
    /// The best is the greatest: one that can be found before one that may be, and that before one that failed; of equals the
    /// newest, then the one of the smaller name, so that all devices choose the same.
    fn worth(&self) -> impl Ord + use<'_> {
        let readiness = match self.readiness {
            Readiness::Searchable => 3,
            Readiness::NotYet => 2,
            Readiness::Failed(_) => 1,
            Readiness::Gone => 0,
        };
        (readiness, self.created.unwrap_or(Timestamp::MAX), std::cmp::Reverse(&self.name))
    }
}

type ByKey = HashMap<ObjectKey, Vec<Seen>>;

#[derive(Debug, Default)]
struct Memory {
    /// With how many doubts there were when it was begun.
    listed: Option<(u64, ByKey)>,
    /// Put by this way.
    put: ByKey,
    doubts: u64,
}

/// See above.
#[derive(Debug, Default)]
pub(super) struct Held {
    memory: Mutex<Memory>,
    /// Held while it is listed: two threads that ask at once list once.
    listing: Mutex<()>,
}

impl Held {
    /// It has this, from now on.
    pub(super) fn add(&self, key: &ObjectKey, name: &RemoteName) {
        let seen = Seen { name: name.clone(), readiness: Readiness::NotYet, created: None };
        self.lock().put.entry(key.clone()).or_default().push(seen);
    }

    /// It has not, from now on.
    pub(super) fn drop_name(&self, name: &RemoteName) {
        let memory = &mut *self.lock();
        let listed = memory.listed.as_mut().map(|(_, listed)| listed);
        for by_key in listed.into_iter().chain([&mut memory.put]) {
            by_key.retain(|_, seen| {
                seen.retain(|one| one.name != *name);
                !seen.is_empty()
            });
        }
    }

    /// It may have something that nobody knows of.
    pub(super) fn doubt(&self) {
        self.lock().doubts += 1;
    }

    /// It is another store.
    pub(super) fn forget(&self) {
        let memory = &mut *self.lock();
        memory.put.clear();
        memory.listed = None;
        memory.doubts += 1;
    }

    /// What it has under each key, the best first, out of the list, which `list` makes where there is none to be trusted; `None`
    /// where that was given up.
    pub(super) fn under(
        &self,
        keys: &[&ObjectKey],
        list: impl FnOnce() -> Result<Option<Vec<(ObjectKey, Seen)>>, StoreError>,
    ) -> Result<Option<Vec<Vec<RemoteName>>>, StoreError> {
        let _listing = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let doubts = {
            let memory = self.lock();
            match &memory.listed {
                Some((doubts, _)) if *doubts == memory.doubts => return Ok(Some(answer(&memory, keys))),
                _ => memory.doubts,
            }
        };
        let Some(listed) = list()? else { return Ok(None) };
        let mut by_key = ByKey::new();
        for (key, seen) in listed {
            by_key.entry(key).or_default().push(seen);
        }
        let mut memory = self.lock();
        memory.listed = Some((doubts, by_key));
        Ok(Some(answer(&memory, keys)))
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // A panic in between leaves less, and what is not there is looked for.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(memory: &Memory, keys: &[&ObjectKey]) -> Vec<Vec<RemoteName>> {
    let listed = memory.listed.as_ref().map(|(_, listed)| listed);
    keys.iter()
        .map(|key| {
            let mut seen: Vec<&Seen> = listed
                .into_iter()
                .chain([&memory.put])
                .filter_map(|by_key| by_key.get(*key))
                .flatten()
                .collect();
            seen.sort_by(|a, b| b.worth().cmp(&a.worth()));
            let mut names: Vec<RemoteName> = Vec::new();
            for one in seen {
                // What was put and has been listed since is seen twice.
                if !names.contains(&one.name) {
                    names.push(one.name.clone());
                }
            }
            names
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        text.parse().unwrap()
    }

    fn seen(name: &str, readiness: Readiness, second: i64) -> Seen {
        let created = Some(Timestamp::from_second(second).unwrap());
        Seen { name: RemoteName::new(name), readiness, created }
    }

    fn all(held: &Held, list: &[Seen]) -> Vec<String> {
        let list = || Ok(Some(list.iter().map(|seen| (key("a"), seen.clone())).collect()));
        held.under(&[&key("a")], list).unwrap().unwrap().remove(0).iter().map(ToString::to_string).collect()
    }

    fn best(held: &Held, list: &[Seen]) -> Option<String> {
        all(held, list).into_iter().next()
    }

    // S2
    #[test]
    fn of_several_the_best_is_the_same_for_everybody() {
        let failed = || Readiness::Failed(String::new());
        let several = [
            seen("new-failed", failed(), 9),
            seen("new-pending", Readiness::NotYet, 8),
            seen("old", Readiness::Searchable, 1),
            seen("new", Readiness::Searchable, 2),
            seen("new2", Readiness::Searchable, 2),
        ];
        let order = ["new", "new2", "old", "new-pending", "new-failed"];
        assert_eq!(all(&Held::default(), &several), order);
        let mut turned = several.clone();
        turned.reverse();
        assert_eq!(all(&Held::default(), &turned), order);
        assert_eq!(all(&Held::default(), &[]), [""; 0]);
    }

    // S2, S9
    #[test]
    fn it_is_listed_once_and_again_after_a_doubt() {
        let held = Held::default();
        assert_eq!(best(&held, &[]), None);
        assert_eq!(best(&held, &[seen("late", Readiness::Searchable, 1)]), None, "it was listed before");
        held.add(&key("a"), &RemoteName::new("mine"));
        assert_eq!(best(&held, &[]).as_deref(), Some("mine"));
        held.doubt();
        assert_eq!(all(&held, &[seen("mine", Readiness::Searchable, 1)]), ["mine"], "put and listed is one");
        held.drop_name(&RemoteName::new("mine"));
        assert_eq!(best(&held, &[]), None);
        held.doubt();
        assert_eq!(best(&held, &[seen("late", Readiness::NotYet, 1)]).as_deref(), Some("late"));
        held.drop_name(&RemoteName::new("late"));
        assert_eq!(best(&held, &[]), None);
        held.forget();
        assert_eq!(best(&held, &[seen("other", Readiness::NotYet, 1)]).as_deref(), Some("other"));
    }

    // S2: a doubt that comes up while it is listed is not settled by that list.
    #[test]
    fn a_list_that_was_begun_before_a_doubt_is_not_trusted_after_it() {
        let held = Held::default();
        let answers = held.under(&[&key("a")], || {
            held.doubt();
            Ok(Some(Vec::new()))
        });
        assert_eq!(answers.unwrap().unwrap(), [[]]);
        assert_eq!(best(&held, &[seen("late", Readiness::NotYet, 1)]).as_deref(), Some("late"));
    }
}
