//! Even under the broker's own key, a token whose claims are not exactly right opens no mesh door (N84, N88, N89, N104).
//! The broker's key cannot be borrowed, so a broker of the test's own tells the sidecars a key that the test signs by.

use dev::apps::Answer;
use harness::{Desk, OwnBroker, RESEARCHER, TICKETS, assert_challenged, eventually, to_researcher, to_tickets, tool};
use runtime::clock;
use serde_json::{Value, json};

const ISSUER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const RESEARCHER_ID: &str = "spiffe://corp.example/ns/agents/sa/researcher";

/// A2: researcher's access token for tickets.
fn for_tickets() -> Value {
    let now = clock::now().secs();
    json!({"iss": ISSUER, "aud": TICKETS, "iat": now, "exp": now + 60, "jti": "a-2", "txn": "txn-1", "sub": "alice",
        "scope": "tickets:read", "client_id": RESEARCHER_ID, "act": {"sub": RESEARCHER_ID, "act": {"sub": PLANNER}}})
}

/// A1 and T2: planner's access token for researcher, and what researcher may use next.
fn for_researcher() -> (Value, Value) {
    let now = clock::now().secs();
    let common =
        json!({"iss": ISSUER, "iat": now, "exp": now + 60, "txn": "txn-1", "sub": "alice", "act": {"sub": PLANNER}});
    let (mut access, mut txn) = (common.clone(), common);
    for (name, value) in [("aud", RESEARCHER), ("jti", "a-1"), ("client_id", PLANNER), ("tjti", "t-2")] {
        access[name] = json!(value);
    }
    for (name, value) in [
        ("aud", "corp.example"),
        ("jti", "t-2"),
        ("req_wl", PLANNER),
        ("callee", RESEARCHER_ID),
        ("scope", "tickets:read"),
    ] {
        txn[name] = json!(value);
    }
    (access, txn)
}

/// With `name` set to `value`; `null` takes it away.
fn with(claims: &Value, name: &str, value: &Value) -> Value {
    let mut changed = claims.clone();
    changed[name] = value.clone();
    if value.is_null() {
        changed.as_object_mut().expect("claims").remove(name);
    }
    changed
}

/// Whether the sidecar that answered has not yet heard of the test's key.
fn deaf(answer: &Answer) -> bool {
    answer.refusal().as_deref() == Some("access_token.key_unknown")
}

#[tokio::test]
async fn one_wrong_claim_of_an_access_token_opens_no_door() {
    let mut desk = Desk::open_story().await;
    let broker = OwnBroker::replace(&mut desk).await;
    let good = for_tickets();
    let call = async |claims: &Value| {
        let token = broker.token("at+jwt", claims);
        desk.to_mesh("researcher", "tickets", to_tickets(&token, &tool("list_tickets"))).await
    };
    let heard = || async { Some(call(&good).await).filter(|answer| !deaf(answer)) };
    let answer = eventually("the sidecar hears the test's broker", heard).await;
    assert_ne!(answer.status, 401, "the good token is accepted: {}", answer.json());
    let before = desk.stack.seen("tickets").await.expect("counted").requests;
    let now = clock::now().secs();
    let rows = [
        ("iss", json!("https://other.example"), "access_token.issuer"),
        ("iss", Value::Null, "access_token.issuer"),
        ("aud", json!([TICKETS]), "access_token.audience"),
        ("aud", json!("https://tickets.tools.svc"), "access_token.audience"),
        ("exp", json!(now), "access_token.expired"),
        ("exp", json!((now + 60).to_string()), "access_token.claim"),
        ("iat", json!(now + 3600), "access_token.not_yet_valid"),
        ("nbf", json!(now + 3600), "access_token.not_yet_valid"),
        ("iat", Value::Null, "access_token.claim"),
        ("sub", Value::Null, "access_token.claim"),
        ("txn", json!(""), "access_token.claim"),
        ("jti", json!(7), "access_token.claim"),
        ("scope", json!(["tickets:read"]), "access_token.claim"),
        ("cnf", json!({"x5t#S256": "x"}), "access_token.claim"),
        ("client_id", json!("researcher"), "access_token.claim"),
        ("client_id", json!(PLANNER), "access_token.not_bound"),
        ("act", Value::Null, "access_token.actors"),
        ("act", json!("researcher"), "access_token.actors"),
        ("act", json!({"sub": PLANNER}), "access_token.actors"),
        ("act", json!({"sub": RESEARCHER_ID, "act": {"sub": RESEARCHER_ID}}), "access_token.actors"),
        ("tjti", json!("t-2"), "txn_token.missing"),
    ];
    for (name, value, refusal) in rows {
        let case = format!("{name}: {value}");
        assert_challenged(&case, &call(&with(&good, name, &value)).await, 401, refusal);
    }
    assert_eq!(desk.stack.seen("tickets").await.expect("counted").requests, before, "nothing reached the app");
    desk.close().await;
}

#[tokio::test]
async fn one_wrong_claim_of_a_transaction_token_opens_no_door() {
    let mut desk = Desk::open_story().await;
    let broker = OwnBroker::replace(&mut desk).await;
    let (access, good) = for_researcher();
    let access = broker.token("at+jwt", &access);
    let call = async |claims: &Value| {
        let txn = broker.token("txntoken+jwt", claims);
        desk.to_mesh("planner", "researcher", to_researcher(&access, &txn)).await
    };
    let heard = || async { Some(call(&good).await).filter(|answer| !deaf(answer)) };
    let answer = eventually("the sidecar hears the test's broker", heard).await;
    assert_ne!(answer.status, 401, "the good token is accepted: {}", answer.json());
    let before = desk.stack.seen("researcher").await.expect("counted").requests;
    let now = clock::now().secs();
    let rows = [
        ("iss", json!("https://other.example"), "txn_token.issuer"),
        ("N89 aud", json!("other.example"), "txn_token.audience"),
        ("aud", json!(["corp.example"]), "txn_token.audience"),
        ("N89 exp", json!(now), "txn_token.expired"),
        ("iat", json!(now + 3600), "txn_token.not_yet_valid"),
        ("scope", Value::Null, "txn_token.claim"),
        ("req_wl", json!("planner"), "txn_token.claim"),
        ("callee", json!(7), "txn_token.claim"),
        ("act", json!([]), "txn_token.actors"),
        ("act", Value::Null, "txn_token.actors"),
        ("N89 callee", json!(PLANNER), "txn_token.mismatch"),
        ("N89 callee", Value::Null, "txn_token.mismatch"),
        ("N89 req_wl", json!(RESEARCHER_ID), "txn_token.mismatch"),
        ("N89 txn", json!("txn-2"), "txn_token.mismatch"),
        ("N89 sub", json!("bob"), "txn_token.mismatch"),
        ("N89 act", json!({"sub": PLANNER, "act": {"sub": "spiffe://corp.example/first"}}), "txn_token.mismatch"),
        ("N104 jti", json!("t-3"), "txn_token.mismatch"),
    ];
    for (case, value, refusal) in rows {
        let name = case.split(' ').next_back().expect("a claim");
        assert_challenged(&format!("{case}: {value}"), &call(&with(&good, name, &value)).await, 401, refusal);
    }
    assert_eq!(desk.stack.seen("researcher").await.expect("counted").requests, before, "nothing reached the app");
    desk.close().await;
}
