//! Changes keys while the broker runs: what is due by itself, and what an operator orders. One task does it, so that an
//! order whose giver goes away is done whole or not at all. A change is in the store before anybody sees it.

use std::{error::Error, time::Duration};

use runtime::{process::Process, shutdown::Shutdown};
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

use super::{Event, InUse, Listed, Moment, Ring, RingFault, Terms};
use crate::{
    record::Recorder,
    store::{Store, StoreFault},
};

/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Orders that may wait; a person gives them one by one.
const ORDERS_MAX: usize = 16;

/// Gives orders about the keys. Clones give them to the same.
#[derive(Clone, Debug)]
pub(crate) struct Rotation {
    orders: mpsc::Sender<Order>,
    in_use: InUse,
}

/// Why an order was not carried out. The keys are as they were, unless it says something else.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotationFault {
    #[error(transparent)]
    Ring(#[from] RingFault),
    #[error("the keys cannot be stored")]
    Store(#[from] StoreFault),
    #[error("the key is revoked, but that cannot be stored yet: until it is, a restart would bring the key back")]
    Unstored(#[source] StoreFault),
    #[error("the broker stops")]
    Stopping,
}

#[derive(Debug)]
struct Order {
    wish: Wish,
    answer: oneshot::Sender<Result<Vec<Listed>, RotationFault>>,
}

#[derive(Debug)]
enum Wish {
    List,
    Rotate,
    Revoke(String),
}

/// Who carries orders out.
#[derive(Debug)]
struct Worker {
    ring: Ring,
    in_use: InUse,
    store: Store,
    recorder: Recorder,
    terms: Terms,
    /// Whether the store does not know the keys as they are, because a revocation could not be stored.
    unstored: bool,
    /// Whether what was due last could not be done; told once.
    failing: bool,
}

impl Rotation {
    /// Reads the keys, makes the first where there is none, and begins to look after them.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn start(
        store: &Store,
        recorder: &Recorder,
        terms: Terms,
        process: &Process,
    ) -> Result<Self, StoreFault> {
        let at = Moment::now();
        let (ring, events) = store.ring(&terms, at).await?;
        let in_use = InUse::new(ring.in_use()?);
        let worker = Worker {
            ring,
            in_use: in_use.clone(),
            store: store.clone(),
            recorder: recorder.clone(),
            terms,
            unstored: false,
            failing: false,
        };
        worker.tell(&events, at);
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        process.shutdown.spawn("keys", worker.run(waiting, process.shutdown.clone()));
        Ok(Self { orders, in_use })
    }

    /// The keys in use.
    pub(crate) fn in_use(&self) -> InUse {
        self.in_use.clone()
    }

    /// All keys.
    ///
    /// # Errors
    /// The [`RotationFault`].
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, RotationFault> {
        self.order(Wish::List).await
    }

    /// Publishes a successor, and returns all keys. Dropped half-way, it is done or it is not.
    ///
    /// # Errors
    /// The [`RotationFault`].
    pub(crate) async fn rotate(&self) -> Result<Vec<Listed>, RotationFault> {
        self.order(Wish::Rotate).await
    }

    /// Takes a key away at once, with everything that it signed, and returns all keys. Dropped half-way, it is done or it
    /// is not.
    ///
    /// # Errors
    /// The [`RotationFault`].
    pub(crate) async fn revoke(&self, kid: &str) -> Result<Vec<Listed>, RotationFault> {
        self.order(Wish::Revoke(kid.to_owned())).await
    }

    async fn order(&self, wish: Wish) -> Result<Vec<Listed>, RotationFault> {
        let (answer, answered) = oneshot::channel();
        self.orders.send(Order { wish, answer }).await.map_err(|_gone| RotationFault::Stopping)?;
        answered.await.map_err(|_gone| RotationFault::Stopping)?
    }
}

impl Worker {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>, shutdown: Shutdown) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _now = looks.tick() => self.look(Moment::now()).await,
                order = orders.recv() => {
                    let Some(Order { wish, answer }) = order else { return };
                    let done = self.carry_out(wish, Moment::now()).await;
                    if answer.send(done).is_err() {
                        tracing::debug!("nobody waits for the keys any more");
                    }
                }
            }
        }
    }

    async fn look(&mut self, at: Moment) {
        let done = self.catch_up(at).await;
        if let Err(fault) = &done
            && !self.failing
        {
            let error: &(dyn Error + 'static) = fault;
            tracing::error!(error, "keys cannot be changed as it is due, which is tried again every second");
        }
        self.failing = done.is_err();
    }

    /// Stores what could not be stored, and does what is due.
    async fn catch_up(&mut self, at: Moment) -> Result<(), RotationFault> {
        if self.unstored {
            self.store.write_ring(&self.ring).await?;
            self.unstored = false;
        }
        let terms = self.terms;
        self.change(at, |ring| Ok(ring.advance(&terms, at)?)).await
    }

    async fn carry_out(&mut self, wish: Wish, at: Moment) -> Result<Vec<Listed>, RotationFault> {
        let terms = self.terms;
        match wish {
            Wish::List => {}
            Wish::Rotate => self.change(at, |ring| ring.rotate(&terms, at)).await?,
            Wish::Revoke(kid) => self.revoke(&kid, at).await?,
        }
        Ok(self.ring.list(&terms, at))
    }

    /// Stores a change, then lets it count, then tells it.
    async fn change(
        &mut self,
        at: Moment,
        change: impl FnOnce(&mut Ring) -> Result<Vec<Event>, RingFault>,
    ) -> Result<(), RotationFault> {
        let mut next = self.ring.clone();
        let events = change(&mut next)?;
        if events.is_empty() {
            self.ring = next;
            return Ok(());
        }
        let keys = next.in_use().map_err(RingFault::from)?;
        self.store.write_ring(&next).await?;
        self.unstored = false;
        self.ring = next;
        self.in_use.replace(keys);
        self.tell(&events, at);
        Ok(())
    }

    /// Takes a key away, then stores that: no disk that is full keeps a stolen key alive (ADR 9).
    async fn revoke(&mut self, kid: &str, at: Moment) -> Result<(), RotationFault> {
        let mut next = self.ring.clone();
        let events = next.revoke(kid, &self.terms, at)?;
        if !events.is_empty() {
            let keys = next.in_use().map_err(RingFault::from)?;
            self.ring = next;
            self.in_use.replace(keys);
            self.tell(&events, at);
            self.unstored = true;
        }
        if self.unstored {
            self.store.write_ring(&self.ring).await.map_err(RotationFault::Unstored)?;
            self.unstored = false;
        }
        Ok(())
    }

    fn tell(&self, events: &[Event], at: Moment) {
        for event in events {
            tracing::info!(kid = event.kid, alg = event.algorithm.name(), state = event.change.word(), "signing key");
            self.recorder.key_changed(event, at.wall);
        }
    }
}
