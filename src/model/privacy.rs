//! Rules about what may leave this computer: by place and by kind of source (S8). Pure.
//!
//! One rule a line: a word of [`Privacy`], then a gitignore pattern, or `type:` and a kind of source. Of the lines that fit
//! one path the last counts, so that a later line makes the exception; whatever else fits, the strictest of it all counts: of
//! a document's copies, of its kind of source, and of the word on its card.
//!
//! gitignore itself lets the pattern that is nearest to the file win. Here that would be a leak: after `full *.txt` a line
//! `local_only /letters/` would hold back nothing that ends with `.txt`.

use super::pattern::{PathPattern, Spelled};
use super::{Privacy, RelPath};

/// What a rule about a kind of source begins with.
const TYPE: &str = "type:";

/// Rules, in their order.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

/// One line.
#[derive(Debug)]
struct Rule {
    privacy: Privacy,
    about: About,
    line: String,
}

#[derive(Debug)]
enum About {
    Path(PathPattern),
    SourceType(String),
}

/// Why a line is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} is no rule: {reason}")]
pub struct RuleError {
    /// As it was written.
    pub line: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Rules {
    /// Reads rules; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is none.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Rules { rules: lines.map(rule).collect::<Result<_, _>>()? })
    }

    /// Whether nothing is said at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether places are spoken of.
    #[must_use]
    pub fn are_about_places(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.about, About::Path(_)))
    }

    /// What is said of a file at that place, and by which line.
    #[must_use]
    pub fn of_path(&self, path: &RelPath) -> Option<(Privacy, &str)> {
        let path = Spelled::of(path);
        let last = self.rules.iter().rev().find(|rule| match &rule.about {
            About::Path(pattern) => pattern.fits(&path),
            About::SourceType(_) => false,
        });
        last.map(|rule| (rule.privacy, rule.line.as_str()))
    }

    /// What is said of a kind of source, and by which line.
    #[must_use]
    pub fn of_type(&self, source_type: &str) -> Option<(Privacy, &str)> {
        let wanted = source_type.trim().to_lowercase();
        let last = self.rules.iter().rev().find(|rule| match &rule.about {
            About::SourceType(named) => *named == wanted,
            About::Path(_) => false,
        });
        last.map(|rule| (rule.privacy, rule.line.as_str()))
    }
}

fn rule(line: &str) -> Result<Rule, RuleError> {
    let refuse = |reason: &str| RuleError { line: line.to_owned(), reason: reason.to_owned() };
    let (word, what) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let what = what.trim();
    let privacy = word.parse().map_err(|_| {
        refuse("it begins with local_only, redacted or full, then comes a pattern or type:WORD")
    })?;
    if what.is_empty() {
        return Err(refuse("it does not say of what: a pattern as in .gitignore, or type:WORD"));
    }
    if what.starts_with('!') {
        return Err(refuse("an exception is a later line that begins with full"));
    }
    let about = match what.strip_prefix(TYPE) {
        Some(named) if named.trim().is_empty() => return Err(refuse("type: names no kind of source")),
        Some(named) => About::SourceType(named.trim().to_lowercase()),
        None => About::Path(PathPattern::parse(what).map_err(|reason| refuse(&reason))?),
    };
    Ok(Rule { privacy, about, line: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // S8
    #[rstest]
    #[case::below_a_directory("local_only /letters/", "letters/2020/a.txt", Some(Privacy::LocalOnly))]
    #[case::not_beside_it("local_only /letters/", "letters.txt", None)]
    #[case::anchored("local_only /letters/", "old/letters/a.txt", None)]
    #[case::anywhere("local_only letters/", "old/letters/a.txt", Some(Privacy::LocalOnly))]
    #[case::by_ending("redacted *.eml", "a/b.eml", Some(Privacy::Redacted))]
    #[case::a_later_line_makes_the_exception(
        "local_only /letters/\nfull /letters/public/",
        "letters/public/a.txt",
        Some(Privacy::Full)
    )]
    #[case::and_an_earlier_one_none(
        "full *.txt\nlocal_only /letters/",
        "letters/a.txt",
        Some(Privacy::LocalOnly)
    )]
    #[case::of_decomposed_names("local_only /K\u{e4}se/", "Ka\u{308}se/a.txt", Some(Privacy::LocalOnly))]
    #[case::typed_decomposed("local_only /Ka\u{308}se/", "K\u{e4}se/a.txt", Some(Privacy::LocalOnly))]
    #[case::a_comment("# local_only *\n\n", "a", None)]
    #[case::of_types_alone("local_only type:diary", "diary", None)]
    fn the_last_line_that_fits_a_path_counts(
        #[case] rules: &str,
        #[case] path: &str,
        #[case] says: Option<Privacy>,
    ) {
        let rules = Rules::parse(rules).unwrap();
        assert_eq!(rules.of_path(&RelPath::from(path)).map(|(privacy, _)| privacy), says);
    }

    // S8
    #[test]
    fn a_kind_of_source_is_a_word() {
        let rules = Rules::parse("local_only type:Diary\nredacted type:letter").unwrap();
        assert_eq!(rules.of_type("diary").map(|(privacy, _)| privacy), Some(Privacy::LocalOnly));
        assert_eq!(rules.of_type("Letter"), Some((Privacy::Redacted, "redacted type:letter")));
        assert_eq!(rules.of_type("book"), None);
    }

    // S8
    #[rstest]
    #[case("secret /letters/")]
    #[case("local_only")]
    #[case("local_only type:")]
    #[case("local_only !a")]
    #[case("local_only [z-a]")]
    #[case("/letters/")]
    fn what_is_no_rule_is_refused(#[case] line: &str) {
        assert_eq!(Rules::parse(&format!("full a\n{line}")).unwrap_err().line, line);
    }
}
