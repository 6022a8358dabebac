//! Whose call it is: the handle finds the transaction, and the transaction token says with which chain we act.
//! Without a match the call is refused; it never falls back to the workload's own rights (N110).

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    answer::About,
    transactions::{self, Held, Transactions},
};
use identity::{ActorChain, Refusal, SpiffeId, UnixTime};

/// The transaction of a call.
pub(super) struct Transaction {
    /// Its exchange, to end with.
    pub(super) live: Arc<transactions::Transaction>,
    /// The token in force.
    pub(super) held: Arc<Held>,
    /// The chain with which this workload acts.
    pub(super) chain: ActorChain,
}

impl Transaction {
    /// Finds the transaction that `handle` names.
    ///
    /// # Errors
    /// [`Refusal::CallNoTransaction`], [`Refusal::ChainNotCallee`], [`Refusal::SubjectTransactionEnded`], or the chain's
    /// refusal to grow.
    pub(super) fn find(
        transactions: &Transactions,
        handle: Option<&HeaderValue>,
        own: &SpiffeId,
        now: UnixTime,
        about: &mut About,
    ) -> Result<Self, Refusal> {
        let live = transactions.find(handle)?;
        about.transaction = live.id();
        let held = live.held(now)?;
        let chain = own_chain(&held, own)?;
        Ok(Self { live, held, chain })
    }
}

/// An owner's token has our chain; a callee's chain grows by us, as the broker will say it (`protocol.md` §2).
fn own_chain(held: &Held, own: &SpiffeId) -> Result<ActorChain, Refusal> {
    let proof = held.proof();
    match proof.callee() {
        None => Ok(proof.chain().clone()),
        Some(_) => Ok(proof.chain().clone().then(own.clone())?),
    }
}
