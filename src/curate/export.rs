//! Cards as a list: for a spreadsheet and back ([`super::read`]), or for scripts. One document after the other, so that a
//! million of them need no more memory than one.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use serde_json::{Value, json};

use super::value::plain;
use super::version::{self, COLUMNS};
use super::{CurateError, cell};
use crate::catalog::export::{self, Exported};
use crate::catalog::{Catalog, libraries};
use crate::model::document::effective;
use crate::model::{Field, RelPath};

/// What a byte-order mark is in UTF-8: Excel takes a CSV file without one for the computer's old code page, and makes other
/// letters of what is not ASCII.
pub(super) const BOM: &str = "\u{feff}";

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// RFC 4180.
    Csv {
        /// Whether it begins with a byte-order mark.
        bom: bool,
    },
    /// One object with a list of documents.
    Json,
}

/// Which documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All, former works without a file included.
    All,
    /// Those with a file in one of these libraries.
    Libraries(Vec<i64>),
    /// These.
    Documents(Vec<i64>),
}

/// What is known of a document beside its fields; nobody reads these columns back but `id` and `version`.
pub(super) const ID: &str = "id";
pub(super) const VERSION: &str = "version";
pub(super) const PLACE: [&str; 3] = ["library", "path", "path_bytes"];

/// Writes the cards. Returns how many.
///
/// # Errors
/// The catalogue's, and those of writing.
pub fn export(
    catalog: &Catalog,
    scope: &Scope,
    format: Format,
    to: &mut dyn Write,
) -> Result<u64, CurateError> {
    // Everything is of one moment.
    let snapshot = catalog.snapshot()?;
    let names: HashMap<i64, String> =
        libraries::all(&snapshot)?.into_iter().map(|library| (library.library_id, library.name)).collect();
    let each = |take: &mut dyn FnMut(&Row) -> Result<(), CurateError>| {
        let mut take = |exported| take(&Row::of(exported, &names));
        match scope {
            Scope::All => export::all(&snapshot, &mut take),
            Scope::Libraries(libraries) => export::these(
                &snapshot,
                &export::of_libraries(&snapshot, libraries)?,
                Some(libraries),
                &mut take,
            ),
            Scope::Documents(documents) => export::these(&snapshot, documents, None, &mut take),
        }
    };
    let mut written = 0;
    match format {
        Format::Csv { bom } => {
            if bom {
                to.write_all(BOM.as_bytes())?;
            }
            let mut table = csv::Writer::from_writer(to);
            let fields = COLUMNS.iter().map(|(field, _)| field.as_str());
            let head = std::iter::once(ID).chain(PLACE).chain(fields).chain([VERSION]);
            table.write_record(head).map_err(io_error)?;
            each(&mut |row| {
                written += 1;
                table.write_record(row.cells()).map_err(io_error)
            })?;
            table.flush()?;
        }
        Format::Json => {
            to.write_all(b"{\"documents\":[")?;
            each(&mut |row| {
                to.write_all(if written == 0 { b"\n" } else { b",\n" })?;
                written += 1;
                Ok(serde_json::to_writer(&mut *to, &row.json()).map_err(std::io::Error::from)?)
            })?;
            to.write_all(b"\n]}\n")?;
        }
    }
    Ok(written)
}

fn io_error(error: csv::Error) -> CurateError {
    CurateError::Io(std::io::Error::from(error))
}

struct Row {
    id: ulid::Ulid,
    library: Option<String>,
    path: Option<RelPath>,
    /// Plain values and who said them.
    fields: BTreeMap<Field, Vec<String>>,
    sources: BTreeMap<Field, (String, String)>,
}

impl Row {
    fn of(exported: Exported, names: &HashMap<i64, String>) -> Self {
        let Exported { document_id: _, ulid, place, annotations } = exported;
        let counts = effective(&annotations);
        let (library, path) =
            place.map_or((None, None), |(library, path)| (names.get(&library).cloned(), Some(path)));
        Row {
            id: ulid,
            library,
            path,
            fields: counts.iter().map(|(field, word)| (*field, plain(*field, &word.values))).collect(),
            sources: counts
                .iter()
                .map(|(field, word)| (*field, (word.source.to_string(), word.agent.clone())))
                .collect(),
        }
    }

    fn cells(&self) -> Vec<String> {
        let path = self.path.as_ref();
        let mut cells = vec![
            self.id.to_string(),
            cell::guarded(self.library.as_deref().unwrap_or_default()),
            // With line breaks escaped, too: a path has one line.
            cell::guarded(&path.map(RelPath::display).unwrap_or_default()),
            path.and_then(RelPath::json_bytes).map(|bytes| cell::guarded(&bytes)).unwrap_or_default(),
        ];
        cells.extend(COLUMNS.iter().map(|(field, _)| match self.fields.get(field) {
            Some(values) => cell::written(*field, values),
            None => String::new(),
        }));
        cells.push(version::written(self.id, &self.fields));
        cells
    }

    fn json(&self) -> Value {
        let mut object = json!({
            "id": self.id.to_string(),
            "library": self.library,
            "path": self.path.as_ref().map(RelPath::json_text),
        });
        if let Some(bytes) = self.path.as_ref().and_then(RelPath::json_bytes) {
            object["path_bytes"] = json!(bytes);
        }
        let fields: serde_json::Map<String, Value> = self
            .fields
            .iter()
            .filter_map(|(field, values)| match values.as_slice() {
                [] => None,
                values if field.is_list() => Some((field.to_string(), json!(values))),
                values => Some((field.to_string(), json!(values[0]))),
            })
            .collect();
        object["sources"] = self
            .sources
            .iter()
            .filter(|(field, _)| fields.contains_key(field.as_str()))
            .map(|(field, (source, agent))| {
                let said_by = if agent.is_empty() { source.clone() } else { format!("{source} {agent}") };
                (field.to_string(), json!(said_by))
            })
            .collect::<serde_json::Map<_, _>>()
            .into();
        object["fields"] = fields.into();
        object
    }
}
