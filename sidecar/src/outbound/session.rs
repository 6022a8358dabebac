//! The MCP sessions that the app opened elsewhere, and by which authority: by trace, a session counts for the transaction
//! that opened it and for no other (`platform.md` §3.4).

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use crate::{
    perimeter::Kind,
    sessions::{SessionKey, Sessions},
    transactions::{Authority, Session},
};
use identity::Refusal;

/// What a call has to do with sessions.
pub(super) struct Use<'a> {
    sessions: &'a Sessions<Arc<Authority>>,
    target: &'a str,
    kind: Kind,
    named: Option<SessionKey>,
}

impl<'a> Use<'a> {
    /// That of a call of `kind` at `target`, and the session that it names.
    ///
    /// # Errors
    /// [`Refusal::CallMalformed`] where it names two.
    pub(super) async fn of(
        sessions: &'a Sessions<Arc<Authority>>,
        target: &'a str,
        kind: Kind,
        headers: &HeaderMap,
    ) -> Result<(Self, Session), Refusal> {
        let named = if kind.is_mcp() { SessionKey::of(target, headers)? } else { None };
        let session = match &named {
            None => Session::None,
            Some(key) => sessions.owner(key).await.map_or(Session::Unknown, Session::Of),
        };
        Ok((Self { sessions, target, kind, named }, session))
    }

    /// Notes what the answer did: `initialize` may have opened a session, DELETE ended one.
    ///
    /// # Errors
    /// [`Refusal::PeerAnswer`] where the target gives one user the session of another.
    pub(super) async fn note(
        self,
        status: StatusCode,
        answer: &HeaderMap,
        own: &Arc<Authority>,
    ) -> Result<(), Refusal> {
        match (self.kind, self.named) {
            (Kind::Initialize, _) => {
                let opened = SessionKey::of(self.target, answer).map_err(|_two| Refusal::PeerAnswer)?;
                if let Some(key) = opened {
                    open(self.sessions, key, own).await?;
                }
            }
            (Kind::EndSession, Some(key)) if status.is_success() => self.sessions.end(&key).await,
            (Kind::Http | Kind::Message | Kind::Initialized | Kind::ListTools | Kind::Listen | Kind::EndSession, _) => {
            }
        }
        Ok(())
    }
}

/// A session that the same user had opened before is now that of the later transaction.
async fn open(sessions: &Sessions<Arc<Authority>>, key: SessionKey, own: &Arc<Authority>) -> Result<(), Refusal> {
    let opener = sessions.open(key.clone(), Arc::clone(own)).await;
    if !opener.is_for_user_of(own) {
        return Err(Refusal::PeerAnswer);
    }
    if opener != *own {
        sessions.give(key, Arc::clone(own)).await;
    }
    Ok(())
}
