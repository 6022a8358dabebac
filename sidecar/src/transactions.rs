//! The transactions that live in this pod. The app holds a handle, 256 random bits; the transaction token stays here.
//! A handle dies when the inbound exchange that brought it ends (last byte or reset), or with its transaction. It never
//! leaves the pod, is never logged, and nothing but it finds a transaction.

mod renewal;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;
use tokio_util::sync::CancellationToken;

pub(crate) use self::renewal::keep_alive;
use identity::{
    KeySet, RawToken, Refusal, TokenFault, TransactionId, TrustDomain, TxnRule, TxnToken, UnixTime, verify,
};
use runtime::clock;

/// Most exchanges in progress in one pod: each may hold a token of 8 KiB, so 64 MiB at the very worst; a busy agent
/// has hundreds.
const LIVE_MAX: usize = 8192;
/// Longest exchange at a target that passes nothing on. It holds no token that tells when the transaction ends; the
/// caller's sidecar knows and cuts the stream. This is the longest work that any rule allows (`protocol.md` §5).
const LEAF_MAX: Duration = Duration::from_secs(3600);

/// A transaction token with the proof that it was verified.
pub(crate) struct Held {
    token: RawToken,
    proof: TxnToken,
}

impl Held {
    /// Verifies `token`.
    ///
    /// # Errors
    /// The [`TokenFault`].
    pub(crate) fn verify(
        token: RawToken,
        keys: &KeySet,
        issuer: &str,
        trust_domain: &TrustDomain,
        now: UnixTime,
    ) -> Result<Self, TokenFault> {
        let proof = verify(&token, keys, &TxnRule { issuer, trust_domain }, now)?;
        Ok(Self { token, proof })
    }

    /// The token, to show to the broker.
    pub(crate) const fn token(&self) -> &RawToken {
        &self.token
    }

    /// Its claims.
    pub(crate) const fn proof(&self) -> &TxnToken {
        &self.proof
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("transaction", self.proof.transaction()).finish_non_exhaustive()
    }
}

/// One inbound exchange's authority.
pub(crate) struct Transaction {
    /// Absent at a target that passes nothing on.
    held: Option<ArcSwap<Held>>,
    opened: UnixTime,
    closed: CancellationToken,
}

impl Transaction {
    /// The token in force, to call on with.
    ///
    /// # Errors
    /// [`Refusal::ChainNotCallee`] where none was passed on; [`Refusal::SubjectTransactionEnded`] after its end.
    pub(crate) fn held(&self, now: UnixTime) -> Result<Arc<Held>, Refusal> {
        let held = self.held.as_ref().ok_or(Refusal::ChainNotCallee)?.load_full();
        if held.proof.lifetime().expired(now) { Err(Refusal::SubjectTransactionEnded) } else { Ok(held) }
    }

    /// `txn`, where it is known.
    pub(crate) fn id(&self) -> Option<TransactionId> {
        self.held.as_ref().map(|held| held.load().proof.transaction().clone())
    }

    /// Ends when the transaction does; a renewal moves that. May be dropped at any time.
    pub(crate) async fn ended(self: Arc<Self>) {
        loop {
            let left = clock::now().until(self.not_after());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }

    fn not_after(&self) -> UnixTime {
        match &self.held {
            Some(held) => held.load().proof.lifetime().not_after(),
            None => self.opened.plus(LEAF_MAX),
        }
    }

    fn replace(&self, next: Held) {
        if let Some(held) = &self.held {
            held.store(Arc::new(next));
        }
    }
}

/// All live transactions of this pod. Clones see the same ones.
#[derive(Clone, Default)]
pub(crate) struct Transactions(Arc<Mutex<HashMap<String, Arc<Transaction>>>>);

impl Transactions {
    /// Opens an exchange with `held`, which is found by its handle until the exchange is dropped.
    ///
    /// # Errors
    /// [`Refusal::FaultOverloaded`] at [`LIVE_MAX`], or without random bits.
    pub(crate) fn open(&self, held: Option<Held>, now: UnixTime) -> Result<Exchange, Refusal> {
        let mut bits = [0; 32];
        aws_lc_rs::rand::fill(&mut bits).map_err(|_unspecified| Refusal::FaultOverloaded)?;
        let handle = BASE64_URL_SAFE_NO_PAD.encode(bits);
        let transaction = Arc::new(Transaction {
            held: held.map(ArcSwap::from_pointee),
            opened: now,
            closed: CancellationToken::new(),
        });
        let mut live = self.live();
        if live.len() >= LIVE_MAX {
            return Err(Refusal::FaultOverloaded);
        }
        live.insert(handle.clone(), Arc::clone(&transaction));
        drop(live);
        Ok(Exchange { handle, transaction, transactions: self.clone() })
    }

    /// The transaction that a handle names.
    ///
    /// # Errors
    /// [`Refusal::CallNoTransaction`] without a handle, with an unknown one, or with one whose exchange ended.
    pub(crate) fn find(&self, handle: Option<&HeaderValue>) -> Result<Arc<Transaction>, Refusal> {
        let handle = handle.and_then(|value| value.to_str().ok()).ok_or(Refusal::CallNoTransaction)?;
        self.live().get(handle).cloned().ok_or(Refusal::CallNoTransaction)
    }

    fn live(&self) -> MutexGuard<'_, HashMap<String, Arc<Transaction>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inbound exchange in progress. Its handle dies with it.
pub(crate) struct Exchange {
    handle: String,
    transaction: Arc<Transaction>,
    transactions: Transactions,
}

impl Exchange {
    /// The handle, for the app alone. `None` never happens: base64url is a header value.
    pub(crate) fn handle(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(self.handle.as_str()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Its transaction.
    pub(crate) const fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.transactions.live().remove(&self.handle);
        self.transaction.closed.cancel();
    }
}

#[cfg(test)]
pub(crate) mod tests;
