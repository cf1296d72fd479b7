mod json;
mod text;

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use crate::catalog::decisions::{self, Decision};
use crate::catalog::dirs::{self, DirState, KnownDir};
use crate::catalog::documents::{self, Document};
use crate::catalog::explain::{self, LastLook, ScanCard};
use crate::catalog::ledger::{self, RemoteObject};
use crate::catalog::libraries::{self, Library};
use crate::catalog::query::{self, FileCard};
use crate::catalog::queue::{self, Operation};
use crate::catalog::stores::StoreRow;
use crate::catalog::{Catalog, enrichments, privacy, problems, scope, settings, stores};
use crate::model::path::display_name;
use crate::model::scope::Standing;
use crate::model::{Presence, Privacy, Problem, RelPath, setting};
use crate::scan::{LeftOut, RULE_FILE, left_out_by};
use json::{known_json, place_json};
use text::{problem_line, tell_known, tell_root, why_unknown};

/// Tell why the catalogue says of a file what it says.
///
/// When it was looked at last and what differed then, how its disk stood then and stands now, its document and copies,
/// what waits to be sent, what the stores hold, and what stands in the way. Of a path that is not catalogued: why not.
/// Answers out of the catalogue, with the disk away; nothing is looked at.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A path on disk, or relative to a library's root.
    path: PathBuf,
}

/// What is known of a place in a library, whether or not there is a file.
struct Place {
    library: Library,
    path: RelPath,
    /// The directory at the path itself.
    dir: Option<KnownDir>,
    /// The lowest directory above it (or at it) that could not be listed, and since when.
    frozen: Option<(RelPath, Option<i64>)>,
    /// The directory above it (or at it) that a rule left out at the last scan.
    excluded_dir: Option<RelPath>,
    /// The directory above it that is proved absent.
    gone_dir: Option<RelPath>,
    problem: Option<(Problem, i64)>,
    rule: Option<LeftOut>,
    /// Rule files on the disk that may have a say, as far as they are catalogued.
    rule_files: Vec<RelPath>,
}

/// What is known of a file beyond its place.
struct Known {
    card: FileCard,
    look: LastLook,
    scan: Option<ScanCard>,
    root_then: Option<String>,
    document: Option<Document>,
    /// How far it may leave, and the rule that says so.
    privacy: Option<(Privacy, Option<String>)>,
    /// Of each store, what is said of whether it is for it.
    scopes: Vec<InScope>,
    copies: Vec<FileCard>,
    operations: Vec<Operation>,
    objects: Vec<(Option<String>, RemoteObject)>,
    decisions: Vec<Decision>,
    text_problem: Option<(String, String)>,
}

/// Whether a document is for a store.
struct InScope {
    store: String,
    /// The store is given everything.
    all: bool,
    is_in: bool,
    /// The pattern that says so.
    pattern: Option<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { path } = args;
    let catalog = context.open()?;
    let _snapshot = catalog.snapshot()?;
    if let Some((library, card)) = context.file(&catalog, &path)? {
        let place = place(&catalog, library, card.path.clone(), false)?;
        let known = known(&catalog, &place.library, card)?;
        let libraries: HashMap<i64, Library> = libraries::all(catalog.read())?
            .into_iter()
            .map(|library| (library.library_id, library))
            .collect();
        if context.json {
            context.out.json(&known_json(&place, &known, &libraries))?;
        } else {
            tell_known(context, &place, &known, &libraries)?;
        }
        return Ok(Exit::Done);
    }
    let meant = context.resolve(&catalog, &path)?;
    if meant.is_empty() {
        let shown = display_name(path.as_os_str().as_bytes());
        return Err(Failure::new(Exit::Failed, format!("{shown} lies in no library"))
            .hint("see where they are with: shelflist library list; make one with: shelflist init ROOT"));
    }
    let mut places = Vec::new();
    for (library, rel) in meant {
        places.push(place(&catalog, library, rel, true)?);
    }
    // Where a path could mean several things, the one that the catalogue knows something of is meant.
    let is_known = |place: &Place| place.dir.is_some() || place.problem.is_some();
    if places.iter().any(is_known) {
        places.retain(is_known);
    }
    if context.json {
        let places: Vec<Value> = places
            .iter()
            .map(|place| {
                let mut object = place_json(place);
                object["directory"] = json!(place.dir.as_ref().map(|dir| dir.state));
                object["why"] = json!(why_unknown(place));
                object
            })
            .collect();
        context.out.json(&json!({ "known": false, "places": places }))?;
        return Ok(Exit::Done);
    }
    for place in &places {
        let what = if place.dir.is_some() { "directory" } else { "not in the catalogue" };
        context.out.line(format!("{}: {}  {what}", place.library.name, place.path))?;
        context.out.line(format!("  {}", why_unknown(place)))?;
        tell_root(context, &place.library)?;
        if let Some((problem, since)) = &place.problem {
            context.out.line(problem_line(problem, *since))?;
        }
    }
    Ok(Exit::Done)
}

