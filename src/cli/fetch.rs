use std::collections::HashMap;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{hex, plural, put_path, size};
use crate::catalog::libraries::Library;
use crate::catalog::query::{self, FileCard};
use crate::catalog::{Catalog, enrichments, libraries, stores};
use crate::clock::Clock;
use crate::fetch::{self, Ended, Failed, Fetched, Only, Options, Passed, Source, TargetError, What};
use crate::library::{self, outside::OutsideError};
use crate::model::RelPath;
use crate::model::path::display_name;
use crate::volume;

/// Bring files back: from another disk with the same content, or a store.
///
/// The disks that are here come first, then the stores. What a place gives is held against the hash that the catalogue knows
/// while it is written; a place that is away, or gives something else, is passed over for the next one. Nothing is ever
/// overwritten. With --text the text that was read out of the file is written as NAME.txt, with every disk and store away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Paths on disk, or relative to a library's root; of files that are missing, too.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Into this directory, which has to be there; the current one otherwise. With --text, - is standard output.
    #[arg(long, value_name = "DIR", default_value = ".")]
    to: PathBuf,
    /// Keep the directories that a file has in its library.
    #[arg(long)]
    tree: bool,
    /// The text as it was read out of the file, instead of the file.
    #[arg(long)]
    text: bool,
    /// Only from this library or store.
    #[arg(long, value_name = "LIBRARY|STORE", conflicts_with = "text")]
    from: Option<String>,
}

/// Names of libraries and stores, for messages.
struct Names {
    libraries: HashMap<i64, Library>,
    stores: HashMap<i64, String>,
}

/// What became of one path.
struct Turn {
    typed: PathBuf,
    card: FileCard,
    fetched: Fetched,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { paths, to, tree, text, from } = args;
    let catalog = context.open()?;
    if to == Path::new("-") {
        return to_standard_output(context, &catalog, &paths, text);
    }
    let names = Names::of(&catalog)?;
    let only = from.map(|from| named(context, &catalog, &from)).transpose()?;
    let what = if text { What::Text } else { What::Content };
    let options = Options { to, tree, what, only };

    let mut exits = Vec::new();
    let (mut known, mut cards, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        match the_file(context, &catalog, &path) {
            Ok(card) => {
                known.push(path);
                cards.push(card);
            }
            Err(failure) => unknown.push((path, failure)),
        }
    }
    let ui = context.ui();
    let mut typed = known.into_iter();
    let mut turns = Vec::new();
    let json = context.json;
    fetch::fetch(&catalog, &cards, &options, &context.clock, &ui, &mut |card, fetched| {
        let typed = typed.next().expect("each file is told once, in order");
        turns.push(Turn { typed, card: card.clone(), fetched });
    })
    .map_err(Failure::from)?;
    ui.clear();

    let mut files = Vec::new();
    for (path, failure) in &unknown {
        exits.push(failure.exit());
        if json {
            let mut object =
                json!({ "asked_for": display_name(path.as_os_str().as_bytes()), "outcome": "unknown" });
            object["message"] = json!(failure.message());
            object["hint"] = json!(failure.said_hint());
            files.push(object);
        } else {
            failure.report(false);
        }
    }
    for turn in &turns {
        let failure = failure_of(context, &catalog, turn, &names)?;
        exits.push(failure.as_ref().map_or(Exit::Done, Failure::exit));
        if json {
            files.push(turn_json(turn, failure.as_ref(), &names));
            continue;
        }
        for (source, passed) in &turn.fetched.passed {
            // What is away is told with the rest, once nothing else had it.
            let is_away = matches!(passed, Passed::LibraryAway(_) | Passed::StoreAway(_));
            if !is_away || failure.is_none() {
                context.out.line(format!(
                    "{}: not from {}: {}",
                    turn.card.path,
                    names.place(source),
                    chain(passed)
                ))?;
            }
        }
        match &failure {
            None => context.out.line(told(turn, &names))?,
            Some(failure) => {
                // What was printed comes before what is said on standard error.
                context.out.finish()?;
                failure.report(false);
            }
        }
    }
    if json {
        context.out.json(&json!({ "files": files }))?;
    } else if exits.len() > 1 && exits.iter().any(|exit| *exit != Exit::Done) {
        let there = exits.iter().filter(|exit| **exit == Exit::Done).count();
        context.out.line(format!("{there} of {} are there", plural(exits.len() as u64, "file", "files")))?;
    }
    Ok(exit_of(&exits))
}

