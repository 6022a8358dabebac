//! JWT-SVIDs and the keys that verify them. A JWT-SVID is used to half of its life and never after; then a new one must
//! be had, or the call that needs it is refused. Tokens are never printed.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{KeySet, SpiffeId, TrustDomain, UnixTime};
use serde_json::Value;
use spiffe::{WorkloadApiClient, WorkloadApiError};
use tokio::{sync::Semaphore, time::timeout};
use zeroize::Zeroizing;

use super::{ANSWER_MAX, IdentityFault};

/// Most audiences whose tokens are kept: the `workload` targets of one pod are few; more are fetched each time.
const AUDIENCES_MAX: usize = 256;
/// Requests for keys at once: strangers' tokens make us ask, and they must not keep the agent from others of the host.
const ASKING_MAX: usize = 4;

/// A JWT-SVID, to be sent and not to be seen.
#[derive(Clone)]
pub struct JwtSvid {
    token: Arc<Zeroizing<String>>,
    not_after: UnixTime,
    fresh_until: UnixTime,
}

impl JwtSvid {
    /// The token, to put on the wire. Every call is a place to review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.token
    }

    /// From this second on it is refused.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Half of its life counts from `iat`, or from when it came where it has none.
    fn new(token: &str, expiry: i64, now: UnixTime) -> Option<Self> {
        let not_after = u64::try_from(expiry).ok().and_then(UnixTime::from_secs)?;
        let issued = issued_at(token).unwrap_or(now).min(now);
        let half = issued.until(not_after).checked_div(2)?;
        let fresh_until = issued.plus(half);
        Some(Self { token: Arc::new(Zeroizing::new(token.to_owned())), not_after, fresh_until })
    }
}

impl fmt::Debug for JwtSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwtSvid(..)")
    }
}

fn issued_at(token: &str) -> Option<UnixTime> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    UnixTime::from_secs(claims.get("iat")?.as_u64()?)
}

/// One audience's token; whoever holds the lock is the one who fetches.
type Slot = Arc<tokio::sync::Mutex<Option<JwtSvid>>>;

/// The tokens held, by identity and audience.
pub(super) struct Tokens {
    endpoint: String,
    slots: Mutex<HashMap<(SpiffeId, String), Slot>>,
    asking: Semaphore,
}

impl Tokens {
    pub(super) fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), slots: Mutex::default(), asking: Semaphore::new(ASKING_MAX) }
    }

    pub(super) async fn svid(&self, id: &SpiffeId, audience: &str, now: UnixTime) -> Result<JwtSvid, IdentityFault> {
        let slot = self.slot(id, audience);
        // Held across the fetch on purpose, and bounded by it: single-flight for each audience.
        let mut held = timeout(ANSWER_MAX, slot.lock()).await.map_err(|_elapsed| too_slow())?;
        if let Some(svid) = held.as_ref().filter(|svid| now < svid.fresh_until) {
            return Ok(svid.clone());
        }
        *held = None;
        let svid = self.fetch(id, audience, now).await?;
        *held = Some(svid.clone());
        Ok(svid)
    }

    pub(super) async fn keys(&self, domain: &TrustDomain) -> Result<KeySet, IdentityFault> {
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

    async fn fetch(&self, id: &SpiffeId, audience: &str, now: UnixTime) -> Result<JwtSvid, IdentityFault> {
        let fetch = async {
            let client = WorkloadApiClient::connect_to(&self.endpoint).await?;
            client.fetch_jwt_svid([audience], Some(id)).await
        };
        let svid = timeout(ANSWER_MAX, fetch).await.map_err(|_elapsed| too_slow())?.map_err(|fault| refused(&fault))?;
        if svid.spiffe_id() != id {
            return Err(unavailable("it gave a JWT-SVID of another identity"));
        }
        let usable = JwtSvid::new(svid.token(), svid.claims().exp(), now).filter(|svid| now < svid.not_after);
        usable.ok_or_else(|| unavailable("it gave an expired JWT-SVID"))
    }

    fn slot(&self, id: &SpiffeId, audience: &str) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (id.clone(), audience.to_owned());
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        if slots.len() >= AUDIENCES_MAX {
            // Full: forget those that nobody is asking for right now; if all are, this one is not kept.
            slots.retain(|_key, slot| Arc::strong_count(slot) > 1);
        }
        if slots.len() < AUDIENCES_MAX {
            slots.insert(key, Arc::clone(&slot));
        }
        slot
    }
}

fn refused(fault: &WorkloadApiError) -> IdentityFault {
    if matches!(fault, WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_)) {
        return IdentityFault::Lost;
    }
    unavailable(&fault.to_string())
}

fn too_slow() -> IdentityFault {
    unavailable("no answer in time")
}

fn unavailable(reason: &str) -> IdentityFault {
    IdentityFault::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).unwrap()
    }

    fn token(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn half_of_life_counts_from_iat() {
        let svid = JwtSvid::new(&token(r#"{"iat":1000}"#), 1300, at(1100)).unwrap();
        assert_eq!((svid.fresh_until, svid.not_after()), (at(1150), at(1300)));
    }

    #[test]
    fn without_iat_half_of_life_counts_from_arrival() {
        let svid = JwtSvid::new(&token("{}"), 1300, at(1100)).unwrap();
        assert_eq!(svid.fresh_until, at(1200));
    }

    #[test]
    fn a_jwt_svid_cannot_be_printed() {
        let svid = JwtSvid::new(&token("{}"), 1300, at(1100)).unwrap();
        assert_eq!(format!("{svid:?}"), "JwtSvid(..)");
    }

    #[test]
    fn the_cache_is_bounded() {
        let tokens = Tokens::new("unix:///nowhere");
        let id: SpiffeId = "spiffe://corp.example/a".parse().unwrap();
        for number in 0..AUDIENCES_MAX * 2 {
            tokens.slot(&id, &number.to_string());
        }
        assert!(tokens.slots.lock().unwrap().len() <= AUDIENCES_MAX);
    }

    #[tokio::test]
    async fn a_missing_socket_refuses_at_once() {
        let tokens = Tokens::new("unix:///nowhere/agent.sock");
        let id: SpiffeId = "spiffe://corp.example/a".parse().unwrap();
        let fault = tokens.svid(&id, "https://tool", at(1)).await.unwrap_err();
        assert!(matches!(fault, IdentityFault::Unavailable(_)), "{fault}");
    }
}
