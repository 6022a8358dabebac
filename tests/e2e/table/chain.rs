//! Who may use what, what a renewal may change, and how a chain grows (N61–N67, N69, N104).

use dev::{apps::Answer, stack::StackOptions};
use harness::{Desk, RESEARCHER, TICKETS, begin, call, claims_of, odd_forms, renew};
use runtime::clock;
use serde_json::{Value, json};

use super::{Expect::Granted, hold, invalid, row, scope, target, with};

const ISSUER: &str = "https://broker.agents.svc";
const PLANNER: &str = "spiffe://corp.example/ns/agents/sa/planner";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn minted(answer: &Answer, member: &str) -> String {
    answer.json()[member].as_str().unwrap_or_else(|| panic!("no {member}: {}", answer.json())).to_owned()
}

#[tokio::test]
async fn authority_is_used_by_its_callee_alone_and_never_grows() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (_access, handed) = desk.called_researcher(&txn).await;
    let (not_callee, beyond) = (invalid("chain.not_callee"), scope("scope.beyond_subject"));
    let rows = vec![
        row("N64", "researcher", call(&txn, TICKETS, "tickets:read"), not_callee),
        row("N64 a stranger", "stranger", call(&txn, RESEARCHER, ""), not_callee),
        row("N64 tickets", "tickets", call(&handed, TICKETS, "tickets:read"), not_callee),
        row("N104", "planner", call(&handed, TICKETS, "tickets:read"), not_callee),
        row("N104 renewed", "planner", renew(&handed, "tickets:read"), not_callee),
        row("N65", "planner", renew(&txn, "tickets:read tickets:write tickets:admin"), beyond),
        row("N65 callee's", "researcher", renew(&handed, "tickets:read tickets:write"), beyond),
        row("N65 none", "researcher", renew(&handed, ""), invalid("request.missing_parameter")),
        row("N65 control", "researcher", renew(&handed, "tickets:read"), Granted),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}

/// N67: a renewal changes the dates, whatever it says.
#[tokio::test]
async fn a_renewal_changes_nothing_but_the_date() {
    let desk = Desk::open().await;
    let (_access, txn) = desk.called_researcher(&desk.begun().await).await;
    let wish = r#"{"txn":"x","sub":"bob","act":{"sub":"x"},"req_wl":"x","tctx":{"x":1}}"#;
    let form = renew(&txn, "tickets:read").add("request_details", wish).add("request_context", wish);
    let renewed = minted(&desk.ask("researcher", &form).await, "access_token");
    let (before, after) = (claims_of(&txn), claims_of(&renewed));
    for name in ["iss", "aud", "txn", "sub", "act", "req_wl", "callee", "scope", "tctx"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_ne!(before["jti"], after["jti"]);
    desk.close().await;
}

#[tokio::test]
async fn the_chain_says_who_acts_and_the_transaction_stays_one() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (access, for_researcher) = desk.called_researcher(&txn).await;
    let at_tickets = desk.called_tickets(&for_researcher, "tickets:read").await;
    let researcher = "spiffe://corp.example/ns/agents/sa/researcher";
    let all: Vec<Value> = [&txn, &access, &for_researcher, &at_tickets].map(|token| claims_of(token)).into();
    for claims in &all {
        assert_eq!((&claims["txn"], &claims["sub"]), (&all[0]["txn"], &all[0]["sub"]));
    }
    assert_eq!(all[0]["act"], json!({"sub": PLANNER}));
    assert_eq!(all[1]["act"], json!({"sub": PLANNER}));
    assert_eq!(
        (&all[2]["act"], &all[2]["callee"], &all[2]["scope"]),
        (&json!({"sub": PLANNER}), &json!(researcher), &json!("tickets:read"))
    );
    assert_eq!(all[1]["tjti"], all[2]["jti"]);
    assert_eq!(all[3]["act"], json!({"sub": researcher, "act": {"sub": PLANNER}}));
    assert_eq!((&all[3]["aud"], &all[3]["client_id"]), (&json!(TICKETS), &json!(researcher)));
    assert_eq!(all[3]["scope"], "tickets:read");
    desk.close().await;
}

