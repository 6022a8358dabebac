//! What is decided about: the proofs that the requester showed and what it asks for them.

use identity::{Lifetime, Scopes, Subject, SubjectToken, Target, TrustDomain, TxnToken};

use crate::exchange::Actor;

/// One of the three exchanges, with everything that decides about it.
#[derive(Debug)]
pub(crate) enum Case<'a> {
    Begin(Begin<'a>),
    Call(Call<'a>),
    Renew(Renew<'a>),
}

/// Who the user is, as policy sees it: groups and roles are the provider's answer, never the user's token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) groups: &'a [String],
    pub(crate) roles: &'a [String],
}

/// A user enters at an edge.
#[derive(Debug)]
pub(crate) struct Begin<'a> {
    pub(crate) person: Person<'a>,
    pub(crate) actor: Actor,
    /// What the provider gave for the user's token.
    pub(crate) keeper: &'a SubjectToken,
    /// Life of the user's token: the transaction ends with it (K10).
    pub(crate) signed_in: Lifetime,
    pub(crate) edge_scopes: &'a Scopes,
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) scopes: &'a Scopes,
}

/// A workload calls a target.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) person: Person<'a>,
    pub(crate) actor: Actor,
    pub(crate) held: &'a TxnToken,
    pub(crate) target: &'a Target,
    pub(crate) scopes: &'a Scopes,
    /// When the transaction ends for now; tokens end with it.
    pub(crate) ends: Lifetime,
}

/// A workload renews the transaction token that it holds.
#[derive(Debug)]
pub(crate) struct Renew<'a> {
    pub(crate) person: Person<'a>,
    pub(crate) actor: Actor,
    pub(crate) held: &'a TxnToken,
    /// Registered targets, among which are the callee's.
    pub(crate) targets: &'a [&'a Target],
    /// What users may enter with at the requester; `None` where it is no edge (any more).
    pub(crate) edge_scopes: Option<&'a Scopes>,
    pub(crate) trust_domain: &'a TrustDomain,
    pub(crate) scopes: Option<&'a Scopes>,
    /// When the transaction ends for now; tokens end with it.
    pub(crate) ends: Lifetime,
}
