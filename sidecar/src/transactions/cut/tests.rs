//! What is ended by a revocation or by silence, what goes on, and what those are told who come later.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::{
    signer::{Signer, access, id, txn},
    snapshot::tests as snapshots,
    transactions::{Brought, Exchange, Held, Signs},
};
use http::HeaderValue;
use identity::{AccessRule, RawToken, UnixTime, verify};
use runtime::clock;

const TICKETS: &str = "https://tickets.tools.svc/mcp";

struct Pod {
    signer: Signer,
    transactions: Transactions,
}

impl Pod {
    fn new() -> Self {
        Self { signer: Signer::new(), transactions: Transactions::default() }
    }

    /// A user's request in the transaction `txn`.
    fn entered(&self, transaction: &str) -> Exchange {
        let held = self.held(&json!({"txn": transaction, "jti": format!("t-{transaction}"), "callee": null}));
        self.transactions.open(Brought { held: Some(held), ..Brought::default() }, clock::now()).expect("opens")
    }

    /// A call of planner in the transaction `txn` at a target that passes nothing on.
    fn called(&self, transaction: &str) -> Exchange {
        let snapshot = self.signer.snapshot(vec![snapshots::tickets()]);
        let claims = access(TICKETS, &lasting(&json!({"txn": transaction, "jti": format!("a-{transaction}")})));
        let token = RawToken::parse(self.signer.sign("at+jwt", &claims)).expect("a token");
        let audience = snapshot.serves.by_name("tickets").expect("the target").audience();
        let rule = AccessRule { issuer: &snapshot.issuer, audience, peer: &id("planner") };
        let access = verify(&token, &snapshot.keys, &rule, clock::now()).expect("verified");
        let brought = Brought { access: Some(Arc::new(access)), ..Brought::default() };
        self.transactions.open(brought, clock::now()).expect("opens")
    }

    fn held(&self, changes: &Value) -> Held {
        let snapshot = self.signer.snapshot(Vec::new());
        let token = self.signer.sign("txntoken+jwt", &txn(&lasting(changes)));
        let token = RawToken::parse(token).expect("a token");
        Held::verify(token, &snapshot.keys, &snapshot.issuer, &snapshot.trust_domain, clock::now()).expect("verified")
    }

    fn claimed(&self, handle: &HeaderValue) -> Option<Refusal> {
        self.transactions.claim(Signs { handle: Some(handle), trace: None }).err()
    }
}

fn lasting(changes: &Value) -> Value {
    let (now, end) = (clock::now().secs(), clock::now().plus(Duration::from_secs(120)).secs());
    let mut life = json!({"iat": now, "exp": end});
    life.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    life
}

fn revoked(transactions: &[&str], tokens: &[&str], workloads: &[(&str, UnixTime)]) -> Snapshot {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let workload =
        |(name, through): &(&str, UnixTime)| api::RevokedWorkload { id: id(name).to_string(), through: through.secs() };
    let told = api::Revocations {
        transactions: texts(transactions),
        tokens: texts(tokens),
        workloads: workloads.iter().map(workload).collect(),
    };
    heard(api::Snapshot { revocations: Some(told), ..Signer::new().told(Vec::new()) })
}

/// Of a broker that has the key no longer that signed everything here.
fn without_key() -> Snapshot {
    heard(snapshots::told(Vec::new()))
}

fn heard(told: api::Snapshot) -> Snapshot {
    Snapshot::try_from(told).expect("a snapshot")
}

/// Why it has ended; `None` while it goes on.
async fn why(exchange: &Exchange) -> Option<Refusal> {
    let ended = Arc::clone(exchange.transaction()).ended();
    tokio::time::timeout(Duration::from_secs(1), ended).await.ok()
}

#[tokio::test(start_paused = true)]
async fn what_rests_on_a_revocation_ends_and_nothing_else_does() {
    let now = clock::now();
    for (case, snapshot, entered, called) in [
        ("a transaction", revoked(&["x1"], &[], &[]), true, true),
        ("another transaction", revoked(&["x2"], &[], &[]), false, false),
        ("the transaction token in force", revoked(&[], &["t-x1"], &[]), true, false),
        ("the access token of a call", revoked(&[], &["a-x1"], &[]), false, true),
        ("the workload of both", revoked(&[], &[], &[("planner", now.plus(Duration::from_secs(5)))]), true, true),
        ("another workload", revoked(&[], &[], &[("tickets", now.plus(Duration::from_secs(5)))]), false, false),
        (
            "the workload, before both",
            revoked(&[], &[], &[("planner", UnixTime::from_secs(1).expect("a time"))]),
            false,
            false,
        ),
        ("the key of both", without_key(), true, true),
        ("nothing", revoked(&[], &[], &[]), false, false),
    ] {
        let pod = Pod::new();
        let (user, call) = (pod.entered("x1"), pod.called("x1"));
        let count = pod.transactions.revoke(&snapshot, now);
        assert_eq!(count, usize::from(entered) + usize::from(called), "{case}");
        let told = |ends: bool| ends.then_some(Refusal::SubjectRevoked);
        assert_eq!((why(&user).await, why(&call).await), (told(entered), told(called)), "{case}");
        assert_eq!(pod.transactions.revoke(&snapshot, now), 0, "{case}: once");
        assert_eq!(user.transaction().held(now).err(), told(entered), "{case}: nothing is called with it any more");
    }
}

