//! Agents that pass no handle on, but propagate W3C trace context: whose a call is stands beyond doubt, or it is refused
//! and nothing is sent (`platform.md` §3.4; N93, N94, N107, T21).

use bytes::Bytes;
use dev::apps::{Answer, Call};
use harness::{Crowd, Received, Sink, assert_turned_away, eventually, tells_token, tool};
use http::{Method, Response};
use http_body_util::Full;
use serde_json::{Value, json};

/// What callers outside may send.
const CALLERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Tickets, which opens the session `s1` for whoever initialises, then `s2` and so on.
async fn tickets() -> Sink {
    let count = std::sync::atomic::AtomicU32::new(0);
    let answer = move |received: &Received| {
        let opens = received.body.windows(12).any(|window| window == b"\"initialize\"");
        let mut response = Response::builder();
        if opens {
            let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
            response = response.header("mcp-session-id", format!("s{number}"));
        }
        let body = Bytes::from_static(br#"{"jsonrpc":"2.0","id":7,"result":{}}"#);
        response.header("content-type", "application/json").body(Full::new(body)).expect("an answer")
    };
    Sink::answering(answer).await
}

fn message(body: &Value) -> Call {
    Call::new(Method::POST, "http://tickets.tool/mcp").json(body)
}

fn list() -> Call {
    message(&tool("list_tickets"))
}

fn list_with_meta(traceparent: &str) -> Call {
    let mut body = tool("list_tickets");
    body["params"]["_meta"] = json!({"traceparent": traceparent});
    message(&body)
}

fn initialize() -> Call {
    message(&json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {}}))
}

fn session(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.json());
    answer.header("mcp-session-id").to_owned()
}

#[tokio::test]
async fn a_trace_alone_works_while_one_request_is_open_and_no_trace_of_ours_leaves() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let secret = [("traceparent", CALLERS), ("tracestate", "a=1"), ("baggage", "crew_context=secret")];
    let alice = crowd.enter(&secret).await;
    assert!(!CALLERS.contains(alice.trace()), "the app knows another trace than the caller");
    assert!(!alice.headers.contains_key("tracestate") && !alice.headers.contains_key("baggage"));
    let mut body = tool("list_tickets");
    body["params"]["_meta"] = json!({
        "traceparent": alice.traceparent(), "tracestate": "a=1", "baggage": "crew_context=secret", "progressToken": 1,
    });
    let call = message(&body)
        .header("traceparent", &alice.traceparent())
        .header("b3", &format!("{}-00f067aa0ba902b7-1", alice.trace()))
        .header("baggage", "crew_context=secret")
        .header("x-stainless-os", "Linux");
    assert_eq!(crowd.through(call).await.status, 200);
    let received = &tickets.received()[0];
    let text = format!("{:?} {}", received.headers, String::from_utf8_lossy(&received.body));
    for kept_back in [alice.trace(), alice.handle(), "crew_context", "x-stainless-os", "\"b3\""] {
        assert!(!text.contains(kept_back), "`{kept_back}` has left: {text}");
    }
    let inner = received.headers["traceparent"].to_str().expect("text");
    assert_ne!(inner, CALLERS, "the called app has a trace of its own pod too");
    let meta: Value = serde_json::from_slice(&received.body).expect("JSON");
    let expected = json!({"traceparent": inner, "tracestate": "", "baggage": "", "progressToken": 1});
    assert_eq!(meta["params"]["_meta"], expected, "and it stands in the message as well");
    let metrics = crowd.desk.stack.metrics("planner-sidecar").await.expect("metrics");
    assert!(metrics.contains("countersign_correlations_total{outcome=\"trace\"} 1"), "{metrics}");
    crowd.close().await;
}

#[tokio::test]
async fn with_two_requests_open_a_trace_alone_is_ambiguous() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let (one, other) = (crowd.enter(&[]).await, crowd.enter(&[]).await);
    for guest in [&one, &other] {
        let answer = crowd.through(list().header("traceparent", &guest.traceparent())).await;
        assert_turned_away("two are open", &answer, 403, "call.ambiguous");
    }
    assert!(tickets.received().is_empty(), "nothing was sent");
    let by_handle = list().header("traceparent", &one.traceparent()).header("countersign-handle", one.handle());
    assert_eq!(crowd.through(by_handle).await.status, 200, "the handle is exact");
    other.leave().await;
    assert_eq!(crowd.through(list().header("traceparent", &one.traceparent())).await.status, 200);
    crowd.close().await;
}

#[tokio::test]
async fn with_two_requests_open_a_message_that_names_its_trace_is_carried() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let (one, other) = (crowd.enter(&[]).await, crowd.enter(&[]).await);
    for guest in [&one, &other] {
        let call = list_with_meta(&guest.traceparent()).header("traceparent", &guest.traceparent());
        assert_eq!(crowd.through(call).await.status, 200);
    }
    let mixed = list_with_meta(&other.traceparent()).header("traceparent", &one.traceparent());
    assert_turned_away("head and message differ", &crowd.through(mixed).await, 403, "call.contradiction");
    let body = list_with_meta(&one.traceparent());
    assert_turned_away("only the message", &crowd.through(body).await, 403, "call.no_transaction");
    assert_eq!(tickets.received().len(), 2);
    crowd.close().await;
}

