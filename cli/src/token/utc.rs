//! Times for people.

use identity::UnixTime;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
const MONTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
/// From here on the next larger unit is used: 90 s, but 2 min.
const UNITS_MAX: u64 = 120;

/// `2026-10-06 12:00:00 UTC`.
pub(super) fn utc(time: UnixTime) -> String {
    let (mut days, rest) = (time.secs() / DAY, time.secs() % DAY);
    let mut year: u64 = 1970;
    while let Some(left) = days.checked_sub(if is_leap(year) { 366 } else { 365 }) {
        (days, year) = (left, year.saturating_add(1));
    }
    let mut month: u64 = 1;
    for length in MONTHS {
        let length = if month == 2 && is_leap(year) { 29 } else { length };
        let Some(left) = days.checked_sub(length) else { break };
        (days, month) = (left, month.saturating_add(1));
    }
    let day = days.saturating_add(1);
    let (hour, minute, second) = (rest / HOUR, rest % HOUR / MINUTE, rest % MINUTE);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// `in 48 s`, `12 min ago`, `now`.
pub(crate) fn relative(time: UnixTime, now: UnixTime) -> String {
    let (ahead, ago) = (now.until(time).as_secs(), time.until(now).as_secs());
    match (ahead, ago) {
        (0, 0) => "now".to_owned(),
        (0, ago) => format!("{} ago", length(ago)),
        (ahead, _none) => format!("in {}", length(ahead)),
    }
}

fn length(seconds: u64) -> String {
    match seconds {
        0..UNITS_MAX => format!("{seconds} s"),
        _ if seconds / MINUTE < UNITS_MAX => format!("{} min", seconds / MINUTE),
        _ if seconds / HOUR < 48 => format!("{} h", seconds / HOUR),
        _ => format!("{} days", seconds / DAY),
    }
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).expect("a time")
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (secs, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_767_225_599, "2025-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(at(secs)), text);
        }
    }

    #[test]
    fn distances_are_short() {
        let now = at(1_000_000);
        for (secs, text) in [
            (1_000_000, "now"),
            (1_000_048, "in 48 s"),
            (999_999, "1 s ago"),
            (1_000_000 + 600, "in 10 min"),
            (1_000_000 - 3 * HOUR, "3 h ago"),
            (1_000_000 + 5 * DAY, "in 5 days"),
        ] {
            assert_eq!(relative(at(secs), now), text);
        }
    }
}
