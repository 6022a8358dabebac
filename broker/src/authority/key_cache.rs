//! A provider's keys: the last good set stays through an outage of up to an hour; an unknown `kid`, however often it
//! comes and whoever brings it, never leads to more than one fetch in 30 s, and there is never more than one in flight
//! (`security.md` T9 and §5, `tokens.md` N43).

use std::{error::Error, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use identity::KeySet;
use runtime::shutdown::Shutdown;
use tokio::{
    sync::{Mutex, oneshot},
    time::Instant,
};

use super::{documents::Documents, measures::Measures};

/// Between two fetches while keys are held.
const REFRESH_GAP: Duration = Duration::from_secs(30);
/// Between two attempts while none are: a provider that starts after us is noticed soon.
const FIRST_GAP: Duration = Duration::from_secs(1);
/// How long keys are believed that cannot be fetched any more: a key that the provider withdrew must not be believed
/// for as long as somebody keeps us from it (`security.md` §5).
const STALE_MAX: Duration = Duration::from_hours(1);

/// The keys, and when they were last asked for.
#[derive(Debug)]
pub(super) struct KeyCache {
    documents: Arc<Documents>,
    held: Arc<ArcSwapOption<Held>>,
    asked: Arc<Mutex<Option<Instant>>>,
    measures: Measures,
    shutdown: Shutdown,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    learned: Instant,
}

impl KeyCache {
    pub(super) fn new(documents: Arc<Documents>, measures: Measures, shutdown: Shutdown) -> Self {
        Self { documents, held: Arc::default(), asked: Arc::default(), measures, shutdown }
    }

    /// The last good set; empty where it was learned too long ago.
    pub(super) fn current(&self) -> Arc<KeySet> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| held.learned.elapsed() < STALE_MAX);
        held.map(|held| Arc::clone(&held.keys)).unwrap_or_default()
    }

    /// Whether any key is held.
    pub(super) fn any(&self) -> bool {
        !self.current().is_empty()
    }

    /// Fetches the keys if that is due. Whoever comes while a fetch is in flight waits for it and then finds that none
    /// is due, however long it took: a provider that is silent makes nobody wait for more than one answer. The fetch
    /// goes on when who began it leaves, or leaving would be a way to keep the keys from everybody.
    pub(super) async fn refresh(&self) {
        let arrived = Instant::now();
        let mut asked = Arc::clone(&self.asked).lock_owned().await;
        if !is_due(*asked, (arrived, Instant::now()), self.any()) {
            return;
        }
        let (documents, held, measures) = (Arc::clone(&self.documents), Arc::clone(&self.held), self.measures.clone());
        let (done, fetched) = oneshot::channel();
        self.shutdown.spawn("look for a provider's keys", async move {
            let fetched = documents.keys().await;
            *asked = Some(Instant::now());
            match fetched {
                Ok(keys) => {
                    measures.key_fetch(documents.issuer(), "learned");
                    held.store(Some(Arc::new(Held { keys: Arc::new(keys), learned: Instant::now() })));
                }
                Err(fault) => {
                    measures.key_fetch(documents.issuer(), "failed");
                    let error: &(dyn Error + 'static) = &fault;
                    tracing::warn!(issuer = documents.issuer(), error, "the provider gave no keys");
                }
            }
            drop(asked);
            // Whoever waited may have left.
            done.send(()).ok();
        });
        // An error is a task that panicked: then nothing was learned, which is what the caller will find.
        fetched.await.ok();
    }
}

/// Whether the provider may be asked at `now`, where it was last asked at `last`, for somebody who has waited since
/// `arrived`.
fn is_due(last: Option<Instant>, (arrived, now): (Instant, Instant), any_held: bool) -> bool {
    let gap = if any_held { REFRESH_GAP } else { FIRST_GAP };
    last.is_none_or(|last| now.saturating_duration_since(last) >= gap && last <= arrived)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetches(any_held: bool, ms: u64) -> usize {
        let (mut last, start) = (None, Instant::now());
        let times = (0..ms).map(|ms| start.checked_add(Duration::from_millis(ms)).expect("a time"));
        times.filter(|now| is_due(last, (*now, *now), any_held).then(|| last = Some(*now)).is_some()).count()
    }

    #[test]
    fn any_number_of_unknown_kids_leads_to_one_fetch_in_thirty_seconds() {
        assert_eq!((fetches(true, 30_000), fetches(true, 60_000), fetches(true, 60_001)), (1, 2, 3));
    }

    #[test]
    fn without_any_key_the_provider_is_asked_every_second() {
        assert_eq!(fetches(false, 3_000), 3);
    }

    #[test]
    fn who_waited_for_a_fetch_in_flight_waits_for_no_second_one() {
        let start = Instant::now();
        let later = |secs| start + Duration::from_secs(secs);
        assert!(!is_due(Some(later(3)), (later(1), later(60)), true));
        assert!(is_due(Some(later(3)), (later(33), later(33)), true));
        assert!(!is_due(Some(later(3)), (later(32), later(32)), true));
    }
}
