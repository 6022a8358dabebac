//! What has ended is refused, by the real clock and at every door (N41, N66, N84, N89, K10).

use std::time::Duration;

use dev::{
    apps::Call,
    stack::{App, StackOptions},
};
use harness::{
    Desk, RESEARCHER, Sink, TICKETS, assert_challenged, assert_refused, assert_turned_away, begin, call, claims_of,
    eventually, renew, to_researcher, to_tickets, tool,
};
use http::Method;
use runtime::clock;
use serde_json::json;

/// Waits until a token's own `exp`.
async fn ended(token: &str) {
    let end = claims_of(token)["exp"].as_u64().expect("a date");
    eventually("the token ends", || async { (clock::now().secs() >= end).then_some(()) }).await;
}

/// Transaction tokens of two seconds. Planner's access tokens for tickets live as long, all others a minute.
fn short_lives() -> StackOptions {
    let mut options = Desk::options();
    options.broker = json!({"life": {"transaction_token": "2s"}});
    let rule = options.policies.get_mut("planner-may-read-tickets.cedar").expect("the rule");
    *rule = rule.replace("permit (", "@max_life(\"2s\")\npermit (");
    options
}

#[tokio::test]
async fn an_ended_token_of_ours_is_refused() {
    let desk = Desk::open_with(short_lives()).await;
    let alice = desk.alice().await;
    // On a busy machine two seconds may pass in between; then another round gets them all.
    let minted = |answer: &dev::apps::Answer, member: &str| answer.text(&format!("/{member}"));
    let (txn, at_researcher, passed_on, at_tickets) = eventually("all tokens are had in time", || async {
        let txn = minted(&desk.ask("planner", &begin(&alice, "tickets:read")).await, "access_token")?;
        let called = desk.ask("planner", &call(&txn, RESEARCHER, "")).await;
        let tickets = minted(&desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await, "access_token")?;
        Some((txn, minted(&called, "access_token")?, minted(&called, "txn_token")?, tickets))
    })
    .await;
    ended(&txn).await;
    ended(&passed_on).await;
    ended(&at_tickets).await;
    for (case, caller, form) in [
        ("N66 owner's", "planner", renew(&txn, "tickets:read")),
        ("N66 callee's", "researcher", renew(&passed_on, "tickets:read")),
        ("N41 call", "planner", call(&txn, TICKETS, "tickets:read")),
    ] {
        assert_refused(case, &desk.ask(caller, &form).await, 400, "invalid_request", "subject.expired");
    }
    let answer = desk.to_mesh("planner", "tickets", to_tickets(&at_tickets, &tool("list_tickets"))).await;
    assert_challenged("N84", &answer, 401, "access_token.expired");
    let answer = desk.to_mesh("planner", "researcher", to_researcher(&at_researcher, &passed_on)).await;
    assert_challenged("N89", &answer, 401, "txn_token.expired");
    for app in ["tickets", "researcher"] {
        assert_eq!(desk.stack.seen(app).await.expect("counted").requests, 0, "nothing reached {app}");
    }
    desk.close().await;
}

#[tokio::test]
async fn an_ended_users_token_begins_nothing() {
    let desk = Desk::open().await;
    let token = desk.stack.sign_in_with("alice", "openid tickets:read", &[("dev_life", "2")]).await.expect("signed in");
    ended(&token).await;
    let answer = desk.ask("planner", &begin(&token, "tickets:read")).await;
    assert_refused("N41", &answer, 400, "invalid_request", "subject.expired");
    assert_eq!(desk.exchanges_at_provider().await, 0, "the provider was not asked");
    desk.close().await;
}

#[tokio::test]
async fn a_request_ends_with_its_transaction() {
    let sink = Sink::holding(|| false).await;
    let mut options = Desk::options();
    options.members.retain(|member| member.name == "planner");
    options.members[0].app = App::At(sink.url());
    for target in &mut options.targets {
        target["connect"] = json!("127.0.0.1:1");
    }
    options.broker = json!({"life": {"transaction": "2s"}});
    let desk = Desk::open_with(options).await;
    let url = format!("{}/ask", desk.stack.edge("planner").expect("an edge"));
    let call = Call::new(Method::POST, &url)
        .header("authorization", &format!("Bearer {}", desk.alice().await))
        .json(&json!({}));
    let answer = tokio::time::timeout(Duration::from_secs(10), call.send()).await.expect("in time").expect("answered");
    assert_turned_away("the app never answered", &answer, 401, "subject.transaction_ended");
    let handle = sink.received()[0].headers["countersign-handle"].to_str().expect("text").to_owned();
    let late = Call::new(Method::GET, "http://tickets.tool/mcp").header("countersign-handle", &handle);
    let answer = late.send_through(&desk.stack.agent("planner").expect("a door")).await.expect("answered");
    assert_turned_away("its handle is dead", &answer, 403, "call.no_transaction");
    desk.close().await;
}

#[tokio::test]
async fn nothing_outlives_the_users_token() {
    let desk = Desk::open().await;
    let token = desk.stack.sign_in_with("alice", "openid tickets:read", &[("dev_life", "4")]).await.expect("signed in");
    let end = claims_of(&token)["exp"].as_u64().expect("a date");
    let begun = desk.ask("planner", &begin(&token, "tickets:read")).await;
    let txn = begun.json()["access_token"].as_str().unwrap_or_else(|| panic!("K10: {}", begun.json())).to_owned();
    assert!(begun.json()["expires_in"].as_u64().expect("seconds") <= 4);
    assert_eq!(claims_of(&txn)["exp"].as_u64(), Some(end));
    let (access, passed_on) = desk.called_researcher(&txn).await;
    for minted in [access, passed_on] {
        assert!(claims_of(&minted)["exp"].as_u64().expect("a date") <= end);
    }
    ended(&token).await;
    let answer = desk.ask("planner", &renew(&txn, "tickets:read")).await;
    assert_refused("N66 N41", &answer, 400, "invalid_request", "subject.expired");
    desk.close().await;
}
