//! When something ends. A life can be cut, never extended: there is no function for it.

use std::time::Duration;

use crate::UnixTime;

/// The life of a token or grant: valid before `not_after`, over at that second (RFC 7519 §4.1.4).
///
/// ```
/// # use identity::{Lifetime, UnixTime};
/// # let at = |secs| UnixTime::from_secs(secs).expect("small");
/// let life = Lifetime::until(at(100)).min(Lifetime::until(at(60)));
/// assert_eq!(life.not_after(), at(60));
/// ```
/// It cannot be extended:
/// ```compile_fail,E0599
/// # use identity::{Lifetime, UnixTime};
/// # let at = |secs| UnixTime::from_secs(secs).expect("small");
/// let life = Lifetime::until(at(100)).extend(Lifetime::until(at(160)));
/// assert_eq!(life.not_after(), at(160));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    not_after: UnixTime,
}

impl Lifetime {
    /// A life that ends at `not_after`.
    #[must_use]
    pub const fn until(not_after: UnixTime) -> Self {
        Self { not_after }
    }

    /// The shorter of two lives: the only way to combine them.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { not_after: self.not_after.min(other.not_after) }
    }

    /// The second at which it is over.
    #[must_use]
    pub const fn not_after(self) -> UnixTime {
        self.not_after
    }

    /// Whether it is over.
    #[must_use]
    pub fn expired(self, now: UnixTime) -> bool {
        now >= self.not_after
    }

    /// What is left; zero when over.
    #[must_use]
    pub fn remaining(self, now: UnixTime) -> Duration {
        now.until(self.not_after)
    }
}
