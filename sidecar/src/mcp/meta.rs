//! What rides in the `_meta` of a message beside its work: trace, trace state, baggage (MCP 2026-07-28). Values are put in
//! their place and every other byte stays as it was written: numbers and names of arguments are not ours to re-spell.
//! It reads only what was read strictly before, and finds a name however it is spelled with escapes.

use bytes::Bytes;
use serde_json::{Map, Value};

use identity::Refusal;

const META: &str = "_meta";
const TRACEPARENT: &str = "traceparent";
/// What never crosses a door, as in the head (`platform.md` §3.3): frameworks write a user's words into `baggage`.
const RIDERS: [&str; 2] = ["tracestate", "baggage"];
/// Where messages have a `_meta`: requests and notifications, and answers.
const BEARERS: [&str; 2] = ["params", "result"];

/// `_meta.traceparent` of a message's `params`, as it is written.
///
/// # Errors
/// [`Refusal::CallMalformed`] for what one reader takes for a trace and another does not: no string (OpenTelemetry's
/// reader for Python takes the first of a list), or a name in another case.
pub(super) fn traceparent(members: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    let Some(params) = members.get("params").and_then(Value::as_object) else { return Ok(None) };
    let Some(meta) = only(params, META)?.and_then(Value::as_object) else { return Ok(None) };
    match only(meta, TRACEPARENT)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(Refusal::CallMalformed),
    }
}

/// The member `name`, if no other one has that name in another case.
fn only<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Value>, Refusal> {
    let shadowed = members.keys().any(|key| key != name && key.eq_ignore_ascii_case(name));
    if shadowed { Err(Refusal::CallMalformed) } else { Ok(members.get(name)) }
}

/// `message` with `traceparent`, which needs no escapes, in the place of the one in its `params`, if there is one.
pub(super) fn with_traceparent(message: Bytes, traceparent: &str) -> Bytes {
    put(message, ["params", META, TRACEPARENT], &format!("\"{traceparent}\""))
}

/// `message` without trace state and baggage: they are left empty, which every reader takes for none.
pub(crate) fn without_riders(message: Bytes) -> Bytes {
    let places = BEARERS.iter().flat_map(|bearer| RIDERS.iter().map(move |rider| [*bearer, META, *rider]));
    places.fold(message, |message, place| put(message, place, "\"\""))
}

/// `message` with the JSON `value` as the member that `path` names, if there is one.
fn put(message: Bytes, path: [&str; 3], value: &str) -> Bytes {
    let found = path.iter().try_fold(message.as_ref(), |object, name| member(object, name));
    let Some((from, (_old, after))) = found.and_then(|from| Some((from, first(from)?))) else { return message };
    let before = message.get(..message.len().saturating_sub(from.len())).unwrap_or_default();
    [before, value.as_bytes(), after].concat().into()
}

/// The text from the value of `name` on, in the object with which `text` begins.
fn member<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut rest = text.trim_ascii_start().strip_prefix(b"{")?;
    loop {
        let (key, after) = first(rest.trim_ascii_start())?;
        let value = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        if serde_json::from_slice::<String>(key).ok()? == name {
            return Some(value);
        }
        let (_other, after) = first(value)?;
        rest = after.trim_ascii_start().strip_prefix(b",")?;
    }
}

/// The value with which `text` begins, and what comes after it.
fn first(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        let next = at.saturating_add(1);
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if quoted && depth == 0 => return text.split_at_checked(next),
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth = depth.saturating_add(1),
            b'}' | b']' if depth == 1 => return text.split_at_checked(next),
            b'}' | b']' if depth > 1 => depth = depth.saturating_sub(1),
            // A number, `true`, `false` or `null` ends before what separates it.
            b'}' | b']' | b',' | b':' if depth == 0 => return text.split_at_checked(at),
            _other => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(message: &str) -> String {
        String::from_utf8(without_riders(Bytes::from(message.to_owned())).to_vec()).expect("text")
    }

    #[test]
    fn trace_state_and_baggage_are_left_empty_and_nothing_else_is_touched() {
        let rest = r#""a":1.50, "arguments" : {"baggage":"b","_meta":{"baggage":"b"},"n":12345678901234567890123}"#;
        for (written, left) in [
            (r#""user=alice""#, r#""""#),
            (r#" "a\\\"}],b""#, r#" """#),
            (r#"{"x":["]}"],"y":{}}"#, r#""""#),
            (r#"["user=alice", []]"#, r#""""#),
            ("null", r#""""#),
            (" 7\n", r#" """#),
            (r#""""#, r#""""#),
        ] {
            for bearer in BEARERS {
                let message = |value: &str| {
                    let meta = format!(r#"{{"x":[],"y":{{}},"tracestate":{value},"bagg\u0061ge" :{value},"z":true}}"#);
                    format!(r#" {{"id":"_meta", "{bearer}" : {{ {rest}, "_meta":{meta}}}}}"#)
                };
                assert_eq!(quiet(&message(written)), message(left));
            }
        }
    }

    #[test]
    fn a_message_without_them_stays_as_it_is() {
        for message in [
            "{}",
            " { } ",
            "[]",
            "7",
            r#"{"params":{}}"#,
            r#"{"params":[{"_meta":{"baggage":"a"}}]}"#,
            r#"{"params":{"_meta":7}}"#,
            r#"{"params":{"_meta":{}}}"#,
            r#"{"params":{"x":"\"_meta\":{\"baggage\":\"a\"}"}}"#,
        ] {
            assert_eq!(quiet(message), message);
        }
    }
}
