//! Token types, targets, scopes and contexts of a request (N26–N39).

use harness::{Desk, RESEARCHER, TICKETS, begin, call, claims_of, renew};

use super::{Expect::Granted, hold, invalid, row, scope, target};

fn urn(name: &str) -> String {
    format!("urn:ietf:params:oauth:token-type:{name}")
}

#[tokio::test]
async fn token_types_and_contexts_are_named_and_known() {
    let desk = Desk::open().await;
    let good = begin(&desk.alice().await, "tickets:read");
    let (subject, requested) = ("subject_token_type", "requested_token_type");
    let set = |name: &str, value: &str| good.clone().set(name, value);
    let (missing, kind) = (invalid("request.missing_parameter"), invalid("request.token_type"));
    let malformed = invalid("request.malformed");
    let (deep, long) = (format!("{}{}", "{\"a\":".repeat(17), "}".repeat(17)), "x".repeat(8 * 1024));
    let rows = vec![
        row("N26", "planner", good.clone().without("subject_token"), missing),
        row("N26 type", "planner", good.clone().without(subject), missing),
        row("N27", "planner", set(subject, &urn("saml2")), kind),
        row("N27 refresh", "planner", set(subject, &urn("refresh_token")), kind),
        row("N27 unknown", "planner", set(subject, "urn:x"), kind),
        row("N28", "planner", good.clone().add("actor_token", "x"), kind),
        row("N28 reverse", "planner", good.clone().add("actor_token_type", &urn("jwt")), kind),
        row("N29", "planner", set(requested, &urn("refresh_token")), kind),
        row("N29 saml2", "planner", set(requested, &urn("saml2")), kind),
        row("N29 unknown", "planner", set(requested, "x"), kind),
        row("N34", "planner", good.clone().without("audience"), missing),
        row("N34 scope", "planner", good.clone().without("scope"), missing),
        row("N38 array", "planner", good.clone().add("request_context", "[]"), malformed),
        row("N38 no JSON", "planner", good.clone().add("request_details", "x"), malformed),
        row("N38 repeated", "planner", good.clone().add("request_context", r#"{"a":1,"a":2}"#), malformed),
        row("N38 deep", "planner", good.clone().add("request_details", &deep), malformed),
        row("N38 big", "planner", good.clone().add("request_context", &format!(r#"{{"a":"{long}"}}"#)), malformed),
        row("N38 good", "planner", good.clone().add("request_context", r#"{"a":{"b":[1]}}"#), Granted),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}

/// N39: what a requester says of itself is not what is issued.
#[tokio::test]
async fn a_context_says_nothing_about_who_acts_for_whom() {
    let desk = Desk::open().await;
    let wish = r#"{"txn":"x","sub":"bob","act":{"sub":"x"},"req_wl":"x","callee":"x"}"#;
    let form = begin(&desk.alice().await, "tickets:read").add("request_context", wish).add("request_details", wish);
    let answer = desk.ask("planner", &form).await;
    let claims = claims_of(answer.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", answer.json())));
    let planner = "spiffe://corp.example/ns/agents/sa/planner";
    assert_eq!((&claims["req_wl"], &claims["act"]["sub"]), (&planner.into(), &planner.into()));
    assert!(claims["txn"] != "x" && claims["sub"] != "bob" && claims["callee"].is_null(), "{claims}");
    desk.close().await;
}

#[tokio::test]
async fn exactly_one_registered_target_is_named() {
    let desk = Desk::open().await;
    let txn = desk.begun().await;
    let good = call(&txn, RESEARCHER, "");
    let to = |resource: &str| good.clone().set("resource", resource);
    let unknown = target("target.unknown");
    let young = renew(&txn, "tickets:read");
    let begun = begin(&desk.alice().await, "tickets:read");
    let rows = vec![
        row("N30", "planner", good.clone().without("resource"), target("target.missing")),
        row("N31 relative", "planner", to("/mcp"), unknown),
        row("N31 fragment", "planner", to("https://researcher.agents.svc#x"), unknown),
        row("N31 unregistered", "planner", to("https://other.svc"), unknown),
        row("N31 case", "planner", to("https://RESEARCHER.agents.svc"), unknown),
        row("N31 slash", "planner", to("https://researcher.agents.svc/"), unknown),
        row("N31 audience", "planner", good.clone().without("resource").set("audience", "nobody"), unknown),
        row("N32", "planner", good.clone().add("resource", TICKETS), target("target.several")),
        row("N32 both", "planner", good.clone().set("audience", TICKETS), target("target.several")),
        row("N32 same", "planner", good.clone().set("audience", "researcher"), Granted),
        row("N35", "planner", young.clone().set("audience", "other.example"), target("target.domain")),
        row("N35 two", "planner", young.add("audience", "other.example"), target("target.several")),
        row("N35 begin", "planner", begun.set("audience", "other.example"), target("target.domain")),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}

#[tokio::test]
async fn policy_says_who_may_and_scope_is_never_trimmed() {
    let desk = Desk::open().await;
    let alice = desk.alice().await;
    let bob = desk.stack.sign_in("bob", "openid tickets:read").await.expect("signed in");
    let txn = desk.begun().await;
    let (_access, for_researcher) = desk.called_researcher(&txn).await;
    let beyond = scope("scope.beyond_subject");
    let rows = vec![
        row("N33", "researcher", call(&for_researcher, RESEARCHER, ""), target("policy.no_rule")),
        row("N33 begin", "planner", begin(&bob, "tickets:read"), target("policy.no_rule")),
        row("N33 scope", "planner", call(&txn, TICKETS, "tickets:write"), scope("scope.not_permitted")),
        row("N33 control", "planner", call(&txn, TICKETS, "tickets:read"), Granted),
        row("N36 characters", "planner", begin(&alice, "tickets:\"read"), scope("scope.malformed")),
        row("N36 spaces", "planner", begin(&alice, "tickets:read  tickets:write"), scope("scope.malformed")),
        row("N36 beyond U", "planner", begin(&alice, "tickets:admin"), beyond),
        row("N36 beyond target", "planner", call(&txn, RESEARCHER, "tickets:write"), scope("scope.beyond_target")),
        row("N36 beyond T", "researcher", call(&for_researcher, TICKETS, "tickets:write"), beyond),
        row("N37", "planner", begin(&alice, "tickets:read tickets:admin"), beyond),
        row("N37 call", "planner", call(&txn, TICKETS, "tickets:read tickets:admin"), scope("scope.beyond_target")),
    ];
    hold(&desk, rows).await;
    desk.close().await;
}
