//! Search: what is known of a document stays findable with its disk and the network away.
//!
//! | room | what stands there |
//! |---|---|
//! | [`query`] | what was typed, as clauses; pure, and never an error |
//! | `conditions` | a query as what stores can be asked for |
//! | `words` | how words are parted and compared; what a date means stands in [`crate::model::dates`] |
//! | `index` | what the index holds of a document, and how it follows the catalogue |
//! | `ways` | in which ways a document can fit; pure |
//! | `postings` | which documents fit |
//! | `rank` | which of them comes first |
//! | `slips` | what may have been meant |
//! | [`find()`] | all of it together |
//! | `snippet` | a piece of a text round the words |
//!
//! Two indexes: the cards (title, author, tags, notes, path, values that filters ask for) and the texts. A word may stand in
//! either, and which documents fit is found by running through both side by side.

mod conditions;
mod find;
mod index;
mod postings;
pub mod query;
mod rank;
mod slips;
mod snippet;
mod ways;
mod words;

use crate::model::dates;

pub use conditions::{NotForStores, conditions};
pub use find::{Found, Hit, find, fitting_all, matching};
pub use index::{index_all, index_stale};
pub use query::Query;
pub use snippet::{Snippet, beginning, snippet};
pub use words::Facet;
