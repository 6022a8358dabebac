//! MCP sessions and whose they are. Both sides of the pod remember them: the mesh door those of the app behind it, the
//! agent door those that the app opened elsewhere. What an owner is, and what it may, each door says itself.

use std::time::Duration;

use http::{HeaderMap, HeaderName};
use moka::{future::Cache, policy::EvictionPolicy};

use identity::Refusal;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// Most sessions that are remembered; the least used is forgotten, and its client initialises anew.
const SESSIONS_MAX: u64 = 10_000;
/// A session that rests for longer is forgotten.
const REST_MAX: Duration = Duration::from_secs(3600);
/// Longest session id in bytes: servers send UUIDs or short tokens.
const ID_LENGTH_MAX: usize = 256;

/// Which session is whose.
pub(crate) struct Sessions<Owner>(Cache<SessionKey, Owner>);

/// A session of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    target: String,
    session: String,
}

impl SessionKey {
    /// The session of `target` that `headers` name, if they name one.
    ///
    /// # Errors
    /// [`Refusal::CallMalformed`] for two, or for what no server would send.
    pub(crate) fn of(target: &str, headers: &HeaderMap) -> Result<Option<Self>, Refusal> {
        let mut values = headers.get_all(SESSION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(_), Some(_)) => Err(Refusal::CallMalformed),
            (Some(value), None) => {
                let session = value.to_str().map_err(|_not_text| Refusal::CallMalformed)?;
                if session.len() > ID_LENGTH_MAX {
                    return Err(Refusal::CallMalformed);
                }
                Ok(Some(Self { target: target.to_owned(), session: session.to_owned() }))
            }
        }
    }
}

impl<Owner: Clone + Send + Sync + 'static> Sessions<Owner> {
    /// No session yet.
    pub(crate) fn new() -> Self {
        let sessions = Cache::builder().max_capacity(SESSIONS_MAX).time_to_idle(REST_MAX);
        Self(sessions.eviction_policy(EvictionPolicy::lru()).build())
    }

    /// Whose session it is; `None`: unknown.
    pub(crate) async fn owner(&self, key: &SessionKey) -> Option<Owner> {
        self.0.get(key).await
    }

    /// Enters a session that was opened for `owner`; returns whose it is, which is another one where it was known.
    pub(crate) async fn open(&self, key: SessionKey, owner: Owner) -> Owner {
        self.0.get_with(key, std::future::ready(owner)).await
    }

    /// Gives a session to `owner`, whosever it was.
    pub(crate) async fn give(&self, key: SessionKey, owner: Owner) {
        self.0.insert(key, owner).await;
    }

    /// Forgets a session.
    pub(crate) async fn end(&self, key: &SessionKey) {
        self.0.invalidate(key).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_session_ids_are_refused_and_one_without_end_is() {
        let mut headers = HeaderMap::new();
        assert_eq!(SessionKey::of("tickets", &headers), Ok(None));
        headers.append(SESSION, "a".parse().expect("a value"));
        let key = SessionKey { target: "tickets".to_owned(), session: "a".to_owned() };
        assert_eq!(SessionKey::of("tickets", &headers), Ok(Some(key)));
        headers.append(SESSION, "b".parse().expect("a value"));
        assert_eq!(SessionKey::of("tickets", &headers), Err(Refusal::CallMalformed));
        headers.insert(SESSION, "x".repeat(ID_LENGTH_MAX + 1).parse().expect("a value"));
        assert_eq!(SessionKey::of("tickets", &headers), Err(Refusal::CallMalformed));
    }
}
