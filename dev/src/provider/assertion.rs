//! Client authentication with a JWT-SVID (draft-ietf-oauth-spiffe-client-auth §3.1, `keycloak.md` §3). There is no
//! other way to authenticate here, and no secret.

use axum::http::StatusCode;
use identity::{KeySet, RawToken, SpiffeId, SvidRule, TokenFault, UnixTime, verify};

use super::{Provider, answer::Refused, form::Form, realm::Realm};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe";

/// The exchange client that proved itself, and the audiences that it can ask for.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) client: String,
    pub(super) audiences: Vec<String>,
}

impl Provider {
    /// Authenticates the client of `form`: its SVID names this realm's issuer as sole audience, a client is registered
    /// for its id, and `client_id`, where it is sent, is that client.
    pub(super) fn authenticate(&self, form: &Form, keys: &KeySet, now: UnixTime) -> Result<Authenticated, Refused> {
        let (Some(ASSERTION_TYPE), Some(assertion)) =
            (form.one("client_assertion_type"), form.filled("client_assertion"))
        else {
            return Err(Refused::unknown_client());
        };
        let raw = RawToken::parse(assertion.to_owned()).map_err(refused)?;
        let state = self.state.lock();
        let workload = self.prove(&state.realm, &raw, keys, now)?;
        let (client, audiences) = state.realm.exchanger(&workload).ok_or_else(Refused::unknown_client)?;
        match form.one("client_id") {
            Some(named) if state.realm.client(named).is_none() => Err(Refused::unknown_client()),
            Some(named) if named != client => {
                Err(Refused::bad("invalid_client", "client_id parameter does not match authenticated client"))
            }
            Some(_) | None => Ok(Authenticated { client: client.to_owned(), audiences: audiences.to_vec() }),
        }
    }

    /// Verifies the SVID. A key set speaks for one trust domain: that of the registered exchange clients.
    fn prove(&self, realm: &Realm, raw: &RawToken, keys: &KeySet, now: UnixTime) -> Result<SpiffeId, Refused> {
        let mut fault = TokenFault::KeyUnknown;
        for trust_domain in realm.exchanger_domains() {
            match verify(raw, keys, &SvidRule { audience: &self.issuer, trust_domain }, now) {
                Ok(proof) => return Ok(proof.id().clone()),
                Err(other) => fault = other,
            }
        }
        Err(refused(fault))
    }
}

/// Keycloak's answer: claims that are wrong are 400, everything about the key or the form is 401.
fn refused(fault: TokenFault) -> Refused {
    let claim =
        |description: &str| Refused { status: StatusCode::BAD_REQUEST, ..Refused::bad("invalid_client", description) };
    match fault {
        TokenFault::Audience => claim("Invalid token audience"),
        TokenFault::Expired | TokenFault::NotYetValid => claim("Token is not active"),
        TokenFault::Claim("exp") => claim("Token exp claim is required"),
        TokenFault::Algorithm => claim("Invalid signature algorithm"),
        TokenFault::TooLong
        | TokenFault::Malformed
        | TokenFault::RepeatedName
        | TokenFault::ForbiddenHeader
        | TokenFault::Type
        | TokenFault::KeyUnknown
        | TokenFault::Signature
        | TokenFault::Issuer
        | TokenFault::Claim(_)
        | TokenFault::Actors
        | TokenFault::Delegated
        | TokenFault::NoSession
        | TokenFault::NotBound => Refused::unknown_client(),
    }
}
