//! Transaction tokens that were proved before. Verifying a signature is the dearest thing that a call needs, and a sidecar
//! shows the same token for each of its calls. Only the proof of a signature is kept, under the SHA-256 of the whole token,
//! signature included: a token that differs in one bit is another one, and is verified. It lets nobody through: life,
//! session, revocation and policy are looked at on every call, whether the token was seen before or not.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use identity::{RawToken, TokenFault, TxnToken, UnixTime};

use crate::keys::Keys;

/// Most proofs in each of two generations: together the tokens of some thousand transactions, in about 16 MB.
const GENERATION_MAX: usize = 8192;

type Generation = HashMap<[u8; SHA256_OUTPUT_LEN], Arc<TxnToken>>;

/// The tokens that were proved with the keys in use.
#[derive(Default)]
pub(crate) struct Seen(Mutex<Proofs>);

/// What was shown since the young generation began, and in the one before. What is shown in neither is forgotten.
#[derive(Default)]
struct Proofs {
    /// With which keys all of them were proved. Their private halves are not kept for it.
    keys: Weak<Keys>,
    young: Generation,
    old: Generation,
}

impl Seen {
    /// The proof of `raw`: from before, or from `verify`, which must use `keys`. One that has ended, or that would count
    /// only later because the clock went back, is verified again.
    ///
    /// # Errors
    /// What `verify` says.
    pub(crate) fn prove(
        &self,
        raw: &RawToken,
        keys: &Arc<Keys>,
        now: UnixTime,
        verify: impl FnOnce() -> Result<TxnToken, TokenFault>,
    ) -> Result<Arc<TxnToken>, TokenFault> {
        let name = name(raw);
        let before = self.lock().find(&name, keys);
        if let Some(proof) = before.filter(|proof| !proof.lifetime().expired(now) && proof.issued_at() <= now) {
            return Ok(proof);
        }
        let proof = Arc::new(verify()?);
        self.lock().keep(name, keys, Arc::clone(&proof));
        Ok(proof)
    }

    /// Lets go of what has ended.
    pub(crate) fn forget(&self, now: UnixTime) {
        let mut proofs = self.lock();
        proofs.young.retain(|_name, proof| !proof.lifetime().expired(now));
        proofs.old.retain(|_name, proof| !proof.lifetime().expired(now));
    }

    fn lock(&self) -> MutexGuard<'_, Proofs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proofs {
    fn find(&mut self, name: &[u8; SHA256_OUTPUT_LEN], keys: &Arc<Keys>) -> Option<Arc<TxnToken>> {
        if !self.are_of(keys) {
            return None;
        }
        if let Some(proof) = self.young.get(name) {
            return Some(Arc::clone(proof));
        }
        let proof = self.old.remove(name)?;
        self.insert(*name, Arc::clone(&proof));
        Some(proof)
    }

    fn keep(&mut self, name: [u8; SHA256_OUTPUT_LEN], keys: &Arc<Keys>, proof: Arc<TxnToken>) {
        if !self.are_of(keys) {
            // A key may have been revoked: nothing that was proved with other keys counts any more.
            *self = Self { keys: Arc::downgrade(keys), ..Self::default() };
        }
        self.insert(name, proof);
    }

    fn insert(&mut self, name: [u8; SHA256_OUTPUT_LEN], proof: Arc<TxnToken>) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name, proof);
    }

    fn are_of(&self, keys: &Arc<Keys>) -> bool {
        std::ptr::eq(self.keys.as_ptr(), Arc::as_ptr(keys))
    }
}

impl fmt::Debug for Seen {
    /// How many; the rest is claims of users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proofs = self.lock();
        f.debug_struct("Seen")
            .field("young", &proofs.young.len())
            .field("old", &proofs.old.len())
            .finish_non_exhaustive()
    }
}

fn name(raw: &RawToken) -> [u8; SHA256_OUTPUT_LEN] {
    let mut name = [0; SHA256_OUTPUT_LEN];
    let hash = digest(&SHA256, raw.expose().as_bytes());
    for (to, from) in name.iter_mut().zip(hash.as_ref()) {
        *to = *from;
    }
    name
}

#[cfg(test)]
mod tests;
