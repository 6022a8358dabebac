//! The rule, case by case, and its law: no call is ever taken for one of another request.

mod laws;

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::{
    signer::{Signer, txn},
    snapshot::Snapshot,
    trace::TraceContext,
    transactions::{Brought, Exchange, Held, Transactions},
};
use identity::RawToken;
use runtime::clock;

/// A pod in which users' requests come in.
pub(super) struct Pod {
    pub(super) transactions: Transactions,
    signer: Signer,
    snapshot: Snapshot,
}

/// A request in progress and what its app was given.
pub(super) struct Request {
    pub(super) exchange: Exchange,
    pub(super) handle: HeaderValue,
    pub(super) trace: TraceId,
}

impl Pod {
    pub(super) fn new() -> Self {
        let signer = Signer::new();
        Self { transactions: Transactions::default(), snapshot: signer.snapshot(Vec::new()), signer }
    }

    /// A request in the transaction `txn` of `user`, which came with the trace `caller`.
    pub(super) fn begin(&self, user: &str, transaction: &str, caller: Option<TraceContext>) -> Request {
        let now = clock::now();
        let claims = json!({
            "sub": user, "txn": transaction, "iat": now.secs(), "exp": now.plus(Duration::from_secs(120)).secs(),
        });
        let token = RawToken::parse(self.signer.sign("txntoken+jwt", &txn(&claims))).expect("a token");
        let Snapshot { keys, issuer, trust_domain, .. } = &self.snapshot;
        let held = Held::verify(token, keys, issuer, trust_domain, now).expect("verified");
        self.enter(Some(held), caller)
    }

    /// A request at a target that passes nothing on.
    pub(super) fn leaf(&self) -> Request {
        self.enter(None, None)
    }

    fn enter(&self, held: Option<Held>, caller: Option<TraceContext>) -> Request {
        let exchange =
            self.transactions.open(Brought { held, trace: caller, access: None }, clock::now()).expect("opens");
        exchange.set_at_work(true);
        let handle = exchange.handle().expect("a handle");
        Request { handle, trace: exchange.transaction().traces().key(), exchange }
    }

    fn call(&self, signs: Signs<'_>, shows: &Shows) -> Result<(Arc<Transaction>, Way), Refusal> {
        let claim = self.transactions.claim(signs)?;
        let way = self.transactions.settle(&claim, shows)?;
        Ok((Arc::clone(claim.transaction()), way))
    }

    fn by(&self, signs: Signs<'_>, shows: &Shows) -> Result<Way, Refusal> {
        self.call(signs, shows).map(|(_, way)| way)
    }
}

impl Request {
    /// Its app answers to the end.
    pub(super) fn finish(self) {
        self.exchange.set_at_work(false);
    }

    fn traced(&self) -> Signs<'static> {
        Signs { handle: None, trace: Some(self.trace) }
    }

    fn handled(&self, trace: Option<TraceId>) -> Signs<'_> {
        Signs { handle: Some(&self.handle), trace }
    }

    /// A session that this request has opened.
    fn session(&self) -> Session {
        Session::Of(Arc::clone(self.exchange.transaction().authority().expect("an authority")))
    }
}

fn plain() -> Shows {
    Shows { meta: None, session: Session::None, of_session: false }
}

fn in_session(session: Session) -> Shows {
    Shows { session, ..plain() }
}

fn with_meta(meta: TraceId) -> Shows {
    Shows { meta: Some(meta), ..plain() }
}

fn foreign() -> TraceId {
    TraceContext::random(true).expect("random bits").trace()
}

#[tokio::test]
async fn the_handle_is_exact_and_the_trace_of_another_beside_it_is_a_contradiction() {
    let pod = Pod::new();
    let (alice, bob) = (pod.begin("alice", "x1", None), pod.begin("bob", "x2", None));
    for trace in [None, Some(alice.trace), Some(foreign())] {
        assert_eq!(pod.by(alice.handled(trace), &plain()), Ok(Way::Handle));
    }
    assert_eq!(pod.by(alice.handled(Some(bob.trace)), &plain()), Err(Refusal::CallContradiction));
    assert_eq!(pod.by(alice.handled(None), &with_meta(bob.trace)), Err(Refusal::CallContradiction));
    assert_eq!(pod.by(alice.handled(None), &with_meta(foreign())), Ok(Way::Handle));
    let left_over = bob.trace;
    bob.finish();
    assert_eq!(pod.by(alice.handled(Some(left_over)), &plain()), Err(Refusal::CallContradiction));
    let unknown = HeaderValue::from_static("unknown");
    let signs = Signs { handle: Some(&unknown), trace: Some(alice.trace) };
    assert_eq!(pod.by(signs, &plain()), Err(Refusal::CallNoTransaction), "no way around a handle that is wrong");
}

