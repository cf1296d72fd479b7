//! One edit: every document that is asked for, in one transaction, with the log of it and with what follows for stores and
//! search (T1). It is all there or not at all, whatever happens meanwhile.

use std::collections::BTreeMap;

use super::CurateError;
use super::change::{Change, decide, persons_word};
use super::value::plain;
use ulid::Ulid;

use crate::catalog::edits::{self, EditChange, Word};
use crate::catalog::{Catalog, CatalogError, Connection, Ids, documents, ledger, outbox, privacy, search};
use crate::model::document::{self, effective, ranked};
use crate::model::{Annotation, Field, ObjectState, Privacy, Source};
use crate::power::point;

/// Documents that are indexed at once after an edit, for whoever looks for what he has just written. Beyond that it is the
/// next sync's work.
const INDEX_AT_ONCE: u32 = 50;

/// What is asked of one document.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Which one.
    pub document_id: i64,
    /// Its id. The number of a document that a scan discarded meanwhile may be another's by now.
    pub ulid: Ulid,
    /// Of its fields.
    pub fields: &'a [Asked],
}

/// What is asked of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Which one.
    pub field: Field,
    /// What is to become of it.
    pub change: Change,
    /// What it has to show still, where that matters ([`plain`]).
    pub expects: Option<Vec<String>>,
}

impl Asked {
    /// Whatever the field shows.
    #[must_use]
    pub fn new(field: Field, change: Change) -> Self {
        Asked { field, change, expects: None }
    }
}

/// A field that changes: the word that counted, and the one that counts then.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Of which document.
    pub document_id: i64,
    /// Which field.
    pub field: Field,
    /// Before; a word without values says that there is none.
    pub before: Option<Annotation>,
    /// After.
    pub after: Option<Annotation>,
}

/// What an edit did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Its number; none where nothing changed or nothing was to be kept.
    pub edit_id: Option<i64>,
    /// Documents that were asked for.
    pub selected: u64,
    /// Documents that changed.
    pub documents: u64,
    /// Their fields that changed.
    pub fields: u64,
    /// Documents that are to leave less than before, by the number of each store that has something of them already.
    pub held: BTreeMap<i64, u64>,
    /// Documents of which the new word on privacy does not count, because a rule is stricter.
    pub ruled: u64,
}

/// Carries out what is asked as one edit. Nothing is kept where it fails.
///
/// # Errors
/// [`CurateError::TooMany`] where more than `most` documents would change.
pub fn edit<'a>(
    catalog: &mut Catalog,
    said: &str,
    asks: impl IntoIterator<Item = Ask<'a>>,
    most: Option<u64>,
    now_ms: i64,
    told: &mut dyn FnMut(Told),
) -> Result<Report, CurateError> {
    let report = catalog.change(|tx| {
        let mut pen = Pen::writing(tx, said, None, now_ms);
        for ask in asks {
            pen.carry_out(ask, told)?;
        }
        if most.is_some_and(|most| pen.report.documents > most) {
            return Err(CurateError::TooMany { documents: pen.report.documents });
        }
        point("edit-written");
        Ok(pen.report)
    })?;
    point("edit-committed");
    Ok(report)
}

/// What [`edit`] would do.
///
/// # Errors
/// SQLite's, and values that a card cannot hold.
pub fn preview<'a>(
    catalog: &Catalog,
    asks: impl IntoIterator<Item = Ask<'a>>,
    now_ms: i64,
    told: &mut dyn FnMut(Told),
) -> Result<Report, CurateError> {
    let snapshot = catalog.snapshot()?;
    let mut pen = Pen::dry(&snapshot, now_ms);
    for ask in asks {
        pen.carry_out(ask, told)?;
    }
    Ok(pen.report)
}

/// Lets what was just written be found, where only little waits to be indexed. Returns how much waits still; beyond some
/// it is not counted.
///
/// # Errors
/// SQLite's.
pub fn index_now(catalog: &mut Catalog) -> Result<u64, CatalogError> {
    let waiting = edits::count_search_stale(catalog.read(), INDEX_AT_ONCE + 1)?;
    if waiting == 0 || waiting > u64::from(INDEX_AT_ONCE) {
        return Ok(waiting);
    }
    catalog.change::<_, CatalogError>(|tx| search::index_stale(tx, INDEX_AT_ONCE as usize))?;
    Ok(0)
}

/// Writes one edit.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    conn: &'a Connection,
    /// What was asked, in words, and the edit that is taken back by it; none where nothing is to be kept.
    writes: Option<(&'a str, Option<i64>)>,
    now_ms: i64,
    ids: Ids,
    pub(super) report: Report,
}

impl<'a> Pen<'a> {
    pub(super) fn writing(conn: &'a Connection, said: &'a str, undoes: Option<i64>, now_ms: i64) -> Self {
        Pen { writes: Some((said, undoes)), ..Pen::dry(conn, now_ms) }
    }

