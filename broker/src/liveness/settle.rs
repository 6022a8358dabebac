//! Asks the authority about what is in doubt, before anybody calls, so that sidecars learn of an end; and keeps keepers
//! fresh, as one that has ended can be asked about nothing (`protocol.md` §7).

use std::{collections::HashMap, error::Error, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use identity::{Refusal, TransactionId, UnixTime};
use runtime::{clock, shutdown::Shutdown};
use tokio::time::{Instant, sleep};

use crate::{
    exchange,
    parties::Parties,
    revocation::{By, Ending, end},
    store::StoreFault,
};

/// Between two looks at what is due.
const DUE_EVERY: Duration = Duration::from_secs(1);
/// A keeper is renewed when it ends sooner: a quarter of what Keycloak gives it, and time for some attempts.
const KEEPER_AHEAD: Duration = Duration::from_secs(30);
/// Asked about in one go: the rest is due in the next.
const DUE_MAX: u32 = 256;
/// Questions to one authority at once, so that its users come before.
const ASKED_AT_ONCE: usize = 8;
/// Between two questions about what could not be settled.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Settles what is due, until `shutdown`.
pub(super) async fn run(parties: Arc<Parties>, issuer: String, shutdown: Shutdown) {
    let mut unsettled: HashMap<TransactionId, Instant> = HashMap::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = parties.liveness.woken(&issuer) => {}
            () = sleep(DUE_EVERY) => {}
        }
        unsettled.retain(|_id, asked| asked.elapsed() < AGAIN_AFTER);
        let now = clock::now();
        let due = match due(&parties, &issuer, now).await {
            Ok(due) => due,
            Err(fault) => {
                let error: &(dyn Error + 'static) = &fault;
                tracing::warn!(error, "the store does not tell what is to be asked about");
                continue;
            }
        };
        let due: Vec<_> = due.into_iter().filter(|id| !unsettled.contains_key(id)).collect();
        let asked = stream::iter(due).map(|id| settle(&parties, id, now)).buffer_unordered(ASKED_AT_ONCE);
        let failed: Vec<_> = asked.filter_map(std::future::ready).collect().await;
        unsettled.extend(failed.into_iter().map(|id| (id, Instant::now())));
    }
}

/// One transaction for each keeper: what is answered counts for all that rest on it.
async fn due(parties: &Parties, issuer: &str, now: UnixTime) -> Result<Vec<TransactionId>, StoreFault> {
    let everybody_through = parties.liveness.doubts.everybody_through(issuer);
    let mut due = parties.store.doubted_transactions(issuer, everybody_through, now, DUE_MAX).await?;
    due.extend(parties.store.on_old_keepers(issuer, now.plus(KEEPER_AHEAD), now, DUE_MAX).await?);
    due.dedup();
    Ok(due)
}

/// Gives the id back where nothing was settled.
async fn settle(parties: &Parties, id: TransactionId, now: UnixTime) -> Option<TransactionId> {
    let transaction = match parties.store.transaction(&id).await {
        Ok(Some(transaction)) => transaction,
        Ok(None) => return None,
        Err(_fault) => return Some(id),
    };
    match exchange::confirm(parties, &transaction, now).await {
        // Ended by the answer, with all that the session had.
        Ok(_) | Err(Refusal::SubjectSessionEnded) => None,
        // A role is gone: what was begun with its scope is refused from now on, and sidecars hear of it.
        Err(Refusal::ScopeWithdrawn) => {
            tracing::info!(txn = %id, "the user lost a permission that the transaction was begun with");
            end(parties, Ending::Transaction(id.clone()), By::Other, now).await.is_err().then_some(id)
        }
        Err(_unsettled) => Some(id),
    }
}
