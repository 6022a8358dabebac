//! The OpenID providers: who says who a user is and whether the session lives. Spoken to with our own JWT-SVID, without
//! any secret. A provider's answer is checked as if it were a stranger's, and its errors are never relayed.

mod answer;
mod documents;
mod key_cache;

use std::error::Error;

use identity::{
    KeeperRule, LogoutRule, LogoutToken, RawToken, Refusal, Rule, Scopes, Subject, SubjectToken, TokenFault, UnixTime,
    UserRule, verify,
};
use runtime::workload::JwtSvids;
use serde::Serialize;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use self::{
    documents::Documents,
    key_cache::{KeyCache, Whom},
};
use crate::{
    config::AuthorityConfig,
    names::{ACCESS_TOKEN, SPIFFE_JWT_ASSERTION, TOKEN_EXCHANGE},
};

/// Requests that may wait for one provider: half of all that the broker does at once, so that a provider which stands
/// still stops those alone who need it, and calls within running transactions go on (`security.md` §5).
const ASKING_MAX: usize = 256;
/// Logout tokens that may wait until an unknown key was looked for. Anybody can send one, so they have places of their
/// own: strangers who fill them keep no user out.
const STRANGERS_MAX: usize = 16;

/// All authorities.
#[derive(Debug)]
pub(crate) struct Authorities(Vec<Authority>);

/// One OpenID provider.
#[derive(Debug)]
pub(crate) struct Authority {
    config: AuthorityConfig,
    documents: Documents,
    keys: KeyCache,
    asking: Semaphore,
    strangers: Semaphore,
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
        let (documents, keys) = (Documents::new(&config)?, KeyCache::default());
        let (asking, strangers) = (Semaphore::new(ASKING_MAX), Semaphore::new(STRANGERS_MAX));
        Ok(Self { documents, config, keys, asking, strangers })
    }

    /// Its issuer URL.
    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Learns the keys anew if that is due; tells whether any are held.
    pub(crate) async fn refresh_keys(&self) -> bool {
        self.keys.refresh(&self.documents, Whom::Users).await;
        self.keys.any()
    }

    /// Verifies a user's token.
    ///
    /// # Errors
    /// `subject.*`; `fault.provider` while no keys could be had at all; `fault.overloaded`.
    pub(crate) async fn verify(&self, raw: &RawToken, now: UnixTime) -> Result<SubjectToken, Refusal> {
        let rule = UserRule { issuer: &self.config.issuer, audience: &self.config.client_id };
        self.prove(raw, &rule, now).await
    }

    /// Verifies a logout token that was issued for one of `clients`.
    ///
    /// # Errors
    /// `logout_token.*`; `fault.*` as for [`Authority::verify`].
    pub(crate) async fn verify_logout(
        &self,
        raw: &RawToken,
        clients: &[&str],
        now: UnixTime,
    ) -> Result<LogoutToken, Refusal> {
        let rule = LogoutRule { issuer: &self.config.issuer, clients };
        self.prove_for(Whom::Strangers, raw, &rule, now).await?.map_err(Refusal::LogoutToken)
    }

    async fn prove<R: Rule>(&self, raw: &RawToken, rule: &R, now: UnixTime) -> Result<R::Proof, Refusal> {
        self.prove_for(Whom::Users, raw, rule, now).await?.map_err(Refusal::Subject)
    }

    /// An unknown key is looked for once, not more often than the cache allows (N43), and by no more at once than have
    /// places. The outer error is a fault.
    async fn prove_for<R: Rule>(
        &self,
        whom: Whom,
        raw: &RawToken,
        rule: &R,
        now: UnixTime,
    ) -> Result<Result<R::Proof, TokenFault>, Refusal> {
        match verify(raw, &self.keys.current(), rule, now) {
            Err(TokenFault::KeyUnknown) => {}
            verified => return Ok(verified),
        }
        let places = match whom {
            Whom::Users => &self.asking,
            Whom::Strangers => &self.strangers,
        };
        let place = places.try_acquire().map_err(|_full| Refusal::FaultOverloaded)?;
        self.keys.refresh(&self.documents, whom).await;
        drop(place);
        if !self.keys.any() {
            return Err(Refusal::FaultProvider);
        }
        Ok(verify(raw, &self.keys.current(), rule, now))
    }

    /// The subject under which the trust domain knows this user: `sub`, behind the authority's name where there are
    /// several (`protocol.md` §3).
    ///
    /// # Errors
    /// `subject.claim` where the two together are too long.
    pub(crate) fn qualified(&self, subject: &Subject) -> Result<Subject, Refusal> {
        match &self.config.name {
            None => Ok(subject.clone()),
            Some(name) => {
                let qualified = format!("{name}:{subject}");
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
    /// `fault.identity` when it cannot be asked, `fault.overloaded` when too many wait for it.
    pub(crate) async fn exchange(
        &self,
        svids: &JwtSvids,
        token: &RawToken,
        claim: Claim<'_>,
        now: UnixTime,
    ) -> Result<Keeper, Refusal> {
        let svid = svids.fetch(&self.config.issuer, now).await.map_err(|fault| {
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
        let asking = self.asking.try_acquire().map_err(|_full| Refusal::FaultOverloaded)?;
        let (status, body) = self.documents.post_exchange(&form).await.map_err(|fault| self.away(&fault))?;
        drop(asking);
        let body = Zeroizing::new(body);
        let raw = answer::read(status, &body, claim.scopes, self.issuer())?;
        self.check(raw, claim, now).await
    }

    /// The keeper must be for us alone (K7), and for the same user and session.
    async fn check(&self, raw: RawToken, claim: Claim<'_>, now: UnixTime) -> Result<Keeper, Refusal> {
        let rule = KeeperRule { issuer: &self.config.issuer, client: &self.config.client_id };
        let proof = match self.prove(&raw, &rule, now).await {
            Ok(proof) => proof,
            Err(Refusal::Subject(TokenFault::Audience)) => {
                self.odd("another audience than the broker alone");
                return Err(Refusal::ScopeWidened);
            }
            Err(refusal) => return Err(self.odd(&refusal.code())),
        };
        if proof.subject() != claim.subject || proof.session() != claim.session {
            return Err(self.odd("another user or session"));
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
