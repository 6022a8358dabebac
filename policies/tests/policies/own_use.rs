//! What a workload may call in its own name: `use`, without a user.

use std::time::Duration;

use policies::{Denial, Policies, Use};

use crate::folder::{Asked, Folder, now, outcome, policies, workload};

const PERMIT: &str = r#"@id("planner-uses-inventory")
permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"use", resource == Target::"inventory");"#;

fn ask(policies: &Policies, requester: &str, target: &str) -> Result<Vec<String>, Denial> {
    let asked = Use { requester: &workload(requester), target };
    outcome(policies.decide_use(&asked)).map(|(rules, _terms)| rules)
}

#[test]
fn a_rule_permits_one_workload_one_target_and_nothing_else_does() {
    let policies = policies(&[PERMIT]);
    assert_eq!(ask(&policies, "agents/planner", "inventory"), Ok(vec!["planner-uses-inventory".to_owned()]));
    assert_eq!(ask(&policies, "agents/researcher", "inventory"), Err(Denial::NoRule));
    assert_eq!(ask(&policies, "agents/planner", "payroll"), Err(Denial::NoRule));
}

#[test]
fn no_action_stands_for_another() {
    let policies = policies(&[PERMIT, &PERMIT.replace("uses", "exchanges").replace(r#""use""#, r#""exchange""#)]);
    assert_eq!(ask(&policies, "agents/planner", "inventory").map(|rules| rules.len()), Ok(1), "the other is not named");
    let exchange = policies_of("exchange");
    assert_eq!(ask(&exchange, "agents/planner", "inventory"), Err(Denial::NoRule), "a user's authority is not its own");
    let asked = Asked { to: "inventory", ..Asked::default() };
    assert_eq!(outcome(asked.decide(&policies_of("use"))), Err(Denial::NoRule), "nor the other way round");
}

fn policies_of(action: &str) -> Policies {
    policies(&[&PERMIT.replace(r#""use""#, &format!("\"{action}\""))])
}

#[test]
fn a_forbid_wins_and_one_that_fails_denies() {
    let forbid =
        |id: &str, when: &str| format!(r#"@id("{id}") forbid (principal, action, resource) when {{ {when} }};"#);
    let frozen = policies(&[PERMIT, &forbid("frozen", "resource == Target::\"inventory\"")]);
    assert_eq!(ask(&frozen, "agents/planner", "inventory"), Err(Denial::Forbidden("frozen".to_owned())));
    let broken = policies(&[PERMIT, &forbid("broken", "9223372036854775807 + 1 > 0")]);
    assert!(matches!(ask(&broken, "agents/planner", "inventory"), Err(Denial::Error(_))));
}

#[test]
fn a_rule_of_use_cannot_speak_of_a_user() {
    for (rule, word) in [
        (PERMIT.replace(");", r#") when { context.subject == User::"alice" };"#), "subject"),
        (
            r#"@id("a") forbid (principal, action, resource) when { context.scopes.contains("a") };"#.to_owned(),
            "scopes",
        ),
        (PERMIT.replace("permit", "@liveness(\"strict\") permit"), "`@liveness` stands on a permit of `use`"),
        (PERMIT.replace("permit", "@long_work(\"1h\") permit"), "`@long_work` stands on a permit of `use`"),
    ] {
        let problems = Folder::with(&[("rule.cedar", &rule)]).problems();
        assert!(problems.iter().any(|problem| problem.contains(word)), "{word}: {problems:?}");
    }
    let strict = PERMIT.replace("permit", "@liveness(\"strict\") permit");
    let both = strict.replace(r#"== Action::"use""#, r#"in [Action::"use", Action::"exchange"]"#);
    assert!(
        Policies::load(Folder::with(&[("a.cedar", &both)]).path(), now()).is_ok(),
        "it means something for the other"
    );
}

#[test]
fn a_life_on_a_permit_of_use_is_told() {
    let brief = policies(&[&PERMIT.replace("permit", "@max_life(\"10s\") permit")]);
    let asked = Use { requester: &workload("agents/planner"), target: "inventory" };
    let (_rules, terms) = outcome(brief.decide_use(&asked)).expect("permitted");
    assert_eq!(terms.max_life, Some(Duration::from_secs(10)));
}

#[test]
fn a_workload_knows_of_what_some_permit_of_use_names_for_it() {
    let everyone = PERMIT.replace("planner-uses-inventory", "everyone").replace(
        r#"== Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"use", resource == Target::"inventory""#,
        r#"is Workload, action in [Action::"use", Action::"exchange"], resource == Target::"clock""#,
    );
    let policies = policies(&[PERMIT, &everyone]);
    for (name, target, uses, reaches) in [
        ("agents/planner", "inventory", true, false),
        ("agents/researcher", "inventory", false, false),
        ("agents/researcher", "clock", true, true),
        ("agents/planner", "payroll", false, false),
    ] {
        let found = (policies.uses(&workload(name), target), policies.reaches(&workload(name), target));
        assert_eq!(found, (uses, reaches), "{name} {target}");
    }
    assert!(policies.is_used("inventory") && policies.is_used("clock") && !policies.is_used("payroll"));
}
