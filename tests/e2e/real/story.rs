//! The story on real peers, with the broker's SVID as its only credential at Keycloak.

use std::fs;

use dev::{
    apps::Call,
    stack::{BROKER, Stack},
};
use harness::{Desk, assert_turned_away, claims_of, tells_token};
use http::Method;
use serde_json::{Value, json};

/// What `user` gets who asks planner for the tickets.
async fn ask(stack: &Stack, user: &str, scope: &str) -> dev::apps::Answer {
    let token = stack.sign_in(user, scope).await.expect("signed in");
    Call::new(Method::POST, &format!("{}/ask", stack.edge("planner").expect("an edge")))
        .header("authorization", &format!("Bearer {token}"))
        .json(&json!({"question": "Which of my tickets are open?"}))
        .send()
        .await
        .expect("answered")
}

#[tokio::test]
async fn the_story_runs_on_keycloak_and_spire() {
    let desk = Desk::open_real_story().await;
    let answer = ask(&desk.stack, "alice", "openid tickets:read tickets:write").await;
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{text}\n{}", desk.stack.log_of(BROKER));
    assert!(!tells_token(&text), "{text}");
    let records = desk.stack.records();
    let granted: Vec<_> = records.iter().filter(|record| record["dec"] == "allow").collect();
    assert_eq!(granted.len(), 4, "begin, researcher, tickets without and with scope: {records:?}");
    assert!(granted.iter().all(|record| record["sub"] == granted[0]["sub"]), "for one subject: {records:?}");
    assert_eq!(desk.stack.exchanges_at_provider().await.expect("told"), 1, "Keycloak was asked once");
    for app in ["planner", "researcher", "tickets"] {
        let seen = desk.stack.seen(app).await.expect("told");
        assert!(seen.requests > 0 && seen.tokens == 0, "{app}: {seen:?}");
        let identity = desk.stack.identity_of_app(app).await.expect("told");
        assert!(identity.contains("PermissionDenied"), "{app} has an identity of SPIRE: {identity}");
    }
    desk.close().await;
}

#[tokio::test]
async fn bob_is_refused_by_policy_and_not_for_want_of_a_role() {
    let desk = Desk::open_real_story().await;
    let answer = ask(&desk.stack, "bob", "openid tickets:read").await;
    assert_turned_away("bob", &answer, 403, "policy.no_rule");
    assert_eq!(desk.stack.seen("planner").await.expect("told").requests, 0, "nothing reached the agent");
    desk.close().await;
}

#[tokio::test]
async fn an_svid_is_the_only_credential_of_the_broker() {
    let desk = Desk::open_real().await;
    let admin = desk.stack.admin().expect("Keycloak");
    let found = admin.call(Method::GET, "clients?clientId=txn-broker", None).await.expect("found").json();
    assert_eq!(found[0]["clientAuthenticatorType"], "federated-jwt");
    let secret = found[0]["secret"].as_str().unwrap_or("none");
    let url = format!("{}/protocol/openid-connect/token", desk.stack.issuer());
    let form = [("grant_type", "client_credentials"), ("client_id", "txn-broker"), ("client_secret", secret)];
    let by_secret = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
    assert_eq!(by_secret.status, 401, "the secret that Keycloak generates opens nothing");
    let file = fs::read_to_string(desk.stack.folder().join("broker.yaml")).expect("the configuration");
    let environment = fs::read_to_string(format!("/proc/{}/environ", desk.stack.pid(BROKER).expect("running")));
    for place in [file, environment.expect("readable as its owner or root")] {
        assert!(!place.contains("secret") && !place.to_lowercase().contains("password"), "{place}");
    }
    let alice = admin.user_id("alice").await.expect("alice");
    assert_eq!(claims_of(&desk.begun().await)["sub"], Value::String(alice), "and that is enough");
    desk.close().await;
}
