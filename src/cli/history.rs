use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{local_time, put_path, rfc3339};
use crate::catalog::edits::Word;
use crate::catalog::history::{self, About, Event};
use crate::catalog::privacy;
use crate::model::{ObjectState, OperationState, Presence, Privacy, RelPath};

/// Tell what befell a file and its document, in order of time.
///
/// Every change of its status is there, with time and cause. Works with the disk away.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A path on disk, or relative to a library's root.
    path: PathBuf,
    /// Only the last so many entries.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { path, limit } = args;
    let catalog = context.open()?;
    let _snapshot = catalog.snapshot()?;
    let (library, card) = context.known_file(&catalog, &path)?;
    let log = history::of_file(catalog.read(), &card)?;
    // Steps between the queue and the end say little to people.
    let told = |event: &&Event| context.json || context.verbose > 0 || !is_step(event);
    let wanted: Vec<&Event> = log.iter().filter(told).collect();
    let total = wanted.len();
    let shown = &wanted[total - limit.unwrap_or(total).min(total)..];
    if context.json {
        let mut object = json!({
            "library": library.name,
            "status": card.status,
            "events": shown.iter().map(|event| event_json(event)).collect::<Vec<_>>(),
            "total": total,
        });
        put_path(&mut object, &card.path);
        context.out.json(&object)?;
        return Ok(Exit::Done);
    }
    context.out.line(format!("{}: {}  {}", library.name, card.path, card.status))?;
    for event in shown {
        context.out.line(format!("  {}  {}", local_time(event.at), sentence(event)))?;
    }
    if shown.len() < total {
        context.out.line(format!("the last {} of {total}", shown.len()))?;
    }
    Ok(Exit::Done)
}

fn is_step(event: &Event) -> bool {
    let after = event.after.as_deref().unwrap_or_default();
    match &event.about {
        About::Object { .. } => {
            matches!(
                after.parse(),
                Ok(ObjectState::Uploaded | ObjectState::Verified | ObjectState::Searchable)
            )
        }
        About::Operation { .. } => after.parse() == Ok(OperationState::Leased),
        _ => false,
    }
}

fn event_json(event: &Event) -> Value {
    let mut object = json!({
        "at": rfc3339(event.at),
        "what": event.about.as_str(),
        "before": event.before,
        "after": event.after,
        "cause": event.cause,
        "store": event.store,
        "status": event.status(),
        "of_file": event.of_file,
    });
    match &event.about {
        About::Place { from, to } => {
            for (key, path) in [("before", from), ("after", to)] {
                object[key] = json!(path.json_text());
                if let Some(bytes) = path.json_bytes() {
                    object[format!("{key}_bytes")] = json!(bytes);
                }
            }
        }
        About::Object { payload } => object["payload"] = json!(payload),
        About::Operation { op_id, delete } => {
            object["op_id"] = json!(op_id);
            object["kind"] = json!(if *delete { "delete" } else { "mirror" });
        }
        About::Edit { edit_id, field, before, after } => {
            object["by"] = json!("person");
            object["edit"] = json!(edit_id);
            object["field"] = json!(field);
            object["before"] = json!(before);
            object["after"] = json!(after);
        }
        _ => {}
    }
    object
}

/// An event in people's words.
fn sentence(event: &Event) -> String {
    let Event { about, before, after, cause, store, of_file, .. } = event;
    let after = after.as_deref();
    let why = cause.as_deref().map_or_else(String::new, |cause| format!(": {cause}"));
    let store = store.as_deref().unwrap_or("a store");
    let said = match about {
        About::FirstSeen => "seen first".to_owned(),
        About::Presence => presence(before.as_deref(), after, &why),
        About::Content => match (before, after) {
            (None, Some(after)) => format!("read for the first time, {}", short(after)),
            (Some(before), Some(after)) => {
                format!("content changed from {} to {}", short(before), short(after))
            }
            (_, None) => "without content from now on".to_owned(),
        },
        About::Place { from, to } => {
            let cause = cause.as_deref().map_or_else(String::new, |cause| format!(" ({cause})"));
            format!("moved from {} to {}{cause}", quoted(from), quoted(to))
        }
        About::Document => match after {
            Some(after) => format!("a copy of document {after} from now on{why}"),
            None => format!("no copy of a document any more{why}"),
        },
        About::Problem => match after {
            Some(after) => format!("problem ({after}){why}"),
            None => format!("no problem any more ({})", before.as_deref().unwrap_or("?")),
        },
        About::Text if after == Some("failed") => format!("its text could not be read{why}"),
        About::Text => "its text could be read again".to_owned(),
        About::Object { payload } => {
            let payload = payload.map_or("an object", |payload| payload.as_str());
            object(payload, store, after, cause.as_deref(), &why)
        }
        About::Operation { delete, .. } => operation(*delete, store, before.as_deref(), after, &why),
        About::Store => match after {
            Some(_) => format!("store {store} was added: everything was put in line for it"),
            None => format!("store {store} was removed: what it holds is not known any more"),
        },
        About::Edit { edit_id, field, before, after } => {
            let (from, to) = (word(before), word(after));
            format!(
                "a person changed {field} from {from} to {to} (edit {edit_id}: {})",
                cause.as_deref().unwrap_or("?")
            )
        }
        About::Other(what) => {
            format!("{what}: {} -> {}{why}", before.as_deref().unwrap_or("-"), after.unwrap_or("-"))
        }
    };
    // Of a row that is gone: its place was taken by the file that had moved there, or its library was removed.
    let of_a_former_copy = !of_file
        && matches!(
            about,
            About::Presence | About::Content | About::Place { .. } | About::Document | About::Problem
        );
    if of_a_former_copy { format!("a former copy: {said}") } else { said }
}

