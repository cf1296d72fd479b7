use std::collections::HashMap;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{local_time, plural, put_path, rfc3339, rfc3339_or_null};
use crate::catalog::libraries::Library;
use crate::catalog::query::FileCard;
use crate::catalog::search::{Facet, Query, Snippet};
use crate::catalog::{Catalog, Connection, documents, ledger, libraries, query, search, stores};
use crate::model::path::display_name;
use crate::model::{ObjectState, Presence};
use crate::remote::index::Only;

mod meaning;

/// Copies of one hit that are shown, before "and more".
const SHOWN: usize = 4;

/// Search titles, authors, tags, notes, paths and text. Works with the disk and the network away.
///
/// All words have to fit, in any case and with or without accents. "a phrase" holds words together, begin* is the beginning of
/// one (three letters at least, for texts), -word must not be there, one OR two is either. title:, author:, note:, path: and text:
/// look there alone; tag:, type:, tier:, lang:, kind: and library: ask for exactly that value; missing:yes, before:2020 and
/// after:2020-05 for documents of which a file is missing, and for their date. Anything else is searched as it stands.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look for.
    #[arg(required_unless_present_any = ["source_type", "tier", "tag", "lang", "library", "missing", "before", "after", "meaning"])]
    query: Vec<String>,
    /// Ask a Chroma store for what means something like this, in whatever words. With the store away, the words are searched.
    #[arg(long, value_name = "QUESTION", conflicts_with_all = ["query", "library", "missing", "before", "after"])]
    meaning: Option<String>,
    /// With --meaning: which store is asked, where there are several.
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
    #[command(flatten)]
    filters: Filters,
    /// Only documents with a file in this library, by name, id or root.
    #[arg(long)]
    library: Option<String>,
    /// Only documents of which a file is missing.
    #[arg(long)]
    missing: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

/// What a document's card must say.
#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// Only documents of this source type.
    #[arg(long = "type", value_name = "TYPE")]
    source_type: Option<String>,
    /// Only documents of this authority tier.
    #[arg(long)]
    tier: Option<String>,
    /// Only documents with this tag; given several times, with all of them.
    #[arg(long)]
    tag: Vec<String>,
    /// Only documents in this language: en, pt-BR.
    #[arg(long, value_name = "LANGUAGE")]
    lang: Option<String>,
    /// Only documents dated before this: 2020, 2020-05, 2020-05-31.
    #[arg(long, value_name = "DATE")]
    before: Option<String>,
    /// Only documents dated at this or later.
    #[arg(long, value_name = "DATE")]
    after: Option<String>,
}

impl Filters {
    /// As a store that is asked by meaning is asked for it.
    fn only(&self) -> Only<'_> {
        let Filters { source_type, tier, tag, lang, before: _, after: _ } = self;
        Only {
            source_type: source_type.as_deref(),
            tier: tier.as_deref(),
            language: lang.as_deref(),
            tags: tag.clone(),
        }
    }

    /// Asks for it beside what `query` asks for.
    pub(super) fn add_to(self, query: &mut Query) -> Result<(), Failure> {
        let Filters { source_type, tier, tag, lang, before, after } = self;
        for (facet, values) in [
            (Facet::Type, source_type.into_iter().collect()),
            (Facet::Tier, tier.into_iter().collect()),
            (Facet::Language, lang.into_iter().collect()),
            (Facet::Tag, tag),
        ] {
            for value in &values {
                query.require(facet, value);
            }
        }
        let is_date = |understood: bool, flag: &str, date: &str| match understood {
            true => Ok(()),
            false => Err(Failure::usage(format!("{date:?} is no date"))
                .hint(format!("for instance: {flag} 2020, {flag} 2020-05, {flag} 2020-05-31"))),
        };
        if let Some(date) = before {
            is_date(query.require_before(&date), "--before", &date)?;
        }
        if let Some(date) = after {
            is_date(query.require_after(&date), "--after", &date)?;
        }
        Ok(())
    }
}

struct Hit {
    document: documents::Document,
    approximate: bool,
    /// Of a hit by meaning: 1 is the same direction, 0 is none.
    nearness: Option<f64>,
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

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { query, meaning, store, filters, library, missing, limit } = args;
    if let Some(question) = meaning {
        return meaning::run(context, &question, store.as_deref(), filters, limit);
    }
    // clap lets a requirement go where it conflicts with what is there.
    if let Some(store) = store {
        return Err(Failure::usage(format!("store {store} is asked only with --meaning"))
            .hint("for instance: shelflist find --meaning \"how ships were named\" --store NAME"));
    }
    let mut asked = Query::parse(&query.join(" "));
    filters.add_to(&mut asked)?;
    let catalog = context.open()?;
    if let Some(library) = library {
        asked.require_library(&[context.library(&catalog, &library)?.library_id]);
    }
    if missing {
        asked.require_missing();
    }
    by_words(context, &catalog, &asked, limit, None)?;
    Ok(Exit::Done)
}

