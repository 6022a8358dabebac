//! An OpenID provider of a test's own, which lies as the test wants: the development provider answers as Keycloak does
//! and cannot give more than it was asked for.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use runtime::clock;
use serde_json::{Value, json};

use crate::{Forger, OwnLog, Received, Sink, logout_claims};

const REALM: &str = "/realms/agents";
/// Where a redirect leads.
const ELSEWHERE: &str = "/elsewhere";
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

/// How a request for its keys is answered.
#[derive(Clone, Debug)]
pub enum Published {
    /// With the keys.
    Keys,
    /// With this status and text. A redirect leads to the keys.
    Text(u16, String),
    /// Not at all.
    Nothing,
}

/// The provider. Ends when it is dropped.
#[derive(Debug)]
pub struct OwnProvider {
    sink: Sink,
    signer: Arc<Forger>,
    lie: Arc<Mutex<Lie>>,
    published: Arc<Mutex<Published>>,
    log: OwnLog,
}

impl OwnProvider {
    /// Opens one that tells the truth.
    pub async fn open() -> Self {
        Self::publishing(Published::Keys).await
    }

    /// The same, whose keys are answered so from the start.
    pub async fn publishing(published: Published) -> Self {
        let (signer, lie) = (Arc::new(Forger::default()), Arc::new(Mutex::new(Lie::None)));
        let published = Arc::new(Mutex::new(published));
        let (signs, told, silent) = (Arc::clone(&signer), Arc::clone(&lie), Arc::clone(&lie));
        let (keys, hidden) = (Arc::clone(&published), Arc::clone(&published));
        let told = move || *told.lock().expect("not poisoned");
        let keys = move || keys.lock().expect("not poisoned").clone();
        let speaks = move |asked: &Received| match asked.line.ends_with("/certs") {
            true => !matches!(*hidden.lock().expect("not poisoned"), Published::Nothing),
            false => !is_exchange(asked) || !matches!(*silent.lock().expect("not poisoned"), Lie::Silence),
        };
        let log = OwnLog::default();
        let kept = log.clone();
        let answers = move |asked: &Received| match kept.answer(&signs, asked) {
            Some((status, body)) => reply(status, body),
            None => answer(&signs, told(), &keys(), asked),
        };
        let sink = Sink::start(Arc::new(answers), Arc::new(speaks)).await;
        Self { sink, signer, lie, published, log }
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

    /// From now on.
    pub fn publishes(&self, published: Published) {
        *self.published.lock().expect("not poisoned") = published;
    }

    /// Its event logs.
    #[must_use]
    pub const fn log(&self) -> &OwnLog {
        &self.log
    }

    /// Its keys, as they are published.
    #[must_use]
    pub fn jwks(&self) -> Value {
        self.signer.jwks()
    }

    /// Alice's own token with `scope`, with `changes`: `null` removes a claim.
    ///
    /// # Panics
    /// Where `changes` is no object.
    #[must_use]
    pub fn user_token_with(&self, scope: &str, changes: &Value) -> String {
        let mut claims = claims(&self.issuer(), "console", scope);
        let members = claims.as_object_mut().expect("an object");
        for (name, value) in changes.as_object().expect("an object") {
            members.remove(name);
            if !value.is_null() {
                members.insert(name.clone(), value.clone());
            }
        }
        self.signer.token("JWT", &claims)
    }

    /// Alice's own token with `scope`, as the client `console` got it.
    #[must_use]
    pub fn user_token(&self, scope: &str) -> String {
        self.user_token_with(scope, &json!({}))
    }

    /// A good logout token for the client `console`, with `changes`: `null` removes a claim.
    #[must_use]
    pub fn logout_token(&self, changes: &Value) -> String {
        self.signer.token("logout+jwt", &logout_claims(&self.issuer(), changes))
    }

    /// How often it was asked for an exchange.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.sink.received().iter().filter(|received| is_exchange(received)).count()
    }

    /// How often its keys were fetched.
    #[must_use]
    pub fn key_fetches(&self) -> usize {
        self.sink.received().iter().filter(|received| received.line.ends_with("/certs")).count()
    }
}

/// All else that a Keycloak is asked, this one does not have.
fn is_exchange(asked: &Received) -> bool {
    asked.line == format!("POST {REALM}/token")
}

fn answer(signer: &Forger, lie: Lie, published: &Published, asked: &Received) -> Response<Full<Bytes>> {
    let base = format!("http://{}{REALM}", asked.headers["host"].to_str().expect("text"));
    if asked.line.ends_with("/.well-known/openid-configuration") {
        return reply(
            200,
            json!({"issuer": base, "token_endpoint": format!("{base}/token"), "jwks_uri": format!("{base}/certs")})
                .to_string(),
        );
    }
    if asked.line.ends_with("/certs") {
        return match published {
            Published::Keys | Published::Nothing => reply(200, signer.jwks().to_string()),
            Published::Text(status, text) => reply(*status, text.clone()),
        };
    }
    if asked.line.ends_with(ELSEWHERE) {
        return reply(200, signer.jwks().to_string());
    }
    if !is_exchange(asked) {
        return reply(404, String::new());
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
    if response.status().is_redirection() {
        let there = format!("{REALM}{ELSEWHERE}");
        response.headers_mut().insert(header::LOCATION, there.parse().expect("a location"));
    }
    response
}
