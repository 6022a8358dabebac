//! Keycloak is the live authority over users: whose session is over, or who is disabled, begins nothing.

use dev::real::realm::LOGIN_CLIENTS;
use harness::{Desk, assert_refused, begin, claims_of};
use http::Method;

const BOTH: &str = "tickets:read tickets:write";

#[tokio::test]
async fn a_session_that_was_logged_out_is_refused_and_another_one_goes_on() {
    let desk = Desk::open_real().await;
    let (first, second) = (desk.alice().await, desk.alice().await);
    let admin = desk.stack.admin().expect("Keycloak");
    // Nobody tells the broker: what it knows, Keycloak says to its exchange.
    admin.set_logout_url(&LOGIN_CLIENTS, "http://127.0.0.1:9/").await.expect("set");
    let sid = claims_of(&first)["sid"].as_str().expect("a session").to_owned();
    admin.call(Method::DELETE, &format!("sessions/{sid}"), None).await.expect("ended");
    let refused = desk.ask("planner", &begin(&first, BOTH)).await;
    assert_refused("logged out", &refused, 400, "invalid_request", "subject.session_ended");
    assert_eq!(desk.ask("planner", &begin(&second, BOTH)).await.status, 200, "the other session lives");
    desk.close().await;
}

#[tokio::test]
async fn a_disabled_user_is_refused() {
    let desk = Desk::open_real().await;
    let token = desk.alice().await;
    desk.stack.admin().expect("Keycloak").set_enabled("alice", false).await.expect("disabled");
    let refused = desk.ask("planner", &begin(&token, BOTH)).await;
    assert_refused("disabled", &refused, 400, "invalid_request", "subject.session_ended");
    desk.close().await;
}
