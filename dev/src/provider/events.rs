//! The realm's event log, as far as a broker reads it: who signed out, and what an administrator changed
//! (`keycloak.md` §7.3). Only the service account of an exchange client may read it, as at Keycloak with the role
//! `view-events`.

use std::collections::VecDeque;

use axum::http::StatusCode;
use identity::UnixTime;
use serde_json::{Value, json};

use super::{Provider, answer::Refused, form::Form, random, realm::ClientKind, state::Contents};

/// Most of either kind; the oldest makes room.
const KEPT_MAX: usize = 4096;
/// What an answer holds where the request does not say (Keycloak 26.7.3).
const ANSWER_MAX: usize = 100;
/// Kinds of user events that are stored.
const STORED: [&str; 5] =
    ["CLIENT_LOGIN", "DELETE_ACCOUNT", "LOGOUT", "REVOKE_GRANT", "USER_DISABLED_BY_PERMANENT_LOCKOUT"];

/// Both logs, oldest first.
#[derive(Debug)]
pub(super) struct Events {
    users: VecDeque<Value>,
    admins: VecDeque<Value>,
    /// Whether the service account of the exchange client may read them.
    pub(super) readable: bool,
    /// Whether user events are stored.
    pub(super) stored: bool,
}

impl Events {
    pub(super) const fn none() -> Self {
        Self { users: VecDeque::new(), admins: VecDeque::new(), readable: true, stored: true }
    }

    /// Notes what a user or client did; `more` has `clientId`, `userId`, `sessionId` where they are known.
    pub(super) fn note(&mut self, kind: &str, more: &Value, now: UnixTime) {
        if self.stored {
            push(&mut self.users, event(&json!({"type": kind}), more, now));
        }
    }

    /// Notes what an administrator did.
    pub(super) fn note_change(&mut self, (operation, resource): (&str, &str), path: &str, now: UnixTime) {
        let kind = json!({"operationType": operation, "resourceType": resource});
        push(&mut self.admins, event(&kind, &json!({"resourcePath": path}), now));
    }
}

/// Which log is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Log {
    /// What users and clients did.
    Users,
    /// What administrators changed.
    Admins,
}

impl Provider {
    /// `GET …/events` and `…/admin-events`, with Keycloak's parameters.
    pub(super) fn events(&self, log: Log, query: &Form, bearer: Option<&str>, now: UnixTime) -> Result<Value, Refused> {
        let state = self.reader(bearer, now)?;
        let (events, kind, kinds) = match log {
            Log::Users => (&state.events.users, "type", "type"),
            Log::Admins => (&state.events.admins, "resourceType", "resourceTypes"),
        };
        let number = |name: &str| query.one(name).and_then(|text| text.parse::<u64>().ok());
        let asked: Vec<&str> = query.all(kinds).collect();
        let of = |event: &Value, name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = |event: &Value| event.get("time").and_then(Value::as_u64).unwrap_or_default();
        let mut found: Vec<&Value> = events
            .iter()
            .filter(|event| asked.is_empty() || asked.contains(&of(event, kind).as_str()))
            .filter(|event| query.one("client").is_none_or(|client| of(event, "clientId") == client))
            .filter(|event| number("dateFrom").is_none_or(|from| time(event) >= from))
            .collect();
        if query.one("direction") != Some("asc") {
            found.reverse();
        }
        let size =
            |name: &str, default: usize| number(name).and_then(|size| usize::try_from(size).ok()).unwrap_or(default);
        let page: Vec<_> = found.into_iter().skip(size("first", 0)).take(size("max", ANSWER_MAX)).collect();
        Ok(json!(page))
    }

    /// `GET …/events/config`.
    pub(super) fn events_config(&self, bearer: Option<&str>, now: UnixTime) -> Result<Value, Refused> {
        let state = self.reader(bearer, now)?;
        Ok(json!({"eventsEnabled": state.events.stored, "adminEventsEnabled": true, "enabledEventTypes": STORED}))
    }

    /// `grant_type=client_credentials` of an exchange client: its service account's own token.
    pub(super) fn service_token(&self, client: &str, now: UnixTime) -> Result<Value, Refused> {
        let (jti, answer) = self.service_account_token(client, now)?;
        let what = json!({"clientId": client, "details": {"token_id": jti}});
        self.state.lock().events.note("CLIENT_LOGIN", &what, now);
        Ok(answer)
    }

    fn reader(&self, bearer: Option<&str>, now: UnixTime) -> Result<std::sync::MutexGuard<'_, Contents>, Refused> {
        let says = |status: StatusCode| Refused { status, ..Refused::bad("HTTP error", status.to_string()) };
        let claims = bearer.and_then(|token| self.open_access_token(token, now));
        let claims = claims.ok_or_else(|| says(StatusCode::UNAUTHORIZED))?;
        let state = self.state.lock();
        let client = claims.get("azp").and_then(Value::as_str).and_then(|client| state.realm.client(client));
        let exchanges = client.is_some_and(|client| matches!(client.kind, ClientKind::Exchange { .. }));
        if state.events.readable && exchanges && !claims.contains_key("sid") {
            Ok(state)
        } else {
            Err(says(StatusCode::FORBIDDEN))
        }
    }
}

fn push(events: &mut VecDeque<Value>, event: Value) {
    if events.len() >= KEPT_MAX {
        events.pop_front();
    }
    events.push_back(event);
}

fn event(kind: &Value, more: &Value, now: UnixTime) -> Value {
    let mut event = json!({"id": random::id().unwrap_or_default(), "realmId": "realm-of-agents",
        "time": now.secs().saturating_mul(1000)});
    if let Some(members) = event.as_object_mut() {
        for part in [kind, more] {
            members.extend(part.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        }
    }
    event
}
