//! The broker's SVID is its only credential at Keycloak.

use std::fs;

use dev::{apps::Call, stack::BROKER};
use harness::{Desk, claims_of};
use http::Method;
use serde_json::Value;

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
