//! Documents as a search shows them: what they are called, where their copies are, whether those disks are here, which stores
//! have them.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::Failure;
use super::output::{local_time, plural, put_path, rfc3339, rfc3339_or_null};
use crate::catalog::libraries::Library;
use crate::catalog::query::FileCard;
use crate::catalog::search::{Query, Snippet};
use crate::catalog::{Catalog, documents, ledger, libraries, query, search, stores};
use crate::model::path::display_name;
use crate::model::{ObjectState, Presence};

/// Copies of one hit that are shown, before "and more".
const SHOWN: usize = 4;
/// So much of a piece of text is shown to people, in characters.
const SHOWN_CHARS: usize = 240;

/// What was found, and the disks that it is on.
pub(super) struct Hits {
    hits: Vec<Hit>,
    places: HashMap<i64, Place>,
}

struct Hit {
    document: documents::Document,
    approximate: bool,
    /// How near it lies to a question, and the piece of its text that does.
    near: Option<(f64, String)>,
    copies: Vec<FileCard>,
    snippet: Option<Snippet>,
    stores: Vec<String>,
}

/// A library with a hit in it.
struct Place {
    library: Library,
    label: Option<String>,
    available: bool,
}

impl Hits {
    /// Looks up what is known of documents; with a piece of each one's text round the words of a query.
    pub(super) fn gather(
        context: &Context,
        catalog: &Catalog,
        found: &[search::Hit],
        asked: Option<&Query>,
    ) -> Result<Hits, Failure> {
        let conn = catalog.read();
        let store_names: HashMap<i64, String> =
            stores::all(conn)?.into_iter().map(|store| (store.store_id, store.name)).collect();
        let mut hits = Vec::new();
        for search::Hit { document_id, approximate } in found {
            let document = documents::by_id(conn, *document_id)?;
            let snippet = match (asked, document.content_hash) {
                (Some(asked), Some(hash)) => {
                    search::beginning(conn, hash)?.and_then(|text| search::snippet(&text, asked, 60))
                }
                _ => None,
            };
            let mut stores: Vec<String> = ledger::of_document(conn, *document_id)?
                .into_iter()
                .filter(|object| object.state == ObjectState::Current)
                .filter_map(|object| store_names.get(&object.store_id).cloned())
                .collect();
            stores.sort_unstable();
            stores.dedup();
            hits.push(Hit {
                document,
                approximate: *approximate,
                near: None,
                copies: query::copies(conn, *document_id)?,
                snippet,
                stores,
            });
        }
        // Each disk that a hit is on is looked at once.
        let mut places: HashMap<i64, Place> = HashMap::new();
        for library in libraries::all(conn)? {
            if hits.iter().any(|hit| hit.copies.iter().any(|copy| copy.library_id == library.library_id)) {
                let available = context.availability(&library)?.is_readable();
                let label = crate::library::expected(&library)?.identity.label;
                places.insert(library.library_id, Place { library, label, available });
            }
        }
        // What is at hand comes first.
        for hit in &mut hits {
            hit.copies.sort_by_key(|copy| !is_available(copy, &places));
        }
        Ok(Hits { hits, places })
    }

    /// Says how near hits lie to a question (1 is the same direction, 0 is none), and which piece of each does.
    pub(super) fn with_nearness(mut self, near: impl IntoIterator<Item = (f64, String)>) -> Hits {
        for (hit, near) in self.hits.iter_mut().zip(near) {
            hit.near = Some(near);
        }
        self
    }

    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }

    /// All of them, for scripts.
    pub(super) fn json(&self) -> Vec<Value> {
        self.hits.iter().map(|hit| hit_json(hit, &self.places)).collect()
    }

    /// All of them, for people.
    pub(super) fn print(&self, context: &mut Context) -> Result<(), Failure> {
        (0..self.len()).try_for_each(|at| self.print_one(context, at, ""))
    }

    /// One of them, with a mark before its first line.
    pub(super) fn print_one(&self, context: &mut Context, at: usize, mark: &str) -> Result<(), Failure> {
        let colour = context.config.colour && std::io::stdout().is_terminal();
        print_hit(context, &self.hits[at], mark, &self.places, colour)
    }
}

