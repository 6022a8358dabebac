//! Rules and questions as data and as text. Nothing here says how they are decided.

use identity::{ActorChain, Scopes, SpiffeId, Subject, TrustDomain, UnixTime, Would, workload_id};
use proptest::{prelude::*, sample::select, sample::subsequence};

use crate::{Action, Decision, Explanation, MayAsk, Policies, Question, Use};

const WORKLOADS: [&str; 3] = ["spiffe://corp.example/a", "spiffe://corp.example/b", "spiffe://corp.example/c"];
const TARGETS: [&str; 3] = ["one", "two", "three"];
pub(super) const DOMAIN: &str = "corp.example";
/// Conditions about the user and the call: they hold, do not, or fail.
const CONDITIONS: [&str; 12] = [
    "",
    "",
    r#" when { ["read"].containsAll(context.scopes) }"#,
    r#" when { context.scopes.contains("write") && !context.scopes.contains("read") }"#,
    r#" unless { context.subject in Group::"support" }"#,
    r#" when { context.subject in Role::"admin" || context.subject == User::"alice" }"#,
    r#" when { context.actors.contains(Workload::"spiffe://corp.example/a") }"#,
    r#" unless { context.passes_on.isEmpty() }"#,
    r#" when { context.passes_on == ["read"] }"#,
    r#" when { context.scopes.contains("write") && 9223372036854775807 + 1 > 0 }"#,
    r#" when { principal == Workload::"spiffe://corp.example/b" }"#,
    r#" when { context.subject in Group::"support" } unless { context.scopes.isEmpty() }"#,
];
/// Conditions where no user is.
const OWN_CONDITIONS: [&str; 4] = [
    "",
    "",
    r#" when { principal == Workload::"spiffe://corp.example/b" }"#,
    r#" when { principal == Workload::"spiffe://corp.example/a" && 9223372036854775807 + 1 > 0 }"#,
];

/// A rule.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) permits: bool,
    pub(super) principal: String,
    pub(super) action: &'static str,
    pub(super) resource: String,
    pub(super) condition: &'static str,
    pub(super) max_life: Option<u64>,
    pub(super) long_work: Option<u64>,
    pub(super) strict: bool,
    /// On trial, and whether that goes on.
    pub(super) trial: Option<bool>,
}

impl Written {
    pub(super) fn text(&self, number: usize) -> String {
        let mut text = format!("@id(\"r{number}\")");
        for (name, life) in [("max_life", self.max_life), ("long_work", self.long_work)] {
            text.extend(life.map(|life| format!("@{name}(\"{life}m\")")));
        }
        text.extend(self.strict.then_some("@liveness(\"strict\")"));
        text.extend(
            self.trial.map(|goes_on| if goes_on { "@observe(\"2026-12-31\")" } else { "@observe(\"2026-01-01\")" }),
        );
        let (effect, action) = (if self.permits { "permit" } else { "forbid" }, self.action);
        let Self { principal, resource, condition, .. } = self;
        format!("{text} {effect} ({principal}, {action}, {resource}){condition};")
    }
}

