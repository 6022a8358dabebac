//! A session that ends is told to its login client, in Keycloak's words.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Bytes, extract::State, routing::post};
use identity::{LoggedOut, LogoutRule, RawToken, verify};
use runtime::shutdown::Shutdown;

use super::*;

/// A login client's receiver, which answers with `status`.
struct Receiver {
    url: String,
    bodies: Arc<Mutex<Vec<Bytes>>>,
    shutdown: Shutdown,
}

impl Receiver {
    async fn start(status: StatusCode) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let url = format!("http://{}/backchannel-logout", listener.local_addr().expect("an address"));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let received = async move |State(bodies): State<Arc<Mutex<Vec<Bytes>>>>, body: Bytes| {
            bodies.lock().expect("whole").push(body);
            status
        };
        let router = Router::new().route("/backchannel-logout", post(received)).with_state(Arc::clone(&bodies));
        let shutdown = Shutdown::new();
        let until = shutdown.cancelled();
        shutdown.spawn("receiver", async move {
            axum::serve(listener, router).with_graceful_shutdown(until).await.expect("serves");
        });
        Self { url, bodies, shutdown }
    }

    fn tokens(&self) -> Vec<String> {
        let bodies = self.bodies.lock().expect("whole");
        let token = |body: &Bytes| {
            let pairs: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
            assert!(matches!(pairs.as_slice(), [(name, _)] if name == "logout_token"), "{pairs:?}");
            pairs[0].1.clone()
        };
        bodies.iter().map(token).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn told(stand: &Stand, url: Value) {
    let answer = stand.dev("backchannel-logout-url", json!({ "client": "console", "url": url })).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{answer:?}");
}

#[tokio::test]
async fn the_end_of_a_session_is_told_in_keycloaks_words() {
    let (stand, receiver) = (Stand::start().await, Receiver::start(StatusCode::OK).await);
    told(&stand, json!(receiver.url)).await;
    let user = stand.user_token("alice", "openid").await;
    let claims = part(&user, 1);
    assert_eq!(stand.dev("sign-out", json!({ "sid": claims["sid"] })).await.status, StatusCode::NO_CONTENT);
    let tokens = receiver.tokens();
    assert_eq!(tokens.len(), 1, "one a session");
    let issuer = stand.server.issuer();
    let said = part(&tokens[0], 1);
    let expected = json!({
        "iss": issuer, "aud": "console", "sub": claims["sub"], "sid": claims["sid"], "typ": "Logout",
        "iat": said["iat"], "exp": said["iat"].as_u64().expect("a date") + 120, "jti": said["jti"],
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    assert_eq!(said, expected);
    let header = part(&tokens[0], 0);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("logout+jwt"), &json!("RS256")));
    let jwks = stand.browse("/protocol/openid-connect/certs").await.text;
    let keys = KeySet::parse(jwks.as_bytes()).expect("keys");
    let raw = RawToken::parse(tokens[0].clone()).expect("short");
    let proof = verify(&raw, &keys, &LogoutRule { issuer, clients: &["console"] }, now()).expect("verified");
    assert!(matches!(proof.logged_out(), LoggedOut::Session { id, .. } if claims["sid"] == id.as_str()));
}

#[tokio::test]
async fn a_browser_s_sign_out_is_told_too() {
    let (stand, receiver) = (Stand::start().await, Receiver::start(StatusCode::OK).await);
    told(&stand, json!(receiver.url)).await;
    let form = [
        ("grant_type", "password"),
        ("client_id", "console"),
        ("username", "bob"),
        ("password", "bob"),
        ("scope", "openid"),
    ];
    let hint = stand.post(TOKEN, &form).await.json()["id_token"].as_str().expect("a token").to_owned();
    let signed_out = stand.post("/protocol/openid-connect/logout", &[("id_token_hint", &hint)]).await;
    assert_eq!((signed_out.status, receiver.tokens().len()), (StatusCode::OK, 1));
    stand.post("/protocol/openid-connect/logout", &[("id_token_hint", &hint)]).await;
    assert_eq!(receiver.tokens().len(), 1, "a session ends once");
}

#[tokio::test]
async fn a_session_ends_whatever_its_client_says() {
    let (stand, receiver) = (Stand::start().await, Receiver::start(StatusCode::INTERNAL_SERVER_ERROR).await);
    let sign_out = async |url: Value| {
        told(&stand, url.clone()).await;
        let user = stand.user_token("alice", "tickets:read").await;
        let answer = stand.dev("sign-out", json!({ "sid": part(&user, 1)["sid"] })).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT, "{url}");
        assert_eq!(stand.exchange(&user, &[("scope", "tickets:read")]).await.status, StatusCode::BAD_REQUEST, "{url}");
    };
    sign_out(json!(receiver.url)).await;
    sign_out(json!("http://127.0.0.1:1/nobody")).await;
    sign_out(Value::Null).await;
    assert_eq!(receiver.tokens().len(), 1, "nobody tries again");
}

#[tokio::test]
async fn only_a_login_client_on_this_host_is_told() {
    let stand = Stand::start().await;
    for (client, url, status) in [
        ("nobody", "http://127.0.0.1:9/", 404),
        ("txn-broker", "http://127.0.0.1:9/", 404),
        ("console", "http://evil.example/", 400),
        ("console", "https://127.0.0.1/", 400),
        ("console", "nonsense", 400),
    ] {
        let answer = stand.dev("backchannel-logout-url", json!({ "client": client, "url": url })).await;
        assert_eq!(answer.status.as_u16(), status, "{client} {url}");
    }
}
