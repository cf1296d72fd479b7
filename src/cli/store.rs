mod check;
mod devices;
mod relocate;
mod scope;

use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{ago, plural, rfc3339_or_null};
use crate::catalog::stores::{self, NewStore, StorePayload, StoreRow};
use crate::catalog::{Catalog, CatalogError, Ids, Sender, ledger, queue, scope as scopes};
use crate::clock::Clock;
use crate::library;
use crate::model::scope::Patterns;
use crate::model::secret::secret_in;
use crate::remote::{self, Access, StoreUrl};
use crate::sync::connectivity::Connectivity;
use crate::sync::devices as devices_of;

/// Signatures of requests are good for a quarter of an hour; well before that a person should know.
const NOTABLE_SKEW_MS: i64 = 60 * 1_000;

/// Add, list, check and remove stores: remote places that get a copy of every document.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a store; everything catalogued is put in line for it, and the next sync sends it.
    Add {
        /// Where it is: dir:PATH, s3://BUCKET/PREFIX, webdav+https://HOST/PATH, sftp://USER@HOST/PATH, gcs://BUCKET/PREFIX,
        /// azblob://CONTAINER/PREFIX, gemini://NAME or chroma+http://HOST:8000/NAME?embed=FOLDER. The last directory of a path is
        /// made, those above it have to exist, and so has a bucket.
        url: String,
        /// What to call it; the URL's last name otherwise.
        #[arg(long)]
        name: Option<String>,
        /// What it gets of each document: the file itself, its text and metadata, or both.
        #[arg(long, value_enum, default_value_t = PayloadArg::Enriched)]
        payload: PayloadArg,
        /// A command that prints its password or key; run without a shell whenever the store is opened. Without it the usual
        /// places of its family are looked at: environment, ~/.aws, ~/.netrc, ssh agent.
        #[arg(long, value_name = "COMMAND")]
        password_command: Option<String>,
        #[command(flatten)]
        patterns: scope::PatternArgs,
    },
    /// List the stores.
    List,
    /// Compare what stores have with what they should have.
    ///
    /// Nothing is deleted, also with --repair: what is missing or damaged is put in line for the next sync, and objects of ours
    /// that nobody knows of become orphans (see: shelflist orphans).
    Check(check::Args),
    /// Say that a store is at another address now; what is there has to be the same store.
    Relocate(relocate::Args),
    /// Say what of everything is for a store, or show it.
    ///
    /// What is given replaces what was said before. What the store has and what is not for it any more stays there as it is,
    /// unless --retire is given, too.
    Scope(scope::Args),
    /// Which devices keep objects in a store. While there are others, `orphans clean` asks for --force, and `store check
    /// --repair` adopts nothing.
    Devices(devices::Args),
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
        Command::Add { url, name, payload, password_command, patterns } => {
            let patterns = patterns.into_patterns();
            add(context, &url, name.as_deref(), payload.into(), password_command.as_deref(), &patterns)
        }
        Command::List => list(context),
        Command::Check(args) => check::run(context, args),
        Command::Relocate(args) => relocate::run(context, args),
        Command::Scope(args) => scope::run(context, args),
        Command::Devices(args) => devices::run(context, args),
        Command::Remove { store } => remove(context, &store),
    }
}

