//! The grant: what policy allowed, exactly once, and the one way from there to tokens.
//! Whatever is asked, a grant never holds more scope, a longer life, another subject or a shorter chain than what the
//! requester showed. There is no grant without the id of the rule that allowed it.

mod case;
mod mint;
mod plan;

use std::time::Duration;

use identity::{
    ActorChain, Entry, Kind, Lifetime, Mapping, Refusal, Scopes, SpiffeId, Subject, Target, TransactionId, UnixTime,
    Would,
};
use policies::{Action, Decision, Denial, Permitted, Policies, Question};

pub(crate) use self::case::{Begin, Call, Case, Person, Renew};
pub use self::mint::{Issued, IssuedKind, Issuer, mint};
use self::plan::{AccessPlan, Planned, TxnPlan, token_id, transaction_id};
use crate::config::Life;

/// Longest work after the user's own token ended (`protocol.md` §5); longer work is a task.
const LONG_WORK_MAX: Duration = Duration::from_hours(1);

/// What one decision of policy allows. Made by `decide` alone, used up by [`mint`].
///
/// ```
/// fn rules(grant: &broker::grant::Grant) -> &[String] { grant.rules() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(transaction: identity::TransactionId) -> broker::grant::Grant {
///     broker::grant::Grant { transaction, ..loop {} }
/// }
/// ```
/// It has no copy:
/// ```compile_fail,E0599
/// fn copied(grant: broker::grant::Grant) -> (broker::grant::Grant, broker::grant::Grant) { (grant.clone(), grant) }
/// ```
/// It gives tokens once:
/// ```
/// # use {broker::grant::{Grant, Issuer, mint}, identity::UnixTime};
/// fn minted(grant: Grant, issuer: &Issuer, now: UnixTime) { mint(grant, issuer, now).ok(); }
/// ```
/// and no second time:
/// ```compile_fail,E0382
/// # use {broker::grant::{Grant, Issuer, mint}, identity::UnixTime};
/// fn minted(grant: Grant, issuer: &Issuer, now: UnixTime) { mint(grant, issuer, now).ok(); mint(grant, issuer, now).ok(); }
/// ```
#[derive(Debug)]
pub struct Grant {
    kind: Kind,
    transaction: TransactionId,
    subject: Subject,
    chain: ActorChain,
    /// The target's name, or the trust domain.
    target: String,
    planned: Planned,
    ends: Ends,
    permitted: Permitted,
}

/// When the transaction ends: by itself, and at the latest with a living session at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) not_after: Lifetime,
    pub(crate) long_not_after: Lifetime,
}

impl Grant {
    /// The ids of the Cedar rules that allowed it.
    #[must_use]
    pub fn rules(&self) -> &[String] {
        self.permitted.rules()
    }

    /// The transaction that it belongs to.
    #[must_use]
    pub const fn transaction(&self) -> &TransactionId {
        &self.transaction
    }

    /// For whom.
    pub(crate) const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The workloads that its tokens will name.
    pub(crate) fn workloads(&self) -> impl Iterator<Item = &SpiffeId> {
        self.chain.iter().chain(self.planned.callee())
    }

    /// What it allows.
    pub(crate) const fn scopes(&self) -> &Scopes {
        self.planned.scopes()
    }

    /// When the transaction ends.
    pub(crate) const fn ends(&self) -> Ends {
        self.ends
    }

    /// Whether the rule wants the provider's word that the session lives, at this very decision.
    pub(crate) fn needs_living_session(&self) -> bool {
        self.permitted.terms().strict
    }

    /// The same where nobody can be asked whether the session lives: the user's own token is the last word.
    ///
    /// # Errors
    /// `policy.session_unconfirmed`, where the rule wants it asked.
    pub(crate) fn unconfirmed(self) -> Result<Self, Refusal> {
        if self.needs_living_session() {
            return Err(Refusal::PolicySessionUnconfirmed);
        }
        let not_after = self.ends.not_after;
        Ok(Self { ends: Ends { not_after, long_not_after: not_after }, ..self })
    }

    /// Notes in the record what will be issued.
    pub(crate) fn describe(&self, entry: &mut Entry) {
        entry.kind = Some(self.kind);
        entry.transaction = Some(self.transaction.clone());
        entry.subject = Some(self.subject.clone());
        entry.chain = Some(self.chain.clone());
        entry.target = Some(self.target.clone());
        entry.scopes = Some(self.scopes().clone());
        entry.passed_on = self.planned.passed_on().cloned();
        entry.may_ask = self.planned.may_ask().cloned();
        entry.tokens = self.planned.ids();
        entry.not_after = Some(self.planned.not_after());
        entry.rules = self.rules().to_vec();
        entry.rule_set = Some(self.permitted.set().to_owned());
    }
}

