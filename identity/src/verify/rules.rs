//! What each kind of token must say. One rule per kind; a token of another kind is refused by its `typ` first.

mod issued;
mod logout;
mod openid;

use serde_json::Value;

pub use self::{issued::IssuedRule, logout::LogoutRule, openid::OpenIdRule};
use super::claims::{Claims, Issued};
use crate::{
    AccessToken, ActorToken, Audience, Lifetime, Scopes, SpiffeId, SubjectToken, TokenFault, TrustDomain, TxnToken,
    UnixTime,
};

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::UserRule<'_> {}
    impl Sealed for super::KeeperRule<'_> {}
    impl Sealed for super::SvidRule<'_> {}
    impl Sealed for super::TxnRule<'_> {}
    impl Sealed for super::AccessRule<'_> {}
}

/// A rule turns verified claims into a proof. Sealed: only this crate makes proofs.
pub trait Rule: sealed::Sealed {
    /// What it proves.
    type Proof;
    /// The `typ` values accepted, exact; the empty string stands for an absent `typ`.
    const TYPES: &'static [&'static str];
    /// Checks every claim.
    #[doc(hidden)]
    fn prove(&self, claims: Claims, now: UnixTime) -> Result<Self::Proof, TokenFault>;
}

/// A user's access token from an authority (`tokens.md` N40–N50, K9).
#[derive(Debug)]
pub struct UserRule<'a> {
    /// The authority's issuer URL, byte for byte.
    pub issuer: &'a str,
    /// The broker's client id there, which must stand in `aud`.
    pub audience: &'a str,
}

impl Rule for UserRule<'_> {
    type Proof = SubjectToken;
    /// Keycloak says `JWT`, and `at+jwt` where a client asks for RFC 9068.
    const TYPES: &'static [&'static str] = &["JWT", "at+jwt"];

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<SubjectToken, TokenFault> {
        claims.issued_by(self.issuer)?;
        bearer(&claims)?;
        let lifetime = claims.alive(Issued::Required, now)?;
        claims.also_for(self.audience)?;
        subject_token(self.issuer, &claims, lifetime)
    }
}

/// What an authority gave the broker for a user's token (`tokens.md` K7, `keycloak.md` §4): for the broker alone, and
/// issued to it. Whether it speaks of the user and session that were asked about is the caller's to compare.
#[derive(Debug)]
pub struct KeeperRule<'a> {
    /// The authority's issuer URL, byte for byte.
    pub issuer: &'a str,
    /// The broker's client id there: the sole audience, and `azp`.
    pub client: &'a str,
}

impl Rule for KeeperRule<'_> {
    type Proof = SubjectToken;
    const TYPES: &'static [&'static str] = UserRule::TYPES;

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<SubjectToken, TokenFault> {
        claims.issued_by(self.issuer)?;
        bearer(&claims)?;
        let lifetime = claims.alive(Issued::Required, now)?;
        claims.solely_for(self.client)?;
        if claims.text("azp")? != self.client {
            return Err(TokenFault::NotBound);
        }
        subject_token(self.issuer, &claims, lifetime)
    }
}

/// Keycloak's ID and refresh tokens have the same header `typ`; the payload's `typ` tells them apart (N47).
fn bearer(claims: &Claims) -> Result<(), TokenFault> {
    if claims.text("typ") == Ok("Bearer") { Ok(()) } else { Err(TokenFault::Type) }
}

/// What both kinds of an authority's tokens say of a user.
fn subject_token(issuer: &str, claims: &Claims, lifetime: Lifetime) -> Result<SubjectToken, TokenFault> {
    // Checked and then refused: the authority's exchange would drop the actor (N103).
    if claims.has("act") || claims.has("may_act") {
        return Err(TokenFault::Delegated);
    }
    unbound(claims)?;
    let roles = claims.value("realm_access").and_then(|access| access.get("roles"));
    Ok(SubjectToken {
        issuer: issuer.to_owned(),
        subject: claims.parsed("sub")?,
        session: claims.text("sid").map_err(|_absent| TokenFault::NoSession)?.to_owned(),
        client: claims.text("azp")?.to_owned(),
        scopes: claims.scopes("scope")?.ok_or(TokenFault::Claim("scope"))?,
        issued_at: claims.issued_at()?,
        lifetime,
        groups: claims.names(claims.value("groups"), "groups")?,
        roles: claims.names(roles, "realm_access")?,
    })
}

