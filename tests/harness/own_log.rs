//! Event logs of a provider of a test's own, kept in Keycloak's words (`keycloak.md` §7.3), which lie as the test wants.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use runtime::clock;
use serde_json::{Value, json};

use crate::{Forger, Received};

const SIGN_IN: &str = "/protocol/openid-connect/token";
const REALM: &str = "realm-of-the-test";
/// Life of the reader's token in seconds: a short one, so that each reading of what the log is comes soon.
const LIFE: u64 = 4;

/// How a reader of the logs is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLie {
    /// Truly.
    #[default]
    None,
    /// It may not read them.
    Forbidden,
    /// They are kept no longer: empty, and only their settings tell.
    Off,
    /// With this status and text in the place of the events.
    Text(u16, &'static str),
    /// With the events of another realm.
    OtherRealm,
    /// With as many events as were asked for, however often.
    Endless,
}

/// The logs. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct OwnLog(Arc<Kept>);

#[derive(Debug, Default)]
struct Kept {
    lie: Mutex<LogLie>,
    users: Mutex<Vec<Value>>,
    changes: Mutex<Vec<Value>>,
    logins: Mutex<Vec<Value>>,
    made: AtomicU64,
    looks: AtomicU64,
}

impl OwnLog {
    /// From now on.
    pub fn tells(&self, lie: LogLie) {
        *self.0.lie.lock().expect("not poisoned") = lie;
    }

    /// Notes a user event: `type` and, where known, `userId` and `sessionId`.
    pub fn note(&self, event: &Value) {
        self.0.users.lock().expect("not poisoned").push(self.event(event));
    }

    /// Notes what an administrator did: `operationType`, `resourceType`, `resourcePath`.
    pub fn note_change(&self, change: &Value) {
        self.0.changes.lock().expect("not poisoned").push(self.event(change));
    }

    /// How often the user events were read, whatever was answered.
    #[must_use]
    pub fn looks(&self) -> u64 {
        self.0.looks.load(Ordering::SeqCst)
    }

    /// Whether a request is for the logs, or for the token of their reader.
    pub(crate) fn is_asked(asked: &Received) -> bool {
        asked.line.contains("/admin/realms/") || asked.line.ends_with(SIGN_IN)
    }

    /// Status and body, where the logs are asked for.
    pub(crate) fn answer(&self, signer: &Forger, asked: &Received) -> Option<(u16, String)> {
        if !Self::is_asked(asked) {
            return None;
        }
        let lie = *self.0.lie.lock().expect("not poisoned");
        if asked.line.ends_with(SIGN_IN) {
            return Some((200, self.sign_in(signer).to_string()));
        }
        if lie == LogLie::Forbidden {
            return Some((403, json!({"error": "HTTP 403 Forbidden"}).to_string()));
        }
        let stands = |list: &Mutex<Vec<Value>>| Value::Array(list.lock().expect("not poisoned").clone());
        let told = if asked.line.contains("/events/config") {
            json!({"eventsEnabled": lie != LogLie::Off, "adminEventsEnabled": true, "enabledEventTypes": []})
        } else if asked.line.contains("type=CLIENT_LOGIN") {
            stands(&self.0.logins)
        } else {
            let of_users = asked.line.contains("/events?");
            self.0.looks.fetch_add(u64::from(of_users), Ordering::SeqCst);
            match lie {
                LogLie::Text(status, text) => return Some((status, text.to_owned())),
                LogLie::OtherRealm => {
                    let mut event = self.event(&json!({"type": "LOGOUT", "userId": "alice"}));
                    event["realmId"] = json!("another");
                    if of_users { json!([event]) } else { json!([]) }
                }
                LogLie::Endless if of_users => {
                    let one = json!({"type": "LOGOUT", "userId": "nobody", "sessionId": "nobody's"});
                    (0..1000).map(|_| self.event(&one)).collect()
                }
                LogLie::None | LogLie::Forbidden | LogLie::Off | LogLie::Endless => {
                    stands(if of_users { &self.0.users } else { &self.0.changes })
                }
            }
        };
        Some((200, told.to_string()))
    }

    fn sign_in(&self, signer: &Forger) -> Value {
        let jti = format!("login-{}", self.0.made.fetch_add(1, Ordering::SeqCst));
        let mut login = self.event(&json!({"type": "CLIENT_LOGIN", "clientId": "txn-broker"}));
        login["details"] = json!({"token_id": jti});
        *self.0.logins.lock().expect("not poisoned") = vec![login];
        json!({"access_token": signer.token("JWT", &json!({"jti": jti})), "token_type": "Bearer", "expires_in": LIFE})
    }

    fn event(&self, more: &Value) -> Value {
        let id = format!("event-{}", self.0.made.fetch_add(1, Ordering::SeqCst));
        let mut event = json!({"id": id, "time": clock::now().secs() * 1000, "realmId": REALM});
        for (name, value) in more.as_object().expect("an object") {
            event[name] = value.clone();
        }
        event
    }
}
