//! One file, one rule. Everything that is wrong with the file is told at once; a rule that exists here has an id,
//! acceptable terms and passed Cedar's strict validator.

use std::path::{Path, PathBuf};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint,
    ValidationError, ValidationMode, Validator,
};
use identity::{Refusal, UnixTime};
use miette::Diagnostic;

use crate::{Observed, PolicyProblem, Terms, nesting::too_deep, request::Vocabulary, terms::BadAnnotation};

/// Longest id in bytes: it stands in every record and refusal.
const ID_LENGTH_MAX: usize = 64;

/// The lint that refuses a permit with an open head, as its message names it.
const OPEN_HEAD: &str = "lint: open-head";

/// A rule that passed every check of its own.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) file: PathBuf,
    pub(crate) text: String,
    pub(crate) policy: Policy,
    pub(crate) terms: Terms,
    /// `None`: the rule decides.
    pub(crate) observed: Option<Observed>,
    /// Byte of the text at which the id stands.
    pub(crate) id_offset: usize,
}

impl Rule {
    /// Reads the rule of `file`, whose content is `text`, as it is at `now`.
    pub(crate) fn read(
        file: &Path,
        text: &str,
        validator: &Validator,
        words: &Vocabulary,
        now: UnixTime,
    ) -> Result<Self, Vec<PolicyProblem>> {
        if let Some(offset) = too_deep(text) {
            return Err(vec![PolicyProblem::at(
                file,
                text,
                offset,
                "brackets are nested too deeply for a rule that is read",
            )]);
        }
        let set: PolicySet = text.parse().map_err(|errors: cedar_policy::ParseErrors| {
            errors.iter().map(|error| PolicyProblem::from_cedar(file, text, error)).collect::<Vec<_>>()
        })?;
        let mut problems = not_valid(file, text, &set, validator);
        let Some(policy) = only_rule(file, text, &set, &mut problems) else { return Err(problems) };
        problems.extend(heads_missing(file, text, policy));

        let mut bad = Vec::new();
        let terms = Terms::read(policy.annotations(), policy.effect() == Effect::Permit, &mut bad);
        bad.extend(terms_of_a_user(policy, &terms, words));
        let observed = observed(policy, now).unwrap_or_else(|found| {
            bad.push(found);
            None
        });
        let named = |name: &str| find(text, &format!("@{name}"));
        problems.extend(bad.into_iter().map(|bad| PolicyProblem::at(file, text, named(&bad.name), bad.message)));

        let id = policy.annotation("id").map(str::to_owned).unwrap_or_default();
        if let Some(message) = id_fault(&id) {
            problems.push(PolicyProblem::at(file, text, named("id"), message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let policy = policy.new_id(PolicyId::new(&id));
        let (file, text, id_offset) = (file.to_owned(), text.to_owned(), named("id"));
        Ok(Self { id, file, text, policy, terms, observed, id_offset })
    }

    /// Whether it decides, and is not only on trial.
    pub(crate) const fn is_in_force(&self) -> bool {
        self.observed.is_none()
    }

    /// Whether this is a permit in force whose heads admit that `workload` does `asked` to `target`; its conditions are not
    /// looked at.
    pub(crate) fn admits(&self, workload: &EntityUid, asked: &EntityUid, target: &EntityUid) -> bool {
        self.permits() && self.is_in_force() && self.heads(workload, asked, target).all()
    }

    /// The same for whatever workload.
    pub(crate) fn admits_anyone(&self, asked: &EntityUid, target: &EntityUid) -> bool {
        self.permits() && self.is_in_force() && self.admits_action(asked) && self.admits_resource(target)
    }

    pub(crate) fn permits(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }

    /// Which heads match. Nothing in the schema is above a workload, a target or a trust domain, so `in` is `==`.
    pub(crate) fn heads(&self, workload: &EntityUid, asked: &EntityUid, resource: &EntityUid) -> Heads {
        let principal = match self.policy.principal_constraint() {
            PrincipalConstraint::Any => true,
            PrincipalConstraint::Eq(named) | PrincipalConstraint::In(named) => named == *workload,
            PrincipalConstraint::Is(kind) => *workload.type_name() == kind,
            PrincipalConstraint::IsIn(kind, named) => *workload.type_name() == kind && named == *workload,
        };
        Heads { principal, action: self.admits_action(asked), resource: self.admits_resource(resource) }
    }

    fn admits_action(&self, asked: &EntityUid) -> bool {
        match self.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(named) => named == *asked,
            ActionConstraint::In(named) => named.contains(asked),
        }
    }

    fn admits_resource(&self, resource: &EntityUid) -> bool {
        match self.policy.resource_constraint() {
            ResourceConstraint::Any => true,
            ResourceConstraint::Eq(named) | ResourceConstraint::In(named) => named == *resource,
            ResourceConstraint::Is(kind) => *resource.type_name() == kind,
            ResourceConstraint::IsIn(kind, named) => *resource.type_name() == kind && named == *resource,
        }
    }
}

/// Which heads of a rule match a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) principal: bool,
    pub(crate) action: bool,
    pub(crate) resource: bool,
}

impl Heads {
    pub(crate) const fn all(self) -> bool {
        self.principal && self.action && self.resource
    }
}

/// What the validator found. A warning counts as much as an error: it tells of a rule that can never apply, or of
/// letters that look like others, and neither may stand in a rule that somebody relies on. Beside an error it only says
/// the same again.
fn not_valid(file: &Path, text: &str, set: &PolicySet, validator: &Validator) -> Vec<PolicyProblem> {
    let found = validator.validate(set, ValidationMode::Strict);
    let told = |id: &PolicyId, found: &dyn Diagnostic| {
        PolicyProblem::from_cedar(file, text, found).without(&format!("for policy `{id}`,"))
    };
    let error = |error: &ValidationError| {
        let problem = told(error.policy_id(), error);
        if matches!(error, ValidationError::UnrecognizedActionId(_)) { problem.meaning_action() } else { problem }
    };
    let errors: Vec<_> = found.validation_errors().map(error).collect();
    if !errors.is_empty() {
        return errors;
    }
    found.validation_warnings().map(|warning| told(warning.policy_id(), warning)).collect()
}

/// The one rule of the file.
fn only_rule<'a>(file: &Path, text: &str, set: &'a PolicySet, problems: &mut Vec<PolicyProblem>) -> Option<&'a Policy> {
    if set.num_of_templates() > 0 {
        problems.push(PolicyProblem::of(file, "templates are not offered: name principal and resource in the rule"));
    }
    let mut rules: Vec<&Policy> = set.policies().collect();
    let begin = |rule: &Policy| rule.to_cedar().and_then(|rule| text.find(rule.as_str())).unwrap_or_default();
    rules.sort_by_key(|rule| begin(rule));
    if let Some(second) = rules.get(1) {
        let message = "another rule begins here: one rule a file, so that a change is one file";
        problems.push(PolicyProblem::at(file, text, begin(second), message));
        return None;
    }
    if rules.is_empty() && set.num_of_templates() == 0 {
        problems.push(PolicyProblem::of(file, "no rule in this file"));
    }
    rules.first().copied()
}

