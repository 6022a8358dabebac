//! Longest lives. They can be set shorter than the design's, never longer.

use std::time::Duration;

use runtime::config::Problems;

use super::raw::RawLife;

/// Longest transaction: what `protocol.md` §5 allows for long work; more is a task.
const TRANSACTION_MAX: Duration = Duration::from_hours(1);
/// Longest transaction token (`protocol.md` §5).
const TRANSACTION_TOKEN_MAX: Duration = Duration::from_secs(120);
/// Longest access token: a sidecar whose watch stream is silent for as long refuses everything (`protocol.md` §8).
const ACCESS_TOKEN_MAX: Duration = Duration::from_secs(60);

/// How long what is granted may live; a rule's terms can only shorten it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// A transaction, from its begin.
    pub(crate) transaction: Duration,
    /// One transaction token.
    pub(crate) transaction_token: Duration,
    /// One access token.
    pub(crate) access_token: Duration,
}

impl Life {
    pub(super) fn read(raw: &RawLife, problems: &mut Problems) -> Option<Self> {
        let mut bounded = |key: &str, text: &str, longest: Duration| match duration(text) {
            Some(life) if (Duration::from_secs(1)..=longest).contains(&life) => Some(life),
            Some(_) | None => {
                let longest = longest.as_secs();
                problems.at(&format!("life.{key}"), format!("`{text}` must be 1s to {longest}s, as in `90s` or `2m`"));
                None
            }
        };
        let transaction = bounded("transaction", &raw.transaction, TRANSACTION_MAX);
        let transaction_token = bounded("transaction_token", &raw.transaction_token, TRANSACTION_TOKEN_MAX);
        let access_token = bounded("access_token", &raw.access_token, ACCESS_TOKEN_MAX);
        Some(Self { transaction: transaction?, transaction_token: transaction_token?, access_token: access_token? })
    }
}

/// A whole number with `s`, `m` or `h`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _unknown => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_with_a_unit() {
        assert_eq!(duration("90s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("1h"), Some(Duration::from_secs(3600)));
        for text in ["", "s", "90", "1.5m", "-1s", "1d", "1 m", "99999999999999999999s", "99999999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
