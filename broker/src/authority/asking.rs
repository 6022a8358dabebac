//! Asking a provider to confirm a user: its exchange of the user's token, or of a keeper, for a keeper. Equal questions
//! are asked once, a provider that fails is left alone, and the whole of it takes no longer than one answer may.

use std::{error::Error, sync::Arc};

use futures_util::FutureExt as _;
use identity::{KeeperRule, RawToken, Refusal, Scopes, Subject, SubjectToken, TokenFault, UnixTime};
use runtime::workload::{JwtSvid, JwtSvids};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::{
    Authority, answer,
    circuit::Change,
    documents::{ANSWER_MAX, ProviderFault},
    flights::{Answer, Question},
};
use crate::names::{ACCESS_TOKEN, SPIFFE_JWT_ASSERTION, TOKEN_EXCHANGE};

/// What the provider gave for a user's token: a token for the broker itself, verified. It is shown to nobody but the
/// provider, and lies encrypted in the store.
#[derive(Debug)]
pub(crate) struct Keeper {
    pub(super) raw: RawToken,
    pub(super) proof: SubjectToken,
}

/// What the provider must confirm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim<'a> {
    /// `sub` at the provider.
    pub(crate) subject: &'a Subject,
    pub(crate) session: &'a str,
    pub(crate) scopes: &'a Scopes,
    /// How many doubts there were when it was asked ([`doubts_raised`](crate::liveness::Liveness::doubts_raised)): what was
    /// asked before the last one is another question.
    pub(crate) doubts: u64,
}

/// The same for a call that nobody who asks need outlive, with what it is asked with.
struct Asked {
    token: RawToken,
    svid: JwtSvid,
    subject: Subject,
    session: String,
    scopes: Scopes,
    doubts: u64,
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

impl Authority {
    /// Has the provider confirm session, consent and roles behind `token` (`keycloak.md` §4): it answers with a keeper.
    /// Whoever asks the same at the same time gets the same answer. Dropped half-way, at most a keeper that nobody holds
    /// was made.
    ///
    /// # Errors
    /// `subject.session_ended`, `subject.*`, `scope.withdrawn`, `scope.widened`, `target.unknown`;
    /// `policy.session_unconfirmed` of one that cannot be asked; `fault.provider` and `fault.identity` when it cannot be
    /// asked now, `fault.overloaded` when too many wait for it.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        svids: &JwtSvids,
        token: &RawToken,
        claim: Claim<'_>,
        now: UnixTime,
    ) -> Result<Arc<Keeper>, Refusal> {
        let client = self.client()?.to_owned();
        let svid = svids.fetch(self.issuer(), now).await.map_err(|fault| {
            tracing::warn!(%fault, "no JWT-SVID to authenticate at the provider with");
            Refusal::FaultIdentity
        })?;
        let asked = Asked {
            token: RawToken::parse(token.expose().to_owned()).map_err(Refusal::Subject)?,
            svid,
            subject: claim.subject.clone(),
            session: claim.session.to_owned(),
            scopes: claim.scopes.clone(),
            doubts: claim.doubts,
        };
        let call = || Arc::clone(self).ask(client, asked, now).boxed();
        let (flight, shared) = self.flights.join(Question::of(token, &claim), call)?;
        if shared {
            self.measures.exchange(self.issuer(), "shared");
        }
        flight.await
    }

    /// One call, and what is to be thought of it.
    async fn ask(self: Arc<Self>, client: String, asked: Asked, now: UnixTime) -> Answer {
        let Asked { token, svid, subject, session, scopes, doubts } = &asked;
        let form = ExchangeForm {
            grant_type: TOKEN_EXCHANGE,
            subject_token: token.expose(),
            subject_token_type: ACCESS_TOKEN,
            audience: &client,
            scope: &scopes.to_string(),
            client_id: &client,
            client_assertion_type: SPIFFE_JWT_ASSERTION,
            client_assertion: svid.expose(),
        };
        let place = self.asking.try_acquire().map_err(|_full| Refusal::FaultOverloaded)?;
        if !self.circuit.admits(Instant::now()) {
            self.measures.exchange(self.issuer(), "left_alone");
            return Err(Refusal::FaultProvider);
        }
        let until = Instant::now().checked_add(ANSWER_MAX).ok_or(Refusal::FaultProvider)?;
        let answered = timeout_at(until, self.documents.post_exchange(&form)).await;
        let said = match answered.unwrap_or(Err(ProviderFault::TooSlow)) {
            Ok((status, body)) => answer::read(status, &Zeroizing::new(body), scopes, self.issuer()),
            Err(fault) => answer::Said { keeper: Err(self.away(&fault)), works: false },
        };
        drop(place);
        self.note(said.works);
        let claim = Claim { subject, session, scopes, doubts: *doubts };
        let checked = timeout_at(until, self.check(&client, said.keeper?, claim, now)).await;
        checked.unwrap_or_else(|_elapsed| Err(self.odd("signed by a key that could not be had in time"))).map(Arc::new)
    }

    /// The keeper must be for us alone (K7), and for the same user and session.
    pub(super) async fn check(
        &self,
        client: &str,
        raw: RawToken,
        claim: Claim<'_>,
        now: UnixTime,
    ) -> Result<Keeper, Refusal> {
        let rule = KeeperRule { issuer: self.issuer(), client };
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

    /// Counts a call, and tells where it changed whether the provider is asked.
    fn note(&self, works: bool) {
        let issuer = self.issuer();
        self.measures.exchange(issuer, if works { "answered" } else { "failed" });
        match self.circuit.note(works, Instant::now()) {
            None => {}
            Some(Change::Opened) => {
                self.measures.circuit(issuer, true);
                tracing::error!(issuer, "the provider keeps failing and is left alone; one call a second looks for it");
            }
            Some(Change::Closed) => {
                self.measures.circuit(issuer, false);
                tracing::info!(issuer, "the provider is back");
            }
        }
    }

    fn away(&self, fault: &ProviderFault) -> Refusal {
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
