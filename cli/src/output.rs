//! Words for people: on stdout what was asked for, on stderr why it was not done.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// Prints `text`; fails when nobody can read it.
pub(crate) fn say(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_closed) => ExitCode::FAILURE,
    }
}

/// Prints why it was not done, with `code` as exit code: 1 failed, 2 usage.
pub(crate) fn refuse(text: &str, code: u8) -> ExitCode {
    // Nothing can be done when stderr itself is closed; the exit code still tells.
    drop(writeln!(io::stderr(), "countersign: {text}"));
    ExitCode::from(code)
}
