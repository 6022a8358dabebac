//! `@observe("2026-12-31")`: a permit that is on trial. It is asked beside the rules in force, and what it would have
//! said is told; it must never permit. After its last day it is not even asked (ADR 14).

use identity::UnixTime;

/// Longest observation: what nobody came back to for a quarter of a year is forgotten.
pub const OBSERVED_DAYS_MAX: u64 = 90;
const DAY_SECS: u64 = 24 * 60 * 60;

/// A rule's observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    through: String,
    /// Days from 1970-01-01 to the last one.
    last: u64,
}

impl Observed {
    /// Reads the value of the annotation, as it is at `now`.
    pub(crate) fn read(value: &str, now: UnixTime) -> Result<Self, String> {
        let last = days(value).ok_or_else(|| {
            format!("`@observe(\"{value}\")` must be the last day of the trial, as in `@observe(\"2026-12-31\")`")
        })?;
        if last > today(now).saturating_add(OBSERVED_DAYS_MAX) {
            return Err(format!("`@observe(\"{value}\")` is more than {OBSERVED_DAYS_MAX} days ahead: a trial ends"));
        }
        Ok(Self { through: value.to_owned(), last })
    }

    /// The last day, in UTC, as the rule says it.
    #[must_use]
    pub fn through(&self) -> &str {
        &self.through
    }

    /// Whether that day is over at `now`.
    #[must_use]
    pub fn is_over(&self, now: UnixTime) -> bool {
        today(now) > self.last
    }
}

/// Days since 1970-01-01.
fn today(now: UnixTime) -> u64 {
    now.secs().checked_div(DAY_SECS).unwrap_or_default()
}

/// Days from 1970-01-01 to a day that is written as RFC 3339 does, `2026-12-31`.
fn days(text: &str) -> Option<u64> {
    let form = |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    if text.len() != "2026-12-31".len() || !text.bytes().enumerate().all(form) {
        return None;
    }
    let mut numbers = text.split('-').map(str::parse::<u64>);
    let (year, month, day) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    let leaps =
        |year: u64| year.checked_div(4)?.checked_sub(year.checked_div(100)?)?.checked_add(year.checked_div(400)?);
    let before = year.checked_sub(1)?;
    let february = if leaps(year)? > leaps(before)? { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month.checked_sub(1)?).ok()?;
    if day == 0 || day > *months.get(month)? {
        return None;
    }
    let years = year.checked_sub(1970)?.checked_mul(365)?.checked_add(leaps(before)?)?.checked_sub(leaps(1969)?)?;
    years.checked_add(months.iter().take(month).sum())?.checked_add(day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u64, secs: u64) -> UnixTime {
        UnixTime::from_secs(day.saturating_mul(DAY_SECS).saturating_add(secs)).expect("a time")
    }

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        for (text, number) in [
            ("1970-01-01", 0),
            ("1972-02-29", 789),
            ("2000-03-01", 11_017),
            ("2026-11-24", 20_781),
            ("2100-03-01", 47_541),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(days(text), Some(number), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-1-01",
            "2026-13-01",
            "2026-00-01",
            "2026-02-29",
            "2100-02-29",
            "2026-04-31",
            "2026-12-00",
            "26-12-31",
            "+026-12-31",
            "2026-12-31 ",
            "2026/12/31",
            "0000-01-01",
            "1969-12-31",
            "２０２６-12-31",
        ] {
            assert_eq!(days(text), None, "{text}");
        }
    }

    #[test]
    fn an_observation_lasts_through_its_last_day_and_at_most_ninety_days() {
        let today = days("2026-11-24").expect("a day");
        let observed = Observed::read("2026-11-24", at(today, 0)).expect("today");
        assert!(
            !observed.is_over(at(today, DAY_SECS.saturating_sub(1)))
                && observed.is_over(at(today.saturating_add(1), 0))
        );
        assert!(Observed::read("2027-02-22", at(today, 0)).is_ok());
        assert!(
            Observed::read("2027-02-23", at(today, DAY_SECS.saturating_sub(1)))
                .is_err_and(|told| told.contains("90 days"))
        );
        assert!(Observed::read("2020-01-01", at(today, 0)).expect("one that is over").is_over(at(today, 0)));
        assert!(Observed::read("soon", at(today, 0)).is_err_and(|told| told.contains("last day")));
    }
}
