//! From proofs to the one thing that opens the way to the app. A permit is made here alone and used up by one forward.

use std::sync::Arc;

use super::authenticate::Verified;
use crate::{perimeter::Kind, transactions::Held};
use identity::{AccessToken, Refusal, Scopes, Subject, Target, TransactionId};

/// Leave to forward one request to the app: who it is for was verified, and its scope covers this very call.
///
/// ```
/// fn subject(permit: &sidecar::inbound::Permit) -> &identity::Subject { permit.subject() }
/// ```
/// Nobody else can build one:
/// ```compile_fail,E0451
/// fn forged(permit: sidecar::inbound::Permit) -> sidecar::inbound::Permit {
///     sidecar::inbound::Permit { ..permit }
/// }
/// ```
/// and it cannot be copied to forward a second request:
/// ```compile_fail,E0308
/// fn copied(permit: &sidecar::inbound::Permit) -> sidecar::inbound::Permit { permit.clone() }
/// ```
/// nor had from nowhere:
/// ```compile_fail,E0277
/// fn made<T: Default>() -> T { T::default() }
/// let permit: sidecar::inbound::Permit = made();
/// ```
#[derive(Debug)]
pub struct Permit {
    basis: Basis,
    kind: Kind,
}

/// What the permit rests on.
#[derive(Debug)]
enum Basis {
    /// A user's token became this transaction.
    Begun(Box<Held>),
    /// Another sidecar called this target.
    Called(Box<Called>),
}

#[derive(Debug)]
struct Called {
    hop: Hop,
    held: Option<Held>,
}

/// What was called, and with what.
#[derive(Clone, Debug)]
pub(super) struct Hop {
    pub(super) target: Arc<Target>,
    pub(super) access: Arc<AccessToken>,
}

impl Permit {
    /// For whom the app will work.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        match &self.basis {
            Basis::Begun(held) => held.proof().subject(),
            Basis::Called(called) => called.hop.access.subject(),
        }
    }

    /// `txn`.
    #[must_use]
    pub fn transaction(&self) -> &TransactionId {
        match &self.basis {
            Basis::Begun(held) => held.proof().transaction(),
            Basis::Called(called) => called.hop.access.transaction(),
        }
    }

    /// What must be done beside forwarding.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The target that was called, and the token that was shown for it; `None` at the edge.
    pub(super) fn called(&self) -> Option<(&Target, &AccessToken)> {
        match &self.basis {
            Basis::Begun(_) => None,
            Basis::Called(called) => Some((&called.hop.target, &called.hop.access)),
        }
    }

    /// Uses the permit up: what may be called on with, and the call for what is still to do with the answer.
    pub(super) fn spend(self) -> (Option<Held>, Option<Hop>) {
        match self.basis {
            Basis::Begun(held) => (Some(*held), None),
            Basis::Called(called) => (called.held, Some(called.hop)),
        }
    }
}

/// A user's request, for which the broker began a transaction.
pub(super) fn begun(held: Held) -> Permit {
    Permit { basis: Basis::Begun(Box::new(held)), kind: Kind::Http }
}

/// A call that needs `needs` at `target`. Only `scope` admits it, never `may_ask` (`protocol.md` §3).
///
/// # Errors
/// [`Refusal::ScopeInsufficient`].
pub(super) fn call(verified: Verified, target: Arc<Target>, needs: &Scopes, kind: Kind) -> Result<Permit, Refusal> {
    let Verified { access, held } = verified;
    if needs.is_subset(access.scopes()) {
        let hop = Hop { target, access: Arc::new(access) };
        Ok(Permit { basis: Basis::Called(Box::new(Called { hop, held })), kind })
    } else {
        Err(Refusal::ScopeInsufficient)
    }
}
