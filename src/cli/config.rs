use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::rfc3339_or_null;
use crate::catalog::settings;
use crate::clock::Clock;
use crate::model::setting::{self, Setting, SettingError};

/// Read and change the settings that the catalogue keeps.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List all settings with their values.
    List,
    /// Print one setting's value.
    Get {
        /// For instance missing.grace_days.
        key: String,
    },
    /// Change a setting.
    Set {
        /// For instance missing.grace_days.
        key: String,
        /// Its new value.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Put a setting back to its default.
    Unset {
        /// For instance missing.grace_days.
        key: String,
    },
}

fn by_key(key: &str) -> Result<&'static Setting, Failure> {
    setting::by_key(key).ok_or_else(|| SettingError::Unknown(key.to_owned()).into())
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::List => {
            let catalog = context.open()?;
            let rows = setting::ALL
                .iter()
                .map(|setting| Ok((setting, settings::get(catalog.read(), setting)?)))
                .collect::<Result<Vec<_>, crate::catalog::CatalogError>>()?;
            if context.json {
                let all: Vec<Value> = rows.iter().map(|(setting, held)| row_json(setting, held)).collect();
                context.out.json(&json!({ "settings": all }))?;
            } else {
                for (setting, (value, updated_at)) in &rows {
                    let mark = if updated_at.is_some() { "" } else { "  (default)" };
                    context.out.line(format!("{} = {value:?}{mark}", setting.key))?;
                    context.out.line(format!("    {}", setting.about))?;
                }
            }
        }
        Command::Get { key } => {
            let setting = by_key(&key)?;
            let catalog = context.open()?;
            let held = settings::get(catalog.read(), setting)?;
            if context.json {
                context.out.json(&row_json(setting, &held))?;
            } else {
                context.out.line(held.0)?;
            }
        }
        Command::Set { key, value } => {
            let setting = by_key(&key)?;
            setting.check(&value)?;
            let mut catalog = context.open_or_create()?;
            let now_ms = context.clock.now_ms();
            catalog
                .change::<_, crate::catalog::CatalogError>(|tx| settings::set(tx, setting, &value, now_ms))?;
            if context.json {
                let held = settings::get(catalog.read(), setting)?;
                context.out.json(&row_json(setting, &held))?;
            }
        }
        Command::Unset { key } => {
            let setting = by_key(&key)?;
            let mut catalog = context.open()?;
            catalog.change::<_, crate::catalog::CatalogError>(|tx| settings::unset(tx, setting))?;
            if context.json {
                let held = settings::get(catalog.read(), setting)?;
                context.out.json(&row_json(setting, &held))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn row_json(setting: &Setting, (value, updated_at): &(String, Option<i64>)) -> Value {
    json!({ "key": setting.key, "value": value, "default": setting.default, "updated_at": rfc3339_or_null(*updated_at) })
}
