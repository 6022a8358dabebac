//! Who may manage clients in Keycloak can make it sign a token for anybody; here it opens nothing.

use dev::apps::Call;
use harness::{Desk, assert_refused, begin, claims_of};
use http::Method;
use serde_json::{Value, json};

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
