//! MCP sessions belong to whom they were opened for: (subject, caller). Anybody else, and everybody after a restart, is
//! told 404, upon which a client initialises anew (MCP 2025-11-25, transports).

use http::HeaderMap;

use crate::{
    perimeter::Kind,
    sessions::{SessionKey, Sessions},
};
use identity::{AccessToken, Refusal, SpiffeId, Subject};

/// For whom a session was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    subject: Subject,
    client: SpiffeId,
}

impl Owner {
    fn of(access: &AccessToken) -> Self {
        Self { subject: access.subject().clone(), client: access.client().clone() }
    }
}

/// Checks the session that a request names, if it is an MCP request and names one.
///
/// # Errors
/// [`Refusal::CallSession`] for an unknown session or another's; [`Refusal::CallMalformed`] for two.
pub(super) async fn check(
    sessions: &Sessions<Owner>,
    target: &str,
    headers: &HeaderMap,
    kind: Kind,
    access: &AccessToken,
) -> Result<(), Refusal> {
    if !kind.is_mcp() {
        return Ok(());
    }
    match SessionKey::of(target, headers)? {
        None => Ok(()),
        Some(key) => belongs(sessions, &key, &Owner::of(access)).await,
    }
}

/// Notes that the answer to `initialize` may have opened a session.
///
/// # Errors
/// [`Refusal::PeerAnswer`] where the app gives one caller the session of another.
pub(super) async fn note(
    sessions: &Sessions<Owner>,
    target: &str,
    answer: &HeaderMap,
    access: &AccessToken,
) -> Result<(), Refusal> {
    match SessionKey::of(target, answer).map_err(|_two| Refusal::PeerAnswer)? {
        None => Ok(()),
        Some(key) => open(sessions, key, Owner::of(access)).await,
    }
}

async fn belongs(sessions: &Sessions<Owner>, key: &SessionKey, owner: &Owner) -> Result<(), Refusal> {
    match sessions.owner(key).await {
        Some(known) if known == *owner => Ok(()),
        Some(_another) => Err(Refusal::CallSession),
        None => Err(Refusal::CallSession),
    }
}

async fn open(sessions: &Sessions<Owner>, key: SessionKey, owner: Owner) -> Result<(), Refusal> {
    if sessions.open(key, owner.clone()).await == owner { Ok(()) } else { Err(Refusal::PeerAnswer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(subject: &str, client: &str) -> Owner {
        let client = identity::workload_id(&format!("spiffe://corp.example/{client}")).expect("an id");
        Owner { subject: subject.parse().expect("a subject"), client }
    }

    fn session(target: &str, id: &str) -> SessionKey {
        let mut headers = HeaderMap::new();
        headers.insert("mcp-session-id", id.parse().expect("a value"));
        SessionKey::of(target, &headers).expect("one").expect("a session")
    }

    #[tokio::test]
    async fn a_session_of_another_user_or_caller_is_unknown() {
        let sessions = Sessions::new();
        let alice = owner("alice", "researcher");
        open(&sessions, session("tickets", "1"), alice.clone()).await.expect("opens");
        assert_eq!(belongs(&sessions, &session("tickets", "1"), &alice).await, Ok(()));
        for other in [owner("bob", "researcher"), owner("alice", "planner")] {
            assert_eq!(belongs(&sessions, &session("tickets", "1"), &other).await, Err(Refusal::CallSession));
        }
        for unknown in [session("tickets", "2"), session("other", "1")] {
            assert_eq!(belongs(&sessions, &unknown, &alice).await, Err(Refusal::CallSession));
        }
    }

    #[tokio::test]
    async fn an_app_cannot_give_one_users_session_to_another() {
        let sessions = Sessions::new();
        let one = || session("tickets", "1");
        open(&sessions, one(), owner("alice", "researcher")).await.expect("opens");
        assert_eq!(open(&sessions, one(), owner("bob", "researcher")).await, Err(Refusal::PeerAnswer));
        assert_eq!(open(&sessions, one(), owner("alice", "researcher")).await, Ok(()));
    }

    #[tokio::test]
    async fn a_session_that_was_ended_is_unknown() {
        let sessions = Sessions::new();
        let alice = owner("alice", "researcher");
        open(&sessions, session("tickets", "1"), alice.clone()).await.expect("opens");
        sessions.end(&session("tickets", "1")).await;
        assert_eq!(belongs(&sessions, &session("tickets", "1"), &alice).await, Err(Refusal::CallSession));
    }
}
