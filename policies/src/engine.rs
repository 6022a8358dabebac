//! The decision. Cedar answers; what it answers counts only where no rule failed. Cedar skips a rule that fails, which
//! would silence a forbid, so here one failure anywhere is a no. Rules on trial are asked beside it, and decide nothing.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{Context, SHA256};
use cedar_policy::{AuthorizationError, Authorizer, Decision as Verdict, EntityUid, PolicySet, Request, Schema};
use identity::{Scopes, SpiffeId, UnixTime, Would};

use crate::{
    Administer, Decision, Denial, MayAsk, Observed, Permitted, PolicyProblem, Question, Terms, Use, load,
    request::{Prepared, Vocabulary},
    rule::Rule,
    slices::Slices,
};

/// A set of rules that was loaded whole, without a problem.
pub struct Policies {
    folder: PathBuf,
    words: Vocabulary,
    schema: Schema,
    rules: BTreeMap<String, Rule>,
    in_force: Slices,
    on_trial: Slices,
    authorizer: Authorizer,
    digest: Arc<str>,
    generation: u64,
}

impl Policies {
    /// Loads every `*.cedar` of `folder`, one rule a file, and checks each against the schema. Trials are as they are at
    /// `now`; one that is over is no mistake, so that it keeps no other change of the folder away.
    ///
    /// # Errors
    /// Every problem of every file. An empty folder is one: without a rule nothing is allowed, which nobody means.
    pub fn load(folder: &Path, now: UnixTime) -> Result<Self, Vec<PolicyProblem>> {
        let failed = |message: String| vec![PolicyProblem::of(folder, message)];
        let words = Vocabulary::new().map_err(|error| failed(error.to_string()))?;
        let (schema, rules) = load::load(folder, &words, now)?;
        Self::of(folder, words, schema, rules).map_err(failed)
    }

    fn of(folder: &Path, words: Vocabulary, schema: Schema, rules: BTreeMap<String, Rule>) -> Result<Self, String> {
        let sliced = |in_force: bool| {
            let rules = rules.values().filter(|rule| rule.is_in_force() == in_force);
            Slices::of(rules.map(|rule| &rule.policy)).map_err(|error| error.to_string())
        };
        let (in_force, on_trial) = (sliced(true)?, sliced(false)?);
        let (digest, generation) = fingerprint(&rules);
        let (folder, authorizer) = (folder.to_owned(), Authorizer::new());
        Ok(Self { folder, words, schema, rules, in_force, on_trial, authorizer, digest, generation })
    }

