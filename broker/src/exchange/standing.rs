//! Whether a transaction still stands: within its own life, and, past the end of the user's token or where a rule
//! wants it, with the provider's word that the session lives (`protocol.md` §5, K10).

use std::time::Duration;

use identity::{Lifetime, Refusal, TxnToken, UnixTime};

use crate::{
    authority::Claim,
    grant::Person,
    parties::Parties,
    record::EndedBy,
    revocation::{self, By, Ending},
    sessions::{SignIn, Whose},
    store::Transaction,
};

/// A keeper that ends sooner is renewed on the way, where a session may be asked about later: half of the 120 s that a
/// provider gives it (`keycloak.md` §4).
const KEEPER_AHEAD: Duration = Duration::from_secs(60);

/// A keeper that ends sooner may end on the way, by the provider's clock or for a slow answer; then the provider refuses
/// it, and says no more of the session.
const KEEPER_SURE: Duration = Duration::from_secs(10);

/// A transaction that stands, with who its user is.
#[derive(Debug)]
pub(super) struct Standing {
    transaction: Transaction,
    ends: Lifetime,
    session_lives: bool,
}

/// What a transaction's times demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// It is over.
    Ended,
    /// Nothing: tokens end at `not_after`.
    Nothing,
    /// The keeper gets old; tokens end at `not_after` whether it can be renewed now or not.
    FreshKeeper,
    /// Tokens will outlive the user's own: the session must live.
    LivingSession,
}

impl Standing {
    /// The user, with groups and roles as the provider said last.
    pub(super) fn person(&self) -> Person<'_> {
        let Transaction { subject, groups, roles, .. } = &self.transaction;
        Person { subject, groups, roles }
    }

    /// The sign-in that it rests on.
    pub(super) const fn sign_in(&self) -> &SignIn {
        &self.transaction.sign_in
    }

    /// When tokens end at the latest.
    pub(super) const fn ends(&self) -> Lifetime {
        self.ends
    }

    /// Whether the provider has said during this request that the session lives.
    pub(super) const fn session_lives(&self) -> bool {
        self.session_lives
    }

    /// Asks the provider whether the session lives. The user's groups and roles are then what it says now.
    pub(super) async fn confirmed(self, parties: &Parties, now: UnixTime) -> Result<Self, Refusal> {
        let transaction = confirm(parties, &self.transaction, now).await?;
        Ok(Self { transaction, session_lives: true, ..self })
    }
}

/// The transaction of `held`, if it stands. The authority is not asked about a session that it said has ended. Its user's
/// groups and roles are renewed with the keeper.
pub(super) async fn of(parties: &Parties, held: &TxnToken, now: UnixTime) -> Result<Standing, Refusal> {
    let transaction = parties.store.transaction(held.transaction()).await?;
    if let Some(transaction) = &transaction {
        parties.sessions.check(&transaction.sign_in)?;
    }
    parties.revocations.check(held)?;
    let transaction = transaction.ok_or(Refusal::SubjectTransactionEnded)?;
    parties.liveness.check(&transaction.authority)?;
    let is_doubted = parties.liveness.is_doubted(&transaction);
    let longest = parties.life.transaction_token.max(parties.life.access_token);
    let (ends, long_ends) = (transaction.ends.not_after, transaction.ends.long_not_after);
    match need(&transaction, longest, now) {
        Need::Ended => Err(Refusal::SubjectTransactionEnded),
        Need::Nothing | Need::FreshKeeper if is_doubted => {
            let transaction = confirm(parties, &transaction, now).await?;
            Ok(Standing { transaction, ends, session_lives: true })
        }
        Need::Nothing => Ok(Standing { transaction, ends, session_lives: false }),
        Need::FreshKeeper => match confirm(parties, &transaction, now).await {
            Ok(transaction) => Ok(Standing { transaction, ends, session_lives: true }),
            // The transaction goes on while the provider is away; only what outlives the user's token needs it.
            Err(refusal) if refusal.is_fault() => Ok(Standing { transaction, ends, session_lives: false }),
            Err(refusal) => Err(refusal),
        },
        Need::LivingSession => {
            let transaction = confirm(parties, &transaction, now).await?;
            Ok(Standing { transaction, ends: long_ends, session_lives: true })
        }
    }
}

fn need(transaction: &Transaction, longest_token: Duration, now: UnixTime) -> Need {
    let (ends, long_ends) = (transaction.ends.not_after, transaction.ends.long_not_after);
    // Long work rests on a keeper; without one the transaction ends with the user's own token.
    let Some(keeper) = transaction.keeper_ends.filter(|keeper| ends != long_ends && !keeper.expired(now)) else {
        return if ends.expired(now) { Need::Ended } else { Need::Nothing };
    };
    if long_ends.expired(now) {
        return Need::Ended;
    }
    // A token that would be cut at `not_after` could not be renewed past it, so the session is asked about before.
    if ends.remaining(now) < longest_token {
        return Need::LivingSession;
    }
    if keeper.remaining(now) <= KEEPER_AHEAD { Need::FreshKeeper } else { Need::Nothing }
}

