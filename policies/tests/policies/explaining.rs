//! An explanation names the rules that decided, and what the others lack, in plain words.

use std::path::Path;

use policies::{Considered, Decision, Policies, Use};

use crate::folder::{Asked, now, policies, workload};

const RESEARCHER_READS: &str = "researcher-may-read-tickets-when-planner-asked";

fn default_rules() -> Policies {
    Policies::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("default"), now()).expect("the default rules load")
}

/// The rule `id` beside the question.
fn considered(policies: &Policies, asked: &Asked<'_>, id: &str) -> Considered {
    asked.explain(policies).rules.into_iter().find(|rule| rule.id == id).expect("the rule")
}

/// A rule about tickets with this condition.
fn rule(effect: &str, condition: &str) -> Policies {
    let head = r#"(principal is Workload, action == Action::"exchange", resource == Target::"tickets")"#;
    policies(&[&format!(r#"@id("rule") {effect} {head} {condition};"#)])
}

#[test]
fn a_permit_is_explained_by_the_rules_that_gave_it() {
    let policies = default_rules();
    let asked = Asked { scopes: "tickets:read", ..Asked::default() };
    let explanation = asked.explain(&policies);
    let Decision::Permitted(permitted) = &explanation.decision else { panic!("{explanation:?}") };
    let applying: Vec<_> = explanation.rules.iter().filter(|rule| rule.applies()).map(|rule| &rule.id).collect();
    assert_eq!(applying, permitted.rules().iter().collect::<Vec<_>>());
    assert_eq!(explanation.rules.len(), 4, "every rule is told of");
}

#[test]
fn a_rule_whose_heads_match_tells_which_of_its_conditions_do_not_hold() {
    let policies = default_rules();
    let asked = Asked { scopes: "tickets:write", ..Asked::default() };
    let rule = considered(&policies, &asked, "planner-may-read-tickets");
    assert_eq!((rule.elsewhere.len(), rule.unmet), (0, vec!["the scopes may hold only `tickets:read`".to_owned()]));

    let alone = Asked { actors: &["agents/researcher"], scopes: "tickets:read", ..Asked::default() };
    let rule = considered(&policies, &alone, RESEARCHER_READS);
    let missing = "`spiffe://corp.example/ns/agents/sa/planner` must be among the actors".to_owned();
    assert_eq!(rule.unmet, std::slice::from_ref(&missing), "what holds is not told");
    let both = considered(&policies, &Asked { scopes: "tickets:write", ..alone }, RESEARCHER_READS);
    assert_eq!(both.unmet, ["the scopes may hold only `tickets:read`".to_owned(), missing], "and all that do not are");

    let bob = Asked { to: "begin", subject: "bob", groups: &[], roles: &["tickets-reader"], ..Asked::default() };
    let rule = considered(&policies, &bob, "support-may-begin-at-planner");
    assert_eq!(rule.unmet, ["the user must be in the group `support`"]);
}

#[test]
fn a_rule_whose_heads_do_not_match_tells_what_it_is_about() {
    let policies = default_rules();
    let rule = considered(&policies, &Asked { to: "payroll", ..Asked::default() }, "planner-may-read-tickets");
    assert_eq!(rule.elsewhere, ["the target must be `tickets`"]);
    let asked = Asked { actors: &["agents/researcher"], to: "begin", ..Asked::default() };
    let rule = considered(&policies, &asked, "planner-may-read-tickets");
    assert_eq!(
        rule.elsewhere,
        [
            "the requester must be `spiffe://corp.example/ns/agents/sa/planner`",
            "the action must be `exchange`",
            "the target must be `tickets`"
        ]
    );
}

#[test]
fn each_way_to_write_a_condition_is_told_in_plain_words() {
    for (condition, words) in [
        (r#"when { context.subject in Role::"admin" }"#, "the user must have the role `admin`"),
        (r#"unless { context.subject in Group::"support" }"#, "the user must not be in the group `support`"),
        (r#"when { !(context.subject in Group::"support") }"#, "the user must not be in the group `support`"),
        (r#"when { context.subject == User::"bob" }"#, "the user must be `bob`"),
        (r#"when { context.subject != User::"alice" }"#, "the user must not be `alice`"),
        (r#"when { context.scopes.contains("a") }"#, "the scopes must include `a`"),
        (r#"when { context.scopes.containsAll(["a", "b"]) }"#, "the scopes must include all of `a`, `b`"),
        (r#"when { context.scopes.containsAny(["a", "b"]) }"#, "the scopes must include at least one of `a`, `b`"),
        (
            r#"unless { ["tickets:read"].containsAll(context.scopes) }"#,
            "the scopes must hold something else than `tickets:read`",
        ),
        (r#"unless { context.passes_on.isEmpty() }"#, "what is passed on must not be empty"),
        (
            r#"when { context.subject in Group::"x" || context.subject in Role::"y" }"#,
            "the user must be in the group `x`, or the user must have the role `y`",
        ),
        (
            r#"unless { context.subject in Group::"support" && context.passes_on.isEmpty() }"#,
            "the user must not be in the group `support`, or what is passed on must not be empty",
        ),
    ] {
        let found = considered(&rule("permit", condition), &Asked::default(), "rule");
        assert_eq!(found.unmet, [words], "{condition}");
    }
    let odd = considered(
        &rule("permit", r#"when { context.scopes == context.passes_on && context.scopes == ["a"] }"#),
        &Asked::default(),
        "rule",
    );
    assert!(odd.unmet.len() == 1 && odd.unmet[0].contains("must hold") && odd.unmet[0].contains("scopes"), "{odd:?}");
}

#[test]
fn a_forbid_that_spoke_tells_what_would_silence_it() {
    let policies =
        rule("forbid", r#"when { context.subject in Group::"support" } unless { context.scopes.contains("a") }"#);
    let found = considered(&policies, &Asked::default(), "rule");
    assert!(found.applies() && !found.permits);
    assert_eq!(found.until, ["the user must not be in the group `support`", "the scopes must include `a`"]);
}

#[test]
fn a_rule_that_cannot_be_evaluated_is_told_as_such() {
    let policies = rule("permit", "when { 9223372036854775807 + 1 > 0 }");
    let explanation = Asked::default().explain(&policies);
    assert!(explanation.rules[0].error.as_ref().is_some_and(|error| error.contains("overflow")), "{explanation:?}");
    assert!(!explanation.rules[0].applies());
}

#[test]
fn a_call_in_the_own_name_is_explained_too() {
    let policies = policies(&[
        r#"@id("own") permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"use", resource == Target::"inventory");"#,
    ]);
    let explain = |name: &str| policies.explain_use(&Use { requester: &workload(name), target: "inventory" }, now());
    assert!(explain("agents/planner").rules[0].applies());
    let other = explain("agents/researcher");
    assert!(matches!(other.decision, Decision::Denied(_)));
    assert_eq!(other.rules[0].elsewhere, ["the requester must be `spiffe://corp.example/ns/agents/sa/planner`"]);
}
