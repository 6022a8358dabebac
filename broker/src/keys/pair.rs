//! One key pair, with the one algorithm that it is for. Its private half leaves this file only to be sealed.

use std::fmt;

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::KeyFault;

/// Length of a coordinate of P-256 in bytes.
const COORDINATE_LENGTH: usize = 32;

/// What the broker signs with (RFC 7518 §3.4, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The name in `alg`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Es256, Self::EdDsa].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A key pair with the name under which it is published.
pub(super) struct SigningKey {
    kid: String,
    algorithm: Algorithm,
    pair: Pair,
    public: Value,
    document: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// Makes a key pair.
    pub(super) fn generate(algorithm: Algorithm) -> Result<Self, KeyFault> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random),
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
        };
        Self::read(algorithm, document.map_err(|_unspecified| KeyFault::Generate)?.as_ref())
    }

    /// Reads a PKCS#8 document.
    pub(super) fn read(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyFault> {
        let document = Zeroizing::new(pkcs8.to_vec());
        let (pair, (kid, public)) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                    .map_err(|_rejected| KeyFault::Malformed)?;
                let public = elliptic(pair.public_key().as_ref())?;
                (Pair::Ec(pair), public)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_rejected| KeyFault::Malformed)?;
                let public = edwards(pair.public_key().as_ref());
                (Pair::Ed(pair), public)
            }
        };
        Ok(Self { kid, algorithm, pair, public, document })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The public half as a JWK.
    pub(super) const fn public(&self) -> &Value {
        &self.public
    }

    /// Both halves as a PKCS#8 document, to be sealed.
    pub(super) fn document(&self) -> &[u8] {
        &self.document
    }

    /// A compact JWS (RFC 7515 §7.1) over `claims`.
    pub(super) fn sign(&self, typ: &str, claims: &Value) -> Result<Zeroizing<String>, KeyFault> {
        let header = json!({ "typ": typ, "alg": self.algorithm.name(), "kid": self.kid }).to_string();
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let input = format!("{}.{}", encoded(&header), encoded(&claims.to_string()));
        let signature = match &self.pair {
            Pair::Ec(pair) => {
                pair.sign(&SystemRandom::new(), input.as_bytes()).map_err(|_unspecified| KeyFault::Sign)?
            }
            Pair::Ed(pair) => pair.sign(input.as_bytes()),
        };
        Ok(Zeroizing::new(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Thumbprint and JWK of an uncompressed point: 0x04, x, y (SEC 1 §2.3.3, RFC 7518 §6.2).
fn elliptic(point: &[u8]) -> Result<(String, Value), KeyFault> {
    let (_form, point) = point.split_first().ok_or(KeyFault::Malformed)?;
    let (x, y) = point.split_at_checked(COORDINATE_LENGTH).ok_or(KeyFault::Malformed)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let kid = thumbprint(&format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256" });
    Ok((kid, jwk))
}

/// Thumbprint and JWK of an Ed25519 key (RFC 8037 §2).
fn edwards(public: &[u8]) -> (String, Value) {
    let x = URL_SAFE_NO_PAD.encode(public);
    let kid = thumbprint(&format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#));
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA" });
    (kid, jwk)
}

/// RFC 7638 §3.2: of the required members, sorted, without spaces.
fn thumbprint(canonical: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_either_algorithm_is_read_back_as_the_same() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let key = SigningKey::generate(algorithm).expect("a key");
            let again = SigningKey::read(algorithm, key.document()).expect("the same key");
            assert_eq!((again.kid(), again.public()), (key.kid(), key.public()));
            assert_eq!(Algorithm::named(algorithm.name()), Some(algorithm));
            assert!(key.public().get("d").is_none() && !format!("{key:?}").contains("document"));
        }
    }

    #[test]
    fn a_key_is_of_one_algorithm_alone() {
        let key = SigningKey::generate(Algorithm::EdDsa).expect("a key");
        assert_eq!(SigningKey::read(Algorithm::Es256, key.document()).err(), Some(KeyFault::Malformed));
        assert_eq!(SigningKey::read(Algorithm::EdDsa, b"junk").err(), Some(KeyFault::Malformed));
        assert_eq!(Algorithm::named("HS256"), None);
    }

    #[test]
    fn a_signature_is_the_fixed_form_of_64_bytes() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let token = SigningKey::generate(algorithm).expect("a key").sign("JWT", &json!({})).expect("signed");
            let signature = token.rsplit_once('.').expect("compact").1;
            assert_eq!(URL_SAFE_NO_PAD.decode(signature).expect("base64url").len(), 64);
        }
    }

    /// The example of RFC 8037 §A.3.
    #[test]
    fn the_name_of_an_edwards_key_is_its_thumbprint() {
        let x = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("base64url");
        assert_eq!(edwards(&x).0, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }
}
