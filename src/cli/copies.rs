use std::collections::HashMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::Context;
use super::exit::{Exit, Failure};
use super::output::{hex, local_time, put_path, rfc3339, rfc3339_or_null};
use crate::catalog::libraries::Library;
use crate::catalog::query::{self, FileCard};
use crate::catalog::{Catalog, documents, libraries};

/// Tell on which disks the copies of a file's document are.
///
/// Files with the same content are copies of one document, on whatever disk. Answers out of the catalogue: no disk is
/// asked, and whether one is here is what was seen last.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A path on disk, or relative to a library's root.
    path: PathBuf,
}

/// A document that was edited apart from this one, or that this one was edited apart from, with its copies.
struct Kin {
    document_id: String,
    copies: Vec<FileCard>,
}

pub(super) fn run(context: &mut Context, args: Args) -> Result<Exit, Failure> {
    let Args { path } = args;
    let catalog = context.open()?;
    let _snapshot = catalog.snapshot()?;
    let conn = catalog.read();
    let (library, card) = context.known_file(&catalog, &path)?;
    let libraries: HashMap<i64, Library> =
        libraries::all(conn)?.into_iter().map(|library| (library.library_id, library)).collect();
    let document = card.document_id.map(|document_id| documents::by_id(conn, document_id)).transpose()?;
    let (copies, origin, apart) = match card.document_id {
        None => (vec![card.clone()], None, Vec::new()),
        Some(document_id) => {
            let (origin, apart) = documents::kin(conn, document_id)?;
            let origin = origin.map(|origin| kin(&catalog, origin)).transpose()?;
            let apart =
                apart.into_iter().map(|apart| kin(&catalog, apart)).collect::<Result<_, Failure>>()?;
            (query::copies(conn, document_id)?, origin, apart)
        }
    };

    if context.json {
        let of_kin = |kin: &Kin| {
            json!({
                "document_id": kin.document_id,
                "copies": kin.copies.iter().map(|copy| copy_json(copy, &card, &libraries)).collect::<Vec<_>>(),
            })
        };
        let mut object = json!({
            "library": library.name,
            "document": document.as_ref().map(|document| json!({
                "document_id": document.ulid.to_string(),
                "content_hash": hex(document.content_hash),
                "size": document.size,
            })),
            "copies": copies.iter().map(|copy| copy_json(copy, &card, &libraries)).collect::<Vec<_>>(),
            "edited_apart_from": origin.as_ref().map(of_kin),
            "edited_apart": apart.iter().map(of_kin).collect::<Vec<_>>(),
        });
        put_path(&mut object, &card.path);
        context.out.json(&object)?;
        return Ok(Exit::Done);
    }
    let out = &mut context.out;
    match &document {
        Some(document) => out.line(format!("document {}", document.ulid))?,
        None => out.line("of no document: a link, or a file that could not be read yet")?,
    }
    for copy in &copies {
        out.line(format!("  {}", copy_line(copy, &libraries)))?;
    }
    for (said, kin) in origin
        .iter()
        .map(|kin| ("edited apart from", kin))
        .chain(apart.iter().map(|kin| ("a copy was edited apart:", kin)))
    {
        out.line(format!("{said} document {}", kin.document_id))?;
        for copy in &kin.copies {
            out.line(format!("  {}", copy_line(copy, &libraries)))?;
        }
    }
    Ok(Exit::Done)
}

fn kin(catalog: &Catalog, document_id: i64) -> Result<Kin, Failure> {
    let conn = catalog.read();
    Ok(Kin {
        document_id: documents::by_id(conn, document_id)?.ulid.to_string(),
        copies: query::copies(conn, document_id)?,
    })
}

/// One copy in one line: where, how it stands, whether its disk was here when somebody looked last.
pub(super) fn copy_line(copy: &FileCard, libraries: &HashMap<i64, Library>) -> String {
    let library = &libraries[&copy.library_id];
    let disk = if library.availability.is_readable() {
        "disk here".to_owned()
    } else {
        format!("disk away since {}", local_time(library.availability_since))
    };
    let verified = match copy.hashed_at {
        Some(at) => format!("verified {}", local_time(at)),
        None => "never verified".to_owned(),
    };
    format!(
        "{}: {}  {}, {disk}, last seen {}, {verified}",
        library.name,
        copy.path,
        copy.presence,
        local_time(copy.last_seen)
    )
}

/// One copy as scripts see it.
pub(super) fn copy_json(copy: &FileCard, asked: &FileCard, libraries: &HashMap<i64, Library>) -> Value {
    let library = &libraries[&copy.library_id];
    let mut object = json!({
        "library": library.name,
        "library_id": library.ulid.to_string(),
        "asked_for": copy.file_id == asked.file_id,
        "presence": copy.presence,
        "status": copy.status,
        "available": library.availability.is_readable(),
        "availability": {
            "state": library.availability.state(),
            "reason": library.availability.reason(),
            "since": rfc3339(library.availability_since),
        },
        "last_seen": rfc3339(copy.last_seen),
        "missing_since": rfc3339_or_null(copy.missing_since),
        "hashed_at": rfc3339_or_null(copy.hashed_at),
    });
    put_path(&mut object, &copy.path);
    object
}
