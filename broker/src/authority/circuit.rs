//! A provider that fails is left alone: after some failures in a row nobody waits for it any more, and one call a second
//! looks whether it is back. A refusal is the answer of a provider that works. Time is monotonic: no clock that jumps
//! keeps it open or closed.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row after which it is left alone (`security.md` §5).
const FAILURES_MAX: u32 = 5;
/// Between two looks whether it is back (`security.md` §5).
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Whether a provider is asked.
#[derive(Debug, Default)]
pub(super) struct Circuit(Mutex<State>);

#[derive(Clone, Copy, Debug)]
enum State {
    /// It is asked; so many calls in a row have failed.
    Closed { failures: u32 },
    /// It is left alone; the last look, or the failure that opened it, was then.
    Open { probed: Instant },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Closed,
}

impl Circuit {
    /// Whether it may be asked at `now`; if it is left alone, that is the look of this second.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match &mut *state {
            State::Closed { .. } => true,
            State::Open { probed } => {
                let due = now.saturating_duration_since(*probed) >= PROBE_EVERY;
                if due {
                    *probed = now;
                }
                due
            }
        }
    }

    /// Notes how a call went that ended at `now`. One that nobody waited for to its end is not noted.
    pub(super) fn note(&self, works: bool, now: Instant) -> Option<Change> {
        let mut state = self.lock();
        let (next, change) = match (*state, works) {
            (State::Closed { .. }, true) => (State::default(), None),
            (State::Open { .. }, true) => (State::default(), Some(Change::Closed)),
            (State::Closed { failures }, false) if failures.saturating_add(1) < FAILURES_MAX => {
                (State::Closed { failures: failures.saturating_add(1) }, None)
            }
            (State::Closed { .. }, false) => (State::Open { probed: now }, Some(Change::Opened)),
            (open @ State::Open { .. }, false) => (open, None),
        };
        *state = next;
        change
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start.checked_add(Duration::from_millis(ms)).expect("a time")
    }

    /// As often as opens it.
    fn fail(circuit: &Circuit, now: Instant) {
        for _ in 0..FAILURES_MAX {
            circuit.note(false, now);
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_four_do_not() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        for works in [false, false, false, false, true, false, false, false, false] {
            assert_eq!(circuit.note(works, start), None);
            assert!(circuit.admits(start));
        }
        assert_eq!(circuit.note(false, start), Some(Change::Opened));
        assert!(!circuit.admits(start));
    }

    #[test]
    fn one_look_a_second_while_it_is_open_whatever_the_load() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        fail(&circuit, start);
        let looks: Vec<u64> = (0..3_500).filter(|ms| circuit.admits(at(start, *ms))).collect();
        assert_eq!(looks, [1000, 2000, 3000]);
    }

    #[test]
    fn a_look_that_succeeds_closes_it_and_one_that_fails_does_not() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        fail(&circuit, start);
        assert!(circuit.admits(at(start, 1000)));
        assert_eq!(circuit.note(false, at(start, 1500)), None);
        assert!(!circuit.admits(at(start, 1999)));
        assert!(circuit.admits(at(start, 2000)));
        assert_eq!(circuit.note(true, at(start, 2001)), Some(Change::Closed));
        assert!(circuit.admits(at(start, 2002)));
        assert_eq!(circuit.note(false, at(start, 2003)), None, "counted anew");
    }

    #[test]
    fn a_time_before_the_last_look_opens_nothing() {
        let (circuit, start) = (Circuit::default(), Instant::now());
        fail(&circuit, at(start, 5000));
        assert!(!circuit.admits(start));
    }
}
