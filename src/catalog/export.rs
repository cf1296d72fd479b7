//! Documents one after the other, each with a place it stands at and with everything that is said of it: what lists of
//! cards are made from.

use rusqlite::{Connection, OptionalExtension, Row, params};
use ulid::Ulid;

use super::{Result, documents, files};
use crate::model::{Annotation, RelPath};

/// A document on its way out of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct Exported {
    /// Its number.
    pub document_id: i64,
    /// Its name everywhere.
    pub ulid: Ulid,
    /// Library and path of its best copy; none where no file belongs to it any more.
    pub place: Option<(i64, RelPath)>,
    /// Everything anybody said of it.
    pub annotations: Vec<Annotation>,
}

/// Where a document's best copy stands: one that is present, else the first that was known. Only in these libraries,
/// where any are named.
///
/// # Errors
/// SQLite's.
pub fn place(
    conn: &Connection,
    document_id: i64,
    libraries: Option<&[i64]>,
) -> Result<Option<(i64, RelPath)>> {
    let libraries = libraries.map(serde_json::to_string).transpose()?;
    Ok(conn
        .prepare_cached(
            "SELECT d.library_id, d.path, f.name FROM files f JOIN dirs d USING (dir_id)
             WHERE f.document_id = ?1 AND (?2 IS NULL OR d.library_id IN (SELECT value FROM json_each(?2)))
             ORDER BY f.presence <> 'present', f.file_id LIMIT 1",
        )?
        .query_row(params![document_id, libraries], |row| {
            Ok((row.get(0)?, files::join(row.get(1)?, row.get(2)?)))
        })
        .optional()?)
}

/// The documents that have a file in one of these libraries, be it missing, by their numbers.
///
/// # Errors
/// SQLite's.
pub fn of_libraries(conn: &Connection, libraries: &[i64]) -> Result<Vec<i64>> {
    let mut statement = conn.prepare_cached(
        "SELECT DISTINCT f.document_id FROM dirs d JOIN files f USING (dir_id)
         WHERE d.library_id IN (SELECT value FROM json_each(?1)) AND f.document_id IS NOT NULL ORDER BY 1",
    )?;
    let rows = statement.query_map([serde_json::to_string(libraries)?], |row| row.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Gives every document, by their numbers, those of former works without a file included.
///
/// # Errors
/// SQLite's, and the taker's own.
pub fn all<E: From<super::CatalogError>>(
    conn: &Connection,
    take: &mut dyn FnMut(Exported) -> Result<(), E>,
) -> Result<(), E> {
    let sqlite = |error: rusqlite::Error| E::from(error.into());
    let mut statement = conn
        .prepare_cached("SELECT document_id, ulid FROM documents ORDER BY document_id")
        .map_err(sqlite)?;
    let mut rows = statement.query([]).map_err(sqlite)?;
    while let Some(row) = rows.next().map_err(sqlite)? {
        take(exported(conn, row, None)?)?;
    }
    Ok(())
}

/// Gives these documents, in this order.
///
/// # Errors
/// SQLite's, and the taker's own.
pub fn these<E: From<super::CatalogError>>(
    conn: &Connection,
    documents: &[i64],
    libraries: Option<&[i64]>,
    take: &mut dyn FnMut(Exported) -> Result<(), E>,
) -> Result<(), E> {
    let sqlite = |error: rusqlite::Error| E::from(error.into());
    let mut statement = conn
        .prepare_cached("SELECT document_id, ulid FROM documents WHERE document_id = ?1")
        .map_err(sqlite)?;
    for document_id in documents {
        let mut rows = statement.query([document_id]).map_err(sqlite)?;
        if let Some(row) = rows.next().map_err(sqlite)? {
            take(exported(conn, row, libraries)?)?;
        }
    }
    Ok(())
}

fn exported(conn: &Connection, row: &Row<'_>, libraries: Option<&[i64]>) -> Result<Exported> {
    let document_id = row.get(0)?;
    Ok(Exported {
        document_id,
        ulid: documents::ulid_of(row, 1)?,
        place: place(conn, document_id, libraries)?,
        annotations: documents::annotations(conn, document_id)?,
    })
}