    /// Whether it may, by which rules, and under which terms. Any evaluation error of any rule that could apply is a
    /// [`Denial::Error`]. Pure and without a wait; takes some microseconds for each rule about the resource.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match Prepared::new(question, &self.words) {
            Ok(prepared) => self.judge(&self.about(&prepared), &prepared, question.scopes),
            Err(error) => Decision::Denied(Denial::Error(error.to_string())),
        }
    }

    /// As [`Self::decide`], where no user is.
    #[must_use]
    pub fn decide_use(&self, asked: &Use<'_>) -> Decision {
        let prepared = Prepared::own(asked, &self.words);
        self.judge(&self.about(&prepared), &prepared, &Scopes::none())
    }

    /// As [`Self::decide`], about the broker itself.
    #[must_use]
    pub fn decide_administer(&self, asked: &Administer<'_>) -> Decision {
        let prepared = Prepared::administration(asked, &self.words);
        self.judge(&self.about(&prepared), &prepared, &Scopes::none())
    }

    /// What rules on trial would have said to this question, which was decided so: that they would have allowed it, too
    /// or alone, or that they cannot be evaluated. `None` where they change nothing: no such rule applies, or what is in
    /// force forbids it, or fails. Changes no decision.
    #[must_use]
    pub fn observe(&self, question: &Question<'_>, decision: &Decision, now: UnixTime) -> Option<Would> {
        if self.on_trial.is_empty() {
            return None;
        }
        self.tried(&Prepared::new(question, &self.words).ok()?, question.scopes, decision, now)
    }

    /// As [`Self::observe`], where no user is.
    #[must_use]
    pub fn observe_use(&self, asked: &Use<'_>, decision: &Decision, now: UnixTime) -> Option<Would> {
        if self.on_trial.is_empty() {
            return None;
        }
        self.tried(&Prepared::own(asked, &self.words), &Scopes::none(), decision, now)
    }

    /// As [`Self::observe`], about the broker itself.
    #[must_use]
    pub fn observe_administer(&self, asked: &Administer<'_>, decision: &Decision, now: UnixTime) -> Option<Would> {
        if self.on_trial.is_empty() {
            return None;
        }
        self.tried(&Prepared::administration(asked, &self.words), &Scopes::none(), decision, now)
    }

    /// What the same requester could ask instead: the question is put again for the empty scope set and for each single
    /// scope of `candidates`, so at most [`identity::SCOPES_MAX`] + 1 decisions (`protocol.md` §4).
    #[must_use]
    pub fn may_ask(&self, question: &Question<'_>, candidates: &Scopes) -> MayAsk {
        let Ok(prepared) = Prepared::new(question, &self.words) else {
            return MayAsk { scopes: Scopes::none(), anything: false };
        };
        let rules = self.about(&prepared);
        let permitted = |scopes: &Scopes| matches!(self.judge(&rules, &prepared, scopes), Decision::Permitted(_));
        let scopes = candidates.keep(permitted);
        let anything = !scopes.is_empty() || permitted(&Scopes::none());
        MayAsk { scopes, anything }
    }

    /// Whether the heads of some permit in force match a call of `workload` to `target` for a user. Conditions are not
    /// evaluated and forbids not looked at: it tells which targets a sidecar has to know of, never that a call is allowed.
    #[must_use]
    pub fn reaches(&self, workload: &SpiffeId, target: &str) -> bool {
        self.any_permit_admits(workload, self.words.exchange(), target)
    }

    /// As [`Self::reaches`], for a call in the workload's own name.
    #[must_use]
    pub fn uses(&self, workload: &SpiffeId, target: &str) -> bool {
        self.any_permit_admits(workload, self.words.own_use(), target)
    }

    /// Whether there is any workload for which [`Self::uses`] could be true.
    #[must_use]
    pub fn is_used(&self, target: &str) -> bool {
        let target = self.words.target(target);
        self.rules.values().any(|rule| rule.admits_anyone(self.words.own_use(), &target))
    }

    /// The rules on trial, by name.
    pub fn on_trial(&self) -> impl Iterator<Item = (&str, &Observed)> {
        self.rules.values().filter_map(|rule| Some((rule.id.as_str(), rule.observed.as_ref()?)))
    }

    /// Where they were loaded from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A number that changes when the set does: the first 64 bits of [`Self::digest`].
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// SHA-256 over the ids and texts of the rules, in hexadecimal. File names do not count.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub(crate) const fn words(&self) -> &Vocabulary {
        &self.words
    }

    pub(crate) const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The rules by name.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.values()
    }

    fn any_permit_admits(&self, workload: &SpiffeId, action: &EntityUid, target: &str) -> bool {
        let (workload, target) = (self.words.workload(workload), self.words.target(target));
        self.rules.values().any(|rule| rule.admits(&workload, action, &target))
    }

    fn about(&self, prepared: &Prepared) -> Vec<&PolicySet> {
        self.in_force.about(prepared.principal(), prepared.resource())
    }

    fn judge(&self, rules: &[&PolicySet], prepared: &Prepared, scopes: &Scopes) -> Decision {
        let request = match prepared.with(scopes, &self.schema) {
            Ok(request) => request,
            Err(error) => return Decision::Denied(Denial::Error(error.to_string())),
        };
        let mut found = self.ask(rules, &request, prepared);
        if !found.failures.is_empty() {
            found.failures.sort();
            let failures: Vec<String> = found.failures.into_iter().map(|(_rule, error)| error).collect();
            return Decision::Denied(Denial::Error(failures.join("; ")));
        }
        match (found.forbids.into_iter().min(), found.permits.is_empty()) {
            (Some(first), _) => Decision::Denied(Denial::Forbidden(first)),
            (None, true) => Decision::Denied(Denial::NoRule),
            (None, false) => self.permit(found.permits),
        }
    }

    /// What these sets, which hold no rule twice, say together: the answer of a set is its forbids where some apply, else
    /// its permits.
    fn ask(&self, rules: &[&PolicySet], request: &Request, prepared: &Prepared) -> Found {
        let mut found = Found::default();
        for set in rules {
            let response = self.authorizer.is_authorized(request, set, prepared.entities());
            let deciding = response.diagnostics().reason().map(ToString::to_string);
            match response.decision() {
                Verdict::Allow => found.permits.extend(deciding),
                Verdict::Deny => found.forbids.extend(deciding),
            }
            found.failures.extend(response.diagnostics().errors().map(|failure| {
                let AuthorizationError::PolicyEvaluationError(error) = failure;
                (error.policy_id().to_string(), failure.to_string())
            }));
        }
        found.permits.sort();
        found
    }

    fn tried(&self, prepared: &Prepared, scopes: &Scopes, decision: &Decision, now: UnixTime) -> Option<Would> {
        match decision {
            Decision::Permitted(_) | Decision::Denied(Denial::NoRule) => {}
            Decision::Denied(Denial::Forbidden(_) | Denial::Error(_)) => return None,
        }
        let rules = self.on_trial.about(prepared.principal(), prepared.resource());
        if rules.is_empty() {
            return None;
        }
        let request = prepared.with(scopes, &self.schema).ok()?;
        let Found { mut permits, failures, .. } = self.ask(&rules, &request, prepared);
        let goes_on = |id: &String| {
            let observed = self.rules.get(id).and_then(|rule| rule.observed.as_ref());
            observed.is_some_and(|observed| !observed.is_over(now))
        };
        let mut failing: Vec<String> = failures.into_iter().map(|(rule, _error)| rule).filter(goes_on).collect();
        failing.sort();
        permits.retain(goes_on);
        match (failing.is_empty(), permits.is_empty()) {
            (false, _) => Some(Would { allow: false, rules: failing }),
            (true, false) => Some(Would { allow: true, rules: permits }),
            (true, true) => None,
        }
    }

    /// A permit under the strictest terms of the deciding rules; a permit that no known rule stands for is an error.
    fn permit(&self, deciding: Vec<String>) -> Decision {
        let terms: Option<Vec<&Terms>> = deciding.iter().map(|id| self.rules.get(id).map(|rule| &rule.terms)).collect();
        let strictest = terms.and_then(|terms| {
            let (first, others) = terms.split_first()?;
            Some(others.iter().fold((*first).clone(), |strictest, terms| strictest.and(terms)))
        });
        match strictest {
            Some(terms) => Decision::Permitted(Permitted::by(deciding, terms, Arc::clone(&self.digest))),
            None => Decision::Denied(Denial::Error("a permit without a known rule".to_owned())),
        }
    }
}

impl fmt::Debug for Policies {
    /// The rules by name; their texts are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<&String> = self.rules.keys().collect();
        f.debug_struct("Policies").field("rules", &rules).field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Which rules apply to a question, and which fail, with why.
#[derive(Debug, Default)]
struct Found {
    permits: Vec<String>,
    forbids: Vec<String>,
    failures: Vec<(String, String)>,
}

/// Digest and generation. Lengths stand before the texts, so that no two sets run together into one.
fn fingerprint(rules: &BTreeMap<String, Rule>) -> (Arc<str>, u64) {
    let mut hash = Context::new(&SHA256);
    for (id, rule) in rules {
        for part in [id, &rule.text] {
            hash.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part.as_bytes());
        }
    }
    let hash = hash.finish();
    let digest: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let generation = hash.as_ref().iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    (digest.into(), generation)
}

#[cfg(test)]
impl Policies {
    /// These rules as a set that lies in no folder.
    pub(crate) fn of_rules(words: Vocabulary, schema: Schema, rules: BTreeMap<String, Rule>) -> Self {
        Self::of(Path::new(""), words, schema, rules).expect("unique ids")
    }
}
