//! The provider's promises: what Keycloak was seen to answer (`keycloak.md` §2–§4), reached through the routes.

mod assertion;
mod control;
mod events;
mod exchange;
mod logout;
mod process;
mod sign_in;

use std::time::Duration;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{SpiffeId, UnixTime};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

const TOKEN: &str = "/protocol/openid-connect/token";
const BROKER: &str = "spiffe://corp.example/ns/agents/sa/broker";
const EXCHANGE: [(&str, &str); 5] = [
    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
    ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"),
    ("client_id", "txn-broker"),
    ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
    ("audience", "txn-broker"),
];

/// A provider without its port's server: requests go straight to the routes.
struct Stand {
    server: Server,
    router: Router,
    svids: SvidKey,
}

/// Signs JWT-SVIDs as a Workload API would, and odd ones.
struct SvidKey(EcdsaKeyPair);

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Stand {
    async fn start() -> Self {
        Self::with(Realm::demo(SpiffeId::new(BROKER).expect("an id")), true).await
    }

    async fn with(realm: Realm, danger_sign_anything: bool) -> Self {
        let svids = SvidKey::generate();
        let listen = "127.0.0.1:0".parse().expect("an address");
        let svid_keys = SvidKeys::Fixed(svids.keys());
        let server = Server::bind(Options { listen, realm, svid_keys, danger_sign_anything }).await.expect("bound");
        let router = http::router(Arc::clone(&server.provider));
        Self { server, router, svids }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(header::HeaderName, &str)], body: String) -> Answer {
        let mut request = Request::builder().method(method).uri(path).body(Body::from(body)).expect("a request");
        let host = self.server.provider.address.to_string();
        request.headers_mut().insert(header::HOST, host.parse().expect("a host"));
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().expect("a value"));
        }
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (head, body) = response.into_parts();
        let bytes = to_bytes(body, 1024 * 1024).await.expect("a body");
        Answer { status: head.status, headers: head.headers, text: String::from_utf8(bytes.to_vec()).expect("text") }
    }

    async fn browse(&self, path: &str) -> Answer {
        self.send(Method::GET, &format!("/realms/agents{path}"), &[], String::new()).await
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let kind = [(header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
        self.send(Method::POST, &format!("/realms/agents{path}"), &kind, encoded(form)).await
    }

    async fn dev(&self, command: &str, body: Value) -> Answer {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        self.send(Method::POST, &format!("/dev/{command}"), &kind, body.to_string()).await
    }

    /// A user token by the password grant.
    async fn user_token(&self, user: &str, scope: &str) -> String {
        let form = [
            ("grant_type", "password"),
            ("client_id", "console"),
            ("username", user),
            ("password", user),
            ("scope", scope),
        ];
        self.post(TOKEN, &form).await.json()["access_token"].as_str().expect("a token").to_owned()
    }

    /// A good exchange of `subject` with `changes` made: a new parameter is added, an empty value removes one.
    async fn exchange(&self, subject: &str, changes: &[(&str, &str)]) -> Answer {
        let svid = self.svid(&json!({}));
        let mut form = EXCHANGE.to_vec();
        form.extend([("client_assertion", svid.as_str()), ("subject_token", subject)]);
        for (name, value) in changes {
            form.retain(|(held, _)| held != name);
            if !value.is_empty() {
                form.push((name, value));
            }
        }
        self.post(TOKEN, &form).await
    }

    /// The broker's SVID for this realm, with `changes` of claims.
    fn svid(&self, changes: &Value) -> String {
        let issued = now();
        let expires = issued.plus(Duration::from_secs(60));
        let mut claims =
            json!({ "sub": BROKER, "aud": [self.server.issuer()], "iat": issued.secs(), "exp": expires.secs() });
        merge(&mut claims, changes);
        self.svids.sign(&json!({ "alg": "ES256", "kid": "s1", "typ": "JWT" }), &claims)
    }

    /// A user token of alice with `changes` of claims, signed with the realm's own key.
    async fn forged(&self, changes: Value) -> String {
        let mut claims = part(&self.user_token("alice", "tickets:read").await, 1);
        merge(&mut claims, &changes);
        let header = serde_json::Map::from_iter([("typ".to_owned(), json!("JWT"))]);
        self.server.handle().sign(header, &claims).expect("signed")
    }
}

impl SvidKey {
    fn generate() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn keys(&self) -> KeySet {
        let point = self.0.public_key().as_ref();
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]), BASE64_URL_SAFE_NO_PAD.encode(&point[33..]));
        let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "s1", "use": "jwt-svid", "x": x, "y": y }] });
        KeySet::parse(set.to_string().as_bytes()).expect("a key set")
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).expect("signed");
        format!("{input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_error| panic!("no JSON: {self:?}"))
    }

    /// Status, `error`, `error_description`.
    fn refusal(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), text("error"), text("error_description"))
    }

    fn claims(&self) -> Value {
        part(self.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {self:?}")), 1)
    }
}

fn refusal(status: u16, error: &str, description: &str) -> (u16, String, String) {
    (status, error.to_owned(), description.to_owned())
}

fn encoded(form: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

/// Overwrites members; `null` removes one.
fn merge(claims: &mut Value, changes: &Value) {
    let claims = claims.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        claims.remove(name);
        if !value.is_null() {
            claims.insert(name.clone(), value.clone());
        }
    }
}

fn now() -> UnixTime {
    runtime::clock::now()
}
