use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::hits::Hits;
use super::output::plural;
use crate::catalog::Catalog;
use crate::catalog::search::{self, Facet, Query};
use crate::remote::index::Only;

mod meaning;

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
#[derive(Debug, Clone, clap::Args)]
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
    let found = search::find(catalog.read(), asked, limit)?;
    let hits = Hits::gather(context, catalog, &found.hits, Some(asked))?;
    if context.json {
        let mut object = json!({
            "hits": hits.json(),
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
    hits.print(context)?;
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
