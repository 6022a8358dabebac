//! A token of our own that somebody shows to have it revoked (RFC 7009) or to be told about it (RFC 7662). Showing it gives
//! nothing: whose it is stands in it, and who shows it proved who he is elsewhere.

use identity::{
    Entry, IssuedAccess, IssuedRule, RawToken, Refusal, SpiffeId, TokenFault, TxnRule, TxnToken, UnixTime, verify,
};

use crate::{parties::Parties, revocation::Ending};

/// A token that was issued here and has not expired.
#[derive(Debug)]
pub(crate) enum Shown {
    Access(IssuedAccess),
    Transaction(TxnToken),
}

impl Shown {
    /// What `raw` is, or `None` where it is none of ours, or none any more.
    ///
    /// # Errors
    /// `request.foreign_token` for one that says it is an authority's (N79).
    pub(crate) fn read(parties: &Parties, raw: &RawToken, now: UnixTime) -> Result<Option<Self>, Refusal> {
        let issuer = &parties.issuer;
        if raw.claimed_issuer().is_ok_and(|claimed| parties.authorities.by_issuer(&claimed).is_some()) {
            return Err(Refusal::RequestForeignToken);
        }
        let keys = issuer.keys.current();
        let rule = TxnRule { issuer: &issuer.url, trust_domain: &issuer.trust_domain };
        match verify(raw, keys.verifying(), &rule, now) {
            Ok(token) => Ok(Some(Self::Transaction(token))),
            Err(TokenFault::Type) => {
                let access = verify(raw, keys.verifying(), &IssuedRule { issuer: &issuer.url }, now);
                Ok(access.ok().map(Self::Access))
            }
            Err(_other) => Ok(None),
        }
    }

    /// The workload that it was issued to, which may always end it. A callee's transaction token has none: whoever called
    /// does not use it, and whoever uses it must not end the work of its caller.
    pub(crate) fn owner(&self) -> Option<&SpiffeId> {
        match self {
            Self::Access(token) => Some(token.client()),
            Self::Transaction(token) => token.callee().is_none().then(|| token.requester()),
        }
    }

    /// Whether `workload` may be told about it: who got it, and who is to accept or use it.
    pub(crate) fn concerns(&self, parties: &Parties, workload: &SpiffeId) -> bool {
        match self {
            Self::Access(token) => {
                let target = parties.registry.mesh().by_resource(token.audience());
                token.client() == workload || target.is_some_and(|target| target.workload() == workload)
            }
            Self::Transaction(token) => token.requester() == workload || token.callee() == Some(workload),
        }
    }

    /// What ends with it: an access token alone, with the transaction token that was handed over with it, which is worth
    /// nothing without it; a transaction token with its transaction, as it may have been renewed since.
    pub(crate) fn ending(&self) -> Ending<'static> {
        match self {
            Self::Access(token) => {
                Ending::Tokens([token.id()].into_iter().chain(token.minted_with()).cloned().collect())
            }
            Self::Transaction(token) => Ending::Transaction(token.transaction().clone()),
        }
    }

    /// Whether nothing of it was revoked.
    pub(crate) fn is_live(&self, parties: &Parties) -> bool {
        match self {
            Self::Access(token) => {
                let ids = (token.id(), token.minted_with(), token.transaction());
                let workloads = token.chain().iter().chain([token.client()]);
                parties.revocations.holds(ids, workloads, token.issued_at())
            }
            Self::Transaction(token) => parties.revocations.check(token).is_ok(),
        }
    }

    /// Notes in the record which token it is.
    pub(crate) fn describe(&self, entry: &mut Entry) {
        let (id, transaction, subject, chain) = match self {
            Self::Access(token) => (token.id(), token.transaction(), token.subject(), token.chain()),
            Self::Transaction(token) => (token.id(), token.transaction(), token.subject(), token.chain()),
        };
        entry.tokens = vec![id.clone()];
        entry.transaction = Some(transaction.clone());
        entry.subject = Some(subject.clone());
        entry.chain = Some(chain.clone());
    }
}
