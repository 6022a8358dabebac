//! A provider's keys: the last good set stays through an outage; an unknown `kid`, however often it comes, never leads
//! to more than one fetch per 30 s, and there is never more than one in flight (`security.md` T9, `tokens.md` N43).

use std::{error::Error, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use identity::KeySet;
use tokio::{sync::Mutex, time::Instant};

use super::documents::Documents;

/// Between two fetches while keys are held.
const REFRESH_GAP: Duration = Duration::from_secs(30);
/// Between two attempts while none are: a provider that starts after us is noticed soon.
const FIRST_GAP: Duration = Duration::from_secs(1);

/// The keys and when they were last asked for.
#[derive(Debug, Default)]
pub(super) struct KeyCache {
    held: ArcSwap<KeySet>,
    throttle: Mutex<Throttle>,
}

/// When the provider may be asked again.
#[derive(Debug, Default)]
struct Throttle {
    asked_at: Option<Instant>,
}

impl Throttle {
    /// Whether it may be asked at `now`; if so, that counts as asked.
    fn admits(&mut self, now: Instant, any_held: bool) -> bool {
        let gap = if any_held { REFRESH_GAP } else { FIRST_GAP };
        let due = self.asked_at.is_none_or(|asked| now.saturating_duration_since(asked) >= gap);
        if due {
            self.asked_at = Some(now);
        }
        due
    }
}

impl KeyCache {
    /// The last good set.
    pub(super) fn current(&self) -> Arc<KeySet> {
        self.held.load_full()
    }

    /// Whether any key is held.
    pub(super) fn any(&self) -> bool {
        !self.held.load().is_empty()
    }

    /// Fetches the keys if that is due. Whoever comes while a fetch is in flight waits for it and then finds that none
    /// is due, however long it took: a provider that is silent makes nobody wait for more than one answer. Dropped
    /// half-way, the next caller waits for the gap.
    pub(super) async fn refresh(&self, documents: &Documents) {
        let mut throttle = self.throttle.lock().await;
        if !throttle.admits(Instant::now(), self.any()) {
            return;
        }
        let fetched = documents.keys().await;
        throttle.asked_at = Some(Instant::now());
        match fetched {
            Ok(keys) => self.held.store(Arc::new(keys)),
            Err(fault) => {
                let error: &(dyn Error + 'static) = &fault;
                tracing::warn!(error, "the provider gave no keys");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_unknown_kids_leads_to_one_fetch_in_thirty_seconds() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let fetches = (0..60_000).filter(|ms| throttle.admits(start + Duration::from_millis(*ms), true)).count();
        assert_eq!(fetches, 2);
    }

    #[test]
    fn without_any_key_the_provider_is_asked_every_second() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let fetches = (0..3_000).filter(|ms| throttle.admits(start + Duration::from_millis(*ms), false)).count();
        assert_eq!(fetches, 3);
    }
}
