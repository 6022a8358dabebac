//! A rule's conditions, taken apart where they are joined, each evaluated for itself.

use cedar_policy::{Authorizer, Decision, Entities, Policy, PolicySet, Request};
use serde_json::{Value, json};

use super::{Considered, plain};
use crate::rule::Rule;

/// One thing that must hold, or must not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// Cedar's JSON of the expression.
    pub(super) body: Value,
    pub(super) must: bool,
}

/// Finds which parts hold and tells it in `considered`, whose heads match.
pub(super) fn look(rule: &Rule, request: &Request, entities: &Entities, considered: &mut Considered) {
    match outcome(&rule.policy, request, entities) {
        Outcome::Fails(error) => considered.error = Some(error),
        Outcome::Holds => considered.until = parts(&rule.policy).iter().map(|part| plain::words(&part.not())).collect(),
        Outcome::DoesNot => {
            let unmet = |part: &&Part| !matches!(part.outcome(request, entities), Outcome::Holds);
            considered.unmet = parts(&rule.policy).iter().filter(unmet).map(plain::words).collect();
            if considered.unmet.is_empty() {
                // Parts that fail by themselves are guarded by one before them; and then that one is unmet.
                considered.unmet.push("its conditions do not hold together".to_owned());
            }
        }
    }
}

impl Part {
    fn not(&self) -> Self {
        Self { body: self.body.clone(), must: !self.must }
    }

    /// A rule for everybody with this condition alone.
    fn alone(&self) -> Option<Policy> {
        let kind = if self.must { "when" } else { "unless" };
        let everything = json!({"op": "All"});
        let rule = json!({
            "effect": "permit", "principal": everything, "action": everything, "resource": everything,
            "conditions": [{"kind": kind, "body": self.body}],
        });
        Policy::from_json(None, rule).ok()
    }

    fn outcome(&self, request: &Request, entities: &Entities) -> Outcome {
        match self.alone() {
            Some(rule) => outcome(&rule, request, entities),
            None => Outcome::Fails("not to be taken apart".to_owned()),
        }
    }

    /// The expression as Cedar writes it.
    pub(super) fn written(&self) -> String {
        let text = self.alone().and_then(|rule| rule.to_cedar()).unwrap_or_default();
        let inner = text.split_once('{').and_then(|(_head, rest)| rest.rsplit_once('}')).map(|(inner, _end)| inner);
        inner.unwrap_or(&text).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

enum Outcome {
    Holds,
    DoesNot,
    Fails(String),
}

/// Whether this rule applies, whatever its effect.
fn outcome(rule: &Policy, request: &Request, entities: &Entities) -> Outcome {
    let Ok(set) = PolicySet::from_policies([rule.clone()]) else {
        return Outcome::Fails("not a set of its own".to_owned());
    };
    let response = Authorizer::new().is_authorized(request, &set, entities);
    if let Some(error) = response.diagnostics().errors().next() {
        return Outcome::Fails(error.to_string());
    }
    let applies = response.diagnostics().reason().next().is_some() || response.decision() == Decision::Allow;
    if applies { Outcome::Holds } else { Outcome::DoesNot }
}

fn parts(rule: &Policy) -> Vec<Part> {
    let json = rule.to_json().unwrap_or(Value::Null);
    let conditions = json.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
    let part = |condition: Value| {
        let must = condition.get("kind").and_then(Value::as_str) == Some("when");
        condition.get("body").cloned().map(|body| apart(Part { body, must })).unwrap_or_default()
    };
    conditions.into_iter().flat_map(part).collect()
}

/// Both sides of what is joined: `a && b` that must hold, `a || b` that must not. How deep is bounded by what a rule's
/// text may be.
pub(super) fn apart(part: Part) -> Vec<Part> {
    let joint = if part.must { "&&" } else { "||" };
    if let Some(sides) = part.body.get(joint) {
        let side = |name: &str| sides.get(name).cloned().map(|body| apart(Part { body, must: part.must }));
        return ["left", "right"].into_iter().filter_map(side).flatten().collect();
    }
    match part.body.get("!").and_then(|not| not.get("arg")) {
        Some(body) => apart(Part { body: body.clone(), must: !part.must }),
        None => vec![part],
    }
}
