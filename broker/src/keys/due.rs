//! When something is due, by two clocks: the wall clock, which people read and which may jump, and the process's own,
//! which only runs. Nothing is due before both say so, so that a jump makes nothing happen early.

use std::time::Duration;

use identity::UnixTime;
use tokio::time::Instant;

/// Now, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: UnixTime,
    pub(crate) own: Instant,
}

impl Moment {
    /// This moment.
    pub(crate) fn now() -> Self {
        Self { wall: runtime::clock::now(), own: Instant::now() }
    }

    /// So much later. A time that does not exist never comes.
    fn plus(self, wait: Duration) -> Due {
        Due { wall: self.wall.plus(wait), own: self.own.checked_add(wait) }
    }
}

/// When something is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    wall: UnixTime,
    own: Option<Instant>,
}

impl Due {
    /// After `wait`.
    pub(super) fn after(wait: Duration, at: Moment) -> Self {
        at.plus(wait)
    }

    /// As it was stored by a process before this one: for how long it was away, nobody knows who does not trust the wall
    /// clock, so that the own one counts from now.
    pub(super) fn resumed(wall: UnixTime, wait: Duration, at: Moment) -> Self {
        Self { wall, ..at.plus(wait) }.bounded(wait, at)
    }

    /// The same, at most `wait` away: the wall clock may have been ahead when it was set, and put right since.
    pub(super) fn bounded(self, wait: Duration, at: Moment) -> Self {
        Self { wall: self.wall.min(at.wall.plus(wait)), ..self }
    }

    /// By the wall clock alone.
    pub(super) const fn wall(self) -> UnixTime {
        self.wall
    }

    pub(super) fn passed(self, at: Moment) -> bool {
        at.wall >= self.wall && self.own.is_some_and(|own| at.own >= own)
    }

    /// When it will be by the wall clock, if that goes on as it is.
    pub(super) fn expected(self, at: Moment) -> UnixTime {
        let left = self.own.map_or(Duration::ZERO, |own| own.saturating_duration_since(at.own));
        // Whole seconds are told; one that has begun counts.
        let left = Duration::from_secs(left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)));
        self.wall.max(at.wall.plus(left))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(600);

    /// A moment at `wall` seconds since 1970, `own` seconds after `start`.
    pub(in crate::keys) fn moment(start: Instant, wall: u64, own: u64) -> Moment {
        Moment {
            wall: UnixTime::from_secs(wall).expect("a time"),
            own: start.checked_add(Duration::from_secs(own)).expect("a time"),
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_makes_nothing_due_early() {
        let start = Instant::now();
        let due = Due::after(WAIT, moment(start, 1000, 0));
        assert!(!due.passed(moment(start, 1_000_000, 599)), "the wall clock alone");
        assert!(!due.passed(moment(start, 1599, 600)), "the own clock alone");
        assert!(due.passed(moment(start, 1600, 600)));
        assert_eq!(due.expected(moment(start, 5000, 100)).secs(), 5500);
    }

    #[test]
    fn a_clock_that_was_ahead_and_is_put_right_makes_nothing_late_for_ever() {
        let start = Instant::now();
        let due = Due::after(WAIT, moment(start, 1_000_000, 0)).bounded(WAIT, moment(start, 1001, 1));
        assert!(!due.passed(moment(start, 1600, 600)));
        assert!(due.passed(moment(start, 1601, 601)));
    }

    #[test]
    fn a_restart_counts_anew() {
        let start = Instant::now();
        let stored = UnixTime::from_secs(1600).expect("a time");
        let due = Due::resumed(stored, WAIT, moment(start, 5000, 0));
        assert!(!due.passed(moment(start, 5599, 599)));
        assert!(due.passed(moment(start, 5600, 600)));
    }
}
