//! The exchange, on one screen: subject, actor, grant, store, record, mint. Every branch is here; the steps are leaves
//! that never call each other. Any step may refuse, and then nothing is issued.

mod actor;
mod standing;
mod subject;

use identity::{DecisionRecord, Entry, Kind, RawToken, Refusal, Scopes, SpiffeId, UnixTime};

pub(crate) use self::actor::Actor;
use self::standing::Standing;
pub(crate) use self::standing::confirm;
use crate::{
    authority::Keeper,
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
    let (grant, sign_in, shown) = match &request.wish {
        Wish::Begin { user, scopes } => {
            let (grant, sign_in) = begin(parties, requester, (user, scopes), record, now).await?;
            (grant, sign_in, None)
        }
        Wish::Call { transaction, target, scopes } => {
            let held = subject::transaction(parties, transaction, now)?;
            record.note(|entry| {
                known(entry, &held);
                entry.passed_on = target.passes_on().map(|passes_on| held.scopes().intersect(passes_on));
            });
            Actor::calling(&held, requester)?;
            let standing = standing::of(parties, &held, now).await?;
            let decide = |standing: &Standing| {
                let (person, ends) = (standing.person(), standing.ends());
                let actor = Actor::calling(&held, requester)?;
                let call = Call { person, actor, held: &held, target, scopes, ends };
                decided(parties, Case::Call(call), record, now)
            };
            let (grant, sign_in) = decide_alive(parties, standing, decide, now).await?;
            (grant, sign_in, Some((transaction, held)))
        }
        Wish::Renew { transaction, scopes } => {
            let held = subject::transaction(parties, transaction, now)?;
            record.note(|entry| known(entry, &held));
            Actor::renewing(&held, requester)?;
            let standing = standing::of(parties, &held, now).await?;
            let targets: Vec<_> = parties.registry.iter().map(AsRef::as_ref).collect();
            let trust_domain = &parties.issuer.trust_domain;
            let edge_scopes = parties.edges.of(requester).map(|edge| &edge.scopes);
            let decide = |standing: &Standing| {
                let (person, ends) = (standing.person(), standing.ends());
                let (actor, scopes) = (Actor::renewing(&held, requester)?, scopes.as_ref());
                let (held, targets) = (&held, targets.as_slice());
                let renew = Renew { person, actor, held, targets, edge_scopes, trust_domain, scopes, ends };
                decided(parties, Case::Renew(renew), record, now)
            };
            let (grant, sign_in) = decide_alive(parties, standing, decide, now).await?;
            (grant, sign_in, Some((transaction, held)))
        }
    };
    record.note(|entry| grant.describe(entry));
    parties.recorder.granted(record.entry()).await?;
    // The last look, after the last wait: a logout or a revocation ends in memory before it is answered, so nothing is
    // signed for it any more, and what was signed just before is refused at its next use.
    parties.sessions.check(&sign_in)?;
    let (shown, held) = shown.unzip();
    parties.revocations.check_grant(&grant, held.as_deref(), now)?;
    let issued = mint(grant, &parties.issuer, now)?;
    // Whoever stole a key is on the way, too: what it signed is proved again with the keys that are in use by now, after
    // the signature, or the successor of a key that was just revoked would sign for the thief.
    shown.map(|token| subject::transaction(parties, token, now)).transpose()?;
    Ok(issued)
}

/// A user enters: the authority confirms who it is, policy allows it, and the transaction is in the store.
async fn begin(
    parties: &Parties,
    requester: &SpiffeId,
    (token, scopes): (&RawToken, &Scopes),
    record: &mut DecisionRecord,
    now: UnixTime,
) -> Result<(Grant, SignIn), Refusal> {
    let user = subject::user(parties, requester, token, scopes, now).await?;
    record.note(|entry| {
        entry.subject = Some(user.subject.clone());
        entry.shown = Some(user.token.scopes().clone());
    });
    parties.liveness.check(user.authority.issuer())?;
    let keeper = user.confirmed(parties, token, scopes, now).await?;
    let proof = keeper.as_deref().map_or(&user.token, Keeper::proof);
    let begin = Begin {
        person: user.person(proof),
        actor: Actor::entering(requester),
        keeper: proof,
        signed_in: user.token.lifetime(),
        edge_scopes: &user.edge.scopes,
        trust_domain: &parties.issuer.trust_domain,
        scopes,
    };
    let grant = decided(parties, Case::Begin(begin), record, now)?;
    let sign_in = parties.sessions.sign_in(proof);
    parties.sessions.check(&sign_in)?; // it may have ended while the provider was asked
    let grant = match &keeper {
        Some(keeper) => parties.store.begin(&grant, requester, keeper, now).await.map(|()| grant)?,
        None => {
            let grant = grant.unconfirmed()?;
            parties.store.begin_alone(&grant, requester, proof, now).await.map(|()| grant)?
        }
    };
    Ok((grant, sign_in))
}

/// Decides, and notes what rules on trial would have said.
fn decided(parties: &Parties, case: Case<'_>, record: &mut DecisionRecord, now: UnixTime) -> Result<Grant, Refusal> {
    let mut would = None;
    let grant = grant::decide(&parties.policies.current(), case, &parties.life, now, &mut would);
    record.note(|entry| entry.would = would);
    grant
}

/// Decides; where the rule wants the provider's word that the session lives, once more after it was given, on what the
/// provider says now: a group that the user left since does not count.
async fn decide_alive(
    parties: &Parties,
    standing: Standing,
    mut decide: impl FnMut(&Standing) -> Result<Grant, Refusal>,
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
    // Other scopes than those of edge and target are text that a caller chose.
    let (asked, known) = match wish {
        Wish::Begin { scopes, .. } => (scopes, parties.edges.of(&entry.requester).map(|edge| &edge.scopes)),
        Wish::Call { target, scopes, .. } => (scopes, Some(target.scopes())),
        Wish::Renew { .. } => return,
    };
    entry.asked = known.filter(|known| asked.is_subset(known)).map(|_known| asked.clone());
}

/// What it can say of a transaction token that was verified.
fn known(entry: &mut Entry, held: &identity::TxnToken) {
    entry.transaction = Some(held.transaction().clone());
    entry.subject = Some(held.subject().clone());
    entry.chain = Some(held.chain().clone());
    entry.shown = Some(held.scopes().clone());
}
