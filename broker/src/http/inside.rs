//! What all endpoints for workloads share: the parties, and how much of the broker one of them may take at once.

use std::sync::Arc;

use identity::Refusal;
use runtime::clock;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    client::Client,
    parties::Parties,
    quota::{Quota, Share},
    rate::{RateLimit, Rates},
};

/// Requests in progress: each may wait seconds for the provider, and holds some 100 KiB.
const IN_PROGRESS_MAX: usize = 512;
/// Of those, what one workload may have: a quarter, far more than a sidecar asks at once.
const IN_PROGRESS_EACH_MAX: usize = 128;

/// The parties and the limits. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct InsideDoor {
    parties: Arc<Parties>,
    slots: Arc<Semaphore>,
    shares: Quota,
    rates: Arc<Rates>,
}

/// A request in progress; its place is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place<'d> {
    _share: Share,
    _slot: SemaphorePermit<'d>,
}

impl InsideDoor {
    pub(crate) fn new(parties: Arc<Parties>, rate: RateLimit) -> Self {
        let slots = Arc::new(Semaphore::new(IN_PROGRESS_MAX));
        Self { parties, slots, shares: Quota::new(IN_PROGRESS_EACH_MAX), rates: Arc::new(Rates::new(rate)) }
    }

    pub(super) fn parties(&self) -> &Parties {
        &self.parties
    }

    /// A place for one request of `client`, who has proved who it is.
    ///
    /// # Errors
    /// [`Refusal::FaultRateLimited`], [`Refusal::FaultOverloaded`] and [`Refusal::FaultClock`]; nothing of the request was read.
    pub(super) fn enter(&self, client: &Client) -> Result<Place<'_>, Refusal> {
        if !clock::is_steady(clock::now()) {
            return Err(Refusal::FaultClock);
        }
        self.rates.count(client.id())?;
        let share = self.shares.take(client.id()).ok_or(Refusal::FaultOverloaded)?;
        let slot = self.slots.try_acquire().map_err(|_full| Refusal::FaultOverloaded)?;
        Ok(Place { _share: share, _slot: slot })
    }
}
