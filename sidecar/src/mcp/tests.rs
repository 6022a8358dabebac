//! What a message asks for, and what could be read in two ways.

use serde_json::json;

use super::*;

fn read_plain(body: &str) -> Result<Message, McpFault> {
    read(body.as_bytes(), &HeaderMap::new())
}

fn asked(method: &str, params: &Value) -> Result<Ask, Refusal> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    read_plain(&body.to_string()).map(|message| message.ask).map_err(|fault| fault.refusal)
}

fn refusal(body: &str) -> Option<Refusal> {
    read_plain(body).err().map(|fault| fault.refusal)
}

#[test]
fn operations_that_need_a_scope_are_told_with_their_name() {
    assert_eq!(asked("tools/call", &json!({"name": "list_tickets"})), Ok(Ask::Tool("list_tickets".into())));
    assert_eq!(asked("resources/read", &json!({"uri": "ticket://1"})), Ok(Ask::Resource("ticket://1".into())));
    assert_eq!(asked("prompts/get", &json!({"name": "summary"})), Ok(Ask::Prompt("summary".into())));
}

#[test]
fn methods_without_scope_are_known() {
    assert_eq!(asked("initialize", &json!({})), Ok(Ask::Initialize));
    assert_eq!(asked("tools/list", &json!({})), Ok(Ask::ListTools));
    for (method, name) in [
        ("ping", "ping"),
        ("notifications/cancelled", "notifications"),
        ("notifications/initialized", "notifications"),
        ("resources/list", "list"),
        ("resources/templates/list", "list"),
        ("prompts/list", "list"),
        ("server/discover", "server/discover"),
        ("logging/setLevel", "logging/setLevel"),
    ] {
        assert_eq!(asked(method, &json!({})), Ok(Ask::Free(name)), "{method}");
    }
    let opened = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert_eq!(read_plain(opened).map(|message| message.ask), Ok(Ask::Initialized));
    let answer = r#"{"jsonrpc":"2.0","id":"a","result":{"name":"x"}}"#;
    assert_eq!(read_plain(answer).map(|message| message.ask), Ok(Ask::Free("response")));
}

#[test]
fn every_other_method_is_unmapped() {
    for method in ["resources/subscribe", "completion/complete", "tools/Call", "TOOLS/CALL", "", "tools", "ping "] {
        assert_eq!(asked(method, &json!({"name": "x"})), Err(Refusal::CallUnmapped), "{method}");
    }
}

#[test]
fn a_batch_is_refused() {
    assert_eq!(refusal("[]"), Some(Refusal::CallBatch));
    assert_eq!(refusal(r#" [{"jsonrpc":"2.0","id":1,"method":"ping"}]"#), Some(Refusal::CallBatch));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","paramſ":{"name":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"NAME":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","x":{"y":1,"y":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["a"]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":["ping"]}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        "null",
        "",
    ] {
        assert_eq!(refusal(body), Some(Refusal::CallMalformed), "{body}");
    }
}

#[test]
fn a_body_nested_too_deep_is_refused() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(20), "}".repeat(20));
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"x","arguments":{deep}}}}}"#);
    assert_eq!(refusal(&body), Some(Refusal::CallMalformed));
}

#[test]
fn ids_are_kept_for_the_answer() {
    for (id, kept) in [("7", json!(7)), (r#""seven""#, json!("seven")), ("null", Value::Null)] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tasks/get"}}"#);
        let fault = read_plain(&body).expect_err("unmapped");
        assert_eq!(fault.rpc.id, kept);
    }
    let notification = read_plain(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).expect("a message");
    assert_eq!(notification.rpc.id, Value::Null);
}

#[test]
fn headers_that_differ_from_the_body_are_refused() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"close_ticket"}}"#;
    let with = |headers: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        read(body.as_bytes(), &map)
    };
    assert!(with(&[("mcp-method", "tools/call"), ("mcp-name", "close_ticket")]).is_ok());
    assert!(with(&[("mcp-name", "=?base64?Y2xvc2VfdGlja2V0?=")]).is_ok());
    for headers in [
        &[("mcp-method", "tools/list")][..],
        &[("mcp-name", "list_tickets")],
        &[("mcp-name", "=?base64?bGlzdF90aWNrZXRz?=")],
        &[("mcp-name", "=?base64?!?=")],
        &[("mcp-name", "close_ticket"), ("mcp-name", "list_tickets")],
    ] {
        let fault = with(headers).expect_err("differs");
        assert_eq!(fault.rpc.code, HEADER_MISMATCH, "{headers:?}");
    }
}

const CALLERS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OURS: &str = "00-11111111111111111111111111111111-2222222222222222-01";

#[test]
fn the_trace_of_a_message_is_told() {
    let told = |params: &Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": params});
        read_plain(&body.to_string()).map(|message| message.traceparent)
    };
    assert_eq!(told(&json!({"_meta": {"traceparent": CALLERS}})), Ok(Some(CALLERS.to_owned())));
    let null = json!({"_meta": {"traceparent": null}});
    for params in [json!({}), json!({"_meta": {}}), json!({"_meta": 1}), json!([]), null] {
        assert_eq!(told(&params), Ok(None), "{params}");
    }
}

/// OpenTelemetry's reader for Python takes the first of a list; other readers do not look at the case of names.
#[test]
fn a_trace_that_only_another_reader_would_find_is_refused() {
    for params in [
        json!({"_meta": {"traceparent": [CALLERS]}}),
        json!({"_meta": {"traceparent": 1}}),
        json!({"_meta": {"Traceparent": CALLERS}}),
        json!({"_META": {"traceparent": CALLERS}}),
        json!({"_meta": {"traceparent": CALLERS, "TraceParent": CALLERS}}),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": params});
        let fault = read_plain(&body.to_string()).expect_err("two readings");
        assert_eq!(fault.refusal, Refusal::CallMalformed, "{params}");
    }
}

#[test]
fn the_trace_of_a_message_can_be_replaced_and_nothing_else_is() {
    let body = |traceparent: &str| {
        let params = format!(r#"{{"_meta":{{"traceparent": "{traceparent}","other":"{CALLERS} "}}}}"#);
        Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":1.50,"method":"ping","params":{params}}}"#))
    };
    assert_eq!(retraced(body(CALLERS), OURS), Ok(body(OURS)));
}

/// What a caller writes into an argument must not come back as the trace by which the app's calls are found.
#[test]
fn a_caller_cannot_have_our_trace_written_elsewhere() {
    for written in ["", CALLERS, "x"] {
        let body = |traceparent: &str| {
            let params = json!({
                "name": "comment", "arguments": {"text": written, "_meta": {"traceparent": written}},
                "_meta": {"traceparent": traceparent},
            });
            Bytes::from(json!({"jsonrpc": "2.0", "id": written, "method": "tools/call", "params": params}).to_string())
        };
        assert_eq!(retraced(body(written), OURS), Ok(body(OURS)), "{written:?}");
    }
}

#[test]
fn a_trace_that_is_written_with_escapes_is_replaced_too() {
    let escaped = CALLERS.replacen('0', "\\u0030", 1);
    let body = |name: &str, traceparent: &str| {
        let params = format!(r#"{{"_meta":{{"{name}":"{traceparent}"}},"decoy":"{CALLERS}"}}"#);
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#)
    };
    for name in ["traceparent", "trace\\u0070arent"] {
        let written = body(name, &escaped);
        assert_eq!(read_plain(&written).map(|message| message.traceparent), Ok(Some(CALLERS.to_owned())));
        assert_eq!(retraced(Bytes::from(written), OURS), Ok(Bytes::from(body(name, OURS))), "{name}");
    }
}
