use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::copies::{copy_json, copy_line};
use super::decisions::question;
use super::exit::{Exit, Failure};
use super::output::{hex, local_time, plural, put_path, rfc3339, rfc3339_or_null, size};
use crate::catalog::decisions::{self, Decision};
use crate::catalog::dirs::{self, DirState, KnownDir};
use crate::catalog::documents::{self, Document};
use crate::catalog::explain::{self, LastLook, ScanCard};
use crate::catalog::ledger::{self, RemoteObject};
use crate::catalog::libraries::{self, Library};
use crate::catalog::outbox::{self, Operation};
use crate::catalog::query::{self, FileCard};
use crate::catalog::{Catalog, enrichments, problems, settings, stores};
use crate::model::path::display_name;
use crate::model::{LookCause, OperationState, Presence, Problem, RelPath, setting};
use crate::scan::{LeftOut, RULE_FILE, RuleOrigin, left_out_by};
use crate::volume::marker::MARKER_DIR;

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
    copies: Vec<FileCard>,
    operations: Vec<Operation>,
    objects: Vec<(Option<String>, RemoteObject)>,
    decisions: Vec<Decision>,
    text_problem: Option<(String, String)>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { path } = args;
    let catalog = context.open()?;
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
    let scan = explain::scan_at(conn, library.library_id, look.said_at)?;
    let stores = stores::all(conn)?;
    let of_store = |object: RemoteObject| {
        let store = stores.iter().find(|store| store.store_id == object.store_id);
        (store.map(|store| store.name.clone()), object)
    };
    let (mut document, mut copies, mut operations, mut objects) = (None, Vec::new(), Vec::new(), Vec::new());
    if let Some(document_id) = card.document_id {
        document = Some(documents::by_id(conn, document_id)?);
        copies = query::copies(conn, document_id)?;
        operations = outbox::of_document(conn, document_id)?;
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
        copies,
        operations,
        objects,
    })
}

/// Why the catalogue has no file at a place: the first thing that is reason enough.
fn why_unknown(place: &Place) -> String {
    let Place { library, path, dir, .. } = place;
    if path.starts_with(&RelPath::from(MARKER_DIR)) {
        return "shelflist's own: the marker is never catalogued".to_owned();
    }
    if let Some((frozen, since)) = &place.frozen {
        let since = since.map_or_else(String::new, |since| format!(" since {}", local_time(since)));
        return format!("{frozen} cannot be listed{since}: what is in it is not known");
    }
    if place.rule.is_some() || place.excluded_dir.is_some() {
        return rule_words(place);
    }
    if let Some((problem, _)) = &place.problem {
        return format!("it was seen and not taken in: {}", problem.message);
    }
    match (dir, &place.gone_dir, library.last_complete_scan) {
        (Some(dir), _, _) if dir.state == DirState::Listed => {
            "it was listed completely at the last look".to_owned()
        }
        (_, Some(gone), _) => format!("{gone} is not there any more"),
        (_, None, None) => {
            format!("the library was never scanned completely; run: shelflist scan {}", library.name)
        }
        (_, None, Some(at)) => format!(
            "it was not there at the last complete scan, {}; if it is there now, run: shelflist scan {}",
            local_time(at),
            library.name
        ),
    }
}

/// Which rule leaves a place out, as far as that can be told without the disk.
fn rule_words(place: &Place) -> String {
    let on_disk: Vec<String> = place.rule_files.iter().map(RelPath::display).collect();
    match (&place.rule, &place.excluded_dir) {
        (Some(LeftOut { path, pattern, origin }), _) => {
            let origin = match origin {
                RuleOrigin::Default => "which is built in",
                RuleOrigin::Setting => "in the setting scan.exclude",
            };
            let unless = if on_disk.is_empty() {
                String::new()
            } else {
                format!("; {} may say otherwise", on_disk.join(", "))
            };
            format!("{path} is left out by the rule {pattern}, {origin}{unless}")
        }
        (None, above) => {
            let what = above.as_ref().map_or_else(|| "it".to_owned(), RelPath::display);
            let by = if on_disk.is_empty() {
                "a rule that stood then, perhaps in a .shelflistignore above it".to_owned()
            } else {
                on_disk.join(" or ")
            };
            format!("{what} was left out at the last look by {by}")
        }
    }
}

