//! Who may use what, and how a chain grows (N61–N64, N104).

use dev::stack::StackOptions;
use harness::{Desk, assert_refused, call, claims_of, renew};
use serde_json::{Value, json};

const RESEARCHER: &str = "https://researcher.agents.svc";
const TICKETS: &str = "https://tickets.tools.svc/mcp";

fn minted(answer: &dev::apps::Answer, member: &str) -> String {
    answer.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", answer.json())).to_owned()
}

#[tokio::test]
async fn authority_is_used_by_its_callee_alone() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (_access, for_researcher) = desk.called_researcher(&txn).await;
    let rows = [
        ("N104 T2 by planner", "planner", call(&for_researcher, TICKETS, "tickets:read")),
        ("N104 T2 renewed by planner", "planner", renew(&for_researcher, "tickets:read")),
        ("N64 T1 by researcher", "researcher", call(&txn, TICKETS, "tickets:read")),
        ("N64 T1 by a stranger", "stranger", call(&txn, RESEARCHER, "")),
        ("N64 T2 by tickets", "tickets", call(&for_researcher, TICKETS, "tickets:read")),
    ];
    for (case, caller, form) in rows {
        assert_refused(case, &desk.ask(caller, &form).await, 400, "invalid_request", "chain.not_callee");
    }
    desk.close().await;
}

#[tokio::test]
async fn the_chain_says_who_acts_and_the_transaction_stays_one() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (access, for_researcher) = desk.called_researcher(&txn).await;
    let at_tickets = desk.called_tickets(&for_researcher, "tickets:read").await;
    let (planner, researcher) =
        ("spiffe://corp.example/ns/agents/sa/planner", "spiffe://corp.example/ns/agents/sa/researcher");
    let all: Vec<Value> = [&txn, &access, &for_researcher, &at_tickets].map(|token| claims_of(token)).into();
    for claims in &all {
        assert_eq!((&claims["txn"], &claims["sub"]), (&all[0]["txn"], &all[0]["sub"]));
    }
    assert_eq!(all[0]["act"], json!({"sub": planner}));
    assert_eq!(all[1]["act"], json!({"sub": planner}));
    assert_eq!(
        (&all[2]["act"], &all[2]["callee"], &all[2]["scope"]),
        (&json!({"sub": planner}), &json!(researcher), &json!("tickets:read"))
    );
    assert_eq!(all[1]["tjti"], all[2]["jti"]);
    assert_eq!(all[3]["act"], json!({"sub": researcher, "act": {"sub": planner}}));
    assert_eq!((&all[3]["aud"], &all[3]["client_id"]), (&json!(TICKETS), &json!(researcher)));
    assert_eq!(all[3]["scope"], "tickets:read");
    desk.close().await;
}

#[tokio::test]
async fn an_actor_token_proves_the_caller_or_nothing() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let with = |token: &str| {
        call(&txn, RESEARCHER, "")
            .add("actor_token", token)
            .add("actor_token_type", "urn:ietf:params:oauth:token-type:jwt")
    };
    let issuer = "https://broker.agents.svc";
    let rows = [
        ("N61 nonsense", "nonsense".to_owned(), "actor.malformed"),
        ("N61 another workload", desk.jwt_svid("researcher", issuer).await, "actor.mismatch"),
        ("N61 another audience", desk.jwt_svid("planner", "https://other.svc").await, "actor.audience"),
        ("N61 a user", desk.alice().await, "actor.key_unknown"),
    ];
    for (case, token, refusal) in rows {
        assert_refused(case, &desk.ask("planner", &with(&token)).await, 400, "invalid_request", refusal);
    }
    let own = desk.jwt_svid("planner", issuer).await;
    assert_eq!(desk.ask("planner", &with(&own)).await.status, 200, "the caller's own SVID is accepted");
    desk.close().await;
}

/// Workloads w0 (the edge) to w9, each a target that passes on and may call every other.
fn long_chain() -> StackOptions {
    let mut options = StackOptions { members: Vec::new(), ..Desk::options() };
    let id = |n: usize| format!("spiffe://corp.example/w{n}");
    options.edges = vec![json!({"workload": id(0), "login_clients": ["console"], "scopes": ["tickets:read"]})];
    options.targets = (0..10)
        .map(|n| {
            json!({"name": format!("w{n}"), "resource": format!("https://w{n}.svc"), "hosts": [format!("w{n}.agent")],
            "workload": id(n), "passes_on": ["tickets:read"]})
        })
        .collect();
    let begin = format!(
        r#"@id("begin") permit (principal == Workload::"{}", action == Action::"begin", resource == TrustDomain::"corp.example");"#,
        id(0)
    );
    options.policies = [("begin.cedar".to_owned(), begin)].into();
    for from in 0..10 {
        for to in 0..10 {
            let rule = format!(
                r#"@id("from-{from}-to-{to}") permit (principal == Workload::"{}", action == Action::"exchange", resource == Target::"w{to}");"#,
                id(from)
            );
            options.policies.insert(format!("from-{from}-to-{to}.cedar"), rule);
        }
    }
    options
}

#[tokio::test]
async fn a_chain_neither_loops_nor_exceeds_eight() {
    let mut desk = Desk::open_with(long_chain()).await;
    for n in 0..10 {
        desk.add_caller(&format!("w{n}"), &format!("spiffe://corp.example/w{n}")).await;
    }
    let alice = desk.stack.sign_in("alice", "openid tickets:read").await.expect("signed in");
    let mut txn = minted(&desk.ask("w0", &harness::begin(&alice, "tickets:read")).await, "access_token");
    for n in 0..8 {
        let caller = format!("w{n}");
        if n > 0 {
            let back = desk.ask(&caller, &call(&txn, "https://w0.svc", "")).await;
            let for_first = minted(&back, "txn_token");
            let answer = desk.ask("w0", &call(&for_first, "https://w9.svc", "")).await;
            assert_refused(&format!("N62 after {n}"), &answer, 400, "invalid_request", "chain.loop");
        }
        txn = minted(&desk.ask(&caller, &call(&txn, &format!("https://w{}.svc", n + 1), "")).await, "txn_token");
    }
    let answer = desk.ask("w8", &call(&txn, "https://w9.svc", "")).await;
    assert_refused("N63", &answer, 400, "invalid_request", "chain.too_deep");
    desk.close().await;
}
