//! Keycloak is the live authority over users: who is gone, may less, or never was one, is refused at begin.

use dev::{apps::Call, stack::Stack};
use harness::{Desk, assert_refused, begin, claims_of};
use http::Method;
use serde_json::{Value, json};

const BOTH: &str = "tickets:read tickets:write";

async fn alice(stack: &Stack) -> String {
    stack.sign_in("alice", "openid tickets:read tickets:write").await.expect("signed in")
}

#[tokio::test]
async fn a_session_that_was_logged_out_is_refused_and_another_one_goes_on() {
    let desk = Desk::open_real().await;
    let (first, second) = (alice(&desk.stack).await, alice(&desk.stack).await);
    let sid = claims_of(&first)["sid"].as_str().expect("a session").to_owned();
    let admin = desk.stack.admin().expect("Keycloak");
    admin.call(Method::DELETE, &format!("sessions/{sid}"), None).await.expect("ended");
    let refused = desk.ask("planner", &begin(&first, BOTH)).await;
    assert_refused("logged out", &refused, 400, "invalid_request", "subject.session_ended");
    assert_eq!(desk.ask("planner", &begin(&second, BOTH)).await.status, 200, "the other session lives");
    desk.close().await;
}

#[tokio::test]
async fn a_disabled_user_is_refused() {
    let desk = Desk::open_real().await;
    let token = alice(&desk.stack).await;
    desk.stack.admin().expect("Keycloak").set_enabled("alice", false).await.expect("disabled");
    let refused = desk.ask("planner", &begin(&token, BOTH)).await;
    assert_refused("disabled", &refused, 400, "invalid_request", "subject.session_ended");
    desk.close().await;
}

/// K8: Keycloak drops the scope without a word.
#[tokio::test]
async fn a_role_that_was_taken_since_sign_in_is_missed() {
    let desk = Desk::open_real().await;
    let token = alice(&desk.stack).await;
    let admin = desk.stack.admin().expect("Keycloak");
    admin.remove_role("alice", "tickets-writer").await.expect("removed");
    let refused = desk.ask("planner", &begin(&token, BOTH)).await;
    assert_refused("role removed", &refused, 400, "invalid_scope", "scope.withdrawn");
    assert_eq!(desk.ask("planner", &begin(&token, "tickets:read")).await.status, 200, "the other role is still hers");
    desk.close().await;
}

/// K9 (`keycloak.md` §8.3): whoever may manage clients can have Keycloak sign a token with alice's `sub`.
#[tokio::test]
async fn a_user_forged_by_manage_clients_is_refused_before_keycloak_is_asked() {
    let desk = Desk::open_real().await;
    let admin = desk.stack.admin().expect("Keycloak");
    let alice = admin.user_id("alice").await.expect("alice");
    let hardcoded = |claim: &str, value: &str| {
        json!({
            "name": claim, "protocol": "openid-connect", "protocolMapper": "oidc-hardcoded-claim-mapper",
            "config": {"claim.name": claim, "claim.value": value, "jsonType.label": "String", "access.token.claim": "true"},
        })
    };
    let cases = [
        ("without a session", vec![hardcoded("sub", &alice)], "subject.no_session"),
        ("with a session", vec![hardcoded("sub", &alice), hardcoded("sid", "1")], "edge.login_client"),
    ];
    for (case, mappers, code) in cases {
        let forger = json!({
            "clientId": code, "secret": "s", "publicClient": false, "serviceAccountsEnabled": true,
            "defaultClientScopes": ["basic", "to-broker"], "optionalClientScopes": ["tickets:read"],
            "protocolMappers": mappers,
        });
        admin.call(Method::POST, "clients", Some(&forger)).await.expect("made");
        let url = format!("{}/protocol/openid-connect/token", desk.stack.issuer());
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", code),
            ("client_secret", "s"),
            ("scope", "tickets:read"),
        ];
        let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
        let token = answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()));
        assert_eq!(claims_of(&token)["sub"], Value::String(alice.clone()), "{case}: Keycloak did sign it");
        let refused = desk.ask("planner", &begin(&token, "tickets:read")).await;
        assert_refused(case, &refused, 400, "invalid_request", code);
    }
    assert_eq!(desk.stack.exchanges_at_provider().await.expect("told"), 0, "Keycloak was not asked");
    desk.close().await;
}

/// K10: Keycloak answers an exchange of such a token with its usual life.
#[tokio::test]
async fn a_token_with_two_seconds_to_live_is_not_outlived() {
    let desk = Desk::open_real().await;
    let admin = desk.stack.admin().expect("Keycloak");
    let realm = json!({"accessTokenLifespan": 2});
    admin.call(Method::PUT, "", Some(&realm)).await.expect("shortened");
    let token = alice(&desk.stack).await;
    let ends = claims_of(&token)["exp"].as_u64().expect("a time");
    let answer = desk.ask("planner", &begin(&token, BOTH)).await;
    let begun = answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()));
    assert!(claims_of(&begun)["exp"].as_u64().expect("a time") <= ends, "{} after {ends}", claims_of(&begun));
    desk.close().await;
}

#[tokio::test]
async fn a_token_of_another_realm_is_refused() {
    let desk = Desk::open_real().await;
    let other = Desk::open_real().await;
    let token = alice(&other.stack).await;
    let refused = desk.ask("planner", &begin(&token, BOTH)).await;
    assert_refused("another realm", &refused, 400, "invalid_request", "subject.issuer");
    other.close().await;
    desk.close().await;
}
