//! The credential of a call: held, or asked for once by however many calls need it. A credential is for one
//! transaction, chain, held scope, target, scope and generation; for nothing else is it ever offered (N97).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use http::HeaderValue;
use moka::{Expiry, future::Cache, policy::EvictionPolicy};

use super::transaction::Transaction;
use crate::{
    broker::{Broker, Issued},
    metrics::Metrics,
    revocations::Rests,
    snapshot::Snapshots,
    transactions::Held,
};
use identity::{ActorChain, RawToken, Refusal, Scopes, SpiffeId, Subject, Target, TokenId, TransactionId, UnixTime};
use runtime::{clock, shutdown::Shutdown};

/// Most credentials that are held: two tokens of at most 8 KiB each, so 64 MiB at the very worst.
const HELD_MAX: u64 = 4096;
/// A credential is not used in its last seconds, so that it is still good when it is looked at.
const MARGIN: Duration = Duration::from_secs(5);
/// A refresh that gains less is not worth a call.
const GAIN_MIN: Duration = Duration::from_secs(10);

/// What a credential is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    transaction: TransactionId,
    subject: Subject,
    chain: ActorChain,
    /// Scope of the transaction token in force: two exchanges of one transaction may hold different ones.
    held: Scopes,
    target: String,
    scopes: Scopes,
    generation: u64,
}

impl Key {
    pub(super) fn new(transaction: &Transaction, target: &Target, scopes: &Scopes, generation: u64) -> Self {
        let proof = transaction.held.proof();
        Self {
            transaction: proof.transaction().clone(),
            subject: proof.subject().clone(),
            chain: transaction.chain.clone(),
            held: proof.scopes().clone(),
            target: target.name().to_owned(),
            scopes: scopes.clone(),
            generation,
        }
    }
}

/// Whose credential is wanted, and where.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) key: &'a Key,
    pub(super) held: &'a Arc<Held>,
    pub(super) target: &'a Arc<Target>,
}

/// The headers that admit a call at its target. Never printed.
pub(super) struct Credential {
    pub(super) authorization: HeaderValue,
    pub(super) txn_token: Option<HeaderValue>,
    marks: Marks,
    /// How long it may be used, from when it came.
    life: Duration,
    usable_until: UnixTime,
    /// From here on it is replaced while it is still used.
    fresh_until: UnixTime,
    refreshing: AtomicBool,
}

/// By what a credential is found among the revocations, beside its key.
struct Marks {
    access: TokenId,
    txn: Option<TokenId>,
    /// Who may use the transaction token.
    callee: Option<SpiffeId>,
    issued_at: UnixTime,
}

impl Marks {
    fn rests<'a>(&'a self, key: &'a Key) -> Rests<'a> {
        Rests {
            transaction: &key.transaction,
            tokens: [Some(&self.access), self.txn.as_ref()],
            chain: &key.chain,
            workloads: [self.callee.as_ref(), None],
            issued_at: self.issued_at,
        }
    }
}

/// All credentials of this pod. Clones share them.
#[derive(Clone)]
pub(crate) struct Credentials {
    cache: Cache<Key, Arc<Credential>>,
    broker: Broker,
    snapshots: Snapshots,
    shutdown: Shutdown,
    metrics: Metrics,
}

impl Credentials {
    /// None yet; `broker` gives them, and `snapshots` say which were revoked.
    pub(crate) fn new(broker: Broker, snapshots: Snapshots, shutdown: Shutdown, metrics: Metrics) -> Self {
        let cache = Cache::builder().max_capacity(HELD_MAX).eviction_policy(EvictionPolicy::lru());
        Self { cache: cache.expire_after(ByLife).build(), broker, snapshots, shutdown, metrics }
    }

    /// The credential for a key. Calls that need the same one wait for one answer of the broker; a failure is told to
    /// all of them and not remembered. One that is nearly over is used while the next is fetched; one that was revoked is
    /// not used any more.
    ///
    /// # Errors
    /// The broker's refusal, or a fault; [`Refusal::SubjectRevoked`] where the answer came too late.
    pub(super) async fn of(&self, wanted: Wanted<'_>) -> Result<Arc<Credential>, Refusal> {
        let now = clock::now();
        match self.cache.get(wanted.key).await {
            Some(found) if now < found.usable_until && !self.is_revoked(wanted.key, &found)? => {
                self.metrics.cache("hit");
                if now >= found.fresh_until && !found.refreshing.swap(true, Ordering::AcqRel) {
                    self.refresh(wanted, &found);
                }
                return Ok(found);
            }
            // Revoked, or the wall clock jumped: the cache does not know.
            Some(_over) => self.cache.invalidate(wanted.key).await,
            None => {}
        }
        self.metrics.cache("miss");
        let Wanted { key, held, target } = wanted;
        // On the heap: a miss is rare, and every call would carry its room.
        let asking = Box::pin(ask(&self.broker, held, target, &key.scopes));
        let asked = self.cache.try_get_with_by_ref(key, asking).await;
        let credential = asked.map_err(|refusal| Refusal::clone(&refusal))?;
        if !self.is_revoked(key, &credential)? {
            return Ok(credential);
        }
        self.forget(key, &credential).await;
        let whole = self.snapshots.current()?.revocations.hold(&key.transaction);
        // Of the transaction nothing more will come; of a token or a workload the next answer may be good.
        Err(if whole { Refusal::SubjectRevoked } else { Refusal::FaultBroker })
    }

