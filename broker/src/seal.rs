//! The wrapping key: what the store keeps of keys and keepers is encrypted with a key that is derived from it; itself it
//! is never used and never printed. What the store must find, and subjects in the record, are hashed with keys of the
//! store's own, which lie in it encrypted: another wrapping key encrypts anew, and no hash changes.

use std::{fmt, sync::Arc};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    constant_time::verify_slices_are_equal,
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac, rand,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// Length of the wrapping key in bytes, and of each key derived from it.
pub(crate) const WRAPPING_KEY_LENGTH: usize = 32;
/// Length of a keyed hash in bytes (SHA-256).
pub(crate) const HASH_LENGTH: usize = 32;
/// Length of both hash keys in bytes.
const HASH_KEYS_LENGTH: usize = 64;

/// Encrypts what lies in the store. Clones are the same key.
#[derive(Clone)]
pub(crate) struct Wrapping(Arc<Derived>);

struct Derived {
    store: RandomizedNonceKey,
    before: HashKeys,
}

/// The keys of a store's hashes. They live as long as the store, whatever its wrapping key.
pub(crate) struct HashKeys(Zeroizing<[u8; HASH_KEYS_LENGTH]>);

/// Encrypts what lies in the store, and hashes what may not be named in the record. Clones are the same keys.
#[derive(Clone)]
pub(crate) struct Sealer {
    wrapping: Wrapping,
    hashing: Arc<Hashing>,
}

struct Hashing {
    index: hmac::Key,
    record: hmac::Key,
}

/// Sealing or opening failed: another wrapping key, a changed row, or no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be sealed or opened with this wrapping key")]
pub(crate) struct SealFault;

impl Wrapping {
    /// Derives the key (HKDF-SHA256, RFC 5869).
    pub(crate) fn new(wrapping_key: &[u8; WRAPPING_KEY_LENGTH]) -> Result<Self, SealFault> {
        let store = derive(wrapping_key, b"countersign store v1")?;
        let index = derive(wrapping_key, b"countersign store index v1")?;
        let record = derive(wrapping_key, b"countersign record subject v1")?;
        let store = RandomizedNonceKey::new(&AES_256_GCM, store.as_slice()).map_err(|_unspecified| SealFault)?;
        let mut before = Zeroizing::new([0; HASH_KEYS_LENGTH]);
        before.iter_mut().zip(index.iter().chain(record.iter())).for_each(|(to, from)| *to = *from);
        Ok(Self(Arc::new(Derived { store, before: HashKeys(before) })))
    }

    /// Whether both are the same key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.before.0.as_slice(), other.0.before.0.as_slice()).is_ok()
    }

    /// The hash keys of a store that was made before it had its own.
    pub(crate) fn hash_keys_of_before(&self) -> &HashKeys {
        &self.0.before
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
}

impl HashKeys {
    /// Keys that exist nowhere else.
    pub(crate) fn random() -> Result<Self, SealFault> {
        let mut keys = Zeroizing::new([0; HASH_KEYS_LENGTH]);
        rand::fill(keys.as_mut_slice()).map_err(|_unspecified| SealFault)?;
        Ok(Self(keys))
    }

    /// As they were stored.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, SealFault> {
        bytes.try_into().map(|keys| Self(Zeroizing::new(keys))).map_err(|_length| SealFault)
    }

    /// To be sealed.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl Sealer {
    pub(crate) fn new(wrapping: Wrapping, keys: &HashKeys) -> Self {
        let (index, record) = keys.expose().split_at(HASH_KEYS_LENGTH / 2);
        let hashing = |key: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { wrapping, hashing: Arc::new(Hashing { index: hashing(index), record: hashing(record) }) }
    }

    /// As [`Wrapping::seal`].
    pub(crate) fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>, SealFault> {
        self.wrapping.seal(place, plain)
    }

    /// As [`Wrapping::open`].
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealFault> {
        self.wrapping.open(place, sealed)
    }

    /// A keyed hash of `parts`, by which the store finds what nobody may read in it. Other parts, however they are cut,
    /// give another hash.
    pub(crate) fn index(&self, parts: &[&str]) -> [u8; HASH_LENGTH] {
        let mut hash = [0; HASH_LENGTH];
        let tag = hmac::sign(&self.hashing.index, serde_json::json!(parts).to_string().as_bytes());
        hash.iter_mut().zip(tag.as_ref()).for_each(|(byte, signed)| *byte = *signed);
        hash
    }

    /// A keyed hash of a person's identifier (HMAC-SHA256, base64url): equal for equal subjects, and nothing to whoever
    /// has no wrapping key (`security.md` §4).
    pub(crate) fn blind(&self, subject: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.hashing.record, subject.as_bytes()))
    }
}

impl fmt::Debug for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wrapping(..)")
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

    fn wrapping(byte: u8) -> Wrapping {
        Wrapping::new(&[byte; WRAPPING_KEY_LENGTH]).expect("a key")
    }

    fn sealer(byte: u8) -> Sealer {
        Sealer::new(wrapping(1), wrapping(byte).hash_keys_of_before())
    }

    #[test]
    fn what_is_sealed_opens_in_its_own_place_only() {
        let sealed = wrapping(1).seal("keepers/a", b"secret").expect("sealed");
        assert_eq!(wrapping(1).open("keepers/a", &sealed).expect("opens").as_slice(), b"secret");
        assert_eq!(wrapping(1).open("keepers/b", &sealed).err(), Some(SealFault));
        assert_eq!(wrapping(2).open("keepers/a", &sealed).err(), Some(SealFault));
        assert!(!sealed.windows(6).any(|window| window == b"secret"));
    }

    #[test]
    fn any_changed_bit_is_refused() {
        let sealed = wrapping(1).seal("keys/k", b"x").expect("sealed");
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert_eq!(wrapping(1).open("keys/k", &changed).err(), Some(SealFault), "byte {index}");
        }
        assert_eq!(wrapping(1).open("keys/k", &[]).err(), Some(SealFault));
    }

    #[test]
    fn two_seals_of_one_text_differ_and_two_hashes_of_one_subject_do_not() {
        assert_ne!(wrapping(1).seal("a", b"x"), wrapping(1).seal("a", b"x"));
        assert_eq!(sealer(1).blind("alice"), sealer(1).blind("alice"));
        assert_ne!(sealer(1).blind("alice"), sealer(2).blind("alice"));
        assert_eq!(sealer(1).index(&["a", "b"]), sealer(1).index(&["a", "b"]));
        for other in [&["ab"][..], &["a", "c"], &["a\",\"b"], &["b", "a"]] {
            assert_ne!(sealer(1).index(&["a", "b"]), sealer(1).index(other), "{other:?}");
        }
        assert_ne!(sealer(1).index(&["a", "b"]), sealer(2).index(&["a", "b"]));
    }
}
