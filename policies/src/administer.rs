//! What is asked of the policies about the broker itself: who may revoke what, and who may look at tokens that are not
//! its own. It is for no user, and gives no token.

use identity::{SpiffeId, TrustDomain};

/// May this workload, behind which an operator stands, do this to the broker?
#[derive(Clone, Copy, Debug)]
pub struct Administer<'a> {
    /// The workload that asks: the mTLS peer.
    pub requester: &'a SpiffeId,
    /// The broker's.
    pub trust_domain: &'a TrustDomain,
    /// What it wants to do.
    pub operation: Operation,
    /// And to what.
    pub what: What,
}

/// What one may want to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// To end it.
    Revoke,
    /// To be told about it (RFC 7662).
    Introspect,
}

/// To what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A token that was issued to another workload.
    Token,
    /// A transaction.
    Transaction,
    /// A user's session at an authority.
    Session,
    /// Everything of a user.
    User,
    /// Everything that names a workload.
    Workload,
    /// A signing key, with everything that it signed.
    Key,
}

/// Every text that a rule about it can compare with.
pub(crate) fn texts() -> impl Iterator<Item = &'static str> {
    Operation::ALL.map(Operation::name).into_iter().chain(What::ALL.map(What::name))
}

impl Operation {
    const ALL: [Self; 2] = [Self::Revoke, Self::Introspect];

    /// As rules and people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Introspect => "introspect",
        }
    }

    /// What people wrote.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl What {
    const ALL: [Self; 6] = [Self::Token, Self::Transaction, Self::Session, Self::User, Self::Workload, Self::Key];

    /// As rules and people write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::User => "user",
            Self::Workload => "workload",
            Self::Key => "key",
        }
    }

    /// What people wrote.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }
}
