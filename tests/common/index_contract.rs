//! What every index must do, written once as functions over `&dyn Index`.
//!
//! An index may take its time: what was put is waited for by looking, at most [`LOOKS`] times, never by sleeping.
#![allow(dead_code)]

use std::collections::BTreeMap;

use shelflist::model::{Field, Payload};
use shelflist::remote::index::{Entry, Indexed, Readiness, RemoteName};
use shelflist::remote::{Deleted, Index, ObjectKey};
use ulid::Ulid;

/// So often is looked until something can be found.
const LOOKS: usize = 50;

pub(crate) fn now() -> jiff::Timestamp {
    "2026-11-21T09:00:00Z".parse().unwrap()
}

/// A document with everything that an [`Entry`] borrows.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) document: Ulid,
    pub(crate) title: String,
    pub(crate) fields: BTreeMap<Field, Vec<String>>,
    pub(crate) text: String,
    content: String,
    key: ObjectKey,
}

impl Given {
    /// A document of its own with this text.
    pub(crate) fn new(title: &str, text: &str) -> Given {
        Given::of(Ulid::generate(), title, text, &[])
    }

    /// A document with a card.
    pub(crate) fn of(document: Ulid, title: &str, text: &str, card: &[(Field, &[&str])]) -> Given {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        let mut fields: BTreeMap<Field, Vec<String>> =
            card.iter().map(|(field, of)| (*field, values(of))).collect();
        fields.insert(Field::Title, vec![title.to_owned()]);
        let content = format!("---\ndocument: \"{document}\"\ntitle: {title:?}\n---\n\n{text}");
        let key = ObjectKey::of_content(Payload::Enriched, blake3::hash(content.as_bytes()).as_bytes());
        Given { document, title: title.to_owned(), fields, text: text.to_owned(), content, key }
    }

    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            key: &self.key,
            document: self.document,
            title: &self.title,
            fields: &self.fields,
            content: &self.content,
            text: &self.text,
        }
    }

    pub(crate) fn key(&self) -> &ObjectKey {
        &self.key
    }

    pub(crate) fn bytes(&self) -> usize {
        self.content.len()
    }
}

pub(crate) fn locate(index: &dyn Index, given: &Given) -> Option<RemoteName> {
    let mut names = index.locate(&[given.key()]).unwrap().remove(0);
    assert!(names.len() <= 1, "put once and there twice: {names:?}");
    names.pop()
}

pub(crate) fn readiness(index: &dyn Index, name: &RemoteName) -> Readiness {
    index.standing(name).unwrap().readiness
}

/// Looks until it can be found.
#[track_caller]
pub(crate) fn searchable(index: &dyn Index, name: &RemoteName) {
    let seen = (0..LOOKS).map(|_| readiness(index, name)).find(|seen| *seen != Readiness::NotYet);
    assert_eq!(seen, Some(Readiness::Searchable), "{name}");
}

pub(crate) fn listed(index: &dyn Index) -> Vec<Indexed> {
    index.list().unwrap().map(Result::unwrap).collect()
}

/// Something that is called like the index's own names and is not there.
fn nobody(index: &dyn Index) -> RemoteName {
    let given = Given::new("nobody", "soon gone");
    let name = index.put(&given.entry()).unwrap();
    index.remove(&name).unwrap();
    name
}

/// All of it, on an index that was begun.
pub(crate) fn all(index: &dyn Index) {
    what_was_put_is_found_proved_and_listed(index);
    what_was_never_put_is_not_found(index);
    what_was_removed_is_gone_and_may_be_removed_again(index);
    two_documents_do_not_mix(index);
    two_contents_of_one_document_do_not_mix(index);
    odd_titles_fields_and_texts_are_taken(index);
    a_text_that_is_empty_is_taken(index);
    an_identity_stays(index);
    capabilities_are_true(index);
}

// S9, S10
pub(crate) fn what_was_put_is_found_proved_and_listed(index: &dyn Index) {
    let given = Given::new("A title", "Some words.\n\nMore words.\n");
    let name = index.put(&given.entry()).unwrap();
    assert_eq!(locate(index, &given), Some(name.clone()));
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    searchable(index, &name);
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    let listed = listed(index);
    let ours: Vec<&Indexed> = listed.iter().filter(|one| one.key.as_ref() == Some(given.key())).collect();
    assert_eq!(ours, [&Indexed { name, key: Some(given.key().clone()), readiness: Readiness::Searchable }]);
}

// S2
pub(crate) fn what_was_never_put_is_not_found(index: &dyn Index) {
    let given = Given::new("Never put", "x");
    assert_eq!(locate(index, &given), None);
    let gone = nobody(index);
    assert_eq!(readiness(index, &gone), Readiness::Gone);
    assert!(index.prove(&gone, &given.entry()).unwrap().is_none());
    assert!(index.locate(&[]).unwrap().is_empty());
}

