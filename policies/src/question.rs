//! What is asked of the policies, in the words of the domain (`protocol.md` §4, "The Cedar request", and §6).
//! Nothing of Cedar shows here.

use identity::{ActorChain, Scopes, SpiffeId, Subject, TrustDomain};

/// May this requester do this, for this subject?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The workload that asks: the mTLS peer.
    pub requester: &'a SpiffeId,
    /// What it wants to do, and to what.
    pub action: Action<'a>,
    /// The user for whom.
    pub subject: &'a Subject,
    /// The user's groups, as the identity provider answered at begin.
    pub groups: &'a [String],
    /// The user's roles, from the same answer.
    pub roles: &'a [String],
    /// The chain as `act` will say it, requester included.
    pub actors: &'a ActorChain,
    /// Scope of the access token; at begin that of the transaction token.
    pub scopes: &'a Scopes,
    /// Scope of the transaction token that is handed on; empty where none is.
    pub passes_on: &'a Scopes,
}

/// May this requester call this target in its own name, for nobody?
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The workload that asks: the mTLS peer.
    pub requester: &'a SpiffeId,
    /// The target's name in the registry.
    pub target: &'a str,
}

/// What can be asked for a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// A user's request enters at the requester's edge.
    Begin {
        /// The trust domain in which the transaction runs.
        trust_domain: &'a TrustDomain,
    },
    /// The requester calls a target.
    Exchange {
        /// Its name in the registry.
        target: &'a str,
    },
}
