//! An OpenID provider of a test's own, which lies as the test wants: the development provider answers as Keycloak does
//! and cannot give more than it was asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use runtime::clock;
use serde_json::{Value, json};

use crate::{Forger, Received, Sink, logout_claims};

const REALM: &str = "/realms/agents";
/// Life of every token in seconds.
const LIFE: u64 = 300;

/// How an exchange is answered.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    /// Truly.
    None,
    /// With a keeper whose claims were changed so.
    Keeper(fn(&mut Value)),
    /// With an answer around the keeper that was changed so.
    Around(fn(&mut Value)),
    /// With this status and text.
    Text(u16, &'static str),
    /// With so many bytes.
    Long(usize),
    /// Not at all.
    Silence,
}

/// The provider. Ends when it is dropped.
#[derive(Debug)]
pub struct OwnProvider {
    sink: Sink,
    signer: Arc<Forger>,
    lie: Arc<Mutex<Lie>>,
}

impl OwnProvider {
    /// Opens one that tells the truth.
    pub async fn open() -> Self {
        let (signer, lie) = (Arc::new(Forger::default()), Arc::new(Mutex::new(Lie::None)));
        let (signs, told, silent) = (Arc::clone(&signer), Arc::clone(&lie), Arc::clone(&lie));
        let told = move || *told.lock().expect("not poisoned");
        let speaks = move |_asked: &Received| !matches!(*silent.lock().expect("not poisoned"), Lie::Silence);
        let sink = Sink::start(Arc::new(move |asked| answer(&signs, told(), asked)), Arc::new(speaks)).await;
        Self { sink, signer, lie }
    }

    /// The issuer URL.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}{REALM}", self.sink.url())
    }

    /// From now on.
    pub fn tells(&self, lie: Lie) {
        *self.lie.lock().expect("not poisoned") = lie;
    }

    /// Alice's own token with `scope`, as the client `console` got it.
    #[must_use]
    pub fn user_token(&self, scope: &str) -> String {
        self.signer.token("JWT", &claims(&self.issuer(), "console", scope))
    }

    /// A good logout token for the client `console`, with `changes`: `null` removes a claim.
    #[must_use]
    pub fn logout_token(&self, changes: &Value) -> String {
        self.signer.token("logout+jwt", &logout_claims(&self.issuer(), changes))
    }

    /// How often it was asked for an exchange.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.sink.received().iter().filter(|received| received.line.ends_with("/token")).count()
    }

    /// How often its keys were fetched.
    #[must_use]
    pub fn key_fetches(&self) -> usize {
        self.sink.received().iter().filter(|received| received.line.ends_with("/certs")).count()
    }
}

fn answer(signer: &Forger, lie: Lie, asked: &Received) -> Response<Full<Bytes>> {
    let base = format!("http://{}{REALM}", asked.headers["host"].to_str().expect("text"));
    if asked.line.ends_with("/.well-known/openid-configuration") {
        return reply(
            200,
            json!({"issuer": base, "token_endpoint": format!("{base}/token"), "jwks_uri": format!("{base}/certs")})
                .to_string(),
        );
    }
    if asked.line.ends_with("/certs") {
        return reply(200, signer.jwks().to_string());
    }
    let form: HashMap<String, String> = form_urlencoded::parse(&asked.body).into_owned().collect();
    let mut keeper = claims(&base, "txn-broker", &form["scope"]);
    if let Lie::Keeper(change) = lie {
        change(&mut keeper);
    }
    let mut around = json!({"access_token": signer.token("JWT", &keeper), "token_type": "Bearer", "expires_in": LIFE,
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "scope": form["scope"]});
    match lie {
        Lie::None | Lie::Keeper(_) | Lie::Silence => reply(200, around.to_string()),
        Lie::Around(change) => {
            change(&mut around);
            reply(200, around.to_string())
        }
        Lie::Text(status, text) => reply(status, text.to_owned()),
        Lie::Long(length) => reply(200, " ".repeat(length)),
    }
}

fn claims(issuer: &str, client: &str, scope: &str) -> Value {
    let now = clock::now().secs();
    json!({"iss": issuer, "aud": "txn-broker", "sub": "alice", "typ": "Bearer", "azp": client, "sid": "session-of-alice",
        "iat": now, "exp": now + LIFE, "scope": scope, "groups": ["support"], "realm_access": {"roles": []}})
}

fn reply(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}