fn is_available(copy: &FileCard, places: &HashMap<i64, Place>) -> bool {
    places[&copy.library_id].available && copy.presence != Presence::Missing
}

fn print_hit(
    context: &mut Context,
    hit: &Hit,
    mark: &str,
    places: &HashMap<i64, Place>,
    colour: bool,
) -> Result<(), Failure> {
    let out = &mut context.out;
    let title = hit.copies.first().and_then(|copy| copy.title.clone());
    let perhaps = match &hit.near {
        Some((nearness, _)) => format!("  ({nearness:.2} near)"),
        None if hit.approximate => "  (similar)".to_owned(),
        None => String::new(),
    };
    let mut indent = mark;
    if let Some(title) = title {
        out.line(format!("{mark}{title}{perhaps}"))?;
        indent = "  ";
    }
    if hit.copies.is_empty() {
        out.line(format!("{indent}no file of it is in a library any more"))?;
    }
    for copy in hit.copies.iter().take(SHOWN) {
        let Place { library, label, available } = &places[&copy.library_id];
        let place = if *available && copy.presence == Presence::Present {
            display_name(copy.path.under(&library.root).as_os_str().as_bytes())
        } else {
            let on = label.as_deref().map_or_else(String::new, |label| format!(" {label:?}"));
            let how = if *available { copy.presence.to_string() } else { format!("disk{on} away") };
            let how = match (*available, copy.presence) {
                (false, Presence::Missing) => format!("{how}, missing"),
                _ => how,
            };
            format!("{}: {} ({how}, last seen {})", library.name, copy.path, local_time(copy.last_seen))
        };
        out.line(format!("{indent}{place}{}", if indent == mark { &perhaps } else { "" }))?;
        indent = "  ";
    }
    if hit.copies.len() > SHOWN {
        let more = (hit.copies.len() - SHOWN) as u64;
        out.line(format!("  and {}; see `shelflist copies`", plural(more, "copy more", "copies more")))?;
    }
    if let Some((_, piece)) = &hit.near {
        out.marked("  ", &on_one_line(piece), &[])?;
    }
    if let Some(snippet) = &hit.snippet {
        let marks = if colour { &snippet.marks[..] } else { &[] };
        out.marked("  ", &snippet.text, marks)?;
    }
    if !hit.stores.is_empty() {
        out.line(format!("  in {}", hit.stores.join(", ")))?;
    }
    Ok(())
}

/// A piece of a text as one line, cut where it is long.
fn on_one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SHOWN_CHARS) {
        None => line,
        Some((at, _)) => {
            let end = line[..at].rfind(' ').unwrap_or(at);
            format!("{}…", &line[..end])
        }
    }
}

fn hit_json(hit: &Hit, places: &HashMap<i64, Place>) -> Value {
    let place = |copy: &FileCard| {
        let Place { library, label, .. } = &places[&copy.library_id];
        let mut object = json!({
            "library": library.name,
            "volume_label": label,
            "available": is_available(copy, places),
            "presence": copy.presence,
            "last_seen": rfc3339(copy.last_seen),
            "last_verified": rfc3339_or_null(copy.hashed_at),
        });
        put_path(&mut object, &copy.path);
        object
    };
    let copies: Vec<Value> = hit.copies.iter().map(place).collect();
    let mut object = json!({
        "path": null,
        "library": null,
        "document_id": hit.document.ulid,
        "title": hit.copies.first().and_then(|copy| copy.title.clone()),
        "snippet": hit.near.as_ref().map(|(_, piece)| piece).or(hit.snippet.as_ref().map(|snippet| &snippet.text)),
        "approximate": hit.approximate,
        "nearness": hit.near.as_ref().map(|(nearness, _)| nearness),
        "volume_label": null,
        "available": false,
        "last_seen": null,
        "last_verified": null,
        "stores": hit.stores,
        "copies": copies,
    });
    // The first copy is the one that is most likely at hand.
    if let Some(Value::Object(first)) = copies.first() {
        for (key, value) in first {
            object[key] = value.clone();
        }
    }
    object
}
