//! What a server's refusal means, sorted by what the caller can do about it.

use std::io;

use crate::remote::http::Refusal;
use crate::remote::{AwayReason, StoreError};

/// The error of a call that failed in `doing`.
pub(super) fn store_error(store: &str, refusal: &Refusal, doing: impl FnOnce() -> String) -> StoreError {
    if let Some(away) = refusal.away(store) {
        return away;
    }
    let store = store.to_owned();
    let source = refusal.said();
    let credentials = |problem: &str, source| StoreError::Credentials {
        store: store.clone(),
        problem: problem.to_owned(),
        source: Some(source),
    };
    let code = refusal.code.as_deref().unwrap_or_default();
    match (refusal.status.unwrap_or_default(), code) {
        (_, "RequestTimeTooSkewed" | "RequestInTheFuture") => StoreError::ClockSkew { store, source },
        (_, "ExpiredToken" | "TokenRefreshRequired" | "RequestExpired") => {
            credentials("the key or token has expired", source)
        }
        (_, "InvalidAccessKeyId" | "InvalidToken" | "InvalidSecurity") => {
            credentials("the key is not known there", source)
        }
        (_, "SignatureDoesNotMatch" | "AuthenticationFailed" | "InvalidAuthenticationInfo") => {
            credentials("the secret key is wrong", source)
        }
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException")
        | (301 | 307, _) => credentials("the region or endpoint is wrong", source),
        (401, _) => credentials("the user or password is wrong", source),
        _ if is_of_bucket(refusal) => {
            StoreError::Away { store, reason: AwayReason::NoBucket, source: Some(source) }
        }
        (507, _) | (_, "QuotaExceeded" | "XMinioStorageFull" | "storageQuotaExceeded") => {
            StoreError::Full { store, source }
        }
        (429 | 503 | 408 | 423, _)
        | (_, "SlowDown" | "ServerBusy" | "OperationAborted" | "ConditionalRequestConflict") => {
            StoreError::Busy { store, retry_after: refusal.retry_after, source }
        }
        (403, _) => StoreError::Denied { store, doing: doing(), source },
        (413, _) | (_, "EntityTooLarge") => {
            refused(store, doing(), "it is larger than the store takes", source)
        }
        (400 | 405 | 414 | 422 | 501, _) => {
            refused(store, doing(), "it does not take such a request", source)
        }
        _ => StoreError::Io { store, doing: doing(), source },
    }
}

/// Whether it is the bucket that is missing, not an object in it. Google has the same code for both.
pub(super) fn is_of_bucket(refusal: &Refusal) -> bool {
    let code = refusal.code.as_deref().unwrap_or_default();
    let message = refusal.message.as_deref().unwrap_or_default();
    ["NoSuchBucket", "ContainerNotFound"].contains(&code)
        || (refusal.status == Some(404) && message.contains("bucket does not exist"))
}

fn refused(store: String, doing: String, reason: &str, source: io::Error) -> StoreError {
    StoreError::Refused { store, doing, reason: reason.to_owned(), source: Some(source) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::remote::ErrorClass;
    use crate::remote::http::Network;

    fn of(status: u16, code: &str) -> StoreError {
        let code = (!code.is_empty()).then(|| code.to_owned());
        let retry_after = Some(Duration::from_secs(7));
        let refusal = Refusal { status: Some(status), code, retry_after, ..Refusal::default() };
        store_error("s3://bucket", &refusal, || "write object a".to_owned())
    }

    // T5: one night of trouble at the store must not kill a queue.
    #[test]
    fn what_is_wrong_with_the_way_is_no_verdict() {
        for (status, code) in [
            (401, ""),
            (403, ""),
            (403, "AccessDenied"),
            (403, "InvalidAccessKeyId"),
            (301, "PermanentRedirect"),
            (403, "RequestTimeTooSkewed"),
            (400, "ExpiredToken"),
            (404, "NoSuchBucket"),
            (404, ""),
            (408, ""),
            (409, ""),
            (423, ""),
            (429, ""),
            (500, ""),
            (502, ""),
            (503, "SlowDown"),
            (507, ""),
        ] {
            assert_eq!(of(status, code).class(), ErrorClass::Channel, "{status} {code}");
        }
        for (status, code) in
            [(400, "InvalidRequest"), (413, ""), (400, "EntityTooLarge"), (501, "NotImplemented")]
        {
            assert_eq!(of(status, code).class(), ErrorClass::Verdict, "{status} {code}");
        }
    }

    #[test]
    fn each_refusal_is_what_a_person_can_do_about_it() {
        assert!(
            matches!(of(403, "SignatureDoesNotMatch"), StoreError::Credentials { problem, .. } if problem.contains("secret key"))
        );
        assert!(
            matches!(of(400, "ExpiredToken"), StoreError::Credentials { problem, .. } if problem.contains("expired"))
        );
        assert!(matches!(of(403, "AccessDenied"), StoreError::Denied { .. }));
        assert!(matches!(of(403, "RequestTimeTooSkewed"), StoreError::ClockSkew { .. }));
        assert!(matches!(of(404, "NoSuchBucket"), StoreError::Away { reason: AwayReason::NoBucket, .. }));
        let google = |message: &str| Refusal {
            status: Some(404),
            code: Some("notFound".to_owned()),
            message: Some(message.to_owned()),
            ..Refusal::default()
        };
        assert!(is_of_bucket(&google("The specified bucket does not exist.")));
        assert!(!is_of_bucket(&google("No such object: bucket/a")));
        assert!(matches!(of(507, ""), StoreError::Full { .. }));
        assert!(matches!(of(500, ""), StoreError::Io { .. }));
    }

    // S6
    #[test]
    fn a_busy_store_says_how_long_to_wait() {
        for (status, code) in [(429, ""), (503, ""), (503, "SlowDown")] {
            assert_eq!(of(status, code).retry_after(), Some(Duration::from_secs(7)), "{status}");
        }
        assert_eq!(of(500, "").retry_after(), None);
    }

    #[test]
    fn trouble_below_http_is_told_apart() {
        for (network, expected) in [
            (Network::Dns, AwayReason::NameUnknown),
            (Network::Tls, AwayReason::Untrusted),
            (Network::Connect, AwayReason::Unreachable),
            (Network::Silent, AwayReason::Unreachable),
            (Network::Cut, AwayReason::Unreachable),
        ] {
            let refusal = Refusal { network: Some(network), ..Refusal::default() };
            let error =
                store_error("s3://bucket", &refusal, || unreachable!("it is away, whatever was done"));
            assert!(matches!(error, StoreError::Away { reason, .. } if reason == expected), "{network:?}");
        }
    }
}