    pub(super) fn dry(conn: &'a Connection, now_ms: i64) -> Self {
        Pen { conn, writes: None, now_ms, ids: Ids::default(), report: Report::default() }
    }

    fn carry_out(&mut self, ask: Ask<'_>, told: &mut dyn FnMut(Told)) -> Result<(), CurateError> {
        let Ask { document_id, ulid, fields } = ask;
        if !documents::is(self.conn, document_id, ulid)? {
            return Err(CurateError::GoneMeanwhile { ulid });
        }
        let annotations = documents::annotations(self.conn, document_id)?;
        let ranked = ranked(&annotations);
        let mut words = Vec::with_capacity(fields.len());
        for Asked { field, change, expects } in fields {
            let said = ranked.get(field).map_or(&[][..], Vec::as_slice);
            let shown = said.first().map_or(&[][..], |word| &word.values);
            if expects.as_ref().is_some_and(|expected| *expected != plain(*field, shown)) {
                return Err(CurateError::ChangedMeanwhile { document_id, field: *field });
            }
            words.push((*field, decide(*field, change, said)?));
        }
        Ok(self.write(document_id, &annotations, words, told)?)
    }

    /// Puts the person's words on a card.
    pub(super) fn write(
        &mut self,
        document_id: i64,
        annotations: &[Annotation],
        words: Vec<(Field, Word)>,
        told: &mut dyn FnMut(Told),
    ) -> Result<(), CatalogError> {
        self.report.selected += 1;
        let changes: Vec<EditChange> = words
            .into_iter()
            .map(|(field, after)| EditChange {
                document_id,
                field,
                before: persons_word(annotations, field),
                after,
            })
            .filter(|change| change.before != change.after)
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        self.report.documents += 1;
        self.report.fields += changes.len() as u64;
        let then = with(annotations, &changes, self.now_ms);
        let counts =
            |annotations: &[Annotation], field| ranked(annotations).get(&field).map(|words| words[0].clone());
        for change in &changes {
            let (before, after) = (counts(annotations, change.field), counts(&then, change.field));
            told(Told { document_id, field: change.field, before, after });
        }
        let before = privacy::of(self.conn, document_id, annotations)?;
        let after = privacy::of(self.conn, document_id, &then)?;
        let words = (document::privacy(annotations), document::privacy(&then));
        if after > before {
            self.note_held(document_id)?;
        }
        if changes.iter().any(|change| change.field == Field::Privacy) && after > words.1 {
            self.report.ruled += 1;
        }
        let Some((said, undoes)) = self.writes else { return Ok(()) };
        let edit_id = match self.report.edit_id {
            Some(edit_id) => edit_id,
            None => *self.report.edit_id.insert(edits::begin(self.conn, said, undoes, self.now_ms)?),
        };
        for change in &changes {
            edits::change(self.conn, edit_id, change, self.now_ms)?;
        }
        edits::set_search_stale(self.conn, document_id)?;
        // Also what a rule holds back and a decision waits for: here a person says it of this very document.
        if before != after || words.1 > words.0 {
            privacy::change(self.conn, &mut self.ids, document_id, after, self.now_ms)?;
        }
        if after != Privacy::LocalOnly && rendered(annotations) != rendered(&then) {
            outbox::enqueue_mirror(self.conn, &mut self.ids, document_id, self.now_ms)?;
        }
        point("edit-document");
        Ok(())
    }

    /// Which stores have something of a document, or may have.
    fn note_held(&mut self, document_id: i64) -> Result<(), CatalogError> {
        let mut stores: Vec<i64> = ledger::of_document(self.conn, document_id)?
            .into_iter()
            .filter(|object| !matches!(object.state, ObjectState::Planned | ObjectState::Deleted))
            .map(|object| object.store_id)
            .collect();
        stores.sort_unstable();
        stores.dedup();
        for store_id in stores {
            *self.report.held.entry(store_id).or_default() += 1;
        }
        Ok(())
    }
}

/// Everything that is said of a document, with the person's new words.
fn with(annotations: &[Annotation], changes: &[EditChange], now_ms: i64) -> Vec<Annotation> {
    let is_replaced = |annotation: &Annotation| {
        annotation.source == Source::Person && changes.iter().any(|change| change.field == annotation.field)
    };
    let mut then: Vec<Annotation> =
        annotations.iter().filter(|annotation| !is_replaced(annotation)).cloned().collect();
    then.extend(changes.iter().filter_map(|change| {
        change.after.as_ref().map(|values| Annotation {
            field: change.field,
            values: values.clone(),
            source: Source::Person,
            agent: String::new(),
            confidence: 1.0,
            updated_at: now_ms,
        })
    }));
    then
}

/// What of the card stores are given (enrich::render): neither notes nor privacy.
fn rendered(annotations: &[Annotation]) -> BTreeMap<Field, &[String]> {
    effective(annotations)
        .into_iter()
        .filter(|(field, _)| !matches!(field, Field::Notes | Field::Privacy))
        .map(|(field, word)| (field, word.values.as_slice()))
        .collect()
}
