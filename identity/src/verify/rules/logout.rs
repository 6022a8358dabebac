//! What a logout token must say (OpenID Connect Back-Channel Logout 1.0 §2.4 and §2.6). It must not be taken for any
//! other token, nor any other token for it: `typ`, `events` and the absent `nonce` see to that.

use std::time::Duration;

use serde_json::Value;

use super::{Claims, Issued, Rule, sealed::Sealed};
use crate::{LoggedOut, LogoutToken, Subject, TokenFault, UnixTime};

/// The member of `events` that makes a token a logout token (§2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Longest life. §4 speaks of two minutes, and Keycloak gives as much; what lives for longer waits for a thief.
const LIFE_MAX: Duration = Duration::from_secs(300);

/// A logout token from an authority.
#[derive(Debug)]
pub struct LogoutRule<'a> {
    /// The authority's issuer URL, byte for byte.
    pub issuer: &'a str,
    /// The clients whose logouts are taken: exactly one of them is the sole audience.
    pub clients: &'a [&'a str],
}

impl Sealed for LogoutRule<'_> {}

impl Rule for LogoutRule<'_> {
    type Proof = LogoutToken;
    const TYPES: &'static [&'static str] = &["logout+jwt"];

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<LogoutToken, TokenFault> {
        claims.issued_by(self.issuer)?;
        if !self.clients.iter().any(|client| claims.solely_for(client).is_ok()) {
            return Err(TokenFault::Audience);
        }
        let lifetime = claims.alive(Issued::Required, now)?;
        let issued_at = claims.issued_at()?;
        if lifetime.not_after() > issued_at.plus(LIFE_MAX) {
            return Err(TokenFault::Claim("exp"));
        }
        // It may hold more, which says nothing to us (§2.4): Keycloak adds `revoke_offline_access` where a client wants it.
        if !claims.value("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
            return Err(TokenFault::Claim("events"));
        }
        if claims.has("nonce") {
            return Err(TokenFault::Claim("nonce"));
        }
        let subject: Option<Subject> = claims.optional("sub")?;
        let session: Option<String> = claims.optional("sid")?;
        let logged_out = match (session, subject) {
            (Some(id), subject) => LoggedOut::Session { id, subject },
            (None, Some(subject)) => LoggedOut::User(subject),
            (None, None) => return Err(TokenFault::NoSession),
        };
        Ok(LogoutToken { issuer: self.issuer.to_owned(), id: claims.parsed("jti")?, logged_out, issued_at, lifetime })
    }
}
