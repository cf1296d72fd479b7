//! What is told of an edit, done or tried: the fields with what they were and are, and what follows for stores.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{plural, put_path};
use super::selection::{MANY, Selected};
use crate::catalog::{Catalog, CatalogError, documents, export, libraries, stores};
use crate::clock::Clock;
use crate::curate::{self, Ask, Asked, CurateError, Report, Told};
use crate::model::path::display_name;
use crate::model::{Annotation, RelPath};

/// Changes that people are shown; scripts get all.
const SHOWN: usize = 100;
/// Characters of a value in a table.
const WIDE: usize = 60;

/// Edits what is asked, or says what that would be.
pub(super) struct Command<'a> {
    pub(super) said: String,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) selected: &'a Selected,
    pub(super) fields: &'a [Asked],
}

impl Command<'_> {
    pub(super) fn run(self, context: &mut Context, catalog: &mut Catalog) -> Result<Exit, Failure> {
        let Command { said, dry_run, yes, selected, fields } = self;
        let now_ms = context.clock.now_ms();
        let mut changes = Changes::new(context.json);
        let asks = (selected.documents.iter().zip(&selected.ulids)).map(|(document_id, ulid)| Ask {
            document_id: *document_id,
            ulid: *ulid,
            fields,
        });
        let report = if dry_run {
            curate::preview(catalog, asks, now_ms, &mut |told| changes.take(told))?
        } else {
            let most = (!yes).then_some(MANY);
            curate::edit(catalog, &said, asks, most, now_ms, &mut |told| changes.take(told))?
        };
        let object = json!({ "dry_run": dry_run });
        if selected.documents.is_empty() && !context.json {
            context.out.line("no document fits")?;
        }
        print(context, catalog, &report, &changes, object)?;
        if !dry_run {
            let_be_found(catalog)?;
        }
        Ok(Exit::Done)
    }
}

/// Whoever looks for what he has just written finds it. That this failed is no failure of the edit, which is kept.
pub(super) fn let_be_found(catalog: &mut Catalog) -> Result<(), CatalogError> {
    match curate::index_now(catalog) {
        Err(error) if error.is_for_want_of_writing() => Ok(()),
        done => done.map(|_| ()),
    }
}

/// Fields that changed, as many as are shown.
pub(super) struct Changes {
    all: bool,
    told: Vec<Told>,
}

impl Changes {
    pub(super) fn new(all: bool) -> Self {
        Changes { all, told: Vec::new() }
    }

    pub(super) fn take(&mut self, told: Told) {
        if self.all || self.told.len() < SHOWN {
            self.told.push(told);
        }
    }
}

/// Tells of an edit; `object` has what the command adds for scripts.
pub(super) fn print(
    context: &mut Context,
    catalog: &Catalog,
    report: &Report,
    changes: &Changes,
    mut object: Value,
) -> Result<(), Failure> {
    let dry_run = object["dry_run"] == json!(true);
    let places = Places::of(catalog)?;
    let held: Vec<(String, u64)> = stores::all(catalog.read())?
        .into_iter()
        .filter_map(|store| report.held.get(&store.store_id).map(|documents| (store.name, *documents)))
        .collect();
    if context.json {
        let changes: Vec<Value> = changes
            .told
            .iter()
            .map(|told| {
                let mut change = places.json(catalog, told.document_id)?;
                change["field"] = json!(told.field);
                change["before"] = word_json(told.before.as_ref());
                change["after"] = word_json(told.after.as_ref());
                Ok(change)
            })
            .collect::<Result<_, CatalogError>>()?;
        object["edit"] = json!(report.edit_id);
        object["selected"] = json!(report.selected);
        object["documents"] = json!(report.documents);
        object["fields"] = json!(report.fields);
        object["changes"] = json!(changes);
        object["held_by_rules"] = json!(report.ruled);
        object["held_by_stores"] = json!(
            held.iter().map(|(store, n)| json!({ "store": store, "documents": n })).collect::<Vec<_>>()
        );
        context.out.json(&object)?;
        return Ok(());
    }
    let mut rows = Vec::with_capacity(changes.told.len());
    for told in &changes.told {
        rows.push(vec![
            places.text(catalog, told.document_id)?,
            told.field.to_string(),
            word_text(told.before.as_ref()),
            word_text(told.after.as_ref()),
        ]);
    }
    let out = &mut context.out;
    if !rows.is_empty() {
        out.table(&["DOCUMENT", "FIELD", "BEFORE", "AFTER"], &rows)?;
    }
    let more = report.fields.saturating_sub(rows.len() as u64);
    if more > 0 {
        out.line(format!("and {} more; --json lists all", plural(more, "field", "fields")))?;
    }
    let what = format!(
        "{} of {}",
        plural(report.fields, "field", "fields"),
        plural(report.documents, "document", "documents")
    );
    match report.edit_id {
        _ if report.fields == 0 => out.line("nothing changed")?,
        _ if dry_run => out.line(format!("dry run: {what} would change"))?,
        Some(edit_id) => {
            out.line(format!("edit {edit_id}: {what} changed; take it back with: shelflist undo {edit_id}"))?;
        }
        None => {}
    }
    for (store, documents) in &held {
        out.line(format!(
            "{store} holds what was sent before of {}: the next sync deletes it there",
            plural(*documents, "document that is to leave less now", "documents that are to leave less now"),
        ))?;
    }
    if report.ruled > 0 {
        out.line(format!(
            "{} held back farther by a rule all the same; see: shelflist config get privacy.rules",
            plural(report.ruled, "document is", "documents are"),
        ))?;
    }
    Ok(())
}

