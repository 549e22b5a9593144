//! When to try again.
//!
//! Pure: the clock and the chance are arguments. It never gives up on what may pass, and never tries again what is final.

use std::time::{Duration, Instant};

use crate::client::error::Error;

const FIRST: Duration = Duration::from_millis(250);
const CAP: Duration = Duration::from_secs(30);
/// A link must have stood for this long before its next failure counts as the first: an endpoint that accepts and
/// hangs up at once is not hammered.
const STEADY: Duration = Duration::from_secs(5);

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Wait(Duration),
    GiveUp,
}

/// How it went so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retry {
    failures: u32,
    up: Option<Instant>,
}

impl Retry {
    /// Failures in a row.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// It works since `now`.
    pub fn succeeded(&mut self, now: Instant) {
        self.up.get_or_insert(now);
    }

    /// What counts is over, however short: a call that was answered.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// `jitter` is a number from 0 to 1; half of each wait is chance, so that clients do not come back all at once.
    pub fn next(&mut self, error: &Error, now: Instant, jitter: f64) -> Next {
        if !error.is_passing() {
            return Next::GiveUp;
        }
        if let Some(up) = self.up.take()
            && now.saturating_duration_since(up) >= STEADY
        {
            self.failures = 0;
        }
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        Next::Wait(full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing() -> Error {
        Error::Unreachable {
            text: "gone fishing".to_owned(),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn millis(retry: &mut Retry, now: Instant, jitter: f64) -> u128 {
        match retry.next(&passing(), now, jitter) {
            Next::Wait(wait) => wait.as_millis(),
            Next::GiveUp => panic!("gave up on what may pass"),
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_never_end() {
        let (mut retry, now) = (Retry::default(), start());
        let waits: Vec<u128> = (0..9).map(|_| millis(&mut retry, now, 1.0)).collect();
        assert_eq!(
            waits,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 30000, 30000]
        );
        assert!((0..100_000).all(|_| millis(&mut retry, now, 1.0) == 30000));
    }

    #[test]
    fn chance_takes_at_most_half_of_a_wait() {
        let now = start();
        assert_eq!(millis(&mut Retry::default(), now, 0.0), 125);
        assert_eq!(millis(&mut Retry::default(), now, 7.0), 250);
        assert_eq!(millis(&mut Retry::default(), now, -1.0), 125);
    }

    #[test]
    fn what_is_final_is_not_tried_again() {
        for error in [
            Error::Refused {
                status: 401,
                text: String::new(),
            },
            Error::Gone {
                text: String::new(),
            },
            Error::Rejected {
                status: 409,
                text: String::new(),
            },
        ] {
            assert_eq!(
                Retry::default().next(&error, start(), 0.5),
                Next::GiveUp,
                "{error}"
            );
        }
    }

    #[test]
    fn a_steady_link_starts_afresh_and_a_short_one_does_not() {
        let (mut retry, now) = (Retry::default(), start());
        assert_eq!(millis(&mut retry, now, 1.0), 250);
        retry.succeeded(now);
        assert_eq!(millis(&mut retry, now + Duration::from_secs(1), 1.0), 500);
        retry.succeeded(now + Duration::from_secs(2));
        assert_eq!(millis(&mut retry, now + Duration::from_secs(8), 1.0), 250);
        retry.reset();
        assert_eq!(millis(&mut retry, now, 1.0), 250);
    }
}
