//! Rules beside what a registry says exists. A rule that names something else is valid and never applies, which its
//! author does not mean; so it is told before it is relied on. Nothing is decided here.

use std::path::Path;

use cedar_policy::{ActionConstraint, EntityUid, ResourceConstraint};
use identity::{UnixTime, workload_id};
use serde_json::Value;

use crate::{Policies, PolicyProblem, administer, load, request::Vocabulary, rule, rule::Rule, terms::LIKENESS_MIN};

/// How many letters two workloads' names may differ in for one to be a slip of the other. Their paths are much alike by
/// nature, so a share of the length would say nothing.
const SLIP_MAX: usize = 2;

/// What a registry says exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The trust domain, where the file says one.
    pub trust_domain: Option<String>,
    /// Targets of kind `mesh`, called for a user.
    pub mesh: Vec<String>,
    /// Targets of kind `workload`, called in the caller's own name.
    pub services: Vec<String>,
    /// Workloads that it names: edges and targets. Others may exist, who only call.
    pub workloads: Vec<String>,
    /// Every scope that an edge or a target has.
    pub scopes: Vec<String>,
}

/// What a check of a folder found.
#[derive(Debug, Default)]
pub struct Checked {
    /// How many rules are fine for themselves.
    pub rules: usize,
    /// What is wrong.
    pub problems: Vec<PolicyProblem>,
    /// What is most likely not meant.
    pub warnings: Vec<PolicyProblem>,
}

impl Policies {
    /// As [`Self::load`], and further: every SPIFFE ID in a rule must be one, no trial may be over, and with `known`
    /// everything that a rule names must exist. Problems of all files are found, by file and line.
    #[must_use]
    pub fn check(folder: &Path, known: Option<&Known>, now: UnixTime) -> Checked {
        let failed = |problem: PolicyProblem| Checked { problems: vec![problem], ..Checked::default() };
        let words = match Vocabulary::new() {
            Ok(words) => words,
            Err(error) => return failed(PolicyProblem::of(folder, error.to_string())),
        };
        let schema = match load::schema() {
            Ok(schema) => schema,
            Err(problem) => return failed(problem),
        };
        let load::Read { rules, problems } = load::read(folder, &schema, &words, now);
        let mut checked = Checked { rules: rules.len(), problems, warnings: Vec::new() };
        for rule in rules.values() {
            checked.problems.extend(over(rule, now));
            names(rule, known, &mut checked);
            checked.problems.extend(texts(rule, known, &words));
            if let Some(known) = known {
                kinds(rule, known, &words, &mut checked);
            }
        }
        checked.problems.sort_by(|one, other| place(one).cmp(&place(other)));
        checked.warnings.sort_by(|one, other| place(one).cmp(&place(other)));
        checked
    }
}

fn place(problem: &PolicyProblem) -> (&Path, Option<usize>, Option<usize>) {
    (problem.file(), problem.line(), problem.column())
}

/// A trial that nobody came back to: the rule looks as if it permitted, and does nothing.
fn over(rule: &Rule, now: UnixTime) -> Option<PolicyProblem> {
    let observed = rule.observed.as_ref().filter(|observed| observed.is_over(now))?;
    let message = format!(
        "the trial ended with {}: take `@observe` away to let the rule decide, or take the rule away",
        observed.through()
    );
    Some(PolicyProblem::at(&rule.file, &rule.text, rule::find(&rule.text, "@observe"), message))
}

/// Workloads, targets and trust domains that a rule names.
fn names(rule: &Rule, known: Option<&Known>, checked: &mut Checked) {
    let mut literals = rule.policy.entity_literals();
    literals.sort();
    literals.dedup();
    for literal in literals {
        let id = literal.id().unescaped().to_owned();
        let wrong = match literal.type_name().to_string().as_str() {
            "Workload" => match workload_id(&id) {
                Err(fault) => Some(format!("`{id}` is {fault}: no workload is ever called so")),
                Ok(workload) => known.and_then(|known| {
                    let outside = |domain: &&String| workload.trust_domain().as_str() != domain.as_str();
                    let domain = known.trust_domain.as_ref().filter(outside);
                    domain.map(|domain| format!("`{id}` is outside of the trust domain `{domain}`"))
                }),
            },
            "Target" => known.and_then(|known| {
                let names = || known.mesh.iter().chain(&known.services);
                let missing = !names().any(|name| *name == id);
                missing.then(|| format!("the registry has no target `{id}`{}", meant(&id, names())))
            }),
            "TrustDomain" => known
                .and_then(|known| known.trust_domain.as_ref())
                .and_then(|domain| (*domain != id).then(|| format!("the trust domain is `{domain}`, not `{id}`"))),
            _other => None,
        };
        match wrong {
            Some(message) => checked.problems.push(at(rule, &literal, message)),
            None => checked.warnings.extend(known.and_then(|known| slip(rule, &literal, &id, known))),
        }
    }
}

