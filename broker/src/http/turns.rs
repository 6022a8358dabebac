//! How much of a door one connection of strangers has at once.

use std::{sync::Arc, time::Duration};

use identity::Refusal;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// Requests in progress on one connection: HTTP/1.1 has one, and an HTTP/2 proxy in front of us gets as many as keep it
/// busy. What waits unread is bounded by HTTP/2's windows ([`runtime::serve::Streams::STRANGERS`]).
const IN_PROGRESS_MAX: usize = 4;
/// Longest wait for one of them: as long as a body may take.
const TURN_TIME_MAX: Duration = Duration::from_secs(5);

/// One connection's requests in progress.
#[derive(Clone, Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(IN_PROGRESS_MAX)))
    }
}

impl Turns {
    /// A turn of the connection; given back when dropped.
    ///
    /// # Errors
    /// [`Refusal::FaultOverloaded`] where none came free in time.
    pub(super) async fn take(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        turn(&self.0).await
    }
}

/// One of `turns`, in the time that a body may take.
///
/// # Errors
/// [`Refusal::FaultOverloaded`].
pub(super) async fn turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>, Refusal> {
    let turn = timeout(TURN_TIME_MAX, turns.acquire()).await;
    turn.ok().and_then(Result::ok).ok_or(Refusal::FaultOverloaded)
}
