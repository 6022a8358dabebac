//! A credential is sent to nobody who has not proved who he is, and a peer that refuses fresh tokens is asked once more
//! and no third time (N96, N98).

use std::collections::BTreeSet;

use bytes::Bytes;
use dev::{apps::Call, stack::StackOptions};
use harness::{Desk, Inside, Received, Sink, assert_turned_away, tool};
use http::{Method, Response};
use http_body_util::Full;
use runtime::{mtls::Acceptor, serve::Listener};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

fn workload(name: &str) -> String {
    format!("spiffe://corp.example/ns/tools/sa/{name}")
}

/// Targets of MCP that listen where the test does, each of which planner may call.
fn add_targets(options: &mut StackOptions, targets: &[(&str, String, Value)]) {
    for (name, connect, mapping) in targets {
        let mut target = json!({"name": name, "resource": format!("https://{name}.svc/mcp"), "hosts": [format!("{name}.tool")],
            "workload": workload(name), "connect": connect});
        if mapping.is_object() {
            target["mcp"] = mapping.clone();
        }
        options.targets.push(target);
        let rule = format!(
            r#"@id("planner-{name}") permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner",
                action == Action::"exchange", resource == Target::"{name}");"#
        );
        options.policies.insert(format!("planner-{name}.cedar"), rule);
    }
}

/// Answers as a sidecar that refuses every access token.
fn refuses_tokens(_received: &Received) -> Response<Full<Bytes>> {
    let response = Response::builder().status(401).header("countersign-refusal", "access_token.expired");
    response.body(Full::new(Bytes::from_static(b"{}"))).expect("a response")
}

/// Answers as a tool that wants a log-in of its own.
fn wants_more(_received: &Received) -> Response<Full<Bytes>> {
    Response::builder().status(401).body(Full::new(Bytes::from_static(b"the tool's own"))).expect("a response")
}

fn message(name: &str) -> Call {
    Call::new(Method::POST, &format!("http://{name}.tool/mcp")).json(&tool("list_tickets"))
}

#[tokio::test]
async fn who_is_somebody_else_gets_no_credential() {
    let listener = Listener::bind("127.0.0.1:0").await.expect("a port");
    let tools = json!({"tools": {"list_tickets": "tickets:read"}});
    let targets = [("other", listener.address().to_string(), tools.clone()), ("gone", "127.0.0.1:1".into(), tools)];
    let tickets = Sink::open().await;
    let inside = Inside::open_with(&tickets.url(), |options| add_targets(options, &targets)).await;
    let door = Sink::over_mtls(listener, inside.desk.workload("stranger"), wants_more);
    let answer = inside.through(message("other")).await;
    assert_turned_away("N98 target", &answer, 502, "peer.wrong_identity");
    assert!(door.received().is_empty(), "{:?}", door.received());
    let answer = inside.through(message("gone")).await;
    assert_turned_away("nobody there", &answer, 503, "peer.unreachable");
    inside.close().await;
}

#[tokio::test]
async fn a_broker_that_is_somebody_else_gets_no_users_token() {
    let sink = Sink::open().await;
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "planner");
    options.members[0].app = dev::stack::App::At(sink.url());
    for target in &mut options.targets {
        target["connect"] = json!("127.0.0.1:1");
    }
    let mut desk = Desk::open_with(options).await;
    let alice = desk.alice().await;
    desk.stack.halt("broker").await;
    let listener = Listener::bind(desk.stack.broker_token_address()).await.expect("the broker's address");
    let impostor = Sink::over_mtls(listener, desk.workload("stranger"), wants_more);
    let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let call = Call::new(Method::POST, &url).header("authorization", &format!("Bearer {alice}")).json(&json!({}));
    let answer = call.send().await.expect("answered");
    assert_turned_away("N98 broker", &answer, 502, "peer.wrong_identity");
    assert!(impostor.received().is_empty() && sink.received().is_empty());
    desk.close().await;
}

