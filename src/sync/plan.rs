//! What has to happen so that a store has what it should have of a document. Pure.

use crate::catalog::ledger::RemoteObject;
use crate::model::{ObjectState, Payload};

/// What a store should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What of the document.
    pub payload: Payload,
    /// What the store calls it.
    pub remote_id: String,
    /// Of its bytes.
    pub upload_hash: [u8; 32],
    /// How many.
    pub bytes: u64,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The wanted object is current already.
    Keep,
    /// Go on with an object from the step it stands at: a former run was cut off.
    Continue {
        /// Which object.
        object_id: i64,
        /// Where it stands.
        state: ObjectState,
        /// Which of the wanted.
        wanted: usize,
    },
    /// An orphan is what is wanted now: bring it back, proving it from the start.
    Revive {
        /// Which object.
        object_id: i64,
        /// Which of the wanted.
        wanted: usize,
    },
    /// Nothing of it is there: write it down, then send it.
    Send {
        /// Which of the wanted.
        wanted: usize,
    },
    /// A former run began to send what nobody wants any more.
    Abandon {
        /// Which object.
        object_id: i64,
    },
}

/// Decides. `held` is what the store has of the document or may have: nothing deleted.
///
/// A payload that is not wanted at present keeps its current object: nothing old is retired without a replacement (T2). What
/// the store will soon forget `is_fading`, and as good as gone: it is sent once more, beside the old. One that is on its way is
/// brought to its end first, or a store that forgets soon would never have any.
#[must_use]
pub fn plan(
    wanted: &[Wanted],
    held: &[RemoteObject],
    is_fading: impl Fn(&RemoteObject) -> bool,
) -> Vec<Step> {
    let mut steps = Vec::new();
    for (at, want) in wanted.iter().enumerate() {
        let same = |object: &&RemoteObject| {
            object.payload == want.payload
                && object.remote_id == want.remote_id
                && object.upload_hash == want.upload_hash
                && (in_progress(object.state) || !is_fading(object))
        };
        let of =
            |accept: fn(ObjectState) -> bool| held.iter().filter(same).find(|object| accept(object.state));
        steps.push(if of(|state| state == ObjectState::Current).is_some() {
            Step::Keep
        } else if let Some(object) = of(in_progress) {
            Step::Continue { object_id: object.object_id, state: object.state, wanted: at }
        } else if let Some(object) = of(|state| state == ObjectState::Orphaned) {
            Step::Revive { object_id: object.object_id, wanted: at }
        } else {
            Step::Send { wanted: at }
        });
    }
    for object in held.iter().filter(|object| in_progress(object.state)) {
        let going_on = steps
            .iter()
            .any(|step| matches!(step, Step::Continue { object_id, .. } if *object_id == object.object_id));
        if !going_on {
            steps.push(Step::Abandon { object_id: object.object_id });
        }
    }
    steps
}

/// Whether an object is on its way.
pub(super) fn in_progress(state: ObjectState) -> bool {
    matches!(
        state,
        ObjectState::Planned
            | ObjectState::Uploading
            | ObjectState::Uploaded
            | ObjectState::Verified
            | ObjectState::Searchable
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(hash: u8) -> Wanted {
        Wanted {
            payload: Payload::Enriched,
            remote_id: format!("k{hash}"),
            upload_hash: [hash; 32],
            bytes: 1,
        }
    }

    fn held(object_id: i64, hash: u8, state: ObjectState) -> RemoteObject {
        RemoteObject {
            object_id,
            store_id: 1,
            document_id: 1,
            payload: Payload::Enriched,
            remote_id: format!("k{hash}"),
            server_id: None,
            upload_hash: [hash; 32],
            bytes: 1,
            content_hash: [9; 32],
            state,
            cause: None,
            orphaned_at: None,
            uploaded_at: None,
            remote_expires_at: None,
        }
    }

    #[test]
    fn what_is_current_is_not_sent_again() {
        assert_eq!(plan(&[want(1)], &[held(5, 1, ObjectState::Current)], |_| false), [Step::Keep]);
    }

    // T2
    #[test]
    fn a_replacement_is_sent_and_the_old_one_left_alone() {
        assert_eq!(
            plan(&[want(2)], &[held(5, 1, ObjectState::Current)], |_| false),
            [Step::Send { wanted: 0 }]
        );
        assert_eq!(plan(&[], &[held(5, 1, ObjectState::Current)], |_| false), []);
    }

    // T3
    #[test]
    fn a_cut_off_object_goes_on_from_its_step_and_a_stale_one_is_abandoned() {
        for state in [
            ObjectState::Planned,
            ObjectState::Uploading,
            ObjectState::Uploaded,
            ObjectState::Verified,
            ObjectState::Searchable,
        ] {
            assert_eq!(
                plan(&[want(2)], &[held(4, 1, ObjectState::Current), held(5, 2, state)], |_| false),
                [Step::Continue { object_id: 5, state, wanted: 0 }]
            );
            assert_eq!(
                plan(&[want(3)], &[held(5, 2, state)], |_| false),
                [Step::Send { wanted: 0 }, Step::Abandon { object_id: 5 }]
            );
        }
    }

    // L6
    #[test]
    fn an_orphan_that_is_wanted_again_is_brought_back() {
        assert_eq!(
            plan(&[want(1)], &[held(5, 1, ObjectState::Orphaned), held(6, 2, ObjectState::Current)], |_| {
                false
            }),
            [Step::Revive { object_id: 5, wanted: 0 }]
        );
    }

    // S9
    #[test]
    fn what_the_store_will_forget_is_sent_once_more_beside_the_old() {
        let old = held(5, 1, ObjectState::Current);
        assert_eq!(plan(&[want(1)], std::slice::from_ref(&old), |_| false), [Step::Keep]);
        assert_eq!(plan(&[want(1)], std::slice::from_ref(&old), |_| true), [Step::Send { wanted: 0 }]);
        let begun = held(6, 1, ObjectState::Uploading);
        assert_eq!(
            plan(&[want(1)], &[old, begun], |_| true),
            [Step::Continue { object_id: 6, state: ObjectState::Uploading, wanted: 0 }]
        );
    }
}
