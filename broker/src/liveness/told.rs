//! What a page of Keycloak's event logs means for who is signed in (`keycloak.md` §7.3). An answer that holds anything
//! else than what was asked for is believed in nothing. Who an event is about is for the decision alone, never for a log.

use serde::Deserialize;

use super::log::LogFault;

/// Kinds of user events that are asked for. Keycloak answers 500 to a kind that it does not know, so these are old ones.
pub(super) const USER_EVENTS: [&str; 4] =
    ["LOGOUT", "REVOKE_GRANT", "DELETE_ACCOUNT", "USER_DISABLED_BY_PERMANENT_LOCKOUT"];
/// Kinds of things whose changes are asked for.
pub(super) const CHANGED: [&str; 7] =
    ["USER", "USER_SESSION", "REALM", "REALM_ROLE", "REALM_ROLE_MAPPING", "GROUP", "GROUP_MEMBERSHIP"];

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: String,
    /// Milliseconds since 1970 by Keycloak's clock: when it began, not when it could first be read.
    pub(super) at_ms: u64,
    /// The realm's own id.
    pub(super) realm: String,
    pub(super) means: Meaning,
}

/// What follows from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Nothing,
    /// This session is over, for good.
    SessionEnded(String),
    /// Whether this session lives must be asked.
    Session(String),
    /// Whether this user may still be acted for, and with which groups and roles, must be asked.
    User(String),
    /// So must it be of everybody.
    Everybody,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserEvent {
    id: String,
    time: u64,
    realm_id: String,
    r#type: String,
    user_id: Option<String>,
    session_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    id: String,
    time: u64,
    realm_id: String,
    operation_type: String,
    resource_type: String,
    resource_path: Option<String>,
}

/// A page of user events.
pub(super) fn user_events(body: &[u8]) -> Result<Vec<Event>, LogFault> {
    let events: Vec<UserEvent> = serde_json::from_slice(body).map_err(LogFault::Malformed)?;
    let read = |event: UserEvent| {
        if !USER_EVENTS.contains(&event.r#type.as_str()) {
            return Err(LogFault::NotAsked);
        }
        let user = event.user_id.map_or(Meaning::Everybody, Meaning::User);
        let means = match (event.r#type.as_str(), event.session_id) {
            ("LOGOUT", Some(session)) => Meaning::SessionEnded(session),
            ("REVOKE_GRANT", Some(session)) => Meaning::Session(session),
            (_kind, _session) => user,
        };
        Ok(Event { id: event.id, at_ms: event.time, realm: event.realm_id, means })
    };
    events.into_iter().map(read).collect()
}

/// A page of what administrators changed.
pub(super) fn changes(body: &[u8]) -> Result<Vec<Event>, LogFault> {
    let changes: Vec<Change> = serde_json::from_slice(body).map_err(LogFault::Malformed)?;
    let read = |change: Change| {
        if !CHANGED.contains(&change.resource_type.as_str()) {
            return Err(LogFault::NotAsked);
        }
        let means = meaning(&change.operation_type, &change.resource_type, change.resource_path.as_deref());
        Ok(Event { id: change.id, at_ms: change.time, realm: change.realm_id, means })
    };
    changes.into_iter().map(read).collect()
}

