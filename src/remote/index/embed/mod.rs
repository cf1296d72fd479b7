//! Embeddings: what turns a text into numbers that lie near each other where texts mean the same.
//!
//! Chroma stores and compares them and makes none, so they are made here or by a server that the user names. Which model made
//! them is part of everything that is stored: numbers of two models have nothing to do with each other, and a comparison of
//! them gives an answer all the same, which is what makes mixing them dangerous.
//!
//! What is absent, on purpose: no model is downloaded, and none comes with this program.

mod endpoint;
mod local;

use std::fmt;
use std::path::Path;

use crate::remote::{Access, StoreError};

/// Makes embeddings. Calls block; any number of threads may call at once.
pub trait Embedder: Send + Sync + fmt::Debug {
    /// The model, by a name that another model does not have: embeddings of one name can be compared.
    fn name(&self) -> &str;

    /// How many numbers an embedding has, where that is known without asking.
    fn dimension(&self) -> Option<usize>;

    /// An embedding for each text, in their order, all of one length.
    ///
    /// # Errors
    /// The trouble of whoever makes them: an endpoint that is away is the channel's, not the text's.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, StoreError>;
}

/// The embedder that a store's URL names: an endpoint with its model, or a folder. An endpoint is asked nothing yet; a folder
/// is read.
///
/// # Errors
/// [`StoreError::Away`] where the folder is not there, [`StoreError::Refused`] where it is no model.
pub(super) fn open(
    embed: &str,
    model: Option<&str>,
    access: &Access,
    store: &str,
) -> Result<Box<dyn Embedder>, StoreError> {
    let store = format!("{store} (embeddings by {embed})");
    Ok(match (is_endpoint(embed), model) {
        (true, Some(model)) => Box::new(endpoint::Endpoint::new(embed, model, access, &store)?),
        (true, None) => {
            let reason = "an endpoint needs the name of its model: embed=URL&model=NAME".to_owned();
            return Err(StoreError::Refused { store, doing: "be opened".to_owned(), reason, source: None });
        }
        (false, _) => Box::new(local::Folder::open(Path::new(embed), &store)?),
    })
}

/// Whether `embed=` names an endpoint, not a folder.
pub(in crate::remote) fn is_endpoint(embed: &str) -> bool {
    embed.starts_with("http://") || embed.starts_with("https://")
}
