//! Nothing gets past a door by being said in another way: a second copy of a token, another spelling of a header or a
//! path, a method that only the app would see, a proxy's word from somebody who is none.

use bytes::Bytes;
use dev::{apps::Call, stack::App};
use harness::{Desk, Received, Sink, tells_token};
use http::{Method, Response};
use http_body_util::Full;
use serde_json::json;

const API: &str = "https://tickets.tools.svc/api";

/// The test's app behind planner's edge.
async fn edge(sink: &Sink) -> Desk {
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "planner");
    options.members[0].app = App::At(sink.url());
    for target in &mut options.targets {
        target["connect"] = json!("127.0.0.1:1");
    }
    Desk::open_with(options).await
}

/// The test's app behind the mesh door of tickets, which has routes, and a token of researcher for reading there.
async fn routes(sink: &Sink) -> (Desk, String) {
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "tickets");
    options.members[0].app = App::At(sink.url());
    options.targets[0]["connect"] = json!("127.0.0.1:1");
    let tickets = options.targets[1].as_object_mut().expect("an object");
    tickets.remove("mcp");
    tickets.insert("resource".to_owned(), json!(API));
    tickets.insert(
        "routes".to_owned(),
        json!([
            {"methods": ["GET"], "path": "/tickets/closed", "scope": "tickets:write"},
            {"methods": ["GET", "POST"], "path": "/tickets/*", "scope": "tickets:read"},
        ]),
    );
    let desk = Desk::open_with(options).await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let form = harness::call(&for_researcher, API, "tickets:read");
    let access = desk.ask("researcher", &form).await.json()["access_token"].as_str().expect("a token").to_owned();
    (desk, access)
}

#[tokio::test]
async fn a_users_token_does_not_reach_the_app_by_a_side_way() {
    let sink = Sink::open().await;
    let desk = edge(&sink).await;
    let alice = desk.alice().await;
    let edge = desk.stack.edge("planner").expect("an edge");
    let ask = |path: &str| {
        Call::new(Method::POST, &format!("{edge}{path}"))
            .header("authorization", &format!("Bearer {alice}"))
            .json(&json!({}))
    };
    let twice = [
        ("query", ask(&format!("/ask?access_token={alice}"))),
        ("cookie", ask("/ask").header("cookie", &format!("a=1; token={alice}"))),
        ("header", ask("/ask").header("x-id-token", &alice)),
    ];
    for (case, call) in twice {
        let answer = call.send().await.expect("answered");
        let outcome = (answer.status.as_u16(), answer.refusal());
        assert_eq!(outcome, (400, Some("call.credential_headers".to_owned())), "{case}");
    }
    assert!(sink.received().is_empty(), "{:?}", sink.received());
    let by_proxy = ask("/ask").header("x-forwarded-access-token", &alice).header("x-auth-request-access-token", "t");
    assert_eq!(by_proxy.send().await.expect("answered").status, 200, "a proxy that signs users in may stand before");
    let head = format!("{:?}", sink.received());
    assert!(!tells_token(&head) && !head.contains("access-token"), "{head}");
    desk.close().await;
}

#[tokio::test]
async fn a_trace_and_a_protocol_change_are_refused() {
    let change = |_received: &Received| {
        Response::builder().status(101).header("upgrade", "x").body(Full::<Bytes>::default()).expect("an answer")
    };
    let sink = Sink::answering(change).await;
    let desk = edge(&sink).await;
    let bearer = format!("Bearer {}", desk.alice().await);
    let edge = desk.stack.edge("planner").expect("an edge");
    let ask = |method| Call::new(method, &format!("{edge}/ask")).header("authorization", &bearer);
    let answer = ask(Method::TRACE).send().await.expect("answered");
    assert_eq!((answer.status.as_u16(), answer.refusal().as_deref()), (403, Some("call.method")));
    assert!(sink.received().is_empty(), "{:?}", sink.received());
    let answer = ask(Method::GET).send().await.expect("answered");
    assert_eq!((answer.status.as_u16(), answer.refusal().as_deref()), (502, Some("peer.answer")));
    desk.close().await;
}

#[tokio::test]
async fn an_app_reads_no_other_method_or_path_than_was_checked() {
    let sink = Sink::open().await;
    let (desk, access) = routes(&sink).await;
    let call = |method: Method, path: &str| {
        Call::new(method, &format!("{API}{path}")).header("authorization", &format!("Bearer {access}"))
    };
    let post = |path: &str| call(Method::POST, path);
    let rows = [
        (post("/tickets/7").header("x-http-method-override", "DELETE"), 400, "call.malformed"),
        (post("/tickets/7").header("X_HTTP_Method", "DELETE"), 400, "call.malformed"),
        (post("/tickets/7").header("x-original-url", "/api/tickets/closed"), 400, "call.malformed"),
        (post("/tickets/7?_method=DELETE"), 400, "call.malformed"),
        (call(Method::GET, "/tickets/closed"), 403, "scope.insufficient"),
        (call(Method::GET, "/tickets/%63losed"), 403, "call.unmapped"),
        (call(Method::GET, "/tickets/closed/"), 403, "call.unmapped"),
        (call(Method::GET, "/tickets/Closed"), 403, "call.unmapped"),
    ];
    for (number, (call, status, refusal)) in rows.into_iter().enumerate() {
        let answer = desk.to_mesh("researcher", "tickets", call).await;
        assert_eq!((answer.status.as_u16(), answer.refusal().as_deref()), (status, Some(refusal)), "row {number}");
    }
    assert!(sink.received().is_empty(), "{:?}", sink.received());
    assert_eq!(desk.to_mesh("researcher", "tickets", call(Method::GET, "/tickets/caf%C3%A9?q=1")).await.status, 200);
    assert_eq!(sink.received()[0].line, "GET /api/tickets/caf%C3%A9?q=1");
    desk.close().await;
}

#[tokio::test]
async fn a_calling_app_cannot_speak_as_proxy_or_sidecar() {
    let sink = Sink::open().await;
    let (desk, access) = routes(&sink).await;
    let claims = [
        "countersign.subject",
        "Countersign|Actors",
        "x-forwarded-for",
        "X_Forwarded_User",
        "x-forwarded-proto",
        "x-real-ip",
        "forwarded",
    ];
    let call = Call::new(Method::GET, &format!("{API}/tickets/7")).header("authorization", &format!("Bearer {access}"));
    let call = claims.iter().fold(call, |call, name| call.header(*name, "mallory"));
    assert_eq!(desk.to_mesh("researcher", "tickets", call).await.status, 200);
    let received = sink.received();
    assert!(!format!("{:?}", received[0].headers).contains("mallory"), "{:?}", received[0].headers);
    assert_eq!(received[0].headers["x-forwarded-host"], "tickets.tools.svc");
    desk.close().await;
}