#[tokio::test]
async fn a_peer_that_refuses_fresh_tokens_is_asked_twice() {
    let (refusing, streaming, own) = (bound().await, bound().await, bound().await);
    let tools = json!({"tools": {"list_tickets": "tickets:read"}});
    let targets = [
        ("refusing", refusing.address().to_string(), tools.clone()),
        ("streaming", streaming.address().to_string(), Value::Null),
        ("own", own.address().to_string(), tools),
    ];
    let tickets = Sink::open().await;
    let mut inside = Inside::open_with(&tickets.url(), |options| add_targets(options, &targets)).await;
    for name in ["refusing", "streaming", "own"] {
        inside.desk.add_caller(name, &workload(name)).await;
    }
    let refusing = Sink::over_mtls(refusing, inside.desk.workload("refusing"), refuses_tokens);
    let streaming = Sink::over_mtls(streaming, inside.desk.workload("streaming"), refuses_tokens);
    let own = Sink::over_mtls(own, inside.desk.workload("own"), wants_more);

    assert_turned_away("held body", &inside.through(message("refusing")).await, 502, "peer.refused_token");
    let tokens: BTreeSet<_> =
        refusing.received().iter().map(|one| one.headers["authorization"].clone().as_bytes().to_vec()).collect();
    assert_eq!((refusing.received().len(), tokens.len()), (2, 2), "once more, with a token of its own");
    let bodies: BTreeSet<_> = refusing.received().iter().map(|one| one.body.clone()).collect();
    assert_eq!(bodies.len(), 1, "the same call");

    let get = Call::new(Method::GET, "http://streaming.tool/mcp/x");
    assert_turned_away("no body", &inside.through(get).await, 502, "peer.refused_token");
    assert_eq!(streaming.received().len(), 2);
    let post = Call::new(Method::POST, "http://streaming.tool/mcp/x").body("a body that has gone by");
    assert_turned_away("streamed body", &inside.through(post).await, 502, "peer.refused_token");
    assert_eq!(streaming.received().len(), 3, "what has gone by cannot be sent again");

    let answer = inside.through(message("own")).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (401, &b"the tool's own"[..]), "passes unchanged");
    assert_eq!(own.received().len(), 1);
    inside.close().await;
}

async fn bound() -> Listener {
    Listener::bind("127.0.0.1:0").await.expect("a port")
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_not_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let tools = json!({"tools": {"list_tickets": "tickets:read"}});
    let tickets = Sink::open().await;
    let mut inside =
        Inside::open_with(&tickets.url(), |options| add_targets(options, &[("mumbling", address, tools)])).await;
    inside.desk.add_caller("mumbling", &workload("mumbling")).await;
    let acceptor = Acceptor::new(inside.desk.workload("mumbling"));
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while let Ok((tcp, _from)) = listener.accept().await {
            let (mut tls, _peer) = acceptor.accept(tcp).await.expect("a handshake");
            let heard = tls.read(&mut [0; 1024]).await.expect("a request");
            assert!(heard > 0, "a request comes first");
            tls.write_all(b"mumble mumble\r\n\r\n").await.expect("written");
        }
    });
    assert_turned_away("no HTTP", &inside.through(message("mumbling")).await, 502, "peer.answer");
    inside.close().await;
}

#[tokio::test]
async fn a_listing_too_long_to_be_filtered_is_not_passed_on() {
    const HELD_MAX: usize = 1024 * 1024;
    let padded = |length: usize| {
        let start = r#"{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"close_ticket","description":""#;
        let end = r#""},{"name":"list_tickets"}]}}"#;
        format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
    };
    let answer = move |received: &Received| {
        let longer = received.headers.contains_key("x-longer");
        let response = Response::builder().header("content-type", "application/json");
        response.body(Full::new(Bytes::from(padded(HELD_MAX + usize::from(longer))))).expect("a response")
    };
    let tickets = Sink::answering(answer).await;
    let inside = Inside::open(&tickets.url()).await;
    let list = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list"});
    let ask = || Call::new(Method::POST, "http://tickets.tool/mcp").json(&list);
    let longest = inside.through(ask()).await;
    assert_eq!(longest.status, 200, "{}", longest.json());
    let tools = longest.json()["result"]["tools"].clone();
    assert_eq!(tools, json!([{"name": "list_tickets"}]), "only what planner may ask");
    let answer = inside.through(ask().header("x-longer", "yes")).await;
    assert_turned_away("one byte more", &answer, 502, "peer.answer");
    inside.close().await;
}