    /// Looked up at each use, because nothing is taken out of the cache when a revocation is heard.
    fn is_revoked(&self, key: &Key, held: &Credential) -> Result<bool, Refusal> {
        Ok(self.snapshots.current()?.revocations.cover(held.marks.rests(key)))
    }

    /// Forgets a credential that its target refused.
    pub(super) async fn forget(&self, key: &Key, refused: &Arc<Credential>) {
        if self.cache.get(key).await.is_some_and(|held| Arc::ptr_eq(&held, refused)) {
            self.cache.invalidate(key).await;
        }
    }

    /// Fetches the next credential while `old` is still used.
    fn refresh(&self, wanted: Wanted<'_>, old: &Arc<Credential>) {
        self.metrics.cache("refresh");
        let (own, key, held) = (self.clone(), wanted.key.clone(), Arc::clone(wanted.held));
        let (target, old) = (Arc::clone(wanted.target), Arc::clone(old));
        self.shutdown.spawn("refresh", async move {
            match ask(&own.broker, &held, &target, &key.scopes).await {
                // Near the end of the transaction nothing is gained, and asking again would not change that.
                Ok(next) if old.usable_until.until(next.usable_until) >= GAIN_MIN => own.cache.insert(key, next).await,
                Ok(_no_gain) => {}
                Err(refusal) => {
                    tracing::info!(code = refusal.code().as_ref(), "credential is not refreshed ahead");
                    old.refreshing.store(false, Ordering::Release);
                }
            }
        });
    }
}

async fn ask(broker: &Broker, held: &Held, target: &Target, scopes: &Scopes) -> Result<Arc<Credential>, Refusal> {
    let issued = broker.call(held, target.audience(), scopes).await?;
    Credential::new(&issued, target, clock::now()).map(Arc::new)
}

impl Credential {
    /// A credential out of what the broker issued at `now`, with a transaction token exactly if the target passes on.
    fn new(issued: &Issued, target: &Target, now: UnixTime) -> Result<Self, Refusal> {
        if issued.txn_token.is_some() != target.passes_on().is_some() {
            tracing::error!("the broker's answer does not fit the target");
            return Err(Refusal::FaultBroker);
        }
        let (access, issued_at) = marks(&issued.token)?;
        let txn = issued.txn_token.as_ref().map(|token| marks(token).map(|(id, _)| id)).transpose()?;
        let callee = txn.as_ref().map(|_txn| target.workload().clone());
        let life = issued.expires_in.saturating_sub(MARGIN);
        let fresh = life.saturating_mul(4).checked_div(5).unwrap_or_default();
        Ok(Self {
            authorization: sensitive("Bearer ", &issued.token)?,
            txn_token: issued.txn_token.as_ref().map(|token| sensitive("", token)).transpose()?,
            marks: Marks { access, txn, callee, issued_at },
            life,
            usable_until: now.plus(life),
            fresh_until: now.plus(fresh),
            refreshing: AtomicBool::new(false),
        })
    }
}

/// What the broker itself wrote into a token that it just gave us. A token that could not be found when it is revoked is
/// not used.
fn marks(token: &RawToken) -> Result<(TokenId, UnixTime), Refusal> {
    token.claimed_id().map_err(|fault| {
        tracing::error!(%fault, "the broker issued a token that cannot be read");
        Refusal::FaultBroker
    })
}

fn sensitive(scheme: &str, token: &RawToken) -> Result<HeaderValue, Refusal> {
    let value = HeaderValue::try_from(format!("{scheme}{}", token.expose()));
    let mut value = value.map_err(|_not_a_value| Refusal::FaultBroker)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Each credential is held for its own life.
struct ByLife;

impl Expiry<Key, Arc<Credential>> for ByLife {
    fn expire_after_create(&self, _key: &Key, made: &Arc<Credential>, _at: Instant) -> Option<Duration> {
        Some(made.life)
    }

    fn expire_after_update(
        &self,
        _key: &Key,
        made: &Arc<Credential>,
        _at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        Some(made.life)
    }
}

#[cfg(test)]
mod tests;
