//! The keys that verify JWT-SVIDs of the own trust domain. They are fetched for each question: a withdrawn key must not
//! verify anything any more.

use identity::{KeySet, TrustDomain};
use serde_json::Value;
use spiffe::WorkloadApiClient;
use tokio::{sync::Semaphore, time::timeout};

use super::{
    ANSWER_MAX, IdentityFault,
    tokens::{refused, too_slow, unavailable},
};

/// Requests for keys at once: strangers' tokens make us ask, and they must not keep the agent from others of the host.
const ASKING_MAX: usize = 4;

pub(super) struct JwtKeys {
    endpoint: String,
    asking: Semaphore,
}

impl JwtKeys {
    pub(super) fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), asking: Semaphore::new(ASKING_MAX) }
    }

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
}
