//! Taking an edit back. That is an edit itself, in the log like every other, and can be taken back in turn.

use super::CurateError;
use super::change::persons_word;
use super::edit::{Pen, Report, Told};
use crate::catalog::edits::{self, Edit, EditChange, Logged, Word};
use crate::catalog::{Catalog, CatalogError, Connection, documents};

/// Documents of an edit that are in memory at once.
const PAGE: usize = 500;

/// What taking back an edit did, or would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The edit that was taken back.
    pub edit: Edit,
    /// What that did.
    pub report: Report,
    /// Fields that somebody changed since: they were left as they are.
    pub left: Vec<Left>,
}

/// A field that was changed again after an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What the edit had made of it.
    pub change: EditChange,
    /// What the person says since.
    pub now: Word,
}

/// What becomes of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// As it was before.
    Back,
    /// It is as before already.
    There,
    /// Somebody said something else since.
    Left,
}

fn way(change: &EditChange, now: &Word, stands: bool) -> Way {
    if stands && *now == change.after {
        Way::Back
    } else if *now == change.before {
        Way::There
    } else {
        Way::Left
    }
}

/// Whether the word of an edit is the one that stands, by the log of its field. The same values do not make it so: who changed
/// them, and back again, has said them himself since. What was taken back counts as never said.
fn stands(log: &[Logged], edit_id: i64) -> bool {
    // Whose word stood after each change; nobody's before the first.
    let mut whose: Vec<Option<i64>> = Vec::with_capacity(log.len());
    for Logged { edit_id, undoes } in log {
        let undone =
            undoes.and_then(|undone| log[..whose.len()].iter().rposition(|one| one.edit_id == undone));
        whose.push(match undone {
            Some(undone) => undone.checked_sub(1).and_then(|before| whose[before]),
            None => Some(*edit_id),
        });
    }
    let then = log.iter().position(|one| one.edit_id == edit_id);
    then.is_some_and(|then| whose.last() == Some(&whose[then]))
}

/// Takes an edit back: the one of that number, else the last that is in effect and takes back no other. Fields that were
/// changed since are left; where that is true of all, nothing is written down.
///
/// # Errors
/// [`CurateError::NoSuchEdit`], [`CurateError::NothingToUndo`], [`CurateError::UndoneAlready`].
pub fn undo(
    catalog: &mut Catalog,
    edit_id: Option<i64>,
    now_ms: i64,
    told: &mut dyn FnMut(Told),
) -> Result<Undone, CurateError> {
    catalog.change(|tx| {
        let edit = find(tx, edit_id)?;
        let said = format!("undo {}", edit.edit_id);
        let mut pen = Pen::writing(tx, &said, Some(edit.edit_id), now_ms);
        let left = take_back(tx, &edit, &mut pen, told)?;
        let report = pen.report;
        if report.edit_id.is_some() || left.is_empty() {
            mark(tx, &edit, now_ms)?;
        }
        Ok(Undone { edit, report, left })
    })
}

/// What [`undo`] would do.
///
/// # Errors
/// As [`undo`].
pub fn preview_undo(
    catalog: &Catalog,
    edit_id: Option<i64>,
    now_ms: i64,
    told: &mut dyn FnMut(Told),
) -> Result<Undone, CurateError> {
    let snapshot = catalog.snapshot()?;
    let edit = find(&snapshot, edit_id)?;
    let mut pen = Pen::dry(&snapshot, now_ms);
    let left = take_back(&snapshot, &edit, &mut pen, told)?;
    Ok(Undone { edit, report: pen.report, left })
}

fn find(conn: &Connection, edit_id: Option<i64>) -> Result<Edit, CurateError> {
    let Some(edit_id) = edit_id else {
        return edits::last_in_effect(conn)?.ok_or(CurateError::NothingToUndo);
    };
    let edit = edits::by_id(conn, edit_id)?.ok_or(CurateError::NoSuchEdit(edit_id))?;
    if edit.undone_at.is_some() {
        return Err(CurateError::UndoneAlready { edit_id, by: edits::undoer_of(conn, edit_id)? });
    }
    Ok(edit)
}

