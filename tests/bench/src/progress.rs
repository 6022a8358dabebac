//! Lines for the person who waits. Standard error, so that whoever reads the figures reads nothing else.

use std::{
    fmt,
    io::{Write as _, stderr},
    time::{Duration, Instant},
};

/// How often something long says how far it is.
const EVERY: Duration = Duration::from_secs(2);

/// Says one line.
pub(crate) fn note(words: fmt::Arguments<'_>) {
    // Nobody reads: no reason to end.
    drop(writeln!(stderr(), "{words}"));
}

/// Tells every few seconds how far something long is.
#[derive(Debug)]
pub(crate) struct Progress {
    what: String,
    total: usize,
    last: Instant,
}

impl Progress {
    /// Says nothing until it takes long.
    pub(crate) fn of(what: &str, total: usize) -> Self {
        Self { what: what.to_owned(), total, last: Instant::now() }
    }

    /// `done` of all is done.
    pub(crate) fn at(&mut self, done: usize) {
        if self.last.elapsed() >= EVERY {
            self.last = Instant::now();
            note(format_args!("  {}: {done} of {}", self.what, self.total));
        }
    }
}
