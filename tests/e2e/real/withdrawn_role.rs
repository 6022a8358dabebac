//! A role that was taken from a user since the sign-in takes the scope with it.

use harness::{Desk, assert_refused, begin};

const BOTH: &str = "tickets:read tickets:write";

/// K8: Keycloak drops the scope without a word.
#[tokio::test]
async fn a_role_that_was_taken_since_sign_in_is_missed() {
    let desk = Desk::open_real().await;
    let token = desk.alice().await;
    let admin = desk.stack.admin().expect("Keycloak");
    admin.remove_role("alice", "tickets-writer").await.expect("removed");
    let refused = desk.ask("planner", &begin(&token, BOTH)).await;
    assert_refused("role removed", &refused, 400, "invalid_scope", "scope.withdrawn");
    assert_eq!(desk.ask("planner", &begin(&token, "tickets:read")).await.status, 200, "the other role is still hers");
    desk.close().await;
}
