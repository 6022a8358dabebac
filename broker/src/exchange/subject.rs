//! For whom: a user's token at an edge, or a transaction token of our own. Nothing of a token is believed before
//! `identity::verify` has proved it.

use std::sync::Arc;

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
    pub(super) authority: &'a Arc<Authority>,
    pub(super) edge: &'a Edge,
}

impl User<'_> {
    /// Has the authority confirm the user; `None` at one that cannot be asked, whose token is all that it says.
    pub(super) async fn confirmed(
        &self,
        parties: &Parties,
        raw: &RawToken,
        scopes: &Scopes,
        now: UnixTime,
    ) -> Result<Option<Arc<Keeper>>, Refusal> {
        if !self.authority.is_asked() {
            return Ok(None);
        }
        let (subject, session, doubts) = (self.token.subject(), self.token.session(), parties.liveness.doubts_raised());
        let claim = Claim { subject, session, scopes, doubts };
        self.authority.exchange(&parties.svids, raw, claim, now).await.map(Some)
    }

    /// As policy sees the user: groups and roles of what the authority said last (`protocol.md` §7).
    pub(super) fn person<'k>(&'k self, proof: &'k SubjectToken) -> Person<'k> {
        Person { subject: &self.subject, groups: proof.groups(), roles: proof.roles() }
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
    if !edge.admits(token.issuer(), token.client()) {
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
pub(super) fn transaction(parties: &Parties, raw: &RawToken, now: UnixTime) -> Result<Arc<TxnToken>, Refusal> {
    let rule = TxnRule { issuer: &parties.issuer.url, trust_domain: &parties.issuer.trust_domain };
    let keys = parties.issuer.keys.current();
    parties.seen.prove(raw, &keys, now, || verify(raw, keys.verifying(), &rule, now)).map_err(Refusal::Subject)
}
