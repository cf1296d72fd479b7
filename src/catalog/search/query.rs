//! What somebody types, as clauses that a document fits or does not. Pure, and never an error: whatever is not understood is
//! searched as it stands.
//!
//! | typed | means |
//! |---|---|
//! | `two words` | both, anywhere: title, author, tags, notes, path, text |
//! | `"a phrase"` | these words in this order, next to each other |
//! | `begin*` | words that begin so |
//! | `-word`, `-tag:x` | not this |
//! | `one OR two` | either; binds closer than the space |
//! | `title: author: (creator:) note: path: text:` | a word, `"a phrase"` or `begin*` there |
//! | `tag: type: tier: lang: kind: (mime:) library:` | exactly this value, in any case |
//! | `missing:yes`, `missing:no` | whether a file of it is proved missing |
//! | `before:2020`, `after:2020-05` | by the document's date, see [`super::dates`] |
//!
//! A word with a colon whose beginning is no field (`http://x`, `12:30`) is a word; so is one whose field makes no sense of the
//! rest (`before:noon`). A word with marks in it (`foo-bar`, `Foo::bar`) is the phrase of its parts.

use super::dates;
use super::words::{self, Facet};

/// What a document must fit: all of the clauses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pub(super) clauses: Vec<Clause>,
}

/// Fits where one of its atoms does, or, turned round, where none does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clause {
    pub(super) not: bool,
    pub(super) any: Vec<Atom>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    /// Words next to each other.
    Words(Words),
    /// A value of a facet, as typed.
    Exact(Facet, String),
    /// In the library of this name or id.
    Library(String),
    /// A file of it is missing.
    Missing,
    /// Its date ends before this day.
    Before(i64),
    /// Its date begins on this day or later.
    After(i64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) scope: Scope,
    pub(super) text: String,
    /// The last word is the beginning of one.
    pub(super) prefix: bool,
}

/// Where words are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Anywhere,
    Title,
    Author,
    /// Title or author: where slips are forgiven.
    Names,
    Tags,
    Notes,
    Path,
    Text,
}

impl Query {
    /// Understands what was typed.
    #[must_use]
    pub fn parse(typed: &str) -> Self {
        let mut clauses: Vec<Clause> = Vec::new();
        let items = items(typed);
        let mut either = false;
        for (at, item) in items.iter().enumerate() {
            let between = at > 0 && at + 1 < items.len() && !clauses.is_empty();
            if *item == "OR" && between && !either {
                either = true;
                continue;
            }
            let Some(clause) = clause(item) else { continue };
            match clauses.last_mut() {
                Some(last) if either && last.not == clause.not && !clause.not => last.any.extend(clause.any),
                _ => clauses.push(clause),
            }
            either = false;
        }
        Query { clauses }
    }

    /// Only documents with this value.
    pub fn require(&mut self, facet: Facet, value: &str) {
        self.clauses.push(Clause { not: false, any: vec![Atom::Exact(facet, value.to_owned())] });
    }

    /// Only documents with a file in one of these libraries, by their numbers.
    pub fn require_library(&mut self, library_ids: &[i64]) {
        let any = library_ids.iter().map(|id| Atom::Exact(Facet::Library, id.to_string())).collect();
        self.clauses.push(Clause { not: false, any });
    }

    /// Only documents with a missing file.
    pub fn require_missing(&mut self) {
        self.clauses.push(Clause { not: false, any: vec![Atom::Missing] });
    }

    /// Only documents dated before this; false where it is no date.
    #[must_use]
    pub fn require_before(&mut self, date: &str) -> bool {
        let Some(days) = dates::days(date) else { return false };
        self.clauses.push(Clause { not: false, any: vec![Atom::Before(days.from)] });
        true
    }

