//! What the workers bring back is written down: steps, names, verdicts; and the leases of operations that are through end.

use super::backoff::backoff;
use super::carry::{Carried, Stopped};
use super::channel::chain;
use super::line::{Done, Job, Line};
use super::push::{Fate, PushReport, Run, SOURCE_PAUSE_MS};
use super::transfer::{Bytes, Transfer};
use super::{SyncError, code};
use crate::catalog::outbox::{self, Ending, Leased};
use crate::catalog::{CatalogError, Connection, ledger};
use crate::model::{ObjectState, Problem, ProblemKind};
use crate::monitor::Counter;
use crate::power::point;
use crate::remote::ErrorClass;

/// An operation that alone does not get through waits at least so long, in milliseconds.
const STRAY_MS: u64 = 100;

/// The steps in their order.
const STEPS: &[ObjectState] = &[
    ObjectState::Planned,
    ObjectState::Uploading,
    ObjectState::Uploaded,
    ObjectState::Verified,
    ObjectState::Searchable,
];

/// When, with what luck and under which rule leases end.
#[derive(Debug, Clone, Copy)]
struct Moment {
    now_ms: i64,
    random: u64,
    /// Verdicts that end an operation.
    verdicts: u32,
    /// It strayed in this turn before.
    again: bool,
}

/// What settling a batch came to.
#[derive(Debug, Default)]
struct Sum {
    sent_objects: u64,
    sent_bytes: u64,
    done: u64,
    halfway: u64,
    deleted: u64,
    recalled: u64,
    refused: u64,
}

impl Run<'_> {
    /// Writes down what came back, in one transaction.
    pub(super) fn settle(&mut self, line: &mut Line, back: Vec<Done>) -> Result<(), SyncError> {
        // The disk is asked before the transaction: it may take a while to answer.
        let mut libraries: Vec<i64> = back.iter().filter_map(unreadable_library).collect();
        libraries.dedup();
        for library_id in libraries {
            self.look_again(library_id);
        }
        let now_ms = self.now_ms();
        let moment = Moment { now_ms, random: self.random(), verdicts: self.limits.verdicts, again: false };
        let most = self.store.capabilities().max_object_bytes;
        let mut sum = Sum::default();
        let mut problems = Vec::new();
        let (strayed, wakes) = (&mut self.strayed, &mut self.wakes);
        let (store, line_going) = (self.row.name.clone(), &mut line.going);
        self.catalog.change::<_, CatalogError>(|tx| {
            for done in back {
                let seq = done.seq();
                let Some(going) = line_going.get_mut(&seq) else { continue };
                if !outbox::is_mine(tx, &going.op)? {
                    // Slept past the lease, and another has it now: whatever was reached is its to find out (T3).
                    going.fate.turn(Fate::Lost);
                }
                match done {
                    Done::Carried(transfer, carried) => {
                        if carried.sent {
                            sum.sent_objects += 1;
                            sum.sent_bytes += transfer.expect.bytes;
                        }
                        if !matches!(going.fate, Fate::Lost) {
                            record(tx, &transfer, &carried, now_ms)?;
                            if carried.state == ObjectState::Searchable {
                                going.usable.push(transfer.object_id);
                            }
                        }
                        if let Some(stopped) = carried.stopped {
                            going.fate.turn(judge(stopped, &transfer, most, now_ms, &mut problems));
                        }
                    }
                    Done::Erased(erasure, Some(Ok(_))) => {
                        if !matches!(going.fate, Fate::Lost) {
                            sum.recalled += u64::from(ledger::is_recalled(tx, erasure.object_id)?);
                            ledger::advance(tx, erasure.object_id, ObjectState::Deleted, now_ms)?;
                            sum.deleted += 1;
                        }
                    }
                    Done::Erased(_, Some(Err(error))) => going.fate.turn(Fate::Refused(chain(&error))),
                    Done::Erased(_, None) => {}
                    Done::NotBegun(job) => {
                        if let Job::Carry(transfer) = job
                            && transfer.fresh
                            && !matches!(going.fate, Fate::Lost)
                        {
                            ledger::advance(tx, transfer.object_id, ObjectState::Planned, now_ms)?;
                        }
                        going.fate.turn(Fate::Back);
                    }
                }
                going.left -= 1;
                if going.left == 0 {
                    let going = line_going.remove(&seq).expect("it was there just now");
                    // What is usable is current, whatever became of its fellow; but who lost the lease says nothing.
                    for object_id in going.usable.iter().filter(|_| !matches!(going.fate, Fate::Lost)) {
                        ledger::switch(tx, *object_id, now_ms)?;
                    }
                    let moment = Moment { again: strayed.contains(&seq), ..moment };
                    let due = end(tx, &going.op, &going.fate, moment, &mut sum)?;
                    // What strays is tried once more in this turn; when it strays again it is left to the next.
                    let again = !matches!(going.fate, Fate::Strayed(_)) || strayed.insert(seq);
                    let due = due.filter(|_| again);
                    wakes.extend(due);
                }
            }
            point("push-uploaded");
            point("push-verified");
            point("push-searchable");
            Ok(())
        })?;
        point("push-current");
        tracing::debug!(store, sum.done, sum.refused, "settled");
        self.got_through |= sum.done + sum.halfway > 0;
        for problem in problems {
            self.monitor.problem(&problem);
            self.report.problems.push(problem);
        }
        self.count(&sum);
        Ok(())
    }

    fn count(&mut self, sum: &Sum) {
        let PushReport {
            uploaded_objects, uploaded_bytes, refused, deleted_objects, recalled_objects, ..
        } = self.report;
        *uploaded_objects += sum.sent_objects;
        *uploaded_bytes += sum.sent_bytes;
        *refused += sum.refused;
        *deleted_objects += sum.deleted;
        *recalled_objects += sum.recalled;
        self.monitor.count(Counter::OperationsDone, sum.done);
    }
}

