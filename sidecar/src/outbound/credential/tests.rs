//! Credentials: asked for once, for one purpose, and never held too long.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{
    answer::{About, Door},
    broker::double::Double,
    signer::{NOW, Signer, id, txn},
    snapshot::{Snapshot, tests as snapshots},
    transactions::{Brought, Signs, Transactions},
};

/// A token as the broker writes it; nobody here verifies it.
fn written(id: &str) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let head = encode(&json!({"typ": "at+jwt", "alg": "ES256", "kid": "1"}));
    format!("{head}.{}.{}", encode(&json!({"jti": id, "iat": NOW})), encode(&json!("signature")))
}

fn issued(txn_token: Option<&str>, secs: u64) -> Issued {
    let token = |id: &str| RawToken::parse(written(id)).expect("a token");
    Issued { token: token("a"), txn_token: txn_token.map(token), expires_in: Duration::from_secs(secs) }
}

/// Tickets, or a target like it that passes on.
fn target(passes_on: bool) -> Arc<Target> {
    let passes_on = passes_on.then(|| "tickets:read".to_owned());
    let told = snapshots::told(vec![api::Target { passes_on, ..snapshots::tickets() }]);
    let snapshot = Snapshot::try_from(told).expect("a snapshot");
    Arc::clone(snapshot.reaches.by_name("tickets").expect("the target"))
}

fn at(secs: u64) -> UnixTime {
    UnixTime::from_secs(secs).expect("a time")
}

#[test]
fn a_credential_is_not_used_in_its_last_seconds() {
    let credential = Credential::new(&issued(None, 60), &target(false), at(1000)).expect("a credential");
    assert_eq!((credential.usable_until, credential.fresh_until), (at(1055), at(1044)));
    assert_eq!(Credential::new(&issued(None, 3), &target(false), at(1000)).map(|short| short.life), Ok(Duration::ZERO));
}

#[test]
fn a_transaction_token_comes_exactly_where_the_target_passes_on() {
    assert_eq!(Credential::new(&issued(None, 60), &target(true), at(1000)).err(), Some(Refusal::FaultBroker));
    assert_eq!(Credential::new(&issued(Some("t"), 60), &target(false), at(1000)).err(), Some(Refusal::FaultBroker));
    let both = Credential::new(&issued(Some("t"), 60), &target(true), at(1000)).expect("a credential");
    assert!(both.authorization.is_sensitive() && both.txn_token.is_some_and(|token| token.is_sensitive()));
}

/// A pod's transaction toward tickets, and where its credentials come from.
struct Stage {
    double: Double,
    credentials: Credentials,
    signer: Signer,
    snapshots: Snapshots,
    transaction: Transaction,
    target: Arc<Target>,
    _exchange: crate::transactions::Exchange,
}

impl Stage {
    async fn new(answer: impl Fn(&str) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let signer = Signer::new();
        let snapshots = Snapshots::default();
        let snapshot = snapshots.hear(signer.told(vec![snapshots::tickets()])).expect("a snapshot");
        let target = Arc::clone(snapshot.reaches.by_name("tickets").expect("the target"));
        let now = clock::now();
        let life = json!({"callee": null, "iat": now.secs(), "exp": now.plus(Duration::from_secs(120)).secs()});
        let token = RawToken::parse(signer.sign("txntoken+jwt", &txn(&life))).expect("a token");
        let held = Held::verify(token, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, now);
        let transactions = Transactions::default();
        let exchange = transactions.open(Brought { held: held.ok(), ..Brought::default() }, now).expect("opens");
        let mut about = About::new(Door::Agent);
        let handle = exchange.handle();
        let claim = transactions.claim(Signs { handle: handle.as_ref(), trace: None }).expect("found");
        let transaction = Transaction::claimed(&claim, &id("planner"), now, &mut about);
        let double = Double::start(answer).await;
        let (broker, shutdown) = (double.broker.clone(), double.process.shutdown.clone());
        Self {
            credentials: Credentials::new(broker, snapshots.clone(), shutdown, Metrics::default()),
            double,
            signer,
            snapshots,
            transaction: transaction.expect("found"),
            target,
            _exchange: exchange,
        }
    }

    fn key(&self, scope: &str, generation: u64) -> Key {
        Key::new(&self.transaction, &self.target, &scope.parse().expect("scopes"), generation)
    }

    /// The broker says that these were revoked.
    fn revoke(&self, revocations: api::Revocations) {
        let told = self.signer.told(vec![snapshots::tickets()]);
        let told = api::Snapshot { revocations: Some(revocations), ..told };
        self.snapshots.hear(told).expect("a snapshot");
    }

    async fn of(&self, key: &Key) -> Result<Arc<Credential>, Refusal> {
        self.credentials.of(Wanted { key, held: &self.transaction.held, target: &self.target }).await
    }
}

fn granted(secs: u64) -> (u16, Value) {
    let kind = "urn:ietf:params:oauth:token-type:access_token";
    (200, json!({"access_token": written("a"), "issued_token_type": kind, "token_type": "Bearer", "expires_in": secs}))
}

