//! The realm's RS256 key, made at start: it signs, verifies its own signatures and shows its public half.
//! The private half never leaves memory.

use std::fmt;

use aws_lc_rs::{
    error::Unspecified,
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::parse_strict;
use serde_json::{Map, Value, json};

use super::random;

/// Where the modulus lies in the DER of a 2048-bit RSAPublicKey with exponent 65537 (RFC 8017 §A.1.1): after two
/// headers and a zero byte.
const MODULUS: std::ops::Range<usize> = 9..265;

/// The realm's key.
pub(super) struct RealmKey {
    pair: KeyPair,
    kid: String,
}

impl RealmKey {
    pub(super) fn generate() -> Result<Self, Unspecified> {
        Ok(Self { pair: KeyPair::generate(KeySize::Rsa2048)?, kid: random::text()? })
    }

    /// The public key as a JWK set (RFC 7517 §5).
    pub(super) fn jwks(&self) -> Value {
        let modulus = self.pair.public_key().as_ref().get(MODULUS).unwrap_or_default();
        json!({ "keys": [{
            "kid": self.kid, "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": BASE64_URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB",
        }] })
    }

    /// Signs `claims` under the header that Keycloak gives: `alg`, `typ`, `kid`.
    pub(super) fn sign(&self, claims: &Value) -> Result<String, Unspecified> {
        self.sign_anything(Map::from_iter([("typ".to_owned(), json!("JWT"))]), claims)
    }

    /// Signs any header and claims; `alg` and `kid` are added where they are absent.
    pub(super) fn sign_anything(&self, mut header: Map<String, Value>, claims: &Value) -> Result<String, Unspecified> {
        header.entry("alg").or_insert_with(|| json!("RS256"));
        header.entry("kid").or_insert_with(|| json!(self.kid));
        let encode = |value: String| BASE64_URL_SAFE_NO_PAD.encode(value);
        let input = format!("{}.{}", encode(Value::Object(header).to_string()), encode(claims.to_string()));
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)?;
        Ok(format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The claims of a token that this key signed; `None` for everything else.
    pub(super) fn open(&self, token: &str) -> Option<Map<String, Value>> {
        let (input, signature) = token.rsplit_once('.')?;
        let (_header, claims) = input.split_once('.')?;
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.pair.public_key());
        key.verify(input.as_bytes(), &signature).ok()?;
        match parse_strict(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()? {
            Value::Object(claims) => Some(claims),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }
}

impl fmt::Debug for RealmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealmKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use identity::{KeySet, RawToken, UnixTime, UserRule, verify};

    use super::*;

    #[test]
    fn what_is_signed_opens_and_nothing_else_does() {
        let key = RealmKey::generate().expect("a key");
        let token = key.sign(&json!({ "sub": "alice" })).expect("signed");
        assert_eq!(key.open(&token).expect("opens").get("sub"), Some(&json!("alice")));
        let other = RealmKey::generate().expect("another key");
        assert_eq!(other.open(&token), None);
        assert_eq!(key.open("a.b.c"), None);
        assert_eq!(key.open(&token.replace('.', "")), None);
    }

    #[test]
    fn the_published_key_verifies_with_the_strict_verifier() {
        let key = RealmKey::generate().expect("a key");
        let keys = KeySet::parse(key.jwks().to_string().as_bytes()).expect("a key set");
        let claims = json!({
            "iss": "i", "aud": "a", "typ": "Bearer", "sub": "s", "sid": "x", "azp": "c", "scope": "r", "iat": 1, "exp": 9,
        });
        let raw = RawToken::parse(key.sign(&claims).expect("signed")).expect("short");
        let now = UnixTime::from_secs(5).expect("small");
        assert!(verify(&raw, &keys, &UserRule { issuer: "i", audience: "a" }, now).is_ok());
    }
}
