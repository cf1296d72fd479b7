//! What of everything that is catalogued is for one store (S1): patterns that take in, and patterns that leave out. Pure.
//!
//! A pattern is one of `.gitignore`, from a library's root; or `type:` and a kind of source; or `library:` and a name. Leaving
//! out wins. Without a pattern that takes in, all is in. A document is in where one of its copies lies there: also a copy that
//! is missing now, because a disk that is unplugged takes nothing out of a store.

use serde::{Deserialize, Serialize};

use super::RelPath;
use super::pattern::{PathPattern, Spelled};

/// What a pattern about a kind of source begins with.
const TYPE: &str = "type:";
/// What a pattern about a library begins with.
const LIBRARY: &str = "library:";

/// As it was typed, and as the catalogue keeps it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patterns {
    /// What is taken in; everything where there is none.
    pub include: Vec<String>,
    /// What is left out of that.
    pub exclude: Vec<String>,
}

impl Patterns {
    /// Whether everything is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty()
    }
}

/// In a few words, for lists.
impl std::fmt::Display for Patterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.include.as_slice() {
            [] => f.write_str("all")?,
            include => f.write_str(&include.join(" "))?,
        }
        match self.exclude.as_slice() {
            [] => Ok(()),
            exclude => write!(f, ", not {}", exclude.join(" ")),
        }
    }
}

/// Patterns that are understood.
#[derive(Debug, Default)]
pub struct Scope {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    about: About,
    text: String,
}

#[derive(Debug)]
enum About {
    Path(PathPattern),
    SourceType(String),
    Library(String),
}

/// Why a pattern is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern: {reason}")]
pub struct PatternError {
    /// As it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Where a copy of a document lies.
#[derive(Debug, Clone)]
pub struct Place {
    /// The name of the library.
    pub library: String,
    /// Where in it.
    pub path: RelPath,
}

/// How a document stands to a scope, and by which pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing<'a> {
    /// It is for the store; by no pattern where nothing says more than that all is in.
    In(Option<&'a str>),
    /// It is not; by no pattern where none takes it in.
    Out(Option<&'a str>),
}

impl Standing<'_> {
    /// Whether it is for the store.
    #[must_use]
    pub fn is_in(self) -> bool {
        matches!(self, Standing::In(_))
    }
}

impl Scope {
    /// Reads patterns.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(patterns: &Patterns) -> Result<Self, PatternError> {
        let all = |texts: &[String]| texts.iter().map(|text| pattern(text)).collect::<Result<Vec<_>, _>>();
        Ok(Scope { include: all(&patterns.include)?, exclude: all(&patterns.exclude)? })
    }

    /// Whether kinds of source are spoken of.
    #[must_use]
    pub fn is_about_types(&self) -> bool {
        self.all().any(|pattern| matches!(pattern.about, About::SourceType(_)))
    }

    /// The libraries that are spoken of.
    pub fn libraries(&self) -> impl Iterator<Item = &str> {
        self.all().filter_map(|pattern| match &pattern.about {
            About::Library(name) => Some(name.as_str()),
            _ => None,
        })
    }

    fn all(&self) -> impl Iterator<Item = &Pattern> {
        self.include.iter().chain(&self.exclude)
    }

    /// How a document stands that has copies at these places and is of these kinds.
    ///
    /// One without any place (its library was removed) is in only where places have no say in it: what was left out is not sent
    /// because nobody knows any more where it was.
    #[must_use]
    pub fn of(&self, places: &[Place], types: &[String]) -> Standing<'_> {
        let types: Vec<String> = types.iter().map(|word| word.trim().to_lowercase()).collect();
        let by_type = |patterns: &'_ [Pattern]| patterns.iter().position(|pattern| pattern.fits_type(&types));
        if let Some(at) = by_type(&self.exclude) {
            return Standing::Out(Some(&self.exclude[at].text));
        }
        let taken_in = by_type(&self.include).map(|at| self.include[at].text.as_str());
        let mut left_out = None;
        for place in places {
            let spelled = Spelled::of(&place.path);
            let by_place = |patterns: &'_ [Pattern]| {
                patterns.iter().position(|pattern| pattern.fits_place(&place.library, &spelled))
            };
            if let Some(at) = by_place(&self.exclude) {
                left_out.get_or_insert(self.exclude[at].text.as_str());
                continue;
            }
            if self.include.is_empty() {
                return Standing::In(None);
            }
            let taken_in =
                taken_in.or_else(|| by_place(&self.include).map(|at| self.include[at].text.as_str()));
            if taken_in.is_some() {
                return Standing::In(taken_in);
            }
        }
        let places_are_left_out =
            self.exclude.iter().any(|pattern| !matches!(pattern.about, About::SourceType(_)));
        if places.is_empty() && !places_are_left_out && (self.include.is_empty() || taken_in.is_some()) {
            return Standing::In(taken_in);
        }
        Standing::Out(left_out)
    }
}

impl Pattern {
    fn fits_type(&self, types: &[String]) -> bool {
        matches!(&self.about, About::SourceType(named) if types.contains(named))
    }

