//! How often each workload may ask, so that one which is out of order, or which a stranger drives, fills neither the
//! record's disk nor the time of the others (`security.md` T17). Beside `quota`, which counts what it holds at once.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::{Refusal, SpiffeId};
use tokio::time::Instant;

/// Workloads that are remembered, each in about 150 bytes: those that asked within the last milliseconds, or that are at
/// their limit. Only who has an SVID of the trust domain is one. With so many at once a further one is sent away.
const REMEMBERED_MAX: usize = 16_384;

/// What each workload may ask: so many requests a second, and so many more at once after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RateLimit {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

/// The requests of all workloads, on monotonic time.
pub(crate) struct Rates {
    /// What one request takes of a workload's time.
    each: Duration,
    /// How far ahead of time a workload may be.
    ahead_max: Duration,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Up to when each has used its time; who is not ahead may be forgotten (generic cell rate algorithm).
    until: HashMap<SpiffeId, Instant>,
    /// When the first of them may be, where there was no room: until then it is not worth a look.
    full_until: Option<Instant>,
}

impl Rates {
    pub(crate) fn new(limit: RateLimit) -> Self {
        let each = Duration::from_secs(1).checked_div(limit.per_second.get()).unwrap_or_default();
        Self { each, ahead_max: each.saturating_mul(limit.burst.get()), used: Mutex::default() }
    }

    /// Counts one request of `workload`.
    ///
    /// # Errors
    /// [`Refusal::FaultRateLimited`]: it asked too often. That request counts for nothing. [`Refusal::FaultOverloaded`]:
    /// as many others as are remembered asked just now.
    pub(crate) fn count(&self, workload: &SpiffeId) -> Result<(), Refusal> {
        self.count_at(workload, Instant::now())
    }

    fn count_at(&self, workload: &SpiffeId, now: Instant) -> Result<(), Refusal> {
        let mut used = self.lock();
        let before = used.until.get(workload).copied();
        let next = before.map_or(now, |before| before.max(now)).checked_add(self.each);
        let next = next.filter(|next| next.saturating_duration_since(now) <= self.ahead_max);
        let next = next.ok_or(Refusal::FaultRateLimited)?;
        if let Some(until) = used.until.get_mut(workload) {
            *until = next;
        } else if used.has_room(now) {
            used.until.insert(workload.clone(), next);
        } else {
            return Err(Refusal::FaultOverloaded);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    /// Whether one more can be remembered, after those that have rested are forgotten.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.until.len() < REMEMBERED_MAX {
            return true;
        }
        if self.full_until.is_some_and(|until| now < until) {
            return false;
        }
        self.until.retain(|_workload, until| *until > now);
        self.full_until = self.until.values().min().copied();
        self.until.len() < REMEMBERED_MAX
    }
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").field("workloads", &self.lock().until.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SpiffeId {
        SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id")
    }

    fn rates(per_second: u32, burst: u32) -> Rates {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        Rates::new(RateLimit { per_second: number(per_second), burst: number(burst) })
    }

    #[test]
    fn who_asks_too_often_is_refused_and_nobody_else() {
        let (rates, now) = (rates(2, 5), Instant::now());
        for _request in 0..5 {
            rates.count_at(&id("a"), now).expect("within the burst");
        }
        assert_eq!(rates.count_at(&id("a"), now), Err(Refusal::FaultRateLimited));
        assert_eq!(rates.count_at(&id("b"), now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(rates.count_at(&id("a"), later), Ok(()), "its time has come for one more");
        assert_eq!(rates.count_at(&id("a"), later), Err(Refusal::FaultRateLimited));
    }

    #[test]
    fn whoever_comes_memory_is_bounded_and_who_was_there_is_served() {
        let (rates, now) = (rates(1, 5), Instant::now());
        let mut told = [0, 0];
        for number in 0..1_000_000 {
            let answer = rates.count_at(&id(&number.to_string()), now);
            told[usize::from(answer == Err(Refusal::FaultOverloaded))] += 1;
        }
        assert_eq!(told, [REMEMBERED_MAX, 1_000_000 - REMEMBERED_MAX]);
        assert_eq!(rates.lock().until.len(), REMEMBERED_MAX);
        assert_eq!(rates.count_at(&id("0"), now), Ok(()));
        let later = now + Duration::from_secs(5);
        assert_eq!(rates.count_at(&id("new"), later), Ok(()), "the others have rested");
        assert_eq!(rates.lock().until.len(), 1);
    }
}
