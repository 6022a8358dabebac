//! What Keycloak's clock says, by its own log: never ours, which may be ahead or behind.

use std::time::Duration;

use identity::UnixTime;
use tokio::time::Instant;

/// One reading: the log's time of something that happened between two moments here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) at_ms: u64,
    pub(super) asked: Instant,
    pub(super) answered: Instant,
}

impl Clock {
    /// It is this late there at `now`, or later.
    pub(super) fn at_least_ms(&self, now: Instant) -> u64 {
        self.at_ms.saturating_add(millis(now.saturating_duration_since(self.answered)))
    }

    /// It is this late there at `now`, or earlier: the second in which that is.
    pub(super) fn at_most(&self, now: Instant) -> UnixTime {
        let ms = self.at_ms.saturating_add(millis(now.saturating_duration_since(self.asked)));
        UnixTime::from_secs(ms / 1000).unwrap_or(UnixTime::MAX)
    }
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_there_lies_between_two_bounds() {
        let asked = Instant::now();
        let answered = asked + Duration::from_millis(700);
        let clock = Clock { at_ms: 10_500, asked, answered };
        let now = answered + Duration::from_secs(2);
        assert_eq!(clock.at_least_ms(now), 12_500);
        assert_eq!(clock.at_most(now).secs(), 13);
    }
}
