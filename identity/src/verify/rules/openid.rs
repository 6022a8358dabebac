//! What a user's token must say whose issuer cannot be asked about it (OpenID Connect Core §2, RFC 9068 §2.2). It must
//! not be an ID token: that one tells an application who signed in, and gives nobody leave to act.

use std::time::Duration;

use serde_json::Value;

use super::{Claims, Issued, Rule, UserRule, sealed::Sealed, unbound};
use crate::{SubjectToken, TokenFault, UnixTime};

/// Claims that only ID tokens have (OpenID Connect Core §2 and §3.3.2.11).
const OF_ID_TOKENS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];

/// A user's access token from an OpenID issuer that is only validated.
#[derive(Debug)]
pub struct OpenIdRule<'a> {
    /// The issuer URL, byte for byte.
    pub issuer: &'a str,
    /// What stands for the broker in `aud`.
    pub audience: &'a str,
    /// Name of the claim with the user's groups, a list of texts.
    pub groups_claim: &'a str,
    /// Name of the claim with the user's roles, a list of texts.
    pub roles_claim: &'a str,
}

impl OpenIdRule<'_> {
    /// For how long after `iat` a token counts, whatever it says itself: nobody else refuses one whose user signed out
    /// since, so the sign-out must be remembered for as long.
    pub const AGE_MAX: Duration = Duration::from_hours(24);
}

impl Sealed for OpenIdRule<'_> {}

impl Rule for OpenIdRule<'_> {
    type Proof = SubjectToken;
    const TYPES: &'static [&'static str] = UserRule::TYPES;

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<SubjectToken, TokenFault> {
        claims.issued_by(self.issuer)?;
        let is_bearer = claims.value("typ").is_none_or(|typ| typ == "Bearer");
        if !is_bearer || OF_ID_TOKENS.iter().any(|name| claims.has(name)) {
            return Err(TokenFault::Type);
        }
        let lifetime = claims.alive(Issued::Required, now)?;
        if claims.issued_at()?.plus(Self::AGE_MAX) <= now {
            return Err(TokenFault::Expired);
        }
        claims.also_for(self.audience)?;
        // Nobody here knows what the issuer meant by it (N103).
        if claims.has("act") || claims.has("may_act") {
            return Err(TokenFault::Delegated);
        }
        unbound(&claims)?;
        Ok(SubjectToken {
            issuer: self.issuer.to_owned(),
            subject: claims.parsed("sub")?,
            session: session(&claims)?,
            client: client(&claims)?,
            scopes: claims.scopes("scope")?.ok_or(TokenFault::Claim("scope"))?,
            issued_at: claims.issued_at()?,
            lifetime,
            groups: claims.names(claims.value(self.groups_claim), "groups")?,
            roles: claims.names(claims.value(self.roles_claim), "roles")?,
        })
    }
}

/// `sid`; a token without one is a session of its own, which a logout token names by its user alone.
fn session(claims: &Claims) -> Result<String, TokenFault> {
    if claims.has("sid") {
        return Ok(claims.text("sid")?.to_owned());
    }
    // In quotation marks, so that it is nobody's `sid`.
    let id = claims.text("jti").map_err(|_absent| TokenFault::NoSession)?;
    Ok(Value::from(id).to_string())
}

/// The application that the user signed in to: `azp`, or as RFC 9068 §2.2 has it `client_id`; where both stand they are
/// one.
fn client(claims: &Claims) -> Result<String, TokenFault> {
    match (claims.has("azp"), claims.has("client_id")) {
        (true, true) if claims.value("azp") != claims.value("client_id") => Err(TokenFault::Claim("client_id")),
        (true, _) => Ok(claims.text("azp")?.to_owned()),
        (false, _) => Ok(claims.text("client_id")?.to_owned()),
    }
}
