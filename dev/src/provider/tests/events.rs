//! The event logs, as Keycloak 26.7.3 was seen to keep and show them (`keycloak.md` §7.3).

use super::*;

const CREDENTIALS: [(&str, &str); 3] = [
    ("grant_type", "client_credentials"),
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"),
    ("client_id", "txn-broker"),
];

impl Stand {
    async fn service_token(&self) -> String {
        let svid = self.svid(&json!({}));
        let form = [CREDENTIALS.as_slice(), &[("client_assertion", &svid)]].concat();
        let answer = self.post(TOKEN, &form).await;
        answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    }

    async fn read(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        let path = format!("/admin/realms/agents/{path}");
        self.send(Method::GET, &path, &[(header::AUTHORIZATION, &bearer)], String::new()).await
    }

    async fn told(&self, token: &str, path: &str) -> Vec<Value> {
        let answer = self.read(token, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json().as_array().expect("a list").clone()
    }
}

#[tokio::test]
async fn a_sign_out_and_what_an_administrator_did_stand_in_the_logs() {
    let stand = Stand::start().await;
    let token = stand.service_token().await;
    let sid = part(&stand.user_token("alice", "").await, 1)["sid"].clone();
    stand.dev("sign-out", json!({ "sid": sid })).await;
    stand.dev("disable", json!({ "user": "alice" })).await;
    stand.dev("remove-role", json!({ "user": "alice", "role": "tickets-reader" })).await;
    stand.dev("log-out-everybody", json!({})).await;
    let out = stand.told(&token, "events?type=LOGOUT&type=REVOKE_GRANT&direction=asc&max=10").await;
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!((&out[0]["userId"], &out[0]["sessionId"]), (&json!("alice"), &sid));
    let changes = stand.told(&token, "admin-events?resourceTypes=USER&resourceTypes=REALM&direction=asc").await;
    let paths: Vec<_> = changes.iter().map(|change| change["resourcePath"].as_str().expect("text")).collect();
    assert_eq!(paths, ["users/alice", "logout-all"]);
    let latest = stand.told(&token, "events?type=CLIENT_LOGIN&client=txn-broker&max=1").await;
    assert_eq!(latest[0]["clientId"], "txn-broker");
    assert_eq!(latest[0]["details"]["token_id"], part(&token, 1)["jti"]);
    let later = latest[0]["time"].as_u64().expect("a time") + 3_600_000;
    assert_eq!(stand.told(&token, &format!("events?dateFrom={later}")).await, [Value::Null; 0]);
    assert_eq!(stand.read(&token, "events/config").await.json()["eventsEnabled"], true);
}

#[tokio::test]
async fn nobody_but_the_exchange_client_itself_reads_them() {
    let stand = Stand::start().await;
    let user = stand.user_token("alice", "").await;
    for path in ["events", "admin-events", "events/config"] {
        assert_eq!(stand.read(&user, path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(stand.read("x", path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    let token = stand.service_token().await;
    stand.dev("events", json!({ "readable": false, "stored": true })).await;
    assert_eq!(stand.read(&token, "events").await.status, StatusCode::FORBIDDEN, "without its role");
}
