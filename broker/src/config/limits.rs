//! How often one workload may ask.

use std::num::NonZeroU32;

use runtime::config::Problems;

use super::raw::RawLimits;
use crate::rate::RateLimit;

/// More is no limit: two cores answer some thousand requests a second.
const MAX: u32 = 100_000;

pub(super) fn read(raw: &RawLimits, problems: &mut Problems) -> Option<RateLimit> {
    let mut number = |key: &str, number: u32| match NonZeroU32::new(number) {
        Some(number) if number.get() <= MAX => Some(number),
        Some(_) | None => {
            problems.at(&format!("limits.{key}"), format!("`{number}` must be 1 to {MAX}"));
            None
        }
    };
    let (per_second, burst) = (number("per_second", raw.per_second), number("burst", raw.burst));
    Some(RateLimit { per_second: per_second?, burst: burst? })
}
