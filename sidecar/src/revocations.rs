//! What the broker says was revoked (`protocol.md` §8). Whatever rests on it is refused, forgotten or ended. It is read
//! whole or refused with its snapshot, and it is never merged: what the broker no longer tells has ended by itself.

use std::collections::{HashMap, HashSet};

use identity::{
    AccessToken, ActorChain, NameFault, Refusal, SpiffeId, TokenId, TransactionId, TxnToken, UnixTime, workload_id,
};

/// Most entries: every session that a broker remembers as ended (`docs/operations.md`), and 30 MiB at the worst. With
/// more the snapshot is refused, and so is everything after a while.
const ENTRIES_MAX: usize = 131_072;

/// What was revoked.
#[derive(Debug, Default)]
pub(crate) struct Revocations {
    transactions: HashSet<TransactionId>,
    tokens: HashSet<TokenId>,
    /// Tokens that name the workload and were issued up to this second.
    workloads: HashMap<SpiffeId, UnixTime>,
}

/// Why a list was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevocationFault {
    #[error("it holds more than {ENTRIES_MAX} entries")]
    TooMany,
    #[error("`{0}` is no transaction")]
    Transaction(String, #[source] NameFault),
    #[error("`{0}` is no id of a token")]
    Token(String, #[source] NameFault),
    #[error("`{0}` is no workload")]
    Workload(String),
    #[error("`{0}` is no second")]
    Time(u64),
}

/// What a token rests on, or what was made of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rests<'a> {
    pub(crate) transaction: &'a TransactionId,
    /// Its `jti`, and that of the token minted together with it.
    pub(crate) tokens: [Option<&'a TokenId>; 2],
    pub(crate) chain: &'a ActorChain,
    /// Workloads that it names beside those of the chain.
    pub(crate) workloads: [Option<&'a SpiffeId>; 2],
    pub(crate) issued_at: UnixTime,
}

impl<'a> Rests<'a> {
    /// Of an access token.
    pub(crate) fn access(token: &'a AccessToken) -> Self {
        Self {
            transaction: token.transaction(),
            tokens: [Some(token.id()), token.minted_with()],
            chain: token.chain(),
            workloads: [Some(token.client()), None],
            issued_at: token.issued_at(),
        }
    }

    /// Of a transaction token.
    pub(crate) fn txn(token: &'a TxnToken) -> Self {
        Self {
            transaction: token.transaction(),
            tokens: [Some(token.id()), None],
            chain: token.chain(),
            workloads: [Some(token.requester()), token.callee()],
            issued_at: token.issued_at(),
        }
    }
}

impl Revocations {
    /// Whether what rests on this was revoked.
    pub(crate) fn cover(&self, rests: Rests<'_>) -> bool {
        let named = || rests.chain.iter().chain(rests.workloads.into_iter().flatten());
        self.transactions.contains(rests.transaction)
            || rests.tokens.into_iter().flatten().any(|token| self.tokens.contains(token))
            || (!self.workloads.is_empty()
                && named().any(|id| self.through(id).is_some_and(|through| rests.issued_at <= through)))
    }

    /// Whether a call may come in with these tokens.
    ///
    /// # Errors
    /// [`Refusal::AccessTokenRevoked`] or [`Refusal::TxnTokenRevoked`].
    pub(crate) fn admit(&self, access: &AccessToken, held: Option<&TxnToken>) -> Result<(), Refusal> {
        if self.cover(Rests::access(access)) {
            return Err(Refusal::AccessTokenRevoked);
        }
        if held.is_some_and(|held| self.cover(Rests::txn(held))) { Err(Refusal::TxnTokenRevoked) } else { Ok(()) }
    }

    /// Whether the whole transaction was revoked.
    pub(crate) fn hold(&self, transaction: &TransactionId) -> bool {
        self.transactions.contains(transaction)
    }

    /// Up to which second tokens of this workload are revoked.
    pub(crate) fn through(&self, workload: &SpiffeId) -> Option<UnixTime> {
        self.workloads.get(workload).copied()
    }

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.transactions.len().saturating_add(self.tokens.len()).saturating_add(self.workloads.len())
    }
}

impl TryFrom<api::Revocations> for Revocations {
    type Error = RevocationFault;

    fn try_from(told: api::Revocations) -> Result<Self, RevocationFault> {
        let entries = told.transactions.len().saturating_add(told.tokens.len()).saturating_add(told.workloads.len());
        if entries > ENTRIES_MAX {
            return Err(RevocationFault::TooMany);
        }
        let transaction = |text: String| text.parse().map_err(|fault| RevocationFault::Transaction(text, fault));
        let token = |text: String| text.parse().map_err(|fault| RevocationFault::Token(text, fault));
        let mut workloads = HashMap::new();
        for api::RevokedWorkload { id, through } in told.workloads {
            let Ok(id) = workload_id(&id) else { return Err(RevocationFault::Workload(id)) };
            let through = UnixTime::from_secs(through).ok_or(RevocationFault::Time(through))?;
            // Told twice, the longer one counts.
            workloads.entry(id).and_modify(|known: &mut UnixTime| *known = (*known).max(through)).or_insert(through);
        }
        Ok(Self {
            transactions: told.transactions.into_iter().map(transaction).collect::<Result<_, _>>()?,
            tokens: told.tokens.into_iter().map(token).collect::<Result<_, _>>()?,
            workloads,
        })
    }
}

#[cfg(test)]
mod tests;
