//! ULIDs that rise even within one millisecond and when the clock is set back.

use ulid::Ulid;

/// Gives ULIDs, each greater than the one before.
#[derive(Debug, Default)]
pub struct Ids(Ulid);

impl Ids {
    /// Gives only ULIDs that are greater than one that was given out before.
    #[must_use]
    pub fn after(last: Ulid) -> Self {
        Ids(last)
    }

    /// The next one, at `now_ms` milliseconds since 1970.
    pub fn next(&mut self, now_ms: i64) -> Ulid {
        let fresh = Ulid::from_parts(u64::try_from(now_ms).unwrap_or(0), Ulid::generate().random());
        // 80 random bits overflow only after 2^80 increments in one millisecond; then a fresh one will do.
        self.0 = if fresh > self.0 { fresh } else { self.0.increment().unwrap_or(fresh) };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_when_the_clock_is_set_back() {
        let mut ids = Ids::default();
        let (a, b, c) = (ids.next(1_000), ids.next(1_000), ids.next(500));
        assert!(a < b && b < c);
        assert!(Ids::after(c).next(1) > c);
    }
}