/// The one file that is meant. A relative path may be one of several libraries; other commands then show the first, but what
/// is fetched under a name must be what was meant by it.
fn the_file(context: &Context, catalog: &Catalog, path: &Path) -> Result<FileCard, Failure> {
    let (library, card) = context.known_file(catalog, path)?;
    if std::path::absolute(path)?.starts_with(&library.root) {
        return Ok(card);
    }
    for (other, rel) in context.resolve(catalog, path)? {
        let namesake = query::file_at(catalog.read(), other.library_id, &rel)?;
        if namesake.is_some_and(|namesake| namesake.content_hash != card.content_hash) {
            return Err(Failure::usage(format!(
                "{} is one file in {} and another in {}",
                display_name(path.as_os_str().as_bytes()),
                library.name,
                other.name
            ))
            .hint("give the whole path of the one you mean, on disk or as it was there"));
        }
    }
    Ok(card)
}

/// All there: done. Some: done with problems. None: why not, of which a script must hear first.
fn exit_of(exits: &[Exit]) -> Exit {
    if exits.iter().all(|exit| *exit == Exit::Usage) {
        return Exit::Usage;
    }
    let some_there = exits.contains(&Exit::Done);
    // Of several that is one more that failed.
    let exits = exits.iter().map(|exit| if *exit == Exit::Usage { Exit::Failed } else { *exit });
    match Exit::worst(exits) {
        exit @ (Exit::Done | Exit::Interrupted) => exit,
        _ if some_there => Exit::Problems,
        exit => exit,
    }
}

fn to_standard_output(
    context: &mut Context,
    catalog: &Catalog,
    paths: &[PathBuf],
    text: bool,
) -> Result<Exit, Failure> {
    if !text {
        return Err(Failure::usage("only text can be fetched to standard output").hint(
            "a file is proved before it gets its name, and a pipe does not give back what it was given: fetch it into a directory",
        ));
    }
    let [path] = paths else {
        return Err(Failure::usage("the text of one file only can be fetched to standard output")
            .hint("give a directory with --to DIR"));
    };
    if context.json {
        return Err(Failure::usage("standard output cannot take both the text and the report")
            .hint("leave out --json, or give a directory with --to DIR"));
    }
    let card = the_file(context, catalog, path)?;
    let text = fetch::text(catalog, &card)?.map_err(|failed| {
        Failure::new(Exit::Failed, format!("{}: {}", card.path, chain(&failed))).hint(NO_TEXT)
    })?;
    context.out.write(text.as_bytes())?;
    if std::io::stdout().is_terminal() && !text.ends_with('\n') {
        context.out.write(b"\n")?;
    }
    Ok(Exit::Done)
}

const NO_TEXT: &str =
    "shelflist show PATH tells what is known of it; shelflist sync reads the text of what is new";

/// The library or store of that name.
fn named(context: &Context, catalog: &Catalog, name: &str) -> Result<Only, Failure> {
    let library = libraries::by_name_or_id(catalog.read(), name)?;
    let store = stores::by_name(catalog.read(), name)?;
    match (library, store) {
        (Some(_), Some(_)) => Err(Failure::usage(format!("{name:?} is a library and a store")).hint(
            "give the library's id, or the store's URL; shelflist library list and store list tell them",
        )),
        (Some(library), None) => Ok(Only::Library(library.library_id)),
        (None, Some(store)) => Ok(Only::Store(store.store_id)),
        // Its root will do, too.
        (None, None) => match context.library(catalog, name) {
            Ok(library) => Ok(Only::Library(library.library_id)),
            Err(_) => {
                let libraries = libraries::all(catalog.read())?.into_iter().map(|library| library.name);
                let stores = stores::all(catalog.read())?.into_iter().map(|store| store.name);
                let known: Vec<String> = libraries.chain(stores).collect();
                Err(Failure::usage(format!("there is no library and no store {name:?}"))
                    .hint(format!("known: {}", known.join(", "))))
            }
        },
    }
}

impl Names {
    fn of(catalog: &Catalog) -> Result<Self, Failure> {
        let libraries = libraries::all(catalog.read())?.into_iter();
        let stores = stores::all(catalog.read())?.into_iter();
        Ok(Names {
            libraries: libraries.map(|library| (library.library_id, library)).collect(),
            stores: stores.map(|store| (store.store_id, store.name)).collect(),
        })
    }

    fn place(&self, source: &Source) -> String {
        match source {
            Source::Copy { library_id, path, .. } => format!("{}: {path}", self.libraries[library_id].name),
            Source::Object { store_id, .. } => format!("store {}", self.stores[store_id]),
        }
    }
}

