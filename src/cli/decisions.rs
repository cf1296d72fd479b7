use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{local_time, rfc3339};
use crate::catalog::decisions::{self, Decision, DecisionKind, DecisionState};
use crate::catalog::{Catalog, CatalogError, RunLock, libraries};
use crate::clock::Clock;

/// List what waits for your decision.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {}

/// Look at one decision.
#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(subcommand)]
    command: ShowCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ShowCommand {
    /// What was found, some of the files, and what each answer does.
    Show {
        /// Its number, as `decisions` lists it.
        number: i64,
    },
}

/// An answer.
#[derive(Debug, clap::Args)]
pub(super) struct AnswerArgs {
    /// Its number, as `decisions` lists it.
    number: i64,
}

const SAMPLES: u32 = 20;

pub(super) fn list(context: &mut Context, args: ListArgs) -> Result<Exit, Failure> {
    let ListArgs {} = args;
    let catalog = context.open()?;
    let open = decisions::open(catalog.read())?;
    if context.json {
        let all: Vec<Value> =
            open.iter().map(|decision| decision_json(&catalog, decision)).collect::<Result<_, _>>()?;
        context.out.json(&json!({ "decisions": all }))?;
        return Ok(Exit::Done);
    }
    if open.is_empty() {
        context.out.line("nothing waits for a decision")?;
    }
    for decision in &open {
        let library = libraries::by_id(catalog.read(), decision.library_id)?.name;
        context.out.line(format!("{}  {library}: {}", decision.decision_id, question(decision)))?;
    }
    Ok(Exit::Done)
}

pub(super) fn question(decision: &Decision) -> String {
    let fact = |key: &str| decision.facts[key].as_u64().unwrap_or(0);
    match decision.kind {
        DecisionKind::MassMissing => {
            format!("{} of {} files are not there any more", fact("missing"), fact("known"))
        }
        DecisionKind::MassChange => format!("{} of {} files have changed", fact("changed"), fact("known")),
        DecisionKind::MassRecall => format!(
            "{} of {} documents in stores may not be there any more by privacy.rules",
            fact("documents"),
            fact("known")
        ),
    }
}

/// What each answer does.
fn answers(kind: DecisionKind) -> [&'static str; 2] {
    match kind {
        DecisionKind::MassMissing => [
            "approve: these files are missing; their remote objects are kept for the grace period",
            "reject: nothing is concluded; the next scan looks and asks again",
        ],
        DecisionKind::MassChange => [
            "approve: the changed files are sent to the stores; what they replace becomes an orphan",
            "reject: nothing is sent for them; the stores keep what they have",
        ],
        DecisionKind::MassRecall => [
            "approve: the next sync deletes them from the stores, without grace",
            "reject: the stores keep what they have; nothing more of them is sent, as the rules say",
        ],
    }
}

fn decision_json(catalog: &Catalog, decision: &Decision) -> Result<Value, CatalogError> {
    let samples = decisions::samples(catalog.read(), decision.decision_id, SAMPLES)?;
    Ok(json!({
        "decision": decision.decision_id,
        "library": libraries::by_id(catalog.read(), decision.library_id)?.name,
        "kind": decision.kind,
        "state": decision.state,
        "counts": decision.facts,
        "samples": samples.iter().map(|path| path.json_text()).collect::<Vec<_>>(),
        "answers": answers(decision.kind),
        "created_at": rfc3339(decision.created_at),
    }))
}

pub(super) fn show(context: &mut Context, args: ShowArgs) -> Result<Exit, Failure> {
    let ShowArgs { command: ShowCommand::Show { number } } = args;
    let catalog = context.open()?;
    let decision = by_number(&catalog, number)?;
    if context.json {
        let object = decision_json(&catalog, &decision)?;
        context.out.json(&object)?;
        return Ok(Exit::Done);
    }
    let library = libraries::by_id(catalog.read(), decision.library_id)?.name;
    let asked = local_time(decision.created_at);
    context.out.line(format!("{library}: {} ({}, asked {asked})", question(&decision), decision.state))?;
    for path in decisions::samples(catalog.read(), decision.decision_id, SAMPLES)? {
        context.out.line(format!("  {path}"))?;
    }
    for answer in answers(decision.kind) {
        context.out.line(answer)?;
    }
    Ok(Exit::Done)
}

fn by_number(catalog: &Catalog, number: i64) -> Result<Decision, Failure> {
    decisions::by_id(catalog.read(), number)?.ok_or_else(|| {
        Failure::usage(format!("there is no decision {number}")).hint("see all with: shelflist decisions")
    })
}

fn open_one(catalog: &Catalog, number: i64) -> Result<Decision, Failure> {
    let decision = by_number(catalog, number)?;
    if decision.state == DecisionState::Open {
        return Ok(decision);
    }
    Err(Failure::usage(format!("decision {number} is {} already", decision.state))
        .hint("a scan asks again where it still sees the same"))
}

pub(super) fn approve(context: &mut Context, args: AnswerArgs) -> Result<Exit, Failure> {
    let AnswerArgs { number } = args;
    let mut catalog = context.open()?;
    let decision = open_one(&catalog, number)?;
    let _lock = RunLock::take(catalog.path())?;
    let now_ms = context.clock.now_ms();
    let done = catalog.change::<_, CatalogError>(|tx| decisions::approve(tx, &decision, now_ms))?;
    answered(context, number, "approved", done)
}

pub(super) fn reject(context: &mut Context, args: AnswerArgs) -> Result<Exit, Failure> {
    let AnswerArgs { number } = args;
    let mut catalog = context.open()?;
    let decision = open_one(&catalog, number)?;
    let _lock = RunLock::take(catalog.path())?;
    let now_ms = context.clock.now_ms();
    catalog.change::<_, CatalogError>(|tx| decisions::reject(tx, &decision, now_ms))?;
    answered(context, number, "rejected", 0)
}

fn answered(context: &mut Context, number: i64, state: &str, done: u64) -> Result<Exit, Failure> {
    if context.json {
        context.out.json(&json!({ "decision": number, "state": state, "applied_to": done }))?;
    } else {
        context.out.line(format!("decision {number} {state}"))?;
    }
    Ok(Exit::Done)
}
