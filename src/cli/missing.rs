use jiff::{Span, SpanRelativeTo};
use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::list::{card_json, names};
use super::output::{ago, local_time, rfc3339_or_null};
use crate::catalog::moves::MOVED_TO;
use crate::catalog::query::{self, Filter};
use crate::clock::Clock;
use crate::model::Presence;
use crate::model::path::display_name;

/// List files that are proved missing.
///
/// A file on a disk that is away is not missing. One that comes back, at its place or with its content elsewhere, gets
/// its document, curation and remote copies back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    library: Option<String>,
    /// Only what is missing at least so long, for instance 30d or 12h.
    #[arg(long, value_name = "AGE")]
    min_age: Option<String>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library, min_age } = args;
    let catalog = context.open()?;
    let libraries = context.libraries(&catalog, library.as_deref())?;
    let now_ms = context.clock.now_ms();
    let filter = Filter {
        libraries: Some(libraries.iter().map(|library| library.library_id).collect()),
        presence: Some(Presence::Missing),
        missing_before: min_age.as_deref().map(parse_age).transpose()?.map(|age_ms| now_ms - age_ms),
        ..Filter::default()
    };
    let cards = query::list(catalog.read(), &filter)?;
    let names = names(&catalog)?;
    if context.json {
        let missing: Vec<Value> = cards
            .iter()
            .map(|card| {
                let mut object = card_json(card, &names);
                object["missing_since"] = rfc3339_or_null(card.missing_since);
                object["evidence"] = json!(card.evidence);
                object
            })
            .collect();
        context.out.json(&json!({ "missing": missing }))?;
        return Ok(Exit::Done);
    }
    if cards.is_empty() {
        context.out.line("nothing is missing")?;
    }
    for card in &cards {
        let since = card.missing_since.unwrap_or(now_ms);
        // That it stands in another library now is no reason to look for it.
        let elsewhere = card.evidence.as_deref().filter(|evidence| evidence.starts_with(MOVED_TO));
        context.out.line(format!(
            "{}: {}  since {} ({} ago){}",
            names[&card.library_id],
            card.path,
            local_time(since),
            ago(now_ms - since),
            elsewhere.map_or_else(String::new, |evidence| format!(", {}", display_name(evidence.as_bytes()))),
        ))?;
    }
    Ok(Exit::Done)
}

/// "30d", "12h", "2 weeks" in milliseconds; days have 24 hours here.
fn parse_age(text: &str) -> Result<i64, Failure> {
    let refuse = || {
        Failure::usage(format!("{text:?} is not an age")).hint("for instance: --min-age 30d, --min-age 12h")
    };
    let span: Span = text.parse().map_err(|_| refuse())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| refuse())?;
    let ms = i64::try_from(duration.as_millis()).map_err(|_| refuse())?;
    if ms < 0 { Err(refuse()) } else { Ok(ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_as_people_write_them() {
        assert_eq!(parse_age("30d").unwrap(), 30 * 86_400_000);
        assert_eq!(parse_age("12h").unwrap(), 12 * 3_600_000);
        assert_eq!(parse_age("2w").unwrap(), 14 * 86_400_000);
        assert!(parse_age("soon").is_err());
        assert!(parse_age("-1d").is_err());
    }
}