fn told(turn: &Turn, names: &Names) -> String {
    let Turn { card, fetched, .. } = turn;
    let target = display_name(fetched.target.as_os_str().as_bytes());
    match &fetched.ended {
        Ended::AlreadyThere => format!("{}: already there: {target}", card.path),
        Ended::Delivered(Some(source)) => {
            format!("{}: {target}, {} from {}, verified", card.path, size(fetched.bytes), names.place(source))
        }
        _ => format!("{}: {target}, {} of text", card.path, size(fetched.bytes)),
    }
}

/// Why a file is not there, and what to do; `None` where it is.
fn failure_of(
    context: &Context,
    catalog: &Catalog,
    turn: &Turn,
    names: &Names,
) -> Result<Option<Failure>, Failure> {
    let Turn { typed, card, fetched } = turn;
    let Ended::Failed(failed) = &fetched.ended else { return Ok(None) };
    let message = format!("{}: {}", card.path, chain(failed));
    let failure = match failed {
        Failed::NowhereHere => return nowhere(context, catalog, turn, names).map(Some),
        Failed::Cancelled => {
            Failure::new(Exit::Interrupted, message).hint("nothing unfinished was left behind")
        }
        Failed::Link => Failure::new(Exit::Failed, message).hint("fetch the file that it points to"),
        Failed::Unproved => Failure::new(Exit::Failed, message).hint(format!(
            "shelflist explain {} tells why; once its disk is here, shelflist scan reads it",
            display_name(typed.as_os_str().as_bytes())
        )),
        Failed::NoText(_) => Failure::new(Exit::Failed, message).hint(NO_TEXT),
        Failed::NoAnswer(_) => Failure::new(Exit::Failed, message).hint(TARGET_SILENT),
        Failed::Target(error) => Failure::new(Exit::Failed, message).hint(hint_of(error)),
    };
    Ok(Some(failure))
}

pub(super) const TARGET_SILENT: &str = "check that disk, or fetch to another directory with --to DIR";

pub(super) fn hint_of(error: &TargetError) -> &'static str {
    match error {
        TargetError::Outside(error) => hint_of_place(error),
        TargetError::InTheWay(_) => "fetch to another directory with --to DIR, or leave out --tree",
        TargetError::Occupied { .. } => {
            "nothing is overwritten; fetch to another directory with --to DIR, or keep files of one name apart with --tree"
        }
        TargetError::Name(_) => "fetch it without --tree, or from a library where it has another name",
        TargetError::Unnameable { .. } => {
            "fetch to a disk with another file system; shelflist doctor names tells which names are difficult"
        }
        TargetError::Full { .. } => "make room there, or fetch to another disk with --to DIR",
        TargetError::TooLarge { .. } => "fetch to a disk with another file system (FAT ends at 4 GiB)",
        TargetError::Io { .. } => NOT_WRITABLE,
    }
}

const NOT_WRITABLE: &str = "check that this user may write there, or give another directory with --to DIR";

fn hint_of_place(error: &OutsideError) -> &'static str {
    match error {
        OutsideError::Absent(_) => {
            "it is not made, for its disk may only be away; make it with mkdir, or give another with --to DIR"
        }
        OutsideError::NotADirectory(_) => "give a directory with --to DIR",
        OutsideError::InLibrary { .. } => {
            "shelflist writes nothing into libraries; fetch to a directory elsewhere with --to DIR, and copy it there yourself"
        }
        OutsideError::InStore { .. } => "fetch to a directory outside of it with --to DIR",
        OutsideError::Io { .. } => NOT_WRITABLE,
    }
}

/// Of a content that no place gave: what to plug in.
fn nowhere(context: &Context, catalog: &Catalog, turn: &Turn, names: &Names) -> Result<Failure, Failure> {
    let Turn { typed, card, fetched } = turn;
    let mut disks: Vec<String> = Vec::new();
    let mut stores: Vec<String> = Vec::new();
    for (source, passed) in &fetched.passed {
        match (source, passed) {
            (Source::Copy { library_id, .. }, Passed::LibraryAway(probe)) => {
                let library = &names.libraries[library_id];
                let whereabouts = volume::whereabouts(&library::expected(library)?, context.clock.now());
                let disk = format!("{} is {}: {whereabouts}", names.place(source), probe.availability);
                if !disks.contains(&disk) {
                    disks.push(disk);
                }
            }
            (_, Passed::StoreAway(_)) => {
                let store = format!("{}: {}", names.place(source), chain(passed));
                if !stores.contains(&store) {
                    stores.push(store);
                }
            }
            _ => {}
        }
    }
    let exit = match (disks.is_empty(), stores.is_empty()) {
        (false, _) => Exit::Unavailable,
        (true, false) => Exit::Offline,
        (true, true) => Exit::Failed,
    };
    let has_text = match card.content_hash {
        Some(hash) => enrichments::text(catalog.read(), hash)?.is_some_and(|text| !text.is_empty()),
        None => false,
    };
    let path = display_name(typed.as_os_str().as_bytes());
    let mut hints = Vec::new();
    if !disks.is_empty() {
        hints.push("connect a disk that has it, then run the command again".to_owned());
    } else if !stores.is_empty() {
        hints.push("mount the store's disk, then run the command again".to_owned());
    } else {
        hints.push(format!(
            "shelflist copies {path} tells where it was; without --from every disk and store is tried"
        ));
    }
    if has_text {
        hints.push(format!("its text is here: shelflist fetch --text {path}"));
    }
    let mut message = match exit {
        Exit::Failed => format!("{}: no disk and no store gives its content", card.path),
        _ => format!("{}: what has its content is away", card.path),
    };
    for away in disks.iter().chain(&stores) {
        message.push_str("; ");
        message.push_str(away);
    }
    Ok(Failure::new(exit, message).hint(hints.join("; ")))
}

