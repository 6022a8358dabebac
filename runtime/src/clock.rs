//! The one place that reads the wall clock. Everything else takes `now` as an argument.
//! Timers and time limits never use it: they run on tokio's monotonic clock.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use identity::UnixTime;

/// How far the clock may run backwards, in seconds: what keeping it in step does on a good day, and two readers that
/// overtake each other (`security.md` T20).
const BACKWARDS_MAX: u64 = 5;

/// The latest second that [`is_steady`] was shown.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// The current time in whole seconds. A clock before 1970 or after 9999 gives [`UnixTime::MAX`]: then everything has
/// expired, and nothing is granted on a time that cannot be true.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the replacement that the lint names")]
pub fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since_epoch.and_then(|elapsed| UnixTime::from_secs(elapsed.as_secs())).unwrap_or(UnixTime::MAX)
}

/// Whether `now`, just read, is not more than 5 s before a time that this process has read already. On a clock that ran
/// backwards, what has ended seems to live on, so nothing is issued by it; it is steady again once it has caught up, or
/// in a new process.
#[must_use]
pub fn is_steady(now: UnixTime) -> bool {
    follows(&LATEST, now)
}

fn follows(latest: &AtomicU64, now: UnixTime) -> bool {
    latest.fetch_max(now.secs(), Ordering::Relaxed).saturating_sub(now.secs()) <= BACKWARDS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_ran_backwards_is_not_steady_until_it_has_caught_up() {
        let latest = AtomicU64::new(0);
        let at = |secs| follows(&latest, UnixTime::from_secs(secs).expect("a time"));
        assert!(at(1000) && at(1001) && at(996), "five seconds are nothing");
        assert!(!at(995) && !at(700) && !at(995));
        assert!(at(996) && at(1001) && at(1300), "forwards is no fault of the past");
        assert!(!at(1001));
    }
}
