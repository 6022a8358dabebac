//! What the broker does by itself, again and again, until the shutdown.

use std::{error::Error, sync::Arc, time::Duration};

use runtime::{clock, process::Process, shutdown::Shutdown, telemetry::ReadyFlag};

use crate::{liveness::Watcher, parties::Parties, reload::Reload, revocation::store_rest};

/// How often what has ended is deleted from the store, and what could not be stored of it is tried again.
const PURGE_EVERY: Duration = Duration::from_secs(60);
/// How often the clock is looked at.
const CLOCK_EVERY: Duration = Duration::from_secs(1);
/// How often a provider's keys are learned anew, so that a withdrawn key is refused.
const KEYS_EVERY: Duration = Duration::from_secs(300);
/// How soon again while a provider gave none yet.
const KEYS_FIRST_EVERY: Duration = Duration::from_secs(2);

/// Starts them all.
pub(super) fn start(parties: &Arc<Parties>, watchers: Vec<Watcher>, process: &Process) {
    let Process { shutdown, telemetry, .. } = process;
    shutdown.spawn("clock", watch_clock(telemetry.ready_flag("clock"), shutdown.clone()));
    shutdown.spawn("purge", purge(Arc::clone(parties), shutdown.clone()));
    let reload = Reload::new(&parties.policies, parties.recorder.clone(), telemetry);
    shutdown.spawn("policies", reload.run(Arc::clone(parties), shutdown.clone()));
    for watcher in watchers {
        watcher.start(parties, shutdown);
    }
    shutdown.spawn("provider keys", learn_keys(Arc::clone(parties), shutdown.clone()));
}

/// Looks at the clock though nobody asks for anything, so that a step back between two requests is noticed.
async fn watch_clock(ready: ReadyFlag, shutdown: Shutdown) {
    loop {
        if clock::is_steady(clock::now()) {
            ready.ready();
        } else {
            ready.not_ready("the clock ran backwards; nothing is issued until it has caught up");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(CLOCK_EVERY) => {}
        }
    }
}

async fn purge(parties: Arc<Parties>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(PURGE_EVERY) => {}
        }
        let now = clock::now();
        parties.sessions.forget(now);
        parties.liveness.forget(now);
        parties.revocations.forget(now);
        parties.seen.forget(now);
        store_rest(&parties.sessions, &parties.store, &parties.revocations, now).await;
        match parties.store.purge(now).await {
            Ok(transactions) => tracing::debug!(transactions, "deleted what has ended"),
            Err(fault) => {
                let error: &(dyn Error + 'static) = &fault;
                tracing::warn!(error, "cannot delete what has ended");
            }
        }
    }
}

async fn learn_keys(parties: Arc<Parties>, shutdown: Shutdown) {
    loop {
        let mut all_held = true;
        for authority in parties.authorities.iter() {
            all_held &= authority.refresh_keys().await;
        }
        let pause = if all_held { KEYS_EVERY } else { KEYS_FIRST_EVERY };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