/// A permit that leaves a head open grants more than its author listed, and more with every name that is added later.
/// `principal is Workload` says "every workload" on purpose, and is accepted.
fn heads_missing(file: &Path, text: &str, policy: &Policy) -> Vec<PolicyProblem> {
    if policy.effect() == Effect::Forbid {
        return Vec::new();
    }
    let open = [
        (policy.principal_constraint() == PrincipalConstraint::Any, "principal", r#"== Workload::"spiffe://…""#),
        (policy.action_constraint() == ActionConstraint::Any, "action", r#"== Action::"exchange""#),
        (policy.resource_constraint() == ResourceConstraint::Any, "resource", r#"== Target::"…""#),
    ];
    let missing = open.into_iter().filter(|(open, ..)| *open).map(|(_open, head, example)| {
        let message = format!("a permit must say for which {head} it holds: `{head} {example}` ({OPEN_HEAD})");
        PolicyProblem::at(file, text, find(text, "permit"), message)
    });
    missing.collect()
}

/// Terms about a user's session on a permit that is for no user: they would look as if they meant something.
fn terms_of_a_user(policy: &Policy, terms: &Terms, words: &Vocabulary) -> Vec<BadAnnotation> {
    let own = match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(named) => !words.is_for_user(&named),
        ActionConstraint::In(named) => !named.iter().any(|action| words.is_for_user(action)),
    };
    let found = [("long_work", terms.long_work.is_some()), ("liveness", terms.strict)];
    let meaningless = found.into_iter().filter(|(_name, stands)| own && *stands).map(|(name, _stands)| {
        let message = format!("`@{name}` stands on a permit of `use` or `administer`, where no user is");
        BadAnnotation { name: name.to_owned(), message }
    });
    meaningless.collect()
}

/// What a forbid would refuse must not be given while it is on trial; so there are trials of permits only.
fn observed(policy: &Policy, now: UnixTime) -> Result<Option<Observed>, BadAnnotation> {
    let bad = |message: String| BadAnnotation { name: "observe".to_owned(), message };
    match (policy.annotation("observe"), policy.effect()) {
        (None, _any) => Ok(None),
        (Some(value), Effect::Permit) => Observed::read(value, now).map(Some).map_err(bad),
        (Some(_value), Effect::Forbid) => {
            Err(bad("`@observe` stands on a forbid, and what that would refuse would be given all the while: \
             `countersign policies diff` tells what it would have refused of a recorded day"
                .to_owned()))
        }
    }
}

fn id_fault(id: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() {
        return Some("the rule has no `@id(\"…\")`: decisions and records name it".to_owned());
    }
    if id.len() > ID_LENGTH_MAX || !id.bytes().all(allowed) {
        return Some(format!("the id `{id}` must hold 1 to {ID_LENGTH_MAX} of the characters a-z, 0-9 and `-`"));
    }
    // A forbid speaks as `policy.<id>`; it must not be taken for a refusal of another meaning.
    let spoken = Refusal::from_code(&format!("policy.{id}"));
    (spoken != Some(Refusal::PolicyForbidden(id.to_owned()))).then(|| format!("the id `{id}` is a refusal of its own"))
}

/// Byte at which `words` stand in the text, comments left out; 0 where they do not.
pub(crate) fn find(text: &str, words: &str) -> usize {
    let mut offset = 0_usize;
    for line in text.split_inclusive('\n') {
        let code = line.split("//").next().unwrap_or_default();
        if let Some(within) = code.find(words) {
            return offset.saturating_add(within);
        }
        offset = offset.saturating_add(line.len());
    }
    0
}
