//! What lies near a question.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::record::{Prefix, facet, name_of};
use super::{Chroma, PAGE};
use crate::remote::index::{ByMeaning, Index, Near, Only, Question};
use crate::remote::{Identity, StoreError};

/// Records asked for, for each document that is wanted: neighbours in a document often lie near the same question.
const RECORDS_EACH: usize = 6;
/// More are not gone through for one question.
const MOST_RECORDS: usize = 4_096;

impl ByMeaning for Chroma {
    fn identity(&self) -> Result<Option<Identity>, StoreError> {
        Index::identity(self)
    }

    fn nearest(&self, question: &Question<'_>) -> Result<Vec<Near>, StoreError> {
        let Some(place) = self.of_our_manner()? else { return Ok(Vec::new()) };
        let vectors = self.embedder.embed(&[question.text])?;
        let mut records = question.limit.saturating_mul(RECORDS_EACH).clamp(10, MOST_RECORDS);
        loop {
            let mut asked = json!({
                "query_embeddings": vectors,
                "n_results": records,
                "include": ["documents", "distances"],
            });
            if let Some(only) = clause(&question.only) {
                asked["where"] = only;
            }
            let Some(nearest) = self.api.query(&place.id, &asked)? else {
                self.make_sure_of_the_store()?;
                return Ok(Vec::new());
            };
            let ids = nearest.ids.into_iter().next().unwrap_or_default();
            let got = ids.len();
            let texts = nearest.documents.and_then(|all| all.into_iter().next()).unwrap_or_default();
            let distances = nearest.distances.and_then(|all| all.into_iter().next()).unwrap_or_default();
            let near = ids.into_iter().zip(distances).zip(texts).filter_map(|((id, distance), text)| {
                let (prefix, _) = Prefix::of_record(&id)?;
                Some((prefix, 1.0 - distance?, text.unwrap_or_default()))
            });
            let best = best_of_each(near);
            let whole = self.whole(&place.id, best.iter().map(|(prefix, ..)| prefix))?;
            let mut near: Vec<Near> = best
                .into_iter()
                .filter(|(prefix, ..)| {
                    whole.contains(prefix.as_str()) && (question.wanted)(&name_of(&place.id, prefix.as_str()))
                })
                .map(|(prefix, nearness, text)| Near {
                    document: prefix.document(),
                    name: name_of(&place.id, prefix.as_str()),
                    nearness,
                    text,
                })
                .collect();
            // Not enough, and there is more: former contents of documents and neighbours took the places.
            if near.len() < question.limit && got == records && records < MOST_RECORDS {
                records = (records * 4).min(MOST_RECORDS);
                continue;
            }
            near.truncate(question.limit);
            return Ok(near);
        }
    }
}

impl Chroma {
    /// Which of these are there whole: what was given half, before a crash, is no answer.
    fn whole<'a>(
        &self,
        collection: &str,
        prefixes: impl Iterator<Item = &'a Prefix>,
    ) -> Result<HashSet<String>, StoreError> {
        let ids: Vec<String> = prefixes.map(|prefix| prefix.record(0)).collect();
        let mut whole = HashSet::new();
        for page in ids.chunks(PAGE) {
            let records = self.api.get(collection, &json!({ "ids": page, "include": [] }))?;
            let there = records.map(|records| records.ids).unwrap_or_default();
            whole.extend(there.iter().filter_map(|id| Some(Prefix::of_record(id)?.0.as_str().to_owned())));
        }
        Ok(whole)
    }
}

/// Of each content its nearest piece, the nearest content first.
fn best_of_each(near: impl Iterator<Item = (Prefix, f64, String)>) -> Vec<(Prefix, f64, String)> {
    let mut best: BTreeMap<Prefix, (f64, String)> = BTreeMap::new();
    for (prefix, nearness, text) in near {
        if best.get(&prefix).is_none_or(|(held, _)| nearness > *held) {
            best.insert(prefix, (nearness, text));
        }
    }
    let mut best: Vec<(Prefix, f64, String)> =
        best.into_iter().map(|(prefix, (nearness, text))| (prefix, nearness, text)).collect();
    best.sort_by(|a, b| b.1.total_cmp(&a.1));
    best
}

/// What records must say, as Chroma asks for it: one key an object, several joined by `$and`. Nothing is asked for that must
/// not be there: `$ne` finds records that say nothing of it, too.
fn clause(only: &Only<'_>) -> Option<Value> {
    let Only { source_type, tier, language, tags } = only;
    let one = |name: &'static str, value: &Option<&str>| value.map(|value| facet(name, value));
    let single = [one("type", source_type), one("tier", tier), one("lang", language)].into_iter().flatten();
    let all = single.chain(tags.iter().map(|tag| facet("tag", tag)));
    let mut clauses: Vec<Value> =
        all.map(|facet| json!({ "shelf_facets": { "$contains": facet } })).collect();
    match clauses.len() {
        0 | 1 => clauses.pop(),
        _ => Some(json!({ "$and": clauses })),
    }
}

#[cfg(test)]
mod tests {
    use ulid::Ulid;

    use super::*;

    // S10
    #[test]
    fn a_filter_has_one_key_an_object() {
        let only = |source_type, tags: &[&'static str]| {
            clause(&Only {
                source_type,
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                ..Only::default()
            })
        };
        assert_eq!(only(None, &[]), None);
        let facet = |facet: &str| json!({ "shelf_facets": { "$contains": facet } });
        assert_eq!(only(Some("Book"), &[]), Some(facet("type=book")));
        assert_eq!(
            only(Some("book"), &["a", "b"]),
            Some(json!({ "$and": [facet("type=book"), facet("tag=a"), facet("tag=b")] }))
        );
    }

    #[test]
    fn a_content_is_as_near_as_its_nearest_piece() {
        let document = |n: u128| Prefix::of(Ulid::from(n), "k");
        let near = [
            (document(1), 0.2, "a"),
            (document(2), 0.5, "b"),
            (document(1), 0.7, "c"),
            (document(2), 0.1, "d"),
        ];
        let best = best_of_each(
            near.into_iter().map(|(prefix, nearness, text)| (prefix, nearness, text.to_owned())),
        );
        let texts: Vec<&str> = best.iter().map(|(.., text)| text.as_str()).collect();
        assert_eq!(texts, ["c", "b"]);
    }
}
