//! What Keycloak's clock says, by its own log: never ours, which may be ahead or behind.

use std::time::Duration;

use identity::UnixTime;
use tokio::time::Instant;

/// How much later it may be there than its log says: a log may keep whole seconds, and the nodes of one Keycloak do not
/// agree to the millisecond. Too much only asks once more.
const BEHIND_MAX: Duration = Duration::from_secs(2);

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
        let elapsed = now.saturating_duration_since(self.asked).saturating_add(BEHIND_MAX);
        let ms = self.at_ms.saturating_add(millis(elapsed));
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
        assert_eq!(clock.at_most(now).secs(), 15);
    }

    #[test]
    fn what_a_log_of_whole_seconds_gave_after_its_own_time_is_meant_too() {
        let asked = Instant::now();
        // 1.98 s there, which the log calls 1 s; half a second later a token of second 2 was given.
        let clock = Clock { at_ms: 1000, asked, answered: asked };
        assert!(clock.at_most(asked + Duration::from_millis(500)).secs() >= 2);
    }
}