fn place(catalog: &Catalog, library: Library, path: RelPath, perhaps_dir: bool) -> Result<Place, Failure> {
    let conn = catalog.read();
    let library_id = library.library_id;
    let lineage = dirs::lineage(conn, library_id, &path)?;
    let lowest = |state: DirState| lineage.iter().rev().find(|dir| dir.state == state);
    let frozen = match lowest(DirState::Frozen) {
        Some(dir) => Some((dir.path.clone(), explain::frozen_since(conn, dir.dir_id)?)),
        None => None,
    };
    let dir = lineage.iter().find(|dir| dir.path == path).cloned();
    let patterns = settings::get(conn, &setting::SCAN_EXCLUDE)?.0;
    // What is not known may be either; a rule for directories alone is told as well.
    let rule = match left_out_by(&patterns, &path, false) {
        Ok(None) if perhaps_dir => left_out_by(&patterns, &path, true),
        rule => rule,
    }
    .map_err(crate::scan::ScanError::from)?;
    let mut rule_files = Vec::new();
    let mut above = path.split().map(|(dir, _)| dir);
    while let Some(dir) = above {
        let file = dir.join(RULE_FILE);
        if query::file_at(conn, library_id, &file)?.is_some_and(|card| card.presence == Presence::Present) {
            rule_files.push(file);
        }
        above = dir.split().map(|(dir, _)| dir);
    }
    Ok(Place {
        problem: problems::at(conn, library_id, &path)?,
        excluded_dir: lowest(DirState::Excluded).map(|dir| dir.path.clone()),
        gone_dir: lowest(DirState::Gone).map(|dir| dir.path.clone()),
        library,
        path,
        dir,
        frozen,
        rule,
        rule_files,
    })
}

fn known(catalog: &Catalog, library: &Library, card: FileCard) -> Result<Known, Failure> {
    let conn = catalog.read();
    let look = explain::last_look(conn, &card)?;
    // A scan that was killed before that seems to have gone on until the next one began.
    let scan = match card.evidence.as_deref() {
        Some(decisions::APPROVED) => None,
        _ => explain::scan_at(conn, library.library_id, look.said_at)?,
    };
    let stores = stores::all(conn)?;
    let of_store = |object: RemoteObject| {
        let store = stores.iter().find(|store| store.store_id == object.store_id);
        (store.map(|store| store.name.clone()), object)
    };
    let (mut document, mut copies, mut operations, mut objects) = (None, Vec::new(), Vec::new(), Vec::new());
    let (mut privacy, mut scopes) = (None, Vec::new());
    if let Some(document_id) = card.document_id {
        privacy = Some(privacy::why(conn, document_id, &documents::annotations(conn, document_id)?)?);
        for store in &stores {
            scopes.push(in_scope(catalog, store, document_id)?);
        }
        document = Some(documents::by_id(conn, document_id)?);
        copies = query::copies(conn, document_id)?;
        operations = queue::of_document(conn, document_id)?;
        objects = ledger::of_document(conn, document_id)?.into_iter().map(of_store).collect();
    }
    let enrichment = match card.content_hash {
        Some(hash) => enrichments::get(conn, hash)?,
        None => None,
    };
    Ok(Known {
        root_then: explain::root_at(
            conn,
            library,
            scan.as_ref().map_or(look.said_at, |scan| scan.started_at),
        )?,
        decisions: decisions::holding(conn, card.file_id, card.document_id)?,
        text_problem: enrichment
            .and_then(|enrichment| enrichment.problem)
            .map(|(kind, message)| (kind.to_string(), message)),
        card,
        look,
        scan,
        document,
        privacy,
        scopes,
        copies,
        operations,
        objects,
    })
}

fn in_scope(catalog: &Catalog, store: &StoreRow, document_id: i64) -> Result<InScope, Failure> {
    let store_name = store.name.clone();
    let Some(scope) = scope::of_store(catalog.read(), store.store_id)? else {
        return Ok(InScope { store: store_name, all: true, is_in: true, pattern: None });
    };
    let (is_in, pattern) = match scope::standing(catalog.read(), &scope, document_id)? {
        Standing::In(pattern) => (true, pattern),
        Standing::Out(pattern) => (false, pattern),
    };
    Ok(InScope { store: store_name, all: false, is_in, pattern: pattern.map(str::to_owned) })
}