    /// Only documents dated at this or after; false where it is no date.
    #[must_use]
    pub fn require_after(&mut self, date: &str) -> bool {
        let Some(days) = dates::days(date) else { return false };
        self.clauses.push(Clause { not: false, any: vec![Atom::After(days.from)] });
        true
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    /// The words that a fitting text may hold, each with whether it is only a word's beginning: what snippets show.
    pub(super) fn shown(&self) -> Vec<&Words> {
        self.clauses
            .iter()
            .filter(|clause| !clause.not)
            .flat_map(|clause| &clause.any)
            .filter_map(|atom| match atom {
                Atom::Words(words) => Some(words),
                _ => None,
            })
            .collect()
    }
}

/// What stands between spaces; quotes hold together what is between them.
fn items(typed: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let mut rest = typed.trim_start();
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest
            .char_indices()
            .find(|(_, char)| {
                if *char == '"' {
                    quoted = !quoted;
                }
                char.is_whitespace() && !quoted
            })
            .map(|(at, _)| at);
        // A quote that is never closed holds nothing together.
        let end = match end {
            None if quoted => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            None => rest.len(),
            Some(at) => at,
        };
        items.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    items
}

/// None where it has no word in it.
fn clause(item: &str) -> Option<Clause> {
    let (not, positive) = match item.strip_prefix('-') {
        Some(rest) if words::has_word(rest) && !rest.starts_with('-') => (true, rest),
        _ => (false, item),
    };
    if let Some((field, value)) = positive.split_once(':')
        && let Some((turned, atom)) = field_atom(&field.to_lowercase(), value)
    {
        return Some(Clause { not: not != turned, any: vec![atom] });
    }
    Some(Clause { not, any: vec![Atom::Words(worded(Scope::Anywhere, positive)?)] })
}

/// A field's atom, and whether the clause is turned round by it; none where it is no field, or nothing for it.
fn field_atom(field: &str, value: &str) -> Option<(bool, Atom)> {
    let scope = match field {
        "title" => Some(Scope::Title),
        "author" | "creator" => Some(Scope::Author),
        "note" | "notes" => Some(Scope::Notes),
        "path" => Some(Scope::Path),
        "text" => Some(Scope::Text),
        // A tag is asked for exactly; the beginning of one is a word of it.
        "tag" | "tags" if value.ends_with('*') => Some(Scope::Tags),
        _ => None,
    };
    if let Some(scope) = scope {
        return Some((false, Atom::Words(worded(scope, value)?)));
    }
    let exact = value.trim_matches('"').trim();
    if exact.is_empty() {
        return None;
    }
    let facet = match field {
        "tag" | "tags" => Some(Facet::Tag),
        "type" => Some(Facet::Type),
        "tier" => Some(Facet::Tier),
        "lang" | "language" => Some(Facet::Language),
        "kind" | "mime" => Some(Facet::Kind),
        _ => None,
    };
    match (field, facet) {
        (_, Some(facet)) => Some((false, Atom::Exact(facet, exact.to_owned()))),
        ("library", _) => Some((false, Atom::Library(exact.to_owned()))),
        ("missing", _) => match exact.to_lowercase().as_str() {
            "yes" | "true" => Some((false, Atom::Missing)),
            "no" | "false" => Some((true, Atom::Missing)),
            _ => None,
        },
        ("before", _) => dates::days(exact).map(|days| (false, Atom::Before(days.from))),
        ("after", _) => dates::days(exact).map(|days| (false, Atom::After(days.from))),
        _ => None,
    }
}

fn worded(scope: Scope, typed: &str) -> Option<Words> {
    let (text, prefix) = match typed.strip_suffix('*') {
        Some(text) if text.ends_with(|char: char| char.is_alphanumeric() || char == '"') => (text, true),
        _ => (typed, false),
    };
    // SQLite ends a text at its first NUL; to the tokenizer quotes are marks like any other.
    let text = text.replace(['"', '\0'], " ").trim().to_owned();
    words::has_word(&text).then_some(Words { scope, text, prefix })
}

impl Words {
    /// As FTS5 is asked: a phrase, which holds no syntax.
    pub(super) fn phrase(&self) -> String {
        // A script that parts no words has no beginnings of words either.
        let prefix = self.prefix && !self.text.ends_with(words::stands_alone);
        format!("\"{}\"{}", words::spaced(&self.text).trim(), if prefix { " *" } else { "" })
    }

    /// As the index of cards is asked; none where it has no such column.
    pub(super) fn on_cards(&self) -> Option<String> {
        let columns = match self.scope {
            Scope::Text => return None,
            Scope::Anywhere => return Some(self.phrase()),
            Scope::Title => "title",
            Scope::Author => "author",
            Scope::Names => "title author",
            Scope::Tags => "tags",
            Scope::Notes => "notes",
            Scope::Path => "path",
        };
        Some(format!("{{{columns}}} : {}", self.phrase()))
    }

