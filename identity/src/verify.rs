//! The one way from a token to a proof: form, key, signature, then every claim.
//! Order matters: nothing of the payload decides before the signature holds.

mod claims;
mod rules;

pub use rules::{AccessRule, IssuedRule, KeeperRule, LogoutRule, OpenIdRule, Rule, SvidRule, TxnRule, UserRule};

use crate::{KeySet, RawToken, TokenFault, UnixTime, jose::Compact};
use claims::Claims;

/// Verifies `raw` by `rule` with `keys` at `now`, and returns the proof that the rule makes.
///
/// # Errors
/// The first [`TokenFault`]: of the form, then `typ`, key, algorithm, signature, issuer, audience, life, claims.
pub fn verify<R: Rule>(raw: &RawToken, keys: &KeySet, rule: &R, now: UnixTime) -> Result<R::Proof, TokenFault> {
    let compact = Compact::parse(raw.expose())?;
    if !R::TYPES.contains(&compact.typ.as_deref().unwrap_or("")) {
        return Err(TokenFault::Type);
    }
    let key = keys.find(&compact.kid)?;
    key.verify(compact.algorithm, compact.signing_input.as_bytes(), &compact.signature)?;
    rule.prove(Claims::new(compact.payload, compact.kid), now)
}
