//! An error with its causes, in one line: for people and for readiness, never for what outsiders are told.

use std::error::Error;

/// `fault: its cause: the cause's cause`. A cause that a sentence before holds already is left out.
#[must_use]
pub fn causes(fault: &dyn Error) -> String {
    let mut told = fault.to_string();
    let mut cause = fault.source();
    while let Some(deeper) = cause {
        let text = deeper.to_string();
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = deeper.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn no_cause_is_told_twice() {
        let inner = io::Error::other("no such file");
        assert_eq!(causes(&io::Error::other(inner)), "no such file");
    }
}