fn tell_root(context: &mut Context, library: &Library) -> Result<(), Failure> {
    let root = display_name(library.root.as_os_str().as_bytes());
    let (now, since) = (library.availability, local_time(library.availability_since));
    context.out.line(format!("  root now   {now} since {since}, as seen last, at {root}"))?;
    let complete = match library.last_complete_scan {
        Some(at) => local_time(at),
        None => "never".to_owned(),
    };
    context.out.line(format!("  last complete scan  {complete}"))?;
    Ok(())
}

fn problem_line(problem: &Problem, since: i64) -> String {
    format!("  problem    {} ({}) since {}", problem.message, problem.kind, local_time(since))
}

fn tell_known(
    context: &mut Context,
    place: &Place,
    known: &Known,
    libraries: &HashMap<i64, Library>,
) -> Result<(), Failure> {
    let Known { card, look, .. } = known;
    let out = &mut context.out;
    out.line(format!("{}: {}", place.library.name, card.path))?;
    let evidence = card.evidence.as_deref().map_or_else(String::new, |evidence| format!(": {evidence}"));
    out.line(format!("  presence   {} since {}{evidence}", card.presence, local_time(look.since)))?;
    if card.presence == Presence::Missing && look.missing_scans > 0 {
        let scans = plural(look.missing_scans.into(), "complete scan", "complete scans");
        out.line(format!("             at least {scans} did not find it"))?;
    }
    out.line(format!("  status     {}", card.status))?;
    let root_then = known.root_then.as_deref().unwrap_or("not recorded");
    match &known.scan {
        Some(scan) => out.line(format!(
            "  said by    scan {} of {}, {}{}; the root was {root_then}",
            scan.scan_id,
            local_time(scan.started_at),
            scan.outcome,
            if scan.scope.is_root() { String::new() } else { format!(", of {} alone", scan.scope) }
        ))?,
        None => out.line(format!("  said at    {}; the root was {root_then}", local_time(look.said_at)))?,
    }
    out.line(format!("  last seen  {}, {}", local_time(card.last_seen), stat_words(card)))?;
    out.line(format!("  read       {}", read_words(card, look)))?;
    if look.young {
        out.line("             its stamps were too close to the clock: the next scan reads it again")?;
    }
    tell_root(context, &place.library)?;
    let out = &mut context.out;
    if let Some((dir, since)) = &place.frozen {
        let since = since.map_or_else(String::new, |since| format!(" since {}", local_time(since)));
        out.line(format!("  frozen     {dir} cannot be listed{since}: nothing below it is concluded"))?;
    }
    if card.presence == Presence::Excluded || place.rule.is_some() {
        out.line(format!("  rule       {}", rule_words(place)))?;
    }
    if let Some((problem, since)) = &place.problem {
        out.line(problem_line(problem, *since))?;
    }
    if let Some((kind, message)) = &known.text_problem {
        out.line(format!("  problem    no text: {message} ({kind})"))?;
    }
    match &known.document {
        Some(document) => {
            let title = card.title.as_deref().map_or_else(String::new, |title| format!(", {title}"));
            out.line(format!("  document   {}{title}", document.ulid))?;
        }
        None => out.line("  document   none")?,
    }
    for copy in known.copies.iter().filter(|copy| copy.file_id != card.file_id) {
        out.line(format!("  copy       {}", copy_line(copy, libraries)))?;
    }
    for operation in &known.operations {
        out.line(format!("  operation  {}", operation_words(operation)))?;
    }
    for (store, object) in &known.objects {
        let cause = object.cause.as_deref().map_or_else(String::new, |cause| format!(" ({cause})"));
        let at = object.uploaded_at.map_or_else(String::new, |at| format!(", sent {}", local_time(at)));
        let store = store.as_deref().unwrap_or("?");
        out.line(format!(
            "  in {store}: {} {}{cause}{at}, {}",
            object.payload, object.state, object.remote_id
        ))?;
    }
    for decision in &known.decisions {
        let number = decision.decision_id;
        out.line(format!(
            "  decision   {number} waits for you: {}; see: shelflist decision show {number}",
            question(decision)
        ))?;
    }
    Ok(())
}

