//! What an app gets, and for how long its handle lives, over real HTTP.

use std::{convert::Infallible, sync::Mutex};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use runtime::{process::Process, ready_file::ReadyFile, workload::Workload};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::{
    broker::{Broker, BrokerAddress},
    inbound::{
        Callers,
        authenticate::{self, Sides},
        authorize,
    },
    metrics::Metrics,
    perimeter::Room,
    pool::Pool,
    sessions::Sessions,
    signer::{Signer, access, id, txn},
    snapshot::{Snapshots, tests as snapshots},
    strip::Shown,
    transactions::{Held, Session, Shows, Signs, Transactions, Way},
};

/// A door in front of an app that answers what `answer` says and notes the heads of its requests.
struct Stage {
    door: Inbound,
    seen: Arc<Mutex<Vec<Parts>>>,
}

async fn stage(answer: fn() -> Response<Full<Bytes>>) -> Stage {
    let process = Process::new(ReadyFile::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let app = listener.local_addr().expect("an address").to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (noted, tasks) = (Arc::clone(&seen), process.shutdown.clone());
    process.shutdown.spawn("app", async move {
        while let Ok((tcp, _from)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            let service = service_fn(move |request: Request<Incoming>| {
                let head = request.into_parts().0;
                let mut response = answer();
                if let Some(trace) = head.headers.get(trace::TRACEPARENT) {
                    response.headers_mut().insert("server-timing", traced(trace));
                }
                noted.lock().expect("no panic").push(head);
                async move { Ok::<_, Infallible>(response) }
            });
            let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service);
            tasks.spawn("app connection", async move { drop(serving.await) });
        }
    });
    let workload = Workload::connect("unix:///nowhere/agent.sock", &process);
    let pool = Pool::new(workload.clone(), None, &process.shutdown);
    let (metrics, heard) = (Metrics::default(), Snapshots::default());
    heard.hear(Signer::new().told(Vec::new())).expect("a snapshot");
    let address = BrokerAddress { connect: "127.0.0.1:1".to_owned(), id: id("broker") };
    let door = Inbound {
        broker: Broker::new(address, pool.clone(), workload.clone(), metrics.clone()),
        workload,
        snapshots: heard,
        transactions: Transactions::default(),
        pool,
        room: Room::new(),
        app,
        callers: Callers::default(),
        sessions: Sessions::new(),
        metrics,
        shutdown: process.shutdown,
    };
    Stage { door, seen }
}

/// As OpenTelemetry's distributions tell a browser the trace of its request.
fn traced(traceparent: &HeaderValue) -> HeaderValue {
    let text = format!("traceparent;desc=\"{}\"", traceparent.to_str().expect("text"));
    text.parse().expect("a value")
}

fn life(secs: u64) -> Value {
    let now = clock::now().secs();
    json!({"iat": now, "exp": now.saturating_add(secs)})
}

/// What begins at an edge: a transaction that lives for `secs`.
fn begun(secs: u64) -> Permit {
    let signer = Signer::new();
    let snapshot = signer.snapshot(Vec::new());
    let token = identity::RawToken::parse(signer.sign("txntoken+jwt", &txn(&life(secs)))).expect("a token");
    let (keys, issuer) = (&snapshot.keys, &snapshot.issuer);
    authorize::begun(Held::verify(token, keys, issuer, &snapshot.trust_domain, clock::now()).expect("verified"))
}

/// A call of `kind` at tickets that wants to know the subject.
fn called(kind: Kind) -> Permit {
    let signer = Signer::new();
    let tickets = api::Target {
        identity_headers: ["subject", "actors", "scope", "transaction"].map(str::to_owned).to_vec(),
        ..snapshots::tickets()
    };
    let snapshot = signer.snapshot(vec![tickets]);
    let target = Arc::clone(snapshot.serves.by_name("tickets").expect("the target"));
    let token = signer.sign("at+jwt", &access(target.audience().as_str(), &life(60)));
    let authorization = HeaderValue::try_from(format!("Bearer {token}")).ok();
    let shown = Shown { authorization, ..Shown::default() };
    let (peer, own) = (id("planner"), id("tickets"));
    let sides = Sides { peer: &peer, own: &own, now: clock::now() };
    let verified = authenticate::call(shown, &target, &snapshot, sides).expect("verified");
    authorize::call(verified, target, &identity::Scopes::none(), kind).expect("a permit")
}

fn asked(headers: &[(&str, &str)]) -> Parts {
    let builder = Request::post("https://tickets.tools.svc/mcp?q=1");
    let request = headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value));
    let mut parts = request.body(()).expect("a request").into_parts().0;
    strip::request(&mut parts).map(drop).expect("no refusal");
    parts
}

async fn through(stage: &Stage, permit: Permit, parts: Parts) -> Result<Response<Body>, Refusal> {
    let payload = Payload::Held(Bytes::from_static(b"{}"));
    let asked = Asked { parts, payload, authority: "tickets.tools.svc", trace: None, traceparent: None };
    forward(&stage.door, permit, asked).await
}

