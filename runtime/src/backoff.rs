//! How long to wait before asking again: doubling, bounded, and spread so that many sidecars do not come back at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Waits of a client that keeps failing.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait: between half and the whole of 100 ms, 200 ms, … 10 s, by `spread` (0 to 255).
    pub fn next(&mut self, spread: u8) -> Duration {
        let whole = FIRST.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let half = whole.checked_div(2).unwrap_or(FIRST);
        let part = half.saturating_mul(u32::from(spread)).checked_div(u32::from(u8::MAX)).unwrap_or_default();
        half.saturating_add(part).max(FIRST.min(whole))
    }

    /// It worked: begin anew.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A random spread for [`Backoff::next`].
#[must_use]
pub fn spread() -> u8 {
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
    fn waits_grow_from_100_ms_to_10_s_and_stay_there() {
        let mut backoff = Backoff::default();
        let longest: Vec<u128> = (0..10).map(|_| backoff.next(u8::MAX).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(0), FIRST);
        for _ in 0..100 {
            backoff.next(0);
        }
        assert_eq!(backoff.next(0), Duration::from_secs(5));
    }
}
