//! The last step of a log line: control bytes that JSON lets through (DEL, C1) are escaped, so that no line can steer
//! a terminal. JSON itself escapes those below 0x20, so a value cannot forge a line.

use std::io::{self, Write};

/// Writes whole log lines to stderr.
#[derive(Debug, Default)]
pub(crate) struct EscapedStderr;

impl Write for EscapedStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().write_all(escaped(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn escaped(line: &str) -> String {
    let steers = |char: char| char.is_control() && char != '\n';
    if !line.contains(steers) {
        return line.to_owned();
    }
    line.chars().fold(String::with_capacity(line.len()), |mut text, char| {
        if steers(char) {
            text.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            text.push(char);
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_reach_the_terminal() {
        assert_eq!(escaped("{\"a\":\"x\u{7f}\u{9b}31m\"}\n"), "{\"a\":\"x\\u007f\\u009b31m\"}\n");
        assert_eq!(escaped("plain ü\n"), "plain ü\n");
    }
}
