//! A token before it is verified. It can be length-checked and handed to `verify`; it cannot be printed,
//! serialised or compared, so it cannot leak by accident.

use std::fmt;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::{Scopes, TokenFault, TokenId, UnixTime, jose};

/// Longest token in bytes (`security.md` §1).
pub const TOKEN_LENGTH_MAX: usize = 8 * 1024;

/// A token as it arrived: at most [`TOKEN_LENGTH_MAX`] bytes, wiped from memory when dropped.
///
/// ```
/// # use identity::RawToken;
/// let token = RawToken::parse("eyJ…".to_owned()).expect("short enough");
/// assert_eq!(format!("{token:?}"), "RawToken(..)");
/// ```
/// It cannot be printed:
/// ```compile_fail,E0277
/// # use identity::RawToken;
/// let token = RawToken::parse("eyJ…".to_owned()).expect("short enough");
/// assert_eq!(format!("{token}"), "RawToken(..)");
/// ```
/// nor compared:
/// ```compile_fail,E0369
/// # use identity::RawToken;
/// let token = RawToken::parse("eyJ…".to_owned()).expect("short enough");
/// assert!(token == token);
/// ```
/// nor serialised:
/// ```compile_fail,E0277
/// # use identity::RawToken;
/// let token = RawToken::parse("eyJ…".to_owned()).expect("short enough");
/// let text = serde_json::to_string(&token);
/// ```
pub struct RawToken(Zeroizing<String>);

impl RawToken {
    /// Takes a token of 1 to [`TOKEN_LENGTH_MAX`] bytes.
    ///
    /// # Errors
    /// [`TokenFault::TooLong`], or [`TokenFault::Malformed`] when empty.
    pub fn parse(text: String) -> Result<Self, TokenFault> {
        let text = Zeroizing::new(text);
        match text.len() {
            0 => Err(TokenFault::Malformed),
            1..=TOKEN_LENGTH_MAX => Ok(Self(text)),
            _ => Err(TokenFault::TooLong),
        }
    }

    /// The token itself, to put on the wire. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The `scope` that the token claims, **unverified**: an edge forms its request with it and the broker verifies.
    /// Nothing may be decided on it.
    ///
    /// # Errors
    /// The fault of the form; [`TokenFault::Claim`] when `scope` is absent or malformed.
    pub fn claimed_scopes(&self) -> Result<Scopes, TokenFault> {
        let compact = jose::Compact::parse(&self.0)?;
        let scope = compact.payload.get("scope").and_then(Value::as_str).ok_or(TokenFault::Claim("scope"))?;
        scope.parse().map_err(|_malformed| TokenFault::Claim("scope"))
    }

    /// The `jti` and `iat` that the token claims, **unverified**: who got it from its issuer finds it by them among what
    /// was revoked.
    ///
    /// # Errors
    /// The fault of the form; [`TokenFault::Claim`] when one of them is absent or malformed.
    pub fn claimed_id(&self) -> Result<(TokenId, UnixTime), TokenFault> {
        let compact = jose::Compact::parse(&self.0)?;
        let id = compact.payload.get("jti").and_then(Value::as_str).and_then(|text| text.parse().ok());
        let issued_at = compact.payload.get("iat").and_then(Value::as_u64).and_then(UnixTime::from_secs);
        Ok((id.ok_or(TokenFault::Claim("jti"))?, issued_at.ok_or(TokenFault::Claim("iat"))?))
    }

    /// The `iss` that the token claims, **unverified**: it only chooses which authority's keys verify it.
    ///
    /// # Errors
    /// The fault of the form; [`TokenFault::Issuer`] when `iss` is absent or no string.
    pub fn claimed_issuer(&self) -> Result<String, TokenFault> {
        let compact = jose::Compact::parse(&self.0)?;
        compact.payload.get("iss").and_then(Value::as_str).map(str::to_owned).ok_or(TokenFault::Issuer)
    }
}

impl fmt::Debug for RawToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_more_than_the_limit_is_refused() {
        assert!(RawToken::parse("a".repeat(TOKEN_LENGTH_MAX)).is_ok());
        assert_eq!(RawToken::parse("a".repeat(TOKEN_LENGTH_MAX + 1)).err(), Some(TokenFault::TooLong));
        assert_eq!(RawToken::parse(String::new()).err(), Some(TokenFault::Malformed));
    }
}
