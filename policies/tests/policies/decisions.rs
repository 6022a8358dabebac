//! What a decision promises whatever the rules are.

use std::time::Duration;

use policies::Denial;

use crate::folder::{Asked, outcome, policies, workload};

const PERMIT: &str = r#"@id("planner-reads")
permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"exchange", resource == Target::"tickets");"#;
const OVERFLOW: &str = "9223372036854775807 + 1 > 0";

fn error_of(texts: &[&str]) -> String {
    match outcome(Asked::default().decide(&policies(texts))) {
        Err(Denial::Error(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forbid_that_fails_is_never_skipped() {
    let forbid = format!(r#"@id("no-overflow") forbid (principal, action, resource) when {{ {OVERFLOW} }};"#);
    assert!(error_of(&[PERMIT, &forbid]).contains("no-overflow"));
}

#[test]
fn a_permit_that_fails_denies_even_where_another_permits() {
    let permit = PERMIT.replace("planner-reads", "broken").replace(");", &format!(") when {{ {OVERFLOW} }};"));
    assert!(error_of(&[PERMIT, &permit]).contains("broken"));
    assert!(error_of(&[&permit]).contains("broken"));
}

#[test]
fn a_rule_about_something_else_cannot_fail() {
    let forbid = r#"@id("elsewhere") forbid (principal, action, resource == Target::"payroll") when { 9223372036854775807 + 1 > 0 };"#;
    assert!(outcome(Asked::default().decide(&policies(&[PERMIT, forbid]))).is_ok());
}

#[test]
fn where_rules_fail_nothing_may_be_asked() {
    let forbid = format!(r#"@id("no-overflow") forbid (principal, action, resource) when {{ {OVERFLOW} }};"#);
    let may = Asked::default().may_ask(&policies(&[PERMIT, &forbid]), "tickets:read");
    assert!(may.scopes.is_empty() && !may.anything);
}

#[test]
fn a_forbid_wins_and_its_id_is_told() {
    let forbid = r#"@id("not-alice") forbid (principal, action in [Action::"begin", Action::"exchange"], resource) when { context.subject == User::"alice" };"#;
    let policies = policies(&[PERMIT, forbid, &forbid.replace("not-alice", "also-not-alice")]);
    let denied = outcome(Asked::default().decide(&policies));
    assert_eq!(denied, Err(Denial::Forbidden("also-not-alice".to_owned())));
    assert!(outcome(Asked { subject: "carol", ..Asked::default() }.decide(&policies)).is_ok());
}

#[test]
fn every_permit_that_decides_is_named_and_the_strictest_terms_count() {
    let texts = [
        PERMIT.replace("planner-reads", "b").replace("permit", r#"@max_life("10m") @long_work("1h") permit"#),
        PERMIT
            .replace("planner-reads", "a")
            .replace("permit", r#"@max_life("5m") @long_work("30m") @liveness("strict") permit"#),
    ];
    let policies_of_two = policies(&[&texts[0], &texts[1]]);
    let (rules, terms) = outcome(Asked::default().decide(&policies_of_two)).expect("permitted");
    assert_eq!(rules, ["a", "b"]);
    assert_eq!(terms.max_life, Some(Duration::from_secs(300)));
    assert_eq!(terms.long_work, Some(Duration::from_secs(1800)));
    assert!(terms.strict);

    let policies_of_three = policies(&[&texts[0], &texts[1], PERMIT]);
    let (_rules, terms) = outcome(Asked::default().decide(&policies_of_three)).expect("permitted");
    assert_eq!(terms.long_work, None, "a permit without long work takes it away");
    assert!(terms.strict);
}

#[test]
fn scopes_actors_and_what_is_passed_on_reach_the_rule() {
    let text = PERMIT.replace(
        ");",
        r#") when { context.scopes == ["a", "b"] && context.passes_on == ["p"] && context.subject in Role::"reader"
            && context.actors == [Workload::"spiffe://corp.example/ns/agents/sa/planner", Workload::"spiffe://corp.example/ns/agents/sa/first"] };"#,
    );
    let policies = policies(&[&text]);
    let actors = &["agents/planner", "agents/first"];
    let asked = Asked { actors, scopes: "b a", passes_on: "p", roles: &["reader"], ..Asked::default() };
    assert!(outcome(asked.decide(&policies)).is_ok());
    for other in [
        Asked { scopes: "a", ..asked.clone() },
        Asked { passes_on: "", ..asked.clone() },
        Asked { roles: &[], ..asked.clone() },
        Asked { actors: &["agents/planner"], ..asked.clone() },
    ] {
        assert_eq!(outcome(other.decide(&policies)), Err(Denial::NoRule));
    }
}

#[test]
fn nothing_in_a_name_can_be_read_as_policy() {
    let forbid = r#"@id("not-ops") forbid (principal, action in [Action::"begin", Action::"exchange"], resource) when { context.subject in Group::"ops" };"#;
    let policies = policies(&[PERMIT, forbid]);
    let hostile = [r#"x" || true || ""#, r#"ops\"#, r#"" in Group::"ops"#, "ops\u{0}", "\u{202e}spo", "Ops", "ops "];
    for name in hostile {
        assert!(outcome(Asked { groups: &[name], ..Asked::default() }.decide(&policies)).is_ok(), "{name:?}");
        assert_eq!(outcome(Asked { to: name, ..Asked::default() }.decide(&policies)), Err(Denial::NoRule), "{name:?}");
    }
    let denied = outcome(Asked { groups: &[r#"x" || true || ""#, "ops"], ..Asked::default() }.decide(&policies));
    assert_eq!(denied, Err(Denial::Forbidden("not-ops".to_owned())));
}

#[test]
fn a_head_for_every_workload_reaches_only_what_it_names() {
    let everyone =
        r#"@id("everyone") permit (principal is Workload, action == Action::"exchange", resource == Target::"clock");"#;
    let domain = r#"@id("begins") permit (principal is Workload, action == Action::"begin", resource is TrustDomain);"#;
    let forbid = r#"@id("never") forbid (principal, action, resource == Target::"payroll");"#;
    let policies = policies(&[everyone, domain, forbid]);
    assert!(policies.reaches(&workload("agents/planner"), "clock"));
    assert!(!policies.reaches(&workload("agents/planner"), "tickets"));
    assert!(!policies.reaches(&workload("agents/planner"), "payroll"));
}

#[test]
fn the_generation_follows_the_rules_and_not_their_order_or_file_names() {
    let other = PERMIT.replace("planner-reads", "other");
    let both = policies(&[PERMIT, &other]);
    let turned = policies(&[&other, PERMIT]);
    let one = policies(&[PERMIT]);
    assert_eq!((both.digest(), both.generation()), (turned.digest(), turned.generation()));
    assert_ne!(both.generation(), one.generation());
    assert_eq!(both.digest().len(), 64);
    assert!(both.digest().starts_with(&format!("{:016x}", both.generation())));
}
