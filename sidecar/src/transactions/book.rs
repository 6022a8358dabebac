//! What is open, and for a while what was: by handle and by trace, under one lock, so that the answer to "is it alone?"
//! is one of a single moment. What is forgotten is unknown, and what is unknown is refused.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Weak},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::Instant;

use super::{Authority, Transaction};
use crate::trace::TraceId;
use identity::Refusal;

/// Most exchanges in progress in one pod: each may hold a token of 8 KiB, so 64 MiB at the very worst; a busy agent
/// has hundreds.
pub(super) const LIVE_MAX: usize = 8192;
/// How long an ended trace is told apart from an unknown one: the longest work that any rule allows.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// Most ended traces that are remembered, about 2 MiB; the oldest is forgotten first.
const ENDED_MAX: usize = 8192;
/// How long an app may go on working for a caller that left: as long as its transaction token lives at most.
pub(super) const AT_WORK_MAX: Duration = Duration::from_secs(120);
/// Most such exchanges that are told apart. With more, none is alone until the last of them is over.
const GIVEN_UP_MAX: usize = 1024;

/// All exchanges.
#[derive(Default)]
pub(super) struct Book {
    handles: HashMap<String, Arc<Transaction>>,
    traces: HashMap<TraceId, Arc<Transaction>>,
    /// Exchanges that are closed while something of theirs flows on, as an upload whose answer is there already. Nobody
    /// finds them but a revocation.
    flowing: Vec<Weak<Transaction>>,
    ended: HashMap<TraceId, Ended>,
    /// Handles of those in `ended` that were revoked: their apps may go on and are told.
    revoked: HashSet<String>,
    /// When each of `ended` is forgotten, the next one first.
    forgotten: VecDeque<(Instant, TraceId)>,
    /// Exchanges whose app may still be at work, and until when, the first to end first.
    given_up: VecDeque<(Instant, Option<Arc<Authority>>)>,
    /// Until when there were more of those than could be told apart.
    crowded_until: Option<Instant>,
}

/// What is left of an exchange.
struct Ended {
    authority: Option<Arc<Authority>>,
    /// Its handle, if it was revoked.
    revoked: Option<String>,
}

impl Book {
    /// Enters an exchange.
    ///
    /// # Errors
    /// [`Refusal::FaultOverloaded`] at [`LIVE_MAX`].
    pub(super) fn open(&mut self, handle: &str, transaction: &Arc<Transaction>) -> Result<(), Refusal> {
        if self.handles.len() >= LIVE_MAX {
            return Err(Refusal::FaultOverloaded);
        }
        self.handles.insert(handle.to_owned(), Arc::clone(transaction));
        self.traces.insert(transaction.traces().key(), Arc::clone(transaction));
        Ok(())
    }

    /// Closes an exchange; `at_work` says whether its app may go on working for it.
    pub(super) fn close(&mut self, handle: &str, transaction: &Arc<Transaction>, at_work: bool, now: Instant) {
        let trace = transaction.traces().key();
        self.flowing.retain(|exchange| exchange.strong_count() > 0);
        self.flowing.push(Arc::downgrade(transaction));
        self.handles.remove(handle);
        self.traces.remove(&trace);
        self.forget(now);
        let revoked = transaction.is_revoked().then(|| handle.to_owned());
        self.revoked.extend(revoked.clone());
        self.ended.insert(trace, Ended { authority: transaction.authority().cloned(), revoked });
        self.forgotten.push_back((after(now, REMEMBERED), trace));
        if at_work && self.given_up.len() < GIVEN_UP_MAX {
            self.given_up.push_back((after(now, AT_WORK_MAX), transaction.authority().cloned()));
        } else if at_work {
            self.crowded_until = Some(after(now, AT_WORK_MAX));
        }
    }

    /// Lets go what is over, and the oldest trace where there is no room for another.
    fn forget(&mut self, now: Instant) {
        while let Some((until, trace)) = self.forgotten.front()
            && (*until <= now || self.forgotten.len() >= ENDED_MAX)
        {
            if let Some(handle) = self.ended.remove(trace).and_then(|ended| ended.revoked) {
                self.revoked.remove(&handle);
            }
            self.forgotten.pop_front();
        }
        while self.given_up.front().is_some_and(|(until, _)| *until <= now) {
            self.given_up.pop_front();
        }
    }

    /// All exchanges of which something is still in progress.
    pub(super) fn in_progress(&self) -> impl Iterator<Item = Arc<Transaction>> {
        self.traces.values().map(Arc::clone).chain(self.flowing.iter().filter_map(Weak::upgrade))
    }

    /// The live exchange that this handle names.
    ///
    /// # Errors
    /// [`Refusal::CallNoTransaction`], or [`Refusal::SubjectRevoked`] where it was revoked.
    pub(super) fn by_handle(&self, handle: &HeaderValue) -> Result<&Arc<Transaction>, Refusal> {
        let handle = handle.to_str().map_err(|_not_text| Refusal::CallNoTransaction)?;
        let unknown =
            || if self.revoked.contains(handle) { Refusal::SubjectRevoked } else { Refusal::CallNoTransaction };
        self.handles.get(handle).ok_or_else(unknown)
    }

    /// The live exchange whose inner trace this is.
    pub(super) fn by_trace(&self, trace: TraceId) -> Option<&Arc<Transaction>> {
        self.traces.get(&trace)
    }

    /// Whether this exchange is still in progress.
    pub(super) fn is_open(&self, exchange: &Transaction) -> bool {
        self.traces.contains_key(&exchange.traces().key())
    }

    /// Why nothing can be done for a trace that is of no live exchange.
    pub(super) fn without(&self, trace: TraceId) -> Refusal {
        match self.ended.get(&trace) {
            Some(Ended { revoked: Some(_), .. }) => Refusal::SubjectRevoked,
            Some(Ended { revoked: None, .. }) => Refusal::CallTraceEnded,
            None => Refusal::CallNoTransaction,
        }
    }

    /// Whether this trace belongs to another transaction than `own`. An unknown one does not, as far as we know.
    pub(super) fn is_of_another(&self, trace: TraceId, own: &Transaction) -> bool {
        match (self.traces.get(&trace), self.ended.get(&trace)) {
            (Some(live), _) => !live.is_same_as(own),
            (None, Some(Ended { authority, .. })) => authority.is_none() || authority.as_ref() != own.authority(),
            (None, None) => false,
        }
    }

    /// Whether the app can be at work for no other transaction than `own`.
    pub(super) fn is_alone(&self, own: &Transaction, now: Instant) -> bool {
        let told_apart = self.crowded_until.is_none_or(|until| until <= now);
        let idle = |(until, authority): &(Instant, Option<Arc<Authority>>)| {
            *until <= now || (authority.is_some() && authority.as_ref() == own.authority())
        };
        told_apart && self.given_up.iter().all(idle) && self.traces.values().all(|live| live.is_same_as(own))
    }
}

fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now)
}
