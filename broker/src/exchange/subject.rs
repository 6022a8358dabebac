//! For whom: a user's token at an edge, or a transaction token of our own. Nothing of a token is believed before
//! `identity::verify` has proved it.

use identity::{
    RawToken, Refusal, Scopes, SpiffeId, Subject, SubjectToken, TokenFault, TxnRule, TxnToken, UnixTime, verify,
};

use crate::{
    authority::{Authority, Claim, Keeper},
    config::Edge,
    grant::Person,
    parties::Parties,
};

/// A user who entered at an edge with a token of an authority.
#[derive(Debug)]
pub(super) struct User<'a> {
    pub(super) token: SubjectToken,
    pub(super) subject: Subject,
    pub(super) authority: &'a Authority,
    pub(super) edge: &'a Edge,
}

impl User<'_> {
    /// What the authority must confirm.
    pub(super) fn claim<'c>(&'c self, scopes: &'c Scopes) -> Claim<'c> {
        Claim { subject: self.token.subject(), session: self.token.session(), scopes }
    }

    /// As policy sees the user: groups and roles of the authority's answer (`protocol.md` §7).
    pub(super) fn person<'k>(&'k self, keeper: &'k Keeper) -> Person<'k> {
        Person { subject: &self.subject, groups: keeper.proof().groups(), roles: keeper.proof().roles() }
    }
}

/// The user whose token `requester` shows, if users may enter there from that application with that scope
/// (N40–N50, N56, N101–N103, K9), and if it has not said that the session ended. The authority has not been asked yet.
pub(super) async fn user<'p>(
    parties: &'p Parties,
    requester: &SpiffeId,
    raw: &RawToken,
    scopes: &Scopes,
    now: UnixTime,
) -> Result<User<'p>, Refusal> {
    let edge = parties.edges.of(requester).ok_or(Refusal::EdgeNotRegistered)?;
    let issuer = raw.claimed_issuer().map_err(Refusal::Subject)?;
    let authority = parties.authorities.by_issuer(&issuer).ok_or(Refusal::Subject(TokenFault::Issuer))?;
    let token = authority.verify(raw, now).await?;
    if !edge.login_clients.iter().any(|client| client == token.client()) {
        return Err(Refusal::EdgeLoginClient);
    }
    if !scopes.is_subset(token.scopes()) {
        return Err(Refusal::ScopeBeyondSubject);
    }
    if scopes.intersect(&edge.scopes).is_empty() {
        return Err(Refusal::ScopeNoneForEdge);
    }
    if !scopes.is_subset(&edge.scopes) {
        return Err(Refusal::ScopeBeyondTarget);
    }
    let subject = authority.qualified(token.subject())?;
    parties.sessions.check(&parties.sessions.sign_in(&token))?;
    Ok(User { token, subject, authority, edge })
}

/// A transaction token that our own key signed for our own trust domain (N48–N52, N60, N66).
pub(super) fn transaction(parties: &Parties, raw: &RawToken, now: UnixTime) -> Result<TxnToken, Refusal> {
    let rule = TxnRule { issuer: &parties.issuer.url, trust_domain: &parties.issuer.trust_domain };
    verify(raw, parties.issuer.keys.verifying(), &rule, now).map_err(Refusal::Subject)
}
