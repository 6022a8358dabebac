//! The OpenID providers: who says who a user is and whether the session lives. Spoken to with our own JWT-SVID, without
//! any secret. A provider's answer is checked as if it were a stranger's, and its errors are never relayed.

mod answer;
mod documents;
mod key_cache;

use std::error::Error;

use identity::{RawToken, Refusal, Scopes, Subject, SubjectToken, TokenFault, UnixTime, UserRule, verify};
use runtime::workload::Workload;
use serde::Serialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use self::{documents::Documents, key_cache::KeyCache};
use crate::{
    config::AuthorityConfig,
    names::{ACCESS_TOKEN, SPIFFE_JWT_ASSERTION, TOKEN_EXCHANGE},
};

/// All authorities.
#[derive(Debug)]
pub(crate) struct Authorities(Vec<Authority>);

/// One OpenID provider.
#[derive(Debug)]
pub(crate) struct Authority {
    config: AuthorityConfig,
    documents: Documents,
    keys: KeyCache,
}

/// What the provider gave for a user's token: a token for the broker itself, verified. It is shown to nobody but the
/// provider, and lies encrypted in the store.
#[derive(Debug)]
pub(crate) struct Keeper {
    raw: RawToken,
    proof: SubjectToken,
}

/// What the provider must confirm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// `sub` at the provider.
    pub(crate) subject: &'a Subject,
    pub(crate) session: &'a str,
    pub(crate) scopes: &'a Scopes,
}

/// The exchange as a form (RFC 8693 §2.1). Exactly one `audience`, or Keycloak gives all; `client_id` beside the SVID,
/// or a mix-up of clients goes unseen (`keycloak.md` §0).
#[derive(Serialize)]
struct ExchangeForm<'a> {
    grant_type: &'a str,
    subject_token: &'a str,
    subject_token_type: &'a str,
    audience: &'a str,
    scope: &'a str,
    client_id: &'a str,
    client_assertion_type: &'a str,
    client_assertion: &'a str,
}

impl Authorities {
    /// Prepares to speak to each; nothing is sent yet.
    ///
    /// # Errors
    /// The HTTP client cannot be built: no trusted root certificates on this machine.
    pub(crate) fn new(configs: Vec<AuthorityConfig>) -> anyhow::Result<Self> {
        configs.into_iter().map(Authority::new).collect::<anyhow::Result<_>>().map(Self)
    }

