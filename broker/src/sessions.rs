//! Sessions that ended at their authority: nothing more is given for them, and nobody asks the authority again to learn
//! it (`protocol.md` §7). Every decision looks here, in memory; the store holds the same for the next start. Who a user
//! is cannot be read from it: sessions and users stand in it as keyed hashes, together with their issuer, so that one
//! authority's word never reaches another's users.

mod once;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use identity::{LoggedOut, LogoutToken, Refusal, SubjectToken, UnixTime};

pub(crate) use self::once::Admitted;
use self::once::Once;
use crate::seal::{HASH_LENGTH, Sealer};

/// Most that are remembered, each in about 100 bytes: 18 sign-outs a second, for as long as they are remembered. One
/// more is a fault, never the end of another's memory.
pub(crate) const ENDED_MAX: usize = 131_072;
/// How long an end is remembered: an hour, in which a transaction that had begun may go on, and as long again, in which
/// a token of the user's own may be shown. The authority itself refuses one that lives for longer.
pub(crate) const REMEMBERED: Duration = Duration::from_hours(2);
/// The same at an authority that nobody asks: there a token may be shown for a day
/// ([`OpenIdRule::AGE_MAX`](identity::OpenIdRule::AGE_MAX)).
pub(crate) const REMEMBERED_ALONE: Duration = Duration::from_hours(25);

/// A session or a user of one authority, as a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark([u8; HASH_LENGTH]);

/// The sign-in that a transaction rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignIn {
    pub(crate) session: Mark,
    pub(crate) user: Mark,
    /// When the authority last gave a token for it, by its own clock: the session lived then.
    pub(crate) confirmed_at: UnixTime,
}

/// The end of a session, or of all sessions that a user had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) mark: Mark,
    /// What the authority gave up to this second was for what has ended. A session ends for good; a user may sign in
    /// again, and what is given later shows it.
    pub(crate) through: UnixTime,
    /// When it may be forgotten.
    pub(crate) until: UnixTime,
}

/// Whose end it is, at some authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose<'a> {
    /// The session with this `sid`, for good.
    Session(&'a str),
    /// All that the user with this `sub` was given up to this second, by the authority's clock.
    User { subject: &'a str, through: UnixTime },
}

/// What has ended, and which logout tokens said so.
#[derive(Debug)]
pub(crate) struct Sessions {
    sealer: Sealer,
    ended: RwLock<HashMap<Mark, End>>,
    /// Those of them that the store does not know yet.
    unstored: Mutex<HashMap<Mark, End>>,
    once: Once,
}

impl Mark {
    pub(crate) const fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// A mark that the store kept.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn of(sealer: &Sealer, kind: &str, issuer: &str, name: &str) -> Self {
        Self(sealer.index(&[kind, issuer, name]))
    }
}

impl<'a> From<&'a LogoutToken> for Whose<'a> {
    fn from(token: &'a LogoutToken) -> Self {
        match token.logged_out() {
            LoggedOut::Session { id, .. } => Self::Session(id),
            LoggedOut::User(subject) => Self::User { subject: subject.as_str(), through: token.issued_at() },
        }
    }
}

impl SignIn {
    /// The sign-in behind an authority's token.
    pub(crate) fn of(sealer: &Sealer, token: &SubjectToken) -> Self {
        Self {
            session: Mark::of(sealer, "session", token.issuer(), token.session()),
            user: Mark::of(sealer, "user", token.issuer(), token.subject().as_str()),
            confirmed_at: token.issued_at(),
        }
    }
}

impl Sessions {
    /// Knows what the store remembers.
    pub(crate) fn new(sealer: Sealer, remembered: Vec<End>) -> Self {
        let ended = remembered.into_iter().map(|end| (end.mark, end)).collect();
        Self { sealer, ended: RwLock::new(ended), unstored: Mutex::default(), once: Once::default() }
    }

    /// The sign-in behind an authority's token.
    pub(crate) fn sign_in(&self, token: &SubjectToken) -> SignIn {
        SignIn::of(&self.sealer, token)
    }

    /// # Errors
    /// `subject.session_ended`.
    pub(crate) fn check(&self, sign_in: &SignIn) -> Result<(), Refusal> {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        let is_over = |mark| ended.get(mark).is_some_and(|end: &End| sign_in.confirmed_at <= end.through);
        if is_over(&sign_in.session) || is_over(&sign_in.user) { Err(Refusal::SubjectSessionEnded) } else { Ok(()) }
    }

    /// Takes a logout token in, once.
    ///
    /// # Errors
    /// `logout_token.replayed`; `fault.overloaded` where as many as can be told apart were taken in.
    pub(crate) fn admit(&self, token: &LogoutToken, now: UnixTime) -> Result<Admitted<'_>, Refusal> {
        let mark = Mark::of(&self.sealer, "logout", token.issuer(), token.id().as_str());
        self.once.admit(mark, token.lifetime().not_after(), now)
    }

    /// What stands for `whose` at the authority with this issuer.
    pub(crate) fn mark(&self, issuer: &str, whose: Whose<'_>) -> Mark {
        match whose {
            Whose::Session(id) => Mark::of(&self.sealer, "session", issuer, id),
            Whose::User { subject, .. } => Mark::of(&self.sealer, "user", issuer, subject),
        }
    }

    /// Ends what `whose` says, at the authority with this issuer. From here on [`Sessions::check`] refuses it, for as long
    /// as `remembered` says at least.
    ///
    /// # Errors
    /// `fault.overloaded` where as many ends as can be remembered are.
    pub(crate) fn end(
        &self,
        issuer: &str,
        whose: Whose<'_>,
        remembered: Duration,
        now: UnixTime,
    ) -> Result<End, Refusal> {
        let mark = self.mark(issuer, whose);
        let through = match whose {
            Whose::Session(_) => UnixTime::MAX,
            Whose::User { through, .. } => through,
        };
        let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= ENDED_MAX && !ended.contains_key(&mark) {
            ended.retain(|_mark, end| now < end.until);
            if ended.len() >= ENDED_MAX {
                tracing::error!(sessions = ENDED_MAX, "no more ended sessions can be remembered");
                return Err(Refusal::FaultOverloaded);
            }
        }
        let new = End { mark, through, until: now.plus(remembered) };
        let end = ended.entry(mark).or_insert(new);
        // The store's end and this one may come in any order, and an older logout may come late.
        *end = End { mark, through: end.through.max(new.through), until: end.until.max(new.until) };
        self.lock_unstored().insert(mark, *end);
        Ok(*end)
    }

    /// Notes that the store knows `end`.
    pub(crate) fn stored(&self, end: &End) {
        let mut unstored = self.lock_unstored();
        // It may have been told again since, for longer.
        if unstored.get(&end.mark) == Some(end) {
            unstored.remove(&end.mark);
        }
    }

    /// What the store does not know yet.
    pub(crate) fn unstored(&self) -> Vec<End> {
        self.lock_unstored().values().copied().collect()
    }

    /// Lets go of what need not be remembered any more.
    pub(crate) fn forget(&self, now: UnixTime) {
        self.ended.write().unwrap_or_else(PoisonError::into_inner).retain(|_mark, end| now < end.until);
        self.lock_unstored().retain(|_mark, end| now < end.until);
        self.once.forget(now);
    }

    fn lock_unstored(&self) -> MutexGuard<'_, HashMap<Mark, End>> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests;
