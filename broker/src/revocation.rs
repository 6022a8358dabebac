//! What was revoked: transactions, tokens and workloads by name, sessions and users through [`sessions`](crate::sessions).
//! One function ends them all, [`end`]: in memory first, where every decision looks, then in the store for the next
//! start, and the sidecars hear of it at once. It decides nobody's right to do so.
//!
//! A name is remembered for as long as a token of it could be shown; nothing new is issued for it meanwhile, and what
//! rested on it in the store is gone.

mod held;

use std::{
    error::Error,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use identity::{Refusal, SpiffeId, TokenId, TransactionId, TxnToken, UnixTime};
use tokio::sync::watch;

use self::held::{Held, Note};
use crate::{
    grant::Grant,
    parties::Parties,
    quota::Quota,
    sessions::{self, End, Sessions, Whose},
    store::{Store, StoreFault},
};

/// How long a name is remembered: the longest token lives 120 s, clocks may differ by 30 s, and an exchange that was on
/// the way may take some seconds.
const REMEMBERED: Duration = Duration::from_secs(180);
/// Most at once of each kind. All together are a snapshot of about 2.5 MiB, and a sidecar reads 4 MiB.
const TRANSACTIONS_MAX: usize = 32_768;
const TOKENS_MAX: usize = 32_768;
const WORKLOADS_MAX: usize = 1024;
/// Most that one workload may fill with what it revokes of its own.
const OWN_EACH_MAX: usize = 1024;

/// Something to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending<'a> {
    /// These tokens, and whatever was minted together with them.
    Tokens(Vec<TokenId>),
    /// A transaction with the whole tree below it.
    Transaction(TransactionId),
    /// A session, or all of a user's that were given something until a second, at the authority with this issuer.
    AtAuthority(&'a str, Whose<'a>),
    /// Everything issued until now that names this workload as actor, requester or callee. What it is given later is not
    /// meant: that it is given nothing is for policy and SPIRE to say.
    Workload(SpiffeId),
}

/// Who wants it, for the room that it may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'a> {
    /// A workload that ends what was given to itself.
    Owner(&'a SpiffeId),
    /// An authority, or whoever may administer.
    Other,
}

/// A name that is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Transaction(TransactionId),
    Token(TokenId),
    Workload(SpiffeId),
}

/// A name, and for how long it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) name: Name,
    /// What was issued up to this second is meant.
    pub(crate) through: UnixTime,
    /// When it may be forgotten.
    pub(crate) until: UnixTime,
}