    /// The authority with this issuer URL, byte for byte (N44).
    pub(crate) fn by_issuer(&self, issuer: &str) -> Option<&Authority> {
        self.0.iter().find(|authority| authority.config.issuer == issuer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Authority> {
        self.0.iter()
    }
}

impl Authority {
    fn new(config: AuthorityConfig) -> anyhow::Result<Self> {
        Ok(Self { documents: Documents::new(&config)?, config, keys: KeyCache::default() })
    }

    /// Its issuer URL.
    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Learns the keys anew if that is due; tells whether any are held.
    pub(crate) async fn refresh_keys(&self) -> bool {
        self.keys.refresh(&self.documents, Instant::now()).await;
        self.keys.any()
    }

    /// Verifies a user's token. An unknown key is looked for once, not more often than the cache allows (N43).
    ///
    /// # Errors
    /// `subject.*`; `fault.provider` while no keys could be had at all.
    pub(crate) async fn verify(&self, raw: &RawToken, now: UnixTime) -> Result<SubjectToken, Refusal> {
        let rule = UserRule { issuer: &self.config.issuer, audience: &self.config.client_id };
        match verify(raw, &self.keys.current(), &rule, now) {
            Err(TokenFault::KeyUnknown) => {}
            verified => return verified.map_err(Refusal::Subject),
        }
        self.keys.refresh(&self.documents, Instant::now()).await;
        if !self.keys.any() {
            return Err(Refusal::FaultProvider);
        }
        verify(raw, &self.keys.current(), &rule, now).map_err(Refusal::Subject)
    }

    /// The subject under which the trust domain knows this user: `sub`, behind the authority's name where there are
    /// several (`protocol.md` §3).
    ///
    /// # Errors
    /// `subject.claim` where the two together are too long.
    pub(crate) fn subject(&self, token: &SubjectToken) -> Result<Subject, Refusal> {
        match &self.config.name {
            None => Ok(token.subject().clone()),
            Some(name) => {
                let qualified = format!("{name}:{}", token.subject());
                qualified.parse().map_err(|_too_long| Refusal::Subject(TokenFault::Claim("sub")))
            }
        }
    }

    /// `sub` at this authority of a subject of the trust domain.
    pub(crate) fn local_subject(&self, subject: &Subject) -> Option<Subject> {
        match &self.config.name {
            None => Some(subject.clone()),
            Some(name) => subject.as_str().strip_prefix(name.as_str())?.strip_prefix(':')?.parse().ok(),
        }
    }

    /// Has the provider confirm session, consent and roles behind `token` (`keycloak.md` §4): it answers with a keeper.
    /// Dropped half-way, at most a keeper that nobody holds was made.
    ///
    /// # Errors
    /// `subject.session_ended`, `subject.*`, `scope.withdrawn`, `scope.widened`, `target.unknown`; `fault.provider` and
    /// `fault.identity` when it cannot be asked.
    pub(crate) async fn exchange(
        &self,
        workload: &Workload,
        token: &RawToken,
        claim: Claim<'_>,
        now: UnixTime,
    ) -> Result<Keeper, Refusal> {
        let svid = workload.jwt_svid(&self.config.issuer, now).await.map_err(|fault| {
            tracing::warn!(%fault, "no JWT-SVID to authenticate at the provider with");
            Refusal::FaultIdentity
        })?;
        let form = ExchangeForm {
            grant_type: TOKEN_EXCHANGE,
            subject_token: token.expose(),
            subject_token_type: ACCESS_TOKEN,
            audience: &self.config.client_id,
            scope: &claim.scopes.to_string(),
            client_id: &self.config.client_id,
            client_assertion_type: SPIFFE_JWT_ASSERTION,
            client_assertion: svid.expose(),
        };
        let (status, body) = self.documents.post_exchange(&form).await.map_err(|fault| self.away(&fault))?;
        let body = Zeroizing::new(body);
        let raw = answer::read(status, &body, claim.scopes, self.issuer())?;
        self.check(raw, claim, now).await
    }

    /// The keeper must be for the same user and session, and for us.
    async fn check(&self, raw: RawToken, claim: Claim<'_>, now: UnixTime) -> Result<Keeper, Refusal> {
        let proof = self.verify(&raw, now).await.map_err(|refusal| self.odd(&refusal.code()))?;
        if proof.subject() != claim.subject || proof.session() != claim.session {
            return Err(self.odd("another user or session"));
        }
        if proof.client() != self.config.client_id {
            return Err(self.odd("another client"));
        }
        answer::compare(&proof.scopes().without_openid(), claim.scopes)?;
        Ok(Keeper { raw, proof })
    }

    fn away(&self, fault: &documents::ProviderFault) -> Refusal {
        let error: &(dyn Error + 'static) = fault;
        tracing::warn!(issuer = self.issuer(), error, "the provider cannot be asked");
        Refusal::FaultProvider
    }

    /// The provider answered 200 with something that cannot be; nothing is issued on it.
    fn odd(&self, reason: &str) -> Refusal {
        tracing::error!(issuer = self.issuer(), reason, "the provider's answer was discarded");
        Refusal::FaultProvider
    }
}

impl Keeper {
    /// Its claims.
    pub(crate) const fn proof(&self) -> &SubjectToken {
        &self.proof
    }

    /// The token, for the store to encrypt.
    pub(crate) const fn raw(&self) -> &RawToken {
        &self.raw
    }
}

#[cfg(test)]
pub(crate) mod tests;
