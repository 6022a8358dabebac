//! Bob may have the scope, says Keycloak; he may not use it here, says Cedar.

use harness::{Desk, assert_turned_away, claims_of};

#[tokio::test]
async fn bob_is_refused_by_policy_and_not_for_want_of_a_role() {
    let desk = Desk::open_real_story().await;
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    assert_eq!(
        claims_of(&bob)["scope"].as_str().map(|scope| scope.contains("tickets:read")),
        Some(true),
        "he has the role"
    );
    let answer = desk.ask_planner(&bob).await;
    assert_turned_away("bob", &answer, 403, "policy.no_rule");
    assert_eq!(desk.stack.seen("planner").await.expect("told").requests, 0, "nothing reached the agent");
    desk.close().await;
}
