//! What must come out: Cedar on the whole set, asked by texts and JSON, and its answer put together with plain lists. It
//! must never call the engine, its requests or its slices.

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision as Verdict, Entities, EntityUid, Policy, PolicyId, PolicySet,
    Request,
};
use identity::{Scopes, UnixTime, Would};
use serde_json::{Value, json};

use super::written::{Asked, DOMAIN, Written};
use crate::{Decision, Denial, MayAsk};

/// A decision as plain data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Permitted { rules: Vec<String>, max_life: Option<u64>, long_work: Option<u64>, strict: bool },
    NoRule,
    Forbidden(String),
    Failed,
}

/// What must come out of a question.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) decision: Said,
    pub(super) would: Option<Would>,
}

/// The rules of a set as they were written.
#[derive(Clone)]
pub(super) struct Oracle(Vec<(String, Written, Policy)>);

/// A question as Cedar takes it.
struct Put {
    request: Request,
    entities: Entities,
}

/// Within the trials that go on.
pub(super) fn now() -> UnixTime {
    UnixTime::from_secs(1_795_478_400).expect("2026-11-24")
}

pub(super) fn said(decision: &Decision) -> Said {
    match decision {
        Decision::Permitted(permitted) => {
            let minutes = |life: Option<std::time::Duration>| life.map(|life| life.as_secs() / 60);
            let terms = permitted.terms();
            Said::Permitted {
                rules: permitted.rules().to_vec(),
                max_life: minutes(terms.max_life),
                long_work: minutes(terms.long_work),
                strict: terms.strict,
            }
        }
        Decision::Denied(Denial::NoRule) => Said::NoRule,
        Decision::Denied(Denial::Forbidden(rule)) => Said::Forbidden(rule.clone()),
        Decision::Denied(Denial::Error(_)) => Said::Failed,
    }
}

impl Oracle {
    pub(super) fn of(rules: &[Written]) -> Self {
        let read = |(number, rule): (usize, &Written)| {
            let id = format!("r{number}");
            let policy = Policy::parse(Some(PolicyId::new(&id)), rule.text(number)).expect("a rule");
            (id, rule.clone(), policy)
        };
        Self(rules.iter().enumerate().map(read).collect())
    }

    /// Some of the rules.
    pub(super) fn only(&self, numbers: &[usize]) -> Self {
        Self(numbers.iter().map(|number| self.0[*number].clone()).collect())
    }

    pub(super) fn texts(&self) -> Vec<String> {
        self.0.iter().map(|(_id, _rule, policy)| policy.to_string()).collect()
    }

    pub(super) fn decide(&self, asked: &Asked) -> Expected {
        self.expected(asked, asked.scopes)
    }

    fn expected(&self, asked: &Asked, scopes: &str) -> Expected {
        let put = Put::of(asked, scopes);
        let among = |these: fn(Option<bool>) -> bool| {
            let rules = self.0.iter().filter(|(_id, rule, _policy)| these(rule.trial));
            put.to(rules.map(|(_id, _rule, policy)| policy.clone()))
        };
        let in_force = among(|trial| trial.is_none());
        let on_trial = among(|trial| trial == Some(true));
        // Were all of them in force: a permit must be one then too, unless a rule on trial fails.
        let all = among(|trial| trial != Some(false));
        let decision = self.said(&in_force);
        let would = match (&decision, on_trial.failed.is_empty()) {
            (Said::Forbidden(_) | Said::Failed, _) => None,
            (_, false) => Some(Would { allow: false, rules: on_trial.failed }),
            (_, true) if on_trial.deciding.is_empty() => None,
            (_, true) => Some(Would { allow: true, rules: on_trial.deciding }),
        };
        if let Some(Would { allow, .. }) = &would {
            assert_eq!(
                *allow,
                matches!(self.said(&all), Said::Permitted { .. }),
                "a trial tells what enforcing would do"
            );
        } else {
            let refused = |said: &Said| !matches!(said, Said::Permitted { .. });
            let both = refused(&self.said(&all)) && refused(&decision);
            assert!(both || self.said(&all) == decision, "a trial that tells nothing would change nothing");
        }
        Expected { decision, would }
    }

