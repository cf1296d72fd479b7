use serde_json::{Value, json};

use super::store_named;
use crate::catalog::scope::{self, Changed};
use crate::catalog::{Catalog, CatalogError, Ids, Sender, libraries};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::plural;
use crate::clock::Clock;
use crate::model::scope::{Patterns, Scope};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store's name or URL.
    store: String,
    #[command(flatten)]
    patterns: PatternArgs,
    /// Everything is for it again.
    #[arg(long, conflicts_with_all = ["include", "exclude"])]
    all: bool,
    /// Make orphans of what it has and what is not for it; `orphans clean` deletes them after their grace.
    #[arg(long)]
    retire: bool,
    /// Say how many documents come in and go out, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What is for a store.
#[derive(Debug, clap::Args)]
pub(super) struct PatternArgs {
    /// Only what lies there: a pattern as in .gitignore, from a library's root; or library:NAME, or type:WORD for a kind of
    /// source. Can be given several times.
    #[arg(long, value_name = "PATTERN")]
    include: Vec<String>,
    /// Not what lies there; wins over --include. Can be given several times.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
}

impl PatternArgs {
    pub(super) fn into_patterns(self) -> Patterns {
        let PatternArgs { include, exclude } = self;
        Patterns { include, exclude }
    }
}

/// What the patterns mean, before anything is done with them.
pub(super) fn understood(patterns: &Patterns) -> Result<Scope, Failure> {
    Scope::parse(patterns).map_err(|error| {
        Failure::usage(error.to_string()).hint(
            "give a pattern as in .gitignore, from a library's root ('/letters/', '*.eml'), library:NAME or type:WORD",
        )
    })
}

/// A slip in the name of a library would take in nothing, or leave out nothing.
pub(super) fn refuse_unknown_library(catalog: &Catalog, scope: &Scope) -> Result<(), Failure> {
    let known = libraries::all(catalog.read())?;
    match scope.libraries().find(|name| known.iter().all(|library| library.name != *name)) {
        None => Ok(()),
        Some(name) => Err(Failure::usage(format!("there is no library {name:?}"))
            .hint("see all with: shelflist library list")),
    }
}

/// For scripts: nothing where everything is for it.
pub(super) fn scope_json(patterns: &Patterns) -> Value {
    if patterns.is_empty() { Value::Null } else { json!(patterns) }
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { store, patterns, all, retire, dry_run } = args;
    let given = patterns.into_patterns();
    let after = understood(&given)?;
    let mut catalog = context.open()?;
    let row = store_named(&catalog, &store)?;
    refuse_unknown_library(&catalog, &after)?;
    let is_told = !all && given.is_empty();
    let (patterns, after) = if is_told {
        scope::of_store(catalog.read(), row.store_id)?;
        let now = understood(&row.scope)?;
        (row.scope.clone(), now)
    } else {
        (given, after)
    };
    let shown_only = is_told && !retire;
    let changed = if dry_run || shown_only {
        scope::compare(catalog.read(), row.store_id, &after)?
    } else {
        let now_ms = context.clock.now_ms();
        // What is on its way may be an orphan a moment later: nobody may be sending it.
        let _sender = retire.then(|| Sender::take(&mut catalog, now_ms)).transpose()?;
        catalog.change::<_, CatalogError>(|tx| {
            scope::change(tx, &mut Ids::default(), row.store_id, &patterns, retire, now_ms)
        })?
    };
    let Changed { documents, coming, going, staying, retired } = changed;
    if context.json {
        context.out.json(&json!({
            "store": row.name, "scope": scope_json(&patterns), "dry_run": dry_run, "documents": documents, "coming": coming,
            "going": going, "staying": staying, "retired": retired,
        }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    let name = &row.name;
    let would = if dry_run { "would be" } else { "is" };
    if patterns.is_empty() {
        out.line(format!("everything {would} for {name}"))?;
    } else {
        out.line(format!("for {name} {would}: {patterns}"))?;
    }
    out.line(format!("  {}", plural(documents, "document", "documents")))?;
    if coming > 0 {
        let next = if dry_run { "" } else { ", in line: shelflist sync" };
        out.line(format!("  of these {coming} that {} not before{next}", was(coming)))?;
    }
    if going > 0 {
        out.line(format!("  {going} that {} before {} not any more", was(going), is(going)))?;
    }
    let left = staying.saturating_sub(retired);
    if retired > 0 || (retire && dry_run && staying > 0) {
        let retired = if dry_run { staying } else { retired };
        out.line(format!(
            "  what it has of {} that {} not for it {would} orphaned; see: shelflist orphans",
            plural(retired, "document", "documents"),
            is(retired)
        ))?;
    } else if left > 0 {
        out.line(format!(
            "  {} that {} not for it {} there as {} and {} not brought up to date any more",
            plural(left, "document", "documents"),
            is(left),
            if left == 1 { "stays" } else { "stay" },
            if left == 1 { "it is" } else { "they are" },
            is(left)
        ))?;
        out.line(format!(
            "  to have them deleted after the grace of orphans: shelflist store scope {name} --retire"
        ))?;
    }
    Ok(Exit::Done)
}

fn is(n: u64) -> &'static str {
    if n == 1 { "is" } else { "are" }
}

fn was(n: u64) -> &'static str {
    if n == 1 { "was" } else { "were" }
}
