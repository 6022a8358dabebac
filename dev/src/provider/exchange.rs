//! Standard token exchange, answer by answer as Keycloak 26.7.3 with the enforcer `exchange-narrow-only` gave them
//! (`keycloak.md` §4). What that Keycloak ignores (`resource`, `actor_token`) is ignored here too: only the broker can
//! enforce it.

use axum::http::StatusCode;
use identity::{KeySet, UnixTime};
use serde_json::{Map, Value};

use super::{
    Provider, answer::Refused, assertion::Authenticated, form::Form, realm::User, state::Contents, token::Exchanged,
};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// Parameters of Keycloak's older exchange, which the standard one refuses by name.
const UNSUPPORTED: [&str; 3] = ["requested_subject", "requested_issuer", "subject_issuer"];

impl Provider {
    /// Counts an exchange that was asked for.
    pub(super) fn count_exchange(&self) {
        let mut state = self.state.lock();
        state.exchanges = state.exchanges.saturating_add(1);
    }

    /// `grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693 §2).
    pub(super) fn exchange(&self, form: &Form, keys: &KeySet, now: UnixTime) -> Result<Value, Refused> {
        let client = self.authenticate(form, keys, now)?;
        check_parameters(form)?;
        let subject_token = form.filled("subject_token").unwrap_or_default();
        if !is_jwt(subject_token) {
            return Err(Refused::invalid_request("Assertion contains an invalid access token"));
        }
        let claims = self.open_access_token(subject_token, now).ok_or_else(invalid_token)?;
        let state = self.state.lock();
        let user = subject(&state, &claims, now)?;
        require_audience(&claims, &client.client)?;
        let audiences = audiences(&state, form, &client)?;
        let asked = scopes(form, &claims)?;
        // A scope whose role is gone is left out without a word: the caller must compare (`keycloak.md` §0.4).
        let granted: Vec<(&str, &str)> = asked
            .into_iter()
            .filter_map(|scope| Some((scope, state.realm.role_of(scope).filter(|role| user.holds(role))?)))
            .collect();
        let (scopes, roles): (Vec<_>, Vec<_>) = granted.into_iter().unzip();
        let exchanged = Exchanged {
            user,
            session: claims.get("sid").and_then(Value::as_str),
            authenticated: claims.get("auth_time"),
            client: &client.client,
            audiences: &audiences,
            scopes: &scopes,
            roles: &roles,
        };
        Ok(self.exchanged_token(&exchanged, now)?)
    }
}

fn check_parameters(form: &Form) -> Result<(), Refused> {
    if let Some(name) = UNSUPPORTED.iter().find(|name| form.one(name).is_some()) {
        return Err(Refused::invalid_request(format!(
            "Parameter '{name}' is not supported for standard token exchange"
        )));
    }
    let (Some(_), Some(subject_type)) = (form.filled("subject_token"), form.filled("subject_token_type")) else {
        return Err(Refused::invalid_request("Parameter 'subject_token' required for standard token exchange"));
    };
    if subject_type != ACCESS_TOKEN {
        return Err(Refused::invalid_request("Parameter 'subject_token' supports access tokens only"));
    }
    if form.one("requested_token_type").is_some_and(|asked| asked != ACCESS_TOKEN) {
        return Err(Refused::invalid_request("requested_token_type unsupported"));
    }
    Ok(())
}

/// The user of the subject token, if she is enabled, her session (where the token has one) lives and the client that
/// got the token is known.
fn subject<'s>(state: &'s Contents, claims: &Map<String, Value>, now: UnixTime) -> Result<&'s User, Refused> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    text("azp").and_then(|client| state.realm.client(client)).ok_or_else(invalid_token)?;
    let user = match text("sid") {
        Some(sid) => state.user_of_session(sid, now),
        None => state.realm.users.iter().find(|user| text("sub") == Some(&user.subject) && user.enabled),
    };
    user.filter(|user| text("sub") == Some(&user.subject)).ok_or_else(invalid_token)
}

/// The client must stand in the token's `aud`, or have got the token itself.
fn require_audience(claims: &Map<String, Value>, client: &str) -> Result<(), Refused> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(several)) => several.iter().any(|one| one == client),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => false,
    };
    if named || claims.get("azp").is_some_and(|own| own == client) {
        return Ok(());
    }
    let description = "Client is not within the token audience".to_owned();
    Err(Refused { status: StatusCode::FORBIDDEN, error: "access_denied", description })
}

/// The audiences asked for, each once; all that the client can have when it names none.
fn audiences(state: &Contents, form: &Form, client: &Authenticated) -> Result<Vec<String>, Refused> {
    let mut audiences = Vec::new();
    for audience in form.all("audience") {
        if state.realm.client(audience).is_none() {
            return Err(Refused::bad("invalid_client", "Audience not found"));
        }
        if !client.audiences.iter().any(|available| available == audience) {
            return Err(Refused::invalid_request(format!("Requested audience not available: {audience}")));
        }
        if !audiences.iter().any(|held| held == audience) {
            audiences.push(audience.to_owned());
        }
    }
    if audiences.is_empty() { Ok(client.audiences.clone()) } else { Ok(audiences) }
}

/// The scopes asked for: none when the parameter is absent, and never one beyond the token's.
fn scopes<'f>(form: &'f Form, claims: &Map<String, Value>) -> Result<Vec<&'f str>, Refused> {
    let Some(text) = form.one("scope") else { return Ok(Vec::new()) };
    let asked: Vec<_> = text.split(' ').filter(|scope| !scope.is_empty()).collect();
    let held = claims.get("scope").and_then(Value::as_str).unwrap_or_default();
    let held: Vec<_> = held.split(' ').filter(|scope| !scope.is_empty()).collect();
    let beyond: Vec<_> = asked.iter().copied().filter(|scope| !held.contains(scope)).collect();
    if !asked.is_empty() && beyond.is_empty() {
        return Ok(asked);
    }
    let held: Vec<_> = held.into_iter().filter(|scope| *scope != "openid").collect();
    let description =
        format!("Scopes [{}] not present in the initial access token [{}]", beyond.join(", "), held.join(", "));
    Err(Refused::bad("invalid_scope", description))
}

fn is_jwt(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| !part.is_empty())
}

/// The same words for everything that is wrong with the subject token: expired, forged, signed out, disabled.
fn invalid_token() -> Refused {
    Refused::invalid_request("Invalid token")
}
