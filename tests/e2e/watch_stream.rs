//! The watch stream gives nobody more than is his, and holds nothing for who does not ask (`protocol.md` §1, T17).

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use harness::{Desk, INVENTORY, planner_uses, service};
use http::{Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{SendRequest, handshake},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{task::JoinSet, time::timeout};

type Body = StreamBody<stream::BoxStream<'static, Result<Frame<Bytes>, std::io::Error>>>;

/// Far less than it takes for ever.
const DEADLINE: Duration = Duration::from_secs(20);

/// A connection of `caller` to the broker; it lives as long as the set.
async fn connected(desk: &Desk, caller: &str, tasks: &mut JoinSet<()>) -> SendRequest<Body> {
    let stream = TokioIo::new(desk.connect_to_broker_by_h2(caller).await);
    let (sender, connection) = handshake(TokioExecutor::new(), stream).await.expect("a connection");
    tasks.spawn(async move { drop(connection.await) });
    sender
}

/// A body of these bytes that is over with them, or never.
fn body(bytes: Vec<u8>, ends: bool) -> Body {
    let frame = stream::iter([Ok(Frame::data(Bytes::from(bytes)))]);
    StreamBody::new(if ends { frame.boxed() } else { frame.chain(stream::pending()).boxed() })
}

async fn watch(sender: &mut SendRequest<Body>, body: Body) -> Response<Incoming> {
    let request = Request::post("https://broker.agents.svc/countersign.watch.v1.WatchService/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .expect("a request");
    timeout(DEADLINE, sender.send_request(request)).await.expect("answered in time").expect("answered")
}

async fn status(answer: Response<Incoming>) -> String {
    let (head, body) = answer.into_parts();
    let ended = timeout(DEADLINE, body.collect()).await.expect("ended in time").expect("a body");
    let trailers = ended.trailers().cloned().unwrap_or_default();
    let status = head.headers.get("grpc-status").or_else(|| trailers.get("grpc-status")).expect("a status");
    status.to_str().expect("text").to_owned()
}

#[tokio::test]
async fn a_request_that_is_too_long_or_never_comes_holds_nothing() {
    let desk = Desk::open().await;
    let mut tasks = JoinSet::new();
    let mut sender = connected(&desk, "stranger", &mut tasks).await;
    let started = Instant::now();
    let announces = [vec![0], (3 * 1024 * 1024_u32).to_be_bytes().to_vec()].concat();
    assert_eq!(
        status(watch(&mut sender, body(announces, false)).await).await,
        "11",
        "out of range, as soon as it is announced"
    );
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(status(watch(&mut sender, body(vec![0, 0], false)).await).await, "4", "the deadline of the request");
    desk.close().await;
}

/// What `caller` is told first, as bytes on the wire: strings stand in them as they are.
async fn told(desk: &Desk, caller: &str) -> String {
    let mut tasks = JoinSet::new();
    let mut sender = connected(desk, caller, &mut tasks).await;
    let mut answer = watch(&mut sender, body(vec![0; 5], true)).await.into_body();
    let frame = timeout(DEADLINE, answer.frame()).await.expect("told in time").expect("told").expect("told whole");
    String::from_utf8_lossy(frame.data_ref().expect("a snapshot")).into_owned()
}

#[tokio::test]
async fn a_workload_learns_of_nothing_that_it_neither_serves_nor_reaches() {
    let mut options = Desk::options();
    options.members.clear();
    options.targets.push(service("inventory", "https://inventory.tools.svc:8443"));
    options.policies.extend([planner_uses("inventory")]);
    let desk = Desk::open_with(options).await;
    let (tickets, researcher, client) = ("https://tickets.tools.svc/mcp", "https://researcher.agents.svc", "console");
    for (caller, known, unknown) in [
        ("planner", vec![tickets, researcher, client, INVENTORY], vec![]),
        ("researcher", vec![tickets, researcher], vec![client, INVENTORY]),
        ("tickets", vec![tickets], vec![researcher, client, INVENTORY]),
        ("stranger", vec![], vec![tickets, researcher, client, INVENTORY]),
    ] {
        let told = told(&desk, caller).await;
        assert!(told.contains("https://broker.agents.svc"), "{caller} learns whose tokens are good: {told}");
        assert!(known.iter().all(|word| told.contains(word)), "{caller} is told {known:?}: {told}");
        assert!(!unknown.iter().any(|word| told.contains(word)), "{caller} is not told {unknown:?}: {told}");
    }
    desk.close().await;
}
