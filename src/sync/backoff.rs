//! How long to wait after a failure: exponential with full jitter, so that many clients do not come back in step.
//! <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>

/// The shortest cap, in milliseconds.
const BASE_MS: u64 = 1_000;
/// The longest wait, in milliseconds.
const CAP_MS: u64 = 5 * 60 * 1_000;

/// Milliseconds to wait after so many failures in a row. `random` is any number.
#[must_use]
pub fn backoff(failures: u32, random: u64) -> u64 {
    let ceiling = BASE_MS.saturating_mul(1_u64 << failures.saturating_sub(1).min(20)).min(CAP_MS);
    random % (ceiling + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // S6
        #[test]
        fn the_wait_never_passes_its_ceiling(failures in 0_u32..1000, random: u64) {
            let wait = backoff(failures, random);
            prop_assert!(wait <= CAP_MS);
            prop_assert!(failures > 1 || wait <= BASE_MS);
        }
    }

    #[test]
    fn the_ceiling_doubles() {
        assert_eq!(backoff(1, 1_000), 1_000);
        assert_eq!(backoff(2, 2_000), 2_000);
        assert_eq!(backoff(3, 4_000), 4_000);
        assert_eq!(backoff(30, 300_000), 300_000);
    }
}