fn found(stage: &Stage, handle: Option<&HeaderValue>) -> Result<Arc<crate::transactions::Transaction>, Refusal> {
    let claim = stage.door.transactions.claim(Signs { handle, trace: None })?;
    Ok(Arc::clone(claim.transaction()))
}

fn head(stage: &Stage) -> Parts {
    stage.seen.lock().expect("no panic").pop().expect("a request")
}

#[tokio::test]
async fn an_app_gets_the_handle_and_what_it_asked_for_and_no_token() {
    let stage = stage(|| Response::new(Full::default())).await;
    let forged = [
        ("authorization", "Bearer user"),
        ("countersign-subject", "mallory"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-user", "mallory"),
        ("forwarded", "for=127.0.0.1"),
        ("x-kept", "1"),
    ];
    let response = through(&stage, called(Kind::Message), asked(&forged)).await.expect("an answer");
    assert_eq!(response.status(), http::StatusCode::OK);
    let head = head(&stage);
    let get = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(head.uri, "/mcp?q=1");
    assert_eq!(get("host"), Some(stage.door.app.as_str()));
    assert_eq!(get("x-forwarded-host"), Some("tickets.tools.svc"));
    assert_eq!(get("countersign-subject"), Some("alice"));
    assert_eq!(get("countersign-actors"), Some("spiffe://corp.example/ns/agents/sa/planner"));
    assert_eq!(get("countersign-scope"), Some("tickets:read"));
    assert_eq!(get("countersign-transaction"), Some("x1"));
    assert_eq!(get("countersign-handle").map(str::len), Some(43));
    assert_eq!(get("traceparent").map(str::len), Some(55));
    assert_eq!((get("authorization"), get("x-kept")), (None, Some("1")));
    for name in ["x-forwarded-for", "x-forwarded-user", "forwarded"] {
        assert_eq!(get(name), None, "another workload's claim `{name}` reaches the app");
    }
}

#[tokio::test]
async fn a_handle_lives_exactly_as_long_as_its_exchange() {
    let stage = stage(|| Response::new(Full::from("hello"))).await;
    let response = through(&stage, begun(120), asked(&[])).await.expect("an answer");
    let handle = head(&stage).headers.get(strip::HANDLE).cloned();
    let live = found(&stage, handle.as_ref()).expect("alive while the answer flows");
    assert!(live.held(clock::now()).is_ok());
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "hello");
    assert_eq!(found(&stage, handle.as_ref()).err(), Some(Refusal::CallNoTransaction));
}

#[tokio::test]
async fn what_was_revoked_on_its_way_in_does_not_reach_the_app() {
    let stage = stage(|| Response::new(Full::from("hello"))).await;
    let (user, call) = (begun(120), called(Kind::Message));
    let revocations = api::Revocations { transactions: vec!["x1".into()], ..api::Revocations::default() };
    let told = api::Snapshot { revocations: Some(revocations), ..Signer::new().told(Vec::new()) };
    stage.door.snapshots.hear(told).expect("a snapshot");
    assert_eq!(through(&stage, user, asked(&[])).await.err(), Some(Refusal::SubjectRevoked));
    assert_eq!(through(&stage, call, asked(&[])).await.err(), Some(Refusal::AccessTokenRevoked));
    assert!(stage.seen.lock().expect("no panic").is_empty());
}

