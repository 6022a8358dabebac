//! Who acts: the workload at the other end of the mTLS connection, and nobody else. Whatever a caller writes about
//! actors is at most compared with it.

use identity::{ActorChain, RawToken, Refusal, SpiffeId, TxnToken, UnixTime};

use crate::{client, parties::Parties};

/// The actors of a grant, current first. Made here alone, so no chain exists whose use was not checked.
#[derive(Debug)]
pub(crate) struct Actor {
    chain: ActorChain,
}

impl Actor {
    /// The first of a transaction.
    pub(super) fn entering(requester: &SpiffeId) -> Self {
        Self { chain: ActorChain::of(requester.clone()) }
    }

    /// `requester` calls with `held`: on its own token the same hop, as a callee the next one (N62–N64, N104).
    pub(super) fn calling(held: &TxnToken, requester: &SpiffeId) -> Result<Self, Refusal> {
        check_holder(held, requester)?;
        let chain = match held.callee() {
            Some(_) => held.chain().clone().then(requester.clone())?,
            None => held.chain().clone(),
        };
        Ok(Self { chain })
    }

    /// `requester` renews `held`: the chain stays.
    pub(super) fn renewing(held: &TxnToken, requester: &SpiffeId) -> Result<Self, Refusal> {
        check_holder(held, requester)?;
        Ok(Self { chain: held.chain().clone() })
    }

    /// The chain, for the `act` claim.
    pub(crate) fn into_chain(self) -> ActorChain {
        self.chain
    }
}

/// `callee` where present, else `req_wl` (`protocol.md` §3). On an owner's token the owner must be who acts, too.
fn check_holder(held: &TxnToken, requester: &SpiffeId) -> Result<(), Refusal> {
    let acts = held.callee().is_some() || held.chain().current() == requester;
    if held.usable_by() == requester && acts { Ok(()) } else { Err(Refusal::ChainNotCallee) }
}

/// An actor token is no second identity: it must prove the one that the certificate proved (N61).
pub(super) async fn confirm(
    parties: &Parties,
    requester: &SpiffeId,
    raw: &RawToken,
    now: UnixTime,
) -> Result<(), Refusal> {
    let actor = client::svid(parties, raw, parties.workload.jwt_keys().await, now)?.map_err(Refusal::Actor)?;
    if actor.id() == requester { Ok(()) } else { Err(Refusal::ActorMismatch) }
}

#[cfg(test)]
impl Actor {
    /// For tests of later steps.
    pub(crate) fn of(chain: ActorChain) -> Self {
        Self { chain }
    }
}

#[cfg(test)]
mod tests {
    use identity::workload_id;
    use proptest::prelude::*;

    use super::*;
    use crate::grant::tests::{laws::held_by, owned_and_handed};

    fn id(name: &str) -> SpiffeId {
        workload_id(&format!("spiffe://corp.example/{name}")).expect("an id")
    }

    #[test]
    fn an_owner_acts_on_its_own_token_and_the_chain_stays() {
        let (owned, _handed) = owned_and_handed(ActorChain::of(id("planner")));
        let chain = Actor::calling(&owned, &id("planner")).expect("the owner").into_chain();
        assert_eq!(chain, ActorChain::of(id("planner")));
        for other in ["researcher", "tickets"] {
            assert_eq!(Actor::calling(&owned, &id(other)).err(), Some(Refusal::ChainNotCallee), "{other}");
            assert_eq!(Actor::renewing(&owned, &id(other)).err(), Some(Refusal::ChainNotCallee), "{other}");
        }
    }

    #[test]
    fn a_callee_acts_as_the_next_of_the_chain_and_the_sender_no_more() {
        let (_owned, handed) = owned_and_handed(ActorChain::of(id("planner")));
        let chain = Actor::calling(&handed, &id("researcher")).expect("the callee").into_chain();
        assert_eq!(chain, ActorChain::of(id("planner")).then(id("researcher")).expect("grows"));
        assert_eq!(Actor::calling(&handed, &id("planner")).err(), Some(Refusal::ChainNotCallee));
        let renewed = Actor::renewing(&handed, &id("researcher")).expect("the callee").into_chain();
        assert_eq!(&renewed, handed.chain());
    }

    #[test]
    fn who_acts_in_the_chain_already_cannot_act_again() {
        let twice = ActorChain::of(id("researcher")).then(id("planner")).expect("grows");
        let (_owned, handed) = owned_and_handed(twice);
        assert_eq!(Actor::calling(&handed, &id("researcher")).err(), Some(Refusal::ChainLoop));
    }

    proptest! {
        /// A chain is what it was, or that and exactly one more: the requester, who must be the holder.
        #[test]
        fn a_chain_grows_by_the_requester_alone(
            depth in 1..=identity::DEPTH_MAX,
            callee in proptest::option::of(0..=identity::DEPTH_MAX),
            requester in 0..=identity::DEPTH_MAX,
        ) {
            let name = |n: usize| id(&format!("w{n}"));
            let chain = (1..depth).try_fold(ActorChain::of(name(0)), |chain, n| chain.then(name(n))).expect("a chain");
            let (callee, requester) = (callee.map(name), name(requester));
            let held = held_by(&chain, callee.as_ref());
            let before: Vec<SpiffeId> = chain.iter().cloned().collect();
            let holder = callee.as_ref().unwrap_or(chain.current());
            let renewed = Actor::renewing(&held, &requester).map(Actor::into_chain);
            prop_assert_eq!(renewed, if *holder == requester { Ok(chain.clone()) } else { Err(Refusal::ChainNotCallee) });
            let expected = match &callee {
                _stranger if *holder != requester => Err(Refusal::ChainNotCallee),
                None => Ok(before),
                Some(_) if before.contains(&requester) => Err(Refusal::ChainLoop),
                Some(_) if before.len() == identity::DEPTH_MAX => Err(Refusal::ChainTooDeep),
                Some(_) => Ok(std::iter::once(requester.clone()).chain(before).collect()),
            };
            let called = Actor::calling(&held, &requester).map(|actor| actor.into_chain().iter().cloned().collect());
            prop_assert_eq!(called, expected);
        }
    }
}