/// The library whose disk may have gone away.
fn unreadable_library(done: &Done) -> Option<i64> {
    match done {
        Done::Carried(transfer, Carried { stopped: Some(Stopped::Error(error)), .. })
            if error.class() == ErrorClass::Source =>
        {
            match &transfer.bytes {
                Bytes::File { library_id, .. } => Some(*library_id),
                Bytes::Rendered(_) => None,
            }
        }
        _ => None,
    }
}

/// Writes down the steps that an object went.
fn record(tx: &Connection, transfer: &Transfer, carried: &Carried, now_ms: i64) -> Result<(), CatalogError> {
    if let (Some(left), Some(_)) = (&transfer.left, &carried.name) {
        ledger::leave_behind(tx, transfer.object_id, left.as_str(), now_ms)?;
    }
    if carried.name != transfer.name || carried.name.is_some() {
        ledger::set_server_id(tx, transfer.object_id, carried.name.as_ref().map(|name| name.as_str()))?;
    }
    if carried.expires_at.is_some() {
        ledger::set_expiry(tx, transfer.object_id, carried.expires_at)?;
    }
    let at = |state| STEPS.iter().position(|step| *step == state).unwrap_or(0);
    let (from, to) = (at(transfer.state), at(carried.state));
    let again = carried.sent && from > at(ObjectState::Uploading);
    if to < from || again {
        ledger::advance(tx, transfer.object_id, STEPS[to.min(at(ObjectState::Uploading))], now_ms)?;
    }
    let from = if again { at(ObjectState::Uploading) } else { from };
    for step in STEPS.iter().take(to + 1).skip(from + 1) {
        ledger::advance(tx, transfer.object_id, *step, now_ms)?;
    }
    Ok(())
}

/// Whose fault is it that an object came no further? (T5)
fn judge(
    stopped: Stopped,
    transfer: &Transfer,
    most: Option<u64>,
    now_ms: i64,
    problems: &mut Vec<Problem>,
) -> Fate {
    match stopped {
        Stopped::Cancelled | Stopped::Withdrawn => Fate::Back,
        Stopped::NotYet => Fate::Waits(now_ms + look_after(transfer.uploaded_at.map_or(0, |at| now_ms - at))),
        Stopped::Error(error) => match error.class() {
            // The line has taken those out.
            ErrorClass::Channel => Fate::Strayed(chain(&error)),
            // Larger than the store takes: nobody makes it smaller by asking again.
            ErrorClass::Verdict if most.is_some_and(|most| transfer.expect.bytes > most) => {
                Fate::Invalid(chain(&error))
            }
            ErrorClass::Verdict => Fate::Refused(chain(&error)),
            ErrorClass::Source => {
                if let Bytes::File { rel, .. } = &transfer.bytes {
                    let message = format!("not sent, the next scan looks at it again: {}", chain(&error));
                    problems.push(Problem::new(rel.clone(), ProblemKind::ReadError, message));
                }
                Fate::Source(chain(&error))
            }
        },
    }
}

/// When to look again whether an object can be found that was sent so long ago, in milliseconds: soon at first.
const fn look_after(age_ms: i64) -> i64 {
    match age_ms {
        ..1_000 => 1_000,
        1_000..4_000 => 2_000,
        _ => 5_000,
    }
}

/// Ends an operation's lease. Returns when it comes due again where time alone may mend it.
fn end(
    tx: &Connection,
    op: &Leased,
    fate: &Fate,
    at: Moment,
    sum: &mut Sum,
) -> Result<Option<i64>, CatalogError> {
    let Moment { now_ms, random, verdicts, again } = at;
    let later = |ms: u64| now_ms + i64::try_from(ms).unwrap_or(0);
    let ending = match fate {
        Fate::Lost => return Ok(None),
        Fate::Going => {
            sum.done += 1;
            Ending::Done { note: None }
        }
        Fate::Halfway => {
            sum.halfway += 1;
            Ending::Halfway
        }
        Fate::Back => Ending::Released { not_before: now_ms },
        Fate::Waits(at) => Ending::Released { not_before: *at },
        Fate::Source(text) => Ending::Unread { text, not_before: now_ms + SOURCE_PAUSE_MS },
        Fate::Strayed(text) => {
            // Soon at first, however often it was leased: the turn waits for it.
            let wait = STRAY_MS + backoff(if again { op.leases } else { 1 }, random);
            Ending::Waits { text, code: code::CONNECTION, not_before: later(wait) }
        }
        Fate::Invalid(text) => {
            sum.refused += 1;
            Ending::Invalid { text, code: code::INVALID }
        }
        Fate::Refused(text) => {
            sum.refused += 1;
            let limit = match op.object_id {
                None => verdicts,
                // What was taken back has to go: nobody but the next try would ask for it again (S8).
                Some(object_id) if ledger::is_recalled(tx, object_id)? => u32::MAX,
                // Nothing builds on a deletion, and the next clean-up puts it in line anew.
                Some(_) => 1,
            };
            // Not at once, whatever the dice say: a turn would go round with it.
            let wait = backoff(op.attempts + 1, random).max(1);
            Ending::Refused { text, code: code::REFUSED, not_before: later(wait), limit }
        }
    };
    outbox::end(tx, op, ending, now_ms)?;
    Ok(match ending {
        Ending::Waits { not_before, .. } => Some(not_before),
        Ending::Released { not_before } if matches!(fate, Fate::Waits(_)) => Some(not_before),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_sent_is_asked_for_soon() {
        assert_eq!([0, 1_500, 10_000].map(look_after), [1_000, 2_000, 5_000]);
    }
}
