//! How long to wait before asking again: doubling, bounded, and spread so that many sidecars do not come back at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Waits of a client that keeps failing.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half and the whole of 200 ms, 400 ms, … 10 s.
    pub(crate) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let whole = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        let half = whole.checked_div(2).unwrap_or(FIRST);
        half.saturating_add(half.saturating_mul(u32::from(spread())).checked_div(255).unwrap_or_default())
    }

    /// It worked: begin anew.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random number from 0 to 255.
pub(crate) fn spread() -> u8 {
    let mut byte = [u8::MAX / 2];
    if aws_lc_rs::rand::fill(&mut byte).is_err() {
        tracing::warn!("no random bytes for the back-off");
    }
    let [spread] = byte;
    spread
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_stay_bounded() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!((100..=200).contains(&first.as_millis()), "{first:?}");
        for _ in 0..100 {
            backoff.next();
        }
        let last = backoff.next();
        assert!((5..=10).contains(&last.as_secs()), "{last:?}");
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(200));
    }
}