#[tokio::test]
async fn an_actor_token_proves_the_caller_or_nothing() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let now = clock::now().secs();
    let claims = json!({"sub": PLANNER, "aud": [ISSUER], "iat": now, "exp": now + 60});
    let with_actor =
        |token: &str, kind: &str| call(&txn, RESEARCHER, "").add("actor_token", token).add("actor_token_type", kind);
    let own = desk.jwt_svid("planner", ISSUER).await;
    let mut rows = vec![
        row("N61 nonsense", "planner", with_actor("nonsense", JWT), invalid("actor.malformed")),
        row("N61 a user", "planner", with_actor(&desk.alice().await, JWT), invalid("actor.key_unknown")),
        row("N61 another kind", "planner", with_actor(&own, &JWT.replace("jwt", "id_token")), invalid("actor.type")),
        row("N61 control", "planner", with_actor(&own, JWT), Granted),
    ];
    for (case, name, value, code) in [
        ("N61", "sub", json!("spiffe://corp.example/ns/agents/sa/researcher"), "actor.mismatch"),
        ("N61 audience", "aud", json!(["https://other.svc"]), "actor.audience"),
        ("N61 expired", "exp", json!(now - 1), "actor.expired"),
        ("N61 future", "iat", json!(now + 3600), "actor.not_yet_valid"),
        ("N61 domain", "sub", json!("spiffe://other.example/planner"), "actor.claim"),
    ] {
        let token = desk.forged_svid(json!({}), with(&claims, name, value)).await;
        rows.push(row(case, "planner", with_actor(&token, JWT), invalid(code)));
    }
    let codes = [
        "actor.too_long",
        "actor.malformed",
        "actor.repeated_name",
        "actor.forbidden_header",
        "actor.algorithm",
        "actor.type",
        "actor.key_unknown",
        "actor.signature",
    ];
    let odd = odd_forms(&own).map(|token| with_actor(&token, JWT));
    rows.extend(odd.into_iter().zip(codes).map(|(form, code)| row("N61 odd form", "planner", form, invalid(code))));
    hold(&desk, rows).await;
    desk.close().await;
}

/// N69: who acted before lends nothing to who acts now.
#[tokio::test]
async fn a_rule_for_an_earlier_actor_is_no_rule_for_the_current_one() {
    let mut options = Desk::options();
    options.members.clear();
    options.policies.remove("researcher-may-read-tickets-when-planner-asked.cedar").expect("a default policy");
    let desk = Desk::open_with(options).await;
    let txn = desk.begun().await;
    let (_access, handed_on) = desk.called_researcher(&txn).await;
    let rows = vec![
        row("N69", "researcher", call(&handed_on, TICKETS, "tickets:read"), target("policy.no_rule")),
        row("N69 planner itself", "planner", call(&txn, TICKETS, "tickets:read"), Granted),
    ];
    hold(&desk, rows).await;
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
    let mut txn = minted(&desk.ask("w0", &begin(&alice, "tickets:read")).await, "access_token");
    let mut rows = Vec::new();
    for n in 0..8 {
        let caller = format!("w{n}");
        if n > 0 {
            let back = minted(&desk.ask(&caller, &call(&txn, "https://w0.svc", "")).await, "txn_token");
            rows.push(row("N62", "w0", call(&back, "https://w9.svc", ""), invalid("chain.loop")));
        }
        txn = minted(&desk.ask(&caller, &call(&txn, &format!("https://w{}.svc", n + 1), "")).await, "txn_token");
    }
    rows.push(row("N63", "w8", call(&txn, "https://w9.svc", ""), invalid("chain.too_deep")));
    hold(&desk, rows).await;
    desk.close().await;
}
