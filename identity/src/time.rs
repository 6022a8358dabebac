//! Time as an argument: seconds since 1970, bounded so that arithmetic cannot overflow.
//! Never reads a clock; `runtime::clock::now` does.

use std::{fmt, time::Duration};

/// A point in time in whole seconds since 1970-01-01T00:00:00Z (RFC 7519 §2, NumericDate without fractions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// 9999-12-31T23:59:59Z. A later date in a token is a mistake or an attack, never a wish.
    pub const MAX: Self = Self(253_402_300_799);

    /// A time, or `None` beyond [`UnixTime::MAX`].
    #[must_use]
    pub const fn from_secs(secs: u64) -> Option<Self> {
        if secs <= Self::MAX.0 { Some(Self(secs)) } else { None }
    }

    /// Seconds since 1970.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0
    }

    /// This time and `duration` more (whole seconds), at most [`UnixTime::MAX`].
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs()).min(Self::MAX.0))
    }

    /// This time less `duration` (whole seconds), at least 1970.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(duration.as_secs()))
    }

    /// How long from here to `later`; zero if that is past.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_secs(later.0.saturating_sub(self.0))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
