//! MCP sessions belong to whom they were opened for: (subject, caller). Anybody else, and everybody after a restart, is
//! told 404, upon which a client initialises anew (MCP 2025-11-25, transports).

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use moka::{future::Cache, policy::EvictionPolicy};

use crate::perimeter::Kind;
use identity::{AccessToken, Refusal, SpiffeId, Subject};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Most sessions that are remembered; the least used is forgotten, and its client initialises anew.
const SESSIONS_MAX: u64 = 10_000;
/// A session that rests for longer is forgotten.
const REST_MAX: Duration = Duration::from_secs(3600);
/// Longest session id in bytes: servers send UUIDs or short tokens.
const ID_LENGTH_MAX: usize = 256;

/// Which session is whose.
pub(crate) struct Sessions(Cache<Key, Owner>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    target: String,
    session: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    subject: Subject,
    client: SpiffeId,
}

impl Owner {
    fn of(access: &AccessToken) -> Self {
        Self { subject: access.subject().clone(), client: access.client().clone() }
    }
}

impl Sessions {
    /// No session yet.
    pub(crate) fn new() -> Self {
        let sessions = Cache::builder().max_capacity(SESSIONS_MAX).time_to_idle(REST_MAX);
        Self(sessions.eviction_policy(EvictionPolicy::lru()).build())
    }

    /// Checks the session that a request names, if it is an MCP request and names one.
    ///
    /// # Errors
    /// [`Refusal::CallSession`] for an unknown session or another's; [`Refusal::CallMalformed`] for two.
    pub(super) async fn check(
        &self,
        target: &str,
        headers: &HeaderMap,
        kind: Kind,
        access: &AccessToken,
    ) -> Result<(), Refusal> {
        if !kind.is_mcp() {
            return Ok(());
        }
        match key(target, headers)? {
            None => Ok(()),
            Some(key) => self.belongs(&key, &Owner::of(access)).await,
        }
    }

    /// Notes what the app's answer did: `initialize` may have opened a session, DELETE ended one.
    ///
    /// # Errors
    /// [`Refusal::PeerAnswer`] where the app gives one caller the session of another.
    pub(super) async fn note(&self, target: &str, answer: &HeaderMap, access: &AccessToken) -> Result<(), Refusal> {
        match key(target, answer).map_err(|_two| Refusal::PeerAnswer)? {
            None => Ok(()),
            Some(key) => self.open(key, Owner::of(access)).await,
        }
    }

    /// Forgets the session that an accepted DELETE named.
    pub(super) async fn end(&self, target: &str, session: Option<String>) {
        if let Some(session) = session {
            self.0.invalidate(&Key { target: target.to_owned(), session }).await;
        }
    }

    async fn belongs(&self, key: &Key, owner: &Owner) -> Result<(), Refusal> {
        match self.0.get(key).await {
            Some(known) if known == *owner => Ok(()),
            Some(_another) => Err(Refusal::CallSession),
            None => Err(Refusal::CallSession),
        }
    }

    async fn open(&self, key: Key, owner: Owner) -> Result<(), Refusal> {
        let known = self.0.get_with(key, std::future::ready(owner.clone())).await;
        if known == owner { Ok(()) } else { Err(Refusal::PeerAnswer) }
    }
}

/// The session id in `headers`, for [`Sessions::end`].
pub(super) fn id(headers: &HeaderMap) -> Option<String> {
    headers.get(SESSION)?.to_str().ok().map(str::to_owned)
}

fn key(target: &str, headers: &HeaderMap) -> Result<Option<Key>, Refusal> {
    let mut values = headers.get_all(SESSION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::CallMalformed),
        (Some(value), None) => {
            let session = value.to_str().map_err(|_not_text| Refusal::CallMalformed)?;
            if session.len() > ID_LENGTH_MAX {
                return Err(Refusal::CallMalformed);
            }
            Ok(Some(Key { target: target.to_owned(), session: session.to_owned() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &str, client: &str) -> Owner {
        let client = identity::workload_id(&format!("spiffe://corp.example/{client}")).expect("an id");
        Owner { subject: subject.parse().expect("a subject"), client }
    }

    fn session(id: &str) -> Key {
        Key { target: "tickets".to_owned(), session: id.to_owned() }
    }

    #[tokio::test]
    async fn a_session_of_another_user_or_caller_is_unknown() {
        let sessions = Sessions::new();
        let alice = owner("alice", "researcher");
        sessions.open(session("1"), alice.clone()).await.expect("opens");
        assert_eq!(sessions.belongs(&session("1"), &alice).await, Ok(()));
        for other in [owner("bob", "researcher"), owner("alice", "planner")] {
            assert_eq!(sessions.belongs(&session("1"), &other).await, Err(Refusal::CallSession));
        }
        assert_eq!(sessions.belongs(&session("2"), &alice).await, Err(Refusal::CallSession));
        let elsewhere = Key { target: "other".to_owned(), session: "1".to_owned() };
        assert_eq!(sessions.belongs(&elsewhere, &alice).await, Err(Refusal::CallSession));
    }

    #[tokio::test]
    async fn an_app_cannot_give_one_users_session_to_another() {
        let sessions = Sessions::new();
        sessions.open(session("1"), owner("alice", "researcher")).await.expect("opens");
        assert_eq!(sessions.open(session("1"), owner("bob", "researcher")).await, Err(Refusal::PeerAnswer));
        assert_eq!(sessions.open(session("1"), owner("alice", "researcher")).await, Ok(()));
    }

    #[tokio::test]
    async fn a_session_that_was_ended_is_unknown() {
        let sessions = Sessions::new();
        let alice = owner("alice", "researcher");
        sessions.open(session("1"), alice.clone()).await.expect("opens");
        sessions.end("tickets", Some("1".to_owned())).await;
        assert_eq!(sessions.belongs(&session("1"), &alice).await, Err(Refusal::CallSession));
    }

    #[test]
    fn two_session_ids_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(SESSION, "a".parse().expect("a value"));
        assert_eq!(key("tickets", &headers), Ok(Some(session("a"))));
        headers.append(SESSION, "b".parse().expect("a value"));
        assert_eq!(key("tickets", &headers), Err(Refusal::CallMalformed));
    }
}
