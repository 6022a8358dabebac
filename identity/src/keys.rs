//! Public keys by `kid`. One algorithm per key; a key of another kind, or a symmetric one, is never usable.

use std::{collections::HashMap, fmt};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine as _;
use serde_json::{Map, Value};

use crate::{Algorithm, TokenFault, jose::BASE64URL, json::parse_strict};

/// Longest JWK set in bytes, and most keys in it (`security.md` T9).
const SET_LENGTH_MAX: usize = 1024 * 1024;
const SET_KEYS_MAX: usize = 64;

/// A JWK set (RFC 7517 §5) reduced to what can verify a signature.
#[derive(Clone, Debug, Default)]
pub struct KeySet(HashMap<String, VerifyingKey>);

/// Why a JWK set was refused whole. The last good set stays in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    /// Over 1 MiB or 64 keys.
    #[error("the key set is larger than {SET_LENGTH_MAX} bytes or {SET_KEYS_MAX} keys")]
    TooLarge,
    /// Not a strict JSON object with an array `keys`.
    #[error("the key set is not a JSON object with an array `keys`")]
    Malformed,
    /// Two usable keys with one `kid`.
    #[error("two keys have one `kid`")]
    RepeatedKid,
}

/// A public key with the one algorithm that it is for.
#[derive(Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    material: Material,
}

#[derive(Clone)]
enum Material {
    /// An EC point or an Ed25519 key, parsed once, never for each verification.
    Parsed(ParsedPublicKey),
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
}

impl KeySet {
    /// Reads a JWK set. Keys that we cannot use (unknown kind, symmetric, no point of the curve, `use: enc`, no `kid`) are left
    /// out: a token that names one is refused as [`TokenFault::KeyUnknown`].
    ///
    /// # Errors
    /// The [`KeySetFault`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetFault> {
        if bytes.len() > SET_LENGTH_MAX {
            return Err(KeySetFault::TooLarge);
        }
        let document = parse_strict(bytes).map_err(|_not_strict| KeySetFault::Malformed)?;
        let keys = document.get("keys").and_then(Value::as_array).ok_or(KeySetFault::Malformed)?;
        if keys.len() > SET_KEYS_MAX {
            return Err(KeySetFault::TooLarge);
        }
        let mut set = HashMap::new();
        for (kid, key) in keys.iter().filter_map(|key| usable(key.as_object()?)) {
            if set.insert(kid, key).is_some() {
                return Err(KeySetFault::RepeatedKid);
            }
        }
        Ok(Self(set))
    }

    /// Whether a key with this `kid` is held.
    #[must_use]
    pub fn holds(&self, kid: &str) -> bool {
        self.0.contains_key(kid)
    }

    /// Whether no key is held: then nothing verifies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn find(&self, kid: &str) -> Result<&VerifyingKey, TokenFault> {
        self.0.get(kid).ok_or(TokenFault::KeyUnknown)
    }
}

impl VerifyingKey {
    /// Verifies `signature` over `message`; `algorithm` must be the key's own (RFC 8725 §3.1).
    ///
    /// # Errors
    /// [`TokenFault::Algorithm`] or [`TokenFault::Signature`].
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), TokenFault> {
        if algorithm != self.algorithm {
            return Err(TokenFault::Algorithm);
        }
        let verified = match (&self.material, algorithm) {
            (Material::Rsa { modulus, exponent }, Algorithm::Ps256) => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(&RSA_PSS_2048_8192_SHA256, message, signature)
            }
            (Material::Rsa { modulus, exponent }, _) => RsaPublicKeyComponents { n: modulus, e: exponent }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            // It knows the one algorithm that it was parsed for.
            (Material::Parsed(key), _) => key.verify_sig(message, signature),
        };
        verified.map_err(|_unspecified| TokenFault::Signature)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// A JWK as a key, if it is one that may verify (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
fn usable(jwk: &Map<String, Value>) -> Option<(String, VerifyingKey)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| BASE64URL.decode(text(name)?).ok();
    let kid = text("kid").filter(|kid| !kid.is_empty())?;
    if !matches!(text("use"), None | Some("sig" | "jwt-svid")) {
        return None;
    }
    let point = |length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
    };
    let parsed = |algorithm: &'static dyn VerificationAlgorithm, key: Vec<u8>| {
        ParsedPublicKey::new(algorithm, key).ok().map(Material::Parsed)
    };
    let (algorithm, material) = match (text("kty")?, text("crv")) {
        ("EC", Some("P-256")) => (Algorithm::Es256, parsed(&ECDSA_P256_SHA256_FIXED, point(32)?)?),
        ("EC", Some("P-384")) => (Algorithm::Es384, parsed(&ECDSA_P384_SHA384_FIXED, point(48)?)?),
        ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, parsed(&ED25519, bytes("x").filter(|key| key.len() == 32)?)?),
        ("RSA", _) => {
            let algorithm = if text("alg") == Some("PS256") { Algorithm::Ps256 } else { Algorithm::Rs256 };
            (algorithm, Material::Rsa { modulus: bytes("n")?, exponent: bytes("e")? })
        }
        (_, _) => return None,
    };
    if text("alg").is_some_and(|alg| alg != algorithm.name()) {
        return None;
    }
    Some((kid.to_owned(), VerifyingKey { algorithm, material }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn jwk(rest: &str) -> String {
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{Y}"{rest}}}"#)
    }

    fn set(keys: &[String]) -> Result<KeySet, KeySetFault> {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    #[test]
    fn two_keys_with_one_kid_are_refused_whole() {
        assert_eq!(set(&[jwk(r#","kid":"a""#), jwk(r#","kid":"a""#)]).err(), Some(KeySetFault::RepeatedKid));
    }

    #[test]
    fn symmetric_encryption_nameless_and_impossible_keys_are_left_out() {
        let odd = [
            r#"{"kty":"oct","kid":"o","k":"AAAA"}"#.to_owned(),
            jwk(r#","kid":"enc","use":"enc""#),
            jwk(r#","kid":"x509","use":"x509-svid""#),
            jwk(r#","kid":"wrong","alg":"RS256""#),
            jwk(r#","kid":"off-curve""#).replace(X, Y),
            jwk(""),
            jwk(r#","kid":"good","use":"sig","alg":"ES256""#),
        ];
        let keys = set(&odd).expect("a set");
        assert!(keys.holds("good"));
        for kid in ["o", "enc", "x509", "wrong", "off-curve", ""] {
            assert!(!keys.holds(kid), "{kid}");
        }
    }

    #[test]
    fn one_key_more_than_the_limit_is_refused() {
        let many = |count: usize| (0..count).map(|n| jwk(&format!(r#","kid":"{n}""#))).collect::<Vec<_>>();
        assert!(set(&many(SET_KEYS_MAX)).is_ok());
        assert_eq!(set(&many(SET_KEYS_MAX + 1)).err(), Some(KeySetFault::TooLarge));
        assert_eq!(KeySet::parse(b"<html>").err(), Some(KeySetFault::Malformed));
    }
}
