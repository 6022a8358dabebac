//! The one place that reads the wall clock. Everything else takes `now` as an argument.
//! Timers and time limits never use it: they run on tokio's monotonic clock.

use std::time::{SystemTime, UNIX_EPOCH};

use identity::UnixTime;

/// The current time in whole seconds. A clock before 1970 or after 9999 gives [`UnixTime::MAX`]: then everything has
/// expired, and nothing is granted on a time that cannot be true.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the replacement that the lint names")]
pub fn now() -> UnixTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since_epoch.and_then(|elapsed| UnixTime::from_secs(elapsed.as_secs())).unwrap_or(UnixTime::MAX)
}
