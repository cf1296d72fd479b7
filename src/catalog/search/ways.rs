//! The ways in which a document can fit: which of the words stand on its card, and which in its text.
//!
//! A word may stand in either index, and FTS5 runs through several lists of *one* index twenty times as fast as anybody can
//! from outside. So a query is taken apart into ways, each of which asks each index once: two words are both on the card, or
//! both in the text, or one here and one there.

use super::query::{Atom, Clause, Query};
use super::words;

/// Words that are taken apart: each doubles the ways. The words after them are checked of whatever fits so far.
const TAKEN_APART: usize = 4;

/// One way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) cards: Option<Asked>,
    pub(super) texts: Option<Asked>,
    /// What must not stand in an index that is not asked for anything else.
    pub(super) refused_cards: Option<Asked>,
    pub(super) refused_texts: Option<Asked>,
}

/// What an index is asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) expression: String,
    /// There is the beginning of a word in it, whose list SQLite makes anew each time it is asked.
    pub(super) has_prefix: bool,
}

/// All ways to fit a query: the one with everything on the card first, then the one with everything in the text. And the
/// clauses that have to be checked in each of them, by lists of their own.
pub(super) fn ways(query: &Query) -> (Vec<Way>, Vec<&Clause>) {
    let (mut on_cards, mut in_texts, mut in_either) = (Vec::new(), Vec::new(), Vec::new());
    let (mut refused, mut checked) = (Vec::new(), Vec::new());
    for clause in &query.clauses {
        match (card_expression(clause), text_expression(clause)) {
            _ if clause.any.iter().any(is_of_neither) => checked.push(clause),
            _ if clause.not => refused.push(clause),
            // What is made anew at every look is made once.
            (Some(_), Some(_)) if has_prefix(clause) || in_either.len() == TAKEN_APART => {
                checked.push(clause);
            }
            (Some(_), Some(_)) => in_either.push(clause),
            (Some(_), None) => on_cards.push(clause),
            (None, Some(_)) => in_texts.push(clause),
            (None, None) => checked.push(clause),
        }
    }
    let mut ways: Vec<(u32, Way)> = (0..1_u32 << in_either.len())
        .map(|in_text| {
            let (mut cards, mut texts, mut refused_texts) =
                (on_cards.clone(), in_texts.clone(), refused.clone());
            for (n, clause) in in_either.iter().enumerate() {
                if in_text >> n & 1 == 1 {
                    texts.push(*clause);
                } else {
                    cards.push(*clause);
                    // What has it in its text, too, fits in another way, and there it is found faster.
                    if in_text != 0 {
                        refused_texts.push(*clause);
                    }
                }
            }
            let (cards, refused_cards) = asked(&cards, &refused, card_expression);
            let (texts, refused_texts) = asked(&texts, &refused_texts, text_expression);
            (in_text.count_ones(), Way { cards, texts, refused_cards, refused_texts })
        })
        .collect();
    // Either as a whole, then what is mixed.
    ways.sort_by_key(|(words, _)| (*words != 0, *words as usize != in_either.len(), *words));
    (ways.into_iter().map(|(_, way)| way).collect(), checked)
}

/// What one index is asked, and what it is only asked to refuse.
fn asked(
    wanted: &[&Clause],
    refused: &[&Clause],
    expression: fn(&Clause) -> Option<String>,
) -> (Option<Asked>, Option<Asked>) {
    let joined = |clauses: &[&Clause], by: &str| {
        let expressions: Vec<String> = clauses.iter().filter_map(|clause| expression(clause)).collect();
        (!expressions.is_empty()).then(|| Asked {
            expression: expressions.join(by),
            has_prefix: clauses.iter().any(|clause| has_prefix(clause)),
        })
    };
    match (joined(wanted, " AND "), joined(refused, " OR ")) {
        (Some(wanted), Some(refused)) => {
            let asked = Asked {
                expression: format!("({}) NOT ({})", wanted.expression, refused.expression),
                has_prefix: wanted.has_prefix || refused.has_prefix,
            };
            (Some(asked), None)
        }
        apart => apart,
    }
}