#[tokio::test]
async fn many_calls_at_once_ask_the_broker_once() {
    let stage = Stage::new(|_form| granted(60)).await;
    let key = stage.key("tickets:read", 1);
    let all = futures_util::future::join_all((0..50).map(|_| stage.of(&key))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(stage.double.calls(), 1);
}

#[tokio::test]
async fn another_scope_or_generation_is_asked_for_anew() {
    let stage = Stage::new(|_form| granted(60)).await;
    for (scope, generation) in [("tickets:read", 1), ("", 1), ("tickets:read", 2), ("tickets:read", 1)] {
        stage.of(&stage.key(scope, generation)).await.expect("a credential");
    }
    assert_eq!(stage.double.calls(), 3);
}

#[tokio::test]
async fn the_scope_of_the_call_is_asked_and_nothing_more() {
    let read = Stage::new(|form| {
        assert!(
            form.contains("scope=tickets%3Aread") && form.contains("resource=https%3A%2F%2Ftickets.tools.svc%2Fmcp")
        );
        granted(60)
    });
    let read = read.await;
    read.of(&read.key("tickets:read", 1)).await.expect("a credential");
    let none = Stage::new(|form| {
        assert!(!form.contains("scope="));
        granted(60)
    });
    let none = none.await;
    none.of(&none.key("", 1)).await.expect("a credential");
}

#[tokio::test]
async fn a_refusal_is_told_and_not_remembered() {
    let stage = Stage::new(|_form| (400, json!({"error": "invalid_scope", "refusal": "scope.not_permitted"}))).await;
    let key = stage.key("tickets:write", 1);
    for asked in 1..=2 {
        assert_eq!(stage.of(&key).await.err(), Some(Refusal::ScopeNotPermitted));
        assert_eq!(stage.double.calls(), asked);
    }
}

#[tokio::test]
async fn a_credential_that_its_target_refused_is_replaced() {
    let stage = Stage::new(|_form| granted(60)).await;
    let key = stage.key("tickets:read", 1);
    let refused = stage.of(&key).await.expect("a credential");
    stage.credentials.forget(&key, &refused).await;
    let next = stage.of(&key).await.expect("a credential");
    stage.credentials.forget(&key, &refused).await;
    assert!(Arc::ptr_eq(&next, &stage.of(&key).await.expect("a credential")));
    assert_eq!(stage.double.calls(), 2);
}

#[tokio::test]
async fn a_credential_that_is_nearly_over_is_not_held() {
    let stage = Stage::new(|_form| granted(3)).await;
    let key = stage.key("tickets:read", 1);
    for asked in 1..=2 {
        stage.of(&key).await.expect("a credential");
        assert_eq!(stage.double.calls(), asked);
    }
}

#[tokio::test]
async fn a_revoked_token_is_dropped_and_the_broker_decides() {
    let ids = std::sync::atomic::AtomicUsize::new(0);
    let stage = Stage::new(move |_form| {
        let (_, mut answer) = granted(60);
        answer["access_token"] = json!(written(&format!("a{}", ids.fetch_add(1, Ordering::SeqCst))));
        (200, answer)
    })
    .await;
    let key = stage.key("tickets:read", 1);
    let first = stage.of(&key).await.expect("a credential");
    stage.revoke(api::Revocations { tokens: vec!["another".into()], ..api::Revocations::default() });
    assert!(Arc::ptr_eq(&first, &stage.of(&key).await.expect("a credential")), "another's");
    stage.revoke(api::Revocations { tokens: vec!["a0".into()], ..api::Revocations::default() });
    let second = stage.of(&key).await.expect("a credential");
    assert!(first.authorization != second.authorization && stage.double.calls() == 2);
    assert!(Arc::ptr_eq(&second, &stage.of(&key).await.expect("a credential")), "and held again");
}

#[tokio::test]
async fn nothing_is_used_for_what_was_revoked() {
    let workload = |through| vec![api::RevokedWorkload { id: id("planner").to_string(), through }];
    let none = api::Revocations::default;
    for (case, told, refusal) in [
        ("the transaction", api::Revocations { transactions: vec!["x1".into()], ..none() }, Refusal::SubjectRevoked),
        ("every token that came", api::Revocations { tokens: vec!["a".into()], ..none() }, Refusal::FaultBroker),
        ("the workload itself", api::Revocations { workloads: workload(NOW), ..none() }, Refusal::FaultBroker),
    ] {
        let stage = Stage::new(|_form| granted(60)).await;
        let key = stage.key("tickets:read", 1);
        stage.of(&key).await.expect("a credential");
        stage.revoke(told);
        for _again in 0..2 {
            assert_eq!(stage.of(&key).await.err(), Some(refusal.clone()), "{case}");
        }
        assert_eq!(stage.double.calls(), 3, "{case}: neither the old one nor what came for it is kept");
        stage.revoke(api::Revocations { workloads: workload(NOW - 1), ..none() });
        stage.of(&key).await.expect("a credential");
    }
}
