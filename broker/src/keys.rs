//! The broker's signing keys: ES256, made on first start, parsed once, never leaving this module.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use identity::KeySet;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// Length of a coordinate of P-256 in bytes.
const COORDINATE_LENGTH: usize = 32;

/// A key pair with the name under which it is published.
struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
    public: Value,
}

/// The keys in use: the newest signs, all are published and verify.
pub struct Keys {
    active: SigningKey,
    jwks: String,
    verifying: KeySet,
}

/// A fresh key as the store keeps it.
pub(crate) struct NewKey {
    pub(crate) kid: String,
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    pub(crate) public: String,
}

/// Why keys could not be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No randomness, or the library refused.
    #[error("a signing key could not be made")]
    Generate,
    /// What the store holds is no P-256 key.
    #[error("a stored signing key is malformed")]
    Malformed,
    /// There is none.
    #[error("the store holds no signing key")]
    Missing,
    /// Signing failed.
    #[error("the signature could not be made")]
    Sign,
}

impl NewKey {
    /// Makes a key pair.
    pub(crate) fn generate() -> Result<Self, KeyFault> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(|_unspecified| KeyFault::Generate)?;
        let pkcs8 = Zeroizing::new(document.as_ref().to_vec());
        let key = SigningKey::read(&pkcs8)?;
        Ok(Self { public: key.public.to_string(), kid: key.kid, pkcs8 })
    }
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads PKCS#8 documents, oldest first.
    pub(crate) fn read<'a>(documents: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, KeyFault> {
        let keys = documents.into_iter().map(SigningKey::read).collect::<Result<Vec<_>, _>>()?;
        let public: BTreeMap<&str, &Value> = keys.iter().map(|key| (key.kid.as_str(), &key.public)).collect();
        let jwks = json!({ "keys": public.values().collect::<Vec<_>>() }).to_string();
        let verifying = KeySet::parse(jwks.as_bytes()).map_err(|_malformed| KeyFault::Malformed)?;
        let active = keys.into_iter().next_back().ok_or(KeyFault::Missing)?;
        Ok(Self { active, jwks, verifying })
    }

    /// The public keys as a JWK set (RFC 7517 §5).
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The public keys, to verify our own tokens.
    #[must_use]
    pub const fn verifying(&self) -> &KeySet {
        &self.verifying
    }

    /// `kid` of the key that signs.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.active.kid
    }

    /// A compact JWS (RFC 7515 §7.1) over `claims`. Private to the crate: only `mint` calls it.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> Result<Zeroizing<String>, KeyFault> {
        let header = json!({ "typ": typ, "alg": "ES256", "kid": self.active.kid }).to_string();
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let input = format!("{}.{}", encoded(&header), encoded(&claims.to_string()));
        let signature =
            self.active.pair.sign(&SystemRandom::new(), input.as_bytes()).map_err(|_unspecified| KeyFault::Sign)?;
        Ok(Zeroizing::new(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("kid", &self.active.kid).finish_non_exhaustive()
    }
}

impl SigningKey {
    fn read(pkcs8: &[u8]) -> Result<Self, KeyFault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(|_rejected| KeyFault::Malformed)?;
        // An uncompressed point: 0x04, x, y (SEC 1 §2.3.3).
        let point = pair.public_key().as_ref().split_first().map(|(_form, point)| point).ok_or(KeyFault::Malformed)?;
        let (x, y) = point.split_at_checked(COORDINATE_LENGTH).ok_or(KeyFault::Malformed)?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        // RFC 7638 §3.2: the required members, sorted, without spaces.
        let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()));
        let public = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256" });
        Ok(Self { kid, pair, public })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keys that exist nowhere else.
    pub(crate) fn fresh() -> Keys {
        let key = NewKey::generate().expect("a key");
        Keys::read([key.pkcs8.as_slice()]).expect("keys")
    }

    #[test]
    fn the_newest_key_signs_and_all_are_published() {
        let (old, new) = (NewKey::generate().expect("a key"), NewKey::generate().expect("a key"));
        let keys = Keys::read([old.pkcs8.as_slice(), new.pkcs8.as_slice()]).expect("keys");
        assert_eq!(keys.kid(), new.kid);
        assert!(keys.verifying().holds(&old.kid) && keys.verifying().holds(&new.kid));
        assert!(!keys.jwks().contains("\"d\""));
    }

    #[test]
    fn no_key_and_a_malformed_key_are_refused() {
        assert_eq!(Keys::read([]).err(), Some(KeyFault::Missing));
        assert_eq!(Keys::read([b"junk".as_slice()]).err(), Some(KeyFault::Malformed));
    }

    #[test]
    fn a_signature_is_the_fixed_form_of_64_bytes() {
        let token = fresh().sign("JWT", &json!({})).expect("signed");
        let signature = token.rsplit_once('.').expect("compact").1;
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).expect("base64url").len(), 64);
    }
}