/// Whether there is no word for it in either index.
fn is_of_neither(atom: &Atom) -> bool {
    matches!(atom, Atom::Library(_) | Atom::Missing | Atom::Before(_) | Atom::After(_))
}

pub(super) fn has_prefix(clause: &Clause) -> bool {
    clause.any.iter().any(|atom| matches!(atom, Atom::Words(words) if words.prefix))
}

/// A clause as the index of cards is asked, as far as it knows of it.
pub(super) fn card_expression(clause: &Clause) -> Option<String> {
    either(clause.any.iter().filter_map(|atom| match atom {
        Atom::Words(words) => words.on_cards(),
        Atom::Exact(facet, value) => Some(format!("{{terms}} : {}", words::term(*facet, value))),
        _ => None,
    }))
}

/// A clause as the index of texts is asked, as far as it knows of it.
pub(super) fn text_expression(clause: &Clause) -> Option<String> {
    either(clause.any.iter().filter_map(|atom| match atom {
        Atom::Words(words) => words.in_texts(),
        _ => None,
    }))
}

fn either(expressions: impl Iterator<Item = String>) -> Option<String> {
    let expressions: Vec<String> = expressions.collect();
    (!expressions.is_empty()).then(|| format!("({})", expressions.join(" OR ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(typed: &str) -> Vec<String> {
        let query = Query::parse(typed);
        let (ways, checked) = ways(&query);
        let told =
            |asked: &Option<Asked>| asked.as_ref().map_or("-".into(), |asked| asked.expression.clone());
        ways.iter()
            .map(|way| {
                format!(
                    "{} | {} | {} | {} | {}",
                    told(&way.cards),
                    told(&way.texts),
                    told(&way.refused_cards),
                    told(&way.refused_texts),
                    checked.len()
                )
            })
            .collect()
    }

    // O3
    #[test]
    fn two_words_are_on_the_card_or_in_the_text_or_one_here_and_one_there() {
        assert_eq!(
            told("a b"),
            [
                r#"("a") AND ("b") | - | - | - | 0"#,
                r#"- | ("a") AND ("b") | - | - | 0"#,
                r#"("b") | (("a")) NOT (("b")) | - | - | 0"#,
                r#"("a") | (("b")) NOT (("a")) | - | - | 0"#,
            ]
        );
    }

    // O3
    #[test]
    fn a_filter_is_asked_of_the_cards_in_every_way() {
        let ways = told("a type:book");
        assert_eq!(ways.len(), 2);
        assert!(ways.iter().all(|way| way.starts_with("({terms} : zzy")), "{ways:?}");
        assert!(ways[0].contains(r#"AND ("a") | -"#) && ways[1].contains(r#"| ("a") |"#), "{ways:?}");
        assert_eq!(told("text:a title:b"), [r#"({title} : "b") | ("a") | - | - | 0"#]);
    }

    // O3
    #[test]
    fn what_is_refused_is_refused_by_both_indexes() {
        assert_eq!(
            told("a -b"),
            [r#"(("a")) NOT (("b")) | - | - | ("b") | 0"#, r#"- | (("a")) NOT (("b")) | ("b") | - | 0"#]
        );
        assert_eq!(told("-b"), [r#"- | - | ("b") | ("b") | 0"#]);
    }

    // O3
    #[test]
    fn what_no_index_has_words_for_is_checked() {
        assert_eq!(told("missing:yes"), ["- | - | - | - | 1"]);
        assert_eq!(told("a -before:2020").len(), 2);
        assert!(told("a before:2020").iter().all(|way| way.ends_with("| 1")));
        // Either is one clause: a document that fits by its date needs no word.
        assert_eq!(told("a OR before:2020"), ["- | - | - | - | 1"]);
    }

    // O3
    #[test]
    fn the_list_of_a_beginning_is_made_once() {
        assert_eq!(told("a b*").len(), 2);
        assert!(told("a b*").iter().all(|way| way.ends_with("| 1")));
    }

    #[test]
    fn many_words_do_not_make_ways_without_end() {
        let ways = told("a b c d e f g");
        assert_eq!(ways.len(), 16);
        assert!(ways.iter().all(|way| way.ends_with("| 3")));
    }
}
