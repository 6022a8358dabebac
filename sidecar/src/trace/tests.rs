//! What is a trace, and which one stands on which side of the border.

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn parsed(text: &str) -> Option<String> {
    TraceContext::parse(text).map(|context| context.text())
}

#[test]
fn a_traceparent_is_read_as_the_standard_says() {
    assert_eq!(parsed(CALLERS).as_deref(), Some(CALLERS));
    let not_sampled = CALLERS.replace("-01", "-00");
    assert_eq!(parsed(&not_sampled).as_deref(), Some(not_sampled.as_str()));
    // Flags that version 00 does not know are not sent on; a later version is sent on as 00.
    assert_eq!(parsed(&CALLERS.replace("-01", "-ff")).as_deref(), Some(CALLERS));
    assert_eq!(parsed(&CALLERS.replace("00-0", "01-0")).as_deref(), Some(CALLERS));
    assert_eq!(parsed(&format!("{}-more", CALLERS.replace("00-0", "cc-0"))).as_deref(), Some(CALLERS));
}

#[test]
fn what_the_standard_calls_invalid_is_no_trace() {
    for text in [
        String::new(),
        "00".to_owned(),
        CALLERS.to_uppercase(),
        CALLERS.replace(TRACE, &"0".repeat(32)),
        CALLERS.replace("b7ad6b7169203331", "0000000000000000"),
        CALLERS.replace("00-0", "ff-0"),
        format!("{CALLERS}-more"),
        format!("{CALLERS} "),
        format!("{}x", CALLERS.replace("00-0", "01-0")),
        CALLERS.replace('-', "_"),
        CALLERS.replace("0af7", "0ag7"),
        CALLERS.replace("b7ad6b7169203331", "b7ad6b716920333-"),
        CALLERS.replace("9c-b7", "9-cb7"),
        CALLERS.replace("19c-", "1é-"),
        "-".repeat(55),
    ] {
        assert_eq!(parsed(&text), None, "{text}");
    }
}

#[test]
fn several_traceparents_are_none() {
    let mut headers = HeaderMap::new();
    headers.append(TRACEPARENT, CALLERS.parse().expect("a value"));
    assert!(of(&headers).is_some());
    headers.append(TRACEPARENT, CALLERS.parse().expect("a value"));
    assert!(of(&headers).is_none());
    assert!(of(&HeaderMap::new()).is_none());
}

#[test]
fn the_inner_trace_is_never_that_of_the_caller() {
    let caller = TraceContext::parse(CALLERS);
    let (one, other) = (Traces::new(caller).expect("traces"), Traces::new(caller).expect("traces"));
    assert!(one.key() != other.key() && one.key() != caller.expect("a trace").trace());
    assert!(TraceContext::parse(&one.inward()).is_some_and(|inner| inner.trace() == one.key()));
    let alone = Traces::new(None).expect("traces");
    assert!(alone.key() != alone.outer.trace());
}

#[test]
fn the_app_records_what_its_caller_records() {
    let flags = |caller: Option<&str>| {
        let traces = Traces::new(caller.and_then(TraceContext::parse)).expect("traces");
        traces.inward().rsplit('-').next().map(str::to_owned)
    };
    assert_eq!(flags(Some(CALLERS)).as_deref(), Some("01"));
    assert_eq!(flags(Some(&CALLERS.replace("-01", "-00"))).as_deref(), Some("00"));
    assert_eq!(flags(None).as_deref(), Some("01"));
}

#[test]
fn the_inner_trace_leaves_in_no_header_and_no_message() {
    let traces = Traces::new(TraceContext::parse(CALLERS)).expect("traces");
    let inner = traces.inward();
    let id = hex(&traces.key().0);
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("traceparent", inner.as_str()), ("b3", &format!("{id}-1-1")), ("x-request-id", &id), ("x-kept", "1")]
    {
        headers.append(HeaderName::from_static(name), value.parse().expect("a value"));
    }
    traces.leave(&mut headers);
    assert_eq!(headers.get(TRACEPARENT).map(HeaderValue::as_bytes), Some(CALLERS.as_bytes()));
    assert!(headers.contains_key("x-kept") && headers.len() == 2, "{headers:?}");
    let message = traces.leave_message(Bytes::from(format!(r#"{{"a":"{inner}","b":"{id}","c":1}}"#)));
    let text = String::from_utf8(message.to_vec()).expect("text");
    assert!(!text.contains(&id) && text.matches(TRACE).count() == 2 && text.ends_with(r#""c":1}"#), "{text}");
    assert_eq!(traces.leave_message(Bytes::from_static(b"{}")), "{}");
}

/// X-Ray splits the id, B3 may be in capitals or hold half of it, Datadog writes halves as decimal numbers.
#[test]
fn the_inner_trace_leaves_in_no_other_spelling() {
    let traces = Traces::new(TraceContext::parse(CALLERS)).expect("traces");
    let id = hex(&traces.key().0);
    let (high, low) = id.split_at(16);
    let (time, rest) = id.split_at(8);
    let decimal = |half: &str| u64::from_str_radix(half, 16).expect("a number").to_string();
    for (name, value) in [
        ("x-amzn-trace-id", format!("Root=1-{time}-{rest};Sampled=1")),
        ("x-b3-traceid", id.to_uppercase()),
        ("x-b3-traceid", low.to_owned()),
        ("x-datadog-trace-id", decimal(low)),
        ("x-datadog-tags", format!("_dd.p.tid={high}")),
        ("x-other", decimal(high)),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static(name), value.parse().expect("a value"));
        traces.leave(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [TRACEPARENT], "{name}: {value}");
    }
}

#[test]
fn replacing_keeps_everything_else() {
    for (text, expected) in [("", ""), ("a", "a"), ("ab", "xyz"), ("abab", "xyzxyz"), ("-ab-ab-", "-xyz-xyz-")] {
        assert_eq!(replaced(Bytes::from(text), "ab", "xyz"), expected);
    }
}
