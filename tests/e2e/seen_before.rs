//! A token that was shown before is not verified again, and its transaction is not read again for a moment. Neither lets
//! anybody through: what ended, was revoked or was changed since is refused on the very next call (ADR 13).

use dev::{apps::Call, stack::StackOptions};
use harness::{Desk, Form, Program, RESEARCHER, TICKETS, assert_refused, call, claims_of, eventually, renew};
use http::Method;
use runtime::clock;
use serde_json::json;

const INVALID: &str = "invalid_request";
const SCOPE: &str = "tickets:read";

/// What the owner of `txn` may ask with it.
fn uses(txn: &str) -> [Form; 3] {
    [call(txn, TICKETS, SCOPE), call(txn, RESEARCHER, ""), renew(txn, SCOPE)]
}

/// Shows `txn` so often that whatever is remembered of it is remembered.
async fn show(desk: &Desk, txn: &str) {
    for form in uses(txn).iter().chain(&uses(txn)) {
        let answer = desk.ask("planner", form).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
}

async fn assert_all_refused(desk: &Desk, txn: &str, refusal: &str) {
    for form in uses(txn) {
        assert_refused(refusal, &desk.ask("planner", &form).await, 400, INVALID, refusal);
    }
}

#[tokio::test]
async fn a_token_of_a_revoked_transaction_is_refused_though_it_was_seen() {
    let desk = Desk::open().await;
    let (txn, other) = (desk.begun().await, desk.begun().await);
    show(&desk, &txn).await;
    show(&desk, &other).await;
    let revoke = Call::new(Method::POST, "https://broker.agents.svc/revoke").form(&[("token", &txn)]);
    assert_eq!(desk.to_broker("planner", revoke).await.status, 200);
    assert_all_refused(&desk, &txn, "subject.revoked").await;
    show(&desk, &other).await;
    desk.close().await;
}

#[tokio::test]
async fn a_token_of_a_session_that_ended_is_refused_though_it_was_seen() {
    let desk = Desk::open().await;
    let user = desk.alice().await;
    let begun = desk.ask("planner", &harness::begin(&user, SCOPE)).await;
    let txn = begun.text("/access_token").expect("a token");
    show(&desk, &txn).await;
    desk.tell_provider("sign-out", &json!({"sid": claims_of(&user)["sid"]})).await;
    assert_all_refused(&desk, &txn, "subject.session_ended").await;
    desk.close().await;
}

#[tokio::test]
async fn a_token_that_ended_is_refused_though_it_was_seen() {
    let mut options = StackOptions { members: Vec::new(), ..Desk::options() };
    options.broker = json!({"life": {"transaction_token": "2s"}});
    let desk = Desk::open_with(options).await;
    // On a busy machine two seconds may pass before it was shown; then another one is.
    let txn = eventually("a token is shown in time", || async {
        let txn = desk.begun().await;
        let answer = desk.ask("planner", &call(&txn, TICKETS, SCOPE)).await;
        (answer.status == 200).then_some(txn)
    })
    .await;
    let end = claims_of(&txn)["exp"].as_u64().expect("a date");
    eventually("the token ends", || async { (clock::now().secs() >= end).then_some(()) }).await;
    assert_all_refused(&desk, &txn, "subject.expired").await;
    desk.close().await;
}

#[tokio::test]
async fn a_token_whose_key_was_revoked_is_refused_though_it_was_seen() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    show(&desk, &txn).await;
    let config = desk.stack.folder().join("broker.yaml").display().to_string();
    let kid = harness::header_of(&txn)["kid"].as_str().expect("a name").to_owned();
    let told = Program::new("countersign").arguments(["keys", "revoke", &kid, "--config", &config]).run().await;
    assert_eq!(told.code, Some(0));
    assert_all_refused(&desk, &txn, "subject.key_unknown").await;
    desk.close().await;
}
