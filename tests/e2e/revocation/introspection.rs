//! What is told about a token, and to whom (RFC 7662; N74–N76).

use harness::{Desk, TICKETS, assert_refused, call, claims_of};
use serde_json::{Value, json};

use super::*;

async fn introspect(desk: &Desk, caller: &str, token: &str) -> Value {
    let answer = post(desk, caller, "introspect", &[("token", token)]).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.json()
}

/// N75: this, and not one member more.
fn inactive() -> Value {
    json!({"active": false})
}

#[tokio::test]
async fn whom_a_token_concerns_is_told_what_it_says() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let (access, handed) = desk.called_researcher(&txn).await;
    for (case, token, callers, kind) in [
        ("an access token", &access, vec!["planner", "researcher", "security"], "Bearer"),
        ("an owner's transaction token", &txn, vec!["planner", "security"], "N_A"),
        ("a callee's", &handed, vec!["planner", "researcher", "security"], "N_A"),
    ] {
        let claims = claims_of(token);
        let client = claims.get("client_id").unwrap_or(&claims["req_wl"]);
        for caller in callers {
            let told = introspect(&desk, caller, token).await;
            assert_eq!(
                (&told["active"], &told["token_type"]),
                (&json!(true), &json!(kind)),
                "{case}, {caller}: {told}"
            );
            assert_eq!(told["client_id"], *client, "{case}, {caller}");
            for name in ["sub", "aud", "iss", "exp", "iat", "jti", "txn", "act"] {
                assert_eq!(told[name], claims[name], "{case}, {caller}: {name}");
            }
            assert_eq!(told["scope"], claims.get("scope").cloned().unwrap_or_else(|| json!("")), "{case}, {caller}");
        }
    }
    let lines: Vec<_> = desk.stack.records().into_iter().filter(|line| line["op"] == "introspect").collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line["req"] == SECURITY), "only by policy: {lines:?}");
    assert!(lines.iter().all(|line| line["rule"] == json!(["security-may-administer"])), "{lines:?}");
    desk.close().await;
}

#[tokio::test]
async fn whoever_else_asks_learns_as_much_as_of_no_token() {
    let desk = desk().await;
    let txn = desk.begun().await;
    let (access, handed) = desk.called_researcher(&txn).await;
    let to_tickets = desk.ask("planner", &call(&txn, TICKETS, SCOPE)).await.text("/access_token").expect("issued");
    let forged = format!("{}x", &txn[..txn.len() - 1]);
    let user = desk.alice().await;
    for (case, caller, token) in [
        ("a stranger", "stranger", access.as_str()),
        ("a stranger, a transaction token", "stranger", &txn),
        ("the callee, its caller's token", "researcher", &txn),
        ("another target", "researcher", &to_tickets),
        ("a target that has no part in it", "tickets", &handed),
        ("rubbish", "security", "rubbish"),
        ("a broken signature", "security", &forged),
        ("a token of the provider", "security", &user),
    ] {
        assert_eq!(introspect(&desk, caller, token).await, inactive(), "{case}");
    }
    desk.close().await;
}

#[tokio::test]
async fn what_was_revoked_is_not_active() {
    let desk = desk().await;
    let (txn, other) = (desk.begun().await, desk.begun().await);
    let (access, handed) = desk.called_researcher(&txn).await;
    let (second, with_it) = desk.called_researcher(&other).await;
    assert_done("a transaction", &revoke(&desk, "planner", &txn).await);
    assert_done("a token", &revoke(&desk, "planner", &second).await);
    for (case, token) in [
        ("the transaction's token", &txn),
        ("its access token", &access),
        ("its callee's", &handed),
        ("the access token", &second),
        ("handed over with it", &with_it),
    ] {
        assert_eq!(introspect(&desk, "planner", token).await, inactive(), "{case}");
    }
    assert_eq!(introspect(&desk, "planner", &other).await["active"], true);
    desk.close().await;
}

/// N76 at this endpoint; N74 stands with `/revoke`, which is behind the same door.
#[tokio::test]
async fn without_a_token_it_is_a_mistake() {
    let desk = desk().await;
    let answer = post(&desk, "planner", "introspect", &[]).await;
    assert_refused("N76", &answer, 400, INVALID, "request.missing_parameter");
    let get = desk.to_broker("planner", Call::new(Method::GET, "https://broker.agents.svc/introspect")).await;
    assert_refused("GET", &get, 405, INVALID, "request.method");
    desk.close().await;
}
