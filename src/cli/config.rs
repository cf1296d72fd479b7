use clap::Subcommand;
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{plural, rfc3339_or_null};
use crate::catalog::privacy::{self, Settled};
use crate::catalog::{Catalog, CatalogError, settings};
use crate::clock::Clock;
use crate::enrich;
use crate::model::setting::{self, Setting, SettingError, SettingKind};

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
    /// Put a setting back to its default; of an enrichment command, remove it.
    Unset {
        /// For instance missing.grace_days.
        key: String,
    },
}

fn by_key(key: &str) -> Result<Setting, Failure> {
    setting::by_key(key).ok_or_else(|| SettingError::Unknown(key.to_owned()).into())
}

/// All settings: those that every catalogue has, and what was said of enrichment commands in this one.
fn all(catalog: &Catalog) -> Result<Vec<Setting>, CatalogError> {
    let commands = settings::command_keys(catalog.read())?;
    Ok(setting::ALL.iter().cloned().chain(commands.iter().filter_map(|key| setting::by_key(key))).collect())
}

/// Whether the value is one of this setting's, as far as only the whole program knows it.
fn check(catalog: &Catalog, setting: &Setting, value: &str) -> Result<(), Failure> {
    setting.check(value)?;
    if setting.kind == SettingKind::Kinds {
        enrich::commands::parse_kinds(value)?;
    }
    if let Some((name, Some(_))) = setting::command_of(&setting.key) {
        let (line, _) = settings::get(catalog.read(), &setting::of_command(name, None))?;
        if line.is_empty() {
            return Err(SettingError::NoCommand(name.to_owned()).into());
        }
    }
    Ok(())
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    match args.command {
        Command::List => {
            let catalog = context.open()?;
            let rows = all(&catalog)?
                .into_iter()
                .map(|setting| settings::get(catalog.read(), &setting).map(|held| (setting, held)))
                .collect::<Result<Vec<_>, CatalogError>>()?;
            if context.json {
                let all: Vec<Value> = rows.iter().map(|(setting, held)| row_json(setting, held)).collect();
                context.out.json(&json!({ "settings": all }))?;
            } else {
                for (setting, (value, updated_at)) in &rows {
                    let mark = if updated_at.is_some() { "" } else { "  (default)" };
                    let value = setting.shown(value);
                    context.out.line(format!("{} = {value:?}{mark}", setting.key))?;
                    context.out.line(format!("    {}", setting.about))?;
                }
            }
        }
        Command::Get { key } => {
            let setting = by_key(&key)?;
            let catalog = context.open()?;
            let held = settings::get(catalog.read(), &setting)?;
            if context.json {
                context.out.json(&row_json(&setting, &held))?;
            } else {
                context.out.line(setting.shown(&held.0))?;
            }
        }
        Command::Set { key, value } => {
            let setting = by_key(&key)?;
            setting.check(&value)?;
            let mut catalog = context.open_or_create()?;
            check(&catalog, &setting, &value)?;
            let now_ms = context.clock.now_ms();
            catalog.change::<_, CatalogError>(|tx| {
                settings::set(tx, &setting, &value, now_ms)?;
                if setting.kind == SettingKind::PrivacyRules { privacy::mark_all(tx) } else { Ok(()) }
            })?;
            if setting.kind == SettingKind::PrivacyRules {
                return settle(context, &mut catalog, &setting);
            }
            if context.json {
                let held = settings::get(catalog.read(), &setting)?;
                context.out.json(&row_json(&setting, &held))?;
            } else if setting.kind == SettingKind::CommandLine {
                context.out.line("it is asked by the next: shelflist enrich")?;
            }
        }
        Command::Unset { key } => {
            let setting = by_key(&key)?;
            let mut catalog = context.open()?;
            catalog.change::<_, CatalogError>(|tx| {
                settings::unset(tx, &setting)?;
                if setting.kind == SettingKind::PrivacyRules { privacy::mark_all(tx) } else { Ok(()) }
            })?;
            if setting.kind == SettingKind::PrivacyRules {
                return settle(context, &mut catalog, &setting);
            }
            if context.json {
                let held = settings::get(catalog.read(), &setting)?;
                context.out.json(&row_json(&setting, &held))?;
            } else if setting.kind == SettingKind::CommandLine {
                context.out.line("what it said is taken back by the next: shelflist enrich")?;
            }
        }
    }
    Ok(Exit::Done)
}

/// The rules about privacy are others: says what follows.
fn settle(context: &mut Context, catalog: &mut Catalog, setting: &Setting) -> Result<Exit, Failure> {
    let Settled { documents, recalled, waiting, decisions } =
        privacy::settle(catalog, context.clock.now_ms())?;
    let exit = if decisions.is_empty() { Exit::Done } else { Exit::Decision };
    if context.json {
        let mut object = row_json(setting, &settings::get(catalog.read(), setting)?);
        object["documents"] = json!(documents);
        object["recalled"] = json!(recalled);
        object["waiting"] = json!(waiting);
        object["decisions"] = json!(decisions);
        context.out.json(&object)?;
        return Ok(exit);
    }
    let out = &mut context.out;
    out.line(format!("{} by these rules", plural(documents, "document changes", "documents change")))?;
    if recalled > 0 {
        let of = plural(recalled, "document", "documents");
        out.line(format!("the next sync deletes from the stores what they have of {of}"))?;
    }
    if waiting > 0 {
        let of = plural(waiting, "document", "documents");
        let all = decisions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        out.line(format!(
            "nothing more of {of} is sent; what stores have of them stays until you decide: shelflist decisions ({all})"
        ))?;
    }
    Ok(exit)
}

fn row_json(setting: &Setting, (value, updated_at): &(String, Option<i64>)) -> Value {
    json!({ "key": setting.key, "value": setting.shown(value), "default": setting.default, "updated_at": rfc3339_or_null(*updated_at) })
}
