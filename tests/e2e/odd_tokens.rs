//! A token that is odd in form, key or signature is refused by the name of what is odd, at every door that takes one:
//! before a claim of it is read (N40, N42, N43, N58, N61, N84, N89). For users' tokens see `subject`.

use std::time::Duration;

use dev::{identity::Lives, stack::StackOptions};
use harness::{
    Desk, RESEARCHER, assert_challenged, assert_refused, begin, call, claims_of, eventually, odd_forms, to_researcher,
    to_tickets, tool,
};
use runtime::clock;
use serde_json::json;

const ISSUER: &str = "https://broker.agents.svc";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

#[tokio::test]
async fn an_odd_actor_token_proves_nobody() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let with =
        |token: &str, kind: &str| call(&txn, RESEARCHER, "").add("actor_token", token).add("actor_token_type", kind);
    let own = desk.jwt_svid("planner", ISSUER).await;
    let refusals = [
        "actor.too_long",
        "actor.malformed",
        "actor.repeated_name",
        "actor.forbidden_header",
        "actor.algorithm",
        "actor.type",
        "actor.key_unknown",
        "actor.signature",
    ];
    for (token, refusal) in odd_forms(&own).iter().zip(refusals) {
        let answer = desk.ask("planner", &with(token, JWT)).await;
        assert_refused("N61", &answer, 400, "invalid_request", refusal);
    }
    let answer = desk.ask("planner", &with(&own, "urn:ietf:params:oauth:token-type:access_token")).await;
    assert_refused("N61 another kind", &answer, 400, "invalid_request", "actor.type");
    let short = Lives::new(Duration::from_secs(300), Duration::from_secs(2)).expect("lives");
    desk.stack.registrar().expect("embedded").set_lives(short).await.expect("set");
    let old = desk.jwt_svid("researcher", ISSUER).await;
    let end = claims_of(&old)["exp"].as_u64().expect("a date");
    eventually("the SVID ends", || async { (clock::now().secs() >= end).then_some(()) }).await;
    let answer = desk.ask("planner", &with(&old, JWT)).await;
    assert_refused("N61 expired", &answer, 400, "invalid_request", "actor.expired");
    desk.close().await;
}

#[tokio::test]
async fn an_identity_of_another_trust_domain_proves_nobody() {
    let options = StackOptions {
        members: Vec::new(),
        targets: Vec::new(),
        edges: Vec::new(),
        broker: json!({"trust_domain": "other.example"}),
        ..Desk::options()
    };
    let desk = Desk::open_with(options).await;
    let svid = desk.jwt_svid("planner", ISSUER).await;
    let form = begin("nonsense", "tickets:read").set("audience", "other.example");
    let form = form.add("actor_token", &svid).add("actor_token_type", JWT);
    assert_refused("sub", &desk.ask("planner", &form).await, 400, "invalid_request", "actor.claim");
    desk.close().await;
}

#[tokio::test]
async fn an_odd_access_token_opens_no_mesh_door() {
    let desk = Desk::open_story().await;
    let (_access, for_researcher) = desk.called_researcher(&desk.begun().await).await;
    let good = desk.called_tickets(&for_researcher, "tickets:read").await;
    let refusals = [
        "access_token.too_long",
        "access_token.malformed",
        "access_token.repeated_name",
        "access_token.forbidden_header",
        "access_token.algorithm",
        "access_token.type",
        "access_token.key_unknown",
        "access_token.signature",
    ];
    for (token, refusal) in odd_forms(&good).iter().zip(refusals) {
        let answer = desk.to_mesh("researcher", "tickets", to_tickets(token, &tool("list_tickets"))).await;
        assert_challenged("N84", &answer, 401, refusal);
    }
    assert_eq!(desk.stack.seen("tickets").await.expect("counted").requests, 0, "nothing reached the app");
    desk.close().await;
}

#[tokio::test]
async fn an_odd_transaction_token_opens_no_mesh_door() {
    let desk = Desk::open_story().await;
    let (access, good) = desk.called_researcher(&desk.begun().await).await;
    let refusals = [
        "txn_token.too_long",
        "txn_token.malformed",
        "txn_token.repeated_name",
        "txn_token.forbidden_header",
        "txn_token.algorithm",
        "txn_token.type",
        "txn_token.key_unknown",
        "txn_token.signature",
    ];
    for (token, refusal) in odd_forms(&good).iter().zip(refusals) {
        let answer = desk.to_mesh("planner", "researcher", to_researcher(&access, token)).await;
        assert_challenged("N89", &answer, 401, refusal);
    }
    assert_eq!(desk.stack.seen("researcher").await.expect("counted").requests, 0, "nothing reached the app");
    desk.close().await;
}
