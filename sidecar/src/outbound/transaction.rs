//! In whose name a call is made: the transaction token of its transaction says with which chain we act. Without a
//! transaction the call is refused; it never falls back to the workload's own rights (N110).

use std::sync::Arc;

use crate::{
    answer::About,
    transactions::{self, Claim, Held},
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
    /// What `own` may do in the transaction that a call claims.
    ///
    /// # Errors
    /// [`Refusal::ChainNotCallee`], [`Refusal::SubjectTransactionEnded`], or the chain's refusal to grow.
    pub(super) fn claimed(claim: &Claim, own: &SpiffeId, now: UnixTime, about: &mut About) -> Result<Self, Refusal> {
        let live = Arc::clone(claim.transaction());
        let held = live.held(now)?;
        about.transaction = Some(held.proof().transaction().clone());
        about.subject = Some(held.proof().subject().clone());
        let chain = own_chain(&held, own)?;
        about.actors = Some(chain.clone());
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
