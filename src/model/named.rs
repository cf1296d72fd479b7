//! What a path says of the work, where nobody else says anything: a name is nearly always better than nothing.
//!
//! It is read off each time and never kept: a move would have to rewrite it, and it must not get into what stores are given,
//! which a move does not change either.

use super::document::{Annotation, Field, Source};
use super::path::RelPath;

/// A guess; whoever reads the file itself knows better.
const CONFIDENCE: f64 = 0.3;

/// Title, and year where one stands in parentheses at the end, as `The drawer of disks (2019).epub` gives them.
#[must_use]
pub fn said_by_path(path: &RelPath) -> Vec<Annotation> {
    let Some((_, name)) = path.split() else { return Vec::new() };
    // What is not text is shown escaped, but it is nobody's title.
    let Ok(name) = std::str::from_utf8(name) else { return Vec::new() };
    let stem = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && is_extension(extension) => stem,
        _ => name,
    };
    let words = stem.replace('_', " ");
    let (title, year) = match without_year(words.trim()) {
        Some((title, year)) if !title.is_empty() => (title, Some(year)),
        _ => (words.trim(), None),
    };
    let said = |field, value: &str| Annotation {
        field,
        values: vec![value.split_whitespace().collect::<Vec<_>>().join(" ")],
        source: Source::Path,
        agent: String::new(),
        confidence: CONFIDENCE,
        updated_at: 0,
    };
    let title = title.chars().any(char::is_alphanumeric).then(|| said(Field::Title, title));
    title.into_iter().chain(year.map(|year| said(Field::Date, year))).collect()
}

/// `Vol. 2` and `v1.0` have a dot that begins no extension.
fn is_extension(text: &str) -> bool {
    (1..=8).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

fn without_year(words: &str) -> Option<(&str, &str)> {
    let (open, inner) = match words.chars().last()? {
        ')' => ('(', words.strip_suffix(')')?),
        ']' => ('[', words.strip_suffix(']')?),
        _ => return None,
    };
    let (title, year) = inner.rsplit_once(open)?;
    let is_year = year.len() == 4 && year.parse().is_ok_and(|year: u32| (1000..2200).contains(&year));
    is_year.then(|| (title.trim_end(), year))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    // E4
    #[rstest]
    #[case("books/The drawer of disks (2019).epub", Some("The drawer of disks"), Some("2019"))]
    #[case("a/annual_report__final.pdf", Some("annual report final"), None)]
    #[case("Notes on [1984].txt", Some("Notes on"), Some("1984"))]
    #[case("(2019).pdf", Some("(2019)"), None)]
    #[case("talk (part 2).mp3", Some("talk (part 2)"), None)]
    #[case("Vol. 2", Some("Vol. 2"), None)]
    #[case("release v1.0", Some("release v1.0"), None)]
    #[case(".profile", Some(".profile"), None)]
    #[case("каталог без полок.epub", Some("каталог без полок"), None)]
    #[case("---.txt", None, None)]
    fn a_name_is_a_title_where_there_is_no_other(
        #[case] path: &str,
        #[case] title: Option<&str>,
        #[case] year: Option<&str>,
    ) {
        let said = said_by_path(&RelPath::from_bytes(path));
        let of = |field| said.iter().find(|it| it.field == field).map(|it| it.values[0].as_str());
        assert_eq!((of(Field::Title), of(Field::Date)), (title, year));
    }

    #[test]
    fn a_name_that_is_no_text_says_nothing() {
        assert!(said_by_path(&RelPath::from_bytes(&b"a/\xff\xfe.txt"[..])).is_empty());
        assert!(said_by_path(&RelPath::root()).is_empty());
    }
}
