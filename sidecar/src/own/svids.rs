//! The one part of the sidecar that holds JWT-SVIDs, and it fetches one only for a [`Leave`]. It never prints one.

use std::fmt;

use http::HeaderValue;

use super::Leave;
use identity::{Audience, Refusal, UnixTime};
use runtime::workload::{JwtSvid, JwtSvids};

/// Fetches JWT-SVIDs against leave of the broker, and in no other way:
/// ```compile_fail,E0308
/// async fn fetched(svids: &sidecar::own::Svids, audience: identity::Audience, now: identity::UnixTime) {
///     svids.fetch(audience, now).await.ok();
/// }
/// ```
/// while with leave it does:
/// ```
/// async fn fetched(svids: &sidecar::own::Svids, leave: sidecar::own::Leave, now: identity::UnixTime) {
///     svids.fetch(leave, now).await.ok();
/// }
/// ```
#[derive(Debug)]
pub struct Svids(JwtSvids);

/// A JWT-SVID on its way to the one service that it is for. Never printed.
pub struct Presented {
    audience: Audience,
    svid: JwtSvid,
}

impl Svids {
    /// Those of this workload.
    pub(super) fn new(svids: JwtSvids) -> Self {
        Self(svids)
    }

    /// Uses `leave` up for a JWT-SVID with its audience: held up to half of its life, else from the Workload API. Dropped
    /// half-way, the leave is gone and nothing was shown.
    ///
    /// # Errors
    /// [`Refusal::FaultIdentity`].
    pub async fn fetch(&self, leave: Leave, now: UnixTime) -> Result<Presented, Refusal> {
        let audience = leave.into_audience();
        let svid = self.0.fetch(audience.as_str(), now).await.map_err(|fault| {
            tracing::warn!(%fault, %audience, "no JWT-SVID to call a service with");
            Refusal::FaultIdentity
        })?;
        Ok(Presented { audience, svid })
    }

    /// The service refused it; its key may have been withdrawn.
    pub(super) fn refused(&self, presented: &Presented, now: UnixTime) {
        self.0.forget(presented.audience.as_str(), &presented.svid, now);
    }
}

impl Presented {
    /// As a header's value.
    pub(super) fn authorization(&self) -> Result<HeaderValue, Refusal> {
        let value = HeaderValue::try_from(format!("Bearer {}", self.svid.expose()));
        let mut value = value.map_err(|_not_a_value| Refusal::FaultIdentity)?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The part without which it is worth nothing, and which stands nowhere else: its signature.
    pub(super) fn signature(&self) -> &[u8] {
        self.svid.expose().rsplit('.').next().unwrap_or_default().as_bytes()
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("audience", &self.audience).finish_non_exhaustive()
    }
}
