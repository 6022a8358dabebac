//! The browser's part: authorization request, login form, sign-out (OpenID Connect Core §3.1.2, RP-Initiated Logout §2).
//! A browser is sent back to loopback addresses only.

use std::time::Duration;

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use identity::UnixTime;
use serde_json::Value;
use url::{Host, Url};

use super::{
    Provider,
    answer::{Refused, page},
    form::Form,
    grants::{life, login_client},
    random,
    state::{Code, SignIn},
    token::scope_at_sign_in,
};

/// How long a form that was shown can be sent.
const FORM_LIFE: Duration = Duration::from_secs(600);
/// How long a code can be redeemed (Keycloak's `accessCodeLifespan`).
const CODE_LIFE: Duration = Duration::from_secs(60);

impl Provider {
    /// `GET …/auth`: shows the login form, or sends the browser back with an error.
    pub(super) fn authorization_request(&self, query: &Form, now: UnixTime) -> Result<Response, Refused> {
        let mut state = self.state.lock();
        let Ok((client, _audience)) = login_client(&state.realm, query) else {
            return Ok(error_page("Client not found."));
        };
        let Some(redirect) = query.one("redirect_uri").and_then(loopback) else {
            return Ok(error_page("Invalid parameter: redirect_uri"));
        };
        let back = |error: &str, description: &str| {
            send_back(&redirect, query.one("state"), &[("error", error), ("error_description", description)])
        };
        if query.one("response_type") != Some("code") {
            return Ok(back("unsupported_response_type", "only response_type=code is supported"));
        }
        let Some(challenge) = query.filled("code_challenge") else {
            return Ok(back("invalid_request", "Missing parameter: code_challenge"));
        };
        if query.one("code_challenge_method") != Some("S256") {
            return Ok(back(
                "invalid_request",
                "Invalid parameter: code challenge method is not matching the configured one",
            ));
        }
        let scope = query.one("scope").unwrap_or_default();
        let known = |scope: &str| scope.is_empty() || scope == "openid" || state.realm.role_of(scope).is_some();
        if !scope.split(' ').all(known) {
            return Ok(back("invalid_scope", &format!("Invalid scopes: {scope}")));
        }
        let sign_in = SignIn {
            client,
            redirect,
            scope: scope.to_owned(),
            challenge: challenge.to_owned(),
            nonce: query.filled("nonce").map(str::to_owned),
            state: query.filled("state").map(str::to_owned),
        };
        let name = random::text()?;
        state.sign_ins.put(name.clone(), now.plus(FORM_LIFE), sign_in);
        Ok(self.form(StatusCode::OK, &name, ""))
    }

    /// `POST …/login-actions/authenticate?session_code=…`: the form comes back.
    pub(super) fn sign_in(&self, query: &Form, form: &Form, now: UnixTime) -> Result<Response, Refused> {
        let name = query.one("session_code").unwrap_or_default();
        let life = life(form)?;
        let mut state = self.state.lock();
        let Some(sign_in) = state.sign_ins.held(name, now).cloned() else {
            return Ok(error_page("This sign-in is over. Go back and start again."));
        };
        let (username, password) = (form.one("username").unwrap_or_default(), form.one("password").unwrap_or_default());
        let user = state.realm.user(username).filter(|user| user.password == password).cloned();
        let Some(user) = user else {
            return Ok(self.form(StatusCode::OK, name, "Invalid username or password."));
        };
        if !user.enabled {
            return Ok(self.form(StatusCode::OK, name, "Account is disabled, contact your administrator."));
        }
        scope_at_sign_in(&state.realm, &user, &sign_in.scope)?;
        let (session, code) = (random::id()?, random::text()?);
        state.sign_ins.take(name, now);
        state.open_session(session.clone(), &user, &sign_in.client, now);
        let answer = send_back(
            &sign_in.redirect,
            sign_in.state.as_deref(),
            &[("session_state", &session), ("iss", &self.issuer), ("code", &code)],
        );
        state.codes.put(code, now.plus(CODE_LIFE), Code { sign_in, session, authenticated: now, life });
        Ok(answer)
    }

    /// `…/logout`: ends the session that `id_token_hint` names; the hint may be expired. Dropped half-way: see
    /// [`Provider::end_session`].
    pub(super) async fn sign_out(&self, form: &Form, now: UnixTime) -> Response {
        let claims = form.filled("id_token_hint").and_then(|hint| self.key.open(hint));
        let session = claims.as_ref().and_then(|claims| claims.get("sid")).and_then(Value::as_str);
        let Some(session) = session else {
            return error_page("Missing or invalid parameter: id_token_hint");
        };
        // A session that has ended already is what the browser wants.
        let _was_open = self.end_session(session, now).await;
        match form.one("post_logout_redirect_uri").and_then(loopback) {
            Some(redirect) => send_back(&redirect, form.one("state"), &[]),
            None => page(StatusCode::OK, "<p>You are signed out.</p>"),
        }
    }

    fn form(&self, status: StatusCode, name: &str, alert: &str) -> Response {
        let alert = if alert.is_empty() { String::new() } else { format!(r#"<p role="alert">{alert}</p>"#) };
        let realm = &self.issuer;
        page(
            status,
            &format!(
                r#"<p>Not for production: the password is the user's name.</p>{alert}
<form id="kc-form-login" action="{realm}/login-actions/authenticate?session_code={name}" method="post">
<label>Username<input name="username" autocomplete="username" autofocus required></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button type="submit">Sign in</button>
</form>"#
            ),
        )
    }
}

/// A URL of this host, where a program of the developer listens (RFC 8252 §7.3).
pub(super) fn loopback(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.fragment().is_none())?;
    let own = match url.host()? {
        Host::Domain(name) => name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    own.then_some(url)
}

fn send_back(redirect: &Url, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    let mut target = redirect.clone();
    if state.is_some() || !parameters.is_empty() {
        let state = state.map(|state| ("state", state));
        target.query_pairs_mut().extend_pairs(state.iter().chain(parameters));
    }
    let headers = [(header::LOCATION, target.to_string()), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::FOUND, headers).into_response()
}

fn error_page(text: &str) -> Response {
    page(StatusCode::BAD_REQUEST, &format!(r#"<p role="alert">{text}</p>"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_sent_to_loopback_only() {
        for good in ["http://127.0.0.1:9/cb", "http://localhost:9/", "http://[::1]:9/cb?x=1"] {
            assert!(loopback(good).is_some(), "{good}");
        }
        for bad in [
            "https://127.0.0.1/",
            "http://127.0.0.1.example/",
            "http://localhost@evil/",
            "/cb",
            "http://10.0.0.1/",
            "http://127.0.0.1/#f",
        ] {
            assert!(loopback(bad).is_none(), "{bad}");
        }
    }
}
