//! Keycloak tells the broker that a session is over (OpenID Connect Back-Channel Logout 1.0), and what had begun in it
//! ends there and then.

use dev::apps::Call;
use harness::{Desk, Form, TICKETS, assert_refused, begin, call, claims_of, renew};
use http::Method;

/// A sign-in as the login client keeps it: with the token that ends it.
async fn sign_in(desk: &Desk) -> (String, String) {
    let url = format!("{}/protocol/openid-connect/token", desk.stack.issuer());
    let form = [
        ("grant_type", "password"),
        ("client_id", "test-login"),
        ("client_secret", ::peers::development::TEST_LOGIN_SECRET),
        ("username", "alice"),
        ("password", ::peers::development::ALICE_PASSWORD),
        ("scope", "openid tickets:read tickets:write"),
    ];
    let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
    let token = |member: &str| answer.text(member).unwrap_or_else(|| panic!("{}", answer.json()));
    (token("/access_token"), token("/refresh_token"))
}

/// Alice signs out at the login client.
async fn sign_out(desk: &Desk, refresh_token: &str) {
    let url = format!("{}/protocol/openid-connect/logout", desk.stack.issuer());
    let form = [
        ("client_id", "test-login"),
        ("client_secret", ::peers::development::TEST_LOGIN_SECRET),
        ("refresh_token", refresh_token),
    ];
    let answer = Call::new(Method::POST, &url).form(&form).send().await.expect("answered");
    assert!(answer.status.is_success(), "{} {}", answer.status, answer.json());
}

async fn begun(desk: &Desk, user_token: &str) -> String {
    let answer = desk.ask("planner", &begin(user_token, "tickets:read tickets:write")).await;
    answer.text("/access_token").unwrap_or_else(|| panic!("{}", answer.json()))
}

#[tokio::test]
async fn what_began_before_a_sign_out_gets_nothing_more_and_keycloak_is_not_asked() {
    let desk = Desk::open_real().await;
    let ((first, refresh), (second, _)) = (sign_in(&desk).await, sign_in(&desk).await);
    let (ended, other) = (begun(&desk, &first).await, begun(&desk, &second).await);
    assert_ne!(claims_of(&first)["sid"], claims_of(&second)["sid"], "two sessions");
    let before = desk.stack.exchanges_at_provider().await.expect("told");
    sign_out(&desk, &refresh).await;
    let refused = async |what: &str, form: &Form| {
        assert_refused(what, &desk.ask("planner", form).await, 400, "invalid_request", "subject.session_ended");
    };
    refused("a target not asked before", &call(&ended, TICKETS, "tickets:read")).await;
    refused("a renewal", &renew(&ended, "tickets:read")).await;
    refused("a new transaction", &begin(&first, "tickets:read")).await;
    assert_eq!(desk.stack.exchanges_at_provider().await.expect("told"), before, "Keycloak was not asked");
    let going_on = desk.ask("planner", &call(&other, TICKETS, "tickets:read")).await;
    assert_eq!(going_on.status, 200, "the other session: {}", going_on.json());
    desk.close().await;
}

#[tokio::test]
async fn an_administrator_who_ends_a_session_ends_what_began_in_it() {
    let desk = Desk::open_real().await;
    let (token, _) = sign_in(&desk).await;
    let begun = begun(&desk, &token).await;
    desk.stack.admin().expect("Keycloak").log_out("alice").await.expect("ended");
    let refused = desk.ask("planner", &call(&begun, TICKETS, "tickets:read")).await;
    assert_refused("by an administrator", &refused, 400, "invalid_request", "subject.session_ended");
    desk.close().await;
}
