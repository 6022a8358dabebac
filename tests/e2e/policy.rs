//! Policy alone permits: a forbid speaks with its own id, and a rule that cannot be evaluated refuses.

use dev::apps::Call;
use harness::{Desk, Inside, RESEARCHER, Sink, TICKETS, assert_refused, assert_turned_away, begin, call};
use http::Method;
use serde_json::json;

const OVERFLOW: &str = "9223372036854775807 + 1 > 0";

fn forbid(id: &str, action: &str, resource: &str, when: &str) -> (String, String) {
    let text = format!(
        r#"@id("{id}") forbid (principal, action == Action::"{action}", resource == {resource}) when {{ {when} }};"#
    );
    (format!("{id}.cedar"), text)
}

#[tokio::test]
async fn a_forbid_wins_and_names_itself() {
    let mut options = Desk::options();
    options.members.clear();
    options.policies.extend([
        forbid("no-researcher", "exchange", r#"Target::"researcher""#, r#"context.subject == User::"alice""#),
        forbid("no-writing", "exchange", r#"Target::"tickets""#, r#"context.scopes.contains("tickets:write")"#),
        forbid("never-bob", "begin", r#"TrustDomain::"corp.example""#, r#"context.subject == User::"bob""#),
    ]);
    // The subject is known by its `sub`, which is what the provider says.
    let desk = Desk::open_with(options).await;
    let txn = desk.begun().await;
    let answer = desk.ask("planner", &call(&txn, RESEARCHER, "")).await;
    assert_refused("exchange", &answer, 400, "invalid_target", "policy.no-researcher");
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:write")).await;
    assert_refused("with less it may", &answer, 400, "invalid_scope", "scope.not_permitted");
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await.status, 200);
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    let answer = desk.ask("planner", &begin(&bob, "tickets:read")).await;
    assert_refused("begin", &answer, 400, "invalid_target", "policy.never-bob");
    desk.close().await;
}

#[tokio::test]
async fn a_rule_that_fails_refuses_also_where_another_permits() {
    let mut options = Desk::options();
    options.members.clear();
    options.policies.extend([forbid("broken", "exchange", r#"Target::"tickets""#, OVERFLOW)]);
    let desk = Desk::open_with(options).await;
    let txn = desk.begun().await;
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await;
    assert_refused("exchange", &answer, 400, "invalid_target", "policy.error");
    let body = answer.json().to_string();
    assert!(!body.contains("overflow") && !body.contains("broken"), "no policy text: {body}");
    assert!(desk.stack.log_of("broker").contains("broken"), "the log names the rule");
    assert_eq!(desk.ask("planner", &call(&txn, RESEARCHER, "")).await.status, 200, "other targets are not touched");
    desk.close().await;
}

#[tokio::test]
async fn what_policy_says_reaches_the_app_with_its_code() {
    let tickets = Sink::open().await;
    let inside = Inside::open_with(&tickets.url(), |options| {
        options.policies.extend([
            forbid("not-now", "exchange", r#"Target::"tickets""#, "true"),
            forbid("broken", "exchange", r#"Target::"researcher""#, OVERFLOW),
        ]);
    })
    .await;
    let list = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/list"});
    let answer = inside.through(Call::new(Method::POST, "http://tickets.tool/mcp").json(&list)).await;
    assert_turned_away("a forbid", &answer, 403, "policy.not-now");
    assert_eq!(answer.json()["id"], 3, "a JSON-RPC error with the request's id");
    let answer = inside.through(Call::new(Method::GET, "http://researcher.agent/")).await;
    assert_turned_away("a rule that fails", &answer, 403, "policy.error");
    assert!(tickets.received().is_empty());
    inside.close().await;
}
