//! What anybody may know: keys and metadata (RFC 7517, RFC 8414). No token is to be had where they are published.

use dev::apps::Call;
use harness::{Desk, begin, tells_token};
use http::Method;
use serde_json::json;

#[tokio::test]
async fn keys_and_metadata_are_public_and_the_token_endpoint_is_not() {
    let desk = Desk::open().await;
    let public = desk.stack.broker_public().expect("a public door");
    let read = async |path: &str| Call::new(Method::GET, &format!("{public}{path}")).send().await.expect("answered");
    let metadata = read("/.well-known/oauth-authorization-server").await;
    assert_eq!(metadata.status, 200);
    let metadata = metadata.json();
    assert_eq!(metadata["issuer"], "https://broker.agents.svc");
    assert_eq!(metadata["token_endpoint"], "https://broker.agents.svc/token");
    assert_eq!(metadata["jwks_uri"], "https://broker.agents.svc/jwks");
    assert_eq!(metadata["grant_types_supported"], json!(["urn:ietf:params:oauth:grant-type:token-exchange"]));
    assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["spiffe_x509"]));
    let keys = read("/jwks").await;
    assert_eq!(keys.status, 200);
    for key in keys.json()["keys"].as_array().expect("keys") {
        assert!(key["d"].is_null() && key["kid"].is_string() && key["alg"] == "ES256", "a public key: {key}");
    }
    assert!(keys.json()["keys"].as_array().is_some_and(|keys| !keys.is_empty()));
    let form = begin(&desk.alice().await, "tickets:read");
    let answer =
        Call::new(Method::POST, &format!("{public}/token")).form(&form.pairs()).send().await.expect("answered");
    assert_eq!(answer.status, 404, "{}", answer.json());
    assert!(!tells_token(&String::from_utf8_lossy(&answer.body)));
    let inside = desk.to_broker("stranger", Call::new(Method::GET, "https://broker.agents.svc/jwks")).await;
    assert_eq!(inside.json(), keys.json(), "the same keys for workloads");
    desk.close().await;
}