#[tokio::test]
async fn a_trace_counts_alone_only_while_nobody_else_is_at_work() {
    let pod = Pod::new();
    let alice = pod.begin("alice", "x1", None);
    assert_eq!(pod.by(alice.traced(), &plain()), Ok(Way::Trace));
    assert_eq!(pod.by(alice.traced(), &with_meta(alice.trace)), Ok(Way::Trace));
    assert_eq!(pod.by(alice.traced(), &with_meta(foreign())), Err(Refusal::CallContradiction));
    for other in [pod.begin("bob", "x2", None), pod.begin("alice", "x3", None), pod.leaf()] {
        assert_eq!(pod.by(alice.traced(), &plain()), Err(Refusal::CallAmbiguous));
        assert_eq!(pod.by(alice.traced(), &with_meta(alice.trace)), Ok(Way::Meta));
        assert_eq!(pod.by(alice.traced(), &with_meta(other.trace)), Err(Refusal::CallContradiction));
        other.finish();
    }
    assert_eq!(pod.by(alice.traced(), &plain()), Ok(Way::Trace));
}

#[tokio::test]
async fn exchanges_of_equal_authority_are_one_transaction() {
    let pod = Pod::new();
    let (one, other) = (pod.begin("alice", "x1", None), pod.begin("alice", "x1", None));
    assert_eq!(pod.by(one.traced(), &plain()), Ok(Way::Trace));
    assert_eq!(pod.by(one.handled(Some(other.trace)), &plain()), Ok(Way::Handle));
    drop(other);
    assert_eq!(pod.by(one.traced(), &plain()), Ok(Way::Trace), "also one that was given up");
}

#[tokio::test]
async fn a_call_is_judged_by_who_was_at_work_when_its_head_arrived() {
    let pod = Pod::new();
    let alice = pod.begin("alice", "x1", None);
    let claim = pod.transactions.claim(alice.traced()).expect("alone");
    let _later = pod.begin("bob", "x2", None);
    assert_eq!(pod.transactions.settle(&claim, &plain()), Ok(Way::Trace));
    assert_eq!(pod.by(alice.traced(), &plain()), Err(Refusal::CallAmbiguous));
}

#[tokio::test]
async fn a_call_whose_rest_comes_after_its_request_is_too_late() {
    let pod = Pod::new();
    let (one, other) = (pod.begin("alice", "x1", None), pod.begin("alice", "x2", None));
    let by_handle = pod.transactions.claim(one.handled(None)).expect("its handle");
    let by_trace = pod.transactions.claim(other.traced()).expect("its trace");
    let meta = with_meta(other.trace);
    one.finish();
    drop(other);
    assert_eq!(pod.transactions.settle(&by_handle, &plain()), Err(Refusal::CallNoTransaction));
    assert_eq!(pod.transactions.settle(&by_trace, &meta), Err(Refusal::CallTraceEnded));
}

#[tokio::test(start_paused = true)]
async fn work_of_a_caller_that_left_counts_until_it_must_be_over() {
    let pod = Pod::new();
    drop(pod.begin("mallory", "x1", None));
    let alice = pod.begin("alice", "x2", None);
    assert_eq!(pod.by(alice.traced(), &plain()), Err(Refusal::CallAmbiguous));
    assert_eq!(pod.by(alice.handled(Some(alice.trace)), &plain()), Ok(Way::Handle));
    tokio::time::advance(crate::transactions::book::AT_WORK_MAX).await;
    assert_eq!(pod.by(alice.traced(), &plain()), Ok(Way::Trace));
    for number in 0..2000 {
        drop(pod.begin("mallory", &format!("y{number}"), None));
    }
    assert_eq!(pod.by(alice.traced(), &plain()), Err(Refusal::CallAmbiguous), "however many left");
    tokio::time::advance(crate::transactions::book::AT_WORK_MAX).await;
    assert_eq!(pod.by(alice.traced(), &plain()), Ok(Way::Trace));
}

