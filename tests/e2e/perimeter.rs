//! Only what is mapped exists, only inside a live transaction, only for listed hosts (N93, N106, N107).

use bytes::Bytes;
use dev::apps::{Answer, Call};
use harness::{Inside, Received, Sink, assert_turned_away, tells_token};
use http::{Method, Response};
use http_body_util::Full;
use serde_json::{Value, json};

/// An open transaction at planner, with an app of the test behind tickets.
struct Perimeter {
    inside: Inside,
    tickets: Sink,
}

impl Perimeter {
    async fn open() -> Self {
        let answer = |_received: &Received| {
            Response::new(Full::new(Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#)))
        };
        let tickets = Sink::answering(answer).await;
        Self { inside: Inside::open(&tickets.url()).await, tickets }
    }

    async fn through(&self, call: Call, handle: Option<&str>) -> Answer {
        let call = match handle {
            Some(handle) => call.header("countersign-handle", handle),
            None => call,
        };
        call.send_through(&self.inside.proxy()).await.expect("answered")
    }

    async fn rpc(&self, body: &Value) -> Answer {
        self.through(Call::new(Method::POST, "http://tickets.tool/mcp").json(body), Some(&self.inside.handle)).await
    }
}

fn request(method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

#[tokio::test]
async fn what_is_not_mapped_reaches_nobody() {
    let perimeter = Perimeter::open().await;
    let unmapped = [
        request("tools/call", &json!({"name": "drop_tickets"})),
        request("resources/read", &json!({"uri": "file:///etc/passwd"})),
        request("prompts/get", &json!({"name": "any"})),
        request("sampling/createMessage", &json!({})),
        request("resources/subscribe", &json!({"uri": "x"})),
        request("TOOLS/CALL", &json!({"name": "list_tickets"})),
    ];
    for body in unmapped {
        assert_turned_away(&body.to_string(), &perimeter.rpc(&body).await, 403, "call.unmapped");
    }
    let list = request("tools/call", &json!({"name": "list_tickets"}));
    for url in [
        "http://tickets.tool/",
        "http://tickets.tool/mcpx",
        "http://tickets.tool/mcp/../x",
        "http://tickets.tool/mcp/%2e%2e/x",
    ] {
        let call = Call::new(Method::POST, url).json(&list);
        assert_turned_away(url, &perimeter.through(call, Some(&perimeter.inside.handle)).await, 403, "call.unmapped");
    }
    let put = Call::new(Method::PUT, "http://tickets.tool/mcp").json(&list);
    assert_turned_away("PUT", &perimeter.through(put, Some(&perimeter.inside.handle)).await, 403, "call.unmapped");
    assert_turned_away("batch", &perimeter.rpc(&json!([list, list])).await, 400, "call.batch");
    assert_turned_away("no JSON-RPC", &perimeter.rpc(&json!({"x": 1})).await, 400, "call.malformed");
    assert_turned_away("no tool", &perimeter.rpc(&request("tools/call", &json!({}))).await, 400, "call.malformed");
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"list_tickets"}}"#;
    let call =
        Call::new(Method::POST, "http://tickets.tool/mcp").header("content-type", "application/json").body(twice);
    assert_turned_away(
        "repeated name",
        &perimeter.through(call, Some(&perimeter.inside.handle)).await,
        400,
        "call.malformed",
    );
    let disagrees = Call::new(Method::POST, "http://tickets.tool/mcp").header("mcp-method", "ping").json(&list);
    assert_turned_away(
        "header and body differ",
        &perimeter.through(disagrees, Some(&perimeter.inside.handle)).await,
        400,
        "call.malformed",
    );
    assert!(perimeter.tickets.received().is_empty(), "{:?}", perimeter.tickets.received());
    assert_eq!(perimeter.rpc(&list).await.status, 200, "the mapped tool is reached");
    assert_eq!(perimeter.tickets.received().len(), 1);
    perimeter.inside.close().await;
}

#[tokio::test]
async fn no_transaction_no_call() {
    let mut perimeter = Perimeter::open().await;
    let list = request("tools/call", &json!({"name": "list_tickets"}));
    let call = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&list);
    assert_turned_away("N93 no handle", &perimeter.through(call(), None).await, 403, "call.no_transaction");
    let invented = "A".repeat(43);
    assert_turned_away("invented", &perimeter.through(call(), Some(&invented)).await, 403, "call.no_transaction");
    let handle = perimeter.inside.handle.clone();
    let other = perimeter.inside.desk.stack.agent("tickets").expect("an agent door");
    let elsewhere = call().header("countersign-handle", &handle).send_through(&other).await.expect("answered");
    assert_turned_away("N107 another pod", &elsewhere, 403, "call.no_transaction");
    assert_eq!(perimeter.through(call(), Some(&handle)).await.status, 200, "alive while its request is open");
    perimeter.inside.end().await;
    assert_turned_away("N107 ended", &perimeter.through(call(), Some(&handle)).await, 403, "call.no_transaction");
    perimeter.inside.close().await;
}

#[tokio::test]
async fn an_unlisted_host_is_not_even_looked_up() {
    let perimeter = Perimeter::open().await;
    let evil = Sink::open().await;
    for url in [
        evil.url(),
        "http://evil.example/".into(),
        "http://researcher.agents.svc/".into(),
        "http://127.0.0.1:1/".into(),
    ] {
        let call = Call::new(Method::POST, &url).json(&json!({}));
        assert_turned_away(
            &url,
            &perimeter.through(call, Some(&perimeter.inside.handle)).await,
            403,
            "call.unlisted_host",
        );
    }
    assert!(evil.received().is_empty());
    let direct = Call::new(Method::POST, &evil.url()).json(&json!({})).send().await.expect("answered");
    assert_eq!((direct.status.as_u16(), evil.received().len()), (200, 1), "the same call sent directly arrives");
    perimeter.inside.close().await;
}

#[tokio::test]
async fn the_called_app_gets_identity_and_no_token() {
    let perimeter = Perimeter::open().await;
    let list = request("tools/call", &json!({"name": "list_tickets"}));
    let call = Call::new(Method::POST, "http://tickets.tool/mcp")
        .header("authorization", "Bearer of-the-app")
        .header("countersign-subject", "mallory")
        .json(&list);
    assert_eq!(perimeter.through(call, Some(&perimeter.inside.handle)).await.status, 200);
    let received = perimeter.tickets.received();
    let headers = &received[0].headers;
    assert!(!headers.contains_key("authorization") && !headers.contains_key("txn-token"));
    let subject = headers["countersign-subject"].to_str().expect("text");
    assert_ne!(subject, "mallory");
    assert_eq!(headers.get_all("countersign-subject").iter().count(), 1);
    assert_ne!(
        headers["countersign-handle"].to_str().expect("text"),
        perimeter.inside.handle,
        "each pod has a handle of its own"
    );
    assert!(!tells_token(&format!("{headers:?}")));
    perimeter.inside.close().await;
}