/// Exchanges the keeper for itself: the provider looks at session, user and roles, and gives a fresh one. Once it says
/// that the session has ended, so has the transaction: a keeper that was refused gets too old to be asked about, and what
/// rests on none would go on.
pub(crate) async fn confirm(
    parties: &Parties,
    transaction: &Transaction,
    now: UnixTime,
) -> Result<Transaction, Refusal> {
    let authority = parties.authorities.by_issuer(&transaction.authority);
    let authority = authority.ok_or(Refusal::SubjectTransactionEnded)?;
    if !authority.is_asked() {
        return Err(Refusal::PolicySessionUnconfirmed);
    }
    let keeper = parties.store.keeper(transaction, now).await?.ok_or(Refusal::SubjectTransactionEnded)?;
    let subject = authority.local_subject(&transaction.subject).ok_or(Refusal::SubjectTransactionEnded)?;
    let (session, scopes, doubts) = (&transaction.session, &transaction.scopes, parties.liveness.doubts_raised());
    let claim = Claim { subject: &subject, session, scopes, doubts };
    match authority.exchange(&parties.svids, &keeper, claim, now).await {
        Ok(fresh) => Ok(parties.store.renew_keeper(transaction, &fresh).await?),
        Err(refusal) => {
            if refusal == Refusal::SubjectSessionEnded && is_sure(transaction, now) {
                end(parties, transaction, now).await;
            }
            Err(refusal)
        }
    }
}

/// The session is over, and so is all that was begun in it. A store that cannot does not take the provider's word back: it
/// has ended in memory, and this request is refused.
async fn end(parties: &Parties, transaction: &Transaction, now: UnixTime) {
    let ending = Ending::AtAuthority(&transaction.authority, Whose::Session(&transaction.session));
    let ended = revocation::end(parties, ending, By::Other, now).await;
    match ended {
        Ok(0) => {}
        Ok(transactions) => {
            let (authority, session) = (&transaction.authority, &transaction.session);
            parties.recorder.session_ended(EndedBy::Answer, (authority, session), transactions, now);
        }
        Err(refusal) => {
            let code = refusal.code();
            tracing::error!(txn = %transaction.id, %code, "a session that has ended stays in the store");
        }
    }
}

/// Whether the keeper was refused for what it stands for, and not for its age.
fn is_sure(transaction: &Transaction, now: UnixTime) -> bool {
    transaction.keeper_ends.is_some_and(|ends| ends.remaining(now) > KEEPER_SURE)
}

#[cfg(test)]
mod tests {
    use identity::Scopes;

    use super::*;
    use crate::grant::Ends;

    const LONGEST: Duration = Duration::from_secs(120);

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).expect("a time")
    }

    fn transaction(not_after: u64, long_not_after: u64, keeper_ends: Option<u64>) -> Transaction {
        let until = |secs| Lifetime::until(at(secs));
        Transaction {
            id: "t".parse().expect("an id"),
            authority: "https://keycloak".to_owned(),
            subject: "alice".parse().expect("a name"),
            session: "s".to_owned(),
            sign_in: crate::sessions::tests::sign_in("https://keycloak", "s", "alice", 1),
            scopes: Scopes::none(),
            groups: Vec::new(),
            roles: Vec::new(),
            ends: Ends { not_after: until(not_after), long_not_after: until(long_not_after) },
            keeper_ends: keeper_ends.map(until),
        }
    }

    #[test]
    fn without_long_work_the_provider_is_not_asked_and_the_end_is_the_end() {
        let short = transaction(1000, 1000, None);
        assert_eq!(need(&short, LONGEST, at(999)), Need::Nothing);
        assert_eq!(need(&short, LONGEST, at(1000)), Need::Ended);
    }

    #[test]
    fn long_work_asks_the_provider_before_a_token_outlives_the_user_s_own() {
        let long = transaction(1000, 3000, Some(4000));
        assert_eq!(need(&long, LONGEST, at(880)), Need::Nothing);
        assert_eq!(need(&long, LONGEST, at(881)), Need::LivingSession);
        assert_eq!(need(&long, LONGEST, at(2999)), Need::LivingSession);
        assert_eq!(need(&long, LONGEST, at(3000)), Need::Ended);
    }

    #[test]
    fn long_work_keeps_its_keeper_fresh() {
        assert_eq!(need(&transaction(1000, 3000, Some(160)), LONGEST, at(100)), Need::FreshKeeper);
        assert_eq!(need(&transaction(1000, 3000, Some(161)), LONGEST, at(100)), Need::Nothing);
    }

    #[test]
    fn a_keeper_that_may_have_ended_on_the_way_proves_no_end_of_the_session() {
        let sure = |keeper| is_sure(&transaction(1000, 3000, keeper), at(100));
        assert_eq!([Some(111), Some(110), Some(90), None].map(sure), [true, false, false, false]);
    }

    #[test]
    fn without_a_keeper_long_work_ends_with_the_user_s_own_token() {
        for keeper in [None, Some(900)] {
            assert_eq!(need(&transaction(1000, 3000, keeper), LONGEST, at(999)), Need::Nothing);
            assert_eq!(need(&transaction(1000, 3000, keeper), LONGEST, at(1000)), Need::Ended);
        }
    }
}
