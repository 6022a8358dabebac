//! How the screen may look: its width, and whether colour is welcome. The only place of this program that asks the
//! terminal and the environment.

use std::{env, io::IsTerminal, os::fd::AsFd};

/// Width where there is no terminal, and the most that is ever used: longer lines are harder to read.
const WIDTH_MAX: usize = 80;
/// The least that can be written in.
const WIDTH_MIN: usize = 24;

/// Width and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) width: usize,
    pub(crate) colour: bool,
}

impl Look {
    /// As stdout wants it.
    pub(crate) fn of_stdout() -> Self {
        Self::of(&std::io::stdout())
    }

    /// As stderr wants it.
    pub(crate) fn of_stderr() -> Self {
        Self::of(&std::io::stderr())
    }

    /// No colour with NO_COLOR (no-color.org: set and not empty), `TERM=dumb` or without a terminal.
    fn of<S: AsFd + IsTerminal>(stream: &S) -> Self {
        let terminal = stream.is_terminal();
        let unwelcome = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || env::var_os("TERM").is_none_or(|term| term == "dumb");
        let columns = terminal.then(|| rustix::termios::tcgetwinsize(stream).ok()).flatten();
        Self::new(columns.map(|size| usize::from(size.ws_col)), terminal && !unwelcome)
    }

    /// For a terminal of `columns`; `None` or 0 where that is not known.
    pub(crate) fn new(columns: Option<usize>, colour: bool) -> Self {
        let width = columns.filter(|columns| *columns > 0).unwrap_or(WIDTH_MAX).clamp(WIDTH_MIN, WIDTH_MAX);
        Self { width, colour }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_or_unknown_terminal_is_used_to_80_columns() {
        assert_eq!(Look::new(None, false).width, 80);
        assert_eq!(Look::new(Some(0), false).width, 80);
        assert_eq!(Look::new(Some(200), false).width, 80);
        assert_eq!(Look::new(Some(60), false).width, 60);
    }
}