    fn fits_place(&self, library: &str, path: &Spelled<'_>) -> bool {
        match &self.about {
            About::Path(pattern) => pattern.fits(path),
            About::Library(name) => name == library,
            About::SourceType(_) => false,
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, PatternError> {
    let refuse = |reason: &str| PatternError { pattern: text.to_owned(), reason: reason.to_owned() };
    let what = text.trim();
    if what.starts_with('!') {
        return Err(refuse("an exception is a pattern of --exclude"));
    }
    let about = if let Some(named) = what.strip_prefix(TYPE) {
        About::SourceType(named.trim().to_lowercase())
    } else if let Some(name) = what.strip_prefix(LIBRARY) {
        About::Library(name.trim().to_owned())
    } else {
        About::Path(PathPattern::parse(what).map_err(|reason| refuse(&reason))?)
    };
    match &about {
        About::SourceType(named) if named.is_empty() => Err(refuse("type: names no kind of source")),
        About::Library(name) if name.is_empty() => Err(refuse("library: names no library")),
        _ => Ok(Pattern { about, text: what.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn scope(include: &[&str], exclude: &[&str]) -> Scope {
        let texts = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        Scope::parse(&Patterns { include: texts(include), exclude: texts(exclude) }).unwrap()
    }

    fn at(places: &[&str]) -> Vec<Place> {
        let place = |path: &&str| Place { library: "books".to_owned(), path: RelPath::from(*path) };
        places.iter().map(place).collect()
    }

    // S1
    #[rstest]
    #[case::of_no_patterns(&[], &[], "a.txt", true)]
    #[case::taken_in(&["/letters/"], &[], "letters/2020/a.txt", true)]
    #[case::not_taken_in(&["/letters/"], &[], "b.txt", false)]
    #[case::anchored(&["/letters/"], &[], "old/letters/a.txt", false)]
    #[case::one_of_several(&["/letters/", "*.eml"], &[], "b.eml", true)]
    #[case::left_out(&[], &["*.tmp"], "a.tmp", false)]
    #[case::not_left_out(&[], &["*.tmp"], "a.txt", true)]
    #[case::leaving_out_wins(&["/letters/"], &["/letters/drafts/"], "letters/drafts/a.txt", false)]
    #[case::also_where_the_other_is_nearer(&["/letters/drafts/a.txt"], &["/letters/"], "letters/drafts/a.txt", false)]
    #[case::of_decomposed_names(&["/K\u{e4}se/"], &[], "Ka\u{308}se/a.txt", true)]
    #[case::a_library(&["library:books"], &[], "a.txt", true)]
    #[case::another_library(&["library:films"], &[], "a.txt", false)]
    #[case::without_a_library(&[], &["library:books"], "a.txt", false)]
    fn leaving_out_wins_and_without_a_pattern_that_takes_in_all_is_in(
        #[case] include: &[&str],
        #[case] exclude: &[&str],
        #[case] path: &str,
        #[case] is_in: bool,
    ) {
        assert_eq!(scope(include, exclude).of(&at(&[path]), &[]).is_in(), is_in);
    }

    // S1, L15
    #[test]
    fn a_document_is_in_where_one_of_its_copies_is() {
        let letters = scope(&["/letters/"], &["*.tmp"]);
        assert_eq!(letters.of(&at(&["b.txt", "letters/b.txt"]), &[]), Standing::In(Some("/letters/")));
        assert_eq!(
            letters.of(&at(&["letters/b.tmp", "letters/b.txt"]), &[]),
            Standing::In(Some("/letters/"))
        );
        assert_eq!(letters.of(&at(&["letters/b.tmp", "b.txt"]), &[]), Standing::Out(Some("*.tmp")));
        assert_eq!(letters.of(&at(&["b.txt"]), &[]), Standing::Out(None));
    }

    // S1
    #[test]
    fn a_kind_of_source_takes_in_and_leaves_out() {
        let types = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let diaries = scope(&["type:Diary", "/letters/"], &["type:draft"]);
        assert_eq!(diaries.of(&at(&["a"]), &types(&["diary"])), Standing::In(Some("type:Diary")));
        assert_eq!(diaries.of(&at(&["a"]), &types(&["Diary", "Draft"])), Standing::Out(Some("type:draft")));
        assert_eq!(diaries.of(&at(&["letters/a"]), &types(&["draft"])), Standing::Out(Some("type:draft")));
        assert_eq!(diaries.of(&at(&["letters/a"]), &[]), Standing::In(Some("/letters/")));
        assert_eq!(diaries.of(&at(&["a"]), &[]), Standing::Out(None));
        // Its place is left out, whatever it is.
        let not_there = scope(&["type:diary"], &["/private/"]);
        assert_eq!(not_there.of(&at(&["private/a"]), &types(&["diary"])), Standing::Out(Some("/private/")));
    }

    // S1, D5
    #[test]
    fn what_has_no_place_any_more_is_not_taken_for_what_was_not_left_out() {
        assert!(!scope(&[], &["/private/"]).of(&[], &[]).is_in());
        assert!(!scope(&["/letters/"], &[]).of(&[], &[]).is_in());
        assert!(scope(&[], &["type:diary"]).of(&[], &[]).is_in());
        assert!(scope(&["type:diary"], &[]).of(&[], &["diary".to_owned()]).is_in());
        assert!(!scope(&["type:diary"], &["/private/"]).of(&[], &["diary".to_owned()]).is_in());
    }

    // S1
    #[rstest]
    #[case("")]
    #[case("# all")]
    #[case("!a")]
    #[case("type:")]
    #[case("library: ")]
    #[case("[z-a]")]
    fn what_is_no_pattern_is_refused(#[case] text: &str) {
        let patterns = Patterns { include: vec!["a".to_owned(), text.to_owned()], exclude: Vec::new() };
        assert_eq!(Scope::parse(&patterns).unwrap_err().pattern, text);
    }
}
