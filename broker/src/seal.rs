//! The wrapping key: what the store keeps of keys and keepers is encrypted with it; what the store must find, and subjects
//! in the record, are hashed with it. Three keys are derived, one for each use; the wrapping key itself is never used and never printed.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Length of the wrapping key in bytes, and of each key derived from it.
pub(crate) const WRAPPING_KEY_LENGTH: usize = 32;
/// Length of a keyed hash in bytes (SHA-256).
pub(crate) const HASH_LENGTH: usize = 32;

/// Encrypts what lies in the store, and hashes what may not be named in the record. Clones are the same keys.
#[derive(Clone)]
pub(crate) struct Sealer(Arc<Derived>);

struct Derived {
    store: RandomizedNonceKey,
    index: hmac::Key,
    record: hmac::Key,
}

/// Sealing or opening failed: another wrapping key, a changed row, or no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be sealed or opened with this wrapping key")]
pub(crate) struct SealFault;

impl Sealer {
    /// Derives the keys (HKDF-SHA256, RFC 5869).
    pub(crate) fn new(wrapping_key: &[u8; WRAPPING_KEY_LENGTH]) -> Result<Self, SealFault> {
        let store = derive(wrapping_key, b"countersign store v1")?;
        let index = derive(wrapping_key, b"countersign store index v1")?;
        let record = derive(wrapping_key, b"countersign record subject v1")?;
        let store = RandomizedNonceKey::new(&AES_256_GCM, store.as_slice()).map_err(|_unspecified| SealFault)?;
        let hashing = |key: Zeroizing<[u8; WRAPPING_KEY_LENGTH]>| hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        Ok(Self(Arc::new(Derived { store, index: hashing(index), record: hashing(record) })))
    }

    /// Encrypts `plain` for the row named `place` (table and key of the row): AES-256-GCM, random nonce in front.
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SealFault> {
        let mut body = plain.to_vec();
        let nonce =
            self.0.store.seal_in_place_append_tag(Aad::from(place), &mut body).map_err(|_unspecified| SealFault)?;
        Ok([nonce.as_ref().as_slice(), body.as_slice()].concat())
    }

    /// Decrypts what was sealed for `place`; anything that was moved to another row is refused.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealFault)?;
        let mut body = Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length =
            self.0.store.open_in_place(nonce, Aad::from(place), &mut body).map_err(|_unspecified| SealFault)?.len();
        body.truncate(length);
        Ok(body)
    }

    /// A keyed hash of `parts`, by which the store finds what nobody may read in it. Other parts, however they are cut,
    /// give another hash.
    pub(crate) fn index(&self, parts: &[&str]) -> [u8; HASH_LENGTH] {
        let mut hash = [0; HASH_LENGTH];
        let tag = hmac::sign(&self.0.index, serde_json::json!(parts).to_string().as_bytes());
        hash.iter_mut().zip(tag.as_ref()).for_each(|(byte, signed)| *byte = *signed);
        hash
    }

    /// A keyed hash of a person's identifier (HMAC-SHA256, base64url): equal for equal subjects, and nothing to whoever
    /// has no wrapping key (`security.md` §4).
    pub(crate) fn blind(&self, subject: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0.record, subject.as_bytes()))
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

/// Length of a derived key, for HKDF.
struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        WRAPPING_KEY_LENGTH
    }
}

fn derive(
    wrapping_key: &[u8; WRAPPING_KEY_LENGTH],
    purpose: &[u8],
) -> Result<Zeroizing<[u8; WRAPPING_KEY_LENGTH]>, SealFault> {
    let mut key = Zeroizing::new([0; WRAPPING_KEY_LENGTH]);
    let extracted = Salt::new(HKDF_SHA256, &[]).extract(wrapping_key);
    let purpose = [purpose];
    let expanded = extracted.expand(&purpose, KeyLength).map_err(|_unspecified| SealFault)?;
    expanded.fill(key.as_mut_slice()).map_err(|_unspecified| SealFault)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(&[byte; WRAPPING_KEY_LENGTH]).expect("a sealer")
    }

    #[test]
    fn what_is_sealed_opens_in_its_own_place_only() {
        let sealed = sealer(1).seal("keepers/a", b"secret").expect("sealed");
        assert_eq!(sealer(1).open("keepers/a", &sealed).expect("opens").as_slice(), b"secret");
        assert_eq!(sealer(1).open("keepers/b", &sealed).err(), Some(SealFault));
        assert_eq!(sealer(2).open("keepers/a", &sealed).err(), Some(SealFault));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let sealed = sealer(1).seal("keys/k", b"x").expect("sealed");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(sealer(1).open("keys/k", &changed).err(), Some(SealFault), "byte {index}");
        }
        assert_eq!(sealer(1).open("keys/k", &[]).err(), Some(SealFault));
    }

    #[test]
    fn two_seals_of_one_text_differ_and_two_hashes_of_one_subject_do_not() {
        assert_ne!(sealer(1).seal("a", b"x"), sealer(1).seal("a", b"x"));
        assert_eq!(sealer(1).blind("alice"), sealer(1).blind("alice"));
        assert_ne!(sealer(1).blind("alice"), sealer(2).blind("alice"));
        assert_eq!(sealer(1).index(&["a", "b"]), sealer(1).index(&["a", "b"]));
        for other in [&["ab"][..], &["a", "c"], &["a\",\"b"], &["b", "a"]] {
            assert_ne!(sealer(1).index(&["a", "b"]), sealer(1).index(other), "{other:?}");
        }
        assert_ne!(sealer(1).index(&["a", "b"]), sealer(2).index(&["a", "b"]));
    }
}
