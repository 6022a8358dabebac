//! What our own broker issued, for the broker itself, which tells about it or ends it.

use super::{Rule, sealed, unbound};
use crate::{
    IssuedAccess, Scopes, TokenFault, UnixTime,
    verify::claims::{Claims, Issued},
};

/// An access token of our broker, whoever it is for. What it proves is that it was issued, and it admits no call.
#[derive(Debug)]
pub struct IssuedRule<'a> {
    /// The broker's issuer URL.
    pub issuer: &'a str,
}

impl sealed::Sealed for IssuedRule<'_> {}

impl Rule for IssuedRule<'_> {
    type Proof = IssuedAccess;
    const TYPES: &'static [&'static str] = &["at+jwt"];

    fn prove(&self, claims: Claims, now: UnixTime) -> Result<IssuedAccess, TokenFault> {
        claims.issued_by(self.issuer)?;
        unbound(&claims)?;
        Ok(IssuedAccess {
            lifetime: claims.alive(Issued::Required, now)?,
            audience: claims.text("aud").map_err(|_other| TokenFault::Audience)?.to_owned(),
            transaction: claims.parsed("txn")?,
            id: claims.parsed("jti")?,
            subject: claims.parsed("sub")?,
            scopes: claims.scopes("scope")?.unwrap_or(Scopes::none()),
            chain: claims.chain()?,
            client: claims.spiffe_id("client_id")?,
            minted_with: claims.optional("tjti")?,
            issued_at: claims.issued_at()?,
        })
    }
}
