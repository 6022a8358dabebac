//! Exchanges that are ended from outside: what they rest on was revoked, or nobody could say any longer whether it was
//! (`protocol.md` §5, §8). Only what the broker says, or does not say, cuts one.

use std::sync::Arc;

use super::{Transaction, Transactions};
use crate::{revocations::Rests, snapshot::Snapshot};
use identity::{KeySet, Lifetime, Refusal, TokenFault, UnixTime};

/// Why an exchange was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What it rests on was revoked.
    Revoked,
    /// The broker has been silent for so long that it may have been.
    Silence,
}

impl Cut {
    /// Its name in metrics and logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Silence => "silence",
        }
    }

    /// What whoever waits for the exchange is told.
    pub(super) const fn refusal(self) -> Refusal {
        match self {
            Self::Revoked => Refusal::SubjectRevoked,
            Self::Silence => Refusal::FaultNotReady,
        }
    }
}

impl Transaction {
    /// Whether what it was opened with, or the token in force, was revoked.
    fn is_revoked_by(&self, snapshot: &Snapshot, now: UnixTime) -> bool {
        let Snapshot { revocations, keys, .. } = snapshot;
        let held = self.held.as_ref().map(arc_swap::ArcSwapAny::load);
        let access = self.access.as_ref();
        access.is_some_and(|access| {
            revocations.cover(Rests::access(access)) || is_without_key(access.key(), access.lifetime(), keys, now)
        }) || held.is_some_and(|held| {
            let held = held.proof();
            revocations.cover(Rests::txn(held)) || is_without_key(held.key(), held.lifetime(), keys, now)
        })
    }

    /// Whether it may begin after this snapshot. Its tokens were good a moment ago, so that their keys are there.
    ///
    /// # Errors
    /// [`Refusal::AccessTokenRevoked`], [`Refusal::TxnTokenRevoked`], [`TokenFault::KeyUnknown`] or, where a user
    /// entered, [`Refusal::SubjectRevoked`].
    pub(crate) fn admit(&self, snapshot: &Snapshot) -> Result<(), Refusal> {
        let Snapshot { revocations, keys, .. } = snapshot;
        let held = self.held.as_ref().map(arc_swap::ArcSwapAny::load);
        let held = held.as_ref().map(|held| held.proof());
        let held_by_no_key = held.is_some_and(|held| !keys.holds(held.key()));
        match &self.access {
            Some(access) if !keys.holds(access.key()) => Err(Refusal::AccessToken(TokenFault::KeyUnknown)),
            Some(_access) if held_by_no_key => Err(Refusal::TxnToken(TokenFault::KeyUnknown)),
            Some(access) => revocations.admit(access, held),
            None if held_by_no_key => Err(Refusal::SubjectRevoked),
            None if held.is_some_and(|held| revocations.cover(Rests::txn(held))) => Err(Refusal::SubjectRevoked),
            None => Ok(()),
        }
    }

    /// Ends it where this snapshot revokes what it rests on; says whether that was here.
    pub(super) fn revoke(&self, snapshot: &Snapshot, now: UnixTime) -> bool {
        self.is_revoked_by(snapshot, now) && self.cut(Cut::Revoked)
    }

    /// Whether it was ended by a revocation.
    pub(super) fn is_revoked(&self) -> bool {
        self.cut.get() == Some(&Cut::Revoked)
    }

    fn cut(&self, cut: Cut) -> bool {
        self.cut.set(cut).is_ok()
    }
}

/// Whether the key that signed a token was revoked: one that is only replaced stays published for longer than any token
/// lives (`docs/adr/0008-signing-keys.md`). Of a token that has ended nothing can be told by that.
fn is_without_key(key: &str, life: Lifetime, keys: &KeySet, now: UnixTime) -> bool {
    !keys.holds(key) && !life.expired(now)
}

impl Transactions {
    /// Ends everything that rests on what this snapshot revokes; returns how many exchanges that were. Whoever opens one
    /// at this moment must look at the snapshot once it is open.
    pub(crate) fn revoke(&self, snapshot: &Snapshot, now: UnixTime) -> usize {
        self.in_progress().iter().filter(|exchange| exchange.revoke(snapshot, now)).count()
    }

    /// Ends everything; returns how many exchanges that were.
    pub(crate) fn silence(&self) -> usize {
        self.in_progress().iter().filter(|exchange| exchange.cut(Cut::Silence)).count()
    }

    /// A list, for whoever is woken wants the book.
    fn in_progress(&self) -> Vec<Arc<Transaction>> {
        self.book().in_progress().collect()
    }
}

#[cfg(test)]
mod tests;