/// A workload that nobody named and that is almost one that somebody did.
fn slip(rule: &Rule, literal: &EntityUid, id: &str, known: &Known) -> Option<PolicyProblem> {
    if literal.type_name().to_string() != "Workload" || known.workloads.iter().any(|name| name == id) {
        return None;
    }
    let distance = |name: &&String| strsim::levenshtein(id, name);
    let near = known.workloads.iter().filter(|name| distance(name) <= SLIP_MAX).min_by_key(distance)?;
    let message = format!("the registry does not name `{id}`; did you mean `{near}`?");
    Some(at(rule, literal, message))
}

/// A target that is never called in the way that the rule speaks of.
fn kinds(rule: &Rule, known: &Known, words: &Vocabulary, checked: &mut Checked) {
    let target = match rule.policy.resource_constraint() {
        ResourceConstraint::Eq(target) | ResourceConstraint::In(target) | ResourceConstraint::IsIn(_, target) => target,
        ResourceConstraint::Any | ResourceConstraint::Is(_) => return,
    };
    let actions = match rule.policy.action_constraint() {
        ActionConstraint::Any => return,
        ActionConstraint::Eq(action) => vec![action],
        ActionConstraint::In(actions) => actions,
    };
    let speaks_of = |action: &EntityUid| actions.iter().any(|named| named == action);
    let name = target.id().unescaped();
    let holds =
        |names: &[String]| target.type_name().to_string() == "Target" && names.iter().any(|known| known == name);
    if holds(&known.services) && !speaks_of(words.own_use()) {
        let message = format!("`{name}` is of kind `workload`, called in the own name: the action must be `use`");
        checked.problems.push(at(rule, &target, message));
    }
    if holds(&known.mesh) && !speaks_of(words.exchange()) {
        let message = format!("`{name}` is of kind `mesh`, called for a user: the action must be `exchange`");
        checked.problems.push(at(rule, &target, message));
    }
}

/// Texts in conditions. The schema has no others than scopes, and at `administer` operations and what they are about.
fn texts(rule: &Rule, known: Option<&Known>, words: &Vocabulary) -> Vec<PolicyProblem> {
    let administers = |action: &EntityUid| action == words.administer();
    let of_operators = match rule.policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(action) => administers(&action),
        ActionConstraint::In(actions) => actions.iter().any(administers),
    };
    let (known, nobody): (Vec<String>, _) = match known {
        _any if of_operators => (administer::texts().map(str::to_owned).collect(), "at `administer` there is no"),
        Some(known) => (known.scopes.clone(), "no edge and no target of the registry has the scope"),
        None => return Vec::new(),
    };
    let mut texts = Vec::new();
    if let Ok(json) = rule.policy.to_json() {
        collect(json.get("conditions").unwrap_or(&Value::Null), &mut texts);
    }
    texts.sort();
    texts.dedup();
    let wrong = texts.iter().filter(|text| !known.contains(text)).map(|text| {
        let message = format!("{nobody} `{text}`{}", meant(text, known.iter()));
        let offset = rule::find(&rule.text, &format!("\"{text}\""));
        PolicyProblem::at(&rule.file, &rule.text, offset, message)
    });
    wrong.collect()
}

fn collect(json: &Value, texts: &mut Vec<String>) {
    match json {
        Value::Object(fields) => {
            if let Some(Value::String(text)) = fields.get("Value") {
                texts.push(text.clone());
            }
            fields.values().for_each(|value| collect(value, texts));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Where the rule names it.
fn at(rule: &Rule, literal: &EntityUid, message: String) -> PolicyProblem {
    PolicyProblem::at(&rule.file, &rule.text, rule::find(&rule.text, &literal.to_string()), message)
}

fn meant<'a>(written: &str, known: impl Iterator<Item = &'a String>) -> String {
    let likeness = known.map(|known| (strsim::jaro_winkler(written, known), known));
    let best = likeness.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let best = best.filter(|(likeness, _known)| *likeness >= LIKENESS_MIN);
    best.map(|(_likeness, known)| format!("; did you mean `{known}`?")).unwrap_or_default()
}
