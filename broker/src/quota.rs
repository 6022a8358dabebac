//! How much of the broker each workload may take at once, so that one that is out of order, or that obeys a stranger,
//! leaves the rest to all others (`security.md` T17). It knows nobody's rights; it only counts.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use identity::SpiffeId;

/// Counts what workloads hold. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    each_max: usize,
    held: Arc<Mutex<HashMap<SpiffeId, usize>>>,
}

/// One of the things that are counted; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    quota: Quota,
    workload: SpiffeId,
}

impl Quota {
    /// At most `each_max` at once for each workload.
    pub(crate) fn new(each_max: usize) -> Self {
        Self { each_max, held: Arc::default() }
    }

    /// One more for `workload`, or `None` where it holds as many as it may.
    pub(crate) fn take(&self, workload: &SpiffeId) -> Option<Share> {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.get(workload).copied().unwrap_or_default();
        if held >= self.each_max {
            return None;
        }
        all.insert(workload.clone(), held.saturating_add(1));
        Some(Share { quota: self.clone(), workload: workload.clone() })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.quota.held.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&self.workload) {
            Some(held) if *held > 1 => *held = held.saturating_sub(1),
            // Nothing stays of a workload that holds nothing, so memory is bounded by what is held.
            Some(_) | None => drop(all.remove(&self.workload)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> SpiffeId {
        SpiffeId::new(format!("spiffe://corp.example/{name}")).expect("an id")
    }

    #[test]
    fn one_workload_cannot_take_the_share_of_another() {
        let quota = Quota::new(2);
        let (first, second) = (quota.take(&id("a")).expect("one"), quota.take(&id("a")).expect("two"));
        assert!(quota.take(&id("a")).is_none());
        assert!(quota.take(&id("b")).is_some());
        drop(first);
        let third = quota.take(&id("a")).expect("given back");
        drop((second, third));
        assert!(quota.held.lock().expect("whole").is_empty());
    }

    #[test]
    fn of_a_million_workloads_nothing_stays() {
        let quota = Quota::new(1);
        for number in 0..1_000_000 {
            drop(quota.take(&id(&number.to_string())).expect("room"));
        }
        let held = quota.held.lock().expect("whole");
        assert!(held.is_empty() && held.capacity() < 16, "{}", held.capacity());
    }
}