#[tokio::test]
async fn who_opens_an_exchange_at_that_moment_is_told_by_its_door() {
    let pod = Pod::new();
    let (user, call) = (pod.entered("x1"), pod.called("x1"));
    let (snapshot, key_unknown) = (revoked(&["x1"], &[], &[]), Refusal::AccessToken(TokenFault::KeyUnknown));
    assert_eq!(user.transaction().admit(&snapshot), Err(Refusal::SubjectRevoked));
    assert_eq!(call.transaction().admit(&snapshot), Err(Refusal::AccessTokenRevoked));
    assert_eq!(user.transaction().admit(&without_key()), Err(Refusal::SubjectRevoked));
    assert_eq!(call.transaction().admit(&without_key()), Err(key_unknown));
    for exchange in [user, call] {
        assert_eq!(exchange.transaction().admit(&revoked(&["x2"], &["x1"], &[])), Ok(()));
    }
}

#[tokio::test]
async fn a_renewed_token_is_the_one_that_counts() {
    let pod = Pod::new();
    let user = pod.entered("x1");
    user.transaction().replace(pod.held(&json!({"txn": "x1", "jti": "t-later", "callee": null})));
    assert_eq!(pod.transactions.revoke(&revoked(&[], &["t-x1"], &[]), clock::now()), 0);
    assert_eq!(pod.transactions.revoke(&revoked(&[], &["t-later"], &[]), clock::now()), 1);
}

/// A stream may outlive the token that opened it, and then the key in peace goes before the stream does.
#[tokio::test]
async fn a_key_that_goes_after_the_token_that_it_signed_ends_nothing() {
    let pod = Pod::new();
    let _leaf = pod.called("x1");
    let end = clock::now().plus(Duration::from_secs(120));
    assert_eq!(pod.transactions.revoke(&without_key(), end), 0);
}

#[tokio::test(start_paused = true)]
async fn what_flows_on_after_its_exchange_ends_with_it_too() {
    for ends in [Cut::Revoked, Cut::Silence] {
        let pod = Pod::new();
        let (user, other) = (pod.entered("x1"), pod.entered("x2"));
        let (mut flow, mut another) = (JoinSet::new(), JoinSet::new());
        flow.spawn(Arc::clone(user.transaction()).ended());
        another.spawn(Arc::clone(other.transaction()).ended());
        drop((user, other));
        let count = match ends {
            Cut::Revoked => pod.transactions.revoke(&revoked(&["x1"], &[], &[]), clock::now()),
            Cut::Silence => pod.transactions.silence(),
        };
        assert_eq!(count, if ends == Cut::Revoked { 1 } else { 2 });
        assert_eq!(flow.join_next().await.expect("a flow").expect("ended"), ends.refusal());
        let another = tokio::time::timeout(Duration::from_secs(1), another.join_next()).await;
        assert_eq!(another.is_ok(), ends == Cut::Silence, "{ends:?}");
    }
}

#[tokio::test]
async fn the_app_of_a_revoked_exchange_is_told_so_afterwards() {
    let pod = Pod::new();
    let (revoked_one, other) = (pod.entered("x1"), pod.entered("x2"));
    let handles = [&revoked_one, &other].map(|exchange| exchange.handle().expect("a handle"));
    let traces = [&revoked_one, &other].map(|exchange| exchange.transaction().traces().key());
    assert_eq!(pod.transactions.revoke(&revoked(&["x1"], &[], &[]), clock::now()), 1);
    drop((revoked_one, other));
    let by_trace = |trace| pod.transactions.claim(Signs { handle: None, trace: Some(trace) }).err();
    assert_eq!(pod.claimed(&handles[0]), Some(Refusal::SubjectRevoked));
    assert_eq!(by_trace(traces[0]), Some(Refusal::SubjectRevoked));
    assert_eq!(pod.claimed(&handles[1]), Some(Refusal::CallNoTransaction));
    assert_eq!(by_trace(traces[1]), Some(Refusal::CallTraceEnded));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_everything_and_is_a_fault() {
    let pod = Pod::new();
    let (user, call) = (pod.entered("x1"), pod.called("x2"));
    let handle = user.handle().expect("a handle");
    assert_eq!(pod.transactions.silence(), 2);
    assert_eq!((why(&user).await, why(&call).await), (Some(Refusal::FaultNotReady), Some(Refusal::FaultNotReady)));
    assert_eq!(user.transaction().held(clock::now()).err(), Some(Refusal::FaultNotReady));
    drop((user, call));
    assert_eq!(pod.claimed(&handle), Some(Refusal::CallNoTransaction), "the user must ask again");
    let later = pod.entered("x1");
    assert_eq!(why(&later).await, None);
}
