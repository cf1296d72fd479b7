use serde_json::{Value, json};
use ulid::Ulid;

use super::store_named;
use crate::catalog::Sender;
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, chain};
use crate::cli::output::{local_time, rfc3339};
use crate::clock::Clock;
use crate::sync::devices::{self, Devices};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The store's name or URL.
    store: String,
    /// A device that is no more, or keeps nothing there any more: its number. What only it knew of may be deleted then.
    #[arg(long, value_name = "DEVICE")]
    forget: Option<Ulid>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { store, forget } = args;
    let mut catalog = context.open()?;
    let row = store_named(&catalog, &store)?;
    // Who sends may be telling it at this moment.
    let _sender = forget.map(|_| Sender::take(&mut catalog, context.clock.now_ms())).transpose()?;
    let Devices { own, all } = devices::look(&mut catalog, &row, forget, &context.clock)?
        .map_err(|away| Failure::new(Exit::Offline, format!("{}: away: {}", row.name, chain(&away))))?;
    let since = |device: &Ulid| i64::try_from(device.timestamp_ms()).unwrap_or(0);
    if context.json {
        let devices: Vec<Value> = all
            .iter()
            .map(|device| json!({ "device": device, "since": rfc3339(since(device)), "own": *device == own }))
            .collect();
        context.out.json(&json!({ "store": row.name, "devices": devices }))?;
        return Ok(Exit::Done);
    }
    if all.is_empty() {
        context.out.line("none is known; the next sync says of this one that it uses it")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|device| {
            let own = if *device == own { "this one" } else { "" };
            vec![device.to_string(), local_time(since(device)), own.to_owned()]
        })
        .collect();
    context.out.table(&["DEVICE", "SINCE", ""], &rows)?;
    Ok(Exit::Done)
}
