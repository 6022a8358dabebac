//! What the broker allows this workload in its own name. It is asked once for all calls that need the same answer, and
//! its yes is relied on for no longer than it says; a no, or no answer, is not remembered.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future::Cache, policy::EvictionPolicy};

use crate::broker::Broker;
use identity::{Audience, Refusal, UnixTime, WorkloadTarget};
use runtime::clock;

/// Most answers that are held: the targets of one workload are few.
const HELD_MAX: u64 = 1024;

/// Leave to show one JWT-SVID for one audience: the broker allowed it, and has it on record. Made by the look-up of the
/// broker's answers alone, and used up by [`super::Svids::fetch`].
///
/// ```
/// async fn fetched(svids: &sidecar::own::Svids, leave: sidecar::own::Leave, now: identity::UnixTime) {
///     svids.fetch(leave, now).await.ok();
/// }
/// ```
/// It fetches once:
/// ```compile_fail,E0382
/// async fn fetched(svids: &sidecar::own::Svids, leave: sidecar::own::Leave, now: identity::UnixTime) {
///     svids.fetch(leave, now).await.ok(); svids.fetch(leave, now).await.ok();
/// }
/// ```
/// Nobody else can make one:
/// ```compile_fail,E0451
/// fn forged(audience: identity::Audience) -> sidecar::own::Leave { sidecar::own::Leave { audience } }
/// ```
/// nor copy one:
/// ```compile_fail,E0308
/// fn copied(leave: &sidecar::own::Leave) -> sidecar::own::Leave { leave.clone() }
/// ```
#[derive(Debug)]
pub struct Leave {
    audience: Audience,
}

impl Leave {
    /// The only audience that it is for.
    #[must_use]
    pub const fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Uses it up.
    pub(super) fn into_audience(self) -> Audience {
        self.audience
    }
}

/// The broker's answers. Clones share them.
#[derive(Clone)]
pub(crate) struct Leaves {
    cache: Cache<Key, Arc<Allowed>>,
    broker: Broker,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    target: String,
    era: Era,
}

/// Answers of one era say nothing in another.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Era {
    /// Of policy and registry.
    pub(super) generation: u64,
    /// Up to when this workload was revoked; what was allowed it before is asked again.
    pub(super) revoked: Option<UnixTime>,
}

/// A yes.
struct Allowed {
    life: Duration,
    until: UnixTime,
}

impl Leaves {
    /// None yet; `broker` gives them.
    pub(crate) fn new(broker: Broker) -> Self {
        let cache = Cache::builder().max_capacity(HELD_MAX).eviction_policy(EvictionPolicy::lru());
        Self { cache: cache.expire_after(ByLife).build(), broker }
    }

    /// Leave for one call of `target`, as its registry entry of this era says.
    ///
    /// # Errors
    /// The broker's refusal, or a fault.
    pub(super) async fn of(&self, target: &WorkloadTarget, era: Era) -> Result<Leave, Refusal> {
        let key = Key { target: target.name().to_owned(), era };
        let audience = target.perimeter().audience();
        match self.cache.get(&key).await {
            Some(allowed) if clock::now() < allowed.until => {}
            found => {
                // The wall clock jumped: the cache's own clock does not know.
                if found.is_some() {
                    self.cache.invalidate(&key).await;
                }
                let asked = self.cache.try_get_with_by_ref(&key, ask(&self.broker, audience)).await;
                asked.map_err(|refusal| Refusal::clone(&refusal))?;
            }
        }
        Ok(Leave { audience: audience.clone() })
    }
}

async fn ask(broker: &Broker, audience: &Audience) -> Result<Arc<Allowed>, Refusal> {
    // Before the question, so that the time on the way shortens the answer's life.
    let now = clock::now();
    let life = broker.may_use(audience).await?;
    Ok(Arc::new(Allowed { life, until: now.plus(life) }))
}

/// Each answer is held for its own life.
struct ByLife;

impl Expiry<Key, Arc<Allowed>> for ByLife {
    fn expire_after_create(&self, _key: &Key, allowed: &Arc<Allowed>, _at: Instant) -> Option<Duration> {
        Some(allowed.life)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        broker::double::Double,
        snapshot::{Snapshot, tests as snapshots},
    };

    fn target() -> Arc<WorkloadTarget> {
        let told = api::Snapshot { uses: vec![snapshots::inventory()], ..snapshots::told(Vec::new()) };
        let snapshot = Snapshot::try_from(told).expect("a snapshot");
        Arc::clone(snapshot.reaches.workload().by_name("inventory").expect("the target"))
    }

    const fn era(generation: u64) -> Era {
        Era { generation, revoked: None }
    }

    fn allowed(secs: u64) -> (u16, Value) {
        (200, json!({"decision": "allowed", "expires_in": secs}))
    }

    #[tokio::test]
    async fn many_calls_at_once_ask_the_broker_once_for_exactly_this_target() {
        let double = Double::start(|form| {
            assert_eq!(form, "resource=https%3A%2F%2Finventory.tools.svc%2Fv1");
            allowed(60)
        })
        .await;
        let (leaves, target) = (Leaves::new(double.broker.clone()), target());
        let all = futures_util::future::join_all((0..50).map(|_| leaves.of(&target, era(1)))).await;
        for leave in all {
            assert_eq!(leave.expect("allowed").audience(), target.perimeter().audience());
        }
        assert_eq!(double.calls(), 1);
        leaves.of(&target, era(2)).await.expect("allowed");
        assert_eq!(double.calls(), 2, "another generation is asked about anew");
        let revoked = Era { revoked: UnixTime::from_secs(1000), ..era(1) };
        leaves.of(&target, revoked).await.expect("allowed");
        assert_eq!(double.calls(), 3, "and after a revocation of the workload");
    }

    #[tokio::test]
    async fn a_no_is_told_and_not_remembered() {
        let double =
            Double::start(|_form| (400, json!({"error": "invalid_target", "refusal": "policy.no_rule"}))).await;
        let (leaves, target) = (Leaves::new(double.broker.clone()), target());
        for asked in 1..=2 {
            assert_eq!(leaves.of(&target, era(1)).await.err(), Some(Refusal::PolicyNoRule));
            assert_eq!(double.calls(), asked);
        }
    }

    #[tokio::test]
    async fn a_yes_that_is_over_is_asked_for_again() {
        let double = Double::start(|_form| allowed(0)).await;
        let (leaves, target) = (Leaves::new(double.broker.clone()), target());
        for asked in 1..=2 {
            leaves.of(&target, era(1)).await.expect("allowed for this call");
            assert_eq!(double.calls(), asked);
        }
    }

    #[tokio::test]
    async fn what_is_no_clear_yes_is_a_fault() {
        for answer in [
            json!({}),
            json!({"decision": "denied", "expires_in": 60}),
            json!({"decision": "allowed"}),
            json!({"decision": "allowed", "expires_in": 61}),
            json!({"decision": "allowed", "expires_in": "60"}),
            json!({"access_token": "a", "expires_in": 60}),
        ] {
            let told = answer.to_string();
            let double = Double::start(move |_form| (200, answer.clone())).await;
            let leaves = Leaves::new(double.broker.clone());
            assert_eq!(leaves.of(&target(), era(1)).await.err(), Some(Refusal::FaultBroker), "{told}");
        }
    }
}