fn stat_words(card: &FileCard) -> String {
    let mtime = local_time(card.stat.mtime_ns.div_euclid(1_000_000));
    format!("{}, {}, modified {mtime}", card.stat.kind, size(card.stat.size))
}

fn read_words(card: &FileCard, look: &LastLook) -> String {
    let because: Vec<&str> = look.because.iter().map(|cause| cause_words(*cause)).collect();
    let because = because.join(", ");
    match (card.hashed_at, because.is_empty()) {
        (Some(at), true) if at <= card.first_seen => format!("{}, when it was seen first", local_time(at)),
        // By a version that did not keep it.
        (Some(at), true) => format!("{}, why was not kept", local_time(at)),
        (Some(at), false) => format!("{}, because: {because}", local_time(at)),
        (None, true) => "never".to_owned(),
        (None, false) => format!("its content was never proved; tried because: {because}"),
    }
}

fn cause_words(cause: LookCause) -> &'static str {
    match cause {
        LookCause::Kind => "something else stood there",
        LookCause::Size => "its size differed",
        LookCause::Mtime => "its time of modification differed",
        LookCause::Ctime => "its ctime differed",
        LookCause::Inode => "its inode number differed",
        LookCause::Unproved => "its content had not been proved",
        LookCause::Young => "its stamps had been too young to prove anything",
        LookCause::Full => "everything was read (--full)",
        LookCause::Back => "it was back",
    }
}

fn operation_words(operation: &Operation) -> String {
    let Operation { store, kind, state, attempts, .. } = operation;
    let mut words = format!("{kind} {store}: {state} since {}", local_time(operation.updated_at));
    if *attempts > 0 {
        words.push_str(&format!(", {}", plural((*attempts).into(), "attempt failed", "attempts failed")));
    }
    if let Some(text) = operation.error_text.as_deref() {
        let code = operation.error_code.as_deref().unwrap_or("?");
        words.push_str(&format!(", {code}: {text}"));
    }
    if let Some(note) = operation.note.as_deref() {
        words.push_str(&format!(", {note}"));
    }
    if let Some(decision) = operation.held_by {
        words.push_str(&format!(", held by decision {decision}"));
    }
    if *state == OperationState::Pending && operation.not_before > operation.updated_at {
        words.push_str(&format!(", not before {}", local_time(operation.not_before)));
    }
    words
}

fn place_json(place: &Place) -> Value {
    let Place { library, .. } = place;
    let path_json = |path: &RelPath| {
        let mut object = json!({});
        put_path(&mut object, path);
        object
    };
    let mut object = json!({
        "library": library.name,
        "library_id": library.ulid.to_string(),
        "root": library.root.to_string_lossy(),
        "root_now": {
            "state": library.availability.state(),
            "reason": library.availability.reason(),
            "since": rfc3339(library.availability_since),
        },
        "last_complete_scan": rfc3339_or_null(library.last_complete_scan),
        "frozen_dir": place.frozen.as_ref().map(|(path, since)| {
            let mut object = path_json(path);
            object["since"] = rfc3339_or_null(*since);
            object
        }),
        "excluded_dir": place.excluded_dir.as_ref().map(path_json),
        "rule": place.rule.as_ref().map(|rule| {
            let mut object = path_json(&rule.path);
            object["pattern"] = json!(rule.pattern);
            object["origin"] = json!(rule.origin);
            object
        }),
        "rule_files": place.rule_files.iter().map(path_json).collect::<Vec<_>>(),
    });
    let problem = place.problem.as_ref().map(|(problem, since)| {
        json!({ "kind": problem.kind, "message": problem.message, "since": rfc3339(*since) })
    });
    object["problems"] = json!(problem.into_iter().collect::<Vec<_>>());
    put_path(&mut object, &place.path);
    object
}

