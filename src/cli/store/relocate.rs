use serde_json::json;

use super::{refuse_secret, store_named};
use crate::catalog::{CatalogError, RunLock, stores};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure};
use crate::clock::Clock;
use crate::library;
use crate::remote::{self, Access, StoreUrl};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its name or former URL.
    store: String,
    /// Where it is now.
    url: String,
    /// A command that prints its password or key, in place of the former one.
    #[arg(long, value_name = "COMMAND")]
    password_command: Option<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { store, url, password_command } = args;
    refuse_secret(password_command.as_deref())?;
    let url = StoreUrl::parse(&url, &std::env::current_dir()?)?;
    let mut catalog = context.open()?;
    let row = store_named(&catalog, &store)?;
    let canonical = url.to_string();
    if let Some(other) = stores::by_name(catalog.read(), &canonical)?
        && other.store_id != row.store_id
    {
        return Err(Failure::usage(format!("store {} is at {canonical} already", other.name))
            .hint("see all with: shelflist store list"));
    }
    library::refuse_store_inside(&catalog, &url)?;
    // Nobody may be sending to it meanwhile.
    let _lock = RunLock::take(catalog.path())?;
    let password_command = password_command.or_else(|| row.password_command.clone());
    let access = Access::known(password_command.as_deref(), None);
    let found = remote::open(&url, &access, context.clock.now())?.identity()?;
    match found {
        Some(found) if found.store == row.remote_store => {}
        Some(found) => {
            let message = format!(
                "another store is at {canonical}: {} has the id {}, there it is {}",
                row.name, row.remote_store, found.store
            );
            return Err(Failure::new(Exit::Failed, message)
                .hint("nothing was changed; to send everything there as well: shelflist store add URL"));
        }
        None => {
            return Err(Failure::new(Exit::Failed, format!("there is no store at {canonical}")).hint(
                "nothing was changed; to begin one there: shelflist store add URL; its objects may also be copied there first, with the object .shelflist-store.json",
            ));
        }
    }
    let found = remote::try_out(&url, &access, context.clock.now())?;
    let now_ms = context.clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| {
        stores::relocate(tx, row.store_id, &canonical, password_command.as_deref(), found, now_ms)
    })?;
    if context.json {
        let object = json!({ "store": row.name, "url": canonical, "former_url": row.url, "probe": found });
        context.out.json(&object)?;
    } else {
        context.out.line(format!("store {} is at {canonical} now, and was at {}", row.name, row.url))?;
        context.out.line("what it has can be compared with: shelflist store check")?;
    }
    Ok(Exit::Done)
}
