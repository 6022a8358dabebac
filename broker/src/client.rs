//! Who asks. A client is known by its certificate, by a JWT-SVID (draft-ietf-oauth-spiffe-client-auth-02), or by both,
//! and then as the same one. Nothing else proves a client here: no secret, and nothing that a request merely says.

use std::time::Duration;

use identity::{ActorToken, KeySet, RawToken, Refusal, SpiffeId, SvidRule, TokenFault, UnixTime, verify};
use runtime::{mtls::Peer, workload::IdentityFault};

use crate::{http::Form, names::SPIFFE_JWT_ASSERTION, parties::Parties};

/// Longest life of a client assertion from now. Whoever steals one is its client for as long as it lives. SPIRE gives
/// five minutes.
const LIFE_MAX: Duration = Duration::from_secs(600);

/// A workload that has proved who it is. What it may do is decided elsewhere.
///
/// ```
/// fn name(client: &broker::client::Client) -> &identity::SpiffeId { client.id() }
/// ```
/// It comes out of a handshake or a verified JWT-SVID; nobody names one:
/// ```compile_fail,E0451
/// fn named(id: identity::SpiffeId) -> broker::client::Client { broker::client::Client { id } }
/// ```
/// nor turns a JWT-SVID that was verified for some other purpose into one:
/// ```compile_fail,E0624
/// fn turned(actor: &identity::ActorToken) -> broker::client::Client { broker::client::Client::of_assertion(actor) }
/// ```
#[derive(Debug)]
pub struct Client {
    id: SpiffeId,
}

/// What a request says about its client, beside the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said<'r> {
    /// Whether it has an `Authorization` header, whatever stands in it.
    pub(crate) authorization: bool,
    /// The form.
    pub(crate) form: &'r Form,
}

impl Client {
    /// Its SPIFFE ID.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// The workload at the other end of an mTLS connection.
    pub(crate) fn of_peer(peer: &Peer) -> Self {
        Self { id: peer.id().clone() }
    }

    fn of_assertion(svid: &ActorToken) -> Self {
        Self { id: svid.id().clone() }
    }

    /// The client whose JWT-SVID `said` holds (N10–N20, N24, N25).
    ///
    /// # Errors
    /// `client.*`, `client_assertion.*`, [`Refusal::RequestMissingParameter`], [`Refusal::FaultIdentity`].
    pub(crate) async fn asserted(parties: &Parties, said: Said<'_>, now: UnixTime) -> Result<Self, Refusal> {
        let assertion = said.assertion()?.ok_or(Refusal::ClientAssertionMissing)?;
        let client = Self::proved_by(parties, &assertion, parties.workload.recent_jwt_keys().await, now)?;
        client.agrees_with(said.form)?;
        Ok(client)
    }

    /// Whether what `said` proves or names beside the certificate is this client, too (N11, N12, N20, N22).
    ///
    /// # Errors
    /// As [`Client::asserted`], but an assertion need not be there.
    pub(crate) async fn confirm(&self, parties: &Parties, said: Said<'_>, now: UnixTime) -> Result<(), Refusal> {
        self.agrees_with(said.form)?;
        let Some(assertion) = said.assertion()? else { return Ok(()) };
        let asserted = Self::proved_by(parties, &assertion, parties.workload.jwt_keys().await, now)?;
        if asserted.id == self.id { Ok(()) } else { Err(Refusal::ClientMismatch) }
    }

    fn proved_by(
        parties: &Parties,
        assertion: &RawToken,
        keys: Result<KeySet, IdentityFault>,
        now: UnixTime,
    ) -> Result<Self, Refusal> {
        let svid = svid(parties, assertion, keys, now)?.map_err(Refusal::ClientAssertion)?;
        if svid.lifetime().remaining(now) > LIFE_MAX {
            return Err(Refusal::ClientAssertionLongLived);
        }
        Ok(Self::of_assertion(&svid))
    }

    fn agrees_with(&self, form: &Form) -> Result<(), Refusal> {
        let other = form.value("client_id").is_some_and(|id| id != self.id.to_string());
        if other { Err(Refusal::ClientMismatch) } else { Ok(()) }
    }
}

impl Said<'_> {
    /// The assertion, if there is one; there is one way to prove a client or none (RFC 6749 §2.3, RFC 7521 §4.2).
    fn assertion(&self) -> Result<Option<RawToken>, Refusal> {
        let secret = self.authorization || self.form.value("client_secret").is_some();
        match (self.form.value("client_assertion_type"), self.form.value("client_assertion")) {
            (None, None) if secret => Err(Refusal::ClientMethod),
            (None, None) => Ok(None),
            _one_or_both if secret => Err(Refusal::ClientSeveralMethods),
            (Some(_), None) | (None, Some(_)) => Err(Refusal::RequestMissingParameter),
            (Some(SPIFFE_JWT_ASSERTION), Some(token)) => {
                RawToken::parse(token.to_owned()).map(Some).map_err(Refusal::ClientAssertion)
            }
            (Some(_other), Some(_)) => Err(Refusal::ClientMethod),
        }
    }
}

/// The workload that `raw` proves toward this broker: for its issuer alone, by one of the `keys` of its trust domain.
///
/// # Errors
/// [`Refusal::FaultIdentity`] where the Workload API gave no keys; inside, what is wrong with the token.
pub(crate) fn svid(
    parties: &Parties,
    raw: &RawToken,
    keys: Result<KeySet, IdentityFault>,
    now: UnixTime,
) -> Result<Result<ActorToken, TokenFault>, Refusal> {
    let keys = keys.map_err(|fault| {
        tracing::warn!(%fault, "no keys to verify a JWT-SVID with");
        Refusal::FaultIdentity
    })?;
    let rule = SvidRule { audience: &parties.issuer.url, trust_domain: &parties.issuer.trust_domain };
    Ok(verify(raw, &keys, &rule, now))
}

#[cfg(test)]
impl Client {
    /// For tests that have no connection.
    pub(crate) const fn of(id: SpiffeId) -> Self {
        Self { id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3A";

    /// What a form, after `Authorization` if `authorization`, offers: an assertion, nothing, or the refusal's code.
    fn offered(authorization: bool, body: &str) -> String {
        let form = Form::parse(body.as_bytes()).expect("a form");
        match (Said { authorization, form: &form }).assertion() {
            Ok(Some(_assertion)) => "assertion".to_owned(),
            Ok(None) => "nothing".to_owned(),
            Err(refusal) => refusal.code().into_owned(),
        }
    }

    #[test]
    fn a_client_proves_itself_in_one_way() {
        let both = format!("{TYPE}jwt-spiffe&client_assertion=x");
        for (authorization, body, expected) in [
            (false, both.clone(), "assertion"),
            (false, "client_secret=&scope=x".to_owned(), "nothing"),
            (false, format!("{TYPE}jwt-bearer&client_assertion=x"), "client.method"),
            (false, "client_assertion=x".to_owned(), "request.missing_parameter"),
            (false, format!("{TYPE}jwt-spiffe"), "request.missing_parameter"),
            (true, String::new(), "client.method"),
            (false, "client_secret=x".to_owned(), "client.method"),
            (true, both.clone(), "client.several_methods"),
            (false, format!("{both}&client_secret=x"), "client.several_methods"),
        ] {
            assert_eq!(offered(authorization, &body), expected, "{authorization} {body}");
        }
    }
}
