//! What a permit demands of what is granted under it: the annotations of `protocol.md` §5. Terms only ever get stricter
//! when they are combined.

use std::time::Duration;

/// Longest `@max_life` and `@long_work`: what runs longer is a task, not a transaction (`protocol.md` §5).
pub const LIFE_MAX: Duration = Duration::from_hours(1);
/// Annotations that a rule may have. `id` and `observe` are read by the rule itself.
const KNOWN: [&str; 5] = ["id", "max_life", "long_work", "liveness", "observe"];
/// How unlike a known word a misspelt one may be for "did you mean": a letter or two.
pub(crate) const LIKENESS_MIN: f64 = 0.8;

/// The terms of one permit, or the strictest of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// `@max_life("30m")`: the transaction ends so long after begin at the latest; `None`: the broker's own maximum holds.
    pub max_life: Option<Duration>,
    /// `@long_work("1h")`: work may go on so long after begin, each token confirmed by the identity provider;
    /// `None`: no long work.
    pub long_work: Option<Duration>,
    /// `@liveness("strict")`: the user's session is asked after before every grant.
    pub strict: bool,
}

/// An annotation that cannot be accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadAnnotation {
    /// Its name.
    pub(crate) name: String,
    /// What is wrong with it.
    pub(crate) message: String,
}

impl Terms {
    /// Reads a rule's annotations; everything that is wrong goes into `bad`. Only a permit may have terms:
    /// on a forbid they would look as if they meant something.
    pub(crate) fn read<'a>(
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
        permits: bool,
        bad: &mut Vec<BadAnnotation>,
    ) -> Self {
        let mut terms = Self::default();
        for (name, value) in annotations {
            let outcome = match name {
                "id" | "observe" => Ok(()),
                _term if KNOWN.contains(&name) && !permits => {
                    Err(format!("`@{name}` stands on a forbid, where it has no meaning"))
                }
                "max_life" => life(name, value).map(|life| terms.max_life = Some(life)),
                "long_work" => life(name, value).map(|life| terms.long_work = Some(life)),
                "liveness" if value == "strict" => {
                    terms.strict = true;
                    Ok(())
                }
                "liveness" => Err(format!("`@liveness(\"{value}\")` is not known; the only value is `strict`")),
                _unknown => Err(unknown(name)),
            };
            if let Err(message) = outcome {
                bad.push(BadAnnotation { name: name.to_owned(), message });
            }
        }
        terms
    }

    /// The strictest of both. A permit without `@long_work` allows none, so it takes it away from the other.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let both = |one: Option<Duration>, two: Option<Duration>| one.zip(two).map(|(one, two)| one.min(two));
        Self {
            max_life: both(self.max_life, other.max_life).or(self.max_life).or(other.max_life),
            long_work: both(self.long_work, other.long_work),
            strict: self.strict || other.strict,
        }
    }
}

fn unknown(name: &str) -> String {
    let likeness = KNOWN.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    let best = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let meant = best.filter(|(likeness, _known)| *likeness >= LIKENESS_MIN);
    let meant = meant.map(|(_likeness, known)| format!("; did you mean `@{known}`?")).unwrap_or_default();
    format!("unknown annotation `@{name}`{meant}")
}

fn life(name: &str, value: &str) -> Result<Duration, String> {
    let life = duration(value).filter(|life| !life.is_zero() && *life <= LIFE_MAX);
    life.ok_or_else(|| {
        format!("`@{name}(\"{value}\")` must be a whole number with `s`, `m` or `h`, more than none and at most 1h")
    })
}

/// A whole number with `s`, `m` or `h`; digits only, no sign.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _unknown => return None,
    };
    let digits = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(max_life: Option<u64>, long_work: Option<u64>, strict: bool) -> Terms {
        Terms { max_life: max_life.map(Duration::from_secs), long_work: long_work.map(Duration::from_secs), strict }
    }

    #[test]
    fn the_strictest_of_several_terms_counts() {
        for (one, other, strictest) in [
            (terms(None, None, false), terms(None, None, false), terms(None, None, false)),
            (terms(Some(60), None, false), terms(None, None, false), terms(Some(60), None, false)),
            (terms(Some(60), None, false), terms(Some(30), None, true), terms(Some(30), None, true)),
            (terms(None, Some(60), false), terms(None, Some(30), false), terms(None, Some(30), false)),
            (terms(None, Some(60), true), terms(None, None, false), terms(None, None, true)),
        ] {
            assert_eq!(one.and(&other), strictest, "{one:?} and {other:?}");
            assert_eq!(other.and(&one), strictest, "{other:?} and {one:?}");
        }
    }

    #[test]
    fn a_life_is_a_bounded_whole_number_with_a_unit() {
        assert_eq!(life("max_life", "90s"), Ok(Duration::from_secs(90)));
        assert_eq!(life("max_life", "30m"), Ok(Duration::from_mins(30)));
        assert_eq!(life("max_life", "1h"), Ok(LIFE_MAX));
        for text in
            ["", "m", "0s", "30", "-1m", "+1m", "1.5h", "1 m", "61m", "2h", "1d", "30M", "99999999999999999999s", "µ"]
        {
            assert!(life("max_life", text).is_err(), "{text}");
        }
    }
}