fn known_json(place: &Place, known: &Known, libraries: &HashMap<i64, Library>) -> Value {
    let Known { card, look, .. } = known;
    let mut object = place_json(place);
    object["known"] = json!(true);
    object["status"] = json!(card.status);
    object["presence"] = json!({
        "state": card.presence,
        "evidence": card.evidence,
        "since": rfc3339(look.since),
        "missing_since": rfc3339_or_null(card.missing_since),
        "missing_scans": look.missing_scans,
    });
    object["last_look"] = json!({
        "last_seen": rfc3339(card.last_seen),
        "kind": card.stat.kind,
        "size": card.stat.size,
        "mtime": rfc3339(card.stat.mtime_ns.div_euclid(1_000_000)),
        "ctime": rfc3339(card.stat.ctime_ns.div_euclid(1_000_000)),
        "inode": card.stat.inode,
        "young": look.young,
        "content_hash": hex(card.content_hash),
        "read_at": rfc3339_or_null(card.hashed_at),
        "read_because": look.because,
    });
    object["said_by"] = json!({
        "at": rfc3339(look.said_at),
        "scan": known.scan.as_ref().map(|scan| {
            let mut object = json!({
                "scan": scan.scan_id,
                "outcome": scan.outcome,
                "started_at": rfc3339(scan.started_at),
                "ended_at": rfc3339_or_null(scan.ended_at),
            });
            put_path(&mut object, &scan.scope);
            object
        }),
        "root_then": known.root_then,
    });
    object["document"] = json!(known.document.as_ref().map(|document| json!({
        "document_id": document.ulid.to_string(),
        "title": card.title,
        "content_hash": hex(document.content_hash),
    })));
    object["copies"] =
        known.copies.iter().map(|copy| copy_json(copy, card, libraries)).collect::<Vec<_>>().into();
    object["operations"] = known.operations.iter().map(operation_json).collect::<Vec<_>>().into();
    object["remote_objects"] = known
        .objects
        .iter()
        .map(|(store, object)| {
            json!({
                "store": store,
                "payload": object.payload,
                "state": object.state,
                "cause": object.cause,
                "remote_id": object.remote_id,
                "uploaded_at": rfc3339_or_null(object.uploaded_at),
                "orphaned_at": rfc3339_or_null(object.orphaned_at),
            })
        })
        .collect::<Vec<_>>()
        .into();
    object["decisions"] = known
        .decisions
        .iter()
        .map(|decision| {
            json!({
                "decision": decision.decision_id,
                "kind": decision.kind,
                "question": question(decision),
                "created_at": rfc3339(decision.created_at),
            })
        })
        .collect::<Vec<_>>()
        .into();
    if let Some((kind, message)) = &known.text_problem
        && let Some(problems) = object["problems"].as_array_mut()
    {
        problems.push(json!({ "kind": kind, "message": message, "since": null }));
    }
    object
}

fn operation_json(operation: &Operation) -> Value {
    json!({
        "op_id": operation.op_id,
        "store": operation.store,
        "kind": operation.kind,
        "state": operation.state,
        "attempts": operation.attempts,
        "not_before": rfc3339_or_null((operation.not_before > 0).then_some(operation.not_before)),
        "error_code": operation.error_code,
        "error_text": operation.error_text,
        "note": operation.note,
        "held_by": operation.held_by,
        "created_at": rfc3339(operation.created_at),
        "updated_at": rfc3339(operation.updated_at),
    })
}