#[tokio::test(start_paused = true)]
async fn an_ended_trace_is_never_anybodys_again() {
    let pod = Pod::new();
    let alice = pod.begin("alice", "x1", None);
    let (signs, meta) = (alice.traced(), with_meta(alice.trace));
    alice.finish();
    assert_eq!(pod.by(signs, &plain()), Err(Refusal::CallTraceEnded));
    assert_eq!(pod.by(signs, &meta), Err(Refusal::CallTraceEnded));
    let _next = pod.begin("bob", "x2", None);
    assert_eq!(pod.by(signs, &plain()), Err(Refusal::CallTraceEnded));
    tokio::time::advance(Duration::from_secs(3600)).await;
    pod.leaf().finish();
    assert_eq!(pod.by(signs, &plain()), Err(Refusal::CallNoTransaction), "forgotten, and still refused");
}

#[tokio::test]
async fn a_trace_that_is_not_of_our_making_finds_nothing() {
    let (pod, other_pod) = (Pod::new(), Pod::new());
    let caller = TraceContext::random(true).ok();
    let (alice, elsewhere) = (pod.begin("alice", "x1", caller), other_pod.begin("alice", "x1", caller));
    for trace in [caller.expect("a trace").trace(), foreign(), elsewhere.trace] {
        assert_eq!(pod.by(Signs { handle: None, trace: Some(trace) }, &plain()), Err(Refusal::CallNoTransaction));
    }
    assert_eq!(pod.by(Signs { handle: None, trace: None }, &plain()), Err(Refusal::CallNoTransaction));
    assert_eq!(pod.by(alice.traced(), &plain()), Ok(Way::Trace));
}

#[tokio::test]
async fn by_trace_a_session_counts_for_the_transaction_that_opened_it() {
    let pod = Pod::new();
    let first = pod.begin("alice", "x1", None);
    let opened = || first.session();
    assert_eq!(pod.by(first.traced(), &in_session(opened())), Ok(Way::Trace));
    assert_eq!(pod.by(first.traced(), &in_session(Session::Unknown)), Err(Refusal::CallSession));
    let same_user = pod.begin("alice", "x2", None);
    let both = Shows { session: opened(), ..with_meta(same_user.trace) };
    assert_eq!(pod.by(same_user.traced(), &both), Err(Refusal::CallSession));
    let left = opened();
    first.finish();
    assert_eq!(pod.by(same_user.traced(), &in_session(left)), Err(Refusal::CallSession));
}

#[tokio::test]
async fn by_handle_a_session_may_be_any_of_the_same_user() {
    let pod = Pod::new();
    let (alice, again, bob) =
        (pod.begin("alice", "x1", None), pod.begin("alice", "x2", None), pod.begin("bob", "x3", None));
    for session in [alice.session(), again.session(), Session::Unknown, Session::None] {
        assert_eq!(pod.by(alice.handled(None), &in_session(session)), Ok(Way::Handle));
    }
    assert_eq!(pod.by(alice.handled(None), &in_session(bob.session())), Err(Refusal::CallSession));
}

#[tokio::test]
async fn among_others_a_session_itself_belongs_to_whom_opened_it() {
    let pod = Pod::new();
    let (alice, bob) = (pod.begin("alice", "x1", None), pod.begin("bob", "x2", None));
    let of_session = |session| Shows { of_session: true, ..in_session(session) };
    assert_eq!(pod.by(alice.traced(), &of_session(alice.session())), Ok(Way::Session));
    for session in [bob.session(), Session::Unknown, Session::None] {
        assert_eq!(pod.by(alice.traced(), &of_session(session)), Err(Refusal::CallAmbiguous));
    }
    assert_eq!(pod.by(alice.traced(), &in_session(alice.session())), Err(Refusal::CallAmbiguous));
}
