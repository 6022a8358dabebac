//! What changes while the provider runs: sessions, codes, forms shown, and the users' roles. Everything is in memory
//! and bounded; nothing survives a restart.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use identity::UnixTime;

use super::{
    events::Events,
    realm::{Realm, User},
};

/// Life of a session (Keycloak's `ssoSessionMaxLifespan`, ten hours).
const SESSION_LIFE: Duration = Duration::from_secs(10 * 3600);
/// Most sessions, codes and forms of each kind: the one that ends first makes room.
const HELD_MAX: usize = 4096;

/// The state behind one lock, which is never held across an await.
#[derive(Debug)]
pub(super) struct State(Mutex<Contents>);

/// The state itself.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) realm: Realm,
    pub(super) sessions: Held<Session>,
    pub(super) sign_ins: Held<SignIn>,
    pub(super) codes: Held<Code>,
    /// How many token exchanges were asked for, refused ones included.
    pub(super) exchanges: u64,
    pub(super) events: Events,
}

/// A session by its `sid`.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) user: String,
    /// The login client that is told when it ends.
    pub(super) client: String,
}

/// A sign-in whose form was shown.
#[derive(Clone, Debug)]
pub(super) struct SignIn {
    pub(super) client: String,
    pub(super) redirect: url::Url,
    pub(super) scope: String,
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) state: Option<String>,
}

/// An authorization code that was given out.
#[derive(Clone, Debug)]
pub(super) struct Code {
    pub(super) sign_in: SignIn,
    pub(super) session: String,
    pub(super) authenticated: UnixTime,
    pub(super) life: Option<Duration>,
}

/// Values that end, by an unguessable name.
#[derive(Debug)]
pub(super) struct Held<T>(HashMap<String, (UnixTime, T)>);

impl State {
    pub(super) fn new(realm: Realm) -> Self {
        let (sessions, sign_ins, codes) = (Held::none(), Held::none(), Held::none());
        Self(Mutex::new(Contents { realm, sessions, sign_ins, codes, exchanges: 0, events: Events::none() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Contents> {
        // A panic elsewhere leaves whole values behind: every change is one insert, remove or assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    /// Opens a session for `user`, who signed in through `client`, under the name `sid`.
    pub(super) fn open_session(&mut self, sid: String, user: &User, client: &str, now: UnixTime) {
        let session = Session { user: user.name.clone(), client: client.to_owned() };
        self.sessions.put(sid, now.plus(SESSION_LIFE), session);
    }

    /// Ends all sessions without a word to anybody, as an administrator's `logout-all` does.
    pub(super) fn end_all_sessions(&mut self) {
        self.sessions = Held::none();
    }

    /// The enabled user whose session `sid` lives.
    pub(super) fn user_of_session(&self, sid: &str, now: UnixTime) -> Option<&User> {
        let session = self.sessions.held(sid, now)?;
        self.realm.user(&session.user).filter(|user| user.enabled)
    }
}

impl<T> Held<T> {
    fn none() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn put(&mut self, name: String, ends: UnixTime, value: T) {
        if self.0.len() >= HELD_MAX
            && let Some(first) = self.0.iter().min_by_key(|(_, (ends, _))| *ends).map(|(name, _)| name.clone())
        {
            self.0.remove(&first);
        }
        self.0.insert(name, (ends, value));
    }

    pub(super) fn held(&self, name: &str, now: UnixTime) -> Option<&T> {
        self.0.get(name).filter(|(ends, _)| now < *ends).map(|(_, value)| value)
    }

    /// Takes it out: it can be used once.
    pub(super) fn take(&mut self, name: &str, now: UnixTime) -> Option<T> {
        self.0.remove(name).filter(|(ends, _)| now < *ends).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs).expect("small")
    }

    #[test]
    fn what_ended_is_not_held_and_what_was_taken_is_gone() {
        let mut held = Held::none();
        held.put("a".to_owned(), at(10), 1);
        assert_eq!(held.held("a", at(9)), Some(&1));
        assert_eq!(held.held("a", at(10)), None);
        assert_eq!(held.take("a", at(9)), Some(1));
        assert_eq!(held.take("a", at(9)), None);
    }

    #[test]
    fn one_more_than_the_limit_pushes_out_the_one_that_ends_first() {
        let mut held = Held::none();
        for number in 0..=HELD_MAX {
            held.put(number.to_string(), at(u64::try_from(number).expect("fits") + 10), number);
        }
        assert_eq!(held.held("0", at(1)), None);
        assert_eq!(held.held("1", at(1)), Some(&1));
        assert_eq!(held.0.len(), HELD_MAX);
    }
}
