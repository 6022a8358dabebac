//! What is issued never outlives the token that it began with, whatever Keycloak grants for it.

use harness::{Desk, begin, claims_of};
use http::Method;
use serde_json::json;

const BOTH: &str = "tickets:read tickets:write";

/// K10: Keycloak answers an exchange of such a token with its usual life.
#[tokio::test]
async fn a_token_with_two_seconds_to_live_is_not_outlived() {
    let desk = Desk::open_real().await;
    let admin = desk.stack.admin().expect("Keycloak");
    let realm = json!({"accessTokenLifespan": 2});
    admin.call(Method::PUT, "", Some(&realm)).await.expect("shortened");
    let token = desk.alice().await;
    let ends = claims_of(&token)["exp"].as_u64().expect("a time");
    let answer = desk.ask("planner", &begin(&token, BOTH)).await;
    let begun = answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()));
    assert!(claims_of(&begun)["exp"].as_u64().expect("a time") <= ends, "{} after {ends}", claims_of(&begun));
    desk.close().await;
}