// S2, T3
pub(crate) fn what_was_removed_is_gone_and_may_be_removed_again(index: &dyn Index) {
    let given = Given::new("To be removed", "x y z");
    let name = index.put(&given.entry()).unwrap();
    assert_eq!(index.remove(&name).unwrap(), Deleted::Deleted);
    assert_eq!(index.remove(&name).unwrap(), Deleted::WasAbsent);
    assert_eq!(readiness(index, &name), Readiness::Gone);
    assert_eq!(locate(index, &given), None);
    assert!(listed(index).iter().all(|one| one.key.as_ref() != Some(given.key())));
    // It may come back.
    let again = index.put(&given.entry()).unwrap();
    assert_eq!(locate(index, &given), Some(again));
}

// S2
pub(crate) fn two_documents_do_not_mix(index: &dyn Index) {
    let (one, two) = (Given::new("Same", "the same words"), Given::new("Same", "the same words"));
    let (first, second) = (index.put(&one.entry()).unwrap(), index.put(&two.entry()).unwrap());
    assert_ne!(first, second);
    let found = index.locate(&[two.key(), one.key()]).unwrap();
    assert_eq!(found, [vec![second.clone()], vec![first.clone()]]);
    assert!(
        index.prove(&first, &one.entry()).unwrap().is_some()
            && index.prove(&second, &two.entry()).unwrap().is_some()
    );
    assert!(index.prove(&first, &two.entry()).unwrap().is_none());
    index.remove(&first).unwrap();
    assert_eq!(locate(index, &two), Some(second.clone()));
    searchable(index, &second);
}

// T2: a replacement stands beside what it replaces until that is removed.
pub(crate) fn two_contents_of_one_document_do_not_mix(index: &dyn Index) {
    let document = Ulid::generate();
    let old = Given::of(document, "Edited", "before", &[]);
    let new = Given::of(document, "Edited", "after", &[]);
    let before = index.put(&old.entry()).unwrap();
    let after = index.put(&new.entry()).unwrap();
    assert_ne!(before, after);
    assert!(
        index.prove(&before, &old.entry()).unwrap().is_some()
            && index.prove(&before, &new.entry()).unwrap().is_none()
    );
    index.remove(&before).unwrap();
    assert_eq!(index.locate(&[old.key(), new.key()]).unwrap(), [vec![], vec![after.clone()]]);
    searchable(index, &after);
}

pub(crate) fn odd_titles_fields_and_texts_are_taken(index: &dyn Index) {
    let long = "å".repeat(5000);
    for title in [
        "",
        " ",
        "a\nb\tc\u{0}d",
        "\"quoted\" \\ 'it' {x} $y",
        "日本語 🦀 e\u{301}",
        &long,
        "chroma:x",
        "../..",
    ] {
        let many: Vec<String> = (0..100).map(|n| format!("{title}{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let card: Vec<(Field, &[&str])> = Field::ALL
            .iter()
            .filter(|field| **field != Field::Title)
            .map(|field| (*field, if field.is_list() { &many[..] } else { &many[..1] }))
            .collect();
        let given = Given::of(Ulid::generate(), title, &format!("{title}\r\n\u{feff}{title}\n"), &card);
        let name = index.put(&given.entry()).unwrap_or_else(|error| panic!("{title:.20?}: {error:?}"));
        assert!(index.prove(&name, &given.entry()).unwrap().is_some(), "{title:.20?}");
        assert_eq!(locate(index, &given), Some(name.clone()), "{title:.20?}");
        searchable(index, &name);
    }
    let empty_values = [(Field::Author, &["", " "][..]), (Field::Tags, &[]), (Field::Date, &["soon"])];
    let given = Given::of(Ulid::generate(), "t", "x", &empty_values);
    let name = index.put(&given.entry()).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
}

// S8: a redacted document leaves with its card alone.
pub(crate) fn a_text_that_is_empty_is_taken(index: &dyn Index) {
    let given = Given::new("No text at all", "");
    let name = index.put(&given.entry()).unwrap();
    assert!(index.prove(&name, &given.entry()).unwrap().is_some());
    searchable(index, &name);
}

// S12
pub(crate) fn an_identity_stays(index: &dyn Index) {
    let identity = index.identity().unwrap().expect("it was begun");
    assert!(!identity.store.is_empty() && !identity.generation.is_empty());
    assert_eq!(index.begin(now()).unwrap(), identity, "it is begun once");
    assert_eq!(index.identity().unwrap(), Some(identity));
}

pub(crate) fn capabilities_are_true(index: &dyn Index) {
    let can = index.capabilities();
    assert_eq!(can, index.capabilities());
    assert!(!can.client_names_objects && !can.conditional_put && can.parallel >= 1);
    assert!(
        index
            .manner()
            .is_none_or(|manner| manner.len() == 8 && manner.bytes().all(|b| b.is_ascii_hexdigit()))
    );
}
