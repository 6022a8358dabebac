//! Token types, targets and scopes of a request: one thing wrong, one refusal, nothing issued (N26–N37, N65, N67).

use harness::{Desk, Form, assert_refused, begin, call, claims_of, renew};

const RESEARCHER: &str = "https://researcher.agents.svc";
const TICKETS: &str = "https://tickets.tools.svc/mcp";

fn urn(name: &str) -> String {
    format!("urn:ietf:params:oauth:token-type:{name}")
}

#[tokio::test]
async fn token_types_are_named_and_known() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let missing = "request.missing_parameter";
    let rows = [
        ("N26", good.clone().without("subject_token"), missing),
        ("N26", good.clone().without("subject_token_type"), missing),
        ("N27", good.clone().set("subject_token_type", &urn("saml2")), "request.token_type"),
        ("N27", good.clone().set("subject_token_type", &urn("refresh_token")), "request.token_type"),
        ("N27", good.clone().set("subject_token_type", &urn("jwt")), "request.token_type"),
        ("N27", good.clone().set("subject_token_type", "urn:x"), "request.token_type"),
        ("N28", good.clone().set("actor_token", "x"), "request.token_type"),
        ("N28", good.clone().set("actor_token_type", &urn("jwt")), "request.token_type"),
        ("N29", good.clone().set("requested_token_type", &urn("refresh_token")), "request.token_type"),
        ("N29", good.clone().set("requested_token_type", &urn("saml2")), "request.token_type"),
        ("N29", good.clone().set("requested_token_type", "x"), "request.token_type"),
        ("N34", good.clone().without("audience"), missing),
        ("N34", good.clone().without("scope"), missing),
    ];
    for (case, form, refusal) in rows {
        assert_refused(case, &desk.ask("planner", &form).await, 400, "invalid_request", refusal);
    }
    desk.close().await;
}

#[tokio::test]
async fn exactly_one_registered_target_is_named() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let good = call(&txn, RESEARCHER, "");
    let to = |resource: &str| good.clone().set("resource", resource);
    let rows: Vec<(&str, Form, &str)> = vec![
        ("N30", good.clone().without("resource"), "target.missing"),
        ("N31 relative", to("/mcp"), "target.unknown"),
        ("N31 fragment", to("https://researcher.agents.svc#x"), "target.unknown"),
        ("N31 unregistered", to("https://other.svc"), "target.unknown"),
        ("N31 case", to("https://RESEARCHER.agents.svc"), "target.unknown"),
        ("N31 slash", to("https://researcher.agents.svc/"), "target.unknown"),
        ("N31 audience", good.clone().without("resource").set("audience", "nobody"), "target.unknown"),
        ("N32", good.clone().add("resource", TICKETS), "target.several"),
        ("N32", good.clone().set("audience", TICKETS), "target.several"),
        ("N35", renew(&txn, "tickets:read").set("audience", "other.example"), "target.domain"),
        ("N35", renew(&txn, "tickets:read").add("audience", "other.example"), "target.several"),
    ];
    for (case, form, refusal) in rows {
        assert_refused(case, &desk.ask("planner", &form).await, 400, "invalid_target", refusal);
    }
    let answer =
        desk.ask("planner", &begin(&desk.alice().await, "tickets:read").set("audience", "other.example")).await;
    assert_refused("N35 begin", &answer, 400, "invalid_target", "target.domain");
    desk.close().await;
}

#[tokio::test]
async fn policy_alone_says_who_may() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let (_access, for_researcher) = desk.called_researcher(&txn).await;
    let answer = desk.ask("researcher", &call(&for_researcher, RESEARCHER, "")).await;
    assert_refused("N33", &answer, 400, "invalid_target", "policy.no_rule");
    let answer = desk.ask("planner", &call(&txn, TICKETS, "tickets:write")).await;
    assert_refused("not this scope", &answer, 400, "invalid_scope", "scope.not_permitted");
    assert_eq!(desk.ask("planner", &call(&txn, TICKETS, "tickets:read")).await.status, 200);
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    let answer = desk.ask("planner", &begin(&bob, "tickets:read")).await;
    assert_refused("bob", &answer, 400, "invalid_target", "policy.no_rule");
    desk.close().await;
}

#[tokio::test]
async fn scope_is_never_trimmed_and_never_grows() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    let txn = desk.begun().await;
    let (_access, for_researcher) = desk.called_researcher(&txn).await;
    let rows = [
        ("N36 characters", "planner", begin(&alice, "tickets:\"read"), "scope.malformed"),
        ("N36 two spaces", "planner", begin(&alice, "tickets:read  tickets:write"), "scope.malformed"),
        ("N36 beyond U", "planner", begin(&alice, "tickets:admin"), "scope.beyond_subject"),
        ("N37", "planner", begin(&alice, "tickets:read tickets:admin"), "scope.beyond_subject"),
        ("N36 beyond target", "planner", call(&txn, RESEARCHER, "tickets:write"), "scope.beyond_target"),
        ("N37", "planner", call(&txn, TICKETS, "tickets:read tickets:admin"), "scope.beyond_target"),
        ("beyond T", "researcher", call(&for_researcher, TICKETS, "tickets:write"), "scope.beyond_subject"),
        ("N65", "planner", renew(&txn, "tickets:read tickets:write tickets:admin"), "scope.beyond_subject"),
        ("N65", "researcher", renew(&for_researcher, "tickets:read tickets:write"), "scope.beyond_subject"),
    ];
    for (case, caller, form, refusal) in rows {
        assert_refused(case, &desk.ask(caller, &form).await, 400, "invalid_scope", refusal);
    }
    desk.close().await;
}

#[tokio::test]
async fn a_renewal_changes_nothing_but_the_date() {
    let desk = Desk::open().await;
    let (_access, txn) = desk.called_researcher(&desk.begun().await).await;
    let wish = r#"{"txn":"x","sub":"bob","act":{"sub":"x"},"req_wl":"x"}"#;
    let form = renew(&txn, "tickets:read").add("request_details", wish).add("request_context", wish);
    let answer = desk.ask("researcher", &form).await;
    assert_eq!(answer.status, 200, "N67: {}", answer.json());
    let (before, after) = (claims_of(&txn), claims_of(answer.json()["access_token"].as_str().expect("a token")));
    for name in ["iss", "aud", "txn", "sub", "act", "req_wl", "callee", "scope"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_ne!(before["jti"], after["jti"]);
    let narrowed = desk.ask("researcher", &renew(&txn, "")).await;
    assert_eq!(narrowed.json()["error"], "invalid_request", "an empty scope is a missing one: {}", narrowed.json());
    desk.close().await;
}
