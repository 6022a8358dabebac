//! The transactions that live in this pod. The app holds a handle, 256 random bits, and a trace of the sidecar's making;
//! the transaction token stays here. Both die when the inbound exchange that brought them ends (last byte or reset), or
//! with its transaction. They never leave the pod, are never logged, and nothing but them finds a transaction.

mod book;
mod correlation;
mod cut;
mod renewal;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderValue;
use tokio::{sync::SetOnce, time::Instant};
use tokio_util::sync::CancellationToken;

use self::book::Book;
pub(crate) use self::{
    correlation::{Claim, Session, Shows, Signs, Way},
    cut::Cut,
    renewal::keep_alive,
};
use crate::trace::{TraceContext, Traces};
use identity::{
    AccessToken, ActorChain, KeySet, RawToken, Refusal, Scopes, Subject, TokenFault, TransactionId, TrustDomain,
    TxnRule, TxnToken, UnixTime, verify,
};
use runtime::clock;

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

/// What an exchange may do, and for whom. Exchanges of equal authority are one transaction: it makes no difference to
/// anybody to which of them a call belongs, as it makes none to the token cache.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    transaction: TransactionId,
    subject: Subject,
    chain: ActorChain,
    scopes: Scopes,
}

impl Authority {
    fn of(proof: &TxnToken) -> Self {
        Self {
            transaction: proof.transaction().clone(),
            subject: proof.subject().clone(),
            chain: proof.chain().clone(),
            scopes: proof.scopes().clone(),
        }
    }

    /// Whether both are for the same user.
    pub(crate) fn is_for_user_of(&self, other: &Self) -> bool {
        self.subject == other.subject
    }
}

/// What an inbound exchange is opened with.
#[derive(Default)]
pub(crate) struct Brought {
    /// The access token of a call; absent where a user entered.
    pub(crate) access: Option<Arc<AccessToken>>,
    /// What may be called on with.
    pub(crate) held: Option<Held>,
    /// The trace that it came with.
    pub(crate) trace: Option<TraceContext>,
}

/// One inbound exchange's authority.
pub(crate) struct Transaction {
    access: Option<Arc<AccessToken>>,
    /// Absent at a target that passes nothing on.
    held: Option<ArcSwap<Held>>,
    /// As it was opened; renewal keeps it. Absent with `held`.
    authority: Option<Arc<Authority>>,
    traces: Traces,
    opened: UnixTime,
    closed: CancellationToken,
    /// Why it was ended from outside, once it was.
    cut: SetOnce<Cut>,
}

impl Transaction {
    /// The token in force, to call on with.
    ///
    /// # Errors
    /// [`Refusal::ChainNotCallee`] where none was passed on; [`Refusal::SubjectTransactionEnded`] after its end, or what
    /// the [`Cut`] says that ended it.
    pub(crate) fn held(&self, now: UnixTime) -> Result<Arc<Held>, Refusal> {
        if let Some(cut) = self.cut.get() {
            return Err(cut.refusal());
        }
        let held = self.held.as_ref().ok_or(Refusal::ChainNotCallee)?.load_full();
        if held.proof.lifetime().expired(now) { Err(Refusal::SubjectTransactionEnded) } else { Ok(held) }
    }

    /// What it may do; absent at a target that passes nothing on.
    pub(crate) const fn authority(&self) -> Option<&Arc<Authority>> {
        self.authority.as_ref()
    }

    /// Its traces, inside and outside of the pod.
    pub(crate) const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// Whether a call of the one may as well be one of the other.
    fn is_same_as(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.authority.is_some() && self.authority == other.authority)
    }

    /// Ends when the transaction does, and says why; a renewal moves that, a [`Cut`] does not wait for it. May be dropped
    /// at any time.
    pub(crate) async fn ended(self: Arc<Self>) -> Refusal {
        loop {
            let left = clock::now().until(self.not_after());
            tokio::select! {
                biased;
                cut = self.cut.wait() => return cut.refusal(),
                () = tokio::time::sleep(left) => {}
            }
            if left.is_zero() {
                return Refusal::SubjectTransactionEnded;
            }
        }
    }

    /// As [`Self::ended`], for who is past telling why.
    pub(crate) async fn over(self: Arc<Self>) {
        let why = self.ended().await;
        tracing::debug!(code = why.code().as_ref(), "what flowed is cut off");
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
pub(crate) struct Transactions(Arc<Mutex<Book>>);

impl Transactions {
    /// Opens an exchange, which is found by its handle and by its inner trace until it is dropped.
    ///
    /// # Errors
    /// [`Refusal::FaultOverloaded`] where too many are open, or without random bits.
    pub(crate) fn open(&self, brought: Brought, now: UnixTime) -> Result<Exchange, Refusal> {
        let Brought { access, held, trace } = brought;
        let mut bits = [0; 32];
        aws_lc_rs::rand::fill(&mut bits).map_err(|_unspecified| Refusal::FaultOverloaded)?;
        let handle = BASE64_URL_SAFE_NO_PAD.encode(bits);
        let transaction = Arc::new(Transaction {
            access,
            authority: held.as_ref().map(|held| Arc::new(Authority::of(&held.proof))),
            held: held.map(ArcSwap::from_pointee),
            traces: Traces::new(trace)?,
            opened: now,
            closed: CancellationToken::new(),
            cut: SetOnce::new(),
        });
        self.book().open(&handle, &transaction)?;
        Ok(Exchange { handle, transaction, transactions: self.clone(), at_work: AtomicBool::new(false) })
    }

    /// Whose call it is, as far as its head says. To be asked before anything is waited for: what begins later cannot
    /// have made this call.
    ///
    /// # Errors
    /// [`Refusal::CallNoTransaction`], [`Refusal::CallTraceEnded`], [`Refusal::CallContradiction`].
    pub(crate) fn claim(&self, signs: Signs<'_>) -> Result<Claim, Refusal> {
        self.book().claim(signs, Instant::now())
    }

    /// Whether the rest of the call bears its claim out, and by what it was found.
    ///
    /// # Errors
    /// [`Refusal::CallAmbiguous`], [`Refusal::CallContradiction`], [`Refusal::CallSession`], and what
    /// [`Self::claim`] says where the exchange has ended since.
    pub(crate) fn settle(&self, claim: &Claim, shows: &Shows) -> Result<Way, Refusal> {
        self.book().settle(claim, shows)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An inbound exchange in progress. Its handle and its trace die with it.
pub(crate) struct Exchange {
    handle: String,
    transaction: Arc<Transaction>,
    transactions: Transactions,
    /// Whether the app may be at work for it.
    at_work: AtomicBool,
}

impl Exchange {
    /// The handle, for the app alone. `None` never happens: base64url is a header value.
    pub(crate) fn handle(&self) -> Option<HeaderValue> {
        sensitive(&self.handle)
    }

    /// The `traceparent`, for the app alone. `None` never happens either.
    pub(crate) fn traceparent(&self) -> Option<HeaderValue> {
        sensitive(&self.transaction.traces.inward())
    }

    /// Its transaction.
    pub(crate) const fn transaction(&self) -> &Arc<Transaction> {
        &self.transaction
    }

    /// Says whether the app may be at work for it: from when it gets the request until it has answered to the end. An
    /// exchange that is dropped in between was given up by its caller, and its app may not know yet.
    pub(crate) fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Relaxed);
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let at_work = *self.at_work.get_mut();
        self.transactions.book().close(&self.handle, &self.transaction, at_work, Instant::now());
        self.transaction.closed.cancel();
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
pub(crate) mod tests;
