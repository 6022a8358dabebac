//! What the broker's word, and its silence, change in this process (`protocol.md` §8). A word that cannot be understood
//! whole is no word. After [`SILENCE_MAX`](crate::snapshot::SILENCE_MAX) without one nothing is let through, and nothing
//! that runs goes on: what was revoked in the meantime could not be told.

use tokio::sync::Notify;

use crate::{
    causes::causes,
    metrics::Metrics,
    snapshot::{SILENCE_MAX, Snapshots},
    transactions::{Cut, Transactions},
};
use runtime::{clock, telemetry::ReadyFlag};

/// The parts of this process that listen to the broker.
pub(crate) struct Hearing {
    pub(crate) snapshots: Snapshots,
    pub(crate) transactions: Transactions,
    pub(crate) metrics: Metrics,
    pub(crate) ready: ReadyFlag,
    spoken: Notify,
}

impl Hearing {
    pub(crate) fn new(snapshots: Snapshots, transactions: Transactions, metrics: Metrics, ready: ReadyFlag) -> Self {
        ready.not_ready("the broker has not told the targets");
        Self { snapshots, transactions, metrics, ready, spoken: Notify::new() }
    }

    /// Takes a snapshot into force and ends what was revoked, or changes nothing at all.
    pub(crate) fn hear(&self, told: api::Snapshot) {
        // A process that stood still hears the word before it notices the silence, and entries of that time may be
        // forgotten by now.
        if self.snapshots.patience().is_some_and(|left| left.is_zero()) {
            self.fall_silent();
        }
        match self.snapshots.hear(told) {
            Ok(snapshot) => {
                // After the snapshot is in force: an exchange that is opened meanwhile looks at it.
                self.ended(Cut::Revoked, self.transactions.revoke(&snapshot, clock::now()));
                self.metrics.revocations(snapshot.revocations.len());
                self.ready.ready();
                self.spoken.notify_one();
            }
            Err(fault) => {
                let kept = self.snapshots.any();
                tracing::error!(error = causes(&fault), kept, "snapshot refused whole");
            }
        }
    }

    /// Watches over the broker's silence, without end.
    pub(crate) async fn mind_silence(&self) {
        loop {
            match self.snapshots.patience() {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                Some(_over) => {
                    self.fall_silent();
                    self.spoken.notified().await;
                }
                None => self.spoken.notified().await,
            }
        }
    }

    fn fall_silent(&self) {
        let secs = SILENCE_MAX.as_secs();
        self.ready.not_ready(format!("no good word from the broker for {secs} s, so everything is refused"));
        self.ended(Cut::Silence, self.transactions.silence());
    }

    fn ended(&self, cut: Cut, count: usize) {
        if count > 0 {
            tracing::warn!(count, reason = cut.name(), "exchanges are ended");
            self.metrics.ended(cut.name(), count);
        }
    }
}

#[cfg(test)]
mod tests;
