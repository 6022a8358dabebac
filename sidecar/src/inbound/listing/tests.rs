//! What a caller sees of a listing.

use serde_json::json;

use super::*;
use crate::{
    signer::{Signer, access, id, now},
    snapshot::tests as snapshots,
};
use identity::{AccessRule, RawToken, verify};

fn listing(scope: &str, may_ask: &str) -> Listing {
    let signer = Signer::new();
    let snapshot = signer.snapshot(vec![snapshots::tickets()]);
    let target = Arc::clone(snapshot.serves.by_name("tickets").expect("the target"));
    let claims = access(target.audience().as_str(), &json!({"scope": scope, "may_ask": may_ask}));
    let token = RawToken::parse(signer.sign("at+jwt", &claims)).expect("a token");
    let peer = id("planner");
    let rule = AccessRule { issuer: &snapshot.issuer, audience: target.audience(), peer: &peer };
    let access = verify(&token, &snapshot.keys, &rule, now()).expect("verified");
    Listing::new(target, Arc::new(access))
}

fn answer() -> Value {
    let tools = ["list_tickets", "close_ticket", "help", "hidden"].map(|name| json!({"name": name, "inputSchema": {}}));
    json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools, "nextCursor": "c"}})
}

fn names(message: &Value) -> Vec<&str> {
    let tools = message["result"]["tools"].as_array().expect("a list");
    tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect()
}

#[test]
fn a_caller_sees_what_it_holds_or_may_ask_for_and_nothing_unmapped() {
    for (scope, may_ask, seen) in [
        ("", "", &["help"][..]),
        ("tickets:read", "", &["list_tickets", "help"]),
        ("", "tickets:write", &["close_ticket", "help"]),
        ("tickets:read", "tickets:write", &["list_tickets", "close_ticket", "help"]),
    ] {
        let mut message = answer();
        assert!(listing(scope, may_ask).filter(&mut message));
        assert_eq!(names(&message), seen, "{scope:?} {may_ask:?}");
        assert_eq!(message["result"]["nextCursor"], "c");
    }
}

#[test]
fn an_event_with_a_listing_is_filtered_and_others_pass_unchanged() {
    let listing = listing("tickets:read", "");
    let (event, answers) = listing.event(Bytes::from(format!("id: 3\ndata: {}\n\n", answer()))).expect("readable");
    let data = events::data(&event).expect("data");
    assert_eq!(names(&serde_json::from_str(&data).expect("JSON")), ["list_tickets", "help"]);
    assert!(answers && event.starts_with(b"id: 3\n"));
    let progress = Bytes::from_static(b"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n");
    assert_eq!(listing.event(progress.clone()), Ok((progress, false)));
    let ping = Bytes::from_static(b": ping\n\n");
    assert_eq!(listing.event(ping.clone()), Ok((ping, false)));
}

#[test]
fn what_another_parser_could_read_does_not_pass_unfiltered() {
    let listing = listing("tickets:read", "");
    let with = |description: &[u8]| {
        let mut event = br#"data: {"id":1,"result":{"tools":[{"name":"close_ticket","description":"#.to_vec();
        event.extend_from_slice(description);
        event.extend_from_slice(b"}]}}\n\n");
        listing.event(Bytes::from(event))
    };
    let (event, answers) = with(b"\"\xff\"").expect("read with a replacement");
    assert!(answers && !String::from_utf8_lossy(&event).contains("close_ticket"));
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for description in [&br#""\ud800""#[..], b"1e999", deep.as_bytes()] {
        assert_eq!(with(description), Err(Unreadable), "{}", String::from_utf8_lossy(description));
    }
    for other in [&b"event: ping\ndata: 12:00\n\n"[..], b"id: 1\ndata:\n\n"] {
        assert_eq!(listing.event(Bytes::from_static(other)), Ok((Bytes::from_static(other), false)));
    }
    let mark_inside = format!("\u{feff}data: x\ndata: {}\n\n", answer());
    let (event, _answers) = listing.event(Bytes::from(mark_inside)).expect("readable");
    assert!(!String::from_utf8_lossy(&event).contains("close_ticket"));
}

#[test]
fn a_batch_and_nameless_tools_do_not_slip_through() {
    let listing = listing("", "");
    let mut batch = json!([answer(), {"jsonrpc": "2.0", "id": 2, "result": {"tools": [{"title": "x"}, "y", 1]}}]);
    assert!(listing.filter(&mut batch));
    assert_eq!(names(&batch[0]), ["help"]);
    assert_eq!(batch[1]["result"]["tools"], json!([]));
    assert!(!listing.filter(&mut json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -1}})));
}

#[test]
fn content_types_are_told_apart() {
    let of = |text: &'static str| kind(Some(&http::HeaderValue::from_static(text)));
    assert_eq!(of("application/json; charset=utf-8"), Content::Json);
    assert_eq!(of("Text/Event-Stream"), Content::Events);
    assert_eq!(of("text/html"), Content::Other);
    assert_eq!(kind(None), Content::Other);
}
