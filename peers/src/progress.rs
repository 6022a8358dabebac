//! Lines that tell how far the work is, each with the time since it began.

use std::{fmt, time::Duration, time::Instant};

/// A command that runs longer says so, this often.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Where progress is told.
pub(crate) struct Progress<'a> {
    tell: &'a mut dyn FnMut(&str),
    start: Instant,
    about: String,
    /// How often a command that runs says so.
    pub(crate) every: Duration,
}

impl<'a> Progress<'a> {
    /// Tells by this function, one line a call.
    pub(crate) fn new(tell: &'a mut dyn FnMut(&str)) -> Self {
        Self { tell, start: Instant::now(), about: String::new(), every: TELL_EVERY }
    }

    /// What the next lines are about.
    pub(crate) fn about(&mut self, about: String) {
        self.about = about;
    }

    /// Tells one line.
    pub(crate) fn say(&mut self, line: &str) {
        let about = if self.about.is_empty() { String::new() } else { format!("{}: ", self.about) };
        (self.tell)(&format!("{:>12}  {about}{line}", elapsed(self.start.elapsed())));
    }
}

impl fmt::Debug for Progress<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Progress").field("about", &self.about).finish_non_exhaustive()
    }
}

/// A time as people say it: `1 min 05 s`, or `4.2 s` below a minute.
#[must_use]
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds.checked_div(60).unwrap_or_default() {
        0 => format!("{:.1} s", time.as_secs_f32()),
        minutes => format!("{minutes} min {:02} s", seconds.checked_rem(60).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_told_as_people_say_it() {
        assert_eq!(elapsed(Duration::from_millis(4_200)), "4.2 s");
        assert_eq!(elapsed(Duration::from_secs(65)), "1 min 05 s");
        assert_eq!(elapsed(Duration::from_secs(3_600)), "60 min 00 s");
    }

    #[test]
    fn each_line_says_when_and_what_about() {
        let mut lines = Vec::new();
        let mut tell = |line: &str| lines.push(line.to_owned());
        let mut progress = Progress::new(&mut tell);
        progress.about("SPIRE 1.13.3".to_owned());
        progress.say("building");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].ends_with(" s  SPIRE 1.13.3: building"), "{lines:?}");
    }
}
