//! A query as what stores can be asked for. Pure. What a store cannot be asked for is refused by name: an answer out of
//! documents that were not meant would be worse than none.

use super::query::{Atom, Clause, Query, Scope, Words};
use super::words::Facet;
use crate::model::filter::{self, Filter, Term, same_word};

/// A part of a query that no store can be asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotForStores {
    /// Words to look for.
    #[error("{0:?} is a word to look for, not something that a card says")]
    Word(String),
    /// Something that only the catalogue knows.
    #[error("only the catalogue knows {0}, a store does not")]
    CatalogueOnly(&'static str),
}

/// What a card must say for a query to fit: types, tiers, tags, languages and dates.
///
/// # Errors
/// [`NotForStores`]: the query asks for something else, too.
pub fn conditions(query: &Query) -> Result<Filter, NotForStores> {
    let clause = |clause: &Clause| {
        let any = clause.any.iter().map(term).collect::<Result<_, _>>()?;
        Ok(filter::Clause { not: clause.not, any })
    };
    query.clauses.iter().map(clause).collect::<Result<_, _>>().map(Filter)
}

fn term(atom: &Atom) -> Result<Term, NotForStores> {
    Ok(match atom {
        Atom::Exact(Facet::Type, value) => Term::Type(same_word(value)),
        Atom::Exact(Facet::Tier, value) => Term::Tier(same_word(value)),
        Atom::Exact(Facet::Tag, value) => Term::Tag(same_word(value)),
        Atom::Exact(Facet::Language, value) => Term::Language(same_word(value)),
        Atom::Before(day) => Term::Before(*day),
        Atom::After(day) => Term::After(*day),
        Atom::Exact(Facet::Kind, _) => return Err(NotForStores::CatalogueOnly("kind:")),
        Atom::Exact(Facet::Library, _) | Atom::Library(_) => {
            return Err(NotForStores::CatalogueOnly("library:"));
        }
        Atom::Missing => return Err(NotForStores::CatalogueOnly("missing:")),
        Atom::Words(Words { scope, text, .. }) => {
            return Err(match scope {
                Scope::Title => NotForStores::CatalogueOnly("words of title:"),
                Scope::Author => NotForStores::CatalogueOnly("words of author:"),
                Scope::Notes => NotForStores::CatalogueOnly("words of note:"),
                Scope::Path => NotForStores::CatalogueOnly("words of path:"),
                Scope::Tags => NotForStores::CatalogueOnly("beginnings of tag:"),
                Scope::Anywhere | Scope::Names | Scope::Text => NotForStores::Word(text.clone()),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn of(typed: &str) -> Result<Filter, NotForStores> {
        conditions(&Query::parse(typed))
    }

    // S9
    #[test]
    fn what_a_card_says_can_be_asked_of_a_store() {
        let clause = |not, any: &[Term]| filter::Clause { not, any: any.to_vec() };
        assert_eq!(
            of("type:Book tag:\"World  History\" OR tag:x -lang:de tier:1 before:2020 after:2019-05"),
            Ok(Filter(vec![
                clause(false, &[Term::Type("book".into())]),
                clause(false, &[Term::Tag("world history".into()), Term::Tag("x".into())]),
                clause(true, &[Term::Language("de".into())]),
                clause(false, &[Term::Tier("1".into())]),
                clause(false, &[Term::Before(20200101)]),
                clause(false, &[Term::After(20190501)]),
            ]))
        );
        assert_eq!(of(""), Ok(Filter::default()));
    }

    // S9
    #[rstest]
    #[case("cats", "\"cats\"")]
    #[case("type:book library:x", "library:")]
    #[case("kind:pdf", "kind:")]
    #[case("missing:yes", "missing:")]
    #[case("tag:a OR author:marl", "author:")]
    #[case("tag:hist*", "tag:")]
    fn what_only_the_catalogue_knows_is_refused_by_name(#[case] typed: &str, #[case] named: &str) {
        let error = of(typed).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