#[tokio::test]
async fn an_answer_ends_when_its_transaction_is_revoked_and_the_app_is_told_so() {
    let stage = stage(|| Response::new(Full::from("hello"))).await;
    let response = through(&stage, begun(120), asked(&[])).await.expect("an answer");
    let handle = head(&stage).headers.get(strip::HANDLE).cloned();
    let revocations = api::Revocations { transactions: vec!["x1".into()], ..api::Revocations::default() };
    let told = api::Snapshot { revocations: Some(revocations), ..Signer::new().told(Vec::new()) };
    let snapshot = stage.door.snapshots.hear(told).expect("a snapshot");
    assert_eq!(stage.door.transactions.revoke(&snapshot, clock::now()), 1);
    let live = found(&stage, handle.as_ref()).expect("not yet let go");
    assert_eq!(live.held(clock::now()).err(), Some(Refusal::SubjectRevoked), "at once");
    while found(&stage, handle.as_ref()).is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(response.into_body().collect().await.is_err(), "cut off");
    assert_eq!(found(&stage, handle.as_ref()).err(), Some(Refusal::SubjectRevoked), "and afterwards");
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_handle() {
    let stage = stage(|| Response::new(Full::from("hello"))).await;
    let response = through(&stage, begun(120), asked(&[])).await.expect("an answer");
    let handle = head(&stage).headers.get(strip::HANDLE).cloned();
    drop(response);
    assert_eq!(found(&stage, handle.as_ref()).err(), Some(Refusal::CallNoTransaction));
}

/// By what a call of another request is found that bears its own trace only.
fn found_by_trace(stage: &Stage) -> Result<Way, Refusal> {
    let transactions = &stage.door.transactions;
    let (held, _) = begun(120).spend();
    let exchange = transactions.open(Brought { held, ..Brought::default() }, clock::now()).expect("opens");
    let claim = transactions.claim(Signs { handle: None, trace: Some(exchange.transaction().traces().key()) })?;
    transactions.settle(&claim, &Shows { meta: None, session: Session::None, of_session: false })
}

#[tokio::test]
async fn an_app_is_at_work_until_it_has_answered_also_for_a_caller_that_left() {
    let stage = stage(|| Response::new(Full::from("hello"))).await;
    let response = through(&stage, called(Kind::Message), asked(&[])).await.expect("an answer");
    assert_eq!(found_by_trace(&stage), Err(Refusal::CallAmbiguous), "while the answer flows");
    response.into_body().collect().await.expect("a body");
    assert_eq!(found_by_trace(&stage), Ok(Way::Trace), "it has answered");
    drop(through(&stage, called(Kind::Listen), asked(&[])).await);
    assert_eq!(found_by_trace(&stage), Ok(Way::Trace), "listening is no work");
    drop(through(&stage, called(Kind::Message), asked(&[])).await);
    assert_eq!(found_by_trace(&stage), Err(Refusal::CallAmbiguous), "the caller left");
}

#[tokio::test]
async fn what_an_app_says_about_credentials_does_not_leave() {
    let stage = stage(|| {
        let answer = Response::builder()
            .status(http::StatusCode::UNAUTHORIZED)
            .header("countersign-refusal", "access_token.expired")
            .header("countersign-handle", "h")
            .header("authorization", "a")
            .header("www-authenticate", "Basic");
        answer.body(Full::default()).expect("an answer")
    })
    .await;
    let response = through(&stage, called(Kind::Message), asked(&[])).await.expect("an answer");
    assert_eq!(response.status(), http::StatusCode::UNAUTHORIZED);
    assert!(response.headers().contains_key("www-authenticate"));
    for name in ["countersign-refusal", "countersign-handle", "authorization"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn an_app_does_not_tell_its_caller_the_trace_of_the_pod() {
    let stage = stage(|| Response::builder().header("x-kept", "1").body(Full::default()).expect("an answer")).await;
    let response = through(&stage, called(Kind::Message), asked(&[])).await.expect("an answer");
    assert!(response.headers().contains_key("x-kept"));
    assert!(!response.headers().contains_key("server-timing"), "{:?}", response.headers());
}

#[tokio::test]
async fn a_listing_is_filtered_and_one_that_is_too_long_is_not_carried() {
    let short = stage(|| {
        let tools = json!([{"name": "list_tickets"}, {"name": "close_ticket"}]);
        let body = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}).to_string();
        Response::builder().header("content-type", "application/json").body(Full::from(body)).expect("an answer")
    })
    .await;
    let response = through(&short, called(Kind::ListTools), asked(&[("accept-encoding", "gzip")])).await;
    let body = response.expect("an answer").into_body().collect().await.expect("a body").to_bytes();
    let answer: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(answer["result"]["tools"], json!([{"name": "list_tickets"}]));
    assert!(!head(&short).headers.contains_key("accept-encoding"));
    let long = stage(|| {
        let body = format!("\"{}\"", "x".repeat(1024 * 1024));
        Response::builder().header("content-type", "application/json").body(Full::from(body)).expect("an answer")
    })
    .await;
    let refused = through(&long, called(Kind::ListTools), asked(&[])).await;
    assert_eq!(refused.err(), Some(Refusal::PeerAnswer));
}

#[tokio::test]
async fn an_app_that_is_not_there_is_a_fault() {
    let mut stage = stage(|| Response::new(Full::default())).await;
    stage.door.app = "127.0.0.1:1".to_owned();
    assert_eq!(through(&stage, begun(120), asked(&[])).await.err(), Some(Refusal::FaultApp));
    assert_eq!(found_by_trace(&stage), Ok(Way::Trace), "it never got the request, so it is at no work");
}

#[tokio::test]
async fn a_session_is_bound_when_it_is_opened() {
    let stage = stage(|| Response::builder().header("mcp-session-id", "s1").body(Full::default()).expect("an answer"));
    let stage = stage.await;
    through(&stage, called(Kind::Initialize), asked(&[])).await.expect("an answer");
    let named = asked(&[("mcp-session-id", "s1")]);
    let permit = called(Kind::Message);
    let (_target, access) = permit.called().expect("a call");
    let check = session::check(&stage.door.sessions, "tickets", &named.headers, Kind::Message, access).await;
    assert_eq!(check, Ok(()));
    let unknown = asked(&[("mcp-session-id", "s2")]);
    let check = session::check(&stage.door.sessions, "tickets", &unknown.headers, Kind::Message, access).await;
    assert_eq!(check, Err(Refusal::CallSession));
}