fn add(
    context: &mut Context,
    url: &str,
    name: Option<&str>,
    payload: StorePayload,
    password_command: Option<&str>,
    patterns: &Patterns,
) -> Result<Exit, Failure> {
    refuse_secret(password_command)?;
    let understood = scope::understood(patterns)?;
    let url = StoreUrl::parse(url, &std::env::current_dir()?)?;
    if url.is_index() && payload != StorePayload::Enriched {
        let message = format!("{}: takes text and metadata (--payload enriched), no files", url.scheme());
        return Err(Failure::usage(message)
            .hint("files go to a second store: dir:, s3:, webdav+https:, sftp:, gcs: or azblob:"));
    }
    let mut catalog = context.open_or_create()?;
    let name = name.map_or_else(|| url.last_name(), str::to_owned);
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
    scope::refuse_unknown_library(&catalog, &understood)?;
    library::refuse_store_inside(&catalog, &url)?;
    let access = Access::known(password_command, None);
    let store = remote::create(&url, &access, context.clock.now())?;
    let found = remote::try_out(&url, &access, context.clock.now())?;
    let Some(identity) = store.identity()? else {
        return Err(Failure::new(Exit::Failed, format!("{canonical} was made and is no store"))
            .hint("is the disk still there? run the command again"));
    };
    let new = NewStore {
        name: &name,
        url: &canonical,
        payload,
        remote_store: &identity.store,
        generation: &identity.generation,
        password_command,
        found,
    };
    let now_ms = context.clock.now_ms();
    let store_id = catalog.change::<_, CatalogError>(|tx| {
        let mut ids = Ids::default();
        let store_id = stores::insert(tx, &mut ids, &new, now_ms)?;
        if !patterns.is_empty() {
            scopes::change(tx, &mut ids, store_id, patterns, false, now_ms)?;
        }
        Ok(store_id)
    })?;
    // Where that does not get through now, the first sync says it.
    let others = match devices_of::register(&mut catalog, store_id, &store, now_ms)? {
        Ok(()) => devices_of::others(&mut catalog, &store, now_ms)?.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let queued = queue::standing(catalog.read(), Some(store_id), now_ms)?.pending;
    if context.json {
        context.out.json(&json!({
            "store": name, "url": canonical, "payload": payload, "queued": queued, "probe": found, "other_devices": others,
            "scope": scope::scope_json(patterns),
        }))?;
    } else {
        context.out.line(format!("store {name} at {canonical}, {queued} documents in line"))?;
        if let Some(ahead_ms) = found.and_then(|found| found.clock_ahead_ms)
            && ahead_ms.abs() > NOTABLE_SKEW_MS
        {
            let which = if ahead_ms > 0 { "ahead of" } else { "behind" };
            context
                .out
                .line(format!("note: its clock is {} {which} this computer's", ago(ahead_ms.abs())))?;
        }
        if !others.is_empty() {
            let others = plural(others.len() as u64, "other device keeps", "other devices keep");
            context.out.line(format!(
                "note: {others} objects there; neither's orphans are deleted without a word: shelflist store devices {name}"
            ))?;
        }
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
                    "offline_ms": Connectivity::of(store).offline_ms(now_ms),
                    "error": store.error_text,
                    "uploaded": held.uploaded,
                    "uploading": held.uploading,
                    "orphaned": held.orphaned,
                    "pending": queue.pending,
                    "failed": queue.dead,
                    "probe": store.found.map(|found| json!({
                        "conditional_put": found.conditional_put,
                        "lists_in_order": found.lists_in_order,
                        "clock_ahead_ms": found.clock_ahead_ms,
                        "probed_at": rfc3339_or_null(store.probed_at),
                    })),
                    "password_command": store.password_command,
                    "scope": scope::scope_json(&store.scope),
                })
            })
            .collect();
        context.out.json(&json!({ "stores": all }))?;
        return Ok(Exit::Done);
    }
    // Most stores are given everything.
    let any_scope = rows.iter().any(|(store, ..)| !store.scope.is_empty());
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(store, held, queue)| {
            let state = match Connectivity::of(&store).offline_ms(now_ms) {
                Some(offline_ms) => format!("{} for {}", store.state, ago(offline_ms)),
                None => store.state.to_string(),
            };
            let scope = store.scope.to_string();
            let mut row = vec![
                store.name,
                state,
                store.payload.to_string(),
                held.uploaded.to_string(),
                queue.pending.to_string(),
                queue.dead.to_string(),
                held.orphaned.to_string(),
                store.url,
            ];
            row.extend(any_scope.then_some(scope));
            row
        })
        .collect();
    let mut head = vec!["STORE", "STATE", "PAYLOAD", "UPLOADED", "PENDING", "FAILED", "ORPHANED", "URL"];
    head.extend(any_scope.then_some("SCOPE"));
    context.out.table(&head, &rows)?;
    Ok(Exit::Done)
}

/// The store of that name or URL.
fn store_named(catalog: &Catalog, named: &str) -> Result<StoreRow, Failure> {
    stores::by_name(catalog.read(), named)?.ok_or_else(|| {
        Failure::usage(format!("there is no store {named:?}")).hint("see all with: shelflist store list")
    })
}

/// The catalogue is no place for secrets.
fn refuse_secret(password_command: Option<&str>) -> Result<(), Failure> {
    let Some(place) = password_command.and_then(secret_in) else { return Ok(()) };
    let message = format!("{place} in --password-command looks like a secret, and the catalogue keeps none");
    Err(Failure::usage(message)
        .hint("the command asks a password manager, or reads a file that only you may read"))
}

fn remove(context: &mut Context, named: &str) -> Result<Exit, Failure> {
    let mut catalog = context.open()?;
    let store = store_named(&catalog, named)?;
    // Nobody may be sending to it meanwhile.
    let _sender = Sender::take(&mut catalog, context.clock.now_ms())?;
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
