//! The sliced decision equals the one over all rules.

use std::path::Path;

use cedar_policy::Validator;
use identity::{ActorChain, Subject, TrustDomain, workload_id};
use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::Action;

const WORKLOADS: [&str; 3] = ["spiffe://corp.example/a", "spiffe://corp.example/b", "spiffe://corp.example/c"];
const TARGETS: [&str; 3] = ["one", "two", "three"];

fn policies(texts: &[String]) -> Policies {
    let schema = Schema::from_cedarschema_str(include_str!("../../schema.cedarschema")).expect("the schema").0;
    let validator = Validator::new(schema.clone());
    let words = Vocabulary::new().expect("the vocabulary");
    let read =
        |text: &String| Rule::read(Path::new("generated.cedar"), text, &validator, &words).expect("a valid rule");
    let rules: BTreeMap<String, Rule> = texts.iter().map(read).map(|rule| (rule.id.clone(), rule)).collect();
    let slices = Slices::of(&rules.values().map(|rule| &rule.policy).collect::<Vec<_>>()).expect("unique ids");
    let (digest, generation) = fingerprint(&rules);
    Policies { folder: PathBuf::new(), words, schema, rules, slices, authorizer: Authorizer::new(), digest, generation }
}

fn decided(decision: &Decision) -> (Vec<String>, Option<Terms>, Option<Denial>) {
    match decision {
        Decision::Permitted(permitted) => (permitted.rules().to_vec(), Some(permitted.terms().clone()), None),
        Decision::Denied(denial) => (Vec::new(), None, Some(denial.clone())),
    }
}

prop_compose! {
    /// A rule's text without its id: any effect, any kind of resource head, conditions that hold, do not, or fail.
    fn rule()(
        permits in any::<bool>(),
        workload in select(&WORKLOADS[..]),
        begin in any::<bool>(),
        head in 0..5_u8,
        target in select(&TARGETS[..]),
        condition in select(&[
            "",
            r#" when { ["read"].containsAll(context.scopes) }"#,
            r#" unless { context.subject in Group::"support" }"#,
            r#" when { context.scopes.contains("write") && 9223372036854775807 + 1 > 0 }"#,
        ][..]),
        terms in select(&["", r#"@max_life("5m")"#, r#"@long_work("1h") @liveness("strict")"#][..]),
    ) -> String {
        let (action, kind, target) = if begin { ("begin", "TrustDomain", "corp.example") } else { ("exchange", "Target", target) };
        let resource = match head {
            0 | 1 => format!(r#"resource == {kind}::"{target}""#),
            2 => format!(r#"resource in {kind}::"{target}""#),
            3 => format!(r#"resource is {kind} in {kind}::"{target}""#),
            _ => format!("resource is {kind}"),
        };
        let resource = if !permits && head == 4 { "resource".to_owned() } else { resource };
        let (effect, terms) = if permits { ("permit", terms) } else { ("forbid", "") };
        format!(r#"{terms} {effect} (principal == Workload::"{workload}", action == Action::"{action}", {resource}){condition};"#)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sliced_decision_equals_the_one_over_all_rules(rules in vec(rule(), 1..8)) {
        let texts: Vec<_> = rules.iter().enumerate().map(|(n, rule)| format!(r#"@id("r{n}") {rule}"#)).collect();
        let policies = policies(&texts);
        let whole = PolicySet::from_policies(policies.rules.values().map(|rule| rule.policy.clone())).expect("unique");
        let domain = TrustDomain::new("corp.example").expect("a trust domain");
        let exchanges = TARGETS.iter().chain(&["unknown"]).map(|target| Action::Exchange { target });
        let actions: Vec<_> = exchanges.chain([Action::Begin { trust_domain: &domain }]).collect();
        let subject: Subject = "alice".parse().expect("a subject");
        for (workload, groups) in WORKLOADS.iter().zip([vec!["support".to_owned()], vec![], vec!["sales".to_owned()]]) {
            let requester = workload_id(workload).expect("an id");
            let actors = ActorChain::of(requester.clone());
            for (action, scopes) in actions.iter().flat_map(|action| ["", "read", "read write"].map(|s| (action, s))) {
                let scopes: Scopes = scopes.parse().expect("scopes");
                let question = Question {
                    requester: &requester, action: *action, subject: &subject, groups: &groups, roles: &[],
                    actors: &actors, scopes: &scopes, passes_on: &Scopes::none(),
                };
                let prepared = Prepared::new(&question, &policies.words).expect("askable");
                let unsliced = policies.judge(&whole, &prepared, &scopes);
                prop_assert_eq!(decided(&policies.decide(&question)), decided(&unsliced), "{:?} {:?}", texts, question);
            }
        }
    }
}