prop_compose! {
    /// Any effect, heads that name one, a kind or nothing, and any condition that fits.
    pub(super) fn rule()(
        permits in prop::bool::weighted(0.7),
        workload in select(&WORKLOADS[..]),
        principal in 0..6_u8,
        deed in 0..8_u8,
        resource in 0..8_u8,
        target in select(&TARGETS[..]),
        condition in select(&CONDITIONS[..]),
        own_condition in select(&OWN_CONDITIONS[..]),
        max_life in prop::option::of(1..=60_u64),
        long_work in prop::option::of(1..=60_u64),
        strict in prop::bool::weighted(0.2),
        trial in prop::option::weighted(0.4, prop::bool::weighted(0.8)),
    ) -> Written {
        let principal = match principal {
            0 if !permits => "principal".to_owned(),
            0 | 1 => "principal is Workload".to_owned(),
            2 => format!(r#"principal in Workload::"{workload}""#),
            _ => format!(r#"principal == Workload::"{workload}""#),
        };
        let (action, own, kind, name) = match deed {
            0 | 1 => (r#"action == Action::"begin""#, false, "TrustDomain", DOMAIN),
            2 => (r#"action == Action::"use""#, true, "Target", target),
            3 => (r#"action in [Action::"exchange", Action::"use"]"#, true, "Target", target),
            _ => (r#"action == Action::"exchange""#, false, "Target", target),
        };
        let resource = match resource {
            0 if !permits => "resource".to_owned(),
            0 | 1 => format!("resource is {kind}"),
            2 => format!(r#"resource in {kind}::"{name}""#),
            3 => format!(r#"resource is {kind} in {kind}::"{name}""#),
            _ => format!(r#"resource == {kind}::"{name}""#),
        };
        let condition = if own { own_condition } else { condition };
        // Of a rule that is about the own name alone, only the longest life means something.
        let (max_life, trial) = if permits { (max_life, trial) } else { (None, None) };
        let (long_work, strict) = if permits && deed != 2 { (long_work, strict) } else { (None, false) };
        Written { permits, principal, action, resource, condition, max_life, long_work, strict, trial }
    }
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) requester: &'static str,
    /// `begin`, `exchange` or `use`.
    pub(super) deed: &'static str,
    pub(super) target: &'static str,
    pub(super) subject: &'static str,
    pub(super) groups: Vec<String>,
    pub(super) roles: Vec<String>,
    /// Who acted before.
    pub(super) before: Vec<&'static str>,
    pub(super) scopes: &'static str,
    pub(super) passes_on: &'static str,
}

prop_compose! {
    pub(super) fn question()(
        requester in select(&["spiffe://corp.example/a", "spiffe://corp.example/b", "spiffe://corp.example/c", "spiffe://corp.example/d"][..]),
        deed in select(&["begin", "exchange", "exchange", "exchange", "use"][..]),
        target in select(&["one", "two", "three", "unknown"][..]),
        subject in select(&["alice", "bob"][..]),
        groups in subsequence(vec!["support".to_owned(), "sales".to_owned()], 0..=2),
        roles in subsequence(vec!["admin".to_owned(), "support".to_owned()], 0..=2),
        before in subsequence(WORKLOADS.to_vec(), 0..=2),
        scopes in select(&["", "read", "write", "read write"][..]),
        passes_on in select(&["", "read", "read write"][..]),
    ) -> Asked {
        let before = before.into_iter().filter(|actor| *actor != requester).collect();
        Asked { requester, deed, target, subject, groups, roles, before, scopes, passes_on }
    }
}

impl Asked {
    pub(super) fn decide(&self, policies: &Policies) -> Decision {
        self.put(|question| policies.decide(question), |asked| policies.decide_use(asked))
    }

    pub(super) fn observe(&self, policies: &Policies, decision: &Decision, now: UnixTime) -> Option<Would> {
        self.put(
            |question| policies.observe(question, decision, now),
            |asked| policies.observe_use(asked, decision, now),
        )
    }

    pub(super) fn explain(&self, policies: &Policies, now: UnixTime) -> Explanation {
        self.put(|question| policies.explain(question, now), |asked| policies.explain_use(asked, now))
    }

    pub(super) fn may_ask(&self, policies: &Policies) -> Option<MayAsk> {
        self.put(|question| Some(policies.may_ask(question, &scopes("read write"))), |_asked| None)
    }

    pub(super) fn reaches(&self, policies: &Policies) -> bool {
        let requester = workload(self.requester);
        match self.deed {
            "exchange" => policies.reaches(&requester, self.target),
            "use" => policies.uses(&requester, self.target),
            _begin => false,
        }
    }

    fn put<T>(&self, for_user: impl FnOnce(&Question<'_>) -> T, own: impl FnOnce(&Use<'_>) -> T) -> T {
        let (requester, domain) = (workload(self.requester), TrustDomain::new(DOMAIN).expect("a trust domain"));
        let action = match self.deed {
            "use" => return own(&Use { requester: &requester, target: self.target }),
            "begin" => Action::Begin { trust_domain: &domain },
            _exchange => Action::Exchange { target: self.target },
        };
        let mut actors = self.before.iter().chain([&self.requester]).map(|id| workload(id));
        let first = ActorChain::of(actors.next().expect("an actor"));
        for_user(&Question {
            requester: &requester,
            action,
            subject: &self.subject.parse::<Subject>().expect("a subject"),
            groups: &self.groups,
            roles: &self.roles,
            actors: &actors.try_fold(first, ActorChain::then).expect("a chain"),
            scopes: &scopes(self.scopes),
            passes_on: &scopes(self.passes_on),
        })
    }
}

fn workload(id: &str) -> SpiffeId {
    workload_id(id).expect("an id")
}

fn scopes(text: &str) -> Scopes {
    text.parse().expect("scopes")
}