/// The Python SDK 2 sends `initialize` with `_meta`; what belongs to the session itself has none.
#[tokio::test]
async fn with_two_requests_open_a_session_can_be_opened_used_and_ended() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let (one, other) = (crowd.enter(&[]).await, crowd.enter(&[]).await);
    let mut open = json!({"jsonrpc": "2.0", "id": 7, "method": "initialize", "params": {}});
    open["params"]["_meta"] = json!({"traceparent": one.traceparent()});
    let opened = session(&crowd.through(message(&open).header("traceparent", &one.traceparent())).await);
    let within = |call: Call, trace: &str| call.header("traceparent", trace).header("mcp-session-id", &opened);
    let initialized = || message(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    let end = || Call::new(Method::DELETE, "http://tickets.tool/mcp");
    for call in [initialized(), end()] {
        let answer = crowd.through(within(call, &other.traceparent())).await;
        assert_turned_away("another's session", &answer, 403, "call.ambiguous");
    }
    assert_eq!(crowd.through(within(initialized(), &one.traceparent())).await.status, 200);
    let bare = crowd.through(within(list(), &one.traceparent())).await;
    assert_turned_away("a call in it without `_meta`", &bare, 403, "call.ambiguous");
    let named = list_with_meta(&one.traceparent());
    assert_eq!(crowd.through(within(named, &one.traceparent())).await.status, 200);
    assert_eq!(crowd.through(within(end(), &one.traceparent())).await.status, 200);
    crowd.close().await;
}

/// What three of four calls did in frameworks that open one session and share it: all bear the trace of the first.
#[tokio::test]
async fn a_session_that_requests_share_yields_refusals_and_nothing_for_the_wrong_user() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let first = crowd.enter(&[]).await;
    let trace = first.traceparent();
    let shared = session(&crowd.through(initialize().header("traceparent", &trace)).await);
    let in_shared = |trace: &str| list().header("traceparent", trace).header("mcp-session-id", &shared);
    assert_eq!(crowd.through(in_shared(&trace)).await.status, 200, "its own request");
    let second = crowd.enter(&[]).await;
    assert_turned_away("both are open", &crowd.through(in_shared(&trace)).await, 403, "call.ambiguous");
    first.leave().await;
    let late = crowd.through(in_shared(&trace)).await;
    assert_turned_away("the one that opened it is over", &late, 403, "call.trace_ended");
    let foreign = crowd.through(in_shared(&second.traceparent())).await;
    assert_turned_away("another one goes on in it", &foreign, 404, "call.session");
    assert_eq!(tickets.received().len(), 2);
    let own = session(&crowd.through(initialize().header("traceparent", &second.traceparent())).await);
    let call = list().header("traceparent", &second.traceparent()).header("mcp-session-id", &own);
    assert_eq!(crowd.through(call).await.status, 200, "with a session of its own it works");
    let by_handle = list().header("countersign-handle", second.handle()).header("mcp-session-id", &shared);
    assert_eq!(crowd.through(by_handle).await.status, 200, "by handle, the same user's session may be used");
    crowd.close().await;
}

#[tokio::test]
async fn work_that_runs_on_after_its_request_is_refused() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let (one, other) = (crowd.enter(&[]).await, crowd.enter(&[]).await);
    let (trace, gone) = (one.traceparent(), other.traceparent());
    one.leave().await;
    let late = crowd.through(list().header("traceparent", &trace)).await;
    assert_turned_away("its request was answered", &late, 403, "call.trace_ended");
    let late = crowd.through(list_with_meta(&trace).header("traceparent", &trace)).await;
    assert_turned_away("also with `_meta`", &late, 403, "call.trace_ended");
    other.hang_up();
    eventually("the sidecar knows that the user is gone", || async {
        let answer = crowd.through(list().header("traceparent", &gone)).await;
        (answer.refusal().as_deref() == Some("call.trace_ended")).then_some(())
    })
    .await;
    let sent = tickets.received().len();
    let next = crowd.enter(&[]).await;
    let unsure = crowd.through(list().header("traceparent", &next.traceparent())).await;
    assert_turned_away("the app may still be at work for who left", &unsure, 403, "call.ambiguous");
    assert_eq!(tickets.received().len(), sent);
    let named = list_with_meta(&next.traceparent()).header("traceparent", &next.traceparent());
    assert_eq!(crowd.through(named).await.status, 200);
    crowd.close().await;
}

