//! The generation object: how a store says which one it is, and what may lie beside it before a store is begun.

use serde::{Deserialize, Serialize};

use super::{Generation, StoreError};

/// The object that says which store this is.
pub const GENERATION_OBJECT: &str = ".shelflist-store.json";
/// The layout that this version writes and understands.
const FORMAT: u32 = 1;
/// More than any generation object has, in bytes.
pub(super) const MAX_GENERATION_BYTES: u64 = 64 * 1024;

/// What operating systems leave in the root of an empty disk.
const LITTER: &[&str] = &[
    "lost+found",
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".TemporaryItems",
    ".DocumentRevisions-V100",
    ".VolumeIcon.icns",
    "System Volume Information",
    "$RECYCLE.BIN",
    "desktop.ini",
    "Thumbs.db",
];

/// What the generation object holds.
#[derive(Serialize, Deserialize)]
struct GenerationObject {
    format: u32,
    #[serde(flatten)]
    generation: Generation,
}

/// Enough of the generation object to tell a newer version's from a damaged one.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// Whether a name is what an operating system leaves in an empty place.
pub(super) fn is_litter(name: &[u8]) -> bool {
    LITTER.iter().any(|litter| litter.as_bytes() == name)
        || name.starts_with(b"._")
        || name.starts_with(b".Trash-")
}

/// The bytes of a generation object.
pub(super) fn render(generation: &Generation) -> Vec<u8> {
    let object = GenerationObject { format: FORMAT, generation: *generation };
    let mut text = serde_json::to_vec_pretty(&object).expect("identifiers and a time are JSON");
    text.push(b'\n');
    text
}

/// What a store's generation object says.
pub(super) fn parse(store: &str, text: &[u8]) -> Result<Generation, StoreError> {
    let damaged = |error: serde_json::Error| StoreError::Corrupt {
        store: store.to_owned(),
        what: format!("the generation object {GENERATION_OBJECT}"),
        reason: error.to_string(),
    };
    let FormatOnly { format } = serde_json::from_slice(text).map_err(damaged)?;
    if format != FORMAT {
        return Err(StoreError::Refused {
            store: store.to_owned(),
            doing: "be opened".to_owned(),
            reason: format!("its format is {format}, this version of shelflist knows {FORMAT}"),
            source: None,
        });
    }
    let object: GenerationObject = serde_json::from_slice(text).map_err(damaged)?;
    Ok(object.generation)
}