/// Searches the catalogue. `instead_of` says why it is, where something else was asked for.
fn by_words(
    context: &mut Context,
    catalog: &Catalog,
    asked: &Query,
    limit: usize,
    instead_of: Option<Value>,
) -> Result<(), Failure> {
    let _moment = catalog.snapshot()?;
    let conn = catalog.read();
    let found = search::find(conn, asked, limit)?;
    let mut hits = Vec::new();
    for search::Hit { document_id, approximate } in &found.hits {
        let mut hit = hit(conn, *document_id)?;
        hit.approximate = *approximate;
        let text = match hit.document.content_hash {
            Some(hash) => search::beginning(conn, hash)?,
            None => None,
        };
        hit.snippet = text.and_then(|text| search::snippet(&text, asked, 60));
        hits.push(hit);
    }
    let places = places(context, conn, &mut hits)?;
    if context.json {
        let hits: Vec<Value> = hits.iter().map(|hit| hit_json(hit, &places)).collect();
        let mut object = json!({
            "hits": hits,
            "total": found.total,
            "total_is_at_least": found.total_is_at_least,
            "unindexed": found.unindexed,
        });
        if let Some(instead_of) = instead_of {
            object["meaning"] = instead_of;
        }
        context.out.json(&object)?;
        return Ok(());
    }
    print_hits(context, &hits, &places)?;
    let out = &mut context.out;
    let more = if found.total_is_at_least { "more than " } else { "" };
    match (found.total, hits.len() as u64) {
        (0, _) => out.line("nothing found")?,
        (total, shown) if total > shown => {
            out.line(format!("{shown} of {more}{total}; more with --limit, fewer with more words"))?;
        }
        _ => {}
    }
    if found.unindexed > 0 {
        out.line(format!(
            "{} not indexed yet and searched by name at most; `shelflist sync` indexes",
            plural(found.unindexed, "document is", "documents are")
        ))?;
    }
    Ok(())
}

/// A document as a hit, before it is said why it is one.
fn hit(conn: &Connection, document_id: i64) -> Result<Hit, Failure> {
    let names: HashMap<i64, String> =
        stores::all(conn)?.into_iter().map(|store| (store.store_id, store.name)).collect();
    let mut stores: Vec<String> = ledger::of_document(conn, document_id)?
        .into_iter()
        .filter(|object| object.state == ObjectState::Current)
        .filter_map(|object| names.get(&object.store_id).cloned())
        .collect();
    stores.sort_unstable();
    stores.dedup();
    Ok(Hit {
        document: documents::by_id(conn, document_id)?,
        approximate: false,
        nearness: None,
        copies: query::copies(conn, document_id)?,
        snippet: None,
        stores,
    })
}

/// The libraries that hits are in. Each disk is looked at once, and what is at hand comes first among a hit's copies.
fn places(context: &Context, conn: &Connection, hits: &mut [Hit]) -> Result<HashMap<i64, Place>, Failure> {
    let mut places: HashMap<i64, Place> = HashMap::new();
    for library in libraries::all(conn)? {
        if hits.iter().any(|hit| hit.copies.iter().any(|copy| copy.library_id == library.library_id)) {
            let available = context.availability(&library)?.is_readable();
            let label = crate::library::expected(&library)?.identity.label;
            places.insert(library.library_id, Place { library, label, available });
        }
    }
    for hit in hits {
        hit.copies.sort_by_key(|copy| !is_available(copy, &places));
    }
    Ok(places)
}

fn print_hits(context: &mut Context, hits: &[Hit], places: &HashMap<i64, Place>) -> Result<(), Failure> {
    let colour = context.config.colour && std::io::stdout().is_terminal();
    for hit in hits {
        print_hit(context, hit, places, colour)?;
    }
    Ok(())
}

fn is_available(copy: &FileCard, places: &HashMap<i64, Place>) -> bool {
    places[&copy.library_id].available && copy.presence != Presence::Missing
}

fn print_hit(
    context: &mut Context,
    hit: &Hit,
    places: &HashMap<i64, Place>,
    colour: bool,
) -> Result<(), Failure> {
    let out = &mut context.out;
    let title = hit.copies.first().and_then(|copy| copy.title.clone());
    let perhaps = match hit.nearness {
        Some(nearness) => format!("  ({nearness:.2} near)"),
        None if hit.approximate => "  (similar)".to_owned(),
        None => String::new(),
    };
    let mut indent = "";
    if let Some(title) = title {
        out.line(format!("{title}{perhaps}"))?;
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
        out.line(format!("{indent}{place}{}", if indent.is_empty() { &perhaps } else { "" }))?;
        indent = "  ";
    }
    if hit.copies.len() > SHOWN {
        let more = (hit.copies.len() - SHOWN) as u64;
        out.line(format!("  and {}; see `shelflist copies`", plural(more, "copy more", "copies more")))?;
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
        "snippet": hit.snippet.as_ref().map(|snippet| &snippet.text),
        "approximate": hit.approximate,
        "nearness": hit.nearness,
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
