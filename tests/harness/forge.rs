//! Tokens that nobody should accept.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

/// Signs anything with a key that nobody knows.
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
        let header = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("a header");
        let mut claims = claims_of(token);
        change(&mut claims);
        self.sign(&String::from_utf8(header).expect("text"), &claims.to_string())
    }
}

/// The claims of a compact JWS, unverified.
#[must_use]
pub fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).expect("a payload");
    serde_json::from_slice(&payload).expect("claims")
}