    /// As the index of texts is asked.
    pub(super) fn in_texts(&self) -> Option<String> {
        matches!(self.scope, Scope::Anywhere | Scope::Text).then(|| self.phrase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn anywhere(text: &str) -> Atom {
        Atom::Words(Words { scope: Scope::Anywhere, text: text.to_owned(), prefix: false })
    }

    fn in_scope(scope: Scope, text: &str, prefix: bool) -> Atom {
        Atom::Words(Words { scope, text: text.to_owned(), prefix })
    }

    fn is(atom: Atom) -> Clause {
        Clause { not: false, any: vec![atom] }
    }

    fn is_not(atom: Atom) -> Clause {
        Clause { not: true, any: vec![atom] }
    }

    // O3
    #[rstest]
    #[case::words("two words", vec![is(anywhere("two")), is(anywhere("words"))])]
    #[case::a_phrase("\"two words\" x", vec![is(anywhere("two words")), is(anywhere("x"))])]
    #[case::a_beginning("shel*", vec![is(in_scope(Scope::Anywhere, "shel", true))])]
    #[case::a_phrase_that_goes_on("\"shelf li\"*", vec![is(in_scope(Scope::Anywhere, "shelf li", true))])]
    #[case::not("-draft", vec![is_not(anywhere("draft"))])]
    #[case::either("a OR b c", vec![Clause { not: false, any: vec![anywhere("a"), anywhere("b")] }, is(anywhere("c"))])]
    #[case::a_field("Title:\"the disk\"", vec![is(in_scope(Scope::Title, "the disk", false))])]
    #[case::creator("creator:marl*", vec![is(in_scope(Scope::Author, "marl", true))])]
    #[case::a_tag("tag:\"World History\"", vec![is(Atom::Exact(Facet::Tag, "World History".into()))])]
    #[case::a_tags_beginning("tag:hist*", vec![is(in_scope(Scope::Tags, "hist", true))])]
    #[case::not_a_tag("-tag:x", vec![is_not(Atom::Exact(Facet::Tag, "x".into()))])]
    #[case::missing("missing:yes", vec![is(Atom::Missing)])]
    #[case::not_missing("missing:no", vec![is_not(Atom::Missing)])]
    #[case::neither_nor("-missing:no", vec![is(Atom::Missing)])]
    #[case::dates("before:2020 after:2019-05", vec![is(Atom::Before(20200101)), is(Atom::After(20190501))])]
    #[case::a_library("library:\"my books\"", vec![is(Atom::Library("my books".into()))])]
    fn what_is_typed_is_understood(#[case] typed: &str, #[case] clauses: Vec<Clause>) {
        assert_eq!(Query::parse(typed), Query { clauses });
    }

    // O3
    #[rstest]
    #[case::an_address("http://x.org", vec![is(anywhere("http://x.org"))])]
    #[case::a_time("12:30", vec![is(anywhere("12:30"))])]
    #[case::code("Foo::bar", vec![is(anywhere("Foo::bar"))])]
    #[case::a_field_without_a_value("title:", vec![is(anywhere("title:"))])]
    #[case::no_date("before:noon", vec![is(anywhere("before:noon"))])]
    #[case::neither_yes_nor_no("missing:link", vec![is(anywhere("missing:link"))])]
    #[case::an_open_quote("\"yes no", vec![is(anywhere("yes")), is(anywhere("no"))])]
    #[case::marks("* - ( ^ \"\" --", vec![])]
    #[case::or_at_an_end("a OR", vec![is(anywhere("a")), is(anywhere("OR"))])]
    #[case::or_at_the_beginning("OR a", vec![is(anywhere("OR")), is(anywhere("a"))])]
    #[case::and("a AND b", vec![is(anywhere("a")), is(anywhere("AND")), is(anywhere("b"))])]
    #[case::nothing("  ", vec![])]
    fn what_is_not_understood_is_searched_as_it_stands(#[case] typed: &str, #[case] clauses: Vec<Clause>) {
        assert_eq!(Query::parse(typed), Query { clauses });
    }

    #[test]
    fn nothing_typed_reaches_fts5_as_syntax() {
        let atom = in_scope(Scope::Title, "a AND (b*", false);
        let Atom::Words(words) = atom else { unreachable!() };
        assert_eq!(words.on_cards().as_deref(), Some("{title} : \"a AND (b*\""));
        let Atom::Words(words) = in_scope(Scope::Anywhere, "京都", true) else { unreachable!() };
        assert_eq!(words.phrase(), "\"京  都\"");
    }
}
