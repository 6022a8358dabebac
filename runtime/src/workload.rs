//! The identity of this process, from the Workload API (SPIFFE Workload API §4): one stream, a watch channel, and our
//! own look at the end of life at every use. It never invents an identity, never keeps one that was withdrawn, and
//! keeps the last one through an outage until it expires.

mod follow;
mod jwt_keys;
mod material;
mod tokens;

use std::{fmt, future, sync::Arc, time::Duration};

use identity::{KeySet, UnixTime};
use tokio::sync::watch;

use self::jwt_keys::JwtKeys;
pub use self::{
    material::Identity,
    tokens::{JwtSvid, JwtSvids},
};
use crate::process::Process;

/// Longest wait for an answer of the Workload API that is not a stream: it sits on the same host.
pub const ANSWER_MAX: Duration = Duration::from_secs(3);

/// What this process may call itself. Clones follow the same stream.
#[derive(Clone)]
pub struct Workload {
    state: watch::Receiver<State>,
    jwt_keys: Arc<JwtKeys>,
}

/// What the Workload API said last.
#[derive(Clone, Debug)]
pub enum State {
    /// Nothing yet.
    Waiting,
    /// This identity; it may have expired since.
    Held(Arc<Identity>),
    /// It refuses us an identity (`PermissionDenied`), or no SVID has the wanted hint.
    Lost,
}

/// Why there is no identity to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityFault {
    /// The Workload API has not answered yet.
    #[error("the Workload API has not given an identity yet")]
    Waiting,
    /// The Workload API refuses to give one.
    #[error("the Workload API gives this process no identity")]
    Lost,
    /// The SVID ended and no new one came.
    #[error("the X509-SVID expired at {0}")]
    Expired(UnixTime),
    /// The Workload API gave no JWT-SVID or keys: down, slow, or it could not read what was sent.
    #[error("the Workload API did not answer: {0}")]
    Unavailable(String),
}

impl Workload {
    /// Follows the Workload API at `endpoint` (`unix:///…`), which need not be there yet. Never blocks: readiness flag
    /// `identity` tells, and every use is refused until there is an identity.
    #[must_use]
    pub fn connect(endpoint: &str, process: &Process) -> Self {
        Self::follow(endpoint, None, process)
    }

    /// As [`Workload::connect`], taking the SVID with this hint where the Workload API offers several.
    #[must_use]
    pub fn connect_with_hint(endpoint: &str, hint: &str, process: &Process) -> Self {
        Self::follow(endpoint, Some(hint.to_owned()), process)
    }

    /// The identity, if it is valid at `now`.
    ///
    /// # Errors
    /// [`IdentityFault::Waiting`], [`IdentityFault::Lost`] or [`IdentityFault::Expired`].
    pub fn identity(&self, now: UnixTime) -> Result<Arc<Identity>, IdentityFault> {
        match &*self.state.borrow() {
            State::Waiting => Err(IdentityFault::Waiting),
            State::Lost => Err(IdentityFault::Lost),
            State::Held(identity) if identity.not_after() <= now => Err(IdentityFault::Expired(identity.not_after())),
            State::Held(identity) => Ok(Arc::clone(identity)),
        }
    }

    /// Waits for an identity, without a limit: bound it, or race it with shutdown. May be dropped at any time.
    pub async fn wait(&self) -> Arc<Identity> {
        let mut state = self.state.clone();
        loop {
            if let State::Held(identity) = &*state.borrow_and_update() {
                return Arc::clone(identity);
            }
            if state.changed().await.is_err() {
                // The follower ended with its runtime: nothing will ever come.
                return future::pending().await;
            }
        }
    }

    /// The state and its changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// The keys that verify JWT-SVIDs of the own trust domain, fetched anew within [`ANSWER_MAX`].
    ///
    /// # Errors
    /// The [`IdentityFault`].
    pub async fn jwt_keys(&self) -> Result<KeySet, IdentityFault> {
        let identity = self.identity(crate::clock::now())?;
        self.jwt_keys.of(identity.trust_domain()).await
    }

    /// As [`Workload::jwt_keys`], but up to a second old, for doors where anybody's token makes us ask: the Workload API
    /// is asked once a second, whatever comes.
    ///
    /// # Errors
    /// The [`IdentityFault`].
    pub async fn recent_jwt_keys(&self) -> Result<KeySet, IdentityFault> {
        let identity = self.identity(crate::clock::now())?;
        self.jwt_keys.recent_of(identity.trust_domain()).await
    }

    fn follow(endpoint: &str, hint: Option<String>, process: &Process) -> Self {
        let (sender, state) = watch::channel(State::Waiting);
        let follower = follow::Follower::new(endpoint, hint, sender, &process.telemetry);
        process.shutdown.background("workload api", follower.run());
        Self { state, jwt_keys: Arc::new(JwtKeys::new(endpoint)) }
    }

    /// A workload that says what a channel says.
    #[cfg(test)]
    pub(crate) fn over(state: watch::Receiver<State>) -> Self {
        Self { state, jwt_keys: Arc::new(JwtKeys::new("unix:///nowhere")) }
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload").field("state", &*self.state.borrow()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
