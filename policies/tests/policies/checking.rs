//! What a check finds beyond loading: names that no registry has, and where each stands.

use policies::{Checked, Known, Policies};

use crate::folder::{Folder, now};

const GOOD: &str = r#"// Why.
@id("good")
permit (
  principal == Workload::"spiffe://corp.example/planner",
  action == Action::"exchange",
  resource == Target::"tickets"
)
when { ["tickets:read"].containsAll(context.scopes) };
"#;

fn known() -> Known {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    Known {
        trust_domain: Some("corp.example".to_owned()),
        mesh: names(&["tickets", "researcher"]),
        services: names(&["inventory"]),
        workloads: names(&["spiffe://corp.example/planner", "spiffe://corp.example/tickets"]),
        scopes: names(&["tickets:read", "tickets:write"]),
    }
}

fn check(text: &str) -> Checked {
    Policies::check(Folder::with(&[("rule.cedar", text)]).path(), Some(&known()), now())
}

/// The one problem of this text: line, column and message.
fn problem(text: &str) -> (usize, usize, String) {
    let checked = check(text);
    let [problem] = checked.problems.as_slice() else { panic!("{checked:#?}") };
    let line = problem.line().expect("a line");
    assert_eq!(problem.source_line(), text.lines().nth(line.saturating_sub(1)).map(str::trim_end), "the line is shown");
    (line, problem.column().expect("a column"), problem.message().to_owned())
}

#[test]
fn what_the_registry_has_is_fine() {
    let checked = check(GOOD);
    assert!(checked.problems.is_empty() && checked.warnings.is_empty(), "{checked:#?}");
    assert_eq!(checked.rules, 1);
}

#[test]
fn a_target_that_the_registry_does_not_have_is_told_with_its_place_and_what_was_meant() {
    let (line, column, message) = problem(&GOOD.replace("\"tickets\"", "\"tikcets\""));
    assert_eq!((line, column), (6, 15));
    assert_eq!(message, "the registry has no target `tikcets`; did you mean `tickets`?");
    let (_line, _column, message) = problem(&GOOD.replace("\"tickets\"", "\"payroll\""));
    assert_eq!(message, "the registry has no target `payroll`");
}

#[test]
fn a_scope_that_nobody_has_is_told_with_what_was_meant() {
    let (line, column, message) = problem(&GOOD.replace("tickets:read", "tickets:raed"));
    assert_eq!((line, column), (8, 9));
    assert_eq!(
        message,
        "no edge and no target of the registry has the scope `tickets:raed`; did you mean `tickets:read`?"
    );
}

#[test]
fn a_workload_that_cannot_be_is_told_and_one_letter_off_is_warned_of() {
    let (line, _column, message) = problem(&GOOD.replace("spiffe://corp.example/planner", "planner"));
    assert!(line == 4 && message.contains("no workload is ever called so"), "{line} {message}");
    let (_line, _column, message) = problem(&GOOD.replace("corp.example", "crop.example"));
    assert!(message.contains("outside of the trust domain `corp.example`"), "{message}");

    let checked = check(&GOOD.replace("/planner", "/plannr"));
    assert!(checked.problems.is_empty(), "others than the registry names may call: {checked:#?}");
    let [warning] = checked.warnings.as_slice() else { panic!("{checked:#?}") };
    assert!(warning.message().ends_with("did you mean `spiffe://corp.example/planner`?"), "{warning}");
}

#[test]
fn an_action_that_the_kind_of_target_never_sees_is_told() {
    let (line, _column, message) = problem(&GOOD.replace("\"tickets\"", "\"inventory\""));
    assert!(line == 6 && message.contains("the action must be `use`"), "{message}");
    let own = GOOD.split("\nwhen").next().expect("a head").replace("exchange", "use");
    let (_line, _column, message) = problem(&format!("{own};\n"));
    assert!(message.contains("the action must be `exchange`"), "{message}");
}

#[test]
fn an_operation_that_does_not_exist_is_told_also_without_a_registry() {
    let text = r#"@id("helpdesk")
permit (principal == Workload::"spiffe://corp.example/planner", action == Action::"administer", resource == TrustDomain::"corp.example")
when { context.operation == "revoke" && context.what == "sesion" };
"#;
    for known in [None, Some(known())] {
        let folder = Folder::with(&[("rule.cedar", text)]);
        let checked = Policies::check(folder.path(), known.as_ref(), now());
        let [problem] = checked.problems.as_slice() else { panic!("{checked:#?}") };
        assert_eq!(problem.message(), "at `administer` there is no `sesion`; did you mean `session`?");
        assert_eq!(problem.line(), Some(3));
    }
    assert!(check(&text.replace("sesion", "session")).problems.is_empty(), "such texts are no scopes");
}

#[test]
fn a_trial_that_is_over_is_told_where_it_stands_and_one_that_goes_on_is_fine() {
    let observed = |day: &str| GOOD.replace("permit", &format!("@observe(\"{day}\")\npermit"));
    let (line, _column, message) = problem(&observed("2026-11-23"));
    assert!(line == 3 && message.contains("the trial ended with 2026-11-23"), "{line} {message}");
    assert!(check(&observed("2026-11-24")).problems.is_empty());
}

#[test]
fn another_trust_domain_is_told() {
    let text = GOOD.replace("exchange", "begin").replace("Target::\"tickets\"", "TrustDomain::\"corp.exmaple\"");
    let (_line, _column, message) = problem(&text);
    assert_eq!(message, "the trust domain is `corp.example`, not `corp.exmaple`");
}

#[test]
fn a_rule_that_does_not_load_hides_no_wrong_name_in_another() {
    let folder = Folder::with(&[
        ("a.cedar", &GOOD.replace("Workload", "Workloda")),
        ("b.cedar", &GOOD.replace("good", "other").replace("\"tickets\"", "\"tikcets\"")),
    ]);
    let checked = Policies::check(folder.path(), Some(&known()), now());
    let told: Vec<_> = checked.problems.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("Workloda") && told[1].contains("tikcets"), "{told:#?}");
}

#[test]
fn without_a_registry_only_the_rules_themselves_are_looked_at() {
    let folder = Folder::with(&[("rule.cedar", &GOOD.replace("\"tickets\"", "\"whatever\""))]);
    assert!(Policies::check(folder.path(), None, now()).problems.is_empty());
    let missing = Policies::check(&folder.path().join("absent"), None, now());
    assert!(missing.problems[0].message().contains("cannot be read"), "{missing:?}");
}
