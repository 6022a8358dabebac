//! Lines for people. An output that nobody reads, as behind `| head`, is no reason to end half-way: the exit code still
//! tells how it went.

use std::{fmt, io::Write};

/// Writes one line.
pub(crate) fn line(mut out: impl Write, words: fmt::Arguments<'_>) {
    // As above.
    drop(writeln!(out, "{words}"));
}
