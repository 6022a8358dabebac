//! Sign-in grants of login clients: authorization code with PKCE, and the password grant, which exists here only so
//! that a test can sign in without a browser.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::StatusCode;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::UnixTime;
use serde_json::Value;

use super::{
    Provider,
    answer::Refused,
    form::Form,
    random,
    realm::{ClientKind, Realm},
    token::{SignedIn, Way, scope_at_sign_in},
};

/// Longest life that a sign-in may ask for with `dev_life`.
const LIFE_MAX_SECONDS: u64 = 24 * 3600;

impl Provider {
    /// `grant_type=authorization_code` (RFC 6749 §4.1.3, RFC 7636 §4.6).
    pub(super) fn authorization_code(&self, form: &Form, now: UnixTime) -> Result<Value, Refused> {
        let mut state = self.state.lock();
        let (client, audience) = login_client(&state.realm, form)?;
        let code = form.filled("code").ok_or_else(|| Refused::invalid_request("Missing parameter: code"))?;
        let code = state.codes.take(code, now).ok_or_else(|| invalid_grant("Code not valid"))?;
        let (sign_in, session) = (&code.sign_in, &code.session);
        if sign_in.client != client {
            return Err(invalid_grant("Code not valid"));
        }
        if form.one("redirect_uri") != Some(sign_in.redirect.as_str()) {
            return Err(invalid_grant("Incorrect redirect_uri"));
        }
        let verifier = form.one("code_verifier").ok_or_else(|| invalid_grant("PKCE code verifier not specified"))?;
        if BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())) != sign_in.challenge {
            return Err(invalid_grant("PKCE verification failed: Code mismatch"));
        }
        let user = state.user_of_session(session, now).ok_or_else(|| invalid_grant("Session not active"))?;
        let scope = scope_at_sign_in(&state.realm, user, &sign_in.scope)?;
        let signed_in = SignedIn {
            user,
            session,
            client: &client,
            audience: &audience,
            scope: &scope,
            way: Way::Code(code.authenticated),
            life: code.life,
            nonce: sign_in.nonce.as_deref(),
        };
        Ok(self.user_tokens(&signed_in, now)?)
    }

    /// `grant_type=password` (RFC 6749 §4.3).
    pub(super) fn password(&self, form: &Form, now: UnixTime) -> Result<Value, Refused> {
        let mut state = self.state.lock();
        let (client, audience) = login_client(&state.realm, form)?;
        let name = form.one("username").ok_or_else(|| Refused::invalid_request("Missing parameter: username"))?;
        let password = form.one("password").unwrap_or_default();
        let user = state.realm.user(name).filter(|user| user.password == password).cloned();
        let user = user
            .ok_or_else(|| Refused { status: StatusCode::UNAUTHORIZED, ..invalid_grant("Invalid user credentials") })?;
        if !user.enabled {
            return Err(invalid_grant("Account disabled"));
        }
        let scope = scope_at_sign_in(&state.realm, &user, form.one("scope").unwrap_or_default())?;
        let life = life(form)?;
        let session = random::id()?;
        state.open_session(session.clone(), &user, &client, now);
        let signed_in = SignedIn {
            user: &user,
            session: &session,
            client: &client,
            audience: &audience,
            scope: &scope,
            way: Way::Password,
            life,
            nonce: None,
        };
        Ok(self.user_tokens(&signed_in, now)?)
    }
}

/// `dev_life`, in seconds: how long the access token of this sign-in lives.
pub(super) fn life(form: &Form) -> Result<Option<Duration>, Refused> {
    let Some(text) = form.filled("dev_life") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (1..=LIFE_MAX_SECONDS).contains(seconds));
    let seconds = seconds.ok_or_else(|| Refused::invalid_request("dev_life is a number of seconds, 1 to 86400"))?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// The login client that `client_id` names, with the audience of its tokens. It is public: its name is all it has.
pub(super) fn login_client(realm: &Realm, form: &Form) -> Result<(String, String), Refused> {
    let client = form.one("client_id").and_then(|id| realm.client(id)).ok_or_else(Refused::unknown_client)?;
    match &client.kind {
        ClientKind::Login { audience, .. } => Ok((client.id.clone(), audience.clone())),
        ClientKind::Exchange { .. } | ClientKind::Audience => Err(Refused::unknown_client()),
    }
}

fn invalid_grant(description: &str) -> Refused {
    Refused::bad("invalid_grant", description)
}
