//! The rules of the demo's story: who may, and above all who may not.

use std::path::Path;

use policies::{Denial, Policies};

use crate::folder::{Asked, now, outcome, scopes, workload};

fn default_rules() -> Policies {
    Policies::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("default"), now()).expect("the default rules load")
}

#[test]
fn the_story_is_permitted_hop_by_hop_and_each_hop_names_its_rule() {
    let policies = default_rules();
    let both = "tickets:read tickets:write";
    let planner = Asked::default();
    let researcher = Asked { actors: &["agents/researcher", "agents/planner"], ..Asked::default() };
    for (asked, rule) in [
        (Asked { to: "begin", scopes: both, ..planner.clone() }, "support-may-begin-at-planner"),
        (Asked { to: "researcher", passes_on: "tickets:read", ..planner.clone() }, "planner-may-call-researcher"),
        (Asked { scopes: "", ..researcher.clone() }, "researcher-may-read-tickets-when-planner-asked"),
        (Asked { scopes: "tickets:read", ..researcher }, "researcher-may-read-tickets-when-planner-asked"),
        (Asked { scopes: "tickets:read", ..planner }, "planner-may-read-tickets"),
    ] {
        let (rules, _terms) = outcome(asked.decide(&policies)).expect(rule);
        assert_eq!(rules, [rule]);
    }
}

#[test]
fn what_the_story_does_not_need_is_denied() {
    let policies = default_rules();
    let begin = Asked { to: "begin", scopes: "tickets:read", ..Asked::default() };
    for (why, asked) in [
        (
            "bob has the role, not the group",
            Asked { subject: "bob", groups: &[], roles: &["tickets-reader"], ..begin.clone() },
        ),
        ("a role is no group of the same name", Asked { groups: &[], roles: &["support"], ..begin.clone() }),
        ("a subject is no group of the same name", Asked { subject: "support", groups: &[], ..begin.clone() }),
        ("nobody enters at researcher", Asked { actors: &["agents/researcher"], ..begin }),
        ("planner never writes", Asked { scopes: "tickets:write", ..Asked::default() }),
        ("nor when it reads as well", Asked { scopes: "tickets:read tickets:write", ..Asked::default() }),
        ("researcher alone", Asked { actors: &["agents/researcher"], scopes: "tickets:read", ..Asked::default() }),
        (
            "another namespace's planner",
            Asked { actors: &["tools/planner"], scopes: "tickets:read", ..Asked::default() },
        ),
        ("an unknown target", Asked { to: "payroll", ..Asked::default() }),
        ("a target named in another case", Asked { to: "Tickets", ..Asked::default() }),
    ] {
        assert_eq!(outcome(asked.decide(&policies)), Err(Denial::NoRule), "{why}");
    }
}

#[test]
fn planner_may_ask_reading_and_nothing_else_of_tickets() {
    let policies = default_rules();
    let may = Asked { scopes: "tickets:write", ..Asked::default() }.may_ask(&policies, "tickets:read tickets:write");
    assert_eq!(may.scopes, scopes("tickets:read"));
    assert!(may.anything);
}

#[test]
fn where_no_rule_permits_anything_nothing_may_be_asked() {
    let policies = default_rules();
    let may =
        Asked { actors: &["agents/researcher"], ..Asked::default() }.may_ask(&policies, "tickets:read tickets:write");
    assert!(may.scopes.is_empty());
    assert!(!may.anything);
}

#[test]
fn a_call_without_scope_alone_counts_as_something() {
    let policies = default_rules();
    let may = Asked::default().may_ask(&policies, "");
    assert!(may.scopes.is_empty());
    assert!(may.anything);
}

#[test]
fn a_workload_reaches_what_some_permit_names_for_it() {
    let policies = default_rules();
    for (name, target, expected) in [
        ("agents/planner", "researcher", true),
        ("agents/planner", "tickets", true),
        ("agents/researcher", "tickets", true),
        ("agents/researcher", "researcher", false),
        ("tools/tickets", "researcher", false),
        // `begin` names a trust domain, not a target.
        ("agents/planner", "corp.example", false),
    ] {
        assert_eq!(policies.reaches(&workload(name), target), expected, "{name} {target}");
    }
}
