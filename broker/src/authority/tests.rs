//! A provider on loopback that answers whatever a test wants.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse as _, routing::get};
use identity::KeeperRule;
use runtime::{ready_file::ReadyFile, shutdown::Shutdown};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::*;
use crate::keys::{Keys, tests::fresh};

const CLIENT: &str = "txn-broker";

/// A keeper that some provider gave, and its text.
pub(crate) fn keeper(subject: &str, scope: &str, ends: u64) -> (Keeper, String) {
    keeper_of(&json!({ "sub": subject, "scope": scope, "exp": ends }))
}

/// A keeper with these claims in the place of the usual ones, and beside them.
pub(crate) fn keeper_of(changes: &Value) -> (Keeper, String) {
    let (issuer, keys) = ("https://keycloak.corp.example/realms/agents", fresh());
    let mut claims = claims(issuer, "alice", "", 100);
    for (name, value) in changes.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let text = keys.sign("JWT", &claims).expect("signed").to_string();
    let raw = RawToken::parse(text.clone()).expect("short");
    let rule = KeeperRule { issuer, client: CLIENT };
    let proof = verify(&raw, keys.verifying(), &rule, at(1)).expect("verified");
    (Keeper { raw, proof }, text)
}

fn claims(issuer: &str, subject: &str, scope: &str, ends: u64) -> Value {
    json!({
        "iss": issuer, "aud": CLIENT, "sub": subject, "sid": "s", "azp": CLIENT, "typ": "Bearer", "iat": 1, "exp": ends,
        "scope": scope,
    })
}

fn signed(keys: &Keys, claims: &Value) -> RawToken {
    RawToken::parse(keys.sign("JWT", claims).expect("signed").to_string()).expect("short")
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}

struct Provider {
    issuer: String,
    keys: Keys,
    key_requests: Arc<AtomicUsize>,
    jwks: Arc<Mutex<String>>,
    shutdown: Shutdown,
}

impl Provider {
    /// Serves discovery as `discovery` spells it for the issuer, and the keys.
    async fn start(discovery: impl Fn(&str) -> Value) -> Self {
        runtime::tls::install_provider();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let issuer = format!("http://{}/realms/agents", listener.local_addr().expect("an address"));
        let (keys, key_requests) = (fresh(), Arc::new(AtomicUsize::new(0)));
        let (document, jwks) = (discovery(&issuer).to_string(), Arc::new(Mutex::new(keys.jwks().to_owned())));
        let published = Arc::clone(&jwks);
        let certs = async move |State(count): State<Arc<AtomicUsize>>| {
            count.fetch_add(1, Ordering::SeqCst);
            published.lock().expect("not poisoned").clone()
        };
        let moved = async || (StatusCode::FOUND, [("location", "/realms/agents/certs")]).into_response();
        let router = Router::new()
            .route("/realms/agents/.well-known/openid-configuration", get(async move || document))
            .route("/realms/agents/certs", get(certs))
            .route("/realms/agents/moved", get(moved))
            .with_state(Arc::clone(&key_requests));
        let shutdown = Shutdown::new();
        let until = shutdown.cancelled();
        shutdown.spawn("provider", async move {
            axum::serve(listener, router).with_graceful_shutdown(until).await.expect("serves");
        });
        Self { issuer, keys, key_requests, jwks, shutdown }
    }

    fn publishes(&self, jwks: &str) {
        jwks.clone_into(&mut self.jwks.lock().expect("not poisoned"));
    }

    fn authority(&self) -> Arc<Authority> {
        authority(&self.issuer)
    }

