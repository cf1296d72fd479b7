use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{plural, put_path};
use crate::catalog::libraries::Library;
use crate::catalog::names::{self, Finding};
use crate::model::name::NameTrouble;
use crate::model::path::display_name;

/// Look for what may become trouble, and say what to do about it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Names that other file systems cannot hold, and names that differ only in case or normalisation.
    ///
    /// Works with the disk away. Names are catalogued whatever they are; this is about the day they are copied to
    /// another disk. Ends with 3 where anything was found.
    Names {
        /// Name, id or root of a library; without it the one of the current directory, else all.
        library: Option<String>,
    },
}

/// Findings of a kind that people are shown; scripts get all.
const SHOWN: usize = 20;

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { command: Command::Names { library } } = args;
    let catalog = context.open()?;
    let mut all = Vec::new();
    for library in context.libraries(&catalog, library.as_deref())? {
        let mut findings = Vec::new();
        let checked = names::check(catalog.read(), library.library_id, &library.root, &mut |finding| {
            findings.push(finding);
        })?;
        all.push((library, checked, findings));
    }
    let exit =
        if all.iter().all(|(_, _, findings)| findings.is_empty()) { Exit::Done } else { Exit::Problems };
    if context.json {
        let libraries: Vec<Value> = all
            .iter()
            .map(|(library, checked, findings)| {
                json!({
                    "library": library.name,
                    "library_id": library.ulid.to_string(),
                    "names": checked,
                    "findings": findings.iter().map(finding_json).collect::<Vec<_>>(),
                })
            })
            .collect();
        context.out.json(&json!({ "libraries": libraries }))?;
        return Ok(exit);
    }
    for (library, checked, findings) in &all {
        tell(context, library, *checked, findings)?;
    }
    Ok(exit)
}

fn tell(context: &mut Context, library: &Library, checked: u64, findings: &[Finding]) -> Result<(), Failure> {
    let out = &mut context.out;
    let found = match findings.len() as u64 {
        0 => "nothing found".to_owned(),
        n => plural(n, "finding", "findings"),
    };
    out.line(format!("{}: {}, {found}", library.name, plural(checked, "name", "names")))?;
    for trouble in NameTrouble::ALL {
        let of_kind: Vec<&Finding> = findings.iter().filter(|finding| finding.trouble == *trouble).collect();
        if of_kind.is_empty() {
            continue;
        }
        out.line(format!("  {trouble}: {}", trouble.remedy()))?;
        for Finding { path, twins, .. } in of_kind.iter().take(SHOWN) {
            // Twins of normalisation look the same: their bytes are what tells them apart.
            let show = |path: &crate::model::RelPath| match trouble {
                NameTrouble::NormalisationTwin => ascii(path.as_bytes()),
                _ => path.display(),
            };
            let twins: String = twins.iter().map(|twin| format!("  =  {}", show(twin))).collect();
            out.line(format!("    {}{twins}", show(path)))?;
        }
        if of_kind.len() > SHOWN {
            out.line(format!("    and {} more; see all with --json", of_kind.len() - SHOWN))?;
        }
    }
    Ok(())
}

/// With everything beyond ASCII escaped.
fn ascii(name: &[u8]) -> String {
    let shown = display_name(name);
    shown
        .chars()
        .map(|char| if char.is_ascii() { char.to_string() } else { char.escape_unicode().to_string() })
        .collect()
}

fn finding_json(finding: &Finding) -> Value {
    let place = |path| {
        let mut object = json!({});
        put_path(&mut object, path);
        object
    };
    let mut object = json!({
        "kind": finding.trouble,
        "twins": finding.twins.iter().map(place).collect::<Vec<_>>(),
        "remedy": finding.trouble.remedy(),
    });
    put_path(&mut object, &finding.path);
    object
}
