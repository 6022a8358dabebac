//! The keys that verify JWT-SVIDs of the own trust domain. They are fetched for each question: a withdrawn key must not
//! verify anything any more. Only where strangers bring the tokens, an answer serves for a moment.

use std::time::Duration;

use identity::{KeySet, TrustDomain};
use serde_json::Value;
use spiffe::WorkloadApiClient;
use tokio::{
    sync::{Mutex, Semaphore},
    time::{Instant, timeout},
};

use super::{
    ANSWER_MAX, IdentityFault,
    tokens::{refused, too_slow, unavailable},
};

/// Requests for keys at once: tokens make us ask, and they must not keep the agent from others of the host.
const ASKING_MAX: usize = 4;
/// How long an answer serves where strangers make us ask: they cost one question a second, however many they are.
const SERVES_FOR: Duration = Duration::from_secs(1);

pub(super) struct JwtKeys {
    endpoint: String,
    asking: Semaphore,
    /// For strangers; whoever holds the lock is the one who asks.
    recent: Mutex<Option<Recent>>,
}

struct Recent {
    domain: TrustDomain,
    asked: Instant,
    keys: KeySet,
}

impl JwtKeys {
    pub(super) fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), asking: Semaphore::new(ASKING_MAX), recent: Mutex::default() }
    }

    /// Those of `domain`, and never of another one, whatever else the Workload API tells.
    pub(super) async fn of(&self, domain: &TrustDomain) -> Result<KeySet, IdentityFault> {
        let fetch = async {
            // Never closed; without a turn the time limit below ends the wait.
            let _turn = self.asking.acquire().await.ok();
            let client = WorkloadApiClient::connect_to(&self.endpoint).await?;
            client.fetch_jwt_bundles().await
        };
        let bundles =
            timeout(ANSWER_MAX, fetch).await.map_err(|_elapsed| too_slow())?.map_err(|fault| refused(&fault))?;
        let bundle = bundles.get_ref(domain).ok_or_else(|| unavailable("it gave no keys of the own trust domain"))?;
        let keys: Vec<Value> =
            bundle.jwt_authorities().filter_map(|key| serde_json::from_slice(key.jwk_json()).ok()).collect();
        let set = serde_json::to_vec(&serde_json::json!({ "keys": keys })).unwrap_or_default();
        KeySet::parse(&set).map_err(|fault| unavailable(&fault.to_string()))
    }

    /// As [`JwtKeys::of`], at most [`SERVES_FOR`] old; one question at a time.
    pub(super) async fn recent_of(&self, domain: &TrustDomain) -> Result<KeySet, IdentityFault> {
        let wait = timeout(ANSWER_MAX, self.recent.lock());
        let mut recent = wait.await.map_err(|_elapsed| too_slow())?;
        let serves = |held: &&Recent| held.domain == *domain && held.asked.elapsed() < SERVES_FOR;
        if let Some(held) = recent.as_ref().filter(serves) {
            return Ok(held.keys.clone());
        }
        let asked = Instant::now();
        // Held across the question on purpose, and bounded by it.
        let keys = self.of(domain).await?;
        *recent = Some(Recent { domain: domain.clone(), asked, keys: keys.clone() });
        Ok(keys)
    }
}
