//! How long SVIDs live: bounded on both sides, so that neither an endless nor a stillborn SVID can be issued.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Longest life of an SVID that may be set.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);

/// How long SVIDs live, each 1 s to 24 h. X509-SVIDs are renewed at half of their life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LivesSeconds", into = "LivesSeconds")]
pub struct Lives {
    pub(super) x509: Duration,
    pub(super) jwt: Duration,
}

/// A life is not between 1 s and 24 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the life of an SVID must lie between 1 s and 24 h")]
pub struct LivesFault;

#[derive(Serialize, Deserialize)]
struct LivesSeconds {
    x509: u64,
    jwt: u64,
}

impl Lives {
    /// Lives of X509-SVIDs and JWT-SVIDs.
    ///
    /// # Errors
    /// [`LivesFault`] outside 1 s to 24 h.
    pub fn new(x509: Duration, jwt: Duration) -> Result<Self, LivesFault> {
        let fits = |life: &Duration| (Duration::from_secs(1)..=LIFE_MAX).contains(life);
        if [x509, jwt].iter().all(fits) { Ok(Self { x509, jwt }) } else { Err(LivesFault) }
    }
}

impl Default for Lives {
    /// 5 minutes for X509-SVIDs, 1 minute for JWT-SVIDs.
    fn default() -> Self {
        Self { x509: Duration::from_secs(300), jwt: Duration::from_secs(60) }
    }
}

impl TryFrom<LivesSeconds> for Lives {
    type Error = LivesFault;

    fn try_from(seconds: LivesSeconds) -> Result<Self, LivesFault> {
        Self::new(Duration::from_secs(seconds.x509), Duration::from_secs(seconds.jwt))
    }
}

impl From<Lives> for LivesSeconds {
    fn from(lives: Lives) -> Self {
        Self { x509: lives.x509.as_secs(), jwt: lives.jwt.as_secs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_outside_a_second_and_a_day_are_refused() {
        let second = Duration::from_secs(1);
        assert!(Lives::new(second, second).is_ok());
        assert_eq!(Lives::new(Duration::ZERO, second), Err(LivesFault));
        assert_eq!(Lives::new(second, Duration::from_secs(24 * 3600 + 1)), Err(LivesFault));
    }
}