/// Where documents are, for people.
pub(super) struct Places {
    libraries: HashMap<i64, String>,
}

impl Places {
    pub(super) fn of(catalog: &Catalog) -> Result<Self, CatalogError> {
        let all = libraries::all(catalog.read())?;
        Ok(Places { libraries: all.into_iter().map(|library| (library.library_id, library.name)).collect() })
    }

    fn find(&self, catalog: &Catalog, document_id: i64) -> Result<Option<(String, RelPath)>, CatalogError> {
        let place = export::place(catalog.read(), document_id, None)?;
        Ok(place.map(|(library, path)| (self.libraries.get(&library).cloned().unwrap_or_default(), path)))
    }

    pub(super) fn text(&self, catalog: &Catalog, document_id: i64) -> Result<String, CatalogError> {
        Ok(match self.find(catalog, document_id)? {
            Some((library, path)) => format!("{library}: {path}"),
            None => documents::by_id(catalog.read(), document_id)?.ulid.to_string(),
        })
    }

    /// The beginning of an object: `document_id`, `library`, `path`.
    pub(super) fn json(&self, catalog: &Catalog, document_id: i64) -> Result<Value, CatalogError> {
        let ulid = documents::by_id(catalog.read(), document_id)?.ulid.to_string();
        let mut object = json!({ "document_id": ulid, "library": null, "path": null });
        if let Some((library, path)) = self.find(catalog, document_id)? {
            object["library"] = json!(library);
            put_path(&mut object, &path);
        }
        Ok(object)
    }
}

fn word_json(word: Option<&Annotation>) -> Value {
    word.map_or(
        Value::Null,
        |word| json!({ "values": word.values, "source": word.source, "agent": agent(word) }),
    )
}

/// Which command, where one says so.
pub(super) fn agent(word: &Annotation) -> Option<&str> {
    (!word.agent.is_empty()).then_some(word.agent.as_str())
}

/// What a field shows, in few characters.
fn word_text(word: Option<&Annotation>) -> String {
    let Some(word) = word else { return "-".to_owned() };
    if word.values.is_empty() {
        return "(none)".to_owned();
    }
    let text = display_name(word.values.join("; ").as_bytes());
    let short: String = text.chars().take(WIDE).collect();
    let source = match word.source {
        crate::model::Source::Person => String::new(),
        source => format!(" ({source})"),
    };
    if short.len() < text.len() { format!("{short}…{source}") } else { format!("{short}{source}") }
}

impl From<CurateError> for Failure {
    fn from(error: CurateError) -> Self {
        let message = super::exit::chain(&error);
        match error {
            CurateError::Catalog(error) => error.into(),
            CurateError::Io(error) => error.into(),
            CurateError::Value(_) => Failure::usage(message).hint("nothing was changed"),
            CurateError::TooMany { documents } => {
                Failure::new(Exit::Failed, format!("{documents} documents would be changed; nothing was"))
                    .hint(format!(
                        "look at them with --dry-run; more than {MANY} are changed only with --yes"
                    ))
            }
            CurateError::NoSuchEdit(_) => {
                Failure::usage(message).hint("see the last ones with: shelflist undo --list")
            }
            CurateError::NothingToUndo => {
                Failure::new(Exit::Failed, message).hint("see the log with: shelflist undo --list")
            }
            CurateError::UndoneAlready { by: Some(by), .. } => Failure::new(Exit::Failed, message)
                .hint(format!("to bring it into effect again, take that back: shelflist undo {by}")),
            CurateError::UndoneAlready { by: None, .. } => Failure::new(Exit::Failed, message),
            CurateError::ChangedMeanwhile { .. } | CurateError::GoneMeanwhile { .. } => {
                Failure::new(Exit::Failed, message).hint("nothing was changed; run the command again")
            }
            CurateError::NoList { .. } => Failure::new(Exit::Failed, message).hint(
                "nothing was changed; give a file that `shelflist export` wrote, or a table of its form",
            ),
        }
    }
}
