//! The broker's signing keys: made on first start, parsed once, rotated and revoked while it runs. Private keys never
//! leave this module but to be sealed.

mod due;
mod in_use;
mod pair;
mod ring;
mod rotation;

use std::{collections::BTreeMap, fmt, sync::Arc};

use identity::KeySet;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::pair::SigningKey;
pub(crate) use self::{
    due::Moment,
    in_use::InUse,
    pair::Algorithm,
    ring::{Event, Listed, Ring, RingFault, Terms},
    rotation::{Rotation, RotationFault},
};

/// The keys in use: one signs, all are published and verify.
pub struct Keys {
    active: Arc<SigningKey>,
    jwks: String,
    verifying: KeySet,
    revoked: Vec<String>,
}

/// Why keys could not be made, read or used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No randomness, or the library refused.
    #[error("a signing key could not be made")]
    Generate,
    /// What the store holds is no set of keys.
    #[error("a stored signing key is malformed")]
    Malformed,
    /// There is none.
    #[error("the store holds no signing key")]
    Missing,
    /// Signing failed.
    #[error("the signature could not be made")]
    Sign,
}

impl Keys {
    fn new<'a>(
        active: Arc<SigningKey>,
        public: impl Iterator<Item = &'a Value>,
        revoked: Vec<String>,
    ) -> Result<Self, KeyFault> {
        // By name, so that the set tells nobody which key is the next.
        let public: BTreeMap<String, &Value> = public.map(|key| (key["kid"].to_string(), key)).collect();
        let jwks = json!({ "keys": public.values().collect::<Vec<_>>() }).to_string();
        let verifying = KeySet::parse(jwks.as_bytes()).map_err(|_malformed| KeyFault::Malformed)?;
        Ok(Self { active, jwks, verifying, revoked })
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
        self.active.kid()
    }

    /// `kid` of each key that was revoked.
    pub(crate) fn revoked(&self) -> &[String] {
        &self.revoked
    }

    /// A compact JWS (RFC 7515 §7.1) over `claims`. Private to the crate: only `mint` calls it.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> Result<Zeroizing<String>, KeyFault> {
        self.active.sign(typ, claims)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("active", &self.active).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keys that exist nowhere else.
    pub(crate) fn fresh() -> Keys {
        Ring::first(Algorithm::Es256, Moment::now()).expect("a ring").0.in_use().expect("keys")
    }

    /// Name and PKCS#8 document of such a key.
    pub(crate) fn document() -> (String, Vec<u8>) {
        let key = SigningKey::generate(Algorithm::Es256).expect("a key");
        (key.kid().to_owned(), key.document().to_vec())
    }

    #[test]
    fn the_published_set_holds_no_private_key() {
        let keys = fresh();
        assert!(keys.verifying().holds(keys.kid()) && !keys.jwks().contains("\"d\""));
    }
}
