//! Two realms of one Keycloak are two authorities.

use harness::{Desk, assert_refused, begin};

const BOTH: &str = "tickets:read tickets:write";

#[tokio::test]
async fn a_token_of_another_realm_is_refused() {
    let desk = Desk::open_real().await;
    let other = Desk::open_real().await;
    let token = other.alice().await;
    let refused = desk.ask("planner", &begin(&token, BOTH)).await;
    assert_refused("another realm", &refused, 400, "invalid_request", "subject.issuer");
    other.close().await;
    desk.close().await;
}