    fn token(&self, keys: &Keys) -> RawToken {
        signed(keys, &claims(&self.issuer, "alice", "tickets:read", 100))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

pub(crate) fn authority(issuer: &str) -> Arc<Authority> {
    named(None, issuer)
}

fn named(name: Option<&str>, issuer: &str) -> Arc<Authority> {
    let config = AuthorityConfig {
        name: name.map(str::to_owned),
        issuer: issuer.to_owned(),
        url: Url::parse(issuer).expect("a URL"),
        kind: AuthorityKind::Keycloak { client_id: CLIENT.to_owned() },
        confirm_within: Duration::from_secs(60),
    };
    let process = Process::new(ReadyFile::default());
    Arc::new(Authority::new(config, Measures::default(), &process).expect("an authority"))
}

fn usual(issuer: &str) -> Value {
    json!({ "issuer": issuer, "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/certs") })
}

#[tokio::test]
async fn a_token_is_verified_with_keys_that_are_learned_once() {
    let provider = Provider::start(usual).await;
    let authority = provider.authority();
    for _ in 0..3 {
        let token = authority.verify(&provider.token(&provider.keys), at(1)).await.expect("verified");
        assert_eq!(token.subject().as_str(), "alice");
    }
    assert_eq!(provider.key_requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn unknown_keys_are_refused_without_a_storm_at_the_provider() {
    let provider = Provider::start(usual).await;
    let authority = provider.authority();
    let verifying = (0..50).map(|_| {
        let (raw, authority) = (provider.token(&fresh()), &authority);
        async move { authority.verify(&raw, at(1)).await.map(drop) }
    });
    for refused in futures_util::future::join_all(verifying).await {
        assert_eq!(refused, Err(Refusal::Subject(TokenFault::KeyUnknown)));
    }
    assert_eq!(provider.key_requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_provider_that_speaks_for_another_issuer_or_origin_is_not_believed() {
    let documents: [fn(&str) -> Value; 4] = [
        |issuer| json!({"issuer": format!("{issuer}/"), "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/certs")}),
        |issuer| json!({"issuer": issuer, "token_endpoint": "http://evil.example/token", "jwks_uri": format!("{issuer}/certs")}),
        |issuer| json!({"issuer": issuer, "token_endpoint": format!("{issuer}/token"), "jwks_uri": "http://127.0.0.1:9/certs"}),
        |issuer| json!({"issuer": issuer, "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/moved")}),
    ];
    for document in documents {
        let provider = Provider::start(document).await;
        let verified = provider.authority().verify(&provider.token(&provider.keys), at(1)).await;
        assert_eq!(verified.err(), Some(Refusal::FaultProvider));
        assert_eq!(provider.key_requests.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn with_several_authorities_a_subject_carries_the_name_and_loses_it_on_the_way_back() {
    runtime::tls::install_provider();
    let authority = named(Some("corp"), "http://localhost/realms/agents");
    let (keeper, _text) = keeper("alice", "a", 100);
    let subject = authority.qualified(keeper.proof().subject()).expect("a subject");
    assert_eq!(subject.as_str(), "corp:alice");
    assert_eq!(authority.local_subject(&subject), Some("alice".parse().expect("a name")));
    assert_eq!(authority.local_subject(&"corpo:alice".parse().expect("a name")), None);
}

#[tokio::test]
async fn an_answer_for_anybody_else_is_discarded() {
    let provider = Provider::start(usual).await;
    let authority = provider.authority();
    let good = claims(&provider.issuer, "alice", "openid tickets:read", 100);
    let (subject, scopes) = ("alice".parse().expect("a name"), "tickets:read".parse().expect("scopes"));
    let check = async |claims: &Value| {
        let claim = Claim { subject: &subject, session: "s", scopes: &scopes, doubts: 0 };
        authority.check(CLIENT, signed(&provider.keys, claims), claim, at(1)).await.map(drop)
    };
    assert_eq!(check(&good).await, Ok(()));
    for (case, name, value, refusal) in [
        ("K7 more audience", "aud", json!([CLIENT, "tickets"]), Refusal::ScopeWidened),
        ("K7 other audience", "aud", json!("tickets"), Refusal::ScopeWidened),
        ("K7 no audience", "aud", Value::Null, Refusal::ScopeWidened),
        ("K7 more scope", "scope", json!("tickets:read tickets:write"), Refusal::ScopeWidened),
        ("K8 less scope", "scope", json!("openid"), Refusal::ScopeWithdrawn),
        ("another user", "sub", json!("bob"), Refusal::FaultProvider),
        ("another session", "sid", json!("t"), Refusal::FaultProvider),
        ("another client", "azp", json!("console"), Refusal::FaultProvider),
        ("another issuer", "iss", json!("https://other.example"), Refusal::FaultProvider),
        ("delegated", "act", json!({"sub": "admin"}), Refusal::FaultProvider),
        ("expired", "exp", json!(1), Refusal::FaultProvider),
    ] {
        let mut changed = good.clone();
        changed[name] = value;
        assert_eq!(check(&changed).await, Err(refusal), "{case}");
    }
}

/// Nothing waits on the clock while it is moved.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn the_last_good_keys_stay_for_an_hour_while_the_provider_gives_no_better() {
    let provider = Provider::start(usual).await;
    let authority = provider.authority();
    let (known, unknown) = (provider.token(&provider.keys), provider.token(&fresh()));
    authority.verify(&known, at(1)).await.expect("verified");
    let key = provider.keys.jwks().trim_start_matches(r#"{"keys":["#).trim_end_matches("]}");
    let documents = [
        "<html>",
        "",
        r#"{"keys":[]}"#,
        &format!(r#"{{"keys":[{key},{key}]}}"#),
        provider.keys.jwks().trim_start_matches('{'),
    ];
    for (fetches, document) in documents.into_iter().enumerate() {
        provider.publishes(document);
        later(Duration::from_secs(31)).await;
        for _ in 0..3 {
            let refused = authority.verify(&unknown, at(1)).await.err();
            assert_eq!(refused, Some(Refusal::Subject(TokenFault::KeyUnknown)), "{document}");
        }
        assert_eq!(provider.key_requests.load(Ordering::SeqCst), fetches + 2, "fetched once: {document}");
        authority.verify(&known, at(1)).await.expect("verified as before");
    }
    later(Duration::from_secs(3600)).await;
    assert_eq!(authority.verify(&known, at(1)).await.err(), Some(Refusal::FaultProvider), "too old to be believed");
    provider.publishes(provider.keys.jwks());
    later(Duration::from_secs(1)).await;
    authority.verify(&known, at(1)).await.expect("verified again");
}

#[tokio::test]
async fn who_leaves_while_keys_are_looked_for_takes_the_look_from_nobody() {
    let provider = Provider::start(usual).await;
    let authority = provider.authority();
    let token = provider.token(&provider.keys);
    tokio::select! {
        biased;
        verified = authority.verify(&token, at(1)) => panic!("no keys are held yet: {verified:?}"),
        () = tokio::task::yield_now() => {}
    }
    authority.verify(&token, at(1)).await.expect("verified");
    assert_eq!(provider.key_requests.load(Ordering::SeqCst), 1, "by the look that was begun");
}

/// A provider that takes connections and says nothing.
fn silent() -> (std::net::TcpListener, String) {
    runtime::tls::install_provider();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let issuer = format!("http://{}/realms/agents", listener.local_addr().expect("an address"));
    (listener, issuer)
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_makes_nobody_wait_for_the_answers_to_others() {
    let (_listener, issuer) = silent();
    let (authority, keys, start) = (authority(&issuer), fresh(), Instant::now());
    let asking = (0..40).map(|n| {
        let (raw, authority) = (signed(&keys, &claims(&issuer, "alice", "tickets:read", 100)), &authority);
        async move {
            tokio::time::sleep_until(start + Duration::from_millis(n * 500)).await;
            let came = Instant::now();
            assert_eq!(authority.verify(&raw, at(1)).await.map(drop), Err(Refusal::FaultProvider));
            came.elapsed()
        }
    });
    let longest = futures_util::future::join_all(asking).await.into_iter().max().expect("some");
    assert!(longest <= Duration::from_secs(4), "{longest:?}");
}

#[tokio::test(start_paused = true)]
async fn strangers_who_wait_for_a_key_are_few_and_take_no_user_s_place() {
    let (_listener, issuer) = silent();
    let authority = authority(&issuer);
    let _all = authority.strangers.try_acquire_many(u32::try_from(STRANGERS_MAX).expect("few")).expect("free");
    let raw = RawToken::parse(fresh().sign("logout+jwt", &json!({"iss": issuer})).expect("signed").to_string());
    let verified = authority.verify_logout(&raw.expect("short"), &["console"], at(1)).await;
    assert_eq!(verified.err(), Some(Refusal::FaultOverloaded));
    let user = signed(&fresh(), &claims(&issuer, "alice", "tickets:read", 100));
    assert_eq!(authority.verify(&user, at(1)).await.map(drop), Err(Refusal::FaultProvider), "a user waits as before");
}

#[tokio::test]
async fn logout_tokens_of_unknown_keys_lead_to_no_storm_at_the_provider() {
    let provider = Provider::start(usual).await;
    let authority = provider.authority();
    for _ in 0..50 {
        let text = fresh().sign("logout+jwt", &json!({"iss": provider.issuer})).expect("signed").to_string();
        let raw = RawToken::parse(text).expect("short");
        let refused = authority.verify_logout(&raw, &["console"], at(1)).await.err();
        assert_eq!(refused, Some(Refusal::LogoutToken(TokenFault::KeyUnknown)));
    }
    assert_eq!(provider.key_requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn more_than_may_wait_for_a_provider_are_turned_away_at_once() {
    let (_listener, issuer) = silent();
    let authority = authority(&issuer);
    let _all = authority.asking.try_acquire_many(u32::try_from(ASKING_MAX).expect("few")).expect("free");
    let raw = signed(&fresh(), &claims(&issuer, "alice", "tickets:read", 100));
    assert_eq!(authority.verify(&raw, at(1)).await.map(drop), Err(Refusal::FaultOverloaded));
}