/// What was revoked lately.
#[derive(Debug)]
pub(crate) struct Revocations {
    all: RwLock<All>,
    own: Quota,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct All {
    transactions: Held<TransactionId>,
    tokens: Held<TokenId>,
    workloads: Held<SpiffeId>,
}

/// Ends `what`, and returns how many running transactions ended with it. Dropped half-way, or refused by the store, it
/// has ended until the next start, and [`store_rest`] tries again.
///
/// # Errors
/// `fault.store`; `fault.overloaded` where as much as can be remembered or told is.
pub(crate) async fn end(parties: &Parties, what: Ending<'_>, by: By<'_>, now: UnixTime) -> Result<u64, Refusal> {
    let (names, through) = match what {
        Ending::AtAuthority(issuer, whose) => {
            let is_asked = parties.authorities.by_issuer(issuer).is_some_and(|authority| authority.is_asked());
            let remembered = if is_asked { sessions::REMEMBERED } else { sessions::REMEMBERED_ALONE };
            let end = parties.sessions.end(issuer, whose, remembered, now)?;
            return end_rest(&parties.sessions, &parties.store, &parties.revocations, &end, now).await;
        }
        Ending::Tokens(ids) => (ids.into_iter().map(Name::Token).collect(), UnixTime::MAX),
        Ending::Transaction(id) => (vec![Name::Transaction(id)], UnixTime::MAX),
        Ending::Workload(id) => (vec![Name::Workload(id)], now),
    };
    let until = now.plus(REMEMBERED);
    let revoked: Vec<_> = names.into_iter().map(|name: Name| Revoked { name, through, until }).collect();
    parties.revocations.add(&revoked, by, now)?;
    if parties.revocations.are_stored(&revoked) {
        return Ok(0); // told before, and done
    }
    let transactions = parties.store.revoke(&revoked, now).await?;
    parties.revocations.stored(&revoked);
    Ok(transactions)
}

/// Stores the end of sessions, and tells the sidecars which transactions rest on them.
async fn end_rest(
    sessions: &Sessions,
    store: &Store,
    revocations: &Revocations,
    end: &End,
    now: UnixTime,
) -> Result<u64, Refusal> {
    let (ended, ran) = store.end(end, now.plus(REMEMBERED), now).await?;
    let told = revocations.add(&ended, By::Other, now);
    revocations.stored(&ended);
    sessions.stored(end);
    told.map(|()| ran)
}

/// Stores what could not be stored when it was told: Keycloak tells each logout once, whatever it is answered. Dropped
/// half-way, the rest is tried the next time.
pub(crate) async fn store_rest(sessions: &Sessions, store: &Store, revocations: &Revocations, now: UnixTime) {
    for end in sessions.unstored() {
        match end_rest(sessions, store, revocations, &end, now).await {
            Ok(transactions) => tracing::info!(transactions, "the end of a session was stored late"),
            Err(_logged) => {
                tracing::warn!("the end of a session cannot be stored; a restart would forget it");
                return;
            }
        }
    }
    let unstored = revocations.unstored();
    match store.revoke(&unstored, now).await {
        Ok(_transactions) => revocations.stored(&unstored),
        Err(fault) => {
            let error: &(dyn Error + 'static) = &fault;
            tracing::warn!(error, "what was revoked cannot be stored; a restart would forget it");
        }
    }
}

impl Revocations {
    /// What the store remembers at `now`.
    ///
    /// # Errors
    /// The [`StoreFault`].
    pub(crate) async fn read(store: &Store, now: UnixTime) -> Result<Self, StoreFault> {
        Ok(Self::new(store.revoked(now).await?))
    }

    fn new(remembered: Vec<Revoked>) -> Self {
        let mut all = All {
            transactions: Held::new(TRANSACTIONS_MAX),
            tokens: Held::new(TOKENS_MAX),
            workloads: Held::new(WORKLOADS_MAX),
        };
        for Revoked { name, through, until } in remembered {
            match name {
                Name::Transaction(id) => all.transactions.restore(id, through, until),
                Name::Token(id) => all.tokens.restore(id, through, until),
                Name::Workload(id) => all.workloads.restore(id, through, until),
            }
        }
        Self { all: RwLock::new(all), own: Quota::new(OWN_EACH_MAX), changed: watch::Sender::new(()) }
    }

    /// Whether a transaction token still counts.
    ///
    /// # Errors
    /// `subject.revoked`.
    pub(crate) fn check(&self, held: &TxnToken) -> Result<(), Refusal> {
        let named = held.chain().iter().chain([held.requester()]).chain(held.callee());
        let all = self.read_all();
        if all.tokens.through(held.id()).is_some() {
            return Err(Refusal::SubjectRevoked);
        }
        all.check(held.transaction(), named, held.issued_at())
    }

    /// The last look at what will be minted at `now` for the transaction token that was shown.
    ///
    /// # Errors
    /// `subject.revoked`.
    pub(crate) fn check_grant(&self, grant: &Grant, shown: Option<&TxnToken>, now: UnixTime) -> Result<(), Refusal> {
        shown.map_or(Ok(()), |held| self.check(held))?;
        self.read_all().check(grant.transaction(), grant.workloads(), now)
    }

    /// Whether an access token, which may have been minted with another, still counts.
    pub(crate) fn holds<'w>(
        &self,
        (id, minted_with, transaction): (&TokenId, Option<&TokenId>, &TransactionId),
        workloads: impl Iterator<Item = &'w SpiffeId>,
        issued_at: UnixTime,
    ) -> bool {
        let all = self.read_all();
        let mut ids = [id].into_iter().chain(minted_with);
        ids.all(|id| all.tokens.through(id).is_none()) && all.check(transaction, workloads, issued_at).is_ok()
    }

    /// Tells of every change that comes.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What sidecars have to know.
    pub(crate) fn told(&self) -> api::Revocations {
        let all = self.read_all();
        let workload =
            |(id, note): (&SpiffeId, &Note)| api::RevokedWorkload { id: id.to_string(), through: note.through.secs() };
        api::Revocations {
            transactions: all.transactions.iter().map(|(id, _note)| id.to_string()).collect(),
            tokens: all.tokens.iter().map(|(id, _note)| id.to_string()).collect(),
            workloads: all.workloads.iter().map(workload).collect(),
        }
    }

    /// Remembers all of `revoked` for which there is room, and says so.
    fn add(&self, revoked: &[Revoked], by: By<'_>, now: UnixTime) -> Result<(), Refusal> {
        if revoked.is_empty() {
            return Ok(());
        }
        let (mut full, mut news) = (0_usize, false);
        let mut all = self.write_all();
        for one in revoked {
            let share = match by {
                By::Owner(id) => self.own.take(id).map(Some),
                By::Other => Some(None),
            };
            let note = share.map(|share| Note::new(one, share)).ok_or(Refusal::FaultOverloaded);
            let added = note.and_then(|note| match &one.name {
                Name::Transaction(id) => all.transactions.add(id, note, now),
                Name::Token(id) => all.tokens.add(id, note, now),
                Name::Workload(id) => all.workloads.add(id, note, now),
            });
            full = full.saturating_add(usize::from(added.is_err()));
            news |= added == Ok(true);
        }
        drop(all);
        if news {
            self.changed.send_replace(());
        }
        if full == 0 {
            return Ok(());
        }
        tracing::error!(full, "no more revocations can be remembered; sidecars learn of these when their tokens end");
        Err(Refusal::FaultOverloaded)
    }

    /// Notes that the store knows these.
    fn stored(&self, revoked: &[Revoked]) {
        let mut all = self.write_all();
        for Revoked { name, through, .. } in revoked {
            match name {
                Name::Transaction(id) => all.transactions.stored(id, *through),
                Name::Token(id) => all.tokens.stored(id, *through),
                Name::Workload(id) => all.workloads.stored(id, *through),
            }
        }
    }

    /// Whether the store knows all of these.
    fn are_stored(&self, revoked: &[Revoked]) -> bool {
        let all = self.read_all();
        revoked.iter().all(|one| match &one.name {
            Name::Transaction(id) => all.transactions.is_stored(id),
            Name::Token(id) => all.tokens.is_stored(id),
            Name::Workload(id) => all.workloads.is_stored(id),
        })
    }

    /// What the store does not know yet.
    fn unstored(&self) -> Vec<Revoked> {
        let all = self.read_all();
        let transactions = all.transactions.unstored().map(|(id, note)| note.of(Name::Transaction(id.clone())));
        let tokens = all.tokens.unstored().map(|(id, note)| note.of(Name::Token(id.clone())));
        let workloads = all.workloads.unstored().map(|(id, note)| note.of(Name::Workload(id.clone())));
        transactions.chain(tokens).chain(workloads).collect()
    }

    /// Lets go of what need not be remembered any more.
    pub(crate) fn forget(&self, now: UnixTime) {
        let mut all = self.write_all();
        all.transactions.forget(now);
        all.tokens.forget(now);
        all.workloads.forget(now);
    }

    fn read_all(&self) -> RwLockReadGuard<'_, All> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self) -> RwLockWriteGuard<'_, All> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// Whether what was issued at `issued_at` for `transaction`, and names these workloads, counts.
    fn check<'w>(
        &self,
        transaction: &TransactionId,
        workloads: impl Iterator<Item = &'w SpiffeId>,
        issued_at: UnixTime,
    ) -> Result<(), Refusal> {
        if self.transactions.through(transaction).is_some() {
            return Err(Refusal::SubjectRevoked);
        }
        if self.workloads.is_empty() {
            return Ok(());
        }
        let mut revoked = workloads.filter_map(|id| self.workloads.through(id));
        if revoked.any(|through| issued_at <= through) { Err(Refusal::SubjectRevoked) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
