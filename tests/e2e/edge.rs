//! Where users enter: only their own token, for what this edge offers, and the app never sees it.

use dev::apps::Call;
use harness::{Desk, Sink, tells_token};
use http::Method;
use serde_json::json;

fn ask(desk: &Desk, path: &str) -> Call {
    Call::new(Method::POST, &format!("{}{path}", desk.stack.edge("planner").expect("an edge")))
}

/// The story with the test's own app behind planner's sidecar.
async fn behind(sink: &Sink) -> Desk {
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "planner");
    options.members[0].app = dev::stack::App::At(sink.url());
    for target in &mut options.targets {
        target["connect"] = json!("127.0.0.1:1");
    }
    Desk::open_with(options).await
}

#[tokio::test]
async fn the_app_gets_the_request_without_tokens_and_with_a_handle() {
    let sink = Sink::open().await;
    let desk = behind(&sink).await;
    let alice = desk.alice().await;
    let call = ask(&desk, "/ask?x=1")
        .header("authorization", &format!("Bearer {alice}"))
        .header("countersign-subject", "mallory")
        .header("countersign_actors", "mallory")
        .header("x-forwarded-client-cert", "By=mallory")
        .header("x-kept", "yes")
        .json(&json!({"question": "?"}));
    let answer = call.send().await.expect("answered");
    assert_eq!(answer.status, 200);
    let received = sink.received();
    let headers = &received[0].headers;
    assert_eq!(received[0].line, "POST /ask?x=1");
    assert_eq!((headers["x-kept"].as_bytes(), headers.get_all("countersign-handle").iter().count()), (&b"yes"[..], 1));
    for name in ["authorization", "txn-token", "countersign-subject", "countersign_actors", "x-forwarded-client-cert"] {
        assert!(!headers.contains_key(name), "{name}");
    }
    let everything = format!("{headers:?}{}", String::from_utf8_lossy(&received[0].body));
    assert!(!tells_token(&everything), "{everything}");
    desk.close().await;
}

#[tokio::test]
async fn who_may_not_enter_does_not_reach_the_app() {
    let sink = Sink::open().await;
    let desk = behind(&sink).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let without = [
        ("none", None),
        ("empty", Some("Bearer ")),
        ("no value", Some("bearer")),
        ("another scheme", Some("Basic YTpi")),
    ];
    for (case, authorization) in without {
        let call =
            authorization.into_iter().fold(ask(&desk, "/ask"), |call, value| call.header("authorization", value));
        let answer = call.json(&json!({})).send().await.expect("answered");
        assert_eq!((answer.status.as_u16(), answer.refusal().as_deref()), (401, Some("subject.missing")), "{case}");
        let challenge = answer.header("www-authenticate");
        assert!(challenge.contains("resource_metadata=\"") && !challenge.contains("error="), "{case}: {challenge}");
        assert!(answer.json()["message"].as_str().is_some_and(|text| text.contains("sign in")), "{}", answer.json());
    }
    let nothing_here = desk.stack.sign_in("alice", "openid").await.expect("signed in");
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    let out = desk.alice().await;
    desk.tell_provider("sign-out", &json!({"sid": harness::claims_of(&out)["sid"]})).await;
    let rows = [
        ("no scope for this edge", nothing_here, 403, "scope.none_for_edge"),
        ("bob", bob, 403, "policy.no_rule"),
        ("signed out", out, 401, "subject.session_ended"),
        ("nonsense", "nonsense".to_owned(), 401, "subject.malformed"),
    ];
    for (case, token, status, refusal) in rows {
        let answer = ask(&desk, "/ask")
            .header("authorization", &bearer(&token))
            .json(&json!({}))
            .send()
            .await
            .expect("answered");
        let body = answer.json();
        assert_eq!((answer.status.as_u16(), body["refusal"].as_str()), (status, Some(refusal)), "{case}: {body}");
        for member in ["error", "message", "request_id", "help"] {
            assert!(body[member].is_string(), "{case}: {member} in {body}");
        }
    }
    let alice = desk.alice().await;
    let twice = ask(&desk, "/ask")
        .header("authorization", &bearer(&alice))
        .header("authorization", &bearer(&alice))
        .json(&json!({}));
    let answer = twice.send().await.expect("answered");
    assert_eq!((answer.status.as_u16(), answer.refusal().as_deref()), (400, Some("call.credential_headers")));
    assert!(sink.received().is_empty(), "{:?}", sink.received());
    desk.close().await;
}

#[tokio::test]
async fn metadata_names_the_authority() {
    let sink = Sink::open().await;
    let desk = behind(&sink).await;
    let url = format!("{}/.well-known/oauth-protected-resource", desk.stack.edge("planner").expect("an edge"));
    let answer = Call::new(Method::GET, &url).send().await.expect("answered");
    assert_eq!(answer.json()["authorization_servers"], json!([desk.stack.issuer()]));
    assert!(sink.received().is_empty());
    desk.close().await;
}
