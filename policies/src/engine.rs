//! The decision. Cedar answers; what it answers counts only where no rule failed. Cedar skips a rule that fails, which
//! would silence a forbid, so here one failure anywhere is a no.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::digest::{Context, SHA256};
use cedar_policy::{Authorizer, Decision as Verdict, EntityUid, Policy, PolicySet, Schema};
use identity::{Scopes, SpiffeId};

use crate::{
    Decision, Denial, MayAsk, Permitted, PolicyProblem, Question, Terms, Use, load,
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
    slices: Slices,
    authorizer: Authorizer,
    digest: Arc<str>,
    generation: u64,
}

impl Policies {
    /// Loads every `*.cedar` of `folder`, one rule a file, and checks each against the schema.
    ///
    /// # Errors
    /// Every problem of every file. An empty folder is one: without a rule nothing is allowed, which nobody means.
    pub fn load(folder: &Path) -> Result<Self, Vec<PolicyProblem>> {
        let failed = |message: String| vec![PolicyProblem::of(folder, message)];
        let words = Vocabulary::new().map_err(|error| failed(error.to_string()))?;
        let (schema, rules) = load::load(folder, &words)?;
        let policies: Vec<&Policy> = rules.values().map(|rule| &rule.policy).collect();
        let slices = Slices::of(&policies).map_err(|error| failed(error.to_string()))?;
        let (digest, generation) = fingerprint(&rules);
        let authorizer = Authorizer::new();
        Ok(Self { folder: folder.to_owned(), words, schema, rules, slices, authorizer, digest, generation })
    }

    /// Whether it may, by which rules, and under which terms. Any evaluation error of any rule that could apply is a
    /// [`Denial::Error`]. Pure and without a wait; takes some microseconds for each rule about the resource.
    #[must_use]
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        match Prepared::new(question, &self.words) {
            Ok(prepared) => self.judge(self.slices.about(prepared.resource()), &prepared, question.scopes),
            Err(error) => Decision::Denied(Denial::Error(error.to_string())),
        }
    }

    /// As [`Self::decide`], where no user is.
    #[must_use]
    pub fn decide_use(&self, asked: &Use<'_>) -> Decision {
        let prepared = Prepared::own(asked, &self.words);
        self.judge(self.slices.about(prepared.resource()), &prepared, &Scopes::none())
    }

    /// What the same requester could ask instead: the question is put again for the empty scope set and for each single
    /// scope of `candidates`, so at most [`identity::SCOPES_MAX`] + 1 decisions (`protocol.md` §4).
    #[must_use]
    pub fn may_ask(&self, question: &Question<'_>, candidates: &Scopes) -> MayAsk {
        let Ok(prepared) = Prepared::new(question, &self.words) else {
            return MayAsk { scopes: Scopes::none(), anything: false };
        };
        let slice = self.slices.about(prepared.resource());
        let permitted = |scopes: &Scopes| matches!(self.judge(slice, &prepared, scopes), Decision::Permitted(_));
        let scopes = candidates.keep(permitted);
        let anything = !scopes.is_empty() || permitted(&Scopes::none());
        MayAsk { scopes, anything }
    }

    /// Whether some permit's heads match a call of `workload` to `target` for a user. Conditions are not evaluated and
    /// forbids not looked at: it tells which targets a sidecar has to know of, never that a call is allowed.
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

    fn judge(&self, rules: &PolicySet, prepared: &Prepared, scopes: &Scopes) -> Decision {
        let request = match prepared.with(scopes, &self.schema) {
            Ok(request) => request,
            Err(error) => return Decision::Denied(Denial::Error(error.to_string())),
        };
        let response = self.authorizer.is_authorized(&request, rules, prepared.entities());
        let mut errors: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        if !errors.is_empty() {
            errors.sort();
            return Decision::Denied(Denial::Error(errors.join("; ")));
        }
        let mut deciding: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        deciding.sort();
        match response.decision() {
            Verdict::Allow => self.permit(deciding),
            Verdict::Deny => Decision::Denied(deciding.into_iter().next().map_or(Denial::NoRule, Denial::Forbidden)),
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
mod tests;
