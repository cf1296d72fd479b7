//! What a refusal of Google's means, sorted by what the caller can do about it.

use crate::remote::http::Refusal;
use crate::remote::{AwayReason, StoreError};

use super::wire::Status;

/// Whether what was asked for is not there. Google says so of what is there and not ours, too, in the same words, with 403; so
/// who concludes something from it looks at the store itself once more.
pub(super) fn is_missing(refusal: &Refusal) -> bool {
    match refusal.status {
        Some(404) => true,
        Some(403) => refusal.message.as_deref().is_some_and(|message| message.contains("may not exist")),
        _ => false,
    }
}

/// The error of a call that failed in `doing`.
pub(super) fn store_error(store: &str, refusal: &Refusal, doing: &str) -> StoreError {
    if let Some(away) = refusal.away(store) {
        return away;
    }
    let (store, doing, source) = (store.to_owned(), doing.to_owned(), refusal.said());
    let code = refusal.code.as_deref().unwrap_or_default();
    let message = refusal.message.as_deref().unwrap_or_default();
    let credentials = |problem: &str, source| StoreError::Credentials {
        store: store.clone(),
        problem: problem.to_owned(),
        source: Some(source),
    };
    match (refusal.status.unwrap_or_default(), code) {
        (_, "API_KEY_INVALID") => credentials("the API key is not valid", source),
        (400, _) if message.contains("API key") => credentials("the API key is not valid", source),
        (401, _) => credentials("the API key is not accepted", source),
        (403, _) if message.contains("unregistered callers") || code.starts_with("API_KEY_") => {
            credentials("the API key is not accepted there", source)
        }
        // What a document asked for may be missing in: the store itself.
        _ if is_missing(refusal) => {
            StoreError::Away { store, reason: AwayReason::NoneOfThatName, source: Some(source) }
        }
        (403, _) => StoreError::Denied { store, doing, source },
        // A country or an account that may not; of documents nothing is asked that this could be said of.
        (400, "FAILED_PRECONDITION") => StoreError::Denied { store, doing, source },
        // Both are 429 RESOURCE_EXHAUSTED; one is over by itself.
        (429, _) if message.contains("storage limit") => StoreError::Full { store, source },
        (408 | 429 | 503, _) => StoreError::Busy { store, retry_after: refusal.retry_after, source },
        (413, _) => refused(store, doing, "it is larger than the store takes", refusal),
        (400 | 405 | 409 | 411 | 414 | 422 | 501, _) => {
            refused(store, doing, "it does not take such a request", refusal)
        }
        _ => StoreError::Io { store, doing, source },
    }
}

fn refused(store: String, doing: String, reason: &str, refusal: &Refusal) -> StoreError {
    StoreError::Refused { store, doing, reason: reason.to_owned(), source: Some(refusal.said()) }
}

/// The error of an operation that ended in one. It is about the one document, whatever its code: where it were about the
/// store, the request itself would have been refused.
pub(super) fn of_operation(store: &str, status: &Status, doing: &str) -> StoreError {
    // <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>
    const RESOURCE_EXHAUSTED: i64 = 8;
    const UNAVAILABLE: i64 = 14;
    let source = std::io::Error::other(format!("{} {}", status.code, status.message));
    let store = store.to_owned();
    match status.code {
        RESOURCE_EXHAUSTED if status.message.contains("storage limit") => StoreError::Full { store, source },
        RESOURCE_EXHAUSTED | UNAVAILABLE => StoreError::Busy { store, retry_after: None, source },
        _ => StoreError::Refused {
            store,
            doing: doing.to_owned(),
            reason: "it could not read it".to_owned(),
            source: Some(source),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::remote::ErrorClass;

    fn of(status: u16, code: &str, message: &str) -> StoreError {
        let refusal = Refusal {
            status: Some(status),
            code: Some(code.to_owned()),
            message: Some(message.to_owned()),
            retry_after: Some(Duration::from_secs(7)),
            network: None,
        };
        store_error("gemini://x", &refusal, "take a document")
    }

    // S6, S9
    #[test]
    fn each_refusal_is_what_a_person_can_do_about_it() {
        for (status, code, message) in [
            (400, "API_KEY_INVALID", "API key not valid. Please pass a valid API key."),
            (400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."),
            (401, "UNAUTHENTICATED", ""),
            (403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers (callers without ..."),
            (403, "API_KEY_SERVICE_BLOCKED", "Requests to this API are blocked."),
        ] {
            assert!(matches!(of(status, code, message), StoreError::Credentials { .. }), "{code} {message}");
        }
        let missing = "You do not have permission to access the FileSearchStore x or it may not exist.";
        for (status, message) in [(403, missing), (404, "")] {
            assert!(matches!(
                of(status, "", message),
                StoreError::Away { reason: AwayReason::NoneOfThatName, .. }
            ));
        }
        assert!(matches!(of(403, "SERVICE_DISABLED", "It is disabled."), StoreError::Denied { .. }));
        assert!(matches!(
            of(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
            StoreError::Denied { .. }
        ));
        let full = of(429, "RESOURCE_EXHAUSTED", "Corpus has reached the storage limit of 1000000000 bytes.");
        assert!(matches!(full, StoreError::Full { .. }));
        for (status, code) in [(429, "RESOURCE_EXHAUSTED"), (503, "Service Unavailable"), (408, "")] {
            assert_eq!(of(status, code, "").retry_after(), Some(Duration::from_secs(7)), "{status}");
        }
    }

    // T5: one night of trouble at the store must not kill a queue.
    #[test]
    fn what_is_wrong_with_the_way_is_no_verdict() {
        for status in [302, 401, 403, 404, 408, 429, 500, 502, 503, 504] {
            assert_eq!(of(status, "", "").class(), ErrorClass::Channel, "{status}");
        }
        for status in [400, 413] {
            assert_eq!(of(status, "INVALID_ARGUMENT", "").class(), ErrorClass::Verdict, "{status}");
        }
    }

    // S9
    #[test]
    fn an_operation_that_failed_is_about_its_document() {
        let of = |code, message: &str| {
            of_operation("gemini://x", &Status { code, message: message.to_owned() }, "take a document")
        };
        let error = of(13, "Failed to count tokens.");
        assert_eq!(error.class(), ErrorClass::Verdict);
        assert!(
            matches!(error, StoreError::Refused { source: Some(said), .. } if said.to_string().contains("count tokens"))
        );
        assert!(matches!(of(8, "Corpus has reached the storage limit"), StoreError::Full { .. }));
        assert!(matches!(of(8, "slowly"), StoreError::Busy { .. }));
    }
}
