//! What a row of a list was made from, in one cell: a mark of each field's values as they were exported. Pure.
//!
//! With it three things can be told apart when the list comes back: a cell that nobody touched, one that somebody changed,
//! and a card that was changed meanwhile. A field without values has no mark. The last characters are a check over the
//! document's id, so that a column that was sorted without the others is noticed.
//!
//! `v1` and for each field its letter and six characters, then `.` and the check: `v1tAb3_x9aZ0-q7T.Kf31`. It begins with a
//! letter, or a spreadsheet would take that of an empty card (`1.8e-8`) for a number.

use std::collections::BTreeMap;

use base64::Engine;
use ulid::Ulid;

use crate::model::Field;

/// Every field in the order of the columns, with its letter. Letters are never given to another field: lists of former
/// versions would be misread.
pub const COLUMNS: &[(Field, char)] = &[
    (Field::Title, 't'),
    (Field::Author, 'a'),
    (Field::Date, 'd'),
    (Field::Language, 'l'),
    (Field::Identifier, 'i'),
    (Field::Publisher, 'p'),
    (Field::Subject, 's'),
    (Field::Description, 'e'),
    (Field::PartOf, 'o'),
    (Field::Format, 'f'),
    (Field::Extent, 'x'),
    (Field::Place, 'c'),
    (Field::SourceType, 'y'),
    (Field::AuthorityTier, 'r'),
    (Field::Tags, 'g'),
    (Field::Notes, 'n'),
    (Field::Privacy, 'v'),
];

/// The form of the cell, in case there is another one day.
const FORM: &str = "v1";
const MARK: usize = 6;
const CHECK: usize = 4;

/// 36 bits of a hash: two values share a mark once in 70 thousand million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark([u8; MARK]);

impl Mark {
    /// Of plain values; none where there is no value.
    #[must_use]
    pub fn of(values: &[String]) -> Option<Mark> {
        if values.is_empty() {
            return None;
        }
        let mut hasher = blake3::Hasher::new();
        for value in values {
            hasher.update(&(value.len() as u64).to_le_bytes());
            hasher.update(value.as_bytes());
        }
        Some(Mark(short(&hasher)))
    }
}

fn short<const N: usize>(hasher: &blake3::Hasher) -> [u8; N] {
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hasher.finalize().as_bytes());
    text.as_bytes()[..N].try_into().expect("32 bytes have 43 characters")
}

fn check(id: Ulid, body: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(id.to_string().as_bytes());
    hasher.update(body.as_bytes());
    let check: [u8; CHECK] = short(&hasher);
    String::from_utf8_lossy(&check).into_owned()
}

/// The cell of a document with these plain values.
#[must_use]
pub fn written(id: Ulid, values: &BTreeMap<Field, Vec<String>>) -> String {
    let mut body = FORM.to_owned();
    for (field, letter) in COLUMNS {
        if let Some(Mark(mark)) = values.get(field).and_then(|values| Mark::of(values)) {
            body.push(*letter);
            body.extend(mark.map(char::from));
        }
    }
    let check = check(id, &body);
    format!("{body}.{check}")
}

/// The marks of a cell; `None` where it is not one of this document's.
#[must_use]
pub fn read(id: Ulid, cell: &str) -> Option<BTreeMap<Field, Mark>> {
    let (body, end) = cell.trim().rsplit_once('.')?;
    if end != check(id, body) {
        return None;
    }
    let mut marks = BTreeMap::new();
    for mark in body.strip_prefix(FORM)?.as_bytes().chunks(1 + MARK) {
        let (letter, mark) = mark.split_first()?;
        let (field, _) = COLUMNS.iter().find(|(_, known)| *known == char::from(*letter))?;
        marks.insert(*field, Mark(mark.try_into().ok()?));
    }
    Some(marks)
}

/// What a cell that comes back says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// Nobody touched it.
    Untouched,
    /// It says what the card says by now.
    Same,
    /// Somebody changed it.
    Changed,
    /// Somebody changed it, and somebody else the card, to something else.
    Conflict,
}

/// Judges a cell by what was exported and by what the card shows now; all plain.
#[must_use]
pub fn judge(exported: Option<Mark>, cell: &[String], now: &[String]) -> Judgement {
    if Mark::of(cell) == exported {
        Judgement::Untouched
    } else if cell == now {
        Judgement::Same
    } else if Mark::of(now) == exported {
        Judgement::Changed
    } else {
        Judgement::Conflict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn values(of: &[(Field, &[&str])]) -> BTreeMap<Field, Vec<String>> {
        of.iter()
            .map(|(field, values)| (*field, values.iter().map(|value| (*value).to_owned()).collect()))
            .collect()
    }

    // E4
    #[test]
    fn a_version_tells_what_each_field_was() {
        let id = Ulid::from_parts(1, 2);
        let values = values(&[(Field::Title, &["A"]), (Field::Tags, &["x", "y"]), (Field::Notes, &[])]);
        let cell = written(id, &values);
        let marks = read(id, &cell).unwrap();
        assert_eq!(marks.get(&Field::Title).copied(), Mark::of(&values[&Field::Title]));
        assert_eq!(marks.keys().copied().collect::<Vec<_>>(), [Field::Title, Field::Tags]);
        assert_ne!(Mark::of(&values[&Field::Tags]), Mark::of(&["xy".to_owned()]));
        for other in
            ["", "v1", "v1.", &cell[..cell.len() - 1], &cell.replace('t', "a"), &cell.replace("v1t", "v2t")]
        {
            assert_eq!(read(id, other), None, "{other}");
        }
        assert_eq!(read(Ulid::from_parts(1, 3), &cell), None, "of another row");
        assert_eq!(read(id, &written(id, &BTreeMap::new())).unwrap(), BTreeMap::new());
    }

    #[test]
    fn every_field_has_its_column_and_letter() {
        let fields: std::collections::BTreeSet<Field> = COLUMNS.iter().map(|(field, _)| *field).collect();
        let letters: std::collections::BTreeSet<char> = COLUMNS.iter().map(|(_, letter)| *letter).collect();
        assert_eq!(fields.len(), Field::ALL.len());
        assert_eq!(letters.len(), COLUMNS.len());
    }

    // E4
    #[rstest]
    #[case("a", "a", "a", Judgement::Untouched)]
    #[case("a", "a", "b", Judgement::Untouched)]
    #[case("a", "b", "a", Judgement::Changed)]
    #[case("a", "b", "b", Judgement::Same)]
    #[case("a", "b", "c", Judgement::Conflict)]
    #[case("a", "", "a", Judgement::Changed)]
    #[case("", "b", "", Judgement::Changed)]
    #[case("", "b", "c", Judgement::Conflict)]
    fn a_cell_is_judged_by_what_was_exported(
        #[case] exported: &str,
        #[case] cell: &str,
        #[case] now: &str,
        #[case] judgement: Judgement,
    ) {
        let list = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
        assert_eq!(judge(Mark::of(&list(exported)), &list(cell), &list(now)), judgement);
    }
}
