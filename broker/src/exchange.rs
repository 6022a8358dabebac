//! The exchange, on one screen: subject, actor, grant, store, record, mint. Every branch is here; the steps are leaves
//! that never call each other. Any step may refuse, and then nothing is issued.

mod actor;
mod standing;
mod subject;

use identity::{DecisionRecord, Entry, Kind, Refusal, SpiffeId, UnixTime};

pub(crate) use self::actor::Actor;
use self::standing::Standing;
use crate::{
    grant::{self, Begin, Call, Case, Grant, Issued, Renew, mint},
    parties::Parties,
    request::{Request, Wish},
    sessions::SignIn,
};

/// Gives `requester` what it wishes, or refuses. Dropped half-way, `record` says `aborted` and nothing was issued.
///
/// # Errors
/// The refusal; nothing was issued.
pub(crate) async fn exchange(
    parties: &Parties,
    requester: &SpiffeId,
    request: Request,
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<Issued, Refusal> {
    record.note(|entry| wished(entry, &request.wish, parties));
    if let Some(token) = &request.actor_token {
        actor::confirm(parties, requester, token, now).await?;
    }
    let (grant, sign_in) = match &request.wish {
        Wish::Begin { user: token, scopes } => {
            let user = subject::user(parties, requester, token, scopes, now).await?;
            record.note(|entry| {
                entry.subject = Some(user.subject.clone());
                entry.shown = Some(user.token.scopes().clone());
            });
            let keeper = user.authority.exchange(&parties.svids, token, user.claim(scopes), now).await?;
            let begin = Begin {
                person: user.person(&keeper),
                actor: Actor::entering(requester),
                keeper: keeper.proof(),
                signed_in: user.token.lifetime(),
                edge_scopes: &user.edge.scopes,
                trust_domain: &parties.issuer.trust_domain,
                scopes,
            };
            let grant = grant::decide(&parties.policies.current(), Case::Begin(begin), &parties.life, now)?;
            let sign_in = parties.sessions.sign_in(keeper.proof());
            parties.sessions.check(&sign_in)?; // it may have ended while the provider was asked
            parties.store.begin(&grant, requester, &keeper, now).await?;
            (grant, sign_in)
        }
        Wish::Call { transaction, target, scopes } => {
            let held = subject::transaction(parties, transaction, now)?;
            record.note(|entry| known(entry, &held));
            Actor::calling(&held, requester)?;
            let standing = standing::of(parties, &held, now).await?;
            let decide = |standing: &Standing| {
                let (person, ends) = (standing.person(), standing.ends());
                let actor = Actor::calling(&held, requester)?;
                let call = Call { person, actor, held: &held, target, scopes, ends };
                grant::decide(&parties.policies.current(), Case::Call(call), &parties.life, now)
            };
            decide_alive(parties, standing, decide, now).await?
        }
        Wish::Renew { transaction, scopes } => {
            let held = subject::transaction(parties, transaction, now)?;
            record.note(|entry| known(entry, &held));
            Actor::renewing(&held, requester)?;
            let standing = standing::of(parties, &held, now).await?;
            let targets: Vec<_> = parties.registry.iter().map(AsRef::as_ref).collect();
            let trust_domain = &parties.issuer.trust_domain;
            let decide = |standing: &Standing| {
                let (person, ends) = (standing.person(), standing.ends());
                let (actor, scopes) = (Actor::renewing(&held, requester)?, scopes.as_ref());
                let renew = Renew { person, actor, held: &held, targets: &targets, trust_domain, scopes, ends };
                grant::decide(&parties.policies.current(), Case::Renew(renew), &parties.life, now)
            };
            decide_alive(parties, standing, decide, now).await?
        }
    };
    record.note(|entry| grant.describe(entry));
    parties.recorder.granted(record.entry()).await?;
    // The last look, after the last wait: a logout ends the session in memory before it is answered, so nothing is signed
    // for it any more, and what was signed just before is refused at its next use.
    parties.sessions.check(&sign_in)?;
    mint(grant, &parties.issuer, now)
}

/// Decides; where the rule wants the provider's word that the session lives, once more after it was given, on what the
/// provider says now: a group that the user left since does not count.
async fn decide_alive(
    parties: &Parties,
    standing: Standing,
    decide: impl Fn(&Standing) -> Result<Grant, Refusal>,
    now: UnixTime,
) -> Result<(Grant, SignIn), Refusal> {
    let grant = decide(&standing)?;
    if !grant.needs_living_session() || standing.session_lives() {
        return Ok((grant, standing.sign_in().clone()));
    }
    let standing = standing.confirmed(parties, now).await?;
    Ok((decide(&standing)?, standing.sign_in().clone()))
}

/// What a refusal's record can say before anything is verified.
fn wished(entry: &mut Entry, wish: &Wish, parties: &Parties) {
    let (kind, target) = match wish {
        Wish::Begin { .. } => (Kind::Begin, parties.issuer.trust_domain.as_str()),
        Wish::Call { target, .. } => (Kind::Exchange, target.name()),
        Wish::Renew { .. } => (Kind::Renew, parties.issuer.trust_domain.as_str()),
    };
    entry.kind = Some(kind);
    entry.target = Some(target.to_owned());
}

/// What it can say of a transaction token that was verified.
fn known(entry: &mut Entry, held: &identity::TxnToken) {
    entry.transaction = Some(held.transaction().clone());
    entry.subject = Some(held.subject().clone());
    entry.chain = Some(held.chain().clone());
    entry.shown = Some(held.scopes().clone());
}
