//! JWT-SVIDs. One is used to half of its life and never after; then a new one must be had, or the call that needs it is
//! refused. Tokens are never printed, and only who was handed [`JwtSvids`] can fetch one.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{SpiffeId, UnixTime};
use serde_json::Value;
use spiffe::{WorkloadApiClient, WorkloadApiError};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{ANSWER_MAX, IdentityFault, Workload};

/// Most audiences whose tokens are kept: the `workload` targets of one pod are few; more are fetched each time.
const AUDIENCES_MAX: usize = 256;
/// A JWT-SVID that came less than this ago is not fetched anew because somebody refused it.
const REFETCH_AFTER: Duration = Duration::from_secs(10);

/// A JWT-SVID, to be sent and not to be seen.
#[derive(Clone)]
pub struct JwtSvid {
    token: Arc<Zeroizing<String>>,
    came: UnixTime,
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
        Some(Self { token: Arc::new(Zeroizing::new(token.to_owned())), came: now, not_after, fresh_until })
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

/// Fetches JWT-SVIDs, for whatever audience it is asked for: whoever holds one decides what this process can prove to
/// whom. So a program makes one where it is put together and hands it to the one part that has a reason to fetch.
///
/// ```
/// async fn fetched(svids: &runtime::workload::JwtSvids, now: identity::UnixTime) { svids.fetch("https://a", now).await.ok(); }
/// ```
/// An identity alone gives none:
/// ```compile_fail,E0599
/// async fn fetched(svids: &runtime::workload::Workload, now: identity::UnixTime) { svids.fetch("https://a", now).await.ok(); }
/// ```
/// and it has no copy to be handed on:
/// ```compile_fail,E0308
/// fn copied(svids: &runtime::workload::JwtSvids) -> runtime::workload::JwtSvids { svids.clone() }
/// ```
pub struct JwtSvids {
    endpoint: String,
    workload: Workload,
    slots: Mutex<HashMap<(SpiffeId, String), Slot>>,
}

impl JwtSvids {
    /// Those of `workload`, from the Workload API at `endpoint` (`unix:///…`). Nothing is fetched yet.
    #[must_use]
    pub fn new(endpoint: &str, workload: Workload) -> Self {
        Self { endpoint: endpoint.to_owned(), workload, slots: Mutex::default() }
    }

    /// A JWT-SVID for `audience`: cached to half of its life, one request at a time for each audience, each within
    /// [`ANSWER_MAX`]. Dropped half-way, nothing is cached.
    ///
    /// # Errors
    /// The [`IdentityFault`].
    pub async fn fetch(&self, audience: &str, now: UnixTime) -> Result<JwtSvid, IdentityFault> {
        let identity = self.workload.identity(now)?;
        let slot = self.slot(identity.id(), audience);
        // Held across the fetch on purpose, and bounded by it: single-flight for each audience.
        let mut held = timeout(ANSWER_MAX, slot.lock()).await.map_err(|_elapsed| too_slow())?;
        if let Some(svid) = held.as_ref().filter(|svid| now < svid.fresh_until) {
            return Ok(svid.clone());
        }
        *held = None;
        let svid = self.ask(identity.id(), audience, now).await?;
        *held = Some(svid.clone());
        Ok(svid)
    }

    /// Whoever should accept `svid` refused it, as happens when its key was withdrawn: the next fetch asks for another
    /// one. One that came within the last [`REFETCH_AFTER`] is kept, so that a service which refuses everything costs
    /// no more than that.
    pub fn forget(&self, audience: &str, svid: &JwtSvid, now: UnixTime) {
        let Ok(identity) = self.workload.identity(now) else { return };
        let slot = self.slot(identity.id(), audience);
        // Somebody else holds it: a new one is being fetched.
        let Ok(mut held) = slot.try_lock() else { return };
        let same = held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.token, &svid.token));
        if same && svid.came.until(now) >= REFETCH_AFTER {
            *held = None;
        }
    }

    async fn ask(&self, id: &SpiffeId, audience: &str, now: UnixTime) -> Result<JwtSvid, IdentityFault> {
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

impl fmt::Debug for JwtSvids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSvids").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

pub(super) fn refused(fault: &WorkloadApiError) -> IdentityFault {
    if matches!(fault, WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_)) {
        return IdentityFault::Lost;
    }
    unavailable(&fault.to_string())
}

pub(super) fn too_slow() -> IdentityFault {
    unavailable("no answer in time")
}

pub(super) fn unavailable(reason: &str) -> IdentityFault {
    IdentityFault::Unavailable(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mtls::tests::{Authority, PLANNER};

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

    fn held() -> JwtSvids {
        JwtSvids::new("unix:///nowhere/agent.sock", Authority::new().workload(PLANNER))
    }

    #[test]
    fn the_cache_is_bounded() {
        let (svids, id) = (held(), "spiffe://corp.example/a".parse().unwrap());
        for number in 0..AUDIENCES_MAX * 2 {
            svids.slot(&id, &number.to_string());
        }
        assert!(svids.slots.lock().unwrap().len() <= AUDIENCES_MAX);
    }

    #[tokio::test]
    async fn a_missing_socket_refuses_at_once() {
        let fault = held().fetch("https://tool", crate::clock::now()).await.unwrap_err();
        assert!(matches!(fault, IdentityFault::Unavailable(_)), "{fault}");
    }

    #[tokio::test]
    async fn a_refused_svid_is_fetched_anew_but_not_in_a_loop() {
        let (svids, now) = (held(), crate::clock::now());
        let end = i64::try_from(now.plus(Duration::from_secs(600)).secs()).unwrap();
        let svid = JwtSvid::new(&token("{}"), end, now).unwrap();
        let id = svids.workload.identity(now).unwrap().id().clone();
        *svids.slot(&id, "https://tool").lock().await = Some(svid.clone());
        svids.forget("https://tool", &svid, now);
        svids.forget("https://tool", &JwtSvid::new(&token("{}"), end, now).unwrap(), now.plus(REFETCH_AFTER));
        assert!(svids.fetch("https://tool", now).await.is_ok(), "too young, and another one");
        svids.forget("https://tool", &svid, now.plus(REFETCH_AFTER));
        assert!(svids.fetch("https://tool", now).await.is_err(), "the socket is asked");
    }
}