/// A sender constraint that we do not know must not be ignored (RFC 7800 §3.1): whoever stole a token that is bound to
/// a key would use it as if it were not (N55).
fn unbound(claims: &Claims) -> Result<(), TokenFault> {
    if claims.value("cnf").is_some_and(|cnf| *cnf != Value::Null) { Err(TokenFault::Claim("cnf")) } else { Ok(()) }
}

/// A JWT-SVID (SPIFFE JWT-SVID §3, `tokens.md` §3.1).
#[derive(Debug)]
pub struct SvidRule<'a> {
    /// Who verifies: must be the sole audience.
    pub audience: &'a str,
    /// The trust domain whose keys verify it; `sub` must lie in it.
    pub trust_domain: &'a TrustDomain,
}

impl Rule for SvidRule<'_> {
    type Proof = ActorToken;
    const TYPES: &'static [&'static str] = &["", "JWT", "JOSE"];

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<ActorToken, TokenFault> {
        let id = claims.spiffe_id("sub")?;
        if id.trust_domain() != self.trust_domain {
            return Err(TokenFault::Claim("sub"));
        }
        claims.solely_for(self.audience)?;
        Ok(ActorToken { id, lifetime: claims.alive(Issued::Optional, now)? })
    }
}

/// A transaction token of our broker (draft-ietf-oauth-transaction-tokens-10 §9, `protocol.md` §3).
#[derive(Debug)]
pub struct TxnRule<'a> {
    /// The broker's issuer URL.
    pub issuer: &'a str,
    /// The trust domain: the sole audience.
    pub trust_domain: &'a TrustDomain,
}

impl Rule for TxnRule<'_> {
    type Proof = TxnToken;
    const TYPES: &'static [&'static str] = &["txntoken+jwt"];

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<TxnToken, TokenFault> {
        claims.issued_by(self.issuer)?;
        claims.only_for(self.trust_domain.as_str())?;
        Ok(TxnToken {
            lifetime: claims.alive(Issued::Required, now)?,
            transaction: claims.parsed("txn")?,
            id: claims.parsed("jti")?,
            subject: claims.parsed("sub")?,
            scopes: claims.scopes("scope")?.ok_or(TokenFault::Claim("scope"))?,
            chain: claims.chain()?,
            requester: claims.spiffe_id("req_wl")?,
            callee: claims.optional_spiffe_id("callee")?,
            issued_at: claims.issued_at()?,
            key: claims.key(),
        })
    }
}

/// An access token of our broker for one target (RFC 9068, `protocol.md` §3).
#[derive(Debug)]
pub struct AccessRule<'a> {
    /// The broker's issuer URL.
    pub issuer: &'a str,
    /// The own target: the sole audience.
    pub audience: &'a Audience,
    /// The workload at the other end of the mTLS connection: `client_id` must be it.
    pub peer: &'a SpiffeId,
}

impl Rule for AccessRule<'_> {
    type Proof = AccessToken;
    const TYPES: &'static [&'static str] = &["at+jwt"];

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<AccessToken, TokenFault> {
        claims.issued_by(self.issuer)?;
        claims.only_for(self.audience.as_str())?;
        let client = claims.spiffe_id("client_id")?;
        if client != *self.peer {
            return Err(TokenFault::NotBound);
        }
        let chain = claims.chain()?;
        if chain.current() != &client {
            return Err(TokenFault::Actors);
        }
        unbound(&claims)?;
        Ok(AccessToken {
            lifetime: claims.alive(Issued::Required, now)?,
            transaction: claims.parsed("txn")?,
            id: claims.parsed("jti")?,
            subject: claims.parsed("sub")?,
            scopes: claims.scopes("scope")?.unwrap_or(Scopes::none()),
            chain,
            client,
            minted_with: claims.optional("tjti")?,
            may_ask: claims.scopes("may_ask")?.unwrap_or(Scopes::none()),
            issued_at: claims.issued_at()?,
            key: claims.key(),
        })
    }
}