/// Keycloak says which user was changed and not what, so she is asked about. What is not understood concerns everybody.
fn meaning(operation: &str, resource: &str, path: Option<&str>) -> Meaning {
    let parts: Vec<&str> = path.unwrap_or_default().split('/').collect();
    match (resource, operation, parts.as_slice()) {
        ("USER_SESSION", "DELETE", ["sessions", session]) => Meaning::SessionEnded((*session).to_owned()),
        // Nobody has begun anything for what is new.
        ("USER", "CREATE", ["users", _] | [""]) | ("REALM_ROLE", "CREATE", ["roles", _]) => Meaning::Nothing,
        ("GROUP", "CREATE", ["groups", _]) => Meaning::Nothing,
        ("USER" | "REALM_ROLE_MAPPING" | "GROUP_MEMBERSHIP", _any, ["users", user, ..]) if !user.is_empty() => {
            Meaning::User((*user).to_owned())
        }
        (_resource, _operation, _path) => Meaning::Everybody,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn user_event(kind: &str, more: &Value) -> Meaning {
        let mut event = json!({"id": "e", "time": 7, "realmId": "r", "type": kind, "ipAddress": "127.0.0.1"});
        for (name, value) in more.as_object().expect("members") {
            event[name] = value.clone();
        }
        let mut read = user_events(json!([event]).to_string().as_bytes()).expect("read");
        let event = read.pop().expect("one");
        assert_eq!((event.id.as_str(), event.at_ms, event.realm.as_str()), ("e", 7, "r"));
        event.means
    }

    fn change(operation: &str, resource: &str, path: &str) -> Meaning {
        let change = json!([{"id": "e", "time": 7, "realmId": "r", "operationType": operation,
            "resourceType": resource, "resourcePath": path}]);
        changes(change.to_string().as_bytes()).expect("read").pop().expect("one").means
    }

    #[test]
    fn a_sign_out_ends_its_session_and_a_revoked_grant_is_asked_about() {
        let both = json!({"userId": "u", "sessionId": "s"});
        assert_eq!(user_event("LOGOUT", &both), Meaning::SessionEnded("s".to_owned()));
        assert_eq!(user_event("REVOKE_GRANT", &both), Meaning::Session("s".to_owned()));
        assert_eq!(user_event("DELETE_ACCOUNT", &both), Meaning::User("u".to_owned()));
        assert_eq!(user_event("LOGOUT", &json!({"userId": "u"})), Meaning::User("u".to_owned()));
        assert_eq!(user_event("LOGOUT", &json!({})), Meaning::Everybody, "of somebody unknown");
    }

    #[test]
    fn what_an_administrator_did_is_asked_about_where_it_does_not_say_enough() {
        let user = Meaning::User("u".to_owned());
        for (operation, resource, path, means) in [
            ("DELETE", "USER_SESSION", "sessions/s", Meaning::SessionEnded("s".to_owned())),
            ("UPDATE", "USER", "users/u", user.clone()),
            ("DELETE", "USER", "users/u", user.clone()),
            ("ACTION", "USER", "users/u/logout", user.clone()),
            ("CREATE", "USER", "users/u", Meaning::Nothing),
            ("CREATE", "GROUP_MEMBERSHIP", "users/u/groups/g", user.clone()),
            ("DELETE", "REALM_ROLE_MAPPING", "users/u/role-mappings/realm", user),
            ("CREATE", "REALM_ROLE_MAPPING", "groups/g/role-mappings/realm", Meaning::Everybody),
            ("ACTION", "REALM", "logout-all", Meaning::Everybody),
            ("UPDATE", "REALM", "", Meaning::Everybody),
            ("DELETE", "REALM_ROLE", "roles/tickets-writer", Meaning::Everybody),
            ("CREATE", "REALM_ROLE", "roles/new", Meaning::Nothing),
            ("CREATE", "REALM_ROLE", "roles/old/composites", Meaning::Everybody),
            ("DELETE", "GROUP", "groups/g", Meaning::Everybody),
            ("UPDATE", "USER", "users/", Meaning::Everybody),
            ("SOMETHING", "USER", "elsewhere", Meaning::Everybody),
        ] {
            assert_eq!(change(operation, resource, path), means, "{operation} {resource} {path}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_believed_in_nothing() {
        for body in ["", "{}", "<html>", "null", r#"[{"id":"e"}]"#, r#"{"error":"unknown_error"}"#] {
            assert!(matches!(user_events(body.as_bytes()), Err(LogFault::Malformed(_))), "{body}");
            assert!(matches!(changes(body.as_bytes()), Err(LogFault::Malformed(_))), "{body}");
        }
        let login = r#"[{"id":"e","time":1,"realmId":"r","type":"LOGIN"}]"#;
        assert!(matches!(user_events(login.as_bytes()), Err(LogFault::NotAsked)));
        let client = r#"[{"id":"e","time":1,"realmId":"r","operationType":"UPDATE","resourceType":"CLIENT"}]"#;
        assert!(matches!(changes(client.as_bytes()), Err(LogFault::NotAsked)));
    }
}
