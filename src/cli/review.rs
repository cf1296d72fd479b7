use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::fields::said_by;
use super::output::put_path;
use super::show::standing;
use crate::catalog::libraries::{self, Library};
use crate::catalog::review::{self, Ask, Doubtful};
use crate::catalog::{documents, settings};
use crate::model::{Annotation, Field, Grade, RelPath, setting};

/// List what a person should look at: fields in doubt, documents of which little is known.
///
/// In doubt is what an enrichment command was not sure of. Works with the disk away. What is listed is accepted or corrected
/// with `shelflist edit`; a person's word is not listed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name, id or root of a library; without it the one of the current directory, else all.
    library: Option<String>,
    /// Fields with a confidence below this, from 0 to 1; without it, and without --grade, the setting review.confidence.
    #[arg(long, value_name = "SHARE")]
    below: Option<f64>,
    /// Documents of this grade, or a worse one: none, partial.
    #[arg(long, value_parser = ["none", "partial"])]
    grade: Option<String>,
    /// At most so many documents.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// How many documents people are shown who said no number.
const SHOWN: usize = 50;

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { library, below, grade, limit } = args;
    if below.is_some_and(|below| !(0.0..=1.0).contains(&below)) {
        return Err(Failure::usage("--below takes a number from 0 to 1"));
    }
    let grade = grade.map(|word| word.parse::<Grade>().expect("clap lets only these words pass"));
    let catalog = context.open()?;
    let named = context.libraries(&catalog, library.as_deref())?;
    // Of one moment.
    let conn = catalog.snapshot()?;
    let below = match (below, grade) {
        (None, None) => Some(settings::share(&conn, &setting::REVIEW_CONFIDENCE)?),
        (below, _) => below,
    };
    let limit = limit.or((!context.json).then_some(SHOWN));
    let all = libraries::all(&conn)?;
    let libraries =
        (named.len() < all.len()).then(|| named.iter().map(|library| library.library_id).collect());
    let (found, more) = review::list(&conn, &Ask { below, grade, libraries, limit })?;
    let library_of = |doubtful: &Doubtful| {
        all.iter()
            .find(|library| library.library_id == doubtful.library_id)
            .expect("a file is in a library, and all of this is of one moment")
    };
    if context.json {
        let review = found
            .iter()
            .map(|doubtful| {
                let ulid = documents::by_id(&conn, doubtful.document_id)?.ulid;
                let library = library_of(doubtful);
                let mut object = json!({
                    "library": library.name,
                    "document_id": ulid.to_string(),
                    "grade": doubtful.grade,
                    "lacks": doubtful.lacks,
                    "fields": doubtful.unsure.iter().map(|held| json!({
                        "field": held.field,
                        "values": held.values,
                        "source": held.source,
                        "agent": held.agent,
                        "confidence": held.confidence,
                    })).collect::<Vec<_>>(),
                    "accept": accept(library, doubtful),
                });
                put_path(&mut object, &doubtful.path);
                Ok(object)
            })
            .collect::<Result<Vec<Value>, crate::catalog::CatalogError>>()?;
        context.out.json(&json!({ "review": review, "more": more }))?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    for doubtful in &found {
        let library = library_of(doubtful);
        out.line(format!(
            "{}: {}  ({})",
            library.name,
            doubtful.path,
            standing(doubtful.grade, &doubtful.lacks)
        ))?;
        for held in &doubtful.unsure {
            out.line(format!(
                "  {:<10} {}  ({})",
                held.field.as_str(),
                held.values.join("; "),
                said_by(held)
            ))?;
        }
        if let Some(accept) = accept(library, doubtful) {
            out.line(format!("  accept or correct: {accept}"))?;
        }
    }
    if found.is_empty() {
        out.line("nothing to look at")?;
    } else if more {
        out.line("there is more; see it with --limit N, all with --json")?;
    }
    Ok(Exit::Done)
}

/// The command that makes what is in doubt a person's word, for a person to change before; where nothing is in doubt, one that
/// says what is lacking. None where the name cannot be typed.
fn accept(library: &Library, doubtful: &Doubtful) -> Option<String> {
    let place = typed(library, &doubtful.path)?;
    let mut words = vec!["shelflist".to_owned(), "edit".to_owned(), place];
    for Annotation { field, values, .. } in &doubtful.unsure {
        for value in values {
            words.extend([flag(*field), value.clone()]);
        }
    }
    if doubtful.unsure.is_empty() {
        let first = doubtful.lacks.first().and_then(|any| any.first())?;
        words.extend([flag(*first), "...".to_owned()]);
    }
    Some(shell_words::join(words))
}

fn typed(library: &Library, path: &RelPath) -> Option<String> {
    path.under(&library.root).to_str().map(str::to_owned)
}

/// The flag of `edit` for a field.
fn flag(field: Field) -> String {
    match field {
        Field::SourceType => "--type".to_owned(),
        Field::AuthorityTier => "--tier".to_owned(),
        Field::Tags => "--tag".to_owned(),
        Field::Notes => "--note".to_owned(),
        field => format!("--{}", field.as_str().replace('_', "-")),
    }
}
