//! The end of a session, told to the login client that it belongs to as Keycloak tells it (`keycloak.md` §7.1, OpenID
//! Connect Back-Channel Logout 1.0 §2.5): one POST, whose answer is waited for. Whatever the answer is, the session has
//! ended, and nobody tries again.

use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use axum::http::Method;
use identity::UnixTime;
use serde_json::{Map, json};
use url::Url;

use super::{Provider, random};
use crate::apps::Call;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Life of a logout token (Keycloak 26.7.3).
const LIFE: Duration = Duration::from_secs(120);
/// Longest wait for the client: whoever signs out waits behind it.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A session that has ended, and whom to tell.
struct Ended {
    sid: String,
    subject: String,
    client: String,
    url: Option<Url>,
}

impl Provider {
    /// Ends the session `sid` and tells its client; `false` where there was none. Dropped half-way, the session has ended
    /// and the client may not know.
    pub(super) async fn end_session(&self, sid: &str, now: UnixTime) -> bool {
        let Some(ended) = self.take_session(sid, now) else { return false };
        let Some(url) = &ended.url else { return true };
        let token = match self.logout_token(&ended, now) {
            Ok(token) => token,
            Err(_unspecified) => {
                tracing::error!("no logout token could be signed");
                return true;
            }
        };
        let call = Call::new(Method::POST, url.as_str()).form(&[("logout_token", &token)]);
        let client = &ended.client;
        match tokio::time::timeout(ANSWER_MAX, call.send()).await {
            Ok(Ok(answer)) if answer.status.is_success() => tracing::info!(client, "told that a session ended"),
            Ok(Ok(answer)) => tracing::warn!(client, status = answer.status.as_u16(), "did not take a session's end"),
            Ok(Err(fault)) => tracing::warn!(client, %fault, "cannot be told that a session ended"),
            Err(_elapsed) => tracing::warn!(client, "did not answer in time when told that a session ended"),
        }
        true
    }

    fn take_session(&self, sid: &str, now: UnixTime) -> Option<Ended> {
        let mut state = self.state.lock();
        let session = state.sessions.take(sid, now)?;
        let subject = state.realm.user(&session.user)?.subject.clone();
        let url = state.realm.backchannel_logout(&session.client).cloned();
        let what = json!({"clientId": session.client, "userId": subject, "sessionId": sid});
        state.events.note("LOGOUT", &what, now);
        Some(Ended { sid: sid.to_owned(), subject, client: session.client, url })
    }

    fn logout_token(&self, ended: &Ended, now: UnixTime) -> Result<String, Unspecified> {
        let header = Map::from_iter([("typ".to_owned(), json!("logout+jwt"))]);
        let claims = json!({
            "iss": self.issuer, "aud": ended.client, "sub": ended.subject, "sid": ended.sid, "typ": "Logout",
            "iat": now.secs(), "exp": now.plus(LIFE).secs(), "jti": random::id()?, "events": { EVENT: {} },
        });
        self.key.sign_anything(header, &claims)
    }
}
