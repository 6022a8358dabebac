//! Event streams (WHATWG HTML §9.2.6), taken apart into events while they flow. An event is the most that is ever held.

use bytes::Bytes;

/// Longest event that is held, and longest listing that is filtered (`protocol.md` §6).
pub(super) const HELD_MAX: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The stream holds an event longer than [`HELD_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {HELD_MAX} bytes")]
pub(super) struct EventTooLong;

/// What arrived of the event that is not yet complete.
#[derive(Debug, Default)]
pub(super) struct Events {
    current: Vec<u8>,
    line_length: usize,
    after_return: bool,
    begun: bool,
}

impl Events {
    /// Takes the next bytes and returns the events that they complete, blank line included.
    ///
    /// # Errors
    /// [`EventTooLong`]; the stream cannot be read on.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, EventTooLong> {
        let mut complete = Vec::new();
        for &byte in bytes {
            let second_half = self.after_return && byte == b'\n';
            self.after_return = byte == b'\r';
            match byte {
                b'\n' if second_half && self.current.is_empty() => {}
                b'\n' if second_half => self.current.push(byte),
                b'\n' | b'\r' => {
                    self.current.push(byte);
                    if self.line_length == 0 {
                        complete.push(self.whole());
                    }
                    self.line_length = 0;
                }
                _text => {
                    self.current.push(byte);
                    self.line_length = self.line_length.saturating_add(1);
                }
            }
            if self.current.len() > HELD_MAX {
                return Err(EventTooLong);
            }
        }
        Ok(complete)
    }

    /// The event that is complete. A byte order mark may stand before the first one only.
    fn whole(&mut self) -> Bytes {
        let event = Bytes::from(std::mem::take(&mut self.current));
        let first = !std::mem::replace(&mut self.begun, true);
        if first && event.starts_with(BYTE_ORDER_MARK) { event.slice(BYTE_ORDER_MARK.len()..) } else { event }
    }
}

/// The data of an event: its `data` lines joined by line feeds; `None` without any. What is no text is replaced, as
/// every reader of event streams does it.
pub(super) fn data(event: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(event);
    let lines: Vec<&str> = lines(&text).filter_map(value_of_data).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// The event with other data. `data` must hold no line break.
pub(super) fn with_data(event: &[u8], data: &str) -> Bytes {
    let text = String::from_utf8_lossy(event);
    let mut out = String::with_capacity(event.len());
    for line in lines(&text).filter(|line| !line.is_empty() && value_of_data(line).is_none()) {
        out.push_str(line);
        out.push('\n');
    }
    out.push_str("data: ");
    out.push_str(data);
    out.push_str("\n\n");
    Bytes::from(out)
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    // "\r\n" gives an empty line between the two, which nobody looks at.
    text.split(['\n', '\r'])
}

fn value_of_data(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("data")?;
    if rest.is_empty() {
        return Some("");
    }
    let value = rest.strip_prefix(':')?;
    Some(value.strip_prefix(' ').unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_whatever_the_chunks_and_line_ends() {
        for end in ["\n", "\r\n", "\r"] {
            let stream = format!("event: message{end}data: 1{end}data: 2{end}{end}: ping{end}{end}data:3{end}{end}");
            for size in 1..stream.len() {
                let mut events = Events::default();
                let mut found = Vec::new();
                for chunk in stream.as_bytes().chunks(size) {
                    found.extend(events.push(chunk).expect("short"));
                }
                let data: Vec<_> = found.iter().map(|event| data(event)).collect();
                assert_eq!(data, [Some("1\n2".to_owned()), None, Some("3".to_owned())], "{end:?} by {size}");
            }
        }
    }

    #[test]
    fn other_fields_are_kept_when_data_changes() {
        let event = b"id: 7\r\nevent: message\r\ndata: {\r\ndata: }\r\n\r\n";
        assert_eq!(with_data(event, "{}"), "id: 7\nevent: message\ndata: {}\n\n");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        assert!(events.push(&vec![b'x'; HELD_MAX]).is_ok());
        assert_eq!(events.push(b"x"), Err(EventTooLong));
    }
}
