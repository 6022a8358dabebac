//! Back-channel logouts, as a provider posts them to the broker's public door.

use std::sync::atomic::{AtomicU64, Ordering};

use dev::apps::{Answer, Call};
use http::Method;
use runtime::clock;
use serde_json::{Value, json};

use crate::Desk;

/// Life of a logout token in seconds, as Keycloak gives it.
const LIFE: u64 = 120;
/// No two logout tokens of a test have one `jti`.
static MADE: AtomicU64 = AtomicU64::new(0);

impl Desk {
    /// A good logout token of the stack's provider for the client `console`, with `changes`: `null` removes a claim.
    pub async fn logout_token(&self, changes: &Value) -> String {
        self.signed(&json!({"typ": "logout+jwt"}), &logout_claims(self.stack.issuer(), changes)).await
    }

    /// The URL of the broker's receiver.
    #[must_use]
    pub fn logout_url(&self) -> String {
        format!("{}/backchannel-logout", self.stack.broker_public().expect("a public door"))
    }
}

/// What a logout token of `issuer` says, with `changes`: `null` removes a claim.
///
/// # Panics
/// Where `changes` is no object.
#[must_use]
pub fn logout_claims(issuer: &str, changes: &Value) -> Value {
    let now = clock::now().secs();
    let mut claims = json!({"iss": issuer, "aud": "console", "typ": "Logout", "iat": now, "exp": now + LIFE,
        "jti": format!("logout-{}", MADE.fetch_add(1, Ordering::Relaxed)),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
    let members = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        members.remove(name);
        if !value.is_null() {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

/// Posts `token` to the broker.
pub async fn logout(desk: &Desk, token: &str) -> Answer {
    let call = Call::new(Method::POST, &desk.logout_url()).form(&[("logout_token", token)]);
    call.send().await.expect("answered")
}
