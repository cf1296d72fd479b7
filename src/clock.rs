//! Time comes in from here, so that tests can set it.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;

/// Says what time it is.
pub trait Clock: Send + Sync {
    /// Now, UTC.
    fn now(&self) -> Timestamp;

    /// Lets so much time pass. For short waits of a run that looks in between whether it is to end.
    #[expect(clippy::disallowed_methods, reason = "this is the one place, for waits that are looked out of")]
    fn pause(&self, wait: Duration) {
        std::thread::sleep(wait);
    }

    /// Now, in milliseconds since 1970: what the catalogue keeps.
    fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that a test sets.
#[derive(Debug)]
pub struct FixedClock(Mutex<Timestamp>);

impl FixedClock {
    /// Stands at `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        FixedClock(Mutex::new(now))
    }

    /// Moves on, or back.
    pub fn advance(&self, by: jiff::SignedDuration) {
        let mut now = self.0.lock().expect("no holder of this lock panics");
        *now = now.checked_add(by).expect("tests stay within jiff's years");
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("no holder of this lock panics")
    }

    fn pause(&self, wait: Duration) {
        self.advance(wait.try_into().expect("waits are short"));
    }
}
