//! The OpenID providers: who says who a user is and whether the session lives. Spoken to with our own JWT-SVID, without
//! any secret. A provider's answer is checked as if it were a stranger's, and its errors are never relayed. A plain OpenID
//! issuer is asked nothing: its signature is all that there is.

mod answer;
mod asking;
mod circuit;
mod documents;
mod flights;
mod key_cache;
mod measures;

use std::sync::Arc;

use identity::{
    LogoutRule, LogoutToken, OpenIdRule, RawToken, Refusal, Rule, Subject, SubjectToken, TokenFault, UnixTime,
    UserRule, verify,
};
use runtime::process::Process;
use tokio::sync::Semaphore;

pub(crate) use self::asking::{Claim, Keeper};
use self::{circuit::Circuit, documents::Documents, flights::Flights, key_cache::KeyCache, measures::Measures};
use crate::config::{AuthorityConfig, AuthorityKind};

/// Requests that may wait for one provider: half of all that the broker does at once, so that a provider which stands
/// still stops those alone who need it, and calls within running transactions go on (`security.md` §5).
const ASKING_MAX: usize = 256;
/// Logout tokens that may wait until an unknown key was looked for. Anybody can send one, so they have places of their
/// own: strangers who fill them keep no user out.
const STRANGERS_MAX: usize = 16;

/// All authorities.
#[derive(Debug)]
pub(crate) struct Authorities(Vec<Arc<Authority>>);

/// One OpenID provider.
#[derive(Debug)]
pub(crate) struct Authority {
    config: AuthorityConfig,
    documents: Arc<Documents>,
    keys: KeyCache,
    asking: Semaphore,
    strangers: Semaphore,
    flights: Flights,
    circuit: Circuit,
    measures: Measures,
}

impl Authorities {
    /// Prepares to speak to each; nothing is sent yet.
    ///
    /// # Errors
    /// The HTTP client cannot be built: no trusted root certificates on this machine.
    pub(crate) fn new(configs: Vec<AuthorityConfig>, process: &Process) -> anyhow::Result<Self> {
        let measures = Measures::new(&process.telemetry);
        let new = |config| Authority::new(config, measures.clone(), process).map(Arc::new);
        configs.into_iter().map(new).collect::<anyhow::Result<_>>().map(Self)
    }

    /// The authority with this issuer URL, byte for byte (N44).
    pub(crate) fn by_issuer(&self, issuer: &str) -> Option<&Arc<Authority>> {
        self.0.iter().find(|authority| authority.config.issuer == issuer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Authority>> {
        self.0.iter()
    }
}

impl Authority {
    fn new(config: AuthorityConfig, measures: Measures, process: &Process) -> anyhow::Result<Self> {
        let documents = Arc::new(Documents::new(&config)?);
        let keys = KeyCache::new(Arc::clone(&documents), measures.clone(), process.shutdown.clone());
        let (asking, strangers) = (Semaphore::new(ASKING_MAX), Semaphore::new(STRANGERS_MAX));
        let (flights, circuit) = (Flights::default(), Circuit::default());
        measures.circuit(&config.issuer, false);
        Ok(Self { config, documents, keys, asking, strangers, flights, circuit, measures })
    }

    /// Its issuer URL.
    pub(crate) fn issuer(&self) -> &str {
        &self.config.issuer
    }

    /// Whether it can be asked about a session. A plain OpenID issuer only signs: what it signed counts to its end.
    pub(crate) const fn is_asked(&self) -> bool {
        self.config.is_asked()
    }

    /// The broker's client there.
    ///
    /// # Errors
    /// `policy.session_unconfirmed`: it cannot be asked. Only a rule that wants it asked comes here.
    fn client(&self) -> Result<&str, Refusal> {
        match &self.config.kind {
            AuthorityKind::Keycloak { client_id } => Ok(client_id),
            AuthorityKind::OpenId { .. } => Err(Refusal::PolicySessionUnconfirmed),
        }
    }

    /// Learns the keys anew if that is due; tells whether any are held.
    pub(crate) async fn refresh_keys(&self) -> bool {
        self.keys.refresh().await;
        self.keys.any()
    }

    /// Verifies a user's token.
    ///
    /// # Errors
    /// `subject.*`; `fault.provider` while no keys could be had at all; `fault.overloaded`.
    pub(crate) async fn verify(&self, raw: &RawToken, now: UnixTime) -> Result<SubjectToken, Refusal> {
        let issuer = &self.config.issuer;
        match &self.config.kind {
            AuthorityKind::Keycloak { client_id } => {
                self.prove(raw, &UserRule { issuer, audience: client_id }, now).await
            }
            AuthorityKind::OpenId { audience, groups_claim, roles_claim } => {
                self.prove(raw, &OpenIdRule { issuer, audience, groups_claim, roles_claim }, now).await
            }
        }
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
        self.prove_within(&self.strangers, raw, &rule, now).await?.map_err(Refusal::LogoutToken)
    }

    async fn prove<R: Rule>(&self, raw: &RawToken, rule: &R, now: UnixTime) -> Result<R::Proof, Refusal> {
        self.prove_within(&self.asking, raw, rule, now).await?.map_err(Refusal::Subject)
    }

    /// An unknown key is looked for once, not more often than the cache allows (N43), and by no more at once than have
    /// places. The outer error is a fault.
    async fn prove_within<R: Rule>(
        &self,
        places: &Semaphore,
        raw: &RawToken,
        rule: &R,
        now: UnixTime,
    ) -> Result<Result<R::Proof, TokenFault>, Refusal> {
        match verify(raw, &self.keys.current(), rule, now) {
            Err(TokenFault::KeyUnknown) => {}
            verified => return Ok(verified),
        }
        let place = places.try_acquire().map_err(|_full| Refusal::FaultOverloaded)?;
        self.keys.refresh().await;
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
}

#[cfg(test)]
pub(crate) mod tests;
