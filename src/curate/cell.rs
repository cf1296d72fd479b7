//! Values as cells of a table, and back. Pure, and exact: what [`written`] makes of plain values, [`read`] gives back.
//!
//! A spreadsheet takes a cell that begins with `=` for a formula, and runs it: a title out of somebody else's PDF must not
//! be one. OWASP ("CSV Injection", <https://owasp.org/www-community/attacks/CSV_Injection>) names `=`, `+`, `-`, `@`, tab and
//! carriage return as the beginnings that are obeyed, line feed and the full-width forms of the four in some programs; such
//! cells get an apostrophe before them. So do those that a spreadsheet takes for a number, a date or a truth value and gives
//! back in other words ([`is_rewritten`]): `9783161484100` as `9.78316E+12`, `2020-05-01` as `01.05.20`.

use super::rewritten::is_rewritten;
use crate::model::Field;

/// Plain values ([`super::value::plain`]) as a cell.
#[must_use]
pub fn written(field: Field, values: &[String]) -> String {
    if field.is_list() {
        let members: Vec<String> =
            values.iter().map(|value| value.replace('\\', "\\\\").replace(';', "\\;")).collect();
        guarded(&members.join("; "))
    } else {
        guarded(values.first().map_or("", String::as_str))
    }
}

/// A cell as plain values; an empty one has none. What somebody typed is read leniently: members are trimmed, a backslash
/// before anything else stands for itself.
#[must_use]
pub fn read(field: Field, cell: &str) -> Vec<String> {
    let text = unguarded(cell);
    let values = if field.is_list() { members(text) } else { vec![text.to_owned()] };
    super::value::plain(field, &values)
}

fn members(text: &str) -> Vec<String> {
    let mut members = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let last = members.last_mut().expect("it begins with one and none is taken out");
        match char {
            '\\' => last.push(chars.next_if(|next| matches!(next, '\\' | ';')).unwrap_or('\\')),
            ';' => members.push(String::new()),
            char => last.push(char),
        }
    }
    members
}

/// A text as a cell that no spreadsheet obeys or rewrites.
#[must_use]
pub fn guarded(text: &str) -> String {
    if needs_guard(text) { format!("'{text}") } else { text.to_owned() }
}

fn unguarded(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if needs_guard(text) => text,
        _ => cell,
    }
}

fn needs_guard(text: &str) -> bool {
    match text.chars().next() {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠') => true,
        // Or an apostrophe of its own would be taken for ours.
        Some('\'') => needs_guard(&text[1..]),
        Some(_) => is_rewritten(text),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::plain;
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    // E4
    #[rstest]
    #[case("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0")]
    #[case("-1+1", "'-1+1")]
    #[case("@SUM(A1)", "'@SUM(A1)")]
    #[case("'=x", "''=x")]
    #[case("'quoted'", "'quoted'")]
    #[case("2020", "2020")]
    #[case("2020-05", "'2020-05")]
    #[case("9783161484100", "'9783161484100")]
    #[case("007", "'007")]
    #[case("1e5", "'1e5")]
    #[case("May 2020", "'May 2020")]
    #[case("(5)", "'(5)")]
    #[case("true", "'true")]
    #[case("1984 (novel)", "1984 (novel)")]
    #[case("", "")]
    fn a_cell_is_not_obeyed_and_not_rewritten(#[case] text: &str, #[case] cell: &str) {
        assert_eq!(guarded(text), cell);
        assert_eq!(unguarded(cell), text);
    }

    // E4
    #[test]
    fn lists_are_read_as_people_write_them() {
        assert_eq!(read(Field::Tags, " a;b ;; c\\;d; AC\\DC;"), ["a", "b", "c;d", "AC\\DC"]);
        assert_eq!(read(Field::Title, "a; b"), ["a; b"]);
        assert!(read(Field::Tags, " ").is_empty());
    }

    proptest! {
        // E4
        #[test]
        fn what_is_written_is_read_back(
            values in prop::collection::vec(prop_oneof![any::<String>(), "['=+@;\\\\ \n\r\t0-9.eE-]{0,12}"], 0..5),
            field in prop::sample::select(Field::ALL),
        ) {
            let values = plain(field, &values);
            prop_assert_eq!(&plain(field, &values), &values);
            let cell = written(field, &values);
            prop_assert_eq!(read(field, &cell), values);
            prop_assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']));
        }
    }
}
