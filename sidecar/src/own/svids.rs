//! The one part of the sidecar that holds JWT-SVIDs, and it fetches one only for a [`Leave`]. It never prints one.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderValue;

use super::Leave;
use identity::{Audience, Refusal, UnixTime};
use runtime::workload::{JwtSvid, JwtSvids};

/// Most JWT-SVIDs that answers are searched for: those of the few services of a pod, with the one before each. With more,
/// the one that ends first is not looked for any longer.
const SHOWN_MAX: usize = 64;
/// How long after its end a service may still take one: clocks differ.
const LEEWAY: Duration = Duration::from_secs(60);

/// The part of a JWT-SVID without which it is worth nothing, and which stands nowhere else: its signature.
pub(super) type Signature = Arc<[u8]>;

/// The JWT-SVIDs that were shown and still count. A service may keep what it was sent and repeat it later, also when it
/// is called as another resource or with a newer one. Clones see the same.
#[derive(Clone, Default)]
pub(super) struct Shown(Arc<Mutex<Vec<(Signature, UnixTime)>>>);

impl Shown {
    /// Those that no answer may hold.
    pub(super) fn signatures(&self) -> Vec<Signature> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.iter().map(|(signature, _)| Arc::clone(signature)).collect()
    }

    /// Notes one that will be shown.
    pub(super) fn note(&self, token: &str, not_after: UnixTime, now: UnixTime) {
        let signature = token.rsplit('.').next().unwrap_or_default().as_bytes();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|(_, until)| now < *until);
        if signature.is_empty() || shown.iter().any(|(known, _)| known.as_ref() == signature) {
            return;
        }
        shown.push((signature.into(), not_after.plus(LEEWAY)));
        shown.sort_by_key(|(_, until)| *until);
        let surplus = shown.len().saturating_sub(SHOWN_MAX);
        shown.drain(..surplus);
    }
}

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
pub struct Svids {
    svids: JwtSvids,
    shown: Shown,
}

/// A JWT-SVID on its way to the one service that it is for. Never printed.
pub struct Presented {
    audience: Audience,
    svid: JwtSvid,
    shown: Shown,
}

impl Svids {
    /// Those of this workload.
    pub(super) fn new(svids: JwtSvids) -> Self {
        Self { svids, shown: Shown::default() }
    }

    /// Uses `leave` up for a JWT-SVID with its audience: held up to half of its life, else from the Workload API. Dropped
    /// half-way, the leave is gone and nothing was shown.
    ///
    /// # Errors
    /// [`Refusal::FaultIdentity`].
    pub async fn fetch(&self, leave: Leave, now: UnixTime) -> Result<Presented, Refusal> {
        let audience = leave.into_audience();
        let svid = self.svids.fetch(audience.as_str(), now).await.map_err(|fault| {
            tracing::warn!(%fault, %audience, "no JWT-SVID to call a service with");
            Refusal::FaultIdentity
        })?;
        self.shown.note(svid.expose(), svid.not_after(), now);
        Ok(Presented { audience, svid, shown: self.shown.clone() })
    }

    /// The service refused it; its key may have been withdrawn.
    pub(super) fn refused(&self, presented: &Presented, now: UnixTime) {
        self.svids.forget(presented.audience.as_str(), &presented.svid, now);
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

    /// What was shown, this one and others before and after it.
    pub(super) const fn shown(&self) -> &Shown {
        &self.shown
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presented").field("audience", &self.audience).finish_non_exhaustive()
    }
}

impl fmt::Debug for Svids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Svids").field("svids", &self.svids).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).expect("a time")
    }

    #[test]
    fn what_was_shown_is_looked_for_until_nobody_takes_it() {
        let shown = Shown::default();
        let signatures =
            || shown.signatures().iter().map(|one| String::from_utf8_lossy(one).into_owned()).collect::<Vec<_>>();
        for (token, end) in [("h.p.one", 1300), ("h.p.two", 1200), ("h.p.one", 1300), ("h.p.", 1300)] {
            shown.note(token, at(end), at(1000));
        }
        assert_eq!(signatures(), ["two", "one"]);
        shown.note("h.p.three", at(1500), at(1200).plus(LEEWAY));
        assert_eq!(signatures(), ["one", "three"]);
    }

    #[test]
    fn no_more_are_looked_for_than_fit_and_the_first_to_end_goes() {
        let shown = Shown::default();
        for number in 0..SHOWN_MAX {
            shown.note(&format!("h.p.{number}"), at(2000), at(1000));
        }
        shown.note("h.p.late", at(3000), at(1000));
        shown.note("h.p.soon", at(1500), at(1000));
        let signatures = shown.signatures();
        let holds = |wanted: &str| signatures.iter().any(|one| one.as_ref() == wanted.as_bytes());
        assert!(signatures.len() == SHOWN_MAX && holds("late") && !holds("soon"));
    }
}
