use std::path::PathBuf;

use super::context::Context;
use super::edited::Command;
use super::exit::{Exit, Failure};
use super::selection::{Query, of_paths};
use crate::curate::Asked;
use crate::curate::change::Change;
use crate::model::Field;

/// Change what the card of a document says. Works with the disk and the network away.
///
/// What a person says counts before everything that was found out of the file. A card belongs to a document, hence to all its
/// copies. Each command is one edit, which `undo` takes back.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, by their path on disk or relative to a library's root.
    #[arg(value_name = "PATH", required_unless_present_any = ["id", "fits", "library"], conflicts_with_all = ["id", "fits", "library"])]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    query: Query,
    #[command(flatten)]
    values: Values,
    /// Take back what a person said of this field: what was found out counts again.
    #[arg(long, value_name = "FIELD", value_parser = field_named)]
    clear: Vec<Field>,
    /// Say that there is none, whatever is found out.
    #[arg(long, value_name = "FIELD", value_parser = field_named)]
    empty: Vec<Field>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Change more than 20 documents, too.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
struct Values {
    /// The name of the work.
    #[arg(long)]
    title: Option<String>,
    /// Who made it; several times for several.
    #[arg(long)]
    author: Vec<String>,
    /// When it was made or published, as you write it: 1984, 2020-05, c. 1920.
    #[arg(long)]
    date: Option<String>,
    /// BCP 47 tag: en, de-CH.
    #[arg(long)]
    language: Option<String>,
    /// ISBN, DOI, URN; several times for several.
    #[arg(long)]
    identifier: Vec<String>,
    /// Who published it.
    #[arg(long)]
    publisher: Option<String>,
    /// What it is about; several times for several.
    #[arg(long)]
    subject: Vec<String>,
    /// A summary.
    #[arg(long)]
    description: Option<String>,
    /// The larger work it belongs to.
    #[arg(long)]
    part_of: Option<String>,
    /// Its format, as people name it.
    #[arg(long)]
    format: Option<String>,
    /// How large the work is: 261 pages, 0:03:42.
    #[arg(long)]
    extent: Option<String>,
    /// Where it is about or was made.
    #[arg(long)]
    place: Option<String>,
    /// What kind of source it is, in a word of yours: book, paper, transcript.
    #[arg(long = "type", value_name = "TYPE")]
    source_type: Option<String>,
    /// How far it can be relied on, in a word of yours.
    #[arg(long)]
    tier: Option<String>,
    /// These are its tags, and no others; `shelflist tag` adds and removes.
    #[arg(long)]
    tag: Vec<String>,
    /// This is its note; `shelflist note` adds a line.
    #[arg(long)]
    note: Option<String>,
    /// How far it may leave: local_only (not at all), redacted (without what is in it), full.
    #[arg(long, value_name = "WORD")]
    privacy: Option<String>,
}

impl Values {
    /// What was given, by field.
    fn given(self) -> Vec<(Field, Vec<String>)> {
        let Values {
            title,
            author,
            date,
            language,
            identifier,
            publisher,
            subject,
            description,
            part_of,
            format,
            extent,
            place,
            source_type,
            tier,
            tag,
            note,
            privacy,
        } = self;
        let one = |value: Option<String>| value.into_iter().collect::<Vec<_>>();
        let all = [
            (Field::Title, one(title)),
            (Field::Author, author),
            (Field::Date, one(date)),
            (Field::Language, one(language)),
            (Field::Identifier, identifier),
            (Field::Publisher, one(publisher)),
            (Field::Subject, subject),
            (Field::Description, one(description)),
            (Field::PartOf, one(part_of)),
            (Field::Format, one(format)),
            (Field::Extent, one(extent)),
            (Field::Place, one(place)),
            (Field::SourceType, one(source_type)),
            (Field::AuthorityTier, one(tier)),
            (Field::Tags, tag),
            (Field::Notes, one(note)),
            (Field::Privacy, one(privacy)),
        ];
        all.into_iter().filter(|(_, values)| !values.is_empty()).collect()
    }
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { paths, query, values, clear, empty, dry_run, yes } = args;
    let (fields, said) = asked(values.given(), &clear, &empty)?;
    let mut catalog = context.open()?;
    let selected = if query.is_given() {
        query.documents(context, &catalog)?
    } else {
        of_paths(context, &catalog, &paths)?
    };
    let said = format!("edit {said}{}", query.words());
    Command { said, dry_run, yes, selected: &selected, fields: &fields }.run(context, &mut catalog)
}

/// What is asked of which field, and the same in words for the log.
fn asked(
    given: Vec<(Field, Vec<String>)>,
    clear: &[Field],
    empty: &[Field],
) -> Result<(Vec<Asked>, String), Failure> {
    let value_failure = |error| Failure::from(crate::curate::CurateError::Value(error));
    let mut fields: Vec<Asked> = Vec::new();
    let mut words = Vec::new();
    for (field, values) in given {
        fields.push(Asked::new(field, Change::set(field, &values).map_err(value_failure)?));
        words.push(format!("{field} to {}", values.join("; ")));
    }
    for field in clear {
        fields.push(Asked::new(*field, Change::TakeBack));
        words.push(format!("clear {field}"));
    }
    for field in empty {
        fields.push(Asked::new(*field, Change::empty(*field).map_err(value_failure)?));
        words.push(format!("empty {field}"));
    }
    if fields.is_empty() {
        return Err(Failure::usage("nothing to change was given").hint(
            "for example: shelflist edit PATH --title TITLE --author NAME; see shelflist edit --help",
        ));
    }
    fields.sort_by_key(|asked| asked.field);
    if let Some(twice) = fields.windows(2).find(|pair| pair[0].field == pair[1].field) {
        return Err(Failure::usage(format!("two things were asked of {}", twice[0].field))
            .hint("set it, --clear it or say that it is --empty"));
    }
    Ok((fields, words.join(", ")))
}

/// A field by its word, or by the name of its option.
fn field_named(name: &str) -> Result<Field, String> {
    match name {
        "type" => Ok(Field::SourceType),
        "tier" => Ok(Field::AuthorityTier),
        "tag" => Ok(Field::Tags),
        "note" => Ok(Field::Notes),
        "part-of" => Ok(Field::PartOf),
        "creator" => Ok(Field::Author),
        name => name.parse().map_err(|_| {
            let known: Vec<&str> = Field::ALL.iter().map(|field| field.as_str()).collect();
            format!("fields are {}", known.join(", "))
        }),
    }
}