/// What a person says of a field.
fn word(word: &Word) -> String {
    match word {
        None => "nothing said".to_owned(),
        Some(values) if values.is_empty() => "none".to_owned(),
        Some(values) => format!("\"{}\"", values.join("; ")),
    }
}

fn presence(before: Option<&str>, after: Option<&str>, why: &str) -> String {
    match (before, after.and_then(|word| word.parse().ok())) {
        (_, Some(Presence::Missing)) => format!("missing{why}"),
        (_, Some(Presence::Unknown)) => format!("could not be looked at{why}"),
        (_, Some(Presence::Excluded)) => format!("left out{why}"),
        (Some(before), Some(Presence::Present)) => format!("present again, was {before}{why}"),
        (None, Some(Presence::Present)) => format!("present{why}"),
        (_, None) => format!("{}{why}", after.unwrap_or("?")),
    }
}

fn object(payload: &str, store: &str, after: Option<&str>, cause: Option<&str>, why: &str) -> String {
    let after: Option<ObjectState> = after.and_then(|word| word.parse().ok());
    // The receipt of what was taken back (S8).
    let recalled = cause.filter(|cause| {
        [Privacy::LocalOnly, Privacy::Redacted].iter().any(|word| cause.starts_with(privacy::cause(*word)))
    });
    match (after, recalled) {
        (Some(ObjectState::Orphaned), Some(cause)) => {
            return format!("{payload} is to be deleted from {store} because it became {cause}");
        }
        (Some(ObjectState::Deleted), Some(cause)) => {
            return format!("{payload} was deleted from {store} because it became {cause}");
        }
        _ => {}
    }
    match after {
        Some(ObjectState::Planned) => format!("{payload} is to be sent to {store} again{why}"),
        Some(ObjectState::Uploading) => format!("{payload} is being sent to {store}"),
        Some(ObjectState::Uploaded) => format!("{payload} arrived in {store}"),
        Some(ObjectState::Verified) => format!("{payload} in {store} was proved"),
        Some(ObjectState::Searchable) => format!("{payload} in {store} can be found"),
        Some(ObjectState::Current) => format!("{payload} in {store} is current"),
        Some(ObjectState::Orphaned) => format!("{payload} in {store} is an orphan{why}"),
        Some(ObjectState::Deleted) => format!("{payload} was deleted from {store}{why}"),
        None => format!("{payload} in {store}: it is not understood how it stands{why}"),
    }
}

fn operation(delete: bool, store: &str, before: Option<&str>, after: Option<&str>, why: &str) -> String {
    let (what, way) = if delete { ("its deletion", "from") } else { ("its sending", "to") };
    match (before, after.and_then(|word| word.parse().ok())) {
        (None, Some(OperationState::Pending)) => format!("in line for {store}"),
        (_, Some(OperationState::Pending)) => format!("in line for {store} again{why}"),
        (_, Some(OperationState::Leased)) => format!("its turn for {store}"),
        (_, Some(OperationState::Done)) => format!("nothing to do for {store}{why}"),
        (_, Some(OperationState::Dead)) => format!("{what} {way} {store} failed for good{why}"),
        (_, Some(OperationState::Superseded)) => format!("{what} {way} {store} was overtaken by a later one"),
        (_, Some(OperationState::Discarded)) => format!("{what} {way} {store} was given up{why}"),
        (_, None) => format!("{what} {way} {store}: {}{why}", after.unwrap_or("?")),
    }
}

/// Paths hold spaces.
fn quoted(path: &RelPath) -> String {
    format!("\"{path}\"")
}

/// Enough of a hash to tell two contents apart.
fn short(hash: &str) -> String {
    hash.get(..12).map_or_else(|| hash.to_owned(), |short| format!("{short}…"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Payload;

    fn event(about: About, before: Option<&str>, after: Option<&str>, cause: Option<&str>) -> Event {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Event {
            at: 0,
            about,
            before: owned(before),
            after: owned(after),
            cause: owned(cause),
            store: Some("mirror".to_owned()),
            of_file: true,
        }
    }

    // L13
    #[test]
    fn events_are_told_in_peoples_words() {
        let moved = About::Place { from: "a/b c".into(), to: RelPath::from_bytes(b"caf\xe9\n".to_vec()) };
        let sending = About::Operation { op_id: "01".to_owned(), delete: false };
        for (event, words) in [
            (
                event(About::Presence, Some("present"), Some("missing"), Some("not in a complete listing")),
                "missing: not in a complete listing",
            ),
            (
                event(About::Presence, Some("missing"), Some("present"), Some("seen")),
                "present again, was missing: seen",
            ),
            (
                event(moved, None, None, Some("same content")),
                r#"moved from "a/b c" to "caf\xe9\n" (same content)"#,
            ),
            (event(sending.clone(), None, Some("pending"), None), "in line for mirror"),
            (
                event(sending, Some("leased"), Some("dead"), Some("too large")),
                "its sending to mirror failed for good: too large",
            ),
            (
                event(
                    About::Object { payload: Some(Payload::Enriched) },
                    None,
                    Some("deleted"),
                    Some("local only"),
                ),
                "enriched was deleted from mirror because it became local only",
            ),
            (
                event(
                    About::Object { payload: Some(Payload::Original) },
                    None,
                    Some("deleted"),
                    Some("replaced"),
                ),
                "original was deleted from mirror: replaced",
            ),
            (
                event(About::Store, None, Some("added"), None),
                "store mirror was added: everything was put in line for it",
            ),
        ] {
            assert_eq!(sentence(&event), words);
        }
        let former = Event { of_file: false, ..event(About::Presence, None, Some("missing"), None) };
        assert_eq!(sentence(&former), "a former copy: missing");
    }
}
