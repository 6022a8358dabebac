//! Words for people: on stdout what was asked for, on stderr why it was not done.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::text::plain;

/// Prints `text`; fails when nobody can read it.
pub(crate) fn say(text: &str) -> ExitCode {
    if wrote(text) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints `text`; whether somebody can read it.
pub(crate) fn wrote(text: &str) -> bool {
    io::stdout().write_all(text.as_bytes()).is_ok()
}

/// Hands words of another program on. They may repeat what stood in a file or a log: nothing in them moves the cursor.
pub(crate) fn pass_on(words: &[u8]) {
    let words = plain(&String::from_utf8_lossy(words));
    // Nothing can be done when stderr itself is closed; the exit code still tells.
    drop(io::stderr().write_all(words.as_bytes()));
}

/// Prints why it was not done, with `code` as exit code: 1 failed, 2 usage.
pub(crate) fn refuse(text: &str, code: u8) -> ExitCode {
    warn(text);
    ExitCode::from(code)
}

/// Prints what is wrong, and goes on.
pub(crate) fn warn(text: &str) {
    pass_on(format!("countersign: {text}\n").as_bytes());
}