#[tokio::test]
async fn no_trace_that_somebody_else_chose_finds_a_transaction() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let victim = crowd.enter(&[("traceparent", CALLERS)]).await;
    let learned = victim.traceparent();
    let attacker = crowd.enter(&[("traceparent", &learned)]).await;
    assert_ne!(attacker.trace(), victim.trace(), "the attacker's app is not given the victim's trace");
    let again = crowd.enter(&[("traceparent", CALLERS)]).await;
    assert_ne!(again.trace(), victim.trace(), "equal traces outside are two inside");
    let chosen = crowd.through(list().header("traceparent", CALLERS)).await;
    assert_turned_away("the caller's own", &chosen, 403, "call.no_transaction");
    let elsewhere = list().header("traceparent", &learned);
    let other = crowd.desk.stack.agent("tickets").expect("an agent door");
    let answer = elsewhere.send_through(&other).await.expect("answered");
    assert_turned_away("that of another pod", &answer, 403, "call.no_transaction");
    for malformed in ["00-1-2-01", "", &learned.to_uppercase(), &format!("{learned}-x")] {
        let answer = crowd.through(list().header("traceparent", malformed)).await;
        assert_turned_away(malformed, &answer, 403, "call.no_transaction");
    }
    assert!(tickets.received().is_empty());
    crowd.close().await;
}

#[tokio::test]
async fn handle_and_trace_of_two_requests_are_a_contradiction() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let (one, other) = (crowd.enter(&[]).await, crowd.enter(&[]).await);
    let left_over = || list().header("countersign-handle", one.handle());
    for call in [left_over().header("traceparent", &other.traceparent()), {
        list_with_meta(&other.traceparent()).header("countersign-handle", one.handle())
    }] {
        assert_turned_away("two requests", &crowd.through(call).await, 403, "call.contradiction");
    }
    let several = left_over().header("traceparent", &other.traceparent()).header("traceparent", &one.traceparent());
    assert_turned_away("two traces", &crowd.through(several).await, 403, "call.contradiction");
    let trace = other.traceparent();
    other.leave().await;
    let call = left_over().header("traceparent", &trace);
    assert_turned_away("one has ended", &crowd.through(call).await, 403, "call.contradiction");
    assert!(tickets.received().is_empty());
    assert_eq!(crowd.through(left_over().header("traceparent", CALLERS)).await.status, 200, "an unknown one is none");
    crowd.close().await;
}

#[tokio::test]
async fn each_call_is_one_line_in_the_log_and_tells_no_secret() {
    let tickets = tickets().await;
    let crowd = Crowd::open(&tickets.url()).await;
    let alice = crowd.enter(&[("traceparent", CALLERS)]).await;
    let call = |body: Value| {
        Call::new(Method::POST, "http://tickets.tool/mcp?q=hidden")
            .header("traceparent", &alice.traceparent())
            .json(&body)
    };
    assert_eq!(crowd.through(call(tool("list_tickets"))).await.status, 200);
    let refused = crowd.through(call(tool("drop_hidden"))).await;
    let (handle, trace) = (alice.handle().to_owned(), alice.trace().to_owned());
    alice.leave().await;
    let lines = |member: &str| -> Vec<Value> {
        let log = crowd.desk.stack.log_of(&format!("{member}-sidecar"));
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["target"] == "calls").collect()
    };
    let planner = eventually("three lines", || async { Some(lines("planner")).filter(|lines| lines.len() == 3) }).await;
    let of = |door: &str| planner.iter().filter(|line| line["door"] == door).cloned().collect::<Vec<_>>();
    let (out, entered) = (of("agent"), of("edge"));
    let id = |name: &str| format!("spiffe://corp.example/ns/agents/sa/{name}");
    assert_eq!((out.len(), entered.len()), (2, 1), "{planner:?}");
    for (name, value) in [
        ("level", json!("INFO")),
        ("direction", json!("out")),
        ("who", json!("spiffe://corp.example/ns/tools/sa/tickets")),
        ("actors", json!(id("planner"))),
        ("called", json!("tickets")),
        ("operation", json!("tools/call list_tickets")),
        ("scope", json!("tickets:read")),
        ("decision", json!("allowed")),
        ("status", json!(200)),
        ("found_by", json!("trace")),
    ] {
        assert_eq!(out[0][name], value, "{name} in {}", out[0]);
    }
    assert_eq!(out[1]["decision"], "call.unmapped", "{}", out[1]);
    assert_eq!(out[1]["request_id"], refused.json()["error"]["data"]["request_id"]);
    let edge = &entered[0];
    assert_eq!(
        (&edge["direction"], &edge["decision"], &edge["operation"]),
        (&json!("in"), &json!("allowed"), &json!("POST"))
    );
    assert!(edge["subject"].is_string() && edge["subject"] == out[0]["subject"], "{edge}");
    let mesh = &lines("tickets")[0];
    assert_eq!(
        (&mesh["door"], &mesh["who"], &mesh["called"]),
        (&json!("mesh"), &json!(id("planner")), &json!("tickets"))
    );
    assert!(mesh["transaction"].is_string() && mesh["transaction"] == out[0]["transaction"], "{mesh}");
    let text = format!("{planner:?} {mesh}");
    for secret in ["hidden", "/ask", "/mcp", handle.as_str(), trace.as_str(), &CALLERS[3..35]] {
        assert!(!text.contains(secret), "`{secret}` in {text}");
    }
    assert!(!tells_token(&text), "{text}");
    crowd.close().await;
}
