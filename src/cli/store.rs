use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{ago, rfc3339_or_null};
use crate::catalog::stores::{self, NewStore, StorePayload};
use crate::catalog::{CatalogError, Ids, RunLock, ledger, queue};
use crate::clock::Clock;
use crate::library;
use crate::remote::{self, StoreUrl};

/// Add, list and remove stores: remote places that get a copy of every document.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a store; everything catalogued is put in line for it, and the next sync sends it.
    Add {
        /// Where it is: dir:PATH. The last directory of PATH is made, those above it have to exist.
        url: String,
        /// What to call it; the URL's last name otherwise.
        #[arg(long)]
        name: Option<String>,
        /// What it gets of each document: the file itself, its text and metadata, or both.
        #[arg(long, value_enum, default_value_t = PayloadArg::Enriched)]
        payload: PayloadArg,
    },
    /// List the stores.
    List,
    /// Forget a store, its ledger and its queue. What it holds stays there.
    Remove {
        /// Its name or URL.
        store: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PayloadArg {
    Original,
    Enriched,
    Both,
}

impl From<PayloadArg> for StorePayload {
    fn from(payload: PayloadArg) -> Self {
        match payload {
            PayloadArg::Original => StorePayload::Original,
            PayloadArg::Enriched => StorePayload::Enriched,
            PayloadArg::Both => StorePayload::Both,
        }
    }
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::Add { url, name, payload } => add(context, &url, name.as_deref(), payload.into()),
        Command::List => list(context),
        Command::Remove { store } => remove(context, &store),
    }
}

fn add(context: &mut Context, url: &str, name: Option<&str>, payload: StorePayload) -> Result<Exit, Failure> {
    let url = StoreUrl::parse(url, &std::env::current_dir()?)?;
    let mut catalog = context.open_or_create()?;
    let StoreUrl::Dir { path } = &url;
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            path.file_name().map_or_else(|| "store".to_owned(), |name| name.to_string_lossy().into_owned())
        }
    };
    let canonical = url.to_string();
    for store in stores::all(catalog.read())? {
        if store.url == canonical {
            return Err(Failure::usage(format!("store {} is at {canonical} already", store.name))
                .hint("see all with: shelflist store list"));
        }
        if store.name == name {
            return Err(Failure::usage(format!("there is a store named {name:?} already"))
                .hint("give it another name with --name"));
        }
    }
    library::refuse_store_inside(&catalog, &url)?;
    let store = remote::create(&url, context.clock.now())?;
    let Some(generation) = store.generation()? else {
        return Err(Failure::new(Exit::Failed, format!("{canonical} was made and is no store"))
            .hint("is the disk still there? run the command again"));
    };
    let new = NewStore {
        name: &name,
        url: &canonical,
        payload,
        remote_store: &generation.store_id.to_string(),
        generation: &generation.generation.to_string(),
    };
    let now_ms = context.clock.now_ms();
    let store_id =
        catalog.change::<_, CatalogError>(|tx| stores::insert(tx, &mut Ids::default(), &new, now_ms))?;
    let queued = queue::standing(catalog.read(), Some(store_id), now_ms)?.pending;
    if context.json {
        context
            .out
            .json(&json!({ "store": name, "url": canonical, "payload": payload, "queued": queued }))?;
    } else {
        context.out.line(format!("store {name} at {canonical}, {queued} documents in line"))?;
        context.out.line("next: shelflist sync")?;
    }
    Ok(Exit::Done)
}

fn list(context: &mut Context) -> Result<Exit, Failure> {
    let catalog = context.open()?;
    let now_ms = context.clock.now_ms();
    let mut rows = Vec::new();
    for store in stores::all(catalog.read())? {
        let held = ledger::count(catalog.read(), store.store_id)?;
        let queue = queue::standing(catalog.read(), Some(store.store_id), now_ms)?;
        rows.push((store, held, queue));
    }
    if context.json {
        let all: Vec<Value> = rows
            .iter()
            .map(|(store, held, queue)| {
                json!({
                    "store": store.name,
                    "url": store.url,
                    "payload": store.payload,
                    "state": store.state,
                    "paused": store.paused,
                    "last_ok": rfc3339_or_null(store.last_ok),
                    "offline_ms": store.offline_since.map(|since| now_ms - since),
                    "error": store.error_text,
                    "uploaded": held.uploaded,
                    "uploading": held.uploading,
                    "orphaned": held.orphaned,
                    "pending": queue.pending,
                    "failed": queue.dead,
                })
            })
            .collect();
        context.out.json(&json!({ "stores": all }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(store, held, queue)| {
            let state = match store.offline_since {
                Some(since) => format!("{} for {}", store.state, ago(now_ms - since)),
                None => store.state.to_string(),
            };
            vec![
                store.name,
                state,
                store.payload.to_string(),
                held.uploaded.to_string(),
                queue.pending.to_string(),
                queue.dead.to_string(),
                held.orphaned.to_string(),
                store.url,
            ]
        })
        .collect();
    context
        .out
        .table(&["STORE", "STATE", "PAYLOAD", "UPLOADED", "PENDING", "FAILED", "ORPHANED", "URL"], &rows)?;
    Ok(Exit::Done)
}

fn remove(context: &mut Context, named: &str) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let Some(store) = stores::by_name(catalog.read(), named)? else {
        return Err(
            Failure::usage(format!("there is no store {named:?}")).hint("see all with: shelflist store list")
        );
    };
    // Nobody may be sending to it meanwhile.
    let _lock = RunLock::take(catalog.path())?;
    catalog.change::<_, CatalogError>(|tx| stores::remove(tx, store.store_id))?;
    if context.json {
        context.out.json(&json!({ "store": store.name, "url": store.url }))?;
    } else {
        context
            .out
            .line(format!("store {} is forgotten; what it holds stays at {}", store.name, store.url))?;
    }
    Ok(Exit::Done)
}
