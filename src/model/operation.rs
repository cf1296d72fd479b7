//! What waits in the outbox, and the steps of a remote object.

use super::words;

words! {
    /// What a store gets of a document.
    pub enum Payload {
        /// The file's own bytes.
        Original = "original",
        /// Front matter and text.
        Enriched = "enriched",
    }
}

words! {
    /// Where an operation of the outbox stands.
    pub enum OperationState {
        /// Waits for its turn.
        Pending = "pending",
        /// A worker has it; the lease was committed before anything was sent.
        Leased = "leased",
        /// Done.
        Done = "done",
        /// Five verdicts against it; waits for a person.
        Dead = "dead",
        /// A newer operation does its work.
        Superseded = "superseded",
        /// Given up on a person's word.
        Discarded = "discarded",
    }
}

words! {
    /// The steps of a remote object, in their order.
    pub enum ObjectState {
        /// Its key and hash are decided; nothing was sent.
        Planned = "planned",
        /// Sending may have begun: the store may hold all, some or nothing of it.
        Uploading = "uploading",
        /// The store said that it has it.
        Uploaded = "uploaded",
        /// Its bytes were proved to be ours.
        Verified = "verified",
        /// The store says that it can be found.
        Searchable = "searchable",
        /// This is the object of its document.
        Current = "current",
        /// Replaced or no longer wanted; waits for the clean-up.
        Orphaned = "orphaned",
        /// The store was told to delete it and did, or it was never sent.
        Deleted = "deleted",
    }
}