fn turn_json(turn: &Turn, failure: Option<&Failure>, names: &Names) -> Value {
    let Turn { typed, card, fetched } = turn;
    let outcome = match &fetched.ended {
        Ended::Delivered(_) => "delivered",
        Ended::AlreadyThere => "already_there",
        Ended::Failed(failed) => match failed {
            Failed::NowhereHere => match failure.map(Failure::exit) {
                Some(Exit::Unavailable | Exit::Offline) => "away",
                _ => "no_source",
            },
            Failed::Target(TargetError::Occupied { .. }) => "occupied",
            Failed::Target(_) | Failed::NoAnswer(_) => "target_failed",
            Failed::NoText(_) => "no_text",
            Failed::Link => "link",
            Failed::Unproved => "unproved",
            Failed::Cancelled => "interrupted",
        },
    };
    let source = match &fetched.ended {
        Ended::Delivered(Some(source)) => place_json(source, names),
        Ended::Delivered(None) => json!({ "kind": "text" }),
        _ => Value::Null,
    };
    let passed: Vec<Value> = fetched
        .passed
        .iter()
        .map(|(source, passed)| {
            let mut object = place_json(source, names);
            object["reason"] = json!(match passed {
                Passed::LibraryAway(_) | Passed::StoreAway(_) => "away",
                Passed::Unreadable(_) => "unreadable",
                Passed::Changed => "changed",
                Passed::Rotten => "rotten",
                Passed::Damaged => "damaged",
                Passed::Lost => "lost",
            });
            object["message"] = json!(chain(passed));
            object
        })
        .collect();
    let target = RelPath::from_bytes(fetched.target.as_os_str().as_bytes());
    let mut object = json!({
        "asked_for": display_name(typed.as_os_str().as_bytes()),
        "library": names.libraries[&card.library_id].name,
        "outcome": outcome,
        "source": source,
        "bytes": fetched.bytes,
        "hash": hex(fetched.hash),
        "target": target.json_text(),
        "passed": passed,
        "message": failure.map(Failure::message),
        "hint": failure.and_then(Failure::said_hint),
    });
    if let Some(bytes) = target.json_bytes() {
        object["target_bytes"] = json!(bytes);
    }
    put_path(&mut object, &card.path);
    object
}

fn place_json(source: &Source, names: &Names) -> Value {
    match source {
        Source::Copy { library_id, path, .. } => {
            let mut object = json!({ "kind": "library", "library": names.libraries[library_id].name });
            put_path(&mut object, path);
            object
        }
        Source::Object { store_id, remote_id } => {
            json!({ "kind": "store", "store": names.stores[store_id], "remote_id": remote_id })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    // S11
    #[rstest]
    #[case(&[Exit::Done, Exit::Done], Exit::Done)]
    #[case(&[Exit::Done, Exit::Unavailable], Exit::Problems)]
    #[case(&[Exit::Unavailable, Exit::Offline], Exit::Unavailable)]
    #[case(&[Exit::Offline], Exit::Offline)]
    #[case(&[Exit::Failed, Exit::Unavailable], Exit::Failed)]
    #[case(&[Exit::Done, Exit::Interrupted], Exit::Interrupted)]
    #[case(&[Exit::Usage], Exit::Usage)]
    #[case(&[Exit::Usage, Exit::Done], Exit::Problems)]
    #[case(&[Exit::Usage, Exit::Unavailable], Exit::Failed)]
    fn some_there_is_done_with_problems_none_there_says_why(#[case] exits: &[Exit], #[case] told: Exit) {
        assert_eq!(exit_of(exits), told);
    }
}