fn take_back(
    conn: &Connection,
    edit: &Edit,
    pen: &mut Pen<'_>,
    told: &mut dyn FnMut(Told),
) -> Result<Vec<Left>, CatalogError> {
    let mut left = Vec::new();
    let mut last = i64::MIN;
    loop {
        let page = edits::changes(conn, edit.edit_id, last, PAGE)?;
        let Some(end) = page.last() else { return Ok(left) };
        last = end.document_id;
        for of_document in page.chunk_by(|a, b| a.document_id == b.document_id) {
            let document_id = of_document[0].document_id;
            let annotations = documents::annotations(conn, document_id)?;
            let mut words = Vec::with_capacity(of_document.len());
            for change in of_document {
                let now = persons_word(&annotations, change.field);
                let stands = now == change.after
                    && stands(&edits::log_of(conn, document_id, change.field)?, edit.edit_id);
                match way(change, &now, stands) {
                    Way::Back => words.push((change.field, change.before.clone())),
                    Way::There => {}
                    Way::Left => left.push(Left { change: change.clone(), now }),
                }
            }
            pen.write(document_id, &annotations, words, told)?;
        }
    }
}

/// An edit is undone. What it took back itself is in effect again, what that one had taken back is not, and so on.
fn mark(conn: &Connection, edit: &Edit, now_ms: i64) -> Result<(), CatalogError> {
    let mut undone = Some(now_ms);
    let mut next = Some(edit.clone());
    while let Some(edit) = next {
        edits::set_undone(conn, edit.edit_id, undone)?;
        undone = if undone.is_some() { None } else { Some(now_ms) };
        next = match edit.undoes {
            Some(earlier) => edits::by_id(conn, earlier)?,
            None => None,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // E4: the log as numbers of edits, with what each takes back
    #[rstest]
    #[case::alone(&[(1, None)], 1, true)]
    #[case::changed_since(&[(1, None), (2, None)], 1, false)]
    #[case::changed_and_changed_back(&[(1, None), (2, None), (3, None)], 1, false)]
    #[case::the_change_was_taken_back(&[(1, None), (2, None), (3, Some(2))], 1, true)]
    #[case::and_made_again(&[(1, None), (2, None), (3, Some(2)), (4, Some(3))], 1, false)]
    #[case::its_maker_then_stands(&[(1, None), (2, None), (3, Some(2)), (4, Some(3))], 2, true)]
    #[case::taken_back(&[(1, None), (2, Some(1))], 2, true)]
    #[case::taken_back_and_said_anew(&[(1, None), (2, Some(1)), (3, None)], 2, false)]
    #[case::said_anew_and_taken_back(&[(1, None), (2, Some(1)), (3, None), (4, Some(3))], 2, true)]
    #[case::taken_back_and_made_again(&[(1, None), (2, Some(1)), (3, Some(2))], 1, true)]
    #[case::not_of_this_field(&[(1, None)], 7, false)]
    fn a_word_stands_until_somebody_says_another(
        #[case] log: &[(i64, Option<i64>)],
        #[case] edit_id: i64,
        #[case] then: bool,
    ) {
        let log: Vec<Logged> = log.iter().map(|&(edit_id, undoes)| Logged { edit_id, undoes }).collect();
        assert_eq!(stands(&log, edit_id), then);
    }

    proptest::proptest! {
        // E4: against words on a pile, the top of which is read
        #[test]
        fn a_word_stands_where_the_pile_is_as_it_left_it(
            steps in proptest::collection::vec(proptest::option::of(0..12_usize), 1..24),
        ) {
            let mut log: Vec<Logged> = Vec::new();
            // Before the first, and after each change.
            let mut piles: Vec<Vec<i64>> = vec![Vec::new()];
            for step in steps {
                let now = piles.last().cloned().unwrap_or_default();
                let edit_id = log.len() as i64 + 1;
                for (at, one) in log.iter().enumerate() {
                    proptest::prop_assert_eq!(stands(&log, one.edit_id), piles[at + 1] == now);
                }
                match step.filter(|undone| *undone < log.len()) {
                    // What does not stand is not taken back.
                    Some(undone) if piles[undone + 1] != now => {}
                    Some(undone) => {
                        log.push(Logged { edit_id, undoes: Some(log[undone].edit_id) });
                        piles.push(piles[undone].clone());
                    }
                    None => {
                        log.push(Logged { edit_id, undoes: None });
                        piles.push([now, vec![edit_id]].concat());
                    }
                }
            }
        }
    }
}
