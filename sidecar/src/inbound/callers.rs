//! How many exchanges each caller has in progress: one that holds many open, or does not read its answers, leaves room
//! for the others (`security.md` T17).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Permit;
use identity::{Refusal, SpiffeId, Subject};

/// Most exchanges of one caller: half of what goes on toward an app at a time.
const EACH_MAX: usize = 256;

/// Who has exchanges in progress. Clones share it; its size is bounded by the exchanges.
#[derive(Clone, Default)]
pub(crate) struct Callers(Arc<Mutex<HashMap<Caller, usize>>>);

/// A user, and the workload that calls for it, if it is not the user's own client at the edge.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Caller {
    subject: Subject,
    client: Option<SpiffeId>,
}

impl Caller {
    pub(super) fn of(permit: &Permit) -> Self {
        let client = permit.called().map(|(_target, access)| access.client().clone());
        Self { subject: permit.subject().clone(), client }
    }
}

/// One exchange of a caller, counted until dropped.
pub(super) struct Turn {
    caller: Caller,
    callers: Callers,
}

impl Callers {
    /// Counts one exchange more.
    ///
    /// # Errors
    /// [`Refusal::FaultOverloaded`] at [`EACH_MAX`].
    pub(super) fn enter(&self, caller: Caller) -> Result<Turn, Refusal> {
        let mut counts = self.counts();
        let count = counts.entry(caller.clone()).or_default();
        if *count >= EACH_MAX {
            return Err(Refusal::FaultOverloaded);
        }
        *count = count.saturating_add(1);
        drop(counts);
        Ok(Turn { caller, callers: self.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Caller, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut counts = self.callers.counts();
        let left = counts.get(&self.caller).copied().unwrap_or_default().saturating_sub(1);
        if left == 0 {
            counts.remove(&self.caller);
        } else {
            counts.insert(self.caller.clone(), left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(subject: &str, client: Option<&str>) -> Caller {
        let id = |name| identity::workload_id(&format!("spiffe://corp.example/{name}")).expect("an id");
        Caller { subject: subject.parse().expect("a subject"), client: client.map(id) }
    }

    #[test]
    fn one_caller_leaves_room_for_the_others() {
        let callers = Callers::default();
        let alice = || caller("alice", None);
        let mut turns: Vec<_> = (0..EACH_MAX).map(|_| callers.enter(alice()).expect("room")).collect();
        assert_eq!(callers.enter(alice()).err(), Some(Refusal::FaultOverloaded));
        for other in [caller("bob", None), caller("alice", Some("planner")), caller("bob", Some("planner"))] {
            assert!(callers.enter(other).is_ok());
        }
        turns.pop();
        assert!(callers.enter(alice()).is_ok(), "the end of one makes room for another");
    }

    #[test]
    fn who_has_left_is_forgotten() {
        let callers = Callers::default();
        drop((callers.enter(caller("alice", None)), callers.enter(caller("alice", None))));
        assert!(callers.counts().is_empty());
    }
}