/// Asks policy, and turns its yes into a grant that is no wider than what the requester showed. What rules on trial would
/// have said to the question that counted is left in `would`.
///
/// # Errors
/// `scope.*`, `policy.*`, `subject.transaction_ended`; `fault.store` without randomness for an id.
pub(crate) fn decide(
    policies: &Policies,
    case: Case<'_>,
    life: &Life,
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Grant, Refusal> {
    match case {
        Case::Begin(begin) => decide_begin(policies, begin, life, now, would),
        Case::Call(call) => decide_call(policies, call, life, now, would),
        Case::Renew(renew) => decide_renew(policies, renew, life, now, would),
    }
}

fn decide_begin(
    policies: &Policies,
    case: Begin<'_>,
    life: &Life,
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Grant, Refusal> {
    within_held(case.scopes, case.keeper.scopes())?;
    within_known(case.scopes, case.edge_scopes)?;
    let chain = case.actor.into_chain();
    let none = Scopes::none();
    let question = Question {
        requester: chain.current(),
        action: Action::Begin { trust_domain: case.trust_domain },
        subject: case.person.subject,
        groups: case.person.groups,
        roles: case.person.roles,
        actors: &chain,
        scopes: case.scopes,
        passes_on: &none,
    };
    let permitted = permit(policies, &question, case.scopes, now, would)?;
    let terms = permitted.terms();
    let longest = terms.max_life.map_or(life.transaction, |max| max.min(life.transaction));
    let not_after = case.signed_in.min(until(now, longest));
    let long = terms.long_work.map(|long| until(now, long.min(LONG_WORK_MAX)));
    let long_not_after = long.filter(|long| long.not_after() > not_after.not_after()).unwrap_or(not_after);
    let plan = TxnPlan {
        id: token_id()?,
        scopes: case.scopes.clone(),
        requester: chain.current().clone(),
        callee: None,
        lifetime: alive(until(now, life.transaction_token).min(not_after), now)?,
    };
    Ok(Grant {
        kind: Kind::Begin,
        transaction: transaction_id()?,
        subject: case.person.subject.clone(),
        chain,
        target: case.trust_domain.to_string(),
        planned: Planned::Transaction(plan),
        ends: Ends { not_after, long_not_after },
        permitted,
    })
}

fn decide_call(
    policies: &Policies,
    case: Call<'_>,
    life: &Life,
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Grant, Refusal> {
    let (held, target) = (case.held, case.target);
    within_known(case.scopes, target.scopes())?;
    within_held(case.scopes, held.scopes())?;
    let chain = case.actor.into_chain();
    let passed = target.passes_on().map(|passes_on| held.scopes().intersect(passes_on));
    let none = Scopes::none();
    let question = Question {
        requester: chain.current(),
        action: Action::Exchange { target: target.name() },
        subject: case.person.subject,
        groups: case.person.groups,
        roles: case.person.roles,
        actors: &chain,
        scopes: case.scopes,
        passes_on: passed.as_ref().unwrap_or(&none),
    };
    let candidates = target.scopes().intersect(held.scopes());
    let permitted = permit(policies, &question, &candidates, now, would)?;
    let lists = matches!(target.mapping(), Mapping::Mcp(_)) && case.scopes.is_empty();
    let bound = |lives: Duration| {
        let terms = permitted.terms().max_life.map_or(lives, |max| max.min(lives));
        alive(until(now, terms).min(case.ends), now)
    };
    let handed = match passed {
        Some(ref scopes) => Some(TxnPlan {
            id: token_id()?,
            scopes: scopes.clone(),
            requester: chain.current().clone(),
            callee: Some(target.workload().clone()),
            lifetime: bound(life.transaction_token)?,
        }),
        None => None,
    };
    let access = AccessPlan {
        id: token_id()?,
        audience: target.audience().clone(),
        client: chain.current().clone(),
        scopes: case.scopes.clone(),
        may_ask: lists.then(|| policies.may_ask(&question, &candidates).scopes),
        lifetime: bound(life.access_token)?,
    };
    Ok(Grant {
        kind: Kind::Exchange,
        transaction: held.transaction().clone(),
        subject: held.subject().clone(),
        chain,
        target: target.name().to_owned(),
        planned: Planned::Access { access, handed },
        ends: Ends { not_after: case.ends, long_not_after: case.ends },
        permitted,
    })
}

/// A renewal is the same authority a little longer, so policy is asked again what it was asked when it was given: a rule
/// that is gone renews nothing. Nor does an edge that is none any more, or that lost the scope.
fn decide_renew(
    policies: &Policies,
    case: Renew<'_>,
    life: &Life,
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Grant, Refusal> {
    let held = case.held;
    let scopes = match case.scopes {
        Some(scopes) => scopes.clone(),
        // Only a token without scope can be renewed without naming one (N34).
        None if held.scopes().is_empty() => Scopes::none(),
        None => return Err(Refusal::RequestMissingParameter),
    };
    within_held(&scopes, held.scopes())?;
    let permitted = match held.callee() {
        None => {
            within_known(&scopes, case.edge_scopes.ok_or(Refusal::EdgeNotRegistered)?)?;
            let action = Action::Begin { trust_domain: case.trust_domain };
            permit(policies, &asked_by(held.requester(), action, &case, &scopes, &Scopes::none()), &scopes, now, would)?
        }
        Some(callee) => renew_for_callee(policies, &case, (callee, &scopes), now, would)?,
    };
    let lives = permitted.terms().max_life.map_or(life.transaction_token, |max| max.min(life.transaction_token));
    let plan = TxnPlan {
        id: token_id()?,
        scopes,
        requester: held.requester().clone(),
        callee: held.callee().cloned(),
        lifetime: alive(until(now, lives).min(case.ends), now)?,
    };
    Ok(Grant {
        kind: Kind::Renew,
        transaction: held.transaction().clone(),
        subject: held.subject().clone(),
        chain: case.actor.into_chain(),
        target: case.trust_domain.to_string(),
        planned: Planned::Transaction(plan),
        ends: Ends { not_after: case.ends, long_not_after: case.ends },
        permitted,
    })
}

/// The callee's token was handed on with a call to one of its targets, for a scope that the token no longer tells: the
/// call must still be allowed for all of its scopes, for none, or for a single one. Which of these it was is not known, so
/// the strictest terms of all that are allowed count.
fn renew_for_callee(
    policies: &Policies,
    case: &Renew<'_>,
    (callee, scopes): (&SpiffeId, &Scopes),
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Permitted, Refusal> {
    let passing = |target: &&&Target| target.workload() == callee && target.passes_on().is_some();
    let mut allowed: Option<Permitted> = None;
    let mut tried = None;
    for target in case.targets.iter().filter(passing) {
        let known = target.scopes().intersect(case.held.scopes());
        for asked in [known.clone(), Scopes::none()].into_iter().chain(known.singles()) {
            let action = Action::Exchange { target: target.name() };
            let question = asked_by(case.held.requester(), action, case, &asked, scopes);
            let decision = policies.decide(&question);
            let observed = policies.observe(&question, &decision, now);
            match decision {
                Decision::Permitted(permitted) => {
                    allowed = Some(match allowed.take() {
                        Some(before) => before.and(permitted),
                        None => permitted,
                    });
                    *would = would.take().or(observed);
                }
                Decision::Denied(Denial::Error(cause)) => return Err(not_evaluated(&cause)),
                Decision::Denied(Denial::NoRule | Denial::Forbidden(_)) => tried = tried.or(observed),
            }
        }
    }
    allowed.ok_or_else(|| {
        *would = tried;
        Refusal::PolicyNoRule
    })
}

fn asked_by<'a>(
    requester: &'a SpiffeId,
    action: Action<'a>,
    case: &'a Renew<'_>,
    scopes: &'a Scopes,
    passes_on: &'a Scopes,
) -> Question<'a> {
    let Person { subject, groups, roles } = case.person;
    Question { requester, action, subject, groups, roles, actors: case.held.chain(), scopes, passes_on }
}

/// One routine tells `scope.not_permitted` from `policy.no_rule` (`protocol.md` §4): whether the same requester may do
/// it with less.
fn permit(
    policies: &Policies,
    question: &Question<'_>,
    candidates: &Scopes,
    now: UnixTime,
    would: &mut Option<Would>,
) -> Result<Permitted, Refusal> {
    let decision = policies.decide(question);
    *would = policies.observe(question, &decision, now);
    let otherwise = match decision {
        Decision::Permitted(permitted) => return Ok(permitted),
        Decision::Denied(Denial::Error(cause)) => return Err(not_evaluated(&cause)),
        Decision::Denied(Denial::NoRule) => Refusal::PolicyNoRule,
        Decision::Denied(Denial::Forbidden(rule)) => Refusal::PolicyForbidden(rule),
    };
    let less = policies.may_ask(question, candidates);
    Err(if less.anything { Refusal::ScopeNotPermitted } else { otherwise })
}

pub(crate) fn not_evaluated(cause: &str) -> Refusal {
    tracing::error!(cause, "a policy could not be evaluated, so the request is refused");
    Refusal::PolicyError
}

/// Asking what is not known there is refused whole; nothing is trimmed (N36, N37).
fn within_known(asked: &Scopes, known: &Scopes) -> Result<(), Refusal> {
    if asked.is_subset(known) { Ok(()) } else { Err(Refusal::ScopeBeyondTarget) }
}

/// So is asking more than is held (N36, N65).
fn within_held(asked: &Scopes, held: &Scopes) -> Result<(), Refusal> {
    if asked.is_subset(held) { Ok(()) } else { Err(Refusal::ScopeBeyondSubject) }
}

fn until(now: UnixTime, lives: Duration) -> Lifetime {
    Lifetime::until(now.plus(lives))
}

fn alive(lifetime: Lifetime, now: UnixTime) -> Result<Lifetime, Refusal> {
    if lifetime.expired(now) { Err(Refusal::SubjectTransactionEnded) } else { Ok(lifetime) }
}

#[cfg(test)]
pub(crate) mod tests;
