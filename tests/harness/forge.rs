//! Tokens that nobody should accept, and a key of a test's own that only those accept whom the test tells it.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// `kid` of every forger's key where it is published.
const KID: &str = "of-the-test";
/// More bytes than any token may have (`security.md` §1).
const TOO_LONG: usize = 8 * 1024 + 1;

/// Signs anything with a key that nobody knows who was not told.
#[derive(Debug)]
pub struct Forger(EcdsaKeyPair);

impl Default for Forger {
    fn default() -> Self {
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key"))
    }
}

impl Forger {
    /// A compact JWS over exactly this header and payload text.
    #[must_use]
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).expect("a signature");
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// The claims of `token` under its own header, changed by `change`, signed with the wrong key.
    #[must_use]
    pub fn resign(&self, token: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims_of(token);
        change(&mut claims);
        self.sign(&part(token, 0).to_string(), &claims.to_string())
    }

    /// The public key as a JWK set (RFC 7517 §5), for whom the test tells it.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let point = self.0.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
        json!({"keys": [{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KID, "x": x, "y": y}]})
    }

    /// A token that verifies for who knows [`Forger::jwks`].
    #[must_use]
    pub fn token(&self, typ: &str, claims: &Value) -> String {
        self.sign(&json!({"typ": typ, "alg": "ES256", "kid": KID}).to_string(), &claims.to_string())
    }
}

/// `good` in every form that is refused before a claim is read: too long, malformed, with a repeated name, with a
/// forbidden header, of no algorithm, of another type, of an unknown key, with a wrong signature.
#[must_use]
pub fn odd_forms(good: &str) -> [String; 8] {
    let forger = Forger::default();
    let claims = claims_of(good).to_string();
    let with = |name: &str, value: Value| {
        let mut header = part(good, 0);
        header[name] = value;
        forger.sign(&header.to_string(), &claims)
    };
    [
        "a".repeat(TOO_LONG),
        format!("{good}="),
        forger.sign(&part(good, 0).to_string(), &claims.replacen('{', r#"{"iat":1,"#, 1)),
        with("jwk", json!({})),
        with("alg", json!("none")),
        with("typ", json!("other+jwt")),
        with("kid", json!("nobody")),
        forger.resign(good, |_same| {}),
    ]
}

/// The claims of a compact JWS, unverified.
#[must_use]
pub fn claims_of(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unverified.
///
/// # Panics
/// Where it is no token.
#[must_use]
pub fn header_of(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("a part");
    serde_json::from_slice(&part).expect("JSON")
}

/// Whether `text` tells any part of a token: a run of base64url that begins as a JSON object does. An id that merely
/// holds these letters somewhere is none.
#[must_use]
pub fn tells_token(text: &str) -> bool {
    let in_alphabet = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_');
    text.split(|character| !in_alphabet(character)).any(|run| run.starts_with("eyJ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_holds_the_letters_is_no_token() {
        assert!(!tells_token(r#"{"request_id":"M63eyJje4xX9Ypztw-GFGQ"}"#));
        for part in ["Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln", r#"{"x":"eyJhbGci"}"#, "a=b; t=x.eyJzdWIiOiJ4In0"] {
            assert!(tells_token(part), "{part}");
        }
    }
}
