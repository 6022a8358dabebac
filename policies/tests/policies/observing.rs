//! A permit on trial decides nothing: it is told what it would have said, until its last day is over.

use identity::{UnixTime, Would};
use policies::{Decision, Denial, Policies, Use};

use crate::folder::{Asked, Folder, now, outcome, policies, workload};

const READS: &str = r#"@id("reads")
permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"exchange", resource == Target::"tickets")
when { ["tickets:read"].containsAll(context.scopes) };"#;
const ON_TRIAL: &str = r#"@id("writes") @observe("2026-12-31") @max_life("1m") @liveness("strict")
permit (principal == Workload::"spiffe://corp.example/ns/agents/sa/planner", action == Action::"exchange", resource == Target::"tickets");"#;
const OVERFLOW: &str = "9223372036854775807 + 1 > 0";

fn would(allow: bool, rules: &[&str]) -> Option<Would> {
    Some(Would { allow, rules: rules.iter().map(|rule| (*rule).to_owned()).collect() })
}

fn asks(scopes: &'static str) -> Asked<'static> {
    Asked { scopes, ..Asked::default() }
}

#[test]
fn a_permit_on_trial_permits_nothing_and_tells_that_it_would() {
    let policies = policies(&[READS, ON_TRIAL]);
    let (decision, told) = asks("tickets:write").observe(&policies);
    assert_eq!(outcome(decision), Err(Denial::NoRule));
    assert_eq!(told, would(true, &["writes"]));
    let may = asks("tickets:write").may_ask(&policies, "tickets:read tickets:write");
    assert_eq!(may.scopes.to_string(), "tickets:read", "nor is it told that it may be asked");
}

#[test]
fn where_others_permit_neither_its_name_nor_its_terms_count() {
    let (decision, told) = asks("tickets:read").observe(&policies(&[READS, ON_TRIAL]));
    let (rules, terms) = outcome(decision).expect("permitted");
    assert_eq!(rules, ["reads"]);
    assert!(terms.max_life.is_none() && !terms.strict, "{terms:?}");
    assert_eq!(told, would(true, &["writes"]), "told, so that it can take the other's place");
}

#[test]
fn what_is_forbidden_would_be_forbidden_all_the_same() {
    let forbid = r#"@id("frozen") forbid (principal, action == Action::"exchange", resource);"#;
    let (decision, told) = asks("tickets:write").observe(&policies(&[ON_TRIAL, forbid]));
    assert_eq!((outcome(decision), told), (Err(Denial::Forbidden("frozen".to_owned())), None));
}

#[test]
fn one_that_cannot_be_evaluated_refuses_nothing_and_tells_that_it_would() {
    let broken = ON_TRIAL.replace(");", &format!(") when {{ {OVERFLOW} }};"));
    let (decision, told) = asks("tickets:read").observe(&policies(&[READS, &broken]));
    assert!(outcome(decision).is_ok());
    assert_eq!(told, would(false, &["writes"]));
}

#[test]
fn a_sidecar_is_not_told_of_a_target_that_only_rules_on_trial_name() {
    let own = r#"@id("own") @observe("2026-12-31") permit (principal is Workload, action == Action::"use", resource == Target::"inventory");"#;
    let policies = policies(&[ON_TRIAL, own]);
    assert!(!policies.reaches(&workload("agents/planner"), "tickets"));
    assert!(!policies.uses(&workload("agents/planner"), "inventory") && !policies.is_used("inventory"));
    let asked = Use { requester: &workload("agents/planner"), target: "inventory" };
    let decision = policies.decide_use(&asked);
    assert!(matches!(decision, Decision::Denied(Denial::NoRule)));
    assert_eq!(policies.observe_use(&asked, &decision, now()), would(true, &["own"]));
}

#[test]
fn after_its_last_day_it_is_silent_and_still_permits_nothing() {
    let ended = ON_TRIAL.replace("2026-12-31", "2026-11-23");
    let policies = policies(&[READS, &ended]);
    let (decision, told) = asks("tickets:write").observe(&policies);
    assert_eq!((outcome(decision), told), (Err(Denial::NoRule), None));
    let trials: Vec<_> = policies.on_trial().map(|(rule, trial)| (rule, trial.is_over(now()))).collect();
    assert_eq!(trials, [("writes", true)]);
}

#[test]
fn a_trial_says_its_last_day_which_is_near() {
    for (value, told) in [
        ("@observe", "must be the last day of the trial"),
        (r#"@observe("")"#, "must be the last day of the trial"),
        (r#"@observe("soon")"#, "must be the last day of the trial"),
        (r#"@observe("2026-12-32")"#, "must be the last day of the trial"),
        (r#"@observe("2027-02-23")"#, "more than 90 days ahead"),
        (r#"@obsreve("2026-12-31")"#, "did you mean `@observe`?"),
    ] {
        let text = format!("{value}\n{READS}");
        let problems = Folder::with(&[("rule.cedar", &text)]).problems();
        let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
        assert!(problem.starts_with("rule.cedar:1: ") && problem.contains(told), "{problem}");
    }
    let text = format!("@observe(\"2027-02-22\")\n{READS}");
    assert!(Policies::load(Folder::with(&[("rule.cedar", &text)]).path(), now()).is_ok());
}

#[test]
fn there_is_no_trial_of_a_forbid() {
    let text = "@id(\"frozen\")\n@observe(\"2026-12-31\")\nforbid (principal, action, resource);";
    let problems = Folder::with(&[("rule.cedar", text)]).problems();
    let [problem] = problems.as_slice() else { panic!("{problems:#?}") };
    assert!(problem.starts_with("rule.cedar:2: ") && problem.contains("countersign policies diff"), "{problem}");
}

#[test]
fn an_explanation_tells_of_trials_apart() {
    let explanation = asks("tickets:write").explain(&policies(&[READS, ON_TRIAL]));
    assert_eq!(explanation.would, would(true, &["writes"]));
    let trials: Vec<_> = explanation.rules.iter().filter(|rule| !rule.is_in_force()).collect();
    let [trial] = trials.as_slice() else { panic!("{explanation:#?}") };
    assert_eq!(trial.observed.as_ref().map(|observed| observed.through()), Some("2026-12-31"));
    assert!(trial.applies() && trial.id == "writes");
    let late = UnixTime::from_secs(1_830_000_000).expect("a time");
    assert!(trial.observed.as_ref().is_some_and(|observed| observed.is_over(late)));
}
