//! A provider's keys: the last good set stays through an outage; an unknown `kid`, however often it comes, never leads
//! to more than one fetch per 30 s for users and one for strangers, and there is never more than one in flight
//! (`security.md` T9, `tokens.md` N43).

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

/// For whom the keys are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Users, or the broker itself.
    Users,
    /// Whoever sends something to the public door.
    Strangers,
}

/// When the provider was asked last. Strangers wait for users' looks and for their own, users for their own alone: else
/// who sends one unknown `kid` in 30 s would keep everybody out for as long whenever the provider takes a new key.
#[derive(Debug, Default)]
struct Throttle {
    users: Option<Instant>,
    strangers: Option<Instant>,
}

impl Throttle {
    /// Whether it may be asked at `now` for `whom`, who has waited since `arrived`; if so, that counts as asked.
    fn admits(&mut self, whom: Whom, (arrived, now): (Instant, Instant), any_held: bool) -> bool {
        let gap = if any_held { REFRESH_GAP } else { FIRST_GAP };
        let latest = self.users.max(self.strangers);
        let last = match whom {
            Whom::Users => self.users,
            Whom::Strangers => latest,
        };
        let due = last.is_none_or(|asked| now.saturating_duration_since(asked) >= gap);
        let answered_meanwhile = latest.is_some_and(|asked| asked > arrived);
        let admitted = due && !answered_meanwhile;
        if admitted {
            self.asked(whom, now);
        }
        admitted
    }

    fn asked(&mut self, whom: Whom, now: Instant) {
        match whom {
            Whom::Users => self.users = Some(now),
            Whom::Strangers => self.strangers = Some(now),
        }
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
    pub(super) async fn refresh(&self, documents: &Documents, whom: Whom) {
        let arrived = Instant::now();
        let mut throttle = self.throttle.lock().await;
        if !throttle.admits(whom, (arrived, Instant::now()), self.any()) {
            return;
        }
        let fetched = documents.keys().await;
        throttle.asked(whom, Instant::now());
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
        for whom in [Whom::Users, Whom::Strangers] {
            let (mut throttle, start) = (Throttle::default(), Instant::now());
            let fetches = (0..60_000).filter(|ms| admits(&mut throttle, whom, start, *ms, true)).count();
            assert_eq!(fetches, 2, "{whom:?}");
        }
    }

    fn admits(throttle: &mut Throttle, whom: Whom, start: Instant, ms: u64, any_held: bool) -> bool {
        let now = start.checked_add(Duration::from_millis(ms)).expect("a time");
        throttle.admits(whom, (now, now), any_held)
    }

    #[test]
    fn a_strangers_look_takes_no_users_away() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        assert!(admits(&mut throttle, Whom::Strangers, start, 0, true));
        assert!(admits(&mut throttle, Whom::Users, start, 1000, true), "the provider took a new key meanwhile");
        assert!(!admits(&mut throttle, Whom::Strangers, start, 30_999, true), "the keys are as young as that");
        assert!(admits(&mut throttle, Whom::Strangers, start, 31_000, true));
        assert!(admits(&mut throttle, Whom::Users, start, 31_000, true));
    }

    #[test]
    fn who_waited_for_a_fetch_in_flight_waits_for_no_second_one() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let later = |secs| start + Duration::from_secs(secs);
        assert!(throttle.admits(Whom::Strangers, (start, start), true));
        throttle.asked(Whom::Strangers, later(6));
        assert!(!throttle.admits(Whom::Users, (later(1), later(6)), true));
        assert!(throttle.admits(Whom::Users, (later(7), later(7)), true));
    }

    #[test]
    fn without_any_key_the_provider_is_asked_every_second() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let fetches = (0..3_000).filter(|ms| admits(&mut throttle, Whom::Users, start, *ms, false)).count();
        assert_eq!(fetches, 3);
    }
}