    /// Ids of all rules that apply, those on trial too.
    pub(super) fn applying(&self, asked: &Asked) -> Vec<String> {
        let put = Put::of(asked, asked.scopes);
        let applies = |(_id, _rule, policy): &(String, Written, Policy)| put.to([policy.clone()]).deciding;
        let mut applying: Vec<String> = self.0.iter().flat_map(applies).collect();
        applying.sort();
        applying
    }

    /// The single scopes that would be permitted, and whether anything would.
    pub(super) fn may_ask(&self, asked: &Asked) -> Option<MayAsk> {
        if asked.deed == "use" {
            return None;
        }
        let permitted = |scopes: &str| matches!(self.expected(asked, scopes).decision, Said::Permitted { .. });
        let singles: Vec<&str> = ["read", "write"].into_iter().filter(|scope| permitted(scope)).collect();
        let scopes: Scopes = singles.join(" ").parse().expect("scopes");
        Some(MayAsk { anything: permitted("") || !singles.is_empty(), scopes })
    }

    /// Whether a permit in force names workload, deed and target: read from its text.
    pub(super) fn reaches(&self, asked: &Asked) -> bool {
        let names = |head: &str, kind: &str, name: &str| {
            head.ends_with(&format!("is {kind}")) || head.ends_with(&format!("{kind}::\"{name}\""))
        };
        asked.deed != "begin"
            && self.0.iter().any(|(_id, rule, _policy)| {
                rule.permits
                    && rule.trial.is_none()
                    && names(&rule.principal, "Workload", asked.requester)
                    && rule.action.contains(&format!("\"{}\"", asked.deed))
                    && names(&rule.resource, "Target", asked.target)
            })
    }

    fn said(&self, answer: &Answer) -> Said {
        if !answer.failed.is_empty() {
            return Said::Failed;
        }
        if !answer.allow {
            return answer.deciding.first().map_or(Said::NoRule, |first| Said::Forbidden(first.clone()));
        }
        let deciding =
            || self.0.iter().filter(|(id, _rule, _policy)| answer.deciding.contains(id)).map(|(_, rule, _)| rule);
        Said::Permitted {
            rules: answer.deciding.clone(),
            max_life: deciding().filter_map(|rule| rule.max_life).min(),
            long_work: deciding().map(|rule| rule.long_work).min().flatten(),
            strict: deciding().any(|rule| rule.strict),
        }
    }
}

/// Cedar's answer, by name.
struct Answer {
    allow: bool,
    deciding: Vec<String>,
    failed: Vec<String>,
}

impl Put {
    fn of(asked: &Asked, scopes: &str) -> Self {
        let named = |kind: &str, id: &str| -> EntityUid { format!("{kind}::{id:?}").parse().expect("a name") };
        let entity = |kind: &str, id: &str| json!({"__entity": {"type": kind, "id": id}});
        let words =
            |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(|word| json!(word)).collect::<Value>();
        let actors: Value =
            asked.before.iter().chain([&asked.requester]).map(|actor| entity("Workload", actor)).collect();
        let context = match asked.deed {
            "use" => json!({}),
            _for_a_user => json!({
                "subject": entity("User", asked.subject), "actors": actors,
                "scopes": words(scopes), "passes_on": words(asked.passes_on),
            }),
        };
        let parent = |kind: &'static str| move |id: &String| json!({"type": kind, "id": id});
        let parents: Value =
            asked.groups.iter().map(parent("Group")).chain(asked.roles.iter().map(parent("Role"))).collect();
        let user = json!([{"uid": {"type": "User", "id": asked.subject}, "attrs": {}, "parents": parents}]);
        let resource = if asked.deed == "begin" { named("TrustDomain", DOMAIN) } else { named("Target", asked.target) };
        let (principal, action) = (named("Workload", asked.requester), named("Action", asked.deed));
        let context = Context::from_json_value(context, None).expect("a context");
        let request = Request::new(principal, action, resource, context, None).expect("a request");
        Self { request, entities: Entities::from_json_value(user, None).expect("a user") }
    }

    fn to(&self, rules: impl IntoIterator<Item = Policy>) -> Answer {
        let rules = PolicySet::from_policies(rules).expect("unique ids");
        let response = Authorizer::new().is_authorized(&self.request, &rules, &self.entities);
        let mut deciding: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let failed = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(error)| error.policy_id().to_string());
        let mut failed: Vec<String> = failed.collect();
        deciding.sort();
        failed.sort();
        Answer { allow: response.decision() == Verdict::Allow, deciding, failed }
    }
}
