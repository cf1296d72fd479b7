//! What a person should look at: fields that whoever said them was not sure of, and documents of which little is known.
//!
//! What is said without doubt is most of what there is, so an index holds the doubts alone, the greatest first. A doubt does not
//! count where a surer word stands before it: that is decided by the same function as everywhere.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::{Result, documents, export};
use crate::model::document::effective;
use crate::model::grade::{TELLING, grade, lacking};
use crate::model::{Annotation, Field, Grade, RelPath};

/// What is to be looked at.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Documents with a field that somebody is less sure of.
    pub below: Option<f64>,
    /// Documents of this grade, or a worse one.
    pub grade: Option<Grade>,
    /// Only documents with a file in one of these libraries.
    pub libraries: Option<Vec<i64>>,
    /// At most so many.
    pub limit: Option<usize>,
}

/// A document that should be looked at.
#[derive(Debug, Clone)]
pub struct Doubtful {
    /// Which document.
    pub document_id: i64,
    /// Where one of its files is.
    pub library_id: i64,
    /// Its path there.
    pub path: RelPath,
    /// How well it is described.
    pub grade: Grade,
    /// What it lacks: of each list one field.
    pub lacks: Vec<&'static [Field]>,
    /// The fields that count and are in doubt.
    pub unsure: Vec<Annotation>,
}

/// Documents that may have no grade: those of which nothing telling is said, and those of which a person has emptied a field.
/// One pass over what is said of each, most of which ends there; how it really stands is for [`grade`] to say.
const MAY_BE_NONE: &str = "SELECT d.document_id FROM documents d
    WHERE coalesce((SELECT 2 * max(a.value = '[]') + max(a.field IN (SELECT value FROM json_each(?1)))
                    FROM annotations a WHERE a.document_id = d.document_id), 0) IS NOT 1
    ORDER BY d.document_id";

/// Documents that may lack something: all but those of which title, author, date, and language or identifier are said, which is
/// enough in every family.
const MAY_LACK: &str = "SELECT d.document_id FROM documents d
    WHERE (
        SELECT 16 * max(a.value = '[]') + max(a.field = 'title') + 2 * max(a.field = 'author') + 4 * max(a.field = 'date')
               + 8 * max(a.field IN ('language', 'identifier'))
        FROM annotations a WHERE a.document_id = d.document_id) IS NOT 15
    ORDER BY d.document_id";

/// What should be looked at: the least sure first, then by grade in the order in which documents came. Also whether there is
/// more.
///
/// # Errors
/// SQLite's.
pub fn list(conn: &Connection, ask: &Ask) -> Result<(Vec<Doubtful>, bool)> {
    let most = ask.limit.unwrap_or(usize::MAX);
    let mut found = Vec::new();
    let (mut seen, mut listed) = (HashSet::new(), HashSet::new());
    if let Some(below) = ask.below {
        // The first condition lets SQLite take the index of doubts.
        let mut statement = conn.prepare_cached(
            "SELECT a.document_id FROM annotations a INDEXED BY annotations_unsure
             WHERE a.confidence < 1 AND a.confidence < ?1 AND a.source <> 'person'
               AND NOT EXISTS (SELECT 1 FROM annotations p WHERE p.document_id = a.document_id AND p.field = a.field
                               AND p.source = 'person')
             ORDER BY a.confidence, a.document_id",
        )?;
        let mut rows = statement.query([below])?;
        while let Some(row) = rows.next()? {
            let document_id = row.get(0)?;
            if !seen.insert(document_id) {
                continue;
            }
            let mime = mime_of(conn, document_id)?.flatten();
            let Some(doubtful) = look(conn, ask, document_id, mime.as_deref())? else { continue };
            if doubtful.unsure.is_empty() {
                continue;
            }
            if found.len() == most {
                return Ok((found, true));
            }
            listed.insert(document_id);
            found.push(doubtful);
        }
    }
    if let Some(worst) = ask.grade {
        let telling: Vec<&str> = TELLING.iter().map(|field| field.as_str()).collect();
        let mut statement = conn.prepare_cached(match worst {
            Grade::None => MAY_BE_NONE,
            Grade::Partial | Grade::Complete => MAY_LACK,
        })?;
        let mut rows = match worst {
            Grade::None => statement.query([serde_json::to_string(&telling)?])?,
            Grade::Partial | Grade::Complete => statement.query([])?,
        };
        while let Some(row) = rows.next()? {
            let document_id = row.get(0)?;
            if listed.contains(&document_id) {
                continue;
            }
            // Of what was not read yet nobody can say how much there is to know.
            let Some(mime) = mime_of(conn, document_id)? else { continue };
            let Some(doubtful) = look(conn, ask, document_id, mime.as_deref())? else { continue };
            if doubtful.grade > worst {
                continue;
            }
            if found.len() == most {
                return Ok((found, true));
            }
            found.push(doubtful);
        }
    }
    Ok((found, false))
}

/// The type of a document's content, where that was read and has one.
fn mime_of(conn: &Connection, document_id: i64) -> Result<Option<Option<String>>> {
    Ok(conn
        .prepare_cached(
            "SELECT e.mime FROM documents d JOIN enrichments e ON e.content_hash = d.content_hash WHERE d.document_id = ?1",
        )?
        .query_row([document_id], |row| row.get(0))
        .optional()?)
}

/// A document as it would be listed; none where it has no file in the libraries that are asked for.
fn look(conn: &Connection, ask: &Ask, document_id: i64, mime: Option<&str>) -> Result<Option<Doubtful>> {
    let place = export::place(conn, document_id, ask.libraries.as_deref())?;
    let Some((library_id, path)) = place else { return Ok(None) };
    let annotations = documents::annotations(conn, document_id)?;
    let fields = effective(&annotations);
    let below = ask.below.unwrap_or(0.0);
    // A person who writes a word down is sure enough.
    let unsure = fields
        .values()
        .filter(|held| held.confidence < below && held.source != crate::model::Source::Person)
        .map(|held| (*held).clone())
        .collect();
    let (grade, lacks) = (grade(&fields, mime), lacking(&fields, mime));
    Ok(Some(Doubtful { document_id, library_id, path, grade, lacks, unsure }))
}
