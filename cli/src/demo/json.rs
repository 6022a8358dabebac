//! The demo for programs: one JSON object a line, written as it happens.

use std::io::{self, Write};

use super::event::Event;

/// Writes events as lines.
pub(super) struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out }
    }

    pub(super) fn show(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }
}
